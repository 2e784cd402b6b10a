"""Region growing: chapter 06 of the course.

Where does a thing end, if we start inside it and walk?

Exported from 06_region_growing.py; edit the chapter, not this file.
"""

from heapq import heappop, heappush

import numpy as np
from numba import njit
from scipy import ndimage

from seglib.display import VOID, as_float

__all__ = [
    "flood",
    "seeds_at",
    "seeded_region_growing",
    "mean_colours",
    "quadtree",
    "split_and_merge",
    "graph_merge",
    "truth_seeds",
]


# What hangs together with this pixel?
# ------------------------------------

def _vectors(image):
    """`image` as (H, W, channels) floats, once it is known to be so."""
    image = np.asarray(image)
    if image.dtype.kind not in "buif":
        raise TypeError(f"image has dtype {image.dtype};"
                        " needed: bool, integers or floats")
    if (image.ndim < 2 or image.shape[2:] not in ((), (3,))
            or image.size == 0):
        raise ValueError(f"image has shape {image.shape};"
                         " needed: (H, W) or (H, W, 3), not empty")
    vectors = image.reshape(*image.shape[:2], -1).astype(float)
    if not np.isfinite([vectors.min(), vectors.max()]).all():
        raise ValueError("image holds NaN or infinity;"
                         " needed: finite values")
    return vectors


def _not_below(least, name, number):
    if not number >= least:             # NaN is not, either
        raise ValueError(f"{name} is {number}; needed: {least} or more")


def flood(image: np.ndarray, seed: tuple[int, int],
          tolerance: float = 0.0, connectivity: int = 1) -> np.ndarray:
    """Region around a seed: alike to its pixel, and connected with it.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        Bool, integers or finite floats.
    seed : (int, int)
        Row and column of a pixel.
    tolerance : float
        0 or more, in the units of `image`: how far a pixel's grey (its
        colour, by Euclid's distance) may be from that of the seed.
    connectivity : int
        1: four neighbours; 2: eight, the diagonal ones too.

    Returns
    -------
    (H, W) bool array
        True at the seed. A larger tolerance never takes a pixel away.

    Raises
    ------
    TypeError, ValueError
        If `image` is no image, the seed lies outside it, `tolerance` is
        negative, or `connectivity` is neither 1 nor 2.

    Examples
    --------
    >>> flood(np.array([[5, 6, 9, 5]]), seed=(0, 0), tolerance=1)
    array([[ True,  True, False, False]])

    Chapter
    -------
    06 Region growing, "What hangs together with this pixel?".
    """
    vectors = _vectors(image)
    _not_below(0, "tolerance", tolerance)
    (y, x), (height, width) = seed, vectors.shape[:2]
    if not (0 <= y < height and 0 <= x < width):
        raise ValueError(f"seed is {seed}; needed: a row and a column"
                         f" inside the image of {height} x {width}")
    if connectivity not in (1, 2):
        raise ValueError(f"connectivity is {connectivity};"
                         " needed: 1 or 2")
    away = np.linalg.norm(vectors - vectors[y, x], axis=-1)
    structure = ndimage.generate_binary_structure(2, connectivity)
    pieces, _ = ndimage.label(away <= tolerance, structure)
    return pieces == pieces[y, x]


# What if seeds compete?
# ----------------------

def seeds_at(shape: tuple[int, int], strokes, radius: float = 3
             ) -> np.ndarray:
    """Seeds drawn as discs, for `seeded_region_growing`.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    strokes : sequence of sequences of (int, int)
        For each region, from 1, its points: row and column.
    radius : float
        Of the discs, in pixels; 0 for single pixels.

    Returns
    -------
    (H, W) int32 array
        The number of the region, 0 where there is no seed.

    Raises
    ------
    ValueError
        If a point lies outside the image.

    Examples
    --------
    >>> seeds_at((2, 5), [[(0, 0)], [(0, 4), (1, 4)]], radius=0)
    array([[1, 0, 0, 0, 2],
           [0, 0, 0, 0, 2]], dtype=int32)

    Chapter
    -------
    06 Region growing, "What if seeds compete?".
    """
    seeds = np.zeros(shape, np.int32)
    y, x = np.indices(shape)
    for label, points in enumerate(strokes, start=1):
        for v, u in points:
            if not (0 <= v < shape[0] and 0 <= u < shape[1]):
                raise ValueError(f"strokes has the point ({v}, {u});"
                                 " needed: row and column inside"
                                 f" {shape[0]} x {shape[1]}")
            seeds[np.hypot(y - v, x - u) <= radius] = label
    return seeds


