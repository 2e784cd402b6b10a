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
from PIL import Image
from PIL import ImageOps

from seglib import readers
from seglib.display import VOID
from seglib.environment import data_root
from seglib.environment import project_root
from seglib.readers import (find_drawings, find_objects, merge_masks,
                            read_drawings)
from seglib.readers import Card
from seglib.readers import LABEL_MODES, Files, match
from seglib.readers import find_pairs, obtain
from seglib.readers import find_stacks, locate
from seglib.readers import pair
from seglib.readers import read_image, read_labels

__all__ = [
    "Sample",
    "BINARY",
    "recode",
    "in_words",
    "Fault",
    "Report",
    "image_faults",
    "mask_faults",
    "label_faults",
    "size_faults",
    "opened",
    "sample_faults",
    "check_folder",
    "codes_of",
    "Lazy",
    "part",
    "find",
    "View",
    "Dataset",
    "Pairs",
    "FolderDataset",
    "Drawing",
    "hand_made",
    "picture",
    "distance",
    "SamplePictures",
    "DatasetNotFound",
    "not_found",
    "Layout",
    "Published",
    "CamVid",
    "GrabCut50",
    "in_the_middle",
    "fitted",
    "Horses",
    "Documents",
    "ISBI2012",
    "Objects",
    "Nuclei",
    "PennFudan",
    "BSDS500",
    "FromTorchvision",
    "Pets",
    "PascalVOC",
    "Cityscapes",
]


# What is in a mask file?
# -----------------------

@dataclass(frozen=True, eq=False)
class Sample:
    """One image, with what a person said about it.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8 array
    mask : (H, W) uint8 array
        Index of each pixel's class, or VOID.
    name : str
    instances : (H, W) int32 array, optional
        Objects numbered from 1; 0 belongs to none.
    depth : (H, W) float32 array, optional
        Metres, or the scene's own unit; nan where nobody knows.
    classes : tuple of str
        Names of the labels 0, 1, …

    Raises
    ------
    ValueError
        If the mask is not uint8, or not of the image's size.

    Chapter
    -------
    02 Data, "What is in a mask file?".
    """

    image: np.ndarray
    mask: np.ndarray
    name: str
    instances: np.ndarray | None = None
    depth: np.ndarray | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self):
        size, dtype = self.image.shape[:2], self.mask.dtype
        if self.mask.shape != size or dtype != np.uint8:
            raise ValueError(
                f"mask of {self.name!r} is {self.mask.shape} {dtype};"
                f" needed: {size} uint8, like its image")


# Every number, said aloud
# ------------------------

BINARY = {0: 0, 1: 1, 255: 1}


def recode(labels: np.ndarray, codes: dict[int, int]) -> np.ndarray:
    """Mask from the numbers of a file: class indices, and VOID.

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
    02 Data, "Every number, said aloud".
    """
    strange = np.unique(labels[~np.isin(labels, list(codes))])
    if strange.size:
        raise ValueError(f"labels holds {in_words(strange)}, which"
                         f" codes does not list: {in_words(codes)}")
    table = np.zeros(max(codes) + 1, dtype=np.uint8)
    table[list(codes)] = list(codes.values())
    return table[labels]


def in_words(numbers, most: int = 6) -> str:
    """Some numbers, as words for a message: '0, 1, 2 and 9 more'.

    Chapter
    -------
    02 Data, "Every number, said aloud".
    """
    shown = ", ".join(str(number) for number in list(numbers)[:most])
    more = len(numbers) - most
    return f"{shown} and {more} more" if more > 0 else shown


# All faults at once
# ------------------

class Fault(NamedTuple):
    """One thing that is wrong with a file, or may be for others.

    Chapter
    -------
    02 Data, "All faults at once".
    """

    file: str
    what: str
    fatal: bool = True


@dataclass(frozen=True)
class Report:
    """All faults of a folder; `print` it.

    Chapter
    -------
    02 Data, "All faults at once".
    """

    samples: int
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        return not any(fault.fatal for fault in self.faults)

    def __str__(self):
        groups = {}
        for fault in sorted(self.faults, key=lambda f: not f.fatal):
            groups.setdefault(fault[1:], []).append(fault.file)
        lines = [f"{self.samples} pairs, {len(self.faults)} remarks"]
        for (what, fatal), files in groups.items():
            kind = "FAULT" if fatal else "note "
            lines.append(f"{kind}  {in_words(files, 3)}: {what}")
        return "\n".join(lines)


