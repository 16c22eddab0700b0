"""Generic meshes through trimesh; `test_obj.py` has the tests of .obj alone."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer3d import formats
from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.scan import Scan

VERTICES = np.array([[0, 0, 0.5], [2, 0, 0.25], [2, 3, -1], [0, 3, 0.125]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
UV = np.array([[0.1, 0.2], [0.9, 0.25], [0.8, 0.7], [0.05, 0.6]], np.float32)
TEXTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
HEAD = Path(__file__).parents[2].parent / "shared" / "data" / "lee_perry_smith" / "LeePerrySmith.ply"


@pytest.fixture
def read(tmp_path):
    def read_content(content, name):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return formats.read(path)

    return read_content


def same_mesh(scan):
    np.testing.assert_array_equal(scan.vertices, VERTICES)
    np.testing.assert_array_equal(scan.faces, FACES)


# ---- what is written reads back ----


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".off", ".stl", ".OBJ", ".PLY"])
def test_round_trip(tmp_path, suffix):
    scan = Scan.of(VERTICES, FACES, uv=UV, texture=TEXTURE)
    path = tmp_path / f"Kopf é 顔{suffix}"
    formats.write(scan, path)
    back = formats.read(path)
    same_mesh(back)
    assert back.warnings == ()
    if suffix.lower() in (".off", ".stl"):  # they have no place for it
        assert back.uv is None
        return
    np.testing.assert_array_equal(back.uv, UV)
    np.testing.assert_array_equal(back.texture, TEXTURE)
    without = formats.read(path, texture=False)
    np.testing.assert_array_equal(without.uv, back.uv)
    assert without.texture is None


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".off", ".stl"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_coordinates_survive_at_every_scale(tmp_path, suffix, scale):
    rng = np.random.default_rng(3)
    scan = Scan.of(rng.normal(0, scale, (30, 3)), np.arange(30).reshape(10, 3))
    formats.write(scan, tmp_path / f"a{suffix}")
    back = formats.read(tmp_path / f"a{suffix}")
    tolerance = 1e-9 * scale if suffix != ".off" else 1e-7 * max(scale, 1)  # .off has ten decimals
    np.testing.assert_allclose(back.vertices, scan.vertices, rtol=1e-7, atol=tolerance)
    np.testing.assert_array_equal(back.faces, scan.faces)


def test_what_cannot_be_written(tmp_path):
    scan = Scan.of(VERTICES, FACES)
    with pytest.raises(ArgumentError, match=r"`path` should end in one of \.wrl, \.bnt, .*, is .*a\.xyz"):
        formats.write(scan, tmp_path / "a.xyz")
    with pytest.raises(ArgumentError, match=r"`path` should end in one of \.wrl"):
        formats.read(tmp_path / "a")
    with pytest.raises(ArgumentError, match="at least one face"):
        formats.write(Scan.of(VERTICES, np.empty((0, 3))), tmp_path / "a.ply")
    with pytest.raises(FileError, match="cannot be written"):
        formats.write(scan, tmp_path / "none" / "a.obj")


def test_is_scan():
    for name in ("a.wrl", "b/c.BNT", "x.abs", "x.ABS.gz", "a b.Obj", "ü.ply", "a.stl", "a.glb", "a.gltf", "a.off"):
        assert formats.is_scan(name)
    for name in ("a.bmp", "wrl", "a.gz", "a.wrl.bak", "a.lm3", ""):
        assert not formats.is_scan(name)


# ---- ply ----


def ply(vertices=4, faces=2, rows="0 0 .5\n2 0 .25\n2 3 -1\n0 3 .125\n", polygons="3 0 1 2\n3 0 2 3\n", more="", f=""):
    return (
        f"ply\nformat ascii 1.0\ncomment TextureFile skin.png\nelement vertex {vertices}\nproperty float x\n"
        f"property float y\nproperty float z\n{more}element face {faces}\nproperty list uchar int vertex_indices\n{f}"
        f"end_header\n{rows}{polygons}"
    )


def test_ply_text_and_quads(read):
    same_mesh(read(ply(), "a.ply"))
    same_mesh(read(ply(faces=1, polygons="4 0 1 2 3\n"), "a.ply"))
    mixed = read(ply(faces=2, polygons="4 0 1 2 3\n3 0 1 3\n"), "a.ply")
    assert len(mixed.faces) == 3


def test_ply_uv_of_vertices_and_the_texture_it_names(read, tmp_path):
    Image.fromarray(TEXTURE).save(tmp_path / "SKIN.png")
    rows = "0 0 .5 .1 .2\n2 0 .25 .9 .25\n2 3 -1 .8 .7\n0 3 .125 .05 .6\n"
    for names in (("s", "t"), ("u", "v"), ("texture_u", "texture_v")):
        scan = read(ply(rows=rows, more="property float {}\nproperty float {}\n".format(*names)), "a.ply")
        same_mesh(scan)
        np.testing.assert_array_equal(scan.uv, UV)
        np.testing.assert_array_equal(scan.texture, TEXTURE)
        assert "its texture 'skin.png' is not beside it; SKIN.png was used" in scan.warnings[0]


def test_ply_uv_of_corners_split_their_vertex(read):
    polygons = "3 0 1 2 6 .1 .2 .9 .25 .8 .7\n3 0 2 3 6 .3 .4 .8 .7 .05 .6\n"
    scan = read(ply(polygons=polygons, f="property list uchar float texcoord\n"), "a.ply")
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 3, 0])
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2], [4, 2, 3]])
    np.testing.assert_array_equal(scan.vertices, VERTICES[scan.file_vertex])
    np.testing.assert_array_equal(scan.uv, [*UV, np.array([0.3, 0.4], np.float32)])
    assert (scan.history[0]["vertices"], scan.history[0]["split_vertices"]) == (4, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("nothing", "should begin with 'ply' and have an 'end_header'"),
        (ply(vertices=1_000_000_000), "its header says 1000000000 of element 'vertex'; 47 bytes cannot hold them"),
        (ply(faces=10**17), "its header says 100000000000000000 of element 'face'"),
        (ply(vertices="many"), "'element NAME COUNT' was wanted, the header says 'element vertex many'"),
        (ply(faces=0, polygons=""), "faces were wanted, it holds points alone"),
        (ply(polygons="3 0 1 2\n3 0 2 4\n"), "a face names vertex 4, counted from 0; it has 4"),
        (ply(polygons="3 0 1 2\n3 0 2 -1\n"), "a face names vertex -1"),
        (ply(polygons="3 0 1 2\n3 0 zwei 3\n"), "cannot be read as .ply"),
        (ply(polygons="2 0 1\n2 0 2\n"), "polygons of at least 3 corners were wanted"),
        (ply(polygons="3 0 1 2\n"), "its header says 2 of element 'face', it holds 1"),
        (ply().replace("property float y\n", ""), "cannot be read as .ply"),
        (ply().replace("ascii", "binary_little_endian"), "cannot be read as .ply|cannot hold them"),
    ],
)
def test_what_is_wrong_with_a_ply_is_named(read, text, message):
    with pytest.raises(FormatError, match=message):
        read(text, "ein Kopf.ply")


@pytest.mark.skipif(not HEAD.exists(), reason="the head scan is not part of the project")
def test_a_real_head():
    scan = formats.read(HEAD)
    assert (len(scan.vertices), len(scan.faces)) == (9223, 17684)
    assert scan.file_vertex is None


# ---- stl, off ----


def test_stl_corners_at_the_same_place_are_one_vertex(tmp_path):
    formats.write(Scan.of(VERTICES, FACES), tmp_path / "a.stl")
    scan = formats.read(tmp_path / "a.stl")
    same_mesh(scan)
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 5])  # corners of the file
    assert scan.history[0]["corners"] == 6
    assert scan.history[0]["merged"] == "corners at the same place are one vertex"


def test_stl_text_and_negative_zero(read):
    facets = "".join(
        "facet normal 0 0 1\nouter loop\n"
        + "".join(f"vertex {x} {y} {z}\n" for x, y, z in face)
        + "endloop\nendfacet\n"
        for face in VERTICES[FACES].tolist()
    )
    same_mesh(read(f"solid a\n{facets}endsolid a\n", "a.stl"))
    same_mesh(read(f"solid a\n{facets}endsolid a\n".replace("vertex 0.0 0.0 0.5", "vertex -0.0 0.0 0.5", 1), "a.stl"))
    with pytest.raises(FormatError, match="breaks off before 'endsolid'"):
        read(f"solid a\n{facets}", "a.stl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(80) + struct.pack("<I", 1_000_000_000) + bytes(50), "says 1000000000 triangles, which take 50000000084"),
        (bytes(84), "at least one triangle was wanted, it has none"),
        (bytes(40), "its header says 0 triangles, which take 84 bytes; it has 40"),
        (b"solid\n" + b"x" * 90, "cannot be read as .stl|has none, or breaks off"),
    ],
)
def test_what_is_wrong_with_an_stl_is_named(read, content, message):
    with pytest.raises(FormatError, match=message):
        read(content, "a.stl")


OFF = "OFF\n# a comment\n4 2 5\n0 0 0.5\n2 0 0.25\n2 3 -1\n0 3 0.125\n\n3 0 1 2\n3 0 2 3\n"


def test_off(read):
    same_mesh(read(OFF, "a.off"))
    quad = read(OFF.replace("3 0 1 2\n3 0 2 3", "4 0 1 2 3").replace("4 2 5", "4 1 0"), "a.off")
    assert quad.faces.tolist() == [[0, 1, 2], [2, 3, 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("PLY\n", "should begin with 'OFF' or 'COFF'"),
        ("OFF\n", "the number of vertices and of faces was wanted after 'OFF'"),
        (OFF.replace("4 2", "1000000000 2"), "says 1000000000 vertices and 2 faces, 6 lines cannot hold them"),
        (OFF.replace("4 2", "4 3"), "says 4 vertices and 3 faces"),
        (OFF.replace("4 2", "5 1"), "its 5 vertex lines should have 3 or more numbers, as many on each"),
        (OFF.replace("3 0 2 3", "3 0 2 4"), "outside the range of its vertices"),
        (OFF.replace("4 2", "4 0"), "at least one face was wanted|cannot be read"),
        (OFF.replace("2 3 -1", "2 3 x"), "cannot be read as .off: could not convert string to float"),
    ],
)
def test_what_is_wrong_with_an_off_is_named(read, text, message):
    with pytest.raises(FormatError, match=message):
        read(text, "a.off")
