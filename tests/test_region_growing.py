"""Regions that grow, beside OpenCV, SciPy, scikit-image and brute force."""
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import data, measure, segmentation

from seglib import region_growing as growing
from seglib.display import as_float

PICTURES = {name: getattr(data, name)() for name in
            ("astronaut", "camera", "chelsea", "coffee", "coins", "page")}
DTYPES = {"bool": lambda image: image > image.mean(),
          "uint8": lambda image: image,
          "uint16": lambda image: image.astype(np.uint16) * 201 + 7,
          "int64": lambda image: image.astype(np.int64) * 3 - 1_000_000,
          "float32": lambda image: (image / 255).astype(np.float32),
          "float64": lambda image: image * 3.7 - 12}
pictures = pytest.mark.parametrize("image", PICTURES.values(),
                                   ids=PICTURES.keys())
dtypes = pytest.mark.parametrize("convert", DTYPES.values(),
                                 ids=DTYPES.keys())
settings.register_profile("compiling", deadline=None)
settings.load_profile("compiling")    # numba's first call takes a second


def images(side=6, high=5, colour=True):
    """Small images with few values, so with many ties; some in colour."""
    size = st.integers(1, side)
    shapes = st.tuples(size, size)
    if colour:
        shapes |= st.tuples(size, size, st.just(3))
    return hnp.arrays(np.uint8, shapes, elements=st.integers(0, high))


@st.composite
def seeded(draw):
    image = draw(images())
    seeds = draw(hnp.arrays(np.int64, image.shape[:2],
                            elements=st.sampled_from([0, 0, 0, 1, 2, 255])))
    seeds[draw(st.integers(0, seeds.shape[0] - 1)),
          draw(st.integers(0, seeds.shape[1] - 1))] = 7
    return image, seeds


def vectors(image):
    return image.reshape(*image.shape[:2], -1).astype(float)


def beside(y, x, shape, steps=((-1, 0), (0, -1), (0, 1), (1, 0))):
    for dy, dx in steps:
        if 0 <= y + dy < shape[0] and 0 <= x + dx < shape[1]:
            yield y + dy, x + dx


def same_partition(a, b):
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(a)) == len(np.unique(b))


def all_connected(labels, connectivity=1):
    return measure.label(labels, background=-1,
                         connectivity=connectivity).max() == len(
                             np.unique(labels))


# Flood

@pictures
@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("tolerance", [0, 3, 30, 200])
def test_flood_equals_scikit_image(image, connectivity, tolerance):
    image = image if image.ndim == 2 else image[..., 0]
    for seed in ((0, 0), (100, 130), (150, 299)):
        np.testing.assert_array_equal(
            growing.flood(image, seed, tolerance, connectivity),
            segmentation.flood(image, seed, tolerance=tolerance,
                               connectivity=connectivity))


@pictures
@pytest.mark.parametrize("connectivity", [1, 2])
def test_flood_equals_opencv(image, connectivity):
    grey = image if image.ndim == 2 else cv2.cvtColor(image,
                                                      cv2.COLOR_RGB2GRAY)
    mask = np.zeros((grey.shape[0] + 2, grey.shape[1] + 2), np.uint8)
    cv2.floodFill(grey.copy(), mask, (130, 100), 0, 25, 25, flags=(
        4 * connectivity | cv2.FLOODFILL_FIXED_RANGE
        | cv2.FLOODFILL_MASK_ONLY))
    np.testing.assert_array_equal(
        growing.flood(grey, (100, 130), 25, connectivity),
        mask[1:-1, 1:-1] > 0)


@dtypes
def test_flood_equals_scikit_image_for_all_dtypes(convert):
    image = convert(PICTURES["camera"])
    tolerance = float(np.ptp(image.astype(float)) / 9)
    theirs = segmentation.flood(image.astype(float), (60, 400),
                                tolerance=tolerance, connectivity=1)
    np.testing.assert_array_equal(
        growing.flood(image, (60, 400), tolerance), theirs)