def image_faults(image: Image.Image):
    """What is wrong with an image, as (what, fatal).

    Chapter
    -------
    02 Data, "All faults at once".
    """
    if image.mode.startswith(("I", "F")):
        yield f"has mode {image.mode}; needed: 8 bits a channel", True
    if image.getexif().get(0x0112, 1) != 1:
        yield ("is stored turned (EXIF); we turn it upright, other"
               " readers may not"), False


def mask_faults(mask: Image.Image, codes: dict[int, int]):
    """What is wrong with a mask, as (what, fatal).

    Chapter
    -------
    02 Data, "All faults at once".
    """
    if mask.format == "JPEG":
        yield "is a JPEG, which changes labels; needed: PNG", True
    if mask.mode == "P":
        yield "has a palette: read the indices, not the colours", False
    if mask.mode.startswith("I"):
        yield "has 16 bits or more, which some tools cut to 8", False
    if mask.mode in LABEL_MODES:
        yield from label_faults(1 * np.unique(mask), codes)
    else:
        yield (f"has mode {mask.mode}: colours, not labels"
               " (annotations.from_colours translates)"), True


def label_faults(labels: np.ndarray, codes: dict[int, int]):
    """What is wrong with the labels in a mask, as (what, fatal).

    Chapter
    -------
    02 Data, "All faults at once".
    """
    strange = labels[~np.isin(labels, list(codes))]
    if strange.size:
        yield f"holds {in_words(strange)}: not a class, not void", True
    if labels.tolist() == [0, 255] and codes.get(255) == VOID:
        yield "holds 0 and 255 only: void, or the object?", False


def size_faults(image: Image.Image, mask: Image.Image):
    """What is wrong with image and mask together, as (what, fatal).

    Chapter
    -------
    02 Data, "All faults at once".
    """
    upright = ImageOps.exif_transpose(image)
    if mask.size != upright.size:
        turned = mask.size == image.size
        yield ("has not the size of its image"
               + " (but that of the image before turning)" * turned
               + f": {mask.size}, {upright.size}"), True


def opened(path: Path) -> Image.Image | None:
    """The decoded picture in a file; None if it is broken or none.

    Chapter
    -------
    02 Data, "All faults at once".
    """
    try:
        with Image.open(path) as file:
            file.load()
            return file
    except (OSError, SyntaxError, ValueError):
        return None


def sample_faults(files: Files, codes: dict[int, int]) -> list[Fault]:
    """All faults of one image and its mask.

    Chapter
    -------
    02 Data, "All faults at once".
    """
    image, mask = opened(files.image), opened(files.mask)
    checks = [(files.image, image_faults, [image]),
              (files.mask, mask_faults, [mask, codes]),
              (files.mask, size_faults, [image, mask])]
    broken = [Fault(path.name, "cannot be read as an image")
              for path, _, given in checks[:2] if given[0] is None]
    return broken + [Fault(path.name, *what)
                     for path, check, given in checks
                     if None not in given for what in check(*given)]


def check_folder(images, masks, classes, codes=None, suffixes=("",)):
    """All faults of a folder of images and a folder of masks.

    Parameters
    ----------
    images, masks : path
        Folders. A mask belongs to the image with the same stem.
    classes : sequence of str
        Names of the classes.
    codes : dict of int to int, optional
        For every number in the masks, its class or VOID. By default
        the index of the class stands for itself, and 255 is void.
    suffixes : tuple of str
        What a mask's stem may add to its image's.

    Returns
    -------
    Report
        Print it; `.ok` if nothing is fatal.

    Chapter
    -------
    02 Data, "All faults at once".
    """
    codes = codes or codes_of(classes)
    found, alone = match(images, masks, suffixes)
    faults = [Fault(*fault) for fault in alone]
    for files in found.values():
        faults += sample_faults(files, codes)
    return Report(len(found), tuple(faults))


def codes_of(classes) -> dict[int, int]:
    """The plain codes: a class is its index, and 255 is void.

    Chapter
    -------
    02 Data, "All faults at once".
    """
    if not 1 <= len(classes) <= VOID:
        raise ValueError(f"classes has {len(classes)} names;"
                         f" needed: 1 to {VOID}")
    return {**{k: k for k in range(len(classes))}, VOID: VOID}


# A data set is a sequence
# ------------------------

