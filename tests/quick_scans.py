"""Preparing scans in no time, for tests of what stands around it."""

import numpy as np

from fer3d.files import sha256
from fer3d.prepare import folder, tasks
from fer3d.prepare.scan import problems_of, recipe_key, record_facts, relative, source_of
from fer3d.prepare.store import PreparedScan


def prepare_quickly(monkeypatch):
    """Let `preprocess` fill the maps of every file, whatever its content, with a number."""
    monkeypatch.setattr(tasks, "prepare_record", _prepared)
    monkeypatch.setattr(folder, "compile_kernels", lambda *_: 0)


def _prepared(record, settings, scans, frame, watch):
    path = record.files["scan"]
    inputs = {"scan": {"file": relative(path, scans), "sha256": sha256(path)}}
    row = record_facts(record) | {
        "status": "ok",
        "source": source_of(path, scans),
        "file": f"scans/{record.id}.safetensors",
        "prefix": "",
        "warnings": problems_of(record, scans),
        "key": recipe_key(record, settings, frame, inputs),
    }
    header = {
        "row": row,
        "inputs": inputs,
        "problems": problems_of(record, scans),
        "channels": ["depth"],
        "textured": True,
        "pixel_mm": settings.pixel,
        "settings": settings.model_dump(mode="json"),
        "fer3d": folder.__version__,
    }
    maps = np.full((1, settings.size, settings.size), 0.5, np.float16)
    return PreparedScan({"maps": maps, "mask": np.ones(maps.shape[1:], np.uint8)}, header)
