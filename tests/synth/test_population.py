"""`make`: the same bytes whatever the workers, subjects that do not depend on each other, truth, refusals."""

import hashlib
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer3d import formats, synth
from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.face.load import load_face
from fer3d.synth.optics.camera import Camera
from fer3d.synth.optics.scene import rotation
from fer3d.synth.truth import read_truth

SMALL = {"levels": (2,), "pitch": 4.0, "texture": 32}


def digest(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two") / "scans"
    made = synth.make(folder, subjects=2, seed=9, **SMALL)
    assert made == (folder, "bu3dfe", 2, 14)
    return folder


def test_one_and_two_workers_give_the_same_bytes(two, tmp_path):
    seen = []
    synth.make(tmp_path / "b", subjects=2, seed=9, workers=2, progress=lambda *now: seen.append(now), **SMALL)
    assert digest(tmp_path / "b") == digest(two)
    assert seen == [(k, 14) for k in range(1, 15)]


def test_a_subject_does_not_depend_on_those_after_it_nor_on_levels(two, tmp_path):
    synth.make(tmp_path / "one", subjects=1, seed=9, **(SMALL | {"levels": (2, 3)}))
    one, both = digest(tmp_path / "one"), digest(two)
    shared = [name for name in both if name.startswith("F0001")]
    assert len(shared) == 7 * 5
    assert all(one[name] == both[name] for name in shared)


def test_another_seed_gives_other_people(two, tmp_path):
    synth.make(tmp_path / "other", subjects=1, seed=10, **SMALL)
    a, b = (read_truth(folder).scans for folder in (two, tmp_path / "other"))
    tip = [np.array(next(iter(scans.values())).landmarks["pogonion"]) for scans in (a, b)]
    assert np.linalg.norm(tip[0] - tip[1]) > 0.5


def test_truth_is_in_the_frame_of_the_file(two):
    truth = read_truth(two)
    assert truth.recipe["seed"] == 9
    assert truth.recipe["subjects"] == 2
    for scan in truth.scans.values():
        mesh = formats.read(two / scan.file)
        for name in scan.measured:
            assert (
                np.linalg.norm(mesh.vertices - scan.landmarks[name], axis=1).min() < 6.0
            )  # 1.2 pitches, noise and seam
        assert np.allclose(scan.pose[:3, :3], rotation(scan.yaw, scan.pitch, scan.roll), atol=1e-5)
        assert np.array_equal(scan.nose_tip, scan.landmarks["pronasale"])
        assert max(abs(scan.yaw) / 0.09, abs(scan.pitch) / 0.07, abs(scan.roll) / 0.05) <= 1
    smile = next(scan for scan in truth.scans.values() if scan.expression == "happiness")
    assert smile.level == 2
    assert 0.2 < smile.action_units["AU12"] < 1


def test_heads_turn_as_far_as_asked(tmp_path):
    synth.make(tmp_path / "turned", subjects=1, yaw=0.7, nod=0.0, roll=0.4, **SMALL)
    scans = list(read_truth(tmp_path / "turned").scans.values())
    yaw, nod, roll = np.abs([(s.yaw, s.pitch, s.roll) for s in scans]).max(axis=0)
    assert 0.2 < yaw <= 0.7
    assert nod == 0
    assert 0.1 < roll <= 0.4


def test_a_stopped_run_is_begun_again(two, tmp_path):
    class StoppedError(Exception):
        pass

    def stop(done, total):
        if done == 5:
            raise StoppedError

    with pytest.raises(StoppedError):
        synth.make(tmp_path / "s", subjects=2, seed=9, progress=stop, **SMALL)
    assert not read_truth(tmp_path / "s").complete
    synth.make(tmp_path / "s", subjects=2, seed=9, **SMALL)
    assert digest(tmp_path / "s") == digest(two)


def test_folders_with_something_else_are_refused(two, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ArgumentError, match="`folder` should be empty or simulated before, .* holds other files"):
        synth.make(tmp_path, subjects=1, **SMALL)
    with pytest.raises(ArgumentError, match="`folder` should be a folder, .*mine.txt is a file"):
        synth.make(tmp_path / "mine.txt", subjects=1, **SMALL)
    copy = shutil.copytree(two, tmp_path / "copy")
    with pytest.raises(ArgumentError, match="same settings, .* differs in seed, subjects; choose another folder"):
        synth.make(copy, subjects=1, seed=8, **SMALL)
    (copy / "truth.parquet").write_text("[]")
    with pytest.raises(ArgumentError, match="not the truth file of a simulation"):
        synth.make(copy, subjects=2, seed=9, **SMALL)
    synth.make(copy, subjects=1, seed=8, overwrite=True, **SMALL)
    assert len(read_truth(copy).scans) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layout": "bu5dfe"}, "`layout` should be one of bu3dfe, bu4dfe, bosphorus, frgc, is 'bu5dfe'"),
        ({"subjects": 0}, "`subjects` and `workers` should be at least 1, are 0 and 1"),
        ({"workers": 0}, "`subjects` and `workers` should be at least 1, are 6 and 0"),
        ({"seed": -1}, "`seed` should be at least 0, is -1"),
        ({"levels": (0, 1)}, r"`levels` should be different numbers of 1 to 4, are \(0, 1\)"),
        ({"levels": ()}, r"`levels` should be different numbers of 1 to 4, are \(\)"),
        ({"pitch": 0.0}, r"`pitch` should lie in \[0.2, 10\] mm, is 0.0"),
        ({"yaw": -1.0}, "`yaw` should lie in"),
        ({"frames": 0}, "`frames` should lie in"),
        ({"texture": 3}, "`texture` should lie in"),
    ],
)
def test_wrong_arguments_write_nothing(tmp_path, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        synth.make(tmp_path / "x", **arguments)
    assert not (tmp_path / "x").exists()


def test_a_missing_face_model_writes_nothing(tmp_path):
    with pytest.raises(FileError, match="gone.npz: cannot be read"):
        synth.make(tmp_path / "x", face_model=tmp_path / "gone.npz")
    assert not (tmp_path / "x").exists()


def test_the_cameras_pitch_counts_unless_one_is_given(tmp_path):
    synth.make(tmp_path / "a", subjects=1, levels=(1,), texture=32, camera=Camera(pitch=5.0, noise=0.0))
    assert read_truth(tmp_path / "a").recipe["camera"]["pitch"] == 5.0
    synth.make(tmp_path / "b", subjects=1, levels=(1,), texture=32, camera=Camera(pitch=5.0), pitch=6.0)
    assert read_truth(tmp_path / "b").recipe["camera"]["pitch"] == 6.0


def test_truth_files_that_are_none(tmp_path):
    with pytest.raises(FileError, match="is not there: a folder that fer3d.synth.make wrote was wanted"):
        read_truth(tmp_path)
    (tmp_path / "truth.parquet").write_text("nonsense")
    with pytest.raises(FormatError, match="truth.parquet: not the truth file of a simulation"):
        read_truth(tmp_path)
    pq.write_table(pa.table({"file": ["a.wrl"]}), tmp_path / "truth.parquet")
    with pytest.raises(FormatError, match="truth.parquet: not the truth file of a simulation"):
        read_truth(tmp_path)
    pq.write_table(
        pa.table({"file": ["a.wrl"]}).replace_schema_metadata({"fer3d.synth": '{"recipe": {}}'}),
        tmp_path / "truth.parquet",
    )
    with pytest.raises(FormatError, match="`complete` is missing; simulate the data set again"):
        read_truth(tmp_path)


def test_meshes_in_correspondence_are_the_faces_behind_the_scans(tmp_path):
    synth.make(tmp_path / "s", subjects=1, seed=9, meshes=True, **SMALL)
    model = load_face(tmp_path / "s" / "correspondence" / "model.npz")
    for scan in read_truth(tmp_path / "s").scans.values():
        points = np.load(tmp_path / "s" / "correspondence" / f"{scan.file}.npy")
        assert points.shape == model.neutral.shape
        for name in ("pronasale", "cheilion_left", "exocanthion_right"):
            np.testing.assert_allclose(points[model.landmarks[name]], scan.landmarks[name], atol=1e-3)
