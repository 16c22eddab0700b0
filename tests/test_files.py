"""Whole files: temporary files, locks, CSV that no spreadsheet takes for formulas."""

import csv
import errno
import io
import os
from pathlib import Path

import pytest

from fer3d.errors import FileError, LockedError, WriteError
from fer3d.files import (
    LOCK,
    clear_leftovers,
    clear_temporaries,
    csv_text,
    locked,
    write_bytes,
    write_text,
    written_at_once,
)


def test_a_file_is_whole_or_absent(tmp_path):
    with pytest.raises(KeyboardInterrupt), written_at_once(tmp_path / "a") as part:
        part.write_bytes(b"half")
        raise KeyboardInterrupt
    with pytest.raises(FileError, match="of the block"), written_at_once(tmp_path / "a"):
        raise FileError("an error of the block")
    assert list(tmp_path.iterdir()) == []
    write_bytes(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_what_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match=r"file/a: cannot be written: (Not a directory|File exists)"):
        write_bytes(tmp_path / "file" / "a", b"", make_folder=True)

    def full(self, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteError, match="a: cannot be written: No space left on device"):
        write_bytes(tmp_path / "a", b"")


@pytest.mark.parametrize(
    "name", ["n" * 250, "é" * 125, b"caf\xe9.txt".decode("utf-8", "surrogateescape"), "a\nb", "-x", "=y"]
)
def test_names_of_all_kinds_can_be_written(tmp_path, name):
    write_text(tmp_path / name, name)
    assert (tmp_path / name).read_text() == name.encode("utf-8", "backslashreplace").decode()
    assert len(list(tmp_path.iterdir())) == 1


def test_temporary_files_are_known_by_their_names(tmp_path):
    (tmp_path / "deep").mkdir()
    with pytest.raises(OSError, match="moved"), written_at_once(tmp_path / "deep" / "a") as part:
        own = part
        raise WriteError("moved")
    keep = [tmp_path / "a.tmp", tmp_path / ".a.tmp", tmp_path / "deep" / ".a.0123.tmp"]
    for path in (own, *keep):
        path.write_bytes(b"")
    clear_temporaries(tmp_path, deep=False)
    assert own.exists()
    with locked(tmp_path, "another run"):
        clear_leftovers(tmp_path)
    assert own.exists()
    clear_leftovers(tmp_path)
    assert not own.exists()
    assert all(path.exists() for path in keep)


def test_a_lock_is_held_by_one_and_left_by_the_dead(tmp_path):
    folder = tmp_path / "new"
    with locked(folder, "fer3d train"):
        message = r"new: `fer3d train` \(process \d+ on .*\) is writing there; wait"
        with pytest.raises(LockedError, match=message), locked(folder, "fer3d train"):
            pass
        assert (folder / LOCK).exists()
    (folder / LOCK).write_text("a process that was killed")
    with locked(folder, "fer3d train"):
        pass
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_is_a_formula(start):
    text = f"{start}cmd|' /C calc'!A0"
    ((cell,),) = list(csv.reader(io.StringIO(csv_text(["a"], [{"a": text}]), newline="")))[1:]
    assert cell == f"'{text}"


def test_numbers_stay_numbers_in_csv():
    row = {"a": -0.5, "b": "-0.5", "c": "+1e-3", "d": None, "e": "a=b", "f": "-inf", "g": True, "more": 1}
    table = csv_text([*"abcdefgh"], [row])
    assert table == "a,b,c,d,e,f,g,h\n-0.5,-0.5,+1e-3,,a=b,-inf,True,\n"


def test_no_cell_commands_a_terminal():
    assert csv_text(["a"], [{"a": "\x1b[31mred\x07"}, {"a": "Ünï 中"}]) == "a\n\\x1b[31mred\\x07\nÜnï 中\n"
