"""Each row of `docs/formats.md` is true: its example is read, refused by name, warned of, or skipped."""

import importlib.util
import re
from pathlib import Path

import pytest

from fer3d.errors import FormatError
from fer3d.scan import Scan
from tests.formats.examples import examples, read_example

DOCS = Path(__file__).parents[2] / "docs" / "formats"


def _table_module():
    spec = importlib.util.spec_from_file_location("formats_table", DOCS / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLE = _table_module()
ROWS = [(kind, row) for kind, table in TABLE.tables().items() for row in table["construct"]]


@pytest.mark.parametrize("kind, row", ROWS, ids=[f"{kind}: {row['name']}" for kind, row in ROWS])
def test_a_row_is_true(kind, row, tmp_path):
    assert row["becomes"] in TABLE.BECOMES
    example = examples(kind)[row.get("example", row["name"])]
    path = example.put(tmp_path)
    if row["becomes"] == "refused":
        with pytest.raises(FormatError, match=row["words"]) as caught:
            read_example(path)
        assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)
        return
    found, warnings = read_example(path)
    if row["becomes"] == "warned":
        assert any(re.search(row["words"], warning) for warning in warnings), warnings
        assert all("\n" not in warning for warning in warnings)
    else:
        assert warnings == ()
    if isinstance(found, Scan):
        # The kernels are compiled for such arrays: for others they would be compiled again.
        arrays = (found.vertices, found.faces, found.uv, found.colours, found.texture, found.file_vertex)
        assert all(array.flags.writeable and array.flags.c_contiguous for array in arrays if array is not None)
    if example.check is not None:
        example.check(found)


@pytest.mark.parametrize("kind", TABLE.tables())
def test_each_example_has_a_row(kind):
    rows = {row.get("example", row["name"]) for row in TABLE.tables()[kind]["construct"]}
    assert rows == set(examples(kind))


@pytest.mark.parametrize("kind", TABLE.tables())
def test_what_is_read_is_checked(kind):
    """An example that is read without a check of its meaning shows nothing."""
    rows = [row for row in TABLE.tables()[kind]["construct"] if row["becomes"] != "refused"]
    assert [row["name"] for row in rows if examples(kind)[row.get("example", row["name"])].check is None] == []


def test_the_page_is_that_of_the_tables():
    assert TABLE.PAGE.read_text(encoding="utf-8") == TABLE.page(), "run python docs/formats/table.py"
