"""Stochastic pooling of channels-last maps: one pass over the members of a region, one random number per region."""

from numba import njit


@njit(cache=True, nogil=True)
def draw(x, even, kernel, stride, out, drawn):  # type: ignore[no-untyped-def]
    """Draw one member of each region, with a probability proportional to its value.

    O(B h w C kernel^2), no scratch memory. A region of zeros draws uniformly from all kernel^2 positions and gives 0; a
    region with a NaN gives NaN.

    Args:
        x: (B, H, W, C) float32, not negative.
        even: (B, h, w, C) float32 in [0, 1). Uniform random numbers for the draws.
        kernel, stride: Size and stride of the regions, which the border of x may cut.
        out: (B, h, w, C) float32. Filled with the value of the drawn member.
        drawn: (B, h, w, C) uint8. Filled with its number, row by row, in the uncut region.
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
                    # draw the first member up to which the sum exceeds the threshold
                    threshold = even[b, i, j, c] * total
                    after = total * 0
                    done = False
                    for r in range(top, bottom):
                        for s in range(left, right):
                            after += x[b, r, s, c]
                            if not done and threshold < after:
                                done = True
                                out[b, i, j, c] = x[b, r, s, c]
                                drawn[b, i, j, c] = (r - top) * kernel + s - left


@njit(cache=True, nogil=True)
def spread(gradient, drawn, kernel, stride, out):  # type: ignore[no-untyped-def]
    """Add the gradient of each region at the position of its drawn member; positions beyond the border are skipped.

    Args:
        gradient: (B, h, w, C) float32.
        drawn: (B, h, w, C) uint8, from `draw`.
        kernel, stride: Size and stride of the regions.
        out: (B, H, W, C) float32. The gradients are added to it.
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
