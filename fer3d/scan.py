"""`Scan`, the one record that every stage takes and gives, and the conventions of the whole package.

Convention:
    - millimetres; right-handed; +x to the subject's left (right in the picture), +y up, +z towards the camera;
      after alignment the nose tip is the origin. A scan just read is still in its file's unit and frame.
    - Angles in radians. Curvature in 1/mm, positive where the surface is convex seen from outside (a sphere with
      outward normals has k1 = k2 = 1/radius), k1 >= k2. Shape index in [0, 1]: 1 cap, 0.5 saddle, 0 cup.
    - A face is counter-clockwise seen from outside, so that its normal points out of the head.
    - uv: u to the right, v up, (0, 0) the lower left corner of the texture; texture row 0 is the top row.
    - NaN = not measured.
    - Vertices float32, faces int32, texture uint8; float64 inside computations where a fit needs it.

Sizes in shapes: V vertices, F faces, L landmarks, C channels, H W map, T frames, B batch, R rings, A rays,
S scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_dtype, check_index, check_shape
from fer3d.errors import ArgumentError

EXPRESSIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
# The canonical labels: also the class that some sets of pictures have besides those seven, which is used where it is
# asked for. Their order is the order of classes everywhere: in manifests, models, reports.
LABELS = (*EXPRESSIONS, "contempt")


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A triangle mesh of a face, with what came with it. Immutable: each stage returns a new one.

    Attributes:
        vertices: (V, 3) float32.
        faces: (F, 3) int32. Rows of `vertices`, counter-clockwise seen from outside.
        uv: (V, 2) float32, or None. Where each vertex looks up `texture`; see the module's conventions.
        texture: (H, W, 3) uint8, or None. Row 0 is the top.
        landmarks: name -> (3,) float64, in the frame of `vertices`. Names are the canonical names of
            `fer3d.landmarks` where a point has one, else the data set's own.
        file_vertex: (V,) int32, or None. The row in the file from which each vertex came: a vertex with several uv
            is split into several, a dropped one is missing here. None: vertex i is row i of the file.
        placement: (4, 4) float64. Takes a point from the file's frame and unit to the frame of `vertices`.
        warnings: What a user should know and no error is, such as a texture that could not be found.
        history: One record a step, oldest first: {"step": name, ...what it did}. JSON-serialisable.

    Raises:
        ArgumentError: if a shape, dtype or index is wrong. Nothing is cast: see `Scan.of`.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    uv: NDArray[np.float32] | None = None
    texture: NDArray[np.uint8] | None = None
    landmarks: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    file_vertex: NDArray[np.int32] | None = None
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
        if self.file_vertex is not None:
            check_dtype("file_vertex", self.file_vertex, np.int32)
            check_shape("file_vertex", self.file_vertex, (len(self.vertices),))
        check_shape("placement", self.placement, (4, 4))
        for name, point in self.landmarks.items():
            check_shape(f"landmarks[{name!r}]", point, (3,))

    @classmethod
    def of(cls, vertices: Any, faces: Any, **attributes: Any) -> Scan:
        """A Scan from anything array-like, cast to the dtypes of a Scan (rounding float64 to float32 on purpose)."""
        return cls(
            np.ascontiguousarray(vertices, dtype=np.float32), np.ascontiguousarray(faces, dtype=np.int32), **attributes
        )

    def step(self, name: str, record: Mapping[str, Any] | None = None, **changes: Any) -> Scan:
        """The scan with `changes` to its attributes and one more record in its history.

        >>> Scan.of([[0, 0, 0]], np.empty((0, 3))).step("crop", {"radius_mm": 90.0}).history
        ({'step': 'crop', 'radius_mm': 90.0},)
        """
        return replace(self, history=(*self.history, {"step": name, **(record or {})}), **changes)

    def warn(self, message: str) -> Scan:
        """The scan with one more warning."""
        return replace(self, warnings=(*self.warnings, message))

    def moved(self, transform: NDArray[np.float64], name: str, record: Mapping[str, Any] | None = None) -> Scan:
        """The scan under a similarity: vertices, landmarks and `placement` together.

        Args:
            transform: (4, 4) float64. A rotation, uniform scale and translation; the last row is 0 0 0 1.
            name: Name of the step in the history.
            record: What else to note about the step.
        """
        check_shape("transform", transform, (4, 4))
        linear, shift = transform[:3, :3], transform[:3, 3]
        return self.step(
            name,
            record,
            vertices=(self.vertices.astype(np.float64) @ linear.T + shift).astype(np.float32),
            landmarks={key: linear @ point + shift for key, point in self.landmarks.items()},
            placement=transform @ self.placement,
        )

    def kept(self, keep: NDArray[np.bool_], name: str, record: Mapping[str, Any] | None = None) -> Scan:
        """The scan with only the vertices in `keep` and the faces all of whose corners are kept, re-indexed.

        Args:
            keep: (V,) bool.
            name: Name of the step in the history.
            record: What else to note about the step.
        """
        check_dtype("keep", keep, np.bool_)
        check_shape("keep", keep, (len(self.vertices),))
        row = np.cumsum(keep, dtype=np.int32) - np.int32(1)
        faces = self.faces[keep[self.faces].all(axis=1)]
        origin = np.arange(len(keep), dtype=np.int32) if self.file_vertex is None else self.file_vertex
        return self.step(
            name,
            record,
            vertices=self.vertices[keep],
            faces=row[faces],
            uv=None if self.uv is None else self.uv[keep],
            file_vertex=origin[keep],
        )

    def landmark_array(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """(L, 3) float64: the landmarks of these names in this order, NaN rows for those the scan lacks."""
        missing = np.full(3, np.nan)
        return np.array([self.landmarks.get(name, missing) for name in names], dtype=np.float64).reshape(-1, 3)


def check_scan(name: str, scan: Any) -> None:
    """Raise ArgumentError unless `scan` is a Scan with at least one face."""
    if not isinstance(scan, Scan):
        raise ArgumentError(f"`{name}` should be a fer3d.scan.Scan, is {type(scan).__name__}")
    if not len(scan.faces):
        raise ArgumentError(f"`{name}` should have at least one face, has {len(scan.vertices)} vertices and no face")
