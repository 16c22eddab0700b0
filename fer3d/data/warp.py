"""`FaceWarp`: an affine warp of a face's maps that moves its eyes and nose to their mean positions.

Alignment (`fer3d.prepare.align`) rotates and moves a face but keeps its size. A network with separate weights for every
location then sees the mouth of a long face where a short face has its chin, and cannot learn to separate the two from a
few dozen people. The landmarks of the training scans determine the warp of each; a regression from maps to warps is
learned from the same scans, so that new scans need no landmarks. All of this is our choice [D]; on 110 simulated people
kept for tuning, split in halves twice, it gained `oriented-fusion` two and three points of accuracy.
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
from fer3d.data.picture_stack import PictureStack
from fer3d.errors import ArgumentError
from fer3d.ops.orientation_energy import OrientationEnergy
from fer3d.prepare.store import manifest_landmarks

# The landmarks that expressions move least: the corners of the eyes and the base of the nose.
EYES = ("exocanthion_left", "endocanthion_left", "endocanthion_right", "exocanthion_right")
NOSE = ("alare_left", "alare_right", "subnasale")

_SHARE = 0.5  # share of the scans that must have these landmarks for maps to be warped by default
_PENALTY = 0.1  # penalty of the ridge regression, as a share of the mean square of a scan's features
_LEAST = 8  # minimum number of scans with these landmarks
_MOST = 2000  # maximum number of scans, as the regression solves a system of this size
_BATCH = 64


@dataclass(frozen=True, eq=False)
class FaceWarp:
    """Predicts from maps the affine warp that aligns a face with the mean training face, and applies it to the maps.

    The prediction is a ridge regression on the orientation energies of all channels (`OrientationEnergy`), learned from
    the training scans and their mirror images.

    Attributes:
        before: Normalisation of the maps before the warp, from which energies are computed.
        weights: (D, 3) float32.
        constant: (3,) float32.
        low, high: (3,) float32: minimum and maximum over the training scans, to which predicted warps are clipped.
    """

    before: Normalisation
    weights: torch.Tensor
    constant: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    @classmethod
    def fit(
        cls, channels: Sequence[str], values: torch.Tensor | PictureStack, rows: torch.Tensor, warps: torch.Tensor
    ) -> FaceWarp:
        """Learn the regression.

        Args:
            channels: C names.
            values: (N, C + 1, H, W), as `fer3d.data.channels.stack_channels` returns them, or pictures.
            rows: (M,) int64, rows of the training scans only.
            warps: (M, 3), as `landmark_warps` returns them; scans with NaN are left out.

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
        """(B, C + 1, H, W) in physical units -> the same shape, float16, warped by `fer3d.data.augment_maps.augment`.

        Args:
            values: As `fer3d.data.channels.stack_channels` returns them.
            pixel: Width of a pixel, mm.
        """
        return apply_warps(self.before.channels, values, self.predict(values), pixel).half()

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """The arguments of `from_state`: values that JSON can hold, and tensors."""
        tensors = {"weights": self.weights, "constant": self.constant, "low": self.low, "high": self.high}
        return asdict(self.before), tensors

    @classmethod
    def from_state(cls, facts: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> FaceWarp:
        """The inverse of `state`.

        Raises:
            TypeError: if a value is missing or unexpected.
            ValueError: if the shape of a tensor does not match the channels.
        """
        before = Normalisation.from_json(facts)
        warp, energy = cls(before, **tensors), OrientationEnergy()
        features = len(before.channels) * energy.directions * energy.cells**2
        for name, wanted in {"weights": (features, 3), "constant": (3,), "low": (3,), "high": (3,)}.items():
            if tensors[name].shape != wanted:
                raise ValueError(f"{name} should have shape {wanted}, has {tuple(tensors[name].shape)}")
        return warp


def landmark_warps(rows: Sequence[Mapping[str, Any]], train: torch.Tensor) -> torch.Tensor:
    """The warps that move the landmarks of faces to the mean landmarks of the training scans.

    Least squares fit the corners of the eyes along x, and the corners of the eyes and the base of the nose along y,
    where a shift is fitted too.

    Args:
        rows: N manifest rows.
        train: (M,) int64: the training scans, from which the mean is computed and whose warps are returned.

    Returns:
        (M, 3) float64: log stretch along x and y, then shift along y in mm. NaN for scans that lack a corner of an eye
        or have no landmark of the base of the nose.
    """
    names = (*EYES, *NOSE)
    points = np.full((len(train), len(names), 2), np.nan)
    for number, index in enumerate(train.tolist()):
        found = manifest_landmarks(rows[index])
        for place, name in enumerate(names):
            if name in found:
                points[number, place] = found[name][:2]
    complete = np.isfinite(points[:, : len(EYES)]).all(axis=(1, 2)) & np.isfinite(points[:, len(EYES) :, 1]).any(axis=1)
    warps = np.full((len(train), 3), np.nan)
    if complete.any():
        count = np.isfinite(points[complete]).sum(axis=0)
        mean = np.nansum(points[complete], axis=0) / np.maximum(count, 1)
        warps[complete] = [_warp(scan, mean) for scan in points[complete]]
    return torch.from_numpy(warps)


def landmarks_suffice(warps: torch.Tensor) -> bool:
    """Whether at least half of the scans, and at least 8, have a warp; `warps` is (M, 3) from `landmark_warps`."""
    having = int(torch.isfinite(warps).all(dim=1).sum())
    return having >= max(_LEAST, _SHARE * len(warps))


def apply_warps(channels: Sequence[str], values: torch.Tensor, warps: torch.Tensor, pixel: float) -> torch.Tensor:
    """Apply warps (B, 3), as from `landmark_warps`, to maps (B, C + 1, H, W) in physical units; float32."""
    draws = unchanged(len(values))
    draws["stretch"][:, :2] = warps[:, :2].exp()
    draws["shift"][:, 1] = warps[:, 2]
    return augment(channels, values, draws, pixel)


def _warp(scan: NDArray[np.float64], mean: NDArray[np.float64]) -> tuple[float, float, float]:
    """The warp of one scan, from its (7, 2) landmarks, some of which may be NaN, and the mean landmarks."""
    eyes, there = slice(len(EYES)), np.isfinite(scan[:, 1])
    across, _ = _line(mean[eyes, 0], scan[eyes, 0])
    along, offset = _line(mean[there, 1], scan[there, 1])
    if not (across > 0 and along > 0):  # for instance eyes below the nose: the landmarks are wrong
        return np.nan, np.nan, np.nan
    return -np.log(across), -np.log(along), -offset / along


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of the least squares line through the points (x, y); slope 0 if all x are equal."""
    away = x - x.mean()
    square = float(away @ away)
    slope = float(away @ y) / square if square else 0.0
    return slope, float(y.mean()) - slope * float(x.mean())


def _thinned(numbers: torch.Tensor) -> torch.Tensor:
    """(M, ...) -> at most `_MOST` evenly spaced rows."""
    return numbers[torch.linspace(0, len(numbers) - 1, min(len(numbers), _MOST)).round().long()]


def _energies(normalised: torch.Tensor) -> torch.Tensor:
    """Normalised maps (B, C + 1, H, W) -> orientation energies (B, D)."""
    with torch.no_grad():
        energies: torch.Tensor = OrientationEnergy()(normalised[:, :-1], normalised[:, -1:])
    return energies.flatten(1)


def _ridge(features: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (D, T) and constant (T,) for features (M, D); solves the M x M dual system, as M is less than D."""
    mean, deviation = features.mean(dim=0), features.std(dim=0, correction=0).clamp(min=1e-3)
    scaled, target = (features - mean) / deviation, wanted.mean(dim=0)
    gram = (scaled @ scaled.T).double()
    gram += _PENALTY * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
    dual = torch.linalg.solve(gram, (wanted - target).double()).float()
    weights = scaled.T @ dual / deviation[:, None]
    return weights, target - mean @ weights
