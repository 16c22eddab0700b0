"""`Scan`, the record that every preprocessing stage takes and returns, and the conventions of the package.

Convention:
    - millimetres; right-handed; +x to the subject's left (right in the picture), +y up, +z towards the camera;
      after alignment the nose tip is the origin. A scan that was just read is in the unit and frame of its file.
    - Angles in radians. Curvature in 1/mm, positive where the surface is convex seen from outside (a sphere with
      outward normals has k1 = k2 = 1/radius), k1 >= k2. Shape index in [0, 1]: 1 cap, 0.5 saddle, 0 cup.
    - The corners of a face run counter-clockwise seen from outside, so that its normal points out of the head.
    - uv: u to the right, v up, (0, 0) the lower left corner of the texture; texture row 0 is the top row. Outside
      [0, 1] the texture continues as `Scan.wrap` says.
    - NaN = not measured.
    - Vertices float32, faces int32, texture uint8; float64 inside computations where a fit needs it.

Sizes in shapes: V vertices, F faces, L landmarks, C channels, H W rows and columns of a map, T frames, B batch,
R rings, A rays, S scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_choice, check_dtype, check_index, check_shape
from fer3d.errors import ArgumentError, one_line

EXPRESSIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
# The canonical labels. Some picture data sets also have contempt, which is used only on request. This is the order of
# classes everywhere: in manifests, models and reports.
LABELS = (*EXPRESSIONS, "contempt")

WRAPS = ("repeat", "clamp", "mirror")  # how a texture continues outside [0, 1]


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A triangle mesh of a face with its texture, landmarks and history. Immutable: each stage returns a new scan.

    Attributes:
        vertices: (V, 3) float32.
        faces: (F, 3) int32. Rows of `vertices`, counter-clockwise seen from outside.
        uv: (V, 2) float32, or None. Texture coordinates of each vertex; see the conventions of the module.
        texture: (H, W, 3) uint8, or None. Row 0 is the top.
        wrap: How the texture continues outside [0, 1], along u and along v: each "repeat", "clamp" (its border goes on)
            or "mirror" (every second copy is mirrored).
        colours: (V, 3) float32 in [0, 255], or None. RGB of each vertex, NaN where it is not known. Where a scan has
            both, its texture is what is shown, and its colours where there is no texture.
        landmarks: name -> (3,) float64, in the frame of `vertices`. Names are the canonical names of
            `fer3d.landmarks`; a point without one keeps its name in the data set.
        file_vertex: (V,) int32, or None. Row of each vertex in the file. A vertex with several uv is split into
            several vertices; a removed vertex is missing. None: vertex i is row i of the file.
        placement: (4, 4) float64. Maps a point from the frame and unit of the file to the frame of `vertices`.
        warnings: Problems that are not errors, such as a texture that could not be found.
        history: One record per step, the oldest first: {"step": name, ...details}. JSON-serialisable.

    Raises:
        ArgumentError: if a shape, dtype or index is wrong. Nothing is cast: see `Scan.of`.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    uv: NDArray[np.float32] | None = None
    texture: NDArray[np.uint8] | None = None
    landmarks: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    file_vertex: NDArray[np.int32] | None = None
    wrap: tuple[str, str] = ("repeat", "repeat")
    colours: NDArray[np.float32] | None = None
    placement: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    warnings: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        check_dtype("vertices", self.vertices, np.float32)
        check_shape("vertices", self.vertices, ("V", 3))
        check_dtype("faces", self.faces, np.int32)
        check_shape("faces", self.faces, ("F", 3))
        check_index("faces", self.faces, len(self.vertices))
        if self.uv is not None:
            check_dtype("uv", self.uv, np.float32)
            check_shape("uv", self.uv, (len(self.vertices), 2))
        if self.texture is not None:
            check_dtype("texture", self.texture, np.uint8)
            check_shape("texture", self.texture, ("H", "W", 3))
        if self.colours is not None:
            check_dtype("colours", self.colours, np.float32)
            check_shape("colours", self.colours, (len(self.vertices), 3))
        if len(self.wrap) != 2:
            raise ArgumentError(f"`wrap` should name two ways, for u and v, is {self.wrap!r}")
        for way in self.wrap:
            check_choice("wrap", way, WRAPS)
        if self.file_vertex is not None:
            check_dtype("file_vertex", self.file_vertex, np.int32)
            check_shape("file_vertex", self.file_vertex, (len(self.vertices),))
        check_shape("placement", self.placement, (4, 4))
        for name, point in self.landmarks.items():
            if not (isinstance(point, np.ndarray) and point.shape == (3,)):  # a scan is copied often: checked fast
                check_shape(f"landmarks[{name!r}]", point, (3,))

    @classmethod
    def of(cls, vertices: Any, faces: Any, **attributes: Any) -> Scan:
        """A Scan from array-likes, which are cast to the dtypes of a Scan: float64 is rounded to float32."""
        return cls(
            np.ascontiguousarray(vertices, dtype=np.float32), np.ascontiguousarray(faces, dtype=np.int32), **attributes
        )

    def step(self, name: str, record: Mapping[str, Any] | None = None, **changes: Any) -> Scan:
        """A copy with `changes` to its attributes and one more record in its history.

        >>> Scan.of([[0, 0, 0]], np.empty((0, 3))).step("crop", {"radius_mm": 90.0}).history
        ({'step': 'crop', 'radius_mm': 90.0},)
        """
        return replace(self, history=(*self.history, {"step": name, **(record or {})}), **changes)

    def with_landmarks(self, points: Mapping[str, NDArray[np.float64]], record: Mapping[str, Any]) -> Scan:
        """A copy with the landmarks of a landmark file, which are in the frame and unit of the scan's file.

        Args:
            points: name -> (3,) float64.
            record: Details for the history, such as the name of the file.
        """
        linear, shift = self.placement[:3, :3], self.placement[:3, 3]
        placed = dict(zip(points, _placed(points, linear, shift), strict=True))
        return self.step("landmarks", {**record, "count": len(placed)}, landmarks=placed)

    def warn(self, message: str) -> Scan:
        """A copy with one more warning. Control characters in it, as of a damaged file, become escapes."""
        return replace(self, warnings=(*self.warnings, one_line(message)))

    def moved(self, transform: NDArray[np.float64], name: str, record: Mapping[str, Any] | None = None) -> Scan:
        """A copy with vertices, landmarks and `placement` transformed by a similarity.

        Args:
            transform: (4, 4) float64. A rotation, uniform scale and translation; the last row is 0 0 0 1.
            name: Name of the step in the history.
            record: Further details of the step for the history.
        """
        check_shape("transform", transform, (4, 4))
        linear, shift = transform[:3, :3], transform[:3, 3]
        return self.step(
            name,
            record,
            vertices=(self.vertices.astype(np.float64) @ linear.T + shift).astype(np.float32),
            landmarks=dict(zip(self.landmarks, _placed(self.landmarks, linear, shift), strict=True)),
            placement=transform @ self.placement,
        )

    def kept(self, keep: NDArray[np.bool_], name: str, record: Mapping[str, Any] | None = None) -> Scan:
        """A copy with only the vertices in `keep` and the faces whose corners are all kept, re-indexed.

        Args:
            keep: (V,) bool.
            name: Name of the step in the history.
            record: Further details of the step for the history.
        """
        check_dtype("keep", keep, np.bool_)
        check_shape("keep", keep, (len(self.vertices),))
        row = np.cumsum(keep, dtype=np.int32) - np.int32(1)
        faces = self.faces[keep[self.faces].all(axis=1)]
        return self.step(name, record, faces=row[faces], **self.at(np.flatnonzero(keep).astype(np.int32)))

    def at(self, rows: NDArray[np.int32]) -> dict[str, Any]:
        """Everything that a scan holds per vertex, at `rows` of its vertices: changes for `step`, without the faces.

        Args:
            rows: (N,) int32.
        """
        return {
            "vertices": self.vertices[rows],
            "uv": None if self.uv is None else self.uv[rows],
            "colours": None if self.colours is None else self.colours[rows],
            "file_vertex": rows if self.file_vertex is None else self.file_vertex[rows],
        }

    def landmark_array(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """(L, 3) float64: the landmarks with these names in this order; a row of NaN for each that the scan lacks."""
        missing = np.full(3, np.nan)
        return np.array([self.landmarks.get(name, missing) for name in names], dtype=np.float64).reshape(-1, 3)


def _placed(
    points: Mapping[str, NDArray[np.float64]], linear: NDArray[np.float64], shift: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(L, 3): points transformed, all at once, because a scan may have hundreds of them."""
    stacked = np.array(list(points.values()), dtype=np.float64).reshape(-1, 3)
    placed: NDArray[np.float64] = stacked @ linear.T + shift
    return placed


def check_scan(name: str, scan: Any) -> None:
    """Raise ArgumentError unless `scan` is a Scan with at least one face."""
    if not isinstance(scan, Scan):
        raise ArgumentError(f"`{name}` should be a fer3d.scan.Scan, is {type(scan).__name__}")
    if not len(scan.faces):
        raise ArgumentError(f"`{name}` should have at least one face, has {len(scan.vertices)} vertices and no face")
