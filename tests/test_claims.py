"""Claims are stated before they are measured: `benchmarks/claims.py` on a toy claim in a repository of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import claim_run
import claims
import numpy as np
import pytest
from claim_file import Claim, read_claim
from claim_page import page, problems
from claim_rows import difference, job_rows
from claim_verdict import of_all, read_verdicts, word

from fer3d.errors import ConfigError, FileError, FormatError
from fer3d.evaluate.compare import compare
from tests.runs import write_run

ROOT = Path(__file__).parents[1]

JOB = """
import csv, os, pathlib, signal, sys, time
outcome, seed, part, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), pathlib.Path(sys.argv[4])
with open(folder / "calls", "a") as stream:
    print(part, os.getcwd(), file=stream)
first = part == 1 and not (folder / "again").exists()
(folder / "again").touch() if part == 1 else None
if first and outcome == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
if first and outcome == "hangs":
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(60)
if outcome == "meddles":
    pathlib.Path("fer3d/simulator.py").write_text("noise = 2")
with open(folder / f"rows-{part}.csv", "w", newline="") as stream:
    table = csv.writer(stream)
    table.writerow(["subject", "scan", "correct_ours", "correct_plain"])
    for person in range(3):
        for scan in range(4):
            ours, rival = {"worse": (0, 1), "mixed": (scan % 2, 1 - scan % 2)}.get(outcome, (1, scan == 0))
            if not (outcome == "loses" and person == scan == 0):
                table.writerow([f"F{part}{person}", f"F{part}{person}-{scan}", ours, int(rival)])
"""

CLAIM = """
claim = "Ours is right more often than the plain one."
measured_before_stated = false
statistic = "accuracy difference"
margin = 2.0
setup = []
files = ["rivals.txt"]

[data]
generator = "toy"
settings = "two parts of three people"
subjects = 6
scans = 24

[[rival]]
name = "plain"
settings = "none"

[[job]]
name = "fold"
parts = 2
commands = ["PYTHON -I -S benchmarks/toy_job.py OUTCOME {seed} {part} {work}"]
rows = "{work}/rows-{part}.csv"

[[try]]
seeds = [10]
date = 2026-12-01
commit = "COMMIT"
"""

MEASURED = """
claim = "Ours is right more often."
measured_before_stated = true
statistic = "accuracy difference"
margin = 2.0

[data]
generator = "toy"
settings = "none"

[[try]]
seeds = [0]
date = 2026-11-01
commit = "abcdef1"

