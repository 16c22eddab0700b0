"""Pictures under two names: exact and near ones are found, other faces and pairs within a part are not."""

import numpy as np
import pytest
from PIL import Image

from fer3d.catalog.duplicates import _bits, duplicates, fingerprint, too_many
from tests.picture_trees import noise


def coloured(seed, side=48):
    return np.repeat(noise(seed, side)[:, :, None], 3, axis=2)


def compressed(pixels, quality=60):
    import io

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def test_exact_and_near_across_parts_only():
    a, b, c = coloured(1), coloured(2), coloured(3)
    small = np.array(Image.fromarray(b).resize((40, 40), Image.Resampling.BICUBIC))
    bright = np.clip(c.astype(int) + 12, 0, 255).astype(np.uint8)
    pictures = [a, b, c, a.copy(), small, bright, compressed(a), a.copy()]
    parts = ["train", "train", "train", "test", "test", "test", "test", "train"]
    found = set(duplicates([fingerprint(picture) for picture in pictures], parts))
    assert found == {
        (0, 3, "exact"),
        (3, 7, "exact"),
        (0, 6, "near"),
        (6, 7, "near"),
        (1, 4, "near"),
        (2, 5, "near"),
    }


def test_different_pictures_are_no_duplicates():
    marks = [fingerprint(coloured(seed)) for seed in range(300)]
    assert list(duplicates(marks, ["a", "b"] * 150)) == []


def test_blocks_do_not_matter(monkeypatch):
    pictures = [coloured(seed % 20) if seed % 3 else compressed(coloured(seed % 20)) for seed in range(60)]
    marks, parts = [fingerprint(picture) for picture in pictures], [str(k // 20) for k in range(60)]
    whole = set(duplicates(marks, parts))
    monkeypatch.setattr("fer3d.catalog.duplicates._BLOCK", 7)
    assert set(duplicates(marks, parts)) == whole
    assert {kind for *_, kind in whole} == {"exact", "near"}


def test_flat_pictures():
    grey, black = np.full((20, 20, 3), 100, np.uint8), np.zeros((30, 30, 3), np.uint8)
    other = np.full((25, 25, 3), 100, np.uint8)
    found = list(duplicates([fingerprint(p) for p in (grey, black, other)], ["a", "b", "c"]))
    assert found == [(0, 2, "near")]


def test_too_many_pairs_leave_the_exact_ones(monkeypatch):
    monkeypatch.setattr("fer3d.catalog.duplicates.MOST_PAIRS", 3)
    a = coloured(1)
    marks = [fingerprint(p) for p in (a, compressed(a), a, coloured(5))]
    assert list(duplicates(marks, ["x", "y", "z", "w"])) == [(0, 2, "exact")]
    assert too_many(["x", "y", "z", "w"])
    assert not too_many(["x", "x", "x", "y"])
    assert list(duplicates([], [])) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (500, 3)])
def test_any_size(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert len(fingerprint(pixels).small) == 256


def test_bits_are_counted_without_numpy_2(monkeypatch):
    words = np.array([0, 1, 3, 2**63, 2**64 - 1], np.uint64)
    wanted = [0, 1, 2, 1, 64]
    assert _bits(words).tolist() == wanted
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert _bits(words).tolist() == wanted
