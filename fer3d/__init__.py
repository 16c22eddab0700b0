"""fer3d: from raw 3D and 4D face scans to expression labels.

Nothing heavy is imported here, so that `fer3d --help` answers at once. Start with `fer3d.formats.read`,
`fer3d.maps`, `fer3d.prepare`.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("fer3d")


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The module-level `__getattr__` of a package that imports a public name when it is first used.

    Args:
        package: Name of the package.
        homes: Public name -> module of the package that defines it.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return find
