"""fer3d: from raw 3D and 4D face scans to expression labels.

Nothing heavy is imported here, so that `fer3d --help` answers at once. Start with `fer3d.formats.read`,
`fer3d.maps`, `fer3d.preprocess`.
"""

from importlib.metadata import version

__version__ = version("fer3d")