_CROSS = ((-1, 0), (0, -1), (0, 1), (1, 0))


@njit(cache=True)
def _closest(image, labels, total, size, y, x):
    """Squared distance to the closest region beside a pixel, and it."""
    least, label = np.inf, 0
    for dy, dx in _CROSS:
        v, u = y + dy, x + dx
        if 0 <= v < labels.shape[0] and 0 <= u < labels.shape[1]:
            i = labels[v, u]
            away = 0.0
            for c in range(image.shape[2] if i else 0):
                away += (image[y, x, c] - total[i, c] / size[i])**2
            if i and (away, i) < (least, label):
                least, label = away, i
    return least, label


@njit(cache=True)
def _invite(y, x, queue, came, known, image, labels, total, size):
    """Put the unknown neighbours of a labelled pixel into the list."""
    for dy, dx in _CROSS:
        v, u = y + dy, x + dx
        if (0 <= v < known.shape[0] and 0 <= u < known.shape[1]
                and not known[v, u]):
            known[v, u] = True
            away, _ = _closest(image, labels, total, size, v, u)
            heappush(queue, (away, came[0], v, u))
            came[0] += 1


@njit(cache=True)
def _grow(image, labels, total, size):
    """Let the regions in `labels` grow, in place, until they meet."""
    queue = [(0.0, 0, 0, 0) for _ in range(0)]
    known, came = labels > 0, np.zeros(1, np.int64)
    rest = queue, came, known, image, labels, total, size
    for y, x in np.ndindex(labels.shape):
        if labels[y, x]:
            _invite(y, x, *rest)
    while len(queue):
        _, _, y, x = heappop(queue)
        _, i = _closest(image, labels, total, size, y, x)
        labels[y, x] = i
        size[i] += 1
        for c in range(image.shape[2]):
            total[i, c] += image[y, x, c]
        _invite(y, x, *rest)


def _check_seeds(seeds, shape):
    if seeds.dtype.kind not in "iu":
        raise TypeError(f"seeds has dtype {seeds.dtype}; needed: int")
    if seeds.shape != shape:
        raise ValueError(f"seeds has shape {seeds.shape}; needed: that"
                         f" of the image, {shape}")
    if seeds.min() < 0 or not seeds.any():
        raise ValueError(f"seeds goes from {seeds.min()} to"
                         f" {seeds.max()}; needed: 0, and more")


def seeded_region_growing(image: np.ndarray, seeds: np.ndarray
                          ) -> np.ndarray:
    """Regions that grow from seeds until they meet.

    Always takes the waiting pixel that is closest to the mean of a
    region beside it; four neighbours.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        Bool, integers or finite floats.
    seeds : (H, W) int array
        0 where nothing is known, else a region's number, above 0 (any,
        255 too). A region may have several seeds, of any shape.

    Returns
    -------
    (H, W) int array
        The number of a region for every pixel, in the dtype of `seeds`.
        Seeds keep theirs; every pixel is connected with a seed of its
        region.

    Raises
    ------
    TypeError, ValueError
        If `image` is no image, or `seeds` is not of its size, not
        whole, negative, or all 0.

    Notes
    -----
    After Adams and Bischof (1994). The distance at which a pixel waits
    is that of the moment in which a region first touches it; equals are
    served in the order of their arrival, the first ones row by row of
    the seeds; of two regions equally close the lower number wins.

    Examples
    --------
    >>> row = np.array([[10, 11, 14, 19, 21, 20]])
    >>> seeded_region_growing(row, np.array([[1, 0, 0, 0, 0, 2]]))
    array([[1, 1, 1, 2, 2, 2]])

    Chapter
    -------
    06 Region growing, "What if seeds compete?".
    """
    vectors, seeds = _vectors(image), np.asarray(seeds)
    _check_seeds(seeds, vectors.shape[:2])
    numbers, labels = np.unique(np.append(0, seeds),
                                return_inverse=True)
    labels = labels[1:].reshape(seeds.shape)
    size = np.bincount(labels.ravel()).astype(float)
    total = np.zeros((len(numbers), vectors.shape[2]))
    np.add.at(total, labels, vectors)
    _grow(vectors, labels, total, size)
    return numbers[labels].astype(seeds.dtype)


