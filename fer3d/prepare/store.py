"""The store that `preprocess` writes and training reads: safetensors files and one Parquet manifest.

    prepared/
        prepare.json            settings, card, versions, whether the faces are simulated, hash of the manifest
        card/                   copies of the card of the data set and its folds.toml (`fer3d.catalog.stored_card`)
        manifest.parquet        one row per scan, also for failed scans, with the reason (columns: `manifest_schema`)
        contact_sheet.png
        scans/<id>.safetensors  or, for pictures and after `fer3d pack`, shards/NNNNN.safetensors

A scan file holds `maps` (C, H, W) float16, NaN where a channel is not known, and `mask` (H, W) uint8: 0 no surface, 1
the surface is seen and its depth known, 2 filled over a small hole. A channel is NaN where the mask is 0, and where its
group is not known although the surface is seen: normals without faces around, curvature where a mesh is too coarse.
`texture` (H, W, 3) uint8, if there is one, is black where not known; if that is not only where the mask is 0,
`coloured` (H, W) uint8 is 1 where it is known. Unless switched off, a scan file also holds `vertices` (V, 3) float32 in
mm and `faces` (F, 3) int32, and after `preprocess --tree` the arrays of its `SampleTree`, named `tree_...`, for
`read_tree`. Its header holds the manifest row, the names of the channels, the hashes of inputs and settings that decide
whether a later run may keep the file, and checksums (`fer3d.prepare.integrity`). Files are moved into place by
`os.replace`, so that a reader never sees an incomplete file and a killed run leaves only complete files. The same input
and settings give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.files import checked, parse_json, read_json, read_table, write_bytes
from fer3d.prepare import recipe
from fer3d.prepare.integrity import AGAIN, check_array, compact, with_checks, without_checks
from fer3d.prepare.stored_facts import STORED_ARRAYS, PrepareFacts, check_arrays, check_header, check_rows
from fer3d.prepare.tensors import Tensors, open_tensors

if TYPE_CHECKING:
    import pyarrow

    from fer3d.tree.sample_tree import SampleTree

Array = NDArray[Any]

# Columns that manifests of earlier versions lack. They are read as null.
LATER_COLUMNS = ("compound", "valence", "arousal", "absent_units")

# Columns that say how a scan was prepared; see `read_manifest`.
RECORD_COLUMNS = (
    "reason", "unit", "vertices", "faces", "measured", "pose_source", "nose", "placement", "warnings", "history",
)  # fmt: skip

_HEADER_KEY = "fer3d"  # one key, as safetensors writes several in random order


@dataclass(frozen=True)
class PreparedScan:
    """One prepared scan as stored on disk.

    Attributes:
        arrays: `maps`, `mask` and, where present, `texture`, `coloured`, `vertices`, `faces`; see the module docstring.
        header: `row` (its row of the manifest), `channels` (names of the C maps), `pixel_mm`, `key`, `inputs`.
    """

    arrays: Mapping[str, Array]
    header: Mapping[str, Any]


def write_scan(path: Path, prepared: PreparedScan) -> None:
    """Write one prepared scan atomically.

    Raises:
        WriteError: if the file cannot be written.
    """
    write_tensors(path, dict(prepared.arrays), with_checks(prepared.header, prepared.arrays))


def write_tensors(path: Path, arrays: Mapping[str, Array], header: Mapping[str, Any]) -> None:
    """Write arrays and a header, that of a scan or id -> header of a shard, as a safetensors file.

    Raises:
        WriteError: if the file cannot be written.
    """
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_bytes(path, save(whole, metadata={_HEADER_KEY: compact(header)}), make_folder=True)


def read_scan(path: Path) -> PreparedScan:
    """Read one prepared scan, and check its header, the shapes of its arrays and their checksums.

    Raises:
        FileError: if the file is missing or cannot be read.
        FormatError: if fer3d did not write it, it is damaged, or it is a shard.
    """
    with open_tensors(path) as file:
        scan = StoredScan(file, _header_of(path, file))
        return PreparedScan({name: scan.get_tensor(name) for name in file.keys()}, scan.header)  # noqa: SIM118


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of one prepared scan, without its arrays, whose shapes are checked. Raises as `read_scan`."""
    with open_tensors(path) as file:
        return StoredScan(file, _header_of(path, file)).header


