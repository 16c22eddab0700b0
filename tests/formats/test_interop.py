import sys
import types

import numpy as np
import pytest

from fer3d.errors import ArgumentError, MissingLibraryError
from fer3d.formats import interop
from fer3d.scan import Scan

TEXTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)  # no row or column like another


@pytest.fixture
def scan():
    vertices = [[0, 0, 0.5], [2, 0, 0.25], [2, 3, -1], [0, 3, 0.125]]
    uv = np.array([[0.1, 0.2], [0.9, 0.25], [0.8, 0.7], [0.05, 0.6]], np.float32)
    return Scan.of(vertices, [[0, 1, 2], [0, 2, 3]], uv=uv, texture=TEXTURE)


@pytest.fixture
def bare(scan):
    return Scan.of(scan.vertices, scan.faces)


def same(a, b):
    np.testing.assert_array_equal(a.vertices, b.vertices)
    np.testing.assert_array_equal(a.faces, b.faces)
    for one, other in ((a.uv, b.uv), (a.texture, b.texture)):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one, other)


# ---- trimesh ----


def test_trimesh_and_back(scan, bare):
    import trimesh

    for each in (scan, bare):
        mesh = interop.to_trimesh(each)
        assert isinstance(mesh, trimesh.Trimesh)
        same(interop.from_trimesh(mesh), each)
    assert interop.from_trimesh(interop.to_trimesh(scan)).history == (
        {"step": "import", "from": "trimesh", "vertices": 4, "faces": 2},
    )


def test_trimesh_merges_and_moves_nothing():
    twice = Scan.of([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], [[0, 1, 2], [3, 1, 2], [1, 1, 2]])
    mesh = interop.to_trimesh(twice)
    assert mesh.vertices.shape == (4, 3)
    assert mesh.faces.tolist() == twice.faces.tolist()


def test_nan_uv_go_over_as_zero(scan):
    scan.uv[3] = np.nan
    assert interop.to_trimesh(scan).visual.uv[3].tolist() == [0, 0]


def test_colours_of_vertices_go_to_trimesh_and_back(bare):
    colours = np.array([[0, 10, 255], [1, 2, 3], [40, 50, 60], [np.nan] * 3], np.float32)
    mesh = interop.to_trimesh(Scan.of(bare.vertices, bare.faces, colours=colours))
    assert mesh.visual.kind == "vertex"
    assert interop.from_trimesh(mesh).colours.tolist() == [[0, 10, 255], [1, 2, 3], [40, 50, 60], [128] * 3]


def test_colours_of_faces_come_from_trimesh_as_their_mean(bare):
    import trimesh

    mesh = trimesh.Trimesh(bare.vertices, bare.faces, process=False)
    mesh.visual.face_colors = [[100, 0, 0, 255], [200, 0, 0, 255]]
    back = interop.from_trimesh(mesh)
    assert back.colours[:, 0].tolist() == [150, 100, 150, 200]
    assert back.warnings == ("the mesh has colours of faces: vertices take their mean",)


def test_what_is_lost_on_the_way_from_trimesh_is_warned_of(scan):
    import trimesh
    from PIL import Image

    picture = Image.fromarray(TEXTURE)
    pair = trimesh.visual.material.MultiMaterial([trimesh.visual.material.SimpleMaterial(image=picture)] * 2)
    mesh = trimesh.Trimesh(scan.vertices, scan.faces, process=False)
    mesh.visual = trimesh.visual.TextureVisuals(uv=scan.uv, material=pair)
    assert interop.from_trimesh(mesh).warnings == ("the mesh has 2 materials, which are not taken: it has no texture",)
    mesh.visual = trimesh.visual.TextureVisuals(material=trimesh.visual.material.SimpleMaterial(image=picture))
    assert "no uv of its vertices" in interop.from_trimesh(mesh).warnings[0]


def test_a_mesh_far_from_its_origin_keeps_its_shape(bare):
    import trimesh

    far = np.array([500_000.0, 5_000_000.0, 30.0])
    back = interop.from_trimesh(trimesh.Trimesh(bare.vertices * 0.001 + far, bare.faces, process=False))
    at = back.vertices - back.placement[:3, 3]
    np.testing.assert_allclose(at, bare.vertices * 0.001 + far, atol=1e-9)
    np.testing.assert_allclose(back.vertices - back.vertices[0], 0.001 * (bare.vertices - bare.vertices[0]), atol=1e-8)
    assert "origin" in back.history[0]


