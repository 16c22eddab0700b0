"""Generic mesh files through trimesh: .ply, .stl, .off.

trimesh trusts its input: it allocates what a header claims, truncates numbers it cannot parse, and raises nearly any
exception. This module therefore compares counts with the file size before it calls trimesh, and converts every
exception of trimesh to a FormatError.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError, Fer3dError, FormatError
from fer3d.files import read_bytes, write_bytes
from fer3d.formats import number_blocks, textures
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
    """Read a scan from a .ply, .stl or .off file, in the unit and frame of the file.

    Args:
        path: The file. Its suffix, in upper or lower case, determines the format.
        texture: Whether to find and decode the texture.

    Returns:
        The scan, with vertices in the order of the file. Corners of .stl at the same position become one vertex.
        Vertices of .ply with several uv are split; the copies come last.

    Raises:
        ArgumentError: if the file has another suffix.
        FileError: if the file cannot be opened.
        FormatError: if counts and size disagree, it cannot be parsed, an index is out of range, or there is no face.
    """
    path = Path(path)
    readers: dict[str, Callable[[bytes, Path], Mesh]] = {
        ".ply": _read_ply,
        ".stl": _read_stl,
        ".off": _read_off,
    }
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise ArgumentError(f"`path` should end in one of {', '.join(readers)}, is {path}")
    content = read_bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", "string or file could not be read")  # NumPy, where trimesh cuts a line
            mesh = readers[suffix](content, path)
            scan = _as_scan(mesh, path, suffix[1:])
    except Fer3dError:
        raise
    except Exception as error:  # see the module's docstring
        reason = str(error).splitlines()[0][:200] if str(error) else ""
        raise FormatError(f"{path}: cannot be read as {suffix}: {reason or type(error).__name__}") from error
    return _with_texture(scan, mesh, path) if texture else scan


def write(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Write a scan. A .ply holds uv, with the texture beside it; others only the surface.

    Raises:
        ArgumentError: if the scan has no face, or the suffix is unknown.
        FileError: if a file cannot be written.
    """
    check_scan("scan", scan)
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".ply":
        write_bytes(path, _ply_bytes(scan, path))
        return
    if suffix not in (".stl", ".off"):
        raise ArgumentError(f"`path` should end in .ply, .stl or .off, is {path}")
    from fer3d.formats.interop import to_trimesh

    mesh = to_trimesh(replace(scan, uv=None, texture=None))
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


# ---- ply ----

_PLY_SIZES = {"char": 1, "uchar": 1, "int8": 1, "uint8": 1, "short": 2, "ushort": 2, "int16": 2, "uint16": 2}
_PLY_SIZES |= {"float16": 2, "int": 4, "uint": 4, "int32": 4, "uint32": 4, "float": 4, "float32": 4}
_PLY_SIZES |= {"int64": 8, "uint64": 8, "double": 8, "float64": 8}


def _read_ply(content: bytes, path: Path) -> Mesh:
    """Read a .ply with vertices in the order of the file: trimesh only parses it (`fix_texture=False`)."""
    from trimesh.exchange.ply import load_ply

    texture = _check_ply(content, path)
    loaded = load_ply(io.BytesIO(content), fix_texture=False, skip_materials=True)
    if "faces" not in loaded or loaded["faces"] is None:
        raise FormatError(f"{path}: faces were wanted, it holds points alone")
    raw = loaded["metadata"]["_ply_raw"]
    for name in ("vertex", "face"):
        data = raw[name]["data"]
        rows = len(next(iter(data.values()))) if isinstance(data, dict) else len(data)
        if rows != raw[name]["length"]:
            raise FormatError(f"{path}: its header says {raw[name]['length']} of element {name!r}, it holds {rows}")
    vertices, polygons = np.asarray(loaded["vertices"]), np.asarray(loaded["faces"])
    faces = _fans(polygons)
    uv = _ply_vertex_uv(raw)
    row = None
    split = 0
    corner_uv = _ply_corner_uv(raw, len(polygons), polygons.shape[1])
    if uv is None and corner_uv is not None:
        if faces.min() < 0 or faces.max() >= len(vertices):
            return Mesh(vertices, faces)  # `_as_scan` raises the right message
        pairs = np.ascontiguousarray(_fans(corner_uv), dtype=np.float32).reshape(-1, 2)  # (3 F, 2)
        distinct, index = np.unique(pairs.view(np.uint64).ravel(), return_inverse=True)
        split_faces, row, uv_row = number_blocks.split_vertices(
            faces.astype(np.int32), index.reshape(-1, 3).astype(np.int32), len(vertices)
        )
        uv = distinct.view(np.float32).reshape(-1, 2)[uv_row]
        uv[uv_row < 0] = np.nan
        split = len(row) - len(vertices)
        vertices, faces = vertices[row], split_faces
    record = {"vertices": len(vertices) - split, "split_vertices": split} if split else {}
    return Mesh(vertices, faces, uv, row if split else None, record, texture)


