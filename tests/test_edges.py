"""Edges, contours, distances and basins beside references and brute force."""
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import data, draw, feature, filters, morphology, segmentation

from seglib import edges
from seglib.metrics import panoptic_quality
from seglib.thresholding import otsu

settings.register_profile("compiling", deadline=None)
settings.load_profile("compiling")    # numba's first call takes a second
sides = st.tuples(st.integers(1, 12), st.integers(1, 12))
PICTURES = {name: getattr(data, name)() for name in
            ("camera", "coins", "moon", "page")}
pictures = pytest.mark.parametrize("image", PICTURES.values(),
                                   ids=PICTURES.keys())


def circle(y, x, radius, n=200):
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([y + radius * np.sin(turn), x + radius * np.cos(turn)],
                    axis=1)


def disc(shape, y, x, radius):
    v, u = np.indices(shape)
    return np.hypot(v - y, u - x) <= radius


# Slopes and edges

@pytest.mark.parametrize("sigma", [0, 0.7, 3])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (13, 20)])
def test_gradients_of_a_ramp_and_shapes(shape, sigma):
    y, x = np.indices(shape)
    dy, dx = edges.gradients(0.01 * y + 0.02 * x, sigma)
    assert dy.shape == dx.shape == shape and dy.dtype == np.float64
    if min(shape) > 4 and sigma == 0:
        np.testing.assert_allclose(dy[1:-1, 1:-1], 0.01, atol=1e-6)
        np.testing.assert_allclose(dx[1:-1, 1:-1], 0.02, atol=1e-6)


def test_gradients_point_uphill_in_y_then_x():
    image = np.zeros((9, 9))
    image[6:] = 1
    dy, dx = edges.gradients(image)
    assert dy[5, 4] > 0.1 and abs(dx).max() < 1e-12


def test_gradients_do_not_care_about_the_dtype():
    image = data.coins()
    wide = (image.astype(np.uint16) * 257)
    for other in (wide, image / 255, (image / 255).astype(np.float32)):
        np.testing.assert_allclose(edges.gradients(other),
                                   edges.gradients(image), atol=1e-6)


@given(hnp.arrays(float, sides, elements=st.floats(0, 1, width=16)))
def test_gradients_turn_with_the_picture(image):
    dy, dx = edges.gradients(image, 1.0)
    v, u = edges.gradients(image.T, 1.0)
    np.testing.assert_allclose(v, dx.T, atol=1e-12)
    np.testing.assert_allclose(u, dy.T, atol=1e-12)


@given(hnp.arrays(float, sides, elements=st.floats(0, 1, width=16)))
def test_thin_keeps_slopes_or_zero(image):
    dy, dx = edges.gradients(image, 0.5)
    slope, lines = np.hypot(dy, dx), edges.thin(dy, dx)
    assert np.all((lines == 0) | (lines == slope))
    assert not lines[[0, -1]].any() and not lines[:, [0, -1]].any()


def test_thin_decides_ties_for_one_of_two():
    for image in (np.repeat([0.0, 1.0], 5), np.repeat([1.0, 0.0], 5)):
        dy, dx = edges.gradients(np.tile(image, (7, 1)), 0)
        for lines in (edges.thin(dy, dx), edges.thin(dx.T, dy.T).T):
            assert ((lines > 0).sum(axis=1)[1:-1] == 1).all()


def test_thin_interpolates_between_straight_and_diagonal():
    """A straight edge of any direction stays a line without gaps."""
    y, x = np.indices((60, 60)) - 30
    for angle in np.deg2rad([7, 22.5, 30, 52, 71]):
        across = x * np.cos(angle) + y * np.sin(angle)
        image = 1 / (1 + np.exp(-across))
        line = edges.thin(*edges.gradients(image, 1)) > 0.05
        assert abs(across[line]).max() <= 0.9
        inner = line[5:-5, 5:-5]
        assert ndimage.label(inner, np.ones((3, 3)))[1] == 1


