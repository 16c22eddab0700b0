"""Read the face model ICT-FaceKit (light) from one .npz file or from its own folder (`fer3d.face.ict_folder`).

Keys of the .npz: `neutral` (V, 3) in cm; `identity_modes` (M, V, 3), whose weights follow N(0, 1); `expression_modes`
(N, V, 3) and `expression_names` (N,), ARKit names; `triangles` (F, 3); `uv` (V, 2); `landmarks68` (68,), rows of
`neutral` in the order of iBUG. `load` ignores other keys and unpickles nothing.

`load` converts cm to mm and moves the origin to the nose tip (the most protruding vertex near landmark 30). It closes
the holes between lids and between lips by caps, because a scanner sees eyeballs: the cap of an eye bulges, the cap of
the mouth recedes. A cap follows its boundary, so all modes stay linear.

The other points of `fer3d.landmarks.POINT_NAMES` are derived from the 68 of iBUG: a landmark of several schemes is the
same vertex, the pogonion is the foremost vertex of the chin, any other is the vertex nearest to a point between
landmarks of the 68. That assignment is our choice.

Expressions are given in action units of FACS; `_MODES_OF` maps each unit to modes of ARKit. The mapping follows the
descriptions of both schemes. Where ARKit has no counterpart of a unit, several modes together approximate its look:

| action unit | ARKit modes | |
| --- | --- | --- |
| AU1, AU2, AU4 | browInnerUp, browOuterUp, browDown | |
| AU5, AU7, AU43 | eyeWide, eyeSquint, eyeBlink | |
| AU6 | cheekSquint | |
| AU9, AU10, AU16 | noseSneer, mouthUpperUp, mouthLowerDown | |
| AU12, AU14, AU15, AU20 | mouthSmile, mouthDimple, mouthFrown, mouthStretch | |
| AU13 | mouthSmile and cheekPuff, weak | approximation |
| AU17 | mouthShrugLower, with mouthShrugUpper, because the lower lip pushes the upper one up | |
| AU18, AU22, AU24 | mouthPucker, mouthFunnel, mouthPress | |
| AU23 | mouthRollUpper, mouthRollLower, mouthPucker, weak | approximation |
| AU25 | mouthUpperUp and mouthLowerDown, weak | approximation |
| AU26, AU27 | jawOpen, 0.4 and full | FACS: dropped, stretched open |
| AU28 | mouthRollUpper and mouthRollLower | |
| AU29, AU30 | jawForward, jawLeft and jawRight | |
| AU34 | cheekPuff | |

The model has no AU11, AU35, AU38 and AU39, because ARKit cannot show them. These modes belong to no unit: eyeLook
(gaze, which has codes in FACS but no action unit), mouthLeft, mouthRight, mouthClose. `FaceModel.shape` accepts their
names.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from fer3d.errors import FormatError
from fer3d.face import ict_folder, npz
from fer3d.face.model import EYE, MOUTH, SKIN, FaceModel
from fer3d.landmarks import POINT_NAMES, bu83_name, ibug68_name

_MM = 10.0
_SHAPES: dict[str, tuple[int | str, ...]] = {
    "neutral": ("V", 3),
    "identity_modes": ("M", "V", 3),
    "expression_modes": ("N", "V", 3),
    "expression_names": ("N",),
    "triangles": ("F", 3),
    "uv": ("V", 2),
    "landmarks68": (68,),
}
_EYE_BULGE = 3.0  # mm in front of the mean of the lid margins
_MOUTH_DEPTH = -12.0
_RINGS = (0.2, 0.4, 0.6, 0.8)  # rings of a cap, as shares of the way from its boundary to its centre
_STRIP = 0.09  # height of the strip at the bottom of the texture that holds the caps

# Action unit -> weights of modes. `_SIDED`: units that each side can show alone, with names without side; `_WHOLE`:
# units of both sides together.
_SIDED: dict[str, dict[str, float]] = {
    "AU1": {"browInnerUp": 1.0},
    "AU2": {"browOuterUp": 1.0},
    "AU4": {"browDown": 1.0},
    "AU5": {"eyeWide": 1.0},
    "AU6": {"cheekSquint": 1.0},
    "AU7": {"eyeSquint": 1.0},
    "AU9": {"noseSneer": 1.0},
    "AU10": {"mouthUpperUp": 1.0},
    "AU12": {"mouthSmile": 1.0},
    "AU13": {"mouthSmile": 0.45, "cheekPuff": 0.3},
    "AU14": {"mouthDimple": 1.0},
    "AU15": {"mouthFrown": 1.0},
    "AU16": {"mouthLowerDown": 1.0},
    "AU20": {"mouthStretch": 1.0},
    "AU34": {"cheekPuff": 1.0},
    "AU43": {"eyeBlink": 1.0},
}
_WHOLE: dict[str, dict[str, float]] = {
    "AU17": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.6},
    "AU18": {"mouthPucker": 1.0},
    "AU22": {"mouthFunnel": 1.0},
    "AU23": {"mouthRollUpper": 0.35, "mouthRollLower": 0.35, "mouthPucker": 0.25},
    "AU24": {"mouthPress_L": 1.0, "mouthPress_R": 1.0},
    "AU25": {"mouthUpperUp_L": 0.25, "mouthUpperUp_R": 0.25, "mouthLowerDown_L": 0.4, "mouthLowerDown_R": 0.4},
    "AU26": {"jawOpen": 0.4},
    "AU27": {"jawOpen": 1.0},
    "AU28": {"mouthRollUpper": 1.0, "mouthRollLower": 1.0},
    "AU29": {"jawForward": 1.0},
    "AU30_L": {"jawLeft": 1.0},
    "AU30_R": {"jawRight": 1.0},
}
_MODES_OF = _WHOLE | {
    f"{unit}_{side}": {f"{mode}_{side}": weight for mode, weight in modes.items()}
    for unit, modes in _SIDED.items()
    for side in "LR"
}


def load(path: str | os.PathLike[str]) -> FaceModel:
    """Read a face model from an .npz file or a folder; see the module's docstring and `ict_folder` for the layouts.

    Raises:
        FileError: if a file is missing or cannot be opened.
        FormatError: if a file is no .npz or OBJ, a key is missing, or an array has a wrong shape or kind.
    """
    name = os.fspath(path)
    folder = Path(name).is_dir()
    data = ict_folder.arrays(Path(name)) if folder else npz.read_arrays(Path(name), _WANTED, _SHAPES)
    data = _checked(data, name)
    neutral = data["neutral"].astype(np.float64) * _MM
    lm = data["landmarks68"].astype(np.int64)
    if not neutral[lm[57], 1] > neutral[lm[8], 1]:
        raise FormatError(f"{name}: `landmarks68` should be those of iBUG, with the lower lip (57) above the chin (8)")
    near = np.flatnonzero(np.linalg.norm(neutral - neutral[lm[30]], axis=1) < 10.0)
    tip = int(near[neutral[near, 2].argmax()])
    modes = np.concatenate([data["identity_modes"], data["expression_modes"]]).astype(np.float32) * np.float32(_MM)
    uv = data["uv"].astype(np.float32)
    uv[:, 1] = _STRIP + (1 - _STRIP) * uv[:, 1]
    mesh = _Mesh(neutral - neutral[tip], modes, data["triangles"].astype(np.int32), uv, [SKIN])
    landmarks = _landmarks(mesh.points, lm) | {"pronasale": tip}
    names = tuple(str(word) for word in data["expression_names"])
    M = len(data["identity_modes"])
    first_cap = len(mesh.points)
    mesh = _capped(mesh, lm)
    _make_blinks_close(mesh, first_cap, names, M)
    return FaceModel(
        name=Path(name).stem,
        neutral=mesh.points,
        identity_modes=mesh.modes[:M],
        expression_modes=mesh.modes[M:],
        expression_names=names,
        triangles=mesh.triangles,
        part=np.asarray(mesh.part, np.uint8),
        uv=mesh.uv,
        landmarks=landmarks,
        action_units={unit: modes for unit, modes in _MODES_OF.items() if modes.keys() <= set(names)},
    )


class _Mesh:
    """A mesh with modes; `_add_cap` appends vertices and triangles to it."""

    def __init__(
        self,
        points: NDArray[np.float64],
        modes: NDArray[np.float32],
        triangles: NDArray[np.int32],
        uv: NDArray[np.float32],
        part: list[int],
    ) -> None:
        self.points, self.modes, self.triangles, self.uv = points, modes, triangles, uv
        self.part = part * len(triangles)
        self.bulge = np.zeros(len(points))  # (V,) mm by which a cap vertex lies in front of the plane of its boundary


def _checked(data: dict[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    """Return `data` unchanged if every key, shape and kind is correct; else raise FormatError."""
    missing = [key for key in _SHAPES if key not in data]
    if missing:
        raise FormatError(f"{name}: a face model has the keys {', '.join(_SHAPES)}; missing: {', '.join(missing)}")
    sizes: dict[str, int] = {}
    for key, shape in _SHAPES.items():
        got = data[key].shape
        fits = len(got) == len(shape)
        fits = fits and all(
            sizes.setdefault(w, g) == g if isinstance(w, str) else w == g for w, g in zip(shape, got, strict=True)
        )
        if not fits:
            wanted = ", ".join(str(sizes.get(w, w)) if isinstance(w, str) else str(w) for w in shape)
            raise FormatError(f"{name}: `{key}` should have shape ({wanted}), has {got}")
        kinds = "US" if key == "expression_names" else "iu" if key in ("triangles", "landmarks68") else "f"
        if data[key].dtype.kind not in kinds:
            raise FormatError(f"{name}: `{key}` should hold {_KINDS[kinds]}, holds {data[key].dtype}")
    for key in ("triangles", "landmarks68"):
        low, high = int(data[key].min(initial=0)), int(data[key].max(initial=0))
        if low < 0 or high >= sizes["V"]:
            raise FormatError(f"{name}: `{key}` should hold rows below {sizes['V']}, holds {low if low < 0 else high}")
    if not sizes["F"]:
        raise FormatError(f"{name}: `triangles` should hold at least one triangle, holds none")
    for key in ("neutral", "identity_modes", "expression_modes", "uv"):
        if not np.isfinite(data[key]).all():
            raise FormatError(f"{name}: `{key}` should be finite, holds NaN or infinity")
        if (np.abs(data[key].astype(np.float64)) > npz.LARGEST).any():
            raise FormatError(f"{name}: `{key}` should hold numbers of at most {npz.LARGEST:g}, holds larger ones")
    return data


_WANTED = "an .npz of plain arrays was wanted"
_KINDS = {"US": "words", "iu": "integers", "f": "real numbers"}


def _rims(mesh: _Mesh) -> list[NDArray[np.int64]]:
    """Boundary loops, each ordered as seen from its hole, so that caps face outwards."""
    t = mesh.triangles.astype(np.int64)
    half = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])  # (3 F, 2) directed edges
    V = len(mesh.points)
    code, back = half[:, 0] * V + half[:, 1], half[:, 1] * V + half[:, 0]
    boundary = half[~np.isin(code, back)]
    graph = sparse.coo_matrix((np.ones(len(boundary)), (boundary[:, 0], boundary[:, 1])), shape=(V, V))
    _, label = connected_components(graph, directed=False)
    after = dict(boundary[:, ::-1].tolist())
    loops = []
    for component in np.unique(label[boundary[:, 0]]):
        start = int(boundary[label[boundary[:, 0]] == component][0, 0])
        loop = [start]
        while (step := after.get(loop[-1], start)) != start and len(loop) <= len(boundary):
            loop.append(step)
        loops.append(np.array(loop))
    return loops


def _capped(mesh: _Mesh, lm: NDArray[np.int64]) -> _Mesh:
    """Add caps to the boundary loops that lie at an eye or between the lips."""
    places = ((lm[36:42], EYE, _EYE_BULGE), (lm[42:48], EYE, _EYE_BULGE), (lm[60:68], MOUTH, _MOUTH_DEPTH))
    loops = _rims(mesh)
    for place, (rows, part, bulge) in enumerate(places):
        centre = mesh.points[rows].mean(axis=0)
        reach = np.linalg.norm(mesh.points[rows] - centre, axis=1).max()
        for loop in loops:
            offset = np.linalg.norm(mesh.points[loop] - centre, axis=1)
            if offset.max() < 1.6 * reach + 5.0:
                _add_cap(mesh, loop, part, bulge, place / len(places), 1 / len(places))
    return mesh


def _add_cap(mesh: _Mesh, loop: NDArray[np.int64], part: int, bulge: float, left: float, width: float) -> None:
    """Append a cap: a copy of the boundary, rings inside it, and its mean.

    Position and modes of a new vertex are the same mixture of boundary and mean. Its uv is its frontal position in the
    strip at the bottom of the texture, because in the model's own uv the hole may be only a few texels high.
    """
    first, n = len(mesh.points), len(loop)

    def rings(array: NDArray[Any]) -> NDArray[Any]:  # (..., n, k) at the boundary -> (..., (rings + 1) * n + 1, k)
        mean = array.mean(axis=-2, keepdims=True)
        inner = [array * (1 - share) + mean * share for share in _RINGS]
        return np.concatenate([array, *inner, mean], axis=-2)

    height = np.concatenate([np.repeat([bulge * (1 - (1 - s) ** 2) for s in (0.0, *_RINGS)], n), [bulge]])
    points = rings(mesh.points[loop])
    flat = (points[:, :2] - points[:, :2].min(axis=0)) / np.maximum(np.ptp(points[:, :2], axis=0), 1e-6)
    uv = np.stack([left + width * (0.06 + 0.88 * flat[:, 0]), _STRIP * (0.06 + 0.8 * flat[:, 1])], axis=1)
    points[:, 2] += height
    mesh.points = np.concatenate([mesh.points, points])
    mesh.modes = np.concatenate([mesh.modes, rings(mesh.modes[:, loop]).astype(np.float32)], axis=1)
    mesh.uv = np.concatenate([mesh.uv, uv.astype(np.float32)])
    mesh.bulge = np.concatenate([mesh.bulge, height])
    rows = [first + k * n + np.arange(n) for k in range(len(_RINGS) + 1)]
    triangles = []
    for outer, inner in pairwise(rows):
        a, b, c, d = outer, np.roll(outer, -1), np.roll(inner, -1), inner
        triangles += [np.stack([a, b, c], 1), np.stack([a, c, d], 1)]
    middle = np.full(n, first + len(rows) * n)
    triangles.append(np.stack([rows[-1], np.roll(rows[-1], -1), middle], 1))
    new = np.concatenate(triangles).astype(np.int32)
    mesh.triangles = np.concatenate([mesh.triangles, new])
    mesh.part = mesh.part + [part] * len(new)


def _make_blinks_close(mesh: _Mesh, first_cap: int, names: tuple[str, ...], M: int) -> None:
    """Let blinking modes flatten the caps of the eyes, so that they do not bulge through closed lids."""
    ball = mesh.bulge > 0
    ball[:first_cap] = False
    for k, name in enumerate(names):
        if name.startswith(("eyeBlink", "eyeSquint")):
            left = mesh.points[:, 0] > 0
            side = ball & (left if name.endswith("_L") else ~left)
            share = 1.1 if name.startswith("eyeBlink") else 0.25
            mesh.modes[M + k, side, 2] -= (share * mesh.bulge[side]).astype(np.float32)


def _landmarks(points: NDArray[np.float64], lm: NDArray[np.int64]) -> dict[str, int]:
    """Name -> vertex of the points of `fer3d.landmarks.POINT_NAMES`, from the 68 of iBUG.

    Left is the subject's left (+x); iBUG counts from the subject's right.
    """
    tree = cKDTree(points)
    p = points[lm]

    def nearest(point: NDArray[np.float64]) -> int:
        return int(tree.query(point)[1])

    def along(rows: tuple[int, ...], share: float) -> int:
        line = p[list(rows)]
        arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        at = [np.interp(share * arc[-1], arc, line[:, axis]) for axis in range(3)]
        return nearest(np.array(at))

    rows = {ibug68_name(k): int(lm[k]) for k in range(68)}
    bu83: dict[int, int] = {76: _foremost_of_chin(points, p)}
    for k, share in enumerate((0.25, 0.5, 0.75)):
        bu83[2 + k], bu83[6 + k] = along((42, 43, 44, 45), share), along((45, 46, 47, 42), share)
        bu83[10 + k], bu83[14 + k] = along((39, 38, 37, 36), share), along((36, 41, 40, 39), share)
    up = np.array([0.0, 2.5, 0.0])
    for k in range(5):  # the landmarks of iBUG lie on the middle of the brow
        bu83[17 + k], bu83[26 - k] = nearest(p[22 + k] + up), nearest(p[22 + k] - up)
        bu83[27 + k], bu83[36 - k] = nearest(p[21 - k] + up), nearest(p[21 - k] - up)
    for side, numbers, eye, wing in ((1.0, (37, 38, 39, 40), 42, 35), (-1.0, (48, 47, 46, 45), 39, 31)):
        out = np.array([side, 0.0, 0.0])
        bu83[numbers[0]] = nearest(0.6 * p[27] + 0.4 * p[eye])
        bu83[numbers[1]] = nearest(p[28] + 10.0 * out - np.array([0.0, 5.0, 9.0]))
        bu83[numbers[2]] = nearest(p[wing] + 3.0 * out + np.array([0.0, 16.0, 0.0]))
        bu83[numbers[3]] = nearest(p[wing] + 5.0 * out + np.array([0.0, 4.0, -2.0]))
    rows |= {bu83_name(number): row for number, row in bu83.items()}
    return {name: rows[name] for name in POINT_NAMES if name in rows}


def _foremost_of_chin(points: NDArray[np.float64], p: NDArray[np.float64]) -> int:
    """The vertex that protrudes most in the middle of the chin; `p` are the 68 landmarks of iBUG.

    iBUG 8 lies lower, at the edge of the chin that a frontal picture shows.
    """
    low, high = p[8], 0.5 * (p[8] + p[57])
    middle = (np.abs(points[:, 0] - low[0]) < 3.0) & (points[:, 1] >= low[1]) & (points[:, 1] <= high[1])
    rows = np.flatnonzero(middle)
    return int(rows[points[rows, 2].argmax()])
