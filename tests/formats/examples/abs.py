"""FRGC range images."""

import gzip

import numpy as np

from tests.formats.examples import Example
from tests.formats.examples.pictures import RGB, saved


def _file(flags="1 1 1 0 1 1", more="", x="0 1 2 9 1 2", y="1 1 1 9 0 0", z="5 5 5 9 5 5", rows=2, ends="\n"):
    lines = [f"{rows} rows", "3 columns", "pixels (flag X Y Z):", flags, x, y, z, more]
    return ends.join(lines).encode()


def _grid(scan):
    np.testing.assert_array_equal(scan.vertices, [[0, 1, 5], [1, 1, 5], [2, 1, 5], [1, 0, 5], [2, 0, 5]])
    assert len(scan.faces) == 3  # the cell with the missing corner gives one
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 4, 5])
    np.testing.assert_allclose(scan.uv[0], [1 / 6, 3 / 4], atol=1e-7)


def _textured(scan):
    _grid(scan)
    np.testing.assert_array_equal(scan.texture, RGB)


def _four(scan):
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 4])


def _far(scan):
    np.testing.assert_allclose(scan.vertices[0] - scan.placement[:3, 3], [7_000_000, 1, 5], atol=1e-6)


FAR = "7000000 7000001 7000002 9 7000001 7000002"
FLAGGED = "5 5 5 9 5 -999999"
PPM = {"a.ppm": saved(RGB, "PPM")}
EXAMPLES = {
    "flags, then X, Y, Z, each row by row": Example("a.abs", _file(), check=_grid),
    "gzip": Example("a.abs.gz", gzip.compress(_file(), mtime=0), check=_grid),
    "a .gz that is not compressed": Example("a.abs.gz", _file(), check=_grid),
    "one line or many": Example("a.abs", _file(x="0\n1 2\n9\t1 2"), check=_grid),
    "CR LF": Example("a.abs", _file(ends="\r\n"), check=_grid),
    "a picture of its name": Example("a.abs", _file(), PPM, _textured),
    "-999999 at a flag of 1": Example("a.abs", _file(z=FLAGGED), check=_four),
    "points far from the origin": Example("a.abs", _file(x=FAR), check=_far),
    "a flag other than 0 and 1": Example("a.abs", _file(flags="1 1 1 0 1 2")),
    "numbers after the last plane": Example("a.abs", _file(more="7\n")),
    "fewer numbers than points": Example("a.abs", _file(z="5 5 5")),
    "more points than bytes": Example("a.abs", _file(rows=999_999_999)),
    "no point": Example("a.abs", _file(rows=0)),
    "another header": Example("a.abs", _file().replace(b"columns", b"cols")),
    "a word among the numbers": Example("a.abs", _file(y="1 1 one 9 0 0")),
    "decimal commas": Example("a.abs", _file(y="1,5 1 1 9 0 0")),
    "a gzip stream that breaks off": Example("a.abs.gz", gzip.compress(_file(), mtime=0)[:-9]),
    "only flags of 0": Example("a.abs", _file(flags="0 0 0 0 0 0")),
}
