"""Count the work of a function, so that tests of how it grows do not depend on the machine."""

import sys


def calls(function):
    """The number of calls of Python and C functions."""
    count = 0

    def counted(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count
