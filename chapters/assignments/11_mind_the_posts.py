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
# # Mind the posts
#
# *A driver can live with a post that is not there, but not with one
# that he has not seen. How do you tell that to a network?*
#
# You will write a loss in which a miss and a false alarm have different
# prices, find out how large the steps may be before you train with it,
# and compare it with its elder sister, so that nobody can say it was
# luck.
#
# **You need** chapters 01 to 11, and about two hours. **How it works:**
# replace each `raise NotImplementedError()` by your code, and keep the
# name and the arguments of the function. Pictures under *What you
# should see* are the target. The cells with `assert` check your work
# and try to help; the grader runs some more checks, on other tensors
# and networks. 12 points are given by tests, 3 by somebody who reads
# your answer.

# %% nbgrader={"grade_id": "imports"}
import copy
import math
import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from seglib.display import ERROR_COLOURS, STYLE, VOID, errors
from seglib.display import figure, show
from seglib.metrics import confusion_matrix
from seglib.scenes import StreetScenes
from seglib.training import (ConvNet, PixelClassifier, cross_entropy,
                             dice_loss, fit, predict)

plt.rcParams.update(STYLE)
warnings.filterwarnings("ignore", "Converting a tensor")
torch.set_num_threads(1)        # so small, more of them only wait

# %% [markdown]
# Streets with two classes only: posts, and everything else.

# %% nbgrader={"grade_id": "posts"}
def streets(n, seed):
    """Small scenes whose masks know posts (1) and the rest (0)."""
    scenes = StreetScenes(n, size=(48, 64), seed=seed, thin=0.5)
    post = scenes.classes.index("pole")
    found = []
    for sample in scenes:
        mask = np.where(sample.mask == VOID, VOID, sample.mask == post)
        found.append(replace(sample, mask=mask.astype(np.uint8),
                             classes=("rest", "post")))
    return found


train, val = streets(60, seed=0), streets(30, seed=1)

# %% [markdown]
# ## 1. The price of a miss
#
# Dice counts misses and false alarms alike. Tversky's index does not:
# with $p$ the probability of a class and $y$ its truth,
#
# $$\text{hit} = \sum p\,y, \quad \text{miss} = \sum (1 - p)\,y, \quad
#   \text{alarm} = \sum p\,(1 - y),$$
#
# $$\ell = 1 - \frac{\text{hit} + s}{\text{hit} + \beta\,\text{miss} +
#   (1 - \beta)\,\text{alarm} + s} .$$
#
# The sums go over all pixels of the batch that are known; take the mean
# of $\ell$ over the classes that the target holds. VOID counts for
# nothing, in no sum, and a batch in which all is VOID has the loss 0,
# and so has its gradient. **(5 points)**

# %% nbgrader={"grade_id": "tversky", "solution": true}
def tversky(logits, target, beta=0.7, smooth=0.5):
    """1 - Tversky's index of the probabilities, mean over classes.

    Parameters
    ----------
    logits : (N, K, H, W) float tensor
    target : (N, H, W) integer tensor
        0..K-1, or VOID.
    beta : float
        0 to 1: the price of a miss; that of a false alarm is 1 - beta.
    smooth : float
        s, added above and below the line.

    Returns
    -------
    scalar float32 tensor
        Mean over the classes that `target` holds; 0 if it holds none.
    """
    ### BEGIN SOLUTION
    known = (target != VOID)[:, None]
    p = logits.float().softmax(1)
    classes = torch.arange(p.shape[1], device=p.device)
    y = (target[:, None] == classes[None, :, None, None]).float()

    def total(values):
        return (values * known).sum((0, 2, 3))

    hit, miss = total(p * y), total((1 - p) * y)
    alarm = total(p * (1 - y))
    index = (hit + smooth) / (
        hit + beta * miss + (1 - beta) * alarm + smooth)
    there = total(y) > 0
    return ((1 - index) * there).sum() / there.sum().clamp(min=1)
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-by-hand", "points": 2}
def logits_of(*shares):
    """Logits of two classes; `shares` are the probabilities of 1."""
    p = torch.tensor(shares)[None, None, None]
    return torch.cat([(1 - p).log(), p.log()], dim=1)


