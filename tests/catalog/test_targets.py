"""Targets beyond the eight labels: from paths and tables, through the manifest, to arrays."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer3d.catalog import read_catalog, read_records
from fer3d.catalog.action_units import read_unit, shown_and_absent, split_action_units
from fer3d.catalog.card_targets import Scale, Scoring, Targets
from fer3d.catalog.cards import SHIPPED, load_card
from fer3d.catalog.targets import (
    COMPOUND,
    TARGETS,
    ClassTarget,
    UnitTarget,
    ValueTarget,
    says,
    target_from_json,
    target_of,
    targets_in,
)
from fer3d.errors import ArgumentError, CardError
from fer3d.prepare.scan import record_facts
from fer3d.prepare.store import LATER_COLUMNS, read_manifest, write_manifest
from fer3d.scan import LABELS
from tests import trees

NAN = math.nan


def rows_of(*cells):
    return [{"id": f"s{number}", **cell} for number, cell in enumerate(cells)]


def test_classes_are_in_canonical_order_and_unknown_is_minus_one():
    rows = rows_of({"expression": "surprise"}, {"expression": None}, {"expression": "anger"}, {})
    target, values = target_of(rows, "expression")
    assert (target.kind, target.names) == ("classes", ("anger", "surprise"))
    assert (values.dtype, values.tolist()) == (np.int64, [1, -1, 0, -1])
    assert target.known(values).tolist() == [True, False, True, False]
    assert target.counts(values) == {"anger": 1, "surprise": 1}
    assert target_of(rows, "expression", LABELS).values.tolist() == [6, -1, 1, -1]


def test_compound_classes_that_only_a_data_set_has_come_last():
    rows = rows_of(*({"compound": name} for name in ("zealous", "sadly angry", "happily surprised", "a new one")))
    target, values = target_of(rows, "compound")
    assert target.names == ("happily surprised", "sadly angry", "a new one", "zealous")
    assert values.tolist() == [3, 1, 0, 2]


def test_units_are_shown_absent_or_unknown():
    rows = rows_of(
        {"action_units": ["AU12C", "AU6"], "absent_units": ["AU4"]},
        {"action_units": [], "absent_units": ["AU12"]},
        {"action_units": ["AU1"], "absent_units": None},
        {"action_units": [], "absent_units": None},
        {},
    )
    target, values = target_of(rows, "action-units")
    assert (target.kind, target.names) == ("multi-label", ("AU1", "AU4", "AU6", "AU12"))
    wanted = [[NAN, 0, 1, 1], [NAN, NAN, NAN, 0], [1, NAN, NAN, NAN], [NAN] * 4, [NAN] * 4]
    np.testing.assert_array_equal(values, wanted)
    assert target.known(values).tolist() == [True, True, True, False, False]
    assert target.counts(values) == {"AU1": 1, "AU4": 0, "AU6": 1, "AU12": 1}
    np.testing.assert_array_equal(target_of(rows, "action-units", ["AU12", "AU7"]).values[:, 1], [NAN] * 5)
    np.testing.assert_array_equal(target_of(rows, "action-units", ["AU12", "AU7"]).values[:, 0], values[:, 3])


def test_intensities_are_known_where_somebody_scored_them():
    rows = rows_of(
        {"action_units": ["AU12C", "AU6", "AU25:2.5"], "absent_units": ["AU4"]},
        {"action_units": ["AU12L:1", "AU12R:4", "AU12"]},
    )
    target, values = target_of(rows, "action-unit-intensities")
    assert (target.kind, target.names, target.span) == ("values", ("AU4", "AU6", "AU12", "AU25"), (0.0, 5.0))
    np.testing.assert_array_equal(values, [[0, NAN, 3, 2.5], [NAN, NAN, 4, NAN]])
    assert target.counts(values) == {"AU4": 1, "AU6": 0, "AU12": 2, "AU25": 1}


def test_valence_and_arousal_alone_and_together():
    rows = rows_of({"valence": 0.5, "arousal": None}, {"valence": -1.0, "arousal": 1.0}, {"valence": NAN}, {})
    np.testing.assert_array_equal(target_of(rows, "valence").values, [[0.5], [-1], [NAN], [NAN]])
    target, values = target_of(rows, "valence-arousal")
    assert (target.kind, target.names, target.span) == ("values", ("valence", "arousal"), (-1.0, 1.0))
    np.testing.assert_array_equal(values, [[0.5, NAN], [-1, 1], [NAN, NAN], [NAN, NAN]])
    assert [says(row, "valence-arousal") for row in rows] == [True, True, False, False]
    assert targets_in(rows) == {"valence": 2, "arousal": 1, "valence-arousal": 2}


@pytest.mark.parametrize(
    ("rows", "name", "names", "message"),
    [
        ([{}], "valance", None, "`target` should be one of expression, .*, is 'valance'; did you mean 'valence'?"),
        (
            [{"expression": "fear"}, {"arousal": 0.1}],
            "action-units",
            None,
            "`target` action-units: none of 2 scans says it; they say expression, arousal, valence-arousal",
        ),
        ([{"expression": None}], "compound", None, "none of 1 scans says it; they say nothing"),
        (
            [{"expression": "hapiness"}],
            "expression",
            LABELS,
            "`expression of scan s0` should be one of neutral, .*, is 'hapiness'; did you mean 'happiness'?",
        ),
        ([{"valence": 1.5}], "valence", None, r"`valence` should lie in \[-1, 1\], is 1.5 in 'scan s0'"),
        ([{"valence": 0.5}], "valence", ["arousal"], "`names` of valence should be valence, is arousal"),
        ([{"action_units": ["smile"]}], "action-units", None, "action units of scan s0: wanted a code such as AU12"),
        ([{"action_units": ["AU1:7"]}], "action-units", None, r"scan s0: wanted an intensity in \[0, 5\], got 'AU1:7'"),
        ([{"action_units": ["AU1"], "absent_units": ["AU1"]}], "action-units", None, "scan s0: .* got both of AU1"),
        ([{"action_units": ["AU1"]}], "action-units", [], "`names` of action-units should be one or more different"),
        ([{"action_units": ["AU1"]}], "action-units", ["AU1", "AU1"], "should be one or more different names"),
    ],
)
def test_what_is_wrong_is_named(rows, name, names, message):
    with pytest.raises(ArgumentError, match=message) as error:
        target_of(rows_of(*rows), name, names)
    assert "\n" not in str(error.value)


SAMPLES = [
    (ClassTarget("compound", COMPOUND), [0, 14, -1], ["happily surprised", "awed", ""]),
    (
        UnitTarget("action-units", ("AU4", "AU12")),
        [[1, 0], [NAN, 1], [NAN, NAN]],
        ["AU4 AU12:0", "AU12", ""],
    ),
    (
        ValueTarget("valence-arousal", ("valence", "arousal"), (-1, 1)),
        [[0.5, -0.25], [NAN, 0.1], [NAN, NAN]],
        ["valence=0.5 arousal=-0.25", "arousal=0.1", ""],
    ),
]


@pytest.mark.parametrize(("target", "values", "texts"), SAMPLES)
def test_values_survive_text_and_targets_survive_json(target, values, texts):
    for value, text in zip(values, texts, strict=True):
        assert target.format(value if isinstance(value, int) else np.array(value)) == text
        np.testing.assert_array_equal(target.parse(text), value)
    assert target_from_json(target.to_json()) == target
    with pytest.raises(ArgumentError, match="should"):
        target.parse("no such thing at all")


@pytest.mark.parametrize("content", [{}, {"kind": "x", "name": "valence", "names": ["a"]}, [], {"kind": "values"}])
def test_json_that_is_no_target_is_refused(content):
    with pytest.raises(ArgumentError, match="`target` should have kind, name, names and, of values, span, is"):
        target_from_json(content)


@given(st.lists(st.sampled_from([0.0, 1.0, NAN]), min_size=3, max_size=3))
def test_any_units_survive_text(value):
    target = UnitTarget("action-units", ("AU1", "AU2", "AU12"))
    np.testing.assert_array_equal(target.parse(target.format(np.array(value))), value)


def test_codes_of_action_units():
    assert split_action_units("AU12:3 AU4:0,AU6L:2.50") == ("AU12:3", "AU4:0", "AU6L:2.5")
    assert read_unit("AU6L:2.5") == ("AU6", 2.5)
    assert [read_unit(f"AU1{letter}").intensity for letter in "ABCDE"] == [1, 2, 3, 4, 5]
    assert math.isnan(read_unit("AU12LW").intensity)
    assert shown_and_absent(("AU12L:1", "AU4:0")) == (("AU12L:1",), ("AU4",))
    with pytest.raises(ValueError, match="got both of AU12"):
        shown_and_absent(("AU12L", "AU12:0"))


def card_with(tmp_path: Path, text: str, patterns: str | None = None) -> Path:
    content = (SHIPPED / "generic" / "dataset.toml").read_text(encoding="utf-8")
    if patterns is not None:
        start, end = content.index("patterns = ["), content.index('id = "{path}"')
        content = content[:start] + patterns + content[end:]
    file = tmp_path / "dataset.toml"
    file.write_text(content + text, encoding="utf-8")
    return file


def test_a_label_table_says_targets(tmp_path):
    trees.touch(tmp_path / "scans", [f"anna/{number}.ply" for number in range(4)])
    (tmp_path / "scans" / "labels.csv").write_text(
        "path,compound,valence,arousal,action_units\n"
        "anna/0.ply,Happily_Surprised,0.5,-1,AU6 AU12:3.5;AU4:0\n"
        "anna/1.ply,HS,,1,AU4:0\n"
        "anna/2.ply,,-0.25,,\n"
        "anna/3.ply,awed,,,A22A25\n"
    )
    card = load_card(card_with(tmp_path, '[targets.compound]\nHS = "happily surprised"\nM = "mixed"\n'))
    found = read_records(tmp_path / "scans", card)
    assert [record.compound for record in found] == ["happily surprised", "happily surprised", None, "awed"]
    assert [record.valence for record in found] == [0.5, None, -0.25, None]
    assert [record.arousal for record in found] == [-1.0, 1.0, None, None]
    assert [record.action_units for record in found] == [("AU6", "AU12:3.5"), (), (), ("AU22", "AU25")]
    assert [record.absent_units for record in found] == [("AU4",), ("AU4",), (), ()]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x.ply,happily suprised,,,", "x.ply: wanted a compound expression among .*; did you mean 'happily surprised'"),
        ("x.ply,,2,,", r"x.ply: wanted a number in \[-1, 1\], got '2' as `valence`"),
        ("x.ply,,,much,", r"x.ply: wanted a number in \[-1, 1\], got 'much' as `arousal`"),
        ("x.ply,,nan,,", r"x.ply: wanted a number in \[-1, 1\], got 'nan' as `valence`"),
        ("x.ply,,,,AU12:9", r"x.ply: wanted an intensity in \[0, 5\], got 'AU12:9'"),
        ("x.ply,,,,AU12 smile", "x.ply: wanted action units such as .*, got 'smile'"),
        ("x.ply,,,,AU12:3x", "x.ply: wanted action units such as .*, got 'AU12:3x'"),
        ("x.ply,,,,AU12:0 AU12C", "x.ply: wanted a unit shown or not shown, got both of AU12"),
    ],
)
def test_a_wrong_cell_is_refused_in_one_line(tmp_path, line, message):
    trees.touch(tmp_path, ["x.ply"])
    (tmp_path / "labels.csv").write_text(f"path,compound,valence,arousal,action_units\n{line}\n")
    with pytest.raises(CardError, match=rf"labels\.csv:2: {message}") as error:
        read_records(tmp_path, load_card("generic"))
    assert "\n" not in str(error.value)


def test_paths_say_targets_and_a_card_says_how(tmp_path):
    names = ["anna_HS_v9_a5_12+6.ply", "anna_??_v1_a1_12.ply", "anna_HS_v12_a0_4.ply"]
    trees.touch(tmp_path / "scans", names)
    patterns = (
        "patterns = ['(?P<subject>[a-z]+)_(?P<compound>[^_]+)_v(?P<valence>\\d+)_a(?P<arousal>\\d+)"
        "_(?P<action_units>[\\d+]+)%suffixes%']\n"
    )
    text = """
