"""What each skip brings on thin things."""
import sys
import time
from dataclasses import replace

import bands
import numpy as np
import splits
import torch

from seglib import fcn
from seglib.training import evaluate, fit

QUESTION = "What do skips bring on thin things?"
SETTINGS = {"device": "cpu", "progress": False}


def seconds_an_image(net, data):
    start = time.perf_counter()
    scores = evaluate(net, data)
    return scores, (time.perf_counter() - start) / len(data)


def told(*what):
    print(*what, file=sys.stderr, flush=True)


# 32s, 16s, 8s
# ------------

def skips():
    train, test = splits.thin_streets()
    often, rows, ladder = splits.frequent(test), [], []
    for name, make in (("FCN-32s", fcn.FCN32s), ("FCN-16s", fcn.FCN16s),
                       ("FCN-8s", fcn.FCN8s)):
        runs, seconds, clock = [], [], time.perf_counter()
        for seed in splits.SEEDS:
            torch.manual_seed(seed)
            net = make(13, width=16, norm=True, padded=True)
            fit(net, train, **vars(replace(fcn.OURS, seed=seed)),
                **SETTINGS)
            scores, took = seconds_an_image(net, test)
            runs.append(scores)
            seconds.append(took)
        clock = (time.perf_counter() - clock) / len(splits.SEEDS)
        ious = [np.array(list(run["iou"].values())) for run in runs]
        found = {
            "mean IoU": [run["mean_iou"] for run in runs],
            "mean IoU, frequent classes": [iou[often].mean()
                                           for iou in ious],
            "pole IoU": [run["iou"]["pole"] for run in runs],
            "fence IoU": [run["iou"]["fence"] for run in runs],
            "seconds of training": [clock]}
        of_net = [bands.row(name, splits.THIN, "seed 1", metric, values,
                            bands.over_seeds)
                  for metric, values in found.items()]
        rows += of_net
        ladder.append(bands.rung(name, np.mean(seconds), of_net[0]))
        told(name, {k: np.round(v, 3) for k, v in found.items()})
    return rows, ladder


def without_norm():
    """The same net, a smaller rate; batch normalisation left out."""
    train, test = splits.thin_streets()
    torch.manual_seed(0)
    net = fcn.FCN8s(13, width=16, padded=True)
    fit(net, train, **vars(replace(fcn.OURS, lr=1e-3)), **SETTINGS)
    value = evaluate(net, test)["mean_iou"]
    told("without norm", value)
    return [bands.row("FCN-8s without normalisation", splits.THIN,
                      "seed 1", "mean IoU", [value], bands.over_seeds)]


def measure() -> dict:
    torch.set_num_threads(1)
    rows, ladder = skips()
    rows += without_norm()
    return {"rows": rows, "ladder": ladder, "seeds": splits.SEEDS}
