"""Read ICT-FaceKit's folder of OBJ files, as users download it, into the arrays of `fer3d.face.ict`.

The folder (`FaceXModel`) holds `generic_neutral_mesh.obj`; `identity000.obj`, `identity001.obj` ...: the neutral mesh
plus one identity mode; one OBJ for each expression, with its name (`browDown_L.obj`); and `vertex_indices.json`, of
which `arrays` reads the lists `expressions` and `idx_to_landmark_verts` (the 68 points of iBUG). All meshes have the
same vertices in the same order, in cm. The first 9,409 are the face; `arrays` drops the others: head, mouth, teeth and
eyes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FileError, FormatError
from fer3d.face.npz import LARGEST
from fer3d.files import parse_json, read_bytes

FACE_VERTICES = 9409
NEUTRAL, INDICES = "generic_neutral_mesh.obj", "vertex_indices.json"


def arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """Read the folder into arrays with the keys of the .npz layout; see `fer3d.face.ict`.

    Raises:
        FileError: if a file is missing or cannot be read.
        FormatError: if the content of a file differs from the layout in the module's docstring.
    """
    content = read_bytes(folder / NEUTRAL)
    neutral = _vertices(content, folder / NEUTRAL)
    expressions, landmarks = _indices(folder / INDICES)
    identities = sorted(folder.glob("identity[0-9][0-9][0-9].obj"))
    if not identities or identities[-1].stem != f"identity{len(identities) - 1:03d}":
        raise FileError(
            f"{folder}: identity000.obj and what follows without a gap were wanted, {len(identities)} are there"
        )
    triangles, uv = _faces(content, len(neutral), folder / NEUTRAL)

    def modes(paths: list[Path]) -> NDArray[np.float32]:
        return np.stack([_mode(path, neutral) for path in paths])

    return {
        "neutral": neutral.astype(np.float32),
        "identity_modes": modes(identities),
        "expression_modes": modes([folder / f"{name}.obj" for name in expressions]),
        "expression_names": np.array(expressions),
        "triangles": triangles,
        "uv": uv,
        "landmarks68": landmarks,
    }


def _indices(path: Path) -> tuple[list[str], NDArray[np.int64]]:
    try:
        data = parse_json(read_bytes(path), str(path))
        names = [str(name) for name in data["expressions"]]
        if not names or not all(re.fullmatch(r"\w{1,60}", name) for name in names):
            raise ValueError("no expression is named, or one is no name of a file")
        return names, np.array(data["idx_to_landmark_verts"], np.int64)
    except FormatError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(
            f"{path}: `expressions` and `idx_to_landmark_verts` of ICT-FaceKit were wanted: {error!r}"
        ) from error


def _mode(path: Path, neutral: NDArray[np.float64]) -> NDArray[np.float32]:
    points = _vertices(read_bytes(path), path)
    if len(points) != len(neutral):
        raise FormatError(f"{path}: {len(neutral)} vertices were wanted, as in {NEUTRAL}, it has {len(points)}")
    return (points - neutral).astype(np.float32)


def _vertices(content: bytes, path: Path) -> NDArray[np.float64]:
    """(V, 3) float64: the first vertices of an OBJ, which are those of the face."""
    lines = [line[2:].split()[:3] for line in content.splitlines() if line.startswith(b"v ")][:FACE_VERTICES]
    try:
        points = np.array(lines, dtype=np.float64)
    except ValueError as error:
        raise FormatError(f"{path}: a vertex is not three numbers: {error}") from error
    if points.ndim != 2 or points.shape[1] != 3:
        raise FormatError(f"{path}: an OBJ with vertices of three numbers was wanted")
    if not (np.abs(points) <= LARGEST).all():  # NaN is not either
        raise FormatError(f"{path}: a vertex should hold numbers of at most {LARGEST:g}, one holds others")
    return points


def _faces(content: bytes, V: int, path: Path) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Split the polygons of the face into triangles; a vertex gets its uv from the first polygon that states one."""
    lines = content.splitlines()
    try:
        places = np.array([line.split()[1:3] for line in lines if line.startswith(b"vt ")], np.float64).reshape(-1, 2)
        if not (np.abs(places) <= LARGEST).all():  # NaN is not either
            raise ValueError(f"uv should be at most {LARGEST:g}")
        uv = np.zeros((V, 2), np.float32)
        seen = np.zeros(V, np.bool_)
        triangles = []
        for line in lines:
            if not line.startswith(b"f "):
                continue
            corners = [[int(number or 0) for number in corner.split(b"/")[:2]] for corner in line.split()[1:]]
            rows = [corner[0] - 1 for corner in corners]
            if max(rows) >= V:
                continue
            triangles += [(rows[0], rows[k], rows[k + 1]) for k in range(1, len(rows) - 1)]
            for row, corner in zip(rows, corners, strict=True):
                if len(corner) > 1 and corner[1] and not seen[row]:
                    uv[row], seen[row] = places[corner[1] - 1], True
        return np.array(triangles, np.int32).reshape(-1, 3), uv
    except (ValueError, IndexError, OverflowError) as error:
        raise FormatError(f"{path}: polygons and uv of an OBJ were wanted: {error}") from error
