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
#       gpu: 0.2
#       laptop: 0.2
#     module: metrics
# ---

# %% [markdown]
# # Measuring a segmentation
#
# *Two masks of one picture: how far apart are they, and what does the
# number not tell?*
#
# **You will be able to** count a confusion matrix by hand and by the
# million, take every usual score from it, measure borders and objects,
# and say for each score which mistakes it cannot see.
# **You need** masks and VOID (chapter 01) and sample pictures (chapter
# 02). **Exports** `metrics`: `confusion_matrix`, `pixel_accuracy`,
# `iou`, `mean_iou`, `dice`, `SegmentationMeter`, `boundary_f1`,
# `panoptic_quality`, `adapted_rand_error`, `variation_of_information`.
#
# From here on, every method in this course is given a number, and every
# comparison of two methods is a comparison of two numbers. This chapter
# is about distrusting them, which begins with knowing how they are made.

# %% tags=["export"]
import os
import sys
from threading import Lock
from typing import NamedTuple

import numpy as np
from numba import get_num_threads, njit, prange
from scipy import ndimage, sparse

from seglib.display import VOID

# %% [markdown]
# ## Which pixels went where?
#
# A street of twelve pixels: sky 0, road 1, a pole 2. Of one pixel nobody
# can say what it is, so it is VOID. Beside it, a prediction that loses
# half the pole and finds it again one pixel further left.

# %%
from seglib.display import ERROR_COLOURS, errors, paint, show

V = VOID
target = np.array([[0, 0, 2, 0],
                   [0, 0, 2, 0],
                   [1, 1, 1, V]])
pred = np.array([[0, 0, 2, 0],
                 [0, 2, 0, 0],
                 [1, 1, 1, 1]])
show(paint(target), paint(pred), errors(pred, target),
     alt=["The target: a pole of two pixels stands before the sky on a"
          " road; one corner is VOID.",
          "The prediction: the pole's lower pixel is one to the left.",
          "Two pixels are wrong, the VOID corner is not judged."],
     titles=["target", "prediction", "wrong"], height=150,
     classes=["sky", "road", "pole"], legend=ERROR_COLOURS)

# %% [markdown]
# Whatever we are going to say about this prediction follows from one
# small table: of the pixels that *are* $t$, how many were *called* $p$?
#
# $$ C_{tp} = \#\{\, i : \text{target}_i = t,\ \text{pred}_i = p,\
#    t \ne \text{VOID} \,\} $$
#
# This is the {term}`confusion matrix`. Rows
# are the truth, columns the prediction; some libraries turn it round, so
# look before you index. Ours is short enough to count with a finger.

# %%
by_finger = np.array([[5, 0, 1],    # six pixels of sky, one called pole
                      [0, 3, 0],    # the road is all there
                      [1, 0, 1]])   # half the pole became sky

# %% [markdown]
# The obvious array program takes the pixels that count, makes one number
# of each pair, and counts those: `bincount(target * K + pred)`. It walks
# over the pictures again and again. A loop walks once, and can look at
# every label in passing. In plain Python that would take far too long;
# numba turns it into machine code.

# %% tags=["export"]
@njit(cache=True, nogil=True)
def _count(pred, target, ignore, counts):
    """Count into `counts`; where the first bad label is, or -1."""
    classes = counts.shape[0]
    for i in range(target.size):
        t, p = target[i], pred[i]
        if t == ignore:
            continue
        if not (0 <= t < classes and 0 <= p < classes):
            return i
        counts[t, p] += 1
    return -1

# %%
counts = np.zeros((3, 3), np.int64)
assert _count(pred.ravel(), target.ravel(), VOID, counts) == -1
assert (counts == by_finger).all()

# %% [markdown]
# Two million pixels are worth a second processor. Each thread counts a
# part of them into a table of its own, and the tables are added: sums of
# integers, so nobody can tell how many threads there were. One trap is
# known. A process that was *forked* after its parent had used threads,
# as a data loader's workers are, must not use them again: it dies. So
# only the process that imported this module shares the work.

# %% tags=["export"]
@njit(cache=True, parallel=True)
def _count_in_parts(pred, target, ignore, counts, parts):
    """As `_count`, with a thread for each part of the pixels."""
    n, k = len(target), len(counts)
    each, bad = np.zeros((parts, k, k), np.int64), np.full(parts, n)
    for i in prange(parts):
        start, stop = i * n // parts, (i + 1) * n // parts
        at = _count(pred[start:stop], target[start:stop], ignore,
                    each[i])
        if at >= 0:
            bad[i] = start + at
    counts += each.sum(axis=0)
    return bad.min() if bad.min() < n else -1

# %% tags=["export"]
_HOME, _ONE_BY_ONE = os.getpid(), Lock()


def _count_all(pred, target, ignore, counts):
    if target.size < 2**18 or os.getpid() != _HOME:
        return _count(pred, target, ignore, counts)
    with _ONE_BY_ONE:
        return _count_in_parts(pred, target, ignore, counts,
                               get_num_threads())

# %% [markdown]
# Note what the loop does *not* do: it does not look at the prediction
# where the target is VOID, and it does not forgive a VOID in the
# prediction. A score that rises when a method refuses to answer is not a
# score.
#
# ## What may come in?
#
# Masks arrive as arrays and as tensors, as `bool`, `uint8` or `int64`.
# All of them are labels. Floats are not: they are most likely logits
# that somebody forgot to take the argmax of, and rounding them would
# give a wrong number rather than an error.

# %% tags=["export"]
def _is_tensor(labels):
    torch = sys.modules.get("torch")    # None: nobody has a tensor
    return torch is not None and isinstance(labels, torch.Tensor)


def _numpy(labels):
    if _is_tensor(labels):
        return labels.cpu().numpy()
    return np.asarray(labels)


def _flat(labels):
    """One row of uint8 or int64: two kinds of loops are enough."""
    labels = _numpy(labels)
    small = labels.dtype in (np.uint8, bool)
    kind = np.uint8 if small else np.int64
    return np.ascontiguousarray(labels, dtype=kind).reshape(-1)

# %% [markdown]
# Two masks can be compared if they are labels of the same pixels.

