"""Stereolithography files."""

import struct

from tests.formats.examples import Example
from tests.formats.examples.ply import FACES, POINTS, square

CORNERS = POINTS[FACES]


def example(content, check=None):
    return Example("a.stl", content.encode() if isinstance(content, str) else content, check=check)


def facet(corners, normal="0 0 1"):
    vertices = "".join("      vertex {} {} {}\n".format(*corner) for corner in corners)
    return f"  facet normal {normal}\n    outer loop\n{vertices}    endloop\n  endfacet\n"


def text(name="a", facets=None, end=None):
    facets = "".join(map(facet, CORNERS)) if facets is None else facets
    return f"solid {name}\n{facets}endsolid {name if end is None else end}\n"


def binary(header=b"x", attributes=(0, 0), count=2, tail=b""):
    rows = b"".join(
        struct.pack("<3f", 0, 0, 1) + corners.astype("<f4").tobytes() + struct.pack("<H", attribute)
        for corners, attribute in zip(CORNERS, attributes, strict=True)
    )
    return header.ljust(80) + struct.pack("<I", count) + rows + tail


def _two(scan):
    square(scan)
    assert scan.history[0]["solids"] == 2


EXAMPLES = {
    "binary": example(binary(), square),
    "binary that begins with solid": example(binary(b"solid x"), square),
    "binary that begins with solid, with bytes after": example(binary(b"solid x", tail=b"\0\0"), square),
    "text": example(text(), square),
    "text in capital letters": example(text().upper(), square),
    "names of any words": example(text("a facet, b vertex 1 2 3", end="c"), square),
    "no name": example(text(""), square),
    "line ends CR LF": example(text().replace("\n", "\r\n"), square),
    "line ends CR": example(text().replace("\n", "\r"), square),
    "several solids": example(text(facets=facet(CORNERS[0])) + text("b", facet(CORNERS[1])), _two),
    "normals": example(text(facets="".join(facet(c, "nan -1e3 0") for c in CORNERS)), square),
    "corners at one place": example(
        text(facets=facet(CORNERS[0]) + facet(CORNERS[1]).replace("vertex 0.0 0.0", "vertex -0.0 0")), square
    ),
    "facets of more than 3 corners": example(text(facets=facet(POINTS)), square),
    "facets of fewer than 3 corners": example(text(facets=facet(POINTS[:2]))),
    "another word": example(text(facets=facet(CORNERS[0]).replace("outer loop", "colour 1 0 0\nouter loop"))),
    "text that breaks off": example(text()[:-12]),
    "text after the last endsolid": example(text() + "made by hand\n", square),
    "no triangle": example(text(facets="")),
    "bytes after the triangles": example(binary(tail=b"\1\2\3"), square),
    "fewer bytes than the header says": example(binary(count=3)),
    "attribute bytes": example(binary(attributes=(0x8000 | 31 << 10, 0)), square),
    "COLOR= in the header": example(binary(b"COLOR=\xff\0\0\xff,MATERIAL="), square),
}
