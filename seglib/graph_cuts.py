"""Graph cuts: chapter 08 of the course.

Of all outlines, which one is the best, and can we be sure?

Exported from 08_graph_cuts.py; edit the chapter, not this file.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from seglib.display import as_float

__all__ = [
    "energy",
    "Cut",
    "GridCut",
    "grid_min_cut",
    "contrast_weights",
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
    inside = [_pairs(pairwise[..., d], step)[0] for d, step in
              enumerate(_STEPS[:pairwise.shape[2]])]
    least = min(w.min(initial=0) for w in inside)
    most = max(w.max(initial=0) for w in inside)
    if not (least >= 0 and most < np.inf):
        raise ValueError(f"pairwise has weights from {least} to {most};"
                         " needed: finite, 0 or more")
    return pairwise, _scale(most, whole)


def _scale(most, whole):
    scale = 2.0**(20 - np.frexp(most)[1])
    if whole and most >= 2**26:
        raise ValueError(f"pairwise has the integer {most:.0f}; needed:"
                         f" less than {2**26}, or floats")
    return max(scale, 1) if whole else scale


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
    """Push a pixel's water downhill; the queue's new end, and climbs."""
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
        found, seen = _measure(room, step, excess, height, order, active,
                               waiting)
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
        raise ValueError("unary holds NaN, -inf, or a pixel with inf for"
                         " both labels; needed: at most one inf a pixel")
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
        height, width, half = pairwise.shape
        self.shape = height, width
        self._step = _eight(width + 2, half)
        self._room = np.zeros(((height + 2) * (width + 2), 2 * half),
                              np.int32)
        _lay_out(pairwise, self.scale, self._step, self._room)
        self._most = int(self._room.max(initial=0)) * 2 * half + 1

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
        room, step, scale = self._room, self._step, self.scale
        excess = np.zeros(len(room), np.int32)
        sure = np.zeros(len(room), np.int8)
        flow = _rain(unary, scale, self._most, room, step, excess, sure)
        height = _push_relabel(room, step, excess)
        bright = (height < len(height)) | (sure > 0)
        flow += _flow(room, step, excess, sure)
        bill = _bill(unary, scale, room, step, bright)
        padded = bright.reshape(self.shape[0] + 2, -1)
        return Cut(padded[1:-1, 1:-1].copy(), bill / scale, flow / scale)


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
    The boundary term of Boykov and Jolly (2001), with beta as in Rother,
    Kolmogorov and Blake (2004).

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
    if beta is None:
        mean = sum(a.sum() for a in apart) / max(1, sum(map(np.size, apart)))
        beta = 1 / (2 * mean) if mean > 0 else 0
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
