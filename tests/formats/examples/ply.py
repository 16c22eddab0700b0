"""Stanford .ply files."""

import io

import numpy as np
from PIL import Image

from tests.formats.examples import Example

POINTS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
UV = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
ROWS = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
TRIANGLES = "3 0 1 2\n3 0 2 3\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"
LIST = "property list uchar int vertex_indices\n"
TEXCOORD = "property list uchar float texcoord\n"


def png(*colours):
    """2 x 2 pixels of these colours, or of one."""
    pixels = np.array(colours if len(colours) == 4 else colours * 4, np.uint8).reshape(2, 2, 3)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG")
    return content.getvalue()


RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
SKIN = {"skin.png": png(RED, GREEN, BLUE, WHITE)}  # RED is above left, BLUE below left


def text(rows=ROWS, faces=TRIANGLES, *, v=XYZ, f=LIST, counts=(4, 2), pre="", more="", end="\n", form="ascii"):
    head = (
        f"ply\nformat {form} 1.0\n{pre}element vertex {counts[0]}\n{v}element face {counts[1]}\n{f}{more}end_header\n"
    )
    return (head + rows + faces).replace("\n", end).encode()


def binary(order="<", point="f4", name="float", count="u1", count_name="uchar", extra=b"", tail=b"", faces=None):
    faces = FACES.tolist() if faces is None else faces
    form = "binary_little_endian" if order == "<" else "binary_big_endian"
    head = text(
        "",
        "",
        v=XYZ.replace("float", name),
        f=f"property list {count_name} int vertex_indices\n",
        form=form,
        counts=(4, len(faces)),
    )
    rows = b"".join(
        np.array(len(face), order + count).tobytes() + np.array(face, order + "i4").tobytes() + extra for face in faces
    )
    return head + POINTS.astype(order + point).tobytes() + rows + tail


def square(scan):
    np.testing.assert_array_equal(scan.vertices, POINTS)
    np.testing.assert_array_equal(scan.faces, FACES)


def with_uv(scan):
    square(scan)
    np.testing.assert_array_equal(scan.uv, UV.astype(np.float32))
    assert scan.texture is None or seen(scan) == [BLUE, WHITE, GREEN, RED]


def seen(scan):
    """Colour of the texture at each vertex."""
    height, width, _ = scan.texture.shape
    return [tuple(scan.texture[int((1 - v) * height), int(u * width)].tolist()) for u, v in scan.uv]


def painted(*colours):
    def check(scan):
        square(scan)
        np.testing.assert_allclose(scan.colours, np.array(colours if len(colours) == 4 else colours * 4), atol=0.01)

    return check


def first_face(scan):
    np.testing.assert_array_equal(scan.faces, FACES[:1])


def bare(scan):
    square(scan)
    assert scan.uv is None and scan.texture is None and scan.colours is None


def _columns(extra):
    lines = ROWS.splitlines()
    return "".join(f"{line} {more}\n" for line, more in zip(lines, extra, strict=True))


UV_ROWS = _columns([f"{u} {v}" for u, v in UV])
RGB_ROWS = _columns(["255 0 0", "0 255 0", "0 0 255", "255 255 255"])
FOUR = (RED, GREEN, BLUE, WHITE)


def rgb(kind, names=("red", "green", "blue")):
    return XYZ + "".join(f"property {kind} {name}\n" for name in names)


def uv(first, second, kind="float"):
    return XYZ + f"property {kind} {first}\nproperty {kind} {second}\n"


def _corner_uv(face):
    return " ".join(f"{UV[i, 0]} {UV[i, 1]}" for i in face)


def _mixed(scan):
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2], [0, 2, 3], [1, 2, 3]])


def _quad_uv(scan):
    with_uv(scan)


def _some_uv(scan):
    np.testing.assert_array_equal(scan.uv[scan.faces[0]], UV[[0, 1, 2]].astype(np.float32))
    assert np.isnan(scan.uv[scan.faces[1]]).all()


def _two_pictures(scan):
    colours = [seen(scan)[i] for i in (*scan.faces[0], *scan.faces[1])]
    assert colours == [RED] * 3 + [GREEN] * 3


