"""Scans of several large components: which of them are the face, and which seams between them are closed."""

from dataclasses import replace

import numpy as np
import pytest

from fer3d.config import PreprocessSettings
from fer3d.errors import PrepareError
from fer3d.face.load import mean_face
from fer3d.kernels import topology
from fer3d.prepare import prepare
from fer3d.prepare.align import to_millimetres
from fer3d.prepare.clean import clean, close_seams, drop_bad_faces, face_components, largest_component
from fer3d.scan import Scan
from tests import shapes

SMALL = PreprocessSettings(size=48, maps=("depth",))


@pytest.fixture(scope="module")
def face():
    """Landmarks, vertices and faces of a mean face of one component: to 105 mm from the nose, with edges of 3.5 mm."""
    whole = mean_face()
    near = (np.linalg.norm(whole.vertices, axis=1) < 105.0)[whole.faces].all(axis=1)
    _, row = np.unique(np.floor(whole.vertices / 3.5), axis=0, return_inverse=True)
    row = row.ravel()
    vertices = np.stack([np.bincount(row, x) / np.bincount(row) for x in whole.vertices.T], axis=1)
    faces = row[whole.faces[near]]
    whole_faces = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    sound = largest_component(drop_bad_faces(Scan.of(vertices, faces[whole_faces])))
    return whole.landmarks, sound.vertices.astype(float), sound.faces


def used(vertices, faces):
    rows = np.unique(faces)
    return vertices[rows], np.searchsorted(rows, faces)


def joined(*parts, landmarks=None):
    """Parts, each vertices and faces, as one scan of separate components."""
    first = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    faces = [faces + start for (_, faces), start in zip(parts, first, strict=False)]
    return Scan.of(np.concatenate([v for v, _ in parts]), np.concatenate(faces), landmarks=landmarks or {})


def shifted(vertices, x=0.0, y=0.0, z=0.0):
    return vertices + np.array([x, y, z])


def wall(half, z, x=0.0, y=0.0, bulge=0.0):
    """A square wall; with `bulge` mm it is wavy, as cloth is."""
    shape = shapes.plane(half, half / 20)
    v = shifted(shape.vertices, x, y, z)
    v[:, 2] += bulge * np.sin(v[:, 0] / 17) * np.cos(v[:, 1] / 23)
    return v, shape.faces


def pixels(scan, **frame):
    """Number of measured pixels, the prepared scan, and its record of the choice."""
    prepared, maps = prepare(scan, SMALL, **frame)
    steps = {entry["step"]: entry for entry in prepared.history}
    return int((maps.mask == 1).sum()), prepared, steps.get("face_components")


def crumbs(count, reach, seed=0):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-reach, reach, (count, 3))
    return (centre[:, None] + rng.normal(0, 2, (count, 3, 3))).reshape(-1, 3), np.arange(3 * count).reshape(-1, 3)


@pytest.fixture(scope="module")
def wanted(face):
    """Number of pixels of the face alone, with its landmarks."""
    return pixels(joined(face[1:], landmarks=face[0]))[0]


@pytest.mark.parametrize(
    ("others", "marked"),
    [
        ([wall(150.0, -160.0)], True),
        ([wall(700.0, -400.0)], True),
        ([wall(150.0, -160.0), crumbs(150, 5e4)], False),
        ([wall(150.0, -90.0, y=-220.0, bulge=6.0), wall(1500.0, -600.0)], True),
        ([wall(150.0, -90.0, y=-220.0, bulge=6.0), wall(1500.0, -600.0)], False),
    ],
    ids=["wall", "large wall", "wall and crumbs", "shirt and room", "shirt and room without landmarks"],
)
def test_the_face_is_kept_and_not_what_is_larger(face, wanted, others, marked):
    landmarks, *bare = face
    got, prepared, record = pixels(joined(*others, bare, landmarks=landmarks if marked else None))
    assert abs(got - wanted) < 0.02 * wanted
    assert record["kept"] == 1 and record["chosen_by"] == ("landmarks" if marked else "found")
    assert record["area_dropped"] > 0.5
    (warning,) = prepared.warnings
    count = record["components"]
    assert warning.startswith("cleaning dropped ") and warning.endswith(f": {count - 1} of {count} components")


