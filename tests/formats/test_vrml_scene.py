"""What a VRML 2.0 file draws: scopes, prototypes, repeated nodes, shared points, and the cost of many of each."""

import gzip

import numpy as np
import pytest
from PIL import Image

from fer3d import formats
from fer3d.errors import ArgumentError, FormatError
from fer3d.formats import parts, vrml_header, vrml_parts
from fer3d.scan import Scan
from tests.formats.examples.wrl import COLORS, FACES, POINTS, RGBY, SQUARE, TEX_COORD, UV, face_set, shape
from tests.work import calls

TRIANGLE = "Shape { geometry IndexedFaceSet { coord Coordinate { point [ 0 0 0 1 0 0 0 1 0 ] } coordIndex [ 0 1 2 ] } }"


@pytest.fixture
def read(tmp_path):
    def read_text(text, **options):
        path = tmp_path / "a.wrl"
        path.write_bytes(text if isinstance(text, bytes) else ("#VRML V2.0 utf8\n" + text).encode())
        return formats.read(path, **options)

    return read_text


def moved(by, what):
    return f"Transform {{ translation {by} 0 0 children [ {what} ] }}"


def pixels(image, more=""):
    """A square with a PixelTexture."""
    return shape(TEX_COORD, look=f"appearance Appearance {{ texture PixelTexture {{ image {image} {more} }} }}")


def xs(scan):
    """x of the first corner of each face."""
    return scan.vertices[scan.faces[:, 0], 0].tolist()


# ---- names ----


def test_a_proto_does_not_see_the_names_outside_nor_they_its_own(read):
    scan = read(
        f"DEF a {TRIANGLE} PROTO P [ ] {{ Group {{ children [ DEF b {moved(3, TRIANGLE)} USE a ] }} }} P {{ }} USE b"
    )
    assert xs(scan) == [0, 3]
    (warning,) = scan.warnings
    assert "line 2: 2 USE were left out" not in warning
    assert "2 USE were left out, no DEF before them has their name, the first in line 2: 'a', 'b'" in warning


def test_values_of_an_instance_come_from_where_it_stands(read):
    """The geometry is named in the file and drawn in the body; IS is followed through both prototypes."""
    text = (
        "PROTO Inner [ field SFVec3f by 0 0 0 exposedField MFNode what [ ] ] "
        "{ Transform { translation IS by children IS what } } "
        "PROTO Outer [ field SFVec3f at 1 0 0 field MFNode what [ ] ] "
        "{ Group { children [ Inner { by IS at what IS what } Inner { by 9 0 0 what IS what } ] } } "
        f"DEF t {TRIANGLE} Outer {{ what USE t }} Outer {{ at 5 0 0 what [ USE t ] }}"
    )
    assert xs(read(text)) == [0, 1, 9, 5, 9]


def test_a_proto_is_a_geometry_an_appearance_or_a_texture_as_its_first_node_is(read, tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "b.png")
    text = (
        'PROTO Skin [ field MFString file "a.png" ] { ImageTexture { url IS file repeatS FALSE } } '
        "PROTO Look [ field SFNode skin NULL ] { Appearance { texture IS skin } Material { } } "
        f"PROTO Face [ field MFInt32 index [ ] ] {{ IndexedFaceSet {{ {TEX_COORD} "
        f"coord Coordinate {{ point [ {POINTS} ] }} coordIndex IS index }} }} "
        'Shape { appearance Look { skin Skin { file "b.png" } } geometry Face { index [ 0 1 2 -1 0 2 3 ] } }'
    )
    scan = read(text)
    assert scan.texture[0, 0].tolist() == [1, 2, 3]
    assert scan.wrap == ("clamp", "repeat")
    np.testing.assert_array_equal(scan.faces, FACES)
    np.testing.assert_array_equal(scan.uv, UV)
    assert scan.warnings == ()


