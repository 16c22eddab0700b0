"""Wind the faces of a scan so that its normals point out of the head."""

from __future__ import annotations

import numpy as np

from fer3d.errors import PrepareError
from fer3d.kernels import topology, winding
from fer3d.scan import Scan, check_scan

_FLAT = 0.02  # below this mean cosine the shape does not show which side is out; a face scan has 0.2 or more


def outward(scan: Scan) -> Scan:
    """Wind every component of a scan consistently, so that normals point out of the head.

    A component is reversed if its normals point, on average, towards the centroid of the scan: a face, and a whole head
    even more so, bulges outwards. If a component is too flat for this test, its normals are made to point towards +z,
    where the camera is.

    Raises:
        ArgumentError: if `scan` has no face.
        PrepareError: if a vertex of a face is not finite (see `fer3d.prepare.clean.drop_bad_faces`).
    """
    check_scan("scan", scan)
    faces = topology.welded_faces(scan.faces, topology.weld(scan.vertices))
    label, turn, count = topology.components(faces, topology.face_neighbours(faces, len(scan.vertices)))
    away, towards_camera = winding.outwardness(scan.vertices, scan.faces, label, turn, count).T
    if not np.isfinite(away).all():
        raise PrepareError("the scan should have finite vertices only, has others: clean it first")
    inside_out = np.where(np.abs(away) >= _FLAT, away, towards_camera) < 0.0
    turn ^= inside_out[label]
    record = {"components": int(count), "inside_out": int(inside_out.sum()), "faces_turned": int(turn.sum())}
    if not turn.any():
        return scan.step("outward", record)
    turned = scan.faces.copy()
    turned[turn] = turned[turn][:, [0, 2, 1]]
    return scan.step("outward", record, faces=turned)
