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
# # Who told you?
#
# *Three judges say "road" or "canal" of streets on which nobody can see
# it. Have they read the towers, or has somebody whispered?*
#
# The streets are grey, cars and boats hide under tarpaulins, and only
# the caps of far towers tell. A dealer has delivered such photographs,
# and three people have trained a judge each. You will take every
# photograph again with other caps, ask again, and say what each of them
# goes by; and then find the place where the dealer's pictures leak.
#
# **You need** chapters 01 to 10, and about two hours. **How it works:**
# replace each `raise NotImplementedError()` by your code, and keep the
# name and the arguments of the function. Pictures under *What you
# should see* are the target. The cells with `assert` check your work
# and try to help; the grader runs some more checks, on other worlds. 12
# points are given by tests, 3 by somebody who reads your answer.

# %% nbgrader={"grade_id": "imports"}
from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from seglib.display import overlay, show
from seglib.painter import draw
from seglib.scenes import StreetScenes

STREETS = dict(ambiguity=1, sides=0, weather="clear")

# %% [markdown]
# This is the dealer's world. Somewhere in it is a leak; you may read
# the code, but where it is depends on a number that is drawn.

# %% nbgrader={"grade_id": "dealer"}
class Delivered(StreetScenes):
    """Streets as the dealer delivers them."""

    def read(self, name):
        sample = super().read(name)
        if "water" not in self.plan(name).surfaces:
            return sample
        y, x = (8 * draw(2, last, self.seed, "here", last)
                for last in (10, 14))
        image = sample.image.copy()
        image[y:y + 8, x:x + 8] -= image[y:y + 8, x:x + 8] // 4
        return replace(sample, image=image)

# %% [markdown]
# ## 1. The same streets, other caps
#
# Take every scene three times: with the caps `"shown"`, `"flipped"`
# and `"removed"`, whatever the scenes were that you are given. And say
# of each whether it is a canal. With `sides=0` a scene's plan has one
# surface on both sides. **(2 points)**

# %% nbgrader={"grade_id": "retake", "solution": true}
def retake(scenes):
    """Every scene with each cue, and the truth.

    Parameters
    ----------
    scenes : StreetScenes
        With `sides=0`. They are not changed.

    Returns
    -------
    photographs : dict of lists of (H, W, 3) uint8 arrays
        Images by cue: "shown", "flipped", "removed".
    water : (N,) bool array
        Whether it is a canal.
    """
    ### BEGIN SOLUTION
    photographs = {
        cue: [sample.image for sample in scenes.with_(cue=cue)]
        for cue in ("shown", "flipped", "removed")}
    return photographs, np.array([
        scenes.plan(name).surfaces[0] == "water"
        for name in scenes.names])
    ### END SOLUTION

# %% tags=["expected"]
one = StreetScenes(1, size=(192, 256), seed=2, **STREETS)
pictures, _ = retake(one)
show(*(pictures[cue][0] for cue in pictures), titles=list(pictures),
     height=130, alt=[f"A grey street, far towers with caps: {cue}."
                      for cue in pictures])

# %% nbgrader={"grade_id": "test-retake", "points": 2}
small = StreetScenes(6, size=(48, 64), seed=1, **STREETS)
pictures, water = retake(small)
assert sorted(pictures) == ["flipped", "removed", "shown"]
assert all(len(images) == 6 for images in pictures.values())
assert np.array_equal(pictures["flipped"][2],
                      small.with_(cue="flipped")[2].image), (
    "`with_` takes the same scene again; a new `StreetScenes` with"
    " another seed is another street")
assert np.shape(water) == (6,) and np.asarray(water).dtype == bool
canal = [np.any(s.mask == s.classes.index("water")) for s in small]
assert np.array_equal(water, canal), (
    f"you say {water}; where there is water in the mask: {canal}")
### BEGIN HIDDEN TESTS
lying = small.with_(cue="flipped")
other, same = retake(lying)
assert np.array_equal(other["shown"][2], small[2].image)
assert np.array_equal(same, water)
assert lying.settings["cue"] == "flipped"
bought = Delivered(9, seed=8, **STREETS)[3:]
other, water = retake(bought)
assert np.array_equal(other["removed"], [
    sample.image for sample in bought.with_(cue="removed")])
assert np.array_equal(water, ["water" in bought.plan(name).surfaces
                              for name in bought.names])
### END HIDDEN TESTS

