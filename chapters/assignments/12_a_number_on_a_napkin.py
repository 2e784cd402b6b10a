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
# # A number on a napkin
#
# *A network knows one digit at a time. Somebody has scribbled a whole
# telephone number. Must it learn anything new?*
#
# It must not. You will turn a reader of single digits into one that
# reads everywhere at once, find out which pixel each of its opinions is
# about, fill in the opinions between them, and have it read you the
# number. Digits were among the first things that a network read in this
# way, in 1991; the FCN of chapter 12 remembers it as its ancestor.
#
# **You need** chapters 01 to 12, and about two hours. **How it works:**
# replace each `raise NotImplementedError()` by your code, and keep the
# name and the arguments of the function. Pictures under *What you
# should see* are the target. The cells with `assert` check your work
# and try to help; the grader runs some more checks, on other networks
# and pages. 12 points are given by tests, 3 by somebody who reads your
# answer.

# %% nbgrader={"grade_id": "imports"}
import warnings

import numpy as np
import torch
from scipy import ndimage
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from seglib.datasets import Sample
from seglib.display import show
from seglib.fcn import as_convolution, receptive_field
from seglib.training import fit

warnings.filterwarnings("ignore", "Converting a tensor")
torch.set_num_threads(1)        # so small, more of them only wait
NOTHING = 10                    # the class after the ten digits

# %% [markdown]
# Real handwriting, a paper napkin, and a hand that is not quite steady.
# The last digits of the collection are kept for napkins that the
# network has never seen.

# %% nbgrader={"grade_id": "napkins"}
HAND = load_digits()


def napkin(seed, fresh=True, length=7):
    """A number on a napkin, its digits, and where they are centred.

    (40, W) uint8 page, string, and (length, 2) float rows and columns.
    """
    rng = np.random.default_rng([seed, fresh])
    known = np.s_[1500:] if fresh else np.s_[:1500]
    glyphs, digits = HAND.images[known], HAND.target[known]
    picked = rng.integers(0, len(digits), length)
    gaps = rng.integers(16, 26, length)
    page, left, spots = np.zeros((40, 24 + gaps.sum())), 14, []
    for glyph, gap in zip(glyphs[picked], gaps):
        top = rng.integers(8, 17)
        page[top:top + 16, left:left + 16] += np.kron(
            glyph / 16, np.ones((2, 2)))
        spots.append((top + 7.5, left + 7.5))
        left += gap
    page = 255 * np.clip(page + rng.normal(0, 0.05, page.shape), 0, 1)
    return (page.astype(np.uint8), "".join(map(str, digits[picked])),
            np.array(spots))


page, number, _ = napkin(1)
show(255 - page, alt=f"A strip with handwritten digits: {number}.")

# %% [markdown]
# The reader gets windows of 24 × 24 pixels and says which digit stands
# in the middle, or that none does. That it has to be told as well, for
# most windows of a page hold the right half of one digit and the left
# half of the next.

