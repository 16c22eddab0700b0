"""The weights of the detector: one safetensors file, which ships in the package; and its calibration.

The weights are stored as float16. The header holds, as JSON under the key `fer3d`, the format, the names of the points,
the calibration of the confidences, and how the weights were trained.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn
from typing_extensions import TypedDict

from fer3d.errors import CheckpointError
from fer3d.files import brief_line, checked, parse_json, read_bytes, write_bytes
from fer3d.landmarks import POINT_NAMES
from fer3d.prepare.landmarks.calibration import Calibration
from fer3d.prepare.landmarks.find import Detector
from fer3d.prepare.landmarks.networks import FaceFinder, PointPlacer, fused
from fer3d.prepare.landmarks.shape_model import ShapeModel

FORMAT = 2
SHIPPED_PATH = Path(__file__).with_name("detector.safetensors")
_AGAIN = "train it again with `fer3d train landmarks`"
_Numbers = list[Annotated[float, Field(allow_inf_nan=False)]]


class Header(TypedDict):
    """What the header of the file holds."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    format: int
    points: list[str]
    calibration: dict[str, _Numbers]
    training: dict[str, Any]


@lru_cache(maxsize=1)
def shipped() -> Detector:
    """The detector of the package, read once per process.

    Raises:
        CheckpointError: if the file is damaged or missing.
    """
    return load(SHIPPED_PATH)


def save(detector: Detector, path: str | os.PathLike[str], training: dict[str, Any]) -> None:
    """Write a detector.

    Args:
        detector: Networks as `rounded` returns them, and calibration.
        path: File to write.
        training: How the weights were trained.

    Raises:
        FileError: if the file cannot be written.
    """
    from safetensors.torch import save as packed

    tensors = {f"shape.{name}": torch.from_numpy(getattr(detector.shape, name)).half() for name in ("mean", "modes")}
    tensors |= {
        f"{name}.{key}": value.half().contiguous()
        for name, network in (("finder", detector.finder), ("placer", detector.placer))
        for key, value in network.state_dict().items()
    }
    header = {
        "format": FORMAT,
        "points": list(POINT_NAMES),
        "calibration": detector.calibration.facts(),
        "training": training,
    }
    write_bytes(path, packed(tensors, {"fer3d": json.dumps(header, sort_keys=True)}))


def load(path: str | os.PathLike[str]) -> Detector:
    """Read a detector that `save` wrote.

    Raises:
        FileError: if the file cannot be opened.
        CheckpointError: if it holds no detector of this version.
    """
    from safetensors.torch import load as unpacked

    content = read_bytes(path)
    try:
        tensors = unpacked(content)
        length = int.from_bytes(content[:8], "little")
        text = json.loads(content[8 : 8 + length]).get("__metadata__", {}).get("fer3d", "")
    except Exception as error:  # the decoder of damaged files raises nearly everything
        raise CheckpointError(
            f"{path}: weights of the landmark detector were wanted: {brief_line(str(error))}"
        ) from None
    header: Header = checked(parse_json(text, str(path), _AGAIN), Header, str(path), _AGAIN, CheckpointError)
    if header["format"] != FORMAT or tuple(header["points"]) != POINT_NAMES:
        raise CheckpointError(f"{path}: weights for other points than this version places; {_AGAIN}")
    calibration = Calibration.of(header["calibration"], path)
    finder, placer = FaceFinder().eval(), PointPlacer(len(POINT_NAMES)).eval()
    for name, network in (("finder", finder), ("placer", placer)):
        _fill(
            fused(network),
            {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")},
            path,
        )
    return Detector(finder, placer, _shape(tensors, path), calibration)


def _shape(tensors: dict[str, Tensor], path: str | os.PathLike[str]) -> ShapeModel:
    """The shape model of a weight file."""
    count = len(POINT_NAMES)
    mean, modes = (tensors.get(f"shape.{name}", torch.empty(0)).double().numpy() for name in ("mean", "modes"))
    good = mean.shape == (count, 3) and modes.ndim == 3 and modes.shape[1:] == mean.shape and len(modes)
    if not (good and np.isfinite(mean).all() and np.isfinite(modes).all()):
        raise CheckpointError(f"{path}: `shape` should hold the mean and the modes of {count} points; {_AGAIN}")
    return ShapeModel(mean, modes)


def _fill(network: nn.Module, tensors: dict[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Load weights into a network."""
    wanted = {k: v.shape for k, v in network.state_dict().items()}
    if wanted != {k: v.shape for k, v in tensors.items()} or not all(torch.isfinite(v).all() for v in tensors.values()):
        raise CheckpointError(f"{path}: the weights do not fit the network, or are not finite; {_AGAIN}")
    network.load_state_dict({k: v.float() for k, v in tensors.items()})
    network.requires_grad_(False)


def rounded(detector: Detector) -> Detector:
    """The detector as it is after `save` and `load`: fused, with rounded weights; its networks are changed."""
    for network in (detector.finder, detector.placer):
        fused(network.eval()).requires_grad_(False)
        network.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
    parts = (detector.shape.mean, detector.shape.modes)
    return replace(detector, shape=ShapeModel(*(part.astype(np.float16).astype(np.float64) for part in parts)))