[targets]
compound = { HS = "happily surprised" }
valence = { range = [1, 9] }
arousal = { range = [1, 9], unknown = [0] }
action_units = { units = ["AU4", "AU12"], complete = true }
"""
    card = load_card(card_with(tmp_path, text, patterns))
    found = {record.relative: record for record in read_records(tmp_path / "scans", card)}
    good, strange, outside = (found[name] for name in names)
    assert (good.compound, good.valence, good.arousal) == ("happily surprised", 1.0, 0.0)
    assert (good.action_units, good.absent_units) == (("AU12", "AU6"), ("AU4",))
    assert good.problems == ()
    assert strange.problems[0].startswith("wanted a compound expression among HS, happily surprised,")
    assert (outside.compound, outside.problems) == (
        "happily surprised",
        ("wanted a number in [1, 9], got '12' as `valence`",),
    )
    assert outside.arousal is None
    assert "compound" not in good.attributes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[targets]\nvalance = 1\n", "`targets.valance`: wanted a known key, got 'valance'"),
        ("[targets.valence]\nrange = [1, 0]\n", r"`targets.valence.range`: wanted two numbers, the lower first"),
        ("[targets.action_units]\nunits = ['12']\n", "`targets.action_units.units`: wanted units such as 'AU12'"),
        ("[targets.compound]\nx = ' '\n", "`targets.compound.x`: wanted"),
    ],
)
def test_a_card_with_wrong_targets_is_refused(tmp_path, text, message):
    with pytest.raises(CardError, match=message):
        load_card(card_with(tmp_path, text))


def test_a_scale_is_stretched_to_its_ends():
    scale = Scale(range=(1, 9), unknown=(-2,))
    assert [scale.value(text) for text in ("1", "5", "9", "-2", "-2.0")] == [-1, 0, 1, None, None]
    assert Scale().value("0.3") == 0.3
    assert Scoring(units=("AU1", "AU2")).absent(["AU1"]) == ()
    assert Scoring(units=("AU1", "AU2"), complete=True).absent(["AU1C"], ["AU9"]) == ("AU9", "AU2")
    assert Targets(compound={"7": "mixed"}).compound_class("MIXED") == "mixed"


def test_targets_go_through_the_manifest_and_an_old_one_lacks_them(tmp_path):
    trees.touch(tmp_path / "scans", ["anna/0.ply", "anna/1.ply"])
    (tmp_path / "scans" / "labels.csv").write_text(
        "path,compound,valence,arousal,action_units\nanna/0.ply,awed,0,1,AU6:2 AU4:0\nanna/1.ply,,,,\n"
    )
    records = read_records(tmp_path / "scans", load_card("generic"))
    rows = [record_facts(record) | {"status": "failed", "source": record.relative} for record in records]
    assert not set(LATER_COLUMNS) & rows[1].keys()  # so that the key of a scan without them stays what it was
    write_manifest(tmp_path, rows)
    read = read_manifest(tmp_path)
    assert [read[0][name] for name in LATER_COLUMNS] == ["awed", 0.0, 1.0, ["AU4"]]
    assert [read[1][name] for name in LATER_COLUMNS] == [None] * 4
    assert targets_in(read) == {name: 1 for name in TARGETS if name != "expression"}
    table = pq.read_table(tmp_path / "manifest.parquet")
    pq.write_table(table.drop_columns(list(LATER_COLUMNS)), tmp_path / "manifest.parquet")
    old = read_manifest(tmp_path)
    assert [old[0][name] for name in LATER_COLUMNS] == [None] * 4
    assert targets_in(old) == {"action-units": 1, "action-unit-intensities": 1}


def test_every_shipped_card_says_targets_that_are_none_or_known():
    found = {file.parent.name: load_card(file).targets for file in SHIPPED.glob("*/dataset.toml")}
    assert found["affectnet"].value("valence", "-2") is None
    assert len(found["ckplus"].action_units.units) == 30
    assert found["bosphorus"].action_units.complete is False


def test_the_truth_of_simulated_scans_says_their_action_units(tmp_path):
    trees.touch(tmp_path, ["set/anna/happy/1.ply", "set/anna/sad/1.ply"])
    rows = [
        {"file": "anna/happy/1.ply", "units": {"AU12_L": 0.6, "AU12_R": 0.8, "AU4_L": 0.0, "AU4_R": 0.3, "AU26": 1.1}},
        {"file": "taken/away.ply", "units": {"AU12_L": 1.0, "AU12_R": 1.0}},
    ]
    schema = pa.schema([("file", pa.string()), ("units", pa.map_(pa.string(), pa.float32()))])
    columns = {name: [list(row[name].items()) if name == "units" else row[name] for row in rows] for name in rows[0]}
    pq.write_table(pa.table(columns, schema=schema), tmp_path / "set" / "truth.parquet")
    catalog = read_catalog(tmp_path, load_card("generic"))
    happy, sad = catalog.records
    assert (happy.action_units, happy.absent_units) == (("AU4R:1.5", "AU12:4", "AU26:5"), ())
    assert (sad.action_units, sad.absent_units) == ((), ())
    assert (catalog.extra, catalog.notes) == ((), ())
    (tmp_path / "set" / "labels.csv").write_text("")
    (tmp_path / "labels.csv").write_text("path,action_units\nset/anna/happy/1.ply,AU1\nset/anna/sad/1.ply,\n")
    assert read_records(tmp_path, load_card("generic"))[0].action_units == ("AU1",)  # the table has the last word


def test_a_truth_that_is_damaged_is_a_note(tmp_path):
    trees.touch(tmp_path, ["anna/happy/1.ply", "truth.parquet"])
    catalog = read_catalog(tmp_path, load_card("generic"))
    assert len(catalog.records) == 1
    assert catalog.notes[0].startswith("truth.parquet: wanted the truth of a simulation, got ")
