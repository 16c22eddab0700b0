"""Pictures as bytes: the same numbers as before, in their own size, each shard opened once."""

import numpy as np
import pytest
import torch

from fer3d.data.channels import Normalisation, channel_names, stack_channels
from fer3d.data.picture_stack import PictureFiller
from fer3d.data.samples import labelled_rows, load
from fer3d.errors import ArgumentError, FormatError
from fer3d.prepare import shards, store
from fer3d.prepare.tensors import Tensors
from tests.prepared import SIX, write_prepared

SIDE = 21  # odd, so that the bits of a mask do not fill their bytes


def pictures(count, grey, cut=0, seed=0):
    """(texture, mask) of random pictures with all bytes; the upper `cut` rows of the mask are unmeasured."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        texture = random.integers(0, 256, (SIDE, SIDE, 1 if grey else 3), dtype=np.uint8)
        texture.flat[:256] = np.arange(256)
        mask = np.ones((SIDE, SIDE), np.uint8)
        mask[:cut] = 0
        mask[-1, -1] = 2 * (cut == 0)  # 2: filled, which counts as measured
        yield np.repeat(texture, 3 if grey else 1, axis=2), mask


def stack_of(pairs):
    pairs = list(pairs)
    filler = PictureFiller(len(pairs))
    for number, (texture, mask) in enumerate(pairs):
        filler.put(number, texture, mask, "x")
    return filler.stack()


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize("cut", [0, 3])
def test_a_batch_has_the_numbers_of_stacked_channels_bit_for_bit(grey, cut):
    pairs = list(pictures(5, grey, cut))
    stack = stack_of(pairs)
    wanted = np.stack([stack_channels(["texture"], (), np.zeros((0, SIDE, SIDE)), mask, rgb) for rgb, mask in pairs])
    assert stack.shape == wanted.shape
    assert torch.equal(stack.float(), torch.from_numpy(wanted).float())
    rows = torch.tensor([4, 0, 4])
    assert torch.equal(stack[rows].float(), torch.from_numpy(wanted)[rows].float())
    assert torch.equal(stack[1:3].float(), torch.from_numpy(wanted)[1:3].float())
    names = channel_names(["texture"])
    fits = [Normalisation.fit(names, values, torch.arange(5)) for values in (stack, torch.from_numpy(wanted))]
    assert fits[0] == fits[1]


def test_what_is_held_is_a_byte_a_pixel_and_a_bit_of_the_mask():
    count, pixels = 40, SIDE * SIDE
    assert stack_of(pictures(count, grey=True)).nbytes == count * pixels
    assert stack_of(pictures(count, grey=False)).nbytes == 3 * count * pixels
    assert stack_of(pictures(count, grey=True, cut=2)).nbytes == count * (pixels + -(-pixels // 8))


def test_one_picture_in_colour_among_grey_ones():
    pairs = [*pictures(2, grey=True), *pictures(1, grey=False, cut=2), *pictures(1, grey=True, seed=9)]
    made = stack_of(pairs).float()
    for number, (texture, mask) in enumerate(pairs):
        alone = stack_of([(texture, mask)]).float()[0]
        assert torch.equal(made[number], alone)


def test_a_grey_set_in_memory_is_little_more_than_its_bytes(tmp_path):
    folder = write_prepared(tmp_path / "grey", ["F0001", "M0001"], size=32)
    data = load([(folder, labelled_rows(folder))], ["texture"], SIX)
    raw = 24 * 32 * 32
    held = [tensor.nbytes for tensor in vars(data.values).values() if tensor is not None]
    assert sum(held) == data.nbytes <= 1.2 * raw
    assert data.take(torch.arange(24), torch.device("cpu")).dtype == torch.float32
    both = load([(folder, labelled_rows(folder))], ["depth", "texture"], SIX)
    rows = torch.tensor([3, 17])
    assert torch.equal(data.take(rows, torch.device("cpu")), both.take(rows, torch.device("cpu"))[:, 1:])
    light = load([(folder, labelled_rows(folder))], ["texture"], SIX, "hist-eq")
    assert light.nbytes == data.nbytes


def test_each_shard_is_opened_once_whatever_the_order_of_the_rows(tmp_path, monkeypatch):
    folder = write_prepared(tmp_path / "loose", ["F0001", "M0001"])
    shards.pack(folder, tmp_path / "packed", 7)
    rows = labelled_rows(tmp_path / "packed")
    shuffled = [rows[k] for k in np.random.default_rng(0).permutation(len(rows))]
    opened = []
    monkeypatch.setattr(store, "Tensors", lambda path: opened.append(path) or Tensors(path))
    data = load([(tmp_path / "packed", shuffled)], ["texture"], SIX)
    assert len(opened) == len(set(opened)) == 4  # shards of 7, 7, 7 and 3
    monkeypatch.undo()
    loose = load([(folder, labelled_rows(folder))], ["texture"], SIX)
    places = torch.tensor([[row["id"] for row in loose.rows].index(row["id"]) for row in data.rows])
    assert torch.equal(data.values.float(), loose.values[places].float())
    assert data.digests == tuple(loose.digests[k] for k in places.tolist())


def test_rows_of_training_leave_out_how_a_scan_was_prepared(tmp_path):
    folder = write_prepared(tmp_path / "out", ["F0001"])
    rows, whole = labelled_rows(folder), store.read_manifest(folder)
    assert rows == [{key: row[key] for key in row if key not in store.RECORD_COLUMNS} for row in whole]
    assert set(store.RECORD_COLUMNS) < set(whole[0])
    assert all(row["dataset"] is rows[0]["dataset"] for row in rows)  # one word, not one for each row


def test_pictures_of_two_sizes_and_a_shard_without_its_tensors(tmp_path):
    filler = PictureFiller(2)
    filler.put(0, np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.uint8), "a")
    with pytest.raises(ArgumentError, match=r"^b: the maps should be \(4, 4\), are \(5, 5\)$"):
        filler.put(1, np.zeros((5, 5, 3), np.uint8), np.ones((5, 5), np.uint8), "b")
    folder = write_prepared(tmp_path / "out", ["F0001"])
    rows = labelled_rows(folder)
    scan = store.read_row(folder, rows[3])
    arrays = {name: array for name, array in scan.arrays.items() if name != "mask"}
    store.write_scan(folder / rows[3]["file"], store.PreparedScan(arrays, scan.header))
    with pytest.raises(FormatError, match="lacks the array mask; "):
        load([(folder, rows)], ["texture"], SIX)
