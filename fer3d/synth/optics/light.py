"""Lamps, and how much of their light reaches a face.

Lamps are far away: light comes in one direction and does not grow weaker over the face. A surface of reflectance 1 that
faces a lamp of intensity 1 looks white. Shadows are cast by a depth map seen from the lamp and are as soft as the lamp
is large. Everything is linear; `fer3d.synth.optics.photograph` makes displayed values of it.

Convention: directions point from the face to the lamp, in the camera's frame: +x is the subject's left, the right of a
picture.
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
ROOM_NUMBERS = 8  # of a scanner's room: two strengths, two yaws, two heights, warmth, walls
_UNREST = 0.1  # share of its range by which each changes from scan to scan
_SHADOW_PIXEL = 2.0  # mm of the depth map from a small lamp
_SHADOW_BLUR = 12.0  # mm that it is coarser a radian of the lamp: as wide as the edge of a shadow 12 mm behind
_RING, _LARGE = 3, 0.22  # directions that stand for a lamp from so many radians on


@dataclass(frozen=True, slots=True)
class Lamp:
    """A lamp.

    Attributes:
        yaw, height: Where it stands, radians: to the subject's left of straight ahead, and above.
        intensity: Radiance of a white surface that faces it.
        colour: Of its light.
        size: Radius of the lamp as seen from the face, radians. Makes shadows soft.
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
    """All the light of a picture.

    Attributes:
        lamps: Any number.
        ambient: Light from everywhere, a channel.
        sky: Share of it that comes from above, 0 to 1.
        shadows: Whether things cast shadows. A surface turned away from a lamp is dark anyhow.
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
        """The light as a camera sees it whose frame is `placement` (3 x 3 or 4 x 4) times the present one."""
        lamps = []
        for lamp in self.lamps:
            x, y, z = placement[:3, :3] @ lamp.direction
            lamps.append(replace(lamp, yaw=float(np.arctan2(x, z)), height=float(np.arcsin(np.clip(y, -1, 1)))))
        return replace(self, lamps=tuple(lamps))


# Lights with a name, for pictures and for choosing among.
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
    """The light of a scanner's room: two soft lamps and what comes from the walls.

    Args:
        generator: All that is random. The same number of draws, whatever the room.
        room: (8,) float64 in [0, 1]: where in its range each quantity of the room usually lies. The light is that, but
            for a twentieth of the range either way: lamps stay where they stand. None: any room.

    Raises:
        ArgumentError: if `room` is of another shape.
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
    """(V, K) float32: share of each lamp's light that nothing keeps from each vertex, 0 to 1; 1 without shadows."""
    share = np.ones((len(scene.points), len(light.lamps)), np.float32)
    if not light.shadows:
        return share
    for k, lamp in enumerate(light.lamps):
        beams, pixel = _beams(lamp), _SHADOW_PIXEL + _SHADOW_BLUR * lamp.size
        total = np.zeros(len(scene.points), np.float32)
        # Off the surface: one that the light grazes would else shade itself, a pixel of the depth map here and there.
        lifted = scene.points + 0.7 * pixel * scene.normals
        for beam in beams:
            seen = seen_from(scene.points, beam)
            total += exposed(seen, scene.triangles, seen_from(lifted, beam), pixel, pixel)
        share[:, k] = total / len(beams)
    return share


def _beams(lamp: Lamp) -> Sequence[NDArray[np.float64]]:
    """Directions that stand for the lamp: its centre, or points on a ring of two thirds of its radius."""
    if lamp.size < _LARGE:  # the coarseness of the depth map is soft enough
        return [lamp.direction]
    turn = rotation(lamp.yaw, -lamp.height, 0.0)
    angles = 2 * np.pi * (np.arange(_RING) + 0.5) / _RING
    offset = np.tan(lamp.size * 2 / 3)
    ring = np.stack([offset * np.cos(angles), offset * np.sin(angles), np.ones(_RING)], axis=1)
    return list(ring / np.linalg.norm(ring, axis=1, keepdims=True) @ turn.T)
