"""Random valid files, read by us and by trimesh, and compared triangle by triangle.

    python -m tests.fuzz.differential [--files 2000] [--seed 0] [--kinds ply obj ...]

The files are built here, without our writers. A disagreement counts as settled if `docs/formats/disagreements.toml` has
a rule for it: features of the file, and what the standard says. Any other is printed, its file is saved under
build/fuzz/differential/, and the run fails. A rule that no file needs any more fails too, in a run of
2,000 files or more.
"""

from __future__ import annotations

import argparse
import io
import logging
import random
import re
import shutil
import sys
import tempfile
import tomllib
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import KDTree

from fer3d import formats
from fer3d.errors import Fer3dError
from tests.fuzz.generate import GENERATORS, Made

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docs" / "formats" / "disagreements.toml"
SAVED = ROOT / "build" / "fuzz" / "differential"
NEAR = 1e-3  # positions and uv that are equal; vertices lie farther apart
ENOUGH = 2000  # files after which each rule should have been needed


class Read(NamedTuple):
    """What a reader gives.

    Attributes:
        problem: Why it does not read the file, or "".
        triangles: (F, 3, 3) positions.
        uv: (F, 3, 2), or None.
        colours: (F, 3, 3) in [0, 255], or None.
    """

    problem: str
    triangles: np.ndarray = np.empty((0, 3, 3))
    uv: np.ndarray | None = None
    colours: np.ndarray | None = None


def ours(path: Path) -> Read:
    """With fer3d."""
    try:
        scan = formats.read(path)
    except Fer3dError as error:
        return Read(f"refused: {str(error).removeprefix(str(path))}")
    at = scan.vertices - scan.placement[:3, 3]
    uv = None if scan.uv is None else scan.uv[scan.faces]
    colours = None if scan.colours is None else scan.colours[scan.faces]
    return Read("", at[scan.faces], uv, colours)


def theirs(path: Path) -> Read:
    """With trimesh, which neither merges nor moves anything here."""
    import trimesh

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = io.BytesIO(path.read_bytes())
            scene = trimesh.load_scene(content, file_type=path.suffix[1:], process=False)
            meshes = [mesh for mesh in scene.dump() if isinstance(mesh, trimesh.Trimesh)]
            parts = [_of_trimesh(mesh) for mesh in meshes if len(mesh.faces)]
    except Exception as error:  # it raises nearly everything
        return Read(f"{type(error).__name__}: {error}")
    if not parts:
        return Read("no triangles")
    uv = np.concatenate([p.uv for p in parts]) if all(p.uv is not None for p in parts) else None
    colours = np.concatenate([p.colours for p in parts]) if all(p.colours is not None for p in parts) else None
    return Read("", np.concatenate([p.triangles for p in parts]), uv, colours)


def _of_trimesh(mesh: Any) -> Read:
    uv = getattr(mesh.visual, "uv", None)
    colours = None
    if mesh.visual.kind == "vertex":
        colours = np.asarray(mesh.visual.vertex_colors)[mesh.faces][..., :3].astype(float)
    elif "color" in getattr(mesh.visual, "vertex_attributes", {}):
        colours = np.asarray(mesh.visual.vertex_attributes["color"])[mesh.faces][..., :3].astype(float)
    return Read("", np.asarray(mesh.vertices)[mesh.faces], None if uv is None else np.asarray(uv)[mesh.faces], colours)


def differences(a: Read, b: Read) -> list[str]:
    """In what two readers differ, in words of `docs/formats/disagreements.toml`.

    Polygons may be cut in different ways, so that surfaces are compared by their borders.
    """
    if a.problem or b.problem:
        return [] if a.problem and b.problem else ["only ours reads it" if b.problem else "only the other reads it"]
    if a.triangles.shape != b.triangles.shape:
        return ["number of triangles"]
    corners = a.triangles.reshape(-1, 3), b.triangles.reshape(-1, 3)
    tree = KDTree(corners[0])
    distance, _ = tree.query(corners[1])
    back, _ = KDTree(corners[1]).query(corners[0])
    if max(distance.max(), back.max()) > NEAR:
        return ["positions"]
    places = [_first_at(tree, corner) for corner in corners]  # the same number at the same place
    found = [] if _border(places[0]) == _border(places[1]) else ["which corners a face joins"]
    for name in ("uv", "colours"):
        one, two = getattr(a, name), getattr(b, name)
        if (one is None) != (two is None):
            found.append(f"only ours has {name}" if two is None else f"only the other has {name}")
        elif one is not None and not _same(places, one, two, NEAR if name == "uv" else 1.01):
            found.append(name)
    return found


def _first_at(tree: KDTree, corners: np.ndarray) -> np.ndarray:
    """(3 F,): the first of the corners of the tree that lies where each corner lies."""
    near = tree.query_ball_point(corners, NEAR)
    return np.array([min(rows) for rows in near])


