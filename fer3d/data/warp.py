"""`FaceWarp`: a wide or long face is warped until its eyes and its nose lie where they lie on average.

Alignment (`fer3d.prepare.align`) turns and moves a face and keeps its size. Networks with weights for every place of
the face then see the mouth of a long face where a short one has its chin, and with a few dozen people to learn from
they cannot tell the one from the other. The landmarks of the training scans say how each should be warped; how to
tell it from the maps alone is learned from the same scans, so a scan to be recognised needs no landmarks. All of this
is our choice [D]; on 110 simulated people kept for tuning, halved twice, it was worth two and three points to DFF-CNN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d.data.augment_maps import augment, unchanged
from fer3d.data.channels import Normalisation
from fer3d.errors import ArgumentError
from fer3d.ops.orientation_energy import OrientationEnergy
from fer3d.prepare.store import manifest_landmarks

# What an expression moves least: corners of the eyes, base of the nose.
EYES = ("exocanthion_left", "endocanthion_left", "endocanthion_right", "exocanthion_right")
NOSE = ("alare_left", "alare_right", "subnasale")

_SHARE = 0.5  # of the scans that must have them for maps to be warped without being asked for
_PENALTY = 0.1  # of the ridge regression, as a share of the mean square of a scan's features
_LEAST = 8  # scans with these landmarks, below which nothing is learned
_MOST = 2000  # scans to learn from: the matrix of their likenesses is solved
_BATCH = 64


@dataclass(frozen=True, eq=False)
class FaceWarp:
    """Maps -> the affine warp that lays a face on the mean of the training scans, and those maps under it.

    Predicted by ridge regression from the orientation energies of all channels (`OrientationEnergy`), learned from the
    training scans and their mirror images.

    Attributes:
        before: What brings maps before the warp to the scale of the energies.
        weights: (D, 3) float32.
        constant: (3,) float32.
        low, high: (3,) float32: least and largest of the training scans, beyond which no scan is warped.
    """

    before: Normalisation
    weights: torch.Tensor
    constant: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    @classmethod
    def fit(cls, channels: Sequence[str], values: torch.Tensor, rows: torch.Tensor, warps: torch.Tensor) -> FaceWarp:
        """Learn it.

        Args:
            channels: C names.
            values: (N, C + 1, H, W), as `fer3d.data.channels.stack_channels` makes them.
            rows: (M,) int64. Those of the training scans, and no others.
            warps: (M, 3), as `landmark_warps` gives them; scans of which it is NaN are left out.

        Raises:
            ArgumentError: if fewer than 8 scans are left.
        """
        known = torch.isfinite(warps).all(dim=1)
        if int(known.sum()) < _LEAST:
            raise ArgumentError(
                f"`warp` wants at least {_LEAST} training scans with the landmarks {', '.join(EYES)} and one of "
                f"{', '.join(NOSE)}, got {int(known.sum())} of {len(rows)}"
            )
        rows = rows.to(known.device)[known]
        rows, warps = _thinned(rows), _thinned(warps[known])
        wanted = warps.to(values.device, torch.float32)
        rows = rows.to(values.device)
        before = Normalisation.fit(channels, values, rows)
        parts = [before.apply(values[part].float()) for part in torch.split(rows, _BATCH)]
        features = torch.cat([*map(_energies, parts), *(_energies(before.mirrored(part)) for part in parts)])
        weights, constant = _ridge(features, wanted.repeat(2, 1))
        return cls(before, weights, constant, wanted.amin(dim=0), wanted.amax(dim=0))

    def predict(self, values: torch.Tensor) -> torch.Tensor:
        """(B, C + 1, H, W) in physical units -> (B, 3): log stretch along x and y, then shift along y in mm."""
        predicted = _energies(self.before.apply(values.float())) @ self.weights.to(values.device)
        predicted = predicted + self.constant.to(values.device)
        return torch.minimum(torch.maximum(predicted, self.low.to(values.device)), self.high.to(values.device))

    def apply(self, values: torch.Tensor, pixel: float) -> torch.Tensor:
        """(B, C + 1, H, W) in physical units -> the same, float16, warped as `fer3d.data.augment_maps.augment` does
        it.

        Args:
            values: As `fer3d.data.channels.stack_channels` makes them.
            pixel: Width of a pixel, mm.
        """
        return apply_warps(self.before.channels, values, self.predict(values), pixel).half()

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """What JSON can hold of it, and its tensors: the arguments of `from_state`."""
        tensors = {"weights": self.weights, "constant": self.constant, "low": self.low, "high": self.high}
        return asdict(self.before), tensors

    @classmethod
    def from_state(cls, facts: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> FaceWarp:
        """The inverse of `state`.

        Raises:
            TypeError: if something is missing or does not belong.
            ValueError: if a tensor has not the shape that the channels ask for.
        """
        before = Normalisation(**{key: tuple(value) for key, value in facts.items()})
        made, energy = cls(before, **tensors), OrientationEnergy()
        features = len(before.channels) * energy.directions * energy.cells**2
        for name, wanted in {"weights": (features, 3), "constant": (3,), "low": (3,), "high": (3,)}.items():
            if tensors[name].shape != wanted:
                raise ValueError(f"{name} should have shape {wanted}, has {tuple(tensors[name].shape)}")
        return made


def landmark_warps(rows: Sequence[Mapping[str, Any]], train: torch.Tensor) -> torch.Tensor:
    """How faces should be warped for their landmarks to lie on the mean of the training scans.

    Along x the corners of the eyes are laid on theirs by least squares about the middle of the face, along y these and
    the base of the nose, which also says how far the face is then shifted.

    Args:
        rows: N manifest rows.
        train: (M,) int64: those of which the mean is taken, and that are wanted.

    Returns:
        (M, 3) float64: log stretch along x and y, then shift along y in mm. NaN for scans without the landmarks: all
        corners of the eyes and one of the base of the nose.
    """
    names = (*EYES, *NOSE)
    points = np.full((len(train), len(names), 2), np.nan)
    for number, index in enumerate(train.tolist()):
        found = manifest_landmarks(rows[index])
        for place, name in enumerate(names):
            if name in found:
                points[number, place] = found[name][:2]
    complete = np.isfinite(points[:, : len(EYES)]).all(axis=(1, 2)) & np.isfinite(points[:, len(EYES) :, 1]).any(axis=1)
    made = np.full((len(train), 3), np.nan)
    if complete.any():
        count = np.isfinite(points[complete]).sum(axis=0)
        mean = np.nansum(points[complete], axis=0) / np.maximum(count, 1)
        made[complete] = [_warp(scan, mean) for scan in points[complete]]
    return torch.from_numpy(made)


def landmarks_suffice(warps: torch.Tensor) -> bool:
    """Whether half of the scans, and 8 of them, had the landmarks that say their warp: (M, 3) of `landmark_warps`."""
    having = int(torch.isfinite(warps).all(dim=1).sum())
    return having >= max(_LEAST, _SHARE * len(warps))


def apply_warps(channels: Sequence[str], values: torch.Tensor, warps: torch.Tensor, pixel: float) -> torch.Tensor:
    """(B, C + 1, H, W) in physical units, under the warps (B, 3) as `landmark_warps` gives them: float32."""
    draws = unchanged(len(values))
    draws["stretch"][:, :2] = warps[:, :2].exp()
    draws["shift"][:, 1] = warps[:, 2]
    return augment(channels, values, draws, pixel)


def _warp(scan: NDArray[np.float64], mean: NDArray[np.float64]) -> tuple[float, float, float]:
    """From the (7, 2) landmarks of a scan, of which some may be NaN, and their mean."""
    eyes, there = slice(len(EYES)), np.isfinite(scan[:, 1])
    across, _ = _line(mean[eyes, 0], scan[eyes, 0])
    along, offset = _line(mean[there, 1], scan[there, 1])
    if not (across > 0 and along > 0):  # eyes below the nose: these are no landmarks of a face
        return np.nan, np.nan, np.nan
    return -np.log(across), -np.log(along), -offset / along


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and height at 0 of the line through the points (x, y), by least squares; a slope of 0 if x is all one."""
    away = x - x.mean()
    square = float(away @ away)
    slope = float(away @ y) / square if square else 0.0
    return slope, float(y.mean()) - slope * float(x.mean())


def _thinned(numbers: torch.Tensor) -> torch.Tensor:
    """(M, ...) -> at most `_MOST` of them, evenly."""
    return numbers[torch.linspace(0, len(numbers) - 1, min(len(numbers), _MOST)).round().long()]


def _energies(normalised: torch.Tensor) -> torch.Tensor:
    """(B, C + 1, H, W) -> (B, D)."""
    with torch.no_grad():
        energies: torch.Tensor = OrientationEnergy()(normalised[:, :-1], normalised[:, -1:])
    return energies.flatten(1)


def _ridge(features: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (D, T) and constant (T,) of standardised features (M, D), solved between scans: they are fewer."""
    mean, deviation = features.mean(dim=0), features.std(dim=0, correction=0).clamp(min=1e-3)
    scaled, target = (features - mean) / deviation, wanted.mean(dim=0)
    likeness = (scaled @ scaled.T).double()
    likeness += _PENALTY * likeness.diagonal().mean() * torch.eye(len(likeness), device=likeness.device)
    each = torch.linalg.solve(likeness, (wanted - target).double()).float()
    weights = scaled.T @ each / deviation[:, None]
    return weights, target - mean @ weights
