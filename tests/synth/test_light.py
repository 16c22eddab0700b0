"""Light and photographs, against the cosine law on a ball and a plane; shadows; noise; where landmarks are."""

from dataclasses import replace

import numpy as np
import pytest

from fer3d.errors import ArgumentError
from fer3d.face.load import builtin_face
from fer3d.face.model import SKIN, FaceModel
from fer3d.synth.looks import appearance
from fer3d.synth.optics import light
from fer3d.synth.optics.light import LIGHTS, Lamp, Light, reached
from fer3d.synth.optics.photograph import (
    HEAD_VIEWS,
    PERFECT,
    VIEWS,
    Lens,
    developed,
    flashes,
    photograph,
    radiance,
    session,
)
from fer3d.synth.optics.scene import Look, Occluder, Window, pose, set_up

GREY = 188  # displayed; 0.51 in linear light
ALBEDO = (GREY / 255) ** 2.2


def solid(points, triangles):
    """A face model of any mesh: one point is every landmark."""
    face = builtin_face()
    V = len(points)
    return FaceModel(
        name="solid",
        neutral=np.asarray(points, float),
        identity_modes=np.zeros((1, V, 3), np.float32),
        expression_modes=np.zeros((0, V, 3), np.float32),
        expression_names=(),
        triangles=np.asarray(triangles, np.int32),
        part=np.full(len(triangles), SKIN, np.uint8),
        uv=np.full((V, 2), 0.5, np.float32),
        landmarks=dict.fromkeys(face.landmarks, 0),
        action_units={},
    )