row, truth = logits_of(0.5, 0.75, 0.25), torch.tensor([[[1, 1, 0]]])
for beta, needed in ((0.5, (0.2857, 0.4)), (0.8, (0.3421, 0.3023))):
    each = [1 - 1.25 / (1.25 + beta * 0.75 + (1 - beta) * 0.25),
            1 - 0.75 / (0.75 + beta * 0.25 + (1 - beta) * 0.75)]
    loss = float(tversky(row, truth, beta, smooth=0))
    assert math.isclose(loss, sum(each) / 2, abs_tol=1e-5), (
        f"with beta = {beta} you give {loss:.4f}; needed:"
        f" {sum(each) / 2:.4f}. Of class 1 the hits are 1.25, the"
        " misses 0.75, the false alarms 0.25; of class 0 it is 0.75,"
        " 0.25 and 0.75")
### BEGIN HIDDEN TESTS
torch.manual_seed(0)
many = torch.randn(3, 4, 7, 9)
labels = torch.randint(0, 4, (3, 7, 9))
labels[torch.rand(3, 7, 9) < 0.2] = VOID
assert torch.isclose(tversky(many, labels, 0.5, smooth=0.5),
                     dice_loss(many, labels, smooth=1), atol=1e-5)
assert tversky(many, labels, 0.9) != tversky(many, labels, 0.1)
assert tversky(many.half(), labels).dtype == torch.float32
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-void", "points": 2}
torch.manual_seed(1)
z = torch.randn(2, 3, 4, 5, requires_grad=True)
nobody_knows = torch.full((2, 4, 5), VOID)
loss = tversky(z, nobody_knows)
loss.backward()
assert float(loss) == 0 and not z.grad.any(), (
    f"where all is VOID the loss is {float(loss)} and the gradient up"
    f" to {float(z.grad.abs().max()):.3g}; needed: 0 and 0")
some = torch.randint(0, 3, (2, 4, 5))
some[:, 1:3] = VOID
z.grad = None
tversky(z, some).backward()
assert not z.grad[:, :, 1:3].any(), (
    "pixels that nobody knows pull on the logits")
assert z.grad[:, :, 0].any()
### BEGIN HIDDEN TESTS
cut = [torch.cat([part[:, :, :1], part[:, :, 3:]], 2).detach()
       for part in (z, some[:, None])]
assert torch.isclose(tversky(z, some), tversky(cut[0], cut[1][:, 0]))
bytes_ = some.to(torch.uint8)
assert torch.isclose(tversky(z, some), tversky(z, bytes_))
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-absent", "points": 1}
two = torch.cat([row, torch.full((1, 1, 1, 3), -50.0)], dim=1)
assert torch.isclose(tversky(two, truth), tversky(row, truth)), (
    "a third class that is neither there nor believed in changes the"
    " loss; the mean goes over the classes that the target holds")
### BEGIN HIDDEN TESTS
third = torch.cat([row, torch.full((1, 1, 1, 3), 2.0)], dim=1)
p = third.softmax(1)[0, :, 0]
needed = [1 - (hit + 0.5) / (hit + 0.5 + 0.7 * miss + 0.3 * alarm)
          for hit, miss, alarm in (
              (p[1, :2].sum(), 2 - p[1, :2].sum(), p[1, 2]),
              (p[0, 2], 1 - p[0, 2], p[0, :2].sum()))]
assert torch.isclose(tversky(third, truth), sum(needed) / 2)
batch = torch.cat([row, -row]), torch.cat([truth, 1 - truth])
assert not torch.isclose(
    tversky(*batch, 0.9), (tversky(row, truth, 0.9)
                           + tversky(-row, 1 - truth, 0.9)) / 2)
