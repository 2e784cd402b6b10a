"""Diagrams drawn by hooks, receptive fields, curves."""
import numpy as np
import pytest
import torch
import torchvision
from matplotlib.patches import FancyArrowPatch
from torch import nn
from torch.nn import functional as F

from seglib import networks


class Ladder(nn.Module):
    """A skip by concatenation, and one by addition."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.c = nn.Conv2d(8, 2, 1)
        self.again = nn.ReLU(inplace=True)
        self.d = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        a = self.a(x)
        b = F.interpolate(self.b(self.pool(a)), scale_factor=2.0)
        c = self.again(self.c(torch.cat([a, b], 1)))
        return self.d(c) + c


def test_sources_are_followed_through_functions():
    boxes = networks.trace(Ladder(), torch.rand(1, 3, 32, 40))
    assert [(box.name, box.sources) for box in boxes] == [
        ("a", (-1,)), ("pool", (0,)), ("b", (1,)), ("c", (0, 2)),
        ("again", (3,)), ("d", (4,))]
    assert boxes[1].shape == (1, 4, 16, 20)
    assert boxes[0].parameters == 3 * 4 * 9 + 4


def test_parameters_are_counted_once_and_frozen_ones_too():
    layer = nn.Conv2d(3, 4, 3).requires_grad_(False)
    norm = nn.BatchNorm2d(4)            # its running statistics are none
    assert networks.parameters(layer) == 4 * (3 * 9 + 1)
    assert networks.parameters(nn.Sequential(layer, norm, layer)) == 120
    assert networks.parameters(nn.ReLU()) == 0


def test_a_module_that_is_used_twice_has_two_boxes():
    relu = nn.ReLU()
    boxes = networks.trace(nn.Sequential(relu, nn.Identity(), relu),
                           torch.rand(1, 1, 2, 2))
    assert [box.sources for box in boxes][:2] == [(-1,), (0,)]
    assert len(boxes) == 3 and boxes[2].sources == (1,)


def test_depth_folds():
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()),
                        nn.Conv2d(4, 2, 1))
    x = torch.rand(1, 3, 8, 8)
    assert len(networks.trace(net, x)) == 3
    assert [b.kind for b in networks.trace(net, x, depth=1)] == [
        "Sequential", "Conv2d"]


def test_a_single_layer_is_a_box():
    conv, x = nn.Conv2d(3, 4, 1), torch.rand(1, 3, 8, 8)
    [box] = networks.trace(conv, x)
    assert (box.name, box.kind, box.sources) == ("", "Conv2d", (-1,))
    assert "Conv2d 4×8×8" in networks.diagram(conv, x).alt
    [whole] = networks.trace(Ladder(), torch.rand(1, 3, 32, 32), depth=0)
    assert whole.kind == "Ladder" and whole.shape == (1, 2, 32, 32)


def test_nothing_is_left_behind():
    net = Ladder().train()
    networks.diagram(net, torch.rand(1, 3, 32, 32))
    assert all(m.training for m in net.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks
                   for m in net.modules())


def test_diagram_tells_what_it_draws():
    picture = networks.diagram(Ladder(), torch.rand(1, 3, 32, 32))
    assert "1 skip connections" in picture.alt
    assert "Conv2d 4×32×32" in picture.alt and "<svg" in picture.html
    deep = nn.Sequential(*(m for i in range(20) for m in (
        nn.Conv2d(1 + i % 2, 1 + (i + 1) % 2, 1),)))
    assert "more steps" in networks.diagram(
        deep, torch.rand(1, 1, 4, 4)).alt


@pytest.mark.parametrize("deep", [1, 40])
def test_arcs_stay_within_the_picture(deep, monkeypatch):
    drawn = []
    monkeypatch.setattr(networks, "figure", lambda fig, alt: drawn.append(fig))
    net = Ladder()
    net.b = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1)
                            for _ in range(deep)))
    networks.diagram(net, torch.rand(1, 3, 256, 256))
    [ax] = drawn[0].axes
    [arc] = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    left, low, right, high = arc.get_window_extent().extents
    assert ax.bbox.x0 < left < right < ax.bbox.x1
    bars = max(p.get_window_extent().y1 for p in ax.patches if p is not arc)
    assert bars < high < ax.bbox.y1


def test_receptive_fields():
    for net, side in ((nn.Conv2d(1, 1, 3, padding=1), 3),
                      (nn.Conv2d(1, 1, 3, padding=4, dilation=4), 3),
                      (nn.Sequential(nn.Conv2d(1, 1, 3, padding=1),
                                     nn.Conv2d(1, 1, 5, padding=2)), 7)):
        field = networks.seen_by(net, torch.rand(1, 1, 31, 31))
        assert int(field.any(0).sum()) == side


@pytest.mark.parametrize("shape", [(2, 1, 9, 9), (1, 9, 9), (0, 1, 9, 9)])
def test_one_picture_is_asked(shape):
    with pytest.raises(ValueError, match=r"x has shape .*; needed: \(1, C"):
        networks.seen_by(nn.Conv2d(1, 1, 3, padding=1), torch.rand(shape))


def test_curve_says_its_numbers():
    rows = [{"step": i, "loss": 2.0 - i} for i in range(2)]
    assert "2.00 at first" in networks.curve(rows).alt
    rows[1]["mean_iou"] = 0.5
    assert "0.50 in the end" in networks.curve(rows).alt
    assert np.isfinite(len(networks.curve(rows).html))


# What it does

class Sums(nn.Module):
    """Three additions, in three spellings, and one concatenation."""

    def forward(self, x):
        y = x + 1
        y += x
        return torch.concat([y.add(x), x[:, :1]], 1)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_operations_whatever_they_are_called(device):
    calls = networks.operations(Sums(), torch.zeros(1, 2, 4, 4, device=device))
    assert calls == {"add": 3, "cat": 1, "getitem": 1}


def test_operations_of_networks_in_use():
    """Batch normalisation, when it is trained, counts its batches."""
    net = torchvision.models.resnet18(weights=None).train()
    calls = networks.operations(net, torch.rand(1, 3, 64, 64))
    assert calls["add"] == 8 and calls["cat"] == 0
    assert calls["conv2d"] == calls["batch_norm"] == 20
    assert net.training and net.bn1.num_batches_tracked == 0
    calls = networks.operations(Ladder(), torch.rand(1, 3, 32, 32))
    assert calls == {"conv2d": 4, "relu": 1, "max_pool2d": 1,
                     "interpolate": 1, "cat": 1, "add": 1}


# What it holds

def test_peak_of_a_chain():
    """Two maps at a time: what goes in and what comes out."""
    chain = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1)
                            for _ in range(5)))
    x = torch.empty(1, 4, 10, 10)
    assert networks.peak_bytes(chain, x) == 2 * 4 * 100 * 4
    meta = chain.to("meta")
    assert networks.peak_bytes(meta, x.to("meta")) == 2 * 4 * 100 * 4


def test_views_cost_nothing():
    class Views(nn.Module):
        def forward(self, x):
            y = x + 1
            return y.view(-1)[::2].view(2, -1)
    assert networks.peak_bytes(Views(), torch.zeros(4, 4)) == 64


def test_what_is_carried_is_held():
    class Carries(nn.Module):
        def forward(self, x):
            kept = [x + i for i in range(3)]
            return sum(kept)
    x = torch.zeros(8)
    assert networks.peak_bytes(Carries(), x) == 5 * 32


def test_training_holds_every_map_and_leaves_nothing_behind():
    """Sigmoid's backward pass wants what it made."""
    net = nn.Sequential(nn.Linear(8, 8), *(nn.Sigmoid() for _ in range(9)))
    x = torch.zeros(1, 8)
    assert networks.peak_bytes(net, x) == 2 * 32
    often = [networks.peak_bytes(net, x, training=True) for _ in range(2)]
    assert often[0] == often[1] >= 10 * 32
    assert all(p.grad is None for p in net.parameters())


def test_listening_to_a_training_changes_nothing():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    net[1].eval()                       # one that is kept as it was
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    x = torch.rand(2, 3, 9, 9)
    held = networks.peak_bytes(net, x, training=True)
    assert [module.training for module in net.modules()] == modes
    assert all(value.equal(before[name])
               for name, value in net.state_dict().items())
    assert networks.peak_bytes(net.eval(), x, training=True) == held
    assert networks.peak_bytes(net.train(), x, training=True) == held
    there, not_there = (networks.peak_bytes(
        nn.Sequential(net[0], layer).eval(), x, training=True)
        for layer in (nn.Dropout(), nn.Identity()))
    assert there > not_there


def test_a_frozen_network_is_not_trained():
    frozen = nn.Linear(2, 2).requires_grad_(False)
    x = torch.zeros(1, 2)
    assert networks.peak_bytes(frozen, x) == 8
    with pytest.raises(ValueError, match="model has no weights that learn"):
        networks.peak_bytes(frozen, x, training=True)
