"""The pose test: an invariant model does not notice a turn, and what a camera would not see is gone."""

import json
import shutil

import numpy as np
import pytest

from fer3d import maps
from fer3d.errors import ArgumentError, FileError
from fer3d.evaluate.pose import KINDS, in_view, pose_test, turned
from fer3d.scan import Scan
from fer3d.train.plan import Experiment
from fer3d.train.run import train
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import train_settings
from tests import shapes
from tests.commands import fer3d
from tests.prepared_trees import surface, write_prepared_trees
from tests.train.test_run import CPU

QUICK = ("model.width=4", "epochs=2", "batch=6", "test_mirror=false")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared_trees(tmp_path_factory.mktemp("pose") / "prepared")


@pytest.fixture(scope="module")
def run(prepared):
    experiment = Experiment(prepared, folds=3, only=(0,))
    return train(
        "surface-grid",
        experiment,
        prepared.parent / "grid",
        train_settings("surface-grid", "small", None, QUICK),
        device=CPU,
    )


def test_a_turn_is_about_the_nose_to_the_left_of_the_subject():
    scan = Scan.of(np.array([[0, 0, 0], [0, 3, 5], [9, 0, 1]], float), np.array([[0, 1, 2]], np.int32))
    points = turned(scan, 90.0).vertices
    np.testing.assert_allclose(points, [[0, 0, 0], [5, 3, 0], [1, 0, -9]], atol=1e-5)


def test_what_faces_away_or_is_hidden_is_not_in_view():
    sphere = shapes.sphere(50.0, 4.0).scan
    seen = in_view(sphere)
    assert 0.3 < len(seen.vertices) / len(sphere.vertices) < 0.5
    assert seen.vertices[:, 2].min() > 50 * 0.15
    small = shapes.sphere(10.0, 3.0).scan
    both = np.concatenate([sphere.vertices, small.vertices + np.float32([0, 0, 100])])
    faces = np.concatenate([sphere.faces, small.faces + np.int32(len(sphere.vertices))])
    behind = in_view(Scan(both, faces)).vertices
    behind = behind[behind[:, 2] < 60]
    assert np.hypot(behind[:, 0], behind[:, 1]).min() > 7
    assert len(behind) > 0.8 * len(seen.vertices)
    assert np.isfinite(maps.vertex_normals(seen)).all()


def test_an_invariant_model_does_not_notice_a_turn(run):
    made = pose_test(run, angles=(-90.0, 0.0, 35.0))
    whole = [point for point in made.points if point.kind == "turned"]
    assert {point.accuracy.value for point in whole} == {made.frontal}
    assert all(point.scans == 6 and point.failed == 0 for point in made.points)
    assert made.frontal == read_predictions(read_run(run)).correct.mean()
    content = json.loads((run / "pose_test.json").read_text())
    assert [point["kind"] for point in content["points"]] == [kind for kind in KINDS for _ in range(3)]


def test_the_command_prints_a_table_and_the_report_shows_the_curve(run, capsys):
    code, out, err = fer3d(capsys, "evaluate", run, "--pose-test", "--angles=-30,0,30", "--scans", 3)
    assert (code, err.strip()) == (0, "") or "turning" in err
    assert "self-occluded" in out and "+30" in out and "3 scans" in out
    code, _, _ = fer3d(capsys, "report", run)
    page = (run / "report.html").read_text()
    assert code == 0
    assert "Accuracy under head rotation" in page and "turned, 30 degrees" in page


def test_several_processes_say_the_same(run):
    one, two = (pose_test(run, angles=(60.0,), scans=4, workers=workers) for workers in (1, 2))
    assert one.to_json() == two.to_json()


def test_a_model_of_maps_is_tested_too(prepared, tmp_path):
    quick = ("model.width=4", "epochs=1", "batch=6", "model.maps=depth")
    settings = train_settings("oriented-fusion", "small", None, quick)
    run = train("oriented-fusion", Experiment(prepared, folds=3, only=(0,)), tmp_path / "run", settings, device=CPU)
    with pytest.raises(FileError, match="run: the prepared folder of its scans is not at hand; name it with"):
        pose_test(run)
    made = pose_test(run, prepared, angles=(0.0, 75.0), scans=3)
    assert all(point.failed == 0 for point in made.points if point.yaw_deg == 0)


def test_what_cannot_be_tested_is_said(prepared, run, tmp_path):
    with pytest.raises(ArgumentError, match=r"`angles` should lie in \[-180, 180\] degrees, holds 200.0"):
        pose_test(run, angles=(200.0,))
    lean = write_prepared_trees(tmp_path / "lean", mesh=False)
    with pytest.raises(ArgumentError, match="lean: the scans' meshes were not kept; prepare them with keep_mesh=true"):
        pose_test(run, lean, angles=(0.0,), scans=1)
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"maps": ["depth", "texture"]}))
    try:
        with pytest.raises(ArgumentError, match="`maps` of the run should hold no texture for a pose test"):
            pose_test(run)
    finally:
        (run / "run.json").write_text(json.dumps(facts))


def test_scans_that_fail_count_as_wrong_and_say_why(run, monkeypatch):
    flat = Scan.of(surface().vertices[:3], np.array([[0, 1, 2]], np.int32))
    monkeypatch.setattr("fer3d.evaluate.pose.in_view", lambda scan: flat)
    made = pose_test(run, angles=(0.0,), scans=2)
    assert [point.failed for point in made.points] == [0, 2]
    assert made.points[1].accuracy.value == 0.0
    assert "self-occluded at 0 degrees: " in made.reason


def test_a_damaged_scan_costs_only_itself(run, prepared, tmp_path):
    """It counts as wrong at every angle, and the reason is said; the others are tested."""
    copy = tmp_path / "prepared"
    shutil.copytree(prepared, copy)
    first = read_predictions(read_run(run)).ids[0]
    path = copy / "scans" / f"{first}.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    made = pose_test(run, copy, angles=(0.0,), scans=2)
    assert [point.failed for point in made.points] == [1, 1]
    assert "is not a whole safetensors file" in made.reason
