"""A data set of pictures through `preprocess` to a trained network."""

import json
import shutil
import zlib

import numpy as np
import pytest
from PIL import Image

from fer3d.catalog.protocols import part_folds
from fer3d.config import preprocess_settings
from fer3d.errors import ConfigError, ProtocolError
from fer3d.image.align import canonical_eyes
from fer3d.image.landmarks68 import moved
from fer3d.predict import load
from fer3d.prepare.folder import preprocess
from fer3d.prepare.store import read_header, read_manifest, read_scan
from fer3d.train.plan import Experiment
from fer3d.train.run import Device, train
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import train_settings
from tests import picture_trees as trees
from tests.commands import fer3d
from tests.formats.test_pictures import png
from tests.image.test_detect import needs_face, photos, true_eyes  # noqa: F401  (a fixture)

SMALL = preprocess_settings(None, ("size=48",))


@pytest.fixture
def folder(photos, tmp_path):  # noqa: F811
    place = tmp_path / "pictures"
    for name, picture in (("anna/happy/1", photos[0].picture), ("bert/sad/2", photos[1].picture)):
        (place / name).parent.mkdir(parents=True)
        Image.fromarray(picture).save(f"{place / name}.png")
    trees.paint(place, ["carla/angry/3.png"])
    (place / "anna/happy/broken.jpg").write_bytes(b"")
    return place


@needs_face
def test_faces_are_stored_with_a_record_of_who_found_them(folder, photos, tmp_path):  # noqa: F811
    summary = preprocess(folder, tmp_path / "out", settings=SMALL, workers=1)
    assert (summary.prepared, summary.kept) == (3, 0)
    assert [reason for _, reason in summary.failures] == ["anna/happy/broken.jpg: the file is empty"]
    rows = {row["id"]: row for row in read_manifest(tmp_path / "out")}
    anna = rows["anna--happy--1"]
    assert (anna["expression"], anna["subject"], anna["pose_source"]) == ("happiness", "anna", "mtcnn")
    steps = {step["step"]: step for step in json.loads(anna["history"])}
    assert steps["detect"]["detector"] == "mtcnn"
    assert steps["detect"]["attempts"][0]["faces"] == 1
    assert steps["read"]["format"] == "PNG"
    eyes = moved(true_eyes(photos[0]), np.array(steps["align"]["matrix"]))
    np.testing.assert_allclose(eyes, canonical_eyes(48), atol=2.5)
    scan = read_scan(tmp_path / "out" / anna["file"])
    assert scan.arrays["texture"].shape == (48, 48, 3)
    assert scan.arrays["maps"].shape == (0, 48, 48)
    carla = rows["carla--angry--3"]
    assert carla["pose_source"] == "picture"
    assert carla["warnings"] == ["no face found: the whole picture was taken for one"]
    assert summary.contact_sheet.is_file()


@needs_face
def test_what_is_prepared_is_kept_until_something_changes(folder, tmp_path):
    out = tmp_path / "out"
    preprocess(folder, out, settings=SMALL, workers=1)
    content = (out / "scans/anna--happy--1.safetensors").read_bytes()
    assert preprocess(folder, out, settings=SMALL, workers=1).kept == 3
    shutil.copy(folder / "bert/sad/2.png", folder / "carla/angry/3.png")
    again = preprocess(folder, out, settings=SMALL, workers=1)
    assert (again.prepared, again.kept) == (1, 2)
    strict = preprocess_settings(None, ("size=48", "whole_picture=false"))
    trees.paint(folder, ["carla/angry/3.png"])
    none = preprocess(folder, out, settings=strict, workers=1)
    assert any(reason.startswith("carla/angry/3.png: no face found (mtcnn: no face") for _, reason in none.failures)
    shutil.rmtree(out)
    preprocess(folder, out, settings=SMALL, workers=2)
    assert (out / "scans/anna--happy--1.safetensors").read_bytes() == content


def test_landmarks_of_the_data_set_spare_the_search(tmp_path):
    """Needs no detector: AffectNet's csv and CK+'s files have them."""
    folder = trees.ckplus(tmp_path / "ck")
    points = np.stack([np.linspace(5, 40, 68), np.linspace(10, 30, 68)], axis=1)
    for path in (folder / "Landmarks").rglob("*.txt"):
        np.savetxt(path, points)
    summary = preprocess(folder, tmp_path / "out", settings=SMALL, workers=1)
    assert (summary.prepared, len(summary.failures)) == (12, 0)
    row = read_manifest(tmp_path / "out")[0]
    assert row["pose_source"] == "data set"
    steps = {step["step"]: step for step in json.loads(row["history"])}
    assert steps["detect"]["landmarks"].endswith("_landmarks.txt")
    assert read_header(tmp_path / "out" / row["file"])["people"] is True


