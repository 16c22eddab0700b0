"""Train any network on an easy set for a few steps: six classes that differ by a strong, simple pattern.

Nothing is read or written but the trees, and `fer3d.train.loop.fit` does the training, as in `fer3d train`.
`tests/train/test_learns.py` asks that the loss falls, `benchmarks/bm_learns.py` prints the tables.
"""

from pathlib import Path
from unittest import mock

import numpy as np
import torch

from fer3d.catalog.targets import ClassTarget
from fer3d.config import TextureSettings
from fer3d.data.channels import channel_names
from fer3d.data.input_kinds import input_kind
from fer3d.data.samples import MapData, labelled_rows
from fer3d.models import build_model, network_class
from fer3d.models.texture_network import TextureNetwork
from fer3d.train import loop
from fer3d.train.run import Device, _fabric
from fer3d.train.settings import train_settings
from tests.prepared import SIX
from tests.prepared_trees import settings_for, write_prepared_trees

# The smallest pictures that a network takes, or that are worth it; of the others see `pixels_of`.
PIXELS = {"alexnet": 32, "vgg-11": 32, "vgg-16": 32}
_SMALL = 24


def pixels_of(name: str) -> int:
    """Rows and columns of the pictures that a network for pictures is tried with."""
    return PIXELS.get(name, _SMALL)


def easy_maps(groups: tuple[str, ...], scans: int, size: int = _SMALL) -> MapData:
    """Maps with a horizontal bar whose height is that of the class, equal in all channels, and noise.

    Args:
        groups: Map groups.
        scans: Number of scans; the six classes take turns.
        size: Rows and columns.
    """
    random = np.random.default_rng(0)
    rows, channels = np.arange(size)[:, None], len(channel_names(groups))
    labels = np.arange(scans) % len(SIX)
    bars = np.stack([np.exp(-(((rows - size * (k + 1) / 7) / (size / 14)) ** 2)) * np.ones((1, size)) for k in labels])
    values = bars[:, None] + 0.1 * random.standard_normal((scans, channels, size, size))
    if groups == ("texture",):
        values = np.clip(0.2 + 0.5 * values, 0.0, 1.0)
    whole = np.concatenate([values, np.ones((scans, 1, size, size))], axis=1)
    return MapData(
        inputs=groups,
        target=ClassTarget("expression", SIX),
        labels=torch.from_numpy(labels.astype(np.int64)),
        rows=tuple({"id": str(k), "subject": str(k), "landmark_names": [], "landmarks": []} for k in range(scans)),
        digests=tuple(map(str, range(scans))),
        preprocess={"size": size},
        values=torch.from_numpy(whole.astype(np.float16)),
        pixel=180.0 / size,
    )


def easy_trees(folder: Path, name: str, settings):
    """Sample trees of surfaces with a bump whose place is that of the class, as a network reads them."""
    trees = settings_for(name)
    folder = folder / str(len(trees.tree_levels))
    if not folder.is_dir():
        write_prepared_trees(folder, ("F0001", "M0001"), settings=trees)
    return input_kind("trees").load([(folder, labelled_rows(folder))], settings, SIX)


def learn(name: str, folder: Path, *, scans: int = 24, on_warning=None, **changes):
    """The rows of the log of a network that is trained by the package's recipe, but for `changes`.

    Args:
        name: Name of the network.
        folder: For the trees, made when they are first needed.
        scans: Number of scans with maps.
        on_warning: See `fer3d.train.loop.fit`.
        changes: Settings of training, such as epochs and batch, or `model`, a dict of the network's own.
    """
    kind = network_class(name)
    own = {"pixels": pixels_of(name)} if issubclass(kind, TextureNetwork) else {}
    settings = train_settings(name, model=own | changes.pop("model", {}), **{"recipe": "ours", **changes})
    if isinstance(settings.model, TextureSettings):
        size = own.get("pixels", _SMALL)
        data = easy_maps(settings.model.groups, scans, size)
    else:
        data = easy_trees(folder, name, settings.model)
    torch.manual_seed(settings.seed)
    network = build_model(name, **kind.arguments(settings.model, len(SIX), data.shape))
    rows = torch.arange(len(data.rows))
    with mock.patch.object(loop, "save_state"):  # hundreds of MB an epoch
        return loop.fit(
            _fabric(Device("cpu"), settings),
            network,
            data,
            loop.Split(rows, rows[:0]),
            data.fit_normalisation(rows),
            settings,
            name="r00f00",
            key=(0, 0),
            state_file=folder / "last.ckpt",
            identity={},
            on_epoch_end=lambda row: None,
            on_warning=on_warning or (lambda text, last: None),
        )
