"""Label files that are damaged, contradict each other, or are not what they say: one line, and the rest is read."""

import random
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.io import savemat

from fer3d.catalog import Catalog, read_catalog
from fer3d.catalog.cards import load_card
from fer3d.catalog.labels import reading
from fer3d.catalog.record_pictures import read_record_picture
from fer3d.errors import CardError, Fer3dError, FormatError
from tests import picture_trees, trees
from tests.picture_trees import write


def simulated(folder: Path) -> Path:
    """A scan with the truth of its simulation beside it."""
    trees.touch(folder, ["F0001/F0001_AN01WH_F3D.wrl"])
    units = pa.array([[("AU12_L", 0.5), ("AU4", 1.0)]], pa.map_(pa.string(), pa.float64()))
    table = pa.table({"file": ["F0001/F0001_AN01WH_F3D.wrl"], "units": units})
    pq.write_table(table, folder / "truth.parquet", compression="none")
    return folder


def labelled(folder: Path) -> Path:
    """Two scans and a labels.csv."""
    trees.touch(folder, ["anna/happy/1.ply", "a.ply"])
    write(folder, "labels.csv", "path,subject,expression,valence,action_units,yaw\na.ply,x,happy,0.5,AU1:2 AU4:0,3\n")
    return folder


MAKE: dict[str, Callable[[Path], Path]] = {
    **{name: picture_trees.MAKE[name] for name in ("fer2013", "ferplus", "ckplus", "mmi", "raf-db", "affectnet")},
    **{name: picture_trees.MAKE[name] for name in ("affectnet-files", "tfd")},
    "bu3dfe": simulated,
    "generic": labelled,
}
SUFFIXES = (".csv", ".txt", ".xml", ".npy", ".mat", ".parquet")
WORDS = (
    b"nan",
    b"-1",
    b"1e400",
    b"99999999999999999999",
    b"\0",
    b"\xff\xfe",
    b",",
    b"\n",
    b'"',
    b"\xc2\xb2",
    b"<",
    b"AU12",
)
ENDS = (b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x80")


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The content with one to eight changes: bytes changed, lost, repeated, cut off or put in."""
    out = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(out) + 1)
        end = at + chance.choice((1, 2, 4, 16, 200))
        change = chance.randrange(6)
        if change == 0:
            del out[at:end]
        elif change == 1:
            out = out[:at]
        elif change == 2:
            out[at:at] = out[at:end]
        elif change == 3:
            out[at : at + 4] = chance.choice(ENDS)
        else:
            out[at : end if change == 4 else at] = chance.choice(WORDS)
    return bytes(out)


def check_lines(catalog: Catalog) -> None:
    problems = [text for record in catalog.records for text in (*record.problems, record.error or "")]
    assert all("\n" not in text and len(text) < 1000 for text in (*catalog.notes, *problems))


@pytest.mark.parametrize("name", sorted(MAKE))
def test_damaged_label_files_cost_one_line_each(tmp_path, name):
    folder, chance, card = MAKE[name](tmp_path / name), random.Random(name), load_card(name)
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES and "landmarks" not in path.name]
    with warnings.catch_warnings(action="error"):
        for _ in range(40):
            file = chance.choice(files)
            content = file.read_bytes()
            file.write_bytes(damaged(content, chance))
            try:
                catalog = read_catalog(folder, card)
                check_lines(catalog)
                for record in catalog.records[:2] if name in ("tfd", "fer2013") else ():
                    read_record_picture(record.files["scan"], record.attributes)
            except Fer3dError as error:
                assert "\n" not in str(error)
            file.write_bytes(content)


@pytest.mark.parametrize("name", sorted(MAKE.keys() - {"fer2013", "tfd", "generic"}))
@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\xff\xfe" * 40, b'"' * 99, b"<" * 99])
def test_no_label_file_costs_the_folder(tmp_path, name, content):
    folder, card = MAKE[name](tmp_path), load_card(name)
    ids = [record.id for record in read_catalog(folder, card).records]
    for path in folder.rglob("*"):
        if path.suffix in SUFFIXES and path.is_file():
            path.write_bytes(content)
    catalog = read_catalog(folder, card)
    assert [record.id for record in catalog.records] == ids
    assert catalog.notes
    assert not any(record.action_units or record.absent_units for record in catalog.records)


def test_table_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    picture_trees.affectnet(tmp_path)
    monkeypatch.setattr(reading, "MOST_BYTES", 99)
    catalog = read_catalog(tmp_path, load_card("affectnet"))
    assert {record.expression for record in catalog.records} == {None}
    assert catalog.notes[0].startswith("training.csv: wanted at most 99 bytes, got ")


def test_tables_of_other_programs(tmp_path):
    picture_trees.affectnet(tmp_path)
    for name, encoding in (("training.csv", "utf-16"), ("validation.csv", "utf-8-sig")):
        text = (tmp_path / name).read_text().replace(";", "|").replace(",", ";").replace("|", ",")
        (tmp_path / name).write_bytes(text.replace("\n", "\r\n").encode(encoding))
    catalog = read_catalog(tmp_path, load_card("affectnet"))
    labels = {record.id: (record.expression, record.valence) for record in catalog.records}
    assert labels["1_0123abcd"] == ("happiness", 0.5)
    assert labels["1_00aa11bb"] == ("contempt", 0.1)
    assert catalog.notes == ()


def test_two_lines_of_one_picture_that_differ_are_an_error(tmp_path):
    picture_trees.raf_db(tmp_path)
    lines = "train_00001.jpg 5\ntrain_00001.jpg 4\ntrain_00002.jpg 1\ntrain_00002.jpg 1\ntest_0001.jpg 7\n"
    write(tmp_path, "basic/EmoLabel/list_patition_label.txt", lines)
    found = {record.id: record for record in read_catalog(tmp_path, load_card("raf-db")).records}
    table = "basic/EmoLabel/list_patition_label.txt"
    assert found["train_00001_aligned"].error == (
        f"wanted one line for basic/Image/aligned/train_00001_aligned.jpg, got {table}:1 and {table}:2, which differ"
    )
    assert found["train_00001_aligned"].expression is None
    assert (found["train_00002_aligned"].expression, found["train_00002_aligned"].error) == ("surprise", None)


def test_label_file_against_folder_is_a_problem(tmp_path):
    picture_trees.paint(
        tmp_path, ["DATASET/train/5/train_00001_aligned.jpg", "DATASET/train/1/train_00002_aligned.jpg"]
    )
    write(tmp_path, "EmoLabel/list_patition_label.txt", "train_00001.jpg 4\ntrain_00002.jpg 1\n")
    first, second = read_catalog(tmp_path, load_card("raf-db")).records
    assert first.expression is None
    assert first.problems == (
        "the path says sadness, EmoLabel/list_patition_label.txt:1 says happiness: no expression is used",
    )
    assert (second.expression, second.problems) == ("surprise", ())


def test_mmi_files_that_differ_and_numbers_that_are_none(tmp_path):
    picture_trees.mmi(tmp_path)
    write(tmp_path, "Sessions/1767/more.xml", '<a><Metatag Name="Emotion" Value="2"/><ActionUnit Number="06"/></a>')
    write(tmp_path, "Sessions/1802/more.xml", '<?xml version="1.0" encoding="odd"?><a/>')
    write(tmp_path, "Sessions/1802/units.xml", '<a><ActionUnit Number="²"/><ActionUnit Number="0"/></a>')
    catalog = read_catalog(tmp_path, load_card("mmi"))
    found = {record.id: record for record in catalog.records}
    assert found["S001-001"].expression is None
    assert found["S001-001"].action_units == ("AU6", "AU12")
    assert found["S001-001"].problems == ("the files of its session say the emotions 2, 4: none is used",)
    assert found["S017-003"].expression == "disgust"
    assert [note.partition(": ")[2] for note in catalog.notes] == [
        "wanted XML, got unknown encoding: odd",
        "wanted the number of an action unit, got '²'",
        "wanted the number of an action unit, got '0'",
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("exp", np.array([1, 2]), "got int64 (2,)"),
        ("exp", np.array({"a": 1}, dtype=object), "it holds Python objects (pickled), which are never unpacked"),
        ("val", np.array([], dtype=np.float64), "got float64 (0,)"),
        ("val", np.array(1j), "real numbers were wanted, it has complex128"),
    ],
)
def test_arrays_that_are_no_number_are_notes(tmp_path, name, content, reason):
    picture_trees.affectnet_files(tmp_path)
    np.save(tmp_path / f"train_set/annotations/7_{name}.npy", content, allow_pickle=True)
    catalog = read_catalog(tmp_path, load_card("affectnet-files"))
    assert len(catalog.records) == 3
    assert len(catalog.notes) == 1
    assert catalog.notes[0].startswith(f"train_set/annotations/7_{name}.npy: wanted an array of one number, got ")
    assert catalog.notes[0].endswith(reason)


@pytest.mark.parametrize(
    "value", [np.array("3"), np.array(b"3"), np.array(3), np.array([3.0]), np.array("3").astype(">U1")]
)
def test_arrays_of_one_number_in_any_type(tmp_path, value):
    picture_trees.affectnet_files(tmp_path)
    np.save(tmp_path / "train_set/annotations/7_exp.npy", value)
    catalog = read_catalog(tmp_path, load_card("affectnet-files"))
    assert {record.id: record.expression for record in catalog.records}["train_set_7"] == "surprise"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"labs_ex": np.array([[np.nan, 1, 2, 3]])}, "labs_ex should hold whole numbers, holds others"),
        ({"labs_id": np.array([[1.5, 1, 2, 3]])}, "labs_id should hold whole numbers, holds others"),
        ({"labs_id": np.array([[1, 2]])}, "2 identities for 4 labels"),
        ({"folds": np.ones((3, 5))}, r"folds should have shape \(4, folds\), has \(3, 5\)"),
        ({"folds": np.array(["a"])}, "it has no array of numbers folds"),
        ({"labs_ex": np.array([[1e300, 1, 2, 3]])}, "labs_ex should hold whole numbers, holds others"),
    ],
)
def test_tfd_of_wrong_shape_or_type(tmp_path, changed, reason):
    columns = {"labs_ex": np.ones((4, 1)), "labs_id": np.ones((4, 1)), "folds": np.ones((4, 5))}
    savemat(tmp_path / "TFD_48x48.mat", columns | changed)
    with pytest.raises(CardError, match=rf"TFD_48x48\.mat: wanted a Matlab file with labs_ex, .*: {reason}"):
        read_catalog(tmp_path, load_card("tfd"))


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (np.full((2, 4, 4), np.nan), r"wanted `images` in \[0, 255\], got \[nan, nan\]"),
        (np.full((2, 4, 4), 300.0), r"wanted `images` in \[0, 255\], got \[300, 300\]"),
        (np.zeros((2, 4, 5)), r"wanted `images` of shape \(N, S, S\), got \(2, 4, 5\)"),
        (np.zeros((1, 4, 4)), "wanted at least 2 images, got 1|wanted `images` of shape"),
    ],
)
def test_tfd_images_of_wrong_shape_or_values(tmp_path, images, reason):
    savemat(tmp_path / "TFD_48x48.mat", {"images": images})
    with pytest.raises(FormatError, match=reason):
        read_record_picture(tmp_path / "TFD_48x48.mat", {"entry": "1"})


def test_labels_of_tfd_are_read_without_unpacking_its_images(tmp_path, monkeypatch):
    from fer3d.formats import mat_file

    columns = {"labs_ex": np.ones((4, 1)), "labs_id": np.ones((4, 1)), "folds": np.ones((4, 5))}
    savemat(tmp_path / "TFD_48x48.mat", {"images": np.ones((4, 90, 90))} | columns, do_compression=True)
    monkeypatch.setattr(mat_file, "MAX_UNPACKED", 10_000)
    assert len(read_catalog(tmp_path, load_card("tfd")).records) == 4


def test_files_of_pictures_without_an_entry_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x\n")
    with pytest.raises(FormatError, match=r"a\.csv: wanted a picture, got a file of which no entry is named"):
        read_record_picture(tmp_path / "a.csv", {})


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"file": [None], "units": pa.array([[("AU1", 1.0)]], pa.map_(pa.string(), pa.float64()))}),
        pa.table({"file": ["a"], "units": pa.array([[("smile", 1.0)]], pa.map_(pa.string(), pa.float64()))}),
        pa.table({"file": ["a"], "units": pa.array([[("AU1", None)]], pa.map_(pa.string(), pa.float64()))}),
        pa.table({"file": ["a"], "units": [3]}),
        pa.table({"file": ["a"]}),
    ],
    ids=["no file", "no unit", "no weight", "no map", "no column"],
)
def test_truth_of_wrong_types_is_a_note(tmp_path, table):
    simulated(tmp_path)
    pq.write_table(table, tmp_path / "truth.parquet")
    catalog = read_catalog(tmp_path, load_card("bu3dfe"))
    assert len(catalog.records) == 1
    assert len(catalog.notes) == 1
    assert catalog.notes[0].startswith("truth.parquet: wanted the truth of a simulation, got ")
