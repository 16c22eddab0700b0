"""Range images: .bnt of Bosphorus and .abs of FRGC."""

import gzip
import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fer3d import formats
from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.formats import bnt, frgc, range_grid
from fer3d.scan import Scan

ROWS, COLUMNS = 5, 7  # not square: a swap shows


def surface(pitch=0.76, rows=ROWS, columns=COLUMNS):
    """(rows, columns, 3): x grows with the column, y with the row."""
    y, x = np.mgrid[:rows, :columns].astype(float)
    return np.stack([x, y, 0.1 * x + 0.02 * y * y - 40], axis=-1) * pitch


def bnt_grid(hole=(2, 3)):
    planes = np.empty((5, ROWS, COLUMNS))
    planes[:3] = np.moveaxis(surface(), -1, 0)
    planes[:3, hole[0], hole[1]] = -1e9
    planes[3] = np.linspace(0.1, 0.9, COLUMNS)[None, :]
    planes[4] = np.linspace(0.95, 0.15, ROWS)[:, None]  # v down: the bottom row has the large v
    return bnt.Grid(planes, "bs000_N_N_0.png")


def normals_z(scan):
    a, b, c = (scan.vertices[scan.faces[:, k]].astype(np.float64) for k in range(3))
    return np.cross(b - a, c - a)[:, 2]


# ---- triangulate ----


@pytest.mark.parametrize("pitch", [1e-3, 1.0, 1000.0])
def test_a_full_grid_gives_two_triangles_a_cell(pitch):
    points = surface(pitch)
    faces, found = range_grid.triangulate(points, np.ones((ROWS, COLUMNS), bool))
    assert faces.shape == (2 * (ROWS - 1) * (COLUMNS - 1), 3)
    assert found == pytest.approx(pitch, rel=0.1)
    flat = points.reshape(-1, 3)[faces]
    area = np.cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0])[:, 2] / 2
    assert (area > 0).all()
    assert area.sum() == pytest.approx((ROWS - 1) * (COLUMNS - 1) * pitch**2)  # covers it once


@pytest.mark.parametrize("flip", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_faces_look_to_the_camera_whichever_way_rows_and_columns_run(flip):
    points = np.ascontiguousarray(surface()[:: flip[0], :: flip[1]])
    faces, _ = range_grid.triangulate(points, np.ones((ROWS, COLUMNS), bool))
    flat = points.reshape(-1, 3)[faces]
    assert (np.cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0])[:, 2] > 0).all()


def test_a_missing_corner_leaves_one_triangle():
    for missing in range(4):
        valid = np.ones(4, bool)
        valid[missing] = False
        faces, _ = range_grid.triangulate(surface(rows=2, columns=2), valid.reshape(2, 2))
        assert sorted(faces[0].tolist()) == [0, 1, 2]
        assert len(faces) == 1
    assert len(range_grid.triangulate(surface(rows=2, columns=2), np.eye(2, dtype=bool))[0]) == 0
    faces, pitch = range_grid.triangulate(surface(), np.zeros((ROWS, COLUMNS), bool))
    assert len(faces) == 0
    assert np.isnan(pitch)


def test_a_depth_step_is_left_open_and_a_steep_slope_is_not():
    step = surface()
    step[:, 4:, 2] -= 9 * 0.76
    faces, _ = range_grid.triangulate(step, np.ones((ROWS, COLUMNS), bool))
    columns = faces % COLUMNS
    assert ((columns <= 3).all(axis=1) | (columns >= 4).all(axis=1)).all()
    assert len(faces) == 2 * (ROWS - 1) * (COLUMNS - 2)
    all_faces, _ = range_grid.triangulate(step, np.ones((ROWS, COLUMNS), bool), longest_edge=20.0)
    assert len(all_faces) == 2 * (ROWS - 1) * (COLUMNS - 1)


