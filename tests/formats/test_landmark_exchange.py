"""Landmarks for other programs: what is written is read back, and says what is missing in the way of each format."""

import csv
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer3d import formats
from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.formats import landmark_files
from fer3d.formats.find import landmark_file
from fer3d.landmarks import BOSPHORUS, POINT_NAMES, SCHEMES
from fer3d.scan import Scan

ANY = (".pp", ".fcsv", ".mrk.json", ".csv", ".json")  # formats of any points
SPLIT = (".pp", ".mrk.json", ".csv", ".json")  # those that can list a missing point
RNG = np.random.default_rng(3)
ALL = {name: RNG.normal(0, 60, 3) for name in POINT_NAMES}
MISSING = np.full(3, np.nan)


def same(got, wanted):
    assert list(got) == list(wanted)
    for name, point in wanted.items():
        assert got[name].dtype == np.float64
        np.testing.assert_array_equal(got[name], point, strict=True)


names = st.one_of(
    st.sampled_from(
        ["pronasale", "bu83_17", "a, b", 'a "b"', "a;b", "a <b> & 'c'", "# a", "1.5", "nan", "ä 顔", "\\n"]
    ),
    st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12).map(str.strip),
).filter(lambda name: name and name.isprintable() and name[0] not in "=+-@'")
numbers = st.floats(-1e9, 1e9, allow_nan=False)
present = st.tuples(numbers, numbers, numbers).map(np.array)
missing = st.just(MISSING)


@pytest.mark.parametrize("suffix", ANY)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=names, point=present, more=st.dictionaries(names, st.one_of(present, missing), max_size=4))
def test_what_is_written_is_read_back_exactly(tmp_path, suffix, first, point, more):
    points = more | {first: point}
    formats.write_landmarks(points, tmp_path / f"a{suffix}")
    left_out = {name for name, p in points.items() if suffix == ".fcsv" and np.isnan(p).all()}
    same(
        formats.read_landmarks(tmp_path / f"a{suffix}"), {name: p for name, p in points.items() if name not in left_out}
    )


@pytest.mark.parametrize("suffix", ANY)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_is_written_in_its_order(tmp_path, suffix, scheme):
    formats.write_landmarks(ALL, tmp_path / f"a{suffix}", scheme=scheme)
    same(formats.read_landmarks(tmp_path / f"a{suffix}"), {name: ALL[name] for name in SCHEMES[scheme]})


@pytest.mark.parametrize("suffix", SPLIT)
def test_points_that_a_scheme_lacks_are_listed_as_missing(tmp_path, suffix):
    formats.write_landmarks({"pronasale": ALL["pronasale"]}, tmp_path / f"a{suffix}", scheme="bosphorus")
    found = formats.read_landmarks(tmp_path / f"a{suffix}")
    assert tuple(found) == SCHEMES["bosphorus"]
    assert [name for name, point in found.items() if not np.isnan(point).all()] == ["pronasale"]


def test_lm3_has_the_names_of_the_data_set(tmp_path):
    formats.write_landmarks(ALL, tmp_path / "a.lm3")
    own = landmark_files.read_lm3(tmp_path / "a.lm3")
    assert list(own) == list(BOSPHORUS)
    found = formats.read_landmarks(tmp_path / "a.lm3")
    assert tuple(found) == SCHEMES["bosphorus"]
    for name, point in found.items():
        np.testing.assert_allclose(point, ALL[name], rtol=1e-5)


def test_lm3_leaves_out_what_is_missing_or_hidden(tmp_path):
    points = ALL | {"bu83_63": MISSING}
    formats.write_landmarks(points, tmp_path / "a.lm3", visible={"alare_left": False, "alare_right": True})
    found = formats.read_landmarks(tmp_path / "a.lm3")
    assert set(SCHEMES["bosphorus"]) - set(found) == {"bu83_63", "alare_left"}


def test_bnd_names_the_nearest_vertex_of_the_file(tmp_path):
    points = {name: ALL[name] for name in SCHEMES["bu83"]}
    place = np.array(list(points.values()))
    vertices = np.concatenate([[[np.nan] * 3], place[::-1] + 0.01])
    scan = Scan.of(vertices, [[1, 2, 3]], file_vertex=np.arange(84, dtype=np.int32) * 2 + 5)
    formats.write_landmarks(ALL, tmp_path / "a.bnd", scan=scan)
    bnd = landmark_files.read_bnd(tmp_path / "a.bnd")
    assert bnd.vertex.tolist() == [2 * row + 5 for row in range(83, 0, -1)]
    same(formats.read_landmarks(tmp_path / "a.bnd"), points)


