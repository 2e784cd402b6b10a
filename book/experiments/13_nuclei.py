"""Counting nuclei: border weights on drawn cells, and on real slides."""
import time
from dataclasses import replace

import bands
import numpy as np
import torch
from scipy import ndimage

from seglib.datasets import Nuclei
from seglib.edges import split_touching
from seglib.metrics import panoptic_quality
from seglib.scenes import Augment, Cells
from seglib.thresholding import otsu
from seglib.training import fit, predict
from seglib.unet import (BorderLoss, ElasticDeformation, UNet, cells_of,
                         parted)

QUESTION = ("What do border weights bring where cells touch, and how does a"
            " U-Net count nuclei beside Otsu and a watershed?")
SEEDS = [0, 1]
# Steps and the limits of `cells_of` were chosen on every other picture of
# the training half, one seed.
LOSSES = {"U-Net, border weights": BorderLoss(),
          "U-Net, no weights": "cross_entropy"}


def apart(data):
    return [replace(s, mask=parted(s.instances)) for s in data]


def counted(answers, data):
    """Mean panoptic quality, and how far the count is off."""
    found = [panoptic_quality(answer, s.instances)
             for answer, s in zip(answers, data)]
    return {"panoptic quality": np.nanmean([f.pq for f in found]),
            "count error": np.mean([abs(f.fp - f.fn) for f in found])}


def answers_of(model, data):
    return [cells_of(predict(model, s.image, probability=True)[1])
            for s in data]


def rows_of(method, dataset, split, found):
    """Rows of a list, a seed each, of {metric: value}."""
    return [bands.row(method, dataset, split, metric,
                      [one[metric] for one in found], bands.over_seeds)
            for metric in found[0]]


def fitted(train, seed, **recipe):
    torch.manual_seed(seed)
    model = UNet(2, in_channels=1, width=16)
    fit(model, train, seed=seed, device="cpu", every=10**9, progress=False,
        **recipe)
    return model


def cells():
    train, test = (apart(Cells(n, size=(96, 96), seed=seed, touching=1))
                   for n, seed in ((200, 0), (60, 1)))
    rows = rows_of("Otsu + watershed", "Cells, touching", "seed 1", [counted(
        [split_touching(s.image > otsu(s.image)) for s in test], test)])
    for name, loss in LOSSES.items():
        found = []
        for seed in SEEDS:
            model = fitted(train, seed, steps=100, batch_size=8, loss=loss)
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


def bend(images, masks, elastic=ElasticDeformation(8),
         turned=Augment(turn=180, zoom=(0.8, 1.25), shift=0, colour=0)):
    return turned(*elastic(images, masks))


def nuclei():
    """Every other picture to learn from, as chapter 05 has it."""
    published = Nuclei()
    train = [stretched(s) for s in published[::2]]
    test = [stretched(s) for s in published[1::2]]
    rows = rows_of("Otsu + watershed", "nuclei", "other half", [counted(
        [classical(s.image) for s in published[1::2]], test)])
    found, name = [], "U-Net, border weights"
    for seed in SEEDS:
        model = fitted(train, seed, steps=600, batch_size=8, crop=(160, 160),
                       loss=BorderLoss(), augment=bend)
        start = time.process_time()
        answers = answers_of(model, test)
        judged = (time.process_time() - start) / len(test)
        found.append(counted(answers, test))
        print(name, found[-1], flush=True)
    rows += rows_of(name, "nuclei", "other half", found)
    return rows, [bands.rung("U-Net", judged, rows[-2])]


def measure() -> dict:
    torch.set_num_threads(1)
    rows, ladder = nuclei()
    return {"rows": cells() + rows, "ladder": ladder, "seeds": SEEDS}
