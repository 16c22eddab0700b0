"""glTF 2.0: .glb and .gltf files. `docs/formats.md` says what becomes of each construct."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError, FormatError
from fer3d.files import write_bytes
from fer3d.formats import gltf_write, parts
from fer3d.formats.gltf_accessors import Accessors
from fer3d.formats.gltf_container import Document, document
from fer3d.formats.gltf_materials import Materials
from fer3d.formats.gltf_meshes import Group, Meshes
from fer3d.formats.gltf_nodes import Nodes, Placement
from fer3d.formats.gltf_pose import Poses
from fer3d.formats.parts import Part, join
from fer3d.scan import Scan, check_scan

SUFFIXES = (".glb", ".gltf")


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read the scene of a .glb or .gltf file as one mesh, in the frame and unit of the scene.

    Args:
        path: The file. Its buffers and pictures are searched in its folder only.
        texture: Whether to find and decode the texture.

    Returns:
        The scan. Vertices come in the order of the nodes of the scene and of the primitives of their meshes; the
        transforms of nodes, morph targets with their weights and skins at rest are applied.

    Raises:
        ArgumentError: if the file has another suffix.
        FileError: if the file or one of its buffers cannot be opened.
        FormatError: if it is not glTF 2.0, violates it, requires an extension that is not read, or has no face.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ArgumentError(f"`path` should end in .glb or .gltf, is {path}")
    opened = document(path)
    scene = _Scene(opened)
    if not scene.has("faces"):
        return _points_alone(scene, kind[1:], texture)
    scene.report()
    materials = scene.materials.finished(texture)
    solid = scene.parts(points=False)
    return join(
        path,
        kind[1:],
        solid,
        materials,
        texture=texture,
        beside=False,
        warnings=opened.warnings,
        record=scene.record(),
    )


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write a scan as one mesh with its texture and colours inside the file.

    Coordinates that are NaN are written as they are, though the standard allows finite ones only. Colours are rounded
    to 16 bits, which keeps those of 8 bits exactly; colours that are not known become white.

    Raises:
        ArgumentError: if the scan has no face, or the suffix is .gltf (several files: use .glb).
        FileError: if the file cannot be written.
    """
    check_scan("scan", scan)
    path = Path(path)
    if path.suffix.lower() != ".glb":
        raise ArgumentError(f"`path` should end in .glb, is {path}")
    write_bytes(path, gltf_write.glb(scan))


@dataclass(frozen=True, eq=False)
class _Placed:
    """A group of a mesh at one node."""

    placement: Placement
    frames: NDArray[np.float64]  # (K, 4, 4)
    group: Group


