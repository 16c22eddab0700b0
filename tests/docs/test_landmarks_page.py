"""The page on landmarks: its program runs, and every command on it has the options that it is given."""

import re
from pathlib import Path

import typer

from fer3d import formats
from fer3d.cli.app import app
from fer3d.cli.show_landmarks import FORMATS
from fer3d.landmarks import POINT_NAMES, SCHEMES
from fer3d.prepare.landmarks.table import COLUMNS
from tests.docs.extend_page import blocks

PAGE = Path(__file__).parents[2] / "docs" / "landmarks.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_program_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = (code for language, _, code, _ in blocks(TEXT) if language == "python")
    exec(compile(code, PAGE.name, "exec"), {})
    first, *lines = capsys.readouterr().out.splitlines()
    probability, unit, size = first.split()
    assert float(probability) > 0.5
    assert unit == "m" and 800 < int(size) < 1250
    assert len(lines) > 50 and {line.split()[0] for line in lines} <= set(SCHEMES["ibug68"])
    assert len(formats.read_landmarks("scan.pp")) > 80


def test_every_command_has_its_options():
    commands = typer.main.get_command(app).commands
    found = re.findall(r"^fer3d (train landmarks|landmarks) (.*)$", TEXT, re.M)
    assert len(found) == 6
    for name, rest in found:
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--?[a-z][-a-z]*", rest.split("#")[0])) <= known


def test_the_tables_are_complete():
    assert all(f"`{name}`" in TEXT for name in (*FORMATS, *COLUMNS, *SCHEMES))
    assert f"places {len(POINT_NAMES)} points" in TEXT
    assert all(f"`{name}` ({len(points)})" in TEXT.replace("\n", " ") for name, points in SCHEMES.items())
