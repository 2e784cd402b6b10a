"""U-Net on thin things: with skips, without, and FCN-8s as long."""
import time

import bands
import numpy as np
import splits
import torch

from seglib.fcn import FCN8s
from seglib.training import evaluate, fit
from seglib.unet import UNet

QUESTION = ("What do U-Net's skips bring on thin things, and what does FCN-8s"
            " reach in as many seconds?")
SEEDS = splits.SEEDS
FEW = SEEDS[:2]


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


def measure() -> dict:
    torch.set_num_threads(1)
    train, test = splits.thin_streets()
    names, often = train[0].classes, splits.frequent(test)
    found = {}

    def run(name, make, seed, steps=200):
        model, seconds = fitted(make, train, seed, steps)
        start = time.process_time()
        scores = evaluate(model, test)
        judged = (time.process_time() - start) / len(test)
        iou = list(scores["iou"].values())
        found.setdefault(name, []).append({
            "mean IoU": scores["mean_iou"],
            "mean IoU, frequent classes": np.mean(np.array(iou)[often]),
            "pole IoU": iou[names.index("pole")],
            "fence IoU": iou[names.index("fence")],
            "steps": steps, "seconds of training": seconds,
            "seconds per image": judged})
        print(name, seed, found[name][-1], flush=True)
        return seconds

    for seed in SEEDS:
        seconds = run("U-Net", unet, seed)
        if seed in FEW:
            run("U-Net without skips", without_skips, seed)
            run("FCN-8s, matched seconds", fcn8s, seed,
                as_many_steps(train, seconds))
    rows = [bands.row(name, splits.THIN, "seed 1", metric,
                      [one[metric] for one in scores], bands.over_seeds)
            for name, scores in found.items() for metric in scores[0]]
    per_image = np.mean([one["seconds per image"]
                         for one in found["U-Net"]])
    return {"rows": rows, "seeds": SEEDS,
            "ladder": [bands.rung("U-Net", per_image, rows[0])]}
