"""Formats from outside the package: registered, or entry points of an installed package."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fer3d import formats
from fer3d.catalog import detect, read_records
from fer3d.catalog.inspection import inspect
from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.formats import suffixes
from fer3d.formats.find import find_scans
from fer3d.scan import Scan
from fer3d.workers import worker_pool

TETRAHEDRON = Scan.of(np.eye(4)[:, :3], [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def read_points(path):
    """A format: rows of a tetrahedron's vertices."""
    return Scan.of(np.loadtxt(path), TETRAHEDRON.faces)


def write_points(scan, path):
    np.savetxt(path, scan.vertices)


def read_textured(path):
    scan = read_points(path).step("read", {"texture": "skin.png", "faces": -1}).step("more")
    return scan.step("uv", uv=np.zeros((4, 2), np.float32), texture=np.zeros((2, 2, 3), np.uint8))


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Each test begins without formats from outside, and leaves none."""
    monkeypatch.setattr(suffixes, "_outside", {})
    monkeypatch.setattr("fer3d.workers._first", {})


@pytest.fixture
def scans(tmp_path):
    for name in ("anna/happy/1.tet", "bert/sad/1.TET"):
        path = tmp_path / "scans" / name
        path.parent.mkdir(parents=True)
        write_points(TETRAHEDRON, path)
    return tmp_path / "scans"


def test_a_registered_format_is_read_written_and_found(scans, tmp_path):
    file = scans / "anna/happy/1.tet"
    with pytest.raises(ArgumentError, match="`path` should end in one of .wrl, .*, is .*1.tet"):
        formats.read(file)
    formats.register(".tet", read_points, write_points)
    scan = formats.read(str(file))
    assert scan.vertices.tolist() == TETRAHEDRON.vertices.tolist()
    assert scan.history[0] == {
        "step": "read",
        "file": "1.tet",
        "format": "tet",
        "reader": "tests.formats.test_outside.read_points",
        "vertices": 4,
        "faces": 4,
    }
    formats.write(scan, tmp_path / "copy.tet")
    assert np.loadtxt(tmp_path / "copy.tet").shape == (4, 3)
    assert formats.is_scan("x/Y.Tet")
    assert formats.scan_suffixes()[-1] == ".tet"
    assert [path.name for path in find_scans([scans])] == ["1.tet", "1.TET"]


def test_names_patterns_and_folders_are_found_once(tmp_path):
    for name in ("a/1.obj", "a/b/2.ply", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    names = [path.relative_to(tmp_path).as_posix() for path in find_scans([
        tmp_path / "a/notes.txt", f"{tmp_path}/a/**/*.ply", tmp_path / "a", tmp_path / "none.obj", f"{tmp_path}/*.wrl"
    ])]  # fmt: skip
    assert names == ["a/notes.txt", "a/b/2.ply", "a/1.obj", "none.obj", "*.wrl"]


def test_cards_and_inspection_know_it(scans):
    formats.register(".tet", read_points)
    detection = detect(scans)
    assert (detection.card.name, detection.matched) == ("generic", 2)
    labels = [(record.subject, record.expression, record.id) for record in read_records(scans, detection.card)]
    assert labels == [("anna", "happiness", "anna--happy--1"), ("bert", "sadness", "bert--sad--1")]
    (scans / "bert/sad/1.TET").write_text("no numbers")
    result = inspect(scans, read=True, workers=1)
    assert [bad.relative for bad in result.unreadable] == ["bert/sad/1.TET"]
    assert "read_points failed: ValueError: could not convert" in result.unreadable[0].reason


def length_in_worker(path):
    return len(formats.read(path).faces)


def test_worker_processes_know_it_too(scans):
    formats.register(".tet", read_points)
    with worker_pool(1) as pool:
        assert pool.submit(length_in_worker, scans / "anna/happy/1.tet").result() == 4


def test_a_reader_that_workers_cannot_import_is_said_there_and_used_here(scans):
    formats.register(".tet", lambda path: read_points(path))
    file = scans / "anna/happy/1.tet"
    assert length_in_worker(file) == 4
    message = "a worker process cannot import it .* define it in a module"
    with worker_pool(1) as pool, pytest.raises(FormatError, match=message):
        pool.submit(length_in_worker, file).result()


def test_own_formats_are_not_taken_by_mistake(tmp_path):
    for suffix, message in {
        ".ply": "`suffix` .ply is read by fer3d; tests.formats.test_outside.read_points takes its place with replace",
        ".png": "`suffix` .png is that of pictures or landmarks, not of scans",
        ".bnd": "`suffix` .bnd is that of pictures or landmarks",
        ".new.ply": "`suffix` .new.ply ends in .ply, which is a format of its own",
        "tet": "`suffix` should be such as '.xyzf', in lower case, is 'tet'",
        ".TET": "in lower case, is '.TET'",
    }.items():
        with pytest.raises(ArgumentError, match=message):
            formats.register(suffix, read_points)
    with pytest.raises(ArgumentError, match="`read` should be a function, is 3"):
        formats.register(".tet", 3)
    with pytest.raises(ArgumentError, match="`write` should be a function, is 'x'"):
        formats.register(".tet", read_points, "x")
    formats.write(TETRAHEDRON, tmp_path / "a.ply")
    formats.register(".ply", lambda path: TETRAHEDRON, replace=True)
    assert "reader" in formats.read(tmp_path / "a.ply").history[0]
    formats.register(".tet", read_points)
    with pytest.raises(ArgumentError, match="`suffix` .tet is read by tests.formats.test_outside.read_points; "):
        formats.register(".tet", read_points)
    formats.register(".tet", read_textured, replace=True)


def test_texture_and_history_of_the_reader_are_kept(scans):
    formats.register(".tet", read_textured)
    scan = formats.read(scans / "anna/happy/1.tet")
    assert scan.texture.shape == (2, 2, 3)
    assert (scan.history[0]["texture"], scan.history[0]["faces"]) == ("skin.png", 4)
    assert [step["step"] for step in scan.history] == ["read", "more", "uv"]
    assert formats.read(scans / "anna/happy/1.tet", texture=False).texture is None


def raises(error):
    def read(path):
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "kind", "message"),
    [
        (lambda path: {"v": 1}, FormatError, "<lambda> should return a fer3d.scan.Scan, returned dict"),
        (lambda path: None, FormatError, "should return a fer3d.scan.Scan, returned NoneType"),
        (
            lambda path: Scan.of(np.zeros((3, 3)), np.empty((0, 3))),
            FormatError,
            "at least one face was wanted, .* gave 3 vertices",
        ),
        (lambda path: Scan.of(np.zeros((3, 3)), [[0, 1, 7]]), FormatError, "failed: `faces` should hold rows in"),
        (raises(KeyError("a\nb")), FormatError, r"failed: KeyError: 'a\\nb'"),
        (raises(ZeroDivisionError("one\ntwo")), FormatError, "failed: ZeroDivisionError: one two"),
        (raises(PermissionError(13, "Permission denied")), FileError, "failed: Permission denied"),
        (raises(FormatError("x: broken")), FormatError, "failed: x: broken"),
        (raises(SyntaxError()), FormatError, "failed: SyntaxError"),
    ],
)
def test_a_reader_that_breaks_the_contract_is_one_line_about_the_file(scans, read, kind, message):
    formats.register(".tet", read)
    file = scans / "anna/happy/1.tet"
    with pytest.raises(kind, match=message) as error:
        formats.read(file)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


def test_files_that_are_not_there_and_formats_that_cannot_be_written(tmp_path):
    formats.register(".tet", read_points)
    with pytest.raises(FileError, match="no.tet: is missing"):
        formats.read(tmp_path / "no.tet")
    (tmp_path / "folder.tet").mkdir()
    with pytest.raises(FileError, match="folder.tet: is no file"):
        formats.read(tmp_path / "folder.tet")
    with pytest.raises(ArgumentError, match="`path` ends in .tet, which .*read_points reads and cannot write: .*x.tet"):
        formats.write(TETRAHEDRON, tmp_path / "x.tet")


def installed(folder: Path, name: str, entries: str, **modules: str) -> Path:
    """A package as `pip install --target folder` leaves it."""
    facts = folder / f"{name}-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[fer3d.formats]\n{entries}\n")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
    return folder


def run(folder, *command, plugins):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, plugins))}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


READ = """
import numpy as np
from fer3d.scan import Scan