class _Scene:
    """What the scene of a file shows."""

    def __init__(self, opened: Document) -> None:
        self.document = opened
        accessors = Accessors(opened)
        self.materials = Materials(opened)
        self.meshes = Meshes(opened, accessors, self.materials)
        nodes = Nodes(opened)
        self.poses = Poses(opened, accessors, nodes)
        self.placed: list[_Placed] = []
        self.count = 0  # placed meshes
        self._vertices = self._faces = 0
        for placement in nodes.shown():
            self._place(placement)
        if not self.count:
            raise FormatError(f"{opened.path}: at least one face was wanted, the scene has no mesh")
        if nodes.unplaced:
            opened.warn(f"{nodes.unplaced} meshes lie at no node: they are left out")
        if opened.tree.rows("animations"):
            opened.warn("its animations are not played: the pose at rest is read")

    def has(self, what: str) -> bool:
        """Whether the scene has any "faces" or "points"."""
        return any(each.group.points == (what == "points") for each in self.placed)

    def report(self) -> None:
        """Warn of what is left out."""
        points = sum(len(each.group.faces) for each in self.placed if each.group.points)
        if points:
            self.document.warn(f"{points} points beside its faces are left out")
        self.report_lines()

    def record(self) -> dict[str, Any]:
        """What the history holds of the file."""
        files = list(self.document.files)
        return {"meshes": self.count} | ({"beside": files} if files else {})

    def report_lines(self) -> None:
        """Warn of lines."""
        if self.meshes.lines:
            self.document.warn(f"{self.meshes.lines} primitives of lines are left out")

    def parts(self, *, points: bool) -> list[Part]:
        """The placed groups of faces, or those of points with their rows as `Part.row`."""
        chosen = [each for each in self.placed if each.group.points == points]
        coloured = any(each.group.colours is not None for each in chosen)
        return [self._part(each, coloured) for each in chosen]

    def _place(self, placement: Placement) -> None:
        tree = self.document.tree
        frames = self.poses.frames(placement)
        self.count += len(frames)
        for group in self.meshes.groups(tree.index(placement.node, "mesh", "meshes")):
            self._vertices += len(frames) * len(group.positions)
            self._faces += len(frames) * len(group.faces)
            self._check_size()
            self.placed.append(_Placed(placement, frames, group))

    def _check_size(self) -> None:
        """Refuse a small file that places a mesh without end, before anything is copied."""
        most = parts.MOST_VERTICES
        if self._vertices > most:
            raise FormatError(f"{self.document.path}: a scan has at most {most} vertices, the scene places more")
        if self._faces > 3 * most:
            raise FormatError(f"{self.document.path}: a scan has at most {3 * most} faces, the scene places more")

    def _part(self, each: _Placed, coloured: bool) -> Part:
        tree, group, copies = self.document.tree, each.group, len(each.frames)
        mesh = tree.all("meshes")[tree.index(each.placement.node, "mesh", "meshes")]
        vertices = self.poses.vertices(each.placement, group, mesh)
        colours = group.colours
        if colours is None and coloured and group.white:  # by the standard a face without any colour is white
            colours = np.broadcast_to(np.float32(255), (len(vertices), 3))
        if group.points:
            vertices = vertices[group.faces]
            colours = None if colours is None else colours[group.faces]
            empty = np.empty((0, 3), np.int64)
            return Part(_framed(vertices, each.frames), empty, colours=_repeated(colours, copies))
        faces = _copied_faces(group.faces, self.poses.mirrors(each.placement, each.frames), len(vertices))
        uv_faces = group.uv_faces
        if uv_faces is not None:
            uv_faces = _copied_faces(uv_faces, self.poses.mirrors(each.placement, each.frames), 0)
        return Part(
            _framed(vertices, each.frames),
            faces,
            group.uv if group.uv is None or uv_faces is not None else _repeated(group.uv, copies),
            uv_faces,
            _repeated(colours, copies),
            group.material if isinstance(group.material, int) else np.tile(group.material, copies),
        )


def _framed(vertices: NDArray[np.floating], frames: NDArray[np.float64]) -> NDArray[np.floating]:
    """(K N, 3): vertices after each of K transforms; in the file's precision if the only one leaves them in place."""
    if len(frames) == 1 and np.array_equal(frames[0], np.eye(4)):
        return vertices
    with np.errstate(over="ignore", invalid="ignore"):
        moved = vertices.astype(np.float64) @ frames[:, :3, :3].transpose(0, 2, 1) + frames[:, None, :3, 3]
    return np.asarray(moved.reshape(-1, 3))


def _copied_faces(faces: NDArray[np.integer], mirrors: NDArray[np.bool_], count: int) -> NDArray[np.integer]:
    """(K F, 3): the faces of K copies of `count` vertices each; corners of mirrored copies run the other way round."""
    if len(mirrors) == 1:
        return faces[:, ::-1] if mirrors[0] else faces
    copies = np.where(mirrors[:, None, None], faces[:, ::-1], faces).astype(np.int64)
    return (copies + (np.arange(len(mirrors)) * count)[:, None, None]).reshape(-1, 3)


def _repeated(rows: NDArray[Any] | None, copies: int) -> NDArray[Any] | None:
    return rows if rows is None or copies == 1 else np.tile(rows, (copies, 1))


def _points_alone(scene: _Scene, kind: str, texture: bool) -> Scan:
    """Read a file that holds points and no face."""
    path = scene.document.path
    clouds = scene.parts(points=True)
    if not clouds:
        raise FormatError(f"{path}: at least one face was wanted, the scene has none")
    scene.report_lines()
    points = np.concatenate([part.vertices for part in clouds])
    colours = None
    if any(part.colours is not None for part in clouds):
        unknown = np.float32(np.nan)
        each = [np.full((len(c.vertices), 3), unknown) if c.colours is None else c.colours for c in clouds]
        colours = np.concatenate(each)
    from fer3d.formats.point_cloud import scan_of_points

    return scan_of_points(
        path,
        kind,
        points,
        colours,
        texture=texture,
        record=scene.record(),
        warnings=scene.document.warnings,
    )
