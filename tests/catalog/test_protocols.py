import json
from collections import Counter

import numpy as np
import pytest

from fer3d.catalog import protocols
from fer3d.catalog.cards import load_card
from fer3d.catalog.protocols import Fold, check_folds, check_scans, choose_rows, load_protocol, make_folds
from fer3d.errors import ProtocolError
from fer3d.scan import EXPRESSIONS

SIX = EXPRESSIONS[1:]


def rows_of(subjects, classes=SIX, intensities=(3, 4), **more):
    return [
        {
            "id": f"{subject}_{label}_{level}",
            "subject": subject,
            "expression": label,
            "intensity": level,
            "attributes": "{}",
            "sequence": None,
            "frame": None,
            **more,
        }
        for subject in subjects
        for label in classes
        for level in intensities
    ]


def whole_bu3dfe():
    return rows_of(load_card("bu3dfe").expected.subjects, EXPRESSIONS, (0, 1, 2, 3, 4))


def test_protocol_one_is_the_published_sixty_in_ten_folds_of_six():
    protocol = load_protocol("bu3dfe-p1")
    fixed = protocol.facts.subjects
    assert len(fixed) == len(set(fixed)) == 60
    assert sum(name.startswith("F") for name in fixed) == 30
    assert {"F0056", "M0044"} <= set(fixed)
    assert not {"F0016", "M0001", "M0007"} & set(fixed)
    rows = choose_rows(protocol, whole_bu3dfe())
    assert Counter(row["intensity"] for row in rows) == {3: 600, 4: 600}
    _, folds = make_folds(protocol, rows, rounds=2)
    assert len(folds) == 20
    for fold in folds:
        assert (len(fold.train), len(fold.validation), len(fold.test)) == (54, 0, 6)
    for number in (0, 1):
        tested = [s for fold in folds if fold.round == number for s in fold.test]
        assert sorted(tested) == sorted(fixed)  # everybody once
    assert {fold.test for fold in folds[:10]} != {fold.test for fold in folds[10:]}


def test_protocol_two_draws_anew_every_round():
    protocol = load_protocol("bu3dfe-p2")
    _, folds = make_folds(protocol, choose_rows(protocol, whole_bu3dfe()), rounds=3, validation=True)
    drawn = [{s for fold in folds if fold.round == number for s in fold.test} for number in range(3)]
    assert [len(subjects) for subjects in drawn] == [60, 60, 60]
    assert drawn[0] != drawn[1] != drawn[2]
    for fold in folds:
        assert (len(fold.train), len(fold.validation), len(fold.test)) == (48, 6, 6)


def test_subset_two_is_2400_scans_by_ten_subjects():
    protocol = load_protocol("bu3dfe-subset2")
    rows = choose_rows(protocol, whole_bu3dfe())
    assert len(rows) == 2400
    _, folds = make_folds(protocol, rows)
    assert {(len(fold.train), len(fold.test)) for fold in folds} == {(90, 10)}


def test_bosphorus_draws_sixty_of_those_with_all_six():
    attributes = json.dumps({"kind": "E", "repeat": "0"})
    rows = rows_of([f"bs{n:03d}" for n in range(65)], intensities=(None,), attributes=attributes)
    rows += rows_of([f"bs{n:03d}" for n in range(65, 105)], SIX[:4], (None,), attributes=attributes)
    rows += rows_of(["bs000"], SIX, (None,), attributes=json.dumps({"kind": "E", "repeat": "1"}))
    protocol = load_protocol("bosphorus-six")
    chosen = choose_rows(protocol, rows)
    assert len(chosen) == 65 * 6 + 40 * 4  # no second takes
    _, folds = make_folds(protocol, chosen, rounds=2)
    drawn = [{s for fold in folds if fold.round == number for s in fold.test} for number in (0, 1)]
    assert len(drawn[0]) == 60
    assert drawn[0] == drawn[1] <= {f"bs{n:03d}" for n in range(65)}


