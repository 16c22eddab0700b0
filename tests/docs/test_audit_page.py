"""The page on audits: its program runs, its commands have their options, and its tables name every column and check."""

import re
from pathlib import Path

import typer

from fer3d.cli.app import app
from fer3d.evaluate.audit.columns import ROLES
from fer3d.evaluate.audit.findings import CHECKS
from fer3d.evaluate.audit.run import audit
from tests.docs.extend_page import blocks

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_program_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = (code for language, _, code, _ in blocks(TEXT) if language == "python")
    exec(compile(code, PAGE.name, "exec"), {})
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CHECKS)
    assert last == "0.833 0 faults"


def test_the_example_table_can_be_read(tmp_path):
    (table,) = re.findall(r"```text\n(id,.*?)```", TEXT, re.S)
    (tmp_path / "predictions.csv").write_text(table, encoding="utf-8")
    assert audit(tmp_path / "predictions.csv").rows == 3


def test_every_command_has_its_options():
    known = {option for parameter in typer.main.get_command(app).commands["audit"].params for option in parameter.opts}
    found = re.findall(r"^fer3d audit (.*)$", TEXT, re.M)
    assert len(found) == 5
    for rest in found:
        assert set(re.findall(r"(?<!\S)--?[a-z][-a-z]*", rest.split("#")[0])) <= known
    for option in known - {"--out", "-h", "--help"}:
        assert option in TEXT, option


def test_the_tables_are_complete():
    rows = dict(re.findall(r"^\| `([-a-z]+)` \| .*\| ([^|]*) \|$", TEXT, re.M))
    assert {role: set(names.split(", ")) for role, names in rows.items() if role in ROLES} == {
        role: set(aliases) for role, (_, aliases) in ROLES.items()
    }
    assert list(CHECKS) == [name for name in rows if name in CHECKS]
