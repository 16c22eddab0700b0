"""Faces found by each detector and by the chain, and how fast faces are aligned.

    python benchmarks/bm_faces.py [--renders 300] [--face-model ../shared/data/ict_facekit.npz] [--write]

Three kinds of pictures: `skimage.data.astronaut()`; the 100 faces and 100 other crops, 25 x 25 and grey, of
`skimage.data.lfw_subset()` (both lie inside the scikit-image package), as they are and enlarged ten times; and
simulated photographs of made-up people with one of the seven expressions each, in the six lights of `fer3d.synth`,
turned by 0 to 45 degrees to either side, 320 x 320 pixels of 1 mm.

A face counts as found if a box holds the point midway between eyes and mouth and is no more than 4 times as wide as
those are apart; in lfw_subset, whose crops are faces or are not, if there is any box. Every other box is a false
positive. Each detector alone is a chain of one, with the same second look at twice the size, so that nothing but the
detector differs. Eye errors are in distances between the eyes, on faces that were found. Times are CPU times on one
core.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from machine import said, where

RESULTS = Path(__file__).parent / "results"
SHARED = Path(__file__).parents[1].parent / "shared" / "data"
BANDS = ((0, 15), (15, 30), (30, 45))  # degrees
WIDEST = 4.0  # a box may be this many times as wide as eyes and mouth are apart


def main():
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renders", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--face-model", type=Path, default=SHARED / "ict_facekit.npz")
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/faces.md")
    arguments = parser.parse_args()
    report = "\n\n".join(said(block) for block in blocks(arguments))
    if arguments.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "faces.md").write_text(report + "\n", encoding="utf-8")


def blocks(arguments):
    """Markdown blocks, one after the other."""
    import cv2

    from fer3d.face.load import builtin_face, load_face
    from fer3d.image.detect import DETECTORS, FaceFinder

    cv2.setNumThreads(1)
    yield heading(cv2)
    finders = {name: FaceFinder([name]) for name in DETECTORS} | {"chain": FaceFinder()}
    yield astronaut(finders)
    yield lfw(finders)
    models = [("built-in face", builtin_face())]
    if arguments.face_model.exists():
        models.append((arguments.face_model.stem, load_face(arguments.face_model)))
    counts = [arguments.renders - arguments.renders // 2, arguments.renders // 2]
    counts = counts if len(models) == 2 else [arguments.renders]
    pairs = zip(models, counts, strict=True)
    photos = [photo for (_, model), count in pairs for photo in take(model, count, arguments)]
    names = " and ".join(f"{count} of {name}" for (name, _), count in zip(models, counts, strict=True))
    yield simulated(finders, photos, names)
    yield speed(finders, photos)


def heading(cv2):
    """Machine and versions."""
    import dlib
    import skimage

    return (
        f"# Faces in pictures\n\n{where()}, OpenCV {cv2.__version__}, dlib {dlib.__version__}, "
        f"scikit-image {skimage.__version__}"
    )


def astronaut(finders):
    """One photograph of a face with much else in it."""
    from skimage import data

    picture = data.astronaut()
    rows = ["## skimage.data.astronaut()", "", "| detector | faces | box | landmarks from |", "|---|---|---|---|"]
    for name, finder in finders.items():
        found = finder(picture)
        box = " ".join(f"{x:.0f}" for x in found.face.box) if found.face else ""
        rows.append(f"| {name} | {len(found.faces)} | {box} | {found.face.landmarks_from if found.face else ''} |")
    return "\n".join(rows)


def lfw(finders):
    """Faces and other things in tiny crops."""
    from PIL import Image
    from skimage import data

    rows = [
        "## skimage.data.lfw_subset(): 100 faces, 100 others",
        "",
        "| detector | pixels | faces found of 100 | false positives in the 100 others | ms a picture |",
        "|---|---|---|---|---|",
    ]
    grey = np.rint(np.clip(data.lfw_subset(), 0, 1) * 255).astype(np.uint8)
    for side in (25, 250):
        pictures = [np.array(Image.fromarray(g).resize((side, side), Image.BICUBIC).convert("RGB")) for g in grey]
        for name, finder in finders.items():
            start = time.process_time()
            found = [len(finder(picture).faces) for picture in pictures]
            spent = (time.process_time() - start) / len(pictures)
            hits = sum(number > 0 for number in found[:100])
            rows.append(f"| {name} | {side} | {hits} | {sum(found[100:])} | {1e3 * spent:.0f} |")
    return "\n".join(rows)


def take(model, count, arguments):
    """`count` photographs: (picture, eyes (2, 2), mouth (2,), yaw in degrees)."""
    from fer3d.scan import EXPRESSIONS
    from fer3d.synth.acting import expression
    from fer3d.synth.acting.habits import Habits
    from fer3d.synth.looks import appearance
    from fer3d.synth.optics.light import LIGHTS
    from fer3d.synth.optics.photograph import photograph
    from fer3d.synth.optics.scene import Window, pose

    atlas = appearance.atlas(model, 512)
    window = Window(-159.5, 159.5, 1.0, 320, 320)
    for number in range(count):
        generator = np.random.default_rng([arguments.seed, number])
        identity = np.clip(generator.normal(0.0, 1.0, len(model.identity_modes)), -2.5, 2.5)
        habits = Habits.draw(generator)
        recipe = expression.recipe(EXPRESSIONS[number % len(EXPRESSIONS)], habits)
        units = expression.weights(recipe, 1.0, model.action_units, habits, generator)
        yaw = 45.0 * (number + 0.5) / count * (1 if number % 2 else -1)
        nod, roll = generator.uniform(-8.0, 8.0, 2)
        photo = photograph(
            model,
            model.shape(identity, model.mode_weights(units)),
            pose(*np.radians([yaw, nod, roll]), (0.0, 0.0, 0.0)),
            appearance.paint(atlas, generator, beard=bool(number % 4 == 1)),
            list(LIGHTS.values())[number % len(LIGHTS)],
            window=window,
            generator=generator,
        )
        points = photo.landmarks
        eyes = [(points[f"exocanthion_{side}"] + points[f"endocanthion_{side}"]) / 2 for side in ("right", "left")]
        mouth = (points["cheilion_left"] + points["cheilion_right"]) / 2
        yield photo.picture, np.array(eyes), mouth, abs(yaw)


def simulated(finders, photos, names):
    """Detection by yaw, false positives and errors of the eyes."""
    bands = " | ".join(f"{low} to {high}°" for low, high in BANDS)
    rows = [
        f"## {len(photos)} simulated photographs ({names})",
        "",
        f"| detector | found of {len(photos)} | {bands} | false positives | eye error, median | 95 % | ms a picture |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, finder in finders.items():
        hits, wrong, errors = [], 0, []
        start = time.process_time()
        detections = [finder(picture) for picture, *_ in photos]
        spent = (time.process_time() - start) / len(photos)
        for found, (_, eyes, mouth, _) in zip(detections, photos, strict=True):
            right = [face for face in found.faces if _holds(face.box, eyes, mouth)]
            hits.append(bool(right))
            wrong += len(found.faces) - len(right[:1])
            if right:
                apart = np.linalg.norm(eyes[1] - eyes[0])
                errors.append(np.linalg.norm(right[0].eyes - eyes, axis=1).mean() / apart)
        hits = np.array(hits)
        yaw = np.array([photo[3] for photo in photos])
        shares = " | ".join(f"{100 * hits[(low <= yaw) & (yaw < high)].mean():.1f} %" for low, high in BANDS)
        median, most = np.percentile(errors, [50, 95])
        rows.append(
            f"| {name} | {hits.sum()} ({100 * hits.mean():.1f} %) | {shares} | {wrong} | {median:.3f} | {most:.3f} "
            f"| {1e3 * spent:.0f} |"
        )
    return "\n".join(rows)


def _holds(box, eyes, mouth):
    middle = (eyes.mean(axis=0) + mouth) / 2
    unit = np.linalg.norm(eyes.mean(axis=0) - mouth)
    return bool((box[:2] < middle).all() and (middle < box[2:]).all() and box[2] - box[0] <= WIDEST * unit)


def speed(finders, photos):
    """Stages of the alignment chain, pictures a second on one core."""
    import io

    from PIL import Image

    from fer3d.formats.pictures import decode_picture
    from fer3d.image.align import align

    finder, pictures = finders["chain"], [picture for picture, *_ in photos]
    files = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=95)
        files.append(buffer.getvalue())
    spent = {}
    start = time.process_time()
    read = [decode_picture(file, Path("picture.jpg")).pixels for file in files]
    spent["read (jpeg, 320 x 320)"] = time.process_time() - start
    start = time.process_time()
    found = [finder(pixels) for pixels in read]
    spent["detect, 68 landmarks"] = time.process_time() - start
    start = time.process_time()
    for pixels, detection in zip(read, found, strict=True):
        if detection.face:
            align(pixels, detection.face.eyes)
    spent["align to 224 x 224"] = time.process_time() - start
    rows = ["## The alignment chain, one core", "", "| stage | ms a picture | pictures/s |", "|---|---|---|"]
    spent["all"] = sum(spent.values())
    for stage, seconds in spent.items():
        rows.append(f"| {stage} | {1e3 * seconds / len(files):.1f} | {len(files) / seconds:.0f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
