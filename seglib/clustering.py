"""Clustering and superpixels: chapter 07 of the course.

Which pixels belong together, if nobody says what there is to see?

Exported from 07_clustering.py; edit the chapter, not this file.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import config, njit
from scipy import fft, ndimage, sparse

from seglib.display import as_float, outlines

__all__ = [
    "Clusters",
    "kmeans",
    "ColourTable",
    "colour_table",
    "log_sum_exp",
    "GaussianMixture",
    "mean_shift",
    "slic",
    "achievable_accuracy",
    "undersegmentation_error",
    "boundary_recall",
    "texture_features",
]


# What is a pixel without its place?
# ----------------------------------

@njit(cache=True, nogil=True)
def _nearest(points, centres):
    """Each point's nearest centre, and the distance to it squared."""
    n = points.shape[1]
    label, near = np.zeros(n, np.int32), np.full(n, np.inf)
    some = np.empty(1024)               # as many as stay in the cache
    for first in range(0, n, some.size):
        part = slice(first, first + some.size)
        best, mine = near[part], label[part]
        d = some[:best.size]
        for k in range(len(centres)):
            d[:] = 0
            for row, c in zip(points, centres[k]):
                x = row[part]
                for i in range(d.size):
                    d[i] += (x[i] - c)**2
            for i in range(d.size):
                closer = d[i] < best[i]
                best[i] = d[i] if closer else best[i]
                mine[i] = k if closer else mine[i]
    return label, near


@njit(cache=True, nogil=True)
def _means(points, weights, label, centres):
    """Weighted mean of the points of each label."""
    mass, means = np.zeros(len(centres)), np.zeros(centres.shape)
    for i in range(len(label)):
        k = label[i]
        mass[k] += weights[i]
        for j in range(len(points)):
            means[k, j] += weights[i] * points[j, i]
    for k in range(len(centres)):
        means[k] = means[k] / mass[k] if mass[k] > 0 else centres[k]
    return means


def _start(points, weights, clusters, rng):
    """Centres by k-means++, the best of a few draws for each."""
    _at_least_one("clusters", clusters)
    centres = np.empty((clusters, len(points)))
    near = np.full(len(weights), np.inf)
    for k in range(clusters):
        mass = np.cumsum(weights * near if k else weights)
        draws = rng.random(2 + int(np.log(clusters))) * mass[-1]
        picks = np.searchsorted(mass, draws, side="right")
        rivals = points.T[np.minimum(picks, len(mass) - 1)]
        trials = [np.minimum(near, _nearest(points, c[None])[1])
                  for c in np.ascontiguousarray(rivals)]
        best = int(np.argmin([(weights * t).sum() for t in trials]))
        centres[k], near = rivals[best], trials[best]
    return centres


def _columns(points):
    """Points (..., D) as a (D, N) float array."""
    points = np.asarray(points, dtype=float)
    if points.ndim < 2 or points.size == 0:
        raise ValueError(f"points have shape {points.shape}; needed:"
                         " (..., D) with at least one point")
    if not np.isfinite(points.sum()):
        raise ValueError("points hold NaN or infinity;"
                         " needed: finite numbers")
    return np.ascontiguousarray(points.reshape(-1, points.shape[-1]).T)


def _weights(weights, n):
    w = np.ones(n) if weights is None else np.ravel(weights)
    w = w.astype(float)
    if w.size != n or not w.min() >= 0 or not 0 < w.sum() < np.inf:
        raise ValueError(f"weights: {w.size} from {w.min()} to"
                         f" {w.max()}; needed: {n}, finite, none"
                         " negative, not all 0")
    return w


def _at_least_one(name, value):
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} is {value!r}; needed: an integer of"
                         " at least 1")


def _lloyd(points, weights, centres, iterations, tolerance):
    """Both steps in turn, until the centres come to rest."""
    mean = np.average(points, axis=1, weights=weights)[:, None]
    spread = np.average((points - mean)**2, axis=1, weights=weights)
    label, near = _nearest(points, centres)
    inertia = [(weights * near).sum()]
    for _ in range(iterations):
        moved = _means(points, weights, label, centres)
        label, near = _nearest(points, moved)
        inertia.append((weights * near).sum())
        step, centres = ((moved - centres)**2).sum(), moved
        if step <= tolerance * spread.mean():
            break
    return centres, label, np.array(inertia)


