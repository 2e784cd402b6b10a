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
#     module: runs
#     place: 10.5
# ---

# %% [markdown]
# # Long runs
#
# *What must be kept, so that a run that dies goes on as if nothing had
# happened?*
#
# **You will be able to** pull the plug at any moment and still end at
# the same weights, to the bit; spread a run over several processes
# without changing its loss; and say why many a loop that promises
# either does not.
#
# **You need** `VOID` (chapter 01), the hand-made masks (chapter 02),
# and a training loop in PyTorch that you have seen once before.
#
# **Exports** `random_state`, `set_random_state`, `capture`, `restore`,
# `write_whole`, `save_checkpoint`, `load_checkpoint`, `Exchange`,
# `WorkerLost`, `Membership`, `World`, `join`, `differences`,
# `RunFolder`, `StopRequest`.

# %% tags=["export"]
from __future__ import annotations

import copy
import os
import pickle
import random
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

# %%
import inspect
import subprocess
import sys
import tempfile

import matplotlib.pyplot as plt
import torch.nn.functional as F

from seglib.datasets import SamplePictures
from seglib.display import (STYLE, VOID, describe, figure, paint,
                            show)

plt.rcParams.update(STYLE)
torch.set_num_threads(1)
scratch = Path(tempfile.mkdtemp())

# %% [markdown]
# ## What does a run know?
#
# A run of an hour may die of a power cut, an impatient administrator,
# or a lid that somebody closed. To have something that may die, we let
# a tiny network learn the coins: from a batch of small pieces it is to
# tell coin from cloth.

# %%
coins = SamplePictures()["coins"]

def batch(step, size=4, side=64):
    """Some pieces of the picture, chosen by the step alone."""
    rng = np.random.default_rng(step)
    low, high = (0, 0), np.array(coins.mask.shape) - side
    corners = rng.integers(low, high, (size, 2))
    pieces = [np.s_[y:y + side, x:x + side] for y, x in corners]
    image = np.stack([coins.image[piece] for piece in pieces])
    mask = np.stack([coins.mask[piece] for piece in pieces])
    mask[1::2, :, side // 4:] = VOID        # nobody looked here
    return (torch.tensor(image[:, None] / 255, dtype=torch.float32),
            torch.tensor(mask, dtype=torch.int64))

# %%
def start(seed=0, noise=0.1, norm=nn.Identity):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 12, 7, padding=3), norm(12), nn.ReLU(),
        nn.Dropout2d(noise), nn.Conv2d(12, 2, 7, padding=3))
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.005, total_steps=100)
    return dict(model=model, optimizer=optimizer, scheduler=scheduler)

# %%
def learn(step, model, optimizer, scheduler):
    """One step, and the loss before it."""
    image, mask = batch(step)
    loss = F.cross_entropy(model(image), mask, ignore_index=VOID)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    return loss.item()

# %%
image, mask = batch(0)
pieces = (255 * image[:2, 0]).byte().numpy()
masks = mask[:2].byte().numpy()
show(*pieces, *map(paint, masks), height=130, classes=coins.classes,
     titles=["one piece", "another", "its mask", "its mask"],
     alt=["A piece of the picture with parts of coins."] * 2
     + ["Its mask: " + describe(m, coins.classes) for m in masks])

# %% [markdown]
# Of every second piece three quarters are {term}`void`. That will
# matter later.
#
# `batch` is the first trick of this chapter. Which pieces belong to
# step 17 is not drawn from a generator that has been drawn from sixteen
# times before; it *follows from the number 17*. **What follows from the
# step need not be kept.** Chapter 11 does the same with the order of an
# epoch: it follows from seed and epoch.
#
# Now we stop after 40 of 80 steps and go on, three times: with the
# weights alone, as everybody does at first; with optimiser and schedule
# too; and with everything. What is everything? AdamW remembers two
# running means per weight, the schedule its step. And dropout draws:
# so, where the random numbers stand.

