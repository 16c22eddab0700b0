"""Move the vertices of a glTF mesh as its node says: morph targets, the joints of a skin, instances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer3d.formats.gltf_accessors import FLOAT, Accessors
from fer3d.formats.gltf_container import Document
from fer3d.formats.gltf_meshes import Group
from fer3d.formats.gltf_nodes import Nodes, Placement, rotations, units
from fer3d.formats.gltf_tree import Entry

_ROWS = 1 << 16  # vertices that are blended at a time
_SUM = 0.02  # how far the weights of a vertex may be from 1 by rounding

_VEC3 = (("VEC3", FLOAT, False),)
_VEC4 = (("VEC4", FLOAT, False), ("VEC4", 5120, True), ("VEC4", 5122, True))
_MAT4 = (("MAT4", FLOAT, False),)


@dataclass(frozen=True, eq=False)
class _Skin:
    """The joints of a skin.

    Attributes:
        frames: (J, 4, 4) float64. From the mesh at rest to the scene.
        mirrors: Whether all of them turn left into right.
    """

    frames: NDArray[np.float64]
    mirrors: bool


class Poses:
    """Where the vertices of each placed mesh lie."""

    def __init__(self, document: Document, accessors: Accessors, nodes: Nodes) -> None:
        self.document, self.accessors, self.nodes = document, accessors, nodes
        self._skins: dict[int, _Skin] = {}

    def frames(self, placed: Placement) -> NDArray[np.float64]:
        """(K, 4, 4): the transforms of all copies of the mesh of a node: one, or those of EXT_mesh_gpu_instancing."""
        frames = placed.world[None] if "skin" not in placed.node else np.eye(4)[None]
        instancing = placed.node.extension("EXT_mesh_gpu_instancing")
        if instancing is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                frames = frames @ self._instances(instancing)
        if not np.isfinite(frames).all():
            placed.node.refuse("should have a finite transform, it overflows")
        return frames

    def mirrors(self, placed: Placement, frames: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(K,): which copies have the corners of their faces the other way round."""
        if "skin" in placed.node:
            return np.array([self._skin(placed.node).mirrors])
        if len(frames) == 1 and placed.node.extension("EXT_mesh_gpu_instancing") is None:
            return np.array([placed.mirrors])
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(np.linalg.det(frames[:, :3, :3]) < 0)

    def vertices(self, placed: Placement, group: Group, mesh: Entry) -> NDArray[np.floating]:
        """(N, 3): the vertices of a group in the frame of its node, or of the scene if it has a skin."""
        vertices = self._morphed(placed.node, group, mesh)
        if "skin" not in placed.node:
            return vertices
        if not group.joints:
            group.called.refuse(f"should have JOINTS_0 and WEIGHTS_0, {placed.node.where} gives it a skin")
        return self._skinned(vertices, group, self._skin(placed.node).frames)

    def _morphed(self, node: Entry, group: Group, mesh: Entry) -> NDArray[np.floating]:
        owner = node if "weights" in node else mesh
        count = len(group.targets)
        if "weights" not in owner or not count:
            return group.positions
        weights = owner.numbers("weights", count, ())
        total: dict[int, float] = {}
        for index, weight in zip(group.targets, weights, strict=True):
            if index is not None and weight:
                total[index] = total.get(index, 0.0) + weight
        if not total:
            return group.positions
        moved = group.positions.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            for index, weight in total.items():
                moved += weight * self.accessors.real(index).astype(np.float64)
        return moved

    def _skin(self, node: Entry) -> _Skin:
        """The skin of a node."""
        tree = self.document.tree
        index = tree.index(node, "skin", "skins")
        if index not in self._skins:
            skin = tree.all("skins")[index]
            joints = skin.indices("joints", len(self.nodes.entries), "nodes")
            if not joints:
                skin.fail("joints", "a list of at least one node")
            frames = np.stack([self.nodes.at(joint).world for joint in joints])
            if "inverseBindMatrices" in skin:
                found = self.accessors.of(skin, "inverseBindMatrices", _MAT4)
                rest = self.accessors.real(found)
                if len(rest) < len(joints):
                    skin.refuse(f"should have {len(joints)} inverseBindMatrices, has {len(rest)}")
                by_column = rest[: len(joints)].astype(np.float64).reshape(-1, 4, 4)
                with np.errstate(over="ignore", invalid="ignore"):
                    frames = frames @ by_column.transpose(0, 2, 1)
            if not np.isfinite(frames).all():
                skin.refuse("should have finite transforms")
            with np.errstate(over="ignore", invalid="ignore"):
                self._skins[index] = _Skin(frames, bool((np.linalg.det(frames[:, :3, :3]) < 0).all()))
        return self._skins[index]

    def _skinned(
        self, vertices: NDArray[np.floating], group: Group, frames: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Blend the transforms of the joints of each vertex, linearly."""
        joints = np.concatenate([self.accessors.values(j) for j, _ in group.joints], axis=1).astype(np.int64)
        weights = np.concatenate([self.accessors.real(w) for _, w in group.joints], axis=1).astype(np.float64)
        if not np.isfinite(weights).all() or bool((weights < 0).any()):
            group.called.refuse("should have finite weights of joints that are not negative")
        used = weights > 0
        if bool((joints[used] >= len(frames)).any()):
            group.called.refuse(f"names joint {joints[used].max()}, counted from 0; its skin has {len(frames)}")
        joints[~used] = 0
        total = weights.sum(axis=1, keepdims=True)
        loose, odd = total[:, 0] == 0, np.abs(total[:, 0] - 1) > _SUM
        if bool(loose.any()):
            self.document.warn(f"{loose.sum()} vertices of {group.called.where} hang on no joint: they become NaN")
        if bool((odd & ~loose).any()):
            weighted = f"the weights of joints of {group.called.where}"
            self.document.warn(f"{weighted} do not add up to 1: they are scaled to it")
        with np.errstate(invalid="ignore"):
            weights /= total  # NaN at vertices without a joint
        out = np.empty((len(vertices), 3))
        for start in range(0, len(vertices), _ROWS):
            part = slice(start, start + _ROWS)
            with np.errstate(over="ignore", invalid="ignore"):
                blend = np.einsum("nj,njab->nab", weights[part], frames[joints[part], :3])
                out[part] = np.einsum("nab,nb->na", blend[:, :, :3], vertices[part]) + blend[:, :, 3]
        return out

    def _instances(self, instancing: Entry) -> NDArray[np.float64]:
        """(K, 4, 4): the transforms of EXT_mesh_gpu_instancing."""
        attributes = instancing.entry("attributes")
        if attributes is None or not attributes.values:
            instancing.fail("attributes", "an object with at least one accessor")
        known = {"TRANSLATION": _VEC3, "ROTATION": _VEC4, "SCALE": _VEC3}
        found: dict[str, NDArray[np.float64]] = {}
        for key, kinds in known.items():
            if key in attributes:
                found[key] = self.accessors.real(self.accessors.of(attributes, key, kinds)).astype(np.float64)
        counts = {len(values) for values in found.values()}
        if not counts:  # only attributes of other programs: all copies lie in one place, and one is read
            first = next(iter(attributes.values))
            counts = {self.accessors.said(self.document.tree.index(attributes, first, "accessors")).count and 1}
        if len(counts) != 1:
            attributes.refuse("should have accessors of one length")
        matrices = np.tile(np.eye(4), (counts.pop(), 1, 1))
        if "ROTATION" in found:
            matrices[:, :3, :3] = rotations(units(found["ROTATION"], attributes))
        if "SCALE" in found:
            matrices[:, :3, :3] *= found["SCALE"][:, None, :]
        if "TRANSLATION" in found:
            matrices[:, :3, 3] = found["TRANSLATION"]
        return matrices
