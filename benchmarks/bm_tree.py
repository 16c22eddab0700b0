"""Sample trees and geodesic stencils on simulated scans of 10,000 and 35,000 vertices, one core, against potpourri3d.

    python benchmarks/bm_tree.py [--write]

One run: the whole tree with all its stencils; stencils alone against potpourri3d's tracer for the same rays and against
its log map by vector heat for the same patches; what a tree takes on disk against the soft patch operator of a GCNN;
and where samples lie on a sphere, traced on the scan or on the level. Times are CPU time of one thread, the best of
several repetitions, so that neighbours on the machine count little. `make bench` installs the peer.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from machine import best, one_core, where

RESULTS = Path(__file__).parent / "results"
sys.path.insert(0, str(Path(__file__).parents[1]))  # tests.shapes: the closed forms

FACES = ((1.68, 10_000, 60.0), (0.88, 35_000, 200.0))  # mm between range samples; least vertices; ms wanted
PATCH, RAYS = 12.0, 8  # mm and number of the rays of the comparison
RINGS = (3.0, 6.0, 12.0)
TRACER, LOG_MAP, MEGABYTES = 10.0, 300.0, 1.5  # wanted: times faster, times faster, at most
SOURCES = 200  # of the slow peers
SPHERE = (50.0, 2.0)  # mm: radius and edge


def main():
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/")
    write = parser.parse_args().write
    report = "\n\n".join(tables())
    print(report)
    if write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "tree.md").write_text(report + "\n", encoding="utf-8")


def tables():
    """Markdown blocks, one after the other."""
    yield f"# Sample tree\n\n{where()}"
    with one_core():
        for pitch, least, wanted in FACES:
            scan = face(pitch, least)
            yield f"## A face of {len(scan.vertices):,} vertices, {len(scan.faces):,} faces, one core"
            yield whole(scan, wanted)
            yield stencils(scan)
            yield bytes_a_scan(scan)
        yield accuracy()


def face(pitch, least):
    """A simulated scan, cleaned, frontal and cropped: the smallest with at least so many vertices."""
    from fer3d import formats, synth
    from fer3d.prepare import align, clean

    with tempfile.TemporaryDirectory() as folder:
        synth.make(Path(folder) / "scans", layout="bu3dfe", subjects=1, seed=1, levels=(4,), pitch=pitch)
        made = [
            align.crop(align.frontal(align.outward(clean.clean(align.to_millimetres(formats.read(path))))))
            for path in sorted(Path(folder).rglob("*_F3D.wrl"))
        ]
    return min((scan for scan in made if len(scan.vertices) >= least), key=lambda scan: len(scan.vertices))


def peer():
    """potpourri3d, or None."""
    try:
        import potpourri3d
    except (ImportError, OSError):
        return None
    return potpourri3d


def verdict(met, wanted):
    """One line."""
    return f"Wanted: {wanted}, {'met' if met else 'MISSED'}."


def whole(scan, wanted):
    """The tree with the default settings, and its parts."""
    from fer3d import tree

    made = tree.SampleTree.build(scan)
    faces, vertices = scan.faces, scan.vertices
    start = made.rows[:1]
    one = tree.geodesic_stencils
    parts = [
        ("tables of edges and corners", best(lambda: one(vertices, faces, start, (1.0,), 1))),
        (f"those and {tree.LEVELS[0]:,} farthest points", best(lambda: farthest(tree, vertices, faces, start))),
        ("the whole tree", best(lambda: tree.SampleTree.build(scan))),
    ]
    samples = sum(weights[..., 0].size for weights in made.weights)
    rows = ["| | ms |", "|---|---|", *(f"| {name} | {spent:.1f} |" for name, spent in parts)]
    rows += [
        "",
        f"Levels of {', '.join(map(str, made.sizes))} vertices after dropping what is not read; {samples:,} samples, "
        f"{sum((weights == 0).all(axis=-1).sum() for weights in made.weights) / samples:.0%} of them masked.",
        verdict(parts[-1][1] <= wanted, f"at most {wanted:g} ms"),
    ]
    return "\n".join(rows)


def farthest(tree, vertices, faces, start):
    """All of the order."""
    return tree.farthest_points(vertices, faces, start, tree.LEVELS[0])


def stencils(scan):
    """Microseconds a stencil: ours at every vertex, the peers' at some."""
    from fer3d import maps, tree

    vertices, faces = scan.vertices.astype(np.float64), scan.faces
    sources = np.arange(len(vertices), dtype=np.int32)
    ours = 1e3 * best(lambda: tree.geodesic_stencils(vertices, faces, sources, RINGS, RAYS)) / len(sources)
    rows = [
        f"### A stencil of {RAYS} rays of {PATCH:g} mm",
        "",
        "| | microseconds | of ours |",
        "|---|---|---|",
        f"| fer3d, with {len(RINGS)} samples a ray and its tables | {ours:.2f} | 1.0 |",
    ]
    potpourri = peer()
    if potpourri is None:
        return "\n".join([*rows, "| potpourri3d | not installed | |"])
    some = np.random.default_rng(0).choice(len(vertices), SOURCES, replace=False)
    tangents = rays(maps.vertex_normals(scan).astype(np.float64)[some])
    tracer = potpourri.GeodesicTracer(vertices, faces)

    def trace():
        for source, directions in zip(some, tangents, strict=True):
            for direction in directions:
                tracer.trace_geodesic_from_vertex(int(source), PATCH * direction)

    traced = 1e3 * best(trace) / len(some)
    solver = potpourri.MeshVectorHeatSolver(vertices, faces)
    mapped = 1e3 * best(lambda: [solver.compute_log_map(int(source)) for source in some[:20]]) / 20
    rows += [
        f"| potpourri3d GeodesicTracer, paths only, tables made before | {traced:.0f} | {traced / ours:.0f} |",
        f"| potpourri3d log map by vector heat, factorised before | {mapped:.0f} | {mapped / ours:.0f} |",
        "",
        verdict(traced >= TRACER * ours and mapped >= LOG_MAP * ours, f"{TRACER:g} and {LOG_MAP:g} times faster"),
    ]
    return "\n".join(rows)


