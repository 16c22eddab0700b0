"""A command as a user types it, run in this process: what loads for seconds is loaded once."""

import sys
from unittest import mock

from fer3d.cli.app import main


def fer3d(capsys, *arguments):
    """Exit code, stdout, stderr of `fer3d *arguments`."""
    capsys.readouterr()
    with mock.patch.object(sys, "argv", ["fer3d", *map(str, arguments)]):
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
    out, err = capsys.readouterr()
    return code, out, err
