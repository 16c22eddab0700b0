"""What the contact sheet shows: every kind of doubt, with its reason, then classes or scans."""

import json

import numpy as np
import pytest
from PIL import Image, ImageFont

from fer3d.prepare.contact_sheet import write_contact_sheet
from fer3d.prepare.doubts import common_kinds, doubts, shown_doubts
from fer3d.prepare.drawing import AMBER, BACKGROUND, RED, Tile, grid, tiles, wrapped
from fer3d.prepare.store import PreparedScan, write_scan

FONT = ImageFont.load_default(size=12)


def row(number, *, warnings=(), measured=0.5, reason=None, pose="landmarks", expression=None, **frontal):
    history = [{"step": "frontal", "method": pose, **frontal}]
    return {
        "id": f"s{number}",
        "source": f"anna/s{number}.ply",
        "file": f"scans/s{number}.safetensors",
        "prefix": "",
        "status": "failed" if reason else "ok",
        "reason": reason,
        "warnings": list(warnings),
        "measured": None if reason else measured,
        "pose_source": pose,
        "history": json.dumps(history),
        "expression": expression,
        "intensity": None,
        "subject": "anna",
    }


def stored(folder, rows):
    """The scan files of the rows: a disc as normals."""
    x, y = np.meshgrid(np.linspace(-1, 1, 32), np.linspace(1, -1, 32))
    z = np.sqrt(np.where(x * x + y * y < 0.8, 1 - x * x - y * y, np.nan))
    maps = np.stack([x + 0 * z, y + 0 * z, z]).astype(np.float16)
    header = {"channels": ["normal_x", "normal_y", "normal_z"], "row": {"id": "s", "status": "ok"}}
    header |= {"pixel_mm": 2.0, "settings": {}}
    scan = PreparedScan({"maps": maps, "mask": np.isfinite(z).astype(np.uint8)}, header)
    for entry in rows:
        if entry["status"] == "ok":
            write_scan(folder / entry["file"], scan)
    return rows


def colours(sheet):
    """The colours of a sheet: red, green, blue -> number of pixels."""
    pixels, count = np.unique(np.asarray(sheet.convert("RGB")).reshape(-1, 3), axis=0, return_counts=True)
    return {tuple(map(int, colour)): int(n) for colour, n in zip(pixels, count, strict=True)}


def frames(sheet, colour):
    """Number of frames of a colour: of their lower edges, 3 pixels thick and longer than any text is."""
    found = (np.asarray(sheet.convert("RGB")) == colour).all(axis=2)
    runs = np.lib.stride_tricks.sliding_window_view(found, 100, axis=1).all(axis=2)
    starts = runs & ~np.pad(runs, ((0, 0), (1, 0)))[:, :-1]
    return int(starts.sum()) // 6  # above and below, 3 pixels each


REASONS = {
    "failed": {"reason": "anna/s1.ply: no nose found; if the file has other axes"},
    "no nose": {"reason": "anna/s1.ply: the scan should have a face, has none"},
    "second": {"warnings": ["a second face, 205 cm^2 large, is not used"]},
    "pose": {"warnings": ["no texture", "pose from the shape: landmarks should lie on the scan"]},
    "misfit": {"pose": "shape", "score_mm": 8.8, "coverage": 0.9},
    "unseen": {"pose": "shape", "score_mm": 3.0, "coverage": 0.7},
    "dropped": {"warnings": ["cleaning dropped 41% of the surface: 5 of 6 components"]},
    "little": {"measured": 0.1},
    "other": {"warnings": ["no texture"]},
}


def test_every_kind_of_doubt_is_found_the_worst_first():
    fine = [row(100 + n, pose="shape", score_mm=5.0, coverage=0.95) for n in range(20)]
    bad = [row(1, **facts) for facts in reversed(REASONS.values())]
    found = doubts([*bad, *fine])
    assert [doubt.rank for doubt in found] == [0, 0, 1, 2, 2, 2, 3, 4, 5]
    assert [doubt.failed for doubt in found] == [True, True] + [False] * 7
    reasons = {doubt.reasons for doubt in found}
    assert ("no nose found",) in reasons  # without the path and the advice
    assert ("pose from the shape: landmarks should lie on the scan", "no texture") in reasons
    assert ("the pose fits badly: 8.8 mm off an average face, 90% of it seen",) in reasons
    assert ("the pose fits badly: 3.0 mm off an average face, 70% of it seen",) in reasons
    assert ("little measured: 10% of the map, usual are 50%",) in reasons
    assert not doubts(fine)


