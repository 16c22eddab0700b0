"""Unpack files that are packed with gzip, within a limit of size."""

from __future__ import annotations

import gzip
import io
import os
import zlib

from fer3d.errors import FormatError

_PIECE = 1 << 24  # bytes that are unpacked at once


def unpacked(content: bytes, path: str | os.PathLike[str], most: int) -> bytes:
    """The content of a gzip stream; other content as it is.

    Args:
        content: The file.
        path: Its name, for messages.
        most: Number of bytes that protects the memory from a small file that unpacks to a huge one.

    Raises:
        FormatError: if the stream is damaged, or unpacks to more than `most` bytes.
    """
    if not content.startswith(b"\x1f\x8b"):
        return content
    pieces, size = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            while size <= most and (piece := file.read(_PIECE)):
                pieces.append(piece)
                size += len(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(f"{os.fspath(path)}: its gzip stream is damaged: {error}") from None
    if size > most:
        raise FormatError(f"{os.fspath(path)}: unpacks to more than {most} bytes")
    return b"".join(pieces)
