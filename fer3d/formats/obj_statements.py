"""What the statements of a Wavefront .obj file say, sorted by `csrc/obj`; and what of it cannot be kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer3d import _native
from fer3d.errors import FormatError
from fer3d.files import line_of, read_bytes

MOST_NAMES = 8  # in one message

_SURFACES = frozenset((
    "bmat", "bsp", "bzp", "cdc", "cdp", "con", "cstype", "curv", "curv2", "deg", "end", "hole", "parm", "res", "scrv",
    "sp", "step", "surf", "trim", "vp",
))  # fmt: skip
# They say how something is drawn, grouped or shaded. `ctech` and `stech` say how finely curves and surfaces are drawn.
_SKIPPED = frozenset((
    "bevel", "c_interp", "ctech", "d_interp", "g", "lod", "mg", "mtllib", "o", "s", "shadow_obj", "stech", "trace_obj",
    "usemtl",
))  # fmt: skip
_LEFT_OUT = (
    ("free-form curves and surfaces", _SURFACES),
    ("points and lines", frozenset(("p", "l"))),
    ("texture maps outside materials", frozenset(("maplib", "usemap"))),
    ("colours in comments", frozenset(("#mrgb",))),
    ("commands, which are never run,", frozenset(("csh",))),
)


@dataclass(frozen=True, eq=False)
class Statements:
    """The statements of a file. The arrays are those of `csrc/obj/obj.h`.

    Attributes:
        path: The file.
        text: Its content.
        points: (N, 3) float64.
        width: (N,) uint8. How many numbers each `v` has.
        more: (M,) float64. Their numbers after the third.
        uv: (T, 2) float64.
        corners: (C,) int32. Rows of `points`, polygon by polygon.
        uv_corners: (C,) int32, -1 where a corner has none; or empty.
        sizes: (P,) int32. The number of corners of each polygon.
        keywords: Keywords of the other statements, in lower case.
        table: (S, 5) int64. The other statements: row in `keywords`, byte offset, begin and end of the words after the
            keyword, number of polygons before it.
    """

    path: Path
    text: bytes
    points: NDArray[np.float64]
    width: NDArray[np.uint8]
    more: NDArray[np.float64]
    uv: NDArray[np.float64]
    corners: NDArray[np.int32]
    uv_corners: NDArray[np.int32]
    sizes: NDArray[np.int32]
    keywords: tuple[str, ...]
    table: NDArray[np.int64]

    @classmethod
    def of(cls, path: Path) -> Statements:
        """Read a file.

        Raises:
            FileError: if it cannot be opened.
            FormatError: if it is no plain text, a statement cannot be parsed, or it inserts another file.
        """
        text = read_bytes(path)
        nul = text.find(b"\0")
        if nul >= 0:
            raise FormatError(
                f"{path}: line {line_of(text, nul)} (byte {nul}): plain text was wanted, this is a NUL byte: the file "
                f"is damaged, or in another encoding such as UTF-16"
            )
        try:
            points, width, more, uv, corners, uv_corners, sizes, keywords, table = _native.scan_obj(text)
        except _native.BlockError as error:
            message, offset = error.args
            raise FormatError(f"{path}: line {line_of(text, offset)} (byte {offset}): {message}") from None
        names = tuple(name.decode("latin-1") for name in keywords)
        statements = cls(path, text, points, width, more, uv, corners, uv_corners, sizes, names, table)
        statements._refuse_calls()
        return statements

    def named(self, keyword: str) -> Iterator[tuple[int, bytes]]:
        """Number of polygons before, and words, of each statement with this keyword. Continued lines are joined."""
        if keyword not in self.keywords:
            return
        rows = self.table[self.table[:, 0] == self.keywords.index(keyword)]
        for _, _, begin, stop, faces in rows.tolist():
            words = self.text[begin:stop]
            yield faces, re.sub(rb"\\(?:\r\n|\r|\n)", b" ", words) if b"\n" in words or b"\r" in words else words

    @cached_property
    def left_out(self) -> tuple[str, ...]:
        """A note for each kind of statement of which something is lost."""
        found = dict.fromkeys(self.keywords)
        if "usemap" in found and all(words.lower() == b"off" for _, words in self.named("usemap")):
            del found["usemap"]
        notes = []
        for what, kind in _LEFT_OUT:
            names = [name for name in found if name in kind]
            if names:
                notes.append(f"its {what} are left out: {self._counted(names)}")
        known = _SKIPPED.union(*(kind for _, kind in _LEFT_OUT))
        unknown = [name for name in found if name not in known]
        if unknown:
            notes.append(f"its unknown statements are left out: {self._counted(unknown)}")
        return tuple(notes)

    def _counted(self, names: list[str]) -> str:
        """`surf` (2, the first in line 9), ..."""
        counts = np.bincount(self.table[:, 0], minlength=len(self.keywords))
        shown = []
        for name in names[:MOST_NAMES]:
            row = self.keywords.index(name)
            first = int(self.table[int(np.argmax(self.table[:, 0] == row)), 1])
            plain = "".join(c if " " < c <= "~" else "?" for c in name.replace("#mrgb", "#MRGB"))
            shown.append(f"`{plain}` ({counts[row]}, the first in line {line_of(self.text, first)})")
        if len(names) > MOST_NAMES:
            shown.append(f"and {len(names) - MOST_NAMES} more kinds")
        return ", ".join(shown)

    def _refuse_calls(self) -> None:
        if "call" in self.keywords:
            row = int(np.argmax(self.table[:, 0] == self.keywords.index("call")))
            line = line_of(self.text, int(self.table[row, 1]))
            raise FormatError(
                f"{self.path}: line {line}: a file that is whole was wanted, `call` inserts the statements of another"
            )


def colours(statements: Statements) -> tuple[NDArray[np.float32] | None, list[str]]:
    """Colours of the vertices, and notes about numbers of `v` that are left out.

    `v` has x y z, or x y z w, or x y z r g b. Seven numbers are x y z w r g b or x y z r g b a: they are told apart by
    w and a, which are 1 (a also 255) at all vertices.

    Returns:
        (N, 3) float32 in [0, 255], NaN where a vertex has none; or None if no vertex has one.
    """
    width, more = statements.width, statements.more
    if not len(more):
        return None, []
    first = np.cumsum(width - 3, dtype=np.int64) - (width - 3)
    out = np.full((len(width), 3), np.nan)
    notes = []
    weights = [more[first[width == 4]]]
    six, seven = np.flatnonzero(width == 6), np.flatnonzero(width == 7)
    out[six] = more[first[six][:, None] + np.arange(3)]
    four = more[first[seven][:, None] + np.arange(4)]
    rgb_first = bool((four[:, 3] == 1).all() or (four[:, 3] == 255).all())
    rgb_last = bool((four[:, 0] == 1).all())
    if rgb_first != rgb_last or (four == 1).all():
        out[seven] = four[:, :3] if rgb_first else four[:, 1:]
    else:
        notes.append(
            f"{len(seven)} `v` have seven numbers, x y z w r g b or x y z r g b a, which is not clear: "
            "their colours are left out"
        )
    weighted = int((np.concatenate(weights) != 1).sum())
    if weighted:
        notes.append(
            f"{weighted} `v` have a fourth number other than 1, a weight of free-form surfaces: it is left out"
        )
    return _in_range(out, notes), notes


def _in_range(rgb: NDArray[np.float64], notes: list[str]) -> NDArray[np.float32] | None:
    """Colours (N, 3) as numbers in [0, 255]. They are in [0, 1] unless one is above 1."""
    with np.errstate(invalid="ignore"):
        if not (rgb > 1).any():
            rgb = rgb * 255
        outside = ((rgb < 0) | (rgb > 255)).any(axis=1)
    if outside.any():
        notes.append(f"{int(outside.sum())} colours of vertices lie outside [0, 255]: they are left out")
    rgb[outside | np.isnan(rgb).any(axis=1)] = np.nan
    return None if np.isnan(rgb).all() else rgb.astype(np.float32)
