"""Find duplicate pictures, exact or near (scaled, compressed, slightly brighter).

A fingerprint consists of a hash of the pixels, a perceptual hash (63 bits: whether each of the 63 lowest frequencies
of the cosine transform of the picture at 32 x 32 lies above their median) and the picture at 16 x 16. Two pictures are
near duplicates if their perceptual hashes differ in at most `FAR` bits and their small pictures have a correlation of
at least `ALIKE`. The first test is fast; the second separates different faces in the same pose. Both bounds are our
choice: they find scaled, compressed, brightened and noisy copies, fewer than half of the 48 x 48 copies shifted by one
pixel, and no mirrored copies.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

FAR = 10  # bits of 63
ALIKE = 0.98
_BLOCK = 1024  # pictures that are compared with all others at once
MOST_PAIRS = 4_000_000_000  # one to two minutes; above it, only exact duplicates are searched


class Fingerprint(NamedTuple):
    """The fingerprint of a picture.

    Attributes:
        exact: Hash of the pixels, 16 bytes.
        rough: Perceptual hash, 63 bits.
        small: The picture in grey at 16 x 16, 256 bytes.
    """

    exact: bytes
    rough: int
    small: bytes


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint:
    """Compute the fingerprint of an (H, W, 3) uint8 picture with at least one pixel."""
    exact = hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).digest()
    grey = Image.fromarray(pixels).convert("L")
    middle = np.asarray(grey.resize((32, 32), Image.Resampling.BOX), float)
    low = dctn(middle, norm="ortho")[:8, :8].ravel()[1:]
    bits = low > np.median(low)
    rough = int(np.packbits(np.concatenate([[False], bits])).view(">u8")[0])
    return Fingerprint(exact, rough, np.asarray(grey.resize((16, 16), Image.Resampling.BOX)).tobytes())


def duplicates(prints: Sequence[Fingerprint], groups: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield pairs (i, j, "exact" or "near") of duplicates in two different groups, i < j.

    Args:
        prints: One fingerprint per picture.
        groups: The part or subject of each picture. Pairs within one group are not reported.
    """
    members_of: dict[bytes, list[int]] = defaultdict(list)
    for index, mark in enumerate(prints):
        members_of[mark.exact].append(index)
    exact = set()
    for members in members_of.values():
        for position, i in enumerate(members):
            for j in members[position + 1 :]:
                if groups[i] != groups[j]:
                    exact.add((i, j))
                    yield i, j, "exact"
    if not prints or too_many(groups):
        return
    rough = np.array([mark.rough for mark in prints], np.uint64)
    small = np.frombuffer(b"".join(mark.small for mark in prints), np.uint8).reshape(len(prints), -1)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    for start in range(0, len(prints), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(prints)))
        close = _bits(rough[block, None] ^ rough[None, start:]) <= FAR
        close &= group[block, None] != group[None, start:]
        for a, b in np.argwhere(close):
            i, j = start + int(a), start + int(b)
            if i < j and (i, j) not in exact and _correlation(small[i], small[j]) >= ALIKE:
                yield i, j, "near"


def too_many(groups: Sequence[str]) -> bool:
    """Whether there are too many pairs to search for near duplicates."""
    return _pairs(groups) > MOST_PAIRS


def _pairs(groups: Sequence[str]) -> int:
    """Count the pairs of pictures in different groups."""
    _, counts = np.unique(np.asarray(groups), return_counts=True)
    return (int(counts.sum()) ** 2 - int((counts.astype(np.int64) ** 2).sum())) // 2


def _bits(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Count the set bits of each word."""
    if hasattr(np, "bitwise_count"):  # NumPy 2
        return np.asarray(np.bitwise_count(words), np.uint8)
    table = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
    return np.asarray(table[words[..., None].view(np.uint8)].sum(axis=-1), np.uint8)


def _correlation(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Correlate two small pictures. A flat picture has 1 with a flat one of the same grey, else 0."""
    x, y = a - a.mean(), b - b.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    if size < 1.0:
        return float(abs(float(a.mean()) - float(b.mean())) < 1.0 and not x.any() and not y.any())
    return float(x @ y) / size
