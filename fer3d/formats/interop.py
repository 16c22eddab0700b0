"""Convert scans to the mesh types of other libraries and back: trimesh, Open3D, PyTorch3D.

The conversion keeps vertices (in the same order), faces, uv, texture and colours of vertices. Landmarks, `file_vertex`,
placement, history and how the texture continues outside [0, 1] (`Scan.wrap`) are lost: the other libraries repeat it. A
scan that is converted back has a new history; one far from its origin is brought near it (`Scan.placement`). Each
function imports the library that it needs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fer3d.checks import check_index
from fer3d.errors import ArgumentError, MissingLibraryError
from fer3d.formats.origin import near_origin
from fer3d.scan import Scan

if TYPE_CHECKING:
    import open3d
    import pytorch3d.structures
    import trimesh


def to_trimesh(scan: Scan) -> trimesh.Trimesh:
    """Convert a scan to an unprocessed `trimesh.Trimesh`: no vertex is merged or moved. NaN uv become 0.

    Its visual is the texture where the scan has uv, else the colours of the vertices; NaN colours become grey (128).
    """
    import trimesh
    from PIL import Image

    visuals: Any = trimesh.visual  # partly untyped
    visual = None
    if scan.uv is not None:
        image = None if scan.texture is None else Image.fromarray(scan.texture)
        visual = visuals.TextureVisuals(uv=_without_nan(scan.uv), material=visuals.material.SimpleMaterial(image=image))
    elif scan.colours is not None:
        opaque = np.full((len(scan.vertices), 1), 255, np.uint8)
        visual = visuals.ColorVisuals(vertex_colors=np.hstack([_bytes(scan.colours), opaque]))
    return trimesh.Trimesh(scan.vertices, scan.faces, visual=visual, process=False, validate=False)


def from_trimesh(mesh: trimesh.Trimesh) -> Scan:
    """Convert a trimesh mesh to a Scan, rounded to float32.

    Raises:
        ArgumentError: if it is not a triangle mesh (a scene, a point cloud), or a face is out of range.
    """
    import trimesh

    from fer3d.formats.textures import as_rgb

    if not isinstance(mesh, trimesh.Trimesh):
        raise ArgumentError(f"`mesh` should be a trimesh.Trimesh, is {type(mesh).__name__}")
    uv = getattr(mesh.visual, "uv", None)
    scan = _checked(mesh.vertices, mesh.faces, "trimesh", None if uv is None else np.asarray(uv, dtype=np.float32))
    if getattr(mesh.visual, "kind", None) in ("vertex", "face"):
        return _with_colours(scan, mesh.visual)
    material: Any = getattr(mesh.visual, "material", None)
    if hasattr(material, "materials"):
        return scan.warn(f"the mesh has {len(material.materials)} materials, which are not taken: it has no texture")
    picture = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    if picture is None:
        return scan
    if scan.uv is None:
        return scan.warn("the mesh has a texture but no uv of its vertices: the texture is not taken")
    image, problem = as_rgb(picture)
    return scan.warn(f"the texture of the mesh {problem}") if image is None else replace(scan, texture=image)


def _with_colours(scan: Scan, visual: Any) -> Scan:
    """Add the colours of a trimesh visual of vertices or faces."""
    from fer3d.formats.parts import mean_at_vertices

    if visual.kind == "vertex":
        return replace(scan, colours=np.ascontiguousarray(visual.vertex_colors[:, :3], dtype=np.float32))
    corners = np.repeat(np.asarray(visual.face_colors)[:, None, :3], 3, axis=1)  # (F, 3, 3)
    colours, several = mean_at_vertices(scan.faces, corners, len(scan.vertices))
    scan = replace(scan, colours=colours)
    return scan.warn("the mesh has colours of faces: vertices take their mean") if several else scan


def to_open3d(scan: Scan) -> open3d.geometry.TriangleMesh:
    """Convert a scan to an `open3d.geometry.TriangleMesh` with `triangle_uvs` and one texture, as Open3D reads them.

    Convention:
        - As in meshes that Open3D reads itself, v points up, as in a `Scan`, and row 0 of the texture is the bottom.

    Raises:
        MissingLibraryError: if Open3D cannot be imported.
    """
    o3d = _open3d()
    mesh: open3d.geometry.TriangleMesh = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(scan.vertices.astype(np.float64)), o3d.utility.Vector3iVector(scan.faces)
    )
    if scan.colours is not None:
        mesh.vertex_colors = o3d.utility.Vector3dVector(_bytes(scan.colours).astype(np.float64) / 255)
    if scan.uv is not None:
        corners = _without_nan(scan.uv)[scan.faces.ravel()]  # (3 F, 2)
        mesh.triangle_uvs = o3d.utility.Vector2dVector(corners.astype(np.float64))
        mesh.triangle_material_ids = o3d.utility.IntVector(np.zeros(len(scan.faces), np.int32))
        if scan.texture is not None:
            mesh.textures = [o3d.geometry.Image(np.ascontiguousarray(scan.texture[::-1]))]
    return mesh


def from_open3d(mesh: open3d.geometry.TriangleMesh) -> Scan:
    """Convert an Open3D triangle mesh to a Scan, rounded to float32. Vertices with several uv are split; copies last.

    Raises:
        MissingLibraryError: if Open3D cannot be imported.
        ArgumentError: if it is not a triangle mesh, or a face is out of range.
    """
    o3d = _open3d()
    if not isinstance(mesh, o3d.geometry.TriangleMesh):
        raise ArgumentError(f"`mesh` should be an open3d.geometry.TriangleMesh, is {type(mesh).__name__}")
    scan = _checked(np.asarray(mesh.vertices), np.asarray(mesh.triangles), "open3d", None)
    if mesh.has_vertex_colors():
        scan = replace(scan, colours=np.asarray(mesh.vertex_colors).astype(np.float32) * np.float32(255))
    if not mesh.has_triangle_uvs():
        return scan
    scan = _with_corner_uv(scan, np.asarray(mesh.triangle_uvs).astype(np.float32))  # (3 F, 2)
    images = [np.asarray(image) for image in mesh.textures if not image.is_empty()]
    if not images:
        return scan
    if len(images) > 1:
        scan = scan.warn(f"the mesh has {len(images)} textures; the first is taken for all faces")
    image = images[0] if images[0].ndim == 3 else np.repeat(images[0][:, :, None], 3, axis=2)
    if image.dtype != np.uint8:
        return scan.warn(f"the texture of the mesh has pixels of {image.dtype}, wanted uint8")
    return replace(scan, texture=np.ascontiguousarray(image[::-1, :, :3]))


def to_pytorch3d(scan: Scan) -> pytorch3d.structures.Meshes:
    """Convert a scan to a batch of one `pytorch3d.structures.Meshes` on the CPU, with `TexturesUV` if it has a texture,
    else with `TexturesVertex` if it has colours.

    PyTorch3D has the uv convention of `Scan`: v up, map row 0 at the top. Its maps are float32 in [0, 1].

    Raises:
        MissingLibraryError: if PyTorch3D cannot be imported.
    """
    p3d = _pytorch3d()
    import torch

    textures = None
    faces = torch.from_numpy(scan.faces.astype(np.int64))
    if scan.uv is not None and scan.texture is not None:
        textures = p3d.renderer.TexturesUV(
            maps=torch.from_numpy(scan.texture.astype(np.float32) / np.float32(255))[None],  # (1, H, W, 3)
            faces_uvs=[faces],
            verts_uvs=[torch.from_numpy(_without_nan(scan.uv))],
        )
    elif scan.colours is not None:
        colours = torch.from_numpy(_bytes(scan.colours).astype(np.float32) / np.float32(255))
        textures = p3d.renderer.TexturesVertex([colours])
    return p3d.structures.Meshes([torch.from_numpy(scan.vertices.copy())], [faces], textures)


def from_pytorch3d(meshes: pytorch3d.structures.Meshes) -> list[Scan]:
    """Convert each mesh of a batch to a Scan, detached, on the CPU. Vertices with several uv are split; copies last.

    Raises:
        MissingLibraryError: if PyTorch3D cannot be imported.
        ArgumentError: if it is not a batch of meshes, or a face is out of range.
    """
    p3d = _pytorch3d()
    if not isinstance(meshes, p3d.structures.Meshes):
        raise ArgumentError(f"`meshes` should be a pytorch3d.structures.Meshes, is {type(meshes).__name__}")
    scans = []
    textured = isinstance(meshes.textures, p3d.renderer.TexturesUV)
    for i, (vertices, faces) in enumerate(zip(meshes.verts_list(), meshes.faces_list(), strict=True)):
        scan = _checked(vertices.detach().cpu().numpy(), faces.detach().cpu().numpy(), "pytorch3d", None)
        if textured:
            uv = meshes.textures.verts_uvs_list()[i].detach().cpu().numpy()
            uv_faces = meshes.textures.faces_uvs_list()[i].detach().cpu().numpy()
            scan = _with_corner_uv(scan, uv[uv_faces.ravel()].astype(np.float32))
            pixels = meshes.textures.maps_list()[i].detach().cpu().numpy()
            scan = replace(scan, texture=np.rint(pixels[:, :, :3].clip(0, 1) * 255).astype(np.uint8))
        elif hasattr(meshes.textures, "verts_features_list"):  # TexturesVertex
            features = meshes.textures.verts_features_list()[i].detach().cpu().numpy()
            scan = replace(scan, colours=(features[:, :3].clip(0, 1) * 255).astype(np.float32))
        elif meshes.textures is not None:
            scan = scan.warn(f"the mesh has textures of {type(meshes.textures).__name__}, which are not taken")
        scans.append(scan)
    return scans


def _checked(vertices: Any, faces: Any, source: str, uv: NDArray[np.float32] | None) -> Scan:
    vertices, faces = np.asarray(vertices), np.asarray(faces).reshape(-1, 3)
    check_index("faces", faces, len(vertices))
    fits = uv is None or uv.shape == (len(vertices), 2)
    near = near_origin(vertices)
    counts = {"vertices": len(vertices), "faces": len(faces)}
    record = {"step": "import", "from": source, **counts, **near.record()}
    scan = Scan.of(near.vertices, faces, uv=uv if fits else None, placement=near.placement, history=(record,))
    if (note := near.warning()) is not None:
        scan = scan.warn(note)
    return (
        scan if uv is None or fits else scan.warn(f"the mesh has {len(uv)} uv for {len(vertices)} vertices: not taken")
    )


def _with_corner_uv(scan: Scan, corners: NDArray[np.float32]) -> Scan:
    """Add uv given per corner, (3 F, 2), to a scan. Vertices with several uv are split."""
    from fer3d.formats.number_blocks import split_vertices

    if corners.shape != (3 * len(scan.faces), 2):
        raise ArgumentError(
            f"`mesh` should have a uv for each of its {3 * len(scan.faces)} corners, has {len(corners)}"
        )
    distinct, index = np.unique(np.ascontiguousarray(corners).view(np.uint64).ravel(), return_inverse=True)
    faces, row, uv_row = split_vertices(scan.faces, index.reshape(-1, 3).astype(np.int32), len(scan.vertices))
    uv = distinct.view(np.float32).reshape(-1, 2)[uv_row]
    uv[uv_row < 0] = np.nan
    split = len(row) > len(scan.vertices)
    colours = None if scan.colours is None else scan.colours[row]
    file_vertex = row if split else None
    return replace(scan, vertices=scan.vertices[row], faces=faces, uv=uv, colours=colours, file_vertex=file_vertex)


def _without_nan(uv: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.isnan(uv), np.float32(0), uv)


def _bytes(colours: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(V, 3). NaN becomes grey (128)."""
    return np.rint(np.where(np.isnan(colours), np.float32(128), colours)).clip(0, 255).astype(np.uint8)


def _open3d() -> Any:
    try:
        import open3d
    except ImportError as error:
        raise MissingLibraryError(f"Open3D cannot be imported ({error}): pip install 'fer3d[open3d]'") from error
    except OSError as error:  # Open3D is installed, but a system library that it loads is missing
        raise MissingLibraryError(
            f"Open3D is installed but cannot be loaded ({error}); on Debian: apt install libgl1 libusb-1.0-0"
        ) from error
    return open3d


def _pytorch3d() -> Any:
    try:
        import pytorch3d.renderer
        import pytorch3d.structures
    except ImportError as error:
        raise MissingLibraryError(
            f"PyTorch3D cannot be imported ({error}): pip install 'fer3d[pytorch3d]', from source on Linux"
        ) from error
    return pytorch3d