# %% tags=["export"]
def random_state() -> dict:
    """Where the random numbers of this process stand.

    Returns
    -------
    dict
        Plain numbers and tensors: Python's, NumPy's and PyTorch's
        global generators, and CUDA's once CUDA is in use.
    """
    kind, key, *rest = np.random.get_state()
    state = {"python": random.getstate(),
             "numpy": (kind, key.tolist(), *rest),
             "torch": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state

# %% tags=["export"]
def set_random_state(state: dict) -> None:
    """Put the generators back to where `random_state` found them."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])

# %% [markdown]
# Whatever else a run consists of has, in PyTorch, a `state_dict`, or is
# plain numbers: the step, the losses so far. (The `world` in the next
# two cells is for runs of several processes, each of which has random
# numbers of its own; we come to it.)

# %% tags=["export"]
def capture(world: World | None = None, **parts) -> dict:
    """Everything that a run must know to go on, ready to be saved.

    Parameters
    ----------
    world : World, optional
        With several processes: all of them call this.
    **parts
        Whatever has a `state_dict` (model, optimiser, schedule) gives
        that. Anything else is kept as it is: numbers, strings, tensors,
        and lists and dicts of them. Pass the bare model, not what
        `World.wrap` made of it.

    Returns
    -------
    dict
        The parts by name, and "random". Tensors are not copied: save it
        before the next step.

    Examples
    --------
    >>> sorted(capture(model=nn.Linear(2, 1), step=3))
    ['model', 'random', 'step']
    """
    mine = random_state()
    state = {"random": world.gather(mine) if world else [mine]}
    for name, part in parts.items():
        has_state = hasattr(part, "state_dict")
        state[name] = part.state_dict() if has_state else part
    return state

# %% tags=["export"]
def restore(state: dict, world: World | None = None, **parts) -> dict:
    """Put a run back to where `capture` found it.

    Parameters
    ----------
    state : dict
        From `capture`, perhaps through a file.
    world : World, optional
        Gives each process the random numbers of its rank.
    **parts
        The objects whose `load_state_dict` is to be called.

    Returns
    -------
    dict
        What is not in `parts`: step, history, …

    Raises
    ------
    ValueError
        If a part is not in `state`, or does not fit what is.
    """
    for name, part in parts.items():
        _restore_part(name, part, state)
    rank = world.rank if world else 0
    set_random_state(state["random"][rank % len(state["random"])])
    return {name: value for name, value in state.items()
            if name not in {"random", *parts}}

# %% tags=["export"]
def _restore_part(name, part, state):
    if name not in state:
        raise ValueError(f"state holds {', '.join(state)};"
                         f" needed: {name}")
    try:
        part.load_state_dict(copy.deepcopy(state[name]))
    except (RuntimeError, ValueError, KeyError) as error:
        said = " ".join(str(error).split())[:300]
        raise ValueError(f"{name} is not the one that was captured:"
                         f" {said}") from None

# %% [markdown]
# The copy in there is a scar. An optimiser that loads a state keeps
# those very tensors and writes into them, and whoever restores twice
# from one state gets, the second time, something else.

# %%
def run(steps, parts, first=0):
    return [learn(step, **parts) for step in range(first, steps)]

uninterrupted = start()
truth = run(80, uninterrupted)

stopped = start()
run(40, stopped)
kept = copy.deepcopy(capture(**stopped))    # a file would copy it too

# %%
def go_on(*names):
    """Forty steps more, with only these parts put back."""
    parts = start()
    for name in names:
        parts[name].load_state_dict(copy.deepcopy(kept[name]))
    return run(80, parts, first=40)

ways = {"weights": go_on("model"),
        "weights, optimiser, schedule": go_on(*stopped)}
everything = start(seed=99)
restore(kept, **everything)
ways["everything"] = run(80, everything, first=40)

# %%
fig, axes = plt.subplots(1, 3, figsize=(9, 2.6), sharey=True,
                         layout="constrained")
for ax, (name, losses) in zip(axes, ways.items()):
    ax.plot(truth, c="0.6", lw=4, label="never stopped")
    ax.plot(range(40, 80), losses, c="C1", label="went on")
    ax.axvline(40, c="0.5", ls=":")
    ax.set(title=name, xlabel="step", ylim=0)
axes[0].set_ylabel("loss")
axes[2].legend(loc="upper right")
away = [max(abs(np.subtract(losses, truth[40:])))
        for losses in ways.values()]
figure(fig, alt="Loss over 80 steps, stopped at 40, three times. With"
       f" the weights alone the loss leaves the old curve by up to"
       f" {away[0]:.2f}; with optimiser and schedule by {away[1]:.2f};"
       f" with everything by {away[2]:.2f}: the curves are one.")

# %% [markdown]
# The first is the treacherous one. It runs, it even learns; but its
# schedule has started over, AdamW has forgotten how large its gradients
# are, and what the curve shows from there on is a run that nobody asked
# for. The second is a fair run, but another one: dropout drew other
# channels. Only the third is *the* run.
#
# "About the same" would not do as a check, because every one of the
# mistakes above looks about the same for a while. Bits are either
# equal or not.

# %% tags=["nbval-check-output"]
def same(a, b):
    """Whether two models have equal weights, to the bit."""
    return all(map(torch.equal, a.state_dict().values(),
                   b.state_dict().values()))

print([losses == truth[40:] for losses in ways.values()],
      same(everything["model"], uninterrupted["model"]))

# %% [markdown]
# ## When is a file written?
#
# The captured state must get onto a disk, as a {term}`checkpoint`, and
# the plug may be pulled *while* that is going on. A program that opens
# `last.pt` for writing has, in that instant, destroyed the old
# `last.pt`; if it dies before the new one is complete, there is
# neither.
#
# The remedy is old, and is what careful databases and editors do: write
# *beside* the file, make sure that every byte has arrived (`fsync`),
# and let the operating system swap the names, which it does in one
# indivisible act. Both steps are needed: file systems like to do the
# cheap swap first and the expensive bytes later, if nobody asks
# {cite}`pillai2014`.

# %% tags=["export"]
def write_whole(path: str | Path, write: Callable) -> None:
    """Write a file completely, or leave the old one as it was.

    Parameters
    ----------
    path : path
        Replaced in one instant, once everything is on the disk.
    write : callable
        Called with a binary file, open for writing, beside `path`.

    Raises
    ------
    OSError, or what `write` raises
        Then `path` is as it was before.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise

# %%
note = scratch / "note.txt"
write_whole(note, lambda file: file.write(b"the old one"))

def die_half_way(file):
    file.write(b"the ne")
    raise KeyboardInterrupt

try:
    write_whole(note, die_half_way)
except KeyboardInterrupt:
    print(note.read_text(), [path.name for path in scratch.iterdir()])

# %% [markdown]
# Killed outright, it could not even tidy up; then a `note.txt.part`
# stays behind, which the next attempt overwrites.
#
# The second worry is reading. `torch.save` writes Python's *pickle*,
# and a pickle is a small program: whoever loads one runs it. Here is a
# "checkpoint" that says hello. It could as well have deleted your home.

# %%
class Greeting:
    def __reduce__(self):
        return print, ("hello from inside your checkpoint",)

torch.save(Greeting(), scratch / "found_on_the_internet.pt")
torch.load(scratch / "found_on_the_internet.pt", weights_only=False)

# %% [markdown]
# Hence two rules: keep nothing but tensors, numbers, strings, lists and
# dicts, and read nothing else (`weights_only=True`).

# %% tags=["export"]
_MARK = "seglib checkpoint"


def save_checkpoint(path: str | Path, state: dict) -> None:
    """Keep a run's state in a file: whole, or not at all.

    Parameters
    ----------
    path : path
        Its folder is made. A checkpoint that is already there survives
        whatever happens before the new one is complete.
    state : dict
        From `capture`: tensors, numbers, strings, lists, dicts.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: torch.save({_MARK: 1} | state, file))

# %% tags=["export"]
def load_checkpoint(path: str | Path) -> dict:
    """The state in a checkpoint, its tensors on the CPU.

    Parameters
    ----------
    path : path
        Written by `save_checkpoint`. No code in it is ever run.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, or something else than a checkpoint.
    """
    _check_archive(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, KeyError):
        state = None
    if not isinstance(state, dict) or state.pop(_MARK, None) != 1:
        raise ValueError(f"path is {str(path)!r}, which is no"
                         " checkpoint of seglib.runs")
    return state

# %% [markdown]
# Since 2020 such a file has been a zip archive, and an archive knows
# the checksum of each of its members. PyTorch does not look at them, so
# we do: a disk can lie, too.

# %% tags=["export"]
def _check_archive(path):
    try:
        with zipfile.ZipFile(path) as archive:
            fault = archive.testzip()
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError,
            NotImplementedError) as error:
        fault = error
    if fault is not None:
        raise ValueError(f"path is {str(path)!r}, which is damaged:"
                         f" {fault}")

# %%
save_checkpoint(scratch / "whole.pt", kept)
data = (scratch / "whole.pt").read_bytes()
(scratch / "torn.pt").write_bytes(data[:len(data) // 2])

for name in ("torn.pt", "found_on_the_internet.pt"):
    try:
        load_checkpoint(scratch / name)
    except ValueError as error:
        print(str(error).replace(str(scratch), "…"))

# %% [markdown]
# ## Pull the plug
#
# Now in earnest. The loop below goes on from what it finds, keeps
# everything after every tenth step, and writes each loss to its
# standard output, so that we can watch.

# %%
def train(folder, steps=80):
    last, parts = Path(folder) / "last.pt", start()
    done = (restore(load_checkpoint(last), **parts)["done"]
            if last.exists() else 0)
    for step in range(done, steps):
        print(step, learn(step, **parts), flush=True)
        if (step + 1) % 10 == 0:
            save_checkpoint(last, capture(**parts, done=step + 1))

# %% [markdown]
# Something that is to be killed must be a process of its own. So the
# cells above become a script, word for word:

# %%
HEAD = """
import os, sys, torch
import numpy as np
import torch.nn.functional as F
from pathlib import Path
from torch import nn
from seglib.datasets import SamplePictures
from seglib.display import VOID
from seglib.runs import *
torch.set_num_threads(1)
coins = SamplePictures()["coins"]
"""

# %%
def script(name, *functions, call):
    """A file with these functions of the notebook, and a call."""
    path = scratch / name
    path.write_text("\n".join(
        [HEAD, *map(inspect.getsource, functions), call]))
    return str(path)

# %%
def life(folder, until):
    """Steps and losses of a process, shot when it has reached one."""
    command = [sys.executable, plug, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE,
                          text=True) as process:
        seen = []
        for line in process.stdout:
            step, loss = line.split()
            seen.append((int(step), float(loss)))
            if int(step) == until:
                process.kill()              # no handler, no goodbye
    return np.array(seen)

plug = script("plug.py", batch, start, learn, train,
              call="train(sys.argv[1])")

# %%
lives = [life(scratch / "run", until) for until in (43, None)]

last = start()
restore(load_checkpoint(scratch / "run" / "last.pt"), **last)
assert same(last["model"], uninterrupted["model"])

# %%
fig, ax = plt.subplots(figsize=(6, 3))
ax.plot(truth, c="0.75", lw=5, label="never stopped")
for n, seen in enumerate(lives, 1):
    ax.plot(*seen.T, marker=".", ms=3, lw=1, label=f"life {n}")
    ax.plot(*seen[-1], "x", c=f"C{n - 1}", ms=9)
ax.set(xlabel="step", ylabel="loss", ylim=0)
ax.legend(loc="upper right")
spans = [f"{int(s[0, 0])} to {int(s[-1, 0])}" for s in lives]
figure(fig, alt="The loss of one run in two lives, the first ended by"
       f" kill -9: steps {', '.join(spans)}. All points lie on the"
       " thick grey line of the run that was never stopped.")

# %% [markdown]
# Two lives, one curve. The few steps between the last checkpoint and
# the shot are done twice, and come out the same twice: that is what a
# crash costs, and keeping the state more often makes it cheaper. The
# tests of this chapter shoot at random moments, in the middle of a
# write, and between write and swap.
#
# ```{note}
# *To the bit* holds on the same machine with the same versions and the
# same number of threads. Sums in another order round otherwise; and on
# a GPU some operations add in whatever order their threads arrive.
# ```

# %% [markdown]
# ## What is a rank?
#
# With several processors, or several GPUs, we can share the work: each
# process takes a part of every batch, computes the gradient of its
# part, all gradients are averaged, and everyone takes the same step, so
# that all copies of the model stay equal. The number of a process is
# its {term}`rank`, and rank 0 is the one that writes files. (There is
# no master otherwise; ranks are equals who meet once a step.)
#
# Will the loss be the same as with one process? Take four pixels with
# these losses, three of which lie with one rank and one with the other:

# %%
first, second = np.array([1.0, 1.0, 1.0]), np.array([5.0])
whole = np.concatenate([first, second])

print("mean of all      ", whole.mean())
print("mean of the means", (first.mean() + second.mean()) / 2)

# %% [markdown]
# The mean of means gives the lone pixel the weight of three. In
# segmentation that is the rule and not the exception, for `VOID` leaves
# every part another number of pixels. Each rank must divide the *sum*
# of its losses by the number of pixels that **all** of them have, $n$,
#
# $$\frac{1}{n}\sum_{r}\sum_{i \in r} \ell_i
#   = \frac{1}{R} \sum_{r} \underbrace{\frac{R}{n} \sum_{i \in r}
#     \ell_i}_{\text{loss of rank } r},$$
#
# and because PyTorch *averages* the gradients of the $R$ ranks instead
# of adding them, the loss carries a factor $R$ that the average takes
# away again.

# %%
n, ranks = len(whole), 2
losses = [ranks * part.sum() / n for part in (first, second)]
assert np.mean(losses) == whole.mean()

# %% [markdown]
# So ranks must be able to add a number up. What they say to each other
# is an {term}`all-reduce`: each brings a tensor, each leaves with the
# sum. In a world of one, nobody needs to be asked.

# %% tags=["export"]
from dataclasses import dataclass
from datetime import timedelta

import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from seglib import environment

# %% tags=["export"]
class Exchange:
    """What the processes of a run tell each other; see `World`."""

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum over the processes, the same in all; no gradient."""
        if self.size > 1:
            tensor = tensor.detach().clone()
            dist.all_reduce(tensor)
        return tensor

    def any(self, wish) -> bool:
        """Whether one of the processes wishes so."""
        return bool(self.sum(torch.tensor(int(bool(wish)))))

    def gather(self, value) -> list:
        """What each of the processes has, by rank."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def share(self, value):
        """What rank 0 has, for all; each of them calls it."""
        return self.gather(value)[0]

# %% [markdown]
# Every one of these is a meeting: a rank that does not come lets the
# others wait. If it is dead, the operating system closes its
# connections and the others learn it at once. If it merely hangs,
# nobody learns it, unless somebody has set a limit to waiting. Either
# way the error comes from deep inside and has many shapes; we give it
# one.

# %% tags=["export"]
class WorkerLost(RuntimeError):
    """Another process of the run is gone, or silent for too long."""


def _lost(world, error):
    """The error for a lost process, if `error` comes from that."""
    network = isinstance(error, RuntimeError) and "gloo" in str(error)
    if not network and not isinstance(error, dist.DistError):
        return None
    said = str(error).split("] ", 1)[-1].split(". ")[0]
    return WorkerLost(
        f"rank {world.rank} of {world.size}: another process of the"
        f" run is gone or silent ({said}); the last checkpoint is"
        " whole: start again to go on")

# %% tags=["export"]
class Membership:
    """To be one of the processes of a run, for a while; see `World`."""

    def leave(self) -> None:
        """End the conversation; the process goes on alone."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if self.size > 1 and (lost := _lost(self, error)):
            raise lost from None
        self.leave()

# %% [markdown]
# Averaging the gradients, at last, is PyTorch's own
# `DistributedDataParallel`, which sends the first gradients on their
# way while the later ones are still being computed. There is nothing to
# improve by hand.

# %% tags=["export"]
def _wrapped(model):
    here = next(model.parameters()).device
    if here.type == "cpu":
        return DistributedDataParallel(model)
    return DistributedDataParallel(_synced(model), device_ids=[here])

# %% tags=["export"]
def _synced(model):
    """BatchNorm over the batches of all; it keeps the hooks it had."""
    hooks = {name: part._forward_pre_hooks
             for name, part in model.named_modules()}
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, part in model.named_modules():
        part._forward_pre_hooks.update(hooks[name])
    return model

# %% tags=["export"]
def _own_gpu(local):
    there = torch.cuda.device_count()
    if local >= there:
        raise ValueError(
            f"there are more than {local} processes; needed: at most"
            f" {there}, a GPU for each, or SEGLIB_DEVICE=cpu")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)

