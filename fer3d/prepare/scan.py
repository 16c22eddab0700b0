"""Prepare one scan: read, unit, clean, outward, frontal, crop, normals, curvature, maps, sample tree.

`prepare` takes a `Scan`; `fer3d predict` and notebooks call it. `prepare_with_tree` also makes the sample tree.
`prepare_record` takes a record of a catalogue and returns the content of the store.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer3d import __version__, formats
from fer3d.catalog.folder_listing import printable
from fer3d.config import PreprocessSettings
from fer3d.errors import CardError, Fer3dError, FileError, PrepareError, one_line
from fer3d.files import sha256
from fer3d.kernels import compiling
from fer3d.kernels.compiling import Kernel
from fer3d.maps import curvature, render
from fer3d.maps.registry import check_groups, reads_picture, versions
from fer3d.prepare import align, axes, clean, coverage, units
from fer3d.prepare.landmarks.found import FoundLandmarks, find_landmarks
from fer3d.prepare.landmarks.tree_top import has_all_landmarks, top_points
from fer3d.prepare.outward import outward
from fer3d.prepare.store import PreparedScan
from fer3d.scan import Scan
from fer3d.tree.sample_tree import SampleTree

if TYPE_CHECKING:
    from fer3d.catalog.records import Record

STEPS = 3  # to be raised when the steps change, so that scans that were prepared before are prepared again
_BESIDE = "beside: "  # role of a further file that a scan file names


@dataclass
class Stopwatch:
    """The seconds spent in each stage, in the order of first use. Only for benchmarks; it does not affect the store."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to stage `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class AxisConvention:
    """The unit of the files of a data set, and their axes that point up and to the camera.

    Attributes:
        unit: "m", "cm", "mm", its length in mm, or "auto" to guess it from the size.
        up, towards_camera: "+x", "-x", ... "-z"; "auto": +y up, +z to the camera.

    Raises:
        ArgumentError: if a unit or an axis has another name, or both axes are parallel.
    """

    unit: str | float = "auto"
    up: str = "+y"
    towards_camera: str = "+z"

    def __post_init__(self) -> None:
        units.check_unit(self.unit)
        axes.axis_rotation(self.up, self.towards_camera)


def prepare(
    scan: Scan,
    settings: PreprocessSettings | None = None,
    stopwatch: Stopwatch | None = None,
    frame: AxisConvention | None = None,
) -> tuple[Scan, render.Maps]:
    """Prepare a raw scan: all stages after reading.

    Args:
        scan: A scan from `fer3d.formats.read`, in any unit, with or without landmarks.
        settings: None for the defaults.
        stopwatch: Collects the seconds of each stage.
        frame: Axes and unit of the scan. None: +y up, +z to the camera, and the unit is guessed.

    Returns:
        The scan, cleaned, cropped and in the frontal frame (mm, nose tip at the origin), and its maps.

    Raises:
        PrepareError: if nothing is left after cleaning, the size fits no unit, no nose is found, or a map is blank.
    """
    settings = (settings or PreprocessSettings()).model_copy(update={"tree": False})
    prepared, maps, _ = prepare_with_tree(scan, settings, stopwatch, frame)
    return prepared, maps


