import pytest

from fer3d.checks import check_choice, did_you_mean, nearest
from fer3d.config import TrainSettings
from fer3d.errors import ArgumentError, ProtocolError
from fer3d.maps.registry import STANDARD_GROUPS
from fer3d.scan import LABELS


def test_a_name_that_is_known_passes():
    check_choice("maps", "depth", STANDARD_GROUPS)
    check_choice("maps", ("depth", "texture"), STANDARD_GROUPS)
    check_choice("maps", (), STANDARD_GROUPS)
    check_choice("maps", "b", {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("deph", "`maps` should be one of depth, normal, curvature, texture, is 'deph'; did you mean 'depth'?"),
        (["depth", "Norm"], "`maps` should hold names out of depth, .*, holds 'Norm'; did you mean 'normal'"),
        ("zzz", "is 'zzz'$"),
        (None, "is None$"),
    ],
)
def test_a_name_that_is_not_known_is_an_error_with_the_nearest(value, message):
    with pytest.raises(ArgumentError, match=message):
        check_choice("maps", value, STANDARD_GROUPS)


def test_the_class_of_the_error_can_be_chosen():
    with pytest.raises(ProtocolError, match="`protocol` should be one of none, is 'x'"):
        check_choice("protocol", "x", (), ProtocolError)


def test_any_single_typing_error_finds_every_label_and_every_map_back():
    names = {*LABELS, *STANDARD_GROUPS}
    for name in names:
        typed = [name[:at] + name[at + 1 :] for at in range(len(name))]  # a letter left out
        typed += [name[:at] + "q" + name[at + 1 :] for at in range(len(name))]  # a wrong one
        typed += [name[:at] + name[at] + name[at:] for at in range(len(name))]  # one twice
        typed += [name[:at] + name[at + 1] + name[at] + name[at + 2 :] for at in range(len(name) - 1)]  # exchanged
        assert {nearest(text, names) for text in (*typed, name.upper())} == {name}
    keys = TrainSettings.model_fields
    assert all(nearest(key[:-1] + "#", keys) is not None for key in keys)


def test_what_people_call_a_class_finds_it_and_nonsense_finds_nothing():
    called = {"happy": "happiness", "sad": "sadness", "angry": "anger", "surprised": "surprise"}
    assert {word: nearest(word, LABELS) for word in called} == called
    assert [nearest(word, LABELS) for word in ("", "7", "xyz", "wink")] == [None] * 4
    assert did_you_mean("7", LABELS) == ""
