"""Points without faces: text, the Point Cloud Library, MATLAB, NumPy, depth pictures."""

import io
import json
import struct

import numpy as np
from PIL import Image
from scipy.io import savemat

from tests.formats.examples import Example
from tests.formats.gltf_files import File

ROWS, COLUMNS = 6, 7
Y, X = np.mgrid[:ROWS, :COLUMNS].astype(float)
Z = 10 - 0.2 * (X - 3) ** 2 - 0.2 * (Y - 2.5) ** 2
GRID = np.stack([X, Y, Z], axis=-1)  # a cap that bulges to +z
CAP = GRID.reshape(-1, 3)
RED = np.tile([255.0, 0.0, 0.0], (len(CAP), 1))
HEAD = np.random.default_rng(0).normal(size=(400, 3))
HEAD /= np.linalg.norm(HEAD, axis=1)[:, None]


def _cap(scan):
    np.testing.assert_allclose(scan.vertices, CAP, atol=2e-3)
    assert _normals(scan)[:, 2].min() > 0
    assert len(scan.faces) >= 2 * (ROWS - 1) * (COLUMNS - 1)


def _normals(scan):
    a, b, c = (scan.vertices[scan.faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def _grid(scan):
    _cap(scan)
    assert scan.history[0]["meshed"]["grid"] == [ROWS, COLUMNS]
    assert len(scan.faces) == 2 * (ROWS - 1) * (COLUMNS - 1)


def _holed(scan):
    """The corner at x = 6 and y = 5 was not measured."""
    np.testing.assert_array_equal(scan.file_vertex, range(41))
    assert _normals(scan)[:, 2].min() > 0


def _red(scan):
    _cap(scan)
    np.testing.assert_allclose(scan.colours, RED, atol=0.5)


def _plain(scan):
    _cap(scan)
    assert scan.colours is None


def _from_below(scan):
    np.testing.assert_allclose(scan.vertices, CAP, atol=2e-3)
    assert _normals(scan)[:, 2].max() < 0


# ---- text ----


def _text(*columns, between=" ", head="", end="\n"):
    table = np.column_stack([CAP, *columns])
    return (head + "".join(between.join(f"{x:.6g}" for x in row) + end for row in table)).encode()


_UNIT = np.tile([0.0, 0.6, 0.8], (len(CAP), 1))

TEXT = {
    "x y z": Example("a.xyz", _text(), check=_plain),
    "tabs, commas or semicolons": Example("a.asc", _text(between="; "), check=_plain),
    "CR line ends": Example("a.xyz", _text(end="\r"), check=_plain),
    "comments": Example("a.xyz", _text(head="# a cap\n// measured\n% today\n"), check=_plain),
    "a line that names the columns": Example("a.xyz", _text(_UNIT, RED, head="x,y,z,nx,ny,nz,R,G,B\n"), check=_red),
    "names in a comment": Example("a.xyz", _text(RED, head="//X Y Z R G B\n"), check=_red),
    "other names of columns": Example("a.xyz", _text(RED, head="lat lon height a b c\n")),
    "a count in the first line": Example("a.pts", _text(head="42\n"), check=_plain),
    "another count than points": Example("a.pts", _text(head="41\n")),
    "x y z r g b": Example("a.xyz", _text(RED), check=_red),
    "x y z nx ny nz": Example("a.xyz", _text(_UNIT), check=_plain),
    "x y z intensity r g b": Example("a.pts", _text(np.full(len(CAP), -731.0), RED, head="42\n"), check=_red),
    "x y z intensity": Example("a.xyz", _text(np.full(len(CAP), 0.3)), check=_plain),
    "six numbers that are neither colours nor normals": Example("a.xyz", _text(_UNIT * -300), check=_plain),
    "not a number": Example("a.xyz", _text()[: -len(_text().splitlines()[-1]) - 1] + b"nan nan nan\n", check=_holed),
    "lines of different length": Example("a.xyz", _text() + b"1 2\n"),
    "two numbers a line": Example("a.xyz", b"1 2\n3 4\n"),
    "decimal commas": Example("a.xyz", b"1,5 2,5 3,5\n4,5 5,5 6,5\n"),
    "a list of atoms": Example("a.xyz", b"3\nwater\nO 0 0 0\nH 0 0 1\nH 0 1 0\n"),
    "landmarks of a picture": Example("a.pts", b"version: 1\nn_points: 2\n{\n1 2\n3 4\n}\n"),
    "a map of heights": Example("a.asc", b"ncols 2\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n3 4\n"),
    "binary content": Example("a.xyz", b"1 2 3\n\0\0\0"),
}

# ---- clouds ----


def _spread(scan):
    assert len(scan.faces) >= 60
    assert scan.history[0]["meshed"]["towards"] == "origin"
    assert _normals(scan)[:, 2].max() < 0  # the origin is below


def _averaged(scan):
    assert len(scan.vertices) == len(CAP)
    assert scan.file_vertex is None or scan.file_vertex.max() < len(CAP)


def _lines(points):
    return "".join("{:.6g} {:.6g} {:.6g}\n".format(*row) for row in points).encode()


_FAR = CAP * [1, 1, -1] + [-3, -2.5, 35]

CLOUDS = {
    "points that a sensor at the origin sees": Example("a.xyz", _lines(_FAR), check=_spread),
    "points repeated": Example("a.xyz", _lines(np.concatenate([CAP, CAP])), check=_averaged),
    "0 0 0 for what was not measured": Example("a.xyz", _lines([*CAP[:-1], [0, 0, 0], [0, 0, 0]]), check=_holed),
    "a number that means no point": Example("a.xyz", _lines([*CAP[:-1], [-999999] * 3]), check=_holed),
    "a whole head or body": Example("a.xyz", _lines(HEAD)),
    "points on a line": Example("a.xyz", _lines(np.outer(np.arange(50), [1, 2, 3]))),
    "fewer than 25 points": Example("a.xyz", _lines(CAP[:20])),
    "a flat surface": Example("a.xyz", _lines(CAP * [1, 1, 0]), check=lambda scan: None),
}


# ---- Point Cloud Library ----


def _pcd(data, fields="x y z", size="4 4 4", kind="F F F", count="1 1 1", **more):
    lines = {
        "VERSION": ".7",
        "FIELDS": fields,
        "SIZE": size,
        "TYPE": kind,
        "COUNT": count,
        "WIDTH": "42",
        "HEIGHT": "1",
        "VIEWPOINT": "0 0 0 1 0 0 0",
        "POINTS": "42",
        "DATA": "ascii",
    } | more
    text = "".join(f"{key} {value}\n" for key, value in lines.items() if value is not None)
    return b"# .PCD v.7 - Point Cloud Data file format\n" + text.encode() + data


def _lzf(content):
    """Literals, and a repeat where the last four bytes come again."""
    out, at = bytearray(), 0
    while at < len(content):
        piece = content[at : at + 4]
        count = 0
        while at >= 4 and content[at : at + 1] == content[at - 4 + 0 : at - 3] and count < 200:
            if content[at + count : at + count + 1] != content[at + count - 4 : at + count - 3] or at + count >= len(
                content
            ):
                break
            count += 1
        if count >= 3:
            length = count - 2
            out += bytes([length << 5, 3]) if length < 7 else bytes([7 << 5, length - 7, 3])
            at += count
        else:
            out += bytes([len(piece) - 1]) + piece
            at += len(piece)
    return bytes(out)


_WIDE = np.zeros(42, np.dtype([("p", "<f4", 3), ("_", "u1", 4), ("rgb", "<u4"), ("n", "<f4", 3)]))
_WIDE["p"], _WIDE["rgb"] = CAP, 0xFFFF0000
_WIDE_HEAD = {
    "fields": "x y z _ rgb normal_x normal_y normal_z",
    "size": "4 4 4 1 4 4 4 4",
    "kind": "F F F U F F F F",
    "count": "1 1 1 4 1 1 1 1",
}
_SOA = CAP.astype("<f4").T.tobytes() + bytes(4 * 42) + _WIDE["rgb"].tobytes() + bytes(12 * 42)
_PACKED = _lzf(_SOA)


def _compressed(packed, full):
    return _pcd(struct.pack("<II", len(packed), full) + packed, **_WIDE_HEAD, DATA="binary_compressed")


def _with(column):
    return _text(column)


_RGB = {"fields": "x y z rgb", "size": "4 4 4 4", "count": "1 1 1 1"}

PCD = {
    "DATA ascii": Example("a.pcd", _pcd(_text()), check=_plain),
    "DATA binary": Example("a.pcd", _pcd(_WIDE.tobytes(), **_WIDE_HEAD, DATA="binary"), check=_red),
    "DATA binary_compressed": Example("a.pcd", _compressed(_PACKED, len(_SOA)), check=_red),
    "compressed data that cannot give the points": Example("a.pcd", _compressed(b"\x03abcd", len(_SOA))),
    "HEIGHT above 1": Example("a.pcd", _pcd(_text(), WIDTH="7", HEIGHT="6"), check=_grid),
    "VIEWPOINT": Example("a.pcd", _pcd(_text(), VIEWPOINT="3 2 -30 1 0 0 0"), check=_from_below),
    "VIEWPOINT among the points": Example("a.pcd", _pcd(_text(), VIEWPOINT="3 2 9.9 1 0 0 0"), check=_plain),
    "version 0.5: COLUMNS, no COUNT, VIEWPOINT or POINTS": Example(
        "a.pcd",
        _pcd(_text(), VERSION=".5", VIEWPOINT=None, POINTS=None, COUNT=None).replace(b"FIELDS", b"COLUMNS"),
        check=_plain,
    ),
    "rgb packed in U 4": Example(
        "a.pcd",
        _pcd(_with(np.full(42, 0xFF0000)).replace(b"1.67117e+07", b"16711680"), kind="F F F U", **_RGB),
        check=_red,
    ),
    "rgb packed in F 4, as text": Example(
        "a.pcd", _pcd(_text().replace(b"\n", b" 2.3418052e-38\n"), kind="F F F F", **_RGB), check=_red
    ),
    "r, g and b": Example(
        "a.pcd",
        _pcd(_with(RED), fields="x y z r g b", size="4 4 4 1 1 1", kind="F F F U U U", count="1 1 1 1 1 1"),
        check=_red,
    ),
    "other fields": Example(
        "a.pcd", _pcd(_with(np.zeros(42)), "x y z intensity", "4 4 4 4", "F F F F", "1 1 1 1"), check=_plain
    ),
    "no x, y or z": Example("a.pcd", _pcd(_text(), fields="x y range")),
    "a TYPE of another letter": Example("a.pcd", _pcd(_text(), kind="F F D")),
    "another number of points than WIDTH times HEIGHT": Example("a.pcd", _pcd(_text(), POINTS="43")),
    "fewer points than the header says": Example("a.pcd", _pcd(_text()[:-9])),
    "fewer bytes than the header says": Example("a.pcd", _pcd(CAP.astype("<f4").tobytes()[:-1], DATA="binary")),
    "bytes after the points": Example(
        "a.pcd", _pcd(CAP.astype("<f4").tobytes() + b"more", DATA="binary"), check=_plain
    ),
    "DATA of another kind": Example("a.pcd", _pcd(_text(), DATA="text")),
}

# ---- MATLAB ----


def _mat(variables, **more):
    stream = io.BytesIO()
    savemat(stream, variables, **more)
    return stream.getvalue()


MAT = {
    "N x 3 (-v6, -v7)": Example("a.mat", _mat({"p": CAP, "name": "anna"}, do_compression=True), check=_plain),
    "N x 3 (-v4)": Example("a.mat", _mat({"p": CAP}, format="4"), check=_plain),
    "3 x N": Example("a.mat", _mat({"p": CAP.T.astype("f4")}), check=_plain),
    "H x W x 3": Example("a.mat", _mat({"p": GRID}), check=_grid),
    "x, y and z, H x W, with flags": Example(
        "a.mat", _mat({"scan": {"x": X, "y": Y, "z": Z, "flag": (X + Y < 11).astype("u1")}}), check=_holed
    ),
    "colours and normals by name": Example(
        "a.mat", _mat({"xyz": CAP, "rgb": RED.astype("u1"), "normals": _UNIT}), check=_red
    ),
    "colours of another number of points": Example("a.mat", _mat({"xyz": CAP, "rgb": RED[1:]}), check=_plain),
    "several arrays that may be the points": Example("a.mat", _mat({"before": CAP, "after": CAP})),
    "no array of points: cells, text, complex": Example(
        "a.mat", _mat({"c": np.array([CAP, 1], object), "t": "text", "z": CAP + 1j, "s": np.eye(3)})
    ),
    "version 7.3 (HDF5)": Example("a.mat", b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n"),
    "anything else": Example("a.mat", b"frame,happiness\n1,0.5\n"),
}

# ---- NumPy ----


def _npy(array, **more):
    stream = io.BytesIO()
    np.save(stream, array, **more)
    return stream.getvalue()


_CAMERA = {"fx": 10, "fy": 10, "cx": 3, "cy": 2.5, "depth_unit_mm": 0.5}
_DEPTH = (1000 - np.round(20 * Z)).astype("u2")
_JSON = json.dumps(_CAMERA).encode()


def _pinhole(scan):
    """Pixel (u, v) at depth d is ((u - cx) d / fx, -(v - cy) d / fy, -d): y up, z to the camera."""
    d = (_DEPTH * 0.5).ravel()
    want = np.stack([(X.ravel() - 3) * d / 10, (2.5 - Y.ravel()) * d / 10, -d], axis=1)
    np.testing.assert_allclose(scan.vertices, want, rtol=1e-6)
    assert (np.einsum("fi,fi->f", _normals(scan), -scan.vertices[scan.faces[:, 0]]) > 0).all()
    assert len(scan.faces) == 2 * (ROWS - 1) * (COLUMNS - 1)


def _unmeasured(scan):
    assert scan.file_vertex.tolist() == list(range(1, 42))


def _huge():
    content = _npy(CAP)
    return content.replace(b"(42, 3)", b"(9999999999, 3)")


NPY = {
    "(N, 3)": Example("a.npy", _npy(CAP.astype("f2")), check=lambda scan: _half(scan)),
    "(3, N), Fortran order, big-endian": Example("a.npy", _npy(np.asfortranarray(CAP.T).astype(">f8")), check=_plain),
    "(N, 6)": Example("a.npy", _npy(np.column_stack([CAP, RED])), check=_red),
    "(H, W, 3)": Example("a.npy", _npy(GRID), check=_grid),
    "(H, W) with intrinsics": Example("a.npy", _npy(_DEPTH), {"a.json": _JSON}, _pinhole),
    "(H, W) without intrinsics": Example("a.npy", _npy(_DEPTH)),
    "another shape": Example("a.npy", _npy(np.zeros((2, 3, 4, 5)))),
    "Python objects (pickled)": Example("a.npy", _npy(np.array([{}], object), allow_pickle=True)),
    "records, text, complex numbers": Example("a.npy", _npy(CAP + 1j)),
    "more in the header than in the file": Example("a.npy", _huge()),
}


def _half(scan):
    np.testing.assert_allclose(scan.vertices, CAP, atol=5e-3)
    assert _normals(scan)[:, 2].min() > 0


# ---- depth pictures ----


def _png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def _depth(camera, name="a.depth.png", beside="a.depth.json", pixels=_DEPTH, check=_pinhole):
    return Example(name, _png(pixels), {beside: json.dumps(camera).encode()}, check)


_MATRIX = {"width": 7, "height": 6, "intrinsic_matrix": [10, 0, 0, 0, 10, 0, 3, 2.5, 1], "depth_scale": 2000}
_REALSENSE = {
    "width": 7,
    "height": 6,
    "fx": 10,
    "fy": 10,
    "ppx": 3,
    "ppy": 2.5,
    "coeffs": [0] * 5,
    "depth_scale": 0.0005,
}
_ROS = {"K": [[10, 0, 3], [0, 10, 2.5], [0, 0, 1]], "D": [0, 0, 0, 0, 0], "depth_unit_mm": 0.5}
_NONE_FIRST = _DEPTH.copy()
_NONE_FIRST[0, 0] = 0

DEPTH = {
    "16-bit grey with fx, fy, cx, cy": _depth(_CAMERA),
    "intrinsics.json": _depth(_CAMERA, name="face.png", beside="intrinsics.json"),
    "a depth array .depth.npy": Example("a.depth.npy", _npy(_DEPTH.astype("f4")), {"a.json": _JSON}, _pinhole),
    "intrinsic_matrix by columns, steps a metre": _depth(_MATRIX),
    "ppx, ppy, metres a step": _depth(_REALSENSE),
    "K by rows": _depth(_ROS, beside="a.json"),
    "depth 0": _depth(_CAMERA, pixels=_NONE_FIRST, check=_unmeasured),
    "no intrinsics": Example("a.depth.png", _png(_DEPTH)),
    "a missing focal length": _depth({"fx": 10, "cx": 3, "cy": 2}, check=None),
    "distortion": _depth(_CAMERA | {"coeffs": [0.1, 0, 0, 0, 0]}, check=None),
    "skew": _depth({"K": [[10, 1, 3], [0, 10, 2.5], [0, 0, 1]]}, check=None),
    "another width": _depth(_CAMERA | {"width": 640}, check=None),
    "8-bit or coloured pixels": _depth(_CAMERA, pixels=np.zeros((6, 7, 3), "u1"), check=None),
}


def _ply_of_points():
    head = "".join(f"property {kind} {name}\n" for kind, name in (*(("float", n) for n in "xyz"), *_BYTES))
    rows = "".join("{:.6g} {:.6g} {:.6g} 255 0 0\n".format(*row) for row in CAP)
    return f"ply\nformat ascii 1.0\nelement vertex {len(CAP)}\n{head}end_header\n{rows}".encode()


def _glb_of_points():
    file = File()
    file.show(file.primitive(CAP, None, mode=0))
    return file.glb()


_BYTES = [("uchar", "red"), ("uchar", "green"), ("uchar", "blue")]
_NUMBERS = ", ".join("{:.6g} {:.6g} {:.6g}".format(*row) for row in CAP)
MESHES = {
    ".ply without faces": Example("a.ply", _ply_of_points(), check=_red),
    ".obj without faces": Example(
        "a.obj", b"".join(b"v " + line for line in _lines(CAP).splitlines(True)), check=_plain
    ),
    ".off without faces": Example("a.off", b"OFF\n42 0 0\n" + _lines(CAP), check=_plain),
    ".wrl with a PointSet alone": Example(
        "a.wrl",
        b"#VRML V2.0 utf8\nShape { geometry PointSet { coord Coordinate { point [ %b ] } } }" % _NUMBERS.encode(),
        check=_plain,
    ),
    ".glb with points alone": Example("a.glb", _glb_of_points(), check=_plain),
}

EXAMPLES = {**TEXT, **CLOUDS, **PCD, **MAT, **NPY, **DEPTH, **MESHES}
