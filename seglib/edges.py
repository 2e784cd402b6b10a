"""Edges, contours, watershed: chapter 05 of the course.

Where does one thing end and the next begin?

Exported from 05_edges.py; edit the chapter, not this file.
"""

import numpy as np
from numba import njit
from scipy import ndimage

from seglib.display import as_float
from seglib.thresholding import hysteresis, otsu

__all__ = [
    "heap_of_coins",
    "gradients",
    "thin",
    "canny",
    "active_contour",
    "chan_vese",
    "distance_transform",
    "watershed",
    "peaks",
    "split_touching",
]


# Which line did we not draw?
# ---------------------------

def heap_of_coins(overlap: float = 0.1, noise: float = 6.0,
                  number: int = 12, seed: int = 0):
    """Bright coins that touch, and which pixel is whose.

    Parameters
    ----------
    overlap : float
        How far a coin is pushed over its neighbour, in radii of the
        smaller one: 0 (they touch) to 1 (its centre is at the rim).
    noise : float
        Standard deviation of the camera's noise, in grey values.
    number : int
        How many coins.
    seed : int
        Another seed heaps them up otherwise.

    Returns
    -------
    image : (220, 300) uint8 array
    coins : (220, 300) int32 array
        0 is cloth, 1 ... `number` are the coins.

    Raises
    ------
    ValueError
        If `overlap` is not within [0, 1].

    Chapter
    -------
    05 Edges, contours, watershed, "Which line did we not draw?".
    """
    if not 0 <= overlap <= 1:
        raise ValueError(f"overlap is {overlap}; needed: 0 to 1")
    rng = np.random.default_rng(seed)
    placed = [(110.0, 150.0, rng.uniform(18, 26))]
    while len(placed) < number:
        radius, turn = rng.uniform(18, 26), rng.uniform(0, 2 * np.pi)
        y, x, r = placed[rng.integers(len(placed))]
        away = r + radius - overlap * min(r, radius)
        y, x = y + away * np.sin(turn), x + away * np.cos(turn)
        inside = 30 < y < 190 and 30 < x < 270
        if inside and _has_room((y, x, radius), placed, overlap):
            placed.append((y, x, radius))
    return _photograph(placed, rng.normal(0, noise, (220, 300)))


def _has_room(coin, placed, overlap):
    y, x, radius = coin
    return all(np.hypot(y - v, x - u) > r + radius
               - overlap * min(r, radius) - 1e-6 for v, u, r in placed)


def _photograph(placed, noise):
    y, x = np.indices(noise.shape)
    depth = np.array([1 - np.hypot(y - v, x - u) / r
                      for v, u, r in placed])
    coins = np.where(depth.max(axis=0) > 0, depth.argmax(axis=0) + 1, 0)
    grey = np.where(coins > 0, 170, 70) + noise
    grey = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    return grey, coins.astype(np.int32)


# Where do grey values change?
# ----------------------------

def gradients(image: np.ndarray, sigma: float = 1.0):
    """Slope of a grey image down the rows and along them.

    Parameters
    ----------
    image : (H, W) array
        Bool, uint8, uint16, or float within [0, 1].
    sigma : float
        Scale in pixels: standard deviation of the Gaussian that blurs
        the image first; 0 does not blur.

    Returns
    -------
    dy, dx : (H, W) float64 arrays
        Grey values (0 to 1) per pixel; positive where it gets brighter
        towards larger y and x.

    Raises
    ------
    TypeError, ValueError
        If the image is not such an array or is empty, or `sigma` is
        below 0.

    Notes
    -----
    Sobel's filter divided by 8, so that a ramp that rises by 0.1 per
    pixel has the slope 0.1. At the border the image goes on as its
    outermost pixels.

    Examples
    --------
    >>> gradients(np.array([[0, 0.1, 0.2]]), sigma=0)[1].round(2)
    array([[0.05, 0.1 , 0.05]])

    Chapter
    -------
    05 Edges, contours, watershed, "Where do grey values change?".
    """
    image = _grey(image)
    if not sigma >= 0:
        raise ValueError(f"sigma is {sigma}; needed: 0 or more")
    if sigma > 0:
        image = ndimage.gaussian_filter(image, sigma, mode="nearest")
    return tuple(ndimage.sobel(image, axis, mode="nearest") / 8
                 for axis in (0, 1))


