"""Face models from files: a tiny made-up one for every error, ICT-FaceKit itself where it is at hand."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fer3d.errors import FileError, FormatError
from fer3d.face import ict_folder, npz
from fer3d.face.ict import load
from fer3d.face.load import builtin_face, load_face, save_face
from fer3d.face.model import EYE, MOUTH, SKIN
from fer3d.landmarks import POINT_NAMES
from fer3d.synth.acting import expression

ICT = Path(__file__).parents[2].parent / "shared" / "data" / "ict_facekit.npz"
needs_ict = pytest.mark.skipif(not ICT.exists(), reason="shared/data/ict_facekit.npz is not here")


def tiny(**changes):
    """A bumpy square of 12 x 12 vertices, in cm, that has every key."""
    n = 12
    x, y = np.meshgrid(np.linspace(-7, 7, n), np.linspace(-9, 9, n))
    points = np.stack([x, y, 8 * np.exp(-(x**2 + y**2) / 20)], axis=-1).reshape(-1, 3).astype(np.float32)
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1])
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    arrays = {
        "neutral": points,
        "identity_modes": np.ones((2, n * n, 3), np.float16),
        "expression_modes": np.ones((1, n * n, 3), np.float16),
        "expression_names": np.array(["jawOpen"]),
        "triangles": triangles.astype(np.uint16),
        "uv": (points[:, :2] / 20 + 0.5).astype(np.float32),
        "landmarks68": np.arange(68, dtype=np.uint16) + 30,
    }
    arrays.update(changes)
    return {key: value for key, value in arrays.items() if value is not None}


def saved(path, **changes):
    np.savez(path / "face.npz", **tiny(**changes))
    return path / "face.npz"


def test_a_made_up_model_loads_in_mm_with_the_nose_tip_at_the_origin(tmp_path):
    model = load(saved(tmp_path))
    assert np.ptp(model.neutral[:, 0]) == pytest.approx(140.0)
    assert np.allclose(model.identity_modes, 10.0)
    assert np.array_equal(model.neutral[model.landmarks["pronasale"]], np.zeros(3))
    assert model.expression_names == ("jawOpen",)
    assert model.name == "face"


@pytest.mark.parametrize("key", sorted(tiny()))
def test_each_missing_key_is_named(tmp_path, key):
    with pytest.raises(FormatError, match=rf"face.npz: a face model has the keys .*; missing: {key}$"):
        load(saved(tmp_path, **{key: None}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neutral": np.zeros((5, 2), np.float32)}, r"`neutral` should have shape \(5, 3\), has \(5, 2\)"),
        ({"uv": np.zeros((5, 2), np.float32)}, r"`uv` should have shape \(144, 2\), has \(5, 2\)"),
        ({"expression_names": np.array(["a", "b"])}, r"`expression_names` should have shape \(1\), has \(2,\)"),
        ({"landmarks68": np.arange(51)}, r"`landmarks68` should have shape \(68\), has \(51,\)"),
        ({"landmarks68": np.full(68, 144)}, "`landmarks68` should hold rows below 144, holds 144"),
        ({"triangles": np.full((4, 3), -1)}, "`triangles` should hold rows below 144, holds -1"),
        ({"triangles": np.zeros((0, 3), np.int32)}, "`triangles` should hold at least one triangle"),
        ({"triangles": np.zeros((4, 3))}, "`triangles` should hold integers, holds float64"),
        ({"expression_names": np.zeros(1)}, "`expression_names` should hold words, holds float64"),
        ({"neutral": np.full((144, 3), np.nan, np.float32)}, "`neutral` should be finite"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, changes, message):
    with pytest.raises(FormatError, match=message):
        load(saved(tmp_path, **changes))


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(FileError, match="gone.npz: cannot be read: No such file"):
        load_face(tmp_path / "gone.npz")
    (tmp_path / "text.npz").write_text("a face")
    with pytest.raises(FormatError, match="text.npz: an .npz of plain arrays was wanted"):
        load(tmp_path / "text.npz")
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(FormatError, match="empty.npz: the file is empty"):
        load(tmp_path / "empty.npz")
    np.savez(tmp_path / "pickled.npz", **tiny(expression_names=np.array([{"jawOpen": 1}], dtype=object)))
    with pytest.raises(FormatError, match="pickled.npz: an .npz of plain arrays was wanted"):
        load(tmp_path / "pickled.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(FormatError, match="one.npy: an .npz of plain arrays was wanted"):
        load(tmp_path / "one.npy")
    whole = saved(tmp_path).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="cut.npz: an .npz of plain arrays was wanted"):
        load(tmp_path / "cut.npz")


@pytest.fixture(scope="module")
def ict():
    return load(ICT)


def test_landmarks_that_are_no_face_are_named(tmp_path):
    rows = tiny()["landmarks68"].copy()
    rows[[8, 57]] = rows[[57, 8]]  # the chin above the lip
    np.savez(tmp_path / "face.npz", **tiny(landmarks68=rows))
    with pytest.raises(FormatError, match=r"face.npz: `landmarks68` should be those of iBUG, with the lower lip"):
        load_face(tmp_path / "face.npz")


@pytest.mark.parametrize("key", ["neutral", "expression_names"])
def test_an_entry_that_is_no_npy_data_names_its_key(tmp_path, key):
    np.savez(tmp_path / "whole.npz", **tiny())
    with zipfile.ZipFile(tmp_path / "whole.npz") as whole, zipfile.ZipFile(tmp_path / "face.npz", "w") as damaged:
        for name in whole.namelist():
            damaged.writestr(name, b"no array" if name == f"{key}.npy" else whole.read(name))
    with pytest.raises(FormatError, match=rf"face.npz: an .npz of plain arrays was wanted: `{key}` should be an array"):
        load_face(tmp_path / "face.npz")


@needs_ict
def test_ict_is_in_mm_frontal_and_complete(ict):
    assert np.ptp(ict.neutral[:, 0]) == pytest.approx(184, abs=1)  # ears and all
    assert len(ict.identity_modes) == 100
    assert len(ict.expression_names) == 53
    at = ict.landmark_points(ict.neutral)
    assert np.array_equal(at["pronasale"], np.zeros(3))
    assert tuple(at) == POINT_NAMES
    assert at["exocanthion_left"][0] == pytest.approx(44.6, abs=0.1)
    assert at["exocanthion_right"][0] == pytest.approx(-44.6, abs=0.1)
    assert at["pogonion"][1] < at["labiale_inferius"][1] < at["labiale_superius"][1] < 0 < at["endocanthion_left"][1]
    for left, right in ((17, 27), (22, 32), (3, 11), (8, 16), (37, 48), (40, 45), (50, 54), (62, 64), (70, 82)):
        a, b = at[_name(left)], at[_name(right)]
        assert a[0] > 0 > b[0]
        assert np.allclose(a, b * [-1, 1, 1], atol=2.5)


def _name(number):
    from fer3d.landmarks import bu83_names

    return bu83_names(np.array([number]))[0]


@needs_ict
def test_ict_eyes_and_mouth_are_closed_by_caps(ict):
    eyes = ict.neutral[ict.triangles[ict.part == EYE]].mean(axis=1)
    assert (eyes[:, 0] > 0).sum() == (eyes[:, 0] < 0).sum() > 100
    assert (ict.part == MOUTH).sum() > 100
    skin, eye = ict.triangles[ict.part == SKIN], ict.triangles[ict.part == EYE]
    a, b, c = (ict.neutral[eye[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > -1e-9).mean() > 0.99
    assert not set(skin.ravel().tolist()) & set(
        eye.ravel().tolist()
    )  # a copy of the boundary: eyes have uv of their own
    at = ict.landmark_points(ict.neutral)
    pupil = eyes[eyes[:, 0] > 0][:, 2].max()
    assert at["endocanthion_left"][2] < pupil < at["bu83_03"][2] + 4


@needs_ict
@pytest.mark.parametrize("label", expression.RECIPES)
def test_recipes_drive_ict_too(ict, label):
    expression.check_units(ict.action_units, ict.name)
    at = ict.landmark_points(
        ict.shape(None, ict.mode_weights(expression.weights(expression.recipe(label), 1.0, ict.action_units)))
    )
    rest = ict.landmark_points(ict.neutral)
    change = {name: at[name] - rest[name] for name in rest}
    if label == "happiness":
        assert change["cheilion_left"][1] > 5
        assert change["cheilion_left"][0] > 3 > -3 > change["cheilion_right"][0]
    if label == "surprise":
        assert change["pogonion"][1] < -10
        assert change["bu83_19"][1] > 3
    if label == "anger":
        assert change["bu83_17"][1] < -1
    if label == "neutral":
        assert all((step == 0).all() for step in change.values())


def obj_text(points, quads=None, uv=None):
    lines = ["mtllib ICTFaceModelMaterial.mtl", *(f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in points.tolist())]
    lines += [f"vt {u:.9g} {v:.9g}" for u, v in ([] if uv is None else uv.tolist())]
    lines += ["f " + " ".join(f"{k + 1}/{k + 1}" for k in quad) for quad in ([] if quads is None else quads.tolist())]
    return "\n".join(lines) + "\n"


def folder(path, arrays, extra=5):
    """ICT-FaceKit's folder, from arrays of its npz; `extra` vertices beyond the face, with a polygon of their own."""
    path.mkdir()
    beyond = np.full((extra, 3), 99.0)
    neutral = arrays["neutral"].astype(float)
    quads, uv = arrays["quads"], arrays["uv"]
    names = [str(name) for name in arrays["expression_names"]]
    whole = np.concatenate([neutral, beyond])
    teeth = np.arange(len(neutral), len(neutral) + 4)[None]
    (path / "generic_neutral_mesh.obj").write_text(obj_text(whole, np.concatenate([quads, teeth]), np.tile(uv, (2, 1))))
    for k, mode in enumerate(arrays["identity_modes"].astype(float)):
        (path / f"identity{k:03d}.obj").write_text(obj_text(np.concatenate([neutral + mode, beyond])))
    for name, mode in zip(names, arrays["expression_modes"].astype(float), strict=True):
        (path / f"{name}.obj").write_text(obj_text(np.concatenate([neutral + mode, beyond])))
    indices = {"expressions": names, "idx_to_landmark_verts": arrays["landmarks68"].tolist(), "incompatibilities": []}
    (path / "vertex_indices.json").write_text(json.dumps(indices))
    return path


