"""The range camera: geometry, noise, what is lost, what is random, how views are merged."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from fer3d.errors import ArgumentError, PrepareError
from fer3d.face.load import builtin_face
from fer3d.landmarks import bu83_names
from fer3d.synth.capture import capture
from fer3d.synth.optics import sensor
from fer3d.synth.optics.camera import STEREO, Camera
from fer3d.synth.optics.scene import Look, pose, rotation, seen_from, set_up, unrolled

CLEAN = Camera(
    pitch_spread=0.0,
    noise=0.0,
    depth_step=0.0,
    seam=0.0,
    spikes=0.0,
    holes=0.0,
    dark_loss=0.0,
    hair_loss=0.0,
    wet_loss=0.0,
)


@pytest.fixture(scope="module")
def model():
    return builtin_face()


def shoot(model, camera=CLEAN, seed=0, placement=None, **more):
    placement = pose() if placement is None else placement
    return capture(model, model.neutral, placement, camera, np.random.default_rng(seed), **more)


def look_at(model, camera=CLEAN, seed=0, placement=None, look=None):
    placement = pose() if placement is None else placement
    return sensor.sample(set_up(model, model.neutral, placement, look), camera, np.random.default_rng(seed))


def plain(value=200, size=64, **layers):
    """A grey look, with layers set from a callable of u and v."""
    colour = np.full((size, size, 3), value, np.uint8)
    u, v = np.meshgrid((np.arange(size) + 0.5) / size, 1 - (np.arange(size) + 0.5) / size)
    made = {name: (255 * rule(u, v)).astype(np.uint8) for name, rule in layers.items()}
    return Look(
        colour, made.get("gloss", np.zeros((size, size), np.uint8)), made.get("hair", np.zeros_like(colour[..., 0]))
    )


def test_rotation_signs():
    forward, up, left = np.eye(3)[[2, 1, 0]]
    assert (rotation(0.3, 0, 0) @ forward)[0] > 0  # to the subject's left
    assert (rotation(0, 0.3, 0) @ forward)[1] < 0  # down
    assert (rotation(0, 0, 0.3) @ up)[0] < 0  # counter-clockwise in the picture
    assert (rotation(0, 0, 0.3) @ left)[1] > 0
    R = rotation(0.4, -0.2, 0.9)
    assert np.allclose(R @ R.T, np.eye(3))
    assert np.linalg.det(R) == pytest.approx(1)
    assert np.allclose(R, rotation(0.4, 0, 0) @ rotation(0, -0.2, 0) @ rotation(0, 0, 0.9))


def test_an_eye_to_the_left_sees_the_left_side_in_its_middle():
    points = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert np.allclose(seen_from(points, np.array([0.0, 0, 1])), points)
    from_left = seen_from(points, np.array([2.0, 0, 0]))
    assert np.allclose(from_left[0], [0, 0, 1])  # nearest to that eye
    assert np.allclose(from_left[1], [0, 1, 0])
    assert np.allclose(from_left[2], [-1, 0, 0])  # the nose points to the left of its picture


def test_unrolling_keeps_arcs_on_the_cylinder_and_forgets_the_back():
    angle = np.array([-1.0, 0.0, 0.5, 3.0])
    points = np.stack([80 * np.sin(angle) + 3, np.full(4, 7.0), 80 * np.cos(angle) - 80 + 5], axis=1)
    flat = unrolled(points, np.array([3.0, 2.0, 5.0]))
    assert np.allclose(flat[:, 0], 80 * angle)
    assert np.allclose(flat[:, 1], 5.0)
    assert np.allclose(flat[:3, 2], 80.0)
    assert np.isnan(flat[3, 2])


@pytest.mark.parametrize("views", [(0.0,), STEREO])
def test_a_clean_scan_lies_on_the_surface(model, views):
    """Undo the pose: every vertex is a point of some triangle of the model."""
    placement = pose(0.4, -0.2, 0.5, (7.0, -3.0, 40.0))
    got = shoot(model, replace(CLEAN, views=views), placement=placement)
    back = (got.scan.vertices.astype(float) - placement[:3, 3]) @ placement[:3, :3]
    dense = np.concatenate([model.neutral[model.triangles].mean(axis=1), model.neutral])
    for k, j in ((0, 1), (1, 2), (2, 0)):
        dense = np.concatenate([dense, model.neutral[model.triangles[:, [k, j]]].mean(axis=1)])
    distance = cKDTree(dense).query(back)[0]
    assert distance.max() < 1.6  # samples of the model are some 1.5 mm apart
    assert np.median(distance) < 0.5


def test_truth_is_consistent_with_the_scan(model):
    camera = Camera(pitch=1.0)
    placement = pose(-0.2, 0.1, 0.3, (5.0, 6.0, 7.0))
    got = shoot(model, camera, placement=placement)
    assert np.array_equal(got.pose, placement)
    for name, row in model.landmarks.items():
        assert np.allclose(got.landmarks[name], placement[:3, :3] @ model.neutral[row] + placement[:3, 3])
    tree = cKDTree(got.scan.vertices)
    for name in got.measured:
        assert tree.query(got.landmarks[name])[0] <= camera.reach
        assert np.linalg.norm(got.scan.landmarks[name] - got.landmarks[name]) <= camera.reach
    assert len(got.measured) > 60
    assert set(got.scan.landmarks) == set(got.measured)


@pytest.mark.parametrize("views", [(0.0,), STEREO])
def test_faces_look_out_of_the_head(model, views):
    scan = shoot(model, replace(CLEAN, views=views)).scan
    a, b, c = (scan.vertices[scan.faces[:, k]].astype(float) for k in range(3))
    outward = (a + b + c) / 3 - np.array([0.0, 0.0, -80.0])
    outward[:, 1] = 0.0
    out = (np.cross(b - a, c - a) * (outward if len(views) > 1 else [0.0, 0.0, 1.0])).sum(axis=1)
    assert (out > 0).mean() > 0.995  # about an axis, a triangle across a step of depth may just look the other way
    assert len(np.unique(scan.faces)) == len(scan.vertices)


def test_a_turned_head_hides_its_far_side(model):
    got = shoot(model, placement=pose(0.9))  # to its left: the left cheek is behind
    assert "bu83_69" not in got.measured
    assert "bu83_81" in got.measured
    assert "exocanthion_right" in got.measured
    assert got.visibility.landmarks["bu83_69"] == "hidden_by_self"


def test_two_views_see_the_sides_that_one_does_not(model):
    """On the cheeks, near where the surface turns away, the merged scan has samples and the single view has none."""

    def depth_reached(camera):
        vertices = shoot(model, camera).scan.vertices
        level = np.abs(vertices[:, 1] - 20.0) < 10.0
        return [vertices[level & (vertices[:, 0] * side > 0), 2].min() for side in (-1, 1)]

    steep = replace(CLEAN, steepest=1.2)
    one, two = depth_reached(steep), depth_reached(replace(steep, views=STEREO))
    assert two[0] < one[0] - 8
    assert two[1] < one[1] - 8
    left_only = depth_reached(replace(steep, views=(STEREO[1],)))
    assert left_only[1] < one[1] - 8  # the subject's left is seen from there
    assert left_only[0] > two[0] + 8


def test_merged_views_disagree_by_the_seam(model):
    """Each side of a merged scan is displaced as a whole: the median error jumps across the middle of the forehead."""
    jumps = []
    for seed in range(12):
        seen = look_at(model, replace(CLEAN, views=STEREO, seam=0.5), seed)
        exact, error = seen.exact[seen.valid], (seen.points - seen.exact)[seen.valid]
        forehead = (exact[:, 1] > 60) & (exact[:, 1] < 90)
        left, right = (np.median(error[forehead & (exact[:, 0] * s > 20), 2]) for s in (1, -1))
        jumps.append(left - right)
    assert 0.3 < np.std(jumps) < 1.5
    whole = look_at(model, replace(CLEAN, views=STEREO))
    assert np.allclose(whole.points[whole.valid], whole.exact[whole.valid], atol=1e-9)


def standard_deviation(model, camera, placement=None, least=0.0, most=1.0):
    """Of the error along z, over samples whose slant has a cosine in a range."""
    seen = look_at(model, camera, 1, placement)
    gradient = np.hypot(*np.gradient(seen.exact[..., 2])) / camera.pitch  # grid turned: the slope is the same
    cosine = 1 / np.sqrt(1 + gradient**2)
    here = seen.valid & (cosine >= least) & (cosine <= most)
    return (seen.points - seen.exact)[here][:, 2].std()


def test_noise_has_the_standard_deviation_asked_for(model):
    for sigma in (0.05, 0.4):
        camera = replace(CLEAN, noise=sigma, pitch=0.8, eye=100_000.0 - 30.0)
        camera = replace(camera, noise=sigma / 100.0**2)  # at 100 m all of a face is equally far
        assert standard_deviation(model, camera, least=0.97) == pytest.approx(sigma, rel=0.06)
        seen = look_at(model, camera)
        assert ((seen.points - seen.exact)[seen.valid][:, :2] == 0).all()


def test_noise_grows_with_slant_as_one_over_its_cosine(model):
    camera = replace(CLEAN, noise=0.2, pitch=0.8)
    flat = standard_deviation(model, camera, least=0.97)
    assert standard_deviation(model, camera, least=0.48, most=0.52) / flat == pytest.approx(2.0, rel=0.15)


def test_noise_grows_with_the_square_of_the_distance(model):
    camera = replace(CLEAN, noise=0.2, pitch=0.8)
    near, far = (standard_deviation(model, camera, pose(shift=(0, 0, z)), 0.97) for z in (0.0, -1000.0))
    assert far / near == pytest.approx((2030 / 1030) ** 2, rel=0.05)


def test_depth_comes_in_steps(model):
    for step in (0.1, 0.5):
        seen = look_at(model, replace(CLEAN, depth_step=step, noise=0.03))
        z = seen.points[seen.valid][:, 2] / step
        assert np.abs(z - np.rint(z)).max() < 1e-6
        assert len(np.unique(np.rint(z))) > 20


def test_spikes_are_as_many_and_as_high_as_asked(model):
    seen = look_at(model, replace(CLEAN, spikes=0.02, spike_height=10.0, pitch=0.8), 2)
    error = (seen.points - seen.exact)[seen.valid][:, 2]
    far = np.abs(error) > 1e-9
    assert far.mean() == pytest.approx(0.02, rel=0.15)
    assert error[far].std() == pytest.approx(10.0, rel=0.15)


def test_no_two_scans_share_a_topology(model):
    scans = [shoot(model, seed=seed).scan for seed in range(3)]
    assert len({(len(s.vertices), len(s.faces)) for s in scans}) == 3
    again = shoot(model, seed=0).scan
    assert np.array_equal(again.vertices, scans[0].vertices)
    assert np.array_equal(again.faces, scans[0].faces)


def test_pitch_sets_the_number_of_samples(model):
    few, many = (len(shoot(model, replace(CLEAN, pitch=p)).scan.vertices) for p in (3.0, 1.5))
    assert many / few == pytest.approx(4.0, rel=0.08)
    spread = replace(CLEAN, pitch=3.0, pitch_spread=0.1)
    counts = [len(shoot(model, spread, seed).scan.vertices) / few for seed in range(12)]
    assert 0.8 < min(counts) < 0.95
    assert 1.05 < max(counts) < 1.28


def test_holes_take_samples_away(model):
    whole = look_at(model, seed=4)
    holed = look_at(model, replace(CLEAN, holes=30.0), 4)
    assert 0.01 < 1 - holed.valid.sum() / whole.valid.sum() < 0.5
    lost = np.isnan(holed.points).any(axis=-1)
    assert np.array_equal(lost, ~holed.valid)


def share_kept(model, camera, look, side):
    """Of the samples on one side of the face that a camera without losses has."""
    shares = []
    for seed in range(3):
        kept, all_ = (look_at(model, c, seed, look=look).exact for c in (camera, CLEAN))
        with np.errstate(invalid="ignore"):
            shares.append((kept[..., 0] * side > 15).sum() / (all_[..., 0] * side > 15).sum())
    return np.mean(shares)


def test_dark_spots_are_lost_more_readily(model):
    look = plain()
    look.colour[:, 40:] = 30  # u > 0.62: the subject's left cheek is dark
    camera = replace(CLEAN, dark_loss=0.9)
    assert share_kept(model, camera, look, -1) > 0.97
    assert share_kept(model, camera, look, 1) < 0.9


@pytest.mark.parametrize(("layer", "setting"), [("hair", "hair_loss"), ("gloss", "wet_loss")])
def test_hair_and_wet_spots_are_lost_more_readily(model, layer, setting):
    look = plain(**{layer: lambda u, v: u > 0.62})
    camera = replace(CLEAN, **{setting: 0.6})
    assert share_kept(model, camera, look, -1) > 0.97
    assert share_kept(model, camera, look, 1) < 0.9
    assert share_kept(model, CLEAN, look, 1) == 1.0


def test_a_hole_over_the_mouth_is_as_likely_if_it_is_closed(model):
    gape = model.shape(None, model.mode_weights({"AU25": 1.0, "AU26": 1.0}))
    lips = np.array([model.landmarks["labiale_superius"], model.landmarks["labiale_inferius"]])
    often = []
    for shape in (gape, model.neutral):
        holes = 0
        for seed in range(40):
            scene = set_up(model, shape, pose(), plain())
            wet, dry = (
                sensor.sample(scene, replace(CLEAN, pitch=2.5, wet_loss=loss), np.random.default_rng(seed))
                for loss in (0.2, 0.0)
            )
            lost = dry.valid & ~wet.valid
            away = dry.exact[lost] - shape[lips].mean(axis=0)
            holes += (np.hypot(away[:, 0], away[:, 1]) < 16).any()
            assert lost.sum() < 200
        often.append(holes / 40)
    assert 0.12 < min(often) <= max(often) < 0.5
    assert abs(often[0] - often[1]) < 0.2


def test_an_open_mouth_is_a_pit_and_not_a_hole(model):
    gape = model.shape(None, model.mode_weights({"AU25": 1.0, "AU26": 1.0}))
    scene = set_up(model, gape, pose())
    seen = sensor.sample(scene, replace(CLEAN, turned=False, jitter=0.0), np.random.default_rng(0))
    marks = scene.landmarks()
    upper, lower = marks["labiale_superius"], marks["labiale_inferius"]
    between = (np.abs(seen.exact[..., 0]) < 15) & (seen.exact[..., 1] < upper[1]) & (seen.exact[..., 1] > lower[1])
    # Whole rows of samples are there, and none is deeper than the pit may be.
    assert between.sum() == pytest.approx(30 * (upper[1] - lower[1]) / 1.5**2, rel=0.15)
    lips = np.mean([marks[name][2] for name in bu83_names(np.arange(49, 61))])
    depth = lips - seen.exact[between][:, 2].min()
    assert 8 < depth < 17


def test_steep_surface_is_not_measured(model):
    seen = look_at(model, replace(CLEAN, steepest=0.6), 5)
    everything = look_at(model, seed=5)
    assert seen.valid.sum() < 0.8 * everything.valid.sum()


def test_an_upright_grid_is_a_range_image(model):
    """Also of a head that is turned, with its mouth open."""
    camera = replace(CLEAN, turned=False, jitter=0.0, pitch=2.0)
    gape = model.shape(None, model.mode_weights({"AU25": 1.0, "AU26": 1.0}))
    scene = set_up(model, gape, pose(0.5, 0.3, 0.2))
    seen = sensor.sample(scene, camera, np.random.default_rng(6))
    row, column = np.nonzero(seen.valid)
    x, y = seen.exact[row, column, 0], seen.exact[row, column, 1]
    assert np.allclose(x, seen.corner[0] + 2.0 * column, atol=1e-4)
    assert np.allclose(y, seen.corner[1] - 2.0 * row, atol=1e-4)


@pytest.mark.parametrize("views", [(0.0,), STEREO])
def test_the_texture_is_registered_with_the_scan(model, views):
    """Red on the subject's left, blue on the right: every vertex finds the colour of its own side."""
    look = plain()
    look.colour[:] = 0
    look.colour[:, 32:, 0] = 250
    look.colour[:, :32, 2] = 250
    scan = shoot(model, replace(CLEAN, views=views), look=look, texture=256, placement=pose(0.2)).scan
    assert scan.texture.shape == (256, 256, 3)
    row = ((1 - scan.uv[:, 1]) * 256).astype(int)
    colour = scan.texture[row, (scan.uv[:, 0] * 256).astype(int)].astype(int)
    own_x = (scan.vertices @ rotation(0.2, 0, 0))[:, 0]
    sides = np.abs(own_x) > 4
    red = colour[:, 0] > colour[:, 2]
    assert (red == (own_x > 0))[sides].mean() > 0.995
    assert shoot(model).scan.texture is None


