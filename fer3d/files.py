"""Read and write whole files, and report failures as errors of this package."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import math
import os
import platform
import re
import stat
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from fer3d.errors import Fer3dError, FileError, FormatError, LockedError, WriteError

# No scan or picture is larger. The limit protects the memory from a mistaken path, such as that of a disk image.
MAX_BYTES = 1 << 30
MAX_TOML = 1 << 22  # bytes; the parser takes seconds for each MiB of some texts
_BATCH = 1024  # rows of a table that are unpacked at once
_FREE, _GROWTH = 1 << 24, 200  # a packed file may unpack to _FREE bytes, or to _GROWTH times its own size
MAX_DEPTH = 64  # levels of containers in a JSON or TOML file; ours have fewer than ten

TEMPORARY = ".tmp"  # suffix of files that are being written
LOCK = ".fer3d-lock"  # the file that a process locks while it writes to a folder

_TEMPORARY_NAME = re.compile(rf"\..*\.[0-9a-f]{{32}}{re.escape(TEMPORARY)}", re.DOTALL)
_LONGEST_STEM = 150  # bytes of a file's name in that of its temporary file
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # all but tabs and line ends
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
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
        WriteError: if the folder is missing or the file cannot be written.
    """
    with written_at_once(path, make_folder=make_folder) as temporary:
        temporary.write_bytes(content)


@contextmanager
def written_at_once(path: str | os.PathLike[str], *, make_folder: bool = False) -> Iterator[Path]:
    """Give the temporary file to which the block writes; it replaces `path` at the end, and is removed after an error.

    All files of this package are written through this function.

    Raises:
        WriteError: if an operation of the block on files fails, or the temporary file cannot be moved into place.
    """
    path = Path(path)
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
    except (OSError, ValueError) as error:
        raise _not_written(path, error) from error
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:  # also an interruption from the keyboard leaves nothing behind
        _discard(temporary)
        if isinstance(error, OSError | ValueError) and not isinstance(error, Fer3dError):
            raise _not_written(path, error) from error
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text as UTF-8, as `write_bytes` does; create the folder if needed.

    The bytes of file names that are not UTF-8 (surrogates in the text) become escapes such as \\udce9.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"), make_folder=True)


def remove(path: Path) -> None:
    """Remove a file; a missing file is no error. WriteError if that fails."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"{path}: cannot be removed: {error.strerror or error}") from error


def clear_temporaries(folder: Path, *, deep: bool = True) -> None:
    """Remove the temporary files that killed runs left in `folder` and, if `deep`, below. Other files are kept."""
    for leftover in (folder.rglob if deep else folder.glob)(f".*{TEMPORARY}"):
        if _TEMPORARY_NAME.fullmatch(leftover.name):
            remove(leftover)


def clear_leftovers(folder: Path, *, deep: bool = True) -> None:
    """As `clear_temporaries`, for a folder that is not locked; nothing if it is missing or another process locks it."""
    if folder.is_dir():
        with suppress(LockedError), locked(folder, "fer3d"):
            clear_temporaries(folder, deep=deep)


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Keep other processes from writing to a folder in the block; create the folder if it is missing.

    The system releases the lock of a process that dies. Where the file system has no locks, nothing is locked.

    Args:
        folder: The folder.
        what: What writes to it, such as "fer3d preprocess", for the message to a second process.

    Raises:
        LockedError: if another process holds the lock; names it and what it does.
        WriteError: if the folder cannot be written.
    """
    path = folder / LOCK
    descriptor = _lock(folder, path)
    try:
        os.write(descriptor, f"`{what}` (process {os.getpid()} on {platform.node()})\n".encode())
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # before the release, so that the next process does not lock a file that is removed
        os.close(descriptor)


def _lock(folder: Path, path: Path) -> int:
    """Open and lock the lock file of a folder; return its descriptor."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise _not_written(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 1000).decode("utf-8", "replace").strip() or "another process"
            os.close(descriptor)
            raise LockedError(
                f"{folder}: {holder} is writing there; wait until it has ended, or choose another folder"
            ) from None
        except OSError:  # a file system without locks
            pass
        try:
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                os.ftruncate(descriptor, 0)
                return descriptor
        except FileNotFoundError:  # its holder removed it after it was opened
            pass
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    """Name a temporary file beside `path`; a long name is cut, as a file system allows 255 bytes."""
    name = os.fsdecode(os.fsencode(path.name)[:_LONGEST_STEM])
    return path.with_name(f".{name}.{uuid.uuid4().hex}{TEMPORARY}")


def _discard(temporary: Path) -> None:
    with suppress(OSError, ValueError):
        temporary.unlink()


def _not_written(path: Path, error: OSError | ValueError) -> WriteError:
    return WriteError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header, for spreadsheets: no text is taken for a formula there.

    A text that begins with `=`, `+`, `-`, `@`, a tab or a line end gets an apostrophe in front, unless it is a number.
    Control characters, which a terminal would obey, become escapes such as \\x1b.

    Args:
        columns: Names of the columns. Further keys of a row are left out; a missing key or None is an empty cell.
        rows: Column -> value.

    >>> csv_text(["file", "x"], [{"file": "=1+2", "x": -0.5}])
    "file,x\\n'=1+2,-0.5\\n"
    """
    lines = [_line(columns), *(_line([_cell(row.get(name)) for name in columns]) for row in rows)]
    return "".join(f"{line}\n" for line in lines)


def _line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # so that a cell with either is quoted
    return text.getvalue().removesuffix("\r\n")


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
    if not value.startswith(_FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value if value == value.strip() else f"'{value}"


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


def _reason(fault: BaseException) -> str:
    """The first line of an error's message, short."""
    if isinstance(fault, RecursionError):
        return "it is nested too deeply"
    return brief_line(str(fault) or type(fault).__name__)


def brief_line(text: str, most: int = 160) -> str:
    """The first line of a text, at most `most` characters of it."""
    line = next(iter(text.splitlines()), "")
    return line if len(line) <= most else line[: most - 3] + "..."


def read_table(
    path: Path,
    wanted: Any = None,
    again: str = "",
    required: Collection[str] = (),
    without: Collection[str] = (),
) -> Any:
    """Read a Parquet file, and check that the memory it takes is in proportion to its size.

    Args:
        path: File to read.
        wanted: A `pyarrow.Schema`, to which the columns are cast, see `conformed`. None: all columns as they are.
        again: What the user can do about a damaged file, such as "prepare the scans again".
        required: Columns that must have no null.
        without: Columns that are not read.

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
        chosen = [name for name in columns if name not in without]
        for batch in file.iter_batches(_BATCH, columns=chosen, use_threads=False):
            size += batch.nbytes
            check_growth(size, len(content))
            batches.append(batch)
        fields = [field for field in file.schema_arrow if field.name in chosen]
        table = pa.Table.from_batches(batches, pa.schema(fields, file.schema_arrow.metadata))
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
    return pa.table(columns).replace_schema_metadata(table.schema.metadata)


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
    """Write JSON with sorted keys atomically; create the folder if needed. Raises WriteError if that fails."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


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
