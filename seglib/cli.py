"""The command line: chapter A5 of the course.

How does a network get from this course into a night's work, and onto a folder of somebody's photographs?

Exported from A5_command_line.py; edit the chapter, not this file.
"""

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

__all__ = [
    "Parser",
    "size_of",
    "codes_of",
    "setting_of",
    "uniform",
    "Uniform",
    "held_out",
    "open_data",
    "DATA_OPTIONS",
    "describe",
    "make_model",
    "load_model",
    "RECIPE",
    "train",
    "read_any",
    "label",
    "overlaid",
    "predict",
    "evaluate",
    "data",
    "doctor",
    "parser",
    "main",
]


# What does a program owe you?
# ----------------------------

class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line.

    Chapter
    -------
    A5 The command line, "What does a program owe you?".
    """

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (--help lists what there"
                  " is)\n")


def size_of(text: str) -> tuple[int, int]:
    """A size, height first.

    Examples
    --------
    >>> size_of("180x240")
    (180, 240)

    Chapter
    -------
    A5 The command line, "What does a program owe you?".
    """
    try:
        height, width = map(int, text.lower().split("x"))
    except ValueError:
        height = width = 0
    if min(height, width) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size; needed: HEIGHTxWIDTH, as in 180x240")
    return height, width


def codes_of(text: str) -> dict[int, int]:
    """Classes of the numbers in mask files.

    Examples
    --------
    >>> codes_of("0:0,255:1")
    {0: 0, 255: 1}

    Chapter
    -------
    A5 The command line, "What does a program owe you?".
    """
    try:
        pairs = [pair.split(":") for pair in text.split(",")]
        return {int(number): int(label) for number, label in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} are no codes; needed: number:class, as in"
            " 0:0,255:1") from None


def setting_of(text: str) -> tuple[str, object]:
    """Name and value of an argument.

    Examples
    --------
    >>> setting_of("night=0.5"), setting_of("weather=fog")
    (('night', 0.5), ('weather', 'fog'))

    Chapter
    -------
    A5 The command line, "What does a program owe you?".
    """
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no setting; needed: name=value")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


# Which pictures?
# ---------------

def uniform(sample: Sample, size=None, channels: int = 3) -> Sample:
    """A sample in another size, grey or in colour.

    Parameters
    ----------
    size : (height, width), optional
        By default its own.
    channels : {1, 3}

    Chapter
    -------
    A5 The command line, "Which pictures?".
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


class Uniform(Lazy):
    """The samples of a data set, all in one form; see `uniform`.

    Chapter
    -------
    A5 The command line, "Which pictures?".
    """

    def __init__(self, data, size=None, channels=3):
        self.names, self.classes = data.names, data.classes
        self.data, self.form = data, (size, channels)

    def read(self, name):
        return uniform(self.data[name], *self.form)


def held_out(whole, split: str):
    """Part of a set that has no parts: every fifth is "val".

    Raises
    ------
    ValueError
        If `split` is not "train", "val" or "all".

    Chapter
    -------
    A5 The command line, "Which pictures?".
    """
    parts = {"train": [name for i, name in enumerate(whole.names)
                       if i % 5],
             "val": list(whole.names[::5]), "all": whole.names}
    if split not in parts:
        raise ValueError(f"split is {split!r};"
                         f" needed: {', '.join(parts)}")
    keep = set(parts[split])
    return whole.where(lambda name: name in keep)


def _published(maker, split, root):
    named = maker.splits
    if split in named:
        return maker(split, root=root)
    if split == "val" or split == "all" or "train" not in named:
        own = "train" if "train" in named else None
        return held_out(maker(own, root=root), split)
    raise ValueError(f"split is {split!r}; needed: {', '.join(named)}")


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

    Chapter
    -------
    A5 The command line, "Which pictures?".
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


def _shared_classes(maker, split, about):
    """A published set, unless its pictures have their own rules."""
    if not maker.classes or not hasattr(maker, "splits"):
        raise ValueError(f"data is {about['data']!r}, whose pictures"
                         " share no classes; needed: another")
    return _published(maker, split, about["root"])


# What is a run about?
# --------------------

DATA_OPTIONS = ("data", "root", "images", "masks", "classes", "codes",
                "size", "settings")


def _about_data(options):
    about = {name: getattr(options, name) for name in DATA_OPTIONS}
    about["settings"] = dict(about["settings"])
    if about["classes"]:
        about["classes"] = about["classes"].split(",")
    return json.loads(json.dumps(about))


def describe(options, data) -> dict:
    """What a run is about: its network, its classes, its data.

    Chapter
    -------
    A5 The command line, "What is a run about?".
    """
    return {"model": options.model, "with": dict(options.arguments),
            "classes": list(data.classes),
            "channels": 1 if data[0].image.ndim == 2 else 3,
            "data": _about_data(options), "seglib": seglib.__version__}


def make_model(about: dict):
    """The network of a run, with new weights.

    Raises
    ------
    ValueError
        If it does not know one of its settings.

    Chapter
    -------
    A5 The command line, "What is a run about?".
    """
    maker = seglib.resolve("model", about["model"])
    known = inspect.signature(maker).parameters
    for name in about["with"]:
        if name not in known:
            raise ValueError(f"--with is {name!r}; {about['model']}"
                             f" knows {in_words(list(known), 12)}")
    return maker(len(about["classes"]), in_channels=about["channels"],
                 **about["with"])


def _write_json(path, content):
    from seglib.runs import write_whole
    text = json.dumps(content, indent=1).encode()
    write_whole(path, lambda file: file.write(text))


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