@pytest.fixture
def made_up(monkeypatch):
    """Arrays of a made-up model with quads, whose 144 vertices are all of its face."""
    monkeypatch.setattr(ict_folder, "FACE_VERTICES", 144)
    generator = np.random.default_rng(0)
    n = 12
    i = np.arange(n * n).reshape(n, n)
    quads = np.stack([i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]], -1).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    return tiny(
        identity_modes=generator.normal(size=(3, 144, 3)).astype(np.float32),
        expression_modes=generator.normal(size=(2, 144, 3)).astype(np.float32),
        expression_names=np.array(["jawOpen", "mouthSmile_L"]),
        quads=quads,
        triangles=triangles,
    )


def same(a, b):
    assert a.expression_names == b.expression_names
    assert a.landmarks == b.landmarks
    assert a.action_units == b.action_units
    assert np.array_equal(a.triangles, b.triangles)
    assert np.array_equal(a.part, b.part)
    for key in ("neutral", "identity_modes", "expression_modes", "uv"):
        assert np.allclose(getattr(a, key), getattr(b, key), atol=2e-4), key


def test_the_folder_of_obj_files_is_the_same_model(tmp_path, made_up):
    np.savez(tmp_path / "face.npz", **made_up)
    same(load_face(folder(tmp_path / "FaceXModel", made_up)), load_face(tmp_path / "face.npz"))


