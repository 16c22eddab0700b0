"""The store that `preprocess` writes and training reads: one safetensors file per scan and one Parquet manifest.

    prepared/
        prepare.json            settings, card, versions, and whether the faces are simulated
        card/                   copies of the card of the data set and its folds.toml (`fer3d.catalog.stored_card`)
        manifest.parquet        one row per scan, also for failed scans, with the reason (columns: `manifest_schema`)
        contact_sheet.png
        scans/<id>.safetensors  or, after `fer3d pack`, shards/NNNNN.safetensors

A scan file holds `maps` (C, H, W) float16, NaN where a channel is not known, and `mask` (H, W) uint8: 0 no surface, 1
the surface is seen and its depth known, 2 filled over a small hole. A channel is NaN where the mask is 0, and where its
group is not known although the surface is seen: normals without faces around, curvature where a mesh is too coarse.
`texture` (H, W, 3) uint8, if there is one, is black where not known; if that is not only where the mask is 0,
`coloured` (H, W) uint8 is 1 where it is known. Unless switched off, a scan file also holds `vertices` (V, 3) float32 in
mm and `faces` (F, 3) int32, and after `preprocess --tree` the arrays of its `SampleTree`, named `tree_...`, for
`read_tree`. Its header holds the manifest row, the names of the channels, and the hashes of inputs and settings that
decide whether a later run may keep the file. Files are moved into place by `os.replace`, so that a reader never sees an
incomplete file and a killed run leaves only complete files. The same input and settings give the same bytes.
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
from fer3d.files import write_bytes

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


@contextmanager
def open_tensors(path: Path) -> Iterator[Any]:
    """Open a safetensors file, memory-mapped, as a handle with `get_tensor(name)`. Errors are one line.

    Raises:
        FileError: if the file is missing or cannot be read.
        FormatError: if it is not a complete safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as handle:
            yield handle
    except FileNotFoundError:
        raise FileError(f"{path}: is missing") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        raise FormatError(f"{path}: is not a whole safetensors file ({error})") from None


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
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (a handle, not a dict)
        return PreparedScan(arrays, _header_of(path, file))


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of one prepared scan, without its arrays. Raises as `read_scan`."""
    with open_tensors(path) as file:
        return _header_of(path, file)


def header_for(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """Read the header of the scan of a manifest row from its file or shard. Raises as `read_scan`."""
    header = read_header(folder / row["file"])
    return header[row["id"]] if row["prefix"] else header


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


def read_manifest(folder: Path, *, records: bool = True) -> list[dict[str, Any]]:
    """Read the rows of `manifest.parquet`, sorted by id. Columns of `LATER_COLUMNS` that are missing are None.

    Args:
        folder: A prepared folder.
        records: Whether to read `RECORD_COLUMNS` too, which take most of the memory and which training does not need.

    Raises:
        FileError: if `folder` has no manifest.
        FormatError: if it cannot be parsed or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(folder) / "manifest.parquet"
    if not path.is_file():
        raise FileError(f"{path}: is missing; `fer3d preprocess` writes it at the end of a run")
    try:
        present = pq.read_schema(path).names
        table = pq.read_table(path, columns=[name for name in present if records or name not in RECORD_COLUMNS])
    except (OSError, pa.ArrowException) as error:
        raise FormatError(f"{path}: is not a Parquet file ({str(error).splitlines()[0]})") from None
    lacking = [name for name in manifest_schema().names if name not in present]
    missing = [name for name in lacking if name not in LATER_COLUMNS]
    if missing:
        raise FormatError(f"{path}: lacks the columns {', '.join(missing)}; prepare the scans again")
    shared: dict[str, str] = {}  # a word that many rows have is held once
    columns = [_shared_words(column.to_pylist(), shared) for column in table.columns]
    columns += [[None] * len(table)] * len(lacking)
    names = (*table.column_names, *lacking)
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _shared_words(cells: list[Any], shared: dict[str, str]) -> list[Any]:
    return [shared.setdefault(cell, cell) if isinstance(cell, str) else cell for cell in cells]


def is_simulated(folder: Path) -> bool:
    """Whether the scans of a prepared folder are simulated, as its prepare.json says. Without that file: False."""
    try:
        facts = json.loads((folder / "prepare.json").read_text(encoding="utf-8"))
        return bool(facts.get("simulated", False))
    except (OSError, ValueError, AttributeError):
        return False


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
            write_bytes(out / extra, (folder / extra).read_bytes(), make_folder=True)
    copy_stored_card(folder, out)
    write_manifest(out, rows)
    return len(shards)


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _header_of(path: Path, file: Any) -> dict[str, Any]:
    text = (file.metadata() or {}).get(_HEADER_KEY)
    if text is None:
        raise FormatError(f"{path}: was not written by fer3d (no `{_HEADER_KEY}` entry in its header)")
    header: dict[str, Any] = json.loads(text)
    return header