def test_a_prototype_of_a_prototype_ends_with_its_body(read):
    scan = read(f"PROTO P [ ] {{ PROTO Q [ ] {{ {TRIANGLE} }} Q {{ }} }} P {{ }} Q {{ }}")
    assert len(scan.faces) == 1
    assert "a node was left out whose type is not known: 'Q'" in scan.warnings[0]


def test_a_prototype_of_a_body_hides_that_of_the_same_name_outside(read):
    text = (
        f"PROTO P [ ] {{ {TRIANGLE} }} PROTO Q [ ] {{ {moved(1, TRIANGLE)} }} "
        f"PROTO R [ ] {{ PROTO P [ ] {{ {moved(5, TRIANGLE)} }} Group {{ children [ P {{ }} Q {{ }} ] }} }} "
        "R { } P { }"
    )
    assert xs(read(text)) == [5, 1, 0]


def test_an_instance_that_is_used_twice_is_the_same_node(read):
    """Its points are one list, which both shapes share."""
    scan = read(
        "PROTO Points [ field MFVec3f at [ ] ] { Coordinate { point IS at } } "
        + shape(index="0 1 2", coord=f"coord DEF c Points {{ at [ {POINTS} ] }}")
        + shape(index="0 2 3", coord="coord USE c")
    )
    np.testing.assert_array_equal(scan.vertices, SQUARE)
    np.testing.assert_array_equal(scan.faces, FACES)


def test_a_prototype_without_a_body_draws_nothing(read):
    scan = read(f"PROTO Nothing [ ] {{ }} Nothing {{ }} {shape(look='appearance Nothing { }')}")
    np.testing.assert_array_equal(scan.faces, FACES)
    assert scan.warnings == ()


def test_events_of_a_script_may_be_those_of_its_prototype(read):
    script = "Script { eventIn SFBool set IS on eventOut SFBool done field SFInt32 n 1 eventOut SFInt32 m IS count }"
    body = f"{{ Group {{ children [ {script} {TRIANGLE} ] }} }}"
    text = f"PROTO P [ eventIn SFBool on eventOut SFInt32 count ] {body} P {{ }}"
    assert xs(read(text)) == [0]
    assert read(text).warnings == ()
    with pytest.raises(FormatError, match="IS names 'off', which PROTO 'P' does not declare"):
        read(text.replace("IS on", "IS off"))


def test_nodes_where_fields_should_stand_are_left_out(read):
    """With a name, by USE, or bare."""
    stray = f"DEF u {moved(3, TRIANGLE)} USE t Box {{ size 1 1 1 }}"
    scan = read(f"DEF t {TRIANGLE} Group {{ {stray} children {moved(7, TRIANGLE)} }} USE u")
    assert xs(scan) == [0, 7, 3]
    (warning,) = scan.warnings
    assert warning.endswith("3 nodes stand where fields should: they were left out, the first in line 2")


@pytest.mark.parametrize(
    ("field", "other"),
    [("solid FALSE", "solid TRUE"), ("creaseAngle 0.5", "creaseAngle 0.25"), ("normalIndex [ 0 ]", "normalIndex [ ]")],
)
def test_a_field_may_stand_twice_with_one_value(read, field, other):
    np.testing.assert_array_equal(read(shape(f"{field} {field}")).faces, FACES)
    name = field.split()[0]
    with pytest.raises(FormatError, match=f"line 2: IndexedFaceSet has a second `{name}`, and another one in line 2"):
        read(shape(f"{field} {other}"))


def test_strings_may_stand_twice(read):
    picture = 'appearance Appearance {{ texture ImageTexture {{ url "{}" url [ "b.png" ] }} }}'
    assert "'b.png' is not beside it" in read(shape(TEX_COORD, look=picture.format("b.png"))).warnings[0]
    with pytest.raises(FormatError, match="ImageTexture has a second `url`"):
        read(shape(TEX_COORD, look=picture.format("c.png")))


