# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   seglib:
#     minutes:
#       gpu: 0.1
#       laptop: 0.1
#     module: annotations
#     place: 2.5
# ---

# %% [markdown]
# # Annotation formats
#
# *People draw outlines and colours; how do these become the numbers
# that chapter 02 asks for?*
#
# **You will be able to** read what LabelMe and COCO tools write, read
# masks stored as colours without losing one, and say where the middle
# of a pixel is.
#
# **You need** chapter 02. Come here when you have data of your own.
#
# **Exports** `fill`, `LabelMeFolder`, `CocoDataset`, `rle_encode`,
# `rle_decode`, `from_colours`, `to_colours`, `save_mask`.

# %% tags=["export"]
import json
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import draw

from seglib.datasets import Dataset, in_words
from seglib.display import VOID
from seglib.readers import read_image

# %%
import tempfile

from skimage import data

from seglib.datasets import SamplePictures
from seglib.display import describe, overlay, paint, show
from seglib.environment import project_root

# %% [markdown]
# ## Where is the middle of a pixel?
#
# An outline is a list of points, and a pixel belongs to it when its
# middle lies inside. But where is the middle? Two conventions share the
# world. In one, whole numbers are the *lines between* pixels, and the
# middle of the first pixel is (0.5, 0.5): LabelMe's screen and COCO
# count like this. In the other, whole numbers are the middles; our own
# drawings are made so. Mix them up and everything shifts by half a
# pixel, which nobody sees and every score feels.

# %% tags=["export"]
def fill(points, size: tuple[int, int],
         middle: float = 0.5) -> np.ndarray:
    """Pixels inside a polygon.

    Parameters
    ----------
    points : (N, 2) array, N >= 3
        Corners as (x, y), in pixels; the last joins the first.
    size : (int, int)
        Height and width of the image. What lies outside is cut off.
    middle : float, default 0.5
        Coordinate of the first pixel's middle: 0.5 for LabelMe and
        COCO, 0 for the drawings in `data/pictures`.

    Returns
    -------
    (H, W) bool array
        True where a pixel's middle is inside or on the outline; where
        an outline crosses itself, inside is what an odd number of
        lines separates from the outside.

    Raises
    ------
    ValueError
        If there are fewer than three points, or one is not finite.

    Examples
    --------
    >>> fill([(1, 0), (3, 0), (3, 1), (1, 1)], (2, 4)).astype(int)
    array([[0, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise ValueError(f"points has shape {points.shape};"
                         " needed: (N, 2) with N >= 3")
    if not np.isfinite(points).all():
        raise ValueError("points holds nan or infinity; needed: pixels")
    x, y = points.T - middle
    inside = np.zeros(size, dtype=bool)
    inside[draw.polygon(y, x, size)] = True
    return inside

# %% [markdown]
# A triangle whose corners are drawn both ways: half a pixel is a rim.

# %%
triangle = [(1, 1), (11, 3), (5, 8)]
lines, middles = fill(triangle, (9, 12)), fill(triangle, (9, 12), 0)
show(paint(lines + 0), paint(middles + 0), height=130,
     titles=("whole numbers are lines", "whole numbers are middles"),
     alt=[f"A triangle of {lines.sum()} pixels.",
          f"The same corners, {middles.sum()} pixels, half a pixel"
          " further right and down."])

# %% [markdown]
# As a check that nobody's convention slipped: our drawings, filled
# here, are the masks that the course ships.

# %%
sample = SamplePictures()["coffee"]
path = project_root() / "data" / "pictures" / "coffee.json"
drawing = json.loads(path.read_text(encoding="utf-8"))

mask = np.zeros(drawing["size"], dtype=np.uint8)
for shape in drawing["shapes"]:
    here = fill(shape["points"], mask.shape, middle=0)
    mask[here] = drawing["classes"].index(shape["class"])
assert (mask == sample.mask).all()

# %% [markdown]
# ## LabelMe
#
# LabelMe {cite}`russell2008` writes one JSON file beside each image,
# with a list of shapes: a label, a type, points. Shapes that share a
# `group_id` are one thing in several parts (a horse behind a tree).
# Later shapes cover earlier ones.

# %% tags=["export"]
def outline(shape: dict) -> list:
    """Corners of one of LabelMe's shapes, as a polygon."""
    kind, points = shape.get("shape_type", "polygon"), shape["points"]
    if kind == "polygon":
        return points
    (x, y), (u, v) = points[0], points[-1]
    if kind == "rectangle":
        return [(x, y), (u, y), (u, v), (x, v)]
    if kind == "circle":
        angle = np.linspace(0, 2 * np.pi, 180)
        radius = np.hypot(u - x, v - y)
        return np.transpose([x + radius * np.cos(angle),
                             y + radius * np.sin(angle)])
    raise ValueError(f"shape_type is {kind!r}; needed: polygon,"
                     " rectangle or circle (points have no area)")