@given(images(), st.data(), st.floats(0, 9))
def test_flood_equals_walking(image, draw, tolerance):
    v = vectors(image)
    seed = (draw.draw(st.integers(0, v.shape[0] - 1)),
            draw.draw(st.integers(0, v.shape[1] - 1)))
    reached, waiting = {seed}, [seed]
    while waiting:
        for step in beside(*waiting.pop(), v.shape):
            if step not in reached and np.linalg.norm(
                    v[step] - v[seed]) <= tolerance:
                reached.add(step)
                waiting.append(step)
    found = growing.flood(image, seed, tolerance)
    assert found.dtype == bool and found.shape == image.shape[:2]
    assert set(zip(*np.nonzero(found))) == reached


@given(images(side=7))
def test_flood_with_tolerance_0_is_label(image):
    codes = np.unique(vectors(image).reshape(-1, vectors(image).shape[2]),
                      axis=0, return_inverse=True)[1]
    pieces = measure.label(codes.reshape(image.shape[:2]), background=-1,
                           connectivity=1)
    for seed in np.ndindex(pieces.shape):
        np.testing.assert_array_equal(growing.flood(image, seed),
                                      pieces == pieces[seed])


@given(images(high=40), st.floats(0, 40), st.floats(0, 40))
def test_flood_never_shrinks_with_the_tolerance(image, a, b):
    low, high = sorted((a, b))
    assert not (growing.flood(image, (0, 0), low)
                & ~growing.flood(image, (0, 0), high)).any()


def test_flood_does_not_wrap_around_in_bytes():
    image = np.array([[250, 3]], np.uint8)
    assert growing.flood(image, (0, 0), 10).tolist() == [[True, False]]


# Seeds

def test_seeds_are_discs():
    seeds = growing.seeds_at((20, 30), [[(5, 5)], [(10, 20), (0, 29)]], 3)
    y, x = np.indices((20, 30))
    np.testing.assert_array_equal(seeds == 1,
                                  (y - 5)**2 + (x - 5)**2 <= 9)
    assert seeds[10, 23] == 2 and seeds[3, 29] == 2 and seeds[4, 29] == 0
    assert seeds.dtype == np.int32


# Seeded region growing

def by_the_list(image, seeds):
    """Adams and Bischof's growing with a list that is searched."""
    v, labels = vectors(image), seeds.copy()
    members = {i: [v[p] for p in zip(*np.nonzero(seeds == i))]
               for i in np.unique(seeds) if i}
    sums = {i: (np.zeros(v.shape[2]), 0) for i in members}
    for i in members:
        for value in members[i]:
            sums[i] = (sums[i][0] + value, sums[i][1] + 1)

    def closest(p):
        near = sorted({labels[q] for q in beside(*p, labels.shape)} - {0})
        if near:
            return min((sum((v[p] - sums[i][0] / sums[i][1])**2), i)
                       for i in near)

    known, waiting = {p for p in zip(*np.nonzero(seeds))}, []

    def invite(p):
        for q in beside(*p, labels.shape):
            if q not in known:
                known.add(q)
                waiting.append((closest(q)[0], q))

    for p in zip(*np.nonzero(seeds)):
        invite(p)
    while waiting:
        first = min(range(len(waiting)), key=lambda k: waiting[k][0])
        _, p = waiting.pop(first)
        labels[p] = i = closest(p)[1]
        sums[i] = (sums[i][0] + v[p], sums[i][1] + 1)
        invite(p)
    return labels


@given(seeded())
def test_growing_equals_searching_a_list(case):
    image, seeds = case
    np.testing.assert_array_equal(
        growing.seeded_region_growing(image, seeds), by_the_list(*case))


@given(seeded())
def test_grown_regions_hang_on_their_seeds(case):
    image, seeds = case
    labels = growing.seeded_region_growing(image, seeds)
    assert labels.dtype == seeds.dtype and (labels > 0).all()
    np.testing.assert_array_equal(labels[seeds > 0], seeds[seeds > 0])
    pieces = measure.label(labels, background=-1, connectivity=1)
    assert set(np.unique(pieces)) == set(np.unique(pieces[seeds > 0]))


@dtypes
def test_growing_finds_flat_things_in_all_dtypes(convert):
    y, x = np.indices((40, 60))
    disc = np.hypot(y - 20, x - 25) < 12
    image = convert(np.where(disc, 200, 30).astype(np.uint8))
    seeds = growing.seeds_at(image.shape, [[(20, 25)], [(2, 50)]], 2)
    grown = growing.seeded_region_growing(image, seeds)
    np.testing.assert_array_equal(grown == 1, disc)


