"""Landmarks of many files: where they go, what is kept, and what is never touched."""

import csv
import os
import shutil

import pytest

from fer3d import formats
from fer3d.errors import ArgumentError, CheckpointError, FormatError, LockedError
from fer3d.face.load import builtin_face
from fer3d.files import locked
from fer3d.landmarks import POINT_NAMES, SCHEMES
from fer3d.prepare.landmarks.files import FindTask, doubtful_first, drawn, find_in_files, jobs_of
from fer3d.prepare.landmarks.found import find_landmarks
from fer3d.prepare.landmarks.table import COLUMNS, TABLE
from fer3d.prepare.landmarks.weights import load
from fer3d.scan import Scan
from tests.detectors import untrained

WRONG = f"{','.join(COLUMNS)}\na.ply,found,,likely{',' * (len(COLUMNS) - 4)}\n".encode()


class Dying(FindTask):
    """A task whose process ends at z.ply."""

    def begin(self):
        """Nothing to load."""

    def __call__(self, job):
        if job.scan.name.startswith("z"):
            os._exit(9)
        return super().__call__(job)


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    folder = tmp_path_factory.mktemp("face")
    model = builtin_face()
    formats.write(Scan.of(model.neutral.astype("f4"), model.triangles), folder / "face.ply")
    untrained(folder / "sure.safetensors")
    untrained(folder / "never.safetensors", fail=1.0)
    return folder


@pytest.fixture
def scans(face, tmp_path):
    """Two scans, one of them in a folder below."""
    (tmp_path / "scans/b").mkdir(parents=True)
    for name in ("one.ply", "b/two.ply"):
        shutil.copy(face / "face.ply", tmp_path / "scans" / name)
    return tmp_path / "scans"


def run(scans, out, task, suffix=".json", workers=0, **named):
    paths = sorted(path for path in scans.rglob("*") if formats.is_scan(path))
    return find_in_files(jobs_of(paths, scans, out, suffix), out, task, workers, **named)


