"""Decode KHR_draco_mesh_compression through the optional package DracoPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from fer3d.errors import FormatError
from fer3d.formats import parts
from fer3d.formats.gltf_accessors import Accessors
from fer3d.formats.gltf_tree import Entry, shown

NAME = "KHR_draco_mesh_compression"


def unpack(accessors: Accessors, primitive: Entry, attributes: Entry, done: dict[int, int]) -> None:
    """Give the accessors of a compressed primitive their numbers. A primitive with plain data too is left as it is.

    Args:
        accessors: Those of the file.
        primitive: An entry of `primitives`.
        attributes: Its attributes.
        done: Accessor -> bufferView of its compressed numbers, of the primitives so far. This one is added.

    Raises:
        FormatError: if DracoPy is missing or cannot decode the data, or the data do not fit the accessors.
    """
    packed = primitive.extension(NAME)
    if packed is None:
        return
    tree = accessors.document.tree
    named = packed.entry("attributes")
    if named is None:
        packed.fail("attributes", "an object")
    wanted = {key: tree.index(attributes, key, "accessors") for key in named.values if key in attributes}
    rows = [*wanted.values(), *([tree.index(primitive, "indices", "accessors")] if "indices" in primitive else [])]
    if all("bufferView" in accessors.said(row).entry for row in rows):
        return
    if any(accessors.said(row).count > parts.MOST_VERTICES for row in wanted.values()):
        packed.refuse(f"has more vertices than a scan may have, which is {parts.MOST_VERTICES}")
    if "indices" in primitive and accessors.said(rows[-1]).count > 9 * parts.MOST_VERTICES:
        packed.refuse(f"has more faces than a scan may have, which is {3 * parts.MOST_VERTICES}")
    view = tree.index(packed, "bufferView", "bufferViews")
    sources = {done.setdefault(row, view) for row in rows}
    if sources == {view} and all(accessors.known(row) for row in rows):
        return
    if sources != {view}:
        packed.refuse("shares an accessor with a primitive of other data")
    mesh = _decoded(packed, accessors.document.view(tree.all("bufferViews")[view]))
    for key, row in wanted.items():
        identifier = named.integer(key)
        data = [each["data"] for each in mesh.attributes if each["unique_id"] == identifier]
        if not data:
            packed.refuse(f"says that {shown(key)} is attribute {identifier}, which its data lack")
        accessors.give(row, np.asarray(data[0]).reshape(len(data[0]), -1))
    if "indices" in primitive:
        faces = np.asarray(getattr(mesh, "faces", np.empty((0, 3))))
        accessors.give(rows[-1], faces.reshape(-1, 1))


def _decoded(packed: Entry, content: memoryview) -> Any:
    try:
        import DracoPy
    except ImportError:
        hint = f"it is compressed with {NAME}: install DracoPy to read it, pip install 'fer3d[draco]'"
        raise FormatError(f"{packed.path}: {hint}") from None
    try:
        return DracoPy.decode(bytes(content))
    except Exception as error:  # the decoder raises several kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        packed.refuse(f"cannot be decoded by DracoPy: {reason}")