@pictures
@pytest.mark.parametrize("sigma", [1, 2.5])
def test_canny_equals_scikit_image_but_for_ties(image, sigma):
    ours = edges.canny(image, sigma, 0.01, 0.03)
    theirs = feature.canny(image / 255, sigma, 0.08, 0.24, mode="nearest")
    common = np.count_nonzero(ours & theirs)
    assert common >= 0.99 * max(ours.sum(), theirs.sum())


@pictures
def test_canny_finds_what_opencv_finds(image):
    blurred = ndimage.gaussian_filter(image.astype(float), 2,
                                      mode="nearest")
    blurred = np.rint(blurred).astype(np.uint8)
    theirs = cv2.Canny(blurred, 30, 60, L2gradient=True) > 0
    ours = edges.canny(blurred, 0, 30 / 8 / 255, 60 / 8 / 255)
    found = ndimage.binary_dilation(ours, np.ones((3, 3)))[theirs].mean()
    true = ndimage.binary_dilation(theirs, np.ones((3, 3)))[ours].mean()
    assert min(found, true) > 0.9


def test_canny_links_over_corners():
    """A diagonal edge, fading, hangs on to its sure end."""
    y, x = np.indices((40, 40))
    image = np.where(x > y, 0.6 - 0.006 * (x + y), 0)
    lines = edges.thin(*edges.gradients(image, 1))
    low, high = lines[30:36, 30:36].max() / 2, lines.max() * 0.9
    assert low < lines[30, 29:32].max() < high
    found = edges.canny(image, 1, low, high)
    assert found[30:36].any(axis=1).all()
    assert not edges.canny(image * 0.3, 1, low, high).any()


@given(hnp.arrays(np.uint8, sides), st.floats(0, 0.1), st.floats(0, 0.1))
def test_canny_grows_when_thresholds_fall(image, a, b):
    low, high = min(a, b), max(a, b)
    some = edges.canny(image, 1, low, high)
    assert not np.any(some & ~edges.canny(image, 1, low / 2, high))
    assert not np.any(some & ~edges.canny(image, 1, low, (low + high) / 2))


def test_canny_of_a_constant_image_is_empty():
    for value in (0.0, 0.5, 1.0):
        assert not edges.canny(np.full((9, 9), value), 1, 0, 0).any()


# Snakes

@pytest.mark.parametrize("alpha, beta", [(0.01, 0.1), (1, 0), (0, 2)])
def test_damping_is_that_of_the_matrix(alpha, beta):
    points = np.random.default_rng(0).normal(size=9)
    ahead = np.roll(np.eye(9), 1, axis=1)
    D = 2 * np.eye(9) - ahead - ahead.T
    solved = np.linalg.solve(
        alpha * D + beta * D @ D + 0.2 * np.eye(9), points)
    quick = np.fft.ifft(np.fft.fft(points)
                        / (edges._damping(9, alpha, beta) + 0.2))
    np.testing.assert_allclose(quick, solved, atol=1e-12)


def test_snake_on_blank_paper_shrinks_as_calculated():
    start = circle(25, 31, 12, n=60)
    ended = edges.active_contour(np.zeros((50, 60)), start, 0.02, 0.3,
                                 0.05, max_move=1e9, iterations=20)
    b = 2 - 2 * np.cos(2 * np.pi / 60)
    factor = 0.05 / (0.05 + 0.02 * b + 0.3 * b * b)
    centre = np.array([25, 31])
    np.testing.assert_allclose(ended, centre + (start - centre)
                               * factor**20, atol=1e-9)


def test_snake_moves_no_point_farther_than_it_may():
    start = circle(30, 30, 25)
    moved = edges.active_contour(np.zeros((60, 60)), start, 100,
                                 max_move=0.5, iterations=1) - start
    assert 0.4 < abs(moved).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("w_line, w_edge", [(0, 1), (-1, 1), (0.1, 2)])
