"""`InputKind`: the kinds of input of a network (maps, trees, pictures). A checkpoint stores the name of its kind.

Maps and trees are two layouts of a batch; a network names its layout as `reads`. Pictures have the layout of maps, with
the texture only, but are read from image files, in which a face must be detected first.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

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
from fer3d.formats.depth_image import is_depth_picture
from fer3d.formats.pictures import is_picture
from fer3d.formats.suffixes import is_scan, scan_suffixes
from fer3d.image.networks.picture_network import PictureSettings
from fer3d.maps.registry import check_groups, map_group, reads_picture
from fer3d.prepare.scan import AxisConvention, prepare_with_tree
from fer3d.prepare.store import header_for
from fer3d.scan import Scan

if TYPE_CHECKING:
    from PIL import Image

    from fer3d.data.warp import FaceWarp
    from fer3d.maps.render import Maps
    from fer3d.tree.sample_tree import SampleTree

# Layout that a network may read -> the class from which its settings must be derived.
LAYOUTS: Mapping[str, type[NetworkSettings]] = {"maps": TextureSettings, "trees": TreeSettings}

Source: TypeAlias = "Scan | str | os.PathLike[str] | NDArray[Any] | Image.Image"
"""A face to predict on: a file or a scan; for networks on pictures, a file, an array of pixels or a PIL picture."""

_BLIND = "no texture: its branch saw the mean colour of the training scans"


@dataclass(frozen=True, eq=False)
class InputFacts:
    """Everything that is needed to compute a network's input from a scan; a checkpoint stores it.

    Attributes:
        normalisation: Normalisation fitted to the training scans.
        groups: Map groups, for maps and pictures.
        size: Rows and columns of the maps, for maps and pictures.
        pixel_mm: Width of a pixel in mm, for maps and pictures.
        illumination: Illumination normalisation of textures, see `fer3d.data.channels.relit`.
        warp: The warp that is applied to maps before normalisation, if any.
        stencils: Radii, rings and rays, for trees; see `fer3d.data.tree_batch.stencils_of`.
        levels: What the network takes of a tree, see `fer3d.config.TreeSettings.levels`.
    """

    normalisation: InputNormalisation
    groups: tuple[str, ...] = ()
    size: int | None = None
    pixel_mm: float | None = None
    illumination: str = "raw"
    warp: FaceWarp | None = None
    stencils: Mapping[str, Any] = field(default_factory=dict)
    levels: Literal["all", "second", "finest"] = "all"


@dataclass(frozen=True)
class PreparedFace:
    """A preprocessed face, from which the input of a network can be computed.

    Attributes:
        maps: Maps of the face.
        scan: The prepared scan; None for a picture.
        tree: The sample tree, if one was built.
        warnings: Warnings for the user.
    """

    maps: Maps
    scan: Scan | None = None
    tree: SampleTree | None = None
    warnings: tuple[str, ...] = ()


class InputKind(ABC):
    """One kind of input.

    Attributes:
        name: Name of the kind, as checkpoints store it.
        layout: Layout of its batches: a key of `LAYOUTS`.
    """

    name: str
    layout: str

    @abstractmethod
    def load(self, sources: Sources, settings: NetworkSettings, target: Target) -> TrainingData:
        """Read the prepared scans on which a network with these settings is trained and tested.

        Args:
            sources: Prepared folders, each with the manifest rows to read.
            settings: The network's own settings.
            target: What the network predicts; every row must have a label of it.

        Raises:
            ArgumentError: if the scans were not prepared for such a network, or not all in the same way.
            FileError, FormatError: if a scan file is missing or damaged.
        """

    @abstractmethod
    def normalisation(self, content: Mapping[str, Sequence[Any]]) -> InputNormalisation:
        """The normalisation that a checkpoint's header holds. TypeError if `content` is not a normalisation."""

    @abstractmethod
    def preprocessing(self, settings: PreprocessSettings, groups: Sequence[str]) -> PreprocessSettings:
        """The preprocessing settings reduced to what a network of this kind with the map groups `groups` reads."""

    def for_pictures(self, settings: PreprocessSettings, *, crops: bool, whole_picture: bool) -> PreprocessSettings:
        """The preprocessing settings to predict on pictures. ArgumentError if one is true and the kind is of scans."""
        for name, wanted in (("crops", crops), ("whole_picture", whole_picture)):
            if wanted:
                raise ArgumentError(f"`{name}` is of pictures, the run was trained on scans; leave it out")
        return settings

    @abstractmethod
    def from_scan(self, face: PreparedFace, facts: InputFacts) -> Any:
        """A normalised batch of one face.

        Raises:
            ArgumentError: if the face was not prepared as the training scans were.
        """

    @abstractmethod
    def collate(self, batches: Sequence[Any]) -> Any:
        """Concatenate several batches."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files from which this kind of input is read."""
        return scan_suffixes()

    def is_file(self, path: str | os.PathLike[str]) -> bool:
        """Whether a file's name is that of an input of this kind."""
        return is_scan(path)

    def read(
        self,
        source: Source,
        settings: PreprocessSettings,
        facts: InputFacts,
        *,
        landmarks: str | Path | None = None,
        frame: AxisConvention | None = None,
    ) -> PreparedFace:
        """Preprocess one raw scan.

        Args:
            source: A file of any readable format, or a scan as `fer3d.formats.read` returns it.
            settings: Preprocessing settings of the training scans.
            facts: Input facts of the network that will read the face.
            landmarks: Landmark file of the scan. None: use landmarks of the scan, or find them on its shape.
            frame: Axes and unit of the file. None: +y up, +z to the camera, the unit guessed from the size.

        Raises:
            FileError, FormatError: if a file cannot be read, or is of another kind.
            PrepareError: if the scan cannot be prepared.
            ArgumentError: if `source` is neither a file nor a scan.
        """
        if not isinstance(source, Scan | str | os.PathLike):
            raise ArgumentError(
                f"`scan` should be a file or a `Scan`, as the run was trained on scans, is {pictures.described(source)}"
            )
        if not isinstance(source, Scan) and is_picture(source) and not is_depth_picture(source):
            raise FormatError(f"{source}: wanted a scan, as the run was trained on scans, got a picture")
        scan = source if isinstance(source, Scan) else formats.read(source, texture=reads_picture(settings.maps))
        if landmarks is not None:
            scan = scan.with_landmarks(formats.read_landmarks(landmarks), {"file": Path(landmarks).name})
        if settings.pose == "file" and not scan.landmarks:
            scan = scan.warn("posed by landmarks found on its shape, while the run's scans had landmark files")
            settings = settings.model_copy(update={"pose": "found"})
        prepared, maps, tree = prepare_with_tree(scan, settings, frame=frame)
        return PreparedFace(maps, prepared, tree, tuple(prepared.warnings))


