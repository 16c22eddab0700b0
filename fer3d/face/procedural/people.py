"""Identity modes of the built-in face: fields of displacements that change one person into another.

A mode moves the whole head, with eyeballs and teeth, by a smooth function of (|x|, y), or moves soft ellipses of the
skin, or carves folds as age does. Two modes are asymmetric, as faces are. Sizes (mm per standard deviation) are our
choice, about the spread that tables of facial anthropometry give.

Convention: as in `fer3d.face.procedural.muscles`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fer3d.face.procedural import surface
from fer3d.face.procedural.muscles import Field, Fold, Layer, Lids, Skin, Tissue
from fer3d.face.procedural.surface import Array

Rule = Callable[[Skin], Array]
Plane = Callable[[Array, Array], Array]


def identity_modes(field: Field) -> NDArray[np.float32]:
    """(M, V, 3) float32: displacements in mm per standard deviation; the modes are the entries of `_IDENTITY`."""
    skin = Skin(field)
    return np.stack([rule(skin) for rule in _IDENTITY.values()]).astype(np.float32)


def identity_names() -> tuple[str, ...]:
    """Names of the identity modes, in the order of `identity_modes`."""
    return tuple(_IDENTITY)


def _tissue(*parts: Tissue, eyes: bool = False) -> Rule:
    """A mode that moves soft ellipses on both sides; lids and eyeballs follow with `eyes`, else they stay."""

    def rule(skin: Skin) -> Array:
        field = skin.field
        x, y = field.points[:, 0], field.y
        moved = np.zeros_like(field.points)
        for part in parts:
            moved += part.move(x, y) * (skin.side[part.lips] * (0.5 if part.middle else 1.0))[:, None]
        moved = moved + skin.mirrored(moved)
        goes = eyes | (field.layer != Layer.BALL)
        free = 1.0 if eyes else skin.free
        return np.asarray(moved * np.reshape(goes * free, (-1, 1)))

    return rule


def _field(dx: Plane | None = None, dy: Plane | None = None) -> Rule:
    """A mode that moves x and y of all vertices by functions of (|x|, y); positive `dx` is away from the middle."""

    def rule(skin: Skin) -> Array:
        x, y = skin.field.x, skin.field.y
        moved = np.zeros_like(skin.field.points)
        if dx is not None:
            moved[:, 0] = np.sign(skin.field.points[:, 0]) * dx(x, y)
        if dy is not None:
            moved[:, 1] = dy(x, y)
        return moved

    return rule


def _depth(dz: Callable[[Array, Array, Array], Array]) -> Rule:
    def rule(skin: Skin) -> Array:
        moved = np.zeros_like(skin.field.points)
        moved[:, 2] = dz(skin.field.x, skin.field.y, skin.field.z)
        return moved

    return rule


def _folds(*folds: Fold, parts: tuple[Tissue, ...] = ()) -> Rule:
    return lambda skin: skin.moved(parts, folds, 0.0, whole=True)


def _lip_fullness(skin: Skin) -> Array:
    field = skin.field
    x, y = field.x, field.y
    near = np.exp(-(((y - surface.lip_line(x)) / 9.0) ** 2)) * np.exp(-((x / 20.0) ** 2)) * field.soft
    away = np.where(field.below, -1.3, 1.3) * np.clip(np.abs(y - surface.lip_line(x)) / 5.0, 0, 1)
    return np.stack([np.zeros_like(x), away * near, 1.1 * near], axis=1)


def _eye_slant(skin: Skin) -> Array:
    """The eye rotates about its middle, so that its outer corner rises."""
    x, y = skin.field.x, skin.field.y
    near = surface.bump(x, y, (30.5, 34.0), (13, 9))
    moved = np.zeros_like(skin.field.points)
    moved[:, 1] = np.clip(x - 30.5, -16, 16) * 0.075 * near * np.where(skin.field.layer == Layer.BALL, 0.0, 1.0)
    return moved


def _lid_hood(skin: Skin) -> Array:
    """The fold above the upper lid fills and hangs down, as in hooded or epicanthic lids."""
    x, y = skin.field.x, skin.field.y
    t = (x - surface.EYE_INNER) / (surface.EYE_OUTER - surface.EYE_INNER)
    across = np.clip(1.2 - (2 * t - 1) ** 2, 0, 1) * skin.field.soft * (skin.field.lid >= 0)
    moved = np.zeros_like(skin.field.points)
    height = np.exp(-(((y - surface.upper_lid(x) - 4.5) / 2.6) ** 2)) * across
    moved[:, 1], moved[:, 2] = -0.7 * height, 1.0 * height
    return moved


def _lopsided(part: Tissue) -> Rule:
    """A mode that moves a part on one side only."""
    return lambda skin: part.move(skin.field.points[:, 0], skin.field.y) * (skin.free * skin.field.soft)[:, None]


_LINES = ((-34.0, -1.0), (-18.0, 0.6), (0.0, -0.4), (18.0, 0.6), (34.0, -1.0))
_IDENTITY: dict[str, Rule] = {
    "face_length": _field(dy=lambda x, y: 0.040 * y),
    "face_width": _field(lambda x, y: 0.045 * x),
    "head_depth": _depth(lambda x, y, z: 0.05 * z),
    "lower_face_length": _field(dy=lambda x, y: -3.2 * np.clip((-12 - y) / 60, 0, 1.2)),
    "forehead_width": _field(lambda x, y: 0.045 * x * np.clip((y - 45) / 40, 0, 1)),
    "forehead_slope": _depth(lambda x, y, z: -3.4 * np.clip((y - 55) / 55, 0, 1.2) ** 2),
    "jaw_width": _field(lambda x, y: 0.065 * x * np.clip((5 - y) / 50, 0, 1)),
    "jaw_angle": _tissue(Tissue((52, -46), (12, 14), (3.0, -1.0, 1.0))),
    "chin_projection": _tissue(Tissue((0, -66), (17, 11), (0, 0, 2.6))),
    "chin_length": _tissue(Tissue((0, -74), (24, 13), (0, -2.6, 0))),
    "chin_width": _tissue(Tissue((18, -70), (13, 11), (2.2, 0, 0.4))),
    "nose_length": _tissue(Tissue((0, -5), (17, 11), (0, -2.2, -0.3)), Tissue((0, 15), (9, 12), (0, -0.8, 0.3))),
    "nose_width": _tissue(Tissue((15, -4), (7, 10), (1.8, 0, 0)), Tissue((8, 16), (5, 14), (0.7, 0, 0))),
    "nose_projection": _tissue(Tissue((0, -2), (11, 9), (0, 0, 2.2)), Tissue((0, 14), (8, 12), (0, 0, 0.8))),
    "nose_bridge": _tissue(Tissue((0, 22), (6.5, 9), (0, 0, 1.5)), Tissue((0, 38), (8, 7), (0, 0, 0.9))),
    "nose_hump": _tissue(Tissue((0, 19), (4.5, 6), (0, 0, 1.6))),
    "nose_tip_turn": _tissue(Tissue((0, -1), (8, 7), (0, 2.0, -0.4)), Tissue((0, -11), (7, 4), (0, 1.0, 0.8))),
    "nose_tip_width": _tissue(Tissue((7, -3), (4.5, 5), (1.2, 0, 0.3))),
    "brow_ridge": _tissue(Tissue((24, 49), (16, 6), (0, 0, 1.7))),
    "brow_height": _tissue(Tissue((28, 50), (16, 7), (0, 1.7, 0))),
    "eye_spacing": _tissue(Tissue((30, 34), (15, 12), (1.3, 0, 0)), eyes=True),
    "eye_opening": lambda skin: skin.lids_moved(Lids(0.7, -0.4)),
    "eye_depth": _tissue(Tissue((30, 35), (13, 9), (0, 0, -1.4)), eyes=True),
    "eye_slant": _eye_slant,
    "lid_hood": _lid_hood,
    "cheekbones": _tissue(Tissue((52, 12), (13, 10), (1.6, 0, 2.0))),
    "cheek_fullness": _tissue(Tissue((44, -28), (15, 16), (1.8, 0, 2.0))),
    "mouth_width": _tissue(Tissue((24, -35), (11, 10), (1.8, 0, -0.3)), Tissue((11, -35), (7, 8), (0.7, 0, 0))),
    "mouth_height": _tissue(Tissue((0, -35), (26, 14), (0, 1.4, 0))),
    "lip_fullness": _lip_fullness,
    "lip_projection": _tissue(Tissue((0, -34), (16, 12), (0, 0, 1.5))),
    "age_cheeks": _folds(
        Fold(((18.5, 0.0), (24.0, -9.0), (29.0, -20.0), (31.5, -32.0), (32.0, -40.0))[::-1], 0.8, 2.3, 0.6),
        Fold(((28.0, -40.0), (31.0, -48.0), (33.0, -56.0), (33.0, -64.0))[::-1], 0.45, 2.6, 0.3),
        parts=(Tissue((44, -60), (10, 8), (0.4, -0.8, 1.0)),),
    ),
    "age_eyes": _folds(
        Fold(((17.0, 26.0), (24.0, 20.0), (33.0, 18.5), (42.0, 22.0))[::-1], 0.6, 1.8, -0.5),
        Fold(((48.5, 33.5), (55.0, 34.0), (61.0, 35.5)), 0.3, 1.3),
    ),
    "age_forehead": _folds(*(Fold(tuple((x, y + sag) for x, sag in _LINES), 0.4, 2.2, 0.2) for y in (68, 79, 90))),
    "lopsided_mouth": _lopsided(Tissue((25, -36), (16, 12), (0.4, 0.9, 0.2))),
    "lopsided_nose": _lopsided(Tissue((0, 2), (12, 14), (0.9, 0.0, 0.0))),
}
