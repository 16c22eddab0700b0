"""Files for `bm_formats.py`: a simulated face in each format, and files of many small constructs.

Nothing here uses the writers of fer3d, so that a stored time always belongs to the same bytes.
"""

import json
import struct
import tempfile
from pathlib import Path

import numpy as np

PITCH = 0.92  # mm between range samples: about 35,000 vertices


def face():
    """Vertices (V, 3) float64, faces (F, 3), uv (V, 2) of a simulated face."""
    from fer3d import formats, synth

    with tempfile.TemporaryDirectory() as name:
        synth.make(Path(name), layout="bu3dfe", subjects=1, seed=1, workers=1, pitch=PITCH)
        scan = formats.read(min(Path(name).rglob("*_F3D.wrl")), texture=False)
    return scan.vertices.astype(np.float64), scan.faces, scan.uv


def face_files(vertices, faces, uv):
    """Name of the format -> suffix and bytes."""
    v, t = rows("%.6f %.6f %.6f", vertices), rows("%.6f %.6f", uv)
    triangles = rows("3 %d %d %d", faces)
    float_rows, int_rows = vertices.astype("<f4"), faces.astype("<i4")
    head = ["ply", "format {} 1.0", f"element vertex {len(v)}", *(f"property float {x}" for x in "xyz")]
    tail = [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    corner = ["property list uchar float texcoord"]
    stl = np.zeros(len(faces), [("n", "<f4", 3), ("v", "<f4", (3, 3)), ("a", "<u2")])
    stl["v"] = float_rows[faces]
    return {
        "wrl": (".wrl", vrml(v, faces, t)),
        "obj": (".obj", text([f"v {x}" for x in v] + [f"vt {x}" for x in t] + obj_faces(faces))),
        "ply, text": (".ply", text(ply_head(head, tail, "ascii") + v + triangles)),
        "ply, binary": (".ply", text(ply_head(head, tail, "binary_little_endian")) + ply_body(float_rows, int_rows)),
        "ply, text, uv at corners": (
            ".ply",
            text(ply_head(head, tail + corner, "ascii") + v + with_corners(triangles, uv[faces])),
        ),
        "ply, binary, uv at corners": (
            ".ply",
            text(ply_head(head, tail + corner, "binary_little_endian"))
            + ply_body(float_rows, int_rows, uv[faces].astype("<f4").reshape(-1, 6)),
        ),
        "stl, text": (".stl", text(["solid face", *stl_facets(vertices[faces]), "endsolid face"])),
        "stl, binary": (".stl", b"face".ljust(80) + struct.pack("<I", len(faces)) + stl.tobytes()),
        "off": (".off", text(["OFF", f"{len(v)} {len(faces)} 0", *v, *triangles])),
        "glb": (".glb", glb(float_rows, faces, uv)),
    }


def text(lines):
    """Lines as bytes."""
    return ("\n".join(lines) + "\n").encode()


def rows(form, array):
    """One text for each row of an array."""
    return [form % tuple(row) for row in array.tolist()]


def obj_faces(faces):
    """Lines `f i/i j/j k/k`."""
    return rows("f %d/%d %d/%d %d/%d", np.repeat(faces + 1, 2, axis=1))


def ply_head(head, tail, form):
    """Lines of a header."""
    return [line.format(form) for line in head] + tail + ["end_header"]


def ply_body(vertices, faces, corners=None):
    """Binary rows of vertices and faces."""
    fields = [("n", "u1"), ("f", "<i4", 3)] + ([] if corners is None else [("m", "u1"), ("t", "<f4", 6)])
    out = np.zeros(len(faces), fields)
    out["n"], out["f"] = 3, faces
    if corners is not None:
        out["m"], out["t"] = 6, corners
    return vertices.tobytes() + out.tobytes()


def with_corners(triangles, corners):
    """Lines of faces with a list of six texture coordinates behind each."""
    lists = rows("6 %.6f %.6f %.6f %.6f %.6f %.6f", corners.reshape(-1, 6))
    return [f"{a} {b}" for a, b in zip(triangles, lists, strict=True)]


def stl_facets(corners):
    """Lines of the facets of a text STL file."""
    form = "facet normal 0 0 1\nouter loop\n" + 3 * "vertex %.6f %.6f %.6f\n" + "endloop\nendfacet"
    return rows(form, corners.reshape(-1, 9))


def vrml(v, faces, t):
    """A VRML 2.0 file with texture coordinates."""
    index = ", ".join(rows("%d, %d, %d, -1", faces))
    body = (
        f"coord Coordinate {{ point [ {', '.join(v)} ] }} coordIndex [ {index} ] "
        f"texCoord TextureCoordinate {{ point [ {', '.join(t)} ] }} texCoordIndex [ {index} ]"
    )
    return f"#VRML V2.0 utf8\nShape {{ geometry IndexedFaceSet {{ {body} }} }}\n".encode()


def glb(vertices, faces, uv):
    """A binary glTF file with one primitive."""
    parts = [vertices.tobytes(), faces.astype("<u4").tobytes(), uv.astype("<f4").tobytes()]
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    tree = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "indices": 1}]}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "type": "VEC3",
                "count": len(vertices),
                "min": vertices.min(0).tolist(),
                "max": vertices.max(0).tolist(),
            },
            {"bufferView": 1, "componentType": 5125, "type": "SCALAR", "count": faces.size},
            {"bufferView": 2, "componentType": 5126, "type": "VEC2", "count": len(uv)},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": a, "byteLength": len(p)} for a, p in zip(starts, parts, strict=False)
        ],
        "buffers": [{"byteLength": starts[-1]}],
    }
    return packed(tree, b"".join(parts))


