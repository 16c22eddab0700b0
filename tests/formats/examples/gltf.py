"""glTF 2.0, as .glb and .gltf."""

import base64
import json

import numpy as np

from tests.formats.examples import Example
from tests.formats.gltf_files import (
    DOWN,
    FACES,
    RED,
    SQUARE,
    UV,
    File,
    chunk,
    container,
    glb,
    picture,
    plain,
    quarters,
    textured,
)

EXAMPLES = {}


def example(name, content, check=None, beside=None, suffix=".glb"):
    """Add an example."""
    content = content.glb() if isinstance(content, File) else content
    assert name not in EXAMPLES
    EXAMPLES[name] = Example(f"a{suffix}", content, beside or {}, check)


# ---- what examples mean ----


def square(scan, points=SQUARE):
    np.testing.assert_allclose(scan.vertices, points, atol=1e-6)
    np.testing.assert_array_equal(scan.faces, FACES)


def with_uv(uv=UV, atol=1e-6):
    def check(scan):
        square(scan)
        np.testing.assert_allclose(scan.uv, uv, atol=atol)

    return check


def with_texture(uv=UV, wrap=("repeat", "repeat"), atol=1e-6):
    def check(scan):
        with_uv(uv, atol)(scan)
        np.testing.assert_array_equal(scan.texture, quarters())
        assert scan.wrap == wrap

    return check


def without_texture(scan):
    square(scan)
    assert scan.texture is None


def with_colours(*rows, atol=1e-3):
    def check(scan):
        square(scan)
        np.testing.assert_allclose(scan.colours, np.broadcast_to(rows, (4, 3)), atol=atol)

    return check


def at(*points):
    """Squares that are moved."""

    def check(scan):
        np.testing.assert_allclose(scan.vertices, np.concatenate([SQUARE + np.float32(p) for p in points]), atol=1e-5)
        faces = [FACES + 4 * k for k in range(len(points))]
        np.testing.assert_array_equal(scan.faces, np.concatenate(faces))

    return check


# ---- container ----

