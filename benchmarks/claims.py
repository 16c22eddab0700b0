#!/usr/bin/env python3
"""Claims that are stated before they are measured: files in benchmarks/claims/, committed first, then run.

    python benchmarks/claims.py run NAME [--work FOLDER]    # measure the next try of a claim, write its verdict
    python benchmarks/claims.py table [--write]             # the page of all claims, benchmarks/claims/README.md
    python benchmarks/claims.py check                       # every file: keys, seeds, quotes, verdicts

A claim is a file such as benchmarks/claims/curvature-helps.toml:

    claim = "oriented-fusion, all maps, is correct more often than the plain CNN, depth and normals, by over 2 points."
    measured_before_stated = false
    statistic = "accuracy difference"
    margin = 2.0                                  # points

    [data]                                        # subjects and scans are those of one seed
    generator = "fer3d synth, layout bu3dfe, built-in face"
    settings = "60 people, levels 3 and 4, maps of 64 x 64, 10 folds by subject"
    subjects = 60
    scans = 720

    [[rival]]
    name = "plain-cnn"
    settings = "preset small, lr=3e-3, weight_decay=1e-2, maps=depth,normal"

    [[job]]                                       # each at most 20 minutes; {work} is one folder a seed
    name = "data"
    commands = [
      ".venv/bin/fer3d synth {work}/scans --subjects 60 --levels 3,4 --seed {seed}",
      ".venv/bin/fer3d preprocess {work}/scans -o {work}/prepared --size 64",
    ]

    [[job]]                                       # once for each {part} and each seed
    name = "fold"
    parts = 10
    commands = [
      ".venv/bin/fer3d train oriented-fusion --data {work}/prepared --fold {part} --resume -o {work}/ours-{part}",
      '''.venv/bin/fer3d train plain-cnn --data {work}/prepared --fold {part} --resume -o {work}/rival-{part}
        --maps depth,normal --set lr=3e-3 --set weight_decay=1e-2''',
    ]
    runs = { ours = "{work}/ours-{part}", plain-cnn = "{work}/rival-{part}" }

    [[try]]
    seeds = [10, 11]                              # 10 to 99, that no other claim has
    date = 2026-12-01
    commit = "013bc11"                            # package, simulator and rivals' settings are as they are there

Commit that file, then run it. `run` refuses a claim that is not committed, that has its verdict, whose seeds are used,
or whose package, simulator or rivals' settings are not those of `commit` (`files` lists more that must not change).
It makes a worktree at `commit`, runs `setup` there (`make install` unless the claim says otherwise), then each job,
and commits a job's rows to NAME.rows.csv when it ends. A job that gives its predictions otherwise than in run folders
writes a CSV file, `rows = "{work}/rows-{part}.csv"`: subject, scan, correct_ours and correct_RIVAL, 0 to 1. A run that
was stopped goes on where it was; a job that took too long is started again, so its commands should go on by themselves.

The verdict goes to NAME.verdicts.toml and stays: shown, if the whole 95 % interval by subject lies above the margin;
reversed, if the whole lies below zero; else not shown. To try again, add a second [[try]] with unused seeds.
"""

import argparse
import signal
import sys
from pathlib import Path

from claim_file import claim_files
from claim_page import PAGE, page, problems
from claim_run import run

from fer3d.errors import Fer3dError

ROOT = Path(__file__).resolve().parents[1]


def main(arguments=None, root=ROOT):
    """Parse the command line and do what it says. Returns the exit code: 2 where a claim or a file is refused."""
    parser = argparse.ArgumentParser(
        prog="claims.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("run", help="measure the next try of a claim, write its verdict")
    measure.add_argument("name", help="of the claim file, without .toml")
    measure.add_argument("--work", type=Path, help="folder for data and runs, kept (default: a temporary one, removed)")
    table = commands.add_parser("table", help="print the page of all claims")
    table.add_argument("--write", action="store_true", help=f"write it to {PAGE} instead")
    commands.add_parser("check", help="check every claim, verdict and the page")
    parsed = parser.parse_args(arguments)
    try:
        return {"run": _run, "table": _table, "check": _check}[parsed.command](root, parsed)
    except Fer3dError as error:
        print(f"claims.py: {error}", file=sys.stderr)
        return 2


def _run(root, parsed):
    verdict = run(root, parsed.name, parsed.work)
    print(f"{parsed.name}, try {verdict.number}: {verdict.verdict}{f' ({verdict.note})' if verdict.note else ''}")
    for item in verdict.against:
        print(f"  against {item.rival}: {item.value:+.2f} points ({item.low:+.2f} to {item.high:+.2f}), {item.verdict}")
    return 0


def _table(root, parsed):
    text = page(root)
    if parsed.write:
        (root / PAGE).write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


def _check(root, _):
    found = problems(root)
    for line in found:
        print(line, file=sys.stderr)
    if not found:
        print(f"{len(claim_files(root))} claims: nothing wrong")
    return 2 if found else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a job does not outlive this process
    sys.exit(main())
