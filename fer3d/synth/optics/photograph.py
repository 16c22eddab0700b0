"""Photographs of a scene, with the blur and noise of a camera.

The projection is orthographic, as for a long lens. A display value is 255 * linear ** (1 / 2.2).

`session` takes the images that the studio of Multi-PIE [1] takes of an expression: from 13 cameras at the height of the
head, 15 degrees apart, and 2 above; under 18 flashes that fire one by one, one at each camera and 3 more above, and
under the light of the room alone. The positions of the elevated cameras and flashes are our choice, because they are
not published.

References:
    .. [1] Gross, Matthews, Cohn, Kanade, Baker. Multi-PIE. Image and Vision Computing 28(5), 2010.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fer3d.checks import check_choice, check_range
from fer3d.errors import ArgumentError
from fer3d.face.model import FaceModel
from fer3d.kernels.shading import expose, shade
from fer3d.synth.optics.light import LIGHTS, Lamp, Light, reached
from fer3d.synth.optics.scene import Look, Occluder, Scene, Window, rotation, set_up
from fer3d.synth.optics.visibility import Visibility, visibility

GAMMA = 2.2
_LINEAR = ((np.arange(256) / 255.0) ** GAMMA).astype(np.float32)
_DISPLAY_VALUES = np.rint(255.0 * (np.arange(4096) / 4095.0) ** (1.0 / GAMMA)).astype(np.uint8)
# Share of light that the deepest wrinkle absorbs; less of red, which passes through skin.
_ABSORBED = np.array([0.70, 0.85, 0.88], np.float32)
_EYE = np.array([0.0, 0.0, 1.0])  # direction to the camera

# Multi-PIE's names of the cameras at head height and their yaw, degrees to the subject's left; then the two above.
_CAMERAS = ("110", "120", "090", "080", "130", "140", "051", "050", "041", "190", "200", "010", "240")
VIEWS: Mapping[str, tuple[float, float]] = {
    **{name: (math.radians(-90.0 + 15.0 * k), 0.0) for k, name in enumerate(_CAMERAS)},
    "081": (math.radians(-30.0), math.radians(30.0)),
    "191": (math.radians(30.0), math.radians(30.0)),
}
HEAD_VIEWS = _CAMERAS
_ABOVE = ((-45.0, 50.0), (0.0, 50.0), (45.0, 50.0))  # yaw and height of the three flashes without a camera, degrees
_ROOM = LIGHTS["soft"]


@dataclass(frozen=True, slots=True)
class Lens:
    """Exposure, blur and noise of a camera.

    Attributes:
        exposure: Factor on the light.
        blur: Standard deviation of the point spread function, pixels.
        shot: Variance of the shot noise per unit of linear signal. 0.0004 is a full well of 2,500 electrons.
        read: Standard deviation of the read noise, in units of linear signal.
        ground: Display value of the background.
    """

    exposure: float = 1.0
    blur: float = 0.6
    shot: float = 0.0002
    read: float = 0.002
    ground: int = 24

    def __post_init__(self) -> None:
        check_range("exposure", self.exposure, 0.0, 100.0)
        check_range("blur", self.blur, 0.0, 100.0, "pixels")
        check_range("shot", self.shot, 0.0, 1.0)
        check_range("read", self.read, 0.0, 1.0)
        check_range("ground", self.ground, 0, 255)


PERFECT = Lens(blur=0.0, shot=0.0, read=0.0)


class Photo(NamedTuple):
    """A photograph and its ground truth.

    Attributes:
        picture: (H, W, 3) uint8.
        landmarks: Name -> (2,) float64: column and row, with pixel centres at integers; also of landmarks that are
            hidden or outside the image.
        visibility: Visibility of landmarks and patches from this camera.
        pose: (4, 4) float64. From the model's frame to the camera's.
        light: The light in the camera's frame.
    """

    picture: NDArray[np.uint8]
    landmarks: Mapping[str, NDArray[np.float64]]
    visibility: Visibility
    pose: NDArray[np.float64]
    light: Light


def photograph(
    model: FaceModel,
    shape: NDArray[np.float64],
    placement: NDArray[np.float64],
    look: Look,
    light: Light = _ROOM,
    *,
    window: Window,
    occluders: Sequence[Occluder] = (),
    lens: Lens | None = None,
    generator: np.random.Generator | None = None,
) -> Photo:
    """Take a photograph of a face.

    Args:
        model, shape, placement, look, occluders: See `fer3d.synth.optics.scene.set_up`.
        light: The light in the camera's frame.
        window: Part of the x-y plane of the camera's frame that the image shows.
        lens: Exposure, blur and noise. None: `Lens()`, or `PERFECT` without a generator.
        generator: Source of the noise.

    Raises:
        ArgumentError: if a shape is wrong, or the lens has noise and no generator is given.
    """
    scene = set_up(model, shape, placement, look, occluders)
    if lens is None:
        lens = PERFECT if generator is None else Lens()
    picture = developed(radiance(scene, light, window), lens, generator)
    pixels = window.pixels(np.array(list(scene.landmarks().values())))[:, :2]
    landmarks = dict(zip(model.landmarks, pixels, strict=True))
    return Photo(picture, landmarks, visibility(scene), placement, light)


def radiance(
    scene: Scene, light: Light, window: Window, plane: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """(H, W, 3) float32: linear light of every pixel, NaN where no surface is visible.

    Args:
        scene: A scene with a look.
        light: The light in the camera's frame.
        window: The pixels.
        plane: (V, 3) float64. Projection of the points; None: orthographic along -z.

    Raises:
        ArgumentError: if the scene has no look.
    """
    if scene.look is None:
        raise ArgumentError("`scene` should have a look, has none")
    plane = scene.points if plane is None else plane
    face, bary = window.render(plane, scene.triangles)
    lamps = np.array([lamp.direction for lamp in light.lamps]).reshape(-1, 3)
    halfway = lamps + _EYE
    halfway /= np.maximum(np.linalg.norm(halfway, axis=1, keepdims=True), 1e-9)
    strength = np.array([np.multiply(lamp.colour, lamp.intensity) for lamp in light.lamps]).reshape(-1, 3)
    lit: NDArray[np.float32] = shade(
        face,
        bary,
        scene.triangles,
        scene.normals,
        reached(scene, light),
        scene.uv,
        scene.colour,
        _linear(scene.look),
        lamps.astype(np.float32),
        halfway.astype(np.float32),
        strength.astype(np.float32),
        np.array(light.ambient, np.float32),
        np.float32(light.sky),
    )
    return _through_lenses(scene, lit, window, plane)


@lru_cache(maxsize=4)
def _linear(look: Look) -> NDArray[np.float32]:
    """(S, S, 4) float32: linear red, green, blue and gloss. Cached, because a face is photographed many times."""
    out = np.empty((*look.gloss.shape, 4), np.float32)
    out[..., :3], out[..., 3] = _LINEAR[look.colour], look.gloss / np.float32(255.0)
    if look.wrinkles is not None:
        folded = look.wrinkles > 0
        out[folded, :3] *= 1 - look.wrinkles[folded, None] / np.float32(255.0) * _ABSORBED
    return out


def _through_lenses(
    scene: Scene, lit: NDArray[np.float32], window: Window, plane: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The image with spectacle lenses, which make it a little darker and bluer and add a reflection of the room."""
    if not len(scene.lenses):
        return lit
    face, bary = window.render(plane, scene.lenses)
    glass = face >= 0
    rows = scene.lenses[face[glass]]  # (P, 3)
    at = np.einsum("pk,pkc->pc", bary[glass].astype(np.float64), scene.points[rows]) - scene.origin
    # The reflection is a streak along a diagonal of the glass, as of a strip light behind the camera.
    streak = np.exp(-(((np.abs(at[:, 0]) - 26.0 - 0.6 * (at[:, 1] - 36.0)) / 3.5) ** 2))
    out = lit.copy()
    out[glass] = lit[glass] * np.array([0.86, 0.89, 0.90], np.float32) + (0.012 + 0.10 * streak[:, None]).astype(
        np.float32
    )
    return out


