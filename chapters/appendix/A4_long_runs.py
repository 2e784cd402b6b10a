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
#       gpu: 0.7
#       laptop: 0.7
#     module: runs
#     place: 10.5
# ---

# %% [markdown]
# # Long runs
#
# *What must be kept, so that a run that dies goes on as if nothing had
# happened?*
#
# **You will be able to** pull the plug at any moment and end at the
# same weights, to the bit; spread a run over several processes without
# changing its loss; and say why most loops that claim either do not.
#
# **You need** masks and `VOID` (chapter 01), the hand-made masks
# (chapter 02), and to have seen a training loop in PyTorch once.
#
# **Exports** `random_state`, `set_random_state`, `capture`, `restore`,
# `write_whole`, `save_checkpoint`, `load_checkpoint`, `World`, `join`,
# `WorkerLost`, `RunFolder`, `StopRequest`.

# %% tags=["export"]
from __future__ import annotations

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


def set_random_state(state: dict) -> None:
    """Put the generators back to where `random_state` found them."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])

# %% tags=["export"]
def capture(world: World | None = None, **parts) -> dict:
    """Everything that a run must know to go on, ready to be saved.

    Parameters
    ----------
    world : World, optional
        With several processes: all of them call this, for each has
        random numbers of its own.
    **parts
        Whatever has a `state_dict` (model, optimiser, schedule, grad
        scaler) gives that. Anything else is kept as it is: numbers,
        strings, tensors, and lists and dicts of them. Pass the bare
        model, not what `World.wrap` made of it.

    Returns
    -------
    dict
        The parts by name, and "random". Tensors are not copied: save
        it before the next step.

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
        if name not in state:
            raise ValueError(f"state holds {', '.join(state)};"
                             f" needed: {name}")
        try:
            part.load_state_dict(state[name])
        except (RuntimeError, ValueError, KeyError) as error:
            said = " ".join(str(error).split())[:300]
            raise ValueError(f"{name} is not the one that was"
                             f" captured: {said}") from None
    rank = world.rank if world else 0
    set_random_state(state["random"][rank % len(state["random"])])
    return {name: value for name, value in state.items()
            if name not in {"random", *parts}}

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
    if not Path(path).is_file():
        raise FileNotFoundError(f"path is {str(path)!r}; there is no"
                                " checkpoint")
    try:
        state = _read_checkpoint(path)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError,
            NotImplementedError) as error:
        fault = f"cannot be read ({error})"
    except (pickle.UnpicklingError, RuntimeError, KeyError):
        fault = "holds other things than tensors and numbers"
    else:
        if isinstance(state, dict) and state.pop(_MARK, None) == 1:
            return state
        fault = "is no checkpoint of seglib.runs"
    raise ValueError(f"path is {str(path)!r}, which {fault}")