class MapInput(InputKind):
    """Maps of a scan: (B, C + 1, H, W) float32, the mask last."""

    name = layout = "maps"

    def load(self, sources: Sources, settings: NetworkSettings, target: Target) -> TrainingData:
        """See `InputKind.load`."""
        assert isinstance(settings, TextureSettings)
        scaling = settings.scaling if isinstance(settings, PictureSettings) else "picture"
        return samples.load(sources, settings.groups, target, settings.illumination, scaling)

    def normalisation(self, content: Mapping[str, Sequence[Any]]) -> Normalisation:
        """See `InputKind.normalisation`."""
        return Normalisation.from_json(content)

    def preprocessing(self, settings: PreprocessSettings, groups: Sequence[str]) -> PreprocessSettings:
        """Settings for the map groups of the network, and no tree."""
        return settings.model_copy(update={"maps": tuple(groups), "tree": False})

    def read(
        self,
        source: Source,
        settings: PreprocessSettings,
        facts: InputFacts,
        *,
        landmarks: str | Path | None = None,
        frame: AxisConvention | None = None,
    ) -> PreparedFace:
        """As `InputKind.read`; a missing texture is replaced by the mean colour of the training scans."""
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
        arrays = maps.stack, maps.mask, maps.texture
        stack = stack_channels(facts.groups, maps.names, *arrays, facts.illumination, maps.coloured)
        values = torch.from_numpy(stack)[None]
        if facts.warp is not None:
            values = facts.warp.apply(values, maps.pixel)
        normalised: torch.Tensor = facts.normalisation.apply(values.float())
        return normalised

    def collate(self, batches: Sequence[torch.Tensor]) -> torch.Tensor:
        """Concatenate several batches."""
        return torch.cat(list(batches))


class PictureInput(MapInput):
    """Faces in pictures, in the layout of maps, with the texture only."""

    name = "pictures"

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of picture files."""
        return pictures.SUFFIXES

    def is_file(self, path: str | os.PathLike[str]) -> bool:
        """Whether a file's name is that of a picture."""
        return is_picture(path)

    def read(
        self,
        source: Source,
        settings: PreprocessSettings,
        facts: InputFacts,
        *,
        landmarks: str | Path | None = None,
        frame: AxisConvention | None = None,
    ) -> PreparedFace:
        """Detect the face in a picture. `landmarks` and `frame` apply to scans and are ignored.

        Raises:
            FileError, FormatError: if the picture cannot be read, or is a scan.
            PrepareError: if no face is found in it.
            ArgumentError: if `source` is an array of another shape or dtype than pixels have, or no picture at all.
        """
        from fer3d.prepare.picture import picture_maps

        path = source if isinstance(source, str | os.PathLike) else None
        name = "`scan`" if path is None else str(path)
        if isinstance(source, Scan) or (path is not None and not is_picture(path)):
            raise FormatError(f"{name}: wanted a picture, as the run was trained on pictures, got a scan")
        picture = pictures.as_picture("scan", source) if path is None else pictures.read_picture(path)
        maps, warnings = picture_maps(picture, name, settings)
        return PreparedFace(maps, warnings=warnings)

    def for_pictures(self, settings: PreprocessSettings, *, crops: bool, whole_picture: bool) -> PreprocessSettings:
        """The settings with these two, whatever those of the training pictures were. ArgumentError if both are true."""
        if crops and whole_picture:
            raise ArgumentError("`whole_picture` should be false with `crops`, in which no face is searched for")
        return settings.model_copy(update={"crops": crops, "whole_picture": whole_picture})


