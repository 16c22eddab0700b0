"""Is a class missing from the test, or from the predictions?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fer3d.evaluate.audit.findings import FOUND, NOT_FOUND, Finding, count, shown
from fer3d.evaluate.audit.predictions import Tested

CHECK = "classes"
# Scans of a class that is never predicted. A network that predicts it half as often as it should misses them all with
# a chance of exp(-n / 2), which is 1 in 1,000 here.
_FEWEST = 14


def check_classes(tested: Tested, claimed: Sequence[str] = ()) -> Finding:
    """Look for classes that no test scan has, or that are never predicted.

    Args:
        tested: The predictions.
        claimed: The classes that the number is said to be of; () for those of the table.
    """
    size = len(tested.classes)
    true, said = (np.bincount(rows, minlength=size) for rows in (tested.truth, tested.predicted))
    untested = [tested.classes[k] for k in np.flatnonzero(true == 0)]
    unsaid = [tested.classes[k] for k in np.flatnonzero((said == 0) & (true >= _FEWEST))]
    faults = []
    if untested:
        faults.append(f"{count(len(untested), 'class')} of {size} {_be(untested)} tested in no scan")
    if unsaid:
        faults.append(f"{count(len(unsaid), 'class')} of {size} {_be(unsaid)} never predicted, though tested")
    strange = [name for name in tested.classes if claimed and name not in claimed and true[tested.classes.index(name)]]
    if strange:
        faults.append(f"{count(len(strange), 'class')} {_be(strange)} tested that the number is not claimed for")
    if not faults:
        return Finding(CHECK, NOT_FOUND, f"All {size} classes are tested and predicted.{_rare(tested)}")
    detail = f"{'; '.join(faults)}. The number is one of {size - len(untested)} classes."
    return Finding(CHECK, FOUND, detail, examples=shown([*untested, *unsaid, *strange]))


def _be(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _rare(tested: Tested) -> str:
    """A remark on folds that lack a class, which makes their mean recall and F1 undefined."""
    lacking = sum(
        len(set(tested.truth[tested.group == place].tolist())) < len(set(tested.truth.tolist()))
        for place in range(len(tested.folds))
    )
    if not lacking:
        return ""
    return f" {count(lacking, 'fold')} lack a class: a mean over folds of recall or F1 is undefined."
