"""Growing horses: where seeds lie decides more than which method grows."""
import time

import numpy as np
from scipy import ndimage

from bands import row, rung
from seglib import region_growing as growing
from seglib.datasets import Horses
from seglib.metrics import boundary_f1, confusion_matrix, dice, iou

QUESTION = ("How well do regions that grow find a horse, with seeds from its"
            " place in the picture and with seeds from the truth?")
SEEDS = [0]
TOLERANCES = range(5, 121, 5)
SCALES = (50, 100, 200, 400, 800)


def place(mask) -> np.ndarray:
    """Seeds that know only this: the horse is in the middle of the picture.

    1, the ground, along the frame; 2, the horse, a disc in the middle.
    """
    (height, width), radius = mask.shape, min(mask.shape) // 20
    disc = growing.seeds_at(mask.shape, [[(height // 2, width // 2)]], radius)
    seeds = 2 * disc
    seeds[:2] = seeds[-2:] = seeds[:, :2] = seeds[:, -2:] = 1
    return seeds


PLANT = {"place": place,
         "core": lambda mask: growing.truth_seeds(mask, "core"),
         "skeleton": lambda mask: growing.truth_seeds(mask, "skeleton")}


def flooded(image, tolerance) -> np.ndarray:
    height, width = image.shape[:2]
    return growing.flood(image, (height // 2, width // 2), tolerance)


def voted(image, seeds, scale) -> np.ndarray:
    """Regions of the graph that hold more seeds of horse than of ground."""
    regions = growing.graph_merge(image, scale)
    votes = [np.bincount(regions[seeds == label],
                         minlength=regions.max() + 1) for label in (1, 2)]
    return (votes[1] > votes[0])[regions]


def best_choice(image, mask, scale) -> np.ndarray:
    """Regions of the graph that are more than half horse: a bound."""
    regions = growing.graph_merge(image, scale)
    share = np.bincount(regions.ravel(), (mask == 1).ravel())
    return (share > np.bincount(regions.ravel()) / 2)[regions]


def middle(horses, cells=64):
    """Mean horse of the training pictures, stretched to any picture."""
    def stretched(mask, shape):
        zoom = [to / now for to, now in zip(shape, mask.shape)]
        return ndimage.zoom(mask.astype(float), zoom, order=1)
    mean = np.mean([stretched(s.mask == 1, (cells, cells)) for s in horses],
                   axis=0)
    return lambda shape: stretched(mean, shape)[:shape[0], :shape[1]] > 0.5


def score(found, mask) -> tuple[float, float, float]:
    cm = confusion_matrix(found, mask, 2)
    return (float(iou(cm)[1]), float(dice(cm)[1]),
            float(boundary_f1(found, mask == 1)))


def best(horses, values, find):
    """The value with the best mean IoU on these pictures."""
    return max(values, key=lambda value: np.mean(
        [score(find(s, value), s.mask)[0] for s in horses]))


def grown(image, seeds) -> np.ndarray:
    return growing.seeded_region_growing(image, seeds) == 2


def measure() -> dict:
    train, test = list(Horses("train")), list(Horses("test"))
    tolerance = best(train, TOLERANCES, lambda s, t: flooded(s.image, t))
    mean_horse = middle(train)
    methods = {
        "mean horse of training, picture unseen":
            lambda s: mean_horse(s.mask.shape),
        f"flood from the middle, tolerance {tolerance}":
            lambda s: flooded(s.image, tolerance)}
    for kind, plant in PLANT.items():
        scale = best(train, SCALES,
                     lambda s, k: voted(s.image, plant(s.mask), k))
        methods[f"seeded growing, seeds from {kind}"] = (
            lambda s, plant=plant: grown(s.image, plant(s.mask)))
        methods[f"graph merging, scale {scale}, seeds from {kind}"] = (
            lambda s, plant=plant, scale=scale:
                voted(s.image, plant(s.mask), scale))
    methods["graph merging, scale 50, told by the truth"] = (
        lambda s: best_choice(s.image, s.mask, 50))
    rows, ladder, scores = [], [], {}
    for name, find in methods.items():
        start = time.perf_counter()
        found = [find(s) for s in test]
        seconds = (time.perf_counter() - start) / len(test)
        scores[name] = np.array([score(f, s.mask)
                                 for f, s in zip(found, test)])
        rows += [row(name, "horses", "test", metric, values)
                 for metric, values in zip(
                     ("IoU", "F-measure", "boundary F1"), scores[name].T)]
        if "core" not in name and "skeleton" not in name and (
                "truth" not in name):
            ladder.append(rung(name, seconds, rows[-3]))
    by_seeds = {kind: scores[f"seeded growing, seeds from {kind}"][:, 0]
                for kind in PLANT}
    rows += [row(f"seeded growing: {more} - {less}", "horses", "test",
                 "gain in IoU", by_seeds[more] - by_seeds[less])
             for more, less in (("core", "place"), ("skeleton", "core"))]
    for kind, plant in PLANT.items():
        rows.append(row(f"pixels in seeds from {kind}", "horses", "test",
                        "share", [(plant(s.mask) > 0).mean() for s in test]))
    return {"rows": rows, "ladder": ladder, "seeds": SEEDS}
