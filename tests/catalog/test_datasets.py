"""Every card in datasets/ against a tree of its names. A new data set needs a tree here, a path, and a README row."""

import math
import re
from pathlib import Path

import pytest

from fer3d.catalog import Record, detect, read_catalog, read_records
from fer3d.catalog.cards import SHIPPED, Card, load_card, shipped_cards
from fer3d.scan import EXPRESSIONS, LABELS
from tests import trees

# dataset -> (path, what its record must say): no two fields equal, so that none can stand for another
PATHS = {
    "bu3dfe": (
        "F0002/F0002_SU03AE_F3D.wrl",
        {
            "id": "F0002_SU03AE_F3D",
            "subject": "F0002",
            "expression": "surprise",
            "intensity": 3,
            "attributes": {"sex": "female", "ethnicity": "east asian"},
        },
    ),
    "bu4dfe": (
        "M043/Happy/017.wrl",
        {
            "id": "M043_Happy_017",
            "subject": "M043",
            "expression": "happiness",
            "sequence": "M043_Happy",
            "frame": 17,
            "attributes": {"sex": "male"},
        },
    ),
    "bosphorus": (
        "bs104/bs104_E_SADNESS_1.bnt",
        {
            "id": "bs104_E_SADNESS_1",
            "subject": "bs104",
            "expression": "sadness",
            "attributes": {"kind": "E", "repeat": "1"},
        },
    ),
    "frgc": (
        "Spring2004range/04717d43.abs.gz",
        {"id": "04717d43", "subject": "04717", "attributes": {"session": "Spring2004", "recording": "43"}},
    ),
    "generic": ("bert/disgusted/007.ply", {"id": "bert--disgusted--007", "subject": "bert", "expression": "disgust"}),
    "fer2013-folders": (
        "train/angry/Training_3908.jpg",
        {
            "id": "train--angry--Training_3908",
            "subject": "train/angry/Training_3908",
            "expression": "anger",
            "attributes": {"part": "train"},
        },
    ),
    "ferplus": (
        "a/fer0000012.png",
        {"id": "fer0000012", "subject": "fer0000012", "attributes": {"number": "fer0000012"}},
    ),
    "ckplus": (
        "cohn-kanade-images/S005/001/S005_001_00000011.png",
        {
            "id": "S005_001_00000011",
            "subject": "S005",
            "sequence": "S005_001",
            "frame": 11,
            "attributes": {"folder": "001", "take": "001", "from_end": "0"},
        },
    ),
    "jaffe": (
        "KM.DI3.13.tiff",
        {
            "id": "KM.DI3.13",
            "subject": "KM",
            "expression": "disgust",
            "attributes": {"repeat": "3", "number": "13"},
        },
    ),
    "kdef": (
        "BM35/BM35AFHR.JPG",
        {
            "id": "BM35AFHR",
            "subject": "M35",
            "expression": "fear",
            "attributes": {"session": "B", "sex": "male", "pose": "HR"},
        },
    ),
    "mmi": (
        "Sessions/1767/S001-007.avi",
        {
            "id": "S001-007",
            "subject": "S001",
            "sequence": "S001-007",
            "attributes": {"session": "1767", "clip": "007"},
        },
    ),
    "oulu-casia": (
        "OriginalImg/VL/Weak/P031/Fear/012.jpeg",
        {
            "id": "OriginalImg--VL--Weak--P031--Fear--012",
            "subject": "P031",
            "expression": "fear",
            "sequence": "OriginalImg/VL/Weak/P031/Fear",
            "frame": 12,
            "attributes": {"light": "visible", "level": "Weak"},
        },
    ),
    "raf-db": (
        "DATASET/train/5/train_00017_aligned.jpg",
        {"id": "train_00017_aligned", "subject": "train_00017_aligned", "expression": "sadness"}
        | {"attributes": {"part": "train", "version": "aligned"}},
    ),
    "affectnet": (
        "Manually_Annotated_Images/103/29a31ebf.jpg",
        {"id": "103_29a31ebf", "subject": "103_29a31ebf", "attributes": {"group": "103", "hash": "29a31ebf"}},
    ),
    "affectnet-files": (
        "val_set/images/12.jpg",
        {"id": "val_set_12", "subject": "val_set_12", "attributes": {"part": "validation", "number": "12"}},
    ),
    "sfew": (
        "Val_Aligned_Faces/Happy/Hangover_7.png",
        {
            "id": "Val_Aligned_Faces--Happy--Hangover_7",
            "subject": "Val_Aligned_Faces/Happy/Hangover_7",
            "expression": "happiness",
            "attributes": {"part": "validation", "version": "aligned"},
        },
    ),
    "afew": (
        "Train_AFEW/Fear/000046280.avi",
        {
            "id": "Train_000046280",
            "subject": "Train_000046280",
            "expression": "fear",
            "sequence": "Train_000046280",
            "attributes": {"part": "train", "clip": "000046280"},
        },
    ),
    "multi-pie": (
        "data/session02/multiview/017/02/14_0/017_02_02_140_08.png",
        {
            "id": "017_02_02_140_08",
            "subject": "017",
            "expression": "surprise",
            "attributes": {"session": "02", "recording": "02", "flash": "08", "pose": "140"},
        },
    ),
    "fed-ro": (
        "FED-RO/fearful/12.jpg",
        {"id": "FED-RO--fearful--12", "subject": "FED-RO/fearful/12", "expression": "fear"},
    ),
    "pictures": ("bert/disgusted/007.jpg", {"id": "bert--disgusted--007", "subject": "bert", "expression": "disgust"}),
}
INSIDE = {"fer2013", "tfd"}  # their pictures are entries of one file


