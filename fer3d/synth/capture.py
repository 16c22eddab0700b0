"""`capture`: scan a face with the simulated range camera, with the ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fer3d.errors import PrepareError
from fer3d.face.model import FaceModel
from fer3d.formats.range_grid import triangulate
from fer3d.scan import Scan
from fer3d.synth.optics import sensor
from fer3d.synth.optics.camera import Camera
from fer3d.synth.optics.light import LIGHTS, Light
from fer3d.synth.optics.scene import Look, Occluder, Scene, set_up
from fer3d.synth.optics.visibility import Visibility, visibility


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """A scan and its ground truth, in the same frame.

    Attributes:
        scan: Vertices, faces, uv and texture. Its landmarks are the vertices nearest to the measured true landmarks.
        landmarks: Name -> (3,) float64. True positions, also of hidden landmarks.
        measured: Names of the landmarks at which the scan has surface.
        pose: (4, 4) float64. From the model's frame (mm, frontal, nose tip of the mean face at the origin) to the
            scan's.
        visibility: Which landmarks and patches the views see; see `fer3d.synth.optics.visibility`. The camera may not
            measure a visible landmark.
    """

    scan: Scan
    landmarks: Mapping[str, NDArray[np.float64]]
    measured: tuple[str, ...]
    pose: NDArray[np.float64]
    visibility: Visibility


def capture(
    model: FaceModel,
    shape: NDArray[np.float64],
    placement: NDArray[np.float64],
    camera: Camera,
    generator: np.random.Generator,
    look: Look | None = None,
    *,
    light: Light = LIGHTS["soft"],
    occluders: Sequence[Occluder] = (),
    texture: int = 512,
) -> Capture:
    """Scan a face.

    Args:
        model: The face model.
        shape: (V, 3) float64. The face in the frame of the model, see `FaceModel.shape`.
        placement: (4, 4) float64. Rigid motion from the model's to the camera's frame; see
            `fer3d.synth.optics.scene.pose`.
        camera: Settings of the camera.
        generator: Source of all random numbers. The same state gives the same scan.
        look: Colour, hair and gloss of the face. None: no spot is dark, hairy or wet, and the scan has no texture.
        light: Light on the face in the texture.
        occluders: Objects on the face; see `fer3d.synth.looks.occluders`.
        texture: Rows and columns of the texture, a lit image in the projection of the scan.

    Raises:
        ArgumentError: if a shape is wrong.
        PrepareError: if the camera sees nothing of the face.
    """
    scene = set_up(model, shape, placement, look, occluders)
    seen = sensor.sample(scene, camera, generator)
    faces, _ = triangulate(seen.exact, seen.valid, longest_edge=camera.longest_edge)
    if not len(faces):
        raise PrepareError("the camera sees no three neighbouring points of the face: lower `pitch` or turn it back")
    vertices = seen.points[seen.valid]
    used = np.zeros(len(vertices), np.bool_)
    used[faces] = True
    row = np.cumsum(used, dtype=np.int32) - np.int32(1)
    image = None if look is None else sensor.texture(scene, camera, light, texture, generator)
    scan = Scan.of(vertices[used], row[faces], uv=seen.uv[seen.valid][used], texture=image)
    scan = scan.step("capture", {"pitch_mm": camera.pitch, "noise_mm": camera.noise, "views": len(camera.views)})
    return with_truth(scan, scene, camera)


def with_truth(scan: Scan, scene: Scene, camera: Camera) -> Capture:
    """Combine a scan of a scene with its ground truth, and find the landmarks on the scan."""
    landmarks = scene.landmarks()
    near, measured = nearest_vertices(scan, landmarks, reach=camera.reach)
    scan_landmarks = {name: scan.vertices[near[name]].astype(np.float64) for name in measured}
    return Capture(
        replace(scan, landmarks=scan_landmarks), landmarks, measured, scene.placement, visibility(scene, camera.towards)
    )


def nearest_vertices(
    scan: Scan, points: Mapping[str, NDArray[np.float64]], reach: float
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Name -> row of the vertex nearest to each point, and the names of the points at most `reach` mm from a vertex."""
    # A tree that is fast to build, because only about a hundred points are queried.
    tree = cKDTree(scan.vertices, balanced_tree=False, compact_nodes=False)
    distance, row = tree.query(np.array(list(points.values())))
    near = {name: int(r) for name, r in zip(points, row, strict=True)}
    return near, tuple(name for name, d in zip(points, distance, strict=True) if d <= reach)
