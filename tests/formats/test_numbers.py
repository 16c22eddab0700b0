from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer3d import _native
from fer3d.errors import ArgumentError, FormatError
from fer3d.formats import number_blocks
from tests.reference import numbers as reference

separators = st.text(alphabet=" \t\r\n,", min_size=1, max_size=4)
gaps = st.one_of(separators, st.text(alphabet="0]#{x ", max_size=5).map(lambda comment: f" #{comment}\n"))
decimals = st.one_of(
    st.floats(width=32).map(repr),
    st.floats(width=64).map(repr),
    st.integers(-(2**40), 2**40).map(str),
    st.decimals(-1000, 1000, places=6).map(str),
    st.tuples(st.integers(0, 10**25), st.integers(0, 10**25), st.integers(-400, 400)).map(
        "{0[0]}.{0[1]}e{0[2]}".format
    ),
    st.sampled_from(["+1.5", "5.", ".5", "-.5e+3", "1.#INF", "-1.#IND00", "1.#QNAN", "-1.#INF0", "1E5", "nan", "-inf"]),
)


def joined(words, spaces):
    return "".join(word + space for word, space in zip(words, spaces, strict=True))


@given(st.data())
def test_blocks_of_real_numbers_are_the_definition(data):
    words = data.draw(st.lists(decimals, max_size=12))
    text = data.draw(gaps) + joined(words, [data.draw(gaps) for _ in words])
    for op, dtype in ((number_blocks.floats, np.float32), (number_blocks.doubles, np.float64)):
        values, stop = op(text.encode(), 0, "f")
        assert values.dtype == dtype
        assert stop == len(text)
        np.testing.assert_array_equal(values, reference.float_block(text, dtype))


@settings(max_examples=300)
@given(st.integers(0, 10**15 - 1), st.integers(0, 15), st.booleans())
def test_plain_decimals_round_once(digits, places, negative):
    """The fast path divides in double and rounds to float: it must not round twice."""
    shown = str(digits).rjust(places + 1, "0")
    text = ("-" if negative else "") + shown[: len(shown) - places] + "." + shown[len(shown) - places :]
    value, _ = number_blocks.floats(text.encode(), 0, "f")
    # np.float32 of a string goes through double as well: the exact quotient decides, as a fraction.
    exact = _nearest_float32(-digits if negative else digits, 10**places)
    assert value[0] == exact
    assert np.signbit(value[0]) == negative
    assert number_blocks.doubles(text.encode(), 0, "f")[0][0] == float(text)


def _nearest_float32(numerator, denominator):
    exact = Fraction(numerator, denominator)
    near = np.float32(numerator / denominator)
    around = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    even = [int(np.float32(value).view(np.uint32)) & 1 for value in around]
    return min(zip(around, even, strict=True), key=lambda pair: (abs(Fraction(float(pair[0])) - exact), pair[1]))[0]


@pytest.mark.parametrize("text", ["16777217", "16777219", "-16777217.0", "33554434.0", "0.50000002980232238769531250"])
def test_a_tie_between_two_floats_goes_to_the_even_one(text):
    value, _ = number_blocks.floats(text.encode(), 0, "f")
    assert value[0] == _nearest_float32(*Fraction(text).as_integer_ratio())


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20), st.data())
def test_integers_come_back(values, data):
    text = joined([str(value) for value in values], [data.draw(gaps) for _ in values])
    parsed, _ = number_blocks.integers(text.encode(), 0, "f")
    assert parsed.tolist() == values