def _grey(image):
    """A grey image in float64, from 0 to 1."""
    return _plane(as_float(image), "image", "f").astype(float)


def _plane(array, name, kinds, shape=None):
    """An (H, W) array, finite and of one of the kinds of numbers."""
    array = np.asarray(array)
    if array.dtype.kind not in kinds:
        raise TypeError(f"{name} has dtype {array.dtype}; needed: bool,"
                        " integers" + " or floats" * ("f" in kinds))
    if array.ndim != 2 or not array.size or array.shape != (
            shape or array.shape):
        raise ValueError(f"{name} has shape {array.shape}; needed:"
                         f" {shape or '(H, W), at least one pixel'}")
    if not np.isfinite([array.min(), array.max()]).all():
        raise ValueError(f"{name} holds NaN or infinity;"
                         " needed: finite values")
    return array


# How thin can a ring be?
# -----------------------

@njit(cache=True, error_model="numpy")
def _ridges(slope, dy, dx, thin):
    """Copy to `thin` what is highest along its own gradient."""
    for y in range(1, slope.shape[0] - 1):
        for x in range(1, slope.shape[1] - 1):
            v, u = 1 if dy[y, x] > 0 else -1, 1 if dx[y, x] > 0 else -1
            down, along = abs(dy[y, x]), abs(dx[y, x])
            if down > along:
                w = along / down
                ahead, behind = slope[y + v, x], slope[y - v, x]
            else:
                w = down / along
                ahead, behind = slope[y, x + u], slope[y, x - u]
            ahead += w * (slope[y + v, x + u] - ahead)
            behind += w * (slope[y - v, x - u] - behind)
            if slope[y, x] >= ahead and slope[y, x] > behind:
                thin[y, x] = slope[y, x]


def thin(dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """Slopes where they are highest along the gradient, elsewhere 0.

    Parameters
    ----------
    dy, dx : (H, W) float arrays
        As `gradients` gives them.

    Returns
    -------
    (H, W) float64 array
        Lines one pixel wide; the outermost pixels are 0.

    Raises
    ------
    TypeError, ValueError
        If they are no such arrays, or the two shapes differ.

    Notes
    -----
    Non-maximum suppression as in Canny (1986), with the two slopes
    beside a pixel interpolated linearly.

    Chapter
    -------
    05 Edges, contours, watershed, "How thin can a ring be?".
    """
    dy = _plane(dy, "dy", "buif").astype(float)
    dx = _plane(dx, "dx", "buif", dy.shape).astype(float)
    lines = np.zeros(dy.shape)
    _ridges(np.hypot(dy, dx), dy, dx, lines)
    return lines


# Who vouches for a faint edge?
# -----------------------------

def canny(image: np.ndarray, sigma: float = 1.0, low: float = 0.0125,
          high: float = 0.025) -> np.ndarray:
    """Edges of a grey image as lines one pixel wide, after Canny.

    Parameters
    ----------
    image : (H, W) array
        As for `gradients`.
    sigma : float
        Scale in pixels.
    low, high : float
        Slopes, in grey values (0 to 1) per pixel, `0 <= low <= high`.
        An edge is above `high` somewhere and above `low` everywhere.
        (In scikit-image, whose slopes are not divided, 8 times as
        much.)

    Returns
    -------
    (H, W) bool array

    Raises
    ------
    TypeError, ValueError
        As `gradients`, or if not `0 <= low <= high`.

    Notes
    -----
    Canny (1986): blur, slope, non-maximum suppression, hysteresis.

    Chapter
    -------
    05 Edges, contours, watershed, "Who vouches for a faint edge?".
    """
    if not 0 <= low <= high:
        raise ValueError(f"low is {low}, high {high};"
                         " needed: 0 <= low <= high")
    lines = thin(*gradients(image, sigma))
    return hysteresis(lines, low, high, connectivity=2)


# What if the contour is elastic?
# -------------------------------

def _damping(n, alpha, beta):
    """What band and wire do to each frequency of n points in a ring."""
    b = 2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(n))
    return alpha * b + beta * b**2


