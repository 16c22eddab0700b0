"""How the built-in face varies: identity modes (people) and expression modes (muscles), as fields of displacements.

A mode is a sum of terms. A term moves a soft ellipse of the surface by a vector; it may be confined to one side of the
line between the lips. Lids and jaw move by rules of their own: margins slide over the ball of the eye, the jaw turns
about the axis of its joints. Amplitudes (mm at weight 1) are our choices, of the size that faces show.

Convention: as `procedural_face`; a term is given for the subject's left side (x > 0) and is mirrored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.synth import procedural_face as surface
from fer3d.synth.procedural_face import Array


class Field(NamedTuple):
    """The surface that modes are made for: (V, 3) float64 points in mm, and which lie below the lips' line."""

    points: Array
    below: NDArray[np.bool_]

    @property
    def x(self) -> Array:
        return np.abs(self.points[:, 0])

    @property
    def y(self) -> Array:
        return self.points[:, 1]

    @property
    def z(self) -> Array:
        return self.points[:, 2]


class Term(NamedTuple):
    """A soft ellipse that moves.

    Attributes:
        at: (x, y) of its centre.
        size: Half-axes (standard deviations of the Gaussian), mm.
        move: (x, y, z) at its centre, mm; +x is away from the middle.
        turn: Degrees from x towards y by which the ellipse is turned.
        lips: "both", "upper" or "lower": which side of the line between the lips it holds.
        lids: False: fades out from the crease of the upper lid to its margin, so that the ball of the eye stays.
    """

    at: tuple[float, float]
    size: tuple[float, float]
    move: tuple[float, float, float]
    turn: float = 0.0
    lips: str = "both"
    lids: bool = True


# One-sided expression modes: made for the left, mirrored for the right.
_SIDED: dict[str, tuple[Term, ...]] = {
    "AU4": (
        Term((14, 50), (9, 9), (-2.4, -4.4, 0.8), lids=False),
        Term((32, 53), (13, 9), (-1.4, -3.6, 0.6), lids=False),
    ),
    "AU1": (
        Term((13, 52), (9, 10), (0.2, 7.0, 0.3), lids=False),
        Term((16, 72), (14, 10), (0.0, 3.0, 0.4)),
    ),
    "AU2": (
        Term((42, 54), (13, 10), (0.6, 7.4, -1.6), lids=False),
        Term((38, 74), (14, 10), (0, 2.8, -0.6)),
    ),
    "AU6": (
        Term((40, 8), (13, 10), (0.4, 4.8, 2.6)),
        Term((31, 23), (12, 4), (0.0, 2.4, 1.0)),
    ),
    "AU34": (Term((38, -34), (13, 13), (4.5, 0.0, 6.0)), Term((16, -32), (9, 9), (0.0, 0.0, 2.0))),
    "AU9": (
        Term((16, -2), (6, 7), (1.6, 4.0, 0.6)),
        Term((13, 18), (6, 10), (-1.0, 3.6, 1.6)),
        Term((24, -14), (9, 10), (0.6, 5.4, 1.2), lips="upper"),
        Term((11, -25), (8, 6), (0.4, 3.0, 0.4), lips="upper"),
        Term((12, 49), (8, 6), (-0.8, -2.2, 0.4)),
    ),
    "AU12": (
        Term((25.5, -34), (12, 9), (7.0, 7.6, -5.0)),
        Term((12, -31), (9, 6), (1.8, 1.4, -1.8), lips="upper"),
        Term((12, -38), (9, 6), (1.8, 1.6, -1.6), lips="lower"),
        Term((38, -12), (11, 13), (1.6, 4.6, 3.4), 30),
        Term((40, 6), (12, 8), (0.2, 2.0, 1.8)),
        Term((24, -18), (3.5, 9), (0.8, 2.0, -1.2), 25),
    ),
    "AU15": (
        Term((25.5, -37), (8, 8), (1.8, -6.0, -1.6)),
        Term((14, -33), (8, 6), (0.4, -1.6, -0.2), lips="upper"),
        Term((14, -40), (9, 7), (0.6, -2.0, -0.2), lips="lower"),
        Term((30, -50), (8, 8), (0.6, -1.2, 1.4)),
    ),
    "AU20": (
        Term((25.5, -36), (10, 10), (7.0, -2.4, -4.6)),
        Term((12, -35), (8, 8), (2.6, -0.4, -1.2)),
        Term((38, -56), (12, 12), (2.0, -2.4, 0.4)),
    ),
    "AU10": (
        Term((9, -29), (9, 7), (0.3, 6.2, 0.6), lips="upper"),
        Term((20, -18), (9, 10), (0.8, 4.2, 1.4), lips="upper"),
        Term((17, -3), (6, 7), (0.6, 1.4, 0.2)),
    ),
    "AU16": (
        Term((9, -40), (9, 8), (0.3, -5.6, -0.6), lips="lower"),
        Term((12, -52), (11, 8), (0.2, -1.8, -0.4), lips="lower"),
    ),
    "AU14": (Term((27, -36), (7, 7), (3.6, 0.8, -4.6)),),
}
# Expression modes that are alike on both sides.
_WHOLE: dict[str, tuple[Term, ...]] = {
    "AU18": (
        Term((24, -36), (10, 11), (-8.5, 0.0, 4.0)),
        Term((11, -33), (9, 8), (-3.0, 0.0, 2.6)),
        Term((0, -29), (10, 6), (0.0, 0.4, 5.0), lips="upper"),
        Term((0, -41), (10, 7), (0.0, 0.0, 5.0), lips="lower"),
    ),
    "AU24": (
        Term((9, -29), (11, 4.5), (0.0, -1.6, -1.8), lips="upper"),
        Term((9, -41), (11, 4.5), (0.0, 2.2, -1.8), lips="lower"),
        Term((10, -56), (9, 6), (0.0, 1.6, 1.2)),
        Term((26, -36), (5, 5), (0.6, 0.0, -1.6)),
    ),
    "AU22": (
        Term((24, -36), (9, 10), (-5.5, 0.0, 3.0)),
        Term((0, -29), (10, 6), (0.0, 4.5, 5.0), lips="upper"),
        Term((0, -42), (10, 7), (0.0, -5.5, 4.0), lips="lower"),
    ),
    "AU17": (
        Term((0, -66), (15, 9), (0.0, 5.5, 1.8)),
        Term((0, -44), (15, 7), (0.0, 4.4, 2.2), lips="lower"),
        Term((0, -31), (15, 4), (0.0, 2.2, 0.6), lips="upper"),
    ),
    "AU29": (Term((0, -62), (32, 24), (0.0, -1.0, 9.0), lips="lower"),),
}


