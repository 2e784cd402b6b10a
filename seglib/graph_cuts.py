"""Graph cuts: chapter 08 of the course.

Of all outlines, which one is the best, and can we be sure?

Exported from 08_graph_cuts.py; edit the chapter, not this file.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components

from seglib.clustering import colour_table
from seglib.display import as_float

__all__ = [
    "energy",
    "Cut",
    "GridCut",
    "grid_min_cut",
    "contrast_weights",
    "seed_costs",
    "alpha_expansion",
    "random_walker",
    "normalized_cut",
]


# What does a labelling cost?
# ---------------------------

_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))      # rows, columns


def _pairs(array, step):
    """Pixels that have a neighbour a step away, and the neighbours."""
    (down, right), (height, width) = step, array.shape[:2]
    first, last = max(0, -right), width - max(0, right)
    return (array[:height - down, first:last],
            array[down:, first + right:last + right])


def energy(labels: np.ndarray, unary: np.ndarray, pairwise: np.ndarray
           ) -> float:
    """What a labelling costs: the pixels' costs and the pairs' weights.

    Parameters
    ----------
    labels : (H, W) int or bool array
        Labels from 0 to K - 1.
    unary : (H, W, K) array
        Cost of each label at each pixel.
    pairwise : (H, W, 2) or (H, W, 4) array
        Paid where a pixel and its neighbour differ: the neighbour to
        the right, below, and (of 8 neighbours) below right, below left.
        Weights that would leave the picture are ignored.

    Returns
    -------
    float

    Examples
    --------
    >>> energy(np.array([[0, 1]]), np.array([[[1, 5], [5, 2]]]),
    ...        np.full((1, 2, 2), 10))
    13.0

    Chapter
    -------
    08 Graph cuts, "What does a labelling cost?".
    """
    labels = np.asarray(labels).astype(np.intp)
    cost = np.take_along_axis(unary, labels[..., None], axis=-1).sum()
    for d, step in enumerate(_STEPS[:pairwise.shape[-1]]):
        here, there = _pairs(labels, step)
        weight, _ = _pairs(pairwise[..., d], step)
        cost = cost + weight[here != there].sum()
    return float(cost)


# How do numbers of water become code?
# ------------------------------------

def _eight(width, half):
    """Steps to the neighbours; `d ^ 1` is the opposite of `d`."""
    return np.array([1, -1, width, -width, width + 1, -width - 1,
                     width - 1, 1 - width])[:2 * half]


@njit(cache=True)
def _lay_out(pairwise, scale, step, room):
    """Room of every edge, both ways, in whole numbers."""
    height, width, half = pairwise.shape
    down, right = (0, 1, 1, 1), (1, 0, 1, -1)
    for y in range(height):
        for x in range(width):
            i = (y + 1) * (width + 2) + x + 1
            for d in range(half):
                if y + down[d] < height and 0 <= x + right[d] < width:
                    c = np.int32(np.rint(pairwise[y, x, d] * scale))
                    room[i, 2 * d] = c
                    room[i + step[2 * d], 2 * d + 1] = c


def _weights(pairwise):
    """`pairwise` as float64, and a scale to make it whole numbers."""
    pairwise = np.asarray(pairwise)
    whole = pairwise.dtype.kind in "bui"
    if (pairwise.ndim != 3 or pairwise.shape[2] not in (2, 4)
            or pairwise.size == 0):
        raise ValueError(f"pairwise has shape {pairwise.shape};"
                         " needed: (H, W, 2) or (H, W, 4), not empty")
    pairwise = np.require(pairwise, np.float64, "CW")
    return pairwise, _scale(pairwise, whole)


def _scale(pairwise, whole):
    inside = [_pairs(pairwise[..., d], step)[0] for d, step in
              enumerate(_STEPS[:pairwise.shape[2]])]
    least = min(w.min(initial=0) for w in inside)
    most = max(w.max(initial=0) for w in inside)
    if not (least >= 0 and most < np.inf):
        raise ValueError(f"pairwise has weights from {least} to {most};"
                         " needed: finite, 0 or more")
    scale = float(2.0**(20 - np.frexp(most)[1]))
    if whole and most >= 2**26:
        raise ValueError(f"pairwise has the integer {most:.0f}; needed:"
                         f" less than {2**26}, or floats")
    return max(scale, 1.0) if whole else scale


@njit(cache=True)
def _measure(room, step, excess, height, order, active, waiting):
    """Height of every pixel; how many have water, how many can run."""
    far = len(excess)
    found = seen = now = 0
    for i in range(far):
        height[i] = far
        if excess[i] < 0:
            height[i] = 0
            order[seen] = i
            seen += 1
    while now < seen:
        j = order[now]
        now += 1
        for d in range(len(step)):
            i = j + step[d]
            if height[i] == far and room[i, d ^ 1] > 0:
                height[i] = height[j] + 1
                order[seen] = i
                seen += 1
                if excess[i] > 0:
                    active[found] = i
                    waiting[i] = True
                    found += 1
    return found, seen


@njit(cache=True)
def _discharge(i, room, step, excess, height, active, waiting, end):
    """Push a pixel's water downhill; the queue's end, and climbs."""
    far, water, climbs = np.int32(len(excess)), excess[i], 0
    while water > 0 and height[i] < far:
        below, lowest = height[i] - 1, far
        for d in range(len(step)):
            j = i + step[d]
            if room[i, d] == 0:
                continue
            if height[j] > below:
                lowest = min(lowest, height[j])
                continue
            push = min(water, room[i, d])
            room[i, d] -= push
            room[j, d ^ 1] += push
            excess[j] += push
            water -= push
            if excess[j] > 0 and not waiting[j]:
                waiting[j] = True
                active[end] = j
                end = end + 1 if end + 1 < far else 0
            if water == 0:
                break
        if water > 0:
            height[i] = min(far, lowest + 1)
            climbs += 1
    excess[i] = water
    return end, climbs


@njit(cache=True)
def _run(room, step, excess, height, active, waiting, found, patience):
    """Discharge pixels, first come, first served, for a while."""
    first, end, climbs = 0, found, 0
    while first != end and climbs < patience:
        i = active[first]
        first = first + 1 if first + 1 < len(active) else 0
        waiting[i] = False
        end, more = _discharge(i, room, step, excess, height, active,
                               waiting, end)
        climbs += more
    waiting[:] = False


def _push_relabel(room, step, excess):
    """Let all water run that can; heights, `len(excess)` if dry."""
    height, order, active = np.empty((3, len(excess)), np.int32)
    waiting = np.zeros(len(excess), bool)
    while True:
        found, seen = _measure(room, step, excess, height, order,
                               active, waiting)
        if not found:
            return height
        _run(room, step, excess, height, active, waiting, found,
             100 + seen // 2)


# What if we are sure?
# --------------------

@njit(cache=True)
def _settle(room, step, sure):
    """Fill (label 0) or empty (label 1) the edges of sure pixels."""
    for i in range(len(sure)):
        if sure[i] != 0:
            for d in range(len(step)):
                j = i + step[d]
                both = room[i, d] + room[j, d ^ 1]
                room[i, d] = both if sure[i] > 0 else 0
                room[j, d ^ 1] = both - room[i, d]


@njit(cache=True)
def _arrived(room, step, i):
    """Water that has come to a pixel over its edges, less what left."""
    water = 0
    for d in range(len(step)):
        water += room[i, d] - room[i + step[d], d ^ 1]
    return water // 2


@njit(cache=True)
def _rain(unary, scale, most, room, step, excess, sure):
    """Set every pixel's excess; the cost that no labelling avoids."""
    height, width, _ = unary.shape
    unavoidable = 0.0
    for y in range(height):
        for x in range(width):
            i = (y + 1) * (width + 2) + x + 1
            zero = np.rint(unary[y, x, 0] * scale)
            one = np.rint(unary[y, x, 1] * scale)
            if zero == np.inf or one == np.inf:
                sure[i] = 1 if zero == np.inf else -1
                unavoidable += min(zero, one)
            else:
                water = min(max(one - zero, -most), most)
                excess[i] = water
                unavoidable += zero + min(0, one - zero - water)
    _settle(room, step, sure)
    for i in range(width + 3, len(sure) - width - 3):
        if sure[i] == 0:
            excess[i] += _arrived(room, step, i)
    return unavoidable


