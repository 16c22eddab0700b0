"""What a network that has never seen our faces reads on them: the simulator judged from outside.

    python benchmarks/bm_outside_judge.py [--people 24] [--seed 100] [--face-model FILE] [--list] [--write now]

`outside_judge` scores pictures of simulated people (with texture, and bare shape in grey) who go from rest to each of
the six expressions in steps, with the differences between people of `fer3d.synth`. Scores and true weights of action
units count less those of the same person at rest, because people look different at rest, and some are tense there.

A score follows a unit in a class if (1) within a person, over rest and the steps of the expression, score and true
weight have a correlation of at least 0.8, the mean over all people who show the unit with a weight of at least 0.3, and
(2) the score rises by at least 0.1 where the unit is strongest, again the mean. Within a person, because the network
answers the same motion of two faces by different amounts; the rise, because a score that hardly moves says nothing.
A unit is tried in a class if people who make up at least 0.2 of all show it there with such a weight. The correlation
over all people together stands beside it, without a bar.

`--list` measures the face model of ICT-FaceKit, a measured one, and writes which scores follow their units there to
`results/outside_judge_scores.toml`. Only those judge our faces. A class counts as read if a linear discriminant of the
listed scores separates it from the other expressions at full strength with an area under the curve of at least 0.8.
The discriminant is learnt on the people of ICT-FaceKit, also for our faces; a person of its own is left out.

`--write before` keeps the tables of the faces as they are; `--before` sets their last columns beside those of now.
"""

import argparse
import tomllib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import said, where
from outside_judge import SCORES, Judge

RESULTS = Path(__file__).parent / "results"
LIST = RESULTS / "outside_judge_scores.toml"
SHARED = Path(__file__).parents[1].parent / "shared" / "data"
WEIGHT, SHARE = 0.3, 0.2  # a unit is tried in a class if it has this weight in the ways of this share of people
READ = 0.8  # least correlation, and least area under the curve
RISE = 0.1  # least rise of a score
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
# Action unit -> scores that should follow it; noseSneer, eyeWide and cheekSquint stay 0 whatever is shown.
UNITS = {
    "AU1": ("browInnerUp",),
    "AU2": ("browOuterUpLeft", "browOuterUpRight"),
    "AU4": ("browDownLeft", "browDownRight"),
    "AU7": ("eyeSquintLeft", "eyeSquintRight"),
    "AU10": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "AU12": ("mouthSmileLeft", "mouthSmileRight"),
    "AU15": ("mouthFrownLeft", "mouthFrownRight"),
    "AU16": ("mouthLowerDownLeft", "mouthLowerDownRight"),
    "AU17": ("mouthShrugLower",),
    "AU20": ("mouthStretchLeft", "mouthStretchRight"),
    "AU23": ("mouthRollLower", "mouthRollUpper"),
    "AU24": ("mouthPressLeft", "mouthPressRight"),
    "AU26": ("jawOpen",),
    "AU43": ("eyeBlinkLeft", "eyeBlinkRight"),
}
SIDES = ("texture", "shape")
MEASURED = "ICT-FaceKit"
FILES = {"now": "outside_judge.md", "before": "outside_judge_before.md"}


class Faces(NamedTuple):
    """What was shown: labels, strengths (N,), weights (N, U) of `UNITS`; and read: side -> scores (N, U)."""

    labels: np.ndarray
    strengths: np.ndarray
    truth: np.ndarray
    scores: dict


