"""Slow and obvious: the definition, one line per sentence. Used by the tests and by the benchmark."""

import torch


def patches(x, indices, weights):
    """(B, V, R, A, C): each bin's contributors, weighted and added."""
    scan = torch.arange(len(x)).view(-1, 1, 1, 1, 1)
    return (weights[..., None] * x[scan, indices.long()]).sum(dim=4)


def responses(p, kernel):
    """(A, B, V, O): the patches' products with the turned kernel: by s, its ray a + s meets ray a."""
    turned = [kernel.roll(-s, dims=1) for s in range(kernel.shape[1])]
    return torch.stack([torch.einsum("bvrac,raco->bvo", p, k) for k in turned])


def manifold_conv(x, indices, weights, kernel):
    return manifold_conv_patches(patches(x, indices, weights), kernel)


def manifold_conv_patches(p, kernel):
    return responses(p, kernel).amax(dim=0)
