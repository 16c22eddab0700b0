"""Build random valid files of mesh formats, byte by byte. Nothing here uses our writers.

Each generator returns the file with the features that it has, and with the number of triangles that it holds, which is
known here: so that two readers that are wrong alike are noticed too.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

TYPES = {
    "char": ("b", -128, 127), "uchar": ("B", 0, 255), "short": ("h", -30000, 30000), "ushort": ("H", 0, 60000),
    "int": ("i", -(10**6), 10**6), "uint": ("I", 0, 10**6), "float": ("f", -100, 100), "double": ("d", -100, 100),
}  # fmt: skip
ALIASES = {"char": "int8", "uchar": "uint8", "short": "int16", "ushort": "uint16", "int": "int32", "uint": "uint32",
           "float": "float32", "double": "float64"}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A valid file.

    Attributes:
        kind: Its suffix without a dot.
        content: Its bytes.
        features: Names of what it has.
        triangles: How many it holds.
        corners: (N, 3). Where the corners of its faces lie, each place at least once.
    """

    kind: str
    content: bytes
    features: frozenset[str]
    triangles: int
    corners: np.ndarray

    def wrong(self, triangles: np.ndarray, problem: str) -> str:
        """What is wrong with the triangles (F, 3, 3) that we read: "" if nothing."""
        if problem:
            return f"a valid file is {problem[:80]}"
        if len(triangles) != self.triangles:
            return f"{len(triangles)} triangles are read of {self.triangles}"
        found = triangles.reshape(-1, 3)
        off = max(KDTree(a).query(b)[0].max() for a, b in ((found, self.corners), (self.corners, found)))
        return "" if off < 1e-3 else f"corners are off by {off:.3g}"


class Shape:
    """Random vertices, far apart from one another, and polygons with corners in convex position."""

    def __init__(self, rng: random.Random, *, polygons: bool) -> None:
        count = rng.randint(4, 30)
        self.vertices = np.array([[rng.uniform(-90, 90) for _ in range(3)] for _ in range(count)])
        self.vertices = np.round(self.vertices, 3)
        sides = [rng.choice((3, 3, 4, 5)) if polygons else 3 for _ in range(rng.randint(1, 20))]
        self.polygons = [rng.sample(range(count), min(side, count)) for side in sides]
        if polygons:
            for row, polygon in enumerate(self.polygons):
                if len(polygon) > 3:  # on a circle of its own, so that every way to cut it is the same shape
                    self.polygons[row] = self._circle(rng, len(polygon))

    def _circle(self, rng: random.Random, sides: int) -> list[int]:
        start = len(self.vertices)
        angle = 2 * np.pi * np.arange(sides) / sides
        centre = np.array([rng.uniform(-50, 50) for _ in range(3)])
        ring = centre + 9 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
        self.vertices = np.concatenate([self.vertices, np.round(ring, 3)])
        return list(range(start, start + sides))

    @property
    def triangles(self) -> int:
        """How many triangles the polygons are."""
        return sum(len(polygon) - 2 for polygon in self.polygons)

    @property
    def corners(self) -> np.ndarray:
        """Where the corners of the polygons lie."""
        return self.vertices[[i for polygon in self.polygons for i in polygon]]

    @property
    def has_polygons(self) -> bool:
        """Whether one has more than three sides."""
        return any(len(polygon) > 3 for polygon in self.polygons)


