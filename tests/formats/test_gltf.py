"""glTF 2.0: what `docs/formats/gltf.toml` cannot show with one small file each."""

import copy
import json
import math
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fer3d import formats
from fer3d.errors import ArgumentError, Fer3dError, FileError, FormatError
from fer3d.formats import gltf_colours, parts, textures
from fer3d.scan import Scan
from tests.formats.examples import examples
from tests.formats.gltf_files import DOWN, FACES, RED, SQUARE, TYPES, UV, File, glb, picture, plain, quarters, textured


@pytest.fixture
def read(tmp_path):
    def read_content(content, name="a.glb", **options):
        path = tmp_path / name
        path.write_bytes(content.glb() if isinstance(content, File) else content)
        return formats.read(path, **options)

    return read_content


# ---- files and buffers ----


def test_a_buffer_beside_the_file_and_nowhere_else(read, tmp_path):
    file = plain()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a b.bin").write_bytes(file.data + b"more than byteLength")
    for uri in ("below/a b.bin", "below/a%20b.bin", "./below/a%20b.bin"):
        np.testing.assert_array_equal(read(file.gltf(uri), "a.gltf").vertices, SQUARE)
    outside = tmp_path.parent / "outside.bin"
    outside.write_bytes(file.data)
    for uri in (str(outside), "../outside.bin", "%2e%2e/outside.bin", f"file://{outside}"):
        with pytest.raises(FileError, match=rf"^{tmp_path}/outside\.bin: cannot be read: No such file"):
            read(file.gltf(uri), "a.gltf")
    with pytest.raises(FormatError, match=r"buffers\[0\].uri should be the name of a file beside it, is '\.\.'"):
        read(file.gltf(".."), "a.gltf")


def test_a_file_with_a_literal_percent_sign(read, tmp_path):
    (tmp_path / "a%20b.bin").write_bytes(plain().data)
    assert len(read(plain().gltf("a%20b.bin"), "a.gltf").faces) == 2


def test_a_gltf_file_may_be_a_glb(read):
    np.testing.assert_array_equal(read(plain(), "a.gltf").faces, FACES)


def test_several_buffers(read):
    """The second in a .glb has a uri."""
    file = plain()
    tree = file.json()
    tree["buffers"].append({"byteLength": 12, "uri": "data:text/plain;charset=utf-8;base64,AAABAAIAAAACAAMA"})
    tree["bufferViews"][1] = {"buffer": 1, "byteLength": 12}
    np.testing.assert_array_equal(read(glb(tree, file.data)).faces, FACES)
    del tree["buffers"][1]["uri"]
    with pytest.raises(FormatError, match=r"buffers\[1\] should have a uri, has none"):
        read(glb(tree, file.data))


def test_the_path_is_checked(tmp_path):
    from fer3d.formats import gltf

    with pytest.raises(ArgumentError, match="should end in .glb or .gltf"):
        gltf.read(tmp_path / "a.obj")
    with pytest.raises(ArgumentError, match=r"`path` should end in \.glb, is .*a\.gltf"):
        formats.write(Scan.of(SQUARE, FACES), tmp_path / "a.gltf")
    with pytest.raises(ArgumentError, match="at least one face"):
        formats.write(Scan.of(SQUARE, np.empty((0, 3))), tmp_path / "a.glb")
    with pytest.raises(FileError, match="cannot be written"):
        formats.write(Scan.of(SQUARE, FACES), tmp_path / "none" / "a.glb")


@pytest.mark.parametrize("value", [-1, 1, 1.5, True, None, "0", [0], 10**400, 1e300, {}])
def test_a_wrong_index_is_named(read, value):
    for kind, key in (("nodes", "mesh"), ("bufferViews", "buffer"), ("accessors", "bufferView")):
        tree = plain().json()
        tree[kind][0][key] = value if value != 1 or kind != "accessors" else 9
        with pytest.raises(FormatError) as caught:
            read(glb(tree, plain().data))
        assert f"{kind}[0].{key} should be an index of" in str(caught.value)


# ---- accessors ----


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_accessors_against_one_element_at_a_time(data, tmp_path_factory):
    """Any type, shape, stride, offset and sparse part, against `struct`."""
    from fer3d.formats.gltf_accessors import SHAPES, Accessors
    from fer3d.formats.gltf_container import Document

    code, letter = data.draw(
        st.sampled_from([(5120, "b"), (5121, "B"), (5122, "h"), (5123, "H"), (5125, "I"), (5126, "f")])
    )
    shape = data.draw(st.sampled_from(sorted(SHAPES)))
    columns, rows = SHAPES[shape]
    size = struct.calcsize(letter)
    column = rows * size if columns == 1 else math.ceil(rows * size / 4) * 4
    count = data.draw(st.integers(1, 5))
    stride = data.draw(st.none() | st.integers(column * columns, 252))
    offset = data.draw(st.integers(0, 9))
    content = data.draw(st.binary(min_size=2000, max_size=2000))
    normalised = code not in (5125, 5126) and data.draw(st.booleans())
    changed = data.draw(st.none() | st.lists(st.integers(0, count - 1), min_size=1, unique=True).map(sorted))
    views = [{"buffer": 0, "byteOffset": 3, "byteLength": 1997}]
    views[0] |= {} if stride is None else {"byteStride": stride}
    entry = {"bufferView": 0, "byteOffset": offset, "componentType": code, "count": count, "type": shape}
    entry |= {"normalized": True} if normalised else {}
    if changed is not None:
        content += bytes(changed)
        views += [{"buffer": 0, "byteOffset": 2000, "byteLength": len(changed)}, {"buffer": 0, "byteLength": 900}]
        indices = {"bufferView": 1, "componentType": 5121}
        entry["sparse"] = {"count": len(changed), "indices": indices, "values": {"bufferView": 2, "byteOffset": 1}}
    tree = {"asset": {"version": "2.0"}, "accessors": [entry], "bufferViews": views}
    tree["buffers"] = [{"byteLength": len(content)}]
    path = tmp_path_factory.getbasetemp() / "accessor.glb"

    def element(start):
        return [
            struct.unpack_from(f"<{letter}", content, start + c * column + r * size)[0]
            for c in range(columns) for r in range(rows)
        ]  # fmt: skip

    step = column * columns if stride is None else stride
    wanted = [element(3 + offset + k * step) for k in range(count)]
    for k, row in enumerate(changed or []):
        wanted[row] = element(1 + k * column * columns)
    accessors = Accessors(Document(path, glb(tree, content)))
    np.testing.assert_array_equal(accessors.values(0), wanted)
    if normalised:
        most = 2 ** (8 * size - letter.islower()) - 1
        np.testing.assert_allclose(accessors.real(0), np.maximum(np.array(wanted) / most, -1))


