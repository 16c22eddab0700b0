"""Prepare scans for networks: canonical axes, cleaning, pose, maps, and the folder that stores the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer3d import lazy_names

if TYPE_CHECKING:
    from fer3d.prepare.folder import Summary, preprocess
    from fer3d.prepare.landmarks.found import FoundLandmarks, find_landmarks
    from fer3d.prepare.scan import AxisConvention, prepare, prepare_record
    from fer3d.prepare.shards import pack
    from fer3d.prepare.store import PreparedScan, read_manifest, read_scan, read_tree
    from fer3d.prepare.tasks import Outcome

__all__ = [
    "AxisConvention",
    "FoundLandmarks",
    "Outcome",
    "PreparedScan",
    "Summary",
    "find_landmarks",
    "pack",
    "prepare",
    "prepare_record",
    "preprocess",
    "read_manifest",
    "read_scan",
    "read_tree",
]

_HOMES = {
    "AxisConvention": "scan",
    "FoundLandmarks": "landmarks.found",
    "find_landmarks": "landmarks.found",
    "prepare": "scan",
    "prepare_record": "scan",
    "Outcome": "tasks",
    "Summary": "folder",
    "preprocess": "folder",
    "PreparedScan": "store",
    "pack": "shards",
    "read_manifest": "store",
    "read_scan": "store",
    "read_tree": "store",
}

__getattr__ = lazy_names(__name__, _HOMES)
