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
#     module: networks
#     place: 10.7
# ---

# %% [markdown]
# # Drawing networks and runs
#
# *What is in a network, how far does it see, what does it hold, and how
# is it doing?*

# %% tags=["export"]
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seglib.display import STYLE, Picture, figure

# %% [markdown]
# ## Who comes out of whom?
#
# In papers, networks are drawn by hand, and the drawing and the program
# need not agree. Ours shall be drawn by the network itself. PyTorch
# calls a *hook* whenever a module has done its work; that gives us the
# boxes. For the arrows we must know where an input comes from, through
# additions and concatenations that are no modules. So every tensor
# carries the names of the boxes it came out of, and whatever a function
# makes of several tensors carries all of their names.

# %% tags=["export"]
@dataclass
class Box:
    """One step of a network: a module, and what went in and out."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    sources: tuple[int, ...]

# %% tags=["export"]
def parameters(model: nn.Module) -> int:
    """How many parameters a model has, learning or frozen.

    Examples
    --------
    >>> parameters(nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in model.parameters())

# %% tags=["export"]
class _Watch(TorchFunctionMode):
    """Knows for every tensor which boxes it came out of."""

    def __init__(self):
        super().__init__()
        self.origin, self.alive, self.boxes = {}, [], []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.mark(made, self.came_from((args, kwargs)))
        return made

    def came_from(self, values):
        return set().union(*(self.origin.get(id(t), ())
                             for t in _tensors(values)))

    def mark(self, values, origin):
        for t in _tensors(values):
            self.origin[id(t)] = origin
            self.alive.append(t)        # or its id might come again

# %% tags=["export"]
def _tensors(values):
    return [leaf for leaf in tree_leaves(values)
            if isinstance(leaf, torch.Tensor)]

# %% tags=["export"]
def _units(model, depth, name=""):
    """Modules drawn as one box: leaves, or those `depth` down."""
    children = dict(model.named_children())
    if depth == 0 or not children:
        return [(name, model)]
    return [unit for child, module in children.items() for unit in
            _units(module, None if depth is None else depth - 1,
                   f"{name}.{child}".strip("."))]

# %% tags=["export"]
def _hooks(watch, name, module):
    """Two hooks, which note a box when its module has done its work."""
    sources = set()

    def begun(module, args):
        sources.update(watch.came_from(args))

    def done(module, args, made):
        watch.boxes.append(Box(
            name, type(module).__name__, tuple(_tensors(made)[0].shape),
            parameters(module), tuple(sorted(sources))))
        sources.clear()
        watch.mark(made, {len(watch.boxes) - 1})
    return (module.register_forward_pre_hook(begun),
            module.register_forward_hook(done))

# %% tags=["export"]
@contextmanager
def in_eval_mode(model: nn.Module):
    """The model as it is used; afterwards as it was, module by module.

    Examples
    --------
    >>> net = nn.Dropout()
    >>> with in_eval_mode(net):
    ...     print(net.training)
    False
    >>> net.training
    True
    """
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training

# %% tags=["export"]
def trace(model: nn.Module, x: torch.Tensor,
          depth: int | None = None) -> list[Box]:
    """What a network does to an input, box by box.

    Parameters
    ----------
    model : nn.Module
    x : tensor
        An input, on the model's device.
    depth : int, optional
        How deep modules are opened; by default down to the leaves. A
        model that is not opened is one box without a name.

    Returns
    -------
    list of Box
        In the order of their work. `sources` are positions in the list,
        -1 for the input; more than one where results meet.

    Examples
    --------
    >>> two = nn.Sequential(nn.ReLU(), nn.Flatten())
    >>> [(box.kind, box.sources) for box in trace(two, torch.eye(2))]
    [('ReLU', (-1,)), ('Flatten', (0,))]
    """
    watch, hooks = _Watch(), []
    for name, module in _units(model, depth):
        hooks += _hooks(watch, name, module)
    watch.mark(x, {-1})
    try:
        with torch.no_grad(), in_eval_mode(model), watch:
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return watch.boxes

# %% [markdown]
# The picture: one bar per box, as high as its feature map (each halving
# is a step down) and as wide as it has channels. Arcs are results that
# skip boxes.

