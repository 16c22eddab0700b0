"""Read and write landmark files. The suffix determines the format; see the modules for each.

| suffix | module | points | a missing point | read, written |
| --- | --- | --- | --- | --- |
| .bnd | `landmark_files` | the 83 of BU-3DFE, with the vertex of each | is refused | both |
| .pse | `landmark_files` | 8 of BU-3DFE | is refused | read |
| .lm3 | `landmark_files` | those of Bosphorus | is left out, a hidden one too | both |
| .pp | `picked_points` (MeshLab) | any | is not active | both |
| .fcsv | `slicer_markups` (3D Slicer) | any | is left out | both |
| .mrk.json | `slicer_markups` (3D Slicer) | any | has the status "missing" | both |
| .csv | `landmark_tables` | any | has empty cells | both |
| .json | `landmark_tables` | any | is null | both |

Names are those of `fer3d.landmarks`. A point of another name keeps the name in its file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_choice, check_range, check_shape
from fer3d.errors import ArgumentError
from fer3d.files import brief, parse_json
from fer3d.formats import landmark_files, landmark_tables, picked_points, slicer_markups
from fer3d.formats.point_list import read_content
from fer3d.landmarks import BOSPHORUS, SCHEMES, bosphorus_names, bu83_names, scheme_points
from fer3d.scan import Scan, check_scan

Points = dict[str, NDArray[np.float64]]
_ONLY = {".bnd": "bu83", ".lm3": "bosphorus"}  # formats of a single scheme


def read_landmarks(path: str | os.PathLike[str]) -> Points:
    """Read the 3D landmarks of a file under their names in `fer3d.landmarks`, in the frame of their scan.

    Args:
        path: A file that ends in .bnd, .pse, .lm3, .pp, .fcsv, .mrk.json, .csv or .json.

    Returns:
        Name -> (3,) float64, at least one point; NaN for a point that the file lists as missing.

    Raises:
        ArgumentError: if the file has another suffix.
        FileError: if the file cannot be opened.
        FormatError: if its content violates the format.
    """
    return _READERS[_suffix(path, tuple(_READERS))](path)


def write_landmarks(
    points: Mapping[str, NDArray[np.floating[Any]]],
    path: str | os.PathLike[str],
    *,
    scan: Scan | None = None,
    scheme: str | None = None,
    confidence: Mapping[str, float] | None = None,
    visible: Mapping[str, bool] | None = None,
) -> None:
    """Write landmarks to a file that `read_landmarks` and the programs of the format read.

    Numbers read back exactly, but from .lm3, which has six digits. The formats have different ways to say that a point
    is missing: see the table of this module. A .lm3 lists what can be seen, as those of Bosphorus do, so points that
    are not `visible` are left out. A .fcsv and a .mrk.json hold confidence and visibility as the description of a
    point; .bnd, .lm3 and .pp have no place for them.

    Args:
        points: Name -> (3,), in the frame and unit of the scan's file; NaN for a missing point.
        path: The file; it ends in .bnd, .lm3, .pp, .fcsv, .mrk.json, .csv or .json.
        scan: The scan, in the frame of `points`. A .bnd names the vertex of the scan's file next to each point.
        scheme: Write the points of this scheme, a key of `fer3d.landmarks.SCHEMES`, in its order. None: those of
            BU-3DFE for .bnd, those of Bosphorus for .lm3, else all points in their order.
        confidence: Name -> number in [0, 1].
        visible: Name -> whether the scan shows the point.

    Raises:
        ArgumentError: if the suffix is another, there is no point to write, a point or its name is malformed, the
            scheme does not fit the format, `confidence` or `visible` names another point, or a .bnd lacks `scan` or
            one of its points.
        FileError: if the file cannot be written.
    """
    suffix = _suffix(path, tuple(_WRITERS))
    given = _checked_points(points)
    _check_extra(given, confidence, visible)
    chosen = _chosen(given, scheme_of(suffix, scheme), path)
    _WRITERS[suffix](chosen, path, scan, confidence, visible)


def _read_bnd(path: str | os.PathLike[str]) -> Points:
    points = landmark_files.read_bnd(path).points
    return dict(zip(bu83_names(np.arange(1, len(points) + 1)), points, strict=True))


def _read_pse(path: str | os.PathLike[str]) -> Points:
    points = landmark_files.read_pse(path).points
    return dict(zip(bu83_names(np.array(landmark_files.PSE_NUMBERS)), points, strict=True))


def _read_json(path: str | os.PathLike[str]) -> Points:
    """Either kind of JSON, whatever the suffix: the content tells them apart."""
    content = parse_json(read_content(path), os.fspath(path))
    markups = isinstance(content, dict) and "markups" in content
    return (slicer_markups.read_markups if markups else landmark_tables.read_json)(content, path)


def _write_bnd(points: Points, path: Any, scan: Scan | None, *_: Any) -> None:
    """Each line has the vertex of the scan's file that is nearest to the point, and the coordinates of the point."""
    from scipy.spatial import cKDTree

    missing = [name for name, point in points.items() if np.isnan(point).any()]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ArgumentError(
            f"`points` should hold the 83 points of BU-3DFE, since a .bnd cannot leave one out; "
            f"it lacks {', '.join(missing[:5])}{more}"
        )
    if scan is None:
        raise ArgumentError("`scan` should be given, since a .bnd names a vertex for each point; it is None")
    check_scan("scan", scan)
    present = np.flatnonzero(np.isfinite(scan.vertices).all(axis=1))
    if not len(present):
        raise ArgumentError("`scan` should have vertices that are finite, has none")
    place = np.array(list(points.values()))
    rows = present[cKDTree(scan.vertices[present], balanced_tree=False).query(place)[1]]
    vertex = rows if scan.file_vertex is None else scan.file_vertex[rows]
    landmark_files.write_bnd(landmark_files.Bnd(vertex.astype(np.int32), place), path)