@pytest.mark.parametrize("count", [0, 10**9, 2**31, 10**30])
def test_a_count_alone_takes_no_memory(read, count):
    file = plain()
    file.tree["accessors"][0] = {"componentType": 5126, "count": count, "type": "VEC3"}
    tracemalloc.start()
    with pytest.raises(FormatError):
        read(file)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_many_accessors_over_the_same_bytes_take_no_more_than_their_share(read):
    file = File()
    view = file.view(bytes(12 * 20_000))
    entry = {"bufferView": view, "componentType": 5126, "count": 20_000, "type": "VEC3"}
    rows = [file.add("accessors", dict(entry)) for _ in range(1000)]
    file.show(*[{"attributes": {"POSITION": row}, "mode": 0} for row in rows], file.primitive())
    with pytest.raises(FormatError, match="together they say"):
        read(file)


def sparse(count=2, kind="u1", **changes):
    """A square whose last corners are changed; `changes` to its sparse part, None: to leave a key out."""
    file = plain()
    said = {
        "count": count,
        "indices": {"bufferView": file.view(np.array([2, 3], "<" + kind).tobytes()), "componentType": TYPES[kind]},
        "values": {"bufferView": file.view(np.full((2, 3), 7, np.float32).tobytes())},
        **changes,
    }
    file.tree["accessors"][0]["sparse"] = {key: value for key, value in said.items() if value is not None}
    return file


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"indices": None}, r"accessors\[0\].sparse should have indices and values"),
        ({"values": None}, r"accessors\[0\].sparse should have indices and values"),
        ({"kind": "i2"}, r"accessors\[0\].sparse.indices.componentType should be 5121, 5123 or 5125, is 5122"),
        ({"values": {}}, r"accessors\[0\].sparse.values should have bufferView: an index of bufferViews"),
        ({"count": 5}, r"accessors\[0\].sparse.count should be"),
    ],
)
def test_a_wrong_sparse_part_is_named(read, changes, message):
    np.testing.assert_array_equal(read(sparse()).vertices, [*SQUARE[:2], [7] * 3, [7] * 3])
    with pytest.raises(FormatError, match=message):
        read(sparse(**changes))


def test_a_shape_of_numbers_that_is_none_is_named(read):
    file = plain()
    file.tree["accessors"][0]["type"] = "VEC5"
    with pytest.raises(FormatError, match=r"accessors\[0\].type should be SCALAR, VEC2, .* or MAT4, is 'VEC5'"):
        read(file)


def test_an_accessor_of_no_elements_gives_no_faces(read):
    """Whatever its offset: nothing is read. Another primitive is not touched by it."""
    file = plain()
    empty = file.add("accessors", {**file.tree["accessors"][1], "byteOffset": 10**6, "count": 0})
    file.tree["meshes"][0]["primitives"].append({"attributes": {"POSITION": 0}, "indices": empty})
    np.testing.assert_array_equal(read(file).faces, FACES)
    del file.tree["meshes"][0]["primitives"][0]
    with pytest.raises(FormatError, match="at least one face was wanted"):
        read(file)


# ---- primitives and meshes ----


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=3, max_size=12), st.sampled_from([5, 6]))
def test_strips_and_fans_against_the_standard(indices, mode):
    from fer3d.formats.gltf_meshes import _TRIANGLES

    if mode == 5:
        faces = [[indices[i], indices[i + 1 + i % 2], indices[i + 2 - i % 2]] for i in range(len(indices) - 2)]
        faces = [face for face in faces if len(set(face)) == 3]
    else:
        faces = [[indices[i + 1], indices[i + 2], indices[0]] for i in range(len(indices) - 2)]
    np.testing.assert_array_equal(_TRIANGLES[mode](np.array(indices, np.uint16)), np.reshape(faces, (-1, 3)))


def test_primitives_over_the_same_vertices_keep_them(read):
    """As most exporters write the materials of one mesh. The second has no texture coordinates."""
    file = File()
    first = file.primitive(faces=FACES[:1], uv=DOWN, material=file.material(file.texture()))
    second = {"attributes": {"POSITION": first["attributes"]["POSITION"]}, "indices": file.accessor(FACES[1], "u2")}
    file.show(first, second)
    scan = read(file)
    np.testing.assert_array_equal(scan.file_vertex, [0, 1, 2, 3, 0, 2])
    np.testing.assert_allclose(scan.uv[scan.faces[0]], UV[:3])
    assert np.isnan(scan.uv[scan.faces[1]]).all()
    assert scan.history[0]["vertices"] == 4


