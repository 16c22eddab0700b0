"""Output of `preprocess`, `settings`, `inspect`, `synth` and `maps`. Imported only when one of them runs."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fer3d.catalog.cards import load_card
from fer3d.checks import check_choice
from fer3d.cli.options import AxisOptions
from fer3d.cli.terminal import compile_first, console, duration, progress_bar, shown
from fer3d.config import PreprocessSettings
from fer3d.prepare.folder import Summary, card_axes, preprocess
from fer3d.prepare.scan import AxisConvention
from fer3d.prepare.tasks import Outcome
from fer3d.prepare.warning_kinds import WarningKind, failure_kinds

_SHOWN_FAILURES = 10  # lines while scans are prepared; the summary counts the rest by reason
_SHOWN_KINDS = 8  # of warnings, and of reasons of failures
_SHOWN_DOUBTS = 10  # warnings about pictures
_SHOWN_NOTES = 10


def run_preprocess(
    scans: Path,
    out: Path,
    dataset: str,
    settings: PreprocessSettings,
    workers: int | None,
    strict: bool,
    axes: AxisOptions,
) -> Summary:
    """Run `preprocess` with a progress bar, then print a summary."""
    if dataset == "auto":
        dataset = show_detection(scans)
    card = load_card(dataset)
    axes.check_scans(card.kind, str(scans))
    done = failed = doubtful = 0
    of_scans = card.kind == "scans"
    with progress_bar("preparing") as bar:

        def tick(outcome: Outcome, total: int) -> None:
            nonlocal done, failed, doubtful
            done += 1
            bar.update(done, total)
            if outcome.status == "failed":
                failed += 1
                if failed <= _SHOWN_FAILURES:
                    bar.print(f"[red]failed[/] {shown(outcome.row['reason'])}")
            elif not of_scans and outcome.row["warnings"]:  # scans have many warnings, which the manifest holds
                doubtful += 1
                if doubtful <= _SHOWN_DOUBTS:
                    text = f"{outcome.row['source']}: {'; '.join(outcome.row['warnings'])}"
                    bar.print(f"[yellow]doubtful[/] {escape(text)}")

        summary = preprocess(
            scans,
            out,
            dataset,
            settings,
            up=axes.up,
            towards_camera=axes.towards_camera,
            workers=workers,
            strict=strict,
            progress=tick,
            compiling=bar.compiling,
        )
    _show_summary(summary, warnings=of_scans or doubtful > _SHOWN_DOUBTS)
    return summary


def show_detection(scans: Path) -> str:
    """Print which card fits `scans` and why; return the name of the card."""
    from fer3d.catalog import detect

    detection = detect(scans)
    console.print(escape(str(detection)), highlight=False)
    return detection.card.name


def run_inspect(
    scans: Path, dataset: str, read: bool, workers: int | None, axes: AxisOptions, as_json: bool = False
) -> int:
    """Inspect a folder, print the tables, or JSON, return the number of unreadable files."""
    from fer3d.catalog import detection, inspection
    from fer3d.catalog.inspection_json import inspection_to_json
    from fer3d.cli.show_inspection import render

    unit = axes.checked_unit()
    if axes != AxisOptions():  # a wrong one is reported before the files are read
        card, _ = detection.choose(scans, dataset)
        axes.check_scans(card.kind, str(scans))
        card_axes(card, axes.up, axes.towards_camera)
    with progress_bar("reading", "files", Console(stderr=True) if as_json else console) as bar:
        result = inspection.inspect(
            scans,
            dataset,
            read=read,
            workers=workers or len(os.sched_getaffinity(0)),
            progress=bar.update,
        )
    frame = card_axes(result.catalog.card, axes.up, axes.towards_camera)
    if as_json:
        console.file.write(
            json.dumps(
                inspection_to_json(result, {"up": frame.up, "towards_camera": frame.towards_camera}, unit), indent=2
            )
            + "\n"
        )
    else:
        console.print(render(result, frame, unit))
    return len(result.unreadable or ())


def run_synth(out: Path, workers: int | None, degrees: tuple[float, float, float], **options: Any) -> None:
    """Simulate scans with a progress bar. `degrees` is (yaw, nod, roll); `options` are those of `fer3d.synth.make`."""
    import math

    from fer3d import synth

    yaw, nod, roll = map(math.radians, degrees)
    with progress_bar("simulating") as bar:
        result = synth.make(
            out,
            workers=workers or len(os.sched_getaffinity(0)),
            yaw=yaw,
            nod=nod,
            roll=roll,
            progress=bar.update,
            compiling=bar.compiling,
            **options,
        )
    console.print(f"{result.scans} simulated scans of {result.subjects} people -> {escape(str(out))}", highlight=False)


def run_maps(
    scan: Path, out: Path, landmarks: Path | None, settings: PreprocessSettings, frame: AxisConvention
) -> None:
    """Prepare one scan, write its maps as one PNG, print its history."""
    import io

    import numpy as np

    from fer3d import formats
    from fer3d.files import write_bytes
    from fer3d.prepare.contact_sheet import scan_pictures
    from fer3d.prepare.drawing import grid
    from fer3d.prepare.scan import needed_kernels, prepare
    from fer3d.prepare.store import PreparedScan

    raw = formats.read(scan)
    if landmarks is not None:
        raw = raw.with_landmarks(formats.read_landmarks(landmarks), {"file": landmarks.name})
    compile_first(needed_kernels(settings.model_copy(update={"tree": False})))
    prepared, maps = prepare(raw, settings, frame=frame)
    arrays: dict[str, Any] = {"maps": maps.stack.astype(np.float32)}
    if maps.texture is not None:
        arrays["texture"] = maps.texture
    pictures = scan_pictures(PreparedScan(arrays, {"channels": list(maps.names)}))
    buffer = io.BytesIO()
    grid([list(pictures.values())], [scan.name], list(pictures)).save(buffer, "PNG")
    write_bytes(out, buffer.getvalue(), make_folder=True)
    for step in prepared.history:
        details = ", ".join(f"{key} {json.dumps(value)}" for key, value in step.items() if key != "step")
        console.print(f"[bold]{escape(step['step'])}[/] {escape(details)}", highlight=False)
    for warning in prepared.warnings:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False)
    console.print(f"-> {escape(str(out))}", highlight=False)


def print_settings(command: str = "preprocess", network: str = "oriented-fusion", recipe: str | None = None) -> None:
    """Print the settings of a command as a commented TOML file; for `train`, those that have an effect on `network`.

    With the settings of a recipe stands where each is known from, and what of the paper's training is missing.
    """
    check_choice("command", command, ("preprocess", "train"))
    if command == "preprocess":
        _print_fields(PreprocessSettings())
        return
    from fer3d.train.recipes import recipe_facts, recipe_names
    from fer3d.train.settings import train_settings, unused, used

    chosen = train_settings(network, recipe=recipe)
    facts = recipe_facts(network, chosen, used(chosen))
    lines = [f"# recipes of {network}: {', '.join(recipe_names(network))}", f"# this one: {facts['name']}"]
    lines += [f"# after {facts['paper']}"] if "paper" in facts else []
    lines += [f"# missing: {line}" for line in facts.get("missing", ())]
    console.print("\n".join(lines) + "\n", highlight=False, markup=False, soft_wrap=True)
    origins = {key: f"{entry['origin']}: {entry['source']}" for key, entry in facts.get("values", {}).items()}
    _print_fields(chosen, {"model", *unused(chosen)}, origins)
    console.print(f"[model]  # of {network}\n", highlight=False, markup=False)
    own = {key.removeprefix("model."): text for key, text in origins.items() if key.startswith("model.")}
    _print_fields(chosen.model, (), own)


def _print_fields(
    defaults: BaseModel, left_out: Collection[str] = (), origins: Mapping[str, str] = MappingProxyType({})
) -> None:
    for name, field in type(defaults).model_fields.items():
        if name not in left_out:
            value = getattr(defaults, name)
            line = f"# {name} =" if value is None else f"{name} = {_toml(value)}"
            origin = f"# {origins[name]}\n" if name in origins else ""
            console.print(f"# {field.description}\n{origin}{line}\n", highlight=False, markup=False, soft_wrap=True)


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _show_summary(summary: Summary, *, warnings: bool) -> None:
    count = summary.prepared
    rate = f", {count / summary.seconds:.1f} scans/s" if count and summary.seconds else ""
    console.print(
        f"[bold]{count}[/] prepared, {summary.kept} kept from before, "
        f"[{'red' if summary.failures else 'bold'}]{len(summary.failures)}[/] failed "
        f"in {duration(summary.seconds)}{rate} -> {escape(str(summary.out))}",
        highlight=False,
    )
    if summary.stages:
        console.print(_stage_table(summary.stages, count))
    manifest = escape(str(summary.out / "manifest.parquet"))
    if len(summary.failures) > _SHOWN_FAILURES:
        _show_kinds("[red]failed[/]", failure_kinds(summary.failures), len(summary.failures), manifest)
    if warnings:
        _show_kinds("[yellow]warning[/]", summary.warnings, summary.prepared + summary.kept, manifest)
    if summary.without_landmarks:
        console.print(
            f"[yellow]note[/] {summary.without_landmarks} without landmark files: their pose is found from the shape",
            highlight=False,
        )
    for line in summary.damaged[:_SHOWN_FAILURES]:
        console.print(f"[yellow]prepared again[/] {escape(line)}", highlight=False)
    if len(summary.damaged) > _SHOWN_FAILURES:
        console.print(f"{len(summary.damaged)} damaged files of an earlier run were prepared again")
    for note in summary.notes[:_SHOWN_NOTES]:
        console.print(f"[yellow]note[/] {escape(note)}", highlight=False)
    if len(summary.notes) > _SHOWN_NOTES:
        console.print(f"all {len(summary.notes)} notes are in {escape(str(summary.out / 'prepare.json'))}")
    if summary.strays:
        console.print(
            f"{summary.strays} scans in {escape(str(summary.out))} are from earlier runs and not in its manifest"
        )
    if summary.contact_sheet is not None:
        console.print(f"look at {escape(str(summary.contact_sheet))}", highlight=False)


def _show_kinds(head: str, kinds: Sequence[WarningKind], total: int, manifest: str) -> None:
    """Print a line for each kind, with the number of its scans and one of them."""
    for kind in kinds[:_SHOWN_KINDS]:
        text = f"{kind.text}; for example {kind.source}" if kind.count > 1 else f"{kind.source}: {kind.text}"
        console.print(f"{head} {kind.count} of {total}: {escape(text)}", highlight=False, soft_wrap=True)
    if len(kinds) > _SHOWN_KINDS:
        rest = sum(kind.count for kind in kinds[_SHOWN_KINDS:])
        console.print(f"{head} {rest} of {len(kinds) - _SHOWN_KINDS} other kinds: see {manifest}", highlight=False)


def _stage_table(stages: dict[str, float], scans: int) -> Table:
    table = Table("stage", "ms per scan", title="Time per scan, one worker", title_justify="left")
    table.columns[1].justify = "right"
    for stage, seconds in stages.items():
        table.add_row(stage, f"{1e3 * seconds / max(scans, 1):.1f}")
    table.add_row("all", f"{1e3 * sum(stages.values()) / max(scans, 1):.1f}", style="bold")
    return table
