"""Long runs: chapter A4 of the course.

What must be kept, so that a run that dies goes on as if nothing had happened?

Exported from A4_long_runs.py; edit the chapter, not this file.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import pickle
import random
import signal
import threading
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from seglib import environment

__all__ = [
    "random_state",
    "set_random_state",
    "capture",
    "restore",
    "write_whole",
    "save_checkpoint",
    "load_checkpoint",
    "Exchange",
    "WorkerLost",
    "Membership",
    "World",
    "join",
    "differences",
    "RunFolder",
    "StopRequest",
]


# What does a run know?
# ---------------------

def random_state() -> dict:
    """Where the random numbers of this process stand.

    Returns
    -------
    dict
        Plain numbers and tensors: Python's, NumPy's and PyTorch's
        global generators, and CUDA's once CUDA is in use.

    Chapter
    -------
    A4 Long runs, "What does a run know?".
    """
    kind, key, *rest = np.random.get_state()
    state = {"python": random.getstate(),
             "numpy": (kind, key.tolist(), *rest),
             "torch": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict) -> None:
    """Put the generators back to where `random_state` found them.

    Chapter
    -------
    A4 Long runs, "What does a run know?".
    """
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


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

    Chapter
    -------
    A4 Long runs, "What does a run know?".
    """
    mine = random_state()
    state = {"random": world.gather(mine) if world else [mine]}
    for name, part in parts.items():
        has_state = hasattr(part, "state_dict")
        state[name] = part.state_dict() if has_state else part
    return state


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

    Chapter
    -------
    A4 Long runs, "What does a run know?".
    """
    for name, part in parts.items():
        _restore_part(name, part, state)
    rank = world.rank if world else 0
    set_random_state(state["random"][rank % len(state["random"])])
    return {name: value for name, value in state.items()
            if name not in {"random", *parts}}


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


# When is a file written?
# -----------------------

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

    Chapter
    -------
    A4 Long runs, "When is a file written?".
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

    Chapter
    -------
    A4 Long runs, "When is a file written?".
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: torch.save({_MARK: 1} | state, file))


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

    Chapter
    -------
    A4 Long runs, "When is a file written?".
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


# What is a rank?
# ---------------

class Exchange:
    """What the processes of a run tell each other; see `World`.

    Chapter
    -------
    A4 Long runs, "What is a rank?".
    """

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


class WorkerLost(RuntimeError):
    """Another process of the run is gone, or silent for too long.

    Chapter
    -------
    A4 Long runs, "What is a rank?".
    """


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


class Membership:
    """To be one of the processes of a run, for a while; see `World`.

    Chapter
    -------
    A4 Long runs, "What is a rank?".
    """

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


def _wrapped(model):
    here = next(model.parameters()).device
    if here.type == "cpu":
        return DistributedDataParallel(model)
    return DistributedDataParallel(_synced(model), device_ids=[here])


def _synced(model):
    """BatchNorm over the batches of all; it keeps the hooks it had."""
    hooks = {name: part._forward_pre_hooks
             for name, part in model.named_modules()}
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, part in model.named_modules():
        part._forward_pre_hooks.update(hooks[name])
    return model


def _own_gpu(local):
    there = torch.cuda.device_count()
    if local >= there:
        raise ValueError(
            f"there are more than {local} processes; needed: at most"
            f" {there}, a GPU for each, or SEGLIB_DEVICE=cpu")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


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

    Chapter
    -------
    A4 Long runs, "What is a rank?".
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

    Chapter
    -------
    A4 Long runs, "What is a rank?".
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


# What lies in a run's folder?
# ----------------------------

def differences(known: dict, asked: dict) -> str:
    """Where two settings differ, in words; empty if they do not.

    Examples
    --------
    >>> differences({"lr": 0.1, "seed": 0}, {"lr": 0.2, "seed": 0})
    'lr 0.1, now 0.2'

    Chapter
    -------
    A4 Long runs, "What lies in a run's folder?".
    """
    return "; ".join(f"{key} {known.get(key)!r}, now {asked.get(key)!r}"
                     for key in known | asked
                     if known.get(key) != asked.get(key))


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

    Chapter
    -------
    A4 Long runs, "What lies in a run's folder?".
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


# What if somebody presses Ctrl-C?
# --------------------------------

class StopRequest:
    """Ctrl-C and SIGTERM, noted until the loop has time for them.

    True once somebody has asked. A second Ctrl-C is not noted but
    raised, as ever. In a thread it is never asked.

    Examples
    --------
    >>> with StopRequest() as stop:
    ...     bool(stop)
    False

    Chapter
    -------
    A4 Long runs, "What if somebody presses Ctrl-C?".
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


def _listen(handler):
    """Have signals handled; the handlers that they had before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler)
            for number in (signal.SIGINT, signal.SIGTERM)}
