"""`fer3d faces` as a user types it: crops, table, and rows for what fails."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.commands import fer3d
from tests.image.test_detect import needs_face, photos  # noqa: F401  (a fixture)

pytestmark = needs_face


@pytest.fixture
def folder(photos, tmp_path):  # noqa: F811
    place = tmp_path / "pictures"
    (place / "more").mkdir(parents=True)
    picture = photos[0].picture
    Image.fromarray(picture).save(place / "anna.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    Image.fromarray(np.rot90(picture)).save(place / "more" / "anna.jpg", exif=exif, quality=95)
    Image.fromarray(np.concatenate([picture, photos[1].picture], axis=1)).save(place / "two.bmp")
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(place / "wall.png")
    Image.fromarray(picture[:1, :1]).save(place / "dot.png")
    (place / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    (place / "notes.txt").write_text("not a picture")
    return place


def test_faces_are_cut_out_and_failures_are_rows(capsys, folder, tmp_path):
    code, out, err = fer3d(capsys, "faces", folder, "-o", tmp_path / "crops", "--size", 64, "--csv")
    assert code == 3, err
    rows = {row["file"].rpartition("pictures")[2][1:]: row for row in csv.DictReader(io.StringIO(out))}
    assert set(rows) == {"anna.png", "broken.jpg", "dot.png", "more/anna.jpg", "two.bmp", "wall.png"}
    assert (tmp_path / "crops" / "faces.csv").read_text() == out
    assert rows["wall.png"]["reason"].startswith("no face found (mtcnn: no face")
    assert rows["wall.png"]["reason"].endswith("; --whole-picture takes the whole picture for a face")
    assert rows["wall.png"]["crop"] == ""
    assert "wanted at least 16 pixels a side, got 1 x 1" in rows["dot.png"]["reason"]
    assert rows["broken.jpg"]["reason"].startswith(("cannot be decoded", "wanted a picture"))
    assert rows["two.bmp"]["faces"] == "2"
    good = [row for row in rows.values() if row["status"] == "ok"]
    assert sorted(row["crop"].rpartition("crops")[2][1:] for row in good) == ["anna-4.png", "anna.png", "two.png"]
    crops = [np.asarray(Image.open(row["crop"])).astype(int) for row in (rows["anna.png"], rows["more/anna.jpg"])]
    assert crops[0].shape == (64, 64, 3)
    assert np.abs(crops[0] - crops[1]).mean() < 6  # turned upright, it is the same picture


def test_every_face_as_json(capsys, folder, tmp_path):
    code, out, err = fer3d(
        capsys, "faces", folder / "two.bmp", "-o", tmp_path / "crops", "--all", "--json", "--detectors", "hog,mtcnn"
    )
    assert code == 0, err
    rows = json.loads(out)
    assert [row["crop"].rpartition("/")[2] for row in rows] == ["two.png", "two_2.png"]
    assert np.shape(rows[0]["landmarks"]) == (68, 2)
    assert rows[0]["attempts"][0]["detector"] == "hog"
    assert (tmp_path / "crops" / "two_2.png").is_file()


def test_table_names_who_found_it(capsys, folder, tmp_path):
    code, out, _ = fer3d(capsys, "faces", folder / "anna.png", folder / "wall.png", "-o", tmp_path, "--whole-picture")
    assert code == 0
    assert "2 faces (1 by mtcnn, 1 by picture), 0 failed" in out


def test_wrong_calls(capsys, folder, tmp_path):
    code, _, err = fer3d(capsys, "faces", folder, "-o", tmp_path, "--detectors", "yolo")
    assert (code, err) == (1, "fer3d: `detectors` should hold names out of mtcnn, hog, haar, holds 'yolo'\n")
    code, _, err = fer3d(capsys, "faces", folder, "--json", "--csv")
    assert (code, err.count("\n")) == (1, 1)
    code, out, _ = fer3d(capsys, "faces", folder / "none.png", "-o", tmp_path)
    assert code == 3
    assert "No such file" in out