@njit(cache=True)
def _flow(room, step, excess, sure):
    """Unmet demand (negative), and what ran into sure pixels."""
    total = 0
    for i in range(len(excess)):
        if sure[i] > 0:
            total += _arrived(room, step, i)
        elif sure[i] == 0:
            total += min(0, excess[i])
    return total


@njit(cache=True)
def _bill(unary, scale, room, step, bright):
    """Energy of a labelling, in the solver's whole numbers."""
    height, width, _ = unary.shape
    cost = 0.0
    for y in range(height):
        for x in range(width):
            i = (y + 1) * (width + 2) + x + 1
            cost += np.rint(unary[y, x, int(bright[i])] * scale)
            for d in range(0, len(step), 2):
                j = i + step[d]
                if bright[i] != bright[j]:
                    cost += (room[i, d] + room[j, d + 1]) // 2
    return cost


def _costs(unary, shape):
    """`unary` as float64, once it is known to be in order."""
    unary = np.asarray(unary)
    if unary.shape != (*shape, 2):
        raise ValueError(f"unary has shape {unary.shape};"
                         f" needed: {(*shape, 2)}")
    unary = np.require(unary, np.float64, "CW")
    cheaper = np.minimum(unary[..., 0], unary[..., 1])
    if not np.isfinite([cheaper.min(), cheaper.max()]).all():
        raise ValueError("unary holds NaN, -inf, or inf for both labels"
                         " of a pixel; needed: at most one inf a pixel")
    return unary


