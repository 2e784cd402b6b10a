"""Measuring a segmentation: chapter 03 of the course.

Two masks of one picture: how far apart are they, and what does the number not tell?

Exported from 03_measuring.py; edit the chapter, not this file.
"""

import os
import sys
from threading import Lock
from typing import NamedTuple

import numpy as np
from numba import get_num_threads, njit, prange
from scipy import ndimage, sparse

from seglib.display import VOID

__all__ = [
    "confusion_matrix",
    "pixel_accuracy",
    "iou",
    "mean_iou",
    "dice",
    "SegmentationMeter",
    "boundary_f1",
    "PanopticQuality",
    "panoptic_quality",
    "adapted_rand_error",
    "VariationOfInformation",
    "variation_of_information",
]


# Which pixels went where?
# ------------------------

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


_HOME, _ONE_BY_ONE = os.getpid(), Lock()


def _count_all(pred, target, ignore, counts):
    if target.size < 2**18 or os.getpid() != _HOME:
        return _count(pred, target, ignore, counts)
    with _ONE_BY_ONE:
        return _count_in_parts(pred, target, ignore, counts,
                               get_num_threads())


# What may come in?
# -----------------

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


# And on a GPU?
# -------------

def _count_on_gpu(pred, target, num_classes, ignore_index):
    """Flat counts, a bin for VOID, one for labels of no class."""
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
    bad = _count_all(_flat(pred), _flat(target), ignore_index, counts)
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
    """Pixels of each class: in both, in target, in prediction."""
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


# What happens along the border?
# ------------------------------

def _border(region, known):
    """Pixels of a region beside one outside it, both known."""
    border = np.zeros_like(region)
    for r, k, b in ((region, known, border),
                    (region.T, known.T, border.T)):
        cut = (r[1:] != r[:-1]) & k[1:] & k[:-1]
        b[1:] |= cut & r[1:]
        b[:-1] |= cut & r[:-1]
    return border


def _border_f1(pred, target, known, tolerance):
    """F1 of two regions' borders; nan if neither has any."""
    pred, target = _border(pred, known), _border(target, known)
    if not (pred.any() and target.any()):
        return 0.0 if pred.any() or target.any() else np.nan
    far = ndimage.distance_transform_edt
    precision = np.mean(far(~target)[pred] <= tolerance)
    recall = np.mean(far(~pred)[target] <= tolerance)
    return 2 * precision * recall / max(precision + recall, 1e-300)


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

    Chapter
    -------
    03 Measuring a segmentation, "What happens along the border?".
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


# Which coin is which?
# --------------------

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


class PanopticQuality(NamedTuple):
    """Panoptic quality, its two factors, and the counts behind them.

    `pq` = `sq` * `rq`, or 0 where nothing was found. To score a data
    set, add up `tp`, `fp`, `fn` and `sq` * `tp` over its pictures.

    Chapter
    -------
    03 Measuring a segmentation, "Which coin is which?".
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

    Chapter
    -------
    03 Measuring a segmentation, "Which coin is which?".
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


# What about pairs of pixels?
# ---------------------------

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

    Chapter
    -------
    03 Measuring a segmentation, "What about pairs of pixels?".
    """
    t, p, n = _overlaps(pred, target, void)
    t, p, n = t[t > 0], p[t > 0], n[t > 0]
    together = _pairs(n)
    apart = _pairs(np.bincount(t, n)) + _pairs(np.bincount(p, n))
    return float(1 - _ratio(2 * together, apart))


def _pairs(sizes):
    return (sizes * (sizes - 1)).sum()


class VariationOfInformation(NamedTuple):
    """Bits by which objects were split, and merged; their sum is VI.

    Chapter
    -------
    03 Measuring a segmentation, "What about pairs of pixels?".
    """

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

    Chapter
    -------
    03 Measuring a segmentation, "What about pairs of pixels?".
    """
    t, p, n = _overlaps(pred, target, void)
    t, p, n = t[t >= 0], p[t >= 0], n[t >= 0]
    if not n.size:
        return VariationOfInformation(np.nan, np.nan)
    return VariationOfInformation(*(
        float(n @ np.log2(np.bincount(ids, n)[ids] / n) / n.sum())
        for ids in (t, p)))
