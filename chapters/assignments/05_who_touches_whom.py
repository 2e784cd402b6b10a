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
# # Who touches whom?
#
# *A heap of coins on the scanner, and the museum wants to know: how many
# are there, and which of them have stuck together?*
#
# You will measure distances with two walks over the picture, count a
# heap with dust on it, and draw up a list of contacts.
#
# **You need** chapters 01 to 05, and about an hour and a half. **How it
# works:** replace each `raise NotImplementedError()` by your code, and
# keep the name and the arguments of the function. Pictures under *What
# you should see* are the target. The cells with `assert` check your work
# and try to help; the grader runs some more checks, on other heaps. 9
# points are given by tests, 3 by somebody who reads your answer.

# %% nbgrader={"grade_id": "imports"}
import numpy as np
from scipy import ndimage

from seglib.display import paint, show
from seglib.edges import (distance_transform, heap_of_coins,
                          split_touching)
from seglib.thresholding import otsu

# %% [markdown]
# ## 1. Two walks
#
# Chapter 05 measures distances as the crow flies. In a city one walks
# around blocks: a pixel's distance is the least number of steps to the
# ground, up, down, left or right. Two walks over the whole picture are
# enough. On the first, from the upper left, a pixel is one step farther
# than the nearer of the pixels *above* and *left* of it; on the second,
# from the lower right, it may get nearer by way of those *below* and
# *right*. Beyond the border is nothing; a pixel that finds no ground has
# the distance infinity. **(3 points)**

# %% nbgrader={"grade_id": "city-block", "solution": true}
def city_block(mask):
    """Least number of steps from every pixel to the ground.

    Parameters
    ----------
    mask : (H, W) bool array

    Returns
    -------
    (H, W) float array
        0 outside the mask; infinity where no ground can be reached.
    """
    ### BEGIN SOLUTION
    steps = np.where(mask, np.inf, 0)
    for walk in (steps, steps[::-1, ::-1]):     # views of one array
        for y in range(walk.shape[0]):
            for x in range(walk.shape[1]):
                if y > 0:
                    walk[y, x] = min(walk[y, x], walk[y - 1, x] + 1)
                if x > 0:
                    walk[y, x] = min(walk[y, x], walk[y, x - 1] + 1)
    return steps
    ### END SOLUTION

# %% tags=["expected"]
disc = np.hypot(*(np.indices((81, 81)) - 40)) < 36
crow, city = distance_transform(disc), city_block(disc)
show(crow / crow.max(), city / city.max(),
     titles=("as the crow flies", "around the blocks"),
     alt=["Distances in a disc: a round hill.",
          "City distances in a disc: a hill with four faces."])

# %% nbgrader={"grade_id": "test-row", "points": 1}
row = np.array([[False, True, True, True, True, False]])
assert np.array_equal(city_block(row), [[0, 1, 2, 2, 1, 0]]), (
    "along a row, the distance counts up from both ends: 0 1 2 2 1 0")
### BEGIN HIDDEN TESTS
assert np.array_equal(city_block(row.T), [[0], [1], [2], [2], [1], [0]])
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-city", "points": 2}
hole = np.ones((5, 7), dtype=bool)
hole[2, 3] = False
y, x = np.indices(hole.shape)
assert np.array_equal(city_block(hole), abs(y - 2) + abs(x - 3)), (
    "around a single pixel of ground, the distance is |dy| + |dx|;"
    " does the second walk run against the first?")
### BEGIN HIDDEN TESTS
mask = np.random.default_rng(0).random((23, 31)) < 0.9
assert np.array_equal(city_block(mask),
                      ndimage.distance_transform_cdt(mask, "taxicab"))
assert np.all(city_block(np.ones((3, 4), dtype=bool)) == np.inf)
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Dust
#
# There is dust on the scanner, and a grain of dust is a thing, too. Split
# the heap with `split_touching`, then leave out everything *smaller than
# a quarter of the median size*. Number what is left from 1 without
# gaps. **(3 points)**

