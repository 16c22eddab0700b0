"""Files of points without faces: rare layouts, and what a refusal says of a file that is wrong or damaged."""

import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from fer3d import formats
from fer3d.errors import FormatError
from fer3d.formats import cloud_mesh, depth_image, mat_file, point_cloud, point_columns, xyz
from fer3d.formats.cloud_view import View
from tests.formats.examples.points import CAP, GRID, X, Y, Z

COUNT = len(CAP)
ROWS, COLUMNS = X.shape


def refusal(path):
    """What the message says after the name of the file."""
    with pytest.raises(FormatError) as caught:
        formats.read(path)
    start, _, rest = str(caught.value).partition(": ")
    assert start.startswith(str(path.parent)) and "\n" not in rest
    return rest


# ---- text ----


def text_of(rows):
    return "".join(" ".join(map(repr, row)) + "\n" for row in np.asarray(rows).tolist()).encode()


def test_the_mark_of_utf_8_is_skipped(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"\xef\xbb\xbf" + text_of(CAP))
    np.testing.assert_array_equal(formats.read(tmp_path / "a.xyz").vertices, CAP.astype(np.float32))


@pytest.mark.parametrize("word", ["1.#INF", "-1.#IND", "1.#QNAN00"])
@pytest.mark.parametrize("rest", ["", " # the corner"])
def test_numbers_of_older_windows_programs_are_no_comments(tmp_path, word, rest):
    """The last number of the line is no number: the point was not measured."""
    last = f"6.0 5.0 {word}{rest}\n".encode()
    (tmp_path / "a.xyz").write_bytes(text_of(CAP[:-1]) + last)
    scan = formats.read(tmp_path / "a.xyz")
    np.testing.assert_array_equal(scan.vertices, CAP[:-1].astype(np.float32))


def test_a_comment_may_follow_a_decimal_point(tmp_path):
    points = CAP * [1, 1, 0] + [0, 0, 1]
    (tmp_path / "a.xyz").write_bytes(text_of(points).replace(b" 1.0\n", b" 1.# INFerior\n"))
    np.testing.assert_array_equal(formats.read(tmp_path / "a.xyz").vertices, points)


def test_more_lines_than_points_of_a_scan(tmp_path, monkeypatch):
    monkeypatch.setattr(xyz, "MOST_VERTICES", COUNT - 1)
    (tmp_path / "a.xyz").write_bytes(text_of(CAP))
    assert refusal(tmp_path / "a.xyz") == f"a scan has at most {COUNT - 1} points, it has {COUNT}"


@pytest.mark.parametrize(
    "names, rest, note",
    [
        (["red", "green", "blue"], [300, 0, 0], "its colours are not within 0 to 1 or 0 to 255 and are left out"),
        (["intensity"], [7], "the intensity of its points is left out"),
    ],
)
def test_named_columns_that_are_left_out(names, rest, note):
    table = np.column_stack([np.tile(rest, (COUNT, 1)), CAP])
    found = point_columns.of_table(table, [*names, "x", "y", "z"])
    np.testing.assert_array_equal(found.points, CAP)
    assert found.colours is None and found.warnings == (note,)


# ---- clouds ----


@pytest.mark.parametrize("times", [6, 7, 30])
def test_points_repeated_many_times_are_one(tmp_path, times):
    """As where each corner of each triangle is written: most neighbours of a point are the point itself."""
    (tmp_path / "a.xyz").write_bytes(text_of(np.tile(CAP, (times, 1))))
    scan = formats.read(tmp_path / "a.xyz")
    np.testing.assert_allclose(scan.vertices, CAP, atol=1e-6)
    assert len(scan.faces) == 2 * (ROWS - 1) * (COLUMNS - 1)
    assert scan.history[0]["meshed"]["averaged_points"] == (times - 1) * COUNT


@pytest.mark.parametrize(
    "points",
    [
        np.ones((30, 3)),
        np.array([[1.0, 2.0, 3.0]]),
        np.repeat([[0.0, 0, 0], [1, 0, 0]], 15, axis=0),
        np.outer(np.arange(30), [0, 0, 1.0]),
    ],
    ids=["all the same", "one", "two places", "along the view"],
)
def test_what_is_one_place_or_line_of_the_picture_has_no_mesh(points):
    assert cloud_mesh.mesh(points, View("z", np.eye(3))) is None


def test_faces_without_area_bulge_nowhere():
    assert cloud_mesh.bulge(np.outer(np.arange(4), [1.0, 2, 3]), np.array([[0, 1, 2], [1, 2, 3]])) == 0


