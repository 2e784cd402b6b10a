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
#       gpu: 0.6
#       laptop: 0.6
#     module: cli
#     place: 99
# ---

# %% [markdown]
# # The command line
#
# *How does a network get from this course into a night's work, and onto
# a folder of somebody's photographs?*
#
# **You will be able to** train, score and use any network of the course
# without writing a line of Python; on one processor, one GPU or eight;
# and to know what a program owes to the person who types.
#
# **You need** runs and their folders (appendix A4) and `fit` (chapter
# 11).
#
# **Exports** `Parser`, `size_of`, `codes_of`, `setting_of`, `Uniform`,
# `uniform`, `held_out`, `open_data`, `describe`, `make_model`,
# `load_model`, `train`, `evaluate`, `read_any`, `label`, `overlaid`,
# `predict`, `data`, `doctor`, `parser`, `main`.

# %% tags=["export"]
from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import sys
from pathlib import Path

import numpy as np

import seglib
from seglib import environment
from seglib.datasets import Lazy, Sample, in_words

# %% [markdown]
# PyTorch is missing up there, on purpose: it takes a second to import,
# and who has only mistyped an option should not wait for it. Whatever
# needs it imports it when it is called.
#
# ## What does a program owe you?
#
# One line when you are wrong, and no traceback; and a number at its
# end, so that a script can tell what became of it:
#
# | exit code | |
# |---|---|
# | 0 | done |
# | 1 | something failed on the way; what could be done has been done |
# | 2 | an option, a path or a name is wrong; nothing has been done |
# | 130 | stopped by Ctrl-C, in good order |
#
# Python's `argparse` knows the code 2 but prints a paragraph. Ours
# prints the line.

# %% tags=["export"]
class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (--help lists what there"
                  " is)\n")

# %% [markdown]
# Three kinds of option need more than a number. A size is `180x240`,
# height first as everywhere in this course. Codes say what the numbers
# in your mask files mean, `0:0,255:1`. And a setting, `night=0.5`,
# reaches an argument that only one network or one data set has, so
# that the command line need not know it.

# %% tags=["export"]
def size_of(text: str) -> tuple[int, int]:
    """A size, height first.

    Examples
    --------
    >>> size_of("180x240")
    (180, 240)
    """
    try:
        height, width = map(int, text.lower().split("x"))
    except ValueError:
        height = width = 0
    if min(height, width) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size; needed: HEIGHTxWIDTH, as in 180x240")
    return height, width

# %% tags=["export"]
def codes_of(text: str) -> dict[int, int]:
    """Classes of the numbers in mask files.

    Examples
    --------
    >>> codes_of("0:0,255:1")
    {0: 0, 255: 1}
    """
    try:
        pairs = [pair.split(":") for pair in text.split(",")]
        return {int(number): int(label) for number, label in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} are no codes; needed: number:class, as in"
            " 0:0,255:1") from None

# %% tags=["export"]
def setting_of(text: str) -> tuple[str, object]:
    """Name and value of an argument.

    Examples
    --------
    >>> setting_of("night=0.5"), setting_of("weather=fog")
    (('night', 0.5), ('weather', 'fog'))
    """
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no setting; needed: name=value")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value

# %% [markdown]
# ## Which pictures?
#
# A batch is one block of numbers, so its pictures must be of one size
# and all grey or all in colour. Folders of photographs are neither.
# Images are averaged down; masks take the nearest pixel, for half a
# sky and half a tree are not a fence.

# %% tags=["export"]
def uniform(sample: Sample, size=None, channels: int = 3) -> Sample:
    """A sample in another size, grey or in colour.

    Parameters
    ----------
    size : (height, width), optional
        By default its own.
    channels : {1, 3}
    """
    from PIL import Image
    image = Image.fromarray(sample.image).convert(
        "L" if channels == 1 else "RGB")
    mask = Image.fromarray(sample.mask)
    if size:
        image = image.resize(size[::-1], Image.Resampling.BOX)
        mask = mask.resize(size[::-1], Image.Resampling.NEAREST)
    return Sample(np.array(image), np.array(mask), sample.name,
                  classes=sample.classes)

# %% tags=["export"]
class Uniform(Lazy):
    """The samples of a data set, all in one form; see `uniform`."""

    def __init__(self, data, size=None, channels=3):
        self.names, self.classes = data.names, data.classes
        self.data, self.form = data, (size, channels)

    def read(self, name):
        return uniform(self.data[name], *self.form)

# %%
sample = Sample(np.uint8([[10, 30, 200, 220]]),
                np.uint8([[0, 0, 2, 2]]), "four pixels")