# %% tags=["export"]
IGNORED = ("void", "__ignore__")


def labelme_masks(about: dict, classes):
    """Mask and instances from the content of a LabelMe file.

    Parameters
    ----------
    about : dict
        The parsed JSON, with `imageHeight`, `imageWidth`, `shapes`.
    classes : sequence of str
        Class 0 is what nothing covers; "void" and "__ignore__" become
        VOID.

    Returns
    -------
    mask : (H, W) uint8 array
    instances : (H, W) int32 array
        Numbered from 1 in the order of the file; VOID has none.

    Raises
    ------
    ValueError
        If a label is not among the classes.
    """
    size = about["imageHeight"], about["imageWidth"]
    mask, ids = np.zeros(size, np.uint8), np.zeros(size, np.int32)
    things = {}
    for number, shape in enumerate(about["shapes"]):
        label, group = shape["label"], shape.get("group_id")
        here = fill(outline(shape), size)
        mask[here] = k = class_of(label, classes)
        key = number if group is None else (label, group)
        ids[here] = (0 if k in (0, VOID)
                     else things.setdefault(key, len(things) + 1))
    return mask, ids


# %% tags=["export"]
def class_of(label: str, classes) -> int:
    """Index of a class by its name; VOID for what is to be ignored."""
    if label not in (*classes, *IGNORED):
        raise ValueError(f"label is {label!r}; needed: one of"
                         f" {in_words([*classes, *IGNORED], 12)}")
    return VOID if label in IGNORED else list(classes).index(label)

# %% [markdown]
# A folder of such files is a data set like any other.

# %% tags=["export"]
class LabelMeFolder(Dataset):
    """Images with LabelMe's JSON files beside them.

    Parameters
    ----------
    folder : path
        Holds `name.json`, and the images that they name.
    classes : sequence of str
        As for `labelme_masks`.
    """

    def __init__(self, folder, classes):
        files = sorted(Path(folder).glob("*.json"))
        super().__init__({path.stem: path for path in files})
        self.classes = tuple(classes)

    def about(self, name) -> dict:
        return json.loads(self.entries[name].read_text("utf-8"))

    def read_image(self, name):
        return read_image(self.entries[name].parent
                          / self.about(name)["imagePath"])

    def read_mask(self, name):
        return labelme_masks(self.about(name), self.classes)[0]

    def read_instances(self, name):
        return labelme_masks(self.about(name), self.classes)[1]

# %%
scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)
Image.fromarray(data.coffee()).save(folder / "coffee.png")
_ = (folder / "coffee.json").write_text(json.dumps({
    "imagePath": "coffee.png", "imageHeight": 400, "imageWidth": 600,
    "shapes": [
        {"label": "saucer", "shape_type": "circle",
         "points": [[277, 232], [277, 390]]},
        {"label": "cup", "shape_type": "circle",
         "points": [[290, 108], [290, 220]]},
        {"label": "spoon", "points": [[330, 280], [405, 66], [420, 76],
                                      [405, 300], [360, 325]]}]}))