@pytest.mark.parametrize(("name", "subjects", "test"), [("bu4dfe-60", 60, {6}), ("bu4dfe-101", 101, {10, 11})])
def test_bu4dfe_takes_the_middle_of_each_sequence(name, subjects, test):
    rows = []
    for subject in load_card("bu4dfe").expected.subjects:
        for label in SIX:
            rows += [
                row | {"id": f"{row['id']}{frame:03d}", "sequence": f"{subject}_{label}", "frame": frame}
                for frame in (0, 1, 2, 3, 4, 5, 6, 7, 8)
                for row in rows_of([subject], [label], [None])
            ]
    protocol = load_protocol(name)
    chosen = choose_rows(protocol, rows)
    assert {row["frame"] for row in chosen} == {2, 3, 4, 5, 6}
    assert len(chosen) == 606 * 5
    _, folds = make_folds(protocol, chosen)
    assert sum(len(fold.test) for fold in folds) == subjects
    assert {len(fold.test) for fold in folds} == test


def test_oulu_casia_takes_the_end_of_each_sequence_in_strong_visible_light():
    rows = []
    for subject in [f"P{number:03d}" for number in range(1, 81)]:
        for light, level in (("visible", "Strong"), ("visible", "Dark"), ("near infrared", "Strong")):
            for label in SIX:
                facts = {"attributes": json.dumps({"light": light, "level": level})}
                for frame in range(5):
                    name = f"{subject}_{light}_{level}_{label}"
                    more = {"id": f"{name}_{frame}", "sequence": name, "frame": frame, **facts}
                    rows += rows_of([subject], [label], [None], **more)
    protocol = load_protocol("oulu-casia-vl")
    chosen = choose_rows(protocol, rows)
    assert {(row["frame"], row["attributes"]) for row in chosen} == {
        (frame, json.dumps({"light": "visible", "level": "Strong"})) for frame in (2, 3, 4)
    }
    assert len(chosen) == 480 * 3
    _, folds = make_folds(protocol, chosen)
    assert [len(fold.test) for fold in folds] == [8] * 10


def test_frames_are_from_the_middle_or_from_the_end():
    facts = {"title": "x", "source": "x", "classes": ("anger", "fear"), "frames": 1, "last_frames": 1}
    with pytest.raises(ValueError, match="wanted `frames` or `last_frames`, not both"):
        protocols.ProtocolFacts(**facts)


def test_every_protocol_of_a_shipped_file_loads():
    for name in protocols.protocol_names():
        assert load_protocol(name).facts.classes == SIX


def test_leave_one_out_has_a_fold_a_subject():
    _, folds = make_folds(load_protocol("leave-one-out"), rows_of("abcd"))
    assert [len(fold.test) for fold in folds] == [1, 1, 1, 1]
    assert {fold.test[0] for fold in folds} == set("abcd")


def test_k_fold_balances_scans_not_subjects():
    heavy = rows_of(["a"], intensities=range(9)) + rows_of(list("bcdefghij"), intensities=(1,))
    _, folds = make_folds(load_protocol("k-fold", folds=2), heavy)
    counts = Counter(row["subject"] for row in heavy)
    assert [sum(counts[s] for s in fold.test) for fold in folds] == [54, 54]


@pytest.mark.parametrize("name", ["k-fold", "leave-one-out", "bu3dfe-p2"])
def test_the_same_seed_gives_the_same_folds_and_a_round_does_not_depend_on_their_number(name):
    rows = choose_rows(load_protocol(name), whole_bu3dfe())
    one, two, other = (
        make_folds(load_protocol(name), rows, rounds=rounds, seed=seed)[1] for rounds, seed in ((1, 5), (2, 5), (1, 6))
    )
    assert one == two[: len(one)]
    assert one != other


def test_order_of_the_rows_does_not_matter():
    rows = whole_bu3dfe()
    protocol = load_protocol("k-fold")
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    assert make_folds(protocol, rows)[1] == make_folds(protocol, shuffled)[1]


def test_folds_survive_json():
    _, folds = make_folds(load_protocol("k-fold", folds=3), rows_of("abcdef"), validation=True)
    assert protocols.folds_from_json(json.loads(json.dumps(protocols.folds_to_json(folds))), "x") == folds


def test_missing_subjects_are_counted_and_can_be_allowed():
    names = [name for n in range(1, 51) for name in (f"F{n:04d}", f"M{n:04d}")]  # as simulated: women and men in turn
    protocol = load_protocol("bu3dfe-p1")
    rows = choose_rows(protocol, rows_of(names))
    message = (
        "protocol bu3dfe-p1: 3 of 60 subjects have no scan in the data: F0053, F0055, F0056; "
        "--allow-missing makes folds of the 57 at hand"
    )
    with pytest.raises(ProtocolError, match=message):
        make_folds(protocol, rows)
    noted, folds = make_folds(protocol, rows, allow_missing=True)
    assert "3 of 60 subjects have no scan in the data" in noted.notes[0]
    assert sum(len(fold.test) for fold in folds) == 57