# %% nbgrader={"grade_id": "reader"}
class Reader(nn.Module):
    """Which digit is in the middle of 24 x 24 pixels?"""

    def __init__(self, width=12, hidden=64):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3), nn.ReLU(),
            nn.Conv2d(width, width, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(
            nn.Linear(2 * width * 4 * 4, hidden), nn.ReLU(),
            nn.Linear(hidden, 11))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def lessons(napkins=400):
    """Windows with a digit in the middle, and windows with none."""
    rng, found = np.random.default_rng(0), []
    for seed in range(napkins):
        page, number, spots = napkin(seed, fresh=False)
        corners = [(*(spot - 11.5 + rng.integers(-2, 3, 2)), int(digit))
                   for spot, digit in zip(spots, number)
                   for _ in range(2)]
        for corner in rng.integers(0, np.subtract(page.shape, 23),
                                   (16, 2)):
            off = np.abs(spots - corner - 11.5).max(axis=1)
            if off.min() >= 5:
                corners.append((*corner, NOTHING))
        for y, x, label in np.array(corners, int):
            found.append(Sample(
                page[y:y + 24, x:x + 24].copy(),
                np.full((24, 24), label, np.uint8), "window"))
    return found


def of_the_middle(scores, masks):
    return F.cross_entropy(scores, masks[:, 12, 12].long())

# %%
torch.manual_seed(0)
reader, windows = Reader(), lessons()
history = fit(reader, windows, steps=500, batch_size=64, lr=4e-3,
              loss=of_the_middle, precision="fp32", progress=False)
reader = reader.eval().requires_grad_(False)
first, last = (history.rows[i]["loss"] for i in (0, -1))
print(f"{len(windows)} windows, loss {first:.2f} -> {last:.2f}")

# %% [markdown]
# ## 1. Without a frame
#
# The reader takes 24 × 24 pixels and nothing else: its first matrix
# insists on it. Make a network of the same layers that takes pages of
# any size from 24 × 24, and gives a map of scores. Nothing is copied
# and nothing trained: the two share their weights. The first matrix was
# made for a map of several places, those after it for a single one.
# **(3 points)**

# %% nbgrader={"grade_id": "without-frame", "solution": true}
def without_frame(reader):
    """A classifier as a fully convolutional network.

    Parameters
    ----------
    reader : nn.Module
        With `features`, a Sequential of layers, and `classifier`, a
        Sequential whose layers are `nn.Linear` or work on each number
        by itself. There may be more or fewer than in `Reader`.

    Returns
    -------
    nn.Sequential
        (N, 1, H, W) in, (N, K, h, w) out, with the reader's weights.
    """
    ### BEGIN SOLUTION
    layers = list(reader.features)
    channels = [layer.out_channels for layer in layers
                if isinstance(layer, nn.Conv2d)][-1]
    for layer in reader.classifier:
        if isinstance(layer, nn.Linear):
            layer = as_convolution(layer, channels)
            channels = layer.out_channels
        layers.append(layer)
    return nn.Sequential(*layers)
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-scores", "points": 2}
torch.manual_seed(1)
small = Reader(4, 10).requires_grad_(False)
everywhere, wide = without_frame(small), torch.rand(2, 1, 32, 52)
scores = everywhere(wide)
assert scores.shape == (2, 11, 3, 8), (
    f"of 32 × 52 pixels you make {tuple(scores.shape)}; needed: (2, 11,"
    " 3, 8), a score for each window of 24 pixels, in steps of 4")
for i, j in ((0, 0), (2, 5)):
    alone = small(wide[..., 4 * i:4 * i + 24, 4 * j:4 * j + 24])
    assert torch.allclose(scores[..., i, j], alone, atol=1e-5), (
        f"score ({i}, {j}) is not what the reader says of its window")
### BEGIN HIDDEN TESTS
deep = Reader(6, 7).requires_grad_(False)
deep.classifier = nn.Sequential(
    nn.Linear(192, 20), nn.Tanh(), nn.Linear(20, 12), nn.ReLU(),
    nn.Linear(12, 5)).requires_grad_(False)
assert torch.allclose(without_frame(deep)(wide)[..., 1, 7],
                      deep(wide[..., 4:28, 28:52]), atol=1e-5)
lone = Reader(6)
lone.classifier = nn.Sequential(nn.Linear(192, 3))
assert without_frame(lone)(wide[:1]).shape == (1, 3, 3, 8)
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-shared", "points": 1}
torch.manual_seed(2)
learner, there = Reader(4, 10).requires_grad_(False), torch.rand(
    1, 1, 24, 24)
outside = without_frame(learner)
for part in learner.classifier[0], learner.features[0]:
    part.weight *= 0.5
assert torch.allclose(outside(there)[..., 0, 0], learner(there),
                      atol=1e-5), (
    "the reader has gone on learning, and your network has not: share"
    " the weights, do not copy them")
### BEGIN HIDDEN TESTS
learner.classifier[2].weight.neg_()
assert torch.allclose(outside(there)[..., 0, 0], learner(there),
                      atol=1e-5)
assert isinstance(learner.classifier[0], nn.Linear)
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Which pixel is this about?
#
# Say where the scores along one side lie, in pixels of the page. Pixel
# 0 is centred on 0. Mind that a window of 24 pixels has no middle
# pixel, and that you may be given a network that pads. **(2 points)**

# %% nbgrader={"grade_id": "places", "solution": true}
def places(net, n):
    """On which pixels scores are centred.

    Parameters
    ----------
    net : nn.Module
        Convolutions and poolings, one after the other.
    n : int
        Scores along a side.

    Returns
    -------
    (n,) float array
    """
    ### BEGIN SOLUTION
    field = receptive_field(net)
    return field.start + field.stride * np.arange(n)
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-places", "points": 2}
pair, triple = nn.Conv2d(1, 1, 2), nn.Conv2d(1, 1, 3, stride=3)
for net, needed in ((pair, (0.5, 1.5)), (triple, (1, 4)),
                    (nn.Sequential(triple, nn.MaxPool2d(2)), (2.5, 8.5))
                    ):
    found = places(net, 2)
    assert np.allclose(found, needed), (
        f"{net} scores pixels {needed[0]} and {needed[1]}; you say"
        f" {found}. A window from pixel 0 to pixel 1 is about 0.5")
### BEGIN HIDDEN TESTS
frame = nn.Sequential(*Reader().features, nn.Conv2d(24, 11, 4))
assert np.allclose(places(frame, 5), [11.5, 15.5, 19.5, 23.5, 27.5])
padded = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2),
                       nn.Conv2d(1, 1, 5, padding=2), nn.AvgPool2d(2))
