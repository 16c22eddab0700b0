"""Map groups that somebody else could write: values at the top of a module, and records."""

import numpy as np

from fer3d.maps.groups import Channel, MapGroup


def across(scan, context):
    """How far the surface lies on the subject's left, mm: the mirror changes its sign."""
    return scan.vertices[:, 0]


def bending(scan, context):
    """Mean curvature, (V, 1), for `squared` to finish."""
    k1, k2 = context.curvatures
    return ((k1 + k2) / 2)[:, None]


def squared(layers):
    """The mean curvature and its square: not linear, so not interpolated itself."""
    return np.concatenate([layers, layers * layers])


def root(square):
    """|mean curvature|, 1/mm, of its square."""
    return np.sqrt(square)


def grey(scan, context):
    """A colour in [0, 1] from how far the normals turn away, whatever the size of the scan."""
    shade = 0.5 + 0.5 * context.normals[:, 2].astype(np.float64)
    return np.stack([shade, shade**2, 1 - shade], axis=1)


ACROSS = MapGroup(
    "across", stored=(Channel("across", mirror=-1, power=1, low=-60.0, high=60.0),), values=across, version=3
)
BENDING = MapGroup(
    "bending",
    stored=(
        Channel("bend", mirror=1, power=-1, low=-0.1, high=0.1, drawn=False),
        Channel("bend_squared", mirror=1, power=-2, low=0.0, high=0.01, colours="blue-red"),
    ),
    values=bending,
    finish=squared,
    fed=(Channel("bend_size", mirror=1, power=-1, low=0.0, high=0.1, limit=0.3, formula=root, of=("bend_squared",)),),
    needs_curvatures=True,
)
SHADE = MapGroup(
    "shade",
    stored=tuple(Channel(f"shade_{c}", mirror=1, power=0, low=0.0, high=1.0) for c in ("red", "green", "blue")),
    values=grey,
    kind="colour",
)
GROUPS = (ACROSS, BENDING, SHADE)
