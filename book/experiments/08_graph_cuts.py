"""Cutting horses: with the seeds of chapter 06, beside what grew from them."""
import importlib.util
import time
from pathlib import Path

import numpy as np
from bands import row, rung

from seglib import graph_cuts, region_growing
from seglib.datasets import Horses

QUESTION = ("With the same seeds as in chapter 06, how well do a cut by edges,"
            " a cut by edges and colours, and walkers find a horse?")
SEEDS = [0]
GAMMAS = (5, 10, 20, 50)
BETAS = (130, 500, 1000)


def chapter_06():
    """How chapter 06 plants seeds and scores what it finds."""
    path = Path(__file__).with_name("06_region_growing.py")
    spec = importlib.util.spec_from_file_location("growing_horses", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_edges(image, seeds) -> np.ndarray:
    costs = np.zeros((*seeds.shape, 2))
    costs[seeds == 1, 1] = costs[seeds == 2, 0] = np.inf
    return graph_cuts.grid_min_cut(
        costs, graph_cuts.contrast_weights(image)).mask


def by_colours(image, seeds, gamma) -> np.ndarray:
    return graph_cuts.grid_min_cut(
        graph_cuts.seed_costs(image, seeds),
        graph_cuts.contrast_weights(image, gamma)).mask


def walked(image, seeds, beta) -> np.ndarray:
    return graph_cuts.random_walker(image, seeds, beta) == 2


def grown(image, seeds) -> np.ndarray:
    return region_growing.seeded_region_growing(image, seeds) == 2


def methods(growing, train) -> dict:
    """Method and way of planting -> how to find a horse in a sample."""
    every_third = train[::3]
    found = {}
    for kind, plant in growing.PLANT.items():
        gamma = growing.best(every_third, GAMMAS, lambda s, g: by_colours(
            s.image, plant(s.mask), g))
        beta = growing.best(every_third, BETAS, lambda s, b: walked(
            s.image, plant(s.mask), b))
        for name, find in (
                ("seeded growing", grown), ("cut by edges", by_edges),
                (f"cut with colours, γ {gamma}",
                 lambda i, s, gamma=gamma: by_colours(i, s, gamma)),
                (f"random walker, β {beta}",
                 lambda i, s, beta=beta: walked(i, s, beta))):
            found[name, kind] = lambda s, find=find, plant=plant: find(
                s.image, plant(s.mask))
    return found


def measure() -> dict:
    growing = chapter_06()
    train, test = list(Horses("train")), list(Horses("test"))
    rows, ladder, overlaps = [], [], {}
    for (name, kind), find in methods(growing, train).items():
        start = time.perf_counter()
        found = [find(s) for s in test]
        seconds = (time.perf_counter() - start) / len(test)
        scores = np.array([growing.score(f, s.mask)
                           for f, s in zip(found, test)])
        overlaps[name.split(",")[0], kind] = scores[:, 0]
        method = f"{name}, seeds from {kind}"
        rows += [row(method, "horses", "test", metric, values)
                 for metric, values in zip(
                     ("IoU", "F-measure", "boundary F1"), scores.T)]
        if kind == "place" and name != "seeded growing":
            ladder.append(rung(method, seconds, rows[-3]))
    for kind in growing.PLANT:
        for more, less in (("cut with colours", "seeded growing"),
                           ("random walker", "seeded growing"),
                           ("cut with colours", "random walker")):
            rows.append(row(f"{more} - {less}, {kind}", "horses", "test",
                            "gain in IoU", overlaps[more, kind]
                            - overlaps[less, kind]))
    return {"rows": rows, "ladder": ladder, "seeds": SEEDS}
