"""Thresholds beside scikit-image's, brute force, and their edge cases."""
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import data, filters

from seglib import thresholding
from seglib.metrics import confusion_matrix, dice

PICTURES = {name: getattr(data, name)() for name in
            ("camera", "cell", "coins", "moon", "page", "text")}
DTYPES = {"uint8": lambda image: image,
          "uint16": lambda image: image.astype(np.uint16) * 201 + 7,
          "int16": lambda image: image.astype(np.int16) - 128,
          "int64": lambda image: image.astype(np.int64) * 3 - 1_000_000,
          "float32": lambda image: (image / 255).astype(np.float32),
          "float64": lambda image: image * 3.7 - 12}
pictures = pytest.mark.parametrize("image", PICTURES.values(),
                                   ids=PICTURES.keys())
dtypes = pytest.mark.parametrize("convert", DTYPES.values(),
                                 ids=DTYPES.keys())
small = hnp.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(2, 9)),
                   elements=st.integers(0, 12))
settings.register_profile("compiling", deadline=None)
settings.load_profile("compiling")    # numba's first call takes a second
windows = st.sampled_from([1, 3, 5, 11])


def sizes_image(height, width, high=256, seed=0):
    return np.random.default_rng(seed).integers(
        0, high, (height, width)).astype(np.uint8)


def lowest_best_split(image, classes):
    """By trying all, in exact arithmetic; the lowest thresholds win."""
    values = [int(v) for v in image.ravel()]

    def loss(cuts):
        total = Fraction(0)
        for low, high in zip((-1, *cuts), (*cuts, 255)):
            side = [v for v in values if low < v <= high]
            mean = Fraction(sum(side), len(side))
            total += sum((v - mean)**2 for v in side)
        return total

    candidates = combinations(sorted(set(values))[:-1], classes - 1)
    return min(candidates, key=lambda cuts: (loss(cuts), cuts))


def f_measure(found, truth):
    return dice(confusion_matrix(found, truth, 2))[1]


# Histograms

def test_histogram_counts_every_pixel_once():
    count, grey = thresholding.histogram(PICTURES["coins"])
    values, expected = np.unique(PICTURES["coins"], return_counts=True)
    np.testing.assert_array_equal(grey[count > 0], values)
    np.testing.assert_array_equal(count[count > 0], expected)


@dtypes
def test_histogram_equals_scikit_image(convert):
    from skimage.exposure import histogram
    image = convert(PICTURES["camera"])
    count, grey = thresholding.histogram(image)
    theirs, centres = histogram(image, nbins=256)
    np.testing.assert_array_equal(count, theirs)
    np.testing.assert_array_equal(grey, centres)


# Otsu

@pictures
@dtypes
def test_otsu_equals_scikit_image(image, convert):
    image = convert(image)
    assert thresholding.otsu(image) == filters.threshold_otsu(image)


@given(small)
def test_otsu_equals_trying_all(image):
    if len(np.unique(image)) > 1:
        assert (thresholding.otsu(image),) == lowest_best_split(image, 2)


def test_otsu_takes_sizes_into_account():
    image = np.array([[0] * 50 + [5] * 50 + [12]], dtype=np.uint8)
    assert thresholding.otsu(image) == 0
    assert lowest_best_split(image, 2) == (0,)


def test_otsu_keeps_both_sides_and_returns_a_python_number():
    for image in ([[0, 255]], [[254, 255]], [[3, 3, 3, 4]]):
        t = thresholding.otsu(np.array(image, dtype=np.uint8))
        assert type(t) is int and t == image[0][0]
    assert type(thresholding.otsu(np.array([[0.1, 0.4]]))) is float


# Several classes

@pictures
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_multi_otsu_equals_scikit_image(image, classes):
    np.testing.assert_array_equal(
        thresholding.multi_otsu(image, classes),
        filters.threshold_multiotsu(image, classes))


@pictures
def test_multi_otsu_with_five_classes_equals_scikit_image(image):
    image = image // 4                          # theirs tries all cases
    np.testing.assert_array_equal(thresholding.multi_otsu(image, 5),
                                  filters.threshold_multiotsu(image, 5))


@pytest.mark.parametrize("classes", [2, 3])
def test_multi_otsu_of_floats_equals_scikit_image(classes):
    image = PICTURES["camera"] / 255
    np.testing.assert_array_equal(
        thresholding.multi_otsu(image, classes),
        filters.threshold_multiotsu(image, classes))


