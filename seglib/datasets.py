"""Data: chapter 02 of the course.

What is in a mask file, how does it get broken, and how do we find out before the training does?

Exported from 02_data.py; edit the chapter, not this file.
"""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seglib import readers
from seglib.display import VOID
from seglib.environment import data_root
from seglib.environment import project_root
from seglib.readers import Card, obtain
from seglib.readers import locate, pair
from seglib.readers import read_image, read_labels

__all__ = [
    "Sample",
    "BINARY",
    "recode",
    "Lazy",
    "find",
    "View",
    "Dataset",
    "Pairs",
    "Drawing",
    "hand_made",
    "picture",
    "distance",
    "SamplePictures",
    "DatasetNotFound",
    "not_found",
    "Published",
    "choose",
    "download_to",
    "CamVid",
    "Documents",
]


# One sample
# ----------

@dataclass(frozen=True, eq=False)
class Sample:
    """One image with what a person said about it.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8 array
    mask : (H, W) uint8 array
        Index into the classes, or VOID, whatever the file's own code.
    name : str
    instances : (H, W) int32 array, optional
        Objects numbered from 1; 0 belongs to none.
    depth : (H, W) float32 array, optional
        Metres, or the scene's own unit; nan where nobody knows.
    classes : tuple of str
        Names of the mask's labels.

    Chapter
    -------
    02 Data, "One sample".
    """

    image: np.ndarray
    mask: np.ndarray
    name: str
    instances: np.ndarray | None = None
    depth: np.ndarray | None = None
    classes: tuple[str, ...] = ()


# The file's codes and ours
# -------------------------

BINARY = {0: 0, 1: 1, 255: 1}


def recode(labels: np.ndarray, codes: dict[int, int]) -> np.ndarray:
    """Mask from the numbers of a file: class indices and VOID.

    Parameters
    ----------
    labels : (H, W) array of non-negative integers
    codes : dict
        For every number that may occur, its class or VOID.

    Returns
    -------
    (H, W) uint8 array

    Raises
    ------
    ValueError
        If a number occurs that `codes` does not list.

    Examples
    --------
    >>> recode(np.array([[0, 11, 2]]), {0: 0, 2: 1, 11: VOID})
    array([[  0, 255,   1]], dtype=uint8)

    Chapter
    -------
    02 Data, "The file's codes and ours".
    """
    unknown = np.unique(labels[~np.isin(labels, list(codes))])
    if unknown.size:
        raise ValueError(
            f"labels holds {', '.join(map(str, unknown[:8]))}, which codes"
            f" does not list; listed: {', '.join(map(str, codes))}")
    table = np.zeros(max(codes) + 1, dtype=np.uint8)
    table[list(codes)] = list(codes.values())
    return table[labels]


# A data set is a sequence
# ------------------------

class Lazy(Sequence):
    """Named things that are read when they are asked for.

    By position, by name, by slice; `where` keeps some. A part is again
    of the same class, and nothing is read to make it.

    Chapter
    -------
    02 Data, "A data set is a sequence".
    """

    names: tuple[str, ...]

    def __len__(self):
        return len(self.names)

    def __contains__(self, name):
        return name in self.names

    def __getitem__(self, key):
        if isinstance(key, slice):
            return self._part(self.names[key])
        return self.read(find(key, self.names))

    def where(self, keep: Callable[[str], bool]):
        """The part whose names `keep` says yes to."""
        return self._part(filter(keep, self.names))

    def _part(self, names):
        part = copy.copy(self)
        part.names = tuple(names)
        return part


def find(key: int | str, names: tuple[str, ...]) -> str:
    """Name at a position; a name stands for itself.

    Chapter
    -------
    02 Data, "A data set is a sequence".
    """
    if not isinstance(key, str):
        return names[key]
    if key not in names:
        raise ValueError(f"name is {key!r}; needed: one of"
                         f" {', '.join(names[:12]) or 'none'}")
    return key


