"""What a raw scan holds besides a face: the rest of the head, hair, clothes, things in front, and the room.

Everything fits the shape of a face of any model that has an open border, such as the built-in one and ICT-FaceKit.

Convention: mm, frame of the face model. Sizes are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fer3d.checks import check_choice, check_shape
from fer3d.face.model import FaceModel
from fer3d.synth.looks import growth, worn
from fer3d.synth.looks.bust import Build, Head, bust, ears
from fer3d.synth.looks.occluders import occluder
from fer3d.synth.optics.scene import SOLID, Look, Occluder
from fer3d.synth.solids import Array, Mesh, Waves, box, capsule, moulded

Generator = np.random.Generator
Maker = Callable[[Head, Generator, Look | None], Occluder | Mesh]

_SKIN_COLOUR = np.array([196.0, 150.0, 124.0])
_HAIR_COLOURS = np.array([(24, 20, 20), (60, 42, 32), (104, 74, 50), (150, 118, 76), (150, 146, 142)], float)
_BODY = ("cranium", "neck", "shoulders")


class Kind(NamedTuple):
    """A kind of surrounding: what it is, in one line, what colour it has, and the function that makes it."""

    description: str
    colour: str
    make: Maker


def surroundings(
    model: FaceModel,
    shape: NDArray[np.float64],
    generator: np.random.Generator,
    *,
    kinds: Collection[str],
    look: Look | None = None,
) -> list[Occluder]:
    """Make what surrounds a face.

    Args:
        model: The face model; its skin has an open border.
        shape: (V, 3) float64. The face, see `FaceModel.shape`.
        generator: Source of random sizes and places. One number is drawn from it, so that adding a kind leaves the
            others as they are.
        kinds: Names in `KINDS`. The cranium, neck and shoulders among them make one surface, which continues the face.
            Ears are left out where the model has ears.
        look: Look of the person: hands and the bust have the colour of their skin. None: random colours.

    Returns:
        The objects in the order of `KINDS`, whatever the order of `kinds`; closed but for the bust and coats of hair
        and cloth, whose edges lie below the skin. Every triangle is counter-clockwise seen from outside.

    Raises:
        ArgumentError: if a kind is unknown, the shape does not belong to the model, or its border is closed.
    """
    check_choice("kinds", list(kinds), KINDS)
    check_shape("shape", shape, model.neutral.shape)
    seed = int(generator.integers(2**63))
    head = Head(model, shape, Build.drawn(np.random.default_rng([seed, 0])))
    skin = _SKIN_COLOUR if look is None else np.median(look.colour[look.hair < 8], axis=0)
    hair = _HAIR_COLOURS[int(np.random.default_rng([seed, 1]).integers(len(_HAIR_COLOURS)))]
    made = []
    body = tuple(kind for kind in _BODY if kind in kinds)
    if body:
        made.append(_occluder("bust", bust(head, body), skin, 0.1))
    for number, (name, kind) in enumerate(KINDS.items()):
        if name not in kinds or name in _BODY or (name == "ears" and head.has_ears):
            continue
        own = np.random.default_rng([seed, 2 + number])
        colour = {"skin": skin, "hair": hair}.get(kind.colour, own.uniform(30.0, 220.0, 3))
        thing = kind.make(head, own, look)
        made.append(thing if isinstance(thing, Occluder) else _occluder(name, thing, colour, 0.1))
    return made


def _occluder(kind: str, mesh: Mesh, colour: Array, gloss: float) -> Occluder:
    points, triangles = mesh
    colours = np.broadcast_to(colour, points.shape).copy()
    return Occluder(kind, points, triangles, np.full(len(triangles), SOLID, np.uint8), colours, gloss)


def _plain(make: Callable[[Head, Generator], Mesh]) -> Maker:
    """A maker that does not ask for the look."""
    return lambda head, generator, look: make(head, generator)


def _body(head: Head, generator: Generator) -> Mesh:
    """The whole bust; `surroundings` makes the parts that are asked for as one surface."""
    return bust(head, _BODY)


def _locks(head: Head, generator: Generator, look: Look | None) -> Occluder:
    return occluder("HAIR", head.model, head.shape, generator, look)


def _wall(head: Head, generator: Generator) -> Mesh:
    """A wall behind the head: flat, tilted or wavy, 0.8 to 2.4 m wide."""
    half, high = generator.uniform(400.0, 1200.0), generator.uniform(400.0, 1000.0)
    away = head.centre[2] - head.radii[2] - generator.uniform(60.0, 600.0)
    kind = generator.random()
    x, y = np.meshgrid(np.arange(-half, half, 24.0), np.arange(high, -high, -24.0))
    z = np.zeros(x.shape)
    if kind > 0.35:
        z = z + np.tan(generator.uniform(-0.35, 0.35)) * x + np.tan(generator.uniform(-0.25, 0.25)) * y
    if kind > 0.7:
        waves = Waves.drawn(generator, generator.uniform(120.0, 500.0), (1, 4, 1))
        flat = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3)
        z = z + generator.uniform(3.0, 25.0) * waves(flat).reshape(x.shape)
    z += away - max(float(z[(np.abs(x) < 250) & (np.abs(y) < 250)].max()), 0.0)
    z = np.minimum(z, away + 0.6 * np.maximum(np.hypot(x, y) - 250.0, 0.0))
    shift = generator.uniform(-0.4, 0.4, 2) * (half, high)
    x, y = x + shift[0], y + shift[1]
    return growth.plate(np.stack([x, y, z - 20.0], axis=-1), np.array([0.0, 0.0, 20.0]))


def _chair(head: Head, generator: Generator) -> Mesh:
    """The back of a chair behind the shoulders, padded or of slats, some with a headrest."""
    at = np.array([generator.normal(0.0, 25.0), head.chin[1] - generator.uniform(90.0, 260.0), 0.0])
    at[2] = head.centre[2] - head.radii[2] - generator.uniform(25.0, 140.0)
    half = np.array([generator.uniform(170.0, 290.0), generator.uniform(120.0, 230.0), generator.uniform(12.0, 40.0)])
    turn = Rotation.from_euler("yx", [generator.normal(0.0, 0.15), generator.uniform(-0.3, 0.05)]).as_matrix()
    if generator.random() < 0.5:
        parts = [box(at, half, 0.9 * half[2], turn)]
        if generator.random() < 0.5:
            rest = at + turn @ np.array([0.0, half[1] + generator.uniform(60.0, 130.0), 0.0])
            parts += [box(rest, (0.5 * half[0], 55.0, half[2]), 0.9 * half[2], turn)]
            parts += [capsule(at + turn @ np.array([s * 40.0, half[1], 0.0]), rest, 8.0) for s in (-1.0, 1.0)]
    else:
        count = int(generator.integers(4, 8))
        places = np.linspace(-1, 1, count)
        parts = [box(at + turn @ np.array([p * half[0], 0, 0]), (12.0, half[1], 8.0), 6.0, turn) for p in places]
        parts.append(box(at + turn @ np.array([0, half[1], 0]), (half[0] + 14.0, 24.0, 11.0), 9.0, turn))
    return moulded(parts, step=7.0, smooth=14.0)


def _crumbs(head: Head, generator: Generator) -> Mesh:
    """50 to 150 crumbs of a few mm, up to 0.7 m around the head but not in front of the face."""
    count = int(generator.integers(50, 151))
    way = generator.normal(size=(4 * count, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    centre = head.centre + way * generator.uniform(150.0, 700.0, (4 * count, 1))
    in_front = (centre[:, 2] > head.centre[2]) & (np.hypot(centre[:, 0], centre[:, 1] - head.eye + 20.0) < 150.0)
    centre = centre[~in_front][:count]
    corner = np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)], float)
    rows = np.array([(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)])
    size = generator.uniform(1.0, 5.0, (len(centre), 1, 1)) * generator.uniform(0.5, 1.5, (len(centre), 6, 1))
    points = centre[:, None] + size * corner
    triangles = 6 * np.arange(len(centre))[:, None, None] + rows
    return points.reshape(-1, 3), triangles.reshape(-1, 3).astype(np.int32)


KINDS: dict[str, Kind] = {
    "cranium": Kind("the top, sides and back of the head", "skin", _plain(_body)),
    "neck": Kind("the neck", "skin", _plain(_body)),
    "shoulders": Kind("shoulders and chest, some with a collar", "skin", _plain(_body)),
    "ears": Kind("ears with helix, antihelix, tragus, concha and lobe", "skin", _plain(ears)),
    "short_hair": Kind("short straight hair", "hair", _plain(growth.short_hair)),
    "curls": Kind("thick curly hair", "hair", _plain(growth.curls)),
    "long_hair": Kind("hair to the neck, the shoulders or the back", "hair", _plain(growth.long_hair)),
    "bun": Kind("hair tied back into a bun", "hair", _plain(growth.bun)),
    "fringe": Kind("a fringe over the forehead, some over the brows", "hair", _plain(growth.fringe)),
    "locks": Kind("single locks over the forehead and an eye", "hair", _locks),
    "beard": Kind("a beard, short or long", "hair", _plain(growth.beard)),
    "moustache": Kind("a moustache", "hair", _plain(growth.moustache)),
    "headband": Kind("a narrow or wide band around the head", "own", _plain(growth.headband)),
    "cap": Kind("a cap with a peak, or a knitted cap", "own", _plain(growth.cap)),
    "hood": Kind("a hood or headscarf around the face", "own", _plain(growth.hood)),
    "sunglasses": Kind("spectacles whose lenses are measured as surface", "own", worn.sunglasses),
    "goggles": Kind("goggles or a visor, with a strap", "own", _plain(worn.goggles)),
    "headphones": Kind("headphones over the ears", "own", _plain(worn.headphones)),
    "headset": Kind("headphones with a microphone", "own", _plain(worn.headset)),
    "mask": Kind("a surgical mask over nose and mouth", "own", _plain(worn.mask)),
    "neck_scarf": Kind("a scarf around the neck", "own", _plain(worn.neck_scarf)),
    "phone": Kind("a phone near the cheek or the ear", "own", _plain(worn.phone)),
    "cup": Kind("a cup before the mouth or beside the chin", "own", _plain(worn.cup)),
    "hand": Kind("a hand beside the cheek or under the chin", "skin", worn.hand),
    "wall": Kind("a flat, tilted or wavy wall behind", "own", _plain(_wall)),
    "chair": Kind("the back of a chair", "own", _plain(_chair)),
    "crumbs": Kind("50 to 150 crumbs of a few mm around the head", "own", _plain(_crumbs)),
}  # fmt: skip
"""Name -> kind, in the order in which `surroundings` makes them."""