# %% tags=["export"]
def _pair(pred, target):
    """Both as integer arrays or tensors of one shape."""
    pred, target = (x if _is_tensor(x) else np.asarray(x)
                    for x in (pred, target))
    for name, labels in (("pred", pred), ("target", target)):
        dtype = str(labels.dtype).removeprefix("torch.")
        if not dtype.startswith(("bool", "int", "uint")):
            raise TypeError(f"{name} holds {dtype}; needed: integer"
                            " labels (of logits, take the argmax)")
    if tuple(pred.shape) != tuple(target.shape):
        raise ValueError(f"pred is {tuple(pred.shape)}, target is"
                         f" {tuple(target.shape)}; needed: one shape")
    return pred, target

# %% [markdown]
# And a label that is no class deserves a message that says which label,
# and where. On a GPU such a label usually surfaces much later, as a
# device-side assert somewhere else.

# %% tags=["export"]
def _check_classes(num_classes, ignore_index):
    whole = isinstance(num_classes, (int, np.integer))
    if not whole or num_classes < 1:
        raise ValueError(f"num_classes is {num_classes!r};"
                         " needed: an integer of at least 1")
    if ignore_index == VOID < num_classes:
        raise ValueError(f"num_classes is {num_classes}, so {VOID} is a"
                         " class; needed: another ignore_index")


def _no_class(pred, target, pixel, classes):
    """The error for a label outside the classes."""
    at = tuple(map(int, np.unravel_index(pixel, target.shape)))
    name, label = "target", int(target[at])
    if 0 <= label < classes:
        name, label = "pred", int(pred[at])
    return ValueError(f"{name} holds the label {label} at {at}; needed:"
                      f" 0 to {classes - 1} (num_classes={classes})")

# %% [markdown]
# ## And on a GPU?
#
# There the pictures are already far from the loop above, and bringing
# them back costs more than counting them. So the array program gets its
# chance after all, with one improvement: pixels that do not count are
# not cut out (which copies everything), they are sent to a spare bin.
# Labels outside the classes get the last bin, so no label is ever an
# index out of range.

# %% tags=["export"]
def _count_on_gpu(pred, target, num_classes, ignore_index):
    """Flat counts, a bin for VOID, one for labels of no class."""
    k, pred, target = num_classes, pred.long(), target.long()
    lowest, highest = pred.minimum(target), pred.maximum(target)
    bins = ((target * k + pred)
            .masked_fill((lowest < 0) | (highest >= k), k * k + 1)
            .masked_fill(target == ignore_index, k * k)).flatten()
    return bins.new_zeros(k * k + 2).index_add_(
        0, bins, bins.new_ones(1).expand_as(bins))

# %% [markdown]
# Nothing in these lines waits for the device. (`bincount` would: it has
# to ask for the largest value before it can allocate its answer.) They
# run on any torch device, so we can try them here:

# %%
import torch

spare = _count_on_gpu(torch.tensor(pred), torch.tensor(target), 3, VOID)
assert spare[:-2].tolist() == by_finger.ravel().tolist()
assert spare[-2:].tolist() == [1, 0]    # one VOID, no bad label

# %% [markdown]
# Now the two ways become one function, whose caller need not know which
# one was taken. If the last bin says that something was wrong, the loop
# gets the pictures after all, to say what.

# %% tags=["export"]
def _on_gpu(pred, target):
    where = [str(getattr(x, "device", "cpu")) for x in (pred, target)]
    if where[0] != where[1]:
        raise ValueError(f"pred is on {where[0]}, target on {where[1]};"
                         " needed: one device")
    return where[0].startswith("cuda")

# %% tags=["export"]
def confusion_matrix(pred, target, num_classes, ignore_index=VOID):
    """How many pixels of each class were given to each class.

    Parameters
    ----------
    pred, target : arrays or tensors of one shape, bool or integers
        Labels 0..num_classes-1. Where `target` is `ignore_index` the
        pixel is left out, whatever `pred` is there.
    num_classes : int
        K, at least 1.
    ignore_index : int
        Label of the target's pixels that nobody can judge.

    Returns
    -------
    (K, K) int64 array or tensor
        Rows are the target's classes, columns the prediction's. A
        tensor on their device if `pred` or `target` is a tensor.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If shapes or devices differ, or a label is no class; a `pred`
        that is VOID where `target` is not has no class either.

    Notes
    -----
    The first call compiles for about a second; the result is cached on
    disk. CUDA tensors are counted where they are, and each call waits
    for the device once, to be sure of the labels.

    Examples
    --------
    >>> confusion_matrix([0, 1, 1, 0], [0, 1, 0, 255], num_classes=2)
    array([[1, 1],
           [0, 1]])
    """
    pred, target = _pair(pred, target)
    _check_classes(num_classes, ignore_index)
    if _on_gpu(pred, target):
        counts = _count_on_gpu(pred, target, num_classes, ignore_index)
        if not counts[-1]:
            return counts[:-2].reshape(num_classes, num_classes)
    counts = np.zeros((num_classes, num_classes), np.int64)
    bad = _count_all(_flat(pred), _flat(target), ignore_index, counts)
    if bad >= 0:
        raise _no_class(pred, target, bad, num_classes)
    tensor = next(filter(_is_tensor, (pred, target)), None)
    if tensor is None:
        return counts
    return sys.modules["torch"].from_numpy(counts).to(tensor.device)

# %%
cm = confusion_matrix(pred, target, num_classes=3)
assert (cm == by_finger).all()
assert torch.equal(torch.tensor(cm), confusion_matrix(
    torch.tensor(pred), torch.tensor(target), 3))

# %% [markdown]
# scikit-learn counts the same on random labels, once the VOID pixels are
# taken out by hand:

# %% tags=["nbval-check-output"]
from sklearn.metrics import confusion_matrix as their_confusion

rng = np.random.default_rng(3)
truth = rng.integers(0, 5, (90, 120)).astype(np.uint8)
guess = np.where(rng.random(truth.shape) < 0.7, truth,
                 rng.integers(0, 5, truth.shape)).astype(np.uint8)
truth[:9] = VOID
ours = confusion_matrix(guess, truth, 5)
known = truth != VOID
print(ours.sum() == known.sum(),
      (ours == their_confusion(truth[known], guess[known])).all())

# %% [markdown]
# The very first call with a new kind of label compiles the loop, and
# numba keeps the machine code on disk: run the chapter a second time, and
# this cell's first line looks like its second.

# %%
from time import perf_counter

for call in ("first", "second"):
    start = perf_counter()
    confusion_matrix(guess, truth.astype(np.int64), 5)
    print(f"{call:6} {1000 * (perf_counter() - start):8.2f} ms")

# %% [markdown]
# A label that does not belong is named, with its place:

# %%
try:
    confusion_matrix(pred, target, num_classes=2)