def test_an_empty_list_is_one_of_anything(read):
    scan = read(shape(TEX_COORD, look="appearance Appearance { texture ImageTexture { url [ ] repeatS [ ] } }"))
    np.testing.assert_array_equal(scan.uv, UV)
    assert scan.texture is None
    assert "it names no texture and none of its name lies beside it" in scan.warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("PROTO P [ field SFNode g { } ] { Group { } }", "line 2: a value of `g` was wanted"),
        ("PROTO P [ field SFInt32 n", "a value of `n` was wanted"),
        (shape(coord="coord Coordinate { point 0 0 0 1 1 1 }"), r"the 6 numbers of `point` should stand in \[ \]"),
        (shape(coord="coord Coordinate { }"), "IndexedFaceSet has a coordIndex but no points"),
        (f"Shape {{ geometry ElevationGrid {{ xDimension 2 zDimension 3 height [ 0 1 2 3 4 5 ] {TEX_COORD} }} }}",
         "ElevationGrid has 6 points, but 4 texture coordinates"),
        ("Group { children ] }", r"a value of `children` was wanted, `\]` came"),
        (shape("solid FALSE solid 1"), "IndexedFaceSet has a second `solid`"),
        (pixels("2 2"), "should begin with a width, a height and 0 to 4 components"),
        (pixels("1 1 5 0"), "should begin with a width, a height and 0 to 4 components"),
        (pixels("1 0.5 3 0"), "should begin with a width, a height and 0 to 4 components"),
        (pixels("1 1 1 256"), r"pixels of a PixelTexture of 1 components should lie in 0 \.\.\. 256\^1 - 1"),
        (pixels("1 1 3 -1"), r"should lie in 0 \.\.\. 256\^3 - 1"),
        ("PROTO P [ field SFNode g IS h ] { Group { } }", "line 2: IS stands outside the body of a PROTO"),
        ("PROTO P [ SFNode g NULL ] { Group { } }", "eventIn, eventOut, field or exposedField was wanted, `SF"),
        ("PROTO P { Group { } }", r"a `\[` was wanted after PROTO 'P', `{` came"),
        ("PROTO P [ ] Group { }", r"a `{` was wanted after the interface of PROTO 'P', `Group` came"),
        ("ROUTE a.b c.d", "a ROUTE should be `ROUTE node.event TO node.event`"),
        ("Shape { geometry Group { } }", "should be a geometry such as IndexedFaceSet, is a Group"),
        ("Group { children 5 }", "`children` of Group should be a node"),
        ("Shape { geometry [ Box { } Box { } ] }", "`geometry` of Shape should be one node, is several"),
        ("Switch { whichChoice 0.5 }", "`whichChoice` of Switch should be an integer, is 0.5"),
        ("Transform { translation 1 2x 3 }", "`2x` is not a number"),
        ("Transform { scale 1 nan 1 }", "`scale` of Transform should be 3 numbers, is '1'"),
        ("Shape { geometry ElevationGrid { xDimension 2 zDimension 2 height 7 } }", "should hold 2 x 2, holds 1"),
        ("Group { children [ 'a' ] }", "was wanted after the node type `'a'`"),
        ('"a"', "a node was wanted, a string came"),
        ("Group { [ ] }", r"a field was wanted, `\[` came"),
        ("DEF", "breaks off where a name after DEF was wanted"),
        ("Material { diffuseColor 1 2 3 } Shape { appearance Material { } " + face_set().join(("geometry ", " }")),
         "`appearance` should be a Appearance, is a Material"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(read, text, message):
    with pytest.raises(FormatError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "tail"),
    [
        (shape("ccw True solid False"), b""),
        (shape(), b"\0\0"),
        (shape(), b"\x1a"),
        (shape().replace("\n", "\r"), b""),
        ("DEF _x.y-1:z!$ " + shape() + "DEF 12_a Group { } USE 12_a", b""),
        ("Viewpoint { position 0 0 1 orientation 0 0 1 0 }" + shape("texCoord TextureCoordinate { point [ ] }"), b""),
        ("PROTO P [ ] { Box { } } Group { children NULL }" + shape(look="appearance Appearance { texture NULL }"), b""),
    ],
)
def test_what_programs_write(read, text, tail):
    scan = read(b"#VRML V2.0 utf8\n" + text.encode() + tail)
    np.testing.assert_array_equal(scan.vertices, SQUARE)
    np.testing.assert_array_equal(scan.faces, FACES)
    assert scan.warnings == ()


