"""Action units do what FACS says: what moves, where to, how far, and that all else stays; lids close, lips part."""

from pathlib import Path

import numpy as np
import pytest

from fer3d.errors import ArgumentError
from fer3d.face.load import builtin_face, load_face
from fer3d.landmarks import bu83_names
from tests.mesh_checks import crossing, lip_lines, random_face, turned

ICT = Path(__file__).parents[2].parent / "shared" / "data" / "ict_facekit.npz"
X, Y, Z = 0, 1, 2

# BU numbers of landmarks that move together. Left, middle or both; the right side mirrors the left.
BROW, LIDS, CORNERS = (*range(17, 27),), (2, 3, 4, 6, 7, 8), (1, 5)
NOSE, WING, BASE = (37, 38), (39, 40, 41), (42, 43, 44)
MOUTH, MIDDLE, CHIN, JAW = (49, 50, 51, 59, 60, 61, 62, 68), (52, 58, 63, 67), (75, 76, 77), (73, 74)
ALL_MOUTH, ALL_JAW = (*range(49, 69),), (*range(71, 82),)

# Unit -> what must move (number, axis, sign), and what else may. Units with a side are told for the left.
FACS = {
    "AU1": (((17, Y, 1), (26, Y, 1)), BROW),
    "AU2": (((20, Y, 1), (21, Y, 1)), BROW),
    "AU4": (((17, Y, -1), (18, Y, -1), (18, X, -1), (26, Y, -1)), BROW + LIDS),
    "AU5": (((3, Y, 1),), LIDS),
    "AU6": (((7, Y, 1),), LIDS + BROW + CORNERS + NOSE + WING),
    "AU7": (((7, Y, 1),), LIDS),
    "AU9": (((40, Y, 1), (39, Y, 1), (17, Y, -1)), WING + BASE + NOSE + BROW + LIDS + MOUTH + MIDDLE),
    "AU10": (((51, Y, 1), (50, Y, 1)), WING + BASE + MOUTH + MIDDLE),
    "AU11": (((50, Y, 1),), MOUTH + WING + BASE + MIDDLE),
    "AU12": (((49, X, 1), (49, Y, 1), (50, Y, 1)), MOUTH + MIDDLE + WING + BASE),
    "AU13": (((49, Y, 1),), MOUTH + WING),
    "AU14": (((49, X, 1), (49, Z, -1)), MOUTH),
    "AU15": (((49, Y, -1),), MOUTH),
    "AU16": (((59, Y, -1), (58, Y, -1)), MOUTH + MIDDLE),
    "AU17": (((76, Y, 1), (58, Y, 1), (67, Y, 1), (63, Y, 1)), ALL_MOUTH + ALL_JAW),
    "AU18": (((49, X, -1), (55, X, 1), (52, Z, 1), (58, Z, 1)), ALL_MOUTH + BASE),
    "AU20": (((49, X, 1), (49, Z, -1)), MOUTH + MIDDLE + JAW),
    "AU22": (((52, Y, 1), (58, Y, -1), (52, Z, 1), (49, X, -1)), ALL_MOUTH + BASE),
    "AU23": (((52, Y, -1), (58, Y, 1)), ALL_MOUTH),
    "AU24": (((52, Y, -1), (58, Y, 1)), ALL_MOUTH),
    "AU25": (((63, Y, 1), (67, Y, -1), (58, Y, -1)), ALL_MOUTH),
    "AU26": (((76, Y, -1), (67, Y, -1), (58, Y, -1)), ALL_MOUTH + ALL_JAW),
    "AU27": (((76, Y, -1), (67, Y, -1), (58, Y, -1)), ALL_MOUTH + ALL_JAW),
    "AU28": (((52, Y, -1), (58, Y, 1), (63, Z, -1), (67, Z, -1)), ALL_MOUTH),
    "AU29": (((76, Z, 1), (58, Z, 1)), ALL_MOUTH + ALL_JAW),
    "AU30_L": (((76, X, 1), (58, X, 1)), ALL_MOUTH + ALL_JAW),
    "AU30_R": (((76, X, -1), (58, X, -1)), ALL_MOUTH + ALL_JAW),
    "AU34": (((49, Z, 1),), MOUTH + MIDDLE),
    "AU35": (((49, X, -1),), MOUTH),
    "AU38": (((40, X, 1),), WING),
    "AU39": (((40, X, -1),), WING),
    "AU43": (((3, Y, -1),), LIDS),
}
# A jaw that is stretched open goes further than 15 mm; the bound is meant for skin.
FURTHEST = {"AU27": 45.0, "AU26": 20.0}


