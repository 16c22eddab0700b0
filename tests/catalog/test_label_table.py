"""`labels.csv`: joined on the path, or refused in one line that names file and line."""

import math
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer3d.catalog import Record, label_table, read_records
from fer3d.catalog.action_units import split_action_units
from fer3d.catalog.cards import load_card
from fer3d.catalog.label_table import read_label_table
from fer3d.errors import CardError
from tests import trees


def by_path(folder: Path, dataset: str) -> dict[str, Record]:
    return {record.relative: record for record in read_records(folder, load_card(dataset))}


def table(folder: Path, text: str | bytes) -> Path:
    file = folder / "labels.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return file


def test_label_table_says_what_the_path_does_not(tmp_path: Path):
    trees.frgc(tmp_path)
    table(
        tmp_path,
        "\ufeffpath,expression,intensity,frame,sequence,action_units,yaw,pitch,occlusion,sex,subject\r\n"
        "Fall2003range/04717d43.abs.gz,BlankStare,,,,,,,,,\r\n"
        ".\\Fall2003range\\04717d45.abs.gz,happiness,2,7,s9,6+12L,30,-45,scarf,female,other\r\n"
        "\r\n"
        'Spring2003range/02463d452.abs.gz,"Surprise",,,,,,,,,\r\n',
    )
    found = by_path(tmp_path, "frgc")
    assert found["Fall2003range/04717d43.abs.gz"].expression == "neutral"
    assert found["Fall2003range/04717d43.abs.gz"].pose is None
    assert found["Spring2003range/02463d452.abs.gz"].expression == "surprise"
    record = found["Fall2003range/04717d45.abs.gz"]
    assert (record.subject, record.expression, record.intensity, record.frame) == ("other", "happiness", 2, 7)
    assert (record.sequence, record.action_units, record.occlusion) == ("s9", ("AU6", "AU12L"), "scarf")
    assert record.pose == pytest.approx((math.pi / 6, -math.pi / 4, math.nan), nan_ok=True)
    assert record.attributes == {"session": "Fall2003", "recording": "45", "sex": "female"}
    assert record.id == "04717d45"
    assert found["Spring2004range/04717d101.abs.gz"].problems == (f"no line in {tmp_path / 'labels.csv'}",)


def test_label_table_elsewhere(tmp_path: Path):
    trees.frgc(tmp_path / "scans")
    file = table(tmp_path, "path,expression\nFall2003range/04717d43.abs.gz,sad\n".replace("sad", "Sadness"))
    labels = [r.expression for r in read_records(tmp_path / "scans", load_card("frgc"), labels=file)]
    assert labels.count("sadness") == 1


def test_label_table_joins_composed_names(tmp_path: Path):
    trees.touch(tmp_path, [unicodedata.normalize("NFD", "Åsa/1.ply")])
    table(tmp_path, "path,expression\nÅsa/1.ply,fear\n")
    assert read_records(tmp_path, load_card("generic"))[0].expression == "fear"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"labels\.csv: wanted a line of column names, got an empty file"),
        ("file,expression\n", r":1: wanted a column `path`, got file, expression"),
        ("path;expression\na.ply;sad\n", r":1: wanted a column `path`, got path;expression"),
        ("path,expresion\n", r":1: wanted columns among path, subject, .*, got 'expresion'"),
        ("path,expresion\n", r"got 'expresion'; did you mean 'expression'\?"),
        ("path,emotion\n", r"got 'emotion'; did you mean 'expression'\?"),
        ("filename,subject\n", r":1: wanted a column `path`, got filename, subject; rename 'filename' to 'path'"),
        ("Path,subject\n", r":1: wanted a column `path`, got Path, subject; rename 'Path' to 'path'"),
        (
            "path;subject\na.ply;x\n",
            r":1: wanted a column `path`, got path;subject; it is separated by ';', wanted commas",
        ),
        ("path,expression\na.ply,hapiness\n", r":2: a\.ply: .*, got 'hapiness'; did you mean 'happiness'\?"),
        ("path,frame\na.ply," + 500 * "x" + "\n", r":2: a\.ply: wanted a whole number as `frame`, got 'x{77}\.\.\.'"),
        ("path,sex,sex\n", r":1: wanted each column once, got 'sex' 2 times"),
        ("path,expression\na.ply\n", r":2: wanted 2 cells, got 1"),
        ("path,expression\na.ply,sad,2\n", r":2: wanted 2 cells, got 3"),
        ("path,expression\n,sad\n", r":2: wanted a path in column `path`, got a blank cell"),
        ("path,expression\na.ply,grumpy\n", r":2: a\.ply: wanted an expression among neutral, .*, got 'grumpy'"),
        ("path,expression\na.ply,sad\n\na.ply,sad\n", r":4: wanted one line for a\.ply, got a second after line 2"),
        ("path,expression\na.ply,sad\nb.ply,sad\n", r":3: wanted the path of a scan of folder of scans, got 'b\.ply'"),
        ("path,intensity\na.ply,high\n", r":2: a\.ply: wanted a whole number as `intensity`, got 'high'"),
        ("path,frame\na.ply,-1\n", r":2: a\.ply: wanted a whole number as `frame`, got '-1'"),
        ("path,yaw\na.ply,left\n", r":2: a\.ply: wanted degrees in \[-360, 360\] as `yaw`, got 'left'"),
        ("path,pitch\na.ply,nan\n", r":2: a\.ply: wanted degrees in .* as `pitch`, got 'nan'"),
        (
            "path,action_units\na.ply,smile\n",
            r":2: a\.ply: wanted action units such as 'AU12 .*', got 'smile'",
        ),
        ('path,sex\n"a.ply,f\n', r":2: wanted comma-separated values, got unexpected end of data"),
        (b"path,sex\n\xe4.ply,f\n", r"labels\.csv: wanted UTF-8 text, got byte 0xe4 at 9"),
        ("path\n../../a\u2028.ply\n", r":2: wanted the path of a scan of .*, got '\.\./\.\./a\\\\u2028\.ply'"),
    ],
)
def test_bad_label_table_is_refused_in_one_line(tmp_path: Path, text: str | bytes, message: str):
    trees.touch(tmp_path, ["a.ply"])
    file = table(tmp_path, text)
    with pytest.raises(CardError, match=message) as error:
        read_records(tmp_path, load_card("generic"))
    assert str(error.value).startswith(str(file))
    assert len(str(error.value).splitlines()) == 1


def test_label_table_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(label_table, "MOST_BYTES", 20)
    with pytest.raises(CardError, match=r"labels\.csv: wanted at most 20 bytes, got 30"):
        read_label_table(table(tmp_path, "path\n" + 25 * "a"), load_card("generic"))


def test_label_table_that_is_not_there(tmp_path: Path):
    trees.touch(tmp_path, ["a.ply"])
    with pytest.raises(CardError, match=r"x\.csv: cannot be read: No such file"):
        read_records(tmp_path, load_card("generic"), labels=tmp_path / "x.csv")


@given(st.binary(max_size=80) | st.text(alphabet='path,expression\n"\r;sad0.ply', max_size=80).map(str.encode))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_label_table_is_read_or_refused(tmp_path: Path, content: bytes):
    file = table(tmp_path, b"path,expression\n" + content)
    try:
        rows = read_label_table(file, load_card("generic"))
    except CardError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(row.line > 1 for row in rows.values())


@given(st.text(max_size=30))
def test_action_units_of_any_text(text: str):
    assert all(unit.startswith("AU") and unit[2].isdigit() for unit in split_action_units(text))