half = uniform(sample, (1, 2), 1)
assert half.image.tolist() == [[20, 210]]
assert half.mask.tolist() == [[0, 2]]

# %% [markdown]
# What is learned from must not be scored on. Where the makers of a set
# have drawn the line we keep to it; where nobody has, every fifth
# picture is held out. A world that is computed has other seeds for its
# other parts.

# %% tags=["export"]
def held_out(whole, split: str):
    """Part of a set that has no parts: every fifth is "val".

    Raises
    ------
    ValueError
        If `split` is not "train", "val" or "all".
    """
    parts = {"train": [name for i, name in enumerate(whole.names)
                       if i % 5],
             "val": list(whole.names[::5]), "all": whole.names}
    if split not in parts:
        raise ValueError(f"split is {split!r};"
                         f" needed: {', '.join(parts)}")
    keep = set(parts[split])
    return whole.where(lambda name: name in keep)

# %% tags=["export"]
def _published(maker, split, root):
    named = maker.splits
    if split in named:
        return maker(split, root=root)
    if split == "val" or split == "all" or "train" not in named:
        own = "train" if "train" in named else None
        return held_out(maker(own, root=root), split)
    raise ValueError(f"split is {split!r}; needed: {', '.join(named)}")

# %% tags=["export"]
def _computed(maker, split, size, settings):
    number = {"train": (500, 0), "val": (50, 1), "test": (100, 2)}
    if split not in number:
        raise ValueError(f"split is {split!r};"
                         f" needed: {', '.join(number)}")
    n, seed = number[split]
    form = {"size": size} if size else {}
    if split == "train":
        n = settings.get("n", n)
    return maker(n, seed=seed, **form, **{
        key: value for key, value in settings.items() if key != "n"})

# %% tags=["export"]
def _folder(about):
    from seglib.datasets import FolderDataset
    for name in ("images", "masks", "classes"):
        if not about[name]:
            raise ValueError(f"--{name} is missing; --data folder needs"
                             " --images, --masks and --classes")
    for name in ("images", "masks"):
        if not Path(about[name]).is_dir():
            raise ValueError(f"--{name} is {about[name]!r};"
                             " needed: a folder")
    codes = {int(k): v for k, v in (about["codes"] or {}).items()}
    return FolderDataset(about["images"], about["masks"],
                         about["classes"], codes or None)

# %% tags=["export"]
def open_data(about: dict, split: str):
    """The samples of one part of a data set.

    Parameters
    ----------
    about : dict
        "data", "root", "images", "masks", "classes", "codes", "size"
        and "settings", as the options of the same names.
    split : str

    Raises
    ------
    ValueError, OSError
        If there are no such samples.
    """
    if about["data"] == "folder":
        whole = held_out(_folder(about), split)
    else:
        maker = seglib.resolve("dataset", about["data"])
        if "n" in inspect.signature(maker).parameters:
            return _computed(maker, split, about["size"],
                             about["settings"])
        whole = _shared_classes(maker, split, about)
    if not len(whole):
        raise ValueError(f"split {split!r} of {about['data']} is empty")
    return whole

# %% tags=["export"]
def _shared_classes(maker, split, about):
    """A published set, unless its pictures have their own rules."""
    if not maker.classes or not hasattr(maker, "splits"):
        raise ValueError(f"data is {about['data']!r}, whose pictures"
                         " share no classes; needed: another")
    return _published(maker, split, about["root"])

# %% [markdown]
# ## What is a run about?
#
# `fit` keeps its own settings in `config.json`. To use the weights a
# year from now we must know more: which network, how many classes and
# what they are called, which data. That goes into `about.json`, whole
# or not at all, and a run that goes on must be about the same.

# %% tags=["export"]
DATA_OPTIONS = ("data", "root", "images", "masks", "classes", "codes",
                "size", "settings")


def _about_data(options):
    about = {name: getattr(options, name) for name in DATA_OPTIONS}
    about["settings"] = dict(about["settings"])
    if about["classes"]:
        about["classes"] = about["classes"].split(",")
    return json.loads(json.dumps(about))


def describe(options, data) -> dict:
    """What a run is about: its network, its classes, its data."""
    return {"model": options.model, "with": dict(options.arguments),
            "classes": list(data.classes),
            "channels": 1 if data[0].image.ndim == 2 else 3,
            "data": _about_data(options), "seglib": seglib.__version__}

# %% tags=["export"]
def make_model(about: dict):
    """The network of a run, with new weights.

    Raises
    ------
    ValueError
        If it does not know one of its settings.
    """
    maker = seglib.resolve("model", about["model"])
    known = inspect.signature(maker).parameters
    for name in about["with"]:
        if name not in known:
            raise ValueError(f"--with is {name!r}; {about['model']}"
                             f" knows {in_words(list(known), 12)}")
    return maker(len(about["classes"]), in_channels=about["channels"],
                 **about["with"])