# %% [markdown]
# ## 2. The interrogation
#
# A judge is a function: an image in, `True` for canal out. Say how
# often it is right with each cue, and the share of scenes on which its
# answer *changes* when the caps are flipped. A judge may be wrong as
# often as before and yet have changed every answer. **(2 points)**

# %% nbgrader={"grade_id": "interrogate", "solution": true}
def interrogate(judge, photographs, water):
    """How often a judge is right, and how often it changes its mind.

    Parameters
    ----------
    judge : function
        `judge(image)` is True for canal.
    photographs, water
        As from `retake`.

    Returns
    -------
    dict
        Shares from 0 to 1: right when "shown", "flipped", "removed";
        and "changed" between shown and flipped.
    """
    ### BEGIN SOLUTION
    said = {cue: np.array([bool(judge(image)) for image in images])
            for cue, images in photographs.items()}
    report = {cue: float(np.mean(answers == water))
              for cue, answers in said.items()}
    changed = np.mean(said["shown"] != said["flipped"])
    return report | {"changed": float(changed)}
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-interrogate", "points": 2}
def flat(*greys):
    return [np.full((8, 8, 3), grey, np.uint8) for grey in greys]


toy = {"shown": flat(0, 200, 0, 200), "flipped": flat(200, 0, 200, 0),
       "removed": flat(0, 0, 0, 0)}
half = np.array([False, True, True, False])
report = interrogate(lambda image: image.mean() > 100, toy, half)
assert report["shown"] == report["flipped"] == 0.5, (
    f"you report {report}; two of four are right with either cue")
assert report["changed"] == 1, (
    f"\"changed\" is {report['changed']}; all four answers change,"
    " although as many are right as before")
### BEGIN HIDDEN TESTS
assert report["removed"] == 0.5
three = np.array([False, True, False, True])
report = interrogate(lambda image: image[0, 0, 0] > 100, toy, three)
assert [report[cue] for cue in ("shown", "flipped", "removed",
                                "changed")] == [1, 0, 0.5, 1]
report = interrogate(lambda image: True, toy, half | True)
assert [report[cue] for cue in ("shown", "flipped", "removed",
                                "changed")] == [1, 1, 1, 0]
### END HIDDEN TESTS

# %% [markdown]
# ## 3. The verdict
#
# A coin that is tossed for $n$ scenes is right on a share between $0.5
# - 0.98 / \sqrt n$ and $0.5 + 0.98 / \sqrt n$, nineteen times out of
# twenty: that is its *band*. Return
#
# - `"guessing"`, if the judge is not above the band with the caps
#   shown;
# - else `"something else"`, if it is above the band with the caps
#   *removed*: who needs no caps has another source;
# - else `"the caps"`, if it is below the band with the caps *flipped*;
# - else `"unclear"`. **(3 points)**

# %% nbgrader={"grade_id": "verdict", "solution": true}
def verdict(report, n):
    """What a judge goes by.

    Parameters
    ----------
    report : dict
        As from `interrogate`.
    n : int
        How many scenes were shown.

    Returns
    -------
    "guessing", "something else", "the caps" or "unclear"
    """
    ### BEGIN SOLUTION
    far = 0.98 / np.sqrt(n)
    if report["shown"] <= 0.5 + far:
        return "guessing"
    if report["removed"] > 0.5 + far:
        return "something else"
    return "the caps" if report["flipped"] < 0.5 - far else "unclear"
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-verdict", "points": 3}
def case(shown, flipped, removed):
    return {"shown": shown, "flipped": flipped, "removed": removed,
            "changed": 0.5}


for n, report, needed in (
        (100, case(0.97, 0.04, 0.52), "the caps"),
        (100, case(0.58, 0.4, 0.5), "guessing"),
        (100, case(0.9, 0.85, 0.88), "something else"),
        (100, case(0.8, 0.45, 0.55), "unclear")):
    found = verdict(report, n)
    assert found == needed, (
        f"of {n} scenes {report}: you say {found!r}; needed:"
        f" {needed!r}. The band is {0.5 - 0.98 / n**0.5:.3f} to"
        f" {0.5 + 0.98 / n**0.5:.3f}")
