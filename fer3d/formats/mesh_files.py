"""Generic mesh files through trimesh: .glb, .gltf.

trimesh trusts its input: it allocates what a header claims, truncates numbers it cannot parse, and raises nearly any
exception. This module therefore compares counts with the file size before it calls trimesh, and converts every
exception of trimesh to a FormatError.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError, Fer3dError, FormatError
from fer3d.files import read_bytes, write_bytes
from fer3d.formats import textures
from fer3d.scan import Scan, check_scan


class Mesh(NamedTuple):
    """The mesh of a file, before it becomes a Scan.

    Attributes:
        vertices: (N, 3) floating.
        faces: (F, 3) integer.
        uv: (N, 2) floating, or None.
        row: (N,) int32, the row of each vertex in the file; None for 0 ... N-1.
        record: Further entries of the history record.
        texture: Name of the texture that the file states, or None.
        image: The decoded texture, if the file contains it.
        warnings: Warnings for the scan.
    """

    vertices: NDArray[Any]
    faces: NDArray[Any]
    uv: NDArray[Any] | None = None
    row: NDArray[np.int32] | None = None
    record: dict[str, Any] = {}  # noqa: RUF012 - never written to
    texture: str | None = None
    image: NDArray[np.uint8] | None = None
    warnings: tuple[str, ...] = ()


def read(path: str | os.PathLike[str], *, texture: bool = True) -> Scan:
    """Read a scan from a .glb or .gltf file, in the unit and frame of the file.

    Args:
        path: The file. Its suffix, in upper or lower case, determines the format.
        texture: Whether to find and decode the texture.

    Returns:
        The scan. The transforms of the scene are applied and its meshes joined.

    Raises:
        ArgumentError: if the file has another suffix.
        FileError: if the file cannot be opened.
        FormatError: if counts and size disagree, it cannot be parsed, an index is out of range, or there is no face.
    """
    path = Path(path)
    readers: dict[str, Callable[[bytes, Path], Mesh]] = {
        ".glb": _read_gltf,
        ".gltf": _read_gltf,
    }
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise ArgumentError(f"`path` should end in one of {', '.join(readers)}, is {path}")
    content = read_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mesh = readers[suffix](content, path)
            scan = _as_scan(mesh, path, suffix[1:])
    except Fer3dError:
        raise
    except Exception as error:  # see the module's docstring
        reason = str(error).splitlines()[0][:200] if str(error) else ""
        raise FormatError(f"{path}: cannot be read as {suffix}: {reason or type(error).__name__}") from error
    return _with_texture(scan, mesh, path) if texture else scan


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write a scan as .glb, with uv and texture.

    Raises:
        ArgumentError: if the scan has no face, or the suffix is .gltf (several files: use .glb) or unknown.
        FileError: if a file cannot be written.
    """
    check_scan("scan", scan)
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix != ".glb":
        raise ArgumentError(f"`path` should end in .glb, is {path}")
    from fer3d.formats.interop import to_trimesh

    mesh = to_trimesh(scan)
    exported: Any = mesh.export(file_type=suffix[1:])
    write_bytes(path, exported.encode() if isinstance(exported, str) else exported)


def _as_scan(mesh: Mesh, path: Path, kind: str) -> Scan:
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    if not len(vertices) or not len(faces):
        raise FormatError(
            f"{path}: at least one face was wanted, it has {len(vertices)} vertices and {len(faces)} faces"
        )
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise FormatError(f"{path}: (V, 3) vertices and (F, 3) faces were wanted, got {vertices.shape}, {faces.shape}")
    if faces.min() < 0 or faces.max() >= len(vertices):
        bad = int(faces.max()) if faces.max() >= len(vertices) else int(faces.min())
        raise FormatError(f"{path}: a face names vertex {bad}, counted from 0; it has {len(vertices)}")
    with np.errstate(over="ignore", invalid="ignore"):
        uv = None if mesh.uv is None else np.ascontiguousarray(mesh.uv, dtype=np.float32)
        scan = Scan.of(vertices, faces, uv=uv, file_vertex=mesh.row, warnings=mesh.warnings)
    counts = {"vertices": len(vertices), "faces": len(faces)}
    return replace(scan, history=({"step": "read", "file": path.name, "format": kind, **counts, **mesh.record},))


def _with_texture(scan: Scan, mesh: Mesh, path: Path) -> Scan:
    if mesh.image is not None:
        return replace(scan, texture=mesh.image)
    if mesh.texture is None:
        return scan
    return textures.attach(scan, path, [mesh.texture])


# ---- glb, gltf ----

_GLTF_NUMBERS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_MOST_VERTICES = 20_000_000


