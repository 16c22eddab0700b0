import itertools
import json
import math

import numpy as np
import pytest

from fer3d.errors import ArgumentError
from fer3d.evaluate.compare import compare, mcnemar
from tests.runs import CLASSES, read_rows, write_predictions, write_run


@pytest.fixture
def runs(tmp_path):
    return [
        write_run(tmp_path / "all", subjects=20, skill=3.4),
        write_run(tmp_path / "depth", subjects=20, skill=2.0, noise=1, maps=("depth",)),
        write_run(tmp_path / "twin", subjects=20, skill=2.0, noise=2, maps=("normal",)),
    ]


def correct(run):
    return {row["id"]: max(CLASSES, key=lambda n: row[f"p_{n}"]) == row["expression"] for row in read_rows(run)}


def test_the_table_is_what_the_rows_say(runs):
    made = compare(runs[:2])
    one, other = correct(runs[0]), correct(runs[1])
    (pair,) = made.pairs
    assert [entry.accuracy.value for entry in made.runs] == pytest.approx(
        [np.mean(list(one.values())), np.mean(list(other.values()))]
    )
    assert pair.difference.value == pytest.approx(made.runs[0].accuracy.value - made.runs[1].accuracy.value)
    assert pair.only_first == sum(one[scan] and not other[scan] for scan in one)
    assert pair.only_second == sum(other[scan] and not one[scan] for scan in one)
    assert (pair.scans, pair.subjects) == (240, 20)
    assert pair.difference.low > 0
    assert pair.p == pair.p_holm < 0.01
    assert made.warnings == ()
    assert made.runs[1].maps == ("depth",)
    json.dumps(made.to_json(), allow_nan=False)


def test_swapping_two_runs_turns_the_sign_and_nothing_else(runs):
    (pair,), (swapped,) = compare(runs[:2]).pairs, compare(runs[1::-1]).pairs
    assert swapped.difference.value == pytest.approx(-pair.difference.value)
    assert swapped.difference.low == pytest.approx(-pair.difference.high)
    assert (swapped.only_first, swapped.p) == (pair.only_second, pair.p)


def test_a_run_does_not_differ_from_its_copy(runs, tmp_path):
    copy = write_run(tmp_path / "copy", subjects=20, skill=3.4)
    (pair,) = compare([runs[0], copy]).pairs
    assert (pair.difference.value, pair.difference.low, pair.difference.high) == (0.0, 0.0, 0.0)
    assert pair.p == 1.0


def test_pairing_is_worth_more_than_two_intervals(runs):
    made = compare(runs[:2])
    widths = [entry.accuracy.high - entry.accuracy.low for entry in made.runs]
    pair = made.pairs[0].difference
    assert pair.high - pair.low < sum(widths)


def test_three_runs_make_three_pairs_and_holm_corrects(runs):
    made = compare(runs)
    assert [(p.first, p.second) for p in made.pairs] == [("all", "depth"), ("all", "twin"), ("depth", "twin")]
    ordered = sorted(made.pairs, key=lambda pair: pair.p)
    wanted = np.maximum.accumulate([min(1.0, (3 - rank) * pair.p) for rank, pair in enumerate(ordered)])
    assert [pair.p_holm for pair in ordered] == pytest.approx(wanted.tolist())


@pytest.mark.parametrize(("b", "c"), list(itertools.product([0, 1, 3, 8], [0, 2, 7])))
def test_mcnemar_is_the_sum_over_tosses_of_a_coin(b, c):
    tosses = b + c
    extreme = [math.comb(tosses, k) for k in range(tosses + 1) if math.comb(tosses, k) <= math.comb(tosses, b)]
    assert mcnemar(b, c) == pytest.approx(sum(extreme) / 2**tosses)


def test_several_rounds_count_a_scan_once(tmp_path):
    one = write_run(tmp_path / "one", rounds=1)
    three = write_run(tmp_path / "three", rounds=3, noise=4)
    made = compare([one, three])
    assert made.pairs[0].scans == made.runs[0].scans == made.runs[1].scans == 144
    assert made.runs[1].rounds == 3
    assert any("different protocols" in text for text in made.warnings)


def test_what_makes_a_comparison_doubtful_is_said(runs, tmp_path):
    other = write_run(tmp_path / "other", subjects=20, seed=9)
    rows = [row for row in read_rows(other) if row["fold"] != 1]
    write_predictions(other / "predictions.parquet", rows)
    made = compare([runs[0], other])
    assert made.pairs[0].scans == 180
    assert made.warnings[0] == "all and other follow different protocols"
    assert "all and other have different folds" in made.warnings[1]
    assert made.warnings[2] == "other has finished 3 of its 4 folds"


def test_runs_of_one_name_go_by_their_paths(tmp_path):
    one, other = write_run(tmp_path / "a" / "dff"), write_run(tmp_path / "b" / "dff", noise=1)
    assert [entry.run for entry in compare([one, other]).runs] == [str(one), str(other)]


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    with pytest.raises(ArgumentError, match="`runs` should be at least two run folders, are 1"):
        compare(runs[:1])
    with pytest.raises(ArgumentError, match="should be different folders, .*all comes twice"):
        compare([runs[0], runs[0]])
    seven = write_run(tmp_path / "seven", classes=("neutral", *CLASSES))
    with pytest.raises(
        ArgumentError, match="should tell the same classes apart, all has anger, .* and seven has neutral"
    ):
        compare([runs[0], seven])
    rows = read_rows(runs[1])
    write_predictions(runs[1] / "predictions.parquet", [row | {"id": f"x{row['id']}"} for row in rows])
    with pytest.raises(ArgumentError, match="should share scans, all and depth share none"):
        compare(runs[:2])
    rows[0]["expression"] = "surprise" if rows[0]["expression"] != "surprise" else "fear"
    write_predictions(runs[1] / "predictions.parquet", rows)
    with pytest.raises(ArgumentError, match=r"agree on a scan, \S+ is \w+ of \w+ in all and \w+ of \w+ in depth"):
        compare(runs[:2])