@pytest.fixture(scope="module")
def builtin():
    return builtin_face()


@pytest.fixture(scope="module")
def ict():
    if not ICT.exists():
        pytest.skip("shared/data/ict_facekit.npz is not here")
    return load_face(ICT)


def change(model, unit, weight=1.0):
    """BU number -> (3,) mm that a unit moves it; a unit with sides on the left alone."""
    name = f"{unit}_L" if f"{unit}_L" in model.action_units else unit
    shape = model.shape(None, model.mode_weights({name: weight})) - model.neutral
    return {n: shape[model.landmarks[bu83_names(np.array([n]))[0]]] for n in range(1, 84)}


def both(model, unit):
    """BU number -> (3,) mm that a unit moves it on both sides, at weight 1."""
    shape = model.shape(None, model.mode_weights({unit: 1.0})) - model.neutral
    return {n: shape[model.landmarks[bu83_names(np.array([n]))[0]]] for n in range(1, 84)}


# What FACS says of a unit beyond the direction, on both sides: number, axis, least and most mm.
MUCH = {
    "AU1": ((17, Y, 7, 12), (26, Y, 4, 9)),  # the brow rises as a whole: its lower border too
    "AU2": ((19, Y, 6, 10), (21, Y, 5, 10), (17, Y, -1, 1)),
    "AU4": ((17, Y, -7, -3), (19, Y, -7, -3), (19, X, -6, -2), (17, X, -3, -1), (19, Z, 2, 7)),  # and bulges
    "AU9": ((40, Y, 5, 9), (52, Y, 2, 6), (63, Y, 1, 5)),  # the middle of the upper lip is pulled up
    "AU10": ((52, Y, 6, 10), (63, Y, 4, 10), (50, Y, 7, 13), (49, Y, 0, 4), (67, Y, -0.5, 0.5)),
    "AU15": ((49, Y, -10, -5), (49, X, 0, 4)),  # the mouth gets no narrower
    "AU16": ((67, Y, -8, -4), (58, Y, -10, -5), (49, Y, -1, 1), (63, Y, -0.5, 0.5)),  # the lips part
    "AU17": ((58, Y, 6, 10), (58, Z, 4, 9), (76, Y, 6, 10), (52, Y, 2, 6), (49, Y, -1, 2)),  # the lower lip protrudes
    "AU24": ((58, Y, 2, 6), (52, Y, -4, -1), (58, Z, -1, 2), (76, Y, -1, 1)),  # the chin stays
}


@pytest.mark.parametrize("unit", MUCH)
def test_how_far_both_sides_move(builtin, unit):
    moved = both(builtin, unit)
    for number, axis, least, most in MUCH[unit]:
        assert least <= moved[number][axis] <= most, (number, axis, moved[number])


def test_lips_part_by_the_upper_lip_raiser_and_close_by_the_chin_raiser(builtin):
    def widest(units):
        return lip_gap(builtin, builtin.shape(None, builtin.mode_weights(units))).max()

    assert widest({"AU10": 1.0}) > 4
    assert widest({"AU16": 1.0}) > 4
    assert widest({"AU17": 1.0}) < 0.5


def test_the_table_is_complete(builtin):
    bare = {name if name.startswith("AU30") else name.split("_")[0] for name in builtin.action_units}
    assert bare == set(FACS)
    assert len({name.split("_")[0] for name in builtin.action_units}) >= 28


@pytest.mark.parametrize("unit", FACS)
def test_what_should_move_does_and_the_rest_stays(builtin, unit):
    must, may = FACS[unit]
    moved = change(builtin, unit)
    for number, axis, sign in must:
        assert sign * moved[number][axis] >= 1.0, (number, moved[number])
    for number, step in moved.items():
        assert np.linalg.norm(step) <= FURTHEST.get(unit, 15.0), (number, step)
        if number not in may and number not in [n for n, _, _ in must]:
            assert np.linalg.norm(step) < 1.0, (number, step)


@pytest.mark.parametrize("unit", FACS)
def test_ict_moves_the_same_way(ict, unit):
    if unit not in ict.action_units and f"{unit}_L" not in ict.action_units:
        pytest.skip("ARKit has no counterpart: see fer3d.face.ict")
    moved = change(ict, unit)
    for number, axis, sign in FACS[unit][0]:
        assert sign * moved[number][axis] >= 0.7, (number, moved[number])
    assert max(np.linalg.norm(step) for step in moved.values()) <= FURTHEST.get(unit, 16.0)


