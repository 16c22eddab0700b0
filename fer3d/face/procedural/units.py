"""The action units of the built-in face: which muscles move, which folds appear, how lids and jaw move.

Muscles and directions follow the FACS manual and anatomy. Sizes, in mm at weight 1, are our choice: about what faces
show at the greatest strength. A unit is the sum of its parts (see `fer3d.face.procedural.muscles`), so it is one linear
mode. One motion is not linear: lids must meet whatever the size of the eye. `fer3d.face.model.Lid` handles it.

Convention: as in `fer3d.face.procedural.muscles`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.face.model import Lid
from fer3d.face.procedural import surface
from fer3d.face.procedural.muscles import Field, Fold, Jaw, Lids, Linear, Mover, Ring, Skin, Tissue
from fer3d.face.procedural.surface import Array


class Unit(NamedTuple):
    """The parts of an action unit.

    Attributes:
        movers: Muscles, and the soft tissue that follows them.
        folds: Grooves that the unit carves.
        lids, jaw: How the lids and the jaw move; None if they do not.
        bulge: mm by which skin rises where it loses all its area.
    """

    movers: tuple[Mover, ...] = ()
    folds: tuple[Fold, ...] = ()
    lids: Lids | None = None
    jaw: Jaw | None = None
    bulge: float = 7.0


def _nasolabial(depth: float, ridge: float, low: float = 1.0) -> Fold:
    """The fold from the wing of the nose to beside the mouth corner; `low` in [0, 1] is how far down it reaches."""
    line = ((18.0, 2.0), (23.5, -7.0), (28.0, -17.0), (32.5, -28.0), (34.5, -40.0))
    kept = line[: 3 + round(2 * low)]
    return Fold(kept[::-1], depth, 2.3, ridge)


def _crows_feet(depth: float) -> tuple[Fold, ...]:
    return (
        Fold(((47.5, 37.0), (54.0, 41.0), (60.0, 46.5)), depth, 1.3, 0.3),
        Fold(((48.5, 33.5), (55.0, 34.0), (62.0, 35.5)), depth, 1.3, 0.3),
        Fold(((47.5, 30.0), (54.0, 26.5), (60.0, 22.5)), 0.8 * depth, 1.3, 0.3),
    )


def _bag(depth: float, ridge: float) -> tuple[Fold, ...]:
    """The furrow below the lower lid, with the bag above it."""
    return (Fold(((16.5, 26.0), (24.0, 20.5), (33.0, 19.5), (42.0, 23.0), (47.0, 28.0))[::-1], depth, 1.6, -ridge),)


def _forehead(xs: Sequence[tuple[float, float]], depth: float) -> tuple[Fold, ...]:
    """Horizontal lines of the forehead, one at each height; `xs` is their shape as (x, sag)."""
    return tuple(Fold(tuple((x, y + sag) for x, sag in xs), depth, 2.0, 0.55 * depth) for y in (63.0, 70.5, 78.5, 87.0))


_INNER_LINES = ((-8.0, -0.5), (4.0, -0.2), (13.0, -1.0), (22.0, 0.5), (32.0, 1.0))
_OUTER_LINES = ((12.0, 1.5), (24.0, 1.0), (36.0, -0.8), (46.0, -0.8), (56.0, 0.0))

_DIMPLES = ((2.2, -61.5, 3.0), (9.0, -60.0, 2.4), (5.6, -65.5, 2.2), (13.0, -66.0, 3.0), (3.4, -70.0, 2.6))

# Units that each side can show alone: the left side; the right side is its mirror image.
_SIDED: dict[str, Unit] = {
    "AU1": Unit(  # inner brow raiser: frontalis, medial part
        (
            Linear((14, 114), (14, 53), 7.0, 27, 13),
            Tissue((10, 56), (9, 9), (0.4, 1.0, 0.3)),
            Tissue((13, 47), (9, 4.5), (0.0, 4.4, 0.0)),  # the brow rises as a whole, with the skin below it
            Tissue((14, 55), (9, 6), (0.0, 0.0, 0.8)),  # its bulk moves up with it
            Tissue((14, 46), (9, 4.5), (0.0, 0.0, -2.4)),
        ),
        _forehead(_INNER_LINES, 0.6),
        Lids(upper=0.5),
        bulge=2.5,
    ),
    "AU2": Unit(  # outer brow raiser: frontalis, lateral part
        (
            Linear((37, 116), (42, 55), 7.6, 28, 13),
            Tissue((48, 52), (8, 7), (0.8, 1.2, 0.0)),
            Tissue((33, 57), (9, 7), (0.2, 1.6, 0.3)),
            Tissue((40, 49), (11, 4.5), (0.4, 5.0, 0.0)),
            Tissue((38, 56), (12, 6), (0.0, 0.0, 0.8)),
            Tissue((38, 47), (12, 4.5), (0.0, 0.0, -2.4)),
        ),
        _forehead(_OUTER_LINES, 0.65),
        Lids(upper=0.4),
        bulge=2.5,
    ),
    "AU4": Unit(  # brow lowerer: corrugator, depressor supercilii, procerus
        (
            Linear((-2, 42), (22, 54), 4.3, 44, 22),
            Linear((10, 18), (14, 53), 2.0, 34, 18),
            Tissue((30, 52), (11, 8), (-0.8, -1.4, 1.0)),
            Tissue((38, 52), (11, 8), (-1.0, -2.0, 0.6)),  # the whole brow is lowered, its inner part most
            Tissue((18, 53), (12, 6), (0.0, -1.0, 2.8)),  # muscle and fat bulge in front of the bone
            Tissue((38, 53), (13, 6), (0.0, 0.0, 2.6)),
        ),
        (
            Fold(((5.0, 43.0), (5.2, 49.0), (5.8, 55.0), (7.0, 61.0)), 1.2, 1.8, 0.0),
            Fold(((0.0, 39.0), (5.0, 38.0), (9.0, 36.0)), 0.6, 1.6, 0.4),
        ),
        Lids(upper=-0.9),
        bulge=4.0,
    ),
    "AU5": Unit(lids=Lids(upper=3.0, lower=-0.7)),  # upper lid raiser: levator palpebrae
    "AU6": Unit(  # cheek raiser: orbicularis oculi, orbital part
        (
            Ring((31, 34), (36, 40), 1.6),
            Tissue((40, 8), (14, 10), (0.2, 3.4, 2.6)),
            Tissue((34, 20), (13, 5), (0.0, 1.0, 1.2)),
            Tissue((56, 37), (7, 9), (-1.4, -0.4, 0.0)),
        ),
        (*_crows_feet(0.55), *_bag(0.8, 0.6), _nasolabial(0.5, 0.4, 0.0)),
        Lids(upper=-0.4, lower=1.1),
    ),
    "AU7": Unit(  # lid tightener: orbicularis oculi, palpebral part
        (Tissue((31, 23), (11, 4), (-0.3, 1.2, 1.0)), Tissue((50, 34), (5, 7), (-1.4, 0.0, 0.0))),
        (*_bag(0.7, 0.6), Fold(((47.5, 33.5), (53.0, 33.0), (58.0, 33.0)), 0.7, 1.3)),
        Lids(upper=-1.5, lower=2.2),
    ),
    "AU9": Unit(  # nose wrinkler: levator labii superioris alaeque nasi, procerus
        (
            Linear((8, 34), (15, -5), 5.4, 26, 9),
            Linear((16, 22), (18, -22), 3.4, 36, 9, "upper"),
            Linear((4, 22), (10, 51), 3.2, 34, 16),
            Tissue((10, 17), (4.5, 8), (0.0, 1.2, 1.1)),
            Tissue((26, 14), (9, 8), (-0.6, 3.0, 1.6)),
            Tissue((12, -29), (9, 7), (0.8, 3.6, 0.3), lips="upper"),  # the upper lip rises with the wing of the nose
        ),
        (
            *(
                Fold(((0.0, y + 0.4), (4.5, y), (9.0, y - 3.0), (13.0, y - 7.0)), 0.9, 1.4, 0.6)
                for y in (27.0, 33.0, 39.0)
            ),
            _nasolabial(1.4, 1.2, 0.5),
            *_bag(0.6, 0.4),
        ),
        Lids(upper=-0.6, lower=0.8),
        bulge=3.0,
    ),
    "AU10": Unit(  # upper lip raiser: levator labii superioris
        (
            Linear((30, 24), (14, -25), 4.0, 40, 9, "upper"),
            Tissue((6, -29), (6.5, 6), (0.2, 3.6, 0.5), lips="upper"),
            Tissue((14, -31), (8, 7), (2.2, 7.4, 0.2), lips="upper"),  # the lip bends upwards, its margin too
            Tissue((25, -34), (8, 6), (0.0, 1.6, 0.4)),  # the corner hardly follows
            Tissue((30, -2), (10, 9), (0.6, 2.6, 1.6)),
            Tissue((17, -3), (5, 6), (0.9, 0.0, 0.2)),
            Tissue((19, -13), (6, 5), (0.4, 1.6, 0.6), lips="upper"),
        ),
        (_nasolabial(1.6, 1.3, 0.5),),
        bulge=3.0,
    ),
    "AU11": Unit(  # nasolabial deepener: zygomaticus minor
        (Linear((46, 12), (20, -20), 4.8, 32, 19, "upper"), Tissue((34, -6), (8, 9), (0.3, 1.2, 1.6))),
        (_nasolabial(2.2, 1.2, 0.5),),
    ),
    "AU12": Unit(  # lip corner puller: zygomaticus major
        (
            Linear((55, 10), (26, -35.5), 10.5, 36, 20),
            Tissue((14, -35), (9, 9), (2.6, 1.6, -1.6)),
            Tissue((0, -31), (12, 5), (0.0, 1.0, -0.6), lips="upper"),
            Tissue((40, 0), (13, 11), (0.8, 3.8, 4.2), 25),
            Tissue((38, -14), (10, 10), (1.0, 1.4, 2.0), 30),
            Tissue((32, 21), (11, 5), (0.0, 1.0, 0.6)),
        ),
        (_nasolabial(1.7, 1.5, 1.0),),
    ),
    "AU13": Unit(  # sharp lip puller: levator anguli oris
        (
            Linear((29, 16), (25, -35), 6.5, 18, 10),
            Tissue((37, -10), (10, 11), (1.2, 2.0, 3.6)),
            Tissue((22, -36), (7, 7), (0.4, 1.0, -0.6)),
        ),
        (_nasolabial(1.2, 1.0, 0.5),),
    ),
    "AU14": Unit(  # dimpler: buccinator
        (Linear((56, -32), (26, -36), 4.6, 36, 10), Tissue((27, -36), (6, 6), (0.8, 0.4, -3.2))),
        (
            Fold(((31.5, -29.0), (33.5, -35.5), (31.5, -43.0))[::-1], 2.4, 1.8, 1.0),
            Fold(((28.0, -31.0), (29.0, -35.5), (28.0, -40.0))[::-1], 0.8, 1.2, 0.0),
        ),
    ),
    "AU15": Unit(  # lip corner depressor: depressor anguli oris
        (
            Linear((36, -82), (25, -36), 8.0, 32, 17),
            Tissue((14, -36), (8, 8), (0.4, -1.8, 0.0)),
            Tissue((33, -47), (6, 7), (0.6, -1.0, 1.6)),
            Tissue((12, -60), (8, 6), (0.0, 0.6, 1.0)),
        ),
        (
            Fold(((28.0, -37.0), (31.0, -44.0), (32.0, -51.0), (31.0, -59.0))[::-1], 1.2, 2.2, 0.8),
            Fold(((6.0, -53.5), (14.0, -53.0), (20.0, -50.0)), 0.7, 1.8),
        ),
    ),
    "AU16": Unit(  # lower lip depressor: depressor labii inferioris
        (
            Linear((25, -86), (11, -41), 5.0, 26, 10, "lower"),
            Tissue((8, -43), (7, 6), (0.4, -0.6, 1.0), lips="lower"),
            Tissue((8, -37), (6.6, 5.5), (0.3, -5.4, 0.3), lips="lower"),  # the margin of the lip
            Tissue((12, -56), (10, 6), (0.2, -0.6, 1.0), lips="lower"),
        ),
        (Fold(((2.0, -55.0), (10.0, -55.5), (18.0, -52.0)), 0.5, 2.2),),
        bulge=2.0,
    ),
    "AU20": Unit(  # lip stretcher: risorius, with platysma
        (
            Linear((64, -44), (26, -36), 8.5, 34, 14),
            Tissue((12, -36), (8, 8), (3.4, -0.6, -1.6)),
            Tissue((30, -52), (12, 12), (3.0, -1.8, -0.6)),
            Tissue((26, -92), (6, 14), (0.0, 0.0, 2.0)),
        ),
        (
            Fold(((32.0, -27.0), (34.0, -36.0), (33.0, -46.0))[::-1], 1.1, 1.8, 0.5),
            Fold(((18.0, -84.0), (17.0, -92.0), (16.0, -100.0)), 1.2, 2.2),
        ),
    ),
    "AU34": Unit((Tissue((38, -32), (12, 12), (6.0, 0.0, 8.5)), Tissue((14, -30), (10, 8), (0.0, 0.0, 1.6)))),  # puff
    "AU35": Unit(  # cheek suck
        (Tissue((42, -30), (10, 12), (-3.5, 0.0, -5.5)), Tissue((25, -36), (6, 7), (-1.8, 0.0, 0.4))),
        (Fold(((46.0, -14.0), (42.0, -28.0), (38.0, -42.0)), 1.0, 3.0),),
        bulge=0.0,
    ),
    "AU38": Unit((Tissue((17, -4), (4.5, 6.0), (3.0, 0.3, 0.8)), Tissue((8, -9), (4, 3), (0.8, 0.8, 0.0)))),  # dilator
    "AU39": Unit((Tissue((17, -4), (4.5, 6.5), (-2.8, -0.4, 0.0)), Tissue((8, -9), (4, 3), (-0.7, -0.6, 0.0)))),
    "AU43": Unit(lids=Lids(lower=0.9, close=True)),  # eyes closed: levator relaxed
}

# Units that both sides show together.
_WHOLE: dict[str, Unit] = {
    "AU17": Unit(  # chin raiser: mentalis
        (
            Tissue((0, -65), (17, 10), (0.0, 7.6, 2.4)),
            Tissue((0, -46), (16, 6), (0.0, 6.6, 5.4)),
            Tissue((0, -36), (18, 5), (0.0, 5.4, 2.0)),  # both lips: the lower one pushes the upper one up
            Tissue((0, -26), (16, 5), (0.0, 2.4, 0.2), lips="above"),
            Tissue((25, -38), (7, 7), (0.0, -1.4, 0.0)),
        ),
        (
            Fold(((-17.0, -48.0), (-8.0, -52.0), (0.0, -53.0), (8.0, -52.0), (17.0, -48.0)), 1.5, 2.2),
            *(Fold(((x - w, y - 0.4), (x, y + 0.4), (x + w, y)), 0.6, 1.5) for x, y, w in _DIMPLES),
        ),
        bulge=1.0,
    ),
    "AU18": Unit(  # lip pucker: incisivii, orbicularis oris
        (
            Ring((0, -36), (46, 25), 6.0),
            Tissue((24, -36), (8, 8), (-4.0, 0.0, 2.0)),
            Tissue((10, -35), (8, 8), (-2.2, 0.0, 1.6)),
            Tissue((0, -35), (12, 10), (0.0, 0.0, 5.5)),
        ),
        (
            Fold(((4.0, -26.0), (5.0, -22.0), (6.0, -17.0)), 0.6, 1.1),
            Fold(((10.0, -26.5), (12.0, -22.5), (14.5, -18.5)), 0.6, 1.1),
            Fold(((7.0, -45.0), (9.0, -49.0), (11.0, -52.0)), 0.6, 1.1),
        ),
        bulge=2.0,
    ),
    "AU22": Unit(  # lip funneler: orbicularis oris
        (
            Ring((0, -36), (44, 25), 3.5),
            Tissue((24, -36), (8, 8), (-3.2, 0.0, 2.0)),
            Tissue((0, -29), (13, 6), (0.0, 3.4, 5.0), lips="upper"),
            Tissue((0, -42), (13, 7), (0.0, -4.4, 5.0), lips="lower"),
        ),
        bulge=1.0,
    ),
    "AU23": Unit(  # lip tightener: orbicularis oris
        (
            Tissue((10, -27), (13, 3.5), (-0.6, -1.5, -0.4), lips="above"),
            Tissue((10, -43), (13, 4.0), (-0.6, 2.0, -0.4), lips="below"),
            Tissue((25, -36), (6, 6), (-2.6, 0.0, -0.4)),
            Tissue((0, -35), (18, 3.0), (0.0, 0.0, -1.2)),
        ),
        (
            Fold(((2.0, -26.0), (10.0, -26.5), (18.0, -30.0)), 0.5, 1.2),
            Fold(((2.0, -45.0), (10.0, -44.5), (18.0, -41.0)), 0.5, 1.2),
        ),
        bulge=3.0,
    ),
    "AU24": Unit(  # lip pressor: orbicularis oris
        (
            Tissue((9, -27), (12, 4.0), (0.0, -1.8, -0.8), lips="above"),
            Tissue((9, -43), (12, 4.5), (0.0, 2.6, -0.2), lips="below"),
            Tissue((0, -35), (19, 4.0), (0.0, 0.0, -0.8)),
            Tissue((0, -35), (17, 1.6), (0.0, 0.0, 2.0)),  # no gap shows between pressed lips
            Tissue((0, -21), (14, 4), (0.0, 0.0, 1.6), lips="above"),
            Tissue((0, -50), (14, 4), (0.0, 0.6, 1.6), lips="below"),
            Tissue((27, -36), (5, 5), (0.4, 0.0, -1.4)),
        ),
        (Fold(((27.5, -31.0), (29.5, -36.0), (28.5, -41.5))[::-1], 1.0, 1.4, 0.4),),
        bulge=3.0,
    ),
    "AU25": Unit(  # lips part: depressor labii, relaxed mentalis
        (
            Tissue((0, -31), (16, 6), (0.0, 1.5, 0.2), lips="upper"),
            Tissue((0, -40), (16, 8), (0.0, -3.2, -0.2), lips="lower"),
        ),
        bulge=0.0,
    ),
    "AU26": Unit(jaw=Jaw(0.15)),  # jaw drop
    "AU27": Unit((Tissue((25, -36), (8, 10), (-1.5, 0.0, 0.0)),), jaw=Jaw(0.25)),  # mouth stretch
    "AU28": Unit(  # lip suck
        (
            Tissue((0, -27), (17, 4.5), (0.0, -4.4, -0.6), lips="above"),
            Tissue((0, -43), (17, 5.0), (0.0, 4.8, -0.6), lips="below"),
            Tissue((0, -35), (18, 4.0), (0.0, 0.0, -3.2)),
        ),
        bulge=0.0,
    ),
    "AU29": Unit(jaw=Jaw(slide=(0.0, 7.0))),  # jaw thrust
    "AU30_L": Unit(jaw=Jaw(slide=(7.0, 0.0))),  # jaw sideways
    "AU30_R": Unit(jaw=Jaw(slide=(-7.0, 0.0))),
}


def expression_modes(field: Field) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names of the N action units in order of number, and (N, V, 3) float32: their displacements, mm at weight 1."""
    skin = Skin(field)
    modes: dict[str, Array] = {}
    for name, unit in _SIDED.items():
        left = skin.moved(unit.movers, unit.folds, unit.bulge, whole=False)
        if unit.lids is not None:
            left += skin.lids_moved(unit.lids) * (field.points[:, :1] > 0)
        modes[f"{name}_L"], modes[f"{name}_R"] = left, skin.mirrored(left)
    for name, unit in _WHOLE.items():
        modes[name] = skin.moved(unit.movers, unit.folds, unit.bulge, whole=True)
        if unit.jaw is not None:
            modes[name] += skin.jaw_moved(unit.jaw)
    names = tuple(sorted(modes, key=lambda name: (int(name.removeprefix("AU").split("_")[0]), name)))
    return names, np.stack([modes[name] for name in names]).astype(np.float32)


