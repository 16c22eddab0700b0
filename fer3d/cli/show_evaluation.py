"""What `evaluate`, `compare`, `predict` and `report` show. Loaded only by one of them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID, track
from rich.table import Table

from fer3d.cli.terminal import compile_first, console
from fer3d.errors import ArgumentError

if TYPE_CHECKING:
    from fer3d.evaluate.compare import Comparison
    from fer3d.evaluate.measure import Metrics
    from fer3d.evaluate.measure_targets import TargetMetrics
    from fer3d.evaluate.metrics import Interval
    from fer3d.predict import Predictor, Row

_UNDEFINED = "n/a"


def run_evaluate(runs: Sequence[Path], resamples: int, seed: int) -> None:
    """Measure each run, write its metrics.json, print its numbers."""
    for run in runs:
        show_run(run, resamples=resamples, seed=seed)
        console.print(f"-> {escape(str(run / 'metrics.json'))}", highlight=False)


def show_run(run: Path, **bootstrap: int) -> None:
    """Measure a run by the kind of its target, write its metrics.json, print its numbers."""
    from fer3d.evaluate.measure import evaluate_run
    from fer3d.evaluate.measure_targets import evaluate_targets
    from fer3d.train.run_folder import read_run

    read = read_run(run)
    if read.target.kind == "classes":
        show_metrics(evaluate_run(run, **bootstrap))
    else:
        show_target_metrics(evaluate_targets(read, **bootstrap))


def run_pose_test(
    runs: Sequence[Path],
    prepared: Path | None,
    angles: Sequence[float] | None,
    scans: int | None,
    workers: int,
    resamples: int,
    seed: int,
) -> None:
    """Test each run on turned scans, write its pose_test.json, print its table."""
    from fer3d.evaluate.pose import ANGLES, KINDS, pose_test

    for run in runs:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("turning", total=None)

            def tick(done: int, total: int, task: TaskID = task, progress: Progress = progress) -> None:
                progress.update(task, completed=done, total=total)

            made = pose_test(
                run,
                prepared,
                angles=angles or ANGLES,
                scans=scans,
                workers=workers,
                resamples=resamples,
                seed=seed,
                tick=tick,
            )
        table = _table("yaw", *(name for kind in KINDS for name in (kind, "95 % interval")))
        by_place = {(point.kind, point.yaw_deg): point for point in made.points}
        for angle in sorted({point.yaw_deg for point in made.points}):
            pair = [by_place[kind, angle] for kind in KINDS]
            cells = [cell for p in pair for cell in (_percent(p.accuracy.value), _interval(p.accuracy))]
            table.add_row(f"{angle:+g}", *cells)
        console.print(f"{escape(made.run)}: {made.points[0].scans} scans, as they stand {_percent(made.frontal)}")
        console.print(table)
        failed = sum(point.failed for point in made.points)
        if failed:
            console.print(f"{failed} scans could not be tested and count as wrong; {escape(made.reason)}", style="dim")
        console.print(f"-> {escape(str(run / 'pose_test.json'))}", highlight=False)


def show_metrics(made: Metrics) -> None:
    """Print the accuracy, what it is to be measured against, and the classes."""
    console.print(
        f"[bold]{escape(made.run)}[/] accuracy [bold]{_percent(made.accuracy.value)}[/] {_interval(made.accuracy)}, "
        f"chance {_percent(made.chance)}, macro F1 {_percent(made.macro_f1.value)}, "
        f"calibration error {_percent(made.calibration_error)}",
        highlight=False,
    )
    spread = made.over_folds
    sd = "" if math.isnan(spread.sd) else f" +- {100 * spread.sd:.1f} (sd)"
    missing = made.folds_planned - made.folds
    console.print(
        f"{made.scans} scans of {made.subjects} subjects; over {spread.count} folds {_percent(spread.mean)}{sd}"
        + (f"; [yellow]{missing} folds are not finished[/]" if missing else ""),
        highlight=False,
    )
    console.print(_class_table(made))
    for name, reason in made.undefined.items():
        console.print(f"{name} is undefined: {reason}", style="dim", highlight=False, markup=False)


def show_target_metrics(found: TargetMetrics) -> None:
    """Print the main measure and a line a unit or value."""
    names = {"f1": "F1", "ccc": "CCC", "pearson": "Pearson", "rmse": "RMSE", "roc_auc": "AUC"}
    console.print(
        f"[bold]{escape(found.run)}[/] {found.target}, mean {names[found.main]} [bold]{found.mean.value:.3f}[/] "
        f"({found.mean.low:.3f} to {found.mean.high:.3f})",
        highlight=False,
    )
    missing = found.folds_planned - found.folds
    console.print(
        f"{found.scans} scans of {found.subjects} subjects; {found.folds} folds"
        + (f"; [yellow]{missing} folds are not finished[/]" if missing else ""),
        highlight=False,
    )
    measures = list(found.means)
    table = _table("name", "known", *(names.get(key, key.replace("_", " ")) for key in measures))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in found.each:
        table.add_row(row.name, str(row.known), *(f"{row.measures[key]:.3f}" for key in measures))
    console.print(table)
    if found.left_out:
        left_out = f"{', '.join(found.left_out)}: {names[found.main]} is undefined and not in the mean"
        console.print(left_out, style="dim", highlight=False, markup=False)


def run_compare(runs: Sequence[Path], resamples: int, seed: int, as_json: bool) -> None:
    """Compare the runs and print the tables, or JSON."""
    from fer3d.evaluate.compare import compare
    from fer3d.evaluate.measure import without_nan

    made = compare(runs, resamples=resamples, seed=seed)
    if as_json:
        _write(json.dumps(without_nan(made.to_json()), indent=2, ensure_ascii=False) + "\n")
        return
    for text in made.warnings:
        console.print(f"[yellow]warning[/] {escape(text)}", highlight=False)
    console.print(_run_table(made))
    console.print(_pair_table(made))


def run_ensemble(runs: Sequence[Path], out: Path | None, rule: str, resamples: int, seed: int) -> None:
    """Learn the weights of the runs, print them with the accuracy of each and of the ensemble, write the JSON file."""
    from fer3d.evaluate.ensemble_runs import ensemble_runs

    made = ensemble_runs(runs, rule, resamples=resamples, seed=seed)
    table = _table("run", "model", "weight", "accuracy", "95 % interval")
    for member in made.members:
        cells = (f"{member.weight:.3f}", _percent(member.accuracy.value), _interval(member.accuracy))
        table.add_row(escape(member.run), escape(member.model), *cells)
    for name, accuracy in (("equal weights", made.equal_weights), (f"[bold]{made.rule} weights[/]", made.accuracy)):
        table.add_row(name, "", "", _percent(accuracy.value), _interval(accuracy))
    console.print(table)
    console.print(
        f"{len(set(made.predictions.ids))} test scans; weights of {len(made.folds)} folds, each learned on its "
        "validation scans; their mean is shown",
        highlight=False,
    )
    if out is not None:
        made.write(out)
        console.print(f"-> {escape(str(out))}", highlight=False)


def run_predict(
    run: Path,
    scans: Sequence[str],
    fold: str | None,
    *,
    landmarks: bool,
    as_json: bool,
    as_csv: bool,
    unit: str | None,
    axes: tuple[str, str],
) -> int:
    """Predict the scans or pictures, print one row each, give the number that failed.

    Args:
        run, fold: As `fer3d.predict.load`.
        scans: Files, folders, patterns.
        landmarks: Whether to use the landmark files beside the scans.
        as_json, as_csv: Print this and no table.
        unit: Of the files. None: as the run's settings say.
        axes: Which axes of the files point up and to the camera.
    """
    from fer3d.formats.find import find_scans
    from fer3d.predict import load, predict_files
    from fer3d.prepare.scan import AxisConvention, needed_kernels

    if as_json and as_csv:
        raise ArgumentError("`--json` and `--csv` should not be given together")
    predictor = load(run, fold)
    if unit is not None:
        predictor = _with_unit(predictor, unit)
    frame = AxisConvention(unit or "auto", *axes)
    paths = find_scans(scans, predictor.kind.is_file)
    if predictor.kind.name != "pictures":
        compile_first(needed_kernels(predictor.settings, landmarks), Console(stderr=True))
    rows = list(_with_progress(predict_files(predictor, paths, landmarks=landmarks, frame=frame), len(paths)))
    if as_json:
        _write(json.dumps([_row_json(row) for row in rows], indent=2, ensure_ascii=False) + "\n")
    elif as_csv:
        _write(_rows_csv(rows, predictor.classes))
    else:
        _show_rows(rows, len(predictor.models))
    return sum(row.prediction is None for row in rows)


def run_report(runs: Sequence[Path], out: Path | None, prepared: Path | None) -> None:
    """Write report.html for the runs, measuring those that have not been."""
    from fer3d.evaluate.compare import compare
    from fer3d.evaluate.measure import current_metrics
    from fer3d.report.html import run_page, write_report

    path = out if out is not None else runs[0] / "report.html"
    pages = [run_page(run, current_metrics(run), prepared) for run in runs]
    write_report(path, pages, compare(runs).to_json() if len(runs) > 1 else None)
    for page in pages:
        accuracy, chance = page.metrics["accuracy"]["value"], page.metrics["chance"]
        console.print(
            f"[bold]{escape(page.name)}[/] accuracy [bold]{_percent(accuracy)}[/], chance {_percent(chance)}",
            highlight=False,
        )
    console.print(f"open {escape(str(path))}", highlight=False, soft_wrap=True)


def _with_unit(predictor: Predictor, unit: str) -> Predictor:
    from fer3d.config import PreprocessSettings, parse_assignments, settings

    table = predictor.settings.model_dump() | parse_assignments([f"unit={unit}"])
    return replace(predictor, settings=settings(PreprocessSettings, table, "--unit"))


def _with_progress(rows: Iterator[Row], total: int) -> Iterator[Row]:
    """The rows, under a bar on stderr that goes away: stdout is for the answer."""
    screen = Console(stderr=True)
    return iter(track(rows, "predicting", total=total, console=screen, transient=True, disable=total < 2))


def _class_table(made: Metrics) -> Table:
    """Per cent of each class, and how often it was taken for AN(ger), DI(sgust) ... in the order of the rows."""
    codes = [name[:2].upper() for name in made.classes]
    table = _table("truth", "scans", "prec.", "recall", "F1", *codes)
    for column in table.columns[1:]:
        column.justify = "right"
    for row, counts in zip(made.per_class, made.confusion, strict=True):
        shares = (_number(value) for value in (row.precision, row.recall, row.f1))
        cells = [f"[bold]{n}[/]" if made.classes[i] == row.name else str(n or "") for i, n in enumerate(counts)]
        table.add_row(row.name, str(row.scans), *shares, *cells)
    return table


def _run_table(made: Comparison) -> Table:
    table = _table("run", "model", "maps", "scans", "accuracy", "95 % interval")
    table.columns[2].no_wrap = False
    for row in made.runs:
        scans = f"{row.scans} x {row.rounds}" if row.rounds > 1 else str(row.scans)
        cells = (row.run, row.model, " ".join(row.maps), scans)
        table.add_row(*map(escape, cells), _percent(row.accuracy.value), _interval(row.accuracy))
    return table


def _pair_table(made: Comparison) -> Table:
    table = _table("first", "second", "scans", "points", "95 % interval", "correct alone", "p (Holm)")
    for row in made.pairs:
        table.add_row(
            escape(row.first),
            escape(row.second),
            str(row.scans),
            f"{100 * row.difference.value:+.1f}",
            _signed(row.difference),
            f"{row.only_first} : {row.only_second}",
            f"{row.p_holm:.2g}",
            style="bold" if row.difference.low > 0 or row.difference.high < 0 else "",
        )
    return table


def _show_rows(rows: Sequence[Row], networks: int) -> None:
    from fer3d.predict import Prediction, ValuePrediction

    table = _table("scan", "prediction", "sure", "second", "note")
    for column in (table.columns[0], table.columns[-1]):
        column.no_wrap, column.overflow = False, "fold"
    names = [row.path.name for row in rows]
    for row in rows:
        name = escape(row.path.name if names.count(row.path.name) == 1 else str(row.path))
        if row.prediction is None:
            table.add_row(name, "[red]failed[/]", "", "", escape(row.reason))
            continue
        made = row.prediction
        if isinstance(made, ValuePrediction):
            table.add_row(name, f"[bold]{made.text}[/]", "", "", escape("; ".join(made.warnings)))
            continue
        second = f"{made.second} {100 * made.probabilities[made.second]:.0f} %"
        doubt = [f"[yellow]{made.note}, entropy {made.entropy:.2f}[/]"] if made.note else []
        note = "; ".join([*doubt, *map(escape, made.warnings)])
        table.add_row(name, f"[bold]{made.label}[/]", f"{100 * made.confidence:.0f} %", second, note)
    console.print(table)
    done = [row.prediction for row in rows if row.prediction is not None]
    low = sum(isinstance(made, Prediction) and bool(made.note) for made in done)
    console.print(
        f"{len(done)} of {len(rows)} scans predicted by {networks} network{'s' if networks > 1 else ''}"
        + (f", {low} of them not to be relied on" if low else ""),
        highlight=False,
    )


def _row_json(row: Row) -> dict[str, Any]:
    if row.prediction is None:
        return {"file": str(row.path), "status": "failed", "reason": row.reason}
    return {"file": str(row.path), "status": "ok"} | row.prediction.to_json()


def _rows_csv(rows: Sequence[Row], classes: Sequence[str]) -> str:
    facts = ("file", "status", "label", "confidence", "second", "entropy", "agreement", "note", "reason")
    text = io.StringIO()
    writer = csv.DictWriter(text, [*facts, *(f"p_{name}" for name in classes)], extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        plain = _row_json(row)
        numbers = plain.pop("probabilities", None) or plain.pop("values", {})
        plain |= {f"p_{name}": value for name, value in numbers.items()}
        writer.writerow(plain)
    return text.getvalue()


def _write(text: str) -> None:
    """To stdout as it is: no colours, no line breaks at the width of the screen."""
    console.file.write(text)


def _table(*columns: str) -> Table:
    """An airy table that fits 80 columns."""
    table = Table(*columns, box=SIMPLE, collapse_padding=True, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    return table


def _percent(value: float) -> str:
    return _UNDEFINED if math.isnan(value) else f"{100 * value:.1f} %"


def _number(value: float) -> str:
    return _UNDEFINED if math.isnan(value) else f"{100 * value:.1f}"


def _interval(made: Interval) -> str:
    return _UNDEFINED if math.isnan(made.low) else f"({100 * made.low:.1f} to {100 * made.high:.1f})"


def _signed(made: Interval) -> str:
    return _UNDEFINED if math.isnan(made.low) else f"{100 * made.low:+.1f} to {100 * made.high:+.1f}"
