import filecmp
import json
import struct

import numpy as np
import pytest

from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.files import write_bytes
from fer3d.prepare.shards import pack
from fer3d.prepare.store import (
    PreparedScan,
    manifest_landmarks,
    read_header,
    read_manifest,
    read_row,
    read_scan,
    read_tree,
    write_manifest,
    write_scan,
)


def prepared(name="a", seed=0):
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(2, 5, 7)).astype(np.float16)
    maps[0, 1, 2] = np.nan
    arrays = {
        "maps": maps,
        "mask": rng.integers(0, 3, (5, 7), dtype=np.uint8),
        "texture": rng.integers(0, 256, (5, 7, 3), dtype=np.uint8),
        "vertices": rng.normal(size=(4, 3)).astype(np.float32),
        "faces": np.array([[0, 1, 2], [1, 3, 2]], np.int32),
    }
    row = {
        "id": name,
        "status": "ok",
        "source": f"{name}.wrl",
        "file": f"scans/{name}.safetensors",
        "prefix": "",
        "expression": "fear",
        "landmark_names": ["pronasale", "alare_left"],
        "landmarks": [0.0, 0.0, 0.0, 17.0, -8.0, -12.0],
    }
    return PreparedScan(
        arrays, {"row": row, "channels": ["depth", "normal_x"], "pixel_mm": 0.8, "settings": {"size": 4}}
    )


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "prepared"
    scans = [prepared(name, seed) for seed, name in enumerate("abcde")]
    for scan in scans:
        write_scan(folder / scan.header["row"]["file"], scan)
    failed = {"id": "f", "status": "failed", "reason": "f.wrl: is empty", "source": "f.wrl"}
    write_manifest(folder, [scan.header["row"] for scan in reversed(scans)] + [failed])
    return folder


def test_a_scan_comes_back_as_it_went(tmp_path):
    scan = prepared()
    write_scan(tmp_path / "deep" / "a.safetensors", scan)
    back = read_scan(tmp_path / "deep" / "a.safetensors")
    assert back.header == scan.header == read_header(tmp_path / "deep" / "a.safetensors")
    assert back.arrays.keys() == scan.arrays.keys()
    for name, array in scan.arrays.items():
        assert back.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(back.arrays[name], array)


def test_equal_scans_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        write_scan(tmp_path / name, prepared())
    assert filecmp.cmp(tmp_path / "one", tmp_path / "two", shallow=False)


def test_the_manifest_is_sorted_and_its_bytes_do_not_depend_on_the_order(folder):
    before = (folder / "manifest.parquet").read_bytes()
    rows = read_manifest(folder)
    assert [row["id"] for row in rows] == list("abcdef")
    assert rows[5]["reason"] == "f.wrl: is empty"
    write_manifest(folder, rows)
    assert (folder / "manifest.parquet").read_bytes() == before
    np.testing.assert_array_equal(manifest_landmarks(rows[0])["alare_left"], [17.0, -8.0, -12.0])


def test_nobody_sees_half_a_file(tmp_path, monkeypatch):
    target = tmp_path / "a"
    write_bytes(target, b"old")
    monkeypatch.setattr(
        "pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(FileError, match=r"a: cannot be written: No space left on device"):
        write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("per_shard", [1, 2, 500])
def test_shards_hold_the_same_arrays(folder, tmp_path, per_shard):
    out = tmp_path / "packed"
    assert pack(folder, out, per_shard) == -(-5 // per_shard)
    rows = {row["id"]: row for row in read_manifest(out)}
    assert rows["f"]["status"] == "failed"
    for row in read_manifest(folder)[:5]:
        arrays, single = read_row(out, rows[row["id"]]).arrays, read_scan(folder / row["file"]).arrays
        assert set(arrays) == set(single)
        for name, array in single.items():
            np.testing.assert_array_equal(arrays[name], array)


def test_pack_says_what_is_wrong(folder, tmp_path):
    with pytest.raises(ArgumentError, match="`per_shard` should be at least 1, is 0"):
        pack(folder, tmp_path / "out", 0)
    with pytest.raises(ArgumentError, match="already holds a manifest"):
        pack(folder, folder)
    (folder / "scans" / "c.safetensors").unlink()
    with pytest.raises(FileError, match=r"c\.safetensors: is missing"):
        pack(folder, tmp_path / "out")


def test_a_damaged_store_is_named(folder, tmp_path):
    scan = folder / "scans" / "a.safetensors"
    scan.write_bytes(scan.read_bytes()[:-9])
    with pytest.raises(FormatError, match=r"a\.safetensors: is not a whole safetensors file"):
        read_scan(scan)
    header = json.dumps({"x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    (tmp_path / "foreign").write_bytes(struct.pack("<Q", len(header)) + header + b"\0")
    with pytest.raises(FormatError, match="foreign: was not written by fer3d"):
        read_header(tmp_path / "foreign")
    with pytest.raises(FileError, match=r"manifest\.parquet: is missing"):
        read_manifest(tmp_path)
    (folder / "manifest.parquet").write_bytes(b"garbage")
    with pytest.raises(FormatError, match=r"manifest\.parquet: is not a Parquet file"):
        read_manifest(folder)


def test_a_tree_that_lacks_an_array_is_named(tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    from tests.prepared_trees import write_prepared_trees

    folder = write_prepared_trees(tmp_path / "trees", ("F0001",))
    row = read_manifest(folder)[0]
    path = folder / row["file"]
    with safe_open(path, "np") as file:
        arrays, facts = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    assert read_tree(folder, row).indices
    del arrays["tree_ring_0"]
    save_file(arrays, path, facts)
    with pytest.raises(FormatError, match=r"lacks 'tree_ring_0'; prepare the scans again with --tree"):
        read_tree(folder, row)