def table(out):
    with (out / TABLE).open(newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def states(results):
    return {result.job.name: result.status for result in results}


def test_files_mirror_the_folder_and_hold_what_the_detector_found(scans, face, tmp_path):
    out, task = tmp_path / "out", FindTask(weights=face / "sure.safetensors")
    (scans / "bad.ply").write_bytes(b"ply\nnope")
    assert states(run(scans, out, task)) == {"one.ply": "found", "b/two.ply": "found", "bad.ply": "failed"}
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.json")) == ["b/two.json", "one.json"]
    found = find_landmarks(formats.read(scans / "one.ply"), detector=load(face / "sure.safetensors"))
    read = formats.read_landmarks(out / "one.json")
    assert list(read) == list(POINT_NAMES)
    known = found.points()
    assert 0 < len(known) < len(POINT_NAMES) or len(known) == len(POINT_NAMES)
    for name, point in known.items():
        assert read[name].tolist() == point.tolist()
    rows = table(out)
    assert rows["b/two.ply"]["landmarks"] == "b/two.json"
    assert rows["one.ply"]["probability"] == "0.982"
    assert int(rows["one.ply"]["points"]) == len(known)
    assert rows["bad.ply"]["status"] == "failed" and "'nope'" in rows["bad.ply"]["reason"]


def test_a_second_run_keeps_what_still_holds(scans, face, tmp_path):
    out, task = tmp_path / "out", FindTask(weights=face / "sure.safetensors")
    run(scans, out, task)
    before = (out / TABLE).read_bytes()
    assert set(states(run(scans, out, task)).values()) == {"kept"}
    assert (out / TABLE).read_bytes() == before
    assert set(states(run(scans, out, task, again=True)).values()) == {"found"}
    later = (out / "one.json").stat().st_mtime_ns + 1
    os.utime(scans / "one.ply", ns=(later, later))
    assert states(run(scans, out, task)) == {"one.ply": "found", "b/two.ply": "kept"}
    few = FindTask("ibug68", task.weights)
    assert set(states(run(scans, out, few)).values()) == {"found"}
    assert tuple(formats.read_landmarks(out / "one.json")) == SCHEMES["ibug68"]
    never = FindTask("ibug68", face / "never.safetensors")
    assert set(states(run(scans, out, never)).values()) == {"failed"}
    assert not list(out.rglob("*.json")), "a landmark file of a scan that has no face any more"


@pytest.mark.parametrize("name", ["=1+1.ply", "'quoted.ply", "two\nlines, and more.ply", "caf\udce9.ply", "-x.ply"])
def test_any_name_of_a_file_is_known_again(name, face, tmp_path):
    (tmp_path / "scans").mkdir()
    shutil.copy(face / "face.ply", tmp_path / "scans" / name)
    task = FindTask(weights=face / "sure.safetensors")
    for status in ("found", "kept", "kept"):
        assert states(run(tmp_path / "scans", tmp_path / "out", task)) == {name: status}


def test_a_run_that_is_stopped_loses_no_result(scans, face, tmp_path):
    out, task = tmp_path / "out", FindTask(weights=face / "sure.safetensors")

    def stop(result, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scans, out, task, progress=stop)
    assert sorted(row["status"] for row in table(out).values()) == ["found", "waiting"]
    (out / "one.json").write_text("half a run's file: it is listed, so it may be replaced")
    assert sorted(states(run(scans, out, task)).values()) == ["found", "kept"]
    assert formats.read_landmarks(out / "one.json")


def test_a_landmark_file_of_somebody_else_stays(scans, face, tmp_path):
    mine = scans / "b/two.pp"
    mine.write_text("placed by hand")
    task = FindTask(weights=face / "sure.safetensors")
    with pytest.raises(ArgumentError, match=r"b/two.pp: is there, and not from `fer3d landmarks`; .* `-o landmarks`"):
        run(scans, scans, task, ".pp", again=True)
    assert mine.read_text() == "placed by hand"
    assert not (scans / TABLE).exists() and not (scans / "one.pp").exists()
    mine.unlink()
    run(scans, scans, task, ".pp")
    assert set(states(run(scans, scans, task, ".pp", again=True)).values()) == {"found"}


def test_a_scan_that_kills_its_process_costs_no_other(scans, face, tmp_path):
    shutil.copy(face / "face.ply", scans / "z.ply")
    results = run(scans, tmp_path / "out", Dying(weights=face / "sure.safetensors"), workers=1)
    assert states(results) == {"z.ply": "failed", "one.ply": "found", "b/two.ply": "found"}
    assert "the worker process died on it" in table(tmp_path / "out")["z.ply"]["reason"]


def test_scans_that_differ_in_their_suffix_have_files_of_their_own(tmp_path):
    scans = [tmp_path / name for name in ("a.ply", "a.OBJ", "b.abs.gz", "c.d.stl")]
    jobs = jobs_of(scans, tmp_path, tmp_path / "out", ".mrk.json")
    assert [job.target.name for job in jobs] == ["a.ply.mrk.json", "a.OBJ.mrk.json", "b.mrk.json", "c.d.mrk.json"]


def test_pictures_of_kept_scans_and_the_doubtful_first(scans, face, tmp_path):
    out, task = tmp_path / "out", FindTask(weights=untrained(tmp_path / "w.safetensors", warn=1.0), pictures=True)
    (scans / "bad.ply").write_bytes(b"ply\nnope")
    first = run(scans, out, task)
    second = run(scans, out, task)
    assert [r.picture is None for r in second] == [True, True, True]
    assert [r.picture for r in drawn(second, task)] == [r.picture for r in first]
    assert [r.job.name for r in doubtful_first(first)] == ["bad.ply", "b/two.ply", "one.ply"]
    assert "look at it" in second[0].warnings


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe", b'"x\n', b"file\n" + b"x," * 40, WRONG])
def test_a_damaged_table_is_one_line(content, scans, face, tmp_path):
    (tmp_path / TABLE).write_bytes(content)
    with pytest.raises(FormatError) as caught:
        run(scans, tmp_path, FindTask(weights=face / "sure.safetensors"))
    assert str(tmp_path / TABLE) in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_weights_end_the_run_before_it_writes(scans, tmp_path):
    (tmp_path / "w").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="w: weights of the landmark detector were wanted"):
        run(scans, tmp_path / "out", FindTask(weights=tmp_path / "w"))
    assert not (tmp_path / "out").exists()


def test_a_second_run_at_the_same_time_is_refused(scans, face, tmp_path):
    with locked(tmp_path, "another"), pytest.raises(LockedError, match="another"):
        run(scans, tmp_path, FindTask(weights=face / "sure.safetensors"))
