"""Whether the detector knows when it is wrong: the table and the reliability diagram of `bm_landmarks.py`."""

import numpy as np
from bm_outside_judge import area, barred
from landmark_tables import column, is_right, line

WRONG = 200  # wrong poses at least
AREA, FLAGGED, FALSE = 0.9, 0.95, 0.02  # bars: area under the curve, wrong poses flagged, right ones flagged
_BINS = 10
_SIDE, _EDGE = 420, 60  # pixels of a plot and of its margin


def confidence_table(rows, hard, things, diagram):
    """The table; writes the diagram too."""
    wrong = [row for row in (*hard, *things) if not is_right(row)]
    right_hard, right_easy = ([row for row in some if is_right(row)] for some in (hard, rows))
    half = min(len(wrong), len(right_hard) + len(right_easy))
    wrong, right = _even(wrong, half), _even(right_hard, max(half // 2, half - len(right_easy)))
    right += _even(right_easy, half - len(right))
    whole = area(column(right, "any probability"), column(wrong, "any probability"))
    flagged, false = (column(some, "any warned").mean() for some in (wrong, right))
    of_faces = [row for row in wrong if row["job"].group == "hard"]
    area_of_faces = area(column(right, "any probability"), column(of_faces, "any probability"))
    lines = [
        "## Confidence on a set made to fail",
        "",
        f"{len(wrong)} wrong poses ({len(of_faces)} of faces, {len(wrong) - len(of_faces)} things), {len(right)} right "
        f"ones; at least {WRONG} are wanted. Flagged: refused, or with a warning.",
        "",
        "| | measured | bar |",
        "|---|---|---|",
        line(["area under the curve, wrong against right", barred(f"{whole:.3f}", whole >= AREA), f"{AREA:g}"]),
        line(["the same, wrong poses of faces alone", f"{area_of_faces:.3f}", "-"]),
        line(["wrong poses flagged", barred(f"{flagged:.1%}", flagged >= FLAGGED), f"{FLAGGED:.0%}"]),
        line(["right poses flagged", barred(f"{false:.1%}", false <= FALSE), f"{FALSE:.0%} at most"]),
        "",
        "| poses | number | flagged | refused | median probability |",
        "|---|---|---|---|---|",
        *(_part(name, some) for name, some in _parts(rows, hard, things)),
    ]
    draw(diagram, [("probability of a right pose", *_faces(wrong + right)), ("confidence of a point", *_points(rows))])
    return "\n".join([*lines, "", f"Reliability: {diagram.name}."])


def _parts(rows, hard, things):
    """Name -> rows, of which flags are counted."""
    yield "right, ordinary scans", [row for row in rows if is_right(row)]
    yield "wrong, ordinary scans", [row for row in rows if not is_right(row)]
    for kind in dict.fromkeys(row["job"].kind for row in hard):
        of_kind = [row for row in hard if row["job"].kind == kind]
        yield f"right, {kind}", [row for row in of_kind if is_right(row)]
        yield f"wrong, {kind}", [row for row in of_kind if not is_right(row)]
    yield "things", things


def _part(name, rows):
    if not rows:
        return line([name, 0, "-", "-", "-"])
    flagged, refused = column(rows, "any warned").mean(), 1 - column(rows, "any found").mean()
    return line(
        [
            name,
            len(rows),
            f"{flagged:.1%}",
            f"{refused:.1%}",
            f"{np.median(column(rows, 'any probability')):.2f}",
        ]
    )


def _even(rows, count):
    """`count` rows, evenly over the list."""
    return [rows[k * len(rows) // count] for k in range(min(count, len(rows)))] if count > 0 else []


def _faces(rows):
    return column(rows, "any probability"), np.array([is_right(row) for row in rows])


def _points(rows):
    """Confidence of the points that are placed and shown, and whether they are within 4 mm."""
    error = np.linalg.norm(column(rows, "any off"), axis=2)
    good = np.isfinite(error) & column(rows, "known").astype(bool)
    return column(rows, "any confidence")[good], error[good] <= 4.0


def reliability(says, happens):
    """(B,) mean of what was said, share of what happened, and number, in each of ten bins; NaN in an empty one."""
    which = np.minimum((np.clip(says, 0, 1) * _BINS).astype(int), _BINS - 1)
    count = np.bincount(which, minlength=_BINS)
    with np.errstate(invalid="ignore"):
        return (
            np.bincount(which, says, _BINS) / count,
            np.bincount(which, happens.astype(float), _BINS) / count,
            count,
        )


def draw(path, plots):
    """Reliability diagrams side by side: title, what was said, what happened."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (len(plots) * (_SIDE + 2 * _EDGE), _SIDE + 2 * _EDGE), "white")
    pen = ImageDraw.Draw(picture)
    for k, (title, says, happens) in enumerate(plots):
        left, low = k * (_SIDE + 2 * _EDGE) + _EDGE, _EDGE + _SIDE

        def at(x, y, left=left, low=low):
            return left + _SIDE * x, low - _SIDE * y

        pen.rectangle([*at(0, 1), *at(1, 0)], outline="black")
        pen.line([at(0, 0), at(1, 1)], fill=(150, 150, 150))
        pen.text((left, 15), f"{title}: n = {len(says)}", fill="black")
        pen.text((left, low + 28), "said (mean of each tenth) against happened (share)", fill="black")
        for tick in (0, 0.5, 1):
            pen.text((at(tick, 0)[0] - 8, low + 8), f"{tick:g}", fill="black")
            pen.text((left - 28, at(0, tick)[1] - 6), f"{tick:g}", fill="black")
        said, share, count = reliability(says, happens)
        full = [(at(x, y), n) for x, y, n in zip(said, share, count, strict=True) if n]
        pen.line([spot for spot, _ in full], fill=(200, 60, 30), width=2)
        for (x, y), n in full:
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], fill=(200, 60, 30))
            pen.text((x + 6, y + 4), str(n), fill=(90, 90, 90))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)
