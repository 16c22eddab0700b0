"""Things on a face and the truth about what they hide."""

import numpy as np
import pytest

from fer3d.errors import ArgumentError
from fer3d.face.load import builtin_face
from fer3d.synth.capture import capture
from fer3d.synth.looks.occluders import KINDS, occluder
from fer3d.synth.optics import sensor
from fer3d.synth.optics.camera import STEREO, Camera
from fer3d.synth.optics.scene import LENS, Look, pose, set_up
from fer3d.synth.optics.visibility import BY_OCCLUDER, BY_SELF, PATCHES, VISIBLE, patch_vertices, visibility

UPPER = ("bu83_19", "bu83_29", "exocanthion_left", "exocanthion_right", "pronasale")
MOUTH_POINTS = ("labiale_superius", "labiale_inferius", "cheilion_left", "cheilion_right")


@pytest.fixture(scope="module")
def model():
    return builtin_face()


def seen(model, kind=None, seed=0, shape=None, **more):
    shape = model.neutral if shape is None else shape
    things = [] if kind is None else [occluder(kind, model, shape, np.random.default_rng(seed))]
    return visibility(set_up(model, shape, pose(**more), None, things))


def test_a_bare_frontal_face_is_seen_whole(model):
    got = seen(model)
    assert set(got.landmarks) == set(model.landmarks)
    assert set(got.landmarks.values()) == {VISIBLE}
    assert tuple(got.patches) == PATCHES
    assert len(PATCHES) == 24
    assert min(got.patches.values()) > 0.85
    assert max(got.patches.values()) <= 1.0


def test_patches_lie_where_their_names_say(model):
    vertices = patch_vertices(model)
    centre = {name: model.neutral[rows].mean(axis=0) for name, rows in vertices.items()}
    for name in PATCHES:
        if name.endswith("_left"):
            twin = centre[name.removesuffix("left") + "right"]
            assert centre[name][0] > 0 > twin[0]
            assert np.abs(centre[name] * [-1, 1, 1] - twin).max() < 1.5
    assert centre["brow_inner_left"][1] > centre["under_eye_left"][1] > centre["cheek_left"][1] > centre["chin_left"][1]
    assert centre["eye_outer_left"][0] > centre["eye_inner_left"][0]


@pytest.mark.parametrize("seed", range(4))
def test_a_hand_over_the_mouth_hides_it_and_not_the_eyes(model, seed):
    got = seen(model, "MOUTH", seed)
    hidden = [name for name in MOUTH_POINTS if got.landmarks[name] == BY_OCCLUDER]
    assert len(hidden) >= 2  # some may show between the fingers
    assert {got.landmarks[name] for name in UPPER[:4]} == {VISIBLE}
    assert got.patches["upper_lip"] < 0.5
    assert got.patches["brow_eye_left"] > 0.85
    assert got.patches["brow_eye_right"] > 0.85


@pytest.mark.parametrize("seed", range(4))
def test_a_hand_over_an_eye_hides_that_eye_only(model, seed):
    got = seen(model, "EYE", seed)
    share = {side: got.patches[f"brow_eye_{side}"] for side in ("left", "right")}
    hidden, free = sorted(share, key=share.get)
    assert share[hidden] < 0.5
    assert share[free] > 0.9
    assert got.landmarks[f"exocanthion_{free}"] == VISIBLE
    assert got.landmarks[f"exocanthion_{hidden}"] == BY_OCCLUDER
    assert got.patches[f"chin_{free}"] > 0.9


def test_hands_come_from_both_sides(model):
    sides = {min(("left", "right"), key=lambda s: seen(model, "EYE", k).patches[f"under_eye_{s}"]) for k in range(8)}
    assert sides == {"left", "right"}


