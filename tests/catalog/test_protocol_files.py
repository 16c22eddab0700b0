"""Protocols of a card from anywhere: its folds.toml travels with the prepared folder."""

import json

import pytest

from fer3d.catalog.cards import SHIPPED, load_card
from fer3d.catalog.protocol_files import GENERAL, check_folds_file, own_protocol, protocol_names
from fer3d.catalog.protocols import load_protocol
from fer3d.catalog.stored_card import copy_stored_card, store_card, stored_card, stored_folds
from fer3d.config import PreprocessSettings
from fer3d.errors import ArgumentError, CardError, ProtocolError
from fer3d.formats import write
from fer3d.prepare import shards
from fer3d.prepare.folder import preprocess
from fer3d.scan import Scan
from fer3d.train.plan import Experiment, plan_experiment
from tests.prepared import write_prepared

FOLDS = """
[two]
title = "everybody, two folds"
source = "ours"
classes = ["anger", "fear"]
folds = 2
"""


def write_card(folder, name="lab", folds=FOLDS):
    """A card of one's own, and its folds.toml beside it."""
    folder.mkdir(exist_ok=True, parents=True)
    text = (SHIPPED / "generic" / "dataset.toml").read_text(encoding="utf-8")
    (folder / "dataset.toml").write_text(text.replace('name = "generic"', f'name = "{name}"'), encoding="utf-8")
    if folds is not None:
        (folder / "folds.toml").write_text(folds, encoding="utf-8")
    return folder / "dataset.toml"


