"""`perturb` and `test_perturbations`: pictures perturbed as they are trained on, and averaged as they are tested."""

import json

import pytest
import torch

from fer3d.data.augment_pictures import perturb_pictures
from fer3d.data.samples import load
from fer3d.errors import ConfigError
from fer3d.image.perturb import draw_perturbations
from fer3d.prepare.store import read_manifest
from fer3d.train.checkpoint import load_model
from fer3d.train.plan import Experiment
from fer3d.train.run import Device, train
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import train_settings
from fer3d.train.views import Views, answers
from tests.prepared import SIX, write_prepared

QUICK = ("model.pixels=16", "model.width=4", "epochs=1", "batch=8")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("perturbed") / "prepared", ["F0001", "M0001"])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_what_was_not_measured_stays_so_and_does_not_darken_its_neighbours():
    values = torch.ones(8, 4, 24, 24)
    values[:, :, :, :12] = 0.0
    made = perturb_pictures(values, draw_perturbations(8, 24, seeded(1)))
    measured = made[:, 3:] > 0
    assert ((made[:, 3:] == 0) | (made[:, 3:] == 1)).all()
    torch.testing.assert_close(made[:, :3], measured.float().expand(-1, 3, -1, -1), rtol=0, atol=1e-5)
    assert 0.3 < measured.float().mean() < 0.7


def test_training_draws_perturbations_only_if_asked_to(prepared):
    data = load([(prepared, read_manifest(prepared))], ("texture",), SIX)
    plain, perturbed = (
        data.draw(train_settings("3c2f", "small", None, (f"perturb={word}",)), 4, seeded())
        for word in ("false", "true")
    )
    assert not any(name.startswith("perturb_") for name in plain)
    assert perturbed["perturb_cut"].max() <= round(4 / 48 * data.shape["size"])
    for name in ("gain", "bias", "gamma"):
        assert torch.equal(plain[name], perturbed[name])


def test_a_model_file_alone_averages_over_the_copies_whatever_the_batch(prepared, tmp_path):
    settings = train_settings("3c2f", "small", None, (*QUICK, "perturb=true", "test_perturbations=5"))
    out = train("3c2f", Experiment(prepared, folds=2, only=(0,)), tmp_path / "run", settings, device=Device("cpu"))
    assert json.loads((out / "run.json").read_text())["settings"]["perturb"] is True
    model = load_model(out / "r00f00" / "model.safetensors")
    assert model.facts.views.perturbations == 5
    predicted = read_predictions(read_run(out))
    rows = [row for row in read_manifest(prepared) if row["id"] in predicted.ids]
    data = load([(prepared, rows)], ("texture",), SIX)
    x = model.normalisation.apply(data.take(torch.arange(len(rows)), torch.device("cpu")))
    order = [predicted.ids.index(row["id"]) for row in rows]
    wanted = torch.from_numpy(predicted.probabilities)[order].float()
    for part in (slice(None), slice(3, 4)):
        torch.testing.assert_close(model.probabilities(x[part]), wanted[part], rtol=0, atol=1e-5)
    plain = answers(model.network, model.normalisation, x, model.facts.target, Views())
    assert not torch.allclose(plain, wanted, atol=1e-4)


def test_perturbed_training_is_of_networks_for_pictures():
    with pytest.raises(
        ConfigError, match="`perturb` would .* for oriented-fusion: it is of networks for pictures, it reads d"
    ):
        train_settings("oriented-fusion", "small", None, ("model.maps=depth,texture", "perturb=true"))
    for name in ("perturb=true", "test_perturbations=3"):
        with pytest.raises(
            ConfigError, match=f"`{name.partition('=')[0]}` would .* for gcnn: it is of pictures, it re"
        ):
            train_settings("gcnn", "small", None, (name,))


def test_what_a_perturbation_takes_the_place_of_is_refused():
    with pytest.raises(
        ConfigError, match="`stretch` would change nothing for 3c2f: it moves a face otherwise than `per"
    ):
        train_settings("3c2f", "small", None, ("perturb=true", "stretch=0.2"))
    with pytest.raises(
        ConfigError, match="`test_mirror` would change nothing for 3c2f: it averages less than `test_pe"
    ):
        train_settings("3c2f", "small", None, ("test_perturbations=3", "test_mirror=false"))