def _ring(contour):
    """Points (y, x) as complex numbers y + ix."""
    contour = np.asarray(contour, dtype=float)
    if (contour.ndim != 2 or contour.shape[1] != 2 or len(contour) < 5
            or not np.isfinite(contour).all()):
        raise ValueError(f"contour has shape {contour.shape}; needed:"
                         " (N, 2) finite points (y, x), N at least 5")
    return contour[:, 0] + 1j * contour[:, 1]


def _force(image, w_line, w_edge):
    """What the image pulls with, as a function of the points."""
    steep = np.sqrt(2) * np.hypot(*gradients(image, 0))
    slopes = np.gradient(w_line * image + w_edge * steep)
    return lambda z: sum(unit * ndimage.map_coordinates(
        slope, (z.real, z.imag), order=1, mode="nearest")
        for unit, slope in zip((1, 1j), slopes))


def active_contour(image: np.ndarray, contour: np.ndarray, alpha=0.01,
                   beta=0.1, gamma=0.01, w_line=0.0, w_edge=1.0,
                   max_move=1.0, iterations=2500) -> np.ndarray:
    """A closed contour that has crept onto the edges near it.

    Parameters
    ----------
    image : (H, W) array
        As for `gradients`. Blur it, or edges are seen from too near.
    contour : (N, 2) array
        Where the contour starts: N >= 5 points (y, x) in pixels, the
        last one next to the first.
    alpha, beta : float
        Tension of the band and stiffness of the wire, 0 or more.
    gamma : float
        Friction, above 0: the higher, the smaller the steps.
    w_line, w_edge : float
        Pull towards bright pixels and towards steep ones; negative
        values push away.
    max_move : float
        The farthest that a point goes in a step, in pixels.
    iterations : int
        Most steps; it ends earlier when no point moves by more than a
        thousandth of a pixel.

    Returns
    -------
    (N, 2) float64 array

    Raises
    ------
    TypeError, ValueError
        As `gradients`, or if `contour` or `gamma` are not as said.

    Notes
    -----
    Kass, Witkin and Terzopoulos (1988), with semi-implicit steps.
    Parameters mean what they mean in scikit-image.

    Chapter
    -------
    05 Edges, contours, watershed, "What if the contour is elastic?".
    """
    if not gamma > 0:
        raise ValueError(f"gamma is {gamma}; needed: above 0")
    z, force = _ring(contour), _force(_grey(image), w_line, w_edge)
    damping = gamma + _damping(z.size, alpha, beta)
    for _ in range(iterations):
        push = np.fft.fft(gamma * z + force(z))
        move = np.fft.ifft(push / damping) - z
        move = np.tanh(move.view(float) / max_move).view(complex)
        z += max_move * move
        if max_move * np.abs(move).max() < 1e-3:
            break
    return np.stack([z.real, z.imag], axis=1)


# What if there is no edge at all?
# --------------------------------

@njit(cache=True, error_model="numpy")
def _evolve(phi, new, image, c1, c2, mu, dt):
    """One step of the level set; `phi`, `new` have a border of 1."""
    middle, pull = (c1 + c2) / 2, 2 * (c1 - c2)
    for y in range(image.shape[0]):
        north, south = phi[y, 1:-1], phi[y + 2, 1:-1]
        west, east = phi[y + 1, :-2], phi[y + 1, 2:]
        here, grey, out = phi[y + 1, 1:-1], image[y], new[y + 1, 1:-1]
        for x in range(image.shape[1]):
            p, n, s = here[x], north[x], south[x]
            w, e = west[x], east[x]
            along, down = ((e - w) / 2)**2, ((s - n) / 2)**2
            to_e = 1 / np.sqrt(1e-16 + (e - p)**2 + down)
            to_w = 1 / np.sqrt(1e-16 + (p - w)**2 + down)
            to_s = 1 / np.sqrt(1e-16 + (s - p)**2 + along)
            to_n = 1 / np.sqrt(1e-16 + (p - n)**2 + along)
            delta = dt / (1 + p * p)
            bend = mu * (e * to_e + w * to_w + s * to_s + n * to_n)
            fit = pull * (grey[x] - middle)
            stiff = mu * (to_e + to_w + to_s + to_n)
            out[x] = (p + delta * (bend + fit)) / (1 + delta * stiff)


