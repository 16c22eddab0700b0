"""Fine folds that come with action units: where they run, from when on, and that only pictures show them."""

import filecmp
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer3d import synth
from fer3d.errors import ArgumentError
from fer3d.face.load import builtin_face, load_face
from fer3d.face.model import SKIN
from fer3d.synth.capture import capture
from fer3d.synth.looks import appearance, wrinkles
from fer3d.synth.optics import photograph
from fer3d.synth.optics.camera import Camera
from fer3d.synth.optics.light import Light
from fer3d.synth.optics.scene import Look, around, pose, set_up

ICT = Path(__file__).parents[3] / "shared" / "data" / "ict_facekit.npz"
# Unit -> box on the left half of a face between landmarks: x from and to, y from and to, each a landmark and an offset.
PLACES = {
    "AU1": ((("pronasale", -4), ("bu83_17", 22)), (("bu83_17", 2), ("bu83_17", 27))),
    "AU4": ((("pronasale", -4), ("bu83_17", 4)), (("endocanthion_left", 2), ("bu83_17", 15))),
    "AU6": ((("endocanthion_left", -2), ("exocanthion_left", 22)), (("bu83_07", -14), ("exocanthion_left", 16))),
    "AU12": ((("alare_left", -4), ("exocanthion_left", 22)), (("cheilion_left", -14), ("exocanthion_left", 10))),
    "AU15": ((("cheilion_left", -3), ("cheilion_left", 12)), (("cheilion_left", -25), ("cheilion_left", 3))),
    "AU17": ((("pronasale", -4), ("cheilion_left", 0)), (("pogonion", -13), ("labiale_inferius", 0))),
}


@pytest.fixture(scope="module", params=["builtin", "ict"])
def model(request):
    if request.param == "builtin":
        return builtin_face()
    if not ICT.is_file():
        pytest.skip("ICT-FaceKit is not here")
    return load_face(ICT)


@pytest.fixture(scope="module")
def atlas(model):
    return appearance.atlas(model, 256)


@pytest.fixture(scope="module")
def lines(atlas):
    return wrinkles.grown(atlas, np.random.default_rng(1))


def plain(atlas, value=180):
    return Look.plain(np.full((*atlas.part.shape, 3), value, np.uint8))


def shown(atlas, lines, **units):
    return wrinkles.worn(plain(atlas), lines, units).wrinkles


def bound(atlas, where, axis):
    name, offset = where
    return atlas.landmarks[name][axis] + offset


@pytest.mark.parametrize("unit", PLACES)
def test_lines_run_where_the_manual_says(atlas, lines, unit):
    dark = shown(atlas, lines, **{unit: 1.0})
    at = atlas.place[(dark > 0.4 * dark.max()) & (atlas.place[..., 0] > -3)]
    assert dark.max() > 20
    for axis in (0, 1):
        low, high = (bound(atlas, where, axis) for where in PLACES[unit][axis])
        assert low < at[:, axis].min()
        assert at[:, axis].max() < high


def test_a_side_has_lines_of_its_own(atlas, lines):
    left, right, both = (shown(atlas, lines, **units) for units in ({"AU12_L": 1.0}, {"AU12_R": 1.0}, {"AU12": 1.0}))
    x = atlas.place[..., 0]
    assert not left[x < -3].any()
    assert not right[x > 3].any()
    assert np.array_equal(np.maximum(left, right)[np.abs(x) > 3], both[np.abs(x) > 3])


def test_they_come_at_a_weight_and_deepen_with_it(atlas, lines):
    totals = [float(shown(atlas, lines, AU4=weight).sum()) for weight in (0.0, 0.09, 0.5, 0.8, 1.2)]
    assert totals[:2] == [0.0, 0.0]
    assert totals[2] < totals[3] < totals[4]
    assert not shown(atlas, lines, AU5=1.0, AU26=1.0).any()  # units without lines