class Lazy(Sequence):
    """Named things, each read when it is asked for.

    By position, by name, or by slice, which is again of this class. A
    subclass gives `names` and `read(name)`.

    Chapter
    -------
    02 Data, "A data set is a sequence".
    """

    names: tuple[str, ...] = ()

    def __len__(self):
        return len(self.names)

    def __contains__(self, name):
        return name in self.names

    def __getitem__(self, key):
        if isinstance(key, slice):
            return part(self, self.names[key])
        return self.read(find(key, self.names))

    def where(self, keep: Callable[[str], bool]):
        """The part whose names `keep` says yes to, in order."""
        return part(self, filter(keep, self.names))


def part(whole: Lazy, names) -> Lazy:
    """A copy that knows fewer names. No file is touched.

    Chapter
    -------
    02 Data, "A data set is a sequence".
    """
    smaller = copy.copy(whole)
    smaller.names = tuple(names)
    return smaller


def find(key: int | str, names: tuple[str, ...], what="name") -> str:
    """The name at a position; a name stands for itself.

    Chapter
    -------
    02 Data, "A data set is a sequence".
    """
    if not isinstance(key, str):
        return names[key]
    if key not in names:
        raise ValueError(f"{what} is {key!r};"
                         f" needed: one of {in_words(names, 12)}")
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
    """`Sample` objects in order, each read when it is asked for.

    A subclass gives `read_image` and `read_mask`, and where there are
    any `read_instances` and `read_depth`. Each takes a name.

    Parameters
    ----------
    entries : dict
        By name, where to find a sample.
    split : str, default "all"

    Attributes
    ----------
    name, split, terms, citation : str
        Whose it is, and what one may do with it.
    names, classes : tuple of str
    images, masks : View
        One part of the samples alone, read as lazily.

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
        labels = read_labels(files.mask, files.page)
        try:
            return recode(labels, self.codes)
        except ValueError as error:
            raise ValueError(f"{files.mask}: {error}") from None


class FolderDataset(Pairs):
    """Your own images and masks.

    Parameters
    ----------
    images, masks, classes, codes, suffixes
        As for `check_folder`, which lists what is wrong with them.

    Raises
    ------
    ValueError
        If an image has no mask, or two files share a stem; later, if a
        mask that is read breaks the contract.

    Chapter
    -------
    02 Data, "A data set is a sequence".
    """

    def __init__(self, images, masks, classes, codes=None,
                 suffixes=("",)):
        super().__init__(pair(images, masks, suffixes))
        self.name = Path(images).resolve().parent.name
        self.classes = tuple(classes)
        self.codes = codes or codes_of(classes)


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
    for path in sorted(project_root().glob("data/pictures/*.json")):
        about = json.loads(path.read_text(encoding="utf-8"))
        ids = path.with_name(path.stem + "_instances.png")
        found[path.stem] = Drawing(path.with_suffix(".png"),
                                   ids if ids.exists() else None,
                                   tuple(about["classes"]))
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
    """Metres to each pixel where scikit-image knows them, or None.

    Chapter
    -------
    02 Data, "Pictures that are always there".
    """
    from skimage import data

    if name != "motorcycle":
        return None
    shift = data.stereo_motorcycle()[2]
    metres = 994.978 * 0.193001 / (shift + 31.086)
    return np.where(np.isfinite(shift), metres, np.nan)


class SamplePictures(Dataset):
    """Pictures of scikit-image with masks drawn by hand for the course.

    Each has its own classes, in `sample.classes`.

    Examples
    --------
    >>> SamplePictures()["coins"].classes
    ('ground', 'coin')

    Chapter
    -------
    02 Data, "Pictures that are always there".
    """

    name, terms = "sample pictures", "CC BY 4.0; as scikit-image says"
    citation = "van der Walt et al., scikit-image, PeerJ 2:e453, 2014"

    def __init__(self):
        super().__init__(hand_made())

    def read(self, name):
        classes = self.entries[name].classes
        return replace(super().read(name), classes=classes)

    def read_mask(self, name):
        return read_labels(self.entries[name].mask)

    def read_instances(self, name):
        ids = self.entries[name].instances
        return ids and read_labels(ids).astype(np.int32)

    read_image = staticmethod(picture)
    read_depth = staticmethod(distance)


# The sets of the field, and what each of them teaches
# ----------------------------------------------------

class DatasetNotFound(FileNotFoundError):
    """A data set is not here; the message says what to do.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """


def not_found(card: Card, home: Path, reason: str) -> DatasetNotFound:
    """The error for a missing set: what, whence, and whereto.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """
    fetch = bool(card.url) and not home.exists()
    return DatasetNotFound(
        f"{card.name}: {reason}; {'pass download=True, or ' * fetch}get"
        f" it from {card.page} and unpack it into {home} (layouts and"
        " terms of use: data/README.md)")


class Layout(Pairs):
    """Which files a published set has, and how to get them.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    card: Card
    splits: tuple[str, ...] = ("all",)
    folders: tuple[tuple[str, str], ...] = ()
    suffixes: tuple[str, ...] = ("",)

    def layout(self, home: Path, split: str) -> dict[str, Files]:
        return find_pairs(home, self.folders, self.suffixes, split)

    def download(self, home: Path) -> None:
        if not self.card.url:
            raise not_found(self.card, home, "has no direct address")
        try:
            obtain(self.card, home)
        except OSError as error:
            raise not_found(self.card, home, str(error)) from error


