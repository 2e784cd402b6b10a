# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   seglib:
#     minutes:
#       gpu: 0.1
#       laptop: 0.1
#     module: painter
#     place: 9.5
# ---

# %% [markdown]
# # A painter in whole numbers
#
# *How can a program draw the same mask on every computer, to the last
# pixel?*
#
# **You will be able to** draw random numbers that nothing but their
# name can change; project a point with integers; fill polygons and
# ovals so that no thin thing is lost; and turn four samples into one
# pixel and one label.
#
# **You need** chapter 01. Chapter 10 builds a town with these tools.
#
# **Exports** `draw`, `scatter`, `noise`, `Stage`, `solid`, `polygon`,
# `box`, `oval`, `fill`, `develop`.

# %% tags=["export"]
from hashlib import blake2b

import numpy as np
from numba import njit

# %%
from seglib.display import paint, show

# %% [markdown]
# ## A number with a name
#
# Programs draw random numbers from one long tape: first the tree's
# height, then the car's colour. Leave the tree out, and the car takes
# the number that was meant for the tree; from there on the world is
# another one. Experiments need the opposite. *Change one thing, and
# nothing else changes.* So our numbers come from no tape. Each has a
# name, and is a hash of it:

# %% tags=["export"]
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
    """
    digest = blake2b(repr(name).encode(), digest_size=8).digest()
    return low + int.from_bytes(digest, "little") % (high - low + 1)

# %%
throws = [draw(1, 6, "dice", throw) for throw in range(6000)]
counts = np.bincount(throws)[1:]
assert abs(counts - 1000).max() < 4 * np.sqrt(1000 * 5 / 6)

# %% [markdown]
# For every pixel a cryptographic hash would be too slow. `scatter` is
# its poor cousin: a few multiplications mix the bits of a place. Its
# numbers jump from place to place; `noise` ({term}`value noise`) blends
# the four corners of a cell. Also in integers, so that a leaf's edge,
# which depends on it, is the same edge everywhere.

# %% tags=["export"]
@njit(cache=True)
def scatter(x, y, seed):
    """A number from 0 to 65535 for a place; whole numbers all."""
    n = x * 374761393 + y * 668265263 + seed * 1442695041
    n = (n ^ (n >> 13)) * 1274126177
    n = (n ^ (n >> 16)) * 668265263
    return (n >> 15) & 0xFFFF


@njit(cache=True)
def noise(x, y, cell, seed):
    """`scatter` at the corners of cells, blended smoothly between."""
    i, j = x // cell, y // cell
    u, v = (x - i * cell) * 256 // cell, (y - j * cell) * 256 // cell
    u, v = u * u * (768 - 2 * u) >> 16, v * v * (768 - 2 * v) >> 16
    top = scatter(i, j, seed) * (256 - u) + scatter(i + 1, j, seed) * u
    low = (scatter(i, j + 1, seed) * (256 - u)
           + scatter(i + 1, j + 1, seed) * u)
    return (top * (256 - v) + low * v) >> 16

# %%
@njit
def field(kind, size):
    values = np.empty((size, 2 * size), np.int64)
    for y in range(size):
        for x in range(2 * size):
            values[y, x] = (noise(x, y, 12, 7) if kind
                            else scatter(x, y, 7))
    return values

fields = [field(kind, 64) for kind in (0, 1)]
assert all(0 <= f.min() and f.max() < 2**16 for f in fields)
show(*((f >> 8).astype(np.uint8) for f in fields),
     titles=("scatter", "noise, cells of 12"),
     alt=["Grey snow: no pixel resembles its neighbour.",
          "Soft grey clouds, a dozen pixels wide."])

# %% [markdown]
# ## A stage
#
# Things have sizes in millimetres, pictures have pixels. The camera
# stands 1.60 m above the ground and looks along $z$; a point $(X, Y)$
# at the distance $z$ appears at
#
# $$u = u_0 + \frac{F X}{z}, \qquad v = v_0 + \frac{F\,(1600 - Y)}{z}.$$
#
# Every pixel is sampled four times, two by two ({term}`supersampling`),
# and a sample's place is counted in sixteenths: fine enough for any
# edge, and whole. Division rounds down, always in the same way; no
# sine, no square root, nothing on which two computers might disagree in
# the last digit.
#
# A *thing* has a label, and consists of *parts*: polygons and ovals,
# each a row of whole numbers. What stands for what, the constants say.

# %% tags=["export"]
POLYGON, OVAL = 0, 1                                     # shapes
(SHAPE, THING, MATERIAL, RED, GREEN, BLUE, DEPTH, PLANE, SEED, STYLE,
 LEFT, TOP, RIGHT, BOTTOM, CORNERS) = range(15)
SWELL, HOLE, CUT = CORNERS, CORNERS + 1, CORNERS + 2     # of an oval
EYE, STEP, MOST = 1600, 16, 5

# %% tags=["export"]
class Stage:
    """A camera, and the things in front of it as rows of numbers.

    Parameters
    ----------
    size : (height, width)
        Of the picture, in pixels.
    horizon, middle : int
        Where the camera looks: rows from the top, and columns right of
        the picture's middle, in pixels of a picture 96 rows high.
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

