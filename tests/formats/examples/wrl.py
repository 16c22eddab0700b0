"""VRML 2.0."""

import gzip
import io

import numpy as np
from PIL import Image

from tests.formats.examples import Example

# Lopsided on purpose: no two numbers agree.
POINTS = "0 0 0.5, 2 0 0.25, 2 3 -1, 0 3 0.125"
SQUARE = np.array([[0, 0, 0.5], [2, 0, 0.25], [2, 3, -1], [0, 3, 0.125]], np.float32)
UV = np.array([[0.1, 0.2], [0.9, 0.25], [0.8, 0.7], [0.05, 0.6]], np.float32)
INDEX = "0, 1, 2, -1, 0, 2, 3, -1"
FACES = [[0, 1, 2], [0, 2, 3]]
TEX_COORD = "texCoord TextureCoordinate { point [ 0.1 0.2, 0.9 0.25, 0.8 0.7, 0.05 0.6 ] }"
COORD = f"coord Coordinate {{ point [ {POINTS} ] }} "
COLORS = "color Color { color [ 1 0 0, 0 1 0, 0 0 1, 1 1 0 ] }"
RGBY = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]


def face_set(rest="", index=INDEX, coord=COORD):
    return f"IndexedFaceSet {{ {rest} {coord} coordIndex [ {index} ] }}"


def shape(rest="", index=INDEX, look="", coord=COORD):
    return f"Shape {{ {look} geometry {face_set(rest, index, coord)} }}\n"


def _wrl(body, header="#VRML V2.0 utf8\n"):
    return (header + body).encode()


def _png(*pixels, size):
    content = io.BytesIO()
    picture = Image.new("RGB", size)
    picture.putdata(pixels)
    picture.save(content, format="PNG")
    return content.getvalue()


RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
QUAD = _png(RED, GREEN, BLUE, WHITE, size=(2, 2))


def _mesh(vertices=SQUARE, faces=FACES, uv=None, colours=None, image=None, wrap=("repeat", "repeat")):
    """A check of everything that a scan shows."""

    def check(scan):
        np.testing.assert_allclose(scan.vertices, vertices, atol=1e-6)
        np.testing.assert_array_equal(scan.faces, faces)
        assert (scan.uv is None) == (uv is None)
        if uv is not None:
            np.testing.assert_allclose(scan.uv, uv, atol=1e-6)
        assert (scan.colours is None) == (colours is None)
        if colours is not None:
            np.testing.assert_allclose(scan.colours, colours, atol=1e-4)
        assert (scan.texture is None) == (image is None)
        if image is not None:
            np.testing.assert_array_equal(scan.texture, image)
        assert scan.wrap == wrap

    return check


PIXELS = np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8)
TWICE = [*FACES, [4, 5, 6], [4, 6, 7]]
MOVED = np.concatenate([SQUARE, SQUARE + np.float32([5, 0, 0])])


def _textured(texture='ImageTexture { url "skin.png" }', more="", uv=TEX_COORD):
    return _wrl(shape(uv, look=f"appearance Appearance {{ texture {texture} {more} }}"))


def _example(body, check=None, beside=None):
    return Example("a.wrl", body if isinstance(body, bytes) else _wrl(body), beside or {}, check or _mesh())


def _skin(content, uv=UV, **options):
    return Example("a.wrl", content, {"skin.png": QUAD}, _mesh(uv=uv, **({"image": PIXELS} | options)))


def _warned(body, **options):
    return _example(shape() + body, _mesh(**options))


_DENT = "point [ 0 0 0, 4 0 0, 4 4 0, 3 1 0 ]"  # a fan from the first corner leaves the polygon


def _dent(scan):
    a, b, c = (scan.vertices[scan.faces[:, k]].astype(float) for k in range(3))
    areas = np.cross(b - a, c - a)[:, 2] / 2
    assert (areas > 0).all()
    np.testing.assert_allclose(areas.sum(), 4.0)  # shoelace: (0 + 16 + (4 - 12) + 0) / 2


_GRID = "xDimension 3 zDimension 2 xSpacing 2 zSpacing 5 height [ 0 1 2 3 4 5 ]"
_GRID_COLOURS = "1 0 0 0 1 0 0 0 1 1 1 0 1 1 1 0 0 0"
_GRID_POINTS = [[0, 0, 0], [2, 1, 0], [4, 2, 0], [0, 3, 5], [2, 4, 5], [4, 5, 5]]
_GRID_FACES = [[0, 3, 4], [0, 4, 1], [1, 4, 5], [1, 5, 2]]
_GRID_UV = [[0, 0], [0.5, 0], [1, 0], [0, 1], [0.5, 1], [1, 1]]

