# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Where do you sleep?
#
# *A slide is too large to be looked at as a whole. Who counts the cell
# that lies on the border of two tiles?*
#
# Chapter 13 makes the *scores* of a large picture in tiles, without a
# seam. But nobody wants scores; one wants to know how many cells there
# are, and a cell on a border is seen by two tiles, or by four. A census
# has the same trouble with people who travel, and a fine answer:
# everybody is counted **where they sleep**. You will give every cell a
# home, let each tile count its residents and nobody else, and find out
# how far a tile must look over its border so that all of them agree who
# lives where, without ever talking to each other.
#
# **You need** chapters 01 to 13, and about two hours. **How it works:**
# replace each `raise NotImplementedError()` by your code, and keep the
# name and the arguments of the function. Pictures under *What you
# should see* are the target. The cells with `assert` check your work
# and try to help; the grader runs some more checks, on other slides and
# networks. 13 points are given by tests, 3 by somebody who reads your
# answer.

# %% nbgrader={"grade_id": "imports"}
import copy
import warnings
from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from seglib.display import paint, show
from seglib.scenes import Cells
from seglib.training import fit, predict
from seglib.unet import BorderLoss, UNet, cells_of, parted

warnings.filterwarnings("ignore", "Converting a tensor")
torch.set_num_threads(1)        # so small, more of them only wait

# %% [markdown]
# A small U-Net with padding, trained with border weights on slides of
# 96 × 96 pixels; and a slide that plays the large one. It is small
# enough to be looked at as a whole as well, so that we shall know
# whether the tiles are right.

# %%
train = [replace(slide, mask=parted(slide.instances)) for slide in
         Cells(80, size=(96, 96), seed=0, touching=1)]
torch.manual_seed(0)
net = UNet(2, in_channels=1, width=8)
fit(net, train, steps=160, batch_size=4, lr=5e-3, loss=BorderLoss(),
    precision="fp32", progress=False)
slide = Cells(1, size=(600, 680), seed=5, touching=1)[0]


def look(window):
    """Numbers of the cells in a window, 0 for the ground."""
    return cells_of(predict(net, window, precision="fp32") == 1)


# %% [markdown]
# ## 1. Districts
#
# Cut a slide into tiles that cover it and do not overlap: squares of
# `tile` pixels from the upper left corner on, and what is left at the
# right and below. To count its residents a tile looks at a *window*,
# itself and `margin` pixels more on each side, as far as there is a
# slide.
#
# The poolings of the network lay a grid of 16 × 16 over its window. All
# windows must have the same grid, or the same cell looks different from
# two of them. Which numbers do you have to refuse for that?
# **(3 points)**

# %% nbgrader={"grade_id": "districts", "solution": true}
def districts(height, width, tile, margin):
    """Tiles of a slide, and what each of them looks at.

    Parameters
    ----------
    height, width : int
        Of the slide.
    tile : int
        A multiple of 16, above 0.
    margin : int
        A multiple of 16, or 0.

    Returns
    -------
    list of (own, seen)
        Row by row. Each is a pair of slices, of rows and of columns,
        with plain numbers from 0 to height or width.

    Raises
    ------
    ValueError
        If tile or margin is no such multiple.
    """
    ### BEGIN SOLUTION
    if tile % 16 or margin % 16 or tile < 16 or margin < 0:
        raise ValueError(f"tile is {tile}, margin {margin}; needed:"
                         " multiples of 16, for the net's poolings")

    def along(length):
        for start in range(0, length, tile):
            stop = min(start + tile, length)
            yield (slice(start, stop),
                   slice(max(0, start - margin),
                         min(length, stop + margin)))

    return [((own_y, own_x), (seen_y, seen_x))
            for own_y, seen_y in along(height)
            for own_x, seen_x in along(width)]
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-districts", "points": 2}
found = districts(40, 50, 32, 16)
assert len(found) == 4, (
    f"40 × 50 pixels in tiles of 32 are 2 × 2 districts; you make"
    f" {len(found)}")
owner = np.zeros((40, 50), int)
for own, seen in found:
    owner[own] += 1
assert (owner == 1).all(), (
    f"{(owner == 0).sum()} pixels belong to nobody and"
    f" {(owner > 1).sum()} to several; needed: to one each")
assert found[1] == ((slice(0, 32), slice(32, 50)),
                    (slice(0, 40), slice(16, 50))), (
    f"the second district is {found[1]}; it owns rows 0 to 32, columns"
    " 32 to 50, and sees 16 more where there are any")