def test_two_units_darken_as_two_filters_do(atlas, lines):
    """What is left of the light is the product of what each leaves."""
    one, other, both = (
        shown(atlas, lines, **dict.fromkeys(units, 1.0)) / 255.0 for units in (("AU6",), ("AU12",), ("AU6", "AU12"))
    )
    assert ((one > 0) & (other > 0)).any()
    assert np.abs((1 - one) * (1 - other) - (1 - both)).max() < 1.6 / 255


def test_people_differ_and_each_is_the_same_again(atlas, lines):
    again, other = (wrinkles.grown(atlas, np.random.default_rng(seed)) for seed in (1, 2))
    assert lines.keys() == again.keys() == other.keys()
    assert all(np.array_equal(lines[unit].depth, again[unit].depth) for unit in lines)
    assert not np.array_equal(shown(atlas, lines, AU4=1.0), shown(atlas, other, AU4=1.0))
    bare = wrinkles.grown(atlas, np.random.default_rng(1), depth=0.0)
    assert not shown(atlas, bare, **dict.fromkeys(bare, 1.0)).any()


def test_only_skin_has_them(atlas, lines):
    dark = shown(atlas, lines, **dict.fromkeys(lines, 1.3))
    assert dark[atlas.part == SKIN].any()
    assert not dark[atlas.part != SKIN].any()


def test_a_picture_has_so_much_less_light(model, atlas):
    """Under even light, whatever the fold, the picture has the share that a fold of that darkness leaves."""
    look = plain(atlas)
    looks = look, replace(look, wrinkles=np.full(atlas.part.shape, 51, np.uint8))
    scene = [set_up(model, model.neutral, pose(), one) for one in looks]
    window = around(scene[0].points, 4.0)
    clear, folded = (photograph.radiance(one, Light(ambient=(1, 1, 1), sky=0.0), window) for one in scene)
    seen = ~np.isnan(clear[..., 0])
    share = (folded / clear)[seen]
    assert np.allclose(share, 1 - 0.2 * np.array([0.70, 0.85, 0.88]), atol=1e-5)


def test_a_scanner_does_not_see_them(model, atlas, lines):
    look = appearance.paint(atlas, np.random.default_rng(3))
    folded = wrinkles.worn(look, lines, {"AU4": 1.0, "AU12": 1.0})
    scans = [
        capture(model, model.neutral, pose(), Camera(pitch=4.0), np.random.default_rng(0), one, texture=128).scan
        for one in (look, folded)
    ]
    assert np.array_equal(scans[0].vertices, scans[1].vertices)
    assert np.array_equal(scans[0].faces, scans[1].faces)
    darker = scans[0].texture.astype(int) - scans[1].texture
    assert darker.max() > 10
    assert darker.min() >= 0


def test_a_data_set_without_them_has_the_same_shapes(tmp_path):
    for folder, factor in (("with", 1.0), ("without", 0.0)):
        synth.make(tmp_path / folder, subjects=1, levels=(4,), pitch=4.0, texture=64, wrinkles=factor)
    stem = "F0001/F0001_AN04WH_F3D"
    first, second = (tmp_path / folder / stem for folder in ("with", "without"))
    assert filecmp.cmp(f"{first}.wrl", f"{second}.wrl", shallow=False)
    assert not filecmp.cmp(f"{first}.bmp", f"{second}.bmp", shallow=False)
    with pytest.raises(ArgumentError, match="wrinkles"):
        synth.make(tmp_path / "with", subjects=1, levels=(4,), pitch=4.0, texture=64, wrinkles=0.5)


def test_wrong_values_are_named(tmp_path):
    with pytest.raises(ArgumentError, match="`wrinkles` should lie in"):
        synth.make(tmp_path, wrinkles=-1.0)
    with pytest.raises(ArgumentError, match="`wrinkles`"):
        Look(np.zeros((8, 8, 3), np.uint8), *np.zeros((2, 8, 8), np.uint8), np.zeros((4, 8), np.uint8))
