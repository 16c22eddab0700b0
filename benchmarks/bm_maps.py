"""Single stages on a scan of about 35,000 vertices, one core, against the libraries one would use instead.

    python benchmarks/bm_maps.py [--write]

One run: `.wrl` parsing, vertex normals, principal curvatures (time, and error on noisy tori) and the depth, normal and
curvature maps. The best of several repetitions counts, because everything else is the machine's noise. `make bench`
installs the peers; a peer that does not import is a line that says so.
"""

import argparse
import importlib
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import one_core

RESULTS = Path(__file__).parent / "results"
sys.path.insert(0, str(Path(__file__).parents[1]))  # tests.shapes: the closed forms

PITCH = 0.88  # mm between range samples: about 35,000 vertices a scan, give or take a tenth
VERTICES = 35_000  # the smallest scan with at least as many is taken
SIZE, PIXEL = 224, 0.8
STREAM_GB_S = 10.0  # of one of the cores this was planned for: what merely touching the data would cost
TORUS = (35.0, 14.0, 0.8)  # mm: ring, tube and edge of the noisy torus; about 35,000 vertices, as dense as the scan
RINGS = 5  # of neighbours, in libigl's fit
NOISES = (0.03, 0.1)  # mm


def main():
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/")
    write = parser.parse_args().write
    report = table()
    print(report)
    if write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "maps.md").write_text(report + "\n", encoding="utf-8")


def table():
    """All tables as markdown."""
    with one_core(), tempfile.TemporaryDirectory() as folder:
        scan, path = face(Path(folder))
        blocks = [
            f"## Single stages, one core: {len(scan.vertices):,} vertices, {len(scan.faces):,} faces",
            stage("parse .wrl", 10.0, parsers(path), floor=path.stat().st_size),
            stage("vertex normals", 1.5, normals(scan), floor=scan.vertices.nbytes * 2 + scan.faces.nbytes),
            stage("principal curvatures", 100.0, curvatures(scan)),
            stage("depth, normal and curvature maps, 224 pixels", 8.0, renders(scan)),
            errors(),
        ]
    return "\n\n".join(blocks)


def face(folder):
    """A simulated scan in the frontal frame, cropped, and its file."""
    from fer3d import formats, synth
    from fer3d.prepare import align

    synth.make(folder / "scans", layout="bu3dfe", subjects=1, seed=1, levels=(4,), pitch=PITCH)
    sizes = {path: len(formats.read(path).vertices) for path in sorted((folder / "scans").rglob("*_F3D.wrl"))}
    path = min((path for path in sizes if sizes[path] >= VERTICES), key=sizes.__getitem__)
    return align.frontal(align.outward(formats.read(path)), method="shape"), path


def best(call, least=0.6):
    """Milliseconds of the fastest of as many runs as fit in `least` seconds, at least two after one to warm up."""
    call()
    times = []
    while len(times) < 2 or sum(times) < least:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def stage(name, bar, contenders, floor=None):
    """A table: ours first, then the peers with their ratio."""
    rows = [f"### {name}", "", "| | ms | of ours |", "|---|---|---|"]
    ours = None
    for label, call in contenders:
        if call is None:
            rows.append(f"| {label} | not installed | |")
            continue
        spent = best(call)
        ours = spent if ours is None else ours
        rows.append(f"| {label} | {spent:.1f} | {spent / ours:.1f} |")
    rows += ["", f"Wanted: at most {bar:g} ms, {'met' if ours <= bar else 'MISSED'}."]
    if floor is not None:
        least = floor / STREAM_GB_S * 1e-6
        rows[-1] += (
            f" Touching its {floor / 1e6:.2f} MB once at {STREAM_GB_S:g} GB/s would take {least:.2f} ms, "
            f"{least / ours:.0%} of it."
        )
    return "\n".join(rows)


def peer(name):
    """The module, or None if it is not installed or lacks a system library."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError):
        return None


def parsers(path):
    """Contenders for reading the file, texture left aside."""
    from fer3d import formats

    yield "fer3d", lambda: formats.read(path, texture=False)
    yield "Python loop over lines", lambda: loop_parse(path)
    yield "regular expressions and NumPy", lambda: regex_parse(path)
    pymeshlab = peer("pymeshlab")
    yield "pymeshlab", pymeshlab and (lambda: pymeshlab.MeshSet().load_new_mesh(str(path)))


def loop_parse(path):
    """What people write first: number by number."""
    blocks, current = [], None
    for line in path.read_text().splitlines():
        if "[" in line:
            current = []
            blocks.append(current)
        elif "]" in line:
            current = None
        elif current is not None:
            for word in line.replace(",", " ").split():
                current.append(float(word))
    return [np.array(block) for block in blocks]


def regex_parse(path):
    """What people write second."""
    number = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
    return [np.array(number.findall(block), float) for block in re.findall(r"\[([^\]\"]*)\]", path.read_text())]


def normals(scan):
    """Contenders for vertex normals; what they need of their own structures is made outside."""
    from fer3d import maps

    yield "fer3d (Max's weights, seams welded)", lambda: maps.vertex_normals(scan)
    o3d = peer("open3d")
    yield "Open3D", o3d and open3d_normals(o3d, scan)
    igl, v, f = peer("igl"), scan.vertices.astype(np.float64), scan.faces.astype(np.int64)
    yield "libigl", igl and (lambda: igl.per_vertex_normals(v, f))
    trimesh = peer("trimesh")
    yield "trimesh", trimesh and (lambda: trimesh.Trimesh(v, f, process=False).vertex_normals)


def open3d_normals(o3d, scan):
    """Open3D keeps what it computed: forget it each time."""
    mesh = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(scan.vertices.astype(np.float64)), o3d.utility.Vector3iVector(scan.faces)
    )
    nothing = o3d.utility.Vector3dVector()

    def call():
        mesh.triangle_normals, mesh.vertex_normals = nothing, nothing
        mesh.compute_vertex_normals()

    return call


def curvatures(scan):
    """Contenders for principal curvatures by a local quadric."""
    from fer3d import maps

    given = maps.vertex_normals(scan)
    for radius in (5.0, maps.CURVATURE_RADIUS):
        yield (
            f"fer3d, radius {radius:g} mm",
            lambda radius=radius: maps.principal_curvatures(scan, radius, normals=given),
        )
    igl, v, f = peer("igl"), scan.vertices.astype(np.float64), scan.faces.astype(np.int64)
    yield f"libigl, {RINGS} rings", igl and (lambda: igl.principal_curvature(v, f, RINGS, True))
    pymeshlab = peer("pymeshlab")
    yield "pymeshlab, quadric fitting (one ring)", pymeshlab and pymeshlab_curvatures(pymeshlab, v, f)


def pymeshlab_curvatures(pymeshlab, vertices, faces):
    """The whole call, the copy into MeshLab's own mesh left out."""
    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(pymeshlab.Mesh(vertices, faces))
    return lambda: meshes.compute_curvature_principal_directions_per_vertex(method="Quadric Fitting")