# %% tags=["export"]
def _write_json(path, content):
    from seglib.runs import write_whole
    text = json.dumps(content, indent=1).encode()
    write_whole(path, lambda file: file.write(text))

# %% tags=["export"]
def _claim(folder, about, resume):
    """Why a run may not begin or go on in a folder, or None."""
    from seglib.runs import differences
    path = folder.path / "about.json"
    if folder.config.exists() and not resume:
        return (f"--folder is {str(folder.path)!r}, which holds a run;"
                " needed: another one, or --resume")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        return _write_json(path, about)
    known = json.loads(path.read_text(encoding="utf-8"))
    if resume and (fault := differences(known, about)):
        return f"--folder {str(folder.path)!r}, of another run: {fault}"
    return _write_json(path, about)

# %% tags=["export"]
def load_model(folder: str | Path, device=None):
    """The network of a run with its best weights, and what it is about.

    Raises
    ------
    ValueError, OSError
        If there is no run in `folder`.
    """
    from seglib.runs import RunFolder, load_checkpoint
    run = RunFolder(folder)
    path = run.path / "about.json"
    if not path.is_file():
        raise ValueError(f"RUN is {str(folder)!r}; needed: a folder"
                         " that `seglib train` has made")
    about = json.loads(path.read_text(encoding="utf-8"))
    model = make_model(about)
    kept = run.best if run.best.exists() else run.last
    model.load_state_dict(load_checkpoint(kept)["model"])
    return model.to(environment.device(device)).eval(), about

# %% [markdown]
# ## Train
#
# Nothing here trains: it asks for data and network by their names,
# gives both to `fit`, and puts what came of it into a folder. Of
# several processes (`torchrun`) each comes through here, and only the
# main one speaks.

# %% tags=["export"]
RECIPE = ("steps", "epochs", "batch", "lr", "loss", "optimizer",
          "weight_decay", "warmup", "class_weights", "crop", "seed")


def _recipe(options) -> dict:
    recipe = {name: getattr(options, name) for name in RECIPE}
    recipe["batch_size"] = recipe.pop("batch")
    if options.steps is None and options.epochs is None:
        recipe["steps"] = 1000
    if options.augment:
        from seglib.scenes import Augment
        recipe["augment"] = Augment()
    return recipe


def _resuming(options):
    """Asked to, or started again by torchrun after an accident."""
    again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
    return options.resume or again

# %% tags=["export"]
def train(options) -> int:
    """`seglib train`: learn, and leave a run's folder behind."""
    from seglib.runs import RunFolder, join
    with join(options.timeout) as world:
        folder, resume = RunFolder(options.folder), _resuming(options)
        wanted = _about_data(options)
        data = open_data(wanted, "train")
        about = describe(options, data)
        fault = _claim(folder, about, resume) if world.main else None
        if fault := world.share(fault):
            raise ValueError(fault)
        form = wanted["size"], about["channels"]
        parts = [Uniform(part, *form) for part in (
            data, open_data(wanted, "val"))]
        return _fit(options, about, parts, folder, resume, world)

# %% tags=["export"]
def _fit(options, about, parts, folder, resume, world):
    import torch

    from seglib.training import fit
    torch.manual_seed(options.seed)
    model = make_model(about)
    history = fit(model, *parts, device=options.device,
                  precision=options.precision, compile=options.compile,
                  workers=options.workers, folder=folder.path,
                  resume=resume, every=options.every, world=world,
                  **_recipe(options))
    if world.main:
        print(_result(history, folder))
        _picture(folder, parts[1], options.device)
    return 0 if _finished(folder, history) else 130

# %% tags=["export"]
def _finished(folder, history):
    config = json.loads(folder.config.read_text(encoding="utf-8"))
    return len(history.rows) >= config["steps"]


def _result(history, folder):
    done = len(history.rows)
    best = history.best
    said = (f"best mIoU {best['mean_iou']:.3f} at step"
            f" {best['step'] + 1}; " if best else "")
    if _finished(folder, history):
        return f"{said}{done} steps, all in {folder.path}"
    return (f"stopped after {done} steps; the same command with"
            f" --resume goes on from {folder.last}")

# %% [markdown]
# The picture comes from the *best* weights, read from their file: if
# that file is no good, better to learn it now.