@pytest.mark.parametrize(
    ("colours", "message"),
    [
        ("color Color { color [ 1 0 0 ] }", "line 2: the colours of a face set were left out: colour 3 is named"),
        (f"{COLORS} colorPerVertex FALSE colorIndex [ 4 0 ]", "colour 4 is named, counted from 0, but there are 4"),
        (f"{COLORS} colorPerVertex FALSE colorIndex [ 0 ]", "should name a colour for each of 2 faces, names 1"),
        (f"{COLORS} colorPerVertex FALSE colorIndex [ -1 0 ]", "should name the colours of faces, from 0 on"),
    ],
)
def test_colours_that_do_not_fit(read, colours, message):
    scan = read(shape(colours))
    assert scan.colours is None
    assert message in scan.warnings[0]


def test_colours_above_one_are_bytes(read):
    colours = read(shape("color Color { color [ 255 0 0, 0 128 0, 0 0 1, 1 1 1.0001 ] }")).colours
    np.testing.assert_allclose(colours, [[255, 0, 0], [0, 128, 0], [0, 0, 1], [1, 1, 1.0001]])
    colours = read(shape("color Color { color [ 1.0001 0 0, 0 1 0, 0 0 1, -0.1 1 1 ] }")).colours
    np.testing.assert_array_equal(colours, [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 255, 255]])


def test_each_transform_of_a_chain_adds_its_own(read):
    text = f"DEF a0 {TRIANGLE}" + "".join(f" DEF a{k + 1} {moved(2**k, f'USE a{k}')}" for k in range(5))
    assert xs(read(text)) == [0, 1, 3, 7, 15, 31]
    deep = TRIANGLE
    for k in range(300):
        deep = f"Transform {{ translation {k % 2} 0 0 children [ {deep} ] }}"
    assert xs(read(deep)) == [sum(k % 2 for k in range(300))]


# ---- grids, points and pictures ----


def test_a_grid_of_one_row_has_no_faces(read):
    row = "Shape { geometry ElevationGrid { xDimension 3 zDimension 1 height [ 1 2 3 ] } } "
    scan = read(row + "Shape { geometry ElevationGrid { } } " + shape())
    np.testing.assert_array_equal(scan.vertices, SQUARE)
    assert scan.history[0]["face_sets"] == 1
    with pytest.raises(FormatError, match="an IndexedFaceSet with at least one face was wanted, there is none"):
        read(row)


def test_colours_of_a_grid(read):
    """One for each of two squares; vertices between them get the mean of their triangles. One is too few."""
    grid = "ElevationGrid { xDimension 3 zDimension 2 height [ 0 1 2 3 4 5 ] colorPerVertex FALSE color Color { "
    scan = read(f"Shape {{ geometry {grid} color [ 1 0 0, 0 1 0 ] }} }} }}")
    order = np.lexsort(scan.vertices.T)  # by z, then y, which rises with x
    red = np.array([255, 85, 0, 255, 170, 0])
    np.testing.assert_allclose(scan.colours[order], np.stack([red, 255 - red, 0 * red], axis=1))
    assert "vertices with several colours: their mean is taken" in scan.warnings[0]
    scan = read(f"Shape {{ geometry {grid} color [ 1 0 0 ] }} }} }}")
    assert scan.colours is None
    assert "the colours of a face set were left out: an ElevationGrid has only 1" in scan.warnings[0]


def test_a_color_that_is_used_twice(read):
    scan = read(shape(COLORS.replace("Color {", "DEF k Color {")) + moved(5, shape("color USE k")))
    np.testing.assert_array_equal(scan.colours, RGBY * 2)


