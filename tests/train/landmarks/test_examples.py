"""Simulated scans, the truth of their pictures, and the losses."""

import numpy as np
import pytest
import torch

from fer3d.face.load import builtin_face
from fer3d.kernels.normals import vertex_normals
from fer3d.kernels.topology import weld
from fer3d.landmarks import POINT_NAMES
from fer3d.prepare.landmarks.networks import PLACER_STRIDE, Placement, PointPlacer, Sighting
from fer3d.prepare.landmarks.pictures import DEPTH, frontal_picture
from fer3d.prepare.landmarks.reference import mean_points
from fer3d.train.landmarks import losses
from fer3d.train.landmarks.examples import DOUBT, FACE, NOTHING, fronts_of, stored, views_of
from fer3d.train.landmarks.fit import fit, front_batch, view_batch
from fer3d.train.landmarks.simulate import HELD_OUT, SimulatedScan, Simulator, damaged, drawn_kinds, of_thing


@pytest.fixture(scope="module")
def simulator():
    return Simulator(builtin_face(), 0, things=0.0)


@pytest.fixture(scope="module")
def scans(simulator):
    return [scan for k in range(3) for scan in simulator.scans(np.random.default_rng([5, k]))]


@pytest.fixture(scope="module")
def whole():
    """The mean face as a scan without errors."""
    model = builtin_face()
    measured = np.ones(len(POINT_NAMES), np.bool_)
    return SimulatedScan(model.neutral.astype(np.float32), model.triangles, mean_points(), measured, np.eye(3), (), 0.0)


def columns(examples):
    return dict(zip(examples._fields, examples, strict=True))


def test_the_same_generator_gives_the_same_scans_and_their_points_lie_on_them(simulator, scans):
    again = [scan for k in range(3) for scan in simulator.scans(np.random.default_rng([5, k]))]
    assert len(again) == len(scans) > 5
    for one, other in zip(scans, again, strict=True):
        np.testing.assert_array_equal(one.vertices, other.vertices)
        np.testing.assert_array_equal(one.faces, other.faces)
        np.testing.assert_allclose(one.rotation @ one.rotation.T, np.eye(3), atol=1e-9)
        off = np.linalg.norm(one.points[one.measured][:, None] - one.vertices[None], axis=2).min(axis=1)
        edge = np.linalg.norm(one.vertices[one.faces[:, 0]] - one.vertices[one.faces[:, 1]], axis=1)
        assert off.max() < 6.0 * np.median(edge) + 2.0


def test_what_is_held_out_is_never_drawn():
    generator = np.random.default_rng(0)
    drawn = [drawn_kinds(generator, (), HELD_OUT) for _ in range(600)]
    assert not {kind for kinds in drawn for kind in kinds} & set(HELD_OUT)
    assert {"cranium", "beard", "sunglasses", "wall"} <= {kind for kinds in drawn for kind in kinds}
    assert set(HELD_OUT) <= {kind for _ in range(400) for kind in drawn_kinds(generator, HELD_OUT, ())}


def test_things_are_no_faces():
    scan = next(of_thing("vase", np.random.default_rng(1)))
    assert not scan.is_face and not scan.measured.any()
    generator = np.random.default_rng(2)
    assert not views_of(scan, generator, 3).shows.any() and not fronts_of(scan, generator, 4).shows.any()


def test_cutting_takes_the_points_with_the_surface(whole):
    cut = 0
    for seed in range(12):
        scan = damaged(whole, np.random.default_rng(seed))
        off = np.linalg.norm(scan.points[:, None] - scan.vertices[None], axis=2).min(axis=1)
        cut += int((~scan.measured).sum())
        assert off[scan.measured].max() < 4.0
    assert cut > 20


def test_the_truth_of_views(whole):
    views = views_of(whole, np.random.default_rng(3), 12)
    assert {FACE} <= set(views.shows.tolist()) <= {FACE, DOUBT, NOTHING}
    up, towards = views.axes[:, :3], views.axes[:, 3:]
    np.testing.assert_allclose((up * towards).sum(axis=1), 0.0, atol=1e-6)
    for k in np.flatnonzero(views.shows == FACE):
        assert towards[k, 2] > np.cos(np.radians(65.5))
        column, row = (views.cell[k] * 4).astype(int)
        around = views.depth[k, row - 3 : row + 4, column - 3 : column + 4]
        assert (around > -32768).any()  # there is surface about the nose tip
        assert abs(views.depth_left[k]) < 0.5


def test_the_truth_of_fronts(whole):
    fronts = fronts_of(whole, np.random.default_rng(4), 8)
    assert (fronts.shows == FACE).sum() >= 5 and (fronts.shows[3::4] != FACE).all()
    for k in np.flatnonzero(fronts.shows == FACE):
        spots = np.rint(fronts.spots[k, :, :2]).astype(int)
        inside = ((spots >= 0) & (spots < 96)).all(axis=1)
        seen = fronts.depth[k][spots[inside][:, 1], spots[inside][:, 0]] > -32768
        assert seen.mean() > 0.9