# %% tags=["export"]
def _picture(folder, data, device):
    """`predictions.png`: pictures, truth, and what the run makes of it.
    """
    from PIL import Image

    from seglib.display import paint
    from seglib.runs import write_whole
    model, about = load_model(folder.path, device)
    rows = []
    for i in range(0, len(data), -(-len(data) // 4)):
        sample = data[i]
        image = uniform(sample, channels=3).image
        found = label(model, image, about["channels"])
        rows.append([image, paint(sample.mask), paint(found)])
    picture = Image.fromarray(_sheet(rows))
    write_whole(folder.path / "predictions.png",
                lambda file: picture.save(file, "PNG"))

# %% tags=["export"]
def _sheet(rows, gap=4):
    """Rows of pictures on white paper."""
    rows = [np.concatenate([np.pad(
        picture, ((0, gap), (0, gap), (0, 0)), constant_values=255)
        for picture in row], axis=1) for row in rows]
    widest = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(
        row, ((0, 0), (0, widest - row.shape[1]), (0, 0)),
        constant_values=255) for row in rows])

# %% [markdown]
# ## Any image of any size
#
# Somebody's photographs are grey, or transparent, or have 16 bits, or
# were taken with the camera held sideways; one is a thumbnail, and one
# a panorama that no network swallows whole. Reading first: of 16 bits
# we keep the upper eight.

# %% tags=["export"]
def read_any(path: str | Path) -> np.ndarray:
    """An image as (H, W, 3) uint8, upright, whatever it was.

    Raises
    ------
    OSError, ValueError, SyntaxError
        If it is damaged, or has more than 16 bits a channel.
    """
    from PIL import Image, ImageOps

    from seglib.readers import read_image
    Image.MAX_IMAGE_PIXELS = None           # the user's own files
    with Image.open(path) as file:
        if file.mode.startswith("I"):
            deep = np.array(ImageOps.exif_transpose(file))
            image = (np.clip(deep, 0, 65535) >> 8).astype(np.uint8)
        else:
            image = read_image(path)
    return image if image.ndim == 3 else np.stack([image] * 3, axis=2)

# %% [markdown]
# The panorama is chapter 11's affair: its `predict` looks at one window
# after the other, so that all that exists at once are the image, its
# mask, and the scores of *one* window, and the ill-informed rim of each
# window is thrown away. What is left for us is the colour: a network
# that has learned from grey pictures gets grey ones.

# %% tags=["export"]
def label(model, image: np.ndarray, channels: int = 3, **how):
    """Mask (H, W) uint8 of an image of any size, in bounded memory.

    Parameters
    ----------
    model : nn.Module
    image : (H, W, 3) uint8 array
    channels : {1, 3}
        What the network takes.
    **how
        Window, margin, precision: as for `training.predict`.
    """
    from PIL import Image

    from seglib import training
    if channels == 1:
        image = np.array(Image.fromarray(image).convert("L"))
    return training.predict(model, image, **how)

# %% [markdown]
# Do the windows change anything? A network of four layers of 3 × 3
# decides a pixel by what lies at most four pixels away, so a margin of
# four must do.

# %%
import torch

from seglib.display import describe as in_shares
from seglib.display import show

# %%
torch.manual_seed(1)
net = seglib.resolve("model", "convnet")(3, width=8)
list(net.parameters())[-2].data *= 99       # so that it has opinions
rng = np.random.default_rng(0)
image = rng.integers(0, 256, (90, 141, 3), dtype=np.uint8)
at_once = label(net, image, precision="fp32")
for margin in range(5):
    piecewise = label(net, image, window=64, margin=margin,
                      precision="fp32")
    print(margin, (piecewise != at_once).sum(), "pixels differ")

# %%
assert (piecewise == at_once).all() and len(np.unique(at_once)) == 3
assert label(net, image[:1, :1]).shape == (1, 1)

# %% [markdown]
# Overlays of a panorama are painted strip by strip for the same reason.

# %% tags=["export"]
def overlaid(image: np.ndarray, mask: np.ndarray,
             strip: int = 512) -> np.ndarray:
    """As `display.overlay`, a strip at a time: little extra memory."""
    from seglib.display import overlay
    out = np.empty_like(image)
    for y in range(0, len(image), strip):
        rows = np.s_[y:y + strip]
        out[rows] = overlay(image[rows], mask[rows])
    return out

# %% [markdown]
# One damaged file among ten thousand must not cost the other 9999. It
# is named, the others are done, and the exit code remembers. And what
# is already there is not overwritten, unless you say so.

