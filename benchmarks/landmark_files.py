"""Tables of `bm_landmarks.py` over files: scans with the faults of real ones, a real head, the time a scan takes."""

import contextlib
import time

import numpy as np
from bm_outside_judge import barred
from landmark_scans import HEAD_MM, head_trials
from landmark_tables import NEAR, UPRIGHT, line
from landmark_trials import degrees, simulator

UNIT = 0.08  # bar of the unit
SIZES = {10_000: 60.0, 35_000: 75.0}  # vertices: bar, ms of CPU
_TURNED = {"z_up": ("x", 90.0), "looks_along_x": ("y", 90.0)}  # how the file was turned from the upright one


def faults_table(folder, network):
    """Scans that were made faulty from simulated ones, all about upright before; the folder holds the files."""
    from scipy.spatial.transform import Rotation

    lines = [
        f"## Scans with faults of real ones: bar nose within {NEAR:g} mm and upright, within {UPRIGHT:g} degrees",
        "",
        "A turn below 45 degrees is upright; refused files are not counted as right or upright. Lenses of glasses are "
        "flat surface, in some files one is a hole; a fringe hides all above.",
        "",
        "| files | of | right | upright | refused | of these upright | nose mm: median | worst | degrees: median "
        "| worst | probability |",
        "|---" * 11 + "|",
    ]
    if folder is None or not folder.is_dir():
        return "No folder of scans with faults (`--faults`)."
    groups = {}
    for path in sorted(folder.glob("*.ply")):
        name = "_".join(path.stem.split("_")[:1] if path.stem.startswith(("glasses", "coarse")) else [path.stem])
        if path.stem != "points_only":
            groups.setdefault(name, []).append(path)
    for name, paths in groups.items():
        turn = Rotation.from_euler(*_TURNED.get(name, ("x", 0.0)), degrees=True).as_matrix()
        lines.append(_faults_line(name, [_fault(path, folder, turn, network) for path in paths]))
    return "\n".join(lines)


def _faults_line(name, rows):
    nose, turn, probability, refused = np.array(rows, float).T
    refused = refused.astype(bool)
    upright, right = turn < 45.0, (nose <= NEAR) & (turn <= UPRIGHT)
    cells = [name, len(rows)]
    cells += [barred(str((good & ~refused).sum()), (good & ~refused).all()) for good in (right, upright)]
    cells += [
        refused.sum(),
        (upright & refused).sum(),
        *(f"{f(x):.1f}" for x in (nose, turn) for f in (np.median, np.max)),
    ]
    return line([*cells, f"{probability.min():.2f} to {probability.max():.2f}"])


def _fault(path, folder, turn, network):
    """Nose in mm, turn in degrees, probability and whether it is refused, of one file."""
    from fer3d import formats

    # The tip: the origin of faces with glasses, else the foremost vertex of the scan that the others were made of.
    tip = np.zeros(3)
    if not path.stem.startswith("glasses"):
        tip = turn @ foremost(formats.read(folder / "coloured.ply"))
    return of_file(formats.read(path), tip, turn.T, 1.0, network)[:4]


def foremost(scan):
    """(3,) the vertex with the largest z within 20 mm of the middle plane, as the faults were made by."""
    middle = np.abs(scan.vertices[:, 0] - scan.vertices[:, 0].mean()) < 20.0
    return scan.vertices[np.where(middle, scan.vertices[:, 2], -np.inf).argmax()].astype(float)


def of_file(scan, tip, rotation, mm, network):
    """Nose in mm, turn in degrees, probability, whether it is refused, found mm a unit over `mm`, and the reason."""
    from fer3d.errors import PrepareError
    from fer3d.prepare.landmarks.found import find_landmarks

    reason = ""
    try:
        found = find_landmarks(scan, detector=network)
    except PrepareError as error:
        reason = str(error)
        try:
            found = find_landmarks(scan, detector=network, refuse=False)
        except PrepareError:
            return np.inf, np.inf, 0.0, True, np.nan, reason
    linear = found.pose[:3, :3]
    nose = np.linalg.solve(linear, -found.pose[:3, 3])
    turn = degrees(linear / np.cbrt(np.linalg.det(linear)) @ rotation.T)
    return float(np.linalg.norm(nose - tip)) * mm, turn, found.probability, bool(reason), found.mm_per_unit / mm, reason