def _check_ply(content: bytes, path: Path) -> str | None:
    """Reject a header that is malformed or claims more data than the file can hold. Return the texture it names."""
    end = re.search(rb"(?:^|\n)end_header[ \t]*\r?\n", content[: 1 << 20])
    if not re.match(rb"ply\s", content) or end is None:
        raise FormatError(f"{path}: should begin with 'ply' and have an 'end_header'")
    room = len(content) - end.end()
    binary = b"format ascii" not in content[: end.end()]
    texture, name, count, least = None, "", 0, 0
    claims: list[tuple[str, int, int]] = []  # element, count, minimum bytes per row
    for line in content[: end.start()].decode("utf-8", "replace").splitlines():
        words = line.split()
        if words[:1] == ["element"]:
            if len(words) != 3 or not re.fullmatch(r"\d{1,18}", words[2]):
                raise FormatError(f"{path}: 'element NAME COUNT' was wanted, the header says {line[:60]!r}")
            claims.append((name, count, least))
            name, count, least = words[1], int(words[2]), 0
        elif words[:1] == ["property"] and len(words) > 2:
            # In text a number takes at least a digit and a separator.
            kind = words[2] if words[1] == "list" else words[1]
            least += _PLY_SIZES.get(kind, 1) if binary else 2
        elif "texturefile" in line.lower():
            texture = line[line.lower().index("texturefile") + len("texturefile") :].strip() or None
    claims.append((name, count, least))
    for name, count, least in claims:
        if count * max(least, 1) > room + 1:  # the last line may end without a separator
            raise FormatError(f"{path}: its header says {count} of element {name!r}; {room} bytes cannot hold them")
    return texture


def _fans(polygons: NDArray[Any]) -> NDArray[Any]:
    """Cut polygons (F, n, ...) into triangles (F (n - 2), 3, ...): fans from the first corner."""
    if polygons.ndim < 2 or polygons.shape[1] < 3:
        raise FormatError(f"polygons of at least 3 corners were wanted, they have shape {polygons.shape}")
    corners = range(1, polygons.shape[1] - 1)
    return np.stack([polygons[:, [0, k, k + 1]] for k in corners], axis=1).reshape(-1, 3, *polygons.shape[2:])


def _ply_vertex_uv(raw: dict[str, Any]) -> NDArray[Any] | None:
    data = raw["vertex"]["data"]
    for names in (("texture_u", "texture_v"), ("u", "v"), ("s", "t")):
        if all(name in raw["vertex"]["properties"] for name in names):
            return np.stack([np.asarray(data[name]).reshape(-1) for name in names], axis=1)
    return None


def _ply_corner_uv(raw: dict[str, Any], polygons: int, corners: int) -> NDArray[Any] | None:
    """Return the uv list of MeshLab's faces, (F, corners, 2), or None."""
    if "texcoord" not in raw["face"]["properties"]:
        return None
    data = raw["face"]["data"]["texcoord"]
    if isinstance(data, np.ndarray) and data.dtype.names:
        data = data["f1"]
    data = np.asarray(data)
    return data.reshape(polygons, corners, 2) if data.size == polygons * corners * 2 else None


