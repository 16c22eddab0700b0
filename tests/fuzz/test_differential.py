"""Random valid files: what we read is what the file holds, and where trimesh differs, the standard has settled it."""

import random
import re

import numpy as np
import pytest

from tests.fuzz.differential import Read, compare, differences, rules, settled
from tests.fuzz.generate import GENERATORS, Made

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
ONE_WAY, OTHER_WAY = SQUARE[[[0, 1, 2], [0, 2, 3]]], SQUARE[[[1, 2, 3], [1, 3, 0]]]


@pytest.mark.parametrize("kind", GENERATORS)
def test_no_disagreement_is_open(kind, tmp_path):
    outcome = compare(150, 0, [kind], tmp_path)
    assert [(what, sorted(made.features)) for made, what in outcome.open] == []
    assert outcome.agreed[kind] > 30


@pytest.mark.parametrize("kind", GENERATORS)
def test_the_same_seed_gives_the_same_files(kind):
    make = GENERATORS[kind]
    assert make(random.Random(1)).content == make(random.Random(1)).content
    assert len({make(random.Random(n)).content for n in range(20)}) == 20


def test_each_rule_says_all_that_the_page_needs():
    for rule in rules():
        assert rule.keys() >= {"name", "kind", "what", "features", "ours", "theirs", "standard"}
        assert rule["kind"] in GENERATORS
    assert len({rule["name"] for rule in rules()}) == len(rules())


@pytest.mark.parametrize(
    ("one", "two", "found"),
    [
        (Read("", ONE_WAY), Read("", OTHER_WAY), []),  # a polygon may be cut in any way
        (Read("", ONE_WAY), Read("", ONE_WAY[::-1]), []),
        (Read("", ONE_WAY), Read("", ONE_WAY[:, ::-1]), ["which corners a face joins"]),
        (Read("", ONE_WAY), Read("", ONE_WAY + np.array([0, 0, 0.01])), ["positions"]),
        (Read("", ONE_WAY), Read("", ONE_WAY[:1]), ["number of triangles"]),
        (Read("", ONE_WAY), Read("KeyError"), ["only ours reads it"]),
        (Read("refused"), Read("", ONE_WAY), ["only the other reads it"]),
        (Read("refused"), Read("KeyError"), []),
        (Read("", ONE_WAY, ONE_WAY[..., :2]), Read("", OTHER_WAY, OTHER_WAY[..., :2]), []),
        (Read("", ONE_WAY, ONE_WAY[..., :2]), Read("", OTHER_WAY, 1 - OTHER_WAY[..., :2]), ["uv"]),
        (Read("", ONE_WAY, ONE_WAY[..., :2]), Read("", ONE_WAY), ["only ours has uv"]),
        (Read("", ONE_WAY), Read("", ONE_WAY, None, ONE_WAY), ["only the other has colours"]),
        (Read("", ONE_WAY, None, 200 * ONE_WAY), Read("", ONE_WAY, None, 190 * ONE_WAY), ["colours"]),
    ],
)
def test_what_is_a_difference(one, two, found):
    assert differences(one, two) == found


def test_what_a_file_holds_is_known():
    made = Made("off", b"", frozenset(), 2, SQUARE)
    assert made.wrong(ONE_WAY, "") == ""
    assert made.wrong(ONE_WAY[:1], "") == "1 triangles are read of 2"
    assert made.wrong(ONE_WAY * 1.01, "").startswith("corners are off by 0.01")
    assert made.wrong(ONE_WAY[:0], "refused: x") == "a valid file is refused: x"


def test_a_rule_settles_its_own_case_only():
    rule = {"name": "a", "kind": "off", "what": ["uv"], "features": ["comments"], "words": "Key"}
    made = Made("off", b"", frozenset({"comments", "polygons"}), 2, SQUARE)
    assert settled(made, "uv", "KeyError", [rule]) == "a"
    assert settled(made, "positions", "KeyError", [rule]) is None
    assert settled(made, "uv", "TypeError", [rule]) is None
    assert settled(Made("ply", b"", made.features, 2, SQUARE), "uv", "KeyError", [rule]) is None
    assert settled(Made("off", b"", frozenset({"polygons"}), 2, SQUARE), "uv", "KeyError", [rule]) is None


def test_the_standard_is_named():
    assert all(re.match(r"(glTF|Wavefront|Not in Wavefront|The PLY|Geomview)", rule["standard"]) for rule in rules())
