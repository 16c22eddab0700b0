"""The materials of a glTF file: the picture on a primitive, where its coordinates place it, and its plain colour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from fer3d.formats import textures
from fer3d.formats.gltf_container import Document
from fer3d.formats.gltf_tree import Entry, shown
from fer3d.formats.materials import Material

_WRAPS = {33071: "clamp", 33648: "mirror", 10497: "repeat"}
_WHITE = (1.0, 1.0, 1.0)
# Extensions of a texture with a picture of another kind, in order of preference: those that are read come first.
_SOURCES = ("EXT_texture_webp",)
_UNREAD_SOURCES = ("KHR_texture_basisu", "EXT_texture_avif", "MSFT_texture_dds")


@dataclass(frozen=True)
class Look:
    """How a primitive looks.

    Attributes:
        row: Row in `Materials.finished`, -1 without a material.
        called: The material, for messages.
        picture: Row in `images` of the file, or None.
        wrap: How the picture continues outside [0, 1]; see `fer3d.scan.Scan`.
        coordinates: Which TEXCOORD places the picture.
        transform: Rows of a (2, 3) matrix that moves these coordinates, v down, or None.
        factor: Linear RGB that the picture and the colours of vertices are multiplied by.
    """

    row: int = -1
    called: str = "no material"
    picture: int | None = None
    wrap: tuple[str, str] = ("repeat", "repeat")
    coordinates: int = 0
    transform: tuple[tuple[float, float, float], ...] | None = None
    factor: tuple[float, float, float] = _WHITE


class Materials:
    """The materials that primitives of a file use."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._looks: dict[int | None, Look] = {}
        self._pixels = 0

    def look(self, primitive: Entry) -> Look:
        """The material of a primitive. Without one it is white."""
        tree = self.document.tree
        index = tree.index(primitive, "material", "materials") if "material" in primitive else None
        if index not in self._looks:
            material = None if index is None else tree.all("materials")[index]
            row = len(self._looks) - (None in self._looks)
            self._looks[index] = Look() if material is None else self._read(material, row)
        return self._looks[index]

    def finished(self, needed: bool) -> list[Material]:
        """The materials in use, with their pictures.

        Args:
            needed: Whether the pictures are wanted. A single one is not decoded otherwise: with several, and where
                some faces have none, it matters for the texture coordinates which of them can be read.
        """
        looks = [look for key, look in self._looks.items() if key is not None]
        kinds = {(look.picture, look.wrap) for look in self._looks.values()}
        if not needed and len(kinds) == 1:
            blank = np.zeros((1, 1, 3), np.uint8)
            return [Material(k.called, image=None if k.picture is None else blank, wrap=k.wrap) for k in looks]
        pictures = {row: self._picture(row) for row in dict.fromkeys(k.picture for k in looks) if row is not None}
        named = [((), None) if k.picture is None else pictures[k.picture] for k in looks]
        return [Material(k.called, files, image, k.wrap) for k, (files, image) in zip(looks, named, strict=True)]

    def _read(self, material: Entry, row: int) -> Look:
        info, factor = _base_colour(material)
        called = f"material {shown(material.text('name'))}" if "name" in material else material.where
        mode = material.text("alphaMode", "OPAQUE")
        if mode not in ("OPAQUE", "MASK", "BLEND"):
            material.fail("alphaMode", "OPAQUE, MASK or BLEND")
        if mode != "OPAQUE":
            self.document.warn(f"{called} is transparent in places (alphaMode {mode}): it is read as opaque")
        picture, wrap = (None, ("repeat", "repeat")) if info is None else self._texture(info, called)
        if picture is None:
            self._check_glow(material, called)
            return Look(row, called, factor=factor)
        assert info is not None
        if factor != _WHITE:
            times = " ".join(f"{x:.3g}" for x in factor)
            self.document.warn(f"{called} multiplies its picture by the colour {times}: the picture is read as it is")
        coordinates, transform = _coordinates(info)
        return Look(row, called, picture, wrap, coordinates, transform, factor)

    def _texture(self, info: Entry, called: str) -> tuple[int | None, tuple[str, str]]:
        """The picture of a texture and how it continues."""
        tree = self.document.tree
        texture = tree.all("textures")[tree.index(info, "index", "textures")]
        sampler = tree.named(texture, "sampler", "samplers")
        wrap = ("repeat", "repeat") if sampler is None else (_wrap(sampler, "wrapS"), _wrap(sampler, "wrapT"))
        for name in _SOURCES:
            other = texture.extension(name)
            if other is not None:
                return tree.index(other, "source", "images"), wrap
        if "source" in texture:
            return tree.index(texture, "source", "images"), wrap
        unread = [name for name in _UNREAD_SOURCES if texture.extension(name) is not None]
        reason = f"only as {unread[0]}, which is not read" if unread else "not at all"
        self.document.warn(f"the file holds the picture of {called} {reason}: it is left out")
        return None, wrap

    def _check_glow(self, material: Entry, called: str) -> None:
        """Warn if the only picture of a material is one of light that it gives off."""
        glow = material.numbers("emissiveFactor", 3, (0, 0, 0))
        if "emissiveTexture" in material and any(glow):
            self.document.warn(f"{called} has a picture only as emissiveTexture: it is left out")

    def _picture(self, row: int) -> tuple[tuple[str, ...], NDArray[np.uint8] | None]:
        """The names of a picture file, or the picture. A broken one becomes a warning."""
        tree = self.document.tree
        image = tree.all("images")[row]
        if ("uri" in image) == ("bufferView" in image):
            image.refuse("should have either uri or bufferView")
        view = tree.named(image, "bufferView", "bufferViews")
        if view is not None:
            content = bytes(self.document.view(view))
        elif image.text("uri")[:5].lower() == "data:":
            content = self.document.bytes_of(image)
        else:
            uri = image.text("uri")
            return tuple(dict.fromkeys((unquote(uri), uri))), None
        room = textures.MAX_PIXELS - self._pixels
        found, problem = textures.decode(content, room, decoders=textures.INSIDE)
        if found is None:
            self.document.warn(f"its picture {image.called} {problem}")
            return (), None
        self._pixels += found.shape[0] * found.shape[1]
        return (), found


