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
# # No half cats
#
# *Two photographs of one wall make a panorama. Where do you cut, when
# somebody has moved in between?*
#
# The wall is too wide for the lens, so you have photographed it twice,
# with some overlap. Between the two shots the light has changed, and
# the cat has got up and looked in from elsewhere. Cut straight down the
# middle, and you have half a cat. You will say what a seam costs, bring
# both photographs to one light, and find the seam that nobody sees.
#
# **You need** chapters 01 to 08, and about an hour and a half. **How it
# works:** replace each `raise NotImplementedError()` by your code, and
# keep the name and the arguments of the function. Pictures under *What
# you should see* are the target. The cells with `assert` check your
# work and try to help; the grader runs some more checks, on other
# pictures. 11 points are given by tests, 3 by somebody who reads your
# answer.

# %% nbgrader={"grade_id": "imports"}
import numpy as np
from skimage import data

from seglib.datasets import SamplePictures
from seglib.display import outlines, show
from seglib.graph_cuts import energy, grid_min_cut

# %% nbgrader={"grade_id": "photographs"}
def cat_on(wall, left, hanging):
    """Paint a cat on a wall; True where it is."""
    sample = SamplePictures()["chelsea"]
    cat, shape = sample.image[::3, ::3], (sample.mask == 1)[::3, ::3]
    turn = np.s_[::-1, ::-1] if hanging else np.s_[:, :]
    height, width = shape.shape
    place = np.s_[:height, left:left + width] if hanging else (
        np.s_[-height:, left:left + width])
    where = np.zeros(wall.shape[:2], dtype=bool)
    where[place] = shape[turn]
    wall[place][shape[turn]] = cat[turn][shape[turn]]
    return where


def two_photographs(seed, cats=(90, 170), light=0.8):
    """Photographs of a wall; 200 columns are on both of them.

    Then two (H, 200) bool arrays: the cat on the left photograph, and
    that on the right one, where they overlap.
    """
    rng, found = np.random.default_rng(seed), []
    bricks = data.brick()[:400].T[:240, :, None] * [0.95, 0.75, 0.65]
    for x, shot, hanging in zip(cats, (0, 1), (False, True)):
        wall = bricks.copy()
        cat = cat_on(wall, x, hanging)
        part = np.s_[:, 100 * shot:300 + 100 * shot]
        grey = wall[part] * light**shot
        grey += rng.normal(0, 1.5, (240, 300, 1))
        found.append((np.clip(np.rint(grey), 0, 255).astype(np.uint8),
                      cat[:, 100:300]))
    (left, cat), (right, other) = found
    return left, right, cat, other

# %%
left, right, _, _ = two_photographs(0)
straight = np.hstack([left[:, :200], right[:, 100:]])
show(left, right, straight, height=150,
     titles=("left", "right", "cut straight"),
     alt=["A brick wall; a cat looks in from below.",
          "The wall further right, darker; the cat hangs in from above,"
          " head down.",
          "Both halves side by side: the wall changes its colour in the"
          " middle, and both cats are cut."])

# %% [markdown]
# ## 1. What does a seam cost?
#
# Where two aligned pictures agree, one can step from one to the other
# and nobody will notice. Say $d_i$ is how far the colours of pixel $i$
# lie apart in the two pictures (Euclidean, in grey levels). A seam
# between two neighbours $i$ and $j$, one taken from the first picture
# and the other from the second, costs $d_i + d_j + \text{length}$: the
# last so that of all seams that nobody sees the shortest wins. Return
# that in the form that `grid_min_cut` understands, with 4 neighbours.
# **(3 points)**

# %% nbgrader={"grade_id": "seam-prices", "solution": true}
def seam_prices(one, other, length=1.0):
    """Price of changing from one picture to the other.

    Parameters
    ----------
    one, other : (H, W, 3) uint8 arrays
        Aligned.
    length : float
        Price of a seam that nobody sees, for a pixel of its length.

    Returns
    -------
    (H, W, 2) float array
        Between a pixel and its neighbour to the right, and below.
    """
    ### BEGIN SOLUTION
    apart = np.linalg.norm(one.astype(float) - other, axis=2)
    prices = np.zeros((*apart.shape, 2))
    prices[:, :-1, 0] = apart[:, :-1] + apart[:, 1:] + length
    prices[:-1, :, 1] = apart[:-1] + apart[1:] + length
    return prices
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-prices", "points": 2}
def price(seam, one, other, **options):
    """What a seam costs, by your prices."""
    return energy(seam, np.zeros((*np.shape(seam), 2)),
                  seam_prices(one, other, **options))


