"""Folder trees with the names and label files of data sets of pictures. The pictures are noise of a few pixels."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

FER_CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
FERPLUS_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
FOLDERS = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")


def noise(seed: int, side: int = 48) -> np.ndarray:
    """(side, side) uint8: smooth noise that is like no other seed's."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def paint(folder: Path, names: Iterable[str], start: int = 0) -> None:
    """A picture of noise at each relative path, no two alike."""
    for seed, name in enumerate(names, start):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(seed)).save(path)


def write(folder: Path, name: str, text: str) -> None:
    """A text file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def fer_line(code: object, usage: str, seed: int) -> str:
    return f"{code},{' '.join(map(str, noise(seed).ravel()))},{usage}"


def fer2013(folder: Path) -> Path:
    """Seven training pictures, one a class in the order of the codes, two of each test."""
    lines = [fer_line(code, "Training", code) for code in range(7)]
    lines += [fer_line(3, "PublicTest", 10), fer_line(4, "PublicTest", 11)]
    lines += [fer_line(5, "PrivateTest", 12), fer_line(6, "PrivateTest", 13)]
    write(folder, "fer2013/fer2013.csv", "emotion,pixels,Usage\n" + "\n".join(lines) + "\n")
    write(folder, "fer2013/README", "of the set\n")
    return folder


def fer2013_folders(folder: Path) -> Path:
    names = [f"train/{name}/Training_{100 + n}.jpg" for n, name in enumerate(FER_CLASSES)]
    names += [
        f"test/{name}/P{kind}Test_{n}.jpg" for n, (name, kind) in enumerate([("sad", "ublic"), ("happy", "rivate")])
    ]
    paint(folder, names)
    return folder


def ferplus(folder: Path) -> Path:
    """Pictures by name; the third was thrown out and has none."""
    rows = [
        "Training,fer0000000.png,0,0,0,1,9,0,0,0,0,0",
        "PublicTest,fer0000001.png,1,9,0,0,0,0,0,0,0,0",
        "Training,,0,0,0,0,0,0,0,0,0,10",
        "PrivateTest,fer0000003.png,0,0,0,1,1,0,1,7,0,0",
        "Training,fer0000004.png,3,3,2,2,0,0,0,0,0,0",
    ]
    write(folder, "fer2013new.csv", FERPLUS_HEADER + "\n" + "\n".join(rows) + "\n")
    paint(folder, [f"FER2013Train/fer000000{n}.png" for n in (0, 1, 3, 4)])
    return folder


def ckplus(folder: Path) -> Path:
    """Three sequences of two people, of which two are labelled: happiness and contempt."""
    for sequence, frames, code in (("S005_001", 4, 5), ("S005_002", 3, None), ("S113_008", 5, 2)):
        subject, take = sequence.split("_")
        stems = [f"{subject}/{take}/{sequence}_{frame:08d}" for frame in range(1, frames + 1)]
        paint(folder, [f"cohn-kanade-images/{stem}.png" for stem in stems], hash_of(sequence))
        for stem in stems:
            write(folder, f"Landmarks/{stem}_landmarks.txt", "   1.0e+01   2.0e+01\n" * 68)
        (folder / f"Emotion/{subject}/{take}").mkdir(parents=True, exist_ok=True)
        if code is not None:
            write(folder, f"Emotion/{stems[-1]}_emotion.txt", f"   {code:.7e}\n")
        write(folder, f"FACS/{stems[-1]}_facs.txt", "   6.0000000e+00   0.0000000e+00\n   1.2e+01   3.0e+00\n")
        write(folder, f"cohn-kanade-images/{subject}/.DS_Store", "")
    return folder


def hash_of(text: str) -> int:
    return sum(ord(letter) * 31**k for k, letter in enumerate(text)) % 10_000


def jaffe(folder: Path) -> Path:
    paint(folder, ["KA.AN1.39.tiff", "KA.NE2.27.tiff", "YM.SU3.62.tiff"])
    write(folder, "README", "of the set\n")
    return folder


def kdef(folder: Path) -> Path:
    names = ["AF01/AF01ANS.JPG", "AF01/AF01SUHL.JPG", "BF01/BF01AFFR.JPG", "AM35/AM35NES.JPG"]
    paint(folder, names)
    return folder


def mmi(folder: Path) -> Path:
    for session, clip, code in ((1767, "S001-001", 4), (1802, "S017-003", 2)):
        place = f"Sessions/{session}/"
        write(folder, f"{place}{clip}.avi", "")
        text = f'<Session><Track view="0"/><Metatag Name="Emotion" Value="{code}"/></Session>'
        write(folder, f"{place}session.xml", text)
        units = '<Marker Frame="4"/><ActionUnit Number="6"/><ActionUnit Number="12"/><ActionUnit Number="6"/>'
        write(folder, f"{place}{clip}-oao_aucs.xml", f'<?xml version="1.0"?><a xmlns="urn:x">{units}</a>')
    return folder


def oulu_casia(folder: Path) -> Path:
    for light, level in (("VL", "Strong"), ("NI", "Dark")):
        for label in ("Anger", "Sadness"):
            paint(
                folder, [f"OriginalImg/{light}/{level}/P0{n}0/{label}/{f:03d}.jpeg" for n in (1, 8) for f in range(3)]
            )
    return folder


def raf_db(folder: Path, table: str = "list_patition_label.txt") -> Path:
    codes = {"train_00001": 5, "train_00002": 1, "test_0001": 7}
    paint(folder, [f"basic/Image/aligned/{stem}_aligned.jpg" for stem in codes])
    paint(folder, [f"basic/Image/original/{stem}.jpg" for stem in codes], 50)
    write(folder, f"basic/EmoLabel/{table}", "".join(f"{stem}.jpg {code}\n" for stem, code in codes.items()))
    write(folder, "basic/Annotation/manual/train_00001_manu_attri.txt", "1 2\n")
    return folder


AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)


def affectnet(folder: Path) -> Path:
    points = ";".join(f"{10 + n};{20 + n}" for n in range(68))
    lines = {"training": ["1/0123abcd.jpg,1,2,30,40,{},1,0.5,-0.25", "2/89abcdef.jpg,1,2,30,40,{},9,-2,-2"]}
    lines["validation"] = ["1/00aa11bb.png,1,2,30,40,{},7,0.1,0.2"]
    for table, rows in lines.items():
        write(folder, f"{table}.csv", "\n".join([AFFECTNET_HEADER, *(row.format(points) for row in rows)]) + "\n")
    names = ("1/0123abcd.jpg", "2/89abcdef.jpg", "1/00aa11bb.png")
    paint(folder, [f"Manually_Annotated_Images/{name}" for name in names])
    return folder


def affectnet_files(folder: Path) -> Path:
    for part, number, code in (("train_set", 0, 3), ("train_set", 7, 0), ("val_set", 0, 7)):
        paint(folder, [f"{part}/images/{number}.jpg"], hash_of(part) + number)
        place = folder / part / "annotations"
        place.mkdir(exist_ok=True)
        for kind, value in (("exp", str(code)), ("val", "0.5"), ("aro", "-0.1")):
            np.save(place / f"{number}_{kind}.npy", np.array(value))
        np.save(place / f"{number}_lnd.npy", np.zeros(136))
    return folder


def sfew(folder: Path) -> Path:
    paint(
        folder, ["Train/Angry/AlexEmma_001.png", "Train/Sad/AlexEmma_002.png", "Val/Happy/Hall_7.png", "Test/x_1.png"]
    )
    return folder


def afew(folder: Path) -> Path:
    for name in ("Train_AFEW/Angry/000046280.avi", "Val_AFEW/Neutral/000149120.avi"):
        write(folder, name, "")
    write(folder, "Train_AFEW/AlignedFaces_LBPTOP_Points/Faces/000046280/001.jpg", "")
    return folder


def multi_pie(folder: Path) -> Path:
    paths = ["001/01/05_1/001_01_01_051_07", "001/02/13_0/001_01_02_130_00", "250/02/19_1/250_01_02_191_19"]
    paint(folder, [f"data/session01/multiview/{path}.png" for path in paths])
    paint(folder, ["data/session04/multiview/001/02/11_0/001_04_02_110_07.png"], 20)
    return folder


def tfd(
    folder: Path,
    codes: Sequence[int] = (1, -1, 7, 4),
    people: Sequence[int] = (5, -1, -1, 9),
    folds: Sequence[Sequence[int]] = ((1, 2, 3, 0, 1),) * 4,
) -> Path:
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    images = np.stack([noise(n) for n in range(len(codes))])
    codes_column, people_column = np.array(codes)[:, None], np.array(people)[:, None]
    data = {"images": images, "labs_ex": codes_column, "labs_id": people_column, "folds": np.array(folds)}
    savemat(folder / "TFD_48x48.mat", data)
    return folder


def fed_ro(folder: Path) -> Path:
    paint(folder, [f"FED-RO/{label}/{n}.jpg" for n, label in enumerate(("angry", "surprised", "neutral"))])
    return folder


def pictures(folder: Path) -> Path:
    paint(folder, ["anna/happy/1.jpg", "anna/neutral/2.png", "bert_sad_3.bmp", "carla/4.webp"])
    return folder


MAKE = {
    "fer2013": fer2013,
    "fer2013-folders": fer2013_folders,
    "ferplus": ferplus,
    "ckplus": ckplus,
    "jaffe": jaffe,
    "kdef": kdef,
    "mmi": mmi,
    "oulu-casia": oulu_casia,
    "raf-db": raf_db,
    "affectnet": affectnet,
    "affectnet-files": affectnet_files,
    "sfew": sfew,
    "afew": afew,
    "multi-pie": multi_pie,
    "tfd": tfd,
    "fed-ro": fed_ro,
    "pictures": pictures,
}
