"""Open a .glb or .gltf file: its chunks, its version, the extensions that it requires, and its buffers."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

from fer3d.errors import FormatError
from fer3d.files import read_bytes
from fer3d.formats import textures
from fer3d.formats.gltf_tree import Entry, Tree, parse, shown

_JSON, _BIN = b"JSON", b"BIN\0"
_MOST_WARNINGS = 30

# Extensions that say nothing about surface or base colour: shading, lights, notes of other programs.
_HARMLESS = re.compile(
    r"KHR_materials_\w+|KHR_lights_\w+|EXT_lights_\w+|KHR_xmp\w*|KHR_animation_pointer|KHR_audio\w*|FB_ngon_encoding"
    r"|EXT_mesh_features|EXT_structural_metadata|EXT_instance_features|EXT_mesh_manifold|KHR_texture_procedurals"
    r"|ADOBE_materials_\w+|ASOBO_normal_map_convention|MSFT_packing_\w+|AGI_stk_metadata"
)
# Extensions that are read, or whose loss is reported where it is noticed.
_READ = (
    "KHR_texture_transform",
    "KHR_mesh_quantization",
    "KHR_draco_mesh_compression",
    "KHR_texture_basisu",
    "KHR_node_visibility",
    "EXT_texture_webp",
    "EXT_mesh_gpu_instancing",
)
_PACKED = ("EXT_meshopt_compression", "KHR_meshopt_compression")  # optional ones have a second, plain buffer


class Document:
    """An opened file.

    Attributes:
        path: The file.
        tree: Its JSON.
        size: Bytes of the file and of its other buffers as far as they were opened.
        files: Names of the other files that were read, relative to its folder: the keys, in order.
    """

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self._noticed: dict[str, None] = {}  # in order
        self.size = len(content)
        self.files: dict[str, None] = {}
        packed = content[:4] == b"glTF"
        if not packed and path.suffix.lower() == ".glb":
            raise FormatError(f"{path}: should begin with 'glTF', begins with {content[:4]!r}")
        text, self._binary = self._chunks(content) if packed else (content, None)
        self.tree = parse(path, text)
        self._buffers: dict[int, memoryview] = {}
        self._check_version()
        self._check_extensions()

    def warn(self, note: str) -> None:
        """Add a warning, once."""
        self._noticed[note] = None

    @property
    def warnings(self) -> list[str]:
        """What was noticed so far, without the file's name: the first of it, and how much more there is."""
        notes = list(self._noticed)
        more = len(notes) - _MOST_WARNINGS
        return notes if more <= 0 else [*notes[:_MOST_WARNINGS], f"there are {more} more warnings of these kinds"]

    def uses(self, extension: str) -> bool:
        """Whether the file says that it uses an extension."""
        return extension in self.tree.rows("extensionsUsed") or extension in self.tree.rows("extensionsRequired")

    def view(self, view: Entry) -> memoryview:
        """The bytes of an entry of `bufferViews`."""
        tree = self.tree
        buffer = tree.named(view, "buffer", "buffers")
        if buffer is None:
            view.fail("buffer", "an index of buffers")
        content = self.buffer(tree.index(view, "buffer", "buffers"))
        start = view.integer("byteOffset", 0)
        length = view.integer("byteLength", low=1)
        if start + length > len(content):
            view.refuse(f"ends at byte {start + length}, {buffer.where} has {len(content)}")
        return content[start : start + length]

    def buffer(self, index: int) -> memoryview:
        """The bytes of an entry of `buffers`, as many as its byteLength says."""
        if index not in self._buffers:
            entry = self.tree.all("buffers")[index]
            content = self._content(entry, index)
            length = entry.integer("byteLength", low=1)
            if length > len(content):
                entry.refuse(f"should have {length} bytes, has {len(content)}")
            self._buffers[index] = content[:length]
        return self._buffers[index]

    def _content(self, entry: Entry, index: int) -> memoryview:
        if "uri" in entry:
            content = self.bytes_of(entry)
            self.size += len(content)
            return memoryview(content)
        for name in _PACKED:
            packed = entry.extension(name)
            if packed is not None and packed.flag("fallback"):
                entry.refuse(f"holds its data only as {name}, which is not read")
        if index == 0 and self._binary is not None:
            return self._binary
        return entry.refuse(f"should have {'a BIN chunk' if index == 0 else 'a uri'}, has none")

    def bytes_of(self, entry: Entry) -> bytes:
        """The bytes that a uri stands for: those within it, or those of a file in the folder of this one."""
        uri = entry.text("uri")
        if uri[:5].lower() == "data:":
            return _data_uri(entry, uri)
        for name in dict.fromkeys((unquote(uri), uri)):  # some writers leave out the encoding of special letters
            relative = textures.inside(name)
            if relative is not None and textures.is_file(self.path.parent / relative):
                content = read_bytes(self.path.parent / relative)
                self.files[relative.as_posix()] = None
                return content
        relative = textures.inside(unquote(uri))
        if relative is None:
            entry.fail("uri", "the name of a file beside it")
        return read_bytes(self.path.parent / relative)  # raises: it is missing

    def _chunks(self, content: bytes) -> tuple[bytes, memoryview | None]:
        """The JSON of a GLB file and its BIN chunk."""
        path = self.path
        if len(content) < 20:
            raise FormatError(f"{path}: should begin with 'glTF' and the sizes of its chunks, has {len(content)} bytes")
        version, total = struct.unpack_from("<II", content, 4)
        if version != 2:
            raise FormatError(f"{path}: it is GLB of version {version}, only version 2 is read")
        if total > len(content) or total < 20:
            length = struct.unpack_from("<I", content, 12)[0]
            raise FormatError(f"{path}: its header says {total} bytes, {length} of them JSON; it has {len(content)}")
        if total < len(content):
            self.warn(f"it has {len(content) - total} bytes after the end that its header states: they are left out")
        chunks: list[tuple[bytes, memoryview]] = []
        at = 12
        while at + 8 <= total:
            length, kind = struct.unpack_from("<I4s", content, at)
            if length > total - at - 8:
                said = f"{length} of them JSON" if at == 12 else f"{length} of them in the chunk at byte {at}"
                raise FormatError(f"{path}: its header says {total} bytes, {said}; it has {len(content)}")
            chunks.append((kind, memoryview(content)[at + 8 : at + 8 + length]))
            at += 8 + length
        if total - at > 3:  # up to 3 bytes may fill up a chunk whose length leaves them out
            raise FormatError(f"{path}: it breaks off in the header of a chunk at byte {at}")
        return self._sorted(chunks)

    def _sorted(self, chunks: list[tuple[bytes, memoryview]]) -> tuple[bytes, memoryview | None]:
        kinds = [kind for kind, _ in chunks]
        if kinds[0] != _JSON:
            raise FormatError(f"{self.path}: its first chunk should be {_JSON!r}, is {kinds[0]!r}")
        # Chunks of other kinds are left out, as the standard says.
        for place, kind in enumerate(kinds[1:], start=1):
            if kind == _JSON or (kind == _BIN and place > 1):
                wanted = "first" if kind == _JSON else "second"
                raise FormatError(f"{self.path}: the chunk {kind!r} should be the {wanted}, is number {place + 1}")
        binary = chunks[1][1] if len(chunks) > 1 and kinds[1] == _BIN else None
        return bytes(chunks[0][1]), binary

    def _check_version(self) -> None:
        asset = self.tree.entry("asset")
        if asset is None:
            old = isinstance(self.tree.values.get("meshes"), dict)
            raise FormatError(f"{self.path}: " + ("it is glTF 1.0, only 2 is read" if old else "should have an asset"))
        version = asset.text("version")
        for key, text in (("version", version), ("minVersion", asset.text("minVersion", version))):
            parts = re.fullmatch(r"([0-9]{1,9})\.([0-9]{1,9})", text)
            if parts is None:
                asset.fail(key, "two numbers like '2.0'")
            if int(parts[1]) != 2 or (key == "minVersion" and "minVersion" in asset and int(parts[2]) > 0):
                needed = "needs" if key == "minVersion" else "is"
                raise FormatError(f"{self.path}: it {needed} glTF {text}, only 2.0 is read")

    def _check_extensions(self) -> None:
        for key in ("extensionsRequired", "extensionsUsed"):
            for name in self.tree.rows(key):
                if not isinstance(name, str):
                    self.tree.fail(key, "a list of strings")
                if name in _READ or _HARMLESS.fullmatch(name):
                    continue
                if key == "extensionsRequired":
                    raise FormatError(f"{self.path}: it requires the extension {shown(name)}, which is not read")
                if name not in _PACKED:
                    self.warn(f"it uses the extension {shown(name)}, which is not read: what it adds is left out")


def _data_uri(entry: Entry, uri: str) -> bytes:
    """The bytes within a data uri, in base64 or percent-encoded."""
    head, comma, body = uri.partition(",")
    if not comma:
        entry.fail("uri", "data:TYPE;base64,DATA")
    if not head.lower().rstrip().endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(unquote(body) if "%" in body else body, validate=True)
    except (binascii.Error, ValueError) as error:
        entry.refuse(f"has a uri that is not base64: {error}")


def document(path: Path) -> Document:
    """Open a file.

    Raises:
        FileError: if it cannot be opened.
        FormatError: if it is no glTF 2.0, or requires an extension that is not read.
    """
    return Document(path, read_bytes(path))


__all__ = ["Document", "Entry", "Tree", "document"]