def read(path):
    return Scan.of(np.loadtxt(path), [[0, 1, 2]])
"""


def test_an_entry_point_is_known_without_its_code_being_imported(scans, tmp_path):
    plugins = installed(tmp_path / "plugins", "lab", ".tet = lab_points", lab_points=f"print('imported')\n{READ}")
    code = (
        "import sys; from fer3d import formats; print(formats.is_scan('a.tet'), formats.scan_suffixes()[-1]);"
        "assert 'lab_points' not in sys.modules; assert 'importlib.metadata' in sys.modules;"
        "print(formats.read('anna/happy/1.tet').history[0]['reader'])"
    )
    done = run(scans, "-c", code, plugins=[plugins])
    assert done.stdout.split("\n")[:3] == ["True .tet", "imported", "lab_points of lab"], done.stderr


# Suffix, its entry, the module it names, and what is said of a file of it.
WRONG = [
    (".aa", "nowhere", None, "nowhere of lab cannot be loaded: ModuleNotFoundError: No module named 'nowhere'"),
    (".bb", "lab_b", "x = 1", "lab_b of lab cannot be loaded: TypeError: wanted a function, or a module or an object"),
    (
        ".cc",
        "lab_c:get",
        "def get(path):\n    return 7",
        "lab_c:get of lab should return a fer3d.scan.Scan, returned",
    ),
    (".dd", "lab_d", "1 / 0", "lab_d of lab cannot be loaded: ZeroDivisionError: division by zero"),
]


def test_a_package_that_is_wrong_costs_its_files_and_is_named(scans, tmp_path):
    entries = "\n".join(f"{suffix} = {entry}" for suffix, entry, _, _ in WRONG)
    modules = {entry.partition(":")[0]: text for _, entry, text, _ in WRONG if text is not None}
    plugins = installed(tmp_path / "plugins", "lab", entries, **modules)
    for suffix, *_ in WRONG:
        write_points(TETRAHEDRON, scans / f"anna/happy/1{suffix}")
    done = run(scans, "-c", SAY, plugins=[plugins])
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [f"anna/happy/1{suffix}:" for suffix, *_ in WRONG], done.stderr
    assert all(message in line for line, (*_, message) in zip(lines, WRONG, strict=True))


SAY = """
from fer3d import formats
from fer3d.errors import FormatError
from fer3d.formats.find import find_scans

for path in find_scans(["anna"]):
    try:
        formats.read(path)
    except FormatError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            ".ply = lab",
            "",
            "fer3d: `suffix` .ply is read by fer3d; lab of first takes its place with replace=True only",
        ),
        (
            ".tet = a",
            ".tet = b",
            "fer3d: `suffix` .tet is read by a of first; b of second takes its place with replace",
        ),
    ],
)
def test_packages_that_claim_a_suffix_that_has_a_reader_are_named(scans, tmp_path, first, second, message):
    plugins = [installed(tmp_path / "1", "first", first), installed(tmp_path / "2", "second", second)]
    done = run(scans, "-m", "fer3d", "inspect", ".", plugins=plugins)
    assert (done.returncode, done.stderr.startswith(message)) == (1, True), done.stderr
    assert len(done.stderr.splitlines()) == 1