def main():
    """Parse the command line; list the scores, or judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=24, help="of each face model")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--face-model", type=Path, default=SHARED / "ict_facekit.npz")
    parser.add_argument("--list", action="store_true", help=f"write {LIST.name} from the measured face model")
    parser.add_argument("--write", choices=FILES, help=f"also write the tables to {RESULTS.name}/")
    parser.add_argument("--before", action="store_true", help="set the columns of `--write before` beside those of now")
    parser.add_argument("--pictures", type=Path, help="folder for a sheet of pictures of each face model")
    arguments = parser.parse_args()
    if arguments.list:
        LIST.write_text(listing(arguments), encoding="utf-8")
        print(LIST.read_text(encoding="utf-8"))
        return
    report = "\n\n".join(said(block) for block in tables(arguments))
    if arguments.write:
        (RESULTS / FILES[arguments.write]).write_text(report + "\n", encoding="utf-8")


def listing(arguments):
    """The scores that follow their units on the measured face model, as TOML: side -> class -> unit -> correlation."""
    faces = judged(models(arguments)[MEASURED], arguments)
    lines = [
        f"# Scores that follow their action unit on ICT-FaceKit's faces within a person: r >= {READ},",
        f"# rise >= {RISE}, of units that at least {SHARE:.0%} of people show with a weight of at least {WEIGHT}.",
        f"# {arguments.people} people, seed {arguments.seed}; {where()}",
    ]
    for side in SIDES:
        for label in CLASSES:
            lines += ["", f"[{side}.{label}]"]
            found = follows(faces, side, label)
            lines += [f"{unit} = {r:.2f}" for unit, (r, rise) in found.items() if r >= READ and rise >= RISE]
    return "\n".join(lines) + "\n"


def tables(arguments):
    """Markdown blocks: units and classes of each face model."""
    listed = tomllib.loads(LIST.read_text(encoding="utf-8"))
    found = {name: judged(model, arguments) for name, model in models(arguments).items()}
    yield f"# The simulator judged from outside\n\n{where()}; {arguments.people} people, seed {arguments.seed}."
    before = earlier() if arguments.before else {}
    for side in SIDES:
        rows = [f"{label} {unit}" for label in CLASSES for unit in listed[side][label]]
        for title, measure, write in (
            (
                f"Correlation of scores with true units within a person, and rise of the score, {side}",
                follows,
                followed,
            ),
            (f"Correlation over all people together, {side}", correlations, "{:.2f}".format),
        ):
            columns = {
                name: {
                    f"{label} {unit}": write(x) for label in CLASSES for unit, x in measure(faces, side, label).items()
                }
                for name, faces in found.items()
            }
            yield table(title, rows, columns, before.get(title))
        title = f"Area under the curve of each class against the others, {side}"
        columns = {
            name: {
                label: barred(f"{x:.2f}", x >= READ)
                for label, x in classes(faces, side, listed[side], found[MEASURED]).items()
            }
            for name, faces in found.items()
        }
        yield table(title, CLASSES, columns, before.get(title))


def followed(measured):
    """A cell of correlation and rise; bold if the score does not follow the unit."""
    r, rise = measured
    return barred(f"{r:.2f} ({rise:+.2f})", r >= READ and rise >= RISE)


def barred(word, good):
    """The word, bold unless it is good."""
    return word if good else f"**{word}**"


def earlier():
    """Title of a table -> row -> cell of the last column, from the tables written by `--write before`."""
    text = (RESULTS / FILES["before"]).read_text(encoding="utf-8")
    out = {}
    for section in text.split("\n## ")[1:]:
        title, *lines = section.splitlines()
        rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][1:]
        out[title] = {row[0]: row[-1] for row in rows}
    return out


def table(title, rows, columns, before=None):
    """A Markdown table of cells: name of a column -> row -> cell. `before`: row -> cell of a column before the last."""
    if before is not None:
        *others, last = columns.items()
        columns = {**dict(others), f"{last[0]}, before": before, last[0]: last[1]}
    lines = [f"## {title}", "", "| | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    lines += [f"| {row} | " + " | ".join(column.get(row, "-") for column in columns.values()) + " |" for row in rows]
    return "\n".join(lines)


def models(arguments):
    """Name -> face model."""
    from fer3d.face.load import builtin_face, load_face

    return {MEASURED: load_face(arguments.face_model), "built-in": builtin_face()}


def judged(model, arguments):
    """Show every expression of every person to the judge, with texture and in bare shape, less the neutral face."""
    judge, labels, strengths, truth = Judge(), [], [], []
    scores = {side: [] for side in SIDES}
    sheet = []
    for person in range(arguments.people):
        rest = None
        for label, strength, true, pictures in performances(model, arguments.seed, person):
            seen = {side: unit_scores(judge(picture)) for side, picture in pictures.items()}
            rest = rest or (true, seen)  # the first performance is the neutral face at rest
            labels.append(label)
            strengths.append(strength)
            truth.append(true - rest[0])
            for side in SIDES:
                scores[side].append(seen[side] - rest[1][side])
            sheet.append(pictures)
    if arguments.pictures:
        save_sheet(arguments.pictures / f"{model.name}.png", sheet)
    return Faces(
        np.array(labels),
        np.array(strengths),
        np.array(truth),
        {side: np.array(rows) for side, rows in scores.items()},
    )


def performances(model, seed, person):
    """Label, strength, true weights (U,) of `UNITS`, and side -> picture, of each performance; neutral comes first."""
    from fer3d.scan import EXPRESSIONS
    from fer3d.synth.acting import expression
    from fer3d.synth.acting.habits import Habits, Variety
    from fer3d.synth.looks import appearance, wrinkles
    from fer3d.synth.optics.photograph import photograph
    from fer3d.synth.optics.scene import Look, Window, pose

    generator = np.random.default_rng([seed, person])
    identity = np.clip(generator.normal(0.0, 1.0, len(model.identity_modes)), -2.5, 2.5)
    atlas = appearance.atlas(model, 256)
    painted = appearance.paint(atlas, generator)
    lines = wrinkles.grown(atlas, generator)
    habits = Habits.draw(generator, Variety(never=0.0, leak=0.0))
    grey = Look.plain(np.full((64, 64, 3), 190, np.uint8))
    window = Window(-130.0, 170.0, 1.0, 300, 260)
    for label in ("neutral", *(e for e in EXPRESSIONS if e != "neutral")):
        for strength in (1.0,) if label == "neutral" else STRENGTHS:
            moment = np.random.default_rng([seed, person, EXPRESSIONS.index(label), int(100 * strength)])
            units = expression.weights(expression.recipe(label, habits), strength, model.action_units, habits, moment)
            shape = model.shape(identity, model.mode_weights(units))
            looks = {"texture": wrinkles.worn(painted, lines, units), "shape": grey}
            pictures = {
                side: photograph(
                    model, shape, pose(0.0, 0.0, 0.0, (0.0, 0.0, 0.0)), look, window=window, generator=moment
                ).picture
                for side, look in looks.items()
            }
            yield label, 0.0 if label == "neutral" else strength, true_weights(units), pictures


def true_weights(units):
    """(U,) the weight of each unit of `UNITS`, the mean of both sides; AU26 counts AU27 too."""
    out = []
    for unit in UNITS:
        names = ("AU26", "AU27") if unit == "AU26" else (unit,)
        sides = [
            [units.get(f"{n}{s}", 0.0) for s in ("_L", "_R") if f"{n}{s}" in units] or [units.get(n, 0.0)]
            for n in names
        ]
        out.append(sum(float(np.mean(side)) for side in sides))
    return np.array(out)


def unit_scores(seen):
    """(U,) the scores of each unit's blendshapes, averaged; NaN if no face was seen."""
    if seen is None:
        return np.full(len(UNITS), np.nan)
    return np.array([np.mean([seen.scores[SCORES.index(name)] for name in names]) for names in UNITS.values()])


