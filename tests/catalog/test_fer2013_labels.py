"""FER-2013 as it is found: csv of any program, and folders of any copy."""

import re

import numpy as np
import pytest

from fer3d.catalog import detect, read_catalog
from fer3d.catalog.cards import load_card
from fer3d.catalog.labels import fer2013
from fer3d.catalog.protocols import part_folds
from fer3d.catalog.record_pictures import read_record_picture
from fer3d.errors import CardError
from tests import picture_trees as trees

PIXELS = " ".join(map(str, trees.noise(3).ravel()))
GOOD = f"emotion,pixels,Usage\n3,{PIXELS},Training\n"


def catalog_of(folder, name, content):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_catalog(folder, detect(folder).card)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace(" ", "  ", 7),
        f'emotion,pixels,Usage\n3,"{PIXELS} ",Training\n',
        f'"emotion","pixels","Usage"\n"3"," {PIXELS}","Training"',
        f"emotion, Usage, pixels\n3, Training, {PIXELS}\n",
        f" Usage ,Emotion,\tpixels ,note\ntraining,3,{PIXELS},\n\n",
    ],
    ids=["bom", "crlf", "semicolon", "tab", "blanks", "quoted", "all quoted", "icml", "any order"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["fer2013.csv", "icml_face_data.csv"])
def test_csv_of_any_program(tmp_path, name, content):
    (record,) = catalog_of(tmp_path, name, content).records
    assert (record.expression, record.error, record.attributes["part"]) == ("happiness", None, "train")
    picture = read_record_picture(record.files["scan"], record.attributes)
    assert np.array_equal(picture.pixels[:, :, 0], trees.noise(3))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f"emotion,pixels\n3,{PIXELS}\n", "got emotion, pixels: no column Usage: not used"),
        (f"pixels\n{PIXELS}\n", "got pixels: no columns emotion, Usage: not used"),
        (GOOD.encode("utf-16"), "got a file in UTF-16: save it as UTF-8"),
        (b"", "got an empty line"),
    ],
    ids=["no usage", "no emotion", "utf-16", "empty"],
)
@pytest.mark.parametrize("named", [True, False])
def test_csv_that_cannot_be_used_says_why(tmp_path, content, reason, named):
    (tmp_path / "fer2013.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CardError, match=rf"fer2013\.csv:1: wanted the columns emotion, pixels, Usage, {reason}"):
        read_catalog(tmp_path, load_card("fer2013") if named else detect(tmp_path).card)


def test_a_line_without_end_is_left_out(tmp_path):
    catalog = catalog_of(tmp_path, "fer2013.csv", GOOD + "3," + "7 " * fer2013.LONGEST_LINE)
    assert len(catalog.records) == 1
    assert catalog.notes[-1] == "fer2013.csv:3: wanted lines of less than 131072 bytes: the rest is left out"


def test_the_same_pictures_in_two_tables_are_read_once(tmp_path):
    (tmp_path / "icml_face_data.csv").write_text(GOOD)
    catalog = catalog_of(tmp_path, "fer2013.csv", GOOD)
    assert [(record.error, record.files["scan"].name) for record in catalog.records] == [(None, "fer2013.csv")]
    assert catalog.notes == ("icml_face_data.csv: not used, as fer2013.csv holds the same pictures",)


def test_ferplus_line_of_another_picture_is_an_error(tmp_path):
    (tmp_path / "fer2013.csv").write_text(GOOD)
    row = "PublicTest,fer0000000.png,0,10,0,0,0,0,0,0,0,0"
    trees.write(tmp_path, "fer2013new.csv", f"{trees.FERPLUS_HEADER}\n{row}\n")
    (record,) = read_catalog(tmp_path, load_card("ferplus")).records
    assert record.error == "fer2013new.csv:2: wanted Usage Training as fer2013.csv:2 says, got validation"


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (("train", "validation", "test"), ["train", "validation", "test"]),
        (("Train", "Val", "Test"), ["train", "validation", "test"]),
        (("Training", "PublicTest", "PrivateTest"), ["train", "validation", "test"]),
        (("training", "public_test", "private_test"), ["train", "validation", "test"]),
        (("FER2013Train", "FER2013Valid", "FER2013Test"), ["train", "validation", "test"]),
        (("train", "test"), ["train", "both tests"]),
        (("train", "validation"), ["train", "validation"]),
    ],
)
def test_folders_of_any_copy(tmp_path, folders, parts):
    trees.paint(tmp_path / "FER-2013", [f"{part}/Happy/{n}.jpg" for n, part in enumerate(folders)])
    card = detect(tmp_path).card
    assert card.name == "fer2013-folders"
    catalog = read_catalog(tmp_path, card)
    found = {record.relative.split("/")[1]: record for record in catalog.records}
    assert [found[part].attributes["part"] for part in folders] == parts
    assert {record.expression for record in catalog.records} == {"happiness"}


def test_both_tests_are_the_test_of_the_protocol_of_parts():
    rows = [{"subject": part, "attributes": f'{{"part": "{part}"}}'} for part in ("train", "both tests")]
    (fold,) = part_folds(rows)
    assert (fold.train, fold.test) == (("train",), ("both tests",))


@pytest.mark.parametrize(
    ("counts", "labels", "note"),
    [
        ((3, 3, 2), ("neutral", "sadness", "surprise"), "in the order of the alphabet .*, as 6 has the fewest"),
        ((3, 2, 3), ("sadness", "surprise", "neutral"), "as the codes of the csv .*, as 5 has the fewest"),
        ((2, 3, 3), ("neutral", "sadness", "surprise"), "in the order of the alphabet .*: check it"),
        ((1, 0, 0), ("neutral",), "in the order of the alphabet .*: check it"),
    ],
)
def test_numbers_of_folders_are_settled_by_their_counts(tmp_path, monkeypatch, counts, labels, note):
    monkeypatch.setattr(fer2013, "_ENOUGH", 2)
    for code, count in zip("456", counts, strict=True):
        trees.paint(tmp_path, [f"train/{code}/Training_{code}{n}.jpg" for n in range(count)])
    catalog = read_catalog(tmp_path, load_card("fer2013-folders"))
    found = {record.relative.split("/")[1]: record.expression for record in catalog.records}
    assert tuple(found.values()) == labels
    assert not any(record.problems for record in catalog.records)
    assert len(catalog.notes) == 1
    assert re.search(rf"class folders are numbers: taken {note}", catalog.notes[0])


def test_a_card_of_ones_own_may_have_other_groups(tmp_path):
    trees.paint(tmp_path, ["train/happy/Training_1.jpg"])
    card = load_card("fer2013-folders").model_copy(update={"patterns": (r"(?P<expression>%labels%)/[^/]+%suffixes%",)})
    (record,) = read_catalog(tmp_path, card).records
    assert (record.expression, record.attributes) == ("happiness", {})
