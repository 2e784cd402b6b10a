"""FCN-8s, U-Net and SegNet on photographs, from scratch."""
from pathlib import Path

import results
import splits
import torch

from seglib.scenes import Augment
from seglib.training import ConvNet

QUESTION = ("Which of the three learns most from 266 photographs, and how much"
            " more than a stack of 3 x 3 convolutions?")
# Of flips alone and `Augment()`, flips: on the last 60 pictures of one
# sequence of the training side, one seed, 800 steps of FCN-8s. The rate is that
# of the streets.
FLIPS = Augment(turn=0, zoom=(1, 1), shift=0, colour=0)
CAMVID = {"steps": 600, "batch_size": 8, "lr": 0.01, "crop": (120, 160),
          "augment": FLIPS}


def measure() -> dict:
    torch.set_num_threads(1)
    nets = results.load(Path(__file__).with_name("14_segnet.py"))
    nets.NETS["3 × 3"] = ConvNet
    rows, ladder = [], []
    for name in ("3 × 3", "FCN-8s", "U-Net", "SegNet"):
        found, rung = nets.one_net(name, splits.CAMVID, splits.HELD_OUT,
                                   *splits.camvid(), CAMVID)
        rows, ladder = rows + found, ladder + [rung]
    return {"rows": rows, "ladder": ladder, "seeds": splits.SEEDS}
