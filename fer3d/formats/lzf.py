"""Unpack LZF, the compression of the Point Cloud Library."""

from __future__ import annotations

from pathlib import Path

from fer3d.errors import FormatError

_MOST = 90  # times as many bytes as it has: 3 bytes can stand for 264


def unpacked(packed: bytes, size: int, path: Path) -> bytes:
    """Unpack a block.

    Each token is a byte c: below 32, c + 1 bytes follow as they are; otherwise the bytes from some way back repeat. The
    upper three bits of c hold their number less 2 (7: the next byte is added), the lower five and the next byte how far
    back they begin.

    Args:
        packed: The block.
        size: How many bytes it should give.
        path: The file, for error messages.

    Raises:
        FormatError: if it is damaged or gives another number of bytes.
    """
    if size > _MOST * len(packed):
        raise FormatError(f"{path}: {len(packed)} compressed bytes cannot give {size}")
    out, at, end = bytearray(), 0, len(packed)
    while at < end and len(out) <= size:
        control = packed[at]
        at += 1
        if control < 32:
            if at + control >= end:
                raise FormatError(f"{path}: its compressed points break off")
            out += packed[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if at + (length == 7) >= end:
            raise FormatError(f"{path}: its compressed points break off")
        if length == 7:
            length += packed[at]
            at += 1
        start = len(out) - ((control & 31) << 8) - packed[at] - 1
        at += 1
        if start < 0:
            raise FormatError(f"{path}: its compressed points repeat bytes before their begin")
        length += 2
        piece = out[start : start + length]
        if len(piece) < length:  # it repeats itself
            piece = (piece * (length // len(piece) + 1))[:length]
        out += piece
    if len(out) != size:
        raise FormatError(f"{path}: its compressed points should give {size} bytes, give {len(out)}")
    return bytes(out)
