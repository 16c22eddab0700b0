"""A small prepared folder with sample trees, made without scanning anybody: surfaces whose class can be seen."""

import json

import numpy as np
from scipy.spatial import Delaunay

from fer3d import maps
from fer3d.config import PreprocessSettings
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


def tree_of(scan, settings=SETTINGS, nose=(0.0, 0.0, 0.0)):
    """Its sample tree with features, as `prepare` makes it."""
    normals = maps.vertex_normals(scan)
    curvatures = maps.principal_curvatures(scan, radius=settings.curvature_radius_mm, normals=normals)
    return build_tree(scan, settings, nose).with_features(scan, normals, curvatures)


def write_prepared_trees(
    folder, subjects=("F0001", "M0001", "F0002"), classes=SIX, intensities=(3,), *, tree=True, mesh=True
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
                depth = np.random.default_rng([number, kind, level]).normal(size=(1, 16, 16)).astype(np.float16)
                arrays = {"maps": depth, "mask": np.ones((16, 16), np.uint8)}
                settings = SETTINGS.model_dump(mode="json")
                header = {"row": row, "channels": ["depth"], "pixel_mm": SETTINGS.pixel, "settings": settings}
                if mesh:
                    arrays |= {"vertices": scan.vertices, "faces": scan.faces}
                if tree:
                    made = tree_of(scan)
                    arrays |= made.arrays()
                    header["tree"] = made.facts()
                write_scan(folder / row["file"], PreparedScan(arrays, header))
    write_manifest(folder, rows)
    return folder