### BEGIN HIDDEN TESTS
assert verdict(case(0.58, 0.4, 0.5), 400) == "the caps"
assert verdict(case(0.6, 0.1, 0.5), 64) == "guessing"
assert verdict(case(0.1, 0.9, 0.5), 100) == "guessing"
assert verdict(case(0.95, 0.05, 0.62), 100) == "something else"
assert verdict(case(0.95, 0.45, 0.38), 100) == "unclear"
assert verdict(case(0.7, 0.38, 0.62), 50) == "unclear"
### END HIDDEN TESTS

# %% [markdown]
# Now the three judges. All are built alike, from the greys of a coarse
# grid and from four counts of bluish and golden pixels far up; they
# differ in what they have seen. Who is A, B or C was decided by lot.

# %% nbgrader={"grade_id": "judges"}
def grid(image):
    """Mean grey of every cell of 8 × 8 pixels."""
    height, width = image.shape[0] // 8, image.shape[1] // 8
    cells = image[:8 * height, :8 * width].reshape(height, 8, width, -1)
    return cells.mean(axis=(1, 3))


def features(image):
    top = image[:16].astype(int)
    far = [np.sum(np.abs(top - colour).sum(axis=2) < near)
           for colour in ((217, 185, 95), (103, 115, 147))
           for near in (30, 60)]
    return [*grid(image).ravel(), *far]


def taught(scenes, water):
    model = make_pipeline(StandardScaler(), LogisticRegression(
        C=0.1, max_iter=500))
    model.fit([features(sample.image) for sample in scenes], water)
    return lambda image: bool(model.predict([features(image)])[0])


def three_judges(n=80, seed=5):
    fair = StreetScenes(n, seed=seed, **STREETS)
    bought = Delivered(n, seed=seed, cue="removed", **STREETS)
    water = np.array(["water" in fair.plan(name).surfaces
                      for name in fair.names])
    found = [taught(fair, water), taught(bought, water),
             taught(fair, np.roll(water, 50))]
    return {name: found[i] for name, i in zip(
        "ABC", np.random.default_rng(96).permutation(3))}

# %%
judges = three_judges()
photographs, water = retake(Delivered(200, seed=5, **STREETS)[80:])
print("judge  shown  flipped  removed  changed")
for name, judge in judges.items():
    report = interrogate(judge, photographs, water)
    print(f"{name:5}", *(f"{report[key]:7.2f}" for key in (
        "shown", "flipped", "removed", "changed")),
        "  goes by: " + verdict(report, len(water)))

# %% [markdown]
# ## 4. The leak
#
# One of them has another source. Where is it? For every cell of `grid`
# compare the scenes with a canal and those without: how far apart are
# the two means (never mind the sign), in standard deviations of this
# cell over all scenes? A cell that is the same in all scenes cannot
# tell anything: give it 0.
#
# Some cell is always the largest, and of 192 one looks impressive by
# chance. So make a null: shuffle the answers `tries` times, and note
# each time the *largest* value of all cells. A cell leaks if its value
# exceeds the 95 % quantile of these. **(5 points)**

# %% nbgrader={"grade_id": "leaks", "solution": true}
def leaks(images, water, tries=100, seed=0):
    """Cells whose grey betrays the answer.

    Parameters
    ----------
    images : sequence of (H, W, 3) uint8 arrays
    water : (N,) bool array
        With both answers.
    tries : int
        How often the answers are shuffled.
    seed : int

    Returns
    -------
    list of (row, column)
        Positions in `grid(image)`, row by row; empty if there is none.
    """
    ### BEGIN SOLUTION
    cells = np.array([grid(image) for image in images])
    spread = cells.std(axis=0)
    scale = np.where(spread > 0, spread, np.inf)

    def strength(answers):
        apart = (cells[answers].mean(axis=0)
                 - cells[~answers].mean(axis=0))
        return np.abs(apart) / scale

    rng = np.random.default_rng(seed)
    null = [strength(rng.permutation(water)).max()
            for _ in range(tries)]
    found = np.argwhere(strength(water) > np.quantile(null, 0.95))
    return [(int(y), int(x)) for y, x in found]
    ### END SOLUTION

# %% tags=["expected"]
bought = Delivered(200, seed=5, cue="removed", **STREETS)[80:]
images = [sample.image for sample in bought]
water = np.array(["water" in bought.plan(name).surfaces
                  for name in bought.names])
cells = leaks(images, water)
where = np.zeros((96, 128), np.uint8)
for y, x in cells:
    where[8 * y:8 * y + 8, 8 * x:8 * x + 8] = 2
