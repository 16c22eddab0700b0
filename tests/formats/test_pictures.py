"""Pictures of every kind are read as they are seen; what cannot be read is one line."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.formats import pictures, textures
from fer3d.formats.pictures import as_picture, read_picture
from tests.formats.examples.pictures import tiff

PIXELS = np.array(
    [[[255, 0, 10], [0, 200, 20], [30, 40, 50]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]], np.uint8
)  # (2, 3, 3)


def png(width, height, data=b"", colour=2):
    """A PNG of this size by its header, whatever its data."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    parts = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("suffix", ["bmp", "png", "ppm", "tif", "webp", "gif"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PIXELS).save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read_picture(path).pixels, PIXELS)


@pytest.mark.parametrize(
    ("orientation", "seen"),
    [
        (1, PIXELS),
        (2, PIXELS[:, ::-1]),
        (3, PIXELS[::-1, ::-1]),
        (4, PIXELS[::-1]),
        (5, PIXELS.transpose(1, 0, 2)),
        (6, np.rot90(PIXELS, -1)),
        (7, PIXELS.transpose(1, 0, 2)[::-1, ::-1]),
        (8, np.rot90(PIXELS)),
        (99, PIXELS),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, seen):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    read = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(read.pixels, seen)
    assert read.pixels.flags.c_contiguous
    assert read.history.get("orientation", 1) == orientation


def test_kinds_of_pixels(tmp_path):
    grey = np.array([[0, 128, 255], [1, 2, 3]], np.uint8)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey).save(tmp_path / "grey.tif")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    for name in ("deep.png", "grey.tif", "palette.png"):
        np.testing.assert_array_equal(read_picture(tmp_path / name).pixels, np.repeat(grey[:, :, None], 3, axis=2))
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    assert np.abs(read_picture(tmp_path / "cmyk.jpg").pixels.astype(int) - flat).max() <= 3
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
    assert read_picture(tmp_path / "bits.png").pixels.tolist() == [[[255] * 3, [0] * 3]]


def test_transparent_pixels_show_grey(tmp_path):
    alpha = Image.fromarray(PIXELS)
    alpha.putalpha(Image.fromarray(np.array([[255, 0, 255], [255, 255, 0]], np.uint8)))
    alpha.save(tmp_path / "a.png")
    read = read_picture(tmp_path / "a.png")
    assert read.pixels[0, 1].tolist() == read.pixels[1, 2].tolist() == [128] * 3
    np.testing.assert_array_equal(read.pixels[0, 0], PIXELS[0, 0])
    palette = Image.fromarray(PIXELS).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.info["transparency"] = 0
    palette.save(tmp_path / "p.png")
    assert (read_picture(tmp_path / "p.png").pixels == 128).all(axis=2).sum() == 1
    grey = Image.fromarray(PIXELS[..., 0]).convert("LA")
    grey.save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "la.png").pixels[..., 1], PIXELS[..., 0])


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1])]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_picture(tmp_path / "a.gif").pixels, PIXELS)


def test_one_pixel_is_a_picture(tmp_path):
    Image.fromarray(PIXELS[:1, :1]).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").pixels.shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"the file is empty"),
        (b"garbage", r"wanted a picture \(BMP, .*\), got something else"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "got something else"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "a.png: "),
        (png(20_000, 20_000), "wanted at most 100,000,000 pixels, got 400,000,000"),
        (png(11_000, 10_000), "wanted at most 100,000,000 pixels, got 11000 x 10000"),
        (png(50_000, 60_000, zlib.compress(b"\0" * 100_000)), "wanted at most 100,000,000 pixels, got 3,000,000,000"),
        (png(0, 5), "a.png: "),
        (b"P6 2000000000 2000000000 255\n", "a.png: "),
        (png(8, 8, zlib.compress(b"\0" * 20)), "a.png: cannot be decoded: "),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, content, message):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_truncated_jpeg(tmp_path):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    whole = buffer.getvalue()
    path = tmp_path / "a.jpg"
    for share in (0.2, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(FormatError, match=r"a\.jpg: (cannot be decoded: .*[Tt]runcated|wanted a picture)"):
            read_picture(path)


def test_huge_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 5)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    buffer = io.BytesIO(png(3, 2, zlib.compress(b"\0" * 20)))
    with pytest.raises(FormatError, match="wanted at most 5 pixels, got 3 x 2"):
        pictures.decode_picture(buffer.getvalue(), tmp_path / "a.png")