def _border(places: np.ndarray) -> Counter[tuple[int, int]]:
    """Edges of triangles, without pairs that run in opposite directions, as inside a polygon."""
    triangles = places.reshape(-1, 3)
    edges = Counter(zip(triangles.ravel().tolist(), np.roll(triangles, -1, axis=1).ravel().tolist(), strict=True))
    return Counter({(i, j): n - edges[j, i] for (i, j), n in edges.items() if n > edges[j, i]})


def _same(places: list[np.ndarray], one: np.ndarray, two: np.ndarray, off: float) -> bool:
    """Whether the corners at each place have the same values. NaN is not compared."""
    trees = []
    for where, values in zip(places, (one, two), strict=True):
        flat = values.reshape(len(where), -1)
        known = np.isfinite(flat).all(axis=1)
        trees.append(np.column_stack([1000.0 * where[known], flat[known]]))
    if not len(trees[0]):
        return True
    return bool(KDTree(trees[1]).query(trees[0], p=np.inf)[0].max() <= off)


def rules() -> list[dict[str, Any]]:
    """What has been settled."""
    return list(tomllib.loads(RULES.read_text(encoding="utf-8"))["disagreement"])


def settled(made: Made, what: str, problem: str, known: list[dict[str, Any]]) -> str | None:
    """The name of the rule that settles a disagreement, or None."""
    for rule in known:
        if rule["kind"] != made.kind or what not in rule["what"]:
            continue
        if not set(rule.get("features", ())) <= made.features:
            continue
        if "words" in rule and not re.search(rule["words"], problem):
            continue
        return str(rule["name"])
    return None


class Outcome(NamedTuple):
    """What comparing gave.

    Attributes:
        agreed: Kind -> number of files that both read alike.
        needed: Name of a rule -> number of files that it settles.
        open: What is not settled: the files, and what is different.
    """

    agreed: Counter[str]
    needed: Counter[str]
    open: list[tuple[Made, str]]


def compare(files: int, seed: int, kinds: list[str] | None, folder: Path) -> Outcome:
    """Generate files and compare the readers."""
    logging.getLogger("trimesh").setLevel(logging.CRITICAL)
    known, outcome = rules(), Outcome(Counter(), Counter(), [])
    names = sorted(kinds or GENERATORS)
    for number in range(files):
        rng = random.Random(f"{seed} {number}")
        kind = names[number % len(names)]
        made = GENERATORS[kind](rng)
        path = folder / f"a.{made.kind}"
        path.write_bytes(made.content)
        a, b = ours(path), theirs(path)
        problem = a.problem or b.problem
        found = differences(a, b)
        if lost := made.wrong(a.triangles, a.problem):
            outcome.open.append((made, lost))
            continue
        settling = {what: settled(made, what, problem, known) for what in found}
        outcome.needed.update(name for name in settling.values() if name is not None)
        outcome.open.extend((made, f"{what}: {problem}") for what, name in settling.items() if name is None)
        outcome.agreed[kind] += not found
    return outcome


def main() -> int:
    """Parse the command line, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", choices=sorted(GENERATORS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = compare(arguments.files, arguments.seed, arguments.kinds, Path(folder))
    print("| format | both read alike |\n|---|---|")
    print("\n".join(f"| {kind} | {count:,} |" for kind, count in sorted(outcome.agreed.items())))
    print("\n| settled by | files |\n|---|---|")
    print("\n".join(f"| {name} | {count:,} |" for name, count in sorted(outcome.needed.items())))
    return report(outcome, arguments.files if not arguments.kinds else 0)


def report(outcome: Outcome, files: int) -> int:
    """Print and save what is not settled; the exit status."""
    shutil.rmtree(SAVED, ignore_errors=True)
    kinds: dict[tuple[str, str, tuple[str, ...]], int] = {}
    for made, what in outcome.open:
        key = (made.kind, what[:100], tuple(sorted(made.features)))
        kinds[key] = kinds.get(key, 0) + 1
        if kinds[key] == 1 and len(kinds) <= 50:
            SAVED.mkdir(parents=True, exist_ok=True)
            (SAVED / f"{len(kinds):02d}.{made.kind}").write_bytes(made.content)
    for row, ((kind, what, features), count) in enumerate(kinds.items(), 1):
        print(f"not settled ({row:02d}.{kind}, {count} files): {what}; {', '.join(features)}")
    unused = [rule["name"] for rule in rules() if rule["name"] not in outcome.needed] if files >= ENOUGH else []
    for name in unused:
        print(f"no file needs the rule {name!r} any more")
    return 1 if kinds or unused else 0


if __name__ == "__main__":
    sys.exit(main())
