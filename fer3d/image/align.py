"""Align faces: a similarity transform puts the eyes level at canonical positions of a square crop.

Convention (our choice, as publications differ): in a crop of S x S pixels the centre of the subject's right eye lies at
(0.32 S, 0.34 S) and that of the left eye at (0.68 S, 0.34 S), measured from the crop's upper left corner. The face
fills the crop from brows to chin: the mouth of a mean face lies at 0.72 S, its chin at 0.95 S. The two eyes alone
determine rotation, scale and position; a face turned sideways becomes larger, because its eyes are closer together.

A scan is aligned by its own landmarks, which the texture coordinates of its surface map into its texture.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer3d.checks import check_dtype, check_range, check_shape
from fer3d.errors import PrepareError
from fer3d.image.landmarks68 import moved, similarity
from fer3d.kernels import sampling
from fer3d.scan import Scan, check_scan

Array = NDArray[np.float64]

EYE_HEIGHT, EYES_APART = 0.34, 0.36  # fractions of the side of a crop: see the module
SIZE = 224  # pixels
_OFF_SURFACE = 5.0  # mm: a landmark farther from the mesh is not on it
_CORNERS = {
    "right": ("exocanthion_right", "endocanthion_right"),
    "left": ("exocanthion_left", "endocanthion_left"),
}
# Largest median distance, in distances between the eyes, from landmarks in a texture to those of the scan seen from the
# front. In a photograph they agree within 0.2; in a texture atlas of several pieces they do not.
_NOT_A_PHOTOGRAPH = 0.5


class AlignedFace(NamedTuple):
    """An aligned crop of a face.

    Attributes:
        pixels: (S, S, 3) uint8, black outside the picture.
        mask: (S, S) uint8, 1 inside the picture, else 0.
        matrix: (2, 3) float64, affine map of (column, row) from picture to crop, pixel centres at integers.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    matrix: Array


def canonical_eyes(size: int = SIZE) -> Array:
    """(2, 2) column and row of the subject's right and left eye in a crop, pixel centres at integers.

    >>> canonical_eyes(100).round(6).tolist()
    [[31.5, 33.5], [67.5, 33.5]]
    """
    x = np.array([0.5 - EYES_APART / 2, 0.5 + EYES_APART / 2])
    return np.stack([x, [EYE_HEIGHT, EYE_HEIGHT]], axis=1) * size - 0.5


def align(pixels: NDArray[np.uint8], eyes: Array, size: int = SIZE) -> AlignedFace:
    """Crop a face so that its eyes lie level at the canonical positions.

    Args:
        pixels: (H, W, 3) uint8.
        eyes: (2, 2) column and row of the subject's right eye, then of the left: `Face.eyes`.
        size: Side of the crop, pixels.

    Raises:
        ArgumentError: if a shape, dtype or size is wrong.
        PrepareError: if the eyes are less than 1 pixel apart, or so far outside that the crop misses the picture.
    """
    check_dtype("pixels", pixels, np.uint8)
    check_shape("pixels", pixels, ("H", "W", 3))
    check_shape("eyes", eyes, (2, 2))
    check_range("size", size, 8, 4096, "pixels")
    apart = float(np.linalg.norm(eyes[1] - eyes[0]))
    if not (1.0 <= apart < math.inf):
        raise PrepareError(f"wanted the eyes at least 1 pixel apart, got {apart:.3g}")
    matrix = similarity(np.asarray(eyes, float), canonical_eyes(size))
    height, width = pixels.shape[:2]
    inverse = _inverted(matrix)
    # Cut out what the crop shows, with a margin, and reduce it by an integer factor first to prevent aliasing.
    corners = moved(np.array([(x, y) for x in (-1.0, size) for y in (-1.0, size)]), inverse)
    low = np.maximum(np.floor(corners.min(axis=0)) - 2, 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)) + 3, [width, height]).astype(int)
    if (high <= low).any():
        raise PrepareError(f"wanted eyes in the picture of {width} x {height} pixels, got {_shown(eyes)}")
    part = Image.fromarray(np.ascontiguousarray(pixels[low[1] : high[1], low[0] : high[0]]))
    factor = max(int(float(np.hypot(inverse[0, 0], inverse[1, 0]))), 1)
    if factor > 1:
        part = part.reduce(factor)
    # Pillow maps pixel centres of the crop to pixel centres of the part, both at integers + 0.5.
    back = inverse.copy()
    back[:, 2] += 0.5 - low - back[:, :2] @ [0.5, 0.5]
    back /= factor
    crop = part.transform(
        (size, size), Image.Transform.AFFINE, tuple(back.ravel()), Image.Resampling.BICUBIC, fillcolor=(0, 0, 0)
    )
    row, column = np.mgrid[:size, :size]
    place = moved(np.stack([column.ravel(), row.ravel()], axis=1).astype(float), inverse).reshape(size, size, 2)
    inside = np.all((place >= -0.5) & (place <= np.array([width, height]) - 0.5), axis=2)  # (S, S)
    out = np.array(crop)
    out[~inside] = 0
    return AlignedFace(out, inside.astype(np.uint8), matrix)