# %% nbgrader={"grade_id": "dusty"}
def dusty_heap(seed, grains=40):
    """A heap of coins with dust around it, and how many coins it has."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(7, 13))
    image, coins = heap_of_coins(0.15, number=number, seed=seed)
    far = distance_transform(coins == 0) > 8
    places = np.argwhere(far)[rng.choice(far.sum(), grains)]
    dust = np.zeros(image.shape, dtype=bool)
    dust[tuple(places[:3].T)] = True
    dust = ndimage.binary_dilation(dust, iterations=2) & far
    return np.where(dust, 170, image).astype(np.uint8), number

# %% nbgrader={"grade_id": "without-dust", "solution": true}
def coins_of(image):
    """Number the coins of a bright heap on a dark cloth.

    Parameters
    ----------
    image : (H, W) uint8 array

    Returns
    -------
    (H, W) int array
        0 for cloth and dust, 1, 2, ... for the coins, without gaps.
    """
    ### BEGIN SOLUTION
    things = split_touching(image > otsu(image))
    size = np.bincount(things.ravel())
    keep = size >= np.median(size[1:]) / 4
    keep[0] = False
    return np.where(keep, np.cumsum(keep), 0)[things]
    ### END SOLUTION

# %% tags=["expected"]
image, number = dusty_heap(1)
found = coins_of(image)
show(image, paint(np.where(found > 0, (found - 1) % 8 + 1, 0)),
     titles=(f"{number} coins and dust", f"{found.max()} found"),
     alt=["A heap of bright coins with three grains of dust.",
          "The coins in different colours, without the dust."])

# %% nbgrader={"grade_id": "test-count", "points": 2}
for seed in (1, 2):
    image, number = dusty_heap(seed)
    found = coins_of(image)
    assert found.shape == image.shape, "one number for every pixel"
    assert len(np.unique(found)) - 1 == number, (
        f"heap {seed} has {number} coins; you found"
        f" {len(np.unique(found)) - 1}")
### BEGIN HIDDEN TESTS
for seed in (3, 4, 5):
    image, number = dusty_heap(seed)
    assert len(np.unique(coins_of(image))) - 1 == number
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-numbers", "points": 1}
found = coins_of(dusty_heap(2)[0])
assert np.array_equal(np.unique(found), np.arange(found.max() + 1)), (
    f"your numbers are {np.unique(found)}; needed: 0, 1, 2, ... without"
    " gaps")
### BEGIN HIDDEN TESTS
image = np.zeros((50, 120), dtype=np.uint8)
for x in (25, 60, 95):
    image[np.hypot(*(np.indices(image.shape).T - (25, x)).T) < 15] = 200
image[2:6, 2:6] = 200
assert np.array_equal(np.unique(coins_of(image)), np.arange(4))
### END HIDDEN TESTS

# %% [markdown]
# ## 3. Contacts
#
# Two coins touch if a pixel of one is directly above, below, left or
# right of a pixel of the other. Return the set of pairs $(a, b)$ with
# $a < b$. No loop over pixels is needed: put the picture beside itself,
# moved by one pixel. **(3 points)**

# %% nbgrader={"grade_id": "contacts", "solution": true}
def contacts(numbers):
    """Pairs of things that touch.

    Parameters
    ----------
    numbers : (H, W) int array
        0 is ground.

    Returns
    -------
    set of (int, int)
        Pairs (a, b) with a < b.
    """
    ### BEGIN SOLUTION
    pairs = set()
    for one, other in ((numbers[1:], numbers[:-1]),
                       (numbers[:, 1:], numbers[:, :-1])):
        touch = (one != other) & (one > 0) & (other > 0)
        pairs |= {(min(p), max(p)) for p in zip(one[touch].tolist(),
                                                other[touch].tolist())}
    return pairs
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-pairs", "points": 2}
small = np.array([[1, 1, 0, 3],
                  [2, 0, 3, 3],
                  [2, 4, 4, 0]])
assert contacts(small) == {(1, 2), (2, 4), (3, 4)}, (
    f"you found {contacts(small)}; needed: 1 above 2, 2 beside 4, 3 above"
    " 4; no pairs with the ground, none over a corner, each one once")
### BEGIN HIDDEN TESTS
assert contacts(small.T[::-1]) == {(1, 2), (2, 4), (3, 4)}
assert contacts(np.zeros((3, 3), dtype=int)) == set()
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-heap", "points": 1}
_, truth = heap_of_coins(0.15, seed=2)
assert len(contacts(truth)) >= truth.max() - 1, (
    "a heap that hangs together has at least one contact less than coins")
### BEGIN HIDDEN TESTS
_, truth = heap_of_coins(0.3, number=9, seed=6)
pairs = contacts(truth)
assert all(a < b for a, b in pairs)
for a in range(1, 10):
    near = ndimage.binary_dilation(truth == a) & (truth != a)
    assert {b for b in np.unique(truth[near]) if b} == {
        p + q - a for p, q in pairs if a in (p, q)}
### END HIDDEN TESTS

# %% [markdown]
# **Question.** A quarter of the median size is a rule with two sides.
# Name a heap on which it throws a coin away, and one on which it keeps
# dust, and propose a better rule for one of the two. Five sentences will
# do. **(3 points, read by a person)**

# %% [markdown] nbgrader={"grade_id": "rule", "points": 3, "solution": true}
# A collection of large silver coins with one small copper one: a coin of
# half the diameter has just a quarter of the area, and a smaller one is
# thrown away as dust. If there are more grains of dust than coins, the
# median is that of the dust, and everything is kept. For the second I
# would take the largest thing as the measure, not the median, or look
# for the widest gap between the sorted sizes: dust and coins differ by
# far more than coins among themselves.
#
# *For the grader: 1 point for each heap, 1 for a rule that can be
# computed.*
