"""Draw the picture at the top of README.md: book/_static/readme.png.

One street of chapter 10, three times: by day, labelled, and at dusk.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import course
import numpy as np
from PIL import Image

HEIGHT, WIDTH, COLOURS = 400, 1000, 128


def panorama() -> np.ndarray:
    """Three slanted strips of one scene, (height, width, 3)."""
    from seglib.display import overlay
    from seglib.scenes import StreetScenes

    town = StreetScenes(11, (HEIGHT, WIDTH), seed=12, thin=1, noise=0.02,
                        weather="clear")
    day, dusk = town[10], town.with_(night=0.5)[10]
    labelled = overlay(day.image, np.where(day.mask == 255, 0, day.mask),
                       opacity=0.75)
    row, column = np.indices((HEIGHT, WIDTH))
    place = column + (row - HEIGHT / 2) / 3
    seams = np.array([0.36, 0.64]) * WIDTH
    strip = np.digitize(place, seams)[..., None]
    picture = np.choose(strip, [day.image, labelled, dusk.image])
    picture[np.abs(place[..., None] - seams).min(axis=2) < 2.5] = 255
    rim = HEIGHT // 40                      # where the scene is VOID
    return picture[rim:-rim, rim:-rim]


def draw(path: Path):
    """Write the picture in few colours, so that it stays small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(panorama()).quantize(
        COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


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