def test_missing_and_folder(tmp_path):
    with pytest.raises(FileError, match=r"none\.png: cannot be read: No such file"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(FileError, match="cannot be read: Is a directory"):
        read_picture(tmp_path)
    with pytest.raises(FileError, match="cannot be read"):
        read_picture("a\0b.png")


FOREIGN = {  # what their decoders would accept at first sight
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    "PSD": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 2, 2, 8, 3) + bytes(40),
    "PDF": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
    "FITS": b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800),
    "ICO": struct.pack("<HHH", 0, 1, 1) + bytes(40),
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + bytes(60),
    "XBM": b"#define a_width 8\n#define a_height 1\nstatic char a_bits[] = {\n0x00};\n",
}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".ppm", ".gif", ".webp"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_other_decoders_never_see_a_file(tmp_path, monkeypatch, kind, suffix):
    from PIL import EpsImagePlugin

    Image.init()
    allowed = {"BMP", "DIB", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP"}
    seen = []
    for name in list(Image.OPEN):
        if name not in allowed:
            spy = (lambda *arguments, name=name: seen.append(name), lambda prefix, name=name: seen.append(name) or True)
            monkeypatch.setitem(Image.OPEN, name, spy)
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **options: seen.append("Ghostscript"))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(FOREIGN[kind])
    with pytest.raises(FormatError, match="got something else"):
        read_picture(path)
    assert textures.load(tmp_path / "a.obj", [path.name]).image is None
    assert textures.decode(FOREIGN[kind])[0] is None
    assert seen == []


def test_an_orientation_of_tiff_is_applied_once(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(2, 1, bytes([1, 2]), 8, 1, more=[(0x0112, [6])]))
    read = read_picture(path)
    assert read.pixels[..., 0].tolist() == [[1], [2]]
    assert read.history["orientation"] == 6


def test_many_pages_cost_little(tmp_path):
    """Only so many pages are looked at as decide whether there are several."""
    page = Image.fromarray(PIXELS)
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page] * 300)
    assert "several pictures" in textures.load(tmp_path / "a.obj", ["a.tif"]).warnings[0]


def test_a_pil_picture_is_read_as_its_file(tmp_path):
    random = np.random.default_rng(0)
    colours = Image.fromarray(random.integers(0, 256, (9, 7, 4), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    colours.convert("RGB").save(tmp_path / "turned.png", exif=turned)
    colours.save(tmp_path / "alpha.png")
    colours.convert("RGB").quantize(8).save(tmp_path / "palette.png")
    Image.fromarray(random.integers(0, 65536, (9, 7), dtype=np.uint16)).save(tmp_path / "deep.png")
    colours.convert("L").save(tmp_path / "grey.tiff")
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(as_picture("x", Image.open(path)).pixels, read_picture(path).pixels)
    assert as_picture("x", Image.open(tmp_path / "turned.png")).pixels.shape == (7, 9, 3)
    with pytest.raises(FormatError, match="^`x`: has real numbers as pixels"):
        as_picture("x", Image.fromarray(np.zeros((4, 4), np.float32)))
    content = (tmp_path / "alpha.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with Image.open(tmp_path / "cut.png") as cut, pytest.raises(FormatError, match="^`x`: cannot be decoded: "):
        as_picture("x", cut)


def test_pixels_in_memory_are_rgb_or_grey_bytes():
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    assert as_picture("x", pixels).pixels is pixels
    made = as_picture("x", pixels[::-1, :, 0]).pixels
    np.testing.assert_array_equal(made, np.repeat(pixels[::-1, :, :1], 3, axis=2))
    wanted = r"^`x` should be a picture: a file, pixels \(H, W\) or \(H, W, 3\) uint8 in RGB, or a PIL picture; is "
    for wrong, said in (
        (pixels.astype(np.int64), r"an array \(4, 5, 3\) int64"),
        (pixels[..., :1], r"an array \(4, 5, 1\) uint8"),
        (pixels[0, 0], r"an array \(3,\) uint8"),
        (pixels.tolist(), "list"),
        ("anna.jpg", "str"),
    ):
        with pytest.raises(ArgumentError, match=f"{wanted}{said}$"):
            as_picture("x", wrong)
    with pytest.raises(ArgumentError, match="^`x` should have at most 100,000,000 pixels, is an array "):
        as_picture("x", np.broadcast_to(np.uint8(0), (20_000, 20_000)))
