"""Pictures in shards: their bytes, what a run keeps of an earlier one, and folders of earlier versions."""

import shutil

import numpy as np
import pytest
from PIL import Image

from fer3d.config import PreprocessSettings
from fer3d.data.samples import labelled_rows, load
from fer3d.errors import FormatError
from fer3d.prepare import folder as prepare_folder
from fer3d.prepare.folder import preprocess
from fer3d.prepare.shards import shard_size
from fer3d.prepare.store import header_for, read_manifest, read_row, write_scan
from tests import picture_trees as trees
from tests.prepare.test_folder import digest

SMALL = PreprocessSettings(size=16)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Five pictures a shard."""
    monkeypatch.setattr(prepare_folder, "shard_size", lambda size: 5)


@pytest.fixture
def pictures(tmp_path):
    """CK+ with landmarks, so that no detector is needed: 12 pictures."""
    folder = trees.ckplus(tmp_path / "ck")
    points = np.stack([np.linspace(5, 40, 68), np.linspace(10, 30, 68)], axis=1)
    for path in (folder / "Landmarks").rglob("*.txt"):
        np.savetxt(path, points)
    return folder


def run(pictures, out, workers=1):
    summary = preprocess(pictures, out, settings=SMALL, workers=workers)
    return summary.prepared, summary.kept, len(summary.failures)


def paint(path, colour):
    Image.fromarray(np.full((60, 60, 3), colour, np.uint8)).save(path)


def test_pictures_lie_in_shards_in_the_order_of_the_catalogue(pictures, tmp_path):
    out = tmp_path / "out"
    assert run(pictures, out) == (12, 0, 0)
    assert sorted(path.name for path in (out / "shards").iterdir()) == [f"0000{k}.safetensors" for k in range(3)]
    assert not (out / "scans").exists()
    rows = read_manifest(out)
    assert [row["file"] for row in rows] == [f"shards/0000{k // 5}.safetensors" for k in range(12)]
    for row in rows:
        scan = read_row(out, row)
        assert scan.header["row"]["id"] == row["id"]
        assert scan.arrays["texture"].shape == (16, 16, 3)
    run(pictures, tmp_path / "two", workers=2)
    assert digest(tmp_path / "two") == digest(out)
    labelled = labelled_rows(out)
    values = load([(out, labelled)], ("texture",), sorted({row["expression"] for row in labelled})).values
    for row, value in zip(labelled, values.float(), strict=True):
        stored = read_row(out, row).arrays["texture"].transpose(2, 0, 1)
        np.testing.assert_allclose(value[:3], stored / 255, atol=1e-3)


def test_only_changed_pictures_are_prepared_again(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    whole = digest(out)
    stamps = {path: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    assert run(pictures, out) == (0, 12, 0)
    assert {path: path.stat().st_mtime_ns for path in (out / "shards").iterdir()} == stamps
    rows = read_manifest(out)
    paint(pictures / rows[6]["source"], (10, 200, 30))
    assert run(pictures, out) == (1, 11, 0)
    changed = {path.name for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp}
    assert changed == {"00001.safetensors"}
    run(pictures, tmp_path / "fresh")
    assert digest(out) == digest(tmp_path / "fresh") != whole


def test_a_lost_or_damaged_shard_costs_its_pictures(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    whole, shard = digest(out), out / "shards/00000.safetensors"
    shard.unlink()
    assert run(pictures, out) == (5, 7, 0)
    assert digest(out) == whole
    content = bytearray(shard.read_bytes())
    shard.write_bytes(content[: len(content) // 2])
    summary = preprocess(pictures, out, settings=SMALL, workers=1)
    assert (summary.prepared, summary.kept) == (5, 7)
    (line,) = summary.damaged
    assert "00000.safetensors: is not a whole safetensors file" in line
    content[-1] ^= 1  # a bit of the data of one picture
    shard.write_bytes(content)
    rows = read_manifest(out)
    with pytest.raises(FormatError, match=r"the array `.*` is damaged, as its checksum shows"):
        for row in rows[:5]:
            read_row(out, row)
    summary = preprocess(pictures, out, settings=SMALL, workers=1)
    assert (summary.prepared, summary.kept, len(summary.damaged)) == (1, 11, 1)
    assert digest(out) == whole


def test_pictures_that_come_and_go_move_the_others(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out)
    sequence = [row["source"] for row in read_manifest(out)[4:7]]  # all of it: a frame's label depends on the others
    for name in sequence:
        (pictures / name).unlink()
    assert run(pictures, out) == (0, 9, 0)
    assert sorted(path.name for path in (out / "shards").iterdir()) == ["00000.safetensors", "00001.safetensors"]
    run(pictures, tmp_path / "fresh")
    assert digest(out) == digest(tmp_path / "fresh")
    for name in sequence:
        paint(pictures / name, (1, 2, 3))
    assert run(pictures, out) == (3, 9, 0)
    (pictures / sequence[0]).write_bytes(b"")
    assert run(pictures, out) == (0, 11, 1)
    assert sum(row["status"] == "ok" for row in read_manifest(out)) == 11
    run(pictures, tmp_path / "again")
    assert digest(out) == digest(tmp_path / "again")


def test_single_files_of_earlier_versions_are_read_and_kept(pictures, tmp_path):
    out, old = tmp_path / "out", tmp_path / "old"
    run(pictures, out)
    for row in read_manifest(out):
        scan = read_row(out, row)
        scan.header["row"] |= {"file": f"scans/{row['id']}.safetensors", "prefix": ""}
        write_scan(old / "scans" / f"{row['id']}.safetensors", scan)
    assert run(pictures, old) == (0, 12, 0)
    shutil.rmtree(old / "scans")
    assert digest(old) == digest(out)
    assert header_for(old, read_manifest(old)[0])["kind"] == "pictures"


@pytest.mark.parametrize(("size", "pictures"), [(48, 1024), (128, 1024), (224, 334), (2048, 4)])
def test_shards_are_of_bounded_size(size, pictures):
    assert shard_size(size) == pictures