def follows(faces, side, label):
    """Unit tried in a class -> correlation of its score with its true weight within a person, and rise of the score."""
    out = {}
    people = numbers(faces)
    for k, unit in enumerate(UNITS):
        measured = []
        for person in np.unique(people) if shown(label, unit) >= SHARE else ():
            rows = (
                (people == person) & np.isin(faces.labels, ("neutral", label)) & np.isfinite(faces.scores[side][:, k])
            )
            true, score = faces.truth[rows, k], faces.scores[side][rows, k]
            if rows.sum() > 1 and true.max() >= WEIGHT:
                measured.append((correlation(true, score), score[true.argmax()]))
        if measured:
            out[unit] = tuple(map(float, np.mean(measured, axis=0)))
    return out


def correlations(faces, side, label):
    """Unit tried in a class -> correlation of its score with its true weight, over all people, rest and steps."""
    out = {}
    for k, unit in enumerate(UNITS):
        if shown(label, unit) >= SHARE:
            good = np.isfinite(faces.scores[side][:, k]) & np.isin(faces.labels, ("neutral", label))
            out[unit] = correlation(faces.truth[good, k], faces.scores[side][good, k])
    return out


def correlation(true, score):
    """Pearson's correlation; 0 for a score that stays the same."""
    return float(np.corrcoef(true, score)[0, 1]) if score.std() > 0 else 0.0