def test_one_mesh_with_two_sets_of_coordinates(read):
    file = File()
    image = file.texture()
    more = {"TEXCOORD_1": file.accessor(1 - DOWN)}
    first = file.primitive(faces=FACES[:1], uv=DOWN, material=file.material(image), attributes=more)
    second = {**first, "indices": file.accessor(FACES[1], "u2"), "material": file.material(image, {"texCoord": 1})}
    file.show(first, second)
    scan = read(file)
    assert scan.warnings == ()
    np.testing.assert_allclose(scan.uv[scan.faces[0]], UV[FACES[0]], atol=1e-7)
    np.testing.assert_allclose(scan.uv[scan.faces[1]], 1 - UV[FACES[1]], atol=1e-7)


def test_plain_colours_of_several_materials(read):
    """A material without a colour is white, as the standard says, once others have one."""
    file = File()
    linear = 0.25
    row = file.material(factor=[linear, 0, 1, 1])
    colours = {"COLOR_0": file.accessor(np.full((4, 3), 0.5))}
    file.show(file.primitive(material=row), file.primitive(), file.primitive(material=row, attributes=colours))
    scan = read(file)
    assert scan.warnings == ()
    dark, mixed = 255 * (1.055 * linear ** (1 / 2.4) - 0.055), 255 * (1.055 * (linear / 2) ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(scan.colours[:4], [[dark, 0, 255]] * 4, atol=1e-3)
    np.testing.assert_array_equal(scan.colours[4:8], [[255] * 3] * 4)
    np.testing.assert_allclose(scan.colours[8:, 0], mixed, atol=1e-3)


def test_points_alone_are_named(read):
    file = File()
    file.show(file.primitive(faces=None, mode=0))
    with pytest.raises(FormatError, match="at least one face was wanted|faces, or at least"):
        read(file)


def test_points_alone_bring_their_colours(read):
    """The points of a dome are meshed. Those without a colour are white, those of a material with a picture unknown."""
    x, y = (axis.ravel() for axis in np.mgrid[-1:1:30j, -1:1:30j])
    dome = np.stack([x, y, 3 - (x * x + y * y) / 2], axis=1).astype(np.float32)
    black, white, unknown = x < 0, (x > 0) & (y < 0), (x > 0) & (y > 0)
    file = File()
    uv = np.zeros((unknown.sum(), 2))
    file.show(
        file.primitive(dome[black], None, attributes={"COLOR_0": file.accessor(np.zeros((black.sum(), 3)))}, mode=0),
        file.primitive(dome[white], None, mode=0),
        file.primitive(dome[unknown], None, uv, material=file.material(file.texture()), mode=0),
    )
    scan = read(file)
    assert len(scan.vertices) == 900 and len(scan.faces) > 1500
    counts = [black.sum(), white.sum(), unknown.sum()]
    wanted = np.repeat(np.float32([0, 255, np.nan]), counts)
    np.testing.assert_array_equal(scan.colours, np.stack([wanted] * 3, axis=1))


# ---- nodes ----


def test_transforms_against_products_of_matrices(read):
    rng = np.random.default_rng(4)
    file, world = File(), np.eye(4)
    turn = rng.normal(size=4)
    turn /= np.linalg.norm(turn)
    x, y, z, w = turn
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    leaf = file.node(root=False, mesh=file.mesh(file.primitive()), scale=[1, -2, 3])
    middle = file.node(root=False, children=[leaf], rotation=turn.tolist(), translation=[1, 2, 3], scale=[2, 2, 0.5])
    matrix = np.eye(4)
    matrix[:3] = rng.normal(size=(3, 4))
    file.node(children=[middle], matrix=matrix.T.ravel().tolist())
    world = matrix @ np.block([[rotation * [2, 2, 0.5], np.array([[1], [2], [3]])], [np.zeros((1, 3)), 1]])
    world = world @ np.diag([1, -2, 3, 1])
    scan = read(file)
    np.testing.assert_allclose(scan.vertices, SQUARE @ world[:3, :3].T + world[:3, 3], rtol=1e-5, atol=1e-5)
    turned = np.linalg.det(world[:3, :3]) < 0
    np.testing.assert_array_equal(scan.faces, FACES[:, ::-1] if turned else FACES)


def test_a_chain_of_many_nodes(read):
    count = 20_000
    file = File()
    mesh = file.mesh(file.primitive())
    for k in range(count):
        file.node(root=k == 0, **({"children": [k + 1]} if k + 1 < count else {"mesh": mesh}), translation=[1, 0, 0])
    scan = read(file)
    np.testing.assert_allclose(scan.vertices - scan.placement[:3, 3], SQUARE + np.float32([count, 0, 0]), atol=1e-3)


def test_instances_that_mirror(read):
    file = File()
    node = file.show(file.primitive(uv=DOWN), scale=[2, 2, 2])
    attributes = {
        "TRANSLATION": file.accessor([[0, 0, 0], [5, 0, 0]]),
        "ROTATION": file.accessor([[0, 0, 0, 127], [0, 0, 127, 0]], "i1", normalized=True),
        "SCALE": file.accessor([[1, 1, 1], [1, 1, -1]]),
    }
    file.tree["nodes"][node]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}
    scan = read(file)
    second = SQUARE * np.float32([-1, -1, -1]) + np.float32([5, 0, 0])
    np.testing.assert_allclose(scan.vertices, 2 * np.concatenate([SQUARE, second]), atol=1e-5)
    np.testing.assert_array_equal(scan.faces, np.concatenate([FACES, FACES[:, ::-1] + 4]))
    np.testing.assert_allclose(scan.uv, np.tile(UV, (2, 1)), atol=1e-7)
    assert scan.history[0]["meshes"] == 2


