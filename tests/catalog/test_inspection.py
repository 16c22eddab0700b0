"""What `inspect` counts, misses and cannot read, and that its tables say it."""

import io
import json
import re
import shutil
from dataclasses import fields, replace
from inspect import getsource as inspect_source
from pathlib import Path

import pytest
from rich.console import Console

from fer3d.catalog.inspection import Inspection, Missing, Unreadable, inspect
from fer3d.catalog.inspection_json import inspection_to_json
from fer3d.cli.options import AxisOptions
from fer3d.cli.show_inspection import render
from fer3d.cli.show_preparation import run_inspect
from fer3d.errors import ArgumentError, CardError
from tests import trees


def printed(inspection: Inspection, rows: int = 20) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(render(inspection, rows=rows))
    return console.file.getvalue()


@pytest.fixture
def readable(tmp_path: Path) -> Path:
    """Twenty good scans of two subjects, so that two workers get something each."""
    folder = tmp_path / "scans"
    trees.touch(folder, [f"anna/happy/{n}.ply" for n in range(10)], trees.PLY)
    trees.touch(folder, [f"bert/sad/{n}.wrl" for n in range(10)], trees.WRL)
    return folder


def test_complete_subjects_lack_nothing(tmp_path: Path):
    result = inspect(trees.bu3dfe(tmp_path, ["F0001", "M0044"]))
    assert result.catalog.card.name == "bu3dfe"
    assert result.subjects == ("F0001", "M0044")
    assert result.missing == ()
    assert result.without == {}
    assert len(result.absent) == 98
    assert result.unexpected == ()
    assert (result.read, result.unreadable) == (False, ())
    assert result.counts["neutral", 0] == 2
    assert result.counts["fear", 3] == 2
    assert sum(result.counts.values()) == 50


def test_subject_with_24_of_25_scans(tmp_path: Path):
    trees.bu3dfe(tmp_path, ["F0001", "M0003"])
    (tmp_path / "M0003" / "M0003_FE02BL_F3D.wrl").unlink()
    result = inspect(tmp_path)
    assert result.missing == (Missing("M0003", "fear", 4, 3, (2,)),)
    assert len(result.catalog.extra) == 5  # what belonged to it
    text = printed(result)
    assert "49 of 2,500 scans" in text
    assert "intensity 2" in text
    assert "3 of 4" in text


def test_subjects_who_lack_the_same_are_one_line(tmp_path: Path):
    trees.bu3dfe(tmp_path)
    for path in tmp_path.rglob("*_FE02*_F3D.wrl"):
        path.unlink()
    result = inspect(tmp_path)
    assert len(result.missing) > 1
    assert "Missing: 1 " in " ".join(printed(result).split())


def test_missing_companions_are_counted(tmp_path: Path):
    trees.bu3dfe(tmp_path, ["F0001"])
    for name in ("F0001_HA02WH_F3D.bnd", "F0001_SA01WH_F3D.bnd", "F0001_SA01WH_F3D.bmp"):
        (tmp_path / "F0001" / name).unlink()
    result = inspect(tmp_path)
    assert result.without == {"landmarks": 2, "texture": 1}
    assert "without landmarks: 2 scans" in printed(result)


def test_sequences_gaps_and_absent_classes(tmp_path: Path):
    trees.bu4dfe(tmp_path, ["F001", "M043"], frames=6)
    for frame in (1, 3, 4):
        (tmp_path / "M043" / "Angry" / f"{frame:03d}.wrl").unlink()
    for path in (tmp_path / "F001" / "Sad").iterdir():
        path.unlink()  # an empty folder is left, as in the wild
    result = inspect(tmp_path)
    assert result.sequences == 11
    assert result.missing == (Missing("F001", "sadness", 1, 0),)
    assert result.gaps == {"M043_Angry": (1, 3, 4)}
    assert "11 of 606 sequences" in printed(result)


def test_gaps_of_absurd_frame_numbers_are_cut(tmp_path: Path):
    trees.touch(tmp_path, ["a.ply", "b.ply"])
    (tmp_path / "labels.csv").write_text("path,sequence,frame\na.ply,s,0\nb.ply,s,999999999\n")
    assert len(inspect(tmp_path, "generic").gaps["s"]) == 1000


