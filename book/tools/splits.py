"""The splits and sizes on which the deep methods are compared."""
from dataclasses import replace

import numpy as np
from PIL import Image

from seglib.datasets import CamVid
from seglib.scenes import StreetScenes

SEEDS = [0, 1, 2]
CAMVID = "CamVid 240 × 180"
HELD_OUT = "0006R0"
THIN = "StreetScenes, thin"


def halved(sample, size=(240, 180)):
    """Image by averaging, mask by picking: no label is invented."""
    image = Image.fromarray(sample.image).resize(size, Image.Resampling.BOX)
    mask = Image.fromarray(sample.mask).resize(size,
                                               Image.Resampling.NEAREST)
    return replace(sample, image=np.array(image), mask=np.array(mask))


def camvid():
    """The official training side without one sequence; that sequence."""
    published = CamVid()
    held_out = published.where(lambda name: name.startswith(HELD_OUT))
    others = published.where(lambda name: not name.startswith(HELD_OUT))
    return [halved(s) for s in others], [halved(s) for s in held_out]


def thin_streets(train=600, test=120):
    """Scenes full of poles and fences, to learn from and to be judged by."""
    return (list(StreetScenes(train, seed=0, thin=0.5)),
            list(StreetScenes(test, seed=1, thin=0.5)))


def frequent(data):
    """Classes that have half a percent of the known pixels, or more."""
    counts = sum(np.bincount(s.mask.ravel(), minlength=256) for s in data)
    counts = counts[:len(data[0].classes)]
    return np.flatnonzero(counts >= 0.005 * counts.sum())