def _first_of_two(scan):
    assert set(seen(scan)) == {RED}


def _strips(scan):
    np.testing.assert_array_equal(scan.faces, [[0, 1, 3], [3, 1, 2], [0, 2, 3]])


def _grid(scan):
    assert len(scan.faces) == 3  # the cell with a missing corner gives one
    corners = scan.vertices[scan.faces]
    assert (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0).all()
    assert (scan.history[0]["rows"], scan.history[0]["columns"]) == (2, 3)


def _doubles(scan):
    np.testing.assert_allclose(scan.vertices - scan.placement[:3, 3], POINTS + 5_000_000, atol=1e-6)


def _latin(scan):
    square(scan)


STRIPS = ("element tristrips 1\nproperty list int int vertex_indices\n", "8 0 1 3 2 -1 0 2 3\n")
GRID = (
    "ply\nformat ascii 1.0\nobj_info num_cols 3\nobj_info num_rows 2\nelement vertex 5\n"
    + XYZ
    + "element range_grid 6\nproperty list uchar int vertex_indices\nend_header\n"
    "0 0 0\n1 0 0\n0 1 0\n1 1 0\n2 1 0\n1 0\n1 1\n0\n1 2\n1 3\n1 4\n"
)
UNKNOWN = "element camera 1\nproperty float view\nproperty list uchar short sizes\n"
TWO = "comment TextureFile red.png\ncomment TextureFile green.png\n"
PICTURES = {"red.png": png(RED), "green.png": png(GREEN)}
NUMBERED = LIST + TEXCOORD + "property int texnumber\n"
CORNERS = [f"3 0 1 2 6 {_corner_uv((0, 1, 2))}", f"3 0 2 3 6 {_corner_uv((0, 2, 3))}"]
NAMED = "comment TextureFile skin.png\n"


def example(content, check=None, beside=None):
    return Example("a.ply", content.encode() if isinstance(content, str) else content, beside or {}, check)


