"""Stereolithography files. What each construct becomes is in `docs/formats/stl.toml`."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer3d import formats
from fer3d.errors import FormatError
from fer3d.formats.rows import same_rows
from fer3d.scan import Scan
from tests.formats.examples.stl import binary, facet, text

VERTICES = np.array([[0, 0, 0.5], [2, 0, 0.25], [2, 3, -1], [0, 3, 0.125]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
FACETS = "".join(facet(face) for face in VERTICES[FACES].tolist())


@pytest.fixture
def read(tmp_path):
    def read_content(content):
        path = tmp_path / "a.stl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return formats.read(path)

    return read_content


def same_mesh(scan):
    np.testing.assert_array_equal(scan.vertices, VERTICES)
    np.testing.assert_array_equal(scan.faces, FACES)


def test_corners_at_the_same_place_are_one_vertex(tmp_path):
    formats.write(Scan.of(VERTICES, FACES), tmp_path / "a.stl")
    scan = formats.read(tmp_path / "a.stl")
    same_mesh(scan)
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 5])  # corners of the file
    assert (scan.history[0]["corners"], scan.history[0]["vertices"]) == (6, 4)
    assert scan.history[0]["merged"] == "corners at the same place are one vertex"


def test_text_and_negative_zero(read):
    same_mesh(read(text(facets=FACETS)))
    same_mesh(read(text(facets=FACETS.replace("vertex 0.0 0.0 0.5", "vertex -0.0 0.0 0.5", 1))))
    same_mesh(read(b"\xef\xbb\xbf \n" + text(facets=FACETS).encode()))


def test_text_keeps_its_digits(read):
    far = facet([[5e6 + 0.125, 5e6, 0], [5e6 + 1, 5e6, 0], [5e6, 5e6 + 1.0625, 0]])
    scan = read(text(facets=far))
    np.testing.assert_array_equal((scan.vertices - scan.placement[:3, 3])[0], [5e6 + 0.125, 5e6, 0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(80) + struct.pack("<I", 1_000_000_000) + bytes(50), "says 1000000000 triangles, which take 50000000084"),
        (bytes(84), "at least one triangle was wanted, it has none"),
        (bytes(40), "its header says 0 triangles, which take 84 bytes; it has 40"),
        (b"solid\n" + b"x" * 90, r"line 2 \(byte 6\): `facet` or `endsolid` was wanted, found `xxx"),
        (binary(b"solid x")[:-1], "says 2 triangles, which take 184 bytes; it has 183"),
        (text(facets=FACETS)[:-12], "line 15 .*: `facet` or `endsolid` was wanted, the file breaks off before"),
        ("solid", "`facet` or `endsolid` was wanted, the file breaks off"),
        ("facet normal 0 0 1\n", "`solid` was wanted, found `facet`"),
        (text(facets=FACETS.replace("2.0 0.0 0.25", "2.0 zwei 0.25")), "line 5 .*: `zwei` is not a number"),
        (text(facets=FACETS.replace("2.0 0.0 0.25", "2.0,0.0 0.25")), "line 5 .* is not a number"),
        (text(facets=FACETS.replace("2.0 0.0 0.25", "2.0 0.0")), "line 6 .*: `vertex` is not a number"),
        (text(facets=FACETS.replace("    endloop\n", "")), "`vertex` or `endloop` was wanted, found `endfacet`"),
        (text(facets=FACETS.replace("normal 0 0 1", "0 0 1")), "`normal` was wanted, found `0`"),
    ],
)
def test_what_is_wrong_is_named(read, content, message):
    with pytest.raises(FormatError, match=message) as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_normals_that_are_written(tmp_path):
    formats.write(Scan.of([[0, 0, 0], [2, 0, 0], [0, 2, 0]], [[0, 1, 2], [0, 0, 1]]), tmp_path / "a.stl")
    content = (tmp_path / "a.stl").read_bytes()
    assert struct.unpack_from("<3f", content, 84) == (0, 0, 1)
    assert struct.unpack_from("<3f", content, 134) == (0, 0, 0)  # it has no area


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, -1.5, float("nan")])] * 2), max_size=40),
       st.sampled_from([np.float32, np.float64]))  # fmt: skip
def test_rows_that_are_the_same(rows, dtype):
    table = np.array(rows, dtype).reshape(-1, 2)
    first, kind = same_rows(table)
    seen = {}
    expected = [seen.setdefault(row.tobytes(), len(seen)) for row in table]
    assert kind.tolist() == expected
    assert [table[i].tobytes() for i in first] == list(seen)
    assert (np.diff(first) > 0).all()