# %% tags=["export"]
_KINDS = ("Conv", "Norm", "ReLU", "Pool", "Upsample", "Drop", "Linear")


def _height(box):
    return 1 + np.log2(box.shape[2] if len(box.shape) > 2 else 1)


def _draw_box(ax, box, left, colours):
    """One bar; returns its width."""
    high, wide = _height(box), 0.25 + 0.12 * np.log2(box.shape[1])
    kind = next((k for k in _KINDS if k in box.kind), box.kind)
    colour = colours.setdefault(kind, f"C{len(colours) % 6}")
    ax.bar(left, high, wide, -high / 2, align="edge", color=colour)
    size = "×".join(map(str, box.shape[1:]))
    ax.text(left + wide / 2, -high / 2 - 0.25, f"{box.kind} {size}",
            rotation=90, ha="center", va="top", fontsize=7)
    return wide

# %% tags=["export"]
def _skips(boxes):
    """(source, goal) of the results that skip boxes."""
    return [(source, goal) for goal, box in enumerate(boxes)
            for source in box.sources if 0 <= source < goal - 1]

# %% tags=["export"]
def _draw_arcs(ax, boxes, middles):
    """The wider an arc the higher, up to three steps above the bars."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path
    top = max(map(_height, boxes)) / 2
    for source, goal in _skips(boxes):
        peak = top + 0.5 + 2.5 * (goal - source) / len(boxes)
        ends = [(middles[i], _height(boxes[i]) / 2)
                for i in (source, goal)]
        bend = (middles[source], peak), (middles[goal], peak)
        ax.add_patch(FancyArrowPatch(
            path=Path([ends[0], *bend, ends[1]], [1, 4, 4, 4]),
            arrowstyle="->", mutation_scale=10))
    ax.set_ylim(-top - 0.3, top + 2.5 * bool(_skips(boxes)))

# %% tags=["export"]
def diagram(model: nn.Module, x: torch.Tensor,
            depth: int | None = None) -> Picture:
    """A network's architecture, drawn by the network itself.

    Parameters
    ----------
    model, x, depth
        As for `trace`.

    Returns
    -------
    Picture
        A bar for each box: its height is the feature map's (in
        halvings), its width the channels' (in doublings); an arc for
        each result that skips boxes. The alt text says the same.
    """
    import matplotlib.pyplot as plt
    boxes, left, middles, colours = trace(model, x, depth), 0, [], {}
    with plt.rc_context(STYLE):
        fig, ax = plt.subplots(figsize=(7.2, 2.8))
        for box in boxes:
            wide = _draw_box(ax, box, left, colours)
            middles.append(left + wide / 2)
            left += wide + 0.15
        _draw_arcs(ax, boxes, middles)
        ax.axis("off")
        return figure(fig, alt=_told(model, boxes))

# %% tags=["export"]
def _told(model, boxes):
    """A network in words; what repeats is told once."""
    texts = [f"{box.kind} {'×'.join(map(str, box.shape[1:]))}"
             for box in boxes]
    runs = [(text, len(list(same))) for text, same in groupby(texts)]
    said = [text + f" ({n} times)" * (n > 1) for text, n in runs]
    if len(said) > 14:
        said[7:-7] = [f"{len(said) - 14} more steps"]
    return (f"{type(model).__name__}: {parameters(model):,} parameters,"
            f" {len(_skips(boxes))} skip connections; "
            f"{', then '.join(said)}.")

# %% [markdown]
# The smallest network with something to see: it halves its picture,
# goes back up, and puts what it knew before beside what it knows now.

# %%
class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.middle = nn.Conv2d(8, 16, 3, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.score = nn.Conv2d(16, 2, 1)

    def forward(self, x):
        before = self.down(x).relu()
        after = self.up(self.middle(self.pool(before)).relu())
        return self.score(torch.cat([before, after], dim=1))

torch.manual_seed(0)
small = Small()
diagram(small, torch.rand(1, 3, 32, 32))

# %% tags=["nbval-check-output"]
for box in trace(small, torch.rand(1, 3, 32, 32)):
    print(box.name, box.kind, box.shape, box.parameters, box.sources)

# %% [markdown]
# ## How far does it see?
#
# Ask the winning score of one pixel for its gradient with respect to the
# input. Where it is zero, a pixel has no say. What is left is the
# {term}`receptive field`. (Not the sum of all scores: cross-entropy does
# not care what is added to all of them, so training never teaches it
# anything.)

# %% tags=["export"]
def seen_by(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """How much the winning score in the middle depends on each pixel.

    Parameters
    ----------
    model : nn.Module
    x : (1, C, H, W) tensor

    Returns
    -------
    (H, W) float tensor
        Size of the gradient at each pixel, summed over the channels.

    Raises
    ------
    ValueError
        If `x` is not one picture.
    """
    if x.dim() != 4 or len(x) != 1:
        raise ValueError(f"x has shape {tuple(x.shape)}; needed:"
                         " (1, C, H, W), one picture")
    x = x.clone().requires_grad_()
    with in_eval_mode(model):
        scores = model(x)
    middle = scores[0, :, scores.shape[2] // 2, scores.shape[3] // 2]
    [gradient] = torch.autograd.grad(middle.max(), x)
    return gradient[0].abs().sum(0)

# %%
field = seen_by(small, torch.rand(1, 3, 32, 32))
rows = field.sum(1).nonzero().flatten()
print(int(rows.max() - rows.min() + 1), "rows have a say")
assert seen_by(nn.Conv2d(1, 1, 3, padding=1),
               torch.rand(1, 1, 9, 9)).count_nonzero() == 9

# %% [markdown]
# ## What does it do?
#
# What is no module has no box, and a claim may be about just that: does
# a network add, or concatenate? Then listen to the functions instead,
# and count those that make tensors.

# %% tags=["export"]
class _Calls(TorchFunctionMode):
    """Counts the functions that make tensors."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if _tensors(made):
            name = function.__name__.strip("_")
            self.counts[_SAME.get(name, name)] += 1
        return made


