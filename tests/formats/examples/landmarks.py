"""Landmark files of BU and Bosphorus."""

import numpy as np

from tests.formats.examples import Example


def bnd(rows=83, tail="\n", ends="\n", first="7\t\t1.5 2 -3e0"):
    """A .bnd file: landmark i at (i, 2 i, -i), the first as given."""
    lines = [first, *(f"{i + 7}\t{i} {2 * i} {-i}" for i in range(1, rows))]
    return (ends.join(lines) + tail).encode()


NUMBERS = (1, 5, 9, 13, 40, 45, 84, 85)


def pse(numbers=NUMBERS, normal="n 0.1 0.2 0.97\n"):
    """A .pse file: landmark n at (n, 0.5, -n) for the numbers of the scheme."""
    lines = [f"{label} {n} .5 {-n}\n" for label, n in zip(numbers, NUMBERS, strict=False)]
    return ("".join(lines) + normal).encode()


def shuffled():
    """The lines in reverse, each with its number."""
    return ("".join(f"{n} {n} .5 {-n}\n" for n in reversed(NUMBERS)) + "n 0.1 0.2 0.97\n").encode()


def lm3(count=2, names=("Nose tip", "Chin middle"), point="1.5 -2 1e1", ends="\n", title="# 3D Landmark File"):
    """A .lm3 file of two landmarks."""
    lines = [title, "", f"{count} landmarks:", names[0], "3 4 5", names[1], point, ""]
    return ends.join(lines).encode("latin-1")


LM2 = (
    "# 2D Landmark File\n\n2 landmarks\n\nLabels:\nNose tip\nChin middle\n\n"
    "2D Image coordinates:\n512.25 700\n510 1033.5\n"
)


def at(name, point):
    """A check of one landmark."""

    def check(found):
        np.testing.assert_array_equal(found[name], point)

    return check


def _pse(found):
    assert len(found) == 8
    np.testing.assert_array_equal(found["pronasale"], [84, 0.5, -84])
    np.testing.assert_array_equal(found["exocanthion_left"], [5, 0.5, -5])


def _lm3(found):
    assert len(found) == 2
    np.testing.assert_array_equal(found["pronasale"], [3, 4, 5])


FIRST, NOSE = "endocanthion_left", "pronasale"
EXAMPLES = {
    "bnd: 83 lines of vertex, x, y, z": Example("a.bnd", bnd(), check=at(FIRST, [1.5, 2, -3])),
    "bnd: blank lines, CR LF": Example("a.bnd", bnd(tail="\r\n \t\r\n", ends="\r\n"), check=at(FIRST, [1.5, 2, -3])),
    "CR line ends": Example("a.bnd", bnd(ends="\r"), check=at(FIRST, [1.5, 2, -3])),
    "a byte order mark": Example("a.bnd", b"\xef\xbb\xbf" + bnd(), check=at(FIRST, [1.5, 2, -3])),
    "NaN": Example("a.bnd", bnd(first="7 nan nan nan"), check=at(FIRST, [np.nan] * 3)),
    "bnd: another number of lines": Example("a.bnd", bnd(rows=82)),
    "bnd: a vertex that is no row": Example("a.bnd", bnd(first="-1 1 2 3")),
    "decimal commas": Example("a.bnd", bnd(first="7 1,5 2,5 3,5")),
    "pse: 8 numbered lines and the pose normal": Example("a.pse", pse(), check=_pse),
    "pse: lines in another order": Example("a.pse", shuffled(), check=_pse),
    "pse: lines that are counted": Example("a.pse", pse(numbers=range(1, 9)), check=_pse),
    "pse: no normal": Example("a.pse", pse(normal=""), check=_pse),
    "pse: other numbers": Example("a.pse", pse(numbers=(1, 5, 9, 13, 40, 45, 84, 86))),
    "pse: another number of lines": Example("a.pse", pse(numbers=NUMBERS[:7])),
    "lm3: names and points": Example("a.lm3", lm3(), check=_lm3),
    "lm3: a count that is not that of the lines": Example("a.lm3", lm3(count=3)),
    "a name twice": Example("a.lm3", lm3(names=("Nose tip", "Nose tip"))),
    "lm3: another title": Example("a.lm3", lm3(title="# 2D Landmark File")),
    "lm3: CR line ends": Example("a.lm3", lm3(ends="\r"), check=_lm3),
    "lm3: a point of two numbers": Example("a.lm3", lm3(point="1 2")),
    "lm2: labels, then pixels": Example("a.lm2", LM2.encode(), check=at("Nose tip", [512.25, 700])),
    "lm2: fewer pixels than labels": Example("a.lm2", LM2.replace("510 1033.5\n", "").encode()),
}