class Clusters(NamedTuple):
    """What k-means found.

    Parameters
    ----------
    centres : (K, D) float array
    labels : (...) int32 array
        0..K-1, in the shape of the points without their last axis.
    inertia : (rounds + 1,) float array
        Weighted sum of squared distances at the start and after each
        round; it never rises.

    Chapter
    -------
    07 Clustering and superpixels, "What is a pixel without its place?".
    """

    centres: np.ndarray
    labels: np.ndarray
    inertia: np.ndarray


def kmeans(points: np.ndarray, clusters: int, weights=None, start=None,
           seed: int = 0, iterations: int = 100,
           tolerance: float = 1e-4) -> Clusters:
    """Group points around their means, after Lloyd (1982).

    Parameters
    ----------
    points : (..., D) array
        Finite numbers. An RGB image is (H, W, 3); give a grey one as
        `image[..., None]`.
    clusters : int
        How many, K. Where there are fewer different points, some stay
        empty.
    weights : (...) array, optional
        How often each point counts, 0 or more; default 1.
    start : (K, D) array, optional
        First centres. Default: k-means++ (Arthur and Vassilvitskii
        2007), the best of a few draws for each centre.
    seed : int
        For the draws.
    iterations : int
        At most so many rounds.
    tolerance : float
        Rest when the centres' squared steps add up to no more than this
        share of the mean variance of a coordinate.

    Returns
    -------
    Clusters

    Raises
    ------
    ValueError
        If an argument is not as above.

    Examples
    --------
    >>> kmeans([[10.], [12], [14], [50], [52], [54]], 2).centres.sum()
    np.float64(64.0)

    Chapter
    -------
    07 Clustering and superpixels, "What is a pixel without its place?".
    """
    flat = _columns(points)
    w = _weights(weights, flat.shape[1])
    rng = np.random.default_rng(seed)
    centres = (_start(flat, w, clusters, rng) if start is None
               else np.array(start, dtype=float))
    if centres.shape != (clusters, len(flat)):
        raise ValueError(f"start has shape {centres.shape}; needed:"
                         f" {(clusters, len(flat))}")
    centres, label, inertia = _lloyd(flat, w, centres, iterations,
                                     tolerance)
    return Clusters(centres, label.reshape(np.shape(points)[:-1]),
                    inertia)


# Must we look at every pixel?
# ----------------------------

def _bytes(image):
    """An image as uint8, (H, W, channels)."""
    if np.asarray(image).dtype != np.uint8:
        image = np.rint(as_float(image) * 255).astype(np.uint8)
    image = np.asarray(image)
    image = image[..., None] if image.ndim == 2 else image
    channels = image.shape[2] if image.ndim == 3 else 0
    if channels not in (1, 3) or not image.size:
        raise ValueError(f"image has shape {image.shape}; needed:"
                         " (H, W) or (H, W, 3), not empty")
    return image


class ColourTable(NamedTuple):
    """The colours of an image.

    Parameters
    ----------
    colours : (N, 3) or (N, 1) float array in [0, 1]
        Mean colour of each entry's pixels.
    counts : (N,) int array
        How many pixels each entry has, at least 1.
    index : (H, W) int array
        The entry of each pixel.

    Chapter
    -------
    07 Clustering and superpixels, "Must we look at every pixel?".
    """

    colours: np.ndarray
    counts: np.ndarray
    index: np.ndarray


