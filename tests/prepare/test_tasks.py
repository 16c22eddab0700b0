"""What scans and names of all kinds cost: one row each, whatever happens to the scan and whatever it is called."""

import json
import os
import time
from pathlib import Path

import pytest

from fer3d.cli.show_evaluation import _row_json, _rows_csv
from fer3d.cli.terminal import shown
from fer3d.config import PreprocessSettings, preprocess_settings
from fer3d.errors import ConfigError, FileError, PrepareError, WriteError
from fer3d.predict import Row
from fer3d.prepare import tasks
from fer3d.prepare.folder import preprocess
from fer3d.prepare.store import read_manifest, read_row
from tests.commands import fer3d
from tests.quick_scans import prepare_quickly

SMALL = PreprocessSettings(size=8)

# Names as zips from other systems and mistakes bring them: not UTF-8, control characters, formulas, options, long.
NAMES = (
    b"caf\xe9.ply",
    b"caf\xe8.ply",
    b"line\nbreak.ply",
    b"\x1b[31mred\x07.ply",
    b"tab\tbed.ply",
    b"-rf.ply",
    b"=1+2.ply",
    b"n" * 250 + b".ply",
    b"Case.ply",
    b"case.ply",
    "ünï\u202ecode.ply".encode(),
    b"[bold]x.ply",
    b"a'b\"c.ply",
)


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A file of each name."""
    prepare_quickly(monkeypatch)
    folder = tmp_path / "scans" / "anna" / "happy"
    folder.mkdir(parents=True)
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(name)
    return tmp_path / "scans"


def test_names_of_all_kinds_are_prepared(named, tmp_path):
    for _ in range(2):
        summary = preprocess(named, tmp_path / "out", settings=SMALL, workers=1)
        assert summary.failures == ()
    assert summary.kept == len(NAMES)
    rows = read_manifest(tmp_path / "out")
    assert len({row["id"].casefold() for row in rows}) == len(NAMES)
    for row in rows:
        assert row["source"].isprintable()
        assert row["id"].isascii()
        read_row(tmp_path / "out", row)
    sources = {row["source"] for row in rows}
    assert {"anna/happy/caf\\udce9.ply", "anna/happy/line\\x0abreak.ply", "anna/happy/=1+2.ply"} < sources


def test_a_failure_with_such_a_name_is_a_row_too(named, tmp_path, monkeypatch):
    def fails(record, *_):
        raise FileError(f"{record.files['scan']}: cannot be read")

    monkeypatch.setattr(tasks, "prepare_record", fails)
    summary = preprocess(named, tmp_path / "out", settings=SMALL, workers=1)
    assert len(summary.failures) == len(NAMES)
    for row in read_manifest(tmp_path / "out"):
        assert row["reason"].isprintable()
        assert row["reason"].startswith("anna/happy/")


def test_commands_print_such_names_on_one_line(named, tmp_path, capsys):
    code, out, err = fer3d(capsys, "preprocess", named, "-o", tmp_path / "out", "--workers", 1, "--set", "size=8")
    assert code == 0, err
    code, out, err = fer3d(capsys, "inspect", named, "--workers", 1)
    assert (code, err) == (3, "")
    assert "\\udce9" in out
    assert "\x1b" not in out
    assert "\x07" not in out


def test_predictions_print_such_names(named):
    paths = sorted((named / "anna/happy").iterdir())
    rows = [Row(path, None, f"{path.name}: unknown") for path in paths]
    for row in rows:
        assert shown(row.path.name).isprintable()
        text = json.dumps(_row_json(row), ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
        assert Path(json.loads(text)["file"]) == row.path
    table = _rows_csv([Row(Path("=1+2.ply"), None, "-"), Row(Path("a.ply"), None, "@x")], ("anger",))
    assert table.splitlines()[1:] == ["'=1+2.ply,failed,,,,,,,,'-,", "a.ply,failed,,,,,,,,'@x,"]


def test_a_scan_that_takes_too_long_is_given_up(named, tmp_path, monkeypatch):
    quick = tasks.prepare_record

    def slow(record, *more):
        if record.files["scan"].name == "-rf.ply":
            try:
                time.sleep(60)
            except Exception:  # what a reader of files might do; the limit is no such error
                raise PrepareError("damaged") from None
        return quick(record, *more)

    monkeypatch.setattr(tasks, "prepare_record", slow)
    limited = PreprocessSettings(size=8, time_limit_s=0.3)
    summary = preprocess(named, tmp_path / "out", settings=limited, workers=1)
    reason = "anna/happy/-rf.ply: took longer than time_limit_s, 0.3 s; --set time_limit_s=0 sets no limit"
    assert summary.failures == (("anna/happy/-rf.ply", reason),)
    assert summary.prepared == len(NAMES) - 1
    monkeypatch.setattr(tasks, "prepare_record", quick)
    again = preprocess(named, tmp_path / "out", settings=SMALL, workers=1)  # the limit does not change what is stored
    assert (again.kept, again.prepared, again.failures) == (len(NAMES) - 1, 1, ())


def test_the_limit_is_a_setting_that_is_not_stored():
    assert preprocess_settings(None, ("time_limit_s=5",)).time_limit_s == 5
    assert "time_limit_s" not in SMALL.model_dump(mode="json")
    with pytest.raises(ConfigError, match="time_limit_s"):
        preprocess_settings(None, ("time_limit_s=-1",))


def test_a_disk_that_is_full_stops_the_run_in_one_line_and_it_goes_on_later(named, tmp_path, monkeypatch):
    real = Path.write_bytes
    written = []

    def full(self, content):
        if "safetensors" in self.name:
            written.append(self.name)
            if len(written) > 4:
                raise OSError(28, "No space left on device")
        return real(self, content)

    out = tmp_path / "out"
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteError) as caught:
        preprocess(named, out, settings=SMALL, workers=1)
    message = str(caught.value)
    assert "No space left on device; `fer3d preprocess` again goes on from here once" in message
    assert message.isprintable()
    with pytest.raises(FileError, match="is not finished"):
        read_manifest(out)
    monkeypatch.undo()
    prepare_quickly(monkeypatch)
    summary = preprocess(named, out, settings=SMALL, workers=1)
    assert (summary.kept, summary.prepared) == (4, len(NAMES) - 4)


def test_a_place_that_cannot_be_written_is_named(named, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match=r"file/out/\.fer3d-lock: cannot be written: Not a directory"):
        preprocess(named, tmp_path / "file" / "out", settings=SMALL, workers=1)


@pytest.mark.parametrize("part", ["header", "data", "end"])
def test_a_damaged_file_is_prepared_again_with_a_line(named, tmp_path, part):
    out = tmp_path / "out"
    preprocess(named, out, settings=SMALL, workers=1)
    path = out / read_manifest(out)[3]["file"]
    whole = path.read_bytes()
    damaged = {"header": whole.replace(b"happ", b"hopp", 1), "data": whole[:-1] + b"!", "end": whole[:-1]}[part]
    assert damaged != whole
    path.write_bytes(damaged)
    summary = preprocess(named, out, settings=SMALL, workers=1)
    assert (summary.kept, summary.prepared) == (len(NAMES) - 1, 1)
    (line,) = summary.damaged
    assert line.startswith(str(path))
    assert path.read_bytes() == whole


def test_what_the_catalogue_says_of_a_scan_is_never_old(named, tmp_path):
    """Labels and warnings of the catalogue that change are in the manifest after the next run."""
    out = tmp_path / "out"
    preprocess(named, out, settings=SMALL, workers=1)
    (named / "labels.csv").write_text("path,expression\nanna/happy/case.ply,fear\n")
    summary = preprocess(named, out, settings=SMALL, workers=1)
    rows = {row["source"]: row for row in read_manifest(out)}
    assert rows["anna/happy/case.ply"]["expression"] == "fear"
    assert any("no line in" in text for text in rows["anna/happy/-rf.ply"]["warnings"])
    (named / "labels.csv").unlink()
    preprocess(named, out, settings=SMALL, workers=1)
    assert not any(row["warnings"] for row in read_manifest(out))
    assert summary.prepared == len(NAMES)