def ball(radius=50.0, n=90):
    """The front of a ball, as a grid over polar angle and azimuth."""
    polar, azimuth = np.meshgrid(np.linspace(1e-3, 0.49 * np.pi, n), np.linspace(0, 2 * np.pi, n))
    points = radius * np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1
    )
    row = np.arange(n * n).reshape(n, n)
    a, b, c, d = row[:-1, :-1].ravel(), row[:-1, 1:].ravel(), row[1:, 1:].ravel(), row[1:, :-1].ravel()
    return solid(points.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def square(size=40.0, z=0.0, at=(0.0, 0.0)):
    corner = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * size / 2 + at
    return np.column_stack([corner, np.full(4, z)]), np.array([(0, 1, 2), (0, 2, 3)], np.int32)


def grey_look():
    return Look.plain(np.full((8, 8, 3), GREY, np.uint8))


@pytest.fixture(scope="module")
def model():
    return builtin_face()


@pytest.fixture(scope="module")
def look(model):
    return appearance.paint(appearance.atlas(model, 256), np.random.default_rng(2))


@pytest.mark.parametrize(("yaw", "height"), [(0.0, 0.0), (0.7, 0.2), (-0.4, -0.9)])
@pytest.mark.parametrize("radius", [5.0, 50.0, 500.0])
def test_a_ball_follows_the_cosine_law(yaw, height, radius):
    pixel = radius / 40
    lamp = Lamp(yaw, height, 0.8, colour=(1.0, 0.5, 0.25))
    scene = set_up(ball(radius), ball(radius).neutral, pose(), grey_look())
    got = radiance(scene, Light((lamp,), shadows=False), Window(-39.5 * pixel, 39.5 * pixel, pixel, 80, 80))
    row, column = np.mgrid[:80, :80]
    x, y = (column - 39.5) * pixel, (39.5 - row) * pixel
    z = np.sqrt(np.clip(radius**2 - x**2 - y**2, 0, None))
    cosine = np.clip(np.stack([x, y, z], axis=-1) @ lamp.direction / radius, 0, None)
    inside = np.hypot(x, y) < 0.9 * radius
    wanted = ALBEDO * 0.8 * cosine[..., None] * np.array([1.0, 0.5, 0.25])
    assert np.abs(got - wanted)[inside].max() < 0.012


def test_a_plane_and_ambient_light():
    plane = solid(*square())
    scene = set_up(plane, plane.neutral, pose(0.0, 0.5), grey_look())
    window = Window(-9.5, 9.5, 1.0, 20, 20)
    for height in (0.0, 0.6):
        got = radiance(scene, Light((Lamp(0.0, height),), shadows=False), window)
        assert np.allclose(got, ALBEDO * np.cos(height + 0.5), atol=1e-4)
    assert np.allclose(radiance(scene, Light(ambient=(0.3, 0.2, 0.1)), window), ALBEDO * np.array([0.3, 0.2, 0.1]))
    sky = radiance(scene, Light(ambient=(0.3,) * 3, sky=1.0), window)
    assert np.allclose(sky, ALBEDO * 0.3 * (1 - np.sin(0.5)) / 2, atol=1e-4)


def test_lamps_add_up():
    model = ball()
    scene = set_up(model, model.neutral, pose(), grey_look())
    window = Window(-50, 50, 1.0, 101, 101)
    a, b = Lamp(0.9, 0.1, 0.5), Lamp(-0.6, 0.4, 0.3, (1.0, 0.8, 0.6))
    one, two, both = (radiance(scene, Light(lamps, shadows=False), window) for lamps in ((a,), (b,), (a, b)))
    assert np.allclose(one + two, both, atol=1e-6, equal_nan=True)


def test_a_wall_casts_a_shadow_where_geometry_says():
    """A 20 mm square 30 mm before a plane, lamp 45 degrees to the subject's left: a shadow 30 mm to the right."""
    plane = solid(*square(160.0))
    points, triangles = square(20.0, 30.0)
    wall = Occluder("WALL", points, triangles, np.full(2, 100, np.uint8), np.full((4, 3), 90.0))
    grid = np.stack(np.meshgrid(np.arange(-60.0, 61, 4), np.arange(-60.0, 61, 4), [0.0]), axis=-1).reshape(-1, 3)
    scene = set_up(plane, plane.neutral, pose(), grey_look(), [wall])
    normals = np.zeros((len(grid), 3), np.float32)
    asked = replace(
        scene, points=np.concatenate([scene.points, grid]), normals=np.concatenate([scene.normals, normals])
    )
    share = reached(asked, Light((Lamp(np.pi / 4, 0.0),)))[len(scene.points) :, 0]
    x, y = grid[:, 0], grid[:, 1]
    shadow = (np.abs(x + 30) < 7) & (np.abs(y) < 7)
    free = (np.abs(x + 30) > 13) | (np.abs(y) > 13)
    assert shadow.sum() >= 9
    assert (share[shadow] < 0.05).all()
    assert (share[free] > 0.95).all()
    soft = reached(asked, Light((Lamp(np.pi / 4, 0.0, size=0.3),)))[len(scene.points) :, 0]
    assert ((soft > 0.2) & (soft < 0.8)).sum() > ((share > 0.2) & (share < 0.8)).sum()
    assert (reached(asked, Light((Lamp(np.pi / 4, 0.0),), shadows=False)) == 1).all()


def test_light_from_the_subjects_left_brightens_the_right_of_the_picture(model, look):
    window = Window(-60, 60, 1.0, 121, 121)
    for name, brighter in (("left", 1), ("right", -1)):
        picture = photograph(model, model.neutral, pose(), look, LIGHTS[name], window=window).picture.astype(float)
        left, right = picture[40:80, 10:50].mean(), picture[40:80, 71:111].mean()
        assert (right - left) * brighter > 20


def test_the_nose_shades_the_far_side(model, look):
    lamp = Light((Lamp(1.0, 0.1),))
    scene = set_up(model, model.neutral, pose(), look)
    share = reached(scene, lamp)[: len(model.neutral), 0]
    x, y, z = model.neutral.T
    beside = (np.abs(y - 5) < 6) & (z > -40)
    assert share[beside & (x < -17) & (x > -24)].mean() < 0.4
    assert share[beside & (x > 17) & (x < 24)].mean() > 0.9


def test_turned_light_stays_on_its_side_of_the_head():
    lamp = Light((Lamp(0.8, 0.3, 0.7),))
    about = pose(0.5, -0.3, 0.2)
    [got] = lamp.turned(about).lamps
    assert np.allclose(got.direction, about[:3, :3] @ lamp.lamps[0].direction)
    assert got.intensity == 0.7


def test_noise_of_a_picture_is_that_of_the_lens():
    flat = np.full((200, 200, 3), 0.4, np.float32)
    lens = Lens(blur=0.0, shot=0.001, read=0.02)
    shown = developed(flat, lens, np.random.default_rng(0))
    signal = (shown / 255.0) ** 2.2
    assert signal.std() == pytest.approx(np.sqrt(0.001 * 0.4 + 0.02**2), rel=0.03)
    assert np.array_equal(shown, developed(flat, lens, np.random.default_rng(0)))
    assert not np.array_equal(shown, developed(flat, lens, np.random.default_rng(1)))


def test_exposure_blur_and_ground():
    step = np.zeros((9, 40, 3), np.float32)
    step[:, 20:] = 0.5
    assert developed(step, PERFECT)[4, 30, 0] == round(255 * 0.5 ** (1 / 2.2))
    assert developed(step, replace(PERFECT, exposure=0.5))[4, 30, 0] == round(255 * 0.25 ** (1 / 2.2))
    blurred = (developed(step, replace(PERFECT, blur=2.0))[4, :, 0] / 255.0) ** 2.2
    assert blurred[19] < 0.25 < blurred[20]  # the edge stays where it is
    assert blurred[21] - blurred[18] < 0.35
    missing = np.full((3, 3, 3), np.nan, np.float32)
    assert (developed(missing, replace(PERFECT, ground=77)) == 77).all()
    assert (developed(missing, replace(PERFECT, ground=77, exposure=0.3, blur=1.0)) == 77).all()


def test_landmarks_of_a_photograph_are_where_the_face_is(model, look):
    """Paint one landmark's surroundings red: the red pixels are about the pixel that the photo says."""
    red = look.colour.copy()
    u, v = model.uv[model.landmarks["exocanthion_left"]]
    row, column = int((1 - v) * 256), int(u * 256)
    red[:] = 40
    red[row - 3 : row + 4, column - 3 : column + 4] = (255, 0, 0)
    window = Window(-70, 90, 0.8, 230, 190)
    photo = photograph(
        model, model.neutral, pose(-0.3, 0.1, 0.2), Look.plain(red), Light(ambient=(1, 1, 1)), window=window
    )
    rows, columns = np.nonzero((photo.picture[..., 0] > 150) & (photo.picture[..., 1] < 60))
    assert photo.landmarks["exocanthion_left"] == pytest.approx([columns.mean(), rows.mean()], abs=2.0)
    assert photo.picture.shape == (230, 190, 3)


def test_a_session_is_13_views_by_19_flashes(model, look):
    assert len(HEAD_VIEWS) == 13
    assert len(flashes()) == 19
    yaws = np.degrees([VIEWS[name][0] for name in HEAD_VIEWS])
    assert np.allclose(yaws, np.arange(-90, 91, 15))
    shots = list(
        session(
            model,
            model.neutral,
            look,
            np.random.default_rng(0),
            views=("110", "051", "240", "191"),
            flash=("00", "07", "01"),
            size=(60, 80),
            pixel=4.0,
        )
    )
    assert [shot[:2] for shot in shots] == [(v, f) for v in ("110", "051", "240", "191") for f in ("00", "07", "01")]
    photos = {(view, flash): photo for view, flash, photo in shots}
    # Camera 240 stands to the subject's left: it sees the left ear side, and the nose points left in its picture.
    nose, eye = (photos["240", "00"].landmarks[name] for name in ("pronasale", "exocanthion_left"))
    assert nose[0] < eye[0] - 5
    assert photos["240", "00"].visibility.landmarks["exocanthion_left"] == "visible"
    assert photos["240", "00"].visibility.landmarks["exocanthion_right"] == "hidden_by_self"
    # A flash at the camera lights what it sees; the one at the other side of the head does not.
    assert photos["110", "01"].picture.mean() > 1.5 * photos["240", "01"].picture.mean()
    # An elevated camera looks down: the nose tip moves down the picture against the ears' height.
    level, above = (photos[view, "00"].landmarks for view in ("051", "191"))
    assert above["pronasale"][1] - above["bu83_69"][1] > level["pronasale"][1] - level["bu83_69"][1] + 3


def test_scanner_light_differs_and_repeats():
    a, b, c = (light.drawn(np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert a == c != b


def test_the_lamps_of_a_room_stay_where_they_stand():
    """The same draws as without a room, a tenth as far apart, about what the room's numbers say."""
    room = np.full(8, 0.5)
    near, wide = (
        np.array(
            [
                [one.lamps[0].yaw, one.lamps[1].height, one.lamps[0].intensity, one.ambient[0]]
                for one in (light.drawn(np.random.default_rng(seed), place) for seed in range(200))
            ]
        )
        for place in (room, None)
    )
    assert np.allclose(near - [0.625, 0.45, 0.42, 0.28], 0.1 * (wide - [0.625, 0.45, 0.42, 0.28]), atol=1e-12)
    streams = [np.random.default_rng(0) for _ in range(2)]
    for stream, place in zip(streams, (room, None), strict=True):
        light.drawn(stream, place)
    assert streams[0].random() == streams[1].random()
    with pytest.raises(ArgumentError, match="`room` should have shape"):
        light.drawn(streams[0], np.zeros(7))


def test_errors(model, look):
    window = Window(0, 0, 1.0, 4, 4)
    with pytest.raises(ArgumentError, match=r"`intensity` should lie in \[0, 100\], is -1"):
        Lamp(0.0, 0.0, -1)
    with pytest.raises(ArgumentError, match="`yaw` should lie in"):
        Lamp(7.0, 0.0)
    with pytest.raises(ArgumentError, match="`lamps` should hold Lamp objects, is \\(3,\\)"):
        Light((3,))
    with pytest.raises(ArgumentError, match=r"`sky` should lie in \[0, 1\], is 2"):
        Light(sky=2)
    with pytest.raises(ArgumentError, match=r"`blur` should lie in \[0, 100\] pixels, is -1"):
        Lens(blur=-1)
    with pytest.raises(ArgumentError, match="`generator` should be given: the lens has noise"):
        photograph(model, model.neutral, pose(), look, window=window, lens=Lens())
    with pytest.raises(ArgumentError, match="`scene` should have a look, has none"):
        radiance(set_up(model, model.neutral, pose()), Light(), window)
    with pytest.raises(ArgumentError, match="`views` should hold names out of 110, .*, holds 'front'"):
        next(session(model, model.neutral, look, np.random.default_rng(0), views=("front",)))
    with pytest.raises(ArgumentError, match="`flash` should hold names out of 00, .*, holds '77'"):
        next(session(model, model.neutral, look, np.random.default_rng(0), flash=("77",)))
