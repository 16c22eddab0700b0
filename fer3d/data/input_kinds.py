"""`InputKind`: what a network is fed. The one place that knows maps, trees and pictures; a checkpoint stores its name.

Maps and trees are two layouts of a batch, of which a network names one as `reads`. Pictures are laid out as maps are,
with the texture alone, but come from files of another kind, in which a face has to be found first.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fer3d import formats
from fer3d.catalog.targets import Target
from fer3d.checks import check_choice
from fer3d.config import NetworkSettings, PreprocessSettings, TextureSettings, TreeSettings
from fer3d.data import samples, tree_samples
from fer3d.data.channels import Normalisation, stack_channels
from fer3d.data.samples import InputNormalisation, Sources, TrainingData
from fer3d.data.tree_batch import TreeBatch, TreeNormalisation, join_trees, stack_trees, stencils_of
from fer3d.errors import ArgumentError, FormatError
from fer3d.formats import pictures
from fer3d.formats.pictures import is_picture
from fer3d.formats.suffixes import is_scan, scan_suffixes
from fer3d.maps.registry import check_groups, map_group, reads_picture
from fer3d.prepare.scan import AxisConvention, prepare_with_tree
from fer3d.prepare.store import header_for
from fer3d.scan import Scan
from fer3d.tree.one_level import one_level

if TYPE_CHECKING:
    from fer3d.data.warp import FaceWarp
    from fer3d.maps.render import Maps
    from fer3d.tree.sample_tree import SampleTree

# What a network may read -> the settings that its own must be made of.
LAYOUTS: Mapping[str, type[NetworkSettings]] = {"maps": TextureSettings, "trees": TreeSettings}

_BLIND = "no texture: its branch saw the mean colour of the training scans"


@dataclass(frozen=True, eq=False)
class InputFacts:
    """All that is needed to make a network's input of a scan; a checkpoint holds it.

    Attributes:
        normalisation: Learned from the training scans.
        groups: Map groups, of maps.
        size: Rows and columns of the maps, if there are any.
        pixel_mm: Width of a pixel, mm, likewise.
        illumination: What is done to the light of textures, see `fer3d.data.channels.relit`.
        warp: How maps are warped before they are normalised, if they are.
        stencils: Radii, rings and rays, of trees; see `fer3d.data.tree_batch.stencils_of`.
        whole_tree: Whether all levels of a tree are fed, or the vertices of one.
    """

    normalisation: InputNormalisation
    groups: tuple[str, ...] = ()
    size: int | None = None
    pixel_mm: float | None = None
    illumination: str = "raw"
    warp: FaceWarp | None = None
    stencils: Mapping[str, Any] = field(default_factory=dict)
    whole_tree: bool = False


@dataclass(frozen=True)
class PreparedFace:
    """A face that went through preprocessing, ready to become the input of a network.

    Attributes:
        maps: Its maps.
        scan: The prepared scan; None of a picture.
        tree: Its sample tree, if one was made.
        warnings: What a user should know.
    """

    maps: Maps
    scan: Scan | None = None
    tree: SampleTree | None = None
    warnings: tuple[str, ...] = ()


class InputKind(ABC):
    """One kind of input.

    Attributes:
        name: As checkpoints store it.
        layout: Of its batches: a key of `LAYOUTS`.
    """

    name: str
    layout: str

    @abstractmethod
    def load(self, sources: Sources, settings: NetworkSettings, target: Target) -> TrainingData:
        """The prepared scans that a network with these settings is trained and tested on.

        Args:
            sources: Prepared folders, each with the rows wanted.
            settings: The network's own.
            target: What is to be said of a scan, and of which each says something.

        Raises:
            ArgumentError: if the scans were not prepared for such a network, or in different ways.
            FileError, FormatError: if a scan file is missing or damaged.
        """

    @abstractmethod
    def normalisation(self, content: Mapping[str, Sequence[Any]]) -> InputNormalisation:
        """The normalisation that a checkpoint's header holds. TypeError if it is none."""

    @abstractmethod
    def preprocessing(self, settings: PreprocessSettings, groups: Sequence[str]) -> PreprocessSettings:
        """The settings without what no network of this kind, fed the map groups `groups`, reads."""

    @abstractmethod
    def from_scan(self, face: PreparedFace, facts: InputFacts) -> Any:
        """A normalised batch of one face.

        Raises:
            ArgumentError: if the face was not prepared as those of training.
        """

    @abstractmethod
    def collate(self, batches: Sequence[Any]) -> Any:
        """Several batches as one."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of the files that it is made of."""
        return scan_suffixes()

    def is_file(self, path: str | os.PathLike[str]) -> bool:
        """Whether a file's name is that of an input of this kind."""
        return is_scan(path)

    def read(
        self,
        source: Scan | str | Path,
        settings: PreprocessSettings,
        facts: InputFacts,
        *,
        landmarks: str | Path | None = None,
        frame: AxisConvention | None = None,
    ) -> PreparedFace:
        """Take one raw scan through preprocessing.

        Args:
            source: A file of any readable format, or a scan as `fer3d.formats.read` gives it.
            settings: How its training scans were prepared.
            facts: Of a network that is to see it.
            landmarks: Its landmark file. None: those on the scan, else the pose comes from the shape.
            frame: Axes and unit of the file. None: +y up, +z to the camera, the unit guessed from the size.

        Raises:
            FileError, FormatError: if a file cannot be read, or is of another kind.
            PrepareError: if the scan cannot be prepared.
        """
        if not isinstance(source, Scan) and is_picture(source):
            raise FormatError(f"{source}: wanted a scan, as the run was trained on scans, got a picture")
        scan = source if isinstance(source, Scan) else formats.read(source, texture=reads_picture(settings.maps))
        if landmarks is not None:
            points = formats.read_landmarks(landmarks)
            scan = scan.step("landmarks", {"file": Path(landmarks).name, "count": len(points)}, landmarks=points)
        if settings.pose == "landmarks" and not scan.landmarks:
            scan = scan.warn("posed by its shape, while the run's scans were posed by landmarks")
            settings = settings.model_copy(update={"pose": "shape"})
        prepared, maps, tree = prepare_with_tree(scan, settings, frame=frame)
        return PreparedFace(maps, prepared, tree, tuple(prepared.warnings))