def expression_modes(field: Field) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names, and (N, V, 3) float32 displacements in mm at weight 1."""
    modes: dict[str, Array] = {}
    for name, terms in _SIDED.items():
        left = _moved(field, terms, sided=True)
        modes[f"{name}_L"], modes[f"{name}_R"] = left, _mirrored(field, terms)
    for name, terms in _WHOLE.items():
        modes[name] = _moved(field, terms, sided=False)
    for name, shift in _LIDS.items():
        both = _lids_moved(field, *shift)
        is_left = field.points[:, :1] > 0
        modes[f"{name}_L"], modes[f"{name}_R"] = both * is_left, both * ~is_left
    squint = _SQUINT_SKIN
    modes["AU7_L"] += _moved(field, squint, sided=True)
    modes["AU7_R"] += _mirrored(field, squint)
    modes["AU27"] = _jaw_opened(field)
    modes["AU26"] = 0.55 * modes["AU27"]
    names = tuple(sorted(modes))
    return names, np.stack([modes[name] for name in names]).astype(np.float32)


def _weight(field: Field, term: Term, x: Array) -> Array:
    weight = surface.bump(x, field.y, term.at, term.size, term.turn)
    if not term.lids:
        rise = np.clip((field.y - surface.upper_lid(field.x)) / 9.0, 0, 1)
        weight = weight * rise**2 * (3 - 2 * rise)
    if term.lips == "both":
        return weight
    # Between the corners the slit divides; beyond them, and at them, the two sides blend into each other.
    reach = np.clip(field.x / surface.MOUTH_HALF_WIDTH, 0, 1)
    soft = 0.5 + 0.5 * np.tanh((field.y - surface.lip_line(field.x)) / (0.5 + 5.0 * reach**4))
    upper = np.where(field.below, 0.0, 1.0) * (1 - reach**4) + soft * reach**4
    return weight * (upper if term.lips == "upper" else 1 - upper)


def _moved(field: Field, terms: Sequence[Term], *, sided: bool) -> Array:
    """(V, 3) displacement. Sided: terms act where they are (x > 0); else on both sides, mirrored."""
    sign = np.sign(field.points[:, :1])
    total = np.zeros_like(field.points)
    for term in terms:
        if sided:
            total += _weight(field, term, field.points[:, 0])[:, None] * np.array(term.move)
        else:
            move = np.array(term.move) * np.concatenate([sign, np.ones_like(sign), np.ones_like(sign)], axis=1)
            total += _weight(field, term, field.x)[:, None] * move
    return total


def _mirrored(field: Field, terms: Sequence[Term]) -> Array:
    """The sided terms on the other side: computed, not copied, and equal to the last bit."""
    mirror = np.array([-1.0, 1.0, 1.0])
    return np.asarray(_moved(Field(field.points * mirror, field.below), terms, sided=True) * mirror)


# Margins of the lids at weight 1: share of the opening by which the upper and the lower margin move up (mm at centre
# where negative numbers go down), see _lids_moved.
_LIDS = {"AU43": (-9.2, 0.9), "AU5": (2.2, -0.6), "AU7": (-1.6, 2.4)}
_SQUINT_SKIN = (Term((31, 20), (12, 5), (-0.8, 1.8, 0.8)), Term((47, 33), (6, 8), (-1.6, 0.0, 0.4)))


def _lids_moved(field: Field, upper_shift: float, lower_shift: float) -> Array:
    """Both eyes: margins slide over the ball by these mm at mid-eye, tapering to the corners; skin follows softly."""
    x, y = field.x, field.y
    upper, lower = surface.upper_lid(x), surface.lower_lid(x)
    t = (x - surface.EYE_INNER) / (surface.EYE_OUTER - surface.EYE_INNER)
    arch = np.clip(4 * t * (1 - t), 0, 1) ** 0.7
    opening = np.maximum(upper - lower, 1e-6)
    share = np.clip((y - lower) / opening, 0, 1)
    up = upper_shift * arch * np.exp(-((np.clip(y - upper, 0, None) / 6.5) ** 2))
    low = lower_shift * arch * np.exp(-((np.clip(lower - y, 0, None) / 6.0) ** 2))
    dy = np.where(
        y > upper, up, np.where(y < lower, low, share * upper_shift * arch + (1 - share) * lower_shift * arch)
    )
    near = (x > surface.EYE_INNER) & (x < surface.EYE_OUTER) & (np.abs(y - surface.EYE_Y) < 22)
    dy = np.where(near, dy, 0.0)
    between = near & (y > lower + 0.05) & (y < upper - 0.05)
    follow = np.clip(np.abs(dy) / max(abs(upper_shift), abs(lower_shift)), 0, 1) * arch
    dz = np.clip(surface.lid_skin(x, y + dy) - surface.lid_skin(x, y), -2.5, 2.5) * follow
    dz = np.where(between, -0.4 * np.abs(dy), np.where(near, dz, 0.0))
    return np.stack([np.zeros_like(x), dy, dz], axis=1)


_JAW_AXIS = (6.0, -84.0)  # y and z of the line through both joints
_JAW_TURN = 0.40  # radians at weight 1


def _jaw_opened(field: Field) -> Array:
    """The jaw turns about its joints; lower lip and chin go with it, the upper lip stays, cheeks stretch between."""
    x, y, z = field.x, field.y, field.z
    held = np.clip((-10.0 - y) / 48.0, 0, 1)
    held = held**2 * (3 - 2 * held)
    gap = np.sqrt(np.clip(1 - (x / (surface.MOUTH_HALF_WIDTH + 0.1)) ** 2, 0, None))
    near = np.exp(-(((y - surface.lip_line(x)) / 30.0) ** 2))
    weight = np.where(field.below, held + (1 - held) * gap * near, held * (1 - gap * near))
    weight *= 1 - 0.55 * np.clip((x - 40) / 30, 0, 1)
    dy = -_JAW_TURN * (z - _JAW_AXIS[1]) * weight
    dz = 0.8 * _JAW_TURN * (y - _JAW_AXIS[0]) * weight
    dx = -np.sign(field.points[:, 0]) * 3.0 * surface.bump(x, y, (25, -35), (9, 10))
    return np.stack([dx, dy, dz], axis=1)


def identity_modes(field: Field) -> NDArray[np.float32]:
    """(M, V, 3) float32: displacement in mm per standard deviation, one mode a line of `_IDENTITY`."""
    return np.stack([rule(field) for rule in _IDENTITY.values()]).astype(np.float32)


def identity_names() -> tuple[str, ...]:
    """Names of the identity modes, in order."""
    return tuple(_IDENTITY)


def _terms(*terms: Term) -> Callable[[Field], Array]:
    return lambda field: _moved(field, terms, sided=False)


def _field(dx: Callable[[Array, Array], Array], dy: Callable[[Array, Array], Array]) -> Callable[[Field], Array]:
    """A mode that moves (x, y) by functions of (|x|, y)."""

    def rule(field: Field) -> Array:
        sign = np.sign(field.points[:, 0])
        return np.stack([sign * dx(field.x, field.y), dy(field.x, field.y), np.zeros_like(field.x)], axis=1)

    return rule


def _none(x: Array, y: Array) -> Array:
    return np.zeros_like(x)


def _lip_fullness(field: Field) -> Array:
    x, y = field.x, field.y
    near = np.exp(-(((y - surface.lip_line(x)) / 9.0) ** 2)) * np.exp(-((x / 20.0) ** 2))
    away = np.where(field.below, -1.1, 1.1) * np.clip(np.abs(y - surface.lip_line(x)) / 5.0, 0, 1)
    return np.stack([np.zeros_like(x), away * near, 0.9 * near], axis=1)


_IDENTITY: dict[str, Callable[[Field], Array]] = {
    "face_length": _field(_none, lambda x, y: 0.035 * y),
    "face_width": _field(lambda x, y: 0.040 * x, _none),
    "head_depth": lambda field: np.stack([0 * field.x, 0 * field.x, 0.05 * field.z], axis=1),
    "lower_face_length": _field(_none, lambda x, y: -3.0 * np.clip((-12 - y) / 60, 0, 1.2)),
    "jaw_width": _field(lambda x, y: 0.06 * x * np.clip((5 - y) / 50, 0, 1), _none),
    "nose_length": _terms(Term((0, -5), (17, 11), (0, -2.0, -0.3)), Term((0, 15), (9, 12), (0, -0.8, 0.3))),
    "nose_width": _terms(Term((15, -4), (7, 10), (1.6, 0, 0)), Term((8, 16), (5, 14), (0.7, 0, 0))),
    "nose_projection": _terms(Term((0, -2), (11, 9), (0, 0, 2.0)), Term((0, 14), (8, 12), (0, 0, 0.8))),
    "nose_bridge": _terms(Term((0, 22), (6.5, 9), (0, 0, 1.5)), Term((0, 38), (8, 7), (0, 0, 0.8))),
    "brow_ridge": _terms(Term((24, 49), (16, 6), (0, 0, 1.5))),
    "brow_height": _terms(Term((28, 50), (16, 7), (0, 1.5, 0))),
    "forehead_slope": lambda field: np.stack(
        [0 * field.x, 0 * field.x, -3.0 * np.clip((field.y - 55) / 55, 0, 1.2) ** 2], axis=1
    ),
    "eye_spacing": _terms(Term((30, 34), (15, 12), (1.2, 0, 0))),
    "eye_opening": lambda field: _lids_moved(field, 0.6, -0.35),
    "eye_depth": _terms(Term((30, 35), (13, 9), (0, 0, -1.2))),
    "cheekbones": _terms(Term((52, 12), (13, 10), (1.4, 0, 1.8))),
    "cheek_fullness": _terms(Term((44, -28), (15, 16), (1.6, 0, 1.8))),
    "mouth_width": _terms(Term((24, -35), (11, 10), (1.6, 0, -0.3)), Term((11, -35), (7, 8), (0.7, 0, 0))),
    "lip_fullness": _lip_fullness,
    "lip_projection": _terms(Term((0, -34), (16, 12), (0, 0, 1.3))),
    "chin_projection": _terms(Term((0, -66), (17, 11), (0, 0, 2.4))),
    "chin_length": _terms(Term((0, -74), (24, 13), (0, -2.4, 0))),
    "chin_width": _terms(Term((18, -70), (13, 11), (2.0, 0, 0.4))),
}