def colour_table(image: np.ndarray, bits: int = 6) -> ColourTable:
    """The colours that occur in an image, and how often.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        uint8, or float in [0, 1].
    bits : int
        1 to 8. Colours that agree in so many upper bits of every
        channel share an entry; 8 keeps all apart.

    Returns
    -------
    ColourTable

    Raises
    ------
    ValueError
        If `image` is no such array, or `bits` out of range.

    Examples
    --------
    >>> colour_table(np.array([[0, 1, 255]], np.uint8), bits=7).counts
    array([2, 1])

    Chapter
    -------
    07 Clustering and superpixels, "Must we look at every pixel?".
    """
    if bits not in range(1, 9):
        raise ValueError(f"bits is {bits!r}; needed: 1 to 8")
    image, code = _bytes(image), 0
    for channel in np.moveaxis(image, 2, 0):
        code = code << bits | (channel >> (8 - bits)).astype(np.int32)
    present = np.bincount(code.ravel()) > 0
    index = (np.cumsum(present, dtype=np.int32) - 1)[code]
    counts = np.bincount(index.ravel())
    sums = [np.bincount(index.ravel(), channel.ravel())
            for channel in np.moveaxis(image, 2, 0)]
    return ColourTable(np.stack(sums, 1) / counts[:, None] / 255,
                       counts, index)


# What if the clouds are not round?
# ---------------------------------

def _products(points):
    """1, x_i and x_i x_j of each point, a column for a point."""
    i, j = np.triu_indices(len(points))
    return np.vstack([np.ones(points.shape[1]), points,
                      points[i] * points[j]])


def _coefficients(shares, means, covariances):
    """Ten numbers a Gaussian: times `_products`, log(share density)."""
    d = means.shape[1]
    i, j = np.triu_indices(d)
    inverse = np.linalg.inv(covariances)
    slope = np.einsum("kij,kj->ki", inverse, means)
    volume = np.linalg.slogdet(covariances)[1] + d * np.log(2 * np.pi)
    level = np.log(shares) - (volume + (slope * means).sum(1)) / 2
    bend = inverse[:, i, j] * np.where(i == j, -0.5, -1)
    return np.column_stack([level, slope, bend])


def log_sum_exp(values: np.ndarray) -> np.ndarray:
    """Logarithm of a sum of exponentials, over the first axis.

    Parameters
    ----------
    values : (K, ...) array
        Logarithms; -inf stands for 0.

    Returns
    -------
    (...) array

    Examples
    --------
    >>> log_sum_exp(np.array([-1000.0, -1000.0])).round(2)
    np.float64(-999.31)

    Chapter
    -------
    07 Clustering and superpixels, "What if the clouds are not round?".
    """
    top = np.max(values, axis=0)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        return top + np.log(np.exp(values - top).sum(axis=0))


def _maximise(products, belonging, floor):
    """M step: shares, means, covariances of softly split points."""
    sums = belonging @ products.T
    mass = np.maximum(sums[:, :1], np.finfo(float).tiny)
    d = int(np.sqrt(2 * len(products))) - 1     # (d + 1)(d + 2)/2 rows
    means = sums[:, 1:d + 1] / mass
    i, j = np.triu_indices(d)
    square = np.empty((len(mass), d, d))
    square[:, i, j] = square[:, j, i] = sums[:, d + 1:] / mass
    square -= means[:, :, None] * means[:, None, :]
    variances, axes = np.linalg.eigh(square)
    lifted = np.maximum(variances, floor)[:, None]
    covariances = (axes * lifted) @ axes.transpose(0, 2, 1)
    return mass[:, 0] / mass.sum(), means, covariances


def _expect(coefficients, products):
    """E step: log density, and responsibilities (K, N)."""
    joint = coefficients @ products
    density = log_sum_exp(joint)
    return density, np.exp(joint - density)


def _alternate(products, belonging, weights, floor, iterations,
               tolerance):
    """EM from a first split; what it found, and the way there."""
    history = [-np.inf]
    for _ in range(iterations):
        model = _maximise(products, belonging, floor)
        density, split = _expect(_coefficients(*model), products)
        history.append(np.average(density, weights=weights))
        belonging = split * weights
        if history[-1] - history[-2] < tolerance:
            break
    return model, history[1:]


def _first_split(settings, flat, weights, labels):
    """Which point belongs to which component, at first: (K, N)."""
    k = settings.components
    _at_least_one("components", k)
    if not settings.floor > 0:
        raise ValueError(f"floor is {settings.floor}; needed: above 0")
    if labels is None:
        labels = kmeans(flat.T, k, weights, seed=settings.seed).labels
    labels = np.ravel(labels)
    if labels.size != len(weights) or not (
            (labels >= 0) & (labels < k)).all():
        raise ValueError(f"labels: {labels.size} from {labels.min()} to"
                         f" {labels.max()}; needed: {len(weights)} from"
                         f" 0 to {k - 1}")
    return labels == np.arange(k)[:, None]


