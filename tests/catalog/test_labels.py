"""Label files of data sets of pictures: what they say, and that one bad table or line costs no other picture."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from fer3d.catalog import Record, detect, read_catalog
from fer3d.catalog.cards import LabelSource, load_card
from fer3d.catalog.labels.sources import SOURCES
from fer3d.errors import CardError
from tests import picture_trees as trees


def read(folder: Path, name: str) -> dict[str, Record]:
    return {record.id: record for record in read_catalog(folder, load_card(name)).records}


def said(folder: Path, name: str) -> dict[str, str | None]:
    return {key: record.expression for key, record in read(folder, name).items()}


def test_fer2013_codes_and_parts(tmp_path):
    found = read(trees.fer2013(tmp_path), "fer2013")
    order = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
    assert [found[f"fer{n:07d}"].expression for n in range(7)] == order
    assert [found[f"fer{n:07d}"].attributes["part"] for n in (6, 7, 8, 9, 10)] == ["train"] + 2 * ["validation"] + 2 * [
        "test"
    ]
    assert len({record.subject for record in found.values()}) == 11


def test_fer2013_with_columns_in_another_order(tmp_path):
    lines = [f"{n}, Training, {' '.join(map(str, trees.noise(n).ravel()))}" for n in range(3)]
    trees.write(tmp_path, "icml_face_data.csv", "emotion, Usage, pixels\n" + "\n".join(lines) + "\n")
    assert list(said(tmp_path, "fer2013").values()) == ["anger", "disgust", "fear"]


def test_fer2013_folders_count_in_the_order_of_the_alphabet(tmp_path):
    trees.paint(tmp_path, [f"train/{n}/{n}.jpg" for n in range(7)])
    order = ["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"]
    assert list(said(tmp_path, "fer2013-folders").values()) == order


def test_fer2013_folders_know_the_two_tests_apart_by_name(tmp_path):
    trees.paint(tmp_path, ["test/sad/PublicTest_1.jpg", "test/sad/PrivateTest_2.jpg", "test/sad/im3.png"])
    parts = [record.attributes["part"] for record in read(tmp_path, "fer2013-folders").values()]
    assert parts == ["test", "validation", "both tests"]


def test_fer2013_lines_that_are_wrong(tmp_path):
    pixels = " ".join(["7"] * 48 * 48)
    lines = [
        f"3,{pixels},Training",
        f"7,{pixels},Training",
        f"x,{pixels},Training",
        "3,1 2 3,Training",
        f"3,{pixels},Other",
        "3,Training",
    ]
    trees.write(tmp_path, "fer2013.csv", "emotion,pixels,Usage\n" + "\n".join([*lines, lines[0]]) + "\n")
    catalog = read_catalog(tmp_path, load_card("fer2013"))
    errors = {record.attributes["entry"]: record.error for record in catalog.records}
    assert errors["0"] is errors["6"] is None
    assert errors["1"] == "fer2013.csv:3: wanted an expression among 0, 1, 2, 3, 4, 5, 6, got '7'"
    assert errors["2"].endswith("got 'x'")
    assert errors["3"] == "fer2013.csv:5: wanted 2304 pixels, got 3"
    assert errors["4"] == "fer2013.csv:6: wanted a Usage among Training, PublicTest, PrivateTest, got 'Other'"
    assert catalog.notes == ("fer2013.csv:7: wanted 3 cells, got 2",)


def test_fer2013_without_its_columns(tmp_path):
    trees.write(tmp_path, "fer2013.csv", "label,data\n1,2\n")
    with pytest.raises(CardError, match=r"fer2013\.csv:1: wanted the columns emotion, pixels, Usage, got label, data"):
        read_catalog(tmp_path, load_card("fer2013"))


def test_ferplus_majority(tmp_path):
    found = read(trees.ferplus(tmp_path), "ferplus")
    assert {key: record.expression for key, record in found.items()} == {
        "fer0000000": "anger",
        "fer0000001": "happiness",
        "fer0000003": "contempt",
        "fer0000004": None,
    }
    assert found["fer0000004"].attributes["expression"] == "no majority"
    assert found["fer0000001"].attributes["part"] == "validation"
    assert found["fer0000004"].attributes["votes"] == "3 3 2 2 0 0 0 0 0 0"


def test_ferplus_on_the_csv_and_its_bad_lines(tmp_path):
    trees.fer2013(tmp_path)
    rows = [
        "Training,fer0000000.png,0,0,0,0,10,0,0,0,0,0",
        "Training,fer0000001.png,0,0,0,0,ten,0,0,0,0,0",
        "Training,fer0000002.png,0,0,0,0,0,0,0,0,0,0",
        "Training,fer0000003.png,1,2",
        *["Training,,0,0,0,0,0,0,0,0,0,10"] * 7,
        "Training,fer0099999.png,0,0,0,0,10,0,0,0,0,0",
    ]
    trees.write(tmp_path, "fer2013new.csv", trees.FERPLUS_HEADER + "\n" + "\n".join(rows) + "\n")
    assert detect(tmp_path).card.name in ("fer2013", "ferplus")
    catalog = read_catalog(tmp_path, load_card("ferplus"))
    found = {record.id: record for record in catalog.records}
    assert found["fer0000000"].expression == "anger"
    assert found["fer0000000"].files["scan"].name == "fer2013.csv"
    assert "wanted whole numbers of votes, got 0,0,0,0,ten" in found["fer0000001"].error
    assert "wanted votes, got none" in found["fer0000002"].error
    assert "fer2013new.csv:5: wanted 12 cells, got 4" in catalog.notes
    assert "fer2013new.csv:13: wanted a picture fer0099999.png, found none" in catalog.notes


def test_ckplus_labels_the_last_frame_and_the_first_is_neutral(tmp_path):
    found = read(trees.ckplus(tmp_path), "ckplus")
    assert [found[f"S005_001_0000000{n}"].expression for n in (1, 2, 3, 4)] == ["neutral", None, None, "happiness"]
    assert found["S005_001_00000004"].action_units == ("AU6", "AU12C")
    absent = set(found["S005_001_00000004"].absent_units)
    assert {"AU1", "AU4", "AU43"} <= absent
    assert not {"AU6", "AU12"} & absent
    assert found["S005_001_00000001"].absent_units == ()  # nobody scored it
    assert found["S005_001_00000002"].attributes["from_end"] == "2"
    assert found["S113_008_00000005"].expression == "contempt"
    assert found["S005_002_00000003"].expression is None
    assert found["S005_001_00000001"].files["points_68"].name == "S005_001_00000001_landmarks.txt"


def test_ckplus_bad_label_files(tmp_path):
    trees.ckplus(tmp_path)
    (tmp_path / "Emotion/S005/001/S005_001_00000004_emotion.txt").write_text("happy\n")
    (tmp_path / "Emotion/S113/008/S113_008_00000005_emotion.txt").write_text("  9.0e+00\n")
    trees.write(tmp_path, "Emotion/S999/001/S999_001_00000009_emotion.txt", "1.0\n")
    catalog = read_catalog(tmp_path, load_card("ckplus"))
    found = {record.id: record for record in catalog.records}
    assert "got 'none'" in found["S005_001_00000004"].error
    assert "got '9'" in found["S113_008_00000005"].error
    assert found["S005_001_00000001"].error is None
    notes = "\n".join(catalog.notes)
    assert "S005_001_00000004_emotion.txt: wanted whole numbers, got 'happy'" in notes
    assert "S999_001_00000009_emotion.txt: wanted frames of sequence S999_001, found none" in notes


@pytest.mark.parametrize("table", ["list_patition_label.txt", "list_partition_label.txt"])
def test_raf_db_takes_both_spellings_and_the_aligned_pictures(tmp_path, table):
    found = read(trees.raf_db(tmp_path, table), "raf-db")
    assert {key: (record.expression, record.attributes["part"]) for key, record in found.items()} == {
        "train_00001_aligned": ("sadness", "train"),
        "train_00002_aligned": ("surprise", "train"),
        "test_0001_aligned": ("neutral", "test"),
    }


def test_raf_db_bad_lines(tmp_path):
    trees.raf_db(tmp_path)
    trees.write(
        tmp_path,
        "basic/EmoLabel/list_patition_label.txt",
        "train_00001.jpg 8\ntrain_00002.jpg 1\ntrain_09999.jpg 1\nnonsense\n",
    )
    catalog = read_catalog(tmp_path, load_card("raf-db"))
    found = {record.id: record for record in catalog.records}
    assert found["train_00001_aligned"].error.endswith("wanted an expression among 1, 2, 3, 4, 5, 6, 7, got '8'")
    assert found["train_00002_aligned"].expression == "surprise"
    assert found["test_0001_aligned"].problems == ("no line in the label files of the data set",)
    assert [note.partition("label.txt:")[2] for note in catalog.notes] == [
        "3: wanted a picture train_09999.jpg, found none",
        "4: wanted a picture and a number, got 'nonsense'",
    ]


def test_affectnet_of_2017(tmp_path):
    found = read(trees.affectnet(tmp_path), "affectnet")
    happy = found["1_0123abcd"]
    assert (happy.expression, happy.attributes["part"]) == ("happiness", "train")
    assert (happy.valence, happy.arousal) == (0.5, -0.25)
    assert happy.attributes["eyes"] == "48.50 58.50 54.50 64.50"
    assert found["2_89abcdef"].attributes["expression"] == "uncertain"
    assert (found["2_89abcdef"].valence, found["2_89abcdef"].arousal) == (None, None)
    assert found["1_00aa11bb"].expression == "contempt"
    assert found["1_00aa11bb"].attributes["part"] == "validation"


def test_affectnet_table_with_wrong_columns_costs_only_itself(tmp_path):
    trees.affectnet(tmp_path)
    trees.write(tmp_path, "validation.csv", "file,label\n1/00aa11bb.png,7\n")
    text = (tmp_path / "training.csv").read_text()
    trees.write(tmp_path, "training.csv", text + "9/ffffffff.jpg,1,2,3,4,,1,0,0\n1/0123abcd.jpg,1\n")
    catalog = read_catalog(tmp_path, load_card("affectnet"))
    assert catalog.notes == (
        "training.csv:4: wanted a picture 9/ffffffff.jpg, found none",
        "training.csv:5: wanted 9 cells, got 2",
        "validation.csv:1: wanted a column subdirectory_filepath, got file, label: the table is not used",
    )
    assert {record.id: record.expression for record in catalog.records}["1_0123abcd"] == "happiness"


def test_affectnet_label_out_of_range(tmp_path):
    trees.affectnet(tmp_path)
    text = (tmp_path / "validation.csv").read_text()
    trees.write(tmp_path, "validation.csv", text.replace(",7,0.1", ",11,0.1"))
    assert "got '11'" in read(tmp_path, "affectnet")["1_00aa11bb"].error


def test_affectnet_valence_out_of_range_costs_its_picture(tmp_path):
    trees.affectnet(tmp_path)
    text = (tmp_path / "training.csv").read_text()
    trees.write(tmp_path, "training.csv", text.replace(",0.5,-0.25", ",1.5,-0.25"))
    found = read(tmp_path, "affectnet")
    assert found["1_0123abcd"].error == "training.csv:2: wanted a number in [-1, 1], got '1.5' as `valence`"
    assert found["1_00aa11bb"].error is None


def test_affectnet_of_later(tmp_path):
    trees.affectnet_files(tmp_path)
    (tmp_path / "train_set/annotations/7_exp.npy").write_bytes(b"no array")
    np.save(tmp_path / "train_set/annotations/99_exp.npy", np.array("1"))
    np.save(tmp_path / "val_set/annotations/0_val.npy", np.array(-2.0))
    catalog = read_catalog(tmp_path, load_card("affectnet-files"))
    found = {record.id: record for record in catalog.records}
    assert found["train_set_0"].expression == "surprise"
    assert found["val_set_0"].expression == "contempt"
    assert (found["train_set_0"].valence, found["train_set_0"].arousal) == (0.5, -0.1)
    assert (found["val_set_0"].valence, found["val_set_0"].arousal) == (None, -0.1)
    assert not catalog.extra
    assert found["val_set_0"].attributes == {"part": "validation", "number": "0"}
    assert found["train_set_7"].problems == ("no line in the label files of the data set",)
    assert [note.partition(": ")[2].partition(",")[0] for note in catalog.notes] == [
        "wanted an array of one number",
        "wanted a picture images/99.jpg",
    ]


def test_mmi_reads_emotion_and_action_units(tmp_path):
    trees.mmi(tmp_path)
    found = read(tmp_path, "mmi")
    assert found["S001-001"].expression == "happiness"
    assert found["S017-003"].expression == "disgust"
    assert found["S001-001"].action_units == ("AU6", "AU12")
    (tmp_path / "Sessions/1767/session.xml").write_text("<broken")
    catalog = read_catalog(tmp_path, load_card("mmi"))
    assert "Sessions/1767/session.xml: wanted XML" in catalog.notes[0]
    assert len(catalog.records) == 2


def test_tfd_entries(tmp_path):
    found = read(trees.tfd(tmp_path), "tfd")
    assert {key: record.expression for key, record in found.items()} == {
        "tfd000000": "anger",
        "tfd000002": "neutral",
        "tfd000003": "happiness",
    }
    assert [record.subject for record in found.values()] == ["id5", "entry2", "id9"]
    assert found["tfd000003"].attributes == {"entry": "3", "folds": "train validation test none train"}


def test_tfd_that_is_damaged(tmp_path):
    (tmp_path / "TFD_48x48.mat").write_bytes(b"no matlab file")
    with pytest.raises(CardError, match=r"TFD_48x48\.mat: wanted a Matlab file with labs_ex, labs_id and folds"):
        read_catalog(tmp_path, load_card("tfd"))
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    (tmp_path / "TFD_48x48.mat").write_bytes(head + b"\x89HDF\r\n\x1a\n" + bytes(512))
    with pytest.raises(CardError, match=r"TFD_48x48\.mat: is a Matlab file of version 7.3; save it again .* '-v7'"):
        read_catalog(tmp_path, load_card("tfd"))


def test_other_labels_in_paths_are_no_problem(tmp_path):
    found = read(trees.multi_pie(tmp_path), "multi-pie")
    scream = found["001_04_02_110_07"]
    assert (scream.expression, scream.attributes["expression"], scream.problems) == (None, "scream", ())
    assert scream.pose[0] == pytest.approx(np.pi / 2)
    assert found["250_01_02_191_19"].expression == "happiness"


@pytest.mark.parametrize(
    ("name", "totals"),
    [
        ("fer2013", {"train": 28709, "validation": 3589, "test": 3589}),
        ("fer2013-folders", {"train": 28709, "validation": 3589, "test": 3589, "both tests": 7178}),
        ("raf-db", {"train": 12271, "test": 3068}),
        ("affectnet", {"train": 287651, "validation": 4000}),
    ],
)
def test_class_counts_add_up(name, totals):
    expected = load_card(name).expected
    assert {part: sum(counts.values()) for part, counts in expected.parts.items()} == totals


def test_class_counts_of_whole_sets_add_up():
    assert sum(load_card("ckplus").expected.classes.values()) == 327
    for name in ("jaffe", "kdef"):
        expected = load_card(name).expected
        assert sum(expected.classes.values()) == expected.scans


def test_every_source_that_a_card_may_name_has_a_reader():
    assert set(get_args(LabelSource)) == set(SOURCES)
