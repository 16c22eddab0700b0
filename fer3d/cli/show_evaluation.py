"""Output of `evaluate`, `compare`, `ensemble`, `predict` and `report`. Imported only when one of them runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fer3d.cli.terminal import compile_first, console, progress_bar, shown
from fer3d.errors import ArgumentError, Fer3dError
from fer3d.files import csv_text

if TYPE_CHECKING:
    from fer3d.cli.options import AxisOptions
    from fer3d.evaluate.compare import Comparison
    from fer3d.evaluate.measure import Metrics
    from fer3d.evaluate.measure_targets import TargetMetrics
    from fer3d.evaluate.metrics import Interval
    from fer3d.predict import Ensemble, Predictor, Row

Result = TypeVar("Result")

_UNDEFINED = "-"  # in a table; the reason stands beneath it
_MOST_NOTES = 10


def run_evaluate(runs: Sequence[Path], resamples: int, seed: int, as_json: bool = False) -> list[Path]:
    """Evaluate each run, write its metrics.json, print the metrics, or JSON; return the runs that are not damaged."""
    if as_json:
        found = _of_each(runs, lambda run: _evaluated(run, resamples=resamples, seed=seed).to_json())
        _write_results(list(found.values()))
        return list(found)

    def show(run: Path) -> None:
        show_run(run, resamples=resamples, seed=seed)
        console.print(f"-> {escape(str(run / 'metrics.json'))}", highlight=False)

    return list(_of_each(runs, show))


def _of_each(runs: Iterable[Path], read: Callable[[Path], Result], least: int = 1) -> dict[Path, Result]:
    """Run -> result of `read`. A damaged run costs only itself: it is left out, and the reason printed on stderr.

    Raises:
        Fer3dError: of the first damaged run, if fewer than `least` are left.
    """
    results, faults = {}, list[Fer3dError]()
    for run in dict.fromkeys(runs):
        try:
            results[run] = read(run)
        except Fer3dError as error:
            faults.append(error)
    if faults and len(results) < least:
        raise faults[0]
    for fault in faults:
        Console(stderr=True).print(f"[yellow]left out[/] {escape(str(fault))}", highlight=False, soft_wrap=True)
    return results


def run_cross_test(runs: Sequence[Path], data: Path, resamples: int, seed: int, as_json: bool) -> None:
    """Test each run on another prepared folder, write its cross_NAME.json, print the metrics, or JSON."""
    from fer3d.evaluate.cross import cross_test

    results = []
    for run in runs:
        with progress_bar("predicting", screen=Console(stderr=True), transient=True) as bar:
            result = cross_test(run, data, resamples=resamples, seed=seed, tick=bar.update)
        results.append(result.to_json())
        if as_json:
            continue
        networks = f"{len(result.folds)} network{'s' if len(result.folds) > 1 else ''}"
        console.print(f"on {escape(result.data)} ({escape(result.dataset)}), by {networks}", highlight=False)
        _show(result.metrics)
        for line in result.notes:
            console.print(f"[yellow]note[/] {escape(line)}", highlight=False)
        console.print(f"-> {escape(str(run / f'cross_{result.data}.json'))}", highlight=False)
    if as_json:
        _write_results(results)


def show_run(run: Path, *, notes: bool = True, **bootstrap: int) -> None:
    """Evaluate a run, write its metrics.json, print the metrics, and the notes on the run."""
    measured = _evaluated(run, **bootstrap)
    _show(measured)
    if notes:
        show_notes(measured.notes)


def _evaluated(run: Path, **bootstrap: int) -> Metrics | TargetMetrics:
    """Evaluate a run as the kind of its target requires, write its metrics.json."""
    from fer3d.evaluate.measure import evaluate_run
    from fer3d.evaluate.measure_targets import evaluate_targets
    from fer3d.train.run_folder import read_run

    record = read_run(run)
    if record.target.kind == "classes":
        return evaluate_run(run, **bootstrap)
    return evaluate_targets(record, **bootstrap)


def _show(measured: Metrics | TargetMetrics) -> None:
    from fer3d.evaluate.measure import Metrics

    if isinstance(measured, Metrics):
        show_metrics(measured)
    else:
        show_target_metrics(measured)


def _write_results(results: Sequence[Mapping[str, Any]]) -> None:
    """Write the JSON of one run, or a list for several."""
    content = results[0] if len(results) == 1 else list(results)
    _write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def check_pose_tests(runs: Sequence[Path], prepared: Path | None, angles: Sequence[float] | None) -> None:
    """Raise what a pose test of the runs would raise, before anything is printed."""
    from fer3d.evaluate.pose import ANGLES, check_pose_test

    for run in runs:
        check_pose_test(run, prepared, angles=angles or ANGLES)


def run_pose_test(
    runs: Sequence[Path],
    prepared: Path | None,
    angles: Sequence[float] | None,
    scans: int | None,
    workers: int,
    resamples: int,
    seed: int,
) -> None:
    """Test each run on rotated scans, write its pose_test.json, print the table."""
    from fer3d.evaluate.pose import ANGLES, KINDS, pose_test

    for run in runs:
        with progress_bar("rotating", screen=Console(stderr=True), transient=True) as bar:
            test = pose_test(
                run,
                prepared,
                angles=angles or ANGLES,
                scans=scans,
                workers=workers,
                resamples=resamples,
                seed=seed,
                tick=bar.update,
            )
        table = _table("yaw", *(name for kind in KINDS for name in (kind, "95 % interval")))
        by_place = {(point.kind, point.yaw_deg): point for point in test.points}
        for angle in sorted({point.yaw_deg for point in test.points}):
            pair = [by_place[kind, angle] for kind in KINDS]
            cells = [cell for p in pair for cell in (_percent(p.accuracy.value), _interval(p.accuracy))]
            table.add_row(f"{angle:+g}", *cells)
        console.print(
            f"{escape(test.run)}: {test.points[0].scans} scans, test accuracy before rotation {_percent(test.frontal)}"
        )
        console.print(table)
        failed = sum(point.failed for point in test.points)
        if failed:
            console.print(f"{failed} scans could not be tested and count as wrong; {escape(test.reason)}", style="dim")
        console.print(f"-> {escape(str(run / 'pose_test.json'))}", highlight=False)


def show_metrics(metrics: Metrics) -> None:
    """Print the accuracy, the chance level, the spread over folds, and a table of the classes."""
    accuracy = f"test accuracy [bold]{_percent(metrics.accuracy.value)}[/]"
    if not math.isnan(metrics.accuracy.low):
        accuracy += f" {_interval(metrics.accuracy)}"
    others = (
        ("chance", metrics.chance),
        ("macro F1", metrics.macro_f1.value),
        ("calibration error", metrics.calibration_error),
    )
    known = [accuracy, *(f"{name} {_percent(value)}" for name, value in others if not math.isnan(value))]
    console.print(f"[bold]{escape(metrics.run)}[/] {', '.join(known)}", highlight=False)
    spread = metrics.over_folds
    sd = "" if math.isnan(spread.sd) else f" +- {100 * spread.sd:.1f} (sd)"
    missing = metrics.folds_planned - metrics.folds
    console.print(
        f"{metrics.scans} scans of {metrics.subjects} subjects; over {spread.count} folds {_percent(spread.mean)}{sd}"
        + (f"; [yellow]{missing} folds are not finished[/]" if missing else ""),
        highlight=False,
    )
    console.print(_class_table(metrics))
    from fer3d.evaluate.measure import undefined_lines

    for line in undefined_lines(metrics.undefined):
        console.print(line, style="dim", highlight=False, markup=False)


def show_notes(notes: Sequence[str]) -> None:
    """Print what a reader of the results should know."""
    for note in notes[:_MOST_NOTES]:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)
    if len(notes) > _MOST_NOTES:
        console.print(f"[yellow]note[/] and {len(notes) - _MOST_NOTES} more, in run.json", highlight=False)


def show_target_metrics(metrics: TargetMetrics) -> None:
    """Print the mean of the main measure, and one row per action unit or value."""
    names = {"f1": "F1", "ccc": "CCC", "pearson": "Pearson", "rmse": "RMSE", "roc_auc": "AUC"}
    mean = metrics.mean
    interval = "" if math.isnan(mean.low) else f" ({mean.low:.3f} to {mean.high:.3f})"
    console.print(
        f"[bold]{escape(metrics.run)}[/] {metrics.target}, mean {names[metrics.main]} "
        f"on test subjects [bold]{_plain(metrics.mean.value)}[/]{interval}",
        highlight=False,
    )
    missing = metrics.folds_planned - metrics.folds
    console.print(
        f"{metrics.scans} scans of {metrics.subjects} subjects; {metrics.folds} folds"
        + (f"; [yellow]{missing} folds are not finished[/]" if missing else ""),
        highlight=False,
    )
    measures = list(metrics.means)
    table = _table("name", "known", *(names.get(key, key.replace("_", " ")) for key in measures))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in metrics.each:
        table.add_row(row.name, str(row.known), *(_plain(row.measures[key]) for key in measures))
    console.print(table)
    if metrics.left_out:
        left_out = f"{', '.join(metrics.left_out)}: {names[metrics.main]} is undefined and not in the mean"
        console.print(left_out, style="dim", highlight=False, markup=False)


def run_compare(runs: Sequence[Path], resamples: int, seed: int, as_json: bool) -> int:
    """Compare the runs and print the tables, or JSON; return the number of damaged runs, which are left out."""
    from fer3d.evaluate.compare import compare
    from fer3d.evaluate.measure import without_nan
    from fer3d.train.run_folder import read_predictions, read_run

    whole = _of_each(runs, lambda run: read_predictions(read_run(run)), least=2)
    kept = [run for run in runs if run in whole]
    failed, comparison = len(runs) - len(kept), compare(kept, resamples=resamples, seed=seed)
    if as_json:
        _write(json.dumps(without_nan(comparison.to_json()), indent=2, ensure_ascii=False) + "\n")
        return failed
    for text in comparison.warnings:
        console.print(f"[yellow]warning[/] {escape(text)}", highlight=False)
    console.print(_run_table(comparison))
    console.print(_pair_table(comparison))
    if any(math.isnan(row.accuracy.low) for row in comparison.runs):
        console.print("no interval: one subject only", style="dim", highlight=False)
    show_notes(comparison.notes)
    return failed


def run_ensemble(runs: Sequence[Path], out: Path | None, rule: str, resamples: int, seed: int) -> None:
    """Learn the weights of the runs, print them with the accuracy of each run and of the ensemble, write the JSON."""
    from fer3d.evaluate.ensemble_runs import ensemble_runs

    ensemble = ensemble_runs(runs, rule, resamples=resamples, seed=seed)
    table = _table("run", "model", "weight", "test accuracy", "95 % interval")
    for member in ensemble.members:
        cells = (f"{member.weight:.3f}", _percent(member.accuracy.value), _interval(member.accuracy))
        table.add_row(escape(member.run), escape(member.model), *cells)
    for name, accuracy in (
        ("equal weights", ensemble.equal_weights),
        (f"[bold]{ensemble.rule} weights[/]", ensemble.accuracy),
    ):
        table.add_row(name, "", "", _percent(accuracy.value), _interval(accuracy))
    console.print(table)
    console.print(
        f"{len(set(ensemble.predictions.ids))} test scans; weights of {len(ensemble.folds)} folds, each learned on its "
        "validation scans; their mean is shown",
        highlight=False,
    )
    show_notes(ensemble.notes)
    if out is None:
        return
    if out.suffix == ".json":
        ensemble.write(out)
        console.print(f"-> {escape(str(out))}", highlight=False)
        return
    from fer3d.evaluate.ensemble_folder import write_ensemble

    write_ensemble(out, ensemble, runs)
    line = f"-> {escape(str(out))}; it predicts like a run: fer3d predict {escape(str(out))}"
    console.print(line, highlight=False, soft_wrap=True)


def run_predict(
    run: Path,
    scans: Sequence[str],
    fold: str | None,
    *,
    landmarks: bool,
    as_json: bool,
    as_csv: bool,
    axes: AxisOptions,
    crops: bool,
    whole_picture: bool,
    check: Callable[[Mapping[str, str]], None] = lambda reasons: None,
) -> int:
    """Predict the scans or pictures, print one row each, return the number of those that failed.

    Args:
        run, fold: As in `fer3d.predict.load`.
        scans: Files, folders or patterns.
        landmarks: Whether to use the landmark files beside the scans.
        as_json, as_csv: Print this format instead of a table.
        axes: Unit and axes of the files. A unit that is not given is as in the settings of the run.
        crops, whole_picture: As in `fer3d.predict.load`.
        check: Called with option -> why it has no effect on this run; refuses one that was typed.
    """
    from fer3d.formats.find import find_scans
    from fer3d.predict import load, predict_files
    from fer3d.prepare.scan import needed_kernels

    if as_json and as_csv:
        raise ArgumentError("`--json` and `--csv` should not be given together")
    frame, unit = axes.convention(), axes.checked_unit()
    predictor = load(run, fold, crops=crops, whole_picture=whole_picture)
    check(_idle_options(predictor))
    if unit is not None:
        predictor = predictor.with_unit(unit)
    paths = find_scans(scans, predictor.kind.is_file)
    if predictor.kind.name != "pictures":
        compile_first(needed_kernels(predictor.settings), Console(stderr=True))
    rows = list(_with_progress(predict_files(predictor, paths, landmarks=landmarks, frame=frame), len(paths)))
    if as_json:
        _write(json.dumps([_row_json(row) for row in rows], indent=2, ensure_ascii=False) + "\n")
    elif as_csv:
        _write(_rows_csv(rows, predictor.classes))
    else:
        _show_rows(rows, len(predictor.models))
    return sum(row.prediction is None for row in rows)


def _idle_options(predictor: Predictor | Ensemble) -> dict[str, str]:
    """Option of `predict` that has no effect on the run -> the reason."""
    if predictor.kind.name == "pictures":
        reason = "is of scans, the run was trained on pictures"
        return dict.fromkeys(("landmarks", "unit", "up", "towards_camera"), reason)
    if predictor.settings.pose == "found":
        return {"landmarks": "is of poses from landmark files, `pose` of the run is found"}
    return {}


def run_report(runs: Sequence[Path], out: Path | None, prepared: Path | None) -> int:
    """Write report.html for the runs, and evaluate those without current metrics first; return how many are damaged."""
    from fer3d.evaluate.compare import compare
    from fer3d.evaluate.measure import current_metrics
    from fer3d.report.html import run_page, write_report

    if len({run.resolve() for run in runs}) < len(runs):
        compare(runs)  # raises: a run comes twice
    whole = _of_each(runs, lambda run: run_page(run, current_metrics(run), prepared))
    path, pages = out if out is not None else next(iter(whole)) / "report.html", list(whole.values())
    write_report(path, pages, compare(list(whole)).to_json() if len(whole) > 1 else None)
    for page in pages:
        accuracy, chance = page.metrics["accuracy"]["value"], page.metrics["chance"]
        console.print(
            f"[bold]{escape(page.name)}[/] test accuracy [bold]{_percent(accuracy)}[/], chance {_percent(chance)}",
            highlight=False,
        )
    console.print(f"open {escape(str(path))}", highlight=False, soft_wrap=True)
    return len(runs) - len(pages)


def _with_progress(rows: Iterator[Row], total: int) -> Iterator[Row]:
    """Yield the rows while a transient progress bar runs on stderr: stdout is for the results."""
    with progress_bar("predicting", screen=Console(stderr=True), transient=True) as bar:
        for number, row in enumerate(rows, start=1):
            yield row
            if total > 1:
                bar.update(number, total)


def _class_table(metrics: Metrics) -> Table:
    """Precision, recall and F1 of each class in per cent, then its row of the confusion matrix (AN = anger, ...)."""
    codes = [name[:2].upper() for name in metrics.classes]
    table = _table("truth", "scans", "prec.", "recall", "F1", *codes)
    for column in table.columns[1:]:
        column.justify = "right"
    for row, counts in zip(metrics.per_class, metrics.confusion, strict=True):
        shares = (_number(value) for value in (row.precision, row.recall, row.f1))
        cells = [f"[bold]{n}[/]" if metrics.classes[i] == row.name else str(n or "") for i, n in enumerate(counts)]
        table.add_row(row.name, str(row.scans), *shares, *cells)
    return table


def _run_table(comparison: Comparison) -> Table:
    table = _table("run", "model", "maps", "scans", "test accuracy", "95 % interval")
    table.columns[2].no_wrap = False
    for row in comparison.runs:
        scans = f"{row.scans} x {row.rounds}" if row.rounds > 1 else str(row.scans)
        cells = (row.run, row.model, " ".join(row.maps), scans)
        table.add_row(*map(escape, cells), _percent(row.accuracy.value), _interval(row.accuracy))
    return table


def _pair_table(comparison: Comparison) -> Table:
    table = _table("first", "second", "scans", "points", "95 % interval", "correct alone", "p (Holm)")
    for row in comparison.pairs:
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

    table = _table("scan", "prediction", "prob.", "second", "note")
    for column in (table.columns[0], table.columns[-1]):
        column.no_wrap, column.overflow = False, "fold"
    names = [row.path.name for row in rows]
    for row in rows:
        name = shown(row.path.name if names.count(row.path.name) == 1 else str(row.path))
        if row.prediction is None:
            table.add_row(name, "[red]failed[/]", "", "", shown(row.reason))
            continue
        prediction = row.prediction
        if isinstance(prediction, ValuePrediction):
            table.add_row(name, f"[bold]{prediction.text}[/]", "", "", shown("; ".join(prediction.warnings)))
            continue
        second = f"{prediction.second} {100 * prediction.probabilities[prediction.second]:.0f} %"
        doubt = [f"[yellow]{prediction.note}, entropy {prediction.entropy:.2f}[/]"] if prediction.note else []
        note = "; ".join([*doubt, *map(shown, prediction.warnings)])
        table.add_row(name, f"[bold]{prediction.label}[/]", f"{100 * prediction.confidence:.0f} %", second, note)
    console.print(table)
    done = [row.prediction for row in rows if row.prediction is not None]
    low = sum(isinstance(prediction, Prediction) and bool(prediction.note) for prediction in done)
    console.print(
        f"{len(done)} of {len(rows)} scans predicted by {networks} network{'s' if networks > 1 else ''}"
        + (f", {low} of them unreliable" if low else ""),
        highlight=False,
    )


def _row_json(row: Row) -> dict[str, Any]:
    if row.prediction is None:
        return {"file": str(row.path), "status": "failed", "reason": row.reason}
    return {"file": str(row.path), "status": "ok"} | row.prediction.to_json()


def _rows_csv(rows: Sequence[Row], classes: Sequence[str]) -> str:
    facts = ("file", "status", "label", "confidence", "second", "entropy", "agreement", "note", "warnings", "reason")
    table = []
    for row in rows:
        plain = _row_json(row)
        numbers = plain.pop("probabilities", None) or plain.pop("values", {})
        plain["warnings"] = "; ".join(plain.get("warnings", ()))
        table.append(plain | {f"p_{name}": value for name, value in numbers.items()})
    return csv_text([*facts, *(f"p_{name}" for name in classes)], table)


def _write(text: str) -> None:
    """Write to stdout unchanged: without colours, and without line breaks at the width of the terminal."""
    console.file.write(text)


def _table(*columns: str) -> Table:
    """A table without vertical lines, which fits 80 columns."""
    table = Table(*columns, box=SIMPLE, collapse_padding=True, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    return table


def _plain(value: float) -> str:
    return _UNDEFINED if math.isnan(value) else f"{value:.3f}"


def _percent(value: float) -> str:
    return _UNDEFINED if math.isnan(value) else f"{100 * value:.1f} %"


def _number(value: float) -> str:
    return _UNDEFINED if math.isnan(value) else f"{100 * value:.1f}"


def _interval(interval: Interval) -> str:
    return _UNDEFINED if math.isnan(interval.low) else f"({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _signed(interval: Interval) -> str:
    return _UNDEFINED if math.isnan(interval.low) else f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}"
