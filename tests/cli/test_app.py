"""The commands as a user types them."""

import re
import subprocess
import sys

import pytest
from PIL import Image

from fer3d import synth
from fer3d.prepare.store import read_manifest
from fer3d.synth.truth import read_recipe

COMMANDS = (
    "preprocess",
    "settings",
    "inspect",
    "synth",
    "pack",
    "maps",
    "train",
    "ablate",
    "evaluate",
    "compare",
    "audit",
    "predict",
    "faces",
    "report",
)


def fer3d(*arguments, cwd=None):
    """Run a command in a process of its own; its output without line breaks that only the width of the screen made."""
    done = subprocess.run(
        [sys.executable, "-c", "from fer3d.cli.app import main; main()", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env=None,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "scans"
    synth.make(folder, subjects=1, seed=5, levels=(2,), pitch=3.0)
    return folder


def test_help_teaches_every_command():
    code, out, _ = fer3d("--help")
    assert code == 0
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", out)
        code, text, _ = fer3d(command, "--help")
        assert code == 0
        assert len(text) > 200


def test_the_help_names_every_model():
    from fer3d.models import MODELS

    _, text, _ = fer3d("train", "--help")
    for name in MODELS:
        assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), name


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['fer3d', '--help']\n"
        "from fer3d.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'numba', 'scipy', 'trimesh', 'pydantic', 'pyarrow'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[]"


def test_version_says_what_was_built():
    code, out, _ = fer3d("--version")
    assert code == 0
    assert re.match(r"fer3d \d+\.\d+\.\d+, native kernels: CPU", out)


def test_scans_become_prepared_data_and_shards(scans, tmp_path):
    code, out, err = fer3d("preprocess", scans, "-o", tmp_path / "prepared", "--size", 40, "--workers", 1)
    assert code == 0, err
    assert "BU-3DFE" in out
    assert "7 prepared, 0 kept from before, 0 failed" in out
    code, out, err = fer3d("pack", tmp_path / "prepared", "-o", tmp_path / "packed", "--per-shard", 4)
    assert code == 0, err
    assert "2 shards" in out
    assert len(read_manifest(tmp_path / "packed")) == 7


def test_some_failures_are_exit_code_3_and_all_are_1(scans, tmp_path):
    broken = tmp_path / "scans"
    broken.mkdir()
    for path in scans.rglob("*_F3D.*"):
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "F0001_AN02WH_F3D.wrl").write_bytes(b"")
    points = broken / "F0001_DI02WH_F3D.bnd"
    points.write_text("".join(points.read_text().splitlines(keepends=True)[1:]))
    (broken / "F0001_SU02WH_F3D.bnd").unlink()
    arguments = ("preprocess", broken, "-o", tmp_path / "out", "--size", 40, "--workers", 1)
    code, out, _ = fer3d(*arguments)
    assert code == 3
    assert re.search(r"failed F0001_AN02WH_F3D\.wrl: ", out)
    assert re.search(r"warning 1 of 6: F0001_DI02WH_F3D\.wrl: without their landmark files, because .*83", out)
    assert re.search(r"1 .*: no landmarks file, wanted F0001_SU02WH_F3D\.bnd: landmarks are found on the shape", out)
    code, _, err = fer3d(*arguments, "--strict")
    assert code == 1
    assert re.match(r"fer3d: F0001_AN02WH_F3D\.wrl: ", err)
    assert err.count("\n") == 1
    for path in broken.glob("*.wrl"):
        path.write_bytes(b"")
    code, _, _ = fer3d("preprocess", broken, "-o", tmp_path / "none", "--size", 40, "--workers", 1)
    assert code == 1


def test_inspect_counts_and_finds_what_cannot_be_read(scans, tmp_path):
    code, out, err = fer3d("inspect", scans, "--workers", 1)
    assert code == 0, err
    assert "BU-3DFE" in out
    broken = tmp_path / "scans"
    broken.mkdir()
    for path in scans.rglob("*_F3D.*"):
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "F0001_SU02WH_F3D.wrl").write_bytes(b"#VRML V2.0 utf8\n")
    code, out, _ = fer3d("inspect", broken, "--workers", 1)
    assert code == 3
    assert "cannot be read: 1 files" in out


def test_maps_shows_one_scan(scans, tmp_path):
    scan = next(scans.rglob("*_HA02WH_F3D.wrl"))
    code, out, err = fer3d("maps", scan, "-o", tmp_path / "maps.png", "--set", "size=64")
    assert code == 0, err
    assert out.startswith("read ")
    with Image.open(tmp_path / "maps.png") as picture:
        assert picture.width > 5 * 64


def test_settings_are_a_toml_file_that_preprocess_takes(tmp_path):
    from fer3d.config import PreprocessSettings, preprocess_settings

    code, out, _ = fer3d("settings")
    assert code == 0
    (tmp_path / "all.toml").write_text(out, encoding="utf-8")
    assert preprocess_settings(tmp_path / "all.toml") == PreprocessSettings()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("preprocess", "nowhere"), 1, "fer3d: nowhere"),
        (("preprocess", ".", "--set", "siz=3"), 1, "fer3d: settings: unknown key `siz`; did you mean `size`?"),
        (("preprocess", ".", "--siz", "3"), 2, "No such option"),
        (("preprocess", ".", "--dataset", "bu3df"), 1, "fer3d: "),
        (("maps", "nothing.wrl"), 1, "fer3d: nothing.wrl: "),
        (("maps", "thing.txt"), 1, "is thing.txt"),
        (("synth", "x", "--wrinkles", "9"), 1, "fer3d: `wrinkles` should lie in [0, 3], is 9.0"),
        (("pack", "nowhere"), 1, "fer3d: nowhere/manifest.parquet: is missing"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path, arguments, code, message):
    got, _, err = fer3d(*arguments, cwd=tmp_path)
    assert got == code
    assert message in err
    if code == 1:
        assert err.count("\n") == 1
        assert "Traceback" not in err


def test_synth_writes_what_it_is_asked_for(tmp_path):
    options = ("--subjects", 1, "--levels", "2,4", "--pitch", 5.0, "--workers", 1, "--meshes", "--wrinkles", 0)
    code, out, err = fer3d("synth", tmp_path / "scans", *options)
    assert code == 0, err
    assert "13 simulated scans of 1 people" in out
    assert read_recipe(tmp_path / "scans")[0]["wrinkles"] == 0
    assert len(list((tmp_path / "scans" / "correspondence").rglob("*.npy"))) == 13
    code, _, err = fer3d("synth", tmp_path / "other", "--levels", "one")
    assert code == 2
    assert "should be whole numbers with commas between" in err