except ValueError as error:
    print(error)
else:
    raise AssertionError("class 2 of 2 classes went unnoticed")

# %% [markdown]
# ## One number?
#
# The matrix says everything a set of labelled pixels can say, and nobody
# prints it in a table of results. The first temptation is the share of
# pixels on its diagonal, the
# {term}`pixel accuracy`.

# %% tags=["export"]
def pixel_accuracy(cm) -> float:
    """Share of pixels with the right class.

    Parameters
    ----------
    cm : (K, K) array or tensor of counts
        From `confusion_matrix`; rows are the target.

    Returns
    -------
    float
        0..1; nan if no pixel counts.

    Examples
    --------
    >>> pixel_accuracy([[8, 0], [1, 1]])
    0.9
    """
    hits, targets, _ = _sizes(cm)
    return float(_ratio(hits.sum(), targets.sum()))


def _sizes(cm):
    """Pixels of each class: in both, in target, in prediction."""
    cm = _numpy(cm)
    if cm.ndim != 2 or cm.shape[0] != cm.shape[1]:
        raise ValueError(f"cm is {cm.shape}; needed: (K, K) counts")
    return cm.diagonal(), cm.sum(1), cm.sum(0)


def _ratio(part, whole):
    """part / whole, and nan where the whole is nothing."""
    return np.divide(part, whole, where=np.asarray(whole) > 0,
                     out=np.full(np.shape(whole), np.nan))

# %% [markdown]
# Nine of eleven pixels are right. Sounds good, for a prediction that
# lost half of the only thing a driver could hit. A pixel of pole weighs
# as much as a pixel of sky, and there is so much more sky.
#
# So let every class speak for itself. The target says "pole" of one set
# of pixels, the prediction of another; what share of all those pixels do
# both mean? That is **intersection over union**
# ({term}`IoU`, Jaccard's coefficient
# {cite}`jaccard1912`):
#
# $$ \mathrm{IoU}_k = \frac{|T_k \cap P_k|}{|T_k \cup P_k|}
#    = \frac{C_{kk}}{\sum_p C_{kp} + \sum_t C_{tk} - C_{kk}} . $$

# %% tags=["export"]
def iou(cm) -> np.ndarray:
    """Intersection over union of each class (Jaccard 1912).

    Parameters
    ----------
    cm : (K, K) array or tensor of counts
        From `confusion_matrix`; rows are the target.

    Returns
    -------
    (K,) float64 array
        0..1; nan for a class in neither target nor prediction.

    Examples
    --------
    >>> iou([[2, 2, 0], [0, 4, 0], [0, 0, 0]])
    array([0.5       , 0.66666667,        nan])
    """
    return _iou(*_sizes(cm))


def _iou(hits, targets, preds):
    return _ratio(hits, targets + preds - hits)

# %% [markdown]
# The pole has one pixel in common and three in all, the sky five of
# seven, the road all of its three:

# %%
assert np.allclose(iou(cm), [5 / 7, 1, 1 / 3])

# %% [markdown]
# A class that occurs in neither mask has nothing over nothing. Calling
# that 0 punishes a method for a class it rightly did not see; calling it
# 1 pays for it. It is **nan**, and the mean leaves it out. A class that
# is *only* predicted does have a union, and its IoU is an honest 0.

# %% tags=["export"]
def mean_iou(cm) -> float:
    """Mean of `iou` over the classes in target or prediction (mIoU).

    Returns
    -------
    float
        0..1; nan if no pixel counts.

    Examples
    --------
    >>> round(mean_iou([[2, 2, 0], [0, 4, 0], [0, 0, 0]]), 4)
    0.5833
    """
    return _mean(iou(cm))


def _mean(scores):
    """Mean of the scores that are not nan."""
    scores = np.asarray(scores, dtype=float)
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if known.size else float("nan")

# %% [markdown]
# Medicine prefers {term}`Dice` {cite}`dice1945`,
# which divides the intersection by the *mean* size of the two sets. It
# is the harmonic mean of precision and recall, so it is also called F1,
# and it ranks two masks of one class exactly as IoU does:
# $D = 2J/(1+J)$. Only its numbers look kinder.

# %% tags=["export"]
def dice(cm) -> np.ndarray:
    """Dice's coefficient of each class, also called F1 (Dice 1945).

    Parameters
    ----------
    cm : (K, K) array or tensor of counts
        From `confusion_matrix`; rows are the target.

    Returns
    -------
    (K,) float64 array
        0..1; nan for a class in neither target nor prediction.

    Examples
    --------
    >>> dice([[2, 2, 0], [0, 4, 0], [0, 0, 0]])
    array([0.66666667, 0.8       ,        nan])
    """
    hits, targets, preds = _sizes(cm)
    return _ratio(2 * hits, targets + preds)

# %%
assert np.allclose(dice(cm), 2 * iou(cm) / (1 + iou(cm)))
print(f"pixel accuracy {pixel_accuracy(cm):.3f}")
print(f"mean IoU       {mean_iou(cm):.3f}")
print(f"mean Dice      {dice(cm).mean():.3f}")

# %% [markdown]
# Three numbers for one prediction, from "well done" to "could be
# better". When somebody quotes a number, ask for its name first.
#
# ## How do you score a thousand pictures?
#
# Add the matrices, then divide. The sum of the confusion matrices *is*
# the confusion matrix of the set, and Pascal VOC's IoU is taken from it
# {cite}`everingham2010`. The other way, dividing first and averaging
# the pictures' scores, answers another question: how well does the
# method do on a *typical picture*? Csurka and others ask for exactly
# that {cite}`csurka2013`. Both are right; they are not the same number.
# Two pictures suffice to show it. In one the pole is a single pixel, and
# missed; in the other it has ninety-nine, and all are found.

# %%
missed = np.array([[99, 0], [1, 0]])
found = np.array([[1, 0], [0, 99]])
print("of the set  ", iou(missed + found)[1])
print("per picture ", (iou(missed)[1] + iou(found)[1]) / 2)

# %% [markdown]
# The meter below keeps both. It holds the sum, wherever the tensors are,
# and of each picture only three numbers per class.

# %% tags=["export"]
def _pictures(pred, target):
    """Pairs of pictures (H, W), from one pair or a batch."""
    pred, target = _pair(pred, target)
    if pred.ndim not in (2, 3):
        raise ValueError(f"pred is {tuple(pred.shape)};"
                         " needed: (H, W) or (N, H, W)")
    return zip(pred, target) if pred.ndim == 3 else [(pred, target)]


