"""Five streets as the networks of chapters 12 to 14 paint them."""
import base64
import io
from pathlib import Path

import bands
import numpy as np
import results
import splits
import torch
from PIL import Image

from seglib.fcn import FCN32s
from seglib.training import evaluate, predict

QUESTION = "What do four networks make of the same five streets?"
SEED = 0


def packed(mask):
    """A mask as the text of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def measure() -> dict:
    torch.set_num_threads(1)
    segnet = results.load(Path(__file__).with_name("14_segnet.py"))
    nets = {"FCN-32s": lambda classes: FCN32s(
        classes, width=segnet.WIDTH, norm=True, padded=True)}
    nets |= {name: segnet.NETS[name]
             for name in ("FCN-8s", "SegNet", "U-Net")}
    train, test = splits.thin_streets()
    rows, pictures = [], {}
    for name, make in nets.items():
        model, _ = segnet.trained(make, SEED, train, segnet.STREETS)
        scores = evaluate(model, test)
        print(name, scores["mean_iou"], flush=True)
        rows.append(bands.row(name, splits.THIN, "seed 1", "mean IoU",
                              [scores["mean_iou"]], bands.over_seeds))
        pictures[name] = [packed(predict(model, s.image)) for s in test[:5]]
    return {"rows": rows, "ladder": [], "seeds": [SEED],
            "pictures": pictures}
