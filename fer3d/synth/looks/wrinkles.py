"""Fine folds of the skin that action units cause: a camera sees them, a range scanner does not resolve them.

A frown causes vertical lines between the brows, raised brows cause lines across the forehead, a smile causes crow's
feet. These lines are a millimetre wide and less deep: a scan with samples every 2 mm hardly shows them, while a
photograph shows them as dark lines. So `worn` paints them over the person's look, by the weights of the units.

The manual of FACS [1] describes which lines belong to which unit. Their exact course, their darkness and the weights at
which they appear are our choice. The overall depth (`DEPTH`) is calibrated so that the accuracy of a plain CNN is about
the same from texture as from depth and normals: 77.8 % and 77.6 % on 162 people who serve for tuning only (ICT-FaceKit,
levels 3 and 4, 54 people for training). We recall from papers, without a check, that texture is no worse on real scans.

References:
    .. [1] Ekman, Friesen, Hager. Facial Action Coding System. 2002.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.face.model import SKIN
from fer3d.synth.looks import features
from fer3d.synth.looks.appearance import Atlas
from fer3d.synth.looks.features import Array, Pen
from fer3d.synth.optics.scene import Look

DEPTH = 1.1  # depth of the wrinkles of a median person; painted depths are at most 1
_SPREAD = 0.35  # standard deviation of the logarithm of depth, over people and again over units
_ONSET = (0.1, 0.4)  # range of the weight of a unit above which its lines appear
_BLUR = 0.7  # mm
_SHADE = Pen(3.0, 2.0, 0.5)  # shade around a line: its width is a factor on that of the line
_MIDDLE = 4.0  # mm over which the lines of a side fade into those of the other side
_JITTER = 0.8  # standard deviation of the random shifts of the points of a line, mm


class _Lines(NamedTuple):
    """Lines of a unit on the left half of a face: frontal points (M, 2) in mm, `width` in mm, `dark` in [0, 1]."""

    lines: list[Array]
    width: float = 1.2
    dark: float = 1.0


class Wrinkles(NamedTuple):
    """The lines of a unit on a person.

    Attributes:
        texel: (N,) int64. Flat indices into a texture of the atlas.
        left: (N,) float32. Share of the weight of the left unit in the texel; the rest is that of the right unit.
        depth: (N,) float32. Depth at full weight, 0 to 1.
        onset: Weight of the unit above which the lines appear.
    """

    texel: NDArray[np.int64]
    left: NDArray[np.float32]
    depth: NDArray[np.float32]
    onset: float


def grown(atlas: Atlas, generator: np.random.Generator, depth: float = 1.0) -> dict[str, Wrinkles]:
    """Draw the lines of a person: unit (without side) -> its lines.

    Args:
        atlas: Atlas of the face model.
        generator: Source of random numbers; it determines course and depth of the lines.
        depth: Factor on all depths; 0 gives skin without lines.
    """
    own = DEPTH * depth * np.exp(_SPREAD * generator.normal())
    skin = atlas.part == SKIN
    result = {}
    for unit, drawing in _lines(atlas.landmarks).items():
        deep = float(min(own * np.exp(_SPREAD * generator.normal()), 1.0))
        onset = float(generator.uniform(*_ONSET))
        both = [
            line * (side, 1.0) + generator.normal(0.0, _JITTER, line.shape)
            for side in (1, -1)
            for line in drawing.lines
        ]
        pens = Pen(drawing.width, _BLUR, 1 - _SHADE.dark), _SHADE._replace(width=_SHADE.width * drawing.width)
        texel, value = features.stroked(both, pens, atlas.place, skin)
        left = np.clip(atlas.place.reshape(-1, 3)[texel, 0] / _MIDDLE + 0.5, 0.0, 1.0)
        result[unit] = Wrinkles(texel, left.astype(np.float32), np.float32(deep * drawing.dark) * value, onset)
    return result


def worn(look: Look, wrinkles: Mapping[str, Wrinkles], units: Mapping[str, float]) -> Look:
    """The look of a person with the wrinkles of an expression.

    Args:
        look: Look of the person, on the same atlas as the wrinkles.
        wrinkles: See `grown`.
        units: Unit (with side, where the model has sides) -> weight, see `fer3d.synth.acting.expression.weights`.
    """
    smooth = np.ones(look.gloss.size, np.float32)
    for unit, lines in wrinkles.items():
        both = units.get(unit, 0.0)
        left, right = (_visible_share(units.get(f"{unit}_{side}", both), lines.onset) for side in "LR")
        if left or right:
            share = np.float32(right) + np.float32(left - right) * lines.left
            smooth[lines.texel] *= 1 - np.minimum(share * lines.depth, 1.0)
    dark = np.rint(255 * (1 - smooth)).astype(np.uint8)
    return replace(look, wrinkles=dark.reshape(look.gloss.shape))


def _visible_share(weight: float, onset: float) -> float:
    """Share of the depth of lines that shows at a weight of their unit."""
    return max(weight - onset, 0.0) / (1.0 - onset)


def _lines(marks: features.Landmarks) -> dict[str, _Lines]:
    """Unit -> its lines on the left half of the face, placed by the landmarks of the neutral face."""
    inner, brow, tail = features.points(marks, (17, 19, 21))
    eye_in, lid, eye_out = features.points(marks, (1, 7, 5))
    wing, corner, under_lip = features.points(marks, (40, 49, 58))
    upper, chin = features.points(marks, (52,))[0], marks["pogonion"][:2]
    fold = _through(wing, (2, 3), (wing + corner) / 2, (6, 1), corner, (6, 2), corner, (6, -7))
    forehead = [_through((0, inner[1]), (0, h), inner, (4, h + 1), inner, (16, h - 1)) for h in (8, 14, 20)]
    over_brow = [_through(brow, (-14, h + 1), brow, (0, h + 2), tail, (-2, h)) for h in (8, 13, 19, 25)]
    upright = [_through((x, inner[1]), (0, -9), (x, inner[1]), (0.8, 0), (x, inner[1]), (1.5, 10)) for x in (4, 9)]
    crow = [_through(eye_out, (3, 0.4 * y), eye_out, (9, 0.8 * y), eye_out, (17, 1.3 * y)) for y in (7, 2, -3, -8)]
    below = [_through(eye_in, (2, -h), lid, (0, -h), eye_out, (2, -h - 1)) for h in (4, 7)]
    nose = [_through((0, eye_in[1]), (x, -y), (0, eye_in[1]), (x + 7, -y - 4)) for x, y in ((2, 3), (3, 7), (4, 11))]
    root = [_through((0, eye_in[1]), (0, y), (0, eye_in[1]), (6, y - 1)) for y in (2, 6)]
    mouth_side = [_through(corner, (x, 9), corner, (x + 2.5, 0), corner, (x, -11)) for x in (5, 10, 15)]
    marionette = _through(corner, (2, -2), corner, (5, -9), corner, (5, -18))
    under = (0, under_lip[1]), (0, -5), (0, under_lip[1]), (9, -6), (0, under_lip[1]), (17, -10)
    pits = [_through(chin, (x, y), chin, (x + 2, y + 2)) for x in (1, 6, 11) for y in (-6, 0, 6)]
    above_lip = [_through((x, upper[1]), (0, 2), (x, upper[1]), (0.3, 9)) for x in (3, 8, 13, 18)]
    below_lip = [_through((x, under_lip[1]), (0, -2), (x, under_lip[1]), (0, -8)) for x in (4, 10, 16)]
    bracket = _through(corner, (2, 7), corner, (4.5, 0), corner, (2, -7))
    return {
        "AU1": _Lines(forehead, 1.4),
        "AU2": _Lines(over_brow, 1.4),
        "AU4": _Lines(upright, 1.8),
        "AU6": _Lines([*crow, below[1]], 1.0),
        "AU7": _Lines(below[:1], 1.4),
        "AU9": _Lines([*nose, *root], 1.2),
        "AU10": _Lines([fold[: len(fold) * 2 // 3]], 2.2),
        "AU12": _Lines([fold, *crow[1:3]], 2.0, 0.9),
        "AU14": _Lines([bracket], 2.0),
        "AU15": _Lines([marionette], 2.0),
        "AU16": _Lines([_through(*under)], 1.6),
        "AU17": _Lines([_through(*under), *pits], 1.6),
        "AU18": _Lines([*above_lip, *below_lip], 0.9, 0.8),
        "AU20": _Lines(mouth_side, 1.4),
        "AU23": _Lines([*above_lip, *below_lip], 0.9),
        "AU24": _Lines([bracket, *above_lip], 1.0),
    }


def _through(*steps: Sequence[float] | Array) -> Array:
    """(M, 2): the points of a line; the arguments are position, offset, position, offset, ..."""
    places, offsets = np.asarray(steps[0::2], float), np.asarray(steps[1::2], float)
    return np.asarray(places + offsets)