def _tally(pred, target, k, ignore_index):
    """Confusion matrix, number of bad labels; waits for no GPU."""
    if not _on_gpu(pred, target):
        return confusion_matrix(pred, target, k, ignore_index), 0
    counts = _count_on_gpu(pred, target, k, ignore_index)
    return counts[:-2].reshape(k, k), counts[-1]

# %% tags=["export"]
def _scores(meter):
    """What `SegmentationMeter.compute` returns."""
    classes, cm = meter.classes, meter.confusion
    if meter._bad:
        raise ValueError(f"{int(meter._bad)} pixels hold labels of no"
                         f" class; needed: 0 to {len(classes) - 1}")
    per_image = [_mean(_iou(*map(_numpy, sizes)))
                 for sizes in meter._images]
    return {"pixel_accuracy": pixel_accuracy(cm),
            "mean_iou": mean_iou(cm),
            "mean_iou_per_image": _mean(per_image),
            "iou": dict(zip(classes, iou(cm).tolist())),
            "dice": dict(zip(classes, dice(cm).tolist())),
            "images": len(per_image)}

# %% tags=["export"]
class SegmentationMeter:
    """Scores of a whole data set, one picture or batch at a time.

    Parameters
    ----------
    classes : int or sequence of str
        Number of classes, or their names in the order of the labels.
    ignore_index : int
        As for `confusion_matrix`.

    Attributes
    ----------
    confusion : (K, K) int64 array or tensor
        Sum over all pictures so far, on their device.

    Examples
    --------
    >>> meter = SegmentationMeter(["sky", "pole"])
    >>> meter.update(np.array([[0, 1]]), np.array([[0, 0]]))
    >>> meter.compute()["iou"]
    {'sky': 0.5, 'pole': 0.0}
    """

    def __init__(self, classes, ignore_index=VOID):
        number = isinstance(classes, (int, np.integer))
        self.classes = tuple(range(classes) if number else classes)
        _check_classes(len(self.classes), ignore_index)
        self._ignore, self._images, self._bad = ignore_index, [], 0
        self.confusion = np.zeros([len(self.classes)] * 2, np.int64)

    def update(self, pred, target):
        """Add a picture (H, W) or a batch (N, H, W) of labels.

        For types and errors see `confusion_matrix`. On a GPU nothing
        here waits for the device, so that a label outside the classes
        is reported by `compute`; elsewhere it is reported at once.
        """
        for one in _pictures(pred, target):
            cm, bad = _tally(*one, len(self.classes), self._ignore)
            self.confusion = cm + self.confusion if self._images else cm
            self._images.append((cm.diagonal(), cm.sum(1), cm.sum(0)))
            self._bad = bad + self._bad

    def compute(self) -> dict:
        """Scores of the pictures so far.

        Returns
        -------
        dict
            `pixel_accuracy`, `mean_iou` (of the set),
            `mean_iou_per_image` (mean of the pictures' mIoU): floats;
            `iou`, `dice`: {class: float}; `images`: int. Whatever
            nothing is known about is nan.

        Raises
        ------
        ValueError
            If a label on a GPU was outside the classes.
        """
        return _scores(self)

# %% [markdown]
# ## What happens along the border?
#
# Move a square a little to the right. Its IoU drops, although most people
# would call the outline good. Cut a notch into it that is just as large,
# and the IoU drops by exactly as much, although the outline is now wrong.
# Regions weigh areas; an eye follows borders.

# %%
square = np.zeros((20, 22), bool)
square[3:17, 4:18] = True
shifted = np.roll(square, 2, axis=1)
notched = square.copy()
notched[6:13, 4:11] = False
for mask in (shifted, notched):
    assert iou(confusion_matrix(mask, square, 2))[1] == 3 / 4

show(errors(shifted, square), errors(notched, square),
     alt=["A square of 14 pixels a side, predicted two pixels too far"
          " to the right.",
          "The same square with a notch of 7 by 7 pixels missing."],
     titles=["shifted: IoU 3/4", "notched: IoU 3/4"],
     legend=ERROR_COLOURS, height=170)

# %% [markdown]
# So compare the borders themselves. A pixel belongs to a region's border
# if one of its four neighbours lies outside the region. The edge of the
# picture is no border (the road does not end where the camera stops
# looking), and neither is the edge of VOID, for nobody knows what lies
# there.

# %% tags=["export"]
def _border(region, known):
    """Pixels of a region beside one outside it, both known."""
    border = np.zeros_like(region)
    for r, k, b in ((region, known, border),
                    (region.T, known.T, border.T)):
        cut = (r[1:] != r[:-1]) & k[1:] & k[:-1]
        b[1:] |= cut & r[1:]
        b[:-1] |= cut & r[:-1]
    return border

# %% [markdown]
# A predicted border pixel is *right* if some true border pixel is no
# farther than a tolerance $\theta$ away; a true one is *found* if some
# predicted one is. The harmonic mean of both shares is the
# {term}`boundary F1` of Csurka and others
# {cite}`csurka2013`:
#
# $$ P = \frac{|\{p \in B_P : d(p, B_T) \le \theta\}|}{|B_P|}, \quad
#    R = \frac{|\{t \in B_T : d(t, B_P) \le \theta\}|}{|B_T|}, $$
#
# $$ F_1 = \frac{2PR}{P + R} . $$
#
# A distance transform knows $d(\cdot, B)$ for all pixels at once.

# %% tags=["export"]
def _border_f1(pred, target, known, tolerance):
    """F1 of two regions' borders; nan if neither has any."""
    pred, target = _border(pred, known), _border(target, known)
    if not (pred.any() and target.any()):
        return 0.0 if pred.any() or target.any() else np.nan
    far = ndimage.distance_transform_edt
    precision = np.mean(far(~target)[pred] <= tolerance)
    recall = np.mean(far(~pred)[target] <= tolerance)
    return 2 * precision * recall / max(precision + recall, 1e-300)