class MapInput(InputKind):
    """Maps of a scan: (B, C + 1, H, W) float32, the mask last."""

    name = layout = "maps"

    def load(self, sources: Sources, settings: NetworkSettings, target: Target) -> TrainingData:
        """See `InputKind.load`."""
        assert isinstance(settings, TextureSettings)
        return samples.load(sources, settings.groups, target, settings.illumination)

    def normalisation(self, content: Mapping[str, Sequence[Any]]) -> Normalisation:
        """See `InputKind.normalisation`."""
        return Normalisation(**{key: tuple(value) for key, value in content.items()})

    def preprocessing(self, settings: PreprocessSettings, groups: Sequence[str]) -> PreprocessSettings:
        """The map groups that are fed, and no tree."""
        return settings.model_copy(update={"maps": tuple(groups), "tree": False})

    def read(
        self,
        source: Scan | str | Path,
        settings: PreprocessSettings,
        facts: InputFacts,
        *,
        landmarks: str | Path | None = None,
        frame: AxisConvention | None = None,
    ) -> PreparedFace:
        """As `InputKind.read`; a texture that is fed and not there is of the mean colour of training."""
        face = super().read(source, settings, facts, landmarks=landmarks, frame=frame)
        picture = [group for group in check_groups(facts.groups) if group.picture]
        if not picture or face.maps.texture is not None:
            return face
        means = dict(zip(facts.normalisation.channels, facts.normalisation.mean, strict=True))
        colour = [round(255 * means[name]) for name in picture[0].fed_names]
        even = np.where(face.maps.mask[..., None] > 0, np.array(colour), 0).astype(np.uint8)  # (H, W, 3)
        return replace(face, maps=replace(face.maps, texture=even), warnings=(*face.warnings, _BLIND))

    def from_scan(self, face: PreparedFace, facts: InputFacts) -> torch.Tensor:
        """(1, C + 1, H, W) float32, normalised, the mask last."""
        maps = face.maps
        assert facts.size is not None and facts.pixel_mm is not None
        size, wanted = maps.mask.shape, (facts.size, facts.size)
        if size != wanted or abs(maps.pixel - facts.pixel_mm) > 1e-6:
            raise ArgumentError(
                f"`maps` should be {wanted} pixels of {facts.pixel_mm:g} mm, are {size} of {maps.pixel:g} mm"
            )
        stack = stack_channels(facts.groups, maps.names, maps.stack, maps.mask, maps.texture, facts.illumination)
        values = torch.from_numpy(stack)[None]
        if facts.warp is not None:
            values = facts.warp.apply(values, maps.pixel)
        normalised: torch.Tensor = facts.normalisation.apply(values.float())
        return normalised

    def collate(self, batches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Several batches as one."""
        return torch.cat(list(batches))


class PictureInput(MapInput):
    """Faces in pictures: laid out as maps are, with the texture alone."""

    name = "pictures"

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of the files that it is made of."""
        return pictures.SUFFIXES

    def is_file(self, path: str | os.PathLike[str]) -> bool:
        """Whether a file's name is that of a picture."""
        return is_picture(path)

    def read(
        self,
        source: Scan | str | Path,
        settings: PreprocessSettings,
        facts: InputFacts,
        *,
        landmarks: str | Path | None = None,
        frame: AxisConvention | None = None,
    ) -> PreparedFace:
        """Find the face in a picture. Landmarks and axes are of scans and not used.

        Raises:
            FileError, FormatError: if the picture cannot be read, or is a scan.
            PrepareError: if no face is found in it.
        """
        from fer3d.prepare.picture import picture_maps

        if isinstance(source, Scan) or not is_picture(source):
            name = "`scan`" if isinstance(source, Scan) else source
            raise FormatError(f"{name}: wanted a picture, as the run was trained on pictures, got a scan")
        maps, warnings = picture_maps(Path(source), settings)
        return PreparedFace(maps, warnings=warnings)


class TreeInput(InputKind):
    """Sample trees: a `TreeBatch`."""

    name = layout = "trees"

    def load(self, sources: Sources, settings: NetworkSettings, target: Target) -> TrainingData:
        """See `InputKind.load`."""
        assert isinstance(settings, TreeSettings)
        return tree_samples.load_trees(sources, settings.vertex_features, target, whole_tree=settings.whole_tree)

    def normalisation(self, content: Mapping[str, Sequence[Any]]) -> TreeNormalisation:
        """See `InputKind.normalisation`."""
        return TreeNormalisation(**{key: tuple(value) for key, value in content.items()})

    def preprocessing(self, settings: PreprocessSettings, groups: Sequence[str]) -> PreprocessSettings:
        """The tree, and of the maps the cheapest: one is always made."""
        return settings.model_copy(update={"maps": ("depth",), "tree": True})

    def from_scan(self, face: PreparedFace, facts: InputFacts) -> TreeBatch:
        """A `TreeBatch` of one scan, normalised."""
        tree = face.tree
        if tree is None or face.scan is None:
            raise ArgumentError("`face` should have a sample tree, has none")
        if not facts.whole_tree:
            tree = one_level(tree, face.scan.vertices, face.scan.faces)
        if stencils_of(tree) != facts.stencils:
            raise ArgumentError(f"`tree` should have stencils of {facts.stencils}, has {stencils_of(tree)}")
        batch: TreeBatch = facts.normalisation.apply(stack_trees([tree]).rows(torch.arange(1)))
        return batch

    def collate(self, batches: Sequence[TreeBatch]) -> TreeBatch:
        """Several batches as one; of trees of one size."""
        return join_trees(batches)


_KINDS: Mapping[str, InputKind] = {kind.name: kind for kind in (MapInput(), TreeInput(), PictureInput())}


def input_kind(name: str) -> InputKind:
    """The kind of this name. ArgumentError if there is none."""
    check_choice("input", name, _KINDS)
    return _KINDS[name]


def kind_of_folders(layout: str, sources: Sources) -> InputKind:
    """The kind of input that a network which reads `layout` gets from prepared folders."""
    folder, rows = sources[0]
    flat = is_of_pictures(header_for(folder, rows[0]))
    return input_kind("pictures" if layout == "maps" and flat else layout)


def is_of_pictures(header: Mapping[str, Any]) -> bool:
    """Whether a prepared scan, of which this is the header, was a picture.

    Folders prepared before the header said so are known by what only pictures have: no map, and the scale of a crop.
    """
    if "kind" in header:
        return bool(header["kind"] == "pictures")
    return not header["channels"] and has_pixels_of_pictures(header["pixel_mm"], header["settings"])


def has_pixels_of_pictures(pixel_mm: float | None, preprocess: Mapping[str, Any]) -> bool:
    """Whether a pixel has the width that crops of pictures have: how kinds were told apart until 0.1."""
    from fer3d.prepare.picture import pixel_of

    return pixel_mm is not None and pixel_mm == pixel_of(preprocess["size"])


def unused_augmentation(settings: NetworkSettings) -> dict[str, str]:
    """Settings of training that change nothing of what a network is fed -> why."""
    if isinstance(settings, TreeSettings):
        pictures_only = dict.fromkeys(("perturb", "test_perturbations"), "is of pictures, it reads sample trees")
        return pictures_only | {
            "texture_jitter": "is of textures, it reads sample trees",
            "mixup": "is of maps, it reads sample trees",
        }
    reasons = {"noise_mm": "is of sample trees, it reads maps"}
    groups = settings.groups if isinstance(settings, TextureSettings) else ()
    kinds, fed = {map_group(name).kind for name in groups}, f"it reads {', '.join(groups)}"
    if kinds != {"colour"}:
        reasons |= dict.fromkeys(("perturb", "test_perturbations"), f"is of pictures, {fed}")
    if "colour" not in kinds:
        reasons["texture_jitter"] = f"is of colours, {fed}"
    if "height" not in kinds:
        reasons["depth_jitter_mm"] = f"is of depth, {fed}"
        if "normal" not in kinds:
            reasons["tilt_deg"] = f"is of depth and normals, {fed}"
    return reasons
