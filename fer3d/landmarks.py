"""Canonical names of facial landmarks, and the mapping of common landmark schemes to them.

Left and right are those of the subject. A point without a canonical name keeps the name in its scheme (`bu83_17`).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

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

# iBUG 68 points, counted from 0 (ICT-FaceKit, dlib): 36 is the subject's right outer eye corner.
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

# Bosphorus: up to 24 named points (.lm2, .lm3); those below have a canonical name. "Left" in these names is left in the
# picture, which is the subject's right: in the files the left points have the smaller x, and x grows to the subject's
# left. The nose peaks are the outermost points of the wings.
BOSPHORUS = {
    "Outer left eye corner": "exocanthion_right",
    "Inner left eye corner": "endocanthion_right",
    "Outer right eye corner": "exocanthion_left",
    "Inner right eye corner": "endocanthion_left",
    "Nose tip": "pronasale",
    "Left nose peak": "alare_right",
    "Right nose peak": "alare_left",
    "Left mouth corner": "cheilion_right",
    "Right mouth corner": "cheilion_left",
    "Upper lip outer middle": "labiale_superius",
    "Lower lip outer middle": "labiale_inferius",
    "Chin middle": "pogonion",
}


def bu83_names(numbers: NDArray[np.integer]) -> tuple[str, ...]:
    """Canonical names of BU landmark numbers (from 1); `bu83_NN` for numbers without one."""
    return tuple(BU83.get(int(n), f"bu83_{int(n):02d}") for n in numbers)


def bosphorus_names(points: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Bosphorus landmarks under their canonical names; points without one keep their name."""
    return {BOSPHORUS.get(name, name): point for name, point in points.items()}