# %% tags=["export"]
def boundary_f1(pred, target, tolerance=2, classes=None,
                ignore_index=VOID) -> float:
    """Agreement of two masks' borders, up to a tolerance.

    Parameters
    ----------
    pred, target : (H, W) arrays or tensors, bool or integers
        Labels; VOID in `target` is left out.
    tolerance : float
        Largest distance between border pixels that match, in pixels
        from centre to centre, at least 0.
    classes : sequence of int, optional
        Classes to average over. By default all that occur where
        `target` is known; of bool masks, True alone.
    ignore_index : int
        Label of the target's pixels that nobody can judge.

    Returns
    -------
    float
        Mean over the classes of the F1 of border precision and recall,
        0..1. A class without a border in either mask is left out, one
        with a border in only one scores 0; nan if no class is left.

    Raises
    ------
    TypeError, ValueError
        As for `confusion_matrix`; if the masks are not (H, W), or
        `tolerance` is negative.

    Notes
    -----
    Csurka, Larlus and Perronnin (2013), with 4-connected inner borders.
    Where every object is ringed by VOID there is no border to compare,
    and the answer is nan.

    Examples
    --------
    >>> square = np.zeros((9, 9), bool)
    >>> square[2:7, 2:7] = True
    >>> boundary_f1(np.roll(square, 1, axis=0), square, tolerance=1)
    1.0
    """
    pred, target = map(_numpy, _pair(pred, target))
    if pred.ndim != 2 or not tolerance >= 0:
        raise ValueError(f"pred is {pred.shape}, tolerance {tolerance};"
                         " needed: (H, W), and at least 0")
    known = target != ignore_index
    undecided = np.flatnonzero(known & (pred == ignore_index))
    if undecided.size:
        raise _no_class(pred, target, undecided[0], ignore_index)
    if classes is None:
        both = np.append(pred[known], target[known])
        classes = [True] if both.dtype == bool else np.unique(both)
    return _mean([_border_f1(pred == c, target == c, known, tolerance)
                  for c in classes])

# %% [markdown]
# At two pixels the shifted square is perfect and the notched one is not:
# the verdict we were after. But move the tolerance, and the verdict turns
# round. At 0 and 1 the notch wins, for most of its outline is exactly in
# place. How far off is "off" depends on what a mask is for and on how
# exactly it was drawn; a boundary F1 without its tolerance is no result.

# %%
for tolerance in (0, 1, 2, 4):
    print(tolerance, *(round(boundary_f1(m, square, tolerance), 3)
                       for m in (shifted, notched)))
assert boundary_f1(shifted, square, 2) == 1
assert boundary_f1(notched, square, 2) < 0.9
assert boundary_f1(shifted, square, 1) < boundary_f1(notched, square, 1)

# %% [markdown]
# ## Which coin is which?
#
# A classifier of pixels says "coin" of a pixel, not which coin. If two
# coins touch in its answer, it has found one strange coin of double size
# where there were two. The pixels hardly notice; whoever counts the
# money does. For such questions a mask holds **instances**: 0 for none,
# then a number for each object. The numbers are only names, so first of
# all we need to know who meets whom.

# %% tags=["export"]
def _overlaps(pred, target, void):
    """Who meets whom: (target, pred, pixels); VOID is target -1."""
    pred, target = (_numpy(ids) for ids in _pair(pred, target))
    void = (np.zeros(target.shape, bool) if void is None
            else _numpy(void))
    lowest = min(pred.min(initial=0), target.min(initial=0))
    if void.dtype != bool or void.shape != target.shape or lowest < 0:
        raise ValueError(f"void is {void.dtype} {void.shape}, the"
                         f" lowest label {lowest}; needed: bool"
                         f" {target.shape}, labels of at least 0")
    rows = np.where(void, 0, target.astype(np.int64) + 1).ravel()
    columns = pred.astype(np.int64).ravel()
    shape = rows.max(initial=0) + 1, columns.max(initial=0) + 1
    met = sparse.coo_array((np.ones(rows.size), (rows, columns)), shape)
    met = met.tocsr().tocoo()    # adds up what is there twice
    return met.row - 1, met.col, met.data

# %% [markdown]
# It is a confusion matrix again, with a row and a column for each object,
# and so thin that only its non-zero places are kept. VOID comes as a mask
# of its own here: 255 may well be the 255th cell.
#
# {term}`Panoptic quality`
# {cite}`kirillov2019` says that two instances are
# the same thing if their IoU is *above* one half. Then no instance can
# have two partners (exercise 3), and nothing needs to be optimised. What
# remains is counting: pairs are true positives, lonely predictions false
# positives, lonely targets false negatives.
#
# $$ \mathrm{PQ} = \underbrace{\frac{\sum_{\text{pairs}} \mathrm{IoU}}
#    {\mathrm{TP}}}_{\text{SQ: how well drawn}} \cdot
#    \underbrace{\frac{\mathrm{TP}}{\mathrm{TP} + \frac12 \mathrm{FP}
#    + \frac12 \mathrm{FN}}}_{\text{RQ: how well found}} $$

# %% tags=["export"]
class PanopticQuality(NamedTuple):
    """Panoptic quality, its two factors, and the counts behind them.

    `pq` = `sq` * `rq`, or 0 where nothing was found. To score a data
    set, add up `tp`, `fp`, `fn` and `sq` * `tp` over its pictures.
    """

    pq: float
    sq: float
    rq: float
    tp: int
    fp: int
    fn: int


def _quality(ious, fp, fn):
    tp = ious.size
    rq = float(_ratio(tp, tp + fp / 2 + fn / 2))
    sq = _mean(ious)
    return PanopticQuality(sq * rq if tp else rq, sq, rq,
                           tp, int(fp), int(fn))

# %% [markdown]
# VOID follows the paper: its pixels are taken out of every union, and a
# lonely prediction that lies mostly in VOID is not held against anybody.

# %% tags=["export"]
def panoptic_quality(pred_instances, target_instances, void=None):
    """Panoptic quality of one class's instances.

    Parameters
    ----------
    pred_instances, target_instances : integer arrays of one shape
        0 for no instance, otherwise the instance's number, whatever it
        is; memory grows with the largest number.
    void : bool array of the same shape, optional
        Pixels that nobody can judge.

    Returns
    -------
    PanopticQuality
        (pq, sq, rq, tp, fp, fn). Without any instance in either mask
        pq and rq are nan; without a pair sq is nan.

    Raises
    ------
    TypeError
        If the instances are not integers.
    ValueError
        If shapes differ, a number is negative, or `void` is not bool.

    Notes
    -----
    Kirillov and others (2019), section 4. Of several classes, score
    each with the instances of that class alone and take the mean.

    Examples
    --------
    >>> panoptic_quality([[1, 1, 1, 0, 2]], [[5, 5, 0, 0, 0]]).tp
    1
    """
    t, p, common = _overlaps(pred_instances, target_instances, void)
    size_t = np.bincount(t + 1, common, minlength=2)
    size_p = np.bincount(p, common, minlength=1)
    in_void = np.bincount(p, common * (t < 0), minlength=1)
    union = size_t[t + 1] + size_p[p] - in_void[p] - common
    pair = (t > 0) & (p > 0) & (2 * common > union)
    lonely = (size_p > 0) & (2 * in_void <= size_p)
    lonely[0] = lonely[p[pair]] = False
    missed = np.count_nonzero(size_t[2:]) - np.count_nonzero(pair)
    return _quality(common[pair] / union[pair], lonely.sum(), missed)

