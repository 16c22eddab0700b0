"""The page is checked for its structure, and drawn once where there is a browser. That it looks well is for eyes."""

import filecmp
import html.parser
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from fer3d.errors import FileError, FormatError
from fer3d.evaluate.compare import compare
from fer3d.evaluate.measure import current_metrics
from fer3d.files import sha256
from fer3d.prepare.store import PreparedScan, write_manifest, write_scan
from fer3d.report import figures
from fer3d.report.html import render, run_page, write_report
from tests.commands import fer3d
from tests.runs import CLASSES, read_rows, write_json, write_predictions, write_run

SECTIONS = (
    "Which expressions are confused",
    "Test accuracy of each subject",
    "Training and calibration",
    "The worst mistakes",
    "Settings of the run",
)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Page(html.parser.HTMLParser):
    """Tags with their attributes, text, and whether every tag is closed."""

    VOID = frozenset(("meta", "img", "br", "link"))

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(text)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(run, **options):
    return run_page(run, current_metrics(run), **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("report") / "runs" / "dff")


@pytest.fixture(scope="module")
def text(run):
    return render([page_of(run)])


def write_store(folder, run, ids):
    """A store of noise for the scans `ids`, and its hash in the run's facts."""
    channels = ["depth", "normal_x", "normal_y", "normal_z", "shape_index", "curvedness"]
    rng, rows = np.random.default_rng(0), []
    for name in ids:
        row = {"id": name, "status": "ok", "source": f"{name}.wrl", "file": f"scans/{name}.safetensors", "prefix": ""}
        arrays = {"maps": rng.normal(size=(6, 16, 16)).astype(np.float16), "mask": np.ones((16, 16), np.uint8)}
        header = {"row": row, "channels": channels, "pixel_mm": 2.0, "settings": {}}
        write_scan(folder / row["file"], PreparedScan(arrays, header))
        rows.append(row)
    write_manifest(folder, rows)
    facts = json.loads((run / "run.json").read_text())
    facts["data"] |= {"folder": folder.name, "manifest_sha256": sha256(folder / "manifest.parquet")}
    write_json(run / "run.json", facts)


def test_the_page_asks_nothing_of_the_network(text):
    page = Page(text)
    assert "http" not in text.replace("http-equiv", "")
    assert not page.all("script") + page.all("link") + page.all("iframe")
    assert not re.search(r"@import|url\((?!data:)", text)
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))


def test_it_has_every_section_and_the_numbers(run, text):
    page = Page(text)
    words = " ".join(" ".join(page.text).split())
    for title in SECTIONS:
        assert title in words
    metrics = current_metrics(run)
    accuracy = metrics["accuracy"]
    assert f"{100 * accuracy['value']:.1f} % test accuracy" in words
    assert f"95 % interval {100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f}, by subject" in words
    assert "chance 16.7 %" in words
    for fact in ("bu3dfe-p1", "oriented-fusion", "adamw", "2.13.0", "182,406", "curvature_radius_mm", "512 MiB"):
        assert fact in words
    for entry in metrics["mistakes"][:12]:
        assert entry["id"] in words
    counts = [str(count) for row in metrics["confusion"] for count in row if count]
    assert set(counts) <= set(words.split())
    assert len(page.all("svg")) == 7
    assert len(page.all("polyline")) == 2 * 2 * 4  # loss and accuracy, train and validation, 4 folds


def test_bars_and_cells_are_as_large_as_what_they_show(run, text):
    metrics = current_metrics(run)
    page = Page(text)
    heat = [entry for entry in page.all("rect") if entry["class"].startswith("heat")]
    shares = [count / sum(row) for row in metrics["confusion"] for count in row]
    assert [float(cell["fill-opacity"]) for cell in heat] == pytest.approx([0.05 + 0.95 * s for s in shares], abs=1e-3)
    assert [cell["class"] for cell in heat][:7] == ["heat correct", *["heat wrong"] * 5, "heat wrong"]
    bars = [float(entry["height"]) for entry in page.all("rect") if entry["class"] == "bar"]
    wanted = sorted(entry["accuracy"] for entry in metrics["per_subject"])
    assert bars == pytest.approx([154 * accuracy for accuracy in wanted], abs=0.1)


