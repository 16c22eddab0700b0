"""The files that are mutated: every example of `tests/formats/examples`, and what our own writers write."""

from __future__ import annotations

import gzip
import json
import pkgutil
import re
import struct
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fer3d import formats
from fer3d.formats import landmark_files
from fer3d.scan import Scan
from tests.formats import examples as folder


@dataclass(frozen=True)
class Seed:
    """A file that is mutated.

    Attributes:
        kind: Its suffix, ".ply": the format in the tables.
        name: Where it comes from.
        file: Its file name.
        content: Its bytes, unpacked if it is compressed.
        beside: Name -> bytes of other files.
        header: Length of what comes before the data.
        packed: Whether the file is compressed.
    """

    kind: str
    name: str
    file: str
    content: bytes
    beside: dict[str, bytes] = field(default_factory=dict)
    header: int = 0
    packed: bool = False

    @classmethod
    def of(cls, name: str, file: str, content: bytes, beside: dict[str, bytes] | None = None) -> Seed:
        """A seed with its kind and header."""
        kind = _kind(file)
        packed = content.startswith(b"\x1f\x8b")
        try:
            content = gzip.decompress(content) if packed else content
        except (OSError, EOFError):
            packed = False  # an example of a damaged stream
        return cls(kind, name, file, content, beside or {}, header_length(kind, content), packed)


def corpus() -> list[Seed]:
    """All seeds, in a fixed order."""
    seeds = []
    for module in sorted(info.name for info in pkgutil.iter_modules(folder.__path__)):
        for construct, example in folder.examples(module).items():
            seeds.append(Seed.of(f"{module}: {construct}", example.name, example.content, dict(example.beside)))
    return [*seeds, *_written()]


def header_length(kind: str, content: bytes) -> int:
    """How many bytes come before the data: at least the first line or the magic number, never the whole file."""
    patterns = {
        ".ply": rb"end_header\r?\n?",
        ".pcd": rb"\nDATA[^\n]*\n",
        ".abs": rb":\s*\n?",
        ".off": rb"(#[^\n]*\n|\s)*\S*OFF\S*[^\n]*\n([^\n]*\n)?",
        ".lm2": rb"landmarks:?\s*",
        ".lm3": rb"landmarks:?\s*",
        ".jpg": rb"\xff\xda",
    }
    fixed = {
        ".glb": 20,
        ".gltf": 1,
        ".png": 33,
        ".bmp": 54,
        ".tif": 8,
        ".gif": 13,
        ".webp": 20,
        ".mat": 128,
        ".npy": 80,
    }
    length = 0
    if kind in patterns:
        match = re.search(patterns[kind], content)
        length = match.end() if match else 0
    elif kind in fixed:
        length = fixed[kind]
    elif kind == ".bnt":
        length = 18 + (struct.unpack_from("<H", content, 12)[0] if len(content) >= 14 else 0)
    elif kind == ".stl" and len(content) > 84 and (len(content) - 84) % 50 == 0:
        length = 84
    elif kind == ".ppm":
        length = 11
    else:
        length = content.find(b"\n") + 1 if kind in (".wrl", ".stl", ".pts") else 0
    return min(length, max(len(content) - 1, 0))


def _kind(file: str) -> str:
    lower = file.lower()
    return ".abs.gz" if lower.endswith(".abs.gz") else Path(lower).suffix


def _written() -> list[Seed]:
    """What our writers write: a small scan with and without uv, texture and colours; landmarks."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:4, :5].astype(float)
    points = np.stack([x, y, 0.1 * x * y], axis=-1).reshape(-1, 3)
    faces = [[i, i + 1, i + 6] for i in range(0, 14, 2)]
    texture = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    uv, colours = rng.random((20, 2), dtype=np.float32), rng.random((20, 3), dtype=np.float32) * 255
    kinds = {
        "plain": Scan.of(points, faces),
        "textured": Scan.of(points, faces, uv=uv, texture=texture),
        "coloured": Scan.of(points, faces, colours=colours),
    }
    seeds = []
    for name, scan in kinds.items():
        for suffix in (".wrl", ".obj", ".ply", ".stl", ".off", ".glb"):
            with tempfile.TemporaryDirectory() as place:
                formats.write(scan, Path(place) / f"a{suffix}")
                files = {path.name: path.read_bytes() for path in sorted(Path(place).iterdir())}
            content = files.pop(f"a{suffix}")
            seeds.append(Seed.of(f"written {name}", f"a{suffix}", content, files))
            if suffix == ".glb":
                seeds.append(_apart(name, content))
    return [*seeds, *_landmarks(rng)]


def _apart(name: str, glb: bytes) -> Seed:
    """A .gltf with its buffer beside it."""
    length = struct.unpack_from("<I", glb, 12)[0]
    tree = json.loads(glb[20 : 20 + length])
    tree["buffers"][0]["uri"] = "a.bin"
    return Seed.of(f"written {name}", "a.gltf", json.dumps(tree).encode(), {"a.bin": glb[28 + length :]})


def _landmarks(rng: np.random.Generator) -> list[Seed]:
    named = {"Nose tip": rng.normal(0, 50, 3), "Chin middle": rng.normal(0, 50, 3), "Left mouth corner": np.zeros(3)}
    flat = {name: point[:2].copy() for name, point in named.items()}
    bnd = landmark_files.Bnd(np.arange(83, dtype=np.int32), rng.normal(0, 50, (83, 3)))
    pse = landmark_files.Pse(rng.normal(0, 50, (8, 3)), np.array([0.0, 0.1, 1.0]))
    with tempfile.TemporaryDirectory() as place:
        landmark_files.write_bnd(bnd, Path(place) / "a.bnd")
        landmark_files.write_pse(pse, Path(place) / "a.pse")
        landmark_files.write_lm3(named, Path(place) / "a.lm3")
        landmark_files.write_lm2(flat, Path(place) / "a.lm2")
        for suffix in (".pp", ".fcsv", ".mrk.json", ".csv", ".json"):
            formats.write_landmarks(named, Path(place) / f"a{suffix}", confidence={"Nose tip": 0.5})
        return [Seed.of("written", path.name, path.read_bytes()) for path in sorted(Path(place).iterdir())]
