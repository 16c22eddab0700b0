from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fer3d.errors import ArgumentError, PrepareError
from fer3d.face.load import mean_face
from fer3d.prepare.align import crop, frontal, outward, to_millimetres
from fer3d.prepare.landmark_pose import swap_sides
from fer3d.scan import Scan
from fer3d.synth.optics.scene import pose
from tests import shapes

TURN = pose(0.4, -0.3, 0.8, (50.0, -20.0, 140.0))  # no two angles or shifts alike


def box(size, count=500, seed=0):
    """A scan whose vertices fill a box of this size, evenly; faces over all of them, of no shape in particular."""
    points = np.random.default_rng(seed).uniform(0.0, 1.0, (3 * count, 3)) * size
    return Scan.of(points, np.arange(3 * count).reshape(-1, 3), landmarks={"pronasale": np.array(size, np.float64)})


def turned_face(transform=TURN):
    """The mean face, lopsided by the motion that moved it, with a placement of its own."""
    return mean_face().moved(transform, "turned")


def degrees(rotation):
    return np.degrees(Rotation.from_matrix(rotation).magnitude())


def joined(*scans):
    """Several scans as one mesh of separate components."""
    first = np.cumsum([0, *(len(scan.vertices) for scan in scans)])
    return Scan.of(
        np.concatenate([scan.vertices for scan in scans]),
        np.concatenate([scan.faces + start for scan, start in zip(scans, first, strict=False)]),
    )


def flipped(scan):
    """The scan with every face wound the other way."""
    return replace(scan, faces=np.ascontiguousarray(scan.faces[:, ::-1]))


def volume(scan):
    """Six times the signed volume about the origin: positive if a closed surface is wound outward."""
    a, b, c = (scan.vertices[scan.faces[:, k]].astype(float) for k in range(3))
    return float((np.cross(a, b) * c).sum())


@pytest.mark.parametrize(("unit", "mm"), [("m", 1000.0), ("cm", 10.0), ("mm", 1.0)])
@pytest.mark.parametrize("longest", [110.0, 200.0, 880.0])
def test_the_unit_is_guessed_from_the_size(unit, mm, longest):
    scan = box(np.array([0.5, 1.0, 0.7]) * longest / mm)
    moved = to_millimetres(scan)
    np.testing.assert_allclose(moved.vertices, scan.vertices * mm, rtol=1e-6)
    np.testing.assert_allclose(moved.landmarks["pronasale"], scan.landmarks["pronasale"] * mm)
    np.testing.assert_allclose(moved.placement, np.diag([mm, mm, mm, 1.0]))
    record = moved.history[-1]
    assert (record["step"], record["unit"], record["mm_per_unit"], record["guessed"]) == ("unit", unit, mm, True)
    assert record["size_in_file"] == pytest.approx(longest / mm, rel=0.05)
    assert record["reason"].startswith("longest side ")


@pytest.mark.parametrize(("unit", "mm"), [("m", 1000.0), ("cm", 10.0), ("mm", 1.0), (25.4, 25.4), (3, 3.0)])
def test_a_given_unit_is_taken_whatever_the_size(unit, mm):
    scan = box([1.0, 2.0, 3.0])
    moved = to_millimetres(scan, unit)
    np.testing.assert_allclose(moved.vertices, scan.vertices * mm, rtol=1e-6)
    assert moved.history[-1]["guessed"] is False
    assert moved.history[-1]["mm_per_unit"] == mm
    assert moved.history[-1]["unit"] == (unit if isinstance(unit, str) else f"{unit:g} mm")


@pytest.mark.parametrize("longest", [1e-3, 0.05, 2.0, 5.0, 2000.0])
def test_a_size_that_no_face_has_is_refused(longest):
    with pytest.raises(
        PrepareError,
        match=r"should be 95 to 900 mm, is .*, which fits as neither m, cm nor mm: give the unit, such as --unit mm ",
    ):
        to_millimetres(box([longest / 3, longest / 2, longest]))