def _fit(settings, points, weights, labels):
    """Parameters of a mixture for some points, in a dictionary."""
    flat = _columns(points)
    w = _weights(weights, flat.shape[1])
    origin = np.average(flat, axis=1, weights=w)
    flat -= origin[:, None]
    split = _first_split(settings, flat, w, labels)
    least = 1e-8 * np.average(flat**2, axis=1, weights=w).mean()
    (shares, means, covariances), history = _alternate(
        _products(flat), split * w, w, max(settings.floor, least),
        settings.iterations, settings.tolerance)
    return dict(shares=shares, means=means + origin,
                covariances=covariances, history=history)


def _at(mixture, points):
    """Log density (...) and responsibilities (..., K) at points."""
    if not hasattr(mixture, "means"):
        raise ValueError("the mixture has no means yet; needed:"
                         " fit(points) first")
    flat, shape = _columns(points), np.shape(points)[:-1]
    if len(flat) != mixture.means.shape[1]:
        raise ValueError(f"points have {len(flat)} coordinates; needed:"
                         f" {mixture.means.shape[1]}")
    origin = mixture.shares @ mixture.means
    rows = _coefficients(mixture.shares, mixture.means - origin,
                         mixture.covariances)
    density, split = _expect(rows, _products(flat - origin[:, None]))
    return density.reshape(shape), split.T.reshape(*shape, -1)


@dataclass
class GaussianMixture:
    """A density made of Gaussians with full covariances, fitted by EM.

    Parameters
    ----------
    components : int
        How many Gaussians, K.
    floor : float
        No direction of a component has a smaller variance than this, in
        the points' squared units, nor than 1e-8 of the points' own.
    iterations : int
        At most so many rounds of EM.
    tolerance : float
        Rest when a round raises the mean log density by less.
    seed : int
        For the k-means that makes the first split.

    Attributes
    ----------
    shares : (K,) float array
    means : (K, D) float array
    covariances : (K, D, D) float array
    history : list of float
        Weighted mean log density after each round; it never falls.

    Raises
    ------
    ValueError
        If a setting or an array is not as above, or if a mixture is
        asked before it is fitted.

    Notes
    -----
    Dempster, Laird and Rubin (1977). The covariances are the likeliest
    among those that respect the floor.

    Examples
    --------
    >>> mixture = GaussianMixture(2).fit([[0.0], [1], [8], [9]])
    >>> sorted(mixture.means.ravel().round(1).tolist())
    [0.5, 8.5]

    Chapter
    -------
    07 Clustering and superpixels, "What if the clouds are not round?".
    """

    components: int = 5
    floor: float = 1e-6
    iterations: int = 100
    tolerance: float = 1e-3
    seed: int = 0

    def fit(self, points, weights=None, labels=None):
        """Fit to points (..., D), from a first split (...) if given."""
        vars(self).update(_fit(self, points, weights, labels))
        return self

    def log_density(self, points) -> np.ndarray:
        """Logarithm of the density at points (..., D), as (...)."""
        return _at(self, points)[0]

    def responsibilities(self, points) -> np.ndarray:
        """Each component's part in points (..., D), as (..., K)."""
        return _at(self, points)[1]

    def predict(self, points) -> np.ndarray:
        """Most responsible component of points (..., D), as (...)."""
        return self.responsibilities(points).argmax(axis=-1)


# And if nobody knows how many?
# -----------------------------

@njit(cache=True, nogil=True)
def _seen(red, green, blue, first, width, r, g, b, reach, side):
    """Sums over a row's pixels of like colour: 1, x, and the colour."""
    int32 = np.int32
    n = sx = sr = sg = sb = int32(0)
    for x in range(width):
        p, q, s = red[first + x], green[first + x], blue[first + x]
        dr, dg, db = int32(p - r), int32(q - g), int32(s - b)
        d = int32(int32(dr * dr) + int32(dg * dg) + int32(db * db))
        if (d <= reach) & (int32(x) < side):
            n = int32(n + int32(1))
            sx = int32(sx + int32(x))
            sr, sg, sb = int32(sr + p), int32(sg + q), int32(sb + s)
    return n, sx, sr, sg, sb


