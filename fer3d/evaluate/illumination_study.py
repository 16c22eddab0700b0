"""`study_illumination`: networks x what is done to the light x data sets, after Shin, Kim and Kwon [1]; one table.

References:
    .. [1] Shin, Kim, Kwon. Baseline CNN structure analysis for facial expression recognition. RO-MAN 2016.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fer3d.config import TrainSettings
from fer3d.errors import ArgumentError
from fer3d.evaluate.ablation import percent
from fer3d.evaluate.measure import evaluate_run
from fer3d.files import read_json, write_bytes
from fer3d.image.illumination import ILLUMINATIONS
from fer3d.image.networks import NETWORKS
from fer3d.train.plan import Experiment
from fer3d.train.run import Callbacks, Device, Job, train, train_side_by_side
from fer3d.train.settings import with_own

STUDIED_NETWORKS = ("tang", "yu-zhang", "kahou", "alexnet")  # those of [1]
STUDIED_LIGHTS = ("raw", "hist-eq", "isotropic", "dct", "dog")


@dataclass(frozen=True)
class Cell:
    """One number of the table.

    Attributes:
        data: Name of the prepared folder.
        network: A name of `fer3d.image.networks.NETWORKS`.
        illumination: A name of `fer3d.image.illumination.ILLUMINATIONS`.
        accuracy, low, high: With its 95 % interval by subject.
        scans, folds: Tested.
        seconds: Of training, all folds.
    """

    data: str
    network: str
    illumination: str
    accuracy: float
    low: float
    high: float
    scans: int
    folds: int
    seconds: float


def study_illumination(
    folders: Sequence[Path],
    experiment: Experiment,
    out: str | Path,
    settings: Mapping[str, TrainSettings],
    *,
    networks: Sequence[str] = STUDIED_NETWORKS,
    illuminations: Sequence[str] = STUDIED_LIGHTS,
    workers: int = 1,
    device: Device | None = None,
    callbacks: Callbacks | None = None,
    begin: Callable[[str, int, int], None] = lambda name, number, total: None,
) -> list[Cell]:
    """Train every network on every kind of picture of every data set; a second call goes on where the first stopped.

    Args:
        folders: Prepared folders with textures; names must differ.
        experiment: Protocol and folds for all of them; its `data` is not used.
        out: Folder: one run folder a cell, `study.json` and `study.md`, which grow with every cell.
        settings: Network -> its settings; `illumination` is set here.
        networks, illuminations: Rows and columns of the table.
        workers: Runs at once, each on one thread of the CPU; then `device` and `callbacks` are not used.
        device, callbacks: As `train` takes them.
        begin: Called with the name of a run, its number and how many there are, before each, or with several workers
            after.

    Returns:
        The cells, in the order of the table.

    Raises:
        ArgumentError: if a name is unknown or comes twice.
        As `train`.
    """
    out = Path(out)
    _check("networks", networks, list(NETWORKS))
    _check("illuminations", illuminations, list(ILLUMINATIONS))
    names = [folder.resolve().name for folder in folders]
    if not names or len(set(names)) < len(names):
        raise ArgumentError(
            f"`data` should name one or more folders of different names, names {', '.join(names) or 'none'}"
        )
    jobs = {}
    for folder, name in zip(folders, names, strict=True):
        for network in networks:
            for illumination in illuminations:
                own = settings[network].model.model_copy(update={"illumination": illumination})
                changed = with_own(settings[network], own)
                run = out / name / f"{network}+{illumination}"
                jobs[run] = (name, network, illumination), Job(network, replace(experiment, data=folder), run, changed)
    order, cells = [key for key, _ in jobs.values()], []

    def finished(run: Path) -> None:
        cells.append(_measure(run, *jobs[run][0]))
        cells.sort(key=lambda cell: order.index((cell.data, cell.network, cell.illumination)))
        write_bytes(
            out / "study.json",
            (json.dumps([asdict(cell) for cell in cells], indent=2) + "\n").encode(),
            make_folder=True,
        )
        write_bytes(out / "study.md", table(cells, illuminations).encode(), make_folder=True)

    if workers > 1:
        for number, (job, run) in enumerate(train_side_by_side([job for _, job in jobs.values()], workers)):
            finished(run)
            begin(" ".join(jobs[job.out][0]), number, len(jobs))
        return cells
    for number, (key, job) in enumerate(jobs.values()):
        begin(" ".join(key), number, len(jobs))
        finished(
            train(job.model, job.experiment, job.out, job.settings, resume=True, device=device, callbacks=callbacks)
        )
    return cells


def table(cells: Sequence[Cell], illuminations: Sequence[str]) -> str:
    """The cells as a markdown table: accuracy with its interval, the best of each row in bold."""
    lines = [
        "| data | network | " + " | ".join(illuminations) + " | scans |",
        "|" + "---|" * (len(illuminations) + 3),
    ]
    rows: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.data, cell.network), {})[cell.illumination] = cell
    for (data, network), row in rows.items():
        best = max(cell.accuracy for cell in row.values())
        texts = []
        for illumination in illuminations:
            if illumination not in row:
                texts.append("")  # not trained yet
                continue
            made = row[illumination]
            number = f"**{percent(made.accuracy)}**" if made.accuracy == best else percent(made.accuracy)
            texts.append(f"{number} ({percent(made.low)} to {percent(made.high)})")
        scans = max(cell.scans for cell in row.values())
        lines.append(f"| {data} | {network} | " + " | ".join(texts) + f" | {scans} |")
    return "\n".join(lines) + "\n"


def _measure(run: Path, data: str, network: str, illumination: str) -> Cell:
    made = evaluate_run(run)
    seconds = sum(read_json(path)["seconds"] for path in sorted(run.glob("r*f*/done.json")))
    accuracy = made.accuracy
    return Cell(
        data, network, illumination, accuracy.value, accuracy.low, accuracy.high, made.scans, made.folds, seconds
    )


def _check(argument: str, names: Sequence[str], known: Sequence[str]) -> None:
    if not names or len(set(names)) < len(names):
        raise ArgumentError(f"`{argument}` should be one or more different names, is {','.join(names) or 'none'}")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ArgumentError(f"`{argument}` should hold names out of {', '.join(known)}, holds {name!r}{hint}")