@needs_face
def test_bad_landmarks_and_bad_labels(tmp_path):
    folder = trees.ckplus(tmp_path / "ck")  # all 68 points are one
    (folder / "Emotion/S005/001/S005_001_00000004_emotion.txt").write_text("9.0")
    summary = preprocess(folder, tmp_path / "out", settings=SMALL, workers=1)
    assert summary.prepared == 11
    ((source, reason),) = summary.failures
    assert source.endswith("S005_001_00000004.png")
    assert "wanted an expression among" in reason
    assert (
        "landmarks of the data set not used: eyes 0 pixels apart" in read_manifest(tmp_path / "out")[0]["warnings"][0]
    )


@needs_face
def test_entries_of_a_csv_are_kept_by_their_pixels(tmp_path):
    folder = trees.fer2013(tmp_path / "fer")
    out = tmp_path / "out"
    assert preprocess(folder, out, settings=SMALL, workers=1).prepared == 11
    row = read_manifest(out)[3]
    assert (row["id"], row["source"], row["expression"]) == ("fer0000003", "fer2013/fer2013.csv#3", "happiness")
    assert preprocess(folder, out, settings=SMALL, workers=1).kept == 11


@needs_face
def test_a_run_on_pictures_predicts_pictures_as_if_they_had_been_prepared(capsys, folder, tmp_path):
    Image.open(folder / "anna/happy/1.png").resize((280, 280)).save(folder / "dora_happy_4.png")
    Image.open(folder / "bert/sad/2.png").resize((280, 280)).save(folder / "emil_sad_5.png")
    preprocess(folder, tmp_path / "out", settings=SMALL, workers=1)
    own = {"maps": "texture", "width": 4, "illumination": "hist-eq"}
    settings = train_settings("plain-cnn", "tiny", None, ("epochs=1", "batch=2"), model=own)
    experiment = Experiment(tmp_path / "out", classes=("happiness", "sadness", "anger"), folds=2, only=(0,))
    run = train("plain-cnn", experiment, tmp_path / "run", settings, device=Device("cpu"))
    predictor = load(run)
    assert predictor.kind.name == "pictures"
    tested = read_predictions(read_run(run))
    sources = {row["id"]: row["source"] for row in read_manifest(tmp_path / "out")}
    for name, wanted in zip(tested.ids, tested.probabilities, strict=True):
        made = predictor(folder / sources[name])
        np.testing.assert_allclose(list(made.probabilities.values()), wanted, atol=1e-5)
    noise = predictor(folder / "carla/angry/3.png")
    assert noise.warnings == ("no face found: the whole picture was taken for one",)
    (tmp_path / "scan.obj").write_text("v 0 0 0\n")
    code, out, _ = fer3d(capsys, "predict", run, folder, tmp_path / "scan.obj", "--json")
    assert code == 3
    reasons = {entry["file"]: entry.get("reason", "") for entry in json.loads(out)}
    assert reasons.pop(str(folder / "anna/happy/broken.jpg")) == "the file is empty"
    assert reasons.pop(str(tmp_path / "scan.obj")) == "wanted a picture, as the run was trained on pictures, got a scan"
    assert len(reasons) == 5
    assert not any(reasons.values())


@needs_face
def test_train_on_the_parts_of_a_data_set(tmp_path):
    folder = tmp_path / "raf"
    for part, start, count in (("train", 0, 6), ("test", 100, 2)):
        for code in (4, 5):
            names = [f"{part}/{code}/{part}_{code}{n:04d}_aligned.jpg" for n in range(count)]
            trees.paint(folder, names, start + 10 * code)
    shutil.copy(folder / "train/4/train_40001_aligned.jpg", folder / "test/4/test_49999_aligned.jpg")  # as in the wild
    preprocess(folder, tmp_path / "out", settings=SMALL, workers=1)
    settings = train_settings("plain-cnn", "tiny", None, ("model.maps=texture", "epochs=1", "model.width=4", "batch=4"))
    experiment = Experiment(tmp_path / "out", "parts", classes=("happiness", "sadness"))
    train("plain-cnn", experiment, tmp_path / "run", settings, device=Device("cpu"))
    tested = read_predictions(read_run(tmp_path / "run"))
    assert set(tested.subjects) == {f"test_{name}_aligned" for name in ("40000", "40001", "49999", "50000", "50001")}