def test_snake_rests_where_scikit_images_does(w_line, w_edge):
    image = ndimage.gaussian_filter(
        0.2 + 0.6 * disc((100, 110), 48, 57, 27), 3)
    start = circle(50, 55, 36)
    arguments = dict(alpha=0.01, beta=0.5, gamma=0.01, w_line=w_line,
                     w_edge=w_edge)
    ours = edges.active_contour(image, start, **arguments)
    theirs = segmentation.active_contour(image, start, convergence=1e-3,
                                         **arguments)
    assert np.hypot(*(ours - theirs).T).max() < 1
    ours, theirs = (draw.polygon2mask(image.shape, c)
                    for c in (ours, theirs))
    assert np.sum(ours & theirs) > 0.98 * np.sum(ours | theirs)


def test_snake_lies_down_on_a_bright_line():
    rows, columns = draw.circle_perimeter(48, 57, 27)
    image = np.zeros((100, 110))
    image[rows, columns] = 1
    image = ndimage.gaussian_filter(image, 2)
    ended = edges.active_contour(image / image.max(), circle(50, 55, 34),
                                 w_line=1, w_edge=0)
    assert abs(np.hypot(*(ended - (48, 57)).T) - 27).max() < 2


def test_snake_spans_a_gap_that_edges_leave_open():
    thing = disc((100, 100), 50, 50, 28)
    image = ndimage.gaussian_filter(0.2 + 0.6 * thing, 2)
    image[47:53, 70:] = image[50, 50]             # a road out of it
    lines = edges.canny(image, 1)
    assert not ndimage.binary_fill_holes(lines)[50, 50]
    fitted = edges.active_contour(image, circle(50, 50, 36), beta=1)
    found = draw.polygon2mask(thing.shape, fitted)
    assert np.sum(found & thing) > 0.85 * np.sum(found | thing)


# Chan and Vese

@pytest.mark.parametrize("mu", [0.05, 0.25, 1])
@pictures
def test_chan_vese_gives_scikit_images_mask(image, mu):
    image = image[::4, ::4]
    ours = edges.chan_vese(image, mu, iterations=60, tolerance=0)
    theirs = segmentation.chan_vese(image / 255, mu, tol=0,
                                    max_num_iter=60)
    assert np.mean(ours == theirs) > 0.999


def test_one_step_of_chan_vese_is_scikit_images():
    rng = np.random.default_rng(0)
    image, start = rng.random((17, 23)), rng.normal(size=(17, 23))
    image = (image - image.min()) / np.ptp(image)
    phi, new = np.pad(start, 1, mode="edge"), np.zeros((19, 25))
    edges._step(phi, new, image, 0.3, 0.4)
    _, theirs, _ = segmentation.chan_vese(
        image, 0.3, max_num_iter=1, dt=0.4, init_level_set=start,
        extended_output=True)
    np.testing.assert_allclose(new[1:-1, 1:-1], theirs, atol=1e-10)
    np.testing.assert_array_equal(new, np.pad(new[1:-1, 1:-1], 1,
                                              mode="edge"))


def test_chan_vese_lowers_its_energy():
    image = data.coins()[::3, ::3] / 255
    image = (image - image.min()) / np.ptp(image)

    def energy(mask):
        misfit = sum(np.sum((image[side] - image[side].mean())**2)
                     for side in (mask, ~mask))
        return misfit + 0.25 * (np.sum(mask[1:] != mask[:-1])
                                + np.sum(mask[:, 1:] != mask[:, :-1]))

    found = [energy(edges.chan_vese(image, iterations=n, tolerance=0))
             for n in (1, 5, 20, 80, 300)]
    assert np.all(np.diff(found) < 0)
    assert found[-1] < energy(image > otsu(image))


def test_a_higher_price_makes_a_shorter_outline():
    image, _ = edges.heap_of_coins(noise=80)
    outline = [np.sum(mask[1:] != mask[:-1]) for mask in (
        edges.chan_vese(image, mu, 200, 0) for mu in (0.1, 0.4, 1.6))]
    assert outline[0] > outline[1] > outline[2]