@pytest.fixture(params=shipped_cards())
def card(request: pytest.FixtureRequest) -> Card:
    return load_card(request.param)


def one(folder: Path, name: str, dataset: str) -> Record:
    """The record of a folder with this one file."""
    trees.touch(folder, [name])
    (record,) = read_records(folder, load_card(dataset))
    return record


def test_shipped_cards_are_the_folders_of_datasets():
    folders = {path.name for path in SHIPPED.iterdir() if path.is_dir()}
    assert set(shipped_cards()) == folders == set(trees.MAKE) == set(PATHS) | INSIDE


def test_card_is_named_as_its_folder(card: Card):
    assert load_card(SHIPPED / card.name).name == card.name


def test_card_is_in_the_readme(card: Card):
    assert f"| `{card.name}` |" in (SHIPPED / "README.md").read_text(encoding="utf-8")


def test_every_label_of_a_card_is_a_canonical_label(card: Card):
    assert set(card.labels.values()) <= set(LABELS)


def test_expected_subjects_fit_the_pattern(card: Card):
    for subject in card.expected.subjects:
        name = card.layout.replace(re.match(r"[^/]+", card.layout)[0], subject)
        assert card.match(name)["subject"] == subject


def test_expected_scans_are_subjects_times_scans_of_a_subject():
    expected = load_card("bu3dfe").expected
    assert len(expected.subjects) == 100
    assert expected.scans == 100 * sum(len(levels) for levels in expected.per_subject.values())
    expected = load_card("bu4dfe").expected
    assert expected.sequences == len(expected.subjects) * sum(expected.per_subject.values()) == 606
    assert load_card("bosphorus").expected.subjects[::104] == ("bs000", "bs104")


def test_layout_is_a_path_that_the_card_matches(card: Card, tmp_path: Path):
    if card.name in INSIDE:
        pytest.skip("the pictures are entries of one file")
    layout = card.layout.replace("expression", "happy")
    assert one(tmp_path, layout, card.name).relative == layout


def test_path_gives_the_record(card: Card, tmp_path: Path):
    if card.name in INSIDE:
        pytest.skip("the pictures are entries of one file")
    path, wanted = PATHS[card.name]
    record = one(tmp_path, path, card.name)
    fields = ("id", "subject", "expression", "intensity", "sequence", "frame", "attributes")
    empty = {"expression": None, "intensity": None, "sequence": None, "frame": None, "attributes": {}}
    assert {name: getattr(record, name) for name in fields} == {**empty, **wanted}
    assert record.dataset == card.name
    assert record.relative == path
    assert record.error is None
    assert record.files["scan"] == tmp_path / path
    assert record.files["scan"].is_file()