def test_eight_classes_with_contempt(capsys, tmp_path):
    """CK+'s eight and AffectNet's, from the files of the data set to probabilities. Needs no detector."""
    eight = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "contempt")
    ck = tmp_path / "ck"
    points = np.stack([np.linspace(5, 40, 68), np.linspace(10, 30, 68)], axis=1)
    for subject in ("S005", "S010"):
        for code in range(1, 8):
            stems = [f"{subject}/{code:03d}/{subject}_{code:03d}_0000000{frame}" for frame in (1, 2)]
            trees.paint(ck, [f"cohn-kanade-images/{stem}.png" for stem in stems], trees.hash_of(stems[0]))
            trees.write(ck, f"Emotion/{stems[-1]}_emotion.txt", f"   {code:.7e}\n")
            for stem in stems:
                trees.write(ck, f"Landmarks/{stem}_landmarks.txt", "".join(f"{x:e} {y:e}\n" for x, y in points))
    affectnet = tmp_path / "affectnet"
    marks = ";".join(f"{x};{y}" for x, y in points)
    for table, count in (("training", 2), ("validation", 1)):
        names = [f"{3 - count}{code}/{n:08x}.jpg" for code in range(8) for n in range(count)]
        trees.paint(affectnet, [f"Manually_Annotated_Images/{name}" for name in names], len(table))
        lines = [f"{name},1,2,30,40,{marks},{name[1]},0.5,0.5" for name in names]
        trees.write(affectnet, f"{table}.csv", "\n".join([trees.AFFECTNET_HEADER, *lines]) + "\n")
    quick = ("--preset", "tiny", "--maps", "texture", "--set", "epochs=1", "--set", "model.width=4", "--set", "batch=4")
    for folder, protocol, tested in ((ck, ("--folds", 2), 28), (affectnet, ("--protocol", "parts"), 8)):
        data, run = tmp_path / f"{folder.name}-out", tmp_path / f"{folder.name}-run"
        preprocess(folder, data, settings=SMALL, workers=1)
        for labels, classes in (((), 6), (("--labels", ",".join(reversed(eight))), 8)):
            out = run / str(classes)
            code, _, err = fer3d(capsys, "train", "plain-cnn", "--data", data, "-o", out, *protocol, *labels, *quick)
            assert code == 0, err
            made = read_predictions(read_run(out))
            assert made.classes == (eight if classes == 8 else eight[1:7])
            assert made.probabilities.shape[1] == classes
        assert len(made.truth) == tested
        assert (made.truth == 7).sum() == (2 if folder is ck else 1)
        path = data.parent / folder.name / read_manifest(data)[0]["source"]
        assert set(load(out)(path).probabilities) == set(eight)


def test_part_folds():
    def row(subject, part):
        return {"subject": subject, "attributes": json.dumps({"part": part} if part else {})}

    (fold,) = part_folds([row("a", "train"), row("b", "validation"), row("c", "test"), row("d", "train")])
    assert (fold.train, fold.validation, fold.test) == (("a", "d"), ("b",), ("c",))
    (fold,) = part_folds([row("a", "train"), row("b", "validation")])
    assert (fold.train, fold.validation, fold.test) == (("a",), (), ("b",))
    with pytest.raises(ProtocolError, match="wanted scans of the parts train and test or validation, got None"):
        part_folds([row("a", None)])
    with pytest.raises(ProtocolError, match="subject a is in train and in test"):
        part_folds([row("a", "train"), row("a", "test")])


def test_five_folds_of_a_data_set():
    def row(subject, folds):
        return {"subject": subject, "attributes": json.dumps({"folds": folds})}

    rows = [row("a", "train test"), row("b", "validation none"), row("c", "test train"), row("d", "none validation")]
    first, second = part_folds(rows)
    assert (first.fold, first.train, first.validation, first.test) == (0, ("a",), ("b",), ("c",))
    assert (second.fold, second.train, second.validation, second.test) == (1, ("c",), ("d",), ("a",))
    with pytest.raises(ProtocolError, match="wanted as many folds of every scan, got 1, 2"):
        part_folds([*rows, row("e", "train")])


@needs_face
def test_tfd_from_its_matlab_file_to_its_own_folds(tmp_path):
    folds = np.array([[1, 3], [1, 3], [3, 1], [0, 1], [2, 0]])
    trees.tfd(tmp_path / "tfd", (1, 4, 1, 4, -1), (5, 5, 9, -1, 11), folds)
    preprocess(tmp_path / "tfd", tmp_path / "out", settings=SMALL, workers=1)
    settings = train_settings("plain-cnn", "tiny", None, ("model.maps=texture", "epochs=1", "model.width=4", "batch=2"))
    experiment = Experiment(tmp_path / "out", "parts", classes=("anger", "happiness"))
    train("plain-cnn", experiment, tmp_path / "run", settings, device=Device("cpu"))
    made = read_predictions(read_run(tmp_path / "run"))
    assert sorted(made.subjects) == ["id5", "id5", "id9"]