def instanced(**attributes):
    """Copies of a square; each attribute is a list of rows."""
    file = plain()
    said = {name: file.accessor(rows) for name, rows in attributes.items()}
    file.tree["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": said}}
    return file


def test_instances_that_are_only_scaled(read):
    scan = read(instanced(SCALE=[[1, 1, 1], [2, 3, 4]]))
    np.testing.assert_array_equal(scan.vertices, np.concatenate([SQUARE, SQUARE * np.float32([2, 3, 4])]))


def test_instances_without_a_transform_lie_in_one_place(read):
    """They look like one, and one is read."""
    np.testing.assert_array_equal(read(instanced(_ID=[[1], [2], [3]])).vertices, SQUARE)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "EXT_mesh_gpu_instancing.attributes should be an object with at least one accessor"),
        ({"SCALE": [[1, 1, 1]], "TRANSLATION": [[0, 0, 0]] * 2}, "attributes should have accessors of one length"),
        ({"SCALE": [[np.nan, 1, 1]]}, r"nodes\[0\] should have a finite transform"),
        ({"ROTATION": [[0, 0, 0, 2]]}, "should have a rotation of length 1, has one of length 2"),
    ],
)
def test_wrong_instances_are_named(read, attributes, message):
    with pytest.raises(FormatError, match=message):
        read(instanced(**attributes))


def skinned(weights=(1, 0, 0, 0), **skin):
    """A square that hangs on one joint, which moves it by 5."""
    file = File()
    attributes = {"JOINTS_0": file.accessor(np.zeros((4, 4)), "u1"), "WEIGHTS_0": file.accessor([weights] * 4)}
    file.show(file.primitive(attributes=attributes), skin=0)
    file.add("skins", {"joints": [file.node(translation=[5, 0, 0])], **skin})
    return file


@pytest.mark.parametrize("weights", [(-0.5, 1.5, 0, 0), (np.nan, 1, 0, 0), (np.inf, 0, 0, 0)])
def test_wrong_weights_of_joints_are_named(read, weights):
    np.testing.assert_array_equal(read(skinned()).vertices, SQUARE + np.float32([5, 0, 0]))
    with pytest.raises(FormatError, match="should have finite weights of joints that are not negative"):
        read(skinned(weights))


def test_wrong_joints_are_named(read):
    with pytest.raises(FormatError, match=r"skins\[0\].joints should be a list of at least one node"):
        read(skinned(joints=[]))
    file = skinned(joints=[1, 1])
    file.tree["skins"][0]["inverseBindMatrices"] = file.accessor(np.eye(4).reshape(1, 16))
    with pytest.raises(FormatError, match=r"skins\[0\] should have 2 inverseBindMatrices, has 1"):
        read(file)
    file = skinned()
    file.tree["nodes"][1] = {"children": [file.node(root=False, scale=[1e200, 1, 1])], "scale": [1e200, 1, 1]}
    file.tree["skins"][0]["joints"] = [2]
    with pytest.raises(FormatError, match=r"skins\[0\] should have finite transforms"):
        read(file)


def test_morph_targets_that_move_nothing_leave_the_points_as_they_are(read):
    """A weight of 0, and a target without positions."""
    file = File()
    targets = [{"POSITION": file.accessor(np.full((4, 3), 9.0))}, {"NORMAL": file.accessor(np.ones((4, 3)))}]
    file.node(mesh=file.mesh(file.primitive(targets=targets), weights=[0, 1]))
    np.testing.assert_array_equal(read(file).vertices, SQUARE)
    file.tree["meshes"][0]["weights"] = [1, 1]
    np.testing.assert_array_equal(read(file).vertices, SQUARE + 9)