def test_a_cell_is_cut_along_its_shorter_diagonal():
    points = surface(rows=2, columns=2)
    points[0, 0, 2] += 2.0  # a corner out of the plane: its diagonal to the opposite corner is the longer one
    faces, _ = range_grid.triangulate(points, np.ones((2, 2), bool))
    assert {tuple(sorted(face)) for face in faces.tolist()} == {(0, 1, 2), (1, 2, 3)}


def test_what_triangulate_refuses():
    with pytest.raises(ArgumentError, match=r"`valid` should have shape \(5, 7\), has \(7, 5\)"):
        range_grid.triangulate(surface(), np.ones((COLUMNS, ROWS), bool))
    with pytest.raises(ArgumentError, match=r"`longest_edge` should lie in \[1, inf\]"):
        range_grid.triangulate(surface(), np.ones((ROWS, COLUMNS), bool), longest_edge=0.5)


# ---- bnt ----


def test_a_bnt_file_is_written_byte_for_byte(tmp_path):
    """Against bytes laid out by hand from the format's table."""
    grid = bnt_grid()
    by_hand = struct.pack("<HHdH", ROWS, COLUMNS, -1e9, 15) + b"bs000_N_N_0.png" + struct.pack("<I", 5 * ROWS * COLUMNS)
    by_hand += b"".join(struct.pack(f"<{plane.size}d", *plane.ravel().tolist()) for plane in grid.planes)
    (tmp_path / "a.bnt").write_bytes(by_hand)
    back = bnt.read_grid(tmp_path / "a.bnt")
    assert back.image == "bs000_N_N_0.png"
    assert back.zmin == -1e9
    np.testing.assert_array_equal(back.planes, grid.planes)
    bnt.write_grid(back, tmp_path / "b.bnt")
    assert (tmp_path / "b.bnt").read_bytes() == by_hand


def test_a_bnt_scan(tmp_path):
    grid = bnt_grid()
    bnt.write_grid(grid, tmp_path / "bs000_N_N_0.bnt")
    pixels = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)
    Image.fromarray(pixels).save(tmp_path / "bs000_N_N_0.png")
    scan = formats.read(tmp_path / "bs000_N_N_0.bnt")
    assert len(scan.vertices) == ROWS * COLUMNS - 1
    hole = 2 * COLUMNS + 3
    assert scan.file_vertex.tolist() == [place for place in range(ROWS * COLUMNS) if place != hole]
    np.testing.assert_array_equal(scan.vertices, surface().reshape(-1, 3)[scan.file_vertex].astype(np.float32))
    row, column = scan.file_vertex // COLUMNS, scan.file_vertex % COLUMNS
    np.testing.assert_allclose(scan.uv[:, 0], np.linspace(0.1, 0.9, COLUMNS)[column], atol=1e-7)
    np.testing.assert_allclose(scan.uv[:, 1], 1 - np.linspace(0.95, 0.15, ROWS)[row], atol=1e-7)
    assert len(scan.faces) == 2 * (ROWS - 1) * (COLUMNS - 1) - 4  # four cells of three corners
    assert (normals_z(scan) > 0).all()
    np.testing.assert_array_equal(scan.texture, pixels)
    assert scan.warnings == ()
    record = scan.history[0]
    assert (record["format"], record["rows"], record["columns"]) == ("bnt", ROWS, COLUMNS)
    assert formats.read(tmp_path / "bs000_N_N_0.bnt", texture=False).texture is None


def test_a_point_with_one_background_coordinate_is_background(tmp_path):
    grid = bnt_grid()
    grid.planes[1, 0, 0] = -1e9
    bnt.write_grid(grid, tmp_path / "a.bnt")
    assert 0 not in formats.read(tmp_path / "a.bnt").file_vertex


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bits", [0x7FF8000000000000, 0x7FF0010000000001], ids=["quiet", "signalling"])
@pytest.mark.parametrize("plane", range(5))
def test_a_number_that_is_none_stays_none_without_a_warning(tmp_path, plane, bits):
    grid = bnt_grid()
    grid.planes.view(np.uint64)[plane, 1, 2] = bits
    bnt.write_grid(grid, tmp_path / "a.bnt")
    scan = formats.read(tmp_path / "a.bnt")
    numbers = np.concatenate([scan.vertices, scan.uv], axis=1)
    assert np.argwhere(np.isnan(numbers)).tolist() == [[COLUMNS + 2, plane]]


