"""Eyes to their canonical places, in pictures and in the textures of scans."""

from dataclasses import replace

import numpy as np
import pytest

from fer3d.errors import ArgumentError, PrepareError
from fer3d.image.align import align, align_scan, canonical_eyes, resized, scan_eyes, texture_landmarks
from fer3d.image.landmarks68 import moved
from fer3d.scan import Scan


def blobs(height, width, places, radius):
    """A black picture with a red, a green and more blue spots whose middles are at the places."""
    row, column = np.mgrid[:height, :width]
    picture = np.zeros((height, width, 3), np.uint8)
    for number, (x, y) in enumerate(places):
        weight = np.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * radius**2))
        picture[..., min(number, 2)] = np.maximum(picture[..., min(number, 2)], np.rint(255 * weight))
    return picture


def middle(channel):
    weight = channel.astype(float)
    row, column = np.mgrid[: channel.shape[0], : channel.shape[1]]
    return np.array([(weight * column).sum(), (weight * row).sum()]) / weight.sum()


@pytest.mark.parametrize("apart", [12.0, 40.0, 90.0, 400.0])
@pytest.mark.parametrize("tilt", [0.0, 25.0, -40.0])
def test_eyes_come_to_their_places_whatever_size_and_tilt(apart, tilt):
    turn = np.radians(tilt)
    centre = np.array([410.3, 300.7])
    half = apart / 2 * np.array([np.cos(turn), np.sin(turn)])
    eyes = np.array([centre - half, centre + half])
    face = align(blobs(700, 900, eyes, apart / 12), eyes, 100)
    for channel, place in enumerate(canonical_eyes(100)):
        np.testing.assert_allclose(middle(face.pixels[..., channel]), place, atol=0.35)
    np.testing.assert_allclose(moved(eyes, face.matrix), canonical_eyes(100), atol=1e-9)


def test_the_mouth_is_below_the_eyes_and_nothing_is_mirrored():
    eyes = np.array([[80.0, 60.0], [120.0, 60.0]])
    mouth = np.array([90.0, 102.0])  # nearer to the subject's right eye, which is left in the picture
    face = align(blobs(200, 200, [*eyes, mouth], 3.0), eyes, 100)
    x, y = middle(face.pixels[..., 2])
    assert y > canonical_eyes(100)[0, 1] + 30
    assert canonical_eyes(100)[0, 0] < x < 50


def test_outside_of_the_picture_is_masked():
    picture = np.full((60, 50, 3), 200, np.uint8)
    face = align(picture, np.array([[5.0, 10.0], [25.0, 10.0]]), 64)
    assert set(np.unique(face.mask)) == {0, 1}
    assert (face.pixels[face.mask == 1] == 200).all()
    assert (face.pixels[face.mask == 0] == 0).all()
    assert face.mask[0].sum() == 0  # above the picture
    assert face.mask[:, -1].sum() > 0


def test_shrinking_does_not_alias():
    picture = np.zeros((1200, 1200, 3), np.uint8)
    picture[::2] = 255  # stripes of one pixel: grey from afar
    face = align(picture, np.array([[400.0, 500.0], [800.0, 500.0]]), 64)
    inner = face.pixels[10:50, 10:50].astype(int)
    assert np.abs(inner - 127).max() < 30


def test_identity_leaves_pixels_alone():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    face = align(picture, canonical_eyes(64), 64)
    np.testing.assert_array_equal(face.pixels, picture)
    assert face.mask.all()


@pytest.mark.parametrize(
    ("eyes", "message"),
    [
        ([[5.0, 5.0], [5.0, 5.0]], "wanted the eyes at least 1 pixel apart, got 0"),
        ([[5.0, np.nan], [9.0, 5.0]], "wanted the eyes at least 1 pixel apart, got nan"),
        ([[1e6, 5.0], [1e6 + 9, 5.0]], "wanted eyes in the picture of 64 x 64 pixels"),
    ],
)
def test_eyes_that_are_none(eyes, message):
    with pytest.raises(PrepareError, match=message):
        align(np.zeros((64, 64, 3), np.uint8), np.array(eyes))


