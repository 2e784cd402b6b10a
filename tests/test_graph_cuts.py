"""Cuts, walkers and eigenvectors, beside SciPy, scikit-image, brute force."""
import subprocess
import sys
import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import maximum_flow
from skimage import data

from seglib import graph_cuts as cuts
from seglib.graph_cuts import GridCut, grid_min_cut

settings.register_profile("compiling", deadline=None)
settings.load_profile("compiling")    # numba's first call takes a second

STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
SHAPES = [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 2), (3, 3), (3, 5),
          (5, 4), (7, 7), (13, 6), (17, 23)]


def problem(shape, half=4, seed=0, high=20, sure=0.0):
    """Random whole costs and weights; a share of the pixels is sure."""
    rng = np.random.default_rng(seed)
    unary = rng.integers(0, high, (*shape, 2)).astype(float)
    chosen = rng.random(shape) < sure
    unary[chosen, rng.integers(0, 2, chosen.sum())] = np.inf
    return unary, rng.integers(0, high // 2, (*shape, half))


def edges(shape, pairwise):
    """Every pair of neighbours and its weight, told once more."""
    for d, (down, right) in enumerate(STEPS[:pairwise.shape[2]]):
        for y, x in np.ndindex(shape):
            if y + down < shape[0] and 0 <= x + right < shape[1]:
                yield (y * shape[1] + x,
                       (y + down) * shape[1] + x + right, pairwise[y, x, d])


def scipy_flow(unary, pairwise):
    """Maximum flow of the graph as Boykov and Jolly draw it."""
    shape, n = unary.shape[:2], unary[..., 0].size
    finite = np.where(np.isfinite(unary), unary, 10**6).reshape(n, 2)
    rows, columns, room = [], [], []
    for i, (zero, one) in enumerate(finite):
        rows += [n, i]
        columns += [i, n + 1]
        room += [one, zero]
    for i, j, weight in edges(shape, pairwise):
        rows += [i, j]
        columns += [j, i]
        room += [weight, weight]
    graph = coo_matrix((np.array(room, np.int32), (rows, columns)),
                       (n + 2, n + 2)).tocsr()
    return maximum_flow(graph, n, n + 1).flow_value


def brute_force(unary, pairwise):
    """All labellings of a tiny picture, cheapest first."""
    shape, labels = unary.shape[:2], range(unary.shape[2])
    every = [np.reshape(x, shape) for x in
             product(labels, repeat=shape[0] * shape[1])]
    return sorted(((cuts.energy(x, unary, pairwise), x.tolist())
                   for x in every), key=lambda pair: pair[0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("half", (2, 4))
def test_flow_equals_scipy(shape, half):
    for seed in range(15):
        unary, pairwise = problem(shape, half, seed, sure=0.2 * (seed % 3))
        cut = grid_min_cut(unary, pairwise)
        assert cut.flow == cut.energy == scipy_flow(unary, pairwise)
        assert cut.energy == cuts.energy(cut.mask, unary, pairwise)


@st.composite
def problems(draw, most=6):
    shape = draw(st.tuples(st.integers(1, most), st.integers(1, most)))
    half = draw(st.sampled_from((2, 4)))
    small = st.integers(0, 7)
    unary = draw(hnp.arrays(np.float64, (*shape, 2), elements=small))
    sure = draw(hnp.arrays(np.int8, shape, elements=st.sampled_from(
        [0, 0, 0, 1, 2])))
    unary[sure == 1, 1] = np.inf
    unary[sure == 2, 0] = np.inf
    return unary, draw(hnp.arrays(np.int64, (*shape, half), elements=small))


@given(problems())
def test_flow_equals_scipy_on_any_graph(case):
    cut = grid_min_cut(*case)
    assert cut.flow == cut.energy == scipy_flow(*case)


@given(problems(most=3))
@settings(max_examples=40)
def test_equals_brute_force_and_ties_go_to_label_0(case):
    every = brute_force(*case)
    cut = grid_min_cut(*case)
    assert cut.energy == every[0][0]
    cheapest = [np.array(x) for cost, x in every if cost == cut.energy]
    np.testing.assert_array_equal(cut.mask, np.min(cheapest, axis=0))


@given(problems(), problems(), st.integers(0, 2**31))
def test_warm_equals_cold(first, second, seed):
    unary, pairwise = first
    solver = GridCut(pairwise)
    rng = np.random.default_rng(seed)
    for _ in range(4):                  # sure pixels come, go and change
        warm, cold = solver.cut(unary), grid_min_cut(unary, pairwise)
        np.testing.assert_array_equal(warm.mask, cold.mask)
        assert warm.energy == warm.flow == cold.energy == cold.flow
        unary = problem(unary.shape[:2], seed=rng.integers(99),
                        sure=rng.random())[0]


def test_warm_equals_cold_when_strokes_come_and_go():
    unary, pairwise = problem((20, 31), seed=1)
    solver = GridCut(pairwise)
    for seed in range(30):
        changed, _ = problem((20, 31), seed=seed, sure=(seed % 4) / 3)
        warm, cold = solver.cut(changed), grid_min_cut(changed, pairwise)
        np.testing.assert_array_equal(warm.mask, cold.mask)
        assert warm.flow == warm.energy == cold.flow


def test_seeds_are_separated():
    unary, pairwise = problem((30, 30), sure=0.3)
    pairwise *= 100
    mask = grid_min_cut(unary, pairwise).mask
    assert mask[unary[..., 0] == np.inf].all()
    assert not mask[unary[..., 1] == np.inf].any()


def test_the_cut_goes_through_the_weakest_place():
    unary = np.zeros((1, 6, 2))
    unary[0, 0, 1] = unary[0, 5, 0] = np.inf
    pairwise = np.full((1, 6, 2), 9.0)
    pairwise[0, 3, 0] = 0.5
    cut = grid_min_cut(unary, pairwise)
    assert cut.mask.tolist() == [[False] * 4 + [True] * 2]
    assert cut.energy == cut.flow == 0.5


@pytest.mark.parametrize("scale", (1e-12, 1e-3, 0.1, 1, 1e6, 1e12))
def test_floats_of_any_size(scale):
    rng = np.random.default_rng(0)
    unary, pairwise = rng.random((12, 9, 2)), rng.random((12, 9, 4))
    cut = grid_min_cut(unary * scale, pairwise * scale)
    np.testing.assert_array_equal(cut.mask,
                                  grid_min_cut(unary, pairwise).mask)
    assert np.isclose(cut.energy, scale * cuts.energy(
        cut.mask, unary, pairwise), rtol=1e-5)
    assert cut.energy == cut.flow


def test_huge_costs_are_as_good_as_sure():
    unary, pairwise = problem((9, 9), sure=0.4)
    huge = np.where(unary == np.inf, 1e9, unary)
    sure, nearly = grid_min_cut(unary, pairwise), grid_min_cut(huge,
                                                               pairwise)
    np.testing.assert_array_equal(sure.mask, nearly.mask)
    assert sure.energy == nearly.energy == nearly.flow


def test_negative_costs_are_only_differences():
    unary, pairwise = problem((9, 9))
    cut, lower = (grid_min_cut(u, pairwise) for u in (unary, unary - 50))
    np.testing.assert_array_equal(cut.mask, lower.mask)
    assert lower.flow == lower.energy == cut.energy - 50 * 81


def test_integers_up_to_the_limit_are_exact():
    unary, pairwise = problem((4, 5), high=2**27)
    cut = grid_min_cut(unary, pairwise)
    assert cut.flow == cut.energy == scipy_flow(unary, pairwise)
    with pytest.raises(ValueError, match="67108864"):
        grid_min_cut(unary, np.full((4, 5, 2), 2**26))


def test_no_weights_is_a_threshold():
    unary, _ = problem((8, 8))
    mask = grid_min_cut(unary / 64, np.zeros((8, 8, 4))).mask
    np.testing.assert_array_equal(mask, unary[..., 1] < unary[..., 0])


def test_weights_that_leave_the_picture_do_not_count():
    unary, pairwise = problem((5, 6))
    loose = pairwise.astype(float)
    loose[:, -1, (0, 2)] = loose[-1, :, 1:] = loose[:, 0, 3] = np.nan
    cut, same = grid_min_cut(unary, pairwise), grid_min_cut(unary, loose)
    np.testing.assert_array_equal(cut.mask, same.mask)
    assert cut.energy == same.energy


@pytest.mark.parametrize("unary, pairwise, message", [
    (np.zeros((2, 3, 2)), np.zeros((2, 3)), "pairwise has shape"),
    (np.zeros((2, 3, 2)), np.zeros((2, 3, 3)), "pairwise has shape"),
    (np.zeros((2, 3, 2)), -np.ones((2, 3, 2)), "needed: finite, 0 or"),
    (np.zeros((2, 3, 2)), np.full((2, 3, 2), np.nan), "finite, 0 or"),
    (np.zeros((2, 3, 2)), np.full((2, 3, 2), np.inf), "finite, 0 or"),
    (np.zeros((3, 2, 2)), np.zeros((2, 3, 2)), "unary has shape"),
    (np.zeros((2, 3)), np.zeros((2, 3, 2)), "unary has shape"),
    (np.full((2, 3, 2), np.inf), np.zeros((2, 3, 2)), "unary holds"),
    (np.full((2, 3, 2), np.nan), np.zeros((2, 3, 2)), "unary holds"),
    (np.full((2, 3, 2), -np.inf), np.zeros((2, 3, 2)), "unary holds"),
    (np.zeros((0, 3, 2)), np.zeros((0, 3, 2)), "pairwise has shape"),
])
def test_bad_input_is_named(unary, pairwise, message):
    with pytest.raises(ValueError, match=message):
        grid_min_cut(unary, pairwise)


def test_a_refused_unary_does_not_spoil_the_solver():
    unary, pairwise = problem((6, 7))
    solver = GridCut(pairwise)
    solver.cut(unary)
    with pytest.raises(ValueError):
        solver.cut(unary * np.nan)
    assert solver.cut(unary).flow == grid_min_cut(unary, pairwise).flow


def test_read_only_and_strided_input():
    unary, pairwise = problem((6, 7))
    cut = grid_min_cut(unary, pairwise)
    before = unary.copy()
    unary.flags.writeable = pairwise.flags.writeable = False
    same = grid_min_cut(unary[::-1, ::-1][::-1, ::-1], pairwise)
    np.testing.assert_array_equal(cut.mask, same.mask)
    np.testing.assert_array_equal(unary, before)


def photograph_problem(size=512):
    image = data.astronaut()[:size, :size]
    grey = image.mean(-1) / 255
    unary = np.stack([grey, 1 - grey], -1) * 40
    return unary, cuts.contrast_weights(image)


def test_memory_is_less_than_80_bytes_a_pixel():
    unary, pairwise = photograph_problem()
    grid_min_cut(unary[:9, :9], pairwise[:9, :9])
    tracemalloc.start()
    try:
        GridCut(pairwise).cut(unary)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 80 * unary[..., 0].size


def test_threads_do_not_matter():
    code = ("import sys, hashlib, numpy as np;"
            "sys.path.insert(0, 'tests');"
            "from test_graph_cuts import photograph_problem;"
            "from seglib.graph_cuts import grid_min_cut;"
            "print(hashlib.sha1(grid_min_cut(*photograph_problem(128))"
            ".mask.tobytes()).hexdigest())")
    answers = {subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        check=True, env={**__import__("os").environ,
                         "NUMBA_NUM_THREADS": threads}).stdout
        for threads in ("1", "2")}
    assert len(answers) == 1


def test_energy_counts_pixels_and_pairs():
    for seed, shape in enumerate(SHAPES):
        unary, pairwise = problem(shape, seed=seed)
        labels = np.random.default_rng(seed).integers(0, 2, shape)
        flat = labels.ravel()
        expected = sum(unary.reshape(-1, 2)[i, x] for i, x in
                       enumerate(flat)) + sum(
            w for i, j, w in edges(shape, pairwise) if flat[i] != flat[j])
        assert cuts.energy(labels, unary, pairwise) == expected


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (6, 9)])
@pytest.mark.parametrize("neighbours", (4, 8))
def test_contrast_weights_by_hand(shape, neighbours):
    image = np.random.default_rng(0).random((*shape, 3))
    weights = cuts.contrast_weights(image, 50, neighbours)
    pairs = [(a, b, d) for d, (down, right) in enumerate(
        STEPS[:neighbours // 2]) for a in np.ndindex(shape)
        for b in [(a[0] + down, a[1] + right)]
        if b[0] < shape[0] and 0 <= b[1] < shape[1]]
    apart = [((image[a] - image[b])**2).sum() for a, b, _ in pairs]
    beta = 1 / (2 * np.mean(apart)) if pairs else 0
    expected = np.zeros_like(weights)
    for (a, b, d), away in zip(pairs, apart):
        expected[(*a, d)] = 50 * np.exp(-beta * away) / (
            1 if d < 2 else np.sqrt(2))
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    h, w = shape
    if neighbours == 8:                     # OpenCV's count of pairs
        assert len(pairs) == max(0, 4 * h * w - 3 * h - 3 * w + 2) or 1 in (
            h, w)


def test_contrast_weights_do_not_depend_on_bytes_or_contrast():
    image = data.astronaut()[::8, ::8]
    weights = cuts.contrast_weights(image)
    np.testing.assert_allclose(cuts.contrast_weights(image / 255), weights,
                               rtol=1e-4)
    np.testing.assert_allclose(cuts.contrast_weights(image / 510), weights,
                               rtol=1e-4)


def test_contrast_weights_of_one_colour():
    weights = cuts.contrast_weights(np.full((3, 4), 7, np.uint8), gamma=8)
    assert set(np.unique(weights.round(6))) == {0, 8, 5.656854}


def test_contrast_weights_refuse():
    image = np.zeros((3, 3), np.uint8)
    for wrong in ({"neighbours": 6}, {"gamma": -1}, {"gamma": np.nan}):
        with pytest.raises(ValueError, match="neighbours is"):
            cuts.contrast_weights(image, **wrong)
    with pytest.raises(ValueError, match="image has shape"):
        cuts.contrast_weights(np.zeros((3, 3, 2), np.uint8))


def test_seed_costs_are_the_histograms():
    image = np.uint8([[0, 0, 0, 200, 200, 200, 100]])
    seeds = np.array([[5, 5, 0, 9, 0, 0, 0]])
    costs = cuts.seed_costs(image, seeds, bits=8)
    # three colours, each once more than seen: 3 1 1 of 5; 1 2 1 of 4
    expected = -np.log([[3 / 5, 1 / 4], [1 / 5, 2 / 4], [1 / 5, 1 / 4]])
    np.testing.assert_allclose(costs[0, [2, 4, 6]], expected)
    np.testing.assert_array_equal(costs[0, [0, 3]],
                                  [[0, np.inf], [np.inf, 0]])


@pytest.mark.parametrize("function", (cuts.seed_costs, cuts.random_walker))
@pytest.mark.parametrize("seeds, error", [
    (np.zeros((4, 5), int), ValueError),
    (np.full((4, 5), -1), ValueError),
    (np.ones((4, 4), int), ValueError),
    (np.ones((4, 5)), TypeError)])
def test_seeds_are_checked(function, seeds, error):
    with pytest.raises(error, match="seeds"):
        function(np.zeros((4, 5), np.uint8), seeds)


@given(st.integers(0, 2**31), st.integers(2, 4))
@settings(max_examples=30)
def test_alpha_expansion_is_within_twice_the_best(seed, k):
    rng = np.random.default_rng(seed)
    unary = rng.integers(0, 9, (2, 3, k))
    pairwise = rng.integers(0, 9, (2, 3, 4))
    labels = cuts.alpha_expansion(unary, pairwise)
    best = brute_force(unary, pairwise)[0][0]
    assert best <= cuts.energy(labels, unary, pairwise) <= 2 * best


def test_alpha_expansion_of_two_labels_is_the_cut():
    for seed in range(20):
        unary, pairwise = problem((6, 7), seed=seed, sure=0.2)
        labels = cuts.alpha_expansion(unary, pairwise)
        assert (cuts.energy(labels, unary, pairwise)
                == grid_min_cut(unary, pairwise).energy)


def metric(k, seed):
    """Distances of random points: a metric of whole numbers."""
    at = np.random.default_rng(seed).integers(0, 9, (k, 2))
    return np.abs(at[:, None] - at).sum(-1)


def priced(labels, unary, pairwise, price):
    flat = labels.ravel()
    return (np.take_along_axis(unary, labels[..., None], -1).sum()
            + sum(w * price[flat[i], flat[j]] for i, j, w in
                  edges(labels.shape, pairwise)))


@pytest.mark.parametrize("seed", range(12))
def test_a_move_costs_what_it_says(seed):
    """The two-label problem of a move, for all of its labellings."""
    rng = np.random.default_rng(seed)
    unary, pairwise = rng.integers(0, 9, (2, 2, 4)), rng.integers(
        0, 9, (2, 2, 4))
    price, labels = metric(4, seed), rng.integers(0, 4, (2, 2))
    costs, weights = cuts._move(labels, 3, unary, pairwise, price)
    assert weights.min() >= 0
    gaps = {priced(np.where(mask, 3, labels), unary, pairwise, price)
            - cuts.energy(mask, costs, weights)
            for mask in (np.reshape(x, (2, 2)) for x in
                         product((0, 1), repeat=4))}
    assert len(gaps) == 1                   # the same, but for a constant


@pytest.mark.parametrize("seed", range(10))
def test_energies_never_rise(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    unary, pairwise = rng.integers(0, 30, (7, 8, 5)), rng.integers(
        0, 20, (7, 8, 4))
    price, seen, real = metric(5, seed), [], cuts._move
    monkeypatch.setattr(cuts, "_move", lambda labels, *rest: (
        seen.append(priced(labels, unary, pairwise, price)),
        real(labels, *rest))[1])
    labels = cuts.alpha_expansion(unary, pairwise, price)
    seen.append(priced(labels, unary, pairwise, price))
    assert seen == sorted(seen, reverse=True) and seen[0] > seen[-1]


def test_forbidden_labels_stay_forbidden():
    rng = np.random.default_rng(0)
    unary = rng.random((8, 9, 3))
    forbidden = rng.random((8, 9, 3)) < 0.3
    forbidden[forbidden.all(-1)] = False
    unary[forbidden] = np.inf
    labels = cuts.alpha_expansion(unary, np.full((8, 9, 4), 2.0))
    assert not np.take_along_axis(forbidden, labels[..., None], -1).any()


@pytest.mark.parametrize("price", [
    np.ones((3, 3)), np.zeros((2, 2)),
    np.array([[0, 1, 5], [1, 0, 1], [5, 1, 0]]),
    np.array([[0, 1, 1], [2, 0, 1], [1, 1, 0]])])
def test_prices_must_be_a_metric(price):
    with pytest.raises(ValueError, match="metric"):
        cuts.alpha_expansion(np.zeros((2, 2, 3)), np.ones((2, 2, 2)), price)
    with pytest.raises(ValueError, match="unary"):
        cuts.alpha_expansion(np.full((2, 2, 3), np.inf), np.ones((2, 2, 2)))


def direct_walker(image, seeds, beta):
    """The same equations, solved by SciPy's dense solver."""
    weights = 1e-10 + cuts.contrast_weights(image, 1, 4, beta)
    n, flat = seeds.size, seeds.ravel()
    laplacian = np.zeros((n, n))
    for i, j, w in edges(seeds.shape, weights):
        laplacian[[i, j], [j, i]] -= w
        laplacian[[i, j], [i, j]] += w
    free, labels = flat == 0, np.unique(flat[flat > 0])
    odds = (flat[:, None] == labels).astype(float)
    odds[free] = np.linalg.solve(laplacian[np.ix_(free, free)],
                                 -laplacian[np.ix_(free, ~free)]
                                 @ odds[~free])
    return odds.reshape(*seeds.shape, -1)


@pytest.mark.parametrize("shape", [(1, 5), (6, 1), (2, 2), (5, 7), (16, 16),
                                   (17, 23), (33, 8)])
@pytest.mark.parametrize("labels", (2, 3))
def test_walkers_equal_a_dense_solver(shape, labels):
    rng = np.random.default_rng(0)
    image = rng.random((*shape, 3)).astype(np.float32)
    seeds = np.zeros(shape, int)
    at = rng.permutation(seeds.size)[:labels]
    seeds.ravel()[at] = 10 * (1 + np.arange(len(at)))
    beta = 130 / (10 * image.std() * np.sqrt(3))
    found, odds = cuts.random_walker(image, seeds, tolerance=1e-9,
                                     probabilities=True)
    expected = direct_walker(image, seeds, beta)
    np.testing.assert_allclose(odds, expected, atol=1e-5)
    clear = np.sort(expected, -1)[..., -1] - np.sort(expected, -1)[
        ..., -2] > 1e-4
    np.testing.assert_array_equal(
        found[clear], np.unique(seeds[seeds > 0])[expected.argmax(-1)][clear])


@pytest.mark.parametrize("name", ("astronaut", "coffee", "camera"))
def test_walkers_equal_scikit_image(name):
    from skimage import segmentation
    image = getattr(data, name)()[40:201, 100:280]
    seeds = np.zeros(image.shape[:2], np.int32)
    seeds[10:14, 20:150], seeds[100, 60:90], seeds[150:, :9] = 1, 2, 3
    colour = -1 if image.ndim == 3 else None
    expected = segmentation.random_walker(image, seeds, mode="bf",
                                          channel_axis=colour)
    found = cuts.random_walker(image, seeds)
    assert found.dtype == seeds.dtype
    assert (found == expected).mean() >= 0.995
    np.testing.assert_array_equal(found[seeds > 0], seeds[seeds > 0])


def test_odds_are_odds_and_one_label_takes_all():
    image = data.coffee()[::8, ::8]
    seeds = np.zeros(image.shape[:2], int)
    seeds[3, 4], seeds[30, 50], seeds[40, 10] = 1, 2, 255
    _, odds = cuts.random_walker(image, seeds, probabilities=True)
    np.testing.assert_allclose(odds.sum(-1), 1, atol=1e-9)
    assert odds.min() > -1e-3 and odds.max() < 1 + 1e-3
    seeds[seeds != 255] = 0
    assert (cuts.random_walker(image, seeds) == 255).all()


def test_walkers_on_one_colour_go_to_the_nearest():
    seeds = np.zeros((9, 9), int)
    seeds[0], seeds[-1] = 1, 2
    labels = cuts.random_walker(np.full((9, 9), 5, np.uint8), seeds)
    np.testing.assert_array_equal(labels[:4], 1)
    np.testing.assert_array_equal(labels[5:], 2)


def test_walkers_say_when_they_cannot_arrive():
    image = np.random.default_rng(0).random((30, 30)).astype(np.float32)
    seeds = np.zeros((30, 30), int)
    seeds[0, 0], seeds[-1, -1] = 1, 2
    with pytest.raises(RuntimeError, match="no solution within"):
        cuts.random_walker(image, seeds, tolerance=1e-30)
    with pytest.raises(ValueError, match="tolerance"):
        cuts.random_walker(image, seeds, tolerance=0)


def squares(noise=0, seed=0):
    """Four grey squares, and squares of 4 x 4 as superpixels."""
    grey = np.kron([[30, 90], [150, 210]], np.ones((16, 16)))
    grey = grey + np.random.default_rng(seed).normal(0, noise, grey.shape)
    pieces = np.kron(np.arange(64).reshape(8, 8) * 3 + 7,
                     np.ones((4, 4), int))
    return np.clip(grey, 0, 255).astype(np.uint8), pieces


def test_normalized_cut_finds_four_squares():
    image, pieces = squares(noise=3)
    regions = cuts.normalized_cut(image, pieces, threshold=0.2, sigma=0.06)
    assert sorted(np.unique(regions)) == [1, 2, 3, 4]
    for y, x in product((0, 16), repeat=2):
        assert len(np.unique(regions[y:y + 16, x:x + 16])) == 1


def test_normalized_cut_never_splits_a_superpixel():
    from skimage import segmentation
    image = data.coffee()[::3, ::3]
    pieces = segmentation.slic(image, 150)
    regions = cuts.normalized_cut(image, pieces)
    for piece in np.unique(pieces):
        assert len(np.unique(regions[pieces == piece])) == 1
    fewer = cuts.normalized_cut(image, pieces, threshold=0.02)
    assert fewer.max() < regions.max() and fewer.min() == 1


@pytest.mark.parametrize("seed", range(5))
def test_best_split_equals_trying(seed):
    rng = np.random.default_rng(seed)
    weights = rng.random((9, 9))
    weights += weights.T
    values, cost = rng.random(9), np.inf
    for t in np.sort(values)[:-1]:
        low, total = values <= t, weights.sum(0)
        cut = weights[low][:, ~low].sum()
        cost = min(cost, cut / total[low].sum() + cut / total[~low].sum())
    found, low, high = cuts._best_split(weights, values)
    assert np.isclose(found, cost)
    assert values[low].max() < values[high].min()
    d = weights.sum(0)
    vector = cuts._second_eigenvector(weights)
    image = (np.diag(d) - weights) @ vector      # (D - W) y = lambda D y
    np.testing.assert_allclose(image / (d * vector),
                               (image / (d * vector))[0])


def test_normalized_cut_of_one_and_of_two():
    image = np.uint8([[10, 200]])
    assert cuts.normalized_cut(image, np.array([[4, 4]])).tolist() == [[1, 1]]
    assert len(set(cuts.normalized_cut(image, np.array([[1, 2]]))[0])) == 2
    same = np.uint8([[10, 10]])
    assert len(set(cuts.normalized_cut(same, np.array([[1, 2]]))[0])) == 1
    with pytest.raises(ValueError, match="superpixels has shape"):
        cuts.normalized_cut(image, np.array([[1], [2]]))
    with pytest.raises(ValueError, match="threshold is"):
        cuts.normalized_cut(image, np.array([[1, 2]]), threshold=0)