@dataclass(frozen=True, eq=False)
class Cut:
    """The cheapest labelling, and its proof.

    Attributes
    ----------
    mask : (H, W) bool array
        True is label 1.
    energy : float
        What the labelling costs, counted along the outline.
    flow : float
        What has flowed; equal to `energy`, or the cut would be wrong.

    Chapter
    -------
    08 Graph cuts, "What if we are sure?".
    """

    mask: np.ndarray
    energy: float
    flow: float


def _pipes(pairwise, scale):
    """Room of all edges, and the steps to their other ends."""
    height, width, half = pairwise.shape
    step = _eight(width + 2, half)
    room = np.zeros(((height + 2) * (width + 2), 2 * half), np.int32)
    _lay_out(pairwise, scale, step, room)
    return room, step


def _cut(unary, scale, room, step):
    """Where label 1 is, on the grid with a border, and the flow."""
    excess = np.zeros(len(room), np.int32)
    sure = np.zeros(len(room), np.int8)
    most = int(room.max()) * len(step) + 1  # more makes no difference
    flow = _rain(unary, scale, most, room, step, excess, sure)
    height = _push_relabel(room, step, excess)
    flow += _flow(room, step, excess, sure)
    return (height < len(height)) | (sure > 0), flow


class GridCut:
    """Solver of minimum cuts on a grid that remembers its last flow.

    Parameters
    ----------
    pairwise : (H, W, 2) or (H, W, 4) array
        Finite weights, 0 or more: the price of cutting a pixel from its
        neighbour to the right, below, and (of 8 neighbours) below right
        and below left. Weights that leave the picture are ignored.

    Attributes
    ----------
    shape : (int, int)
    scale : float
        Costs times `scale` are rounded to whole numbers: a power of two
        that brings the largest weight to between 2^19 and 2^20. Integer
        weights, and unaries, are kept exactly.

    Raises
    ------
    ValueError
        If `pairwise` is not such an array, or holds integers of 2^26
        and more.

    Notes
    -----
    FIFO push-relabel (Goldberg and Tarjan 1988), its first phase only,
    with exact heights from time to time. Fewer than 80 bytes a pixel.
    Not to be shared by threads.

    Examples
    --------
    >>> solver = GridCut(np.full((1, 3, 2), 2))
    >>> unary = np.array([[[9, 0], [1, 2], [0, 9]]])
    >>> solver.cut(unary).mask
    array([[ True, False, False]])
    >>> solver.cut(unary + [[[0, 0], [2, 0], [0, 0]]]).mask
    array([[ True,  True, False]])

    Chapter
    -------
    08 Graph cuts, "What if we are sure?".
    """

    def __init__(self, pairwise):
        pairwise, self.scale = _weights(pairwise)
        self.shape = pairwise.shape[:2]
        self._pipes = _pipes(pairwise, self.scale)

    def cut(self, unary) -> Cut:
        """The cheapest labelling for these costs.

        Parameters
        ----------
        unary : (H, W, 2) array
            Cost of label 0 and of label 1. `inf`: the pixel is sure of
            the other one. Any pixel may change, sure ones too, from one
            call to the next.

        Returns
        -------
        Cut
            Of several cheapest labellings the one with the fewest
            pixels of label 1; it does not depend on earlier calls.

        Raises
        ------
        ValueError
            If the shape is another one, or a cost is NaN or -inf, or
            both costs of a pixel are inf.
        """
        unary = _costs(unary, self.shape)
        bright, flow = _cut(unary, self.scale, *self._pipes)
        bill = _bill(unary, self.scale, *self._pipes, bright)
        padded = bright.reshape(self.shape[0] + 2, -1)
        return Cut(padded[1:-1, 1:-1].copy(), bill / self.scale,
                   flow / self.scale)


