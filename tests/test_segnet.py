"""Places carried across: by brute force, in full size, and in use."""
import itertools
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import seglib
from seglib import networks, segnet
from seglib.networks import in_eval_mode, trace
from seglib.segnet import DeconvNet, SegNet, pool, unpool
from seglib.training import predict
from seglib.unet import UNet

MAKERS = {"SegNet": lambda width=4: SegNet(5, width=width),
          "DeconvNet": lambda width=2: DeconvNet(5, width=width,
                                                 size=(64, 64))}
each = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def by_hand(x):
    """Maxima of one map, their places, and the map that comes back."""
    height, width = x.shape
    values, places = [], []
    back = np.zeros_like(x)
    for r, c in itertools.product(range(0, height, 2), range(0, width, 2)):
        window = [(x[i, j], i, j) for i in (r, r + 1) for j in (c, c + 1)
                  if i < height and j < width]
        value, i, j = max(window, key=lambda one: one[0])
        values.append(value)
        places.append(i * width + j)
        back[i, j] = value
    shape = (height + 1) // 2, (width + 1) // 2
    return (np.reshape(values, shape), np.reshape(places, shape), back)


# Unpooling

@given(st.integers(1, 13), st.integers(1, 13), st.integers(0, 10**6))
@settings(max_examples=40)
def test_unpooling_is_brute_force(height, width, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (2, 3, height, width)).astype(np.float32)
    values, indices = pool(torch.from_numpy(x))
    back = unpool(values, indices, (height, width))
    for n, c in itertools.product(range(2), range(3)):
        expected = by_hand(x[n, c])
        np.testing.assert_array_equal(values[n, c], expected[0])
        np.testing.assert_array_equal(indices[n, c], expected[1])
        np.testing.assert_array_equal(back[n, c], expected[2])


def test_unpooling_is_the_backward_pass_of_pooling():
    x = torch.randn(2, 3, 7, 10, requires_grad=True)
    values, indices = pool(x)
    there = torch.randn_like(values)
    [gradient] = torch.autograd.grad(values, x, there)
    assert gradient.equal(unpool(there, indices, (7, 10)))


def test_sizes_of_the_paper():
    x, sizes = torch.rand(1, 1, 360, 480), []
    for _ in range(5):
        x, _ = pool(x)
        sizes.append(tuple(x.shape[2:]))
    assert sizes == [(180, 240), (90, 120), (45, 60), (23, 30), (12, 15)]


@given(st.integers(1, 9), st.integers(1, 9))
def test_corners(height, width):
    x = torch.rand(1, 2, height, width)
    values, indices = pool(x)
    up = segnet.to_corners(values, indices, (height, width))
    assert up.shape == x.shape
    assert up[:, :, ::2, ::2].equal(values)
    assert up.count_nonzero() == values.numel()


def test_corners_of_another_size():
    for size in ((8, 10), (30, 9), (6, 9)):
        with pytest.raises(ValueError, match=r"size is \(.*needed: the size"):
            segnet.to_corners(torch.zeros(1, 2, 4, 5), None,
                              (size[0] + 2, size[1] + 2))


# The networks in full size

def test_counts_of_the_papers():
    with torch.device("meta"):
        nets = SegNet(11), DeconvNet(21)
    counts = [sum(p.numel() for p in net.parameters()) for net in nets]
    assert counts == [29_449_355, 251_805_653]


@pytest.mark.parametrize("height, width", [(224, 224), (360, 480)])
def test_shapes_in_full_size(height, width):
    with torch.device("meta"):
        x = torch.empty(2, 3, height, width)
        assert SegNet(11)(x).shape == (2, 11, height, width)
        assert DeconvNet(21)(x).shape == (2, 21, height, width)


def test_the_waist_is_one_place():
    with torch.device("meta"):
        net = DeconvNet(21)
        boxes = trace(net, torch.empty(1, 3, 224, 224))
    shapes = [box.shape for box in boxes if box.name.startswith("waist")]
    assert shapes[0] == shapes[3] == (1, 4096, 1, 1)
    assert shapes[6] == (1, 512, 7, 7)


def test_features_are_torchvisions():
    vgg = torchvision.models.vgg16_bn(weights=None)
    for norm in vgg.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias)
    net, x = SegNet(11), torch.rand(1, 3, 64, 32)
    segnet.load_vgg(net, vgg.state_dict())
    with torch.inference_mode(), in_eval_mode(net), in_eval_mode(vgg):
        there = net.input(x)
        theirs = vgg.features(there)
        ours, carried = segnet._down(net.encoder, there)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    assert [tuple(size) for _, size in carried] == [
        (64, 32), (32, 16), (16, 8), (8, 4), (4, 2)]


