import io

import numpy as np
import pytest
from PIL import Image

from fer3d.errors import ArgumentError, FileError
from fer3d.formats import textures

PIXELS = np.array(
    [[[255, 0, 10], [0, 200, 20], [30, 40, 50]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]], np.uint8
)  # (2, 3, 3)


@pytest.fixture
def scan(tmp_path):
    folder = tmp_path / "scans ä"
    folder.mkdir()
    return folder / "F0001_AN01WH_F3D.wrl"


def put(scan, name, pixels=PIXELS):
    path = scan.parent / name
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_the_exact_name_is_taken_without_a_word(scan):
    put(scan, "skin.png")
    put(scan, "skin.bmp", PIXELS[::-1])
    found = textures.load(scan, ["skin.png"])
    np.testing.assert_array_equal(found.image, PIXELS)
    assert found.file == scan.parent / "skin.png"
    assert found.warnings == ()
    put(scan, "maps/skin.png", PIXELS[:, ::-1])
    np.testing.assert_array_equal(textures.load(scan, [".\\maps\\skin.png"]).image, PIXELS[:, ::-1])


@pytest.mark.parametrize(
    ("there", "named"),
    [
        (["SKIN.PNG", "skin.bmp"], "skin.png"),  # another case before another extension
        (["Skin.bmp", "skin.tif"], "skin.jpg"),  # .bmp before .tif
        (["f0001_an01wh_f3d.bmp"], "skin.png"),  # by the scan's own name
    ],
)
def test_a_near_name_is_taken_and_reported(scan, there, named):
    for name in there[1:]:
        put(scan, name, PIXELS[::-1])
    put(scan, there[0])
    found = textures.load(scan, [named])
    np.testing.assert_array_equal(found.image, PIXELS)
    assert found.warnings == (f"{scan}: its texture {named!r} is not beside it; {there[0]} was used",)


def test_the_raw_scan_of_bu3dfe_has_the_texture_of_the_cropped_one(scan):
    put(scan, "F0001_AN01WH_F3D.bmp")
    raw = scan.with_name("F0001_AN01WH_RAW.wrl")
    found = textures.load(raw, [])
    np.testing.assert_array_equal(found.image, PIXELS)
    assert found.warnings == (f"{raw}: it names no texture; F0001_AN01WH_F3D.bmp was used",)
    assert textures.load(raw, [], expected=False).warnings == ()


def test_a_missing_texture_is_reported(scan):
    found = textures.load(scan, ["none.png"])
    assert found == (None, None, (f"{scan}: its texture 'none.png' is not beside it, nor under another name",))
    assert "it names no texture and none of its name lies beside it" in textures.load(scan, []).warnings[0]
    assert textures.load(scan, [], expected=False).warnings == ()


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/../{}/secret.png", "..\\secret.png", "a/../../secret.png", "file:///{}/secret.png"]
)
def test_no_file_outside_the_folder_is_followed(scan, name):
    secret = scan.parent.parent / "secret.png"
    Image.fromarray(PIXELS).save(secret)
    found = textures.load(scan, [name.format(secret.parent)])
    assert found.image is None
    assert "is not beside it" in found.warnings[0]
    put(scan, "secret.png", PIXELS[::-1])  # the last part of the name is looked for in the folder
    np.testing.assert_array_equal(textures.load(scan, [name.format(secret.parent)]).image, PIXELS[::-1])


@pytest.mark.parametrize("name", ["..", ".", "", "/", "a\0b.png", "a" * 5000])
def test_a_name_that_is_none_finds_nothing(scan, name):
    assert textures.load(scan, [name]).image is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes)"),
        (b"garbage", "cannot be read as a picture: cannot identify image file"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "cannot be read as a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be read as a picture"),
    ],
)
def test_a_damaged_texture_is_reported(scan, content, message):
    (scan.parent / "skin.png").write_bytes(content)
    found = textures.load(scan, ["skin.png"])
    assert found.image is None
    assert found.file is None
    assert found.warnings[0].startswith(f"{scan.parent / 'skin.png'}: the texture of {scan.name} ")
    assert message in found.warnings[0]


