"""Face models: the built-in procedural model, ICT-FaceKit, models in .npz files, and the mean face that scans are
aligned to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer3d import lazy_names

if TYPE_CHECKING:
    from fer3d.face.load import builtin_face, load_face, mean_face, save_face
    from fer3d.face.model import FaceModel

__all__ = ["FaceModel", "builtin_face", "load_face", "mean_face", "save_face"]

_HOMES = {
    "builtin_face": "load",
    "load_face": "load",
    "mean_face": "load",
    "save_face": "load",
    "FaceModel": "model",
}

__getattr__ = lazy_names(__name__, _HOMES)
