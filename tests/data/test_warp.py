"""FaceWarp: learned from landmarks, it lays one face on the others by their maps alone."""

import numpy as np
import pytest
import torch

from fer3d.data.augment_maps import augment, unchanged
from fer3d.data.channels import channel_names, mirrored
from fer3d.data.warp import EYES, NOSE, FaceWarp, apply_warps, landmark_warps, landmarks_suffice
from fer3d.errors import ArgumentError
from tests.prepared import POINTS, landmarks_of

PIXEL, SIZE = 3.0, 48
CHANNELS = channel_names(["depth", "normal", "curvature"])


def face(wide, high, up, noise=0):
    """(C + 1, SIZE, SIZE): bumps at the eyes and the nose of that face, as maps in physical units."""
    random = np.random.default_rng(noise)
    x = ((np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL / wide)[None]
    y = ((((SIZE - 1) / 2 - np.arange(SIZE)) * PIXEL - up) / high)[:, None]
    depth = -((x / 12) ** 2) - (y / 14) ** 2
    for (px, py), size in zip(POINTS.values(), (6, 5, 5, 6, 8, 8, 9), strict=True):
        tall = size * (1 + 0.2 * random.standard_normal())
        depth = depth + tall * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 70)
    down, across = np.gradient(depth, PIXEL)
    normal = np.stack([-across, down, np.ones_like(depth)])
    normal /= np.linalg.norm(normal, axis=0)
    mask = (x * wide) ** 2 + (y * high) ** 2 < 66**2
    curvature = 0.5 + 0.3 * normal[0], 0.02 + 0.01 * normal[1], 0.02 - 0.01 * normal[1]
    values = np.stack([depth, *normal, *curvature, np.ones_like(depth)])
    return torch.from_numpy((values * mask).astype(np.float32))


def population(count, seed):
    """Stretches along x and y and moves along y (count, 3), rows and maps."""
    random = np.random.default_rng(seed)
    numbers = np.stack([np.exp(random.uniform(-0.12, 0.12, (2, count))).T[:, k] for k in (0, 1)], axis=1)
    numbers = np.column_stack([numbers, random.uniform(-4, 4, count)])
    maps = torch.stack([face(*three, noise=seed * 1000 + k) for k, three in enumerate(numbers)])
    return numbers, [landmarks_of(*three) for three in numbers], maps


def test_landmarks_say_how_to_warp():
    rows = [landmarks_of(1.1, 0.9, 3.0), landmarks_of(1 / 1.1, 1 / 0.9, -3.0), landmarks_of(1.2, 1.05, -1.0)]
    train = torch.tensor([0, 2, 1])
    made = landmark_warps(rows, train).numpy()
    assert made.shape == (3, 3)
    faces = np.array([[POINTS[name] for name in POINTS]] * 3) * [[[1.1, 0.9]], [[1.2, 1.05]], [[1 / 1.1, 1 / 0.9]]]
    faces[:, :, 1] += np.array([3.0, -1.0, -3.0])[:, None]
    warped = faces * np.exp(made[:, None, :2])
    warped[:, :, 1] += made[:, 2, None]
    np.testing.assert_allclose(warped[:, :, 1], np.broadcast_to(faces[:, :, 1].mean(axis=0), (3, 7)), atol=1e-9)
    np.testing.assert_allclose(warped[:, :4, 0], np.broadcast_to(faces[:, :4, 0].mean(axis=0), (3, 4)), atol=1e-9)


def test_the_mean_is_of_the_training_scans():
    rows = [landmarks_of(), landmarks_of(), landmarks_of(1.5, 1.5)]
    np.testing.assert_allclose(landmark_warps(rows, torch.tensor([0, 1])), 0, atol=1e-12)


def test_scans_without_the_landmarks_are_unknown():
    no_eye = landmarks_of(names=[name for name in POINTS if name != "exocanthion_left"])
    rows = [
        landmarks_of(),
        landmarks_of(names=EYES),
        no_eye,
        {"landmark_names": None, "landmarks": None},
        landmarks_of(high=1.1),
    ]
    known = torch.isfinite(landmark_warps(rows, torch.arange(5))).all(dim=1)
    assert known.tolist() == [True, False, False, False, True]
    rows = [landmarks_of(), landmarks_of(), landmarks_of(), landmarks_of(high=-1.0)]  # upside down
    known = torch.isfinite(landmark_warps(rows, torch.arange(4))).all(dim=1)
    assert known.tolist() == [True, True, True, False]


def test_one_point_of_the_nose_is_enough():
    rows = [landmarks_of(), landmarks_of(1.1, 0.95, 2.0, names=(*EYES, NOSE[2]))]
    made = landmark_warps(rows, torch.arange(2)).numpy()
    np.testing.assert_allclose(made[1, 0] - made[0, 0], -np.log(1.1), atol=1e-9)
    assert np.isfinite(made).all()


