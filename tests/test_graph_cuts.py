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
