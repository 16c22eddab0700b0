"""Reading of JSON, TOML and Parquet files: what is refused, in one line that names the file and the remedy."""

import json
import os
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer3d.errors import CardError, FileError, FormatError, one_line
from fer3d.face import npz
from fer3d.files import MAX_DEPTH, MAX_TOML, brief, checked, read_json, read_table, read_toml

AGAIN = "train it again"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"{", "is not JSON"),
        (b"\xff\xfe{", "is not UTF-8 text"),
        (b'{"a": NaN}', "wanted finite numbers, got NaN"),
        (b'{"a": -Infinity}', "wanted finite numbers, got -Infinity"),
        (b'{"a": 1e999}', "wanted finite numbers, got 1e999"),
        (b"9" * 5000, "is not JSON"),
        (b'{"a": "\\ud800"}', "is not UTF-8 text"),
        (b"[" * 10**6, "nested too deeply"),
        (b"[" * 200 + b"]" * 200, f"at most {MAX_DEPTH} levels"),
        (b'[{"a": "1"}]', "`0.a` should be a valid integer, is '1'"),
        (b'{"a": 1}', "the content should be a valid list, is {'a': 1}"),
    ],
)
def test_what_is_no_json_of_ours_is_named(tmp_path, content, message):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        read_json(path, list[dict[str, int]], AGAIN)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.endswith(f"; {AGAIN}")
    assert text.isprintable()
    assert len(text) < 400 + len(str(path))


def test_deep_json_that_is_allowed_and_a_byte_order_mark_are_read(tmp_path):
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + deep)
    assert read_json(tmp_path / "x.json") == json.loads(deep)


def test_missing_files_folders_and_pipes_are_named(tmp_path):
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    for name, message in (("none.json", "is missing"), ("folder.json", "cannot be read"), ("pipe.json", "pipe")):
        with pytest.raises(FileError, match=rf"{name}: .*{message}"):
            read_json(tmp_path / name)
        with pytest.raises(FileError, match=name):
            read_table(tmp_path / name)
    with pytest.raises(FileError, match="cannot be read"):
        read_json(tmp_path / ("n" * 300))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = ", "is not TOML"),
        (b"a = " + b"9" * 5000, "is not TOML"),
        (b"a = " + b"[" * 10**5, "is not TOML"),
        (b"a = " + b"[" * 100 + b"]" * 100, f"at most {MAX_DEPTH} levels"),
        (b"a = '\xff'", "wanted UTF-8 text, got byte 0xff"),
        (b"#" * (MAX_TOML + 1), f"at most {MAX_TOML} bytes"),
    ],
)
def test_what_is_no_toml_is_named(tmp_path, content, message):
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(CardError, match=rf"x\.toml: .*{message}"):
        read_toml(tmp_path / "x.toml", CardError)


SCHEMA = pa.schema([("id", pa.string()), ("n", pa.int32()), ("x", pa.float64()), ("words", pa.list_(pa.string()))])
ROW = {"id": "a", "n": 1, "x": 0.5, "words": ["b"]}


def write(path, table):
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("id", pa.array([1]), "the column id should hold string, holds int64"),
        ("id", pa.array([None], pa.string()), "the column id should hold no null"),
        ("n", pa.array([0.5]), "the column n should hold int32, holds double"),
        ("n", pa.array([2**40]), r"the column n should hold int32 \(Integer value 1099511627776 not in range"),
        ("x", pa.array(["0.5"]), "the column x should hold double, holds string"),
        ("words", pa.array(["b"]), "the column words should hold list"),
        ("words", pa.array([[1]]), "the column words should hold list"),
    ],
)
def test_columns_of_another_kind_are_named(tmp_path, column, values, message):
    table = pa.Table.from_pylist([ROW], SCHEMA)
    path = write(tmp_path / "x.parquet", table.set_column(table.column_names.index(column), column, values))
    with pytest.raises(FormatError, match=rf"x\.parquet: {message}.*; {AGAIN}"):
        read_table(path, SCHEMA, AGAIN, required=("id",))


def test_kinds_that_stand_for_another_are_cast(tmp_path):
    columns = {"id": pa.array(["a"], pa.large_string()), "n": pa.array([3], pa.int64()), "x": pa.array([2])}
    columns |= {"words": pa.array([None], pa.null()), "more": pa.array([1])}
    read = read_table(write(tmp_path / "x.parquet", pa.table(columns)), SCHEMA)
    assert read.to_pylist() == [{"id": "a", "n": 3, "x": 2.0, "words": None}]
    coded = pa.table({"id": pa.array(["a"]).dictionary_encode()})
    assert read_table(write(tmp_path / "y.parquet", coded), SCHEMA).to_pylist() == [{"id": "a"}]


def test_a_table_that_unpacks_to_gigabytes_is_refused_before_it_does(tmp_path):
    """Three million rows of one long text, 300 GB, take a few KiB on disk."""
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3_000_000, np.int8)), pa.array(["t" * 100_000]))
    path = write(tmp_path / "x.parquet", pa.table({"id": text}))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(FormatError, match=r"x\.parquet: is not a Parquet file \(its \d+ bytes should unpack"):
        read_table(path)


def test_a_table_that_claims_more_rows_than_it_has_is_refused(tmp_path):
    path = write(tmp_path / "x.parquet", pa.table({"n": pa.array(range(1000))}))
    content = path.read_bytes()
    claims = 0
    for at in range(len(content) - 300, len(content) - 8):  # 1000 as a variable-length integer: d0 0f
        if content[at : at + 2] == b"\xd0\x0f":
            path.write_bytes(content[:at] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f" + content[at + 2 :])
            with pytest.raises(FormatError, match=r"x\.parquet: is not a Parquet file"):
                read_table(path)
            claims += 1
    assert claims


def test_a_column_that_comes_twice_is_named(tmp_path):
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(FormatError, match="holds the column a twice"):
        read_table(write(tmp_path / "x.parquet", table))


def test_an_archive_that_unpacks_to_gigabytes_is_refused_before_it_does(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("neutral.npy", bytes(40 << 20))
    with pytest.raises(FormatError, match=r"bomb\.npz: a face model .*should unpack to at most"):
        npz.read_arrays(tmp_path / "bomb.npz", "a face model was wanted")


def test_numbers_are_not_texts_and_truth_is_not_a_number():
    assert checked({"a": 1}, dict[str, float], "x") == {"a": 1}
    for wrong in ("1", True, None, [1]):
        with pytest.raises(FormatError, match=r"x: `a` should be a valid number"):
            checked({"a": wrong}, dict[str, float], "x")


def test_messages_are_short_whatever_they_quote():
    assert len(brief("a" * 10**6)) == 60
    assert brief(list(range(1000))) == "a list of 1000"
    assert len(one_line("x.json: `" + "a" * 10**6 + "` is no key")) < 200
    assert one_line("a\nb") == "a\\nb"