def test_what_is_no_trimesh(scan):
    import trimesh

    with pytest.raises(ArgumentError, match=r"`mesh` should be a trimesh.Trimesh, is PointCloud"):
        interop.from_trimesh(trimesh.PointCloud(scan.vertices))
    with pytest.raises(ArgumentError, match=r"`faces` should hold rows in \[0, 4\), holds \[0, 9\]"):
        interop.from_trimesh(trimesh.Trimesh(scan.vertices, [[0, 1, 9]], process=False, validate=False))


# ---- open3d ----


@pytest.fixture
def open3d():
    try:
        return pytest.importorskip("open3d", exc_type=ImportError)
    except OSError as error:  # libGL or libusb is not there
        pytest.skip(str(error))


def test_open3d_and_back(open3d, scan, bare):
    for each in (scan, bare):
        mesh = interop.to_open3d(each)
        assert isinstance(mesh, open3d.geometry.TriangleMesh)
        back = interop.from_open3d(mesh)
        same(back, each)
        assert back.file_vertex is None


def test_open3d_has_the_convention_of_its_own_reader(open3d, scan, tmp_path):
    from fer3d import formats

    formats.write(scan, tmp_path / "a.obj")
    theirs = open3d.io.read_triangle_mesh(str(tmp_path / "a.obj"))
    ours = interop.to_open3d(scan)
    np.testing.assert_allclose(np.asarray(ours.triangle_uvs), np.asarray(theirs.triangle_uvs), atol=1e-7)
    texture = next(image for image in theirs.textures if not image.is_empty())
    np.testing.assert_array_equal(np.asarray(ours.textures[0]), np.asarray(texture))
    same(interop.from_open3d(theirs), scan)


def test_open3d_corners_with_two_uv_split_their_vertex(open3d, scan):
    mesh = interop.to_open3d(scan)
    corners = np.asarray(mesh.triangle_uvs).copy()
    corners[3] = [0.5, 0.5]
    mesh.triangle_uvs = open3d.utility.Vector2dVector(corners)
    back = interop.from_open3d(mesh)
    assert back.file_vertex.tolist() == [0, 1, 2, 3, 0]
    assert back.faces.tolist() == [[0, 1, 2], [4, 2, 3]]
    assert back.uv[4].tolist() == [0.5, 0.5]
    with pytest.raises(ArgumentError, match=r"`mesh` should be an open3d.geometry.TriangleMesh, is PointCloud"):
        interop.from_open3d(open3d.geometry.PointCloud())


class TriangleMesh:
    """As much of open3d.geometry.TriangleMesh as is used."""

    def __init__(self, vertices, triangles):
        self.vertices, self.triangles = vertices, triangles
        self.triangle_uvs = self.vertex_colors = np.empty((0, 2))
        self.textures = []

    def has_triangle_uvs(self):
        return len(self.triangle_uvs) > 0

    def has_vertex_colors(self):
        return len(self.vertex_colors) > 0


class Pixels(np.ndarray):
    def is_empty(self):
        return self.size == 0


@pytest.fixture
def stand_in(monkeypatch):
    """Open3D with as much as is used, so that our side runs anywhere."""
    package = types.ModuleType("open3d")
    package.geometry = types.SimpleNamespace(TriangleMesh=TriangleMesh, Image=lambda image: image.view(Pixels))
    package.utility = types.SimpleNamespace(
        Vector3dVector=np.array, Vector2dVector=np.array, Vector3iVector=np.array, IntVector=np.array
    )
    monkeypatch.setitem(sys.modules, "open3d", package)
    return package


def test_a_stand_in_for_open3d_and_back(stand_in, scan, bare):
    for each in (scan, bare):
        same(interop.from_open3d(interop.to_open3d(each)), each)
    colours = np.array([[0, 10, 255], [1, 2, 3], [40, 50, 60], [np.nan] * 3], np.float32)
    coloured = Scan.of(scan.vertices, scan.faces, uv=scan.uv, colours=colours)
    back = interop.from_open3d(interop.to_open3d(coloured))
    np.testing.assert_allclose(back.colours, np.where(np.isnan(colours), 128, colours), atol=1e-4)
    assert back.texture is None
    with pytest.raises(ArgumentError, match=r"`mesh` should be an open3d.geometry.TriangleMesh, is list"):
        interop.from_open3d([])


def test_what_open3d_has_more_of_is_warned_of(stand_in, scan):
    mesh = interop.to_open3d(scan)
    mesh.textures = [mesh.textures[0], mesh.textures[0]]
    assert interop.from_open3d(mesh).warnings == ("the mesh has 2 textures; the first is taken for all faces",)
    mesh.textures = [np.zeros((2, 3), np.uint16).view(Pixels)]
    assert interop.from_open3d(mesh).warnings == ("the texture of the mesh has pixels of uint16, wanted uint8",)
    mesh.triangle_uvs = mesh.triangle_uvs[:-1]
    with pytest.raises(ArgumentError, match="a uv for each of its 6 corners, has 5"):
        interop.from_open3d(mesh)


