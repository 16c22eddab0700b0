"""The painted texture: a face-like picture in the right places, whatever the model's uv."""

import numpy as np
import pytest

from fer3d.synth import appearance
from fer3d.synth.face import EYE, MOUTH, FaceModel


@pytest.fixture(scope="module")
def model():
    return FaceModel.builtin()


@pytest.fixture(scope="module")
def atlas(model):
    return appearance.atlas(model, 256)


def colour_at(texture, model, landmark, reach=2):
    """Mean colour about a landmark."""
    u, v = model.uv[model.landmarks[landmark]]
    S = len(texture)
    row, column = int((1 - v) * S), int(u * S)
    return texture[row - reach : row + reach + 1, column - reach : column + reach + 1].reshape(-1, 3).mean(axis=0)


def test_atlas_leads_back_to_the_model(model, atlas):
    """The texel under a vertex's uv has the vertex's place."""
    rows = np.array([model.landmarks[name] for name in ("pronasale", "bu83_19", "bu83_29", "pogonion", "bu83_71")])
    S = len(atlas.part)
    uv = model.uv[rows]
    place = atlas.place[((1 - uv[:, 1]) * S).astype(int), (uv[:, 0] * S).astype(int)]
    assert np.linalg.norm(place - model.neutral[rows], axis=1).max() < 3.0
    assert (np.abs(np.linalg.norm(atlas.normal, axis=-1) - 1) < 1e-6).all()
    assert {EYE, MOUTH} <= set(np.unique(atlas.part).tolist())


def test_lips_are_redder_and_brows_darker_than_skin(model, atlas):
    texture = appearance.paint(atlas, np.random.default_rng(5))
    assert texture.shape == (256, 256, 3)
    assert texture.dtype == np.uint8
    skin = colour_at(texture, model, "pogonion")
    upper = (colour_at(texture, model, "labiale_superius") + colour_at(texture, model, "bu83_63")) / 2
    assert upper[0] / upper[1] > 1.15 * skin[0] / skin[1]
    ball = atlas.part == EYE
    whites = texture[ball].astype(float).max(axis=1)
    assert np.percentile(whites, 90) > 170
    brow = (colour_at(texture, model, "bu83_19") + colour_at(texture, model, "bu83_24")) / 2
    assert brow.sum() < 0.85 * skin.sum()


def test_each_person_is_another_and_the_same_again(atlas):
    a, b, c = (appearance.paint(atlas, np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert np.array_equal(a, c)
    assert np.abs(a.astype(int) - b.astype(int)).mean() > 3


def test_a_beard_darkens_the_chin_only(model, atlas):
    plain, shaved = (appearance.paint(atlas, np.random.default_rng(3), beard=beard) for beard in (False, True))
    assert colour_at(shaved, model, "pogonion").sum() < colour_at(plain, model, "pogonion").sum() - 10
    forehead = (slice(5, 40), slice(100, 150))
    assert abs(shaved[forehead].astype(float).mean() - plain[forehead].astype(float).mean()) < 2