def test_the_mean_moves():
    """Five pixels half-way: who gets the first, is nearer to the next."""
    image = np.array([[0, 5, 5, 5, 5, 5, 10]])
    seeds = np.array([[1, 0, 0, 0, 0, 0, 2]])
    assert growing.seeded_region_growing(image, seeds).tolist() == [
        [1, 1, 1, 1, 1, 1, 2]]


def test_growing_leaves_its_arguments_alone():
    image, seeds = PICTURES["coffee"], np.zeros((400, 600), np.uint8)
    seeds[3, 3], seeds[200, 300] = 1, 255
    kept = seeds.copy()
    grown = growing.seeded_region_growing(image, seeds)
    np.testing.assert_array_equal(seeds, kept)
    assert grown.dtype == np.uint8 and set(np.unique(grown)) == {1, 255}


# Split and merge

def blocks_by_recursion(image, tolerance):
    v = vectors(image)
    level = np.zeros(v.shape[:2], int)

    def split(y, x, n):
        block = v[y:y + 2**n, x:x + 2**n]
        if block.size == 0:
            return
        if n == 0 or (np.ptp(block, axis=(0, 1)) <= tolerance).all():
            level[y:y + 2**n, x:x + 2**n] = n
            return
        for dy in (0, 2**(n - 1)):
            for dx in (0, 2**(n - 1)):
                split(y + dy, x + dx, n - 1)

    split(0, 0, (max(v.shape[:2]) - 1).bit_length())
    return level


@given(images(side=11), st.integers(0, 5))
def test_quadtree_equals_recursion(image, tolerance):
    np.testing.assert_array_equal(growing.quadtree(image, tolerance),
                                  blocks_by_recursion(image, tolerance))


@given(images(side=11, high=30), st.integers(0, 30), st.integers(0, 30))
def test_quadtree_refines_as_the_tolerance_falls(image, a, b):
    low, high = sorted((a, b))
    assert (growing.quadtree(image, low)
            <= growing.quadtree(image, high)).all()


@given(images(side=9, high=9), st.integers(0, 9))
def test_split_and_merge_keeps_its_promises(image, tolerance):
    labels = growing.split_and_merge(image, tolerance)
    v = vectors(image)
    assert labels.dtype == np.int32 and labels.shape == image.shape[:2]
    assert all_connected(labels)

    def alike(*regions):
        return (np.ptp(v[np.isin(labels, regions)], axis=0)
                <= tolerance).all()

    assert all(alike(i) for i in np.unique(labels))
    for a, b in {tuple(sorted((labels[p], labels[q])))
                 for p in np.ndindex(labels.shape)
                 for q in beside(*p, labels.shape)}:
        assert a == b or not alike(a, b)


@given(images(side=9, high=2))
def test_split_and_merge_with_tolerance_0_is_label(image):
    codes = vectors(image) @ np.array([1, 10, 100][:vectors(image).shape[2]])
    np.testing.assert_array_equal(
        growing.split_and_merge(image, 0),
        measure.label(codes, background=-1, connectivity=1))


def test_split_and_merge_takes_the_most_alike_first():
    image = np.array([[50, 0, 6, 50], [50, 50, 8, 50]])
    labels = growing.split_and_merge(image, 6)
    assert labels[0, 2] == labels[1, 2] != labels[0, 1]


# Graph merging

def by_the_book(image, scale, min_size):
    """Felzenszwalb and Huttenlocher's algorithm with sets; no smoothing."""
    v = vectors(as_float(image))
    ahead = ((0, 1), (1, -1), (1, 0), (1, 1))
    edges = sorted((np.floor(np.linalg.norm(v[p] - v[q]) * 2**32), k, p, q)
                   for p in np.ndindex(v.shape[:2])
                   for k, q in [(ahead.index((q[0] - p[0], q[1] - p[1])), q)
                                for q in beside(*p, v.shape, ahead)]
                   for k in [4 * (p[0] * v.shape[1] + p[1]) + k])
    region = {p: frozenset([p]) for p in np.ndindex(v.shape[:2])}
    heaviest = dict.fromkeys(region.values(), 0)

    def unite(a, b, weight):
        for p in (both := a | b):
            region[p] = both
        heaviest[both] = weight

    for weight, _, p, q in edges:
        a, b = region[p], region[q]
        weight /= 2**32
        if a != b and all(weight <= heaviest[c] + scale / 255 / len(c)
                          for c in (a, b)):
            unite(a, b, weight)
    for weight, _, p, q in edges:
        a, b = region[p], region[q]
        if a != b and min(len(a), len(b)) < min_size:
            unite(a, b, weight)
    labels = np.zeros(v.shape[:2], int)
    for p in np.ndindex(labels.shape):
        if not labels[p]:
            labels[tuple(zip(*region[p]))] = labels.max() + 1
    return labels


