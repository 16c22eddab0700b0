"""FLM-CNN is what is known of its paper: retina-like footprints, no frame of the face, a maximum over rotations."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fer3d.data.tree_batch import TreeNormalisation, mirror, stack_trees, stencils_of
from fer3d.data.tree_samples import flattened
from fer3d.errors import ArgumentError
from fer3d.landmarks import SCHEMES, other_side
from fer3d.models import build_model, network_class
from fer3d.models.face_grid import FaceGrid
from fer3d.ops import manifold_conv
from fer3d.ops.retina import RINGS, SPREAD, retina_footprints, single_samples, spread_kernel
from fer3d.scan import Scan
from tests.prepared_trees import FAR, MARKED, marked, surface, tree_of

STENCIL = tuple(ring / 6 for ring in range(1, 7))
SCALE = TreeNormalisation(("shape_index", "curvedness", "mean", "gaussian"), (0.6, 0.4, 0.1, 0.0), (0.25,) * 4)


@functools.cache
def trees(landmarks=True):
    scans = [surface(number, kind) for number in (0, 1) for kind in (0, 3)]
    return [tree_of(marked(scan), MARKED) if landmarks else tree_of(scan, FAR) for scan in scans]


def half(tree_settings):
    """A surface whose left half is missing, with the landmarks of the whole."""
    scan = marked(surface())
    keep = scan.vertices[:, 0] < 12.0
    return tree_of(scan.kept(keep, "half"), tree_settings)


def batch_of(*some):
    return SCALE.apply(stack_trees(some).rows(torch.arange(len(some))))


def network_for(some, model="flm-cnn", **own):
    """With random weights, and statistics of a batch as training leaves them."""
    kind = network_class(model)
    shape = {**stencils_of(some[0]), "block_radii": some[0].radii, "points": some[0].sizes[-1]}
    torch.manual_seed(0)
    network = build_model(model, **kind.arguments(kind.Settings(**{"width": 8, **own}), 6, shape))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(batch_of(*some))
    return network.eval()


def turned_rays(batch, generator):
    """The batch with the zero ray of each patch of each radius moved at random, vertex by vertex."""
    indices, weights = [], []
    for rows, shares in zip(batch.indices, batch.weights, strict=True):
        B, V, S, _, A, _ = rows.shape
        turn = torch.randint(A, (B, V, S, 1, 1), generator=generator)
        order = ((torch.arange(A) + turn) % A)[..., None].expand(rows.shape)
        indices.append(rows.gather(4, order))
        weights.append(shares.gather(4, order))
    return batch._replace(indices=tuple(indices), weights=tuple(weights))


# ---- human-vision-inspired pooling


def places(rings, rays):
    angle = np.arange(rays) * 2 * np.pi / rays
    return np.multiply.outer(rings, np.stack([np.cos(angle), np.sin(angle)], axis=-1))


def test_a_footprint_is_a_gaussian_of_half_its_distance_from_the_centre():
    shares = retina_footprints(STENCIL, 16).double().numpy()
    assert shares.shape == (3, 8, 6, 16)
    edges = np.concatenate([[0.5], np.arange(1, 6) + 0.5, [6.5]])  # half-way between rings, in sixths
    areas = np.diff(edges**2)[:, None]
    samples, centres = places(np.array(STENCIL), 16), places(np.array(RINGS), 8)
    for i, ring in enumerate(RINGS):
        for j in range(8):
            away = np.linalg.norm(samples - centres[i, j], axis=-1)
            covered = shares[i, j] > 0
            np.testing.assert_array_equal(covered, away < 2 * SPREAD * ring + 1e-9)
            logs = np.log(shares[i, j] / areas, where=covered, out=np.zeros_like(away))[covered]
            slope, _ = np.polyfit(away[covered] ** 2, logs, 1)
            assert slope == pytest.approx(-1 / (2 * (SPREAD * ring) ** 2), rel=1e-5)
    assert SPREAD == 0.5


def test_footprints_grow_with_eccentricity_and_are_small_at_the_centre():
    shares, samples = retina_footprints(STENCIL, 16).double().numpy(), places(np.array(STENCIL), 16)
    widths, counts = [], []
    for i in range(3):
        middle = (shares[i, 0, ..., None] * samples).sum((0, 1))
        widths.append(np.sqrt((shares[i, 0] * ((samples - middle) ** 2).sum(-1)).sum()))
        counts.append(int((shares[i, 0] > 0).sum()))
    assert widths[1] > 1.9 * widths[0]
    assert widths[2] > 1.4 * widths[1]  # the stencil ends in the middle of the outermost
    assert counts[0] < counts[1] < counts[2]
    np.testing.assert_allclose(shares.sum((2, 3)), 1.0, atol=1e-6)


def test_a_turned_stencil_has_turned_bins():
    shares = retina_footprints(STENCIL, 16)
    torch.testing.assert_close(shares.roll(2, dims=3), shares.roll(-1, dims=1), atol=1e-7, rtol=0)


@pytest.mark.parametrize("single", [False, True])
def test_a_spread_kernel_is_pooling_and_then_the_kernel(single):
    """Of a patch that is measured everywhere; the largest answer is over all 16 rotations of the stencil."""
    torch.manual_seed(0)
    shares = single_samples(6, 16, (1, 3, 5)) if single else retina_footprints(STENCIL, 16)
    x, kernel = torch.randn(1, 40, 3), torch.randn(3, 8, 3, 5)
    indices = torch.randint(40, (1, 7, 6, 16, 3), dtype=torch.int32)
    weights = torch.rand(1, 7, 6, 16, 3).softmax(-1)
    fine = (x[0][indices[0].long()] * weights[0, ..., None]).sum(-2)  # (V, R, A, C)
    answers = []
    for turn in range(16):
        pooled = torch.einsum("ijra,vrac->vijc", shares, fine.roll(turn, dims=2))
        answers.append(torch.einsum("vijc,ijco->vo", pooled, kernel))
    found = manifold_conv(x, indices, weights, spread_kernel(kernel, shares))
    torch.testing.assert_close(found[0], torch.stack(answers).amax(0), atol=1e-5, rtol=1e-5)


def test_what_is_wrong_with_footprints_is_said():
    with pytest.raises(ArgumentError, match="`bins` should divide the 12 rays of the stencil, is 8"):
        retina_footprints(STENCIL, 12)
    with pytest.raises(ArgumentError, match="`stencil` should hold ascending distances above zero, holds"):
        retina_footprints((0.5, 0.5), 16)
    with pytest.raises(ArgumentError, match=r"has no sample in the bins of the ring at 0\.25"):
        retina_footprints((0.9, 1.0), 16)
    with pytest.raises(ArgumentError, match=r"`taken` should hold rings in \[0, 6\), holds \[6\]"):
        single_samples(6, 16, [6])


# ---- rotation


@pytest.mark.parametrize("landmarks", [True, False])
@pytest.mark.parametrize("own", [{}, {"hvp": False}, {"mes": False}], ids=["all", "no-hvp", "no-mes"])
def test_it_does_not_matter_where_a_patch_counts_its_rays_from(landmarks, own):
    """Zero rays shifted at random, vertex by vertex: no frame of the face and no fixed reference ray."""
    some = trees(landmarks)
    network, whole = network_for(some, **own), batch_of(*some)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        still = network(whole)
        assert still.std(dim=0).max() > 0.01
        for _ in range(3):
            torch.testing.assert_close(network(turned_rays(whole, generator)), still, rtol=0, atol=1e-5)


@pytest.mark.parametrize("settings", [MARKED, FAR], ids=["landmarks", "far"])
def test_nor_where_half_of_the_face_is_missing(settings):
    some = trees(settings is MARKED)
    network, part = network_for(some), batch_of(half(settings))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        still = network(part)
        assert (still - network(batch_of(some[0]))).abs().max() > 1e-3  # it is seen that half is missing
        torch.testing.assert_close(network(turned_rays(part, generator)), still, rtol=0, atol=1e-5)


def test_surface_grid_does_depend_on_it():
    """The test can fail: the network of ours counts rays from the nose tip."""
    some = trees(landmarks=False)
    network, whole = network_for(some, "surface-grid"), batch_of(*some)
    with torch.no_grad():
        moved = network(turned_rays(whole, torch.Generator().manual_seed(0)))
        assert (moved - network(whole)).abs().max() > 1e-3


def test_positions_and_normals_are_not_read():
    some = trees()
    network, whole = network_for(some), batch_of(*some)
    blind = whole._replace(positions=torch.full_like(whole.positions, torch.nan), normals=whole.normals * torch.nan)
    with torch.no_grad():
        assert torch.equal(network(blind), network(whole))


@pytest.mark.parametrize("landmarks", [True, False])
def test_a_mirror_image_is_what_the_tree_of_the_mirrored_scan_gives(landmarks):
    settings, scan = (MARKED, marked(surface())) if landmarks else (FAR, surface())
    points = {other_side(name): point * [-1.0, 1.0, 1.0] for name, point in scan.landmarks.items()}
    flipped = Scan.of(scan.vertices * [-1.0, 1.0, 1.0], scan.faces[:, ::-1].copy(), landmarks=points)
    some = trees(landmarks)
    network = network_for(some)
    with torch.no_grad():
        one, two = network(batch_of(tree_of(flipped, settings))), network(SCALE.mirrored(batch_of(some[0])))
        assert (network(batch_of(some[0])) - two).abs().max() > 5 * (one - two).abs().max()
        back = SCALE.mirrored(SCALE.mirrored(batch_of(some[0])))
        torch.testing.assert_close(network(back), network(batch_of(some[0])))


def test_a_mirror_exchanges_the_landmarks_of_both_sides():
    batch = stack_trees(trees()[:2])
    order = mirror(batch, torch.tensor([False, True])).order
    assert order[0].tolist() == list(range(68))
    names = SCHEMES["ibug68"]
    assert [names[row] for row in order[1].tolist()] == [other_side(name) for name in names]


# ---- layers


def test_the_layers_are_those_of_the_reconstruction():
    """Learned kernels of 3 x 8 bins and a centre, three radii a block; nothing of the grid or of fixed filters."""
    stencils = {"rings": STENCIL, "rays": 16, "block_radii": [[3.0, 6.0, 12.0]] * 3, "radii": [[3.0, 6.0, 12.0]] * 3}
    named = build_model("flm-cnn", **stencils, points=68, landmarks=True)
    shapes = [tuple(kernel.shape) for block in named.blocks for kernel in block.kernels]
    assert shapes == [(3, 8, 16, 32)] * 3 + [(3, 8, 32, 64)] * 3 + [(3, 8, 64, 128)] * 3
    assert all(kernel.requires_grad for block in named.blocks for kernel in block.kernels)
    assert named.encode[0].in_features == 68 * 128
    assert not any(isinstance(module, FaceGrid) for module in named.modules())
    count = sum(parameter.numel() for parameter in named.parameters())
    kernels = sum(kernel.numel() for block in named.blocks for kernel in block.kernels)
    head = 68 * 128 * 256 + 256 + 256 * 6 + 6
    assert kernels == 24 * 3 * (16 * 32 + 32 * 64 + 64 * 128)
    assert count - head == 872_800 and count == 3_102_822
    plain = build_model("flm-cnn", **stencils, points=68)
    assert plain.encode[0].in_features == 2 * 128
    assert sum(parameter.numel() for parameter in plain.parameters()) == 940_134


def test_the_variants_have_as_many_kernels():
    """The rivals of an ablation have equal inputs, points and read-out."""
    some = trees()
    counts = {}
    for name, own in {"all": {}, "mes": {"mes": False}, "hvp": {"hvp": False}}.items():
        counts[name] = sum(p.numel() for block in network_for(some, **own).blocks for p in block.kernels)
    assert len(set(counts.values())) == 1


def test_on_one_level_nothing_but_the_levels_is_missing():
    """Without the tree: the same points, radii, weights and read-out, and more memory."""
    scan, tree = marked(surface()), trees()[0]
    settings = network_class("flm-cnn").Settings(tree=False, width=8)
    flat = flattened(tree, scan.vertices, scan.faces, settings.levels, settings.flat_radii(tree.radii))
    assert flat.sizes == (tree.sizes[0],) * 2
    assert flat.radii == ((4.0, 8.0, 16.0, 32.0, 64.0),)
    np.testing.assert_array_equal(flat.positions, tree.positions)
    np.testing.assert_array_equal(flat.channels, tree.channels)
    assert stack_trees([flat]).nbytes > 2 * stack_trees([tree]).nbytes
    whole = network_for(trees())
    shape = {**stencils_of(flat), "block_radii": tree.radii, "points": 68}
    one = build_model("flm-cnn", **network_class("flm-cnn").arguments(settings, 6, shape)).eval()
    assert [block.scales for block in one.blocks] == [(0, 1, 2), (1, 2, 3), (2, 3, 4)]
    one.load_state_dict(whole.state_dict())
    with torch.no_grad():
        assert one.point_features(batch_of(flat)).shape == whole.point_features(batch_of(tree)).shape
        generator = torch.Generator().manual_seed(0)
        still = one(batch_of(flat))
        torch.testing.assert_close(one(turned_rays(batch_of(flat), generator)), still, rtol=0, atol=1e-5)


def test_the_baseline_reads_the_same_points():
    scan, tree = marked(surface()), trees()[0]
    settings = network_class("gcnn").Settings(width=4)
    flat = flattened(tree, scan.vertices, scan.faces, settings.levels, settings.flat_radii(tree.radii))
    np.testing.assert_array_equal(flat.positions, tree.positions)
    shape = {**stencils_of(flat), "block_radii": tree.radii, "points": 68}
    network = build_model("gcnn", **network_class("gcnn").arguments(settings, 6, shape))
    assert flat.radii[0] == (8.0, 16.0, 32.0) and network.scales == [0, 1, 2]
    assert network.features(batch_of(flat)).shape == (1, 68 * 16)


@pytest.mark.parametrize("landmarks", [True, False])
def test_every_weight_gets_a_gradient(landmarks):
    some = trees(landmarks)
    network = network_for(some, dropout=0.0).train()
    nn.functional.cross_entropy(network(batch_of(*some)), torch.tensor([0, 1, 2, 3])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_trees_that_do_not_fit_are_refused_with_what_to_type():
    tree = tree_of(surface())
    shape = {**stencils_of(tree), "block_radii": tree.radii, "points": tree.sizes[-1]}
    with pytest.raises(
        ArgumentError, match="levels with 16; prepare them again: fer3d preprocess SCANS -o NEW_FOLDER "
    ):
        build_model("flm-cnn", **shape)
    with pytest.raises(
        ArgumentError, match="should have trees of 4 levels with 68 points at the top, .* 3 levels with"
    ):
        build_model("flm-cnn", **shape)
    few = {**stencils_of(trees()[0]), "block_radii": trees()[0].radii, "points": 68}
    with pytest.raises(
        ArgumentError, match="stencils of 3 or more rings and a multiple of 8 rays, has 6 and 12; prepa"
    ):
        build_model("flm-cnn", **{**few, "rays": 12})
    with pytest.raises(ArgumentError, match="`trees` of landmarks should have 68 at the top, one has 16 points"):
        stack_trees([replace(tree, landmarks=True)])
    network = network_for(trees())
    with pytest.raises(ArgumentError, match="`batch` should have trees whose top level is landmarks"):
        network(batch_of(*trees(landmarks=False)))