def ply(rng: random.Random) -> Made:
    """Text or binary of either order; types, order of properties, further properties and elements, colours, uv."""
    shape = Shape(rng, polygons=rng.random() < 0.5)
    form = rng.choice(("ascii", "binary_little_endian", "binary_big_endian"))
    features = {form}
    features |= {"polygons"} if shape.has_polygons else set()
    name = (lambda kind: ALIASES[kind]) if rng.random() < 0.3 else (lambda kind: kind)
    real = rng.choice(("float", "double"))
    columns = {axis: (real, shape.vertices[:, k]) for k, axis in enumerate("xyz")}
    count = len(shape.vertices)
    if rng.random() < 0.4:
        features.add("colours")
        columns |= {c: ("uchar", _random(rng, "uchar", count)) for c in ("red", "green", "blue")}
        if rng.random() < 0.5:
            columns["alpha"] = ("uchar", np.full(count, 255))
    if rng.random() < 0.4:
        features.add("uv")
        pair = rng.choice((("s", "t"), ("u", "v"), ("texture_u", "texture_v")))
        features.add(f"uv {pair[0]}")
        columns |= {n: ("float", np.array([rng.random() for _ in range(count)])) for n in pair}
    if rng.random() < 0.3:
        columns |= {n: ("float", _random(rng, "float", count)) for n in ("nx", "ny", "nz")}
    for k in range(rng.choice((0, 0, 1, 3))):
        kind = rng.choice(list(TYPES))
        columns[f"extra{k}"] = (kind, _random(rng, kind, count))
        features.add("further properties")
    if rng.random() < 0.3:
        features.add("shuffled properties")
        columns = dict(rng.sample(list(columns.items()), len(columns)))
    elements = [_ply_vertices(columns, name, form), _ply_faces(rng, shape, name, form, features)]
    if rng.random() < 0.2:
        features.add("faces before vertices")
        elements.reverse()
    if rng.random() < 0.2:
        features.add("further elements")
        elements.insert(rng.randint(0, 2), _ply_other(rng, name, form))
    lines = ["ply", f"format {form} 1.0"]
    lines += ["comment made at random", "obj_info nothing"] if rng.random() < 0.3 else []
    for head, _ in elements:
        lines += head
    ends = rng.choice(("\n", "\n", "\r\n")) if form == "ascii" else "\n"
    features |= {"CR LF"} if ends == "\r\n" else set()
    head = ends.join([*lines, "end_header", ""]).encode()
    body = b"".join(body for _, body in elements)
    return Made(
        "ply",
        head + (body.replace(b"\n", ends.encode()) if form == "ascii" else body),
        frozenset(features),
        shape.triangles,
        shape.corners,
    )


def _random(rng: random.Random, kind: str, count: int) -> np.ndarray:
    _, low, high = TYPES[kind]
    whole = kind not in ("float", "double")
    return np.array([rng.randint(low, high) if whole else round(rng.uniform(low, high), 3) for _ in range(count)])


def _ply_row(values: list[tuple[str, float]], form: str) -> bytes:
    """One row, or part of one, of typed values."""
    if form == "ascii":
        return (" ".join(repr(float(v)) if k in ("float", "double") else str(int(v)) for k, v in values) + " ").encode()
    order = "<" if "little" in form else ">"
    return b"".join(
        struct.pack(order + TYPES[k][0], float(v) if k in ("float", "double") else int(v)) for k, v in values
    )


def _ply_vertices(
    columns: dict[str, tuple[str, np.ndarray]], name: Callable[[str], str], form: str
) -> tuple[list[str], bytes]:
    count = len(next(iter(columns.values()))[1])
    head = [f"element vertex {count}", *(f"property {name(kind)} {key}" for key, (kind, _) in columns.items())]
    end = b"\n" if form == "ascii" else b""
    rows = [_ply_row([(kind, values[i]) for kind, values in columns.values()], form) + end for i in range(count)]
    return head, b"".join(rows)


