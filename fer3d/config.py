"""Typed settings of preprocessing and training, read from TOML files and `--set key=value`.

An unknown key raises an error that names the nearest valid key: a mistyped setting is never ignored.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from fer3d import files
from fer3d.checks import nearest
from fer3d.errors import ArgumentError, ConfigError
from fer3d.maps.registry import STANDARD_GROUPS, map_group, ordered_groups, reads_picture

Settings = TypeVar("Settings", bound=BaseModel)

FIELD_MM = 179.2  # width of the maps: all of a crop of 90 mm radius
# The tree of FLM-CNN: defaults of the settings of preparation with `tree_top` landmarks.
LANDMARK_TREE: Mapping[str, Any] = {"tree_levels": (4096, 1024, 256, 68), "tree_radii_mm": (3.0, 6.0, 12.0)}
DETECTORS = ("mtcnn", "hog", "haar")  # of faces in pictures, in the order in which they are tried

# Settings of preparation that pictures use, alone or as scans do.
OF_PICTURES = ("detectors", "crops", "whole_picture")
OF_ALL = ("size",)


# What `pose` was called in earlier versions -> its name.
_FORMER_POSES = {"landmarks": "file", "shape": "found"}


def pose_name(name: Any) -> Any:
    """The name of a way to find the pose, also from its name in earlier versions."""
    return _FORMER_POSES.get(name, name) if isinstance(name, str) else name


class PreprocessSettings(BaseModel):
    """How a raw scan is prepared and stored. The fields are in the order of the stages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: Literal["auto", "m", "cm", "mm"] | PositiveFloat = Field(
        "auto",
        description="Unit of the files: m, cm, mm or its length in mm. auto: from the card, else guessed from size.",
    )
    spike_mm: float = Field(
        3.0,
        ge=0.0,
        le=50.0,
        description="Remove a vertex farther than this from the surface of its neighbours. 0: off.",
    )
    hole_mm: float = Field(
        10.0, ge=0.0, le=50.0, description="Close holes up to this extent, in the mesh and in the maps. 0: off."
    )
    pose: Annotated[Literal["auto", "file", "found"], BeforeValidator(pose_name)] = Field(
        "auto",
        description="Landmarks that give the head pose: file, those of the scan's landmark file; found, those that are "
        "found on its shape. auto: of the file if there are any and they fit.",
    )
    crop_mm: float = Field(90.0, ge=20.0, le=300.0, description="Radius of the ball around the nose tip that is kept.")
    curvature_radius_mm: float = Field(
        5.0, ge=0.5, le=50.0, description="Radius of the neighbourhood of a curvature fit."
    )
    maps: tuple[str, ...] = Field(
        STANDARD_GROUPS,
        description="Map groups to render: " + ", ".join(STANDARD_GROUPS) + ", or any that a package registers.",
    )
    size: int = Field(
        64,
        ge=8,
        le=2048,
        description="Rows and columns of a map, or of the crop of a picture. 64: as in the accuracies of the README. "
        "Networks that were published or pretrained on ImageNet take 224.",
    )
    pixel_mm: float | None = Field(
        None, gt=0.0, le=50.0, description="Width of a pixel. Unset: 179.2 mm / size, which is 2.8 mm at size 64."
    )
    keep_mesh: bool = Field(True, description="Also store vertices and faces, for models that work on the mesh.")
    tree: bool = Field(False, description="Compute and store the sample tree, for models that convolve on the surface.")
    tree_top: Literal["farthest", "landmarks"] = Field(
        "farthest",
        description="Top level of the tree: farthest, points far from each other, the nose tip first; landmarks, the "
        "68 of iBUG, those of the scan's file if it has them all, else found ones, as flm-cnn wants it.",
    )
    tree_levels: tuple[int, ...] = Field(
        (4096, 512, 128),
        description="Vertices of each tree level, the finest first. The defaults are 2.5, 7 and 14 mm apart on a face. "
        "With tree_top landmarks: 4096,1024,256,68.",
    )
    tree_radii_mm: tuple[float, ...] = Field(
        (6.0, 12.0, 24.0),
        description="Radii of the stencils from the first level to the second; doubled for each further level. With "
        "tree_top landmarks: 3,6,12.",
    )
    tree_rings: tuple[float, ...] = Field(
        tuple(ring / 6 for ring in range(1, 7)),
        description="Rings of a stencil, as fractions of its radius; equally spaced for the pooling of surface-grid.",
    )
    tree_rays: int = Field(16, ge=1, le=1024, description="Number of rays of a stencil.")

    detectors: tuple[str, ...] = Field(
        DETECTORS, description="For pictures: face detectors, tried in this order until one finds a face."
    )
    crops: bool | None = Field(
        None,
        description="For pictures: they are crops of faces, which are used as they are, only resized. Unset: as the "
        "card of the data set says.",
    )
    whole_picture: bool = Field(
        False, description="For pictures: use the whole picture if no face is found, instead of failing."
    )
    time_limit_s: float = Field(
        600.0,
        ge=0.0,
        exclude=True,  # from what is stored: the result does not depend on it
        description="Give a scan up after this number of seconds, and go on with the next. 0: no limit.",
    )

    @model_validator(mode="before")
    @classmethod
    def _tree_of_landmarks(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("tree_top") == "landmarks":
            return {**LANDMARK_TREE, **given}
        return given

    @model_validator(mode="after")
    def _top_is_landmarks(self) -> Self:
        if self.tree_top == "landmarks" and self.tree_levels[-1] != LANDMARK_TREE["tree_levels"][-1]:
            raise ValueError(f"`tree_levels` should end in 68 with tree_top landmarks, ends in {self.tree_levels[-1]}")
        return self

    @field_validator("detectors", mode="before")
    @classmethod
    def _split_detectors(cls, detectors: Any) -> Any:
        return _split(detectors)

    @field_validator("detectors")
    @classmethod
    def _known_detectors(cls, detectors: tuple[str, ...]) -> tuple[str, ...]:
        if not detectors or len(set(detectors)) < len(detectors) or not set(detectors) <= set(DETECTORS):
            raise ValueError(f"should name one or more of {', '.join(DETECTORS)}, each once")
        return detectors

    @model_validator(mode="after")
    def _whole_pictures_are_searched(self) -> Self:
        if self.crops and self.whole_picture:
            raise ValueError("`whole_picture` should be false with crops, in which no face is searched for")
        return self

    @field_validator("maps", mode="before")
    @classmethod
    def _split_maps(cls, maps: Any) -> Any:
        return _split(maps)

    @field_validator("maps")
    @classmethod
    def _known_maps(cls, maps: tuple[str, ...]) -> tuple[str, ...]:
        return _ordered_groups(maps)

    @field_validator("tree_levels", "tree_radii_mm", "tree_rings", mode="before")
    @classmethod
    def _split_numbers(cls, numbers: Any) -> Any:
        return (numbers,) if isinstance(numbers, int | float) else _split(numbers)

    @field_validator("tree_levels")
    @classmethod
    def _descending(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        if len(levels) < 2 or levels[-1] < 1 or any(a <= b for a, b in pairwise(levels)):
            raise ValueError("should be at least two descending numbers of vertices")
        return levels

    @field_validator("tree_radii_mm")
    @classmethod
    def _lengths(cls, radii: tuple[float, ...]) -> tuple[float, ...]:
        if not radii or not all(0.0 < radius <= 1000.0 for radius in radii):
            raise ValueError("should be at least one length in (0, 1000] mm")
        return radii

    @field_validator("tree_rings")
    @classmethod
    def _ascending(cls, rings: tuple[float, ...]) -> tuple[float, ...]:
        if not rings or rings[0] <= 0.0 or rings[-1] > 1.0 or any(a >= b for a, b in pairwise(rings)):
            raise ValueError("should be ascending shares in (0, 1]")
        return rings

    @property
    def pixel(self) -> float:
        """Width of a pixel in mm."""
        return self.pixel_mm if self.pixel_mm is not None else FIELD_MM / self.size

    def unused(self, *, pictures: bool) -> dict[str, str]:
        """Setting that has no effect on pictures, or on scans, beside the others -> the reason, as "is of scans"."""
        if pictures:
            idle = type(self).model_fields.keys() - {*OF_ALL, *OF_PICTURES}
            return dict.fromkeys(idle, "is of scans, these are pictures")
        reasons = dict.fromkeys(OF_PICTURES, "is of pictures, these are scans")
        if not self.tree:
            trees = ("tree_top", "tree_levels", "tree_radii_mm", "tree_rings", "tree_rays")
            reasons |= dict.fromkeys(trees, "is of sample trees, `tree` is off")
            if all(name in STANDARD_GROUPS and not map_group(name).needs_curvatures for name in self.maps):
                reasons["curvature_radius_mm"] = f"is of curvature and trees, `maps` is {','.join(self.maps)}"
        return reasons

    def check_used(self, reasons: Mapping[str, str]) -> None:
        """Raise ConfigError for the first setting that was given, differs from its default and would change nothing.

        Args:
            reasons: Setting -> the reason why it has no effect, as `unused` returns it.
        """
        fields = type(self).model_fields
        for name in fields:
            if name in reasons and name in self.model_fields_set and getattr(self, name) != fields[name].default:
                raise ConfigError(f"settings: `{name}` would change nothing: it {reasons[name]}")


# Settings of training that move vertices -> why they change nothing for networks that read curvatures alone.
INVARIANT_UNUSED: Mapping[str, str] = dict.fromkeys(
    ("rotate_deg", "tilt_deg", "shift_mm", "bend_mm", "noise_mm", "depth_jitter_mm"),
    "moves vertices, it reads the curvatures of `vertex_features` invariant alone",
)


class NetworkSettings(BaseModel):
    """Base class of the settings of a network. The module of each network defines a subclass, named `Settings`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    of_training: ClassVar[frozenset[str]] = frozenset()
    """Fields that training uses; all others are arguments of the network."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Name of a preset -> values of fields in the place of those that it has for networks in general."""

    adamw_lr: ClassVar[float | None] = None
    """The highest learning rate of adamw with which the network learns. None: the default of `TrainSettings.lr`."""

    init: str | None = Field(
        None,
        description="Initial weights: a run, a model.safetensors, or a file of other weights. The layers that fit are "
        "taken.",
    )
    init_distinct: bool = Field(
        False,
        description="Whether the people of the run in `init` are others than those here, even where their names are "
        "the same.",
    )

    def derived(self) -> dict[str, Any]:
        """Arguments of the network that follow from several settings; they win over a field of the same name."""
        return {}

    def unused(self) -> Mapping[str, str]:
        """Training settings that have no effect on a network with these settings -> the reason, as "is of textures"."""
        return {}

    def unused_own(self) -> Mapping[str, str]:
        """Fields that have no effect beside the others -> the reason, as "is of an SVM, `read_out` is softmax"."""
        return {}

    def idle(self) -> dict[str, str]:
        """As `unused_own`, with the fields of this class."""
        alone = {} if self.init is not None else {"init_distinct": "is of initial weights, `init` is not given"}
        return {**alone, **self.unused_own()}

    @model_validator(mode="after")
    def _have_an_effect(self) -> Self:
        for name, reason in self.idle().items():
            if name in self.model_fields_set and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"`{name}` {reason}")
        return self


class TextureSettings(NetworkSettings):
    """Settings of networks that read maps: how the maps are transformed before they enter the network."""

    illumination: Literal["raw", "hist-eq", "isotropic", "dct", "dog", "tan-triggs", "plane", "hist-eq-plane"] = Field(
        "raw",
        description="Illumination normalisation of textures, which then are grey. raw: none. plane: less the plane "
        "that fits the light.",
    )
    warp: bool | None = Field(
        None,
        description="Whether to warp the maps first, so that eyes and nose lie where they lie on the mean face. "
        "The warp is learned from the landmarks of the training scans. Unset: on for oriented-fusion if half of the "
        "scans have landmarks.",
    )

    @property
    def groups(self) -> tuple[str, ...]:
        """The input map groups."""
        return ("texture",)


class MapSettings(TextureSettings):
    """Settings of networks whose input map groups can be chosen."""

    maps: tuple[str, ...] = Field(STANDARD_GROUPS, description="Input map groups.")

    @property
    def groups(self) -> tuple[str, ...]:
        """The input map groups."""
        return self.maps

    @field_validator("maps", mode="before")
    @classmethod
    def _split_groups(cls, maps: Any) -> Any:
        return _split(maps)

    @field_validator("maps")
    @classmethod
    def _known_groups(cls, maps: tuple[str, ...]) -> tuple[str, ...]:
        return _ordered_groups(maps)

    @model_validator(mode="after")
    def _light_is_seen(self) -> Self:
        if self.illumination != "raw" and not reads_picture(self.maps):
            raise ValueError(f"`illumination` {self.illumination} needs texture among `maps`")
        return self


class TreeSettings(NetworkSettings):
    """Settings of networks that read sample trees."""

    vertex_features: Literal["invariant", "xyz"] = Field(
        "invariant",
        description="invariant: features that do not depend on the head pose. xyz: positions, normals and shape index.",
    )

    @property
    def levels(self) -> Literal["all", "second", "finest"]:
        """What the network reads of a tree: all levels, or one alone: see `fer3d.tree.one_level`."""
        return "all"

    def flat_radii(self, radii: Sequence[Sequence[float]]) -> tuple[float, ...]:
        """With `levels` finest, the radii of the stencils that the network reads, ascending, in mm.

        Args:
            radii: S radii of each transition of the tree.
        """
        return tuple(sorted({radius for span in radii for radius in span}))


class TrainSettings(BaseModel):
    """How a network is trained. The defaults are those of the `small` preset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: SerializeAsAny[NetworkSettings] = Field(
        default_factory=NetworkSettings, description="Settings of the network. Empty: its defaults."
    )

    recipe: str = Field(
        "ours",
        min_length=1,
        description="The recipe that the settings come from: that of a paper by its name, or ours, this package's.",
    )

    # the optimiser
    epochs: int = Field(30, ge=1, le=100_000, description="Passes over the training scans.")
    steps: int | None = Field(
        None,
        ge=1,
        le=100_000_000,
        description="Steps of the optimiser to train for, whatever the number of scans; the last epoch is completed. "
        "Unset: `epochs` says how long.",
    )
    batch: int = Field(32, ge=1, le=65_536, description="Scans per step, over all processes together.")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="adamw, or sgd with momentum.")
    lr: float = Field(
        2e-3,
        gt=0.0,
        le=10.0,
        description="Highest learning rate. Some networks have a lower default with adamw.",
    )
    weight_decay: float = Field(0.05, ge=0.0, le=10.0, description="Weight decay of the parameters in `decayed`.")
    decayed: Literal["weights", "all", "last"] = Field(
        "weights",
        description="Parameters that decay. weights: all but biases and those of normalisation. last: the weights of "
        "the classifier alone.",
    )
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="Momentum of sgd.")
    nesterov: bool = Field(True, description="Whether the momentum of sgd is Nesterov's.")
    schedule: Literal["one-cycle", "cosine", "constant", "steps"] = Field(
        "one-cycle",
        description="Learning rate. one-cycle: up over the first quarter, then a cosine to 0. cosine: from the start. "
        "steps: multiplied by `drop_factor` after each of `drop_steps`.",
    )
    drop_steps: tuple[int, ...] = Field(
        (), description="For schedule steps: steps of the optimiser after which the rate drops, ascending."
    )
    drop_factor: float = Field(0.1, gt=0.0, lt=1.0, description="For schedule steps: what the rate is multiplied by.")
    clip: float = Field(5.0, ge=0.0, description="Largest norm to which the gradient is clipped. 0: off.")
    label_smoothing: float = Field(
        0.1,
        ge=0.0,
        lt=1.0,
        description="Share of the target probability that is spread over all classes, in cross entropy.",
    )
    mixup: float = Field(0.0, ge=0.0, le=10.0, description="Alpha of mixup's Beta distribution. 0: off.")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: rare classes weigh more in the loss."
    )
    siamese: float = Field(
        0.0,
        ge=0.0,
        le=1e4,
        description="Weight of the Siamese term: the distance of a picture's features from those of the same face "
        "under the `easy` conditions.",
    )
    easy: tuple[str, ...] = Field(
        (),
        description="For siamese: anchor conditions on pose and attributes, such as yaw=0,flash=07 or light=even|soft.",
    )

    # augmentation
    mirror: float = Field(0.5, ge=0.0, le=1.0, description="Probability of mirroring a scan or picture.")
    rotate_deg: float = Field(3.0, ge=0.0, le=180.0, description="Largest rotation in the plane of the map or picture.")
    tilt_deg: float = Field(
        2.0, ge=0.0, le=45.0, description="Largest slope added to the depth, as for a slightly rotated head."
    )
    shift_mm: float = Field(1.0, ge=0.0, le=50.0, description="Largest shift along x and along y.")
    shift: float = Field(
        0.04, ge=0.0, le=0.5, description="For pictures: largest shift along x and along y, as a share of the width."
    )
    scale: float = Field(0.03, ge=0.0, lt=1.0, description="Largest change of size, as a fraction.")
    stretch: float = Field(
        0.06,
        ge=0.0,
        lt=1.0,
        description="Largest change of width, height and depth, as a fraction; drawn separately for each.",
    )
    bend_mm: float = Field(
        1.5, ge=0.0, le=20.0, description="Largest smooth displacement, which changes the shape of the face."
    )
    noise_mm: float = Field(
        0.2, ge=0.0, le=5.0, description="For trees: standard deviation of the noise on the vertices."
    )
    depth_jitter_mm: float = Field(1.0, ge=0.0, le=50.0, description="Largest shift along z.")
    texture_jitter: float = Field(
        0.3, ge=0.0, lt=1.0, description="Strength of the changes of brightness and colour of the light."
    )
    perturb: bool = Field(
        False,
        description="For pictures: rotate, skew, crop and mirror as Yu and Zhang do, instead of the changes above; "
        "texture_jitter still applies.",
    )
    crop: float = Field(
        1.0,
        ge=0.25,
        le=1.0,
        description="For pictures: side of the part that is cut out at random in training, as a share of the width; at "
        "test it is cut from the middle. 1: the whole picture.",
    )

    # evaluation
    select: Literal["last", "best"] = Field(
        "last",
        description="Keep the weights of the last epoch, or of the epoch that is best on the *validation* subjects.",
    )
    test_mirror: bool = Field(True, description="Average the probabilities of a scan and its mirror image.")
    test_crops: bool = Field(
        False,
        description="For pictures with `crop`: average over the four corners and the middle; with their mirror images "
        "these are ten.",
    )
    test_perturbations: int = Field(
        0,
        ge=0,
        le=1000,
        description="For pictures and maps: average over this many perturbed copies instead of the mirror image. The "
        "perturbations are the same for every scan. 0: off.",
    )

    # running
    seed: int = Field(0, ge=0, description="Random seed of folds, weights, order and augmentation.")
    deterministic: bool = Field(True, description="Use no kernel whose result depends on timing.")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field("32-true", description="Floating-point precision.")
    tensorboard: bool = Field(False, description="Also write a TensorBoard log.")
    data_on: Literal["auto", "device", "host"] = Field(
        "auto",
        description="Where the scans are stored. auto: device if they fill less than half of it, else host.",
    )

    @field_validator("easy", mode="before")
    @classmethod
    def _split_conditions(cls, easy: Any) -> Any:
        return _split(easy)

    @field_validator("drop_steps", mode="before")
    @classmethod
    def _split_steps(cls, steps: Any) -> Any:
        return (steps,) if isinstance(steps, int) else _split(steps)

    @field_validator("drop_steps")
    @classmethod
    def _ascending_steps(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if any(step < 1 for step in steps) or any(a >= b for a, b in pairwise(steps)):
            raise ValueError("should be ascending numbers of steps, from 1")
        return steps

    @field_validator("easy")
    @classmethod
    def _readable_conditions(cls, easy: tuple[str, ...]) -> tuple[str, ...]:
        for condition in easy:
            if not all(part.strip() for part in condition.partition("=")):
                raise ValueError(f"should hold conditions such as yaw=5 or flash=07, holds {condition!r}")
        return easy

    @model_validator(mode="after")
    def _pairs_can_be_made(self) -> Self:
        if self.siamese and not self.easy:
            raise ValueError("`easy` should say what siamese pulls towards, such as yaw=0,flash=07")
        if self.siamese and self.mixup:
            raise ValueError("`mixup` should be 0 with siamese: a mixed picture has no partner")
        if not self.siamese and self.easy:
            raise ValueError("`easy` is of siamese, which is off")
        return self

    @model_validator(mode="after")
    def _momentum_is_of_sgd(self) -> Self:
        if self.optimizer != "sgd" and "momentum" in self.model_fields_set and self.momentum != 0.9:
            raise ValueError(f"`momentum` is of sgd, `optimizer` is {self.optimizer}")
        return self

    @model_validator(mode="after")
    def _rate_can_drop(self) -> Self:
        if self.schedule == "steps" and not self.drop_steps:
            raise ValueError("`drop_steps` should say after which steps the rate of schedule steps drops")
        if self.schedule != "steps" and self.drop_steps:
            raise ValueError(f"`drop_steps` is of schedule steps, `schedule` is {self.schedule}")
        return self


def _split(maps: Any) -> Any:
    return tuple(maps.split(",")) if isinstance(maps, str) else maps


def _ordered_groups(maps: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return ordered_groups(maps)
    except (ArgumentError, ConfigError) as error:
        raise ValueError(str(error).removeprefix("`maps` ")) from None


def settings(kind: type[Settings], values: Mapping[str, Any], where: str = "settings") -> Settings:
    """`kind(**values)`, with one-line errors.

    Args:
        kind: The settings class, such as `PreprocessSettings`.
        values: Field name -> value.
        where: Start of the error message: a file name or "settings".

    Raises:
        ConfigError: if a key is unknown (the message names the nearest valid one) or a value is out of range.
    """
    for key in values:
        if key not in kind.model_fields:
            near = nearest(key, kind.model_fields)
            hint = f"; did you mean `{near}`?" if near else f"; valid are {', '.join(kind.model_fields)}"
            raise ConfigError(f"{where}: unknown key `{key}`{hint}")
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        wanted = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:  # of several fields together: the message names them
            raise ConfigError(f"{where}: {wanted}") from None
        raise ConfigError(f"{where}: `{first['loc'][0]}` {wanted}, got {first['input']!r}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read the table in a TOML file of settings.

    Raises:
        FileError: if the file cannot be read.
        ConfigError: if it is not TOML.
    """
    return files.read_toml(path, ConfigError)


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Parse items such as "size=112" into a table. A value is parsed as TOML if possible, else it is a string.

    The key `a.b` means the key `b` of the table `a`.

    >>> parse_assignments(["size=112", "pose=found", "maps=depth,normal"])
    {'size': 112, 'pose': 'found', 'maps': ['depth', 'normal']}
    >>> parse_assignments(["model.width=8", "model.hvp=false"])
    {'model': {'width': 8, 'hvp': False}}

    Raises:
        ConfigError: if an item has no `=`, or `a` in a key `a.b` is already a value.
    """
    table: dict[str, Any] = {}
    for item in assignments:
        key, equals, text = item.partition("=")
        if not equals:
            raise ConfigError(f"settings: `--set {item}` should read key=value")
        *tables, name = key.strip().split(".")
        place = table
        for part in tables:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ConfigError(f"settings: `--set {item}`: `{part}` is a value, not a table")
        place[name] = _value(text.strip())
    return table


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # ValueError: also a number of thousands of digits
        return text.split(",") if "," in text else text


def preprocess_settings(
    config: Path | None = None, assignments: Iterable[str] = (), **options: Any
) -> PreprocessSettings:
    """Settings from a TOML file, then `--set` items, then named options; later ones override earlier ones.

    Args:
        config: TOML file with the keys of `PreprocessSettings`, or None.
        assignments: Items such as "size=112".
        options: Fields by name; None means "not given".

    Raises:
        ConfigError, FileError: as in `settings` and `read_toml`.
    """
    return _layered(PreprocessSettings, {}, config, assignments, options)


def _layered(
    kind: type[Settings],
    first: Mapping[str, Any],
    config: Path | None,
    assignments: Iterable[str],
    options: Mapping[str, Any],
) -> Settings:
    table = read_toml(config) if config is not None else {}
    settings(kind, {**first, **table}, str(config))
    table = {**first, **table, **parse_assignments(assignments)}
    table |= {key: value for key, value in options.items() if value is not None}
    return settings(kind, table)
