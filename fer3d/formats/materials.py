"""Find the pictures that lie on the faces of a file, and make one texture of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.formats.atlas import make_atlas
from fer3d.formats.textures import Texture, load


@dataclass(frozen=True, eq=False)
class Material:
    """What a file says about the looks of some of its faces.

    Attributes:
        name: As messages call it: "material 'skin'", "TextureFile 2".
        files: Names of its picture file as the scan file has them, best first. Empty: no file.
        image: (H, W, 3) uint8. The picture, if the scan file itself contains it.
        wrap: How the picture continues outside [0, 1] along u and v; see `fer3d.scan.Scan`.
    """

    name: str
    files: tuple[str, ...] = ()
    image: NDArray[np.uint8] | None = None
    wrap: tuple[str, str] = ("repeat", "repeat")

    @property
    def textured(self) -> bool:
        """Whether it has a picture."""
        return bool(self.files) or self.image is not None

    @property
    def called(self) -> str:
        """Its picture, for messages."""
        return repr(self.files[0]) if self.files else self.name

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for two materials with the same picture, used in the same way."""
        return (self.files, id(self.image) if self.image is not None else None, self.wrap)


@dataclass(frozen=True, eq=False)
class Looks:
    """How the faces of a file look.

    Attributes:
        image: (H, W, 3) uint8, or None.
        wrap: How it continues outside [0, 1].
        bare: (F,) bool, or None. Faces whose texture coordinates refer to no picture, in a file with a picture.
        corners: (F, 3, 2) float64, or None. Texture coordinates that take the place of those of the file.
        warnings: What was lost.
        record: Names of the pictures, for the history.
    """

    image: NDArray[np.uint8] | None = None
    wrap: tuple[str, str] = ("repeat", "repeat")
    bare: NDArray[np.bool_] | None = None
    corners: NDArray[np.float64] | None = None
    warnings: tuple[str, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        path: Path,
        materials: Sequence[Material],
        material: NDArray[np.integer],
        corner_uv: Callable[[], NDArray[np.float64]] | None,
        *,
        needed: bool,
        expected: bool,
        beside: bool = True,
    ) -> Looks:
        """Find the pictures of a file.

        Args:
            path: The file. Pictures are searched beside it.
            materials: Those of the file.
            material: (F,) integer. Row in `materials` of each face, -1: none.
            corner_uv: Returns (F, 3, 2) texture coordinates, NaN where a corner has none. None: the file has none.
            needed: Whether the picture is wanted. With several pictures it is read in any case, as their sizes
                determine the texture coordinates.
            expected: Whether to warn if no material has a picture and none of the file's name lies beside it.
            beside: Whether a picture of the file's name is searched if no material has one.
        """
        kinds, of_face = _kinds(materials, material)
        if corner_uv is None:
            note = f"{path}: it names the texture {kinds[0].called} but has no texture coordinates" if kinds else ""
            return cls(warnings=(note,) if note else ())
        if not kinds:
            return cls._with(load(path, (), expected=expected), path) if needed and beside else cls()
        several = len(kinds) > 1
        looks = cls._several(path, kinds, of_face, corner_uv()) if several else cls._one(path, kinds[0], needed)
        bare = of_face < 0
        if not bare.any():
            return looks
        note = f"{path}: {bare.sum()} of {len(bare)} faces have a material without a texture, or none: they have no uv"
        return replace(looks, bare=bare, warnings=(*looks.warnings, note))

    @classmethod
    def _with(cls, found: Texture, path: Path, wrap: tuple[str, str] = ("repeat", "repeat")) -> Looks:
        record = {} if found.file is None else {"texture": _relative(found.file, path)}
        return cls(found.image, wrap, warnings=found.warnings, record=record)

    @classmethod
    def _one(cls, path: Path, kind: Material, needed: bool) -> Looks:
        if kind.image is not None or not needed:
            return cls(kind.image, kind.wrap)
        return cls._with(load(path, kind.files), path, kind.wrap)

    @classmethod
    def _several(
        cls, path: Path, kinds: Sequence[Material], of_face: NDArray[np.integer], corners: NDArray[np.float64]
    ) -> Looks:
        """Make an atlas. Faces whose picture cannot be read, and those that no atlas can show, get NaN uv."""
        found = [load(path, k.files, by_stem=False) if k.image is None else Texture(k.image, None, ()) for k in kinds]
        notes = [note for texture in found for note in texture.warnings]
        files = [_relative(texture.file, path) for texture in found if texture.file is not None]
        record: dict[str, Any] = {"textures": files} if files else {}
        there = [k for k, texture in enumerate(found) if texture.image is not None]
        images = [texture.image for texture in found if texture.image is not None]
        if not there:
            return cls(corners=np.full(corners.shape, np.nan), warnings=tuple(notes), record=record)
        atlas = make_atlas(images, [kinds[k].wrap for k in there])
        if atlas is None:
            first = kinds[there[0]]
            notes.append(
                f"{path}: its {len(there)} textures are too large for one; only the faces of {first.called} keep uv"
            )
            corners = np.where((of_face == there[0])[:, None, None], corners, np.nan)
            return cls(images[0], first.wrap, corners=corners, warnings=tuple(notes), record=record)
        place = np.full(len(kinds) + 1, -1)  # the last row is that of faces without a picture
        place[there] = np.arange(len(there))
        placed, lost = atlas.place(corners, place[of_face])
        if lost:
            notes.append(
                f"{path}: {lost} faces reach over the border of one of its {len(there)} textures: they have no uv"
            )
        record["atlas"] = [list(box) for box in atlas.boxes]
        return cls(atlas.image, ("clamp", "clamp"), corners=placed, warnings=tuple(notes), record=record)


def _kinds(materials: Sequence[Material], material: NDArray[np.integer]) -> tuple[list[Material], NDArray[np.integer]]:
    """The different pictures in use, in order of the first face; and the row of each face in them, -1: none."""
    if not any(each.textured for each in materials):
        return [], np.broadcast_to(np.int64(-1), material.shape)
    kinds: dict[tuple[Any, ...], int] = {}
    first_of: list[Material] = []
    table = np.full(len(materials) + 1, -1)  # the last row is that of material -1
    used, first = np.unique(material, return_index=True)
    for i in used[np.argsort(first)]:
        if i >= 0 and materials[i].textured:
            table[i] = kinds.setdefault(materials[i].key, len(kinds))
            if table[i] == len(first_of):
                first_of.append(materials[i])
    return first_of, table[material]


def _relative(file: Path, path: Path) -> str:
    return file.relative_to(path.parent).as_posix()
