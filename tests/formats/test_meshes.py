"""Meshes of all formats: what is written reads back."""

import numpy as np
import pytest

from fer3d import formats
from fer3d.errors import ArgumentError, FileError
from fer3d.scan import Scan

VERTICES = np.array([[0, 0, 0.5], [2, 0, 0.25], [2, 3, -1], [0, 3, 0.125]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
UV = np.array([[0.1, 0.2], [0.9, 0.25], [0.8, 0.7], [0.05, 0.6]], np.float32)
TEXTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.fixture
def read(tmp_path):
    def read_content(content, name):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return formats.read(path)

    return read_content


def same_mesh(scan):
    np.testing.assert_array_equal(scan.vertices, VERTICES)
    np.testing.assert_array_equal(scan.faces, FACES)


# ---- what is written reads back ----


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb", ".off", ".stl", ".OBJ", ".PLY", ".GLB"])
def test_round_trip(tmp_path, suffix):
    scan = Scan.of(VERTICES, FACES, uv=UV, texture=TEXTURE)
    path = tmp_path / f"Kopf é 顔{suffix}"
    formats.write(scan, path)
    back = formats.read(path)
    same_mesh(back)
    assert back.warnings == ()
    if suffix.lower() in (".off", ".stl"):  # they have no place for it
        assert back.uv is None
        return
    np.testing.assert_allclose(back.uv, UV, rtol=0, atol=1e-7 if suffix.lower() == ".glb" else 0)  # glTF has v down
    np.testing.assert_array_equal(back.texture, TEXTURE)
    without = formats.read(path, texture=False)
    np.testing.assert_array_equal(without.uv, back.uv)
    assert without.texture is None


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".off", ".stl"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_coordinates_survive_at_every_scale(tmp_path, suffix, scale):
    rng = np.random.default_rng(3)
    scan = Scan.of(rng.normal(0, scale, (30, 3)), np.arange(30).reshape(10, 3))
    formats.write(scan, tmp_path / f"a{suffix}")
    back = formats.read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(back.vertices, scan.vertices)
    np.testing.assert_array_equal(back.faces, scan.faces)


def test_what_cannot_be_written(tmp_path):
    scan = Scan.of(VERTICES, FACES)
    with pytest.raises(ArgumentError, match=r"`path` should end in .*\.glb"):
        formats.write(scan, tmp_path / "a.gltf")
    with pytest.raises(ArgumentError, match=r"`path` should end in one of \.wrl, \.bnt, .*, is .*a\.txt"):
        formats.write(scan, tmp_path / "a.txt")
    with pytest.raises(ArgumentError, match=r"`path` should end in one of \.wrl"):
        formats.read(tmp_path / "a")
    with pytest.raises(ArgumentError, match="at least one face"):
        formats.write(Scan.of(VERTICES, np.empty((0, 3))), tmp_path / "a.ply")
    with pytest.raises(FileError, match="cannot be written"):
        formats.write(scan, tmp_path / "none" / "a.obj")


def test_is_scan():
    for name in ("a.wrl", "b/c.BNT", "x.abs", "x.ABS.gz", "a b.Obj", "ü.ply", "a.stl", "a.glb", "a.gltf", "a.off"):
        assert formats.is_scan(name)
    for name in ("a.bmp", "wrl", "a.gz", "a.wrl.bak", "a.lm3", ""):
        assert not formats.is_scan(name)
