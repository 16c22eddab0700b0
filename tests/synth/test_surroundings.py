"""What surrounds a face: it joins the face, hides nothing that it should not, and has the sizes of real heads."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.ndimage import binary_fill_holes
from scipy.spatial import cKDTree

from fer3d.errors import ArgumentError
from fer3d.face.load import builtin_face, load_face
from fer3d.face.model import SKIN
from fer3d.kernels.shading import area_normals
from fer3d.synth.looks.bust import Build, Head, border, bust, ear
from fer3d.synth.optics.scene import SOLID, STRAND, around, pose, seen_from, set_up
from fer3d.synth.optics.visibility import BY_OCCLUDER, LIFT, exposed, visibility
from fer3d.synth.solids import merged
from fer3d.synth.surroundings import KINDS, surroundings
from tests.solids import is_closed, volume

MEASURED = Path(__file__).parents[2].parent / "shared" / "data" / "ict_facekit.npz"
EYES = ("exocanthion_left", "endocanthion_left", "exocanthion_right", "endocanthion_right")
NOSE = ("pronasale", "subnasale", "alare_left", "alare_right")
LIPS = ("labiale_superius", "labiale_inferius", "cheilion_left", "cheilion_right")
# Kinds that leave these landmarks of everybody free, seen from the front.
FREE = {
    "cranium": (*EYES, *NOSE, *LIPS, "pogonion"),
    "neck": (*EYES, *NOSE, *LIPS, "pogonion"),
    "shoulders": (*EYES, *NOSE, *LIPS, "pogonion"),
    "ears": (*EYES, *NOSE, *LIPS, "pogonion"),
    "short_hair": (*EYES, *NOSE, *LIPS, "pogonion"),
    "curls": (*NOSE, *LIPS, "pogonion"),
    "long_hair": (*EYES, *NOSE, *LIPS, "pogonion"),
    "bun": (*EYES, *NOSE, *LIPS, "pogonion"),
    "fringe": (*NOSE, *LIPS, "pogonion"),
    "beard": (*EYES, "pronasale"),
    "moustache": (*EYES, "pronasale", "pogonion"),
    "headband": (*EYES, *NOSE, *LIPS, "pogonion"),
    "cap": (*EYES, *NOSE, *LIPS, "pogonion"),
    "hood": (*EYES, *NOSE, *LIPS),
    "sunglasses": (*LIPS, "subnasale", "pogonion"),
    "goggles": (*LIPS, "subnasale", "pogonion"),
    "headphones": (*EYES, *NOSE, *LIPS, "pogonion"),
    "mask": EYES,
    "wall": (*EYES, *NOSE, *LIPS, "pogonion"),
    "chair": (*EYES, *NOSE, *LIPS, "pogonion"),
    "crumbs": (*EYES, *NOSE, *LIPS, "pogonion"),
}
HIDDEN = {"sunglasses": 2, "goggles": 4, "mask": 4, "beard": 1}  # at least so many of the 13 are hidden


@lru_cache(maxsize=2)
def model(name):
    if name == "builtin":
        return builtin_face()
    if not MEASURED.exists():
        pytest.skip("shared/data/ict_facekit.npz is not here")
    return load_face(MEASURED)


@lru_cache(maxsize=8)
def person(name, seed):
    """Model, face, and every kind of surrounding."""
    face = model(name)
    generator = np.random.default_rng(seed)
    shape = face.shape(np.clip(generator.normal(0, 1, len(face.identity_modes)), -2, 2))
    made = surroundings(face, shape, np.random.default_rng(seed), kinds=KINDS)
    return face, shape, {thing.kind: thing for thing in made}


MODELS = pytest.mark.parametrize("name", ["builtin", "measured"])
PEOPLE = pytest.mark.parametrize(("name", "seed"), [("builtin", 0), ("builtin", 1), ("measured", 0), ("measured", 1)])


def head(name, seed=0):
    face, shape, _ = person(name, seed)
    return Head(face, shape, Build.drawn(np.random.default_rng(seed)))


@MODELS
def test_every_kind_is_made_in_the_order_of_the_table_with_sound_meshes(name):
    _, shape, made = person(name, 0)
    names = {"EYE": "hand", "HAIR": "locks", "HAND": "hand"}
    order = ["bust"] + [kind for kind in KINDS if kind not in ("cranium", "neck", "shoulders")]
    if name == "measured":
        order.remove("ears")
    assert [names.get(kind, kind) for kind in made] == order
    for kind, thing in made.items():
        assert thing.points.dtype == np.float64
        assert thing.triangles.dtype == np.int32
        assert np.isfinite(thing.points).all()
        assert thing.triangles.min() >= 0
        assert len(np.unique(thing.triangles)) == len(thing.points) == len(thing.colour)
        assert set(np.unique(thing.part)) <= {SOLID, STRAND}
        assert len(thing.part) == len(thing.triangles)
        assert thing.colour.min() >= 0
        assert thing.colour.max() <= 255
        far = np.linalg.norm(thing.points - shape.mean(axis=0), axis=1).max()
        assert far < {"wall": 2600, "chair": 900, "crumbs": 900, "bust": 600}.get(kind, 420), (kind, far)


@pytest.mark.parametrize(("name", "seed"), [("builtin", 0), ("measured", 1)])
def test_nothing_stands_before_what_its_kind_leaves_free(name, seed):
    face, shape, made = person(name, seed)
    every = set(FREE["cranium"])
    for kind, thing in {**made, "cranium": made["bust"]}.items():
        got = visibility(set_up(face, shape, pose(), None, [thing])).landmarks
        hidden = [mark for mark in FREE.get(kind, ()) if got[mark] == BY_OCCLUDER]
        assert not hidden, (kind, hidden)
        assert sum(got[mark] == BY_OCCLUDER for mark in every) >= HIDDEN.get(kind, 0), kind


@PEOPLE
def test_the_bust_hides_no_part_of_the_face_from_the_front(name, seed):
    face, shape, _ = person(name, seed)
    own = head(name, seed)
    points, triangles = bust(own, ("cranium", "neck"))
    skin = np.unique(face.triangles[face.part == SKIN])
    in_ear = (np.abs(shape[skin, 0]) > 0.85 * own.half) & (np.abs(shape[skin, 1] - own.eye + 15.0) < 50.0)
    skin = skin[~(in_ear & own.has_ears)]  # which the bust may fill
    inner = skin[cKDTree(shape[border(face)]).query(shape[skin])[0] > 2.0]
    normals = area_normals(shape, face.triangles)[inner]
    lifted = shape[inner] + LIFT * normals
    free = (normals[:, 2] > 0.08) & (exposed(shape, face.triangles, lifted) > 0.5)
    hidden = free & (exposed(points, triangles, lifted) <= 0.5)
    assert not hidden.any(), f"{hidden.sum()} vertices are hidden, such as {shape[inner[hidden]][:3]}"


@PEOPLE
def test_the_bust_passes_through_the_border_of_the_face(name, seed):
    face, shape, made = person(name, seed)
    points, triangles = made["bust"].points, made["bust"].triangles
    loop = shape[border(face)]
    _, near = cKDTree(points[triangles].mean(axis=1)).query(loop, k=24)
    closest = trimesh.triangles.closest_point(points[triangles[near.ravel()]], np.repeat(loop, 24, axis=0))
    step = np.linalg.norm(closest.reshape(-1, 24, 3) - loop[:, None], axis=2).min(axis=1)
    assert np.median(step) < 0.5
    assert np.quantile(step, 0.95) < 2.0
    assert step.max() < 8.0  # behind an ear


@PEOPLE
def test_there_is_no_gap_between_face_and_bust_from_any_side(name, seed):
    face, shape, made = person(name, seed)
    points, triangles = merged([(shape, face.triangles), (made["bust"].points, made["bust"].triangles)])
    for azimuth in np.radians([-135, -90, -60, -30, 0, 30, 60, 90, 135, 180]):
        plane = seen_from(points, np.array([np.sin(azimuth), 0.15, np.cos(azimuth)]))
        window = around(plane, 1.5)
        seen, alone = (window.render(plane, rows)[0] >= 0 for rows in (triangles, face.triangles))
        own = binary_fill_holes(alone) & ~alone  # the models are open at the corners of the eyes
        assert not (binary_fill_holes(seen) & ~seen & ~own).any(), np.degrees(azimuth)


@MODELS
def test_a_head_with_its_neck_has_the_size_of_a_real_one(name):
    for seed in range(3):
        face = model(name)
        own = Head(face, face.neutral, Build.drawn(np.random.default_rng(seed)))
        points, triangles = merged([(face.neutral, face.triangles), bust(own, ("cranium", "neck"))])
        low = own.chin[1] - 10.0
        above = points[points[:, 1] > low]
        assert 205 < np.ptp(above[:, 1]) < 275  # chin to crown
        assert 135 < np.ptp(above[np.abs(above[:, 1] - own.eye) > 40.0][:, 0]) < 180
        assert 170 < np.ptp(above[above[:, 1] > own.eye + 20][:, 2]) < 225
        # The volume by Gauss's theorem is that of the head and neck, though their sheets overlap by a few mm.
        assert 3.5e6 < volume(points, triangles) < 7.5e6


def test_an_ear_has_the_size_and_the_relief_of_a_real_one():
    for seed in range(4):
        points, triangles = ear(64.0, 0.0, np.random.default_rng(seed))
        assert is_closed(triangles)
        assert volume(points, triangles) > 0
        assert np.ptp(points[:, 1]) == pytest.approx(64.0, rel=0.08)
        assert 28 < np.ptp(points[:, 2]) < 42
        plane = seen_from(points, np.array([1.0, 0.0, 0.0]))  # x of the plane is -z
        window = around(plane, 1.0)
        face, _ = window.render(plane, triangles)

        def outwards(y, z, window=window, face=face, points=points, triangles=triangles):
            column, row, _ = window.pixels(np.array([[-z, y, 0.0]])).round().astype(int)[0]
            return points[triangles[face[row, column]], 0].mean()

        z = -0.16 * 64
        concha, helix = outwards(-0.06 * 64, z + 1.0), outwards(0.465 * 64, z - 6.4)
        assert helix - concha > 4.0


def test_both_ears_are_closed_stand_away_and_mirror_each_other():
    _, shape, made = person("builtin", 0)
    ears = made["ears"]
    assert is_closed(ears.triangles)
    assert volume(ears.points, ears.triangles) > 0
    left = ears.points[:, 0] > 0
    assert left.sum() * 2 == len(left)
    assert np.ptp(ears.points[left], axis=0) == pytest.approx(np.ptp(ears.points[~left], axis=0), rel=0.3)
    assert ears.points[left, 0].max() > np.abs(shape[:, 0]).max() + 8.0
    assert ears.points[left, 0].min() < np.abs(shape[:, 0]).max()  # no gap to the head


def test_closed_things_are_closed_and_wound_outwards():
    _, _, made = person("builtin", 0)
    for kind in ("mask", "phone", "cup", "wall", "chair", "crumbs", "headphones", "headset", "neck_scarf"):
        assert is_closed(made[kind].triangles), kind
        assert volume(made[kind].points, made[kind].triangles) > 0, kind


@MODELS
def test_hair_and_beards_lie_outside_the_skin(name):
    face, shape, made = person(name, 0)
    skin = trimesh.Trimesh(shape, face.triangles[face.part == SKIN], process=False)
    tree = cKDTree(shape)
    for kind in ("beard", "moustache", "fringe"):
        points = made[kind].points
        distance, near = tree.query(points)
        height = ((points - shape[near]) * skin.vertex_normals[near]).sum(axis=1)
        assert (height[distance < 15] > -3.5).mean() > 0.98, kind
        assert height.max() > 2.0, kind


def test_the_room_lies_behind_the_head_and_crumbs_around_it():
    for seed in range(6):
        face = model("builtin")
        own = Head(face, face.neutral, Build.drawn(np.random.default_rng(seed)))
        wall, crumbs = surroundings(face, face.neutral, np.random.default_rng(seed), kinds=("crumbs", "wall"))
        middle = np.hypot(wall.points[:, 0], wall.points[:, 1]) < 250
        assert wall.points[middle, 2].max() < own.centre[2] - own.radii[2] + 35.0  # sizes are drawn anew
        assert 800 < np.ptp(wall.points[:, 0]) < 2500
        count = len(crumbs.points) // 6
        assert 50 <= count <= 150
        size = np.ptp(crumbs.points.reshape(count, 6, 3), axis=1).max(axis=1)
        assert size.min() > 0.8
        assert size.max() < 16.0
        assert np.linalg.norm(crumbs.points - own.centre, axis=1).max() < 730.0


def test_the_same_numbers_make_the_same_bytes_whatever_else_is_asked_for():
    face = model("builtin")

    def made(kinds, seed=7):
        things = surroundings(face, face.neutral, np.random.default_rng(seed), kinds=kinds)
        return {thing.kind: thing.points.tobytes() + thing.triangles.tobytes() for thing in things}

    first = made(["cranium", "ears", "curls", "phone"])
    assert first == made(["phone", "curls", "ears", "cranium"])
    assert first["curls"] == made({"curls"})["curls"]
    assert first["phone"] == made({"phone", "wall", "beard"})["phone"]
    assert first["phone"] != made({"phone"}, seed=8)["phone"]


def test_what_is_no_kind_is_refused():
    face = model("builtin")
    with pytest.raises(ArgumentError, match="kinds"):
        surroundings(face, face.neutral, np.random.default_rng(0), kinds=["wig"])
    with pytest.raises(ArgumentError, match="`shape` should have shape"):
        surroundings(face, face.neutral[:9], np.random.default_rng(0), kinds=["cap"])
    assert all(kind.description and "\n" not in kind.description for kind in KINDS.values())
