"""Measuring a segmentation: chapter 03 of the course.

Two masks of one picture: how far apart are they, and what does the number not tell?

Exported from 03_measuring.py; edit the chapter, not this file.
"""

import sys
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy import ndimage, sparse

from seglib.display import VOID

__all__ = [
    "confusion_matrix",
    "pixel_accuracy",
    "iou",
    "mean_iou",
    "dice",
    "SegmentationMeter",
]


# Which pixels went where?
# ------------------------

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


# What may come in?
# -----------------

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


# And on a GPU?
# -------------

def _count_on_gpu(pred, target, num_classes, ignore_index):
    """Flat counts; then a bin for VOID, and one for labels of no class."""
    k, pred, target = num_classes, pred.long(), target.long()
    lowest, highest = pred.minimum(target), pred.maximum(target)
    bins = ((target * k + pred)
            .masked_fill((lowest < 0) | (highest >= k), k * k + 1)
            .masked_fill(target == ignore_index, k * k)).flatten()
    return bins.new_zeros(k * k + 2).index_add_(
        0, bins, bins.new_ones(1).expand_as(bins))


def _on_gpu(pred, target):
    where = [str(getattr(x, "device", "cpu")) for x in (pred, target)]
    if where[0] != where[1]:
        raise ValueError(f"pred is on {where[0]}, target on {where[1]};"
                         " needed: one device")
    return where[0].startswith("cuda")


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

    Chapter
    -------
    03 Measuring a segmentation, "And on a GPU?".
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


# One number?
# -----------

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

    Chapter
    -------
    03 Measuring a segmentation, "One number?".
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

    Chapter
    -------
    03 Measuring a segmentation, "One number?".
    """
    return _iou(*_sizes(cm))


def _iou(hits, targets, preds):
    return _ratio(hits, targets + preds - hits)


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

    Chapter
    -------
    03 Measuring a segmentation, "One number?".
    """
    return _mean(iou(cm))


def _mean(scores):
    """Mean of the scores that are not nan."""
    scores = np.asarray(scores, dtype=float)
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if known.size else float("nan")


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

    Chapter
    -------
    03 Measuring a segmentation, "One number?".
    """
    hits, targets, preds = _sizes(cm)
    return _ratio(2 * hits, targets + preds)


# How do you score a thousand pictures?
# -------------------------------------

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


def _scores(classes, cm, images):
    """What `SegmentationMeter.compute` returns."""
    per_image = [_mean(_iou(*map(_numpy, sizes))) for sizes in images]
    return {"pixel_accuracy": pixel_accuracy(cm),
            "mean_iou": mean_iou(cm),
            "mean_iou_per_image": _mean(per_image),
            "iou": dict(zip(classes, iou(cm).tolist())),
            "dice": dict(zip(classes, dice(cm).tolist())),
            "images": len(images)}


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

    Chapter
    -------
    03 Measuring a segmentation, "How do you score a thousand pictures?".
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
