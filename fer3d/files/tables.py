"""Read Parquet files that may be damaged: kinds of columns, nulls, and memory in proportion to the file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from fer3d.errors import FormatError
from fer3d.files.structured import brief_line, present, reason, with_hint

_BATCH = 1024  # rows of a table that are unpacked at once
_FREE, _GROWTH = 1 << 24, 200  # a packed file may unpack to _FREE bytes, or to _GROWTH times its own size


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

    content = present(path, again)
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
        raise FormatError(with_hint(f"{path}: is not a Parquet file ({reason(fault)})", again)) from None
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise FormatError(with_hint(f"{path}: holds the column {brief_line(twice[0])} twice", again))
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
            raise FormatError(with_hint(fault, again))
        if field.name in required and column.null_count:
            raise FormatError(with_hint(f"{path}: the column {field.name} should hold no null, holds one", again))
        try:
            columns[field.name] = column.cast(field.type)
        except pa.ArrowException as fault:  # a number that is too large
            text = f"{path}: the column {field.name} should hold {field.type} ({reason(fault)})"
            raise FormatError(with_hint(text, again)) from None
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
