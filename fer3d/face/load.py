"""Face models from files, our own, and its mean face."""

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
    """Our own procedural model, made by formulas; see `fer3d.face.procedural`. Made once a process."""
    return mesh.builtin()


def load_face(path: str | os.PathLike[str]) -> FaceModel:
    """A model from what `save_face` wrote, from an .npz of ICT-FaceKit, or from ICT-FaceKit's own folder of OBJ files.

    See `fer3d.face.npz` and `fer3d.face.ict` for the layouts.

    Raises:
        FileError: if a file is missing or cannot be read.
        FormatError: if it holds no face model.
    """
    return npz.load(path) if npz.is_one(path) else ict.load(path)


def save_face(model: FaceModel, path: str | os.PathLike[str]) -> None:
    """Write a model as one .npz; see `fer3d.face.npz`.

    Raises:
        FileError: if it cannot be written.
    """
    npz.save(model, path)


@lru_cache(maxsize=1)
def mean_face() -> Scan:
    """The neutral built-in face as a scan: what unknown scans are aligned to.

    Returns:
        mm; the nose tip is the origin (the vertex with the largest z), frontal, mirror-symmetric in x; skin, closed
        lips and balls of the eyes (no inside of the mouth), with the canonical landmarks. Always the same object: do
        not write into it.
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
