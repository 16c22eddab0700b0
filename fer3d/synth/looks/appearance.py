"""Appearance of a person: a `Look`, painted in the uv of the face model.

Colour is a function of the position on the neutral face. `fer3d.synth.looks.features` draws all features that have
outlines. Skin has a tone, blotches, pores, and warmer cheeks and nose; some people have freckles, moles, lines of age,
stubble or a beard; hair starts at a hairline. So any face model with uv and the 83 landmarks can be painted, whatever
the layout of its uv. Paint contains no light: see `fer3d.synth.optics.light`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, zoom

from fer3d.face.model import EYE, MOUTH, SKIN, FaceModel
from fer3d.kernels.raster import NO_JITTER, zbuffer
from fer3d.synth.looks import features
from fer3d.synth.looks.features import Array, blend, rgb
from fer3d.synth.optics.scene import Look

# Red, green, blue of skin from light to dark, hair and irises; lips as factors on the skin. Our choice.
_SKIN = np.array(
    [(242, 200, 174), (230, 182, 150), (212, 160, 126), (178, 122, 90), (132, 86, 62), (92, 60, 46)], float
)
_HAIR = np.array([(24, 20, 20), (36, 26, 22), (58, 40, 30), (84, 58, 40), (124, 92, 60), (150, 144, 140)], float)
_IRIS = np.array([(70, 44, 28), (48, 32, 24), (98, 84, 50), (88, 104, 84), (82, 112, 138), (112, 122, 124)], float)
_LIPS = np.array([(0.92, 0.66, 0.66), (0.88, 0.56, 0.56), (0.84, 0.60, 0.62), (0.94, 0.50, 0.52)])
_TEETH = rgb(222.0, 212.0, 196.0)


class Atlas(NamedTuple):
    """Position of each texel on a face model; compute it once per model.

    Attributes:
        place: (S, S, 3) float32. Point of the neutral face, mm; a texel off the face has that of the nearest texel.
        part: (S, S) uint8. SKIN, EYE, MOUTH or another part of the model.
        landmarks: Name -> (3,) float64 on the neutral face.
    """

    place: Array
    part: NDArray[np.uint8]
    landmarks: features.Landmarks


class _Person(NamedTuple):
    """Random properties of a person, which `paint` draws first."""

    skin: Array
    hair: Array
    iris: Array
    lips: Array
    lip_strength: float
    brow: features.Brow
    lashes: float
    freckles: float
    moles: int
    age: float
    stubble: float
    beard: float
    hairline: tuple[float, float, float, float]


def atlas(model: FaceModel, size: int = 512) -> Atlas:
    """Compute the position of each texel of a texture of `size` x `size` pixels on the neutral face of the model."""
    pixels = np.zeros((len(model.uv), 3))
    pixels[:, 0], pixels[:, 1] = model.uv[:, 0] * size - 0.5, (1.0 - model.uv[:, 1]) * size - 0.5
    face, bary = zbuffer(pixels, model.triangles, size, size, NO_JITTER)
    rows, columns = distance_transform_edt(face < 0, return_distances=False, return_indices=True)
    face, bary = face[rows, columns], bary[rows, columns].astype(np.float64)
    corner = model.triangles[face]
    place = np.einsum("hwk,hwkc->hwc", bary, model.neutral[corner]).astype(np.float32)
    return Atlas(place, model.part[face], model.landmark_points(model.neutral))


def paint(atlas: Atlas, generator: np.random.Generator, *, beard: bool = False) -> Look:
    """Paint the look of a person, without light.

    Args:
        atlas: Atlas of the face model.
        generator: Source of all random numbers; it determines the person.
        beard: Whether the person grows a beard, which may be shaved, stubble or full.
    """
    who = _person(generator, beard)
    canvas = features.drawn(atlas.landmarks, who.brow, who.lashes, generator)
    layer = {name: features.carried(drawing, atlas.place) for name, drawing in canvas.items()}
    image: Array = np.broadcast_to(who.skin.astype(np.float32), atlas.place.shape)
    image = _skin_detail(image, atlas, who, generator)
    image = blend(image, image * rgb(0.72, 0.62, 0.60), 0.7 * who.age * layer["lines"])
    image = blend(image, who.skin * who.lips, who.lip_strength * layer["lips"])
    image = blend(image, image * rgb(0.45, 0.30, 0.30), 0.8 * layer["lip_line"])
    image = blend(image, who.skin * 0.20, 0.85 * layer["nostrils"])
    image = blend(image, image * rgb(0.66, 0.56, 0.54), 0.6 * layer["crease"])
    image, hair = _hair(image, atlas, who, layer, generator)
    image = _eyes(image, atlas, who.iris, generator)
    image = blend(image, who.hair * 0.4, 0.9 * layer["lashes"])
    image = _mouth(image, atlas)
    image = image + np.float32(1.5) * generator.standard_normal((*image.shape[:2], 1), np.float32)
    colour = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    hair = np.maximum(hair, 0.7 * layer["lashes"])
    return Look(colour, _bytes(_gloss(atlas, layer, hair)), _bytes(hair))


def _bytes(share: Array) -> NDArray[np.uint8]:
    return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)


def _person(generator: np.random.Generator, beard: bool) -> _Person:
    tone = 5.0 * generator.beta(1.1, 1.6)
    skin = np.array([np.interp(tone, range(6), _SKIN[:, k]) for k in range(3)])
    skin = skin * generator.normal(1.0, 0.02, 3)
    # People with dark skin mostly have dark hair and eyes; grey hair (the last colour) is rare.
    fair = np.clip(1.2 - tone / 3.5, 0.0, 1.0)
    hair = _HAIR[int(generator.choice(6, p=_odds((2.0, 2.0, 2 * fair, 1.5 * fair, 1.2 * fair, 0.5))))]
    iris = _IRIS[int(generator.choice(6, p=_odds((2.0, 1.5, fair, fair**2, 1.5 * fair**3, fair**3))))]
    lips = _LIPS[int(generator.integers(len(_LIPS)))] * generator.normal(1.0, 0.03, 3)
    grown = generator.random()
    return _Person(
        skin=skin,
        hair=hair * generator.uniform(0.85, 1.15),
        iris=iris * generator.uniform(0.85, 1.15),
        lips=lips,
        lip_strength=float(generator.uniform(0.45, 0.9)),
        brow=features.Brow(
            float(generator.uniform(0.75, 1.15) + 0.25 * beard), float(generator.beta(2, 2) * 0.7 + 0.25 * beard)
        ),
        lashes=float(generator.uniform(0.1, 0.5) if beard else generator.uniform(0.3, 1.0)),
        freckles=float(max(generator.normal(-0.2, 0.6), 0.0) * fair),
        moles=int(generator.poisson(1.2)),
        age=float(generator.beta(1.2, 2.2)),
        stubble=float(generator.uniform(0.1, 0.8) * beard),
        beard=float(generator.uniform(0.5, 0.9) * (beard and grown < 0.25)),
        hairline=_hairline(generator),
    )


def _hairline(generator: np.random.Generator) -> tuple[float, float, float, float]:
    """Height in the middle, mm; fall to the temples, mm; depth of the bays (a factor); x of the middle, mm."""
    low, high = np.array([(86.0, 108.0), (10.0, 40.0), (-0.6, 1.3), (-14.0, 14.0)]).T
    top, fall, bays, parting = generator.uniform(low, high)
    return float(top), float(fall), float(bays), float(parting)


def _odds(weights: tuple[float, ...]) -> Array:
    return np.array(weights) / sum(weights)


def _cloud(size: int, cells: int, generator: np.random.Generator) -> Array:
    """(size, size): smooth, roughly standard normal noise of `cells` x `cells` cells."""
    return np.asarray(zoom(generator.standard_normal((cells, cells), np.float32), size / cells, order=1)[:size, :size])


def _skin_detail(image: Array, atlas: Atlas, who: _Person, generator: np.random.Generator) -> Array:
    """Paint blotches of several sizes, pores, warmer cheeks, nose and chin, greyer orbits, freckles and moles."""
    S = image.shape[0]
    for cells, amount in ((6, 0.025), (24, 0.02), (90, 0.02), (250, 0.018)):
        image = image * (1 + np.float32(amount) * _cloud(S, min(cells, S), generator))[..., None]
    red = np.float32(0.015) * _cloud(S, min(40, S), generator)
    image = image * (1 + red[..., None] * np.array([0.3, -1.0, -0.8]))
    x, y = np.abs(atlas.place[..., 0]), atlas.place[..., 1]
    strength = generator.uniform(0.5, 1.3)
    warm = 0.30 * _spot(x, y, 40, -4, 15, 15) + 0.34 * _spot(x, y, 0, 0, 12, 10) + 0.18 * _spot(x, y, 0, -68, 16, 10)
    image = blend(image, image * rgb(1.0, 0.76, 0.74), strength * warm)
    eye = atlas.landmarks["exocanthion_left"][1]
    tired = generator.uniform(0.15, 0.5)
    orbit = _spot(x, y, 27, eye - 9, 13, 6) + 0.6 * _spot(x, y, 22, eye + 6, 12, 6)
    image = blend(image, image * rgb(0.78, 0.70, 0.74), tired * np.clip(orbit, 0, 1))
    return _spots(image, atlas, who, generator)


def _spot(x: Array, y: Array, cx: float, cy: float, rx: float, ry: float) -> Array:
    return np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)


def _spots(image: Array, atlas: Atlas, who: _Person, generator: np.random.Generator) -> Array:
    """Paint freckles on nose and cheeks, and a few moles anywhere."""
    freckles = int(350 * who.freckles)
    at = np.stack([generator.normal(0.0, 30.0, freckles), generator.normal(8.0, 15.0, freckles)], axis=1)
    radius = generator.uniform(0.35, 0.9, freckles)
    moles = np.stack([generator.uniform(-60, 60, who.moles), generator.uniform(-75, 85, who.moles)], axis=1)
    centres = np.concatenate([at, moles])
    radii = np.concatenate([radius, generator.uniform(0.6, 1.5, who.moles)])
    dark = np.concatenate([generator.uniform(0.12, 0.4, freckles), generator.uniform(0.5, 0.8, who.moles)])
    weight = features.carried(features.dotted(centres, radii, dark), atlas.place)
    return blend(image, image * rgb(0.55, 0.38, 0.30), weight)


def _hair(
    image: Array, atlas: Atlas, who: _Person, layer: dict[str, Array], generator: np.random.Generator
) -> tuple[Array, Array]:
    """Paint brows, beard and head hair; return the image and (S, S) the share of each texel that hair covers."""
    S = image.shape[0]
    x, y, z = np.abs(atlas.place[..., 0]), atlas.place[..., 1], atlas.place[..., 2]
    fine, strands = _cloud(S, min(300, S), generator), _cloud(S, min(120, S), generator)
    skin = atlas.part == SKIN
    growth = _beard(x, y, float(atlas.landmarks["pogonion"][1])) * (1 - layer["lips"]) * skin
    dots = np.clip(0.55 + 0.45 * fine, 0.1, 1.0)
    image = blend(image, who.hair * 0.6 + image * 0.25, 0.5 * who.stubble * growth * dots)
    full = who.beard * np.clip(growth * 1.3 + 0.15 * strands, 0, 1) * (growth > 0.05)
    image = blend(image, who.hair * (1 + 0.2 * strands + 0.1 * fine)[..., None], full)
    top, fall, bays, parting = who.hairline
    off = np.abs(atlas.place[..., 0] - parting * _spot(x, 0.0 * y, 0, 0, 45, 1))
    line = top - fall * np.clip((off - 26.0) / 36.0, 0, None) ** 2
    line = line + 9.0 * bays * _spot(off, 0.0 * y, 36, 0, 14, 1)
    line = np.where((z < -84.0) & (x < 72.0), np.minimum(line, 12.0), line)  # sideburns
    line = np.where(x >= 72.0, 58.0, line)  # above the ears
    line = np.where((z < -122.0) & (x < 78.0), -30.0, line)  # behind them
    head = np.clip((y - line + 1.5 * strands + 1.0 * fine) / 5.0 + 0.4, 0, 1) * skin
    image = blend(image, who.hair * (1 + 0.22 * strands + 0.12 * fine)[..., None], 0.96 * head)
    image = blend(image, who.hair, 0.92 * layer["brows"])
    return image, np.max([head, layer["brows"], full, 0.35 * who.stubble * growth], axis=0)


def _beard(x: Array, y: Array, chin: float) -> Array:
    """(S, S): growth of a beard, 0 to 1, on jaw, chin and upper lip; not on cheeks, neck, or beside the lower lip."""
    edge = -22.0 + 0.55 * np.clip(x - 26, 0, None)
    jaw = 1 / (1 + np.exp((y - edge) / 3.0))
    bare = 0.75 * _spot(x, y, 17, -46, 7, 6) + 0.8 * _spot(x, y, 36, -30, 12, 12)
    shaved = 1 / (1 + np.exp(-(y - chin + 20.0 - 0.3 * x) / 3.5))
    return np.asarray(jaw * shaved * (1 - np.clip(bare, 0, 1)))


def _gloss(atlas: Atlas, layer: dict[str, Array], hair: Array) -> Array:
    """(S, S): gloss, 0 to 1: low on skin, higher on forehead and nose, high on lips and eyes; hair reduces it."""
    x, y = np.abs(atlas.place[..., 0]), atlas.place[..., 1]
    skin = 0.22 + 0.16 * _spot(x, y, 0, 8, 9, 25) + 0.12 * _spot(x, y, 0, 70, 35, 16)
    gloss = skin * (1 - 0.7 * hair)
    gloss = np.maximum(gloss, 0.50 * layer["lips"])
    gloss = np.where(atlas.part == MOUTH, 0.45, gloss)
    return np.where(atlas.part == EYE, 1.0, gloss)


def _eyes(image: Array, atlas: Atlas, iris: Array, generator: np.random.Generator) -> Array:
    ball = atlas.part == EYE
    for numbers in (range(1, 9), range(9, 17)):
        outline = features.points(atlas.landmarks, numbers)
        own = ball & (atlas.place[..., 0] * outline[0, 0] > 0)
        image[own] = features.eyeball(atlas.place[own], outline, iris, generator)
    return image


def _mouth(image: Array, atlas: Atlas) -> Array:
    """Paint the mouth dark red, darker with depth behind the lips; parts other than skin, eyes and mouth are teeth."""
    inside = atlas.part == MOUTH
    teeth = ~np.isin(atlas.part, (SKIN, EYE, MOUTH))
    image = np.where(teeth[..., None], _TEETH, image)
    if not inside.any():
        return image
    depth = np.clip((atlas.place[..., 2][inside].max() - atlas.place[..., 2]) / 14.0, 0, 1)[..., None]
    colour = rgb(120.0, 56.0, 52.0) * (1 - depth) + rgb(34.0, 14.0, 14.0) * depth
    return np.where(inside[..., None], colour, image)
