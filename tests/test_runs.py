"""Long runs: shot at any moment, a run goes on; shared, it stays the same."""
import copy
import csv
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seglib import environment, runs
from seglib.runs import (RunFolder, StopRequest, WorkerLost, World, capture,
                         join, load_checkpoint, restore, save_checkpoint,
                         write_whole)

WORKER = Path(__file__).with_name("runs_worker.py")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parts(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler}


def steps(these, n):
    losses = []
    for _ in range(n):
        x = torch.tensor(np.random.rand(4, 3), dtype=torch.float32)
        loss = (these["model"](x) - random.random()).square().mean()
        these["optimizer"].zero_grad()
        loss.backward()
        these["optimizer"].step()
        these["scheduler"].step()
        losses.append(loss.item())
    return losses


# What a run knows
# ----------------

def test_a_restored_run_goes_on_to_the_bit(tmp_path):
    """Torch, NumPy and Python draw; momentum and schedule matter."""
    one = parts()
    steps(one, 5)
    save_checkpoint(tmp_path / "last.pt", capture(**one, step=5))
    truth = steps(one, 7)

    other = parts(seed=1)
    steps(other, 3)
    state = load_checkpoint(tmp_path / "last.pt")
    assert restore(state, **other) == {"step": 5}
    assert steps(other, 7) == truth
    assert all(map(torch.equal, one["model"].parameters(),
                   other["model"].parameters()))


def test_one_state_restores_twice():
    """Optimisers write into what they load; the state must not see it."""
    one = parts()
    steps(one, 3)
    state = copy.deepcopy(capture(**one))
    first, second = parts(), parts()
    restore(state, **first)
    truth = steps(first, 4)
    restore(state, **second)
    assert steps(second, 4) == truth


@pytest.mark.parametrize("draw", [
    random.random, np.random.rand, lambda: torch.rand(1).item(),
    lambda: random.gauss(0, 1), lambda: np.random.normal()],
    ids=["python", "numpy", "torch", "gauss", "normal"])
def test_every_generator_is_put_back(draw):
    draw()                                  # half of a pair of normals
    state = runs.random_state()
    drawn = [draw() for _ in range(5)]
    runs.set_random_state(state)
    assert [draw() for _ in range(5)] == drawn


def test_restore_names_what_does_not_fit():
    state = capture(model=nn.Linear(2, 1), step=3)
    with pytest.raises(ValueError, match="state holds .*; needed: optimizer"):
        restore(state, optimizer=nn.Linear(2, 1))
    with pytest.raises(ValueError, match="model is not the one that was"
                       " captured: .*weight") as caught:
        restore(state, model=nn.Linear(3, 1))
    assert "\n" not in str(caught.value)


# Files
# -----

def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"ne")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_are_on_the_disk_before_the_names_are_swapped(
        tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (done.append("fsync"),
                                                fsync(f)))
    monkeypatch.setattr(os, "replace", lambda a, b: (
        done.append(("swap", Path(a).read_bytes())), replace(a, b)))
    write_whole(tmp_path / "a", lambda file: file.write(b"new"))
    assert done == ["fsync", ("swap", b"new")]
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("where", ["os.replace", "os.fsync"])
def test_killed_while_writing_the_old_one_is_whole(tmp_path, where):
    """Between write and swap, and before the bytes are safe."""
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1})
    code = ("import os, sys, torch; from seglib.runs import *;"
            f"{where} = lambda *a: os.kill(os.getpid(), 9);"
            "save_checkpoint(sys.argv[1], {'step': 2,"
            " 'weight': torch.zeros(10**5)})")
    done = subprocess.run([sys.executable, "-c", code, str(path)])
    assert done.returncode == -signal.SIGKILL
    assert load_checkpoint(path) == {"step": 1}
    save_checkpoint(path, {"step": 3})      # what was left does not hinder
    assert load_checkpoint(path) == {"step": 3}
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "last.pt"
    state = {"model": {"w": torch.arange(12.0).reshape(3, 4)},
             "step": 3, "history": [{"loss": 0.5}]}
    save_checkpoint(path, state)
    return path, state


def test_a_torn_checkpoint_is_never_read(checkpoint):
    path, _ = checkpoint
    data = path.read_bytes()
    for length in [*range(0, len(data), 61), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="which is damaged"):
            load_checkpoint(path)


def test_a_changed_byte_is_found_or_does_not_matter(checkpoint):
    path, state = checkpoint
    data, found = path.read_bytes(), 0
    for at in range(0, len(data), 5):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x21])
                         + data[at + 1:])
        try:
            read = load_checkpoint(path)
        except ValueError as error:
            assert "\n" not in str(error)
            found += 1
        else:
            assert torch.equal(read["model"]["w"], state["model"]["w"])
            assert read["step"] == 3 and read["history"] == state["history"]
    weights = data.index(state["model"]["w"].numpy().tobytes())
    path.write_bytes(data[:weights + 1] + b"\x77" + data[weights + 2:])
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(path)
    assert found > len(data) / 5 / 3


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_no_code_in_a_checkpoint_runs(tmp_path):
    trap, path = tmp_path / "sprung", tmp_path / "last.pt"
    for content in (Trap(str(trap)), {"seglib checkpoint": 1,
                                      "model": Trap(str(trap))}):
        torch.save(content, path)
        with pytest.raises(ValueError, match="no checkpoint of seglib"):
            load_checkpoint(path)
    path.write_bytes(pickle.dumps(Trap(str(trap))))
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(path)
    assert not trap.exists()