def prepare_with_tree(
    scan: Scan,
    settings: PreprocessSettings | None = None,
    stopwatch: Stopwatch | None = None,
    frame: AxisConvention | None = None,
) -> tuple[Scan, render.Maps, SampleTree | None]:
    """Prepare a scan as `prepare` does and, if `settings.tree`, make its sample tree with normals and curvatures.

    The tree starts at the nose tip from the alignment. It has one row per vertex that any stencil reads; `rows` holds
    the index of that vertex in the scan.

    Raises:
        PrepareError: as `prepare`; if the scan has too few vertices for the tree.
    """
    settings, watch, frame = settings or PreprocessSettings(), stopwatch or Stopwatch(), frame or AxisConvention()
    with watch.stage("find"):
        scan, found = _found(scan, settings)
        named = found
        if found is None and settings.tree and settings.tree_top == "landmarks" and not has_all_landmarks(scan):
            named = find_landmarks(scan)  # for the tree; the pose is still that of the file
    with watch.stage("clean"):
        scan = align.to_millimetres(scan, frame.unit if settings.unit == "auto" else settings.unit, found)
        scan = axes.to_canonical_axes(scan, frame.up, frame.towards_camera)
        scan = clean.clean(scan, spike=settings.spike_mm, hole=settings.hole_mm)
    with watch.stage("align"):
        scan = outward(scan)
        scan = align.frontal(scan, settings.pose, found)
    with watch.stage("crop"):
        scan = align.crop(scan, radius=settings.crop_mm)
    with watch.stage("normals"):
        normals = curvature.vertex_normals(scan)
    curvatures = None
    if settings.tree or any(group.needs_curvatures for group in check_groups(settings.maps)):
        with watch.stage("curvature"):
            radius = settings.curvature_radius_mm
            k1, k2, used = curvature.fit_curvatures(scan, radius=radius, normals=normals)
            curvatures, scan = (k1, k2), coverage.warn_of_radius(scan, radius, used)
    with watch.stage("maps"):
        maps = render.render_maps(
            scan,
            maps=settings.maps,
            size=settings.size,
            pixel=settings.pixel,
            radius=settings.curvature_radius_mm,
            fill=settings.hole_mm,
            normals=normals,
            curvatures=curvatures,
        )
        scan = coverage.check_coverage(scan, maps, settings.maps, settings.crop_mm)
    tree = None
    if settings.tree and curvatures is not None:
        with watch.stage("tree"):
            tree = build_tree(scan, settings, np.zeros(3), named).with_features(scan, normals, curvatures)
    return scan, maps, tree


def _found(scan: Scan, settings: PreprocessSettings) -> tuple[Scan, FoundLandmarks | None]:
    """Find the landmarks of a scan that has none of its own, or whose own are not to be used.

    They become the landmarks of the scan, in the frame of its file, so that every later step knows where the face is.
    """
    if settings.pose == "file" or (settings.pose == "auto" and scan.landmarks):
        return scan, None
    found = find_landmarks(scan)
    record = {"found_on": "shape", "probability": round(found.probability, 4), "others": found.others}
    return scan.with_landmarks(found.points(), record), found


def needed_kernels(settings: PreprocessSettings) -> tuple[Kernel, ...]:
    """List the kernels that `prepare_with_tree` calls, for `fer3d.kernels.compiling.compile_kernels`."""
    groups = [compiling.CLEAN, compiling.FIND, compiling.MAPS]
    groups += [compiling.SPIKES] if settings.spike_mm else []
    groups += [compiling.HOLES] if settings.hole_mm else []
    groups += [compiling.LANDMARKS] if settings.pose != "found" else []
    groups += [compiling.CURVATURE] if settings.tree or "curvature" in settings.maps else []
    groups += [compiling.TEXTURE] if "texture" in settings.maps else []
    return tuple(kernel for group in groups for kernel in group)


def build_tree(
    scan: Scan, settings: PreprocessSettings, nose: ArrayLike, found: FoundLandmarks | None = None
) -> SampleTree:
    """Build the sample tree of a clean scan in any pose, without features.

    Args:
        scan: A scan in mm, cropped.
        settings: The settings `tree_...` are used.
        nose: (3,) The nose tip in the frame of the scan.
        found: The landmarks that were found on the scan, for a top level of landmarks; see `top_points`.

    Raises:
        PrepareError: if the scan has too few vertices for the tree, or its landmarks are wanted and no face is found.
    """
    return SampleTree.build(
        scan,
        settings.tree_levels,
        rings=settings.tree_rings,
        rays=settings.tree_rays,
        radii=settings.tree_radii_mm,
        start=nose,
        top=top_points(scan, found) if settings.tree_top == "landmarks" else None,
    )


def read_record(record: Record, settings: PreprocessSettings) -> Scan:
    """Read the scan of a record with its landmarks.

    If the landmark file cannot be read, the scan fails only if the settings require landmarks. Otherwise the scan gets
    a warning, and its pose comes from the shape.

    Raises:
        FileError, FormatError: if the scan cannot be read.
    """
    scan = formats.read(record.files["scan"], texture=reads_picture(settings.maps))
    path = record.files.get("landmarks")
    if path is None or settings.pose == "found":
        return scan
    try:
        points = formats.read_landmarks(path)
    except Fer3dError as error:
        if settings.pose == "file":
            raise
        return scan.warn(f"landmarks not used: {error}")
    return scan.with_landmarks(points, {"file": path.name})