@pytest.mark.parametrize(
    ("bar", "marked"),
    [((22.0, 50.0), False), ((22.0, 50.0), True), ((-52.0, -20.0), True)],
    ids=["eyes", "eyes, landmarks", "mouth"],
)
def test_a_face_cut_by_a_bar_keeps_both_parts(face, wanted, bar, marked):
    landmarks, vertices, faces = face
    height = vertices[faces].mean(axis=1)[:, 1]
    cut = joined((vertices, faces[(height < bar[0]) | (height > bar[1])]), landmarks=landmarks if marked else None)
    got, prepared, record = pixels(cut)
    assert record["kept"] == record["components"] == 2
    assert not prepared.warnings
    y = prepared.vertices[:, 1]
    assert (y < bar[0] - 5).any() and (y > bar[1] + 5).any()
    assert pixels(replace(largest_component(cut), landmarks=landmarks))[0] < 0.9 * got < 0.9 * wanted


def test_cleaning_a_cut_face_twice_changes_nothing(face):
    landmarks, vertices, faces = face
    height = vertices[faces].mean(axis=1)[:, 1]
    once = clean(joined((vertices, faces[(height < 22) | (height > 50)]), landmarks=landmarks))
    twice = clean(once)
    np.testing.assert_array_equal(twice.vertices, once.vertices)
    np.testing.assert_array_equal(twice.faces, once.faces)


def halves(face):
    _, vertices, faces = face
    left = vertices[faces].mean(axis=1)[:, 0] < 0
    return used(vertices, faces[left]), used(vertices, faces[~left])


@pytest.mark.parametrize(
    ("gap", "inside_out", "marked"),
    [(1e-4, False, True), (0.01, True, True), (1.0, False, False), (1.0, True, True)],
)
def test_halves_that_meet_are_one_face(face, wanted, gap, inside_out, marked):
    """Within a twentieth of an edge their seam is closed; farther apart both are kept."""
    left, (right, faces) = halves(face)
    two = joined(left, (shifted(right, gap), faces[:, ::-1] if inside_out else faces))
    got, prepared, record = pixels(replace(two, landmarks=face[0] if marked else {}))
    assert abs(got - wanted) < 0.02 * wanted
    assert not prepared.warnings
    (seam,) = [entry for entry in prepared.history if entry["step"] == "close_seams"] or [None]
    if gap == 1.0:
        assert seam is None and record["kept"] == 2
    else:
        assert record is None and seam["edges"] > 50 and seam["gap_mm"] == pytest.approx(gap, rel=0.05)


def test_a_closed_seam_keeps_the_uv_of_both_sides(face):
    (left, left_faces), (right, right_faces) = halves(face)
    scan = joined((left, left_faces), (shifted(right, 1e-3), right_faces))
    uv = np.random.default_rng(0).random((len(scan.vertices), 2)).astype(np.float32)
    found = close_seams(replace(scan, uv=uv))
    np.testing.assert_array_equal(found.uv, uv)
    np.testing.assert_array_equal(found.faces, scan.faces)
    assert np.abs(found.vertices - scan.vertices).max() <= 1.001e-3
    welded = topology.welded_faces(found.faces, topology.weld(found.vertices))
    assert topology.components(welded, topology.face_neighbours(welded, len(found.vertices)))[2] == 1


def test_what_is_no_seam_is_left_as_it_is(face):
    """A slit within one component, as between lips; two copies of a surface; one sheet upon the edge of another."""
    sheet = shapes.plane(10.0, 1.0)
    centre = sheet.vertices[sheet.faces].mean(axis=1)
    slit = (np.abs(centre[:, 0]) < 5) & (centre[:, 1] > 0)
    rows = np.unique(sheet.faces[slit])
    lips = sheet.faces.copy()
    on_slit = np.isin(rows, np.unique(sheet.faces[~slit])) & (np.abs(sheet.vertices[rows, 0]) < 4)
    copies = np.arange(on_slit.sum()) + len(sheet.vertices)
    new = dict(zip(rows[on_slit].tolist(), copies.tolist(), strict=True))
    lips[slit] = np.vectorize(lambda row: new.get(row, row))(lips[slit])
    opened = shifted(sheet.vertices[rows[on_slit]], y=1e-3)
    for scan in (
        Scan.of(np.concatenate([sheet.vertices, opened]), lips),
        joined((sheet.vertices, sheet.faces), (shifted(sheet.vertices, z=1e-3), sheet.faces)),
        joined((sheet.vertices, sheet.faces), (shifted(sheet.vertices, z=1e-3), sheet.faces[:, ::-1])),
        joined((sheet.vertices, sheet.faces), (shifted(sheet.vertices, 20.5), sheet.faces)),
    ):
        assert close_seams(scan) is scan


