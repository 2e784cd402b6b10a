"""Weights from another task: tags of scenes, and ImageNet's photographs."""
import sys
import time

import bands
import numpy as np
import splits
import torch
from PIL import Image

from seglib import fcn
from seglib.datasets import Horses
from seglib.environment import weights_root
from seglib.scenes import StreetScenes
from seglib.training import evaluate, fit

QUESTION = "What do weights from another task bring?"
SETTINGS = {"device": "cpu", "progress": False, "class_weights": "median"}
TRANSFER = "StreetScenes, thin, {} labelled"
STARTS = ("from scratch", "fine-tuned", "frozen", "a tenth of the rate")


def told(*what):
    print(*what, file=sys.stderr, flush=True)


# Tags first, pixels later
# ------------------------

def pretrained(seed):
    """A classifier that has been told what is in 1500 scenes."""
    torch.manual_seed(seed)
    net = fcn.VGG16(13, width=16, norm=True, size=64)
    fit(net, list(StreetScenes(1500, seed=2, thin=0.5)), steps=200,
        batch_size=32, loss=fcn.tag_loss, crop=(64, 64), seed=seed,
        device="cpu", progress=False)
    return net.stages


def started(how, stages):
    net = fcn.FCN8s(13, width=16, norm=True, padded=True)
    if how != "from scratch":
        net.trunk.stages.load_state_dict(stages.state_dict())
    if how == "frozen":
        fcn.freeze(net.trunk.stages)
    if how == "a tenth of the rate":
        fcn.slow_down(net.trunk.stages, 0.1)
    return net


def tags(labelled=10, steps=60, every=15):
    train, test = splits.thin_streets(labelled, 60)
    curves = {how: [] for how in STARTS}
    for seed in splits.SEEDS:
        stages = pretrained(seed)
        for how in STARTS:
            torch.manual_seed(seed)
            net = started(how, stages)
            history = fit(net, train, test, steps=steps, batch_size=8,
                          every=every, seed=seed, **SETTINGS)
            curves[how].append([row["mean_iou"] for row in history.rows
                                if "mean_iou" in row])
            told(seed, how, np.round(curves[how][-1], 3))
    return [bands.row(how, TRANSFER.format(labelled), "seed 1",
                      f"mean IoU after {every * (i + 1)} steps", values,
                      bands.over_seeds)
            for how in STARTS for i, values in enumerate(zip(*curves[how]))]


# ImageNet
# --------

def squeezenet_state():
    """The weights in $SEGLIB_WEIGHTS, made for ImageNet's mean and std.

    They want 255 x - (123, 117, 104); our first layer gets
    (x - mean) / std.
    """
    with np.load(weights_root() / "squeezenet1_0-imagenet.npz") as file:
        state = {key: torch.from_numpy(file[key]) for key in file.files}
    given = fcn.Standardise()
    weight = state["features.0.weight"]
    offset = 255 * given.mean - torch.tensor([123., 117, 104])[:, None, None]
    state["features.0.bias"] += (weight * offset).sum((1, 2, 3))
    state["features.0.weight"] = weight * 255 * given.std
    return state


def named_right(state):
    """What the whole classifier says about scikit-image's pictures."""
    from skimage import data
    from torchvision.models import squeezenet1_0
    from torchvision.models._meta import _IMAGENET_CATEGORIES as names
    net = squeezenet1_0().eval()
    net.load_state_dict(state)
    given, found = fcn.Standardise(), []
    for picture, name in ((data.coffee(), "espresso"),
                          (data.chelsea(), "Egyptian cat"),
                          (data.stereo_motorcycle()[0], "moped")):
        image = np.array(Image.fromarray(picture).resize((227, 227)))
        x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            chance = net(given(x))[0].softmax(0)
        says = names[int(chance.argmax())]
        told(says, float(chance.max()))
        found.append(float(chance[[n == name for n in names]].sum()))
        assert says in (name, "motor scooter"), says
    return [bands.row("SqueezeNet", "scikit-image's pictures", "three",
                      "probability of the right class", found)]


def small_horses():
    """Horses, 96 x 128: sides scaled, not cut."""
    def squeezed(sample):
        return splits.halved(sample, (128, 96))
    return ([squeezed(s) for s in Horses("train")],
            [squeezed(s) for s in Horses("test")])


def fine_tuned(make, train, test, steps, seed, lr):
    torch.manual_seed(seed)
    net = make()
    clock = time.perf_counter()
    history = fit(net, train, test, steps=steps, batch_size=8, lr=lr,
                  every=steps // 2, seed=seed, augment=mirrored, **SETTINGS)
    clock = time.perf_counter() - clock
    halves = [row["mean_iou"] for row in history.rows if "mean_iou" in row]
    start = time.perf_counter()
    scores = evaluate(net, test)
    took = (time.perf_counter() - start) / len(test)
    return halves[0], scores, clock, took


def mirrored(images, masks):
    if torch.rand(()) < 0.5:
        images, masks = images.flip(-1), masks.flip(-1)
    return images, masks


def imagenet(dataset, split, train, test, steps, state, seeds):
    classes, often = len(train[0].classes), splits.frequent(test)
    rows, ladder = [], []
    for name, weights in (("SqueezeNet-FCN from scratch", None),
                          ("SqueezeNet-FCN from ImageNet", state)):
        runs = [fine_tuned(
            lambda: fcn.fcn_squeezenet(classes, weights=weights),
            train, test, steps, seed, 1e-3) for seed in seeds]
        ious = [np.array(list(run[1]["iou"].values())) for run in runs]
        found = {
            "mean IoU": [run[1]["mean_iou"] for run in runs],
            "mean IoU, frequent classes": [np.nanmean(iou[often])
                                           for iou in ious],
            f"mean IoU after {steps // 2} steps": [r[0] for r in runs],
            "seconds of training": [run[2] for run in runs]}
        of_net = [bands.row(name, dataset, split, metric, values,
                            bands.over_seeds)
                  for metric, values in found.items()]
        rows += of_net
        ladder.append(bands.rung(name, np.mean([r[3] for r in runs]),
                                 of_net[0]))
        told(dataset, name, {k: np.round(v, 3) for k, v in found.items()})
    return rows, ladder


def measure() -> dict:
    torch.set_num_threads(1)
    rows = tags()
    state = squeezenet_state()
    rows, ladder = rows + named_right(state), []
    for found in (
            imagenet("Horses 128 × 96", "test", *small_horses(), 60, state,
                     splits.SEEDS),
            imagenet(splits.CAMVID, splits.HELD_OUT, *splits.camvid(), 120,
                     state, splits.SEEDS[:2])):
        rows, ladder = rows + found[0], ladder + found[1]
    return {"rows": rows, "ladder": ladder, "seeds": splits.SEEDS}
