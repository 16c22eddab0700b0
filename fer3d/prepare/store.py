"""The store that `preprocess` writes and training reads: one safetensors file per scan and one Parquet manifest.

    prepared/
        prepare.json            settings, card, versions, and whether the faces are simulated
        card/                   copies of the card of the data set and its folds.toml (`fer3d.catalog.stored_card`)
        manifest.parquet        one row per scan, also for failed scans, with the reason (columns: `manifest_schema`)
        contact_sheet.png
        scans/<id>.safetensors  or, after `fer3d pack`, shards/NNNNN.safetensors

A scan file holds `maps` (C, H, W) float16 (NaN = not measured), `mask` (H, W) uint8 (0 none, 1 measured, 2 filled),
`texture` (H, W, 3) uint8 if there is one, and, unless switched off, `vertices` (V, 3) float32 in mm and `faces` (F, 3)
int32. After `preprocess --tree` it also holds the arrays of its `SampleTree`, named `tree_...`, for `read_tree`. Its
header holds the manifest row, the names of the channels, and the hashes of inputs and settings that decide whether a
later run may keep the file. Files are moved into place by `os.replace`, so that a reader never sees an incomplete file
and a killed run leaves only complete files. The same input and settings give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.files import checked, parse_json, read_bytes, read_json, read_table, write_bytes
from fer3d.prepare.stored_facts import AGAIN, PrepareFacts, check_arrays, check_header, check_rows

if TYPE_CHECKING:
    import pyarrow

    from fer3d.tree.sample_tree import SampleTree

Array = NDArray[Any]

# Columns that manifests of earlier versions lack. They are read as null.
LATER_COLUMNS = ("compound", "valence", "arousal", "absent_units")

# Names of dtypes in a safetensors file -> NumPy's.
_DTYPES = {"F16": np.float16, "F32": np.float32, "U8": np.uint8, "I32": np.int32}

_HEADER_KEY = "fer3d"  # one key, as safetensors writes several in random order


@dataclass(frozen=True)
class PreparedScan:
    """One prepared scan as stored on disk.

    Attributes:
        arrays: `maps`, `mask` and, where present, `texture`, `vertices`, `faces`; see the module docstring.
        header: `row` (its row of the manifest), `channels` (names of the C maps), `pixel_mm`, `key`, `inputs`.
    """

    arrays: Mapping[str, Array]
    header: Mapping[str, Any]


class Tensors:
    """The arrays of an open safetensors file, by name."""

    def __init__(self, path: Path, handle: Any) -> None:
        self.path, self._handle = path, handle

    def keys(self) -> list[str]:
        """The names of the arrays."""
        return list(self._handle.keys())

    def metadata(self) -> dict[str, str]:
        """The texts in the header of the file."""
        return dict(self._handle.metadata() or {})

    def get_tensor(self, name: str) -> Any:
        """Read one array. FormatError if there is none of this name, or none that NumPy can hold."""
        try:
            return self._handle.get_tensor(name)
        except Exception as error:  # an unknown name, a dtype that NumPy lacks, a shape without memory for it
            raise FormatError(f"{self.path}: has no readable array {name} ({error}); {AGAIN}") from None

    def layout(self, prefix: str = "") -> dict[str, tuple[Any, tuple[int, ...]]]:
        """Name without prefix -> dtype and shape of each array whose name starts with `prefix`, without reading it."""
        found = {}
        for name in self.keys():
            if name.startswith(prefix):
                part = self._handle.get_slice(name)
                dtype = _DTYPES.get(part.get_dtype(), part.get_dtype())
                found[name.removeprefix(prefix)] = (dtype, tuple(part.get_shape()))
        return found


@contextmanager
def open_tensors(path: Path, framework: str = "np") -> Iterator[Tensors]:
    """Open a safetensors file, memory-mapped. Errors are one line.

    Args:
        path: File to open.
        framework: Library of the arrays, "np" or "pt".

    Raises:
        FileError: if the file is missing or cannot be read.
        FormatError: if it is not a complete safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if path.exists() and not path.is_file():
            raise FileError(f"{path}: a file was wanted, it is a folder or a device")
        handle = safe_open(path, framework=framework)
    except FileNotFoundError:
        raise FileError(f"{path}: is missing") from None
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (SafetensorError, ValueError, MemoryError) as error:
        raise FormatError(f"{path}: is not a whole safetensors file ({error})") from None
    with handle:
        yield Tensors(path, handle)


def write_scan(path: Path, prepared: PreparedScan) -> None:
    """Write one prepared scan atomically.

    Raises:
        FileError: if the file cannot be written.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in prepared.arrays.items()}
    write_bytes(path, save(arrays, metadata={_HEADER_KEY: _compact(prepared.header)}), make_folder=True)


def read_scan(path: Path) -> PreparedScan:
    """Read one prepared scan.

    Raises:
        FileError: if the file is missing or cannot be read.
        FormatError: if fer3d did not write it.
    """
    with open_tensors(path) as file:
        header = _header_of(path, file) if _is_shard(path, file) else _checked_header(path, file)
        return PreparedScan({name: file.get_tensor(name) for name in file.keys()}, header)  # noqa: SIM118


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of one prepared scan, without its arrays, whose shapes are checked. Raises as `read_scan`."""
    with open_tensors(path) as file:
        return _checked_header(path, file)


