"""The pictures of the simulator's camera, lights and occluders in `docs/`. Every face is simulated.

Run: python docs/figures/captures.py [MODEL.npz]
"""

import sys
from pathlib import Path

import numpy as np

from fer3d.face.load import builtin_face, load_face
from fer3d.maps import render_maps
from fer3d.prepare.drawing import channel_picture, grid, shaded_picture
from fer3d.scan import Scan
from fer3d.synth.capture import capture
from fer3d.synth.looks import appearance
from fer3d.synth.looks.occluders import occluder
from fer3d.synth.optics.camera import STEREO, Camera
from fer3d.synth.optics.light import LIGHTS
from fer3d.synth.optics.photograph import Lens, photograph
from fer3d.synth.optics.scene import Window, pose, rotation

DOCS = Path(__file__).parents[1]
SIZE, PIXEL = (300, 250), 0.8  # rows and columns, mm
WINDOW = Window(-PIXEL * (SIZE[1] - 1) / 2, PIXEL * (SIZE[0] - 1) / 2 + 5, PIXEL, *SIZE)
LENS = Lens(blur=0.6, shot=0.0, read=0.0)  # noise would make the files large
NAMES = {
    "GLASSES": "spectacles",
    "EYE": "hand over eye",
    "MOUTH": "hand over mouth",
    "SCARF": "scarf",
    "HAIR": "strands of hair",
}


def person(model, atlas, number):
    """Shape weights and look of somebody."""
    generator = np.random.default_rng(number)
    identity = np.clip(generator.normal(0.0, 1.0, len(model.identity_modes)), -2.0, 2.0)
    return model.shape(identity), appearance.paint(atlas, generator, beard=number % 2 == 1)


def turned(scan, yaw):
    """The scan of a head that turns about its own axis."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(yaw, 0.0, 0.0)
    back = np.array([0.0, 0.0, -70.0])
    matrix[:3, 3] = back - matrix[:3, :3] @ back
    return scan.moved(matrix, "turned")


def clay(scan, yaw=0.0):
    maps = render_maps(centred(turned(scan, yaw)), ("normal",), SIZE, PIXEL, fill=0.0)
    return shaded_picture(maps.stack)


def depth(scan):
    return channel_picture("depth", render_maps(centred(scan), ("depth",), SIZE, PIXEL, fill=0.0).channel("depth"))


def textured(scan, yaw=0.0):
    texture = render_maps(centred(turned(scan, yaw)), ("depth", "texture"), SIZE, PIXEL, fill=0.0).texture
    return np.where((texture == 0).all(axis=-1, keepdims=True), np.uint8([24, 26, 30]), texture)


def centred(scan: Scan) -> Scan:
    """5 mm lower, as the photographs are."""
    return scan.moved(pose(shift=(0.0, -5.0, 0.0)), "centred")


def scan_with_holes(model, atlas):
    titles = ("front", "three quarters", "profile", "with its texture")
    rows, labels = [], []
    for number, (label, camera) in enumerate(
        {
            "two views,\nmerged,\n1.5 mm": Camera(views=STEREO, field=220.0, spikes=0.002, holes=6.0),
            "one view,\n0.76 mm": Camera(pitch=0.76, turned=False, jitter=0.0, spikes=0.0006, holes=6.0),
        }.items()
    ):
        shape, look = person(model, atlas, 5 + 2 * number)
        scan = capture(model, shape, pose(0.1), camera, np.random.default_rng(number), look).scan
        rows.append([clay(scan), clay(scan, 0.7), clay(scan, 1.3), textured(scan, 0.3)])
        labels.append(label)
    return grid(rows, labels, titles)


def lights(model, atlas):
    names = ("soft", "left", "above", "window")
    rows = []
    for number in (12, 2, 13):
        shape, look = person(model, atlas, number)
        rows.append(
            [
                photograph(model, shape, pose(0.15), look, LIGHTS[name], window=WINDOW, lens=LENS).picture
                for name in names
            ]
        )
    return grid(rows, ["three\npeople", "", ""], [f"light: {name}" for name in names])


def occluders(model, atlas):
    camera = Camera(pitch=0.9, turned=False, jitter=0.0)
    columns = []
    for number, kind in enumerate(NAMES):
        shape, look = person(model, atlas, 20 + number)
        generator = np.random.default_rng(number + 3)
        things = [occluder(kind, model, shape, generator, look)]
        photo = photograph(model, shape, pose(0.15), look, window=WINDOW, occluders=things, generator=generator).picture
        scan = capture(model, shape, pose(0.15), camera, generator, look, occluders=things).scan
        columns.append([photo, depth(scan), clay(scan)])
    rows = [list(row) for row in zip(*columns, strict=True)]
    sheet = grid(rows, ["photograph", "depth of\nthe scan", "scan"], [NAMES[kind] for kind in NAMES])
    return sheet.quantize(256)  # a third of the bytes


def main():
    model = load_face(sys.argv[1]) if len(sys.argv) > 1 else builtin_face()
    atlas = appearance.atlas(model, 1024)
    for make in (scan_with_holes, lights, occluders):
        make(model, atlas).save(DOCS / f"{make.__name__}.png", optimize=True)


if __name__ == "__main__":
    main()
