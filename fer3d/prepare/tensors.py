"""Safetensors files: the arrays of an open file by name, with errors of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fer3d.errors import FileError, FormatError
from fer3d.prepare.integrity import AGAIN

# Names of dtypes in a safetensors file -> NumPy's.
_DTYPES = {"F16": np.float16, "F32": np.float32, "U8": np.uint8, "I32": np.int32}


class Tensors:
    """The arrays of an open safetensors file, memory-mapped, by name. The map is closed with the last reference.

    Args:
        path: File to open.
        framework: Library of the arrays, "np" or "pt".

    Raises:
        FileError: if the file is missing or cannot be read.
        FormatError: if it is not a complete safetensors file.
    """

    def __init__(self, path: Path, framework: str = "np") -> None:
        from safetensors import SafetensorError, safe_open

        self.path = path
        try:
            if path.exists() and not path.is_file():
                raise FileError(f"{path}: a file was wanted, it is a folder or a device")
            self._handle: Any = safe_open(path, framework=framework)
        except FileNotFoundError:
            raise FileError(f"{path}: is missing") from None
        except FileError:
            raise
        except OSError as error:
            raise FileError(f"{path}: cannot be read ({error.strerror or error})") from None
        except (SafetensorError, ValueError, MemoryError) as error:
            raise FormatError(f"{path}: is not a whole safetensors file ({error})") from None

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the arrays."""
        return frozenset(self._handle.keys())

    def keys(self) -> list[str]:
        """The names of the arrays, sorted."""
        return sorted(self.names)

    def metadata(self) -> dict[str, str]:
        """The texts in the header of the file."""
        return dict(self._handle.metadata() or {})

    def get_tensor(self, name: str) -> Any:
        """Read one array. FormatError if there is none of this name, or none that the library can hold."""
        if name not in self.names:
            raise FormatError(f"{self.path}: lacks the array `{name}`; {AGAIN}")
        try:
            return self._handle.get_tensor(name)
        except Exception as error:  # a dtype that NumPy lacks, a shape without memory for it
            raise FormatError(f"{self.path}: has no readable array `{name}` ({error}); {AGAIN}") from None

    def layout(self, prefix: str, names: tuple[str, ...]) -> dict[str, tuple[Any, tuple[int, ...]]]:
        """Name without prefix -> dtype and shape, without reading it, of each of the arrays `names` that is there."""
        found = {}
        for name in names:
            if prefix + name in self.names:
                part = self._handle.get_slice(prefix + name)
                found[name] = (_DTYPES.get(part.get_dtype(), part.get_dtype()), tuple(part.get_shape()))
        return found


@contextmanager
def open_tensors(path: Path, framework: str = "np") -> Iterator[Tensors]:
    """Open a safetensors file, see `Tensors`."""
    yield Tensors(path, framework)