def _step(phi, new, image, mu, dt):
    """Fill `new` with the next level set; how far it moved (rms)."""
    inside = phi[1:-1, 1:-1] > 0
    number, light = np.count_nonzero(inside), image.sum(where=inside)
    c1 = light / max(number, 1)
    c2 = (image.sum() - light) / max(image.size - number, 1)
    _evolve(phi, new, image, c1, c2, mu, dt)
    new[0], new[-1] = new[1], new[-2]
    new[:, 0], new[:, -1] = new[:, 1], new[:, -2]
    return np.sqrt(np.mean((new - phi)[1:-1, 1:-1]**2))


def _level_set(start, shape):
    """The level set to start from, with a border of 1."""
    if start is None:
        y, x = (np.sin(np.pi / 5 * np.arange(n)) for n in shape)
        start = y[:, None] * x
    start = _plane(start, "start", "buif", shape)
    return np.pad(start.astype(float), 1, mode="edge")


def chan_vese(image: np.ndarray, mu=0.25, iterations=500,
              tolerance=1e-3, dt=0.5, start=None) -> np.ndarray:
    """Two regions of constant grey with a short outline between them.

    Parameters
    ----------
    image : (H, W) array
        As for `gradients`; stretched to the full range from 0 to 1.
    mu : float
        Price of a pixel of outline, 0 or more.
    iterations : int
        Most steps.
    tolerance : float
        It ends earlier when a step changes the level set by less, as a
        root mean square.
    dt : float
        Size of a step, above 0.
    start : (H, W) float array, optional
        The level set to start from. By default a chessboard of squares
        of 5 pixels, which finds things wherever they are.

    Returns
    -------
    (H, W) bool array
        Where the level set ends above 0: one of the two regions; which
        one, the start decides.

    Raises
    ------
    TypeError, ValueError
        As `gradients`, or if a number or `start` is not as said.

    Notes
    -----
    Chan and Vese (2001), with the semi-implicit steps of Getreuer
    (2012), equation 22, in Jacobi's order, as in scikit-image.

    Chapter
    -------
    05 Edges, contours, watershed, "What if there is no edge at all?".
    """
    image = _grey(image)
    image = (image - image.min()) / (np.ptp(image) or 1)
    if not (mu >= 0 and dt > 0):
        raise ValueError(f"mu is {mu}, dt {dt};"
                         " needed: mu >= 0 and dt > 0")
    phi = _level_set(start, image.shape)
    new = phi.copy()
    for _ in range(iterations):
        moved = _step(phi, new, image, mu, dt)
        phi, new = new, phi
        if moved <= tolerance:
            break
    return phi[1:-1, 1:-1] > 0


# How far is it to the ground?
# ----------------------------

@njit(cache=True, error_model="numpy")
def _lower_envelope(g2, d2, apex, begin):
    """Fill the row `d2` with min over u of (x - u)**2 + g2[u]."""
    top = -1
    for u in range(g2.size):
        if g2[u] == np.inf:                 # no ground in this column
            continue
        s = -np.inf
        while top >= 0:
            p = apex[top]
            s = (g2[u] + u * u - g2[p] - p * p) / (2 * (u - p))
            if s > begin[top]:
                break
            top -= 1
            s = -np.inf
        top += 1
        apex[top], begin[top] = u, s
    k = 0
    for x in range(d2.size):
        while k < top and begin[k + 1] < x:
            k += 1
        d2[x] = (x - apex[k])**2 + g2[apex[k]] if top >= 0 else np.inf