# %% tags=["export"]
def _images_in(folder):
    """Image files by the name that their masks will have."""
    from PIL import Image
    Image.init()
    path = Path(folder)
    found = sorted(p for p in (path.iterdir() if path.is_dir() else
                               [path] * path.is_file())
                   if p.suffix.lower() in Image.EXTENSION)
    if not found:
        raise ValueError(f"IMAGES is {str(folder)!r}; needed: a folder"
                         " of images, or one image")
    stems = [p.stem for p in found]
    return {(p.stem if stems.count(p.stem) == 1 else p.name): p
            for p in found}

# %% tags=["export"]
def predict(options) -> int:
    """`seglib predict`: masks and overlays of a folder of images."""
    files, out = _images_in(options.images), Path(options.out)
    there = [name for name in files if any(
        path.exists() for path in _outputs(out, name))]
    if there and not options.overwrite:
        raise ValueError(f"OUT is {str(out)!r}, which holds"
                         f" {in_words(there, 3)} already; needed:"
                         " another folder, or --overwrite")
    model, about = load_model(options.run, options.device)
    failed = 0
    for name, path in files.items():
        failed += _predict_one(model, about, path, _outputs(out, name),
                               options)
    print(f"{len(files) - failed} of {len(files)} images: {out}")
    return int(failed > 0)

# %% tags=["export"]
def _outputs(out, name):
    return [out / kind / f"{name}.png"
            for kind in ("masks", "overlays")]


def _predict_one(model, about, path, outputs, options):
    """Whether it failed."""
    try:
        image = read_any(path)
        mask = label(model, image, about["channels"],
                     window=options.window, margin=options.margin,
                     precision=options.precision)
        _write_png(outputs[0], mask)
        _write_png(outputs[1], overlaid(image, mask))
    except (OSError, ValueError, SyntaxError) as error:
        print(f"{path.name}: {error}", file=sys.stderr)
        return True
    return False

# %% tags=["export"]
def _write_png(path, content):
    from PIL import Image

    from seglib.runs import write_whole
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: Image.fromarray(content).save(
        file, "PNG", compress_level=1))

# %% [markdown]
# ## Evaluate
#
# A mean over classes hides which of them failed; the table does not.

# %% tags=["export"]
def evaluate(options) -> int:
    """`seglib evaluate`: a table of classes, and a file of scores."""
    from seglib import training
    model, about = load_model(options.run, options.device)
    asked = about["data"] | {
        name: value for name, value in _about_data(options).items()
        if value}
    target = _target(options, asked["data"])
    data = Uniform(open_data(asked, options.split), asked["size"],
                   about["channels"])
    scores = training.evaluate(model, data, batch_size=options.batch,
                               precision=options.precision)
    print(_table(scores))
    _write_json(target, _plain(scores) | {"data": asked,
                                          "split": options.split})
    return 0

# %% tags=["export"]
def _target(options, name):
    path = Path(options.out or Path(options.run) / (
        f"scores_{name}_{options.split}.json"))
    if path.exists() and not options.overwrite:
        raise ValueError(f"{str(path)!r} is there; needed: another"
                         " --out, or --overwrite")
    return path

# %% tags=["export"]
def _plain(scores):
    """Scores for JSON, which knows no nan."""
    if isinstance(scores, dict):
        return {str(key): _plain(one) for key, one in scores.items()}
    return None if scores != scores else scores

# %% tags=["export"]
def _table(scores) -> str:
    lines = [f"{'class':16}{'IoU':>7}{'Dice':>7}"]
    for name, value in scores["iou"].items():
        dice = scores["dice"][name]
        lines.append(f"{name!s:16}{value:7.3f}{dice:7.3f}")
    return "\n".join(lines + [
        f"{'mean IoU':16}{scores['mean_iou']:7.3f}",
        f"{'pixel accuracy':16}{scores['pixel_accuracy']:7.3f}",
        f"{'images':16}{scores['images']:7}"])

# %% [markdown]
# ## What is there?

# %% tags=["export"]
def data(options) -> int:
    """`seglib data`: which sets there are; fetches one when asked."""
    names = [options.name] if options.name else sorted(
        seglib.REGISTRY["dataset"])
    if options.download and not options.name:
        raise ValueError("--download needs the name of one data set")
    for name in names:
        print(f"{name:16}{_there(name, options)}")
    return 0

# %% tags=["export"]
def _there(name, options):
    maker = seglib.resolve("dataset", name)
    if "n" in inspect.signature(maker).parameters:
        return "computed, as many as you like"
    if not hasattr(maker, "card"):
        return f"{len(maker())} pictures, in the course"
    fetch = {"download": True} if options.download else {}
    try:
        found = maker(root=options.root, **fetch)
    except OSError as error:
        if options.download:
            raise
        return f"not here; {maker.card.terms}; {maker.card.page}"
    return f"{len(found)} in {found.split!r}; {maker.card.terms}"

