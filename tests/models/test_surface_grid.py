"""Surface-grid and the plain GCNN: what they may not see, what each switch changes, that they learn, run and resume."""

import filecmp
import functools
import itertools
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy.spatial import Delaunay
from scipy.spatial.transform import Rotation
from torch import nn
from torch.nn import functional

from fer3d import synth
from fer3d.config import PreprocessSettings, TrainSettings
from fer3d.data.augment_trees import augment, draw
from fer3d.data.input_kinds import PreparedFace
from fer3d.data.samples import labelled_rows
from fer3d.data.tree_batch import TreeNormalisation, mirror, stack_trees, stencils_of
from fer3d.data.tree_samples import flattened, load_trees
from fer3d.errors import ArgumentError, ConfigError
from fer3d.formats import read
from fer3d.maps import vertex_normals
from fer3d.maps.render import render_maps
from fer3d.models import build_model, network_class
from fer3d.models.face_grid import face_frame
from fer3d.models.surface_grid import SurfaceGrid
from fer3d.models.surface_layers import patch_layout
from fer3d.prepare.scan import prepare_with_tree
from fer3d.scan import Scan
from fer3d.train.checkpoint import load_model
from fer3d.train.objective import ClassLoss, Objective
from fer3d.train.plan import Experiment
from fer3d.train.run import Callbacks, Device, train
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import train_settings
from fer3d.tree.one_level import one_level
from fer3d.tree.sample_tree import SampleTree
from tests.commands import fer3d
from tests.prepared import SIX, write_prepared
from tests.prepared_trees import SETTINGS, surface, tree_of, write_prepared_trees
from tests.train.test_run import CPU

QUICK = ("model.width=4", "epochs=2", "batch=6")
INVARIANT = TreeNormalisation(("shape_index", "curvedness", "mean", "gaussian"), (0.6, 0.4, 0.1, 0.0), (0.25,) * 4)


def batch_of(*trees):
    return INVARIANT.apply(stack_trees(trees).rows(torch.arange(len(trees))))


@functools.cache
def others():
    """Six surfaces of two people and their trees."""
    scans = [surface(number, kind) for number in (0, 1) for kind in (0, 2, 4)]
    return [(scan, tree_of(scan)) for scan in scans]


def network_for(tree, model="surface-grid", classes=6, **changed):
    """With random weights, and statistics of a batch as training leaves them."""
    kind = network_class(model)
    settings = kind.Settings(**{"width": 4, **changed})
    torch.manual_seed(0)
    first = read_by(settings, *others()[0])
    shape = {**stencils_of(first), "block_radii": tree.radii, "points": tree.sizes[-1]}
    network = build_model(model, **kind.arguments(settings, classes, shape))
    return settled(network, batch_of(*(read_by(settings, *pair) for pair in others())))


def read_by(settings, scan, tree):
    """What a network with these settings reads of a tree."""
    if settings.levels == "all":
        return tree
    return flattened(tree, scan.vertices, scan.faces, settings.levels, settings.flat_radii(tree.radii))


def objective(labels):
    """Cross entropy of six classes, without smoothing."""
    return Objective(ClassLoss(torch.ones(6)), labels, labels)


