"""`folds.toml`: the published protocols of a data set, in the folder of its card.

A table `p1` of the card `bu3dfe` is the protocol `bu3dfe-p1`. The protocols of shipped cards are always available.
`fer3d preprocess` copies the protocols of any other card into the prepared folder (`fer3d.catalog.stored_card`), and
they are available when training on that folder. If both sources have a protocol of the same name, they must agree in
everything but title and source. Otherwise the name is refused, as it would be ambiguous which of them a result used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from fer3d.catalog.cards import SHIPPED, expand_range
from fer3d.catalog.stored_card import FOLDS, stored_card, stored_folds
from fer3d.checks import did_you_mean
from fer3d.errors import CardError, ProtocolError
from fer3d.files import brief, read_toml
from fer3d.scan import LABELS

GENERAL = ("k-fold", "leave-one-out", "cross", "parts")  # protocols for any data


class ProtocolFacts(BaseModel):
    """One table of a `folds.toml`. `datasets/README.md` explains every key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    source: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    intensities: tuple[StrictInt, ...] = ()
    subjects: tuple[str, ...] = ()
    complete: StrictBool = False
    draw: Annotated[StrictInt, Field(ge=2)] | None = None
    redraw: StrictBool = False
    folds: Annotated[StrictInt, Field(ge=2)] = 10
    frames: Annotated[StrictInt, Field(ge=1)] | None = None
    last_frames: Annotated[StrictInt, Field(ge=1)] | None = None
    where: dict[str, str] = {}

    @field_validator("classes")
    @classmethod
    def _canonical(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        for name in classes:
            if name not in LABELS:
                raise ValueError(f"wanted canonical labels, got {name!r}")
        return tuple(name for name in LABELS if name in classes)

    @field_validator("last_frames")
    @classmethod
    def _middle_or_end(cls, last: int | None, info: ValidationInfo) -> int | None:
        if last is not None and info.data.get("frames") is not None:
            raise ValueError("wanted `frames` or `last_frames`, not both")
        return last

    @field_validator("subjects")
    @classmethod
    def _expand(cls, subjects: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for item in subjects for name in expand_range(item))


def protocol_names(prepared: Path | None = None) -> tuple[str, ...]:
    """Return the names of all protocols: of shipped cards, of the card of a prepared folder, and the general ones.

    Raises:
        CardError: if a folds.toml is not valid.
    """
    return (*dict.fromkeys((*_shipped(), *_stored(prepared))), *GENERAL)


def own_protocol(name: str, prepared: Path | None = None) -> ProtocolFacts:
    """Return the facts of a data set's own protocol.

    Args:
        name: A name in `protocol_names(prepared)` that is not in `GENERAL`.
        prepared: A prepared folder, as for `protocol_names`.

    Raises:
        ProtocolError: if two cards have different protocols of this name.
        CardError: if a folds.toml is not valid.
    """
    shipped, stored = _shipped().get(name), _stored(prepared).get(name)
    facts = [_facts(*place) for place in (shipped, stored) if place is not None]
    rules = [entry.model_dump(exclude={"title", "source"}) for entry in facts]
    if rules[0] != rules[-1]:
        raise ProtocolError(
            f"protocol {name}: {prepared}/card/{FOLDS} and the shipped card of that name differ: give the card or "
            "the table another name and prepare the scans again"
        )
    return facts[-1]


def check_folds_file(file: Path, card: str) -> None:
    """Raise CardError if the folds.toml of the card of this name is not valid."""
    for place in _places(file, card).values():
        _facts(*place)


Place = tuple[Path, str, Any]  # file, table, content


def _shipped() -> dict[str, Place]:
    places: dict[str, Place] = {}
    for file in sorted(SHIPPED.glob(f"*/{FOLDS}")):
        places |= _places(file, file.parent.name)
    return places


def _stored(prepared: Path | None) -> Mapping[str, Place]:
    card = stored_card(prepared) if prepared is not None else None
    file = stored_folds(prepared) if prepared is not None else None
    return _places(file, card.name) if card is not None and file is not None else {}


def _places(file: Path, card: str) -> dict[str, Place]:
    """Return the name of each protocol of a file -> file, table and content."""
    places: dict[str, Place] = {}
    for table, content in read_toml(file, CardError).items():
        name = f"{card}-{table}"
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", table) or not isinstance(content, dict):
            raise CardError(f"{file}: wanted tables, named by letters, digits, _ and -, got {table!r}")
        if name in GENERAL:
            raise CardError(f"{file}: wanted another name than {name}, which is a protocol for any data")
        places[name] = file, table, content
    return places


def _facts(file: Path, name: str, table: Any) -> ProtocolFacts:
    try:
        return ProtocolFacts.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in (name, *first["loc"]))
        if first["type"] == "missing":
            raise CardError(f"{file}: `{key}` is missing") from None
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(first["loc"][-1], ProtocolFacts.model_fields)
            raise CardError(f"{file}: `{key}` is no key of a protocol{hint}") from None
        wanted = first["msg"].removeprefix("Value error, ")
        raise CardError(f"{file}: `{key}` {wanted}, got {brief(first['input'])}") from None
