"""Names of facial landmarks: the canonical ones, those of common schemes, and how schemes order and mirror them.

Left and right are those of the subject. A point has one name in all schemes: its canonical name, else its number in
BU-3DFE (`bu83_17`), else its number in iBUG 68 (`ibug68_27`). `POINT_NAMES` lists every name once, `SCHEMES` the points
of each scheme in its order, `MIRRORED` the name of each point on the other side.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_choice, check_shape

# The anatomical points that alignment and tests use, by their anthropometric names (Farkas).
CANONICAL_LANDMARKS = (
    "exocanthion_left",
    "endocanthion_left",
    "exocanthion_right",
    "endocanthion_right",
    "pronasale",
    "alare_left",
    "alare_right",
    "subnasale",
    "cheilion_left",
    "cheilion_right",
    "labiale_superius",
    "labiale_inferius",
    "pogonion",
)

# BU-3DFE and BU-4DFE: 83 points, counted from 1 (the lines of a .bnd file); 84 is the nose tip of a .pse file.
# The numbers are those of Deep-MVLM's docs/BU-3DFE_landmark_info.txt; the nose tip is not among the 83.
BU83 = {
    1: "endocanthion_left",
    5: "exocanthion_left",
    9: "endocanthion_right",
    13: "exocanthion_right",
    40: "alare_left",
    43: "subnasale",
    45: "alare_right",
    49: "cheilion_left",
    52: "labiale_superius",
    55: "cheilion_right",
    58: "labiale_inferius",
    76: "pogonion",
    84: "pronasale",
    85: "subnasale",
}

# iBUG 68 points, counted from 0 (ICT-FaceKit, dlib): 36 is the subject's right outer eye corner. This is the coarse
# mapping for files of 68 points: 31 and 35 are the bases of the nostrils, 6 mm from the wings, and 8 is the lower edge
# of the chin, 11 mm below its foremost point. `SCHEMES` has other points for these three.
IBUG68 = {
    36: "exocanthion_right",
    39: "endocanthion_right",
    42: "endocanthion_left",
    45: "exocanthion_left",
    30: "pronasale",
    31: "alare_right",
    33: "subnasale",
    35: "alare_left",
    48: "cheilion_right",
    51: "labiale_superius",
    54: "cheilion_left",
    57: "labiale_inferius",
    8: "pogonion",
}

# iBUG number -> BU number of the same point. The rows below the nose: 31 to 35 are BU 44, none, 43, 42 and 41. Jaw and
# lips: BU counts from the subject's left, iBUG from the right. That the jaw lines share points is our choice.
IBUG68_IN_BU83 = {
    **{k: 84 - k for k in range(1, 16) if k != 8},
    **{30: 84, 31: 44, 33: 43, 34: 42, 35: 41} | {36: 13, 39: 9, 42: 1, 45: 5},
    **{48 + k: 55 - k for k in range(7)},
    **{55 + k: 60 - k for k in range(5)},
    **{60 + k: 65 - k for k in range(5)},
    **{65 + k: 68 - k for k in range(3)},
}

# The 22 landmarks of Bosphorus (.lm2, .lm3) in the order of the data set, without the two ear lobes. "Left" in these
# names is left in the picture, which is the subject's right: in the files the left points have the smaller x, and x
# grows to the subject's left. The nose peaks are the outermost points of the wings, the saddles the sides of the nasal
# root; eyebrow points lie on the middle of the brow, as those of iBUG do.
BOSPHORUS = {
    "Outer left eyebrow": "ibug68_17",
    "Middle left eyebrow": "ibug68_19",
    "Inner left eyebrow": "ibug68_21",
    "Inner right eyebrow": "ibug68_22",
    "Middle right eyebrow": "ibug68_24",
    "Outer right eyebrow": "ibug68_26",
    "Outer left eye corner": "exocanthion_right",
    "Inner left eye corner": "endocanthion_right",
    "Inner right eye corner": "endocanthion_left",
    "Outer right eye corner": "exocanthion_left",
    "Nose saddle left": "bu83_48",
    "Nose saddle right": "bu83_37",
    "Left nose peak": "alare_right",
    "Nose tip": "pronasale",
    "Right nose peak": "alare_left",
    "Left mouth corner": "cheilion_right",
    "Upper lip outer middle": "labiale_superius",
    "Right mouth corner": "cheilion_left",
    "Upper lip inner middle": "bu83_63",
    "Lower lip inner middle": "bu83_67",
    "Lower lip outer middle": "labiale_inferius",
    "Chin middle": "pogonion",
}


def bu83_name(number: int) -> str:
    """Canonical name of a BU landmark number (from 1); `bu83_NN` for a number without one."""
    return BU83.get(number, f"bu83_{number:02d}")


def ibug68_name(number: int) -> str:
    """Name of an iBUG landmark number (from 0): that of the same point of BU-3DFE, else `ibug68_NN`."""
    return bu83_name(IBUG68_IN_BU83[number]) if number in IBUG68_IN_BU83 else f"ibug68_{number:02d}"


def bu83_names(numbers: NDArray[np.integer]) -> tuple[str, ...]:
    """Canonical names of BU landmark numbers (from 1); `bu83_NN` for numbers without one."""
    return tuple(bu83_name(int(n)) for n in numbers)


def bosphorus_names(points: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Bosphorus landmarks under the names of `POINT_NAMES`; the ear lobes and unknown points keep their name."""
    return {BOSPHORUS.get(name, name): point for name, point in points.items()}