### END HIDDEN TESTS

# %% [markdown]
# ## 2. How large may a step be?
#
# A new loss has gradients of another size, and for plain gradient
# descent the old learning rate is a guess. Try them all, in one short
# run: take one such step after the other, on the *same* batch, with
# rates that
# grow from `low` to `high` in equal *ratios*, and write down the loss
# *before* each step. Stop when the loss is not finite, or more than
# twice the first one; that last value is written down, too. The model
# must come out as it went in. **(4 points)**

# %% nbgrader={"grade_id": "range-test", "solution": true}
def range_test(model, images, masks, loss, low=1e-3, high=1e3,
               steps=40):
    """Losses on the way through ever larger learning rates.

    Parameters
    ----------
    model : nn.Module
        In training mode for the test; not changed by it, neither its
        weights nor anything else that it remembers.
    images : (N, C, H, W) float tensor
    masks : (N, H, W) integer tensor
    loss : function
        Of logits and masks.
    low, high : float
        The first learning rate, and the last.
    steps : int
        2 or more.

    Returns
    -------
    rates, losses : lists of float
        Of one length, `steps` or fewer: the rate of each step and the
        loss before it.
    """
    ### BEGIN SOLUTION
    model, rates, losses = copy.deepcopy(model).train(), [], []
    for rate in np.geomspace(low, high, steps):
        value = loss(model(images), masks)
        rates.append(float(rate))
        losses.append(float(value))
        if not math.isfinite(losses[-1]) or losses[-1] > 2 * losses[0]:
            break
        model.zero_grad()
        value.backward()
        with torch.no_grad():
            for weights in model.parameters():
                weights -= rate * weights.grad
    return rates, losses
    ### END SOLUTION

# %%
images = torch.stack([torch.tensor(sample.image).permute(2, 0, 1)
                      for sample in train[:8]]) / 255
masks = torch.stack([torch.tensor(sample.mask) for sample in train[:8]])
fig, ax = plt.subplots()
for name, loss in (("cross-entropy", cross_entropy),
                   ("Tversky", tversky)):
    torch.manual_seed(0)
    rates, losses = range_test(ConvNet(2, width=8, depth=3), images,
                               masks.long(), loss)
    ax.semilogx(rates, losses, label=name)
ax.set(xlabel="learning rate", ylabel="loss before the step",
       ylim=(0, 1.5))
ax.legend()
figure(fig, alt="The loss over the learning rate. Both curves are flat"
       " at first, then fall. Cross-entropy jumps where the steps are"
       " too large; Tversky's loss goes up and down below 1.")

# %% nbgrader={"grade_id": "test-rates", "points": 2}
class Ball(nn.Module):
    """One weight; with the loss below it is a ball in a valley."""

    def __init__(self, start=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))

    def forward(self, images):
        return self.weight * images


def valley(height, masks):
    return (height**2).mean() / 2


ground = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1).long()
rates, losses = range_test(Ball(), *ground, valley, 0.1, 10, 3)
assert np.allclose(rates, [0.1, 1, 10]), (
    f"rates {rates}; needed: 0.1, 1, 10: equal ratios, both ends")
assert np.allclose(losses, [0.5, 0.405, 0], atol=1e-6), (
    f"losses {losses}; needed: 0.5, 0.405, 0: each *before* its step. A"
    " step of 0.1 takes the ball from 1 to 0.9, a step of 1 to 0")
### BEGIN HIDDEN TESTS
rates, losses = range_test(Ball(), *ground, valley, 0.01, 1, 9)
spot, needed = 1.0, []
for rate in np.geomspace(0.01, 1, 9):
    needed.append(spot**2 / 2)
    spot -= rate * spot
assert np.allclose(losses, needed, atol=1e-6) and len(rates) == 9
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-stop", "points": 1}
rates, losses = range_test(Ball(), *ground, valley, 1.5, 1500, 20)
assert len(rates) == len(losses) < 20 and losses[-1] > 2 * losses[0], (
    f"{len(losses)} losses, the last is {losses[-1]:.3g} and the first"
    f" {losses[0]}; the ball is out of the valley: stop, and keep the"
    " last value")