def test_other_weights_are_refused():
    with (torch.device("meta"),
          pytest.raises(ValueError, match="state has 1 features.*vgg16_bn")):
        SegNet(5, weights={"features.0.weight": torch.zeros(1)})


@pytest.mark.parametrize("weights", [True, "vgg16_bn", 3])
@pytest.mark.parametrize("make", [SegNet, DeconvNet])
def test_weights_by_another_name(make, weights):
    with (torch.device("meta"),
          pytest.raises(TypeError, match="state is .*needed: 'imagenet' or")):
        make(5, weights=weights)


def test_weights_for_another_network():
    with pytest.raises(TypeError, match="model is a UNet; needed: a SegNet"):
        segnet.load_vgg(UNet(5, width=2), {})


@pytest.mark.parametrize("settings, has", [
    ({"width": 8}, "width 8 for 3 channels"),
    ({"in_channels": 1}, "width 64 for 1 channels")])
@pytest.mark.parametrize("make", [SegNet, DeconvNet])
def test_no_weights_for_other_shapes(make, settings, has):
    """Said before anything is fetched."""
    with torch.device("meta"), pytest.raises(ValueError, match=has):
        make(5, **settings, weights="imagenet")


@pytest.mark.parametrize("make", [SegNet, DeconvNet])
def test_without_a_network_it_says_so(make, monkeypatch, tmp_path):
    def unreachable(*args, **kwargs):
        raise URLError("no route to host")
    monkeypatch.setenv("SEGLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with (torch.device("meta"),
          pytest.raises(ConnectionError, match="vgg16_bn-.*pth is not in")):
        make(5, weights="imagenet")


@pytest.mark.parametrize("make", [SegNet, DeconvNet])
def test_weights_of_imagenet(make, monkeypatch):
    """The encoder's from the file, all others from chance."""
    torch.manual_seed(1)
    vgg = torchvision.models.vgg16_bn(weights=None).state_dict()
    asked = []
    monkeypatch.setattr(segnet, "imagenet_state",
                        lambda name: asked.append(name) or vgg)
    options = {} if make is SegNet else {"size": (32, 32)}
    net = make(2, weights="imagenet", **options)
    assert asked == ["vgg16_bn"]
    assert net.encoder[4][6].weight.equal(vgg["features.40.weight"])
    assert net.encoder[0][1].running_var.equal(vgg["features.1.running_var"])


@each
def test_begins_as_he_does(make):
    """Variance 2 / n, where n kernel entries make one output."""
    for layer in make(width=8).modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            assert not layer.bias.any()
            inputs = layer.in_channels * np.prod(layer.kernel_size)
            if layer.weight.numel() > 2000:
                assert layer.weight.std().item() == pytest.approx(
                    (2 / inputs)**0.5, rel=0.1)


def test_the_inputs_of_a_transposed_convolution():
    """Counted: what reaches one output in the middle."""
    torch.manual_seed(0)
    up = segnet._conv(nn.ConvTranspose2d, 64, 16)
    up.weight.data.abs_()
    reached = torch.ones(1, 64, 9, 9, requires_grad=True)
    [gradient] = torch.autograd.grad(up(reached)[0, 0, 4, 4], reached)
    assert up.weight.square().mean().item() == pytest.approx(
        2 / gradient.count_nonzero().item(), rel=0.05)


# The networks in use

@each
@pytest.mark.parametrize("size", [(32, 32), (33, 57), (97, 131)])
def test_any_size_one_image_in_training(make, size):
    net = make().train()
    logits = net(torch.rand(1, 3, *size))
    assert logits.shape == (1, 5, *size)
    logits.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


@given(st.integers(32, 80), st.integers(32, 80), st.integers(1, 4))
@settings(max_examples=8)
def test_shapes(height, width, channels):
    net = SegNet(3, channels, width=2).eval()
    assert net(torch.rand(1, channels, height, width)).shape == (
        1, 3, height, width)


@each
def test_too_small_is_said(make):
    with pytest.raises(ValueError, match=r"x is 31 x 40 pixels; needed"):
        make()(torch.rand(1, 3, 31, 40))