def _ply_bytes(scan: Scan, path: Path) -> bytes:
    """Encode a binary .ply. The writer of trimesh would drop the name of the texture, and uv without a texture."""
    head = ["ply", "format binary_little_endian 1.0"]
    if scan.texture is not None and scan.uv is not None:
        image = f"{path.stem}.png"
        textures.write(scan.texture, path.with_name(image))
        head.append(f"comment TextureFile {image}")
    columns = [scan.vertices] if scan.uv is None else [scan.vertices, scan.uv]
    names = ("x", "y", "z") if scan.uv is None else ("x", "y", "z", "s", "t")
    head += [f"element vertex {len(scan.vertices)}", *(f"property float {name}" for name in names)]
    head += [f"element face {len(scan.faces)}", "property list uchar int vertex_indices", "end_header\n"]
    faces = np.empty(len(scan.faces), np.dtype([("corners", "u1"), ("rows", "<i4", 3)]))
    faces["corners"], faces["rows"] = 3, scan.faces
    return "\n".join(head).encode() + np.hstack(columns).astype("<f4").tobytes() + faces.tobytes()


# ---- stl, off ----


def _read_stl(content: bytes, path: Path) -> Mesh:
    from trimesh.exchange.stl import load_stl

    claimed = int.from_bytes(content[80:84], "little")
    if not content.lstrip()[:5].lower() == b"solid" and len(content) != 84 + 50 * claimed:
        raise FormatError(
            f"{path}: its header says {claimed} triangles, which take {84 + 50 * claimed} bytes; it has {len(content)}"
        )
    loaded = load_stl(io.BytesIO(content))
    parts = list(loaded["geometry"].values()) if "geometry" in loaded else [loaded]
    if not parts:
        raise FormatError(f"{path}: at least one triangle was wanted, it has none, or breaks off before 'endsolid'")
    corners = np.concatenate([np.asarray(part["vertices"]) for part in parts]).astype(np.float32)
    corners += np.float32(0)  # turns -0 into 0, so that both compare equal
    keys = np.ascontiguousarray(corners).view([("", np.uint32)] * 3).ravel()
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)  # vertices in the order of their first occurrence in the file
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    merged = {"corners": len(corners), "merged": "corners at the same place are one vertex"}
    return Mesh(corners[first[order]], rank[index].reshape(-1, 3), row=first[order].astype(np.int32), record=merged)


def _read_off(content: bytes, path: Path) -> Mesh:
    from trimesh.exchange.off import load_off

    lines = [line for line in re.sub(rb"#[^\n]*", b"", content).split(b"\n") if line.strip()]
    if not lines or not re.match(rb"\s*(?:\xef\xbb\xbf)?C?OFF\b", lines[0]):
        raise FormatError(f"{path}: should begin with 'OFF' or 'COFF'")
    rest = re.sub(rb"^.*?OFF", b"", lines[0]).strip()
    lines = [rest, *lines[1:]] if rest else lines[1:]
    counts = re.match(rb"\s*(\d{1,18})\s+(\d{1,18})\b", lines[0] if lines else b"")
    if counts is None:
        raise FormatError(f"{path}: the number of vertices and of faces was wanted after 'OFF'")
    vertices, faces = int(counts[1]), int(counts[2])
    if len(lines) - 1 < vertices + faces:
        raise FormatError(
            f"{path}: its header says {vertices} vertices and {faces} faces, {len(lines) - 1} lines cannot hold them"
        )
    widths = {len(line.split()) for line in lines[1 : vertices + 1]}
    if len(widths) > 1 or not all(width >= 3 for width in widths):
        raise FormatError(f"{path}: its {vertices} vertex lines should have 3 or more numbers, as many on each")
    loaded = load_off(io.BytesIO(content))
    return Mesh(loaded["vertices"], loaded["faces"])
