"""FLM-CNN from prepared scans to predictions: it trains, loads alone, is turned, and says which trees it needs."""

import json

import pyarrow.parquet as pq
import pytest
import torch

from fer3d.data.input_kinds import PreparedFace
from fer3d.data.samples import labelled_rows
from fer3d.data.tree_batch import TreeNormalisation, stack_trees, stencils_of
from fer3d.evaluate.cross import cross_test
from fer3d.evaluate.pose import pose_test
from fer3d.maps.render import render_maps
from fer3d.models import build_model
from fer3d.train.checkpoint import load_model
from fer3d.train.plan import Experiment
from fer3d.train.run import train
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import train_settings
from tests.commands import fer3d
from tests.prepared import SIX
from tests.prepared_trees import MARKED, marked, surface, tree_of, write_prepared_trees
from tests.train.test_run import CPU

QUICK = ("model.width=4", "epochs=1", "batch=6")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared_trees(tmp_path_factory.mktemp("flm") / "prepared", settings=MARKED)


@pytest.fixture(scope="module")
def run(prepared):
    settings = train_settings("flm-cnn", "small", None, QUICK)
    return train("flm-cnn", Experiment(prepared, folds=3, only=(0,)), prepared.parent / "run", settings, device=CPU)


def face_of(row):
    """The scan of a row as preprocessing leaves it."""
    number = ("F0001", "M0001", "F0002").index(row["subject"])
    scan = marked(surface(number, SIX.index(row["expression"]), row["intensity"]))
    maps = render_maps(scan, MARKED.maps, MARKED.size, MARKED.pixel)
    return PreparedFace(maps, scan, tree_of(scan, MARKED))


def check_alone(run, prepared):
    """The model file alone predicts as the run did."""
    model = load_model(run / "r00f00" / "model.safetensors")
    rows = {row["id"]: row for row in labelled_rows(prepared)}
    for line in pq.read_table(run / "r00f00" / "predictions.parquet").to_pylist()[:2]:
        made = model.probabilities(model.from_scan(face_of(rows[line["id"]])))[0]
        wanted = torch.tensor([line[f"p_{name}"] for name in SIX])
        torch.testing.assert_close(made, wanted, rtol=0, atol=1e-5)
    return model


def test_a_run_holds_what_it_needs_to_predict(run, prepared):
    facts = json.loads((run / "run.json").read_text())
    assert facts["maps"] == ["invariant"]
    assert {key: facts["model_settings"][key] for key in ("points", "landmarks", "tree")} == {
        "points": 68,
        "landmarks": True,
        "tree": True,
    }
    assert facts["data"]["preprocess"]["tree_top"] == "landmarks"
    model = check_alone(run, prepared)
    assert model.facts.inputs.levels == "all"
    assert model.facts.inputs.stencils["landmarks"] is True
    assert len(read_predictions(read_run(run))) == 6
    done = json.loads((run / "r00f00" / "done.json").read_text())
    assert done["scan_bytes"] > 1e6 and done["scan_ms"] > 0


@pytest.mark.parametrize("model", ["flm-cnn", "gcnn"])
def test_so_does_one_on_one_level(prepared, tmp_path, model):
    own = ("model.tree=false",) if model == "flm-cnn" else ()
    settings = train_settings(model, "small", None, (*QUICK, *own))
    run = train(model, Experiment(prepared, folds=3, only=(0,)), tmp_path / "run", settings, device=CPU)
    assert check_alone(run, prepared).facts.inputs.levels == "finest"
    assert cross_test(run, prepared, resamples=20).metrics.scans == 6


def test_a_turn_of_the_whole_scan_changes_no_answer(run):
    made = pose_test(run, angles=(-90.0, 0.0, 35.0))
    turned = [point for point in made.points if point.kind == "turned"]
    assert {point.failed for point in made.points} == {0}
    assert len({point.accuracy.value for point in turned}) == 1


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, as inductor loads
def test_it_compiles_without_a_break():
    trees = [tree_of(marked(surface(number)), MARKED) for number in (0, 1)]
    scale = TreeNormalisation(("shape_index", "curvedness", "mean", "gaussian"), (0.6, 0.4, 0.1, 0.0), (0.25,) * 4)
    batch = scale.apply(stack_trees(trees).rows(torch.arange(2)))
    stencils = {**stencils_of(trees[0]), "block_radii": trees[0].radii, "points": 68}
    network = build_model("flm-cnn", **stencils, width=4).eval()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(batch), network(batch))


def test_trees_of_another_network_are_refused_in_one_line(capsys, prepared, tmp_path):
    plain = write_prepared_trees(tmp_path / "plain", ("F0001", "M0001"), SIX[:2])
    for model, folder, message in (
        (
            "flm-cnn",
            plain,
            "flm-cnn should have trees of 4 levels with 68 points at the top, the scans have 3 levels wi",
        ),
        (
            "surface-grid",
            prepared,
            "surface-grid should have trees that start at the nose tip, those of the scans start",
        ),
    ):
        code, _, err = fer3d(capsys, "train", model, "--data", folder, "--folds", 2, "-o", tmp_path / "run")
        assert code == 1 and message in err and err.count("\n") == 1
        assert not (tmp_path / "run").exists()  # said before anything is written
        assert "prepare them again: fer3d preprocess SCANS -o NEW_FOLDER --tree" in err
    code, _, err = fer3d(capsys, "train", "flm-cnn", "--data", prepared, "--set", "model.vertex_features=xyz")
    assert code == 1 and "`vertex_features` Input should be 'invariant'" in err