def packed(tree, binary):
    """JSON and buffer as a .glb file."""
    words = json.dumps(tree).encode()
    words += b" " * (-len(words) % 4)
    binary += b"\0" * (-len(binary) % 4)
    size = 12 + 8 + len(words) + 8 + len(binary)
    head = struct.pack("<4sIIII", b"glTF", 2, size, len(words), 0x4E4F534A)
    return head + words + struct.pack("<II", len(binary), 0x004E4942) + binary


# ---- many of one construct: name -> suffix, number, function of the number ----

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
SHAPE = (
    "Shape { geometry IndexedFaceSet { coord Coordinate { point [ 0 0 0, 1 0 0, 0 1 0 ] } coordIndex [ 0 1 2 -1 ] } }"
)
VRML = "#VRML V2.0 utf8\n"
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], "<f4")
STRIP = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"


def _strips(n):
    body = "0 0 0\n1 0 0\n0 1 0\n1 1 0\n" + "4 0 1 2 3\n" * n
    return f"{STRIP}element tristrips {n}\nproperty list int int vertex_indices\nend_header\n{body}".encode()


def _one_strip(n):
    body = "0 0 0\n1 0 0\n0 1 0\n1 1 0\n" + f"{5 * n} " + "0 1 2 3 -1 " * n
    return f"{STRIP}element tristrips 1\nproperty list int int vertex_indices\nend_header\n{body}\n".encode()


def _ply_polygons(n):
    body = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n" + "4 0 1 2 3\n3 0 1 2\n" * (n // 2)
    head = f"{STRIP}element face {n // 2 * 2}\nproperty list uchar int vertex_indices\nend_header\n"
    return (head + body).encode()


def _ply_elements(n):
    extra = "".join(f"element extra{i} 1\nproperty int a\n" for i in range(n))
    faces = "element face 1\nproperty list uchar int vertex_indices\n"
    body = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n" + "7\n" * n
    return f"{STRIP}{faces}{extra}end_header\n{body}".encode()


def _ply_comments(n):
    faces = "element face 1\nproperty list uchar int vertex_indices\n"
    return f"{STRIP}{faces}{'comment a b c' + chr(10)}".encode() + (
        b"comment more words here\n" * n + b"end_header\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n"
    )


def _gltf_nodes(n):
    return _square_glb(lambda tree: tree.update(nodes=[{"mesh": 0}] * n, scenes=[{"nodes": list(range(n))}]))


def _gltf_chain(n):
    nodes = [{"children": [i + 1], "translation": [0, 0, 0]} for i in range(n - 1)] + [{"mesh": 0}]
    return _square_glb(lambda tree: tree.update(nodes=nodes))


def _gltf_primitives(n):
    return _square_glb(lambda tree: tree["meshes"][0].update(primitives=tree["meshes"][0]["primitives"] * n))


def _gltf_materials(n):
    def change(tree):
        first = tree["meshes"][0]["primitives"][0]
        tree["materials"] = [{"name": f"m{i}", "pbrMetallicRoughness": {}} for i in range(n)]
        tree["meshes"][0]["primitives"] = [{**first, "material": i} for i in range(n)]

    return _square_glb(change)


def _gltf_accessors(n):
    return _square_glb(lambda tree: tree["accessors"].extend([dict(tree["accessors"][0]) for _ in range(n)]))