# %% tags=["export"]
@dataclass(frozen=True)
class World(Exchange, Membership):
    """The processes of a run, seen from one of them; `join` makes one.

    As a context manager it leaves in the end, and turns the many errors
    that a lost process causes into `WorkerLost`.

    Parameters
    ----------
    rank : int
        Which of the processes this is, from 0.
    size : int
        How many there are; 1 without `torchrun`, and then every method
        returns what it is given.
    local : int
        Which of those on this machine: the number of its GPU.

    Examples
    --------
    >>> World().part([3, 1, 2]), World(rank=1, size=2).part([3, 1, 2])
    ([3, 1, 2], [1])
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    main = property(lambda self: self.rank == 0,
                    doc="Whether this is the one that writes files.")

    def part(self, items):
        """This one's share: every `size`-th, from `rank` on."""
        return items[self.rank::self.size]

    def device(self, prefer=None) -> torch.device:
        """As `environment.device`; of several GPUs each has its own."""
        device = environment.device(prefer)
        alone = self.size == 1 or device.type == "cpu"
        return device if alone else _own_gpu(self.local)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model, its gradients averaged over the processes.

        Parameters
        ----------
        model : nn.Module
            On its device. On GPUs its batch normalisation will look at
            the whole batch (the layers are replaced); on CPUs PyTorch
            has none that can, and each process normalises its part.

        Returns
        -------
        nn.Module
            `model` itself, or it in PyTorch's DistributedDataParallel.
        """
        return model if self.size == 1 else _wrapped(model)

# %% [markdown]
# `torchrun` starts the processes and tells each, in variables of its
# environment, who it is and where the others are to be met. The
# meeting place outlives the processes, and after a restart the dead
# ones' addresses still hang there (a known trap: PyTorch's issue
# 135712); so each life of a run gets a corner of its own.

# %% tags=["export"]
def join(timeout: float = 600) -> World:
    """Join the other processes of this run, if `torchrun` started them.

    Parameters
    ----------
    timeout : float
        Seconds without a sign of the others after which they count as
        lost. Longer than anything that one process does alone.

    Returns
    -------
    World
        Of size 1, at no cost, in a process that was started alone.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if not dist.is_torchelastic_launched() or size == 1:
        return World()
    if not dist.is_initialized():
        limit = timedelta(seconds=timeout)
        store, rank, size = next(dist.rendezvous("env://",
                                                 timeout=limit))
        life = os.environ["TORCHELASTIC_RESTART_COUNT"]
        dist.init_process_group(
            store=dist.PrefixStore(life, store), rank=rank,
            world_size=size, timeout=limit)
    return World(dist.get_rank(), size, int(os.environ["LOCAL_RANK"]))