def _base_colour(material: Entry) -> tuple[Entry | None, tuple[float, float, float]]:
    """The textureInfo of the picture, and the factor: of metallic-roughness, else of specular-glossiness."""
    usual = material.entry("pbrMetallicRoughness")
    old = material.extension("KHR_materials_pbrSpecularGlossiness")
    info = None if usual is None else usual.entry("baseColorTexture")
    plain = usual is not None and "baseColorFactor" in usual
    if info is None and old is not None and ("diffuseTexture" in old or not plain):
        return old.entry("diffuseTexture"), _factor(old, "diffuseFactor")
    return info, _WHITE if usual is None else _factor(usual, "baseColorFactor")


def _factor(owner: Entry, key: str) -> tuple[float, float, float]:
    values = owner.numbers(key, 4, (1, 1, 1, 1))
    if not all(0 <= value <= 1 for value in values):
        owner.fail(key, "4 numbers from 0 to 1")
    return values[0], values[1], values[2]


def _wrap(sampler: Entry, key: str) -> str:
    code = sampler.integer(key, 10497)
    if code not in _WRAPS:
        sampler.fail(key, "33071, 33648 or 10497")
    return _WRAPS[code]


def _coordinates(info: Entry) -> tuple[int, tuple[tuple[float, float, float], ...] | None]:
    """Which TEXCOORD a texture uses, and its KHR_texture_transform.

    Positive angles turn the coordinates counter-clockwise as one sees them, with v down. This is what the text of the
    extension and its implementations agree on; the matrix printed there turns the other way.
    """
    coordinates = info.integer("texCoord", 0)
    transform = info.extension("KHR_texture_transform")
    if transform is None:
        return coordinates, None
    (right, down), (wide, high) = transform.numbers("offset", 2, (0, 0)), transform.numbers("scale", 2, (1, 1))
    angle = transform.number("rotation", 0)
    c, s = float(np.cos(angle)), float(np.sin(angle))
    matrix = ((c * wide, s * high, right), (-s * wide, c * high, down))
    return transform.integer("texCoord", coordinates), matrix


def moved(coordinates: NDArray[np.floating], transform: Iterable[Iterable[float]] | None) -> NDArray[np.float64]:
    """Coordinates (N, 2) of glTF after a transform, as uv of this package: v up."""
    uv = coordinates.astype(np.float64)
    if transform is not None:
        matrix = np.array(transform)
        with np.errstate(over="ignore", invalid="ignore"):
            uv = uv @ matrix[:, :2].T + matrix[:, 2]
    np.subtract(1.0, uv[:, 1], out=uv[:, 1])
    return uv