### BEGIN HIDDEN TESTS
assert all(value <= 2 * losses[0] for value in losses[:-1])
rates, losses = range_test(
    Ball(), *ground, lambda height, masks: height.mean().log(), 1, 9, 9)
assert len(rates) == len(losses) == 2 and not math.isfinite(losses[1])
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-untouched", "points": 1}
torch.manual_seed(0)
net, x = ConvNet(2, width=4, depth=1).eval(), torch.rand(2, 3, 8, 8)
before = copy.deepcopy(net.state_dict())
range_test(net, x, torch.ones(2, 8, 8).long(), cross_entropy, steps=5)
changed = [name for name, value in net.state_dict().items()
           if not torch.equal(value, before[name])]
assert not changed, (
    f"the model has changed: {changed}. Batch normalisation remembers"
    " means, and they are no weights")
### BEGIN HIDDEN TESTS
assert not net.training
assert all(weights.grad is None for weights in net.parameters())
ones = torch.ones(2, 8, 8).long()
_, losses = range_test(net, x, ones, cross_entropy, steps=3)
with torch.no_grad():
    first = cross_entropy(copy.deepcopy(net).train()(x), ones)
assert math.isclose(losses[0], float(first), rel_tol=1e-4)
### END HIDDEN TESTS

# %% [markdown]
# ## 3. Sisters
#
# Two networks that were trained with two losses differ in the loss, and
# also in the weights they began with. So compare *pairs*: for each
# seed, call `torch.manual_seed(seed)` before *every* `build()`, train
# with `fit(..., seed=seed)`, and note the difference, second less
# first. **(3 points)**

# %% nbgrader={"grade_id": "paired", "solution": true}
def paired(build, train, first, second, seeds, score, **settings):
    """What the second loss gains over the first, seed by seed.

    Parameters
    ----------
    build : function
        `build()` is a new network; its weights are drawn by PyTorch.
    train : sequence of samples
    first, second : losses
        As for `fit`.
    seeds : sequence of int
    score : function
        `score(model)` is a number, or an array of numbers.
    **settings
        For `fit`.

    Returns
    -------
    (len(seeds), ...) float array
        Score with the second loss less score with the first.
    """
    ### BEGIN SOLUTION
    gains = []
    for seed in seeds:
        scores = []
        for loss in (first, second):
            torch.manual_seed(seed)
            model = build()
            fit(model, train, loss=loss, seed=seed, **settings)
            scores.append(np.asarray(score(model), float))
        gains.append(scores[1] - scores[0])
    return np.array(gains)
    ### END SOLUTION

# %% nbgrader={"grade_id": "test-twins", "points": 2}
few = streets(4, seed=7)
brief = dict(steps=3, batch_size=2, progress=False, precision="fp32")


def weights_of(model):
    return [float(p.detach().double().sum()) for p in
            model.parameters()]


gains = paired(lambda: PixelClassifier(2, width=4), few, cross_entropy,
               cross_entropy, (3, 8), weights_of, **brief)
assert np.shape(gains) == (2, 6), (
    f"you return the shape {np.shape(gains)}; needed: (2, 6), two seeds"
    " and six scores")
assert not np.any(gains), (
    "both losses are the same, and yet the two networks of a pair"
    " differ: do they begin with the same weights?")
### BEGIN HIDDEN TESTS
def end(loss, seed):
    torch.manual_seed(seed)
    net = PixelClassifier(2, width=4)
    fit(net, few, loss=loss, seed=seed, **brief)
    return weights_of(net)


gains = paired(lambda: PixelClassifier(2, width=4), few, cross_entropy,
               dice_loss, (3, 8), weights_of, **brief)