def settled(network, batch):
    """The network with the statistics of a batch, ready to predict."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(batch)
    return network.eval()


@pytest.fixture(scope="module")
def tree():
    return tree_of(surface())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared_trees(tmp_path_factory.mktemp("grid") / "prepared")


@pytest.mark.parametrize(("model", "rotation"), [("surface-grid", "fixed"), ("surface-grid", "max"), ("gcnn", None)])
@pytest.mark.parametrize("angles", [(90, 0, 0), (0, -90, 0), (35, 70, -160)])
def test_a_rigid_motion_of_the_scan_changes_nothing(tree, model, rotation, angles):
    scan, turn, shift = surface(), Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), [31.0, -7.0, 250.0]
    moved = Scan.of(scan.vertices.astype(float) @ turn.T + shift, scan.faces)
    network = network_for(tree, model, **({} if model == "gcnn" else {"rotation": rotation}))
    other = tree_of(moved, nose=shift)
    settings = network_class(model).Settings()
    pair = read_by(settings, scan, tree), read_by(settings, moved, other)
    one, two = (network(batch_of(read)) for read in pair)
    assert one.std() > 0.01
    torch.testing.assert_close(one, two, rtol=0, atol=1e-3)


def test_other_orders_of_vertices_and_faces_change_nothing(tree):
    scan, random = surface(), np.random.default_rng(1)
    order = random.permutation(len(scan.vertices))
    place = np.argsort(order)
    faces = place[scan.faces][random.permutation(len(scan.faces))]
    faces = np.take_along_axis(faces, (np.arange(3) + random.integers(0, 3, (len(faces), 1))) % 3, axis=1)
    other = tree_of(Scan.of(scan.vertices[order], faces))
    network = network_for(tree)
    torch.testing.assert_close(network(batch_of(tree)), network(batch_of(other)), rtol=0, atol=1e-3)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Simulated scans as preprocessing leaves them, noise, lips and boundary included, and their trees: of three
    people."""
    folder = tmp_path_factory.mktemp("faces")
    synth.make(folder, subjects=3, seed=3, levels=(4,))
    people = sorted(path for path in folder.iterdir() if path.is_dir())
    paths = [next(person.rglob(f"*_{label}0*_F3D.wrl")) for person in people for label in ("NE", "HA", "SU", "FE")]
    scans = [prepare_with_tree(read(path), WHOLE.model_copy(update={"tree": False}))[0] for path in paths]
    return [(scan, tree_of(scan, WHOLE)) for scan in scans]


WHOLE = PreprocessSettings(maps=("depth",), size=32, tree=True)  # trees of the default settings


