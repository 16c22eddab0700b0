"""`fer3d.image.illumination` against its definitions, pixel by pixel."""

import numpy as np
import pytest

from fer3d.errors import ArgumentError
from fer3d.image import illumination
from fer3d.image.illumination import ILLUMINATIONS, normalise_illumination
from fer3d.kernels import illumination as kernels
from tests.reference import illumination as reference

SHAPES = ((48, 48), (33, 20), (9, 14))


def pictures(shape=(33, 20), count=4, seed=0):
    """Lopsided faces of a kind: a slope of light over smooth noise, and one of two greys only."""
    random = np.random.default_rng(seed)
    height, width = shape
    slope = np.linspace(0, 1, width) + 0.3 * np.linspace(0, 1, height)[:, None] ** 2
    noise = random.random((count, height, width)).cumsum(2)
    made = slope * 90 + 60 * noise / noise.max(axis=(1, 2), keepdims=True) + 20 * random.random((count, *shape))
    made = np.uint8(made)
    made[-1] = 40
    made[-1, 2:5, 3:9] = 200
    return made


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("function", "settings"),
    [
        ("equalise_histogram", {}),
        ("isotropic_smoothing", {}),
        ("isotropic_smoothing", {"smoothness": 1.5, "pad": 0}),
        ("discrete_cosine", {"dropped": 11}),
        ("discrete_cosine", {"dropped": 0}),
        ("difference_of_gaussians", {}),
        ("difference_of_gaussians", {"inner": 0.7, "outer": 3.0}),
        ("tan_triggs", {}),
    ],
)
def test_every_normalisation_is_its_definition(function, settings, shape):
    given = pictures(shape)
    if function == "tan_triggs":
        given = given[:-1]  # where a picture is flat the tenth root of rounding is a number one can see
    made = getattr(illumination, function)(given, **settings)
    assert made.dtype == np.uint8
    assert made.shape == given.shape
    wanted = [getattr(reference, function)(picture, **settings) for picture in given]
    # both round up to whole levels: where the last bit of a sum lies on a level, they may be one apart
    apart = np.abs(made - np.array(wanted))
    assert apart.max() <= 1
    assert (apart > 0).mean() < 1e-3


@pytest.mark.parametrize(("height", "width"), [(54, 54), (54, 40), (7, 31), (1, 5)])
@pytest.mark.parametrize("smoothness", [0.0, 0.5, 7.0, 300.0])
def test_luminance_is_the_solution_of_the_five_point_system(height, width, smoothness):
    light = np.random.default_rng(0).random((2, height, width)) + 1e-3
    made = illumination.luminance(light, smoothness)
    wanted = np.array([reference.luminance(one, smoothness) for one in light])
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-12)


def test_luminance_of_a_sine_is_that_sine_made_smaller():
    i, j = np.arange(1, 10)[:, None], np.arange(1, 21)
    wave = np.sin(np.pi * 3 * i / 10) * np.sin(np.pi * 5 * j / 21)
    eigenvalue = 1 + 7 * (2 - 2 * np.cos(np.pi * 3 / 10)) + 7 * (2 - 2 * np.cos(np.pi * 5 / 21))
    np.testing.assert_allclose(illumination.luminance(wave[None], 7.0)[0], wave / eigenvalue, atol=1e-15)


def test_equalising_gives_the_bytes_of_opencv():
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(1)
    given = np.concatenate(
        [
            random.integers(0, 256, (20, 33, 20), dtype=np.uint8),
            random.integers(90, 110, (20, 33, 20), dtype=np.uint8),
            pictures(),
            np.full((1, 33, 20), 7, np.uint8),
        ]
    )
    np.testing.assert_array_equal(
        illumination.equalise_histogram(given), [cv2.equalizeHist(picture) for picture in given]
    )


def test_equalising_an_even_ramp_spreads_it_over_all_levels():
    ramp = np.repeat(np.arange(100, 116, dtype=np.uint8), 4).reshape(1, 4, 16)
    made = illumination.equalise_histogram(ramp)
    np.testing.assert_array_equal(made.ravel()[::4], 17 * np.arange(16))


