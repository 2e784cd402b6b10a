"""Superpixels on photographs that several people divided into regions."""
import time

import numpy as np

import bands
from seglib import clustering
from seglib.datasets import BSDS500

QUESTION = ("How much do superpixels lose of what people drew, beside as"
            " many squares, and beside scikit-image's?")
SEEDS = [0]
SCORES = {"achievable accuracy": clustering.achievable_accuracy,
          "under-segmentation": clustering.undersegmentation_error,
          "boundary recall": clustering.boundary_recall}


def squares(image, segments):
    """A grid of as many cells as there are superpixels."""
    h, w = image.shape[:2]
    rows = max(1, round(np.sqrt(segments * h / w)))
    columns = max(1, round(segments / rows))
    y, x = np.arange(h) * rows // h, np.arange(w) * columns // w
    return y[:, None] * columns + x


def skimage_slic(image, segments, **settings):
    from skimage.segmentation import slic
    return slic(image, segments, start_label=0, **settings)


def as_many(image, segments):
    """scikit-image's, asked for more until it gives as many."""
    asked = segments
    while True:
        label = skimage_slic(image, asked)
        if len(np.unique(label)) >= segments or asked > 4 * segments:
            return label
        asked += 10


def methods(image) -> dict[str, tuple[np.ndarray, float]]:
    """Label maps of one image by each method, and seconds."""
    def timed(function, *args, **settings):
        start = time.perf_counter()
        label = function(image, *args, **settings)
        return label, time.perf_counter() - start
    found = {"SLIC": timed(clustering.slic, 250)}
    for m in (2, 40):
        found[f"SLIC, m = {m}"] = timed(clustering.slic, 250, m)
    n = len(np.unique(found["SLIC"][0]))
    found["scikit-image, 250 asked"] = timed(skimage_slic, 250)
    found["scikit-image, as many"] = timed(as_many, n)
    found["squares"] = timed(squares, n)
    return found


def row(method, metric, values) -> dict:
    return bands.row(method, "BSDS500", "40 of val", metric, values)


def photographs() -> tuple[dict, dict]:
    """Scores and seconds: method -> metric -> a value an image."""
    photos, scores, seconds = BSDS500(split="val"), {}, {}
    clustering.slic(photos[0].image)                # compile
    for photo in photos:
        drawings = photos.drawings(photo.name)
        for method, (label, took) in methods(photo.image).items():
            mine = scores.setdefault(method, {})
            seconds.setdefault(method, []).append(took)
            mine.setdefault("superpixels", []).append(
                len(np.unique(label)))
            for metric, score in SCORES.items():
                mine.setdefault(metric, []).append(np.nanmean(
                    [score(label, drawing) for drawing in drawings]))
    return scores, seconds


def measure() -> dict:
    scores, seconds = photographs()
    rows = [row(method, metric, values) for method, mine in scores.items()
            for metric, values in mine.items()]
    metric = "achievable accuracy"
    rows += [row(f"SLIC - {other}", metric, np.subtract(
        scores["SLIC"][metric], scores[other][metric]))
        for other in ("squares", "scikit-image, as many")]
    ladder = []
    for rung, method in (("SLIC superpixels", "SLIC"),
                         ("squares", "squares")):
        ladder.append(bands.rung(rung, np.mean(seconds[method]), row(
            method, metric, scores[method][metric])))
    return {"rows": rows, "ladder": ladder, "seeds": SEEDS}