@njit(cache=True, nogil=True)
def _ascend(red, green, blue, stride, y, x, radius, reach, rounds):
    """Colour of the peak above a pixel, in a picture with margins."""
    here = y * stride + x
    r, g, b = red[here], green[here], blue[here]
    side = np.int32(2 * radius + 1)
    width = np.uintp((side + 15) // 16 * 16)
    for _ in range(rounds):
        n = sy = sx = sr = sg = sb = 0
        for v in range(y - radius, y + radius + 1):
            row = _seen(red, green, blue,
                        np.uintp(v * stride + x - radius), width,
                        r, g, b, reach, side)
            n += row[0]
            sy += row[0] * (v - radius)
            sx += row[1] + row[0] * (x - 2 * radius)
            sr += row[2]
            sg += row[3]
            sb += row[4]
        if n == 0:
            break
        share = 1 / n
        ny = int(np.rint(sy * share)) + radius
        nx = int(np.rint(sx * share)) + radius
        nr = np.int32(np.rint(sr * share))
        ng = np.int32(np.rint(sg * share))
        nb = np.int32(np.rint(sb * share))
        step = abs(ny - y) + abs(nx - x)
        fade = (nr - r)**2 + (ng - g)**2 + (nb - b)**2
        y, x, r, g, b = ny, nx, nr, ng, nb
        if step == 0 or step + fade <= 1:
            break
    return r, g, b


@njit(cache=True, nogil=True)
def _ascend_row(planes, y, radius, reach, rounds, peaks):
    stride, flat = planes.shape[2], planes.reshape(3, -1)
    for x in range(len(peaks)):
        r, g, b = _ascend(flat[0], flat[1], flat[2], stride, y + radius,
                          x + radius, radius, reach, rounds)
        peaks[x, 0], peaks[x, 1], peaks[x, 2] = r, g, b


def _planes(image, radius):
    """Three int32 planes with a margin that no colour is near."""
    planes = np.zeros((3, *image.shape[:2]), np.int32)
    planes[:image.shape[2]] = np.moveaxis(image, 2, 0)
    margin = (0, 0), (radius, radius), (radius, radius + 16)
    return np.pad(planes, margin, constant_values=2**14)


def mean_shift(image: np.ndarray, radius: int = 10, reach: float = 20,
               rounds: int = 5) -> np.ndarray:
    """Give each pixel the colour of the peak that it climbs to.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        uint8, or float in [0, 1] (rounded to 256 levels).
    radius : int
        A window has 2 radius + 1 pixels a side; at least 1.
    reach : float
        Pixels count whose colour is at most so far away (Euclidean, in
        grey levels).
    rounds : int
        At most so many steps.

    Returns
    -------
    uint8 array, in the image's shape

    Raises
    ------
    ValueError
        If an argument is not as above.

    Notes
    -----
    Filtering after Comaniciu and Meer (2002), with a flat kernel in RGB
    and rounding after each step. The same bytes as OpenCV's
    `pyrMeanShiftFiltering(image, radius, reach, maxLevel=0)`.

    Chapter
    -------
    07 Clustering and superpixels, "And if nobody knows how many?".
    """
    _at_least_one("radius", radius)
    _at_least_one("rounds", rounds)
    if not 0 <= reach < np.inf:
        raise ValueError(f"reach is {reach}; needed: 0 or more")
    pixels = _bytes(image)
    planes = _planes(pixels, radius)
    peaks = np.empty((*pixels.shape[:2], 3), np.uint8)
    squared = np.int32(min(reach, 442)**2)
    with ThreadPoolExecutor(config.NUMBA_NUM_THREADS) as pool:
        list(pool.map(lambda y: _ascend_row(
            planes, y, radius, squared, rounds, peaks[y]),
            range(len(peaks))))
    return peaks[..., :pixels.shape[2]].reshape(np.shape(image))


# Can we keep the edges and drop the pixels?
# ------------------------------------------

@njit(cache=True, nogil=True)
def _claim(lab, centres, step, weight, label, near):
    """Each centre takes what is nearest to it in its window."""
    h, w = label.shape
    near[:] = np.inf
    for k in range(len(centres)):
        cy, cx, c0, c1, c2 = centres[k]
        left, right = max(0, int(cx - step)), min(w, int(cx + step) + 1)
        part = slice(left, right)
        for y in range(max(0, int(cy - step)),
                       min(h, int(cy + step) + 1)):
            l, a, b = lab[0, y, part], lab[1, y, part], lab[2, y, part]
            best, mine = near[y, part], label[y, part]
            dy = (y - cy)**2
            for x in range(best.size):
                dx = np.float32(x) + (left - cx)
                d = ((l[x] - c0)**2 + (a[x] - c1)**2 + (b[x] - c2)**2
                     + weight * (dy + dx * dx))
                closer = d < best[x]
                best[x] = d if closer else best[x]
                mine[x] = k if closer else mine[x]


@njit(cache=True, nogil=True)
def _recentre(lab, label, centres):
    """Mean place and colour of each label; empty ones stay."""
    sums = np.zeros((len(centres), 6))
    for y in range(label.shape[0]):
        for x in range(label.shape[1]):
            s = sums[label[y, x]]
            s[0] += y
            s[1] += x
            s[2] += lab[0, y, x]
            s[3] += lab[1, y, x]
            s[4] += lab[2, y, x]
            s[5] += 1
    for k in range(len(centres)):
        if sums[k, 5] > 0:
            centres[k] = (sums[k, :5] / sums[k, 5]).astype(np.float32)


def _grid(shape, segments):
    """Label of each pixel's cell, and how many cells there are."""
    h, w = shape
    rows = min(max(round(np.sqrt(segments * h / w)), 1), h)
    columns = min(max(round(segments / rows), 1), w)
    y, x = np.arange(h) * rows // h, np.arange(w) * columns // w
    cells = y[:, None] * columns + x
    return cells.astype(np.int32), rows * columns


def _neighbours(piece):
    """Pairs of labels that lie side by side, in both orders."""
    pairs = [np.stack([side.ravel() for side in sides]) for sides in (
        (piece[1:], piece[:-1]), (piece[:, 1:], piece[:, :-1]))]
    a, b = np.hstack([p[:, p[0] != p[1]] for p in pairs])
    return np.r_[a, b], np.r_[b, a]


def _choices(piece, size, lab, least):
    """Likest neighbour of each small piece; large ones keep still."""
    colour = np.stack([np.bincount(piece.ravel(), plane.ravel())
                       for plane in lab]) / size
    a, b = _neighbours(piece)
    a, b = a[size[a] < least], b[size[a] < least]
    gap = ((colour[:, a] - colour[:, b])**2).sum(axis=0)
    narrowest = np.full(len(size), np.inf)
    np.minimum.at(narrowest, a, gap)
    choice, hit = np.arange(len(size)), gap == narrowest[a]
    choice[a[hit]] = b[hit]
    return choice


def _join_small(piece, lab, least):
    """Every piece below `least` pixels joins its likest neighbour."""
    size = np.bincount(piece.ravel())
    while size.min() < least and len(size) > 1:
        pairs = np.arange(len(size)), _choices(piece, size, lab, least)
        joins = sparse.coo_array((size, pairs), (len(size), len(size)))
        piece = sparse.csgraph.connected_components(joins)[1][piece]
        size = np.bincount(piece.ravel())
    return piece.astype(np.int32)


def _lab(image):
    """(3, H, W) float32 in Lab; a grey image has lightness only."""
    from skimage.color import rgb2lab
    image = as_float(image)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"image has shape {image.shape}; needed:"
                         " (H, W) or (H, W, 3), not empty")
    return np.ascontiguousarray(np.moveaxis(rgb2lab(image), 2, 0))


