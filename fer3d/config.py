"""Settings: every number a user may turn, typed, with its unit and its reason. TOML files and `--set key=value`.

An unknown key is an error that names the nearest valid one: a mistyped setting is never ignored.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError, field_validator

from fer3d.errors import ConfigError, FileError

Settings = TypeVar("Settings", bound=BaseModel)

MAP_GROUPS = ("depth", "normal", "curvature", "texture")


class PreprocessSettings(BaseModel):
    """What happens to a scan between its file and the store. The order of the fields is the order of the stages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: Literal["auto", "m", "cm", "mm"] | PositiveFloat = Field(
        "auto",
        description="Unit of the files: m, cm, mm or its length in mm. auto: the card's, else guessed from the size.",
    )
    spike_mm: float = Field(
        3.0, ge=0.0, le=50.0, description="A vertex farther than this from the surface of its neighbours goes. 0: off."
    )
    hole_mm: float = Field(
        10.0, ge=0.0, le=50.0, description="Holes up to this extent are closed, in the mesh and in the maps. 0: off."
    )
    pose: Literal["auto", "landmarks", "shape"] = Field(
        "auto", description="Frontal pose from landmarks, from the shape alone, or from landmarks when there are any."
    )
    crop_mm: float = Field(90.0, ge=20.0, le=300.0, description="Radius of the ball about the nose tip that is kept.")
    curvature_radius_mm: float = Field(
        5.0, ge=0.5, le=50.0, description="Radius of the neighbourhood that the curvature fit sees."
    )
    maps: tuple[str, ...] = Field(MAP_GROUPS, description="Which maps to make: " + ", ".join(MAP_GROUPS) + ".")
    size: int = Field(224, ge=8, le=2048, description="Rows and columns of a map. 224 is what ImageNet nets take.")
    pixel_mm: float | None = Field(
        None, gt=0.0, le=50.0, description="Width of a pixel. Unset: 179.2 mm / size, which is 0.8 mm at 224."
    )
    keep_mesh: bool = Field(True, description="Store vertices and faces too, for models that work on the mesh.")

    @field_validator("maps", mode="before")
    @classmethod
    def _split_maps(cls, maps: Any) -> Any:
        return tuple(maps.split(",")) if isinstance(maps, str) else maps

    @field_validator("maps")
    @classmethod
    def _known_maps(cls, maps: tuple[str, ...]) -> tuple[str, ...]:
        if not maps:
            raise ValueError("should name at least one map")
        for name in maps:
            if name not in MAP_GROUPS:
                raise ValueError(f"should hold names out of {', '.join(MAP_GROUPS)}, holds {name!r}")
        return tuple(group for group in MAP_GROUPS if group in maps)  # one order, whatever the user typed

    @property
    def pixel(self) -> float:
        """Width of a pixel in mm."""
        return self.pixel_mm if self.pixel_mm is not None else 0.8 * 224 / self.size


def settings(kind: type[Settings], values: Mapping[str, Any], where: str = "settings") -> Settings:
    """`kind(**values)`, with errors in the house form.

    Args:
        kind: The settings class, such as `PreprocessSettings`.
        values: Field name -> value.
        where: What the message begins with: a file name or "settings".

    Raises:
        ConfigError: for an unknown key (names the nearest valid one) or a value out of range.
    """
    for key in values:
        if key not in kind.model_fields:
            near = difflib.get_close_matches(key, kind.model_fields, n=1, cutoff=0.4)
            hint = f"; did you mean `{near[0]}`?" if near else f"; valid are {', '.join(kind.model_fields)}"
            raise ConfigError(f"{where}: unknown key `{key}`{hint}")
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        field = first["loc"][0]
        wanted = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where}: `{field}` {wanted}, got {first['input']!r}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        FileError: if the file cannot be read.
        ConfigError: if it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML ({error})") from None


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """`["size=112", "maps=depth,normal"]` as a table. Values are TOML where they parse as such, else plain strings.

    >>> parse_assignments(["size=112", "pose=shape", "maps=depth,normal"])
    {'size': 112, 'pose': 'shape', 'maps': ['depth', 'normal']}

    Raises:
        ConfigError: for an item without `=`.
    """
    table: dict[str, Any] = {}
    for item in assignments:
        key, equals, text = item.partition("=")
        if not equals:
            raise ConfigError(f"settings: `--set {item}` should read key=value")
        table[key.strip()] = _value(text.strip())
    return table


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.split(",") if "," in text else text


def preprocess_settings(
    config: Path | None = None, assignments: Iterable[str] = (), **options: Any
) -> PreprocessSettings:
    """Settings from a TOML file, then `--set` items, then options given by name; the later wins.

    Args:
        config: TOML file with the keys of `PreprocessSettings`, or None.
        assignments: Items such as "size=112".
        options: Fields by name; None means "not given".

    Raises:
        ConfigError, FileError: as `settings` and `read_toml`.
    """
    table = read_toml(config) if config is not None else {}
    settings(PreprocessSettings, table, str(config))
    table |= parse_assignments(assignments)
    table |= {key: value for key, value in options.items() if value is not None}
    return settings(PreprocessSettings, table)
