"""The hand-made masks agree with their outlines and their pictures."""
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
OUTLINES = sorted((ROOT / "data" / "pictures").glob("*.json"))
VOID = 255
MOST_VOID = {"rocket": 0.25}    # sky and braces mix in the lattice towers

_spec = importlib.util.spec_from_file_location(
    "masks", ROOT / "book" / "tools" / "masks.py")
masks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(masks)

each = pytest.mark.parametrize("path", OUTLINES, ids=lambda p: p.stem)


def load(path):
    return json.loads(path.read_text("utf-8"))


def read(path):
    with Image.open(path) as png:
        assert png.mode == "L"
        return np.array(png)


def picture(spec):
    """The picture that the outlines were drawn on."""
    package, module, name = spec["source"].split(".")
    assert (package, module) == ("skimage", "data")
    found = getattr(skimage.data, name)()
    return found[0] if isinstance(found, tuple) else found


def test_there_are_eight():
    assert [path.stem for path in OUTLINES] == [
        "astronaut", "camera", "cell", "chelsea",
        "coffee", "coins", "motorcycle", "rocket"]


@each
def test_png_is_the_rasterised_outline(path):
    for png, wanted in masks.pngs(path).items():
        np.testing.assert_array_equal(read(png), wanted, png.name)


def test_no_png_without_outlines():
    wanted = {png for path in OUTLINES for png in masks.pngs(path)}
    assert wanted == set((ROOT / "data" / "pictures").glob("*.png"))


@each
def test_size_is_the_pictures(path):
    spec = load(path)
    assert spec["picture"] == path.stem
    assert tuple(spec["size"]) == picture(spec).shape[:2]


@each
def test_labels_are_the_classes(path):
    labels = set(np.unique(read(path.with_suffix(".png"))).tolist())
    assert labels - {VOID} == set(range(len(load(path)["classes"])))


@each
def test_void_is_a_small_part(path):
    most = MOST_VOID.get(path.stem, 0.1)
    assert (read(path.with_suffix(".png")) == VOID).mean() < most


@each
def test_outlines_stay_on_the_picture(path):
    spec = load(path)
    height, width = spec["size"]
    for shape in spec["shapes"]:
        assert shape["class"] in [*spec["classes"], "void"]
        x, y = np.transpose(shape["points"])
        assert len(x) >= 3
        assert -0.5 <= x.min() and x.max() <= width - 0.5
        assert -0.5 <= y.min() and y.max() <= height - 0.5


@each
def test_instances_belong_to_classes(path):
    spec = load(path)
    numbers = [s["instance"] for s in spec["shapes"] if "instance" in s]
    instances = path.with_name(f"{path.stem}_instances.png")
    if not numbers:
        assert not instances.exists()
        return
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    found, labels = read(instances), read(path.with_suffix(".png"))
    assert set(np.unique(found)) - {0} == set(numbers)
    for shape in spec["shapes"]:
        if "instance" in shape:
            value = spec["classes"].index(shape["class"])
            assert (labels[found == shape["instance"]] == value).all()


def test_coins_are_24_that_do_not_touch():
    folder = ROOT / "data" / "pictures"
    labels, found = (read(folder / "coins.png"),
                     read(folder / "coins_instances.png"))
    components, count = ndimage.label(labels == 1, np.ones((3, 3)))
    assert count == found.max() == 24
    pairs = np.unique(np.stack([components[labels == 1],
                                found[labels == 1]]), axis=1)
    assert pairs.shape == (2, 24)


def test_pixel_centres_are_at_integers():
    spec = {"size": [4, 5], "classes": ["ground", "thing"], "shapes": [
        {"class": "thing", "instance": 3,
         "points": [[0.6, 1], [3.4, 1], [3.4, 2.4], [0.6, 2.4]]},
        {"class": "void", "points": [[2.9, 0.5], [5, 0.5], [5, 1.5],
                                     [2.9, 1.5]]}]}
    labels, instances = masks.rasterise(spec)
    assert labels.tolist() == [[0, 0, 0, 0, 0],
                               [0, 1, 1, 255, 255],
                               [0, 1, 1, 1, 0],
                               [0, 0, 0, 0, 0]]
    assert instances.tolist() == [[0, 0, 0, 0, 0],
                                  [0, 3, 3, 0, 0],
                                  [0, 3, 3, 3, 0],
                                  [0, 0, 0, 0, 0]]