def _rounds(lab, label, count, compactness, iterations):
    """k-means from a grid, each centre in its own window."""
    step = np.sqrt(label.size / count)
    weight = np.float32((compactness / step)**2)
    near = np.empty(label.shape, np.float32)
    centres = np.zeros((count, 5), np.float32)
    _recentre(lab, label, centres)
    for _ in range(iterations):
        _claim(lab, centres, np.float32(step), weight, label, near)
        _recentre(lab, label, centres)
    return label


def slic(image: np.ndarray, segments: int = 250,
         compactness: float = 10, iterations: int = 10) -> np.ndarray:
    """Superpixels: small connected regions of one colour.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        uint8, or float in [0, 1].
    segments : int
        About how many.
    compactness : float
        Above 0. How large a difference in Lab weighs as much as one
        grid step; 1 to 40 are in use, more gives squares.
    iterations : int
        Rounds of k-means.

    Returns
    -------
    (H, W) int32 array
        0, 1, ...; each label is one 4-connected region.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as above.

    Notes
    -----
    Achanta et al. (2012). Pieces smaller than a quarter of a grid cell
    join the neighbour of the nearest colour.

    Examples
    --------
    >>> slic(np.array([[0, 0, 255, 255]], np.uint8), 2)
    array([[0, 0, 1, 1]], dtype=int32)

    Chapter
    -------
    07 Clustering and superpixels, "Can we keep the edges and drop the pixels?".
    """
    from skimage.measure import label as pieces
    _at_least_one("segments", segments)
    _at_least_one("iterations", iterations)
    if not 0 < compactness < np.inf:
        raise ValueError(f"compactness is {compactness};"
                         " needed: above 0")
    lab = _lab(image)
    label, count = _grid(lab.shape[1:], segments)
    _rounds(lab, label, count, compactness, iterations)
    piece = pieces(label, background=-1, connectivity=1) - 1
    return _join_small(piece, lab, label.size / count / 4)