def test_skins_against_a_loop(read):
    rng = np.random.default_rng(7)
    file = File()
    joints = rng.integers(0, 3, (2, 4, 4))
    weights = rng.random((2, 4, 4))
    weights /= weights.sum(axis=(0, 2))[None, :, None]
    attributes = {}
    for n in range(2):
        attributes[f"JOINTS_{n}"] = file.accessor(joints[n], "u2")
        attributes[f"WEIGHTS_{n}"] = file.accessor(weights[n])
    file.show(file.primitive(attributes=attributes), skin=0, scale=[9, 9, 9])
    frames, rest = np.tile(np.eye(4), (3, 1, 1)), np.tile(np.eye(4), (3, 1, 1))
    frames[:, :3], rest[:, :3] = rng.normal(size=(3, 3, 4)), rng.normal(size=(3, 3, 4))
    rows = [file.node(matrix=frame.T.ravel().tolist()) for frame in frames]
    file.add("skins", {"joints": rows, "inverseBindMatrices": file.accessor(rest.transpose(0, 2, 1))})
    wanted = np.zeros((4, 3))
    for i, point in enumerate(SQUARE):
        for n in range(2):
            for k in range(4):
                frame = frames[joints[n, i, k]] @ rest[joints[n, i, k]]
                wanted[i] += weights[n, i, k] * (frame @ [*point, 1])[:3]
    np.testing.assert_allclose(read(file).vertices, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_coordinates_that_are_not_numbers_are_kept(read, value):
    """Through transforms, morph targets and skins."""
    points = SQUARE.copy()
    points[1, 0] = value
    file = File()
    weighted = {"JOINTS_0": file.accessor(np.zeros((4, 4)), "u1"), "WEIGHTS_0": file.accessor(np.eye(4)[[0] * 4])}
    target = file.accessor(np.full((4, 3), 3e38))
    plain_mesh = file.mesh(file.primitive(points))
    moved = file.mesh(file.primitive(points, targets=[{"POSITION": target}], attributes=weighted), weights=[1e-38])
    for node in ({"mesh": plain_mesh}, {"mesh": plain_mesh, "scale": [2, 2, 2]}, {"mesh": moved, "skin": 0}):
        file.node(**node)
    file.add("skins", {"joints": [file.node(scale=[1, 2, 1])]})
    scan = read(file)
    lost = ~np.isfinite(scan.vertices).all(axis=1)
    assert lost.sum() == (1 if value == 3e38 else 3)
    np.testing.assert_allclose(scan.vertices[[0, 4, 8]], SQUARE[0] * [[1, 1, 1], [2, 2, 2], [1, 2, 1]] + [
        [0, 0, 0], [0, 0, 0], [3, 6, 3]
    ], rtol=1e-5)  # fmt: skip


# ---- work and memory ----


def test_a_scene_that_places_one_mesh_without_end_is_refused(read, monkeypatch):
    monkeypatch.setattr(parts, "MOST_VERTICES", 30)
    nodes = [{"children": list(range(1, 11))}, *[{"mesh": 0}] * 10]
    with pytest.raises(FormatError, match="a scan has at most 30 vertices, the scene places more"):
        read(glb({**plain().json(), "nodes": nodes}, plain().data))
    tree = plain().json()
    tree["meshes"][0]["primitives"] *= 60  # the same vertices: 120 faces on 4 vertices
    with pytest.raises(FormatError, match="a scan has at most 90 faces, the scene places more"):
        read(glb(tree, plain().data))


def many(kind, count):
    """A file with `count` of a construct."""
    file = plain()
    if kind == "nodes":
        for _ in range(count):
            file.node()
    elif kind == "placed":
        for _ in range(count):
            file.node(mesh=0)
    elif kind == "instances":
        shifts = file.accessor(np.zeros((count, 3)))
        file.tree["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": shifts}}}
    elif kind == "primitives":
        for _ in range(count):
            file.tree["meshes"][0]["primitives"].append({"attributes": {"POSITION": 0}, "indices": 1})
    elif kind == "accessors":
        for _ in range(count):
            row = file.add("accessors", dict(file.tree["accessors"][0]))
            file.tree["meshes"][0]["primitives"].append({"attributes": {"POSITION": row}, "indices": 1})
    elif kind == "sparse":
        points = np.zeros((count, 3), np.float32)
        sparse = {"count": count, "values": {"bufferView": file.view(points.tobytes())}}
        indices = {"bufferView": file.view(np.arange(count, dtype="<u4").tobytes()), "componentType": 5125}
        row = file.add("accessors", {"componentType": 5126, "count": count, "type": "VEC3",
                                     "sparse": {**sparse, "indices": indices}})  # fmt: skip
        file.show({"attributes": {"POSITION": row}, "indices": 1})
    elif kind == "targets":
        targets = [{"POSITION": 0}] * count
        file.tree["meshes"][0]["primitives"][0]["targets"] = targets
        file.tree["meshes"][0]["weights"] = [1.0 / count] * count
    elif kind == "materials":
        for _ in range(count):
            row = file.material(factor=[1, 0, 0, 1])
            primitive = {"attributes": {"POSITION": 0}, "indices": 1, "material": row}
            file.tree["meshes"][0]["primitives"].append(primitive)
    elif kind == "skins":
        joints = {"JOINTS_0": file.accessor(np.zeros((4, 4)), "u1"), "WEIGHTS_0": file.accessor(np.eye(4)[[0] * 4])}
        file.tree["meshes"][0]["primitives"][0]["attributes"] |= joints
        file.add("skins", {"joints": [0] * count})
        for _ in range(count):
            file.node(mesh=0, skin=0)
    elif kind == "warnings":
        for _ in range(count):
            file.tree["meshes"][0]["primitives"].append({"attributes": {}})
    elif kind == "extensions":
        file.extend(*[f"EXT_{k}" for k in range(count)])
    return file