def _read_checkpoint(path):
    with zipfile.ZipFile(path) as archive:
        if (name := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {name}")
    return torch.load(path, map_location="cpu", weights_only=True)

# %% tags=["export"]
class WorkerLost(RuntimeError):
    """Another process of the run is gone, or has been silent too long."""


@dataclass(frozen=True)
class World:
    """The processes of a run, seen from one of them.

    `join` makes one. As a context manager it leaves in the end, and
    turns the many errors that a lost process causes into `WorkerLost`.

    Parameters
    ----------
    rank : int
        Which of the processes this is, from 0.
    size : int
        How many there are; 1 without `torchrun`, and then every method
        returns what it is given.
    local : int
        Which of the processes on this machine: the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    main = property(lambda self: self.rank == 0, doc="Whether it is"
                    " this one that writes and prints.")

    def part(self, items):
        """Every `size`-th item, from `rank` on: this one's share."""
        return items[self.rank::self.size]

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum over the processes, the same in all; not differentiated.
        """
        if self.size > 1:
            tensor = tensor.detach().clone()
            dist.all_reduce(tensor)
        return tensor

    def any(self, wish: bool) -> bool:
        """Whether one of the processes wishes so."""
        return bool(self.sum(torch.tensor(int(bool(wish)))))

    def gather(self, value) -> list:
        """What each of the processes has, by rank."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def share(self, value):
        """What the main process has, for all; call it in each."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, src=0)
        return values[0]

    def device(self, prefer=None) -> torch.device:
        """As `environment.device`; of several GPUs each gets its own.
        """
        first = environment.device(prefer)
        if self.size == 1 or first.type == "cpu":
            return first
        there = torch.cuda.device_count()
        if self.local >= there:
            raise ValueError(
                f"--nproc-per-node is above {self.local}; needed: at"
                f" most {there}, the GPUs here, or SEGLIB_DEVICE=cpu")
        torch.cuda.set_device(self.local)
        return torch.device("cuda", self.local)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model, its gradients averaged over the processes.

        Parameters
        ----------
        model : nn.Module
            On its device. On GPUs its batch normalisation will look at
            the whole batch (its layers are replaced); on CPUs PyTorch
            has none that can, and each process normalises its part.

        Returns
        -------
        nn.Module
            `model` itself, or it in PyTorch's DistributedDataParallel.
        """
        if self.size == 1:
            return model
        here = next(model.parameters()).device
        if here.type == "cpu":
            return DistributedDataParallel(model)
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return DistributedDataParallel(model, device_ids=[here])

    def leave(self) -> None:
        """End the conversation; the process goes on alone."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if self.size > 1 and _is_lost(error):
            said = str(error).split("] ", 1)[-1].split(". ")[0]
            raise WorkerLost(
                f"rank {self.rank} of {self.size}: another process of"
                f" the run is gone or silent ({said}); the last"
                " checkpoint is whole: start again to go on") from None
        self.leave()


def _is_lost(error):
    return (isinstance(error, dist.DistError)
            or isinstance(error, RuntimeError) and "gloo" in str(error))

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
        dist.init_process_group(timeout=timedelta(seconds=timeout))
    local = int(os.environ["LOCAL_RANK"])
    return World(dist.get_rank(), size, local)

# %% tags=["export"]
class RunFolder:
    """The files of one run.

    Parameters
    ----------
    path : path
        `config.json` (what was asked for), `history.csv` (a row per
        epoch), `last.pt` (everything, to go on), `best.pt` (the best
        weights, under "model").
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.history = self.path / "history.csv"
        self.last = self.path / "last.pt"
        self.best = self.path / "best.pt"

    def begin(self, config: dict, resume: bool = False,
              world: World = World()) -> dict | None:
        """Start a run here, or go on with the one that is here.

        Parameters
        ----------
        config : dict
            All that decides how the run goes, for JSON.
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
        fault = self._open(config, resume) if world.main else None
        if fault := world.share(fault):
            raise fault
        return load_checkpoint(self.last) if self.last.exists() else None

    def _open(self, config, resume):
        asked = json.loads(json.dumps(config))
        if not self.config.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            text = json.dumps(asked, indent=1).encode()
            write_whole(self.config, lambda file: file.write(text))
            return None
        if not resume:
            return FileExistsError(
                f"folder is {str(self.path)!r}, which holds a run;"
                " needed: another folder, or resume")
        known = json.loads(self.config.read_text(encoding="utf-8"))
        differ = [f"{key} {known.get(key)!r}, now {asked.get(key)!r}"
                  for key in known | asked
                  if known.get(key) != asked.get(key)]
        return ValueError(
            f"folder is {str(self.path)!r}, whose run has"
            f" {'; '.join(differ)}; needed: the same") if differ else None

    def save(self, state: dict, best: bool = False) -> None:
        """Keep the run's state; only the main process calls this.

        Parameters
        ----------
        state : dict
            From `capture`: "model" among it, and "history", a list of
            dicts, if there is one.
        best : bool
            Whether these are the best weights so far.
        """
        if best:
            save_checkpoint(self.best, {
                name: value for name, value in state.items()
                if name not in ("optimizer", "scheduler", "random")})
        save_checkpoint(self.last, state)
        if rows := state.get("history"):
            text = io.StringIO(newline="")
            names = dict.fromkeys(name for row in rows for name in row)
            table = csv.DictWriter(text, names)
            table.writeheader()
            table.writerows(rows)
            write_whole(self.history, lambda file: file.write(
                text.getvalue().encode()))

# %% tags=["export"]
class StopRequest:
    """Ctrl-C and SIGTERM, noted until the loop has time for them.

    True once somebody has asked. The second time it is not noted but
    raised, as KeyboardInterrupt.

    Examples
    --------
    >>> with StopRequest() as stop:
    ...     bool(stop)
    False
    """

    def __init__(self):
        self.asked = False

    def __bool__(self):
        return self.asked

    def _note(self, number, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __enter__(self):
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)