@given(images(side=7, high=60), st.sampled_from([0, 1, 7, 40, 300]),
       st.integers(1, 5))
def test_graph_merge_equals_the_book(image, scale, min_size):
    labels = growing.graph_merge(image, scale, 0, min_size)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, by_the_book(image, scale, min_size))


@pictures
@pytest.mark.parametrize("scale, sigma, min_size", [
    (100, 0.8, 20), (300, 0.5, 100), (30, 1.5, 1), (1000, 0.8, 50)])
def test_graph_merge_equals_scikit_image(image, scale, sigma, min_size):
    """Label for label; smoothed weights have no ties that would matter."""
    theirs = segmentation.felzenszwalb(
        as_float(image), scale, sigma, min_size,
        channel_axis=-1 if image.ndim == 3 else None)
    np.testing.assert_array_equal(
        growing.graph_merge(image, scale, sigma, min_size), theirs + 1)


@pictures
@pytest.mark.parametrize("scale", [77, 777])
def test_graph_merge_equals_scikit_image_where_all_is_ties(image, scale):
    """Without smoothing nearly all weights are ties, and do not matter.

    An odd scale keeps weights off the limits w = Int + scale / size,
    which ours accepts, as the paper does, and theirs refuses.
    """
    theirs = segmentation.felzenszwalb(
        as_float(image), scale + 0.1234567, 0, 1,
        channel_axis=-1 if image.ndim == 3 else None)
    assert same_partition(
        growing.graph_merge(image, scale + 0.1234567, 0, 1), theirs)


@given(images(side=9, high=9), st.sampled_from([3, 20, 90]))
def test_equal_edges_may_come_in_any_order(image, scale):
    labels = growing.graph_merge(image, scale, 0, 1)
    for turn in (np.flipud, np.fliplr, np.rot90):
        turned = growing.graph_merge(turn(image).copy(), scale, 0, 1)
        assert same_partition(turn(labels), turned)


@given(images(side=9, high=255), st.sampled_from([5, 100]),
       st.integers(1, 9))
def test_graph_regions_are_connected_and_not_small(image, scale, least):
    labels = growing.graph_merge(image, scale, 0.8, least)
    assert all_connected(labels, connectivity=2)
    sizes = np.bincount(labels.ravel())[1:]
    assert sizes.min() >= least or len(sizes) == 1
    first = np.unique(labels, return_index=True)[1]
    assert (np.diff(first) > 0).all()           # numbered row by row


def test_both_sides_have_to_accept():
    row = np.array([[10, 11, 10, 11, 10, 11, 20, 30, 20, 30, 20, 30]],
                   np.uint8)
    labels = growing.graph_merge(row, 20, 0, 1)
    assert labels.tolist() == [[1] * 6 + [2] * 6]


@pytest.mark.parametrize("convert", [
    lambda image: image.astype(np.uint16) * 257, as_float,
    lambda image: as_float(image).astype(float)])
def test_graph_merge_does_not_care_for_the_dtype(convert):
    image = PICTURES["coins"]
    np.testing.assert_array_equal(growing.graph_merge(convert(image)),
                                  growing.graph_merge(image))


# Mean colours

@given(images(high=255), st.integers(0, 9))
def test_mean_colours_equal_scipys(image, seed):
    labels = np.random.default_rng(seed).integers(0, 4, image.shape[:2])
    ours = growing.mean_colours(image.astype(float), labels)
    for c in range(vectors(image).shape[2]):
        for label in np.unique(labels):
            mean = ndimage.mean(vectors(image)[..., c], labels, label)
            np.testing.assert_allclose(vectors(ours)[labels == label, c],
                                       mean)
    rounded = growing.mean_colours(image, labels)
    assert rounded.dtype == np.uint8 and rounded.shape == image.shape
    assert abs(rounded - ours).max() <= 0.5


