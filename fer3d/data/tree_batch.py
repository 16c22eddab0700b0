"""Converts sample trees of scans to the input of a network on the surface: channels of vertices, and stencils.

The store holds physical units with NaN where nothing was measured. `TreeBatch` holds several scans in those units with
NaN replaced, so that augmentation can bend the surface; `TreeNormalisation` then selects the channels that the network
takes and brings each to zero mean and unit standard deviation.

NaN in a channel of a vertex means that its neighbourhood was too small to fit a surface, or, for the shape index, that
it is flat. Both are replaced by the values of a flat surface: shape index 0.5 and curvatures 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fer3d.errors import ArgumentError
from fer3d.landmarks import MIRRORED, SCHEMES
from fer3d.maps.standard import CURVATURE, NORMAL
from fer3d.tree.sample_tree import CHANNELS, SampleTree

POSITION = ("x", "y", "z")

# Name of a setting `vertex_features` -> its channels. "invariant": invariant to rotation [D]. "xyz": positions, normals
# and the shape index, the 2018 setting of FLM-CNN's first author [F: papers3d 1.2]; rotating the head changes them.
VERTEX_FEATURES: Mapping[str, tuple[str, ...]] = {
    "invariant": CHANNELS,
    "xyz": (*POSITION, *NORMAL.stored_names, "shape_index"),
}

# Row i of a top level of landmarks, those of iBUG, is row `_OTHER_SIDE[i]` on the other side of the face.
_OTHER_SIDE = [SCHEMES["ibug68"].index(MIRRORED[name]) for name in SCHEMES["ibug68"]]

HALF_CURVEDNESS = 0.05  # 1/mm, see `TreeNormalisation`: a radius of 20 mm becomes the middle of the scale


class TreeBatch(NamedTuple):
    """B scans, padded to the largest.

    Row i of level l + 1 is row i of level l, so positions and normals of level 0 are valid for every level.

    Attributes:
        values: (B, N, C) float32: `tree.CHANNELS` in physical units, or the channels of `TreeNormalisation` after its
            `apply`.
        positions: (B, N, 3) float32, mm, row 0 the nose tip.
        normals: (B, N, 3) float32.
        indices: One tensor per transition, (B, V, S, R, A, 3) int32, as `SampleTree.indices`.
        weights: One tensor per transition, of the same shape, float32. A padding row has masked samples only.
        real: (B, V) bool, for the top level: false for padding rows.
        order: (B, 68) int64, where the top level is landmarks: the row of each. A mirror image exchanges those of the
            left and of the right, but moves no row. Else None.
    """

    values: torch.Tensor
    positions: torch.Tensor
    normals: torch.Tensor
    indices: tuple[torch.Tensor, ...]
    weights: tuple[torch.Tensor, ...]
    real: torch.Tensor
    order: torch.Tensor | None = None

    def to(self, device: torch.device | str) -> TreeBatch:
        """The same batch on a device."""
        return TreeBatch(
            self.values.to(device),
            self.positions.to(device),
            self.normals.to(device),
            tuple(part.to(device) for part in self.indices),
            tuple(part.to(device) for part in self.weights),
            self.real.to(device),
            None if self.order is None else self.order.to(device),
        )

    def rows(self, which: torch.Tensor) -> TreeBatch:
        """The batch of the scans `which`, (M,) int64, with indices as int32 and weights as float32."""
        return TreeBatch(
            self.values[which],
            self.positions[which],
            self.normals[which],
            tuple(part[which].int() for part in self.indices),
            tuple(part[which].float() for part in self.weights),
            self.real[which],
            None if self.order is None else self.order[which],
        )

    @property
    def nbytes(self) -> int:
        """Size of all tensors in bytes."""
        return sum(t.numel() * t.element_size() for t in (*self[:3], *self.indices, *self.weights, self.real))


def real_rows(batch: TreeBatch, stage: int) -> torch.Tensor:
    """(B, V) bool: the rows of the level above transition `stage` that are not padding."""
    return (batch.weights[stage][:, :, :, 0] != 0).flatten(2).any(dim=-1)


def stack_trees(trees: Sequence[SampleTree]) -> TreeBatch:
    """Stack several scans into one batch with compact types: indices int16 or int32, weights float16.

    Raises:
        ArgumentError: if there is no tree, a tree has no features, or the stencils differ.
    """
    if not trees:
        raise ArgumentError("`trees` should hold at least one, holds none")
    sizes = [max(column) for column in zip(*(tree.sizes for tree in trees), strict=True)]
    return fill_batch(len(trees), sizes, trees)


def fill_batch(count: int, sizes: Sequence[int], trees: Iterable[SampleTree]) -> TreeBatch:
    """As `stack_trees`, for an iterator of trees, so that gigabytes are not in memory twice.

    Args:
        count: Number of trees.
        sizes: For each level, the largest number of vertices in any tree.
        trees: The trees of the scans.
    """
    batch: TreeBatch | None = None
    wanted: dict[str, object] = {}
    for row, tree in enumerate(trees):
        if tree.normals is None or tree.channels is None:
            raise ArgumentError("`trees` should have features, see `SampleTree.with_features`; one has none")
        if batch is None:
            wanted, shape = stencils_of(tree), tree.indices[0].shape[1:]
            small = torch.int16 if sizes[0] <= 1 << 15 else torch.int32
            batch = TreeBatch(
                torch.zeros(count, sizes[0], len(CHANNELS)),
                torch.zeros(count, sizes[0], 3),
                torch.zeros(count, sizes[0], 3),
                tuple(torch.zeros(count, size, *shape, dtype=small) for size in sizes[1:]),
                tuple(torch.zeros(count, size, *shape, dtype=torch.float16) for size in sizes[1:]),
                torch.zeros(count, sizes[-1], dtype=torch.bool),
                torch.arange(len(_OTHER_SIDE)).repeat(count, 1) if tree.landmarks else None,
            )
        if tree.landmarks and tree.sizes[-1] < len(_OTHER_SIDE):
            raise ArgumentError(
                f"`trees` of landmarks should have {len(_OTHER_SIDE)} at the top, one has {tree.sizes[-1]} points"
            )
        if stencils_of(tree) != wanted:
            raise ArgumentError(f"`trees` should have the same stencils, {wanted}, one has {stencils_of(tree)}")
        put_tree(batch, row, tree)
    assert batch is not None
    return batch


def join_trees(batches: Sequence[TreeBatch]) -> TreeBatch:
    """Concatenate batches, padded to the largest. ArgumentError if there is no batch, or their stencils differ."""
    if not batches or len({tuple(part.shape[2:] for part in batch.indices) for batch in batches}) != 1:
        raise ArgumentError("`batches` should hold at least one, all with stencils of one shape")

    def joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
        count = max(part.shape[1] for part in parts)
        return torch.cat([_padded(part, count) for part in parts])

    return TreeBatch(
        joined([batch.values for batch in batches]),
        joined([batch.positions for batch in batches]),
        joined([batch.normals for batch in batches]),
        tuple(joined(parts) for parts in zip(*(batch.indices for batch in batches), strict=True)),
        tuple(joined(parts) for parts in zip(*(batch.weights for batch in batches), strict=True)),
        joined([batch.real for batch in batches]),
        None if batches[0].order is None else torch.cat([batch.order for batch in batches if batch.order is not None]),
    )


def _padded(part: torch.Tensor, count: int) -> torch.Tensor:
    """(B, n, ...) -> (B, count, ...), padded with zeros at the end."""
    more = part.new_zeros(part.shape[0], count - part.shape[1], *part.shape[2:])
    return torch.cat([part, more], dim=1)


def put_tree(batch: TreeBatch, row: int, tree: SampleTree) -> None:
    """Write one scan into row `row` of a batch that is large enough."""
    assert tree.normals is not None and tree.channels is not None
    count = tree.sizes[0]
    batch.values[row, :count] = torch.from_numpy(filled(tree.channels))
    batch.positions[row, :count] = torch.from_numpy(tree.positions)
    batch.normals[row, :count] = torch.from_numpy(tree.normals)
    for level, (indices, weights) in enumerate(zip(tree.indices, tree.weights, strict=True)):
        batch.indices[level][row, : len(indices)] = torch.from_numpy(indices.astype(np.int32))
        batch.weights[level][row, : len(weights)] = torch.from_numpy(weights)
    batch.real[row, : tree.sizes[-1]] = True


def stencils_of(tree: SampleTree) -> dict[str, object]:
    """What must be equal for all scans that one network reads: radii, rings and rays of the stencils, and `landmarks`
    where the top level is landmarks."""
    stencils = {"radii": [list(span) for span in tree.radii], "rings": list(tree.rings), "rays": tree.rays}
    return stencils | ({"landmarks": True} if tree.landmarks else {})


def filled(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """(V, 4) `tree.CHANNELS` with NaN replaced by the values of a flat surface, see the module."""
    flat = np.array([channel.flat or 0.0 for channel in CURVATURE.stored], np.float32)
    values: NDArray[np.float32] = np.where(np.isnan(channels), flat, channels)
    return values


@dataclass(frozen=True)
class TreeNormalisation:
    """Mean and standard deviation of every channel over the vertices of the training scans.

    Convention: curvatures are compressed first, so that boundaries, which are ten times as curved as any face, do not
    determine the scale. Curvedness c becomes c / (c + h) with h = `HALF_CURVEDNESS` [D]; mean curvature is compressed
    in the same way and keeps its sign; so is the signed square root of the Gaussian curvature, which is in 1/mm too.

    Attributes:
        channels: C names.
        mean, deviation: C numbers each.
    """

    channels: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def fit(cls, channels: Sequence[str], data: TreeBatch, rows: torch.Tensor) -> TreeNormalisation:
        """Measure mean and deviation on the scans `rows`, (M,) int64, which must be training scans only."""
        total = torch.zeros(3, len(channels), dtype=torch.float64)
        for part in torch.split(rows, 64):
            part = part.to(data.values.device)
            picked = pick(channels, data.values[part], data.positions[part], data.normals[part])
            real = (data.normals[part] != 0).any(dim=-1, keepdim=True)  # padding rows have zero normals
            picked = (picked * real).double()
            sums = (real.sum().double().expand(len(channels)), picked.sum((0, 1)), (picked * picked).sum((0, 1)))
            total += torch.stack([part.cpu() for part in sums])
        count, first, second = total
        mean = first / count.clamp(min=1)
        deviation = (second / count.clamp(min=1) - mean**2).clamp(min=0).sqrt().clamp(min=1e-3)
        return cls(tuple(channels), tuple(mean.tolist()), tuple(deviation.tolist()))

    def apply(self, batch: TreeBatch) -> TreeBatch:
        """The batch with `values` (B, N, C) selected and normalised for a network."""
        mean = torch.tensor(self.mean, device=batch.values.device)
        deviation = torch.tensor(self.deviation, device=batch.values.device)
        picked = pick(self.channels, batch.values, batch.positions, batch.normals)
        return batch._replace(values=(picked - mean) / deviation)

    def mirrored(self, batch: TreeBatch) -> TreeBatch:
        """The mirror images of a normalised batch."""
        batch = mirror(batch, torch.ones(len(batch.values), dtype=torch.bool, device=batch.values.device))
        signs = [_mirror_sign(name) for name in self.channels]
        values = batch.values
        if -1.0 in signs:
            sign = torch.tensor(signs, device=values.device)
            shift = torch.tensor(self.mean, device=values.device) / torch.tensor(self.deviation, device=values.device)
            values = sign * values + (sign - 1.0) * shift  # mirrored channels: v -> ((-(v d + m)) - m) / d
        return batch._replace(values=values)


def pick(channels: Sequence[str], values: torch.Tensor, positions: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """(B, N, C): the named channels, curvatures compressed as described in `TreeNormalisation`."""
    picked = []
    for name in channels:
        if name in POSITION:
            picked.append(positions[..., POSITION.index(name)])
        elif name in NORMAL.stored_names:
            picked.append(normals[..., NORMAL.stored_names.index(name)])
        else:
            value, power = values[..., CHANNELS.index(name)], CURVATURE.channel(name).power
            if power == -2:
                value = value.sign() * value.abs().sqrt()
            if power != 0:
                value = value / (value.abs() + HALF_CURVEDNESS)
            picked.append(value)
    return torch.stack(picked, dim=-1)


def _mirror_sign(name: str) -> float:
    """1, or -1 for a channel whose sign the mirror changes."""
    if name in POSITION:
        return -1.0 if name == POSITION[0] else 1.0
    return float((NORMAL if name in NORMAL.stored_names else CURVATURE).channel(name).mirror)


def mirror(batch: TreeBatch, which: torch.Tensor) -> TreeBatch:
    """Mirror the scans `which`, (B,) bool, of a batch, x -> -x: ray a of every stencil becomes ray -a mod A.

    The tree of a mirrored scan has the same vertices in the same order; where its top level is landmarks, `order` then
    has those of the left where those of the right were. Ray 0 points away from the nose tip before and
    after, and counter-clockwise becomes clockwise. At the nose tip itself ray 0 is arbitrary: there the mirror is exact
    only for networks that take the maximum over rotations.
    """
    if not bool(which.any()):
        return batch
    sign = torch.ones(len(which), 1, 3, device=which.device)
    sign[which, :, 0] = -1.0

    def turned(part: torch.Tensor) -> torch.Tensor:
        rays = part.shape[4]
        order = (-torch.arange(rays, device=part.device)) % rays
        part = part.clone()
        part[which] = part[which][:, :, :, :, order]
        return part

    return batch._replace(
        positions=batch.positions * sign,
        normals=batch.normals * sign,
        indices=tuple(turned(part) for part in batch.indices),
        weights=tuple(turned(part) for part in batch.weights),
        order=None if batch.order is None else torch.where(which[:, None], batch.order[:, _OTHER_SIDE], batch.order),
    )