def test_chan_vese_without_price_cuts_half_way():
    """The fixed point is that of Otsu: the middle of the two means."""
    image = data.camera()[::4, ::4]
    mask = edges.chan_vese(image, 0, iterations=800, tolerance=0)
    bright = mask if image[mask].mean() > image[~mask].mean() else ~mask
    middle = (image[bright].mean() + image[~bright].mean()) / 2
    sure = abs(image - middle) > 4
    assert (bright == (image > middle))[sure].all()


@given(sides, st.sampled_from([0, 77, 255]))
def test_chan_vese_of_a_constant_image(shape, value):
    found = edges.chan_vese(np.full(shape, value, np.uint8), iterations=30)
    assert found.shape == shape and found.dtype == bool


def test_chan_vese_starts_where_it_is_told_and_leaves_that_alone():
    image = disc((40, 50), 20, 25, 9) * 1.0
    start = np.where(disc((40, 50), 20, 25, 15), 1, -1)
    before = start.copy()
    found = edges.chan_vese(image, 0.1, start=start)
    assert (found == (image > 0)).mean() > 0.99
    assert np.array_equal(start, before)


# Distances

@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (17, 31),
                                   (128, 97)])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_distances_equal_scipys(shape, share):
    mask = np.random.default_rng(0).random(shape) < share
    mask.flat[-1] = False
    np.testing.assert_array_equal(edges.distance_transform(mask),
                                  ndimage.distance_transform_edt(mask))


@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_distances_by_trying_all_pixels(mask):
    found = edges.distance_transform(mask)
    ground = np.argwhere(~mask)
    if not len(ground):
        assert np.all(found == np.inf)
        return
    for place in np.ndindex(mask.shape):
        nearest = ((ground - place)**2).sum(axis=1).min()
        assert found[place] == np.sqrt(nearest)


@pytest.mark.parametrize("size", [60, 300])
def test_distances_are_opencvs(size):
    mask = disc((size, size), size / 2, size / 3, size / 4)
    theirs = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2,
                                   cv2.DIST_MASK_PRECISE)
    np.testing.assert_allclose(edges.distance_transform(mask), theirs,
                               atol=0.01)


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_distances_to_a_single_pixel_in_a_corner(corner):
    mask = np.ones((40, 53), bool)
    mask[corner] = False
    y, x = np.indices(mask.shape)
    v, u = np.argwhere(~mask)[0]
    np.testing.assert_array_equal(edges.distance_transform(mask),
                                  np.sqrt((y - v)**2 + (x - u)**2))


@given(hnp.arrays(float, st.integers(1, 12),
                  elements=st.sampled_from([0., 1., 4., 9., 100., np.inf])))
def test_lower_envelope_is_the_minimum(g2):
    n = len(g2)
    d2, apex, begin = np.empty(n), np.empty(n, int), np.empty(n)
    edges._lower_envelope(g2, d2, apex, begin)
    u = np.arange(n)
    np.testing.assert_array_equal(
        d2, ((u[:, None] - u)**2 + g2).min(axis=1))


def test_distance_dtypes_and_layouts():
    mask = data.coins() > 107
    expected = edges.distance_transform(mask)
    for other in (mask.astype(np.uint8) * 255, mask.astype(np.int64) * -3,
                  np.asfortranarray(mask)):
        assert np.array_equal(edges.distance_transform(other), expected)
    assert np.array_equal(edges.distance_transform(mask.T), expected.T)


# Watersheds

@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, float])
def test_labels_equal_scikit_images_where_all_levels_differ(dtype):
    rng = np.random.default_rng(0)
    shape = (12, 20) if dtype == np.uint8 else (97, 131)
    elevation = rng.permutation(np.prod(shape)).reshape(shape).astype(dtype)
    if dtype in (np.float32, float):
        elevation = elevation / 77 - 50
    markers = np.where(rng.random(shape) < 0.02,
                       rng.integers(1, 9, shape), 0)
    for mask in (None, rng.random(shape) < 0.8):
        np.testing.assert_array_equal(
            edges.watershed(elevation, markers, mask),
            segmentation.watershed(elevation, markers, mask=mask))


