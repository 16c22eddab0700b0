"""Landmarks that the shipped networks find: any unit and axes, cut faces, no faces, files that contradict the shape."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from fer3d.errors import ArgumentError, PrepareError
from fer3d.face.load import builtin_face, mean_face
from fer3d.landmarks import POINT_NAMES, SCHEMES
from fer3d.prepare import find_landmarks
from fer3d.prepare.align import frontal, outward, to_millimetres
from fer3d.prepare.landmarks.reference import mean_points
from fer3d.scan import Scan
from tests import shapes

AXES = [
    np.eye(3),
    *Rotation.from_euler("xyz", [(90, 0, 0), (0, 90, 0), (180, 0, 0), (0, 0, 180)], degrees=True).as_matrix(),
]


@pytest.fixture(scope="module")
def face():
    scan = mean_face()
    return Scan.of(scan.vertices, scan.faces)


def moved(scan, rotation, unit, shift=(30.0, -5.0, 400.0)):
    """The scan as a file with other axes and another unit holds it."""
    points = unit * (scan.vertices.astype(float) @ np.asarray(rotation).T + shift)
    return Scan.of(points, scan.faces), unit * (mean_points() @ np.asarray(rotation).T + shift)


def degrees(one, other):
    return np.degrees(np.arccos(np.clip((np.trace(one @ other.T) - 1) / 2, -1, 1)))


@pytest.mark.parametrize("number", range(len(AXES)))
@pytest.mark.parametrize(("unit", "name"), [(1.0, "mm"), (0.1, "cm"), (0.001, "m"), (1 / 50, None)])
def test_the_mean_face_is_found_in_any_unit_and_with_any_axes(face, number, unit, name):
    scan, truth = moved(face, AXES[number], unit)
    found = find_landmarks(scan)
    assert found.names == POINT_NAMES and found.probability > 0.9 and not found.warnings
    assert found.unit == name
    assert found.mm_per_unit * unit == pytest.approx(1.0, rel=0.08)
    rotation = found.pose[:3, :3] / np.cbrt(np.linalg.det(found.pose[:3, :3]))
    assert degrees(rotation, AXES[number].T) < 5.0
    errors = np.linalg.norm(found.positions - truth, axis=1) / unit
    assert np.isfinite(errors).mean() > 0.9 and np.nanmedian(errors) < 2.0
    assert errors[POINT_NAMES.index("pronasale")] < 4.0
    again = find_landmarks(scan)
    np.testing.assert_array_equal(found.positions, again.positions)
    np.testing.assert_array_equal(found.pose, again.pose)


def test_points_lie_on_the_surface_and_schemes_name_them(face):
    found = find_landmarks(face)
    corners = face.vertices[face.faces].astype(float)
    share = np.random.default_rng(0).dirichlet(np.ones(3), (len(corners), 12))
    dense = cKDTree(np.einsum("fnk,fkc->fnc", share, corners).reshape(-1, 3))
    for point in found.points().values():
        assert dense.query(point)[0] < 0.5
    assert set(found.points("ibug68")) <= set(SCHEMES["ibug68"])
    with pytest.raises(ArgumentError, match="`scheme` should be"):
        found.points("dlib")


def test_what_the_scan_does_not_show_has_no_position(face):
    half = face.kept(face.vertices[:, 0] > -8.0, "half")
    found = find_landmarks(half)
    left, right = (POINT_NAMES.index(f"exocanthion_{side}") for side in ("left", "right"))
    assert np.isfinite(found.positions[left]).all() and np.isnan(found.positions[right]).all()
    assert found.visibility[left] > 0.5 > found.visibility[right]


def test_positions_are_in_the_frame_of_the_file(face):
    before = find_landmarks(face)
    turn = np.eye(4)
    turn[:3, :3], turn[:3, 3] = AXES[1], [5.0, 6.0, 7.0]
    after = find_landmarks(face.moved(turn, "turned"))
    gap = np.linalg.norm(after.positions - before.positions, axis=1)
    assert np.nanmedian(gap) < 1.5
    one, other = (pose[:3, :3] / np.cbrt(np.linalg.det(pose[:3, :3])) for pose in (after.pose, before.pose))
    assert degrees(one, other) < 4.0


@pytest.mark.parametrize(
    "shape",
    [shapes.sphere(90.0, 4.0), shapes.plane(120.0, 4.0), shapes.torus(80.0, 30.0, 4.0), shapes.saddle(60.0, 3.0)],
)
def test_what_is_no_face_is_refused(shape):
    with pytest.raises(PrepareError, match="^no face found: "):
        find_landmarks(shape.scan)
    assert find_landmarks(shape.scan, refuse=False).probability < 0.2


def test_a_few_large_triangles_are_a_crumb_and_no_face(face):
    crumb = Scan.of(face.vertices, face.faces[:30])
    with pytest.raises(PrepareError, match="^no face found: "):
        find_landmarks(crumb)


def test_of_two_faces_in_one_surface_the_larger_is_found_and_the_other_is_told(face):
    other = 0.85 * face.vertices + np.array([230.0, 10.0, -40.0], np.float32)
    count = len(face.vertices)
    between = np.array([[0, count, count + 1], [0, 1, count]], np.int32)  # joins both
    faces = np.concatenate([face.faces, face.faces + count, between]).astype(np.int32)
    found = find_landmarks(Scan.of(np.concatenate([face.vertices, other]), faces))
    assert np.linalg.norm(found.points()["pronasale"]) < 4.0 and found.others == 1
    assert "the scan shows 2 faces; the largest was taken" in found.warnings


def test_the_size_of_the_face_tells_the_unit_and_contradicts_a_wrong_one(face):
    scan, _ = moved(face, np.eye(3), 1 / 50)
    found = find_landmarks(scan)
    odd = to_millimetres(scan, "auto", found)
    assert odd.warnings[0].startswith("the unit is none of m, cm and mm: the face says ")
    assert np.ptp(odd.vertices, axis=0) == pytest.approx(np.ptp(face.vertices, axis=0), rel=0.08)
    said = to_millimetres(scan, 20.0, found)
    assert "is it right?" in said.warnings[0] and said.history[-1]["mm_per_unit"] == 20.0
    assert to_millimetres(face, "mm", find_landmarks(face)).warnings == ()


def marked(face):
    model = builtin_face()
    names = (
        "exocanthion_left",
        "exocanthion_right",
        "endocanthion_left",
        "endocanthion_right",
        "subnasale",
        "pogonion",
    )
    return {name: model.neutral[model.landmarks[name]].astype(float) for name in names}


def test_landmarks_that_fit_the_shape_are_used_without_a_warning(face):
    scan = outward(replace(face, landmarks=marked(face)))
    done = frontal(scan)
    assert done.history[-1]["method"] == "landmarks" and done.warnings == ()


@pytest.mark.parametrize("way", ["of a face beside it", "upside down"])
def test_landmarks_that_contradict_the_shape_are_a_warning(face, way):
    turn = np.diag([-1.0, -1.0, 1.0]) if way == "upside down" else np.eye(3)
    shift = [0.0, -10.0, 0.0] if way == "upside down" else [25.0, 15.0, -12.0]
    landmarks = {name: turn @ point + shift for name, point in marked(face).items()}
    scan = outward(replace(face, landmarks=landmarks))
    done = frontal(scan)
    assert done.history[-1]["method"] == "found"
    assert done.warnings == (
        "the landmarks of the file are not where the face is on the shape: the found ones are used",
    )
    assert degrees(done.placement[:3, :3], np.eye(3)) < 5.0
    assert np.linalg.norm(done.landmarks["pronasale"]) < 4.0
    insisted = frontal(scan, "file")
    assert insisted.history[-1]["method"] == "landmarks" and "as asked for" in insisted.warnings[0]