@pytest.mark.parametrize("off", [0.0, 1e-3, 1e-2])
def test_a_soup_of_triangles_is_one_surface(face, off):
    _, vertices, faces = face
    soup = vertices[faces].reshape(-1, 3)
    soup = soup + np.random.default_rng(1).uniform(-off, off, soup.shape)
    found = clean(Scan.of(soup, np.arange(len(soup)).reshape(-1, 3)))
    assert len(found.faces) > 0.99 * len(faces)
    welded = topology.welded_faces(found.faces, topology.weld(found.vertices))
    assert topology.components(welded, topology.face_neighbours(welded, len(found.vertices)))[2] == 1


@pytest.mark.parametrize("turned", [False, True])
def test_a_surface_that_a_file_holds_twice_is_used_once(face, wanted, turned):
    landmarks, vertices, faces = face
    twice = joined((vertices, faces), (shifted(vertices, 0.05, 0.05, 0.1), faces[:, ::-1] if turned else faces))
    got, prepared, record = pixels(replace(twice, landmarks=landmarks))
    assert (record["kept"], record["copies"]) == (1, 1)
    assert not prepared.warnings  # nothing is lost
    assert abs(got - wanted) < 0.01 * wanted


def test_a_second_person_is_told(face):
    landmarks, vertices, faces = face
    both = joined((shifted(0.9 * vertices, 260, 20, -80), faces), (vertices, faces))
    _, prepared, _ = pixels(both)
    assert np.linalg.norm(np.linalg.solve(prepared.placement, [0, 0, 0, 1.0])[:3]) < 2  # the larger one
    assert [text for text in prepared.warnings if "face" in text] == ["the scan shows 2 faces; the largest was taken"]
    there = {name: 0.9 * point + [260, 20, -80] for name, point in landmarks.items()}
    _, prepared, record = pixels(replace(both, landmarks=there))
    nose = np.linalg.solve(prepared.placement, [0, 0, 0, 1.0])[:3]
    np.testing.assert_allclose(nose, [260, 20, -80], atol=2)  # the one with the landmarks
    assert record["chosen_by"] == "landmarks"


def test_where_nothing_looks_like_a_face_the_largest_is_kept_and_it_is_told(face):
    scan = joined(wall(60.0, 0.0), wall(50.0, 60.0))
    found = face_components(scan)
    assert found.warnings == (
        "cleaning dropped 41% of the surface: 1 of 2 components",
        "no component looks like a face: the largest is kept",
    )
    np.testing.assert_array_equal(found.vertices, largest_component(scan).vertices)
    with pytest.raises(PrepareError, match="^no face found: the likeliest place is a face with a probability of"):
        prepare(scan, SMALL)


def test_crumbs_are_dropped_without_a_search_and_without_a_doubt(face, monkeypatch):
    monkeypatch.setattr("fer3d.prepare.components.of_face", None)
    found = clean(joined(face[1:], crumbs(100, 300.0)))
    record = next(entry for entry in found.history if entry["step"] == "largest_component")
    assert record["components"] == 101 and "area_dropped" not in record
    assert not found.warnings


@pytest.mark.parametrize(
    ("others", "unit"),
    [
        *((crumbs(120, 900.0), unit) for unit in (1.0, 0.1, 0.001)),
        *((crumbs(400, 4e4), unit) for unit in (1.0, 0.1, 0.001)),
        *((wall(1500.0, -900.0), unit) for unit in (1.0, 0.001)),
    ],
)
def test_the_unit_is_guessed_from_what_matters(face, others, unit):
    scan = joined(face[1:], others)
    found = to_millimetres(replace(scan, vertices=(scan.vertices * unit).astype(np.float32)))
    assert found.history[-1]["mm_per_unit"] == pytest.approx(1 / unit)
    assert found.history[-1]["reason"].endswith("without crumbs and other components")


def test_points_that_are_nowhere_do_not_count_for_the_unit(face):
    vertices, faces = face[1:]
    broken = vertices.copy()
    broken[:3] = [[np.nan, 0, 0], [0, np.inf, 0], [1e7, 0, 0]]
    assert to_millimetres(Scan.of(broken, faces)).history[-1]["unit"] == "mm"
