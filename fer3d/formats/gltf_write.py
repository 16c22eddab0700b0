"""Write a scan as a .glb file: one mesh, with its texture and colours inside."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d import __version__
from fer3d.formats import gltf_colours
from fer3d.formats.gltf_meshes import OWN_COLOURS
from fer3d.scan import Scan

_WRAPS = {"clamp": 33071, "mirror": 33648, "repeat": 10497}
_VERTICES, _INDICES = 34962, 34963  # targets of buffer views


def glb(scan: Scan) -> bytes:
    """The bytes of a .glb file.

    Faces with texture coordinates at all corners are one primitive, others a second one without any. Colours of
    vertices would multiply the picture by the standard, so that they stand as COLOR_0 only where there is none; where
    there is one they have a name of their own, which other programs leave out.

    Args:
        scan: A scan with at least one face.
    """
    packed = _Packed()
    attributes = {"POSITION": packed.positions(scan.vertices)}
    shown: NDArray[np.bool_] = np.zeros(len(scan.faces), np.bool_)
    coordinates = colours = None
    if scan.uv is not None:
        known = np.asarray(np.isfinite(scan.uv).all(axis=1))
        shown = np.asarray(known[scan.faces].all(axis=1))
        coordinates = packed.coordinates(scan.uv, known) if shown.any() else None
    if scan.colours is not None:
        colours = packed.accessor(_padded(gltf_colours.encoded(scan.colours)), 5123, "VEC3", {"normalized": True})
    textured = scan.texture is not None and coordinates is not None
    primitives: list[dict[str, Any]] = []
    for faces, own in ((scan.faces[shown], coordinates), (scan.faces[~shown], None)):
        if not len(faces):
            continue
        placed = {} if own is None else {"TEXCOORD_0": own}
        key = OWN_COLOURS if textured and own is not None else "COLOR_0"
        coloured = {} if colours is None else {key: colours}
        material = {"material": 0 if own is not None else 1} if textured else {}
        indices = {"indices": packed.indices(faces)}
        primitives.append({"attributes": attributes | placed | coloured, **indices, **material})
    tree: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": f"fer3d {__version__}"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": primitives}],
    }
    if textured and scan.texture is not None:
        tree |= _looks(packed, scan.texture, scan.wrap)
    return packed.file(tree)


class _Packed:
    """The BIN chunk of a file, and what the JSON says about it."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, content: bytes, **more: Any) -> int:
        """Add bytes, and return their row in bufferViews."""
        self.content += bytes(-len(self.content) % 4)
        self.views.append({"buffer": 0, "byteOffset": len(self.content), "byteLength": len(content), **more})
        self.content += content
        return len(self.views) - 1

    def accessor(self, values: NDArray[Any], component: int, shape: str, more: dict[str, Any] | None = None) -> int:
        """Add an array (N, n) of numbers of vertices, and return its row in accessors. Rows may be padded."""
        view = self.view(values.tobytes(), target=_VERTICES, byteStride=values.strides[0])
        return self._add(view, len(values), component, shape, more or {})

    def positions(self, vertices: NDArray[np.float32]) -> int:
        """Add vertices (N, 3) with the bounds that the standard wants."""
        finite = vertices[np.isfinite(vertices).all(axis=1)]
        low, high = (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (np.zeros(3), np.zeros(3))
        bounds = {"min": low.tolist(), "max": high.tolist()}
        return self.accessor(np.ascontiguousarray(vertices, "<f4"), 5126, "VEC3", bounds)

    def coordinates(self, uv: NDArray[np.float32], known: NDArray[np.bool_]) -> int:
        """Add texture coordinates (N, 2), v down; zeros at vertices that have none."""
        down = np.stack([uv[:, 0], 1.0 - uv[:, 1].astype(np.float64)], axis=1)
        return self.accessor(np.where(known[:, None], down, 0.0).astype("<f4"), 5126, "VEC2")

    def indices(self, faces: NDArray[np.int32]) -> int:
        """Add the corners of faces (F, 3)."""
        view = self.view(faces.astype("<u4").tobytes(), target=_INDICES)
        return self._add(view, faces.size, 5125, "SCALAR", {})

    def _add(self, view: int, count: int, component: int, shape: str, more: dict[str, Any]) -> int:
        said = {"bufferView": view, "componentType": component, "count": count, "type": shape, **more}
        self.accessors.append(said)
        return len(self.accessors) - 1

    def file(self, tree: dict[str, Any]) -> bytes:
        """The whole file."""
        binary = bytes(self.content) + bytes(-len(self.content) % 4)
        buffers = [{"byteLength": len(self.content)}]
        tree = {**tree, "accessors": self.accessors, "bufferViews": self.views, "buffers": buffers}
        text = json.dumps(tree, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + len(binary)
        head = struct.pack("<4sII", b"glTF", 2, total) + struct.pack("<I4s", len(text), b"JSON")
        return b"".join((head, text, struct.pack("<I4s", len(binary), b"BIN\0"), binary))


def _looks(packed: _Packed, image: NDArray[np.uint8], wrap: tuple[str, str]) -> dict[str, Any]:
    """The picture of a scan and its materials: the first shows it, the second is plain."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(image).save(content, format="PNG", compress_level=1)
    plain = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    return {
        "images": [{"bufferView": packed.view(content.getvalue()), "mimeType": "image/png"}],
        "samplers": [{"wrapS": _WRAPS[wrap[0]], "wrapT": _WRAPS[wrap[1]]}],
        "textures": [{"source": 0, "sampler": 0}],
        "materials": [
            {"name": "texture", "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, **plain}},
            {"name": "plain", "pbrMetallicRoughness": plain},
        ],
    }


def _padded(codes: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """(N, 4): RGB and two bytes more, as elements begin at multiples of 4 bytes."""
    return np.concatenate([codes, np.zeros((len(codes), 1), np.uint16)], axis=1).astype("<u2")
