"""Training speed of the networks for pictures, against what the cores could do; stochastic pooling against plain torch.

    python benchmarks/bm_image_networks.py [--pixels 48] [--only tang,kahou] [--threads 2] [--write]

A sample is one picture: forward in training mode, the network's own objective, backward, one step of SGD with momentum.
The batch is the largest of 64, 32, ... 2 that fits about `--gflop` of work. The second column of speed is the share of
this machine's own float32 matrix product, measured beside each network, that convolutions and linear layers reach.
The best of several steps counts, in CPU time over all threads, so that neighbours on the machine do not count; on a
GPU in time of the wall.
"""

import argparse
import time
from pathlib import Path

import torch
from machine import where
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

RESULTS = Path(__file__).parent / "results"
CLASSES = 7


def main():
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, nargs="*", default=[0, 48], help="0: as published")
    parser.add_argument("--only", help="comma-separated names")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--gflop", type=float, default=150.0, help="most work of a step")
    parser.add_argument("--seconds", type=float, default=4.0, help="least time on a network")
    parser.add_argument("--write", action="store_true", help=f"also write the tables to {RESULTS.name}/")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    blocks = []
    for block in tables(arguments):
        print(block, end="\n\n", flush=True)
        blocks.append(block)
    report = "\n\n".join(blocks)
    if arguments.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "image_networks.md").write_text(report + "\n", encoding="utf-8")


def tables(arguments):
    """Markdown blocks, one after the other."""
    from fer3d.image.networks import NETWORKS

    names = arguments.only.split(",") if arguments.only else list(NETWORKS)
    device = torch.device(arguments.device)
    card = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    threads = "1 thread" if arguments.threads == 1 else f"{arguments.threads} threads"
    yield f"## Training networks for pictures\n\n{where()}, torch {torch.__version__}, {threads}{card}, float32."
    unit = "samples/s" if device.type == "cuda" else "samples/s of a core"
    for pixels in arguments.pixels:
        lines = [
            f"### {f'{pixels} x {pixels} pixels' if pixels else 'Published sizes'}",
            "",
            f"| network | input | parameters | GFLOP a sample | batch | {unit} | of the matrix product |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [network_row(name, pixels or None, device, arguments) for name in names]
        yield "\n".join(lines)
    yield pooling_table(device, arguments)


def network_row(name, pixels, device, arguments):
    """A line of the table."""
    from fer3d.image.networks import build_network

    torch.manual_seed(0)
    network = build_network(name, classes=CLASSES, size=pixels).to(device, memory_format=torch.channels_last).train()
    with FlopCounterMode(display=False) as counter:
        step(network, *samples(network, 2, device))
    work = counter.get_total_flops() / 2e9
    batch = max([b for b in (64, 32, 16, 8, 4, 2) if b * work <= arguments.gflop], default=2)
    x, y = samples(network, batch, device)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)
    spent = best(lambda: (step(network, x, y), optimizer.step(), optimizer.zero_grad()), device, arguments.seconds)
    share = batch * work / spent / matrix_product(device)
    size = f"{network.channels} x {network.size} x {network.size}"
    count = sum(parameter.numel() for parameter in network.parameters())
    return f"| {name} | {size} | {count:,} | {work:.2f} | {batch} | {batch / spent:,.1f} | {share:.0%} |"


def samples(network, count, device):
    """Pictures and labels."""
    x = torch.randn(count, network.channels, network.size, network.size, device=device)
    return x.contiguous(memory_format=torch.channels_last), torch.arange(count, device=device) % CLASSES


def step(network, x, y):
    """Forward, the network's own objective, backward."""
    logits, seen = network.observe(x)
    criterion = getattr(network, "criterion", functional.cross_entropy)
    loss = criterion(logits, y).mean()
    if hasattr(network, "penalty"):
        loss = loss + network.penalty(seen, y)
    loss.backward()


def matrix_product(device, size=1536):
    """GFLOP/s of a float32 product of square matrices, here and now."""
    a, b = torch.randn(2, size, size, device=device)
    return 2e-9 * size**3 / best(lambda: a @ b, device, 0.5)


def pooling_table(device, arguments):
    """Stochastic pooling against its definition in torch's own operations, and against maximum pooling."""
    from fer3d.image.pooling import StochasticPool2d

    x = torch.rand(32, 64, 48, 48, device=device).contiguous(memory_format=torch.channels_last).requires_grad_()
    layers = {
        "stochastic, `StochasticPool2d`": StochasticPool2d(3, 2),
        "stochastic, `unfold` and `multinomial`": Multinomial(),
        "maximum, `nn.MaxPool2d`": nn.MaxPool2d(3, 2, ceil_mode=True),
    }
    lines = [
        "### Pooling 3 x 3, stride 2, forward and backward: 32 x 64 x 48 x 48",
        "",
        "| | ms | of the first |",
        "|---|---|---|",
    ]
    first = None
    for label, layer in layers.items():
        spent = best(lambda layer=layer: torch.autograd.grad(layer(x).sum(), x), device, arguments.seconds / 2)
        first = first or spent
        lines.append(f"| {label} | {1e3 * spent:.1f} | {spent / first:.2f} |")
    return "\n".join(lines)


class Multinomial(nn.Module):
    """Stochastic pooling as one would write it."""

    def forward(self, x):
        """(B, C, H, W) -> (B, C, h, w)."""
        regions = functional.pad(x, (0, 1, 0, 1)).unfold(2, 3, 2).unfold(3, 3, 2).flatten(4)  # (B, C, h, w, 9)
        flat = regions.reshape(-1, 9)
        drawn = torch.multinomial(flat.detach() + 1e-12, 1)
        return flat.gather(1, drawn).reshape(regions.shape[:-1])


def best(call, device, least):
    """Seconds of the fastest of as many runs as fit in `least` seconds, at least two after one to warm up."""
    call()
    times = []
    while len(times) < 2 or sum(times) < least:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        clock = time.perf_counter if device.type == "cuda" else time.process_time
        start = clock()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - start)
    return min(times)


if __name__ == "__main__":
    main()
