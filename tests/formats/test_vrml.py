import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fer3d import formats
from fer3d.errors import ArgumentError, FileError, FormatError
from fer3d.files import whole
from fer3d.formats import vrml
from fer3d.scan import Scan

# Lopsided on purpose: no two numbers agree, so that a swap of axes, rows or corners shows.
SQUARE = [[0, 0, 0.5], [2, 0, 0.25], [2, 3, -1], [0, 3, 0.125]]
UV = [[0.1, 0.2], [0.9, 0.25], [0.8, 0.7], [0.05, 0.6]]


def wrl(body, header="#VRML V2.0 utf8\n"):
    return header + body


def shape(
    points="0 0 0.5, 2 0 0.25, 2 3 -1, 0 3 0.125",
    index="0, 1, 2, -1, 0, 2, 3, -1",
    rest="",
    texture="",
):
    return (
        f"Shape {{ {texture} geometry IndexedFaceSet {{ {rest}\n coord Coordinate {{ point [ {points} ] }}\n"
        f" coordIndex [ {index} ] }} }}\n"
    )


def image(url):
    return f"appearance Appearance {{ texture ImageTexture {{ url {url} }} }}"


TEX_COORD = "texCoord TextureCoordinate { point [ 0.1 0.2, 0.9 0.25, 0.8 0.7, 0.05 0.6 ] }"


@pytest.fixture
def read(tmp_path):
    def read_text(text, **options):
        path = tmp_path / "a face.wrl"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return formats.read(path, **options)

    return read_text


def test_a_plain_file(read):
    scan = read(wrl(shape()))
    np.testing.assert_array_equal(scan.vertices, np.array(SQUARE, np.float32))
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2], [0, 2, 3]])
    assert scan.uv is None
    assert scan.texture is None
    assert scan.file_vertex is None
    assert scan.warnings == ()
    assert scan.history == (
        {
            "step": "read",
            "file": "a face.wrl",
            "format": "vrml",
            "vertices": 4,
            "faces": 2,
            "split_vertices": 0,
            "face_sets": 1,
        },
    )


@pytest.mark.parametrize(
    "text",
    [
        # the brace styles of BU-3DFE and BU-4DFE
        "Shape\n{\n geometry IndexedFaceSet\n {\n coord Coordinate\n\t{\n point\n [\n 0 0 0.5,\n2 0 0.25,2 3"
        " -1,\n\t 0 3 0.125\n ]\n }\n coordIndex\n [\n 0 1 2 -1 0 2 3 -1\n ]\n }\n}\n",
        # the polygon as an n-gon, commas without spaces, no last -1
        shape(index="0,1,2,3"),
        shape(points="0 0 5e-1 2 0 +2.5E-1 2,3,-1.0e+0 0 3 .125"),
        shape(points="0 0 0.5 # ] } 7\n2 0 0.25 2 3 -1 #\n0 3 0.125"),
        "# before } [\n" + shape(rest="# inside ] }\nsolid FALSE convex TRUE creaseAngle 1.5"),
        shape().replace("coord Coordinate", "coord DEF points Coordinate").replace("Shape {", "DEF face Shape {"),
        "Group { children [ " + shape() + " ] }",
        # coordIndex before the points; windows line ends
        "Shape { geometry IndexedFaceSet { coordIndex [0 1 2 -1 0 2 3 -1]\r\ncoord Coordinate { point [0 0 .5"
        "\r\n2 0 .25\r\n2 3 -1\r\n0 3 .125] } } }",
        shape(rest="normal Normal { vector [ 0 0 1, 0 0 1 ] } color Color { color [ 1 0 0 ] } colorIndex [ 0 0 -1 ]"),
        'WorldInfo { title "a { [ \\" # title" info [ "x" "y" ] }\n' + shape() + "ROUTE a.b TO c.d\n",
        "PROTO Thing [ exposedField SFColor tint 1 0 0 ] { Group { } }\n" + shape(),
        "Shape { geometry IndexedFaceSet { coord USE p coordIndex [0 1 2 3] } Group { } }\n".replace(
            "coord USE p", "coord DEF p Coordinate { point [0 0 .5 2 0 .25 2 3 -1 0 3 .125] }"
        ),
    ],
)
def test_all_ways_to_write_the_same_mesh(read, text):
    scan = read(wrl(text))
    np.testing.assert_array_equal(scan.vertices, np.array(SQUARE, np.float32))
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2], [0, 2, 3]])


def test_ccw_false_turns_the_faces_and_their_uv_with_them(read):
    scan = read(wrl(shape(rest=f"ccw FALSE {TEX_COORD} texCoordIndex [ 3 1 2 -1 3 2 0 -1 ]")))
    normal = np.cross(*(scan.vertices[scan.faces[0]][1:] - scan.vertices[scan.faces[0]][:1]))
    assert normal[2] < 0
    corner = {0: 3, 1: 1, 2: 2, 3: 0}
    np.testing.assert_array_equal(scan.uv, np.array(UV, np.float32)[[corner[i] for i in range(4)]])