def test_the_texture_named_in_the_header_comes_before_the_stem(tmp_path):
    bnt.write_grid(bnt_grid(), tmp_path / "other.bnt")
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "other.png")
    scan = formats.read(tmp_path / "other.bnt")
    assert scan.texture[0, 0].tolist() == [1, 2, 3]
    assert "its texture 'bs000_N_N_0.png' is not beside it; other.png was used" in scan.warnings[0]
    Image.new("RGB", (2, 2), (4, 5, 6)).save(tmp_path / "bs000_N_N_0.png")
    assert formats.read(tmp_path / "other.bnt").texture[0, 0].tolist() == [4, 5, 6]


def test_a_scan_from_a_grid_is_written_as_one(tmp_path):
    bnt.write_grid(bnt_grid(), tmp_path / "a.bnt")
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "bs000_N_N_0.png")
    scan = formats.read(tmp_path / "a.bnt")
    for suffix in (".bnt", ".abs", ".abs.gz"):
        formats.write(scan, tmp_path / f"b{suffix}")
        back = formats.read(tmp_path / f"b{suffix}")
        order = np.arange(len(back.vertices)) if suffix == ".bnt" else _rows_upside_down(scan)
        np.testing.assert_allclose(back.vertices, scan.vertices[order], atol=5e-7)
        assert len(back.faces) == len(scan.faces)
        assert (normals_z(back) > 0).all()
        assert back.texture[0, 0].tolist() == [1, 2, 3]
        formats.write(back, tmp_path / "c.bnt")  # .abs to .bnt turns the rows again
        np.testing.assert_array_equal(formats.read(tmp_path / "c.bnt").file_vertex, scan.file_vertex)


def test_a_scan_without_looks_is_written_as_a_grid_too(tmp_path):
    bnt.write_grid(bnt_grid(), tmp_path / "a.bnt")
    scan = replace(formats.read(tmp_path / "a.bnt", texture=False), uv=None)
    formats.write(scan, tmp_path / "b.bnt")
    back = formats.read(tmp_path / "b.bnt", texture=False)
    np.testing.assert_array_equal(back.vertices, scan.vertices)
    assert (bnt.read_grid(tmp_path / "b.bnt").planes[3:] == 0).all()
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize("place", [-1, ROWS * COLUMNS, 1])
def test_a_scan_whose_vertices_have_no_place_of_their_own_is_no_grid(tmp_path, place):
    """A hole that was filled has vertices of place -1; a vertex may have been doubled."""
    bnt.write_grid(bnt_grid(), tmp_path / "a.bnt")
    scan = formats.read(tmp_path / "a.bnt", texture=False)
    places = np.where(np.arange(len(scan.vertices)) == 5, np.int32(place), scan.file_vertex)
    with pytest.raises(ArgumentError, match="should hold distinct places of the"):
        formats.write(replace(scan, file_vertex=places), tmp_path / "b.bnt")


def _rows_upside_down(scan):
    row, column = scan.file_vertex // COLUMNS, scan.file_vertex % COLUMNS
    return np.argsort((ROWS - 1 - row) * COLUMNS + column)


def test_what_bnt_refuses_to_write(tmp_path):
    scan = Scan.of(surface().reshape(-1, 3), [[0, 1, 2]])
    for suffix in (".bnt", ".abs"):
        with pytest.raises(ArgumentError, match=r"`scan` should come from a range image \(\.bnt, \.abs\)"):
            formats.write(scan, tmp_path / f"a{suffix}")
    with pytest.raises(ArgumentError, match=r"`grid.planes` should have shape \(5, H, W\)"):
        bnt.write_grid(bnt.Grid(np.zeros((4, 2, 2)), "a"), tmp_path / "a.bnt")
    with pytest.raises(ArgumentError, match="1 to 65535 rows and columns, has 0 x 2"):
        bnt.write_grid(bnt.Grid(np.zeros((5, 0, 2)), "a"), tmp_path / "a.bnt")
    with pytest.raises(ArgumentError, match="should be in Latin-1, is '顔'"):
        bnt.write_grid(bnt.Grid(np.zeros((5, 2, 2)), "顔"), tmp_path / "a.bnt")
    with pytest.raises(ArgumentError, match="at most 65535 characters"):
        bnt.write_grid(bnt.Grid(np.zeros((5, 2, 2)), "a" * 70000), tmp_path / "a.bnt")