grey = np.full((2, 3, 3), 100, np.uint8)
spot = grey.copy()
spot[0, 1] = 103, 104, 100
for one, other in ((grey, spot), (spot, grey)):
    cost = price([[0, 1, 1], [0, 1, 1]], one, other)
    assert np.isclose(cost, 7), (
        f"this seam costs {cost:g}; needed: 5 + 1 beside the pixel"
        " whose colours are 5 apart, and 1 in the row below")
    cost = price([[0, 1, 0], [0, 0, 0]], one, other)
    assert np.isclose(cost, 18), (
        f"around that pixel alone a seam costs {cost:g}; needed:"
        " 3 times 5 + 1, on its left, on its right and below")
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(1)
a, b = rng.integers(0, 256, (2, 5, 4, 3)).astype(np.uint8)
d = np.sqrt(((a.astype(int) - b)**2).sum(axis=2))
side, below = seam_prices(a, b, length=3)[..., 0], (
    seam_prices(a, b, length=3)[..., 1])
assert np.allclose(side[:, :-1], d[:, :-1] + d[:, 1:] + 3)
assert np.allclose(below[:-1], d[:-1] + d[1:] + 3)
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-dark", "points": 1}
black = np.zeros((1, 2, 3), np.uint8)
for bright in (200, 255):
    for pair in ((black, black + np.uint8(bright)),
                 (black + np.uint8(bright), black)):
        cost = price([[0, 1]], *pair, length=0)
        assert np.isclose(cost, 2 * bright * np.sqrt(3)), (
            f"between black and {bright}, twice, a seam costs"
            f" {cost:.0f}; needed: {2 * bright * np.sqrt(3):.0f}. In"
            " uint8, 0 - 200 is 56, and 200² is something else, too")
### BEGIN HIDDEN TESTS
assert np.isclose(price([[0, 1]], black, black, length=0.25), 0.25)
### END HIDDEN TESTS

# %% [markdown]
# ## 2. One light
#
# The sun went behind a cloud and *multiplied* the right photograph by
# some number below 1. Take it away: the last `overlap` columns of the
# left photograph show what the first `overlap` columns of the right one
# show, so the brightness of each pixel there, left divided by right,
# says what the factor is. Nearly each: there is a cat in the way, and
# it is not the same cat. Which kind of average does not mind?
# **(2 points)**

# %% nbgrader={"grade_id": "same-light", "solution": true}
def same_light(left, right, overlap):
    """The right photograph in the light of the left one.

    Parameters
    ----------
    left, right : (H, W, 3) uint8 arrays
        Of one height. Neither is changed.
    overlap : int
        How many columns they share. Less than half of what is seen
        there has moved.

    Returns
    -------
    uint8 array, of the shape of `right`
        Times one factor for all, rounded, not above 255.
    """
    ### BEGIN SOLUTION
    here = left[:, -overlap:].astype(float).sum(axis=2)
    there = right[:, :overlap].astype(float).sum(axis=2)
    factor = np.median(here[there > 0] / there[there > 0])
    return np.clip(np.rint(right * factor), 0, 255).astype(np.uint8)
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-light", "points": 2}
sunny = np.full((4, 10, 3), 120, np.uint8)
cloudy = np.full((4, 9, 3), 60, np.uint8)
cloudy[:, 7:] = 200                     # not on the left photograph
cloudy[0, :5] = 250                     # a white cat
lit = same_light(sunny, cloudy, 5)
assert lit.shape == cloudy.shape and lit.dtype == np.uint8, (
    f"you return {lit.shape} {lit.dtype}; needed: {cloudy.shape} uint8")