def test_the_step_of_depths():
    assert cloud_mesh.depth_step(np.repeat([1.0, 1.5, 2.0], 40)) == pytest.approx(0.5, abs=1e-4)
    assert cloud_mesh.depth_step(np.linspace(0, 1, 50)) == 0  # no two are the same
    assert cloud_mesh.depth_step(np.full(50, 3.0)) == 0
    assert cloud_mesh.depth_step(np.empty(0)) == 0


def test_more_points_than_a_scan_may_have(tmp_path, monkeypatch):
    monkeypatch.setattr(point_cloud, "MOST_VERTICES", COUNT - 1)
    for name, array in (("list.npy", CAP), ("grid.npy", GRID)):
        np.save(tmp_path / name, array)
        assert refusal(tmp_path / name) == f"a scan has at most {COUNT - 1} points, it has {COUNT}: thin it"


@pytest.mark.parametrize(
    "value, measured", [(np.nan, 0), (0.0, 0), (3.0, COUNT)], ids=["none measured", "zeros", "all the same"]
)
def test_a_range_image_without_a_surface(tmp_path, value, measured):
    np.save(tmp_path / "a.npy", np.full((ROWS, COLUMNS, 3), value))
    want = f"its {ROWS} x {COLUMNS} points give no triangle; {measured} are measured"
    assert refusal(tmp_path / "a.npy") == f"neighbouring points of a surface were wanted, {want}"


@pytest.mark.parametrize("shape", [(COUNT, 1, 3), (1, COUNT, 3)])
def test_a_range_image_of_one_row_is_a_list(tmp_path, shape):
    np.save(tmp_path / "a.npy", CAP.reshape(shape))
    scan = formats.read(tmp_path / "a.npy")
    np.testing.assert_array_equal(scan.vertices, CAP.astype(np.float32))
    assert "grid" not in scan.history[0]["meshed"]


# ---- depth pictures ----

CAMERA = {"fx": 10, "fy": 20, "cx": 3, "cy": 2.5}
DEPTH = (1000 - np.round(20 * Z)).astype(np.uint16)


def depth_file(folder, depth=DEPTH, text=None, **camera):
    if depth.ndim == 2 and depth.dtype == np.uint16:
        path = folder / "a.depth.png"
        Image.fromarray(depth).save(path)
    else:
        path = folder / "a.depth.npy"
        np.save(path, depth)
    (folder / "a.json").write_text(json.dumps(CAMERA | camera) if text is None else text)
    return path


def test_depths_with_one_channel(tmp_path):
    flat, deep = (formats.read(depth_file(tmp_path, depth)) for depth in (DEPTH, DEPTH[:, :, None]))
    np.testing.assert_array_equal(deep.vertices, flat.vertices)
    np.testing.assert_array_equal(deep.vertices[:, 2], -DEPTH.ravel().astype(np.float32))


@pytest.mark.parametrize("shape", [(6, 7, 2), (42,), (0, 7)])
def test_depths_of_another_shape(tmp_path, shape):
    path = depth_file(tmp_path, np.ones(shape))
    assert refusal(path) == f"depths (H, W) were wanted, it has float64 {shape}"


@pytest.mark.parametrize(
    "depth, size", [(DEPTH, "7 x 6"), (DEPTH.astype(np.float32), "(6, 7)")], ids=["picture", "array"]
)
def test_a_depth_picture_that_is_too_large(tmp_path, monkeypatch, depth, size):
    monkeypatch.setattr(depth_image, "MOST_VERTICES", 41)
    assert refusal(depth_file(tmp_path, depth)) == f"a depth picture has at most 41 pixels, it has {size}"


def test_a_damaged_depth_picture(tmp_path):
    path = depth_file(tmp_path)
    path.write_bytes(b"GIF89a")
    assert refusal(path) == "a depth picture (PNG with 16 bits of grey) was wanted: it is none"


@pytest.mark.parametrize(
    "text, want",
    [
        ("{" + " " * (1 << 20) + "}", "intrinsics as JSON were wanted: it has 1048578 bytes"),
        ("[10, 10]", "intrinsics such as .* were wanted, got list"),
        ("fx = 10", "intrinsics as JSON were wanted: Expecting value"),
    ],
    ids=["too long", "a list", "no JSON"],
)
def test_intrinsics_that_are_none(tmp_path, text, want):
    path = depth_file(tmp_path, text=text)
    with pytest.raises(FormatError, match=want) as caught:
        formats.read(path)
    assert str(caught.value).startswith(str(tmp_path / "a.json"))