def _ply_faces(
    rng: random.Random, shape: Shape, name: Callable[[str], str], form: str, features: set[str]
) -> tuple[list[str], bytes]:
    size, index = rng.choice(("uchar", "uchar", "ushort", "int")), rng.choice(("int", "uint", "ushort", "short"))
    key = rng.choice(("vertex_indices", "vertex_index"))
    before, behind = rng.random() < 0.15, rng.random() < 0.25
    features |= {"face properties"} if before or behind else set()
    head = [f"element face {len(shape.polygons)}"]
    head += [f"property {name('uchar')} flags"] if before else []
    head += [f"property list {name(size)} {name(index)} {key}"]
    head += [f"property {name('float')} quality"] if behind else []
    rows = []
    for polygon in shape.polygons:
        row = _ply_row([("uchar", 7)], form) if before else b""
        row += _ply_row([(size, len(polygon)), *((index, i) for i in polygon)], form)
        row += _ply_row([("float", 0.5)], form) if behind else b""
        rows.append(row + (b"\n" if form == "ascii" else b""))
    return head, b"".join(rows)


def _ply_other(rng: random.Random, name: Callable[[str], str], form: str) -> tuple[list[str], bytes]:
    count = rng.randint(1, 4)
    head = [f"element thing {count}", f"property {name('int')} a", f"property list {name('uchar')} {name('float')} b"]
    end = b"\n" if form == "ascii" else b""
    rows = [_ply_row([("int", i), ("uchar", 2), ("float", 1.5), ("float", 2.5)], form) + end for i in range(count)]
    return head, b"".join(rows)


def obj(rng: random.Random) -> Made:
    """Index forms, negative indices, polygons, mixed; colours, comments, groups, continued lines."""
    shape = Shape(rng, polygons=rng.random() < 0.5)
    features = {"polygons"} if shape.has_polygons else set()
    form = rng.choice(("v", "v/t", "v//n", "v/t/n"))
    negative = rng.random() < 0.25
    coloured = rng.random() < 0.25
    features |= {f"form {form}"} | ({"negative"} if negative else set()) | ({"colours"} if coloured else set())
    lines = ["# made at random", "o thing"] if rng.random() < 0.5 else []
    for vertex in shape.vertices.tolist():
        more = [round(rng.random(), 3) for _ in range(3)] if coloured else []
        lines.append("v " + " ".join(map(repr, vertex + more)))
    texts, normals = rng.randint(3, 20), rng.randint(1, 5)
    if "t" in form:
        lines += [f"vt {rng.random():.4f} {rng.random():.4f}" for _ in range(texts)]
    if "n" in form:
        lines += [f"vn 0 0 {rng.choice((-1, 1))}" for _ in range(normals)]
    mixed = form != "v" and rng.random() < 0.15
    features |= {"mixed forms"} if mixed else set()
    for row, polygon in enumerate(shape.polygons):
        if rng.random() < 0.1:
            lines.append(rng.choice(("g part", "s 1", "s off", "# a comment", "usemtl skin")))
        this = "v" if mixed and row % 2 else form
        corners = [_obj_corner(rng, i, this, negative, len(shape.vertices), texts, normals) for i in polygon]
        lines.append("f " + rng.choice((" ", "  ")).join(corners) + rng.choice(("", "", " ")))
    ends = rng.choice(("\n", "\n", "\r\n"))
    text = ends.join(lines) + rng.choice((ends, ""))
    if rng.random() < 0.15:
        features.add("continued lines")
        text = text.replace("f ", f"f \\{ends}", 2) if "\nf " in text else text
    return Made("obj", text.encode(), frozenset(features), shape.triangles, shape.corners)


def _obj_corner(rng: random.Random, i: int, form: str, negative: bool, v: int, t: int, n: int) -> str:
    place = {"v": (i, v), "t": (rng.randrange(t), t), "n": (rng.randrange(n), n)}
    words = {key: str(row - total) if negative else str(row + 1) for key, (row, total) in place.items()}
    return {"v": "{v}", "v/t": "{v}/{t}", "v//n": "{v}//{n}", "v/t/n": "{v}/{t}/{n}"}[form].format(**words)