def test_too_few_complete_subjects_are_counted():
    attributes = json.dumps({"kind": "E", "repeat": "0"})
    rows = rows_of([f"bs{n:03d}" for n in range(20)], intensities=(None,), attributes=attributes)
    with pytest.raises(ProtocolError, match="protocol bosphorus-six: 40 of 60 subjects have no scan in the data;"):
        make_folds(load_protocol("bosphorus-six"), rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bu3dfe-p3",), "`protocol` should be one of .*, is 'bu3dfe-p3'; did you mean 'bu3dfe-p"),
        (("kfold",), "is 'kfold'; did you mean 'k-fold'?"),
        (
            ("k-fold", ("anger", "hapiness")),
            "`classes` should hold names out of .*'hapiness'; did you mean 'happiness'?",
        ),
        (("k-fold", ("anger",)), "`classes` should hold at least two names, holds anger"),
        (("bu3dfe-p1", ("anger", "fear")), "`protocol` bu3dfe-p1 has its own classes and folds"),
    ],
)
def test_what_is_asked_for_must_exist(arguments, message):
    with pytest.raises(ProtocolError, match=message):
        load_protocol(*arguments)


def test_an_empty_fold_is_an_error():
    with pytest.raises(
        ProtocolError, match="10 folds want at least 10 subjects, the data has 4: a fold would be empty"
    ):
        make_folds(load_protocol("k-fold"), rows_of("abcd"))
    with pytest.raises(ProtocolError, match="round 0, fold 3: the test part has no subject"):
        check_folds([Fold(0, 3, ("a", "b"), (), ())])
    with pytest.raises(ProtocolError, match="`folds` should hold at least one fold, holds none"):
        check_folds([])


def test_a_fold_whose_subjects_have_no_scan_is_an_error():
    fold = Fold(0, 1, ("a", "b"), (), ("c", "x", "y"))
    with pytest.raises(ProtocolError, match="round 0, fold 1: 2 of 3 test subjects have no scan in the data: x, y"):
        check_scans([fold], rows_of("abc"))


def test_a_subject_in_two_parts_is_named():
    with pytest.raises(ProtocolError, match="round 1, fold 2: subject b is in train and in test"):
        check_folds([Fold(1, 2, ("a", "b"), ("c",), ("b",))])
    with pytest.raises(ProtocolError, match="subject c is in validation and in test"):
        check_folds([Fold(0, 0, ("a",), ("c",), ("c",))])
    with pytest.raises(ProtocolError, match="round 0, fold 0: subject a is in train and in test"):
        protocols.cross_fold(rows_of("ab"), rows_of("ca"))


def test_a_file_of_folds_that_is_none_is_named():
    with pytest.raises(ProtocolError, match='mine.json: wanted a list of {"round", "fold", "train", .*got something'):
        protocols.folds_from_json([{"round": 0}], "mine.json")
    whole = {"round": 0, "fold": 0, "train": ["a"], "validation": [], "test": ["b"]}
    for wrong in (
        {"train": "anna"},
        {"train": None},
        {"test": [["b"]]},
        {"test": {"b": 1}},
        {"round": float("inf")},
        {"fold": "0"},
    ):
        with pytest.raises(ProtocolError, match=r"mine\.json: wanted a list of"):
            protocols.folds_from_json([whole | wrong], "mine.json")
    with pytest.raises(ProtocolError, match=r"mine\.json: wanted a list of"):
        protocols.folds_from_json({"folds": [whole]}, "mine.json")
    leak = [{"round": 0, "fold": 0, "train": ["a"], "validation": [], "test": ["a"]}]
    with pytest.raises(ProtocolError, match="mine.json: round 0, fold 0: subject a is in train and in test"):
        protocols.folds_from_json(leak, "mine.json")


def test_rounds_must_be_positive():
    with pytest.raises(ProtocolError, match="`rounds` should be at least 1, is 0"):
        make_folds(load_protocol("k-fold"), rows_of("ab"), rounds=0)