# %% [markdown]
# ## Does the loss stay the same?
#
# The same thirty steps, three ways: right; with the mean of the means;
# and right again, but with batch normalisation in the network. Dropout
# is off, for each rank would draw its own.

# %%
def shared_steps(world, right=True, norm=nn.Identity, steps=30):
    parts, losses = start(noise=0, norm=norm), []
    model = world.wrap(parts["model"])
    for step in range(steps):
        image, mask = map(world.part, batch(step))
        count = (mask != VOID).sum()
        if right:
            count = world.sum(count) / world.size
        loss = F.cross_entropy(model(image), mask, reduction="sum",
                               ignore_index=VOID) / count
        parts["optimizer"].zero_grad()
        loss.backward()
        parts["optimizer"].step()
        losses.append(world.sum(loss.detach()).item() / world.size)
    return losses

# %%
def three_ways(world):
    return [shared_steps(world), shared_steps(world, right=False),
            shared_steps(world, norm=nn.BatchNorm2d)]

call = """
with join(timeout=60) as world:
    found = three_ways(world)
    if world.main:
        save_checkpoint(sys.argv[1], {"losses": found})
"""
two = script("two.py", batch, start, shared_steps, three_ways,
             call=call)

# %%
def torchrun(path, *arguments, options=()):
    """Start a script in two processes; what they print to stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *options,
         "--standalone", "--nproc-per-node=2", path, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120)
    return done.stderr

said = torchrun(two, str(scratch / "two.pt"))
by_two = load_checkpoint(scratch / "two.pt")["losses"]
by_one = three_ways(World())

# %%
names = ("divided by all pixels", "mean of the means",
         "with batch normalisation")
apart = np.abs(np.subtract(by_two, by_one))

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3),
                                  layout="constrained")
left.plot(by_one[0], c="0.75", lw=5, label="one process")
left.plot(by_two[0], c="C0", label="two, " + names[0])
left.plot(by_two[1], c="C1", label="two, " + names[1])
for name, difference in zip(names, apart):
    right.semilogy(difference + 1e-9, label=name)
left.set(xlabel="step", ylabel="loss")
right.set(xlabel="step", ylabel="difference to one process")
left.legend(loc="lower left")
right.legend(loc="center right")
figure(fig, alt="Loss of one and of two processes over thirty steps."
       + "".join(f" Two processes, {name}: up to {most:.0e} away."
                 for name, most in zip(names, apart.max(axis=1))))

# %% tags=["nbval-check-output"]
print([bool(most < 1e-4) for most in apart.max(axis=1)])

# %% [markdown]
# Divided by all pixels, two processes differ from one by rounding and
# nothing else. The mean of the means learns something slightly
# different, and would go on unnoticed.
#
# **What went wrong?** Batch normalisation. It looks at mean and spread
# of the batch, and each rank sees half of it. On GPUs `wrap` swaps in
# PyTorch's layers that compute them together; on CPUs there are none.
# The result is not a wrong network, but one that was trained with a
# smaller batch than you think.

# %% [markdown]
# ## What lies in a run's folder?
#
# A run leaves more than its state: what was asked for, a table of how
# it went, and the best weights, which are seldom the last. Two rules
# make the folder trustworthy. A run does not begin where another lies,
# and does not go on where something else was asked for: nothing is
# overwritten silently, and no curve is half one thing, half another.

# %% tags=["export"]
import csv
import io
import json

# %% tags=["export"]
def differences(known: dict, asked: dict) -> str:
    """Where two settings differ, in words; empty if they do not.

    Examples
    --------
    >>> differences({"lr": 0.1, "seed": 0}, {"lr": 0.2, "seed": 0})
    'lr 0.1, now 0.2'
    """
    return "; ".join(f"{key} {known.get(key)!r}, now {asked.get(key)!r}"
                     for key in known | asked
                     if known.get(key) != asked.get(key))

# %% tags=["export"]
def _claim(folder, config, resume):
    """Why a run may not begin or go on here, or None if it may."""
    asked = json.loads(json.dumps(config))
    if not folder.config.exists():
        folder.path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asked, indent=1).encode()
        return write_whole(folder.config, lambda f: f.write(text))
    if not resume:
        return FileExistsError(f"folder {str(folder.path)!r} holds a"
                               " run; needed: another one, or resume")
    known = json.loads(folder.config.read_text(encoding="utf-8"))
    fault = differences(known, asked)
    return ValueError(f"folder {str(folder.path)!r} holds another run:"
                      f" {fault}") if fault else None

# %% [markdown]
# The second rule is about order. A checkpoint is written whole or not
# at all, but two files are not: between them, too, the plug can be
# pulled. The best weights go first. If the run dies after them, it goes
# on from the older state, finds the same weights best again, and writes
# the same file. The other way round `last.pt` would remember a best
# that no file has.

# %% tags=["export"]
def _save(folder, state, best):
    if best:
        save_checkpoint(folder.best, {
            name: value for name, value in state.items()
            if name not in ("optimizer", "scheduler", "random")})
    save_checkpoint(folder.last, state)
    if rows := state.get("history"):
        text = io.StringIO(newline="")
        names = dict.fromkeys(name for row in rows for name in row)
        table = csv.DictWriter(text, names)
        table.writeheader()
        table.writerows(rows)
        write_whole(folder.history, lambda file: file.write(
            text.getvalue().encode()))

# %% tags=["export"]
class RunFolder:
    """The files of one run.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    config : Path
        `config.json`: what was asked for.
    history : Path
        `history.csv`: a row per epoch.
    last, best : Path
        `last.pt`: everything, to go on. `best.pt`: the best weights,
        under "model".
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config, self.history, self.last, self.best = (
            self.path / name for name in (
                "config.json", "history.csv", "last.pt", "best.pt"))

    def begin(self, config: dict, resume: bool = False,
              world: World = World()) -> dict | None:
        """Start a run here, or go on with the one that is here.

        Parameters
        ----------
        config : dict
            All that decides how the run goes; numbers and strings.
        resume : bool
            Whether to go on, if there is something to go on with.
        world : World
            With several processes, all of them call this.

        Returns
        -------
        dict or None
            The state in `last.pt`; None if the run begins.

        Raises
        ------
        FileExistsError
            If there is a run here, and `resume` is false.
        ValueError
            If the run that is here was asked for otherwise.
        """
        fault = _claim(self, config, resume) if world.main else None
        if fault := world.share(fault):
            raise fault
        there = self.last.exists()
        return load_checkpoint(self.last) if there else None

    def save(self, state: dict, best: bool = False) -> None:
        """Keep the run's state; only the main process calls this.

        Parameters
        ----------
        state : dict
            From `capture`: with "model", and, if there is one,
            "history", a list of dicts.
        best : bool
            Whether these are the best weights so far.
        """
        _save(self, state, best)

