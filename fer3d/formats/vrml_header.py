"""The first line of a VRML file, and the gzip stream that the standard allows around it."""

from __future__ import annotations

import os
import re

from fer3d.errors import FormatError
from fer3d.formats.packed import unpacked

MAX_UNPACKED = 1 << 28  # bytes; a scan of 35,000 vertices has 5 million

_PADDING = b"\0\x1a"  # how old programs end a file
_HEADER = re.compile(rb"(?:\xef\xbb\xbf)?\s*#VRML V2\.0", re.IGNORECASE)
_OTHERS = (
    (re.compile(rb"(?:\xef\xbb\xbf)?\s*#VRML V1\.0", re.IGNORECASE), "VRML 1.0 is another language and is not read"),
    (re.compile(rb"(?:\xef\xbb\xbf)?\s*#X3D", re.IGNORECASE), "X3D is not read"),
    (re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|X3D|!DOCTYPE X3D)", re.IGNORECASE), "X3D and XML are not read"),
    (re.compile(rb"#Inventor", re.IGNORECASE), "Open Inventor is not read"),
)


def text_of(content: bytes, path: str | os.PathLike[str]) -> bytes:
    """The text of a VRML 2.0 file, unpacked if it is packed.

    Raises:
        FormatError: if it is another format, its gzip stream is damaged, or it unpacks to more than `MAX_UNPACKED`
            bytes.
    """
    text = unpacked(content, path, MAX_UNPACKED)
    if _HEADER.match(text):
        return text.rstrip(_PADDING) if text[-1:] in (b"\0", b"\x1a") else text
    start = text[:32].split(b"\n")[0].strip()
    printable = "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in start)
    what = next((f": {name}; export it as VRML 2.0" for pattern, name in _OTHERS if pattern.match(text)), "")
    raise FormatError(f"{os.fspath(path)}: should begin with '#VRML V2.0', begins with '{printable}'{what}")
