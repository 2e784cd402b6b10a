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
# # A postcard
#
# *The cup is cut out. Can it stand somewhere else?*
#
# A mask is black or white, and a lens is not: along every outline there
# are pixels that belong a little to both. Put a hard mask before another
# ground, and everybody sees the scissors. You will soften the outline,
# take the old table's colour out of it, and find out how many strokes a
# cut is away from good enough.
#
# **You need** chapters 01 to 09, and about two hours. **How it works:**
# replace each `raise NotImplementedError()` by your code, and keep the
# name and the arguments of the function. Pictures under *What you should
# see* are the target. The cells with `assert` check your work and try to
# help; the grader runs some more checks, on other pictures. 12 points
# are given by tests, 3 by somebody who reads your answer.

# %% nbgrader={"grade_id": "imports"}
import numpy as np
from scipy import ndimage
from skimage import data

from seglib.datasets import SamplePictures
from seglib.display import VOID, show
from seglib.grabcut import correcting_stroke, grabcut, loose_box

# %% [markdown]
# ## 1. A soft outline
#
# Say $d$ is a pixel's distance to the nearest pixel on the other side of
# the mask, counted positive inside and negative outside. The outline
# runs half a pixel before that pixel, so $s = d - 0.5$ inside and
# $s = d + 0.5$ outside. Return the opacity $\frac{1}{2} + s / w$, cut to
# 0 … 1, for a soft strip $w$ pixels wide. **(4 points)**

# %% nbgrader={"grade_id": "soften", "solution": true}
def soften(mask, width):
    """Opacity that falls from 1 to 0 across a mask's outline.

    Parameters
    ----------
    mask : (H, W) bool array
        With pixels of both kinds.
    width : float
        Of the soft strip, in pixels, above 0.

    Returns
    -------
    (H, W) float array
    """
    ### BEGIN SOLUTION
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    signed = np.where(mask, inside - 0.5, 0.5 - outside)
    return np.clip(0.5 + signed / width, 0, 1)
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-soften", "points": 2}
step = np.array([[False] * 4 + [True] * 4])
np.testing.assert_allclose(
    soften(step, 4), [[0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]],
    err_msg="half a pixel on each side of the outline is 1/8 of 4")
### BEGIN HIDDEN TESTS
np.testing.assert_allclose(soften(~step, 4), 1 - soften(step, 4))
np.testing.assert_allclose(soften(step.T, 2)[:, 0],
                           [0, 0, 0, 0.25, 0.75, 1, 1, 1])
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-hard", "points": 2}
disc = np.hypot(*(np.indices((40, 40)) - 20)) < 12
assert np.array_equal(soften(disc, 0.5), disc), (
    "a strip narrower than a pixel leaves the mask as it is")
### BEGIN HIDDEN TESTS
wide = soften(disc, 9)
assert ((wide > 0.5) == disc).all() and ((0 < wide) & (wide < 1)).any()
assert 0 <= wide.min() and wide.max() <= 1
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Whose colour is it?
#
# A pixel of the strip has the old ground's colour in it. Give every
# pixel whose opacity is above 0 and below 1 the colour of the nearest
# pixel whose opacity is 1; all others keep theirs. Then mix: opacity
# times the thing, the rest of the new ground. **(4 points)**

# %% nbgrader={"grade_id": "postcard", "solution": true}
def postcard(image, opacity, ground):
    """A thing before a new ground, without a seam of the old one.

    Parameters
    ----------
    image, ground : (H, W, 3) uint8 arrays
        Neither is changed.
    opacity : (H, W) float array
        0 to 1; 1 somewhere.

    Returns
    -------
    (H, W, 3) uint8 array
        Rounded, not cut off.
    """
    ### BEGIN SOLUTION
    nearest = ndimage.distance_transform_edt(
        opacity < 1, return_distances=False, return_indices=True)
    pure = image[tuple(nearest)]
    strip = ((opacity > 0) & (opacity < 1))[..., None]
    thing = np.where(strip, pure, image).astype(float)
    alpha = opacity[..., None]
    return np.rint(alpha * thing + (1 - alpha) * ground).astype(np.uint8)
    ### END SOLUTION