def test_tree_is_detected_and_read_whole(card: Card, tmp_path: Path):
    folder = trees.MAKE[card.name](tmp_path / "scans")
    detection = detect(folder)
    assert detection.card.name == card.name
    assert detection.share > 0.9
    catalog = read_catalog(folder, card)
    assert detection.matched == len(catalog.records) > 0
    assert [record.id for record in catalog.records] == sorted(record.id for record in catalog.records)
    assert len({record.id for record in catalog.records}) == len(catalog.records)
    assert catalog.extra == ()
    assert catalog.notes == ()
    for record in catalog.records:
        assert record.error is None
        assert record.problems == ()
        assert all(path.is_file() for path in record.files.values())
        assert re.fullmatch(r"[A-Za-z0-9._-]+", record.id)


def test_bu3dfe_counts(tmp_path: Path):
    found = read_records(trees.bu3dfe(tmp_path), load_card("bu3dfe"))
    assert len(found) == 2 * 25
    assert sum(record.expression == "neutral" for record in found) == 2
    assert {record.intensity for record in found if record.expression == "neutral"} == {0}
    for label in EXPRESSIONS[1:]:
        assert [r.intensity for r in found if r.expression == label and r.subject == "M0003"] == [1, 2, 3, 4]


def test_bu3dfe_companions(tmp_path: Path):
    record = read_records(trees.bu3dfe(tmp_path), load_card("bu3dfe"))[0]
    assert {role: path.name for role, path in record.files.items()} == {
        "scan": "F0001_AN01WH_F3D.wrl",
        "landmarks": "F0001_AN01WH_F3D.bnd",
        "texture": "F0001_AN01WH_F3D.bmp",
        "raw": "F0001_AN01WH_RAW.wrl",
        "pose": "F0001_AN01WH_RAW.pse",
        "photo": "F0001_AN01WH_F2D.bmp",
    }


@pytest.mark.parametrize(
    ("landmarks", "place"),
    [
        ("inside", "scans/BU4DFE_BND_V1.1/F001/Fear/002.bnd"),
        ("beside", "BU4DFE_BND_V1.1/F001/Fear/002.bnd"),
        ("with", "scans/F001/Fear/002.bnd"),
    ],
)
def test_bu4dfe_landmarks_are_found_where_they_are(tmp_path: Path, landmarks: str, place: str):
    found = read_records(trees.bu4dfe(tmp_path / "scans", landmarks=landmarks), load_card("bu4dfe"))
    files = {record.id: record.files for record in found}
    assert files["F001_Fear_002"]["landmarks"].resolve() == (tmp_path / place).resolve()
    assert all("landmarks" in roles for roles in files.values())


def test_bu4dfe_without_landmarks_says_so(tmp_path: Path):
    found = read_records(trees.bu4dfe(tmp_path, landmarks=None), load_card("bu4dfe"))
    assert found[0].problems == ("no landmarks file, wanted 000.bnd",)
    assert found[0].error is None


def test_bu4dfe_frames_are_in_sequence(tmp_path: Path):
    found = read_records(trees.bu4dfe(tmp_path, frames=3), load_card("bu4dfe"))
    assert [r.frame for r in found if r.sequence == "M043_Sad"] == list(range(3 + 4))
    assert len({r.sequence for r in found}) == 12


@pytest.mark.parametrize(
    ("stem", "units"),
    [
        ("LFAU_12", ("AU12",)),
        ("LFAU_12L", ("AU12L",)),
        ("LFAU_12R", ("AU12R",)),
        ("LFAU_12LW", ("AU12LW",)),
        ("UFAU_43", ("AU43",)),
        ("CAU_A22A25", ("AU22", "AU25")),
        ("CAU_A26A12lw", ("AU26", "AU12LW")),
        ("CAU_A12A15", ("AU12", "AU15")),
        ("N_N", ()),
    ],
)
def test_bosphorus_action_units(tmp_path: Path, stem: str, units: tuple[str, ...]):
    record = one(tmp_path, f"bs007/bs007_{stem}_2.bnt", "bosphorus")
    assert record.action_units == units
    assert record.subject == "bs007"
    assert record.expression == ("neutral" if stem == "N_N" else None)


