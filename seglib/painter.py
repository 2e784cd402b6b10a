"""A painter in whole numbers: chapter A7 of the course.

How can a program draw the same mask on every computer, to the last pixel?

Exported from A7_painter.py; edit the chapter, not this file.
"""

from hashlib import blake2b

import numpy as np
from numba import njit

__all__ = [
    "draw",
    "scatter",
    "noise",
    "Stage",
    "solid",
    "polygon",
    "box",
    "oval",
    "fill",
    "develop",
]


# A number with a name
# --------------------

def draw(low: int, high: int, *name) -> int:
    """A whole number from `low` to `high` that its name decides.

    Parameters
    ----------
    low, high : int
        Both ends can occur.
    name : str or int, any number of them

    Returns
    -------
    int
        The same on every computer, in every order of asking.

    Examples
    --------
    >>> [draw(1, 6, "dice", throw) for throw in range(8)]
    [3, 5, 3, 6, 4, 4, 4, 5]

    Chapter
    -------
    A7 A painter in whole numbers, "A number with a name".
    """
    digest = blake2b(repr(name).encode(), digest_size=8).digest()
    return low + int.from_bytes(digest, "little") % (high - low + 1)


@njit(cache=True)
def scatter(x, y, seed):
    """A number from 0 to 65535 for a place; whole numbers all.

    Chapter
    -------
    A7 A painter in whole numbers, "A number with a name".
    """
    n = x * 374761393 + y * 668265263 + seed * 1442695041
    n = (n ^ (n >> 13)) * 1274126177
    n = (n ^ (n >> 16)) * 668265263
    return (n >> 15) & 0xFFFF


@njit(cache=True)
def noise(x, y, cell, seed):
    """`scatter` at the corners of cells, blended smoothly between.

    Chapter
    -------
    A7 A painter in whole numbers, "A number with a name".
    """
    i, j = x // cell, y // cell
    u, v = (x - i * cell) * 256 // cell, (y - j * cell) * 256 // cell
    u, v = u * u * (768 - 2 * u) >> 16, v * v * (768 - 2 * v) >> 16
    top = scatter(i, j, seed) * (256 - u) + scatter(i + 1, j, seed) * u
    low = (scatter(i, j + 1, seed) * (256 - u)
           + scatter(i + 1, j + 1, seed) * u)
    return (top * (256 - v) + low * v) >> 16


# A stage
# -------

POLYGON, OVAL = 0, 1                                     # shapes
(SHAPE, THING, MATERIAL, RED, GREEN, BLUE, DEPTH, PLANE, SEED, STYLE,
 LEFT, TOP, RIGHT, BOTTOM, CORNERS) = range(15)
SWELL, HOLE, CUT = CORNERS, CORNERS + 1, CORNERS + 2     # of an oval
EYE, STEP, MOST = 1600, 16, 5


