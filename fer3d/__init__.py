"""fer3d: from raw 3D and 4D face scans to expression labels.

Start with `fer3d.formats.read`, `fer3d.maps` and `fer3d.prepare`. This module imports nothing that is slow to import,
so that `fer3d --help` is fast.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("fer3d")


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A module-level `__getattr__` that imports each public name of a package when it is first used.

    Args:
        package: Name of the package.
        homes: Public name -> the module in the package that defines it.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return find
