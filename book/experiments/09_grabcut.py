"""GrabCut on photographs, beside OpenCV's: boxes, loose boxes, strokes."""
import time

import cv2
import numpy as np

import bands
from seglib.datasets import GrabCut50, Horses
from seglib.display import VOID
from seglib.grabcut import correcting_stroke, grabcut, loose_box
from seglib.metrics import confusion_matrix, iou

QUESTION = ("How well does GrabCut cut, and how fast, beside OpenCV's with"
            " two threads, from the same boxes and strokes?")
SEEDS = [0]
STROKES = 4
VARIANTS = {
    "ours": {},
    "not centred": {"centred": False},
    "strict to the end": {"relax": 1},
    "full size": {"coarse": False},
    "the paper's": {"centred": False, "relax": 1, "coarse": False},
}


class OpenCV:
    """cv2.grabCut, five iterations a call, going on from call to call."""

    def __init__(self, image, box):
        self.image = np.ascontiguousarray(image[..., ::-1])
        self.state = np.zeros(image.shape[:2], np.uint8)
        self.models = np.zeros((1, 65)), np.zeros((1, 65))
        top, left, bottom, right = box
        cv2.setRNGSeed(0)
        self.run((left, top, right - left, bottom - top),
                 cv2.GC_INIT_WITH_RECT)

    def run(self, rectangle, mode):
        cv2.grabCut(self.image, self.state, rectangle, *self.models, 5, mode)
        self.mask = (self.state & 1).astype(bool)

    def add(self, stroke):
        self.state[stroke == 0] = cv2.GC_BGD
        self.state[stroke == 1] = cv2.GC_FGD
        self.run(None, cv2.GC_EVAL)


class Ours:
    def __init__(self, image, box):
        self.image, self.box = image, box
        self.strokes = np.full(image.shape[:2], VOID, np.uint8)
        self.result = grabcut(image, box)

    @property
    def mask(self):
        return self.result.mask

    def add(self, stroke):
        self.strokes = np.where(stroke == VOID, self.strokes, stroke)
        self.result = grabcut(self.image, self.box, self.strokes,
                              previous=self.result)


def score(mask, truth):
    return iou(confusion_matrix(mask, truth, 2))[1]


def error(mask, truth, box):
    """Share of the box's pixels that are wrong, void ones left out."""
    inside = np.s_[box[0]:box[2], box[1]:box[3]]
    known = truth[inside] != VOID
    return (mask != (truth == 1))[inside][known].mean()


def timed(function, *arguments):
    start = time.perf_counter()
    done = function(*arguments)
    return done, time.perf_counter() - start


def pairs(photos, share):
    """IoU and seconds of both, an image at a time, in turn."""
    found = []
    for photo in photos:
        box = loose_box(photo.mask, share)
        for method in (Ours, OpenCV):
            cut, seconds = timed(method, photo.image, box)
            found += [score(cut.mask, photo.mask), seconds]
    return np.reshape(found, (-1, 4)).T


def compared(photos, where, share, metric):
    ours, took, theirs, needed = pairs(photos, share)
    rows = [bands.row(name, *where, metric, values) for name, values in (
        ("ours", ours), ("OpenCV", theirs), ("ours - OpenCV", ours - theirs))]
    if metric == "IoU":
        rows += [bands.row("ours", *where, "seconds", took),
                 bands.row("OpenCV", *where, "seconds", needed),
                 bands.row("ours / OpenCV", *where, "time",
                           took / needed.mean())]
    return rows


def variants(photos, where):
    rows = []
    for name, settings in list(VARIANTS.items())[1:]:
        rows.append(bands.row(name, *where, "IoU", [score(grabcut(
            photo.image, loose_box(photo.mask), **settings).mask, photo.mask)
            for photo in photos]))
    return rows


def corrected(photos, where):
    """Errors after each stroke in the largest mistake."""
    rows = []
    for name, method in (("ours", Ours), ("OpenCV", OpenCV)):
        wrong = []
        for photo in photos:
            box = loose_box(photo.mask)
            cut = method(photo.image, box)
            wrong.append(error(cut.mask, photo.mask, box))
            for _ in range(STROKES):
                cut.add(correcting_stroke(cut.mask, photo.mask))
                wrong.append(error(cut.mask, photo.mask, box))
        rows += [bands.row(name, *where, f"error, {n} strokes", values)
                 for n, values in enumerate(
                     np.reshape(wrong, (-1, STROKES + 1)).T)]
    return rows


def measure() -> dict:
    cv2.setNumThreads(2)
    sets = {("GrabCut50", "all"): GrabCut50(),
            ("Horses", "test"): Horses(split="test"),
            ("Horses", "train"): Horses(split="train")}
    grabcut(sets["Horses", "test"][0].image, (3, 3, 90, 90))     # compile
    rows = []
    for where, photos in sets.items():
        rows += compared(photos, where, 0.04, "IoU")
        rows += variants(photos, where)
        if where[1] != "train":
            rows += compared(photos, where, 0.15, "IoU, box 15 % loose")
            rows += corrected(photos, where)
    ladder = [bands.rung("GrabCut from a box", *(
        row if key == "IoU" else row["value"] for key in ("seconds", "IoU")
        for row in rows if (row["method"], row["dataset"], row["split"],
                            row["metric"]) == ("ours", name, split, key)))
        for name, split in (("GrabCut50", "all"), ("Horses", "test"))]
    return {"rows": rows, "ladder": ladder, "seeds": SEEDS}
