"""Rotation-max convolution on geodesic patches, forward and backward, against what one would write instead.

    python benchmarks/bm_manifold_conv.py [--threads N] [--write]

One run, each method in a process of its own: the best of several repetitions counts, because everything else is the
machine's noise, and the memory is the peak above what the inputs and the warmed-up process hold. Peers: plain torch
(patches by `embedding_bag`, then a dense product for each of the A rotations, together or one by one), the same
compiled, plain torch with its FFT over the rays, and GMMConv of PyTorch Geometric with as many Gaussians as there are
bins. `make bench` installs the last; a peer that does not import is a line that says so.

The share of the machine's peak counts the real products that cannot be avoided (see csrc/manifold_conv/manifold_conv.h)
and nothing else: no gather, no transform, no scatter. The peak is the best of float32 `torch.mm`.

Where the two best rotations of an output tie to rounding, a method may take the other one: then its gradients are off
by that output's, its values are not. So methods are compared twice, the second time with no force on outputs whose two
best rotations differ by less than NEAR_TIE of the largest response.
"""

import argparse
import ctypes
import gc
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from machine import processor
from torch import nn

from fer3d import ops

RESULTS = Path(__file__).parent / "results"

SHAPES = {  # the shape of the targets first
    "A = 16": {"B": 8, "V": 2048, "R": 5, "A": 16, "K": 3, "C": 32, "O": 64},
    "A = 8": {"B": 8, "V": 2048, "R": 3, "A": 8, "K": 3, "C": 32, "O": 64},
    "one scan": {"B": 1, "V": 2048, "R": 5, "A": 16, "K": 3, "C": 32, "O": 64},
}
NEIGHBOURS = 18  # of a vertex in GMMConv's graph: two rings of a mesh; our patches have R * A * K contributors
NEAR_TIE = 2e-6  # some roundings of float32
SECONDS = 3.0  # of repetitions for each method


def main():
    """Parse the command line; measure everything, or (internally) one method in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/")
    parser.add_argument("--method", help=argparse.SUPPRESS)
    parser.add_argument("--shape", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.method:
        print(json.dumps(measure(arguments.method, SHAPES[arguments.shape])))
        return
    report = table(arguments.threads)
    print(report)
    if arguments.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "manifold_conv.md").write_text(report + "\n", encoding="utf-8")


# ---- methods: each returns a function of (x, kernel) and the tensors that it is differentiated by ----


def native(x, indices, weights, kernel):
    """Ours."""
    return lambda: ops.manifold_conv(x, indices, weights, kernel), (x, kernel)


def rotations_together(x, indices, weights, kernel):
    """Plain torch: one product with all turned kernels side by side, then the maximum."""

    def convolve():
        A, O = kernel.shape[1], kernel.shape[3]  # noqa: E741
        turned = torch.stack([kernel.roll(-s, dims=1) for s in range(A)], dim=3).flatten(0, 2)  # (R A C, A, O)
        response = patches(x, indices, weights).flatten(2) @ turned.flatten(1)
        return response.unflatten(2, (A, O)).max(dim=2).values

    return convolve, (x, kernel)


def rotations_one_by_one(x, indices, weights, kernel):
    """Plain torch: a product for each turned kernel, then the maximum of all."""

    def convolve():
        p = patches(x, indices, weights).flatten(2)
        return torch.stack([p @ kernel.roll(-s, dims=1).flatten(0, 2) for s in range(kernel.shape[1])]).max(0).values

    return convolve, (x, kernel)


def compiled(x, indices, weights, kernel):
    """torch.compile of the product with all turned kernels."""
    convolve, inputs = rotations_together(x, indices, weights, kernel)
    return torch.compile(convolve), inputs


def torch_fft(x, indices, weights, kernel):
    """Plain torch: its real FFT over the rays, a complex product for each frequency, the inverse, the maximum."""

    def convolve():
        B, V, A = *indices.shape[:2], kernel.shape[1]
        spectrum = torch.fft.rfft(patches(x, indices, weights), dim=3).permute(3, 0, 1, 2, 4).flatten(3).flatten(1, 2)
        turned = torch.fft.rfft(kernel, dim=1).permute(1, 0, 2, 3).flatten(1, 2)  # (F, R C, O)
        response = torch.bmm(spectrum.conj(), turned)  # (F, B V, O)
        return torch.fft.irfft(response, n=A, dim=0).max(dim=0).values.view(B, V, -1)

    return convolve, (x, kernel)


def gmm_conv(x, indices, _, kernel):
    """GMMConv of PyTorch Geometric: as many Gaussians as bins, on the edges of a mesh."""
    from torch_geometric.nn import GMMConv

    (R, A, C, O), N = kernel.shape, x.shape[1]  # noqa: E741
    layer = GMMConv(C, O, dim=2, kernel_size=R * A, bias=False)
    to = torch.arange(N).repeat_interleave(NEIGHBOURS)
    edges = torch.stack([(to + torch.arange(1, NEIGHBOURS + 1).repeat(N)) % N, to])
    polar = torch.rand(N * NEIGHBOURS, 2, generator=torch.Generator().manual_seed(0))
    return lambda: layer(x[0], edges, polar), (x, *layer.parameters())


def patches(x, indices, weights):
    """(B, V, R, A, C), by the fastest plain way: no tensor with an axis of contributors is made."""
    B, N, C = x.shape
    rows = indices + N * torch.arange(B, dtype=torch.int32).view(B, 1, 1, 1, 1)
    flat = nn.functional.embedding_bag(
        rows.flatten(0, 3), x.flatten(0, 1), per_sample_weights=weights.flatten(0, 3), mode="sum"
    )
    return flat.view(*indices.shape[:4], C)


METHODS = {
    "fer3d": native,
    "torch, rotations together": rotations_together,
    "torch, rotations one by one": rotations_one_by_one,
    "torch.compile": compiled,
    "torch.fft over the rays": torch_fft,
    "GMMConv": gmm_conv,
}
PLAIN = [name for name in METHODS if name.startswith("torch")]


# ---- measuring ----


def inputs(B, V, R, A, K, C, O):  # noqa: E741
    """Stencils as a tree makes them: the contributors of a patch lie close together, weights sum to 1."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(B, V, C, generator=generator).requires_grad_()
    kernel = torch.randn(R, A, C, O, generator=generator).div_((R * A * C) ** 0.5).requires_grad_()
    near = torch.randint(-60, 60, (B, V, R, A, K), generator=generator)
    indices = (torch.arange(V).view(V, 1, 1, 1) + near).remainder_(V).to(torch.int32)
    weights = torch.rand(B, V, R, A, K, generator=generator)
    return x, indices, weights / weights.sum(dim=-1, keepdim=True), kernel