@needs_ict
def test_ict_as_a_folder_is_the_same_model(tmp_path):
    with np.load(ICT) as file:
        data = {key: file[key] for key in file.files if key != "license"}
    data["identity_modes"] = data["identity_modes"][:3]
    data["expression_modes"], data["expression_names"] = data["expression_modes"][::9], data["expression_names"][::9]
    np.savez(tmp_path / "light.npz", **data)
    same(load(folder(tmp_path / "FaceXModel", data)), load(tmp_path / "light.npz"))


def test_what_a_folder_lacks_is_named(tmp_path, made_up):
    path = folder(tmp_path / "FaceXModel", made_up)
    (path / "identity001.obj").rename(path / "kept.obj")
    with pytest.raises(FileError, match=r"FaceXModel: identity000.obj and what follows without a gap .*, 2 are there"):
        load(path)
    (path / "kept.obj").rename(path / "identity001.obj")
    (path / "jawOpen.obj").write_text(obj_text(np.zeros((7, 3))))
    with pytest.raises(FormatError, match=r"jawOpen.obj: 144 vertices were wanted, as in generic.*, it has 7"):
        load(path)
    (path / "jawOpen.obj").write_text("v 1 2\nv 1 x 3\n")
    with pytest.raises(FormatError, match="jawOpen.obj: a vertex is not three numbers"):
        load(path)
    (path / "jawOpen.obj").unlink()
    with pytest.raises(FileError, match="jawOpen.obj: cannot be read: No such file"):
        load(path)
    (path / "vertex_indices.json").write_text("{}")
    with pytest.raises(FormatError, match="vertex_indices.json: `expressions` and .* were wanted: KeyError"):
        load(path)
    for names in ([], ["../jawOpen"], ["a" * 1000]):
        (path / "vertex_indices.json").write_text(json.dumps({"expressions": names, "idx_to_landmark_verts": []}))
        with pytest.raises(FormatError, match="vertex_indices.json: .* were wanted: .*no expression is named"):
            load(path)
    (path / "generic_neutral_mesh.obj").write_text("f 1 2 3\n")
    with pytest.raises(FormatError, match="generic_neutral_mesh.obj: an OBJ with vertices of three numbers was wanted"):
        load(path)
    (path / "generic_neutral_mesh.obj").unlink()
    with pytest.raises(FileError, match="generic_neutral_mesh.obj: cannot be read: No such file"):
        load(path)