_SAME = {"concat": "cat", "concatenate": "cat"}

# %% tags=["export"]
def operations(model: nn.Module, x: torch.Tensor) -> Counter:
    """How often a network calls which of PyTorch's functions.

    Parameters
    ----------
    model : nn.Module
        It answers as it is used, not as it is trained.
    x : tensor
        An input, on the model's device; "meta" will do.

    Returns
    -------
    Counter
        By name. Whether a function works in place makes no difference:
        "add" is `x + y` and `x += y`, "relu" the module, too. What a
        function calls in its turn is not counted.

    Examples
    --------
    >>> operations(nn.Sequential(nn.ReLU(), nn.ReLU()), torch.eye(2))
    Counter({'relu': 2})
    """
    with torch.no_grad(), in_eval_mode(model), _Calls() as calls:
        model(x)
    return calls.counts

# %% tags=["nbval-check-output"]
for name, n in operations(small, torch.rand(1, 3, 32, 32)).items():
    print(name, n)

# %% [markdown]
# ## How much does it hold?
#
# What counts is the most that a network holds at any one moment. Listen
# once more, one floor deeper, where the backward pass works as well: to
# every operation. Add what it makes, unless it is a view of what it was
# given, and strike out what nobody holds any more. On the meta device,
# where tensors have shapes and no numbers, that takes neither the
# memory nor the time.
#
# Who listens must not disturb. In training batch normalisation counts
# its batches; afterwards it shall not have met ours.

# %% tags=["export"]
class _Held(TorchDispatchMode):
    """Adds up the storage of all results that are still held."""

    def __init__(self):
        super().__init__()
        self.held, self.peak = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.held = {storage: size for storage, size
                     in self.held.items() if not storage.expired()}
        new = _storages(made)
        for storage in new.keys() - _storages((args, kwargs)).keys():
            self.held[storage] = new[storage]
        self.peak = max(self.peak, sum(self.held.values()))
        return made

# %% tags=["export"]
def _storages(values):
    """Memory behind tensors, and its size in bytes."""
    every = [t.untyped_storage() for t in _tensors(values)]
    return {StorageWeakRef(one): one.nbytes() for one in every}

