"""The join of a file's parts into one scan: uv, pictures, colours, positions."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer3d.errors import FormatError
from fer3d.formats.origin import near_origin
from fer3d.formats.parts import Material, Part, join, mean_at_vertices
from fer3d.maps.render import render_maps
from fer3d.scan import Scan

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float64)
FACES = np.array([[0, 1, 2], [0, 2, 3]])
UV = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters():
    """Red above left, green above right, blue below left, white below right."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, :4], image[:4, 4:], image[4:, :4], image[4:, 4:] = RED, GREEN, BLUE, WHITE
    return image


def plain(colour, size=4):
    return np.full((size, size, 3), colour, np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scan.any"


def seen(scan, at):
    """Colour of the scan at points (x, y) on its surface, rendered as the texture map is."""
    maps = render_maps(centred(scan), ("texture",), 64, 4 / 64)
    return [tuple(maps.texture[row, column].tolist()) for row, column in map(pixel, at)]


def centred(scan):
    return Scan.of(scan.vertices, scan.faces, uv=scan.uv, texture=scan.texture, wrap=scan.wrap, colours=scan.colours)


def pixel(point):
    x, y = point
    return round(31.5 - y * 16), round(31.5 + x * 16)


def squares(count):
    """Unit squares in a row, each at its own place within the 4 x 4 that `seen` shows."""
    return [SQUARE + np.array([k - count / 2, -0.5, 0]) for k in range(count)]


def test_one_picture_keeps_the_vertices(path):
    scan = join(path, "any", [Part(SQUARE, FACES, UV, material=0)], [Material("m", image=quarters())])
    np.testing.assert_array_equal(scan.vertices, SQUARE.astype(np.float32))
    np.testing.assert_array_equal(scan.uv, UV.astype(np.float32))
    assert scan.file_vertex is None and scan.warnings == ()
    assert scan.history[0] == {
        "step": "read", "file": "scan.any", "format": "any", "vertices": 4, "faces": 2, "split_vertices": 0
    }  # fmt: skip


def test_several_pictures_become_an_atlas(path):
    parts = [Part(place, FACES, UV, material=k) for k, place in enumerate(squares(3))]
    Image.fromarray(plain(GREEN)).save(path.with_name("green.png"))
    materials = [
        Material("a", image=plain(RED, 16)),
        Material("b", files=("green.png",)),
        Material("c", image=quarters()),
    ]
    scan = join(path, "any", parts, materials)
    assert scan.warnings == ()
    assert scan.history[0]["textures"] == ["green.png"]
    assert seen(scan, [(-1, 0.3), (0, -0.3), (0.8, 0.3), (1.2, 0.3), (0.8, -0.3), (1.2, -0.3)]) == [
        RED, GREEN, RED, GREEN, BLUE, WHITE
    ]  # fmt: skip
    bare = join(path, "any", parts, materials, texture=False)
    np.testing.assert_array_equal(bare.uv, scan.uv)
    assert bare.texture is None


def test_faces_of_one_mesh_with_pictures_of_their_own_are_split_where_they_meet(path):
    material = np.array([0, 1])
    scan = join(path, "any", [Part(SQUARE, FACES, UV, material=material)], [
        Material("a", image=plain(RED)), Material("b", image=plain(BLUE))
    ])  # fmt: skip
    assert len(scan.vertices) == 6
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 3, 0, 2])
    np.testing.assert_array_equal(scan.vertices, SQUARE[scan.file_vertex])
    assert seen(scan, [(0.8, 0.3), (0.3, 0.8)]) == [RED, BLUE]


def test_in_an_atlas_a_picture_that_repeats_is_moved_into_place(path):
    parts = [Part(place, FACES, UV + np.array([k, -k]), material=k) for k, place in enumerate(squares(2))]
    scan = join(path, "any", parts, [Material("a", image=plain(RED)), Material("b", image=quarters())])
    assert scan.warnings == ()
    assert seen(scan, [(-0.5, 0), (0.2, 0.3), (0.8, -0.3)]) == [RED, RED, WHITE]


def test_in_an_atlas_every_second_copy_of_a_mirrored_picture_is_turned(path):
    """u from 1 to 2 shows the right half first, v from 2 to 3 is as v from 0 to 1."""
    parts = [Part(place, FACES, UV + np.array([k, 2 * k]), material=k) for k, place in enumerate(squares(2))]
    materials = [Material("a", image=plain(RED)), Material("b", image=quarters(), wrap=("mirror", "mirror"))]
    scan = join(path, "any", parts, materials)
    assert scan.warnings == ()
    assert seen(scan, [(0.2, 0.3), (0.8, 0.3), (0.2, -0.3), (0.8, -0.3)]) == [GREEN, RED, WHITE, BLUE]