assert np.all(lit[1:, :7] == 120), (
    f"60 became {lit[1, 0, 0]}; needed: 120. The cat is 5 of 20 pixels:"
    " an average that counts it is wrong everywhere")
assert np.all(lit[0, :5] == 255) and np.all(lit[:, 7:] == 255), (
    "500 and 400 are cut off at 255; in uint8 they would start again at"
    " 0")
### BEGIN HIDDEN TESTS
for seed, light in ((3, 0.7), (4, 1.2), (5, 1)):
    here, there, _, _ = two_photographs(seed, light=light)
    kept = there.copy()
    lit = same_light(here, there, 200)
    assert np.array_equal(there, kept)
    factor = np.median(lit / np.maximum(there, 1.0))
    assert abs(factor * light - 1) < 0.03
noon, later = (np.full((3, 6, 3), grey, np.uint8) for grey in (70, 60))
later[:, 5] = 70                        # times 7 / 6 is 81.7
assert np.all(same_light(noon, later, 4)[:, 5] == 82)
night = np.zeros((3, 6, 3), np.uint8)
night[:2] = 50
dusk = night * np.uint8(2)
assert np.array_equal(same_light(dusk, night, 4), dusk)
### END HIDDEN TESTS

# %% [markdown]
# ## 3. The panorama
#
# Bring both photographs to the left one's light. In the columns that
# they share, each pixel comes from the left or from the right
# photograph: the first of these columns from the left, the last from
# the right, and all between as the *cheapest seam* wants. Outside
# there is no choice. **(6 points)**

# %% nbgrader={"grade_id": "panorama", "solution": true}
def panorama(left, right, overlap):
    """Two photographs as one, along the cheapest seam.

    Parameters
    ----------
    left, right : (H, W, 3) uint8 arrays
        Of one height.
    overlap : int
        How many columns they share, 2 or more.

    Returns
    -------
    picture : (H, W_left + W_right - overlap, 3) uint8 array
    from_right : (H, overlap) bool array
        Where, in the columns that both show, it is the right one.
    """
    ### BEGIN SOLUTION
    right = same_light(left, right, overlap)
    here, there = left[:, -overlap:], right[:, :overlap]
    unary = np.zeros((*here.shape[:2], 2))
    unary[:, 0, 1] = unary[:, -1, 0] = np.inf
    from_right = grid_min_cut(unary, seam_prices(here, there)).mask
    middle = np.where(from_right[..., None], there, here)
    return np.hstack([left[:, :-overlap], middle,
                      right[:, overlap:]]), from_right
    ### END SOLUTION

# %% tags=["expected"]
left, right, _, _ = two_photographs(0)
wide, from_right = panorama(left, right, 200)
drawn = wide.copy()
drawn[:, 100:300][outlines(from_right.astype(int))] = 255, 255, 0
show(wide, drawn, height=150, titles=("panorama", "its seam"),
     alt=["A brick wall in one light, with two whole cats: one looks in"
          " from below, one from above.",
          "The same; a line goes down between the two cats, around"
          " both."])

# %% nbgrader={"grade_id": "test-panorama", "points": 2}
base = np.random.default_rng(2).integers(90, 110, (8, 20, 1))
base = np.repeat(base, 3, axis=2).astype(np.uint8)
one, other = base[:, :16].copy(), base[:, 4:].copy()
one[5:, :11] = 200                      # lower left, up to column 6
other[:3, 5:] = 10                      # upper right, from column 5
wide, from_right = panorama(one, other, 12)
assert wide.shape == (8, 20, 3) and wide.dtype == np.uint8, (
    f"you return {wide.shape} {wide.dtype}; needed: (8, 20, 3) uint8:"
    " 16 columns and 16, and 12 of them are the same")
assert from_right.shape == (8, 12) and from_right.dtype == bool
assert np.all(wide[5:, :11] == 200) and np.all(wide[:3, 9:] == 10), (
    "there is a way between the bright thing and the dark one where the"
    f" pictures agree; your seam is\n{from_right.astype(int)}")