def prepare_record(
    record: Record,
    settings: PreprocessSettings,
    folder: Path,
    frame: AxisConvention | None = None,
    stopwatch: Stopwatch | None = None,
) -> PreparedScan:
    """Prepare one scan as `preprocess` does, without writing it.

    Args:
        record: A record of the catalogue.
        settings: The settings of preparation.
        folder: The scan folder; paths in the header are relative to it.
        frame: Axes and unit of the files, from the card.
        stopwatch: Collects the seconds of each stage.

    Raises:
        CardError: if the identity of the record is uncertain.
        FileError, FormatError: if the scan cannot be read.
        PrepareError: if it cannot be prepared.
    """
    watch, frame = stopwatch or Stopwatch(), frame or AxisConvention()
    if record.error is not None:
        raise CardError(f"{record.relative}: {record.error}")
    with watch.stage("read"):
        raw = read_record(record, settings)
    with watch.stage("hash"):
        inputs = _inputs(record, raw, folder)
    try:
        scan, maps, tree = prepare_with_tree(raw, settings, watch, frame)
    except PrepareError as error:
        raise PrepareError(f"{record.files['scan']}: {error}") from None
    with watch.stage("pack"):
        row = _row(record, scan, maps, folder) | {"key": recipe_key(record, settings, frame, inputs)}
        header = {
            "row": row,
            "inputs": inputs,
            "problems": problems_of(record, folder),
            "channels": list(maps.names),
            "textured": maps.texture is not None,
            "pixel_mm": maps.pixel,
            "fer3d": __version__,
            "settings": settings.model_dump(mode="json"),
            "steps": STEPS,
        }
        arrays = _arrays(scan, maps, settings)
        if tree is not None:
            arrays |= tree.arrays()
            header["tree"] = tree.facts()
        return PreparedScan(arrays, header)


def recipe_key(record: Record, settings: PreprocessSettings, frame: AxisConvention, inputs: Mapping[str, Any]) -> str:
    """Hash everything that the bytes of a prepared scan depend on: inputs, facts of the card, settings, versions."""
    recipe = {
        "record": record_facts(record),
        "frame": asdict(frame),
        "inputs": inputs,
        "settings": settings.model_dump(mode="json"),
        "fer3d": __version__,
        "steps": STEPS,
    }
    outside = versions(settings.maps)
    if outside:
        recipe["maps"] = outside
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def is_current(
    header: Mapping[str, Any], record: Record, settings: PreprocessSettings, folder: Path, frame: AxisConvention
) -> bool:
    """Whether preparing `record` again would write the same scan as the one on disk.

    A scan that needs a texture and has none is never current: the picture may have been added since.
    """
    known: Mapping[str, Any] = header.get("inputs", {})
    textured = header.get("textured", "texture" in known)
    if header.get("fer3d") != __version__ or (reads_picture(settings.maps) and not textured):
        return False
    problems = problems_of(record, folder)
    if header.get("problems", problems) != problems:  # headers of earlier versions do not hold them
        return False
    try:
        inputs = {
            role: {"file": entry["file"], "sha256": sha256(folder / entry["file"])} for role, entry in known.items()
        }
    except FileError:
        return False
    used = {role: relative(path, folder) for role, path in _used_files(record).items()}
    same_files = used == {role: entry["file"] for role, entry in known.items() if not _is_beside(role)}
    current: bool = same_files and header.get("row", {}).get("key") == recipe_key(record, settings, frame, inputs)
    return current


def record_facts(record: Record) -> dict[str, Any]:
    """Return the facts of a record as manifest columns.

    Targets that were added in later versions (`LATER_COLUMNS` of the store) are left out if they are unknown, so that
    the key of such a scan in an older prepared folder stays the same.
    """
    later = {
        "compound": record.compound,
        "valence": record.valence,
        "arousal": record.arousal,
        "absent_units": list(record.absent_units) or None,
    }
    return {
        "id": record.id,
        "dataset": record.dataset,
        "subject": record.subject,
        "expression": record.expression,
        "intensity": record.intensity,
        "sequence": record.sequence,
        "frame": record.frame,
        "action_units": list(record.action_units),
        "pose": None if record.pose is None else [float(angle) for angle in record.pose],
        "occlusion": record.occlusion,
        "attributes": json.dumps(dict(record.attributes), sort_keys=True),
    } | {name: value for name, value in later.items() if value is not None}


