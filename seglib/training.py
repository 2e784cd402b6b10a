"""Training a pixel classifier: chapter 11 of the course.

How does a machine learn what every pixel is, and what can go wrong while nobody is looking?

Exported from 11_training.py; edit the chapter, not this file.
"""

import inspect
import os
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from seglib.clustering import slic, texture_features
from seglib.display import VOID, as_float
from seglib.feeding import Reader, as_input, batches, draws, keep, stack
from seglib.metrics import SegmentationMeter
from seglib.networks import curve, diagram, in_eval_mode, seen_by
from seglib.runs import RunFolder, StopRequest, World, capture, join
from seglib.runs import load_checkpoint, restore

__all__ = [
    "PixelClassifier",
    "cross_entropy",
    "class_weights",
    "focal",
    "dice_loss",
    "lovasz_softmax",
    "LOSSES",
    "region_features",
    "RegionClassifier",
    "BatchNorm",
    "ConvBlock",
    "ConvNet",
    "poly",
    "make_optimizer",
    "best_precision",
    "NotFinite",
    "History",
    "evaluate",
    "Recipe",
    "Run",
    "train_step",
    "fit",
    "spans",
    "predict",
]


# What does one colour tell?
# --------------------------

class PixelClassifier(nn.Sequential):
    """A pixel's class from its own channels alone: 1 x 1 convolutions.

    Parameters
    ----------
    num_classes : int
        K.
    in_channels : int
        C.
    width : int
        0: logistic regression. Else two hidden layers of that width.

    Notes
    -----
    (N, C, H, W) floats, best within [0, 1], in; (N, K, H, W) logits
    out, for any H and W.

    Examples
    --------
    >>> PixelClassifier(5)(torch.rand(1, 3, 40, 33)).shape
    torch.Size([1, 5, 40, 33])

    Chapter
    -------
    11 Training a pixel classifier, "What does one colour tell?".
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *,
                 width: int = 0):
        hidden = [] if not width else [
            nn.Conv2d(in_channels, width, 1), nn.ReLU(),
            nn.Conv2d(width, width, 1), nn.ReLU()]
        super().__init__(*hidden, nn.Conv2d(width or in_channels,
                                            num_classes, 1))

    def forward(self, x):
        return super().forward(4 * x - 2)


# What is the loss where nobody knows?
# ------------------------------------

def cross_entropy(logits, target, weights=None) -> torch.Tensor:
    """Mean of -log p(true class) over the pixels that are known.

    Parameters
    ----------
    logits : (N, K, H, W) float tensor
    target : (N, H, W) integer tensor
        Labels 0..K-1, or VOID, which counts for nothing: without any
        known pixel the loss is 0, and so is its gradient.
    weights : (K,) float tensor, optional
        A pixel of class k counts `weights[k]` times. The sum is divided
        by the number of known pixels all the same, not by their
        weights.

    Returns
    -------
    scalar float32 tensor

    Examples
    --------
    >>> cross_entropy(torch.zeros(1, 2, 1, 1), torch.tensor([[[VOID]]]))
    tensor(0.)

    Chapter
    -------
    11 Training a pixel classifier, "What is the loss where nobody knows?".
    """
    total = F.cross_entropy(logits.float(), target.long(), weights,
                            ignore_index=VOID, reduction="sum")
    return total / (target != VOID).sum().clamp(min=1)


# Who speaks for the few?
# -----------------------

def class_weights(data, classes: int, scheme: str = "median",
                  power: float = 0.5, cap: float = 8.0) -> torch.Tensor:
    """Weights with which rare classes count as well.

    Parameters
    ----------
    data : iterable of samples, or of (H, W) masks
        A data set's `.masks` will do, and reads no images.
    classes : int
        K.
    scheme : {"median", "enet"}
        (median frequency / frequency)^power, at most `cap`, after Eigen
        and Fergus (2015), who have power 1 and no cap; or
        1 / ln(1.02 + share), after Paszke et al. (2016).
    power, cap : float
        For "median" alone.

    Returns
    -------
    (K,) float32 tensor
        A class that never occurs has the largest weight there can be.

    Examples
    --------
    >>> class_weights([np.array([[0, 0, 0, 0, 1, 255]])], 2, power=1)
    tensor([0.6250, 2.5000])

    Chapter
    -------
    11 Training a pixel classifier, "Who speaks for the few?".
    """
    if scheme not in ("median", "enet"):
        raise ValueError(f"scheme is {scheme!r}; needed: 'median' or"
                         " 'enet'")
    counts = np.array([np.bincount(_mask_of(one).ravel(), minlength=256)
                       for one in data])[:, :classes]
    if scheme == "enet":
        share = counts.sum(0) / max(counts.sum(), 1)
        return torch.from_numpy(1 / np.log(1.02 + share)).float()
    weights = _rarity(counts)**power
    return torch.from_numpy(np.minimum(weights, cap)).float()


def _mask_of(one):
    return np.asarray(getattr(one, "mask", one))


def _rarity(counts):
    """Median frequency by frequency, from a row of counts an image."""
    pixels = counts.sum(1, keepdims=True)
    where_present = (pixels * (counts > 0)).sum(0)
    frequency = counts.sum(0) / np.maximum(where_present, 1)
    typical = np.median(frequency[frequency > 0])
    return typical / np.maximum(frequency, 1e-12)


def focal(logits, target, weights=None, gamma=2.0) -> torch.Tensor:
    """Cross-entropy in which sure pixels hardly count.

    Parameters
    ----------
    logits, target, weights
        As for `cross_entropy`.
    gamma : float
        At least 0, and 0 is cross-entropy.

    Returns
    -------
    scalar float32 tensor
        Mean of -(1 - p)^gamma log p over the known pixels.

    Notes
    -----
    Lin et al. (2017), equation 4, with the softmax's p.

    Chapter
    -------
    11 Training a pixel classifier, "Who speaks for the few?".
    """
    nll = F.cross_entropy(logits.float(), target.long(),
                          ignore_index=VOID, reduction="none")
    hard = (-torch.expm1(-nll)).clamp(min=1e-8)**gamma
    if weights is not None:
        hard = hard * weights[target.long() % VOID]
    return (hard * nll).sum() / (target != VOID).sum().clamp(min=1)


# Why not train on what we measure?
# ---------------------------------

def _by_class(logits, target):
    """Probabilities and truth, (K, pixels) each, 0 where VOID."""
    known = (target != VOID)[:, None]
    p = logits.float().softmax(1) * known
    y = F.one_hot(target.long() % VOID, p.shape[1]).movedim(-1, 1)
    y = (y * known).float()
    return p.movedim(1, 0).flatten(1), y.movedim(1, 0).flatten(1)


def _mean_over_present(loss, y):
    there = y.sum(1) > 0
    return (loss * there).sum() / there.sum().clamp(min=1)


def dice_loss(logits, target, smooth: float = 1.0) -> torch.Tensor:
    """1 - Dice's coefficient of the probabilities, mean over classes.

    Parameters
    ----------
    logits, target
        As for `cross_entropy`.
    smooth : float
        Added above and below the line.

    Returns
    -------
    scalar float32 tensor
        Mean over the classes that `target` holds; 0 if it holds none.

    Notes
    -----
    After Milletari et al. (2016), but with probabilities that are not
    squared below the line, and over the whole batch at once.

    Chapter
    -------
    11 Training a pixel classifier, "Why not train on what we measure?".
    """
    p, y = _by_class(logits, target)
    score = (2 * (p * y).sum(1) + smooth) / ((p + y).sum(1) + smooth)
    return _mean_over_present(1 - score, y)


def lovasz_softmax(logits, target) -> torch.Tensor:
    """1 - IoU, extended to probabilities; mean over classes.

    Parameters
    ----------
    logits, target
        As for `cross_entropy`.

    Returns
    -------
    scalar float32 tensor
        Mean over the classes that `target` holds; 0 if it holds none.

    Notes
    -----
    Berman, Triki and Blaschko (2018), over the whole batch at once.

    Chapter
    -------
    11 Training a pixel classifier, "Why not train on what we measure?".
    """
    p, y = _by_class(logits, target)
    error, order = (y - p).abs().sort(dim=1, descending=True)
    missed = y.gather(1, order).cumsum(1)
    wrong = torch.arange(1, y.shape[1] + 1, device=y.device)
    size = y.sum(1, keepdim=True)
    distance = wrong / (size + wrong - missed)
    jump = distance.diff(dim=1, prepend=torch.zeros_like(size))
    return _mean_over_present((error * jump).sum(1), y)


#: Losses by name.
LOSSES = {"cross_entropy": cross_entropy, "focal": focal,
          "dice": dice_loss, "lovasz": lovasz_softmax}


# What does a neighbourhood tell?
# -------------------------------

def region_features(image: np.ndarray, segments: int = 200):
    """Superpixels, and sixteen numbers about each.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        uint8, or float in [0, 1].
    segments : int
        About how many superpixels.

    Returns
    -------
    features : (S, 16) float32 array
        Mean and standard deviation of three colours, mean texture in
        eight filters, mean place (y / H, x / W).
    regions : (H, W) int32 array
        Which of the S superpixels each pixel belongs to.

    Chapter
    -------
    11 Training a pixel classifier, "What does a neighbourhood tell?".
    """
    regions, colour = slic(image, segments), as_float(image)
    if colour.ndim == 2:
        colour = np.dstack([colour] * 3)
    place = np.moveaxis(np.indices(regions.shape), 0, 2) / regions.shape
    planes = colour, texture_features(image, (4, 8)), place
    mean = _region_means(np.dstack(planes), regions)
    spread = _region_means((colour - mean[regions, :3])**2, regions)
    features = np.hstack([mean[:, :3], spread**0.5, mean[:, 3:]])
    return features.astype(np.float32), regions


def _region_means(planes, regions):
    sums = [np.bincount(regions.ravel(), plane.ravel())
            for plane in np.moveaxis(planes, 2, 0)]
    return np.stack(sums, 1) / np.bincount(regions.ravel())[:, None]


def _all_regions(data, segments):
    """Features of all regions, and their true classes (1, 1, S)."""
    tables, truth = [], []
    for sample in data:
        table, regions = region_features(sample.image, segments)
        votes = np.zeros((len(table), VOID + 1))
        np.add.at(votes, (regions, sample.mask), 1)
        tables.append(table)
        truth.append(votes.argmax(1))
    truth = torch.from_numpy(np.concatenate(truth))
    return np.concatenate(tables), truth[None, None]


def _in_a_row(table, centre, scale):
    """(S, F) features as an image one pixel high, (1, F, 1, S)."""
    rows = torch.from_numpy((table - centre) / scale)
    return rows.T[None, :, None] / 4 + 0.5


def _descend_often(model, x, target, steps, lr):
    """The loop of ten lines, over everything at once."""
    optimizer = torch.optim.AdamW(model.parameters(), lr)
    for step in range(steps):
        loss = cross_entropy(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class RegionClassifier:
    """Classifies superpixels by features that somebody thought of.

    Parameters
    ----------
    num_classes : int
    segments : int
        Superpixels of each image, about.
    width : int
        Of the hidden layers; 0 for logistic regression.

    Chapter
    -------
    11 Training a pixel classifier, "What does a neighbourhood tell?".
    """

    def __init__(self, num_classes, segments=200, width=64):
        self.segments = segments
        self.net = PixelClassifier(num_classes, 16, width=width)

    def fit(self, data, steps: int = 200, lr: float = 0.01):
        """Learn from samples; returns itself."""
        table, truth = _all_regions(data, self.segments)
        self.stats = table.mean(0), table.std(0) + 1e-6
        x = _in_a_row(table, *self.stats)
        _descend_often(self.net, x, truth, steps, lr)
        return self

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Mask (H, W) uint8 of an image."""
        table, regions = region_features(image, self.segments)
        with torch.inference_mode():
            scores = self.net(_in_a_row(table, *self.stats))
        return scores[0, :, 0].argmax(0).byte().numpy()[regions]


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that bears a single value per channel.

    Where a batch has but one, its running statistics are used, and not
    changed, in training too.

    Notes
    -----
    Ioffe and Szegedy (2015). `World.wrap` replaces it on several GPUs
    by PyTorch's own, which looks at the batches of all.

    Examples
    --------
    >>> BatchNorm(2).train()(torch.ones(1, 2, 1, 1)).shape
    torch.Size([1, 2, 1, 1])

    Chapter
    -------
    11 Training a pixel classifier, "What does a neighbourhood tell?".
    """

    def forward(self, x):
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var,
                                self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class ConvBlock(nn.Sequential):
    """3 x 3 convolution, batch normalisation, ReLU; size unchanged.

    Chapter
    -------
    11 Training a pixel classifier, "What does a neighbourhood tell?".
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1,
                      bias=False),
            BatchNorm(out_channels), nn.ReLU(inplace=True))