def renders(scan):
    """Contenders for the maps; normals and curvatures at the vertices are given to all."""
    from fer3d import maps

    given = maps.vertex_normals(scan)
    k = maps.principal_curvatures(scan, 5.0, normals=given)
    groups = ("depth", "normal", "curvature")
    yield "fer3d (holes filled)", lambda: maps.render_maps(scan, groups, SIZE, PIXEL, normals=given, curvatures=k)
    values = np.column_stack([scan.vertices[:, 2], given, *k])
    axis = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL
    x, y = np.meshgrid(axis, -axis)
    o3d = peer("open3d")
    yield "Open3D ray casting", o3d and (lambda: raycast(o3d, scan, values, x, y))
    from scipy.interpolate import griddata

    yield "SciPy griddata", lambda: griddata(scan.vertices[:, :2], values, (x, y))


def raycast(o3d, scan, values, x, y):
    """Scene, rays, barycentric interpolation."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(scan.vertices, scan.faces.astype(np.uint32))
    rays = np.zeros((SIZE, SIZE, 6), np.float32)
    rays[..., 0], rays[..., 1], rays[..., 2], rays[..., 5] = x, y, 500, -1
    seen = scene.cast_rays(rays)
    hit = np.isfinite(seen["t_hit"].numpy())
    corners = scan.faces[seen["primitive_ids"].numpy()[hit].astype(int)]
    b = seen["primitive_uvs"].numpy()[hit]
    image = np.full((SIZE, SIZE, values.shape[1]), np.nan)
    image[hit] = np.einsum("nk,nkc->nc", np.column_stack([1 - b.sum(axis=1), b]), values[corners])
    return image


def errors():
    """Root mean square errors of the curvatures on noisy tori, relative to 1 / tube."""
    from fer3d import maps
    from tests import shapes

    ring, tube, edge = TORUS
    shape = shapes.torus(ring, tube, edge)
    reach = RINGS * edge  # what libigl's rings reach to
    heads = " | ".join(f"error at {noise:g} mm of noise" for noise in NOISES)
    rows = [
        "### error of the principal curvatures",
        "",
        f"Root mean square over both, in per cent of 1 / {tube:g} mm, on a torus of {len(shape.vertices):,} vertices "
        f"with edges of {edge:g} mm.",
        "",
        f"| | ms | {heads} |",
        "|---|---|" + "---|" * len(NOISES),
    ]

    def error(made):
        one, two = np.maximum(*made), np.minimum(*made)
        return 100 * tube * float(np.sqrt((((one - shape.k1) ** 2 + (two - shape.k2) ** 2) / 2).mean()))

    for label, fit in fits(maps, reach):
        if fit is None:
            rows.append(f"| {label} | not installed |" + " |" * len(NOISES))
            continue
        noisy = [shape.noisy(noise, seed=1).scan for noise in NOISES]
        values = [error(fit(scan)) for scan in noisy]
        spent = best(lambda fit=fit, scan=noisy[0]: fit(scan))
        rows.append(f"| {label} | {spent:.0f} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    return "\n".join(rows)


def fits(maps, reach):
    """Label, and scan -> (k1, k2) with convex positive."""
    for radius in (reach, 5.0, maps.CURVATURE_RADIUS):
        yield f"fer3d, radius {radius:.3g} mm", lambda scan, radius=radius: maps.principal_curvatures(scan, radius)
    igl = peer("igl")

    def libigl(scan):
        made = igl.principal_curvature(scan.vertices.astype(np.float64), scan.faces.astype(np.int64), RINGS, True)
        one, two = made[2], made[3]
        return (-one, -two) if (one + two).mean() < 0 else (one, two)  # its sign is not documented

    yield f"libigl, {RINGS} rings (reach {reach:.3g} mm)", igl and libigl


if __name__ == "__main__":
    main()
