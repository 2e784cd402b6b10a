"""FCN-8s, U-Net and SegNet on photographs, from scratch."""
from pathlib import Path

import results
import splits
import torch

from seglib.scenes import Augment

QUESTION = "Which of the three learns most from 266 photographs?"
# Of flips alone and `Augment()`, flips: the last 60 pictures of one
# sequence of the training side, one seed, 120 steps of the U-Net.
FLIPS = Augment(turn=0, zoom=(1, 1), shift=0, colour=0)
CAMVID = {"steps": 200, "batch_size": 8, "lr": 0.01, "crop": (120, 160),
          "augment": FLIPS}


def measure() -> dict:
    torch.set_num_threads(1)
    nets = results.load(Path(__file__).with_name("14_segnet.py"))
    rows, ladder = [], []
    for name in ("FCN-8s", "U-Net", "SegNet"):
        found, rung = nets.one_net(name, splits.CAMVID, splits.HELD_OUT,
                                   *splits.camvid(), CAMVID)
        rows, ladder = rows + found, ladder + [rung]
    return {"rows": rows, "ladder": ladder, "seeds": splits.SEEDS}
