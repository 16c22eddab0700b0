"""Coded stencils come back as they were, and take less."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fer3d.tree import stencil_code
from fer3d.tree.sample_tree import SampleTree
from tests import shapes


def stencils(seed, shape, kind=np.uint16, rows=50):
    """Random ones of (V, S, R, A): some masked, a ring that is another's twin, corners that repeat."""
    random = np.random.default_rng(seed)
    V = shape[0]
    triples = random.integers(0, rows, (9, 3))
    indices = triples[random.integers(0, 9, shape)].astype(kind)
    cuts = np.sort(random.integers(0, stencil_code.WEIGHT_UNIT + 1, (*shape, 2)), axis=-1)
    units = np.diff(cuts, axis=-1, prepend=0, append=stencil_code.WEIGHT_UNIT).astype(np.uint16)
    masked = random.uniform(size=shape) < random.choice([0.0, 0.3, 1.0])
    units[masked] = 0
    indices[masked] = np.broadcast_to(np.arange(V).reshape(-1, 1, 1, 1), shape)[masked][:, None]
    indices[:, -1, 0], units[:, -1, 0] = indices[:, 0, -1], units[:, 0, -1]
    return indices, stencil_code.weights_of(units)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 3), st.integers(1, 4), st.integers(1, 9)),
    kind=st.sampled_from([np.uint16, np.int32]),
)
def test_coded_stencils_come_back(seed, shape, kind):
    indices, weights = stencils(seed, shape, kind, rows=70_000 if kind is np.int32 else 50)
    code = stencil_code.encode(indices, weights)
    again = stencil_code.decode(code)
    for one, two in zip((indices, weights), again, strict=True):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
    assert code["triple"].shape[1] <= max(1, shape[1] * shape[2] - (shape[1] > 1 or shape[2] > 1))


def test_a_tree_is_stored_in_a_third_of_its_bytes():
    made = SampleTree.build(shapes.torus(30.0, 12.0, 2.0).scan, (900, 200, 40), start=(42.0, 0, 0), rays=16, rings=6)
    code = [stencil_code.encode(i, w) for i, w in zip(made.indices, made.weights, strict=True)]
    for part in code:
        assert part["triple"].shape[1] == 12  # of 18 rings: 2, 4 and 6 of the first radius are 1, 2 and 3 of the second
    held = sum(array.nbytes for array in (*made.indices, *made.weights))
    assert sum(array.nbytes for part in code for array in part.values()) < 0.4 * held


def test_a_tree_comes_back_as_it_was_stored():
    made = SampleTree.build(shapes.torus(30.0, 12.0, 2.5).scan, (600, 150, 40), start=(42.0, 0, 0))
    again = SampleTree.from_arrays(made.arrays(), made.facts())
    for level in range(2):
        np.testing.assert_array_equal(again.indices[level], made.indices[level])
        np.testing.assert_array_equal(again.weights[level], made.weights[level])