# %%
names = ("ground", "saucer", "cup", "spoon")
[rough] = LabelMeFolder(folder, names)
show(overlay(rough.image, rough.mask), paint(rough.instances),
     classes=names, titles=("classes", "instances"),
     alt=["A hasty annotation of the coffee with two circles and a"
          f" polygon: {describe(rough.mask, names)}.",
          f"The same areas, numbered 1 to {rough.instances.max()}."])

# %% [markdown]
# ## Runs
#
# COCO {cite}`lin2014` has outlines, too, and a second form for crowds:
# {term}`run lengths <run-length encoding>`. Walk down the first column, then the second, and
# count: so many zeros, so many ones, so many zeros… The walk always
# starts with zeros; if the first pixel is a one, there are none of
# them.

# %% tags=["export"]
def rle_encode(mask: np.ndarray) -> list[int]:
    """Run lengths of a mask, down the columns, zeros first.

    Parameters
    ----------
    mask : (H, W) bool array

    Examples
    --------
    >>> rle_encode(np.array([[0, 1], [1, 1]], dtype=bool))
    [1, 3]
    """
    walk = np.asarray(mask, dtype=bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(walk, prepend=False, append=False))
    stops = np.concatenate([[0], edges, [walk.size]])
    runs = np.diff(stops).tolist()
    return runs[:-1] if len(runs) > 1 and runs[-1] == 0 else runs


def rle_decode(counts, size: tuple[int, int]) -> np.ndarray:
    """Mask from run lengths.

    Parameters
    ----------
    counts : sequence of int, or str
        Runs down the columns, zeros first; a str is COCO's packed form.
    size : (int, int)
        Height and width.

    Returns
    -------
    (H, W) bool array

    Raises
    ------
    ValueError
        If the runs are not as long as the mask.
    """
    if isinstance(counts, (str, bytes)):
        counts = unpacked(counts)
    if min(counts, default=0) < 0 or sum(counts) != size[0] * size[1]:
        raise ValueError(f"counts add up to {sum(counts)}; needed:"
                         f" {size[0]}×{size[1]}, no negative run")
    ones = np.arange(len(counts)) % 2 == 1
    return np.repeat(ones, counts).reshape(size, order="F")

# %%
ring = sample.mask == 2
runs = rle_encode(ring)
assert (rle_decode(runs, ring.shape) == ring).all()
print(f"{ring.size} pixels, {len(runs)} runs")

# %% [markdown]
# COCO's files pack the runs once more. A run becomes characters of five
# bits each, lowest first; a sixth bit says "more follows"; and from the
# fourth run on, what is stored is the *difference* to the run before
# the last, because neighbouring columns look alike. Differences may be
# negative: the highest of the five bits is then a sign.

# %% tags=["export"]
def unpacked(text: str | bytes) -> list[int]:
    """Run lengths from COCO's packed characters."""
    text = text.encode() if isinstance(text, str) else text
    runs, value, shift = [], 0, 0
    for byte in text:
        bits = byte - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs

# %% [markdown]
# ## COCO
#
# One JSON file for the whole set holds three lists: images, categories,
# annotations. Category numbers have gaps, so a category's *place* in
# the list of sorted numbers counts, after class 0 for the rest. A crowd
# (`iscrowd`) is an area in which nobody counted: for us, VOID. Outlines
# may overlap; we draw the large ones first.

# %% tags=["export"]
def coco_shape(annotation: dict, size: tuple[int, int]) -> np.ndarray:
    """Pixels of one COCO annotation: polygons, or run lengths."""
    form = annotation["segmentation"]
    if isinstance(form, dict):
        return rle_decode(form["counts"], size)
    inside = np.zeros(size, dtype=bool)
    for flat in form:
        inside |= fill(np.reshape(flat, (-1, 2)), size)
    return inside