def write_tetrahedron(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    write(Scan.of([[0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]], [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]), path)


def test_a_card_and_its_folds_are_copied_and_found_again(tmp_path):
    card = write_card(tmp_path / "card")
    prepared = tmp_path / "prepared"
    store_card(card, prepared)
    for file in card.parent.iterdir():
        file.unlink()
    assert stored_card(prepared).name == "lab"
    assert protocol_names(prepared)[-5:] == ("lab-two", *GENERAL)
    facts = load_protocol("lab-two", prepared=prepared).facts
    assert (facts.classes, facts.folds) == (("anger", "fear"), 2)
    with pytest.raises(ProtocolError, match="`protocol` should be one of .*, is 'lab-two'"):
        load_protocol("lab-two")


def test_a_later_run_replaces_the_copy(tmp_path):
    store_card(write_card(tmp_path / "card"), tmp_path)
    store_card(str(write_card(tmp_path / "other", folds=None)), tmp_path)
    assert stored_folds(tmp_path) is None
    assert protocol_names(tmp_path) == protocol_names()
    store_card(tmp_path / "other", tmp_path)  # by its folder


def test_a_folder_without_a_card_has_the_shipped_protocols(tmp_path):
    assert protocol_names(tmp_path) == protocol_names()
    assert stored_card(tmp_path) is None
    assert load_protocol("bu3dfe-p1", prepared=tmp_path) == load_protocol("bu3dfe-p1")


def test_names_of_shipped_protocols_differ():
    texts = {file.parent.name: file.read_text("utf-8").splitlines() for file in SHIPPED.glob("*/folds.toml")}
    own = [f"{card}-{line[1:-1]}" for card, lines in texts.items() for line in lines if line.startswith("[")]
    assert sorted((*own, *GENERAL)) == sorted(protocol_names())


def test_a_shipped_card_agrees_with_its_own_copy(tmp_path):
    store_card("bu3dfe", tmp_path)
    assert protocol_names(tmp_path) == protocol_names()
    assert own_protocol("bu3dfe-p1", tmp_path) == own_protocol("bu3dfe-p1")


def test_two_cards_that_differ_in_a_protocol_of_one_name_are_refused(tmp_path):
    text = (SHIPPED / "bu3dfe" / "folds.toml").read_text(encoding="utf-8")
    store_card(write_card(tmp_path / "a", "bu3dfe", text.replace("folds = 10", "folds = 5", 1)), tmp_path / "a")
    with pytest.raises(
        ProtocolError, match="protocol bu3dfe-p1: .*folds.toml and the shipped card of that name differ"
    ):
        load_protocol("bu3dfe-p1", prepared=tmp_path / "a")
    assert load_protocol("bu3dfe-p2", prepared=tmp_path / "a") == load_protocol("bu3dfe-p2")
    words = text.replace('title = "Protocol I:', 'title = "Another title:')
    store_card(write_card(tmp_path / "b", "bu3dfe", words), tmp_path / "b")
    assert load_protocol("bu3dfe-p1", prepared=tmp_path / "b").facts.title.startswith("Another title:")


def test_the_nearest_is_named_among_both(tmp_path):
    store_card(write_card(tmp_path / "card"), tmp_path)
    with pytest.raises(ProtocolError, match="bu3dfe-p1.*lab-two.*k-fold.*is 'lab-tow'; did you mean 'lab-two'"):
        load_protocol("lab-tow", prepared=tmp_path)
    with pytest.raises(ProtocolError, match="is 'bu3dfe-p7'; did you mean 'bu3dfe-p"):
        load_protocol("bu3dfe-p7", prepared=tmp_path)
    with pytest.raises(ProtocolError, match="`protocol` lab-two has its own classes and folds"):
        load_protocol("lab-two", folds=3, prepared=tmp_path)


def test_the_general_protocols_stay_what_they_are(tmp_path):
    store_card(write_card(tmp_path / "card"), tmp_path)
    assert load_protocol("k-fold", ("anger", "fear"), 3, tmp_path) == load_protocol("k-fold", ("anger", "fear"), 3)


@pytest.mark.parametrize(
    ("card", "folds", "message"),
    [
        ("lab", FOLDS.replace("folds", "fold"), "folds.toml: `two.fold` is no key of a protocol; did you mean 'folds'"),
        ("lab", FOLDS.replace('source = "ours"', ""), "folds.toml: `two.source` is missing"),
        ("lab", FOLDS.replace('"fear"', '"fera"'), "folds.toml: `two.classes` wanted canonical labels, got 'fera'"),
        ("lab", FOLDS.replace("[two]", "[two"), "folds.toml: is not TOML"),
        ("lab", FOLDS.replace("[two]", '["t w"]'), "folds.toml: wanted tables, named by letters, .*, got 't w'"),
        ("lab", "two = 2", "folds.toml: wanted tables, named by letters, .*, got 'two'"),
        ("k", FOLDS.replace("two", "fold"), "folds.toml: wanted another name than k-fold, which is a protocol for any"),
    ],
)
def test_a_folds_file_that_is_wrong_is_refused_in_one_line(tmp_path, card, folds, message):
    file = write_card(tmp_path, card, folds).with_name("folds.toml")
    with pytest.raises(CardError, match=message) as error:
        check_folds_file(file, card)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_preprocess_refuses_a_wrong_folds_file_before_it_begins(tmp_path):
    write_tetrahedron(tmp_path / "scans" / "anna" / "anger" / "1.ply")
    card = write_card(tmp_path / "card", folds="[two]\n")
    with pytest.raises(CardError, match="folds.toml: `two.title` is missing"):
        preprocess(tmp_path / "scans", tmp_path / "out", card, workers=1)
    assert not (tmp_path / "out").exists()


def test_preprocess_keeps_the_card_and_training_finds_its_protocol(tmp_path):
    write_tetrahedron(tmp_path / "scans" / "anna" / "anger" / "1.ply")  # no face: fails, which does not matter here
    out = tmp_path / "prepared"
    preprocess(tmp_path / "scans", out, write_card(tmp_path / "card"), PreprocessSettings(size=16), workers=1)
    assert (out / "card" / "folds.toml").read_text("utf-8") == FOLDS
    assert json.loads((out / "prepare.json").read_text())["dataset"] == "lab"
    write_prepared(out, subjects=("a", "b", "c", "d"), dataset="lab")
    plan = plan_experiment(Experiment(out, "lab-two"), seed=0)
    assert [len(fold.test) for fold in plan.folds] == [2, 2]
    assert {row["expression"] for _, rows in plan.sources for row in rows} == {"anger", "fear"}
    with pytest.raises(ProtocolError, match="did you mean 'lab-two'"):
        plan_experiment(Experiment(out, "lab-to"), seed=0)
    with pytest.raises(ArgumentError, match="holds lab"):
        preprocess(tmp_path / "scans", out, "generic", workers=1)
    assert stored_card(out).name == "lab"


def test_a_packed_folder_keeps_the_card(tmp_path):
    store_card(write_card(tmp_path / "card"), tmp_path / "a")
    write_prepared(tmp_path / "a")
    shards.pack(tmp_path / "a", tmp_path / "b")
    assert "lab-two" in protocol_names(tmp_path / "b")
    copy_stored_card(tmp_path / "nothing", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_card_that_is_not_there_is_refused_with_the_nearest_name():
    with pytest.raises(CardError, match="no data set card 'bu3dfee': wanted .*dataset.toml; did you mean 'bu3dfe'"):
        load_card("bu3dfee")
