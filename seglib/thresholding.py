"""Thresholding: chapter 04 of the course.

Which grey value separates a thing from its ground?

Exported from 04_thresholding.py; edit the chapter, not this file.
"""

import numpy as np
from numba import njit
from scipy.ndimage import generate_binary_structure, label

__all__ = [
    "histogram",
    "otsu",
    "multi_otsu",
    "triangle",
    "li",
    "printed_page",
    "best_threshold",
    "integral_image",
    "local_mean_std",
    "niblack",
    "sauvola",
    "hysteresis",
]


# What does a histogram keep?
# ---------------------------

def histogram(image: np.ndarray, least: int = 1):
    """Grey values of an image, and how many pixels have each.

    Parameters
    ----------
    image : (H, W) array
        Bool, integers (at most 65536 from the darkest to the
        brightest), or finite floats.
    least : int
        How many different grey values the caller needs.

    Returns
    -------
    count : (N,) int array
    grey : (N,) array
        From the darkest to the brightest pixel. Integers: every value
        between the two. Floats: the centres of 256 equal bins, the
        same as in `skimage.exposure.histogram`.

    Raises
    ------
    TypeError, ValueError
        If `image` is not such an array, is empty, or holds NaN.
    ValueError
        If it has fewer than `least` different grey values.

    Examples
    --------
    >>> histogram(np.array([[7, 9], [9, 9]], dtype=np.uint8))
    (array([1, 0, 3]), array([7, 8, 9]))

    Chapter
    -------
    04 Thresholding, "What does a histogram keep?".
    """
    image = _grey_image(image)
    low, high = image.min(), image.max()
    if low == high:
        count, grey = np.array([image.size]), np.array([low])
    elif image.dtype.kind == "f":
        count, edges = np.histogram(image, bins=256)
        grey = (edges[:-1] + edges[1:]) / 2
    else:
        count, grey = _count_integers(image, int(low), int(high))
    if (different := np.count_nonzero(count)) < least:
        raise ValueError(
            f"image has {different} different grey value(s), {low} to"
            f" {high}; needed: at least {least}")
    return count, grey


def _count_integers(image, low, high):
    if high - low >= 2**16:
        raise ValueError(f"image has integers from {low} to {high};"
                         " needed: at most 65536 steps, or floats")
    if image.dtype.itemsize > 2:
        image = image.astype(np.int64)
    grey = np.arange(low, high + 1)
    return _tally(image, low, len(grey)), grey


@njit(cache=True)
def _tally(image, low, length):
    count = np.zeros(length, np.int64)
    for row in image:
        for value in row:
            count[value - low] += 1
    return count


def _grey_image(image):
    """`image` as an array, once it is known to be a grey image."""
    image = np.asarray(image)
    if image.dtype.kind not in "buif":
        raise TypeError(f"image has dtype {image.dtype};"
                        " needed: bool, integers or floats")
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"image has shape {image.shape};"
                         " needed: (H, W) with at least one pixel")
    if not np.isfinite([image.min(), image.max()]).all():
        raise ValueError("image holds NaN or infinity;"
                         " needed: finite grey values")
    return image.astype(np.uint8) if image.dtype == bool else image


# Where should the line be drawn?
# -------------------------------

def otsu(image: np.ndarray) -> int | float:
    """Grey value that best splits an image in two, after Otsu (1979).

    Parameters
    ----------
    image : (H, W) array
        As for `histogram`, with two different grey values or more.

    Returns
    -------
    int or float
        The threshold t, float for a float image. `image <= t` is the
        dark side, `image > t` the bright one; neither is empty.

    Raises
    ------
    TypeError, ValueError
        As `histogram`; a constant image has no threshold.

    Notes
    -----
    Maximises the variance between the classes. Among grey values that
    do equally well it takes the lowest.

    Examples
    --------
    >>> otsu(np.array([[10, 12, 14, 50, 52, 54]], dtype=np.uint8))
    14

    Chapter
    -------
    04 Thresholding, "Where should the line be drawn?".
    """
    count, grey = histogram(image, least=2)
    pixels = np.cumsum(count)
    summed = np.cumsum(count * np.arange(len(count)))
    n0, n1 = pixels[:-1], pixels[-1] - pixels[:-1]
    s0, s1 = summed[:-1], summed[-1] - summed[:-1]
    between = n0 * n1 * (s0 / n0 - s1 / n1)**2
    return grey[_first_best(between)].item()


