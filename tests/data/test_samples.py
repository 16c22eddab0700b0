from pathlib import Path

import pytest
import torch

from fer3d.data.samples import check_same_recipe, labelled_rows, load
from fer3d.errors import ArgumentError, FileError
from fer3d.prepare import shards, store
from tests.prepared import SIX, write_prepared


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", ["F0001", "M0001"])


def test_scans_come_in_the_order_of_their_ids_with_their_labels(folder):
    rows = labelled_rows(folder)
    data = load([(folder, rows)], ["depth", "texture"], SIX)
    assert data.values.shape == (24, 5, 16, 16)
    assert data.values.dtype == torch.float16
    assert data.channels == ("depth", "red", "green", "blue")
    assert [row["id"] for row in data.rows] == sorted(row["id"] for row in rows)
    assert [SIX[k] for k in data.labels] == [row["expression"] for row in data.rows]
    assert data.pixel == 180 / 16
    scan = store.read_scan(folder / data.rows[5]["file"])
    depth = torch.from_numpy(scan.arrays["maps"][0])
    torch.testing.assert_close(data.values[5, 0, 1:], depth[1:], rtol=0, atol=0)
    assert (data.values[5, :, 0] == 0).all()  # not measured


def test_shards_read_like_loose_scans(folder, tmp_path):
    shards.pack(folder, tmp_path / "packed", 7)
    one, two = (load([(f, labelled_rows(f))], ["normal"], SIX) for f in (folder, tmp_path / "packed"))
    torch.testing.assert_close(one.values, two.values, rtol=0, atol=0)
    assert one.digests == two.digests
    assert len(set(one.digests)) == 24


def test_rows_of_a_subject(folder):
    data = load([(folder, labelled_rows(folder))], ["depth"], SIX)
    rows = data.rows_of(["M0001"])
    assert len(rows) == 12
    assert {data.rows[i]["subject"] for i in rows.tolist()} == {"M0001"}


def test_what_is_wrong_is_said(folder, tmp_path):
    with pytest.raises(FileError, match="nowhere/manifest.parquet: is missing"):
        labelled_rows(tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match="prepared: wanted labelled scans that the protocol uses, got none of 24"):
        labelled_rows(folder, lambda row: False)
    mixed = write_prepared(tmp_path / "mixed", ["F0001"])
    bigger = write_prepared(tmp_path / "bigger", ["F0001"], size=20)
    name = "scans/F0001_fear_4.safetensors"
    (mixed / name).write_bytes((bigger / name).read_bytes())
    with pytest.raises(ArgumentError, match=r"F0001_fear_4.safetensors: the maps should be \(16, 16\), are \(20, 20\)"):
        load([(mixed, labelled_rows(mixed))], ["depth"], SIX)


def test_crops_and_photographs_may_be_combined_and_sizes_may_not():
    one, other = ({"channels": [], "pixel_mm": 2.0, "settings": {"size": 48, "crops": crops}} for crops in (None, True))
    check_same_recipe(Path("a"), one, Path("b"), other)
    other["settings"]["size"] = 64
    with pytest.raises(ArgumentError, match="^b: `settings` should be as in a, .* is "):
        check_same_recipe(Path("a"), one, Path("b"), other)


def test_a_scan_whose_surface_has_no_colour_in_places_is_fed_its_mean_colour_there(folder, tmp_path):
    copy = write_prepared(tmp_path / "partly", ["F0001"])
    path = copy / labelled_rows(copy)[3]["file"]
    scan = store.read_scan(path)
    coloured = scan.arrays["mask"].copy()
    coloured[:, 10:] = 0
    texture = scan.arrays["texture"] * coloured[..., None]
    arrays = {**scan.arrays, "texture": texture, "coloured": coloured}
    store.write_scan(path, store.PreparedScan(arrays, scan.header))
    shards.pack(copy, tmp_path / "packed", 5)
    for place in (copy, tmp_path / "packed"):
        data = load([(place, labelled_rows(place))], ["depth", "texture"], SIX)
        red = data.values[3, 1].float()
        assert (red[1:, 10:] == red[1, 10]).all()
        assert 255 * red[1, 10] == pytest.approx(texture[coloured > 0].mean(), abs=1.0)
        assert (data.values[3, -1, 1:] == 1).all()  # the surface is there
        torch.testing.assert_close(red[1:, :10] * 255, torch.from_numpy(texture[1:, :10, 0]).float(), atol=0.1, rtol=0)
