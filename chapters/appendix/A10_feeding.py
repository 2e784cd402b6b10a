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
#     module: feeding
#     place: 10.6
# ---

# %% [markdown]
# # Feeding a network
#
# *How do samples become batches, and how is it the same tomorrow?*
#
# Between a data set and a training loop stands some plumbing: in which
# order, checked by whom, kept where. Chapter 11 only uses it; here is
# how it works.

# %% tags=["export"]
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from seglib.display import VOID
from seglib.runs import World

# %%
from seglib.datasets import Sample

# %% [markdown]
# ## Which pictures next?
#
# Every picture once, then every picture again in another order. If a
# run is killed in the middle of a round and resumed, it must not see
# the first half twice. So the order is a **pure function of the seed
# and the number of the step**: picture an endless row of shuffled decks
# of which step $s$ takes the places $sB$ to $sB + B - 1$. To go on, one
# number is enough. And of several processes each takes its own part of
# the same $B$ places.

# %% tags=["export"]
@lru_cache(maxsize=2)
def _deck(n, seed, turn):
    return np.random.default_rng((seed, turn)).permutation(n)


def draws(n: int, batch_size: int, seed: int, start: int, stop: int,
          world: World = World()) -> Iterator[list[tuple[int, int]]]:
    """Which pictures the steps `start` to `stop` see.

    Parameters
    ----------
    n : int
        How many pictures there are.
    batch_size : int
        Of all processes together.
    seed, start, stop : int
    world : World
        Which of several processes this is.

    Yields
    ------
    list of (place, index)
        Place in the endless row, and which picture lies there.

    Examples
    --------
    >>> [[index for _, index in draw] for draw in draws(3, 2, 0, 0, 3)]
    [[2, 0], [1, 2], [0, 1]]
    """
    first = world.rank * batch_size // world.size
    last = (world.rank + 1) * batch_size // world.size
    for step in range(start, stop):
        places = range(step * batch_size + first,
                       step * batch_size + last)
        yield [(place, int(_deck(n, seed, place // n)[place % n]))
               for place in places]

# %% tags=["nbval-check-output"]
seen = [index for draw in draws(6, 4, 0, 0, 3) for _, index in draw]
print(sorted(seen[:6]), sorted(seen[6:]))
assert list(draws(6, 4, 0, 0, 9))[5:] == list(draws(6, 4, 0, 5, 9))
parts = [next(draws(6, 4, 0, 2, 3, World(r, 2))) for r in (0, 1)]
assert parts[0] + parts[1] == next(draws(6, 4, 0, 2, 3))

# %% [markdown]
# ## What may come in?
#
# A label that is no class makes a GPU fail far away from the cause,
# with a message about indices and assertions. So it is looked for
# *before*, where its picture still has a name. Images stay bytes until
# the last moment, a quarter of the memory, in the order in which
# NumPy has them: rows, columns, colours. That happens to be the order
# (`channels_last`) in which convolutions run fastest on most hardware.

# %% tags=["export"]
def check_labels(mask: np.ndarray, classes: int, name="") -> None:
    """Raise a ValueError if a label is neither a class nor VOID.

    Parameters
    ----------
    mask : (H, W) integer array
    classes : int
        Labels 0..classes-1 are good.
    name : str
        Of the sample, for the message.

    Examples
    --------
    >>> check_labels(np.array([[0, 255]]), 2)
    >>> check_labels(np.array([[0, 7]]), 2, "a")
    Traceback (most recent call last):
    ValueError: mask of 'a' holds the label 7; needed: 0 to 1, or 255
    """
    wrong = mask[(mask >= classes) & (mask != VOID)]
    if wrong.size:
        raise ValueError(f"mask of {name!r} holds the label {wrong[0]};"
                         f" needed: 0 to {classes - 1}, or {VOID}")

# %% tags=["export"]
def as_input(images: torch.Tensor, channels_last=True) -> torch.Tensor:
    """(N, H, W, C) bytes as (N, C, H, W) floats from 0 to 1."""
    floats = images.permute(0, 3, 1, 2).float().div_(255)
    return floats if channels_last else floats.contiguous()

# %%
two = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
assert as_input(two).is_contiguous(memory_format=torch.channels_last)
assert as_input(two).max() <= 1

# %% tags=["export"]
class Reader(TorchDataset):
    """Samples as tensors of bytes, their labels checked.

    Parameters
    ----------
    data : sequence of samples
    classes : int
        Labels from `classes` on are an error, but for VOID.
    crop : (height, width), optional
        Cuts a window at random from each; what sticks out is VOID.
    seed : int
        For the windows.
    """

    def __init__(self, data, classes=VOID, crop=None, seed=0):
        self.data, self.classes = data, classes
        self.crop, self.seed, self.kept = crop, seed, None

    def read(self, index: int):
        """Image (H, W, C) and mask (H, W) of one sample."""
        return _as_bytes(self.data[index], self.classes)

    def __getitem__(self, draw: tuple[int, int]):
        place, index = draw
        pair = self.kept[index] if self.kept else self.read(index)
        if self.crop is None:
            return pair
        rng = np.random.default_rng((self.seed, place))
        return _cut(*pair, self.crop, rng)

# %% tags=["export"]
def _as_bytes(sample, classes):
    check_labels(sample.mask, classes, sample.name)
    if sample.image.dtype != np.uint8:
        raise TypeError(f"image of {sample.name!r} has dtype"
                        f" {sample.image.dtype}; needed: uint8")
    image = np.atleast_3d(sample.image)
    return torch.tensor(image), torch.tensor(sample.mask)

# %% tags=["export"]
def _cut(image, mask, crop, rng):
    """A window at random; beyond the image it is black, and VOID."""
    down, right = (max(0, c - n) for c, n in zip(crop, mask.shape))
    image = F.pad(image, (0, 0, 0, right, 0, down))
    mask = F.pad(mask, (0, right, 0, down), value=VOID)
    y, x = (int(rng.integers(n - c + 1))
            for c, n in zip(crop, mask.shape))
    window = np.s_[y:y + crop[0], x:x + crop[1]]
    return image[window], mask[window]

# %% tags=["export"]
def stack(pairs):
    """Images and masks of one size, each as one tensor.

    Parameters
    ----------
    pairs : sequence of (image, mask)

    Raises
    ------
    ValueError
        If there are several sizes.
    """
    images, masks = zip(*pairs)
    sizes = sorted({tuple(mask.shape) for mask in masks})
    if len(sizes) > 1:
        raise ValueError(f"images have several sizes, as {sizes[0]} and"
                         f" {sizes[-1]}; needed: one size, or"
                         " crop=(height, width)")
    return torch.stack(images), torch.stack(masks)

# %% [markdown]
# A pixel keeps its label wherever the window lies. To see it, number
# the pixels, and let the mask say the same as the image:

# %%
numbered = np.arange(12 * 9, dtype=np.uint8).reshape(12, 9)
reader = Reader([Sample(numbered, numbered, "numbered")], crop=(8, 16))
for place in range(20):
    image, mask = reader[place, 0]
    assert mask.shape == (8, 16) and (mask[:, 9:] == VOID).all()
    assert image[:, :9, 0].equal(mask[:, :9])

# %% [markdown]
# ## Where do the pictures live?
#
# A set that fits is read once and stays on the device; every batch is
# then a matter of indexing. A larger one is read by worker processes
# while the device computes. A gigabyte is the limit on a CPU, a quarter
# of the free memory on a GPU. (CamVid at half its size takes 60 MB.)

# %% tags=["export"]
def _room(device):
    return (torch.cuda.mem_get_info(device)[0] // 4
            if device.type == "cuda" else 2**30)


def keep(reader: Reader, device, room: float | None = None) -> bool:
    """Read a set that is small enough once, and hold it on the device.

    Parameters
    ----------
    reader : Reader
    device : torch.device
    room : float, optional
        Bytes that may be taken. The first sample tells how many each
        will need.

    Returns
    -------
    bool
        Whether it fitted, and is kept now.
    """
    n, room = len(reader.data), _room(device) if room is None else room
    needed = n * sum(x.numel() for x in reader.read(0))
    if needed > room:
        return False
    reader.kept = [tuple(x.to(device) for x in reader.read(index))
                   for index in range(n)]
    return True

# %% tags=["export"]
def batches(reader: Reader, order, device, workers: int = 0,
            context: str | None = None):
    """Batches on a device, (N, H, W, C) and (N, H, W) bytes.

    Parameters
    ----------
    reader : Reader
    order : iterable of lists of (place, index)
        From `draws`.
    device : torch.device
    workers : int
        Processes that read, if the reader has kept nothing.
    context : {"fork", "spawn"}, optional
        How they are started.
    """
    if reader.kept:
        for draw in order:
            yield stack([reader[one] for one in draw])
        return
    loader = DataLoader(
        reader, batch_sampler=order, collate_fn=stack,
        num_workers=workers, pin_memory=device.type == "cuda",
        multiprocessing_context=context if workers else None)
    for pair in loader:
        yield tuple(x.to(device, non_blocking=True) for x in pair)

# %% [markdown]
# Both ways give the same batches:

# %%
cpu = torch.device("cpu")
data = [Sample(numbered + i, numbered, str(i)) for i in range(5)]
read, kept = Reader(data, crop=(4, 4)), Reader(data, crop=(4, 4))
assert keep(kept, cpu) and not keep(read, cpu, room=100)
both = [list(batches(reader, draws(5, 3, 0, 0, 4), cpu))
        for reader in (read, kept)]
assert all(a.equal(b) for pairs in zip(*both)
           for a, b in zip(*pairs))

# %% [markdown]
# **What went wrong?** Worker processes. *Forked* ones inherit whatever
# the parent was doing, and a library whose threads the parent has used
# may wait in them for ever, or die; *spawned* ones start clean, import
# everything anew, and can only be given what can be pickled: no
# functions from a notebook, no lambdas. The tests run both.

