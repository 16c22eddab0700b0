"""A found face in the words of other commands, and as a picture."""

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fer3d.errors import PrepareError
from fer3d.face.load import builtin_face
from fer3d.landmarks import POINT_NAMES, SCHEMES
from fer3d.prepare.axes import axis_rotation
from fer3d.prepare.drawing import BACKGROUND
from fer3d.prepare.landmarks.found import FoundLandmarks
from fer3d.prepare.landmarks.portrait import COLOURS, portrait, whole
from fer3d.prepare.landmarks.reference import TIP, mean_points
from fer3d.prepare.landmarks.wording import NEAR, axes_of, facts_of
from fer3d.scan import Scan
from tests import shapes

PAIRS = [(u, t) for u, t in itertools.product(("+x", "-x", "+y", "-y", "+z", "-z"), repeat=2) if u[1] != t[1]]


def pose(rotation, scale=1.0):
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation
    return matrix


def found(transform, confidence=1.0, hidden=()):
    """The points of the mean face, in a file that `transform` maps to the frontal frame."""
    back = np.linalg.inv(transform)
    positions = mean_points() @ back[:3, :3].T + back[:3, 3]
    positions[list(hidden)] = np.nan
    share = np.full(len(POINT_NAMES), confidence)
    size = np.cbrt(np.linalg.det(transform[:3, :3]))
    return FoundLandmarks(POINT_NAMES, positions, share, share, transform, size, "m", 0.98765)


@pytest.mark.parametrize(("up", "towards"), PAIRS)
def test_the_axes_are_those_that_turn_the_file_upright(up, towards):
    turned = Rotation.from_euler("y", 20, degrees=True).as_matrix() @ axis_rotation(up, towards)
    axes = axes_of(pose(turned, 1000.0))
    assert (axes.up, axes.towards_camera, axes.near) == (up, towards, True)
    assert axes.degrees == pytest.approx(20.0)
    assert axes.options == ("" if (up, towards) == ("+y", "+z") else f"--up {up} --towards-camera {towards}")


def test_a_face_between_the_axes_has_none():
    axes = axes_of(pose(Rotation.from_euler("y", 44, degrees=True).as_matrix()))
    assert axes.degrees == pytest.approx(44.0) and axes.degrees > NEAR
    assert not axes.near
    assert facts_of(found(pose(Rotation.from_euler("y", 44, degrees=True).as_matrix())))["axes"] == ""


def test_the_columns():
    shown = found(pose(axis_rotation("+z", "-y"), 1000.0), hidden=(POINT_NAMES.index("ibug68_00"),))
    every, some = facts_of(shown), facts_of(shown, "ibug68")
    assert (every["points"], every["hidden"]) == (len(POINT_NAMES) - 1, 1)
    assert (some["points"], some["hidden"]) == (len(SCHEMES["ibug68"]) - 1, 1)
    assert every["axes"] == "up +z, towards -y"
    assert (every["probability"], every["unit"], every["mm_per_unit"]) == (0.9877, "m", 1000.0)


@pytest.mark.parametrize(("confidence", "colour"), [*zip((0.0, 0.5, 1.0), COLOURS, strict=True)])
def test_a_point_has_the_colour_of_its_confidence_whatever_the_frame(confidence, colour):
    transform = pose(Rotation.from_euler("xyz", [70, 40, 130], degrees=True).as_matrix(), 1000.0)
    face, back = builtin_face(), np.linalg.inv(transform)
    scan = Scan.of((face.neutral @ back[:3, :3].T).astype(np.float32), face.triangles)
    picture = portrait(scan, found(transform, confidence), 440)  # 2 pixels are 1 mm
    row, column = np.argwhere((np.abs(picture.astype(int) - colour) < 12).all(axis=2)).mean(axis=0)
    middle = mean_points().mean(axis=0)
    assert (column, row) == pytest.approx((219.5 + 2 * middle[0], 219.5 - 2 * (middle[1] + 5)), abs=6)
    x, y = mean_points()[TIP, :2]
    assert np.abs(picture[round(219.5 - 2 * (y + 5)), round(219.5 + 2 * x)].astype(int) - colour).max() < 12


def test_a_hidden_point_is_a_ring_where_the_mean_face_has_it():
    scan = Scan.of(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32), [[0, 1, 2]])
    picture = portrait(scan, found(np.eye(4), hidden=range(len(POINT_NAMES))), 440)
    at = np.rint(219.5 + 2 * np.stack([-(mean_points()[:, 1] + 5), mean_points()[:, 0]], axis=1)).astype(int)
    around = [np.abs(picture[r - 4 : r + 5, c - 4 : c + 5].astype(int) - BACKGROUND).max() for r, c in at]
    assert min(around) > 30
    assert not any((np.abs(picture.astype(int) - colour) < 12).all(axis=2).any() for colour in COLOURS)


def test_a_scan_without_a_face_is_drawn_from_the_side_that_shows_most_of_it():
    plate = shapes.plane(100.0, 5.0).scan
    for turn in ((0, 0, 0), (90, 0, 0), (0, -90, 0)):
        rotation = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
        picture = whole(Scan.of(0.001 * plate.vertices @ rotation.T, plate.faces), 60)
        assert picture.shape == (60, 60, 3)
        assert (np.ptp(picture.reshape(-1, 3), axis=0) > 0).all()
        assert (picture != picture[0, 0]).any(axis=2).mean() > 0.6


def test_vertices_that_are_not_finite_are_not_drawn():
    plate = shapes.plane(100.0, 5.0).scan
    lost = np.arange(len(plate.vertices)) < 40
    broken = Scan.of(np.where(lost[:, None], np.nan, plate.vertices), plate.faces)
    assert (whole(broken, 60) != whole(broken, 60)[0, 0]).any(axis=2).mean() > 0.4
    with pytest.raises(PrepareError, match="should have a finite vertex"):
        whole(Scan.of(np.full_like(plate.vertices, np.nan), plate.faces))
