"""What the properties of .ply elements say about looks: texture coordinates and colours, under all names in use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from fer3d.formats.colours import as_colours
from fer3d.formats.ply_header import Element, listed
from fer3d.formats.rows import Table


def _uv_names() -> Iterator[tuple[str, str]]:
    prefixes = ("texture_", "texcoord_", "tex_coord_", "texture_coord_", "tex_", "uv_", "map_", "texcoord0_", "uv0_")
    for prefix, (u, v), suffix in product(
        (*prefixes, "texture", "texcoord", "tex", "uv", "t", ""), (("u", "v"), ("s", "t"), ("x", "y")), ("", "0", "_0")
    ):
        if prefix or u != "x":
            yield prefix + u + suffix, prefix + v + suffix


UV_NAMES = tuple(_uv_names())
RGB_NAMES = tuple(
    (prefix + r, prefix + g, prefix + b)
    for (r, g, b), prefix in product(
        (("red", "green", "blue"), ("r", "g", "b")), ("", "diffuse_", "vertex_", "color_", "colour_", "col_", "face_")
    )
)
GREY_NAMES = ("gray", "grey", "luminance")
CORNER_UV_NAMES = (
    *("texcoord", "texcoords", "tex_coord", "tex_coords", "texture_coord", "texture_coords", "texture_coordinates"),
    *("tcoords", "uv", "uvs", "texture_uv"),
)
CORNER_RGB_NAMES = ("color", "colors", "colour", "colours")
NUMBER_NAMES = ("texnumber", "tex_number", "texture_number", "texture_id")

# Names that say something about looks. What has one and is not used is named in a warning.
_LOOKS = re.compile(
    r"(tex|uv|map_|tcoord|material|mtl)|.*(red|green|blue|colou?r|rgb|gr[ae]y|lumina|intensity|albedo|reflect|f_dc)"
    r"|[rgb]\d?$|([a-z0-9]+_)?t?[uvst]\d?$|t[xy]\d?$|ambient|diffuse|specular"
)
_ALPHA = re.compile(r"(.*_)?(a|alpha|opacity)")  # says how far one sees through the surface


def uv_columns(element: Element) -> tuple[str, str] | None:
    """Names of the real-valued properties that are texture coordinates; None if there are none."""
    there = {column.name for column in element.columns if column.length is None and column.item[0] == "f"}
    return next((pair for pair in UV_NAMES if there.issuperset(pair)), None)


def rgb_columns(element: Element) -> tuple[str, str, str] | None:
    """Names of the properties that are red, green and blue, all of one type; None if there are none."""
    kinds = {column.name: column.item for column in element.columns if column.length is None}
    for names in (*RGB_NAMES, *((name, name, name) for name in GREY_NAMES)):
        if names[0] in kinds and all(kinds.get(name) == kinds[names[0]] for name in names):
            return names
    return None


def list_column(element: Element, names: tuple[str, ...], kinds: str) -> str | None:
    """The first list of one of these names whose items are of one of these kinds ("f", "iu"); None if none."""
    for column in element.columns:
        if column.name in names and column.length is not None and column.item[0] in kinds:
            return column.name
    return None


def number_column(element: Element) -> str | None:
    """The property that says which texture a face has; None if there is none."""
    return next((name for name in NUMBER_NAMES if _is_number(element, name, "iu")), None)


def unused(element: Element, used: set[str]) -> list[str]:
    """A warning about properties of an element that seem to be about looks and are not used."""
    names = [
        column.name
        for column in element.columns
        if column.name not in used and _LOOKS.match(column.name) and not _ALPHA.fullmatch(column.name)
    ]
    if not names:
        return []
    return [f"element {element.name!r}: what it says about looks in {listed(names)} is not used"]


def columns_of(table: Table, names: tuple[str, ...]) -> NDArray[Any]:
    """(R, len(names)): single numbers of each row. Numbers that lie side by side in the file are not copied."""
    columns = [table.numbers[name] for name in names]
    first = columns[0]
    step, stride = first.itemsize, first.strides[0]
    begin = first.ctypes.data
    side_by_side = all(
        (c.dtype, c.strides[0], c.ctypes.data) == (first.dtype, stride, begin + k * step) for k, c in enumerate(columns)
    )
    if not side_by_side or stride < len(names) * step:
        return np.stack(columns, axis=1)
    return as_strided(first, (len(first), len(names)), (stride, step), writeable=False)


def rgb_of(table: Table, element: Element, names: tuple[str, str, str]) -> NDArray[np.float32] | None:
    """(R, 3) colours; None if their range is not known."""
    column = element.column(names[0])
    assert column is not None
    return as_colours(columns_of(table, names), column.item)


def _is_number(element: Element, name: str, kinds: str) -> bool:
    column = element.column(name)
    return column is not None and column.length is None and column.item[0] in kinds
