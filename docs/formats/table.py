"""What every construct of every format becomes: `docs/formats.md` is made from the tables beside this file.

    python docs/formats/table.py          writes docs/formats.md
    python docs/formats/table.py --check  says whether it is up to date

A table `docs/formats/<kind>.toml` has `title`, `standard` (what was gone through), `intro`, and rows `[[construct]]`:

    name       the construct, as the standard calls it
    becomes    "read", "refused", "warned" (read without it, with a warning) or "skipped" (it says nothing about the
               surface or its looks)
    how        a sentence: what becomes of it
    words      refused, warned: a regular expression that the message matches
    example    key of `EXAMPLES` in `tests/formats/examples/<kind>.py`; None for `name`

`tests/formats/test_constructs.py` reads each example and holds the table to it. `disagreements.toml` is another kind of
table: see `tests/fuzz/differential.py`.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.with_suffix(".md")
DIFFERENT = HERE / "disagreements.toml"
BECOMES = ("read", "refused", "warned", "skipped")
ORDER = ("wrl", "obj", "ply", "off", "stl", "gltf", "bnt", "abs", "points", "landmarks", "pictures")

INTRO = """# Formats, construct by construct

What a file means is never guessed: each construct of a format is **read**, **refused** by name, **warned** of (the scan
is read without it, and a warning says so), or **skipped**, because it says nothing about the surface or its looks. This
page is made by `docs/formats/table.py` from tables that the tests read too: each row has an example file.
"""


def tables() -> dict[str, dict[str, Any]]:
    """Kind -> table, in the order of the page."""
    paths = [path for path in sorted(HERE.glob("*.toml")) if path != DIFFERENT]
    found = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in paths}
    return dict(sorted(found.items(), key=lambda item: ORDER.index(item[0])))


def page() -> str:
    """The whole page."""
    parts = [INTRO]
    for table in tables().values():
        parts.append(f"## {table['title']}\n\nGone through: {table['standard']}\n")
        if table.get("intro"):
            parts.append(table["intro"].strip() + "\n")
        rows = ["| construct | | what becomes of it |", "| --- | --- | --- |"]
        rows += [f"| {_cell(row['name'])} | {row['becomes']} | {_cell(row['how'])} |" for row in table["construct"]]
        parts.append("\n".join(rows) + "\n")
    return "\n".join([*parts, _different()])


def _different() -> str:
    """Where another reader reads valid files differently; `tests/fuzz/differential.py` holds to it."""
    rows = tomllib.loads(DIFFERENT.read_text(encoding="utf-8")).get("disagreement", [])
    lines = [
        "## Where trimesh reads another thing",
        "",
        "Found by `tests/fuzz/differential.py`, in random valid files.",
        "",
    ]
    lines += ["| file | we read | trimesh reads | the standard says |", "| --- | --- | --- | --- |"]
    keys = ("name", "ours", "theirs", "standard")
    lines += ["| " + " | ".join(_cell(row[key]) for key in keys) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(PAGE.read_text(encoding="utf-8") != page() and f"{PAGE}: run python docs/formats/table.py")
    PAGE.write_text(page(), encoding="utf-8")
