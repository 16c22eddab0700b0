"""A short run of the fuzzer on files beside scans, and what its judge must notice."""

import json
import random
import tomllib
from pathlib import Path

import pytest

from fer3d.errors import FormatError
from tests.fuzz.file_bench import FileBench, one_line
from tests.fuzz.file_kinds import Case
from tests.fuzz.structured import mutate_file

INPUTS = 330


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return FileBench(tmp_path_factory.mktemp("files"))


def test_no_findings(bench):
    findings, outcomes = {}, {kind: set() for kind in bench.kinds}
    for number in range(INPUTS):
        i, beside, mutated = bench.input(0, number)
        verdict = bench.judge(i, beside, mutated)
        outcomes[bench.seeds[i].kind].add(verdict.outcome)
        if verdict.outcome == "finding":
            findings.setdefault((bench.seeds[i].name, verdict.about), number)
    assert findings == {}
    assert all(seen == {"read", "refused"} for seen in outcomes.values()), outcomes


def test_the_whole_files_are_read(bench):
    assert {verdict.outcome for verdict in bench.whole} == {"read"}, bench.whole


def test_a_folder_is_as_before_after_an_input(bench):
    i = next(i for i, seed in enumerate(bench.seeds) if seed.file == "first/metrics.json")
    place = bench.folders[bench.seeds[i].case]
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    for step in ("missing", "folder", "structure"):
        bench.read(i, b"{", step=step)
        assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_the_same_seed_gives_the_same_inputs(bench):
    assert [bench.input(3, n) for n in range(40)] == [bench.input(3, n) for n in range(40)]


def test_structured_mutations_keep_the_structure(bench):
    """Most mutations of JSON and TOML can be parsed: they reach what lies behind the parser."""
    parsers = {".json": json.loads, ".toml": lambda content: tomllib.loads(content.decode())}
    rng, parsed, total = random.Random(0), 0, 0
    for seed in bench.seeds:
        parse = parsers.get(Path(seed.file).suffix)
        for _ in range(20 if parse else 0):
            mutated = mutate_file(rng, seed.file, seed.content, [seed.content])
            total += 1
            try:
                parse(mutated.content)
                parsed += 1
            except (ValueError, RecursionError):
                continue
    assert parsed > 0.6 * total


# ---- what the judge must notice ----


def _raise(error):
    raise error


def _two_lines(folder):
    error = FormatError("")
    error.args = (f"{folder}: two\nlines",)
    return error


@pytest.mark.parametrize(
    ("use", "about"),
    [
        (lambda folder: _raise(KeyError("x")), "KeyError"),
        (lambda folder: _raise(MemoryError()), "MemoryError"),
        (lambda folder: _raise(FormatError("no name")), "names no file"),
        (lambda folder: _raise(_two_lines(folder)), "several lines"),
        (lambda folder: _raise(FormatError(f"{folder}: " + "long " * 1000)), "characters"),
        (lambda folder: [bytearray(b"x" * (96 << 20)) for _ in range(3)], "more than 64 MiB"),
        (lambda folder: _forever(), "takes longer than"),
    ],
)
def test_findings(tmp_path, monkeypatch, use, about):
    case = Case("one", lambda folder: (folder / "a.json").write_text("{}"), use, ("a.json",))
    monkeypatch.setattr("tests.fuzz.file_bench.cases", lambda: [case])
    monkeypatch.setattr("tests.fuzz.file_bench.SECONDS", 0.2)
    (verdict,) = FileBench(tmp_path).whole
    assert verdict.outcome == "finding"
    assert about in verdict.about
    assert one_line(verdict.about)


def _forever():
    while True:
        pass
