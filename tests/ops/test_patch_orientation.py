"""Orientation energy in patches of a surface, and the grid on the face that its cells are read from."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fer3d.errors import ArgumentError
from fer3d.models.face_grid import REACH, SPREAD, FaceGrid
from fer3d.ops.patch_orientation import _energies, _energies_in_torch, patch_orientation
from tests.prepared_trees import surface, tree_of
from tests.reference import patch_orientation as reference

DISTANCES = ((1.0, 2.5, 4.0), (2.0, 3.0, 8.0))


def random_case(seed, count=40, patches=7, rays=5, channels=3, masked=0.1):
    random = np.random.default_rng(seed)
    x = random.normal(size=(2, count, channels)).astype(np.float32)
    shape = (2, patches, 2, 3, rays, 3)
    weights = random.dirichlet((1, 1, 1), shape[:-1]).astype(np.float32)
    weights[random.random(shape[:-1]) < masked] = 0
    weights[1, 2, 0] = 0
    indices = random.integers(0, count, shape).astype(np.int32)
    angle = random.uniform(-np.pi, np.pi, (2, patches)).astype(np.float32)
    return [torch.from_numpy(part) for part in (x, indices, weights, angle)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("directions", [2, 8])
def test_it_is_its_definition(seed, directions):
    case = random_case(seed)
    made = patch_orientation(*case, DISTANCES, directions)
    wanted = np.stack(
        [reference.patch_orientation(*(part[b].numpy() for part in case), DISTANCES, directions) for b in range(2)]
    )
    assert made.shape == (2, 7, 2, 3, directions)
    np.testing.assert_allclose(made, wanted, atol=2e-6 * wanted.max())
    assert (made[1, 2, 0] == 0).all() and made[1, 2, 1].max() > 0


@pytest.mark.parametrize("seed", range(3))
def test_what_a_gpu_does_is_the_same(seed):
    case = random_case(seed, masked=0.3)
    flat = [distance for row in DISTANCES for distance in row]
    made = _energies_in_torch(*case, flat, 8)
    torch.testing.assert_close(made, patch_orientation(*case, DISTANCES), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu():
    case = random_case(0)
    made = patch_orientation(*(part.cuda() for part in case), DISTANCES)
    torch.testing.assert_close(made.cpu(), patch_orientation(*case, DISTANCES), rtol=1e-4, atol=1e-5)


def test_threads_change_no_bit():
    case, threads = random_case(5), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = patch_orientation(*case, DISTANCES)
        torch.set_num_threads(3)
        assert torch.equal(patch_orientation(*case, DISTANCES), one)
    finally:
        torch.set_num_threads(threads)


def flat_patch(slope, rays=16, scale=1.0):
    """A patch of a plane with the channel slope . (x, y): all bins are vertices of their own, ray 0 along x."""
    distances = tuple(scale * d for d in (1.0, 2.0, 3.0, 4.0))
    turn = 2 * np.pi * np.arange(rays) / rays
    points = [np.zeros((1, 2)), *(d * np.stack([np.cos(turn), np.sin(turn)], axis=1) for d in distances)]
    x = torch.from_numpy(np.concatenate(points) @ np.asarray(slope)).float()[None, :, None]
    indices = torch.zeros(1, 1, 1, 4, rays, 3, dtype=torch.int32)
    indices[..., 0] = 1 + torch.arange(4 * rays, dtype=torch.int32).view(4, rays)
    weights = torch.zeros(indices.shape)
    weights[..., 0] = 1.0
    return x, indices, weights, torch.zeros(1, 1), (distances,)


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
@pytest.mark.parametrize("angle", [0.0, 0.7, -2.9])
@pytest.mark.parametrize("zero", [0.0, 0.4])
def test_a_slope_has_its_direction_and_its_strength(scale, angle, zero):
    slope = 0.3 * np.array([np.cos(angle), np.sin(angle)])
    x, indices, weights, turned, distances = flat_patch(slope, 64, scale)
    (made,) = patch_orientation(x, indices, weights, turned + zero, distances)[0, 0, 0]
    sides = math.sin(2 * math.pi / 64) / (2 * math.pi / 64)  # of a difference between rays that lie apart
    for k, found in enumerate(made.tolist()):
        wanted = 0.3 * max(math.cos(angle - zero - 2 * math.pi * k / 8), 0.0) ** 4
        assert found == pytest.approx(wanted, abs=0.3 * 4 * (1 - sides) + 1e-6)


def test_bins_beside_a_hole_do_not_count():
    x, indices, weights, turned, distances = flat_patch((1.0, 0.0))
    whole = patch_orientation(x, indices, weights, turned, distances)
    wild = x.clone()
    wild[0, indices[0, 0, 0, 2, 5, 0]] = 1e6
    weights[0, 0, 0, 2, 5] = 0
    torch.testing.assert_close(patch_orientation(wild, indices, weights, turned, distances), whole, rtol=0, atol=0.02)


def test_a_turned_scan_has_the_same_energies():
    """With channels that turn with it; the direction that counts is fixed to the surface."""
    turn = Rotation.from_euler("xyz", (40, -60, 15), degrees=True).as_matrix()
    scan = surface()
    one, two = tree_of(scan), tree_of(type(scan).of(scan.vertices.astype(float) @ turn.T, scan.faces))
    found = []
    for tree in (one, two):
        x = torch.from_numpy(tree.channels[:, 2:3].copy()).nan_to_num()[None]
        distances = [[radius * ring for ring in tree.rings] for radius in tree.radii[0]]
        stencil = (torch.from_numpy(tree.indices[0].astype(np.int32))[None], torch.from_numpy(tree.weights[0])[None])
        angle = torch.zeros(1, len(tree.indices[0]))
        found.append(patch_orientation(x, stencil[0], stencil[1].float(), angle, distances))
    assert found[0].max() > 1e-3
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=2e-2 * float(found[0].max()))


def test_the_op_is_a_good_citizen():
    case = random_case(0)
    flat = [distance for row in DISTANCES for distance in row]
    torch.library.opcheck(_energies, (*case, flat, 8), test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(x=c["x"].double()), "`x` should have dtype torch.float32, has torch.float64"),
        (lambda c: c.update(indices=c["indices"].long()), "`indices` should have dtype torch.int32, has torch.int64"),
        (lambda c: c.update(weights=c["weights"][:, :3]), "`weights` should have shape"),
        (lambda c: c.update(angle=c["angle"][:1]), "`angle` should have shape"),
        (lambda c: c.update(x=c["x"][:, :5]), "`indices` should have at most 5 patches of 3 or more rays, has 7 of 5"),
        (lambda c: c["indices"].fill_(40), r"`indices` should hold rows in \[0, 40\), scan 0 has others"),
        (lambda c: c["indices"].fill_(-1), r"`indices` should hold rows in \[0, 40\), scan 0 has others"),
        (lambda c: c.update(distances=DISTANCES[:1]), "`distances` should be 2 times 3 ascending distances"),
        (lambda c: c.update(distances=((1, 1, 2), (1, 2, 3))), "`distances` should be 2 times 3 ascending distances"),
        (lambda c: c.update(distances=((0, 1, 2), (1, 2, 3))), "`distances` should be 2 times 3 ascending distances"),
        (lambda c: c.update(directions=7), "`directions` should be an even number, is 7"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    case = dict(zip(("x", "indices", "weights", "angle"), random_case(0), strict=True), distances=DISTANCES)
    change(case)
    with pytest.raises(ArgumentError, match=message):
        patch_orientation(**case)


@pytest.mark.parametrize("angles", [(0, 0, 0), (25, -80, 10)])
def test_the_grid_is_its_definition(angles):
    random, grid = np.random.default_rng(3), FaceGrid(5)
    points = random.uniform(-70, 70, (30, 3))
    frame = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    values = random.normal(size=(30, 2))
    real = np.arange(30) < 27
    places = torch.from_numpy(points @ frame + [5.0, 6.0, -400.0]).float()[None]  # turned: rows of `frame` are the axes
    weights = grid.weights(places, torch.from_numpy(frame).float()[None], torch.from_numpy(real)[None])
    made = grid(torch.from_numpy(values).float()[None], weights)[0]
    away = points - points[0]
    pitch = 2 * REACH / 5
    for row in range(5):
        for column in range(5):
            total, count = np.zeros(2), 0.0
            for p, value in zip(away[:27], values[:27], strict=True):
                flat = np.hypot(*p[:2])
                x, y = p[:2] * (np.linalg.norm(p) / flat if flat else 1.0)
                gap = np.hypot(x - (column - 2) * pitch, y - (2 - row) * pitch) / (SPREAD * pitch)
                total, count = total + math.exp(-0.5 * gap**2) * value, count + math.exp(-0.5 * gap**2)
            np.testing.assert_allclose(made[:, row, column], total / max(count, 0.05), atol=1e-5)


def test_an_empty_cell_is_zero():
    grid = FaceGrid(8)
    weights = grid.weights(torch.zeros(1, 4, 3), torch.eye(3)[None], torch.ones(1, 4, dtype=torch.bool))
    made = grid(torch.ones(1, 4, 1), weights)[0, 0]
    assert 0 <= made[0, 0] < 1e-9
    assert made[3:5, 3:5].min() > 0.99