def _square_glb(change):
    content = glb(SQUARE, np.array([[0, 1, 2], [0, 2, 3]]), SQUARE[:, :2])
    (length,) = struct.unpack_from("<I", content, 12)
    tree = json.loads(content[20 : 20 + length])
    change(tree)
    return packed(tree, content[28 + length :])


def _off_polygons(n):
    head = f"OFF\n4 {n // 2 * 2} 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
    return (head + "4 0 1 2 3\n3 0 1 2\n" * (n // 2)).encode()


def _off_comments(n):
    return ("OFF\n4 1 0\n" + "# a comment\n" * n + "0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n").encode()


def _solids(n):
    facet = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
    return (f"solid a\n{facet}endsolid a\n" * n).encode()


def _used_nodes(n):
    named = SHAPE.replace("Shape", "DEF S Shape", 1)
    return (VRML + named + " USE S" * (n - 1)).encode()


def _protos(n):
    return (VRML + "".join(f"PROTO P{i} [] {{ {SHAPE} }} P{i} {{ }}\n" for i in range(n))).encode()


def _transforms(n):
    depth = 50
    piece = "Transform { children [ " * depth + SHAPE + " ] }" * depth
    return (VRML + (piece + "\n") * (n // depth)).encode()


def _repeat(head, piece, tail=""):
    return lambda n: (head + piece * n + tail).encode()


def _numbered(head, piece, tail=""):
    return lambda n: (head + "".join(piece.replace("%", str(i)) for i in range(n)) + tail).encode()


MANY = {
    "wrl: shapes": (".wrl", 300, _repeat(VRML, SHAPE + "\n")),
    "wrl: USE of one shape": (".wrl", 1000, _used_nodes),
    "wrl: Inline nodes": (".wrl", 300, _repeat(VRML + SHAPE, ' Inline { url "none.wrl" }\n')),
    "wrl: nested Transform": (".wrl", 3000, _transforms),
    "wrl: PROTO and instance": (".wrl", 200, _protos),
    "wrl: DEF names": (".wrl", 1000, _numbered(VRML + SHAPE, "DEF N% Group { }\n")),
    "wrl: comments": (".wrl", 10_000, _repeat(VRML, "# a comment\n", SHAPE)),
    "wrl: ROUTE lines": (".wrl", 1000, _repeat(VRML + "DEF A Group { }" + SHAPE, " ROUTE A.a TO A.b\n")),
    "obj: mtllib lines": (".obj", 300, _repeat("", "mtllib none.mtl\n", TRIANGLE)),
    "obj: mtllib lines, each another file": (".obj", 300, _numbered("", "mtllib none%.mtl\n", TRIANGLE)),
    "obj: usemtl lines": (".obj", 3000, _numbered("v 0 0 0\nv 1 0 0\nv 0 1 0\n", "usemtl m%\nf 1 2 3\n")),
    "obj: groups": (".obj", 3000, _numbered("v 0 0 0\nv 1 0 0\nv 0 1 0\n", "g g%\nf 1 2 3\n")),
    "obj: objects, each with its vertices": (
        ".obj",
        3000,
        _numbered("", "o o%\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\n"),
    ),
    "obj: comments": (".obj", 30_000, _repeat("", "# a comment\n", TRIANGLE)),
    "obj: continued lines": (".obj", 10_000, _repeat("v 0 0 0\nv 1 0 0\nv 0 1 0\n", "f 1 2 \\\n3\n")),
    "obj: mixed polygons": (
        ".obj",
        10_000,
        _repeat("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n", "f 1 2 3\nf 1 2 3 4\n"),
    ),
    "ply: polygons": (".ply", 20_000, _ply_polygons),
    "ply: tristrips": (".ply", 5000, _strips),
    "ply: one long tristrip": (".ply", 10_000, _one_strip),
    "ply: further elements": (".ply", 300, _ply_elements),
    "ply: comments": (".ply", 5000, _ply_comments),
    "stl: solids": (".stl", 2000, _solids),
    "off: polygons": (".off", 20_000, _off_polygons),
    "off: comments": (".off", 20_000, _off_comments),
    "glb: nodes with one mesh": (".glb", 300, _gltf_nodes),
    "glb: chain of nodes": (".glb", 300, _gltf_chain),
    "glb: primitives": (".glb", 300, _gltf_primitives),
    "glb: materials": (".glb", 300, _gltf_materials),
    "glb: unused accessors": (".glb", 3000, _gltf_accessors),
}
