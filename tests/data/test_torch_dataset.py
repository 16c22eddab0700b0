import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fer3d.data.torch_dataset import PreparedDataset
from fer3d.errors import ArgumentError
from fer3d.prepare.shards import pack
from fer3d.prepare.store import PreparedScan, write_manifest, write_scan
from fer3d.scan import EXPRESSIONS


@pytest.fixture
def folder(tmp_path):
    """Three scans whose values tell scan, channel, row and column: 1000 scan + 100 channel + 10 row + column."""
    folder, rows = tmp_path / "prepared", []
    for number, (label, intensity) in enumerate([("fear", 4), ("neutral", None), ("fear", 1)]):
        c, r, k = np.meshgrid(range(3), range(4), range(5), indexing="ij")
        maps = (1000 * number + 100 * c + 10 * r + k).astype(np.float16)
        maps[2, 3, 4] = np.nan
        arrays = {"maps": maps, "mask": np.ones((4, 5), np.uint8)}
        if number != 1:
            arrays["texture"] = np.stack([np.full((4, 5), 50 * number + 7 * i, np.uint8) for i in range(3)], axis=-1)
        row = {
            "id": f"s{number}",
            "status": "ok",
            "source": f"s{number}.wrl",
            "file": f"scans/s{number}.safetensors",
            "prefix": "",
            "expression": label,
            "intensity": intensity,
        }
        rows.append(row)
        header = {"row": row, "channels": ["depth", "normal_x", "normal_y"], "pixel_mm": 2.0, "settings": {}}
        write_scan(folder / row["file"], PreparedScan(arrays, header))
    rows.append({"id": "s9", "status": "failed", "reason": "s9.wrl: is empty", "source": "s9.wrl"})
    write_manifest(folder, rows)
    return folder


def test_samples_hold_the_channels_asked_for_in_that_order(folder):
    sample = PreparedDataset(folder, ["normal_y", "depth"], fill=-1.0)[2]
    assert sample["maps"].shape == (2, 4, 5)
    assert sample["maps"].dtype == torch.float32
    assert sample["maps"][0, 1, 2] == 2212
    assert sample["maps"][1, 1, 2] == 2012
    assert sample["maps"][0, 3, 4] == -1.0
    assert sample["label"] == EXPRESSIONS.index("fear")


def test_shards_read_like_loose_scans(folder, tmp_path):
    pack(folder, tmp_path / "packed", 2)
    loose, packed = (PreparedDataset(f, texture=True) for f in (folder, tmp_path / "packed"))
    assert len(loose) == len(packed) == 3
    for a, b in zip(loose, packed, strict=True):
        for name in ("maps", "mask", "texture"):
            torch.testing.assert_close(a[name], b[name], rtol=0, atol=0)
        assert a["label"] == b["label"]


def test_textures_are_channels_first_and_black_where_there_is_none(folder):
    data = PreparedDataset(folder, texture=True)
    assert data[2]["texture"][:, 0, 0].tolist() == [100, 107, 114]
    assert data[1]["texture"].shape == (3, 4, 5)
    assert int(data[1]["texture"].max()) == 0


def test_rows_and_classes_can_be_chosen(folder):
    strong = PreparedDataset(folder, where=lambda row: (row["intensity"] or 0) >= 3)
    assert [row["id"] for row in strong.rows] == ["s0"]
    six = PreparedDataset(folder, classes=EXPRESSIONS[1:])
    assert [six[i]["label"] for i in range(len(six))] == [2, 2]  # fear among anger, disgust, fear, ...


def test_workers_stack_batches(folder):
    loader = DataLoader(PreparedDataset(folder, texture=True), batch_size=3, num_workers=1)
    (batch,) = list(loader)
    assert batch["maps"].shape == (3, 3, 4, 5)
    assert batch["label"].tolist() == [3, 0, 3]
    assert batch["index"].tolist() == [0, 1, 2]


def test_transforms_see_each_sample(folder):
    data = PreparedDataset(folder, transform=lambda sample: sample | {"double": 2 * sample["maps"]})
    torch.testing.assert_close(data[1]["double"], 2 * data[1]["maps"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": ["depth", "texture"]}, "`channels` should hold names out of depth, normal_x, .* 'texture'"),
        ({"classes": ["joy"]}, "`classes` should hold names out of neutral, anger, .* 'joy'"),
        ({"where": lambda row: False}, "`folder` should hold at least one prepared scan"),
    ],
)
def test_what_is_wrong_is_said(folder, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        PreparedDataset(folder, **arguments)
