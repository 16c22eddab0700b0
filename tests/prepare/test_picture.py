"""A data set of pictures through `preprocess` to a trained network."""

import json
import shutil
import zlib

import numpy as np
import pytest
from PIL import Image

from fer3d.catalog.protocols import part_folds
from fer3d.config import preprocess_settings
from fer3d.errors import ArgumentError, ConfigError, PrepareError, ProtocolError
from fer3d.image.align import canonical_eyes
from fer3d.image.detect import Detection
from fer3d.image.landmarks68 import moved
from fer3d.predict import load
from fer3d.prepare.folder import preprocess
from fer3d.prepare.store import header_for, read_manifest, read_row
from fer3d.train.plan import Experiment
from fer3d.train.run import Device, train
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import train_settings
from tests import picture_trees as trees
from tests.commands import fer3d
from tests.formats.test_pictures import png
from tests.image.test_detect import needs_face, photos, true_eyes  # noqa: F401  (a fixture)

SMALL = preprocess_settings(None, ("size=48",))
WHOLE = preprocess_settings(None, ("size=48", "whole_picture=true"))
HINT = "; --crops says that it is a crop of a face, --whole-picture takes the whole picture for a face"


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
    summary = preprocess(folder, tmp_path / "out", settings=WHOLE, workers=1)
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
    scan = read_row(tmp_path / "out", anna)
    assert scan.arrays["texture"].shape == (48, 48, 3)
    assert scan.arrays["maps"].shape == (0, 48, 48)
    carla = rows["carla--angry--3"]
    assert carla["pose_source"] == "picture"
    assert carla["warnings"] == ["no face found: the whole picture was taken for one"]
    assert summary.contact_sheet.is_file()


