"""The Python example of the README is a program that runs."""

import re
import subprocess
import sys
from pathlib import Path

from fer3d.scan import EXPRESSIONS

README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "(8, 64, 64)" in lines[0]
    assert lines[1].startswith("['read', ")
    assert int(lines[2].rpartition(" ")[2]) > 50
    assert re.match(r"accuracy: Interval\(value=0\.\d+, low=", lines[3])
    assert lines[4] in EXPRESSIONS