def header_for(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """Read the header of the scan of a manifest row from its file or shard. Raises as `read_scan`."""
    path, prefix = folder / row["file"], row["prefix"]
    with open_tensors(path) as file:
        return _checked_header(path, file, prefix.removesuffix("/"))


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
    facts = header_for(folder, row).get("tree")
    if facts is None:
        raise FormatError(f"{folder / row['file']}: has no tree for {row['id']}; prepare the scans with --tree")
    prefix = row["prefix"]
    with open_tensors(folder / row["file"]) as file:
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
            ("measured", pa.float32()),  # share of the pixels of the map that were measured, in [0, 1]
            ("pose_source", pa.string()),  # "landmarks" or "shape"
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
    """Write `manifest.parquet`, with rows sorted by id. Raises FileError if it cannot be written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = manifest_schema()
    ordered = sorted(rows, key=lambda row: (row["id"], row["source"] or ""))
    table = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in ordered], schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(folder / "manifest.parquet", sink.getvalue().to_pybytes(), make_folder=True)


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of `manifest.parquet`, sorted by id. Columns of `LATER_COLUMNS` that are missing are None.

    Raises:
        FileError: if `folder` has no manifest.
        FormatError: if it cannot be parsed or lacks a column.
    """
    path = Path(folder) / "manifest.parquet"
    if not path.exists():
        raise FileError(f"{path}: is missing; `fer3d preprocess` writes it at the end of a run")
    table = read_table(path, manifest_schema(), AGAIN, required=("id", "status"))
    lacking = [name for name in manifest_schema().names if name not in table.column_names]
    missing = [name for name in lacking if name not in LATER_COLUMNS]
    if missing:
        raise FormatError(f"{path}: lacks the columns {', '.join(missing)}; {AGAIN}")
    rows = [{**row, **dict.fromkeys(lacking)} for row in table.to_pylist()]
    check_rows(rows, path)
    return rows


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


def pack(folder: Path, out: Path, per_shard: int = 500) -> int:
    """Pack the prepared scans of `folder` into shards of `per_shard` scans, for network file systems.

    Args:
        folder: A prepared folder from `preprocess`.
        out: A new folder. `PreparedDataset` reads it like the old one.
        per_shard: Number of scans per shard.

    Returns:
        The number of shards.

    Raises:
        ArgumentError: if `per_shard` is not positive or `out` is `folder` or already holds a manifest.
        FileError, FormatError: if a scan file is missing or damaged.
    """
    from safetensors.numpy import save

    from fer3d.catalog.stored_card import copy_stored_card

    if per_shard < 1:
        raise ArgumentError(f"`per_shard` should be at least 1, is {per_shard}")
    if (out / "manifest.parquet").exists():
        raise ArgumentError(f"`out` should be a new folder, {out} already holds a manifest")
    rows = read_manifest(folder)
    prepared = [row for row in rows if row["status"] == "ok"]
    shards = [prepared[start : start + per_shard] for start in range(0, len(prepared), per_shard)]
    for number, shard in enumerate(shards):
        name = f"shards/{number:05d}.safetensors"
        arrays: dict[str, Array] = {}
        headers: dict[str, Any] = {}
        for row in shard:
            scan = read_scan(folder / row["file"])
            arrays |= {f"{row['id']}/{key}": np.ascontiguousarray(array) for key, array in scan.arrays.items()}
            headers[row["id"]] = scan.header
            row |= {"file": name, "prefix": f"{row['id']}/"}
        write_bytes(out / name, save(arrays, metadata={_HEADER_KEY: _compact(headers)}), make_folder=True)
    for extra in ("prepare.json", "contact_sheet.png"):
        if (folder / extra).is_file():
            write_bytes(out / extra, read_bytes(folder / extra), make_folder=True)
    copy_stored_card(folder, out)
    write_manifest(out, rows)
    return len(shards)


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _is_shard(path: Path, file: Tensors) -> bool:
    """Whether a file holds several scans; if so, raise FormatError unless each of them is whole."""
    content = _header_of(path, file)
    if "row" in content or not content:
        return False
    for name in content:
        _checked_header(path, file, name)
    return True


def _checked_header(path: Path, file: Tensors, name: str = "") -> dict[str, Any]:
    """The header of a scan file, or of the scan `name` of a shard. FormatError unless the scan is whole."""
    content = _header_of(path, file)
    if name and name not in content:
        raise FormatError(f"{path}: holds no scan {name}; pack the prepared folder again")
    header: dict[str, Any] = content[name] if name else content
    where = f"{path}: {name}" if name else str(path)
    check_header(header, where)
    check_arrays(file.layout(f"{name}/" if name else ""), header["channels"], where)
    return header


def _header_of(path: Path, file: Tensors) -> dict[str, Any]:
    text = file.metadata().get(_HEADER_KEY)
    if text is None:
        raise FormatError(f"{path}: was not written by fer3d (no `{_HEADER_KEY}` entry in its header)")
    header: dict[str, Any] = checked(parse_json(text, f"{path}: header", AGAIN), dict[str, Any], str(path), AGAIN)
    return header
