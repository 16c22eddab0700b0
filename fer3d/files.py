"""Read and write whole files, and report failures as errors of this package."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import stat
import uuid
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from fer3d.errors import Fer3dError, FileError, FormatError

# No scan or picture is larger. The limit protects the memory from a mistaken path, such as that of a disk image.
MAX_BYTES = 1 << 30
MAX_TOML = 1 << 22  # bytes; the parser takes seconds for each MiB of some texts
_BATCH = 1024  # rows of a table that are unpacked at once
_FREE, _GROWTH = 1 << 24, 200  # a packed file may unpack to _FREE bytes, or to _GROWTH times its own size
MAX_DEPTH = 64  # levels of containers in a JSON or TOML file; ours have fewer than ten

TEMPORARY = ".tmp"  # suffix of files that are being written
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # the escape of half a character


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a file.

    Raises:
        FileError: if it is missing, a folder, or may not be read.
        FormatError: if it is empty or larger than `MAX_BYTES`.
    """
    path = Path(path)
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # reading a pipe could block for ever
            raise FileError(f"{path}: a regular file was wanted, it is a pipe or device")
        if status.st_size > MAX_BYTES:
            raise FormatError(f"{path}: a file has at most {MAX_BYTES} bytes, this one has {status.st_size}")
        content = path.read_bytes()
    except Fer3dError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        raise FileError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not content:
        raise FormatError(f"{path}: the file is empty")
    return content


def write_bytes(path: str | os.PathLike[str], content: bytes, *, make_folder: bool = False) -> None:
    """Write a file atomically, through a temporary file in the same folder, so that no reader sees a partial file.

    Args:
        path: File to write.
        content: Bytes to write.
        make_folder: Whether to create the folder of the file if it is missing.

    Raises:
        FileError: if the folder is missing or the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY}")
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()
        raise FileError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error


def clear_temporaries(folder: Path) -> None:
    """Remove the temporary files that a killed run left in `folder`."""
    for leftover in folder.rglob(f"*{TEMPORARY}"):
        leftover.unlink(missing_ok=True)


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
    return checked(parse_json(_present(path, again), str(path), again, error), kind, str(path), again, error)


def parse_json(content: bytes | str, where: str, again: str = "", error: type[Fer3dError] = FormatError) -> Any:
    """Parse JSON that a file holds: UTF-8, finite numbers, nesting of at most `MAX_DEPTH` levels.

    Args:
        content: The text.
        where: Start of the message: the path of the file.
        again, error: As for `read_json`.

    Raises:
        FormatError: or `error`, if it is something else.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
        _check_depth(value)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # raises: half a character
    except UnicodeError as fault:
        raise error(_with_hint(f"{where}: is not UTF-8 text ({_reason(fault)})", again)) from None
    except (ValueError, RecursionError) as fault:
        raise error(_with_hint(f"{where}: is not JSON ({_reason(fault)})", again)) from None
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
        raise error(f"{path}: is not TOML ({_reason(fault)})") from None


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
        raise error(_with_hint(f"{where}: {wrong_key(fault)}", again)) from None
    return content


def wrong_key(fault: Any) -> str:
    """The first fault that a pydantic ValidationError lists, in the wording of this package."""
    first = fault.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"`{key}` is missing"
    wanted = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    return f"{f'`{key}`' if key else 'the content'} {wanted}, is {brief(first['input'])}"


def brief(value: Any, most: int = 60) -> str:
    """`repr(value)` in at most `most` characters, for messages. A long container is named by its type and length."""
    if isinstance(value, (dict, list, tuple, set)) and len(value) > most:
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value[: 2 * most] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= most else text[: most - 3] + "..."


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _present(path: Path, again: str = "") -> bytes:
    """As `read_bytes`, with its own words for a missing file, and the hint."""
    try:
        if not path.exists():
            raise FileError(_with_hint(f"{path}: is missing", again))
        return read_bytes(path)
    except FileError:
        raise
    except FormatError as fault:
        raise FormatError(_with_hint(str(fault), again)) from None
    except (OSError, ValueError) as fault:  # no permission for the folder, a name that is too long, a NUL byte
        raise FileError(f"{path}: cannot be read: {getattr(fault, 'strerror', None) or fault}") from None


def _with_hint(message: str, hint: str) -> str:
    return f"{message}; {hint}" if hint else message


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"wanted finite numbers, got {text[:20]}")
    return number


def _check_depth(value: Any) -> None:
    """Raise ValueError if containers are nested deeper than any file of ours, so that later steps can recurse."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [item for item in level if isinstance(item, (dict, list))]
        level = [item for c in containers for item in (c.values() if isinstance(c, dict) else c)]
        if not containers:
            return
    raise ValueError(f"wanted at most {MAX_DEPTH} levels of brackets")


def _reason(fault: BaseException) -> str:
    """The first line of an error's message, short."""
    if isinstance(fault, RecursionError):
        return "it is nested too deeply"
    return brief_line(str(fault) or type(fault).__name__)


