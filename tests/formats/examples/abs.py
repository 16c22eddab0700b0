"""FRGC range images."""

import numpy as np

from tests.formats.examples import Example


def _file(flags="1 1 1 0 1 1", more=""):
    x, y, z = "0 1 2 9 1 2", "1 1 1 9 0 0", "5 5 5 9 5 5"
    return f"2 rows\n3 columns\npixels (flag X Y Z):\n{flags}\n{x}\n{y}\n{z}\n{more}".encode()


def _grid(scan):
    np.testing.assert_array_equal(scan.vertices, [[0, 1, 5], [1, 1, 5], [2, 1, 5], [1, 0, 5], [2, 0, 5]])
    assert len(scan.faces) == 3  # the cell with the missing corner gives one
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 4, 5])


EXAMPLES = {
    "flags, then X, Y, Z, each row by row": Example("a.abs", _file(), check=_grid),
    "a flag other than 0 and 1": Example("a.abs", _file(flags="1 1 1 0 1 2")),
    "numbers after the last plane": Example("a.abs", _file(more="7\n")),
}
