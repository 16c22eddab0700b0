"""Load and save face models; the built-in face model and its mean face."""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np

from fer3d.face import ict, npz
from fer3d.face.model import MOUTH, TEETH, FaceModel
from fer3d.face.procedural import mesh
from fer3d.landmarks import CANONICAL_LANDMARKS
from fer3d.scan import Scan


@lru_cache(maxsize=1)
def builtin_face() -> FaceModel:
    """The built-in face model, computed from formulas (see `fer3d.face.procedural`); each process computes it once."""
    return mesh.builtin()


def load_face(path: str | os.PathLike[str]) -> FaceModel:
    """Read a face model: a file that `save_face` wrote, an .npz of ICT-FaceKit, or ICT-FaceKit's folder of OBJ files.

    See `fer3d.face.npz` and `fer3d.face.ict` for the layouts.

    Raises:
        FileError: if a file is missing or cannot be read.
        FormatError: if the file holds no face model.
    """
    return npz.load(path) if npz.is_one(path) else ict.load(path)


def save_face(model: FaceModel, path: str | os.PathLike[str]) -> None:
    """Write a face model to one .npz file; see `fer3d.face.npz` for the layout.

    Raises:
        FileError: if the file cannot be written.
    """
    npz.save(model, path)


@lru_cache(maxsize=1)
def mean_face() -> Scan:
    """The neutral built-in face as a scan; alignment uses it as the reference for scans of any source.

    Returns:
        A scan in mm, frontal and mirror-symmetric in x, with the canonical landmarks. The origin is the nose tip, which
        is the vertex with the largest z. The scan holds the skin, the closed lips and the eyeballs, but not the inside
        of the mouth. Every call returns the same object: do not modify it.
    """
    face = mesh.neutral()
    faces = face.triangles[(face.part != MOUTH) & (face.part != TEETH)]
    scan = Scan.of(
        face.points,
        faces,
        uv=face.uv,
        landmarks={name: face.points[face.landmarks[name]].copy() for name in CANONICAL_LANDMARKS},
        history=({"step": "mean_face", "face_model": mesh.NAME},),
    )
    used = np.zeros(len(face.points), np.bool_)
    used[faces] = True
    return scan.kept(used, "drop_mouth")
