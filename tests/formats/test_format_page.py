from fer3d.prepare.store import read_manifest
from tests.pages import lines_of, run_page


def test_the_page_about_formats_runs(tmp_path):
    printed = run_page("extend/format.md", tmp_path)
    rows = read_manifest(tmp_path / "prepared")
    assert [(row["subject"], row["expression"], row["status"]) for row in rows] == [
        ("anna", "happiness", "ok"),
        ("bert", "sadness", "ok"),
    ]
    assert "'format': 'xyzf', 'reader': 'xyzf.read'" in printed


def test_a_format_takes_less_than_thirty_lines():
    assert lines_of("extend/format.md", "xyzf.py", "pyproject.toml") < 30