# %% [markdown]
# A wall runs away from us, so its corners have depths of their own:
# `solid` takes corners $(X, Y, z)$. Most things we draw like cardboard
# figures: `polygon`, `box` and `oval` are flat, at the depth of their
# thing, and measured from its foot.

# %% tags=["export"]
def _add(stage, shape, material, colour, bounds, tail, plane=0, seed=0,
         style=0):
    tail = [*tail] + [0] * (2 * MOST + 1 - len(tail))
    stage.parts.append((
        shape, len(stage.labels) - 1, material, *colour, stage.z, plane,
        seed, style, *bounds, *tail))


def solid(stage, material, colour, *corners, plane=0, seed=0, style=0):
    """A convex polygon with corners (x, y, z), in mm on the stage."""
    places = [stage.project(*corner) for corner in corners]
    _outline(stage, material, colour, places, plane, seed, style)


def polygon(stage, material, colour, *corners, seed=0, style=0):
    """A convex polygon with corners (x, y) from the thing's foot."""
    places = [stage.project(stage.x + x, y, stage.z)
              for x, y in corners]
    _outline(stage, material, colour, places, 0, seed, style)

# %% tags=["export"]
def _outline(stage, material, colour, places, plane, seed, style):
    x, y = zip(*places)
    tail = len(x), *x, *[0] * (MOST - len(x)), *y
    _add(stage, POLYGON, material, colour,
         (min(x), min(y), max(x), max(y)), tail, plane, seed, style)

# %% tags=["export"]
def box(stage, material, colour, left, bottom, right, top, seed=0,
        style=0):
    """An upright rectangle, in mm from the thing's foot."""
    polygon(stage, material, colour, (left, bottom), (right, bottom),
            (right, top), (left, top), seed=seed, style=style)


