import numpy as np
import pytest

from fer3d.errors import ArgumentError
from fer3d.prepare import AxisConvention
from fer3d.prepare.axes import to_canonical_axes
from fer3d.scan import Scan

LOPSIDED = Scan.of([[1, 2, 3], [4, 5, 7], [1, 0, 1]], [[0, 1, 2]], landmarks={"pronasale": np.array([1.0, 2.0, 3.0])})


@pytest.mark.parametrize(
    ("up", "towards_camera", "first"),
    [
        ("+z", "-y", [1, 3, -2]),
        ("+y", "-z", [-1, 2, -3]),
        ("-y", "+z", [-1, -2, 3]),
        ("+x", "+y", [3, 1, 2]),
    ],
)
def test_axes_are_turned_not_mirrored(up, towards_camera, first):
    turned = to_canonical_axes(LOPSIDED, up, towards_camera)
    np.testing.assert_array_equal(turned.vertices[0], first)
    np.testing.assert_array_equal(turned.landmarks["pronasale"], first)
    assert np.linalg.det(turned.placement[:3, :3]) == pytest.approx(1.0)
    assert turned.history[-1] == {"step": "axes", "up": up, "towards_camera": towards_camera}


@pytest.mark.parametrize("axes", [("+y", "+z"), ("auto", "auto"), ("auto", "+z")])
def test_nothing_to_turn_is_nothing_done(axes):
    assert to_canonical_axes(LOPSIDED, *axes) is LOPSIDED


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (("up", "+z"), r"`up` should be one of \+x, -x, .* or auto, is 'up'"),
        (("+y", "z+"), r"`towards_camera` should be one of .*, is 'z\+'"),
        (("+z", "-z"), r"`towards_camera` should be an axis across `up` \+z, is -z"),
        (("+z", "auto"), r"`towards_camera` should be an axis across `up` \+z, is \+z: give one of \+x, -x, \+y, -y"),
        (("auto", "-y"), r"`towards_camera` should be an axis across `up` \+y, is -y: give one of \+x, -x, \+z, -z"),
    ],
)
def test_what_is_wrong_is_said(axes, message):
    with pytest.raises(ArgumentError, match=message):
        to_canonical_axes(LOPSIDED, *axes)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"up": "+z"}, "`towards_camera` should be an axis across"),
        ({"towards_camera": "z"}, "`towards_camera` should be one of"),
        ({"unit": "inch"}, "`unit` should be one of auto, m, cm, mm or a length in mm, is 'inch'"),
        ({"unit": -1.0}, "`unit` should lie in"),
    ],
)
def test_a_convention_that_is_none_is_refused_at_once(facts, message):
    with pytest.raises(ArgumentError, match=message):
        AxisConvention(**facts)