def test_bytes_are_decoded_without_a_file():
    content = io.BytesIO()
    Image.fromarray(PIXELS).save(content, "PNG")
    image, problem = textures.decode(content.getvalue())
    np.testing.assert_array_equal(image, PIXELS)
    assert problem == ""
    assert textures.decode(b"") == (None, "is empty (0 bytes)")
    wanted = (None, "cannot be read as a picture: cannot identify image file as one of BMP, JPEG, PNG, PPM, TIFF, WEBP")
    assert textures.decode(b"garbage") == wanted
    assert "as one of JPEG" in textures.decode(content.getvalue(), decoders=("JPEG",))[1]


def test_a_truncated_texture_is_reported(scan):
    path = put(scan, "skin.png", np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    assert "cannot be read as a picture" in textures.load(scan, ["skin.png"]).warnings[0]


def test_a_picture_bomb_is_reported_before_it_is_decoded(scan, monkeypatch):
    put(scan, "skin.png")
    monkeypatch.setattr(textures, "MAX_PIXELS", 5)
    assert "has 3 x 2 pixels, more than 5" in textures.load(scan, ["skin.png"]).warnings[0]
    header = b"P6 2000000000 2000000000 255\n"
    (scan.parent / "skin.ppm").write_bytes(header)
    assert textures.load(scan, ["skin.ppm"]).image is None


def test_every_kind_of_pixel_becomes_rgb(scan):
    rgb = Image.fromarray(PIXELS)
    alpha = rgb.copy()
    alpha.putalpha(7)
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE)
    palette.info["transparency"] = bytes([0, 128])
    for name, picture in {"alpha.png": alpha, "palette.png": palette, "cmyk.jpg": rgb.convert("CMYK")}.items():
        picture.save(scan.parent / name)
        found = textures.load(scan, [name])
        assert found.warnings == ()
        assert found.image.shape == PIXELS.shape
        if name != "cmyk.jpg":  # lossy
            np.testing.assert_array_equal(found.image, PIXELS)
    grey = np.array([[0, 128, 255], [1, 2, 3]], np.uint8)
    Image.fromarray(grey).save(scan.parent / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(scan.parent / "deep.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(scan.parent / "deep.tif")
    for name in ("grey.png", "deep.png", "deep.tif"):
        image = textures.load(scan, [name]).image
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, np.repeat(grey[:, :, None], 3, axis=2))
    Image.fromarray(np.array([[True, False]])).save(scan.parent / "bits.png")
    assert textures.load(scan, ["bits.png"]).image.tolist() == [[[255] * 3, [0] * 3]]
    Image.fromarray(grey.astype(np.float32)).save(scan.parent / "real.tif")
    assert "has real numbers as pixels" in textures.load(scan, ["real.tif"]).warnings[0]


def test_exif_orientation_is_not_applied(scan):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(PIXELS).save(scan.parent / "skin.png", exif=exif)
    np.testing.assert_array_equal(textures.load(scan, ["skin.png"]).image, PIXELS)


@pytest.mark.parametrize("suffix", [".bmp", ".PNG", ".ppm", ".tif", ".tiff"])
def test_what_is_written_reads_back(scan, suffix):
    textures.write(PIXELS, scan.with_suffix(suffix))
    np.testing.assert_array_equal(textures.load(scan, [scan.with_suffix(suffix).name]).image, PIXELS)


def test_jpg_is_near(scan):
    smooth = np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], 16, axis=0).repeat(3, axis=2)
    textures.write(smooth, scan.with_suffix(".jpg"))
    read = textures.load(scan, [scan.with_suffix(".jpg").name]).image
    assert np.abs(read.astype(int) - smooth).max() <= 6


def test_what_cannot_be_written(scan):
    with pytest.raises(ArgumentError, match=r"`path` should end in one of \.bmp, .*, is .*gif"):
        textures.write(PIXELS, scan.with_suffix(".gif"))
    with pytest.raises(ArgumentError, match="`image` should have dtype uint8"):
        textures.write(PIXELS.astype(float), scan.with_suffix(".png"))
    with pytest.raises(ArgumentError, match="`image` should have at least one pixel"):
        textures.write(PIXELS[:0], scan.with_suffix(".png"))
    with pytest.raises(FileError, match="cannot be written: No such file"):
        textures.write(PIXELS, scan.parent / "none" / "a.png")
    with pytest.raises(FileError, match="cannot be written"):
        textures.write(np.zeros((1, 70_000, 3), np.uint8), scan.with_suffix(".jpg"))