class TreeInput(InputKind):
    """Sample trees: a `TreeBatch`."""

    name = layout = "trees"

    def load(self, sources: Sources, settings: NetworkSettings, target: Target) -> TrainingData:
        """See `InputKind.load`."""
        assert isinstance(settings, TreeSettings)
        return tree_samples.load_trees(sources, settings, target)

    def normalisation(self, content: Mapping[str, Sequence[Any]]) -> TreeNormalisation:
        """See `InputKind.normalisation`."""
        return TreeNormalisation(**{key: tuple(value) for key, value in content.items()})

    def preprocessing(self, settings: PreprocessSettings, groups: Sequence[str]) -> PreprocessSettings:
        """Settings for the tree, and for the cheapest map, as at least one map is always rendered."""
        return settings.model_copy(update={"maps": ("depth",), "tree": True})

    def from_scan(self, face: PreparedFace, facts: InputFacts) -> TreeBatch:
        """A normalised `TreeBatch` of one scan."""
        tree = face.tree
        if tree is None or face.scan is None:
            raise ArgumentError("`face` should have a sample tree, has none")
        if facts.levels != "all":
            mesh, radii = (face.scan.vertices, face.scan.faces), facts.stencils["radii"][0]
            tree = tree_samples.flattened(tree, *mesh, facts.levels, radii)
        if stencils_of(tree) != facts.stencils:
            raise ArgumentError(f"`tree` should have stencils of {facts.stencils}, has {stencils_of(tree)}")
        batch: TreeBatch = facts.normalisation.apply(stack_trees([tree]).rows(torch.arange(1)))
        return batch

    def collate(self, batches: Sequence[TreeBatch]) -> TreeBatch:
        """Concatenate several batches, padded to the largest."""
        return join_trees(batches)


_KINDS: Mapping[str, InputKind] = {kind.name: kind for kind in (MapInput(), TreeInput(), PictureInput())}


def input_kind(name: str) -> InputKind:
    """The input kind with this name. ArgumentError if there is none."""
    check_choice("input", name, _KINDS)
    return _KINDS[name]


def kind_of_folders(layout: str, sources: Sources) -> InputKind:
    """The kind of input that prepared folders hold for a network that reads `layout`."""
    folder, rows = sources[0]
    flat = is_of_pictures(header_for(folder, rows[0]))
    return input_kind("pictures" if layout == "maps" and flat else layout)


def is_of_pictures(header: Mapping[str, Any]) -> bool:
    """Whether the prepared scan with this header was a picture.

    In older folders, whose headers do not say this, pictures are recognised by having no map and the pixel width of a
    picture crop.
    """
    if "kind" in header:
        return bool(header["kind"] == "pictures")
    return not header["channels"] and has_pixels_of_pictures(header["pixel_mm"], header["settings"])


def has_pixels_of_pictures(pixel_mm: float | None, preprocess: Mapping[str, Any]) -> bool:
    """Whether the pixel width is that of picture crops, by which pictures were recognised until 0.1."""
    from fer3d.prepare.picture import pixel_of

    return pixel_mm is not None and pixel_mm == pixel_of(preprocess["size"])


def unused_augmentation(settings: NetworkSettings) -> dict[str, str]:
    """Name of a training setting that does not change the network's input -> the reason."""
    if isinstance(settings, TreeSettings):
        flat = ("perturb", "shift", "crop", "test_crops", "test_perturbations")
        return dict.fromkeys(flat, "is of pictures, it reads sample trees") | {
            "texture_jitter": "is of textures, it reads sample trees",
            "mixup": "is of maps, it reads sample trees",
        }
    reasons = {"noise_mm": "is of sample trees, it reads maps"}
    groups = settings.groups if isinstance(settings, TextureSettings) else ()
    kinds, fed = {map_group(name).kind for name in groups}, f"it reads {', '.join(groups)}"
    if isinstance(settings, PictureSettings):
        idle = ("shift_mm", "bend_mm", "depth_jitter_mm", "tilt_deg")
        return reasons | dict.fromkeys(idle, "is of maps in mm, it reads pictures, whose `shift` is a share")
    reasons |= dict.fromkeys(("perturb", "shift", "crop", "test_crops"), f"is of networks for pictures, {fed}")
    if "colour" not in kinds:
        reasons["texture_jitter"] = f"is of colours, {fed}"
    if "height" not in kinds:
        reasons["depth_jitter_mm"] = f"is of depth, {fed}"
        if "normal" not in kinds:
            reasons["tilt_deg"] = f"is of depth and normals, {fed}"
    return reasons