def shown(label, unit):
    """Share of people who show a unit in a class with a weight of at least `WEIGHT`."""
    from fer3d.synth.acting.expression import WAYS

    names = ("AU26", "AU27") if unit == "AU26" else (unit,)
    ways = [way for way in WAYS[label] if any(way.units.get(name, 0.0) >= WEIGHT for name in names)]
    return round(sum(way.share for way in ways), 2)


def classes(faces, side, listed, teachers):
    """Class -> area under the curve against the others at full strength, by a discriminant learnt on `teachers`."""
    units = [k for k, unit in enumerate(UNITS) if any(unit in of_class for of_class in listed.values())]
    mine, labels, people = full_strength(faces, side, units)
    theirs, their_labels, their_people = full_strength(teachers, side, units)
    values = np.zeros((len(mine), len(CLASSES)))
    for person in np.unique(people):
        kept = their_people != person if faces is teachers else their_people >= 0
        values[people == person] = discriminant(theirs[kept], their_labels[kept], mine[people == person])
    return {
        label: area(values[labels == label, c], values[labels != label, c])
        for c, label in enumerate(CLASSES)
        if listed[label]
    }


def full_strength(faces, side, units):
    """(n, K) scores of the units, (n,) labels and (n,) numbers of people, at full strength where a face was seen."""
    scores = faces.scores[side][:, units]
    rows = (faces.strengths == 1.0) & np.isfinite(scores).all(axis=1)
    return scores[rows], faces.labels[rows], numbers(faces)[rows]


def numbers(faces):
    """(N,) number of the person of each performance: a person begins with the neutral face."""
    return np.cumsum(faces.labels == "neutral")


def discriminant(known, labels, unknown):
    """(n, C) probabilities of the classes of `unknown` (n, K): normal distributions of one covariance."""
    means = np.stack([known[labels == label].mean(axis=0) for label in CLASSES])
    spread = np.mean([np.cov(known[labels == label].T) for label in CLASSES], axis=0) + 1e-4 * np.eye(known.shape[1])
    towards = np.linalg.solve(spread, means.T)  # (K, C)
    value = unknown @ towards - 0.5 * np.einsum("ck,kc->c", means, towards)
    share = np.exp(value - value.max(axis=1, keepdims=True))
    return share / share.sum(axis=1, keepdims=True)


def area(positive, negative):
    """Area under the curve: the share of pairs in order, ties count half."""
    pairs = positive[:, None] - negative[None]
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def save_sheet(path, sheet, people=6):
    """Two rows a person: texture and shape."""
    from PIL import Image

    each = 1 + 6 * len(STRENGTHS)
    rows = [
        np.concatenate([pictures[side] for pictures in sheet[k * each : (k + 1) * each]], axis=1)
        for k in range(min(people, len(sheet) // each))
        for side in SIDES
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)


if __name__ == "__main__":
    main()
