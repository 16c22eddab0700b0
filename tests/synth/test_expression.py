"""Recipes: levels, habits, action units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer3d.errors import ArgumentError
from fer3d.face.load import builtin_face
from fer3d.scan import EXPRESSIONS
from fer3d.synth.acting import expression
from fer3d.synth.acting.habits import Habits

UNITS = builtin_face().action_units


def test_ways_are_the_canonical_labels_in_order_and_their_shares_are_whole():
    assert tuple(expression.WAYS) == EXPRESSIONS
    for ways in expression.WAYS.values():
        assert sum(way.share for way in ways) == pytest.approx(1.0)
        assert all(0 < weight <= 1 for way in ways for weight in way.units.values())
    expression.check_units(UNITS, "builtin")


def test_prototypical_action_units():
    def units(label):
        return set(expression.action_units(expression.weights(expression.recipe(label), 1.0, UNITS)))

    assert {"AU6", "AU12"} <= units("happiness")
    assert {"AU1", "AU4", "AU15"} <= units("sadness")
    assert {"AU1", "AU2", "AU5", "AU26"} <= units("surprise")
    assert {"AU1", "AU2", "AU4", "AU5", "AU20"} <= units("fear")
    assert {"AU4", "AU7", "AU24"} <= units("anger")
    assert {"AU9", "AU10"} <= units("disgust")
    assert units("neutral") == set()


@given(st.sampled_from(EXPRESSIONS[1:]), st.integers(0, 2**32 - 1))
def test_levels_grow(label, seed):
    """With one person's habits, no weight falls as the level grows."""
    habits = Habits.draw(np.random.default_rng(seed))
    recipe = expression.recipe(label, habits)
    by_level = [expression.weights(recipe, expression.LEVELS[k], UNITS, habits) for k in (1, 2, 3, 4)]
    for name in by_level[0]:
        values = [weights[name] for weights in by_level]
        assert values == sorted(values)
        assert 0 <= values[0] <= values[3] <= 1.3


def test_a_unit_with_a_side_is_shown_on_that_side_only():
    shown = expression.weights({"AU12_L": 0.9}, 1.0, UNITS)
    assert shown == {"AU12_L": 0.9}


def test_action_units_take_the_stronger_side_and_count_upwards():
    got = expression.action_units({"AU12_L": 0.2, "AU12_R": 0.6, "AU1_L": 0.3, "AU43_L": 0.04})
    assert list(got.items()) == [("AU1", 0.3), ("AU12", 0.6)]


def test_errors():
    with pytest.raises(ArgumentError, match="`expression` should be one of neutral, .*, is 'joy'"):
        expression.recipe("joy")
    with pytest.raises(ArgumentError, match="`face_model` should have the units of every recipe; x lacks AU1, "):
        expression.check_units(("AU26",), "x")
