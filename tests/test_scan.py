import numpy as np
import pytest

from fer3d.errors import ArgumentError
from fer3d.scan import EXPRESSIONS, Scan, check_scan


def square(**attributes):
    vertices = [[0, 0, 0], [2, 0, 0], [2, 3, 0], [0, 3, 1]]
    return Scan.of(vertices, [[0, 1, 2], [0, 2, 3]], **attributes)


def test_labels_stand_in_canonical_order():
    assert EXPRESSIONS == ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")


def test_a_move_takes_landmarks_and_placement_along():
    scan = square(landmarks={"pronasale": np.array([1.0, 2.0, 3.0])})
    turn = np.array(
        [[0, -2, 0, 5], [2, 0, 0, 6], [0, 0, 2, 7], [0, 0, 0, 1]], float
    )  # a quarter about z, twice as large
    moved = scan.moved(turn, "turn", {"why": "test"})
    np.testing.assert_array_equal(moved.vertices[1], [5, 10, 7])
    np.testing.assert_array_equal(moved.landmarks["pronasale"], [1, 8, 13])
    again = moved.moved(turn, "turn")
    at = again.placement @ np.append(scan.vertices[3], 1.0)
    np.testing.assert_allclose(at[:3], again.vertices[3])
    assert [step["step"] for step in again.history] == ["turn", "turn"]
    assert again.history[0] == {"step": "turn", "why": "test"}
    assert scan.history == ()


def test_what_is_kept_leads_back_to_the_file():
    scan = square(
        uv=np.arange(8, dtype=np.float32).reshape(4, 2), colours=np.arange(12, dtype=np.float32).reshape(4, 3)
    )
    kept = scan.kept(np.array([True, False, True, True]), "cut")
    assert kept.faces.tolist() == [[0, 1, 2]]
    assert kept.file_vertex.tolist() == [0, 2, 3]
    assert kept.uv.tolist() == [[0, 1], [4, 5], [6, 7]]
    assert kept.colours.tolist() == [[0, 1, 2], [6, 7, 8], [9, 10, 11]]
    again = kept.kept(np.array([False, True, True]), "cut")
    assert again.file_vertex.tolist() == [2, 3]
    assert again.faces.shape == (0, 3)


def test_landmarks_of_a_file_are_put_where_the_scan_was_moved_to():
    placement = np.eye(4)
    placement[:3, 3] = [-3000, 0, 5]
    scan = square(placement=placement).with_landmarks({"a": np.array([3001.0, 2.0, 3.0])}, {"file": "a.bnd"})
    assert scan.landmarks["a"].tolist() == [1, 2, 8]
    assert scan.history == ({"step": "landmarks", "file": "a.bnd", "count": 1},)


def test_landmarks_as_rows_have_nan_for_what_is_missing():
    scan = square(landmarks={"a": np.array([1.0, 2.0, 3.0])})
    rows = scan.landmark_array(("b", "a"))
    assert np.isnan(rows[0]).all()
    assert rows[1].tolist() == [1, 2, 3]
    assert scan.landmark_array(()).shape == (0, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Scan(np.zeros((3, 3)), np.zeros((1, 3), np.int32)),
            "`vertices` should have dtype float32, has float64",
        ),
        (
            lambda: Scan([[0, 0, 0]], np.zeros((1, 3), np.int32)),
            "`vertices` should be a NumPy array of float32, is list",
        ),
        (lambda: Scan.of(np.zeros((3, 2)), [[0, 1, 2]]), r"`vertices` should have shape \(V, 3\), has \(3, 2\)"),
        (lambda: Scan.of(np.zeros((3, 3)), [[0, 1, 3]]), r"`faces` should hold rows in \[0, 3\), holds \[0, 3\]"),
        (lambda: Scan.of(np.zeros((3, 3)), [[0, 1, -1]]), r"`faces` should hold rows in \[0, 3\), holds \[-1, 1\]"),
        (lambda: square(uv=np.zeros((3, 2), np.float32)), r"`uv` should have shape \(4, 2\), has \(3, 2\)"),
        (lambda: square(texture=np.zeros((3, 2), np.uint8)), r"`texture` should have shape \(H, W, 3\), has \(3, 2\)"),
        (lambda: square(texture=np.zeros((3, 2, 3))), "`texture` should have dtype uint8, has float64"),
        (lambda: square(colours=np.zeros((4, 3))), "`colours` should have dtype float32, has float64"),
        (lambda: square(colours=np.zeros((3, 3), np.float32)), r"`colours` should have shape \(4, 3\), has \(3, 3\)"),
        (lambda: square(wrap=("repeat", "mirrored")), "`wrap` should be one of repeat, clamp, mirror, is 'mirrored'"),
        (lambda: square(wrap=("repeat",)), r"`wrap` should name two ways, for u and v, is \('repeat',\)"),
        (lambda: square(file_vertex=np.zeros(3, np.int32)), r"`file_vertex` should have shape \(4,\), has \(3,\)"),
        (lambda: square(placement=np.eye(3)), r"`placement` should have shape \(4, 4\), has \(3, 3\)"),
        (lambda: square(landmarks={"x": np.zeros(2)}), r"`landmarks\['x'\]` should have shape \(3,\), has \(2,\)"),
        (lambda: square().moved(np.eye(3), "x"), r"`transform` should have shape \(4, 4\), has \(3, 3\)"),
        (lambda: square().kept(np.ones(3, bool), "x"), r"`keep` should have shape \(4,\), has \(3,\)"),
        (lambda: check_scan("scan", None), "`scan` should be a fer3d.scan.Scan, is NoneType"),
    ],
)
def test_what_is_wrong_is_said(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