def lids(
    field: Field,
    grid: NDArray[np.int32],
    row: Mapping[str, int],
    eyes: Sequence[tuple[NDArray[np.int32], NDArray[np.int32]]],
) -> tuple[Lid, ...]:
    """The upper lids that `FaceModel.shape` corrects; `eyes` is `fer3d.face.procedural.mesh.Sheet.lids`."""
    result = []
    for (upper, lower), side in zip(eyes, "RL", strict=True):
        margin, width = upper[-1, 1:-1], grid.shape[1]
        above = margin // width + np.arange(row["brow"] - row["eye"])[:, None]  # rows of the grid, the margin first
        rows = np.concatenate([above * width + margin % width, upper[:-1, 1:-1]])  # (R, n)
        y, x = field.y[rows], field.x[rows]
        away = np.clip(y - y[0], 0, None)
        share = np.exp(-((away / 6.5) ** 2))
        half = 0.5 * (field.y[margin] - field.y[lower[-1, 1:-1]]) * share  # `shape` corrects skin at about this place
        slope = (surface.support(x, y - half + 0.5) - surface.support(x, y - half - 0.5)).astype(np.float32)
        result.append(Lid(rows, lower[-1, 1:-1], share.astype(np.float32), slope, f"AU43_{side}"))
    return tuple(result)
