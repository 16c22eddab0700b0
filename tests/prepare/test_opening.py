"""Everything in which a prepared folder can come apart is found when it is opened or read, in one line."""

import json
import shutil

import numpy as np
import pytest

from fer3d.data.samples import labelled_rows, load
from fer3d.data.torch_dataset import PreparedDataset
from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.prepare import recipe
from fer3d.prepare.contact_sheet import write_contact_sheet
from fer3d.prepare.shards import pack
from fer3d.prepare.store import read_manifest, read_row, read_scan, write_manifest, write_scan
from fer3d.train.plan import Experiment
from fer3d.train.run import train
from tests.prepared import SIX, write_prepared

FACTS = {"command": "preprocess", "dataset": "bu3dfe", "fer3d": "0.1.0", "settings": {"size": 16}, "simulated": True}


@pytest.fixture
def folder(tmp_path):
    """A finished folder of 6 scans, with keys."""
    folder = tmp_path / "prepared"
    recipe.begin(folder, FACTS)
    return write_prepared(folder, ("F0001",), intensities=(3,), change=lambda row: row.update(key=row["id"]))


READERS = {
    "rows": lambda folder: labelled_rows(folder),
    "dataset": lambda folder: PreparedDataset(folder),
    "pack": lambda folder: pack(folder, folder.parent / "packed"),
    "train": lambda folder: train("plain-cnn", Experiment(folder, folds=2), folder.parent / "run"),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_a_folder_that_is_not_finished(folder, reader):
    recipe.begin(folder, FACTS | {"settings": {"size": 24}})
    message = (
        r"prepared: is not finished: `fer3d preprocess` was stopped, or still runs there; `fer3d preprocess \.\.\. -o "
        r".*prepared` again goes on with it; its manifest\.parquet is of an earlier run with other settings: "
        r"`settings\.size` was 16, is 24"
    )
    with pytest.raises(FileError, match=message):
        READERS[reader](folder)
    (folder / "manifest.parquet").unlink()
    with pytest.raises(FileError, match="is not finished: `fer3d preprocess` was stopped"):
        READERS[reader](folder)


def test_a_manifest_and_a_recipe_of_two_runs_are_found(folder, tmp_path):
    content = json.loads((folder / "prepare.json").read_text())
    changed = content | {"settings": {"size": 24}}
    (folder / "prepare.json").write_text(json.dumps(changed))
    with pytest.raises(FormatError, match=r"does not belong to prepare\.json: `settings\.size` was 16, is 24; write"):
        read_manifest(folder)
    (folder / "prepare.json").write_text(json.dumps(content | {"manifest": "0" * 64}))
    with pytest.raises(FormatError, match=r"is not the one that prepare\.json names by its hash; write it again: `fer"):
        read_manifest(folder)
    (folder / "prepare.json").unlink()
    with pytest.raises(FileError, match=r"prepare\.json: is missing or damaged; copy the whole folder, or write"):
        read_manifest(folder)


def test_files_that_were_not_copied_are_named(folder):
    for name in ("anger", "fear"):
        (folder / f"scans/F0001_{name}_3.safetensors").unlink()
    message = r"scans/F0001_anger_3\.safetensors: is missing, with 1 more of 6 files; copy the whole folder, or write"
    with pytest.raises(FileError, match=message):
        read_manifest(folder)


def test_folders_of_earlier_versions_open(folder):
    (folder / "prepare.json").write_text(json.dumps(FACTS))
    write_manifest(folder, read_manifest(folder))
    assert "manifest" not in json.loads((folder / "prepare.json").read_text())
    assert len(read_manifest(folder)) == 6


def test_a_manifest_that_is_written_again_seals_the_folder_again(folder):
    rows = read_manifest(folder)
    write_manifest(folder, [row | {"expression": "fear"} for row in rows])
    assert {row["expression"] for row in read_manifest(folder)} == {"fear"}


def swapped(folder, one, other):
    shutil.copy(folder / other["file"], folder / one["file"])


def other_settings(folder, one, other):
    scan = read_scan(folder / one["file"])
    scan.header["row"]["key"] = "k2"
    write_scan(folder / one["file"], scan)


def flipped_data(folder, one, other):
    content = bytearray((folder / one["file"]).read_bytes())
    content[-1] ^= 4
    (folder / one["file"]).write_bytes(content)


def flipped_header(folder, one, other):
    content = (folder / one["file"]).read_bytes()
    assert b"pixel_mm" in content
    (folder / one["file"]).write_bytes(content.replace(b"pixel_mm", b"pixel_mn", 1))


def cut(folder, one, other):
    content = (folder / one["file"]).read_bytes()
    (folder / one["file"]).write_bytes(content[:-10])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (swapped, "anger_3.safetensors: wanted the scan F0001_anger_3 of the manifest, it holds F0001_disgust_3; prep"),
        (other_settings, "its `key` is not that of F0001_anger_3 in the manifest: it was prepared with other settings"),
        (flipped_data, "the array `.*` is damaged, as its checksum shows; prepare the scans again: `fer3d preprocess`"),
        (flipped_header, "its header is damaged, as its checksum shows; prepare the scans again: `fer3d preprocess`"),
        (cut, "is not a whole safetensors file"),
    ],
)
def test_a_scan_that_is_not_the_one_of_the_manifest_is_found(folder, damage, message):
    rows = read_manifest(folder)
    damage(folder, *rows[:2])
    for read in (
        lambda: load([(folder, rows)], ["texture"], SIX),
        lambda: [PreparedDataset(folder, texture=True)[number] for number in range(6)],
        lambda: pack(folder, folder.parent / "packed"),
        lambda: write_contact_sheet(folder, rows),
        lambda: read_row(folder, rows[0]),
    ):
        with pytest.raises(FormatError, match=message) as found:
            read()
        assert "\n" not in str(found.value)


