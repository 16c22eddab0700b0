"""Change files: bytes, numbers, words, lines, JSON, with knowledge of where the header ends."""

from __future__ import annotations

import json
import random
import re
import struct
from typing import Any, NamedTuple

MOST_BYTES = 1 << 15  # a mutated file is no longer
BEHIND = 0.75  # share of places that are looked for behind the header

NUMBERS = [
    b"-1", b"0", b"1", b"-0", b"1e999", b"-1e999", b"nan", b"-nan", b"inf", b"1e-400", b"1e30", b"3.4e38", b"1e308",
    b"255", b"256", b"65535", b"65536", b"-2147483648", b"2147483647", b"2147483648", b"4294967295", b"4294967296",
    b"9223372036854775807", b"18446744073709551616", b"999999999999999999999999", b"1000000000", b"", b"x", b"1,5",
    b"0x10", b"1_000", b".", b"-", b"+5", b"1e", b"00012", b"1.0", b"0.5", b"\xff",
]  # fmt: skip
INTEGERS = [0, 1, 2, 3, 4, 5, 127, 128, 255, 256, 32767, 32768, 65535, 10**6, 10**9, 2**31 - 1, 2**31, 2**32 - 1]
REALS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-45,
    1e-300,
    1e30,
    -1e30,
    3.4e38,
    float("inf"),
    float("-inf"),
    float("nan"),
    1e6,
    255.5,
]
VALUES = [
    0, 1, -1, 2, 3, 255, 5120, 5121, 5123, 5125, 5126, 2**31, 2**32, 2**63, 2**64, 1.5, -0.5, 1e300, "", "x", "VEC3",
    "SCALAR", "a.bin", "data:,", None, True, False, [], {}, [0], [[]], {"a": 0}, "../../etc/passwd", "\0", "\ud800x",
]  # fmt: skip
WORDS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"#",
    b'"',
    b"\\",
    b"\0",
    b"\r",
    b"\n",
    b"\t",
    b"/",
    b"//",
    b"-",
    b"\xef\xbb\xbf",
    b"\x1a",
]
_NUMBER = re.compile(rb"[-+.]?[0-9][-+.0-9eE]*")
_WORD = re.compile(rb"\S+")


class Mutated(NamedTuple):
    """A mutated file.

    Attributes:
        content: Its bytes.
        steps: Names of the mutations.
        behind: Whether all of them lie behind the header.
    """

    content: bytes
    steps: tuple[str, ...]
    behind: bool


def mutate(rng: random.Random, content: bytes, header: int, others: list[bytes], kind: str) -> Mutated:
    """One to three mutations; mostly one, so that what it did can be judged."""
    steps, behind = [], True
    for _ in range(rng.choices((1, 2, 3), (6, 2, 1))[0]):
        if kind in (".glb", ".gltf") and rng.random() < 0.4 and (changed := _json(rng, content, kind)) is not None:
            content, name, at = changed, "json", len(content)
        else:
            name = rng.choice(_NAMES)
            at = _place(rng, content, header)
            content = _MUTATIONS[name](rng, content, at, others)[:MOST_BYTES]
        steps.append(name)
        behind &= at >= header
    return Mutated(content, tuple(steps), behind)


def _place(rng: random.Random, content: bytes, header: int) -> int:
    if header >= len(content) or rng.random() > BEHIND:
        return rng.randrange(max(min(header, len(content)), 1))
    return rng.randrange(header, len(content))


def _flip(rng: random.Random, content: bytes, at: int, _others: list[bytes]) -> bytes:
    buffer = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        place = at + rng.choice((0, 0, 1, 2, 3, 7, 40))
        if place < len(buffer):
            buffer[place] ^= 1 << rng.randrange(8)
    return bytes(buffer)


def _set(rng: random.Random, content: bytes, at: int, _others: list[bytes]) -> bytes:
    length = rng.choice((1, 1, 2, 4, 8))
    value = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", b" ", b"\n", bytes([rng.randrange(256)])))
    return content[:at] + value * length + content[at + length :]


def _cut(_rng: random.Random, content: bytes, at: int, _others: list[bytes]) -> bytes:
    return content[:at]


def _drop(rng: random.Random, content: bytes, at: int, _others: list[bytes]) -> bytes:
    return content[:at] + content[at + rng.choice((1, 2, 4, 12, rng.randint(1, 60))) :]


def _insert(rng: random.Random, content: bytes, at: int, _others: list[bytes]) -> bytes:
    new = rng.choice(WORDS) if rng.random() < 0.5 else rng.randbytes(rng.choice((1, 2, 4, 20)))
    return content[:at] + new + content[at:]


def _repeat(rng: random.Random, content: bytes, at: int, _others: list[bytes]) -> bytes:
    piece = content[at : at + rng.choice((1, 4, 12, 40, 200))]
    return content[:at] + piece * rng.randint(2, 20) + content[at:]


def _swap(rng: random.Random, content: bytes, at: int, _others: list[bytes]) -> bytes:
    length = rng.choice((1, 2, 4, 12, 30))
    other = rng.randrange(len(content) + 1)
    low, high = sorted((at, other))
    if high < low + length:
        return content
    a, b = content[low : low + length], content[high : high + length]
    return content[:low] + b + content[low + length : high] + a + content[high + length :]


def _splice(rng: random.Random, content: bytes, at: int, others: list[bytes]) -> bytes:
    other = rng.choice(others)
    start = rng.randrange(len(other) + 1)
    if rng.random() < 0.5:
        return content[:at] + other[start:]
    length = rng.randint(1, 100)
    return content[:at] + other[start : start + length] + content[at + length :]


