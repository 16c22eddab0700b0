"""Read one file and judge what came: a result that holds together, an error of ours, or a finding."""

from __future__ import annotations

import json
import signal
import traceback
import unicodedata
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fer3d.errors import Fer3dError, FileError, FormatError
from fer3d.scan import Scan
from tests.formats.examples import read_example

SECONDS = 2.0
COUNTED = (
    ".ply",
    ".off",
    ".glb",
    ".gltf",
    ".bnt",
    ".abs",
    ".lm2",
    ".lm3",
    ".bnd",
    ".png",
    ".jpg",
    ".bmp",
    ".tif",
    ".pcd",
    ".npy",
)
INSTANCED = (".wrl", ".glb", ".gltf")  # a few bytes use a mesh again


class Verdict(NamedTuple):
    """What became of a file.

    Attributes:
        outcome: "read", "warned", "refused" or "finding".
        about: The message, or of a finding, what is wrong: equal for the same fault.
        digest: Equal for equal results.
        warnings: Those of the result.
    """

    outcome: str
    about: str
    digest: int = 0
    warnings: frozenset[str] = frozenset()


class HangError(BaseException):
    """A file took longer than `SECONDS`."""


def _alarm(_signal: int, _frame: Any) -> None:
    raise HangError


def judge(path: Path, size: int, kind: str, cut_from: tuple[Verdict, bytes] | None = None) -> Verdict:
    """Read a file.

    Args:
        path: The file.
        size: Bytes of it and of those beside it, unpacked.
        kind: Its kind.
        cut_from: If the file is the beginning of another: what that one gives, and its bytes.
    """
    signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found, notes = read_example(path)
        signal.setitimer(signal.ITIMER_REAL, 0)
        verdict = _judged(found, notes, size, kind)
        return verdict if cut_from is None else _cut(verdict, *cut_from, path, kind)
    except HangError:
        return Verdict("finding", f"takes longer than {SECONDS} s")
    except Fer3dError as error:
        return _refused(error, path)
    except AssertionError as error:
        return Verdict("finding", f"{error}"[:200])
    except BaseException as error:
        return Verdict("finding", f"{type(error).__name__} {origin(error)}: {str(error)[:80]}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _refused(error: Fer3dError, path: Path) -> Verdict:
    text = str(error)
    if not isinstance(error, (FormatError, FileError)):
        return Verdict("finding", f"{type(error).__name__} {origin(error)}")
    if not one_line(text):
        return Verdict("finding", f"a message of several lines, or with control characters: {origin(error)}")
    if str(path.parent) not in text:
        return Verdict("finding", f"a message that names no file: {origin(error)}")
    if len(text) > 600 + 4 * len(str(path)):
        return Verdict("finding", f"a message of {len(text)} characters: {origin(error)}")
    if "memory" in text:
        return Verdict("finding", f"out of memory: {origin(error)}")
    return Verdict("refused", text)


def one_line(text: str) -> bool:
    """Whether a text is one line on a terminal: no line end of any kind, no control character."""
    return len(text.splitlines()) == 1 and not any(unicodedata.category(letter) == "Cc" for letter in text)


def origin(error: BaseException) -> str:
    """File and line of the last frame of ours."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/fer3d/" in f.filename]
    return f"at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "elsewhere"


def _judged(found: Any, notes: tuple[str, ...], size: int, kind: str) -> Verdict:
    for note in notes:
        assert isinstance(note, str) and one_line(note), f"a warning that is not one line: {note!r:.60}"
    if isinstance(found, Scan):
        digest = _scan(found, size, kind)
    elif isinstance(found, dict):
        digest = _landmarks(found)
    else:
        digest = _pictures(found)
    return Verdict("warned" if notes else "read", "", digest, frozenset(notes))


def _scan(scan: Scan, size: int, kind: str) -> int:
    """Beyond the checks that a Scan makes itself."""
    assert len(scan.faces) > 0, "a scan without a face"
    assert scan.history and scan.history[0]["step"] == "read", "no record of reading"
    json.dumps([dict(record) for record in scan.history])
    assert np.isfinite(scan.placement).all(), "a placement that is not finite"
    if kind not in INSTANCED:
        assert len(scan.vertices) <= 3 * size, f"{len(scan.vertices)} vertices of {size} bytes"
        assert len(scan.faces) <= 3 * size, f"{len(scan.faces)} faces of {size} bytes"
    if scan.file_vertex is not None and len(scan.file_vertex):
        assert scan.file_vertex.min() >= 0, "a negative row of the file"
    if scan.colours is not None:
        assert not ((scan.colours < 0) | (scan.colours > 255)).any(), "colours outside 0 to 255"
        assert not np.isinf(scan.colours).any(), "infinite colours"
    if scan.uv is not None:
        assert not np.isnan(scan.uv).all(), "uv that are all NaN"
    if scan.texture is not None:
        assert scan.texture.size > 0, "a texture without pixels"
        assert scan.uv is not None, "a texture without uv"
    arrays = (scan.vertices, scan.faces, scan.uv, scan.colours, scan.texture)
    return _digest(*(array for array in arrays if array is not None))


def _landmarks(found: dict[str, Any]) -> int:
    for name, point in found.items():
        assert point.dtype == np.float64 and point.shape in ((2,), (3,)), f"a landmark of shape {point.shape}"
        assert name and name.isprintable(), "a name that is not one line"
    return _digest(repr(sorted(found)).encode(), *(found[name] for name in sorted(found)))


def _pictures(found: tuple[Any, Any]) -> int:
    for pixels in found:
        if pixels is not None:
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3, "pixels that are no RGB"
            assert pixels.size > 0 and pixels.flags.c_contiguous, "no pixels, or scattered ones"
    return _digest(*(pixels for pixels in found if pixels is not None))


def _digest(*parts: Any) -> int:
    value = 0
    for part in parts:
        value = zlib.crc32(part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes(), value)
    return value


def _cut(verdict: Verdict, whole: Verdict, content: bytes, path: Path, kind: str) -> Verdict:
    """The beginning of a file that says how long it is should not be read as something else in silence."""
    silent = verdict.digest != whole.digest and not verdict.warnings - whole.warnings
    if not silent or whole.outcome not in ("read", "warned") or kind not in COUNTED:
        return verdict
    if content.isascii() and len(content[path.stat().st_size :].strip().splitlines()) <= 1:
        return verdict  # a text that breaks off in its last line: nobody can see that
    return Verdict("finding", f"the beginning of a {kind} is read as something else, without a warning")