KINDS = [
    "nodes", "placed", "instances", "primitives", "accessors", "sparse", "targets", "materials", "skins", "warnings",
    "extensions",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_work_grows_no_faster_than_the_file(read, kind):
    """Function calls and bytecode lines, counted: ten times as much takes at most 13 times as many."""
    few, more = (_work(read, many(kind, count)) for count in (150, 1500))
    assert more <= 13 * few, (few, more)


def test_many_warnings_are_counted(read):
    warnings = read(many("warnings", 100)).warnings
    assert len(warnings) == 31
    assert "there are 70 more warnings of these kinds" in warnings[-1]


def _work(read, file):
    import sys

    content, lines = file.glb(), 0

    def trace(frame, event, argument):
        nonlocal lines
        lines += 1
        return trace

    read(content)  # imports
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        read(content)
    finally:
        sys.settrace(before)
    return lines


# ---- pictures ----


def test_no_other_decoder_sees_a_picture(read, monkeypatch):
    """Pillow hands EPS to a PostScript interpreter, and others to programs too."""
    asked = []
    real = Image.open

    def spy(stream, mode="r", formats=None):
        asked.append(formats)
        return real(stream, mode, formats=formats)

    monkeypatch.setattr(Image, "open", spy)
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *a, **k: pytest.fail("Ghostscript was called"))
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"
    for content in (script, picture(kind="BMP"), picture(kind="GIF"), picture(kind="TIFF"), b"BLP2", b""[:0] or b"x"):
        scan = read(textured(content))
        assert scan.texture is None
        assert "images[0] cannot be read as a picture" in scan.warnings[0]
    assert set(asked) == {("JPEG", "PNG", "WEBP")}
    assert (
        "cannot identify image file as one of JPEG, PNG, WEBP" in textures.decode(script, decoders=textures.INSIDE)[1]
    )


def test_pictures_of_many_pixels(monkeypatch, read):
    content = picture(np.zeros((40, 50, 3), np.uint8))
    assert textures.decode(content, 1999) == (None, "has 50 x 40 pixels, more than 1999")
    assert textures.decode(content, 2000)[0].shape == (40, 50, 3)
    monkeypatch.setattr(textures, "MAX_PIXELS", 3000)
    file = File()
    for k in range(2):
        file.show(file.primitive(uv=DOWN, material=file.material(file.texture(content))), translation=[k, 0, 0])
    assert "images[1] has 50 x 40 pixels, more than 1000" in read(file).warnings[0]


def test_a_picture_of_the_same_name_beside_the_file_is_none_of_it(read, tmp_path):
    Image.fromarray(quarters()).save(tmp_path / "a.png")
    file = File()
    file.show(file.primitive(uv=DOWN))
    assert read(file).texture is None
    assert read(textured(b"broken")).texture is None


@pytest.mark.parametrize("file", [textured(), textured(b"broken"), textured(info={"texCoord": 4})])
def test_without_the_texture_all_else_is_the_same(read, file):
    whole, bare = read(file), read(file, texture=False)
    assert bare.texture is None
    for name in ("vertices", "faces", "uv", "wrap", "colours"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(bare, name))


def test_a_single_picture_that_is_not_wanted_is_not_decoded(read, monkeypatch):
    monkeypatch.setattr(textures, "decode", lambda *a: pytest.fail("it was decoded"))
    np.testing.assert_allclose(read(textured(), texture=False).uv, UV)


# ---- compression ----


def test_draco(read, monkeypatch):
    DracoPy = pytest.importorskip("DracoPy")
    packed = DracoPy.encode(
        SQUARE, faces=FACES.astype(np.uint32), quantization_bits=20, preserve_order=True,
        generic_attributes={7: DOWN, 9: np.full((4, 4), 255, np.uint8)},
    )  # fmt: skip
    said = {each["unique_id"]: each for each in DracoPy.decode(packed).attributes}
    position = next(key for key, each in said.items() if each["attribute_type"] == 0)
    file = File()
    attributes = {
        "POSITION": file.accessor(SQUARE, view=False),
        "TEXCOORD_0": file.accessor(DOWN, view=False),
        "COLOR_0": file.accessor(np.zeros((4, 4)), "u1", view=False, normalized=True),
    }
    indices = file.accessor(np.zeros(6), "u2", view=False)
    extension = {"bufferView": file.view(packed), "attributes": {"POSITION": position, "TEXCOORD_0": 7, "COLOR_0": 9}}
    primitive = {"attributes": attributes, "indices": indices}
    primitive["extensions"] = {"KHR_draco_mesh_compression": extension}
    file.show(primitive, dict(primitive))
    file.extend("KHR_draco_mesh_compression", required=True)
    scan = read(file)
    assert scan.warnings == ()
    points, corners = scan.vertices[scan.faces], SQUARE[FACES]
    np.testing.assert_allclose(points, np.concatenate([corners, corners]), atol=1e-5)
    np.testing.assert_allclose(scan.uv[scan.faces], np.concatenate([UV[FACES], UV[FACES]]), atol=1e-6)
    assert (scan.colours == 255).all()

    extension["attributes"]["POSITION"] = 77
    with pytest.raises(FormatError, match="KHR_draco_mesh_compression says that 'POSITION' is attribute 77"):
        read(file)
    extension["attributes"]["POSITION"] = position
    file.tree["accessors"][0]["count"] = 5
    with pytest.raises(FormatError, match=r"accessors\[0\] says 5 elements of 3 numbers, its data has \(4, 3\)"):
        read(file)
    monkeypatch.setitem(__import__("sys").modules, "DracoPy", None)
    with pytest.raises(
        FormatError, match=r"compressed with KHR_draco_mesh_compression: .*pip install 'fer3d\[draco\]'"
    ):
        read(file)


def packed(file, content, *primitives, **attributes):
    """Primitives whose data are in `content`, packed by Draco."""
    view = file.view(content)
    for primitive in primitives:
        extension = {"bufferView": view, "attributes": attributes}
        primitive["extensions"] = {"KHR_draco_mesh_compression": extension}
    file.extend("KHR_draco_mesh_compression", required=True)
    file.show(*primitives)
    return file


