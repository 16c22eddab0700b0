"""Wavefront .obj and .mtl. `examples/obj.py` has a file for each construct; here is what takes more than one file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fer3d import _native, files, formats
from fer3d.errors import ArgumentError, FormatError
from fer3d.formats import mtl, obj_materials
from fer3d.scan import Scan
from tests.formats.examples.obj import EXAMPLES
from tests.work import calls

VERTICES = np.array([[0, 0, 0.5], [2, 0, 0.25], [2, 3, -1], [0, 3, 0.125]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
UV = np.array([[0.1, 0.2], [0.9, 0.25], [0.8, 0.7], [0.05, 0.6]], np.float32)
TEXTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.fixture
def read(tmp_path):
    def read_content(content, name="a.obj", **arguments):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return formats.read(path, **arguments)

    return read_content


def same_mesh(scan):
    np.testing.assert_array_equal(scan.vertices, VERTICES)
    np.testing.assert_array_equal(scan.faces, FACES)


V = "v 0 0 0.5\nv 2 0 0.25\nv 2 3 -1\nv 0 3 0.125\n"
VT = "vt 0.1 0.2\nvt 0.9 0.25\nvt 0.8 0.7\nvt 0.05 0.6\n"
VN = "vn 0 0 1\n"


@pytest.mark.parametrize(
    "text",
    [
        V + "f 1 2 3\nf 1 3 4\n",
        V + VN + "f 1//1 2//1 3//1\r\nf 1//1 3//1 4//1\r\n",
        V + "f 1 2 3 4",
        V + "f -4 -3 -2 -1\n",
        "# a comment\no head\ng face\n" + V.replace("0.5", "5e-1 # tip") + "s off\nf  1 2 3 # one\n\tf 1 3 4 \n",
        V + "f 1 2 \\\n3 4\n",
        "f 1 2 3\n" + V + "f 1 3 4\n",
    ],
)
def test_all_ways_to_write_an_obj(read, text):
    scan = read(text)
    same_mesh(scan)
    assert scan.uv is None and scan.colours is None
    assert scan.warnings == ()


@pytest.mark.parametrize("corner", ["{0}/{0}", "{0}/{0}/1", "-{1}/-{1}"])
def test_uv(read, corner):
    numbers = [corner.format(i, 5 - i) for i in range(1, 5)]
    scan = read(V + VT + VN + "f {0} {1} {2}\nf {0} {2} {3}\n".format(*numbers))
    same_mesh(scan)
    np.testing.assert_array_equal(scan.uv, UV)


def test_corners_with_two_uv_split_their_vertex(read):
    scan = read(V + VT + "f 1/1 2/2 3/3\nf 1/4 3/3 4\n")
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 3, 0])
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2], [4, 2, 3]])
    np.testing.assert_array_equal(scan.uv, [UV[0], UV[1], UV[2], [np.nan, np.nan], UV[3]])
    np.testing.assert_array_equal(scan.vertices, VERTICES[scan.file_vertex])


def test_texture_of_its_material(read, tmp_path):
    Image.fromarray(TEXTURE).save(tmp_path / "skin é.png")
    (tmp_path / "my mat.mtl").write_text(
        "newmtl other\nmap_Kd none.png\n\nnewmtl face\n map_Kd -s 1 1 1 -clamp on skin é.png\n", encoding="utf-8"
    )
    scan = read("mtllib my mat.mtl\n" + V + VT + "usemtl face\nf 1/1 2/2 3/3 4/4\n")
    np.testing.assert_array_equal(scan.texture, TEXTURE)
    assert scan.warnings == () and scan.wrap == ("clamp", "clamp")
    without = read("mtllib my mat.mtl\n" + V + VT + "usemtl face\nf 1/1 2/2 3/3 4/4\n", texture=False)
    np.testing.assert_array_equal(without.uv, scan.uv)
    assert without.texture is None
    scan = read("mtllib my mat.mtl\n" + V + VT + "usemtl other\nf 1/1 2/2 3/3 4/4\nusemtl face\nf 1/1 2/2 3/3")
    assert any("'none.png' is not beside it" in warning for warning in scan.warnings)
    scan = read("mtllib ../../none.mtl\n" + V + VT + "f 1/1 2/2 3/3 4/4\n")
    assert "its materials '../../none.mtl' are not beside it" in scan.warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (V, "at least one face was wanted, or 25 points of a surface; it has 4 points and 0 faces"),
        ("f 1 2 3\n", r"line 1 \(byte 0\): a face names vertex number 1, the file has 0"),
        (V + "f 1 2 5\n", "line 5 .*: a face names vertex number 5, the file has 4"),
        (V + "f 1 2 0\n", "line 5 .*: vertices are counted from 1, the face names 0"),
        (V + "f 1 2 -5\n", "line 5 .*: the face names the 5th last of its vertices, before it come 4"),
        (V + "f 1 2\n", "line 5 .*: `f` should have at least 3 corners, it has 2"),
        (V + "f\n", "line 5 .*: `f` should have at least 3 corners, it has 0"),
        (V + "f 1 2 x\n", "line 5 .*: `x` is not an integer"),
        (V + "f 1 2 /3\n", "line 5 .*: a corner of `f` should be like 1, 1/1, 1//1 or 1/1/1"),
        (V + "f 1 2 3 / 1\n", "line 5 .*: a corner of `f` should be like"),
        (V + "f 1 2 3-4\n", "line 5 .*: `3-4` is not an integer"),
        (V + "f 1 2 +-3\n", r"line 5 .*: `\+-3` is not an integer"),
        (V + "f 1,2,3\n", "line 5 .*: `1,2,3` is not an integer: wanted are .* blanks"),
        (V + "f 1 2 3 \\ \n4\n", r"line 5 .*: `\\` is not an integer"),
        (V + "f 1 2 \\\n# 3\n", "line 5 .*: `f` should have at least 3 corners, it has 2"),
        (V + "f 1 2 99999999999999\n", "line 5 .*: `99999999999999` is too large for an integer"),
        (V + "f 1 2 2147483648\n", "line 5 .*: `2147483648` is too large for an integer"),
        (V + "f 1 2 2147483647\n", "line 5 .*: a face names vertex number 2147483647"),
        (V + "f 1 2 -2147483648\n", "line 5 .*: the face names the 2147483648th last"),
        (V + VT + "f 1/1 2/2 3/5\n", "line 9 .*: a face names texture coordinates number 5, the file has 4"),
        (V + VT + "f 1/1 2/2 3/0\n", "line 9 .*: texture coordinates are counted from 1, the face names 0"),
        (V + VT + "f 1/1 2/2 3/x\n", "line 9 .*: `x` is not an integer"),
        (V + VT + "f 1/1/x 2/2 3/3\n", "line 9 .*: `x` is not an integer"),
        (V + "f 1/1 2/1 3/1\n", "line 5 .*: a face names texture coordinates number 1, the file has 0"),
        (V + "v 1 2\nf 1 2 3\n", "line 5 .*: `v` should have 3, 4, 6 or 7 numbers, it has 2"),
        (V + "v 1 2 3 4 5\nf 1 2 3\n", "line 5 .*: `v` should have 3, 4, 6 or 7 numbers, it has 5"),
        (V + "v 1 2 3 4 5 6 7 8 9 10\nf 1 2 3\n", "line 5 .*: `v` should have .*, it has more than 7"),
        (V + "v\nf 1 2 3\n", "line 5 .*: `v` should have 3, 4, 6 or 7 numbers, it has 0"),
        (V + "vt 1 2 3 4\nf 1 2 3\n", "line 5 .*: `vt` should have 1, 2 or 3 numbers, it has more than 3"),
        (V + "v 1 2 three\nf 1 2 3\n", r"line 5 \(byte \d+\): `three` is not a number"),
        (V + "v 1 2,3 4\nf 1 2 3\n", "line 5 .*: `2,3` is not a number: .* a decimal point and blanks"),
        (V + "v 1 2 3 \\\nv 1 2 3\nf 1 2 3\n", r"line 6 .*: `v` is not a number"),
        (V + "v 0x10 0 0\n", "line 5 .*: `0x10` is not a number"),
        (V + "v 1.#IO 0 0\n", "line 5 .*: `1.#IO` is not a number"),
        (V + "v 1/2 0 0\n", "line 5 .*: `1/2` is not a number"),
        (V.replace("\n", "\r") + "v x", "line 5 .*: `x` is not a number"),
        (V.replace("\n", "\r\n") + "v x", "line 5 .*: `x` is not a number"),
        ("\x00\x01garbage", "line 1 .*: plain text was wanted, this is a NUL byte"),
        (V + "f 1 2 3\nv 1 2\0 3\n", "line 6 .*: plain text was wanted, this is a NUL byte"),
    ],
)
def test_what_is_wrong_is_named(read, text, message):
    with pytest.raises(FormatError, match=message) as caught:
        read(text, "ein Kopf.obj")
    assert "ein Kopf.obj" in str(caught.value) and "\n" not in str(caught.value)


# ---- lines that a backslash joins ----


@pytest.mark.parametrize(
    "line", ["# C:\\x\\", "g C:\\x\\", "o C:\\x\\", "usemtl C:\\x\\", "mtllib C:\\x\\", "foo C:\\x\\"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_backslash_after_a_name_does_not_swallow_a_vertex(read, line, end):
    same_mesh(read((line + "\n" + V + "f 1 2 3\nf 1 3 4\n").replace("\n", end)))


def test_a_comment_after_numbers_ends_with_a_backslash(read):
    same_mesh(read(V.replace("-1", "-1 # C:\\x\\") + "f 1 2 3 # \\\nf 1 3 4\n"))


def test_a_name_is_not_continued_by_an_unknown_line(read):
    scan = read(V + "usemtl C:\\x\\\nfoo\nf 1 2 3\n")
    assert any("its unknown statements are left out: `foo` (1, the first in line 6)" in w for w in scan.warnings)


# ---- colours ----


def test_colours_are_in_1_or_in_255_in_the_whole_file(read):
    rows = "v 0 0 0 0.5 1 0\nv 1 0 0 {} 0 0\nv 1 1 0\nf 1 2 3\n"
    np.testing.assert_array_equal(read(rows.format(1)).colours, [[127.5, 255, 0], [255, 0, 0], [np.nan] * 3])
    np.testing.assert_array_equal(read(rows.format(2)).colours, [[0.5, 1, 0], [2, 0, 0], [np.nan] * 3])
    np.testing.assert_array_equal(read(rows.format("nan")).colours[1], [np.nan] * 3)


def test_negative_colours_are_left_out(read):
    scan = read("v 0 0 0 1 1 1\nv 1 0 0 -1 -1 -1\nv 1 1 0 0 0 0\nf 1 2 3\n")
    np.testing.assert_array_equal(scan.colours, [[255] * 3, [np.nan] * 3, [0] * 3])
    assert scan.warnings[0].endswith("1 colours of vertices lie outside [0, 255]: they are left out")


@pytest.mark.parametrize(
    ("four", "rgb"),
    [
        ("1 0 0.5 0", [0, 127.5, 0]),
        ("0 0.5 0 1", [0, 127.5, 0]),
        ("0 51 0 255", [0, 51, 0]),
        ("1 1 1 1", [255] * 3),
        ("1 0 0 1", None),
        ("1 0 0 255", None),
        ("0.5 1 1 0.5", None),
    ],
)
def test_seven_numbers(read, four, rgb):
    scan = read(V.replace("\n", f" {four}\n") + "f 1 2 3\n")
    if rgb is None:
        assert scan.colours is None and "which is not clear" in scan.warnings[0]
    else:
        np.testing.assert_array_equal(scan.colours, [rgb] * 4)
        assert scan.warnings == ()


# ---- materials ----


def test_a_library_is_read_once(read, tmp_path, monkeypatch):
    (tmp_path / "m.mtl").write_text("newmtl a\nmap_Kd q.png\n")
    Image.fromarray(TEXTURE).save(tmp_path / "q.png")
    opened = []
    monkeypatch.setattr(mtl, "read_bytes", lambda path: opened.append(path) or files.read_bytes(path))
    scan = read("mtllib m.mtl\nmtllib ./m.mtl\nmtllib m.mtl M.MTL\n" * 100 + V + VT + "usemtl a\nf 1/1 2/2 3/3\n")
    assert len(opened) == 1
    np.testing.assert_array_equal(scan.texture, TEXTURE)


def test_folders_are_listed_once(read, tmp_path, monkeypatch):
    listed = []
    iterdir = Path.iterdir
    monkeypatch.setattr(obj_materials.Path, "iterdir", lambda self: listed.append(self) or iterdir(self))
    scan = read("".join(f"mtllib m{k}.mtl\n" for k in range(500)) + V + "f 1 2 3\n")
    assert listed == [tmp_path]
    assert scan.warnings[0].endswith(
        "its materials 'm0.mtl', 'm1.mtl', 'm2.mtl', 'm3.mtl', 'm4.mtl' and 495 more are not beside it"
    )


@pytest.mark.parametrize("name", ["/etc/m.mtl", "../m.mtl", "C:\\a\\m.mtl", "..\\m.mtl", "file:///m.mtl"])
def test_libraries_outside_the_folder_are_searched_inside(read, tmp_path, name):
    (tmp_path / "m.mtl").write_text("newmtl a\nmap_Kd /somewhere/q.png\n")
    Image.fromarray(TEXTURE).save(tmp_path / "q.png")
    np.testing.assert_array_equal(read(f"mtllib {name}\nusemtl a\n" + V + VT + "f 1/1 2/2 3/3").texture, TEXTURE)


@pytest.mark.parametrize("picture", ["q.png", "../tex/q.png", "..\\tex\\q.png", "/home/x/q.png", "tex/q.png"])
def test_pictures_are_named_from_the_folder_of_the_library(read, tmp_path, picture):
    (tmp_path / "mat").mkdir()
    (tmp_path / "mat" / "m.mtl").write_text(f"newmtl a\nmap_Kd {picture}\n")
    place = tmp_path / "tex" if "tex" in picture else tmp_path / "mat"
    place.mkdir(exist_ok=True)
    Image.fromarray(TEXTURE).save(place / "q.png")
    Image.fromarray(255 - TEXTURE).save(tmp_path / "q.png")
    scan = read("mtllib mat/m.mtl\nusemtl a\n" + V + VT + "f 1/1 2/2 3/3")
    np.testing.assert_array_equal(scan.texture, TEXTURE)
    assert scan.warnings == ()


def test_each_material_moves_the_uv_of_its_own_faces(read, tmp_path):
    (tmp_path / "m.mtl").write_text(
        "newmtl a\nmap_Kd -s 2 q.png\nnewmtl b\nmap_Kd -o 0.5 0.25 q.png\nnewmtl c\nmap_Kd q.png\n"
    )
    Image.fromarray(TEXTURE).save(tmp_path / "q.png")
    text = "mtllib m.mtl\n" + V + VT + "usemtl a\nf 1/1 2/2 3/3\nusemtl b\nf 1/1 3/3 4/4\nusemtl c\nf 1/1 2/2 4\n"
    scan = read(text)
    np.testing.assert_array_equal(scan.texture, TEXTURE)
    wanted = np.array([[[0.1, 0.2], [0.9, 0.25], [0.8, 0.7]], [[0.1, 0.2], [0.8, 0.7], [0.05, 0.6]]])
    np.testing.assert_array_equal(scan.uv[scan.faces[0]], np.float32(wanted[0] * [2, 1]))
    np.testing.assert_array_equal(scan.uv[scan.faces[1]], np.float32(wanted[1] + [0.5, 0.25]))
    np.testing.assert_array_equal(scan.uv[scan.faces[2]], [UV[0], UV[1], [np.nan, np.nan]])
    assert scan.warnings[0].endswith(
        "material 'a', 'b': its options -s and -o are taken as uv * s + o, as most programs do"
    )


def test_only_materials_in_use_are_spoken_of(read, tmp_path):
    (tmp_path / "m.mtl").write_text("newmtl a\nmap_Kd q.png\nnewmtl b\nKd 1 0 0\nmap_Kd none.png\ndisp d.png\n")
    Image.fromarray(TEXTURE).save(tmp_path / "q.png")
    assert read("mtllib m.mtl\n" + V + VT + "usemtl b\nusemtl a\nf 1/1 2/2 3/3\nusemtl b\n").warnings == ()


@pytest.mark.parametrize(
    ("words", "file", "scale", "offset", "clamp"),
    [
        ("face.png", "face.png", (1, 1), (0, 0), False),
        ("-s 2 face.png", "face.png", (2, 1), (0, 0), False),
        ("-s 2 3 4 5 face.png", "5 face.png", (2, 3), (0, 0), False),
        ("-o 1 2 -s 3 4 5 -clamp on my face.png", "my face.png", (3, 4), (1, 2), True),
        ("-s 1 1 1.png", "1.png", (1, 1), (0, 0), False),
        ("-S 2 2 2 -CLAMP ON a.png", "a.png", (2, 2), (0, 0), True),
        ("-face.png", "-face.png", (1, 1), (0, 0), False),
        ("-s 1e999 a.png", "1e999 a.png", (1, 1), (0, 0), False),
        ("my face.png -s 2 2 2 -clamp on", "my face.png", (2, 2), (0, 0), True),
        ("-s 3 face.png -s 2 2 2", "face.png", (3, 1), (0, 0), False),
        ("my -s face.png", "my -s face.png", (1, 1), (0, 0), False),
        ("", "", (1, 1), (0, 0), False),
        ("-s", "", (1, 1), (0, 0), False),
    ],
)
def test_options_of_a_map(words, file, scale, offset, clamp):
    found = mtl._Map.of(words)
    assert (found.file, found.scale, found.offset, found.clamp) == (file, scale, offset, clamp)


def test_a_material_that_is_named_after_all_faces(read, tmp_path):
    (tmp_path / "m.mtl").write_text("newmtl a\nmap_Kd q.png\n")
    Image.fromarray(TEXTURE).save(tmp_path / "q.png")
    scan = read("mtllib m.mtl\n" + V + VT + "f 1/1 2/2 3/3\nusemtl a\n")
    np.testing.assert_array_equal(scan.texture, TEXTURE)
    assert scan.warnings[0].endswith(
        "no face has a known material, and only one is known with a picture: 'q.png' is taken for all faces"
    )


def test_a_library_in_a_hidden_folder(read, tmp_path):
    (tmp_path / ".mat").mkdir()
    (tmp_path / ".mat" / "m.mtl").write_text("newmtl a\nmap_Kd q.png\n")
    Image.fromarray(TEXTURE).save(tmp_path / ".mat" / "q.png")
    scan = read("mtllib .mat/m.mtl\nusemtl a\n" + V + VT + "f 1/1 2/2 3/3\n")
    np.testing.assert_array_equal(scan.texture, TEXTURE)


def test_names_in_quotes(read, tmp_path):
    (tmp_path / "m.mtl").write_text("newmtl a b\nmap_Kd q.png\n")
    Image.fromarray(TEXTURE).save(tmp_path / "q.png")
    scan = read('mtllib "m.mtl"\nusemtl "a b" # skin\n' + V + VT + "f 1/1 2/2 3/3\n")
    np.testing.assert_array_equal(scan.texture, TEXTURE)
    assert scan.warnings == ()


# ---- the scanner ----


@settings(max_examples=200)
@given(st.lists(st.sampled_from([e.content for e in EXAMPLES.values()]), min_size=1, max_size=3), st.data())
def test_damaged_text_is_read_or_refused(contents, data):
    text = bytearray(b"".join(contents))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(text)))
        more = data.draw(
            st.sampled_from([b"", b"\\\n", b"\\", b"#", b"\r", b" ", b"/", b"-", b"v ", b"\nf ", b"9", b"\xff"])
        )
        text[at : at + data.draw(st.integers(0, 3))] = more
    try:
        points, width, extra, uv, corners, uv_corners, sizes, keywords, table = _native.scan_obj(bytes(text))
    except _native.BlockError as error:
        assert 0 <= error.args[1] <= len(text)
        return
    assert points.shape == (len(width), 3) and len(extra) == (width.astype(int) - 3).sum()
    assert sizes.sum() == len(corners) and len(uv_corners) in (0, len(corners))
    assert not len(corners) or (corners.min() >= 0 and corners.max() < len(points))
    assert not len(uv_corners) or (uv_corners.min() >= -1 and uv_corners.max() < len(uv))
    assert not len(table) or (table[:, 0].max() < len(keywords) and (table[:, 2] <= table[:, 3]).all())
    assert (np.diff(table[:, 1]) > 0).all() and (np.diff(table[:, 4]) >= 0).all()
    assert not len(table) or table[:, 3].max() <= len(text)


@st.composite
def meshes(draw):
    """Statements of a file, and what they mean: corners and uv corners of each polygon, worked out line by line."""
    lines, polygons, points, uvs = [], [], 0, 0
    more = [draw(st.sampled_from(["v", "vt", "f", "vn", "g", "#"])) for _ in range(draw(st.integers(0, 30)))]
    for keyword in ["v", "v", "v", "vt", *more]:
        if keyword == "f":
            rows = [
                (draw(st.integers(0, points - 1)), draw(st.none() | st.integers(0, uvs - 1)))
                for _ in range(draw(st.integers(3, 6)))
            ]
            lines.append("f " + " ".join(draw(corner_words(row, uv, points, uvs)) for row, uv in rows))
            polygons.append([(row, -1 if uv is None else uv) for row, uv in rows])
            continue
        lines.append(
            {"v": f"v {points} 0 0", "vt": f"vt {uvs}", "vn": "vn 0 0 1", "g": "g v 1 2", "#": "# f 1 2"}[keyword]
        )
        points, uvs = points + (keyword == "v"), uvs + (keyword == "vt")
    return draw(st.sampled_from(["\n", "\r", "\r\n", " \n\t"])).join(lines), polygons


@st.composite
def corner_words(draw, row, uv, points, uvs):
    point = str(draw(st.sampled_from([row + 1, row - points])))
    normal = draw(st.sampled_from(["", "/", "/7"]))
    if uv is None:
        return point + ("" if not normal else "/" + normal)
    return f"{point}/{draw(st.sampled_from([uv + 1, uv - uvs]))}{normal}"


@given(meshes())
def test_faces_are_those_of_the_definition(mesh):
    text, polygons = mesh
    _, _, _, _, corners, uv_corners, sizes, _, _ = _native.scan_obj(text.encode())
    flat = [corner for polygon in polygons for corner in polygon]
    np.testing.assert_array_equal(sizes, [len(polygon) for polygon in polygons])
    np.testing.assert_array_equal(corners, [row for row, _ in flat])
    assert len(uv_corners) == (len(flat) if any(uv >= 0 for _, uv in flat) else 0)
    if len(uv_corners):
        np.testing.assert_array_equal(uv_corners, [uv for _, uv in flat])


words = st.floats(allow_nan=False, allow_infinity=False).map(repr)


@given(
    st.lists(st.tuples(words, words, words), min_size=3, max_size=8), st.sampled_from(["\n", "\r\n", "\r", " \\\n\n"])
)
def test_numbers_are_those_of_python(rows, end):
    text = "".join(f"v {' '.join(row)}{end}" for row in rows) + "f 1 2 3"
    points = _native.scan_obj(text.encode())[0]
    np.testing.assert_array_equal(points, [[float(word) for word in row] for row in rows])


@pytest.mark.parametrize(
    "line",
    [
        "v 0 0 0\n",
        "f 1 2 3\n",
        "usemtl x{}\n",
        "mtllib x{}.mtl\n",
        "kw{} 1\n",
        "g a\\\n",
        "foo \\\n",
        "# \\\n",
        "l 1 2\n",
        "\\\n",
    ],
)
def test_ten_times_as_many_lines_cost_ten_times_as_much(tmp_path, line):
    def work(count):
        path = tmp_path / "a.obj"
        path.write_text(V + "f 1 2 3\n" + "".join(line.format(k) for k in range(count)) + "\nf 1 2 3\n")
        return calls(lambda: formats.read(path))

    work(200)
    assert work(2000) <= 11 * work(200)


@pytest.mark.parametrize("piece", ["1", " ", "-s 1 ", " #", '"', " -s", "a.mtl ", "\\", "\nnewmtl x", "\nkw{}"])
def test_ten_times_as_many_words_of_a_library_cost_ten_times_as_much(tmp_path, piece):
    def work(count):
        words = "".join(piece.format(k) for k in range(count))
        (tmp_path / "m.mtl").write_text(f"newmtl a\nKd 1 1 {words}x\nmap_Kd -s {words}x\nmap_Ka q.png {words}\n")
        (tmp_path / "a.obj").write_text(f"mtllib m.mtl\nmtllib {words.strip()[:9000]}\nusemtl a\n" + V + "f 1 2 3\n")
        return calls(lambda: formats.read(tmp_path / "a.obj"))

    work(200)
    assert work(2000) <= 11 * work(200)
    work(40_000)  # an expression that tries again and again would not end


# ---- writing ----


def test_colours_and_missing_uv_read_back(tmp_path):
    rng = np.random.default_rng(5)
    rgb = rng.uniform(0, 255, (40, 3)).astype(np.float32)
    rgb[::3] = np.round(rgb[::3])
    rgb[1], rgb[2], rgb[3] = np.nan, 255, 0
    uv = rng.uniform(0, 1, (40, 2)).astype(np.float32)
    faces = np.array([[0, 1, 2], *rng.integers(0, 37, (60, 3)), [37, 38, 39]])
    uv[37:] = np.nan
    scan = Scan.of(rng.normal(size=(40, 3)), faces, uv=uv, texture=TEXTURE, colours=rgb, wrap=("clamp", "clamp"))
    formats.write(scan, tmp_path / "a.obj")
    back = formats.read(tmp_path / "a.obj")
    used = np.unique(faces)
    for name in ("vertices", "faces", "colours", "texture", "wrap"):
        np.testing.assert_array_equal(getattr(back, name), getattr(scan, name))
    np.testing.assert_array_equal(back.uv[used], uv[used])
    assert back.warnings == ()


def test_dark_colours_and_none_at_all_read_back(tmp_path):
    for rgb in (np.full((4, 3), 0.5, np.float32), np.full((4, 3), np.nan, np.float32), np.zeros((4, 3), np.float32)):
        formats.write(Scan.of(VERTICES, FACES, colours=rgb), tmp_path / "a.obj")
        back = formats.read(tmp_path / "a.obj")
        if np.isnan(rgb).all():
            assert back.colours is None
        else:
            np.testing.assert_array_equal(back.colours, rgb)


def test_a_texture_that_is_mirrored_cannot_be_written(tmp_path):
    scan = Scan.of(VERTICES, FACES, uv=UV, texture=TEXTURE, wrap=("mirror", "repeat"))
    formats.write(scan, tmp_path / "a.obj")
    with pytest.raises(ArgumentError, match=r"`scan.wrap` should be repeat or clamp along both axes, is \('mirror'"):
        formats.write(
            Scan.of(VERTICES, FACES, uv=UV * 2, texture=TEXTURE, wrap=("mirror", "repeat")), tmp_path / "a.obj"
        )


@pytest.mark.parametrize(
    "name", ["my face.obj", "a#1.obj", "#1.obj", "a #2.obj", "x.mtl y.obj", "é 顔.obj", "C:\\x.obj"]
)
def test_names_of_written_files_read_back(tmp_path, name):
    formats.write(Scan.of(VERTICES, FACES, uv=UV, texture=TEXTURE), tmp_path / name)
    back = formats.read(tmp_path / name)
    np.testing.assert_array_equal(back.texture, TEXTURE)
