"""Rasterise the hand-made outlines in data/pictures/ into label PNGs.

    python book/tools/masks.py            write the PNGs that differ
    python book/tools/masks.py --check    write nothing; fail if any differs

Pixel centres lie at integer coordinates: (0, 0) is the middle of the upper
left pixel, x runs right, y runs down. A pixel belongs to a shape when its
centre lies inside the outline or on it. Shapes are drawn in their order,
later ones cover earlier ones; what no shape covers is class 0.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.draw import polygon

PICTURES = Path(__file__).resolve().parents[2] / "data" / "pictures"
VOID = 255


def rasterise(spec: dict) -> tuple[np.ndarray, np.ndarray]:
    """Labels and instance numbers (0: none) of a picture, uint8 H×W."""
    labels = np.zeros(spec["size"], np.uint8)
    instances = np.zeros(spec["size"], np.uint8)
    value = {name: i for i, name in enumerate(spec["classes"])}
    value["void"] = VOID
    for shape in spec["shapes"]:
        x, y = np.transpose(shape["points"])
        inside = polygon(y, x, labels.shape)
        labels[inside] = value[shape["class"]]
        instances[inside] = shape.get("instance", 0)
    return labels, instances


def pngs(path: Path) -> dict[Path, np.ndarray]:
    """The PNGs that belong to an outline file, as they should be."""
    labels, instances = rasterise(json.loads(path.read_text("utf-8")))
    wanted = {path.with_suffix(".png"): labels}
    if instances.any():
        wanted[path.with_name(f"{path.stem}_instances.png")] = instances
    return wanted


def same(path: Path, wanted: np.ndarray) -> bool:
    """Whether a PNG is there, 8-bit grey, and holds these pixels."""
    if not path.exists():
        return False
    with Image.open(path) as png:
        return png.mode == "L" and np.array_equal(png, wanted)


def write(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG whole or not at all."""
    new = path.with_suffix(".new")
    Image.fromarray(pixels).save(new, format="png", optimize=True)
    os.replace(new, path)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true",
                        help="write nothing; exit 1 if a PNG differs")
    arguments = parser.parse_args()

    wanted = {png: pixels for path in sorted(PICTURES.glob("*.json"))
              for png, pixels in pngs(path).items()}
    stale = [png for png in wanted if not same(png, wanted[png])]
    orphans = sorted(set(PICTURES.glob("*.png")) - wanted.keys())
    for png in orphans:
        print(f"{png.name}: no outlines in any JSON", file=sys.stderr)
    for png in stale:
        if arguments.check:
            print(f"{png.name}: differs from its outlines;"
                  " run book/tools/masks.py", file=sys.stderr)
        else:
            write(png, wanted[png])
            print(f"wrote {png.name}")
    return int(bool(orphans) or arguments.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
