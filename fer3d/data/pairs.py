"""`Pairing`: for each picture taken under hard conditions one of the same face under easy ones, drawn anew every epoch.

What is easy is said by the user, as a list of conditions on the manifest rows, all of which must hold:

    yaw=5, pitch=5, roll=5      the head is turned by at most so many degrees that way, as the data set names its poses
    flash=07, light=even|soft   the attribute of that name is this, or one of these

For Multi-PIE that is `yaw=0,flash=07`, for KDEF `yaw=0`, for Oulu-CASIA `light=visible,level=Strong`. A turn that is
not known is no easy one.

Two pictures show one face if subject, expression and intensity are the same, and the attributes session and recording,
where there are any: what changes between them is then the camera's place and the light.
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
_MOMENT = ("session", "recording")  # attributes that tell apart two times at which a person showed one expression


def easy_test(conditions: Sequence[str]) -> Callable[[Row], bool]:
    """A function of a manifest row: whether all conditions hold, see the module.

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
    return lambda row: row["pose"] is not None and abs(row["pose"][axis]) <= most  # a nan is not


@dataclass(frozen=True, eq=False)
class Pairing:
    """The pairs of the training scans of a fold.

    Attributes:
        rows: (M,) int64: those scans, as rows of the data.
        subjects, expressions, moments: M each.
        easy: M: which were taken under easy conditions.
    """

    rows: torch.Tensor
    subjects: Sequence[str]
    expressions: Sequence[str]
    moments: Sequence[Any]
    easy: Sequence[bool]

    @classmethod
    def of(cls, table: Sequence[Row], rows: torch.Tensor, conditions: Sequence[str], where: str) -> Pairing:
        """Find them.

        Args:
            table: Manifest rows of all scans.
            rows: (M,) int64. The training scans: no other is ever a partner.
            conditions: What is easy, see the module.
            where: The fold, for messages.

        Raises:
            ArgumentError: as `easy_test`.
            TrainError: if no picture has a partner: says how many are easy and how many hard.
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
        """(N,) int64: row of the data -> row of its partner; -1 for an easy scan, one without, and no training scan."""
        random = np.random.default_rng(seed)
        made = torch.from_numpy(
            pair_targets(self.subjects, self.expressions, self.easy, random, moments=self.moments).astype(np.int64)
        )
        partners = torch.full((int(self.rows.max()) + 1,), -1, dtype=torch.int64)
        partners[self.rows] = torch.where(made < 0, -1, self.rows[made.clamp(min=0)])
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
    """For each picture under hard conditions one of the same subject and expression under easy ones, drawn evenly.

    Args:
        subjects, expressions: N each.
        easy: N: whether a picture was taken frontally and in even light.
        random: Where the draws come from.
        moments: N recordings, if those of one subject and expression should not be mixed: in Multi-PIE, session and
            recording number. None: they may.

    Returns:
        (N,): the row of the target; -1 for an easy picture, and for a hard one that has no easy one.

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
