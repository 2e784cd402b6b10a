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
#       gpu: 0.5
#       laptop: 0.7
#     module: training
# ---

# %% [markdown]
# # Training a pixel classifier
#
# *How does a machine learn what every pixel is, and who watches it?*

# %% tags=["export"]
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from seglib.display import STYLE, VOID, Picture, figure
from seglib.metrics import SegmentationMeter
from seglib.runs import RunFolder, StopRequest, World, capture, join
from seglib.runs import restore

# %% [markdown]
# ## Losses

# %% tags=["export"]
def cross_entropy(logits, target, weights=None):
    """Mean of -log p(true class) over the pixels that are known."""
    total = F.cross_entropy(logits.float(), target.long(), weights,
                            ignore_index=VOID, reduction="sum")
    return total / (target != VOID).sum().clamp(min=1)

# %% tags=["export"]
def focal(logits, target, weights=None, gamma=2.0):
    """Cross-entropy that counts (1 - p)^gamma of each pixel."""
    nll = F.cross_entropy(logits.float(), target.long(),
                          ignore_index=VOID, reduction="none")
    hard = (-torch.expm1(-nll)).clamp(min=1e-8)**gamma
    if weights is not None:
        hard = hard * weights[target.long() % VOID]
    return (hard * nll).sum() / (target != VOID).sum().clamp(min=1)

# %% tags=["export"]
def _by_class(logits, target):
    """Probabilities and truth, (K, pixels) each, and 0 where VOID."""
    known = (target != VOID)[:, None]
    p = logits.float().softmax(1) * known
    truth = target.long() % VOID
    y = F.one_hot(truth, p.shape[1]).movedim(-1, 1) * known
    return [x.movedim(1, 0).flatten(1) for x in (p, y.float())]


def _mean_over_present(loss, truth):
    there = truth.sum(1) > 0
    return (loss * there).sum() / there.sum().clamp(min=1)

# %% tags=["export"]
def dice_loss(logits, target, weights=None, smooth=1.0):
    """1 - Dice's coefficient of the probabilities, mean over classes."""
    p, y = _by_class(logits, target)
    score = (2 * (p * y).sum(1) + smooth) / ((p + y).sum(1) + smooth)
    return _mean_over_present(1 - score, y)

# %% tags=["export"]
def lovasz_softmax(logits, target, weights=None):
    """Lovász extension of 1 - IoU, mean over the classes present."""
    p, y = _by_class(logits, target)
    error, order = (y - p).abs().sort(dim=1, descending=True)
    wrong = y.gather(1, order).cumsum(1)
    size = y.sum(1, keepdim=True)
    alarms = torch.arange(1, y.shape[1] + 1, device=y.device) - wrong
    jump = (wrong + alarms) / (size + alarms)
    jump = jump.diff(dim=1, prepend=torch.zeros_like(size))
    return _mean_over_present((error * jump).sum(1), y)

# %% tags=["export"]
LOSSES = {"cross_entropy": cross_entropy, "focal": focal,
          "dice": dice_loss, "lovasz": lovasz_softmax}

# %% tags=["export"]
def class_weights(data, classes: int, scheme: str = "median",
                  power: float = 0.5, cap: float = 8.0):
    """Weights that let rare classes count."""
    counts = np.array([np.bincount(_mask(one).ravel(), minlength=256)
                       for one in data])[:, :classes]
    pixels, there = counts.sum(1, keepdims=True), counts > 0
    if scheme == "enet":
        return torch.tensor(1 / np.log(
            1.02 + counts.sum(0) / max(pixels.sum(), 1))).float()
    if scheme != "median":
        raise ValueError(f"scheme is {scheme!r}; needed: 'median' or"
                         " 'enet'")
    share = counts.sum(0) / np.maximum((pixels * there).sum(0), 1)
    typical = np.median(share[share > 0]) if share.any() else 1
    weight = (typical / np.maximum(share, 1e-12))**power
    return torch.tensor(np.minimum(weight, cap)).float()


def _mask(one):
    return np.asarray(getattr(one, "mask", one))

# %% [markdown]
# ## Models

