"""SVG figures of a report. They draw numbers that `fer3d.evaluate` computed; report.css sets colours and fonts.

On a page 1040 pixels wide each figure has the width of its viewBox, so that text has one size inside and outside the
figures. `Markup` escapes each text that is inserted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

Number = float | None  # None: undefined
Scale = Callable[[float], float]

UNDEFINED = "\u2013"

_EMPTY = Markup("")
_MINUS = "\u2212"
_MANY = 20  # from this number of curves on they are drawn fainter
_THIRD = 330  # width of a figure if three stand side by side


def percent(value: Number, digits: int = 1) -> str:
    """Format a fraction as "87.4 %", or as a dash if it is undefined.

    >>> percent(0.8736)
    '87.4 %'
    """
    return UNDEFINED if value is None or math.isnan(value) else f"{100 * value:.{digits}f} %"


def points(value: Number) -> str:
    """Format a difference of fractions in percentage points, with its sign.

    >>> points(0.0556)
    '+5.6'
    """
    return UNDEFINED if value is None or math.isnan(value) else f"{100 * value:+.1f}".replace("-", _MINUS)


def accuracy_scale(metrics: Mapping[str, Any]) -> Markup:
    """The accuracy on a scale from 0 to 100 %, with its interval and the chance level."""
    x = _scale(0, 1, 8, 472)
    accuracy = metrics["accuracy"]
    body = [_line(x(0), 30, x(1), 30, "track")]
    body += [_text(x(tick / 4), 58, f"{25 * tick}", "tick middle") for tick in range(5)]
    body += [_line(x(tick / 4), 26, x(tick / 4), 34, "track") for tick in range(5)]
    if accuracy["low"] is not None:
        body.append(_rect(x(accuracy["low"]), 23, x(accuracy["high"]) - x(accuracy["low"]), 14, "band", radius=7))
    body.append(_line(x(metrics["chance"]), 18, x(metrics["chance"]), 42, "chance"))
    body.append(_text(x(metrics["chance"]), 11, f"chance {percent(metrics['chance'])}", "note middle"))
    body.append(_circle(x(accuracy["value"]), 30, 6, "dot", percent(accuracy["value"], 2)))
    return _svg(480, 64, body, "Accuracy on a scale from 0 to 100 per cent")


def heat_map(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Markup:
    """Confusion matrix: rows are the truth, columns the prediction; the opacity of a cell is its share of the row."""
    left, top, cell = 92, 34, min(66.0, 420 / len(classes))
    body = [_text(left + cell * len(classes) / 2, 6, "predicted", "note middle")]
    for row, (name, counts) in enumerate(zip(classes, confusion, strict=True)):
        y, total = top + cell * row, sum(counts)
        body.append(_text(left - 8, y + cell / 2 + 4, name, "label end"))
        body.append(_text(left + cell * (row + 0.5), top - 8, name[:9], "label middle"))
        for column, count in enumerate(counts):
            share = count / total if total else 0.0
            hint = f"{name} predicted as {classes[column]}: {count} of {total}"
            body.append(_cell(left + cell * column, y, cell, share, count, hint, row == column))
    return _svg(left + cell * len(classes) + 2, top + cell * len(classes) + 2, body, "Confusion matrix")


def curves(
    folds: Sequence[Sequence[Mapping[str, float]]], quantity: str, ceiling: float | None, *, unit: str
) -> Markup:
    """Training and validation curves, one thin line per fold.

    Args:
        folds: The log of each fold: rows with `epoch`, `train_<quantity>`, `validation_<quantity>`.
        quantity: "loss" or "accuracy".
        ceiling: Top of the axis; None: 1.05 times the largest value.
        unit: Format of the axis: "share" for per cent, or "number".
    """
    values = [
        row[f"{part}_{quantity}"]
        for log in folds
        for row in log
        for part in ("train", "validation")
        if math.isfinite(row.get(f"{part}_{quantity}", math.nan))
    ]
    if not values:
        return _EMPTY
    last = max(row["epoch"] for log in folds for row in log)
    top = ceiling if ceiling is not None else 1.05 * max(values)
    x, y = _scale(1, max(last, 2), 44, _THIRD - 6), _scale(0, top, 214, 14)
    body = _grid(y, _ticks(0, top), (44, _THIRD - 6), unit)
    body += [_text(x(tick), 232, f"{tick:g}", "tick middle") for tick in _ticks(1, last) if tick == int(tick)]
    body.append(_text(36, 232, "epoch", "note end"))
    for part in ("train", "validation"):
        kind = f"{part} many" if len(folds) > _MANY else part
        body += [_curve(log, f"{part}_{quantity}", x, y, kind) for log in folds]
    return _svg(_THIRD, 240, body, f"{quantity} by epoch")


def pose_curve(pose: Mapping[str, Any]) -> Markup:
    """Accuracy against yaw with intervals, one line per kind of scan; a dashed line marks the original scans."""
    entries = [entry for entry in pose["points"] if entry["accuracy"]["value"] is not None]
    if not entries:
        return _EMPTY
    angles = sorted({entry["yaw_deg"] for entry in entries})
    x, y = _scale(angles[0], max(angles[-1], angles[0] + 1), 62, 1014), _scale(0, 1, 234, 14)
    body = _grid(y, [tick / 4 for tick in range(5)], (44, 1032), "share")
    body += [_text(x(angle), 252, f"{angle:g}".replace("-", _MINUS), "tick middle") for angle in angles]
    body.append(_line(44, y(pose["frontal"]), 1032, y(pose["frontal"]), "ideal", percent(pose["frontal"])))
    for kind, look in (("turned", "train"), ("self-occluded", "validation")):
        mine = sorted((e for e in entries if e["kind"] == kind), key=lambda entry: entry["yaw_deg"])
        spots = " ".join(f"{x(e['yaw_deg']):.1f},{y(e['accuracy']['value']):.1f}" for e in mine)
        body.append(Markup('<polyline class="curve {}" points="{}"/>').format(look, spots))
        for entry in mine:
            accuracy, left = entry["accuracy"], x(entry["yaw_deg"])
            hint = f"{kind}, {entry['yaw_deg']:g} degrees: {percent(accuracy['value'])} of {entry['scans']} scans"
            if accuracy["low"] is not None:
                body.append(_line(left, y(accuracy["low"]), left, y(accuracy["high"]), "track"))
            body.append(_circle(left, y(accuracy["value"]), 4, f"dot {look}", hint))
    return _svg(1040, 262, body, "Accuracy against the turn of the head")


def fold_dots(metrics: Mapping[str, Any]) -> Markup:
    """The accuracy of each fold, one row per round, and their mean."""
    folds, mean = metrics["per_fold"], metrics["over_folds"]["mean"]
    low = max(0.0, math.floor(10 * min(fold["accuracy"] for fold in folds) - 0.5) / 10)
    rounds = sorted({fold["round"] for fold in folds})
    x, height = _scale(low, 1, 64, 496), 22 * len(rounds)
    body = []
    for tick in _ticks(low, 1):
        body += [
            _line(x(tick), 8, x(tick), 14 + height, "grid"),
            _text(x(tick), 32 + height, percent(tick, 0), "tick middle"),
        ]
    body.append(_line(x(mean), 4, x(mean), 16 + height, "mean", f"mean {percent(mean)}"))
    for row, number in enumerate(rounds):
        body.append(_text(54, 26 + 22 * row, f"round {number}", "label end"))
        for fold in (fold for fold in folds if fold["round"] == number):
            hint = f"round {number}, fold {fold['fold']}: {percent(fold['accuracy'])} of {fold['scans']} scans"
            body.append(_circle(x(fold["accuracy"]), 22 + 22 * row, 5, "dot soft", hint))
    return _svg(508, 38 + height, body, "Accuracy of each fold")


def subject_bars(metrics: Mapping[str, Any]) -> Markup:
    """The accuracy of each subject as a bar, the lowest first; a dashed line marks the overall accuracy."""
    subjects = sorted(metrics["per_subject"], key=lambda entry: (entry["accuracy"], entry["subject"]))
    width = min(984 / len(subjects), 48.0)
    y = _scale(0, 1, 164, 10)
    named = width >= 13
    body = _grid(y, (0, 0.25, 0.5, 0.75, 1), (44, 1032), "share")
    for place, entry in enumerate(subjects):
        left = 46 + width * place
        hint = f"{entry['subject']}: {percent(entry['accuracy'])} of {entry['scans']}"
        body.append(_rect(left, y(entry["accuracy"]), width * 0.78, 164 - y(entry["accuracy"]), "bar", hint=hint))
        if named:
            body.append(_turned(left + width * 0.39 + 3.5, 172, entry["subject"]))
    value = metrics["accuracy"]["value"]
    body.append(_line(44, y(value), 1032, y(value), "mean", f"all {percent(value)}"))
    return _svg(1040, 226 if named else 176, body, "Accuracy of each subject")


def reliability(metrics: Mapping[str, Any]) -> Markup:
    """Accuracy against confidence in each bin; bars below show the number of predictions in the bin."""
    bins = metrics["calibration"]
    x, y = _scale(0, 1, 44, _THIRD - 14), _scale(0, 1, 174, 14)
    most = max(bin_["count"] for bin_ in bins)
    body = _grid(y, (0, 0.25, 0.5, 0.75, 1), (44, _THIRD - 14), "share")
    body.append(_line(x(0), y(0), x(1), y(1), "ideal"))
    for bin_ in bins:
        height = 30 * bin_["count"] / most
        left, width = x(bin_["low"]) + 1.5, x(bin_["high"]) - x(bin_["low"]) - 3
        hint = f"confidence {percent(bin_['low'], 0)} to {percent(bin_['high'], 0)}: {bin_['count']} predictions"
        body.append(_rect(left, 214 - height, width, height, "bar soft", hint=hint))
        if bin_["count"]:
            hint += f", {percent(bin_['accuracy'])} correct"
            body.append(
                _line(x(bin_["confidence"]), y(bin_["confidence"]), x(bin_["confidence"]), y(bin_["accuracy"]), "gap")
            )
            body.append(_circle(x(bin_["confidence"]), y(bin_["accuracy"]), 4.5, "dot", hint))
    body += [_text(x(tick / 4), 232, f"{25 * tick} %", "tick middle") for tick in range(5)]
    return _svg(_THIRD, 240, body, "Accuracy against confidence")


def forest(rows: Sequence[Mapping[str, Any]], key: str, *, zero: bool = False) -> list[Markup]:
    """Forest plot for a table column: one small figure per row, a dot with its interval, on one shared axis.

    Args:
        rows: Table rows; `row[key]` holds `value`, `low` and `high`.
        key: Name of the quantity, such as "accuracy".
        zero: Whether the axis is centred on 0, which is then drawn as a line.
    """
    ends = [end for row in rows for end in row[key].values() if end is not None and math.isfinite(end)]
    low, high = min(ends), max(ends)
    if zero:
        high = max(abs(low), abs(high), 0.01)
        low = -high
    margin = 0.08 * (high - low) or 0.01
    x = _scale(low - margin, high + margin, 4, 256)
    return [_whisker(row[key], x, zero) for row in rows]


def _whisker(interval: Mapping[str, float], x: Scale, zero: bool) -> Markup:
    body = [_line(4, 12, 256, 12, "grid")]
    if zero:
        body.append(_line(x(0), 1, x(0), 23, "chance"))
    if interval["low"] is not None and math.isfinite(interval["low"]):
        body.append(_line(x(interval["low"]), 12, x(interval["high"]), 12, "whisker"))
    body.append(_circle(x(interval["value"]), 12, 5, "dot", percent(interval["value"], 2)))
    return _svg(260, 24, body, "Value and interval")


def _curve(log: Sequence[Mapping[str, float]], key: str, x: Scale, y: Scale, kind: str) -> Markup:
    spots = [(x(row["epoch"]), y(row[key])) for row in log if math.isfinite(row.get(key, math.nan))]
    path = " ".join(f"{left:.1f},{top:.1f}" for left, top in spots)
    return Markup('<polyline class="curve {}" points="{}"/>').format(kind, path) if len(spots) > 1 else _EMPTY


def _cell(x: float, y: float, size: float, share: float, count: int, hint: str, diagonal: bool) -> Markup:
    kind = "correct" if diagonal else "wrong"
    ink = "cell strong" if share > 0.55 else "cell"
    body = Markup(
        '<g><title>{}</title><rect class="heat {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" '
        'fill-opacity="{:.3f}"/>'
    ).format(hint, kind, x + 1, y + 1, size - 2, size - 2, 0.05 + 0.95 * share)
    body += _text(
        x + size / 2, y + size / 2 + (1 if count else 5), percent(share, 0) if count else "·", f"{ink} middle"
    )
    if count:
        body += _text(x + size / 2, y + size / 2 + 16, str(count), f"{ink} small middle")
    return body + Markup("</g>")


def _grid(y: Scale, ticks: Iterable[float], ends: tuple[float, float], unit: str) -> list[Markup]:
    body = []
    for tick in ticks:
        label = percent(tick, 0) if unit == "share" else f"{tick:g}"
        body += [_line(ends[0], y(tick), ends[1], y(tick), "grid"), _text(ends[0] - 8, y(tick) + 4, label, "tick end")]
    return body


def _scale(low: float, high: float, first: float, last: float) -> Scale:
    return lambda value: first + (last - first) * (value - low) / (high - low)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from `low` to `high`."""
    span = high - low
    if span <= 0:
        return [low]
    size = 10 ** math.floor(math.log10(span / 5))
    step = next(size * factor for factor in (1, 2, 5, 10) if span / (size * factor) <= 5.5)
    first = math.ceil(low / step - 1e-9)
    return [round(step * number, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _svg(width: float, height: float, body: Iterable[Markup], title: str) -> Markup:
    head = Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(round(width), round(height), title)
    return head + _EMPTY.join(body) + Markup("</svg>")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str, hint: str = "") -> Markup:
    markup = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}">{}</line>')
    return markup.format(kind, x1, y1, x2, y2, _title(hint))


def _rect(x: float, y: float, width: float, height: float, kind: str, *, radius: float = 1.5, hint: str = "") -> Markup:
    markup = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="{}">{}</rect>')
    return markup.format(kind, x, y, max(width, 0.0), max(height, 0.0), radius, _title(hint))


def _circle(x: float, y: float, radius: float, kind: str, hint: str) -> Markup:
    markup = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}">{}</circle>')
    return markup.format(kind, x, y, radius, _title(hint))


def _text(x: float, y: float, words: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(kind, x, y, words)


def _turned(x: float, y: float, words: str) -> Markup:
    markup = Markup('<text class="tick end" x="{0:.1f}" y="{1:.1f}" transform="rotate(-90 {0:.1f} {1:.1f})">{2}</text>')
    return markup.format(x, y, words)


def _title(hint: str) -> Markup:
    return Markup("<title>{}</title>").format(hint) if hint else _EMPTY
