"""Maps from outside the package, end to end: simulated scans, prepared by worker processes, trained on, predicted."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fer3d import synth, workers
from fer3d.config import PreprocessSettings
from fer3d.data.samples import labelled_rows, load
from fer3d.errors import ArgumentError, CheckpointError, PrepareError
from fer3d.face import mean_face
from fer3d.maps import registry
from fer3d.maps.groups import Channel, MapGroup
from fer3d.maps.registry import register
from fer3d.maps.render import render_maps
from fer3d.predict import load as load_predictor
from fer3d.prepare.contact_sheet import group_pictures, scan_pictures
from fer3d.prepare.folder import preprocess
from fer3d.prepare.scan import _half, prepare
from fer3d.prepare.store import read_manifest, read_scan
from fer3d.scan import EXPRESSIONS
from tests.commands import fer3d
from tests.maps.outside import ACROSS, BENDING, GROUPS, SHADE
from tests.shapes import cap

MAPS = ("depth", "normal", "across", "bending", "shade")
TITLES = ["shape", "depth", "normals", "across", "bend squared", "shade"]


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The groups of `tests.maps.outside`, for this module alone."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((registry, "_groups"), (registry, "_owners"), (workers, "_first")):
            patch.setattr(module, name, dict(getattr(module, name)))
        for group in GROUPS:
            register(group)
        yield


@pytest.fixture(scope="module")
def settings(registered):
    return PreprocessSettings(size=32, maps=MAPS, keep_mesh=False)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, settings):
    """Two subjects of seven scans, prepared by two worker processes."""
    folder = tmp_path_factory.mktemp("outside")
    synth.make(folder / "scans", subjects=2, seed=3, levels=(3,), pitch=3.0)
    summary = preprocess(folder / "scans", folder / "prepared", settings=settings, workers=2)
    assert summary.failures == ()
    assert summary.prepared == 14
    return folder


@pytest.fixture(scope="module")
def run(prepared):
    """A network trained for one epoch on a map of the package and two from outside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(prepared)
        quick = ("--folds", 2, "--set", "epochs=1", "--set", "batch=8", "--accelerator", "cpu", "--preset", "tiny")
        code, out, err = fer3d_quietly("train", "plain-cnn", "--maps", "depth,across,bending", *quick, "-o", "run")
    assert code == 0, out + err
    return prepared / "run"


class _NoCapture:
    @staticmethod
    def readouterr():
        return "", ""


def fer3d_quietly(*arguments):
    return fer3d(_NoCapture, *arguments)


def test_what_is_stored_has_the_channels_of_all_maps(prepared, settings):
    row = next(row for row in read_manifest(prepared / "prepared") if row["status"] == "ok")
    scan = read_scan(prepared / "prepared" / row["file"])
    names = list(scan.header["channels"])
    assert names == [name for group in MAPS for name in registry.map_group(group).stored_names]
    across, known = scan.arrays["maps"][names.index("across")].astype(float), scan.arrays["mask"] == 1
    columns = np.broadcast_to((np.arange(32) - 15.5) * settings.pixel, known.shape)
    assert known.mean() > 0.2
    np.testing.assert_allclose(across[known], columns[known], atol=0.05)


def test_the_contact_sheet_shows_them(prepared):
    assert (prepared / "prepared" / "contact_sheet.png").is_file()
    row = next(row for row in read_manifest(prepared / "prepared") if row["status"] == "ok")
    scan = read_scan(prepared / "prepared" / row["file"])
    assert list(scan_pictures(scan)) == TITLES  # the texture was not asked for
    across = scan_pictures(scan)["across"]
    known = scan.arrays["mask"] == 1
    assert across[known][:, 0].std() > 20  # from dark to light over the face
    assert list(group_pictures(scan)["bending"]) == ["bend squared"]


def test_it_is_trained_on(run):
    facts = json.loads((run / "run.json").read_text())
    assert facts["maps"] == ["depth", "across", "bending"]
    assert facts["channels"] == ["depth", "across", "bend_size"]
    model = load_predictor(run, "r00f00").models[0]
    assert model.normalisation.mean[1] == 0.0  # the mirror changes its sign
    assert model.normalisation.mean[2] > 0.0