[[figure]]
against = "plain"
value = 5.2
low = 3.1
high = 7.4
table = "benchmarks/results/toy.md"
quote = "| plain | +5.2 | +3.1 to +7.4 |"
"""


class Repository:
    """A repository with a toy package, a toy benchmark and a claim."""

    def __init__(self, root):
        self.root = root
        self.claim = root / "benchmarks/claims/toy.toml"
        self.rows = root / "benchmarks/claims/toy.rows.csv"
        self.verdicts = root / "benchmarks/claims/toy.verdicts.toml"
        self.work = root.parent / "work"
        self.git("init", "--quiet")
        for key, value in {"user.name": "T", "user.email": "t@example.org", "commit.gpgsign": "false"}.items():
            self.git("config", key, value)
        self.write("fer3d/simulator.py", "noise = 1\n")
        self.write("benchmarks/toy_job.py", JOB)
        self.write("rivals.txt", "none\n")
        self.commit("package")
        self.start = self.git("rev-parse", "HEAD")

    def git(self, *arguments):
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(self, name, text):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")

    def commit(self, message="more"):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def state(self, outcome="better", name="toy", **replaced):
        """Write and commit the toy claim, with some of its texts replaced."""
        text = CLAIM.replace("PYTHON", sys.executable).replace("OUTCOME", outcome).replace("COMMIT", self.start)
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        self.write(f"benchmarks/claims/{name}.toml", text)
        self.commit("claim")

    def add_try(self, seed):
        with self.claim.open("a") as stream:
            stream.write(f'\n[[try]]\nseeds = [{seed}]\ndate = 2026-12-02\ncommit = "{self.start}"\n')
        self.commit("second try")

    def run(self, *arguments):
        return claims.main(["run", "toy", "--work", str(self.work), *arguments], root=self.root)

    def calls(self):
        """Part and folder of every call of the toy job."""
        (file,) = self.work.glob("*/seed-10/calls")
        return [line.split() for line in file.read_text().splitlines()]


@pytest.fixture
def toy(tmp_path):
    (tmp_path / "repository").mkdir()
    return Repository(tmp_path / "repository")


def refusal(capsys, code):
    """The one line of a refusal."""
    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith("claims.py: ")
    assert error.count("\n") == 1
    return error


# --------------------------------------------------------------------------------------------------- a claim, measured


@pytest.mark.parametrize(
    ("outcome", "verdict", "value"),
    [("better", "shown", 75.0), ("worse", "reversed", -100.0), ("mixed", "not shown", 0.0)],
)
def test_a_claim_is_measured_in_a_worktree_and_its_verdict_committed(toy, capsys, outcome, verdict, value):
    toy.state(outcome)
    assert toy.run() == 0
    assert capsys.readouterr().out.startswith(f"toy, try 1: {verdict}\n")
    (made,) = read_verdicts(toy.claim)
    assert (made.verdict, made.subjects, made.scans, made.note) == (verdict, 6, 24, "")
    assert [(item.rival, item.value, item.verdict) for item in made.against] == [("plain", value, verdict)]
    assert (made.commit, made.margin, made.seeds) == (toy.start, 2.0, (10,))
    assert toy.git("status", "--porcelain") == ""
    assert len(toy.rows.read_text().splitlines()) == 1 + 24
    tree = {folder for _, folder in toy.calls()}
    assert len(tree) == 1
    assert tree != {str(toy.root)}
    assert not Path(*tree).exists()
    assert len(toy.git("worktree", "list").splitlines()) == 1
    assert problems(toy.root) == []


def test_the_rows_of_each_job_are_a_commit(toy):
    toy.state()
    toy.run()
    changed = [toy.git("show", "--format=", "--name-only", f"HEAD~{n}").split() for n in range(3)]
    assert changed[1:] == [["benchmarks/claims/toy.rows.csv"]] * 2
    assert changed[0] == ["benchmarks/claims/README.md", "benchmarks/claims/toy.verdicts.toml"]


def test_a_temporary_folder_is_removed(toy, monkeypatch, tmp_path):
    monkeypatch.setattr(claim_run.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    toy.state()
    assert claims.main(["run", "toy"], root=toy.root) == 0
    (base,) = (tmp_path / "temporary").iterdir()
    assert list(base.iterdir()) == []


def test_setup_runs_once_before_the_first_job(toy):
    line = f'setup = ["{sys.executable} -I -S benchmarks/toy_job.py mixed 0 7 ."]'
    toy.state("dies", **{"setup = []": line})
    with pytest.raises(SystemExit):
        toy.run()
    (tree,) = toy.work.glob("*/tree")
    assert (tree / "rows-7.csv").is_file()
    (tree / "rows-7.csv").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claim_run, "conclude", lambda _: pytest.fail("reached the end"))
        with pytest.raises(pytest.fail.Exception):
            toy.run()
    assert not (tree / "rows-7.csv").exists()


def test_scans_that_are_missing_leave_a_claim_not_shown(toy):
    toy.state("loses")
    assert toy.run() == 0
    (made,) = read_verdicts(toy.claim)
    assert made.against[0].verdict == "shown"
    assert made.verdict == "not shown"
    assert made.note == "seed 10: wanted 6 subjects and 24 scans, rows hold 6 and 22"
    assert made.note in page(toy.root)


# ------------------------------------------------------------------------------------------------------------- refused


def test_a_claim_that_is_not_committed_is_refused(toy, capsys):
    toy.state()
    toy.git("reset", "--quiet", "--soft", "HEAD~1")  # staged is not committed
    assert "toy.toml: wanted a committed file, is not committed" in refusal(capsys, toy.run())
    toy.commit()
    toy.claim.write_text(toy.claim.read_text().replace("margin = 2.0", "margin = 1.0"))
    assert "toy.toml: wanted as committed, is changed" in refusal(capsys, toy.run())
    assert not toy.work.exists()


@pytest.mark.parametrize(
    "file", ["fer3d/simulator.py", "fer3d/new.py", "constraints.txt", "benchmarks/toy_job.py", "rivals.txt"]
)
@pytest.mark.parametrize("committed", [True, False])
def test_a_changed_package_simulator_or_rival_is_refused(toy, capsys, file, committed):
    toy.state()
    toy.write(file, "noise = 2\n")
    if committed:
        toy.commit()
    line = refusal(capsys, toy.run())
    assert f"{file}: wanted as at {toy.start[:7]}, which toy.toml names, has changed" in line
    assert not toy.work.exists()  # nothing has run


def test_a_claim_that_was_stated_of_another_simulator_is_refused(toy, capsys):
    toy.write("fer3d/simulator.py", "noise = 2\n")
    toy.commit()
    toy.state()
    toy.write("fer3d/simulator.py", "noise = 1\n")
    toy.commit("as before")
    assert "fer3d/simulator.py: wanted as at" in (line := refusal(capsys, toy.run()))
    assert "differs where stated" in line


def test_other_files_may_change(toy):
    toy.state()
    toy.write("docs/page.md", "new")
    toy.commit()
    assert toy.run() == 0


def test_a_simulator_that_changes_between_two_jobs_stops_the_claim(toy, capsys, monkeypatch):
    toy.state()
    monkeypatch.setattr(
        claim_run, "say", lambda line: line.startswith("fold") and toy.write("fer3d/simulator.py", "noise = 2\n")
    )
    assert "fer3d/simulator.py" in refusal(capsys, toy.run())
    assert len(toy.rows.read_text().splitlines()) == 1 + 12  # of the first job


def test_a_second_verdict_over_the_first_is_refused(toy, capsys):
    toy.state()
    toy.run()
    first, head = toy.verdicts.read_text(), toy.git("rev-parse", "HEAD")
    capsys.readouterr()
    line = refusal(capsys, toy.run())
    assert "try 1 has its verdict (shown), which stays: state a second [[try]] with unused seeds" in line
    assert (toy.verdicts.read_text(), toy.git("rev-parse", "HEAD")) == (first, head)


def test_a_verdict_or_row_that_was_taken_back_is_refused(toy, capsys):
    toy.state("worse")
    toy.run()
    capsys.readouterr()
    toy.verdicts.unlink()
    assert "toy.verdicts.toml: wanted as committed, is gone" in refusal(capsys, toy.run())
    toy.commit()
    assert re.search(r"toy.verdicts.toml: wanted all that it held at \w{7}", refusal(capsys, toy.run()))
    toy.git("revert", "--no-edit", "HEAD")
    toy.rows.write_text("")
    toy.commit()
    assert re.search(r"toy.rows.csv: wanted all that it held at \w{7}", refusal(capsys, toy.run()))


def test_a_claim_that_changes_after_its_verdict_is_refused(toy, capsys):
    toy.state("mixed")
    toy.run()
    capsys.readouterr()
    toy.claim.write_text(toy.claim.read_text().replace("margin = 2.0", "margin = 1.0"))
    toy.commit()
    assert re.search(r"wanted what try 1 measured .* has changed since", refusal(capsys, toy.run()))
    assert "wanted what try 1 measured" in problems(toy.root)[0]


def test_a_claim_that_changes_after_its_first_rows_is_refused(toy, capsys):
    toy.state("dies")
    with pytest.raises(SystemExit):
        toy.run()
    toy.claim.write_text(toy.claim.read_text().replace("margin = 2.0", "margin = 1.0"))
    toy.commit()
    capsys.readouterr()
    assert "wanted what its first rows measured" in refusal(capsys, toy.run())


def test_a_verdict_that_does_not_follow_from_its_interval_is_a_problem(toy):
    toy.state("mixed")
    toy.run()
    toy.verdicts.write_text(toy.verdicts.read_text().replace('"not shown"', '"shown"'))
    assert "try 1: wanted the verdict 'not shown', got 'shown'" in problems(toy.root)[0]


def test_an_unknown_claim_or_commit_is_refused(toy, capsys):
    toy.state(**{toy.start: "0123456"})
    assert "`commit`: wanted a commit of this repository, got 0123456" in refusal(capsys, toy.run())
    assert "no claim 'tyo'; did you mean toy?" in refusal(capsys, claims.main(["run", "tyo"], root=toy.root))


# --------------------------------------------------------------------------------------------------------- second tries


def test_a_second_try_with_unused_seeds_is_a_second_row(toy):
    toy.state("mixed")
    toy.run()
    first = toy.verdicts.read_text()
    toy.add_try(11)
    assert " | open | " in page(toy.root)
    assert toy.run() == 0
    assert toy.verdicts.read_text().startswith(first)
    assert [(made.number, made.seeds, made.scans) for made in read_verdicts(toy.claim)] == [
        (1, (10,), 24),
        (2, (11,), 24),
    ]
    lines = (toy.root / "benchmarks/claims/README.md").read_text().splitlines()
    assert [re.search(r"\), try (\d): .* \| 2 \| (\d+) \|", line).groups() for line in lines[-2:]] == [
        ("1", "10"),
        ("2", "11"),
    ]
    assert problems(toy.root) == []


@pytest.mark.parametrize("seed", [0, 9, 100, 150])
def test_seeds_that_were_looked_at_or_are_for_tuning_are_refused(toy, capsys, seed):
    toy.state(**{"seeds = [10]": f"seeds = [10, {seed}]"})
    assert f"`seeds`: wanted seeds 10 to 99 (0 to 9 were looked at, 100 to 199 are for tuning), got {seed}" in refusal(
        capsys, toy.run()
    )


@pytest.mark.parametrize("seed", [10, 99])
def test_the_first_and_the_last_seed_of_claims_are_taken(toy, seed):
    toy.state(**{"seeds = [10]": f"seeds = [{seed}]"})
    assert read_claim(toy.claim).tries[0].seeds == (seed,)


def test_seeds_that_are_used_are_refused(toy, capsys):
    toy.state()
    toy.run()
    toy.add_try(10)
    capsys.readouterr()
    assert "`seeds`: wanted each once, got 10 twice" in refusal(capsys, toy.run())
    toy.git("reset", "--quiet", "--hard", "HEAD~1")
    toy.state(name="other", **{"seeds = [10]": "seeds = [12, 10]"})
    line = refusal(capsys, claims.main(["run", "other"], root=toy.root))
    assert "other.toml: `seeds`: wanted unused ones, got 10, which" in line
    assert any("got 10, which" in line for line in problems(toy.root))


# ----------------------------------------------------------------------------------------------------- stopped, goes on


def test_a_killed_job_goes_on_and_rows_are_kept(toy, capsys):
    toy.state("dies")
    with pytest.raises(SystemExit, match=r"job fold-1-seed-10: `.*` ended with exit code -9"):
        toy.run()
    first = toy.rows.read_text()
    assert len(first.splitlines()) == 1 + 12
    assert toy.git("status", "--porcelain") == ""
    assert len(toy.git("worktree", "list").splitlines()) == 2
    assert toy.run() == 0
    assert toy.rows.read_text().startswith(first)
    assert [part for part, _ in toy.calls()] == ["0", "1", "1"]
    assert len({folder for _, folder in toy.calls()}) == 1  # the worktree is used again
    assert read_verdicts(toy.claim)[0].scans == 24


def test_rows_that_were_never_committed_do_not_count(toy, capsys):
    toy.state("dies")
    with pytest.raises(SystemExit):
        toy.run()
    before = toy.rows.read_text()
    toy.rows.write_text(before + before.splitlines()[-1].replace("fold,0", "fold,1") + "\n")
    assert toy.run() == 0
    assert "what is not committed does not count" in capsys.readouterr().err
    assert len(toy.rows.read_text().splitlines()) == 1 + 24


def test_a_job_that_takes_too_long_is_stopped_and_can_go_on(toy, monkeypatch):
    toy.state("hangs")
    monkeypatch.setattr(claim_run, "LIMIT_S", 0.6)
    with pytest.raises(
        SystemExit, match=r"job fold-1-seed-10: stopped after 0.01 minutes; run the claim again to go on"
    ):
        toy.run()
    (pid,) = toy.work.glob("*/seed-10/pid")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    monkeypatch.undo()
    assert toy.run() == 0


def test_a_killed_run_keeps_its_job_alone_and_goes_on(toy, capsys):
    toy.state("hangs")
    code = (
        f"import claims; claims.main(['run', 'toy', '--work', {str(toy.work)!r}], root=claims.Path({str(toy.root)!r}))"
    )
    harness = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT / "benchmarks", stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while not (found := list(toy.work.glob("*/seed-10/pid"))) or not found[0].read_text():
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        harness.kill()
        harness.wait()
    job = int(found[0].read_text())
    assert "another run of this claim, or a job of it, is still at work" in refusal(capsys, toy.run())
    os.kill(job, signal.SIGKILL)
    end = time.monotonic() + 30
    while (code := toy.run()) == 2:  # until the system has let go of the lock
        assert time.monotonic() < end
        time.sleep(0.02)
    assert code == 0
    assert [part for part, _ in toy.calls()] == ["0", "1", "1"]


def test_a_job_that_changes_the_worktree_stops_the_claim(toy):
    toy.state("meddles")
    with pytest.raises(SystemExit, match="wanted the worktree as committed"):
        toy.run()
    assert not toy.rows.exists()


def test_a_job_that_only_makes_data_runs_again_only_where_it_is_needed(toy):
    data = '[[job]]\nname = "data"\ncommands = ["PYTHON -I -S -c pass {seed}"]\n\n[[job]]\nname = "fold"'
    changed = {'[[job]]\nname = "fold"': data.replace("PYTHON", sys.executable), "seeds = [10]": "seeds = [10, 11]"}
    toy.state("dies", **changed)
    for seed in (10, 11):
        with pytest.raises(SystemExit, match=f"fold-1-seed-{seed}"):
            toy.run()
    assert {path.name for path in toy.work.glob("*/data*.done")} == {"data-0-seed-10.done", "data-0-seed-11.done"}
    shutil.rmtree(toy.work)  # as a folder for temporary files may be, any night
    with pytest.raises(SystemExit, match="fold-1-seed-11"):
        toy.run()
    assert {path.name for path in toy.work.glob("*/data*.done")} == {"data-0-seed-11.done"}
    assert toy.run() == 0
    assert read_verdicts(toy.claim)[0].scans == 48


# -------------------------------------------------------------------------------------------------- words and intervals


@pytest.mark.parametrize(
    ("low", "high", "margin", "wanted"),
    [
        (4.1, 6.0, 4.0, "shown"),
        (4.0, 6.0, 4.0, "not shown"),  # on the margin is not above it
        (0.1, 9.0, 4.0, "not shown"),
        (-3.0, 2.0, 0.0, "not shown"),
        (-3.0, 0.0, 0.0, "not shown"),
        (-3.0, -0.1, 0.0, "reversed"),
        (-1.5, 1.0, -2.0, "shown"),
        (None, None, 0.0, "not shown"),
        (float("nan"), float("nan"), 0.0, "not shown"),
    ],
)
def test_the_word_of_an_interval(low, high, margin, wanted):
    assert word(low, high, margin) == wanted


def test_the_word_against_several_rivals():
    assert of_all(["shown", "shown"]) == "shown"
    assert of_all(["shown", "not shown"]) == "not shown"
    assert of_all(["shown", "reversed"]) == "reversed"
    assert of_all([]) == "not shown"


def rows(*table):
    return [
        {"seed": seed, "subject": subject, "scan": scan, "correct_ours": ours, "correct_plain": rival}
        for seed, subject, scan, ours, rival in table
    ]


def test_people_are_resampled_and_not_scans():
    made = [("10", f"F{p}", f"F{p}-{s}", float(p % 2), 1 - float(p % 2)) for p in range(4) for s in range(50)]
    gain = difference(rows(*made), "plain")
    assert gain.value == 0
    assert (gain.low, gain.high) == (-100, 100)  # of 200 independent scans it would be -14 to 14


def test_the_same_name_under_another_seed_is_another_person():
    made = [(seed, f"F{p}", f"F{p}-0", 1, p) for seed in ("10", "11") for p in range(2)]
    weights = np.random.default_rng(0).multinomial(4, np.full(4, 0.25), size=10_000)
    ends = np.percentile(weights @ np.array([100, 0, 100, 0]) / 4, [2.5, 97.5])
    gain = difference(rows(*made), "plain")
    assert (gain.low, gain.high) == pytest.approx(tuple(ends))
    assert (gain.low, gain.high) == (0, 100)


def test_a_scan_of_several_rounds_counts_once():
    made = rows(("10", "F0", "a", 1, 0), ("10", "F0", "a", 0, 0), ("10", "F1", "b", 0, 0))
    assert difference(made, "plain").value == pytest.approx(25)


def test_run_folders_give_what_fer3d_compare_says(tmp_path):
    runs = {
        "ours": write_run(tmp_path / "a", rounds=2, skill=3.2),
        "plain": write_run(tmp_path / "b", rounds=2, noise=1),
    }
    claim = Claim.model_validate(tomllib.loads(CLAIM.replace("COMMIT", "abcdef1")))
    made = [row | {"seed": "10"} for row in job_rows(claim, runs=runs)]
    pair = compare(list(runs.values())).pairs[0]
    gain = difference(made, "plain")
    assert len(made) == pair.scans
    assert [gain.value, gain.low, gain.high] == pytest.approx(
        [100 * end for end in (pair.difference.value, pair.difference.low, pair.difference.high)]
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("subject,scan,correct_ours\nF0,a,1\n", "wanted columns subject, scan, correct_ours, correct_plain"),
        ("subject,scan,correct_ours,correct_plain\n", "wanted at least one row, got none"),
        (
            "subject,scan,correct_ours,correct_plain\nF0,a,1,yes\n",
            "`correct_plain`: wanted 0 to 1, got 'yes' for scan a",
        ),
        ("subject,scan,correct_ours,correct_plain\nF0,a,nan,1\n", "`correct_ours`: wanted 0 to 1, got 'nan'"),
        ("subject,scan,correct_ours,correct_plain\nF0,a,1,1.5\n", "`correct_plain`: wanted 0 to 1, got '1.5'"),
        ("subject,scan,correct_ours,correct_plain\nF0,a,1,1\nF0,a,1,1\n", "each pair once, got .'F0', 'a'. again"),
        ("subject,scan,correct_ours,correct_plain\n,a,1,1\n", "wanted a subject and a scan"),
    ],
)
def test_rows_that_are_wrong_are_refused(tmp_path, text, wanted):
    (tmp_path / "rows.csv").write_text(text)
    claim = Claim.model_validate(tomllib.loads(CLAIM.replace("COMMIT", "abcdef1")))
    with pytest.raises(FormatError, match=wanted):
        job_rows(claim, rows=tmp_path / "rows.csv")
    with pytest.raises(FileError, match="wanted the rows that the job writes, found no file"):
        job_rows(claim, rows=tmp_path / "none.csv")


# ------------------------------------------------------------------------------------------------------------ the files


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("margin =", "marign =", "unknown key `marign`; did you mean `margin`?"),
        ('settings = "none"', 'setings = "none"', "`rival.0`: unknown key `setings`; did you mean `settings`?"),
        ("[[try]]", "[[tri]]", "unknown key `tri`; did you mean `try`?"),
        ("margin = 2.0\n", "", "`margin` is missing"),
        ("margin = 2.0", 'margin = "two"', "`margin`: Input should be a valid number"),
        (
            "measured_before_stated = false",
            'measured_before_stated = "no"',
            "`measured_before_stated`: Input should be",
        ),
        ("margin = 2.0", "margin = ", "is not TOML"),
        ('"accuracy difference"', '"speed"', "`statistic`: wanted 'accuracy difference', got 'speed'"),
        ("subjects = 6\n", "", "`data`: wanted `subjects` and `scans`"),
        ("{seed} {part}", "10 {part}", "wanted {seed} in a command"),
        ("{seed} {part}", "{seed} 1", "wanted {part} in a command, got 2 parts that are the same"),
        ("{seed} {part}", "{seed} {part} --seed 3", "wanted `--seed {seed}`, got"),
        ('{work}"]', '{wrk}"]', "wanted {seed}, {part}, {work} in braces, got"),
        ('rows = "{work}/rows-{part}.csv"\n', "", "wanted a [[job]] with `rows` or `runs`, got none"),
        ("rows =", 'runs = { ours = "a" }\nrows =', "job fold: wanted `rows` or `runs`, got both"),
        (
            'rows = "{work}/rows-{part}.csv"',
            'runs = { ours = "a", plane = "b" }',
            "wanted `runs` of ours, plain, got ours, plane",
        ),
        ('commit = "COMMIT"', 'commit = "main"', "`try.0.commit`: String should match pattern"),
        ('commit = "COMMIT"\n', "", "try 1: wanted `commit` and at least one seed"),
        (
            '[[rival]]\nname = "plain"',
            '[[rival]]\nname = "plain"\nsettings = "x"\n[[rival]]\nname = "plain"',
            "`rival`: wanted each once",
        ),
    ],
)
def test_a_wrong_claim_file_is_one_line(tmp_path, old, new, wanted):
    assert old in CLAIM
    (tmp_path / "toy.toml").write_text(CLAIM.replace(old, new).replace("COMMIT", "abcdef1"))
    with pytest.raises(ConfigError, match=re.escape(wanted)) as caught:
        read_claim(tmp_path / "toy.toml")
    assert str(caught.value).startswith(f"{tmp_path / 'toy.toml'}: ")
    assert "\n" not in str(caught.value)


def test_the_example_of_the_help_is_a_claim():
    lines = claims.__doc__.split("\n\n    claim = ")[1].split("\n\nCommit that file")[0].splitlines()
    claim = Claim.model_validate(tomllib.loads("\n".join(["claim = " + lines[0], *(line[4:] for line in lines[1:])])))
    assert [job.name for job in claim.jobs] == ["data", "fold"]
    assert claim.setup == ("make install",)


# -------------------------------------------------------------------------------------------- measured before, the page


def test_a_claim_measured_before_it_was_stated_has_its_verdict_from_the_table_and_never_runs(toy, capsys):
    toy.write("benchmarks/results/toy.md", "commit abcdef1\n\n| plain | +5.2 | +3.1 to +7.4 |\n")
    toy.write("benchmarks/claims/toy.toml", MEASURED)
    toy.commit()
    assert "was measured before it was stated (seeds 0)" in refusal(capsys, toy.run())
    claims.main(["table", "--write"], root=toy.root)
    line = (toy.root / "benchmarks/claims/README.md").read_text().splitlines()[-1]
    assert line == (
        "| [toy](toy.toml): Ours is right more often. | shown | plain: +5.2 (+3.1 to +7.4) | 2 | 0 | 2026-11-01 "
        "| abcdef1 | no |"
    )
    assert claims.main(["check"], root=toy.root) == 0


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("value = 5.2", "value = 5.3", "`quote`: wanted 5.3 in it"),
        ("low = 3.1", "low = 5.2", "`quote`: wanted 5.2 to 7.4 in it"),
        ("low = 3.1\n", "", "wanted both of `low` and `high`, or neither, got one"),
        ("| plain | +5.2", "| plain | +6.2", "toy.md: wanted the text '| plain | +6.2"),
        ("abcdef1", "abcdef2", "toy.md: wanted the text 'abcdef2'"),
        ("results/toy.md", "results/no.md", "no.md: wanted a table"),
    ],
)
def test_a_figure_that_does_not_stand_in_its_table_is_a_problem(toy, capsys, old, new, wanted):
    toy.write("benchmarks/results/toy.md", "commit abcdef1\n\n| plain | +5.2 | +3.1 to +7.4 |\n")
    toy.write("benchmarks/claims/toy.toml", MEASURED.replace(old, new))
    assert claims.main(["check"], root=toy.root) == 2
    assert wanted in capsys.readouterr().err


def test_a_page_that_is_not_of_the_files_is_a_problem(toy, capsys):
    toy.state()
    assert "README.md: wanted as `python benchmarks/claims.py table --write` writes it" in problems(toy.root)[0]
    claims.main(["table", "--write"], root=toy.root)
    assert problems(toy.root) == []
    claims.main(["table"], root=toy.root)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("| [toy](toy.toml): Ours is right more often than the plain one. | open |  | 2 | 10 |")
    assert line.endswith(f"| {toy.start[:9]} | yes |")


def test_the_claims_of_this_project_are_in_order():
    assert problems(ROOT) == []
