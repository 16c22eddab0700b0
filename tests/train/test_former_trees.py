"""What was flm-cnn before it was its paper's network loads as `surface-grid`, with the same predictions.

The expected probabilities are those of the code of 25a133a, the last in which it was flm-cnn, for weights of a formula.
"""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fer3d.data.input_kinds import PreparedFace
from fer3d.data.tree_batch import stencils_of
from fer3d.maps.render import render_maps
from fer3d.models import build_model
from fer3d.train.checkpoint import load_model, save_model
from fer3d.train.former import facts_today
from fer3d.train.run_folder import read_run
from fer3d.tree.one_level import one_level
from tests.prepared_trees import SETTINGS, surface, tree_of
from tests.runs import write_json, write_run

EXPECTED = {
    "fixed": [0.660701, 0.293428, 0.045871],
    "max": [0.660699, 0.29343, 0.045871],
    "one": [0.690816, 0.258309, 0.050876],
    "gcnn": [0.388294, 0.30733, 0.304377],
}
OWN = {
    "fixed": {"location_dropout": 0.5, "rotation": "fixed", "tree": True},
    "max": {"location_dropout": 0.5, "rotation": "max", "tree": True},
    "one": {"location_dropout": 0.5, "rotation": "fixed", "tree": False},
    "gcnn": {"layers": 3, "tree": False},
}


def face():
    scan = surface()
    return PreparedFace(render_maps(scan, SETTINGS.maps, SETTINGS.size, SETTINGS.pixel), scan, tree_of(scan))


def filled(network):
    """The weights of the formula."""
    state = network.state_dict()
    for number, (name, value) in enumerate(sorted(state.items())):
        if value.is_floating_point():
            wave = np.sin(0.7 * np.arange(value.numel()) + number).reshape(value.shape)
            wave = np.abs(wave) + 0.5 if name.endswith("running_var") else 0.2 * wave
            state[name] = torch.from_numpy(wave.astype(np.float32))
    return state


def former_file(path, case):
    """A model file as the code of 25a133a wrote it."""
    prepared, own = face(), OWN[case]
    scan, tree = prepared.scan, prepared.tree
    stencils = stencils_of(tree if own["tree"] else one_level(tree, scan.vertices, scan.faces))
    settings = {**stencils, "classes": 3, "width": 2, **own}
    model = "gcnn" if case == "gcnn" else "flm-cnn"
    header = {
        "model": model,
        "model_settings": settings,
        "target": {"kind": "classes", "name": "expression", "names": ["anger", "fear", "sadness"]},
        "input": "trees",
        "normalisation": {
            "channels": ["shape_index", "curvedness", "mean", "gaussian"],
            "mean": [0.6, 0.4, 0.1, 0.0],
            "deviation": [0.25] * 4,
        },
        "groups": [],
        "size": None,
        "pixel_mm": None,
        "illumination": "raw",
        "stencils": stencils,
        "whole_tree": own["tree"],
        "warp": None,
        "preprocess": {},
        "mirror": False,
        "perturbations": 0,
    }
    today = {key: value for key, value in settings.items() if model != "gcnn" or key != "tree"}
    network = build_model("gcnn" if model == "gcnn" else "surface-grid", **today)
    save_file(filled(network), path, metadata={"fer3d": json.dumps(header)})
    return path


@pytest.mark.parametrize("case", EXPECTED)
def test_it_predicts_the_same_under_its_own_name(tmp_path, case):
    model = load_model(former_file(tmp_path / "model.safetensors", case))
    assert model.model_name == ("gcnn" if case == "gcnn" else "surface-grid")
    assert model.facts.inputs.levels == ("all" if OWN[case]["tree"] else "second")
    batch = model.from_scan(face())
    np.testing.assert_allclose(model.probabilities(batch)[0], EXPECTED[case], rtol=0, atol=1e-5)
    save_model(tmp_path / "again.safetensors", model.network, model.facts)
    again = load_model(tmp_path / "again.safetensors")
    assert (again.facts.inputs.levels, again.facts.model) == (model.facts.inputs.levels, model.facts.model)
    assert torch.equal(again.probabilities(again.from_scan(face())), model.probabilities(batch))


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({"model": "flm-cnn", "model_settings": {"location_dropout": 0.5}, "input": "trees"}, "surface-grid"),
        ({"model": "flm-cnn", "model_settings": {"place_dropout": 0.5}}, "surface-grid"),
        ({"model": "flm-cnn", "model_settings": {"points": 68, "hidden": 256}, "input": "trees"}, "flm-cnn"),
        ({"model": "surface-grid", "model_settings": {"location_dropout": 0.5}, "input": "trees"}, "surface-grid"),
    ],
)
def test_what_is_no_network_of_a_paper_has_our_name(facts, wanted):
    assert facts_today(facts)["model"] == wanted


def test_a_run_of_such_a_network_has_its_name(tmp_path):
    run = write_run(tmp_path / "run")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    write_json(run / "run.json", {**facts, "model": "flm-cnn", "model_settings": {"rotation": "fixed", "mes": True}})
    assert read_run(run).facts["model"] == "surface-grid"
