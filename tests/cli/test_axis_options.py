"""Unit, axes and pose of files, said on the command line."""

import json
import re

import numpy as np
import pytest

from fer3d import formats
from fer3d.face.load import mean_face
from fer3d.prepare.store import read_manifest
from fer3d.scan import Scan
from tests.commands import fer3d

LYING = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # from the canonical axes to a file with +z up, -y to the camera


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Two faces in cm whose files have +z up and -y to the camera."""
    face = mean_face()
    near = (np.linalg.norm(face.vertices, axis=1) < 105.0)[face.faces].all(axis=1)
    folder = tmp_path_factory.mktemp("axes") / "scans"
    for name, size in (("anna/happy/1.ply", 0.1), ("bert/sad/1.ply", 0.102)):
        (folder / name).parent.mkdir(parents=True)
        formats.write(Scan.of(size * face.vertices @ LYING.T, face.faces[near]), folder / name)
    return folder


AXES = ("--up", "+z", "--towards-camera", "-y")


def test_preprocess_takes_axes_unit_and_pose_and_other_axes_prepare_anew(scans, tmp_path, capsys):
    out = tmp_path / "prepared"
    command = ("preprocess", scans, "-o", out, "--size", 40, "--maps", "depth", "--workers", 1)
    code, text, err = fer3d(capsys, *command, *AXES, "--unit", "10", "--pose", "found")
    assert code == 0, err
    rows = read_manifest(out)
    assert [(row["status"], row["unit"], row["pose_source"]) for row in rows] == [("ok", "10 mm", "found")] * 2
    assert all(row["measured"] > 0.3 for row in rows)
    recipe = json.loads((out / "prepare.json").read_text(encoding="utf-8"))
    assert recipe["axes"] == {"up": "+z", "towards_camera": "-y"}
    assert (recipe["settings"]["unit"], recipe["settings"]["pose"]) == (10.0, "found")
    _, text, _ = fer3d(capsys, *command, *AXES, "--unit", "10", "--pose", "shape")
    assert "0 prepared, 2 kept from before, 0 failed" in text
    code, text, _ = fer3d(capsys, *command, "--unit", "10", "--pose", "found")  # the axes of the card
    assert code == 0
    assert "2 prepared, 0 kept from before, 0 failed" in text


def test_maps_takes_them_too(scans, tmp_path, capsys):
    options = ("--set", "size=40", "--set", "maps=depth", "--pose", "shape", "--unit", "cm", *AXES)
    code, out, err = fer3d(capsys, "maps", scans / "anna/happy/1.ply", "-o", tmp_path / "maps.png", *options)
    assert code == 0, err
    assert re.search(r'axes up "\+z", towards_camera "-y"', out)
    assert re.search(r'frontal method "found"', out)


def test_inspect_speaks_of_unit_axes_and_size(scans, capsys):
    _, out, _ = fer3d(capsys, "inspect", scans, "--workers", 1, *AXES)
    assert "unit: cm, guessed from the size\naxes: +z up, -y to the camera (--up, --towards-camera)\n" in out
    high, wide, deep = re.search(r"size: (\d+) to \d+ mm high, (\d+) to \d+ wide, (\d+) to \d+ deep", out).groups()
    assert 150 < int(high) < 210 and 120 < int(wide) < 180 and 50 < int(deep) < 110
    _, out, _ = fer3d(capsys, "inspect", scans, "--workers", 1)
    assert f"size: {deep} to" in out  # as the card has it, the faces lie on their backs
    _, out, _ = fer3d(capsys, "inspect", scans, "--workers", 1, "--unit", "mm")
    assert "unit: mm\n" in out
    assert "Not as large as a face: 2" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("preprocess", "{scans}", "--up", "+z"), "`towards_camera` should be an axis across `up` +z, is +z: give"),
        (("preprocess", "{scans}", "--up", "z"), "`up` should be one of +x, -x,"),
        (("preprocess", "{scans}", "--unit", "feet"), "--unit: `unit` "),
        (("preprocess", "{scans}", "--pose", "guess"), "settings: `pose` "),
        (("inspect", "{scans}", "--towards-camera", "-y"), "`towards_camera` should be an axis across `up` +y, is -y"),
        (("maps", "nothing.ply", "--up", "+z"), "`towards_camera` should be an axis across `up` +z, is +z: give"),
        (("predict", "no_run", "a.ply", "--up", "+z"), "`towards_camera` should be an axis across `up` +z, is +z"),
        (("preprocess", "{pictures}", "--up", "+z"), "`--up` is of scans, pictures is of pictures: leave it out"),
        (("inspect", "{pictures}", "--unit", "mm"), "`--unit` is of scans, pictures is of pictures: leave it out"),
    ],
)
def test_a_wrong_axis_is_one_line_before_any_work(scans, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    pictures = tmp_path / "pictures"
    (pictures / "happy").mkdir(parents=True)
    (pictures / "happy" / "a.png").write_bytes(b"")
    names = {"{scans}": scans, "{pictures}": "pictures"}
    code, _, err = fer3d(capsys, *(names.get(argument, argument) for argument in arguments))
    assert code == 1
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "prepared").exists()
