"""Stanford .ply. What each construct becomes is in `docs/formats/ply.toml`; here are values, mistakes and rules."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fer3d import formats
from fer3d.errors import FormatError
from fer3d.scan import Scan
from tests.formats.examples import ply as examples
from tests.formats.examples.ply import LIST, ROWS, TEXCOORD, TRIANGLES, XYZ, binary, text

VERTICES = np.array([[0, 0, 0.5], [2, 0, 0.25], [2, 3, -1], [0, 3, 0.125]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
UV = np.array([[0.1, 0.2], [0.9, 0.25], [0.8, 0.7], [0.05, 0.6]], np.float32)
HEAD = Path(__file__).parents[2].parent / "shared" / "data" / "lee_perry_smith" / "LeePerrySmith.ply"


@pytest.fixture
def read(tmp_path):
    def read_content(content, name="ein Kopf.ply"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return formats.read(path)

    return read_content


def test_uv_of_vertices_and_the_texture_it_names(read, tmp_path):
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "SKIN.png")
    rows = "0 0 .5 .1 .2\n2 0 .25 .9 .25\n2 3 -1 .8 .7\n0 3 .125 .05 .6\n"
    for names in (("s", "t"), ("u", "v"), ("texture_u", "texture_v")):
        more = "property float {}\nproperty float {}\n".format(*names)
        scan = read(text(rows, v=XYZ + more, pre="comment TextureFile skin.png\n"))
        np.testing.assert_array_equal(scan.vertices, VERTICES)
        np.testing.assert_array_equal(scan.uv, UV)
        assert scan.texture.shape == (4, 6, 3)
        assert "its texture 'skin.png' is not beside it; SKIN.png was used" in scan.warnings[0]


@pytest.mark.parametrize("packed", [False, True])
def test_uv_of_corners_split_their_vertex(read, packed):
    uv = [[0.1, 0.2, 0.9, 0.25, 0.8, 0.7], [0.3, 0.4, 0.8, 0.7, 0.05, 0.6]]
    if packed:
        rows = b"".join(
            b"\3" + face.tobytes() + b"\6" + np.array(six, "<f4").tobytes()
            for face, six in zip(FACES.astype("<i4"), uv, strict=True)
        )
        content = text("", "", f=LIST + TEXCOORD, form="binary_little_endian") + VERTICES.tobytes() + rows
    else:
        rows = "".join(f"3 {a} {b} {c} 6 {' '.join(map(str, six))}\n" for (a, b, c), six in zip(FACES, uv, strict=True))
        content = text("0 0 .5\n2 0 .25\n2 3 -1\n0 3 .125\n", rows, f=LIST + TEXCOORD)
    scan = read(content)
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 3, 0])
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2], [4, 2, 3]])
    np.testing.assert_array_equal(scan.vertices, VERTICES[scan.file_vertex])
    np.testing.assert_array_equal(scan.uv, [*UV, np.array([0.3, 0.4], np.float32)])
    assert (scan.history[0]["vertices"], scan.history[0]["split_vertices"]) == (4, 1)


POLYGONS = st.lists(st.lists(st.integers(0, 3), min_size=0, max_size=6), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(POLYGONS, st.sampled_from(["<", ">"]), st.sampled_from(["f4", "f8", "i2", "u1"]), st.sampled_from(["u1", "i4"]))
def test_text_and_binary_of_any_type_say_the_same(tmp_path_factory, polygons, order, point, count):
    """Binary with polygons of any sizes equals the same table in text; `test_polygons.py` has the triangles."""
    names = {"f4": "float", "f8": "double", "i2": "short", "u1": "uchar", "i4": "int"}
    folder = tmp_path_factory.mktemp("ply")
    rows = "".join(" ".join(map(str, [len(p), *p])) + "\n" for p in polygons)
    (folder / "a.ply").write_bytes(text(faces=rows, counts=(4, len(polygons))))
    packed = binary(order, point, names[point], count, names[count], faces=polygons)
    (folder / "b.ply").write_bytes(packed)
    if not any(len(p) > 2 for p in polygons):
        for name in ("a.ply", "b.ply"):
            with pytest.raises(FormatError, match="at least one face was wanted"):
                formats.read(folder / name)
        return
    scans = [formats.read(folder / name) for name in ("a.ply", "b.ply")]
    np.testing.assert_array_equal(scans[0].faces, scans[1].faces)
    for scan in scans:
        assert len(scan.faces) == sum(max(len(p) - 2, 0) for p in polygons)
        np.testing.assert_array_equal(scan.vertices, examples.POINTS)
        short = sum(len(p) < 3 for p in polygons)
        assert [f"{short} of its faces have fewer than 3 corners" in w for w in scan.warnings].count(True) == (
            short > 0
        )


def strip_faces(strip):
    """Slow reference: each three in a row, the odd ones turned."""
    faces, run = [], []
    for index in [*strip, -1]:
        run = [] if index == -1 else [*run, index]
        if len(run) >= 3 and len(set(run[-3:])) == 3:
            a, b, c = run[-3:]
            faces.append([b, a, c] if len(run) % 2 == 0 else [a, b, c])
    return faces


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 3), max_size=12), min_size=1, max_size=4))
def test_strips(tmp_path_factory, strips):
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    rows = "".join(" ".join(map(str, [len(s), *s])) + "\n" for s in strips)
    head = f"ply\nformat ascii 1.0\nelement vertex 4\n{XYZ}element tristrips {len(strips)}\n"
    path.write_text(f"{head}property list int int vertex_indices\nend_header\n{ROWS}{rows}")
    expected = [face for strip in strips for face in strip_faces(strip)]
    if expected:
        assert formats.read(path).faces.tolist() == expected
    else:
        with pytest.raises(FormatError, match="at least one face was wanted"):
            formats.read(path)


def test_faces_and_strips_are_joined(read):
    strips = "element tristrips 1\nproperty list int int vertex_indices\n"
    scan = read(text(faces="3 0 1 2\n3 0 2 3 3\n".replace("3 3\n", "3\n"), more=strips) + b"4 3 2 1 0\n")
    assert scan.faces.tolist() == [[0, 1, 2], [0, 2, 3], [3, 2, 1], [1, 2, 0]]


def test_rows_of_text_may_reach_over_lines(read):
    scan = read(text(ROWS.replace("1 1 0", "1\n1\n0"), TRIANGLES.replace("3 0 2 3", "3\n 0 2\n3")))
    np.testing.assert_array_equal(scan.vertices, examples.POINTS)
    np.testing.assert_array_equal(scan.faces, FACES)


def test_numbers_of_text_keep_their_digits(read):
    rows = "500000.125 5000000.0625 300\n500001.125 5000000.0625 300\n500001.125 5000001.0625 300\n"
    scan = read(text(rows, "3 0 1 2\n", counts=(3, 1)))
    back = scan.vertices - scan.placement[:3, 3]
    np.testing.assert_array_equal(back, np.fromstring(rows, sep=" ").reshape(3, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("nothing", "should begin with a line 'ply', begins with b'nothing'"),
        ("ply\nformat ascii 1.0\n", "its header has no 'end_header'"),
        ("ply\nend_header\n", "its header has no line 'format'"),
        (text(counts=(1_000_000_000, 2)), "element 'vertex': 1000000000 rows were wanted, 40 bytes cannot hold them"),
        (text(counts=(4, 10**17)), "element 'face': 100000000000000000 rows were wanted, 17 bytes cannot hold them"),
        (text(counts=("many", 2)), "'element NAME COUNT' was wanted, the header says 'element vertex many'"),
        (text(counts=("-4", 2)), "'element NAME COUNT' was wanted"),
        (
            text(counts=(4, 0), faces=""),
            "or 25 points of a surface; it has 4 points and 0 faces",
        ),
        (text(faces="3 0 1 2\n3 0 2 4\n"), "a face names vertex 4, counted from 0; it has 4"),
        (text(faces="3 0 1 2\n3 0 2 -1\n"), "a face names vertex -1"),
        (text(faces="3 0 1 2\n3 0 zwei 3\n"), r"line 15 \(byte \d+\): element 'face': `zwei` is not a number"),
        (text(faces="3 0 1 2\n3 0 2 1.5\n"), "indices of vertices should be whole numbers, one is 1.5"),
        (text(faces="3 0 1 2\n2.5 0 2 1\n"), "element 'face': row 1 has a list of 2.5"),
        (text(faces="3 0 1 2\n3000000000 0 2 1\n"), "element 'face': 2 rows were wanted, the file ends after 1"),
        (text(faces="2 0 1\n2 0 2\n"), "at least one face was wanted, it has 4 vertices and 0 faces"),
        (text(faces="3 0 1 2\n"), "element 'face': 2 rows were wanted, the file ends after 1"),
        (text(v=XYZ.replace("property float y\n", "")), "should have numbers x, y and z, it has x, z"),
        (text(form="binary_little_endian")[:-30], "rows were wanted|has a list of"),
        (text(v=XYZ.replace("property float x", "property list uchar float x")), "should have numbers x, y and z"),
        (text(pre="property float a\n"), "an element was wanted before its properties"),
        (text(v=XYZ + "property float\n"), "'property TYPE NAME' or 'property list TYPE TYPE NAME' was wanted"),
        (text(pre="format ascii 1.0\n"), "one line 'format' was wanted"),
        (examples.GRID.replace("num_rows 2", "num_rows 3"), "should have 3 x 3 rows as obj_info says, it has 6"),
        (examples.GRID.replace("1 4\n", "2 4 4\n"), "a pixel has one vertex or none, one has 2"),
        (examples.GRID.replace("1 4\n", "1 5\n"), "names vertex 5, counted from 0; it has 5"),
    ],
)
def test_what_is_wrong_is_named(read, content, message):
    with pytest.raises(FormatError, match=message) as caught:
        read(content)
    assert "\n" not in str(caught.value) and "ein Kopf.ply" in str(caught.value)


def test_a_header_that_claims_much_takes_no_memory(read):
    for kind in ("ascii", "binary_big_endian"):
        with pytest.raises(FormatError):
            read(text(counts=(10**17, 10**17), form=kind))
        with pytest.raises(FormatError):
            read(text("", "", counts=(10**17, 2), v="", form=kind))


def test_looks_of_a_nameless_kind_are_reported_in_one_line(read):
    scan = read(text(pre="comment " + "x" * 500 + ".png\n"))
    assert len(scan.warnings) == 1 and len(scan.warnings[0]) < 400


# ---- writing ----


@pytest.mark.parametrize("known", [True, False])
def test_colours_are_written(tmp_path, known):
    colours = np.array([[255, 0, 0], [0, 128, 0], [1, 2, 3], [9, 9, 9]], np.float32)
    if not known:
        colours[1] = np.nan
    formats.write(Scan.of(VERTICES, FACES, uv=UV, colours=colours), tmp_path / "a.ply")
    back = formats.read(tmp_path / "a.ply")
    np.testing.assert_allclose(back.colours, colours, rtol=0, atol=0 if known else 1e-4)
    np.testing.assert_array_equal(back.uv, UV)
    assert (b"property uchar red" in (tmp_path / "a.ply").read_bytes()) == known


@pytest.mark.skipif(not HEAD.exists(), reason="the head scan is not part of the project")
def test_a_real_head():
    scan = formats.read(HEAD)
    assert (len(scan.vertices), len(scan.faces)) == (9223, 17684)
    assert scan.file_vertex is None
