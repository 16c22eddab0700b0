"""A short run of the fuzzer, and what it must notice."""

import json
import random
import re
import struct

import pytest

from fer3d import formats
from fer3d.errors import FormatError
from fer3d.scan import Scan
from tests.fuzz import judge as judging
from tests.fuzz.corpus import Seed, corpus, header_length
from tests.fuzz.mutations import mutate
from tests.fuzz.worker import Bench, minimised

INPUTS = 4000


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("fuzz"))


def test_no_findings(bench):
    behind, findings = 0, {}
    for number in range(INPUTS):
        i, beside, mutated = bench.input(0, number)
        verdict = bench.read(i, mutated.content, beside, mutated.steps == ("cut",))
        behind += mutated.behind or beside is not None
        if verdict.outcome == "finding":
            findings.setdefault((bench.seeds[i].kind, verdict.about), number)
    assert findings == {}
    assert behind > INPUTS / 3


def test_the_files_that_are_mutated_are_no_findings(bench):
    assert [seed.name for seed, whole in zip(bench.seeds, bench.whole, strict=True) if whole.outcome == "finding"] == []
    kinds = {seed.kind for seed in bench.seeds}
    assert kinds >= {".wrl", ".obj", ".ply", ".stl", ".off", ".glb", ".gltf", ".bnt", ".abs", ".abs.gz"}
    assert kinds >= {".bnd", ".pse", ".lm2", ".lm3", ".pp", ".fcsv", ".csv", ".json"}
    assert kinds >= {".png", ".jpg", ".bmp", ".ppm", ".tif", ".gif", ".webp"}


def test_the_same_seed_gives_the_same_inputs(bench):
    assert [bench.input(3, n) for n in range(50)] == [bench.input(3, n) for n in range(50)]
    assert [bench.input(3, n) for n in range(50)] != [bench.input(4, n) for n in range(50)]


def test_a_changed_glb_has_right_lengths():
    seed = next(seed for seed in corpus() if seed.kind == ".glb")
    rng, changed = random.Random(0), 0
    for _ in range(300):
        mutated = mutate(rng, seed.content, seed.header, [seed.content], ".glb")
        if set(mutated.steps) == {"json"}:
            changed += 1
            length, words = struct.unpack_from("<II", mutated.content, 8)
            assert length == len(mutated.content)
            json.loads(mutated.content[20 : 20 + words])
    assert changed > 20


@pytest.mark.parametrize(
    ("kind", "content", "length"),
    [
        (".ply", b"ply\nformat ascii 1.0\nend_header\n1 2 3\n", 32),
        (".off", b"OFF\n3 1 0\n0 0 0\n", 10),
        (".glb", bytes(100), 20),
        (".obj", b"v 1 2 3\n", 0),
        (".png", bytes(5), 4),
    ],
)
def test_where_the_header_ends(kind, content, length):
    assert header_length(kind, content) == length


# ---- what the judge must notice ----

OFF = Seed.of("a triangle", "a.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")


def _raise(error):
    raise error


def _two_lines(path):
    error = FormatError("")
    error.args = (f"{path}: two\nlines",)
    return error


@pytest.mark.parametrize(
    ("reader", "about"),
    [
        (lambda path: _raise(KeyError("x")), "KeyError .*'x'"),
        (lambda path: _raise(MemoryError()), "MemoryError"),
        (lambda path: _raise(FormatError("no name")), "names no file"),
        (lambda path: _raise(_two_lines(path)), "several lines"),
        (lambda path: _raise(FormatError(f"{path}: not enough memory")), "out of memory"),
        (lambda path: (formats.read(path).warn("two\nlines"), ("two\nlines",)), "a warning that is not one line"),
        (lambda path: _forever(), "takes longer than"),
    ],
)
def test_findings(tmp_path, monkeypatch, reader, about):
    path = tmp_path / OFF.file
    path.write_bytes(OFF.content)
    assert judging.judge(path, 40, ".off").outcome == "read"
    monkeypatch.setattr(judging, "read_example", reader)
    monkeypatch.setattr(judging, "SECONDS", 0.2)
    verdict = judging.judge(path, 40, ".off")
    assert verdict.outcome == "finding"
    assert re.search(about, verdict.about)


def _forever():
    while True:
        pass


def test_a_beginning_that_is_read_as_something_else_is_a_finding(tmp_path, monkeypatch):
    path = tmp_path / OFF.file
    path.write_bytes(OFF.content)
    whole = judging.judge(path, 40, ".off")
    other = formats.read(path)
    path.write_bytes(OFF.content[:20])
    monkeypatch.setattr(judging, "read_example", lambda path: (other.warn("x"), ()))
    assert judging.judge(path, 40, ".off", (whole, OFF.content)).outcome == "read"  # the same mesh
    moved = Scan.of(other.vertices + 1, other.faces, history=other.history)
    monkeypatch.setattr(judging, "read_example", lambda path: (moved, ()))
    assert "is read as something else" in judging.judge(path, 40, ".off", (whole, OFF.content)).about


def test_an_input_is_made_small(bench, monkeypatch):
    i = next(k for k, seed in enumerate(bench.seeds) if seed.kind == ".obj")

    def reader(path):
        if b"Q" in path.read_bytes():
            raise KeyError("Q")
        return formats.read(path), ()

    monkeypatch.setattr(judging, "read_example", reader)
    about = bench.read(i, b"v 1 2 3\nQ\nf 1 2 3\n").about
    assert minimised(bench, i, None, b"v 1 2 3\nQ\nf 1 2 3\n", about) == b"Q"