def grid_min_cut(unary: np.ndarray, pairwise: np.ndarray) -> Cut:
    """The cheapest labelling of a picture with two labels.

    Minimises `energy(mask, unary, pairwise)` exactly, up to rounding.

    Parameters
    ----------
    unary : (H, W, 2) array
        As for `GridCut.cut`.
    pairwise : (H, W, 2) or (H, W, 4) array
        As for `GridCut`.

    Returns
    -------
    Cut
        With `.mask` (True is label 1), `.energy` and `.flow`.

    Raises
    ------
    ValueError
        As `GridCut` and `GridCut.cut`.

    Examples
    --------
    >>> cut = grid_min_cut(np.array([[[9, 0], [1, 2], [0, 9]]]),
    ...                    np.full((1, 3, 2), 2))
    >>> cut.mask, cut.energy, cut.flow
    (array([[ True, False, False]]), 3.0, 3.0)

    Chapter
    -------
    08 Graph cuts, "What if we are sure?".
    """
    return GridCut(pairwise).cut(unary)


# Where should a photograph be cut?
# ---------------------------------

def contrast_weights(image: np.ndarray, gamma: float = 50.0,
                     neighbours: int = 8, beta: float | None = None
                     ) -> np.ndarray:
    """Price of cutting between neighbours: low where the image changes.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        As for `as_float`: bool, uint8, uint16, or floats in [0, 1].
    gamma : float
        0 or more: the price between two equal pixels side by side.
    neighbours : int
        4 or 8.
    beta : float or None
        0 or more, for values in [0, 1]. None: 1 / (2 m) with the mean
        squared difference m of all neighbours; 0 on a constant image.

    Returns
    -------
    (H, W, neighbours // 2) float array
        To the right, below, below right, below left; 0 where the
        neighbour lies outside. Diagonal ones are divided by sqrt(2).

    Raises
    ------
    TypeError, ValueError
        As `as_float`, or if the image has another shape, or a number is
        out of its range.

    Notes
    -----
    The boundary term of Boykov and Jolly (2001), with the beta of
    Rother, Kolmogorov and Blake (2004).

    Examples
    --------
    >>> contrast_weights(np.uint8([[7, 7, 9]]), gamma=8, neighbours=4
    ...                  ).round(1)[0, :, 0]
    array([8. , 2.9, 0. ])

    Chapter
    -------
    08 Graph cuts, "Where should a photograph be cut?".
    """
    image = _picture(image)
    if neighbours not in (4, 8) or not gamma >= 0:
        raise ValueError(f"neighbours is {neighbours}, gamma {gamma};"
                         " needed: 4 or 8, and 0 or more")
    steps = _STEPS[:neighbours // 2]
    apart = [_squared(*_pairs(image, step)) for step in steps]
    beta = _usual(apart) if beta is None else beta
    weights = np.zeros((*image.shape[:2], len(steps)))
    for d, (step, away) in enumerate(zip(steps, apart)):
        pairs, _ = _pairs(weights[..., d], step)
        pairs[:] = gamma * np.exp(-beta * away) / np.hypot(*step)
    return weights


def _picture(image):
    """`image` as (H, W, channels) floats on the scale from 0 to 1."""
    image = as_float(image)
    if image.shape[2:] not in ((), (3,)) or image.ndim < 2:
        raise ValueError(f"image has shape {image.shape};"
                         " needed: (H, W) or (H, W, 3)")
    return image.reshape(*image.shape[:2], -1).astype(float)


def _squared(a, b):
    return ((a - b)**2).sum(-1)


def _usual(apart):
    """Half of one over the mean; 0 where nothing changes."""
    total = sum(a.sum() for a in apart)
    return sum(a.size for a in apart) / (2 * total) if total > 0 else 0


# What went wrong with the cat?
# -----------------------------

def seed_costs(image: np.ndarray, seeds: np.ndarray, bits: int = 4
               ) -> np.ndarray:
    """What the colours under the strokes say about all other pixels.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        uint8, or float in [0, 1].
    seeds : (H, W) int array
        Numbers of the regions, any; 0 where there is no seed.
    bits : int
        1 to 8: of each channel so many upper bits are counted.

    Returns
    -------
    (H, W, K) float array
        For each number in `seeds`, in ascending order, minus the
        logarithm of how often a pixel's colour is seen under its
        strokes; there, 0, and `inf` for the other numbers.

    Raises
    ------
    TypeError, ValueError
        As `colour_table`; if `seeds` is not of the image's size, not
        whole, negative, or 0 everywhere.

    Notes
    -----
    The region term of Boykov and Jolly (2001), from histograms. Every
    colour of the picture is counted once more than it is seen.

    Examples
    --------
    >>> seed_costs(np.uint8([[9, 8, 99]]), np.array([[1, 0, 2]])
    ...            ).round(1)
    array([[[0. , inf],
            [0.4, 1.1],
            [inf, 0. ]]])

    Chapter
    -------
    08 Graph cuts, "What went wrong with the cat?".
    """
    table = colour_table(image, bits)
    seeds, labels = _numbers(seeds, table.index.shape)
    costs = np.empty((*seeds.shape, len(labels)))
    for k, label in enumerate(labels):
        mine = table.index[seeds == label]
        count = 1 + np.bincount(mine, minlength=len(table.counts))
        costs[..., k] = -np.log(count / count.sum())[table.index]
    costs[seeds > 0] = np.inf
    for k, label in enumerate(labels):
        costs[seeds == label, k] = 0
    return costs


def _numbers(seeds, shape):
    """`seeds` as an array of whole numbers, and those that occur."""
    seeds = np.asarray(seeds)
    if seeds.dtype.kind not in "iu":
        raise TypeError(f"seeds has dtype {seeds.dtype}; needed: int")
    if seeds.shape != shape:
        raise ValueError(f"seeds has shape {seeds.shape}; needed: that"
                         f" of the image, {shape}")
    if seeds.min() < 0 or not seeds.any():
        raise ValueError(f"seeds goes from {seeds.min()} to"
                         f" {seeds.max()}; needed: 0, and more")
    return seeds, np.unique(seeds[seeds > 0])


# And with more than two labels?
# ------------------------------

def _move(labels, new, unary, pairwise, price):
    """Costs of "stay" and "become `new`": a problem with two labels."""
    now = np.take_along_axis(unary, labels[..., None], axis=-1)[..., 0]
    costs = np.stack([now, unary[..., new]], axis=-1).astype(float)
    weights = np.zeros(pairwise.shape)
    for d, step in enumerate(_STEPS[:pairwise.shape[-1]]):
        a, b = _pairs(labels, step)
        w, _ = _pairs(pairwise[..., d], step)
        stay, first, second = (w * price[a, b], w * price[new, b],
                               w * price[a, new])
        between = (first + second - stay) / 2
        _pairs(weights[..., d], step)[0][:] = between
        here, there = _pairs(costs[..., 1], step)
        here += first - stay - between
        there += second - stay - between
    return costs, weights


def alpha_expansion(unary: np.ndarray, pairwise: np.ndarray,
                    price: np.ndarray | None = None) -> np.ndarray:
    """A cheap labelling with any number of labels.

    Each move asks one label which pixels should become it, all at once,
    and answers exactly, by a minimum cut. Ends when no label gains.

    Parameters
    ----------
    unary : (H, W, K) array
        Cost of each label at each pixel; `inf` forbids it.
    pairwise : (H, W, 2) or (H, W, 4) array
        As for `GridCut`.
    price : (K, K) array or None
        What two neighbours of labels a and b pay per weight: a metric.
        None: 1 if they differ (Potts).

    Returns
    -------
    (H, W) int array
        Labels from 0 to K - 1. With Potts prices it costs at most twice
        what the best labelling does.

    Raises
    ------
    ValueError
        As `GridCut`; if all labels of a pixel are forbidden, or `price`
        is not a metric.

    Notes
    -----
    Boykov, Veksler and Zabih (2001).

    Examples
    --------
    >>> unary = np.array([[[0, 9, 9], [4, 4, 3], [9, 9, 0]]])
    >>> alpha_expansion(unary, np.full((1, 3, 2), 1))
    array([[0, 2, 2]])

    Chapter
    -------
    08 Graph cuts, "And with more than two labels?".
    """
    pairwise, _ = _weights(pairwise)
    unary, price = _many_costs(unary, price)
    labels, idle, new = unary.argmin(axis=-1), 0, 0
    cost = _price_of(labels, unary, pairwise, price)
    while idle < unary.shape[-1]:
        cut = grid_min_cut(*_move(labels, new, unary, pairwise, price))
        moved = np.where(cut.mask, new, labels)
        less = _price_of(moved, unary, pairwise, price)
        idle += 1
        if less < cost:
            labels, cost, idle = moved, less, 0
        new = (new + 1) % unary.shape[-1]
    return labels


def _price_of(labels, unary, pairwise, price):
    """`energy`, where differing has different prices."""
    cost = np.take_along_axis(unary, labels[..., None], axis=-1).sum()
    for d, step in enumerate(_STEPS[:pairwise.shape[-1]]):
        weight, _ = _pairs(pairwise[..., d], step)
        cost += (weight * price[_pairs(labels, step)]).sum()
    return cost


def _many_costs(unary, price):
    unary = np.asarray(unary, float)
    if unary.ndim != 3 or not np.isfinite(unary.min(-1)).all():
        raise ValueError(f"unary of shape {unary.shape} needs to be"
                         " (H, W, K), with a finite cost at each pixel")
    k = unary.shape[-1]
    price = 1.0 - np.eye(k) if price is None else np.asarray(price)
    if (price.shape != (k, k) or price.diagonal().any()
            or (price != price.T).any() or not price.min() >= 0
            or (price[:, None] > price[:, :, None] + price).any()):
        raise ValueError(f"price of shape {price.shape} needs to be a"
                         f" metric on {k} labels")
    return unary, price


# What if somebody walks instead?
# -------------------------------

def _ways_home(weights, seeds, labels):
    """Edges between free pixels, to seeds, and to seeds of each label.

    All with a border of one pixel, on which they are 0.
    """
    planes = np.zeros((3 + len(labels), *np.add(seeds.shape, 2)))
    inner = planes[:, 1:-1, 1:-1]
    for d, step in enumerate(_STEPS[:2]):
        ends = _pairs(seeds, step)
        edge = _pairs(weights[..., d], step)[0] + 1e-10
        _pairs(inner[d], step)[0][:] = edge * (
            (ends[0] == 0) & (ends[1] == 0))
        for a, b in ((0, 1), (1, 0)):
            out = edge * (ends[a] == 0) * (ends[b] > 0)
            _pairs(inner[2], step)[a][:] += out
            for plane, label in zip(inner[3:], labels):
                there = _pairs(plane, step)[a]
                there += out * (ends[b] == label)
    return planes[:2], planes[2], planes[3:]


@njit(cache=True)
def _relax(right, down, total, goal, x, colour):
    """Every other pixel becomes what its neighbours say."""
    height, width = x.shape
    for v in range(1, height - 1):
        for u in range(1 + (v + colour) % 2, width - 1, 2):
            x[v, u] = (goal[v, u]
                       + right[v, u - 1] * x[v, u - 1]
                       + right[v, u] * x[v, u + 1]
                       + down[v - 1, u] * x[v - 1, u]
                       + down[v, u] * x[v + 1, u]) / total[v, u]


@njit(cache=True)
def _laplacian(right, down, total, x, out):
    """What a pixel has more than its neighbours, by weight."""
    height, width = x.shape
    for v in range(1, height - 1):
        for u in range(1, width - 1):
            out[v, u] = (total[v, u] * x[v, u]
                         - right[v, u - 1] * x[v, u - 1]
                         - right[v, u] * x[v, u + 1]
                         - down[v - 1, u] * x[v - 1, u]
                         - down[v, u] * x[v + 1, u])


@njit(cache=True)
def _sum_blocks(array, even_v, even_u, blocks):
    """Add up blocks of 2 x 2; of an edge array, the edges between."""
    height, width = array.shape
    for v in range(1, height - 1):
        for u in range(1, width - 1):
            if not (even_v and v % 2 or even_u and u % 2):
                blocks[(v + 1) // 2, (u + 1) // 2] += array[v, u]


@njit(cache=True)
def _add_blocks(x, blocks, factor):
    height, width = x.shape
    for v in range(1, height - 1):
        for u in range(1, width - 1):
            x[v, u] += factor * blocks[(v + 1) // 2, (u + 1) // 2]


def _blocks(array, even_v=False, even_u=False):
    blocks = np.zeros((np.array(array.shape) - 1) // 2 + 2)
    _sum_blocks(array, even_v, even_u, blocks)
    return blocks


def _pyramid(right, down, leak):
    """Edges, and their sum at each pixel, on ever coarser grids."""
    levels = []
    while True:
        total = leak + right + down
        total[:, 1:] += right[:, :-1]
        total[1:] += down[:-1]
        total[total == 0] = 1               # seeds, and blocks of them
        levels.append((right, down, total))
        if max(leak.shape) == 3:            # one pixel and its border
            return levels
        right, down, leak = (_blocks(right, even_u=True),
                             _blocks(down, even_v=True), _blocks(leak))


def _estimate(levels, goal):
    """What x is, about: smooth, correct by blocks, smooth."""
    x, flow = np.zeros_like(goal), np.zeros_like(goal)
    for colour in (0, 1):
        _relax(*levels[0], goal, x, colour)
    if len(levels) > 1:
        _laplacian(*levels[0], x, flow)
        _add_blocks(x, _estimate(levels[1:], _blocks(goal - flow)), 1.5)
    for colour in (1, 0):
        _relax(*levels[0], goal, x, colour)
    return x


def _solve(levels, goal, tolerance):
    """Conjugate gradients that begin every step with an estimate."""
    x, missing, flow = np.zeros_like(goal), goal.copy(), goal.copy()
    step, before = np.zeros_like(goal), np.inf
    for _ in range(1000):
        if np.linalg.norm(missing) <= tolerance * np.linalg.norm(goal):
            return x
        guess = _estimate(levels, missing)
        now = np.vdot(missing, guess)
        step, before = guess + now / before * step, now
        _laplacian(*levels[0], step, flow)
        share = now / np.vdot(step, flow)
        x += share * step
        missing -= share * flow
    raise RuntimeError(f"no solution within {tolerance}; needed: a"
                       " smaller beta, or a larger tolerance")


def _spread(image):
    image = as_float(image)
    channels = image.shape[2] if image.ndim == 3 else 1
    return max(10 * np.sqrt(channels) * image.std(), 1e-9)


def _odds(weights, seeds, labels, tolerance):
    """A solution for every label but the last, which gets the rest."""
    edges, leak, home = _ways_home(weights, seeds, labels[:-1])
    levels = _pyramid(*edges, leak)
    odds = [_solve(levels, goal, tolerance)[1:-1, 1:-1]
            for goal in home]
    odds = np.stack([*odds, np.ones(seeds.shape) - sum(odds)], axis=-1)
    odds[seeds > 0] = seeds[seeds > 0][:, None] == labels
    return odds


def random_walker(image: np.ndarray, seeds: np.ndarray,
                  beta: float = 130.0, tolerance: float = 1e-5,
                  probabilities: bool = False):
    """Labels by the seed that a walker from each pixel meets first.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        As for `as_float`.
    seeds : (H, W) int array
        Numbers of the regions, any; 0 where there is no seed.
    beta : float
        0 or more: how much walkers avoid edges. In units of 10
        standard deviations of the image, as in scikit-image.
    tolerance : float
        Above 0: how much of the equations' right-hand side may be
        missing at the end.
    probabilities : bool
        Whether to return the probabilities too.

    Returns
    -------
    labels : (H, W) array
        In the dtype of `seeds`.
    probabilities : (H, W, K) float array, only if asked for
        That the walker meets a seed of each number first, in ascending
        order of the numbers.

    Raises
    ------
    TypeError, ValueError
        As `as_float`; if `seeds` is not of the image's size, not whole,
        negative, or 0 everywhere; if a number is out of its range.
    RuntimeError
        If the equations are not solved within 1000 rounds.

    Notes
    -----
    Grady (2006). Four neighbours. Conjugate gradients, preconditioned
    by one multigrid cycle over blocks of 2 x 2.

    Examples
    --------
    >>> image = np.uint8([[10, 11, 90, 91, 92]])
    >>> random_walker(image, np.array([[1, 0, 0, 0, 2]]))
    array([[1, 1, 2, 2, 2]])

    Chapter
    -------
    08 Graph cuts, "What if somebody walks instead?".
    """
    if not (beta >= 0 and tolerance > 0):
        raise ValueError(f"beta is {beta}, tolerance {tolerance};"
                         " needed: 0 or more, and above 0")
    seeds, labels = _numbers(seeds, np.shape(image)[:2])
    weights = contrast_weights(image, 1, 4, beta / _spread(image))
    chance = _odds(weights, seeds, labels, tolerance)
    found = labels[chance.argmax(axis=-1)]
    return (found, chance) if probabilities else found


# And with no seeds at all?
# -------------------------

def _second_eigenvector(weights):
    """Of D^-1/2 W D^-1/2, the vector after the largest, over D^1/2."""
    root = np.sqrt(weights.sum(axis=0))
    n = len(root) - 2
    _, vector = eigh(weights / root / root[:, None],
                     subset_by_index=(n, n))
    return vector[:, 0] / root


def _best_split(weights, values):
    """Lowest normalised cut between small and large values, and it."""
    order = np.argsort(values, kind="stable")
    ordered = weights[order][:, order]
    total = np.cumsum(ordered.sum(axis=0))
    inside = np.cumsum(np.cumsum(ordered, axis=0), axis=1).diagonal()
    cut = (total - inside)[:-1]
    costs = cut / total[:-1] + cut / (total[-1] - total[:-1])
    first = int(costs.argmin()) + 1
    return costs[first - 1], order[:first], order[first:]


def _from_zero(superpixels, shape):
    if np.shape(superpixels) != shape:
        raise ValueError("superpixels has shape"
                         f" {np.shape(superpixels)}; needed: that of"
                         f" the image, {shape}")
    _, number = np.unique(superpixels, return_inverse=True)
    return number.reshape(shape)


def _likeness(image, superpixels, sigma):
    """Weights of superpixels that touch, and each pixel's number."""
    number = _from_zero(superpixels, image.shape[:2])
    size = np.bincount(number.ravel())
    mean = np.stack([np.bincount(number.ravel(), c.ravel()) / size
                     for c in np.moveaxis(image, -1, 0)], axis=-1)
    ends = [np.stack(_pairs(number, step)).reshape(2, -1)
            for step in _STEPS]
    ends = np.concatenate(ends, axis=1)
    a, b = ends[:, ends[0] != ends[1]]
    weights = np.zeros((len(size), len(size)))
    weights[a, b] = weights[b, a] = np.exp(
        -_squared(mean[a], mean[b]) / sigma**2)
    np.fill_diagonal(weights, 1)
    return weights, number


def _parts(weights, threshold):
    """Positions of the parts into which a graph falls, or is cut."""
    count, piece = connected_components(weights)
    if count > 1:
        return [np.flatnonzero(piece == i) for i in range(count)]
    if len(weights) < 2:
        return []
    cost, *halves = _best_split(weights, _second_eigenvector(weights))
    return halves if cost < threshold else []


def _inverse(groups):
    """For every number, the position of the group that holds it."""
    position = np.empty(sum(map(len, groups)), int)
    for i, group in enumerate(groups):
        position[group] = i
    return position


def normalized_cut(image: np.ndarray, superpixels: np.ndarray,
                   threshold: float = 0.05, sigma: float = 0.2
                   ) -> np.ndarray:
    """Superpixels joined by cutting their graph in two, repeatedly.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        As for `as_float`.
    superpixels : (H, W) int array
        Up to a few thousand, as from `clustering.slic`: the time grows
        with the cube of their number.
    threshold : float
        Above 0: a part stays whole if its best normalised cut (0 to 2)
        costs so much.
    sigma : float
        Above 0, on the scale from 0 to 1: mean colours so far apart
        have the weight 1/e.

    Returns
    -------
    (H, W) int array
        Regions, from 1. Every superpixel lies in one.

    Raises
    ------
    TypeError, ValueError
        As `as_float`; if `superpixels` is not of the image's size, or a
        number is out of its range.

    Notes
    -----
    Shi and Malik (2000), on superpixels that touch, each of weight 1
    with itself. All splits along the eigenvector are tried.

    Examples
    --------
    >>> image = np.uint8([[10, 12, 190, 195]])
    >>> normalized_cut(image, np.array([[1, 2, 3, 4]])).tolist()
    [[2, 2, 1, 1]]

    Chapter
    -------
    08 Graph cuts, "And with no seeds at all?".
    """
    if not threshold > 0 or not sigma > 0:
        raise ValueError(f"threshold is {threshold}, sigma {sigma};"
                         " needed: above 0")
    weights, number = _likeness(_picture(image), superpixels, sigma)
    waiting, done = [np.arange(len(weights))], []
    while waiting:
        nodes = waiting.pop()
        parts = _parts(weights[np.ix_(nodes, nodes)], threshold)
        waiting += [nodes[part] for part in parts]
        if not parts:
            done.append(nodes)
    return 1 + _inverse(done)[number]