def test_stray_points_do_not_count_for_the_size():
    scan = box([100.0, 200.0, 150.0])
    vertices = scan.vertices.copy()
    vertices[::150] = 1e6  # 10 of 1500, below a hundredth
    vertices[1] = np.nan
    assert to_millimetres(replace(scan, vertices=vertices)).history[-1]["unit"] == "mm"
    unused = np.full((4000, 3), 5e4, np.float32)
    assert to_millimetres(replace(scan, vertices=np.concatenate([scan.vertices, unused]))).history[-1]["unit"] == "mm"


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("inch", "`unit` should be one of auto, m, cm, mm or a length in mm, is 'inch'"),
        (0.0, "`unit` should lie in .* mm, is 0"),
        (-1.0, "`unit` should lie in .* mm, is -1"),
        (float("nan"), "`unit` should lie in .* mm, is nan"),
    ],
)
def test_units_that_are_none_are_named(unit, message):
    with pytest.raises(ArgumentError, match=message):
        to_millimetres(box([100.0, 200.0, 150.0]), unit)


def test_a_scan_without_a_finite_vertex_has_no_size():
    with pytest.raises(PrepareError, match="should have a finite vertex in its faces, has none"):
        to_millimetres(Scan.of(np.full((3, 3), np.nan), [[0, 1, 2]]))


def test_an_inside_out_scan_is_turned_and_a_sound_one_is_left_alone():
    sound = shapes.sphere(80.0, 8.0).scan
    assert volume(flipped(sound)) < 0 < volume(outward(flipped(sound)))
    assert outward(flipped(sound)).history[-1]["faces_turned"] == len(sound.faces)
    kept = outward(sound)
    assert kept.faces is sound.faces
    assert kept.history[-1] == {"step": "outward", "components": 1, "inside_out": 0, "faces_turned": 0}


def test_each_piece_is_judged_by_itself():
    big, small = shapes.sphere(80.0, 10.0).scan, shapes.sphere(20.0, 5.0).scan
    aside = replace(small, vertices=small.vertices + np.float32([150, 0, 0]))
    scan = outward(joined(big, flipped(aside)))
    assert scan.history[-1] == {"step": "outward", "components": 2, "inside_out": 1, "faces_turned": len(aside.faces)}
    np.testing.assert_array_equal(scan.faces[: len(big.faces)], big.faces)
    both = joined(big, aside)
    np.testing.assert_allclose(volume(scan), volume(both), rtol=1e-6)


def test_faces_wound_at_random_end_up_one_way():
    sphere = shapes.sphere(80.0, 8.0).scan
    mixed = sphere.faces.copy()
    turn = np.random.default_rng(2).random(len(mixed)) < 0.4
    mixed[turn] = mixed[turn][:, ::-1]
    scan = outward(replace(sphere, faces=mixed))
    assert volume(scan) == pytest.approx(volume(sphere), rel=1e-6)


def test_a_mirrored_face_with_back_face_winding_looks_outward_again():
    face = mean_face()
    scan = outward(flipped(face))
    assert scan.history[-1]["inside_out"] == scan.history[-1]["components"]
    a, b, c = (scan.vertices[scan.faces[:, k]] for k in range(3))
    assert np.cross(b - a, c - a)[:, 2].sum() > 0
    np.testing.assert_array_equal(np.sort(scan.faces, axis=1), np.sort(face.faces, axis=1))