def test_subject_that_the_data_set_does_not_have(tmp_path: Path):
    trees.bu4dfe(tmp_path, ["F001", "M099"])
    result = inspect(tmp_path)
    assert result.unexpected == ("M099",)
    assert "not subjects of BU-4DFE: M099" in printed(result)


def test_records_in_doubt_extra_files_and_notes_are_shown(tmp_path: Path):
    trees.touch(tmp_path, ["lab1/anna/happy/1.ply", "lab1/anna/happy/1.obj", "lab2/anna/sad/[bold]2.ply", "x.dat"])
    (tmp_path / "gone.ply").symlink_to(tmp_path / "nowhere")
    result = inspect(tmp_path)
    assert len(result.errors) == 2
    text = printed(result)
    assert "Not usable: 2" in text
    assert "wanted one file of id lab1--anna--happy--1, got also lab1/anna/happy/1.ply" in text
    assert "x.dat" in text
    assert "subject anna lies in 2 folders" in text
    assert "gone.ply: wanted a regular file" in text


def test_paths_are_not_taken_for_markup(tmp_path: Path):
    trees.touch(tmp_path, ["anna/happy/1.ply", "[bold]/[/red].dat"])
    assert "[bold]/[/red].dat" in printed(inspect(tmp_path))


def test_long_lists_are_cut(tmp_path: Path):
    trees.touch(tmp_path, ["anna/happy/1.ply", *(f"{n:02d}.dat" for n in range(30))])
    text = printed(inspect(tmp_path), rows=10)
    assert "09.dat" in text
    assert "10.dat" not in text
    assert "and 20 more" in text


def test_thousand_scans_without_landmarks_are_one_line(tmp_path: Path):
    text = printed(inspect(trees.bu4dfe(tmp_path, frames=9, landmarks=None)))
    assert text.count("no landmarks file") == 2  # the kind, and its example


def test_classes_are_in_canonical_order(tmp_path: Path):
    text = printed(inspect(trees.bosphorus(tmp_path)))
    assert text.index("neutral") < text.index("anger") < text.index("happiness") < text.index("none")


def test_card_by_name_is_not_detected(tmp_path: Path):
    result = inspect(trees.bu3dfe(tmp_path), "bu3dfe")
    assert result.detection is None
    assert "detected" not in printed(result)
    assert "detected: 50 scans" in printed(inspect(tmp_path))
    with pytest.raises(CardError, match=r"no file under .* matches .*Bosphorus"):
        inspect(tmp_path, "bosphorus")


@pytest.mark.parametrize("workers", [1, 2])
def test_unreadable_files_are_named_and_the_rest_is_read(readable: Path, workers: int):
    (readable / "anna/happy/3.ply").write_bytes(b"ply\nformat ascii 1.0\nelement vertex 3\n")
    (readable / "bert/sad/7.wrl").write_bytes(b"")
    trees.touch(readable, ["anna/happy/4.bnd"], "0 1.0 2.0 x\n")
    ticks: list[tuple[int, int]] = []
    result = inspect(readable, read=True, workers=workers, progress=lambda done, of: ticks.append((done, of)))
    assert [(failure.relative, failure.role) for failure in result.unreadable] == [
        ("anna/happy/3.ply", "scan"),
        ("anna/happy/4.ply", "landmarks"),
        ("bert/sad/7.wrl", "scan"),
    ]
    assert all(isinstance(failure, Unreadable) and "\n" not in failure.reason for failure in result.unreadable)
    assert "3.ply" in result.unreadable[0].reason
    assert "4.bnd" in result.unreadable[1].reason
    assert ticks[-1] == (20, 20)
    assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)
    text = printed(result)
    assert "Cannot be read: 3" in text
    assert "cannot be read: 3 files" in text


def test_readers_warnings_are_shown(readable: Path):
    text = trees.WRL.replace("geometry", 'appearance Appearance { texture ImageTexture { url "no.bmp" } }\n  geometry')
    (readable / "bert/sad/2.wrl").write_text(text)
    result = inspect(readable, read=True)
    assert list(result.warned) == ["bert/sad/2.wrl"]
    assert "no.bmp" in result.warned["bert/sad/2.wrl"][0]
    assert "Warnings: 1" in printed(result)
    many = replace(result, warned={f"{n}.wrl": (f"{n}.wrl: {n} of its points lie twice",) for n in range(30)})
    assert re.search(r"Warnings: 1 .*0 of its points lie twice .* 30 ", printed(many), re.S)


