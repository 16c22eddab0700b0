"""Folders to records: what is found, what is refused, and that nothing else is lost."""

import os
import pickle
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer3d.catalog import Catalog, Record, choose, detect, read_catalog, read_records
from fer3d.catalog.cards import load_card, shipped_cards
from fer3d.catalog.folder_listing import Listing, list_folder, printable
from fer3d.errors import CardError, FileError
from tests import trees


def by_path(folder: Path, dataset: str) -> dict[str, Record]:
    return {record.relative: record for record in read_records(folder, load_card(dataset))}


def listed(*files: str, folder: str = "/nowhere/scans") -> Listing:
    return Listing(Path(folder), tuple(sorted(files)), ())


# Detection


@pytest.mark.parametrize("dataset", sorted(trees.MAKE))
def test_choose_names_or_detects(tmp_path: Path, dataset: str):
    trees.MAKE[dataset](tmp_path)
    card, detection = choose(tmp_path)
    assert card.name == detection.card.name == dataset
    named, none = choose(tmp_path, dataset)
    assert (named.name, none) == (dataset, None)


def test_detection_says_what_matched(tmp_path: Path):
    detection = detect(trees.bu3dfe(tmp_path, ["F0001"]))
    assert str(detection) == (
        "BU-3DFE: 25 scans, such as F0001/F0001_AN01WH_F3D.wrl, F0001/F0001_AN02WH_F3D.wrl, F0001/F0001_AN03WH_F3D.wrl"
        "; 100% of 50 scan files explained"
    )


@pytest.mark.parametrize("below", ["", "F001", "F001/Fear"])
@pytest.mark.parametrize("above", ["", "disk", "disk/BU4DFE v1"])
def test_folder_may_be_above_or_below_the_root(tmp_path: Path, above: str, below: str):
    trees.bu4dfe(tmp_path / above, subjects=["F001"])
    folder = tmp_path / above / below if below else tmp_path
    detection = detect(folder)
    assert detection.card.name == "bu4dfe"
    assert "F001_Fear_002" in {record.id for record in read_records(folder, detection.card)}


def test_detection_falls_back_to_generic_where_a_card_explains_too_little(tmp_path: Path):
    trees.generic(tmp_path)
    trees.touch(tmp_path, ["F0001/F0001_NE00WH_F3D.wrl"])
    detection = detect(tmp_path)
    assert detection.card.name == "generic"
    assert detection.others == {"bu3dfe": 1}
    assert "would match 1 as bu3dfe" in detection.reason


def test_empty_folder(tmp_path: Path):
    with pytest.raises(CardError, match=r"no file under .* matches .*BU-3DFE: F0001/F0001_AN01WH_F3D\.wrl.*no file at"):
        detect(tmp_path)
    with pytest.raises(CardError, match=r"BU-4DFE: F001/Angry/000\.wrl\); there is no file at all\. Ask Binghamton"):
        read_records(tmp_path, load_card("bu4dfe"))


def test_folder_of_other_files_says_what_is_there(tmp_path: Path):
    trees.touch(tmp_path, ["a.mp4", "b.mp4", "c.MP4", "README"])
    with pytest.raises(CardError, match=r"there is 3 \.mp4, 1 no suffix"):
        detect(tmp_path)


def test_missing_folder_and_file_as_folder(tmp_path: Path):
    with pytest.raises(FileError, match=r"scans: wanted a folder of scans, found nothing there"):
        detect(tmp_path / "scans")
    trees.touch(tmp_path, ["a.ply"])
    with pytest.raises(FileError, match=r"a\.ply: wanted a folder of scans, found a file"):
        detect(tmp_path / "a.ply")
    with pytest.raises(FileError, match=r"a\\x00b: wanted a folder of scans"):
        detect("a\0b")


# Folders


def test_links_are_followed_and_loops_are_not(tmp_path: Path):
    trees.bu3dfe(tmp_path / "disk", ["M0003"])
    folder = trees.bu3dfe(tmp_path / "scans", ["F0001"])
    (folder / "M0003").symlink_to(tmp_path / "disk" / "M0003")
    (folder / "F0001" / "up").symlink_to(folder)
    (folder / "again").symlink_to(folder / "F0001")
    (folder / "broken.wrl").symlink_to(folder / "nowhere")
    catalog = read_catalog(folder, load_card("bu3dfe"))
    assert len(catalog.records) == 50
    assert not any(record.error for record in catalog.records)
    assert catalog.notes == ("broken.wrl: wanted a regular file, found a link to nothing",)


