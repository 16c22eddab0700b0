"""A claim file, `benchmarks/claims/NAME.toml`: what is claimed, on which data, against whom, by how much."""

import datetime
import difflib
import hashlib
import itertools
import json
import re
import shlex
from string import Formatter
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError, model_validator

from fer3d.config import read_toml
from fer3d.errors import ConfigError, FileError

FOLDER = "benchmarks/claims"  # of a checkout
STATISTIC = "accuracy difference"  # ours minus the rival's, in points: the mean over scans; subjects are resampled
FIRST_SEED, LAST_SEED = 10, 99
SEEDS = f"seeds {FIRST_SEED} to {LAST_SEED} (0 to 9 were looked at, 100 to 199 are for tuning)"
WORDS = ("seed", "part", "work")  # what the commands and files of a job may name in braces

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}$")]
Seed = Annotated[StrictInt, Field(ge=0)]


class Facts(BaseModel):
    """A table of a TOML file. An unknown key is an error that names the nearest."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, table):
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in table if isinstance(table, dict) else ():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
                hint = f"did you mean `{near[0]}`?" if near else f"valid are {', '.join(known)}"
                raise ValueError(f"unknown key `{key}`; {hint}")
        return table


class Data(Facts):
    """Where the scans come from. `subjects` and `scans` are those of one seed, and are counted before the verdict."""

    generator: Text
    settings: Text
    subjects: Annotated[StrictInt, Field(ge=2)] | None = None
    scans: Annotated[StrictInt, Field(ge=1)] | None = None


class Rival(Facts):
    """What the claim compares with, and the settings that it gets."""

    name: Name
    settings: Text


class Job(Facts):
    """At most 20 minutes of work, once a seed, or `parts` times a seed.

    Attributes:
        commands: Run one after the other in the worktree, without a shell.
        rows: CSV file that the commands write: subject, scan, correct_ours, correct_RIVAL of each rival.
        runs: Instead of `rows`: "ours" and each rival -> run folder of `fer3d train`. A job with neither makes data.
    """

    name: Name
    parts: Annotated[StrictInt, Field(ge=1, le=1000)] = 1
    commands: Annotated[tuple[Text, ...], Field(min_length=1)]
    rows: Text | None = None
    runs: dict[Name, Text] | None = None

    @property
    def gives_rows(self):
        """Whether its predictions enter the verdict."""
        return self.rows is not None or self.runs is not None

    @model_validator(mode="after")
    def _consistent(self):
        if self.rows is not None and self.runs is not None:
            raise ValueError(f"job {self.name}: wanted `rows` or `runs`, got both")
        for text in (*self.commands, self.rows or "", *(self.runs or {}).values()):
            _check_template(text)
        if self.parts > 1 and not any("{part}" in command for command in self.commands):
            raise ValueError(f"job {self.name}: wanted {{part}} in a command, got {self.parts} parts that are the same")
        for command in self.commands:
            if re.search(r"--seed[ =](?!\{seed\}(\s|$))", command):
                raise ValueError(f"job {self.name}: wanted `--seed {{seed}}`, got {command!r}")
        return self


class Try(Facts):
    """One measurement: its seeds, the day it was stated, the commit that package, simulator and rivals must equal."""

    seeds: tuple[Seed, ...]
    date: datetime.date
    commit: Commit | None = None


class Figure(Facts):
    """A number that was measured before the claim was stated, with its interval, and the text that holds them.

    `low` and `high` are missing where the table gives no interval; then the claim is not shown.
    """

    against: Text
    value: float
    low: float | None = None
    high: float | None = None
    table: Text
    quote: Text

    @model_validator(mode="after")
    def _both_ends(self):
        if (self.low is None) != (self.high is None):
            raise ValueError("wanted both of `low` and `high`, or neither, got one")
        return self


class Claim(Facts):
    """One claim, as its file states it."""

    claim: Text
    measured_before_stated: StrictBool
    statistic: Text
    margin: float
    setup: tuple[Text, ...] = ("make install",)
    files: tuple[Text, ...] = ()
    data: Data
    rivals: tuple[Rival, ...] = Field((), alias="rival")
    jobs: tuple[Job, ...] = Field((), alias="job")
    tries: Annotated[tuple[Try, ...], Field(alias="try", min_length=1)]
    figures: tuple[Figure, ...] = Field((), alias="figure")

    @model_validator(mode="after")
    def _consistent(self):
        _check_unique("rival", [rival.name for rival in self.rivals])
        _check_unique("job", [job.name for job in self.jobs])
        if self.measured_before_stated:
            self._check_measured()
        else:
            self._check_stated()
        return self

    def _check_measured(self):
        if self.jobs or len(self.tries) > 1:
            raise ValueError("wanted one [[try]] and no [[job]] in a claim that was measured before it was stated")

    def _check_stated(self):
        if self.figures:
            raise ValueError("wanted no [[figure]] in a claim that is stated first, got one")
        if self.statistic != STATISTIC:
            raise ValueError(f"`statistic`: wanted {STATISTIC!r}, got {self.statistic!r}")
        if self.data.subjects is None or self.data.scans is None:
            raise ValueError("`data`: wanted `subjects` and `scans`, those of one seed")
        if not self.rivals:
            raise ValueError("wanted a [[rival]], got none")
        if not any(job.gives_rows for job in self.jobs):
            raise ValueError("wanted a [[job]] with `rows` or `runs`, got none")
        if not any("{seed}" in command for job in self.jobs for command in job.commands):
            raise ValueError("wanted {seed} in a command of a [[job]], got none")
        networks = {"ours", *(rival.name for rival in self.rivals)}
        for job in self.jobs:
            if job.runs is not None and set(job.runs) != networks:
                raise ValueError(f"job {job.name}: wanted `runs` of {_listed(networks)}, got {_listed(job.runs)}")
        self._check_tries()

    def _check_tries(self):
        seeds = [seed for item in self.tries for seed in item.seeds]
        for number, item in enumerate(self.tries, 1):
            if item.commit is None or not item.seeds:
                raise ValueError(f"try {number}: wanted `commit` and at least one seed")
        for seed in seeds:
            if not FIRST_SEED <= seed <= LAST_SEED:
                raise ValueError(f"`seeds`: wanted {SEEDS}, got {seed}")
        _check_unique("seeds", seeds)

    def statement(self, number):
        """Twelve hex digits of all that the file says of one try: they change with every word of it."""
        stated = self.model_dump(mode="json", exclude={"tries"})
        text = json.dumps([stated, self.tries[number - 1].model_dump(mode="json")], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def claim_file(root, name):
    """The file of a claim.

    Raises:
        ConfigError: if there is none of that name; it names the nearest.
    """
    file = root / FOLDER / f"{name}.toml"
    if file not in claim_files(root):
        known = [file.stem for file in claim_files(root)]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
        raise ConfigError(f"{FOLDER}: no claim {name!r}; {hint}")
    return file


def claim_files(root):
    """Every claim file of a checkout, by name."""
    return [file for file in sorted((root / FOLDER).glob("*.toml")) if not file.name.endswith(".verdicts.toml")]


def read_claim(file):
    """The claim in a file.

    Raises:
        FileError: if the file cannot be read.
        ConfigError: if it is not what a claim file should be: one line with file, key, what was wanted, what came.
    """
    return read_as(Claim, file)


def read_as(kind, file):
    """The table in a TOML file, checked; errors as `read_claim`."""
    table = read_toml(file)
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{file}: {_one_line(error)}") from None


def check_quotes(root, claim):
    """See that each figure stands in its table, and that the table is of the commit that the claim names.

    Raises:
        FileError, ConfigError: if the table is missing, lacks quote or commit, or the quote lacks a number.
    """
    commit = claim.tries[0].commit or ""
    for figure in claim.figures:
        table = root / figure.table
        if not table.is_file():
            raise FileError(f"{table}: wanted a table that a [[figure]] names, found none")
        text = table.read_text(encoding="utf-8")
        for wanted in (figure.quote, commit):
            if wanted not in text:
                raise ConfigError(f"{table}: wanted the text {wanted!r}, which a claim quotes, found none")
        numbers = [float(text) for text in re.findall(r"[-+]?\d+(?:\.\d+)?", figure.quote.replace(",", ""))]
        if figure.value not in numbers:
            raise ConfigError(f"`quote`: wanted {figure.value:g} in it, got {figure.quote!r}")
        ends = (figure.low, figure.high)
        if figure.low is not None and ends not in itertools.pairwise(numbers):
            raise ConfigError(f"`quote`: wanted {figure.low:g} to {figure.high:g} in it, got {figure.quote!r}")


def named_words(claim):
    """Every word of every command: some of them are files."""
    return [word for job in claim.jobs for command in job.commands for word in shlex.split(command)]


def _one_line(error):
    """The first of pydantic's complaints, in our words."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"`{key}` is missing"
    if first["type"] == "value_error":
        return f"`{key}`: {message}" if key else message
    came = repr(first["input"])
    return f"`{key}`: {message}, got {came if len(came) <= 60 else came[:57] + '...'}"


def _check_template(text):
    try:
        fields = [(field, spec, conversion) for _, field, spec, conversion in Formatter().parse(text)]
        shlex.split(text)
    except ValueError as error:
        raise ValueError(f"wanted a text such as '{{work}}/rows.csv', got {text!r}: {error}") from None
    for field, spec, conversion in fields:
        if field is not None and (field not in WORDS or spec or conversion):
            raise ValueError(f"wanted {', '.join(f'{{{word}}}' for word in WORDS)} in braces, got {text!r}")


def _check_unique(key, values):
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"`{key}`: wanted each once, got {value} twice")


def _listed(names):
    return ", ".join(sorted(names)) or "none"
