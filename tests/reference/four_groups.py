"""Depth, normals, curvature and texture written out by hand, each by its name, as `fer3d.maps.groups` does not.

What the records of the four groups have to give, bit by bit: maps, channels, scales, mirror and augmentation.
"""

import numpy as np
import torch

from fer3d.data.augment_maps import _bend, _each, _plane, _turn_normals, _warp, relight
from fer3d.data.channels import relit
from fer3d.kernels import inpaint, raster, sampling
from fer3d.maps.curvature import (
    curvedness,
    gaussian_curvature,
    mean_curvature,
    principal_curvatures,
    shape_index,
    vertex_normals,
)

STORED = {
    "depth": ("depth",),
    "normal": ("normal_x", "normal_y", "normal_z"),
    "curvature": ("shape_index", "curvedness", "mean", "gaussian"),
    "texture": (),
}
FED = {
    "depth": ("depth",),
    "normal": ("normal_x", "normal_y", "normal_z"),
    "curvature": ("shape_index", "mean", "difference"),
    "texture": ("red", "green", "blue"),
}


def render_maps(scan, groups, size, pixel, radius, fill):
    """Names, (C, H, W) stack, (H, W) mask and (H, W, 3) texture or None."""
    points = np.empty(scan.vertices.shape)
    points[:, 0] = scan.vertices[:, 0] / np.float64(pixel) + (size - 1) / 2
    points[:, 1] = (size - 1) / 2 - scan.vertices[:, 1] / np.float64(pixel)
    points[:, 2] = scan.vertices[:, 2]
    face, bary = raster.zbuffer(points, scan.faces, size, size, raster.NO_JITTER)
    normals = vertex_normals(scan)
    layers = [scan.vertices[:, 2:]]
    if "normal" in groups:
        layers.append(normals)
    if "curvature" in groups:
        layers.append(np.stack(principal_curvatures(scan, radius, normals=normals), axis=1))
    raw = sampling.interpolate(face, bary, scan.faces, np.concatenate(layers, axis=1))
    textured = "texture" in groups and scan.texture is not None
    if textured:
        raw = np.concatenate([raw, sampling.look_up(face, bary, scan.faces, points, scan.uv, scan.texture, 0, 0)])
    parts = [slice(0, 1)]
    parts += [slice(1, 4)] * ("normal" in groups)
    parts += [slice(parts[-1].stop, parts[-1].stop + 2)] * ("curvature" in groups)
    parts += [slice(len(raw) - 3, len(raw))] * textured
    for part in parts:  # each map alone
        layers = raw[part].copy()
        known = np.isfinite(layers.sum(axis=0))
        layers[:, ~known] = np.nan
        inpaint.fill_holes(layers, known, int(fill / pixel + 1e-9))
        raw[part] = layers
    measured, filled = face >= 0, (face < 0) & np.isfinite(raw[0])
    made = {"depth": [raw[0]], "texture": []}
    row = 1
    if "normal" in groups:
        made["normal"] = list(raw[1:4] / np.sqrt((raw[1:4] * raw[1:4]).sum(axis=0)))
        row = 4
    if "curvature" in groups:
        k1, k2 = raw[row], raw[row + 1]
        made["curvature"] = [f(k1, k2) for f in (shape_index, curvedness, mean_curvature, gaussian_curvature)]
    names = tuple(name for group in groups for name in STORED[group])
    stack = np.array([c for group in groups for c in made[group]], np.float32).reshape(len(names), size, size)
    colours = np.clip(np.rint(np.nan_to_num(raw[-3:])), 0, 255).transpose(1, 2, 0).astype(np.uint8)
    return names, stack, np.where(filled, 2, measured).astype(np.uint8), colours if textured else None


def stack_channels(groups, names, stack, mask, texture, illumination):
    """(C + 1, H, W) float16."""
    stored = {name: stack[names.index(name)].astype(np.float32) for name in names}
    channels = []
    for name in (name for group in groups for name in FED[group]):
        if name in FED["texture"]:
            channel = relit(texture, illumination)[..., FED["texture"].index(name)] / np.float32(255.0)
        elif name == "difference":
            index = np.nan_to_num(stored["shape_index"], nan=0.5)
            channel = np.nan_to_num(stored["curvedness"], nan=0.0) * np.sin(np.pi * index)
        else:
            channel = np.nan_to_num(stored[name], nan=0.5 if name == "shape_index" else 0.0)
        channels.append(np.where(mask > 0, channel, 0.0))
    return np.stack([*channels, mask > 0]).astype(np.float16)


def flatten_scales(channels, values):
    """(B, C + 1, H, W) with curvatures cut and colours standardised."""
    values = values.clone()
    for name in ("mean", "difference"):
        if name in channels:
            values[:, channels.index(name)].clamp_(-0.5, 0.5)
    if "red" in channels:
        start = channels.index("red")
        colours, mask = values[:, start : start + 3], values[:, -1:]
        count = mask.sum((2, 3), keepdim=True).clamp(min=1)
        colours = (colours - (colours * mask).sum((2, 3), keepdim=True) / count) * mask
        deviation = ((colours * colours).sum((2, 3), keepdim=True) / count).sqrt()
        values[:, start : start + 3] = colours / (deviation + 0.01)
    return values


def fit(channels, values):
    """Mean and deviation of every channel, as lists."""
    mask = values[:, -1:].float()
    batch = flatten_scales(channels, values.float())[:, :-1] * mask
    count = mask.sum().expand(len(channels)).double()
    first, second = batch.sum((0, 2, 3)).double(), (batch * batch).sum((0, 2, 3)).double()
    mean = first / count.clamp(min=1)
    deviation = (second / count.clamp(min=1) - mean**2).clamp(min=0).sqrt().clamp(min=1e-3)
    across = [index for index, name in enumerate(channels) if name in ("normal_x", "normal_y")]
    if across:
        deviation[across] = (second[across] / count[across].clamp(min=1)).mean().sqrt().clamp(min=1e-3)
        mean[across] = 0.0
    return mean.tolist(), deviation.tolist()


def mirrored(channels, values):
    """(B, C + 1, H, W) as the mirror shows it."""
    values = values.flip(-1)
    if "normal_x" in channels:
        values[:, channels.index("normal_x")].neg_()
    return values


def augment(channels, values, draws, pixel):
    """(B, C + 1, H, W) changed at random."""
    bend = _bend(draws, values.shape[-2:], pixel)
    warped = _warp(values, draws, bend, pixel, True)
    mask = warped[:, -1:] > 0.5
    warped = torch.where(mask, warped / warped[:, -1:].clamp(min=0.5), 0.0)
    if "normal_x" in channels:
        start = channels.index("normal_x")
        warped[:, start : start + 3] = _turn_normals(warped[:, start : start + 3], draws, bend, pixel)
    if "depth" in channels:
        depth = warped[:, channels.index("depth")]
        depth = depth * _each(draws["scale"] * draws["stretch"][:, 2], 3) + _plane(draws, depth.shape, pixel)
        warped[:, channels.index("depth")] = depth if bend is None else depth + bend[:, 2]
    size = draws["scale"] * draws["stretch"].prod(dim=1) ** (1 / 3)
    for name in ("mean", "difference"):
        if name in channels:
            warped[:, channels.index(name)] /= _each(size, 3)
    if "red" in channels:
        start = channels.index("red")
        warped[:, start : start + 3] = relight(warped[:, start : start + 3], draws)
    return torch.cat([warped[:, :-1] * mask, mask.to(warped.dtype)], dim=1)