@given(small, st.integers(2, 4))
def test_multi_otsu_equals_trying_all(image, classes):
    if len(np.unique(image)) >= classes:
        found = thresholding.multi_otsu(image, classes)
        assert tuple(found) == lowest_best_split(image, classes)


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("length", [5, 6, 7, 8, 11])
@pytest.mark.parametrize("factor", [1, 3, 7])
def test_ties_go_to_the_lowest_thresholds(classes, length, factor):
    """Equal steps tie often, and in floats by rounding only nearly."""
    image = np.repeat(factor * np.arange(length), 3)[None]
    assert tuple(thresholding.multi_otsu(image, classes)) == (
        lowest_best_split(image, classes))


@pytest.mark.parametrize("half", [[6, 10, 4], [0, 10, 7, 0, 6, 0],
                                  [6, 5, 6, 8, 11, 4], [5, 9, 10, 8, 6]])
def test_ties_that_rounding_would_decide(half):
    """In a symmetric histogram each split does as well as its mirror."""
    image = np.array([half + [40 - value for value in half]])
    assert tuple(thresholding.multi_otsu(image, 3)) == (
        lowest_best_split(image, 3))


def test_multi_otsu_of_sixteen_bits():
    rng = np.random.default_rng(0)
    levels = np.array([900, 20_000, 61_000])
    image = rng.normal(levels[rng.integers(0, 3, (40, 40))], 90)
    low, high = thresholding.multi_otsu(image.astype(np.uint16), 3)
    assert 900 < low < 20_000 < high < 61_000


def test_multi_otsu_labels_with_right_side_closed():
    image = np.array([[1, 2, 8, 9, 20, 21]])
    labels = np.digitize(image, thresholding.multi_otsu(image, 3),
                         right=True)
    assert labels.tolist() == [[0, 0, 1, 1, 2, 2]]


# Triangle and Li

@pictures
@dtypes
@pytest.mark.parametrize("mirror", [False, True])
def test_triangle_equals_scikit_image(image, convert, mirror):
    image = convert(image.max() - image if mirror else image)
    assert thresholding.triangle(image) == filters.threshold_triangle(image)


@pictures
@dtypes
def test_li_equals_scikit_image(image, convert):
    image = convert(image)
    tolerance = 1e-4 if image.dtype == np.float32 else 1e-9
    assert thresholding.li(image) == pytest.approx(
        filters.threshold_li(image), rel=tolerance)


@given(small)
def test_li_equals_scikit_image_on_few_pixels(image):
    if len(np.unique(image)) > 1:
        assert thresholding.li(image) == pytest.approx(
            filters.threshold_li(image.astype(int)))


def test_li_rests_at_the_logarithmic_mean():
    image = PICTURES["coins"].astype(int)
    low, t = image.min(), thresholding.li(image)
    dark, bright = (image[side].mean() - low
                    for side in (image <= t, image > t))
    middle = (bright - dark) / (np.log(bright) - np.log(dark))
    assert t - low == pytest.approx(middle, abs=1)


# Local thresholds

@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2,
                                             max_side=9)))
def test_integral_image_is_the_sum_above_and_left(image):
    table = thresholding.integral_image(image)
    for y in range(image.shape[0] + 1):
        for x in range(image.shape[1] + 1):
            assert table[y, x] == image[:y, :x].sum()


@given(hnp.arrays(np.uint8, st.tuples(st.integers(2, 9),
                                      st.integers(2, 9))), windows)
