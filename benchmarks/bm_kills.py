"""Kill every command at each step of each of its writes, run it again, and compare the folder byte for byte.

    python benchmarks/bm_kills.py [--write]

A write has three steps, see `tests/kills.py`: before its temporary file is made, between that file and its move into
place, and after. The removal of a file has two. The data are small and simulated: 7 scans, 12 pictures in shards of 5.
`tests/test_kills.py` goes through the states of the disk that these kills leave, with fewer runs.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the tests' helpers

from fer3d import synth  # noqa: E402
from fer3d.config import PreprocessSettings  # noqa: E402
from fer3d.errors import Fer3dError  # noqa: E402
from fer3d.evaluate.measure import evaluate_run  # noqa: E402
from fer3d.files import LOCK, TEMPORARY  # noqa: E402
from fer3d.prepare import folder as prepare_folder  # noqa: E402
from fer3d.prepare.folder import preprocess  # noqa: E402
from fer3d.prepare.shards import pack  # noqa: E402
from fer3d.prepare.store import read_manifest, read_row  # noqa: E402
from fer3d.train.plan import Experiment  # noqa: E402
from fer3d.train.run import Device, train  # noqa: E402
from fer3d.train.settings import train_settings  # noqa: E402
from tests import picture_trees  # noqa: E402
from tests.kills import STEPS, content, kill_at, writes_of  # noqa: E402
from tests.prepared import write_prepared  # noqa: E402
from tests.runs import write_run  # noqa: E402


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    Attributes:
        name: For the table.
        run: The command on a folder.
        begin: Makes the folder as it is before the command.
        is_prepared: Whether the folder is a prepared one, which readers must refuse or find whole after a kill.
    """

    name: str
    run: Callable[[Path], object]
    begin: Callable[[Path], object] = lambda folder: None
    is_prepared: bool = False


@dataclass
class Result:
    """Counts of a case."""

    writes: int = 0
    kills: int = 0
    other_bytes: int = 0
    left_over: int = 0
    refused: int = 0
    whole: int = 0
    mistaken: int = 0


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="also write it to results/kills.md")
    write = parser.parse_args().write
    with tempfile.TemporaryDirectory() as place, mock.patch.object(prepare_folder, "shard_size", lambda size: 5):
        lines = [row(case, killed(case, Path(place) / "runs")) for case in cases(Path(place))]
    text = "\n".join([*HEAD, *lines])
    print(text)
    if write:
        (HERE / "results" / "kills.md").write_text(text + "\n", encoding="utf-8")


HEAD = (
    "# A kill at every write",
    "",
    "Every command is killed before, within and after each of its writes, and then run again. Other bytes: the folder "
    "differs from that of a run that was not killed (times and peak memory in run.json, done.json and log.csv left "
    "out). Left over: a temporary file or a lock is still there. After the kill and before the second run, a reader "
    "opens a prepared folder: it refuses it as not finished, or finds every scan of the manifest whole; mistaken: "
    "anything else. `python benchmarks/bm_kills.py --write` makes this page.",
    "",
    "| command | writes | kills | other bytes | left over | readers: refused | whole | mistaken |",
    "|---|---|---|---|---|---|---|---|",
)


def row(case: Case, result: Result) -> str:
    """A line of the table."""
    counts = [str(count) for count in vars(result).values()]
    if not case.is_prepared:
        counts[-3:] = ["", "", ""]
    return f"| {case.name} | {' | '.join(counts)} |"


def cases(place: Path) -> list[Case]:
    """The commands."""
    scans, pictures = place / "scans", picture_trees.ckplus(place / "pictures")
    synth.make(scans, subjects=1, seed=3, levels=(3,), pitch=4.0)
    points = np.stack([np.linspace(5, 40, 68), np.linspace(10, 30, 68)], axis=1)
    for path in (pictures / "Landmarks").rglob("*.txt"):
        np.savetxt(path, points)

    def prepare(source: Path, size: int) -> Callable[[Path], object]:
        return lambda folder: preprocess(source, folder, settings=PreprocessSettings(size=size), workers=1)

    prepared = write_prepared(place / "prepared", ("F0001", "M0001"), intensities=(3,), size=16)
    settings = train_settings("plain-cnn", "tiny", None, ("epochs=2", "batch=8"), model={"width": 2, "maps": "depth"})

    def trained(folder: Path) -> object:
        experiment = Experiment(prepared, folds=2)
        return train("plain-cnn", experiment, folder, settings, resume=True, device=Device("cpu"))

    def packed(folder: Path) -> object:
        try:
            return pack(prepared, folder, 5)
        except Fer3dError as error:
            if "already holds a manifest" not in str(error):  # after the last write the work is done
                raise
            return None

    return [
        Case("preprocess of scans", prepare(scans, 24), is_prepared=True),
        Case("preprocess of scans, again with other settings", prepare(scans, 32), prepare(scans, 24), True),
        Case("preprocess of pictures", prepare(pictures, 16), is_prepared=True),
        Case("preprocess of pictures, again with other settings", prepare(pictures, 24), prepare(pictures, 16), True),
        Case("pack", packed, is_prepared=True),
        Case("train, 2 folds of 2 epochs", trained),
        Case("evaluate", lambda folder: evaluate_run(folder, resamples=50), write_run),
    ]


def killed(case: Case, place: Path) -> Result:
    """Kill a command at each step of each write."""
    folder, before = place / "out", place / "before"
    shutil.rmtree(place, ignore_errors=True)
    case.begin(before)

    def fresh() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if before.exists():
            shutil.copytree(before, folder)

    fresh()
    names = writes_of(lambda: case.run(folder))
    whole, result = content(folder), Result(writes=len(names))
    for number in range(1, len(names) + 1):
        for step in STEPS:
            fresh()
            if not kill_at(number, step, lambda: case.run(folder)):
                continue
            result.kills += 1
            if case.is_prepared:
                read(folder, result)
            case.run(folder)
            result.other_bytes += content(folder) != whole
            result.left_over += any(path.name == LOCK or path.suffix == TEMPORARY for path in folder.rglob("*"))
    return result


def read(folder: Path, result: Result) -> None:
    """Open a killed folder as a reader does, and count what comes of it."""
    try:
        for entry in read_manifest(folder):
            read_row(folder, entry)
        result.whole += 1
    except Fer3dError as error:
        known = "is not finished" in str(error) or "manifest.parquet: is missing" in str(error)
        result.refused += known
        result.mistaken += not known


if __name__ == "__main__":
    main()