class ConvNet(nn.Sequential):
    """A stack of 3 x 3 convolutions that never leaves full resolution.

    Parameters
    ----------
    num_classes : int
        K.
    in_channels : int
        C.
    width : int
        Channels of each layer.
    depth : int
        Layers; a score sees 2 depth + 1 pixels across.

    Notes
    -----
    (N, C, H, W) floats, best within [0, 1], in; (N, K, H, W) logits
    out, for any H and W.

    Examples
    --------
    >>> ConvNet(5, width=8)(torch.rand(2, 3, 33, 47)).shape
    torch.Size([2, 5, 33, 47])

    Chapter
    -------
    11 Training a pixel classifier, "What does a neighbourhood tell?".
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *,
                 width: int = 24, depth: int = 4):
        sizes = [in_channels] + depth * [width]
        super().__init__(*map(ConvBlock, sizes[:-1], sizes[1:]),
                         nn.Conv2d(sizes[-1], num_classes, 1))

    def forward(self, x):
        return super().forward(4 * x - 2)


# How large a step?
# -----------------

def poly(step: int, steps: int, power: float = 0.9,
         warmup: int = 0) -> float:
    """Factor of the learning rate at a step: up in a line, then down.

    Parameters
    ----------
    step : int
        From 0.
    steps : int
        Of the whole run; there the factor reaches 0.
    power : float
        1 falls in a line.
    warmup : int
        Steps on which it rises to 1.

    Examples
    --------
    >>> [round(poly(s, 6, power=1, warmup=2), 2) for s in range(7)]
    [0.33, 0.67, 1.0, 0.75, 0.5, 0.25, 0.0]

    Chapter
    -------
    11 Training a pixel classifier, "How large a step?".
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, 1 - (step - warmup) / max(1, steps - warmup))**power