P = plain()
example("GLB, version 2: a JSON and a BIN chunk", P, square)
example("JSON text with a buffer within it (base64)", P.gltf(), square, suffix=".gltf")
example("JSON text with a buffer beside it", P.gltf("a%20b.bin"), square, {"a b.bin": P.data}, ".gltf")
_percent = plain()
_percent.tree["buffers"] = [
    {
        "byteLength": len(_percent.data),
        "uri": "data:application/gltf-buffer," + "".join(f"%{b:02x}" for b in _percent.data),
    }
]
example("a buffer within it, percent-encoded", json.dumps(_percent.json()).encode(), square, suffix=".gltf")
example("a BIN chunk longer than its buffer", glb(P.json(), P.data + bytes(4)), square)
example("chunks of other kinds", container(P.glb()[12:], chunk(b"MORE", b"1234")), square)
_text = json.dumps(P.json()).encode()
example(
    "chunks that are not filled up to 4 bytes",
    container(chunk(b"JSON", _text + b" " * (1 - len(_text) % 2)), chunk(b"BIN\0", P.data + b"\0")),
    square,
)
example("a byte order mark before the JSON", b"\xef\xbb\xbf" + P.gltf(), square, suffix=".gltf")
_fraction = json.dumps(P.json()).replace('"count": 6', '"count": 0.6e1').replace('"mesh": 0', '"mesh": 0.0')
example("integers with a zero fraction", glb(_fraction.encode(), P.data), square)
example("a key twice", glb(_text[:-1] + b', "scene": 0, "scene": 0}', P.data), square)
example("bytes after the end", P.glb() + b"more", square)
example("bytes that do not begin with glTF", b"PK\3\4" + P.glb()[4:])
example("GLB of version 1", container(P.glb()[12:], version=1))
example("GLB of a version above 2", container(P.glb()[12:], version=3))
example("a file that breaks off", P.glb()[:-7])
example("a chunk longer than the file", P.glb()[:12] + b"\xff\xff\xff\x7f" + P.glb()[16:])
example("a file whose first chunk is not JSON", container(chunk(b"BIN\0", P.data), P.glb()[12:]))
example("a second JSON or BIN chunk", container(P.glb()[12:], chunk(b"BIN\0", P.data)))
example("no BIN chunk", glb(P.json()))
example("JSON that is not UTF-8", glb(b'{"asset": {"version": "2.0", "generator": "\xe9\xe9"}}'))
example("JSON that is none", glb(b"{asset: 1}"))
example("JSON that is not an object", glb(b"[]"))
_nan = _text.replace(b'"count": 4', b'"count": 4, "min": [NaN]')
example("numbers that are not finite: NaN, Infinity, 1e999", glb(_nan, P.data))
example("JSON that is nested too deep", glb(b'{"extras": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"))
_old = {"asset": {"version": "1.0"}, "meshes": {"a": {}}, "scenes": {"b": {}}}
example("glTF 1.0", json.dumps(_old).encode(), suffix=".gltf")
example("a minVersion above 2.0", glb({**P.json(), "asset": {"version": "2.1", "minVersion": "2.1"}}, P.data))
example("no asset or version", glb({**P.json(), "asset": {}}, P.data))
_cut = P.json()
_cut["buffers"][0]["byteLength"] += 100
example("a buffer shorter than its byteLength", glb(_cut, P.data))
example("a buffer that is not base64", P.gltf("data:;base64,A*A"), suffix=".gltf")


def changed(kind, index=0, **entry):
    file = plain()
    file.tree[kind][index] = {k: v for k, v in {**file.tree[kind][index], **entry}.items() if v is not None}
    return file


example("an index that names nothing, or is negative, true, 1.5 or a string", changed("nodes", mesh=7))

# ---- extensions ----


def extended(*names, required=False, file=None):
    file = file or plain()
    file.extend(*names, required=required)
    return file


example("extensionsRequired: another one", extended("EXT_other", required=True))
example("extensionsUsed: an unknown one", extended("EXT_other"), square)
example(
    "KHR_materials_*, KHR_lights_punctual, KHR_xmp and others that say nothing of it",
    extended("KHR_materials_unlit", "KHR_materials_variants", "KHR_lights_punctual", "KHR_xmp_json_ld"),
    square,
)


def meshopt(fallback):
    file = plain()
    file.extend("EXT_meshopt_compression")
    plain_buffer = {"byteLength": len(file.data), "extensions": {"EXT_meshopt_compression": {"fallback": True}}}
    if fallback:
        plain_buffer["uri"] = "plain.bin"
    file.tree["buffers"] = [plain_buffer]
    return json.dumps(file.json()).encode()


example("EXT_meshopt_compression with plain data", meshopt(True), square, {"plain.bin": P.data}, ".gltf")
example("EXT_meshopt_compression without plain data", meshopt(False), suffix=".gltf")
example("EXT_meshopt_compression, required", extended("EXT_meshopt_compression", required=True))


def draco(content, required=True):
    file = plain()
    primitive = file.tree["meshes"][0]["primitives"][0]
    view = file.view(content)
    primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": view, "attributes": {"POSITION": 0}}}
    if required:
        for accessor in file.tree["accessors"]:
            del accessor["bufferView"]
    file.extend("KHR_draco_mesh_compression", required=required)
    return file


example("KHR_draco_mesh_compression that is damaged, or without DracoPy", draco(b"DRACO and more"))
example("KHR_draco_mesh_compression with plain data", draco(b"DRACO and more", required=False), square)

# ---- buffer views and accessors ----


def strided(stride, points=SQUARE):
    file = plain()
    rows = np.zeros((4, 5), "<f4")
    rows[:, :3] = points
    file.tree["accessors"][0]["bufferView"] = file.view(rows.tobytes(), byteStride=stride)
    return file


example("bufferView.byteStride", strided(20), square)
example("a byteStride smaller than an element", strided(8))
example("a bufferView beyond its buffer", changed("bufferViews", byteLength=10_000))
example("an accessor beyond its bufferView", changed("accessors", count=5))
_offset = plain()
_offset.tree["accessors"][0] |= {"bufferView": _offset.view(bytes(8) + SQUARE.tobytes()), "byteOffset": 8}
example("accessor.byteOffset", _offset, square)
example("accessor.min, max", changed("accessors", min=[9, 9, 9], max=[0, 0, 0]), square)


def sparse(base, **changes):
    """A square whose last two corners stand in a sparse part."""
    file = plain()
    points = SQUARE.copy()
    if base:
        points[2:] = 9
        file.tree["accessors"][0]["bufferView"] = file.view(points.tobytes())
    else:
        points[:2] = 0
        del file.tree["accessors"][0]["bufferView"]
    file.tree["accessors"][0]["sparse"] = {
        "count": 2,
        "indices": {"bufferView": file.view(bytes([2, 3])), "componentType": 5121},
        "values": {"bufferView": file.view(SQUARE[2:].tobytes())},
        **changes,
    }
    return file


def zeros_and_square(scan):
    square(scan, SQUARE * [[0], [0], [1], [1]])


example("accessor.sparse", sparse(True), square)
example("accessor.sparse without bufferView: zeros elsewhere", sparse(False), zeros_and_square)
_falling = sparse(True)
_falling.tree["accessors"][0]["sparse"]["indices"]["bufferView"] = _falling.view(bytes([3, 2]))
example("sparse indices that do not rise or lie outside", _falling)
example("an accessor without data, longer than the file", changed("accessors", bufferView=None, count=10**9))
example("a componentType or type that is none", changed("accessors", componentType=5130))
example("normalized floats", changed("accessors", normalized=True))

# ---- primitives ----


def shaped(mode, indices, points=SQUARE, **more):
    file = File()
    file.show(file.primitive(points, indices, mode=mode, **more))
    return file


def two_faces(*faces):
    def check(scan):
        np.testing.assert_array_equal(scan.vertices, SQUARE)
        np.testing.assert_array_equal(scan.faces, faces)

    return check


example("mode 4: triangles", shaped(4, [0, 1, 2, 0, 2, 3]), square)
example(
    "mode 5: a strip, whose every second triangle runs the other way round",
    shaped(5, [1, 2, 0, 3]),
    two_faces([1, 2, 0], [2, 3, 0]),
)
example("mode 6: a fan", shaped(6, [0, 1, 2, 3]), two_faces([1, 2, 0], [2, 3, 0]))
example(
    "no indices",
    shaped(4, None, SQUARE[FACES.ravel()]),
    lambda scan: np.testing.assert_array_equal(scan.vertices[scan.faces], SQUARE[FACES]),
)
for _kind, _name in (("u1", "unsigned byte"), ("u4", "unsigned int")):
    _file = plain()
    _file.tree["meshes"][0]["primitives"][0]["indices"] = _file.accessor(FACES.ravel(), _kind)
    example(f"indices of {_name}", _file, square)


def beside(mode):
    file = plain()
    file.tree["meshes"][0]["primitives"].append(file.primitive(SQUARE + 9, [0, 1, 2], mode=mode))
    return file


example("mode 0: points beside faces", beside(0), square)
example("modes 1, 2, 3: lines", beside(1), square)
example("lines alone", shaped(3, [0, 1, 2]))
example("indices that are no multiple of 3", shaped(4, [0, 1, 2, 0]))
example("an index outside the vertices", shaped(4, [0, 1, 4]))
example("the largest index of its type, which restarts a primitive", shaped(5, [0, 1, 2, 65535, 1, 2, 3]))
example("indices of another type", changed("accessors", 1, componentType=5122))
_bare = plain()
_bare.tree["meshes"][0]["primitives"].append({"attributes": {}})
example("a primitive without POSITION", _bare, square)
example("POSITION of another type", changed("accessors", componentType=5125))


def quantised(normalised, declared=True):
    file = File()
    if normalised:
        values = np.round(SQUARE / 4 * 32767)
        node = {"scale": [4, 4, 4]}
    else:
        values, node = SQUARE * 8, {"scale": [0.125] * 3}
    file.show(file.primitive(attributes={"POSITION": file.accessor(values, "i2", normalized=normalised)}), **node)
    if declared:
        file.extend("KHR_mesh_quantization", required=True)
    return file


example("KHR_mesh_quantization: POSITION as integers", quantised(False), square)
example(
    "KHR_mesh_quantization: POSITION as normalised integers",
    quantised(True),
    lambda scan: np.testing.assert_allclose(scan.vertices, SQUARE, atol=2e-4),
)
example("POSITION as integers without that extension", quantised(False, declared=False))
example(
    "attributes that are not as many as POSITION",
    textured(uv=None, attributes=lambda f: {"TEXCOORD_0": f.accessor(DOWN[:3])}),
)
_skipped = plain()
_skipped.tree["meshes"][0]["primitives"][0]["attributes"] |= {
    "NORMAL": _skipped.accessor(np.ones((4, 3))),
    "TANGENT": _skipped.accessor(np.ones((4, 4))),
    "_HEAT": _skipped.accessor(np.ones((4, 1))),
    "TEXCOORD_7": _skipped.accessor(DOWN),
    "COLOR_1": _skipped.accessor(np.zeros((4, 4))),
}
_skipped.tree["extras"] = {"note": [1, 2]}
example("NORMAL, TANGENT, COLOR_1, other TEXCOORD, _NAME, extras", _skipped, square)

# ---- nodes ----


def posed(**node):
    file = File()
    file.show(file.primitive(), **node)
    return file


def turned(scan):
    square(scan, np.stack([-SQUARE[:, 1], SQUARE[:, 0], SQUARE[:, 2]], axis=1))


def mirrored(scan):
    np.testing.assert_allclose(scan.vertices, SQUARE * [-1, 1, 1])
    np.testing.assert_array_equal(scan.faces, FACES[:, ::-1])


_chain = File()
_inner = _chain.node(root=False, mesh=_chain.mesh(_chain.primitive()), scale=[2, 2, 2])
_chain.node(children=[_inner], translation=[1, 2, 3])
example("translation, rotation, scale; children", _chain, lambda scan: square(scan, SQUARE * 2 + np.float32([1, 2, 3])))
example("rotation", posed(rotation=[0, 0, 0.5**0.5, 0.5**0.5]), turned)
example("matrix, column by column", posed(matrix=[0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]), turned)
example("a transform that mirrors: corners run the other way round", posed(scale=[-1, 1, 1]), mirrored)
_twice = posed()
_twice.node(mesh=0, translation=[5, 0, 0])
example("a mesh at several nodes", _twice, at((0, 0, 0), (5, 0, 0)))
_far = posed(translation=[500_000, 5_000_000, 300])
example(
    "a node far from the origin",
    _far,
    lambda scan: np.testing.assert_allclose(
        scan.vertices - scan.placement[:3, 3], SQUARE + np.array([500_000, 5_000_000, 300.0]), atol=1e-5
    ),
)
_camera = posed()
_camera.node(camera=_camera.add("cameras", {"type": "perspective", "perspective": {"yfov": 1, "znear": 1}}))
example("cameras", _camera, square)
example("matrix beside translation, rotation or scale", posed(matrix=np.eye(4).ravel().tolist(), scale=[1, 1, 1]))
example("a matrix whose last row is not 0 0 0 1", posed(matrix=[1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]))
example("a rotation that is not of length 1", posed(rotation=[0, 0, 1, 1]))
_huge = [{"children": [1], "scale": [1e300] * 3}, {"mesh": 0, "scale": [1e300] * 3}]
example("transforms that overflow", glb({**P.json(), "nodes": _huge}, P.data))
example("a node that is its own ancestor", glb({**P.json(), "nodes": [{"mesh": 0, "children": [0]}]}, P.data))
example(
    "a node with two parents", glb({**P.json(), "nodes": [{"children": [2]}, {"children": [2]}, {"mesh": 0}]}, P.data)
)
_hidden = posed()
_hidden.node(mesh=0, extensions={"KHR_node_visibility": {"visible": False}})
_hidden.extend("KHR_node_visibility")
example("KHR_node_visibility: an invisible node", _hidden, square)
_copies = posed(extensions={"EXT_mesh_gpu_instancing": {"attributes": {}}})
_copies.tree["nodes"][0]["extensions"]["EXT_mesh_gpu_instancing"]["attributes"] = {
    "TRANSLATION": _copies.accessor([[0, 0, 0], [7, 0, 0]]),
    "SCALE": _copies.accessor([[1, 1, 1], [1, 1, 1]]),
    "_ID": _copies.accessor([[4], [5]]),
}
_copies.extend("EXT_mesh_gpu_instancing", required=True)
example("EXT_mesh_gpu_instancing", _copies, at((0, 0, 0), (7, 0, 0)))

# ---- scenes ----


def scenes(*lists, **more):
    file = posed()
    file.node(root=False, mesh=0, translation=[5, 0, 0])
    tree = {**file.json(), "scenes": [{"nodes": rows} for rows in lists], **more}
    tree = {key: value for key, value in tree.items() if value is not None}
    return glb(tree, file.data)


example("scene", scenes([0, 1], [1], scene=0), at((0, 0, 0), (5, 0, 0)))
example("no scene, but one in scenes", scenes([0, 1], scene=None), at((0, 0, 0), (5, 0, 0)))
example("no scene and several scenes", scenes([0, 1], [1], scene=None), at((0, 0, 0), (5, 0, 0)))
example("no scenes: all nodes", glb({k: v for k, v in P.json().items() if not k.startswith("scene")}, P.data), square)
example("nodes outside the scene", scenes([0], scene=0), square)
_spare = plain()
_spare.mesh(_spare.primitive())
example("a mesh at no node", _spare, square)
example(
    "a scene of nodes that have a parent",
    glb({**P.json(), "nodes": [{"children": [1]}, {"mesh": 0}], "scenes": [{"nodes": [1]}]}, P.data),
)
example("a scene without a mesh", glb({**P.json(), "scenes": [{}]}, P.data))
_moving = plain()
_moving.tree["animations"] = [{"channels": [], "samplers": []}]
example("animations", _moving, square)

# ---- morph targets and skins ----


def morphed(mesh_weights=None, node_weights=None, target=None):
    file = File()
    shift = file.accessor(np.broadcast_to([0, 0, 4], (4, 3)))
    primitive = file.primitive(targets=[target or {"POSITION": shift}, {"NORMAL": shift}])
    mesh = file.mesh(primitive, **({} if mesh_weights is None else {"weights": mesh_weights}))
    file.node(mesh=mesh, **({} if node_weights is None else {"weights": node_weights}))
    return file


example("morph targets with mesh.weights", morphed([0.5, 1]), at((0, 0, 2)))
example("morph targets with node.weights", morphed([0.5, 1], [0.25, 0]), at((0, 0, 1)))
example("morph targets without weights", morphed(), square)
example("weights that are not as many as targets", morphed([0.5]))
example(
    "morph targets of texture coordinates or colours",
    morphed([1, 0], target={"POSITION": 0, "TEXCOORD_0": 0}),
    lambda scan: square(scan, SQUARE + np.float32([0, 0, 4])),
)


def skinned(weights=((1, 0, 0, 0),) * 4, joint=1, **skin):
    """The second joint moves by 6 along x; the node of the mesh by 100, which a skin ignores."""
    file = File()
    attributes = {
        "JOINTS_0": file.accessor([[joint, 0, 0, 0]] * 4, "u1"),
        "WEIGHTS_0": file.accessor(weights),
    }
    file.show(file.primitive(attributes=attributes), translation=[100, 0, 0], skin=0)
    joints = [file.node(), file.node(translation=[10, 0, 0])]
    rest = np.stack([np.eye(4), np.eye(4)])
    rest[1, 0, 3] = -4
    file.add("skins", {"joints": joints, "inverseBindMatrices": file.accessor(rest.transpose(0, 2, 1)), **skin})
    return file


example("skins, at rest", skinned(), at((6, 0, 0)))
example("skins: a vertex between joints", skinned([[0.5, 0.5, 0, 0]] * 4), at((3, 0, 0)))
example("weights of joints that do not add up to 1", skinned([[2, 0, 0, 0]] * 4), at((6, 0, 0)))
example(
    "a vertex that hangs on no joint",
    skinned([[0, 0, 0, 0], *[[1, 0, 0, 0]] * 3]),
    lambda scan: np.testing.assert_array_equal(np.isnan(scan.vertices[:, 0]), [True, False, False, False]),
)
example("a joint that its skin lacks", skinned(joint=2))
_boneless = plain()
_boneless.tree["nodes"][0]["skin"] = _boneless.add("skins", {"joints": [0]})
example("a skin on a mesh without JOINTS_0 and WEIGHTS_0", _boneless)

# ---- pictures ----

example("baseColorTexture in a bufferView: PNG", textured(), with_texture())
_jpeg = textured(picture(np.full((8, 8, 3), 90, np.uint8), "JPEG"), kind="JPEG")
example(
    "baseColorTexture: JPEG",
    _jpeg,
    lambda scan: (with_uv()(scan), np.testing.assert_array_equal(scan.texture, np.full((8, 8, 3), 90))),
)
_webp = textured(kind="WEBP")
_webp.tree["textures"][0] = {"extensions": {"EXT_texture_webp": {"source": 0}}}
_webp.extend("EXT_texture_webp", required=True)
example("EXT_texture_webp", _webp, with_texture())


def image(**entry):
    file = textured()
    file.tree["images"][0] = entry
    return file


example("a picture beside the file", image(uri="tex%20%C3%A9.png"), with_texture(), {"tex é.png": picture()})
example("a picture that is not beside the file", image(uri="none.png"), without_texture)
_inline = "data:image/png;base64," + base64.b64encode(picture()).decode()
example("a picture in a data uri", image(uri=_inline), with_texture())
example(
    "a picture that is neither PNG, JPEG nor WEBP",
    textured(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    without_texture,
)
example("a picture that is damaged", textured(picture()[:60]), without_texture)
_ktx = textured()
_ktx.tree["textures"][0] = {"extensions": {"KHR_texture_basisu": {"source": 0}}}
_ktx.extend("KHR_texture_basisu")
example("KHR_texture_basisu without another picture", _ktx, without_texture)
_fallback = textured()
_fallback.tree["textures"][0] |= {"extensions": {"KHR_texture_basisu": {"source": 1}}}
_fallback.add("images", {"bufferView": 0, "mimeType": "image/ktx2"})
_fallback.extend("KHR_texture_basisu")
example("KHR_texture_basisu beside another picture", _fallback, with_texture())
example("an image with both uri and bufferView, or neither", image(name="nothing"))


def sampled(**sampler):
    file = textured(sampler=0)
    file.add("samplers", sampler)
    return file


example(
    "sampler.wrapS, wrapT: clamp, mirror, repeat",
    sampled(wrapS=33071, wrapT=33648),
    with_texture(wrap=("clamp", "mirror")),
)
example("a wrap that is none", sampled(wrapS=1))
_two = textured(attributes=lambda f: {"TEXCOORD_1": f.accessor(1 - DOWN)}, info={"texCoord": 1})
example("texCoord", _two, with_texture(uv=1 - UV))
_transform = {"offset": [0.25, 0.5], "rotation": np.pi / 2, "scale": [0.5, 2]}


def transformed(**values):
    file = textured(info={"extensions": {"KHR_texture_transform": values}})
    file.extend("KHR_texture_transform", required=True)
    return file


_moved = np.stack([0.25 + 2 * DOWN[:, 1], 1 - (0.5 - 0.5 * DOWN[:, 0])], axis=1)
example("KHR_texture_transform: offset, rotation, scale", transformed(**_transform), with_texture(uv=_moved))
_other = textured(
    attributes=lambda f: {"TEXCOORD_2": f.accessor(1 - DOWN)},
    info={"texCoord": 0, "extensions": {"KHR_texture_transform": {"texCoord": 2}}},
)
example("KHR_texture_transform.texCoord", _other, with_texture(uv=1 - UV))
for _kind in ("u1", "u2"):
    _file = textured(
        uv=None,
        attributes=lambda f, kind=_kind: {
            "TEXCOORD_0": f.accessor(np.round(DOWN * np.iinfo(kind).max), kind, normalized=True)
        },
    )
    example(
        f"TEXCOORD_n as normalised {'unsigned byte' if _kind == 'u1' else 'unsigned short'}",
        _file,
        with_texture(atol=2e-3),
    )
_raw = textured(
    uv=None,
    attributes=lambda f: {"TEXCOORD_0": f.accessor(DOWN * 16, "u2")},
    info={"extensions": {"KHR_texture_transform": {"scale": [1 / 16, 1 / 16]}}},
)
_raw.extend("KHR_mesh_quantization", "KHR_texture_transform", required=True)
example("KHR_mesh_quantization: TEXCOORD_n as integers", _raw, with_texture())
example("TEXCOORD_n of another type", textured(uv=None, attributes=lambda f: {"TEXCOORD_0": f.accessor(DOWN, "u2")}))
example("texCoord without such coordinates", textured(info={"texCoord": 3}), without_texture)
_uv_alone = File()
_uv_alone.show(_uv_alone.primitive(uv=DOWN))
example("texture coordinates without a picture", _uv_alone, with_uv())
_OVER = np.float32([2.5, 1])  # half of them in one copy of the picture, half in the next
_outside = with_texture(uv=UV + _OVER * [1, -1] + np.float32([0, 1]))
example("texture coordinates outside [0, 1]", textured(uv=DOWN + _OVER), _outside)
_gloss = textured()
_gloss.tree["materials"][0] = {"extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseTexture": {"index": 0}}}}
_gloss.extend("KHR_materials_pbrSpecularGlossiness")
example("KHR_materials_pbrSpecularGlossiness: diffuseTexture", _gloss, with_texture())
_glow = textured()
_glow.tree["materials"][0] = {"emissiveTexture": {"index": 0}, "emissiveFactor": [1, 1, 1]}
example("a picture only as emissiveTexture", _glow, without_texture)
_shaded = textured()
_shaded.tree["materials"][0] |= {
    "normalTexture": {"index": 0},
    "occlusionTexture": {"index": 0},
    "emissiveFactor": [0, 0, 0],
    "doubleSided": True,
}
_shaded.tree["materials"][0]["pbrMetallicRoughness"] |= {"metallicFactor": 0, "metallicRoughnessTexture": {"index": 0}}
example("metallic, roughness, normal, occlusion; doubleSided", _shaded, with_texture())
example("alphaMode MASK, BLEND", textured(material={"alphaMode": "MASK"}), with_texture())


def pictures(*images):
    """A square for each picture, in a row; None for one without."""
    file = File()
    for k, content in enumerate(images):
        row = file.material(None if content is None else file.texture(content))
        file.show(file.primitive(uv=DOWN, material=row), translation=[3 * k, 0, 0])
    return file


def two_pictures(scan):
    height, width = scan.texture.shape[:2]
    middle = scan.uv.reshape(2, 4, 2).mean(axis=1)
    colours = [scan.texture[int((1 - v) * height), int(u * width)].tolist() for u, v in middle]
    assert colours == [list(RED), [9, 9, 9]]


example(
    "several pictures: one atlas",
    pictures(picture(np.full((4, 4, 3), RED, np.uint8)), picture(np.full((4, 4, 3), 9, np.uint8))),
    two_pictures,
)
example(
    "faces without a picture beside faces with one",
    pictures(picture(), None),
    lambda scan: np.testing.assert_array_equal(np.isnan(scan.uv[:, 0]), np.arange(8) >= 4),
)
example("baseColorFactor beside a picture", textured(material={"factor": [0.5, 1, 1, 1]}), with_texture())
_factor = File()
_factor.show(_factor.primitive(material=_factor.material(factor=[1, 0, 0, 1])))
example("baseColorFactor without a picture", _factor, with_colours(RED))

# ---- colours ----


def coloured(values, kind="f4", texture=False, **more):
    def attributes(file):
        return {"COLOR_0": file.accessor(np.broadcast_to(values, (4, len(values))), kind, **more)}

    if texture:
        return textured(attributes=attributes)
    file = File()
    file.show(file.primitive(attributes=attributes(file)))
    return file


GREY = 255 * (1.055 * 0.5 ** (1 / 2.4) - 0.055)  # linear one half
example("COLOR_0: VEC3 of float, linear", coloured([1, 0.5, 0]), with_colours((255, GREY, 0)))
example("COLOR_0: VEC4 of float", coloured([1, 0.5, 0, 0.25]), with_colours((255, GREY, 0)))
example("COLOR_0: normalised unsigned byte", coloured([255, 0, 0, 255], "u1", normalized=True), with_colours(RED))
_short = coloured([65535, 0, 32768, 0], "u2", normalized=True)
_short.tree["accessors"][0]["type"] = "VEC3"
_short.tree["bufferViews"][0]["byteStride"] = 8
example("COLOR_0: normalised unsigned short", _short, with_colours((255, 0, GREY), atol=0.01))
example("COLOR_0 of another type", coloured([255, 0, 0], "u1"))
example("COLOR_0 outside [0, 1]", coloured([255, 0, 0]), with_colours(RED))
example(
    "COLOR_0 beside a picture",
    coloured([1, 0, 0], texture=True),
    lambda scan: (with_texture()(scan), np.testing.assert_array_equal(scan.colours, [RED] * 4)),
)
example("COLOR_0 beside a picture, all white", coloured([1, 1, 1], texture=True), with_texture())
example("a number where text, an object or a list belongs", glb({**P.json(), "meshes": [{"primitives": 3}]}, P.data))