assert np.allclose(places(padded, 3), [1.5, 5.5, 9.5])
outside = nn.Conv2d(1, 1, 4, padding=3)
assert np.allclose(places(outside, 2), [-1.5, -0.5])
assert np.shape(places(pair, 1)) == (1,)
### END HIDDEN TESTS

# %% [markdown]
# ## 3. Between two scores
#
# The scores lie 4 pixels apart. What does the reader think of the
# places in between? Ask it: push the page to the left by a pixel, and
# all scores are about places one pixel further right. Do that for all
# shifts, down and across, and lay the answers into each other like the
# teeth of a comb. This is *shift and stitch*. With a `step` of 2 only
# every other shift is asked for.
#
# To push the page is to cut columns off. So the answers differ in size,
# and when a page is hardly larger than the window, some shifts leave
# nothing to look at: then there is nothing to lay in. **(4 points)**

# %% nbgrader={"grade_id": "stitch", "solution": true}
def stitch(net, page, step=1):
    """Scores of every window, in steps smaller than the network's own.

    Parameters
    ----------
    net : nn.Module
        (1, 1, H, W) in, (1, K, h, w) out, without padding.
    page : (H, W) uint8 array
        Not smaller than the network's window.
    step : int
        In pixels; a divisor of the network's stride.

    Returns
    -------
    (K, rows, columns) float32 tensor
        Of windows that begin 0, step, 2 step, … pixels from the top and
        from the left, as many as lie on the page.
    """
    ### BEGIN SOLUTION
    x = torch.from_numpy(page)[None, None] / 255
    size, stride, _ = receptive_field(net)
    rows, columns = ((side - size) // step + 1 for side in page.shape)
    dense, each = None, stride // step
    with torch.inference_mode():
        for dy in range(min(each, rows)):
            for dx in range(min(each, columns)):
                scores = net(x[..., dy * step:, dx * step:])[0]
                if dense is None:
                    dense = scores.new_empty(len(scores), rows, columns)
                dense[:, dy::each, dx::each] = scores
    return dense
    ### END SOLUTION

# %% tags=["expected"]
def warmth(scores):
    """How sure the reader is that there is some digit."""
    return 1 - scores.softmax(0)[NOTHING].numpy()


def drawn(page, warm, start, step):
    """The page, and below it the warmth, each score in its place."""
    canvas = np.zeros((2 * page.shape[0], 2 * page.shape[1]))
    large = warm.repeat(2 * step, axis=0).repeat(2 * step, axis=1)
    corner = int(2 * start + 1 - step)
    canvas[corner:corner + large.shape[0],
           corner:corner + large.shape[1]] = large
    ink = 1 - np.kron(page / 255, np.ones((2, 2)))
    return np.vstack([ink, np.ones((6, ink.shape[1])), canvas])


net = without_frame(reader)
page, number, spots = napkin(4)
start = places(net, 1)[0]
warm = {step: warmth(stitch(net, page, step)) for step in (4, 1)}
show(*(drawn(page, one, start, step) for step, one in warm.items()),
     titles=("steps of 4 pixels", "stitched"),
     alt=[f"The digits {number}; below them a map of coarse squares,"
          " bright under the digits.",
          "The same; below each digit a small bright spot with a clear"
          " outline."])

# %% nbgrader={"grade_id": "test-stitch", "points": 2}
def asked_one_by_one(net, page, step=1):
    """What `stitch` has to give, slowly: every window by itself."""
    size = receptive_field(net).size
    x = torch.from_numpy(page)[None, None] / 255
    with torch.inference_mode():
        return torch.stack([torch.stack([
            net(x[..., y:y + size, x_:x_ + size])[0, :, 0, 0]
            for x_ in range(0, page.shape[1] - size + 1, step)], -1)
            for y in range(0, page.shape[0] - size + 1, step)], -2)


torch.manual_seed(3)
coarse = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.MaxPool2d(2),
                       nn.Conv2d(3, 2, 2, stride=2))
