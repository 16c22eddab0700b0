"""Compiled just now or loaded from Numba's cache, a kernel gives the same bits: runs go on in other processes."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

_DIGESTS = """
import hashlib
import numpy as np, torch
from fer3d.ops.map_orientation import map_orientation
from fer3d.maps import principal_curvatures
from fer3d.ops.patch_orientation import patch_orientation
from tests import shapes
from tests.ops.test_patch_orientation import DISTANCES, random_case

torch.set_num_threads(1)
random = torch.Generator().manual_seed(0)
made = []
for channels, size, cells in ((3, 32, 16), (3, 64, 32), (24, 32, 16), (1, 60, 4)):
    x = torch.randn(4, channels, size, size, generator=random)
    measured = (torch.rand(4, 1, size, size, generator=random) > 0.02).float()
    made.append(map_orientation(x, measured, cells).numpy())
for rays in (5, 16):
    made.append(patch_orientation(*random_case(0, rays=rays), DISTANCES).numpy())
made += principal_curvatures(shapes.torus(60.0, 25.0, 4.0).scan, 8.0)
print([hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:12] for values in made])
"""


def test_compiled_or_loaded_kernels_give_the_same_bits(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}

    def digests():
        command = [sys.executable, "-c", _DIGESTS]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

    compiled = digests()
    assert list(tmp_path.rglob("*.nbc"))
    assert compiled.count(",") == 7 and digests() == compiled
