"""Points without faces: which are meshed, how, and what is refused."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from fer3d import formats
from fer3d.config import PreprocessSettings
from fer3d.errors import ArgumentError, FormatError
from fer3d.face.load import builtin_face
from fer3d.formats import cloud_mesh, mat_file, point_cloud, point_columns
from fer3d.formats.depth_image import is_depth_picture
from fer3d.formats.find import find_scans
from fer3d.formats.lzf import unpacked
from fer3d.formats.pictures import is_picture
from fer3d.formats.point_cloud import scan_of_points
from fer3d.formats.range_grid import triangulate
from fer3d.prepare import align, clean
from fer3d.scan import Scan
from fer3d.synth.optics import sensor
from fer3d.synth.optics.camera import STEREO, Camera
from fer3d.synth.optics.scene import rotation, set_up
from tests.work import calls

SETTINGS = PreprocessSettings()
CAMERA_AT = np.array([0.0, 0.0, 1000.0])


def cap(n=40, seed=None):
    """A cap of a sphere of radius 2 that bulges to +z, on a grid or at random places, (N, 3)."""
    if seed is None:
        y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
    else:
        x, y = np.random.default_rng(seed).uniform(-1, 1, (2, n * n))
    return np.stack([x, y, np.sqrt(4 - x**2 - y**2)], axis=-1).reshape(-1, 3)


def uneven(n=20):
    """The cap with points beside a grid, so that there is one triangulation."""
    points = cap(n)
    points[:, :2] += np.random.default_rng(1).uniform(-0.2, 0.2, (n * n, 2)) / n
    points[:, 2] = np.sqrt(4 - (points[:, :2] ** 2).sum(axis=1))
    return points


def read(tmp_path, points, **more):
    return scan_of_points(tmp_path / "a.xyz", "xyz", points, **more)


def normals(scan):
    a, b, c = (scan.vertices[scan.faces[:, k]].astype(float) for k in range(3))
    return np.cross(b - a, c - a)


def triangles(scan):
    """The faces as sets of rows of the file."""
    row = np.arange(len(scan.vertices)) if scan.file_vertex is None else scan.file_vertex
    return {frozenset(face) for face in row[scan.faces].tolist()}


# ---- faces measured by three kinds of scanners ----


def nose(scan):
    """The tip of the nose in the frame of the file, from the shape."""
    scan = clean.clean(scan, spike=SETTINGS.spike_mm, hole=SETTINGS.hole_mm)
    scan = align.frontal(align.outward(scan), method="shape")
    return (np.linalg.inv(scan.placement) @ [0, 0, 0, 1])[:3]


def measured(camera, seed, yaw=0.0):
    """Points of a simulated person, the camera at the origin, and their faces."""
    model, generator = builtin_face(), np.random.default_rng(seed)
    shape = model.shape(np.clip(generator.normal(0, 1, len(model.identity_modes)), -2, 2))
    turn, side = np.eye(4), np.eye(4)
    turn[:3, :3] = rotation(*generator.uniform(-0.25, 0.25, 3))
    side[:3, :3] = rotation(yaw, 0.0, 0.0)
    image = sensor.sample(set_up(model, shape, side @ turn, None), camera, generator)
    faces, _ = triangulate(image.exact, image.valid, longest_edge=camera.longest_edge)
    return image.points[image.valid] @ side[:3, :3] - CAMERA_AT, faces


def two_views(seed):
    """Two views from 27 degrees to either side, registered up to 0.3 mm; the whole is one scan of both."""
    generator = np.random.default_rng(seed + 100)
    camera = Camera(pitch=1.2, noise=0.2)
    sides = [measured(camera, seed, yaw)[0] + generator.normal(0, 0.3, 3) for yaw in STEREO]
    return np.concatenate(sides), Scan.of(*measured(Camera(pitch=1.2, noise=0.1, views=STEREO), seed))


def one_view(camera):
    def take(seed):
        points, faces = measured(camera, seed)
        return points, Scan.of(points, faces)

    return take


SCANNERS = {
    "a fine grid": one_view(Camera(pitch=0.8, turned=False)),
    "two stereo views": two_views,
    "coarse, in steps of 3 mm": one_view(Camera(pitch=2.0, depth_step=3.0, noise=0.5, spikes=0.002)),
}


@pytest.mark.parametrize("seed", [0, 9])
@pytest.mark.parametrize("scanner", SCANNERS)
def test_the_nose_is_that_of_the_scan_with_faces(tmp_path, scanner, seed):
    """Points and vertices are in the same order, any one: the search for the nose takes every so many-th vertex."""
    points, whole = SCANNERS[scanner](seed)
    order = np.random.default_rng(seed).permutation(len(points))
    scan = read(tmp_path, points[order])
    if len(points) == len(whole.vertices):
        whole = Scan.of(whole.vertices[order], np.argsort(order)[whole.faces])
    assert scan.warnings == ()
    assert scan.history[0]["meshed"]["towards"] in ("origin", "bulge")
    assert np.linalg.norm(nose(scan) - nose(whole)) < 3.0


# ---- the mesh ----


def test_a_cloud_of_one_view_keeps_its_points(tmp_path):
    points = cap()
    scan = read(tmp_path, points)
    np.testing.assert_allclose(scan.vertices, points, atol=1e-6)
    assert scan.file_vertex is None
    assert len(scan.faces) == 2 * 39 * 39
    assert normals(scan)[:, 2].min() > 0


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_points_has_no_effect_on_the_surface(tmp_path, seed):
    points = uneven()
    order = np.random.default_rng(seed).permutation(len(points))
    scan, other = read(tmp_path, points), read(tmp_path, points[order])
    assert triangles(scan) == {frozenset(order[list(face)].tolist()) for face in triangles(other)}
    np.testing.assert_array_equal(other.vertices, scan.vertices[order])


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(1e-4, 1e4))
def test_the_unit_has_no_effect(tmp_path_factory, factor):
    points = uneven() + np.array([0, 0, 5])
    one = scan_of_points(tmp_path_factory.getbasetemp() / "a.xyz", "xyz", points)
    other = scan_of_points(tmp_path_factory.getbasetemp() / "a.xyz", "xyz", points * factor)
    assert len(triangles(one) ^ triangles(other)) < 0.01 * len(one.faces)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [1, -1])
def test_any_axis_of_view(tmp_path, axis, sign):
    points = np.roll((cap(30) - [0, 0, 1.5]) * [1, 1, sign], axis, axis=1)  # a roll turns, it does not mirror
    scan = read(tmp_path, points)
    assert np.abs(normals(scan) @ np.roll([0, 0, 1], axis)).min() > 0
    assert (np.sign(normals(scan) @ np.roll([0, 0, 1], axis)) == sign).all()


def test_a_hole_and_a_wall_stay_apart(tmp_path):
    face = cap(60) - [0, 0, 2]
    face = face[np.hypot(face[:, 0] - 0.3, face[:, 1]) > 0.25]
    y, x = np.mgrid[-2:2:120j, -2:2:120j]
    wall = np.stack([x, y, np.full_like(x, -1.5)], axis=-1).reshape(-1, 3)
    wall = wall[np.abs(wall[:, :2]).max(axis=1) > 1.02]
    scan = read(tmp_path, np.concatenate([face, wall]))
    corners = scan.vertices[scan.faces]
    assert np.ptp(corners[..., 2], axis=1).max() < 0.3
    middle = corners.mean(axis=1)
    assert np.hypot(middle[:, 0] - 0.3, middle[:, 1])[middle[:, 2] > -1].min() > 0.2


def test_specks_before_the_surface_are_left_out(tmp_path):
    points = np.concatenate([cap() - [0, 0, 2], [[0.1, 0.1, 1.5], [0.4, -0.3, 1.2]]])
    scan = read(tmp_path, points)
    assert scan.history[0]["meshed"]["left_out_points"] == 2
    assert len(scan.faces) == 2 * 39 * 39


def test_interleaving_layers_are_no_saw(tmp_path):
    generator = np.random.default_rng(3)
    layers = [
        cap(seed=seed) + generator.normal(0, 0.03, (1600, 1)) * [0, 0, 1] + [0, 0, 0.02 * seed] for seed in (0, 1)
    ]
    scan = read(tmp_path, np.concatenate(layers))
    assert scan.history[0]["meshed"]["smoothed"] >= 1
    unit = normals(scan)
    unit /= np.linalg.norm(unit, axis=1)[:, None]
    x, y, _ = scan.vertices[scan.faces].mean(axis=1).T
    cosine = np.einsum("fi,fi->f", unit, np.stack([x, y, np.sqrt(4 - x * x - y * y)], axis=1) / 2)
    assert np.median(cosine) > 0.9


def test_colours_are_averaged_with_their_points(tmp_path):
    points = cap(20)
    colours = np.repeat(np.float32([[10, 20, 30], [30, 40, 50]]), 400, axis=0)
    colours[7] = np.nan
    scan = read(tmp_path, np.concatenate([points, points]), colours=colours)
    np.testing.assert_allclose(np.delete(scan.colours, 7, axis=0), np.tile([20, 30, 40], (399, 1)))
    np.testing.assert_allclose(scan.colours[7], [30, 40, 50])


def test_bulge():
    """1 for a whole sphere seen from outside, -1 from inside, 0 for a plane."""
    y, x = np.mgrid[0 : np.pi : 40j, 0 : 2 * np.pi : 80j]
    ball = np.stack([np.sin(y) * np.cos(x), np.sin(y) * np.sin(x), np.cos(y)], axis=-1)
    rows = np.arange(40 * 80).reshape(40, 80)
    a, b, c, d = (part.ravel() for part in (rows[:-1, :-1], rows[1:, :-1], rows[1:, 1:], rows[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    assert cloud_mesh.bulge(ball.reshape(-1, 3), faces) == pytest.approx(1, abs=1e-3)
    assert cloud_mesh.bulge(ball.reshape(-1, 3), faces[:, ::-1]) == pytest.approx(-1, abs=1e-3)
    assert abs(cloud_mesh.bulge(ball.reshape(-1, 3) * [1, 1, 0], faces)) < 0.1


def test_a_place_is_taken_where_the_file_says_so(tmp_path):
    points = cap(20)
    assert (normals(read(tmp_path, points, sensor=np.array([0, 0, 9.0])))[:, 2] > 0).all()
    assert (normals(read(tmp_path, points, sensor=np.array([0, 0, -9.0])))[:, 2] < 0).all()
    grid = read(tmp_path, points, grid=(20, 20), sensor=np.array([0, 0, -9.0]))
    assert (normals(grid)[:, 2] < 0).all()


def test_a_range_image_keeps_steps_of_a_coarse_sensor(tmp_path):
    points = cap(80)
    points[:, 2] = np.round(points[:, 2] / 0.2) * 0.2  # eight pitches
    scan = read(tmp_path, points, grid=(80, 80))
    assert len(scan.faces) == 2 * 79 * 79


BODIES = {
    "sphere": lambda g: (lambda v: v / np.linalg.norm(v, axis=1)[:, None])(g.normal(size=(900, 3))),
    "blob": lambda g: g.normal(size=(900, 3)),
    "cube": lambda g: g.random((900, 3)),
    "helix": lambda g: (lambda t: np.stack([np.cos(t), np.sin(t), t / 10], 1))(np.linspace(0, 40, 900)),
    "circle": lambda g: (lambda t: np.stack([np.cos(t), np.sin(t), 0 * t], 1))(np.linspace(0, 6, 900)),
    "line": lambda g: np.outer(np.arange(900), [1.0, 2.0, 3.0]),
    "one point": lambda g: np.ones((900, 3)),
    "none measured": lambda g: np.full((900, 3), np.nan),
}


@pytest.mark.parametrize("body", BODIES)
def test_bodies_and_lines_are_refused(tmp_path, body):
    with pytest.raises(FormatError, match=r"^[^\n]*wanted|^[^\n]*lie") as caught:
        read(tmp_path, BODIES[body](np.random.default_rng(0)))
    assert str(caught.value).startswith(str(tmp_path))


def test_too_many_points(tmp_path, monkeypatch):
    monkeypatch.setattr(point_cloud, "MOST_POINTS", 1000)
    with pytest.raises(FormatError, match=r"at most 1000 points, it has 1600: thin it, or mesh it first"):
        read(tmp_path, cap())


# ---- files ----


def test_folders_list_what_is_always_a_scan(tmp_path):
    for name in ("a.xyz", "b.ASC", "c.pcd", "d.depth.png", "e.depth.npy", "f.npy", "g.mat", "h.png", "i.pts"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in find_scans([tmp_path])] == ["a.xyz", "b.ASC", "c.pcd", "d.depth.png", "e.depth.npy"]
    assert is_picture("h.png") and not is_picture("d.Depth.png")
    assert is_depth_picture(tmp_path / "d.depth.png") and not is_depth_picture(tmp_path / "h.png")
    (tmp_path / "h.json").write_text("{}")
    assert is_depth_picture(tmp_path / "h.png")


@pytest.mark.parametrize("suffix", [".xyz", ".pcd", ".depth.png", ".npy", ".mat", ".png"])
def test_points_are_not_written(tmp_path, suffix):
    with pytest.raises(ArgumentError, match="`path`"):
        formats.write(Scan.of(np.eye(3), [[0, 1, 2]]), tmp_path / f"a{suffix}")


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([" ", "\t", ",", " , ", ";", "; "]), st.sampled_from(["\n", "\r\n", " \n\n"]), st.booleans())
def test_text_of_any_layout(tmp_path_factory, between, end, head):
    points = cap(6)
    path = tmp_path_factory.getbasetemp() / "layout.xyz"
    lines = end.join(between.join(map(repr, row)) for row in points.tolist())
    path.write_text(("x" + between + "y" + between + "z" + end if head else "") + lines, newline="")
    scan = formats.read(path)
    np.testing.assert_array_equal(scan.vertices, points.astype(np.float32))


@pytest.mark.parametrize(
    "rest, colours, notes",
    [
        ([[0.5, 0.25, 1.0]], [127.5, 63.75, 255], 0),
        ([[128, 64, 255]], [128, 64, 255], 0),
        ([[0.0, 0.6, -0.8]], None, 0),
        ([[1.0, 0.0, 0.0]], None, 1),
        ([[300, 0, 0]], None, 1),
        ([[9, 128, 64, 255]], [128, 64, 255], 0),
        ([[0.0, 0.6, -0.8, 128, 64, 255]], [128, 64, 255], 0),
        ([[128, 64, 255, 128, 64, 255]], None, 1),
        ([[7, 7]], None, 1),
    ],
)
def test_columns_without_names(rest, colours, notes):
    table = np.column_stack([cap(5), np.repeat(np.asarray(rest, float), 25, axis=0)])
    found = point_columns.of_table(table)
    np.testing.assert_array_equal(found.points, cap(5))
    assert (found.colours is None) == (colours is None)
    if colours is not None:
        np.testing.assert_allclose(found.colours[3], colours)
    assert len(found.warnings) == notes


TOKENS = st.lists(
    st.one_of(st.binary(min_size=1, max_size=32), st.tuples(st.integers(1, 8191), st.integers(3, 264))), max_size=30
)


@given(TOKENS)
def test_lzf(tmp_path_factory, tokens):
    """Against bytes copied one at a time."""
    packed, want = bytearray(), bytearray()
    for token in tokens:
        if isinstance(token, bytes):
            packed += bytes([len(token) - 1]) + token
            want += token
        elif want:
            back, length = min(token[0], len(want)), token[1]
            for _ in range(length):
                want.append(want[-back])
            high, low, short = (back - 1) >> 8, (back - 1) & 255, length - 2
            packed += bytes([short << 5 | high, low]) if short < 7 else bytes([7 << 5 | high, short - 7, low])
    assert unpacked(bytes(packed), len(want), tmp_path_factory.getbasetemp()) == bytes(want)


@given(st.binary(max_size=60), st.integers(0, 4000))
def test_damaged_lzf(tmp_path_factory, packed, size):
    path = tmp_path_factory.getbasetemp() / "a.pcd"
    try:
        assert len(unpacked(packed, size, path)) == size
    except FormatError as error:
        assert str(error).startswith(str(path))


@pytest.mark.parametrize("kind", ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_types(tmp_path, kind, compressed):
    values = np.arange(60).reshape(20, 3).astype(kind)
    savemat(tmp_path / "a.mat", {"long_name_of_it": values, "s": {"t": {"u": values.T}}}, do_compression=compressed)
    arrays = mat_file.read_arrays(tmp_path / "a.mat").arrays
    np.testing.assert_array_equal(arrays["long_name_of_it"], values)
    np.testing.assert_array_equal(arrays["s.t.u"], values.T)
    assert arrays["s.t.u"].dtype == kind


def test_a_matlab_file_that_unpacks_to_too_much(tmp_path, monkeypatch):
    savemat(tmp_path / "a.mat", {"p": np.zeros((4000, 3))}, do_compression=True)
    monkeypatch.setattr(mat_file, "MAX_UNPACKED", 50_000)
    with pytest.raises(FormatError, match="it unpacks to more than 50000 bytes"):
        formats.read(tmp_path / "a.mat")


def test_a_matlab_file_of_deep_structs(tmp_path):
    deep = np.eye(3)
    for _ in range(12):
        deep = {"a": deep}
    savemat(tmp_path / "a.mat", {"s": deep})
    with pytest.raises(FormatError, match="structs lie at most 8 deep"):
        formats.read(tmp_path / "a.mat")


@pytest.mark.parametrize("kind", ["<f2", ">f4", "<f8", "i2", ">i4", "u1", "u8"])
def test_numpy_types(tmp_path, kind):
    points = np.round(cap(6) * 50 + 60).astype(kind)
    np.save(tmp_path / "a.npy", np.asfortranarray(points))
    scan = formats.read(tmp_path / "a.npy")
    np.testing.assert_array_equal(scan.vertices, points.astype(np.float32))


def test_a_numpy_file_of_version_2(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, cap(6), version=(2, 0))
    (tmp_path / "a.npy").write_bytes(stream.getvalue())
    scan = formats.read(tmp_path / "a.npy")
    np.testing.assert_array_equal(scan.vertices, cap(6).astype(np.float32))


def test_a_depth_picture_is_prepared_as_it_is(tmp_path):
    """Its frame is that of a face: a simulated face becomes a depth picture, and its nose is where it was."""
    points, faces = measured(Camera(pitch=0.8, noise=0.0, depth_step=0.0, spikes=0.0, turned=False), 3)
    focal, middle = 900.0, 199.5
    column = np.round(points[:, 0] / -points[:, 2] * focal + middle).astype(int)
    row = np.round(points[:, 1] / points[:, 2] * focal + middle).astype(int)
    inside = (column >= 0) & (column < 400) & (row >= 0) & (row < 400)
    depth = np.zeros((400, 400), np.uint16)
    depth[row[inside], column[inside]] = np.round(-points[inside, 2] * 10)
    Image.fromarray(depth).save(tmp_path / "face.depth.png")
    (tmp_path / "face.json").write_text(
        f'{{"fx": {focal}, "fy": {focal}, "cx": {middle}, "cy": {middle}, "depth_unit_mm": 0.1}}'
    )
    assert np.linalg.norm(nose(formats.read(tmp_path / "face.depth.png")) - nose(Scan.of(points, faces))) < 3.0


WORDS = ["{", "}", "[", "]", ",", ":", '"fx"', '"K"', '"coeffs"', '"depth_unit_mm"', "1", "-0", "1e999", "NaN", "null"]


@settings(max_examples=200, deadline=None)
@given(text=st.lists(st.sampled_from(WORDS), max_size=12).map("".join), at=st.integers(0, 80), whole=st.booleans())
def test_damaged_intrinsics(tmp_path_factory, text, at, whole):
    folder = tmp_path_factory.getbasetemp() / "intrinsics"
    folder.mkdir(exist_ok=True)
    good = '{"fx": 10, "fy": 10, "cx": 3, "cy": 2.5, "coeffs": [0, 0], "K": [[9, 0, 3], [0, 9, 3], [0, 0, 1]]}'
    (folder / "a.json").write_text(text if whole else good[:at] + text + good[at:])
    np.save(folder / "a.npy", 5 + cap(10)[:, 2].reshape(10, 10))
    try:
        formats.read(folder / "a.npy")
    except FormatError as error:
        assert str(error).startswith(str(folder)) and "\n" not in str(error)


def test_packed_colours_of_the_point_cloud_library(tmp_path):
    points = cap(5).astype("<f4")
    colour = struct.unpack("<f", struct.pack("<I", 0xFF0A141E))[0]  # opaque: a large negative number
    rows = np.zeros(25, np.dtype([("p", "<f4", 3), ("c", "<f4")]))
    rows["p"], rows["c"] = points, colour
    head = "FIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\nWIDTH 25\nHEIGHT 1\nDATA binary\n"
    (tmp_path / "a.pcd").write_bytes(head.encode() + rows.tobytes())
    np.testing.assert_array_equal(formats.read(tmp_path / "a.pcd").colours, np.tile([10, 20, 30], (25, 1)))


@pytest.mark.parametrize("piece", [b" ", b"\n", b"#", b"/", b"1 ", b"1,", b"x", b";", b"1\n", b"x y z\n", b"1 2 3\n"])
def test_ten_times_as_long_costs_ten_times_as_much(tmp_path, piece):
    def refused():
        with pytest.raises(FormatError):
            formats.read(tmp_path / "a.xyz")

    def work(count):
        (tmp_path / "a.xyz").write_bytes(piece * count)
        return calls(refused)

    work(1000)
    assert work(10_000) <= 11 * work(1000)
    work(400_000)  # an expression that tries again and again would not end