@pytest.mark.parametrize(
    "camera, want",
    [
        ({"fy": 0}, "focal lengths should be above 0, are 10 and 0"),
        ({"fx": -10}, "focal lengths should be above 0, are -10 and 20"),
        ({"K": [10, 0, 3, 0, 10, 2.5]}, "K should be fx 0 cx, 0 fy cy, 0 0 1 without skew, is [10, 0, 3, 0, 10, 2.5]"),
        ({"K": "none"}, "K should be fx 0 cx, 0 fy cy, 0 0 1 without skew, is 'none'"),
        ({"depth_scale": 0}, "depth_scale should be a number above 0, is 0"),
        ({"depth_unit_mm": "1 mm"}, "depth_unit_mm should be a number above 0, is '1 mm'"),
        ({"k1": 0.1}, "k1 should be 0: pictures with distortion are not read; undistort a.depth.png"),
        ({"D": [[0, 0.1]]}, "D should be 0: pictures with distortion are not read; undistort a.depth.png"),
    ],
)
def test_wrong_intrinsics(tmp_path, camera, want):
    assert refusal(depth_file(tmp_path, **camera)) == want


@pytest.mark.parametrize("none", [{"k1": 0, "p2": 0.0}, {"D": None}, {"D": []}, {"dist_coeffs": [[0, 0, 0.0, 0, 0]]}])
def test_distortion_of_0_is_none(tmp_path, none):
    scan = formats.read(depth_file(tmp_path, **none))
    corner = DEPTH[0, 0] * np.array([-3 / 10, 2.5 / 20, -1])
    np.testing.assert_allclose(scan.vertices[0], corner, rtol=1e-6)


# ---- MATLAB: which arrays are the points ----


def read_mat(folder, **variables):
    savemat(folder / "a.mat", variables)
    return formats.read(folder / "a.mat")


def test_x_y_z_as_columns_are_a_list(tmp_path):
    scan = read_mat(tmp_path, X=X.reshape(-1, 1), Y=Y.reshape(-1, 1), Z=Z.reshape(-1, 1))
    np.testing.assert_array_equal(scan.vertices, CAP.astype(np.float32))
    assert scan.history[0]["variable"] == "X" and "grid" not in scan.history[0]["meshed"]


@pytest.mark.parametrize(
    "axes",
    [
        {"x": X, "y": Y},
        {"x": X, "y": Y, "z": Z[:, 1:]},
        {"x": X[:4, :4], "y": Y[:4, :4], "z": Z[:4, :4]},
        {"x": X, "Y": Y, "Z": Z},
    ],
    ids=["no z", "another shape", "too few", "other letters"],
)
def test_x_y_z_that_are_no_points(tmp_path, axes):
    """They are listed if they are all, and do not stand in the way of points."""
    with pytest.raises(FormatError, match="N x 3 or H x W x 3, was wanted, it holds x "):
        read_mat(tmp_path, **axes)
    assert read_mat(tmp_path, points=CAP, **axes).history[0]["variable"] == "points"


@pytest.mark.parametrize(
    "mask, used",
    [
        (X + Y < 11, True),
        ((X + Y < 11).T, False),
        (X + Y, False),
        ((X + Y < 11)[:, 1:], False),
    ],
    ids=["of its shape", "turned", "other numbers", "smaller"],
)
def test_masks(tmp_path, mask, used):
    """Only one of the shape of the range image, with 0 and 1 alone, leaves points out."""
    scan = read_mat(tmp_path, scan={"p": GRID, "valid": mask})
    assert scan.history[0].get("mask") == ("scan.valid" if used else None)
    np.testing.assert_array_equal(scan.vertices, CAP[: COUNT - used].astype(np.float32))


# ---- MATLAB: the bytes of a file ----


def element(kind, body, order="<"):
    return struct.pack(order + "II", kind, len(body)) + body + bytes(-len(body) % 8)


def matrix(what, *parts, name="a", shape=(1, 1), order="<"):
    """An array of a class; the parts are elements. `shape` None: it has none, as objects."""
    head = element(6, struct.pack(order + "II", what, 0), order)
    dims = b"" if shape is None else element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, head + dims + element(1, name.encode(), order) + b"".join(parts), order)


def packed(content):
    body = zlib.compress(content)
    return struct.pack("<II", 15, len(body)) + body


def points_matrix(name="points", order="<"):
    numbers = element(9, CAP.T.astype(order + "f8").tobytes(), order)
    return matrix(6, numbers, name=name, shape=CAP.shape, order=order)


def mat_of(folder, *elements, order="<"):
    mark = b"\x00\x01IM" if order == "<" else b"\x01\x00MI"
    path = folder / "a.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + mark + b"".join(elements))
    return path


def struct_of(fields, *values, width=8, shape=(1, 1)):
    names = b"".join(field.encode().ljust(8, b"\0") for field in fields)
    return matrix(2, element(5, struct.pack("<i", width)), element(1, names), *values, name="s", shape=shape)


def test_big_endian(tmp_path):
    scan = formats.read(mat_of(tmp_path, points_matrix(order=">"), order=">"))
    np.testing.assert_array_equal(scan.vertices, CAP.astype(np.float32))


