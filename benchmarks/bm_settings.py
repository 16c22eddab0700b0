"""What `fer3d train` does with every setting of every network: used, refused, or accepted and ignored; before and now.

    python benchmarks/bm_settings.py [--write]

Before: version 0.1.0 at commit 013bc11, by trial, in `results/settings_before.csv`: each network was trained for two
epochs on 18 small simulated scans, once as it is and once with one setting changed. Used: other bits of the weights or
the predictions. Refused: an error of ours. Ignored: the same bits. Settings of running (seed, deterministic, precision,
tensorboard, data_on) were not tried. "used with" names the setting beside which it had a use.

Now: `tests/setting_effects.py`, which trains nothing: an argument that the network reads, a batch that looks different
to it, or a place of training that reads it. `tests/train/test_settings.py` holds the same table.
"""

import argparse
import csv
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # the tests' helpers

from fer3d.models import model_names  # noqa: E402
from tests.setting_effects import Effects, Outcome, every_setting  # noqa: E402

KINDS = ("used", "refused", "ignored")
RENAMED = {
    "place_dropout": "location_dropout",
    "registered": "warp",
    "inputs": "vertex_features",
    "own_loss": "penalty_weight",
}
NETWORKS_RENAMED = {"dff-cnn": "oriented-fusion", "flm-cnn": "surface-grid"}


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="also write them to results/settings.md")
    write = parser.parse_args().write
    with (HERE / "results" / "settings_before.csv").open(encoding="utf-8") as file:
        before = [
            {**row, "network": NETWORKS_RENAMED.get(row["network"], row["network"])} for row in csv.DictReader(file)
        ]
    with tempfile.TemporaryDirectory() as folder:
        effects = Effects(Path(folder))
        now = {name: {key: effects.outcome(name, key) for key in every_setting()} for name in model_names()}
    text = "\n".join([*header(before, now), *by_network(before, now), "", *by_setting(before, now)])
    print(text)
    if write:
        (HERE / "results" / "settings.md").write_text(text + "\n", encoding="utf-8")


def header(before: list[dict[str, str]], now: dict[str, dict[str, Outcome]]) -> list[str]:
    """What the tables are of."""
    tried = len({row["setting"] for row in before})
    return [
        "# Settings that a network uses, refuses or ignores",
        "",
        f"Every network x every setting, one changed at a time. Before: {tried} settings, one table for all networks, "
        "0.1.0 at commit 013bc11, by trial (`settings_before.csv`). Now: "
        f"{len(every_setting())} settings, of training and of any network's own; each network x setting is a case of "
        "`tests/train/test_settings.py`. `python benchmarks/bm_settings.py --write` makes this page.",
        "",
    ]


def by_network(before: list[dict[str, str]], now: dict[str, dict[str, Outcome]]) -> list[str]:
    """Counts, a network a line."""
    lines = [
        "| network | used before | refused | ignored | used now | refused | ignored |",
        "|---|---|---|---|---|---|---|",
    ]
    total: Counter[tuple[str, str]] = Counter()
    for name, outcomes in now.items():
        old = Counter(row["what happens"] for row in before if row["network"] == name)
        new = Counter(outcome.kind for outcome in outcomes.values())
        total.update({("old", kind): old[kind] for kind in KINDS} | {("new", kind): new[kind] for kind in KINDS})
        numbers = [*(old[kind] if old else "new" for kind in KINDS), *(new[kind] for kind in KINDS)]
        lines.append(f"| {name} | " + " | ".join(map(str, numbers)) + " |")
    numbers = [total[when, kind] for when in ("old", "new") for kind in KINDS]
    lines.append("| **all** | " + " | ".join(map(str, numbers)) + " |")
    return lines


def by_setting(before: list[dict[str, str]], now: dict[str, dict[str, Outcome]]) -> list[str]:
    """What was ignored: a setting a line, and what happens to it now in the same networks."""
    ignored: dict[str, list[dict[str, str]]] = {}
    for row in before:
        if row["what happens"] == "ignored":
            ignored.setdefault(row["setting"], []).append(row)
    lines = ["| ignored before | by networks | had a use beside | now, in these networks |", "|---|---|---|---|"]
    for setting, rows in sorted(ignored.items(), key=lambda item: (-len(item[1]), item[0])):
        key = RENAMED.get(setting, setting)
        name = key if key in next(iter(now.values())) else f"model.{key}"
        kinds = Counter(now[row["network"]][name].kind for row in rows)
        beside = "; ".join(sorted({row["used with"] for row in rows if row["used with"]}))
        new = f" (`{name}`)" if name != setting else ""
        said = ", ".join(f"{kind} {kinds[kind]}" for kind in KINDS if kinds[kind])
        lines.append(f"| `{setting}` | {len(rows)} | {beside} | {said}{new} |")
    used = "`select` is used; `best` without validation subjects is refused before training begins."
    return [*lines, "", used]


if __name__ == "__main__":
    main()