def test_uv_follow_coord_index_where_there_is_no_tex_coord_index(read):
    scan = read(wrl(shape(rest=TEX_COORD)))
    np.testing.assert_array_equal(scan.uv, np.array(UV, np.float32))


def test_corners_with_two_uv_split_their_vertex(read):
    scan = read(wrl(shape(rest=f"{TEX_COORD} texCoordIndex [ 0 1 2 -1 3 2 1 -1 ]")))
    # vertex 0 has uv 0 in the first face and 3 in the second; vertex 3 has uv 1
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 3, 0])
    np.testing.assert_array_equal(scan.vertices, np.array(SQUARE, np.float32)[scan.file_vertex])
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2], [4, 2, 3]])
    np.testing.assert_array_equal(scan.uv, np.array(UV, np.float32)[[0, 1, 2, 1, 3]])
    assert scan.history[0]["split_vertices"] == 1


def test_fewer_texture_coordinates_than_points_leave_unused_vertices_without_uv(read):
    scan = read(wrl(shape(index="0 1 2 -1", rest="texCoord TextureCoordinate { point [ .1 .2 .9 .25 .8 .7 ] }")))
    np.testing.assert_array_equal(scan.uv[:3], np.array(UV[:3], np.float32))
    assert np.isnan(scan.uv[3]).all()
    scan = read(wrl(shape(index="0 1 2 -1", rest=f"{TEX_COORD} texCoordIndex [ 3 2 1 -1 ]")))
    assert np.isnan(scan.uv[3]).all()
    np.testing.assert_array_equal(scan.uv[:3], np.array(UV, np.float32)[[3, 2, 1]])


def test_transforms_are_applied_from_the_inside_out(read):
    text = (
        "Transform { translation 10 0 0 children [ Transform { rotation 0 0 2 1.5707963267948966 scale 1 2 3 "
        f"children [ {shape()} ] }} ] }}"
    )
    scan = read(wrl(text))
    x, y, z = np.array(SQUARE).T
    np.testing.assert_allclose(scan.vertices, np.stack([10 - 2 * y, x, 3 * z], axis=1), atol=1e-6)


def test_a_transform_turns_and_scales_about_its_centre(read):
    text = (
        f"Transform {{ center 1 2 3 rotation 1 0 0 3.141592653589793 scaleOrientation 0 0 1 0.3 children {shape()} }}"
    )
    x, y, z = np.array(SQUARE).T
    np.testing.assert_allclose(read(wrl(text)).vertices, np.stack([x, 4 - y, 6 - z], axis=1), atol=1e-6)
    with pytest.raises(FormatError, match=r"line 2: `scale` of Transform should be 3 numbers, is '1 2'"):
        read(wrl(f"Transform {{ scale 1 2 children {shape()} }}"))


def test_several_face_sets_become_one_mesh(read):
    second = shape(points="5 5 5 6 5 5 5 7 5", index="0 1 2", rest="texCoord TextureCoordinate { point [0 0 1 0 0 1] }")
    scan = read(wrl(shape() + second))
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2], [0, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(scan.vertices[4:], [[5, 5, 5], [6, 5, 5], [5, 7, 5]])
    assert np.isnan(scan.uv[:4]).all()
    np.testing.assert_array_equal(scan.uv[4:], [[0, 0], [1, 0], [0, 1]])
    assert scan.history[0]["face_sets"] == 2
    assert scan.file_vertex is None


def test_rows_are_counted_through_several_point_lists(read):
    first = shape(rest=f"{TEX_COORD} texCoordIndex [ 0 1 2 -1 3 2 1 -1 ]")
    scan = read(wrl(first + shape(rest=TEX_COORD)))
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 3, 4, 5, 6, 7, 0])  # the copy comes last


def test_a_used_shape_is_repeated_and_an_inline_is_reported(read):
    text = shape().replace("Shape", "DEF s Shape", 1)
    scan = read(wrl(text + 'Transform { translation 5 0 0 children [ USE s ] } Inline { url "b.wrl" }'))
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    np.testing.assert_array_equal(scan.vertices[4:], np.array(SQUARE, np.float32) + np.array([5, 0, 0]))
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 3, 0, 1, 2, 3])
    (warning,) = scan.warnings
    assert warning.endswith("a face.wrl: line 5: an Inline node was not followed: 'b.wrl'")


# ---- texture ----


