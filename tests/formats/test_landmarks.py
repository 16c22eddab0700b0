import numpy as np
import pytest

from fer3d import formats
from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.formats import landmark_files as files

POINTS = np.arange(83 * 3, dtype=np.float64).reshape(83, 3) / 7 - 11

LM3 = (
    "# 3D Landmark File\n\n3 landmarks:\n"
    "Outer left eyebrow\n-48.1212 33.9 1e-05\nNose tip\n-0.5 1.25 60.1234\nLeft mouth corner\n-25 -30.5 12\n"
)
LM2 = (
    "# 2D Landmark File\n\n2 landmarks\n\nLabels:\nNose tip\nChin middle\n\n"
    "2D Image coordinates:\n512.25 700\n510 1033.5\n"
)


def bnd_text(rows=83, tail="\n"):
    separators = ("\t\t", " ", "  \t", "\t")
    lines = [f"{7 * i}{separators[i % 4]}{x!r} {y!r}\t{z!r}" for i, (x, y, z) in enumerate(POINTS[:rows].tolist())]
    return "\n".join(lines) + tail


# ---- bnd ----


@pytest.mark.parametrize("tail", ["", "\n", "\n\n", "\r\n \t\r\n"])
def test_a_bnd_file_with_mixed_separators_and_a_blank_tail(tmp_path, tail):
    (tmp_path / "a.bnd").write_text(bnd_text(tail=tail), newline="")
    bnd = files.read_bnd(tmp_path / "a.bnd")
    assert bnd.vertex.dtype == np.int32
    assert bnd.vertex.tolist() == [7 * i for i in range(83)]
    np.testing.assert_array_equal(bnd.points, POINTS)


def test_bnd_landmarks_have_canonical_names(tmp_path):
    (tmp_path / "a.BND").write_text(bnd_text())
    landmarks = formats.read_landmarks(tmp_path / "a.BND")
    assert len(landmarks) == 83
    np.testing.assert_array_equal(landmarks["endocanthion_left"], POINTS[0])  # number 1 is the first line
    np.testing.assert_array_equal(landmarks["exocanthion_right"], POINTS[12])
    np.testing.assert_array_equal(landmarks["bu83_02"], POINTS[1])
    np.testing.assert_array_equal(landmarks["bu83_83"], POINTS[82])
    assert "pronasale" not in landmarks


def test_bnd_round_trip(tmp_path):
    bnd = files.Bnd(np.arange(83, dtype=np.int32) * 3, POINTS)
    files.write_bnd(bnd, tmp_path / "a.bnd")
    back = files.read_bnd(tmp_path / "a.bnd")
    np.testing.assert_array_equal(back.vertex, bnd.vertex)
    np.testing.assert_array_equal(back.points, bnd.points)
    with pytest.raises(ArgumentError, match=r"`bnd.vertex` should have shape \(83,\), has \(2,\)"):
        files.write_bnd(files.Bnd(np.zeros(2, np.int32), POINTS), tmp_path / "a.bnd")
    with pytest.raises(ArgumentError, match="`bnd.points` should have dtype float64, has float32"):
        files.write_bnd(files.Bnd(bnd.vertex, POINTS.astype(np.float32)), tmp_path / "a.bnd")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (bnd_text(rows=57), "83 landmarks were wanted, it has 57"),
        (bnd_text(tail="\n581 1 2 3\n"), "83 landmarks were wanted, it has 84"),
        (bnd_text().replace("\n7 ", "\n7.5 ", 1), r"line 2: a vertex row was wanted first, it is '7\.5'"),
        (bnd_text().replace("\n7 ", "\n-7 ", 1), "line 2: a vertex row was wanted first, it is '-7'"),
        (bnd_text().replace("\n7 ", "\n7 1 ", 1), "line 2: 4 numbers were wanted"),
        (bnd_text().replace("-11.0", "eleven"), "line 1: 4 numbers were wanted, it is '0 eleven"),
        (bnd_text().replace("-11.0", "1_1"), "line 1: 4 numbers were wanted"),
        ("\x00\xff" * 600_000, "a landmark file has at most 1048576 bytes"),
    ],
)
def test_what_is_wrong_with_a_bnd_is_named(tmp_path, text, message):
    (tmp_path / "a.bnd").write_text(text, encoding="latin-1")
    with pytest.raises(FormatError, match=message):
        formats.read_landmarks(tmp_path / "a.bnd")


# ---- pse ----

PSE = "".join(f"{n} {n}.5 {-n}e0 {n / 4}\n" for n in files.PSE_NUMBERS)


def test_a_pse_file(tmp_path):
    (tmp_path / "a.pse").write_text(PSE + "n 0.1 0.2 0.97\n\n")
    pse = files.read_pse(tmp_path / "a.pse")
    np.testing.assert_array_equal(pse.points, [[n + 0.5, -n, n / 4] for n in files.PSE_NUMBERS])
    assert pse.normal.tolist() == [0.1, 0.2, 0.97]
    landmarks = formats.read_landmarks(tmp_path / "a.pse")
    assert landmarks["pronasale"].tolist() == [84.5, -84, 21]
    assert landmarks["subnasale"].tolist() == [85.5, -85, 21.25]
    assert landmarks["exocanthion_left"].tolist() == [5.5, -5, 1.25]
    (tmp_path / "a.pse").write_text(PSE)
    assert files.read_pse(tmp_path / "a.pse").normal is None


