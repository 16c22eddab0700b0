"""Cards: read whole, or refused in one line that names file, key, what was wanted and what came."""

import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer3d.catalog.cards import SHIPPED, Crops, load_card, shipped_cards
from fer3d.errors import CardError

GOOD = (SHIPPED / "generic" / "dataset.toml").read_text(encoding="utf-8")


def test_card_by_name_by_file_and_by_folder():
    by_name, by_file = load_card("bu4dfe"), load_card(SHIPPED / "bu4dfe" / "dataset.toml")
    assert by_name == by_file == load_card(str(SHIPPED / "bu4dfe"))


def test_card_survives_the_way_to_a_worker():
    card = load_card("bosphorus")
    path = "bs001/bs001_E_FEAR_0.bnt"
    assert card.match(path)  # fills its caches
    assert pickle.loads(pickle.dumps(card)).match(path)["expression"] == "FEAR"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('licence = "', 'license = "', r"`licence` is missing: wanted a key of that name \(and 1 more\)"),
        ('citation = "none"', 'citation = " "', r"`citation`: wanted .*match pattern.*, got ' '"),
        ('unit = "auto"', 'unit = "inch"', r"`unit`: wanted 'mm', 'cm', 'm' or 'auto', got 'inch'"),
        ('up = "auto"', 'up = "y"', r"`up`: wanted '\+x'.*, got 'y'"),
        ('unit = "auto"', 'unit = "mm"\ncolour = "red"', r"`colour`: wanted a known key, got 'colour'"),
        (
            'id = "{path}"',
            'id = "{path}"\nlook_abov = 1',
            r"`look_abov`: wanted a known key, .*; did you mean 'look_above'",
        ),
        ('id = "{path}"', 'id = "{path}"\n[expected]\nscan = 3\n', r"`expected.scan`: .*; did you mean 'scans'"),
        ("wanted = false", "wantd = false", r"is missing.*; rename 'wantd' to 'wanted'"),
        ('id = "{path}"', 'id = "{path}"\nevidence = ["("]', r"`evidence`: wanted a regular expression, got '\('"),
        ("licence = ", "license = ", r"`licence` is missing: .*; rename 'license' to 'licence'"),
        ('happy = "happiness"', 'happy = "hapiness"', r"got 'hapiness'; did you mean 'happiness'\?"),
        ('id = "{path}"', 'id = "{path}"\nlook_above = ' + 5000 * "9", r"is not TOML \(Exceeds the limit"),
        ('happy = "happiness"', 'happy = "joyful"', r"`labels`: wanted canonical labels \(neutral, .*\), got 'joyful'"),
        ("?P<subject>[^/]+)/(?P<expression>", "?P<who>[^/]+)/(?P<expression>", r"wanted a group \(\?P<subject>"),
        ("[^/]+%suffixes%'", "[^/+%suffixes%'", r"`patterns`: wanted a regular expression, got .*: unterminated"),
        ('["{stem}.lm2"]', '["{stern}.lm2"]', r"`companions.landmarks_2d.files`: wanted .*stem.*, got '{stern}.lm2'"),
        ('["{stem}.lm2"]', '["{stem.upper}.lm2"]', r"`companions.landmarks_2d.files`: wanted .*, got '{stem.upper}"),
        ('["{stem}.lm2"]', '["{stem.lm2"]', r"`companions.landmarks_2d.files`: wanted a template .*, got '{stem.lm2'"),
        ('["{stem}.lm2"]', "[]", r"`companions.landmarks_2d.files`: wanted .*at least 1 item"),
        ("[companions.material]", "[companions.scan]", r"`companions`: wanted roles other than `scan`"),
        ('["{stem}.mtl"]\nwanted = false', '["{stem}.mtl"]\nwanted = "no"', r"`companions.material.wanted`: .*'no'"),
        ('["{stem}.mtl"]\nwanted = false', '["{stem}.mtl"]', r"`companions.material.wanted` is missing"),
        ('id = "{path}"', 'id = "{path}"\nconstant = ["height"]', r"`constant`: wanted named groups .*, got 'height'"),
        ('id = "{path}"', 'id = "{path}"\nlook_above = 9', r"`look_above`: wanted less than or equal to 3, got 9"),
        ('id = "{path}"', 'id = "{path}"\nexpected = {subjects = ["F9..F1"]}', r"wanted a range .*, got 'F9..F1'"),
        (
            'id = "{path}"',
            'id = "{path}"\nexpected = {per_subject = {joy = 1}}',
            r"wanted canonical labels .*, got 'joy'",
        ),
        (
            'up = "auto"\ntowards_camera = "auto"',
            'up = "+y"\ntowards_camera = "-y"',
            r"`towards_camera`: wanted an axis across `up` \+y, got -y",
        ),
        ('id = "{path}"', 'id = "{path}"\ncrops = true', r"`crops`: wanted kind pictures, got scans"),
        (
            'id = "{path}"',
            'id = "{path}"\nkind = "pictures"\ncrops = {where = {height = "1"}}',
            r"`crops.where`: wanted named groups of the patterns, got 'height'",
        ),
        ('name = "generic"', "name = ", r"is not TOML \(Invalid value"),
        ('name = "generic"', 'name = "No Name"', r"`name`: wanted .*, got 'No Name'"),
    ],
)
def test_bad_card_is_refused_in_one_line(tmp_path: Path, old: str, new: str, message: str):
    file = tmp_path / "dataset.toml"
    assert old in GOOD
    file.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(CardError, match=message) as error:
        load_card(file)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


def test_missing_card_names_those_there_are():
    with pytest.raises(CardError, match=r"no data set card 'bu5dfe': wanted .*bosphorus, .* or a dataset\.toml"):
        load_card("bu5dfe")


def test_card_in_another_encoding(tmp_path: Path):
    (tmp_path / "dataset.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(CardError, match=r"dataset\.toml: wanted UTF-8 text, got byte 0xff"):
        load_card(tmp_path)


@given(text=st.text(max_size=60), old=st.sampled_from(GOOD.splitlines()))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_card_is_read_or_refused(tmp_path: Path, text: str, old: str):
    file = tmp_path / "dataset.toml"
    file.write_bytes(GOOD.replace(old, text).encode("utf-8", "surrogatepass"))
    try:
        load_card(file)
    except CardError as error:
        assert "\n" not in str(error)


def test_which_data_sets_hold_crops():
    crops = {name: card.crops for name in shipped_cards() if (card := load_card(name)).crops}
    aligned, small = Crops(where={"version": "aligned"}), Crops(pixels=48)
    assert crops == {
        "ckplus": small,  # the copy CK+48
        "fer2013": True,
        "fer2013-folders": small,
        "ferplus": small,
        "oulu-casia": Crops(where={"version": "cropped"}),
        "raf-db": aligned,
        "sfew": aligned,
        "tfd": True,
    }
    assert [small.hold({}, shape) for shape in ((48, 48, 3), (30, 48), (48, 49, 3))] == [True, True, False]
    both = Crops(pixels=48, where={"version": "aligned"})
    assert [both.hold(words, (48, 48)) for words in ({"version": "aligned"}, {"version": "original"}, {})] == [
        True,
        False,
        False,
    ]
