"""The trees that `make` writes: names, files, contents, read back by the readers of real ones."""

from dataclasses import replace

import numpy as np
import pytest

from fer3d import formats, synth
from fer3d.catalog import detect, read_records
from fer3d.catalog.targets import target_of
from fer3d.face.load import builtin_face, save_face
from fer3d.formats import bnt, landmark_files, read_landmarks, read_lm2
from fer3d.landmarks import bu83_names
from fer3d.prepare.scan import record_facts
from fer3d.scan import EXPRESSIONS
from fer3d.synth.acting.habits import Variety
from fer3d.synth.truth import read_truth

NAMES = bu83_names(np.arange(1, 84))


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    for layout in ("bu3dfe", "bu4dfe", "bosphorus", "frgc"):
        synth.make(folder / layout, layout, subjects=2, seed=4, levels=(1, 4), frames=2, pitch=3.0, texture=64)
    return folder


def on_mesh(scan, points):
    """Distance of each point to the nearest vertex."""
    difference = scan.vertices.astype(float)[None] - np.asarray(points)[:, None]
    return np.sqrt((difference**2).sum(axis=-1)).min(axis=1)


@pytest.mark.parametrize("layout", ["bu3dfe", "bu4dfe", "bosphorus", "frgc"])
def test_every_tree_is_taken_for_the_real_one(trees, layout):
    detection = detect(trees / layout)
    assert detection.card.name == layout
    found = read_records(trees / layout, detection.card)
    truth = read_truth(trees / layout)
    assert truth.complete
    assert len(found) == len(truth.scans)
    assert {record.subject for record in found} == {scan.subject for scan in truth.scans.values()}
    for scan in truth.scans.values():
        read = formats.read(trees / layout / scan.file)
        assert read.warnings == ()
        assert read.texture is not None
        assert len(read.faces) > 800
        if "pronasale" in scan.measured:
            assert np.linalg.norm(read.vertices - scan.nose_tip, axis=1).min() < 6.0


@pytest.mark.parametrize("layout", ["bu3dfe", "bu4dfe", "bosphorus", "frgc"])
def test_labels_of_the_records_are_the_truth(trees, layout):
    folder = trees / layout
    truth = read_truth(folder).scans
    for record in read_records(folder, detect(folder).card):
        [file] = [path for role, path in record.files.items() if role == "scan"]
        scan = truth[str(file.relative_to(folder) if file.is_absolute() else file)]
        assert record.expression == scan.expression
        assert (record.intensity or 0) == scan.level
        assert record.frame == scan.frame


@pytest.mark.parametrize("layout", ["bu3dfe", "bu4dfe", "bosphorus", "frgc"])
def test_action_units_of_the_records_are_the_truth(trees, layout):
    folder = trees / layout
    truth = read_truth(folder).scans
    rows = [record_facts(record) for record in read_records(folder, detect(folder).card)]
    files = [record.relative for record in read_records(folder, detect(folder).card)]
    target, shown = target_of(rows, "action-units")
    _, levels = target_of(rows, "action-unit-intensities", target.names)
    assert {"AU1", "AU12", "AU43"} <= set(target.names)
    for number, file in enumerate(files):
        weights = truth[file].action_units
        assert {name for name, one in zip(target.names, shown[number], strict=True) if one == 1} == set(weights)
        wanted = [5 * min(weights.get(name, 0.0), 1.0) for name in target.names]
        assert levels[number] == pytest.approx(wanted, abs=0.006)  # two digits
    assert not np.isnan(shown).any()
    if layout == "bosphorus":
        codes = dict(zip(files, (row["action_units"] for row in rows), strict=True))
        assert [code[:6] for code in codes["bs000/bs000_LFAU_12L_0.bnt"]] == ["AU12L:"]


def test_bu3dfe_files(trees):
    names = sorted(path.relative_to(trees / "bu3dfe").as_posix() for path in (trees / "bu3dfe").rglob("*.*"))
    f3d = [name for name in names if name.endswith("_F3D.wrl")]
    assert len(f3d) == 2 * 13
    stem = f3d[0].removesuffix("_F3D.wrl")
    for tail in ("_F3D.bmp", "_F3D.bnd", "_RAW.wrl", "_RAW.pse"):
        assert stem + tail in names
    assert {name.split("/")[0] for name in f3d} == {"F0001", "M0001"}
    assert {name[12:16] for name in f3d} == {"NE00"} | {
        f"{c}{n:02d}" for c in ("AN", "DI", "FE", "HA", "SA", "SU") for n in (1, 4)
    }