paper = np.random.default_rng(3).integers(0, 256, (17, 22)).astype(
    np.uint8)
found, needed = stitch(coarse, paper), asked_one_by_one(coarse, paper)
assert found.shape == needed.shape, (
    f"you give {tuple(found.shape)}; needed: {tuple(needed.shape)}, as"
    " many windows of 6 pixels as 17 × 22 have")
column = torch.isclose(found, needed, atol=1e-5).all(0).all(0)
assert torch.allclose(found[..., ::4], needed[..., ::4], atol=1e-5), (
    "even the columns 0, 4, 8, … are wrong, which need no shift across:"
    " look at the rows")
assert column.all(), (
    f"wrong in columns {(~column).nonzero().flatten().tolist()}: which"
    " window does the first score see when 1 column has been cut off?")
### BEGIN HIDDEN TESTS
brief = nn.Conv2d(1, 4, 5, stride=3)
for size in ((12, 31), (16, 17), (23, 14)):
    sheet = np.random.default_rng(size[0]).integers(
        0, 256, size).astype(np.uint8)
    for one in coarse, brief:
        assert torch.allclose(stitch(one, sheet),
                              asked_one_by_one(one, sheet), atol=1e-5)
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-narrow", "points": 1}
narrow = paper[:, :7]                   # windows of 6: two across
found = stitch(coarse, narrow)
assert found.shape == (2, 12, 2), (
    f"of 17 × 7 pixels you make {tuple(found.shape)}; needed: (2, 12,"
    " 2). Shifts by 2 and 3 leave less than a window")
assert torch.allclose(found, asked_one_by_one(coarse, narrow),
                      atol=1e-5)
### BEGIN HIDDEN TESTS
for size in ((6, 6), (6, 9), (8, 6)):
    scrap = paper[:size[0], :size[1]]
    assert torch.allclose(stitch(coarse, scrap),
                          asked_one_by_one(coarse, scrap), atol=1e-5)
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-step", "points": 1}
for step in (4, 2):
    found = stitch(coarse, paper, step)
    needed = asked_one_by_one(coarse, paper, step)
    assert found.shape == needed.shape, (
        f"in steps of {step} you give {tuple(found.shape)}; needed:"
        f" {tuple(needed.shape)}")
    assert torch.allclose(found, needed, atol=1e-5), (
        f"wrong with steps of {step}: which shifts are asked for, and"
        " how many scores come between two of the network's own?")
### BEGIN HIDDEN TESTS
six = nn.Conv2d(1, 1, 8, stride=6)
asked = []
six.register_forward_hook(lambda *_: asked.append(1))
assert torch.allclose(stitch(six, paper, 3),
                      asked_one_by_one(six, paper, 3), atol=1e-5)
