"""U-Net: skips, border weights, thin things and nuclei."""
import time
from dataclasses import replace

import bands
import numpy as np
import splits
import torch
from scipy import ndimage

from seglib.datasets import Nuclei
from seglib.edges import split_touching
from seglib.fcn import FCN8s
from seglib.metrics import panoptic_quality
from seglib.scenes import Augment, Cells
from seglib.thresholding import otsu
from seglib.training import evaluate, fit, predict
from seglib.unet import (BorderLoss, ElasticDeformation, UNet, cells_of,
                         parted)

QUESTION = ("What do U-Net's skips and its border weights bring, at matched"
            " steps and at matched seconds?")
SEEDS = splits.SEEDS
FEW = SEEDS[:2]


def without_skips(net):
    """The same net, to which nothing is handed across."""
    for up in net.up:
        up.register_forward_pre_hook(
            lambda up, args: (args[0], torch.zeros_like(args[1])))
    return net


def fcn8s():
    return FCN8s(13, width=16, norm=True, padded=True)


def fitted(make, train, seed, **recipe):
    """A trained model, and the seconds that a core worked for it."""
    torch.manual_seed(seed)
    model, start = make(), time.process_time()
    fit(model, train, seed=seed, device="cpu", every=10**9, progress=False,
        **recipe)
    return model, time.process_time() - start


def rows_of(method, dataset, split, found):
    """Rows of a list, a seed each, of {metric: value}."""
    return [bands.row(method, dataset, split, metric,
                      [one[metric] for one in found], bands.over_seeds)
            for metric in found[0]]


def thin_streets():
    """U-Net with and without its skips, and FCN-8s: steps, then seconds."""
    train, test = splits.thin_streets()
    names, often = train[0].classes, splits.frequent(test)
    found = {}

    def run(name, make, seed, steps=200):
        model, seconds = fitted(make, train, seed, steps=steps,
                                class_weights="median")
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
        unet = run("U-Net", lambda: UNet(13, width=16), seed)
        run("U-Net without skips",
            lambda: without_skips(UNet(13, width=16)), seed)
        fcn = run("FCN-8s", fcn8s, seed)
        run("FCN-8s, matched seconds", fcn8s, seed, round(200 * unet / fcn))
    rows = [row for name, scores in found.items()
            for row in rows_of(name, splits.THIN, "seed 1", scores)]
    seconds = {name: np.mean([one["seconds per image"] for one in scores])
               for name, scores in found.items()}
    return rows, [bands.rung(name, seconds[name], row) for row in rows
                  if row["metric"] == "mean IoU"
                  for name in [row["method"]]
                  if name in ("U-Net",)]


def apart(data):
    return [replace(s, mask=parted(s.instances)) for s in data]


def counted(answers, data):
    """Mean panoptic quality, and how far the count is off."""
    found = [panoptic_quality(answer, s.instances)
             for answer, s in zip(answers, data)]
    return {"panoptic quality": np.nanmean([f.pq for f in found]),
            "count error": np.mean([abs(f.fp - f.fn) for f in found])}


def answers_of(model, data):
    return [cells_of(predict(model, s.image) == 1) for s in data]


def turn(images, masks, how=Augment(turn=180, zoom=(0.8, 1.25), shift=0,
                                    colour=0)):
    return how(images, masks)


def bend(images, masks, elastic=ElasticDeformation(8)):
    return turn(*elastic(images, masks))


LOSSES = {"U-Net, border weights": BorderLoss(),
          "U-Net, no weights": "cross_entropy"}


def cells():
    train, test = (apart(Cells(n, size=(96, 96), seed=seed, touching=1))
                   for n, seed in ((200, 0), (60, 1)))
    rows = rows_of("Otsu + watershed", "Cells, touching", "seed 1", [counted(
        [split_touching(s.image > otsu(s.image)) for s in test], test)])
    for name, loss in LOSSES.items():
        found = []
        for seed in SEEDS:
            model, _ = fitted(lambda: UNet(2, 1, width=16), train, seed,
                              steps=120, batch_size=8, loss=loss)
            found.append(counted(answers_of(model, test), test))
        print(name, found, flush=True)
        rows += rows_of(name, "Cells, touching", "seed 1", found)
    return rows


def stretched(sample):
    """The same brightness for all: some slides are nearly black."""
    low, high = np.percentile(sample.image, (1, 99.8))
    image = np.clip((sample.image - low) / max(high - low, 1), 0, 1)
    return replace(sample, image=np.uint8(255 * image),
                   mask=parted(sample.instances))


def classical(image):
    """Chapter 05's pipeline."""
    mask = ndimage.binary_fill_holes(image > otsu(image))
    things = split_touching(mask)
    size = np.bincount(things.ravel())
    return np.where(size[things] < 16, 0, things)


def nuclei():
    """Every other picture to learn from, as chapter 05 has it."""
    published = Nuclei()
    train = [stretched(s) for s in published[::2]]
    test = [stretched(s) for s in published[1::2]]
    rows = rows_of("Otsu + watershed", "nuclei", "other half", [counted(
        [classical(s.image) for s in published[1::2]], test)])
    ladder = []
    for name, loss in LOSSES.items():
        found = []
        for seed in FEW:
            model, seconds = fitted(
                lambda: UNet(2, 1, width=16), train, seed, steps=200,
                batch_size=8, crop=(160, 160), loss=loss, augment=bend)
            start = time.process_time()
            answers = answers_of(model, test)
            judged = (time.process_time() - start) / len(test)
            found.append(counted(answers, test)
                         | {"seconds of training": seconds})
            print(name, found[-1], flush=True)
        rows += rows_of(name, "nuclei", "other half", found)
        if name == "U-Net, border weights":
            ladder = [bands.rung(name, judged, rows[-3])]
    return rows, ladder


def measure() -> dict:
    torch.set_num_threads(1)
    rows, ladder = thin_streets()
    of_nuclei, rung = nuclei()
    return {"rows": rows + cells() + of_nuclei, "ladder": ladder + rung,
            "seeds": SEEDS}