def test_local_mean_std_equals_looking_at_each_window(image, size):
    mean, std = thresholding.local_mean_std(image, size)
    padded = np.pad(image.astype(float), size // 2, mode="reflect")
    views = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    np.testing.assert_allclose(mean, views.mean(axis=(2, 3)), atol=1e-9)
    np.testing.assert_allclose(std, views.std(axis=(2, 3)), atol=1e-5)


@pytest.mark.parametrize("name", ["niblack", "sauvola"])
@pytest.mark.parametrize("size", [1, 3, 15, 51])
@pytest.mark.parametrize("shape", [(64, 64), (37, 90), (5, 31), (1, 40)])
def test_surfaces_equal_scikit_image(name, size, shape):
    image = sizes_image(*shape)
    ours = getattr(thresholding, name)(image, size, 0.3)
    theirs = getattr(filters, f"threshold_{name}")(image, size, 0.3)
    assert ours.shape == shape and ours.dtype == np.float64
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, bool])
def test_sauvola_of_other_dtypes_equals_scikit_image(dtype):
    image = (sizes_image(40, 50) // 2).astype(dtype)
    np.testing.assert_allclose(thresholding.sauvola(image, 15),
                               filters.threshold_sauvola(image, 15),
                               atol=1e-4)


def test_sauvola_is_the_same_as_bytes_and_as_floats():
    image = PICTURES["page"]
    for convert in (lambda x: x / 255, lambda x: (x / 255).astype("f4")):
        np.testing.assert_allclose(
            thresholding.sauvola(convert(image), 25),
            thresholding.sauvola(image, 25) / 255, atol=1e-6)


def test_sauvola_takes_another_range():
    image = PICTURES["page"] / 255
    np.testing.assert_allclose(thresholding.sauvola(image, 15, r=1),
                               filters.threshold_sauvola(image, 15, r=1),
                               atol=1e-6)


def test_sauvola_is_lowest_on_blank_paper():
    """T = m (1 - k) where nothing is, and higher next to ink."""
    image = np.full((40, 40), 200, dtype=np.uint8)
    image[18:22] = 40
    surface = thresholding.sauvola(image, 9, 0.2)
    assert surface[2, 2] == pytest.approx(200 * 0.8)
    assert surface[14, 20] > image[14, 20] * 0.8
    np.testing.assert_array_equal(image <= surface, image == 40)


def test_a_large_offset_does_not_drown_the_variance():
    wave = np.indices((30, 30)).sum(axis=0) % 2
    _, std = thresholding.local_mean_std(wave + 1e8, 5)
    _, plain = thresholding.local_mean_std(wave, 5)
    np.testing.assert_allclose(std, plain, atol=1e-6)


def test_flat_regions_have_no_deviation_at_all():
    image = sizes_image(60, 60)
    image[20:, 20:] = 137
    mean, std = thresholding.local_mean_std(image, 9)
    assert (std[30:50, 30:50] == 0).all()
    assert (mean[30:50, 30:50] == 137).all()


# Hysteresis

@pictures
def test_hysteresis_equals_scikit_image(image):
    low, high = np.quantile(image, (0.6, 0.9))
    np.testing.assert_array_equal(
        thresholding.hysteresis(image, low, high),
        filters.apply_hysteresis_threshold(image, low, high))


@given(small, st.integers(0, 12), st.integers(0, 12))
def test_hysteresis_lies_between_its_thresholds(image, a, b):
    low, high = sorted((a, b))
    found = thresholding.hysteresis(image, low, high)
    assert (found <= (image > low)).all() and (found >= (image > high)).all()
    pieces, number = ndimage.label(found)
    assert all((image[pieces == i + 1] > high).any() for i in range(number))


def test_hysteresis_needs_a_vouching_neighbour():
    image = np.array([[5, 0, 5, 9], [0, 9, 0, 0], [5, 0, 0, 5]])
    expected = [[0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert thresholding.hysteresis(image, 4, 8).tolist() == expected
    assert not thresholding.hysteresis(image, 4, 9).any()


def test_hysteresis_runs_over_corners_when_asked():
    steps = np.diag([9, 5, 5])
    assert thresholding.hysteresis(steps, 4, 8).sum() == 1
    found = thresholding.hysteresis(steps, 4, 8, connectivity=2)
    assert found.tolist() == (steps > 4).tolist()
    with pytest.raises(ValueError, match="connectivity is 3"):
        thresholding.hysteresis(steps, 4, 8, connectivity=3)


def test_hysteresis_takes_surfaces():
    image = PICTURES["coins"]
    low = thresholding.niblack(image, 51, 0)
    np.testing.assert_array_equal(
        thresholding.hysteresis(image, low, low + 20),
        filters.apply_hysteresis_threshold(image, low, low + 20))


# The printed page

def test_printed_page_is_a_function_of_its_seed():
    image, ink = thresholding.printed_page(0.5, seed=3)
    again, _ = thresholding.printed_page(0.5, seed=3)
    other, _ = thresholding.printed_page(0.5, seed=4)
    assert image.shape == ink.shape and image.dtype == np.uint8
    assert (image == again).all() and (image != other).any()


def test_the_light_changes_nothing_but_the_light():
    bright, ink = thresholding.printed_page(0.0, noise=0)
    dim, same = thresholding.printed_page(0.8, noise=0)
    assert (ink == same).all() and (dim <= bright).all()
    assert set(bright[ink]) == {60} and set(bright[~ink]) == {200}


@pytest.mark.parametrize("gradient", [0.0, 0.6, 0.9])
def test_no_global_threshold_beats_the_best(gradient):
    image, ink = thresholding.printed_page(gradient)
    scores = [f_measure(image <= t, ink) for t in range(256)]
    best = thresholding.best_threshold(image, ink)
    assert scores[best] == max(scores)


def test_bad_light_breaks_otsu_and_not_sauvola():
    for seed in range(3):
        image, ink = thresholding.printed_page(0.9, seed=seed)
        otsu = f_measure(image <= thresholding.otsu(image), ink)
        local = f_measure(image <= thresholding.sauvola(image, 25), ink)
        assert otsu < 0.6 and local > 0.95


# What has no answer, and what has a special one

GLOBAL = [thresholding.otsu, thresholding.multi_otsu, thresholding.triangle,
          thresholding.li]
LOCAL = [thresholding.niblack, thresholding.sauvola]
ALL = [*GLOBAL, *LOCAL, lambda image: thresholding.hysteresis(image, 0, 1)]


@pytest.mark.parametrize("method", GLOBAL)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, float, bool])
def test_one_grey_value_has_no_threshold(method, dtype):
    with pytest.raises(ValueError, match="1 different grey value"):
        method(np.ones((4, 5), dtype=dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, float])
def test_a_constant_image_holds_no_ink(dtype):
    image = np.ones((9, 8), dtype=dtype)
    np.testing.assert_array_equal(thresholding.niblack(image, 5), image)
    np.testing.assert_allclose(thresholding.sauvola(image, 5), 0.8 * image)
    assert not thresholding.hysteresis(image, 1, 1).any()


@pytest.mark.parametrize("method", [thresholding.otsu, thresholding.li])
def test_a_mask_splits_between_false_and_true(method):
    mask = PICTURES["coins"] > 107
    np.testing.assert_array_equal(mask.astype(int) > method(mask), mask)


def test_triangle_of_a_mask_is_its_rarer_value():
    """The foot of a tail of one step is its far end."""
    image = np.array([[0, 0, 0, 1]], dtype=np.uint8)
    for image in (image, 1 - image):
        assert thresholding.triangle(image == 1) == (
            filters.threshold_triangle(image)) == (image.sum() == 1)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(method, bad):
    image = np.random.default_rng(0).random((6, 7))
    image[3, 4] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        method(image)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5,), (4, 4, 3)])
