"""Files: whole ones, locks of folders, JSON, TOML, Parquet and CSV, with errors of this package."""

from fer3d.files.locks import LOCK, clear_leftovers, locked
from fer3d.files.spreadsheets import csv_text
from fer3d.files.structured import (
    MAX_DEPTH,
    MAX_TOML,
    brief,
    brief_line,
    checked,
    parse_json,
    read_json,
    read_toml,
    write_json,
    wrong_key,
)
from fer3d.files.tables import check_growth, conformed, read_table
from fer3d.files.whole import (
    MAX_BYTES,
    TEMPORARY,
    clear_temporaries,
    line_of,
    read_bytes,
    remove,
    sha256,
    write_bytes,
    write_text,
    written_at_once,
)

__all__ = [
    "LOCK",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_TOML",
    "TEMPORARY",
    "brief",
    "brief_line",
    "check_growth",
    "checked",
    "clear_leftovers",
    "clear_temporaries",
    "conformed",
    "csv_text",
    "line_of",
    "locked",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_table",
    "read_toml",
    "remove",
    "sha256",
    "write_bytes",
    "write_json",
    "write_text",
    "written_at_once",
    "wrong_key",
]