def test_pictures_are_stored_with_little_loss(whole):
    normals = vertex_normals(whole.vertices, whole.faces, weld(whole.vertices))
    picture = frontal_picture(whole.vertices, whole.faces, normals, np.eye(3, 4)).picture
    kept = [torch.from_numpy(part[None]) for part in stored(picture)]
    back = losses.pictures(*kept)[0].numpy()
    np.testing.assert_allclose(back[:3], picture[:3], atol=0.5 / 127 + 1e-6)
    np.testing.assert_allclose(back[3], picture[3], atol=1e-4)
    np.testing.assert_array_equal(back[4], picture[4])


def test_mirroring_twice_changes_nothing_and_a_symmetric_face_is_its_mirror_image(whole, scans):
    views = view_batch(columns(views_of(scans[0], np.random.default_rng(6), 4)), np.arange(4), None)
    fronts = front_batch(columns(fronts_of(scans[0], np.random.default_rng(7), 4)), np.arange(4), None)
    every = torch.ones(4, dtype=torch.bool)
    for batch, mirrored in ((views, losses.mirrored_views), (fronts, losses.mirrored_fronts)):
        for before, after in zip(batch, mirrored(mirrored(batch, every), every), strict=True):
            torch.testing.assert_close(after.float(), before.float(), equal_nan=True, atol=1e-4, rtol=1e-5)
    normals = vertex_normals(whole.vertices, whole.faces, weld(whole.vertices))
    shown = frontal_picture(whole.vertices, whole.faces, normals, np.eye(3, 4))
    spots = np.column_stack([47.5 + whole.points[:, :2] / 2.3 * [1, -1], whole.points[:, 2] / DEPTH])
    batch = losses.FrontBatch(
        torch.from_numpy(shown.picture[None]),
        torch.ones(1, dtype=torch.int8),
        torch.from_numpy(spots[None]).float(),
        torch.ones(1, len(spots), dtype=torch.bool),
    )
    mirror = losses.mirrored_fronts(batch, every[:1])
    torch.testing.assert_close(mirror.spots, batch.spots, atol=0.01, rtol=0)
    assert float((mirror.pictures - batch.pictures).abs().mean()) < 0.01


def test_the_truth_has_the_least_loss(whole):
    views = view_batch(columns(views_of(whole, np.random.default_rng(8), 6)), np.arange(6), None)
    at = torch.arange(24) + 0.5
    column, row = views.cell[:, :1, None] - at[None, None], views.cell[:, 1:, None] - at[None, :, None]
    face = views.shows == FACE
    heat = torch.exp(-0.5 * (column**2 + row**2) / 0.81) * face[:, None, None]
    heat = (heat / heat.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6)).clamp(1e-6, 1 - 1e-6)
    shape = (6, 24, 24)
    depth = views.depth_left[:, None, None].expand(shape)
    offset = torch.stack([column.expand(shape), row.expand(shape), depth], dim=1)
    axes = views.axes[:, :, None, None].expand(6, 6, 24, 24)
    size = views.size[:, None, None].expand(shape)
    right = Sighting(torch.logit(heat), offset, size, axes[:, :3], axes[:, 3:])
    terms = losses.sighting_loss(right, views)
    assert all(float(terms[name]) < 1e-3 for name in ("face", "offset", "depth", "size", "axes"))
    wrong = right._replace(face=-right.face, offset=offset + 0.5, size=size + 0.1, up=axes[:, 3:], towards=axes[:, :3])
    assert all(float(value) > 0.05 for value in losses.sighting_loss(wrong, views).values())

    fronts = front_batch(columns(fronts_of(whole, np.random.default_rng(9), 4)), np.arange(4), None)
    cell = (fronts.spots[..., :2] + 0.5) / PLACER_STRIDE - 0.5
    cells = torch.arange(48.0)
    across, down = ((cells - cell[..., k : k + 1]) ** 2 for k in (0, 1))
    heat = -0.5 * (down[:, :, :, None] + across[:, :, None, :]) / 0.81
    sure = torch.where(fronts.measured, 20.0, -20.0)
    mean = torch.from_numpy(mean_points()[:, 2] / DEPTH).float()
    deep = (fronts.spots[..., 2] - mean)[:, :, None, None].expand(heat.shape)
    right = Placement(heat, deep, sure, torch.where(fronts.shows == FACE, 20.0, -20.0))
    best = losses.placement_loss(right, fronts)
    assert float(best["heat"]) == pytest.approx(np.log(2 * np.pi * np.e * 0.81), abs=0.05)  # the entropy of the target
    assert float(best["visible"]) < 1e-6 and float(best["face"]) < 1e-6 and float(best["depth"]) < 1e-5
    off = losses.placement_loss(Placement(heat.roll(1, dims=3), deep + 0.1, -sure, -right.face), fronts)
    assert all(float(off[name]) > float(best[name]) + 0.3 for name in best)


def test_training_learns_and_repeats_itself(whole):
    data = columns(fronts_of(whole, np.random.default_rng(10), 64))

    def trained():
        torch.manual_seed(0)
        seen = []
        network = fit(PointPlacer(len(POINT_NAMES)), data, 6, 0, lambda done, of, terms: seen.append(terms["heat"]))
        return network.state_dict(), seen

    (one, losses_one), (other, losses_other) = trained(), trained()
    assert losses_one == losses_other and all(torch.equal(one[name], other[name]) for name in one)
    assert losses_one[-1] < losses_one[0] - 0.05
