"""A small run in a process of its own, for test_runs.py to shoot at.

    runs_worker.py MODE FOLDER [ACCIDENT]

It prints "step N" after each step, so that somebody can take aim.
"""
import os
import sys
import time

import numpy as np
import torch
from torch import nn

from seglib import runs
from seglib.datasets import Sample
from seglib.training import fit

STEPS = 24


def samples(n=6, size=(24, 32)):
    """Bright is 1, dark is 0; every other picture is mostly VOID."""
    rng = np.random.default_rng(7)
    for i in range(n):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        mask = (image.mean(2) > 128).astype(np.uint8)
        mask[: 20 * (i % 2)] = 255
        yield Sample(image, mask, str(i), classes=("dark", "bright"))


DATA = list(samples())


def model(dropout=0.2):
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(),
                         nn.Dropout2d(dropout), nn.Conv2d(4, 2, 1))


def train(folder, world=None, dropout=0.2, resume=True, on_step=None):
    net = model(dropout)
    history = fit(net, DATA, DATA[:2], device="cpu", precision="fp32",
                  folder=folder, resume=resume, every=3, steps=STEPS,
                  batch_size=4, warmup=2, world=world, on_step=on_step)
    return net, history


def die():
    os.kill(os.getpid(), 9)


def plant(accident):
    """Be shot in the second checkpoint that this process writes."""
    calls = {"best.pt": 0, "last.pt": 0}
    replace, write = os.replace, runs.write_whole

    def count(path):
        name = os.path.basename(str(path))
        calls[name] = calls.get(name, 0) + 1
        return name == "last.pt" and calls[name] == 2

    def shot_before_rename(part, path):
        if count(path):
            die()
        replace(part, path)

    def shot_in_the_middle(path, fill):
        def half(file):
            import io
            whole = io.BytesIO()
            fill(whole)
            file.write(whole.getvalue()[:len(whole.getvalue()) // 2])
            file.flush()
            die()
        write(path, half if count(path) else fill)

    def shot_between(path, fill):
        if count(path):
            die()
        write(path, fill)

    if accident == "rename":
        os.replace = shot_before_rename
    elif accident == "middle":
        runs.write_whole = shot_in_the_middle
    elif accident == "between":
        runs.write_whole = shot_between


def say(history):
    print("step", len(history.rows), flush=True)
    time.sleep(0.02)


def two(folder):
    """Everything that is asked of two processes, in one go."""
    with runs.join(timeout=60) as world:
        net, history = train(None, world, dropout=0.0)
        mine = torch.tensor([world.rank + 1.0])
        said = {"size": world.size, "sum": world.sum(mine).item(),
                "mine": mine.item(), "gather": world.gather(world.rank),
                "share": world.share(f"from {world.rank}"),
                "any": world.any(world.rank == 1), "none": world.any(False),
                "part": world.gather(world.part([0, 1, 2, 3, 4]))}
        torch.manual_seed(100 + world.rank)
        state = runs.capture(world, step=1)
        drawn = torch.rand(1)
        runs.restore(state, world)
        said["own numbers back"] = world.gather(
            bool(torch.rand(1) == drawn))
        said["numbers differ"] = len({x.item() for x in world.gather(drawn)})
        if world.main:
            runs.save_checkpoint(folder + "/two.pt", said | {
                "losses": [row["loss"] for row in history.rows],
                "scores": [row["mean_iou"] for row in history.rows
                           if "mean_iou" in row],
                "model": net.state_dict()})


def lose(folder, accident):
    """Rank 1 dies, or falls asleep, in the middle of the run."""
    with runs.join(timeout=10) as world:
        def accidents(history):
            if world.rank == 1 and len(history.rows) == 10:
                if accident == "die":
                    die()
                elif accident == "sleep":
                    import signal
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    time.sleep(600)
        train(folder + "/run", world, dropout=0.0, on_step=accidents)


if __name__ == "__main__":
    torch.set_num_threads(1)
    mode, folder, *accident = sys.argv[1:]
    if mode == "train":
        plant(*accident or [None])
        train(folder, on_step=say)
    elif mode == "two":
        two(folder)
    elif mode == "lose":
        lose(folder, *accident)
