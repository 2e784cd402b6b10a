"""Graph cuts beside SciPy and scikit-image, 512 x 512."""
from itertools import cycle

import numpy as np
from bench import Line
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import maximum_flow
from skimage import data, graph, segmentation

from seglib import graph_cuts
from seglib.clustering import GaussianMixture, colour_table, slic
from seglib.datasets import SamplePictures
from seglib.metrics import adapted_rand_error
from seglib.region_growing import truth_seeds


def colour_costs(table, inside, sure):
    """GrabCut's: minus log likelihoods of two mixtures, sure outside."""
    costs = np.empty((*inside.shape, 2))
    for k, side in enumerate((~inside, inside)):
        weights = np.bincount(table.index[side],
                              minlength=len(table.counts))
        mixture = GaussianMixture(5).fit(table.colours, weights)
        costs[..., k] = -mixture.log_density(table.colours)[table.index]
    costs[sure] = 0, np.inf
    return costs


def scipy_graph(costs, weights, scale=64):
    """The same problem for `maximum_flow`, in whole numbers."""
    finite = np.minimum(costs - costs.min(axis=-1, keepdims=True), 1e5)
    shape, n = costs.shape[:2], costs[..., 0].size
    number = np.arange(n).reshape(shape)
    ends = [(np.full(n, n), number.ravel(), finite[..., 1].ravel()),
            (number.ravel(), np.full(n, n + 1), finite[..., 0].ravel())]
    for d, (down, right) in enumerate(((0, 1), (1, 0), (1, 1), (1, -1))):
        left, last = max(0, -right), shape[1] - max(0, right)
        a = number[:shape[0] - down, left:last].ravel()
        b = number[down:, left + right:last + right].ravel()
        weight = weights[:shape[0] - down, left:last, d].ravel()
        ends += [(a, b, weight), (b, a, weight)]
    rows, columns, room = map(np.concatenate, zip(*ends))
    room = np.rint(room * scale).astype(np.int32)
    return coo_matrix((room, (rows, columns)), (n + 2, n + 2)).tocsr()


def same_flow(costs):
    """Flows agree, up to the rounding of whole numbers."""
    base = costs.min(axis=-1).sum()
    return lambda ours, theirs: np.isclose(
        ours.flow - base, theirs.flow_value / 64, rtol=1e-3)


def lines():
    image, sample = data.astronaut(), SamplePictures()["astronaut"]
    n = image.shape[0] * image.shape[1]
    outside = np.ones(image.shape[:2], bool)
    outside[20:, 10:420] = False
    table, weights = colour_table(image, 5), graph_cuts.contrast_weights(image)
    first = colour_costs(table, ~outside, outside)
    cut = graph_cuts.grid_min_cut(first, weights)
    second = colour_costs(table, cut.mask, outside)
    theirs = [scipy_graph(costs, weights) for costs in (first, second)]
    yield Line("grid_min_cut, GrabCut's energy, 512²",
               lambda: graph_cuts.grid_min_cut(first, weights),
               lambda: maximum_flow(theirs[0], n, n + 1), "SciPy", 1 / 6,
               same=same_flow(first))
    solver, costs = graph_cuts.GridCut(weights), cycle((second, first))
    solver.cut(first)
    yield Line("GridCut.cut, warm, from one round of GrabCut to another",
               lambda: solver.cut(next(costs)),
               lambda: maximum_flow(theirs[1], n, n + 1), "SciPy", 1 / 10)
    seeds = truth_seeds((sample.mask == 1).astype(int), "core")
    yield Line("random_walker, 512²",
               lambda: graph_cuts.random_walker(image, seeds),
               lambda: segmentation.random_walker(
                   image, seeds, mode="bf", channel_axis=-1),
               "scikit-image, bf", 1.0,
               same=lambda a, b: (a == b).mean() > 0.995)
    pieces = slic(image, 400)
    yield Line("normalized_cut, 400 superpixels",
               lambda: graph_cuts.normalized_cut(image, pieces),
               lambda: graph.cut_normalized(pieces, graph.rag_mean_color(
                   image, pieces, mode="similarity"), rng=1),
               "scikit-image", 1.0,
               same=lambda a, b: as_good(a, b, sample.mask))


def as_good(ours, theirs, mask) -> bool:
    drawn = mask < 255
    return (adapted_rand_error(ours[drawn], mask[drawn])
            < adapted_rand_error(theirs[drawn], mask[drawn]) + 0.02)