def test_an_object_does_not_hide_the_points(tmp_path):
    """A table, say: its name comes where other arrays have their dimensions."""
    thing = matrix(17, element(1, b"MCOS"), element(1, b"table"), name="t", shape=None)
    found = mat_file.read_arrays(mat_of(tmp_path, thing, points_matrix()))
    assert found.others == {"t": "object"}
    np.testing.assert_array_equal(found.arrays["points"], CAP)


def test_numbers_between_the_arrays_are_skipped(tmp_path):
    found = mat_file.read_arrays(mat_of(tmp_path, element(9, bytes(8)), points_matrix()))
    assert list(found.arrays) == ["points"] and not found.others


def test_an_empty_field_is_skipped(tmp_path):
    path = mat_of(tmp_path, struct_of(["nothing", "p"], element(14, b""), points_matrix(name="")))
    found = mat_file.read_arrays(path)
    assert list(found.arrays) == ["s.p"] and not found.others


def test_an_array_of_structs_is_named_only(tmp_path):
    path = mat_of(tmp_path, struct_of(["p"], points_matrix(""), points_matrix(""), shape=(1, 2)))
    assert refusal(path).endswith("was wanted, it holds s (struct of 2)")


FLAGS, SCALAR = element(6, struct.pack("<II", 6, 0)), element(5, struct.pack("<ii", 1, 1))
DAMAGED = {
    "a broken element": (element(14, b"12345678")[:-1], "an element of 8 bytes was wanted, 7 are left"),
    "another element": (element(16, b"text"), "an array was wanted, got an element of type 16"),
    "a short stream": (packed(matrix(6)[:-1]), "was wanted, it unpacks to "),
    "no stream of zlib": (element(15, b"12345678"), "a compressed array cannot be unpacked: "),
    "no flags": (element(14, SCALAR), "the flags of an array were wanted"),
    "no dimensions": (element(14, FLAGS + element(5, b"")), "the dimensions of an array were wanted"),
    "below zero": (matrix(6, shape=(-1, 3)), "the dimensions of an array were wanted"),
    "dimensions as text": (element(14, FLAGS + element(16, b"1x1")), "numbers were wanted, got an element of type 16"),
    "a long small element": (element(14, FLAGS + struct.pack("<HHI", 5, 8, 0)), "at most 4 bytes, one has 8"),
    "a part that is too long": (element(14, FLAGS + struct.pack("<II", 5, 99)), "of 99 bytes was wanted, 0 are left"),
    "too few numbers": (matrix(6, element(9, bytes(8)), shape=(2, 1)), "a should have 2 numbers, has 1"),
    "fields without names": (struct_of([], width=0), "the fields of s have names of 0 bytes"),
    "a field of another kind": (struct_of(["p"], element(9, bytes(8))), "the field p of s should be an array"),
    "a broken tag": (b"\x0e\0\0", "a MATLAB file was wanted, it breaks off or is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_matlab_file(tmp_path, damage):
    content, want = DAMAGED[damage]
    assert want in refusal(mat_of(tmp_path, content))


def old(name, rows, columns, body, *, kind=0, imaginary=0):
    """An array of version 4; `kind`: 0 numbers, 1 text, 2 sparse."""
    return struct.pack("<5i", kind, rows, columns, imaginary, len(name) + 1) + name.encode() + b"\0" + body


def test_version_4(tmp_path):
    points = old("p", *CAP.shape, CAP.T.tobytes())
    others = old("name", 1, 4, bytes(32), kind=1) + old("s", 2, 3, bytes(48), kind=2)
    (tmp_path / "a.mat").write_bytes(others + old("z", 2, 2, bytes(64), imaginary=1) + points)
    found = mat_file.read_arrays(tmp_path / "a.mat")
    assert found.others == {"name": "text", "s": "sparse", "z": "complex"}
    np.testing.assert_array_equal(found.arrays["p"], CAP)


def test_version_4_breaks_off(tmp_path):
    (tmp_path / "a.mat").write_bytes(old("p", *CAP.shape, CAP.T.tobytes())[:-1])
    assert refusal(tmp_path / "a.mat") == f"{COUNT} x 3 numbers were wanted, it breaks off"


@pytest.mark.parametrize("version", [4, 5])
def test_a_matlab_file_of_too_many_arrays(tmp_path, monkeypatch, version):
    monkeypatch.setattr(mat_file, "_MOST_FIELDS", 2)
    path = mat_of(tmp_path, *map(points_matrix, "abc"))
    if version == 4:
        path.write_bytes(b"".join(old(name, 1, 1, bytes(8)) for name in "abc"))
    assert refusal(path) == "a file has at most 2 arrays, it has more"