def _first_best(score):
    """Position of the largest score; the first one, up to rounding."""
    return int(np.argmax(score >= score.max() * (1 - 1e-12)))


# What if there are more than two?
# --------------------------------

def _one_class_more(best, pixels, summed):
    """Best score of each prefix with a class more, and its start."""
    score = np.full(len(best), -np.inf)
    start = np.zeros(len(best), dtype=int)
    for j in range(1, len(best)):
        s, n = summed[j] - summed[:j], pixels[j] - pixels[:j]
        trial = best[:j] + s * (s / n)
        start[j], score[j] = _first_best(trial), trial.max()
    return score, start


def multi_otsu(image: np.ndarray, classes: int = 3) -> np.ndarray:
    """Grey values that best split an image in several classes.

    Otsu's criterion for any number of classes, solved exactly by
    dynamic programming in O(classes N^2) for N occupied grey values.

    Parameters
    ----------
    image : (H, W) array
        As for `histogram`, with at least `classes` grey values.
    classes : int
        2 or more.

    Returns
    -------
    (classes - 1,) array
        Ascending thresholds, float for a float image. Label the pixels
        with `np.digitize(image, thresholds, right=True)`.

    Raises
    ------
    TypeError, ValueError
        As `histogram`, or if `classes` is not an integer above 1.

    Notes
    -----
    The criterion is that of Otsu (1979), extended to several classes as
    in Liao, Chen and Chung (2001). Among splits that do equally well it
    takes the lowest thresholds.

    Examples
    --------
    >>> multi_otsu(np.array([[1, 2, 8, 9, 20, 21]]), 3)
    array([2, 9])

    Chapter
    -------
    04 Thresholding, "What if there are more than two?".
    """
    if not isinstance(classes, (int, np.integer)) or classes < 2:
        raise ValueError(f"classes is {classes!r}; needed: 2 or more")
    count, grey = histogram(image, least=classes)
    used = np.flatnonzero(count)
    pixels = np.append(0, np.cumsum(count[used]))
    summed = np.append(0, np.cumsum(count[used] * used))
    best, starts = np.where(pixels == 0, 0, -np.inf), []
    for _ in range(classes):
        best, start = _one_class_more(best, pixels, summed)
        starts.append(start)
    cuts = [len(used)]
    for start in starts[:0:-1]:
        cuts.append(start[cuts[-1]])
    return grey[used[np.array(cuts[:0:-1]) - 1]]


# What if one side is tiny?
# -------------------------

def triangle(image: np.ndarray) -> int | float:
    """Grey value at the foot of the peak, after Zack et al. (1977).

    For images where one side has nearly all pixels.

    Parameters
    ----------
    image : (H, W) array
        As for `histogram`, with two different grey values or more.

    Returns
    -------
    int or float
        The threshold; `image <= t` is the dark side. Where the longer
        tail is but one step, at the right, t is the brightest value.

    Raises
    ------
    TypeError, ValueError
        As `histogram`.

    Examples
    --------
    >>> triangle(np.array([[0] * 50 + [1] * 9 + [2, 3, 4, 5, 6]]))
    1

    Chapter
    -------
    04 Thresholding, "What if one side is tiny?".
    """
    count, grey = histogram(image, least=2)
    peak, last = int(count.argmax()), len(count) - 1
    longer_right = last - peak > peak
    if longer_right:                    # walk from the far end inwards
        count, peak = count[::-1], last - peak
    below = count[peak] * np.arange(peak) - peak * count[:peak]
    foot = int(below.argmax())
    return grey[last - foot if longer_right else foot].item()