def header(rows=ROWS, columns=COLUMNS, name=b"x.png", count=5 * ROWS * COLUMNS):
    return struct.pack("<HHdH", rows, columns, -1e9, len(name)) + name + struct.pack("<I", count)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"abc", "a .bnt header has 14 bytes, the file has 3"),
        (header()[:16], "its header takes 23 bytes, the file has 16"),
        (header(), "its header says 175 numbers, which take 1423 bytes; it has 23"),
        (header(65535, 65535, count=4_000_000_000), "its header says 4000000000 numbers, which take 32000000023 bytes"),
        (header(count=170) + bytes(8 * 170), "5 x 7 points are 175 numbers, it has 170: there is no grid"),
        (header() + bytes(8 * 175 + 1), "it has 1424"),
        (header(0, 7, count=0), "at least one point was wanted, it has 0 x 7"),
        (header() + struct.pack("<175d", *[-1e9] * 175), "at least one face was wanted; 0 points were measured"),
        (header() + struct.pack("<175d", *[np.nan] * 175), "at least one face was wanted"),
    ],
)
def test_what_is_wrong_with_a_bnt_is_named(tmp_path, content, message):
    path = tmp_path / "ein Gesicht ü.bnt"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        formats.read(path)


# ---- abs ----


def abs_grid():
    points = np.ascontiguousarray(surface()[::-1])  # row 0 on top
    flag = np.ones((ROWS, COLUMNS), bool)
    flag[1, 2] = False
    points[1, 2] = -999999.0
    return frgc.Grid(flag, points)


def abs_text(rows=ROWS, columns=COLUMNS, flags=None, extra=""):
    grid = abs_grid()
    flags = " ".join(map(str, grid.flag.astype(int).ravel())) if flags is None else flags
    planes = "\n".join(" ".join(f"{value:.6f}" for value in grid.points[:, :, axis].ravel()) for axis in range(3))
    return f"{rows} rows\n{columns} columns\npixels (flag X Y Z):\n{flags}\n{planes}\n{extra}"


@pytest.mark.parametrize("name", ["04201d302.abs", "04201d302.ABS.GZ"])
def test_an_abs_scan(tmp_path, name):
    content = abs_text().encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("GZ") else content)
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "04201d302.ppm")
    scan = formats.read(tmp_path / name)
    places = [place for place in range(ROWS * COLUMNS) if place != COLUMNS + 2]
    assert scan.file_vertex.tolist() == places
    np.testing.assert_allclose(scan.vertices, surface()[::-1].reshape(-1, 3)[places], atol=1e-5)
    assert (normals_z(scan) > 0).all()
    assert scan.uv[0].tolist() == pytest.approx([0.5 / COLUMNS, 1 - 0.5 / ROWS])
    assert scan.uv[-1].tolist() == pytest.approx([1 - 0.5 / COLUMNS, 0.5 / ROWS])
    assert scan.texture[0, 0].tolist() == [1, 2, 3]
    assert scan.history[0]["format"] == "abs"


def test_an_abs_without_a_picture_is_no_warning(tmp_path):
    (tmp_path / "a.abs").write_text(abs_text())
    scan = formats.read(tmp_path / "a.abs")
    assert scan.texture is None
    assert scan.warnings == ()


