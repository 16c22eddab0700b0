"""The 68 landmarks at the top of a sample tree: those of a file, those found on the shape, and hidden ones."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fer3d.config import LANDMARK_TREE, PreprocessSettings, preprocess_settings
from fer3d.errors import ConfigError
from fer3d.face.load import builtin_face, mean_face
from fer3d.landmarks import POINT_NAMES, SCHEMES, other_side
from fer3d.prepare.landmarks.found import find_landmarks
from fer3d.prepare.landmarks.reference import mean_points
from fer3d.prepare.landmarks.tree_top import complete, has_all_landmarks, top_points
from fer3d.prepare.scan import build_tree, prepare_with_tree
from fer3d.tree.sample_tree import SampleTree

NAMES = SCHEMES["ibug68"]
TRUTH = np.array([mean_points()[POINT_NAMES.index(name)] for name in NAMES])
SMALL = PreprocessSettings(
    size=16, maps=("depth",), tree=True, tree_top="landmarks", tree_levels=(700, 300, 150, 68), tree_rays=8
)


def named():
    model = builtin_face()
    return replace(mean_face(), landmarks={name: model.neutral[model.landmarks[name]].copy() for name in NAMES})


def test_a_scan_that_has_all_68_keeps_them_in_the_order_of_the_scheme():
    scan = named()
    assert has_all_landmarks(scan) and not has_all_landmarks(mean_face())
    np.testing.assert_array_equal(top_points(scan), TRUTH)
    turn = np.eye(4)
    turn[:3, :3], turn[:3, 3] = Rotation.from_euler("y", 40, degrees=True).as_matrix(), (3, 4, 5)
    np.testing.assert_allclose(top_points(scan.moved(turn, "turned")), TRUTH @ turn[:3, :3].T + turn[:3, 3], atol=1e-9)


def test_otherwise_all_are_found_on_the_shape_in_the_frame_of_the_scan():
    turn = np.eye(4)
    turn[:3, :3], turn[:3, 3] = Rotation.from_euler("xyz", (10, 30, 5), degrees=True).as_matrix(), (30, -20, 400)
    moved = mean_face().moved(turn, "turned")
    away = np.linalg.norm(top_points(moved) - (TRUTH @ turn[:3, :3].T + turn[:3, 3]), axis=1)
    assert np.median(away) < 3.0 and np.quantile(away, 0.9) < 8.0
    found = find_landmarks(moved)
    np.testing.assert_array_equal(top_points(moved, found), top_points(moved))


def test_landmarks_that_did_not_give_the_pose_are_not_used():
    """As where those of a file are not where the face is: the scan was then posed by what was found."""
    odd = replace(named(), landmarks={name: point + 40.0 for name, point in named().landmarks.items()})
    posed = odd.step("frontal", {"method": "found"})
    assert np.linalg.norm(top_points(odd) - TRUTH, axis=1).min() > 60.0
    assert np.median(np.linalg.norm(top_points(posed) - TRUTH, axis=1)) < 3.0


def test_a_hidden_point_is_where_its_mirror_image_says_else_where_the_mean_face_has_it():
    points = mean_points() + np.array((0.0, 2.0, 1.0))
    eye, brow, chin = (POINT_NAMES.index(name) for name in ("exocanthion_left", "ibug68_19", "pogonion"))
    other = POINT_NAMES.index(other_side("ibug68_19"))
    points[[eye, brow, other, chin]] = np.nan
    filled = complete(points)
    mirrored = points[POINT_NAMES.index("exocanthion_right")] * [-1.0, 1.0, 1.0]
    np.testing.assert_array_equal(filled[eye], mirrored)
    np.testing.assert_array_equal(filled[[brow, other, chin]], mean_points()[[brow, other, chin]])
    seen = np.isfinite(points).all(axis=1)
    np.testing.assert_array_equal(filled[seen], points[seen])


def test_a_turned_face_has_all_its_points_although_half_are_hidden():
    scan = mean_face()
    part = scan.kept(scan.vertices[:, 0] < 8.0, "half")
    found = find_landmarks(part, refuse=False)
    assert np.isnan(found.positions).any()
    points = top_points(part, found)
    assert np.isfinite(points).all()
    tree = build_tree(part, SMALL, np.zeros(3), found)
    assert tree.landmarks and tree.sizes[-1] == 68
    assert len(set(tree.rows[:68].tolist())) == 68  # each has a vertex of its own, also where none is near


def test_preparation_makes_trees_whose_top_are_the_landmarks():
    """Of a face without landmarks, and of one with those of a file; a tree keeps the fact where it is stored."""
    for raw in (mean_face(), named()):
        scan, _, tree = prepare_with_tree(raw, SMALL)
        assert tree is not None and tree.landmarks and tree.sizes[-1] == 68
        away = np.linalg.norm(tree.positions[:68] - TRUTH, axis=1)
        assert np.median(away) < 4.0
        stored = SampleTree.from_arrays(tree.arrays(), tree.facts())
        assert stored.landmarks and np.array_equal(stored.rows, tree.rows)
        np.testing.assert_array_equal(scan.vertices[tree.rows], tree.positions)


def test_the_settings_of_such_a_tree_are_those_of_flm_cnn():
    chosen = preprocess_settings(None, ["tree=true", "tree_top=landmarks"])
    assert (chosen.tree_levels, chosen.tree_radii_mm) == ((4096, 1024, 256, 68), (3.0, 6.0, 12.0))
    assert chosen.tree_levels == LANDMARK_TREE["tree_levels"]
    own = preprocess_settings(None, ["tree=true", "tree_top=landmarks", "tree_levels=2000,68"])
    assert (own.tree_levels, own.tree_radii_mm) == ((2000, 68), (3.0, 6.0, 12.0))
    assert PreprocessSettings(**chosen.model_dump()) == chosen
    assert preprocess_settings(None, ["tree=true"]).tree_levels == (4096, 512, 128)
    with pytest.raises(ConfigError, match="`tree_levels` should end in 68 with tree_top landmarks, ends in 128"):
        preprocess_settings(None, ["tree=true", "tree_top=landmarks", "tree_levels=512,128"])
