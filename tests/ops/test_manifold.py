import os
import re
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer3d import _native, ops
from fer3d.errors import ArgumentError
from fer3d.ops import manifold
from tests.reference import manifold_conv as reference
from tests.reference.manifold_pool import manifold_pool as pool_reference

COMPILER = shutil.which(os.environ.get("CXX", "c++"))
CUDA = torch.cuda.is_available() and _native.has_cuda


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not CUDA, reason="no CUDA"))])
def device(request):
    return request.param


def stencil(B, N, V, R, A, K, *, seed=0, dtype=torch.float32, masked=0.2):
    """Contributors whose weights sum to 1, and some masked bins."""
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randint(0, N, (B, V, R, A, K), generator=generator, dtype=torch.int32)
    weights = torch.rand(B, V, R, A, K, generator=generator, dtype=dtype)
    weights /= weights.sum(dim=-1, keepdim=True)
    weights[torch.rand(B, V, R, A, generator=generator) < masked] = 0
    return indices, weights


def case(B=2, N=40, V=30, R=3, A=8, K=3, C=5, O=7, *, seed=0, dtype=torch.float32, device="cpu"):  # noqa: E741
    generator = torch.Generator().manual_seed(seed + 1)
    x = torch.randn(B, N, C, generator=generator, dtype=dtype)
    kernel = torch.randn(R, A, C, O, generator=generator, dtype=dtype)
    indices, weights = stencil(B, N, V, R, A, K, seed=seed, dtype=dtype)
    return tuple(tensor.to(device) for tensor in (x, indices, weights, kernel))


def force_on(y, seed=5):
    """Every output pulls with another force, so that no two can be exchanged."""
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(y)


def gradients(y, inputs, force=None):
    return torch.autograd.grad(y, inputs, (force_on(y) if force is None else force).to(y))


# Rounding grows with the size of the terms, which the largest result stands for; a clear winner leads by more.
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}


def check_against_definition(x, indices, weights, kernel):
    x, kernel = x.requires_grad_(), kernel.requires_grad_()
    exact_x, exact_kernel = (t.detach().double().requires_grad_() for t in (x, kernel))
    y = ops.manifold_conv(x, indices, weights, kernel)
    assert y.dtype == x.dtype
    responses = reference.responses(reference.patches(exact_x, indices, weights.double()), exact_kernel)
    exact = responses.amax(dim=0)
    ordered = responses.detach().sort(dim=0, descending=True).values
    margin = ROUNDING[x.dtype] * (1 + float(ordered.abs().max()))
    clear = (ordered[:1] - ordered[1:2] > 2 * margin).all(dim=0)  # with one ray: everywhere
    force = force_on(exact) * clear
    # A gradient may be a small sum of many large terms: their sizes, summed.
    sizes = [t.detach().double().abs().requires_grad_() for t in (x, kernel)]
    won = reference.responses(reference.patches(sizes[0], indices, weights.double()), sizes[1]).gather(
        0, responses.detach().argmax(dim=0, keepdim=True)
    )[0]
    terms = (torch.zeros(()), *gradients(won, sizes, force.abs()))
    for ours, theirs, summed in zip(
        (y, *gradients(y, (x, kernel), force)),
        (exact, *gradients(exact, (exact_x, exact_kernel), force)),
        terms,
        strict=True,
    ):
        atol = ROUNDING[x.dtype] * (1 + float(theirs.detach().abs().max()) + float(summed.max()) / 500)
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"A": 16, "C": 32, "O": 64, "R": 5},  # the sizes that the kernels are made for
        {"A": 16, "C": 33, "O": 65, "R": 1},  # one beyond a tile in each direction
        {"A": 12, "C": 1, "O": 1},
        {"A": 7, "C": 16, "O": 48, "V": 25, "K": 5},
        {"A": 30, "R": 2},
        {"A": 2, "K": 1},
        {"A": 1, "K": 2, "C": 20, "O": 20},  # no rotation: a plain patch convolution
        {"B": 1, "V": 700, "A": 4, "C": 3, "O": 2},  # enough vertices for several partial sums
        {"B": 2, "V": 400, "A": 3, "C": 3, "O": 70, "R": 2},
    ],
)
def test_manifold_conv_is_the_definition(sizes, dtype, device):
    check_against_definition(*case(**sizes, dtype=dtype, device=device))


