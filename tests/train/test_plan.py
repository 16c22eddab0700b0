"""What the plan of an experiment says of the people in its data, or refuses."""

from pathlib import Path

import pytest

from fer3d.catalog.stored_card import store_card
from fer3d.errors import ProtocolError
from fer3d.prepare.store import write_manifest
from fer3d.train.plan import Experiment, plan_experiment


def prepared(folder: Path, card: str, subjects: dict[str, str], part: str = "") -> Path:
    """A prepared folder of which there is a manifest only: scan -> subject."""
    rows = [
        {"id": name, "status": "ok", "dataset": card, "subject": subject, "expression": label, "source": name}
        | {
            "attributes": f'{{"part": "{part or name.split("-")[0]}"}}',
            "file": f"scans/{name}.safetensors",
            "prefix": "",
        }
        for name, subject in subjects.items()
        for label in (("happiness", "sadness")[len(name) % 2],)
    ]
    store_card(card, folder)
    (folder / "scans").mkdir(parents=True)
    for row in rows:
        (folder / row["file"]).touch()
    write_manifest(folder, rows)
    return folder


def plan(folder: Path, protocol: str = "k-fold", **more: object):
    folds = 2 if protocol == "k-fold" else None
    return plan_experiment(Experiment(folder, protocol, classes=("happiness", "sadness"), folds=folds, **more), 0)


def test_data_without_people_says_so(tmp_path):
    folder = prepared(tmp_path, "fer2013", {f"train-{10**n}": f"fer{n}" for n in range(4)})
    said = "the data set names no people: each picture counts as one, and a person may be in several parts"
    assert plan(folder).protocol.notes == (said,)


def test_people_that_are_named_need_no_note(tmp_path):
    folder = prepared(tmp_path, "generic", {f"{who}-{10**n}": who for who in ("anna", "bert") for n in range(2)})
    assert plan(folder).protocol.notes == ()


def test_unknown_people_are_refused_or_said(tmp_path):
    names = {f"{part}-{10**n}": f"unknown ({part})" for part in ("train", "test") for n in range(2)}
    folder = prepared(tmp_path / "a", "pictures", names)
    with pytest.raises(ProtocolError, match=r"4 of 4 scans name no person: add a labels\.csv .*--protocol parts"):
        plan(folder)
    said = ("4 of 4 scans name no person: whether people are in several parts is unknown",)
    assert plan(folder, "parts").protocol.notes == said
    other = prepared(tmp_path / "b", "bu3dfe", {"F0001-1": "F0001", "F0002-10": "F0002"})
    assert plan(folder, "cross", test_data=other).protocol.notes == said