# %% tags=["export"]
class PixelClassifier(nn.Sequential):
    """A pixel's class from its own channels: 1 × 1 convolutions."""

    def __init__(self, num_classes, in_channels=3, *, width=0):
        hidden = [] if not width else [
            nn.Conv2d(in_channels, width, 1), nn.ReLU(),
            nn.Conv2d(width, width, 1), nn.ReLU()]
        super().__init__(*hidden, nn.Conv2d(width or in_channels,
                                            num_classes, 1))

    def forward(self, x):
        return super().forward(4 * x - 2)

# %% tags=["export"]
class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that survives one value per channel."""

    def forward(self, x):
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var,
                                self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def conv_block(inside: int, outside: int) -> nn.Sequential:
    """3 × 3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False),
        BatchNorm(outside), nn.ReLU(inplace=True))

# %% tags=["export"]
class ConvNet(nn.Sequential):
    """A stack of 3 × 3 convolutions at full resolution."""

    def __init__(self, num_classes, in_channels=3, *, width=24,
                 depth=4):
        sizes = [in_channels] + depth * [width]
        super().__init__(*map(conv_block, sizes[:-1], sizes[1:]),
                         nn.Conv2d(width, num_classes, 1))

    def forward(self, x):
        return super().forward(4 * x - 2)

# %% [markdown]
# ## In which order?

# %% tags=["export"]
@lru_cache(maxsize=2)
def _deck(n, seed, epoch):
    return np.random.default_rng((seed, epoch)).permutation(n)


