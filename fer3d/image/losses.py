"""Loss functions other than cross entropy, as functions of tensors."""

from __future__ import annotations

import torch
from torch.nn import functional

from fer3d.checks import check_shape
from fer3d.errors import ArgumentError

_TINY = 1e-12  # a zero map has no direction: its cosine with any other map counts as 0


def squared_hinge(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One-versus-rest squared hinge loss: the sum over classes of max(0, 1 - t s)^2, t = 1 for the true class, else -1.

    Args:
        scores: (B, K).
        labels: (B,) int64.

    Returns:
        (B,).

    Raises:
        ArgumentError: if a shape is wrong.
    """
    check_shape("scores", scores, ("B", "K"))
    check_shape("labels", labels, (len(scores),))
    sign = functional.one_hot(labels, scores.shape[1]).to(scores.dtype) * 2.0 - 1.0
    return (1.0 - sign * scores).clamp(min=0.0).square().sum(dim=1)


def l2_svm(weight: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, c: float = 1.0) -> torch.Tensor:
    """Tang's objective [1]: 1/2 |w|^2 + C sum over the batch of `squared_hinge`.

    In a training loop weight decay on w replaces the first term, and the mean over the batch replaces the sum.

    Args:
        weight: (K, D) of the last layer.
        scores: (B, K), the output of that layer.
        labels: (B,) int64.
        c: C.

    Returns:
        ().

    Raises:
        ArgumentError: if a shape is wrong.

    References:
        .. [1] Tang. Deep learning using linear support vector machines. ICML workshop on challenges in representation
           learning, 2013.
    """
    return 0.5 * weight.square().sum() + c * squared_hinge(scores, labels).sum()


def locality_preserving(features: torch.Tensor, labels: torch.Tensor, neighbours: int = 20) -> torch.Tensor:
    """Locality-preserving loss [1]: 1 / 2B sum |x - mean of its k nearest features of the same class in the batch|^2.

    A feature with fewer than k others of its class uses all of them; one without any adds 0. As in the paper, the
    neighbours are held in the gradient: that of x_i is (x_i - mean of its neighbours) / B.

    Args:
        features: (B, D).
        labels: (B,) int64.
        neighbours: k, the number of neighbours.

    Returns:
        ().

    Raises:
        ArgumentError: if a shape is wrong, or `neighbours` is less than 1.

    References:
        .. [1] Li, Deng, Du. Reliable crowdsourcing and deep locality-preserving learning for expression recognition in
           the wild. CVPR 2017.
    """
    check_shape("features", features, ("B", "D"))
    check_shape("labels", labels, (len(features),))
    if neighbours < 1:
        raise ArgumentError(f"`neighbours` should be at least 1, is {neighbours!r}")
    with torch.no_grad():
        mates = (labels[:, None] == labels).fill_diagonal_(False)
        distance = torch.cdist(features.float(), features.float()).masked_fill(~mates, torch.inf)
        nearest, which = distance.topk(min(neighbours, len(features)), dim=1, largest=False)
        share = features.new_zeros(len(features), len(features))
        share.scatter_(1, which, torch.isfinite(nearest).to(share.dtype))
        share /= share.sum(dim=1, keepdim=True).clamp(min=1.0)
        alone = share.sum(dim=1) == 0
    apart = (features - share @ features.detach()).square().sum(dim=1)
    return apart.masked_fill(alone, 0.0).mean() / 2.0


def feature_redundancy(maps: torch.Tensor, form: str = "correlation") -> torch.Tensor:
    """Similarity of the feature maps of a layer: a penalty after FRR-CNN [1], whose exact form we could not read.

    F_1 to F_C are the maps of one picture, each as a vector. Over all pairs i < j, averaged over the batch:
    "correlation" is the mean of Pearson's r^2(F_i, F_j) and "cosine" the mean of cos^2(F_i, F_j), both in [0, 1];
    "distance" is exp(-mean |F_i - F_j|^2 / mean |F_i|^2), in (0, 1]; its scale is our choice. O(C^2 H W) per picture.

    After a ReLU no map is negative, so the cosine is 0 only if no two maps are active at the same place: the cosine
    suppresses activations. The correlation ignores the mean of a map and does not suppress them.

    Args:
        maps: (B, C, H, W), C at least 2.
        form: "correlation", "cosine" or "distance".

    Returns:
        ().

    Raises:
        ArgumentError: if the shape is wrong, the form is unknown, or there is only one map.

    References:
        .. [1] Xie, Hu. Facial expression recognition with FRR-CNN. Electronics Letters 53(4), 2017.
    """
    flat = _flat(maps)
    count = flat.shape[1]
    if form in ("correlation", "cosine"):
        if form == "correlation":
            flat = flat - flat.mean(dim=2, keepdim=True)
        unit = functional.normalize(flat, dim=2, eps=_TINY)
        gram = torch.bmm(unit, unit.transpose(1, 2)).square()
        squares = gram.sum(dim=(1, 2)) - gram.diagonal(dim1=1, dim2=2).sum(dim=1)
        return (squares / (count * (count - 1))).mean()
    if form == "distance":
        # the sum over all pairs of |F_i - F_j|^2 is C sum |F_i|^2 - |sum F_i|^2
        norms = flat.square().sum(dim=(1, 2))
        apart = (count * norms - flat.sum(dim=1).square().sum(dim=1)) * 2.0 / (count * (count - 1))
        return torch.exp(-apart / (norms / count).clamp(min=_TINY)).mean()
    raise ArgumentError(f"`form` should be correlation, cosine or distance, is {form!r}")


def mean_absolute_correlation(maps: torch.Tensor) -> torch.Tensor:
    """Redundancy of the feature maps of a layer, for reports: the mean of |Pearson's r| over all pairs and pictures.

    The pairs of a constant map count as 0.

    Args:
        maps: (B, C, H, W), C at least 2.

    Returns:
        ().

    Raises:
        ArgumentError: if the shape is wrong, or there is only one map.
    """
    flat = _flat(maps)
    count = flat.shape[1]
    unit = functional.normalize(flat - flat.mean(dim=2, keepdim=True), dim=2, eps=_TINY)
    gram = torch.bmm(unit, unit.transpose(1, 2)).abs()
    sums = gram.sum(dim=(1, 2)) - gram.diagonal(dim1=1, dim2=2).sum(dim=1)
    return (sums / (count * (count - 1))).mean()


def siamese(
    logits: torch.Tensor,
    features: torch.Tensor,
    target_features: torch.Tensor,
    labels: torch.Tensor,
    weight: float = 1e-2,
    *,
    paired: torch.Tensor | None = None,
    hold_target: bool = False,
) -> torch.Tensor:
    """Siamese loss after Baddar, Kim and Ro [1]: cross entropy plus the distance of a feature to that of its target.

    CE(logits, labels) + weight / 2 |f(x) - f(target)|^2, both means over the batch. The target is a picture of the same
    subject and expression under the best conditions, see `fer3d.data.pairs.pair_targets`. We inferred the form from the
    abstract; the published weight is not known.

    Args:
        logits: (B, K) of the pictures.
        features: (B, D) of the pictures.
        target_features: (B, D) of their targets, from the same network.
        labels: (B,) int64.
        weight: Of the second term.
        paired: (B,) bool, whether a picture has a target; if not, its second term is 0. None: all have one.
        hold_target: Stop the gradient at the target's features, so that they do not move towards those of the hard
            picture. The result is no longer the gradient of any function: a step towards the target also moves the
            target, and in training loops the features have grown without bound.

    Returns:
        ().

    Raises:
        ArgumentError: if a shape is wrong.

    References:
        .. [1] Baddar, Kim, Ro. Learning features robust to image variations with Siamese networks for facial
           expression recognition. MMM 2017.
    """
    check_shape("features", features, ("B", "D"))
    check_shape("target_features", target_features, tuple(features.shape))
    check_shape("logits", logits, (len(features), "K"))
    check_shape("labels", labels, (len(features),))
    target = target_features.detach() if hold_target else target_features
    return functional.cross_entropy(logits, labels) + weight * siamese_term(features, target, paired)


def siamese_term(
    features: torch.Tensor, target_features: torch.Tensor, paired: torch.Tensor | None = None
) -> torch.Tensor:
    """The second term of `siamese` without its weight: the mean over the batch of 1/2 |f(x) - f(target)|^2.

    Args:
        features: (B, D).
        target_features: (B, D).
        paired: (B,) bool, whether a row counts; the others enter the mean as 0. None: all count.

    Returns:
        ().

    Raises:
        ArgumentError: if a shape is wrong.
    """
    check_shape("features", features, ("B", "D"))
    check_shape("target_features", target_features, tuple(features.shape))
    apart = (features - target_features).square().sum(dim=1)
    if paired is not None:
        check_shape("paired", paired, (len(features),))
        apart = apart.masked_fill(~paired, 0.0)
    return apart.mean() / 2.0


def _flat(maps: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) -> (B, C, H W) float32; float64 stays float64."""
    check_shape("maps", maps, ("B", "C", "H", "W"))
    if maps.shape[1] < 2:
        raise ArgumentError(f"`maps` should hold at least 2 feature maps, holds {maps.shape[1]}")
    flat = maps.flatten(2)
    return flat if flat.dtype == torch.float64 else flat.float()