for gain, seed in zip(gains, (3, 8)):
    assert np.allclose(gain, np.subtract(end(dice_loss, seed),
                                         end(cross_entropy, seed)))
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-seeds", "points": 1}
gains = paired(lambda: PixelClassifier(2, width=4), few, cross_entropy,
               dice_loss, (0, 1, 0), weights_of, **brief)
assert np.array_equal(gains[0], gains[2]), "seed 0 twice, two results"
assert not np.array_equal(gains[0], gains[1]), (
    "another seed must give another pair")
### BEGIN HIDDEN TESTS
wide = paired(lambda: ConvNet(2, width=4, depth=1), few, cross_entropy,
              dice_loss, [5], lambda model: model.training, **brief)
assert wide.shape == (1,)
### END HIDDEN TESTS

# %% [markdown]
# And now the posts. Of the posts' pixels, how many are found
# (*recall*), and of what is called a post, how much is one
# (*precision*)? Twice the same networks, with misses as dear as false
# alarms and with misses at nine times their price, over three seeds.

# %% nbgrader={"grade_id": "recall"}
def recall_and_precision(model):
    total = sum(confusion_matrix(predict(model, sample.image),
                                 sample.mask, 2) for sample in val)
    return (total[1, 1] / total[1].sum(),
            total[1, 1] / max(total[:, 1].sum(), 1))

# %%
recipe = dict(steps=60, batch_size=8, lr=0.01, progress=False)
gains = paired(lambda: ConvNet(2, width=8, depth=3), train,
               lambda z, y: tversky(z, y, 0.5),
               lambda z, y: tversky(z, y, 0.9), (0, 1, 2),
               recall_and_precision, **recipe)
for name, column in zip(("recall", "precision"), gains.T):
    print(f"{name:10} seed by seed",
          *(f"{gain:+.2f}" for gain in column),
          f"  mean {column.mean():+.2f}")

# %% tags=["expected"]
found = {}
for beta in (0.5, 0.9):
    torch.manual_seed(0)
    net = ConvNet(2, width=8, depth=3)
    fit(net, train, loss=lambda z, y: tversky(z, y, beta), **recipe)
    found[beta] = predict(net, val[2].image)
pictures = [val[2].image, *(errors(mask, val[2].mask)
                            for mask in found.values())]
show(*(np.kron(picture, np.ones((4, 4, 1), np.uint8))
       for picture in pictures),
     titles=("a street", "beta 0.5", "beta 0.9"), legend=ERROR_COLOURS,
     height=150, alt=["A street with posts."] + [
         f"With beta {beta}: {np.sum(mask == 1)} pixels are called"
         " post; hits, misses and false alarms."
         for beta, mask in found.items()])

# %% [markdown]
# **Question.** Three seeds, three differences for each score: would you
# believe that the price does something, and why would it have been
# harder to see with six networks that all began differently? Is 0.9 the
# better `beta`? And look at your range test: which rate would you take
# for gradient descent with `tversky`, and why not the one at which the
# loss is lowest? Six sentences will do. **(3 points, read by a
# person)**

# %% [markdown] nbgrader={"grade_id": "believe", "points": 3, "solution": true}
# Yes, with care. Three equal signs come up by chance one time in four;
# but recall goes up and precision down by far more than the pairs
# differ among themselves, and that is what the price should do. With
# six beginnings the luck of each beginning stands in each score, and in
# a difference it counts twice; in a pair much of it cancels. Better is
# 0.9 only for somebody who has said what a miss costs: more posts are
# found, and more are seen that are not there. As a rate I take one on
# the slope, between 0.1 and 1, before the first bump. Where the loss is
# lowest it is low because of all the steps before; and `tversky` cannot
# exceed 1, so it does not explode, and hides that the steps have become
# jumps. (For AdamW the rates are others: it divides by the gradient's
# size.)
#
# *For the grader: 1 point for the spread of the pairs and for what
# cancels in them, 1 for "more hits and more alarms: it depends on the
# price", 1 for a rate below the first bump, with a reason.*
