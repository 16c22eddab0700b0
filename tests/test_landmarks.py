"""Names of landmarks: one for each point, in the order of each scheme, and the name on the other side."""

import numpy as np
import pytest

from fer3d.errors import ArgumentError
from fer3d.landmarks import (
    BOSPHORUS,
    BU83,
    CANONICAL_LANDMARKS,
    IBUG68,
    MIRRORED,
    POINT_NAMES,
    SCHEMES,
    bosphorus_names,
    other_side,
    scheme_points,
)


def test_each_scheme_has_its_points_once():
    assert {scheme: len(names) for scheme, names in SCHEMES.items()} == {"ibug68": 68, "bu83": 83, "bosphorus": 22}
    for names in SCHEMES.values():
        assert len(set(names)) == len(names)


def test_point_names_are_the_union_with_the_canonical_ones_first():
    assert POINT_NAMES[:13] == CANONICAL_LANDMARKS
    assert len(set(POINT_NAMES)) == len(POINT_NAMES)
    assert set(POINT_NAMES) == {name for names in SCHEMES.values() for name in names}


def test_schemes_are_in_the_order_of_their_numbers():
    """Canonical points are where the mappings of numbers have them, but for three points of iBUG that lie elsewhere."""
    for number, name in BU83.items():
        if number < 84:
            assert SCHEMES["bu83"][number - 1] == name
    assert SCHEMES["bu83"][16] == "bu83_17"
    elsewhere = {8: "ibug68_08", 31: "bu83_44", 35: "bu83_41"}
    for number, name in IBUG68.items():
        assert SCHEMES["ibug68"][number] == elsewhere.get(number, name)
    assert SCHEMES["bosphorus"] == tuple(BOSPHORUS.values())


def test_the_nostrils_of_ibug_are_no_wings():
    assert {"alare_left", "alare_right", "pogonion"} <= set(SCHEMES["bu83"]) & set(SCHEMES["bosphorus"])
    assert not {"alare_left", "alare_right", "pogonion"} & set(SCHEMES["ibug68"])


def test_names_are_mirrored_back_and_forth():
    assert set(MIRRORED) == set(POINT_NAMES)
    assert all(MIRRORED[MIRRORED[name]] == name for name in POINT_NAMES)
    for name in POINT_NAMES:
        if name.endswith(("_left", "_right")):
            assert MIRRORED[name] == name.replace("_left", "_?").replace("_right", "_left").replace("_?", "_right")


def test_bosphorus_says_left_for_the_subjects_right():
    sides = {theirs: ours for theirs, ours in BOSPHORUS.items() if " left " in f" {theirs.lower()} "}
    assert len(sides) == 8
    for theirs, ours in sides.items():
        mirrored = theirs.replace("left", "right").replace("Left", "Right")
        assert BOSPHORUS[mirrored] == MIRRORED[ours] != ours
    assert BOSPHORUS["Outer left eye corner"] == "exocanthion_right"


def test_points_that_no_scheme_has():
    assert other_side("tragion_right") == "tragion_left"
    assert other_side("glabella") == "glabella"
    ear = {"Left ear lobe": np.zeros(3), "Middle left eyebrow": np.ones(3)}
    assert set(bosphorus_names(ear)) == {"Left ear lobe", "ibug68_19"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_points_are_put_in_the_order_of_a_scheme(scheme):
    points = {name: np.array([k, -k, 0.5]) for k, name in enumerate(reversed(POINT_NAMES))}
    got = scheme_points(points, scheme)
    assert got.dtype == np.float64
    for name, row in zip(SCHEMES[scheme], got, strict=True):
        assert row.tolist() == points[name].tolist()
    del points["cheilion_left"]
    without = scheme_points(points, scheme)
    missing = np.array(SCHEMES[scheme]) == "cheilion_left"
    assert np.isnan(without).all(axis=1).tolist() == missing.tolist()
    np.testing.assert_array_equal(without[~missing], got[~missing])


def test_wrong_arguments_are_named():
    with pytest.raises(ArgumentError, match="`scheme` should be one of ibug68, bu83, bosphorus, is 'ibug'"):
        scheme_points({}, "ibug")
    with pytest.raises(ArgumentError, match=r"`points\['pronasale'\]` should have shape \(3,\), has \(2,\)"):
        scheme_points({"pronasale": np.zeros(2)}, "ibug68")