def test_draco_without_indices(read):
    """Each three points are a face."""
    DracoPy = pytest.importorskip("DracoPy")
    corners = SQUARE[FACES].reshape(-1, 3)
    content = DracoPy.encode(corners, quantization_bits=20, preserve_order=True)
    row = DracoPy.decode(content).attributes[0]["unique_id"]
    file = File()
    primitive = {"attributes": {"POSITION": file.accessor(corners, view=False)}}
    scan = read(packed(file, content, primitive, POSITION=row))
    np.testing.assert_array_equal(scan.faces, np.arange(6).reshape(2, 3))
    np.testing.assert_allclose(scan.vertices, corners, atol=1e-5)


def test_wrong_draco_is_named(read, monkeypatch):
    """Before anything is decoded."""
    name = r"KHR_draco_mesh_compression"
    file = File()
    primitives = [{"attributes": {"POSITION": file.accessor(SQUARE, view=False)}} for _ in range(2)]
    primitives[0]["indices"] = file.accessor(np.zeros(6), "u2", view=False)
    extension = packed(file, b"broken", *primitives, POSITION=0).tree["meshes"][0]["primitives"][0]["extensions"]
    pytest.importorskip("DracoPy")
    with pytest.raises(FormatError, match=f"{name} cannot be decoded by DracoPy"):
        read(file)
    for count, limit, message in ((10, 9, "vertices than a scan may have, which is 9"), (84, 9, "faces .* is 27")):
        file.tree["accessors"][0 if count == 10 else 2]["count"] = count
        monkeypatch.setattr(parts, "MOST_VERTICES", limit)
        with pytest.raises(FormatError, match=f"{name} has more {message}"):
            read(file)
        file.tree["accessors"][0]["count"] = 4
    monkeypatch.undo()
    del extension["KHR_draco_mesh_compression"]["attributes"]
    with pytest.raises(FormatError, match=f"{name} should have attributes: an object"):
        read(file)


def test_draco_that_shares_an_accessor_with_other_data_is_refused(read):
    DracoPy = pytest.importorskip("DracoPy")
    content = DracoPy.encode(SQUARE, faces=FACES.astype(np.uint32), preserve_order=True)
    row = DracoPy.decode(content).attributes[0]["unique_id"]
    file = File()
    accessors = {"POSITION": file.accessor(SQUARE, view=False)}
    indices = file.accessor(np.zeros(6), "u2", view=False)
    primitives = [{"attributes": accessors, "indices": indices} for _ in range(2)]
    packed(file, content, *primitives, POSITION=row)
    assert len(read(file).faces) == 4
    primitives[1]["extensions"]["KHR_draco_mesh_compression"]["bufferView"] = file.view(content)
    with pytest.raises(FormatError, match="shares an accessor with a primitive of other data"):
        read(file)


# ---- what is written reads back ----


def whole(**changes):
    return Scan.of(SQUARE, FACES, **{"uv": UV, "texture": quarters(), **changes})


@pytest.mark.parametrize("name", ["Kopf é 顔.glb", "a.GLB"])
@pytest.mark.parametrize("wrap", [("clamp", "mirror"), ("repeat", "repeat")])
def test_round_trip(tmp_path, name, wrap):
    scan = whole(wrap=wrap)
    formats.write(scan, tmp_path / name)
    back = formats.read(tmp_path / name)
    assert (back.warnings, back.wrap, back.file_vertex) == ((), wrap, None)
    np.testing.assert_array_equal(back.vertices, SQUARE)
    np.testing.assert_array_equal(back.faces, FACES)
    np.testing.assert_allclose(back.uv, UV, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(back.texture, quarters())
    without = formats.read(tmp_path / name, texture=False)
    np.testing.assert_array_equal(without.uv, back.uv)
    assert without.texture is None


COLOURS = np.random.default_rng(1).integers(0, 256, (4, 3)).astype(np.float32)


@pytest.mark.parametrize("scan", [
    whole(texture=None), whole(uv=None, texture=None), whole(uv=None, texture=None, colours=COLOURS),
    whole(texture=None, colours=COLOURS), whole(colours=COLOURS),
])  # fmt: skip
def test_round_trip_of_some_looks(tmp_path, scan):
    formats.write(scan, tmp_path / "a.glb")
    back = formats.read(tmp_path / "a.glb")
    assert back.warnings == ()
    for name in ("vertices", "faces", "texture", "colours"):
        np.testing.assert_array_equal(getattr(back, name), getattr(scan, name))
    assert (back.uv is None) == (scan.uv is None)


def test_round_trip_of_faces_without_texture(tmp_path):
    """Some faces have no uv: they come back so, and no vertex is added."""
    points = np.concatenate([SQUARE, SQUARE + np.float32([9, 0, 0])])
    uv = np.concatenate([UV, np.full((4, 2), np.nan, np.float32)])
    colours = np.concatenate([COLOURS, 255 - COLOURS])
    scan = Scan.of(points, np.concatenate([FACES, FACES + 4]), uv=uv, texture=quarters(), colours=colours)
    formats.write(scan, tmp_path / "a.glb")
    back = formats.read(tmp_path / "a.glb")
    np.testing.assert_array_equal(back.vertices, points)
    np.testing.assert_allclose(back.uv, uv, atol=1e-7)
    np.testing.assert_array_equal(back.colours, colours)
    assert len(back.warnings) == 1 and "2 of 4 faces have a material without a texture" in back.warnings[0]


def test_every_colour_of_8_bits_comes_back(tmp_path):
    colours = np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1)
    rng = np.random.default_rng(2)
    scan = Scan.of(rng.normal(size=(256, 3)), rng.integers(0, 256, (100, 3)), colours=colours)
    formats.write(scan, tmp_path / "a.glb")
    np.testing.assert_array_equal(formats.read(tmp_path / "a.glb").colours, colours)
    some = rng.random((1000, 3)).astype(np.float32) * 255
    np.testing.assert_allclose(gltf_colours.decoded(gltf_colours.encoded(some)), some, atol=0.06)
    np.testing.assert_allclose(gltf_colours.to_linear(gltf_colours.to_srgb(some / 255)), some / 255, atol=1e-12)
    np.testing.assert_array_equal(gltf_colours.encoded(np.array([np.nan, 300, -5])), [65535, 65535, 0])


