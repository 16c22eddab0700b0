"""Lamps, and the share of their light that reaches each vertex of a scene.

Lamps are far away: the light of a lamp has the same direction and strength all over the face. A surface of reflectance
1 that faces a lamp of intensity 1 looks white. A depth map seen from the lamp gives the shadows; the larger the lamp,
the softer they are. All values are linear; `fer3d.synth.optics.photograph` converts them to display values.

Convention: directions point from the face to the lamp, in the camera's frame: +x is the subject's left, which is the
right of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_range, check_shape
from fer3d.errors import ArgumentError
from fer3d.synth.optics.scene import Scene, rotation, seen_from
from fer3d.synth.optics.visibility import exposed

Colour = tuple[float, float, float]  # red, green, blue; 1 is neutral

_WARM, _COOL = (1.0, 0.83, 0.62), (0.86, 0.94, 1.0)  # about 3,000 and 7,500 kelvin, our choice
ROOM_NUMBERS = 8  # numbers that define the room of a scanner: two strengths, yaws and heights, warmth, walls
_UNREST = 0.1  # width of the variation from scan to scan, as a share of the range of each number
_SHADOW_PIXEL = 2.0  # pixel of the depth map of a small lamp, mm
_SHADOW_BLUR = 12.0  # added to the pixel, mm per radian of lamp size: width of the edge of a shadow 12 mm behind
_RING, _LARGE = 3, 0.22  # number of directions that represent a lamp of at least this size, radians


@dataclass(frozen=True, slots=True)
class Lamp:
    """A lamp far away from the face.

    Attributes:
        yaw, height: Direction, radians: to the subject's left of straight ahead, and above it.
        intensity: Radiance of a white surface that faces the lamp.
        colour: Colour of the light.
        size: Angular radius of the lamp as seen from the face, radians; larger lamps cast softer shadows.
    """

    yaw: float
    height: float
    intensity: float = 1.0
    colour: Colour = (1.0, 1.0, 1.0)
    size: float = 0.0

    def __post_init__(self) -> None:
        check_range("yaw", self.yaw, -np.pi, np.pi, "radians")
        check_range("height", self.height, -np.pi / 2, np.pi / 2, "radians")
        check_range("intensity", self.intensity, 0.0, 100.0)
        check_range("size", self.size, 0.0, 1.0, "radians")
        for channel in self.colour:
            check_range("colour", channel, 0.0, 10.0)

    @property
    def direction(self) -> NDArray[np.float64]:
        """(3,) float64: unit vector to the lamp."""
        return np.array(
            [np.sin(self.yaw) * np.cos(self.height), np.sin(self.height), np.cos(self.yaw) * np.cos(self.height)]
        )


@dataclass(frozen=True, slots=True)
class Light:
    """The light of an image.

    Attributes:
        lamps: Any number of lamps.
        ambient: Light from all directions, for each channel.
        sky: Share of the ambient light that comes from above, 0 to 1.
        shadows: Whether surface casts shadows. Surface that faces away from a lamp is dark in any case.
    """

    lamps: tuple[Lamp, ...] = ()
    ambient: Colour = (0.0, 0.0, 0.0)
    sky: float = 0.0
    shadows: bool = True

    def __post_init__(self) -> None:
        check_range("sky", self.sky, 0.0, 1.0)
        for channel in self.ambient:
            check_range("ambient", channel, 0.0, 10.0)
        if not all(isinstance(lamp, Lamp) for lamp in self.lamps):
            raise ArgumentError(f"`lamps` should hold Lamp objects, is {self.lamps!r}")

    def turned(self, placement: NDArray[np.float64]) -> Light:
        """The light in another frame; `placement`, (3, 3) or (4, 4), maps the present frame to it."""
        lamps = []
        for lamp in self.lamps:
            x, y, z = placement[:3, :3] @ lamp.direction
            lamps.append(replace(lamp, yaw=float(np.arctan2(x, z)), height=float(np.arcsin(np.clip(y, -1, 1)))))
        return replace(self, lamps=tuple(lamps))


# Named lights.
LIGHTS = {
    "soft": Light(
        (Lamp(-0.5, 0.45, 0.42, size=0.25), Lamp(0.55, 0.35, 0.34, size=0.25), Lamp(0.0, 0.9, 0.18, size=0.2)),
        (0.26, 0.26, 0.26),
        0.5,
    ),
    "flash": Light((Lamp(0.0, 0.12, 0.95, size=0.02),), (0.08, 0.08, 0.08)),
    "left": Light((Lamp(1.15, 0.25, 1.0, size=0.08),), (0.10, 0.10, 0.11), 0.3),
    "right": Light((Lamp(-1.15, 0.25, 1.0, size=0.08),), (0.10, 0.10, 0.11), 0.3),
    "above": Light((Lamp(0.1, 1.15, 1.1, size=0.12),), (0.14, 0.14, 0.15), 0.6),
    "window": Light(
        (Lamp(-0.9, 0.35, 0.75, _WARM, 0.1), Lamp(1.1, 0.2, 0.50, (0.62, 0.80, 1.0), 0.3)), (0.12, 0.12, 0.13), 0.4
    ),
}


def drawn(generator: np.random.Generator, room: NDArray[np.float64] | None = None) -> Light:
    """Draw the light of a scanner's room: two soft lamps and ambient light from the walls.

    Args:
        generator: Source of random numbers. The number of draws does not depend on `room`.
        room: (8,) float64 in [0, 1]: usual position of each quantity of the room in its range. The light deviates from
            it by at most a twentieth of the range, because lamps in a room hardly move. None: a random room.

    Raises:
        ArgumentError: if `room` has another shape.
    """
    at = generator.random(ROOM_NUMBERS)
    if room is not None:
        check_shape("room", room, (ROOM_NUMBERS,))
        at = np.clip(room + _UNREST * (at - 0.5), 0.0, 1.0)
    left, right = 0.7 + 0.6 * at[0:2]
    yaw, height = 0.35 + 0.55 * at[2:4], 0.1 + 0.7 * at[4:6]
    warm, walls = 0.5 * at[6], float(0.22 + 0.12 * at[7])
    colour = (1.0, 1.0 - warm * (1 - _WARM[1]), 1.0 - warm * (1 - _WARM[2]))
    lamps = (
        Lamp(float(yaw[0]), float(height[0]), float(0.42 * left), colour, 0.2),
        Lamp(-float(yaw[1]), float(height[1]), float(0.42 * right), colour, 0.2),
    )
    return Light(lamps, (walls, walls, walls), 0.5)


def reached(scene: Scene, light: Light) -> NDArray[np.float32]:
    """(V, K) float32: share of the light of each lamp that reaches each vertex, 0 to 1; 1 without shadows."""
    share = np.ones((len(scene.points), len(light.lamps)), np.float32)
    if not light.shadows:
        return share
    for k, lamp in enumerate(light.lamps):
        beams, pixel = _beams(lamp), _SHADOW_PIXEL + _SHADOW_BLUR * lamp.size
        total = np.zeros(len(scene.points), np.float32)
        # Points are lifted off the surface: surface at a grazing angle would else shade itself in some pixels.
        lifted = scene.points + 0.7 * pixel * scene.normals
        for beam in beams:
            seen = seen_from(scene.points, beam)
            total += exposed(seen, scene.triangles, seen_from(lifted, beam), pixel, pixel)
        share[:, k] = total / len(beams)
    return share


def _beams(lamp: Lamp) -> Sequence[NDArray[np.float64]]:
    """Directions that represent the lamp: its centre, or points on a ring of two thirds of its radius."""
    if lamp.size < _LARGE:  # the coarseness of the depth map is soft enough
        return [lamp.direction]
    turn = rotation(lamp.yaw, -lamp.height, 0.0)
    angles = 2 * np.pi * (np.arange(_RING) + 0.5) / _RING
    offset = np.tan(lamp.size * 2 / 3)
    ring = np.stack([offset * np.cos(angles), offset * np.sin(angles), np.ones(_RING)], axis=1)
    return list(ring / np.linalg.norm(ring, axis=1, keepdims=True) @ turn.T)
