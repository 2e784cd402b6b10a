"""GrabCut beside OpenCV, from the same boxes, five iterations."""
import cv2
import numpy as np
from bench import Line

from seglib.datasets import SamplePictures
from seglib.grabcut import grabcut, loose_box
from seglib.metrics import confusion_matrix, iou


def lines():
    cv2.setNumThreads(2)
    for name, labels in (("coffee", (1, 2, 3, 4)), ("astronaut", (1,))):
        sample = SamplePictures()[name]
        truth = np.isin(sample.mask, labels).astype(np.uint8)
        image, box = sample.image, loose_box(truth)
        height, width = truth.shape
        yield Line(f"grabcut, 5 iterations, box, {name} {height} x {width}",
                   lambda: grabcut(image, box).mask,
                   lambda: opencv(image, box), "OpenCV", 0.33,
                   same=lambda a, b: score(a, truth) > score(b, truth) - 0.05)


def opencv(image, box):
    state = np.zeros(image.shape[:2], np.uint8)
    top, left, bottom, right = box
    cv2.setRNGSeed(0)
    cv2.grabCut(np.ascontiguousarray(image[..., ::-1]), state,
                (left, top, right - left, bottom - top), np.zeros((1, 65)),
                np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_RECT)
    return (state & 1).astype(bool)


def score(mask, truth):
    return iou(confusion_matrix(mask, truth, 2))[1]