def test_uv_of_another_number_are_warned_of(bare):
    mesh = interop.to_trimesh(bare)
    mesh.visual = types.SimpleNamespace(uv=np.zeros((2, 2)), kind=None)
    back = interop.from_trimesh(mesh)
    assert back.uv is None
    assert back.warnings == ("the mesh has 2 uv for 4 vertices: not taken",)


def test_a_coarse_mesh_is_warned_of(pytorch3d, bare):
    meshes = interop.to_pytorch3d(Scan.of(bare.vertices * 0.001 + np.float32(5000), bare.faces))
    (back,) = interop.from_pytorch3d(meshes)
    assert "stored in single precision" in back.warnings[0]


# ---- pytorch3d ----


class Meshes:
    """As much of pytorch3d.structures.Meshes as is used."""

    def __init__(self, verts, faces, textures=None):
        self._verts, self._faces, self.textures = verts, faces, textures

    def verts_list(self):
        return self._verts

    def faces_list(self):
        return self._faces


class TexturesUV:
    def __init__(self, maps, faces_uvs, verts_uvs):
        self._maps, self._faces, self._verts = maps, faces_uvs, verts_uvs

    def maps_list(self):
        return list(self._maps)

    def faces_uvs_list(self):
        return self._faces

    def verts_uvs_list(self):
        return self._verts


@pytest.fixture
def pytorch3d(monkeypatch):
    """The library where there is one; else a stand-in with its attributes, so that our side runs anywhere."""
    try:
        import pytorch3d.renderer
        import pytorch3d.structures
    except ImportError:
        package = types.ModuleType("pytorch3d")
        package.renderer, package.structures = types.ModuleType("renderer"), types.ModuleType("structures")
        package.renderer.TexturesUV, package.structures.Meshes = TexturesUV, Meshes
        for name, module in (("", package), (".renderer", package.renderer), (".structures", package.structures)):
            monkeypatch.setitem(sys.modules, f"pytorch3d{name}", module)
        return package
    return pytorch3d


def test_pytorch3d_and_back(pytorch3d, scan, bare):
    for each in (scan, bare):
        meshes = interop.to_pytorch3d(each)
        assert isinstance(meshes, pytorch3d.structures.Meshes)
        (back,) = interop.from_pytorch3d(meshes)
        same(back, each)
    maps = interop.to_pytorch3d(scan).textures.maps_list()[0]
    assert tuple(maps.shape) == (4, 6, 3)
    assert float(maps.max()) <= 1
    with pytest.raises(ArgumentError, match=r"`meshes` should be a pytorch3d.structures.Meshes, is list"):
        interop.from_pytorch3d([])


class TexturesVertex:
    def __init__(self, features):
        self._features = features

    def verts_features_list(self):
        return self._features


def test_colours_of_vertices_go_to_pytorch3d_and_back(pytorch3d, bare, monkeypatch):
    if not hasattr(pytorch3d.renderer, "TexturesVertex"):
        monkeypatch.setattr(pytorch3d.renderer, "TexturesVertex", TexturesVertex, raising=False)
    colours = np.array([[0, 10, 255], [1, 2, 3], [40, 50, 60], [7, 8, 9]], np.float32)
    (back,) = interop.from_pytorch3d(interop.to_pytorch3d(Scan.of(bare.vertices, bare.faces, colours=colours)))
    np.testing.assert_allclose(back.colours, colours, atol=1e-4)


def test_other_textures_of_pytorch3d_are_warned_of(pytorch3d, bare):
    meshes = interop.to_pytorch3d(bare)
    meshes.textures = object()
    (back,) = interop.from_pytorch3d(meshes)
    assert back.warnings == ("the mesh has textures of object, which are not taken",)


# ---- missing libraries ----


@pytest.mark.parametrize("name", ["open3d", "pytorch3d"])
def test_a_missing_library_is_named_with_its_extra(monkeypatch, scan, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingLibraryError, match=rf"cannot be imported .*pip install 'fer3d\[{name}\]'"):
        getattr(interop, f"to_{name}")(scan)


def test_a_missing_system_library_is_named(monkeypatch, scan):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "open3d":
                raise OSError("libGL.so.1: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "open3d", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(MissingLibraryError, match=r"libGL\.so\.1.*apt install libgl1 libusb-1\.0-0"):
        interop.to_open3d(scan)
