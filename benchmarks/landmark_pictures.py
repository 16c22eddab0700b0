"""Sheets of scans with the points that `find_landmarks` places, for looking at: a row a kind of difficulty."""

import numpy as np
from landmark_peers import PIXEL, PIXELS, as_filed, from_front, projected
from landmark_scans import HARD, KINDS, face_scan, turned
from landmark_trials import degrees, ibug, placed, simulator

_TILES = 8  # of a row
_DOCS_TILES, _DOCS_PIXELS, _DOCS_COLOURS = 6, 208, 96  # of the sheet of the docs
_FOUND, _TRUE = (255, 60, 40), (40, 220, 60)


def sheets(folder, models, seed, network):
    """Write a sheet of each face model, and one of things; gives a line for each."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        rows = [
            np.concatenate([_tile(model, kind, number, seed, network) for number in range(_TILES)], axis=1)
            for kind in (*KINDS, *HARD)
        ]
        path = folder / f"landmarks {name}.png".replace(" ", "_")
        Image.fromarray(np.concatenate(rows)).save(path)
        yield f"- {path.name}: found points red, true ones that the scan shows green; rows: {', '.join(rows_of())}."
    path = folder / "landmarks_things.png"
    Image.fromarray(_things(seed, network)).save(path)
    yield f"- {path.name}: things that are no faces, along z; in words, the probability of a face."


def docs_sheet(path, seed, network):
    """Write a small sheet of the built-in face, a row a kind, as the scans come, failures too."""
    from PIL import Image

    size = (_DOCS_TILES * _DOCS_PIXELS, len(rows_of()) * _DOCS_PIXELS)
    sheet = Image.new("RGB", size)
    for row, kind in enumerate(rows_of()):
        for column in range(_DOCS_TILES):
            tile = Image.fromarray(_tile("", kind, column, seed, network)).resize((_DOCS_PIXELS, _DOCS_PIXELS))
            sheet.paste(tile, (column * _DOCS_PIXELS, row * _DOCS_PIXELS))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(_DOCS_COLOURS).save(path, optimize=True)


def _things(seed, network):
    """Rows of things, a kind each, with the probability that each is a face."""
    from PIL import Image, ImageDraw

    from fer3d.synth.things import KINDS as THINGS
    from fer3d.train.landmarks.simulate import of_thing

    rows = []
    for k, kind in enumerate(THINGS):
        tiles = []
        for number in range(_TILES):
            generator = np.random.default_rng([seed, k, number])
            scan = next(of_thing(kind, generator))
            words, _ = _found(scan, placed(generator), network)
            picture = Image.fromarray(as_filed(scan).picture[::2, ::2])
            ImageDraw.Draw(picture).text((4, 2), f"{kind}: {words.split(',')[0]}", fill=(255, 255, 0), font_size=15)
            tiles.append(np.asarray(picture))
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows)


def rows_of():
    """Names of the rows."""
    return (*KINDS, *HARD)


def _tile(model, kind, number, seed, network):
    """A scan from the front at its true pose, its points, and what was found in words."""
    from PIL import Image, ImageDraw

    from fer3d.errors import PrepareError

    generator = np.random.default_rng([seed, rows_of().index(kind), number])
    try:
        scan = face_scan(simulator(model, seed), kind, turned(kind, generator), generator)
    except PrepareError:
        return np.zeros((PIXELS, PIXELS, 3), np.uint8)
    render = from_front(scan)
    picture = Image.fromarray(render.picture)
    pen = ImageDraw.Draw(picture)
    words, points = _found(scan, placed(generator), network)
    for spots, colour in ((scan.points[ibug()][scan.measured[ibug()]], _TRUE), (points, _FOUND)):
        for x, y in projected(render, scan.rotation, scan.tip, PIXEL, spots):
            pen.ellipse([x - 2, y - 2, x + 2, y + 2], fill=colour)
    pen.text((4, 2), f"{kind}: {words}", fill=(255, 255, 0), font_size=15)
    return np.asarray(picture)


def _found(scan, placing, network):
    """What was found, in words, and the points of iBUG 68 that are placed, in the frame of the scan."""
    from fer3d.errors import PrepareError
    from fer3d.prepare.landmarks.found import find_landmarks
    from fer3d.scan import Scan

    rotation, unit = placing
    filed = Scan.of((unit * scan.vertices.astype(float) @ rotation.T).astype(np.float32), scan.faces)
    try:
        found = find_landmarks(filed, detector=network, refuse=False)
    except PrepareError:
        return "nothing", np.empty((0, 3))
    linear = found.pose[:3, :3]
    nose = np.linalg.solve(linear, -found.pose[:3, 3]) @ rotation / unit
    turn = degrees(linear / np.cbrt(np.linalg.det(linear)) @ rotation @ scan.rotation.T)
    points = found.positions[ibug()] @ rotation / unit
    words = f"p {found.probability:.2f}, {np.linalg.norm(nose - scan.tip):.1f} mm, {turn:.0f} deg"
    return words, points[np.isfinite(points).all(axis=1)]
