"""Place the nodes of a glTF scene: their transforms, which of them are shown, and the joints of skins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError
from fer3d.formats.gltf_container import Document
from fer3d.formats.gltf_tree import Entry

_UNIT = 1e-2  # how far the length of a rotation may be from 1 by rounding


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a node lies in the scene.

    Attributes:
        node: The node.
        world: (4, 4) float64. From the frame of the node to that of the scene.
        mirrors: Whether `world` turns left into right, so that the corners of faces run the other way round.
    """

    node: Entry
    world: NDArray[np.float64]
    mirrors: bool


class Nodes:
    """The nodes of a file and their transforms."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.entries = document.tree.all("nodes")
        count = len(self.entries)
        self._children = [
            node.indices("children", count, "nodes") if "children" in node else [] for node in self.entries
        ]
        self._roots = self._checked_roots()
        self._placed: list[Placement | None] = [None] * count
        self._place()

    @property
    def unplaced(self) -> int:
        """How many meshes no node has, shown or not."""
        named = {self.document.tree.index(node, "mesh", "meshes") for node in self.entries if "mesh" in node}
        return len(self.document.tree.all("meshes")) - len(named)

    def at(self, index: int) -> Placement:
        """The placement of a node, whether it is shown or not."""
        placed = self._placed[index]
        assert placed is not None  # as all nodes form trees
        return placed

    def shown(self) -> list[Placement]:
        """The nodes with a mesh in the scene to show, parents before children. Others become a warning."""
        seen, hidden = self._reached(self._scene())
        rows = set(seen)
        outside = sum("mesh" in node for i, node in enumerate(self.entries) if i not in rows and i not in hidden)
        if outside:
            self.document.warn(f"{outside} nodes with a mesh lie outside the scene that it shows: they are left out")
        invisible = sum("mesh" in self.entries[i] for i in hidden)
        if invisible:
            self.document.warn(f"{invisible} nodes with a mesh are invisible (KHR_node_visibility): they are left out")
        return [self.at(i) for i in seen if "mesh" in self.entries[i]]

    def _scene(self) -> list[int]:
        """The root nodes of the scene to show."""
        tree = self.document.tree
        scenes = tree.all("scenes")
        if "scene" in tree:
            scene = scenes[tree.index(tree, "scene", "scenes")]
        elif scenes:
            scene = scenes[0]
            if len(scenes) > 1:
                self.document.warn(f"it has {len(scenes)} scenes and names none to show: the first is read")
        else:
            return self._roots
        roots = scene.indices("nodes", len(self.entries), "nodes")
        if len(set(roots)) != len(roots):
            scene.refuse("names a node twice")
        below = set(roots) - set(self._roots)
        if below:
            scene.refuse(f"should name nodes without a parent, names node {min(below)}")
        return roots

    def _reached(self, roots: list[int]) -> tuple[list[int], set[int]]:
        """Nodes below `roots` in the order of a walk; and the set of those that are invisible."""
        seen: list[int] = []
        hidden: set[int] = set()
        waiting = [(root, False) for root in reversed(roots)]
        while waiting:
            index, invisible = waiting.pop()
            extension = self.entries[index].extension("KHR_node_visibility")
            invisible = invisible or (extension is not None and not extension.flag("visible", True))
            if invisible:
                hidden.add(index)
            else:
                seen.append(index)
            waiting += [(child, invisible) for child in reversed(self._children[index])]
        return seen, hidden

    def _checked_roots(self) -> list[int]:
        """The nodes without a parent. As each has at most one parent, exactly cycles are not reached from them."""
        has_parent = bytearray(len(self.entries))
        for i, children in enumerate(self._children):
            for child in children:
                if has_parent[child]:
                    problem = f"its nodes should form trees, one has two parents: node {child}"
                    raise FormatError(f"{self.document.path}: {problem}")
                has_parent[child] = 1
                if child == i:
                    raise FormatError(f"{self.document.path}: its nodes should form trees, one is its own ancestor")
        roots = [i for i, below in enumerate(has_parent) if not below]
        waiting, reached = list(roots), 0
        while waiting:
            reached += 1
            waiting += self._children[waiting.pop()]
        if reached != len(self.entries):
            raise FormatError(f"{self.document.path}: its nodes should form trees, one is its own ancestor")
        return roots

    def _place(self) -> None:
        waiting = [(root, np.eye(4), False) for root in self._roots]
        with np.errstate(over="ignore", invalid="ignore"):
            while waiting:
                index, above, mirrored = waiting.pop()
                local = local_matrix(self.entries[index])
                if local is not None:
                    above = above @ local
                    mirrored ^= bool(_determinant(local) < 0)
                self._placed[index] = Placement(self.entries[index], above, mirrored)
                waiting += [(child, above, mirrored) for child in self._children[index]]


def local_matrix(node: Entry) -> NDArray[np.float64] | None:
    """(4, 4) float64: the transform of a node relative to its parent, or None if it has none."""
    given = [key for key in ("translation", "rotation", "scale") if key in node]
    if "matrix" in node:
        if given:
            node.refuse(f"should have matrix or {given[0]}, not both")
        matrix = np.array(node.numbers("matrix", 16, ())).reshape(4, 4).T  # column by column
        if np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6:
            node.refuse("should have a matrix whose last row is 0 0 0 1")
        return matrix
    if not given:
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = _rotation(node) * node.numbers("scale", 3, (1, 1, 1))
    matrix[:3, 3] = node.numbers("translation", 3, (0, 0, 0))
    return matrix


def rotations(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3, 3): the rotations of unit quaternions x, y, z, w (N, 4)."""
    x, y, z, w = quaternions.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    found: NDArray[np.float64] = np.moveaxis(np.array(rows), -1, 0)
    return found


def units(quaternions: NDArray[np.float64], owner: Entry) -> NDArray[np.float64]:
    """Quaternions (N, 4) of exactly length 1. The standard wants unit ones: others than by rounding are refused."""
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.sqrt((quaternions**2).sum(axis=1, keepdims=True))
    off = np.flatnonzero(~(np.abs(length[:, 0] - 1) <= _UNIT))
    if len(off):
        owner.refuse(f"should have a rotation of length 1, has one of length {length[off[0], 0]:.4g}")
    return np.asarray(quaternions / length)


def _rotation(node: Entry) -> NDArray[np.float64]:
    if "rotation" not in node:
        return np.eye(3)
    return np.asarray(rotations(units(np.array([node.numbers("rotation", 4, ())]), node))[0])


def _determinant(matrix: NDArray[np.float64]) -> float:
    (a, b, c), (d, e, f), (g, h, i) = matrix[:3, :3].tolist()
    return float(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