def test_what_is_written_keeps_to_the_standard(tmp_path):
    points = SQUARE.copy()
    points[3] = np.nan
    formats.write(Scan.of(points, FACES, uv=UV, texture=quarters(), colours=COLOURS), tmp_path / "a.glb")
    content = (tmp_path / "a.glb").read_bytes()
    magic, version, total, length = struct.unpack_from("<4sIII", content)
    assert (magic, version, total) == (b"glTF", 2, len(content))
    tree = json.loads(content[20 : 20 + length])
    at = 20 + length
    binary, kind = struct.unpack_from("<I4s", content, at)
    assert (length % 4, binary % 4, kind, at + 8 + binary) == (0, 0, b"BIN\0", total)
    assert 0 <= binary - tree["buffers"][0]["byteLength"] < 4
    assert tree["asset"]["version"] == "2.0"
    for accessor in tree["accessors"]:
        view = tree["bufferViews"][accessor["bufferView"]]
        assert view["byteOffset"] % 4 == 0 and view.get("byteStride", 4) % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= tree["buffers"][0]["byteLength"]
    position = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    assert (position["min"], position["max"]) == ([0, 0, -1], [2, 3, 0.5])
    back = formats.read(tmp_path / "a.glb")
    np.testing.assert_array_equal(back.vertices, points)


def test_another_reader_reads_what_is_written(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    formats.write(whole(), tmp_path / "a.glb")
    mesh = next(iter(trimesh.load_scene(tmp_path / "a.glb", process=False).geometry.values()))
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    np.testing.assert_array_equal(mesh.faces, FACES)
    np.testing.assert_allclose(mesh.visual.uv, UV, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(mesh.visual.material.baseColorTexture.convert("RGB")), quarters())


# ---- damage to the meaning, not only to bytes ----


ODD = [
    None,
    True,
    -1,
    0,
    1,
    2,
    7,
    1.5,
    1e300,
    10**30,
    "",
    "x",
    [],
    {},
    [0],
    [[]],
    {"a": 1},
    [None] * 3,
    "../a",
    5126,
    2**31,
]
TREES = [
    (name, example.content) for name, example in examples("gltf").items()
    if example.name.endswith(".glb") and example.content[:4] == b"glTF" and b"nan" not in name.encode()
]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_place_gives_a_scan_or_an_error_of_ours(tmp_path, data, seed):
    _, content = data.draw(st.sampled_from(TREES[seed::8]))
    length = struct.unpack_from("<I", content, 12)[0]
    try:
        tree = json.loads(content[20 : 20 + length])
    except (ValueError, RecursionError):
        return
    for _ in range(data.draw(st.integers(1, 3))):
        place = tree
        while isinstance(place, (dict, list)) and place:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            inner = place[key]
            if not (isinstance(inner, (dict, list)) and inner) or data.draw(st.integers(0, 4)) == 0:
                kind = data.draw(st.sampled_from(["odd", "odd", "drop", "double"]))
                if kind == "odd":
                    place[key] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
                elif kind == "drop":
                    del place[key]
                elif isinstance(place, list):
                    place.append(copy.deepcopy(inner))
                break
            place = inner
    path = tmp_path / "odd.glb"
    path.write_bytes(glb(tree, content[28 + length :]))
    try:
        scan = formats.read(path)
        assert len(scan.faces) and all("\n" not in note for note in scan.warnings)
    except Fer3dError as error:
        assert str(tmp_path) in str(error) and "\n" not in str(error)


def test_colours_as_one_sees_them(read):
    """The texture lies as in the picture: red above left."""
    scan = read(textured(uv=np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)))
    upper_left = scan.uv[3]  # of (0, 3), the corner above left
    row, column = int((1 - upper_left[1]) * 7), int(upper_left[0] * 7)
    assert tuple(scan.texture[row, column]) == RED


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("attribute", ["POSITION", "TEXCOORD_0", "COLOR_0"])
def test_a_signalling_nan_is_read_as_nan(read, attribute):
    """NumPy warns where it converts one."""
    bits = np.tile(np.array([0x7F800001, 0, 0], "<u4"), (4, 1))[:, : 2 if attribute == "TEXCOORD_0" else 3]
    file = File()
    view = file.view(np.ascontiguousarray(bits).tobytes())
    kind = "VEC2" if attribute == "TEXCOORD_0" else "VEC3"
    index = file.add("accessors", {"bufferView": view, "componentType": 5126, "count": 4, "type": kind})
    primitive = file.primitive(uv=None)
    primitive["attributes"][attribute] = index
    file.show(primitive)
    scan = read(file.glb(), "a.glb")
    rows = {"POSITION": scan.vertices, "TEXCOORD_0": scan.uv, "COLOR_0": scan.colours}[attribute]
    assert rows is None or np.isnan(rows[:, 0]).all()