# Who takes it?
# -------------

def make_optimizer(model: nn.Module, name: str = "adamw",
                   lr: float = 3e-3, weight_decay: float = 1e-2):
    """AdamW, or SGD with momentum 0.9.

    Parameters
    ----------
    model : nn.Module
        A parameter's attribute `rate`, if it has one, is its factor of
        the learning rate; one without gradient is left out.
    name : {"adamw", "sgd"}
    lr, weight_decay : float
        Only parameters of two dimensions or more are decayed.

    Returns
    -------
    torch.optim.Optimizer

    Chapter
    -------
    11 Training a pixel classifier, "Who takes it?".
    """
    makers = {"adamw": torch.optim.AdamW, "sgd": lambda groups, lr:
              torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True)}
    _one_of("optimizer", name, makers)
    groups = {}
    for p in model.parameters():
        if p.requires_grad:
            kind = (getattr(p, "rate", 1.0), p.ndim > 1)
            groups.setdefault(kind, []).append(p)
    return makers[name]([
        {"params": groups[factor, matrix], "factor": factor,
         "weight_decay": weight_decay if matrix else 0.0}
        for factor, matrix in sorted(groups, reverse=True)], lr=lr)


def _one_of(argument, name, known):
    if name not in known:
        raise ValueError(f"{argument} is {name!r}; needed: one of"
                         f" {', '.join(map(repr, known))}")


