"""What was dff-cnn and df-cnn before they were their papers' networks loads as `oriented-fusion`, same predictions."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from fer3d.train.checkpoint import load_model, save_model
from fer3d.train.former import facts_today
from fer3d.train.run_folder import read_run
from tests.runs import write_json, write_run
from tests.train.test_former import same_bits

ARCHIVE = Path(__file__).parents[1] / "former" / "map_networks.zip"
CASES = ("dff-cnn-oriented", "dff-cnn-scattering", "dff-cnn-small", "df-cnn-oriented", "df-cnn-small")


@pytest.fixture(scope="module")
def former(tmp_path_factory):
    folder = tmp_path_factory.mktemp("former")
    with zipfile.ZipFile(ARCHIVE) as file:
        file.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def expected(former):
    return json.loads((former / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", CASES)
def test_it_predicts_the_same_under_its_own_name(former, expected, tmp_path, case):
    tolerance = 0.0 if same_bits(expected["made_with"]) else 1e-4
    stored = expected[case]
    x = torch.tensor(stored["x"]).reshape(stored["shape"]) / 8.0
    model = load_model(former / f"{case}.safetensors")
    assert model.model_name == "oriented-fusion"
    np.testing.assert_allclose(model.probabilities(x), stored["probabilities"], rtol=0, atol=tolerance)
    with torch.no_grad():
        np.testing.assert_allclose(model.network(x), stored["logits"], rtol=0, atol=10 * tolerance)
    save_model(tmp_path / "again.safetensors", model.network, model.facts)
    again = load_model(tmp_path / "again.safetensors")
    assert (again.model_name, again.facts.model_settings) == ("oriented-fusion", model.facts.model_settings)
    assert torch.equal(again.probabilities(x), model.probabilities(x))


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({"model": "dff-cnn", "model_settings": {"position": True}, "input": "maps"}, {"position": True}),
        ({"model": "dff-cnn", "model_settings": {"place_dropout": 0.2}}, {"location_dropout": 0.2}),
        (
            {"model": "df-cnn", "model_settings": {"auxiliary": 0.3, "fusion": 8}, "input": "maps"},
            {"auxiliary": 0.3, "fusion": 8, "bottleneck": 32, "early_fusion": False},
        ),
    ],
)
def test_what_is_no_network_of_a_paper_has_our_name(facts, wanted):
    assert facts_today(facts) == {"model": "oriented-fusion", "model_settings": wanted}


@pytest.mark.parametrize(
    "facts",
    [
        {"model": "dff-cnn", "model_settings": {"gap": True, "fusion": 8}, "input": "maps"},
        {"model": "df-cnn", "model_settings": {"read_out": "svm"}, "input": "maps"},
        {"model": "plain-cnn", "model_settings": {"width": 8}, "input": "maps"},
        {"model": "mine:Net", "model_settings": {"inputs": 3, "mask": True}, "input": "maps"},
    ],
)
def test_other_networks_keep_their_names_and_arguments(facts):
    assert facts_today(facts) == {key: facts[key] for key in ("model", "model_settings")}
    assert facts_today({"model": "dff-cnn"}) == facts_today({"model_settings": {}}) == {}


def test_a_run_of_such_a_network_has_its_name(tmp_path):
    run = write_run(tmp_path / "run")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    settings = {"position": True, "maps": ["depth"]}
    write_json(run / "run.json", {**facts, "model": "dff-cnn", "model_settings": settings, "input": "maps"})
    read = read_run(run)
    assert (read.facts["model"], read.facts["model_settings"]) == ("oriented-fusion", settings)