class StoredScan:
    """A prepared scan in an open file or shard, see `open_scan`.

    Args:
        file: The file or shard.
        entry: The header of the scan, with its checksums.
        prefix: Prefix of the names of its arrays.

    Attributes:
        header: See `PreparedScan`.

    Raises:
        FormatError: if the header is not one of this package, or the arrays have other dtypes or shapes.
    """

    def __init__(self, file: Tensors, entry: Mapping[str, Any], prefix: str = "") -> None:
        where = f"{file.path}: {prefix.removesuffix('/')}" if prefix else str(file.path)
        self.header, self._checks = without_checks(file.path, entry)
        check_header(self.header, where)
        check_arrays(file.layout(prefix, STORED_ARRAYS), self.header["channels"], where)
        self._file, self._prefix = file, prefix

    def keys(self) -> frozenset[str]:
        """Names of the arrays of the file, with their prefix."""
        return self._file.names

    def get_tensor(self, name: str) -> Array:
        """Read an array by its name with the prefix. FormatError if it is missing or does not have its checksum."""
        array: Array = self._file.get_tensor(name)
        check_array(self._file.path, name, array, self._checks.get(name.removeprefix(self._prefix)))
        return array


@contextmanager
def open_scan(folder: Path, row: Mapping[str, Any]) -> Iterator[StoredScan]:
    """Open the scan of a manifest row in its file or shard, and check that it is the scan of this row.

    Args:
        folder: A prepared folder.
        row: A row of its manifest.

    Raises:
        FileError: if the file is missing or cannot be read.
        FormatError: if it is damaged, or holds another scan, or the scan prepared with other settings or inputs.
    """
    path, prefix = folder / row["file"], row["prefix"] or ""
    if prefix:
        file, headers = _shard(path)
        if row["id"] not in headers:
            raise FormatError(f"{path}: holds no scan {row['id']}, which the manifest says is there; {AGAIN}")
        scan = StoredScan(file, headers[row["id"]], prefix)
    else:
        file = Tensors(path)
        scan = StoredScan(file, _header_of(path, file))
    _check_is(path, scan.header, row)
    yield scan


