"""The page of all claims, `benchmarks/claims/README.md`, and what is wrong with any of their files."""

from claim_file import FOLDER, STATISTIC, check_quotes, claim_files, read_claim
from claim_verdict import check_verdicts, figures_word, read_verdicts, used_seeds, verdicts_file

from fer3d.errors import Fer3dError

PAGE = f"{FOLDER}/README.md"
OPEN = "open"  # of a try that has no verdict yet

_HEAD = """# Claims

What this project claims, and what came of it. `python benchmarks/claims.py table --write` writes this page from the
files beside it; `python benchmarks/claims.py --help` says how a claim is stated and measured. Every number is of
simulated faces.

- **shown**: the whole 95 % interval lies above the margin. **reversed**: the whole interval lies below zero.
  **not shown**: anything else, also where there is no interval. Against several rivals, a claim is shown if it is shown
  against each, and reversed if it is reversed against one.
- **measured**: our accuracy minus the rival's, in points, unless the file's `statistic` says otherwise. The interval
  resamples people, the same ones for ours and the rival.
- **stated before measured**: the claim was committed, with its margin, before anything of its seeds was measured. Where
  it says no, the figures stood in a table before the claim was written, so that the margin may have been chosen to suit
  them.
- Tuning uses simulator seeds 100 to 199, claims 10 to 99, each once; seeds 0 to 9 were looked at.
- The built-in face shows nine action units otherwise since commit aacc585 (`benchmarks/results/outside_judge.md`).
  Verdicts before it on its faces are of the earlier simulator; faces of ICT-FaceKit are as they were.

| claim | verdict | measured, 95 % interval | margin | seeds | date | commit | stated before measured |
|---|---|---|---|---|---|---|---|
"""


def page(root):
    """The page as it should be now. Claims that were stated before they were measured come first."""
    claims = [(file, read_claim(file)) for file in claim_files(root)]
    claims.sort(key=lambda item: (item[1].measured_before_stated, item[0].stem))
    return _HEAD + "".join(line + "\n" for file, claim in claims for line in _lines(file, claim))


def _lines(file, claim):
    """A line of the table for each try."""
    verdicts = {verdict.number: verdict for verdict in read_verdicts(file)}
    for number, attempt in enumerate(claim.tries, 1):
        verdict = verdicts.get(number)
        link = f"[{file.stem}]({file.name})" + (f", try {number}" if len(claim.tries) > 1 else "")
        cells = [
            f"{link}: {claim.claim}",
            figures_word(claim) if claim.measured_before_stated else verdict.verdict if verdict else OPEN,
            _differences(claim, verdict),
            f"{claim.margin:g}",
            ", ".join(map(str, attempt.seeds)) or "none",
            attempt.date.isoformat(),
            (attempt.commit or "not noted")[:9],
            "no" if claim.measured_before_stated else "yes",
        ]
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _differences(claim, verdict):
    if verdict is not None:
        parts = [f"{a.rival}: {a.value:+.2f} ({a.low:+.2f} to {a.high:+.2f})" for a in verdict.against]
        return "; ".join([*parts, *([verdict.note] if verdict.note else [])])
    sign = "+" if claim.statistic == STATISTIC else ""
    parts = [_figure(figure, sign) for figure in claim.figures]
    return "; ".join(parts) or ("no table" if claim.measured_before_stated else "")


def _figure(figure, sign):
    ends = "no interval" if figure.low is None else f"{figure.low:{sign}} to {figure.high:{sign}}"
    return f"{figure.against}: {figure.value:{sign}} ({ends})"


def problems(root):
    """One line for each thing that is wrong with a claim, its verdicts or the page; none where all is well."""
    found = []
    for file in claim_files(root):
        try:
            claim = read_claim(file)
            check_quotes(root, claim)
            check_verdicts(file, claim)
        except Fer3dError as error:
            found.append(str(error))
    stray = {verdicts_file(file) for file in claim_files(root)}
    for file in sorted((root / FOLDER).glob("*.verdicts.toml")):
        if file not in stray:
            found.append(f"{file}: wanted its claim file beside it, found none")
    return found or [*_seeds_twice(root), *_stale_page(root)]


def _seeds_twice(root):
    for file in claim_files(root):
        claim = read_claim(file)
        for number, attempt in enumerate(claim.tries, 1):
            used = used_seeds(root, file.stem, number)
            for seed in () if claim.measured_before_stated else attempt.seeds:
                if seed in used:
                    yield f"{file}: `seeds`: wanted unused ones, got {seed}, which {used[seed]} has"


def _stale_page(root):
    file = root / PAGE
    if not file.is_file() or file.read_text(encoding="utf-8") != page(root):
        yield f"{file}: wanted as `python benchmarks/claims.py table --write` writes it, is not"