# How many digits?
# ----------------

def best_precision(device: torch.device) -> str:
    """"bf16" on hardware that multiplies bfloat16, else "fp32".

    Chapter
    -------
    11 Training a pixel classifier, "How many digits?".
    """
    if device.type == "cuda":
        pays = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        pays = device.type == "cpu" and any(
            getattr(torch.cpu, name, bool)() for name in asked)
    return "bf16" if pays else "fp32"


def _autocast(device, precision):
    precision = precision or best_precision(device)
    _one_of("precision", precision, ("fp32", "bf16"))
    return (nullcontext() if precision == "fp32" else
            torch.autocast(device.type, torch.bfloat16))


# What happened?
# --------------

class NotFinite(FloatingPointError):
    """The loss is NaN or infinite, and the training has stopped.

    Chapter
    -------
    11 Training a pixel classifier, "What happened?".
    """


def _read(waiting):
    """Rows of what is waiting, read off the device all at once."""
    steps, rates, *values = zip(*waiting)
    values = [torch.stack(column).tolist() for column in values]
    for step, lr, loss, norm in zip(steps, rates, *values):
        if not np.isfinite(loss):
            raise NotFinite(f"loss is {loss} at step {step}")
        yield {"step": step, "lr": lr, "loss": loss, "norm": norm}


@dataclass
class History:
    """What happened, step by step; draws itself in a notebook.

    Attributes
    ----------
    rows : list of dict
        "step" (from 0), "lr", "loss", "norm" (of the gradient, before
        clipping); now and then "mean_iou" and "pixel_accuracy".

    Chapter
    -------
    11 Training a pixel classifier, "What happened?".
    """

    rows: list[dict] = field(default_factory=list)
    waiting: list = field(default_factory=list, repr=False)

    def flush(self) -> None:
        """Read what is waiting; raises NotFinite at a NaN."""
        waiting, self.waiting = self.waiting, []
        if waiting:
            self.rows.extend(_read(waiting))

    @property
    def best(self) -> dict | None:
        """The row of the highest mean IoU; None if none has one."""
        scored = [row for row in self.rows if "mean_iou" in row]
        return max(scored, key=lambda r: r["mean_iou"], default=None)

    def _repr_html_(self):
        return curve(self.rows).html if self.rows else None


# How good is it by now?
# ----------------------

@contextmanager
def _judging(model, precision):
    """The model as it will be used; gives its device."""
    one = next(model.parameters(), None)
    device = torch.device("cpu") if one is None else one.device
    with (in_eval_mode(model), torch.inference_mode(),
          _autocast(device, precision)):
        yield device