def test_a_block_ends_at_its_bracket_at_the_wanted_count_or_at_the_end():
    text = b"skip 1, 2 # ] 9\n 3] 4"
    assert number_blocks.floats(text, 4, "f", bracket=True)[0].tolist() == [1, 2, 3]
    assert text[number_blocks.floats(text, 4, "f", bracket=True)[1] :] == b"] 4"
    values, stop = number_blocks.floats(text, 4, "f", wanted=2)
    assert values.tolist() == [1, 2]
    assert text[:stop] == b"skip 1, 2"
    assert number_blocks.integers(b"7 8 ", 0, "f", wanted=5)[0].tolist() == [7, 8]
    assert number_blocks.floats(b"", 0, "f")[0].shape == (0,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"1 2\n3 x4 5", r"^scan.wrl: line 2 \(byte 6\): `x4` is not a number"),
        (b"1.2.3", r"byte 0\): `1.2.3` is not a number"),
        (b"1 +-2", r"byte 2\): `\+-2` is not a number"),
        (b"1 - 2", r"`-` is not a number"),
        (b"0x10", r"`0x10` is not a number"),
        (b"1 ]", r"byte 2\): `]` is not a number"),
        (b"\xff\x00\x1b[31m", r"byte 0\): `\?\?\?\[31m` is not a number"),
        (b"y" * 100, r"`y{24}\.\.\.` is not"),
        (b"1.#INDIA", r"is not a number"),
    ],
)
def test_what_is_no_number_is_named_with_its_place(text, message):
    with pytest.raises(FormatError, match=message):
        number_blocks.floats(text, 0, "scan.wrl")


def test_integers_refuse_fractions_and_overflow():
    with pytest.raises(FormatError, match=r"`1\.5` is not an integer"):
        number_blocks.integers(b"1.5", 0, "f")
    for text in (b"2147483648", b"-2147483649", b"99999999999999999999999"):
        with pytest.raises(FormatError, match="is too large for an integer"):
            number_blocks.integers(text, 0, "f")


def test_a_block_without_its_bracket_is_refused():
    with pytest.raises(FormatError, match=r"line 2 \(byte 1\): the block that begins here has no closing `\]`"):
        number_blocks.floats(b"\n1 2 # ]", 1, "f", bracket=True)
    with pytest.raises(FormatError, match="no closing"):
        number_blocks.polygons(b"0 1 2 -1", 0, "f")


def test_a_start_outside_the_text_is_refused():
    with pytest.raises(ArgumentError, match=r"`begin` should lie in \[0, 3\], is 4"):
        number_blocks.floats(b"1 2", 4, "f")
    with pytest.raises(ValueError, match="`begin` should lie in the text"):
        _native.polygon_block(b"1 2", -1)


@given(st.lists(st.lists(st.integers(0, 99), min_size=3, max_size=7), max_size=8), st.booleans(), st.data())
def test_polygons_are_fans(polygons, last_minus, data):
    words = [str(index) for polygon in polygons for index in (*polygon, -1)]
    if not last_minus and words:
        words.pop()
    text = joined(words, [data.draw(gaps) for _ in words])
    found = number_blocks.polygons(f"{text}]".encode(), 0, "f")
    faces, polygon = reference.polygon_block(text)
    np.testing.assert_array_equal(found.faces, faces)
    np.testing.assert_array_equal(found.polygon, polygon)
    assert found.largest == max((index for polygon in polygons for index in polygon), default=-1)
    assert found.stop == len(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"0 1 2 -1\n3 4 -1]", r"line 2 \(byte 9\): polygon 1 has 2 corners, a face needs at least 3"),
        (b"0 1 2 -1 3]", "polygon 1 has 1 corner, a face"),
        (b"-1]", "polygon 0 has 0 corners"),
        (b"0 1 -2 -1]", r"byte 4\): index -2 is negative"),
        (b"0 1 2.0 -1]", r"`2.0` is not an integer"),
    ],
)
def test_a_polygon_that_is_none_is_refused(text, message):
    with pytest.raises(FormatError, match=message):
        number_blocks.polygons(text, 0, "f")


@given(st.integers(1, 6), st.integers(0, 12), st.data())
def test_splitting_is_the_definition(vertices, faces, data):
    def draw(size):
        rows = data.draw(st.lists(st.integers(0, size - 1), min_size=3 * faces, max_size=3 * faces))
        return np.array(rows, np.int32).reshape(-1, 3)

    corners, uv_corners = draw(vertices), draw(4)
    out, vertex_of, uv_of = number_blocks.split_vertices(corners, uv_corners, vertices)
    expected, expected_vertex, expected_uv = reference.split_vertices(corners, uv_corners, vertices)
    np.testing.assert_array_equal(out, expected)
    assert vertex_of.tolist() == expected_vertex
    assert uv_of.tolist() == expected_uv
    # the sentence that defines it: a corner keeps its point and its uv
    np.testing.assert_array_equal(vertex_of[out], corners)
    np.testing.assert_array_equal(uv_of[out], uv_corners)


