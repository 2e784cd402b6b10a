"""Global against local thresholds: a printed page, and real documents."""
import time

import numpy as np

from bands import over_seeds, row, rung
from seglib import thresholding
from seglib.datasets import Documents
from seglib.metrics import confusion_matrix, dice

QUESTION = ("What does a threshold of its own for every pixel bring, on a"
            " page that we light ourselves and on old documents?")
SEEDS = [0, 1, 2, 3, 4]

# Every method gives what is dark in an image; the last one sees the truth.
METHODS = {
    "Otsu": lambda image, ink: image <= thresholding.otsu(image),
    "Li": lambda image, ink: image <= thresholding.li(image),
    "triangle": lambda image, ink: image <= thresholding.triangle(image),
    "Niblack": lambda image, ink: image <= thresholding.niblack(image, 25),
    "Sauvola": lambda image, ink: image <= thresholding.sauvola(image, 25),
    "best single number": lambda image, ink:
        image <= thresholding.best_threshold(image, ink),
}
WINDOWS, KS = (15, 25, 51, 101), (0.05, 0.1, 0.2, 0.3, 0.5)


def f_measure(found, ink) -> float:
    return float(dice(confusion_matrix(found, ink, 2))[1])


def printed_pages() -> list[dict]:
    rows = []
    for gradient in (0.0, 0.9):
        pages = [thresholding.printed_page(gradient, seed=seed)
                 for seed in SEEDS]
        rows += [row(name, "printed page", f"light falls {gradient:.0%}"
                     .replace("%", " %"), "F-measure",
                     [f_measure(find(*page), page[1]) for page in pages],
                     over_seeds) for name, find in METHODS.items()]
    return rows


def grid(image, ink) -> np.ndarray:
    """F-measure of Sauvola for all windows and ks."""
    return np.array([[f_measure(image <= thresholding.sauvola(image, w, k),
                                ink) for k in KS] for w in WINDOWS])


def documents() -> tuple[list[dict], list[dict]]:
    pages = [(sample.image, sample.mask == 1) for sample in Documents()]
    rows, ladder, scores = [], [], {}
    for name, find in METHODS.items():
        start = time.perf_counter()
        found = [find(*page) for page in pages]
        seconds = (time.perf_counter() - start) / len(pages)
        scores[name] = [f_measure(f, ink)
                        for f, (_, ink) in zip(found, pages)]
        rows.append(row(name, "documents", "all", "F-measure", scores[name]))
        if name in ("Otsu", "Sauvola"):
            ladder.append(rung(name, seconds, rows[-1]))
    gains = np.subtract(scores["Sauvola"], scores["Otsu"])
    rows.append(row("Sauvola - Otsu", "documents", "all",
                    "gain in F-measure", gains))
    tables = [grid(*page) for page in pages]
    best = np.mean(tables[0::2], axis=0)        # every other page to tune
    window, k = np.unravel_index(best.argmax(), best.shape)
    scores["Sauvola tuned"] = [float(t[window, k]) for t in tables]
    rows += [row(name, "documents", "other half", "F-measure",
                 scores[name][1::2])
             for name in ("Otsu", "Sauvola", "Sauvola tuned")]
    return rows, ladder


def measure() -> dict:
    rows, ladder = documents()
    return {"rows": printed_pages() + rows, "ladder": ladder, "seeds": SEEDS}