def test_names_cannot_break_out(tmp_path):
    run = write_run(tmp_path / "<img src=x onerror=alert(1)>")
    rows = [row | {"id": row["id"] + "<script>alert(2)</script>"} for row in read_rows(run)]
    write_predictions(run / "predictions.parquet", rows)
    facts = json.loads((run / "run.json").read_text())
    facts["settings"]["</style>"] = '"><script>alert(3)</script>'
    write_json(run / "run.json", facts)
    page = Page(render([page_of(run)]))
    assert not page.all("script")
    assert not page.all("img")
    assert len(page.all("style")) == 1
    assert "<script>alert(2)</script>" in " ".join(page.text)


def test_mistakes_are_shown_with_their_maps(tmp_path):
    run = write_run(tmp_path / "runs" / "dff")
    shown = [entry["id"] for entry in current_metrics(run)["mistakes"][:12]]
    assert "not at hand" in render([page_of(run)])
    write_store(tmp_path / "prepared", run, shown[1:])
    images = Page(render([page_of(run)])).all("img")
    titles = ("shape", "depth", "normals", "shape index", "curvedness")  # the run was fed all maps; there is no texture
    assert [image["alt"] for image in images] == [f"{title} of {name}" for name in shown[1:] for title in titles]
    moved = (tmp_path / "prepared").rename(tmp_path / "elsewhere")
    assert "not at hand" in render([page_of(run)])
    assert len(Page(render([page_of(run, prepared=moved)])).all("img")) == 5 * 11
    (moved / "scans" / f"{shown[1]}.safetensors").unlink()
    assert "The maps cannot be shown: " in render([page_of(run, prepared=moved)])
    write_manifest(moved, [])
    assert "has changed since the run" in render([page_of(run, prepared=moved)])


def test_mistakes_are_shown_as_the_network_saw_them(tmp_path):
    for name, maps, titles in (
        ("depth", ("depth",), ["shape", "depth"]),
        ("tree", ("invariant",), ["shape", "depth", "normals", "shape index"]),
    ):
        run = write_run(tmp_path / name / "runs" / name, maps=maps)
        shown = [entry["id"] for entry in current_metrics(run)["mistakes"][:1]]
        write_store(tmp_path / name / "prepared", run, shown)
        images = Page(render([page_of(run)])).all("img")
        assert [image["alt"] for image in images] == [f"{title} of {shown[0]}" for title in titles]


def test_simulated_faces_are_called_that(tmp_path):
    run = write_run(tmp_path / "runs" / "dff")
    write_store(tmp_path / "prepared", run, [])
    assert "simulated" not in render([page_of(run)])
    write_json(tmp_path / "prepared" / "prepare.json", {"simulated": True})
    assert "protocol bu3dfe-p1, simulated faces" in render([page_of(run)])
    facts = json.loads((run / "run.json").read_text())
    facts["data"]["simulated"] = False
    write_json(run / "run.json", facts)
    assert "simulated faces" not in render([page_of(run)])


def test_several_runs_come_with_their_comparison(run, tmp_path):
    other = write_run(tmp_path / "depth", skill=1.0, noise=1, rounds=2, maps=("depth",))
    made = compare([run, other]).to_json()
    page = Page(render([page_of(run), page_of(other)], made))
    words = " ".join(" ".join(page.text).split())
    assert "2 runs compared" in words
    assert "dff and depth follow different protocols" in words
    assert [entry.get("href") for entry in page.all("a")] == ["#run-1", "#run-2"]
    assert {entry["id"] for entry in page.all("article")} == {"run-1", "run-2"}
    assert "round 1" in words
    difference = 100 * made["pairs"][0]["difference"]["value"]
    assert f"{difference:+.1f}" in words


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:1],  # one scan: no interval, no spread, F1 of most classes undefined
        lambda rows: [row for row in rows if row["subject"] == rows[0]["subject"]],
        lambda rows: [row for row in rows if row["expression"] != "fear"],
        lambda rows: [
            row | {f"p_{name}": float(name == row["expression"]) for name in CLASSES} for row in rows
        ],  # all right: no mistake
    ],
)
def test_a_poor_run_is_a_page_too(tmp_path, change):
    run = write_run(tmp_path / "dff", folds=2)  # of two folds none can validate
    write_predictions(run / "predictions.parquet", change(read_rows(run)))
    for log in run.glob("*/log.csv"):
        log.write_text("\n".join(log.read_text().splitlines()[:2]) + "\n")
    page = Page(render([page_of(run)]))
    words = " ".join(" ".join(page.text).split())
    assert "training only" in words
    assert "nan" not in words.lower().replace("nano", "")
    assert "n/a" not in words
    for log in run.glob("*/log.csv"):
        log.unlink()
    assert not Page(render([page_of(run)])).all("polyline")


