"""What a prepared scan holds, from simulated trees with known truth. The run over a tree is in test_preprocess.py."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from fer3d import catalog, formats, synth
from fer3d.catalog.cards import load_card
from fer3d.config import PreprocessSettings
from fer3d.errors import ArgumentError, CardError, FileError, FormatError, PrepareError
from fer3d.face.load import builtin_face, mean_face
from fer3d.kernels import raster
from fer3d.landmarks import CANONICAL_LANDMARKS
from fer3d.prepare import AxisConvention, prepare, prepare_record
from fer3d.prepare.folder import preprocess
from fer3d.prepare.scan import Stopwatch, is_current, read_record, relative
from fer3d.prepare.shards import pack
from fer3d.prepare.store import (
    manifest_landmarks,
    read_manifest,
    read_scan,
    read_tree,
    write_manifest,
    write_scan,
)
from fer3d.scan import Scan
from fer3d.synth.capture import capture
from fer3d.synth.optics.camera import Camera
from fer3d.synth.optics.scene import pose
from fer3d.synth.truth import read_truth

SMALL = PreprocessSettings(size=56)
MADE = {"bu3dfe": {"levels": (4,)}, "bu4dfe": {"frames": 1}, "bosphorus": {}, "frgc": {}}
BOSPHORUS = ("N_N", "HAPPY", "SURPRISE", "LFAU_12", "YR_R45", "YR_L45", "PR_U", "CR_RD")  # kinds of scans to prepare
PITCH = 0.9  # mm. Files hold vertices, as annotators pick them: those of `measured` are within 1.48 mm of the truth
STEPS = ["read", "landmarks", "unit", "drop_bad_faces", "remove_spikes", "largest_component", "fill_holes", "outward"]


@pytest.fixture(scope="module", params=MADE)
def tree(request, tmp_path_factory):
    """One subject in each layout, prepared: scan folder, prepared folder, truth by file."""
    folder = tmp_path_factory.mktemp(request.param)
    synth.make(folder / "scans", request.param, subjects=1, seed=5, pitch=PITCH, texture=64, **MADE[request.param])
    for path in (folder / "scans").glob("bs000/*.bnt"):
        if not any(code in path.name for code in BOSPHORUS):
            path.unlink()
    summary = preprocess(folder / "scans", folder / "prepared", settings=SMALL, workers=1)
    assert summary.failures == ()
    return folder / "scans", folder / "prepared", read_truth(folder / "scans").scans


@pytest.fixture(scope="module")
def bu3dfe(tmp_path_factory):
    """Folder, records and card of one subject in the layout of BU-3DFE."""
    folder = tmp_path_factory.mktemp("bu3dfe") / "scans"
    synth.make(folder, subjects=1, seed=6, pitch=2.0, levels=(4,), texture=64)
    card = load_card("bu3dfe")
    return folder, catalog.read_records(folder, card)


def degrees(rotation):
    return np.degrees(Rotation.from_matrix(rotation).magnitude())


def moved(points, placement):
    return points @ placement[:3, :3].T + placement[:3, 3]


def simulated(angles=(0.2, -0.1, 0.15), number=0):
    """A raw scan in mm with landmarks, as a reader gives it."""
    model, generator = builtin_face(), np.random.default_rng(number)
    identity = np.clip(generator.normal(0.0, 1.0, len(model.identity_modes)), -2.0, 2.0)
    return capture(model, model.shape(identity), pose(*angles, (5.0, -9.0, 40.0)), Camera(pitch=2.0), generator).scan


def test_landmarks_in_the_store_lie_within_a_millimetre_and_a_half_of_the_truth(tree):
    _, prepared, truth = tree
    rows = read_manifest(prepared)
    assert {row["source"] for row in rows} <= truth.keys()
    assert len(rows) >= 6
    for row in rows:
        true = truth[row["source"]]
        placement = np.array(row["placement"]).reshape(4, 4)
        stored = manifest_landmarks(row)
        compared = [name for name in CANONICAL_LANDMARKS if name in stored and name in true.measured]
        assert len(compared) >= 8
        for name in compared:
            error = np.linalg.norm(stored[name] - moved(true.landmarks[name], placement))
            assert error < 1.5, (row["source"], name)


def test_landmarks_in_the_store_are_those_of_the_files(tree):
    scans, prepared, _ = tree
    dataset = read_manifest(prepared)[0]["dataset"]
    files = {record.relative: record.files["landmarks"] for record in catalog.read_records(scans, load_card(dataset))}
    for row in read_manifest(prepared):
        placement = np.array(row["placement"]).reshape(4, 4)
        points = formats.read_landmarks(files[row["source"]])
        stored = manifest_landmarks(row)
        assert stored.keys() == points.keys()
        for name, point in points.items():
            np.testing.assert_allclose(stored[name], moved(point, placement), atol=1e-6)


def test_the_aligned_face_is_frontal_and_its_nose_is_at_the_origin(tree):
    _, prepared, truth = tree
    for row in read_manifest(prepared):
        true = truth[row["source"]]
        placement = np.array(row["placement"]).reshape(4, 4)
        assert row["pose_source"] == "landmarks"
        assert degrees(placement[:3, :3] @ true.pose[:3, :3]) < 8.0  # this person is not the mean face
        assert np.linalg.norm(moved(true.nose_tip, placement)) < 3.0
        np.testing.assert_allclose(moved(np.array(row["nose"]), placement), 0.0, atol=1e-9)
        left, right = (manifest_landmarks(row).get(f"endocanthion_{side}") for side in ("left", "right"))
        if left is not None and right is not None:
            assert left[0] > 0 > right[0]


def test_the_stored_mesh_and_maps_are_in_the_aligned_frame(tree):
    scans, prepared, _ = tree
    row = read_manifest(prepared)[0]
    scan = read_scan(prepared / row["file"])
    assert np.linalg.norm(scan.arrays["vertices"], axis=1).max() <= SMALL.crop_mm
    depth = scan.arrays["maps"][scan.header["channels"].index("depth")].astype(float)
    middle = depth[27:29, 27:29]  # the corners of four pixels meet at the nose tip
    assert np.isfinite(middle).sum() >= 2  # a scanner may lose a sample here too
    assert np.nanmax(np.abs(middle)) < 4.0
    assert np.nanmin(depth) < -25.0
    assert {entry["file"] for entry in scan.header["inputs"].values()} <= {
        path.relative_to(scans).as_posix() for path in scans.rglob("*") if path.is_file()
    }


def test_the_history_lists_every_step_in_order(tree):
    _, prepared, _ = tree
    for row in read_manifest(prepared):
        steps = [entry["step"] for entry in json.loads(row["history"])]
        assert list(dict.fromkeys(steps)) == [*STEPS, "frontal", "crop"]
        assert {step for step in steps if steps.count(step) > 1} <= {"remove_spikes", "largest_component", "fill_holes"}


def test_the_pose_from_the_shape_agrees_with_the_one_from_landmarks():
    for number, angles in enumerate([(0.2, -0.1, 0.15), (-0.4, 0.3, -0.6), (0.1, 0.5, 2.5)]):
        raw = simulated(angles, number)
        marked, _ = prepare(raw, SMALL.model_copy(update={"pose": "file"}))
        bare, _ = prepare(replace(raw, landmarks={}), SMALL)
        assert bare.history[-2]["method"] == "found"
        assert degrees(bare.placement[:3, :3] @ marked.placement[:3, :3].T) < 5.0
        origin = np.linalg.solve(bare.placement, [0.0, 0.0, 0.0, 1.0])[:3]
        assert np.linalg.norm(moved(origin, marked.placement)) < 3.0


def test_the_unit_and_axes_of_the_card_are_respected():
    raw = simulated()
    want, want_maps = prepare(raw, SMALL)
    # The same face in a file with +z up, -y to the camera, in cm: x stays, y goes back, z goes up.
    to_file = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]]) @ np.diag([0.1, 0.1, 0.1, 1.0])
    lying = replace(raw.moved(to_file, "as in the file"), placement=np.eye(4))
    got, got_maps = prepare(lying, SMALL, frame=AxisConvention("cm", "+z", "-y"))
    np.testing.assert_allclose(got.vertices, want.vertices, atol=1e-3)
    np.testing.assert_allclose(got.placement @ to_file, want.placement, atol=1e-4)
    np.testing.assert_allclose(got_maps.channel("depth"), want_maps.channel("depth"), atol=5e-3)
    steps = {entry["step"]: entry for entry in got.history}
    assert steps["unit"]["unit"] == "cm"
    assert steps["unit"]["guessed"] is False
    assert (steps["axes"]["up"], steps["axes"]["towards_camera"]) == ("+z", "-y")


@pytest.mark.parametrize("frame", [None, AxisConvention("mm", "+x", "+z"), AxisConvention("mm", "+y", "-z")])
def test_without_landmarks_axes_need_not_be_said_nor_be_right(frame):
    lying = replace(simulated((0.0, 0.0, 0.0)), landmarks={}).moved(pose(np.pi, 0.0, 0.0), "turned away")
    scan, _ = prepare(lying, SMALL, frame=frame)
    assert np.degrees(np.arccos(np.clip((np.trace(scan.placement[:3, :3]) - 1) / 2, -1, 1))) < 8.0
    assert {entry["step"]: entry for entry in scan.history}["frontal"]["method"] == "found"


def test_the_setting_of_the_unit_overrules_the_card():
    metres = simulated().moved(np.diag([1e-3, 1e-3, 1e-3, 1.0]), "as in the file")
    scan, _ = prepare(metres, SMALL.model_copy(update={"unit": "m"}), frame=AxisConvention("mm"))
    assert scan.history[2]["mm_per_unit"] == 1000.0
    with pytest.raises(PrepareError, match="times as large as a face: is the unit right"):
        prepare(metres, SMALL, frame=AxisConvention("mm"))


def test_the_stopwatch_sees_every_stage():
    watch = Stopwatch()
    prepare(mean_face(), SMALL, watch)
    assert list(watch.seconds) == ["find", "clean", "align", "crop", "normals", "curvature", "maps"]
    assert all(seconds > 0 for seconds in watch.seconds.values())
    depth = Stopwatch()
    prepare(mean_face(), SMALL.model_copy(update={"maps": ("depth",)}), depth)
    assert "curvature" not in depth.seconds


def test_the_mean_face_is_prepared_where_it_is():
    scan, made = prepare(mean_face(), SMALL)
    np.testing.assert_allclose(scan.placement, np.eye(4), atol=1e-6)
    assert made.channel("depth").shape == (56, 56)


def test_scans_without_faces_are_refused():
    with pytest.raises(ArgumentError, match="`scan` should have at least one face"):
        prepare(Scan.of([[0, 0, 0]], np.empty((0, 3))))


def copied(folder, target):
    """A copy of the tree, and its records."""
    shutil.copytree(folder, target)
    return target, catalog.read_records(target, load_card("bu3dfe"))


def test_an_unreadable_landmark_file_is_a_warning_and_an_error_only_where_landmarks_are_insisted_on(bu3dfe, tmp_path):
    _, (record, *_) = copied(bu3dfe[0], tmp_path / "scans")
    record.files["landmarks"].write_text("not a number\n", encoding="utf-8")
    scan = read_record(record, SMALL)
    assert len(scan.warnings) == 1
    assert scan.warnings[0].startswith("landmarks not used: ")
    assert record.files["landmarks"].name in scan.warnings[0]
    assert scan.landmarks == {}
    with pytest.raises(FormatError, match=record.files["landmarks"].name):
        read_record(record, SMALL.model_copy(update={"pose": "file"}))
    assert read_record(record, SMALL.model_copy(update={"pose": "found"})).warnings == ()


def test_an_unreadable_landmark_file_reaches_the_manifest_without_the_path_of_this_machine(bu3dfe, tmp_path):
    folder, (record, *_) = copied(bu3dfe[0], tmp_path / "scans")
    record.files["landmarks"].write_text("not a number\n", encoding="utf-8")
    row = prepare_record(record, SMALL, folder).header["row"]
    assert row["pose_source"] == "found"
    assert any(text.startswith("landmarks not used: F0001/") for text in row["warnings"])
    assert str(tmp_path) not in json.dumps(row)


def test_landmarks_are_put_on_the_scan_and_counted(bu3dfe):
    scan = read_record(bu3dfe[1][0], SMALL)
    assert len(scan.landmarks) == 83
    assert scan.history[-1] == {"step": "landmarks", "file": bu3dfe[1][0].files["landmarks"].name, "count": 83}


def test_a_record_in_doubt_is_refused(bu3dfe):
    folder, (record, *_) = bu3dfe
    with pytest.raises(CardError, match=f"{record.relative}: two people under one name"):
        prepare_record(replace(record, error="two people under one name"), SMALL, folder)


def test_a_missing_scan_is_named(bu3dfe):
    folder, (record, *_) = bu3dfe
    gone = replace(record, files={"scan": folder / "F0001" / "gone.wrl"})
    with pytest.raises(FileError, match="gone.wrl"):
        prepare_record(gone, SMALL, folder)


@pytest.fixture(scope="module")
def current(bu3dfe):
    """A record, its folder and the header of what was made of it."""
    folder, (record, *_) = bu3dfe
    return folder, record, prepare_record(record, SMALL, folder, AxisConvention("mm")).header


def test_the_inputs_are_hashed(current):
    folder, record, header = current
    assert set(header["inputs"]) == {"scan", "landmarks", "texture"}
    for entry in header["inputs"].values():
        assert entry["sha256"] == hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
    assert header["inputs"]["scan"]["file"] == record.relative


def test_what_was_made_is_current_until_anything_it_depends_on_changes(current):
    folder, record, header = current
    assert is_current(header, record, SMALL, folder, AxisConvention("mm"))
    for change in ({"size": 57}, {"crop_mm": 80.0}, {"pose": "found"}, {"maps": ("depth", "texture")}, {"unit": "mm"}):
        assert not is_current(header, record, SMALL.model_copy(update=change), folder, AxisConvention("mm")), change
    assert not is_current(header, record, SMALL, folder, AxisConvention("cm"))
    assert not is_current(header, record, SMALL, folder, AxisConvention("mm", "-y", "+z"))
    assert not is_current(header, replace(record, expression="fear"), SMALL, folder, AxisConvention("mm"))
    assert not is_current(header, replace(record, subject="F0009"), SMALL, folder, AxisConvention("mm"))
    assert not is_current(header | {"fer3d": "0.0.0"}, record, SMALL, folder, AxisConvention("mm"))
    without = {role: path for role, path in record.files.items() if role == "scan"}
    assert not is_current(header, replace(record, files=without), SMALL, folder, AxisConvention("mm"))


def test_what_was_made_does_not_depend_on_the_path(current, tmp_path):
    folder, record, header = current
    other, records = copied(folder, tmp_path / "Ångström" / "elsewhere")
    same = next(r for r in records if r.id == record.id)
    assert is_current(header, same, SMALL, other, AxisConvention("mm"))
    made = prepare_record(same, SMALL, other, AxisConvention("mm"))
    assert made.header == header


@pytest.mark.parametrize("role", ["scan", "landmarks", "texture"])
def test_one_changed_byte_of_an_input_makes_it_stale(current, tmp_path, role):
    folder, record, header = current
    other, records = copied(folder, tmp_path / "scans")
    same = next(r for r in records if r.id == record.id)
    path = other / header["inputs"][role]["file"]
    path.write_bytes(path.read_bytes() + b"\n")
    assert not is_current(header, same, SMALL, other, AxisConvention("mm"))
    path.unlink()
    assert not is_current(header, same, SMALL, other, AxisConvention("mm"))


def test_a_texture_that_was_not_found_is_looked_for_again(bu3dfe, tmp_path):
    folder, (record, *_) = copied(bu3dfe[0], tmp_path / "scans")
    for picture in folder.rglob("*.bmp"):
        picture.rename(picture.with_suffix(".away"))
    record = catalog.read_records(folder, load_card("bu3dfe"))[0]
    header = prepare_record(record, SMALL, folder).header
    assert "texture" not in header["inputs"]
    assert not is_current(header, record, SMALL, folder, AxisConvention())
    depth = SMALL.model_copy(update={"maps": ("depth",)})
    assert is_current(prepare_record(record, depth, folder).header, record, depth, folder, AxisConvention())


def test_arrays_follow_the_settings(bu3dfe):
    folder, (record, *_) = bu3dfe
    lean = PreprocessSettings(size=40, maps=("depth",), keep_mesh=False)
    scan = prepare_record(record, lean, folder)
    assert set(scan.arrays) == {"maps", "mask"}
    assert scan.arrays["maps"].shape == (1, 40, 40)
    assert scan.arrays["maps"].dtype == np.float16
    assert scan.header["channels"] == ["depth"]
    assert scan.header["pixel_mm"] == pytest.approx(0.8 * 224 / 40)
    full = prepare_record(record, SMALL, folder)
    assert {"texture", "vertices", "faces"} <= set(full.arrays)
    assert full.header["row"]["vertices"] == len(full.arrays["vertices"])


def test_a_tree_is_stored_with_its_inputs_and_comes_back(bu3dfe, tmp_path):
    folder, (record, *_) = bu3dfe
    settings = SMALL.model_copy(update={"maps": ("depth",), "tree": True, "tree_levels": (1200, 300, 68)})
    stored = prepare_record(record, settings, folder)
    row = stored.header["row"]
    write_scan(tmp_path / "prepared" / row["file"], stored)
    write_manifest(tmp_path / "prepared", [row])
    pack(tmp_path / "prepared", tmp_path / "packed")
    for place in ("prepared", "packed"):
        (line,) = read_manifest(tmp_path / place)
        tree = read_tree(tmp_path / place, line)
        assert tree.sizes[-1] == 68
        assert tree.radii == ((6.0, 12.0, 24.0), (12.0, 24.0, 48.0))
        assert tree.indices[0].shape == (tree.sizes[1], 3, 6, 16, 3)
        np.testing.assert_array_equal(tree.positions, stored.arrays["vertices"][tree.rows])
        assert np.linalg.norm(tree.positions[0]) < 3.0  # the order starts at the nose tip
        assert np.isfinite(tree.channels[:, 1]).mean() > 0.99
        np.testing.assert_allclose(np.linalg.norm(tree.normals, axis=1), 1.0, atol=1e-5)
        assert tree.arrays().keys() == {name for name in stored.arrays if name.startswith("tree_")}
    with pytest.raises(FormatError, match="has no tree for"):
        plain = prepare_record(record, SMALL, folder)
        write_scan(tmp_path / "plain" / row["file"], plain)
        read_tree(tmp_path / "plain", plain.header["row"])
    with pytest.raises(PrepareError, match=r"\.wrl: the scan should have more than 8000 vertices"):
        prepare_record(record, settings.model_copy(update={"tree_levels": (9000, 8000)}), folder)


def test_paths_are_relative_also_outside_the_folder():
    assert relative(Path("/a/b/c.wrl"), Path("/a")) == "b/c.wrl"
    assert relative(Path("/a/b/c.wrl"), Path("/a/d")) == "../b/c.wrl"


@pytest.mark.parametrize("looks", ["colours", "texture inside"])
def test_a_scan_with_its_own_colours_is_current_without_a_picture_beside_it(tmp_path, looks):
    """A resumed run does not prepare it again."""
    face = mean_face()
    if looks == "colours":
        scan = replace(face, colours=np.full((len(face.vertices), 3), (200, 150, 120), np.float32))
        name = "anna_happy.ply"
    else:
        flat = (face.vertices[:, :2] / 400 + 0.5).astype(np.float32)
        scan = replace(face, uv=flat, texture=np.full((8, 8, 3), (200, 150, 120), np.uint8))
        name = "anna_happy.glb"
    path = tmp_path / "anna" / "happy" / name
    path.parent.mkdir(parents=True)
    formats.write(scan, path)
    (record,) = catalog.read_records(tmp_path, load_card("generic"))
    made = prepare_record(record, SMALL, tmp_path, AxisConvention("mm"))
    assert np.median(made.arrays["texture"][made.arrays["mask"] > 0], axis=0).tolist() == [200, 150, 120]
    assert is_current(made.header, record, SMALL, tmp_path, AxisConvention("mm"))
    assert not is_current(made.header | {"textured": False}, record, SMALL, tmp_path, AxisConvention("mm"))


def _obj(path, face):
    formats.write(replace(face, uv=face.vertices[:, :2] / 400 + np.float32(0.5), texture=SKIN), path)


def _gltf(path, face):
    """A .gltf with its buffer in a file."""
    formats.write(face, path.with_suffix(".glb"))
    content = path.with_suffix(".glb").read_bytes()
    path.with_suffix(".glb").unlink()
    length = int.from_bytes(content[12:16], "little")
    tree = json.loads(content[20 : 20 + length])
    tree["buffers"][0]["uri"] = "a.bin"
    path.with_name("a.bin").write_bytes(content[28 + length :])
    path.write_text(json.dumps(tree))


def _depth(path, face):
    """A picture of the face seen from 600 mm."""
    points = face.vertices.astype(float)
    away = 600 - points[:, 2]
    seen = np.stack([points[:, 0] * 300 / away + 79.5, 79.5 - points[:, 1] * 300 / away, -away], axis=1)
    triangle, weights = raster.zbuffer(seen, face.faces, 160, 160, raster.NO_JITTER)
    depth = np.where(triangle >= 0, (weights * away[face.faces[triangle]]).sum(axis=-1), 0)
    Image.fromarray(np.round(depth * 10).astype(np.uint16)).save(path)
    camera = {"fx": 300, "fy": 300, "cx": 79.5, "cy": 79.5, "depth_unit_mm": 0.1}
    path.with_name("intrinsics.json").write_text(json.dumps(camera))


SKIN = np.full((8, 8, 3), (200, 150, 120), np.uint8)


@pytest.mark.parametrize(
    "name, write, beside",
    [("a.obj", _obj, {"a.mtl", "a.png"}), ("a.gltf", _gltf, {"a.bin"}), ("a.depth.png", _depth, {"intrinsics.json"})],
)
def test_one_changed_byte_of_a_file_that_a_scan_names_makes_it_stale(tmp_path, name, write, beside):
    """Materials, buffers and intrinsics decide what a scan is, as its picture does."""
    path = tmp_path / "anna" / "happy" / name
    path.parent.mkdir(parents=True)
    write(path, mean_face())
    settings = SMALL if name == "a.obj" else SMALL.model_copy(update={"maps": ("depth", "normal")})
    (record,) = catalog.read_records(tmp_path, load_card("generic"))
    header = prepare_record(record, settings, tmp_path).header
    assert {Path(entry["file"]).name for entry in header["inputs"].values()} == {name, *beside}
    assert is_current(header, record, settings, tmp_path, AxisConvention())
    for other in beside:
        content = path.with_name(other).read_bytes()
        path.with_name(other).write_bytes(content + b"\n")
        assert not is_current(header, record, settings, tmp_path, AxisConvention())
        path.with_name(other).unlink()
        assert not is_current(header, record, settings, tmp_path, AxisConvention())
        path.with_name(other).write_bytes(content)
    assert is_current(header, record, settings, tmp_path, AxisConvention())
