"""Geomview .off files."""

import numpy as np

from tests.formats.examples import Example
from tests.formats.examples.ply import BLUE, FACES, FOUR, POINTS, RED, ROWS, TRIANGLES, UV, bare, first_face, painted
from tests.formats.examples.ply import square as square
from tests.formats.examples.ply import with_uv as with_uv


def example(content, check=None):
    return Example("a.off", content.encode() if isinstance(content, str) else content, check=check)


def text(word="OFF\n", counts="4 2 5\n", rows=ROWS, faces=TRIANGLES):
    return word + counts + rows + faces


def _columns(extra):
    return "".join(f"{line} {more}\n" for line, more in zip(ROWS.splitlines(), extra, strict=True))


def binary(word="OFF", extra=None, colours=((), ()), faces=None, tail=b""):
    faces = FACES.tolist() if faces is None else faces
    table = POINTS if extra is None else np.hstack([POINTS, extra])
    rows = b"".join(
        np.array([len(f), *f, len(c)], ">i4").tobytes() + np.array(c, ">f4").tobytes()
        for f, c in zip(faces, colours, strict=True)
    )
    return (
        f"{word} BINARY\n".encode()
        + np.array([4, len(faces), 0], ">i4").tobytes()
        + table.astype(">f4").tobytes()
        + rows
        + tail
    )


def _mixed(scan):
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2], [0, 2, 3], [1, 2, 3]])


BYTES = ["255 0 0", "0 255 0", "0 0 255", "255 255 255"]
REALS = ["1. 0. 0. 1.", "0. 1. 0. 1.", "0. 0. 1. 1.", "1. 1. 1. 1."]
COORDINATES = [f"{u} {v}" for u, v in UV]

EXAMPLES = {
    "OFF": example(text(), square),
    "the word in small letters": example(text("off\n"), square),
    "no word": example(text(""), square),
    "another word": example(text("PLY\n")),
    "4OFF, nOFF": example(text("4OFF\n")),
    "nOFF with its number of dimensions": example(text("nOFF\n3\n")),
    "counts on the line of the word": example(text("OFF "), square),
    "no number of edges": example(text(counts="4 2\n"), square),
    "no counts": example("OFF\n"),
    "comments and empty lines": example(text("# a\nOFF # b\n", "# c\n\n4 2 0 # d\n", "\n" + ROWS + "#\n"), square),
    "line ends CR LF": example(text().replace("\n", "\r\n"), square),
    "line ends CR": example(text().replace("\n", "\r"), square),
    "NOFF": example(text("NOFF\n", rows=_columns(["0 0 1"] * 4)), bare),
    "COFF, whole numbers": example(text("COFF\n", rows=_columns(BYTES)), painted(*FOUR)),
    "COFF, real numbers and alpha": example(text("COFF\n", rows=_columns(REALS)), painted(*FOUR)),
    "STOFF": example(text("STOFF\n", rows=_columns(COORDINATES)), with_uv),
    "STCNOFF": example(
        text("STCNOFF\n", rows=_columns([f"0 0 1 {c} {t}" for c, t in zip(REALS, COORDINATES, strict=True)])),
        lambda scan: (with_uv(scan), painted(*FOUR)(scan)),
    ),
    "numbers after x y z in a file without C": example(text(rows=_columns(BYTES)), bare),
    "vertices of different length": example(text(rows=ROWS.replace("1 0 0\n", "1 0 0 9\n"))),
    "fewer numbers than the word says": example(text("COFF\n")),
    "polygons, triangles among them": example(text(faces="4 0 1 2 3\n3 1 2 3\n"), _mixed),
    "faces of fewer than 3 corners": example(text(faces="2 0 1\n3 0 1 2\n"), first_face),
    "an index below 0 or too large": example(text(faces="3 0 1 2\n3 0 2 -1\n")),
    "a face with fewer numbers than corners": example(text(faces="3 0 1 2\n4 0 2 3\n")),
    "colours of faces": example(text(faces="3 0 1 2 255 0 0\n3 0 2 3 255 0 0 255\n"), painted(RED)),
    "faces of several colours": example(
        text(faces="3 0 1 2 1. 0. 0.\n3 0 2 3 0. 0. 1.\n"),
        painted((127.5, 0, 127.5), RED, (127.5, 0, 127.5), BLUE),
    ),
    "a colour of one number": example(text(faces="3 0 1 2 7\n3 0 2 3\n"), bare),
    "a colour of two numbers": example(text(faces="3 0 1 2 7 7\n3 0 2 3\n")),
    "colours of vertices and of faces": example(
        text("COFF\n", rows=_columns(BYTES), faces="3 0 1 2 9 9 9\n3 0 2 3\n"), painted(*FOUR)
    ),
    "fewer lines than the counts": example(text(counts="4 3 0\n")),
    "text after the last face": example(text() + "3 0 1 3\n", square),
    "BINARY": example(binary(), square),
    "BINARY with polygons and colours": example(
        binary(faces=[[0, 1, 2, 3], [1, 2, 3]], colours=((1, 0, 0, 1), (1, 0, 0))),
        lambda scan: (_mixed(scan), np.testing.assert_array_equal(scan.colours, [RED] * 4)),
    ),
    "COFF BINARY": example(binary("COFF", np.array([[*np.array(c) / 255, 1] for c in FOUR])), painted(*FOUR)),
    "BINARY, bytes after the last face": example(binary(tail=b"\1\2"), square),
    "BINARY that breaks off": example(binary()[:-5]),
}
