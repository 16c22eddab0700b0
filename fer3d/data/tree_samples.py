"""`TreeData`: the sample trees of prepared scans, from which batches for networks on the surface are taken."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d.catalog.targets import Target
from fer3d.checks import within
from fer3d.config import TrainSettings, TreeSettings
from fer3d.data.augment_trees import augment, draw
from fer3d.data.samples import Sources, TrainingData, check_same_recipe, check_sources, stored_settings, targets_of
from fer3d.data.tree_batch import VERTEX_FEATURES, TreeBatch, TreeNormalisation, fill_batch, stencils_of
from fer3d.errors import ArgumentError, FormatError
from fer3d.prepare.integrity import AGAIN
from fer3d.prepare.store import header_for, open_scan, read_tree
from fer3d.tree.one_level import all_points, one_level
from fer3d.tree.sample_tree import SampleTree


@dataclass(frozen=True, eq=False)
class TreeData(TrainingData):
    """N scans as sample trees; `inputs` holds the key of `VERTEX_FEATURES` that the network takes.

    Attributes:
        trees: All scans as one batch, indices int16 or int32 and weights float16.
        stencils: Radii, rings and rays, see `fer3d.data.tree_batch.stencils_of`.
        blocks: The radii of each transition of the trees as they were prepared, and the number of points of their top
            level: arguments of networks that read all points on one level.
    """

    trees: TreeBatch
    stencils: Mapping[str, Any]
    blocks: Mapping[str, Any]

    @property
    def channels(self) -> tuple[str, ...]:
        """The C names."""
        return VERTEX_FEATURES[self.inputs[0]]

    @property
    def nbytes(self) -> int:
        """Size of the trees in bytes."""
        return self.trees.nbytes

    @property
    def shape(self) -> Mapping[str, Any]:
        """Radii, rings and rays of the stencils, radii of the blocks, and the number of points of the top level."""
        return {**self.stencils, **self.blocks}

    @property
    def pixel_mm(self) -> None:
        """None: there are no pixels."""
        return

    def to(self, device: torch.device | str) -> TreeData:
        """The same scans on a device."""
        return replace(self, trees=self.trees.to(device), labels=self.labels.to(device))

    def take(self, rows: torch.Tensor, device: torch.device) -> TreeBatch:
        """The scans in `rows`, indices as int32 and weights as float32."""
        return self.trees.rows(rows.to(self.trees.values.device)).to(device)

    def draw(self, settings: TrainSettings, count: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """As `fer3d.data.augment_trees.draw`."""
        return draw(settings, count, self.trees.values.shape[1], generator)

    def augment(self, batch: TreeBatch, draws: Mapping[str, torch.Tensor]) -> TreeBatch:
        """As `fer3d.data.augment_trees.augment`."""
        return augment(batch, draws)

    def fit_normalisation(self, rows: torch.Tensor) -> TreeNormalisation:
        """The normalisation, measured on the vertices of level 0 of `rows`."""
        return TreeNormalisation.fit(self.channels, self.trees, rows)


def load_trees(
    sources: Sources,
    settings: TreeSettings,
    target: Target | Sequence[str],
    *,
    levels: Literal["all", "second", "finest"] | None = None,
) -> TreeData:
    """Read the sample trees of scans.

    Args:
        sources: Prepared folders, each with the manifest rows to read.
        settings: Of the network: which channels it takes, and which levels.
        target: What is predicted for a scan, see `fer3d.data.samples.load`.
        levels: What to read of a tree, see `fer3d.config.TreeSettings.levels`. None: as `settings` say.

    Raises:
        ArgumentError: if the scans were prepared without trees, or not all in the same way.
        FileError, FormatError: if a scan file is missing or damaged.
    """
    check_sources(sources)
    recipes = [(folder, header_for(folder, rows[0])) for folder, rows in sources]
    for folder, header in recipes:
        check_same_recipe(recipes[0][0], recipes[0][1], folder, header)
    pairs = [(folder, row) for folder, rows in sources for row in rows]
    digests: list[str] = []
    kinds: list[Mapping[str, Any]] = []

    def read() -> Iterator[SampleTree]:
        for folder, row in pairs:
            tree = read_tree(folder, row)
            digests.append(hashlib.blake2b(tree.positions.tobytes() + tree.rows.tobytes(), digest_size=16).hexdigest())
            if wanted != "all":
                tree = flattened(tree, *_mesh(folder, row), wanted, settings.flat_radii(radii))
            kinds[:] = [stencils_of(tree)]
            yield tree

    wanted = levels or settings.levels
    facts = [_tree_facts(folder, row) for folder, row in pairs]
    numbers: list[list[int]] = [list(found["sizes"]) for found in facts]
    radii: list[list[float]] = [list(span) for span in facts[0]["radii_mm"]]
    blocks = {"block_radii": radii, "points": numbers[0][-1]}
    for (folder, row), sizes in zip(pairs, numbers, strict=True):
        if len(sizes) != len(numbers[0]):
            raise ArgumentError(
                f"{folder}: {row['id']} should have {len(numbers[0])} levels, has {len(sizes)}; {AGAIN}"
            )
    if wanted != "all":
        numbers = [[sizes[0 if wanted == "finest" else -2]] * 2 for sizes in numbers]
    sizes = [max(column) for column in zip(*numbers, strict=True)]
    trees = fill_batch(len(pairs), sizes, read())
    return TreeData(
        inputs=(settings.vertex_features,),
        **targets_of(target, [row for _, row in pairs]),
        rows=tuple(row for _, row in pairs),
        digests=tuple(digests),
        preprocess=stored_settings(recipes[0][1]),
        trees=trees,
        stencils=kinds[0],
        blocks=blocks,
    )


def flattened(
    tree: SampleTree, vertices: NDArray[np.float32], faces: NDArray[np.int32], levels: str, radii: Sequence[float]
) -> SampleTree:
    """The one level of a tree that a network reads: "finest", with stencils of these radii, or "second"."""
    return all_points(tree, vertices, faces, radii) if levels == "finest" else one_level(tree, vertices, faces)


def _tree_facts(folder: Path, row: Mapping[str, Any]) -> Mapping[str, Any]:
    facts: Mapping[str, Any] | None = header_for(folder, row).get("tree")
    if facts is None:
        raise ArgumentError(
            f"{folder}: the model reads sample trees, {row['id']} has none; prepare the scans again with "
            "`fer3d preprocess --tree`"
        )
    return facts


def _mesh(folder: Path, row: Mapping[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    with open_scan(folder, row) as file:
        prefix = row["prefix"]
        if prefix + "vertices" not in file.keys():  # noqa: SIM118  (a handle, not a dict)
            raise ArgumentError(
                f"{folder}: the stencils of a model without a tree are traced on the scans' meshes, which were not "
                "kept; prepare them again with `--set keep_mesh=true`"
            )
        vertices, faces = file.get_tensor(prefix + "vertices"), file.get_tensor(prefix + "faces")
    if not np.isfinite(vertices).all() or (faces.size and not within(faces, 0, len(vertices))):
        raise FormatError(f"{folder / row['file']}: the mesh of {row['id']} is damaged; {AGAIN}")
    return vertices, faces
