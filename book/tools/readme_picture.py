"""Draw the picture at the top of README.md: book/_static/readme.png.

Two photographs of scikit-image: beside the one our own hand-made mask, and
beside the other what a single threshold makes of it, with its mistakes.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import course
import numpy as np
from PIL import Image

HEIGHT, GAP, COLOURS = 200, 8, 192


def panels() -> list[np.ndarray]:
    """Picture and mask of coffee; picture and Otsu's errors of coins."""
    from seglib.datasets import SamplePictures
    from seglib.display import errors, paint
    from seglib.thresholding import otsu

    pictures = SamplePictures()
    coffee, coins = pictures["coffee"], pictures["coins"]
    return [coffee.image, paint(coffee.mask),
            np.stack([coins.image] * 3, axis=-1),
            errors(coins.image > otsu(coins.image), coins.mask)]


def draw(path: Path):
    """Write the panels side by side, the gaps between them transparent."""
    row = [Image.fromarray(panel) for panel in panels()]
    row = [panel.resize((round(panel.width * HEIGHT / panel.height), HEIGHT),
                        Image.Resampling.LANCZOS) for panel in row]
    lefts = np.cumsum([0] + [panel.width + GAP for panel in row])
    picture = Image.new("RGB", (int(lefts[-1]) - GAP, HEIGHT))
    for left, panel in zip(lefts.tolist(), row):
        picture.paste(panel, (left, 0))
    picture = picture.quantize(palette=picture.quantize(COLOURS))  # dithers
    for left in lefts[1:-1].tolist():
        picture.paste(COLOURS, (left - GAP, 0, left, HEIGHT))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True, transparency=COLOURS)


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path, nargs="?", default=course.ROOT
                        / "book" / "_static" / "readme.png")
    path = parser.parse_args(arguments).path
    draw(path)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(run())