@pytest.mark.parametrize("which", ["builtin", "made_up"])
def test_saved_models_come_back_bit_for_bit(tmp_path, made_up, which):
    if which == "builtin":
        model = builtin_face()
    else:
        np.savez(tmp_path / "face.npz", **made_up)
        model = load_face(tmp_path / "face.npz")
    save_face(model, tmp_path / "saved.npz")
    back = load_face(tmp_path / "saved.npz")
    for key in ("name", "expression_names", "landmarks", "action_units"):
        assert getattr(back, key) == getattr(model, key), key
    for key in ("neutral", "identity_modes", "expression_modes", "triangles", "part", "uv"):
        assert np.array_equal(getattr(back, key), getattr(model, key)), key
        assert getattr(back, key).dtype == getattr(model, key).dtype
    assert len(back.lids) == len(model.lids)
    for a, b in zip(back.lids, model.lids, strict=True):
        assert a.closed_by == b.closed_by
        assert all(np.array_equal(x, y) for x, y in zip(a[:4], b[:4], strict=True))


def test_damaged_saved_models_are_refused(tmp_path, made_up):
    np.savez(tmp_path / "face.npz", **made_up)
    save_face(load_face(tmp_path / "face.npz"), tmp_path / "saved.npz")
    with np.load(tmp_path / "saved.npz") as file:
        good = {key: file[key] for key in file.files}

    def refused(message, **changes):
        np.savez(tmp_path / "bad.npz", **{k: v for k, v in (good | changes).items() if v is not None})
        with pytest.raises(FormatError, match=message):
            load_face(tmp_path / "bad.npz")

    refused("a face model of fer3d lacks uv, lid_closed_by", uv=None, lid_closed_by=None)
    refused("version 1 of a face model was wanted, this is 2", fer3d_face_model=np.int64(2))
    refused(r"not a face model: `neutral` should have dtype float64", neutral=good["neutral"].astype(np.float32))
    refused(
        "not a face model: `action_units` should name modes, names wink",
        unit_modes=np.array(["wink"] * len(good["unit_modes"])),
    )
    refused("not a face model: zip", landmark_rows=good["landmark_rows"][:-1])
    whole = (tmp_path / "saved.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-200])
    with pytest.raises(FormatError):
        load_face(tmp_path / "cut.npz")
    with pytest.raises(FileError, match="cannot be written"):
        save_face(load_face(tmp_path / "face.npz"), tmp_path / "nowhere" / "saved.npz")


def test_fingerprints_tell_models_apart(tmp_path, made_up):
    path = folder(tmp_path / "FaceXModel", made_up)
    before = npz.fingerprint(path)
    assert before == npz.fingerprint(folder(tmp_path / "elsewhere", made_up))
    (path / "jawOpen.obj").write_text(obj_text(np.zeros((149, 3))))
    assert npz.fingerprint(path) != before
    np.savez(tmp_path / "face.npz", **made_up)
    assert npz.fingerprint(tmp_path / "face.npz") != before
    with pytest.raises(FileError, match="gone.npz: cannot be read"):
        npz.fingerprint(tmp_path / "gone.npz")
