"""A small prepared folder with sample trees, made without scanning anybody: surfaces whose class can be seen."""

import json
from dataclasses import replace

import numpy as np
from scipy.spatial import Delaunay

from fer3d import maps
from fer3d.config import PreprocessSettings
from fer3d.landmarks import POINT_NAMES, SCHEMES
from fer3d.models import network_class
from fer3d.prepare.landmarks.reference import mean_points
from fer3d.prepare.scan import build_tree
from fer3d.prepare.store import PreparedScan, write_manifest, write_scan
from fer3d.scan import Scan
from tests.prepared import SIX

SETTINGS = PreprocessSettings(
    size=16,
    maps=("depth",),
    curvature_radius_mm=12.0,  # three vertices: a fit of fewer may gain or lose one by rounding
    tree=True,
    tree_levels=(500, 80, 16),
)
# Of FLM-CNN: four levels, the top one of 68 points far from each other, or of landmarks.
FAR = SETTINGS.model_copy(update={"tree_levels": (500, 220, 110, 68), "tree_radii_mm": (4.0, 8.0, 16.0)})
MARKED = FAR.model_copy(update={"tree_top": "landmarks"})


def settings_for(network):
    """Settings that make the trees that a network reads."""
    return MARKED if issubclass(network_class(network), network_class("flm-cnn")) else SETTINGS


def surface(number=0, kind=0, level=3):
    """A nose on a curved face of 961 vertices, with a bump of 4 mm where the class says."""
    random = np.random.default_rng([number, kind, level])
    line = np.linspace(-60.0, 60.0, 31)
    xy = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    inside = (np.abs(xy) < 59.0).all(axis=1) & xy.any(axis=1)  # the boundary stays straight: no slivers
    xy[inside] += random.uniform(-1.2, 1.2, (inside.sum(), 2))
    order = np.argsort(np.hypot(*xy.T), kind="stable")  # the nose tip first
    xy = xy[order]
    x, y = xy.T
    turn = 2 * np.pi * kind / 6 + 0.4
    away = 20.0 + 4.0 * kind
    bump = 4.0 * np.exp(-((x - away * np.cos(turn)) ** 2 + (y - away * np.sin(turn)) ** 2) / (9.0 + 3.0 * kind) ** 2)
    nose = 20.0 * np.exp(-(x**2 + y**2) / 150.0)
    z = nose + bump - (x**2 + 0.6 * y**2) / 160.0 + random.normal(0.0, 0.05, len(x))
    points = np.stack([x, y, z], axis=1)
    points -= points[0]
    faces = Delaunay(xy).simplices
    a, b, c = (points[faces[:, k]] for k in range(3))
    turned = np.cross(b - a, c - a)[:, 2] < 0
    return Scan.of(points, np.where(turned[:, None], faces[:, ::-1], faces))


def marked(scan):
    """A surface with the 68 landmarks of iBUG, where the mean face has them in x and y."""
    points = {name: mean_points()[POINT_NAMES.index(name)] * [0.7, 0.7, 0.0] for name in SCHEMES["ibug68"]}
    heights = (scan.vertices[np.hypot(*(scan.vertices[:, :2] - p[:2]).T).argmin(), 2] for p in points.values())
    placed = {name: np.array([*p[:2], z]) for (name, p), z in zip(points.items(), heights, strict=True)}
    return replace(scan, landmarks=placed)


def tree_of(scan, settings=SETTINGS, nose=(0.0, 0.0, 0.0)):
    """Its sample tree with features, as `prepare` makes it."""
    normals = maps.vertex_normals(scan)
    curvatures = maps.principal_curvatures(scan, radius=settings.curvature_radius_mm, normals=normals)
    return build_tree(scan, settings, nose).with_features(scan, normals, curvatures)


def write_prepared_trees(
    folder,
    subjects=("F0001", "M0001", "F0002"),
    classes=SIX,
    intensities=(3,),
    *,
    tree=True,
    mesh=True,
    settings=SETTINGS,
):
    """Write a prepared folder of len(subjects) x len(classes) x len(intensities) scans."""
    rows = []
    for number, subject in enumerate(subjects):
        for label in classes:
            for level in intensities:
                kind = SIX.index(label)
                name = f"{subject}_{label}_{level}"
                row = {
                    "id": name,
                    "status": "ok",
                    "dataset": "bu3dfe",
                    "subject": subject,
                    "expression": label,
                    "intensity": level,
                    "attributes": json.dumps({"kind": "E", "repeat": "0"}),
                    "source": f"{name}.wrl",
                    "file": f"scans/{name}.safetensors",
                    "prefix": "",
                }
                rows.append(row)
                scan = surface(number, kind, level)
                scan = marked(scan) if settings.tree_top == "landmarks" else scan
                depth = np.random.default_rng([number, kind, level]).normal(size=(1, 16, 16)).astype(np.float16)
                arrays = {"maps": depth, "mask": np.ones((16, 16), np.uint8)}
                row["landmark_names"] = list(scan.landmarks)
                row["landmarks"] = [float(x) for point in scan.landmarks.values() for x in point]
                stored = settings.model_dump(mode="json")
                header = {"row": row, "channels": ["depth"], "pixel_mm": settings.pixel, "settings": stored}
                if mesh:
                    arrays |= {"vertices": scan.vertices, "faces": scan.faces}
                if tree:
                    made = tree_of(scan, settings)
                    arrays |= made.arrays()
                    header["tree"] = made.facts()
                write_scan(folder / row["file"], PreparedScan(arrays, header))
    write_manifest(folder, rows)
    return folder