def test_bu3dfe_landmarks_are_vertices_near_the_truth(trees):
    truth = read_truth(trees / "bu3dfe").scans
    for file, scan in list(truth.items())[::5]:
        path = trees / "bu3dfe" / file
        mesh = formats.read(path)
        bnd = landmark_files.read_bnd(path.with_suffix(".bnd"))
        assert np.array_equal(mesh.vertices[bnd.vertex].astype(float), bnd.points)
        true = np.array([scan.landmarks[name] for name in NAMES])
        assert np.array_equal(bnd.vertex, [np.linalg.norm(mesh.vertices - p, axis=1).argmin() for p in true])
        measured = np.isin(NAMES, scan.measured)
        assert measured.sum() > 55
        assert np.linalg.norm(bnd.points - true, axis=1)[measured].max() < 4.8  # 1.2 pitches, noise and seam
        at = read_landmarks(path.with_suffix(".bnd"))
        assert at["exocanthion_left"][0] > at["endocanthion_left"][0] > at["endocanthion_right"][0]


def test_bu3dfe_raw_is_the_same_face_elsewhere(trees):
    truth = read_truth(trees / "bu3dfe").scans
    file, scan = next(iter(truth.items()))
    path = trees / "bu3dfe" / file
    face, raw = formats.read(path), formats.read(path.with_name(path.name.replace("F3D", "RAW")))
    assert len(raw.vertices) > len(face.vertices)
    assert np.array_equal(raw.texture, face.texture)
    pse = landmark_files.read_pse(path.with_name(path.name.replace("_F3D.wrl", "_RAW.pse")))
    assert on_mesh(raw, pse.points).max() < 1e-4
    names = bu83_names(np.array(landmark_files.PSE_NUMBERS))
    true = np.array([scan.landmarks[name] for name in names])
    lengths = np.linalg.norm(pse.points[:, None] - pse.points[None], axis=-1)
    assert np.abs(lengths - np.linalg.norm(true[:, None] - true[None], axis=-1)).max() < 6.0
    assert np.linalg.norm(pse.points - true, axis=1).min() > 1.0  # another frame
    # The rigid motion between the frames turns the face's normal there into the one of the file.
    a, b = true - true.mean(axis=0), pse.points - pse.points.mean(axis=0)
    u, _, vt = np.linalg.svd(a.T @ b)
    turn = (u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt).T
    assert np.linalg.norm(pse.normal) == pytest.approx(1)
    assert (turn @ scan.pose[:3, 2]) @ pse.normal > 0.995


def test_bu4dfe_has_landmarks_in_a_release_of_their_own(trees):
    folder = trees / "bu4dfe"
    assert sorted(p.name for p in folder.iterdir()) == ["BU4DFE_BND_V1.1", "F001", "M001", "truth.parquet"]
    for label in ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise"):
        for frame in ("000", "001"):
            assert (folder / "M001" / label / f"{frame}.jpg").exists()
            bnd = landmark_files.read_bnd(folder / "BU4DFE_BND_V1.1" / "M001" / label / f"{frame}.bnd")
            mesh = formats.read(folder / "M001" / label / f"{frame}.wrl")
            assert np.array_equal(mesh.vertices[bnd.vertex].astype(float), bnd.points)


def test_sequences_rise_and_fall(tmp_path):
    variety = Variety(never=0.0, rest=0.0, stray=0.0)
    synth.make(tmp_path / "s", "bu4dfe", subjects=1, frames=9, pitch=4.0, texture=32, variety=variety)
    frames = [s for s in read_truth(tmp_path / "s").scans.values() if "Happy" in s.file]
    smile = [frame.units["AU12_L"] for frame in frames]
    assert smile[0] == smile[-1] == 0
    top = smile.index(max(smile))
    assert max(smile) > 0.5
    assert (np.diff(smile[: top + 1]) > -0.05).all()
    assert (np.diff(smile[top:]) < 0.05).all()
    phases = [frame.phase for frame in frames]
    assert list(dict.fromkeys(phases)) == ["neutral", "onset", "apex", "offset"]
    assert phases[top] == "apex"
    assert phases[-1] == "neutral"
    turns = np.array([(frame.yaw, frame.pitch, frame.roll) for frame in frames])
    assert 0 < np.abs(np.diff(turns, axis=0)).max() < 0.03


def test_bosphorus_files(trees):
    folder = trees / "bosphorus"
    truth = read_truth(folder).scans
    assert len({file.split("/")[0] for file in truth}) == 2
    assert {"bs000/bs000_N_N_0.bnt", "bs001/bs001_E_HAPPY_0.bnt", "bs001/bs001_LFAU_12_0.bnt"} <= set(truth)
    for file in ("bs000/bs000_N_N_0.bnt", "bs001/bs001_YR_R30_0.bnt", "bs001/bs001_E_SURPRISE_0.bnt"):
        path, scan = folder / file, truth[file]
        grid = bnt.read_grid(path)
        assert grid.image == path.with_suffix(".png").name
        valid, (x, y, _, u, v) = grid.valid, grid.planes
        rows, columns = valid.shape
        assert (valid.any(axis=0).all(), valid.any(axis=1).all()) == (True, True) or valid[[0, -1]].any(axis=1).all()
        assert np.nanstd(np.diff(np.where(valid, x, np.nan), axis=1)) < 1e-3  # columns to the right, evenly
        assert np.nanmean(np.diff(np.where(valid, x, np.nan), axis=1)) == pytest.approx(3.0, abs=1e-3)
        assert np.nanmean(np.diff(np.where(valid, y, np.nan), axis=0)) == pytest.approx(3.0, abs=1e-3)  # row 0 below
        assert u[0, 0] == pytest.approx(0.5 / columns)
        assert v[0, 0] == pytest.approx(1 - 0.5 / rows)
        points = read_landmarks(path.with_suffix(".lm3"))
        canonical = {name: point for name, point in points.items() if name in scan.landmarks}
        assert len(canonical) >= 8
        assert set(canonical) <= set(scan.measured)
        image = formats.read(path)
        for name, point in canonical.items():
            assert np.linalg.norm(point - scan.landmarks[name]) < 4.2
        assert on_mesh(image, list(points.values())).max() < 2e-3  # six digits
        _check_pixels(path, image, grid)