@settings(max_examples=50, deadline=None)
@given(
    B=st.integers(1, 3),
    N=st.integers(1, 20),
    V=st.integers(1, 60),
    R=st.integers(1, 4),
    A=st.integers(1, 20),
    K=st.integers(1, 5),
    C=st.integers(1, 40),
    O=st.integers(1, 70),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_manifold_conv_is_the_definition_at_any_size(dtype, **sizes):
    check_against_definition(*case(**sizes, dtype=dtype))


@pytest.mark.parametrize("instructions", ["base", "avx2", "avx512"])
def test_manifold_conv_is_the_definition_on_older_processors(instructions):
    if not _native.manifold_conv_use(instructions):
        pytest.skip(f"no {instructions} here")
    try:
        check_against_definition(*case())
        check_against_definition(*case(A=16, C=33, O=65, R=2))
        check_against_definition(*case(A=11, C=9, O=17, V=60))
    finally:
        assert any(_native.manifold_conv_use(best) for best in ("avx512", "avx2", "base"))


def test_manifold_conv_gradient_is_the_slope(device):
    x, indices, weights, kernel = case(B=2, N=9, V=4, R=2, A=5, C=3, O=4, dtype=torch.float64, device=device)
    assert torch.autograd.gradcheck(
        lambda x, kernel: ops.manifold_conv(x, indices, weights, kernel), (x.requires_grad_(), kernel.requires_grad_())
    )


@pytest.mark.skipif(not CUDA, reason="no CUDA")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_manifold_conv_of_half_precision_is_the_definition(dtype):
    x, indices, weights, kernel = case(A=16, C=20, O=35, device="cuda")
    check_against_definition(x.to(dtype), indices, weights, kernel.to(dtype))
    pooled = ops.manifold_pool(x.to(dtype), indices, weights, ops.retina_layout(3, 16))
    exact = pool_reference(x.to(dtype).float(), indices, weights, ops.retina_layout(3, 16), "max")
    torch.testing.assert_close(pooled.float(), exact, rtol=0, atol=ROUNDING[dtype])


@pytest.mark.skipif(not CUDA, reason="no CUDA")
def test_manifold_conv_on_cuda_is_the_same_every_time():
    x, indices, weights, kernel = case(B=3, V=500, device="cuda")
    x.requires_grad_()
    kernel.requires_grad_()
    runs = []
    for _ in range(3):
        y = ops.manifold_conv(x, indices, weights, kernel)
        runs.append((y, *gradients(y, (x, kernel))))
    for run in runs[1:]:
        assert all(torch.equal(again, first) for again, first in zip(run, runs[0], strict=True))


def test_manifold_conv_patches_is_the_definition(device):
    x, indices, weights, kernel = case(A=6, dtype=torch.float64, device=device)
    patches = reference.patches(x, indices, weights).requires_grad_()
    kernel.requires_grad_()
    y, exact = ops.manifold_conv_patches(patches, kernel), reference.manifold_conv_patches(patches, kernel)
    torch.testing.assert_close(y, exact)
    torch.testing.assert_close(gradients(y, (patches, kernel)), gradients(exact, (patches, kernel)))
    assert torch.autograd.gradcheck(
        ops.manifold_conv_patches, (patches.detach()[:, :2].requires_grad_(), kernel.detach().requires_grad_())
    )


@pytest.mark.parametrize("rays", [1, 8, 9, 16])
def test_manifold_conv_does_not_see_the_frame(rays, device):
    x, indices, weights, kernel = case(A=rays, device=device)
    y = ops.manifold_conv(x, indices, weights, kernel)
    for turn in range(1, rays):
        turned = ops.manifold_conv(x, indices.roll(turn, dims=3), weights.roll(turn, dims=3), kernel)
        torch.testing.assert_close(turned, y, rtol=0, atol=1e-6 * float(y.abs().max()))


def test_manifold_conv_registers_cleanly(device):
    x, indices, weights, kernel = case(device=device)
    x.requires_grad_()
    kernel.requires_grad_()
    torch.library.opcheck(manifold._manifold_conv, (x, indices, weights, kernel))
    torch.library.opcheck(
        manifold._manifold_conv, (reference.patches(x, indices, weights).detach(), None, None, kernel)
    )
    y, shift = manifold._manifold_conv(x.detach(), indices, weights, kernel.detach())
    torch.library.opcheck(manifold._manifold_conv_grad_x, (y, shift, indices, weights, kernel.detach(), x.shape[1]))
    torch.library.opcheck(manifold._manifold_conv_grad_kernel, (y, shift, x.detach(), indices, weights))


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = torch.nn.Parameter(0.1 * torch.randn(3, 8, 5, 7, generator=torch.Generator().manual_seed(3)))
        self.mix = torch.nn.Linear(7, 5)

    def forward(self, x, indices, weights):
        return self.mix(torch.relu(ops.manifold_conv(x * 2, indices, weights, self.kernel)))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, as inductor loads
@pytest.mark.parametrize(
    "backend",
    ["aot_eager", pytest.param("inductor", marks=pytest.mark.skipif(COMPILER is None, reason="no C++ compiler"))],
)
def test_manifold_conv_compiles_without_a_break(backend):
    x, indices, weights, _ = case()
    block = Block()
    compiled = torch.compile(block, backend=backend, fullgraph=True)
    for batch in (2, 1):
        inputs = x[:batch], indices[:batch], weights[:batch]
        y, fast = block(*inputs), compiled(*inputs)
        torch.testing.assert_close(fast, y)
        torch.testing.assert_close(
            gradients(fast, list(block.parameters())), gradients(y, list(block.parameters())), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("sizes", [{"B": 1, "V": 700, "A": 16, "O": 40}, {"B": 3, "V": 300, "A": 5}])
def test_manifold_conv_does_not_depend_on_the_number_of_threads(sizes):
    x, indices, weights, kernel = case(**sizes)
    x.requires_grad_()
    kernel.requires_grad_()
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5, 2):
            torch.set_num_threads(threads)
            y = ops.manifold_conv(x, indices, weights, kernel)
            results.append((y, *gradients(y, (x, kernel))))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        for ours, first in zip(result, results[0], strict=True):
            assert torch.equal(ours, first)


def test_manifold_conv_masked_bins_are_not_read(device):
    x, indices, weights, kernel = case(device=device)
    weights[:, 3] = 0  # a vertex with no patch at all
    weights[0, :, 1, 2] = 0
    indices[0, :, 1, 2] = 4
    indices[:, 3] = 4
    weights[indices == 4] = 0
    used = (indices == 4).any(dim=4) & (weights != 0).any(dim=4)
    weights[used] = 0
    x[:, 4] = torch.nan
    x.requires_grad_()
    y = ops.manifold_conv(x, indices, weights, kernel)
    assert torch.isfinite(y).all()
    assert (y[:, 3] == 0).all()
    assert (gradients(y, x)[0][:, 4] == 0).all()


def test_manifold_conv_nan_stays_in_its_patches(device):
    x, indices, weights, kernel = case(device=device)
    x[0, 4] = torch.nan
    y = ops.manifold_conv(x, indices, weights, kernel)
    touched = ((indices == 4).any(dim=4) & (weights != 0).any(dim=4)).flatten(2).any(dim=2)
    touched[1] = False
    assert touched.any()
    assert torch.equal(y.isnan().all(dim=2), touched)
    assert torch.equal(y.isnan().any(dim=2), touched)


def test_manifold_conv_first_of_equal_rotations_wins(device):
    x, indices, weights, kernel = case(A=4, C=1, O=2, dtype=torch.float64, device=device)
    kernel[:] = 1
    kernel.requires_grad_()
    _, shift = manifold._manifold_conv(torch.zeros_like(x), indices, weights, kernel)
    assert (shift == 0).all()
    y = ops.manifold_conv_patches(torch.ones(1, 1, 3, 4, 1, dtype=torch.float64, device=device), kernel)
    assert y.tolist() == [[[12, 12]]]


def test_manifold_conv_zero_gradients_leave_nothing(device):
    x, indices, weights, kernel = case(device=device)
    x.requires_grad_()
    kernel.requires_grad_()
    y = ops.manifold_conv(x, indices, weights, kernel)
    kept = torch.rand(y.shape, generator=torch.Generator().manual_seed(2)).to(device) < 0.5
    exact = reference.manifold_conv(x, indices, weights, kernel)
    torch.testing.assert_close(
        gradients(y * kept, (x, kernel)), gradients(exact * kept, (x, kernel)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("sizes", [{"V": 0}, {"B": 0}, {"O": 0}, {"C": 0}])
def test_manifold_conv_of_nothing(sizes, device):
    x, indices, weights, kernel = case(**sizes, device=device)
    x.requires_grad_()
    kernel.requires_grad_()
    y = ops.manifold_conv(x, indices, weights, kernel)
    assert y.shape == (x.shape[0], indices.shape[1], kernel.shape[3])
    assert (y == 0).all()
    for gradient, tensor in zip(gradients(y, (x, kernel)), (x, kernel), strict=True):
        assert torch.equal(gradient, torch.zeros_like(tensor))


def test_manifold_conv_takes_any_strides(device):
    x, indices, weights, kernel = case(device=device)
    y = ops.manifold_conv(x, indices, weights, kernel)
    strided = [t.transpose(0, -1).contiguous().transpose(0, -1) for t in (x, indices, weights, kernel)]
    assert not any(t.is_contiguous() for t in strided)
    assert torch.equal(ops.manifold_conv(*strided), y)


def test_manifold_conv_gradient_of_one_input_only(device):
    x, indices, weights, kernel = case(device=device)
    both = gradients(ops.manifold_conv(x.requires_grad_(), indices, weights, kernel.requires_grad_()), (x, kernel))
    x, kernel = x.detach(), kernel.detach()
    alone = ops.manifold_conv(x.clone().requires_grad_(), indices, weights, kernel)
    assert alone.requires_grad
    assert torch.equal(gradients(ops.manifold_conv(x, indices, weights, kernel.requires_grad_()), kernel)[0], both[1])


def broken(**changed):
    x, indices, weights, kernel = case()
    return {"x": x, "indices": indices, "weights": weights, "kernel": kernel} | changed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": torch.zeros(2, 40)}, "`x` should have shape (B, N, C), has (2, 40)"),
        ({"x": torch.zeros(3, 40, 5)}, "`indices` should have shape (3, V, R, A, K), has (2, 30, 3, 8, 3)"),
        ({"weights": torch.zeros(2, 9, 3, 8, 3)}, "`weights` should have shape (2, 30, 3, 8, 3), has (2, 9, 3, 8, 3)"),
        ({"kernel": torch.zeros(3, 9, 5, 7)}, "`kernel` should have shape (3, 8, 5, O), has (3, 9, 5, 7)"),
        (
            {"x": torch.zeros(2, 40, 5, dtype=torch.bfloat16)},
            "`x` should have one of the dtypes float32, float64 on cpu, has torch.bfloat16",
        ),
        (
            {"indices": torch.zeros(2, 30, 3, 8, 3, dtype=torch.int64)},
            "`indices` should have dtype torch.int32, has torch.int64",
        ),
        (
            {"weights": torch.zeros(2, 30, 3, 8, 3, dtype=torch.float64)},
            "`weights` should have dtype torch.float32, has torch.float64",
        ),
        (
            {"kernel": torch.zeros(3, 8, 5, 7, dtype=torch.float64)},
            "`kernel` should have dtype torch.float32, has torch.float64",
        ),
        (
            {"kernel": torch.zeros(3, 8, 5, 7, device="meta")},
            "`kernel` should be on cpu like the features, is on meta",
        ),
    ],
)
def test_manifold_conv_says_what_is_wrong(changed, message):
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        ops.manifold_conv(**broken(**changed))


@pytest.mark.parametrize("row", [-1, 40, 2**31 - 1, -(2**31)])
def test_manifold_conv_says_which_row_is_wrong(row):
    inputs = broken()
    inputs["indices"][1, 28, 2, 6, 1] = row
    inputs["indices"][1, 20, 1, 5, 2] = row
    inputs["weights"][1, 20] = 0  # masked bins are checked too
    with pytest.raises(
        ArgumentError, match=rf"^`indices` should hold rows in \[0, 40\), holds {row} at \(1, 20, 1, 5, 2\)$"
    ):
        ops.manifold_conv(**inputs)


def test_manifold_conv_says_that_there_are_too_many_rays():
    with pytest.raises(ArgumentError, match=r"^`kernel` should have 1 to 256 rays, has 257$"):
        ops.manifold_conv(**broken(
            indices=torch.zeros(2, 1, 1, 257, 1, dtype=torch.int32),
            weights=torch.zeros(2, 1, 1, 257, 1),
            kernel=torch.zeros(1, 257, 5, 2),
        ))  # fmt: skip


def test_manifold_conv_takes_the_most_rays():
    check_against_definition(*case(V=3, R=1, A=256, C=2, O=3))


def test_manifold_conv_patches_says_what_is_wrong():
    with pytest.raises(ArgumentError, match=r"^`patches` should have shape \(B, V, R, A, C\), has \(2, 3\)$"):
        ops.manifold_conv_patches(torch.zeros(2, 3), torch.zeros(1, 1, 1, 1))
    with pytest.raises(ArgumentError, match=r"^`kernel` should have shape \(3, 4, 5, O\), has \(1, 1, 1, 1\)$"):
        ops.manifold_conv_patches(torch.zeros(1, 2, 3, 4, 5), torch.zeros(1, 1, 1, 1))
    with pytest.raises(ArgumentError, match=r"`patches` should have one of the dtypes float32, float64 on cpu"):
        ops.manifold_conv_patches(torch.zeros(1, 2, 3, 4, 5).int(), torch.zeros(3, 4, 5, 1))


def test_native_kernels_refuse_what_would_be_read_out_of_bounds():
    x, indices, weights, kernel = (tensor.numpy() for tensor in case())
    with pytest.raises(ValueError, match="`x`, `indices` and `kernel` should fit"):
        _native.manifold_conv_cpu(x[:1], indices, weights, kernel, 1)
    y, shift, _ = _native.manifold_conv_cpu(x, indices, weights, kernel, 1)
    with pytest.raises(ValueError, match="`shift` should hold rays"):
        _native.manifold_conv_grad_x_cpu(y, shift + 8, indices, weights, kernel, 40, 1)
    with pytest.raises(ValueError, match="`grad` should have shape"):
        _native.manifold_conv_grad_kernel_cpu(y[:, 1:].copy(), shift[:, 1:].copy(), x, indices, weights, 1)


LAYOUTS = [
    ops.retina_layout(6, 16),
    ops.retina_layout(6, 16, rings=2, rays=4),
    ops.RetinaLayout(((0, 2), (1, 5), (5, 6)), (1, 4, 16), 16),  # overlapping rings, an even window, a whole circle
    ops.RetinaLayout(((0, 6),), (16,), 1),
]


def pooling(layout, mode, dtype=torch.float32, device="cpu", **sizes):
    """Something to pool, with a vertex whose patch is masked."""
    x, indices, weights, _ = case(**({"R": 6, "A": 16} | sizes), dtype=dtype, device=device)
    weights[:, 3] = 0
    return x.requires_grad_(), indices, weights, layout, mode


@pytest.mark.parametrize("mode", ["max", "mean"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_manifold_pool_is_the_definition(layout, mode, dtype, device):
    inputs = pooling(layout, mode, dtype, device, V=270)
    x, exact_x = inputs[0], inputs[0].detach().double().requires_grad_()
    y = ops.manifold_pool(*inputs)
    exact = pool_reference(exact_x, *(t.double() if t.is_floating_point() else t for t in inputs[1:3]), layout, mode)
    assert y.shape == (2, 270, len(layout.rings), layout.rays, 5)
    close = {"rtol": 0, "atol": 1e-12 if dtype == torch.float64 else 1e-4}
    torch.testing.assert_close(y.double(), exact, **close)
    torch.testing.assert_close(gradients(y, x)[0].double(), gradients(exact, exact_x)[0], **close)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_manifold_pool_is_the_definition_for_any_layout(data):
    R, rays, per = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    A = rays * per
    starts = data.draw(st.lists(st.integers(0, R - 1), min_size=1, max_size=4))
    layout = ops.RetinaLayout(
        tuple((start, data.draw(st.integers(start + 1, R))) for start in starts),
        tuple(data.draw(st.integers(1, A)) for _ in starts),
        rays,
    )
    mode = data.draw(st.sampled_from(["max", "mean"]))
    sizes = {key: data.draw(st.integers(1, most)) for key, most in (("V", 9), ("K", 4), ("C", 40))}
    x, _indices, _weights, *_ = inputs = pooling(layout, mode, torch.float64, **sizes | {"V": sizes["V"] + 3}, R=R, A=A)
    y, exact = ops.manifold_pool(*inputs), pool_reference(*inputs)
    torch.testing.assert_close(y, exact)
    torch.testing.assert_close(gradients(y, x), gradients(exact, x))


@pytest.mark.parametrize("mode", ["max", "mean"])
def test_manifold_pool_gradient_is_the_slope(mode, device):
    x, *rest = pooling(LAYOUTS[2], mode, torch.float64, device, B=1, N=9, V=5, C=2)
    assert torch.autograd.gradcheck(lambda x: ops.manifold_pool(x, *rest), x)


@pytest.mark.parametrize("mode", ["max", "mean"])
def test_manifold_pool_and_convolution_do_not_see_the_frame(mode, device):
    x, indices, weights, layout, _ = pooling(ops.retina_layout(6, 16), mode, device=device)
    kernel = torch.randn(3, 8, 5, 7, generator=torch.Generator().manual_seed(1)).to(device)
    y = ops.manifold_conv_patches(ops.manifold_pool(x, indices, weights, layout, mode), kernel)
    for turn in range(2, 16, 2):
        turned = ops.manifold_pool(x, indices.roll(turn, dims=3), weights.roll(turn, dims=3), layout, mode)
        torch.testing.assert_close(
            ops.manifold_conv_patches(turned, kernel), y, rtol=0, atol=1e-6 * float(y.detach().max())
        )


@pytest.mark.parametrize("mode", ["max", "mean"])
def test_manifold_pool_registers_cleanly(mode, device):
    x, indices, weights, layout, _ = pooling(LAYOUTS[0], mode, device=device)
    bins = [ring[0] for ring in layout.rings], [ring[1] for ring in layout.rings], list(layout.windows), layout.rays
    torch.library.opcheck(manifold._manifold_pool, (x, indices, weights, *bins, mode == "max"))
    y, winner = manifold._manifold_pool(x.detach(), indices, weights, *bins, mode == "max")
    torch.library.opcheck(manifold._manifold_pool_grad, (y, winner, indices, weights, x.shape[1], *bins, mode == "max"))


@pytest.mark.parametrize("mode", ["max", "mean"])
def test_manifold_pool_compiles_without_a_break(mode):
    inputs = pooling(LAYOUTS[0], mode)
    compiled = torch.compile(lambda x: ops.manifold_pool(x, *inputs[1:]).relu(), backend="aot_eager", fullgraph=True)
    y, fast = ops.manifold_pool(*inputs).relu(), compiled(inputs[0])
    assert torch.equal(fast, y)
    assert torch.equal(gradients(fast, inputs[0])[0], gradients(y, inputs[0])[0])


@pytest.mark.parametrize("mode", ["max", "mean"])
def test_manifold_pool_does_not_depend_on_the_number_of_threads(mode):
    inputs = pooling(LAYOUTS[0], mode, B=1, V=700)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            y = ops.manifold_pool(*inputs)
            results.append((y, gradients(y, inputs[0])[0]))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(ours, first) for ours, first in zip(result, results[0], strict=True))


def test_manifold_pool_first_of_equal_bins_wins(device):
    x, indices, weights, *_ = pooling(ops.RetinaLayout(((1, 3),), (3,), 1), "max", device=device)
    y, winner = manifold._manifold_pool(torch.ones_like(x), indices, weights.sign() / 4, [1], [3], [3], 1, True)
    masked = (weights == 0).all(dim=4)
    order = [(r, a) for r in (1, 2) for a in (15, 0, 1)]
    for b, v in ((0, 0), (0, 1), (1, 7)):
        first = next(r * 16 + a for r, a in order if not masked[b, v, r, a])
        assert (winner[b, v] == first).all()
    assert (winner[:, 3] == -1).all()
    assert (y[:, 3] == 0).all()


def test_manifold_pool_of_nothing(device):
    for sizes in ({"B": 0}, {"C": 0}):
        x, *rest = pooling(LAYOUTS[0], "max", device=device, **sizes)
        y = ops.manifold_pool(x, *rest)
        assert y.shape == (x.shape[0], 30, 3, 8, x.shape[2])
        assert gradients(y, x)[0].shape == x.shape


@pytest.mark.parametrize("rings", [1, 2, 3, 5])
@pytest.mark.parametrize(("R", "A", "rays"), [(5, 16, 8), (6, 16, 16), (12, 24, 8), (5, 7, 1)])
def test_retina_layout_sees_everything_and_grows(R, A, rays, rings):
    layout = ops.retina_layout(R, A, rings=rings, rays=rays)
    assert layout.rings[0][0] == 0
    assert layout.rings[-1][1] == R
    assert all(inner[1] == outer[0] for inner, outer in zip(layout.rings[:-1], layout.rings[1:], strict=True))
    widths = [stop - start for start, stop in layout.rings]
    assert min(widths) >= 1
    assert widths == sorted(widths)
    assert all(A // rays <= window <= A for window in layout.windows)
    reach = [window * (start + stop + 1) for window, (start, stop) in zip(layout.windows, layout.rings, strict=True)]
    assert reach == sorted(reach)  # the footprints' length along the circle


def test_retina_layout_says_what_is_wrong():
    with pytest.raises(ArgumentError, match=r"^`rings` should lie in \[1, 5\], the fine rings, is 6$"):
        ops.retina_layout(5, 16, rings=6)
    with pytest.raises(ArgumentError, match=r"^`rays` should divide the 16 fine rays, is 3$"):
        ops.retina_layout(5, 16, rays=3)


@pytest.mark.parametrize(
    ("layout", "mode", "message"),
    [
        (LAYOUTS[0], "median", "`mode` should be 'max' or 'mean', is 'median'"),
        (ops.RetinaLayout(((0, 7),), (1,), 8), "max", "`layout` should have rings inside the stencil's 6, has (0, 7)"),
        (ops.RetinaLayout(((2, 2),), (1,), 8), "max", "`layout` should have rings inside the stencil's 6, has (2, 2)"),
        (ops.RetinaLayout(((0, 1),), (17,), 8), "max", "`layout` should have windows of 1 to 16 rays, has 17"),
        (ops.RetinaLayout(((0, 1),), (1, 1), 8), "max", "`layout` should have a window for each ring, has 2 for 1"),
        (ops.RetinaLayout(((0, 1),), (1,), 5), "max", "`layout` should have rays that divide the stencil's 16, has 5"),
    ],
)
def test_manifold_pool_says_what_is_wrong(layout, mode, message):
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        ops.manifold_pool(*pooling(layout, mode))


def test_manifold_pool_says_which_row_is_wrong():
    x, indices, weights, layout, mode = pooling(LAYOUTS[0], "max")
    indices[1, 20, 1, 5, 2] = 40
    with pytest.raises(
        ArgumentError, match=r"^`indices` should hold rows in \[0, 40\), holds 40 at \(1, 20, 1, 5, 2\)$"
    ):
        ops.manifold_pool(x, indices, weights, layout, mode)
    with pytest.raises(ArgumentError, match=r"^`indices` should have at most 32767 bins, has 2 x 20000$"):
        ops.manifold_pool(
            x, torch.zeros(2, 1, 2, 20000, 1, dtype=torch.int32), torch.zeros(2, 1, 2, 20000, 1), layout, mode
        )