def dome(more=""):
    """A PointSet: a part of a dome, 900 points."""
    x, y = (axis.ravel() for axis in np.mgrid[-1:1:30j, -1:1:30j])
    points = np.stack([x, y, 3 - (x * x + y * y) / 2], axis=1).round(4)
    listed = ", ".join("{} {} {}".format(*point) for point in points.tolist())
    return f"Shape {{ geometry PointSet {{ coord Coordinate {{ point [ {listed} ] }} {more} }} }} "


def test_the_colours_of_points_alone(read):
    """Those of the second cloud are too few, the third has no points."""
    text = dome(f"color Color {{ color [ {'1 0 0 ' * 899} 0 1 0, 0 0 1 ] }}")
    few = dome("color Color { color [ 1 0 0 ] }")
    scan = read(
        text + moved(3, few) + "Shape { geometry PointSet { } } Shape { geometry PointSet { coord Coordinate { } } }"
    )
    np.testing.assert_array_equal(scan.colours[:899], [[255, 0, 0]] * 899)
    np.testing.assert_array_equal(scan.colours[899], [0, 255, 0])
    assert len(scan.colours) > 1500 and np.isnan(scan.colours[900:]).all()
    assert "colours of a face set were left out: a PointSet has fewer colours than points" in scan.warnings[0]


def test_points_alone_are_limited(read, monkeypatch):
    monkeypatch.setattr(parts, "MOST_VERTICES", 899)
    with pytest.raises(FormatError, match="a scan has at most 899 points, it has more"):
        read(dome())


def test_pixels_that_two_appearances_use_are_one_picture(read):
    image = pixels("1 2 3 0x0000FF 0xFF0000").replace("PixelTexture", "DEF p PixelTexture")
    scan = read(image + moved(5, shape(TEX_COORD, look="appearance Appearance { texture USE p }")))
    np.testing.assert_array_equal(scan.texture, [[[255, 0, 0]], [[0, 0, 255]]])
    np.testing.assert_array_equal(scan.uv, [*UV, *UV])


@pytest.mark.parametrize("image", ["0 0 0", "0 0 3", "2 1 0 0 0", "[ ]"])
def test_pixels_of_no_size_or_components_are_no_picture(read, image):
    scan = read(pixels(image))
    assert scan.texture is None
    assert "it names no texture and none of its name lies beside it" in scan.warnings[0]
    np.testing.assert_array_equal(scan.uv, UV)


def test_a_picture_without_texture_coordinates_beside_others(read):
    """Its faces have none, and the picture is that of the others."""
    scan = read(pixels("1 1 3 0xFF0000") + moved(5, pixels("1 1 3 0x00FF00").replace(TEX_COORD, "")))
    np.testing.assert_array_equal(scan.texture, [[[255, 0, 0]]])
    np.testing.assert_array_equal(scan.uv[:4], UV)
    assert np.isnan(scan.uv[4:]).all()
    assert "a face set has a texture but no texture coordinates: its faces have no uv" in scan.warnings[0]


# ---- points that are shared ----


def test_face_sets_over_the_same_points_share_vertices_and_keep_their_looks(read, tmp_path):
    for name, colour in (("one.png", (255, 0, 0)), ("two.png", (0, 255, 0))):
        Image.new("RGB", (2, 2), colour).save(tmp_path / name)
    looks = [f'appearance Appearance {{ texture ImageTexture {{ url "{name}.png" }} }}' for name in ("one", "two")]
    scan = read(
        shape(TEX_COORD, "0 1 2", looks[0], f"coord DEF c Coordinate {{ point [ {POINTS} ] }}")
        + shape(f"{TEX_COORD} texCoordIndex [ 3 2 1 ]", "0 2 3", looks[1], "coord USE c")
    )
    corners = scan.file_vertex if scan.file_vertex is not None else np.arange(4)
    np.testing.assert_array_equal(corners[scan.faces], FACES)
    assert scan.history[0]["vertices"] == 4
    height, width, _ = scan.texture.shape
    u, v = np.moveaxis(scan.uv[scan.faces].mean(axis=1), -1, 0)
    seen = scan.texture[((1 - v) * height).astype(int), (u * width).astype(int)]
    np.testing.assert_array_equal(seen, [[255, 0, 0], [0, 255, 0]])


