"""Draw a picture for the cover: one street by day, labelled, and at dusk.

Nothing calls this yet; `python book/tools/cover_picture.py out.png` draws.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image


def panorama(height: int = 480, width: int = 1200) -> np.ndarray:
    """Three slanted strips of scene 10 of town 12, (height, width, 3)."""
    from seglib.display import overlay
    from seglib.scenes import StreetScenes

    town = StreetScenes(11, (height, width), seed=12, thin=1, noise=0.02,
                        weather="clear")
    day, dusk = town[10], town.with_(night=0.5)[10]
    day_mask = np.where(day.mask == 255, 0, day.mask)
    labelled = overlay(day.image, day_mask, opacity=0.75)
    row, column = np.indices((height, width))
    place = column + (row - height / 2) / 3
    edges = np.array([0.36, 0.64]) * width
    strip = np.digitize(place, edges)[..., None]
    picture = np.choose(strip, [day.image, labelled, dusk.image])
    seam = np.abs(place[..., None] - edges).min(axis=2) < height / 160
    picture[seam] = 255
    rim = height // 40                      # the rim of VOID
    return picture[rim:-rim, rim:-rim]


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path)
    path = parser.parse_args(arguments).path
    Image.fromarray(panorama()).save(path, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(run())