def test_no_kind_hides_another_and_those_left_out_are_counted():
    many = [row(n, warnings=["pose from the shape: x"]) for n in range(50)]
    few = [row(100, warnings=["an oddity"]), row(101, reason="broken")]
    fine = [row(200 + n) for n in range(60)]
    found = doubts([*many, *few, *fine])
    shown = shown_doubts(found, 112, 10)
    assert [doubt.kind for doubt in shown] == ["failed: broken"] + ["pose from the shape"] * 8 + ["an oddity"]
    assert [doubt.alike for doubt in shown] == [0] * 8 + [42, 0]
    assert len(shown_doubts(found, 112, 2)) == 2
    assert {doubt.kind for doubt in shown_doubts(found, 112, 3)} == {doubt.kind for doubt in found}


def test_what_most_scans_have_is_of_the_data_set_and_shown_by_two():
    rows = [row(n, warnings=["no landmarks file"]) for n in range(30)] + [row(99, measured=0.1)]
    found = doubts(rows)
    assert common_kinds(found, 31) == {"no landmarks file": 30}
    shown = shown_doubts(found, 31, 10)
    assert [(doubt.kind, doubt.alike) for doubt in shown] == [
        ("little measured", 0),
        ("no landmarks file", 0),
        ("no landmarks file", 28),
    ]


@pytest.mark.parametrize(
    "text",
    ["a-name_with_parts." * 6, "x" * 200, "few words of a usual reason that is some lines long", "", "one"],
)
@pytest.mark.parametrize("width", [60, 128, 300])
def test_text_is_broken_to_the_width_and_nothing_of_it_is_lost(text, width):
    lines = wrapped(text, FONT, width, 1000)
    assert all(FONT.getlength(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    cut = wrapped(text, FONT, width, 2)
    assert len(cut) <= 2 and all(FONT.getlength(line) <= width for line in cut)
    assert (len(lines) > 2) == bool(cut and cut[-1].endswith("..."))


def test_texts_of_tiles_stay_in_their_columns_and_rows():
    """Above, below and between the texts there is background, however long they are."""
    picture = np.full((16, 16, 3), 200, np.uint8)
    long = Tile([picture], "a_long_name_" * 5, "a long reason " * 20, AMBER)
    sheet = np.asarray(tiles([long, Tile([], "b", "", RED), long, long, long], 64, 260))
    plain = (sheet == BACKGROUND).all(axis=2)
    for column in range(3):
        assert plain[:, 16 + column * 80 + 64 + 4 : 16 + (column + 1) * 80 - 4].all()
    assert plain[0].all() and plain[-4:].all()
    assert frames(tiles([long, long], 128, 400), AMBER) == 2
    assert colours(tiles([Tile([], "b", "", RED)], 64, 100)).keys() >= {RED, BACKGROUND}


def test_labels_and_titles_of_a_grid_do_not_reach_the_pictures():
    black = np.zeros((128, 128, 3), np.uint8)
    sheet = np.asarray(grid([[black, black]], ["happiness\n" + "somebody_with_a_long_name_" * 4], ["x" * 60, "depth"]))
    pictures = (sheet == 0).all(axis=2)
    rows, columns = np.flatnonzero(pictures.any(axis=1)), np.flatnonzero(pictures.any(axis=0))
    assert pictures[np.ix_(rows, columns)].sum() == 2 * 128 * 128
    assert ((sheet == BACKGROUND).all(axis=2)[:, columns[0] - 6 : columns[0]]).all()


@pytest.mark.parametrize("labelled", [False, True])
def test_doubts_come_first_and_then_classes_or_scans(tmp_path, labelled):
    fine = [row(100 + n, expression=("anger", "fear")[n % 2] if labelled else None) for n in range(8)]
    rows = stored(tmp_path, [*fine, row(1, measured=0.05), row(2, warnings=["odd"]), row(3, reason="is broken")])
    with Image.open(write_contact_sheet(tmp_path, rows)) as sheet:
        assert frames(sheet, RED) == 1
        assert frames(sheet, AMBER) == (2 if labelled else 4)  # on the page of all scans once more
        assert sheet.width == 960
        after = sheet.height
    with Image.open(write_contact_sheet(tmp_path, fine)) as sheet:
        assert not frames(sheet, RED) and not frames(sheet, AMBER)
        assert sheet.height < after
    assert write_contact_sheet(tmp_path, [row(1, reason="is broken")]) is None


def test_of_many_scans_an_even_sample_is_shown(tmp_path):
    rows = [row(n) | {"file": "scans/s0.safetensors"} for n in range(500)]
    stored(tmp_path, rows[:1])
    rows += [row(1000 + n, measured=0.01) | {"file": "scans/s0.safetensors"} for n in range(500)][:200]
    with Image.open(write_contact_sheet(tmp_path, rows)) as sheet:
        framed = frames(sheet, AMBER)
    assert framed == pytest.approx(8 + 96 * 200 / 700, abs=1.5)