# %% tags=["export"]
def doctor(options) -> int:
    """`seglib doctor`: what is here, what is missing, which device."""
    findings = environment.doctor()
    print(*findings, sep="\n")
    return int(any(finding.state == "missing" for finding in findings))

# %% [markdown]
# ## The options
#
# Each with a word of help and a default that does something sensible:
# `seglib train` alone trains the small network on the computed streets.

# %% tags=["export"]
def _data_options(add, default, needed=""):
    names = [*sorted(seglib.REGISTRY["dataset"]), "folder"]
    add("--data", choices=names, default=default, metavar="NAME",
        help=f"data set{needed}: {', '.join(names)}")
    add("--root", help="folder of data sets (else $SEGLIB_DATA, data/)")
    add("--images", help="folder of images, for --data folder")
    add("--masks", help="folder of masks with the images' names")
    add("--classes", help="names of the labels 0, 1, …: ground,coin")
    add("--codes", type=codes_of, metavar="N:CLASS,…",
        help="what the masks' numbers mean, if not themselves")
    add("--size", type=size_of, metavar="HxW",
        help="bring all pictures to this size, as in 180x240")
    add("--set", dest="settings", type=setting_of, action="append",
        default=[], metavar="NAME=VALUE",
        help="a dial of a computed world, as in night=0.5 or n=2000")

# %% tags=["export"]
def _recipe_options(add):
    add("--steps", type=int, help="how long (default 1000)")
    add("--epochs", type=float, help="or how often through the data")
    add("--batch", type=int, default=8, help="pictures a step, of all"
        " processes together (default %(default)s)")
    add("--lr", type=float, default=3e-3,
        help="highest learning rate (default %(default)s)")
    add("--loss", default="cross_entropy",
        help="cross_entropy, focal, dice, lovasz")
    add("--optimizer", default="adamw", help="adamw or sgd")
    add("--weight-decay", type=float, default=1e-2,
        help="(default %(default)s)")
    add("--warmup", type=int, default=20,
        help="steps of rising rate (default %(default)s)")

# %% tags=["export"]
def _run_options(add):
    add("--class-weights", choices=("median", "enet"),
        help="count rare classes more")
    add("--crop", type=size_of, metavar="HxW",
        help="learn from windows of this size")
    add("--augment", action="store_true", help="flip, turn, recolour")
    add("--seed", type=int, default=0, help="(default %(default)s)")
    add("--folder", required=True, help="for the run, as runs/first")
    add("--resume", action="store_true", help="go on with what's there")
    add("--every", type=int, help="steps between two checkpoints")

# %% tags=["export"]
def _machine_options(add):
    add("--compile", action="store_true", help="torch.compile")
    add("--workers", type=int, default=0,
        help="processes that read large data sets (default 0)")
    add("--timeout", type=float, default=600,
        help="seconds after which a silent process counts as lost")

# %% tags=["export"]
def _train_parser(commands):
    names = sorted(seglib.REGISTRY["model"])
    one = commands.add_parser("train", help="learn, into a folder",
                              description="Train a network.")
    one.add_argument("--model", choices=names, default="convnet",
                     metavar="NAME", help=f"one of {', '.join(names)}")
    one.add_argument("--with", dest="arguments", type=setting_of,
                     action="append", default=[], metavar="NAME=VALUE",
                     help="an argument of the network, as in width=32")
    _data_options(one.add_argument, "scenes")
    _recipe_options(one.add_argument)
    _run_options(one.add_argument)
    _machine_options(one.add_argument)
    _device(one)
    one.set_defaults(call=train)

# %% tags=["export"]
def _device(one):
    one.add_argument("--device", help="cpu, cuda, cuda:1, mps; by"
                     " default the fastest")
    one.add_argument("--precision", choices=("fp32", "bf16"),
                     help="by default what is fastest here")


def _overwrite(one):
    one.add_argument("--overwrite", action="store_true",
                     help="even what is there already")

# %% tags=["export"]
def _evaluate_parser(commands):
    one = commands.add_parser("evaluate", help="score a run's weights",
                              description="Scores, class by class.")
    one.add_argument("run", metavar="RUN", help="folder of a run")
    one.add_argument("--split", default="val", help="train, val, test"
                     " or what the set has (default %(default)s)")
    one.add_argument("--out", help="file of scores (default in RUN)")
    one.add_argument("--batch", type=int, default=8,
                     help="pictures at once (default %(default)s)")
    _overwrite(one)
    _data_options(one.add_argument, None, " (default the run's own)")
    _device(one)
    one.set_defaults(call=evaluate)