EXAMPLES = {
    # encodings and header
    "format ascii": example(text(), square),
    "format binary_little_endian": example(binary(), square),
    "format binary_big_endian": example(binary(">"), square),
    "another format or version": example(text(form="ascii").replace(b"ascii 1.0", b"ascii 2.0")),
    "line ends CR LF": example(text(end="\r\n"), square),
    "line ends CR": example(text(end="\r"), square),
    "blanks, tabs and empty lines in the header": example(
        text().replace(b"format ascii", b" format \t ascii ").replace(b"element face", b"\n  element\tface"), square
    ),
    "comments": example(text(pre="comment made by hand\ncomment\nobj_info Caf\u00e9\n"), square),
    "bytes that are not UTF-8": example(text(pre="comment K\nobj_info K\n").replace(b"K", b"K\xf6pfe\xff"), _latin),
    "old type names": example(binary(point="f8", name="double", count="i4", count_name="int"), square),
    "new type names": example(binary(point="i2", name="int16", count="u2", count_name="uint16"), square),
    "a type that is none of these": example(binary(name="float16", point="f2")),
    "a list whose length is no whole number": example(binary(count="f4", count_name="float")),
    "a line that is none of the header": example(text(pre="vertices 4\n")),
    "an element or property twice": example(text(v=XYZ + "property float x\n")),
    "no end_header": example(text().replace(b"end_header\n", b"")),
    # vertices
    "x y z of type double": example(
        binary(point="f8", name="double").replace(
            POINTS.astype("<f8").tobytes(), (POINTS + 5e6).astype("<f8").tobytes()
        ),
        _doubles,
    ),
    "elements in any order": example(
        "ply\nformat ascii 1.0\nelement face 2\n"
        + LIST
        + "element vertex 4\n"
        + XYZ
        + "end_header\n"
        + TRIANGLES
        + ROWS,
        square,
    ),
    "no element vertex": example(text().replace(b"element vertex", b"element point")),
    "no z": example(text(v=XYZ.replace("property float z\n", ""), rows="0 0\n1 0\n1 1\n0 1\n")),
    "normals, confidence, quality": example(
        text(
            v=XYZ + "property float nx\nproperty float ny\nproperty float nz\nproperty float confidence\n",
            rows=_columns(["0 0 1 .5"] * 4),
        ),
        bare,
    ),
    "a few points without faces": example(text(faces="", counts=(4, 0))),
    # faces
    "polygons, triangles among them": example(binary(faces=[[0, 1, 2, 3], [1, 2, 3]]), _mixed),
    "faces of fewer than 3 corners": example(text(faces="2 0 1\n3 0 1 2\n"), first_face),
    "vertex_index": example(text(f=LIST.replace("indices", "index")), square),
    "a list of another name": example(text(f=LIST.replace("vertex_indices", "corners"))),
    "an index below 0 or too large": example(text(faces="3 0 1 2\n3 0 2 4\n")),
    "a list of negative length": example(
        binary(count="i1", count_name="char").replace(b"\x03\0\0\0\0\2", b"\xff\0\0\0\0\2")
    ),
    "element tristrips": example(
        "ply\nformat ascii 1.0\nelement vertex 4\n" + XYZ + STRIPS[0] + "end_header\n" + ROWS + STRIPS[1], _strips
    ),
    "element range_grid": example(GRID, _grid),
    "element range_grid without obj_info num_cols and num_rows": example(GRID.replace("obj_info num_cols 3\n", "")),
    "other elements": example(text(faces=TRIANGLES + "0.5 2 640 480\n", more=UNKNOWN), bare),
    "element edge": example(
        text(faces=TRIANGLES + "0 1\n", more="element edge 1\nproperty int vertex1\nproperty int vertex2\n"), bare
    ),
    "element material, and others that hold looks or faces": example(
        text(faces=TRIANGLES + "255 0\n", more="element material 1\nproperty uchar red\nproperty uchar blue\n"), bare
    ),
    # length
    "numbers or bytes after the last element": example(binary(tail=b"\1\2\3"), square),
    "fewer numbers or bytes than the header says": example(binary()[:-3]),
    "a row of text that is no line": example(text(rows=ROWS.replace("1 0 0\n", "1 0 0 7\n"))),
    # texture coordinates
    "comment TextureFile": example(text(UV_ROWS, v=uv("s", "t"), pre=NAMED), with_uv, SKIN),
    "TextureFile in any case, with blanks or quotes": example(
        text(UV_ROWS, v=uv("s", "t"), pre='comment  texturefile "my skin.png" \n'),
        with_uv,
        {"my skin.png": SKIN["skin.png"]},
    ),
    "TextureFile that is missing": example(
        text(UV_ROWS, v=uv("s", "t"), pre="comment TextureFile none.png\n"), with_uv
    ),
    "another comment that names a picture": example(text(pre="comment picture skin.png\n"), bare, SKIN),
    **{
        f"uv of vertices: {a} {b}": example(text(UV_ROWS, v=uv(a, b), pre=NAMED), with_uv, SKIN)
        for a, b in (
            ("s", "t"),
            ("u", "v"),
            ("texture_u", "texture_v"),
            ("texture_u0", "texture_v0"),
            ("u0", "v0"),
            ("s0", "t0"),
            ("tx", "ty"),
            ("texcoord_u", "texcoord_v"),
            ("texture_s", "texture_t"),
            ("uv_u", "uv_v"),
            ("S", "T"),
        )
    },
    "other properties of vertices that seem to be uv": example(
        text(_columns(["1"] * 4), v=XYZ + "property float texture_u\n", pre=NAMED), bare, SKIN
    ),
    "uv of vertices in whole numbers": example(text(_columns(["1 2"] * 4), v=uv("u", "v", "ushort")), bare),
    "texcoord of faces": example(text(faces="\n".join(CORNERS) + "\n", f=LIST + TEXCOORD, pre=NAMED), with_uv, SKIN),
    "texcoord of polygons": example(
        text(faces=f"4 0 1 2 3 8 {_corner_uv(range(4))}\n", f=LIST + TEXCOORD, counts=(4, 1), pre=NAMED), _quad_uv, SKIN
    ),
    "texcoord of some faces": example(text(faces=CORNERS[0] + "\n3 0 2 3 0\n", f=LIST + TEXCOORD), _some_uv),
    "texcoord of another length": example(text(faces=CORNERS[0] + "\n3 0 2 3 4 0 0 1 1\n", f=LIST + TEXCOORD)),
    "texcoord and uv of vertices": example(
        text(_columns(["9 9"] * 4), "\n".join(CORNERS) + "\n", v=uv("s", "t"), f=LIST + TEXCOORD), with_uv
    ),
    "texnumber": example(text(faces=f"{CORNERS[0]} 0\n{CORNERS[1]} 1\n", f=NUMBERED, pre=TWO), _two_pictures, PICTURES),
    "texnumber of a TextureFile that is not there": example(
        text(faces=f"{CORNERS[0]} 0\n{CORNERS[1]} 2\n", f=NUMBERED, pre=TWO), _some_uv, PICTURES
    ),
    "several TextureFile without texnumber": example(text(UV_ROWS, v=uv("s", "t"), pre=TWO), _first_of_two, PICTURES),
    "lists of faces that seem to be uv and are not": example(
        text(faces="3 0 1 2 3 0 1 2\n3 0 2 3 3 0 2 3\n", f=LIST + "property list uchar int texcoord_indices\n"), bare
    ),
    # colours
    "red green blue of vertices": example(text(RGB_ROWS, v=rgb("uchar")), painted(*FOUR)),
    "diffuse_red ..., r g b, in any case": example(
        text(RGB_ROWS, v=rgb("uchar", ("Diffuse_Red", "Diffuse_Green", "Diffuse_Blue"))), painted(*FOUR)
    ),
    "r g b of vertices": example(text(RGB_ROWS, v=rgb("uchar", "rgb")), painted(*FOUR)),
    "colours of 16 bits": example(text(_columns(["65535 0 0"] * 4), v=rgb("ushort")), painted(RED)),
    "colours as real numbers up to 1": example(
        text(_columns(["1 .5 0"] * 4), v=rgb("float")), painted((255, 127.5, 0))
    ),
    "colours as real numbers up to 255": example(text(_columns(["255 1 0"] * 4), v=rgb("float")), painted((255, 1, 0))),
    "colours of 32 bits": example(text(_columns(["255 1 0"] * 4), v=rgb("int")), painted((255, 1, 0))),
    "colours of 32 bits above 255": example(text(_columns(["65535 1 0"] * 4), v=rgb("int")), bare),
    "alpha": example(text(_columns(["255 0 0 9"] * 4), v=rgb("uchar") + "property uchar alpha\n"), painted(RED)),
    "gray, grey, luminance": example(
        text(_columns(["51"] * 4), v=XYZ + "property uchar gray\n"), painted((51, 51, 51))
    ),
    "intensity": example(text(_columns([".5"] * 4), v=XYZ + "property float intensity\n"), bare),
    "other properties that seem to be colours": example(
        text(_columns(["255 7"] * 4), v=XYZ + "property uchar red\nproperty uint rgba\n"), bare
    ),
    "colours of faces": example(
        text(faces="3 0 1 2 255 0 0\n3 0 2 3 255 0 0\n", f=LIST + rgb("uchar")[len(XYZ) :]), painted(RED)
    ),
    "faces of several colours": example(
        text(faces="3 0 1 2 255 0 0\n3 0 2 3 0 0 255\n", f=LIST + rgb("uchar")[len(XYZ) :]),
        painted((127.5, 0, 127.5), RED, (127.5, 0, 127.5), BLUE),
    ),
    "color of corners": example(
        text(
            faces="3 0 1 2 9 1 0 0 0 1 0 0 0 1\n3 0 2 3 9 1 0 0 0 0 1 1 1 1\n",
            f=LIST + "property list uchar float color\n",
        ),
        painted(*FOUR),
    ),
    "colours of vertices and of faces": example(
        text(RGB_ROWS, "3 0 1 2 9 9 9\n3 0 2 3 9 9 9\n", v=rgb("uchar"), f=LIST + rgb("uchar")[len(XYZ) :]),
        painted(*FOUR),
    ),
}
