"""A range camera: what a structured-light or stereo scanner would make of a face model.

Samples lie on a grid of one pitch that is turned, shifted by a random phase and jittered sample by sample, so that no
two scans share a topology. One view sees along -z, orthographically; a z-buffer says which point of the surface each
sample sees: what is behind something else is not seen. Several views stand around the head as the two cameras of a
stereo scanner do; the grid then lies on a cylinder about the head, each view measures what it sees of it, and the
views are merged, each vertex from the view that faces it best. They agree only up to a small error of registration:
there is a seam.

Steep surface, random blobs and what is dark, hairy or wet (brows, lashes, beard, pupils, lips, nostrils, strands of
hair, what lies behind spectacles) is not measured, in patches drawn anew each time. Some scans have a hole over the
mouth, no more often if it is open than if it is closed, and an open one is a pit of 16 mm at most, as matching is
smooth: the number of holes shall not tell the expression. What is left gets noise along the view that grows with slant
and with the square of the distance, as triangulation has it, steps of the depth and a few spikes.

These are the settings; `fer3d.synth.optics.sensor` measures, `fer3d.synth.capture` makes a scan of it. Convention: see
`fer3d.synth.optics.scene`, which also has `pose`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_range
from fer3d.errors import ArgumentError

STEREO = (-0.47, 0.47)  # two views 27 degrees to either side, as in a two-pod stereo scanner


@dataclass(frozen=True, slots=True)
class Camera:
    """Settings of the camera. Defaults give about 8,000 vertices within 95 mm of the nose tip.

    Attributes:
        pitch: Distance of neighbouring samples, mm. 1.5 gives about 8,000 vertices a face, 0.72 about 35,000.
        pitch_spread: Greatest share by which the pitch of a scan differs from that, as subjects sit nearer or
            farther; not on an upright grid.
        views: Where the cameras stand, yaw in radians, > 0 to the subject's left. (0.0,) is one in front.
        eye: z of the camera in its own frame, mm; several views are as far from the head.
        noise: Standard deviation along the view on surface that faces the camera at 1 m, mm. Divided by the cosine of
            the slant (at least 0.25) and multiplied by the square of the distance in m.
        depth_step: What depth is rounded to along each view, mm; 0 for none.
        seam: Standard deviation of the error of registration of each of several views, mm.
        spikes: Share of samples that are far off.
        spike_height: Standard deviation of their error, mm.
        holes: Mean number of random holes.
        hole_radius: Least and greatest radius of a hole, mm.
        dark_loss, hair_loss, wet_loss: How readily dark, hairy and wet spots are lost, 0 never, 1 nearly all.
        steepest: Slant beyond which nothing is measured, radians.
        longest_edge: Longer edges, in pitches, are depth discontinuities and get no triangle.
        jitter: How far a sample lies off its grid point, share of the pitch (uniform, each axis).
        turned: Whether the grid is turned in its plane. False: rows run along x, as in a range image.
        field: Width and height of what the camera sees about the head, mm.
    """

    pitch: float = 1.5
    pitch_spread: float = 0.04
    views: tuple[float, ...] = (0.0,)
    eye: float = 1000.0
    noise: float = 0.10
    depth_step: float = 0.02
    seam: float = 0.30
    spikes: float = 0.0005
    spike_height: float = 8.0
    holes: float = 3.0
    hole_radius: tuple[float, float] = (1.5, 5.0)
    dark_loss: float = 0.3
    hair_loss: float = 0.3
    wet_loss: float = 0.2
    steepest: float = 1.40
    longest_edge: float = 5.0
    jitter: float = 0.25
    turned: bool = True
    field: float = 260.0

    def __post_init__(self) -> None:
        check_range("pitch", self.pitch, 0.2, 10.0, "mm")
        check_range("pitch_spread", self.pitch_spread, 0.0, 0.3)
        check_range("eye", self.eye, -1e5, 1e5, "mm")
        check_range("noise", self.noise, 0.0, 10.0, "mm")
        check_range("depth_step", self.depth_step, 0.0, 10.0, "mm")
        check_range("seam", self.seam, 0.0, 10.0, "mm")
        check_range("spikes", self.spikes, 0.0, 0.5)
        check_range("spike_height", self.spike_height, 0.0, 1000.0, "mm")
        check_range("holes", self.holes, 0.0, 1000.0)
        check_range("hole_radius[0]", self.hole_radius[0], 0.0, self.hole_radius[1], "mm")
        for name in ("dark_loss", "hair_loss", "wet_loss"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        check_range("steepest", self.steepest, 0.1, np.pi / 2, "radians")
        check_range("longest_edge", self.longest_edge, 1.0, np.inf)
        check_range("jitter", self.jitter, 0.0, 0.49)
        check_range("field", self.field, 20.0, 1000.0, "mm")
        if not self.views:
            raise ArgumentError("`views` should hold at least one yaw, is empty")
        for yaw in self.views:
            check_range("views", yaw, -1.2, 1.2, "radians")
        if len(self.views) > 1 and not self.turned:
            raise ArgumentError("`turned` should be True with several views: their grid is no range image")

    @property
    def reach(self) -> float:
        """mm within which a sample must lie of a point of the surface for it to count as measured."""
        seam = 2 * self.seam if len(self.views) > 1 else 0.0
        return 1.2 * self.pitch * (1 + self.pitch_spread) + 4 * self.noise + seam + self.depth_step

    @property
    def towards(self) -> tuple[NDArray[np.float64], ...]:
        """(3,) float64 each: unit vectors from the head to the views."""
        return tuple(np.array([np.sin(yaw), 0.0, np.cos(yaw)]) for yaw in self.views)