# %% tags=["expected"]
sample = SamplePictures()["coffee"]
truth = np.isin(sample.mask, (1, 2, 3, 4)).astype(np.uint8)
cup = grabcut(sample.image, loose_box(truth)).mask
grass = data.grass()[:400, :512]
meadow = np.zeros_like(sample.image)
meadow[..., 1] = np.pad(grass, ((0, 0), (0, 88)), mode="reflect")
show(np.where(cup[..., None], sample.image, meadow),
     postcard(sample.image, soften(cup, 5), meadow),
     titles=("scissors", "postcard"),
     alt=["A cup and saucer before grass, with a hard edge.",
          "The same with a soft edge."])

# %% nbgrader={"grade_id": "test-postcard", "points": 4}
row = np.array([[[10] * 3, [60] * 3, [200] * 3, [210] * 3]], np.uint8)
new = np.full_like(row, 100)
card = postcard(row, np.array([[0, 0.5, 1, 1.0]]), new)
assert card[0, 0, 0] == 100, "opacity 0: the new ground alone"
assert card[0, 1, 0] == 150, (
    "the strip takes the colour of the nearest sure pixel, 200, and"
    " mixes it with 100; 80 would be the old colour mixed in")
assert card[0, 3, 0] == 210
### BEGIN HIDDEN TESTS
assert row[0, 1, 0] == 60 and card.dtype == np.uint8
opacity = np.array([[1, 0.25, 0, 0.75]])
assert postcard(row, opacity, new)[0, :, 0].tolist() == [10, 78, 100, 32]
### END HIDDEN TESTS

# %% [markdown]
# ## 3. How many strokes away?
#
# Cut by the box, then correct with `correcting_stroke`, one stroke at a
# time, each cut going on from the last, until IoU reaches the goal. Void
# pixels count for nothing. Return how many strokes it took, or `None` if
# `most` were not enough. **(4 points)**

# %% nbgrader={"grade_id": "strokes", "solution": true}
def strokes_needed(image, box, truth, goal, most=8):
    """Number of correcting strokes until a cut is good enough.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8 array
    box : (top, left, bottom, right)
    truth : (H, W) uint8 array
        0, 1 or VOID.
    goal : float
        The IoU of label 1 to be reached.
    most : int
        Give up after so many strokes.

    Returns
    -------
    int or None
    """
    ### BEGIN SOLUTION
    strokes, result = np.full(truth.shape, VOID, np.uint8), None
    for count in range(most + 1):
        result = grabcut(image, box, strokes, previous=result)
        known, thing = truth != VOID, truth == 1
        both = (result.mask & thing & known).sum()
        if both / ((result.mask | thing) & known).sum() >= goal:
            return count
        new = correcting_stroke(result.mask, truth)
        strokes = np.where(new == VOID, strokes, new)
    return None
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-strokes", "points": 4}
square = np.zeros((60, 60), np.uint8)
square[15:45, 15:45] = 1
noise = np.random.default_rng(0).integers(0, 20, (60, 60))
plain = (40 + 150 * square + noise).astype(np.uint8)
assert strokes_needed(plain, loose_box(square), square, 0.99) == 0, (
    "the box alone finds a bright square; no stroke is needed")
half = square.copy()
half[:, 30:] *= 0
assert strokes_needed(plain, loose_box(square), half, 0.99, most=0) is None
### BEGIN HIDDEN TESTS
assert strokes_needed(plain, loose_box(square), half, 0.6, most=3) == 1
void = np.where(square & (half == 0), VOID, half).astype(np.uint8)
assert strokes_needed(plain, loose_box(square), void, 0.99, most=0) == 0
### END HIDDEN TESTS

# %% [markdown]
# **Question.** Put the astronaut of `SamplePictures` before another
# ground. Where does the postcard look wrong although the mask is right,
# and where does it look right although the mask is wrong? What would
# have to be known about a pixel of hair that an opacity made from
# distances cannot know? Five sentences will do. **(3 points, read by a
# person)**

# %% [markdown] nbgrader={"grade_id": "hair", "points": 3, "solution": true}
# Her hair looks clipped although the mask follows it well: strands are
# thinner than a pixel, and a strip of one width everywhere blurs them
# away or keeps the old ground between them. Mistakes on parts that have
# the new ground's brightness, or inside the dark collar, are hardly
# seen. The opacity of hair differs from pixel to pixel; to know it one
# needs the colours of hair and of ground *at this place*, and how much of
# each makes this pixel's colour, which is what matting estimates.
#
# *For the grader: 1 point for a place that is right and looks wrong, 1
# for one that is wrong and looks right, 1 for opacity that must come
# from colours and not from the distance.*