def test_errors(model):
    with pytest.raises(ArgumentError, match=r"`pitch` should lie in \[0.2, 10\] mm, is 0.01"):
        Camera(pitch=0.01)
    with pytest.raises(ArgumentError, match="`noise` should lie in"):
        Camera(noise=float("nan"))
    with pytest.raises(ArgumentError, match=r"`hair_loss` should lie in \[0, 1\], is 2"):
        Camera(hair_loss=2)
    with pytest.raises(ArgumentError, match="`views` should hold at least one yaw, is empty"):
        Camera(views=())
    with pytest.raises(ArgumentError, match="`turned` should be True with several views"):
        Camera(views=STEREO, turned=False)
    with pytest.raises(ArgumentError, match=rf"`shape` should have shape \({len(model.neutral)}, 3\), has \(5, 3\)"):
        capture(model, np.zeros((5, 3)), pose(), CLEAN, np.random.default_rng(0))
    with pytest.raises(ArgumentError, match="`placement` should be a rigid motion"):
        shoot(model, placement=np.diag([2.0, 2.0, 2.0, 1.0]))
    with pytest.raises(PrepareError, match="the camera sees no three neighbouring points of the face"):
        shoot(model, replace(CLEAN, steepest=0.1, pitch=10.0), placement=pose(np.pi / 2))
    with pytest.raises(ArgumentError, match=r"`hair` should have shape \(64, 64\), has \(2, 2\)"):
        Look(np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8), np.zeros((2, 2), np.uint8))
