"""Landmark files of BU, Bosphorus, MeshLab and 3D Slicer, and tables."""

import json

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


def pp(points='<point x="1.5" y="-2" z="1e1" active="1" name="nose"/>', kind="<!DOCTYPE PickedPoints>"):
    """A .pp file."""
    about = '<DocumentData><DateTime time="10:00:00" date="2020-01-02"/><templateName name=""/></DocumentData>'
    return f"{kind}\n<PickedPoints>\n {about}\n {points}\n</PickedPoints>\n".encode()


BOMB = '<!DOCTYPE a [<!ENTITY b "1"><!ENTITY c "&b;&b;&b;">]>'


def fcsv(system="LPS", row="7,1.5,-2,1e1,0,0,0,1,1,1,0,nose,,,2,0", ends="\n"):
    """A .fcsv file of one point."""
    lines = [
        "# Markups fiducial file version = 5.0",
        f"# CoordinateSystem = {system}",
        f"# columns = {COLUMNS}",
        row,
        "",
    ]
    return ends.join(lines).encode()


COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"


def markups(system="LPS", **point):
    """A .mrk.json file of one point."""
    point = {"id": "1", "label": "nose", "position": [1.5, -2, 10.0], "positionStatus": "defined"} | point
    markup = {"type": "Fiducial", "coordinateSystem": system, "coordinateUnits": "mm", "controlPoints": [point]}
    return json.dumps({"@schema": "markups-schema-v1.0.3.json#", "markups": [markup]}).encode()


def ours(point=(1.5, -2, 10.0), version=1):
    """A .json file of one point."""
    return json.dumps({"fer3d_landmarks": version, "landmarks": [{"name": "nose", "point": point}]}).encode()


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
POINT, GONE = at("nose", [1.5, -2, 10]), at("nose", [np.nan] * 3)
TABLE = b"name,x,y,z,confidence,visible\nnose,1.5,-2,1e1,0.9,1\n"
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
    "pp: points with names": Example("a.pp", pp(), check=POINT),
    "pp: no `active`, no document type": Example(
        "a.pp", pp('<point x="1.5" y="-2" z="10" name="nose"/>', kind=""), check=POINT
    ),
    "pp: a point that is not active": Example("a.pp", pp('<point active="0" name="nose"/>'), check=GONE),
    "pp: a point without a name": Example("a.pp", pp('<point x="1.5" y="-2" z="10"/>'), check=at("0", [1.5, -2, 10])),
    "pp: entities": Example("a.pp", pp(kind=BOMB)),
    "pp: a document type elsewhere": Example("a.pp", pp(kind='<!DOCTYPE PickedPoints SYSTEM "file:///etc/hosts">')),
    "pp: a decimal comma": Example("a.pp", pp('<point x="1,5" y="-2" z="10" name="nose"/>')),
    "pp: another XML": Example("a.pp", b"<Points/>"),
    "fcsv: LPS": Example("a.fcsv", fcsv(), check=POINT),
    "fcsv: RAS, or 0": Example("a.fcsv", fcsv("0"), check=at("nose", [-1.5, 2, 10])),
    "fcsv: IJK, or no system": Example("a.fcsv", fcsv("IJK")),
    "fcsv: a point without a label": Example(
        "a.fcsv", fcsv(row="F-1,1.5,-2,10,0,0,0,1,1,1,0,,,"), check=at("F-1", [1.5, -2, 10])
    ),
    "fcsv: a position that is not placed": Example("a.fcsv", fcsv(row="7,0,0,0,0,0,0,1,1,1,0,nose,,,3,0"), check=GONE),
    "fcsv: another number of cells": Example("a.fcsv", fcsv(row="7,1,5,-2,0,1e1,0,0,0,0,1,1,1,0,nose,,,2,0")),
    "mrk.json: LPS, or no system": Example("a.mrk.json", markups(), check=POINT),
    "mrk.json: RAS": Example("a.mrk.json", markups("RAS"), check=at("nose", [-1.5, 2, 10])),
    "mrk.json: a position that is missing or undefined": Example(
        "a.mrk.json", markups(positionStatus="missing"), check=GONE
    ),
    "mrk.json: a position of two numbers": Example("a.mrk.json", markups(position=[1, 2])),
    "csv: name, x, y, z, and other columns": Example("a.csv", TABLE, check=POINT),
    "csv: empty cells, or nan": Example("a.csv", b"name,x,y,z\nnose,,,\nchin,1,2,3\n", check=GONE),
    "csv: semicolons or tabs, decimal commas": Example(
        "a.csv", b"sep=;\r\nName;X;Y;Z\r\nnose;1,5;-2;10\r\n", check=POINT
    ),
    "csv: UTF-16 with a byte order mark": Example("a.csv", TABLE.decode().encode("utf-16"), check=POINT),
    "csv: another encoding": Example("a.csv", TABLE.replace(b"nose", b"\xe4")),
    "csv: decimal commas between commas": Example("a.csv", b"name,x,y,z\nnose,1,5,-2,0,10,0\n"),
    "csv: no names of columns": Example("a.csv", b"nose,1.5,-2,10\n"),
    "csv: an infinite number": Example("a.csv", b"name,x,y,z\nnose,1,2,inf\n"),
    "json: landmarks": Example("a.json", ours(), check=POINT),
    "json: null": Example("a.json", ours(None), check=GONE),
    "json: another version": Example("a.json", ours(version=2)),
    "json: another content": Example("a.json", b'{"nose": [1, 2, 3]}'),
}
