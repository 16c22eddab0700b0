"""The package reads as its data flow: imports point down the listing of rooms, and no two rooms import each other.

Imports inside functions and under TYPE_CHECKING count as well: what a reader must know to understand a room is the
same, whenever Python runs the line.
"""

import ast
import importlib
import re
from collections import defaultdict
from pathlib import Path

import pytest

import fer3d

ROOT = Path(fer3d.__file__).parent
CSRC = ROOT.parent / "csrc"

# From the floor up: a room imports only rooms listed above it here. Files at the root stand on floors of their own.
ROOMS = (
    "errors", "checks", "files", "workers", "landmarks", "scan",
    "kernels", "ops", "maps", "config", "formats", "face", "tree", "catalog", "image", "prepare", "synth", "data",
    "models", "train", "evaluate", "predict", "report", "cli", "__main__",
)  # fmt: skip
MOST_ROOT_FILES = 10
# What reads numbers and draws them, and what works them out: `report` imports none of the second.
COMPUTING = ("numpy.linalg", "scipy", "sklearn", "torch", "fer3d.kernels", "fer3d.ops", "fer3d.models", "fer3d.data")


def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module of the package."""
    names = {}
    for path in ROOT.rglob("*.py"):
        dotted = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        names[dotted.removesuffix(".__init__")] = path
    return names


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of the package, and top-level names of other packages, that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & known.keys()) or {str(node.module)}
    return found


def room(module: str) -> str:
    """The room, or the file at the root, that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "fer3d"


def arrows() -> dict[tuple[str, str], list[str]]:
    """(room, imported room) -> the imports, as text."""
    known = modules()
    found = defaultdict(list)
    for module, path in known.items():
        for imported in imports(path, known):
            target = room(imported) if imported.split(".")[0] == "fer3d" else None
            if target not in (None, "fer3d", "_native", room(module)) and module != "fer3d":
                found[room(module), target].append(f"{module} imports {imported}")
    return found


def floors(pairs: set[tuple[str, str]]) -> dict[str, int]:
    """Floor of every room: 0 if it imports none, else one above the highest that it imports."""
    below = defaultdict(set)
    for user, used in pairs:
        below[user].add(used)
    found: dict[str, int] = {}
    for name in ROOMS:
        found[name] = 1 + max((found[other] for other in below[name] if other in found), default=-1)
    return found


def test_every_room_is_listed_and_imports_only_rooms_listed_above_it():
    order = {name: place for place, name in enumerate(ROOMS)}
    assert {room(module) for module in modules()} - {"fer3d"} == set(ROOMS)
    up = [text for (user, used), texts in arrows().items() if order[used] > order[user] for text in texts]
    assert not up, "\n".join(up)


def test_no_two_rooms_import_each_other_even_by_a_detour():
    pairs = set(arrows())
    reached = {name: {used for user, used in pairs if user == name} for name in ROOMS}
    for _ in ROOMS:
        reached = {name: seen.union(*(reached[other] for other in seen)) for name, seen in reached.items()}
    assert not [name for name, seen in reached.items() if name in seen]


def test_inside_a_room_no_two_modules_import_each_other_as_they_load(capsys):
    known = modules()
    graph = {
        module: {name for name in at_import(path, known) if name in known and name != module}
        for module, path in known.items()
        if path.name != "__init__.py"
    }
    while free := {module for module, used in graph.items() if not used & graph.keys()}:
        graph = {module: used for module, used in graph.items() if module not in free}
    assert not graph
    pairs = arrows()
    with capsys.disabled():
        print(  # noqa: T201  (CONTRIBUTING.md says that it is)
            f"\n{len(list(ROOT.glob('*.py')))} modules at the root and {len(folders())} rooms, "
            f"{1 + max(floors(set(pairs)).values())} floors, {len(pairs)} arrows between them "
            f"({sum(map(len, pairs.values()))} imports)"
        )


def at_import(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules that are imported while a file loads: not those in functions or under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & known.keys()) or {str(node.module)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            waiting += node.body + node.orelse
    return found


def folders() -> list[Path]:
    return [path for path in ROOT.iterdir() if (path / "__init__.py").is_file()]


def test_ten_files_at_the_root():
    names = sorted(path.name for path in ROOT.glob("*.py"))
    assert len(names) <= MOST_ROOT_FILES, f"an eleventh file belongs into a room: {', '.join(names)}"


def test_kernels_know_nothing_of_the_package():
    known = modules()
    for module, path in known.items():
        if room(module) == "kernels":
            strange = {name for name in imports(path, known) if name.startswith("fer3d") and room(name) != "kernels"}
            assert not strange, f"{module}: {strange}"


@pytest.mark.skipif(not CSRC.is_dir(), reason="the sources of the native module are not here")
def test_native_code_knows_neither_torch_nor_python_outside_its_bindings():
    for path in sorted(CSRC.rglob("*.*")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"#include\s*[<\"](torch|ATen|c10)/", text), path
        if not path.stem.endswith("_bind") and path.name not in ("module.cpp", "array.h"):
            assert not re.search(r"#include\s*[<\"](pybind11|Python\.h)", text), path


def test_report_computes_nothing():
    known = modules()
    for module, path in known.items():
        if room(module) == "report":
            computing = [name for name in imports(path, known) if name.startswith(COMPUTING)]
            assert not computing, f"{module}: {computing}"


def lazy_rooms() -> list[str]:
    return [f"fer3d.{path.name}" for path in folders() if "lazy_names" in (path / "__init__.py").read_text("utf-8")]


@pytest.mark.parametrize("name", lazy_rooms())
def test_the_public_names_of_a_room_are_there_and_hide_no_module(name):
    """A function of the name of a module would be replaced by the module as soon as somebody imports that."""
    package = importlib.import_module(name)
    files = {path.stem for path in (ROOT / name.removeprefix("fer3d.")).iterdir()}
    for public in package.__all__:
        assert getattr(package, public, None) is not None, public
        assert public not in files, public
    with pytest.raises(AttributeError, match="has no attribute 'nothing_of_this_name'"):
        _ = package.nothing_of_this_name
