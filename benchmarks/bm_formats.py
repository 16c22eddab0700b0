"""Reading times of scan files: fer3d, its former readers, and other libraries; and how the time grows with the file.

    python benchmarks/bm_formats.py [--least 2] [--write] [--store-before]

Three tables. A simulated face of about 35,000 vertices in each format, read by each library in the same run; "before"
are the stored times of the readers through trimesh and line by line, from `results/formats_before.csv`. The same face
ten times: a file ten times as long should cost about ten times as much. And files of many small constructs, such as
nodes and materials, once with n and once with 10 n of them. Times are CPU times on one core, the best of several runs;
pictures are not read. `--store-before` writes the stored times: it is for the readers of that time.
"""

import argparse
import csv
import gc
import logging
import tempfile
import warnings
from datetime import date
from pathlib import Path

import numpy as np
from format_files import MANY, face, face_files
from machine import best, commit, one_core, processor, said, where

RESULTS = Path(__file__).parent / "results"
BEFORE = RESULTS / "formats_before.csv"
GROWN = 10


def main():
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--least", type=float, default=2.0, help="seconds that each file is read for")
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/formats.md")
    parser.add_argument("--store-before", action="store_true", help=f"write our times to {BEFORE.name} instead")
    arguments = parser.parse_args()
    logging.getLogger("trimesh").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, one_core():
        if arguments.store_before:
            store(Path(folder), arguments.least)
            return
        report = "\n\n".join(said(block) for block in blocks(Path(folder), arguments.least))
    if arguments.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "formats.md").write_text(report + "\n", encoding="utf-8")


def blocks(folder, least):
    """Markdown blocks, one after the other."""
    vertices, faces, uv = face()
    yield f"# Reading of scan files\n\n{where()}, NumPy {np.__version__}"
    files = put(folder, face_files(vertices, faces, uv))
    yield table_of_peers(files, len(vertices), len(faces), least)
    grown = (
        np.concatenate([vertices + np.array([200.0 * k, 0, 0]) for k in range(GROWN)]),
        *repeated(faces, uv, len(vertices)),
    )
    yield table_of_growth(files, put(folder, face_files(*grown), "ten "), least)
    yield table_of_constructs(folder, least)


def store(folder, least):
    """Write the times of the readers as they are."""
    vertices, faces, uv = face()
    rows = []
    for kind, path in put(folder, face_files(vertices, faces, uv)).items():
        seconds, problem = timed(read_ours, path, least)
        rows.append((kind, "" if problem else f"{seconds:.2f}", len(vertices), len(faces), problem))
        print(*rows[-1], flush=True)
    with BEFORE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("format", "ms", "vertices", "faces", "problem", "commit", "date", "processor"))
        writer.writerows((*row, commit(), date.today().isoformat(), processor()) for row in rows)


def put(folder, contents, prefix=""):
    """Write the files; name of the format -> path."""
    paths = {}
    for kind, (suffix, content) in contents.items():
        paths[kind] = folder / f"{prefix}{kind}{suffix}"
        paths[kind].write_bytes(content)
    return paths


def repeated(faces, uv, count):
    """Faces and uv of the face ten times."""
    return np.concatenate([faces + k * count for k in range(GROWN)]), np.concatenate([uv] * GROWN)


# ---- the readers ----


def read_ours(path):
    """fer3d, without the picture."""
    from fer3d import formats

    return formats.read(path, texture=False)


def read_trimesh(path):
    """trimesh, without merging or reordering."""
    import trimesh

    with path.open("rb") as file:
        return trimesh.load(file, file_type=path.suffix[1:], process=False)


def read_open3d(path):
    """Open3D's reader of triangle meshes."""
    import open3d

    mesh = open3d.io.read_triangle_mesh(str(path))
    if not len(mesh.triangles):
        raise ValueError("no triangles")


def read_meshio(path):
    """meshio prints what it thinks of a file; only its time counts here."""
    import contextlib
    import io

    import meshio

    with contextlib.redirect_stdout(io.StringIO()):
        return meshio.read(path)


