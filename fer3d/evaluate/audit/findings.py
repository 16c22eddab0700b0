"""What a check says: found, not found, or cannot be told, with the numbers behind it and what would be needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FOUND, NOT_FOUND, CANNOT_TELL = "found", "not found", "cannot be told"

# Name of each check -> its title, in the order of reports.
CHECKS = {
    "subjects": "People in training and test",
    "duplicates": "Duplicates across parts",
    "sequences": "Frames of one sequence in training and test",
    "epoch": "Best epoch chosen on the test set",
    "batches": "Test batches of one class, with batch statistics",
    "label-order": "Label order swapped",
    "classes": "Class missing",
    "average": "Folds of unequal size averaged wrongly",
    "number": "The number does not follow from the predictions",
    "interval": "Interval by scan instead of by subject",
}
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: A name in `CHECKS`.
        verdict: `FOUND`, `NOT_FOUND` or `CANNOT_TELL`.
        detail: What was seen, in sentences with the numbers.
        needs: For `CANNOT_TELL`: what the check needs.
        examples: At most five names, such as of the people who are in both parts.
        corrected: The accuracy without the fault, as far as these predictions tell; None if they do not.
    """

    check: str
    verdict: str
    detail: str
    needs: str = ""
    examples: tuple[str, ...] = ()
    corrected: float | None = None

    @property
    def title(self) -> str:
        """Title of the check."""
        return CHECKS[self.check]


def cannot_tell(check: str, needs: str, detail: str = "") -> Finding:
    """A check that lacks something."""
    return Finding(check, CANNOT_TELL, detail, needs)


def shown(names: Iterable[str]) -> tuple[str, ...]:
    """The first few of some names, sorted."""
    return tuple(sorted(set(names))[:_SHOWN])


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "scan"), count(1200, "scan"), count(2, "person")
    ('1 scan', '1,200 scans', '2 people')
    """
    several = {"person": "people", "class": "classes"}.get(noun, f"{noun}s")
    return f"{number:,} {noun if number == 1 else several}"


def percent(share: float) -> str:
    """A share in per cent.

    >>> percent(0.8349)
    '83.5 %'
    """
    return f"{100 * share:.1f} %"
