"""Objectives other than cross entropy, on tensors alone: no loop, no network."""

from __future__ import annotations

import torch
from torch.nn import functional

from fer3d.checks import check_shape
from fer3d.errors import ArgumentError

_TINY = 1e-12  # a map of zeros has no direction; its cosine with any other counts as 0


def squared_hinge(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum over the classes of max(0, 1 - t s)^2, one against the rest: t is 1 for the true class, else -1.

    Args:
        scores: (B, K).
        labels: (B,) int64.

    Returns:
        (B,).

    Raises:
        ArgumentError: if a shape is another.
    """
    check_shape("scores", scores, ("B", "K"))
    check_shape("labels", labels, (len(scores),))
    sign = functional.one_hot(labels, scores.shape[1]).to(scores.dtype) * 2.0 - 1.0
    return (1.0 - sign * scores).clamp(min=0.0).square().sum(dim=1)


def l2_svm(weight: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, c: float = 1.0) -> torch.Tensor:
    """Tang's objective [1]: 1/2 |w|^2 + C sum over the batch of `squared_hinge`.

    In a training loop the first term is what weight decay does to w, and the mean over the batch stands for the sum.

    Args:
        weight: (K, D) of the last layer.
        scores: (B, K): what it gives.
        labels: (B,) int64.
        c: C.

    Returns:
        ().

    Raises:
        ArgumentError: if a shape is another.

    References:
        .. [1] Tang. Deep learning using linear support vector machines. ICML workshop on challenges in representation
           learning, 2013.
    """
    return 0.5 * weight.square().sum() + c * squared_hinge(scores, labels).sum()


def locality_preserving(features: torch.Tensor, labels: torch.Tensor, neighbours: int = 20) -> torch.Tensor:
    """1 / 2B of the sum of |x - mean of the nearest features of the same class in the batch|^2 [1].

    A feature with fewer mates than `neighbours` takes all there are, one without any counts 0. The gradient is that of
    this formula, the choice of neighbours held fixed: it also pulls at the neighbours.

    Args:
        features: (B, D).
        labels: (B,) int64.
        neighbours: k.

    Returns:
        ().

    Raises:
        ArgumentError: if a shape is another, or `neighbours` is less than 1.

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
    apart = (features - share @ features).square().sum(dim=1)
    return apart.masked_fill(alone, 0.0).mean() / 2.0


def feature_redundancy(maps: torch.Tensor, form: str = "correlation") -> torch.Tensor:
    """How alike the feature maps of a layer are: a penalty after FRR-CNN [1], whose exact form could not be read.

    With F_1 to F_C the maps of one picture, each as a vector, over all pairs i < j and averaged over the batch:
    "correlation" is the mean of Pearson's r^2(F_i, F_j), "cosine" that of cos^2(F_i, F_j), both in [0, 1]; "distance"
    is exp(-mean |F_i - F_j|^2 / mean |F_i|^2), in (0, 1], the scale our choice. O(C^2 H W) a picture.

    After a ReLU no map is negative, so that the cosine is 0 only where no two maps answer at one place: it drives out
    answers, which the correlation, blind to the mean of a map, leaves alone.

    Args:
        maps: (B, C, H, W), C at least 2.
        form: "correlation", "cosine" or "distance".

    Returns:
        ().

    Raises:
        ArgumentError: if the shape or the form is another, or there is one map only.

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
    """How redundant the maps of a layer are, for reports: the mean over all pairs and pictures of |Pearson's r|.

    A map without contrast correlates with nothing: its pairs count as 0.

    Args:
        maps: (B, C, H, W), C at least 2.

    Returns:
        ().

    Raises:
        ArgumentError: if the shape is another, or there is one map only.
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
    """Two terms after Baddar, Kim and Ro [1]: cross entropy, and the pull of a feature towards that of its target.

    CE(logits, labels) + weight / 2 |f(x) - f(target)|^2, both means over the batch. The target is a picture of the same
    subject and expression under the best conditions, see `fer3d.data.pairs.pair_targets`. The form is inferred from the
    abstract; the weight is not known.

    Args:
        logits: (B, K) of the pictures.
        features: (B, D) of the pictures.
        target_features: (B, D) of their targets, by the same network.
        labels: (B,) int64.
        weight: Of the second term.
        paired: (B,) bool: which pictures have a target. None: all. The others' second term is 0.
        hold_target: Whether the gradient does not reach the target's features: they are not drawn towards the hard
            picture's. It then is the gradient of nothing: a step towards the target moves the target on, and in a
            training loop features have been seen to grow without bound.

    Returns:
        ().

    Raises:
        ArgumentError: if a shape is another.

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
    """The second term of `siamese` before its weight: the mean over the batch of 1/2 |f(x) - f(target)|^2.

    Args:
        features: (B, D).
        target_features: (B, D).
        paired: (B,) bool: which count; the others are 0 in the mean. None: all.

    Returns:
        ().

    Raises:
        ArgumentError: if a shape is another.
    """
    check_shape("features", features, ("B", "D"))
    check_shape("target_features", target_features, tuple(features.shape))
    apart = (features - target_features).square().sum(dim=1)
    if paired is not None:
        check_shape("paired", paired, (len(features),))
        apart = apart.masked_fill(~paired, 0.0)
    return apart.mean() / 2.0


def _flat(maps: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) -> (B, C, H W) float32, or float64 if that is what came."""
    check_shape("maps", maps, ("B", "C", "H", "W"))
    if maps.shape[1] < 2:
        raise ArgumentError(f"`maps` should hold at least 2 feature maps, holds {maps.shape[1]}")
    flat = maps.flatten(2)
    return flat if flat.dtype == torch.float64 else flat.float()