def test_an_unfinished_run_says_so(tmp_path):
    run = write_run(tmp_path / "dff")
    write_predictions(run / "predictions.parquet", [row for row in read_rows(run) if row["fold"] == 2])
    assert "Not finished: these numbers cover 1 of 4 folds." in render([page_of(run)])


def test_many_subjects_have_no_room_for_names(tmp_path):
    run = write_run(tmp_path / "dff", subjects=100, levels=(3,), folds=10)
    picture = figures.subject_bars(current_metrics(run))
    assert picture.count('class="bar"') == 100
    assert "rotate" not in picture


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 1.79, [0, 0.5, 1, 1.5]),
        (1, 40, [10, 20, 30, 40]),
        (0.7, 1, [0.7, 0.8, 0.9, 1]),
        (1, 1, [1]),
    ],
)
def test_ticks_are_round_numbers(low, high, wanted):
    assert figures._ticks(low, high) == wanted


def test_the_page_is_the_same_bytes_again(run, tmp_path):
    for name in ("one", "two"):
        write_report(tmp_path / name, [page_of(run)])
    assert filecmp.cmp(tmp_path / "one", tmp_path / "two", shallow=False)


def test_the_commands_write_and_tell(run, tmp_path, capsys):
    code, out, err = fer3d(capsys, "evaluate", run, "--resamples", 200)
    assert code == 0, err
    assert "chance 16.7 %" in out
    assert "undefined" not in out  # the spread over one round is left out
    code, out, err = fer3d(capsys, "report", run)
    assert code == 0, err
    assert f"open {run / 'report.html'}" in out.replace("\n", "")
    other = write_run(tmp_path / "depth", skill=1.0, noise=1)
    code, out, err = fer3d(capsys, "report", run, other, "-o", tmp_path / "both.html")
    assert code == 0, err
    assert "2 runs compared" in (tmp_path / "both.html").read_text(encoding="utf-8")
    code, out, err = fer3d(capsys, "compare", run, other, "--json")
    assert code == 0, err
    assert json.loads(out)["pairs"][0]["first"] == "dff"


@pytest.mark.parametrize("command", ["evaluate", "report", "compare"])
def test_a_folder_that_is_no_run_is_one_line(command, tmp_path, capsys):
    code, _, err = fer3d(capsys, command, tmp_path, tmp_path / "b")
    assert code == 1
    assert "run.json: is missing; is " in err or "predictions.parquet: " in err
    assert err.count("\n") == 1


def test_damage_is_named(tmp_path):
    run = write_run(tmp_path / "dff")
    metrics = current_metrics(run)
    (run / "r00f01" / "log.csv").write_text("epoch,train_loss\n1,much\n")
    with pytest.raises(FormatError, match=r"r00f01/log\.csv: should hold numbers"):
        run_page(run, metrics)
    with pytest.raises(FileError, match=r"report\.html: cannot be written"):
        write_report(run / "run.json" / "report.html", [])


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: the page is not drawn in this run")
def test_a_browser_draws_it(run, tmp_path):
    write_report(tmp_path / "report.html", [page_of(run)])
    shot = tmp_path / "page.png"
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1300,2400")
    subprocess.run(
        [
            CHROMIUM,
            *options,
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--screenshot={shot}",
            tmp_path / "report.html",
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    with Image.open(shot) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape == (2400, 1300, 3)
    blue = (pixels[..., 2] - pixels[..., 0] > 60).mean()  # heat map, bars, curves
    orange = (pixels[..., 0] - pixels[..., 2] > 60).mean()
    assert 0.01 < blue < 0.3
    assert 0.0005 < orange < 0.1