def measure(method, shape):
    """Milliseconds of forward and backward and peak MB of one method, and how far it is from ours."""
    tensors = inputs(**shape)
    convolve, by = METHODS[method](*tensors)
    force = torch.randn(convolve().shape, generator=torch.Generator().manual_seed(1))

    def step():
        start = time.perf_counter()
        y = convolve()
        between = time.perf_counter()
        found = torch.autograd.grad(y, by, force)
        return between - start, time.perf_counter() - between, y, found

    step()
    peak = peak_mb(step)
    forward = backward = total = float("inf")
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        first, second, *_ = step()
        forward, backward, total = min(forward, first), min(backward, second), min(total, first + second)
    errors, ties = [0.0, 0.0], 0
    if method != "GMMConv":
        exact = ops.manifold_conv(*tensors)
        clear = clear_winners(*tensors)
        ties = int((~clear).sum())
        for number, pull in enumerate((force, force * clear)):
            y = convolve()
            ours = (exact, *torch.autograd.grad(exact, by, pull, retain_graph=True))
            for mine, theirs in zip(ours, (y, *torch.autograd.grad(y, by, pull)), strict=True):
                off = float((theirs - mine).detach().abs().max() / mine.detach().abs().max())
                errors[number] = max(errors[number], off)
    spent = {"forward": forward, "backward": backward, "total": total}
    return {**spent, "peak": peak, "error": errors[0], "clear_error": errors[1], "ties": ties}


@torch.no_grad()
def clear_winners(x, indices, weights, kernel):
    """(B, V, O) bool: whether the best rotation leads by more than a near tie. In float64, a scan at a time."""
    A, O = kernel.shape[1], kernel.shape[3]  # noqa: E741
    turned = torch.stack([kernel.double().roll(-s, dims=1) for s in range(A)], dim=3).flatten(0, 2).flatten(1)
    clear = []
    for scan in range(len(x)):
        one = slice(scan, scan + 1)
        response = patches(x[one].double(), indices[one], weights[one].double()).flatten(2) @ turned
        best = response.unflatten(2, (A, O)).topk(2, dim=2).values
        clear.append(best[:, :, 0] - best[:, :, 1] > NEAR_TIE * best.abs().max())
    return torch.cat(clear)


def peak_mb(step):
    """Peak of this process's memory during `step` above that before it (Linux; elsewhere NaN)."""
    if not Path("/proc/self/clear_refs").exists():
        return float("nan")
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = status_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the high-water mark
    step()
    return status_mb("VmHWM") - before


