"""The peer of `fer3d preprocess`: the script a careful researcher writes with Open3D, trimesh, SciPy and NumPy.

Same steps, same parameters, same outputs, vectorised throughout; no native code or Numba of its own. It reads a `.wrl`
with regular expressions (no library of the three reads it) and takes its landmarks from the `.bnd` beside it.
"""

import re
from pathlib import Path

import numpy as np
import open3d as o3d
import scipy.ndimage
import scipy.sparse
import trimesh
from PIL import Image
from scipy.interpolate import griddata
from scipy.spatial import cKDTree

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
FIT_POINTS = (0, 4, 8, 12, 39, 42, 44, 48, 51, 54, 57, 75)  # rows of a .bnd that have a partner on the mean face


def prepare(path, out, target, *, crop=90.0, radius=5.0, size=224, pixel=0.8, hole=10.0, spike=3.0):
    """Prepare one scan and write it as .npz.

    Args:
        path: A `.wrl` with its `.bnd` and texture beside it.
        out: File to write.
        target: (12, 3) where the landmarks of `FIT_POINTS` lie on the mean face, nose tip at the origin.
    """
    path = Path(path)
    vertices, faces, uv, texture = read_wrl(path)
    vertices, faces, uv = clean(vertices, faces, uv, spike)
    landmarks = read_bnd(path.with_suffix(".bnd"))
    rotation, shift = kabsch(landmarks[list(FIT_POINTS)], target)
    vertices, landmarks = vertices @ rotation.T + shift, landmarks @ rotation.T + shift
    near = np.abs(vertices[:, :2]).max(axis=1) < 15.0
    tip = vertices[near][vertices[near, 2].argmax()]
    vertices, landmarks = vertices - tip, landmarks - tip
    vertices, faces, uv = keep(vertices, faces, uv, np.linalg.norm(vertices, axis=1) <= crop)
    normals = vertex_normals(vertices, faces)
    k1, k2 = curvatures(vertices, normals, radius)
    maps, mask, colours = render(vertices, faces, uv, normals, k1, k2, texture, size, pixel, hole)
    np.savez(
        out,
        maps=maps.astype(np.float16),
        mask=mask,
        texture=colours,
        vertices=vertices.astype(np.float32),
        faces=faces.astype(np.int32),
        landmarks=landmarks,
    )


def read_wrl(path):
    text = re.sub(r"#.*", "", path.read_text(errors="replace"))

    def block(key):
        return re.search(key + r"\s*\[(.*?)\]", text, re.S).group(1)

    def numbers(key, width):
        return np.array(re.findall(NUMBER, block(key)), float).reshape(-1, width)

    vertices = numbers(r"Coordinate\s*\{\s*point", 3)
    texture_points = numbers(r"TextureCoordinate\s*\{\s*point", 2)
    faces = numbers(r"\bcoordIndex", 4)[:, :3].astype(int)
    texture_faces = numbers(r"texCoordIndex", 4)[:, :3].astype(int)
    uv = np.zeros((len(vertices), 2))
    uv[faces] = texture_points[texture_faces]  # one uv a vertex: seams are lost
    image = path.with_name(re.search(r'url\s*\[?\s*"([^"]+)"', text).group(1))
    return vertices, faces, uv, np.asarray(Image.open(image).convert("RGB"))


def read_bnd(path):
    return np.array([line.split()[1:4] for line in path.read_text().splitlines() if line.strip()], float)


def clean(vertices, faces, uv, spike):
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    faces = faces[mesh.nondegenerate_faces() & mesh.unique_faces()]
    edges = np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    links = scipy.sparse.coo_matrix((np.ones(len(edges)), edges.T), (len(vertices),) * 2).tocsr()
    links = ((links + links.T) > 0).astype(float)
    degree = np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1)
    away = np.linalg.norm(vertices - (links @ vertices) / degree[:, None], axis=1)
    _, component = scipy.sparse.csgraph.connected_components(links, directed=False)
    largest = component == np.bincount(component).argmax()
    vertices, faces, uv = keep(vertices, faces, uv, largest & (away < spike))
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    trimesh.repair.fill_holes(mesh)  # closes holes of three or four edges only
    return vertices, np.asarray(mesh.faces), uv


def keep(vertices, faces, uv, chosen):
    row = np.cumsum(chosen) - 1
    return vertices[chosen], row[faces[chosen[faces].all(axis=1)]], uv[chosen]


def kabsch(source, target):
    a, b = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((source - a).T @ (target - b))
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    rotation = vt.T @ sign @ u.T
    return rotation, b - rotation @ a


