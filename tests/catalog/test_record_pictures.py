"""The picture of a record: in a file, a csv, a .mat, a clip; and what `inspect` says of data sets of pictures."""

import importlib.util
import shutil

import numpy as np
import pytest

from fer3d.catalog import duplicates, read_records, record_pictures
from fer3d.catalog.cards import load_card
from fer3d.catalog.inspection import ClassCount, inspect
from fer3d.catalog.record_pictures import read_record_picture
from fer3d.errors import FileError, FormatError
from tests import picture_trees as trees
from tests.catalog.test_inspection import printed


def pixels_of(folder, name):
    return {
        r.id: read_record_picture(r.files["scan"], r.attributes).pixels for r in read_records(folder, load_card(name))
    }


def test_entries_of_fer2013(tmp_path):
    found = pixels_of(trees.fer2013(tmp_path), "fer2013")
    for number, seed in enumerate((0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13)):
        image = found[f"fer{number:07d}"]
        np.testing.assert_array_equal(image, np.repeat(trees.noise(seed)[:, :, None], 3, axis=2))


def test_entries_of_tfd(tmp_path):
    found = pixels_of(trees.tfd(tmp_path), "tfd")
    np.testing.assert_array_equal(found["tfd000002"][..., 1], trees.noise(2))


def test_real_numbers_of_tfd_become_bytes_in_parts(tmp_path, monkeypatch):
    """As all at once, and never more than a part in double precision."""
    from scipy.io import savemat

    monkeypatch.setattr(record_pictures, "_AT_ONCE", 3)
    images = np.random.default_rng(0).random((8, 6, 6), np.float32)
    images[7, 5, 5] = 1.0
    savemat(tmp_path / "TFD_48x48.mat", {"images": images})
    clips = []
    monkeypatch.setattr(np, "clip", lambda part, *limits, clip=np.clip: clips.append(len(part)) or clip(part, *limits))
    for entry in range(8):
        made = read_record_picture(tmp_path / "TFD_48x48.mat", {"entry": str(entry)}).pixels
        np.testing.assert_array_equal(made[..., 0], np.rint(images[entry] * 255.0))
    assert clips == [3, 3, 2]


def test_files(tmp_path):
    assert all(image.shape == (48, 48, 3) for image in pixels_of(trees.jaffe(tmp_path), "jaffe").values())


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ("7 " * 2303 + "x", "wanted 2304 whole numbers, got 2304 words"),
        ("7 " * 2303 + "256", r"wanted pixels in \[0, 255\]"),
    ],
)
def test_entries_that_are_damaged(tmp_path, pixels, message):
    trees.write(tmp_path, "fer2013.csv", f"emotion,pixels,Usage\n0,{pixels},Training\n")
    with pytest.raises(FormatError, match=rf"fer2013\.csv:2: {message}"):
        pixels_of(tmp_path, "fer2013")
    with pytest.raises(FileError, match="cannot be read"):
        read_record_picture(tmp_path / "none.csv", {"offset": "0", "entry": "0"})
    shutil.copy(tmp_path / "fer2013.csv", tmp_path / "TFD_48x48.mat")
    with pytest.raises(FormatError, match="wanted a Matlab file with an array `images`"):
        read_record_picture(tmp_path / "TFD_48x48.mat", {"entry": "0"})


@pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="fer3d[face] is not installed")
def test_middle_frame_of_a_clip(tmp_path):
    import cv2

    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for grey in range(0, 250, 25):
        writer.write(np.full((48, 64, 3), (grey, 0, 0), np.uint8))  # blue, as OpenCV has it
    writer.release()
    read = read_record_picture(path, {})
    assert read.pixels.shape == (48, 64, 3)
    assert abs(int(np.median(read.pixels[..., 2])) - 125) < 15
    assert read.history == {"format": "clip", "frame": 5, "frames": 10}
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="wanted a clip with frames"):
        read_record_picture(path, {})
    with pytest.raises(FileError, match="is missing"):
        read_record_picture(tmp_path / "none.avi", {})


def test_inspect_counts_classes_by_part(tmp_path):
    result = inspect(trees.fer2013(tmp_path))
    assert ClassCount("train", "anger", 3995, 1) in result.classes
    assert ClassCount("test", "surprise", 416, 1) in result.classes
    assert len(result.classes) == 21
    text = printed(result)
    assert "no subjects named, 11 of 35,887 pictures" in text
    assert "classes with the count of a complete set: 0 of 21" in text
    assert "1 of 7,215" in text


def test_inspect_counts_labelled_sequences(tmp_path):
    result = inspect(trees.ckplus(tmp_path))
    assert ClassCount(None, "contempt", 18, 1) in result.classes
    assert ClassCount(None, "anger", 45, 0) in result.classes
    assert not any(count.part for count in result.classes)
    assert "2 of 123 subjects" in printed(result)


def test_complete_counts_are_right(tmp_path):
    for label, number in (("AN", 30), ("DI", 29), ("FE", 32), ("HA", 31), ("NE", 30), ("SA", 31), ("SU", 30)):
        for n in range(number):
            trees.write(tmp_path, f"K{'ABCDEFGHIJ'[n % 10]}.{label}{n % 9}.{n}.tiff", "")
    result = inspect(tmp_path)
    assert result.catalog.card.name == "jaffe"
    assert all(count.got == count.wanted for count in result.classes)
    text = printed(result)
    assert "10 of 10 subjects, 213 of 213 pictures" in text
    assert "Class counts that differ" not in text


@pytest.mark.parametrize("workers", [1, 2])
def test_inspect_finds_pictures_in_two_parts(tmp_path, workers):
    folder = trees.fer2013_folders(tmp_path)
    shutil.copy(folder / "train/sad/Training_105.jpg", folder / "test/sad/PublicTest_99.jpg")
    shutil.copy(folder / "train/sad/Training_105.jpg", folder / "train/happy/Training_999.jpg")
    (folder / "train/fear/Training_1.jpg").write_bytes(b"")
    result = inspect(folder, read=True, workers=workers)
    assert [(t.first, t.second, t.kind, t.groups) for t in result.duplicates] == [
        ("test/sad/PublicTest_99.jpg", "train/happy/Training_999.jpg", "exact", ("validation", "train")),
        ("test/sad/PublicTest_99.jpg", "train/sad/Training_105.jpg", "exact", ("validation", "train")),
    ]
    assert [failure.relative for failure in result.unreadable] == ["train/fear/Training_1.jpg"]
    text = printed(result)
    assert "pictures in two parts: 2 exactly, 0 nearly" in text
    assert "sadness or happiness" in text
    assert "the file is empty" in text


def test_too_many_pairs_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 2)
    result = inspect(trees.fer2013_folders(tmp_path), read=True)
    assert not result.near_searched
    assert "0 exactly, too many pairs to look for near ones" in printed(result)


def test_people_under_two_names(tmp_path):
    trees.pictures(tmp_path)
    shutil.copy(tmp_path / "anna/happy/1.jpg", tmp_path / "carla/5.jpg")
    result = inspect(tmp_path, read=True)
    assert [duplicate.groups for duplicate in result.duplicates] == [("anna", "carla")]