# %% tags=["export"]
def _predict_parser(commands):
    one = commands.add_parser("predict", help="masks of your images",
                              description="Masks and overlays.")
    one.add_argument("run", metavar="RUN", help="folder of a run")
    one.add_argument("images", metavar="IMAGES",
                     help="folder of images, or one image")
    one.add_argument("out", metavar="OUT",
                     help="gets masks/ (labels as PNG) and overlays/")
    _overwrite(one)
    one.add_argument("--window", type=int, default=1024, help="pixels"
                     " a side that are seen at once (default 1024)")
    one.add_argument("--margin", type=int, default=128,
                     help="of these, not trusted at rims (default 128)")
    _device(one)
    one.set_defaults(call=predict)

# %% tags=["export"]
def parser() -> Parser:
    """All commands and their options."""
    whole = Parser(prog="seglib", description="Image segmentation from"
                   " the command line.")
    whole.add_argument("--debug", action="store_true",
                       help="tracebacks instead of one line")
    commands = whole.add_subparsers(dest="command", required=True,
                                    metavar="COMMAND")
    _train_parser(commands)
    _evaluate_parser(commands)
    _predict_parser(commands)
    _data_parser(commands)
    one = commands.add_parser("doctor", help="what is here, what is"
                              " missing, which device is used")
    one.set_defaults(call=doctor)
    return whole

# %% tags=["export"]
def _data_parser(commands):
    names = sorted(seglib.REGISTRY["dataset"])
    one = commands.add_parser("data", help="which data sets there are")
    one.add_argument("name", nargs="?", choices=names, metavar="NAME",
                     help=f"only one: {', '.join(names)}")
    one.add_argument("--root", help="folder of data sets")
    one.add_argument("--download", action="store_true",
                     help="fetch it from its official address")
    one.set_defaults(call=data)

# %% [markdown]
# ## One line, one number
#
# Which errors are the user's? Those that the library raises on purpose
# (`ValueError`, and `OSError` for files) and whose message says what is
# needed. A lost process, memory that does not suffice, and a loss that
# has become nan are nobody's fault: code 1. Everything else is a bug,
# and a bug must not hide behind a friendly line.

# %% tags=["export"]
def main(arguments=None) -> int:
    """Do what the command line says; returns the exit code."""
    try:
        options = parser().parse_args(arguments)
    except SystemExit as end:
        return end.code or 0
    try:
        return options.call(options)
    except KeyboardInterrupt:
        return _complain("stopped", 130)
    except Exception as error:
        code = _code(error)
        if options.debug or code is None:
            raise
        return _complain(error, code)

# %% tags=["export"]
def _code(error):
    """Exit code of an error that is raised on purpose, or None."""
    if isinstance(error, (ValueError, OSError)):
        return 2
    ours = type(error).__module__.startswith("seglib.")
    return 1 if ours or isinstance(error, MemoryError) else None


def _complain(error, code):
    """One line; of several processes only the first one's."""
    said = " ".join(str(error).split())
    if os.environ.get("RANK", "0") == "0" or code == 1:
        print(f"seglib: {said}", file=sys.stderr)
    return code

# %% [markdown]
# `python -m seglib` is `main()` and nothing more, so everything can be
# tried from here. What goes wrong is said on the other stream of a
# terminal; on this page both are one.

# %%
from contextlib import redirect_stderr


def command(*words):
    with redirect_stderr(sys.stdout):
        return main([*words])

# %% [markdown]
# First, being wrong:

# %%
for wrong in ("train --folder x --modle unet",
              "train --folder x --model bagnet",
              "evaluate nowhere", "train --folder x --size 3"):
    print("exit code", command(*wrong.split()))

# %% [markdown]
# ## A night's work, in seconds
#
# Streets of 48 × 64 pixels, and a network that has looked at sixty
# batches of them. It is enough to see that all parts fit together.

# %%
import tempfile

from PIL import Image

scratch = Path(tempfile.mkdtemp())
run = str(scratch / "streets")

order = ["train", "--size", "48x64", "--set", "n=120", "--steps",
         "60", "--with", "width=16", "--folder", run]
assert command(*order) == 0
print(*sorted(path.name for path in Path(run).iterdir()))

# %%
sheet = np.array(Image.open(scratch / "streets" / "predictions.png"))
show(sheet, alt="Four rows of three pictures: a computed street, its"
     " true mask, and the network's, in which sky and houses are about"
     " right and small things are missing.")

# %% [markdown]
# Asked for the same folder again, it refuses; with `--resume` it goes
# on, or, as here, finds that nothing is left to do.