def test_colours_of_shared_points(read):
    coord = f"coord DEF c Coordinate {{ point [ {POINTS} ] }}"
    scan = read(shape(COLORS, "0 1 2", coord=coord) + shape(coord="coord USE c", index="0 2 3"))
    np.testing.assert_array_equal(scan.colours, [*RGBY[:3], [np.nan] * 3])
    scan = read(shape(COLORS) + moved(5, shape().replace("Shape", "DEF x Shape")) + moved(9, "USE x"))
    np.testing.assert_array_equal(scan.colours[:4], RGBY)
    assert np.isnan(scan.colours[4:]).all()


def test_a_list_of_points_that_is_used_elsewhere_gives_the_points_of_the_faces_only(read):
    first = shape(coord=f"coord DEF c Coordinate {{ point [ {POINTS} ] }}")
    scan = read(TRIANGLE + first + moved(10, shape(TEX_COORD, "1 2 3", coord="coord USE c")))
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 3, 4, 5, 6, 4, 5, 6])
    np.testing.assert_array_equal(scan.vertices[7:], SQUARE[1:] + np.array([10, 0, 0]))
    np.testing.assert_array_equal(scan.uv[7:], UV[1:])
    assert np.isnan(scan.uv[:7]).all()


def test_the_same_shape_twice_at_one_place_is_drawn_twice(read):
    scan = read(f"DEF s {shape()} USE s")
    np.testing.assert_array_equal(scan.faces, [*FACES, [4, 5, 6], [4, 6, 7]])


def test_points_are_placed_in_double_precision(read):
    """Far from the origin, float32 has steps of half a metre."""
    text = shape().replace("0.25", "5000000.25").replace("0.125", "5000000.125").replace("0 0 0.5", "0 0 5000000.5")
    scan = read(f"Transform {{ translation 0 0 1e6 children {text.replace('3 -1', '3 4999999')} }}")
    back = np.linalg.inv(scan.placement)
    placed = scan.vertices.astype(np.float64) + back[:3, 3]
    np.testing.assert_allclose(placed, SQUARE.astype(np.float64) + np.array([0, 0, 6e6]), atol=1e-6)


# ---- polygons with a dent ----