# How good can regions be, if nobody has named them?
# --------------------------------------------------

def _shared(superpixels, target, void):
    """Pixels that each superpixel has in common with each region."""
    s, t = np.asarray(superpixels), np.asarray(target)
    if s.shape != t.shape or s.ndim != 2 or {s.dtype.kind,
                                             t.dtype.kind} - set("bui"):
        raise ValueError(f"superpixels are {s.shape} {s.dtype}, target"
                         f" {t.shape} {t.dtype}; needed: two integer"
                         " arrays (H, W)")
    known = np.ones(s.shape, bool) if void is None else ~void
    if not known.any():
        raise ValueError("every pixel is void; needed: one that counts")
    s = np.unique(s[known], return_inverse=True)[1]
    names, t = np.unique(t[known], return_inverse=True)
    return np.bincount(s * len(names) + t, minlength=(
        s.max() + 1) * len(names)).reshape(-1, len(names))


def achievable_accuracy(superpixels, target, void=None) -> float:
    """Pixel accuracy if each superpixel gets its most frequent label.

    Parameters
    ----------
    superpixels, target : (H, W) integer arrays
    void : (H, W) bool array, optional
        Pixels that do not count, such as `target == VOID`.

    Returns
    -------
    float in [0, 1]
        No labelling of these superpixels is more accurate.

    Raises
    ------
    ValueError
        If the arrays differ in shape, or every pixel is void.

    Notes
    -----
    The achievable segmentation accuracy of Liu et al. (2011).

    Examples
    --------
    >>> achievable_accuracy(np.array([[0, 0, 0, 1]]),
    ...                     np.array([[5, 5, 9, 9]]))
    0.75

    Chapter
    -------
    07 Clustering and superpixels, "How good can regions be, if nobody has named them?".
    """
    shared = _shared(superpixels, target, void)
    return float(shared.max(axis=1).sum() / shared.sum())


def undersegmentation_error(superpixels, target, void=None) -> float:
    """How much superpixels leak over the borders of regions.

    Parameters
    ----------
    superpixels, target : (H, W) integer arrays
    void : (H, W) bool array, optional
        Pixels that do not count.

    Returns
    -------
    float, 0 or more
        Sum over superpixels and the regions they touch of the smaller
        part, inside or outside, as a share of the pixels.

    Raises
    ------
    ValueError
        As `achievable_accuracy`.

    Notes
    -----
    The form of Neubert and Protzel (2012).

    Examples
    --------
    >>> undersegmentation_error(np.array([[0, 0, 0, 1]]),
    ...                         np.array([[5, 5, 9, 9]]))
    0.5

    Chapter
    -------
    07 Clustering and superpixels, "How good can regions be, if nobody has named them?".
    """
    shared = _shared(superpixels, target, void)
    outside = shared.sum(axis=1, keepdims=True) - shared
    return float(np.minimum(shared, outside).sum() / shared.sum())


