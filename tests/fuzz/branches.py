"""Which branches of the readers the tests and the mutated files reach.

    python -m tests.fuzz.branches [--inputs 3000] [--least 90] [--files pictures pixels ...] [--tests tests/formats ...]

Runs the tests of the formats and some inputs of the fuzzer in this process, and prints a line for each module of
`fer3d/formats`: how many of its branches are reached, and the lines with one that is not. Fails below `--least`
percent.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import coverage

ROOT = Path(__file__).parents[2]
READERS = ROOT / "fer3d" / "formats"


def main() -> int:
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=3000, help="mutated files")
    parser.add_argument("--least", type=float, default=90.0, help="percent of the branches of each file")
    parser.add_argument("--files", nargs="*", help="names of modules: these only")
    parser.add_argument("--tests", nargs="*", default=["tests/formats"], help="folders and files of tests")
    arguments = parser.parse_args()
    report = measured(arguments.tests, arguments.inputs)
    print("| module | branches | reached | share | lines with a branch that is not reached |\n|---|---|---|---|---|")
    low = []
    for name, (total, reached, lines) in sorted(report.items()):
        if arguments.files and name not in arguments.files:
            continue
        share = 100 * reached / total if total else 100.0
        print(f"| {name} | {total} | {reached} | {share:.0f}% | {' '.join(map(str, lines))} |")
        low += [name] if share < arguments.least else []
    if low:
        print(f"below {arguments.least:g}%: {', '.join(low)}", file=sys.stderr)
    return 1 if low else 0


def measured(tests: list[str], inputs: int) -> dict[str, tuple[int, int, list[int]]]:
    """Name of a module -> number of branches, how many are reached, and lines with others."""
    import pytest

    meter = coverage.Coverage(branch=True, source=[str(READERS)], data_file=None, config_file=False)
    meter.start()
    status = pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", *tests]) if tests else 0
    if inputs:
        mutated(inputs)
    meter.stop()
    if status not in (0, 5):
        print("some tests fail", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "coverage.json"
        meter.json_report(outfile=str(place))
        files = json.loads(place.read_text(encoding="utf-8"))["files"]
    found = {}
    for name, facts in files.items():
        summary = facts["summary"]
        lines = sorted({abs(line) for line, _ in facts["missing_branches"]})
        found[Path(name).stem] = (summary["num_branches"], summary["covered_branches"], lines)
    return found


def mutated(inputs: int) -> None:
    """Read mutated files in this process."""
    from tests.fuzz.worker import Bench

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for number in range(inputs):
            i, beside, changed = bench.input(0, number)
            bench.read(i, changed.content, beside)


if __name__ == "__main__":
    sys.exit(main())