def test_size_of_the_window_is_checked():
    for size in ((100, 128), (0, 32), (16, 32), (64, 64, 64), (64.0, 64.0),
                 (64,), 64, "64", None):
        with pytest.raises(ValueError, match="size is .*multiples of 32"):
            DeconvNet(5, width=2, size=size)
    net = DeconvNet(5, width=2, size=torch.tensor([64, 32]))
    assert net.size == (64, 32)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "8", None])
@pytest.mark.parametrize("make", [SegNet, DeconvNet])
def test_no_network_of_nothing(make, wrong):
    for name in "num_classes", "in_channels", "width":
        settings = {"num_classes": 5, "width": 2} | {name: wrong}
        with pytest.raises(ValueError, match=f"{name} is .*; needed: a whole"):
            make(**settings)


@each
def test_logits_not_probabilities(make):
    logits = make()(torch.rand(2, 3, 64, 64))
    assert logits.min() < 0
    assert not torch.allclose(logits.sum(1), torch.ones(2, 64, 64))


@each
def test_learns_one_batch_by_heart(make):
    net, x = make(width=4), torch.rand(4, 3, 64, 64) / 2
    y = torch.zeros(4, 64, 64).long()
    for i in range(4):                      # a bright square, a dark half
        x[i, :, 8 * i:8 * i + 20, 30:50] += 0.5
        y[i, 8 * i:8 * i + 20, 30:50] = 1
    y[:, :, :16] += 2
    optimizer = torch.optim.AdamW(net.parameters(), 0.01)
    for _ in range(300):
        loss = F.cross_entropy(net(x), y)
        if loss < 0.05:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05


@each
def test_the_places_arrive_where_they_are_needed(make):
    """What the decoder is given is zero but where the encoder had maxima."""
    net, seen = make(width=4).eval(), {}
    for side, storeys in (("down", net.encoder), ("up", net.decoder)):
        for i, storey in enumerate(storeys):
            storey.register_forward_hook(
                lambda module, args, made, key=(side, i):
                seen.__setitem__(key, (args[0], made)))
    net(torch.rand(2, 3, 45, 60))
    for i in range(5):
        _, down = seen["down", 4 - i]
        given_back, _ = seen["up", i]
        _, places = pool(down)
        there = torch.zeros(down.shape).flatten(2).scatter(
            2, places.flatten(2), 1.0).view(down.shape)
        assert given_back.shape == down.shape
        assert not given_back[there == 0].any()


def test_another_way_back():
    net = SegNet(5, width=4).eval()
    x = torch.rand(1, 3, 64, 64)
    before = net(x)
    net.back = segnet.to_corners
    assert not torch.allclose(net(x), before)


@each
def test_evaluation_does_not_depend_on_the_batch(make):
    net = make()
    net(torch.rand(4, 3, 64, 64))
    x = torch.rand(3, 3, 64, 64)
    with torch.inference_mode(), in_eval_mode(net):
        torch.testing.assert_close(net(x)[:1], net(x[:1]), rtol=1e-4,
                                   atol=1e-4)


@each
def test_prediction_leaves_the_statistics_alone(make):
    net, image = make().train(), np.random.default_rng(0).random((64, 64, 3))
    net(torch.rand(4, 3, 64, 64))
    before = {name: value.clone() for name, value in net.named_buffers()}
    found = predict(net, image)
    assert net.training and all(m.training for m in net.modules())
    assert all(value.equal(before[name])
               for name, value in net.named_buffers())
    np.testing.assert_array_equal(found, predict(net.eval(), image))


@each
def test_export(make):
    net = make().eval()
    any_size = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO,
                3: torch.export.Dim.AUTO}
    program = torch.export.export(net, (torch.rand(2, 3, 97, 131),),
                                  dynamic_shapes={"x": any_size})
    x = torch.rand(1, 3, 64, 77)
    torch.testing.assert_close(program.module()(x), net(x), rtol=1e-4,
                               atol=1e-4)


@each
def test_bfloat16(make):
    net, x = make(), torch.rand(2, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        net(x).float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_registered():
    assert seglib.resolve("model", "segnet") is SegNet
    assert seglib.resolve("model", "deconvnet") is DeconvNet


# Memory

def test_training_holds_more():
    net, x = SegNet(5, width=4), torch.rand(1, 3, 64, 64)
    assert (networks.peak_bytes(net, x, training=True)
            > 2 * networks.peak_bytes(net, x))
