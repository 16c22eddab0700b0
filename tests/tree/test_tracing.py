"""Many meshes in one launch: the same stencils as of each alone, on every device."""

import numpy as np
import pytest
import torch

from fer3d import _native
from fer3d.errors import ArgumentError
from fer3d.tree.stencils import geodesic_stencils
from fer3d.tree.tracing import TracingTables, trace
from tests import shapes

RADII = (2.0, 5.0, 14.0)


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not (torch.cuda.is_available() and _native.has_cuda):
        pytest.skip("no CUDA device, or no CUDA kernels")
    return request.param


def meshes():
    """A closed one, one with a boundary and a vertex without faces, one with an edge of three faces."""
    torus, plane = shapes.torus(30.0, 12.0, 2.5), shapes.plane(12.0, 1.5)
    fins = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [9, 9, 0], [9, 9, 9]], float)
    return [
        (torus.vertices, torus.faces),
        (np.concatenate([plane.vertices, [[0, 0, 9]]]), plane.faces),
        (fins, np.array([[0, 1, 2], [1, 3, 2], [1, 4, 2]], np.int32)),
    ]


def test_packed_meshes_give_what_each_gives_alone(device):
    packs = [(v, f, np.arange(0, len(v), 3, dtype=np.int32)) for v, f in meshes()]
    packs[1] = (*packs[1][:2], np.array([0, 7, len(packs[1][0]) - 1], np.int32))
    tables = TracingTables.packed([TracingTables.of(*pack) for pack in packs]).to(device)
    vertices = torch.from_numpy(np.concatenate([v for v, _, _ in packs])).to(device)
    towards = torch.tensor([0.3, 0.5, 0.8], dtype=torch.float64, device=device).expand(len(tables.sources), 3)
    for direction in (None, towards):
        indices, weights = (part.cpu().numpy() for part in trace(vertices, tables, RADII, 8, direction=direction))
        row = begin = 0
        for v, f, sources in packs:
            where = None if direction is None else (0.3, 0.5, 0.8)
            alone = geodesic_stencils(v, f, sources, RADII, 8, direction=where)
            here = slice(begin, begin + len(sources))
            place = (weights[here, ..., None] * v[indices[here] - row]).sum(axis=-2)
            wanted = (alone[1][..., None] * v[alone[0]]).sum(axis=-2)
            np.testing.assert_array_equal(weights[here].any(axis=-1), alone[1].any(axis=-1))
            np.testing.assert_allclose(place, wanted, atol=1e-9)
            row, begin = row + len(v), begin + len(sources)


def test_tables_are_those_of_the_mesh_whatever_its_vertices_do(device):
    """Twins are each other's, and stencils follow vertices that move."""
    shape = shapes.torus(30.0, 12.0, 2.5)
    sources = np.arange(0, len(shape.vertices), 5, dtype=np.int32)
    tables = TracingTables.of(shape.vertices, shape.faces, sources)
    twin = tables.twin.numpy()
    np.testing.assert_array_equal(twin[twin], np.arange(len(twin)))
    corner = shape.faces.reshape(-1)
    np.testing.assert_array_equal(corner[tables.leaving.numpy()], sources)
    moved = shape.vertices * [1.0, 1.3, 0.8]
    found = trace(torch.from_numpy(moved).to(device), tables.to(device), RADII)
    wanted = geodesic_stencils(moved, shape.faces, sources, RADII)
    np.testing.assert_allclose(found[1].cpu().numpy().sum(axis=-1), wanted[1].sum(axis=-1), atol=1e-12)
    places = [
        (w[..., None] * moved[i]).sum(axis=-2) for i, w in ((found[0].cpu().numpy(), found[1].cpu().numpy()), wanted)
    ]
    np.testing.assert_allclose(*places, atol=1e-9)


def test_faces_that_lose_their_use_are_holes(device):
    """A vertex that falls onto its neighbour takes its faces with it."""
    shape = shapes.plane(12.0, 1.5)
    source = int(np.argmin((shape.vertices**2).sum(axis=1)))
    tables = TracingTables.of(shape.vertices, shape.faces, np.array([source], np.int32))
    fallen = shape.vertices.copy()
    ring = shape.faces[(shape.faces == source).any(axis=1)]
    neighbour = int(ring[ring != source][0])
    beyond = shape.faces[(shape.faces == neighbour).any(axis=1)]
    other = next(int(v) for v in beyond.ravel() if v not in ring)
    fallen[neighbour] = fallen[other]
    weights = trace(torch.from_numpy(fallen).to(device), tables.to(device), (5.0,))[1].cpu().numpy()
    wanted = geodesic_stencils(fallen, shape.faces, np.array([source], np.int32), (5.0,))
    assert np.isfinite(weights).all()
    np.testing.assert_array_equal(weights.any(axis=-1), wanted[1].any(axis=-1))
    assert not weights.any(axis=-1).all()


def test_what_is_wrong_is_said():
    shape = shapes.plane(5.0, 1.0)
    vertices, sources = torch.from_numpy(shape.vertices), np.array([0], np.int32)
    tables = TracingTables.of(shape.vertices, shape.faces, sources)
    with pytest.raises(ArgumentError, match="`vertices` should have shape"):
        trace(vertices[:-1], tables, RADII)
    with pytest.raises(ArgumentError, match="`vertices` should be float32 or float64"):
        trace(vertices.half(), tables, RADII)
    with pytest.raises(ArgumentError, match="`radii` should be ascending"):
        trace(vertices, tables, (2.0, 1.0))
    with pytest.raises(ArgumentError, match="`rays` should be a whole number"):
        trace(vertices, tables, RADII, 0)
    with pytest.raises(ArgumentError, match="`direction` should have shape"):
        trace(vertices, tables, RADII, direction=torch.zeros(2, 3))
    with pytest.raises(ArgumentError, match="`tables` should be on cpu as `vertices`, is on meta"):
        trace(vertices, tables.to("meta"), RADII)
    with pytest.raises(ArgumentError, match="`tables` should hold those of at least one mesh"):
        TracingTables.packed([])
    with pytest.raises(ArgumentError, match="`sources` should hold rows in"):
        TracingTables.of(shape.vertices, shape.faces, np.array([999], np.int32))