def brief_line(text: str, most: int = 160) -> str:
    """The first line of a text, at most `most` characters of it."""
    line = next(iter(text.splitlines()), "")
    return line if len(line) <= most else line[: most - 3] + "..."


def read_table(path: Path, wanted: Any = None, again: str = "", required: Collection[str] = ()) -> Any:
    """Read a Parquet file, and check that the memory it takes is in proportion to its size.

    Args:
        path: File to read.
        wanted: A `pyarrow.Schema`, to which the columns are cast, see `conformed`. None: all columns as they are.
        again: What the user can do about a damaged file, such as "prepare the scans again".
        required: Columns that must have no null.

    Returns:
        A `pyarrow.Table`; every value in it can be converted to Python.

    Raises:
        FileError: if the file is missing or cannot be read.
        FormatError: if it is not a whole Parquet file, or `conformed` raises it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = _present(path, again)
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        rows, columns = file.metadata.num_rows, file.schema_arrow.names
        check_growth(rows * max(len(columns), 1), len(content))
        batches, size = [], 0
        for batch in file.iter_batches(_BATCH, use_threads=False):
            size += batch.nbytes
            check_growth(size, len(content))
            batches.append(batch)
        table = pa.Table.from_batches(batches, file.schema_arrow)
        table.validate(full=True)
    except Exception as fault:  # the decoders of damaged files raise nearly everything
        raise FormatError(_with_hint(f"{path}: is not a Parquet file ({_reason(fault)})", again)) from None
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise FormatError(_with_hint(f"{path}: holds the column {brief_line(twice[0])} twice", again))
    return table if wanted is None else conformed(table, wanted, path, again, required)


def conformed(table: Any, wanted: Any, path: Path, again: str = "", required: Collection[str] = ()) -> Any:
    """The columns of a `pyarrow.Table` that a `pyarrow.Schema` names, cast to its types. Columns it lacks stay away.

    Raises:
        FormatError: if a column holds another kind of values (text, whole numbers, ... ; whole numbers may stand for
            numbers), or a column in `required` holds a null.
    """
    import pyarrow as pa

    columns = {}
    for field in wanted:
        if field.name not in table.column_names:
            continue
        column = table[field.name]
        if not _fits(column.type, field.type):
            fault = f"{path}: the column {field.name} should hold {field.type}, holds {brief_line(str(column.type))}"
            raise FormatError(_with_hint(fault, again))
        if field.name in required and column.null_count:
            raise FormatError(_with_hint(f"{path}: the column {field.name} should hold no null, holds one", again))
        try:
            columns[field.name] = column.cast(field.type)
        except pa.ArrowException as fault:  # a number that is too large
            reason = f"{path}: the column {field.name} should hold {field.type} ({_reason(fault)})"
            raise FormatError(_with_hint(reason, again)) from None
    return pa.table(columns)


def _fits(came: Any, wanted: Any) -> bool:
    """Whether a column of one pyarrow type holds the kind of values of another."""
    import pyarrow as pa

    is_type = pa.types
    if is_type.is_dictionary(came):
        came = came.value_type
    if came.equals(wanted) or is_type.is_null(came):
        return True
    if is_type.is_list(wanted):
        return (is_type.is_list(came) or is_type.is_large_list(came)) and _fits(came.value_type, wanted.value_type)
    if is_type.is_string(wanted):
        return bool(is_type.is_large_string(came))
    kinds = (is_type.is_integer,) if is_type.is_integer(wanted) else (is_type.is_integer, is_type.is_floating)
    return bool(is_type.is_integer(wanted) or is_type.is_floating(wanted)) and any(kind(came) for kind in kinds)


def check_growth(unpacked: int, packed: int) -> None:
    """Raise ValueError if a file of `packed` bytes claims or holds far more: no file of ours is packed as well."""
    most = _FREE + _GROWTH * packed
    if unpacked > most:
        raise ValueError(f"its {packed} bytes should unpack to at most {most}, unpack to more")


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys atomically; create the folder if needed. Raises FileError if that fails."""
    write_bytes(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode(), make_folder=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file. Raises FileError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None


def line_of(text: bytes, offset: int) -> int:
    """The number of the line, from 1, that holds the byte at `offset`. Lines end with LF, CR LF or CR."""
    carriage_returns = text.count(b"\r", 0, offset) - text.count(b"\r\n", 0, offset)
    return text.count(b"\n", 0, offset) + carriage_returns + 1