def test_in_an_atlas_uv_that_are_no_numbers_are_no_uv(path):
    parts = [Part(place, FACES, UV.copy(), material=k) for k, place in enumerate(squares(2))]
    parts[1].uv[1] = np.inf, np.nan
    scan = join(path, "any", parts, [Material("a", image=plain(RED)), Material("b", image=quarters())])
    assert scan.warnings == ()
    assert seen(scan, [(-0.5, 0), (0.2, 0.3)]) == [RED, RED]
    assert np.isnan(scan.uv[scan.faces[2]]).all()  # the face with this corner


def test_in_an_atlas_a_face_over_the_border_of_its_picture_is_reported(path):
    parts = [Part(place, FACES, UV + np.array([k * 0.5, 0]), material=k) for k, place in enumerate(squares(2))]
    scan = join(path, "any", parts, [Material("a", image=plain(RED)), Material("b", image=quarters())])
    assert scan.warnings == (f"{path}: 2 faces reach over the border of one of its 2 textures: they have no uv",)
    assert np.isnan(scan.uv[4:]).all() and np.isfinite(scan.uv[:4]).all()


def test_pictures_too_large_for_an_atlas(path, monkeypatch):
    monkeypatch.setattr("fer3d.formats.atlas.MAX_PIXELS", 100)
    parts = [Part(place, FACES, UV, material=k) for k, place in enumerate(squares(2))]
    scan = join(path, "any", parts, [Material("a", image=plain(RED)), Material("b", image=quarters())])
    assert "its 2 textures are too large for one; only the faces of a keep uv" in scan.warnings[0]
    assert seen(scan, [(-0.5, 0)]) == [RED]
    assert np.isnan(scan.uv[4:]).all()


def test_a_missing_picture_beside_one_that_is_there(path):
    parts = [Part(place, FACES, UV, material=k) for k, place in enumerate(squares(2))]
    scan = join(path, "any", parts, [Material("a", files=("none.png",)), Material("b", image=quarters())])
    assert scan.warnings == (f"{path}: its texture 'none.png' is not beside it, nor under another name",)
    assert np.isnan(scan.uv[:4]).all()
    assert seen(scan, [(0.2, 0.3)]) == [RED]


def test_faces_without_a_picture_beside_faces_with_one(path):
    part = Part(SQUARE, FACES, UV, material=np.array([0, 1]))
    scan = join(path, "any", [part], [Material("a", image=quarters()), Material("b")])
    assert scan.warnings == (f"{path}: 1 of 2 faces have a material without a texture, or none: they have no uv",)
    assert np.isnan(scan.uv[scan.faces[1]]).all() and np.isfinite(scan.uv[scan.faces[0]]).all()


def test_a_texture_without_coordinates(path):
    scan = join(path, "any", [Part(SQUARE, FACES, material=0)], [Material("a", files=("skin.png",))])
    assert scan.warnings == (f"{path}: it names the texture 'skin.png' but has no texture coordinates",)


def test_coordinates_of_corners_split_their_vertex_and_missing_ones_are_nan(path):
    rows = np.array([[0, 1, 2], [3, -1, 1]])
    scan = join(path, "any", [Part(SQUARE, FACES, UV, rows)])
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 3, 0, 2])
    np.testing.assert_array_equal(scan.uv[scan.faces[0]], UV[rows[0]])
    np.testing.assert_array_equal(scan.uv[scan.faces[1]], [UV[3], [np.nan, np.nan], UV[1]])


@pytest.mark.parametrize("wrap, colours", [
    (("repeat", "repeat"), [RED, GREEN, RED]),
    (("clamp", "repeat"), [GREEN, GREEN, GREEN]),
    (("mirror", "repeat"), [GREEN, RED, RED]),
])  # fmt: skip
def test_a_texture_outside_0_1(path, wrap, colours):
    """u = 1.25, 1.75, 2.25 in the upper half."""
    part = Part(SQUARE * [3, 1, 1] - [1.5, 0.5, 0], FACES, UV * [3, 0.25] + [0, 0.65], material=0)
    scan = join(path, "any", [part], [Material("a", image=quarters(), wrap=wrap)])
    assert seen(scan, [(u - 1.5, 0) for u in (1.25, 1.75, 2.25)]) == colours


@pytest.mark.parametrize("tile", [(0, -1), (3, 0), (-2, 5)])
def test_uv_in_one_copy_of_a_repeated_texture_are_moved_into_0_1(path, tile):
    """The same colours; and libraries that do not repeat textures show them too."""
    here = UV * 0.75 + 0.125
    scan = join(
        path, "any", [Part(SQUARE, FACES, here + np.array(tile), material=0)], [Material("a", image=quarters())]
    )
    np.testing.assert_array_equal(scan.uv, here)
    for wrap in (("clamp", "mirror"), ("mirror", "clamp")):
        part = Part(SQUARE, FACES, here + np.array(tile), material=0)
        scan = join(path, "any", [part], [Material("a", image=quarters(), wrap=wrap)])
        np.testing.assert_array_equal(scan.uv, here + np.array(tile))


