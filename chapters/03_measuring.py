# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   seglib:
#     module: metrics
#     minutes: {laptop: 0.2, gpu: 0.2}
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
import sys
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy import ndimage, sparse

from seglib.display import VOID

# %% [markdown]
# ## Which pixels went where?
#
# A street of twelve pixels: sky 0, road 1, a pole 2. Of one pixel nobody
# can say what it is, so it is VOID. Beside it, a prediction that loses
# half the pole and finds it again one pixel further left.

# %%
from seglib.display import errors, paint, show

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
     titles=["target", "prediction", "wrong"],
     classes=["sky", "road", "pole"], height=150)

# %% [markdown]
# Whatever we are going to say about this prediction follows from one
# small table: of the pixels that *are* $t$, how many were *called* $p$?
#
# $$ C_{tp} = \#\{\, i : \text{target}_i = t,\ \text{pred}_i = p,\
#    t \ne \text{VOID} \,\} $$
#
# This is the {term}`confusion matrix`. Rows are the truth, columns the
# prediction; some libraries turn it round, so look before you index.
# Ours is short enough to count with a finger.

# %%
by_finger = np.array([[5, 0, 1],    # six pixels of sky, one called pole
                      [0, 3, 0],    # the road is all there
                      [1, 0, 1]])   # half the pole became sky

# %% [markdown]
# The obvious array program takes the pixels that count, makes one number
# of each pair, and counts those: `bincount(target * K + pred)`. It reads
# the pictures five times and writes them three times. A loop reads them
# once, and can look at every label in passing. Plain Python would need
# seconds for that; numba makes machine code of it.

# %% tags=["export"]
@njit(cache=True, nogil=True)
def _count(pred, target, ignore, counts):
    """Add all pixels to `counts`; position of the first bad one, or -1."""
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
    torch = sys.modules.get("torch")    # not loaded: nobody has a tensor
    return torch is not None and isinstance(labels, torch.Tensor)


def _numpy(labels):
    return labels.cpu().numpy() if _is_tensor(labels) else np.asarray(labels)


def _flat(labels):
    """One row of uint8 or int64: two kinds of machine code are enough."""
    labels = _numpy(labels)
    kind = np.uint8 if labels.dtype.str[1:] in ("b1", "u1") else np.int64
    return np.ascontiguousarray(labels, dtype=kind).reshape(-1)

# %% [markdown]
# Two masks can be compared if they are labels of the same pixels.

# %% tags=["export"]
def _pair(pred, target):
    """Both as integer arrays or tensors of one shape, or a clear error."""
    pred, target = (x if _is_tensor(x) else np.asarray(x)
                    for x in (pred, target))
    for name, labels in (("pred", pred), ("target", target)):
        dtype = str(labels.dtype).removeprefix("torch.")
        if not dtype.startswith(("bool", "int", "uint")):
            raise TypeError(f"{name} holds {dtype}; needed: integer labels"
                            " (of logits, take the argmax first)")
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
    if not isinstance(num_classes, (int, np.integer)) or num_classes < 1:
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
    """Flat counts; then a bin for VOID, and one for labels of no class."""
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
    bad = _count(_flat(pred), _flat(target), ignore_index, counts)
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
# pixels on its diagonal, the {term}`pixel accuracy`.

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
    """Pixels of each class: in both, in the target, in the prediction."""
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
# both mean? That is **intersection over union** ({term}`IoU`, Jaccard's
# coefficient {cite}`jaccard1912`):
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
# Medicine prefers {term}`Dice` {cite}`dice1945`, which divides the
# intersection by the *mean* size of the two sets. It is the harmonic
# mean of precision and recall, so it is also called F1, and it ranks two
# masks of one class exactly as IoU does: $D = 2J/(1+J)$. Only its
# numbers look kinder.

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
# {cite}`everingham2015`. The other way, dividing first and averaging
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
    """Pairs of pictures (H, W), out of one pair or a batch (N, H, W)."""
    pred, target = _pair(pred, target)
    if pred.ndim not in (2, 3):
        raise ValueError(f"pred is {tuple(pred.shape)};"
                         " needed: (H, W) or (N, H, W)")
    return zip(pred, target) if pred.ndim == 3 else [(pred, target)]


def _tally(pred, target, k, ignore_index):
    """Confusion matrix, and how many labels were bad; waits for no GPU."""
    if not _on_gpu(pred, target):
        return confusion_matrix(pred, target, k, ignore_index), 0
    counts = _count_on_gpu(pred, target, k, ignore_index)
    return counts[:-2].reshape(k, k), counts[-1]

# %% tags=["export"]
def _scores(classes, cm, images):
    """What `SegmentationMeter.compute` returns."""
    per_image = [_mean(_iou(*map(_numpy, sizes))) for sizes in images]
    return {"pixel_accuracy": pixel_accuracy(cm),
            "mean_iou": mean_iou(cm),
            "mean_iou_per_image": _mean(per_image),
            "iou": dict(zip(classes, iou(cm).tolist())),
            "dice": dict(zip(classes, dice(cm).tolist())),
            "images": len(images)}

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
        self.confusion = np.zeros((len(self.classes),) * 2, np.int64)

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
        if self._bad:
            raise ValueError(f"{int(self._bad)} pixels hold labels outside"
                             f" 0 to {len(self.classes) - 1}")
        return _scores(self.classes, self.confusion, self._images)

# %% [markdown]
# ## What happens along the border?
