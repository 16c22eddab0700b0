"""Pictures, made bit by bit where Pillow does not write the kind."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.formats.examples import Example

RGB = np.array([[[255, 0, 10], [0, 200, 20], [30, 40, 50]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]], np.uint8)
GREY = np.array([[0, 100], [255, 18]], np.uint8)
DEEP = np.array([[0, 0x6420], [65535, 0x1234]], np.uint16)  # its high bytes are GREY


def png(width, height, depth, colour, rows, chunks=(), interlace=0):
    """A PNG file of these rows, each without its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    packed = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def key(*values):
    """A transparent colour of a PNG."""
    return (b"tRNS", struct.pack(f">{len(values)}H", *values))


PALETTE = (b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9]))


def tiff(width, height, data, bits, photometric, samples=1, *, order="<", planar=1, more=()):
    """An uncompressed TIFF file with one strip, or one a plane; `more` are (tag, values of 16 bits)."""
    strips = samples if planar == 2 else 1
    tags = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * samples),
        259: (3, [1]),
        262: (3, [photometric]),
        273: (4, [0] * strips),
        277: (3, [samples]),
        278: (4, [height]),
        279: (4, [len(data) // strips] * strips),
        284: (3, [planar]),
        **{tag: (3, list(values)) for tag, values in more},
    }
    sizes = {k: len(v) * (2 if kind == 3 else 4) for k, (kind, v) in tags.items()}
    behind = 8 + 2 + 12 * len(tags) + 4
    start = behind + sum(size for size in sizes.values() if size > 4)
    tags[273] = (4, [start + i * (len(data) // strips) for i in range(strips)])
    entries, blob = b"", b""
    for tag in sorted(tags):
        kind, values = tags[tag]
        raw = struct.pack(order + ("H" if kind == 3 else "I") * len(values), *values)
        if len(raw) > 4:
            raw, blob = struct.pack(order + "I", behind + len(blob)), blob + raw
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, len(tags))
    return head + entries + struct.pack(order + "I", 0) + blob + data


def bmp(width, height, bits, data, *, compression=0, palette=b"", masks=b"", used=0):
    """A BMP file; a negative height runs from the top."""
    start = 14 + 40 + len(masks) + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, used, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + masks + palette + data


BMP_PALETTE = bytes([0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 9, 9, 9, 0])


def saved(array, kind, mode=None, **options):
    """What Pillow writes."""
    content = io.BytesIO()
    picture = Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode)
    picture.save(content, kind, **options)
    return content.getvalue()


def cmyk(marker=True):
    """A CMYK JPEG of one colour, as Adobe writes them or without the marker."""
    flat = np.full((16, 16, 4), (50, 100, 64, 30), np.uint8)
    content = io.BytesIO()
    Image.fromarray(flat, "CMYK").save(content, "JPEG", quality=100)
    whole = content.getvalue()
    at = whole.index(b"\xff\xee")
    return whole if marker else whole[:at] + whole[at + 2 + struct.unpack_from(">H", whole, at + 2)[0] :]


def shows(photo, texture=None, off=0):
    """A check of the pixels as a photograph, (H, W, 3) or grey; and as a texture, if they differ."""
    wanted = [as_rgb(photo), as_rgb(photo if texture is None else texture)]

    def check(seen):
        for pixels, want in zip(seen, wanted, strict=True):
            if pixels is not None:
                assert pixels.shape == want.shape
                assert np.abs(pixels.astype(int) - want).max() <= off, pixels.tolist()

    return check


def as_rgb(array):
    """(H, W, 3) of colours or grey."""
    array = np.asarray(array, np.uint8)
    return array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2)


def flat(colour, size=(16, 16)):
    """One colour everywhere."""
    return np.full((*size, 3), colour, np.uint8)


def two_pages(kind, **options):
    """A file of two pictures."""
    content = io.BytesIO()
    second = Image.fromarray(RGB[::-1].copy())
    Image.fromarray(RGB).save(content, kind, save_all=True, append_images=[second], **options)
    return content.getvalue()


def smaller_copy():
    """A TIFF whose second picture says that it is a smaller copy of the first."""
    first = bytearray(tiff(2, 2, GREY.tobytes(), 8, 1))
    count = struct.unpack_from("<H", first, 8)[0]
    start = len(first)
    struct.pack_into("<I", first, 10 + 12 * count, start)
    tags = [(254, 4, 1), (256, 4, 1), (257, 4, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, start - 4), (277, 3, 1), (278, 4, 1), (279, 4, 1)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return bytes(first) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


def turned():
    """A JPEG that says: turn me by a quarter. The left half is dark."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(HALVES, "JPEG", quality=95, exif=exif)


HALVES = np.repeat(np.repeat(np.array([[40, 200]], np.uint8), 16, axis=0), 16, axis=1)  # (16, 32)
ALPHA = np.array([[255, 0, 255], [255, 255, 0]], np.uint8)
CLEAR = np.where(ALPHA[..., None] == 0, 128, RGB)  # what a photograph shows
WITH_ALPHA = np.dstack([RGB, ALPHA])
SEPARATE = np.ascontiguousarray(np.moveaxis(RGB, 2, 0))
LITTLE, BIG = DEEP.astype("<u2").tobytes(), DEEP.astype(">u2").tobytes()
PPM_16 = b"P6 1 1 65535\n" + struct.pack(">3H", 0, 0x1234, 65535)
# Adam7 of 2 x 2 pixels: the first pixel, the second, the lower row
INTERLACED = png(2, 2, 8, 0, [b"\0", b"\x64", b"\xff\x12"], interlace=1)
GIF_CLEAR = (
    b"GIF89a"
    + struct.pack("<HHBBB", 2, 2, 0x91, 0, 0)
    + bytes([255] * 3 + [7] * 3 + [0] * 3 + [9] * 3)
    + b"\x21\xf9\x04\x01\0\0\x01\0\x2c"
    + struct.pack("<HHHHB", 0, 0, 2, 2, 0)
    + b"\x02\x03\x44\x34\x05\0\x3b"
)

EXAMPLES = {
    "PNG: 8 bits RGB": Example("a.png", saved(RGB, "PNG"), check=shows(RGB)),
    "PNG: 8 bits grey": Example("a.png", saved(GREY, "PNG"), check=shows(GREY)),
    "PNG: 1 bit grey": Example("a.png", png(2, 1, 1, 0, [b"\x40"]), check=shows([[0, 255]])),
    "PNG: 2 bits grey": Example("a.png", png(4, 1, 2, 0, [b"\x1b"]), check=shows([[0, 85, 170, 255]])),
    "PNG: 4 bits grey": Example("a.png", png(2, 1, 4, 0, [b"\x5f"]), check=shows([[85, 255]])),
    "PNG: 16 bits grey": Example("a.png", saved(DEEP, "PNG"), check=shows(GREY)),
    "PNG: 16 bits RGB": Example(
        "a.png", png(1, 1, 16, 2, [bytes([1, 200, 2, 0, 255, 255])]), check=shows([[[1, 2, 255]]])
    ),
    "PNG: palette": Example(
        "a.png",
        png(4, 1, 2, 3, [b"\x1b"], [PALETTE]),
        check=shows([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]]),
    ),
    "PNG: palette with opacity": Example(
        "a.png",
        png(2, 1, 8, 3, [b"\0\1"], [PALETTE, (b"tRNS", b"\0\xff")]),
        check=shows([[[128] * 3, [0, 255, 0]]], [[[255, 0, 0], [0, 255, 0]]]),
    ),
    "PNG: a colour that the palette lacks": Example("a.png", png(1, 1, 8, 3, [b"\x09"], [PALETTE])),
    "PNG: no palette for indices": Example("a.png", png(1, 1, 8, 3, [b"\0"])),
    "PNG: alpha": Example("a.png", saved(WITH_ALPHA, "PNG"), check=shows(CLEAR, RGB)),
    "PNG: grey with alpha": Example(
        "a.png", png(2, 1, 8, 4, [bytes([7, 255, 9, 0])]), check=shows([[7, 128]], [[7, 9]])
    ),
    "PNG: grey with alpha, 16 bits": Example(
        "a.png", png(2, 1, 16, 4, [bytes([7, 1, 255, 255, 9, 1, 0, 0])]), check=shows([[7, 128]], [[7, 9]])
    ),
    "PNG: alpha, 16 bits": Example(
        "a.png", png(1, 1, 16, 6, [bytes([1, 9, 2, 9, 3, 9, 255, 255])]), check=shows([[[1, 2, 3]]])
    ),
    "PNG: transparent grey, 1 bit": Example(
        "a.png", png(2, 1, 1, 0, [b"\x40"], [key(1)]), check=shows([[0, 128]], [[0, 255]])
    ),
    "PNG: transparent grey, 2 bits": Example(
        "a.png", png(4, 1, 2, 0, [b"\x1b"], [key(1)]), check=shows([[0, 128, 170, 255]], [[0, 85, 170, 255]])
    ),
    "PNG: transparent grey, 4 bits": Example(
        "a.png", png(2, 1, 4, 0, [b"\x5f"], [key(5)]), check=shows([[128, 255]], [[85, 255]])
    ),
    "PNG: transparent grey, 8 bits": Example(
        "a.png", png(2, 1, 8, 0, [b"\x05\x07"], [key(5)]), check=shows([[128, 7]], [[5, 7]])
    ),
    "PNG: transparent grey, 16 bits": Example(
        "a.png", png(2, 1, 16, 0, [b"\x05\x07\x05\x08"], [key(0x0507)]), check=shows([[128, 5]], [[5, 5]])
    ),
    "PNG: transparent RGB": Example(
        "a.png",
        png(2, 1, 8, 2, [b"\1\2\3\1\2\4"], [key(1, 2, 3)]),
        check=shows([[[128] * 3, [1, 2, 4]]], [[[1, 2, 3], [1, 2, 4]]]),
    ),
    "PNG: transparent RGB, 16 bits": Example(
        "a.png", png(1, 1, 16, 2, [b"\1\2\1\2\1\2"], [key(258, 258, 258)]), check=shows([[[1, 1, 1]]])
    ),
    "PNG: gamma, chromaticities, profile": Example(
        "a.png",
        png(2, 1, 8, 0, [b"\x50\x60"], [(b"gAMA", struct.pack(">I", 100000)), (b"sRGB", b"\0")]),
        check=shows([[80, 96]]),
    ),
    "PNG: interlaced": Example("a.png", INTERLACED, check=shows(GREY)),
    "PNG: animation": Example("a.png", two_pages("PNG"), check=shows(RGB)),
    "JPEG: colour": Example(
        "a.jpg", saved(flat((200, 100, 50)), "JPEG", quality=95), check=shows(flat((200, 100, 50)), off=3)
    ),
    "JPEG: grey": Example("a.jpg", saved(HALVES, "JPEG", quality=95), check=shows(HALVES, off=3)),
    "JPEG: progressive": Example(
        "a.jpg",
        saved(flat((200, 100, 50)), "JPEG", quality=95, progressive=True),
        check=shows(flat((200, 100, 50)), off=3),
    ),
    "JPEG: RGB without YCbCr": Example(
        "a.jpg",
        saved(flat((200, 100, 50)), "JPEG", quality=95, keep_rgb=True),
        check=shows(flat((200, 100, 50)), off=3),
    ),
    "JPEG: CMYK with Adobe marker": Example("a.jpg", cmyk(), check=shows(flat((181, 137, 169)), off=3)),
    "JPEG: CMYK without Adobe marker": Example("a.jpg", cmyk(marker=False)),
    "JPEG: EXIF orientation": Example("a.jpg", turned(), check=shows(np.rot90(HALVES, -1), HALVES, off=3)),
    "BMP: 1 bit": Example(
        "a.bmp", bmp(2, 1, 1, b"\x40\0\0\0", palette=BMP_PALETTE[:8]), check=shows([[[255, 0, 0], [0, 255, 0]]])
    ),
    "BMP: 4 bits": Example(
        "a.bmp",
        bmp(2, 1, 4, b"\x12\0\0\0", palette=BMP_PALETTE.ljust(64, b"\0")),
        check=shows([[[0, 255, 0], [0, 0, 255]]]),
    ),
    "BMP: 8 bits": Example(
        "a.bmp", bmp(2, 1, 8, b"\1\2\0\0", palette=BMP_PALETTE, used=4), check=shows([[[0, 255, 0], [0, 0, 255]]])
    ),
    "BMP: a colour that the palette lacks": Example("a.bmp", bmp(2, 1, 8, b"\1\x09\0\0", palette=BMP_PALETTE, used=4)),
    "BMP: 16 bits, 5 5 5": Example(
        "a.bmp", bmp(2, 1, 16, struct.pack("<2H", 0x7C00, 0x03E0)), check=shows([[[255, 0, 0], [0, 255, 0]]])
    ),
    "BMP: 16 bits, 5 6 5": Example(
        "a.bmp",
        bmp(2, 1, 16, struct.pack("<2H", 0xF800, 0x07E0), compression=3, masks=struct.pack("<3I", 0xF800, 0x7E0, 0x1F)),
        check=shows([[[255, 0, 0], [0, 255, 0]]]),
    ),
    "BMP: 24 bits": Example("a.bmp", saved(RGB, "BMP"), check=shows(RGB)),
    "BMP: from the top": Example("a.bmp", bmp(1, -2, 24, b"\1\2\3\0\4\5\6\0"), check=shows([[[3, 2, 1]], [[6, 5, 4]]])),
    "BMP: 32 bits": Example("a.bmp", bmp(1, 1, 32, b"\1\2\3\4"), check=shows([[[3, 2, 1]]])),
    "BMP: 32 bits, masks of 10 bits": Example(
        "a.bmp", bmp(1, 1, 32, b"\1\2\3\4", compression=3, masks=struct.pack("<3I", 0x3FF00000, 0xFFC00, 0x3FF))
    ),
    "BMP: run lengths, 8 bits": Example(
        "a.bmp",
        bmp(4, 1, 8, b"\3\1\1\2\0\1", compression=1, palette=BMP_PALETTE.ljust(1024, b"\0")),
        check=shows([[[0, 255, 0]] * 3 + [[0, 0, 255]]]),
    ),
    "BMP: run lengths, 4 bits": Example(
        "a.bmp",
        bmp(4, 1, 4, b"\4\x12\0\1", compression=2, palette=BMP_PALETTE.ljust(64, b"\0")),
        check=shows([[[0, 255, 0], [0, 0, 255]] * 2]),
    ),
    "BMP: 2 bits, JPEG or PNG inside": Example("a.bmp", bmp(2, 1, 2, b"\x40\0\0\0", palette=BMP_PALETTE)),
    "PBM: text": Example("a.ppm", b"P1 2 2 1 0 0 1\n", check=shows([[0, 255], [255, 0]])),
    "PBM: binary": Example("a.ppm", b"P4 2 2\n\x80\x40", check=shows([[0, 255], [255, 0]])),
    "PGM: text, maxval 15": Example(
        "a.ppm", b"P2\n# a comment\n2 2\n15\n0 5 15 7\n", check=shows([[0, 85], [255, 119]])
    ),
    "PGM: text, maxval 1023": Example("a.ppm", b"P2 2 2 1023 0 512 1023 100\n", check=shows([[0, 128], [255, 25]])),
    "PGM: binary, maxval 15": Example(
        "a.ppm", b"P5 2 2 15\n" + bytes([0, 5, 15, 7]), check=shows([[0, 85], [255, 119]])
    ),
    "PGM: binary, maxval 1023": Example(
        "a.ppm", b"P5 2 2 1023\n" + struct.pack(">4H", 0, 512, 1023, 100), check=shows([[0, 128], [255, 25]])
    ),
    "PGM: binary, maxval 65535": Example("a.ppm", b"P5 2 2 65535\n" + BIG, check=shows(GREY)),
    "PPM: text": Example("a.ppm", b"P3 1 1 1023 0 512 1023\n", check=shows([[[0, 128, 255]]])),
    "PPM: binary": Example("a.ppm", saved(RGB, "PPM"), check=shows(RGB)),
    "PPM: binary, 16 bits": Example("a.ppm", PPM_16, check=shows([[[0, 18, 255]]])),
    "PPM: maxval 0 or above 65535": Example("a.ppm", b"P5 1 1 65536\n\0\0\0"),
    "PFM: real numbers": Example("a.ppm", b"Pf 1 1 -1.0\n" + struct.pack("<f", 0.5)),
    "PAM": Example("a.ppm", b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n\x01"),
    "TIFF: 8 bits grey": Example("a.tif", tiff(2, 2, GREY.tobytes(), 8, 1), check=shows(GREY)),
    "TIFF: 8 bits, white is 0": Example("a.tif", tiff(2, 2, GREY.tobytes(), 8, 0), check=shows(255 - GREY)),
    "TIFF: 1 bit": Example("a.tif", tiff(2, 2, b"\x80\x40", 1, 1), check=shows([[255, 0], [0, 255]])),
    "TIFF: 1 bit, white is 0": Example("a.tif", tiff(2, 2, b"\x80\x40", 1, 0), check=shows([[0, 255], [255, 0]])),
    "TIFF: 4 bits": Example("a.tif", tiff(2, 2, b"\x0f\x37", 4, 1), check=shows([[0, 255], [51, 119]])),
    "TIFF: 12 bits": Example("a.tif", tiff(2, 1, b"\x64\x21\x23", 12, 1), check=shows([[0x64, 0x12]])),
    "TIFF: 16 bits": Example("a.tif", tiff(2, 2, LITTLE, 16, 1), check=shows(GREY)),
    "TIFF: 16 bits, big-endian": Example("a.tif", tiff(2, 2, BIG, 16, 1, order=">"), check=shows(GREY)),
    "TIFF: 16 bits, white is 0": Example("a.tif", tiff(2, 2, LITTLE, 16, 0), check=shows(255 - GREY)),
    "TIFF: 16 bits, white is 0, big-endian": Example("a.tif", tiff(2, 2, BIG, 16, 0, order=">")),
    "TIFF: 16 bits with a sign": Example("a.tif", tiff(2, 2, LITTLE, 16, 1, more=[(339, [2])])),
    "TIFF: 8 bits with a sign": Example("a.tif", tiff(2, 2, GREY.tobytes(), 8, 1, more=[(339, [2])])),
    "TIFF: 32 bits": Example("a.tif", tiff(2, 2, DEEP.astype("<u4").tobytes(), 32, 1)),
    "TIFF: real numbers": Example("a.tif", tiff(2, 2, DEEP.astype("<f4").tobytes(), 32, 1, more=[(339, [3])])),
    "TIFF: RGB": Example("a.tif", saved(RGB, "TIFF"), check=shows(RGB)),
    "TIFF: RGB, LZW": Example("a.tif", saved(RGB, "TIFF", compression="tiff_lzw"), check=shows(RGB)),
    "TIFF: RGB in planes": Example("a.tif", tiff(3, 2, SEPARATE.tobytes(), 8, 2, 3, planar=2), check=shows(RGB)),
    "TIFF: RGB of 16 bits": Example(
        "a.tif", tiff(1, 1, struct.pack("<3H", 0x1234, 0, 65535), 16, 2, 3), check=shows([[[18, 0, 255]]])
    ),
    "TIFF: RGB of 16 bits, big-endian": Example(
        "a.tif", tiff(1, 1, struct.pack(">3H", 0x1234, 0, 65535), 16, 2, 3, order=">"), check=shows([[[18, 0, 255]]])
    ),
    "TIFF: RGB of 16 bits in planes": Example(
        "a.tif", tiff(1, 1, struct.pack("<3H", 0x1234, 0, 65535), 16, 2, 3, planar=2)
    ),
    "TIFF: alpha": Example(
        "a.tif", tiff(3, 2, WITH_ALPHA.tobytes(), 8, 2, 4, more=[(338, [2])]), check=shows(CLEAR, RGB)
    ),
    "TIFF: alpha that is multiplied in": Example(
        "a.tif",
        tiff(2, 1, bytes([50, 100, 0, 255, 64, 0, 128, 128]), 8, 2, 4, more=[(338, [1])]),
        check=shows([[[50, 100, 0], [128, 64, 191]]], [[[50, 100, 0], [127, 0, 255]]], off=1),
    ),
    "TIFF: a fourth number of no meaning": Example(
        "a.tif", tiff(3, 2, WITH_ALPHA.tobytes(), 8, 2, 4, more=[(338, [0])]), check=shows(RGB)
    ),
    "TIFF: palette": Example(
        "a.tif",
        tiff(2, 1, b"\0\1", 8, 3, more=[(320, [65535, 256, *[0] * 254, 0, 512, *[0] * 254, 0, 768, *[0] * 254])]),
        check=shows([[[255, 0, 0], [1, 2, 3]]]),
    ),
    "TIFF: palette of 8 bits": Example(
        "a.tif", tiff(2, 1, b"\0\1", 8, 3, more=[(320, [255, 1, *[0] * 254, 0, 2, *[0] * 254, 0, 3, *[0] * 254])])
    ),
    "TIFF: CMYK": Example(
        "a.tif", tiff(1, 1, bytes([50, 100, 64, 30]), 8, 5, 4), check=shows([[[181, 137, 169]]], off=1)
    ),
    "TIFF: other inks": Example("a.tif", tiff(1, 1, bytes([50, 100, 64, 30]), 8, 5, 4, more=[(332, [2])])),
    "TIFF: YCbCr": Example(
        "a.tif", tiff(1, 1, bytes([100, 128, 128]), 8, 6, 3, more=[(530, [1, 1])]), check=shows([[[100, 100, 100]]])
    ),
    "TIFF: L*a*b*": Example("a.tif", tiff(1, 1, bytes([50, 100, 64]), 8, 8, 3)),
    "TIFF: several pages": Example("a.tif", two_pages("TIFF"), check=shows(RGB)),
    "TIFF: a smaller copy behind": Example("a.tif", smaller_copy(), check=shows(GREY)),
    "GIF": Example("a.gif", saved(RGB, "GIF"), check=shows(RGB)),
    "GIF: transparent colour": Example("a.gif", GIF_CLEAR, check=shows([[255, 128], [0, 9]])),
    "GIF: animation": Example("a.gif", two_pages("GIF"), check=shows(RGB)),
    "WebP: lossless": Example("a.webp", saved(RGB, "WEBP", lossless=True), check=shows(RGB)),
    "WebP: lossy": Example(
        "a.webp", saved(flat((200, 100, 50)), "WEBP", quality=95), check=shows(flat((200, 100, 50)), off=4)
    ),
    "WebP: alpha": Example("a.webp", saved(WITH_ALPHA, "WEBP", lossless=True, exact=True), check=shows(CLEAR, RGB)),
    "WebP: animation": Example("a.webp", two_pages("WEBP", lossless=True), check=shows(RGB)),
    "PSD, EPS, PDF and others, under any name": Example("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
}
