"""Sequences rise and fall; units come one after the other; blinks and speech go on beside."""

import numpy as np
import pytest

from fer3d.errors import ArgumentError
from fer3d.synth.acting.time_course import Course

UNITS = ("AU1", "AU2", "AU12")


def course(seed, frames=100):
    return Course.draw(np.random.default_rng(seed), frames, UNITS)


@pytest.mark.parametrize("frames", [12, 100, 300])
@pytest.mark.parametrize("seed", range(5))
def test_phases_come_in_order_and_strength_follows(seed, frames):
    c = course(seed, frames)
    phases = [c.phase(k) for k in range(frames)]
    runs = [phase for k, phase in enumerate(phases) if k == 0 or phases[k - 1] != phase]
    assert runs == ["neutral", "onset", "apex", "offset", "neutral"]
    strength = np.array([c.strength(k) for k in range(frames)])
    assert strength[0] == 0
    assert strength[-1] < 0.05
    apex = np.array(phases) == "apex"
    assert strength[apex].min() > 0.9
    onset = strength[np.array(phases) == "onset"]
    assert (np.diff(onset) > -0.02).all()
    offset = strength[np.array(phases) == "offset"]
    assert (np.diff(offset) < 0.02).all()


def test_a_late_unit_follows_the_face():
    c = course(1)
    late = max(c.delay, key=lambda unit: c.delay[unit])
    frame = next(k for k in range(100) if c.phase(k) == "onset") + 2
    assert c.delay[late] > 0
    assert c.strength(frame, late) < c.strength(frame)


def test_blinks_close_the_eyes_for_a_moment():
    c = next(c for c in map(course, range(50)) if len(c.blinks) == 1 and 1 < c.blinks[0] < 3)
    shut = np.array([c.beside(k).get("AU43", 0.0) for k in range(100)])
    assert shut.max() > 0.9
    assert 4 <= (shut > 0.1).sum() <= 10
    assert shut @ np.arange(100) / shut.sum() == pytest.approx(c.blinks[0] * c.rate, abs=0.5)


def test_some_sequences_speak_and_most_do_not():
    speaking = [len(course(seed).speech) > 0 for seed in range(400)]
    assert np.mean(speaking) == pytest.approx(0.25, abs=0.08)
    c = course(speaking.index(True))
    talk = [c.beside(k)["AU25"] for k in range(100)]
    assert 0 <= min(talk) < 0.1 < max(talk) <= 0.30


def test_wrong_arguments_are_named():
    with pytest.raises(ArgumentError, match="`frames`"):
        course(1, frames=0)
