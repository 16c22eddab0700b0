"""Maps of coarse meshes show the whole face; blank maps fail, and little in a map is a warning."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer3d import formats
from fer3d.config import PreprocessSettings
from fer3d.errors import PrepareError
from fer3d.face.load import builtin_face, mean_face
from fer3d.face.model import SKIN
from fer3d.maps import Maps, render_maps
from fer3d.prepare import prepare
from fer3d.prepare.align import crop
from fer3d.prepare.coverage import check_coverage, warn_of_radius
from fer3d.scan import Scan
from tests import shapes
from tests.coarse import clustered, clustered_to

SETTINGS = PreprocessSettings(size=112, maps=("depth", "normal", "curvature"))
DATA = Path(__file__).parents[2].parent / "shared" / "data"
HEAD, ICT = DATA / "lee_perry_smith" / "LeePerrySmith.ply", DATA / "ict_facekit.npz"
HEAD_MM = 48.0  # the unit of the head is arbitrary: at 48 mm chin to crown are 205 mm


@pytest.fixture(scope="module")
def face():
    """The skin of a simulated person, in mm, with landmarks, and its prepared maps."""
    model = builtin_face()
    identity = np.clip(np.random.default_rng(7).normal(0.0, 1.0, len(model.identity_modes)), -2.0, 2.0)
    skin = model.triangles[(model.part[model.triangles] == SKIN).all(axis=1)]
    scan = replace(Scan.of(model.shape(identity), skin), landmarks=mean_face().landmarks)
    return scan, prepare(scan, SETTINGS)[1]


def shares(maps):
    """Of the pixels with depth, the share where each channel is known."""
    depth = np.isfinite(maps.channel("depth"))
    return np.isfinite(maps.stack[:, depth]).mean(axis=1)


def apart(maps, fine):
    """Mean absolute difference of the shape index where both know it."""
    return float(np.nanmean(np.abs(maps.channel("shape_index") - fine.channel("shape_index"))))


def inside(maps, fine):
    """Whether no pixel with depth is farther than two pixels from one of the fine maps."""
    from scipy.ndimage import binary_dilation

    allowed = binary_dilation(np.isfinite(fine.channel("depth")), iterations=2)
    return bool((np.isfinite(maps.channel("depth")) <= allowed).all())


# With edges of 8 mm the shape index of this person is no longer within 0.1: hence the warning.
@pytest.mark.parametrize(("cell", "most"), [(4.0, 0.08), (6.0, 0.1), (8.0, 0.12), (11.0, 0.15)])
def test_every_map_of_a_coarse_face_shows_the_whole_face(face, cell, most):
    scan, fine = face
    prepared, maps = prepare(clustered(scan, cell), SETTINGS)
    assert (shares(maps) > 0.98).all()
    spikes = [entry for entry in prepared.history if entry["step"] == "remove_spikes"]
    assert [entry["vertices"] for entry in spikes] == [0]  # the tip of a coarse nose is none
    depth, wanted = (np.isfinite(made.channel("depth")).sum() for made in (maps, fine))
    assert 0.95 * wanted < depth < 1.05 * wanted
    assert inside(maps, fine)
    assert apart(maps, fine) < most
    (warning,) = prepared.warnings
    assert "are long for a curvature radius of 5 mm: the radius that was used is " in warning


def test_the_nose_tip_of_a_coarse_face_is_found_between_its_vertices(face):
    scan, _ = face
    bare = replace(scan, landmarks={})
    fine, coarse = (prepare(s, SETTINGS)[0] for s in (bare, clustered(bare, 8.0)))
    x, y, z, _ = fine.placement @ np.linalg.solve(coarse.placement, [0.0, 0.0, 0.0, 1.0])
    assert np.hypot(x, y) < 1.0  # vertices are 8 mm apart
    assert abs(z) < 2.5  # averaging vertices flattens the tip


def test_a_fine_face_has_no_warning(face):
    assert prepare(face[0], SETTINGS)[0].warnings == ()


@pytest.mark.skipif(not HEAD.exists(), reason="shared/data/lee_perry_smith is not here")
@pytest.mark.parametrize("count", [9223, 5000])
def test_the_maps_of_a_real_head_of_few_vertices_are_whole(count):
    head = formats.read(HEAD)
    head = Scan.of(head.vertices * np.float32(HEAD_MM), head.faces)
    prepared, maps = prepare(head if count > 9000 else clustered_to(head, count), SETTINGS)
    assert (shares(maps) > 0.98).all()
    assert (maps.mask == 1).mean() > 0.5  # chin, brows, cheeks: at most 0.61 at this crop
    assert sum("curvature radius" in warning for warning in prepared.warnings) == 1


@pytest.mark.skipif(not ICT.exists(), reason="shared/data/ict_facekit.npz is not here")
def test_the_maps_of_a_measured_face_of_5000_vertices_are_whole():
    with np.load(ICT) as file:
        whole = Scan.of(file["neutral"] * np.float32(10), file["triangles"])
    coarse = clustered_to(whole, 5000)
    assert 4500 < len(coarse.vertices) <= 5000
    fine, maps = (prepare(scan, SETTINGS)[1] for scan in (whole, coarse))
    assert (shares(maps) > 0.98).all()
    assert inside(maps, fine)
    assert apart(maps, fine) < 0.05


@pytest.fixture(scope="module")
def dome():
    """A dome that fills a crop of 40 mm, with colours."""
    shape = shapes.cap(90.0, 2.0, half=50.0)
    points = shape.vertices - [0.0, 0.0, 90.0]
    return crop(Scan.of(points, shape.faces, colours=np.full((len(points), 3), 120.0, np.float32)), 40.0)


def rendered(dome, **changes):
    return replace(render_maps(dome, ("depth", "curvature", "texture"), 60, 1.5), **changes)


def unknown(maps, names, where):
    stack = maps.stack.copy()
    for name in names:
        stack[maps.names.index(name)][where] = np.nan
    return replace(maps, stack=stack)


CURVATURE = ("shape_index", "curvedness", "mean", "gaussian")


def test_a_blank_curvature_map_is_an_error_that_says_what_to_type(dome):
    maps = unknown(rendered(dome), CURVATURE, np.ones((60, 60), bool))
    wanted = (
        r"the curvature map is blank: no vertex has enough others around it for a curvature, the edges of the mesh are "
        r"2\.\d mm: use a finer scan, or leave the map out with --set maps=depth,texture"
    )
    with pytest.raises(PrepareError, match=wanted):
        check_coverage(dome, maps, ("depth", "curvature", "texture"), 40.0)
    with pytest.raises(PrepareError, match="use a finer scan$"):
        check_coverage(dome, maps, ("curvature",), 40.0)


def test_a_blank_texture_map_is_an_error_and_a_scan_without_colours_is_none(dome):
    groups = ("depth", "texture")
    blank = rendered(dome, coloured=np.zeros((60, 60), bool))
    wanted = (
        "the texture map is blank: its colours are unknown .*: check the scan, or leave the map out with --set maps=d"
    )
    with pytest.raises(PrepareError, match=wanted):
        check_coverage(dome, blank, groups, 40.0)
    assert check_coverage(dome, rendered(dome, texture=None), groups, 40.0).warnings == ()
    assert check_coverage(dome, rendered(dome), groups, 40.0).warnings == ()


@pytest.mark.parametrize(("width", "told"), [(4.0, True), (20.0, False)])
def test_little_surface_is_a_warning(dome, width, told):
    middle = dome.vertices[dome.faces].mean(axis=1)[:, 0]
    strip = replace(dome, faces=dome.faces[np.abs(middle) < width])
    warnings = check_coverage(strip, rendered(strip), ("depth",), 40.0).warnings
    assert len(warnings) == told
    if told:
        assert warnings[0].startswith("the surface fills 1") and "of the 40 mm around the nose tip" in warnings[0]


@pytest.mark.parametrize(("least", "told"), [(-5.0, True), (35.0, False)])
def test_a_map_that_is_known_on_a_part_of_the_surface_is_a_warning(dome, least, told):
    x = np.broadcast_to((np.arange(60) - 29.5) * 1.5, (60, 60))
    maps: Maps = unknown(rendered(dome), CURVATURE, x > least)
    warnings = check_coverage(dome, maps, ("depth", "curvature"), 40.0).warnings
    assert len(warnings) == told
    if told:
        assert warnings[0] == "the curvature map is known on 43% of the surface only, the rest has none"


def test_the_warning_of_a_wider_radius_names_it_and_the_edges(dome):
    used = np.full(len(dome.vertices), 5.0, np.float32)
    assert warn_of_radius(dome, 5.0, used).warnings == ()
    used[dome.vertices[:, 0] > 20] = 9.0
    used[dome.vertices[:, 0] < -20] = np.nan
    assert warn_of_radius(dome, 5.0, used).warnings == ()  # 0.8 times a fifth of the surface
    used[dome.vertices[:, 0] > 0] = 9.0
    (warning,) = warn_of_radius(dome, 5.0, used).warnings
    assert warning.startswith("the edges of the mesh, 2.")
    wanted = (
        " are long for a curvature radius of 5 mm: the radius that was used is 7.0 mm on average and up to 9.0 mm, "
    )
    assert wanted + "and smaller shapes are lost" in warning