# %%
print(command(*order), command(*order, "--resume"))

# %%
assert command("evaluate", run) == 0
scores = json.loads((Path(run) / "scores_scenes_val.json").read_text())
assert scores["images"] == 50

# %% [markdown]
# And a folder as one gets it by mail: a photograph, the same turned by
# a camera that noted it in the file, a scan of 16 bits, one with
# transparency, a single pixel, and half a file.

# %%
from skimage import data as pictures

mail = scratch / "mail"
mail.mkdir()
photo = pictures.astronaut()[:200, :300]
Image.fromarray(photo).save(mail / "photo.png")
note = Image.Exif()
note[0x0112] = 6                            # "turn me to the right"
Image.fromarray(np.rot90(photo)).save(mail / "turned.png", exif=note)
deep = pictures.coins().astype(np.uint16) * 257
Image.fromarray(deep).save(mail / "deep.png")
Image.fromarray(photo).convert("RGBA").save(mail / "clear.png")
whole = (mail / "photo.png").read_bytes()
(mail / "half.png").write_bytes(whole[:len(whole) // 2])
Image.fromarray(photo[:1, :1]).save(mail / "pixel.png")

# %%
out = scratch / "out"
print("exit code", command("predict", run, str(mail), str(out)))
found = {path.stem: np.array(Image.open(path))
         for path in (out / "masks").iterdir()}
print({name: mask.shape for name, mask in sorted(found.items())})

# %%
assert "half" not in found and found["pixel"].shape == (1, 1)
np.testing.assert_array_equal(found["turned"], found["photo"])
np.testing.assert_array_equal(found["clear"], found["photo"])

# %%
painted = np.array(Image.open(out / "overlays" / "photo.png"))
classes = json.loads((Path(run) / "about.json").read_text())["classes"]
show(photo, painted, classes=classes,
     titles=("photo", "a street, it thinks"),
     alt=["Part of a portrait of an astronaut.", "The same under the"
          " network's labels: "
          + in_shares(found["photo"], classes)])

# %% [markdown]
# **What went wrong?** Nothing that a program could notice. The network
# knows streets and has no word for "none of these", so a face is a
# house and hair is a tree. Exit code 0 means that it was done, not that
# it made sense.
#
# ## One GPU, or eight
#
# The command does not change; it is started more often.
#
# ```
# torchrun --nproc-per-node 8 -m seglib train --data camvid \
#     --size 360x480 --batch 32 --steps 20000 --folder runs/camvid
# ```
#
# `--batch` is what all of them take in together, so the same command
# with one process learns the same. Add `--max-restarts 3` before `-m`,
# and a lost process costs the steps since the last checkpoint
# (appendix A4).
#
# ## Recap
#
# - `train` asks for network and data by name and leaves a folder: what
#   was asked for, how it went, last and best weights, a picture.
# - `evaluate RUN` scores, class by class; `predict RUN IMAGES OUT`
#   labels whatever it is given, window by window.
# - With a margin as wide as the network sees, windows change nothing.
# - Wrong input: one line, exit code 2. Damaged image: named, the others
#   done, exit code 1. Ctrl-C: a checkpoint, exit code 130.
# - Nothing is overwritten that you did not say.
#
# ## Exercises
#
# ```{exercise}
# :label: your-own-folder
# Train on pictures of your own: `--data folder --images … --masks …
# --classes ground,thing`. Give it a mask with a label too many, and one
# of another size than its image. When do you hear of it, and how?
# ```
#
# ```{exercise}
# :label: margin-of-a-network
# Find, by experiment, the smallest margin that changes nothing, for
# `--with depth=2` and `depth=6`. Which networks of the later chapters
# have no such margin?
# ```
#
# ```{dropdown} Hint
# What does a network see that averages over the whole image?
# ```
#
# ```{exercise}
# :label: unknown
# Let `predict` say "none of these" where the network is unsure: labels
# whose probability is below a half become `VOID`. Does the astronaut
# stop being a street?
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} unknown
# :class: dropdown
# ````

# %% tags=["solution"]
model, about = load_model(run, "cpu")
with torch.inference_mode():
    x = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] / 255
    sure = model(x).softmax(1).amax(1)[0].numpy()
unsure = np.where(sure < 0.5, 255, found["photo"]).astype(np.uint8)
print(in_shares(unsure, about["classes"]))

# %% [markdown] tags=["solution"]
# Most of it, and for the wrong reason: this network is unsure because
# it has hardly learned. One that has learned long is sure of streets
# that are none. Probability says which of *these* classes, not whether
# any of them.
# ````{solution-end}
# ````

# %% [markdown]
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
