"""The objectives of `fer3d.image.losses` against loops, closed forms and finite differences."""

import itertools
import math

import numpy as np
import pytest
import torch

from fer3d.errors import ArgumentError
from fer3d.image import losses


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


LABELS = torch.tensor([0, 2, 1, 1, 0, 1, 3])


def test_the_hinge_is_its_definition():
    scores = normal(7, 4)
    for made, row, label in zip(losses.squared_hinge(scores, LABELS), scores, LABELS, strict=True):
        wanted = sum(max(0.0, 1 - (1 if k == label else -1) * float(s)) ** 2 for k, s in enumerate(row))
        assert math.isclose(made, wanted, rel_tol=1e-12)


def test_the_gradient_of_the_svm_is_that_of_the_paper():
    weight, features, c = normal(4, 5).requires_grad_(), normal(7, 5, seed=1).requires_grad_(), 0.3
    losses.l2_svm(weight, features @ weight.T, LABELS, c).backward()
    sign = 2 * torch.nn.functional.one_hot(LABELS, 4) - 1
    short = (1 - sign * (features @ weight.T)).clamp(min=0)
    torch.testing.assert_close(features.grad, -2 * c * (sign * short) @ weight)
    torch.testing.assert_close(weight.grad, weight - 2 * c * (sign * short).T @ features)


@pytest.mark.parametrize("neighbours", [1, 2, 20])
def test_locality_is_its_definition(neighbours):
    features = normal(7, 3)
    total = 0.0
    for i in range(7):
        mates = [j for j in range(7) if j != i and LABELS[j] == LABELS[i]]
        mates.sort(key=lambda j: float((features[i] - features[j]).norm()))
        if mates:
            centre = features[mates[:neighbours]].mean(dim=0)
            total += float((features[i] - centre).square().sum())
    torch.testing.assert_close(losses.locality_preserving(features, LABELS, neighbours).item(), total / 14)


def test_the_gradients_are_right():
    maps = normal(2, 4, 3, 5).requires_grad_()
    for form in ("correlation", "cosine", "distance"):
        assert torch.autograd.gradcheck(lambda x, form=form: losses.feature_redundancy(x, form), maps)


@pytest.mark.parametrize("neighbours", [1, 2, 20])
def test_the_gradient_of_locality_holds_the_neighbours(neighbours):
    """As the paper has it: that of x_i is (x_i - mean of its neighbours) / B."""
    features = normal(7, 3).requires_grad_()
    losses.locality_preserving(features, LABELS, neighbours).backward()
    for i in range(7):
        mates = [j for j in range(7) if j != i and LABELS[j] == LABELS[i]]
        here = features.detach()
        mates.sort(key=lambda j, i=i: float((here[i] - here[j]).norm()))
        wanted = (here[i] - here[mates[:neighbours]].mean(dim=0)) / 7 if mates else torch.zeros(3, dtype=here.dtype)
        torch.testing.assert_close(features.grad[i], wanted)