# %% [markdown]
# By hand: the first prediction shares two of three pixels with the
# target's first instance, the second meets nobody. One pair with an IoU
# of 2/3 and one false positive: $\frac23 \cdot \frac{1}{1.5}$.

# %%
quality = panoptic_quality([[1, 1, 1, 0, 2]], [[5, 5, 0, 0, 0]])
assert np.isclose(quality.pq, 2 / 3 / 1.5) and quality.fp == 1

# %% [markdown]
# ## What about pairs of pixels?
#
# In a slice of brain tissue everything is cell, thousands of them, and
# all that is asked is which pixels belong together. So ask exactly that:
# draw two pixels. Do they share an object in the target? In the
# prediction? One minus the F1 over such *pairs* is the
# {term}`adapted Rand error`
# {cite}`arganda2015`, after Rand's index of 1971 {cite}`rand1971`. With
# $n_{ij}$ pixels in target object $i$ and predicted object $j$, there are
# $\sum_{ij} n_{ij}(n_{ij}-1)$ ordered pairs that both sides keep together.

# %% tags=["export"]
def adapted_rand_error(pred, target, void=None) -> float:
    """Share of pixel pairs that two partitions disagree about: 1 - F1.

    Parameters
    ----------
    pred, target : integer arrays of one shape
        Object numbers from 0; the order of the numbers means nothing.
        Pixels where `target` is 0 are left out; 0 in `pred` is an
        object like any other.
    void : bool array of the same shape, optional
        Further pixels to be left out.

    Returns
    -------
    float
        0 (same partition) to 1; nan if no two pixels belong together.

    Raises
    ------
    TypeError, ValueError
        As for `panoptic_quality`.

    Notes
    -----
    The foreground-restricted score of the ISBI 2012 challenge
    (Arganda-Carreras and others 2015), as in scikit-image.

    Examples
    --------
    >>> adapted_rand_error([[7, 7, 8]], [[1, 1, 1]])
    0.5
    """
    t, p, n = _overlaps(pred, target, void)
    t, p, n = t[t > 0], p[t > 0], n[t > 0]
    together = _pairs(n)
    apart = _pairs(np.bincount(t, n)) + _pairs(np.bincount(p, n))
    return float(1 - _ratio(2 * together, apart))


def _pairs(sizes):
    return (sizes * (sizes - 1)).sum()

# %% [markdown]
# Cutting a large object in two costs more than cutting a small one:
# pairs grow with the square of the area. **Variation of information**
# {cite}`meila2007` grows more gently and tells the two kinds of mistake
# apart. Suppose I tell you which target object a pixel lies in. How many
# bits do you still need to name its predicted object? None, unless an
# object was *split*. The other way round, bits are missing if objects
# were *merged*:
#
# $$ \text{split} = H(P \mid T) = \sum_{ij} \frac{n_{ij}}{n}
#    \log_2 \frac{n_{i\cdot}}{n_{ij}}, $$
#
# $$ \text{merge} = H(T \mid P) = \sum_{ij} \frac{n_{ij}}{n}
#    \log_2 \frac{n_{\cdot j}}{n_{ij}} . $$

# %% tags=["export"]
class VariationOfInformation(NamedTuple):
    """Bits by which objects were split, and merged; their sum is VI."""

    split: float
    merge: float


def variation_of_information(pred, target, void=None):
    """Bits that one partition leaves open about the other.

    Parameters
    ----------
    pred, target : integer arrays of one shape
        Object numbers from 0; 0 is an object like any other.
    void : bool array of the same shape, optional
        Pixels to be left out, such as `target == 0`.

    Returns
    -------
    VariationOfInformation
        (split, merge) = (H(pred | target), H(target | pred)) in bits,
        at least 0; nan if no pixel counts.

    Raises
    ------
    TypeError, ValueError
        As for `panoptic_quality`.

    Notes
    -----
    Meila (2007); split and merge in the order of scikit-image.

    Examples
    --------
    >>> variation_of_information([[1, 1, 2, 2]], [[1, 1, 1, 1]])
    VariationOfInformation(split=1.0, merge=0.0)
    """
    t, p, n = _overlaps(pred, target, void)
    t, p, n = t[t >= 0], p[t >= 0], n[t >= 0]
    if not n.size:
        return VariationOfInformation(np.nan, np.nan)
    return VariationOfInformation(*(
        float(n @ np.log2(np.bincount(ids, n)[ids] / n) / n.sum())
        for ids in (t, p)))

# %% [markdown]
# Halving an object costs one bit, whatever its size, if it is all there
# is. scikit-image agrees on both scores, for random partitions:

# %% tags=["nbval-check-output"]
from skimage import metrics as theirs