def test_workers_out_of_range(tmp_path: Path):
    with pytest.raises(ArgumentError, match=r"`workers` should lie in \[1, inf\], is 0"):
        inspect(tmp_path, workers=0)


def test_other_targets_are_counted(tmp_path: Path):
    trees.touch(tmp_path, ["a.ply", "b.ply", "c.ply"])
    (tmp_path / "labels.csv").write_text("path,valence,action_units\na.ply,0.5,AU12:3\nb.ply,,AU4:0\nc.ply,,\n")
    result = inspect(tmp_path, "generic")
    assert result.targets == {"action-units": 2, "action-unit-intensities": 2, "valence": 1, "valence-arousal": 1}
    assert "other targets: action-units of 2, action-unit-intensities of 2, valence of 1" in printed(result)


def test_json_says_everything_that_the_tables_say(tmp_path: Path):
    trees.bu3dfe(tmp_path, ["F0001", "M0003"])
    trees.touch(tmp_path, ["x.dat", "F0001/F0001_AN01WH_F3D.wrl"], trees.WRL)
    (tmp_path / "M0003" / "M0003_FE02BL_F3D.wrl").unlink()
    (tmp_path / "F0001" / "F0001_SA01WH_F3D.bnd").unlink()
    shutil.copytree(tmp_path / "F0001", tmp_path / "again/F0001")
    result = inspect(tmp_path, read=True)
    found = json.loads(json.dumps(inspection_to_json(result), allow_nan=False))
    text = " ".join(printed(result, rows=1000).split())
    assert found["dataset"] == "bu3dfe"
    assert found["detection"]["reason"] in text
    assert found["counts"] == {"subjects": 2, "scans": 74, "sequences": 0, "extra": 6, "ignored": 0}
    assert found["expected"] == {"subjects": 100, "scans": 2500, "sequences": None}
    assert found["missing"] == [{"subject": "M0003", "expression": "fear", "wanted": 4, "got": 3, "intensities": [2]}]
    assert len(found["errors"]) == 50
    assert len(found["unreadable"]) == len(result.unreadable) > 0
    assert found["unreadable"][0]["reason"] == result.unreadable[0].reason
    assert found["without"] == {"landmarks": 2}
    assert list(found["problems"].values()) == [["no landmarks file, wanted F0001_SA01WH_F3D.bnd"]] * 2
    assert "x.dat" in found["extra"]
    assert found["notes"] == list(result.catalog.notes)
    assert {"expression": "fear", "intensity": 2, "scans": 2, "subjects": 1} in found["classes"]
    assert sum(row["scans"] for row in found["classes"]) == len(found["records"]) == 74
    assert len(found["absent"]) == 98


def test_json_has_every_field_of_an_inspection():
    names = {field.name for field in fields(Inspection)} - {"catalog", "counts", "sequences", "warned", "classes"}
    source = inspect_source(inspection_to_json)
    assert all(f"inspection.{name}" in source for name in names)


def test_command_prints_json_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    trees.touch(tmp_path, [f"happy/IMG_{n}.ply" for n in range(30)], trees.PLY)
    assert run_inspect(tmp_path, "auto", True, 1, AxisOptions(), True) == 0
    found = json.loads(capsys.readouterr().out)
    assert [record["subject"] for record in found["records"]] == ["unknown"] * 30
    assert found["notes"][0].startswith("30 of 30 scans name no person, such as happy/IMG_0.ply")


def test_unknown_people_are_not_counted_as_subjects(tmp_path: Path):
    trees.touch(tmp_path, ["happy/1.ply", "train/sad/2.ply", "sad/anna_1.ply"])
    text = printed(inspect(tmp_path))
    assert "1 subjects, 3 scans" in text
    assert "subjects: anna\n" in "\n".join(line.rstrip() for line in text.splitlines())
    assert "of unknown people: 2 scans" in text