def test_crops_are_used_as_they_are_and_need_no_detector(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("fer3d.prepare.picture._finder", lambda *_: pytest.fail("no face should be searched for"))
    place, out = tmp_path / "pictures", tmp_path / "out"
    trees.paint(place, ["anna/happy/1.png"])
    Image.fromarray(trees.noise(1, 60)[:, :40]).save(place / "anna/happy/tall.png")
    Image.fromarray(trees.noise(2, 15)).save(place / "anna/happy/tiny.png")
    code, said, _ = fer3d(capsys, "preprocess", place, "-o", out, "--workers", 1, "--size", 96, "--crops")
    assert code == 3
    said = "".join(said.split())
    assert "failedanna/happy/tiny.png:wantedacropofatleast16pixelsaside,got15x15" in said
    assert "doubtfulanna/happy/tall.png:thecropof40x60pixelswasstretchedtoasquare" in said
    rows = {row["source"]: row for row in read_manifest(out) if row["status"] == "ok"}
    assert {row["pose_source"] for row in rows.values()} == {"crop"}
    for name, picture in (("1", trees.noise(0)), ("tall", trees.noise(1, 60)[:, :40])):
        scan = read_row(out, rows[f"anna/happy/{name}.png"])
        wanted = Image.fromarray(picture).convert("RGB").resize((96, 96), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(scan.arrays["texture"], np.asarray(wanted))
        assert (scan.arrays["mask"] == 1).all()
    assert preprocess(place, out, settings=preprocess_settings(None, ("size=96", "crops=true")), workers=1).kept == 2


def test_only_small_pictures_are_the_crops_of_a_set_whose_card_says_their_size(tmp_path, monkeypatch):
    """Copies of FER-2013 as folders and of CK+ hold crops of 48 pixels; larger pictures there are something else."""
    searched = []

    class Finder:
        def __call__(self, pixels):
            searched.append(pixels.shape[:2])
            return Detection((), ())

    monkeypatch.setattr("fer3d.prepare.picture._finder", lambda *_: Finder())
    for make, count in ((trees.fer2013_folders, 9), (trees.ferplus, 4)):
        folder = make(tmp_path / make.__name__)
        first = next(path for path in sorted(folder.rglob("*")) if path.suffix in (".jpg", ".png"))
        Image.fromarray(trees.noise(0, 60)).save(first)
        summary = preprocess(folder, tmp_path / f"{make.__name__}-out", settings=SMALL, workers=1)
        assert (summary.prepared, len(summary.failures)) == (count - 1, 1)
    assert searched == [(60, 60)] * 2
    trees.paint(tmp_path / "ck48", ["S010/006/S010_006_00000013.png"])
    assert preprocess(tmp_path / "ck48", tmp_path / "ck48-out", "ckplus", SMALL, workers=1).prepared == 1
    assert len(searched) == 2


@needs_face
def test_a_setting_overrides_the_card(tmp_path):
    folder = trees.fer2013(tmp_path / "fer")
    searched = preprocess(
        folder, tmp_path / "out", settings=SMALL.model_copy(update={"crops": False, "detectors": ("haar",)}), workers=1
    )
    assert searched.prepared == 0
    assert all("no face found" in reason for _, reason in searched.failures)


def test_settings_of_pictures_are_refused_for_scans(tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans/anna_happy.obj").write_text("v 0 0 0\n")
    for name in ("crops", "whole_picture"):
        with pytest.raises(ConfigError, match=f"`{name}` would change nothing: it is of pictures, these are scans$"):
            preprocess(tmp_path / "scans", tmp_path / "out", settings=preprocess_settings(None, (f"{name}=true",)))


@needs_face
def test_what_is_prepared_is_kept_until_something_changes(folder, tmp_path):
    out = tmp_path / "out"
    preprocess(folder, out, settings=WHOLE, workers=1)
    content = (out / "shards/00000.safetensors").read_bytes()
    assert preprocess(folder, out, settings=WHOLE, workers=1).kept == 3
    shutil.copy(folder / "bert/sad/2.png", folder / "carla/angry/3.png")
    again = preprocess(folder, out, settings=WHOLE, workers=1)
    assert (again.prepared, again.kept) == (1, 2)
    trees.paint(folder, ["carla/angry/3.png"])
    none = preprocess(folder, out, settings=SMALL, workers=1)
    ((_, reason),) = [failure for failure in none.failures if failure[0].startswith("carla")]
    assert reason.startswith("carla/angry/3.png: no face found (mtcnn: no face; hog: ")
    assert reason.endswith(HINT)
    shutil.rmtree(out)
    preprocess(folder, out, settings=WHOLE, workers=2)
    assert (out / "shards/00000.safetensors").read_bytes() == content


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
    assert header_for(tmp_path / "out", row)["people"] is True


@needs_face
def test_bad_landmarks_and_bad_labels(tmp_path):
    folder = trees.ckplus(tmp_path / "ck")  # all 68 points are one
    (folder / "Emotion/S005/001/S005_001_00000004_emotion.txt").write_text("9.0")
    summary = preprocess(folder, tmp_path / "out", settings=WHOLE, workers=1)
    assert summary.prepared == 11
    ((source, reason),) = summary.failures
    assert source.endswith("S005_001_00000004.png")
    assert "wanted an expression among" in reason
    assert (
        "landmarks of the data set not used: eyes 0 pixels apart" in read_manifest(tmp_path / "out")[0]["warnings"][0]
    )


def test_entries_of_a_csv_are_kept_by_their_pixels(tmp_path):
    """They are crops, as the card says, and need no detector."""
    folder = trees.fer2013(tmp_path / "fer")
    out = tmp_path / "out"
    assert preprocess(folder, out, settings=SMALL, workers=1).prepared == 11
    row = read_manifest(out)[3]
    assert (row["id"], row["source"], row["expression"]) == ("fer0000003", "fer2013/fer2013.csv#3", "happiness")
    scan = read_row(out, row)
    np.testing.assert_array_equal(scan.arrays["texture"], np.repeat(trees.noise(3)[..., None], 3, axis=2))
    assert (scan.arrays["mask"] == 1).all()
    assert (row["pose_source"], row["warnings"], row["measured"]) == ("crop", [], 1.0)
    assert preprocess(folder, out, settings=SMALL, workers=1).kept == 11


@needs_face
def test_a_run_on_pictures_predicts_pictures_as_if_they_had_been_prepared(capsys, folder, tmp_path):
    Image.open(folder / "anna/happy/1.png").resize((280, 280)).save(folder / "dora_happy_4.png")
    Image.open(folder / "bert/sad/2.png").resize((280, 280)).save(folder / "emil_sad_5.png")
    preprocess(folder, tmp_path / "out", settings=WHOLE, workers=1)
    own = {"maps": "texture", "width": 4, "illumination": "hist-eq"}
    settings = train_settings("plain-cnn", "tiny", None, ("epochs=1", "batch=2"), model=own)
    experiment = Experiment(tmp_path / "out", classes=("happiness", "sadness", "anger"), folds=2, only=(0,))
    run = train("plain-cnn", experiment, tmp_path / "run", settings, device=Device("cpu"))
    predictor = load(run)
    assert predictor.kind.name == "pictures"
    tested = read_predictions(read_run(run))
    sources = {row["id"]: row["source"] for row in read_manifest(tmp_path / "out")}
    whole = load(run, whole_picture=True)
    for name, wanted in zip(tested.ids, tested.probabilities, strict=True):
        made = whole(folder / sources[name])
        np.testing.assert_allclose(list(made.probabilities.values()), wanted, atol=1e-5)
    noise = folder / "carla/angry/3.png"
    with pytest.raises(PrepareError, match="carla/angry/3.png: no face found") as error:  # although it was trained on
        predictor(noise)
    assert str(error.value).endswith(HINT)
    assert whole(noise).warnings == ("no face found: the whole picture was taken for one",)
    _check_pictures_in_memory(predictor, load(run, crops=True), folder / "anna/happy/1.png")
    (tmp_path / "scan.obj").write_text("v 0 0 0\n")
    code, out, _ = fer3d(capsys, "predict", run, noise, "--csv")
    assert (code, out.splitlines()[1].split(",")[1:4]) == (3, ["failed", "", ""])
    assert out.splitlines()[1].count("no face found") == 1
    code, out, _ = fer3d(capsys, "predict", run, noise, "--whole-picture", "--json")
    assert (code, json.loads(out)[0]["status"]) == (0, "ok")
    code, out, _ = fer3d(capsys, "predict", run, noise, "--crops", "--json")
    assert (code, json.loads(out)[0]["warnings"]) == (0, [])
    both = "`whole_picture` should be false with `?crops`?, in which no face is searched for"
    with pytest.raises(ArgumentError, match=both):
        load(run, crops=True, whole_picture=True)
    with pytest.raises(ConfigError, match=both):
        preprocess_settings(None, ("crops=true", "whole_picture=true"))
    code, out, _ = fer3d(capsys, "predict", run, folder, tmp_path / "scan.obj", "--json")
    assert code == 3
    reasons = {entry["file"]: entry.get("reason", "") for entry in json.loads(out)}
    assert reasons.pop(str(noise)).endswith(HINT)
    assert reasons.pop(str(folder / "anna/happy/broken.jpg")) == "the file is empty"
    assert reasons.pop(str(tmp_path / "scan.obj")) == "wanted a picture, as the run was trained on pictures, got a scan"
    assert len(reasons) == 4
    assert not any(reasons.values())


def _check_pictures_in_memory(predictor, crops, path):
    """Arrays and PIL pictures are read as files are."""
    pixels = np.array(Image.open(path).convert("RGB"))
    made = predictor(path)
    assert predictor(str(path)) == predictor(pixels) == predictor(Image.open(path)) == made
    assert predictor(pixels[:, ::-1][:, ::-1]) == made
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    assert predictor(grey) == predictor(np.repeat(grey[..., None], 3, axis=2)) == predictor(Image.fromarray(grey))
    assert crops(pixels[:, :, :]) == crops(path) != made
    with pytest.raises(PrepareError, match=r"^`scan`: no face found \("):
        predictor(np.zeros((60, 60), np.uint8))
    with pytest.raises(PrepareError, match=r"^`scan`: wanted a crop of at least 16 pixels a side, got 8 x 60$"):
        crops(np.zeros((60, 8), np.uint8))
    for wrong, said in (
        (pixels.astype(np.float32) / 255, r"\d+, 3\) float32"),
        (pixels[..., :2], r"\d+, 2\) uint8"),
        (pixels[None], r"\(1, .*, 3\) uint8"),
        (pixels.transpose(2, 0, 1), r"\(3, .*\) uint8"),
        (np.zeros((0, 4), np.uint8), r"\(0, 4\) uint8"),
        (7, "is int$"),
        (None, "is NoneType$"),
    ):
        with pytest.raises(ArgumentError, match=r"^`scan` should be a picture: a file, pixels \(H, W\) or .*" + said):
            predictor(wrong)


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
        assert set(load(out, whole_picture=True)(path).probabilities) == set(eight)


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
        "--whole-picture",
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
        f"failed anna/happy/none.png: no face found (mtcnn: no face; hog: no face; haar: no face){HINT}",
        "2 prepared, 0 kept from before, 7 failed",
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
        options = ("-o", tmp_path / f"{folder.name}-out", "--workers", 1, "--whole-picture")
        _, out, _ = fer3d(capsys, "preprocess", folder, *options)
        said = "".join(out.split())
        assert f"{prepared}prepared" in said
        for line in wanted:
            assert "".join(line.split()) in said
        assert json.loads((tmp_path / f"{folder.name}-out/prepare.json").read_text())["notes"]


def test_settings_of_detectors():
    assert preprocess_settings(None, ("detectors=haar,mtcnn",)).detectors == ("haar", "mtcnn")
    for wrong in ("yolo", "hog,hog"):
        with pytest.raises(ConfigError, match="detectors.*should name one or more of mtcnn, hog, haar"):
            preprocess_settings(None, (f"detectors={wrong}",))