def test_wrong_arguments():
    with pytest.raises(ArgumentError, match="`pixels` should have dtype uint8"):
        align(np.zeros((64, 64, 3)), canonical_eyes())
    with pytest.raises(ArgumentError, match=r"`eyes` should have shape \(2, 2\)"):
        align(np.zeros((64, 64, 3), np.uint8), np.zeros((68, 2)))
    with pytest.raises(ArgumentError, match=r"`size` should lie in \[8, 4096\]"):
        align(np.zeros((64, 64, 3), np.uint8), canonical_eyes(), 4)


LANDMARKS = {
    "exocanthion_right": (-45.0, 40.0),
    "endocanthion_right": (-17.0, 38.0),
    "endocanthion_left": (17.0, 38.0),
    "exocanthion_left": (45.0, 40.0),
    "cheilion_left": (26.0, -30.0),
    "pogonion": (0.0, -62.0),
}


def photographed(width=300, height=400):
    """A bulging sheet of 200 x 200 mm whose texture is its view from the front, lopsided."""
    y, x = np.mgrid[-100:101:5, -100:101:5].astype(float)
    z = 20 - (x**2 + 0.5 * y**2) / 500
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    row = np.arange(x.size).reshape(x.shape)
    a, b, c, d = row[:-1, :-1].ravel(), row[:-1, 1:].ravel(), row[1:, 1:].ravel(), row[1:, :-1].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    uv = np.stack([(vertices[:, 0] + 120) / 260, (vertices[:, 1] + 110) / 240], axis=1).astype(np.float32)
    points = {name: np.array([px, py, 20 - (px**2 + 0.5 * py**2) / 500]) for name, (px, py) in LANDMARKS.items()}
    texture = np.zeros((height, width, 3), np.uint8)
    return Scan.of(vertices, faces, uv=uv, texture=texture, landmarks=points)


def test_landmarks_of_a_scan_in_its_texture():
    found = texture_landmarks(photographed())
    assert set(found) == set(LANDMARKS)
    for name, (x, y) in LANDMARKS.items():
        column, row = (x + 120) / 260 * 300 - 0.5, (1 - (y + 110) / 240) * 400 - 0.5
        np.testing.assert_allclose(found[name], [column, row], atol=1.0)  # the mesh is flat between its vertices


def test_scan_is_aligned_by_its_own_landmarks():
    scan = photographed()
    eyes = scan_eyes(scan)
    face = align_scan(replace(scan, texture=blobs(400, 300, eyes, 4.0)), 100)
    for channel, place in enumerate(canonical_eyes(100)):
        np.testing.assert_allclose(middle(face.pixels[..., channel]), place, atol=0.35)


def test_scans_without_what_it_takes():
    scan = photographed()
    with pytest.raises(PrepareError, match="wanted a scan with a texture"):
        scan_eyes(replace(scan, texture=None))
    points = dict(scan.landmarks)
    far = {**points, "exocanthion_left": points["exocanthion_left"] + [0, 0, 30.0]}
    with pytest.raises(PrepareError, match="wanted both corners of both eyes .*, got none exocanthion_left"):
        scan_eyes(replace(scan, landmarks=far))
    pieces = scan.uv.copy()
    pieces[:] = np.random.default_rng(1).random(pieces.shape)
    with pytest.raises(PrepareError, match="wanted a texture that is a picture of the face"):
        scan_eyes(replace(scan, uv=pieces))
    hole = scan.uv.copy()
    hole[:] = np.nan
    assert texture_landmarks(replace(scan, uv=hole)) == {}


def test_a_crop_is_resized_with_nothing_cut_off_and_nothing_added():
    random = np.random.default_rng(0)
    crop = random.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    assert resized(crop, 48) is crop
    even = np.full((60, 40, 3), 200, np.uint8)
    for size in (16, 48, 224):
        assert (resized(even, size) == 200).all()  # no black margin, whatever the shape
    halves = np.zeros((30, 50, 3), np.uint8)
    halves[:, 25:] = 255
    made = resized(halves, 96)
    assert made.shape == (96, 96, 3)
    assert (made[:, :40] == 0).all()
    assert (made[:, -40:] == 255).all()
    with pytest.raises(ArgumentError, match="`size` should lie in"):
        resized(crop, 4)
    with pytest.raises(ArgumentError, match="`pixels` should have"):
        resized(crop[..., 0])