asked.clear()
stitch(six, paper, 2)
assert len(asked) == 9
### END HIDDEN TESTS

# %% [markdown]
# ## 4. Read it out
#
# A digit makes a whole spot warm, and it is one digit. Read the scores
# so:
#
# 1. Make probabilities of them, class by class at each place, and let
#    neighbours vote: take the *mean* of each class's probability over
#    `votes × votes` places (`ndimage.uniform_filter` does it, as it
#    comes, but not across classes).
# 2. The warmth of a place is 1 less the probability of `NOTHING`. Take
#    the warmest place (of equal ones the first). Stop if it is below
#    one half.
# 3. Note the likeliest *digit* there, and where it is. Then strike out
#    all places whose column is *less* than `apart` places away, at any
#    height, for digits stand in a line; and go back to 2. (At the left
#    edge NumPy counts negative columns from the other end: then nothing
#    is struck out, and you read the same digit for ever.)
#
# Return the digits from left to right, and their places. **(3 points)**

# %% nbgrader={"grade_id": "read", "solution": true}
def read(scores, votes=5, apart=9):
    """The number that a map of scores spells.

    Parameters
    ----------
    scores : (11, rows, columns) float tensor
        The digits 0 to 9, and `NOTHING`.
    votes : int
        Side of the square of places that vote, odd.
    apart : int
        Least distance of two digits' columns, in places.

    Returns
    -------
    number : str
    spots : list of (row, column)
        Of each digit in the map, as int.
    """
    ### BEGIN SOLUTION
    shares = ndimage.uniform_filter(scores.softmax(0).numpy(),
                                    (1, votes, votes))
    warm, found = 1 - shares[NOTHING], []
    while warm.size and warm.max() >= 0.5:
        row, column = map(int, np.unravel_index(warm.argmax(),
                                                warm.shape))
        digit = int(shares[:NOTHING, row, column].argmax())
        found.append((column, row, digit))
        warm[:, max(0, column - apart + 1):column + apart] = 0
    found.sort()
    return ("".join(str(digit) for _, _, digit in found),
            [(row, column) for column, row, _ in found])
    ### END SOLUTION

# %% tags=["expected"]
net, rows = without_frame(reader), []
for seed in range(3):
    page, number, spots = napkin(seed)
    said, found = read(stitch(net, page))
    large = np.stack([255 - page] * 3, axis=-1)
    large = large.repeat(3, axis=0).repeat(3, axis=1)
    for row, column in found:
        y, x = (int(3 * (n + places(net, 1)[0]) + 1)
                for n in (row, column))
        large[y - 1:y + 2, x - 9:x + 10] = 213, 94, 0
        large[y - 9:y + 10, x - 1:x + 2] = 213, 94, 0
    rows.append((large, said, number))
show(*(large for large, _, _ in rows),
     titles=[f"read: {said}" for _, said, _ in rows],
     alt=[f"The digits {number}, a cross in the middle of each that was"
          " found." for _, _, number in rows])

# %% nbgrader={"grade_id": "test-read", "points": 2}
def map_of(columns, *digits, row=3, sure=6.0):
    """Scores of 8 rows, one warm place for each (column, digit)."""
    scores = torch.zeros(11, 8, columns)
    scores[NOTHING] = 5
    for column, digit in digits:
        scores[digit, row, column] = 5 + sure
        sure -= 0.1
    return scores


line = map_of(60, (40, 7), (10, 7), (25, 0))
said, spots = read(line, votes=1)
assert said == "707", (
    f"7, 0 and 7 stand there from left to right; you read {said!r}")
assert list(map(tuple, spots)) == [(3, 10), (3, 25), (3, 40)], (
    f"they stand at (3, 10), (3, 25) and (3, 40); you say {spots}")
for column, needed in ((18, "4"), (19, "44")):
    said, _ = read(map_of(40, (10, 4), (column, 4)), 1, apart=9)
    assert said == needed, (
        f"two 4s, {column - 10} columns apart, with apart=9: you read"
        f" {said!r}; needed: {needed!r}")