def developed(
    light: NDArray[np.float32], lens: Lens, generator: np.random.Generator | None = None
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: the image of linear light, in display values.

    Args:
        light: (H, W, 3) float32, NaN where no surface is visible.
        lens: Exposure, blur and noise; blur comes before noise.
        generator: Source of the noise.

    Raises:
        ArgumentError: if the lens has noise and no generator is given.
    """
    noisy = lens.shot > 0 or lens.read > 0
    if noisy and generator is None:
        raise ArgumentError("`generator` should be given: the lens has noise")
    ground = np.float32(_LINEAR[lens.ground])
    if lens.blur > 0:
        light = np.where(np.isnan(light), ground / np.float32(max(lens.exposure, 1e-9)), light)
        light = gaussian_filter(light, (lens.blur, lens.blur, 0.0), truncate=3.0)
    noise = np.zeros((0, 0, 3), np.float32)
    if noisy and generator is not None:
        noise = generator.standard_normal(light.shape, np.float32)
    factors = np.array([lens.exposure, ground, lens.shot, lens.read], np.float32)
    image: NDArray[np.uint8] = expose(light, noise, factors, _DISPLAY_VALUES)
    return image


def flashes() -> dict[str, Light]:
    """Flash -> light in the frame of the frontal camera: 00 is the room alone, 01 to 18 are a flash in a dim room."""
    places = [*VIEWS.values(), *((math.radians(yaw), math.radians(height)) for yaw, height in _ABOVE)]
    dim = (0.05, 0.05, 0.05)
    lights = {"00": _ROOM}
    for number, (yaw, height) in enumerate(places, start=1):
        lights[f"{number:02d}"] = Light((Lamp(yaw, height, 0.95, size=0.03),), dim, 0.3)
    return lights


def session(
    model: FaceModel,
    shape: NDArray[np.float64],
    look: Look,
    generator: np.random.Generator,
    *,
    views: Sequence[str] = HEAD_VIEWS,
    flash: Sequence[str] | None = None,
    size: tuple[int, int] = (240, 320),
    pixel: float = 1.0,
    occluders: Sequence[Occluder] = (),
    lens: Lens | None = None,
) -> Iterator[tuple[str, str, Photo]]:
    """Photograph an expression from many cameras under many flashes; the defaults give 13 x 19 images.

    Args:
        model, shape, look, occluders: See `fer3d.synth.optics.scene.set_up`; the subject looks at camera 051.
        generator: Source of the noise of the images.
        views: Names of cameras in `VIEWS`.
        flash: Names of lights in `flashes()`; None: all 19.
        size: Rows and columns. (240, 320) at 1 mm per pixel holds the head.
        pixel: Size of a pixel, mm.
        lens: Exposure, blur and noise. None: `Lens()`.

    Yields:
        Name of the camera, name of the flash, and the photograph.

    Raises:
        ArgumentError: if a name is unknown, or as `photograph`.
    """
    lights = flashes()
    flash = tuple(lights) if flash is None else tuple(flash)
    for name, given, known in (("views", views, VIEWS), ("flash", flash, lights)):
        check_choice(name, tuple(given), known)
    rows, columns = size
    window = Window(-pixel * (columns - 1) / 2, pixel * (rows - 1) / 2, pixel, rows, columns)
    for view in views:
        placement = np.eye(4)
        placement[:3, :3] = _before_camera(*VIEWS[view])
        # The camera moves around the axis of the head, which stays in the middle of the image; the nose tip does not.
        placement[:3, 3] = placement[:3, :3] @ np.array([0.0, 0.0, 70.0])
        for name in flash:
            photo = photograph(
                model,
                shape,
                placement,
                look,
                lights[name].turned(placement),
                window=window,
                occluders=occluders,
                lens=lens,
                generator=generator,
            )
            yield view, name, photo


def _before_camera(yaw: float, height: float) -> NDArray[np.float64]:
    """(3, 3) float64: rotation from the frame of the frontal camera to that of a camera in this direction."""
    return np.asarray(rotation(0.0, height, 0.0) @ rotation(-yaw, 0.0, 0.0))