class View(Lazy):
    """One part of every sample: the images, or the masks.

    Chapter
    -------
    02 Data, "A data set is a sequence".
    """

    def __init__(self, names, read):
        self.names, self.read = names, read


class Dataset(Lazy):
    """A sequence of `Sample`s, each read when it is asked for.

    A subclass gives `read_image` and `read_mask`, and where it has
    them `read_instances` and `read_depth`; each takes a name.

    Parameters
    ----------
    entries : dict
        By name, where a sample is.
    split : str, default "all"

    Attributes
    ----------
    name, split, terms, citation : str
    names, classes : tuple of str
    images, masks : View
        One part alone, read as lazily.

    Chapter
    -------
    02 Data, "A data set is a sequence".
    """

    name = terms = citation = ""
    classes: tuple[str, ...] = ()

    def __init__(self, entries: dict, split: str = "all"):
        self.entries, self.split = entries, split
        self.names = tuple(entries)

    images = property(lambda self: View(self.names, self.read_image))
    masks = property(lambda self: View(self.names, self.read_mask))

    def read(self, name: str) -> Sample:
        return Sample(self.read_image(name), self.read_mask(name), name,
                      self.read_instances(name), self.read_depth(name),
                      self.classes)

    def read_instances(self, name):
        return None

    read_depth = read_instances


class Pairs(Dataset):
    """A data set of image files and mask files.

    Attributes
    ----------
    codes : dict of int to int
        From the files' numbers to class indices and VOID.

    Chapter
    -------
    02 Data, "A data set is a sequence".
    """

    codes: dict[int, int] = {}

    def read_image(self, name):
        files = self.entries[name]
        return read_image(files.image, files.page)

    def read_mask(self, name):
        files = self.entries[name]
        return recode(read_labels(files.mask, files.page), self.codes)


# Pictures that are always there
# ------------------------------

class Drawing(NamedTuple):
    """What somebody drew on one of scikit-image's pictures.

    Chapter
    -------
    02 Data, "Pictures that are always there".
    """

    mask: Path
    instances: Path | None
    classes: tuple[str, ...]


def hand_made() -> dict[str, Drawing]:
    """The drawings in the course's `data/pictures`, by name.

    Chapter
    -------
    02 Data, "Pictures that are always there".
    """
    found = {}
    for path in sorted((project_root() / "data/pictures").glob("*.json")):
        text = json.loads(path.read_text(encoding="utf-8"))
        instances = path.with_name(path.stem + "_instances.png")
        found[path.stem] = Drawing(
            path.with_suffix(".png"),
            instances if instances.exists() else None,
            tuple(text["classes"]))
    return found


def picture(name: str) -> np.ndarray:
    """One of scikit-image's pictures; of a stereo pair the left one.

    Chapter
    -------
    02 Data, "Pictures that are always there".
    """
    from skimage import data

    if name == "motorcycle":
        return data.stereo_motorcycle()[0]
    image = getattr(data, name)()
    return image if image.dtype == np.uint8 else np.uint8(image * 255)


def distance(name: str) -> np.ndarray | None:
    """Metres to each pixel, where scikit-image knows them.

    Middlebury's calibration of the stereo pair turns a shift between
    the two eyes into a distance: focal length times baseline, over the
    shift plus the offset of the principal points.

    Chapter
    -------
    02 Data, "Pictures that are always there".
    """
    from skimage import data

    if name != "motorcycle":
        return None
    shift = data.stereo_motorcycle()[2]
    metres = 994.978 * 0.193001 / (shift + 31.086)
    return np.where(np.isfinite(shift), metres, np.nan).astype(np.float32)