def test_locality_draws_a_class_together():
    features = normal(7, 3)
    moved = features.clone().requires_grad_()
    optimizer = torch.optim.SGD([moved], lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        losses.locality_preserving(moved, LABELS).backward()
        optimizer.step()
    for label in (0, 1):
        assert float(moved.detach()[label == LABELS].std(dim=0).max()) < 1e-3
    assert torch.equal(moved[1], features[1])  # no mate


@pytest.mark.parametrize("form", ["correlation", "cosine", "distance"])
def test_redundancy_is_its_definition(form):
    maps = normal(3, 4, 2, 5)
    made = []
    for picture in maps.flatten(2):
        pairs = list(itertools.combinations(picture, 2))
        if form == "correlation":
            made.append(np.mean([np.corrcoef(a, b)[0, 1] ** 2 for a, b in pairs]))
        elif form == "cosine":
            made.append(np.mean([float(a @ b / a.norm() / b.norm()) ** 2 for a, b in pairs]))
        else:
            scale = np.mean([float(a @ a) for a in picture])
            made.append(math.exp(-np.mean([float((a - b) @ (a - b)) for a, b in pairs]) / scale))
    torch.testing.assert_close(losses.feature_redundancy(maps, form).item(), np.mean(made))


def test_redundancy_of_equal_and_of_separate_maps():
    same = normal(2, 1, 4, 4).expand(-1, 6, -1, -1)
    separate = torch.eye(16, dtype=torch.float64).reshape(1, 16, 4, 4)
    assert losses.feature_redundancy(same).item() == pytest.approx(1.0)
    assert losses.feature_redundancy(same, "distance").item() == pytest.approx(1.0)
    assert losses.feature_redundancy(same, "cosine").item() == pytest.approx(1.0)
    assert losses.feature_redundancy(separate, "cosine").item() == 0.0
    assert losses.feature_redundancy(separate, "distance").item() == pytest.approx(math.exp(-2))
    assert losses.mean_absolute_correlation(same).item() == pytest.approx(1.0)
    for form in ("correlation", "cosine"):
        assert losses.feature_redundancy(torch.zeros(1, 3, 2, 2), form).item() == 0.0


def test_what_is_added_to_a_map_does_not_count_for_the_correlation():
    maps = normal(2, 4, 3, 5)
    more = maps + torch.arange(4.0)[:, None, None]
    torch.testing.assert_close(losses.feature_redundancy(more), losses.feature_redundancy(maps))
    assert losses.feature_redundancy(more, "cosine") > 2 * losses.feature_redundancy(maps, "cosine")


def test_the_reported_correlation_is_that_of_numpy():
    maps = normal(3, 4, 2, 5)
    wanted = np.mean(
        [abs(np.corrcoef(a, b)[0, 1]) for picture in maps.flatten(2) for a, b in itertools.combinations(picture, 2)]
    )
    assert losses.mean_absolute_correlation(maps).item() == pytest.approx(wanted)
    assert losses.mean_absolute_correlation(torch.ones(1, 3, 2, 2)).item() == 0.0


def test_the_siamese_objective_has_two_terms():
    logits, features, target = normal(7, 4), normal(7, 5, seed=1), normal(7, 5, seed=2)
    plain = torch.nn.functional.cross_entropy(logits, LABELS)
    apart = (features - target).square().sum(dim=1)
    made = losses.siamese(logits, features, target, LABELS, 0.4)
    torch.testing.assert_close(made, plain + 0.2 * apart.mean())
    paired = torch.tensor([True, False, True, False, False, False, True])
    made = losses.siamese(logits, features, target, LABELS, 0.4, paired=paired)
    torch.testing.assert_close(made, plain + 0.2 * apart[paired].sum() / 7)


@pytest.mark.parametrize("hold", [True, False])
def test_the_target_is_held_if_asked_for(hold):
    logits, features, target = normal(7, 4), normal(7, 5).requires_grad_(), normal(7, 5, seed=2).requires_grad_()
    losses.siamese(logits, features, target, LABELS, 0.4, hold_target=hold).backward()
    assert features.grad is not None
    assert (target.grad is None) is hold


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.squared_hinge(normal(3, 4), LABELS), r"`labels` should have shape \(3,\), has \(7,\)"),
        (lambda: losses.locality_preserving(normal(7, 2), LABELS, 0), "`neighbours` should be at least 1, is 0"),
        (lambda: losses.feature_redundancy(normal(1, 1, 2, 2)), "`maps` should hold at least 2 feature maps, holds 1"),
        (
            lambda: losses.feature_redundancy(normal(1, 2, 2, 2), "x"),
            "`form` should be correlation, cosine or distance, is 'x'",
        ),
        (lambda: losses.mean_absolute_correlation(normal(2, 2)), r"`maps` should have shape \(B, C, H, W\)"),
        (
            lambda: losses.siamese(normal(7, 4), normal(7, 3), normal(7, 2), LABELS),
            r"`target_features` should have shape \(7, 3\), has \(7, 2\)",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