### BEGIN HIDDEN TESTS
middle = wide[:, 4:16]
assert np.array_equal(middle[~from_right], one[:, 4:][~from_right])
assert np.array_equal(middle[from_right], other[:, :12][from_right])
assert np.array_equal(wide[:, :4], one[:, :4])
assert np.array_equal(wide[:, 16:], other[:, 12:])
empty, seam = panorama(base[:, :16], base[:, 4:], 12)
assert np.array_equal(empty, base)
assert np.all(np.diff(seam.astype(int), axis=1) >= 0)
assert np.all(seam.sum(axis=1) == seam[0].sum())
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-ends", "points": 2}
loud, quiet = (np.full((3, 6, 3), grey, np.uint8) for grey in (80, 80))
loud[1, 1], quiet[1, 4] = 255, 255      # in the outermost columns
wide, from_right = panorama(loud, quiet, 5)
assert not from_right[:, 0].any() and from_right[:, -1].all(), (
    "the first column of the overlap is the left photograph's and the"
    f" last the right one's, at any price; your seam is\n"
    f"{from_right.astype(int)}")
### BEGIN HIDDEN TESTS
loud, quiet = (np.random.default_rng(seed).integers(
    0, 256, (30, 9, 3)).astype(np.uint8) for seed in (1, 2))
for overlap in (9, 5, 2):
    wide, from_right = panorama(loud, quiet, overlap)
    assert not from_right[:, 0].any() and from_right[:, -1].all()
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-cats", "points": 2}
left, right, cat, other_cat = two_photographs(0)
wide, from_right = panorama(left, right, 200)
kept = 1 - from_right[cat].mean(), from_right[other_cat].mean()
assert min(kept) > 0.99, (
    f"of the cat below {kept[0]:.0%} are kept, and of the one above"
    f" {kept[1]:.0%}; no half cats, please. Is the light the same when"
    " you look for the seam?")
### BEGIN HIDDEN TESTS
for seed, cats, light in ((6, (70, 150), 0.7), (7, (100, 190), 1.1)):
    left, right, cat, other_cat = two_photographs(seed, cats, light)
    wide, from_right = panorama(left, right, 200)
    assert not from_right[cat].mean() > 0.01
    assert from_right[other_cat].mean() > 0.99
    here = left[:, 100:].astype(float)
    there = np.clip(np.rint(right[:, :200] / light), 0, 255)
    d = np.linalg.norm(here - there, axis=2)
    side, below = d[:, 1:] + d[:, :-1] + 1, d[1:] + d[:-1] + 1
    cost = side[np.diff(from_right, axis=1)].sum() + (
        below[np.diff(from_right, axis=0)].sum())
    assert cost < 0.5 * side.sum(axis=0).min()
### END HIDDEN TESTS

# %% [markdown]
# **Question.** There is only one cat, and the panorama above shows two.
# Try other `cats` of `two_photographs`, from 0 to 230: find a pair of
# numbers with which one cat is left, and one with which there is none.
# What does the energy know about cats? Describe two photographs on
# which even the cheapest seam must go through an animal. And what could
# a person add, in a single line, who wants the cat above and not the
# one below? Six sentences will do. **(3 points, read by a person)**

# %% [markdown] nbgrader={"grade_id": "one-cat", "points": 3, "solution": true}
# With `(60, 100)` only the lower cat is left, with `(150, 20)` none.
# The energy knows where two pictures agree, and nothing of cats: a cat
# that lies within the overlap may stay or go, whichever makes the
# shorter seam, and one that reaches beyond it must stay. If both look
# in from below, the left one reaching out on the left, the right one on
# the right, and both sharing some columns, then no way is left between
# them: every seam passes through fur, and takes the place where the one
# cat's fur is most like the other's, or like brick. To lose the lower
# cat somebody paints over it, and `unary[stroke, 0] = np.inf` orders
# those pixels from the right photograph, where there is wall. That
# helps only within the overlap, for beyond it nobody has seen the wall.
#
# *For the grader: 1 point for two pairs that were tried and "it knows
# agreement, not cats", 1 for photographs that leave no way, 1 for an
# infinite cost of the left photograph, or a seed, on that cat.*
