"""U-Net on thin things: with skips, without, and FCN-8s as long."""
import time

import bands
import numpy as np
import splits
import torch

from seglib.fcn import FCN8s
from seglib.metrics import confusion_matrix, iou
from seglib.training import fit, predict
from seglib.unet import UNet

QUESTION = ("What do U-Net's skips bring on thin things, and what does FCN-8s"
            " reach in as many seconds, few or many?")
SEEDS = splits.SEEDS


def unet():
    return UNet(13, width=16)


def without_skips():
    """The same net, to which nothing is handed across."""
    net = unet()
    for up in net.up:
        up.register_forward_pre_hook(
            lambda up, args: (args[0], torch.zeros_like(args[1])))
    return net


def fcn8s():
    return FCN8s(13, width=16, norm=True, padded=True)


def fitted(make, train, seed, steps):
    """A trained model, and the seconds that a core worked for it."""
    torch.manual_seed(seed)
    model, start = make(), time.process_time()
    fit(model, train, seed=seed, device="cpu", every=10**9, progress=False,
        steps=steps, class_weights="median")
    return model, time.process_time() - start


def as_many_steps(train, seconds):
    """Steps that FCN-8s takes in that time, from twenty."""
    fitted(fcn8s, train, 0, 2)
    _, twenty = fitted(fcn8s, train, 0, 20)
    return round(20 * seconds / twenty)


def judged(model, test):
    """Scores of a model, and what it takes for a fence."""
    names, often = test[0].classes, splits.frequent(test)
    start, fence = time.process_time(), names.index("fence")
    counts = sum(confusion_matrix(predict(model, s.image), s.mask,
                                  len(names)) for s in test)
    seconds = (time.process_time() - start) / len(test)
    iou_of = iou(counts)
    return {"mean IoU": np.nanmean(iou_of),
            "mean IoU, frequent classes": np.mean(iou_of[often]),
            "pole IoU": iou_of[names.index("pole")],
            "fence IoU": iou_of[fence],
            "fence recall": counts[fence, fence] / counts[fence].sum(),
            "fence precision": counts[fence, fence]
            / max(counts[:, fence].sum(), 1)}, seconds


def measure() -> dict:
    torch.set_num_threads(1)
    train, test = splits.thin_streets()
    found, speeds = {}, []

    def run(name, make, seed, steps=200):
        model, seconds = fitted(make, train, seed, steps)
        scores, speed = judged(model, test)
        found.setdefault(name, []).append(scores | {
            "steps": steps, "seconds of training": seconds})
        print(name, seed, found[name][-1], flush=True)
        if name == "U-Net":
            speeds.append(speed)
        return seconds

    for seed in SEEDS:
        seconds = run("U-Net", unet, seed)
        run("U-Net without skips", without_skips, seed)
        run("FCN-8s, matched seconds", fcn8s, seed,
            as_many_steps(train, seconds))
        seconds = run("U-Net, longer", unet, seed, 600)
        run("FCN-8s, as long as that", fcn8s, seed,
            as_many_steps(train, seconds))
    rows = [bands.row(name, splits.THIN, "seed 1", metric,
                      [one[metric] for one in scores], bands.over_seeds)
            for name, scores in found.items() for metric in scores[0]]
    return {"rows": rows, "seeds": SEEDS,
            "ladder": [bands.rung("U-Net", np.mean(speeds), rows[0])]}