# %% tags=["export"]
@contextmanager
def _in_training_mode(model):
    """As it is trained; afterwards as it was, with its statistics."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    with in_eval_mode(model):
        model.train()
        try:
            yield
        finally:
            for buffer, values in before:
                buffer.copy_(values)

# %% tags=["export"]
def peak_bytes(model: nn.Module, x: torch.Tensor,
               training: bool = False) -> int:
    """The most that a network's maps take at any one moment.

    Parameters
    ----------
    model : nn.Module
        Any device will do, "meta" too.
    x : tensor
        Its input, on the same device.
    training : bool
        Whether it is kept for a backward pass, to the end of which we
        listen, in training mode; else the model answers as in
        `predict`. Either way it is left as it was.

    Returns
    -------
    int
        Bytes, without the input, the weights, and what an operation
        needs for itself while it works; with the weights' gradients, as
        far as they are there.

    Raises
    ------
    ValueError
        If there is nothing to train: all weights are frozen.

    Examples
    --------
    >>> peak_bytes(nn.Identity(), torch.zeros(4))
    0
    >>> peak_bytes(nn.Sequential(nn.Softmax(0), nn.Softmax(0)),
    ...            torch.zeros(4))
    32
    """
    watch = _Held()
    if training:
        weights = [p for p in model.parameters() if p.requires_grad]
        if not weights:
            raise ValueError("model has no weights that learn; needed"
                             " in training: one at least")
        with _in_training_mode(model), watch:
            torch.autograd.grad(model(x).sum(), weights,
                                allow_unused=True)
    else:
        with torch.no_grad(), in_eval_mode(model), watch:
            model(x)
    return watch.peak

# %% [markdown]
# By hand: while our small network scores, it still holds the map of 8
# channels from before, that of 8 from below, and both once more, side
# by side; the scores make 2 channels.

# %%
x = torch.rand(1, 3, 32, 32)
assert peak_bytes(small, x) == (8 + 8 + 16 + 2) * 32 * 32 * 4
print(f"{peak_bytes(small, x) / 2**10:.0f} KiB in use,"
      f" {peak_bytes(small, x, training=True) / 2**10:.0f} in training")

# %% [markdown]
# ## How is it doing?
#
# A training keeps a row for each step. Drawn, they say at a glance what
# a table hides: too large a rate, a loss that has stopped falling long
# ago, a score that falls while the loss still does.

# %% tags=["export"]
def curve(rows) -> Picture:
    """Loss, and mean IoU where it was measured, over the steps.

    Parameters
    ----------
    rows : list of dict
        As in a `History`: "step" and "loss", here and there "mean_iou".
    """
    import matplotlib.pyplot as plt
    steps, loss = zip(*((r["step"], r["loss"]) for r in rows))
    scored = [(r["step"], r["mean_iou"]) for r in rows
              if "mean_iou" in r]
    with plt.rc_context(STYLE):
        fig, ax = plt.subplots()
        ax.plot(steps, loss, lw=1, label="loss")
        ax.plot(*zip(*scored or [((), ())]), "o-", label="mean IoU")
        ax.set(xlabel="step", ylim=(0, 1.05 * max(loss)))
        ax.legend()
        return figure(fig, alt=_in_words(loss, scored))

# %% tags=["export"]
def _in_words(loss, scored):
    text = (f"Loss over {len(loss)} steps: {loss[0]:.2f} at first,"
            f" {np.mean(loss[-20:]):.2f} in the end")
    if scored:
        text += (f"; mean IoU {scored[0][1]:.2f} when first measured,"
                 f" {scored[-1][1]:.2f} in the end")
    return text + "."

# %% tags=["export"]
class LivePlot:
    """Redraws a history in a notebook; `fit` takes it as `on_step`.

    Parameters
    ----------
    seconds : float
        Least time between two drawings.
    """

    def __init__(self, seconds: float = 2):
        self.seconds, self.last = seconds, 0.0

    def __call__(self, history) -> None:
        from IPython.display import publish_display_data
        if history.rows and time.time() - self.last > self.seconds:
            publish_display_data(
                {"text/html": curve(history.rows).html},
                transient={"display_id": f"live-{id(self)}"},
                update=self.last > 0)
            self.last = time.time()

# %%
curve([{"step": i, "loss": 2 / (1 + i / 10)}
       | ({"mean_iou": i / 200} if i % 20 == 19 else {})
       for i in range(100)])
