"""Where the points of a face may lie together: a linear model of their shape, by which single points are corrected.

A heatmap places each point by itself. The points of a face move together, with the person and the expression, so that
what many of them say of the shape corrects what one of them says of itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError
from fer3d.prepare.landmarks.reference import PRIOR, mean_points, similarity

_Floats = NDArray[np.float64]

MODES = 40  # principal components: they leave 0.3 mm of a coordinate
_ACROSS, _DEEP = 1.9, 2.2  # mm: standard deviations of where the network sees a point, across and in depth
_OWN = 1.0  # mm: how far a point may lie off the model
_LEAST_SEEN = 0.15
_ROUNDS = 3  # of reweighting
_OUTLIER = 3.0  # standard deviations at which a point has half its weight


@dataclass(frozen=True, slots=True, eq=False)
class ShapeModel:
    """The mean and the principal components of the points of faces that were moved and scaled onto the mean face.

    Attributes:
        mean: (L, 3) float64, mm.
        modes: (K, L, 3) float64, mm a standard deviation.
    """

    mean: _Floats
    modes: _Floats

    @staticmethod
    def of(faces: _Floats) -> ShapeModel:
        """Learn a model from the points of N faces, (N, L, 3) in mm, in any pose. ArgumentError if they are too few."""
        if len(faces) <= MODES:
            raise ArgumentError(f"`faces` should be more than {MODES}, are {len(faces)}")
        moved = np.stack([_onto_mean(points, PRIOR)[0] for points in faces])
        mean = moved.mean(axis=0)
        _, lengths, rows = np.linalg.svd((moved - mean).reshape(len(faces), -1), full_matrices=False)
        scaled = rows[:MODES] * (lengths[:MODES] / np.sqrt(len(faces)))[:, None]
        return ShapeModel(mean, scaled.reshape(MODES, *mean.shape))

    def corrected(self, spots: _Floats, confidence: _Floats, visible: _Floats) -> tuple[_Floats, float]:
        """The likeliest places of points, and how badly they fit a face.

        The coefficients of the modes have a standard normal distribution, and a point lies off the model by a little
        of its own; points that fit badly count less (Cauchy weights).

        Args:
            spots: (L, 3) float64, mm. Where the network sees them, in any frame.
            confidence: (L,) in [0, 1]. Unsure points follow the others.
            visible: (L,) in [0, 1].

        Returns:
            (L, 3) float64 in the same frame; and the root mean square distance of the visible points from the model, in
            standard deviations.
        """
        placed, (rotation, scale, shift) = _onto_mean(spots, PRIOR * visible * confidence + 1e-9)
        trust = np.sqrt(np.clip(confidence, 0.1, 1.0) * np.sqrt(np.clip(visible, _LEAST_SEEN, 1.0)))
        variance = (np.array([_ACROSS, _ACROSS, _DEEP]) / trust[:, None]) ** 2 + _OWN**2  # (L, 3)
        modes, off = self.modes.reshape(len(self.modes), -1).T, (placed - self.mean).ravel()
        weight = 1.0 / variance
        for _ in range(_ROUNDS):
            weighted = weight.reshape(-1, 1) * modes
            coefficients = np.linalg.solve(modes.T @ weighted + np.eye(len(modes.T)), weighted.T @ off)
            left = (off - modes @ coefficients).reshape(-1, 3)
            square = (left**2 / variance).sum(axis=1)
            weight = 1.0 / (variance * (1.0 + square / _OUTLIER**2)[:, None])
        likeliest = placed - left + _OWN**2 / variance * left
        misfit = float(np.sqrt((visible * square).sum() / max(float(visible.sum()), 1e-6)))
        return ((likeliest - shift) / scale) @ rotation, misfit


def _onto_mean(points: _Floats, weight: _Floats) -> tuple[_Floats, tuple[_Floats, float, _Floats]]:
    """Points moved and scaled onto the mean face, and by what."""
    rotation, scale, shift = similarity(points, mean_points(), weight)
    return scale * points @ rotation.T + shift, (rotation, scale, shift)