def test_splitting_refuses_rows_out_of_range():
    faces = np.array([[0, 1, 2]], np.int32)
    with pytest.raises(ArgumentError, match=r"`faces` should hold rows in \[0, 2\)"):
        number_blocks.split_vertices(faces, faces, 2)
    with pytest.raises(ArgumentError, match=r"`uv_faces` should have shape"):
        number_blocks.split_vertices(faces, np.zeros((2, 3), np.int32), 3)
    with pytest.raises(ArgumentError, match="`uv_faces` should hold rows"):
        number_blocks.split_vertices(faces, faces - np.int32(1), 3)
    with pytest.raises(ValueError, match="`faces` should hold rows below `vertices`"):
        _native.split_vertices(faces, faces, 2)


def test_no_memory_is_taken_for_a_count_that_is_only_claimed():
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    values, _ = number_blocks.doubles(b"1 2 3", 0, "f", wanted=10**9)  # 8 GB
    assert values.tolist() == [1, 2, 3]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # kilobytes on Linux


# ---- lines ----


def rows_of(found):
    return [row.tolist() for row in np.split(found.values, np.cumsum(found.counts)[:-1])]


def test_numbers_line_by_line():
    text = b"x\n1 2\t3\r\n\r\n# none\r-4e2 # 5\n\n \v6.5\n7"
    found = number_blocks.lines(text, 2, "f")
    assert rows_of(found) == [[1, 2, 3], [-400], [6.5], [7]]
    assert [text[offset : offset + 1] for offset in found.offsets] == [b"1", b"-", b"6", b"7"]
    assert found.stop == len(text)
    two = number_blocks.lines(text, 2, "f", wanted=2)
    assert rows_of(two) == [[1, 2, 3], [-400]]
    assert text[two.stop :] == b"\n \v6.5\n7"
    none = number_blocks.lines(text, 2, "f", wanted=0)
    assert (none.stop, none.values.size, none.counts.size) == (2, 0, 0)
    assert number_blocks.lines(b"", 0, "f").stop == 0


def test_separators_and_comments_of_lines_are_those_asked_for():
    assert rows_of(number_blocks.lines(b"1,2;3\n4,,5", 0, "f", separators=b",;")) == [[1, 2, 3], [4, 5]]
    assert rows_of(number_blocks.lines(b"1 2% 3\n%\n4", 0, "f", comment=b"%")) == [[1, 2], [4]]
    assert rows_of(number_blocks.lines(b"1.#INF 2#3", 0, "f")) == [[np.inf, 2]]
    for text, options, at in (
        (b"1 2\n3,4", {}, 4),
        (b"1 2#3", {"comment": None}, 2),
        (b"1 2#3", {"comment": b"%"}, 2),
        (b"1 2 ]", {}, 4),
        (b"1 2]", {}, 2),
        (b"1 two", {}, 2),
        (b"1 2\n1 0x10", {}, 6),
    ):
        line = text[:at].count(b"\n") + 1
        with pytest.raises(FormatError, match=rf"f: line {line} \(byte {at}\): .* is not a number"):
            number_blocks.lines(text, 0, "f", **options)


@given(st.lists(st.lists(st.one_of(st.floats(width=64), st.integers(-(2**60), 2**60)), max_size=5), max_size=9),
       st.sampled_from(["\n", "\r\n", "\r", "\n\n"]), st.booleans())  # fmt: skip
def test_lines_are_those_of_python(rows, end, last):
    text = end.join(" ".join(map(repr, row)) for row in rows) + (end if last else "")
    found = number_blocks.lines(text.encode(), 0, "f")
    expected = [row for row in rows if row]
    assert found.counts.tolist() == [len(row) for row in expected]
    np.testing.assert_array_equal(found.values, np.array([float(x) for row in expected for x in row], np.float64))


def test_lines_end_with_lf_crlf_or_cr():
    for text in (b"1\n2\nx", b"1\r\n2\r\nx", b"1\r2\rx"):
        with pytest.raises(FormatError, match="line 3 "):
            number_blocks.lines(text, 0, "f")