# %% [markdown]
# ## What if somebody presses Ctrl-C?
#
# Python turns Ctrl-C into an exception, at once, wherever it happens to
# be: perhaps in the middle of `optimizer.step()`, with half of the
# weights moved. Nothing that is kept then can be trusted. A loop is
# ready to be stopped once per step, and should be asked then. The same
# goes for SIGTERM, which a cluster sends some seconds before it pulls
# the plug.

# %% tags=["export"]
import signal
import threading

# %% tags=["export"]
class StopRequest:
    """Ctrl-C and SIGTERM, noted until the loop has time for them.

    True once somebody has asked. A second Ctrl-C is not noted but
    raised, as ever. In a thread it is never asked.

    Examples
    --------
    >>> with StopRequest() as stop:
    ...     bool(stop)
    False
    """

    asked = False

    def __bool__(self):
        return self.asked

    def __enter__(self):
        self.before = _listen(self._note)
        return self

    def _note(self, number, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, kind, error, traceback):
        for number, handler in self.before.items():
            signal.signal(number, handler)

# %% tags=["export"]
def _listen(handler):
    """Have signals handled; the handlers that they had before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler)
            for number in (signal.SIGINT, signal.SIGTERM)}

# %%
with StopRequest() as stop:
    signal.raise_signal(signal.SIGINT)
    assert stop                             # noted; we are still here

# %% [markdown]
# ## A loop that survives
#
# Now everything in one loop: the shape of the one in chapter 11. It
# claims its folder, goes on from what it finds, shares the work, asks
# once per step whether to stop, and keeps its state.

# %%
def survive(world, folder, accident=None, steps=40):
    run, parts = RunFolder(folder), start()
    state = run.begin({"steps": steps}, resume=True, world=world)
    history = restore(state, world, **parts)["history"] if state else []
    net = world.wrap(parts["model"])
    with StopRequest() as stop:
        for step in range(len(history), steps):
            die_at(world, step == accident)
            loss = shared_step(world, step, net, **parts)
            history.append({"step": step, "loss": loss})
            if world.any(stop) or (step + 1) % 5 == 0:
                state = capture(world, **parts, history=history)
                world.main and run.save(state)
            if world.any(stop):
                raise KeyboardInterrupt

# %%
def shared_step(world, step, net, model, optimizer, scheduler):
    image, mask = map(world.part, batch(step))
    count = world.sum((mask != VOID).sum()) / world.size
    loss = F.cross_entropy(net(image), mask, reduction="sum",
                           ignore_index=VOID) / count
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    return world.sum(loss.detach()).item() / world.size

def die_at(world, now):
    """Rank 1 has an accident, in its first life only."""
    first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if now and first and world.rank == 1:
        os.kill(os.getpid(), 9)

# %% [markdown]
# Two runs, one of which loses rank 1 at step 23. `--max-restarts=1`
# does what you would do by hand: when a process is lost, `torchrun`
# stops the others and starts all of them again. Dropout is back: the
# two ranks drop different channels, and each must get its own random
# numbers back.

# %%
call = """
with join(timeout=60) as world:
    survive(world, sys.argv[1] + "/lucky")
    survive(world, sys.argv[1] + "/unlucky", accident=23)