def li(image: np.ndarray) -> float:
    """Grey value of least cross-entropy, after Li and Lee (1993).

    Parameters
    ----------
    image : (H, W) array
        As for `histogram`, with two different grey values or more.

    Returns
    -------
    float
        The threshold; `image <= t` is the dark side.

    Raises
    ------
    TypeError, ValueError
        As `histogram`.

    Notes
    -----
    The iteration of Li and Tam (1998), from the mean of the image, with
    grey values counted from the darkest pixel. It ends when a step is
    below half the smallest difference of grey values, at a maximum near
    the mean, which need not be the highest.

    Examples
    --------
    >>> round(li(np.array([[0, 1, 2, 50, 51, 52]])), 1)
    12.7

    Chapter
    -------
    04 Thresholding, "What if one side is tiny?".
    """
    count, grey = histogram(image, least=2)
    if np.asarray(image).dtype.kind == "f":     # keep every float
        grey, count = np.unique(image, return_counts=True)
    above = grey.astype(float) - grey[0]
    pixels, summed = np.cumsum(count), np.cumsum(count * above)
    step, last = np.diff(above).min() / 2, -np.inf
    t = summed[-1] / pixels[-1]
    while abs(t - last) > step:
        last, split = t, np.searchsorted(above, t, side="right") - 1
        n0, s0 = pixels[split], summed[split]
        if s0 == 0:                         # the dark side is all 0
            break
        t = _log_mean(s0 / n0, (summed[-1] - s0) / (pixels[-1] - n0))
    return float(t + grey[0])


def _log_mean(dark, bright):
    return (bright - dark) / (np.log(bright) - np.log(dark))


# When must one number fail?
# --------------------------

_INK, _PAPER = 60, 200
_BARS = ((0, 0, 2, 8), (5, 0, 2, 8), (10, 0, 2, 8),     # y, x, h, w
         (0, 0, 7, 2), (0, 6, 7, 2), (5, 0, 7, 2), (5, 6, 7, 2))


def _script(rng):
    ink = np.zeros((230, 336), dtype=bool)
    for top in range(10, 210, 22):
        for left in range(12, 324, 12):
            letter = rng.random() > 0.15        # else a space
            for y, x, h, w in _BARS:
                bar = letter and rng.random() < 0.55
                ink[top + y:, left + x:][:h, :w] |= bar
    return ink


