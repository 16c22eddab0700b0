"""Every reader on damaged files: only this package's ValueErrors and OSErrors come out, soon, and in little memory."""

import gzip
import json
import struct
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer3d import formats
from fer3d.errors import Fer3dError
from fer3d.formats import bnt, frgc, landmark_files
from fer3d.scan import Scan
from tests.formats.examples import LANDMARKS, examples


def _good_files(folder):
    """name -> (reader, content) of a small valid file of each kind."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:5, :6].astype(float)
    points = np.stack([x, y, 0.1 * x * y], axis=-1)
    texture = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    faces = [[i, i + 1, i + 7] for i in range(0, 20, 2)]
    scan = Scan.of(points.reshape(-1, 3), faces, uv=rng.random((30, 2), dtype=np.float32), texture=texture)
    for suffix in (".wrl", ".obj", ".ply", ".stl", ".off", ".glb"):
        formats.write(scan, folder / f"a{suffix}")
    planes = np.concatenate([np.moveaxis(points, -1, 0), rng.random((2, 5, 6))])
    planes[:3, 2, 2] = -1e9
    bnt.write_grid(bnt.Grid(planes, "a.png"), folder / "a.bnt")
    frgc.write_grid(frgc.Grid(rng.random((5, 6)) > 0.1, np.ascontiguousarray(points)), folder / "a.abs")
    frgc.write_grid(frgc.Grid(np.ones((5, 6), bool), np.ascontiguousarray(points)), folder / "a.abs.gz")
    landmark_files.write_bnd(
        landmark_files.Bnd(np.arange(83, dtype=np.int32), rng.normal(0, 50, (83, 3))), folder / "a.bnd"
    )
    landmark_files.write_pse(landmark_files.Pse(rng.normal(0, 50, (8, 3)), np.array([0.0, 0.1, 1.0])), folder / "a.pse")
    named = {"Nose tip": rng.normal(0, 50, 3), "Chin middle": rng.normal(0, 50, 3), "Left mouth corner": np.zeros(3)}
    landmark_files.write_lm3(named, folder / "a.lm3")
    landmark_files.write_lm2({name: point[:2].copy() for name, point in named.items()}, folder / "a.lm2")
    for name in ("a.pp", "a.fcsv", "a.mrk.json", "a.csv", "points.json"):  # a.json is of a camera
        formats.write_landmarks(named, folder / name, confidence={"Nose tip": 0.5})
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix not in (".png", ".mtl", ".ppm")}
    before, _, after = files["a.wrl"].rpartition(b"0, 1, 7")  # in texCoordIndex
    files["split.wrl"] = before + b"3, 1, 7" + after
    files["text.ply"] = (
        b"ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
        b"element face 2\nproperty list uchar int vertex_indices\nproperty list uchar float texcoord\nend_header\n"
        b"0 0 .5\n2 0 .25\n2 3 -1\n0 3 .125\n3 0 1 2 6 .1 .2 .9 .25 .8 .7\n3 0 2 3 6 .3 .4 .8 .7 .05 .6\n"
    )
    files["text.stl"] = (
        b"solid a\nfacet normal 0 0 1\nouter loop\n"
        + b"vertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\n"
        + (b"endloop\nendfacet\nendsolid a\n")
    )
    glb = files["a.glb"]
    length = struct.unpack_from("<I", glb, 12)[0]
    tree = json.loads(glb[20 : 20 + length])
    (folder / "a.bin").write_bytes(glb[28 + length :])
    tree["buffers"][0]["uri"] = "a.bin"
    files["a.gltf"] = json.dumps(tree).encode()
    points_of = examples("points")
    for name, row in POINTS.items():
        files[name] = points_of[row].content
    (folder / "intrinsics.json").write_text('{"fx": 10, "fy": 10, "cx": 3, "cy": 2.5}')
    return files


POINTS = {
    "a.xyz": "a line that names the columns",
    "a.pts": "x y z intensity r g b",
    "a.pcd": "HEIGHT above 1",
    "binary.pcd": "DATA binary",
    "packed.pcd": "DATA binary_compressed",
    "a.mat": "N x 3 (-v6, -v7)",
    "struct.mat": "x, y and z, H x W, with flags",
    "old.mat": "N x 3 (-v4)",
    "a.npy": "(N, 3)",
    "a.depth.npy": "a depth array .depth.npy",
    "a.depth.png": "16-bit grey with fx, fy, cx, cy",
}  # name -> example in tests/formats/examples/points.py


class Good:
    """The valid files. A class of its own, so that a failing test does not print them all."""

    def __init__(self, folder, files):
        self.folder, self.files = folder, files


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good files ü")
    return Good(folder, _good_files(folder))


KINDS = [
    "a.wrl", "split.wrl", "a.bnt", "a.abs", "a.abs.gz", "a.obj", "a.ply", "text.ply", "a.stl", "text.stl", "a.off",
    "a.glb", "a.gltf", "a.bnd", "a.pse", "a.lm3", "a.lm2",
    "a.pp", "a.fcsv", "a.mrk.json", "a.csv", "points.json", *POINTS,
]  # fmt: skip


def read_any(path):
    if path.suffix == ".lm2":
        return formats.read_lm2(path)
    return formats.read_landmarks(path) if path.suffix in LANDMARKS else formats.read(path)


def check_result(result):
    if isinstance(result, dict):
        assert all(point.dtype == np.float64 for point in result.values())
        return
    assert len(result.faces) > 0  # a Scan checks the rest itself
    assert result.history[0]["step"] == "read"


NUMBERS = [
    b"-1",
    b"0",
    b"1e999",
    b"nan",
    b"-2147483648",
    b"4294967295",
    b"999999999999999999999",
    b"1000000000",
    b"",
    b"x",
]


def damaged(data, content):
    """One to three mutations: cut, flip, insert, repeat, swap a number."""
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        kind = data.draw(st.sampled_from(["cut", "flip", "insert", "drop", "number", "repeat", "header"]))
        if kind == "cut":
            content = content[:at]
        elif kind == "flip":
            flips = data.draw(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 255)), min_size=1, max_size=4))
            buffer = bytearray(content)
            for offset, mask in flips:
                if at + offset < len(buffer):
                    buffer[at + offset] ^= mask
            content = bytes(buffer)
        elif kind == "insert":
            content = content[:at] + data.draw(st.binary(min_size=1, max_size=20)) + content[at:]
        elif kind == "drop":
            content = content[:at] + content[at + data.draw(st.integers(1, 50)) :]
        elif kind == "repeat":
            content = content[:at] + content[at : at + 40] * data.draw(st.integers(2, 20)) + content[at:]
        elif kind == "number":
            content = _other_number(content, at, data.draw(st.sampled_from(NUMBERS)))
        else:  # the counts of binary headers, in any place of the first hundred bytes
            place = data.draw(st.integers(0, 100))
            value = data.draw(st.sampled_from([0, 1, 0xFFFF, 10**9, 0x7FFFFFFF, 0xFFFFFFFF]))
            content = content[:place] + struct.pack("<I", value) + content[place + 4 :]
    return content


def _other_number(content, at, number):
    """The number at or after `at` in a text, by another."""
    digits = b"0123456789.-+eE"
    while at < len(content) and content[at] not in digits:
        at += 1
    end = at
    while end < len(content) and content[end] in digits:
        end += 1
    return content[:at] + number + content[end:]


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_file_is_read(good, kind):
    folder, files = good.folder, good.files
    path = folder / f"whole {kind}"
    path.write_bytes(files[kind])
    check_result(read_any(path))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_gives_our_errors_only(good, kind, data):
    folder, files = good.folder, good.files
    content = damaged(data, gzip.decompress(files[kind]) if kind.endswith(".gz") else files[kind])
    if kind.endswith(".gz"):
        content = gzip.compress(content)
        content = damaged(data, content) if data.draw(st.booleans()) else content
    path = folder / f"damaged {kind}"
    path.write_bytes(content)
    tracemalloc.start()
    start = time.monotonic()
    try:
        check_result(read_any(path))
    except (ValueError, OSError) as error:
        assert isinstance(error, Fer3dError), repr(error)
        assert str(folder) in str(error)
        assert "\n" not in str(error)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.monotonic() - start < 5
    assert peak < 64 << 20, f"{len(content)} bytes took {peak}"


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_garbage_gives_our_errors_only(good, kind, content):
    folder = good.folder
    path = folder / f"garbage {kind}"
    path.write_bytes(content)
    with pytest.raises((ValueError, OSError)) as caught:
        read_any(path)
    assert isinstance(caught.value, Fer3dError)


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_gives_our_errors_only(good, kind):
    """A transfer that broke off: at each of a hundred places."""
    folder, files = good.folder, good.files
    content = files[kind]
    path = folder / f"cut {kind}"
    for end in np.linspace(0, len(content) - 1, 100).astype(int):
        path.write_bytes(content[:end])
        try:
            check_result(read_any(path))
        except Fer3dError as error:
            assert str(path) in str(error)
