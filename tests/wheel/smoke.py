"""What an installed wheel has to do without its source tree: python smoke.py, from any other folder.

Run by `make wheel` and by cibuildwheel. No pytest: the environment holds the wheel and its dependencies alone.
"""

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

import fer3d
from fer3d import _native, ops
from fer3d.catalog.cards import load_card, shipped_cards
from fer3d.data.tree_batch import stack_trees
from fer3d.prepare.store import read_manifest, read_tree
from fer3d.tree.sample_tree import SampleTree


def command(*arguments):
    """Run `fer3d ...` in a fresh interpreter; its output."""
    done = subprocess.run([sys.executable, "-P", "-m", "fer3d", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def main():
    """Everything that needs a file of the wheel: the native module, the cards, the face model, the commands."""
    checkout = Path(__file__).resolve().parents[2]
    assert not Path(fer3d.__file__).resolve().is_relative_to(checkout / "fer3d"), "the source tree, not the wheel"
    assert version("fer3d") in command("--version")
    assert Path(_native.__file__).parent == Path(fer3d.__file__).parent
    assert {"bu3dfe", "bosphorus"} <= {load_card(name).name for name in shipped_cards()}

    with tempfile.TemporaryDirectory() as folder:
        scans, prepared = Path(folder, "scans"), Path(folder, "prepared")
        command("synth", scans, "--subjects", 1, "--levels", 4, "--pitch", 3.0, "--workers", 1)
        small = ("--tree", "--maps", "depth", "--size", 32, "--set", "tree_levels=600,80,16", "--workers", 1)
        command("preprocess", scans, "-o", prepared, *small)
        rows = read_manifest(prepared)
        assert len(rows) == 7 and {row["status"] for row in rows} == {"ok"}
        trees = [read_tree(prepared, row) for row in rows]
    assert all(isinstance(tree, SampleTree) and tree.sizes[-1] == 16 for tree in trees)

    batch = stack_trees(trees).rows(torch.arange(len(trees)))
    x = batch.values.clone().requires_grad_()
    kernel = torch.randn(*batch.indices[0].shape[3:5], x.shape[2], 8).requires_grad_()
    y = ops.manifold_conv(x, batch.indices[0][:, :, 0], batch.weights[0][:, :, 0], kernel)
    y.square().sum().backward()
    assert torch.isfinite(y).all() and y.abs().max() > 0
    assert x.grad is not None and kernel.grad is not None and kernel.grad.abs().max() > 0
    print(f"fer3d {version('fer3d')} from {Path(fer3d.__file__).parent}: works")  # noqa: T201


if __name__ == "__main__":
    main()