# Scheme -> the names of its points, in its order.
SCHEMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ibug68": tuple(ibug68_name(k) for k in range(68)),
        "bu83": tuple(bu83_name(k) for k in range(1, 84)),
        "bosphorus": tuple(BOSPHORUS.values()),
    }
)

# The points of all schemes, each once: the canonical ones first, then in the order of BU-3DFE, then in that of iBUG.
POINT_NAMES: tuple[str, ...] = tuple(
    dict.fromkeys((*CANONICAL_LANDMARKS, *SCHEMES["bu83"], *SCHEMES["ibug68"], *SCHEMES["bosphorus"]))
)


def _mirrored() -> dict[str, str]:
    """Name -> name on the other side; a point on the middle line is its own mirror image."""
    pairs = [(1 + k, 9 + k) for k in range(8)]  # eyes
    pairs += [(17 + k, 27 + k) for k in range(10)]  # brows
    pairs += [(37, 48), (38, 47), (39, 46), (40, 45), (41, 44), (43, 43)]  # nose; the mirror image of 42 is iBUG 32
    pairs += [(49 + k, 55 - k) for k in range(4)] + [(56, 60), (57, 59), (58, 58)]  # lips
    pairs += [(61, 65), (62, 64), (63, 63), (66, 68), (67, 67)]
    pairs += [(69 + k, 83 - k) for k in range(8)]  # jaw
    names = [(bu83_name(a), bu83_name(b)) for a, b in pairs]
    flipped = [(k, 16 - k) for k in range(9)] + [(17 + k, 26 - k) for k in range(5)]  # jaw, brows
    flipped += [(k, k) for k in range(27, 31)] + [(31, 35), (32, 34)]  # nose
    flipped += [(36 + k, 45 - k) for k in range(4)] + [(40, 47), (41, 46)]  # eyes
    names += [(ibug68_name(a), ibug68_name(b)) for a, b in flipped]
    both = dict(names) | {b: a for a, b in names}
    return {name: both[name] for name in POINT_NAMES}


# Name -> name of the point on the other side of the face, of all `POINT_NAMES`.
MIRRORED: Mapping[str, str] = MappingProxyType(_mirrored())


def other_side(name: str) -> str:
    """Name of the point on the other side: `MIRRORED`, else with `_left` and `_right` at the end exchanged.

    >>> other_side("bu83_17"), other_side("tragion_left"), other_side("pronasale")
    ('bu83_27', 'tragion_right', 'pronasale')
    """
    if name in MIRRORED:
        return MIRRORED[name]
    for suffix, other in (("_left", "_right"), ("_right", "_left")):
        if name.endswith(suffix):
            return name.removesuffix(suffix) + other
    return name


def scheme_points(points: Mapping[str, NDArray[np.float64]], scheme: str) -> NDArray[np.float64]:
    """(L, 3) float64: points in the order of a scheme; a row of NaN for each point that is missing.

    Args:
        points: Name -> (3,), such as the landmarks of a `fer3d.scan.Scan`. Names of other schemes are ignored.
        scheme: A key of `SCHEMES`: "ibug68" (L = 68, in the order of iBUG), "bu83" (83) or "bosphorus" (22).

    Raises:
        ArgumentError: if there is no such scheme, or a point has another shape.
    """
    check_choice("scheme", scheme, tuple(SCHEMES))
    missing = np.full(3, np.nan)
    rows = [points.get(name, missing) for name in SCHEMES[scheme]]
    for name, row in zip(SCHEMES[scheme], rows, strict=True):
        check_shape(f"points[{name!r}]", row, (3,))
    return np.array(rows, dtype=np.float64)