@pytest.mark.parametrize("shape", [(8, 8), (5, 9), (9, 2), (1, 6)])
def test_zigzag_is_the_walk(shape):
    assert list(zip(*illumination.zigzag(*shape), strict=True)) == reference.zigzag(*shape)


def test_dropping_no_wave_changes_the_mean_only():
    """The mean is lost in the stretching, so what is left is the logarithm itself, clipped."""
    given = pictures()
    logarithm = [
        reference.normalize8(reference.histtruncate(x, 0.2, 0.2))
        for x in (reference.normalize8(np.log(reference.normalize8(p.astype(float)) + 1)) for p in given)
    ]
    np.testing.assert_allclose(illumination.discrete_cosine(given, dropped=0), logarithm, atol=2)


def test_as_many_waves_are_dropped_as_the_picture_is_large():
    for size, dropped in ((128, 50), (48, 7), (224, 153)):
        given = pictures((size, size), 1)
        same = illumination.discrete_cosine(given) == illumination.discrete_cosine(given, dropped)
        assert same.all()


@pytest.mark.parametrize(("deviation", "size"), [(1.0, 7), (2.0, 13), (0.5, 5), (1.1, 9)])
def test_gaussian_kernels(deviation, size):
    kernel = illumination.gaussian_kernel(deviation)
    assert len(kernel) == size
    np.testing.assert_allclose(kernel.sum(), 1.0, rtol=1e-15)
    middle = size // 2
    np.testing.assert_allclose(kernel[middle + 1] / kernel[middle], np.exp(-0.5 / deviation**2), rtol=1e-14)
    np.testing.assert_array_equal(kernel, kernel[::-1])


def test_a_dot_becomes_the_difference_of_the_kernels():
    dot = np.zeros((1, 41, 41), np.uint8)
    dot[0, 20, 20] = 255
    made = illumination._band(illumination._levels(dot), 1.0, 2.0)[0]
    one, two = np.zeros((2, 41))
    one[17:24], two[14:27] = illumination.gaussian_kernel(1.0), illumination.gaussian_kernel(2.0)
    np.testing.assert_allclose(made, 255 * (np.outer(one, one) - np.outer(two, two)), atol=1e-12)


@pytest.mark.parametrize("name", sorted(ILLUMINATIONS))
@pytest.mark.parametrize("grey", [0, 1, 128, 255])
def test_pictures_of_one_grey_stay_finite(name, grey):
    given = np.full((2, 12, 10), grey, np.uint8)
    given[1, :, 5:] = 200
    with np.errstate(all="raise", under="ignore"):
        made = normalise_illumination(name, given)
    assert made.shape == given.shape
    if name in ("dct", "dog", "tan-triggs", "plane", "hist-eq-plane"):
        assert not made[0].any()
    if name == "hist-eq":
        assert (made[0] == grey).all()


@pytest.mark.parametrize("name", sorted(ILLUMINATIONS))
def test_a_picture_does_not_depend_on_the_others_nor_on_the_workers(name):
    given = pictures((20, 16), 70)
    made = normalise_illumination(name, given)
    np.testing.assert_array_equal(made, normalise_illumination(name, given, workers=2))
    np.testing.assert_array_equal(made[41], ILLUMINATIONS[name](given[41:42])[0])
    assert normalise_illumination(name, given[:0]).shape == (0, 20, 16)


def test_the_plane_is_that_of_least_squares():
    given = pictures((9, 14), 3)
    made = illumination.without_plane(given)
    y, x = np.indices((9, 14)).reshape(2, -1)
    columns = np.stack([x, y, np.ones(x.size)], axis=1).astype(float)
    for picture, found in zip(given, made, strict=True):
        flat = picture.ravel().astype(float)
        rest = flat - columns @ np.linalg.lstsq(columns, flat, rcond=None)[0]
        np.testing.assert_array_equal(found, reference.normalize8(rest.reshape(9, 14)))


def test_a_light_from_the_side_leaves_no_trace_once_its_plane_is_subtracted():
    given = pictures((48, 48), 1).astype(float) / 4 + 100
    ramp = np.linspace(-60, 60, 48)[None, None] + np.linspace(-20, 20, 48)[None, :, None]
    lit = np.rint(given + ramp).astype(np.uint8)
    made, plain = (illumination.without_plane(p).astype(float) for p in (lit, np.rint(given).astype(np.uint8)))
    assert np.abs(made - plain).max() <= 8  # the rounding of the lit picture, half a grey, stretched by 255 / 40