### BEGIN HIDDEN TESTS
for height, width, tile, margin in ((96, 64, 32, 0), (70, 33, 16, 48),
                                    (20, 20, 64, 16), (65, 64, 64, 32)):
    found, owner = districts(height, width, tile, margin), []
    owner = np.zeros((height, width), int)
    for own, seen in found:
        owner[own] += 1
        for inner, outer, side in zip(own, seen, (height, width)):
            assert outer.start == max(0, inner.start - margin)
            assert outer.stop == min(side, inner.stop + margin)
            assert 0 < inner.stop - inner.start <= tile
            assert inner.start % 16 == outer.start % 16 == 0
    assert (owner == 1).all()
    assert found == sorted(found, key=lambda pair: (
        pair[0][0].start, pair[0][1].start))
assert len(districts(96, 64, 32, 0)) == 6
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-grid", "points": 1}
def refused(tile, margin):
    """Whether `districts` says no, and names what it was given."""
    try:
        districts(100, 100, tile, margin)
    except ValueError as error:
        return any(str(n) in str(error) for n in (tile, margin))
    return False


districts(100, 100, 48, 0)
for tile, margin in ((100, 32), (64, 20)):
    assert refused(tile, margin), (
        f"tiles of {tile} with a margin of {margin} put windows on"
        " different grids; needed: a ValueError that names the number")
### BEGIN HIDDEN TESTS
assert refused(0, 16) and refused(-16, 16) and refused(32, -16)
assert refused(24, 8) and not refused(16, 16)
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Homes
#
# A cell sleeps in *one* pixel: the first of its pixels in reading
# order, that is, of those in its topmost row the leftmost. It always
# belongs to the cell, and is a pair of whole numbers, on which
# everybody agrees to the last bit. Nothing is known about the numbers
# that the cells have in `instances`, not even that none is left out.
# **(3 points)**

# %% nbgrader={"grade_id": "homes", "solution": true}
def homes(instances):
    """Where each cell sleeps, and how large it is.

    Parameters
    ----------
    instances : (H, W) integer array
        0 for the ground, else the cell's number.

    Returns
    -------
    (N, 3) int array
        Row, column and number of pixels, by homes in reading order.
    """
    ### BEGIN SOLUTION
    names, first, sizes = np.unique(instances, return_index=True,
                                    return_counts=True)
    cells = names > 0
    order = np.argsort(first[cells])
    rows, columns = np.unravel_index(first[cells], instances.shape)
    return np.stack([rows, columns, sizes[cells]], axis=1)[order]
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-homes", "points": 3}
small = np.array([[0, 0, 0, 9, 0],
                  [4, 0, 9, 9, 0],
                  [4, 4, 0, 9, 0],
                  [0, 0, 7, 7, 7]])
found = homes(small)
needed = [[0, 3, 4], [1, 0, 3], [3, 2, 3]]
assert np.shape(found) == (3, 3), (
    f"you return {np.shape(found)}; needed: (3, 3), for three cells"
    " row, column and size. The ground is no cell")
assert np.array_equal(found, needed), (
    f"you say {np.asarray(found).tolist()}; needed: {needed}. Cell 9"
    " sleeps at (0, 3): the corner (0, 2) of its box is not its own")
### BEGIN HIDDEN TESTS
assert homes(np.zeros((4, 5), int)).shape == (0, 3)
assert np.array_equal(homes(np.full((3, 2), 12)), [[0, 0, 6]])
rng = np.random.default_rng(0)
for seed in range(5):
    some, n = ndimage.label(rng.random((30, 41)) < 0.4)
    mixed = np.r_[0, rng.permutation(10 * n)[:n] + 1][some]
    found = homes(mixed)
    assert found.dtype.kind == "i" and len(found) == n
    for (y, x, size), name in zip(found, mixed[found[:, 0],
                                               found[:, 1]]):
        ys, xs = np.nonzero(mixed == name)
        assert (y, x, size) == (ys[0], xs[0], len(ys))
    place = found[:, 0] * 41 + found[:, 1]
    assert (np.diff(place) > 0).all()
### END HIDDEN TESTS

# %% [markdown]
# ## 3. The census
#
# Each tile looks at its window, finds the homes of all cells that it
# sees there, and notes those that sleep *on its own ground*. In which
# numbers? In those of the slide: the pixel (0, 0) of a window is
# another one for each. What comes out is one list for all, as if
# somebody had looked at the whole slide, and no window was ever larger
# than it had to be. **(4 points)**

