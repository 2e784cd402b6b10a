"""Counting what touches: heaps of coins, and nuclei under the microscope."""
import time

import numpy as np
from scipy import ndimage

from bands import over_seeds, row, rung
from seglib import edges
from seglib.datasets import Nuclei
from seglib.metrics import panoptic_quality
from seglib.thresholding import otsu

QUESTION = ("Does cutting at the waists count touching things better than"
            " connected pieces do, on heaps of coins and on nuclei?")
SEEDS = [0, 1, 2, 3, 4]
DEPTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
SMALLEST = 16           # pixels; what is smaller is dust


def pieces(mask):
    return ndimage.label(mask)[0]


def every_top(mask):
    hills = edges.distance_transform(mask)
    tops = (hills == ndimage.maximum_filter(hills, 3)) & mask
    return edges.watershed(-hills, ndimage.label(tops, np.ones((3, 3)))[0],
                           mask)


METHODS = {"pieces": pieces, "every top": every_top,
           "watershed": edges.split_touching}


def nuclei_mask(image):
    return ndimage.binary_fill_holes(image > otsu(image))


def without_dust(things):
    size = np.bincount(things.ravel())
    return np.where(size[things] < SMALLEST, 0, things)


def scores(things, truth) -> dict[str, float]:
    quality = panoptic_quality(without_dust(things), truth)
    return {"panoptic quality": quality.pq,
            "count error": abs(quality.fp - quality.fn)}


def heaps() -> list[dict]:
    rows = []
    for overlap in (0.1, 0.3, 0.6):
        taken = [edges.heap_of_coins(overlap, seed=seed) for seed in SEEDS]
        for name, method in METHODS.items():
            found = [scores(method(ndimage.binary_opening(
                image > otsu(image))), truth) for image, truth in taken]
            rows += [row(name, "heap of coins", f"overlap {overlap}", metric,
                         [f[metric] for f in found], over_seeds)
                     for metric in found[0]]
    return rows


def nuclei() -> tuple[list[dict], list[dict]]:
    pictures = [(sample.image, sample.instances) for sample in Nuclei()]
    masks = [nuclei_mask(image) for image, _ in pictures]
    rows, ladder, table = [], [], {}

    def record(name, method, masks, split="all"):
        table[name] = [scores(method(mask), truth)
                       for mask, (_, truth) in zip(masks, pictures)]
        rows.extend(row(name, "nuclei", split, metric,
                        [f[metric] for f in table[name]])
                    for metric in table[name][0])

    for name, method in METHODS.items():
        start = time.perf_counter()
        for image, _ in pictures:
            method(nuclei_mask(image))
        seconds = (time.perf_counter() - start) / len(pictures)
        record(name, method, masks)
        if name != "every top":
            ladder.append(rung(
                "Otsu" if name == "pieces" else "Otsu + watershed", seconds,
                rows[-2]))
    truths = [truth > 0 for _, truth in pictures]
    record("pieces of the true mask", pieces, truths)
    record("watershed of the true mask", edges.split_touching, truths)
    for metric in ("panoptic quality", "count error"):
        gains = [w[metric] - p[metric] for w, p in
                 zip(table["watershed"], table["pieces"])]
        rows.append(row("watershed - pieces", "nuclei", "all", metric,
                        gains))
    return rows + tuned(masks, pictures, table), ladder


def tuned(masks, pictures, table) -> list[dict]:
    """The depth chosen on every other image, judged on the rest."""
    def at(depth, part):
        return [scores(edges.split_touching(mask, depth), truth)
                for mask, (_, truth) in zip(masks[part], pictures[part])]

    practice, judged = slice(0, None, 2), slice(1, None, 2)
    best = max(DEPTHS, key=lambda depth: np.mean(
        [f["panoptic quality"] for f in at(depth, practice)]))
    rows = [row("watershed tuned", "nuclei", "practice half", "depth",
                [best], lambda values: (*values * 3, "from a grid"))]
    for name, found in (("watershed", table["watershed"][judged]),
                        ("watershed tuned", at(best, judged))):
        rows.append(row(name, "nuclei", "other half", "panoptic quality",
                        [f["panoptic quality"] for f in found]))
    return rows


def measure() -> dict:
    rows, ladder = nuclei()
    return {"rows": heaps() + rows, "ladder": ladder, "seeds": SEEDS}
