"""Folder trees with the names of the real data sets and next to nothing in the files.

Each function fills `folder` and returns it. Numbers differ on purpose (subjects, frames, repeats), so that no two
fields can be mixed up unseen.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests import picture_trees

BU3DFE_RACE = {"F0001": "WH", "F0002": "AE", "M0003": "BL", "M0044": "IN"}
BU3DFE_CLASSES = ("AN", "DI", "FE", "HA", "SA", "SU")
BU4DFE_CLASSES = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise")
BOSPHORUS_STEMS = (
    "N_N_0",
    "N_N_1",
    "E_ANGER_0",
    "E_HAPPY_0",
    "LFAU_12_0",
    "LFAU_12L_0",
    "LFAU_12LW_0",
    "UFAU_43_0",
    "CAU_A22A25_0",
    "CAU_A26A12lw_0",
    "YR_R10_0",
    "YR_L45_0",
    "PR_SU_0",
    "CR_RD_0",
    "O_EYE_0",
    "O_GLASSES_0",
)

# A right-angled triangle of 30 x 40 mm: the least that every reader of a mesh takes for one.
PLY = """ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
element face 1
property list uchar int vertex_indices
end_header
0 0 0
30 0 0
0 40 0
3 0 1 2
"""
WRL = """#VRML V2.0 utf8
Shape {
  geometry IndexedFaceSet {
    coord Coordinate { point [ 0 0 0, 30 0 0, 0 40 0 ] }
    coordIndex [ 0, 1, 2, -1 ]
  }
}
"""


def touch(folder: Path, names: Iterable[str], text: str = "") -> None:
    """Write a file of `text` at each relative path."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def bu3dfe(folder: Path, subjects: Sequence[str] = ("F0001", "M0003")) -> Path:
    """25 scans a subject: F3D with texture and landmarks, RAW with pose, a photo."""
    for subject in subjects:
        codes = [f"{label}{level:02d}" for label in BU3DFE_CLASSES for level in (1, 2, 3, 4)]
        for code in ("NE00", *codes):
            stem = f"{subject}/{subject}_{code}{BU3DFE_RACE[subject]}"
            tails = ("_F3D.wrl", "_F3D.bnd", "_F3D.bmp", "_RAW.wrl", "_RAW.pse", "_F2D.bmp")
            touch(folder, [stem + tail for tail in tails])
    return folder


def bu4dfe(
    folder: Path, subjects: Sequence[str] = ("F001", "M043"), frames: int = 3, landmarks: str | None = "inside"
) -> Path:
    """Six sequences a subject. `landmarks`: the BU4DFE_BND_V1.1 release `inside` or `beside` the folder, or with it."""
    places = {"inside": folder / "BU4DFE_BND_V1.1", "beside": folder.parent / "BU4DFE_BND_V1.1", "with": folder}
    for subject in subjects:
        for number, label in enumerate(BU4DFE_CLASSES):
            stems = [f"{subject}/{label}/{frame:03d}" for frame in range(frames + number)]
            touch(folder, [stem + suffix for stem in stems for suffix in (".wrl", ".jpg")])
            if landmarks is not None:
                touch(places[landmarks], [stem + ".bnd" for stem in stems])
    touch(folder, ["BU_WrlViewer_V2/viewer.exe", "BU_WrlViewer_V2/F001/Angry.cfg", "readme.txt"])
    return folder


def bosphorus(folder: Path, subjects: Sequence[str] = ("bs000", "bs104")) -> Path:
    """One or two scans of each kind a subject, and one that is to be ignored."""
    for subject in subjects:
        for stem in BOSPHORUS_STEMS:
            name = f"{subject}/{subject}_{stem}"
            touch(folder, [name + suffix for suffix in (".bnt", ".png", ".lm2", ".lm3")])
        touch(folder, [f"{subject}/{subject}_IGN_IGN_0.bnt"])
    touch(folder, ["unallowed_subjects.txt"])
    return folder


def frgc(folder: Path) -> Path:
    """Three sessions; one person in two of them."""
    names = ("Fall2003range/04717d43", "Fall2003range/04717d45", "Spring2003range/02463d452")
    touch(folder, [name + ".abs.gz" for name in (*names, "Spring2004range/04717d101")])
    return folder


def generic(folder: Path) -> Path:
    """Subject, expression, scan: two formats, three subjects."""
    touch(folder, ["anna/happy/1.ply", "anna/happy/1.lm3", "anna/neutral/1.ply", "bert/AN/7.obj", "bert/AN/7.mtl"])
    touch(folder, ["Çiğdem Öz/surprised/a b.ply"])
    return folder


MAKE = {
    "bu3dfe": bu3dfe,
    "bu4dfe": bu4dfe,
    "bosphorus": bosphorus,
    "frgc": frgc,
    "generic": generic,
    **picture_trees.MAKE,
}