@pytest.mark.parametrize(
    "url", ['"skin.png"', '["skin.png"]', '[ "none.png", "skin.png" ]', '"C:\\\\data\\\\skin.png"']
)
def test_the_texture_of_the_file(read, tmp_path, url):
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    Image.fromarray(pixels).save(tmp_path / "skin.png")
    text = wrl(shape(rest=TEX_COORD, texture=image(url)))
    scan = read(text)
    np.testing.assert_array_equal(scan.texture, pixels)
    assert scan.warnings == ()
    without = read(text, texture=False)
    assert without.texture is None
    assert without.warnings == ()
    np.testing.assert_array_equal(without.uv, scan.uv)


def test_an_appearance_by_use_brings_its_texture(read, tmp_path):
    Image.new("RGB", (2, 2), (9, 8, 7)).save(tmp_path / "skin.png")
    first = shape(points="0 0 0 1 0 0 0 1 0", index="0 1 2", rest="texCoord TextureCoordinate { point [0 0 1 0 0 1] }")
    first = first.replace(
        "Shape { ", 'Shape { appearance DEF look Appearance { texture ImageTexture { url "skin.png" } } '
    )
    scan = read(wrl(first + shape(rest=TEX_COORD, texture="appearance USE look")))
    assert scan.texture[0, 0].tolist() == [9, 8, 7]
    assert not np.isnan(scan.uv).any()
    assert scan.warnings == ()


def test_several_textures_become_one(read, tmp_path):
    for name, colour in (("one.png", (255, 0, 0)), ("two.png", (0, 255, 0))):
        Image.new("RGB", (2, 2), colour).save(tmp_path / name)
    text = shape(rest=TEX_COORD, texture=image('"one.png"')) + shape(rest=TEX_COORD, texture=image('"two.png"'))
    scan = read(wrl(text))
    assert scan.warnings == ()
    assert [shown(scan, row) for row in (0, 3, 4, 7)] == [(255, 0, 0)] * 2 + [(0, 255, 0)] * 2
    (tmp_path / "two.png").unlink()
    scan = read(wrl(text))
    assert "its texture 'two.png' is not beside it" in scan.warnings[0]
    assert np.isnan(scan.uv[4:]).all()


def shown(scan, row):
    """The texture at a vertex."""
    height, width, _ = scan.texture.shape
    u, v = scan.uv[row] % 1.0
    return tuple(scan.texture[int((1 - v) * height), int(u * width)].tolist())


def test_a_texture_without_uv_is_reported(read):
    scan = read(wrl(shape(texture=image('"skin.png"'))))
    assert "it names the texture 'skin.png' but has no texture coordinates" in scan.warnings[0]


# ---- writing ----


@pytest.mark.parametrize("scale", [1.0, 1000.0, 1e-6])
def test_what_is_written_reads_back_bit_for_bit(tmp_path, scale):
    rng = np.random.default_rng(5)
    texture = rng.integers(0, 256, (4, 7, 3), dtype=np.uint8)
    vertices = (rng.normal(0, scale, (50, 3))).astype(np.float32)
    vertices[0] = [np.nan, np.inf, -np.inf]
    scan = Scan.of(vertices, rng.integers(0, 50, (80, 3)), uv=rng.random((50, 2), dtype=np.float32), texture=texture)
    path = tmp_path / "Gesicht ä 顔.WRL"
    formats.write(scan, path)
    back = formats.read(path)
    np.testing.assert_array_equal(back.vertices, scan.vertices)
    np.testing.assert_array_equal(back.faces, scan.faces)
    np.testing.assert_array_equal(back.uv, scan.uv)
    np.testing.assert_array_equal(back.texture, texture)
    assert back.warnings == ()
    assert (tmp_path / "Gesicht ä 顔.png").is_file()
    formats.write(replace(scan, uv=None, texture=None), path)
    assert formats.read(path).uv is None


def test_the_texture_can_have_another_name_or_only_be_mentioned(tmp_path):
    scan = Scan.of(SQUARE, [[0, 1, 2]], uv=np.array(UV, np.float32), texture=np.full((2, 2, 3), 7, np.uint8))
    vrml.write(scan, tmp_path / "X_F3D.wrl", texture_name="X_F3D.bmp")
    vrml.write(replace(scan, texture=None), tmp_path / "X_RAW.wrl", texture_name="X_F3D.bmp")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["X_F3D.bmp", "X_F3D.wrl", "X_RAW.wrl"]
    assert vrml.read(tmp_path / "X_RAW.wrl").texture.tolist() == scan.texture.tolist()


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(ArgumentError, match="should have at least one face"):
        vrml.write(Scan.of(SQUARE, np.empty((0, 3))), tmp_path / "a.wrl")
    with pytest.raises(FileError, match=r"none.a\.wrl: cannot be written: No such file"):
        vrml.write(Scan.of(SQUARE, [[0, 1, 2]]), tmp_path / "none" / "a.wrl")
    assert list(tmp_path.iterdir()) == []