@pytest.mark.parametrize("name", ["builtin", "ict"])
def test_a_unit_without_side_drives_both(request, name):
    model = request.getfixturevalue(name)
    assert model.mode_weights({"AU12": 0.5}) == model.mode_weights({"AU12_L": 0.5, "AU12_R": 0.5})
    assert model.mode_weights({"AU12_L": 0.5}) != model.mode_weights({"AU12_R": 0.5})
    assert model.mode_weights({"AU12": 0.5, "AU12_L": 0.25}) == model.mode_weights({"AU12_L": 0.75, "AU12_R": 0.5})


def test_unknown_units_are_named(builtin):
    with pytest.raises(ArgumentError, match="hold 'AU99'; it has AU10_L, AU10_R, AU11_L"):
        builtin.mode_weights({"AU99": 1.0})
    with pytest.raises(ArgumentError, match="hold 'mouthSmile_L'"):
        builtin.mode_weights({"mouthSmile_L": 1.0})


def test_closed_eyes_and_pressed_lips_win(builtin):
    assert builtin.mode_weights({"AU43_L": 1.0, "AU5_L": 0.8, "AU5_R": 0.8})["AU5_L"] == 0.0
    assert builtin.mode_weights({"AU43_L": 1.0, "AU5_L": 0.8, "AU5_R": 0.8})["AU5_R"] == 0.8
    assert builtin.mode_weights({"AU43": 0.5, "AU7": 0.6})["AU7_R"] == pytest.approx(0.3)
    assert builtin.mode_weights({"AU24": 0.75, "AU25": 1.0})["AU25"] == pytest.approx(0.25)
    assert builtin.mode_weights({"AU28": 1.0, "AU25": 1.0})["AU25"] == 0.0


def lid_gaps(model, shape):
    """(eyes, n) mm between the margins, upper less lower."""
    return [shape[lid.upper[0], 1] - shape[lid.lower, 1] for lid in model.lids]


def test_lids_close_on_every_face(builtin):
    generator = np.random.default_rng(0)
    for _ in range(60):
        identity, units = random_face(builtin, generator)
        shape = builtin.shape(identity, builtin.mode_weights(units | {"AU43_L": 1.0, "AU43_R": 1.0}))
        for lid in builtin.lids:
            distance = np.linalg.norm(shape[lid.upper[0]] - shape[lid.lower], axis=1)
            assert distance.max() < 0.5
        assert all(gap.min() > 0 for gap in lid_gaps(builtin, shape))


@pytest.mark.parametrize("units", [{"AU43": 1.0, "AU5": 1.0}, {"AU43": 1.0, "AU7": 1.0, "AU6": 1.0}, {"AU43": 1.3}])
def test_what_acts_on_closed_lids_does_not_cross_them(builtin, units):
    shape = builtin.shape(None, builtin.mode_weights(units))
    assert all(gap.min() > 0 and gap.max() < 0.5 for gap in lid_gaps(builtin, shape))
    assert crossing(shape, builtin.triangles).mean() < 1e-3


def test_half_closed_eyes_are_half_closed(builtin):
    """The share is that of the person's own opening."""
    for size in (-2.0, 2.0):
        identity = size * np.eye(len(builtin.identity_modes))[eye_opening()]
        open_eye = lid_gaps(builtin, builtin.shape(identity))[0]
        half = lid_gaps(builtin, builtin.shape(identity, {"AU43_R": 0.5}))[0]
        lower = builtin.lids[0].lower
        raised = 0.5 * builtin.expression_modes[builtin.expression_names.index("AU43_R"), lower, 1]
        assert np.allclose(half, np.maximum(0.5 * open_eye, 0.1), atol=1e-3 + raised.max())


def eye_opening():
    from fer3d.face.procedural.people import identity_names

    return identity_names().index("eye_opening")


def lip_gap(model, shape):
    """(n,) mm between the lips, the lower line's vertices to the upper's: same x in the neutral face."""
    upper, lower = lip_lines(model)
    return shape[upper, 1] - shape[lower, 1]


