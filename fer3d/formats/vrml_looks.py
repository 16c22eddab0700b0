"""The Appearance of a VRML 2.0 Shape: its picture, the transform of its texture coordinates, its diffuse colour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer3d.formats.materials import Material
from fer3d.formats.vrml_fields import Fields, Place
from fer3d.formats.vrml_tree import Numbers, shown

_MOVIE = "a MovieTexture was left out|{n} MovieTextures were left out"
_UNKNOWN = "a texture was left out whose type is not known|{n} textures were left out whose types are not known"


class Look(NamedTuple):
    """How a Shape looks.

    Attributes:
        material: Row in the materials of the file, -1: it has no picture.
        uv_matrix: (3, 3) float64 that maps its texture coordinates; None: the identity.
        diffuse: RGB in [0, 255] of its Material; None: it has none.
    """

    material: int = -1
    uv_matrix: NDArray[np.float64] | None = None
    diffuse: tuple[float, ...] | None = None


@dataclass(slots=True, eq=False)
class Looks:
    """Understands each Appearance once, and collects the pictures of the file."""

    fields: Fields
    materials: list[Material] = field(default_factory=list)
    _looks: dict[tuple[int, int], Look] = field(default_factory=dict)
    _rows: dict[object, int] = field(default_factory=dict)
    _images: dict[int, NDArray[np.uint8] | None] = field(default_factory=dict)

    def of(self, shape: Place | None) -> Look:
        """The look of a Shape; that of None is bare."""
        appearance = None if shape is None else self.fields.child(shape, "appearance")
        if appearance is None:
            return Look()
        self._require(appearance, "appearance", "Appearance")
        found = self._looks.get(appearance.key)
        if found is None:
            found = self._looks[appearance.key] = self._look(appearance)
        return found

    def _look(self, appearance: Place) -> Look:
        texture = self.fields.child(appearance, "texture")
        material = None if texture is None else self._material(texture)
        row = -1 if material is None else self._rows.setdefault(material.key, len(self.materials))
        if material is not None and row == len(self.materials):
            self.materials.append(material)
        return Look(row, self._uv_matrix(appearance), self._diffuse(appearance))

    def _material(self, texture: Place) -> Material | None:
        kind = texture.node.kind
        if kind not in ("ImageTexture", "PixelTexture"):
            note = (_MOVIE, "") if kind == "MovieTexture" else (_UNKNOWN, shown(kind))
            self.fields.notes.add(note[0], texture.node.offset, note[1])
            return None
        s, t = ("repeat" if self.fields.flag(texture, f"repeat{axis}", True) else "clamp" for axis in "ST")
        if kind == "ImageTexture":
            urls = tuple(url for url in self.fields.strings(texture, "url") if url)
            return Material("ImageTexture", urls, wrap=(s, t)) if urls else None
        image = self._image(texture)
        return None if image is None else Material("PixelTexture", image=image, wrap=(s, t))

    def _image(self, texture: Place) -> NDArray[np.uint8] | None:
        """The pixels of a PixelTexture, (H, W, 3) uint8, row 0 at the top; None if it has none."""
        numbers = self.fields.find(texture, "image", Numbers)
        if numbers is None:
            return None
        if id(numbers) not in self._images:
            self._images[id(numbers)] = self._pixels(numbers)
        return self._images[id(numbers)]

    def _pixels(self, numbers: Numbers) -> NDArray[np.uint8] | None:
        head, rest = numbers.values[:3].tolist(), numbers.values[3:]
        if len(head) < 3 or not all(value >= 0 and value.is_integer() for value in head) or head[2] > 4:
            message = "a PixelTexture `image` should begin with a width, a height and 0 to 4 components"
            raise self.fields.source.error(numbers.offset, message)
        width, height, components = (int(value) for value in head)
        if width * height != len(rest):
            message = f"a PixelTexture of {head[0]:g} x {head[1]:g} should have as many pixels, has {len(rest)}"
            raise self.fields.source.error(numbers.offset, message)
        if not components or not len(rest):
            return None
        if not ((rest >= 0) & (rest < 256.0**components) & (rest == np.floor(rest))).all():
            message = (
                f"the pixels of a PixelTexture of {components} components should lie in 0 ... 256^{components} - 1"
            )
            raise self.fields.source.error(numbers.offset, message)
        pixels = rest.astype(np.uint64).reshape(height, width)[::-1]  # the first row is the lowest
        bytes_ = [pixels >> np.uint64(8 * (components - 1 - k)) for k in range(components)]
        rgb = bytes_[:3] if components >= 3 else [bytes_[0]] * 3  # 2 and 4 have alpha last
        return (np.stack(rgb, axis=-1) & np.uint64(255)).astype(np.uint8)

    def _uv_matrix(self, appearance: Place) -> NDArray[np.float64] | None:
        """The TextureTransform: -C S R C T, as in ISO/IEC 14772-1, 6.49."""
        fields = self.fields
        node = fields.child(appearance, "textureTransform")
        if node is None:
            return None
        self._require(node, "textureTransform", "TextureTransform")
        centre, back, shift = np.eye(3), np.eye(3), np.eye(3)
        centre[:2, 2] = fields.numbers(node, "center", 2, (0, 0))
        back[:2, 2] = -centre[:2, 2]
        shift[:2, 2] = fields.numbers(node, "translation", 2, (0, 0))
        (angle,) = fields.numbers(node, "rotation", 1, (0,))
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        scale = np.diag([*fields.numbers(node, "scale", 2, (1, 1)), 1.0])
        matrix: NDArray[np.float64] = back @ scale @ turn @ centre @ shift
        return None if np.array_equal(matrix, np.eye(3)) else matrix

    def _diffuse(self, appearance: Place) -> tuple[float, ...] | None:
        node = self.fields.child(appearance, "material")
        if node is None:
            return None
        self._require(node, "material", "Material")
        colour = self.fields.numbers(node, "diffuseColor", 3, (0.8, 0.8, 0.8))
        return tuple((colour * 255.0).clip(0.0, 255.0).tolist())

    def _require(self, place: Place, name: str, kind: str) -> None:
        if place.node.kind != kind:
            raise self.fields.error(place, f"`{name}` should be a {kind}, is a {shown(place.node.kind)[1:-1]}")