# ---- what is refused ----


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("solid x\n", r"a face\.wrl: should begin with '#VRML V2\.0', begins with 'solid x'"),
        ("#VRML V1.0 ascii\n", r"should begin with '#VRML V2\.0', begins with '#VRML V1\.0 ascii'"),
        ("#VRML V1.0 ascii\n", "VRML 1.0 is another language and is not read; export it as VRML 2.0"),
        ("#X3D V3.2 utf8\n", "begins with '#X3D V3.2 utf8': X3D is not read"),
        ("<?xml version='1.0'?><X3D/>", "X3D and XML are not read"),
        (b"\x1f\x8b\x08rest", "its gzip stream is damaged"),
        (b"\x89PNG\r\n\x1a\n\x00", r"begins with '\?PNG"),
        (wrl(""), "an IndexedFaceSet with at least one face was wanted, there is none"),
        (wrl("Shape { geometry Box { } }"), "there is none"),
        (wrl(shape(index="")), "there is none"),
        (wrl(shape(index="0 1 4 -1")), r"line 4: coordIndex should hold rows below 4, the number of points; holds 4"),
        (wrl(shape(index="0 1 -1")), r"line 4 \(byte \d+\): polygon 0 has 2 corners"),
        (wrl(shape(index="0 1 2.5 -1")), r"`2\.5` is not an integer"),
        (wrl(shape(points="0 0 0 1 0 0 1 1")), r"line 3: the point list of Coordinate should hold 3 numbers a point"),
        (wrl(shape(points="0 0 0 1 zero 0")), r"line 3 \(byte \d+\): `zero` is not a number"),
        (wrl(shape(rest=f"{TEX_COORD} texCoordIndex [ 0 1 9 -1 0 2 3 -1 ]")), "texCoordIndex should hold rows below 4"),
        (wrl(shape(rest=f"{TEX_COORD} texCoordIndex [ 0 1 2 3 -1 ]")), "should have the polygons of coordIndex"),
        (
            wrl(shape(rest="texCoord TextureCoordinate { point [ 0 0 1 1 ] }")),
            r"coordIndex should hold rows below 2, the number of texture coordinates \(there is no texCoordIndex\)",
        ),
        (wrl(shape(rest=TEX_COORD.replace("TextureCoordinate", "Coordinate"))), "should be a TextureCoordinate, is a"),
        (wrl("Shape { geometry IndexedFaceSet { coordIndex [ 0 1 2 ] } }"), "has a coordIndex but no points"),
        (wrl(shape())[:-5], r"breaks off: the end of the file comes before the `}` of line"),
        (wrl(shape())[:110], "no closing `]`"),
        (wrl("Shape { geometry [ }"), "`}` closes nothing"),
        (wrl("}"), "line 2: `}` closes nothing"),
        (wrl('Shape { url "never ends'), "line 2: the string that begins here has no end"),
        (wrl("Group { " * 2000), "brackets are nested deeper than 1000"),
    ],
)
def test_what_is_wrong_is_named(read, text, message):
    with pytest.raises(FormatError, match=message):
        read(text)


def test_missing_folder_and_locked_files(tmp_path):
    with pytest.raises(FileError, match=r"no\.wrl: cannot be read: No such file or directory"):
        formats.read(tmp_path / "no.wrl")
    (tmp_path / "folder.wrl").mkdir()
    with pytest.raises(FileError, match="Is a directory"):
        formats.read(tmp_path / "folder.wrl")
    with pytest.raises(FileError, match="null"):
        formats.read("a\0.wrl")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wrl")
    with pytest.raises(FileError, match=r"pipe\.wrl: a regular file was wanted, it is a pipe or device"):
        formats.read(tmp_path / "pipe.wrl")


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(whole, "MAX_BYTES", 100)
    (tmp_path / "a.wrl").write_bytes(bytes(101))
    with pytest.raises(FormatError, match="a file has at most 100 bytes, this one has 101"):
        formats.read(tmp_path / "a.wrl")


@pytest.mark.parametrize(
    "text", ["#" * 200_000, "#VRML V2.0 utf8\n" + "#" * 200_000, "#VRML V2.0 utf8\n" + '"\\' * 200_000]
)
def test_no_input_makes_the_scanner_backtrack(read, text):
    with pytest.raises(FormatError):
        read(text)


def test_nan_and_infinite_coordinates_are_read_as_they_stand(read):
    scan = read(wrl(shape(points="nan 0 0.5, 2 -inf 0.25, 2 3 1e999, 0 3 -1.#IND")))
    assert np.isnan(scan.vertices[0, 0])
    assert scan.vertices[1, 1] == -np.inf
    assert scan.vertices[2, 2] == np.inf
    assert np.isnan(scan.vertices[3, 2])