def _check_pixels(path, image, grid):
    """lm2 of a point = u W, v H of its vertex."""
    height, width = image.texture.shape[:2]
    assert (height, width) == (2 * grid.valid.shape[0], 2 * grid.valid.shape[1])
    flat, flat_points = read_lm2(path.with_suffix(".lm2")), landmark_files.read_lm3(path.with_suffix(".lm3"))
    assert list(flat) == list(flat_points)
    for name, pixel in flat.items():
        row = np.linalg.norm(image.vertices - flat_points[name], axis=1).argmin()
        u, v = image.uv[row]
        assert pixel == pytest.approx([u * width, (1 - v) * height], abs=0.01)


def test_bosphorus_says_left_for_what_is_left_in_the_picture(trees):
    named = landmark_files.read_lm3(trees / "bosphorus" / "bs000" / "bs000_N_N_0.lm3")
    for left, right in (
        ("Outer left eye corner", "Outer right eye corner"),
        ("Outer left eyebrow", "Outer right eyebrow"),
        ("Left mouth corner", "Right mouth corner"),
        ("Nose saddle left", "Nose saddle right"),
    ):
        assert named[left][0] < named[right][0]


def test_bosphorus_heads_turn_as_their_names_say(trees):
    truth = read_truth(trees / "bosphorus").scans
    right, left = truth["bs000/bs000_YR_R30_0.bnt"], truth["bs000/bs000_YR_L45_0.bnt"]
    assert right.yaw == pytest.approx(np.radians(-30), abs=0.1)
    assert left.yaw == pytest.approx(np.radians(45), abs=0.1)
    assert right.pose[0, 2] < 0 < left.pose[0, 2]
    assert truth["bs000/bs000_PR_U_0.bnt"].pose[1, 2] > 0.2 > -0.2 > truth["bs000/bs000_PR_D_0.bnt"].pose[1, 2]
    assert set(truth["bs001/bs001_LFAU_12_0.bnt"].action_units) == {"AU12"}
    assert truth["bs001/bs001_UFAU_2_0.bnt"].expression is None


def test_frgc_files(trees):
    folder = trees / "frgc"
    truth = read_truth(folder).scans
    assert [scan.expression for scan in truth.values()] == list(EXPRESSIONS) * 2
    file = "Fall2003range/04201d201.abs.gz"
    points = read_landmarks(folder / "Fall2003range" / "04201d201.lm3")
    image = formats.read(folder / file)
    assert on_mesh(image, list(points.values())).max() < 0.01
    assert image.vertices[:, 2].max() < -1000  # the sensor's frame
    assert (folder / "labels.csv").read_text().startswith("path,expression\nFall2003range/04200d201.abs.gz,neutral\n")


def test_a_picture_lies_on_its_range_image(trees):
    """The pupil-dark, white-surrounded eye of the photograph is where the eye of the scan is."""
    folder = trees / "frgc"
    scan = read_truth(folder).scans["Fall2003range/04200d201.abs.gz"]
    image = formats.read(folder / scan.file)
    bright = image.texture.astype(int).sum(axis=2)
    assert (bright <= 3 * 24).any()
    height, width = bright.shape
    for name in ("endocanthion_left", "pronasale", "pogonion"):
        row = np.linalg.norm(image.vertices - scan.landmarks[name], axis=1).argmin()
        u, v = image.uv[row]
        assert bright[int((1 - v) * height), int(u * width)] > 3 * 24


def test_a_face_model_without_the_points_of_ibug_is_simulated_without_them(tmp_path):
    """Face models that were saved before have the 83 points of BU and the nose tip."""
    model = builtin_face()
    known = {*NAMES, "pronasale"}
    save_face(
        replace(model, landmarks={n: row for n, row in model.landmarks.items() if n in known}), tmp_path / "a.npz"
    )
    synth.make(tmp_path / "s", "frgc", subjects=1, pitch=4.0, texture=32, face_model=tmp_path / "a.npz")
    points = landmark_files.read_lm3(tmp_path / "s" / "Fall2003range" / "04200d201.lm3")
    assert "Nose tip" in points
    assert not [name for name in points if "eyebrow" in name]
    assert set(read_truth(tmp_path / "s").scans["Fall2003range/04200d201.abs.gz"].landmarks) == known