def _binary_number(rng: random.Random, content: bytes, at: int, _others: list[bytes]) -> bytes:
    form = rng.choice("HIQfdih")
    if form in "fd":
        value: Any = rng.choice(REALS)
        if form == "f" and abs(value) == 3.4e38:
            value = 3e38
    else:
        size = struct.calcsize(form)
        value = (rng.choice(INTEGERS) - rng.choice((0, 0, 0, 1, 2**31))) % 256**size
        form = form.upper()
    raw = struct.pack(rng.choice("<>") + form, value)
    return content[:at] + raw + content[at + len(raw) :]


def _step_number(rng: random.Random, content: bytes, at: int, _others: list[bytes]) -> bytes:
    """A count or index that is off by a little, in binary."""
    form = rng.choice(("<B", "<H", "<I", ">H", ">I"))
    size = struct.calcsize(form)
    if at + size > len(content):
        return content
    value = (struct.unpack_from(form, content, at)[0] + rng.choice((-2, -1, 1, 2, 3, 100))) % 256**size
    return content[:at] + struct.pack(form, value) + content[at + size :]


def _text_number(rng: random.Random, content: bytes, at: int, _others: list[bytes]) -> bytes:
    match = _NUMBER.search(content, at) or _NUMBER.search(content)
    if match is None:
        return content
    new = rng.choice(NUMBERS)
    if rng.random() < 0.3 and match[0].isdigit() and len(match[0]) < 19:
        new = str(int(match[0]) + rng.choice((-2, -1, 1, 2, 100))).encode()
    return content[: match.start()] + new + content[match.end() :]


def _word(rng: random.Random, content: bytes, at: int, _others: list[bytes]) -> bytes:
    """Drop, duplicate or exchange a word, or change its case."""
    one = _WORD.search(content, at)
    if one is None:
        return content
    kind = rng.randrange(5)
    if kind == 0:
        return content[: one.start()] + content[one.end() :]
    if kind == 1:
        return content[: one.end()] + b" " + one[0] + content[one.end() :]
    if kind == 2:
        return content[: one.start()] + one[0].swapcase() + content[one.end() :]
    other = _WORD.search(content, rng.randrange(len(content)))
    if other is None or other.span() == one.span():
        return content
    if kind == 3:
        return content[: one.start()] + other[0] + content[one.end() :]
    low, high = sorted((one, other), key=lambda match: match.start())
    if high.start() < low.end():
        return content
    return content[: low.start()] + high[0] + content[low.end() : high.start()] + low[0] + content[high.end() :]


def _line(rng: random.Random, content: bytes, at: int, _others: list[bytes]) -> bytes:
    """Drop, duplicate or move a line, or change all line ends."""
    start, end = content.rfind(b"\n", 0, at) + 1, content.find(b"\n", at) + 1 or len(content)
    line, kind = content[start:end], rng.randrange(5)
    if kind == 0:
        return content[:start] + content[end:]
    if kind == 1:
        return content[:end] + line * rng.choice((1, 1, 2, 10)) + content[end:]
    if kind == 2:
        rest = content[:start] + content[end:]
        place = rest.find(b"\n", rng.randrange(len(rest) + 1)) + 1
        return rest[:place] + line + rest[place:]
    if kind == 3:
        return content.replace(b"\n", rng.choice((b"\r", b"\r\n", b"\n\n", b" ")))
    return content[:start] + b"#" + content[start:]


def _json(rng: random.Random, content: bytes, kind: str) -> bytes | None:
    """Change the JSON of a glTF file and pack it again; None if it cannot be parsed."""
    try:
        if kind == ".gltf":
            tree = json.loads(content)
        else:
            (length,) = struct.unpack_from("<I", content, 12)
            tree, rest = json.loads(content[20 : 20 + length]), content[20 + length :]
        found = places(tree)
        for _ in range(rng.choice((1, 1, 2))):
            change(rng, *rng.choice(found), found)
        words = json.dumps(tree).encode()
    except (ValueError, struct.error, IndexError, RecursionError, TypeError):
        return None
    if kind == ".gltf":
        return words
    words += b" " * (-len(words) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(words) + len(rest), len(words), 0x4E4F534A)
    return head + words + rest


def places(tree: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a tree."""
    found, waiting = [], [tree]
    while waiting:
        item = waiting.pop()
        entries = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        for key, value in entries:
            found.append((item, key))
            waiting.append(value)
    return found


def change(rng: random.Random, container: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    try:
        value = container[key]
    except (KeyError, IndexError):
        return
    kind = rng.randrange(7)
    if kind <= 1:
        container[key] = rng.choice(VALUES)
    elif kind == 2:
        del container[key]
    elif kind == 3 and isinstance(container, dict):
        container[rng.choice((key + "x", key.upper(), "extensions", "bufferView", "byteStride", "sparse"))] = value
    elif kind == 4 and isinstance(container, list) and len(container) < 50:
        container.extend([value] * rng.choice((1, 3)))
    elif kind == 5 and isinstance(value, (int, float)) and not isinstance(value, bool):
        container[key] = value + rng.choice((-1, 1, 2, 4, 0.5, 100))
    else:
        other, name = rng.choice(places)
        try:
            container[key] = json.loads(json.dumps(other[name]))  # a copy, so that no tree contains itself
        except (KeyError, IndexError, RecursionError):
            return


_MUTATIONS = {
    "flip": _flip, "set": _set, "cut": _cut, "drop": _drop, "insert": _insert, "repeat": _repeat, "swap": _swap,
    "splice": _splice, "binary number": _binary_number, "step": _step_number, "text number": _text_number,
    "word": _word, "line": _line,
}  # fmt: skip
_NAMES = [*_MUTATIONS, "text number", "word", "binary number"]
