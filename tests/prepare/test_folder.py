"""The run over a data set: failures, interruptions, workers. What a prepared scan holds is in test_prepare.py."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer3d import formats, synth
from fer3d.catalog import Record
from fer3d.config import PreprocessSettings
from fer3d.data.torch_dataset import PreparedDataset
from fer3d.errors import ArgumentError, CardError
from fer3d.face.load import mean_face
from fer3d.prepare import tasks
from fer3d.prepare.folder import StrictError, preprocess
from fer3d.prepare.store import read_manifest
from fer3d.prepare.tasks import Outcome, Task, run_tasks

SMALL = PreprocessSettings(size=48)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Two subjects, neutral and six expressions each, in the BU-3DFE layout, coarse."""
    folder = tmp_path_factory.mktemp("simulated") / "scans"
    synth.make(folder, subjects=2, seed=3, levels=(3,), pitch=2.5)
    return folder


@pytest.fixture(scope="module")
def prepared(scans, tmp_path_factory):
    """An uninterrupted run in one process: what all others must equal."""
    out = tmp_path_factory.mktemp("reference") / "prepared"
    summary = preprocess(scans, out, settings=SMALL, workers=1)
    assert summary.failures == ()
    assert summary.prepared == 14
    return out


def digest(folder):
    """Relative path -> hash, of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def copied(folder, target):
    """A copy of a tree to damage."""
    for path in folder.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize("workers", [2, 4])
def test_bytes_do_not_depend_on_the_number_of_workers(scans, prepared, tmp_path, workers):
    preprocess(scans, tmp_path / "prepared", settings=SMALL, workers=workers)
    assert digest(tmp_path / "prepared") == digest(prepared)


def test_bytes_do_not_depend_on_where_the_folders_lie(scans, prepared, tmp_path, monkeypatch):
    copied(scans, tmp_path / "Ångström scans" / "x")
    monkeypatch.chdir(tmp_path / "Ångström scans")
    preprocess("x", "prepared", settings=SMALL, workers=1)
    assert digest(tmp_path / "Ångström scans" / "prepared") == digest(prepared)


def test_a_killed_run_goes_on_to_the_same_bytes(scans, prepared, tmp_path):
    out = tmp_path / "prepared"
    code = (
        "from fer3d.prepare.folder import preprocess; from fer3d.config import PreprocessSettings\n"
        f"if __name__ == '__main__': preprocess({str(scans)!r}, {str(out)!r}, settings=PreprocessSettings(size=48), "
        "workers=2)"
    )
    script = tmp_path / "run.py"
    script.write_text(code, encoding="utf-8")
    run = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
    end = time.monotonic() + 120
    while len(list((out / "scans").glob("*.safetensors"))) < 3 and time.monotonic() < end:
        time.sleep(0.005)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    done = len(list((out / "scans").glob("*.safetensors")))
    assert 3 <= done < 14
    assert not (out / "manifest.parquet").exists()
    summary = preprocess(scans, out, settings=SMALL, workers=2)
    assert (summary.kept, summary.prepared) == (done, 14 - done)
    assert digest(out) == digest(prepared)


def test_only_what_changed_is_done_again(scans, prepared, tmp_path):
    scans, out = copied(scans, tmp_path / "scans"), copied(prepared, tmp_path / "prepared")
    again = preprocess(scans, out, settings=SMALL, workers=1)
    assert (again.kept, again.prepared) == (14, 0)
    assert digest(out) == digest(prepared)

    landmarks = scans / "F0001" / "F0001_HA03WH_F3D.bnd"
    landmarks.write_text(landmarks.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    changed = preprocess(scans, out, settings=SMALL, workers=1)
    assert (changed.kept, changed.prepared) == (13, 1)

    (out / "scans" / "F0001_NE00WH_F3D.safetensors").write_bytes(b"damaged")
    assert preprocess(scans, out, settings=SMALL, workers=1).prepared == 1
    assert preprocess(scans, out, settings=PreprocessSettings(size=40), workers=1).prepared == 14


def test_what_was_prepared_can_be_trained_on(prepared):
    data = PreparedDataset(prepared, texture=True)
    assert len(data) == 14
    assert sorted({data[i]["label"] for i in range(14)}) == list(range(7))
    assert np.isfinite(data[0]["maps"].numpy()).all()


def test_the_contact_sheet_is_a_picture(prepared):
    with Image.open(prepared / "contact_sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("L"), dtype=float)
    assert min(pixels.shape) > 400
    assert pixels.std() > 20


def test_a_scan_without_a_texture_leaves_its_place_in_the_contact_sheet_empty(tmp_path):
    """Its maps stand below the titles that are theirs."""
    face = mean_face()
    skin = np.full((len(face.vertices), 3), (200, 150, 120), np.float32)
    for name, scan in (("anna/happy/1.ply", face), ("bert/sad/1.ply", replace(face, colours=skin))):
        (tmp_path / "scans" / name).parent.mkdir(parents=True)
        formats.write(scan, tmp_path / "scans" / name)
    preprocess(tmp_path / "scans", tmp_path / "out", settings=SMALL, workers=1)
    with Image.open(tmp_path / "out" / "contact_sheet.png") as opened:
        sheet = np.asarray(opened.convert("RGB"), dtype=int)
    side = 132  # of a picture, with the gap
    left, top = sheet.shape[1] % side, sheet.shape[0] - 2 * side
    first, second = (
        [sheet[top + k * side :][:128, left + c * side :][:, :128] for c in range(sheet.shape[1] // side)]
        for k in (0, 1)
    )
    assert np.ptp(first[0], axis=(0, 1)).max() == 0  # no texture
    assert np.ptp(second[0], axis=(0, 1)).max() > 50
    for here, there in zip(first[1:], second[1:], strict=True):
        np.testing.assert_array_equal(here, there)  # the same face


def _points_replaced(text, word):
    """All coordinates of a .wrl turned into `word`."""
    found = re.search(rb"(?s)Coordinate\s*\{\s*point\s*\[(.*?)\]", text)
    return text[: found.start(1)] + re.sub(rb"[-\d.e]+", word, found[1]) + text[found.end(1) :]


# One way to break a scan each: file -> (what to do to its bytes, what the reason must say after the file's name)
DAMAGE = {
    "F0001/F0001_AN03WH_F3D.wrl": (lambda text: b"", "the file is empty"),
    "F0001/F0001_DI03WH_F3D.wrl": (lambda text: text[: len(text) // 3], r"line \d+ .* has no closing `\]`"),
    "F0001/F0001_FE03WH_F3D.wrl": (lambda text: bytes(range(256)) * 40, "should begin with '#VRML V2.0', begins with"),
    "F0001/F0001_HA03WH_F3D.wrl": (
        lambda text: re.sub(rb"(?s)\bcoordIndex\s*\[.*?\]", b"coordIndex [ ]", text, count=1),
        "an IndexedFaceSet with at least one face was wanted, there is none",
    ),
    "F0001/F0001_SA03WH_F3D.wrl": (
        lambda text: re.sub(rb"(point\s*\[\s*\S+)", rb"\1 1.0", text, count=1),
        r"line \d+: the point list of Coordinate should hold 3 numbers a point, holds \d+ numbers",
    ),
    "M0001/M0001_HA03WH_F3D.wrl": (
        lambda text: re.sub(rb"coordIndex\s*\[\s*\d+", b"coordIndex [ 99999999", text, count=1),
        r"line \d+: coordIndex should hold rows below \d+, the number of points; holds 99999999",
    ),
    "M0001/M0001_NE00WH_F3D.wrl": (
        lambda text: _points_replaced(text, b"inf"),
        "the scan should have a finite vertex in its faces, has none",
    ),
    "M0001/M0001_SU03WH_F3D.wrl": (
        lambda text: _points_replaced(text, b"3"),
        r"the scan should have a sound face, all \d+ are bad: 0 not finite, \d+ degenerate",
    ),
}


def test_a_bad_scan_costs_only_itself(scans, prepared, tmp_path):
    scans = copied(scans, tmp_path / "scans")
    for name, (break_it, _) in DAMAGE.items():
        (scans / name).write_bytes(break_it((scans / name).read_bytes()))
    summary = preprocess(scans, tmp_path / "prepared", settings=SMALL, workers=2)
    assert [source for source, _ in summary.failures] == sorted(DAMAGE)
    for source, reason in summary.failures:
        assert re.match(f"{source}: {DAMAGE[source][1]}", reason), reason
        assert "\n" not in reason
        assert "internal error" not in reason
    sound = {name: value for name, value in digest(tmp_path / "prepared").items() if name.startswith("scans/")}
    whole = digest(prepared)
    assert len(sound) == 14 - len(DAMAGE)
    assert all(whole[name] == value for name, value in sound.items())
    failed = [row for row in read_manifest(tmp_path / "prepared") if row["status"] == "failed"]
    assert [row["reason"] for row in failed] == [reason for _, reason in summary.failures]


def test_what_a_scan_can_do_without_is_a_warning(scans, tmp_path):
    scans = copied(scans, tmp_path / "scans with Ünï code")
    (scans / "M0001/M0001_FE03WH_F3D.bmp").write_bytes(b"")
    landmarks = scans / "M0001/M0001_SA03WH_F3D.bnd"
    landmarks.write_bytes(landmarks.read_bytes()[:100])
    summary = preprocess(scans, tmp_path / "prepared", settings=SMALL, workers=1)
    assert summary.failures == ()
    warnings = {row["id"]: list(row["warnings"]) for row in read_manifest(tmp_path / "prepared") if row["warnings"]}
    assert warnings == {
        "M0001_FE03WH_F3D": ["M0001/M0001_FE03WH_F3D.bmp: the texture of M0001_FE03WH_F3D.wrl is empty (0 bytes)"],
        "M0001_SA03WH_F3D": ["landmarks not used: M0001/M0001_SA03WH_F3D.bnd: 83 landmarks were wanted, it has 2"],
    }


def test_strict_stops_at_the_first_failure(scans, tmp_path):
    scans = copied(scans, tmp_path / "scans")
    (scans / "F0001" / "F0001_AN03WH_F3D.wrl").write_bytes(b"")
    with pytest.raises(StrictError, match=r"F0001_AN03WH_F3D\.wrl: "):
        preprocess(scans, tmp_path / "prepared", settings=SMALL, workers=1, strict=True)


def test_two_scans_of_one_id_are_both_refused_and_nothing_else_is_lost(scans, tmp_path):
    scans = copied(scans, tmp_path / "scans")
    for suffix in (".wrl", ".bmp", ".bnd"):
        source = scans / "F0001" / f"F0001_AN03WH_F3D{suffix}"
        copy = scans / "again" / "F0001" / source.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    summary = preprocess(scans, tmp_path / "prepared", settings=SMALL, workers=1)
    assert summary.prepared == 13
    assert len(summary.failures) == 2
    for _, reason in summary.failures:
        assert re.search(r"wanted one file of id F0001_AN03WH_F3D, got also .*F0001_AN03WH_F3D\.wrl", reason)


def test_wrong_calls_are_named(scans, prepared, tmp_path):
    with pytest.raises(ArgumentError, match="`workers` should be at least 1, is 0"):
        preprocess(scans, tmp_path / "out", workers=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CardError, match="no file under .*empty matches"):
        preprocess(tmp_path / "empty", tmp_path / "out")
    other = copied(prepared, tmp_path / "other")
    recipe = json.loads((other / "prepare.json").read_text(encoding="utf-8"))
    assert recipe["simulated"]
    (other / "prepare.json").write_text(json.dumps(recipe | {"dataset": "bosphorus"}), encoding="utf-8")
    with pytest.raises(ArgumentError, match="`out` should be a new folder or one of bu3dfe, .* holds bosphorus"):
        preprocess(scans, other)


class _Deadly:
    """A task that kills its worker process on one record, as a crash in a library would."""

    def __init__(self, deadly):
        self.deadly = deadly

    def __call__(self, record):
        if record.id == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome(record, "prepared", {"id": record.id})


def test_a_worker_that_dies_takes_one_scan_with_it():
    first = Record(id="s0", relative="s0.wrl", dataset="x", subject="s", files={"scan": Path("scans/s0.wrl")})
    records = [
        replace(first, id=f"s{i}", relative=f"s{i}.wrl", files={"scan": Path(f"scans/s{i}.wrl")}) for i in range(24)
    ]
    task = Task(Path("scans"), Path("out"), SMALL)
    done = run_tasks(_Deadly("s5"), records, 2, limit=0.0, begin=task.begin, died=task.died, late=task.late)
    outcomes = {outcome.record.id: outcome for _, outcome in done}
    assert len(outcomes) == 24
    failed = [name for name, outcome in outcomes.items() if outcome.status == "failed"]
    assert failed == ["s5"]
    assert outcomes["s5"].row["reason"].startswith("s5.wrl: the worker process died on it")


def test_a_bug_of_ours_costs_one_scan_too(scans, tmp_path, monkeypatch):
    def broken(record, *_):
        raise KeyError("surprise")

    monkeypatch.setattr(tasks, "prepare_record", broken)
    summary = preprocess(scans, tmp_path / "prepared", settings=SMALL, workers=1)
    assert len(summary.failures) == 14
    assert re.search(r"\.wrl: internal error at test_folder\.py:\d+, KeyError: 'surprise'", summary.failures[0][1])