def test_yu_and_zhang_equalise_first():
    given = pictures((10, 12), 2)
    wanted = illumination.without_plane(illumination.equalise_histogram(given))
    np.testing.assert_array_equal(normalise_illumination("hist-eq-plane", given), wanted)


@pytest.mark.parametrize("name", ["hist-eq", "isotropic", "dct", "dog", "tan-triggs", "plane", "hist-eq-plane"])
def test_a_weaker_light_changes_little(name):
    given = pictures((48, 48), 2)[:1] // 2 * 2
    made, dim = (normalise_illumination(name, p).astype(float) for p in (given, given // 2))
    assert np.corrcoef(made.ravel(), dim.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: normalise_illumination("histeq", pictures()), "`name` should be one of raw, .*'histeq'; did you mean"),
        (
            lambda: normalise_illumination("dog", pictures(), sigma=1),
            "`sigma` is no argument of dog, which takes inner",
        ),
        (lambda: normalise_illumination("raw", pictures(), sigma=1), "no argument of raw, which takes none"),
        (lambda: normalise_illumination("raw", pictures(), workers=0), r"`workers` should lie in \[1, 1024\], is 0"),
        (lambda: illumination.raw(pictures() / 255), "`pictures` should have dtype uint8, has float64"),
        (lambda: illumination.raw(pictures()[0]), r"`pictures` should have shape \(N, H, W\), has \(33, 20\)"),
        (lambda: illumination.raw(pictures()[:, :0]), "`pictures` should hold pixels, has shape"),
        (lambda: illumination.discrete_cosine(pictures(), 660), r"`dropped` should lie in \[0, 660\) .*, is 660"),
        (lambda: illumination.isotropic_smoothing(pictures(), pad=21), r"`pad` should lie in \[0, 20\] .*, is 21"),
        (lambda: illumination.isotropic_smoothing(pictures(), -1.0), "`smoothness` should lie in .*, is -1.0"),
        (lambda: illumination.difference_of_gaussians(pictures(), 0.0), "`deviation` should lie in .* pixels, is 0.0"),
        (lambda: illumination.tan_triggs(pictures(), gamma=0), "`gamma` should lie in .*, is 0"),
        (lambda: illumination.luminance(np.zeros((3, 4)), 1.0), r"`light` should have shape \(N, H, W\)"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_compiled_steps_are_their_python():
    random = np.random.default_rng(0)
    x = random.random((3, 7, 11))
    x[1] = 0.5  # of one grey
    given = (x, x.min(axis=(1, 2)), np.array([0.7, 0.5, 2.0]))
    for kernel, arguments in ((kernels.levels, given), (kernels.blur, (x, random.random(4)))):
        compiled, plain = np.empty((2, *x.shape))
        kernel(*arguments, compiled)
        kernel.py_func(*arguments, plain)
        np.testing.assert_allclose(compiled, plain, rtol=1e-14)
    compiled, plain = x.copy(), x.copy()
    kernels.solve_columns(compiled, np.linspace(3, 9, 11), 1.4)
    kernels.solve_columns.py_func(plain, np.linspace(3, 9, 11), 1.4)
    np.testing.assert_allclose(compiled, plain, rtol=1e-14)


def test_levels_meet_both_ends_whatever_the_rounding():
    high = np.random.default_rng(1).random(1000) * 10.0 ** np.arange(-5, 5).repeat(100)
    x = np.stack([0.0 * high, high, 2.0 * high], axis=1)[:, None]
    made = np.empty(x.shape, np.uint8)
    kernels.levels(x, 0.0 * high, high, made)
    np.testing.assert_array_equal(made, np.broadcast_to([0, 255, 255], x.shape))


def test_blurring_meets_a_rim_nearer_than_the_kernel_reaches():
    x = np.random.default_rng(0).random((2, 3, 5))
    wanted = [reference.blurred(one, 2.0) for one in x]
    np.testing.assert_allclose(illumination._blurred(x, 2.0), wanted, rtol=1e-13)