def test_uv_at_the_border_and_over_it_stay(path):
    for uv in (UV, UV * 2, UV + np.array([0.5, 0]), np.full((4, 2), 1.0), np.full((4, 2), np.inf)):
        scan = join(path, "any", [Part(SQUARE, FACES, uv, material=0)], [Material("a", image=quarters())])
        np.testing.assert_array_equal(scan.uv, uv)


def test_colours_are_rendered_where_there_is_no_texture(path):
    left, right = squares(2)
    colours = np.full((4, 3), GREEN, np.float32)
    parts = [Part(left, FACES, UV, material=0, colours=colours), Part(right, FACES, colours=colours)]
    scan = join(path, "any", parts, [Material("a", image=plain(RED)), Material("b")])
    assert seen(scan, [(-0.5, 0), (0.5, 0)]) == [RED, GREEN]


def test_colours_of_some_vertices_only(path):
    left, right = squares(2)
    scan = join(path, "any", [Part(left, FACES, colours=np.full((4, 3), BLUE, np.float32)), Part(right, FACES)])
    assert seen(scan, [(-0.5, 0), (0.5, 0)]) == [BLUE, (0, 0, 0)]
    assert np.isnan(scan.colours[4:]).all()


def test_the_mean_of_corner_colours():
    corners = np.array([[[0, 0, 0], [10, 0, 0], [20, 0, 0]], [[30, 0, 0], [np.nan, 0, 0], [50, 0, 0]]], float)
    mean, several = mean_at_vertices(np.array([[0, 1, 2], [0, 2, 3]]), corners, 5)
    np.testing.assert_array_equal(mean[:, 0], [15, 10, 20, 50, np.nan])
    assert several
    assert not mean_at_vertices(np.array([[0, 1, 2]]), corners[:1], 3)[1]


@pytest.mark.parametrize("offset", [(3000, 20000, 50), (500_000, 5_000_000, 300), (-1e7, 0, 0)])
@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_a_scan_far_from_its_origin_keeps_its_shape(path, offset, scale):
    rng = np.random.default_rng(5)
    near = rng.normal(0, 0.1, (500, 3)) * scale
    far = near + np.array(offset) * scale
    far[7] = 0  # a point that was not measured
    scan = join(path, "any", [Part(far, np.arange(8, 497).reshape(-1, 3))])
    back = scan.vertices.astype(np.float64) - scan.placement[:3, 3]
    np.testing.assert_allclose(back[8:], far[8:], rtol=0, atol=5e-8 * scale)
    np.testing.assert_allclose(scan.placement[:3, 3], -np.array(scan.history[0]["origin"]))
    assert np.abs(scan.vertices[8:]).max() < scale
    assert scan.warnings == ()


def test_a_scan_near_its_origin_is_not_moved(path):
    scan = join(path, "any", [Part(SQUARE + np.array([200.0, 0, 0]), FACES)])
    np.testing.assert_array_equal(scan.vertices, SQUARE + np.array([200, 0, 0]))
    np.testing.assert_array_equal(scan.placement, np.eye(4))
    assert "origin" not in scan.history[0]


def test_coordinates_that_were_far_away_in_single_precision_are_reported(path):
    far = (SQUARE + np.array([50_000, 0, 0])).astype(np.float32)
    scan = join(path, "any", [Part(far, FACES)])
    assert "stored in single precision, in steps of 0.00391" in scan.warnings[0]


def test_what_is_refused(path, monkeypatch):
    with pytest.raises(FormatError, match="at least one face was wanted, it has 4 vertices and 0 faces"):
        join(path, "any", [Part(SQUARE, np.empty((0, 3), int))])
    with pytest.raises(FormatError, match="a face names vertex 4, counted from 0; it has 4"):
        join(path, "any", [Part(SQUARE, FACES + np.array([[0, 0, 0], [0, 0, 1]]))])
    with pytest.raises(FormatError, match="a face names vertex -1"):
        join(path, "any", [Part(SQUARE, FACES - 1)])
    with pytest.raises(FormatError, match="a face names texture coordinates 4"):
        join(path, "any", [Part(SQUARE, FACES, UV, FACES + 1)])
    monkeypatch.setattr("fer3d.formats.parts.MOST_VERTICES", 7)
    with pytest.raises(FormatError, match="a scan has at most 7 vertices"):
        join(path, "any", [Part(SQUARE, FACES), Part(SQUARE, FACES)])
    assert isinstance(path, Path)


def test_no_coordinates_are_too_large_or_small_for_the_shift():
    values = [0.0, 1.0, 1e308, -1e308, 1e-320, 5e-324, 3.4e38, 1e-45, np.nan, np.inf, -np.inf]
    rng = np.random.default_rng(0)
    for _ in range(500):
        points = np.where(rng.random((rng.integers(1, 6), 3)) < 0.5, rng.choice(values, (1, 3)), rng.choice(values))
        points[0] = rng.choice(values, 3)
        for dtype in (np.float64, np.float32):
            with np.errstate(over="ignore", invalid="ignore"):
                near = near_origin(points.astype(dtype))
            assert near.vertices.shape == points.shape
            assert np.isfinite(near.placement).all()
