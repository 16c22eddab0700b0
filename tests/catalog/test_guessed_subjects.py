"""Who is in a scan of a folder without a data set's rules: people, nobody, or unknown; and that it is said."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from fer3d.catalog import Catalog, detect, read_catalog
from fer3d.catalog.cards import load_card
from fer3d.catalog.folder_listing import Listing
from fer3d.catalog.guessed_subjects import notes_on_people
from fer3d.catalog.protocols import load_protocol, make_folds, part_folds
from fer3d.errors import CardError, ProtocolError


def catalog_of(files: Iterable[str], card: str = "generic") -> Catalog:
    listing = Listing(Path("/nowhere/set"), tuple(sorted(files)), ())
    return read_catalog(listing.folder, load_card(card), listing=listing)


def subjects_of(*files: str, card: str = "generic") -> list[str]:
    return [record.subject for record in catalog_of(files, card).records]


def rows_of(catalog: Catalog) -> list[dict[str, object]]:
    import json

    return [
        {"id": r.id, "subject": r.subject, "expression": r.expression, "attributes": json.dumps(dict(r.attributes))}
        | {"intensity": None, "sequence": None, "frame": None}
        for r in catalog.records
    ]


@pytest.mark.parametrize(
    "part", ["train", "Train", "VAL", "validation", "test", "dev", "Training_set", "fold3", "images"]
)
def test_a_folder_that_is_a_part_of_a_data_set_is_no_person(part):
    catalog = catalog_of([f"{part}/happy/P1_0.ply", f"{part}/sad/P1_1.ply", f"{part}/anna/happy/3.ply"])
    assert {record.subject for record in catalog.records} == {"P1", "anna"}
    assert {record.expression for record in catalog.records} == {"happiness", "sadness"}


def test_parts_become_the_attribute_of_that_name():
    files = [
        "Train/happy/P1_0.ply",
        "valid/happy/P2_0.ply",
        "data/Test/sad/P3_0.ply",
        "dev/sad/P4_0.ply",
        "fold1/P5/1.ply",
    ]
    parts = {record.subject: record.attributes.get("part") for record in catalog_of(files).records}
    assert parts == {"P1": "train", "P2": "validation", "P3": "test", "P4": "validation", "P5": None}
    (fold,) = part_folds(rows_of(catalog_of(files[:4])))
    assert (fold.train, fold.validation, fold.test) == (("P1",), ("P2", "P4"), ("P3",))


@pytest.mark.parametrize(
    ("names", "person"),
    [
        (("00032-08", "00032-10"), "00032"),
        (("S001_01", "S001_02"), "S001"),
        (("P1_2", "P1_10"), "P1"),
        (("032-a", "032-b"), "032"),
        (("m12 1", "m12 2"), "m12"),
    ],
)
def test_recordings_of_one_person_are_one_subject_and_said(names, person):
    folders = [f"{name}/{label}/1.ply" for name in names for label in ("happy", "sad")]
    files = [f"happy/{name}.ply" for name in names]
    for paths in (folders, files):
        assert set(subjects_of(*paths)) == {person}
    notes = "\n".join(catalog_of(folders).notes)
    assert f"{', '.join(sorted(names))} are taken for recordings of one person {person}" in notes


@pytest.mark.parametrize("name", ["sub-01", "subject_3", "anna-2", "lee-anne", "bs001"])
def test_names_of_people_stay_whole(name):
    assert subjects_of(f"{name}/happy/1.ply") == [name]


@pytest.mark.parametrize(
    "name",
    [
        "1", "0001", "IMG_0001", "img1", "DSC01234", "DSCN0003", "frame_0007", "frame7", "scan-3", "image 12", "face",
        "photo(2)", "Picture3", "MVI_0042", "PXL_20210503_101112", "20210503_101112", "P1010203", "Training_3908",
        "mesh_1", "WhatsApp Image 2021-05-03", "0f3a9c0d2b4e5f60", "Screenshot 2",
    ],
)  # fmt: skip
def test_running_numbers_and_names_of_cameras_are_no_people(name):
    catalog = catalog_of([f"happy/{name}.jpg", "sad/anna_1.jpg", "happy/anna_2.jpg"], "pictures")
    assert {record.relative: record.subject for record in catalog.records}[f"happy/{name}.jpg"] == "unknown"
    assert catalog.notes == (
        f"1 of 3 scans name no person, such as happy/{name}.jpg: their subject is unknown, so no protocol can keep "
        "people apart; add a labels.csv with the columns path and subject",
    )


def test_a_number_is_a_person_as_a_folder_or_before_a_class_or_recording():
    assert subjects_of("17/happy/1.ply", "17_happy.ply", "happy/17_2.ply", "happy/17-3.ply") == ["17"] * 4


@pytest.mark.parametrize(
    ("path", "subject", "expression"),
    [
        ("happy.ply", "unknown", "happiness"),
        ("happy_1.ply", "unknown", "happiness"),
        ("happy3.ply", "unknown", "happiness"),
        ("happy_anna_1.ply", "anna", "happiness"),
        ("train/sad_anna.ply", "anna", "sadness"),
        ("happy/_1.ply", "unknown", "happiness"),
        ("happy/_.ply", "unknown", "happiness"),
        ("session_2/happy/anna_1.ply", "anna", "happiness"),
        ("day1/anna/happy/1.ply", "anna", "happiness"),
    ],
)
def test_a_class_is_no_person(path, subject, expression):
    (record,) = catalog_of([path]).records
    assert (record.subject.removesuffix(" (train)"), record.expression) == (subject, expression)


def test_unknown_people_are_named_in_labels_csv(tmp_path):
    for name in ("happy/1.ply", "sad/1.ply"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "labels.csv").write_text("path,subject\nhappy/1.ply,anna\nsad/1.ply,bert\n")
    catalog = read_catalog(tmp_path, load_card("generic"))
    assert [record.subject for record in catalog.records] == ["anna", "bert"]
    assert catalog.notes == ()


def test_folds_of_unknown_people_are_refused():
    files = [
        f"{part}/{label}/IMG_{n}.jpg" for part in ("train", "test") for label in ("happy", "sad") for n in range(4)
    ]
    parted, whole = (
        rows_of(catalog_of(paths, "pictures")) for paths in (files, [f[f.index("/") + 1 :] for f in files])
    )
    assert {row["subject"] for row in parted} == {"unknown (train)", "unknown (test)"}
    protocol = load_protocol("k-fold", ("happiness", "sadness"), 2)
    for rows in (parted, whole):
        message = (
            rf"k-fold divides people into folds, but {len(rows)} of {len(rows)} scans name no person: add a labels"
        )
        with pytest.raises(ProtocolError, match=message):
            make_folds(protocol, rows)
    (fold,) = part_folds(parted)
    assert (fold.train, fold.test) == (("unknown (train)",), ("unknown (test)",))
    assert notes_on_people(parted, names_people=True) == (
        "16 of 16 scans name no person: whether people are in several parts is unknown",
    )


def test_unknown_people_beside_known_ones_are_one_subject_of_the_folds():
    rows = rows_of(
        catalog_of(["happy/1.ply", "sad/2.ply", *(f"{who}/happy/1.ply" for who in ("anna", "bert", "carl"))])
    )
    _, folds = make_folds(load_protocol("leave-one-out", ("happiness", "sadness")), rows)
    assert sorted(fold.test for fold in folds) == [("anna",), ("bert",), ("carl",), ("unknown",)]


def test_pictures_of_a_data_set_without_people_say_so():
    rows = [{"subject": f"train_{n}"} for n in range(3)]
    (note,) = notes_on_people(rows, names_people=False)
    assert note == "the data set names no people: each picture counts as one, and a person may be in several parts"
    assert notes_on_people(rows, names_people=True) == ()


def test_as_many_subjects_as_scans_is_said():
    (note,) = catalog_of([f"happy/{who}.ply" for who in ("anna", "bert", "carl")]).notes
    assert note.startswith("3 subjects for 3 scans, such as anna, bert, carl: are these people?")
    nearly = [f"who{n}/happy/1.ply" for n in range(9)] + ["who9/happy/1.ply", "who9/sad/1.ply"]
    assert catalog_of(nearly).notes[0].startswith("10 subjects for 11 scans, such as who0, who1, who2 and 7 more:")
    assert catalog_of([f"{who}/{label}/1.ply" for who in "ab" for label in ("happy", "sad")]).notes == ()


def test_one_person_for_all_scans_is_said():
    (note,) = catalog_of([f"mine/happy/{n}.ply" for n in range(6)]).notes
    assert note.startswith("all 6 scans are taken for one person, mine;")


@pytest.mark.parametrize(
    "names",
    [("P1", "p1"), ("P01", "P1"), ("s-1", "s_1"), ("x 7", "x7"), ("Jos\u00e9", "Jose"), ("\uff21nna", "anna")],
)
def test_subjects_that_are_alike_are_said(names):
    notes = catalog_of([f"{who}/{label}/1.ply" for who in names for label in ("happy", "sad")]).notes
    assert len(notes) == 1
    assert "differ only in case, blanks, `-` and `_`, leading zeros or accents: taken for 2 people" in notes[0]


def test_subjects_that_differ_are_not_alike():
    names = ("P1", "P10", "P2", "11", "anna", "ann", "lee-anne", "leean")
    assert catalog_of([f"{who}/{label}/1.ply" for who in names for label in ("happy", "sad")]).notes == ()


def test_names_that_differ_in_blanks_or_composition_only_are_one_person_and_said():
    names = ("Jos\u00e9", "Jose\u0301", "Jos\u00e9 ")
    catalog = catalog_of([f"{who}/{label}/1.ply" for who in names for label in ("happy", "sad")])
    assert {record.subject for record in catalog.records} == {"Jos\u00e9"}
    assert catalog.notes[0].startswith("'Jos\\xe9 ', 'Jose\\u0301', Jos\u00e9 are taken for recordings of one person")


def pictures_in(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("files", "card"),
    [
        (("train/happy/x.png", "test/sad/y.png"), "pictures"),
        (("Train/Happy/1.png", "Val/Sad/IMG_2.png"), "pictures"),
        (("1/20210503.png", "2/20210504.png"), "pictures"),
        (("train_set/images/1.jpg", "val_set/images/1.jpg"), "pictures"),
        (("train/happy/Training_1.jpg",), "fer2013-folders"),
        (("Training/happy/1.jpg", "PublicTest/sad/2.jpg", "PrivateTest/sad/3.jpg"), "fer2013-folders"),
        (("FER-2013/train/happy/1.jpg", "FER-2013/validation/sad/2.jpg"), "fer2013-folders"),
        (("Val/Happy/Hall_7.png", "Train/Sad/AlexEmma_002.png"), "sfew"),
        (("CK+48/anger/S010_004_00000017.png",), "ckplus"),
    ],
)
def test_only_evidence_makes_common_folders_a_data_set(tmp_path, files, card):
    assert detect(pictures_in(tmp_path, *files)).card.name == card


def test_the_name_of_the_folder_itself_is_evidence(tmp_path):
    folder = pictures_in(tmp_path / "fer2013", "train/happy/1.jpg", "test/sad/2.jpg")
    assert detect(folder).card.name == "fer2013-folders"


def test_what_else_a_folder_could_be_is_said(tmp_path):
    detection = detect(pictures_in(tmp_path, "train/happy/x.png", "test/sad/y.png"))
    assert "would match 2 as fer2013-folders" in detection.reason


def test_guess_needs_people(tmp_path):
    text = (Path(load_card.__globals__["SHIPPED"]) / "pictures/dataset.toml").read_text(encoding="utf-8")
    (tmp_path / "dataset.toml").write_text(text.replace("guess = true", 'guess = true\nsubject = "{path}"'))
    with pytest.raises(CardError, match=r"`guess`: wanted false with `subject` \{path\}, got true"):
        load_card(tmp_path)
