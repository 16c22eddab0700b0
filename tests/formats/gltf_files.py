"""Build small glTF files, right and wrong ones."""

import base64
import copy
import io
import json
import struct

import numpy as np
from PIL import Image

SQUARE = np.array([[0, 0, 0.5], [2, 0, 0.25], [2, 3, -1], [0, 3, 0.125]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
UV = np.array([[0.125, 0.25], [0.875, 0.25], [0.75, 0.75], [0.0625, 0.625]], np.float32)  # v up
DOWN = np.stack([UV[:, 0], 1 - UV[:, 1]], axis=1)  # as glTF has them
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
TYPES = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
SHAPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


def quarters(size=8):
    """Red above left, green above right, blue below left, white below right."""
    image = np.zeros((size, size, 3), np.uint8)
    half = size // 2
    image[:half, :half], image[:half, half:], image[half:, :half], image[half:, half:] = RED, GREEN, BLUE, WHITE
    return image


def picture(image=None, kind="PNG"):
    """The bytes of a picture file."""
    content = io.BytesIO()
    Image.fromarray(quarters() if image is None else image).save(
        content, format=kind, **({"lossless": True} if kind == "WEBP" else {})
    )
    return content.getvalue()


class File:
    """A glTF file in the making. `tree` is its JSON and `data` its buffer."""

    def __init__(self):
        self.data = b""
        self.tree = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": []}]}

    def add(self, kind, entry):
        """Append to a list at the root; returns the index."""
        self.tree.setdefault(kind, []).append(entry)
        return len(self.tree[kind]) - 1

    def view(self, content, **more):
        self.data += bytes(-len(self.data) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content), **more}
        self.data += content
        return self.add("bufferViews", entry)

    def accessor(self, values, kind="f4", shape=None, view=True, **more):
        values = np.asarray(values)
        values = values.reshape(len(values), -1).astype("<" + kind)
        entry = {"componentType": TYPES[kind], "count": len(values), "type": shape or SHAPES[values.shape[1]], **more}
        if view:
            entry = {"bufferView": self.view(values.tobytes()), **entry}
        return self.add("accessors", entry)

    def primitive(self, points=SQUARE, faces=FACES, uv=None, material=None, attributes=None, **more):
        attributes = {"POSITION": self.accessor(points), **(attributes or {})}
        if uv is not None:
            attributes["TEXCOORD_0"] = self.accessor(uv)
        entry = {"attributes": attributes, **more}
        if faces is not None:
            entry["indices"] = self.accessor(np.ravel(faces), "u2")
        if material is not None:
            entry["material"] = material
        return entry

    def mesh(self, *primitives, **more):
        return self.add("meshes", {"primitives": list(primitives), **more})

    def node(self, root=True, **entry):
        """Append a node, and show it in the first scene."""
        index = self.add("nodes", entry)
        if root:
            self.tree["scenes"][0]["nodes"].append(index)
        return index

    def show(self, *primitives, **node):
        return self.node(mesh=self.mesh(*primitives), **node)

    def texture(self, content=None, mime="image/png", **more):
        source = self.add(
            "images", {"bufferView": self.view(picture() if content is None else content), "mimeType": mime}
        )
        return self.add("textures", {"source": source, **more})

    def material(self, texture=None, info=None, factor=None, **more):
        base = {} if texture is None else {"baseColorTexture": {"index": texture, **(info or {})}}
        base |= {} if factor is None else {"baseColorFactor": factor}
        return self.add("materials", {"pbrMetallicRoughness": base, **more})

    def extend(self, *names, required=False):
        for key in ("extensionsUsed", *(("extensionsRequired",) if required else ())):
            self.tree.setdefault(key, []).extend(names)

    def json(self):
        tree = copy.deepcopy(self.tree)
        if self.data and "buffers" not in tree:
            tree["buffers"] = [{"byteLength": len(self.data)}]
        return tree

    def glb(self):
        return glb(self.json(), self.data)

    def gltf(self, uri=None):
        """A text file with its buffer within, or at `uri`."""
        tree = self.json()
        within = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
        tree["buffers"][0]["uri"] = within if uri is None else uri
        return json.dumps(tree).encode()


def glb(tree, data=b"", version=2, magic=b"glTF"):
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    content = [chunk(b"JSON", text)] + ([chunk(b"BIN\0", data + bytes(-len(data) % 4))] if data else [])
    return container(*content, version=version, magic=magic)


def chunk(kind, content):
    return struct.pack("<I4s", len(content), kind) + content


def container(*chunks, version=2, magic=b"glTF", length=None):
    content = b"".join(chunks)
    return struct.pack("<4sII", magic, version, 12 + len(content) if length is None else length) + content


def plain():
    """One square."""
    file = File()
    file.show(file.primitive())
    return file


def textured(image=None, info=None, uv=DOWN, kind="PNG", attributes=None, material=None, **texture):
    """One square with a picture."""
    file = File()
    mime = f"image/{kind.lower()}"
    index = file.texture(None if image is None else image, mime, **texture)
    if kind != "PNG" and image is None:
        file.tree["images"][0]["bufferView"] = file.view(picture(kind=kind))
    row = file.material(index, info, **(material or {}))
    file.show(file.primitive(uv=uv, material=row, attributes=None if attributes is None else attributes(file)))
    return file