def test_bnd_cannot_lack_a_point_or_the_scan(tmp_path):
    scan = Scan.of(np.zeros((3, 3)), [[0, 1, 2]])
    lacking = {name: point for name, point in ALL.items() if name not in ("bu83_17", "bu83_18")}
    with pytest.raises(ArgumentError, match=r"`points` should hold the 83 .*; it lacks bu83_17, bu83_18$"):
        formats.write_landmarks(lacking, tmp_path / "a.bnd", scan=scan)
    with pytest.raises(ArgumentError, match="`scan` should be given"):
        formats.write_landmarks(ALL, tmp_path / "a.bnd")
    empty = Scan.of(np.full((3, 3), np.nan), [[0, 1, 2]])
    with pytest.raises(ArgumentError, match="`scan` should have vertices that are finite"):
        formats.write_landmarks(ALL, tmp_path / "a.bnd", scan=empty)
    assert not (tmp_path / "a.bnd").exists()


def test_other_programs_find_what_they_expect(tmp_path):
    points = {"pronasale": np.array([1.5, -2.0, 10.0]), "subnasale": MISSING}
    extra = {"confidence": {"pronasale": 0.875}, "visible": {"pronasale": True, "subnasale": False}}
    for suffix in ANY:
        formats.write_landmarks(points, tmp_path / f"a{suffix}", **extra)
    root = ET.fromstring((tmp_path / "a.pp").read_text())
    assert [dict(point.attrib) for point in root] == [
        {"x": "1.5", "y": "-2.0", "z": "10.0", "active": "1", "name": "pronasale"},
        {"x": "0", "y": "0", "z": "0", "active": "0", "name": "subnasale"},
    ]
    lines = (tmp_path / "a.fcsv").read_text().splitlines()
    assert lines[1] == "# CoordinateSystem = LPS"
    assert lines[3:] == ["1,1.5,-2.0,10.0,0,0,0,1,1,1,0,pronasale,confidence 0.875; visible,,2,0"]
    [markup] = json.loads((tmp_path / "a.mrk.json").read_text())["markups"]
    assert (markup["type"], markup["coordinateSystem"]) == ("Fiducial", "LPS")
    nose, below = markup["controlPoints"]
    assert (nose["label"], nose["position"], nose["positionStatus"]) == ("pronasale", [1.5, -2.0, 10.0], "defined")
    assert (below["label"], below["positionStatus"], "position" in below) == ("subnasale", "missing", False)
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["name", "x", "y", "z", "confidence", "visible"],
            ["pronasale", "1.5", "-2.0", "10.0", "0.875", "1"],
            ["subnasale", "", "", "", "", "0"],
        ]
    assert json.loads((tmp_path / "a.json").read_text())["landmarks"] == [
        {"name": "pronasale", "point": [1.5, -2.0, 10.0], "confidence": 0.875, "visible": True},
        {"name": "subnasale", "point": None, "visible": False},
    ]