def test_pse_round_trip(tmp_path):
    pse = files.Pse(POINTS[:8], np.array([0.1, -0.2, 1 / 3]))
    files.write_pse(pse, tmp_path / "a.pse")
    back = files.read_pse(tmp_path / "a.pse")
    np.testing.assert_array_equal(back.points, pse.points)
    np.testing.assert_array_equal(back.normal, pse.normal)
    with pytest.raises(ArgumentError, match=r"`pse.points` should have shape \(8, 3\)"):
        files.write_pse(files.Pse(POINTS, None), tmp_path / "a.pse")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PSE.split("\n", 1)[1], "8 landmarks and one pose normal were wanted, it has 7 and 0 pose normals"),
        (PSE + "9 1 2 3\n", "it has 9 and 0"),
        (PSE + "n 0 0 1\nn 0 0 1\n", "it has 8 and 2"),
        (PSE + "n 0 1\n", "line 9: 3 numbers were wanted, it is 'n 0 1'"),
        (PSE.replace("5 5.5", "5 five"), "line 2: 4 numbers were wanted, it is '5 five"),
    ],
)
def test_what_is_wrong_with_a_pse_is_named(tmp_path, text, message):
    (tmp_path / "a.pse").write_text(text)
    with pytest.raises(FormatError, match=message):
        formats.read_landmarks(tmp_path / "a.pse")


# ---- lm2, lm3 ----


def test_lm3_by_name_and_byte_for_byte(tmp_path):
    (tmp_path / "a.lm3").write_bytes(LM3.encode())
    own = files.read_lm3(tmp_path / "a.lm3")
    assert list(own) == ["Outer left eyebrow", "Nose tip", "Left mouth corner"]
    assert own["Outer left eyebrow"].tolist() == [-48.1212, 33.9, 1e-05]
    files.write_lm3(own, tmp_path / "b.lm3")
    assert (tmp_path / "b.lm3").read_bytes() == LM3.encode()
    landmarks = formats.read_landmarks(tmp_path / "a.lm3")
    assert landmarks["pronasale"].tolist() == [-0.5, 1.25, 60.1234]
    assert landmarks["ibug68_17"].tolist() == [-48.1212, 33.9, 1e-05]


def test_left_in_a_bosphorus_file_is_left_in_the_picture(tmp_path):
    """The data set's left points have the smaller x, which is the subject's right."""
    (tmp_path / "a.lm3").write_text(LM3)
    landmarks = formats.read_landmarks(tmp_path / "a.lm3")
    assert landmarks["cheilion_right"].tolist() == [-25, -30.5, 12]
    assert "cheilion_left" not in landmarks


def test_lm2_byte_for_byte(tmp_path):
    (tmp_path / "a.lm2").write_bytes(LM2.encode())
    landmarks = formats.read_lm2(tmp_path / "a.lm2")
    assert {name: point.tolist() for name, point in landmarks.items()} == {
        "Nose tip": [512.25, 700],
        "Chin middle": [510, 1033.5],
    }
    files.write_lm2(landmarks, tmp_path / "b.lm2")
    assert (tmp_path / "b.lm2").read_bytes() == LM2.encode()
    (tmp_path / "a.lm2").write_bytes(LM2.replace("\n", "\r\n").encode())
    assert list(formats.read_lm2(tmp_path / "a.lm2")) == ["Nose tip", "Chin middle"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\n", "the first line should be '# 3D Landmark File', is ''"),
        (LM2, "the first line should be '# 3D Landmark File', is '# 2D Landmark File'"),
        (
            LM3.replace("3 landmarks:", "many landmarks"),
            "'N landmarks' was wanted after the title, it is 'many landmarks'",
        ),
        (LM3.replace("3 landmarks:", "4 landmarks:"), "4 landmarks are 8 lines, it has 6"),
        (LM3[:-8], "3 numbers were wanted"),
        (LM3.replace("Left mouth corner", "Nose tip"), "line 8: landmark 'Nose tip' comes twice"),
        (LM3.replace("60.1234", "sixty"), r"line 7: 3 numbers were wanted, it is '-0\.5 1\.25 sixty'"),
    ],
)
def test_what_is_wrong_with_an_lm3_is_named(tmp_path, text, message):
    (tmp_path / "a.lm3").write_text(text)
    with pytest.raises(FormatError, match=message):
        formats.read_landmarks(tmp_path / "a.lm3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LM2.replace("Labels:", "Names:"), "line 5: 'Labels:' was wanted, it is 'Names:'"),
        (LM2.replace("2D Image", "Image"), "line 9: '2D Image coordinates:' was wanted"),
        (
            LM2.replace("2 landmarks", "9999 landmarks"),
            "9999 landmarks are 20000 lines with the two headings, it has 6",
        ),
    ],
)
def test_what_is_wrong_with_an_lm2_is_named(tmp_path, text, message):
    (tmp_path / "a.lm2").write_text(text)
    with pytest.raises(FormatError, match=message):
        formats.read_lm2(tmp_path / "a.lm2")


def test_what_cannot_be_written_or_read(tmp_path):
    with pytest.raises(ArgumentError, match=r"`landmarks\['a'\]` should have shape \(3,\), has \(2,\)"):
        files.write_lm3({"a": np.zeros(2)}, tmp_path / "a.lm3")
    for name in ("", "two\nlines", " edge", "顔"):
        with pytest.raises(ArgumentError, match="`landmarks` should have names of one line of Latin-1"):
            files.write_lm2({name: np.zeros(2)}, tmp_path / "a.lm2")
    with pytest.raises(ArgumentError, match=r"`path` should end in one of \.bnd, \.pse, .*, is .*a\.lm2"):
        formats.read_landmarks(tmp_path / "a.lm2")
    with pytest.raises(FileError, match="No such file"):
        formats.read_landmarks(tmp_path / "a.lm3")
