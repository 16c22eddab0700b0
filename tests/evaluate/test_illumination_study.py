"""`illumination` in training and `fer3d study illumination`: what is done to the light, and the table of many runs."""

import json

import numpy as np
import pytest
import torch

from fer3d.data.channels import relit, stack_channels
from fer3d.data.input_kinds import PreparedFace
from fer3d.errors import ArgumentError, ConfigError
from fer3d.evaluate.grid import illumination_grid, run_grid
from fer3d.image.illumination import ILLUMINATIONS, normalise_illumination
from fer3d.maps import Maps
from fer3d.prepare import store
from fer3d.train.checkpoint import load_model
from fer3d.train.jobs import do_job
from fer3d.train.plan import Experiment
from fer3d.train.run import Device, train
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import train_settings
from tests.commands import fer3d
from tests.prepared import write_prepared

QUICK = ("model.pixels=16", "model.width=4", "epochs=1", "batch=8")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("study") / "prepared", ["F0001", "M0001"])


def colours(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ILLUMINATIONS)
def test_a_texture_freed_of_its_light(name):
    texture = colours()
    made = relit(texture, name)
    assert made.dtype == np.uint8
    assert made.shape == texture.shape
    if name == "raw":
        assert np.array_equal(made, texture)
        return
    luma = [[round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in line] for line in texture.tolist()]
    wanted = normalise_illumination(name, np.array(luma, np.uint8)[None])[0]
    for channel in range(3):
        assert np.array_equal(made[..., channel], wanted)


def test_only_the_texture_of_a_stack_is_changed():
    mask = np.ones((12, 10), np.uint8)
    mask[:2] = 0
    depth = np.random.default_rng(1).random((1, 12, 10)).astype(np.float16)
    plain, even = (
        stack_channels(("depth", "texture"), ("depth",), depth, mask, colours(), light) for light in ("raw", "hist-eq")
    )
    assert np.array_equal(plain[[0, -1]], even[[0, -1]])
    assert np.array_equal(even[1], even[3])
    assert not even[:, :2].any()
    assert not np.array_equal(plain[1:4], even[1:4])
    with pytest.raises(ArgumentError, match="`name` should be one of raw, .*; did you mean 'hist-eq'"):
        relit(colours(), "histeq")


def test_a_wrong_illumination_is_one_line(prepared):
    with pytest.raises(ConfigError, match="settings: model: `illumination` Input should be 'raw', 'hist-eq'"):
        train_settings("oriented-fusion", "small", None, ("model.illumination=histeq",))
    with pytest.raises(ConfigError, match="settings: model: `illumination` dog needs texture among `maps`"):
        train_settings("oriented-fusion", "small", None, ("model.illumination=dog", "model.maps=depth"))
    with pytest.raises(ConfigError, match="unknown key `model.illumination` of gcnn"):
        train_settings("gcnn", "small", None, ("model.illumination=dog",))


def test_a_model_file_alone_does_to_the_light_what_training_did(prepared, tmp_path):
    settings = train_settings("3c2f", "small", None, ("model.illumination=isotropic", *QUICK))
    out = train("3c2f", Experiment(prepared, folds=2, only=(0,)), tmp_path / "run", settings, device=Device("cpu"))
    assert json.loads((out / "run.json").read_text())["settings"]["model"]["illumination"] == "isotropic"
    model = load_model(out / "r00f00" / "model.safetensors")
    assert model.facts.inputs.illumination == "isotropic"
    predicted = read_predictions(read_run(out))
    for name, wanted in list(zip(predicted.ids, predicted.probabilities, strict=True))[:4]:
        scan = store.read_scan(prepared / "scans" / f"{name}.safetensors")
        names, mask, pixel = tuple(scan.header["channels"]), scan.arrays["mask"], scan.header["pixel_mm"]
        maps = Maps(names, scan.arrays["maps"].astype("float32"), mask, scan.arrays["texture"], pixel)
        made = model.probabilities(model.from_scan(PreparedFace(maps)))[0]
        torch.testing.assert_close(made.double(), torch.from_numpy(wanted), rtol=0, atol=1e-5)


# kahou has no width
STUDY = [item for setting in QUICK if "width" not in setting for item in ("--set", setting)]
STUDY += ["--networks", "3c2f,kahou", "--illuminations", "raw,hist-eq", "--folds", "2", "--accelerator", "cpu"]


def test_the_study_makes_one_table_and_goes_on(capsys, prepared, tmp_path):
    out = tmp_path / "study"
    arguments = ("study", "illumination", "--data", prepared, "-o", out, *STUDY)
    code, shown, err = fer3d(capsys, *arguments)
    assert code == 0, err
    assert "4 of 4: prepared kahou hist-eq" in shown
    made = json.loads((out / "study.json").read_text())
    assert [(cell["network"], cell["illumination"]) for cell in made] == [
        ("3c2f", "raw"),
        ("3c2f", "hist-eq"),
        ("kahou", "raw"),
        ("kahou", "hist-eq"),
    ]
    assert all(cell["scans"] == 24 and cell["folds"] == 2 for cell in made)
    text = (out / "study.md").read_text()
    assert text.count("\n") == 4
    assert "| data | network | raw | hist-eq | scans |" in shown
    kept = out / "prepared" / "3c2f+raw" / "r00f00" / "model.safetensors"
    before = kept.stat().st_mtime_ns
    (out / "prepared" / "kahou+raw" / "r00f01" / "done.json").unlink()
    code, _, err = fer3d(capsys, *arguments)
    assert code == 0, err
    assert kept.stat().st_mtime_ns == before
    assert (out / "study.md").read_text() == text


def test_several_data_sets_on_another_machine(prepared, tmp_path):
    def elsewhere(jobs, on_start):  # gets done from the last to the first
        assert [job.model for job in jobs] == ["3c2f"] * 4
        return (do_job(job, Device("cpu")) for job in reversed(jobs))

    other = write_prepared(tmp_path / "other", ["F0003", "M0003"])
    experiment, settings = Experiment(prepared, folds=2, only=(0,)), train_settings("3c2f", "small", None, QUICK)
    grid = illumination_grid([prepared, other], experiment, tmp_path / "study", {"3c2f": settings}, ("raw", "dct"))
    seen = []
    rows = run_grid(grid, executor=elsewhere, on_row=lambda row: seen.append(row.cell.name))
    names = ["prepared 3c2f raw", "prepared 3c2f dct", "other 3c2f raw", "other 3c2f dct"]
    assert [row.cell.name for row in rows] == names
    assert seen == names[::-1]
    assert (tmp_path / "study" / "other" / "3c2f+dct" / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--networks", "3c2f,kahuo"), "is 'kahuo'; did you mean 'kahou'?"),
        (("--networks", "3c2f,plain-cnn"), "`networks` should hold names out of tang, "),
        (("--illuminations", "raw,raw"), "`illuminations` should be one or more different names, is raw,raw"),
        (("--data", "nowhere"), "`data` should name one or more folders of different names, names nowhere, nowhere"),
        ((), "fer3d: nowhere/manifest.parquet: is missing"),
    ],
)
def test_a_wrong_study_is_one_line(capsys, tmp_path, monkeypatch, more, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = fer3d(capsys, "study", "illumination", "--data", "nowhere", *more)
    assert code == 1
    assert message in err
    assert err.count("\n") == 1


def test_help_teaches(capsys):
    code, out, _ = fer3d(capsys, "study", "illumination", "--help")
    assert code == 0
    for word in ("hist-eq", "Shin", "--networks", "the same command keeps the finished runs"):
        assert word in " ".join(out.split())
