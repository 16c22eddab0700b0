"""Checksums of a prepared scan in its header, by which a damaged file is found when it is read.

The header of a scan holds `checks`, the CRC-32 of each array, and `check`, that of the header itself. Headers of
earlier versions hold neither, and are taken as they are.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer3d.errors import FormatError

AGAIN = "prepare the scans again: `fer3d preprocess`"


def without_hint(error: Exception) -> str:
    """The message of an error without the advice to prepare the scan again."""
    return str(error).removesuffix(f"; {AGAIN}")


def compact(value: Any) -> str:
    """JSON without spaces and with sorted keys: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def with_checks(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The header of a scan with the checksums of its arrays and of itself."""
    whole = {**header, "checks": {name: checksum(array) for name, array in arrays.items()}}
    return {**whole, "check": zlib.crc32(compact(whole).encode())}


def without_checks(path: Path, header: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    """Take the checksums out of a header: the header, and array name -> checksum, {} in files of earlier versions.

    Raises:
        FormatError: if the header does not have its checksum.
    """
    plain = {name: value for name, value in header.items() if name != "check"}
    if "check" in header and zlib.crc32(compact(plain).encode()) != header["check"]:
        raise FormatError(f"{path}: its header is damaged, as its checksum shows; {AGAIN}")
    checks = plain.pop("checks", {})
    if not isinstance(checks, dict):
        raise FormatError(f"{path}: its checksums should be a table, are {type(checks).__name__}; {AGAIN}")
    return plain, checks


def check_array(path: Path, name: str, array: NDArray[Any], wanted: int | None) -> None:
    """Raise FormatError if an array does not have its checksum. `wanted` None: it has none."""
    if wanted is not None and checksum(array) != wanted:
        raise FormatError(f"{path}: the array `{name}` is damaged, as its checksum shows; {AGAIN}")


def checksum(array: NDArray[Any]) -> int:
    """CRC-32 of the bytes of an array. 1 GB takes about a second."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