# Every function refuses what it cannot answer, in one line

CALLS = {"flood": lambda image: growing.flood(image, (0, 0), 1),
         "seeded": lambda image: growing.seeded_region_growing(
             image, np.ones(np.shape(image)[:2], int)),
         "quadtree": lambda image: growing.quadtree(image, 1),
         "split": lambda image: growing.split_and_merge(image, 1),
         "graph": growing.graph_merge,
         "colours": lambda image: growing.mean_colours(
             image, np.ones(np.shape(image)[:2], int))}
calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@calls
@pytest.mark.parametrize("image, error", [
    (np.full((3, 3), np.nan), ValueError),
    (np.array([[0.5, np.inf]]), ValueError),
    (np.zeros((0, 4)), ValueError),
    (np.zeros(4), ValueError),
    (np.zeros((4, 4, 4)), ValueError),
    (np.zeros((2, 2), complex), TypeError),
    (np.array([["a"]]), TypeError)])
def test_what_is_no_image_is_refused(call, image, error):
    with pytest.raises(error) as caught:
        call(image)
    assert "image" in str(caught.value) and "\n" not in str(caught.value)


@calls
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (5, 6, 3)])
def test_constant_images_are_one_region(call, shape):
    result = call(np.full(shape, 9, np.uint8))
    assert result.shape[:2] == shape[:2] and len(np.unique(result)) == 1


COFFEE = PICTURES["coffee"]
ONE = np.ones(COFFEE.shape[:2], int)


@pytest.mark.parametrize("call, names", [
    (lambda: growing.flood(COFFEE, (400, 0)), "seed"),
    (lambda: growing.flood(COFFEE, (0, -1)), "seed"),
    (lambda: growing.flood(COFFEE, (0, 0), -1), "tolerance"),
    (lambda: growing.flood(COFFEE, (0, 0), np.nan), "tolerance"),
    (lambda: growing.flood(COFFEE, (0, 0), 1, 8), "connectivity"),
    (lambda: growing.seeds_at((9, 9), [[(9, 0)]]), "strokes"),
    (lambda: growing.seeded_region_growing(COFFEE, 0 * ONE), "seeds"),
    (lambda: growing.seeded_region_growing(COFFEE, -ONE), "seeds"),
    (lambda: growing.seeded_region_growing(COFFEE, ONE[1:]), "seeds"),
    (lambda: growing.seeded_region_growing(COFFEE, ONE / 2), "seeds"),
    (lambda: growing.quadtree(COFFEE, -1), "tolerance"),
    (lambda: growing.split_and_merge(COFFEE, np.nan), "tolerance"),
    (lambda: growing.graph_merge(COFFEE, -1), "scale"),
    (lambda: growing.graph_merge(COFFEE, sigma=-1), "sigma"),
    (lambda: growing.graph_merge(COFFEE, min_size=0), "min_size"),
    (lambda: growing.graph_merge(COFFEE * 1.0), "image"),
    (lambda: growing.mean_colours(COFFEE, ONE[1:]), "labels")])
def test_bad_arguments_are_named(call, names):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert str(caught.value).startswith(names)
    assert "needed" in str(caught.value) and "\n" not in str(caught.value)


# Seeds from the truth

@pytest.mark.parametrize("where", ["core", "skeleton"])
def test_truth_seeds_lie_in_their_own_region(where):
    y, x = np.indices((60, 80))
    mask = np.where(np.hypot(y - 30, x - 40) < 20, 3, 0).astype(np.uint8)
    mask[:, :10] = 255                              # nobody can judge
    seeds = growing.truth_seeds(mask, where)
    assert seeds.dtype == np.int32 and set(np.unique(seeds)) == {0, 1, 4}
    assert (seeds[seeds > 0] == mask[seeds > 0] + 1).all()
    inner = ndimage.distance_transform_edt(mask == 3)
    assert inner[seeds == 4].min() >= (3 if where == "skeleton" else 9)


def test_truth_seeds_of_thin_things_are_not_empty():
    mask = np.zeros((20, 20), np.uint8)
    mask[10, 3:17] = 1
    for where in ("core", "skeleton"):
        assert (growing.truth_seeds(mask, where) == 2).any()
    with pytest.raises(ValueError, match="where is 'middle'"):
        growing.truth_seeds(mask, "middle")