def relative(path: Path, folder: Path) -> str:
    """Return `path` relative to `folder`, with ".." if outside, so that the store holds no absolute path.

    The path can be opened; `source_of` escapes what cannot be printed.
    """
    return Path(os.path.relpath(path, folder)).as_posix()


def problems_of(record: Record, folder: Path) -> list[str]:
    """The warnings of the catalogue about a record, as they stand in the manifest."""
    return [portable(text, folder) for text in record.problems]


def portable(text: str, folder: Path) -> str:
    """Put a message on one line, with its paths relative to `folder`, and escape what cannot be printed."""
    for name in (str(folder), one_line(str(folder)), printable(str(folder))):
        text = text.replace(f"{name}{os.sep}", "")
    return printable(" ".join(text.split()))


def source_of(path: Path, folder: Path) -> str:
    """Return `path` relative to `folder` as it stands in the manifest: what cannot be printed is escaped."""
    return printable(relative(path, folder))


def _row(record: Record, scan: Scan, maps: render.Maps, folder: Path) -> dict[str, Any]:
    names = sorted(scan.landmarks)
    steps = {entry["step"]: entry for entry in scan.history}
    nose = np.linalg.solve(scan.placement, [0.0, 0.0, 0.0, 1.0])[:3]
    return record_facts(record) | {
        "status": "ok",
        "reason": None,
        "source": source_of(record.files["scan"], folder),
        "file": f"scans/{record.id}.safetensors",
        "prefix": "",
        "unit": steps["unit"]["unit"],
        "vertices": len(scan.vertices),
        "faces": len(scan.faces),
        "measured": round(float((maps.mask == 1).mean()), 6),
        "pose_source": steps["frontal"]["method"],
        "landmark_names": names,
        "landmarks": [float(x) for name in names for x in scan.landmarks[name]],
        "nose": [float(x) for x in nose],
        "placement": [float(x) for x in scan.placement.ravel()],
        "warnings": [*problems_of(record, folder), *(portable(text, folder) for text in scan.warnings)],
        "history": json.dumps(list(scan.history), sort_keys=True),
    }


def _arrays(scan: Scan, maps: render.Maps, settings: PreprocessSettings) -> dict[str, Any]:
    arrays: dict[str, Any] = {"maps": _half(maps), "mask": maps.mask}
    if maps.texture is not None:
        arrays["texture"] = maps.texture
    if maps.coloured is not None:
        arrays["coloured"] = maps.coloured.astype(np.uint8)
    if settings.keep_mesh:
        arrays |= {"vertices": scan.vertices, "faces": scan.faces}
    return arrays


def _half(maps: render.Maps) -> NDArray[np.float16]:
    """Convert the maps to float16 for the store, (C, H, W). PrepareError if a value is out of range."""
    with np.errstate(over="ignore"):
        stored = maps.stack.astype(np.float16)
    lost = (np.isinf(stored) & np.isfinite(maps.stack)).any(axis=(1, 2))
    if lost.any():
        name = maps.names[int(lost.argmax())]
        largest = float(np.nanmax(np.abs(maps.channel(name))))
        raise PrepareError(f"map channel {name} should lie within +-65504 to be stored, reaches {largest:.6g}")
    return stored


def _used_files(record: Record) -> dict[str, Path]:
    return {role: path for role, path in record.files.items() if role in ("scan", "landmarks")}


def _inputs(record: Record, raw: Scan, folder: Path) -> dict[str, dict[str, str]]:
    """Return role -> path and hash of every file that the scan was read from: pictures, materials and buffers too."""
    used, here = _used_files(record), record.files["scan"].parent
    read = raw.history[0]
    if read.get("texture") is not None:
        used["texture"] = here / read["texture"]
    used |= {f"{_BESIDE}{name}": here / name for name in (*read.get("textures", ()), *read.get("beside", ()))}
    return {role: {"file": relative(path, folder), "sha256": sha256(path)} for role, path in sorted(used.items())}


def _is_beside(role: str) -> bool:
    """Whether a file of this role was found by the scan's reader, not by the catalogue."""
    return role == "texture" or role.startswith(_BESIDE)
