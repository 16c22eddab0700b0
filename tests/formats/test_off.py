"""Geomview .off. What each construct becomes is in `docs/formats/off.toml`."""

import numpy as np
import pytest

from fer3d import formats
from fer3d.errors import FormatError
from fer3d.scan import Scan
from tests.formats.examples.off import binary

VERTICES = np.array([[0, 0, 0.5], [2, 0, 0.25], [2, 3, -1], [0, 3, 0.125]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
OFF = "OFF\n# a comment\n4 2 5\n0 0 0.5\n2 0 0.25\n2 3 -1\n0 3 0.125\n\n3 0 1 2\n3 0 2 3\n"


@pytest.fixture
def read(tmp_path):
    def read_content(content):
        path = tmp_path / "a.off"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return formats.read(path)

    return read_content


def test_triangles_and_a_polygon(read):
    scan = read(OFF)
    np.testing.assert_array_equal(scan.vertices, VERTICES)
    np.testing.assert_array_equal(scan.faces, FACES)
    quad = read(OFF.replace("3 0 1 2\n3 0 2 3", "4 0 1 2 3").replace("4 2 5", "4 1 0"))
    np.testing.assert_array_equal(quad.faces, FACES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("PLY\n", "should begin with 'OFF' or 'COFF'"),
        ("OFFICE\n1 2\n", "should begin with 'OFF' or 'COFF'"),
        ("OFF\n", "the number of vertices and of faces was wanted after 'OFF', found nothing"),
        (OFF.replace("4 2 5", "4"), "line 3: the number of vertices and of faces was wanted after 'OFF', found 4"),
        (OFF.replace("4 2 5", "4 2.5"), "was wanted after 'OFF', found 4 2.5"),
        (OFF.replace("4 2 5", "-4 2"), "was wanted after 'OFF', found -4 2"),
        (OFF.replace("4 2", "1000000000 2"), "says 1000000000 vertices and 2 faces, 82 bytes cannot hold them"),
        (OFF.replace("4 2", "4 3"), "says 4 vertices and 3 faces, it has 6 lines of them"),
        (OFF.replace("4 2", "5 1"), "line 9: a vertex of OFF should have 3 numbers, as many on each line; it has 4"),
        (OFF.replace("3 0 2 3", "3 0 2 4"), "a face names vertex 4, counted from 0; it has 4"),
        (OFF.replace("3 0 2 3", "3 0 2 1.5"), "indices of vertices should be whole numbers, one is 1.5"),
        (OFF.replace("3 0 2 3", "nan 0 2 3"), "line 10: a face should be its number of corners"),
        (OFF.replace("3 0 2 3", "-1 0 2 3"), "line 10: a face should be its number of corners"),
        (OFF.replace("4 2", "4 0"), "at least one face was wanted"),
        (OFF.replace("2 3 -1", "2 3 x"), r"line 6 \(byte 43\): `x` is not a number"),
        (OFF.replace("2 3 -1", "2,3,-1"), "is not a number"),
        (b"OFF BINARY\n\0\0", "after 'BINARY', the file ends"),
        (b"OFF BINARY", "after 'BINARY', the file ends"),
        (binary(faces=[[0, 1, 2]], colours=((1, 2),)), "a colour of 0, 1, 3 or 4 numbers, one has 2"),
    ],
)
def test_what_is_wrong_is_named(read, content, message):
    with pytest.raises(FormatError, match=message) as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_comments_without_end_take_no_time(read):
    with pytest.raises(FormatError, match="should begin with 'OFF'"):
        read("# \n" * 300_000 + "x")


@pytest.mark.parametrize(
    "colours", [None, [[255, 0, 0], [0, 128, 0], [1, 2, 3], [9, 9, 9]], [[1, 0, 0], [0, 1, 0]] * 2]
)
def test_what_is_written_reads_back(tmp_path, colours):
    rgb = None if colours is None else np.array(colours, np.float32)
    formats.write(Scan.of(VERTICES, FACES, colours=rgb), tmp_path / "a.off")
    back = formats.read(tmp_path / "a.off")
    np.testing.assert_array_equal(back.vertices, VERTICES)
    np.testing.assert_array_equal(back.faces, FACES)
    assert back.warnings == ()
    if rgb is None:
        assert back.colours is None
    else:
        np.testing.assert_allclose(back.colours, rgb, rtol=0, atol=1e-5)


def test_colours_of_some_vertices_are_written(tmp_path):
    colours = np.array([[255, 0, 0], [np.nan] * 3, [1, 2, 3], [9, 9, 9]], np.float32)
    formats.write(Scan.of(VERTICES, FACES, colours=colours), tmp_path / "a.off")
    np.testing.assert_allclose(formats.read(tmp_path / "a.off").colours, colours, rtol=0, atol=1e-4)
