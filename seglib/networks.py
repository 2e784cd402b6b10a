"""Drawing networks and runs: chapter A11 of the course.

What is in a network, how far does it see, what does it hold, and how is it doing?

Exported from A11_networks.py; edit the chapter, not this file.
"""

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

__all__ = [
    "Box",
    "parameters",
    "in_eval_mode",
    "trace",
    "diagram",
    "seen_by",
    "operations",
    "peak_bytes",
    "curve",
    "LivePlot",
]


# Who comes out of whom?
# ----------------------

@dataclass
class Box:
    """One step of a network: a module, and what went in and out.

    Chapter
    -------
    A11 Drawing networks and runs, "Who comes out of whom?".
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    sources: tuple[int, ...]


def parameters(model: nn.Module) -> int:
    """How many parameters a model has, learning or frozen.

    Examples
    --------
    >>> parameters(nn.Linear(3, 2))
    8

    Chapter
    -------
    A11 Drawing networks and runs, "Who comes out of whom?".
    """
    return sum(p.numel() for p in model.parameters())


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


def _tensors(values):
    return [leaf for leaf in tree_leaves(values)
            if isinstance(leaf, torch.Tensor)]


def _units(model, depth, name=""):
    """Modules drawn as one box: leaves, or those `depth` down."""
    children = dict(model.named_children())
    if depth == 0 or not children:
        return [(name, model)]
    return [unit for child, module in children.items() for unit in
            _units(module, None if depth is None else depth - 1,
                   f"{name}.{child}".strip("."))]


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

    Chapter
    -------
    A11 Drawing networks and runs, "Who comes out of whom?".
    """
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


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

    Chapter
    -------
    A11 Drawing networks and runs, "Who comes out of whom?".
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


def _skips(boxes):
    """(source, goal) of the results that skip boxes."""
    return [(source, goal) for goal, box in enumerate(boxes)
            for source in box.sources if 0 <= source < goal - 1]


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

    Chapter
    -------
    A11 Drawing networks and runs, "Who comes out of whom?".
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


# How far does it see?
# --------------------

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

    Chapter
    -------
    A11 Drawing networks and runs, "How far does it see?".
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


# What does it do?
# ----------------

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

    Chapter
    -------
    A11 Drawing networks and runs, "What does it do?".
    """
    with torch.no_grad(), in_eval_mode(model), _Calls() as calls:
        model(x)
    return calls.counts


# How much does it hold?
# ----------------------

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


def _storages(values):
    """Memory behind tensors, and its size in bytes."""
    every = [t.untyped_storage() for t in _tensors(values)]
    return {StorageWeakRef(one): one.nbytes() for one in every}


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

    Chapter
    -------
    A11 Drawing networks and runs, "How much does it hold?".
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


# How is it doing?
# ----------------

def curve(rows) -> Picture:
    """Loss, and mean IoU where it was measured, over the steps.

    Parameters
    ----------
    rows : list of dict
        As in a `History`: "step" and "loss", here and there "mean_iou".

    Chapter
    -------
    A11 Drawing networks and runs, "How is it doing?".
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


def _in_words(loss, scored):
    text = (f"Loss over {len(loss)} steps: {loss[0]:.2f} at first,"
            f" {np.mean(loss[-20:]):.2f} in the end")
    if scored:
        text += (f"; mean IoU {scored[0][1]:.2f} when first measured,"
                 f" {scored[-1][1]:.2f} in the end")
    return text + "."


class LivePlot:
    """Redraws a history in a notebook; `fit` takes it as `on_step`.

    Parameters
    ----------
    seconds : float
        Least time between two drawings.

    Chapter
    -------
    A11 Drawing networks and runs, "How is it doing?".
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