# %% tags=["export"]
def coco_masks(about: dict, annotations: list, code: dict):
    """Mask and instances of one image, as from `labelme_masks`.

    Parameters
    ----------
    about : dict
        The image's record, with `height` and `width`.
    annotations : list of dict
    code : dict of int to int
        From category numbers to classes.
    """
    size = about["height"], about["width"]
    mask, ids = np.zeros(size, np.uint8), np.zeros(size, np.int32)
    number = 0
    for one in sorted(annotations, key=lambda a: -a.get("area", 0)):
        crowd = bool(one.get("iscrowd"))
        number += not crowd
        here = coco_shape(one, size)
        mask[here] = VOID if crowd else code[one["category_id"]]
        ids[here] = 0 if crowd else number
    return mask, ids


# %% tags=["export"]
def by_image(about: dict) -> dict[str, tuple[dict, list]]:
    """By stem, each image's record and its annotations."""
    found = {one["id"]: (one, []) for one in about["images"]}
    for annotation in about["annotations"]:
        found[annotation["image_id"]][1].append(annotation)
    return {Path(entry[0]["file_name"]).stem: entry
            for entry in found.values()}

# %% tags=["export"]
class CocoDataset(Dataset):
    """Images with one JSON file in COCO's format.

    Parameters
    ----------
    images : path
        Folder of the images.
    file : path
        The annotations, such as `instances_val2017.json`.
    """

    def __init__(self, images, file):
        about = json.loads(Path(file).read_text(encoding="utf-8"))
        kinds = sorted(about["categories"], key=lambda kind: kind["id"])
        self.classes = "ground", *(kind["name"] for kind in kinds)
        self.code = {kind["id"]: k for k, kind in enumerate(kinds, 1)}
        self.folder = Path(images)
        super().__init__(by_image(about))

    def read_image(self, name):
        about, _ = self.entries[name]
        return read_image(self.folder / about["file_name"])

    def read_mask(self, name):
        return coco_masks(*self.entries[name], self.code)[0]

    def read_instances(self, name):
        return coco_masks(*self.entries[name], self.code)[1]

# %%
_ = (folder / "coco.json").write_text(json.dumps({
    "images": [{"id": 7, "file_name": "coffee.png",
                "height": 400, "width": 600}],
    "categories": [{"id": 51, "name": "cup"},
                   {"id": 50, "name": "spoon"}],
    "annotations": [
        {"image_id": 7, "category_id": 51, "area": int(ring.sum()),
         "segmentation": {"size": [400, 600], "counts": runs}},
        {"image_id": 7, "category_id": 50, "area": 3000, "segmentation":
         [[330, 280, 405, 66, 420, 76, 405, 300, 360, 325]]}]}))

[read] = CocoDataset(folder, folder / "coco.json")
assert read.classes == ("ground", "spoon", "cup")
assert (read.mask[ring & (read.mask != 1)] == 2).all()

# %% [markdown]
# ## Colours
#
# Chapter 02 lost a spoon because unlisted colours became class 0. So
# this translator refuses them, and says which, how often, and where the
# first one is. Where a file is known to be smeared, `unlisted=VOID` is
# an honest way out: "I cannot say".

# %% tags=["export"]
def label_of(colours: dict) -> dict[str, int]:
    """The label of each name: its place in the list, or VOID."""
    names = [name for name in colours if name != "void"]
    return {name: VOID if name == "void" else names.index(name)
            for name in colours}


def from_colours(picture: np.ndarray, colours: dict,
                 unlisted: int | None = None) -> np.ndarray:
    """Mask from a picture in which colours stand for classes.

    Parameters
    ----------
    picture : (H, W, 3) uint8 array
    colours : dict of str to (r, g, b)
        In the order of the classes; "void" becomes VOID.
    unlisted : int, optional
        Label for every other colour. By default they are refused.

    Returns
    -------
    (H, W) uint8 array

    Raises
    ------
    ValueError
        If the picture has a colour that `colours` does not list.

    Examples
    --------
    >>> picture = np.array([[[0, 0, 0], [9, 0, 0]]], dtype=np.uint8)
    >>> from_colours(picture, {"ground": (0, 0, 0), "cup": (9, 0, 0)})
    array([[0, 1]], dtype=uint8)
    """
    labels = np.full(picture.shape[:2], -1)
    for name, label in label_of(colours).items():
        here = picture == np.asarray(colours[name], dtype=np.uint8)
        labels[here.all(axis=2)] = label
    strange = labels < 0
    if strange.any() and unlisted is None:
        raise ValueError(about_strangers(picture, strange))
    return np.where(strange, unlisted or 0, labels).astype(np.uint8)