@njit(cache=True)
def _squared_distances(mask, d2):
    """Fill `d2` with squared distances to the nearest False."""
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            above = d2[y - 1, x] if y > 0 else np.inf
            d2[y, x] = above + 1 if mask[y, x] else 0
    for y in range(height - 2, -1, -1):
        for x in range(width):
            d2[y, x] = min(d2[y, x], d2[y + 1, x] + 1)
    g2, begin = np.empty(width), np.empty(width)
    apex = np.empty(width, np.int64)
    for y in range(height):
        for x in range(width):
            g2[x] = d2[y, x]**2
        _lower_envelope(g2, d2[y], apex, begin)


def distance_transform(mask: np.ndarray) -> np.ndarray:
    """Distance of every pixel of a mask to the nearest one outside it.

    Parameters
    ----------
    mask : (H, W) bool array
        Or integers; what is not 0 is inside. Beyond the border there is
        nothing, neither mask nor ground.

    Returns
    -------
    (H, W) float64 array
        Euclidean distances in pixels, exact; 0 outside the mask, and
        infinite everywhere if the mask has no outside.

    Raises
    ------
    TypeError, ValueError
        If `mask` is no such array, or is empty.

    Notes
    -----
    Felzenszwalb and Huttenlocher (2012), in time linear in the pixels.

    Examples
    --------
    >>> distance_transform(np.array([[1, 1, 1, 0], [1, 1, 1, 1]]))[1]
    array([3.16227766, 2.23606798, 1.41421356, 1.        ])

    Chapter
    -------
    05 Edges, contours, watershed, "How far is it to the ground?".
    """
    inside = _plane(mask, "mask", "bui") != 0
    d2 = np.empty(inside.shape)
    _squared_distances(inside, d2)
    return np.sqrt(d2, out=d2)


# Where do two waters meet?
# -------------------------

@njit(cache=True)
def _flood(level, levels, basin, width):
    """Flood from the basins > 0 all that is 0; walls are -1.

    Flat arrays of an image with a wall around it; level < levels.
    """
    first = np.full(levels, -1, np.int32)
    last = np.full(levels, -1, np.int32)
    after = np.full(basin.size, -1, np.int32)
    for p in range(basin.size):
        if basin[p] > 0:
            _append(p, level[p], first, last, after)
    for now in range(levels):
        p = first[now]
        while p >= 0:
            for step in (-width, -1, 1, width):
                q = p + step
                if basin[q] == 0:
                    basin[q] = basin[p]
                    _append(q, max(level[q], now), first, last, after)
            p = after[p]


@njit(cache=True)
def _append(p, at, first, last, after):
    """Put pixel p at the end of bucket `at`."""
    if first[at] < 0:
        first[at] = p
    else:
        after[last[at]] = p
    last[at] = p


@njit(cache=True)
def _sorted(keys):
    """Positions of uint64 keys in ascending order, equals in turn."""
    order = np.arange(keys.size).astype(np.uint32)
    thrown = np.empty_like(order)
    for digit in (0, 16, 32, 48):
        box = np.zeros(2**16 + 1, np.int64)
        for key in keys:
            box[((key >> digit) & 0xFFFF) + 1] += 1
        if box.max() == keys.size:          # all have the same digit
            continue
        box = np.cumsum(box)
        for i in order:
            b = (keys[i] >> digit) & 0xFFFF
            thrown[box[b]] = i
            box[b] += 1
        order, thrown = thrown, order
    return order


def _levels(elevation):
    """The rank of every pixel among the different elevations."""
    if elevation.dtype.kind in "bu" and elevation.itemsize <= 2:
        return elevation.astype(np.int32), int(elevation.max()) + 1
    bits = (elevation.astype(float) + 0).ravel().view(np.int64)
    keys = np.where(bits < 0, ~bits, bits ^ np.int64(-2**63))
    order = _sorted(keys.view(np.uint64))
    ranks = np.zeros(keys.size, np.int32)
    ranks[order[1:]] = np.cumsum(np.diff(keys[order]) != 0)
    return ranks.reshape(elevation.shape), int(ranks.max()) + 1


