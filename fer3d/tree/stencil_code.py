"""Lossless compact code for the stencils of a sample tree, as the store holds them.

A convolution reads three indices and three weights per sample, which are redundant. Rings of different radii coincide
(12 mm is the last ring of radius 12 mm, and the third of six rings of radius 24 mm). Thousands of samples lie in the
same triangle of the level. Of three weights that sum to 1, two suffice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_index, check_shape
from fer3d.errors import ArgumentError

Array = NDArray[Any]

NAMES = ("ring", "corners", "triple", "shares")  # the arrays of a code
INDICES = (np.uint16, np.int32)  # dtypes of indices: the small one if it suffices

WEIGHT_UNIT = 2048  # see csrc/sample_tree/sample_tree.h: sums are exact in float16
_WEIGHTS = (np.arange(WEIGHT_UNIT + 1) / WEIGHT_UNIT).astype(np.float16)
_MASKED = np.iinfo(np.uint16).max


def weights_of(units: NDArray[np.uint16]) -> NDArray[np.float16]:
    """Weights from integer multiples of 1 / `WEIGHT_UNIT`, of any shape."""
    return _WEIGHTS[units]


def encode(indices: Array, weights: NDArray[np.float16]) -> dict[str, Array]:
    """Encode the stencils of one transition, as `SampleTree` holds them.

    Args:
        indices: (V, S, R, A, 3) uint16 or int32. The indices of a masked sample are its own centre.
        weights: (V, S, R, A, 3) float16, multiples of 1 / `WEIGHT_UNIT` that sum to 1; three zeros where masked.

    Returns:
        ring: (S, R) uint16. For each ring, which of the D coded rings has the same samples.
        corners: (U, 3) with the dtype of `indices`. The distinct triples of vertices.
        triple: (V, D, A) uint16, or int32 if U exceeds 65,536. The row in `corners` of each sample; 0 where masked.
        shares: (V, D, A, 2) uint16. The first two weights as multiples of 1 / `WEIGHT_UNIT`; 65,535 where masked.
    """
    V, S, R, A, _ = indices.shape
    units = (weights.astype(np.float32) * WEIGHT_UNIT).astype(np.uint16).reshape(V, S * R, A, 3)
    rows = indices.reshape(V, S * R, A, 3)
    kept: list[int] = []
    ring = np.empty(S * R, dtype=np.uint16)
    for number in range(S * R):
        for place, other in enumerate(kept):
            if np.array_equal(units[:, number], units[:, other]) and np.array_equal(rows[:, number], rows[:, other]):
                ring[number] = place
                break
        else:
            ring[number] = len(kept)
            kept.append(number)
    units, rows = units[:, kept], rows[:, kept]
    masked = ~units.any(axis=-1)
    span = int(rows.max(initial=0)) + 1
    keys = (rows[..., 0].astype(np.int64) * span + rows[..., 1]) * span + rows[..., 2]
    keys[masked] = -1  # sorted before all others
    distinct, triple = np.unique(keys, return_inverse=True)
    absent = int(masked.any())
    corners = np.stack([distinct // span // span, distinct // span % span, distinct % span], axis=1)[absent:]
    triple = np.maximum(triple.reshape(keys.shape) - absent, 0)
    shares = units[..., :2].copy()
    shares[masked] = _MASKED
    small = np.uint16 if len(corners) <= 1 << 16 else np.int32
    return {
        "ring": ring.reshape(S, R),
        "corners": corners.astype(indices.dtype),
        "triple": triple.astype(small),
        "shares": shares,
    }


def check(code: Mapping[str, Array], fine: int, coarse: int, shape: tuple[int, int]) -> None:
    """Check a stored code before it is decoded.

    Args:
        code: As `encode` returns it.
        fine, coarse: Numbers of vertices of the level that is read, and of the level above.
        shape: S, R.

    Raises:
        ArgumentError: if a shape or dtype is wrong, or an index leads out of its array.
    """
    ring, corners, triple, shares = (code[name] for name in NAMES)
    for name, array, dtypes in (
        ("ring", ring, (np.uint16,)),
        ("corners", corners, INDICES),
        ("triple", triple, INDICES),
        ("shares", shares, (np.uint16,)),
    ):
        if array.dtype not in dtypes:
            raise ArgumentError(f"`{name}` should hold {' or '.join(d.__name__ for d in dtypes)}, holds {array.dtype}")
    check_shape("ring", ring, shape)
    check_shape("corners", corners, ("U", 3))
    check_shape("triple", triple, (coarse, "D", "A"))
    check_shape("shares", shares, (*triple.shape, 2))
    masked = shares[..., 0] == _MASKED
    if not masked.all() and int(shares[~masked].astype(np.int64).sum(axis=-1).max()) > WEIGHT_UNIT:
        raise ArgumentError(f"`shares` should be multiples of 1 / {WEIGHT_UNIT} with a sum of at most 1, are larger")
    if not len(corners) and not masked.all():
        raise ArgumentError("`corners` should hold the corners of the samples, is empty")
    check_index("ring", ring, triple.shape[1])
    check_index("corners", corners, fine)
    check_index("triple", triple, max(len(corners), 1))


def decode(code: Mapping[str, Array]) -> tuple[Array, NDArray[np.float16]]:
    """Decode the result of `encode` to `indices` and `weights`. Raises KeyError if an array is missing."""
    ring, corners, triple, shares = (code[name] for name in NAMES)
    V, D, A = triple.shape
    indices = corners[triple] if len(corners) else np.empty((V, D, A, 3), dtype=corners.dtype)
    units = np.empty((V, D, A, 3), dtype=np.uint16)
    units[..., :2] = shares
    units[..., 2] = WEIGHT_UNIT - shares[..., 0] - shares[..., 1]
    masked = shares[..., 0] == _MASKED
    units[masked] = 0
    indices[masked] = np.nonzero(masked)[0][:, None]
    shape = (V, *ring.shape, A, 3)
    return indices[:, ring.ravel()].reshape(shape), weights_of(units)[:, ring.ravel()].reshape(shape)
