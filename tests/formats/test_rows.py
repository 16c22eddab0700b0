"""Tables of numbers and lists: against a slow reference, in all encodings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer3d import _native
from fer3d.errors import ArgumentError, FormatError
from fer3d.formats import rows
from fer3d.formats.rows import Column

NUMBER = {"f4": st.floats(width=32, allow_nan=False), "f8": st.floats(allow_nan=False)}
NUMBER |= {
    kind: st.integers(int(np.iinfo(kind).min), int(np.iinfo(kind).max)) for kind in rows.TYPES if kind[0] in "iu"
}
COUNTS = [kind for kind in rows.TYPES if kind[0] in "iu"]


@st.composite
def tables(draw):
    kinds = draw(
        st.lists(st.tuples(st.sampled_from(rows.TYPES), st.sampled_from([None, *COUNTS])), min_size=1, max_size=4)
    )
    columns = [Column(f"c{i}", item, length) for i, (item, length) in enumerate(kinds)]
    number = draw(st.integers(0, 5))
    lists = [st.lists(NUMBER[c.item], min_size=0 if c.length else 1, max_size=3 if c.length else 1) for c in columns]
    return columns, [[draw(values) for values in lists] for _ in range(number)]


def packed(columns, table, order):
    parts = []
    for row in table:
        for column, values in zip(columns, row, strict=True):
            if column.length is not None:
                parts.append(np.array(len(values), order + column.length).tobytes())
            parts.append(np.array(values, order + column.item).tobytes())
    return b"".join(parts)


def written(columns, table):
    line = [
        [
            repr(v)
            for column, values in zip(columns, row, strict=True)
            for v in ([len(values)] * bool(column.length) + values)
        ]
        for row in table
    ]
    return "".join(" ".join(words) + "\n" for words in line).encode()


@given(tables(), st.sampled_from(rows.ENCODINGS), st.binary(max_size=3))
def test_a_table_reads_back(case, encoding, before):
    columns, table = case
    before = b"" if encoding == "text" else before
    content = (
        written(columns, table) if encoding == "text" else packed(columns, table, "<" if encoding == "little" else ">")
    )
    found = rows.read(before + content, len(before), len(table), columns, encoding, "f", "table")
    for i, column in enumerate(columns):
        expected = np.array([v for row in table for v in row[i]], np.float64)
        got = found.numbers[column.name] if column.length is None else found.lists[column.name].values
        np.testing.assert_array_equal(np.asarray(got, np.float64), expected)
        if column.length is not None:
            assert list(found.lists[column.name].counts) == [len(row[i]) for row in table]
    assert found.stop == len(before + content) - (encoding == "text" and bool(table))


@given(tables(), st.sampled_from(["little", "big"]), st.integers(1, 9))
def test_a_table_that_breaks_off_is_refused(case, encoding, lost):
    columns, table = case
    content = packed(columns, table, "<" if encoding == "little" else ">")
    if table:
        with pytest.raises(FormatError, match=r"f: byte \d+: table: \d+ rows were wanted"):
            rows.read(content[: max(len(content) - lost, 0)], 0, len(table), columns, encoding, "f", "table")


def test_columns_that_are_not_wanted_are_left_out():
    columns = [Column("a", "u1"), Column("b", "u2", "u1"), Column("c", "u1")]
    content = bytes([1, 1, 2, 0, 3, 4, 0, 5])  # rows (1, [2], 3) and (4, [], 5)
    found = rows.read(content, 0, 2, columns, "little", "f", "table", keep=("c",))
    assert found.lists == {} and found.numbers["c"].tolist() == [3, 5]
    none = rows.read(content, 3, 0, columns, "little", "f", "table")
    assert none.stop == 3 and len(none.numbers["a"]) == len(none.lists["b"].counts) == 0


def test_wrong_calls_are_refused():
    with pytest.raises(ArgumentError, match="`begin` should lie in"):
        rows.read(b"1", 2, 1, [Column("a", "u1")], "text", "f", "table")
    with pytest.raises(ArgumentError, match="`columns` should hold names out of i1"):
        rows.read(b"1", 0, 1, [Column("a", "f2")], "text", "f", "table")
    with pytest.raises(ArgumentError, match="`encoding` should be one of text, little, big"):
        rows.read(b"1", 0, 1, [Column("a", "u1")], "middle", "f", "table")
    for begin, number, columns, encoding in ((2, 1, [(-1, 1, True)], 0), (0, 1, [(-1, 10, True)], 0), (0, 1, [], 3)):
        with pytest.raises(ValueError, match="should"):
            _native.read_rows(b"1", begin, number, columns, encoding)


def test_pieces_of_rows():
    text = bytes(range(60))
    for stride, at, size in ((13, 1, 12), (5, 2, 3), (7, 7, 0), (1, 0, 1), (20, 0, 20)):
        rows = (len(text) - 3) // stride
        found = _native.copy_pieces(text, 3, rows, stride, at, size)
        assert found.tolist() == [3 + i * stride + at + k for i in range(rows) for k in range(size)]
    for begin, rows, stride, at, size in (
        (0, 5, 13, 0, 1), (61, 0, 1, 0, 0), (-1, 1, 1, 0, 1), (0, -1, 1, 0, 1), (0, 1, 0, 0, 0), (0, 4, 13, 2, 12),
        (0, 4, 13, -1, 2), (0, 4, 13, 14, 0), (0, 2**62, 2**62, 0, 1),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="should lie in the"):
            _native.copy_pieces(text, begin, rows, stride, at, size)


@pytest.mark.parametrize("kinds", [1, 40, 3000, 20000])
def test_equal_rows_of_long_tables(kinds):
    """The table of kinds grows while rows are looked up."""
    rng = np.random.default_rng(kinds)
    table = rng.normal(size=(kinds, 3)).astype(np.float32)[rng.integers(0, kinds, 20000)]
    first, kind = rows.same_rows(table)
    _, expected, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(first, np.sort(expected))
    np.testing.assert_array_equal(first[kind], expected[inverse.ravel()])
