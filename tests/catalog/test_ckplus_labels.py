"""CK+: which frame is neutral, which has the label, and what is said of files that contradict each other."""

from pathlib import Path

import pytest

from fer3d.catalog import Catalog, Record, detect, read_catalog
from tests import picture_trees as trees

ROOT = "cohn-kanade-images/S010/004"


def catalog_of(folder: Path, frames: tuple[int, ...] = (), sequence: str = "S010_004", **files: str) -> Catalog:
    """Read a folder with these frames of one sequence, and label files such as `emotion_19="3.0"`."""
    trees.paint(folder, [f"{ROOT}/{sequence}_{frame:08d}.png" for frame in frames])
    for key, text in files.items():
        kind, frame = key.split("_")[:2]
        place = {"emotion": "Emotion", "other": "Emotion_labels", "facs": "FACS"}[kind]
        kind = "emotion" if kind == "other" else kind
        trees.write(folder, f"{place}/S010/004/{sequence}_{int(frame):08d}_{kind}.txt", text)
    detection = detect(folder)
    assert detection.card.name == "ckplus"
    return read_catalog(folder, detection.card)


def by_frame(catalog: Catalog) -> dict[int | None, Record]:
    return {record.frame: record for record in catalog.records}


def test_class_folders_say_the_class_of_every_frame(tmp_path):
    peaks = [
        ("anger", "S010_004", 17),
        ("happy", "S010_006", 13),
        ("Surprise", "S011_001", 14),
        ("contempt", "S138_008", 7),
    ]
    trees.paint(tmp_path, [f"CK+48/{name}/{s}_{first + n:08d}.png" for name, s, first in peaks for n in range(3)])
    catalog = catalog_of(tmp_path)
    said = [(record.sequence, record.expression) for record in catalog.records]
    labels = {"S010_004": "anger", "S010_006": "happiness", "S011_001": "surprise", "S138_008": "contempt"}
    assert said == [(sequence, label) for sequence, label in labels.items() for _ in range(3)]
    assert [record.attributes["from_end"] for record in catalog.records[:3]] == ["2", "1", "0"]
    assert {record.subject for record in catalog.records} == {"S010", "S011", "S138"}
    assert catalog.notes == ()


def test_the_first_frame_in_a_class_folder_is_not_of_the_class(tmp_path):
    names = [f"CK/anger/S010_004_{frame:08d}.png" for frame in (1, 18, 19)] + ["CK/neutral/S010_006_00000001.png"]
    trees.paint(tmp_path, names)
    records = {record.id: record for record in catalog_of(tmp_path).records}
    first = records["S010_004_00000001"]
    assert first.expression is None
    assert first.problems == ("the path says anger, frame 1, the onset says neutral: no expression is used",)
    assert records["S010_004_00000019"].expression == "anger"
    assert records["S010_006_00000001"].expression == "neutral"


def test_class_folders_that_are_numbers_say_nothing(tmp_path):
    trees.paint(tmp_path, ["CK+48/5/S010_004_00000019.png"])
    catalog = catalog_of(tmp_path)
    assert catalog.records[0].expression is None
    assert catalog.notes[0].startswith("class folders are numbers, which copies of CK+ use in different ways")


@pytest.mark.parametrize(
    ("frames", "neutral"),
    [((1, 2, 3), [1]), ((17, 18, 19), []), ((2, 3, 4), []), ((1, 18, 19), [1]), ((5,), []), ((1,), [1])],
)
def test_only_frame_one_is_neutral(tmp_path, frames, neutral):
    found = by_frame(catalog_of(tmp_path, frames))
    assert [frame for frame, record in found.items() if record.expression == "neutral"] == neutral
    assert all(record.expression in ("neutral", None) for record in found.values())


def test_the_last_three_frames_have_the_label_on_the_last(tmp_path):
    found = by_frame(catalog_of(tmp_path, (17, 18, 19), emotion_19="   3.0000000e+00\n", facs_19="9 0\n17 3\n"))
    assert [found[frame].expression for frame in (17, 18, 19)] == [None, None, "disgust"]
    assert found[19].action_units == ("AU9", "AU17C")
    assert [found[frame].attributes["from_end"] for frame in (17, 18, 19)] == ["2", "1", "0"]


