"""Read and write JSON and TOML, and check what they hold: a damaged file is one line that names it."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

from fer3d.errors import Fer3dError, FileError, FormatError
from fer3d.files.whole import read_bytes, write_text

MAX_TOML = 1 << 22  # bytes; the parser takes seconds for each MiB of some texts
MAX_DEPTH = 64  # levels of containers in a JSON or TOML file; ours have fewer than ten
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # the escape of half a character


def read_json(path: Path, kind: Any = Any, again: str = "", error: type[Fer3dError] = FormatError) -> Any:
    """Read a JSON file, and check its content against a type.

    Args:
        path: File to read.
        kind: Type of the content, such as a TypedDict, see `checked`.
        again: What the user can do about a damaged file, such as "prepare the scans again".
        error: Class of the error for a file with another content.

    Raises:
        FileError: if it is missing or cannot be read.
        FormatError: or `error`, if it is not JSON, or has another content than `kind`.
    """
    return checked(parse_json(present(path, again), str(path), again, error), kind, str(path), again, error)


def parse_json(
    content: bytes | str,
    where: str,
    again: str = "",
    error: type[Fer3dError] = FormatError,
    *,
    header: bool = False,
) -> Any:
    """Parse JSON that a file holds: UTF-8, finite numbers, nesting of at most `MAX_DEPTH` levels.

    Args:
        content: The text.
        where: Start of the message: the path of the file.
        again, error: As for `read_json`.
        header: Whether it is the header of a scan: a number may be NaN, such as an unknown angle, and a text may hold
            bytes of a file name that is not UTF-8 (halves of characters, as Python has them).

    Raises:
        FormatError: or `error`, if it is something else.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        value = json.loads(text, parse_float=_finite, parse_constant=_nan if header else _finite)
        _check_depth(value)
        if not header and _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # raises: half a character
    except UnicodeError as fault:
        raise error(with_hint(f"{where}: is not UTF-8 text ({reason(fault)})", again)) from None
    except (ValueError, RecursionError) as fault:
        raise error(with_hint(f"{where}: is not JSON ({reason(fault)})", again)) from None
    return value


def read_toml(path: Path, error: type[Fer3dError] = FormatError) -> dict[str, Any]:
    """Read the table in a TOML file of at most `MAX_TOML` bytes.

    Raises:
        FileError: if the file is missing or cannot be read.
        FormatError: or `error`, if it is not TOML.
    """
    import tomllib

    try:
        content = read_bytes(path)
    except FormatError as fault:
        raise error(str(fault)) from None
    if len(content) > MAX_TOML:
        raise error(f"{path}: wanted a TOML file of at most {MAX_TOML} bytes, it has {len(content)}")
    try:
        table = tomllib.loads(content.decode("utf-8-sig"))
        _check_depth(table)
        return table
    except UnicodeDecodeError as fault:
        raise error(f"{path}: wanted UTF-8 text, got byte 0x{fault.object[fault.start]:02x}") from None
    except (ValueError, RecursionError) as fault:  # ValueError: also numbers of thousands of digits
        raise error(f"{path}: is not TOML ({reason(fault)})") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys atomically; create the folder if needed. Raises WriteError if that fails."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def checked(content: Any, kind: Any, where: str, again: str = "", error: type[Fer3dError] = FormatError) -> Any:
    """Check what a file holds against a type.

    Args:
        content: Parsed JSON or TOML.
        kind: A type that pydantic knows: a TypedDict, `list[int]`, ... Nothing is converted, except int to float.
        where: Start of the message: the path of the file.
        again, error: As for `read_json`.

    Returns:
        `content`.

    Raises:
        FormatError: or `error`; one line that names the first key that is wrong, with what was wanted and what came.

    >>> checked({"a": [1, "b"]}, dict[str, list[int]], "x.json", "train it again")
    Traceback (most recent call last):
    fer3d.errors.FormatError: x.json: `a.1` should be a valid integer, is 'b'; train it again
    """
    from pydantic import ValidationError

    try:
        _adapter(kind).validate_python(content, strict=True)
    except ValidationError as fault:
        raise error(with_hint(f"{where}: {wrong_key(fault)}", again)) from None
    return content


def wrong_key(fault: Any) -> str:
    """The first fault that a pydantic ValidationError lists, in the wording of this package."""
    first = fault.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"`{key}` is missing"
    wanted = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    return f"{f'`{key}`' if key else 'the content'} {wanted}, is {brief(first['input'])}"


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def present(path: Path, again: str = "") -> bytes:
    """As `read_bytes`, with its own words for a missing file, and the hint."""
    try:
        if not path.exists():
            raise FileError(with_hint(f"{path}: is missing", again))
        return read_bytes(path)
    except FileError:
        raise
    except FormatError as fault:
        raise FormatError(with_hint(str(fault), again)) from None
    except (OSError, ValueError) as fault:  # no permission for the folder, a name that is too long, a NUL byte
        raise FileError(f"{path}: cannot be read: {getattr(fault, 'strerror', None) or fault}") from None


def with_hint(message: str, hint: str) -> str:
    return f"{message}; {hint}" if hint else message


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"wanted finite numbers, got {text[:20]}")
    return number


def _nan(text: str) -> float:
    return math.nan if text == "NaN" else _finite(text)


def _check_depth(value: Any) -> None:
    """Raise ValueError if containers are nested deeper than any file of ours, so that later steps can recurse."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [item for item in level if isinstance(item, (dict, list))]
        level = [item for c in containers for item in (c.values() if isinstance(c, dict) else c)]
        if not containers:
            return
    raise ValueError(f"wanted at most {MAX_DEPTH} levels of brackets")


def reason(fault: BaseException) -> str:
    """The first line of an error's message, short."""
    if isinstance(fault, RecursionError):
        return "it is nested too deeply"
    return brief_line(str(fault) or type(fault).__name__)


def brief(value: Any, most: int = 60) -> str:
    """`repr(value)` in at most `most` characters, for messages. A long container is named by its type and length."""
    if isinstance(value, (dict, list, tuple, set)) and len(value) > most:
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value[: 2 * most] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= most else text[: most - 3] + "..."


def brief_line(text: str, most: int = 160) -> str:
    """The first line of a text, at most `most` characters of it."""
    line = next(iter(text.splitlines()), "")
    return line if len(line) <= most else line[: most - 3] + "..."