def vertex_normals(vertices, faces):
    mesh = o3d.geometry.TriangleMesh(o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(faces))
    mesh.compute_vertex_normals()
    return np.asarray(mesh.vertex_normals)


def curvatures(vertices, normals, radius, chunk=4096):
    """Quadric fit over the neighbours within `radius`, padded to the largest neighbourhood of a chunk."""
    tree = cKDTree(vertices)
    k1, k2 = np.empty(len(vertices)), np.empty(len(vertices))
    for start in range(0, len(vertices), chunk):
        rows = slice(start, min(start + chunk, len(vertices)))
        lists = tree.query_ball_point(vertices[rows], radius)
        longest = max(map(len, lists))
        index = np.array([members + [members[0]] * (longest - len(members)) for members in lists])
        weight = np.arange(longest)[None] < np.array([len(members) for members in lists])[:, None]
        normal = normals[rows]
        helper = np.where(np.abs(normal[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
        e1 = np.cross(normal, helper)
        e1 /= np.linalg.norm(e1, axis=1, keepdims=True)
        frame = np.stack([e1, np.cross(normal, e1), normal], axis=1)  # (N, 3, 3)
        local = np.einsum("nij,nkj->nki", frame, vertices[index] - vertices[rows, None])
        x, y, z = np.moveaxis(local, 2, 0)
        basis = np.stack([np.ones_like(x), x, y, x * x / 2, x * y, y * y / 2], axis=-1) * weight[..., None]
        normal_matrix = np.einsum("nki,nkj->nij", basis, basis) + 1e-9 * np.eye(6)
        _, p, q, a, b, c = np.linalg.solve(normal_matrix, np.einsum("nki,nk->ni", basis, z)[..., None])[..., 0].T
        slope = 1 + p * p + q * q
        gaussian = (a * c - b * b) / slope**2
        mean = -((1 + q * q) * a - 2 * p * q * b + (1 + p * p) * c) / (2 * slope**1.5)
        root = np.sqrt(np.maximum(mean * mean - gaussian, 0))
        k1[rows], k2[rows] = mean + root, mean - root
    return k1, k2


def render(vertices, faces, uv, normals, k1, k2, texture, size, pixel, hole):
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(vertices.astype(np.float32), faces.astype(np.uint32))
    axis = (np.arange(size) - (size - 1) / 2) * pixel
    x, y = np.meshgrid(axis, -axis)
    rays = np.zeros((size, size, 6), np.float32)
    rays[..., 0], rays[..., 1], rays[..., 2], rays[..., 5] = x, y, 500, -1
    hits = scene.cast_rays(rays)
    hit = np.isfinite(hits["t_hit"].numpy())
    corners = faces[hits["primitive_ids"].numpy()[hit].astype(int)]  # (N, 3)
    b = hits["primitive_uvs"].numpy()[hit]
    weights = np.column_stack([1 - b.sum(axis=1), b])
    attributes = np.column_stack([vertices[:, 2], normals, k1, k2, uv])
    values = np.einsum("nk,nkc->nc", weights, attributes[corners])
    image = np.full((size, size, 8), np.nan)
    image[hit] = values
    image, mask = fill(image, hit, int(hole / pixel))
    n = image[..., 1:4] / np.linalg.norm(image[..., 1:4], axis=-1, keepdims=True)
    a, c = image[..., 4], image[..., 5]
    shape_index = 0.5 + np.arctan2(a + c, a - c) / np.pi
    stack = [image[..., 0], *np.moveaxis(n, 2, 0), shape_index, np.sqrt((a * a + c * c) / 2), (a + c) / 2, a * c]
    rows = np.clip((1 - np.nan_to_num(image[..., 7])) * texture.shape[0], 0, texture.shape[0] - 1).astype(int)
    columns = np.clip(np.nan_to_num(image[..., 6]) * texture.shape[1], 0, texture.shape[1] - 1).astype(int)
    return np.stack(stack), mask, np.where((mask > 0)[..., None], texture[rows, columns], 0).astype(np.uint8)


def fill(image, hit, largest):
    mask = hit.astype(np.uint8)
    labels, _ = scipy.ndimage.label(~hit)
    for number, where in enumerate(scipy.ndimage.find_objects(labels), start=1):
        rows, columns = where
        inside = rows.start > 0 and columns.start > 0 and rows.stop < len(hit) and columns.stop < len(hit)
        if inside and max(rows.stop - rows.start, columns.stop - columns.start) <= largest:
            box = tuple(slice(s.start - 3, s.stop + 3) for s in where)
            missing = labels[box] == number
            known = hit[box]
            image[box][missing] = griddata(np.argwhere(known), image[box][known], np.argwhere(missing), "cubic")
            mask[box][missing] = 2
    return image, mask