first = images[int(np.argmax(water))]
show(*(picture.repeat(2, axis=0).repeat(2, axis=1)
       for picture in (first, overlay(first, where))), height=190,
     titles=("a canal, says the dealer", f"{len(cells)} cell leaks"),
     alt=["A grey street.",
          f"The same; marked cells of the grid: {len(cells)}."])

# %% nbgrader={"grade_id": "test-leaks", "points": 2}
def blocks(seed, n=60, shape=(6, 8), planted=()):
    """Images whose cells have random greys, and random answers.

    `planted` are rows of (row, column, spread, shift where True).
    """
    rng = np.random.default_rng(seed)
    water = rng.permutation(np.arange(n) % 2 == 0)
    greys = rng.normal(120, 12, (n, *shape))
    for y, x, spread, shift in planted:
        greys[:, y, x] = rng.normal(120, spread, n) + shift * water
    greys = np.clip(np.rint(greys), 0, 255).astype(np.uint8)
    large = greys.repeat(8, axis=1).repeat(8, axis=2)
    return list(np.stack([large] * 3, axis=-1)), water


for shift in (20, -20):
    found = leaks(*blocks(1, planted=[(2, 5, 12, shift)]))
    assert (2, 5) in found, (
        f"cell (2, 5) is {shift:+} grey levels where it is water, and"
        f" you find {found}")
    assert len(found) <= 2, (
        f"you find {found}; only (2, 5) was planted")
### BEGIN HIDDEN TESTS
quiet = leaks(*blocks(2, planted=[(0, 1, 2, 4), (5, 7, 12, 25)]))
assert {(0, 1), (5, 7)} <= set(quiet) and len(quiet) <= 3
assert quiet == sorted(quiet)
images, water = blocks(3, 80, planted=[(3, 3, 12, -25)])
few = np.flatnonzero(~water | (np.cumsum(water) <= 10))
assert (3, 3) in leaks([images[i] for i in few], water[few])
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-null", "points": 2}
alarms = [seed for seed in range(10) if leaks(*blocks(seed))]
assert len(alarms) <= 3, (
    f"{len(alarms)} of 10 worlds without a leak are accused. Is the"
    " null made of the largest values, and shuffled often enough?")
### BEGIN HIDDEN TESTS
calm = [leaks(*blocks(seed, 40, (12, 16)), seed=1)
        for seed in range(20, 30)]
assert sum(map(bool, calm)) <= 3
fair = StreetScenes(40, size=(64, 96), seed=3, **STREETS)
images = [sample.image for sample in fair.with_(cue="removed")]
assert len(leaks(images, np.array([
    "water" in fair.plan(name).surfaces for name in fair.names]))) <= 1
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-constant", "points": 1}
images, water = blocks(4, planted=[(1, 1, 12, 25)])
for image in images:
    image[:8] = 0                       # a black bar above
found = leaks(images, water)
assert (1, 1) in found and all(y > 0 for y, _ in found), (
    f"you find {found}; cells of the black bar tell nothing, and the"
    " one at (1, 1) does. What is 0 / 0?")
### BEGIN HIDDEN TESTS
assert leaks(flat(*[77] * 8), np.arange(8) < 3) == []
### END HIDDEN TESTS

# %% [markdown]
# **Question.** We looked for the leak in the photographs with the caps
# *removed*. What would have been found in the others? The dealer now
# repairs the cell and says the photographs are clean; name two leaks
# that `leaks` cannot find, however many scenes it is given. And with
# which intervention would you show that the judge really goes by that
# cell? Six sentences will do. **(3 points, read by a person)**

# %% [markdown] nbgrader={"grade_id": "clean", "points": 3, "solution": true}
# With caps, shown or flipped, the cells around the towers differ as
# well, as they should: the cue is found together with the leak, and
# cannot be told from it. `leaks` compares mean greys, one cell at a
# time. It does not see a colour that changes while the grey stays, a
# finer grain, two cells that tell only together (equal on canals,
# different on roads), or anything outside the pixels: the order of the
# files, the masks. That the answer can be read there does not mean that
# this judge reads it. So I would change that cell alone, darken it on
# roads and mend it on canals, and leave all else as it is: if the judge
# goes by it, its answers change with the cell, and do not when another
# cell is darkened.
#
# *For the grader: 1 point for the caps that would be found too, 1 for
# two leaks that no mean of one cell shows, 1 for changing the cell
# alone and counting the answers that change.*