@pytest.mark.parametrize("wound", [lambda scan: scan, flipped])
def test_a_flat_piece_looks_to_the_camera(wound):
    scan = outward(wound(shapes.plane(60.0, 5.0, slope=(0.2, -0.3)).scan))
    a, b, c = (scan.vertices[scan.faces[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


def test_outward_refuses_vertices_that_are_not_finite():
    sphere = shapes.sphere(80.0, 10.0).scan
    vertices = sphere.vertices.copy()
    vertices[7, 1] = np.nan
    with pytest.raises(PrepareError, match="should have finite vertices only, has others: clean it first"):
        outward(replace(sphere, vertices=vertices))


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (0.4, -0.3, 0.8), (-1.2, 0.7, 3.0), (2.6, -1.0, -1.5)])
def test_a_face_with_landmarks_comes_back_from_any_rigid_motion(angles):
    moved = turned_face(pose(*angles, (50.0, -20.0, 140.0)))
    back = frontal(moved, "landmarks")
    np.testing.assert_allclose(back.vertices, mean_face().vertices, atol=1e-3)
    for name, point in mean_face().landmarks.items():
        np.testing.assert_allclose(back.landmarks[name], point, atol=1e-3)
    assert degrees(back.placement[:3, :3]) < 0.01
    assert not back.warnings
    assert back.history[-1] == {
        "step": "frontal",
        "method": "landmarks",
        "landmarks": 13,
        "rms_mm": 0.0,
        "nose_tip": "landmark",
        "sides_swapped": False,
    }


def test_the_landmark_pronasale_becomes_the_origin_even_where_the_mean_face_has_its_nose_elsewhere():
    moved = turned_face()
    nose = moved.landmarks["pronasale"] + [3.0, -2.0, 1.0]
    back = frontal(replace(moved, landmarks={**moved.landmarks, "pronasale": nose}), "landmarks")
    np.testing.assert_allclose(back.landmarks["pronasale"], 0.0, atol=1e-9)


@pytest.mark.parametrize("missing", [None, np.full(3, np.nan)])
def test_without_the_landmark_pronasale_the_most_protruding_point_is_the_origin(missing):
    moved = turned_face()
    landmarks = {name: point for name, point in moved.landmarks.items() if name != "pronasale"}
    if missing is not None:
        landmarks["pronasale"] = missing
    back = frontal(replace(moved, landmarks=landmarks), "landmarks")
    assert back.history[-1]["nose_tip"] == "surface"
    assert np.linalg.norm(back.placement[:3, 3]) < 0.5  # the apex of a smooth fit, not the vertex itself
    assert degrees(back.placement[:3, :3]) < 0.01


def test_swapped_sides_are_renamed_and_told():
    moved = turned_face()
    back = frontal(replace(moved, landmarks=swap_sides(moved.landmarks)), "landmarks")
    assert back.warnings == ("the landmarks name the right side left; they have been renamed",)
    assert [entry["step"] for entry in back.history[-2:]] == ["swap_sides", "frontal"]
    assert back.history[-1]["sides_swapped"] is True
    np.testing.assert_allclose(back.vertices, mean_face().vertices, atol=1e-3)
    assert back.landmarks["exocanthion_left"][0] > 20.0 > -20.0 > back.landmarks["exocanthion_right"][0]


def test_landmarks_that_do_not_fit_are_refused_if_insisted_on_and_else_told():
    moved = turned_face()
    few = replace(moved, landmarks={"pronasale": moved.landmarks["pronasale"]})
    with pytest.raises(PrepareError, match=r"should have at least 4 canonical landmarks, has 1 \(pronasale\)"):
        frontal(few, "landmarks")
    upright = turned_face(pose(0.2, -0.1, 0.3, (5.0, 6.0, 7.0)))
    one = frontal(replace(upright, landmarks={"pronasale": upright.landmarks["pronasale"]}))
    assert one.warnings == (
        "landmarks found on the shape: the pose should have at least 4 canonical landmarks, has 1 (pronasale)",
    )
    assert one.history[-1]["method"] == "found"
    without = frontal(replace(upright, landmarks={}))
    assert not without.warnings
    np.testing.assert_array_equal(without.vertices, one.vertices)


def test_the_pose_from_the_shape_lays_the_mean_face_on_itself():
    back = frontal(turned_face(pose(0.4, -0.3, 0.8, (50.0, -20.0, 140.0))), "shape")
    assert back.history[-1]["method"] == "found"
    assert degrees(back.placement[:3, :3]) < 0.5
    assert np.linalg.norm(back.placement[:3, 3]) < 0.5


def test_methods_that_are_none_are_named():
    with pytest.raises(ArgumentError, match="`method` should be one of auto, file, found, is 'magic'"):
        frontal(mean_face(), "magic")


def test_crop_keeps_the_faces_within_the_radius_and_cuts_the_others():
    shape = shapes.plane(60.0, 3.0, slope=(0.4, -0.1))
    scan = replace(shape.scan, uv=shape.scan.vertices[:, :2] / 100)
    cut = crop(scan, 37.0)
    distance = np.linalg.norm(scan.vertices.astype(float), axis=1)
    wanted = scan.faces[(distance[scan.faces] <= 37.0).all(axis=1)]
    assert 0 < len(wanted) < len(scan.faces)
    np.testing.assert_array_equal(cut.file_vertex[cut.faces[: len(wanted)]], wanted)
    old = cut.file_vertex >= 0
    np.testing.assert_array_equal(cut.vertices[old], scan.vertices[cut.file_vertex[old]])
    np.testing.assert_array_equal(cut.uv[old], scan.uv[cut.file_vertex[old]])
    np.testing.assert_allclose(cut.uv, cut.vertices[:, :2] / 100, atol=1e-6)  # interpolated where it is new
    assert set(cut.faces.ravel()) == set(range(len(cut.vertices)))
    inside = distance[scan.faces] <= 37.0
    crossing = int((inside.any(axis=1) & ~inside.all(axis=1)).sum())
    dropped = len(scan.vertices) - int(old.sum())
    assert cut.history[-1] == {"step": "crop", "radius_mm": 37.0, "vertices_dropped": dropped, "faces_cut": crossing}


def test_crop_remembers_the_rows_of_the_file():
    scan = shapes.plane(30.0, 3.0).scan
    rows = np.arange(len(scan.vertices), dtype=np.int32)[::-1].copy() * 2
    cut = crop(replace(scan, file_vertex=rows), 12.0)
    at = {row: place for place, row in enumerate(rows)}
    old = cut.file_vertex >= 0
    assert old.sum() > 40
    np.testing.assert_array_equal(cut.vertices[old], scan.vertices[[at[row] for row in cut.file_vertex[old]]])
    assert (np.linalg.norm(cut.vertices[~old], axis=1) > 11.99).all()  # new at the rim, and in no row of the file


def test_crop_leaves_landmarks_outside_and_refuses_nonsense():
    face = mean_face()
    assert crop(face, 20.0).landmarks.keys() == face.landmarks.keys()
    with pytest.raises(PrepareError, match="should have a face within 5 mm of the nose tip, has none"):
        crop(replace(face, vertices=face.vertices + np.float32(300)), 5.0)
    with pytest.raises(ArgumentError, match="`radius` should lie in .* mm, is -3"):
        crop(face, -3.0)


@pytest.mark.parametrize("step", [to_millimetres, outward, frontal, crop])
def test_a_scan_without_faces_is_refused(step):
    with pytest.raises(ArgumentError, match="`scan` should have at least one face, has 1 vertices and no face"):
        step(Scan.of([[0, 0, 0]], np.empty((0, 3))))


def test_placement_takes_the_vertices_of_the_file_through_every_step():
    file = replace(mean_face().moved(pose(0.3, 0.2, -0.4, (9.0, 8.0, 7.0)), "x"), placement=np.eye(4), history=())
    file = replace(file, file_vertex=None)
    file = replace(
        file, vertices=file.vertices / np.float32(10), landmarks={n: p / 10 for n, p in file.landmarks.items()}
    )
    scan = crop(frontal(outward(to_millimetres(file))), 60.0)
    assert [entry["step"] for entry in scan.history] == ["unit", "outward", "frontal", "crop"]
    old = scan.file_vertex >= 0
    source = file.vertices[scan.file_vertex[old]].astype(float)
    np.testing.assert_allclose(source @ scan.placement[:3, :3].T + scan.placement[:3, 3], scan.vertices[old], atol=1e-4)
    assert np.linalg.det(scan.placement[:3, :3]) == pytest.approx(1000.0)