@needs_face
def test_command(capsys, folder, tmp_path):
    code, out, err = fer3d(
        capsys,
        "preprocess",
        folder,
        "-o",
        tmp_path / "out",
        "--size",
        32,
        "--workers",
        1,
        "--set",
        "detectors=hog,haar",
    )
    assert code == 3, err
    assert "3 prepared, 0 kept from before, 1 failed" in out
    assert "folder of pictures" in out
    code, out, _ = fer3d(capsys, "inspect", folder, "--workers", 1)
    assert code == 3
    assert "cannot be read: 1 files" in out


@needs_face
def test_bad_pictures_are_a_line_each_and_the_rest_goes_on(capsys, photos, tmp_path):  # noqa: F811
    place = tmp_path / "pictures/anna/happy"
    place.mkdir(parents=True)
    Image.fromarray(photos[0].picture).save(place / "good.jpg")
    Image.fromarray(np.concatenate([one.picture for one in photos], axis=1)).save(place / "many.png")
    trees.paint(place, ["none.png"])
    content = (place / "good.jpg").read_bytes()
    for name, damaged in (
        ("cut.jpg", content[: len(content) // 2]),
        ("empty.jpg", b""),
        ("small.png", png(1, 1, zlib.compress(bytes(4)))),
        ("large.png", png(20_000, 20_000)),
        ("bomb.png", png(60_000, 60_000)),
        ("text.png", b"not a picture"),
    ):
        (place / name).write_bytes(damaged)
    code, out, _ = fer3d(capsys, "preprocess", tmp_path / "pictures", "-o", tmp_path / "out", "--workers", 1)
    assert code == 3
    said = "".join(out.split())  # lines are broken anywhere
    for line in (
        "failed anna/happy/cut.jpg: cannot be decoded: image file is truncated",
        "failed anna/happy/empty.jpg: the file is empty",
        "failed anna/happy/small.png: no face found (wanted at least 16 pixels a side, got 1 x 1)",
        "failed anna/happy/large.png: wanted at most 100,000,000 pixels, got 400,000,000",
        "failed anna/happy/bomb.png: wanted at most 100,000,000 pixels, got 3,600,000,000",
        "failed anna/happy/text.png: wanted a picture (",
        "doubtful anna/happy/many.png: 3 faces: the largest and most central one counts",
        "doubtful anna/happy/none.png: no face found: the whole picture was taken for one",
        "3 prepared, 0 kept from before, 6 failed",
    ):
        assert "".join(line.split()) in said
    assert "warning" not in said  # all were shown above


@needs_face
def test_bad_lines_of_label_files_are_a_line_each_and_the_rest_goes_on(capsys, tmp_path):
    raf = trees.raf_db(tmp_path / "raf")
    table = raf / "basic/EmoLabel/list_patition_label.txt"
    table.write_text("train_00001.jpg 5\ntrain_00002.jpg 9\ntest_0001.jpg 7\ntrain_09999.jpg 3\n")
    affectnet = trees.affectnet(tmp_path / "affectnet")
    columns = affectnet / "training.csv"
    columns.write_text(columns.read_text().replace(",expression,", ",emotion,"))
    for folder, prepared, wanted in (
        (
            raf,
            2,
            ("label.txt:2: wanted an expression among 1, 2, 3, 4, 5, 6, 7, got '9'", "label.txt:4: wanted a pict"),
        ),
        (affectnet, 3, ("note training.csv:1: wanted a column expression, got subdirectory_filepath",)),
    ):
        _, out, _ = fer3d(capsys, "preprocess", folder, "-o", tmp_path / f"{folder.name}-out", "--workers", 1)
        said = "".join(out.split())
        assert f"{prepared}prepared" in said
        for line in wanted:
            assert "".join(line.split()) in said


def test_settings_of_detectors():
    assert preprocess_settings(None, ("detectors=haar,mtcnn",)).detectors == ("haar", "mtcnn")
    for wrong in ("yolo", "hog,hog"):
        with pytest.raises(ConfigError, match="detectors.*should name one or more of mtcnn, hog, haar"):
            preprocess_settings(None, (f"detectors={wrong}",))
