"""Every page of docs/extend runs as it stands, from outside the package: an empty folder, and fer3d installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fer3d.prepare.store import read_manifest
from tests.docs.extend_page import RUN, blocks

PAGES = sorted((Path(__file__).parents[2] / "docs" / "extend").glob("*.md"))
HARNESS = Path(__file__).with_name("extend_page.py")
# Page -> (files that its reader writes, most lines of them that are not blank): what the page promises.
MOST_LINES = {
    "map.md": (("my_map.py",), 25),
    "dataset.md": (("dataset.toml", "folds.toml"), 20),
    "format.md": (("xyzf.py", "pyproject.toml"), 30),
    "network.md": (("my_networks.py",), 60),
}


def trained_by_the_folds_of_the_page(folder):
    protocol = json.loads((folder / "run" / "run.json").read_text())["protocol"]
    assert (protocol["name"], protocol["facts"]["intensities"]) == ("lab-halves", [2])
    folds = json.loads((folder / "run" / "folds.json").read_text())
    assert sorted(subject for fold in folds for subject in fold["test"]) == ["P01", "P02", "P03", "P04"]


def prepared_from_the_format_of_the_page(folder):
    assert [(row["subject"], row["expression"], row["status"]) for row in read_manifest(folder / "prepared")] == [
        ("anna", "happiness", "ok"),
        ("bert", "sadness", "ok"),
    ]


LEFT = {"dataset.md": trained_by_the_folds_of_the_page, "format.md": prepared_from_the_format_of_the_page}


def environment(site):
    """`fer3d` and `pip` of this environment; what a page installs goes to `site`, and nothing is downloaded."""
    (site).mkdir()
    pip = {"PIP_TARGET": str(site), "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, **pip, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PATH": path, "PYTHONPATH": str(site)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_runs(page, tmp_path):
    done = subprocess.run(
        [sys.executable, str(HARNESS), str(page)],
        cwd=tmp_path,
        env=environment(tmp_path / "site"),
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if page.name in LEFT:
        LEFT[page.name](tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run_or_written(page):
    text = page.read_text(encoding="utf-8")
    found = blocks(text)
    assert found
    assert text.count("```") == 2 * len(found), "a fence that the test does not read"
    assert [block for block in found if block[0] not in RUN and block[1] is None] == []


@pytest.mark.parametrize("name", MOST_LINES)
def test_the_page_is_as_short_as_it_says(name):
    (page,) = [page for page in PAGES if page.name == name]
    files, most = MOST_LINES[name]
    code = {file: code for _, file, code, _ in blocks(page.read_text(encoding="utf-8"))}
    assert 0 < len([line for line in "".join(code[file] for file in files).splitlines() if line.strip()]) < most


def test_a_page_that_is_wrong_fails(tmp_path):
    for number, code in enumerate(("```python\nassert 1 == 2\n```\n", "```bash\nfalse\n```\n")):
        page = tmp_path / f"page{number}.md"
        page.write_text(code, encoding="utf-8")
        done = subprocess.run([sys.executable, str(HARNESS), str(page)], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode != 0
