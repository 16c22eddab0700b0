"""Stochastic pooling over maps whose channels lie last: one pass over the members of a region, one random number."""

from numba import njit


@njit(cache=True, nogil=True)
def draw(x, even, kernel, stride, out, drawn):  # type: ignore[no-untyped-def]
    """From each region one member, with a chance in proportion to its size.

    O(B h w C kernel^2), no scratch memory. A region of zeros draws evenly from all kernel^2 numbers, and gives 0; one
    with a NaN gives NaN.

    Args:
        x: (B, H, W, C) float32, not negative.
        even: (B, h, w, C) float32 in [0, 1): where the draws come from.
        kernel, stride: Of the regions, which the rim of x may cut.
        out: (B, h, w, C) float32. Filled: the member drawn.
        drawn: (B, h, w, C) uint8. Filled: its number, row by row, counted as if the rim did not cut the region.
    """
    count, height, width, channels = x.shape
    for b in range(count):
        for i in range(out.shape[1]):
            top, bottom = i * stride, min(i * stride + kernel, height)
            for j in range(out.shape[2]):
                left, right = j * stride, min(j * stride + kernel, width)
                for c in range(channels):
                    total = x[b, top, left, c] * 0
                    for r in range(top, bottom):
                        for s in range(left, right):
                            total += x[b, r, s, c]
                    if not total > 0:
                        out[b, i, j, c] = total
                        drawn[b, i, j, c] = min(int(even[b, i, j, c] * kernel * kernel), kernel * kernel - 1)
                        continue
                    # member l is drawn if the sum of those before is at most the threshold, and with it more
                    threshold = even[b, i, j, c] * total
                    after = total * 0
                    found = False
                    for r in range(top, bottom):
                        for s in range(left, right):
                            after += x[b, r, s, c]
                            if not found and threshold < after:
                                found = True
                                out[b, i, j, c] = x[b, r, s, c]
                                drawn[b, i, j, c] = (r - top) * kernel + s - left


@njit(cache=True, nogil=True)
def spread(gradient, drawn, kernel, stride, out):  # type: ignore[no-untyped-def]
    """Add the gradient of each region to where its member was drawn; beyond the rim it is lost.

    Args:
        gradient: (B, h, w, C) float32.
        drawn: (B, h, w, C) uint8, from `draw`.
        kernel, stride: Of the regions.
        out: (B, H, W, C) float32. Added to.
    """
    count, height, width, channels = out.shape
    for b in range(count):
        for i in range(drawn.shape[1]):
            for j in range(drawn.shape[2]):
                for c in range(channels):
                    r = i * stride + drawn[b, i, j, c] // kernel
                    s = j * stride + drawn[b, i, j, c] % kernel
                    if r < height and s < width:
                        out[b, r, s, c] += gradient[b, i, j, c]
