"""Range images of Bosphorus, packed here byte by byte."""

import struct

import numpy as np

from tests.formats.examples import Example
from tests.formats.examples.pictures import RGB, saved

ROWS, COLUMNS = 3, 4


def planes():
    """x, y, z, u, v of 3 x 4 points; row 0 at the bottom, v down."""
    y, x = np.mgrid[:ROWS, :COLUMNS].astype(float)
    return np.stack([x, y, 5 + 0 * x, (x + 0.5) / COLUMNS, 1 - (y + 0.5) / ROWS])


def bnt(values=None, name=b"", zmin=-1e9, *, rows=ROWS, columns=COLUMNS, count=None, more=b""):
    """The bytes of a file."""
    values = planes() if values is None else values
    head = struct.pack("<HHdH", rows, columns, zmin, len(name)) + name
    return head + struct.pack("<I", values.size if count is None else count) + values.astype("<f8").tobytes() + more


def hole(value=-1e9, axes=(0, 1, 2)):
    """The planes with one background point."""
    out = planes()
    out[list(axes), 1, 1] = value
    return out


def _whole(scan):
    assert len(scan.vertices) == 12
    assert len(scan.faces) == 12
    np.testing.assert_array_equal(scan.vertices[5], [1, 1, 5])
    np.testing.assert_allclose(scan.uv[5], [1.5 / 4, 1.5 / 3], atol=1e-7)
    normal = np.cross(*(scan.vertices[scan.faces[0, k]] - scan.vertices[scan.faces[0, 0]] for k in (1, 2)))
    assert normal[2] > 0


def _hole(scan):
    assert len(scan.vertices) == 11
    assert 5 not in scan.file_vertex
    assert scan.file_vertex.max() == 11


def _textured(scan):
    _whole(scan)
    np.testing.assert_array_equal(scan.texture, RGB)


def _not_textured(scan):
    _whole(scan)
    assert scan.texture is None


def _far(scan):
    place = scan.vertices[5] - scan.placement[:3, 3]
    np.testing.assert_allclose(place, [500_001, 4_000_001, 5], atol=1e-6)


SKIN = {"skin.png": saved(RGB, "PNG")}
NAMED = b"skin.png"
FAR = planes() + np.array([500_000.0, 4_000_000.0, 0, 0, 0])[:, None, None]
STEP = planes()
STEP[2, :, 2:] += 100
BEYOND = b"../skin.png"

EXAMPLES = {
    "five planes x, y, z, u, v": Example("a.bnt", bnt(name=NAMED), SKIN, _textured),
    "zmin: points of the background": Example("a.bnt", bnt(hole(), NAMED), SKIN, _hole),
    "zmin in one coordinate only": Example("a.bnt", bnt(hole(axes=(2,)), NAMED), SKIN, _hole),
    "another zmin": Example("a.bnt", bnt(hole(0.125), NAMED, 0.125), SKIN, _hole),
    "the name of the picture": Example("a.bnt", bnt(name=b"skin.png\0\0"), SKIN, _textured),
    "a picture that is not there": Example("a.bnt", bnt(name=NAMED), check=_not_textured),
    "a picture in another folder": Example("a.bnt", bnt(name=BEYOND), SKIN, _textured),
    "no name of a picture": Example("a.bnt", bnt(), check=_not_textured),
    "a step in depth": Example(
        "a.bnt", bnt(STEP, NAMED), SKIN, lambda scan: np.testing.assert_array_equal(len(scan.faces), 8)
    ),
    "points far from the origin": Example("a.bnt", bnt(FAR, NAMED), SKIN, _far),
    "a count that is not 5 x rows x columns": Example("a.bnt", bnt(rows=4)),
    "bytes after the numbers": Example("a.bnt", bnt(more=b"\0")),
    "a count that the file cannot hold": Example("a.bnt", bnt(count=10**9)),
    "no point": Example("a.bnt", bnt(np.zeros(0), rows=0)),
    "only background": Example("a.bnt", bnt(np.full((5, 3, 4), -1e9))),
    "a header that breaks off": Example("a.bnt", bnt()[:9]),
}