class Published(Layout):
    """A data set that others made, found below the data root.

    Parameters
    ----------
    split : str, optional
        One of the class's `splits`; by default the first.
    root : path, optional
        Where data sets are; else $SEGLIB_DATA, else `data/`.
    download : bool, default False
        If it is not there, fetch it from its official address.

    Raises
    ------
    ValueError
        If there is no such split, or an image has no mask.
    DatasetNotFound
        If the files are not there, or cannot be downloaded.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    def __init__(self, split=None, root=None, download=False):
        split = find(split or self.splits[0], self.splits, "split")
        home = data_root(root) / self.card.folder
        entries = self.layout(home, split)
        if not entries and download:
            self.download(home)
            entries = self.layout(home, split)
        if not entries:
            raise not_found(self.card, home, f"no {split!r} in {home}")
        super().__init__(entries, split)
        self.name, self.terms = self.card.name, self.card.terms
        self.citation = self.card.citation


class CamVid(Published):
    """Street scenes from a moving car, 480×360, 11 classes.

    Names begin with the drive: "0006R0_f00930". Frames of one drive
    are nearly alike, so hold out drives, not frames:
    `CamVid().where(lambda name: not name.startswith("0006R0"))`.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    card = readers.CAMVID
    splits = ("train", "val", "test")
    folders = (("{}", "{}annot"),)
    classes = ("sky", "building", "pole", "road", "pavement", "tree",
               "sign", "fence", "car", "pedestrian", "cyclist")
    codes = {**{k: k for k in range(11)}, 11: VOID}


class GrabCut50(Published):
    """Fifty photographs with one object each, for cutting it out.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    card = readers.GRABCUT
    folders = (("images", "gt"), ("data_GT", "boundary_GT"))
    classes = ("ground", "object")
    codes = {0: 0, 128: VOID, 255: 1}

    def scribbles(self, name: str) -> np.ndarray:
        """Strokes on one image: (H, W) uint8, a class, mostly VOID."""
        home = self.entries[name].mask.parent.parent
        file = home / "scribbles" / f"{name}.png"
        if not file.exists():
            raise not_found(self.card, home, "no strokes in this copy")
        return recode(read_labels(file), {0: VOID, 1: 1, 2: 0})


def in_the_middle(path: Path) -> np.ndarray:
    """Mask of two classes in a grey picture, cut at half of white.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """
    grey = np.atleast_3d(read_image(path))[..., 0]
    return (grey > 127).astype(np.uint8)


def fitted(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image, resized smoothly if it is not (height, width) yet.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """
    if image.shape[:2] == size:
        return image
    return np.array(Image.fromarray(image).resize(
        size[::-1], Image.Resampling.LANCZOS))


class Horses(Published):
    """Horses from the side, all facing left.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    card = readers.HORSES
    splits = ("train", "test", "all")
    folders = (("images", "masks"), ("rgb", "figure_ground"))
    classes = ("ground", "horse")

    def layout(self, home, split):
        numbers = {"train": range(201), "test": range(201, 999)}
        found = super().layout(home, split).items()
        return {name: files for name, files in found
                if int(name[-3:]) in numbers.get(split, range(999))}

    def read_image(self, name):
        size = self.read_mask(name).shape
        return fitted(super().read_image(name), size)

    def read_mask(self, name):
        return in_the_middle(self.entries[name].mask)


class Documents(Published):
    """Pages of old documents and their ink.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    card = readers.DOCUMENTS
    folders = (("images", "masks"), ("images", "gt"))
    suffixes = ("", "_gt", "_GT", "_estGT")
    classes = ("paper", "ink")
    codes = BINARY

    def layout(self, home, split):
        if locate(home, "images", "gt"):
            self.codes = {0: 1, 1: 0, 255: 0}
        return super().layout(home, split)


