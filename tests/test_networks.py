"""Diagrams drawn by hooks, receptive fields, curves."""
import numpy as np
import torch
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


def test_receptive_fields():
    for net, side in ((nn.Conv2d(1, 1, 3, padding=1), 3),
                      (nn.Conv2d(1, 1, 3, padding=4, dilation=4), 3),
                      (nn.Sequential(nn.Conv2d(1, 1, 3, padding=1),
                                     nn.Conv2d(1, 1, 5, padding=2)), 7)):
        field = networks.seen_by(net, torch.rand(1, 1, 31, 31))
        assert int(field.any(0).sum()) == side


def test_curve_says_its_numbers():
    rows = [{"step": i, "loss": 2.0 - i} for i in range(2)]
    assert "2.00 at first" in networks.curve(rows).alt
    rows[1]["mean_iou"] = 0.5
    assert "0.50 in the end" in networks.curve(rows).alt
    assert np.isfinite(len(networks.curve(rows).html))