class Stage:
    """A camera, and the things in front of it as rows of numbers.

    Parameters
    ----------
    size : (height, width)
        Of the picture, in pixels.
    horizon, middle : int
        Where the camera looks: rows from the top, and columns right of
        the picture's middle, in pixels of a picture 96 rows high.

    Chapter
    -------
    A7 A painter in whole numbers, "A stage".
    """

    def __init__(self, size, horizon, middle=0):
        height, width = size
        self.size, self.focal = size, 30 * height
        self.u = STEP * width + middle * height // 3
        self.v = horizon * height // 3
        self.parts, self.labels, self.lamps = [], [], []

    def stand(self, label, x=0, z=1000):
        """A new thing, `x` mm to the right and `z` mm away."""
        self.labels.append(label)
        self.x, self.z = x, z

    def shine(self, x, y, radius, colour):
        """A lamp at (x, y) from the thing's foot, which lights up."""
        self.lamps.append((self.x + x, y, self.z, radius, *colour))

    def project(self, x, y, z):
        return (self.u + self.focal * x // z,
                self.v + self.focal * (EYE - y) // z)


def _add(stage, shape, material, colour, bounds, tail, plane=0, seed=0,
         style=0):
    tail = [*tail] + [0] * (2 * MOST + 1 - len(tail))
    stage.parts.append((
        shape, len(stage.labels) - 1, material, *colour, stage.z, plane,
        seed, style, *bounds, *tail))


def solid(stage, material, colour, *corners, plane=0, seed=0, style=0):
    """A convex polygon with corners (x, y, z), in mm on the stage.

    Chapter
    -------
    A7 A painter in whole numbers, "A stage".
    """
    places = [stage.project(*corner) for corner in corners]
    _outline(stage, material, colour, places, plane, seed, style)


def polygon(stage, material, colour, *corners, seed=0, style=0):
    """A convex polygon with corners (x, y) from the thing's foot.

    Chapter
    -------
    A7 A painter in whole numbers, "A stage".
    """
    places = [stage.project(stage.x + x, y, stage.z)
              for x, y in corners]
    _outline(stage, material, colour, places, 0, seed, style)


def _outline(stage, material, colour, places, plane, seed, style):
    x, y = zip(*places)
    tail = len(x), *x, *[0] * (MOST - len(x)), *y
    _add(stage, POLYGON, material, colour,
         (min(x), min(y), max(x), max(y)), tail, plane, seed, style)


def box(stage, material, colour, left, bottom, right, top, seed=0,
        style=0):
    """An upright rectangle, in mm from the thing's foot.

    Chapter
    -------
    A7 A painter in whole numbers, "A stage".
    """
    polygon(stage, material, colour, (left, bottom), (right, bottom),
            (right, top), (left, top), seed=seed, style=style)


def oval(stage, material, colour, x, y, across, up, seed=0, swell=0,
         hole=0, cut=0):
    """An oval around (x, y); `across` and `up` are its half axes, mm.

    `swell` (0 to 1000) makes its rim ragged, `hole` (0 to 1000) is
    the inner axis of a ring, `cut` keeps only what lies above y.

    Chapter
    -------
    A7 A painter in whole numbers, "A stage".
    """
    u, v = stage.project(stage.x + x, y, stage.z)
    rx = max(STEP // 2, stage.focal * across // stage.z)
    ry = max(STEP // 2, stage.focal * up // stage.z)
    _add(stage, OVAL, material, colour,
         (u - rx, v - ry, u + rx, v + ry), (swell, hole, cut), 0, seed)


# Who is in front?
# ----------------

@njit(cache=True)
def _row(part, c):
    """Where the line v = c enters and leaves a convex polygon."""
    n = part[CORNERS]
    left, right = part[RIGHT], part[LEFT]
    for i in range(n):
        j = (i + 1) % n
        x0, x1 = part[CORNERS + 1 + i], part[CORNERS + 1 + j]
        y0 = part[CORNERS + 1 + MOST + i]
        y1 = part[CORNERS + 1 + MOST + j]
        if (y0 <= c) != (y1 <= c):
            x = x0 + (c - y0) * (x1 - x0) // (y1 - y0)
            left, right = min(left, x), max(right, x)
    if left > right:
        return part[LEFT], part[RIGHT]
    return left, right


@njit(cache=True)
def _polygon(who, depth, part, p, u, focal):
    rows, columns = who.shape
    first, last = (part[TOP] + 7) // STEP, (part[BOTTOM] + 7) // STEP
    if last <= first:
        first = (part[TOP] + part[BOTTOM]) // (2 * STEP)
        last = first + 1
    for r in range(max(first, 0), min(last, rows)):
        c = min(max(STEP * r + 8, part[TOP]), part[BOTTOM])
        left, right = _row(part, c)
        a, b = (left + 7) // STEP, (right + 7) // STEP
        if b <= a:
            a = (left + right) // (2 * STEP)
            b = a + 1
        for s in range(max(a, 0), min(b, columns)):
            who[r, s] = p
            depth[r, s] = part[DEPTH]
            across = STEP * s + 8 - u
            if part[PLANE] != 0 and across * part[PLANE] > 0:
                depth[r, s] = part[PLANE] * focal // across


@njit(cache=True)
def _oval(who, depth, part, p, grain):
    rows, columns = who.shape
    x = (part[LEFT] + part[RIGHT]) // 2
    y = (part[TOP] + part[BOTTOM]) // 2
    rx, ry = max(x - part[LEFT], 1), max(y - part[TOP], 1)
    more = 1000 + part[SWELL] * 7 // 10
    first, last = (y - ry * more // 1000) // STEP, y + ry * more // 1000
    last = (y if part[CUT] else last) // STEP + 1
    wide = rx * more // 1000
    a, b = (x - wide) // STEP, (x + wide) // STEP
    for r in range(max(first, 0), min(last, rows)):
        dy = (STEP * r + 8 - y) * 1024 // ry
        for s in range(max(a, 0), min(b + 1, columns)):
            dx = (STEP * s + 8 - x) * 1024 // rx
            inside = 2**20 - dx * dx - dy * dy
            if part[SWELL] > 0:
                lobes = noise(STEP * s, STEP * r, 9 * grain, part[SEED])
                leaves = noise(STEP * s, STEP * r, 4 * grain,
                               part[SEED] + 1)
                rough = 21 * (lobes - 2**15) + 18 * (leaves - 2**15)
                inside += part[SWELL] * rough // 1000
            hole = (1024 * part[HOLE] // 1000)**2
            if inside > 0 and dx * dx + dy * dy >= hole:
                who[r, s] = p
                depth[r, s] = part[DEPTH]


@njit(cache=True)
def fill(who, depth, parts, u, focal, first=0):
    """Draw parts in order, each over those before it.

    Parameters
    ----------
    who, depth : (2 H, 2 W) int32 arrays
        Changed in place: number of the part seen in each sample, and
        its distance in mm.
    parts : (P, N) int64 array
        From `Stage.parts`; part p is written as p.
    u, focal : int
        The stage's.
    first : int
        The first part to draw.

    Chapter
    -------
    A7 A painter in whole numbers, "Who is in front?".
    """
    for p in range(first, len(parts)):
        part = parts[p]
        if part[SHAPE] == POLYGON:
            _polygon(who, depth, part, p, u, focal)
        else:
            _oval(who, depth, part, p, focal // 180)


# From four samples to a pixel
# ----------------------------

@njit(cache=True)
def _vote(owner, who, y, x):
    """Which of the four samples of a pixel speaks for it."""
    best, most = 0, 0
    for k in range(4):
        mine, votes = owner[who[2 * y + k // 2, 2 * x + k % 2]], 0
        for j in range(4):
            votes += mine == owner[who[2 * y + j // 2, 2 * x + j % 2]]
        if 2**20 * votes + mine > most:
            best, most = k, 2**20 * votes + mine
    return best


@njit(cache=True)
def _expose(picture, who, owner, seed, grain, image, best):
    height, width = best.shape
    for y in range(height):
        for x in range(width):
            best[y, x] = _vote(owner, who, y, x)
            for c in range(3):
                value = (picture[2 * y, 2 * x, c]
                         + picture[2 * y, 2 * x + 1, c]
                         + picture[2 * y + 1, 2 * x, c]
                         + picture[2 * y + 1, 2 * x + 1, c]) / 4
                normal = 0
                for k in range(4 * (grain > 0)):
                    normal += scatter(4 * x + k, 3 * y + c, seed)
                value += (grain > 0) * grain * (normal - 131070) / 37837
                image[y, x, c] = min(max(value + 0.5, 0), 255)


def develop(picture, who, owner, seed: int, grain: float):
    """Pixels from samples: mean colour, grain, and the winning sample.

    Parameters
    ----------
    picture : (2 H, 2 W, 3) float32 array
    who : (2 H, 2 W) int32 array
    owner : (P,) int32 array
        The thing to which each part belongs.
    seed : int
    grain : float
        Standard deviation of the noise, in grey values.

    Returns
    -------
    image : (H, W, 3) uint8 array
    seen : (rows, columns), two (H, W) arrays
        The sample that speaks for each pixel: `who[seen]` is (H, W).

    Chapter
    -------
    A7 A painter in whole numbers, "From four samples to a pixel".
    """
    size = len(who) // 2, who.shape[1] // 2
    image, best = np.empty((*size, 3), np.uint8), np.empty(size, int)
    _expose(picture, who, owner, seed, grain, image, best)
    row, column = np.indices(size)
    return image, (2 * row + best // 2, 2 * column + best % 2)