def resized(pixels: NDArray[np.uint8], size: int = SIZE) -> NDArray[np.uint8]:
    """Resize a crop of a face to a square, with nothing cut off and nothing added.

    Args:
        pixels: (H, W, 3) uint8. A crop that is no square is stretched.
        size: Side of the result, pixels.

    Returns:
        (S, S, 3) uint8; the bytes of the crop itself if it has that size.

    Raises:
        ArgumentError: if a shape, dtype or size is wrong.
    """
    check_dtype("pixels", pixels, np.uint8)
    check_shape("pixels", pixels, ("H", "W", 3))
    check_range("size", size, 8, 4096, "pixels")
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.array(Image.fromarray(np.ascontiguousarray(pixels)).resize((size, size), Image.Resampling.BICUBIC))


def texture_landmarks(scan: Scan) -> dict[str, Array]:
    """Positions of a scan's landmarks in its texture: name -> (2,) column and row, pixel centres at integers.

    Each landmark is projected onto the nearest point of the mesh, where the texture coordinates are interpolated.
    Landmarks farther than 5 mm from the mesh, or on a part without texture coordinates, are left out.

    Args:
        scan: In mm, with uv and texture.

    Raises:
        PrepareError: if the scan has no texture, or no texture coordinates.
    """
    check_scan("scan", scan)
    if scan.uv is None or scan.texture is None:
        raise PrepareError("wanted a scan with a texture, got one without")
    import trimesh.triangles

    triangles: Any = trimesh.triangles  # untyped
    into = cast(Any, sampling.inside).py_func

    height, width = scan.texture.shape[:2]
    corners = scan.vertices.astype(np.float64)[scan.faces]  # (F, 3, 3)
    landmarks = {}
    for name, point in scan.landmarks.items():
        if not np.isfinite(point).all():
            continue
        # Candidates for the nearest triangle: the one with the nearest corner, and those almost as near.
        distance = np.linalg.norm(corners - point, axis=2).min(axis=1)
        near = np.flatnonzero(distance <= distance.min() + 2 * _OFF_SURFACE)
        foot = triangles.closest_point(corners[near], np.broadcast_to(point, (len(near), 3)))
        off = np.linalg.norm(foot - point, axis=1)
        best = int(off.argmin())
        if off[best] > _OFF_SURFACE:
            continue
        share = triangles.points_to_barycentric(corners[near[best]][None], foot[best][None])[0]
        u, v = share @ scan.uv[scan.faces[near[best]]].astype(np.float64)
        if math.isfinite(u + v):
            spot = (u * width - 0.5, width, scan.wrap[0]), ((1.0 - v) * height - 0.5, height, scan.wrap[1])
            landmarks[name] = np.array([into(at, size, sampling.WRAP[way]) for at, size, way in spot])
    return landmarks


def scan_eyes(scan: Scan) -> Array:
    """(2, 2) centres of the subject's right and left eye in the texture of a scan, from its landmarks.

    Args:
        scan: In mm, upright (+y up, +z to the camera), with uv, texture, and the corners of both eyes as landmarks.

    Raises:
        PrepareError: if the scan has no texture or lacks an eye corner, or if the texture is no picture of the face:
            the landmarks are arranged differently in it than on the scan seen from the front.
    """
    there = texture_landmarks(scan)
    missing = [name for side in _CORNERS.values() for name in side if name not in there]
    if missing:
        raise PrepareError(f"wanted both corners of both eyes as landmarks on the textured face, got none {missing[0]}")
    names = [name for name in there if name in scan.landmarks]
    flat = np.array([scan.landmarks[name][:2] * [1.0, -1.0] for name in names])
    seen = np.array([there[name] for name in names])
    eyes = np.array([(there[a] + there[b]) / 2 for a, b in _CORNERS.values()])
    apart = float(np.linalg.norm(eyes[1] - eyes[0]))
    off = np.linalg.norm(moved(flat, similarity(flat, seen)) - seen, axis=1)
    if not np.median(off) <= _NOT_A_PHOTOGRAPH * apart:
        raise PrepareError(
            "wanted a texture that is a picture of the face, got one whose landmarks lie "
            f"{np.median(off) / max(apart, 1e-9):.2f} distances between the eyes from where a picture has them"
        )
    return eyes


def align_scan(scan: Scan, size: int = SIZE) -> AlignedFace:
    """Crop the face in the texture of a scan with `align`, by the scan's landmarks. Raises as `scan_eyes`."""
    eyes = scan_eyes(scan)
    return align(np.ascontiguousarray(scan.texture), eyes, size)


def _inverted(matrix: Array) -> Array:
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _shown(points: Array) -> str:
    return ", ".join(f"({x:.0f}, {y:.0f})" for x, y in points)