def _of_one_size(reader, indices, batch_size):
    """Batches of neighbours that have one size."""
    group = []
    for pair in (reader[index, index] for index in indices):
        full = len(group) == batch_size
        if full or group and pair[1].shape != group[0][1].shape:
            yield stack(group)
            group = []
        group.append(pair)
    if group:
        yield stack(group)


def _of_all_pixels(model, x):
    """Logits, of as many rows and columns as the pictures have."""
    logits = model(x)
    (h, w), (height, width) = logits.shape[2:], x.shape[2:]
    if (h, w) != (height, width):
        raise ValueError(
            f"model makes {h} × {w} scores of {height} × {width}"
            " pixels; needed: as many (`overlap_tile` is for nets"
            " without padding)")
    return logits


def evaluate(model: nn.Module, data, *, batch_size: int = 16,
             precision: str | None = None, world: World = World()
             ) -> dict:
    """Scores of a model on a data set.

    Parameters
    ----------
    model : nn.Module
        Where it is, it is used.
    data : sequence of samples, or a Reader
    batch_size : int
    precision : {"fp32", "bf16"}, optional
        By default `best_precision`.
    world : World
        Each process takes its part; all get the scores of the whole.

    Returns
    -------
    dict
        As from `SegmentationMeter.compute`: "mean_iou" and others.

    Raises
    ------
    ValueError
        If there are no samples, a label is no class of the model, or
        the model has not as many scores as a picture has pixels.

    Chapter
    -------
    11 Training a pixel classifier, "How good is it by now?".
    """
    reader = data if isinstance(data, Reader) else Reader(data)
    reader.classes = _classes_of(model, reader)
    meter = SegmentationMeter(_names(reader))
    mine = world.part(range(len(reader.data)))
    with _judging(model, precision) as device:
        for images, masks in _of_one_size(reader, mine, batch_size):
            x = as_input(images.to(device))
            labels = _of_all_pixels(model, x).argmax(1)
            meter.update(labels.to(torch.uint8), masks.to(device))
    return _of_all(meter, world).compute()


def _classes_of(model, reader, judged=True):
    """How many classes a model knows: a picture goes through."""
    if not len(reader.data):
        raise ValueError("data is empty; needed: at least one sample")
    with _judging(model, "fp32") as device:
        image, _ = reader[0, 0]
        x = as_input(image[None].to(device))
        scores = _of_all_pixels(model, x) if judged else model(x)
        return scores.shape[1]


def _names(reader):
    names = getattr(reader.data[0], "classes", ())
    return names if len(names) == reader.classes else reader.classes


def _of_all(meter, world):
    """The meter, with what the other processes have counted."""
    if world.size > 1:
        mine = [_to_numpy(meter._images), int(meter._bad),
                _to_numpy(meter.confusion)]
        images, bad, counts = zip(*world.gather(mine))
        meter._images, meter._bad = sum(images, []), sum(bad)
        meter.confusion = sum(counts)
    return meter


def _to_numpy(counts):
    if isinstance(counts, (list, tuple)):
        return [_to_numpy(one) for one in counts]
    return counts.cpu().numpy() if torch.is_tensor(counts) else counts


# What decides the result?
# ------------------------

@dataclass(frozen=True)
class Recipe:
    """All that decides what a training ends with.

    Parameters
    ----------
    steps, epochs : number
        How long: one of the two. An epoch is `len(train)` pictures.
    batch_size : int
        Of all processes together.
    loss : str or callable
        A name in `LOSSES`, or a function of logits and target.
    optimizer, lr, weight_decay
        As for `make_optimizer`.
    power, warmup
        As for `poly`.
    clip : float
        Longest gradient; 0 for any length.
    class_weights : {"median", "enet"}, or sequence of float
        For losses that take weights.
    augment : callable, optional
        Makes of images (N, C, H, W) in [0, 1] and masks (N, H, W) such
        a pair again, on the device; draws its numbers from PyTorch.
    crop : (height, width), optional
        A window at random from each picture.
    seed : int
        Of order, windows, augmentation and dropout; what the weights
        start from is decided before.

    Chapter
    -------
    11 Training a pixel classifier, "What decides the result?".
    """

    steps: int | None = None
    epochs: float | None = None
    batch_size: int = 16
    loss: str | Callable = "cross_entropy"
    optimizer: str = "adamw"
    lr: float = 3e-3
    weight_decay: float = 1e-2
    power: float = 0.9
    warmup: int = 20
    clip: float = 1.0
    class_weights: str | Sequence | None = None
    augment: Callable | None = None
    crop: tuple[int, int] | None = None
    seed: int = 0


