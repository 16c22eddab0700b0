"""The verdicts of a claim, `NAME.verdicts.toml`: one table a try, none of them ever changed."""

import datetime
import json
from typing import Literal

from claim_file import FOLDER, Commit, Facts, Name, Seed, Text, claim_files, read_as, read_claim
from claim_rows import counts, difference
from machine import processor
from pydantic import Field, StrictInt

from fer3d.errors import ConfigError

SHOWN, REVERSED, NOT_SHOWN = "shown", "reversed", "not shown"
Word = Literal["shown", "reversed", "not shown"]


class Against(Facts):
    """Ours minus one rival: points, the ends of the 95 % interval, and what they say of the claim."""

    rival: Name
    value: float
    low: float
    high: float
    verdict: Word


class Verdict(Facts):
    """What one try came to. All but `note` and `machine` is needed to measure it again."""

    number: StrictInt = Field(alias="try", ge=1)
    verdict: Word
    margin: float
    seeds: tuple[Seed, ...]
    commit: Commit
    stated_in: Commit
    statement: Text
    measured: datetime.date
    machine: Text
    subjects: StrictInt
    scans: StrictInt
    note: str = ""
    against: tuple[Against, ...]


class Verdicts(Facts):
    """A verdict file."""

    verdicts: tuple[Verdict, ...] = Field((), alias="verdict")


def word(low, high, margin):
    """What an interval says of a claim; without an interval (None or NaN) nothing is shown.

    >>> word(4.2, 6.9, 4.0), word(3.1, 7.4, 4.0), word(-5.0, -1.0, 4.0)
    ('shown', 'not shown', 'reversed')
    """
    if low is not None and low > margin:
        return SHOWN
    return REVERSED if high is not None and high < 0 else NOT_SHOWN


def of_all(words):
    """Of a claim against several rivals: shown if all are shown, reversed if one is reversed."""
    if REVERSED in words:
        return REVERSED
    return SHOWN if words and set(words) == {SHOWN} else NOT_SHOWN


def figures_word(claim):
    """What the figures of a claim that was measured before it was stated say."""
    return of_all([word(figure.low, figure.high, claim.margin) for figure in claim.figures])


def verdicts_file(file):
    """Where the verdicts of a claim file stand."""
    return file.with_name(f"{file.stem}.verdicts.toml")


def read_verdicts(file):
    """The verdicts of a claim file, none where there is no file of them."""
    target = verdicts_file(file)
    return read_as(Verdicts, target).verdicts if target.is_file() else ()


def check_verdicts(file, claim):
    """See that each verdict is of a try as the claim file states it now.

    Raises:
        ConfigError: if the claim has changed since its verdict, or a try has two.
    """
    verdicts = read_verdicts(file)
    numbers = [verdict.number for verdict in verdicts]
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) > len(claim.tries):
        raise ConfigError(f"{verdicts_file(file)}: wanted one verdict a try, in their order, got those of {numbers}")
    for verdict in verdicts:
        stated = claim.statement(verdict.number)
        if verdict.statement != stated:
            raise ConfigError(
                f"{file}: wanted what try {verdict.number} measured (statement {verdict.statement}), "
                f"has changed since (now {stated})"
            )
        _check_words(verdicts_file(file), claim, verdict)


def _check_words(target, claim, verdict):
    """See that the words of a verdict follow from its numbers, and that margin and seeds are those of its try."""
    words = [word(item.low, item.high, verdict.margin) for item in verdict.against]
    wanted = NOT_SHOWN if verdict.note else of_all(words)
    if [*words, wanted] != [*(item.verdict for item in verdict.against), verdict.verdict]:
        raise ConfigError(f"{target}: try {verdict.number}: wanted the verdict {wanted!r}, got {verdict.verdict!r}")
    if (verdict.margin, verdict.seeds) != (claim.margin, claim.tries[verdict.number - 1].seeds):
        raise ConfigError(f"{target}: try {verdict.number}: wanted margin and seeds of the claim, got others")


def used_seeds(root, name, number):
    """Seed -> who has it, of every claim, try and verdict but the one that is asked about."""
    used = {}
    for file in claim_files(root):
        for other, attempt in enumerate(read_claim(file).tries, 1):
            if (file.stem, other) != (name, number):
                used |= dict.fromkeys(attempt.seeds, f"try {other} of {file.stem}")
    for file in sorted((root / FOLDER).glob("*.verdicts.toml")):
        for verdict in read_as(Verdicts, file).verdicts:
            stem = file.name.removesuffix(".verdicts.toml")
            if (stem, verdict.number) != (name, number):
                used |= dict.fromkeys(verdict.seeds, f"verdict {verdict.number} of {stem}")
    return used


def judge(claim, number, rows, commit, stated_in):
    """The verdict on the rows of a try. Scans or people that are missing leave the claim not shown."""
    attempt = claim.tries[number - 1]
    against = []
    for rival in claim.rivals:
        gain = difference(rows, rival.name)
        verdict = word(gain.low, gain.high, claim.margin)
        against.append(Against(rival=rival.name, value=gain.value, low=gain.low, high=gain.high, verdict=verdict))
    found = counts(rows)
    wanted = (claim.data.subjects, claim.data.scans)
    notes = [
        f"seed {seed}: wanted {wanted[0]} subjects and {wanted[1]} scans, rows hold {people} and {scans}"
        for seed, (people, scans) in sorted(found.items())
        if (people, scans) != wanted
    ]
    return Verdict.model_validate(
        {
            "try": number,
            "verdict": NOT_SHOWN if notes else of_all([item.verdict for item in against]),
            "margin": claim.margin,
            "seeds": attempt.seeds,
            "commit": commit,
            "stated_in": stated_in,
            "statement": claim.statement(number),
            "measured": datetime.date.today(),
            "machine": processor(),
            "subjects": sum(people for people, _ in found.values()),
            "scans": sum(scans for _, scans in found.values()),
            "note": "; ".join(notes),
            "against": against,
        }
    )


def verdict_text(verdict):
    """A verdict as TOML."""
    facts = verdict.model_dump(by_alias=True, exclude={"against"})
    lines = ["[[verdict]]", *(f"{key} = {_toml(value)}" for key, value in facts.items())]
    for item in verdict.against:
        lines += ["", "[[verdict.against]]", *(f"{key} = {_toml(value)}" for key, value in item.model_dump().items())]
    return "\n".join(lines) + "\n"


def _toml(value):
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, datetime.date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False)