def areas(points, faces):
    a, b, c = (points[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)[:, 2] / 2


def test_texture_coordinates_and_colours_follow_the_ears(read):
    dent = "coord Coordinate { point [ 0 0 0, 4 0 0, 4 4 0, 3 1 0 ] }"
    scan = read(shape(f"{TEX_COORD} {COLORS} texCoordIndex [ 3 2 1 0 ] colorIndex [ 3 2 1 0 ]", "0 1 2 3", coord=dent))
    np.testing.assert_array_equal(scan.uv, UV[::-1])
    np.testing.assert_array_equal(scan.colours, RGBY[::-1])
    assert (areas(scan.vertices.astype(float), scan.faces) > 0).all()


@pytest.mark.parametrize(("corners", "warnings"), [(1000, 0), (1002, 1)])
def test_a_large_polygon_with_dents(read, corners, warnings):
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = np.where(np.arange(corners) % 2, 1.0, 2.0)
    points = " ".join(f"{x:.6f} {y:.6f} 0" for x, y in zip(radius * np.cos(angle), radius * np.sin(angle), strict=True))
    index = " ".join(map(str, range(corners)))
    scan = read(shape(index=index, coord=f"coord Coordinate {{ point [ {points} ] }}"))
    assert len(scan.faces) == corners - 2
    assert [("more than 1000 corners and a dent" in warning) for warning in scan.warnings] == [True] * warnings
    assert ((areas(scan.vertices.astype(float), scan.faces) > -1e-9).all()) == (not warnings)


# ---- limits and cost ----


def test_a_small_file_does_not_draw_millions(read, monkeypatch):
    monkeypatch.setattr(vrml_parts, "MOST_VERTICES", 100)
    text = f"DEF s {shape()}" + "".join(moved(k, "USE s") for k in range(30))
    with pytest.raises(FormatError, match=r"a scan has at most 100 vertices and 200 faces, with USE it has more"):
        read(text)


def test_prototypes_that_double_60_times_are_refused(read):
    text = "PROTO P0 [ field SFVec3f t 0 0 0 ] { Transform { translation IS t } } "
    for k in range(60):
        double = f"P{k} {{ t IS t }} P{k} {{ t IS t }}"
        text += f"PROTO P{k + 1} [ field SFVec3f t 0 0 0 ] {{ Group {{ children [ {double} ] }} }} "
    with pytest.raises(FormatError, match="a file draws at most 50000 instances of PROTO"):
        read(text + "P60 { }")


def test_a_packed_file_unpacks_within_a_limit(read, monkeypatch):
    packed = gzip.compress(b"#VRML V2.0 utf8\n" + shape().encode())
    assert len(read(packed).faces) == 2
    monkeypatch.setattr(vrml_header, "MAX_UNPACKED", 100)
    with pytest.raises(FormatError, match="unpacks to more than 100 bytes"):
        read(packed)
    with pytest.raises(FormatError, match="its gzip stream is damaged"):
        read(packed[:-20])


def _nested(n):
    chain = "DEF a0 " + TRIANGLE + "".join(f" DEF a{k + 1} {moved(1, f'USE a{k}')}" for k in range(n))
    return f"Switch {{ choice [ {chain} ] }} USE a{n}"


MANY = {
    "Inline": lambda n: TRIANGLE + 'Inline { url "b.wrl" } ' * n,
    "USE of a shape": lambda n: f"DEF s {TRIANGLE}" + f" {moved(3, 'USE s')}" * n,
    "USE of nothing": lambda n: TRIANGLE + "".join(f" USE x{k}" for k in range(n)),
    "unknown nodes": lambda n: TRIANGLE + "".join(f" X{k} {{ }}" for k in range(n)),
    "unknown fields": lambda n: TRIANGLE + "Group { " + "".join(f" x{k} 1" for k in range(n)) + " }",
    "Transforms in Transforms by USE": _nested,
    "Transforms by USE that are all drawn": lambda n: (
        "DEF a0 " + TRIANGLE + "".join(f" DEF a{k + 1} {moved(1, f'USE a{k}')}" for k in range(n))
    ),
    "Transforms in Transforms": lambda n: TRIANGLE + moved(1, moved(1, moved(1, TRIANGLE))) * n,
    "shapes": lambda n: TRIANGLE * n,
    "shapes over one list of points": lambda n: (
        "DEF s Shape { geometry IndexedFaceSet { coord DEF c Coordinate { point [ "
        + "0 0 0 1 0 0 0 1 0 " * n
        + "] } coordIndex [ 0 1 2 ] } } "
        + "Shape { geometry IndexedFaceSet { coord USE c coordIndex [ 0 1 2 ] } } " * n
        + moved(1, "Shape { geometry IndexedFaceSet { coord USE c coordIndex [ 0 1 2 ] } } ") * n
    ),
    "prototypes": lambda n: "".join(f"PROTO P{k} [ ] {{ {TRIANGLE} }} P{k} {{ }} " for k in range(n)),
    "instances": lambda n: (
        f"PROTO P [ field SFVec3f t 0 0 0 ] {{ Transform {{ translation IS t children {TRIANGLE} }} }}"
        + " P { t 1 0 0 }" * n
    ),
    "prototypes that use the one before": lambda n: (
        f"PROTO P0 [ field SFVec3f t 0 0 0 ] {{ Transform {{ translation IS t children {TRIANGLE} }} }} "
        + "".join(f"PROTO P{k + 1} [ field SFVec3f t 0 0 0 ] {{ P{k} {{ t IS t }} }} " for k in range(n))
        + f"P{n} {{ t 4 0 0 }}"
    ),
    "DEF of one name": lambda n: f"DEF a {TRIANGLE} " * n,
    "comments": lambda n: "# a\n" * n + TRIANGLE,
    "strings": lambda n: TRIANGLE + "WorldInfo { info [ " + '"a" ' * n + "] }",
    "routes": lambda n: TRIANGLE + " ROUTE a.b TO c.d" * n,
    "polygons with a dent": lambda n: (
        "Shape { geometry IndexedFaceSet { coord Coordinate { point [ 0 0 0, 4 0 0, 4 4 0, 3 1 0 ] } coordIndex [ "
        + "0 1 2 3 -1 " * n
        + "] } }"
    ),
    "colours left out": lambda n: shape(f"{COLORS} colorIndex [ 0 1 2 3 -1 ]") * n,
}


@pytest.mark.parametrize("what", MANY)
def test_ten_times_as_many_cost_ten_times_as_much(read, what):
    small, large = (MANY[what](n) for n in (60, 600))
    read(small)
    assert calls(lambda: read(large)) <= 11 * calls(lambda: read(small))


def test_many_warnings_of_one_kind_are_one(read):
    scan = read(TRIANGLE + "\n" + "".join(f'Inline {{ url "{k}.wrl" }}\n' for k in range(1000)))
    (warning,) = scan.warnings
    assert "1000 Inline nodes were not followed, the first in line 3: '0.wrl'" in warning
    assert warning.endswith("'7.wrl', 992 more")
    assert len(warning) < 400


# ---- writing ----


def test_colours_of_eight_bits_read_back_exactly(tmp_path):
    rng = np.random.default_rng(3)
    colours = rng.integers(0, 256, (256, 3)).astype(np.float32)
    colours[:, 0] = np.arange(256)
    scan = Scan.of(rng.normal(size=(256, 3)), rng.integers(0, 256, (40, 3)), colours=colours)
    formats.write(scan, tmp_path / "a.wrl")
    np.testing.assert_array_equal(formats.read(tmp_path / "a.wrl").colours, colours)


def test_an_unknown_colour_is_written_as_grey(tmp_path):
    colours = np.array([[1, 2, 3], [np.nan] * 3, [4, 5, 6], [7, 8, 9]], np.float32)
    formats.write(Scan.of(SQUARE, FACES, colours=colours), tmp_path / "a.wrl")
    np.testing.assert_array_equal(
        formats.read(tmp_path / "a.wrl").colours, [[1, 2, 3], [204] * 3, [4, 5, 6], [7, 8, 9]]
    )


def test_a_wrz_file_is_packed(tmp_path):
    formats.write(Scan.of(SQUARE, FACES, uv=UV, texture=np.zeros((1, 2, 3), np.uint8)), tmp_path / "a.wrz")
    assert (tmp_path / "a.wrz").read_bytes().startswith(b"\x1f\x8b")
    scan = formats.read(tmp_path / "a.wrz")
    np.testing.assert_array_equal(scan.vertices, SQUARE)
    assert scan.texture.shape == (1, 2, 3)
    assert scan.warnings == ()


def test_the_way_a_texture_continues_is_written(tmp_path):
    texture = np.zeros((2, 3, 3), np.uint8)
    scan = Scan.of(SQUARE, FACES, uv=UV * 3, texture=texture, wrap=("repeat", "clamp"))
    formats.write(scan, tmp_path / "a.wrl")
    assert formats.read(tmp_path / "a.wrl").wrap == ("repeat", "clamp")
    with pytest.raises(ArgumentError, match="VRML cannot mirror a texture outside"):
        formats.write(Scan.of(SQUARE, FACES, uv=UV * 3, texture=texture, wrap=("mirror", "clamp")), tmp_path / "b.wrl")
    assert not (tmp_path / "b.png").exists()
    formats.write(Scan.of(SQUARE, FACES, uv=UV, texture=texture, wrap=("mirror", "clamp")), tmp_path / "b.wrl")
    np.testing.assert_array_equal(formats.read(tmp_path / "b.wrl").uv, UV)