def test_only_grey_images_with_pixels(method, shape):
    with pytest.raises(ValueError, match=r"image has shape .*\(H, W\)"):
        method(np.zeros(shape))


@pytest.mark.parametrize("method", ALL)
def test_only_numbers(method):
    with pytest.raises(TypeError, match="image has dtype complex128"):
        method(np.zeros((3, 3), dtype=complex))


def test_too_many_integers():
    with pytest.raises(ValueError, match="at most 65536 steps, or floats"):
        thresholding.otsu(np.array([[0, 2**31]]))


@pytest.mark.parametrize("classes", [1, 0, -3, 2.5, "3"])
def test_classes_must_be_a_whole_number(classes):
    with pytest.raises(ValueError, match="classes is .*2 or more"):
        thresholding.multi_otsu(PICTURES["coins"], classes)


def test_more_classes_than_grey_values():
    image = np.array([[1, 2, 3]], dtype=np.uint8)
    assert thresholding.multi_otsu(image, 3).tolist() == [1, 2]
    with pytest.raises(ValueError, match="3 different.*at least 4"):
        thresholding.multi_otsu(image, 4)


@pytest.mark.parametrize("method", LOCAL)
@pytest.mark.parametrize("size", [0, 4, -3, 5.0, None])
def test_windows_must_be_odd(method, size):
    with pytest.raises(ValueError, match="window_size is .*odd"):
        method(PICTURES["page"], size)


@pytest.mark.parametrize("r", [0, -1, np.nan])
def test_the_range_of_sauvola_must_be_positive(r):
    with pytest.raises(ValueError, match="r is .*above 0"):
        thresholding.sauvola(PICTURES["page"], 15, r=r)


@pytest.mark.parametrize("low, high", [(5, 4), (np.nan, 4),
                                       (np.full((3, 3), 5), 4)])
def test_hysteresis_refuses_low_above_high(low, high):
    with pytest.raises(ValueError, match="low is above high"):
        thresholding.hysteresis(np.zeros((3, 3)), low, high)


@pytest.mark.parametrize("gradient", [-0.1, 1.1, np.nan])
def test_the_light_cannot_fall_by_more_than_all(gradient):
    with pytest.raises(ValueError, match="gradient is .*0 to 1"):
        thresholding.printed_page(gradient)


@pytest.mark.parametrize("method", ALL)
def test_the_image_is_left_alone(method):
    image = PICTURES["coins"].copy()
    image.setflags(write=False)
    method(image)
    method(image[::2, ::-1])                    # a view, not contiguous
    assert (image == PICTURES["coins"]).all()