def oval(stage, material, colour, x, y, across, up, seed=0, swell=0,
         hole=0, cut=0):
    """An oval around (x, y); `across` and `up` are its half axes, mm.

    `swell` (0 to 1000) makes its rim ragged, `hole` (0 to 1000) is
    the inner axis of a ring, `cut` keeps only what lies above y.
    """
    u, v = stage.project(stage.x + x, y, stage.z)
    rx = max(STEP // 2, stage.focal * across // stage.z)
    ry = max(STEP // 2, stage.focal * up // stage.z)
    _add(stage, OVAL, material, colour,
         (u - rx, v - ry, u + rx, v + ry), (swell, hole, cut), 0, seed)

# %% [markdown]
# ## Who is in front?
#
# Painters begin with what is far away and let what is near cover it.
# We do the same, but write no colours yet: into `who` goes the number
# of the part, into `depth` how far away it is. Geometry decides first,
# light colours later.
#
# A sample belongs to a polygon if its centre does. In the row of the
# sample every edge that crosses it gives a place, and between the
# leftmost and the rightmost the row is filled. *One* rule is added, for
# the poles: **nothing is thinner than a sample.** A polygon that passes
# between the centres still gets one sample a row, or one row.

# %% tags=["export", "kernel"]
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

# %% [markdown]
# `PLANE` is the wall's $X$; where a wall is seen at $u$, it is
# $F X / (u - u_0)$ away, sample by sample. An oval is the set where
# $1 - (dx/r_x)^2 - (dy/r_y)^2$ is positive. Add noise to that and the
# rim becomes ragged: `swell` makes a disc a tree's crown. The noise has
# two sizes, both tied to the picture, so that a far tree's leaves are
# as fine on the picture as a near one's.

# %% tags=["export", "kernel"]
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

# %% tags=["export"]
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
    """
    for p in range(first, len(parts)):
        part = parts[p]
        if part[SHAPE] == POLYGON:
            _polygon(who, depth, part, p, u, focal)
        else:
            _oval(who, depth, part, p, focal // 180)

# %% [markdown]
# Three things on a dark stage: a disc, a ring, and a slanted pole that
# is 1 mm thick at the distance of a metre, a tenth of a pixel. None of
# its rows is empty.

# %%
stage = Stage((48, 64), horizon=48)
stage.stand("nothing")
box(stage, 0, (0, 0, 0), -2000, -2000, 2000, 4000)
stage.stand("disc")
oval(stage, 0, (0, 0, 0), -350, 1600, 200, 250)
stage.stand("ring")
oval(stage, 0, (0, 0, 0), 300, 1600, 250, 250, hole=700, swell=500)
stage.stand("pole")
polygon(stage, 0, (0, 0, 0), (-99, 1300), (-98, 1300), (2, 1900),
        (1, 1900))

# %%
def samples(stage):
    shape = 2 * stage.size[0], 2 * stage.size[1]
    who, depth = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    fill(who, depth, np.array(stage.parts), stage.u,
         stage.focal)
    return who

who = samples(stage)
rows = np.flatnonzero((who == 3).any(axis=1))
assert len(rows) == np.ptp(rows) + 1 and (who == 3).sum() == len(rows)
disc = (who == 1).sum() / 4                 # in pixels
assert abs(disc - np.pi * (45 * 0.2) * (45 * 0.25)) < 5

# %% [markdown]
# ## From four samples to a pixel
#
# The picture's pixel is the mean of its four samples. Its label cannot
# be a mean: the samples vote, and among equals the part wins that was
# painted last, the nearest. That is why a pole half a pixel wide is one
# pixel wide in the mask. (Parts vote for their *thing*: crown and trunk
# are one tree.)
#
# The camera adds its grain here: a sum of four uniform numbers is
# nearly normal, and four 16-bit numbers are quickly scattered.

# %% tags=["export", "kernel"]
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

# %% tags=["export"]
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
    """
    size = len(who) // 2, who.shape[1] // 2
    image, best = np.empty((*size, 3), np.uint8), np.empty(size, int)
    _expose(picture, who, owner, seed, grain, image, best)
    row, column = np.indices(size)
    return image, (2 * row + best // 2, 2 * column + best % 2)

# %%
owner = np.array([part[1] for part in stage.parts], np.int32)
grey = np.full((*who.shape, 3), 100, np.float32)
image, seen = develop(grey, who, owner, 0, grain=10)
mask = owner[who[seen]]
assert (mask == 3).sum() == len(np.flatnonzero((mask == 3).any(axis=1)))
assert abs(image.std() - 10) < 0.5 and abs(image.mean() - 100) < 0.5
show(paint(mask), image, height=180, classes=stage.labels,
     titles=("who speaks for each pixel", "grain"),
     alt=["A disc, a frayed ring, and a pole that is one pixel wide all"
          " the way.", "Grey with fine grain."])