def rays(normals):
    """(N, RAYS, 3): unit tangents in equal steps."""
    first = np.cross(normals, [0.3, 0.5, 0.8])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    turn = 2 * np.pi * np.arange(RAYS)[:, None] / RAYS
    return np.cos(turn) * first[:, None] + np.sin(turn) * np.cross(normals, first)[:, None]


def bytes_a_scan(scan):
    """The tree of `fer3d preprocess --tree` as it is stored, and the operator of a GCNN on the whole scan with as many
    bins, its soft weights kept sparse."""
    from scipy.spatial import cKDTree

    from fer3d import maps, tree
    from fer3d.config import PreprocessSettings
    from fer3d.prepare import store
    from fer3d.prepare.scan import build_tree

    normals = maps.vertex_normals(scan)
    made = build_tree(scan, PreprocessSettings(), np.zeros(3))
    made = made.with_features(scan, normals, maps.principal_curvatures(scan, normals=normals))
    held = sum(array.nbytes for array in (*made.indices, *made.weights))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tree.safetensors"
        store.write_scan(path, store.PreparedScan(made.arrays(), {"tree": made.facts()}))
        stored = path.stat().st_size
    encoded = best(made.arrays)
    arrays, facts = made.arrays(), made.facts()
    decoded = best(lambda: tree.SampleTree.from_arrays(arrays, facts))
    points = cKDTree(scan.vertices)
    some = scan.vertices[:: len(scan.vertices) // 500]
    bins = len(made.rings) * made.rays
    members = sum(np.mean(points.query_ball_point(some, 1.5 * radius, return_length=True)) for radius in made.radii[0])
    soft = len(scan.vertices) * bins * members * (4 + 4)  # a row of int32 and a float32 for each
    return "\n".join(
        [
            "### Bytes, as `fer3d preprocess --tree` makes it",
            "",
            "| | MB |",
            "|---|---|",
            f"| its stencils in memory: three rows and weights a sample, levels of {', '.join(map(str, made.sizes))} "
            f"| {held / 1e6:.2f} |",
            f"| the file: stencils coded, {made.sizes[0]:,} positions, normals and curvature channels "
            f"| {stored / 1e6:.2f} |",
            f"| soft GCNN operator of one layer, {bins} bins, discs of 1.5 times the same radii | {soft / 1e6:,.0f} |",
            f"| ratio of the last two | {soft / stored:,.0f} |",
            "",
            f"Coded in {encoded:.1f} ms, read back bit by bit in {decoded:.1f} ms. "
            + verdict(stored <= MEGABYTES * 1e6, f"at most {MEGABYTES:g} MB"),
        ]
    )


def accuracy():
    """Mean errors of the samples of each transition on a sphere, by radius."""
    from fer3d import tree
    from tests import shapes

    radius, edge = SPHERE
    shape = shapes.sphere(radius, edge)
    pole = shape.vertices[0]
    made = tree.SampleTree.build(shape.scan, start=pole)
    points = made.positions.astype(np.float64)
    rows = [
        f"## Where samples lie: a sphere of {radius:g} mm, {len(shape.vertices):,} vertices",
        "",
        "Mean error along the ray in mm / across it in degrees, after the best turn of each stencil.",
        "",
        "| from level | mm along the ray | traced on the scan, stored | traced on the level, in float64 |",
        "|---|---|---|---|",
    ]
    for level, span in enumerate(made.radii):
        count = made.sizes[level + 1]
        spans = np.unique(np.multiply.outer(span, made.rings))
        slot = [np.argwhere(np.isclose(np.multiply.outer(span, made.rings), value))[0] for value in spans]
        indices, weights = made.indices[level].astype(np.int64), made.weights[level].astype(np.float64)
        stored = (weights[..., None] * points[indices]).sum(axis=-2)
        stored = np.stack([stored[:, s, r] for s, r in slot], axis=1)
        vertex, weight = tree.geodesic_stencils(
            points[: made.sizes[level]],
            made.faces[level].astype(np.int32),
            np.arange(count, dtype=np.int32),
            spans.tolist(),
            made.rays,
            direction=points[:count] - pole,
        )
        coarse = (weight[..., None] * points[vertex]).sum(axis=-2)
        coarse[~weight.any(axis=-1)] = np.nan
        for k, value in enumerate(spans):
            one, two = (errors(samples[:, k], points[:count], value) for samples in (stored, coarse))
            rows.append(f"| {level} | {value:g} | {one[0]:.4f} / {one[1]:.3f} | {two[0]:.4f} / {two[1]:.3f} |")
    return "\n".join(rows)


def errors(samples, centres, wanted):
    """Mean errors in mm and degrees of (N, A, 3) samples about (N, 3) vertices of a sphere about the origin."""
    radius = np.linalg.norm(centres, axis=1, keepdims=True)
    n = centres / radius
    first = np.cross(n, [0.3, 0.5, 0.8])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    unit = samples / np.linalg.norm(samples, axis=-1, keepdims=True)
    along = radius * np.arccos(np.clip(np.einsum("nai,ni->na", unit, n), -1, 1))
    angle = (
        np.arctan2(np.einsum("nai,ni->na", unit, np.cross(n, first)), np.einsum("nai,ni->na", unit, first))
        - 2 * np.pi * np.arange(samples.shape[1]) / samples.shape[1]
    )
    turned = np.exp(1j * angle)
    mean = np.nanmean(turned, axis=1, keepdims=True)
    return np.nanmean(np.abs(along - wanted)), np.degrees(np.nanmean(np.abs(np.angle(turned / mean))))


if __name__ == "__main__":
    main()
