"""`Camera`: settings of a range camera that simulates a structured-light or stereo scanner.

Samples lie on a grid of constant pitch that is rotated, shifted by a random phase and jittered sample by sample, so
that no two scans share a topology. A single view looks along -z, orthographically; a z-buffer finds the point of the
surface that each sample sees, so hidden surface is not measured. Several views stand around the head like the two
cameras of a stereo scanner. The grid then lies on a cylinder around the head, each view measures what it sees, and the
views are merged: a vertex comes from the view that faces it best. The views agree only up to a small registration
error, which leaves a seam.

The camera does not measure steep surface, random blobs, and dark, hairy or wet spots (brows, lashes, beard, pupils,
lips, nostrils, strands of hair, surface behind spectacles), in patches that are random in each scan. Some scans have a
hole over the mouth. An open mouth has holes no more often than a closed one, and is a pit of at most 16 mm, because
matching is smooth: the number of holes must not reveal the expression. Measured points have noise along the view, which
grows with slant and with the square of the distance, as for triangulation; depth steps; and a few spikes.

`fer3d.synth.optics.sensor` simulates the measurement, `fer3d.synth.capture` turns it into a scan. Convention: see
`fer3d.synth.optics.scene`.
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
    """Settings of a range camera. The defaults give about 8,000 vertices within 95 mm of the nose tip.

    Attributes:
        pitch: Distance between neighbouring samples, mm. 1.5 gives about 8,000 vertices per face, 0.72 about 35,000.
        pitch_spread: Largest relative deviation of the pitch of a scan from `pitch`, because subjects sit nearer or
            farther; an upright grid has none.
        views: Yaw of each view, radians, > 0 to the subject's left. (0.0,) is a single view from the front.
        eye: z of the camera in its own frame, mm; several views have the same distance from the head.
        noise: Standard deviation of the error along the view, on surface that faces the camera at 1 m, mm. It is
            divided by the cosine of the slant (at least 0.25) and multiplied by the square of the distance in m.
        depth_step: Depth along each view is rounded to multiples of this, mm; 0: no rounding.
        seam: Standard deviation of the registration error of each of several views, mm.
        spikes: Share of samples with a gross error.
        spike_height: Standard deviation of gross errors, mm.
        holes: Mean number of random holes.
        hole_radius: Smallest and largest radius of a hole, mm.
        dark_loss, hair_loss, wet_loss: How often dark, hairy and wet spots are not measured: 0 never, 1 almost always.
        steepest: Largest slant at which surface is measured, radians.
        longest_edge: Longest edge of a triangle, in pitches; longer edges are depth discontinuities.
        jitter: Largest shift of a sample from its grid point along each axis, share of the pitch (uniform).
        turned: Whether the grid has a random rotation in its plane. False: rows run along x, as in a range image.
        field: Width and height of the field of view around the head, mm.
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
        """Largest distance of a vertex from a point of the surface at which the point counts as measured, mm."""
        seam = 2 * self.seam if len(self.views) > 1 else 0.0
        return 1.2 * self.pitch * (1 + self.pitch_spread) + 4 * self.noise + seam + self.depth_step

    @property
    def towards(self) -> tuple[NDArray[np.float64], ...]:
        """Unit vectors from the head to the views, each (3,) float64."""
        return tuple(np.array([np.sin(yaw), 0.0, np.cos(yaw)]) for yaw in self.views)