"""
fates = script("fates.py", batch, start, die_at, shared_step, survive,
               call=call)
said = torchrun(fates, str(scratch), options=["--max-restarts=1"])
print(next((line[:170] for line in said.splitlines()
            if "WorkerLost:" in line), "torchrun was faster"))

# %% tags=["nbval-check-output"]
ends = [load_checkpoint(scratch / name / "last.pt")
        for name in ("unlucky", "lucky")]
print(len(ends[0]["history"]), ends[0]["history"] == ends[1]["history"],
      all(torch.equal(ends[0]["model"][name], weight)
          for name, weight in ends[1]["model"].items()))

# %% [markdown]
# Forty steps, one death, and every loss and every weight as if there
# had been none.
#
# ## Recap
#
# - A run is its weights, its optimiser, its schedule, where it is, and
#   where its random numbers stand; what follows from the step need not
#   be kept.
# - A file is written beside, flushed, and swapped in; the best weights
#   first, the state last.
# - Equal to the bit is the only check of a resume that cannot lie.
# - Ranks share a batch; each divides by the pixels of all of them, and
#   PyTorch averages the gradients.
# - Batch normalisation and dropout see a rank's own part.
#
# ## Exercises
#
# ```{exercise}
# :label: order-from-generator
# Let `batch` draw from one global NumPy generator instead of from
# `default_rng(step)`. Which of the three ways to go on is still exact?
# And if the generator is `np.random.default_rng(0)`, made once?
# ```
#
# ```{dropdown} Hint
# `random_state` knows the *global* generators. Who knows the other?
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} order-from-generator
# :class: dropdown
# ````

# %% tags=["solution"]
np.random.seed(0)
before = random_state()
drawn = np.random.random(), np.random.default_rng(0).random()
set_random_state(before)
assert np.random.random() == drawn[0]

own = np.random.default_rng(0)
own.random()
set_random_state(before)
assert own.random() != drawn[1]             # it has gone on

# %% [markdown] tags=["solution"]
# With the global generator "everything" stays exact. A generator of
# one's own must be kept by whoever has it: `own.bit_generator.state` is
# a dict of plain numbers and may go into `capture`. It is easier not to
# have one.
# ````{solution-end}
# ````

# %% [markdown]
# ```{exercise}
# :label: how-often
# Saving takes $s$ seconds, and machines die on average every $m$
# seconds. How often should a run save? Write down what an hour loses to
# saving and to repeated steps, and find the minimum.
# ```
#
# ```{dropdown} Hint
# Every $t$ seconds: $s/t$ of the time goes into saving, and a crash
# costs $t/2$ on average. The answer has a square root in it.
# ```
#
# ```{exercise}
# :label: sync-by-hand
# `world.sum` could make batch normalisation exact on CPUs too: add up
# the sums and the sums of squares of all ranks. Why would the network
# still learn something slightly different? (What does the gradient of
# `world.sum` say?)
# ```
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
