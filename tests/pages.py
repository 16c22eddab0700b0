"""The code blocks of a page of docs/, run in order in a folder, as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
BIN = Path(sys.executable).parent


def blocks(page):
    """(language, file or "", text) of every fenced block that names a language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", text, re.M | re.S)


def run_page(page, folder):
    """Run a page; gives what its shell blocks printed."""
    printed = ""
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    for language, name, text in blocks(page):
        if name:
            (folder / name).write_text(text, encoding="utf-8")
        else:
            assert language == "bash", f"{page}: a block of {language} that is no file"
            done = subprocess.run(
                ["bash", "-e", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            printed += done.stdout + done.stderr
    return printed


def lines_of(page, *names):
    """Number of lines that are not blank in the blocks of these files."""
    texts = {name: text for _, name, text in blocks(page)}
    return sum(bool(line.strip()) for name in names for line in texts[name].splitlines())