@pytest.mark.parametrize(
    ("code", "degrees"),
    [
        ("YR_R10", (-10, 0, 0)),
        ("YR_R90", (-90, 0, 0)),
        ("YR_L45", (45, 0, 0)),
        ("PR_SU", (0, math.nan, 0)),
        ("CR_RD", (math.nan, math.nan, 0)),
    ],
)
def test_bosphorus_poses_are_radians_and_nan_where_unknown(tmp_path: Path, code: str, degrees: tuple[float, ...]):
    record = one(tmp_path, f"bs007/bs007_{code}_0.bnt", "bosphorus")
    assert record.pose == pytest.approx([math.radians(angle) for angle in degrees], nan_ok=True)
    assert record.attributes["pose"] == code
    assert record.expression is None


def test_bosphorus_unknown_pose_is_a_problem(tmp_path: Path):
    record = one(tmp_path, "bs007/bs007_YR_R15_0.bnt", "bosphorus")
    assert record.pose is None
    assert record.error is None
    assert re.fullmatch(r"unknown pose 'YR_R15', wanted one of YR_R10, .*", record.problems[0])


@pytest.mark.parametrize(
    ("code", "occlusion"), [("EYE", "hand over eye"), ("GLASSES", "eyeglasses"), ("HAIR", "hair"), ("MASK", "MASK")]
)
def test_bosphorus_occlusions(tmp_path: Path, code: str, occlusion: str):
    assert one(tmp_path, f"bs007/bs007_O_{code}_0.bnt", "bosphorus").occlusion == occlusion


def test_bosphorus_unknown_expression_is_a_problem(tmp_path: Path):
    record = one(tmp_path, "bs007/bs007_E_BOREDOM_0.bnt", "bosphorus")
    assert record.expression is None
    assert re.fullmatch(r"unknown expression 'BOREDOM', wanted one of N, ANGER, .*", record.problems[0])


def test_bosphorus_ignored_scans_are_left_alone(tmp_path: Path):
    catalog = read_catalog(trees.bosphorus(tmp_path), load_card("bosphorus"))
    assert not any("IGN" in record.id for record in catalog.records)
    assert catalog.ignored == 3  # one a subject, and the list of subjects
    assert len(catalog.records) == 2 * len(trees.BOSPHORUS_STEMS)


def test_frgc_subject_is_one_person_in_all_sessions(tmp_path: Path):
    found = read_records(trees.frgc(tmp_path), load_card("frgc"))
    sessions = [(record.subject, record.attributes["session"]) for record in found]
    assert sorted(sessions) == [
        ("02463", "Spring2003"),
        ("04717", "Fall2003"),
        ("04717", "Fall2003"),
        ("04717", "Spring2004"),
    ]
    assert all(record.expression is None for record in found)


def test_frgc_takes_a_users_landmarks(tmp_path: Path):
    trees.touch(trees.frgc(tmp_path), ["Fall2003range/04717d43.lm3"])
    with_landmarks = [r.id for r in read_records(tmp_path, load_card("frgc")) if "landmarks" in r.files]
    assert with_landmarks == ["04717d43"]


@pytest.mark.parametrize(
    ("path", "subject", "expression"),
    [  # the table of datasets/README.md
        ("anna/happy/3.ply", "anna", "happiness"),
        ("anna/happy/day2/3.ply", "anna", "happiness"),
        ("study/anna/happy/3.ply", "anna", "happiness"),
        ("happy/anna/3.ply", "anna", "happiness"),
        ("happy/anna_3.ply", "anna", "happiness"),
        ("anna/happy_3.ply", "anna", "happiness"),
        ("anna/happy3.ply", "anna", "happiness"),
        ("anna_happy_3.ply", "anna", "happiness"),
        ("x/anna_3_happy.ply", "anna", "happiness"),
        ("anna/3.ply", "anna", None),
        ("anna_3.ply", "anna", None),
        ("anna/SA/3.wrl", "anna", "sadness"),
        ("anna/sa/3.wrl", "sa", None),  # two letters in lower case are no label
        ("anna/SURPRISE/3.OBJ", "anna", "surprise"),
        ("s01_Angry_2.stl", "s01", "anger"),
        ("unhappy/3.glb", "unhappy", None),
        ("s01_AN03.abs.gz", "s01", "anger"),
        ("Åsa Öst/fear/a b.off", "Åsa Öst", "fear"),
    ],
)
def test_generic_reads_subject_and_expression_from_the_path(
    tmp_path: Path, path: str, subject: str, expression: str | None
):
    record = one(tmp_path, path, "generic")
    assert (record.subject, record.expression) == (subject, expression)
    assert record.problems == ()
