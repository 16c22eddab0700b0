"""Pictures of a scan for the networks: from any side, and of the face from the front at a known scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import PrepareError
from fer3d.kernels import views
from fer3d.kernels.raster import NO_JITTER, zbuffer
from fer3d.kernels.surface_samples import surface_samples
from fer3d.kernels.topology import component_areas
from fer3d.prepare.landmarks.networks import FINDER_SIZE, PLACER_SIZE

_Floats = NDArray[np.float64]

PIXEL = 2.3  # mm of a pixel of the frontal picture, which is 221 mm wide
DEPTH = 60.0  # mm that make a depth of 1 in the frontal picture
_A_PIXEL = 2.0  # samples a pixel in the picture of a scan from any side
_MOST_SAMPLES = 40_000
_TRIMMED = 0.01  # share of the samples at each end of each axis that the extent of a scan leaves out
_MEASURED = 4_000  # samples that the extent is measured with
_MARGIN = 1.08  # width of the picture in extents of the scan
_EVERY_SIDE = -1.0  # least z of a normal that excludes none


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceSamples:
    """A scan as points spread evenly over its surface, in the frame and unit of the scan.

    Attributes:
        points, normals: (N, 3) float64.
        centre: (3,) float64. Middle of the extent.
        half: Half width of a picture that shows the whole scan from any side.
    """

    points: _Floats
    normals: _Floats
    centre: _Floats
    half: float

    @property
    def pixel(self) -> float:
        """Size of a pixel of `side_picture`, in the unit of the scan."""
        return 2.0 * self.half / FINDER_SIZE


def sampled(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> SurfaceSamples:
    """Sample the surface of a scan.

    Args:
        vertices: (V, 3) float32, finite where faces use them.
        faces: (F, 3) int32, wound outward.

    Raises:
        PrepareError: if the faces have no area.
    """
    area = float(component_areas(vertices, faces, np.zeros(len(faces), np.int32), 1)[0])
    if not (np.isfinite(area) and area > 0.0):
        raise PrepareError("the scan should have a surface, its faces have no finite area")
    rough, _ = surface_samples(vertices, faces, area / _MEASURED, _EVERY_SIDE)
    low, high = np.quantile(rough, (_TRIMMED, 1.0 - _TRIMMED), axis=0)
    half = 0.5 * _MARGIN * float((high - low).max())
    pixel = 2.0 * half / FINDER_SIZE
    step = max(pixel**2 / _A_PIXEL, area / _MOST_SAMPLES)
    points, normals = surface_samples(vertices, faces, step, _EVERY_SIDE)
    return SurfaceSamples(points, normals, 0.5 * (low + high), half)


def side_picture(samples: SurfaceSamples, view: _Floats) -> NDArray[np.float32]:
    """(5, 96, 96) float32: the whole scan from one side; see `fer3d.kernels.views.splat`.

    Args:
        samples: The scan.
        view: (3, 3) float64. Rows: the directions right, up and towards the viewer.
    """
    picture: NDArray[np.float32] = views.splat(
        samples.points, samples.normals, np.ascontiguousarray(view), samples.centre, samples.pixel, FINDER_SIZE
    )
    return picture


@dataclass(frozen=True, slots=True, eq=False)
class FrontalPicture:
    """A face from the front, and what each pixel shows.

    Attributes:
        picture: (5, 96, 96) float32; depth in units of `DEPTH`, 0 at the nose tip of the pose.
        points: (V, 3) float64. The vertices of the scan as column, row and depth in pixels.
        face: (96, 96) int32. The triangle at each pixel, -1 where there is none.
    """

    picture: NDArray[np.float32]
    points: _Floats
    face: NDArray[np.int32]


def frontal_picture(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], normals: NDArray[np.floating], pose: _Floats
) -> FrontalPicture:
    """Render a face in a frontal frame, with the origin of that frame in the middle.

    Args:
        vertices, faces: The scan, wound outward.
        normals: (V, 3). Normals of the vertices, of any length.
        pose: (3, 4) float64. From the frame of the scan to the frontal frame, in mm: rotation, scale and shift.
    """
    placed = vertices @ pose[:, :3].T + pose[:, 3]
    half = 0.5 * PLACER_SIZE - 0.5
    points = np.empty(placed.shape)
    points[:, 0] = half + placed[:, 0] / PIXEL
    points[:, 1] = half - placed[:, 1] / PIXEL
    points[:, 2] = placed[:, 2] / PIXEL
    face, bary = zbuffer(points, faces, PLACER_SIZE, PLACER_SIZE, NO_JITTER)
    scale = float(np.cbrt(np.linalg.det(pose[:, :3])))
    turned = normals.astype(np.float64) @ (pose[:, :3].T / scale)
    picture = views.surface_view(face, bary, faces, points[:, 2].copy(), turned, DEPTH / PIXEL)
    return FrontalPicture(picture, points, face)
