"""Run the code blocks of a page of docs/extend in order, as a reader would type them into an empty folder.

A process of its own, started in that folder: python tests/docs/extend_page.py PAGE. Blocks whose fence names a file
("```toml file=mine/dataset.toml") are written there; other python blocks run in one namespace, bash blocks in a shell
that stops at the first command that fails.
"""

import importlib
import re
import subprocess
import sys
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.M | re.S)
RUN = ("python", "bash")


def blocks(text):
    """(language, file or None, code, line) of every fenced block, in order."""
    return [(m[1], m[2], m[3], text[: m.start(3)].count("\n")) for m in _BLOCK.finditer(text)]


def run(page):
    for language, file, code, line in blocks(page.read_text(encoding="utf-8")):
        if file is not None:
            path = Path(file)
            assert not path.is_absolute()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code, encoding="utf-8")
        elif language == "python":
            exec(compile("\n" * line + code, page.name, "exec"), globals())
        elif language == "bash":
            subprocess.run(["bash", "-euo", "pipefail", "-c", code], check=True)
        importlib.invalidate_caches()


if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())  # what the reader's own `python` would find, and not the tests
    run(Path(sys.argv[1]))