# %% tags=["export"]
def about_strangers(picture: np.ndarray, strange: np.ndarray) -> str:
    """What to say about pixels whose colour is not listed."""
    kinds, count = np.unique(picture[strange], axis=0,
                             return_counts=True)
    row, column = np.argwhere(strange)[0]
    most = [tuple(kinds[k].tolist()) for k in np.argsort(-count)]
    return (f"picture has {strange.sum()} pixels of colours that are"
            f" not listed: {in_words(most, 3)}; the first at row {row},"
            f" column {column}")

# %%
colours = {"ground": (0, 0, 0), "saucer": (200, 30, 30),
           "cup": (240, 240, 240), "coffee": (120, 70, 20)}
painted = np.array([*colours.values(), (90, 90, 160)],
                   dtype=np.uint8)[sample.mask]
try:
    from_colours(painted, colours)
except ValueError as error:
    print(error)

# %% [markdown]
# And back. A PNG with a {term}`palette` stores the labels *and* looks good in a
# viewer: the best of both, as long as it is read by its indices.

# %% tags=["export"]
def palette_of(colours: dict) -> np.ndarray:
    """The (256, 3) uint8 table with each label's colour, else black."""
    table = np.zeros((256, 3), dtype=np.uint8)
    for name, label in label_of(colours).items():
        table[label] = colours[name]
    return table


def to_colours(mask: np.ndarray, colours: dict) -> np.ndarray:
    """Picture of a mask; the other way round than `from_colours`.

    Raises
    ------
    ValueError
        If the mask has a label without a colour.
    """
    missing = np.setdiff1d(mask, list(label_of(colours).values()))
    if missing.size:
        raise ValueError(f"mask holds {in_words(missing)};"
                         " needed: a colour for each label")
    return palette_of(colours)[mask]

# %% tags=["export"]
def save_mask(mask: np.ndarray, path: str | Path, colours: dict):
    """Write a mask as PNG with a palette, whole or not at all.

    Raises
    ------
    FileExistsError
        If there is such a file; nothing is overwritten.
    ValueError
        If the mask is not uint8, or has a label without a colour.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists; nothing is overwritten")
    if mask.dtype != np.uint8:
        raise ValueError(f"mask has dtype {mask.dtype}; needed: uint8")
    to_colours(mask, colours)           # every label has a colour
    image = Image.fromarray(mask)
    image.putpalette(palette_of(colours).ravel().tolist())
    part = path.with_name(path.name + ".part")
    image.save(part, "png")
    part.rename(path)

# %%
every = colours | {"spoon": (90, 90, 160)}
assert (from_colours(painted, every) == sample.mask).all()

save_mask(sample.mask, folder / "mask.png", every)
stored = Image.open(folder / "mask.png")
assert (np.array(stored) == sample.mask).all()
assert (np.array(stored.convert("RGB")) == painted).all()

show(np.array(stored.convert("RGB")), height=180,
     alt="The mask file as a viewer shows it: red saucer, white cup,"
     " brown coffee, blue spoon.")

# %% [markdown]
# ## Recap
#
# - Ask where the middle of a pixel is before you fill an outline.
# - LabelMe: one file per image, later shapes on top, groups are one
#   thing.
# - COCO: one file per set, category numbers with gaps, crowds are void,
#   runs go down the columns.
# - Unlisted colours are refused, or become void, never class 0.
# - Palette PNGs are read by index.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