def load_model(folder: str | Path, device=None):
    """The network of a run with its best weights, and what it is about.

    Raises
    ------
    ValueError, OSError
        If there is no run in `folder`.

    Chapter
    -------
    A5 The command line, "What is a run about?".
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


# Train
# -----

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


def train(options) -> int:
    """`seglib train`: learn, and leave a run's folder behind.

    Chapter
    -------
    A5 The command line, "Train".
    """
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


def _sheet(rows, gap=4):
    """Rows of pictures on white paper."""
    rows = [np.concatenate([np.pad(
        picture, ((0, gap), (0, gap), (0, 0)), constant_values=255)
        for picture in row], axis=1) for row in rows]
    widest = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(
        row, ((0, 0), (0, widest - row.shape[1]), (0, 0)),
        constant_values=255) for row in rows])


# Any image of any size
# ---------------------

def read_any(path: str | Path) -> np.ndarray:
    """An image as (H, W, 3) uint8, upright, whatever it was.

    Raises
    ------
    OSError, ValueError, SyntaxError
        If it is damaged, or has more than 16 bits a channel.

    Chapter
    -------
    A5 The command line, "Any image of any size".
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

    Chapter
    -------
    A5 The command line, "Any image of any size".
    """
    from PIL import Image

    from seglib import training
    if channels == 1:
        image = np.array(Image.fromarray(image).convert("L"))
    return training.predict(model, image, **how)


def overlaid(image: np.ndarray, mask: np.ndarray,
             strip: int = 512) -> np.ndarray:
    """As `display.overlay`, a strip at a time: little extra memory.

    Chapter
    -------
    A5 The command line, "Any image of any size".
    """
    from seglib.display import overlay
    out = np.empty_like(image)
    for y in range(0, len(image), strip):
        rows = np.s_[y:y + strip]
        out[rows] = overlay(image[rows], mask[rows])
    return out


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


def predict(options) -> int:
    """`seglib predict`: masks and overlays of a folder of images.

    Chapter
    -------
    A5 The command line, "Any image of any size".
    """
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


def _write_png(path, content):
    from PIL import Image

    from seglib.runs import write_whole
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: Image.fromarray(content).save(
        file, "PNG", compress_level=1))


# Evaluate
# --------

def evaluate(options) -> int:
    """`seglib evaluate`: a table of classes, and a file of scores.

    Chapter
    -------
    A5 The command line, "Evaluate".
    """
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


def _target(options, name):
    path = Path(options.out or Path(options.run) / (
        f"scores_{name}_{options.split}.json"))
    if path.exists() and not options.overwrite:
        raise ValueError(f"{str(path)!r} is there; needed: another"
                         " --out, or --overwrite")
    return path


def _plain(scores):
    """Scores for JSON, which knows no nan."""
    if isinstance(scores, dict):
        return {str(key): _plain(one) for key, one in scores.items()}
    return None if scores != scores else scores


def _table(scores) -> str:
    lines = [f"{'class':16}{'IoU':>7}{'Dice':>7}"]
    for name, value in scores["iou"].items():
        dice = scores["dice"][name]
        lines.append(f"{name!s:16}{value:7.3f}{dice:7.3f}")
    return "\n".join(lines + [
        f"{'mean IoU':16}{scores['mean_iou']:7.3f}",
        f"{'pixel accuracy':16}{scores['pixel_accuracy']:7.3f}",
        f"{'images':16}{scores['images']:7}"])


# What is there?
# --------------

def data(options) -> int:
    """`seglib data`: which sets there are; fetches one when asked.

    Chapter
    -------
    A5 The command line, "What is there?".
    """
    names = [options.name] if options.name else sorted(
        seglib.REGISTRY["dataset"])
    if options.download and not options.name:
        raise ValueError("--download needs the name of one data set")
    for name in names:
        print(f"{name:16}{_there(name, options)}")
    return 0


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


def doctor(options) -> int:
    """`seglib doctor`: what is here, what is missing, which device.

    Chapter
    -------
    A5 The command line, "What is there?".
    """
    findings = environment.doctor()
    print(*findings, sep="\n")
    return int(any(finding.state == "missing" for finding in findings))


# The options
# -----------

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


def _machine_options(add):
    add("--compile", action="store_true", help="torch.compile")
    add("--workers", type=int, default=0,
        help="processes that read large data sets (default 0)")
    add("--timeout", type=float, default=600,
        help="seconds after which a silent process counts as lost")


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


def _device(one):
    one.add_argument("--device", help="cpu, cuda, cuda:1, mps; by"
                     " default the fastest")
    one.add_argument("--precision", choices=("fp32", "bf16"),
                     help="by default what is fastest here")


def _overwrite(one):
    one.add_argument("--overwrite", action="store_true",
                     help="even what is there already")


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


def parser() -> Parser:
    """All commands and their options.

    Chapter
    -------
    A5 The command line, "The options".
    """
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


def _data_parser(commands):
    names = sorted(seglib.REGISTRY["dataset"])
    one = commands.add_parser("data", help="which data sets there are")
    one.add_argument("name", nargs="?", choices=names, metavar="NAME",
                     help=f"only one: {', '.join(names)}")
    one.add_argument("--root", help="folder of data sets")
    one.add_argument("--download", action="store_true",
                     help="fetch it from its official address")
    one.set_defaults(call=data)


# One line, one number
# --------------------

def main(arguments=None) -> int:
    """Do what the command line says; returns the exit code.

    Chapter
    -------
    A5 The command line, "One line, one number".
    """
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
