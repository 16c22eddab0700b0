"""The page of `fer3d landmarks`: each scan's face from the front with its points, the doubtful first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fer3d import __version__
from fer3d.files import write_text
from fer3d.report import figures
from fer3d.report.html import data_uri, environment_of_pages


@dataclass(frozen=True)
class FaceTile:
    """A scan on the page.

    Attributes:
        name: Path of the scan.
        reason: Why it failed, or "".
        picture: The face with its points, or all of a scan without a face, as a WebP file; or None.
        probability: Probability that this is the face.
        unit: The unit in words.
        axes: The axes in words.
        points, hidden: Number of points that were placed, and of those that the scan does not show.
        warnings: The doubts, or "".
    """

    name: str
    reason: str = ""
    picture: bytes | None = None
    probability: float = 0.0
    unit: str = ""
    axes: str = ""
    points: int = 0
    hidden: int = 0
    warnings: str = ""


def write_landmark_page(
    path: Path, tiles: Sequence[FaceTile], scans: int, failed: int, doubtful: int, colours: Sequence[tuple[int, ...]]
) -> None:
    """Write one self-contained page.

    Args:
        path: The file.
        tiles: The scans to show, in this order.
        scans, failed, doubtful: Number of all scans, of those that failed, and of those with a warning.
        colours: Colours of a confidence of 0, 0.5 and 1, each red, green, blue.

    Raises:
        FileError: if it cannot be written.
    """
    environment = environment_of_pages()
    environment.filters |= {"percent": figures.percent, "uri": data_uri}
    template = environment.get_template("landmarks.html.j2")
    write_text(
        path,
        template.render(
            tiles=tiles, scans=scans, failed=failed, doubtful=doubtful, colours=colours, version=__version__
        ),
    )