def _steps(recipe, n):
    if (recipe.steps is None) == (recipe.epochs is None):
        raise ValueError(f"steps is {recipe.steps}, epochs is"
                         f" {recipe.epochs}; needed: one of them")
    if recipe.steps is None:
        return max(1, round(recipe.epochs * n / recipe.batch_size))
    return int(recipe.steps)


def _plain(value):
    """For JSON: a function by its name, a tensor as a list."""
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    return value.tolist() if hasattr(value, "tolist") else value


def _loss_of(recipe, reader, device):
    """The loss as a function of logits and target."""
    loss, weights = recipe.loss, recipe.class_weights
    if not callable(loss):
        _one_of("loss", loss, LOSSES)
        loss = LOSSES[loss]
    if weights is None:
        return loss
    if "weights" not in inspect.signature(loss).parameters:
        raise ValueError(f"class_weights is {weights!r}, but the loss"
                         " takes none; needed: None")
    weights = _weights_of(weights, reader).to(device)
    return lambda logits, target: loss(logits, target, weights)


def _weights_of(weights, reader):
    if isinstance(weights, str):
        pairs = reader.kept or map(reader.read, range(len(reader.data)))
        return class_weights((mask.cpu() for _, mask in pairs),
                             reader.classes, weights)
    return torch.as_tensor(weights).float()


# One step
# --------

@dataclass
class Run:
    """What the loop holds in its hands.

    Parameters
    ----------
    model : nn.Module
        Bare, as it is saved; `forward` may wrap or compile it.

    Chapter
    -------
    11 Training a pixel classifier, "One step".
    """

    model: nn.Module
    forward: Callable
    optimizer: torch.optim.Optimizer
    loss: Callable
    recipe: Recipe
    steps: int
    device: torch.device
    precision: str
    channels_last: bool
    world: World
    history: History = field(default_factory=History)


def train_step(run: Run, step: int, images, masks) -> None:
    """One step downhill, noted in the run's history.

    Parameters
    ----------
    run : Run
    step : int
    images, masks : (N, H, W, C) and (N, H, W) uint8 tensors

    Chapter
    -------
    11 Training a pixel classifier, "One step".
    """
    recipe, rank = run.recipe, run.world.rank
    torch.manual_seed(hash((recipe.seed, step, rank)))
    images = as_input(images, run.channels_last)
    if recipe.augment:
        images, masks = recipe.augment(images, masks)
    lr = recipe.lr * poly(step, run.steps, recipe.power, recipe.warmup)
    for group in run.optimizer.param_groups:
        group["lr"] = lr * group["factor"]
    with _autocast(run.device, run.precision):
        loss = run.loss(run.forward(images), masks)
    _note(run.history, step, lr, *_descend(run, loss, masks))


def _note(history, step, lr, loss, norm):
    history.waiting.append((step, lr, loss.detach(), norm))
    if loss.device.type == "cpu" or len(history.waiting) >= 20:
        history.flush()


def _descend(run, loss, masks):
    """Gradient, clip, step; loss of all, and the gradient's size."""
    loss = loss * _share(run.world, masks)
    run.optimizer.zero_grad(set_to_none=True)
    (loss * run.world.size).backward()
    norm = nn.utils.clip_grad_norm_(run.model.parameters(),
                                    run.recipe.clip or float("inf"))
    run.optimizer.step()
    return run.world.sum(loss), norm


def _share(world, masks):
    """This process's share of the pixels that are known."""
    if world.size == 1:
        return 1.0
    known = (masks != VOID).sum().float()
    return known / world.sum(known).clamp(min=1)


# When it goes wrong
# ------------------

@contextmanager
def _explained(run, folder):
    """NaN and full memory, with what may be done about them."""
    try:
        yield
    except NotFinite as error:
        raise NotFinite(
            f"{error}; {_what_is_saved(folder)}; try a smaller lr (now"
            f" {run.recipe.lr}), more warmup, or precision='fp32'"
        ) from None
    except RuntimeError as error:
        if not _is_full_memory(error):
            raise
        raise MemoryError(
            f"{run.device} has no memory for batch_size="
            f"{run.recipe.batch_size}; try half of it, a smaller crop,"
            " or precision='bf16'") from error


def _is_full_memory(error):
    said = str(error).lower()
    return "out of memory" in said or "can't allocate memory" in said


def _what_is_saved(folder):
    if not folder or not folder.last.exists():
        return "nothing was saved"
    step = load_checkpoint(folder.last)["step"]
    return f"last good checkpoint: {folder.last}, after {step} steps"


# Put together
# ------------

def _readers(model, train, val, recipe, device):
    """The data, kept where it fits; the labels will be checked."""
    readers = [Reader(train, crop=recipe.crop, seed=recipe.seed)]
    classes = _classes_of(model, readers[0], judged=False)
    if val is not None:
        readers.append(Reader(val))
        _classes_of(model, readers[1])
    for reader in readers:
        reader.classes = classes
        keep(reader, device)
    return readers