def _shard(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """An open shard and its headers. The last ones stay open, as parsing takes long."""
    try:
        status = path.stat()
    except OSError as error:
        raise FileError(f"{path}: is missing or cannot be read ({error.strerror})") from None
    return _opened_shard(path, status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _opened_shard(path: Path, *stamp: int) -> tuple[Tensors, dict[str, Any]]:
    file = Tensors(path)  # its memory map is closed when it leaves the cache
    return file, stored_headers(file)


def _check_is(path: Path, header: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    stored = header.get("row", {})
    if stored.get("key") == row.get("key"):  # the key also hashes the id; rows that are made by hand have none
        return
    if stored.get("id", row["id"]) != row["id"]:
        raise FormatError(f"{path}: wanted the scan {row['id']} of the manifest, it holds {stored['id']}; {AGAIN}")
    raise FormatError(
        f"{path}: its `key` is not that of {row['id']} in the manifest: it was prepared with other settings or from "
        f"another input; {AGAIN}"
    )


def read_row(folder: Path, row: Mapping[str, Any]) -> PreparedScan:
    """Read all arrays of the scan of a manifest row from its file or shard. Raises as `open_scan`."""
    prefix = row["prefix"] or ""
    with open_scan(folder, row) as scan:
        names = sorted(name for name in scan.keys() if name.startswith(prefix))  # noqa: SIM118  (a handle, not a dict)
        return PreparedScan({name.removeprefix(prefix): scan.get_tensor(name) for name in names}, scan.header)


def header_for(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """Read the header of the scan of a manifest row from its file or shard. Raises as `open_scan`."""
    with open_scan(folder, row) as scan:
        return scan.header


def read_tree(folder: str | Path, row: Mapping[str, Any]) -> SampleTree:
    """Read the tree of a prepared scan from its file or shard.

    Args:
        folder: A folder from `fer3d preprocess --tree` or `fer3d pack`.
        row: The row of the scan in the manifest, see `read_manifest`.

    Raises:
        FileError, FormatError: if the file is missing or damaged, or its tree is missing or lacks an array.
    """
    from fer3d.tree.sample_tree import PREFIX, SampleTree

    folder = Path(folder)
    prefix = row["prefix"]
    with open_scan(folder, row) as file:
        facts = file.header.get("tree")
        if facts is None:
            raise FormatError(f"{folder / row['file']}: has no tree for {row['id']}; prepare the scans with --tree")
        names = [name for name in file.keys() if name.startswith(prefix + PREFIX)]  # noqa: SIM118  (a handle, not a dict)
        arrays = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    try:
        return SampleTree.from_arrays(arrays, facts)
    except KeyError as error:
        raise FormatError(
            f"{folder / row['file']}: the tree of {row['id']} lacks {error}; prepare the scans again with --tree"
        ) from None
    except (ArgumentError, ValueError, IndexError, TypeError) as error:
        raise FormatError(
            f"{folder / row['file']}: the tree of {row['id']} is damaged ({error}); prepare the scans again with --tree"
        ) from None


def manifest_schema() -> pyarrow.Schema:
    """Return the columns of `manifest.parquet`. Landmarks are in the aligned frame, in mm; angles in radians."""
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.string()),
            ("status", pa.string()),  # "ok" or "failed"
            ("reason", pa.string()),  # reason of a failure, one line
            ("dataset", pa.string()),
            ("subject", pa.string()),
            ("expression", pa.string()),
            ("intensity", pa.int32()),
            ("sequence", pa.string()),
            ("frame", pa.int32()),
            ("action_units", pa.list_(pa.string())),  # present units, such as AU12L, AU12:3
            ("pose", pa.list_(pa.float64())),  # yaw, pitch, roll as the data set names them
            ("occlusion", pa.string()),
            ("attributes", pa.string()),  # JSON: sex, ethnicity, ...
            ("source", pa.string()),  # relative to the scan folder
            ("file", pa.string()),  # relative to the prepared folder
            ("prefix", pa.string()),  # prefix of the array names in `file`: "" or, in a shard, "<id>/"
            ("unit", pa.string()),
            ("vertices", pa.int32()),
            ("faces", pa.int32()),
            ("measured", pa.float32()),  # share of the pixels of the map where the surface is seen, in [0, 1]
            ("pose_source", pa.string()),  # "landmarks" (of the file) or "found"
            ("landmark_names", pa.list_(pa.string())),
            ("landmarks", pa.list_(pa.float64())),  # x y z of each landmark
            ("nose", pa.list_(pa.float64())),  # x y z of the nose tip in the frame and unit of the file
            ("placement", pa.list_(pa.float64())),  # 4 x 4, file frame -> aligned frame, row by row
            ("warnings", pa.list_(pa.string())),
            ("history", pa.string()),  # JSON: the record of every step
            ("key", pa.string()),  # hash of inputs and settings
            ("compound", pa.string()),  # such as "happily surprised"
            ("valence", pa.float64()),  # in [-1, 1]
            ("arousal", pa.float64()),
            ("absent_units", pa.list_(pa.string())),  # units known to be absent, such as AU4
        ]
    )


def write_manifest(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `manifest.parquet`, with rows sorted by id, and seal the folder with its hash, see `fer3d.prepare.recipe`.

    Bytes of file names that are not UTF-8 become escapes such as \\udce9.

    Raises:
        WriteError: if a file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = manifest_schema().with_metadata(recipe.metadata(folder))
    ordered = sorted(rows, key=lambda row: (row["id"], row["source"] or ""))
    plain = [{name: _encodable(row.get(name)) for name in schema.names} for row in ordered]
    table = pa.Table.from_pylist(plain, schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(folder / recipe.MANIFEST, sink.getvalue().to_pybytes(), make_folder=True)
    recipe.seal(folder)


def _encodable(value: Any) -> Any:
    """`value` with texts that UTF-8 can hold."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    return [_encodable(item) for item in value] if isinstance(value, list | tuple) else value


def read_manifest(folder: Path, *, records: bool = True) -> list[dict[str, Any]]:
    """Open a prepared folder: read the rows of `manifest.parquet`, sorted by id, and check that the folder is whole.

    Columns of `LATER_COLUMNS` that are missing are None. Every reader of prepared scans opens the folder with this
    function, and each scan with `open_scan`.

    Args:
        folder: A prepared folder.
        records: Whether to read `RECORD_COLUMNS` too, which take most of the memory and which training does not need.

    Raises:
        FileError: if `folder` has no manifest, is not finished, or lacks a file that the manifest names.
        FormatError: if the manifest cannot be parsed, lacks a column, or is not that of the settings in prepare.json.
    """
    path = Path(folder) / recipe.MANIFEST
    if not path.exists():
        recipe.check_begun(Path(folder))
        raise FileError(f"{path}: is missing; `fer3d preprocess` writes it at the end of a run")
    left_out = () if records else RECORD_COLUMNS
    table = read_table(path, manifest_schema(), AGAIN, required=("id", "status"), without=left_out)
    lacking = [name for name in manifest_schema().names if name not in (*table.column_names, *left_out)]
    missing = [name for name in lacking if name not in LATER_COLUMNS]
    if missing:
        raise FormatError(f"{path}: lacks the columns {', '.join(missing)}; {AGAIN}")
    recipe.check_seal(Path(folder), table.schema.metadata)
    shared: dict[str, str] = {}  # a word that many rows have is held once
    columns = [_shared_words(column.to_pylist(), shared) for column in table.columns]
    columns += [[None] * len(table)] * len(lacking)
    names = (*table.column_names, *lacking)
    rows = [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]
    check_rows(rows, path)
    recipe.check_files(Path(folder), rows)
    return rows


def _shared_words(cells: list[Any], shared: dict[str, str]) -> list[Any]:
    return [shared.setdefault(cell, cell) if isinstance(cell, str) else cell for cell in cells]


def is_simulated(folder: Path) -> bool:
    """Whether the scans of a prepared folder are simulated, as its prepare.json says. Without that file: False.

    Raises:
        FileError, FormatError: if that file cannot be read: results on simulated faces must not pass for real ones.
    """
    path = folder / "prepare.json"
    return path.exists() and bool(read_json(path, PrepareFacts, AGAIN).get("simulated", False))


def manifest_landmarks(row: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Return the landmarks of a manifest row: name -> (3,) float64 in the aligned frame, mm."""
    points = np.asarray(row["landmarks"] or [], dtype=np.float64).reshape(-1, 3)
    return dict(zip(row["landmark_names"] or [], points, strict=True))


def stored_headers(file: Tensors) -> dict[str, dict[str, Any]]:
    """Id -> header with its checksums, of a shard. FormatError if fer3d did not write it."""
    content = _header_of(file.path, file)
    return checked(content, dict[str, dict[str, Any]], str(file.path), AGAIN)  # type: ignore[no-any-return]


def _header_of(path: Path, file: Tensors) -> dict[str, Any]:
    text = file.metadata().get(_HEADER_KEY)
    if text is None:
        raise FormatError(f"{path}: was not written by fer3d (no `{_HEADER_KEY}` entry in its header)")
    content = parse_json(text, f"{path}: header", AGAIN, header=True)
    return checked(content, dict[str, Any], str(path), AGAIN)  # type: ignore[no-any-return]