# %% nbgrader={"grade_id": "census", "solution": true}
def census(slide, look, tile, margin):
    """Every cell of a slide once, found window by window.

    Parameters
    ----------
    slide : (H, W) array
    look : function
        Of a window of the slide; an integer array of its size, 0 for
        the ground, else a cell's number.
    tile, margin : int
        As for `districts`.

    Returns
    -------
    (N, 3) int array
        As from `homes`, in rows and columns of the slide, and in
        reading order over the whole slide.
    """
    ### BEGIN SOLUTION
    residents = [np.zeros((0, 3), int)]
    for own, seen in districts(*slide.shape, tile, margin):
        here = homes(look(slide[seen]))
        here[:, :2] += [part.start for part in seen]
        inside = np.all([(here[:, i] >= part.start)
                         & (here[:, i] < part.stop)
                         for i, part in enumerate(own)], axis=0)
        residents.append(here[inside])
    found = np.concatenate(residents)
    return found[np.lexsort((found[:, 1], found[:, 0]))]
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-once", "points": 2}
def pieces(window):
    """A `look` for pictures that are masks already."""
    return ndimage.label(window)[0]


def beans(seed, shape=(90, 117), n=60):
    """Cells without a network: beans of at most 13 pixels, as True."""
    rng, found = np.random.default_rng(seed), np.zeros(shape, bool)
    for y, x in rng.integers(0, np.subtract(shape, 13), (n, 2)):
        around = found[max(0, y - 1):y + 14, max(0, x - 1):x + 14]
        if not around.any():
            rows, columns = rng.integers(3, 14, 2)
            found[y:y + rows, x:x + columns] = True
            found[y:y + rows // 2, x:x + columns // 2] = False
    return found


sheet = beans(0)
whole = homes(pieces(sheet))
found = census(sheet, pieces, 32, 16)
assert len(found) == len(whole), (
    f"{len(whole)} beans lie there, and you count {len(found)}; with"
    " windows of 64 pixels, and beans of 13 at most, everybody's home"
    " is on the ground of one tile, and of one only")
assert np.array_equal(found, whole), (
    "you count the right number, but not the same beans as somebody"
    " who sees them all: are places those of the slide, areas whole,"
    " and the list in reading order?")
### BEGIN HIDDEN TESTS
def shuffled(window):
    """Numbers that mean nothing outside of this window."""
    seen, n = ndimage.label(window)
    return np.r_[0, np.random.default_rng(n).permutation(n) + 5][seen]


for seed, tile, margin in ((1, 16, 16), (2, 48, 32), (3, 32, 48),
                           (4, 128, 16)):
    sheet = beans(seed, (100 + 7 * seed, 80))
    whole = homes(pieces(sheet))
    assert np.array_equal(census(sheet, shuffled, tile, margin), whole)
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-border", "points": 1}
for y, x in ((15, 15), (16, 16), (15, 16), (16, 15)):
    crossing = np.zeros((48, 48), bool)
    crossing[y:y + 4, x:x + 4] = True
    found = census(crossing, pieces, 16, 16)
    assert np.array_equal(found, [[y, x, 16]]), (
        f"a cell that sleeps in pixel ({y}, {x}) beside a border of"
        f" tiles is counted as {found.tolist()}; needed: [[{y}, {x},"
        " 16]]. Whose is a pixel on the border?")
### BEGIN HIDDEN TESTS
last = np.zeros((40, 50), bool)
last[39, 49] = last[0, 49] = last[39, 0] = last[31, 32] = True
assert np.array_equal(census(last, pieces, 32, 0),
                      [[0, 49, 1], [31, 32, 1], [39, 0, 1],
                       [39, 49, 1]])
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-modest", "points": 1}
sizes = []


def noting(window):
    sizes.append(window.shape)
    return pieces(window)


census(beans(5), noting, 16, 16)
assert max(map(max, sizes)) == 48 and len(sizes) == 6 * 8, (
    f"{len(sizes)} windows, of up to {max(map(max, sizes))} pixels;"
    " needed: 48 windows of up to 16 + 2 · 16, each looked at once")
### BEGIN HIDDEN TESTS
assert census(np.zeros((20, 70), bool), pieces, 16, 16).shape == (0, 3)
kept = beans(6)
census(kept, noting, 32, 16)
assert np.array_equal(kept, beans(6))
### END HIDDEN TESTS

# %% [markdown]
# ## 4. A drop of poison
#
# A tile and its neighbour agree about a cell if both see all of it
# *and* all that the network looks at before it decides. How far is
# that? Ask the network. `nan`, "not a number", is a poison: whatever is
# computed with it becomes `nan`, even $0 \cdot$ `nan`. Put a drop of it
# into one pixel of a picture, and see how far away scores are spoilt:
# the largest difference of rows, or of columns.
#
# Because of the poolings it matters where in the grid the drop falls:
# try `period` pixels in a row, along a diagonal near the middle, each
# in a picture of its own. Work in double precision (`float` may take a
# short cut through neighbouring pixels), in eval mode (or batch
# normalisation spreads the poison everywhere), and leave the network as
# it is. **(3 points)**

# %% nbgrader={"grade_id": "reach", "solution": true}
def reach(net, period=16, side=320):
    """How far away a pixel can change a score.

    Parameters
    ----------
    net : nn.Module
        (N, 1, H, W) in, (N, K, H, W) out. It is not changed.
    period : int
        Of the grid that its poolings lay.
    side : int
        Of the pictures, a multiple of the period.

    Returns
    -------
    int
        In pixels, of rows or of columns, whichever is more.

    Raises
    ------
    ValueError
        If the poison gets to the edge of the scores: then `side` is too
        small to tell.
    """
    ### BEGIN SOLUTION
    judge, far = copy.deepcopy(net).double().eval(), 0
    for place in range(side // 2 - period, side // 2):
        x = torch.zeros(1, 1, side, side, dtype=torch.double)
        x[..., place, place] = torch.nan
        with torch.inference_mode():
            spoilt = judge(x)[0].isnan().any(0).nonzero()
        if not 0 < int(spoilt.min()) <= int(spoilt.max()) < side - 1:
            raise ValueError(f"side is {side}; needed: more")
        far = max(far, int((spoilt - place).abs().max()))
    return far
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-reach", "points": 2}
class Coarse(nn.Module):
    """Pools by four and goes up again, in the simplest way."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(1, 2, 5, padding=2)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.look(x), 4)
        return nn.functional.interpolate(x, scale_factor=4)


torch.manual_seed(0)
plain = nn.Sequential(nn.Conv2d(1, 3, 5, padding=2), nn.ReLU(),
                      nn.Conv2d(3, 2, 3, padding=1))
found = reach(plain, 1, 32)
assert found == 3, (
    f"two convolutions of 5 and 3 pixels reach 2 + 1 = 3 pixels far;"
    f" you say {found}")
found = reach(Coarse(), 4, 32)
assert found == 5, (
    f"you say {found}; needed: 5. It matters where in its pool the drop"
    " falls: the convolution carries it 2 pixels on, and if that is"
    " just into the next pool, all 4 scores of that are spoilt")
### BEGIN HIDDEN TESTS
tall = nn.Conv2d(1, 2, (7, 3), padding=(3, 1))
broad = nn.Conv2d(1, 2, (1, 9), padding=(0, 4))
left = nn.Sequential(nn.ZeroPad2d((5, 0, 0, 0)),
                     nn.Conv2d(1, 1, (1, 6)))
right = nn.Sequential(nn.ZeroPad2d((0, 6, 0, 0)),
                      nn.Conv2d(1, 1, (1, 7)))
assert [reach(one, 2, 32) for one in (tall, broad, left, right)] == [
    3, 4, 5, 6]


class Unequal(nn.Module):
    """Its second class looks further than its first."""

    def __init__(self):
        super().__init__()
        self.near = nn.Conv2d(1, 1, 3, padding=1)
        self.far = nn.Conv2d(1, 1, 9, padding=4)

    def forward(self, x):
        return torch.cat([self.near(x), self.far(x)], dim=1)


assert reach(Unequal(), 1, 32) == 4
deaf = nn.Conv2d(1, 2, 5, padding=2)
deaf.weight.data[:] = 0                 # what could be seen, counts
assert reach(deaf, 1, 32) == 2
half = nn.Conv2d(1, 2, 5, padding=2)
assert reach(nn.Sequential(half, nn.Conv2d(2, 2, 1)), 3, 24) == 2
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-careful", "points": 1}
normed = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1),
                       nn.BatchNorm2d(2), nn.ReLU())
before = copy.deepcopy(normed.state_dict())
assert reach(normed, 2, 16) == 1, (
    "batch normalisation works on each number by itself, in eval mode")
assert all(torch.equal(value, before[name]) and
           value.dtype == before[name].dtype
           for name, value in normed.state_dict().items()), (
    "the network is not what it was: work on a copy")
try:
    found = reach(nn.Conv2d(1, 1, 33, padding=16), 1, 32)
except ValueError:
    found = None
assert found is None, (
    f"in a picture of 32 pixels a kernel of 33 reaches over the edge,"
    f" and you say {found}; needed: a ValueError")
### BEGIN HIDDEN TESTS
assert normed.training and next(normed.parameters()).dtype == (
    torch.float32)
assert not normed[1].running_mean.isnan().any()
assert reach(nn.Conv2d(1, 1, 33, padding=16), 1, 64) == 16
### END HIDDEN TESTS

# %% [markdown]
# Now everything is there. How far does a tile have to look over its
# border? As far as a cell is long, for that is where the rest of a
# resident can be; further on, as far as the network looks from there;
# and 4 pixels for `cells_of`, which closes seams. Round up to the grid.
# (How far a network looks is a matter of its shape and not of its
# width: a narrow sister knows it sooner.)

# %%
whole = look(slide.image)
longest = max(part.stop - part.start for box in
              ndimage.find_objects(whole) for part in box)
looks = reach(UNet(2, in_channels=1, width=2))
margin = -(-(looks + longest + 4) // 16) * 16
counted = census(slide.image, look, 160, margin)
seen = districts(*slide.image.shape, 160, margin)
print(f"The network looks {looks} pixels far, the longest cell found"
      f" has {longest}: a margin of {margin}.")
for name, number in (
        ("tiles by themselves", sum(
            len(homes(look(slide.image[own]))) for own, _ in seen)),
        ("windows, all they see", sum(
            len(homes(look(slide.image[one]))) for _, one in seen)),
        ("census", len(counted)), ("the whole slide", whole.max()),
        ("in truth", slide.instances.max())):
    print(f"{name:22} {number:5} cells")
there = set(map(tuple, homes(whole)))
print(f"{len(there & set(map(tuple, counted)))} of them are the same in"
      " census and whole slide: home and size")

# %% tags=["expected"]
def by_district(instances, tile):
    """Each cell in the colour of the tile that it sleeps in."""
    place = homes(instances)
    across = -(-instances.shape[1] // tile)
    district = place[:, 0] // tile * across + place[:, 1] // tile
    names = instances[place[:, 0], place[:, 1]]
    colour = np.zeros(instances.max() + 1, int)
    colour[names] = 1 + district
    picture = paint(colour[instances])
    picture[::tile], picture[:, ::tile] = 128, 128
    return picture


show(slide.image, by_district(look(slide.image), 160),
     titles=("a slide", "who counts whom"),
     alt=["Bright nuclei all over, many of them touching.",
          "The nuclei found, in the colour of the tile that counts"
          " them: those on a border are all of one colour, mostly that"
          " of the tile above."])

# %% [markdown]
# **Question.** 1. Your neighbour lets cells sleep at their centre of
# mass, computed in floating-point numbers in each window. Describe how
# a cell could then be counted twice, or not at all, although both tiles
# see all of it. 2. The network has not parted a clump, and it is longer
# than you thought: longer than the margin. How many times can it be
# counted? 3. Somebody works with tiles of 150 and a margin that is
# large enough. What may go wrong, and how would you notice without
# looking at the whole slide? Six sentences will do. **(3 points, read
# by a person)**

# %% [markdown] nbgrader={"grade_id": "neighbours", "points": 3, "solution": true}
# A centre of mass is a sum and a quotient, and from another corner
# other numbers are summed and rounded: a centre that lies on the border
# comes out at 159.99999 in one window and at 160 in the other. Then the
# upper tile and the lower one can both say "mine", or both "yours"; the
# first pixel is never rounded. A clump that leaves the window is cut
# off there, and the first pixel that is *visible* need not be its
# first. The tile that holds its home sees that, and counts it once,
# too small. But think of a U whose arms are further apart than the
# margin: the tile of the other arm does not see the home, takes the top
# of its own arm for one, and counts once more. So: once or more often,
# never not at all. With 150 the windows begin at other places of the
# grid of 16, pools hold other pixels, scores change, and a cell may be
# two in one window and one in the next. I would notice where windows
# overlap: what both see whole must have the same home and size in
# both; or by a second census with other tiles, which may change
# nothing.
#
# *For the grader: 1 point for the rounding, on both sides of a border,
# 1 for a clump that is counted more than once, at a false home, 1 for
# the grid and a check by overlaps or by other tiles.*
