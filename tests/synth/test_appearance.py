"""The painted look: a face-like picture in the right places, whatever the model's uv."""

import numpy as np
import pytest

from fer3d.face.load import builtin_face
from fer3d.face.model import EYE, MOUTH
from fer3d.synth.looks import appearance


@pytest.fixture(scope="module")
def model():
    return builtin_face()


@pytest.fixture(scope="module")
def atlas(model):
    return appearance.atlas(model, 256)


def at(layer, model, landmark, reach=2):
    """Mean of a layer about a landmark."""
    u, v = model.uv[model.landmarks[landmark]]
    S = len(layer)
    row, column = int((1 - v) * S), int(u * S)
    return layer[row - reach : row + reach + 1, column - reach : column + reach + 1].mean(axis=(0, 1))


def test_atlas_leads_back_to_the_model(model, atlas):
    """The texel under a vertex's uv has the vertex's place."""
    rows = np.array([model.landmarks[name] for name in ("pronasale", "bu83_19", "bu83_29", "pogonion", "bu83_71")])
    S = len(atlas.part)
    uv = model.uv[rows]
    place = atlas.place[((1 - uv[:, 1]) * S).astype(int), (uv[:, 0] * S).astype(int)]
    assert np.linalg.norm(place - model.neutral[rows], axis=1).max() < 3.0
    assert {EYE, MOUTH} <= set(np.unique(atlas.part).tolist())


def test_lips_are_redder_and_brows_darker_than_skin(model, atlas):
    for seed in range(4):
        look = appearance.paint(atlas, np.random.default_rng(seed))
        assert look.colour.shape == (256, 256, 3)
        assert look.colour.dtype == np.uint8
        skin = at(look.colour, model, "pronasale", 6)
        lips = (at(look.colour, model, "labiale_superius") + at(look.colour, model, "bu83_63")) / 2
        assert lips[0] / lips[1] > 1.05 * skin[0] / skin[1]
        brow = (at(look.colour, model, "bu83_19") + at(look.colour, model, "bu83_24")) / 2
        assert brow.sum() < 0.93 * skin.sum()
        whites = look.colour[atlas.part == EYE].astype(float).max(axis=1)
        assert np.percentile(whites, 90) > 140


def test_eyes_and_lips_are_wet_and_brows_hairy(model, atlas):
    look = appearance.paint(atlas, np.random.default_rng(5))
    assert (look.gloss[atlas.part == EYE] == 255).all()
    cheek = at(look.gloss, model, "bu83_71")
    assert at(look.gloss, model, "labiale_superius") > 1.3 * cheek
    brow = (at(look.hair, model, "bu83_19") + at(look.hair, model, "bu83_24")) / 2
    assert brow > 40
    assert at(look.hair, model, "pronasale") < 5
    assert look.hair[:8, 110:146].mean() > 180  # the hair of the head, at the top of the model


def test_each_person_is_another_and_the_same_again(atlas):
    a, b, c = (appearance.paint(atlas, np.random.default_rng(seed)) for seed in (1, 2, 1))
    for layer in ("colour", "gloss", "hair"):
        assert np.array_equal(getattr(a, layer), getattr(c, layer))
        assert not np.array_equal(getattr(a, layer), getattr(b, layer))
    assert np.abs(a.colour.astype(int) - b.colour.astype(int)).mean() > 3


def test_people_differ_in_skin(model, atlas):
    tones = [at(appearance.paint(atlas, np.random.default_rng(k)).colour, model, "pronasale", 6) for k in range(24)]
    light = np.array(tones).mean(axis=1)
    assert light.max() > 1.6 * light.min()
    assert (np.diff(np.array(tones), axis=1) < 0).all()  # red above green above blue


def test_a_beard_changes_the_chin_only(model, atlas):
    """The same lots are drawn for both but for the beard, so the forehead stays as it is."""
    plain, bearded = (appearance.paint(atlas, np.random.default_rng(3), beard=beard) for beard in (False, True))
    assert at(bearded.colour, model, "pogonion").sum() < at(plain.colour, model, "pogonion").sum() - 10
    assert at(bearded.hair, model, "pogonion") > at(plain.hair, model, "pogonion") + 10
    assert at(plain.hair, model, "pogonion") == 0
