"""Pictures of the face model in `docs/`: every action unit, and six people with the textbook recipe of each emotion.

Every face is simulated; nobody's habits are in the pictures.

Run: python docs/figures/faces.py [MODEL.npz]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fer3d.face.load import builtin_face, load_face
from fer3d.prepare.drawing import BACKGROUND
from fer3d.scan import EXPRESSIONS
from fer3d.synth.acting import expression
from fer3d.synth.looks import appearance, wrinkles
from fer3d.synth.optics.light import LIGHTS, Lamp, Light
from fer3d.synth.optics.photograph import Lens, photograph
from fer3d.synth.optics.scene import Look, Window, pose

DOCS = Path(__file__).parents[1]
MIDDLE = 2.0  # y of the middle of the pictures, mm
LENS = Lens(blur=0.5, shot=0.0, read=0.0)  # noise would make the files large
INK = (225, 228, 232)
STUDIO = Light((Lamp(-0.5, 0.5, 0.62, size=0.15), Lamp(0.7, 0.25, 0.24, size=0.2)), (0.12, 0.12, 0.12), 0.5)
CLAY = Look(np.full((4, 4, 3), 205, np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8))
NAMES = {
    "AU1": "inner brow raiser",
    "AU2": "outer brow raiser",
    "AU4": "brow lowerer",
    "AU5": "upper lid raiser",
    "AU6": "cheek raiser",
    "AU7": "lid tightener",
    "AU9": "nose wrinkler",
    "AU10": "upper lip raiser",
    "AU11": "nasolabial deepener",
    "AU12": "lip corner puller",
    "AU13": "sharp lip puller",
    "AU14": "dimpler",
    "AU15": "lip corner depressor",
    "AU16": "lower lip depressor",
    "AU17": "chin raiser",
    "AU18": "lip pucker",
    "AU20": "lip stretcher",
    "AU22": "lip funneler",
    "AU23": "lip tightener",
    "AU24": "lip pressor",
    "AU25": "lips part",
    "AU26": "jaw drop",
    "AU27": "mouth stretch",
    "AU28": "lip suck",
    "AU29": "jaw thrust",
    "AU30_L": "jaw to the left",
    "AU30_R": "jaw to the right",
    "AU34": "cheek puff",
    "AU35": "cheek suck",
    "AU38": "nostril dilator",
    "AU39": "nostril compressor",
    "AU43": "eye closure",
}


def photo(model, shape, look, size, pixel):
    light = STUDIO if look is CLAY else LIGHTS["soft"]
    window = Window(-pixel * (size[1] - 1) / 2, pixel * (size[0] - 1) / 2 + MIDDLE, pixel, *size)
    return photograph(
        model, shape, pose(), look, light, window=window, lens=LENS, generator=np.random.default_rng(0)
    ).picture


def sheet(pictures, captions, columns, path, gap=4, line=18):
    """Pictures in rows, a caption over each; palette colours, so that the file stays small."""
    height, width = pictures[0].shape[:2]
    font = ImageFont.load_default(size=12)
    rows = -(-len(pictures) // columns)
    image = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap + line) - gap), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for k, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = k % columns * (width + gap), k // columns * (height + gap + line)
        draw.text((left + width // 2, top + line // 2), caption, INK, font, anchor="mm")
        image.paste(Image.fromarray(picture), (left, top + line))
    image.quantize(256, dither=Image.Dither.NONE).save(DOCS / path, optimize=True)


def action_units(model):
    size, pixel = (248, 176), 0.75
    pictures, captions = [photo(model, model.neutral, CLAY, size, pixel)], ["neutral"]
    for unit, name in NAMES.items():
        if unit in model.action_units or f"{unit}_L" in model.action_units:
            shape = model.shape(None, model.mode_weights({unit: 1.0}))
            pictures.append(photo(model, shape, CLAY, size, pixel))
            captions.append(f"{unit.replace('_', ' ')} {name}")
    sheet(pictures, captions, 7, "action_units.png")


def expressions(model):
    size, pixel = (170, 126), 1.1
    atlas = appearance.atlas(model)
    pictures, captions = [], []
    for subject in range(6):
        person = np.random.default_rng(subject + 10)
        identity = np.clip(person.normal(size=len(model.identity_modes)), -2.0, 2.0)
        look = appearance.paint(atlas, person, beard=subject % 2 == 1)
        lines = wrinkles.grown(atlas, person)
        for label in EXPRESSIONS:
            units = expression.weights(expression.recipe(label), 1.0, model.action_units)
            shape = model.shape(identity, model.mode_weights(units))
            skins = wrinkles.worn(look, lines, units), CLAY
            pictures.append(np.concatenate([photo(model, shape, skin, size, pixel) for skin in skins], axis=1))
            captions.append(label)
    sheet(pictures, captions, len(EXPRESSIONS), "expressions.png")


if __name__ == "__main__":
    face = load_face(sys.argv[1]) if len(sys.argv) > 1 else builtin_face()
    action_units(face)
    expressions(face)
