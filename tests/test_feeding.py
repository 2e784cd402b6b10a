"""Order, labels, windows, and workers that fork or spawn."""
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from seglib import feeding
from seglib.datasets import Sample
from seglib.display import VOID
from seglib.runs import World


def samples(n=6, size=(34, 40)):
    rng = np.random.default_rng(0)
    return [Sample(rng.integers(0, 256, (*size, 3), np.uint8),
                   rng.integers(0, 3, size).astype(np.uint8), str(i))
            for i in range(n)]


@given(st.integers(1, 20), st.integers(1, 9), st.integers(0, 99))
def test_every_picture_once_a_round(n, batch_size, seed):
    steps = -(-3 * n // batch_size)
    row = [index for draw in feeding.draws(n, batch_size, seed, 0, steps)
           for _, index in draw]
    for turn in range(3):
        assert sorted(row[turn * n:(turn + 1) * n]) == list(range(n))


@given(st.integers(1, 20), st.integers(1, 9), st.integers(0, 30))
def test_order_is_a_function_of_the_step(n, batch_size, start):
    whole = list(feeding.draws(n, batch_size, 7, 0, 40))
    assert list(feeding.draws(n, batch_size, 7, start, 40)) == whole[start:]


@given(st.integers(1, 9), st.integers(1, 4))
def test_processes_share_a_batch(batch_size, size):
    whole = next(feeding.draws(11, batch_size, 1, 5, 6))
    parts = [next(feeding.draws(11, batch_size, 1, 5, 6, World(rank, size)))
             for rank in range(size)]
    assert sum(parts, []) == whole


def test_rounds_differ():
    row = [i for draw in feeding.draws(50, 50, 0, 0, 2) for _, i in draw]
    assert row[:50] != row[50:]


def test_labels_are_checked():
    bad = samples(1)[0]
    bad.mask[3, 4] = 3
    with pytest.raises(ValueError, match="'0' holds the label 3; needed: 0"
                       " to 2"):
        feeding.Reader([bad], classes=3)[0, 0]
    bad.mask[3, 4] = VOID
    feeding.Reader([bad], classes=3)[0, 0]


def test_images_are_bytes():
    image = np.zeros((4, 4), np.float32)
    with pytest.raises(TypeError, match="dtype float32; needed: uint8"):
        feeding.Reader([Sample(image, np.zeros((4, 4), np.uint8), "f")])[0, 0]


def test_sizes_that_differ_need_a_crop():
    data = samples(1) + samples(1, (20, 70))
    order = [[(0, 0), (1, 1)]]
    cpu = torch.device("cpu")
    with pytest.raises(ValueError, match=r"crop=\(height, width\)"):
        list(feeding.batches(feeding.Reader(data), order, cpu))
    [(images, masks)] = feeding.batches(feeding.Reader(data, crop=(32, 32)),
                                        order, cpu)
    assert images.shape == (2, 32, 32, 3) and masks.shape == (2, 32, 32)
    assert (masks[1, 20:] == VOID).all() and (masks[0] != VOID).all()


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 999))
def test_windows_keep_pixel_and_label_together(height, width, place):
    mask = np.arange(20 * 12, dtype=np.uint8).reshape(20, 12)
    image = np.dstack([mask, 255 - mask, mask])
    reader = feeding.Reader([Sample(image, mask, "n")], crop=(height, width))
    cut, label = reader[place, 0]
    inside = np.s_[:min(height, 20), :min(width, 12)]
    assert cut[..., 0][inside].equal(label[inside])
    outside = torch.ones(label.shape, dtype=bool)
    outside[inside] = False
    assert (label[outside] == VOID).all()


@pytest.mark.parametrize("workers, context", [
    (1, "fork"), (1, "spawn")])
def test_workers_read_the_same(workers, context):
    """In a process of its own, which has used threads before."""
    code = f"""
import numpy as np, torch, sys
sys.path.insert(0, {str(ROOT / 'tests')!r})
from seglib import feeding, metrics
from seglib.scenes import StreetScenes
if __name__ == "__main__":
    big = np.zeros((1024, 1024), np.uint8)
    metrics.confusion_matrix(big, big, 2)       # numba's threads
    torch.rand(500, 500) @ torch.rand(500, 500)
    data, cpu = StreetScenes(6), torch.device("cpu")
    plain = feeding.batches(feeding.Reader(data, crop=(64, 64)),
                            feeding.draws(6, 2, 0, 0, 4), cpu)
    others = feeding.batches(feeding.Reader(data, crop=(64, 64)),
                             feeding.draws(6, 2, 0, 0, 4), cpu,
                             {workers}, {context!r})
    assert all(a.equal(b) for p, q in zip(plain, others, strict=True)
               for a, b in zip(p, q))
    print("same")
"""
    if context == "fork" and not hasattr(__import__("os"), "fork"):
        pytest.skip("this system does not fork")
    # Spawned workers import the main module: it must be a file.
    import tempfile, os
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "main.py")
        with open(path, "w") as file:
            file.write(code)
        done = subprocess.run([sys.executable, path], cwd=ROOT, text=True,
                              capture_output=True, timeout=240,
                              env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0 and "same" in done.stdout, done.stderr