def _write_lm3(points: Points, path: Any, _: Any, __: Any, visible: Mapping[str, bool] | None) -> None:
    shown = {
        theirs: points[ours]
        for theirs, ours in BOSPHORUS.items()
        if np.isfinite(points[ours]).all() and (visible or {}).get(ours, True)
    }
    landmark_files.write_lm3(shown, path)


def _notes(
    points: Points, confidence: Mapping[str, float] | None, visible: Mapping[str, bool] | None
) -> dict[str, str]:
    """Name -> confidence and visibility in words."""
    notes: dict[str, list[str]] = {name: [] for name in points}
    for name in points:
        if confidence is not None and name in confidence:
            notes[name].append(f"confidence {confidence[name]:.3g}")
        if visible is not None and name in visible:
            notes[name].append("visible" if visible[name] else "hidden")
    return {name: "; ".join(words) for name, words in notes.items()}


_READERS: dict[str, Callable[[str | os.PathLike[str]], Points]] = {
    ".bnd": _read_bnd,
    ".pse": _read_pse,
    ".lm3": lambda path: bosphorus_names(landmark_files.read_lm3(path)),
    ".pp": picked_points.read,
    ".fcsv": slicer_markups.read_fcsv,
    ".mrk.json": _read_json,
    ".csv": landmark_tables.read_csv,
    ".json": _read_json,
}
# Suffix -> function of points, path, scan, confidence and visibility.
_WRITERS: dict[str, Callable[..., None]] = {
    ".bnd": _write_bnd,
    ".lm3": _write_lm3,
    ".pp": lambda points, path, *_: picked_points.write(points, path),
    ".fcsv": lambda points, path, _, *extra: slicer_markups.write_fcsv(points, path, _notes(points, *extra)),
    ".mrk.json": lambda points, path, _, *extra: slicer_markups.write_markups(points, path, _notes(points, *extra)),
    ".csv": lambda points, path, _, *extra: landmark_tables.write_csv(points, path, *extra),
    ".json": lambda points, path, _, *extra: landmark_tables.write_json(points, path, *extra),
}


def _suffix(path: str | os.PathLike[str], wanted: tuple[str, ...]) -> str:
    name = Path(path).name.lower()
    found = [suffix for suffix in wanted if name.endswith(suffix)]
    if not found:
        raise ArgumentError(f"`path` should end in one of {', '.join(wanted)}, is {os.fspath(path)}")
    return found[0]


def _checked_points(points: Mapping[str, NDArray[np.floating[Any]]]) -> Points:
    checked: Points = {}
    for name, value in points.items():
        point = np.asarray(value)
        check_shape(f"points[{brief(name)}]", point, (3,))
        if point.dtype.kind not in "fiu" or not (np.isfinite(point).all() or np.isnan(point).all()):
            raise ArgumentError(f"`points[{brief(name)}]` should be 3 finite numbers, or 3 NaN, is {point.tolist()}")
        checked[name] = point.astype(np.float64)
    return checked


def _check_extra(points: Points, confidence: Mapping[str, float] | None, visible: Mapping[str, bool] | None) -> None:
    for argument, values in (("confidence", confidence), ("visible", visible)):
        unknown = [name for name in values or {} if name not in points]
        if unknown:
            raise ArgumentError(f"`{argument}` should name points, names {brief(unknown[0])}")
    for name, value in (confidence or {}).items():
        check_range(f"confidence[{brief(name)}]", value, 0.0, 1.0)


def written_suffix(path: str | os.PathLike[str]) -> str:
    """The suffix, such as ".mrk.json", by which `write_landmarks` chooses the format. Raises ArgumentError if none."""
    return _suffix(path, tuple(_WRITERS))


def scheme_of(suffix: str, scheme: str | None) -> str | None:
    """The scheme that a format is written in: the given one, or the only one of .bnd and .lm3; None: all points.

    Raises:
        ArgumentError: if there is no such scheme, or it does not fit the format.
    """
    if scheme is not None:
        check_choice("scheme", scheme, tuple(SCHEMES))
    only = _ONLY.get(suffix)
    if scheme is not None and only is not None and scheme != only:
        raise ArgumentError(f"`scheme` should be {only} for {suffix}, is {scheme!r}")
    return scheme or only


def _chosen(points: Points, scheme: str | None, path: str | os.PathLike[str]) -> Points:
    """The points to write, in their order; NaN where one of the scheme is missing."""
    chosen = points
    if scheme is not None:
        ordered = scheme_points(points, scheme)
        chosen = dict(zip(SCHEMES[scheme], ordered, strict=True))
    if not any(np.isfinite(point).all() for point in chosen.values()):
        what = "at least one point" if scheme is None else f"at least one point of {scheme}"
        raise ArgumentError(f"`points` should hold {what} for {os.fspath(path)}, holds none")
    return chosen