target = rng.integers(0, 9, (40, 50))
pred = np.where(rng.random(target.shape) < .8, target, target // 2)
print(np.isclose(adapted_rand_error(pred, target),
                 theirs.adapted_rand_error(target, pred)[0]),
      np.allclose(variation_of_information(pred, target),
                  theirs.variation_of_information(target, pred)))

# %% [markdown]
# ## What can each score not see?
#
# Now the experiment that this chapter was written for: two dozen coins,
# with a mask drawn by hand. We spoil the mask in six ways, each of them
# a way in which real methods fail, and ask every score.

# %%
from seglib.datasets import SamplePictures
from skimage.draw import line

coins = SamplePictures()["coins"]
truth = coins.mask == 1
assert coins.instances.max() == 24

centre = dict(enumerate(ndimage.center_of_mass(
    truth, coins.instances, range(1, coins.instances.max() + 1)), 1))
bridge = np.zeros_like(truth)
bridge[line(*np.intp(centre[1]), *np.intp(centre[2]))] = True
bridge = ndimage.binary_dilation(bridge)
frayed = ndimage.binary_dilation(truth, iterations=2) & (
    rng.random(truth.shape) < 0.5)

# %%
spoilt = {
    "nothing found": np.zeros_like(truth),
    "shifted 1 px": np.roll(truth, 1, axis=1),
    "grown 2 px": ndimage.binary_dilation(truth, iterations=2),
    "frayed 2 px": truth | frayed,
    "a coin missed": truth & (coins.instances != 1),
    "two joined": truth | bridge,
}

# %%
def ids(mask):
    return ndimage.label(mask)[0]

scores = {
    "acc": lambda m: pixel_accuracy(confusion_matrix(m, truth, 2)),
    "IoU": lambda m: iou(confusion_matrix(m, truth, 2))[1],
    "Dice": lambda m: dice(confusion_matrix(m, truth, 2))[1],
    "BF(2)": lambda m: boundary_f1(m, truth, tolerance=2),
    "PQ": lambda m: panoptic_quality(ids(m), coins.instances).pq,
    "1-ARE": lambda m: 1 - adapted_rand_error(ids(m), coins.instances),
    "VI": lambda m: sum(
        variation_of_information(ids(m), coins.instances)),
}

# %%
table = {name: {score: of(mask) for score, of in scores.items()}
         for name, mask in spoilt.items()}
print(f"{'':14}", *(f"{score:>6}" for score in scores))
for name, row in table.items():
    print(f"{name:14}", *(f"{value:6.3f}" for value in row.values()))

# %%
show(*(errors(mask, truth) for mask in spoilt.values()),
     alt=[f"Coins, {name}. Pixel accuracy {row['acc']:.3f}, IoU"
          f" {row['IoU']:.3f}, boundary F1 {row['BF(2)']:.3f}, panoptic"
          f" quality {row['PQ']:.3f}." for name, row in table.items()],
     titles=[f"{name}: IoU {row['IoU']:.2f}, PQ {row['PQ']:.2f}"
             for name, row in table.items()],
     legend=ERROR_COLOURS, height=180)

# %% [markdown]
# Read the table by columns, and look for the number that should have
# rung a bell and did not.
#
# - **Pixel accuracy** gives most of its marks to a method that found
#   *nothing*, because most of the picture is cloth.
# - **IoU and Dice** hardly move when two coins are joined. A pixel of
#   bridge is a pixel, wherever it lies.
# - **Boundary F1** is blind below its tolerance, by design: shifted,
#   grown and frayed masks are all fine with it.
# - **Panoptic quality** counts every crumb of the frayed border as a
#   false coin, and collapses over a mask that most people would take.
#   It sees objects, not sizes.
# - **Adapted Rand error** hardly minds the missed coin. Its pixels are
#   still together, in the "object" called background.
# - **Variation of information** charges for everything, but by area:
#   two coins joined cost next to nothing, because two coins are a small
#   part of the picture. It counts bits; 0 is best, and there is no worst.

# %%
assert table["nothing found"]["acc"] > 0.6
assert table["two joined"]["IoU"] > 0.99 > table["two joined"]["PQ"]
assert min(table[row]["BF(2)"] for row in spoilt if "px" in row) > 0.99
assert table["frayed 2 px"]["PQ"] < 0.2 < table["frayed 2 px"]["IoU"]
assert table["a coin missed"]["1-ARE"] > 0.99
assert table["two joined"]["VI"] < 0.05

# %% [markdown]
# **What went wrong?** Nothing: each number answers its own question.
# What goes wrong is asking one and hearing another. The course will
# therefore quote at least two: one of areas, and one of borders or
# objects, whichever the task is about.
#
# ## Claims, checked
#
# ### Claim: Pixel accuracy, or mIoU, tells how good a mask is
#
# A micrograph of one cell, and a street with three thin poles. First a
# method that finds nothing; then one that finds every pole, a pixel too
# far to the left.

# %%
cell = SamplePictures()["cell"].mask
nothing = confusion_matrix(np.zeros_like(cell), cell, 2)
poles = np.zeros((60, 90), np.uint8)
poles[5:50, [20, 45, 70]] = 1
beside = np.roll(poles, -1, axis=1)
cm = confusion_matrix(beside, poles, 2)
print(f"no cell: accuracy {pixel_accuracy(nothing):.3f},"
      f" IoU {iou(nothing)[1]:.3f}")
print(f"poles a pixel off: accuracy {pixel_accuracy(cm):.3f},"
      f" IoU {iou(cm)[1]:.3f},"
      f" boundary F1 {boundary_f1(beside, poles, 1):.3f}")
assert pixel_accuracy(nothing) > 0.9 and iou(nothing)[1] == 0
assert iou(cm)[1] == 0 and boundary_f1(beside, poles, 1) == 1

# %% [markdown]
# **Verdict: false.** Where the background fills the picture, accuracy
# praises a method that found nothing. IoU does not fall for that, but it
# gives the same 0 to poles that are all there, one pixel off, and it
# does not notice two coins grown into one. It says how well *areas*
# overlap: enough for lakes, not for poles, cells or coins.
#
# ### Claim: mIoU averaged per image or per batch is the data set's mIoU
#
# Sixteen pictures of three classes, the third of them rare; a method
# with errors everywhere. One set of predictions, six "mIoUs":

# %%
rare = rng.choice([0.0, 0.02, 0.3], size=16)
labels = np.stack([rng.choice(3, (32, 32), p=[0.6 - r, 0.4, r])
                   for r in rare])
answers = np.where(rng.random(labels.shape) < 0.8, labels,
                   rng.integers(0, 3, labels.shape))
for size in (1, 4, 16):
    for order in (np.arange(16), rng.permutation(16)):
        batches = order.reshape(-1, size)
        score = np.mean([mean_iou(confusion_matrix(
            answers[b], labels[b], 3)) for b in batches])
        print(f"batches of {size:2}: {score:.4f}")

# %% [markdown]
# The meter was asked for both kinds, and knows the difference:

# %%
meter = SegmentationMeter(3)
meter.update(answers, labels)
both = meter.compute()
print(f"of the set {both['mean_iou']:.4f},"
      f" per picture {both['mean_iou_per_image']:.4f}")
assert np.isclose(both["mean_iou"], score)
assert abs(both["mean_iou"] - both["mean_iou_per_image"]) > 0.01

# %% [markdown]
# **Verdict: false.** The mean over pictures is another quantity, and a
# useful one if it says so. The mean over batches is none: it changes
# with the size of the batch and with the order of the pictures. Add up
# the matrices.
#
# ### Claim: VOID pixels can be counted as background
#
# Where the cat's whiskers cross the blurred room, nobody can draw a line,
# and whoever drew the mask did not pretend to.

# %%
from seglib.display import describe, overlay

cat = SamplePictures()["chelsea"]
show(overlay(cat.image, cat.mask), height=220,
     alt="A cat's face, its mask laid over it, with a striped VOID"
         " patch beside the muzzle: "
         + describe(cat.mask, ["ground", "cat"]) + ".")

# %% [markdown]
# Take a prediction that is right wherever anybody can judge and calls the
# patch cat, then one that calls it ground.

# %%
as_ground, as_cat = (np.where(cat.mask == VOID, label, cat.mask)
                     for label in (0, 1))
for name, goal in {"left out": cat.mask,
                   "as background": as_ground}.items():
    print(f"VOID {name:13}", *(
        f"{iou(confusion_matrix(p, goal, 2))[1]:.4f}"
        for p in (as_cat, as_ground)))
assert iou(confusion_matrix(as_cat, cat.mask, 2))[1] == 1
assert iou(confusion_matrix(as_cat, as_ground, 2))[1] < 0.96

# %% [markdown]
# **Verdict: false.** Counted as background, pixels that nobody can judge
# decide between two predictions that nobody can tell apart. Left out,
# they decide nothing.
#
# ## What the paper did and we didn't
#
# - Csurka and others {cite}`csurka2013` take the tolerance of their
#   boundary score as a share of the picture's diagonal. We take pixels:
#   easier to imagine, harder to compare between data sets.
# - Berkeley's boundary benchmark {cite}`martin2004` pairs border pixels
#   one to one, by an optimal assignment. Ours lets several share the
#   nearest, so a doubled outline costs nothing.
# - Kirillov and others {cite}`kirillov2019` average panoptic quality
#   over classes; ours scores one class, and exercise 4 adds the mean.
# - The ISBI challenge {cite}`arganda2015` thins the borders before it
#   scores. We leave that to the caller.
#
# ## Recap
#
# 1. Every score of labelled pixels comes from the confusion matrix; rows
#    are the truth, VOID is in no row.
# 2. IoU lets each class speak; a class that is nowhere is nan, not 0.
# 3. Over many pictures add the matrices; the mean per picture is another
#    number, the mean per batch is none.
# 4. Borders need a boundary score with its tolerance; objects need
#    panoptic quality, pairs or bits.
# 5. Before you trust a score, spoil a mask and see whether it notices.
#
# ## Exercises
#
# ```{exercise}
# :label: dice-or-iou
# For one class, Dice and IoU rank any two masks alike. Show it on paper.
# Then find two methods of which the first has the better *mean* IoU and
# the second the better *mean* Dice over two classes.
# ```
#
# ```{dropdown} Hint
# $2J/(1+J)$ rises steeply near 0 and flatly near 1. Which of two means
# profits from a class that is nearly lost?
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} dice-or-iou
# :class: dropdown
# ````
#
# The derivative of $2J/(1+J)$ is $2/(1+J)^2 > 0$: an increasing function
# keeps every order. A mean of two classes need not.