def _place(model, device, channels_last):
    """The model on its device; whether the channels come last."""
    if channels_last is None:
        channels_last = device.type != "mps"
    layout = (torch.channels_last if channels_last
              else torch.contiguous_format)
    model.to(device, memory_format=layout)
    return channels_last


def _prepare(model, train, val, recipe, world, device, precision,
             channels_last, compile):
    device = world.device(device)
    last = _place(model, device, channels_last)
    readers = _readers(model, train, val, recipe, device)
    optimizer = make_optimizer(model, recipe.optimizer, recipe.lr,
                               recipe.weight_decay)
    forward = world.wrap(torch.compile(model) if compile else model)
    return readers, Run(
        model, forward, optimizer, _loss_of(recipe, readers[0], device),
        recipe, _steps(recipe, len(train)), device,
        precision or best_precision(device), last, world)


def _check_in(run, folder, step, readers):
    """Score, and save: whole, or not at all."""
    run.history.flush()
    row = run.history.rows[-1]
    for val in readers[1:]:
        scores = evaluate(run.model, val, precision=run.precision,
                          world=run.world)
        row |= {key: scores[key]
                for key in ("mean_iou", "pixel_accuracy")}
    if folder:
        state = capture(run.world, model=run.model, step=step + 1,
                        optimizer=run.optimizer,
                        history=run.history.rows)
        if run.world.main:
            folder.save(state, best=run.history.best is row)


def _go_on(run, folder, resume, images):
    """The step to begin with: 0, or where the folder's run stands."""
    if not folder:
        return 0
    recipe = {key: _plain(x) for key, x in vars(run.recipe).items()}
    config = recipe | {"steps": run.steps, "images": images,
                       "model": type(run.model).__name__}
    state = folder.begin(config, resume, run.world)
    if state is None:
        return 0
    rest = restore(state, run.world, model=run.model,
                   optimizer=run.optimizer)
    run.history.rows = rest["history"]
    return rest["step"]


@contextmanager
def _bar(run, start, progress):
    """A bar, as something to be called after each step."""
    hidden = os.environ.get("TQDM_DISABLE") or not run.world.main
    off = None if progress is None else not progress
    with tqdm(initial=start, total=run.steps, unit="step",
              disable=True if hidden else off) as bar:
        yield lambda history: bar.update()


def fit(model: nn.Module, train, val=None, *, device=None,
        precision=None, channels_last=None, compile=False, workers=0,
        folder=None, resume=False, every=None, progress=None,
        on_step=None, world=None, **recipe) -> History:
    """Train a model on samples.

    Parameters
    ----------
    model : nn.Module
        (N, C, H, W) floats from 0 to 1 in, (N, K, H, W) logits out.
        It is moved to the device, and ends with its last weights.
    train, val : sequences of samples
        Images of one size, unless `crop` cuts them to one.
    device : str or torch.device, optional
        By default `environment.device`.
    precision : {"fp32", "bf16"}, optional
        By default `best_precision`.
    channels_last : bool, optional
        By default True but on MPS.
    compile : bool
        `torch.compile`: slow at first, and may pay on long runs.
    workers : int
        Processes that read data sets too large to be kept.
    folder : path, optional
        Keeps settings, history, last and best weights: a `RunFolder`.
    resume : bool
        Whether to go on with the run that is in `folder`.
    every : int, optional
        Steps from one scoring and saving to the next; by default a
        tenth of all.
    progress : bool, optional
        A bar; by default on terminals. Never with TQDM_DISABLE set.
    on_step : callable, optional
        Is given the history after each step, such as a `LivePlot`.
    world : World, optional
        By default, `torchrun`'s processes join, and leave in the end.
    **recipe
        `steps` or `epochs`, and all else that a `Recipe` holds.

    Returns
    -------
    History
        Shorter than asked for, if Ctrl-C or SIGTERM ended it.

    Raises
    ------
    NotFinite
        If the loss is NaN or infinite; what is saved is good.
    ValueError, TypeError
        If a setting or a label is wrong; before anything is trained.
    MemoryError
        If a batch does not fit, with what to try.

    Chapter
    -------
    11 Training a pixel classifier, "Put together".
    """
    recipe = Recipe(**recipe)
    with _joined(world) as world:
        readers, run = _prepare(
            model, train, val, recipe, world, device, precision,
            channels_last, compile)
        folder = folder and RunFolder(folder)
        start = _go_on(run, folder, resume, len(train))
        with _explained(run, folder), _bar(run, start, progress) as bar:
            _loop(run, readers, start, folder, every, workers,
                  (bar, on_step))
    return run.history