class SamplePictures(Dataset):
    """Pictures of scikit-image with masks drawn by hand for the course.

    Each picture has classes of its own, in `sample.classes`.

    Examples
    --------
    >>> SamplePictures()["coins"].classes
    ('ground', 'coin')

    Chapter
    -------
    02 Data, "Pictures that are always there".
    """

    name = "sample pictures"
    terms = "masks CC BY 4.0; the pictures' own: see scikit-image"
    citation = "van der Walt et al., scikit-image, PeerJ 2:e453, 2014"

    def __init__(self):
        super().__init__(hand_made())

    def read(self, name):
        classes = self.entries[name].classes
        return replace(super().read(name), classes=classes)

    def read_mask(self, name):
        return read_labels(self.entries[name].mask)

    def read_instances(self, name):
        path = self.entries[name].instances
        return path and read_labels(path).astype(np.int32)

    read_image, read_depth = staticmethod(picture), staticmethod(distance)


# The sets of the field
# ---------------------

class DatasetNotFound(FileNotFoundError):
    """A data set is not on this machine; the message says what to do.

    Chapter
    -------
    02 Data, "The sets of the field".
    """


def not_found(card: Card, home: Path, reason: str) -> DatasetNotFound:
    """The error for a missing data set: page, folder, and a way out.

    Chapter
    -------
    02 Data, "The sets of the field".
    """
    way = "pass download=True, or " if card.url else ""
    return DatasetNotFound(
        f"{card.name}: {reason}; {way}get it from {card.page} and unpack"
        f" it into {home} (layouts and terms of use: data/README.md)")


class Published(Pairs):
    """A data set that others made, found below the data root.

    Parameters
    ----------
    split : str, optional
        One of the class's `splits`; the first by default.
    root : path, optional
        Where data sets are; else $SEGLIB_DATA, else `data/`.
    download : bool, default False
        Fetch it from its official address if its folder is missing.

    Raises
    ------
    ValueError
        If there is no such split.
    DatasetNotFound
        If the files are not there, or cannot be downloaded.

    Chapter
    -------
    02 Data, "The sets of the field".
    """

    card: Card
    splits: tuple[str, ...] = ("all",)

    def __init__(self, split=None, root=None, download=False):
        split = choose(split, self.splits)
        home = data_root(root) / self.card.folder
        if download and not home.exists():
            download_to(home, self.card)
        entries = self.layout(home, split) if home.is_dir() else {}
        if not entries:
            raise not_found(self.card, home, f"no {split!r} in {home}")
        super().__init__(entries, split)
        self.name, self.terms = self.card.name, self.card.terms
        self.citation = self.card.citation


def choose(split: str | None, splits: tuple[str, ...]) -> str:
    """The split asked for, or the first.

    Chapter
    -------
    02 Data, "The sets of the field".
    """
    if split not in (None, *splits):
        raise ValueError(f"split is {split!r}; needed: one of"
                         f" {', '.join(splits)}")
    return split or splits[0]


def download_to(home: Path, card: Card) -> None:
    """Download a set, or say how to get it by hand.

    Chapter
    -------
    02 Data, "The sets of the field".
    """
    if not card.url:
        raise not_found(card, home, "can only be fetched by hand")
    try:
        obtain(card, home)
    except OSError as error:
        raise not_found(card, home, str(error)) from error


class CamVid(Published):
    """Street scenes from a car in Cambridge, 480×360, 11 classes.

    The names begin with the drive: "0006R0_f00930" is a frame of drive
    0006R0. Frames of one drive are nearly alike, so hold out whole
    drives: `CamVid().where(lambda name: name[:6] != "0006R0")`.

    Chapter
    -------
    02 Data, "The sets of the field".
    """

    card = readers.CAMVID
    splits = ("train", "val", "test")
    classes = ("sky", "building", "pole", "road", "pavement", "tree",
               "sign", "fence", "car", "pedestrian", "cyclist")
    codes = {**{k: k for k in range(11)}, 11: VOID}

    def layout(self, home, split):
        base = locate(home, split, split + "annot")
        return base and pair(base / split, base / (split + "annot"))


class Documents(Published):
    """Old pages and their ink, from the DIBCO contests.

    Chapter
    -------
    02 Data, "The sets of the field".
    """

    card = readers.DOCUMENTS
    classes = ("paper", "ink")
    codes = BINARY

    def layout(self, home, split):
        base = locate(home, "images", "masks")
        return base and pair(base / "images", base / "masks")