def test_a_shard_is_checked_scan_by_scan(folder, tmp_path):
    packed = tmp_path / "packed"
    pack(folder, packed, 4)
    rows = read_manifest(packed)
    for row in rows:
        for name, array in read_row(packed, row).arrays.items():
            stored = read_row(folder, row | {"file": f"scans/{row['id']}.safetensors", "prefix": ""}).arrays[name]
            np.testing.assert_array_equal(array, stored)
    assert json.loads((packed / "prepare.json").read_text())["command"] == "pack"
    flipped_data(packed, rows[0], None)
    broken = 0
    for row in rows[:4]:
        try:
            read_row(packed, row)
        except FormatError as error:
            assert "is damaged, as its checksum shows" in str(error)
            broken += 1
    assert broken == 1
    with pytest.raises(FormatError, match="holds no scan F0001_anger_3, which the manifest says is there"):
        read_row(packed, rows[0] | {"file": "shards/00001.safetensors"})


def test_packed_folders_are_not_prepared_into(folder, tmp_path):
    from fer3d.prepare.folder import preprocess
    from tests.prepare.test_folder import SMALL

    packed, scans = tmp_path / "packed", tmp_path / "scans"
    pack(folder, packed)
    (scans / "anna/happy").mkdir(parents=True)
    (scans / "anna/happy/1.ply").write_bytes(b"ply")
    content = json.loads((packed / "prepare.json").read_text())
    (packed / "prepare.json").write_text(json.dumps(content | {"dataset": "generic"}))
    with pytest.raises(ArgumentError, match="`out` should be a new folder or one of `fer3d preprocess`, .* holds pack"):
        preprocess(scans, packed, settings=SMALL, workers=1)
    with pytest.raises(ArgumentError, match="already holds prepared scans|already holds a manifest"):
        pack(folder, folder)


def test_a_killed_pack_is_not_taken_for_a_prepared_folder(folder, tmp_path):
    packed = tmp_path / "packed"
    recipe.begin(packed, FACTS | {"command": "pack"})
    with pytest.raises(FileError, match="is not finished: `fer3d pack` was stopped"):
        read_manifest(packed)
    pack(folder, packed)
    assert len(read_manifest(packed)) == 6
