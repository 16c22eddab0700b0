"""What an error that is a bug of the package says of itself."""

import re

from fer3d.errors import internal_error


def broken():
    raise KeyError("surprise")


def test_an_internal_error_names_the_innermost_place_on_one_line():
    try:
        broken()
    except KeyError as error:
        line = broken.__code__.co_firstlineno + 1
        assert internal_error(error) == f"internal error at test_errors.py:{line}, KeyError: 'surprise'"
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        assert re.fullmatch(r"internal error at test_errors\.py:\d+, ValueError: two lines", internal_error(error))


def test_an_error_that_was_never_raised_has_no_place():
    assert internal_error(ValueError("x")) == "internal error at an unknown place, ValueError: x"
