"""Simulated people photographed from several sides in several lights, as a prepared folder that `fer3d train` reads.

The camera goes around the head, to either side by lot; the lamps stay. Faces are cut out by their true eyes, off by as
much as those that a detector finds. One moment is one face of a person with one expression: all its pictures differ in
nothing but where the camera stood and which lamps were lit.
"""

import json
import math

import numpy as np

from fer3d.face.load import builtin_face
from fer3d.synth.optics.scene import Window

YAWS = (0, 15, 30, 45)  # degrees
# Of the distance between the eyes, along each axis: a median distance of 0.032, as bm_faces.py measures of the chain.
EYE_ERROR = 0.027
# How much people differ in what they show: less than fer3d.synth is calibrated to, as of actors who were told what to
# do. The differences between conditions then are not drowned by those between people.
CLEAR = {"ways": 0.3, "gain": 0.15, "never": 0.0, "leak": 0.2, "stray": 0.4}
_WINDOW = Window(-96.0, 96.0, 1.6, 121, 121)  # mm of the photograph, before the face is cut out


def lights():
    """Name -> light in the frame of the frontal camera. "side" ones have a lamp on the left; see `photographs`."""
    from fer3d.synth.optics.light import LIGHTS, Lamp, Light

    def side(strength, room):
        return Light((Lamp(1.15, 0.2, strength, size=0.08),), (room, room, room), 0.3)

    return {
        "even": LIGHTS["soft"],
        "dim": Light((Lamp(0.0, 0.4, 0.04, size=0.2),), (0.012, 0.012, 0.012), 0.5),
        "flash": Light((Lamp(0.0, 0.12, 1.5, size=0.02),), (0.06, 0.06, 0.06)),
        "side": side(0.6, 0.14),
        "strong side": side(1.3, 0.02),
    }


EASY = "yaw=0,light=even"


def write(folder, seed, subjects, views=YAWS, lamps=None, *, hard=None, size=48):
    """Write the prepared folder, unless it is there.

    Args:
        folder: Its path; its name becomes that of the data set.
        seed: Of the people. A picture depends on the seed and on what it shows, never on the other pictures of the set.
        subjects: How many people, each with all seven expressions.
        views, lamps: Conditions: degrees, and names of `lights`. None: all of them.
        hard: None: every face under all conditions. Else under the easy ones and so many of the others, by lot.
        size: Rows and columns of a picture.
    """
    from fer3d.files import write_bytes
    from fer3d.prepare.store import PreparedScan, write_manifest, write_scan

    if (folder / "manifest.parquet").is_file():
        return folder
    lamps = tuple(lights()) if lamps is None else lamps
    rows = []
    settings = {"size": size, "maps": ["texture"]}
    for subject, expression, view, lamp, face in photographs(seed, range(subjects), views, lamps, hard, size):
        name = f"s{subject:03d}_{expression}_{view:02d}_{lamp.replace(' ', '-')}"
        row = {
            "id": name,
            "status": "ok",
            "dataset": folder.name,
            "subject": f"s{subject:03d}",
            "expression": expression,
            "pose": [math.radians(view), 0.0, 0.0],
            "attributes": json.dumps({"light": lamp}),
            "source": f"{name}.png",
            "file": f"scans/{name}.safetensors",
            "prefix": "",
            "measured": float(face.mask.mean()),
        }
        rows.append(row)
        header = {"row": row, "channels": [], "pixel_mm": 63.0 / (0.36 * size), "settings": settings}
        maps = np.zeros((0, size, size), np.float16)
        write_scan(
            folder / row["file"], PreparedScan({"maps": maps, "mask": face.mask, "texture": face.pixels}, header)
        )
    write_bytes(folder / "prepare.json", (json.dumps({"simulated": True, "seed": seed}) + "\n").encode())
    write_manifest(folder, rows)
    return folder


def photographs(seed, subjects, views, lamps, hard, size):
    """Subject, expression, view, lamp and the aligned face of every picture."""
    from fer3d.image.align import align
    from fer3d.scan import EXPRESSIONS
    from fer3d.synth.acting import expression
    from fer3d.synth.acting.habits import Habits, Variety
    from fer3d.synth.looks import appearance
    from fer3d.synth.optics.photograph import Lens, developed, radiance
    from fer3d.synth.optics.scene import pose, set_up

    model, lens, known = builtin_face(), Lens(shot=0.0004, read=0.004), lights()
    atlas = appearance.atlas(model, 256)
    conditions = [(view, lamp) for view in views for lamp in lamps]
    for subject in subjects:
        generator = np.random.default_rng([seed, subject])
        identity = np.clip(generator.normal(0.0, 1.0, len(model.identity_modes)), -2.5, 2.5)
        look = appearance.paint(atlas, generator, beard=subject % 2 == 1)
        habits = Habits.draw(generator, Variety(**CLEAR))
        for number, label in enumerate(EXPRESSIONS):
            moment = np.random.default_rng([seed, subject, number])
            units = expression.weights(expression.recipe(label, habits), 1.0, model.action_units, habits, moment)
            shape = model.shape(identity, model.mode_weights(units))
            chosen = [] if hard is None else moment.permutation(len(conditions) - 1)[:hard] + 1
            for index, (view, lamp) in enumerate(conditions):
                if hard is not None and index not in (0, *chosen):
                    continue
                draws = np.random.default_rng([seed, subject, number, view, list(known).index(lamp)])
                light = known[lamp]
                placement = pose(math.radians(view * draws.choice((-1, 1))), 0.0, 0.0, (0.0, 0.0, 0.0))
                if "side" in lamp and draws.random() < 0.5:
                    light = mirrored(light)
                scene = set_up(model, shape, placement, look)
                picture = developed(radiance(scene, light.turned(placement), _WINDOW), lens, draws)
                eyes = eyes_of(scene)
                eyes += EYE_ERROR * np.linalg.norm(eyes[1] - eyes[0]) * draws.normal(0.0, 1.0, (2, 2))
                yield subject, label, view, lamp, align(picture, eyes, size)


def eyes_of(scene):
    """(2, 2) where the middles of the right and of the left eye are in the photograph."""
    points = scene.landmarks()
    corners = [[points[f"{name}_{side}"] for name in ("exocanthion", "endocanthion")] for side in ("right", "left")]
    return _WINDOW.pixels(np.mean(corners, axis=1))[:, :2]


def mirrored(light):
    """The light with its lamps on the other side."""
    from dataclasses import replace

    return replace(light, lamps=tuple(replace(lamp, yaw=-lamp.yaw) for lamp in light.lamps))
