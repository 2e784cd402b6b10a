"""The first rungs: what a colour, a region, a neighbourhood can tell."""
import time

import bands
import numpy as np
import splits
import torch

from seglib.metrics import SegmentationMeter
from seglib.scenes import StreetScenes
from seglib.training import (ConvNet, PixelClassifier, RegionClassifier,
                             evaluate, fit)

QUESTION = "What can a colour, a region, and a stack of 3 x 3 tell?"
RUNGS = {
    "colour, linear": (lambda k: PixelClassifier(k), {"lr": 0.05}),
    "colour, 1 × 1": (lambda k: PixelClassifier(k, width=32), {"lr": 0.01}),
    "3 × 3": (lambda k: ConvNet(k), {"lr": 3e-3}),
}


def camvid():
    return *splits.camvid(), {"steps": 150, "batch_size": 8}


def scenes():
    return (list(StreetScenes(200, seed=0)), list(StreetScenes(40, seed=1)),
            {"steps": 120, "batch_size": 8})


def trained(name, seed, train, val, settings):
    """Scores of one rung with one seed, and seconds an image."""
    classes = len(train[0].classes)
    torch.manual_seed(seed)
    if name == "regions":
        model = RegionClassifier(classes).fit(train[::2])
        start, meter = time.perf_counter(), SegmentationMeter(classes)
        for sample in val:
            meter.update(model.predict(sample.image), sample.mask)
        scores = meter.compute()
    else:
        make, own = RUNGS[name]
        model = make(classes)
        fit(model, train, seed=seed, class_weights="median", device="cpu",
            **settings, **own)
        start = time.perf_counter()
        scores = evaluate(model, val)
    return scores, (time.perf_counter() - start) / len(val)


def of_one(dataset, split, train, val, settings):
    rows, ladder, often = [], [], splits.frequent(val)
    for name in ("colour, linear", "colour, 1 × 1", "regions", "3 × 3"):
        runs = [trained(name, seed, train, val, settings) for seed in splits.SEEDS]
        ious = [list(scores["iou"].values()) for scores, _ in runs]
        metrics = {
            "mean IoU": [scores["mean_iou"] for scores, _ in runs],
            "mean IoU, frequent classes": [
                np.mean(np.array(iou)[often]) for iou in ious],
            "pixel accuracy": [s["pixel_accuracy"] for s, _ in runs]}
        of_rung = [bands.row(name, dataset, split, metric, values,
                             bands.over_seeds)
                   for metric, values in metrics.items()]
        rows += of_rung
        ladder.append(bands.rung(name, np.mean([s for _, s in runs]),
                                 of_rung[0]))
        print(dataset, name, {k: f"{np.mean(v):.3f}"
                              for k, v in metrics.items()}, flush=True)
    return rows, ladder


def measure() -> dict:
    torch.set_num_threads(1)
    rows, ladder = [], []
    for name, split, make in (("StreetScenes", "seed 1", scenes),
                              (splits.CAMVID, splits.HELD_OUT, camvid)):
        found = of_one(name, split, *make())
        rows, ladder = rows + found[0], ladder + found[1]
    return {"rows": rows, "ladder": ladder, "seeds": splits.SEEDS}