def test_abs_round_trip(tmp_path):
    grid = abs_grid()
    for name in ("a.abs", "a.abs.gz"):
        frgc.write_grid(grid, tmp_path / name)
        back = frgc.read_grid(tmp_path / name)
        np.testing.assert_array_equal(back.flag, grid.flag)
        np.testing.assert_allclose(back.points, grid.points, atol=5e-7)
        first = (tmp_path / name).read_bytes()
        frgc.write_grid(back, tmp_path / name)
        assert (tmp_path / name).read_bytes() == first  # the same bytes, and no time stamp in the .gz
    assert (tmp_path / "a.abs").read_text() == abs_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("five rows\n", r"should begin with 'R rows', 'C columns'"),
        (abs_text(rows=0), "at least one point was wanted, its header says 0 x 7"),
        (abs_text(rows=999_999_999, columns=999_999_999), r"says 999999999 x 999999999 points, which \d+ bytes cannot"),
        (abs_text(rows=ROWS + 1), r"line 5 \(byte 108\): `0\.000000` is not an integer"),
        (abs_text(rows=ROWS - 1), "4 x 7 points are 112 numbers, it goes on after them"),
        (abs_text(extra="7"), "5 x 7 points are 140 numbers, it goes on after them"),
        (abs_text()[:-100], "breaks off after"),
        (abs_text(flags="2 " + "1 " * 34), "flags should be 0 or 1, one is 2"),
        (abs_text(flags="0 " * 35), "at least one face was wanted; 0 points were measured"),
        (abs_text(flags="one " + "1 " * 34), r"line 4 \(byte \d+\): `one` is not an integer"),
        (abs_text().replace("-30.4", "-3O.4"), "is not a number"),
    ],
)
def test_what_is_wrong_with_an_abs_is_named(tmp_path, text, message):
    (tmp_path / "a.abs").write_text(text)
    with pytest.raises(FormatError, match=message):
        formats.read(tmp_path / "a.abs")


def test_a_damaged_or_boundless_gzip_is_refused(tmp_path, monkeypatch):
    packed = gzip.compress(abs_text().encode())
    for content in (packed[:-20], packed[:30] + b"x" + packed[31:], packed[:12]):
        (tmp_path / "a.abs.gz").write_bytes(content)
        with pytest.raises(FormatError, match="its gzip stream is damaged"):
            formats.read(tmp_path / "a.abs.gz")
    monkeypatch.setattr(frgc, "MAX_UNPACKED", 1000)
    (tmp_path / "a.abs.gz").write_bytes(gzip.compress(bytes(100_000)))
    with pytest.raises(FormatError, match="unpacks to more than 1000 bytes"):
        formats.read(tmp_path / "a.abs.gz")


def test_an_unpacked_file_may_keep_its_name(tmp_path):
    (tmp_path / "a.abs.gz").write_text(abs_text())
    assert len(formats.read(tmp_path / "a.abs.gz").vertices) == ROWS * COLUMNS - 1
    with pytest.raises(FileError, match="No such file"):
        formats.read(tmp_path / "b.abs.gz")


@pytest.mark.parametrize("suffix", [".bnt", ".abs"])
def test_a_range_image_far_from_its_origin_keeps_its_shape(tmp_path, suffix):
    y, x = np.mgrid[:4, :5].astype(float)
    points = np.stack([x, -y, 0.25 * x * y], axis=-1) * 0.001 + [500_000.0, 5_000_000.0, 30.0]
    path = tmp_path / f"a{suffix}"
    if suffix == ".bnt":
        planes = np.concatenate([np.moveaxis(points, -1, 0), np.zeros((2, 4, 5))])
        bnt.write_grid(bnt.Grid(planes, ""), path)
    else:
        frgc.write_grid(frgc.Grid(np.ones((4, 5), bool), points), path)
    scan = bnt.read(path) if suffix == ".bnt" else frgc.read(path)
    assert len(scan.faces) == 24
    np.testing.assert_allclose(scan.vertices - scan.placement[:3, 3], points.reshape(-1, 3), atol=1e-6)
    steps = scan.vertices[1:5] - scan.vertices[:4]
    np.testing.assert_allclose(steps[:, 0], 0.001, atol=1e-6)
    assert "origin" in scan.history[0]