def test_ras_differs_by_the_sign_of_x_and_y(tmp_path):
    formats.write_landmarks({"a": np.array([1.0, 2.0, 3.0])}, tmp_path / "a.fcsv")
    text = (tmp_path / "a.fcsv").read_text()
    for system, point in (("LPS", [1, 2, 3]), ("1", [1, 2, 3]), ("RAS", [-1, -2, 3]), ("0", [-1, -2, 3])):
        (tmp_path / "b.fcsv").write_text(text.replace("= LPS", f"= {system}"))
        assert formats.read_landmarks(tmp_path / "b.fcsv")["a"].tolist() == point


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pp", b"<PickedPoints><point x='1' y='2' z='3'>", r"is not XML \(no element found: line 1"),
        ("a.pp", b"<?xml version='1.0' encoding='x-none'?><PickedPoints/>", "is not XML"),
        ("a.pp", b"<PickedPoints>\n<point x='1' y='2' name='n'/></PickedPoints>", "line 2: a point .*, it lacks z"),
        ("a.pp", b"<PickedPoints><point active='yes'/></PickedPoints>", "`active` should be 0 or 1, is 'yes'"),
        ("a.pp", b"<PickedPoints/>", "at least one landmark was wanted"),
        ("a.pp", b"<PickedPoints>" + 2 * b"<point name='n' active='0'/>" + b"</PickedPoints>", "'n' comes twice"),
        ("a.fcsv", b"# CoordinateSystem = LPS\n", "at least one landmark was wanted"),
        ("a.fcsv", b"1,2,3,4\n", "`CoordinateSystem` should be LPS, RAS, 0 or 1, is None"),
        (
            "a.fcsv",
            b"# CoordinateSystem = LPS\n# columns = id,x\n",
            "x, y, z and label were wanted, it lacks y, z, label",
        ),
        ("a.fcsv", b'# CoordinateSystem = LPS\n# columns = label,x,y,z\n"a,1,2,3\n', "line 3: is not a row of CSV"),
        ("a.csv", b"name,x,y,z\nnose,1,,3\n", "line 2: 3 numbers were wanted, it is '1  3'"),
        ("a.csv", b"name,x,y,z\nnose,1,2,1_0\n", "line 2: 3 numbers were wanted"),
        ("a.csv", b"name,x,y,z\n,1,2,3\n", "line 2: a name of one line was wanted, it is ''"),
        ("a.csv", b'name,x,y,z\n"nose,1,2,3\n', "line 2: is not a row of CSV"),
        ("a.csv", b"name,x,y,z\n" + b"n,1,2,3\n" * 2, "line 3: landmark 'n' comes twice"),
        ("a.csv", b"name,x,y,z\nn\0,1,2,3\n", "is not UTF-8 text"),
        ("a.json", b'{"fer3d_landmarks": 1, "landmarks": [{"name": "a"}]}', "landmarks.0: `point` is missing"),
        ("a.json", b'{"fer3d_landmarks": 1, "landmarks": [{"point": [1, 2, true]}]}', "3 numbers were wanted"),
        ("a.json", b'{"fer3d_landmarks": 1, "landmarks": [{"point": [1, 2, 1%s]}]}' % (b"0" * 400), "3 numbers were"),
        ("a.json", b'{"markups": [{"coordinateUnits": "um"}]}', "coordinates in mm were wanted, they are in 'um'"),
        ("a.mrk.json", b'{"markups": [{"coordinateSystem": 5}]}', "`markups.0.coordinateSystem` should be"),
        ("a.csv", b"name,x,y,z\n" + b" " * (1 << 20), "a landmark file has at most 1048576 bytes"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        formats.read_landmarks(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "points", "more", "message"),
    [
        ("a.txt", ALL, {}, r"`path` should end in one of \.bnd, .*, is .*a\.txt"),
        ("a.pse", ALL, {}, r"`path` should end in one of \.bnd, .*, is .*a\.pse"),
        ("a.csv", {"a": np.zeros(2)}, {}, r"`points\['a'\]` should have shape \(3,\), has \(2,\)"),
        ("a.csv", {"a": np.array([1, np.nan, 2])}, {}, r"`points\['a'\]` should be 3 finite numbers, or 3 NaN"),
        ("a.csv", {"a": np.array([1, np.inf, 2])}, {}, r"`points\['a'\]` should be 3 finite numbers"),
        ("a.csv", {"=1+2": np.zeros(3)}, {}, "names that begin with none of =.*, has '=1"),
        ("a.pp", {" a": np.zeros(3)}, {}, "`points` should have names of one line, has ' a'"),
        ("a.json", {"a\nb": np.zeros(3)}, {}, "`points` should have names of one line"),
        ("a.csv", {"a": MISSING}, {}, "`points` should hold at least one point for .*a.csv, holds none"),
        ("a.lm3", {"a": np.zeros(3)}, {}, "`points` should hold at least one point of bosphorus"),
        ("a.lm3", ALL, {"scheme": "ibug68"}, "`scheme` should be bosphorus for .lm3, is 'ibug68'"),
        ("a.csv", ALL, {"scheme": "ibug"}, "`scheme` should be one of ibug68, bu83, bosphorus, is 'ibug'"),
        ("a.csv", ALL, {"confidence": {"nose": 1.0}}, "`confidence` should name points, names 'nose'"),
        ("a.csv", ALL, {"visible": {"nose": True}}, "`visible` should name points, names 'nose'"),
        (
            "a.csv",
            ALL,
            {"confidence": {"pronasale": 1.5}},
            r"`confidence\['pronasale'\]` should lie in \[0, 1\], is 1.5",
        ),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, name, points, more, message):
    with pytest.raises(ArgumentError, match=message):
        formats.write_landmarks(points, tmp_path / name, **more)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path):
    for suffix in (*ANY, ".lm3"):
        with pytest.raises(FileError, match="cannot be written"):
            formats.write_landmarks(ALL, tmp_path / "gone" / f"a{suffix}")


@pytest.mark.parametrize("name", ["a.pp", "a_picked_points.pp", "a.fcsv", "a.mrk.json"])
def test_files_of_other_programs_beside_a_scan_are_found(tmp_path, name):
    scan = tmp_path / "a.ply"
    for other in ("a.csv", "a.json", "b.pp"):
        (tmp_path / other).touch()
    assert landmark_file(scan) is None
    (tmp_path / name).touch()
    assert landmark_file(scan) == tmp_path / name
    (tmp_path / "a.bnd").touch()
    assert landmark_file(scan) == tmp_path / "a.bnd"
