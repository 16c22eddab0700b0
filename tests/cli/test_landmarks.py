"""`fer3d landmarks` as a user types it, with a detector that takes everything for a face."""

import re
import shutil

import numpy as np
import pytest

from fer3d import formats
from fer3d.face.load import builtin_face
from fer3d.landmarks import SCHEMES
from fer3d.prepare.landmarks import files
from fer3d.prepare.landmarks.found import find_landmarks
from fer3d.prepare.landmarks.weights import load
from fer3d.scan import Scan
from tests.commands import fer3d
from tests.detectors import untrained


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    model = builtin_face()
    formats.write(Scan.of(model.neutral.astype("f4"), model.triangles), folder / "face.ply")
    untrained(folder / "sure.safetensors", warn=1.0)
    untrained(folder / "never.safetensors", fail=1.0)
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A working folder with a scan, two in a folder, and the processes of `landmarks` replaced by this one."""
    monkeypatch.chdir(tmp_path)
    run = files.run_tasks
    monkeypatch.setattr(files, "run_tasks", lambda task, jobs, workers, **named: run(task, jobs, 0, **named))
    for name in ("face.ply", "scans/a.ply", "scans/b/c.ply"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made / "face.ply", tmp_path / name)
    for name in ("sure", "never"):
        shutil.copy(made / f"{name}.safetensors", tmp_path)
    return tmp_path


SURE, NEVER = ("--weights", "sure.safetensors"), ("--weights", "never.safetensors")


def expected():
    return find_landmarks(formats.read("face.ply"), detector=load("sure.safetensors")).points()


def test_the_points_of_one_scan_are_printed_as_a_table_and_the_summary_apart(here, capsys):
    code, out, err = fer3d(capsys, "landmarks", "face.ply", *SURE, "--html", "page.html")
    assert code == 0
    page = (here / "page.html").read_text()
    assert "<b>face.ply</b>" in page and page.count('src="data:image/webp;base64,') == 1
    (here / "points.csv").write_text(out)
    read = formats.read_landmarks(here / "points.csv")
    assert {n: p.tolist() for n, p in read.items() if np.isfinite(p).all()} == {
        n: p.tolist() for n, p in expected().items()
    }
    assert re.search(r"^face +probability 98%$", err, re.M)
    assert re.search(rf"^points +{len(expected())} placed", err, re.M)
    assert re.search(r"^axes ", err, re.M)
    assert re.search(r"^unit +(m|cm|mm|([\d.e+-]+) mm: --unit \2)$", err, re.M)
    assert "warning the face was found with a probability of 98% only" in err


@pytest.mark.parametrize("suffix", ["json", "csv", "pp", "fcsv", "mrk.json", "lm3"])
def test_the_suffix_of_the_file_is_its_format(suffix, here, capsys):
    code, out, err = fer3d(capsys, "landmarks", "face.ply", "-o", f"x.{suffix}", *SURE)
    assert (code, err) == (0, "")
    assert f"-> x.{suffix}" in out
    read = {n: p for n, p in formats.read_landmarks(f"x.{suffix}").items() if np.isfinite(p).all()}
    wanted = expected()
    assert set(read) == (set(wanted) & set(SCHEMES["bosphorus"]) if suffix == "lm3" else set(wanted))
    assert all(np.allclose(read[name], wanted[name], rtol=1e-5, atol=1e-4) for name in read)
    code, _, err = fer3d(capsys, "landmarks", "face.ply", "-o", f"x.{suffix}", *SURE)
    assert (code, err) == (1, f"fer3d: x.{suffix}: is there already; --again replaces it\n")
    assert fer3d(capsys, "landmarks", "face.ply", "-o", f"x.{suffix}", *SURE, "--again")[0] == 0


def test_a_scheme_and_a_format_on_the_screen(here, capsys):
    _, out, _ = fer3d(capsys, "landmarks", "face.ply", *SURE, "--scheme", "ibug68", "--format", "json")
    (here / "p.json").write_text(out)
    assert tuple(formats.read_landmarks("p.json")) == SCHEMES["ibug68"]


def test_a_folder_is_a_batch_that_resumes(here, capsys):
    (here / "scans/bad.ply").write_bytes(b"ply\nnope")
    code, out, _ = fer3d(capsys, "landmarks", "scans", *SURE, "--html", "page.html")
    assert code == 3
    assert "failed bad.ply: line 2" in out and "doubtful a.ply: the face was found" in out
    assert "2 found, 0 kept from before, 1 failed, 2 in doubt" in " ".join(out.split())
    assert (here / "landmarks/a.json").is_file() and (here / "landmarks/b/c.json").is_file()
    first = (here / "page.html").read_text()
    names = re.findall(r"<b>(.*?)</b>", first)
    assert names == ["bad.ply", "a.ply", "b/c.ply"]
    assert first.count('src="data:image/webp;base64,') == 2
    assert not re.search(r'(src|href)="(?!data:)', first), "the page needs nothing else"
    (here / "scans/bad.ply").unlink()
    code, out, _ = fer3d(capsys, "landmarks", "scans", *SURE, "--html", "page.html")
    assert code == 0
    assert "0 found, 2 kept from before, 0 failed" in " ".join(out.split())
    assert re.findall(r"base64,(\S+)\"", (here / "page.html").read_text()) == re.findall(r"base64,(\S+)\"", first)


def test_scans_of_several_places_are_mirrored_below_the_folder_that_holds_all(here, capsys):
    code, _, err = fer3d(capsys, "landmarks", "face.ply", "scans/b", "-o", "new", "--format", "pp", *SURE)
    assert (code, err) == (0, "")
    assert sorted(p.relative_to(here).as_posix() for p in here.rglob("*.pp")) == ["new/face.pp", "new/scans/b/c.pp"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nowhere.ply", "nowhere.ply: cannot be read: No such file or directory"),
        ("face.ply --weights never.safetensors", "face.ply: no face found: the likeliest place is a face with a prob"),
        ("face.ply --weights face.ply", "face.ply: weights of the landmark detector were wanted"),
        ("face.ply --weights nowhere", "nowhere: cannot be read"),
        ("scans --weights nowhere", "nowhere: cannot be read"),
        ("face.ply --format xml", "`--format` should be one of json, csv, lm3"),
        ("face.ply --scheme dlib", "`scheme` should be one of"),
        ("scans --format lm3 --scheme ibug68", "`scheme` should be bosphorus for .lm3, is 'ibug68'"),
        ("scans -o face.ply", "`--out` should be a folder for 2 scans, face.ply is a file"),
        ("scans/a.ply face.ply -o a.json", "`--out` should be a folder for 2 scans, a.json is a file"),
        ("empty", "empty: holds no scan; its files should end in .wrl"),
        ("face.ply -o nowhere/a.json --weights sure.safetensors", "nowhere/a.json: cannot be written"),
    ],
)
def test_errors_are_one_line(line, message, here, capsys):
    (here / "empty").mkdir()
    code, out, err = fer3d(capsys, "landmarks", *line.split())
    assert code == 1
    assert message in err
    assert err.count("\n") == 1 and err.startswith("fer3d: ")
    assert out == ""


def test_a_landmark_file_of_the_data_set_is_never_replaced(here, capsys):
    (here / "scans/a.bnd").write_text("theirs")
    code, _, err = fer3d(capsys, "landmarks", "scans", "-o", "scans", "--format", "bnd", "--again", *SURE)
    assert code == 1
    assert "scans/a.bnd: is there, and not from `fer3d landmarks`" in err and "`-o landmarks`" in err
    assert (here / "scans/a.bnd").read_text() == "theirs"