def watershed(elevation: np.ndarray, markers: np.ndarray,
              mask: np.ndarray | None = None) -> np.ndarray:
    """Basins that fill from markers until the waters meet.

    Parameters
    ----------
    elevation : (H, W) array
        Bool, integers or finite floats.
    markers : (H, W) integer array
        The springs: 0 for none, else 1 ... 2**31 - 1. Pixels of one
        number have the same water.
    mask : (H, W) bool array, optional
        Where water may flow; elsewhere there are walls.

    Returns
    -------
    (H, W) int32 array
        The number of the marker whose water is first at a pixel; 0 in
        walls, and where no water can get to.

    Raises
    ------
    TypeError, ValueError
        If an array is not as said, or the shapes differ.

    Notes
    -----
    Meyer's flooding over the four direct neighbours. Pixels of one
    level are wetted in the order in which water came beside them, as in
    scikit-image; markers of one level start in the order of rows.

    Examples
    --------
    >>> watershed(np.array([[3, 1, 2, 5, 4, 0, 2]]),
    ...           np.array([[0, 1, 0, 0, 0, 2, 0]]))
    array([[1, 1, 1, 1, 2, 2, 2]], dtype=int32)

    Chapter
    -------
    05 Edges, contours, watershed, "Where do two waters meet?".
    """
    level, levels = _levels(_plane(elevation, "elevation", "buif"))
    markers = _plane(markers, "markers", "bui", level.shape)
    if markers.min() < 0 or markers.max() >= 2**31:
        raise ValueError(f"markers are {markers.min()} to"
                         f" {markers.max()}; needed: 0 to 2**31 - 1")
    if mask is not None:
        mask = _plane(mask, "mask", "bui", level.shape)
        markers = np.where(mask != 0, markers, -1)
    basin = np.pad(markers.astype(np.int32), 1, constant_values=-1)
    _flood(np.pad(level, 1).ravel(), levels, basin.ravel(),
           basin.shape[1])
    return np.maximum(basin[1:-1, 1:-1], 0)


# How many springs?
# -----------------

def peaks(elevation: np.ndarray, depth: float = 0.75) -> np.ndarray:
    """Tops from which it goes down `depth` before it goes higher.

    Parameters
    ----------
    elevation : (H, W) float array
        Finite; what is 0 or less has no tops.
    depth : float
        Above 0, in the unit of `elevation`.

    Returns
    -------
    (H, W) int32 array
        1, 2, ... on the domes of the tops, 0 elsewhere.

    Raises
    ------
    TypeError, ValueError
        If the elevation is no such array, or `depth` is not above 0.

    Notes
    -----
    The h-domes of Vincent (1993).

    Chapter
    -------
    05 Edges, contours, watershed, "How many springs?".
    """
    from skimage.morphology import reconstruction
    elevation = _plane(elevation, "elevation", "buif").astype(float)
    if not depth > 0:
        raise ValueError(f"depth is {depth}; needed: above 0")
    cross = ndimage.generate_binary_structure(2, 1)
    regrown = reconstruction(elevation - depth, elevation,
                             footprint=cross)
    domes = np.where(elevation > 0, elevation - regrown, 0)
    return ndimage.label(hysteresis(domes, 0, depth * (1 - 1e-6)))[0]


def split_touching(mask: np.ndarray, depth: float = 0.75) -> np.ndarray:
    """Number the things in a mask, and cut apart those that touch.

    Parameters
    ----------
    mask : (H, W) bool array
        As for `distance_transform`, with some ground.
    depth : float
        How much narrower, in pixels of radius, a waist has to be than
        the things on both its sides.

    Returns
    -------
    (H, W) int32 array
        0 outside the mask, 1, 2, ... for the things.

    Raises
    ------
    TypeError, ValueError
        As `distance_transform` and `peaks`, or without any ground.

    Examples
    --------
    >>> split_touching(np.array([[0, 1, 1, 0, 1, 0]]), 0.5)
    array([[0, 1, 1, 0, 2, 0]], dtype=int32)

    Chapter
    -------
    05 Edges, contours, watershed, "How many springs?".
    """
    hills = distance_transform(mask)
    if not np.isfinite(hills[0, 0]):
        raise ValueError("mask has no ground; needed: a pixel outside")
    return watershed(-hills, peaks(hills, depth), hills > 0)
