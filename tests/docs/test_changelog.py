"""What CHANGELOG.md says that a name is called now can be imported."""

import importlib
import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w.]+)` \| `(fer3d[\w.]*)` \|", TEXT, re.M)


def resolve(name):
    """The module or attribute of a dotted name."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError as error:
            if error.name != ".".join(parts[:n]) and not ".".join(parts[:n]).startswith(f"{error.name}."):
                raise
            continue
        for part in parts[n:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


def test_there_are_tables():
    assert len(ROWS) > 100
    assert len({old for old, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize("old, new", ROWS)
def test_what_a_name_is_called_now_exists(old, new):
    resolve(new)