def stl(rng: random.Random) -> Made:
    """Text with one or several solids, or binary, with and without words in its head."""
    shape = Shape(rng, polygons=False)
    corners = shape.vertices[np.array(shape.polygons)].astype(np.float32)
    if rng.random() < 0.5:
        head = rng.choice((b"made at random", b"\0", b"COLOR=\1\2\3\4", b"solid that is none"))
        facets = np.zeros(len(corners), [("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
        facets["v"], facets["a"] = corners, 0
        features = {"binary"} | ({"head of a text"} if head.startswith(b"solid") else set())
        return Made(
            "stl",
            head.ljust(80, b" ") + struct.pack("<I", len(facets)) + facets.tobytes(),
            frozenset(features),
            len(corners),
            corners.reshape(-1, 3),
        )
    solids = rng.randint(1, 3)
    features = {"text"} | ({"several solids"} if solids > 1 else set())
    parts = np.array_split(corners, min(solids, len(corners)))
    pad, ends = rng.choice(("", "  ", "\t")), rng.choice(("\n", "\n", "\r\n"))
    form = rng.choice(("{:.6e}", "{!r}", "{:.4f}"))
    lines = []
    for number, part in enumerate(parts):
        title = rng.choice(("", " thing", f" part {number}"))
        lines.append(f"solid{title}")
        for facet in part.tolist():
            lines += [f"{pad}facet normal 0 0 1", f"{pad}{pad}outer loop"]
            lines += [f"{pad}{pad}{pad}vertex " + " ".join(form.format(x) for x in corner) for corner in facet]
            lines += [f"{pad}{pad}endloop", f"{pad}endfacet"]
        lines.append(f"endsolid{title}")
    text = ends.join([*lines, ""])
    if rng.random() < 0.1:
        features.add("capitals")
        text = text.upper()
    return Made("stl", text.encode(), frozenset(features), len(corners), corners.reshape(-1, 3))


def off(rng: random.Random) -> Made:
    """Comments, counts on the first line or the next, polygons, colours of faces and vertices."""
    shape = Shape(rng, polygons=rng.random() < 0.5)
    features = {"polygons"} if shape.has_polygons else set()
    coloured = rng.random() < 0.2
    features |= {"COFF"} if coloured else set()
    word = "COFF" if coloured else "OFF"
    counts = f"{len(shape.vertices)} {len(shape.polygons)} {rng.choice((0, 12))}"
    joined = rng.random() < 0.15
    features |= {"counts beside the word"} if joined else set()
    lines = [f"{word} {counts}"] if joined else [word, counts]
    for vertex in shape.vertices.tolist():
        more = [rng.randint(0, 255) for _ in range(3)] + [255] if coloured else []
        lines.append(" ".join(map(repr, vertex + more)))
    faces_coloured = rng.random() < 0.2
    features |= {"colours of faces"} if faces_coloured else set()
    for polygon in shape.polygons:
        more = [rng.randint(0, 255) for _ in range(3)] if faces_coloured else []
        lines.append(" ".join(map(str, [len(polygon), *polygon, *more])))
    if rng.random() < 0.25:
        features.add("comments")
        lines.insert(rng.randint(1, len(lines)), "# a comment")
        lines[-1] += " # at the end of a line"
    if rng.random() < 0.2:
        features.add("blank lines")
        lines.insert(rng.randint(1, len(lines)), "")
    ends = rng.choice(("\n", "\n", "\r\n"))
    return Made("off", ends.join([*lines, ""]).encode(), frozenset(features), shape.triangles, shape.corners)


class Glb:
    """A binary glTF file that grows."""

    def __init__(self) -> None:
        self.binary = b""
        self.tree: dict[str, list[dict[str, object]]] = {"accessors": [], "bufferViews": []}

    def view(self, content: bytes, **more: object) -> int:
        """Append bytes; returns the row of the view."""
        self.binary += b"\0" * (-len(self.binary) % 4)
        self.tree["bufferViews"].append(
            {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(content), **more}
        )
        self.binary += content
        return len(self.tree["bufferViews"]) - 1

    def accessor(self, array: np.ndarray, component: int, kind: str, **more: object) -> int:
        """An accessor of its own view, tightly packed."""
        return self.add(
            bufferView=self.view(array.tobytes()), componentType=component, count=len(array), type=kind, **more
        )

    def add(self, **entry: object) -> int:
        """Append an accessor; returns its row."""
        self.tree["accessors"].append(entry)
        return len(self.tree["accessors"]) - 1

    def packed(self, **tree: object) -> bytes:
        """The file."""
        whole = {"asset": {"version": "2.0"}, **self.tree, **tree, "buffers": [{"byteLength": len(self.binary)}]}
        words = json.dumps(whole).encode()
        words += b" " * (-len(words) % 4)
        binary = self.binary + b"\0" * (-len(self.binary) % 4)
        head = struct.pack("<4sIIII", b"glTF", 2, 28 + len(words) + len(binary), len(words), 0x4E4F534A)
        return head + words + struct.pack("<II", len(binary), 0x004E4942) + binary


def glb(rng: random.Random) -> Made:
    """Types of accessors, strides, normalised and sparse ones, transforms, modes, uv, colours."""
    shape, file = Shape(rng, polygons=False), Glb()
    features: set[str] = set()
    positions = shape.vertices.astype("<f4")
    attributes = {"POSITION": _positions(rng, file, positions, features)}
    if rng.random() < 0.5:
        attributes["TEXCOORD_0"] = _glb_uv(rng, file, len(positions), features)
    if rng.random() < 0.3:
        attributes["COLOR_0"] = _glb_colours(rng, file, len(positions), features)
    primitive: dict[str, object] = {"attributes": attributes}
    order, triangles = _indices(rng, file, shape, primitive, features)
    first, parent, twice = _transform(rng, features), {}, np.eye(4)
    nodes: list[dict[str, object]] = [{"mesh": 0, **first}]
    if rng.random() < 0.3:
        features.add("parent")
        parent = _transform(rng, features)
        nodes.append({"children": [0], **parent})
    places = [_matrix(parent) @ _matrix(first)]
    if rng.random() < 0.15:
        features.add("a mesh twice")
        nodes.append({"mesh": 0, "translation": [500, 0, 0]})
        twice[0, 3] = 500
        places.append(twice)
    roots = [1 if "parent" in features else 0, *range(1 + ("parent" in features), len(nodes))]
    content = file.packed(scene=0, scenes=[{"nodes": roots}], nodes=nodes, meshes=[{"primitives": [primitive]}])
    corners = np.concatenate([positions[order] @ place[:3, :3].T + place[:3, 3] for place in places])
    return Made("glb", content, frozenset(features), triangles * len(places), corners)


def _matrix(transform: dict[str, object]) -> np.ndarray:
    """(4, 4): what a node does to points, by the formulas of the standard."""
    if "matrix" in transform:
        return np.array(transform["matrix"]).reshape(4, 4).T
    out = np.eye(4)
    if transform:
        x, y, z, w = transform["rotation"]  # type: ignore[misc]
        rows = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        out[:3, :3] = np.array(rows) * np.array(transform["scale"])
        out[:3, 3] = transform["translation"]
    return out


def _positions(rng: random.Random, file: Glb, positions: np.ndarray, features: set[str]) -> int:
    bounds = {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
    kind = rng.choice(("tight", "tight", "stride", "sparse"))
    if kind == "stride":
        features.add("stride")
        wide = np.full((len(positions), 5), 7, "<f4")
        wide[:, 1:4] = positions
        view = file.view(wide.tobytes(), byteStride=20)
        return file.add(bufferView=view, byteOffset=4, componentType=5126, count=len(positions), type="VEC3", **bounds)
    if kind == "sparse":
        features.add("sparse")
        base, rows = positions.copy(), sorted(rng.sample(range(len(positions)), 2))
        base[rows] = 0
        values, index = file.view(positions[rows].tobytes()), file.view(np.array(rows, "<u2").tobytes())
        sparse = {"count": 2, "indices": {"bufferView": index, "componentType": 5123}, "values": {"bufferView": values}}
        return file.accessor(base, 5126, "VEC3", sparse=sparse, **bounds)
    return file.accessor(positions, 5126, "VEC3", **bounds)


def _glb_uv(rng: random.Random, file: Glb, count: int, features: set[str]) -> int:
    features.add("uv")
    uv = np.array([[rng.random(), rng.random()] for _ in range(count)])
    kind = rng.choice(("float", "float", "byte", "short"))
    if kind == "float":
        return file.accessor(uv.astype("<f4"), 5126, "VEC2")
    features.add("normalised uv")
    if kind == "short":
        return file.accessor(np.round(uv * 65535).astype("<u2"), 5123, "VEC2", normalized=True)
    wide = np.zeros((count, 4), "u1")  # each element begins at a multiple of 4
    wide[:, :2] = np.round(uv * 255)
    view = file.view(wide.tobytes(), byteStride=4)
    return file.add(bufferView=view, componentType=5121, count=count, type="VEC2", normalized=True)


def _glb_colours(rng: random.Random, file: Glb, count: int, features: set[str]) -> int:
    features.add("colours")
    colours = np.array([[rng.random() for _ in range(4)] for _ in range(count)])
    colours[:, 3] = 1
    kind = rng.choice(("float", "byte", "short"))
    features.add(f"colours of {kind}")
    if kind == "float":
        return file.accessor(colours.astype("<f4"), 5126, "VEC4")
    if kind == "byte":
        return file.accessor(np.round(colours * 255).astype("u1"), 5121, "VEC4", normalized=True)
    return file.accessor(np.round(colours * 65535).astype("<u2"), 5123, "VEC4", normalized=True)


def _indices(
    rng: random.Random, file: Glb, shape: Shape, primitive: dict[str, object], features: set[str]
) -> tuple[np.ndarray, int]:
    """The vertices of the corners, and the number of triangles."""
    mode = rng.choice((4, 4, 4, 4, 5, 6))
    component, kind = rng.choice(((5121, "u1"), (5123, "<u2"), (5125, "<u4")))
    if mode != 4:
        features.add("strip" if mode == 5 else "fan")
        primitive["mode"] = mode
        order = np.array(rng.sample(range(len(shape.vertices)), rng.randint(3, len(shape.vertices))))
        primitive["indices"] = file.accessor(order.astype(kind), component, "SCALAR")
        return order, len(order) - 2
    if rng.random() < 0.7:
        primitive["mode"] = 4
    if len(shape.vertices) % 3 == 0 and rng.random() < 0.6:
        features.add("no indices")
        return np.arange(len(shape.vertices)), len(shape.vertices) // 3
    order = np.array(shape.polygons).ravel()
    primitive["indices"] = file.accessor(order.astype(kind), component, "SCALAR")
    return order, len(shape.polygons)


def _transform(rng: random.Random, features: set[str]) -> dict[str, object]:
    kind = rng.choice(("none", "none", "trs", "matrix"))
    if kind == "none":
        return {}
    features.add(kind)
    if kind == "trs":
        q = np.array([rng.gauss(0, 1) for _ in range(4)])
        return {
            "translation": [rng.uniform(-50, 50) for _ in range(3)],
            "rotation": (q / np.linalg.norm(q)).tolist(),
            "scale": [rng.uniform(0.5, 2) for _ in range(3)],
        }
    matrix = np.eye(4)
    matrix[:3, :3] += np.array([[rng.uniform(-0.3, 0.3) for _ in range(3)] for _ in range(3)])
    matrix[:3, 3] = [rng.uniform(-50, 50) for _ in range(3)]
    return {"matrix": matrix.T.ravel().tolist()}


GENERATORS: dict[str, Callable[[random.Random], Made]] = {"glb": glb, "obj": obj, "off": off, "ply": ply, "stl": stl}