def mean_colours(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """An image with each region in its mean colour.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        Bool, integers or finite floats.
    labels : (H, W) int array

    Returns
    -------
    array
        Shape and dtype of `image` (of bool: float); whole numbers are
        rounded.

    Raises
    ------
    TypeError, ValueError
        If `image` is no image, or `labels` is not of its size.

    Examples
    --------
    >>> mean_colours(np.array([[1, 3, 8]]), np.array([[5, 5, 2]]))
    array([[2, 2, 8]])

    Chapter
    -------
    06 Region growing, "What if seeds compete?".
    """
    vectors, image = _vectors(image), np.asarray(image)
    if np.shape(labels) != image.shape[:2]:
        raise ValueError(f"labels has shape {np.shape(labels)};"
                         f" needed: the image's, {image.shape[:2]}")
    _, region = np.unique(labels, return_inverse=True)
    region = region.ravel()
    size = np.bincount(region)
    means = [np.bincount(region, channel.ravel()) / size
             for channel in np.moveaxis(vectors, -1, 0)]
    mean = np.stack(means, axis=-1)[region].reshape(image.shape)
    if image.dtype.kind in "ui":
        return np.rint(mean).astype(image.dtype)
    return mean


# What if nobody plants a seed?
# -----------------------------

def _halve(table, extreme):
    """A table of half the size: the extreme of each four entries."""
    height, width, _ = table.shape
    table = np.pad(table, ((0, height % 2), (0, width % 2), (0, 0)),
                   mode="edge")
    rows = extreme(table[::2], table[1::2])
    return extreme(rows[:, ::2], rows[:, 1::2])


def quadtree(image: np.ndarray, tolerance: float) -> np.ndarray:
    """How large the square block is in which each pixel lies.

    A block is kept whole if its values are at most `tolerance` apart,
    else it is cut in four.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        Bool, integers or finite floats; any size.
    tolerance : float
        0 or more, in the units of `image`; of colours, every channel
        has to keep to it.

    Returns
    -------
    (H, W) int array
        The level n of a pixel's block. Its side is 2**n; it begins at a
        row and a column that are multiples of its side, and may reach
        beyond the image. A larger tolerance never lowers a level.

    Raises
    ------
    TypeError, ValueError
        If `image` is no image, or `tolerance` is negative.

    Notes
    -----
    The splitting of Horowitz and Pavlidis (1976), from the bottom.

    Examples
    --------
    >>> quadtree(np.array([[7, 7, 1, 2], [7, 7, 3, 4]]), tolerance=0)
    array([[1, 1, 0, 0],
           [1, 1, 0, 0]])

    Chapter
    -------
    06 Region growing, "What if nobody plants a seed?".
    """
    low = high = _vectors(image)
    _not_below(0, "tolerance", tolerance)
    (height, width), n = low.shape[:2], 0
    level = np.zeros((height, width), int)
    while max(low.shape[:2]) > 1:
        n, low, high = n + 1, _halve(low, np.minimum), _halve(
            high, np.maximum)
        alike = (high - low <= tolerance).all(axis=-1)
        block = np.ones((2**n, 2**n), bool)
        level[np.kron(alike, block)[:height, :width]] = n
    return level


@njit(cache=True)
def _root(parent, i):
    """Root of a tree; on the way, every second step is shortened."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True)
def _unite(parent, a, b):
    """Make one tree of two, given their roots; the lower root stays."""
    a, b = min(a, b), max(a, b)
    parent[b] = a
    return a


@njit(cache=True)
def _number(parent, labels):
    """Number the trees from 1, in the order of their first pixels."""
    count = 0
    for i in range(parent.size):
        root = _root(parent, i)
        if root == i:
            count += 1
            labels.flat[i] = count
        else:
            labels.flat[i] = labels.flat[root]
    return labels


@njit(cache=True)
def _boxes(vectors, block):
    """Least and greatest value of each block, at its first pixel."""
    low, high = vectors.copy(), vectors.copy()
    for i in range(block.size):
        for c in range(vectors.shape[1]):
            b, value = block[i], vectors[i, c]
            low[b, c] = min(low[b, c], value)
            high[b, c] = max(high[b, c], value)
    return low, high


@njit(cache=True)
def _merge_alike(parent, pairs, low, high, tolerance):
    """Unite pairs, in their order, that are alike together."""
    for k in range(len(pairs)):
        a, b = _root(parent, pairs[k, 0]), _root(parent, pairs[k, 1])
        apart = 0.0
        for c in range(low.shape[1]):
            apart = max(apart, max(high[a, c], high[b, c])
                        - min(low[a, c], low[b, c]))
        if a != b and apart <= tolerance:
            kept = _unite(parent, a, b)
            for c in range(low.shape[1]):
                low[kept, c] = min(low[a, c], low[b, c])
                high[kept, c] = max(high[a, c], high[b, c])


def _touching(blocks):
    """(N, 2) array: the blocks of two pixels side by side, if two."""
    beside = (blocks[:, :-1], blocks[:, 1:]), (blocks[:-1], blocks[1:])
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1)
                            for a, b in beside])
    return pairs[pairs[:, 0] != pairs[:, 1]]


def split_and_merge(image: np.ndarray, tolerance: float) -> np.ndarray:
    """Regions whose values are at most a tolerance apart.

    Splits by `quadtree`, then merges what touches and is alike
    together, the most alike blocks first; four neighbours.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        Bool, integers or finite floats; any size.
    tolerance : float
        0 or more, in the units of `image`; of colours, every channel
        has to keep to it.

    Returns
    -------
    (H, W) int32 array
        Regions from 1, numbered row by row. Each is connected, none is
        wider than the tolerance, and no two that touch could be merged.
        With tolerance 0, that is connected-component labelling.

    Raises
    ------
    TypeError, ValueError
        If `image` is no image, or `tolerance` is negative.

    Notes
    -----
    After Horowitz and Pavlidis (1976).

    Examples
    --------
    >>> split_and_merge(np.array([[1, 2, 9, 9], [2, 1, 9, 2]]), 1)
    array([[1, 1, 2, 2],
           [1, 1, 2, 3]], dtype=int32)

    Chapter
    -------
    06 Region growing, "What if nobody plants a seed?".
    """
    vectors, level = _vectors(image), quadtree(image, tolerance)
    (height, width), (y, x) = level.shape, np.indices(level.shape)
    blocks = (y >> level << level) * width + (x >> level << level)
    low, high = _boxes(vectors.reshape(blocks.size, -1), blocks.ravel())
    pairs = _touching(blocks)
    a, b = pairs.T
    apart = np.maximum(high[a], high[b]) - np.minimum(low[a], low[b])
    order = np.argsort(apart.max(axis=1, initial=0), kind="stable")
    parent = blocks.ravel()
    _merge_alike(parent, pairs[order], low, high, float(tolerance))
    return _number(parent, np.empty(level.shape, np.int32))


# What is a large step?
# ---------------------

_AHEAD = ((0, 1), (1, -1), (1, 0), (1, 1))  # edges 0 to 3 of a pixel
_ONE = 2.0**32                              # a weight of 1


@njit(cache=True)
def _edges(image):
    """All edges as integers: 33 bits of weight, 31 of number."""
    height, width, _ = image.shape
    edges, count = np.empty(4 * height * width, np.uint64), 0
    for y in range(height):
        for x in range(width):
            for n in range(4):
                v, u = y + _AHEAD[n][0], x + _AHEAD[n][1]
                if v < height and 0 <= u < width:
                    weight = np.uint64(_ONE * _apart(image, y, x, v, u))
                    number = np.uint64(4 * (y * width + x) + n)
                    edges[count] = weight << np.uint64(31) | number
                    count += 1
    return edges[:count]


@njit(cache=True)
def _apart(image, y, x, v, u):
    """Euclid's distance of the colours of two pixels."""
    squares = 0.0
    for c in range(image.shape[2]):
        squares += (image[y, x, c] - image[v, u, c])**2
    return np.sqrt(squares)


@njit(cache=True)
def _ends(edge, width):
    """The two pixels of an edge, and its weight."""
    number = np.int64(edge & np.uint64(2**31 - 1))
    dy, dx = _AHEAD[number % 4]
    a, weight = number // 4, np.int64(edge >> np.uint64(31)) / _ONE
    return a, a + dy * width + dx, weight


@njit(cache=True)
def _merge_accepted(edges, parent, size, scale, width):
    """Merge what both sides accept; the number of edges refused."""
    accepts = np.full(parent.size, scale)
    refused = 0
    for edge in edges:
        a, b, weight = _ends(edge, width)
        a, b = _root(parent, a), _root(parent, b)
        if a != b and weight <= min(accepts[a], accepts[b]):
            both = size[a] + size[b]
            kept = _unite(parent, a, b)
            size[kept], accepts[kept] = both, weight + scale / both
        elif a != b:
            edges[refused] = edge
            refused += 1
    return refused


@njit(cache=True)
def _merge_small(edges, parent, size, least, width):
    """Merge along each edge that has a small region at an end."""
    for edge in edges:
        a, b, _ = _ends(edge, width)
        a, b = _root(parent, a), _root(parent, b)
        if a != b and min(size[a], size[b]) < least:
            both = size[a] + size[b]
            size[_unite(parent, a, b)] = both


def graph_merge(image: np.ndarray, scale: float = 100,
                sigma: float = 0.8, min_size: int = 20) -> np.ndarray:
    """Regions that merge as long as both sides find the step small.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        Bool, uint8, uint16, or floats in [0, 1]; fewer than 2**29
        pixels.
    scale : float
        0 or more, in steps of 1/255 times pixels, for every dtype: the
        k of the paper. More makes the regions larger, by and large.
    sigma : float
        0 or more: the standard deviation, in pixels, of the Gaussian
        that smooths the image first.
    min_size : int
        Regions with fewer pixels are given to a neighbour; 1 keeps all.

    Returns
    -------
    (H, W) int32 array
        Regions from 1, numbered row by row; connected, by eight
        neighbours.

    Raises
    ------
    TypeError, ValueError
        If `image` is no such image or a parameter is out of its range.

    Notes
    -----
    Felzenszwalb and Huttenlocher (2004), Algorithm 1. The regions do
    not depend on the order of equally heavy edges; who takes in a small
    region may: then the upper left edge comes first. Weights are cut
    off after 32 binary places. Apart from that, these are the regions
    of `skimage.segmentation.felzenszwalb`, where numbers begin at 0.

    Examples
    --------
    >>> row = np.array([[10, 11, 10, 11, 60, 80, 60, 80]], np.uint8)
    >>> graph_merge(row, scale=60, sigma=0, min_size=1)
    array([[1, 1, 1, 1, 2, 2, 2, 2]], dtype=int32)

    Chapter
    -------
    06 Region growing, "What is a large step?".
    """
    vectors = _vectors(as_float(image))
    _not_below(0, "scale", scale)
    _not_below(0, "sigma", sigma)
    _not_below(1, "min_size", min_size)
    smooth = ndimage.gaussian_filter(vectors, (sigma, sigma, 0))
    height, width, _ = smooth.shape
    edges = np.sort(_edges(smooth))
    parent = np.arange(height * width, dtype=np.int32)
    size = np.ones_like(parent)
    refused = _merge_accepted(edges, parent, size, scale / 255, width)
    _merge_small(edges[:refused], parent, size, min_size, width)
    return _number(parent, np.empty((height, width), np.int32))


# And on horses that nobody drew for us?
# --------------------------------------

def truth_seeds(mask: np.ndarray, where: str = "skeleton"
                ) -> np.ndarray:
    """Seeds that know the truth: to measure what seeds are worth.

    Parameters
    ----------
    mask : (H, W) int array
        Labels from 0, and VOID.
    where : "core" or "skeleton"
        The innermost tenth of each label's pixels; or their middle
        lines, three pixels or more from the outline where possible.

    Returns
    -------
    (H, W) int32 array
        Label + 1 on the seeds of a label, 0 elsewhere and on VOID.

    Raises
    ------
    ValueError
        If `where` is neither.

    Examples
    --------
    >>> truth_seeds(np.array([[0, 0, 0, 1, 1, 1, 1]]), "core")
    array([[1, 0, 0, 0, 0, 0, 2]], dtype=int32)

    Chapter
    -------
    06 Region growing, "And on horses that nobody drew for us?".
    """
    if where not in ("core", "skeleton"):
        raise ValueError(f"where is {where!r}; needed: core, skeleton")
    seeds = np.zeros(mask.shape, np.int32)
    for label in np.unique(mask[mask != VOID]):
        seeds[_inner(mask == label, where)] = label + 1
    return seeds


def _inner(side, where):
    from skimage.morphology import skeletonize
    depth = ndimage.distance_transform_edt(side)
    if where == "core":
        return depth >= np.quantile(depth[side], 0.9)
    lines = skeletonize(side)
    return lines & (depth >= min(3, depth[lines].max()))