def _loop(run, readers, start, folder, every, workers, callbacks):
    """Steps, scores, and an ear for Ctrl-C."""
    every = every or max(1, run.steps // 10)
    pairs = _pairs(run, readers[0], start, workers)
    run.forward.train()
    with StopRequest() as stop:
        for step, pair in enumerate(pairs, start):
            train_step(run, step, *pair)
            last = step + 1 == run.steps or run.world.any(stop)
            if last or (step + 1) % every == 0:
                _check_in(run, folder, step, readers)
            for callback in filter(None, callbacks):
                callback(run.history)
            if last:
                break


def _pairs(run, reader, start, workers):
    """The batches of the steps that are left."""
    order = draws(len(reader.data), run.recipe.batch_size,
                  run.recipe.seed, start, run.steps, run.world)
    return batches(reader, order, run.device, workers)


@contextmanager
def _joined(world):
    """All processes together; random numbers are put back after."""
    before = torch.get_rng_state()
    try:
        with join() if world is None else nullcontext(world) as world:
            yield world
    finally:
        torch.set_rng_state(before)


# How large may a picture be?
# ---------------------------

def spans(length: int, window: int, margin: int):
    """Windows along one side, and what is kept of each.

    Parameters
    ----------
    length, window, margin : int
        In pixels; a window has at least 64. `margin` pixels are
        dropped at either end of a window, but not at the ends of the
        picture.

    Returns
    -------
    list of (start, stop, first, last)
        Read start..stop, keep first..last. If window and margin are
        multiples of 32, so are all starts; no window is smaller than 32
        unless the picture is.

    Examples
    --------
    >>> spans(100, 64, 16)
    [(0, 64, 0, 48), (32, 96, 48, 80), (64, 100, 80, 100)]

    Chapter
    -------
    11 Training a pixel classifier, "How large may a picture be?".
    """
    if not 0 <= 2 * margin < window or window < 64:
        raise ValueError(f"margin is {margin}, window {window}; needed:"
                         " a window from 64, a margin below its half")
    found, start, kept = [], 0, 0
    while kept < length:
        if length - start < 32:         # too small for a network
            start = max(0, start - 32)
        stop = min(start + window, length)
        last = length if stop == length else stop - margin
        found.append((start, stop, kept, last))
        start, kept = start + window - 2 * margin, last
    return found


def _look(model, image, device):
    """Logits (K, h, w) of a piece; padded if it is below 32 pixels."""
    h, w = image.shape[:2]
    x = torch.from_numpy(np.atleast_3d(image)).to(device)
    x = x.permute(2, 0, 1)[None]
    x = F.pad(x, (0, max(0, 32 - w), 0, max(0, 32 - h)), "replicate")
    return _of_all_pixels(model, x)[0, :, :h, :w].float()


def _pieces(model, image, window, margin, device):
    """Logits, piece by piece, and where they belong."""
    rows, columns = (spans(n, window, margin) for n in image.shape[:2])
    for top, bottom, y0, y1 in rows:
        for left, right, x0, x1 in columns:
            part = as_float(image[top:bottom, left:right])
            logits = _look(model, part, device)
            yield (np.s_[..., y0:y1, x0:x1],
                   logits[:, y0 - top:y1 - top, x0 - left:x1 - left])


def predict(model: nn.Module, image: np.ndarray, *, window: int = 1024,
            margin: int = 128, probability: bool = False,
            precision: str | None = None) -> np.ndarray:
    """Mask of one image of any size.

    Parameters
    ----------
    model : nn.Module
        Where it is, it is used.
    image : (H, W) or (H, W, 3) array
        uint8, or float in [0, 1].
    window, margin : int
        Larger images are looked at through windows, of which `margin`
        pixels are dropped inside the picture; for networks that pool,
        both in multiples of their stride. An image no larger than the
        window is looked at as a whole.
    probability : bool
        Whether to return the softmax instead; that takes memory.
    precision : {"fp32", "bf16"}, optional
        By default `best_precision`.

    Returns
    -------
    (H, W) uint8, or (K, H, W) float32 array

    Raises
    ------
    ValueError
        If the model has not as many scores as the image has pixels.

    Chapter
    -------
    11 Training a pixel classifier, "How large may a picture be?".
    """
    size, answer = image.shape[:2], None
    with _judging(model, precision) as device:
        for where, logits in _pieces(model, image, window, margin,
                                     device):
            found = (logits.softmax(0) if probability
                     else logits.argmax(0).byte()).cpu().numpy()
            if answer is None:
                answer = np.empty(found.shape[:-2] + size, found.dtype)
            answer[where] = found
    return answer