def boundary_recall(superpixels, target, tolerance: float = 2) -> float:
    """Share of the target's border with a superpixel's border nearby.

    Parameters
    ----------
    superpixels, target : (H, W) integer arrays
    tolerance : float
        In pixels, inclusive.

    Returns
    -------
    float in [0, 1]
        nan where the target has no border.

    Raises
    ------
    ValueError
        If the arrays differ in shape.

    Examples
    --------
    >>> boundary_recall(np.array([[0, 0, 0, 0, 1]]),
    ...                 np.array([[0, 1, 1, 1, 1]]), tolerance=1)
    0.0

    Chapter
    -------
    07 Clustering and superpixels, "How good can regions be, if nobody has named them?".
    """
    if np.shape(superpixels) != np.shape(target):
        raise ValueError(f"superpixels have shape"
                         f" {np.shape(superpixels)}, target"
                         f" {np.shape(target)}; needed: the same")
    found, drawn = outlines(superpixels), outlines(target)
    if not drawn.any():
        return float("nan")
    if not found.any():
        return 0.0
    away = ndimage.distance_transform_edt(~found)
    return float(np.mean(away[drawn] <= tolerance))


# What can colour never tell?
# ---------------------------

def _spectrum(image, pad):
    """Fourier transform of a grey image, mirrored at its border."""
    grey = as_float(image)
    grey = grey.mean(axis=2) if grey.ndim == 3 else grey
    if grey.ndim != 2 or not grey.size:
        raise ValueError(f"image has shape {np.shape(image)}; needed:"
                         " (H, W) or (H, W, 3), not empty")
    return fft.fft2(np.pad(grey - grey.mean(), pad, "symmetric"))


def _gabor(spectrum, wavelength, angle):
    """Strength of a wave at every pixel, from an image's spectrum."""
    fy = fft.fftfreq(spectrum.shape[0])[:, None]
    fx = fft.fftfreq(spectrum.shape[1])
    off = ((fx - np.cos(angle) / wavelength)**2
           + (fy - np.sin(angle) / wavelength)**2)
    bell = np.exp(-2 * (np.pi * 0.56 * wavelength)**2 * off)
    return np.abs(fft.ifft2(spectrum * bell))


def texture_features(image: np.ndarray, wavelengths=(4, 8, 16),
                     orientations: int = 4) -> np.ndarray:
    """How strongly an image waves, at each pixel and in each direction.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        uint8, or float in [0, 1]; of colours the mean is used.
    wavelengths : sequence of float
        In pixels, 2 or more.
    orientations : int
        How many directions, evenly spaced; the first waves along x.

    Returns
    -------
    (H, W, len(wavelengths) * orientations) float32 array
        Magnitudes of Gabor filters of about one octave, smoothed over
        one and a half wavelengths; the directions of the first
        wavelength come first.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as above.

    Notes
    -----
    After Jain and Farrokhnia (1991), with complex filters instead of
    real ones behind a sigmoid. The image is mirrored at its border.

    Chapter
    -------
    07 Clustering and superpixels, "What can colour never tell?".
    """
    _at_least_one("orientations", orientations)
    if not len(wavelengths) or not 2 <= min(wavelengths) < np.inf:
        raise ValueError(f"wavelengths are {wavelengths};"
                         " needed: at least one, each 2 or more")
    pad = int(np.ceil(2 * max(wavelengths)))
    spectrum = _spectrum(image, pad)
    inside = np.s_[pad:-pad, pad:-pad]
    angles = np.arange(orientations) * np.pi / orientations
    return np.stack([ndimage.gaussian_filter(
        _gabor(spectrum, length, angle)[inside], 1.5 * length)
        for length in wavelengths for angle in angles], axis=-1
    ).astype(np.float32)