@pytest.mark.parametrize("seed", range(3))
def test_a_scarf_hides_mouth_and_chin(model, seed):
    got = seen(model, "SCARF", seed)
    assert {got.landmarks[name] for name in (*MOUTH_POINTS, "pogonion")} == {BY_OCCLUDER}
    assert {got.landmarks[name] for name in UPPER[:4]} == {VISIBLE}
    assert got.patches["chin_left"] == got.patches["lower_lip"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_fringe_hides_a_brow_and_not_the_mouth(model, seed):
    got = seen(model, "HAIR", seed)
    brows = [got.patches[f"brow_outer_{side}"] for side in ("left", "right")]
    assert min(brows) < 0.6
    assert {got.landmarks[name] for name in (*MOUTH_POINTS, "pronasale")} == {VISIBLE}


def test_clear_lenses_hide_nothing_and_frames_little(model):
    glasses = occluder("GLASSES", model, model.neutral, np.random.default_rng(1))
    assert (glasses.part == LENS).any()
    got = seen(model, "GLASSES", 1)
    assert {got.landmarks[name] for name in ("bu83_03", "bu83_11", *MOUTH_POINTS)} == {VISIBLE}
    assert 0.3 < got.patches["nose_bridge"] < 1.0


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_things_lie_on_the_face_of_whoever_wears_them(model, kind):
    """Nothing of the face comes through, and nothing floats far before it, on people of different build."""
    for seed in range(3):
        generator = np.random.default_rng(seed)
        shape = model.shape(np.clip(generator.normal(0, 1, len(model.identity_modes)), -2, 2))
        thing = occluder(kind, model, shape, generator)
        scene = set_up(model, shape, pose(), None, [thing])
        camera = Camera(pitch=1.5, noise=0, depth_step=0, holes=0, spikes=0, turned=False, jitter=0)
        image = sensor.sample(scene, camera, np.random.default_rng(0))
        bare = sensor.sample(set_up(model, shape, pose()), camera, np.random.default_rng(0))
        assert image.occluded.sum() > 60
        assert not bare.occluded.any()
        tip = shape[model.landmarks["pronasale"], 2]
        z = image.exact[image.occluded][:, 2]
        assert z.max() < tip + 32
        assert (thing.colour >= 0).all()
        assert (thing.colour <= 255).all()


def test_a_hand_shows_in_the_scan_and_takes_landmarks_from_it(model):
    shape = model.neutral
    hand = occluder("MOUTH", model, shape, np.random.default_rng(0))
    look = Look.plain(np.full((32, 32, 3), 180, np.uint8))
    camera = Camera(holes=0.0, spikes=0.0)
    bare, covered = (
        capture(model, shape, pose(), camera, np.random.default_rng(1), look, occluders=things, texture=64)
        for things in ((), (hand,))
    )
    assert "labiale_superius" in bare.measured
    assert "labiale_superius" not in covered.measured
    assert covered.visibility.landmarks["labiale_superius"] == BY_OCCLUDER
    assert covered.visibility.landmarks["exocanthion_left"] == VISIBLE
    lips = bare.landmarks["labiale_superius"]

    def height(scan):
        near = np.hypot(scan.vertices[:, 0] - lips[0], scan.vertices[:, 1] - lips[1]) < 4
        return np.median(scan.vertices[near, 2])

    assert height(covered.scan) > height(bare.scan) + 5


def test_behind_lenses_much_is_lost_and_the_rest_is_noisy(model):
    glasses = occluder("GLASSES", model, model.neutral, np.random.default_rng(1))
    camera = Camera(holes=0.0, spikes=0.0, turned=False, jitter=0.0, noise=0.05, depth_step=0.0)
    bare, worn = (
        sensor.sample(set_up(model, model.neutral, pose(), None, things), camera, np.random.default_rng(3))
        for things in ((), (glasses,))
    )
    rim = glasses.points[np.unique(glasses.triangles[glasses.part == LENS])]

    def behind(image):
        with np.errstate(invalid="ignore"):
            x, y = image.exact[..., 0], image.exact[..., 1]
            return image.valid & (np.hypot(np.abs(x) - np.abs(rim[:, 0]).mean(), y - rim[:, 1].mean()) < 12)

    assert behind(worn).sum() < 0.75 * behind(bare).sum()
    quiet, loud = ((image.points - image.exact)[behind(image)][:, 2].std() for image in (bare, worn))
    assert loud > 3 * quiet


def test_turned_away_is_hidden_by_self_also_behind_a_hand(model):
    got = seen(model, "MOUTH", 0, yaw=1.4)
    assert got.landmarks["exocanthion_left"] == BY_SELF
    assert got.patches["eye_outer_left"] < 0.1
    assert got.landmarks["exocanthion_right"] == VISIBLE


def test_two_views_see_more(model):
    scene = set_up(model, model.neutral, pose(0.9))
    one, two = (visibility(scene, Camera(views=views).towards).patches for views in ((0.0,), STEREO))
    assert all(two[name] >= one[name] - 0.02 for name in PATCHES)
    assert sum(two.values()) > sum(one.values()) + 0.5


def test_the_same_generator_gives_the_same_thing(model):
    for kind in KINDS:
        a, b, c = (occluder(kind, model, model.neutral, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert np.array_equal(a.points, b.points)
        assert np.array_equal(a.colour, b.colour)
        assert a.points.shape != c.points.shape or not np.array_equal(a.points, c.points)
        assert a.kind == kind


def test_a_hand_has_the_skin_of_its_person(model):
    colour = np.empty((32, 32, 3), np.uint8)
    colour[:] = (90, 60, 40)
    hand = occluder("EYE", model, model.neutral, np.random.default_rng(0), Look.plain(colour))
    assert np.median(hand.colour, axis=0) == pytest.approx([90, 60, 40], rel=0.45)
    pale = occluder("EYE", model, model.neutral, np.random.default_rng(0), Look.plain(colour * 2))
    assert pale.colour.mean() > 1.6 * hand.colour.mean()


def test_errors(model):
    with pytest.raises(ArgumentError, match="`kind` should be one of EYE, MOUTH, GLASSES, HAIR, SCARF, is 'HAT'"):
        occluder("HAT", model, model.neutral, np.random.default_rng(0))
    with pytest.raises(ArgumentError, match="`shape` should have shape"):
        occluder("EYE", model, model.neutral[:5], np.random.default_rng(0))