@pictures
@pytest.mark.parametrize("spacing", [11, 32])
def test_labels_agree_with_scikit_images_on_photographs(image, spacing):
    """Where levels are equal, markers may start in another order."""
    markers = np.zeros(image.shape, int)
    place = np.s_[5::spacing, 5::spacing]
    markers[place] = np.arange(1, markers[place].size + 1).reshape(
        markers[place].shape)
    for elevation in (filters.sobel(image), image):
        agree = (edges.watershed(elevation, markers)
                 == segmentation.watershed(elevation, markers))
        assert agree.mean() > 0.98


@settings(max_examples=60)
@given(st.data())
def test_basins_are_shortest_paths_and_hold_one_marker(draws):
    shape = draws.draw(sides)
    elevation = draws.draw(hnp.arrays(np.int64, shape,
                                      elements=st.integers(-4, 5)))
    markers = draws.draw(hnp.arrays(np.int64, shape, elements=st.sampled_from(
        [0, 0, 0, 0, 1, 2, 3])))
    mask = draws.draw(hnp.arrays(bool, shape))
    found = edges.watershed(elevation, markers, mask)
    kept = np.where(mask, markers, 0)
    assert found.dtype == np.int32
    assert np.array_equal(found[kept > 0], kept[kept > 0])
    assert not found[~mask].any()
    pieces, number = ndimage.label(mask)
    for piece in range(1, number + 1):           # water gets everywhere
        inside = pieces == piece
        assert (found[inside] > 0).all() or not kept[inside].any()
    costs = {k: highest_pass(kept == k, elevation, mask)
             for k in np.unique(kept[kept > 0])}
    for k, cost in costs.items():
        basin, number = ndimage.label(found == k)
        for piece in range(1, number + 1):       # each piece has a spring
            assert (kept[basin == piece] == k).any()
        won = (found == k) & (kept == 0)
        assert np.all(cost[won] == np.min(list(costs.values()),
                                          axis=0)[won])


def highest_pass(springs, elevation, mask):
    """Lowest water level at which a spring reaches each pixel."""
    cost = np.where(springs, elevation, np.inf)
    cross = ndimage.generate_binary_structure(2, 1)
    while True:
        near = ndimage.minimum_filter(cost, footprint=cross, mode="constant",
                                      cval=np.inf)
        cheaper = np.where(mask, np.minimum(cost, np.maximum(
            elevation, near)), np.inf)
        if np.array_equal(cheaper, cost):
            return cost
        cost = cheaper


def test_a_plateau_is_shared_by_the_nearest_spring():
    markers = np.zeros((1, 12), int)
    markers[0, [1, 10]] = 1, 2
    assert edges.watershed(np.zeros((1, 12)), markers).tolist() == [
        [1] * 6 + [2] * 6]


def test_the_marker_reached_first_keeps_a_pixel():
    """Both springs claim the top; red is beside it earlier."""
    assert edges.watershed([[3, 1, 2, 5, 4, 0, 2]],
                           [[0, 1, 0, 0, 0, 2, 0]]).tolist() == [
        [1, 1, 1, 1, 2, 2, 2]]


def test_water_that_is_higher_stays_high():
    """Behind a pass, water floods in the order in which it comes."""
    elevation = np.array([[0, 5, 1, 2, 1, 5, 0]])
    markers = np.array([[1, 0, 0, 0, 0, 0, 2]])
    assert edges.watershed(elevation, markers).tolist() == [
        [1, 1, 1, 1, 2, 2, 2]]


@given(hnp.arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 6)),
                  elements=st.sampled_from(
                      [-0.0, 0.0, 1e-300, -1e-300, 1.5, -1.5, 1e300, -1e300,
                       0.1, np.float64(np.float32(0.1))])))