EXAMPLES = {
    "#VRML V2.0 utf8": _example(shape()),
    "a byte order mark": _example(_wrl(shape(), "\ufeff#VRML V2.0 utf8\r\n")),
    "gzip": _example(gzip.compress(_wrl(shape()), mtime=0)),
    ".wrz": Example("a.wrz", gzip.compress(_wrl(shape()), mtime=0), check=_mesh()),
    "VRML 1.0": _example(b"#VRML V1.0 ascii\nSeparator { }\n"),
    "X3D": _example(b"#X3D V3.2 utf8\nPROFILE Interchange\n"),
    "comments, commas, blanks": _example(shape(index="0 1,2,,-1#]}\n0\t2 3 -1 # end\n")),
    "strings with escapes, over several lines": _warned('WorldInfo { title "a \\" } [ \\\\" info [ "x\ny", "z" ] }'),
    "numbers: +1, 1., .5, 1e-1, 0x0F": _example(
        shape(
            coord="coord Coordinate { point [ 0. 0 +.5, 2 0 25e-2, 2 3 -1, 0 3 0.125 ] }", index="0x0 1 0x02 -1 0 2 3"
        )
    ),
    "a list of one value without brackets": _example(
        f"Group {{ children {shape('solid TRUE', look='appearance NULL')} }}"
    ),
    "IndexedFaceSet": _example(shape(index="0 1 2 3 -1")),
    "convex FALSE, polygons with a dent": _example(
        shape("convex FALSE", index="0 1 2 3", coord=f"coord Coordinate {{ {_DENT} }}"), _dent
    ),
    "a polygon that crosses itself": _example(
        shape(index="0 1 2 3", coord="coord Coordinate { point [ 0 0 0, 2 2 0, 2 0 0, 0 1 0 ] }"),
        lambda scan: np.testing.assert_array_equal(scan.faces, FACES),
    ),
    "ccw FALSE": _example(shape("ccw FALSE"), _mesh(faces=[[2, 1, 0], [3, 2, 0]])),
    "creaseAngle, solid, normal, normalIndex, normalPerVertex": _example(
        shape(
            "creaseAngle 1 solid FALSE normalPerVertex TRUE normal Normal { vector [ 0 0 1 ] } normalIndex [ 0 0 0 -1 ]"
        )
    ),
    "texCoord": _skin(_textured()),
    "texCoordIndex": _skin(_textured(uv=f"{TEX_COORD} texCoordIndex [ 3 1 2 -1 3 2 0 -1 ]"), uv=UV[[3, 1, 2, 0]]),
    "a texture without texCoord": Example("a.wrl", _textured(uv=""), {"skin.png": QUAD}, _mesh()),
    "texCoordIndex unlike coordIndex": _example(shape(f"{TEX_COORD} texCoordIndex [ 0 1 2 3 -1 ]")),
    "a texCoordIndex without texCoord": _example(shape("texCoordIndex [ 0 1 2 -1 0 2 3 -1 ]")),
    "an index without a point": _example(shape(index="0 1 4 -1")),
    "a polygon of two corners": _example(shape(index="0 1 -1")),
    "Color at vertices": _example(shape(COLORS), _mesh(colours=RGBY)),
    "colorIndex": _example(shape(f"{COLORS} colorIndex [ 3 2 1 -1 3 1 0 -1 ]"), _mesh(colours=RGBY[::-1])),
    "colorPerVertex FALSE": _example(
        shape(f"{COLORS} colorPerVertex FALSE colorIndex [ 2 2 ]"), _mesh(colours=[[0, 0, 255]] * 4)
    ),
    "several colours at a vertex": _example(
        shape(f"{COLORS} colorPerVertex FALSE"),
        _mesh(colours=[[127.5, 127.5, 0], [255, 0, 0], [127.5, 127.5, 0], [0, 255, 0]]),
    ),
    "colours that do not fit": _example(shape(f"{COLORS} colorIndex [ 0 1 2 3 -1 ]")),
    "ElevationGrid": _example(
        f"Shape {{ geometry ElevationGrid {{ {_GRID} color Color {{ color [ {_GRID_COLOURS} ] }} }} }}",
        _mesh(_GRID_POINTS, _GRID_FACES, colours=[*RGBY, WHITE, (0, 0, 0)]),
    ),
    "ElevationGrid with a texture": Example(
        "a.wrl",
        _wrl(
            'Shape { appearance Appearance { texture ImageTexture { url "skin.png" } } geometry ElevationGrid { '
            f"{_GRID} }} }}"
        ),
        {"skin.png": QUAD},
        _mesh(_GRID_POINTS, _GRID_FACES, _GRID_UV, image=PIXELS),
    ),
    "Box, Cone, Cylinder, Sphere, Extrusion, Text": _warned(
        "Shape { geometry Box { size 1 2 3 } } Shape { geometry Sphere { } } Shape { geometry Cone { } }"
        ' Shape { geometry Cylinder { } } Shape { geometry Extrusion { } } Shape { geometry Text { string "a" } }'
    ),
    "IndexedLineSet": _warned(f"Shape {{ geometry IndexedLineSet {{ {COORD} coordIndex [ 0 1 -1 2 3 -1 ] }} }}"),
    "PointSet beside faces": _warned(f"Shape {{ geometry PointSet {{ {COORD} }} }}"),
    "no face": _example("Shape { geometry Box { } }"),
    "Group, Anchor, Billboard, Collision": _example(
        f'Anchor {{ url "http://x/" children [ Billboard {{ children Collision {{ proxy {shape()} children Group {{ '
        f"bboxSize 2 3 4 children [ {shape()} ] }} }} }} ] }}"
    ),
    "Transform": _example(
        "Transform { translation 10 0 0 children Transform { center 1 2 3 rotation 0 0 2 1.5707963267948966 "
        f"scale 1 2 3 scaleOrientation 0 0 1 0 children {shape()} }} }}",
        _mesh(np.stack([15 - 2 * SQUARE[:, 1], 1 + SQUARE[:, 0], 3 * SQUARE[:, 2] - 6], 1)),
    ),
    "a Transform that mirrors": _example(
        f"Transform {{ scale -1 1 1 children {shape()} }}", _mesh(SQUARE * [-1, 1, 1], [[2, 1, 0], [3, 2, 0]])
    ),
    "Switch": _example(
        f"Switch {{ choice {shape(index='0 1 2')} }} Switch {{ whichChoice 1 choice [ Group {{ }} {shape()} ] }}"
    ),
    "LOD": _example(f"LOD {{ range [ 5 ] level [ {shape()} {shape(index='0 1 2')} ] }}"),
    "Inline": _warned('Inline { url "b.wrl" } Inline { url [ "c.wrl" ] }'),
    "a geometry outside a Shape": _example(face_set()),
    "Material": _example(shape(look="appearance Appearance { material Material { diffuseColor 1 0 0 } }")),
    "Material of several colours": _example(
        "".join(
            shape(look=f"appearance Appearance {{ material Material {{ diffuseColor {c} }} }}")
            for c in ("1 0 0", "0 1 0")
        ),
        _mesh([*SQUARE, *SQUARE], TWICE, colours=[RED] * 4 + [GREEN] * 4),
    ),
    "ImageTexture": _skin(_textured('ImageTexture { url [ "none.png" "skin.png" ] }')),
    "several textures": Example(
        "a.wrl",
        _wrl(
            "".join(
                shape(TEX_COORD, look=f'appearance Appearance {{ texture ImageTexture {{ url "{url}" }} }}')
                for url in ("skin.png", "red.png")
            )
        ),
        {"skin.png": QUAD, "red.png": _png(RED, size=(1, 1))},
        lambda scan: np.testing.assert_array_equal(scan.wrap, ("clamp", "clamp")),
    ),
    "a missing picture": _example(_textured(), _mesh(uv=UV)),
    "repeatS, repeatT": _skin(_textured('ImageTexture { url "skin.png" repeatS FALSE }'), wrap=("clamp", "repeat")),
    "PixelTexture": _example(
        _textured("PixelTexture { image 2 2 3 0x0000FF 0xFFFFFF 0xFF0000 0x00FF00 repeatT FALSE }"),
        _mesh(uv=UV, image=PIXELS, wrap=("repeat", "clamp")),
    ),
    "PixelTexture of grey and alpha": _example(
        _textured("PixelTexture { image 1 2 2 0x40FF 0x8000 }"), _mesh(uv=UV, image=[[[128] * 3], [[64] * 3]])
    ),
    "a PixelTexture of other sizes": _example(_textured("PixelTexture { image 2 2 1 7 7 7 }")),
    "MovieTexture": _example(shape(look='appearance Appearance { texture MovieTexture { url "a.mpg" } }')),
    "TextureTransform": _skin(
        _textured(
            more="textureTransform TextureTransform { center 0.5 1.5 rotation 1.5707963267948966 scale 2 2 "
            "translation 0.25 -1.5 }"
        ),
        # translate and centre: (u + 0.75, v), a quarter turn: (-v, u + 0.75), scale, centre back
        uv=np.stack([-2 * UV[:, 1] - 0.5, 2 * (UV[:, 0] + 0.75) - 1.5], 1),
    ),
    "DEF, USE of a Shape": _example(
        f"DEF s {shape()} Transform {{ translation 5 0 0 children USE s }}", _mesh(MOVED, TWICE)
    ),
    "USE of coordinates": _example(
        shape(coord=f"coord DEF c Coordinate {{ point [ {POINTS} ] }}", index="0 1 2")
        + shape(coord="coord USE c", index="0 2 3")
    ),
    "USE of the latest DEF": _example(
        f"DEF s {shape(index='0 1 2')} DEF s {shape()} Switch {{ whichChoice 0 choice USE s }}",
        _mesh([*SQUARE, *SQUARE, *SQUARE], [[0, 1, 2], [4, 5, 6], [4, 6, 7], [8, 9, 10], [8, 10, 11]]),
    ),
    "USE without a DEF": _warned("Group { children [ USE nobody ] }"),
    "USE inside its own DEF": _example(f"DEF a Group {{ children [ {shape()} USE a ] }}"),
    "USE in a Script of its own DEF": _example(
        f'DEF a Group {{ children [ {shape()} Script {{ field SFNode up USE a url "javascript:" }} ] }}'
    ),
    "too many nodes by USE": _example(
        "DEF a0 Group { } "
        + "".join(f"DEF a{i + 1} Group {{ children [ USE a{i} USE a{i} ] }} " for i in range(60))
        + shape()
    ),
    "PROTO": _example(
        "PROTO Moved [ exposedField SFVec3f by 1 0 0 field MFNode what [ ] eventIn SFTime go ] "
        "{ Transform { translation IS by children IS what } Group { children [ Shape { geometry Box { } } ] } } "
        f"Moved {{ what {shape()} by 0 0 0 }} Moved {{ by 5 0 0 what {shape()} }}",
        _mesh(MOVED, TWICE),
    ),
    "PROTO without an instance": _warned(f"PROTO Unused [ ] {{ {shape()} }}"),
    "a PROTO in a PROTO": _example(
        f"PROTO Outer [ field SFNode g NULL ] {{ PROTO Inner [ field SFNode h NULL ] {{ Shape {{ geometry IS h }} }} "
        f"Inner {{ h IS g }} }} Outer {{ g {face_set()} }}"
    ),
    "a PROTO that contains itself": _example("PROTO P [ ] { Group { children P { } } } P { }"),
    "IS of an undeclared name": _example("PROTO P [ ] { Shape { geometry IS g } } P { }"),
    "EXTERNPROTO": _warned('EXTERNPROTO Far [ field SFFloat x eventOut SFBool y ] [ "far.wrl#Far" ] Far { x 1 }'),
    "an unknown node": _warned("NurbsSurface { uDimension 4 controlPoint [ 0 0 0 ] }"),
    "an unknown field": _example(shape("smooth TRUE")),
    "a field twice": _example(shape(f"coordIndex [ 0 1 2 ] {TEX_COORD}")),
    "a field of another type": _example("Switch { whichChoice TRUE }"),
    "a node without a field": _example(f"Shape {{ geometry {face_set()} Group {{ }} }}"),
    "Script, sensors, interpolators, lights, sounds, Viewpoint, Background, Fog, WorldInfo, NavigationInfo": _warned(
        'Script { directOutput TRUE field MFFloat x [ 1 2 ] eventOut SFFloat y url "javascript: f()" } '
        "DEF t TimeSensor { loop TRUE } PositionInterpolator { key [ 0 1 ] keyValue [ 0 0 0 1 1 1 ] } "
        'DirectionalLight { direction 0 0 -1 } Sound { source AudioClip { url "a.wav" } } Viewpoint { position 0 0 9 } '
        'Background { skyColor [ 0 0 1 ] } Fog { } NavigationInfo { type "EXAMINE" } WorldInfo { title "a" }'
    ),
    "ROUTE": _warned("DEF t TimeSensor { } DEF u TimeSensor { } ROUTE t.isActive TO u.enabled"),
    "the end inside a node": _example(_wrl(shape())[:-4]),
    "brackets deeper than 1000": _example("Group { children [ " * 600),
    "nan and inf": _example(
        shape(coord="coord Coordinate { point [ nan 0 0.5, 2 -inf 0.25, 2 3 -1, 0 3 0.125 ] }"),
        _mesh([[np.nan, 0, 0.5], [2, -np.inf, 0.25], *SQUARE[2:]]),
    ),
}