# %% tags=["solution"]
uneven, even = np.array([0.05, 0.97]), np.array([0.5, 0.5])
first, second = (2 * j / (1 + j) for j in (uneven, even))
assert uneven.mean() > even.mean() and first.mean() < second.mean()

# %% [markdown] tags=["solution"]
# ````{solution-end}
# ````

# %% [markdown]
# ```{exercise}
# :label: lazy-score
# The laziest method gives every pixel the most frequent class. Compute
# its pixel accuracy and mIoU from a confusion matrix of any *other*
# method on the same pictures.
# ```
#
# ```{dropdown} Hint
# The rows' sums are all that you need.
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} lazy-score
# :class: dropdown
# ````
#
# All of row $t$ moves to the column of the largest row.

# %% tags=["solution"]
def laziest(cm):
    lazy = np.zeros_like(cm)
    lazy[:, cm.sum(1).argmax()] = cm.sum(1)
    return lazy

lazy = laziest(confusion_matrix(beside, poles, 2))
print(f"{pixel_accuracy(lazy):.3f} {mean_iou(lazy):.3f}")
assert (lazy == confusion_matrix(0 * poles, poles, 2)).all()

# %% [markdown] tags=["solution"]
# ````{solution-end}
# ````

# %% [markdown]
# ```{exercise}
# :label: one-partner
# Prove that an instance has at most one partner with IoU above one half.
# Then find the smallest pair of masks in which one instance has *two*
# partners with an IoU of exactly one half.
# ```
#
# ```{dropdown} Hint
# Two predicted instances share no pixel. If both cover more than half of
# the same target instance, …
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} one-partner
# :class: dropdown
# ````
#
# IoU above one half means an intersection larger than half the union,
# so larger than half the target's instance. Two disjoint sets cannot
# both cover more than half of it. With "at least one half" two pixels
# suffice; `panoptic_quality` rightly pairs nobody:

# %% tags=["solution"]
assert panoptic_quality([[1, 2]], [[1, 1]]).tp == 0

# %% [markdown] tags=["solution"]
# ````{solution-end}
# ````

# %% [markdown]
# ```{exercise}
# :label: panoptic-classes
# Write `panoptic(pred, pred_classes, target, target_classes)`: the mean
# of panoptic quality over all classes, given a map of instances and a
# map of classes for each side.
# ```
#
# ```{dropdown} Hint
# `np.where(classes == c, instances, 0)` leaves one class's instances.
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} panoptic-classes
# :class: dropdown
# ````

# %% tags=["solution"]
def panoptic(pred, pred_classes, target, target_classes):
    void = target_classes == VOID
    seen = np.append(pred_classes[~void], target_classes[~void])
    return np.nanmean([panoptic_quality(
        np.where(pred_classes == c, pred, 0),
        np.where(target_classes == c, target, 0), void).pq
        for c in np.unique(seen)])

things, kinds = np.array([[1, 1, 2, 3]]), np.array([[0, 0, 1, 1]])
assert panoptic(things, kinds, things, kinds) == 1
assert panoptic(things, 1 - kinds, things, kinds) == 0

# %% [markdown] tags=["solution"]
# ````{solution-end}
# ````

# %% [markdown]
# ```{exercise}
# :label: fool-them-all
# Spoil the coins' mask so that *every* column of the table stays above
# 0.95 (VI below 0.2), and yet nobody could use the result. Then write
# the score that catches you.
# ```
#
# ```{dropdown} Hint
# What is the mask for? Somebody may want the coins' *diameters*, or one
# particular coin. No score here knows that.
# ```
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