def draws(n: int, batch_size: int, seed: int, start: int, stop: int,
          world: World = World()) -> Iterator[list[tuple[int, int]]]:
    """Which pictures each step sees: a pure function of the seed."""
    first = world.rank * batch_size // world.size
    last = (world.rank + 1) * batch_size // world.size
    for step in range(start, stop):
        places = range(step * batch_size + first,
                       step * batch_size + last)
        yield [(place, int(_deck(n, seed, place // n)[place % n]))
               for place in places]

# %% [markdown]
# ## What is in a batch?

# %% tags=["export"]
def as_tensor(image: np.ndarray) -> torch.Tensor:
    """An image as a (C, H, W) tensor; the memory is not copied."""
    image = torch.from_numpy(np.ascontiguousarray(image))
    image = image if image.ndim == 3 else image[..., None]
    return image.permute(2, 0, 1)


def check_labels(mask: np.ndarray, classes: int, name="") -> None:
    """Raise if a mask holds a label that is neither class nor VOID."""
    wrong = mask[(mask >= classes) & (mask != VOID)]
    if wrong.size:
        raise ValueError(f"mask of {name!r} holds the label {wrong[0]};"
                         f" needed: 0 to {classes - 1}, or {VOID}")

# %% tags=["export"]
class Reader(TorchDataset):
    """Samples as tensors, their labels checked, cut to one size."""

    def __init__(self, data, classes=VOID, crop=None, seed=0):
        self.data, self.classes = data, classes
        self.crop, self.seed, self.kept = crop, seed, None

    def read(self, index):
        sample = self.data[index]
        check_labels(sample.mask, self.classes, sample.name)
        return as_tensor(sample.image), torch.from_numpy(sample.mask)

    def __getitem__(self, draw):
        place, index = draw
        pair = self.kept[index] if self.kept else self.read(index)
        if self.crop is None:
            return pair
        return _cut(*pair, self.crop, (self.seed, place))

# %% tags=["export"]
def _cut(image, mask, crop, seed):
    """A random window; what sticks out is black, and VOID."""
    rng, (h, w) = np.random.default_rng(seed), mask.shape
    down, right = (max(0, c - n) for c, n in zip(crop, (h, w)))
    image = F.pad(image, (0, right, 0, down))
    mask = F.pad(mask, (0, right, 0, down), value=VOID)
    y, x = (int(rng.integers(max(0, n - c) + 1))
            for c, n in zip(crop, (h, w)))
    window = np.s_[..., y:y + crop[0], x:x + crop[1]]
    return image[window], mask[window]


def _stack(pairs):
    images, masks = zip(*pairs)
    sizes = {tuple(mask.shape) for mask in masks}
    if len(sizes) > 1:
        raise ValueError(f"train has images of {len(sizes)} sizes, such"
                         f" as {min(sizes)} and {max(sizes)}; needed:"
                         " one size, or crop=(height, width)")
    return torch.stack(images), torch.stack(masks)

# %% tags=["export"]
def keep(reader: Reader, device, room: float = 2**30) -> bool:
    """Read a small set once, and hold it on the device."""
    image, mask = reader.read(0)
    fits = len(reader.data) * (image.numel() + mask.numel()) <= room
    if fits:
        reader.kept = [tuple(x.to(device) for x in reader.read(i))
                       for i in range(len(reader.data))]
    return fits


def batches(reader: Reader, order, device, workers: int = 0):
    """Batches on the device: (N, C, H, W) uint8 and (N, H, W) uint8."""
    if reader.kept:
        yield from (_stack([reader[draw] for draw in draw_of])
                    for draw_of in order)
        return
    loader = DataLoader(reader, batch_sampler=order, collate_fn=_stack,
                        num_workers=workers, persistent_workers=False,
                        pin_memory=device.type == "cuda")
    for pair in loader:
        yield tuple(x.to(device, non_blocking=True) for x in pair)

# %% [markdown]
# ## How large a step?

# %% tags=["export"]
def poly(step: int, steps: int, power: float = 0.9,
         warmup: int = 0) -> float:
    """Factor of the learning rate: up in a line, then down to 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, 1 - (step - warmup) / max(1, steps - warmup))**power

# %% tags=["export"]
def make_optimizer(model: nn.Module, name: str = "adamw",
                   lr: float = 3e-3, weight_decay: float = 1e-2):
    """SGD or AdamW; biases and normalisation are not decayed."""
    makers = {"adamw": torch.optim.AdamW, "sgd": lambda groups, lr:
              torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True)}
    if name not in makers:
        raise ValueError(f"optimizer is {name!r};"
                         f" needed: one of {list(makers)}")
    learnt = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in learnt if p.ndim > 1],
               "weight_decay": weight_decay},
              {"params": [p for p in learnt if p.ndim <= 1],
               "weight_decay": 0.0}]
    return makers[name]([g for g in groups if g["params"]], lr=lr)

# %% [markdown]
# ## How many digits?

# %% tags=["export"]
def best_precision(device: torch.device) -> str:
    """"bf16" where the hardware multiplies it, else "fp32"."""
    if device.type == "cuda":
        pays = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        pays = device.type == "cpu" and any(
            getattr(torch.cpu, name, bool)() for name in asked)
    return "bf16" if pays else "fp32"


def _autocast(device, precision):
    if (precision or best_precision(device)) == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)

# %% [markdown]
# ## History

# %% tags=["export"]
class NotFinite(FloatingPointError):
    """The loss is NaN or infinite, and the training has stopped."""


@dataclass
class History:
    """What happened, step by step."""

    rows: list[dict] = field(default_factory=list)
    waiting: list = field(default_factory=list, repr=False)

    def add(self, step, lr, loss, norm):
        self.waiting.append((step, lr, loss.detach(), norm))
        if loss.device.type == "cpu" or len(self.waiting) >= 20:
            self.flush()

    def flush(self):
        waiting, self.waiting = self.waiting, []
        for step, lr, loss, norm in _numbers(waiting):
            self.rows.append({"step": step, "lr": lr, "loss": loss,
                              "norm": norm})
            if not np.isfinite(loss):
                raise NotFinite(f"loss is {loss} at step {step}")

    @property
    def best(self):
        scored = [row for row in self.rows if "mean_iou" in row]
        return max(scored, key=lambda r: r["mean_iou"], default=None)

    def _repr_html_(self):
        return plot(self).html

# %% tags=["export"]
def _numbers(waiting):
    if not waiting:
        return []
    steps, rates, *values = zip(*waiting)
    values = [torch.stack(v).float().tolist() for v in values]
    return zip(steps, rates, *values)

# %% tags=["export"]
def plot(history: History) -> Picture:
    """Loss and scores over the steps."""
    import matplotlib.pyplot as plt
    with plt.rc_context(STYLE):
        fig, ax = plt.subplots()
        step, loss = zip(*((r["step"], r["loss"]) for r in history.rows))
        ax.plot(step, loss, alpha=0.6)
        ax.set(xlabel="step", ylabel="loss", ylim=0)
        return figure(fig, alt=f"Loss over {len(step)} steps, from"
                      f" {loss[0]:.2f} to {loss[-1]:.2f}.")

# %% [markdown]
# ## Evaluate

# %% tags=["export"]
def _device_of(model):
    one = next(model.parameters(), None)
    return torch.device("cpu") if one is None else one.device


@contextmanager
def _judging(model, precision):
    """The model as it is used: eval mode, no gradients."""
    training = model.training
    model.eval()
    try:
        with (torch.inference_mode(),
              _autocast(_device_of(model), precision)):
            yield
    finally:
        model.train(training)


def as_input(images: torch.Tensor) -> torch.Tensor:
    """uint8 images as floats in [0, 1]; the memory's order is kept."""
    return images.float().div_(255)

# %% tags=["export"]
def evaluate(model, data, *, batch_size=16, precision=None,
             world=World()) -> dict:
    """Scores of a model on a data set."""
    device = _device_of(model)
    reader = data if isinstance(data, Reader) else Reader(data)
    meter, order = None, range(len(reader.data))
    with _judging(model, precision):
        for index in world.part(order):
            image, mask = (x.to(device)[None]
                           for x in reader[index, index])
            logits = model(as_input(image))
            meter = meter or SegmentationMeter(logits.shape[1])
            meter.update(logits.argmax(1).to(torch.uint8), mask)
    return meter.compute()

# %% [markdown]
# ## fit

# %% tags=["export"]
@dataclass(frozen=True)
class Recipe:
    """All that decides what a training ends with."""

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

# %% tags=["export"]
def _config(recipe, model, train, steps):
    """The recipe in words, for the run's folder."""
    config = {name: getattr(value, "__name__", value) if callable(value)
              else value for name, value in asdict(recipe).items()}
    if isinstance(recipe.class_weights, torch.Tensor):
        config["class_weights"] = recipe.class_weights.tolist()
    return config | {"steps": steps, "images": len(train),
                     "model": type(model).__name__}


def _steps(recipe, n):
    if (recipe.steps is None) == (recipe.epochs is None):
        raise ValueError(f"steps is {recipe.steps}, epochs is"
                         f" {recipe.epochs}; needed: one of them")
    if recipe.steps is not None:
        return int(recipe.steps)
    return max(1, round(recipe.epochs * n / recipe.batch_size))

# %% tags=["export"]
def _loss(recipe, data, classes, device):
    """The loss as a function of logits and target."""
    loss = LOSSES.get(recipe.loss, recipe.loss)
    if not callable(loss):
        raise ValueError(f"loss is {loss!r}; needed: one of"
                         f" {list(LOSSES)}, or a function")
    weights = recipe.class_weights
    if weights is None:
        return loss
    if isinstance(weights, str):
        weights = class_weights(data, classes, weights)
    weights = torch.as_tensor(weights, dtype=torch.float32)
    return lambda logits, target: loss(logits, target,
                                       weights.to(device))

# %% tags=["export"]
def _probe(model, reader, device):
    """Number of classes: one picture goes through."""
    image, _ = reader[0, 0]
    with _judging(model, "fp32"):
        logits = model(as_input(image[None].to(device)))
    return logits.shape[1]


@dataclass
class Run:
    """What the loop holds in its hands."""

    model: nn.Module
    forward: Callable
    optimizer: torch.optim.Optimizer
    loss: Callable
    recipe: Recipe
    steps: int
    device: torch.device
    precision: str
    world: World
    history: History = field(default_factory=History)

# %% tags=["export"]
def train_step(run: Run, step: int, images, masks):
    """One step down the loss; returns rate, loss, gradient's length."""
    recipe, world = run.recipe, run.world
    torch.manual_seed((recipe.seed << 32) + step * world.size
                      + world.rank)
    images = as_input(images)
    if recipe.augment:
        images, masks = recipe.augment(images, masks)
    rate = recipe.lr * poly(step, run.steps, recipe.power, recipe.warmup)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    with _autocast(run.device, run.precision):
        loss = run.loss(run.forward(images), masks)
    return rate, *_descend(run, loss, masks)

# %% tags=["export"]
def _descend(run, loss, masks):
    """Gradient and step; of many processes, as if they were one."""
    share = _share(run.world, masks)
    run.optimizer.zero_grad(set_to_none=True)
    (loss * share * run.world.size).backward()
    norm = nn.utils.clip_grad_norm_(run.model.parameters(),
                                    run.recipe.clip or float("inf"))
    run.optimizer.step()
    return run.world.sum(loss * share), norm


def _share(world, masks):
    """This process's part of all the pixels that are known."""
    if world.size == 1:
        return 1
    known = (masks != VOID).sum().float()
    return known / world.sum(known).clamp(min=1)

# %% tags=["export"]
def _prepare(model, train, recipe, world, device, precision,
             channels_last, compile):
    """Everything in its place."""
    device = world.device(device)
    if channels_last or channels_last is None:
        model.to(device, memory_format=torch.channels_last)
    reader = Reader(train, crop=recipe.crop, seed=recipe.seed)
    reader.classes = _probe(model.to(device), reader, device)
    keep(reader, device)
    steps = _steps(recipe, len(train))
    optimizer = make_optimizer(model, recipe.optimizer, recipe.lr,
                               recipe.weight_decay)
    loss = _loss(recipe, train, reader.classes, device)
    forward = world.wrap(torch.compile(model) if compile else model)
    return reader, Run(model, forward, optimizer, loss, recipe, steps,
                       device, precision or best_precision(device), world)

# %% tags=["export"]
def _check_in(run, folder, step, val):
    """Score, and keep: whole, or not at all."""
    run.history.flush()
    row, best = run.history.rows[-1], run.history.best
    if val is not None:
        scores = evaluate(run.model, val, precision=run.precision)
        row |= {key: scores[key] for key in
                ("mean_iou", "pixel_accuracy")}
    if folder:
        state = capture(run.world, model=run.model, step=step + 1,
                        optimizer=run.optimizer,
                        history=run.history.rows)
        if run.world.main:
            folder.save(state, best=run.history.best is row)

# %% tags=["export", "kernel"]
def fit(model: nn.Module, train, val=None, *, device=None,
        precision=None, channels_last=None, compile=False, workers=0,
        folder=None, resume=False, every=None, progress=None,
        on_step=None, world=None, **recipe) -> History:
    """Train a model: the loop, told whole."""
    recipe, alone = Recipe(**recipe), world is None
    world = join() if alone else world
    reader, run = _prepare(model, train, recipe, world, device,
                           precision, channels_last, compile)
    folder, start = folder and RunFolder(folder), 0
    if folder and (state := folder.begin(_config(
            recipe, model, train, run.steps), resume, world)):
        left = restore(state, world, model=model,
                       optimizer=run.optimizer)
        start, run.history.rows = left["step"], left["history"]
    every = every or max(1, run.steps // 10)
    order = draws(len(train), recipe.batch_size, recipe.seed, start,
                  run.steps, world)
    model.train()
    with world if alone else nullcontext(), StopRequest() as stop:
        for step, pair in enumerate(batches(reader, order, run.device,
                                            workers), start):
            run.history.add(step, *train_step(run, step, *pair))
            last = step + 1 == run.steps or world.any(stop)
            if last or (step + 1) % every == 0:
                _check_in(run, folder, step, val)
            if on_step:
                on_step(run.history)
            if last:
                break
    return run.history

# %% [markdown]
# ## predict

# %% tags=["export"]
def predict(model, image, *, precision=None):
    """Mask of one image."""
    with _judging(model, precision):
        x = as_input(as_tensor(image)[None].to(_device_of(model)))
        return model(x)[0].argmax(0).to(torch.uint8).cpu().numpy()