def test_lips_part_and_never_cross(builtin):
    upper, lower = lip_lines(builtin)
    assert len(upper) > 40
    assert (builtin.landmarks["bu83_63"], builtin.landmarks["bu83_67"]) in set(
        zip(upper.tolist(), lower.tolist(), strict=True)
    )
    parted = lip_gap(builtin, builtin.shape(None, builtin.mode_weights({"AU25": 1.0})))
    assert parted.max() > 3
    assert parted.min() > 0
    generator = np.random.default_rng(1)
    for _ in range(60):
        identity, units = random_face(builtin, generator)
        gap = lip_gap(builtin, builtin.shape(identity, builtin.mode_weights(units)))
        assert gap.min() > -0.01
    pressed = lip_gap(builtin, builtin.shape(None, builtin.mode_weights({"AU24": 1.0, "AU25": 1.0})))
    assert np.abs(pressed).max() < 0.3


def test_teeth_show_when_lips_part(builtin):
    """In front of the middle of the gap there is no skin; behind it are teeth, before the hollow of the mouth."""
    from fer3d.face.model import TEETH
    from fer3d.kernels.raster import NO_JITTER, zbuffer

    def seen(units):
        points = builtin.shape(None, builtin.mode_weights(units))
        pixels = np.stack([points[:, 0] + 30, -points[:, 1], points[:, 2]], axis=1) * 4
        face, _ = zbuffer(pixels, builtin.triangles, 240, 240, NO_JITTER)
        return np.bincount(builtin.part[face[face >= 0]], minlength=4)[TEETH]

    assert seen({}) == 0
    assert seen({"AU25": 1.0, "AU26": 0.5}) > 200


@pytest.mark.parametrize("seed", range(6))
def test_random_faces_neither_fold_over_nor_cross(builtin, seed):
    """60 of the 1,000 faces of `benchmarks/bm_face_model.py`."""
    folded, crossed = [], []
    for k in range(10):
        identity, units = random_face(builtin, np.random.default_rng(10 * seed + k))
        shape = builtin.shape(identity, builtin.mode_weights(units))
        folded.append(turned(builtin.shape(identity), shape, builtin.triangles).mean())
        crossed.append(crossing(shape, builtin.triangles).mean())
    assert np.mean(folded) < 1e-3
    assert np.mean(crossed) < 1e-3


def test_the_checks_see_what_they_should():
    points = np.array([[0, 0, 0], [4, 0, 0], [0, 4, 0], [1, 1, -1], [1, 1, 1], [2, 2, 3.0], [9, 9, 9]])
    triangles = np.array([[0, 1, 2], [3, 4, 5], [4, 5, 6]])
    assert crossing(points, triangles).tolist() == [True, True, False]
    assert not crossing(points[[0, 1, 2, 4, 5, 6]], np.array([[0, 1, 2], [3, 4, 5]])).any()
    over = points.copy()
    over[2] = [0, -4, 0]
    assert turned(points, over, triangles).tolist() == [True, False, False]


def has_fold(model, unit, place, radius=5.0):
    """How much rougher the surface gets about a place: rise of the mean bend of edges, radians."""
    near = np.hypot(*(model.neutral[:, :2] - place).T) < radius

    def bend(points):
        a, b, c = (points[model.triangles[:, k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        total = np.zeros((len(points), 3))
        for k in range(3):
            np.add.at(total, model.triangles[:, k], normal)
        count = np.bincount(model.triangles.ravel(), minlength=len(points))
        return np.arccos(np.clip(np.linalg.norm(total, axis=1) / np.maximum(count, 1), 0, 1))[near].mean()

    return bend(model.shape(None, model.mode_weights({unit: 1.0}))) - bend(model.neutral)


@pytest.mark.parametrize(
    ("unit", "place"),
    [
        ("AU1", (10, 74)),  # forehead lines
        ("AU2", (42, 74)),
        ("AU4", (5.5, 52)),  # furrow between the brows
        ("AU6", (54, 34)),  # crow's feet
        ("AU7", (31, 22)),  # bag below the lid
        ("AU9", (5, 32)),  # root of the nose
        ("AU10", (26, -14)),  # nasolabial fold
        ("AU11", (26, -14)),
        ("AU12", (31, -26)),
        ("AU14", (32, -36)),  # dimple
        ("AU15", (31, -46)),
        ("AU17", (6, -65)),  # chin
        ("AU24", (10, -28)),  # lip roll
    ],
)
def test_folds_appear(builtin, unit, place):
    assert has_fold(builtin, unit, place) > 0.01
