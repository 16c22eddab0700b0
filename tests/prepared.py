"""A small prepared folder, made without scanning anybody: maps whose class can be seen."""

import json

import numpy as np

from fer3d.prepare.store import PreparedScan, write_manifest, write_scan

CHANNELS = ("depth", "normal_x", "normal_y", "normal_z", "shape_index", "curvedness", "mean", "gaussian")
SIX = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
SETTINGS = {"size": 16, "maps": ["depth", "normal", "curvature", "texture"]}

# mm; right of the picture is the subject's left; lopsided along y, and no point has the height of another kind
POINTS = {
    "exocanthion_right": (-45.0, 31.0),
    "endocanthion_right": (-16.0, 29.0),
    "endocanthion_left": (16.0, 29.0),
    "exocanthion_left": (45.0, 31.0),
    "alare_right": (-18.0, -4.0),
    "alare_left": (18.0, -4.0),
    "subnasale": (0.0, -12.0),
}


def landmarks_of(wide=1.0, high=1.0, up=0.0, names=tuple(POINTS)):
    """Columns of a manifest row: the landmarks of a face that is POINTS stretched and then moved up."""
    points = [(wide * POINTS[name][0], high * POINTS[name][1] + up, 7.0) for name in names]
    return {"landmark_names": list(names), "landmarks": np.ravel(points).tolist()}


def write_prepared(
    folder,
    subjects=("F0001", "M0001", "F0002", "M0002"),
    classes=SIX,
    intensities=(3, 4),
    *,
    size=16,
    channels=CHANNELS,
    texture=True,
    dataset="bu3dfe",
    change=None,
):
    """Write a prepared folder of len(subjects) x len(classes) x len(intensities) scans.

    A bump stands at a place that only the class decides, with noise that the subject and the intensity decide;
    its landmarks are those of a face as wide and high as chance will have it.
    `change(row)` may alter a manifest row before it is written.
    """
    rows = []
    for number, subject in enumerate(subjects):
        for k, label in enumerate(classes):
            for level in intensities:
                random = np.random.default_rng([number, k, level or 0])
                name = f"{subject}_{label}_{level}"
                row = {
                    "id": name,
                    "status": "ok",
                    "dataset": dataset,
                    "subject": subject,
                    "expression": label,
                    "intensity": level,
                    "attributes": json.dumps({"kind": "E", "repeat": "0"}),
                    "source": f"{name}.wrl",
                    "file": f"scans/{name}.safetensors",
                    "prefix": "",
                    **landmarks_of(*random.uniform((0.9, 0.9, -2.0), (1.1, 1.1, 2.0))),
                }
                if change is not None:
                    change(row)
                rows.append(row)
                header = {"row": row, "channels": list(channels), "pixel_mm": 180 / size, "settings": SETTINGS}
                write_scan(folder / row["file"], PreparedScan(_arrays(random, k, size, len(channels), texture), header))
    write_manifest(folder, rows)
    return folder


def _arrays(random, k, size, channels, texture):
    r, c = np.mgrid[:size, :size]
    bump = np.exp(-((r - size * (0.25 + 0.5 * (k % 2))) ** 2 + (c - size * (0.3 + 0.2 * (k // 2))) ** 2) / 8.0)
    maps = bump + 0.1 * random.standard_normal((channels, size, size))
    mask = np.ones((size, size), np.uint8)
    mask[0] = 0
    maps[:, 0] = np.nan
    arrays = {"maps": maps.astype(np.float16), "mask": mask}
    if texture:
        arrays["texture"] = np.repeat((200 * bump + 20)[..., None], 3, axis=2).astype(np.uint8)
    return arrays
