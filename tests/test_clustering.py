"""seglib.clustering against scikit-learn, scikit-image, OpenCV, and hands."""
import itertools
import os
import subprocess
import sys
import warnings

import cv2
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import sklearn.cluster
import sklearn.mixture
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, special, stats
from skimage import data, filters, segmentation
from sklearn.exceptions import ConvergenceWarning

from seglib import clustering
from seglib.clustering import (GaussianMixture, achievable_accuracy,
                               boundary_recall, colour_table, kmeans,
                               log_sum_exp, mean_shift, slic,
                               texture_features, undersegmentation_error)
from seglib.datasets import SamplePictures

settings.register_profile("compiling", deadline=None)
settings.load_profile("compiling")    # numba's first call takes seconds

CUP = SamplePictures()["coffee"]
SMALL = np.ascontiguousarray(CUP.image[::8, ::8])
PIXELS = (SMALL / 255).reshape(-1, 3)

small_images = hnp.arrays(
    st.sampled_from([np.uint8, np.float64]),
    st.tuples(st.integers(1, 12), st.integers(1, 12))
    | st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3)),
    elements=st.sampled_from([0, 1]))
labels = hnp.arrays(np.int64, (5, 6), elements=st.integers(0, 4))


def cloud(seed=0, n=300, d=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + rng.integers(0, 3, (n, 1)) * 3


# k-means

def test_six_values_by_hand():
    found = kmeans([[10.], [12], [14], [50], [52], [54]], 2)
    assert sorted(found.centres.ravel()) == [12, 52]
    assert found.inertia[-1] == 16


@given(st.integers(0, 50), st.integers(1, 6))
def test_kmeans_walks_like_sklearn(seed, k):
    points = cloud(seed, 60, 2)
    start = points[:k]
    weights = np.random.default_rng(seed).uniform(0.1, 3, 60)
    ours = kmeans(points, k, weights, start, tolerance=0)
    theirs = sklearn.cluster.KMeans(
        k, init=start, n_init=1, tol=0, max_iter=100).fit(
            points, sample_weight=weights)
    if len(set(theirs.labels_)) == len(set(ours.labels)) == k:
        np.testing.assert_allclose(ours.inertia[-1], theirs.inertia_,
                                   rtol=1e-7)
        assert (ours.labels == theirs.labels_).all()


@given(hnp.arrays(float, st.tuples(st.integers(1, 30), st.integers(1, 3)),
                  elements=st.floats(-1e6, 1e6)),
       st.integers(1, 6), st.integers(0, 5))
def test_inertia_never_rises(points, k, seed):
    found = kmeans(points, k, seed=seed, tolerance=0)
    size = np.abs(points).max()**2
    assert (np.diff(found.inertia) <= 1e-9 * (size + 1)).all()
    assert found.labels.shape == points.shape[:1]
    assert 0 <= found.labels.min() and found.labels.max() < k
    away = ((points[:, None] - found.centres)**2).sum(axis=2)
    np.testing.assert_allclose((away.min(axis=1)).sum(),
                               found.inertia[-1], rtol=1e-9, atol=1e-9)


def test_kmeans_finds_the_best_of_all_partitions():
    points = np.random.default_rng(1).normal(size=(9, 2))
    best = min(sum(len(p) * p.var(axis=0).sum() for k in range(3)
                   if len(p := points[np.array(way) == k]))
               for way in itertools.product(range(3), repeat=9))
    found = min(kmeans(points, 3, seed=s).inertia[-1] for s in range(30))
    assert np.isclose(found, best)


@given(st.integers(0, 20))
def test_weights_are_repetitions(seed):
    rng = np.random.default_rng(seed)
    points, counts = cloud(seed, 40), rng.integers(1, 5, 40)
    start = points[:3]
    weighted = kmeans(points, 3, counts, start)
    repeated = kmeans(points.repeat(counts, axis=0), 3, start=start)
    np.testing.assert_allclose(weighted.centres, repeated.centres)
    np.testing.assert_allclose(weighted.inertia, repeated.inertia)
    a = GaussianMixture(2, floor=1e-3).fit(points, counts,
                                           weighted.labels % 2)
    b = GaussianMixture(2, floor=1e-3).fit(
        points.repeat(counts, axis=0), labels=repeated.labels % 2)
    np.testing.assert_allclose(a.means, b.means, atol=1e-8)
    np.testing.assert_allclose(a.history, b.history, atol=1e-8)


def test_points_of_weight_zero_do_not_count():
    points = np.r_[cloud(), [[1e3, 1e3, 1e3]]]
    weights = np.r_[np.ones(300), 0]
    for seed in range(5):
        assert kmeans(points, 3, weights, seed=seed).centres.max() < 20
    assert GaussianMixture(2).fit(points, weights).means.max() < 20


def test_plus_plus_starts_far_apart():
    heaps = np.repeat([[0.0], [1], [1000]], (500, 500, 1), axis=0)
    for seed in range(20):
        found = kmeans(heaps, 3, seed=seed, iterations=0)
        assert sorted(found.centres.ravel()) == [0, 1, 1000]


def test_kmeans_is_as_good_as_sklearns_on_a_picture():
    ours = np.mean([kmeans(PIXELS, 8, seed=s).inertia[-1]
                    for s in range(10)])
    theirs = np.mean([sklearn.cluster.KMeans(8, random_state=s).fit(
        PIXELS).inertia_ for s in range(10)])
    assert ours < 1.02 * theirs


def test_fewer_points_than_clusters():
    found = kmeans([[1.0], [1], [2]], 5)
    assert found.inertia[-1] == 0 and np.isfinite(found.centres).all()


def test_an_empty_cluster_stays_where_it_is():
    found = kmeans([[1.0], [2]], 2, start=[[1.4], [100]])
    assert found.centres.ravel().tolist() == [1.5, 100]


def test_an_image_keeps_its_shape_and_seeds_decide():
    image = SMALL / 255
    found = kmeans(image, 3)
    assert found.labels.shape == image.shape[:2]
    assert (kmeans(image, 3).labels == found.labels).all()
    turned = kmeans(image[:, ::-1], 3, start=found.centres)
    assert (turned.labels[:, ::-1] == kmeans(
        image, 3, start=found.centres).labels).all()


@pytest.mark.parametrize("arguments, says", [
    (([1.0, 2], 1), "points have shape"),
    ((np.zeros((0, 3)), 1), "points have shape"),
    (([[np.nan]], 1), "NaN"),
    (([[1.0]], 0), "clusters is 0"),
    (([[1.0]], 1.5), "clusters is 1.5"),
    (([[1.0]], 1, [-1.0]), "weights"),
    (([[1.0]], 1, [0.0]), "weights"),
    (([[1.0]], 1, [np.nan]), "weights"),
    (([[1.0]], 1, [1.0, 2]), "weights"),
    (([[1.0]], 1, None, [[1.0, 2]]), "start has shape"),
])
def test_kmeans_says_what_is_wrong(arguments, says):
    with pytest.raises(ValueError, match=says) as fault:
        kmeans(*arguments)
    assert "\n" not in str(fault.value)


# The colour table

@given(small_images, st.integers(1, 8))
def test_a_table_is_an_image_in_another_order(image, bits):
    table = colour_table(image, bits)
    pixels = clustering._bytes(image)
    assert table.index.shape == pixels.shape[:2]
    assert (table.counts == np.bincount(table.index.ravel())).all()
    for entry in range(len(table.counts)):
        mine = pixels[table.index == entry]
        np.testing.assert_allclose(table.colours[entry],
                                   mine.mean(axis=0) / 255)
        assert len(np.unique(mine >> (8 - bits), axis=0)) == 1


def test_eight_bits_keep_every_colour():
    table = colour_table(SMALL, 8)
    assert (np.rint(table.colours[table.index] * 255) == SMALL).all()
    assert len(table.counts) == len(np.unique(SMALL.reshape(-1, 3), axis=0))
    with pytest.raises(ValueError, match="bits is 9"):
        colour_table(SMALL, 9)
    with pytest.raises(ValueError, match="image has shape"):
        colour_table(SMALL[..., :2])


# Gaussian mixtures

@given(hnp.arrays(float, (4, 3), elements=st.floats(-1e3, 1e3)
                  | st.just(-np.inf)))
def test_log_sum_exp_is_scipys(values):
    with np.errstate(divide="ignore"):
        theirs = special.logsumexp(values, axis=0)
    np.testing.assert_allclose(log_sum_exp(values), theirs, atol=1e-12)


def theirs_from(points, labels, k, rounds):
    """scikit-learn's EM from the same split, with the same rounds."""
    parts = [points[labels == j] for j in range(k)]
    covariances = [np.cov(p.T, bias=True).reshape(points.shape[1], -1)
                   for p in parts]
    mixture = sklearn.mixture.GaussianMixture(
        k, tol=0, reg_covar=0, max_iter=rounds,
        weights_init=[len(p) / len(points) for p in parts],
        means_init=[p.mean(axis=0) for p in parts],
        precisions_init=np.linalg.inv(covariances))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(points)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_em_is_sklearns(d):
    points = cloud(2, 400, d)
    split = kmeans(points, 3).labels
    theirs = theirs_from(points, split, 3, 10)
    ours = GaussianMixture(3, iterations=11, tolerance=-np.inf).fit(
        points, labels=split)
    np.testing.assert_allclose(ours.shares, theirs.weights_, rtol=1e-6)
    np.testing.assert_allclose(ours.means, theirs.means_, rtol=1e-6)
    np.testing.assert_allclose(ours.covariances, theirs.covariances_,
                               rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(ours.log_density(points),
                               theirs.score_samples(points), rtol=1e-6)
    np.testing.assert_allclose(ours.responsibilities(points),
                               theirs.predict_proba(points), atol=1e-6)
    assert (ours.predict(points) == theirs.predict(points)).all()


@given(hnp.arrays(float, st.tuples(st.integers(1, 25), st.integers(1, 3)),
                  elements=st.sampled_from([0, 0.25, 0.5, 1])
                  | st.floats(-2, 2)),
       st.integers(1, 5), st.sampled_from([1e-6, 1e-2]))
def test_likelihood_never_falls(points, k, floor):
    mixture = GaussianMixture(k, floor=floor, tolerance=-np.inf,
                              iterations=15).fit(points)
    assert (np.diff(mixture.history) > -1e-6).all()
    assert np.isfinite(mixture.log_density(points)).all()
    assert np.isclose(mixture.shares.sum(), 1)
    np.testing.assert_allclose(
        mixture.responsibilities(points).sum(axis=-1), 1)
    assert np.linalg.eigvalsh(mixture.covariances).min() > 0.9 * floor


def test_the_floor_is_lifted_not_added():
    line = np.c_[np.arange(9.0), np.zeros(9)]
    fitted = GaussianMixture(1, floor=0.01).fit(line)
    np.testing.assert_allclose(fitted.covariances[0],
                               np.diag([line[:, 0].var(), 0.01]))


@pytest.mark.parametrize("points", [
    np.full((50, 3), 0.5), np.zeros((1, 3)), np.eye(3),
    np.repeat([[0.0, 0, 0], [1, 1, 1]], 20, axis=0),
    1e6 + cloud(), 1e-7 * cloud()])
def test_degenerate_colours(points):
    mixture = GaussianMixture(5).fit(points)
    assert np.isfinite(mixture.log_density(points)).all()
    assert np.isfinite(mixture.log_density(points + 1000)).all()
    assert np.isfinite(mixture.responsibilities(points + 1000)).all()


def test_a_far_offset_changes_nothing():
    near, far = (GaussianMixture(2).fit(cloud() + shift, labels=np.arange(
        300) % 2) for shift in (0, 1e5))
    np.testing.assert_allclose(near.history, far.history, atol=1e-5)


def test_density_is_scipys_and_grows_by_one():
    mixture = GaussianMixture(2).fit(cloud(3, 200, 1))
    x = np.linspace(-20, 30, 20_001)
    density = np.exp(mixture.log_density(x[:, None]))
    by_hand = sum(s * stats.norm(m[0], np.sqrt(c[0, 0])).pdf(x) for s, m, c
                  in zip(mixture.shares, mixture.means, mixture.covariances))
    np.testing.assert_allclose(density, by_hand, atol=1e-12)
    assert np.isclose(density.sum() * (x[1] - x[0]), 1)


@pytest.mark.parametrize("make, says", [
    (lambda: GaussianMixture(0).fit(cloud()), "components is 0"),
    (lambda: GaussianMixture(2, floor=0).fit(cloud()), "floor is 0"),
    (lambda: GaussianMixture(2).predict(cloud()), "fit"),
    (lambda: GaussianMixture(2).fit(cloud(), labels=[0, 1]), "labels"),
    (lambda: GaussianMixture(2).fit(cloud(), labels=np.arange(300)),
     "labels"),
    (lambda: GaussianMixture(2).fit(cloud()).predict([[1.0]]),
     "1 coordinates"),
])
def test_mixture_says_what_is_wrong(make, says):
    with pytest.raises(ValueError, match=says):
        make()


# Mean shift

@pytest.mark.parametrize("radius, reach", [(1, 10), (4, 20), (8, 35.4)])
def test_mean_shift_is_opencvs_to_the_byte(radius, reach):
    image = np.ascontiguousarray(data.chelsea()[100:150, 100:171])
    theirs = cv2.pyrMeanShiftFiltering(image, radius, reach, maxLevel=0)
    assert (mean_shift(image, radius, reach) == theirs).all()


@given(small_images)
def test_mean_shift_takes_what_is_an_image(image):
    peaks = mean_shift(image, 2, 30)
    assert peaks.shape == image.shape and peaks.dtype == np.uint8
    assert (peaks == mean_shift(clustering._bytes(image).reshape(
        image.shape), 2, 30)).all()


def test_mean_shift_keeps_a_flat_image_and_a_clear_edge():
    image = np.zeros((20, 20), np.uint8)
    image[:, 10:] = 200
    assert (mean_shift(image, 5, 50) == image).all()


def test_mean_shift_does_not_depend_on_threads():
    code = ("import numpy as np\nfrom seglib.clustering import mean_shift\n"
            "x = np.random.default_rng(0).integers(0, 256, (40, 30, 3))\n"
            "print(mean_shift(x.astype(np.uint8), 4, 90).tobytes().hex())")
    printed = {subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        check=True, env=os.environ | {"NUMBA_NUM_THREADS": n}).stdout
        for n in ("1", "2")}
    assert len(printed) == 1 and len(printed.pop()) > 100


def test_mean_shift_says_what_is_wrong():
    for arguments, says in (((SMALL, 0), "radius is 0"),
                            ((SMALL, 2, -1), "reach is -1"),
                            ((SMALL, 2, 9, 0), "rounds is 0"),
                            ((SMALL / 9, 2), "image")):
        with pytest.raises(ValueError, match=says):
            mean_shift(*arguments)


# Superpixels

@settings(max_examples=60)
@given(small_images, st.integers(1, 30), st.sampled_from([0.5, 10, 100]))
def test_superpixels_are_connected(image, segments, compactness):
    label = slic(image, segments, compactness)
    assert label.shape == image.shape[:2] and label.dtype == np.int32
    assert (np.unique(label) == np.arange(label.max() + 1)).all()
    for k in range(label.max() + 1):
        assert ndimage.label(label == k)[1] == 1


def test_pieces_that_touch_at_a_corner_are_two(monkeypatch):
    checks = np.kron([[0, 1], [1, 0]], np.ones((20, 20), int))
    monkeypatch.setattr(clustering, "_rounds",
                        lambda lab, label, *rest: np.copyto(
                            label, checks, casting="unsafe"))
    label = slic(np.uint8(checks * 255), 4)
    assert label.max() == 3 and label[0, 0] != label[-1, -1]


@pytest.mark.parametrize("name", ["coffee", "astronaut", "chelsea"])
def test_slic_is_at_least_as_accurate_as_skimages(name):
    sample = SamplePictures()[name]
    image, mask = sample.image, sample.mask
    ours = slic(image, 250)
    asked = ours.max() + 1
    while len(np.unique(theirs := segmentation.slic(image, asked))) < (
            ours.max() + 1):
        asked += 10
    assert (achievable_accuracy(ours, mask)
            >= achievable_accuracy(theirs, mask) - 1e-3)


def test_superpixels_are_about_as_many_and_none_is_tiny():
    for image in (CUP.image, CUP.image[..., 0], CUP.image[:, :61]):
        for segments in (20, 250):
            sizes = np.bincount(slic(image, segments).ravel())
            assert 0.8 * segments < len(sizes) < 1.4 * segments
            assert sizes.min() >= 0.2 * np.prod(image.shape[:2]) / segments


def test_a_clear_edge_is_never_crossed():
    image = np.zeros((64, 64), np.uint8)
    image[:, 27:] = 255
    label = slic(image, 16)
    assert achievable_accuracy(label, image) == 1
    assert set(label[:, :27].ravel()).isdisjoint(label[:, 27:].ravel())


def test_claim_is_its_definition():
    """The window and the distance, pixel by pixel."""
    lab = clustering._lab(SMALL)
    label, count = clustering._grid(SMALL.shape[:2], 12)
    found = clustering._rounds(lab, label.copy(), count, 10, 1)
    step, (h, w) = np.sqrt(label.size / count), label.shape
    y, x = np.indices((h, w))
    best, slow = np.full((h, w), np.inf), label.copy()
    for k in range(count):
        mine = label == k
        cy, cx = y[mine].mean(), x[mine].mean()
        d = sum((plane - plane[mine].mean())**2 for plane in lab) + (
            10 / step)**2 * ((y - cy)**2 + (x - cx)**2)
        closer = ((y >= int(cy - step)) & (y <= int(cy + step))
                  & (x >= int(cx - step)) & (x <= int(cx + step))
                  & (d < best))
        best[closer], slow[closer] = d[closer], k
    assert np.mean(slow == found) > 0.999       # float32 ties


def test_small_pieces_join_their_like():
    lab = np.zeros((3, 6, 9), np.float32)
    lab[0, :, 4] = 10
    lab[0, :, 5:] = 100
    piece = np.zeros((6, 9), np.int32)
    piece[:, 4], piece[:, 5:] = 1, 2
    joined = clustering._join_small(piece, lab, 7)
    assert (joined[:, 4] == joined[:, 0]).all()
    assert (joined[:, 5] != joined[:, 0]).all()
    assert len(np.unique(clustering._join_small(piece, lab, 6))) == 3


def test_slic_says_what_is_wrong():
    for arguments, says in (((SMALL, 0), "segments is 0"),
                            ((SMALL, 9, 0), "compactness is 0"),
                            ((SMALL, 9, 10, 0), "iterations is 0"),
                            ((SMALL[..., :2],), "image has shape")):
        with pytest.raises(ValueError, match=says):
            slic(*arguments)


# Scores

@given(labels, labels)
def test_scores_are_their_definitions(superpixels, target):
    right = leak = 0
    for s in np.unique(superpixels):
        inside = target[superpixels == s]
        right += max(np.sum(inside == t) for t in inside)
        leak += sum(min(np.sum(inside == t), np.sum(inside != t))
                    for t in np.unique(inside))
    assert np.isclose(achievable_accuracy(superpixels, target), right / 30)
    assert np.isclose(undersegmentation_error(superpixels, target),
                      leak / 30)
    assert leak <= 2 * (30 - right)


@given(labels, labels, st.sampled_from([0, 1, 2]))
def test_boundary_recall_is_its_definition(superpixels, target, tolerance):
    def border(mask):
        return [(y, x) for y, x in np.ndindex(*mask.shape) if any(
            mask[y, x] != mask[v, u]
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
            if 0 <= v < mask.shape[0] and 0 <= u < mask.shape[1])]
    drawn, found = border(target), border(superpixels)
    score = boundary_recall(superpixels, target, tolerance)
    if not drawn:
        assert np.isnan(score)
    else:
        hits = [any(np.hypot(y - v, x - u) <= tolerance
                    for v, u in found) for y, x in drawn]
        assert np.isclose(score, np.mean(hits))


def test_void_does_not_count():
    superpixels = np.array([[0, 0, 0, 0, 1]])
    target = np.array([[5, 5, 9, 255, 9]])
    assert achievable_accuracy(superpixels, target, target == 255) == 0.75
    assert undersegmentation_error(superpixels, target,
                                   target == 255) == 0.5
    with pytest.raises(ValueError, match="void"):
        achievable_accuracy(target, target, target > 0)
    for score in (achievable_accuracy, undersegmentation_error,
                  boundary_recall):
        with pytest.raises(ValueError, match="needed"):
            score(superpixels, target[:, 1:])
    with pytest.raises(ValueError, match="integer"):
        achievable_accuracy(superpixels / 2, target)


# Texture

@pytest.mark.parametrize("wavelength, k", [(4, 0), (6, 1), (5, 3)])
def test_gabor_is_skimages(wavelength, k):
    image = SMALL.mean(axis=2) / 255
    angle = k * np.pi / 4
    kernel = filters.gabor_kernel(
        1 / wavelength, theta=angle, sigma_x=0.56 * wavelength,
        sigma_y=0.56 * wavelength, n_stds=6)
    flat = image - image.mean()
    theirs = np.abs(
        ndimage.convolve(flat, kernel.real, mode="reflect")
        + 1j * ndimage.convolve(flat, kernel.imag, mode="reflect"))
    theirs = ndimage.gaussian_filter(theirs, 1.5 * wavelength)
    ours = texture_features(image, [wavelength], 4)[..., k]
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


@given(small_images)
def test_texture_of_any_image(image):
    features = texture_features(image, (4, 8), 3)
    assert features.shape == (*image.shape[:2], 6)
    assert features.dtype == np.float32 and np.isfinite(features).all()


def test_a_turned_image_has_turned_features():
    image = data.brick()[:64, :80]
    straight = texture_features(image)
    turned = texture_features(np.rot90(image))
    for k in range(4):
        np.testing.assert_allclose(
            np.rot90(straight[..., 4 + k]), turned[..., 4 + (k + 2) % 4],
            atol=1e-4)


def test_flat_images_are_silent_and_bad_ones_named():
    assert np.abs(texture_features(np.full((9, 9), 0.3))).max() < 1e-6
    for arguments, says in (((SMALL, ()), "wavelengths"),
                            ((SMALL, (1,)), "wavelengths"),
                            ((SMALL, (4,), 0), "orientations"),
                            ((np.zeros((0, 4)),), "image")):
        with pytest.raises(ValueError, match=says):
            texture_features(*arguments)


# Compiled once

def test_kernels_are_kept_on_disk():
    kernels = [f for f in vars(clustering).values()
               if hasattr(f, "py_func")]
    assert len(kernels) >= 6
    for kernel in kernels:
        assert kernel.targetoptions["nopython"]
        assert type(kernel._cache).__name__ == "FunctionCache"


def test_importing_compiles_nothing():
    code = ("import seglib.clustering as c\n"
            "print(sum(len(f.signatures) for f in vars(c).values()"
            " if hasattr(f, 'py_func')))")
    done = subprocess.run([sys.executable, "-c", code], check=True,
                          capture_output=True, text=True)
    assert done.stdout.strip() == "0"
