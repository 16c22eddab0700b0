"""`Pairing`: pairs each picture taken under hard conditions with a picture of the same face under easy conditions.

Partners are drawn anew every epoch. The user defines "easy" by a list of conditions on the manifest rows, all of which
must hold:

    yaw=5, pitch=5, roll=5      the head is rotated by at most this angle in degrees, as the data set names its poses
    flash=07, light=even|soft   the attribute of this name has this value, or one of these values

For Multi-PIE the conditions are `yaw=0,flash=07`, for KDEF `yaw=0`, for Oulu-CASIA `light=visible,level=Strong`. A
picture whose angle is unknown is not easy.

Two pictures show the same face if they have the same subject, expression and intensity, and the same attributes session
and recording, if there are any: only the position of the camera and the light then differ between them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d.errors import ArgumentError, TrainError

Row = Mapping[str, Any]

ANGLES = ("yaw", "pitch", "roll")
_MOMENT = ("session", "recording")  # attributes that separate recordings of one person with the same expression


def easy_test(conditions: Sequence[str]) -> Callable[[Row], bool]:
    """A function that says of a manifest row whether all conditions hold, see the module.

    Raises:
        ArgumentError: if there is no condition, or one cannot be read.
    """
    if not conditions:
        raise ArgumentError("`easy` should hold conditions such as yaw=5 or flash=07, is empty")
    tests = [_test(condition) for condition in conditions]
    return lambda row: all(test(row) for test in tests)


def _test(condition: str) -> Callable[[Row], bool]:
    name, equals, text = (part.strip() for part in condition.partition("="))
    if not (name and equals and text):
        raise ArgumentError(f"`easy` should hold conditions such as yaw=5 or flash=07, holds {condition!r}")
    if name not in ANGLES:
        values = {value.strip() for value in text.split("|")}
        return lambda row: json.loads(row["attributes"] or "{}").get(name) in values
    try:
        most = math.radians(float(text)) + 1e-9
    except ValueError:
        most = math.nan
    if not most >= 0.0:
        raise ArgumentError(f"`easy` should hold an angle of at least 0 degrees for {name}, holds {condition!r}")
    axis = ANGLES.index(name)
    return lambda row: row["pose"] is not None and abs(row["pose"][axis]) <= most  # false for NaN


@dataclass(frozen=True, eq=False)
class Pairing:
    """The pairs of the training scans of a fold.

    Attributes:
        rows: (M,) int64: the training scans, as rows of the data.
        subjects, expressions, moments: M values each.
        easy: M values: whether each scan was taken under easy conditions.
    """

    rows: torch.Tensor
    subjects: Sequence[str]
    expressions: Sequence[str]
    moments: Sequence[Any]
    easy: Sequence[bool]

    @classmethod
    def of(cls, table: Sequence[Row], rows: torch.Tensor, conditions: Sequence[str], where: str) -> Pairing:
        """Find the pairs.

        Args:
            table: Manifest rows of all scans.
            rows: (M,) int64: the training scans. No other scan becomes a partner.
            conditions: Conditions that make a scan easy, see the module.
            where: The fold, for messages.

        Raises:
            ArgumentError: as `easy_test`.
            TrainError: if no picture has a partner; says how many are easy and how many hard.
        """
        test = easy_test(conditions)
        chosen = [table[row] for row in rows.tolist()]
        pairing = cls(
            rows,
            [row["subject"] for row in chosen],
            [row["expression"] for row in chosen],
            [_moment(row) for row in chosen],
            [test(row) for row in chosen],
        )
        if (pairing.partners(0)[rows] < 0).all():
            easy = sum(pairing.easy)
            raise TrainError(
                f"{where}: wanted pictures of one face under hard and under easy conditions ({', '.join(conditions)}), "
                f"got no pair among {easy} easy and {len(rows) - easy} hard ones"
            )
        return pairing

    def partners(self, seed: int) -> torch.Tensor:
        """(N,) int64: for each row of the data the row of its partner; -1 if the scan is easy or has no partner."""
        random = np.random.default_rng(seed)
        targets = torch.from_numpy(
            pair_targets(self.subjects, self.expressions, self.easy, random, moments=self.moments).astype(np.int64)
        )
        partners = torch.full((int(self.rows.max()) + 1,), -1, dtype=torch.int64)
        partners[self.rows] = torch.where(targets < 0, -1, self.rows[targets.clamp(min=0)])
        return partners


def _moment(row: Row) -> tuple[Any, ...]:
    attributes = json.loads(row["attributes"] or "{}")
    return (row.get("intensity"), *(attributes.get(name) for name in _MOMENT))


def pair_targets(
    subjects: Sequence[Any],
    expressions: Sequence[Any],
    easy: Sequence[bool],
    random: np.random.Generator,
    *,
    moments: Sequence[Any] | None = None,
) -> NDArray[np.intp]:
    """For each hard picture, draw uniformly an easy picture of the same subject and expression.

    Args:
        subjects, expressions: N values each.
        easy: N values: whether a picture was taken under easy conditions, such as a frontal view in even light.
        random: Random number generator.
        moments: N recordings, if recordings of one subject and expression should not be mixed: in Multi-PIE, session
            and recording number. None: recordings may be mixed.

    Returns:
        (N,): the row of the drawn picture; -1 for an easy picture, and for a hard picture without an easy one.

    Raises:
        ArgumentError: if the lengths differ.
    """
    count = len(subjects)
    moments = [None] * count if moments is None else moments
    for name, values in (("expressions", expressions), ("easy", easy), ("moments", moments)):
        if len(values) != count:
            raise ArgumentError(f"`{name}` should have {count} entries, as `subjects`, has {len(values)}")
    keys = list(zip(subjects, expressions, moments, strict=True))
    pools: dict[tuple[Any, ...], list[int]] = {}
    for row, key in enumerate(keys):
        if easy[row]:
            pools.setdefault(key, []).append(row)
    targets = np.full(count, -1, dtype=np.intp)
    for row, key in enumerate(keys):
        if not easy[row] and key in pools:
            targets[row] = pools[key][random.integers(len(pools[key]))]
    return targets
