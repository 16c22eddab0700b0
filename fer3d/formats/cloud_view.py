"""Find the direction from which a point cloud is one layer: the view of the sensor that measured it.

The candidates are the origin, where sensor coordinates have the sensor, the three axes and the three principal axes of
the cloud. In each, every point is compared with a plane through its neighbours in the picture. Where front and back of
a body fall together, points lie far from these planes. All lengths are in units of the point spacing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

MOST_LAYERED = 0.2  # largest share of points off the plane of their neighbours, in a view of one layer
NEIGHBOURS = 8
_SAMPLE = 6000  # points that are looked at in each view
_OFF_SPACINGS, _OFF_SIZE = 1.5, 0.03  # a point off its plane is so many spacings and so much of the cloud's size off
_NARROWEST, _WIDEST = np.radians(3.0), np.radians(60.0)  # half the angle at which a sensor at the origin sees the cloud
_FORESHORTENING = 0.02  # twice as dense a picture counts as much as this share of points off
_ORIGIN_WINS = 0.05  # the origin is preferred to other views that are better by less


@dataclass(frozen=True, eq=False)
class View:
    """A direction, or a place, from which points are seen.

    Attributes:
        name: For the history: "origin", "sensor", "x", "y", "z" or "principal axis".
        axes: (3, 3) float64. Rows: right, up, and towards the viewer.
        centre: (3,) float64, or None. Where the viewer is; None: infinitely far away.
    """

    name: str
    axes: NDArray[np.float64]
    centre: NDArray[np.float64] | None = None

    def project(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The picture (N, 2) float64 and the depth (N,) float64, which grows away from the viewer.

        A perspective picture is scaled to the median depth, so that both are in the unit of the points.
        """
        if self.centre is None:
            turned = points @ self.axes.T
            return turned[:, :2], -turned[:, 2]
        turned = (points - self.centre) @ self.axes.T
        depth = -turned[:, 2]
        return turned[:, :2] * (float(np.median(depth)) / depth)[:, None], depth

    def at_depth(
        self, points: NDArray[np.float64], depth: NDArray[np.float64], other: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Move points (N, 3) from their `depth` (N,) along their rays to `other` (N,)."""
        if self.centre is None:
            return points - np.outer(other - depth, self.axes[2])
        return self.centre + (points - self.centre) * (other / depth)[:, None]

    def in_front(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N,) bool: whether the viewer can see in the direction of each point, within 80 degrees."""
        if self.centre is None:
            return np.ones(len(points), np.bool_)
        offset = points - self.centre
        return np.asarray(-(offset @ self.axes[2]) > 0.17 * np.linalg.norm(offset, axis=1))


def is_outside(place: NDArray[np.float64], points: NDArray[np.float64]) -> bool:
    """Whether a place is not among the points (N, 3)."""
    distance = np.linalg.norm(points - place, axis=1)
    return bool(distance.min() > 0.2 * np.median(distance))


def from_place(place: NDArray[np.float64], points: NDArray[np.float64], name: str) -> View | None:
    """The view from a place to the middle of the points; None if the place lies within them or very far away."""
    if not is_outside(place, points):
        return None
    offset = points - place
    distance = np.linalg.norm(offset, axis=1)
    towards = -np.median(offset / distance[:, None], axis=0)
    length = float(np.linalg.norm(towards))
    if length < 0.5:
        return None
    towards /= length
    angle = float(np.arccos(np.clip((offset @ -towards) / distance, -1.0, 1.0)).max())
    return View(name, _about(towards), place) if _NARROWEST <= angle <= _WIDEST else None


def _ratio(spacing: float, seen: float) -> float:
    """How much closer the points are in a view than in space: 1 to 1e9."""
    return max(spacing / max(seen, 1e-9 * spacing), 1.0) if spacing > 1e-300 else 1.0


def best_view(points: NDArray[np.float64], *, origin: bool = True) -> tuple[View, float]:
    """The view in which the points are most nearly one layer, and the share of points that are off it.

    Args:
        points: (N, 3) float64, finite. The sign of a view without a place is arbitrary.
        origin: Whether the sensor may be at the origin.
    """
    sample = points
    if len(points) > _SAMPLE:
        sample = points[np.random.default_rng(0).choice(len(points), _SAMPLE, replace=False)]
    sample = np.unique(sample, axis=0)  # points repeated many times have no spacing
    views = [View(name, _about(axis)) for name, axis in zip("zyx", np.eye(3)[::-1], strict=True)]
    covariance = np.cov(sample.T)
    views += [View("principal axis", _about(axis)) for axis in np.linalg.eigh(covariance)[1].T]
    spacing = _spacing(sample)
    shares = [layered(view, sample) for view in views]
    costs = [
        share + _FORESHORTENING * np.log2(_ratio(spacing, _spacing(view.project(sample)[0])))
        for view, share in zip(views, shares, strict=True)
    ]
    best = int(np.argmin(costs))
    sensor = from_place(np.zeros(3), points, "origin") if origin else None
    if sensor is not None and (share := layered(sensor, sample)) <= shares[best] + _ORIGIN_WINS:
        return sensor, share
    return views[best], shares[best]


def layered(view: View, points: NDArray[np.float64]) -> float:
    """The share of points (N, 3) that are off the plane through their neighbours in the picture."""
    picture, depth = view.project(points)
    count = min(NEIGHBOURS, len(points) - 1)
    distance, rows = cKDTree(picture).query(picture, count + 1)
    off = plane_residual(picture, depth, rows)
    size = float(np.linalg.norm(np.subtract(*np.percentile(points, (95.0, 5.0), axis=0))))
    spacing = np.maximum(distance[:, -1] * np.sqrt(np.pi / count), 1e-12 * size)
    return float(((off > _OFF_SPACINGS * spacing) & (off > _OFF_SIZE * size)).mean())


def plane_residual(
    picture: NDArray[np.float64], depth: NDArray[np.float64], rows: NDArray[np.integer]
) -> NDArray[np.float64]:
    """(N,): root mean square distance of the depths at `rows` (N, K) of the picture from the plane that fits best."""
    at = picture[rows] - picture[rows].mean(axis=1, keepdims=True)
    d = depth[rows] - depth[rows].mean(axis=1, keepdims=True)
    xx, xy, yy = (np.einsum("nk,nk->n", at[..., i], at[..., j]) for i, j in ((0, 0), (0, 1), (1, 1)))
    xd, yd = (np.einsum("nk,nk->n", at[..., i], d) for i in (0, 1))
    det = xx * yy - xy * xy
    flat = det > 1e-9 * (xx + yy) ** 2  # otherwise the neighbours lie on a line
    det = np.where(flat, det, 1.0)
    a, b = np.where(flat, (yy * xd - xy * yd) / det, 0.0), np.where(flat, (xx * yd - xy * xd) / det, 0.0)
    rest = d - a[:, None] * at[..., 0] - b[:, None] * at[..., 1]
    return np.asarray(np.sqrt(np.einsum("nk,nk->n", rest, rest) / max(rows.shape[1] - 3, 1)))


def _spacing(points: NDArray[np.float64]) -> float:
    """Median distance to the sixth neighbour of points (N, D)."""
    distance, _ = cKDTree(points).query(points, min(7, len(points)))
    return float(np.median(distance[:, -1]))


def _about(towards: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3): right-handed axes whose third is `towards`, of length 1."""
    other = np.eye(3)[int(np.argmin(np.abs(towards)))]
    right = np.cross(other, towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])