def test_folder_given_as_a_link_keeps_its_name(tmp_path: Path):
    trees.bu4dfe(tmp_path / "real")
    (tmp_path / "scans").symlink_to(tmp_path / "real")
    record = read_records(tmp_path / "scans", load_card("bu4dfe"))[0]
    assert record.files["scan"] == tmp_path / "scans" / "F001" / "Angry" / "000.wrl"


def test_pipe_is_not_waited_for(tmp_path: Path):
    trees.touch(tmp_path, ["a/happy/1.ply"])
    os.mkfifo(tmp_path / "b.ply")
    catalog = read_catalog(tmp_path, load_card("generic"))
    assert len(catalog.records) == 1
    assert catalog.notes == ("b.ply: wanted a regular file, found a pipe, socket or device",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every folder")
def test_closed_folder_is_a_note(tmp_path: Path):
    trees.bu3dfe(tmp_path, ["F0001", "M0003"])
    (tmp_path / "M0003").chmod(0)
    try:
        catalog = read_catalog(tmp_path, load_card("bu3dfe"))
    finally:
        (tmp_path / "M0003").chmod(0o700)
    assert len(catalog.records) == 25
    assert catalog.notes == ("M0003: folder cannot be opened: Permission denied",)


def test_litter_is_not_listed(tmp_path: Path):
    trees.touch(tmp_path, ["a/1.ply", "a/._1.ply", ".git/x.ply", "__MACOSX/a/1.ply", "a/Thumbs.db", "a/desktop.ini"])
    assert list_folder(tmp_path).files == ("a/1.ply",)


def test_names_in_any_script_and_with_spaces(tmp_path: Path):
    trees.touch(tmp_path, ["Çiğdem Öz/happy/a b.ply", "Çiğdem Öz/happy/a_b.ply", "李/sad/1.ply", "a--b/sad/1.ply"])
    found = by_path(tmp_path, "generic")
    assert found["Çiğdem Öz/happy/a b.ply"].subject == "Çiğdem Öz"
    assert found["李/sad/1.ply"].subject == "李"
    ids = [record.id for record in found.values()]
    assert len(set(ids)) == 4
    assert all(id.isascii() and "/" not in id and " " not in id and not id.startswith((".", "-")) for id in ids)
    assert not any(record.error for record in found.values())


def test_name_that_is_no_text(tmp_path: Path):
    name = os.fsdecode(b"anna/happy/\xff\n.ply")
    trees.touch(tmp_path, [name])
    record = read_records(tmp_path, load_card("generic"))[0]
    assert record.relative == "anna/happy/\\udcff\\x0a.ply"
    assert record.files["scan"].is_file()
    record.id.encode("ascii")


def test_companion_that_differs_in_case_or_composition(tmp_path: Path):
    trees.touch(tmp_path, ["F0001/F0001_NE00WH_F3D.WRL", "F0001/F0001_NE00WH_F3D.BND", "F0001/f0001_ne00wh_f3d.Bmp"])
    files = read_records(tmp_path, load_card("bu3dfe"))[0].files
    assert files["landmarks"].name == "F0001_NE00WH_F3D.BND"
    assert files["texture"].name == "f0001_ne00wh_f3d.Bmp"
    decomposed = unicodedata.normalize("NFD", "Åsa")
    trees.touch(tmp_path / "two", ["Åsa/happy/Åsa.ply", f"Åsa/happy/{decomposed}.lm3"])
    assert "landmarks" in read_records(tmp_path / "two", load_card("generic"))[0].files


@pytest.mark.parametrize("card, scan", [("generic", "anna/happy/1.ply"), ("frgc", "Fall2003range/04717d43.abs.gz")])
@pytest.mark.parametrize("ending", [".lm3", ".pp", ".fcsv", ".mrk.json", "_picked_points.pp"])
def test_landmarks_of_other_programs_are_companions(tmp_path: Path, card: str, scan: str, ending: str):
    stem = scan.split(".")[0]
    trees.touch(tmp_path, [scan, stem + ending, stem + ".csv", stem + ".json"])
    [record] = read_records(tmp_path, load_card(card))
    assert record.files["landmarks"] == tmp_path / (stem + ending)


def test_extra_and_orphaned_files(tmp_path: Path):
    trees.bu3dfe(tmp_path, ["F0001"])
    trees.touch(tmp_path, ["notes.txt", "F0001/F0001_AN09WH_F3D.bnd", "F0001/copy of F0001_AN01WH_F3D.wrl"])
    catalog = read_catalog(tmp_path, load_card("bu3dfe"))
    assert catalog.extra == ("F0001/F0001_AN09WH_F3D.bnd", "F0001/copy of F0001_AN01WH_F3D.wrl")
    assert catalog.ignored == 1
    assert len(catalog.records) == 25


def test_missing_companions_are_problems(tmp_path: Path):
    trees.bu3dfe(tmp_path, ["F0001"])
    (tmp_path / "F0001" / "F0001_HA02WH_F3D.bnd").unlink()
    (tmp_path / "F0001" / "F0001_HA03WH_RAW.pse").unlink()  # not wanted by the card
    troubled = {r.id: r.problems for r in read_records(tmp_path, load_card("bu3dfe")) if r.problems}
    assert troubled == {"F0001_HA02WH_F3D": ("no landmarks file, wanted F0001_HA02WH_F3D.bnd",)}


# Identity


def errors(catalog: Catalog) -> dict[str, str]:
    return {record.relative: record.error for record in catalog.records if record.error}


def test_two_files_of_one_id_are_both_refused_and_nothing_else(tmp_path: Path):
    trees.bu3dfe(tmp_path / "part1", ["F0001", "M0003"])
    trees.touch(tmp_path, ["part2/F0001/F0001_SA04WH_F3D.wrl"])
    catalog = read_catalog(tmp_path, load_card("bu3dfe"))
    first, second = "part1/F0001/F0001_SA04WH_F3D.wrl", "part2/F0001/F0001_SA04WH_F3D.wrl"
    assert errors(catalog) == {
        first: f"wanted one file of id F0001_SA04WH_F3D, got also {second}",
        second: f"wanted one file of id F0001_SA04WH_F3D, got also {first}",
    }
    ids = [record.id for record in catalog.records]
    assert len(set(ids)) == len(ids) == 51
    assert "F0001_SA04WH_F3D" not in ids


def test_ids_of_refused_duplicates_do_not_depend_on_what_else_is_there(tmp_path: Path):
    trees.touch(tmp_path, ["a/s1/happy/1.ply", "a/s1/happy/1.obj"])
    before = {record.relative: record.id for record in read_records(tmp_path, load_card("generic"))}
    trees.touch(tmp_path, ["a/s1/happy/2.ply", "a/s0/happy/1.ply"])
    after = {record.relative: record.id for record in read_records(tmp_path, load_card("generic"))}
    assert before.items() <= after.items()


def test_file_in_another_subjects_folder(tmp_path: Path):
    trees.bu3dfe(tmp_path, ["F0001", "F0002"])
    shutil.copy(tmp_path / "F0001/F0001_FE01WH_F3D.wrl", tmp_path / "F0002/F0001_FE01WH_F3D.wrl")
    catalog = read_catalog(tmp_path, load_card("bu3dfe"))
    assert errors(catalog) == {
        "F0002/F0001_FE01WH_F3D.wrl": "wanted a file of subject F0002, as the folder says, got one of F0001"
    }
    assert "F0001_FE01WH_F3D" in {record.id for record in catalog.records}  # the one in its place keeps its id


def test_two_people_under_one_id(tmp_path: Path):
    trees.bu3dfe(tmp_path, ["F0001", "M0003"])
    trees.touch(tmp_path, ["F0001/F0001_HA05BL_F3D.wrl", "F0001/F0001_HA06BL_F3D.wrl"])
    found = errors(read_catalog(tmp_path, load_card("bu3dfe")))
    assert set(found) == {"F0001/F0001_HA05BL_F3D.wrl", "F0001/F0001_HA06BL_F3D.wrl"}
    assert set(found.values()) == {
        "wanted one ethnicity for subject F0001, got black 2 times, white 25 times: two people under one id?"
    }


def test_two_people_in_equal_parts_are_both_refused(tmp_path: Path):
    trees.touch(tmp_path, ["F0001/F0001_HA01BL_F3D.wrl", "F0001/F0001_HA02WH_F3D.wrl", "M0003/M0003_NE00BL_F3D.wrl"])
    assert set(errors(read_catalog(tmp_path, load_card("bu3dfe")))) == {
        "F0001/F0001_HA01BL_F3D.wrl",
        "F0001/F0001_HA02WH_F3D.wrl",
    }


def test_ids_that_differ_in_case_only_are_told_apart(tmp_path: Path):
    trees.touch(tmp_path, ["anna/happy/1.ply", "Anna/happy/1.ply"])
    found = read_records(tmp_path, load_card("generic"))
    assert len({record.id.casefold() for record in found}) == 2
    assert not any(record.error for record in found)


def test_subject_in_two_folders_is_noted(tmp_path: Path):
    trees.touch(tmp_path, ["lab1/anna/happy/1.ply", "lab2/anna/sad/1.ply", "lab2/bert/sad/1.ply"])
    catalog = read_catalog(tmp_path, load_card("generic"))
    assert catalog.notes == ("subject anna lies in 2 folders (lab1/anna, lab2/anna): taken for one person",)
    assert errors(catalog) == {}


def test_records_are_the_same_in_any_order_of_the_disk(tmp_path: Path):
    names = [f"s{n}/happy/{m}.ply" for n in range(5) for m in range(5)]
    trees.touch(tmp_path / "one", names)
    trees.touch(tmp_path / "two", reversed(names))
    first, second = (read_records(tmp_path / part, load_card("generic")) for part in ("one", "two"))
    assert [replace(r, files={}) for r in first] == [replace(r, files={}) for r in second]


def test_record_can_be_pickled(tmp_path: Path):
    record = read_records(trees.bosphorus(tmp_path), load_card("bosphorus"))[0]
    assert pickle.loads(pickle.dumps(record)) == record


def test_pattern_whose_subject_is_missing(tmp_path: Path):
    card = load_card("generic").model_copy(update={"patterns": (r"(?:(?P<subject>s\d)_)?\w+\.ply",)})
    trees.touch(tmp_path, ["s1_a.ply", "b.ply"])
    found = {record.relative: record for record in read_records(tmp_path, card)}
    assert found["b.ply"].error == "wanted a subject in the path, got none"
    assert found["s1_a.ply"].error is None
    (tmp_path / "labels.csv").write_text("path,subject\nb.ply,bert\ns1_a.ply,\n")
    found = {record.relative: record for record in read_records(tmp_path, card)}
    assert [(r.subject, r.error) for r in found.values()] == [("bert", None), ("s1", None)]


@given(st.lists(st.text(alphabet="aA.é -_/\n", min_size=1, max_size=12), max_size=8, unique=True))
@settings(max_examples=150, deadline=None)
def test_ids_are_unique_and_safe_for_any_names(names: list[str]):
    files = {"/".join(part for part in name.split("/") if part.strip(".")) + "x.ply" for name in names}
    if not files:
        return
    found = read_catalog("/nowhere/scans", load_card("generic"), listing=listed(*files)).records
    ids = [record.id.casefold() for record in found]
    assert len(found) == len(files)
    assert len(set(ids)) == len(ids)
    assert all(id.isascii() and id.isprintable() and "/" not in id and id[0] not in ".-" for id in ids)


@given(dataset=st.sampled_from(shipped_cards()), name=st.text(max_size=40), part=st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_any_path_is_a_record_or_refused(dataset: str, name: str, part: int):
    card = load_card(dataset)
    path = card.layout[:part] + name.replace("\0", "") + card.layout[part:]
    try:
        found = read_catalog("/nowhere/scans", card, listing=listed(path)).records
    except CardError as error:
        assert "\n" not in str(error)
    else:
        assert len(found) == 1
        assert "\n" not in found[0].relative + found[0].subject + "".join(found[0].problems)


def test_shown_leaves_one_line_that_can_be_printed():
    assert printable("Åsa 1") == "Åsa 1"
    assert printable("a\tb\u2028c\x1b") == "a\\x09b\\u2028c\\x1b"


# Size


def test_sixty_thousand_frames_are_catalogued_in_seconds():
    import time

    names = [
        f"{subject}/{label}/{frame:03d}{suffix}"
        for subject in load_card("bu4dfe").expected.subjects
        for label in trees.BU4DFE_CLASSES
        for frame in range(99)
        for suffix in (".wrl", ".jpg")
    ]
    listing = listed(*names)
    start = time.perf_counter()
    card, _ = choose("/nowhere/scans", listing=listing)
    catalog = read_catalog("/nowhere/scans", card, listing=listing)
    seconds = time.perf_counter() - start
    assert len(catalog.records) == 606 * 99
    assert seconds < 40  # about 4 on one idle core: something quadratic would take hours