def head_table(path, network):
    """The real head in other units, axes and poses, whole and cut."""
    if not path.exists():
        return "No real head at hand."
    lines = [
        f"## A real head (Lee Perry-Smith), if 1 unit of its file is {HEAD_MM:g} mm",
        "",
        f"Bars: nose within {NEAR:g} mm, within {UPRIGHT:g} degrees of the file's axes, in which the head is about "
        f"upright, unit within {UNIT:.0%}; or refused, with a reason.",
        "",
        "| | vertices | nose mm | degrees | found unit over true | probability | refused |",
        "|---" * 7 + "|",
    ]
    held = 0
    trials = list(head_trials(path))
    for trial in trials:
        nose, turn, probability, refused, unit, reason = of_file(
            trial.scan, trial.tip, trial.rotation, trial.mm, network
        )
        good = nose <= NEAR, turn <= UPRIGHT, abs(unit - 1) <= UNIT
        held += refused or all(good)
        words = f"{nose:.1f}", f"{turn:.1f}", f"{unit:.3f}"
        cells = [barred(word, fine or refused) for word, fine in zip(words, good, strict=True)]
        lines.append(line([trial.name, len(trial.scan.vertices), *cells, f"{probability:.2f}", reason or "no"]))
    return "\n".join([*lines, "", f"{held} of {len(trials)} are right, or refused."])


def time_table(seed, network):
    """CPU time a scan, first call aside: plain faces of a size, in a turned file without a unit."""
    from machine import one_core

    lines = [
        "## Time: CPU ms a scan, one core, first call aside, `find_landmarks` alone",
        "",
        "| vertices | files | median | slowest | bar |",
        "|---|---|---|---|---|",
    ]
    with one_core():
        for size, bar in SIZES.items():
            times, vertices = _times(size, seed, network)
            median = np.median(times)
            word = barred(f"{median:.0f}", median <= bar)
            lines.append(line([f"{np.median(vertices):,.0f}", len(times), word, f"{max(times):.0f}", f"{bar:.0f}"]))
    return "\n".join(lines)


def _times(size, seed, network, count=12):
    """ms, the faster of two runs, and numbers of vertices, of files of about `size` vertices."""
    import torch

    from fer3d.errors import PrepareError
    from fer3d.prepare.landmarks.found import find_landmarks
    from fer3d.scan import Scan

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    times, vertices = [], []
    for number in range(count):
        filed = Scan.of(*_file_of(size, np.random.default_rng([seed, size, number]), seed))
        runs = []
        for _ in range(2 if number else 3):
            start = time.process_time()
            with contextlib.suppress(PrepareError):
                find_landmarks(filed, detector=network)
            runs.append(1e3 * (time.process_time() - start))
        times.append(min(runs))
        vertices.append(len(filed.vertices))
    torch.set_num_threads(before)
    return times, vertices


def _file_of(size, generator, seed):
    """Vertices and faces of a bare face with about `size` vertices."""
    from landmark_trials import placed

    from fer3d.synth.capture import capture
    from fer3d.synth.optics.camera import Camera
    from fer3d.synth.optics.scene import pose

    simulated = simulator("", seed)
    shape, at = simulated._shape(generator), pose(*np.radians(generator.uniform(-30, 30, 3)))
    rough = capture(simulated.model, shape, at, Camera(pitch=2.0), generator)
    pitch = 2.0 * float(np.sqrt(len(rough.scan.vertices) / size))
    taken = capture(simulated.model, shape, at, Camera(pitch=pitch, pitch_spread=0.0), generator)
    rotation, unit = placed(generator)
    return (unit * taken.scan.vertices.astype(float) @ rotation.T).astype(np.float32), taken.scan.faces
