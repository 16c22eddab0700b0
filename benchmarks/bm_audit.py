"""`fer3d audit` on simulated studies: alarms in honest ones, and how often a planted fault is found.

    python -m benchmarks.bm_audit [--honest 1000] [--planted 50] [--seed 0]

Run from the root of the repository. Honest studies are drawn at random: 2 to 6 classes, 8 to 80 people, networks at
chance to nearly perfect, folds of equal or unequal size, rows in the order of people, of classes, or in none. Each is
audited with its log, its number and its interval, and half with a folds.json. The planted faults are those of
`tests/evaluate`, each with other seeds. One run prints two markdown tables.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from fer3d.evaluate.audit.findings import CANNOT_TELL, CHECKS
from fer3d.evaluate.audit.run import audit
from tests.evaluate.audit_cases import CLASSES, batch_normalised, by_subject, study, write_folds, write_log
from tests.evaluate.audit_cases import write_predictions as write
from tests.evaluate.test_audit import PLANTED

CURVES = (("val_acc", "test_acc"), ("val_acc",), ("test_acc",))


def random_study(rng):
    """An honest study of random design."""
    people, seed = int(rng.integers(8, 81)), int(rng.integers(2**31))
    if rng.random() < 0.15:
        size, folds = int(rng.choice([16, 32, 64])), int(rng.integers(2, 6))
        return batch_normalised(seed, training_mode=False, people=people, folds=folds, batch=size)
    return study(
        seed,
        people=people,
        scans=int(rng.integers(1, 6)),
        folds=int(rng.integers(2, min(11, people))),
        skill=float(rng.choice([0, 0.3, 1, 2, 3, 5])),
        classes=CLASSES[: int(rng.integers(2, 7))],
        person=float(rng.choice([0, 0.5, 1.5])),
        unequal=bool(rng.integers(2)),
        order=str(rng.choice(["subject", "class", "random"])),
    )


def audit_honest(folder, rng):
    """The audit of an honest study."""
    made = random_study(rng)
    number, ends = by_subject(made)
    chosen, curves = str(rng.choice(["last", "validation"])), CURVES[rng.integers(3)]
    hidden = tuple(f"p_{name}" for name in made.classes) if rng.integers(2) else ()
    return audit(
        write(folder / "p.csv", made, without=hidden),
        folds=write_folds(folder / "folds.json", made) if rng.integers(2) else None,
        log=write_log(folder / "log.csv", made, chosen, int(rng.integers(2**31)), columns=curves),
        reported=number,
        interval=ends,
    )


def honest(folder, number, seed):
    """Check -> alarms and open verdicts, and the mean seconds of an audit."""
    rng, alarms, opened, began = np.random.default_rng(seed), Counter(), Counter(), time.perf_counter()
    for _ in range(number):
        result = audit_honest(folder, rng)
        alarms.update(finding.check for finding in result.found)
        opened.update(finding.check for finding in result.findings if finding.verdict == CANNOT_TELL)
    return alarms, opened, (time.perf_counter() - began) / max(number, 1)


def planted(folder, number, seed):
    """Check -> tries, hits, and tries in which a check found what was not planted."""
    rows = {}
    for check, (plant, expected) in PLANTED.items():
        tries = hits = others = 0
        for offset in range(number):
            try:
                result = plant(folder, 1000 + 100 * seed + offset)
            except AssertionError:  # with this seed the fault does not change the number
                continue
            found = {finding.check for finding in result.found}
            tries, hits, others = tries + 1, hits + (check in found), others + bool(found - expected)
        rows[check] = tries, hits, others
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--honest", type=int, default=1000)
    parser.add_argument("--planted", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        alarms, opened, seconds = honest(Path(folder), arguments.honest, arguments.seed)
        rows = planted(Path(folder), arguments.planted, arguments.seed)
    print(f"{arguments.honest} honest studies, seed {arguments.seed}, {seconds:.2f} s each with making them\n")
    print("| check | false alarms | cannot be told |\n| --- | --- | --- |")
    for check in CHECKS:
        print(f"| `{check}` | {alarms[check]} | {opened[check]} |")
    print("\nPlanted faults\n\n| check | studies | found | another check raised an alarm |\n| --- | --- | --- | --- |")
    for check, (tries, hits, others) in rows.items():
        print(f"| `{check}` | {tries} | {hits} | {others} |")


if __name__ == "__main__":
    main()