@pytest.mark.parametrize("rotation", ["fixed", "max"])
def test_scans_of_faces_moved_and_renumbered_give_the_same_logits(faces, rotation):
    """Of a network that has learned to tell them. Coordinates are rounded to float32 300 mm from where they were.

    Farthest points are a race: where two vertices are as far to the last bits, the rounding decides it, and every later
    point may be another. That happens to one of these scans at most; its logits are near the others' all the same.
    """
    races = 0
    trees = [tree for _, tree in faces]
    rows = torch.arange(len(trees))
    stacked = stack_trees(trees).rows(rows)
    scale = TreeNormalisation.fit(INVARIANT.channels, stacked, rows)
    torch.manual_seed(0)
    settings = TrainSettings()
    arguments = SurfaceGrid.arguments(SurfaceGrid.Settings(rotation=rotation), 4, stencils_of(trees[0]))
    network = build_model("surface-grid", **arguments)
    optimizer, labels, generator = torch.optim.AdamW(network.parameters(), 2e-3), rows % 4, torch.Generator()
    for _ in range(50):
        drawn = draw(settings, len(rows), stacked.values.shape[1], generator)
        answer = network.losses(scale.apply(augment(stacked, drawn)), objective(labels)).outputs
        loss = functional.cross_entropy(answer, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        still = network(scale.apply(stacked))
        assert (still.argmax(1) == labels).sum() >= 10 and still.std() > 0.5
        for number, (scan, _) in enumerate(faces[:4]):
            random = np.random.default_rng(number)
            order = random.permutation(len(scan.vertices))
            corners = np.argsort(order)[scan.faces][random.permutation(len(scan.faces))]
            corners = np.take_along_axis(corners, (np.arange(3) + random.integers(0, 3, (len(corners), 1))) % 3, axis=1)
            turn, shift = Rotation.random(random_state=number).as_matrix(), random.uniform(-300, 300, 3)
            moved = scan.vertices[order].astype(float) @ turn.T + shift
            for other, nose in (
                (Scan.of(scan.vertices[order], corners), (0, 0, 0)),
                (Scan.of(moved, corners), shift),
            ):
                grown = tree_of(other, WHOLE, nose)
                race = set(order[grown.rows].tolist()) != set(faces[number][1].rows.tolist())
                assert not race or nose is shift  # another order of the vertices never changes the points
                races += race
                made = network(scale.apply(stack_trees([grown]).rows(torch.arange(1))))
                torch.testing.assert_close(made[0], still[number], rtol=0, atol=0.1 if race else 1e-3)
    assert races <= 1


def test_stored_trees_of_faces_are_small_and_feed_the_same(faces):
    for _, tree in faces[:4]:
        assert tree.nbytes <= 1.5e6
        stored = SampleTree.from_arrays(tree.arrays(), tree.facts())
        for one, two in zip(stack_trees([stored]), stack_trees([tree]), strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize("angles", [(0, 0, 0), (20, -75, 130)])
def test_the_frame_of_a_face_turns_with_it(angles):
    """A face with a ridge that runs up from the nose tip and a steep end below it."""
    shape = nosed()
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    points = torch.from_numpy(shape.vertices.astype(float) @ turn.T).float()[None]
    normals = torch.from_numpy(vertex_normals(shape).astype(float) @ turn.T).float()[None]
    frame = face_frame(points, normals)[0]
    torch.testing.assert_close(frame @ frame.mT, torch.eye(3), atol=1e-5, rtol=0)
    seen = frame @ torch.from_numpy(turn).float()
    assert torch.rad2deg(seen.diagonal().clamp(max=1).acos()).max() < 15
    still = face_frame(*(torch.from_numpy(a)[None] for a in (shape.vertices, vertex_normals(shape))))[0]
    torch.testing.assert_close(seen, still, atol=1e-4, rtol=0)


def nosed():
    x, y = (part.ravel() for part in np.meshgrid(np.linspace(-70, 70, 57), np.linspace(-70, 70, 57)))
    order = np.argsort(np.hypot(x, y), kind="stable")
    x, y = x[order], y[order]
    fall = np.where(y > 0, y / 45.0, -y / 9.0)
    z = 22.0 * np.exp(-((x / 11.0) ** 2) - fall**2) - (1.6 * x**2 + 0.6 * y**2) / 200.0
    points = np.stack([x, y, z - z[0]], axis=1)
    faces = Delaunay(points[:, :2]).simplices.astype(np.int32)
    a, b, c = (points[faces[:, k]] for k in range(3))
    turned = np.cross(b - a, c - a)[:, 2] < 0
    return Scan.of(points, np.where(turned[:, None], faces[:, ::-1], faces))


def test_xyz_inputs_see_a_turn(tree):
    scan, turn = surface(), Rotation.from_euler("y", 60, degrees=True).as_matrix()
    network = network_for(tree)
    with torch.no_grad():
        xyz = build_model("surface-grid", **stencils_of(tree), width=4, vertex_features="xyz").eval()
    assert next(iter(xyz.blocks[0].kernels)).shape[2] == 7
    names = ("x", "y", "z", "normal_x", "normal_y", "normal_z", "shape_index")
    scale = TreeNormalisation(names, (0.0,) * 7, (30.0,) * 3 + (1.0,) * 4)
    turned = tree_of(Scan.of(scan.vertices.astype(float) @ turn.T, scan.faces))
    one, two = (xyz(scale.apply(stack_trees([t]).rows(torch.arange(1)))) for t in (tree, turned))
    assert (one - two).abs().max() > 3e-3
    torch.testing.assert_close(network(batch_of(tree)), network(batch_of(turned)), rtol=0, atol=1e-3)


def test_a_mirrored_scan_has_the_rays_in_reverse(tree):
    scan = surface()
    flipped = Scan.of(scan.vertices * [-1.0, 1.0, 1.0], scan.faces[:, ::-1].copy())
    found, wanted = stack_trees([tree_of(flipped)]), mirror(stack_trees([tree]), torch.tensor([True]))
    torch.testing.assert_close(found.positions, wanted.positions)
    torch.testing.assert_close(found.normals, wanted.normals, atol=1e-4, rtol=0)

    def places(batch, level):
        """(V, S, R, A, 3), of all vertices but the nose tip, whose ray 0 is arbitrary."""
        points = batch.positions[0][batch.indices[level][0].long()]
        return (points * batch.weights[level][0, ..., None].float()).sum(-2)[1:]

    for level in range(2):
        error = (places(found, level) - places(wanted, level)).norm(dim=-1)
        assert error.quantile(0.99) < 0.05  # mm: a sample near a cell's border may take the next triangle


def test_a_mirror_image_is_what_the_tree_of_the_mirrored_scan_gives(tree):
    scan = surface()
    flipped = tree_of(Scan.of(scan.vertices * [-1.0, 1.0, 1.0], scan.faces[:, ::-1].copy()))
    network = network_for(tree, rotation="max")  # at the nose tip itself ray 0 is arbitrary
    one, two = network(batch_of(flipped)), network(INVARIANT.mirrored(batch_of(tree)))
    torch.testing.assert_close(one, two, rtol=0, atol=2e-2)
    assert (network(batch_of(tree)) - two).abs().max() > 5 * (one - two).abs().max()
    back = INVARIANT.mirrored(INVARIANT.mirrored(batch_of(tree)))
    torch.testing.assert_close(network(back), network(batch_of(tree)))


def test_mirrored_inputs_are_those_of_the_mirrored_positions(tree):
    names = ("x", "normal_x", "y", "shape_index")
    scale = TreeNormalisation(names, (1.0, 0.5, 2.0, 0.6), (30.0, 2.0, 20.0, 0.2))
    batch = stack_trees([tree]).rows(torch.arange(1))
    one = scale.mirrored(scale.apply(batch))
    two = scale.apply(mirror(batch, torch.tensor([True])))
    torch.testing.assert_close(one.values, two.values)


def test_padding_changes_nothing(tree):
    other = tree_of(surface(1, 2, 4), SETTINGS.model_copy(update={"tree_levels": (400, 70, 12)}))
    assert all(a < b for a, b in zip(other.sizes, tree.sizes, strict=True))
    network = network_for(tree)
    together = network(batch_of(tree, other))
    torch.testing.assert_close(together, torch.cat([network(batch_of(tree)), network(batch_of(other))]))


@pytest.mark.parametrize("model", ["surface-grid", "gcnn"])
def test_every_weight_gets_a_gradient(tree, model):
    network = network_for(tree, model).train()
    trees = [tree, tree_of(surface(1, 2, 4))]
    settings = network_class(model).Settings()
    trees = [read_by(settings, *pair) for pair in zip((surface(), surface(1, 2, 4)), trees, strict=True)]
    made = network.losses(batch_of(*trees), objective(torch.tensor([0, 0])))
    auxiliary = [] if model == "gcnn" else [f"auxiliary.{number}" for number in range(3)]  # of the filters, two blocks
    assert list(made.terms) == ["classification", *auxiliary]
    assert made.outputs.shape == (2, 6)
    sum(made.terms.values()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0 or name.startswith("head"), name


@pytest.mark.parametrize("depth", [1, 2])
def test_the_head_reads_the_features(tree, depth):
    network = network_for(tree, depth=depth)
    batch = batch_of(tree)
    torch.testing.assert_close(network.head(network.features(batch)), network(batch))
    assert len(network.blocks[0].encode) == 3 * depth


def test_it_is_light():
    stencils = {"radii": [[6.0, 12.0, 24.0]] * 3, "rings": [k / 6 for k in range(1, 7)], "rays": 16}
    assert sum(p.numel() for p in build_model("surface-grid", **stencils).parameters()) < 3e6


def test_switches_change_what_they_should(tree):
    shapes = {}
    for mes, hvp in itertools.product((True, False), repeat=2):
        network = network_for(tree, mes=mes, hvp=hvp)
        shapes[mes, hvp] = [tuple(kernel.shape) for block in network.blocks for kernel in block.kernels]
        assert all(block.layout == patch_layout(6, 16, hvp) for block in network.blocks)
        assert [block.scales for block in network.blocks] == [(0, 1, 2) if mes else (1,)] * 2
    assert shapes[True, True] == shapes[True, False]
    assert len(shapes[False, True]) == 2
    assert shapes[False, True][0][-1] == 3 * shapes[True, True][0][-1]
    wide, plain = patch_layout(6, 16, True), patch_layout(6, 16, False)
    assert [stop - start for start, stop in wide.rings] == [1, 2, 3]  # a footprint that grows outwards
    assert [stop - start for start, stop in plain.rings] == [1, 1, 1]


def test_single_samples_are_taken_where_the_rays_are_as_many_as_those_of_a_patch():
    lean = SETTINGS.model_copy(update={"tree_rays": 8})
    trees = [tree_of(surface(number, kind), lean) for number in (0, 1) for kind in (0, 3)]
    network = build_model("surface-grid", **stencils_of(trees[0]), width=4, hvp=False)
    assert (network.filters.step, network.filters.taken) == (1, [1, 3, 5])
    assert torch.isfinite(settled(network, batch_of(*trees))(batch_of(trees[0]))).all()


def test_one_level_leads_to_its_own_vertices(tree):
    scan = surface()
    flat = one_level(tree, scan.vertices, scan.faces)
    count = tree.sizes[1]
    assert flat.sizes == (count, count)
    assert flat.radii == (tree.radii[1],)
    assert flat.indices[0].shape == (count, 3, 6, 16, 3)
    assert flat.indices[0].max() < count
    total = flat.weights[0].astype(np.float32).sum(axis=-1)
    assert np.isin(total.round(2), (0, 1)).all()
    assert (total > 0).mean() > 0.5
    np.testing.assert_array_equal(flat.channels[0], tree.channels[0])
    points = (flat.positions[flat.indices[0]] * flat.weights[0][..., None]).sum(-2)
    away = np.linalg.norm(points - flat.positions[:, None, None, None], axis=-1)
    assert np.nanmedian(np.where(total > 0, away, np.nan)[:, 0, 2] / (0.5 * flat.radii[0][0])) < 1.3


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, as inductor loads
@pytest.mark.parametrize("rotation", ["fixed", "max"])
def test_it_compiles_without_a_break(tree, rotation):
    still = {"dropout": 0.0, "location_dropout": 0.0, "map_dropout": 0.0}
    network, batch = network_for(tree, rotation=rotation, **still), batch_of(tree, others()[1][1])
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(batch), network(batch))
    criterion = objective(torch.zeros(len(batch.values), dtype=torch.int64))

    def loss():
        return sum(network.losses(batch, criterion).terms.values())

    def gradients(of):
        network.train()
        return torch.autograd.grad(of(), list(network.parameters()))

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for one, two in zip(gradients(compiled), gradients(loss), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5 * (1 + float(two.abs().max())))


def test_augmentation_keeps_normals_normal(tree):
    settings = TrainSettings(bend_mm=3.0, stretch=0.2, rotate_deg=40.0, mirror=1.0, noise_mm=0.0)
    batch = stack_trees([tree] * 2).rows(torch.arange(2))
    drawn = draw(settings, 2, batch.values.shape[1], torch.Generator().manual_seed(0))
    made = augment(batch, drawn)
    for number in range(2):
        scan = Scan.of(made.positions[number].numpy()[: tree.sizes[0]], tree.faces[0][:, ::-1].astype(np.int32))
        cosine = (torch.from_numpy(vertex_normals(scan)) * made.normals[number, : tree.sizes[0]]).sum(-1)
        assert cosine.nanquantile(0.1) > 0.97
    again = augment(batch, draw(settings, 2, batch.values.shape[1], torch.Generator().manual_seed(0)))
    assert torch.equal(made.positions, again.positions)


def test_without_strength_augmentation_changes_nothing(tree):
    still = {"bend_mm", "stretch", "rotate_deg", "mirror", "noise_mm", "scale", "tilt_deg", "shift_mm"}
    settings = TrainSettings(**dict.fromkeys(still, 0.0), depth_jitter_mm=0.0)
    batch = stack_trees([tree]).rows(torch.arange(1))
    made = augment(batch, draw(settings, 1, batch.values.shape[1], torch.Generator().manual_seed(0)))
    torch.testing.assert_close(made.positions, batch.positions)
    torch.testing.assert_close(made.normals, batch.normals, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "grid"
    experiment = Experiment(prepared, folds=3, only=(0,), validation=True)
    return train("surface-grid", experiment, out, train_settings("surface-grid", "small", None, QUICK), device=CPU)


def test_a_run_is_as_any_other(run):
    facts = json.loads((run / "run.json").read_text())
    assert facts["maps"] == ["invariant"]
    assert facts["model_settings"]["tree"] is True
    assert facts["data"]["rays"] == 16
    assert len(read_predictions(read_run(run))) == 6


def test_a_model_file_alone_predicts_as_the_run_did(run, prepared):
    model = load_model(run / "r00f00" / "model.safetensors")
    assert model.kind.name == "trees" and model.maps == ()
    rows = {row["id"]: row for row in labelled_rows(prepared)}
    for line in pq.read_table(run / "r00f00" / "predictions.parquet").to_pylist()[:2]:
        scan = scan_of(rows[line["id"]])
        made = model.probabilities(model.from_scan(face_of(scan)))[0]
        wanted = torch.tensor([line[f"p_{name}"] for name in SIX])
        torch.testing.assert_close(made, wanted, rtol=0, atol=1e-5)


def face_of(scan):
    """The scan as preprocessing leaves it."""
    return PreparedFace(render_maps(scan, SETTINGS.maps, SETTINGS.size, SETTINGS.pixel), scan, tree_of(scan))


def scan_of(row):
    number = ("F0001", "M0001", "F0002").index(row["subject"])
    return surface(number, SIX.index(row["expression"]), row["intensity"])


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("gcnn", ()),
        ("gcnn", ("model.vertex_features=xyz",)),
        ("surface-grid", ("model.mes=false", "model.hvp=false")),
        ("surface-grid", ("model.tree=false", "model.rotation=max")),
        ("surface-grid", ("model.vertex_features=xyz",)),
    ],
)
def test_all_variants_train_and_load(prepared, tmp_path, model, more):
    settings = train_settings(model, "small", None, (*QUICK, "epochs=1", *more))
    run = train(model, Experiment(prepared, folds=3, only=(0,)), tmp_path / "run", settings, device=CPU)
    loaded = load_model(run / "r00f00" / "model.safetensors")
    line = pq.read_table(run / "r00f00" / "predictions.parquet").to_pylist()[0]
    rows = {row["id"]: row for row in labelled_rows(prepared)}
    scan = scan_of(rows[line["id"]])
    made = loaded.probabilities(loaded.from_scan(face_of(scan)))[0]
    torch.testing.assert_close(made, torch.tensor([line[f"p_{name}"] for name in SIX]), rtol=0, atol=1e-5)


def test_it_learns(tmp_path):
    folder = write_prepared_trees(tmp_path / "data", ("F0001", "M0001", "F0002", "M0002"), SIX[::2], (1, 2, 3))
    still = ("mirror=0", "test_mirror=false", "model.dropout=0.1")
    settings = train_settings(
        "surface-grid", "small", None, ("model.width=8", "epochs=20", "batch=9", "label_smoothing=0", "lr=5e-3", *still)
    )
    experiment = Experiment(folder, classes=SIX[::2], folds=4, only=(1,))
    run = train("surface-grid", experiment, tmp_path / "run", settings, device=CPU)
    assert read_predictions(read_run(run)).correct.mean() > 0.6  # of three classes


def test_a_stopped_run_ends_with_the_same_bits(prepared, tmp_path):
    def stop(fold, epochs, row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    settings = train_settings("surface-grid", "small", None, (*QUICK, "epochs=3"))
    experiment = Experiment(prepared, folds=3, only=(0,))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.raises(KeyboardInterrupt):
        train(
            "surface-grid", experiment, tmp_path / "one", settings, device=CPU, callbacks=Callbacks(on_epoch_end=stop)
        )
    train("surface-grid", experiment, tmp_path / "one", settings, device=CPU, resume=True)
    train("surface-grid", experiment, tmp_path / "two", settings, device=CPU)
    torch.set_num_threads(threads)
    one, two = (tmp_path / name / "r00f00" for name in ("one", "two"))
    for name in ("model.safetensors", "predictions.parquet"):  # of megabytes, whose difference pytest must not print
        assert filecmp.cmp(one / name, two / name, shallow=False), name


def test_what_is_wrong_is_said(prepared, tree, tmp_path):
    def trees(folder, **own):
        return load_trees([(folder, labelled_rows(folder))], SurfaceGrid.Settings(**own), SIX)

    bare = write_prepared(tmp_path / "bare", ["F0001"])
    with pytest.raises(ArgumentError, match="bare: the model reads sample trees, F0001_anger_3 has none; prepare the"):
        trees(bare)
    message = "`mixup` would change nothing for surface-grid: it is of maps, it reads sample trees"
    with pytest.raises(ConfigError, match=message):
        train("surface-grid", Experiment(prepared, folds=3), tmp_path / "run", TrainSettings(mixup=0.4), device=CPU)
    with pytest.raises(ConfigError, match="unknown key `model.warp` of surface-grid; it takes model.init, "):
        train_settings("surface-grid", model={"warp": True})
    lean = write_prepared_trees(tmp_path / "lean", ["F0001"], SIX[:1], mesh=False)
    with pytest.raises(ArgumentError, match="traced on the scans' meshes, which were not kept; prepare them again"):
        trees(lean, tree=False)
    with pytest.raises(ArgumentError, match="at least 6 rings and 16 rays, a multiple of 8, has 3 and 8; prepare"):
        patch_layout(3, 8, True)
    with pytest.raises(ArgumentError, match="`vertex_features` should be one of invariant, xyz, is 'abc'"):
        build_model("surface-grid", **stencils_of(tree), vertex_features="abc")
    with pytest.raises(ArgumentError, match="`rotation` should be one of fixed, max, is 'abc'"):
        build_model("surface-grid", **stencils_of(tree), rotation="abc")
    with pytest.raises(
        ArgumentError, match="surface-grid should have trees that start at the nose tip, those of the sc"
    ):
        build_model("surface-grid", **stencils_of(tree), landmarks=True)
    with pytest.raises(ArgumentError, match="`trees` should hold at least one"):
        stack_trees([])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_it_trains_on_a_gpu(prepared, tmp_path):
    settings = train_settings("surface-grid", "small", None, QUICK)
    experiment = Experiment(prepared, folds=3, only=(0,))
    run = train("surface-grid", experiment, tmp_path / "run", settings, device=Device("cuda"))
    assert len(read_predictions(read_run(run))) == 6


def test_from_raw_scans_to_predictions(capsys, tmp_path):
    synth.make(tmp_path / "scans", subjects=2, seed=5, levels=(4,), pitch=3.0)
    tiny = ("--tree", "--maps", "depth", "--size", 16, "--set", "tree_levels=600,80,16", "--workers", 1)
    code, _, err = fer3d(capsys, "preprocess", tmp_path / "scans", "-o", tmp_path / "prepared", *tiny)
    assert code == 0, err
    quick = [word for item in (*QUICK, "test_mirror=false") for word in ("--set", item)]
    arguments = ("--data", tmp_path / "prepared", "--folds", 2, "--fold", 0, "-o", tmp_path / "run", *quick)
    code, out, err = fer3d(capsys, "train", "surface-grid", *arguments, "--no-mes")
    assert code == 0, err
    assert "accuracy" in out
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["model"]["mes"] is False
    line = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pylist()[0]
    source = next(row["source"] for row in labelled_rows(tmp_path / "prepared") if row["id"] == line["id"])
    arguments = ("predict", tmp_path / "run", tmp_path / "scans" / source, "--landmarks", "--json")
    code, out, err = fer3d(capsys, *arguments)
    assert code == 0, err
    (made,) = json.loads(out)
    for name in SIX:
        assert made["probabilities"][name] == pytest.approx(line[f"p_{name}"], abs=1e-4)
    code, _, err = fer3d(capsys, "compare", tmp_path / "run", tmp_path / "run")
    assert code == 1 and "different folders" in err
