"""Change files with knowledge of their structure: JSON, TOML, Parquet, safetensors, .npz and torch files.

Values change type, keys and columns go or come twice, arrays change shape. What cannot be parsed is left to the
mutations of bytes.
"""

from __future__ import annotations

import io
import json
import math
import random
import struct
import tomllib
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import PurePath
from typing import Any

import numpy as np

from tests.fuzz.mutations import MOST_BYTES, Mutated, change, mutate, places

SHARE = 0.7  # of the mutations of a file whose structure is known
NAMES = ("../../x", "/etc/passwd", "scans", "", "\0", "a" * 5000, "NaN", "\n", "\x1b[31m", "e\u0301", "\u202e")
NUMBERS = (math.nan, math.inf, -math.inf, 1e300, -1, 0, 2**31, 2**63, 10**30, 0.5, True)
DTYPES = ("<f2", "<f4", "<f8", "<i4", "<i8", "|u1", "<c8", "|b1", "<U3", "|S2", ">f4", "<M8[s]")


def mutate_file(rng: random.Random, name: str, content: bytes, others: list[bytes]) -> Mutated:
    """One to three mutations of a file; most of them keep its structure."""
    changer = _CHANGERS.get(PurePath(name).suffix)
    if changer is not None and rng.random() < SHARE:
        steps = rng.choices((1, 2, 3), (6, 2, 1))[0]
        try:
            changed = changer(rng, content, steps)
        except Exception:  # what cannot be written is not an input
            changed = content
        if changed != content:
            return Mutated(changed, ("structure",) * steps, True)
    if rng.random() < 0.02:
        return Mutated(rng.choice(WHOLE)(), ("whole",), True)
    if len(content) > MOST_BYTES:  # the mutations of bytes would cut it: a window of it is changed
        at = rng.choice((0, rng.randrange(len(content) - MOST_BYTES // 2), len(content) - MOST_BYTES // 2))
        piece = mutate(rng, content[at : at + MOST_BYTES // 2], 0, others[:1], "")
        return Mutated(content[:at] + piece.content + content[at + MOST_BYTES // 2 :], piece.steps, piece.behind)
    return mutate(rng, content, 0, others, "")


WHOLE: tuple[Callable[[], bytes], ...] = (
    lambda: b"",
    lambda: b"[" * 10**6,
    lambda: b'{"a":' * 10**5,
    lambda: b"a = " + b"[" * 10**5,
    lambda: b"a = " + b"9" * 10**5,
    lambda: b"9" * 10**5,
    lambda: b"\xff\xfe" + b"\0a" * 100,
    lambda: b"\0" * 4096,
    lambda: b'{"a": NaN, "b": Infinity}',
    lambda: b"null",
    lambda: b'"text"',
    lambda: b"[]",
    lambda: b"{}",
)


def tree_changed(rng: random.Random, tree: Any, steps: int) -> Any:
    """Change values, keys and containers of parsed JSON in place; the result, as the tree itself may be replaced."""
    if rng.random() < 0.02:
        return rng.choice((None, [], {}, 0, "x", [tree], {"a": tree}))
    for _ in range(steps):
        found = places(tree)
        if not found:
            return tree
        container, key = rng.choice(found)
        kind = rng.random()
        if kind < 0.2:
            container[key] = rng.choice((*NAMES, *NUMBERS))
        elif kind < 0.3 and isinstance(container[key], str) and container[key][:1] in "[{":
            container[key] = json.dumps(tree_changed(rng, json.loads(container[key]), 1))
        else:
            change(rng, container, key, found)
    return tree


def _json(rng: random.Random, content: bytes, steps: int) -> bytes:
    return json.dumps(tree_changed(rng, json.loads(content), steps), ensure_ascii=rng.random() < 0.5).encode(
        "utf-8", "surrogatepass"
    )


def _toml(rng: random.Random, content: bytes, steps: int) -> bytes:
    return _toml_text(tree_changed(rng, tomllib.loads(content.decode()), steps)).encode("utf-8", "surrogatepass")


def _toml_text(tree: Any) -> str:
    return "\n".join(f"{json.dumps(str(key))} = {_toml_value(value)}" for key, value in tree.items()) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {_toml_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, float):
        return "nan" if math.isnan(value) else ("-inf" if value < 0 else "inf") if math.isinf(value) else repr(value)
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    return json.dumps("none" if value is None else value)


def _parquet(rng: random.Random, content: bytes, steps: int) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(content))
    for _ in range(steps):
        table = _table_changed(rng, table)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=rng.choice(("zstd", "snappy", "none")))
    return sink.getvalue().to_pybytes()


def _table_changed(rng: random.Random, table: Any) -> Any:
    import pyarrow as pa

    at, kind = rng.randrange(table.num_columns), rng.randrange(9)
    name, values = table.column_names[at], table.column(at).to_pylist()
    if kind == 0:
        return table.drop_columns([name])
    if kind == 1:
        return table.append_column(rng.choice((name, *table.column_names, "p_x", "t_x", "new")), table.column(at))
    if kind == 2:
        return table.slice(rng.randrange(table.num_rows + 1), rng.choice((0, 1, 3)))
    if kind == 3:
        return pa.concat_tables([table, table])
    if kind == 4:
        return table.replace_schema_metadata(_metadata_changed(rng, table.schema.metadata))
    if kind == 5:  # one kind of value for all rows
        other = rng.choice((pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.null(), pa.list_(pa.string())))
        filler: Any = {pa.int64(): 7, pa.float64(): 0.5, pa.string(): "x", pa.bool_(): True, pa.null(): None}.get(
            other, ["x"]
        )
        return table.set_column(at, name, pa.array([filler] * len(values), other))
    if not values:
        return table
    row = rng.randrange(len(values))
    if kind == 6:
        values[row] = None
    elif isinstance(values[row], str) and values[row][:1] in "[{" and values[row]:
        values[row] = json.dumps(tree_changed(rng, json.loads(values[row]), 1))
    elif isinstance(values[row], list):
        values[row] = tree_changed(rng, list(values[row]), 1)
        if pa.types.is_map(table.schema.field(at).type) and isinstance(values[row], list):
            # Arrow ends the process for a map whose entry or key is missing.
            values[row] = [entry for entry in values[row] if isinstance(entry, tuple) and entry[0] is not None]
    elif isinstance(values[row], str):
        values[row] = rng.choice((*NAMES, values[rng.randrange(len(values))]))
    else:
        values[row] = rng.choice(NUMBERS)
    return table.set_column(at, name, pa.array(values, table.schema.field(at).type))


def _metadata_changed(rng: random.Random, metadata: dict[bytes, bytes] | None) -> dict[bytes, bytes]:
    return {key: _json(rng, value, 1) if value[:1] == b"{" else value for key, value in (metadata or {}).items()}


def _safetensors(rng: random.Random, content: bytes, steps: int) -> bytes:
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    inner = header.get("__metadata__", {})
    texts = [key for key, value in inner.items() if isinstance(value, str)]
    if texts and rng.random() < 0.6:
        key = rng.choice(texts)
        inner[key] = json.dumps(tree_changed(rng, json.loads(inner[key]), steps))
    elif rng.random() < 0.5:
        name = rng.choice([name for name in header if name != "__metadata__"])
        _tensor_changed(rng, header, name)
    else:
        header = tree_changed(rng, header, steps)
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    body = bytearray(content[8 + length :])
    if body and rng.random() < 0.3:  # other numbers: NaN, indices that lead nowhere
        at = rng.randrange(len(body))
        body[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\xc0\x7f", b"\xff\x7f\xff\x7f"))[: len(body) - at]
    return struct.pack("<Q", len(words)) + words + bytes(body)


def _tensor_changed(rng: random.Random, header: dict[str, Any], name: str) -> None:
    """Another name, shape or dtype with the same number of bytes: the file stays whole."""
    entry, kind = header[name], rng.randrange(4)
    if kind == 0:
        header[rng.choice((name + "x", "maps", "tree_rows", "\0"))] = header.pop(name)
    elif kind == 1:
        size = math.prod(entry["shape"])
        entry["shape"] = rng.choice(([size], [1, *entry["shape"]], entry["shape"][::-1], [size, 1, 1]))
    else:
        same = {
            "F16": ("I16", "U16", "BF16"),
            "F32": ("I32", "U32"),
            "I32": ("F32", "U32"),
            "U8": ("I8", "BOOL", "F8_E4M3"),
        }
        entry["dtype"] = rng.choice(same.get(entry["dtype"], ("F32",)))


_SAME_WIDTH = {
    "F16": ("I16", "U16", "BF16"),
    "F32": ("I32", "U32"),
    "I32": ("F32", "U32"),
    "U8": ("I8", "BOOL", "F8_E4M3"),
}


def _npz(rng: random.Random, content: bytes, steps: int) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    for _ in range(steps):
        key = rng.choice(sorted(arrays))
        arrays[key] = _array_changed(rng, arrays[key])
        if rng.random() < 0.15:
            arrays[rng.choice((key + "x", *sorted(arrays)))] = arrays.pop(key)
    sink = io.BytesIO()
    np.savez_compressed(sink, **arrays)
    return sink.getvalue()


def _array_changed(rng: random.Random, array: Any) -> Any:
    kind = rng.randrange(6)
    if kind == 0:
        return np.resize(array, rng.choice(((0,), (1,), (), (2, 2), (*array.shape, 1), (3, *array.shape[1:]))))
    if kind == 1:
        return np.asarray(array).astype(rng.choice(DTYPES))
    if kind == 2:
        return array[..., :-1] if array.ndim else array[None]
    if kind == 3:
        return array[::2] if array.ndim else np.array([array, array])
    array = array.copy()
    if array.size:
        values = {"i": (-1, 0, 100), "u": (0, 200), "f": (math.nan, math.inf, -1e3, 1e30)}.get(array.dtype.kind, ("x",))
        with np.errstate(all="ignore"):
            array.reshape(-1)[rng.randrange(array.size)] = rng.choice(values)
    return array


def _torch(rng: random.Random, content: bytes, steps: int) -> bytes:
    import torch

    state = torch.load(io.BytesIO(content), weights_only=True)
    for _ in range(steps):
        container, key = rng.choice(places(state))
        value = container[key]
        if isinstance(value, torch.Tensor):
            container[key] = rng.choice(_tensors_like(value))
        elif rng.random() < 0.3:
            del container[key]
        else:
            container[key] = rng.choice((*NAMES, *NUMBERS, None, [], {}, {"a": 1}))
    sink = io.BytesIO()
    torch.save(state, sink)
    return sink.getvalue()


def _tensors_like(tensor: Any) -> tuple[Any, ...]:
    import torch

    shapes = (tensor.reshape(-1), tensor[..., None], torch.empty(0))
    kinds = (tensor.double(), tensor.to(torch.complex64), tensor.to_sparse(), tensor.to("meta"), tensor.to(torch.int32))
    return (None, [1], *shapes, *kinds, torch.full_like(tensor.float(), math.nan))


_CHANGERS: dict[str, Callable[[random.Random, bytes, int], bytes]] = {
    ".json": _json,
    ".toml": _toml,
    ".parquet": _parquet,
    ".safetensors": _safetensors,
    ".npz": _npz,
    ".ckpt": _torch,
    ".pth": _torch,
}