def test_half_of_the_scans_suffice():
    def suffice(rows):
        return landmarks_suffice(landmark_warps(rows, torch.arange(len(rows))))

    whole, eyes, none = landmarks_of(), landmarks_of(names=EYES), {"landmark_names": None, "landmarks": None}
    unmeasured = whole | {"landmarks": [np.nan] * len(whole["landmarks"])}
    assert suffice([whole] * 8 + [eyes] * 7 + [none])
    assert not suffice([whole] * 8 + [eyes] * 8 + [none])
    assert not suffice([whole] * 8 + [unmeasured] * 9)
    assert not suffice([whole] * 7)


def test_a_warp_is_what_augmentation_does():
    maps = torch.stack([face(1.0, 1.0, 0.0), face(0.9, 1.1, 2.0)])
    numbers = torch.tensor([[0.1, -0.05, 3.0], [0.0, 0.0, 0.0]])
    made = apply_warps(CHANNELS, maps, numbers, PIXEL)
    draws = unchanged(1)
    draws["stretch"][:] = torch.tensor([np.exp(0.1), np.exp(-0.05), 1.0])
    draws["shift"][:] = torch.tensor([0.0, 3.0])
    torch.testing.assert_close(made[:1], augment(CHANNELS, maps[:1], draws, PIXEL))
    torch.testing.assert_close(made[1:], maps[1:], rtol=1e-4, atol=1e-4)


def test_it_is_predicted_from_maps_alone():
    _, rows, maps = population(120, 1)
    train = torch.arange(120)
    wanted = landmark_warps(rows, train)
    warp = FaceWarp.fit(CHANNELS, maps, train, wanted)
    numbers, _, strangers = population(40, 2)
    predicted = warp.predict(strangers).numpy()
    truth = np.column_stack([-np.log(numbers[:, 0]), -np.log(numbers[:, 1]), -numbers[:, 2] / numbers[:, 1]])
    for k, (least, scale) in enumerate([(0.9, 0.02), (0.9, 0.02), (0.9, 1.0)]):
        assert np.corrcoef(predicted[:, k], truth[:, k])[0, 1] > least
        assert np.abs(predicted[:, k] - truth[:, k] - (predicted - truth)[:, k].mean()).mean() < scale
    warped = warp.apply(strangers, PIXEL).float()
    assert warped.shape == strangers.shape
    # the faces lie on each other: what is left of the spread of the depth between them
    inner = (slice(None), 0, slice(14, 30), slice(10, 38))
    assert warped[inner].var(dim=0).mean() < 0.5 * strangers[inner].var(dim=0).mean()


def test_a_mirror_image_is_warped_alike():
    _, rows, maps = population(60, 3)
    train = torch.arange(60)
    warp = FaceWarp.fit(CHANNELS, maps, train, landmark_warps(rows, train))
    flipped = mirrored(CHANNELS, maps.clone())
    difference = warp.predict(maps) - warp.predict(flipped)
    assert difference[:, :2].abs().mean() < 0.01
    assert difference[:, 2].abs().mean() < 0.3


def test_no_scan_is_warped_more_than_those_it_learned_from():
    _, rows, maps = population(40, 4)
    wanted = landmark_warps(rows, torch.arange(40))
    warp = FaceWarp.fit(CHANNELS, maps, torch.arange(40), wanted)
    predicted = warp.predict(torch.stack([face(2.0, 0.5, 20.0), face(0.4, 2.5, -30.0)]))
    assert (predicted >= wanted.amin(dim=0).float()).all()
    assert (predicted <= wanted.amax(dim=0).float()).all()


def test_scans_of_unknown_warp_are_left_out_and_few_are_not_enough():
    _, rows, maps = population(20, 5)
    train = torch.arange(20)
    wanted = landmark_warps(rows, train)
    holes = wanted.clone()
    holes[12:] = torch.nan
    whole = FaceWarp.fit(CHANNELS, maps[:12], train[:12], wanted[:12])
    torch.testing.assert_close(FaceWarp.fit(CHANNELS, maps, train, holes).weights, whole.weights)
    holes[7:] = torch.nan
    with pytest.raises(ArgumentError, match="`warp` wants at least 8 training scans .* got 7 of 20"):
        FaceWarp.fit(CHANNELS, maps, train, holes)


def test_its_state_brings_it_back():
    _, rows, maps = population(20, 6)
    one = FaceWarp.fit(CHANNELS, maps, torch.arange(20), landmark_warps(rows, torch.arange(20)))
    facts, tensors = one.state()
    two = FaceWarp.from_state(facts, tensors)
    torch.testing.assert_close(two.apply(maps, PIXEL), one.apply(maps, PIXEL), rtol=0, atol=0)
    with pytest.raises(TypeError):
        FaceWarp.from_state(facts, {"weights": tensors["weights"]})
    with pytest.raises(ValueError, match=r"weights should have shape \(14336, 3\), has \(5, 3\)"):
        FaceWarp.from_state(facts, tensors | {"weights": tensors["weights"][:5]})