def test_levels_are_ranks(elevation):
    level, levels = edges._levels(elevation)
    different, ranks = np.unique(elevation, return_inverse=True)
    assert np.array_equal(level, ranks.reshape(elevation.shape))
    assert levels == len(different)


def test_watershed_of_large_integers_and_bool():
    markers = np.array([[1, 0, 0, 2]])
    big = np.array([[0, 2**40, 7, 0]])
    assert edges.watershed(big, markers).tolist() == [[1, 1, 2, 2]]
    assert edges.watershed(np.array([[0, 0, 1, 1]], bool),
                           markers).tolist() == [[1, 1, 1, 2]]


def test_watershed_without_markers_or_without_mask_is_empty():
    image = np.zeros((4, 5))
    assert not edges.watershed(image, np.zeros((4, 5), int)).any()
    assert not edges.watershed(image, np.ones((4, 5), int),
                               np.zeros((4, 5), bool)).any()


def test_arguments_are_left_alone():
    elevation = np.random.default_rng(0).random((9, 9))
    markers = np.eye(9, dtype=np.int32)
    copies = elevation.copy(), markers.copy()
    edges.watershed(elevation, markers, np.ones((9, 9), bool))
    assert np.array_equal(elevation, copies[0])
    assert np.array_equal(markers, copies[1])


# Tops, and things that touch

@pytest.mark.parametrize("depth", [1, 2, 5])
def test_peaks_are_scikit_images_h_maxima(depth):
    hills = ndimage.gaussian_filter(
        np.random.default_rng(0).random((60, 70)), 2)
    hills = np.rint(hills / hills.max() * 60).astype(np.uint8)
    cross = ndimage.generate_binary_structure(2, 1)
    maxima = ndimage.label(morphology.h_maxima(hills, depth, cross))[0]
    tops = edges.peaks(hills, depth)
    assert tops.max() > 1
    holds = [set(np.unique(tops[maxima == k])) - {0}
             for k in range(1, maxima.max() + 1)]
    assert set().union(*holds) == set(range(1, tops.max() + 1))


def test_a_peak_has_to_go_down_before_it_goes_up():
    row = np.array([[0, 5, 4, 6, 3, 4.5, 0]])
    for depth, tops in ((0.5, 3), (1, 3), (1.2, 2), (1.6, 1), (6, 1)):
        assert edges.peaks(row, depth).max() == tops


@pytest.mark.parametrize("overlap", [0, 0.2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_touching_coins_are_counted(overlap, seed):
    image, truth = edges.heap_of_coins(overlap, seed=seed)
    mask = ndimage.binary_opening(image > otsu(image))
    assert ndimage.label(mask)[1] < 12
    quality = panoptic_quality(edges.split_touching(mask), truth)
    assert quality[3:] == (12, 0, 0) and quality.sq > 0.95


@given(hnp.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14))))
def test_split_numbers_every_pixel_of_the_mask(mask):
    if mask.all():
        return
    things = edges.split_touching(mask, 0.5)
    assert np.array_equal(things > 0, mask)
    numbers = np.unique(things[mask])
    assert np.array_equal(numbers, np.arange(1, len(numbers) + 1))
    for k in numbers:
        assert ndimage.label(things == k)[1] == 1


def test_heap_of_coins_is_a_function_of_its_arguments():
    a, b = edges.heap_of_coins(0.3, seed=5), edges.heap_of_coins(0.3, seed=5)
    assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
    assert a[0].dtype == np.uint8 and set(np.unique(a[1])) == set(range(13))
    assert np.any(edges.heap_of_coins(0.3, seed=6)[1] != a[1])


# What must not come in

GREY = np.zeros((6, 7))
IDS = np.zeros((6, 7), int)


