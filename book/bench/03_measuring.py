"""Counting and scoring, beside torchmetrics and scikit-image."""
import numpy as np
import torch
from bench import Line
from skimage import metrics as skimage_metrics
from torchmetrics.functional.classification import multiclass_confusion_matrix

from seglib.display import VOID
from seglib.metrics import (adapted_rand_error, confusion_matrix,
                            panoptic_quality, variation_of_information)

CLASSES = 21


def masks(seed=0, n=8, size=512, block=32):
    """Patchwork masks with a seam of VOID, and predictions a bit off."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, CLASSES, (n, size // block, size // block))
    target = patches.repeat(block, 1).repeat(block, 2)
    pred = np.roll(target, (3, 5), axis=(1, 2))
    target[:, ::block] = VOID
    noise = rng.random(pred.shape) < 0.1
    pred[noise] = rng.integers(0, CLASSES, np.count_nonzero(noise))
    return pred, target


def independent(seed=0, shape=(8, 512, 512)):
    """Labels drawn anew for every pixel: the sort inside torchmetrics'
    check, which is quick on patches, has to work for its answer."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, CLASSES, (2, *shape))


def equal(ours, theirs):
    return np.array_equal(np.asarray(ours), np.asarray(theirs))


def close(ours, theirs):
    return np.allclose(ours, theirs)


def lines():
    for kind, labels, dtype, checked, unchecked in (
            ("independent", independent(), torch.int64, 1 / 50, 1 / 10),
            ("independent", independent(), torch.uint8, 1 / 25, 1 / 5),
            ("patches", masks(), torch.int64, 1 / 50, 1 / 10),
            ("patches", masks(), torch.uint8, 1 / 20, 1 / 5)):
        pair = [torch.as_tensor(x).to(dtype) for x in labels]
        name = (f"confusion matrix, 8x512x512x21, {kind}, {dtype}"
                .replace("torch.", ""))
        yield counting(name, pair, pair, True, checked)
        yield counting(name, pair, pair, False, unchecked)
    ids = np.arange(256).reshape(16, 16).repeat(32, 0).repeat(32, 1)
    other = np.roll(ids, (3, 5), axis=(0, 1))
    yield Line("adapted Rand error, 512x512, 256 objects",
               lambda: adapted_rand_error(other, ids),
               lambda: skimage_metrics.adapted_rand_error(ids, other)[0],
               "scikit-image", 1.5, same=close)
    yield Line("variation of information, 512x512, 256 objects",
               lambda: variation_of_information(other, ids),
               lambda: skimage_metrics.variation_of_information(ids, other),
               "scikit-image", 1.5, same=close)
    yield panoptic_line(ids, other)


def counting(name, ours, theirs, validate, at_most):
    peer = "torchmetrics" if validate else "torchmetrics, validate_args=False"
    return Line(name, lambda: confusion_matrix(*ours, CLASSES),
                lambda: multiclass_confusion_matrix(
                    *theirs, CLASSES, ignore_index=VOID,
                    validate_args=validate),
                peer, at_most, same=equal)


def panoptic_line(target, pred):
    from torchmetrics.functional.detection import panoptic_quality as theirs
    pair = [torch.as_tensor(np.stack([x == 0, x], -1).astype(np.int64))[None]
            for x in (pred, target)]
    return Line("panoptic quality, 512x512, 256 objects",
                lambda: panoptic_quality(pred, target).pq,
                lambda: theirs(*pair, things={0}, stuffs={1},
                               return_per_class=True)[0, 0].item(),
                "torchmetrics", 1 / 10, same=close)