PEERS = {"trimesh": read_trimesh, "open3d": read_open3d, "meshio": read_meshio}


def timed(reader, path, least):
    """CPU milliseconds of the fastest reading, and ''; or NaN and the problem."""
    try:
        return best(lambda: reader(path), least), ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # meshio ends the process for files it does not read
        return float("nan"), (str(error).splitlines() or [type(error).__name__])[0].removeprefix(f"{path}: ")[:80]


def installed():
    """The peers that can be imported."""
    found = {}
    for name, reader in PEERS.items():
        try:
            __import__(name)
        except (ImportError, OSError):
            continue
        found[name] = reader
    return found


# ---- the tables ----


def table_of_peers(files, vertices, faces, least):
    """The face in each format: ours, before, peers."""
    peers = installed()
    before = {}
    if BEFORE.is_file():
        with BEFORE.open(encoding="utf-8") as file:
            before = {row["format"]: float(row["ms"] or "nan") for row in csv.DictReader(file)}
    lines = [
        f"## A simulated face: {vertices:,} vertices, {faces:,} faces",
        "",
        "Milliseconds. A dash: not read by that library. `before` was measured on another day.",
        "",
        f"| format | MB | fer3d | before | {' | '.join(peers)} |",
        "|---" * (4 + len(peers)) + "|",
    ]
    for kind, path in files.items():
        ours, problem = timed(read_ours, path, least)
        others = [timed(reader, path, least)[0] for reader in peers.values()]
        cells = [problem or number(ours), number(before.get(kind, float("nan")))]
        cells += [number(other) for other in others]
        lines.append(f"| {kind} | {path.stat().st_size / 1e6:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table_of_growth(files, grown, least):
    """The face once and ten times."""
    lines = [
        "## The face ten times in one file",
        "",
        "| format | MB | ms | MB, ten times | ms, ten times | ratio of times |",
        "|---|---|---|---|---|---|",
    ]
    for kind, path in files.items():
        once, ten = timed(read_ours, path, least)[0], timed(read_ours, grown[kind], least)[0]
        sizes = [f"{file.stat().st_size / 1e6:.1f}" for file in (path, grown[kind])]
        lines.append(f"| {kind} | {sizes[0]} | {number(once)} | {sizes[1]} | {number(ten)} | {ten / once:.1f} |")
    return "\n".join(lines)


def table_of_constructs(folder, least):
    """Files of n and of 10 n small constructs. A refusal takes time too, so that it is timed as a result is.

    Python's collector of garbage visits all living objects: those of before are put out of its sight.
    """
    gc.collect()
    gc.freeze()
    lines = [
        "## Many constructs",
        "",
        "| construct | n | ms | ms, 10 n | ratio of times | |",
        "|---|---|---|---|---|---|",
    ]
    for name, (suffix, n, build) in MANY.items():
        times, outcomes = [], []
        for count in (n, GROWN * n):
            path = folder / f"many{suffix}"
            path.write_bytes(build(count))
            outcomes.append(outcome(path))
            times.append(best(lambda path=path: outcome(path), least / 2))
        end = "" if not any(outcomes) else f"refused: {next(filter(None, outcomes))}"
        ratio = f"{times[1] / times[0]:.1f}"
        lines.append(f"| {name} | {n:,} | {number(times[0])} | {number(times[1])} | {ratio} | {end} |")
    return "\n".join(lines)


def outcome(path):
    """'' if the file is read, else the first words of the refusal."""
    from fer3d.errors import Fer3dError

    try:
        read_ours(path)
    except Fer3dError as error:
        return str(error).removeprefix(f"{path}: ")[:80].replace("|", "/")
    return ""


def number(value):
    """Milliseconds with three digits; a dash for NaN."""
    return "-" if np.isnan(value) else f"{value:.3g}"


if __name__ == "__main__":
    main()
