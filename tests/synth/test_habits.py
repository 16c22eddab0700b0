"""People differ, and the same person does the same again."""

import numpy as np
import pytest

from fer3d.errors import ArgumentError
from fer3d.face.load import builtin_face
from fer3d.synth.acting import expression
from fer3d.synth.acting.habits import NO_VARIETY, Habits, Variety

UNITS = builtin_face().action_units


def person(seed, variety=None):
    return Habits.draw(np.random.default_rng(seed), variety)


def shown(label, habits, seed=None, strength=1.0):
    moment = None if seed is None else np.random.default_rng(seed)
    return expression.weights(expression.recipe(label, habits), strength, UNITS, habits, moment)


def test_without_variety_everybody_shows_the_textbook():
    for label in expression.WAYS:
        assert shown(label, person(1, NO_VARIETY), seed=2) == expression.weights(expression.recipe(label), 1.0, UNITS)


def test_a_person_is_the_same_again_and_others_are_not():
    assert shown("fear", person(1)) == shown("fear", person(1))
    assert shown("fear", person(1)) != shown("fear", person(2))
    assert shown("fear", person(1), seed=1) != shown("fear", person(1), seed=2)


def test_what_a_person_never_shows_stays_away_except_by_chance():
    habits = person(3, Variety(never=0.5, stray=0.0, rest=0.0))
    never = {unit for unit, gain in habits.gain.items() if gain == 0}
    assert 5 < len(never) < 20
    for label in expression.WAYS:
        assert not never & set(expression.action_units(shown(label, habits, seed=4)))


def test_people_take_the_ways_in_their_shares():
    ways = expression.WAYS["anger"]
    taken = [expression.recipe("anger", person(seed, Variety(leak=0.0))) for seed in range(2000)]
    for way in ways:
        share = np.mean([{u: w for u, w in recipe.items() if w > 0} == way.units for recipe in taken])
        assert share == pytest.approx(way.share, abs=0.04)


def test_leaks_are_of_other_emotions_and_mostly_small():
    people = [person(seed) for seed in range(500)]
    for label in expression.WAYS:
        if label == "neutral":
            continue
        others, shares = zip(*(habits.leak[label] for habits in people), strict=True)
        assert label not in others
        assert max(shares) <= Variety().leak
        assert np.median(shares) < 0.35 * Variety().leak


def test_one_side_is_stronger_in_a_person_always_the_same():
    habits = person(5, Variety(stray=0.0, rest=0.0))
    for label in ("happiness", "disgust"):
        weights = shown(label, habits)
        for unit in ("AU12", "AU9", "AU6"):
            left, right = weights.get(f"{unit}_L", 0.0), weights.get(f"{unit}_R", 0.0)
            if 0 < left < 1.3 and 0 < right < 1.3:
                tilt = habits.tilt[unit]
                assert left / right == pytest.approx((1 + tilt) / (1 - tilt))


def test_a_resting_face_is_not_quite_neutral():
    habits = person(6)
    assert habits.rest
    assert expression.action_units(shown("neutral", habits)).keys() <= habits.rest.keys()


def test_on_request_a_person_shows_what_is_asked_and_nothing_else():
    habits = person(3, Variety(never=0.5, stray=3.0)).on_request()
    for seed in range(20):
        weights = expression.weights({"AU15": 0.95}, 1.0, UNITS, habits, np.random.default_rng(seed))
        assert set(expression.action_units(weights)) == {"AU15"}
        assert min(weights.values()) > 0.2


def test_wrong_variety_is_named():
    with pytest.raises(ArgumentError, match="`never`"):
        Variety(never=1.5)
    with pytest.raises(ArgumentError, match="`gain`"):
        Variety(gain=-0.1)