### BEGIN HIDDEN TESTS
assert read(map_of(50), 1) == ("", [])
edge = map_of(20, (0, 3), (19, 8), row=0)
assert read(edge, 1)[0] == "38"
assert [tuple(spot) for spot in read(edge, 1)[1]] == [(0, 0), (0, 19)]
low = map_of(30, (4, 2))
low[:9, 7, 22] = 4.5                    # nine small likelihoods
assert read(low, 1)[0] == "20"
kept = low.clone()
read(low)
assert torch.equal(low, kept)
two = map_of(40, (10, 1))
two[6, 6, 12] = 8                       # below it, a fainter digit
assert read(two, 1)[0] == "1"
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-votes", "points": 1}
spot = map_of(30)
spot[2, 2:7, 8:13] = 9                  # a warm square says 2,
spot[5, 4, 10] = 30                     # its middle shouts 5
spot[1, 4, 24] = 30                     # and somewhere one place shouts
loud, quiet = read(spot, votes=1), read(spot, votes=5)
assert loud[0] == "51", f"one place, one vote: 5 and 1, not {loud[0]!r}"
assert quiet[0] == "2", (
    f"24 of 25 places say 2, however loud the last one is, and the 1"
    f" stands alone; you read {quiet[0]!r}. Probabilities vote, not"
    " scores, and no class votes for another")
assert tuple(quiet[1][0]) == (4, 10), (
    f"the square is centred on (4, 10); you say {quiet[1]}")
### BEGIN HIDDEN TESTS
for votes, needed in ((3, "2"), (7, "2")):
    assert read(spot, votes)[0] == needed
### END HIDDEN TESTS

# %% [markdown]
# And now forty napkins by writers whose digits it has never seen: how
# many numbers are read without a mistake, and how far from the middle
# of a digit is the place that is named for it?

# %%
net = without_frame(reader)
for step, votes in ((4, 1), (1, 1), (1, 5)):
    start, right, far = places(net, 1)[0], 0, []
    for seed in range(40):
        page, number, spots = napkin(seed)
        said, found = read(stitch(net, page, step), votes,
                           apart=8 // step + 1)
        right += said == number
        if len(found) == len(spots):
            far.append(np.hypot(*(start + step * np.array(found)
                                  - spots).T).mean())
    print(f"steps of {step}, {votes} × {votes} votes: {right} of 40"
          f" read, {np.mean(far):.1f} pixels from the middle")

# %% [markdown]
# **Question.** The reader has learnt nothing since the beginning. What
# have smaller steps changed in your table, and what the votes, for the
# reading and for the places? (It is not a matter of course that asking
# sixteen times as many windows makes the loudest answer a better one:
# why?) Next: cut all windows of 24 × 24 out of a page of 1000 × 1000
# pixels, or stitch: about how many times does the first convolution
# look at one pixel of the page in either way? And FCN does not stitch,
# but adds the scores of an earlier stage: what do these know that no
# stitched score knows? Six sentences will do. **(3 points, read by a
# person)**

# %% [markdown] nbgrader={"grade_id": "denser", "points": 3, "solution": true}
# In steps of 4 the nearest score may be two pixels away, down and
# across; in steps of 1 some window has the digit in its middle. But all
# windows about a digit are sure of it, and the warmest is not the one
# in the middle: only the votes, whose mean is largest amid the warm
# spot, bring the place to within a pixel. As to reading, the loudest of
# sixteen times as many answers may as well be the loudest mistake;
# neighbouring windows make different mistakes, and in the mean of 25
# the odd one out is outvoted. Window by window a pixel is looked at
# 24 × 24 = 576 times; stitched 16 times, once for each shift, for what
# windows share is computed once. Every stitched score is still about a
# whole window that was pooled twice: the scores lie denser, and are not
# sharper. An earlier stage sees less and has been pooled less: it knows
# where in the window an edge is, which was lost before anybody could
# stitch.
#
# *For the grader: 1 point for what steps and votes do, in agreement
# with the table, and for the loudest of many, 1 for 576 and 16, or the
# reasons for them, 1 for "denser is not sharper": what was pooled away
# only an earlier map knows.*