def test_a_label_of_a_deleted_frame_goes_to_no_other(tmp_path):
    catalog = catalog_of(tmp_path, (1, 2, 17), emotion_19="3.0", facs_19="9 0")
    found = by_frame(catalog)
    assert [record.expression for record in found.values()] == ["neutral", None, None]
    assert found[17].attributes["from_end"] == "2"
    assert found[17].absent_units == ()
    wanted = "wanted frame 00000019 of sequence S010_004, found frames 00000001 to 00000017: not used"
    assert catalog.notes == (
        f"Emotion/S010/004/S010_004_00000019_emotion.txt: {wanted}",
        f"FACS/S010/004/S010_004_00000019_facs.txt: {wanted}",
    )


def test_emotion_against_folder(tmp_path):
    trees.paint(tmp_path, [f"CK+48/happy/S010_004_{frame:08d}.png" for frame in (17, 18, 19)])
    found = by_frame(catalog_of(tmp_path, emotion_19="3.0"))
    assert [found[frame].expression for frame in (17, 18, 19)] == ["happiness", "happiness", None]
    assert found[19].problems == (
        "the path says happiness, Emotion/S010/004/S010_004_00000019_emotion.txt says disgust: no expression is used",
    )


def test_two_emotion_files_of_one_frame(tmp_path):
    catalog = catalog_of(tmp_path, (1, 19), emotion_19="3.0", other_19="5.0")
    assert by_frame(catalog)[19].expression is None
    assert "_emotion.txt say 3, 5: no expression is used" in by_frame(catalog)[19].problems[0]
    assert "_emotion.txt say 3, 5: no expression is used" in catalog.notes[0]
    catalog = catalog_of(tmp_path, other_19="3.0")
    assert (by_frame(catalog)[19].expression, catalog.notes) == ("disgust", ())


def test_emotion_files_of_two_frames(tmp_path):
    catalog = catalog_of(tmp_path, (1, 18, 19), emotion_18="3.0", emotion_19="5.0")
    assert [record.expression for record in by_frame(catalog).values()] == ["neutral", None, None]
    assert "sequence S010_004 has label files of several frames" in catalog.notes[0]
    assert catalog.notes[0].endswith("their emotions differ: none is used")
    assert by_frame(catalog)[19].problems


def test_emotion_and_action_units_of_two_frames_are_said(tmp_path):
    catalog = catalog_of(tmp_path, (1, 18, 19), emotion_19="5.0", facs_18="12 0")
    assert by_frame(catalog)[19].expression == "happiness"
    assert by_frame(catalog)[18].action_units == ("AU12",)
    assert catalog.notes[0].endswith(
        "_emotion.txt and FACS/S010/004/S010_004_00000018_facs.txt: wanted those of its peak"
    )


def test_emotion_without_any_of_its_action_units_is_said(tmp_path):
    catalog = catalog_of(tmp_path, (1, 19), emotion_19="5.0", facs_19="4 0\n15 2")
    (problem,) = by_frame(catalog)[19].problems
    assert problem.endswith("_facs.txt has none of its action units AU6, AU12")
    assert catalog.notes == (problem,)


def test_emotion_of_the_onset_is_said(tmp_path):
    catalog = catalog_of(tmp_path, (1,), emotion_1="5.0")
    assert by_frame(catalog)[1].expression is None
    assert by_frame(catalog)[1].problems[0].endswith("says happiness, frame 1 is an onset: not used")


@pytest.mark.parametrize("text", ["", "twelve", "12 0 0", "0 1", "-3 0", "150 0", "1e300 0", "nan 0", "12.5 0", "inf"])
def test_damaged_action_units_are_unknown_not_absent(tmp_path, text):
    catalog = catalog_of(tmp_path, (1, 19), emotion_19="5.0", facs_19=text)
    record = by_frame(catalog)[19]
    assert (record.expression, record.action_units, record.absent_units) == ("happiness", (), ())
    assert catalog.notes[0].startswith("FACS/S010/004/S010_004_00000019_facs.txt: wanted ")