def test_a_new_scan_is_predicted(run):
    scan = next((run.parent / "scans").rglob("*_F3D.wrl"))
    predictor = load_predictor(run)
    made = predictor(scan)
    assert set(made.probabilities) == set(predictor.classes)
    assert sum(made.probabilities.values()) == pytest.approx(1.0)


def test_the_report_shows_what_the_network_was_fed(run, capsys):
    code, out, err = fer3d(capsys, "report", run)
    assert code == 0, out + err
    page = (run / "report.html").read_text(encoding="utf-8")
    for title in ("shape", "depth", "across", "bend squared"):
        assert f'alt="{title} of ' in page
    assert 'alt="shade of ' not in page


def test_without_the_package_the_network_says_what_it_lacks(run, monkeypatch):
    monkeypatch.setattr(registry, "_groups", {})
    monkeypatch.setattr(registry, "_owners", {})
    with pytest.raises(CheckpointError, match="model.safetensors: `maps` should hold names out of .* 'across': is the"):
        load_predictor(run, "r00f00")
    with pytest.raises(ArgumentError, match="`maps` should hold names out of .* 'across'"):
        load([(run.parent / "prepared", labelled_rows(run.parent / "prepared")[:1])], ["across"], EXPRESSIONS)


def test_a_new_version_of_a_map_is_prepared_again(prepared, settings, monkeypatch):
    again = preprocess(prepared / "scans", prepared / "prepared", settings=settings, workers=1)
    assert (again.prepared, again.kept) == (0, 14)
    few = prepared / "few"
    for path in sorted((prepared / "scans").rglob("F0001*AN*")):
        target = few / path.relative_to(prepared / "scans")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    first = preprocess(few, prepared / "few_prepared", settings=settings, workers=1)
    second = preprocess(few, prepared / "few_prepared", settings=settings, workers=1)
    monkeypatch.setitem(registry._groups, "across", replace(ACROSS, version=ACROSS.version + 1))
    third = preprocess(few, prepared / "few_prepared", settings=settings, workers=1)
    assert [(s.prepared, s.kept) for s in (first, second, third)] == [(1, 0), (0, 1), (1, 0)]


def huge(scan, context):
    return 1e6 * scan.vertices[:, 2]


def test_values_that_half_precision_cannot_hold_are_refused():
    register(MapGroup("huge", stored=(Channel("huge", mirror=1, power=1, low=0.0, high=1.0),), values=huge))
    made = render_maps(cap(60.0, 3.0, half=20.0).scan, ("depth", "huge"), 12, 3.0)
    with pytest.raises(PrepareError, match="map channel huge should lie within .-65504 to be stored, reaches 5"):
        _half(made)
    assert _half(replace(made, names=made.names[:1], stack=made.stack[:1])).dtype == np.float16


def test_curvatures_have_the_radius_of_the_settings():
    """A group from outside gets the curvatures that the package's own maps show."""
    settings = PreprocessSettings(size=32, maps=("curvature", "bending"), pose="landmarks", curvature_radius_mm=9.0)
    _, made = prepare(mean_face(), settings)
    known = made.mask == 1
    np.testing.assert_allclose(made.channel("bend")[known], made.channel("mean")[known], rtol=1e-4, atol=1e-6)


def test_colours_are_drawn_as_colours(prepared):
    row = next(row for row in read_manifest(prepared / "prepared") if row["status"] == "ok")
    scan = read_scan(prepared / "prepared" / row["file"])
    names, known = list(scan.header["channels"]), scan.arrays["mask"] == 1
    first = names.index(SHADE.stored_names[0])
    wanted = 255 * scan.arrays["maps"][first : first + 3].astype(float).transpose(1, 2, 0)
    np.testing.assert_allclose(scan_pictures(scan)["shade"][known], wanted[known], atol=0.5)
    assert BENDING.fed_names == ("bend_size",)