@pytest.mark.parametrize("call, words", [
    (lambda: edges.gradients(np.zeros((4, 4, 3))), "image has shape"),
    (lambda: edges.gradients(np.zeros((0, 4))), "image has shape"),
    (lambda: edges.gradients(np.full((4, 4), 2.0)), "image has floats"),
    (lambda: edges.gradients(np.full((4, 4), np.nan)), "NaN"),
    (lambda: edges.gradients(GREY, -1), "sigma is -1"),
    (lambda: edges.gradients(GREY, np.nan), "sigma is nan"),
    (lambda: edges.thin(GREY, GREY[1:]), "dx has shape"),
    (lambda: edges.canny(GREY, 1, 0.2, 0.1), "low is 0.2"),
    (lambda: edges.active_contour(GREY, np.zeros((4, 2))), "contour has"),
    (lambda: edges.active_contour(GREY, np.zeros((9, 3))), "contour has"),
    (lambda: edges.active_contour(GREY, circle(2, 2, 1), gamma=0), "gamma"),
    (lambda: edges.chan_vese(GREY, -1), "mu is -1"),
    (lambda: edges.chan_vese(GREY, dt=0), "dt 0"),
    (lambda: edges.chan_vese(GREY, start=GREY[1:]), "start has shape"),
    (lambda: edges.chan_vese(GREY, start=GREY * np.nan), "start holds NaN"),
    (lambda: edges.distance_transform(IDS[0]), "mask has shape"),
    (lambda: edges.distance_transform(IDS[:0]), "mask has shape"),
    (lambda: edges.watershed(GREY, IDS[1:]), "markers has shape"),
    (lambda: edges.watershed(GREY, IDS, IDS[1:]), "mask has shape"),
    (lambda: edges.watershed(GREY, IDS - 1), "markers are -1"),
    (lambda: edges.watershed(GREY, IDS + 2**31), "markers are"),
    (lambda: edges.watershed(GREY + np.inf, IDS), "elevation holds NaN"),
    (lambda: edges.peaks(GREY, 0), "depth is 0"),
    (lambda: edges.split_touching(IDS == 0), "mask has no ground"),
    (lambda: edges.heap_of_coins(1.5), "overlap is 1.5"),
])
def test_a_bad_value_is_named(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "needed:" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("call, words", [
    (lambda: edges.gradients(GREY.astype(int)), "image has dtype int64"),
    (lambda: edges.distance_transform(GREY), "mask has dtype float64"),
    (lambda: edges.watershed(GREY * 1j, IDS), "elevation has dtype"),
    (lambda: edges.watershed(GREY, GREY), "markers has dtype float64"),
    (lambda: edges.thin(GREY, "up"), "dx has dtype"),
])
def test_a_bad_type_is_named(call, words):
    with pytest.raises(TypeError, match=words):
        call()


# Compiling

def test_importing_compiles_nothing_and_a_second_process_pays_nothing(
        tmp_path):
    """The first process fills numba's cache; the second only reads it."""
    script = """
import numpy as np, time
from seglib import edges
kernels = [f for f in vars(edges).values() if hasattr(f, "signatures")]
assert len(kernels) > 5 and not any(f.signatures for f in kernels)
image = np.random.default_rng(0).random((20, 20))
start = time.perf_counter()
edges.canny(image), edges.chan_vese(image, iterations=2)
edges.split_touching(image > 0.5), edges.watershed(image, image > 0.9)
print(time.perf_counter() - start,
      sum(sum(f.stats.cache_misses.values()) for f in kernels))
"""
    def run():
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True,
            check=True, env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)})
        return [float(word) for word in done.stdout.split()]

    (first, misses), (_, misses_again) = run(), run()
    assert misses > 0 == misses_again and first < 60


@pictures
def test_watershed_lines_lie_on_the_edges(image):
    """Basins from few deep dents have their borders where Canny sees
    edges, far more often than chance."""
    slope = np.hypot(*edges.gradients(image, 2))
    basins = edges.watershed(slope, edges.peaks(slope.max() - slope, 0.01))
    lines = edges.canny(image, 2, 0.005, 0.01)
    inside = ndimage.binary_dilation(lines, iterations=2)
    border = segmentation.find_boundaries(basins)
    if basins.max() > 5:
        assert inside[border].mean() > 1.3 * inside.mean()