def status_mb(key):
    """A line of /proc/self/status in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"no {key} in /proc/self/status")


def in_own_process(method, shape, threads):
    """`measure` in a fresh interpreter; the error's last line if it fails."""
    command = [sys.executable, __file__, "--method", method, "--shape", shape, "--threads", str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return json.loads(done.stdout.splitlines()[-1])


def gemm_peak():
    """Largest GFLOP/s of float32 `torch.mm` over a few sizes."""
    best = 0.0
    for n, k, m in [(2048, 2048, 2048), (4096, 1024, 1024), (16384, 160, 64)]:
        a, b = torch.randn(n, k), torch.randn(k, m)
        until = time.perf_counter() + 1
        while time.perf_counter() < until:
            start = time.perf_counter()
            torch.mm(a, b)
            best = max(best, 2 * n * k * m / (time.perf_counter() - start) / 1e9)
    return best


def products(A):
    """Real (R C) x O products that forward, the gradient of x and that of the kernel need."""
    return 1 + (A % 2 == 0) + 3 * ((A - 1) // 2), A, A


# ---- report ----


def table(threads):
    """All tables as markdown."""
    peak = gemm_peak()
    busy = os.getloadavg()[0]
    blocks = [
        "# Manifold convolution",
        f"{processor()}, {threads} threads, torch {torch.__version__}, load before {busy:.1f}; "
        f"float32 GEMM peak {peak:.0f} GFLOP/s",
    ]
    for name, shape in SHAPES.items():
        blocks += comparison(name, shape, threads, peak)
    return "\n\n".join(blocks)


def comparison(name, shape, threads, peak):
    """One shape: every method, and ours against the best plain one."""
    sizes = ", ".join(f"{key} = {value}" for key, value in shape.items())
    rows, found = [], {}
    for method in METHODS:
        if method == "GMMConv" and shape["B"] > 1:
            continue  # its messages take N * neighbours * bins * O numbers: 3 GB for a batch of 8
        if method == "GMMConv" and not importlib.util.find_spec("torch_geometric"):
            rows.append("| GMMConv | torch_geometric is not installed | | | | | |")
            continue
        result = in_own_process(method, name, threads)
        if isinstance(result, str):
            rows.append(f"| {method} | {result} | | | | | |")
            continue
        found[method] = result
        forward, backward, total = (1e3 * result[key] for key in ("forward", "backward", "total"))
        error = " | " if method == "GMMConv" else f"{result['error']:.0e} | {result['clear_error']:.0e}"
        rows.append(f"| {method} | {forward:.0f} | {backward:.0f} | {total:.0f} | {result['peak']:.0f} | {error} |")
    head = "| | forward ms | backward ms | both ms | peak MB | off ours by | without near ties |\n" + "|---" * 7 + "|"
    blocks = [f"## {name}: {sizes}", "\n".join([head, *rows])]
    if "fer3d" in found:
        blocks.append(verdict(found, shape, peak))
        outputs = shape["B"] * shape["V"] * shape["O"]
        worst = max(result["clear_error"] for result in found.values())
        blocks.append(
            f"Near ties: {found['fer3d']['ties']} of {outputs:,} outputs. Without them all methods agree within "
            f"{worst:.0e}."
        )
    return blocks


def verdict(found, shape, peak):
    """Ratios against the fastest and the leanest plain method, and the share of the peak."""
    ours = found["fer3d"]
    dense = [name for name in PLAIN if name in found and name != "torch.fft over the rays"]
    lines = []
    if dense:
        fastest = min(dense, key=lambda name: found[name]["total"])
        leanest = min(dense, key=lambda name: found[name]["peak"])
        lines.append(
            f"Against dense products: {found[fastest]['total'] / ours['total']:.1f} times as fast as the fastest "
            f"({fastest}), 1/{found[leanest]['peak'] / ours['peak']:.0f} of the memory of the leanest ({leanest})."
        )
    for other in ("torch.fft over the rays", "GMMConv"):
        if other in found:
            lines.append(
                f"Against {other}: {found[other]['total'] / ours['total']:.1f} times as fast, "
                f"1/{found[other]['peak'] / ours['peak']:.0f} of the memory."
            )
    one = 2e-9 * shape["B"] * shape["V"] * shape["R"] * shape["C"] * shape["O"]
    forward, grad_x, grad_kernel = products(shape["A"])
    needed = one * (forward + grad_x + grad_kernel)
    lines.append(
        f"Necessary: {needed:.1f} GFLOP ({forward} + {grad_x} + {grad_kernel} products; dense: {3 * shape['A'] ** 2}), "
        f"{1e3 * needed / peak:.0f} ms at the peak: we reach {100 * needed / ours['total'] / peak:.0f}% of it "
        f"(forward {100 * one * forward / ours['forward'] / peak:.0f}%)."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