def _read_gltf(content: bytes, path: Path) -> Mesh:
    """Join all meshes of the scene after its transforms. The texture is that of the first textured mesh."""
    import trimesh

    kind = path.suffix.lower()[1:]
    _check_gltf(content, path, kind)
    scene = trimesh.load_scene(
        io.BytesIO(content), file_type=kind, resolver=_Beside(path), process=False, merge_primitives=False
    )
    vertices: list[NDArray[Any]] = []
    faces: list[NDArray[Any]] = []
    uv: list[NDArray[Any]] = []
    image, notes, start = None, [], 0
    for node in sorted(scene.graph.nodes_geometry):
        matrix, name = scene.graph[node]
        mesh = scene.geometry[name]
        if not isinstance(mesh, trimesh.Trimesh):
            continue  # points and lines
        placed = np.asarray(mesh.vertices) @ matrix[:3, :3].T + matrix[:3, 3]
        corners = np.asarray(mesh.faces)
        vertices.append(placed)
        faces.append((corners[:, ::-1] if np.linalg.det(matrix[:3, :3]) < 0 else corners) + start)
        own_uv, own_image = _gltf_texture(mesh)
        if image is None and own_image is not None:
            image, note = own_image
            notes += [f"{path}: {note}"] if note else []
        uv.append(np.full((len(placed), 2), np.nan) if own_uv is None else own_uv)
        start += len(placed)
        if start > _MOST_VERTICES:  # a small file can instance a mesh any number of times
            raise FormatError(f"{path}: a scan has at most {_MOST_VERTICES} vertices, the scene places more")
    if not vertices:
        raise FormatError(f"{path}: at least one face was wanted, the scene has no triangle mesh")
    joined_uv = np.concatenate(uv)
    return Mesh(
        np.concatenate(vertices),
        np.concatenate(faces),
        None if np.isnan(joined_uv).all() else joined_uv,
        record={"meshes": len(vertices)},
        image=image,
        warnings=tuple(notes),
    )


def _gltf_texture(mesh: Any) -> tuple[NDArray[Any] | None, tuple[NDArray[np.uint8] | None, str] | None]:
    """Return uv (N, 2) or None, and `textures.as_rgb` of the picture, or None if there is no picture."""
    uv = getattr(mesh.visual, "uv", None)
    if uv is None or np.shape(uv) != (len(mesh.vertices), 2):
        return None, None
    material = getattr(mesh.visual, "material", None)
    picture = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    return np.asarray(uv), None if picture is None else textures.as_rgb(picture)


def _check_gltf(content: bytes, path: Path, kind: str) -> None:
    """Reject wrong chunk and accessor sizes and cyclic nodes, which trimesh does not check."""
    header = content
    if kind == "glb":
        if content[:4] != b"glTF" or len(content) < 20:
            raise FormatError(f"{path}: should begin with 'glTF', begins with {content[:4]!r}")
        total, length = int.from_bytes(content[8:12], "little"), int.from_bytes(content[12:16], "little")
        if total != len(content) or length > len(content) - 20:
            raise FormatError(f"{path}: its header says {total} bytes, {length} of them JSON; it has {len(content)}")
        header = content[20 : 20 + length]
    tree = json.loads(header)
    if not isinstance(tree, dict):
        raise FormatError(f"{path}: its JSON should be an object, is {type(tree).__name__}")
    room = len(content) + sum(int(buffer.get("byteLength", 0)) for buffer in tree.get("buffers", []) if "uri" in buffer)
    room = min(room, 1 << 30)
    for accessor in tree.get("accessors", []):  # without a bufferView it is all zeros, of any size
        numbers = int(accessor.get("count", 0)) * _GLTF_NUMBERS.get(accessor.get("type"), 1)
        if not 0 <= numbers <= room:
            raise FormatError(f"{path}: an accessor says {accessor['count']} elements; {room} bytes cannot hold them")
    parents = [child for node in tree.get("nodes", []) for child in node.get("children", [])]
    if len(set(parents)) != len(parents):
        raise FormatError(f"{path}: its nodes should form trees, one has two parents")
    _check_no_cycle(tree.get("nodes", []), path)


def _check_no_cycle(nodes: list[dict[str, Any]], path: Path) -> None:
    """Reject cycles. As each node has at most one parent, exactly the nodes of cycles and below are not reached."""
    children = {child for node in nodes for child in node.get("children", [])}
    open_nodes = [index for index in range(len(nodes)) if index not in children]
    reached = 0
    while open_nodes:
        reached += 1
        open_nodes += nodes[open_nodes.pop()].get("children", [])
    if reached != len(nodes):
        raise FormatError(f"{path}: its nodes should form trees, one is its own ancestor")


class _Beside(Mapping[str, bytes]):
    """Resolve the files that a .gltf names for trimesh, within its own folder only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getitem__(self, name: str) -> bytes:
        relative = textures.inside(name)
        if relative is None:
            raise FormatError(f"{self.path}: names the file {name!r}, which is none beside it")
        return read_bytes(self.path.parent / relative)

    def __iter__(self) -> Iterator[str]:
        return iter(())  # files are available by name only, not listed

    def __len__(self) -> int:
        return 0
