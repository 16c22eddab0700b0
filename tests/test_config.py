import re

import pytest

from fer3d.config import PreprocessSettings, parse_assignments, preprocess_settings, read_toml
from fer3d.errors import ConfigError, FileError


def test_later_sources_win(tmp_path):
    config = tmp_path / "own.toml"
    config.write_text("size = 96\ncrop_mm = 80.0\nspike_mm = 1.5\n", encoding="utf-8")
    settings = preprocess_settings(config, ["size=112", "crop_mm=85"], size=128)
    assert (settings.size, settings.crop_mm, settings.spike_mm) == (128, 85.0, 1.5)


def test_a_pixel_keeps_the_field_of_view_whatever_the_size():
    for size in (56, 112, 224, 448):
        assert PreprocessSettings(size=size).pixel * size == pytest.approx(179.2)
    assert PreprocessSettings(size=112, pixel_mm=0.5).pixel == 0.5


def test_lists_of_numbers_may_be_typed_plainly():
    settings = preprocess_settings(None, ["tree_levels=900,90,9", "tree_radii_mm=4", "tree_rings=[0.5, 1.0]"])
    assert settings.tree_levels == (900, 90, 9)
    assert settings.tree_radii_mm == (4.0,)
    assert settings.tree_rings == (0.5, 1.0)


@pytest.mark.parametrize("text", ["texture,depth", ["texture", "depth"], "depth,texture,depth"])
def test_maps_have_one_order(text):
    assert PreprocessSettings(maps=text).maps == ("depth", "texture")


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["siz=112"], "settings: unknown key `siz`; did you mean `size`?"),
        (["qqq=1"], "settings: unknown key `qqq`; valid are unit, spike_mm"),
        (["size=4"], "settings: `size` Input should be greater than or equal to 8, got 4"),
        (["crop_mm=nan"], "settings: `crop_mm` Input should be"),
        (
            ["maps=depth,nose"],
            "settings: `maps` should hold names out of depth, normal, curvature, texture, holds 'nose'",
        ),
        (["pose=sideways"], "settings: `pose` Input should be 'auto', 'file' or 'found', got 'sideways'"),
        (["tree_levels=68,256"], "settings: `tree_levels` should be at least two descending numbers of vertices, got"),
        (["tree_rings=0.5,2"], "settings: `tree_rings` should be ascending shares in (0, 1], got"),
        (["tree_radii_mm=-3"], "settings: `tree_radii_mm` should be at least one length in (0, 1000] mm, got"),
        (["size"], "settings: `--set size` should read key=value"),
    ],
)
def test_a_bad_setting_is_named(assignments, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        preprocess_settings(assignments=assignments)


def test_a_bad_file_is_named(tmp_path):
    with pytest.raises(FileError, match="none.toml: cannot be read"):
        read_toml(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("size = = 3", encoding="utf-8")
    with pytest.raises(ConfigError, match="broken.toml: is not TOML"):
        read_toml(broken)
    broken.write_text("seize = 3", encoding="utf-8")
    with pytest.raises(ConfigError, match="broken.toml: unknown key `seize`; did you mean `size`"):
        preprocess_settings(broken)


def test_assignments_are_toml_values_where_they_parse():
    assert parse_assignments(["a=1", "b=1.5", "c=true", "d=word", 'e="3"', "f=x,y"]) == {
        "a": 1,
        "b": 1.5,
        "c": True,
        "d": "word",
        "e": "3",
        "f": ["x", "y"],
    }