class ISBI2012(Published):
    """Slices of nerve tissue: cells, and the membranes between them.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    card = readers.ISBI
    splits = ("train", "val", "all")
    folders = (("image", "label"),)
    classes = ("membrane", "cell")
    codes = BINARY

    def layout(self, home, split):
        slices = super().layout(home, split) or find_stacks(
            home, "train-volume.tif", "train-labels.tif")
        block = {"train": slice(24), "val": slice(24, 30)}
        return dict(list(slices.items())[block.get(split, slice(None))])


class Objects(Published):
    """A set whose mask files number the objects.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    def read_instances(self, name):
        mask = self.entries[name].mask
        if isinstance(mask, tuple):
            return merge_masks(map(read_labels, mask))
        return read_labels(mask).astype(np.int32)

    def read_mask(self, name):
        return (self.read_instances(name) > 0).astype(np.uint8)


class Nuclei(Objects):
    """Nuclei of cells under the microscope (BBBC038).

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    card = readers.NUCLEI
    splits = ("train",)
    folders = (("images", "labels"),)
    classes = ("ground", "nucleus")

    def layout(self, home, split):
        return super().layout(home, split) or find_objects(home)


class PennFudan(Objects):
    """Pedestrians in streets and on campuses.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    card = readers.PENN_FUDAN
    folders = (("PNGImages", "PedMasks"),)
    suffixes = ("_mask",)
    classes = ("ground", "pedestrian")


class BSDS500(Published):
    """Photographs, each divided into regions by several people.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    card = readers.BSDS
    splits = ("train", "val", "test")
    classes = ("region",)
    layout = staticmethod(find_drawings)

    def drawings(self, name: str) -> tuple[np.ndarray, ...]:
        """Each person's regions: (H, W) int32, numbered from 1."""
        mask = self.entries[name].mask
        if isinstance(mask, Path):
            return read_drawings(mask)
        return tuple(read_labels(file).astype(np.int32) + 1
                     for file in mask)

    def read_instances(self, name):
        return self.drawings(name)[0]

    def read_mask(self, name):
        return np.zeros_like(self.drawings(name)[0], dtype=np.uint8)


class FromTorchvision(Published):
    """A set whose files torchvision finds; `theirs` lists them.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    def layout(self, home, split, download=False):
        try:
            files = zip(*self.theirs(home, split, download))
        except RuntimeError:
            return {}
        files = sorted(Files(*map(Path, pair)) for pair in files)
        return {pair.image.stem: pair for pair in files}

    def download(self, home):
        try:
            self.theirs(home, self.splits[0], True)
        except (OSError, RuntimeError) as error:
            raise not_found(self.card, home, str(error)) from error


class Pets(FromTorchvision):
    """Cats and dogs, with a seam of void around each.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    card = readers.PETS
    splits = ("trainval", "test")
    classes = ("ground", "pet")
    codes = {1: 1, 2: 0, 3: VOID}

    def theirs(self, home, split, download):
        from torchvision.datasets import OxfordIIITPet

        pets = OxfordIIITPet(home.parent, split, download=download)
        return pets._images, pets._segs


class PascalVOC(FromTorchvision):
    """Photographs with twenty kinds of objects (Pascal VOC 2012).

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    card = readers.PASCAL_VOC
    splits = ("train", "val", "trainval")
    classes = tuple(
        "background aeroplane bicycle bird boat bottle bus car cat"
        " chair cow table dog horse motorbike person plant sheep sofa"
        " train screen".split())
    codes = codes_of(classes)

    def theirs(self, home, split, download):
        from torchvision.datasets import VOCSegmentation

        voc = VOCSegmentation(home.parent, "2012", split, download)
        return voc.images, voc.masks


class Cityscapes(FromTorchvision):
    """Street scenes from fifty cities, 2048×1024, 19 classes.

    Chapter
    -------
    02 Data, "The sets of the field, and what each of them teaches".
    """

    card = readers.CITYSCAPES
    splits = ("train", "val")
    classes = ("road", "pavement", "building", "wall", "fence", "pole",
               "light", "sign", "tree", "terrain", "sky", "pedestrian",
               "rider", "car", "truck", "bus", "train", "motorcycle",
               "bicycle")

    def theirs(self, home, split, download):
        from torchvision.datasets import Cityscapes as Theirs

        self.codes = {kind.id: kind.train_id for kind in Theirs.classes
                      if kind.id >= 0}
        city = Theirs(home, split, target_type="semantic")
        return city.images, [files[0] for files in city.targets]