def printed_page(gradient: float = 0.0, noise: float = 5.0,
                 seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A page in an unknown script under uneven light, and its true ink.

    Parameters
    ----------
    gradient : float
        How much light is lost on the way from the upper left to the
        lower right corner: 0 (none) to 1 (all).
    noise : float
        Standard deviation of the camera's noise, in grey values.
    seed : int
        Another seed writes another page.

    Returns
    -------
    image : (230, 336) uint8 array
    ink : (230, 336) bool array

    Raises
    ------
    ValueError
        If `gradient` is not within [0, 1].

    Chapter
    -------
    04 Thresholding, "When must one number fail?".
    """
    if not 0 <= gradient <= 1:
        raise ValueError(f"gradient is {gradient}; needed: 0 to 1")
    rng = np.random.default_rng(seed)
    ink = _script(rng)
    y, x = np.indices(ink.shape)
    light = 1 - gradient * (y / ink.shape[0] + x / ink.shape[1]) / 2
    grey = np.where(ink, _INK, _PAPER) * light
    grey += rng.normal(0, noise, ink.shape)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8), ink


def best_threshold(image: np.ndarray, dark: np.ndarray) -> int:
    """Threshold of the highest F-measure, found by knowing the truth.

    Not a method but a bound: no global threshold does better.

    Parameters
    ----------
    image : (H, W) uint8 or uint16 array
    dark : (H, W) bool array
        The true dark side.

    Returns
    -------
    int
        The threshold t for which `image <= t` comes closest to `dark`.

    Chapter
    -------
    04 Thresholding, "When must one number fail?".
    """
    length = int(image.max()) + 1
    hits = np.cumsum(np.bincount(image[dark], minlength=length))
    marked = np.cumsum(np.bincount(image.ravel(), minlength=length))
    return int(np.argmax(2 * hits / (marked + dark.sum())))


# How do we add up every window at once?
# --------------------------------------

def integral_image(image: np.ndarray) -> np.ndarray:
    """Sums of all pixels above and to the left of every corner.

    Parameters
    ----------
    image : (H, W) array

    Returns
    -------
    (H + 1, W + 1) float64 array
        Entry (y, x) is `image[:y, :x].sum()`; the first row and column
        are zero.

    Examples
    --------
    >>> integral_image(np.array([[1, 2], [3, 4]]))
    array([[ 0.,  0.,  0.],
           [ 0.,  1.,  3.],
           [ 0.,  4., 10.]])

    Chapter
    -------
    04 Thresholding, "How do we add up every window at once?".
    """
    image = np.asarray(image)
    table = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    inner = table[1:, 1:]
    np.cumsum(image, axis=0, out=inner)
    np.cumsum(inner, axis=1, out=inner)
    return table


@njit(cache=True)
def _two_tables(image, rows, columns, offset):
    """Integral images of `image - offset` and of its square."""
    table = np.zeros((2, len(rows) + 1, len(columns) + 1))
    for y in range(len(rows)):
        total = squares = 0.0
        for x in range(len(columns)):
            value = image[rows[y], columns[x]] - offset
            total += value
            squares += value * value
            table[0, y + 1, x + 1] = table[0, y, x + 1] + total
            table[1, y + 1, x + 1] = table[1, y, x + 1] + squares
    return table


@njit(cache=True)
def _look_up(table, size):
    """Mean and deviation of every window, four corners each."""
    height, width = table.shape[1] - size, table.shape[2] - size
    mean, std = np.empty((height, width)), np.empty((height, width))
    for y in range(height):
        for x in range(width):
            below, right = y + size, x + size
            m = (table[0, below, right] - table[0, y, right]
                 - table[0, below, x] + table[0, y, x]) / size**2
            q = (table[1, below, right] - table[1, y, right]
                 - table[1, below, x] + table[1, y, x]) / size**2
            mean[y, x], std[y, x] = m, np.sqrt(max(q - m * m, 0.0))
    return mean, std


def local_mean_std(image: np.ndarray, window_size: int):
    """Mean and standard deviation in a square window around each pixel.

    Two integral images, so the window's size costs nothing.

    Parameters
    ----------
    image : (H, W) array
        As for `histogram`; beyond its border it continues as its mirror
        image (the border pixels are not repeated).
    window_size : int
        Side of the window in pixels, odd.

    Returns
    -------
    mean, std : (H, W) float64 arrays
        In the grey values of `image`.

    Raises
    ------
    TypeError, ValueError
        If `image` is no grey image, or `window_size` not odd.

    Chapter
    -------
    04 Thresholding, "How do we add up every window at once?".
    """
    image, size = _grey_image(image), _odd(window_size)
    offset = image.mean(dtype=float)
    if image.dtype.kind != "f":
        offset = np.rint(offset)
    if image.dtype != np.uint8:         # two machine codes are enough
        image = image.astype(float)
    rows, columns = (np.pad(np.arange(n), size // 2, mode="reflect")
                     for n in image.shape)
    table = _two_tables(image, rows, columns, offset)
    mean, std = _look_up(table, size)
    mean += offset
    return mean, std


def _odd(size):
    whole = isinstance(size, (int, np.integer))
    if not whole or size < 1 or size % 2 == 0:
        raise ValueError(f"window_size is {size!r};"
                         " needed: an odd integer, 1 or more")
    return int(size)


# How far below its surroundings is ink?
# --------------------------------------

def niblack(image: np.ndarray, window_size: int = 15,
            k: float = 0.2) -> np.ndarray:
    """A threshold for every pixel: local mean - k local deviations.

    Parameters
    ----------
    image : (H, W) array
        As for `histogram`; a constant image is its own threshold.
    window_size : int
        Side of the window in pixels, odd; larger than what is sought.
    k : float
        Positive for dark things on a bright ground.

    Returns
    -------
    (H, W) float64 array
        The surface T; `image <= T` is dark.

    Raises
    ------
    TypeError, ValueError
        As `local_mean_std`.

    Notes
    -----
    After Niblack (1986), *An Introduction to Digital Image Processing*.

    Chapter
    -------
    04 Thresholding, "How far below its surroundings is ink?".
    """
    mean, std = local_mean_std(image, window_size)
    return mean - k * std


def sauvola(image: np.ndarray, window_size: int = 15, k: float = 0.2,
            r: float | None = None) -> np.ndarray:
    """A threshold for every pixel that sinks where contrast is low.

    Parameters
    ----------
    image : (H, W) array
        As for `histogram`, floats in [0, 1]; dark things on a bright
        ground. A constant image lies above its threshold.
    window_size : int
        Side of the window in pixels, odd; larger than what is sought.
    k : float
        0 to 1: how much darker than blank paper ink has to be.
    r : float, optional
        Largest standard deviation: half the range of the dtype (127.5
        for uint8) or, for bool and floats, 0.5.

    Returns
    -------
    (H, W) float64 array
        The surface T; `image <= T` is dark.

    Raises
    ------
    TypeError, ValueError
        As `local_mean_std`, or if `r` is not above 0.

    Notes
    -----
    After Sauvola and Pietikäinen (2000), computed as in Shafait,
    Keysers and Breuel (2008).

    Chapter
    -------
    04 Thresholding, "How far below its surroundings is ink?".
    """
    mean, std = local_mean_std(image, window_size)
    if r is None:
        dtype = np.asarray(image).dtype
        r = (0.5 if dtype.kind in "bf" else
             (np.iinfo(dtype).max - int(np.iinfo(dtype).min)) / 2)
    if not r > 0:
        raise ValueError(f"r is {r}; needed: a number above 0")
    return mean * (1 + k * (std / r - 1))


# Who vouches for a faint pixel?
# ------------------------------

def hysteresis(image: np.ndarray, low, high,
               connectivity: int = 1) -> np.ndarray:
    """Pixels above `low` that hang together with one above `high`.

    Parameters
    ----------
    image : (H, W) array
        As for `histogram`.
    low, high : numbers, or (H, W) arrays
        `low <= high` at every pixel.
    connectivity : int
        Pixels hang together over their 4 direct neighbours (1), or
        over the diagonal ones too (2).

    Returns
    -------
    (H, W) bool array

    Raises
    ------
    TypeError, ValueError
        If `image` is no grey image, `low` is above `high` somewhere, or
        `connectivity` is neither 1 nor 2.

    Notes
    -----
    As in the edge detector of Canny (1986).

    Examples
    --------
    >>> hysteresis(np.array([[0, 5, 9, 5, 0, 5, 0]]), 4, 8).astype(int)
    array([[0, 1, 1, 1, 0, 0, 0]])

    Chapter
    -------
    04 Thresholding, "Who vouches for a faint pixel?".
    """
    image = _grey_image(image)
    if not np.all(np.asarray(low) <= high):
        raise ValueError("low is above high; needed: low <= high"
                         " at every pixel")
    if connectivity not in (1, 2):
        raise ValueError(f"connectivity is {connectivity};"
                         " needed: 1 or 2")
    pieces, number = label(
        image > low, generate_binary_structure(2, connectivity))
    vouched = np.zeros(number + 1, dtype=bool)
    vouched[pieces[image > high]] = True
    return vouched[pieces]