def test_other_files_are_named(tmp_path):
    weights = tmp_path / "resnet.pth"
    torch.save(nn.Linear(2, 1).state_dict(), weights)
    with pytest.raises(ValueError, match="resnet.pth', which is no"
                       " checkpoint of seglib.runs"):
        load_checkpoint(weights)
    torch.save([1, 2], weights)
    with pytest.raises(ValueError, match="no checkpoint"):
        load_checkpoint(weights)
    with pytest.raises(FileNotFoundError, match="nowhere.pt"):
        load_checkpoint(tmp_path / "nowhere.pt")


# One process
# -----------

def test_alone_a_world_costs_nothing():
    world, tensor, model = join(), torch.ones(2), nn.Linear(1, 1)
    assert world == World(0, 1, 0) and world.main
    assert world.sum(tensor) is tensor and world.wrap(model) is model
    assert world.gather("x") == ["x"] and world.share("x") == "x"
    assert world.any(True) and not world.any([])
    assert world.device("cpu") == torch.device("cpu")
    with world as same:
        assert same is world
    assert not dist.is_initialized()


def test_a_stray_variable_does_not_make_a_world(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert join().size == 1


@given(st.lists(st.integers()), st.integers(1, 5))
def test_parts_are_a_partition(items, size):
    shares = [World(rank, size).part(items) for rank in range(size)]
    assert sorted(sum(shares, [])) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(environment, "device",
                        lambda prefer=None: torch.device(prefer or "cuda:0"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)
    assert World(3, 4, 1).device() == torch.device("cuda:1")
    assert World(3, 4, 3).device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="at most 2, a GPU for each"):
        World(3, 4, 2).device()


@pytest.mark.parametrize("error, lost", [
    (RuntimeError("[/pytorch/gloo/pair.cc:5] Connection closed by peer"
                  " [::1]:99. This is typically …"), True),
    (dist.DistNetworkError("connection reset"), True),
    (RuntimeError("mat1 and mat2 cannot be multiplied"), False),
    (KeyboardInterrupt(), False)])
def test_a_lost_worker_has_one_error(error, lost):
    with pytest.raises(WorkerLost if lost else type(error)) as caught:
        with World(0, 2):
            raise error
    if lost:
        assert str(caught.value).startswith("rank 0 of 2: another process")
        assert "\n" not in str(caught.value)


# The folder
# ----------

def test_a_run_begins_goes_on_and_is_not_overwritten(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "a")
    assert folder.begin({"lr": 0.1, "size": (3, 4)}) is None
    assert json.loads(folder.config.read_text())["size"] == [3, 4]
    with pytest.raises(FileExistsError, match="holds a run; needed"):
        folder.begin({"lr": 0.1, "size": (3, 4)})
    assert folder.begin({"lr": 0.1, "size": (3, 4)}, resume=True) is None
    folder.save({"model": {}, "step": 4})
    assert folder.begin({"lr": 0.1, "size": [3, 4]}, resume=True) == {
        "model": {}, "step": 4}
    with pytest.raises(ValueError, match="lr 0.1, now 0.2$"):
        folder.begin({"lr": 0.2, "size": (3, 4)}, resume=True)


def test_history_is_a_table(tmp_path):
    folder = RunFolder(tmp_path)
    folder.save({"model": {}, "history": [
        {"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25, "score": 1}]})
    with open(folder.history, newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"step": "1", "loss": "0.5", "score": ""},
            {"step": "2", "loss": "0.25", "score": "1"}]


def test_the_best_weights_are_kept_without_what_only_a_run_needs(tmp_path):
    folder, these = RunFolder(tmp_path), parts()
    folder.save(capture(**these, step=1), best=True)
    folder.save(capture(**these, step=2))
    best = load_checkpoint(folder.best)
    assert set(best) == {"model", "step"} and best["step"] == 1
    assert load_checkpoint(folder.last)["step"] == 2


def test_best_is_written_before_last(tmp_path, monkeypatch):
    """A state that remembers a best which no file has cannot be mended."""
    folder = RunFolder(tmp_path)
    folder.save({"model": {}, "step": 1}, best=True)
    real = runs.save_checkpoint

    def dies_after_one(path, state):
        real(path, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "save_checkpoint", dies_after_one)
    with pytest.raises(KeyboardInterrupt):
        folder.save({"model": {}, "step": 2}, best=True)
    assert load_checkpoint(folder.best)["step"] == 2
    assert load_checkpoint(folder.last)["step"] == 1


# Ctrl-C
# ------

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_waits_and_a_second_does_not(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        with StopRequest() as stop:
            assert not stop
            signal.raise_signal(number)
            assert stop
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_thread_has_no_signals():
    seen = []

    def work():
        with StopRequest() as stop:
            seen.append(bool(stop))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


# Shot at
# -------

def truth():
    """The run that nobody disturbs."""
    sys.path.insert(0, str(WORKER.parent))
    import runs_worker
    return runs_worker, *runs_worker.train(None)


def same(folder, model):
    kept = load_checkpoint(folder / "last.pt")["model"]
    return all(torch.equal(kept[name], weight)
               for name, weight in model.state_dict().items())


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_at_the_same_weights(tmp_path):
    worker, model, history = truth()
    rng, deaths, after = random.Random(5), 0, 1
    for life in range(12):
        shoot = life < 4
        with subprocess.Popen(
                [sys.executable, WORKER, "train", tmp_path],
                stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if shoot and int(line.split()[1]) >= after:
                    time.sleep(rng.uniform(0, 0.03))
                    process.kill()
                    break
            process.wait()
        deaths += process.returncode == -signal.SIGKILL
        after += 5
        if process.returncode == 0:
            break
    assert deaths >= 3 and process.returncode == 0
    assert same(tmp_path, model)
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [
        row["loss"] for row in history.rows]


@pytest.mark.slow
def test_killed_while_saving_it_ends_at_the_same_weights(tmp_path):
    """In the middle of a write, before the swap, and between two files."""
    worker, model, history = truth()
    for accident in ("middle", "rename", "between", "none"):
        done = subprocess.run(
            [sys.executable, WORKER, "train", tmp_path, accident],
            capture_output=True, text=True, timeout=60)
        ends = 0 if accident == "none" else -signal.SIGKILL
        assert done.returncode == ends, done.stderr
        load_checkpoint(tmp_path / "last.pt")
    assert same(tmp_path, model)
    best = load_checkpoint(tmp_path / "best.pt")
    assert best["step"] == history.best["step"] + 1


# Shared
# ------

def torchrun(*arguments, options=()):
    environ = os.environ | {"OMP_NUM_THREADS": "1", "SEGLIB_DEVICE": "cpu",
                            "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone",
         "--nproc-per-node=2", *options, WORKER, *map(str, arguments)],
        capture_output=True, text=True, timeout=55, env=environ)


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path):
    worker, *_ = truth()
    done = torchrun("two", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    two = load_checkpoint(tmp_path / "two.pt")
    assert (two["size"], two["sum"], two["mine"]) == (2, 3.0, 1.0)
    assert two["gather"] == [0, 1] and two["share"] == "from 0"
    assert two["any"] and not two["none"]
    assert two["part"] == [[0, 2, 4], [1, 3]]
    assert two["own numbers back"] == [True, True]
    assert two["numbers differ"] == 2

    model, history = worker.train(None, dropout=0.0)
    np.testing.assert_allclose(
        two["losses"], [row["loss"] for row in history.rows], rtol=1e-5)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(two["model"][name], weight, rtol=1e-4,
                                   atol=1e-5)
    assert two["scores"] == pytest.approx(
        [row["mean_iou"] for row in history.rows if "mean_iou" in row],
        abs=2e-3)


@pytest.mark.slow
def test_a_lost_worker_ends_the_run_and_a_restart_goes_on(tmp_path):
    done = torchrun("lose", tmp_path, "die")
    assert done.returncode != 0
    assert "WorkerLost" in done.stderr or "exitcode: -9" in done.stderr
    kept = load_checkpoint(tmp_path / "run" / "last.pt")
    assert 6 <= kept["step"] < 12
    done = torchrun("lose", tmp_path, "none")
    assert done.returncode == 0, done.stderr[-2000:]
    worker, *_ = truth()
    _, history = worker.train(None, dropout=0.0)
    kept = load_checkpoint(tmp_path / "run" / "last.pt")
    np.testing.assert_allclose([row["loss"] for row in kept["history"]],
                               [row["loss"] for row in history.rows],
                               rtol=1e-5)


@pytest.mark.slow
def test_a_worker_that_hangs_is_lost_too(tmp_path):
    start = time.monotonic()
    done = torchrun("lose", tmp_path, "sleep")
    assert done.returncode != 0 and time.monotonic() - start < 50
    assert "WorkerLost" in done.stderr, done.stderr[-2000:]
    assert load_checkpoint(tmp_path / "run" / "last.pt")["step"] == 9


def test_what_is_frozen_stays_frozen_on_many_gpus():
    """BatchNorm that is replaced keeps its hooks, those of `freeze` too."""
    from seglib.fcn import freeze
    from seglib.training import BatchNorm
    torch.manual_seed(0)
    frozen = freeze(nn.Sequential(nn.Conv2d(3, 4, 3), BatchNorm(4)))
    net = runs._synced(nn.Sequential(frozen, nn.BatchNorm2d(4))).train()
    frozen, learning = net[0][1], net[1]
    assert type(frozen) is type(learning) is nn.SyncBatchNorm
    before = frozen.running_mean.clone()
    learnt = learning.running_mean.clone()
    for norm in frozen, learning:
        norm(torch.rand(2, 4, 5, 5))
    assert frozen.running_mean.equal(before)
    assert not learning.running_mean.equal(learnt)
