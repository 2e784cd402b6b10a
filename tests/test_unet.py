"""U-Net: counts, crops, weights of gaps, bending, tiles."""
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from seglib import unet
from seglib.datasets import Sample
from seglib.display import VOID
from seglib.metrics import panoptic_quality
from seglib.networks import trace
from seglib.scenes import Cells
from seglib.training import evaluate, fit, predict
from seglib.unet import (BorderLoss, ElasticDeformation, UNet,
                         border_weights, cells_of, overlap_tile, parted,
                         two_distances)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def small(**how):
    torch.manual_seed(0)
    return UNet(2, 1, width=4, **how)


# The network

@pytest.mark.parametrize("arguments, how, count", [
    ((2, 1), {"padding": "valid"}, 31_030_658),
    ((2, 3), {}, 31_037_698),
    ((21, 3), {"norm": False}, 31_033_045)])
def test_counts(arguments, how, count):
    with torch.device("meta"):
        net = UNet(*arguments, **how)
    assert sum(p.numel() for p in net.parameters()) == count


def test_sizes_of_the_paper():
    with torch.device("meta"):
        net = UNet(2, 1, padding="valid")
        x = torch.rand(1, 1, 572, 572)
        assert [m.shape[1:3] for m in net.down(x)] == [
            (64, 568), (128, 280), (256, 136), (512, 64), (1024, 28)]
        assert net(x).shape == (1, 2, 388, 388)
    convolutions = [m for m in net.modules()
                    if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert len(convolutions) == 23


def straightforward(net, x):
    """The paper's forward pass, written out with the net's weights."""
    def twice(x, block):
        for conv in (m for m in block if isinstance(m, nn.Conv2d)):
            x = F.relu(F.conv2d(x, conv.weight, conv.bias))
        return x
    x, skips = 4 * x - 2, []
    for i, stage in enumerate(net.down.stages):
        x = twice(F.max_pool2d(x, 2) if i else x, stage)
        skips.append(x)
    for i, up in enumerate(net.up):
        x = F.conv_transpose2d(x, up.larger.weight, up.larger.bias, 2)
        cut = (skips[3 - i].shape[-1] - x.shape[-1]) // 2
        x = twice(torch.cat((skips[3 - i][..., cut:-cut, cut:-cut], x), 1),
                  up.twice)
    return F.conv2d(x, net.score.weight, net.score.bias)


def test_forward_is_the_papers():
    net, x = small(padding="valid"), torch.rand(1, 1, 220, 220)
    assert torch.allclose(net(x), straightforward(net, x), atol=1e-5)


@given(st.integers(32, 75), st.integers(32, 75), st.booleans(),
       st.integers(1, 2))
@settings(max_examples=15, deadline=None)
def test_any_size_any_batch(height, width, training, batch):
    net = UNet(3, width=2).train(training)
    scores = net(torch.rand(batch, 3, height, width))
    assert scores.shape == (batch, 3, height, width)
    assert scores.isfinite().all()


def test_97_by_131():
    assert UNet(5, width=2)(torch.rand(1, 3, 97, 131)).shape[2:] == (97, 131)


@given(st.integers(1, 700))
@settings(max_examples=60, deadline=None)
def test_valid_sizes(n):
    with torch.device("meta"):
        net, x = UNet(2, 1, width=1, padding="valid"), torch.rand(
            1, 1, n, 188)
    if n % 16 == 12 and n >= 188:
        assert net(x).shape[2:] == (n - 184, 4)
    else:
        with pytest.raises(ValueError, match=f"^height is {n}; needed"
                           ".* nearest: ") as error:
            net(x)
        nearest = str(error.value).split("nearest: ")[1].split(" or ")
        assert all(int(m) % 16 == 12 and int(m) >= 188 for m in nearest)
        assert min(abs(int(m) - n) for m in nearest) == min(
            abs(m - n) for m in range(188, 800, 16))
        assert "\n" not in str(error.value)


def pictures(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype)


NAN = float("nan")
LOSS, MASK = BorderLoss(), torch.zeros(1, 8, 9, dtype=torch.uint8)
APART, ROOM = np.eye(4, dtype=int), np.full((6, 6), 0.7)


@pytest.mark.parametrize("make, said", [
    (lambda: UNet(2, padding="reflect"), "padding is 'reflect'"),
    (lambda: UNet(0), "num_classes is 0; needed: .* from 1"),
    (lambda: UNet(2, 0), "in_channels is 0"),
    (lambda: UNet(2, width=0), "width is 0"),
    (lambda: small()(pictures(1, 40, 40)), r"x is \(1, 40, 40\)"),
    (lambda: small()(pictures(2, 3, 40, 40)), r"needed: .*\(N, 1, H, W\)"),
    (lambda: small()(pictures(2, 1, 40, 40, dtype=torch.uint8)), "uint8"),
    (lambda: UNet(2, width=1)(torch.rand(1, 3, 31, 40)), "height is 31"),
    (lambda: UNet(2, width=1)(torch.rand(1, 3, 40, 8)), "width is 8"),
    (lambda: overlap_tile(small(), np.zeros((40, 40)), 36), "padding="),
    (lambda: overlap_tile(small(padding="valid"), np.zeros((40, 40)), 32),
     "tile is 32"),
    (lambda: overlap_tile(small(padding="valid"), ROOM, 36.0),
     "tile is 36.0; needed: 4 more than a multiple of 16, from 20"),
    (lambda: overlap_tile(small(padding="valid"), ROOM, -12), "tile is -12"),
    (lambda: overlap_tile(small(padding="valid"), ROOM, 4), "tile is 4;"),
    (lambda: border_weights(APART, sigma=0), "sigma is 0"),
    (lambda: border_weights(APART, sigma=NAN), "sigma is nan"),
    (lambda: border_weights(APART, w0=NAN), "w0 is nan"),
    (lambda: border_weights(APART, w0=-1), "w0 is -1"),
    (lambda: border_weights(np.zeros(4, int)), r"instances has shape \(4,\)"),
    (lambda: border_weights(np.zeros((0, 4), int)), "instances has shape"),
    (lambda: border_weights(-APART), "instances holds int64 from -1"),
    (lambda: border_weights(APART / 2), "instances holds float64"),
    (lambda: two_distances(APART / 2), "instances holds float64"),
    (lambda: BorderLoss(sigma=0), "sigma is 0"),
    (lambda: BorderLoss(w0=NAN), "w0 is nan"),
    (lambda: LOSS(pictures(1, 2, 8, 10), MASK), r"logits are for \(8, 10\)"),
    (lambda: LOSS(pictures(1, 2, 9, 8), MASK), r"logits are for \(9, 8\)"),
    (lambda: cells_of(np.zeros((2, 5, 5))), r"cell has shape \(2, 5, 5\)"),
    (lambda: cells_of(np.zeros((0, 5))), r"cell has shape \(0, 5\)"),
    (lambda: cells_of(np.where(APART, NAN, 0.5)), "cell is from nan"),
    (lambda: cells_of(9 * ROOM), "cell is from 6.3 to 6.3"),
    (lambda: cells_of(ROOM, likely=NAN), "likely is nan"),
    (lambda: cells_of(ROOM, sure=NAN), "likely is 0.4; .* nan"),
    (lambda: ElasticDeformation(-1), "sigma is -1"),
    (lambda: ElasticDeformation(NAN), "sigma is nan"),
    (lambda: ElasticDeformation(5, nodes=0), "nodes is 0"),
    (lambda: ElasticDeformation()(pictures(1, 3, 8, 8), MASK), "masks are"),
    (lambda: ElasticDeformation()(pictures(2, 3, 8, 9), MASK), "masks are"),
    (lambda: predict(small(padding="valid"), np.zeros((204, 220))),
     "model makes 20 × 36 scores of 204 × 220 pixels; needed"),
    (lambda: evaluate(small(padding="valid"), Cells(1, size=(204, 204))),
     "model makes 20 × 20 scores"),
    (lambda: fit(small(padding="valid"), Cells(1, size=(204, 204)),
                 Cells(1, size=(204, 204)), steps=9**9, progress=False),
     "model makes 20 × 20 scores"),
])
def test_errors_in_one_line(make, said):
    with pytest.raises(ValueError, match=said) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_norm_is_a_yes_or_no(padding):
    for no in (False, 0, np.False_):
        assert not any("BatchNorm" in type(m).__name__
                       for m in small(padding=padding, norm=no).modules())
    kinds = [type(m).__name__
             for m in small(padding=padding, norm=1).modules()]
    assert kinds.count("BatchNorm") == 18


def test_skips_arrive_at_their_level():
    """Each map is joined by the one of its own size, encoder first."""
    net = small(padding="valid")
    seen = []
    for up in net.up:
        up.twice[0].register_forward_pre_hook(
            lambda conv, args: seen.append(args[0]))
    x = torch.rand(1, 1, 188, 188)
    net(x)
    maps = net.down(4 * x - 2)[3::-1]
    for joined, skip in zip(seen, maps, strict=True):
        off = (skip.shape[-1] - joined.shape[-1]) // 2
        size = joined.shape[-1]
        assert torch.equal(joined[:, :skip.shape[1]],
                           skip[..., off:off + size, off:off + size])


def test_crop_is_the_middle():
    """Scores see as far to the left as to the right, with real weights."""
    net = small(padding="valid").eval()
    for p in net.parameters():
        p.data.abs_()
    x = torch.rand(1, 1, 220, 220)
    mirrored = net(x.flip(3)).flip(3)
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.weight.data = module.weight.data.flip(3)
    assert torch.allclose(net(x), mirrored, rtol=1e-4)


def test_first_weights_keep_the_signal():
    net = UNet(2, 1, width=16, padding="valid")
    maps = net.down(torch.randn(1, 1, 188, 188) / 2)
    for m in maps:
        assert 0.1 < m.pow(2).mean() < 10
    weight = net.up[0].larger.weight
    assert weight.std().item() == pytest.approx(
        (2 / weight.shape[0])**0.5, rel=0.05)
    assert all(not m.bias.any() for m in net.modules()
               if isinstance(m, nn.Conv2d))


def test_diagram_has_four_arcs():
    boxes = trace(small(padding="valid"), torch.rand(1, 1, 188, 188))
    assert sum(len(box.sources) > 1 for box in boxes) == 4


def test_scores_are_no_probabilities():
    """No softmax inside: adding a constant to the scores' bias shows."""
    net, x = small().eval(), torch.rand(1, 1, 32, 32)
    before = net(x)
    net.score.bias.data += 3
    assert torch.allclose(net(x), before + 3, atol=1e-5)


def test_judged_as_it_is_used():
    """Evaluation uses running statistics, and leaves no trace."""
    data = list(Cells(3, size=(32, 32)))
    net = small().train()
    state = {k: v.clone() for k, v in net.state_dict().items()}
    one_by_one = [evaluate(net, [s])["pixel_accuracy"] for s in data]
    together = evaluate(net, data)["pixel_accuracy"]
    assert np.mean(one_by_one) == pytest.approx(together)
    assert net.training
    assert all(v.equal(state[k]) for k, v in net.state_dict().items())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_learns_one_batch_by_heart(precision):
    data = [Sample(s.image, parted(s.instances), s.name)
            for s in Cells(2, size=(48, 48), touching=1)]
    history = fit(UNet(2, 1, width=8), data, steps=80, batch_size=2,
                  lr=0.01, every=80, progress=False, precision=precision)
    assert history.rows[-1]["loss"] < 0.05


def test_valid_net_trains():
    data = list(Cells(1, size=(204, 204)))
    history = fit(small(padding="valid"), data, steps=12, batch_size=1,
                  loss=BorderLoss(), every=12, progress=False)
    assert history.rows[-1]["loss"] < history.rows[0]["loss"]


def test_exported_for_multiples_of_16():
    net = small().eval()
    side = [16 * torch.export.Dim(n, min=2, max=64) for n in "hw"]
    batch = torch.export.Dim("n", max=64)
    program = torch.export.export(
        net, (torch.rand(2, 1, 48, 64),),
        dynamic_shapes=({0: batch, 2: side[0], 3: side[1]},))
    stream = io.BytesIO()
    torch.export.save(program, stream)
    stream.seek(0)
    x = torch.rand(3, 1, 80, 32)
    again = torch.export.load(stream).module()(x)
    assert torch.allclose(again, net(x), atol=1e-5)


# The gap

def brute_force(instances):
    y, x = np.indices(instances.shape)
    found = [np.min(np.hypot(y[..., None] - v, x[..., None] - u), axis=2)
             for n in np.unique(instances) if n
             for v, u in [np.nonzero(instances == n)]]
    found += [np.full(instances.shape, np.inf)] * 2
    return np.moveaxis(np.sort(found, axis=0)[:2], 0, 2)


@given(st.integers(0, 2**31), st.integers(1, 13), st.integers(1, 13),
       st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_two_distances_by_brute_force(seed, height, width, objects):
    rng = np.random.default_rng(seed)
    instances = rng.integers(0, objects + 1, (height, width))
    instances[rng.random((height, width)) < 0.7] = 0
    instances.flags.writeable = False
    assert np.allclose(two_distances(instances), brute_force(instances))


@pytest.mark.parametrize("reach", [0.5, 1, 3, 5, 6.5])
def test_two_distances_within_reach(reach):
    instances = np.zeros((23, 31), np.uint16)
    for number, (y, x) in enumerate(((0, 0), (9, 12), (9, 15), (22, 30)), 2):
        instances[y:y + 3, x:x + 2] = number
    exact = brute_force(instances)
    assert np.array_equal(two_distances(instances, reach),
                          np.where(exact <= reach, exact, np.inf))


@pytest.mark.parametrize("w0, sigma", [(10, 5), (3, 2), (10, 0.5)])
def test_border_weights_by_brute_force(w0, sigma):
    instances = np.zeros((40, 50), int)
    instances[5:30, 4:20], instances[8:35, 23:40] = 7, 2
    instances[36:39, 2:30] = 5
    near, second = np.moveaxis(brute_force(instances), 2, 0)
    expected = 1 + w0 * np.exp(-(near + second)**2 / (2 * sigma**2))
    expected[instances > 0] = 1
    assert np.allclose(border_weights(instances, w0, sigma), expected,
                       atol=1e-6)


def test_labels_of_any_kind():
    """Lists, bools, and numbers up to the largest; without ground, too."""
    labels = np.zeros((9, 12), np.int64)
    labels[2:5, 1:4], labels[1:8, 6:9] = 1, 2
    expected = border_weights(labels)
    huge = np.where(labels == 1, 2**40, labels * 5)
    for same in (labels.tolist(), labels.astype(np.uint8), huge):
        assert np.array_equal(border_weights(same), expected)
    assert np.array_equal(two_distances(huge), two_distances(labels))
    full = np.array([[10**9, 10**9, 3, 3]])
    assert two_distances(full)[0].tolist() == [
        [0, 2], [0, 1], [0, 1], [0, 2]]
    assert (border_weights(labels > 0) == 1).all()


def test_weights_without_two_objects():
    for instances in (np.zeros((5, 7), int), np.eye(7, dtype=int)):
        assert (border_weights(instances) == 1).all()


def test_border_loss_is_weighted_cross_entropy():
    target = torch.zeros(2, 12, 12, dtype=torch.uint8)
    target[:, 2:10, 1:5] = target[:, 2:10, 7:11] = 1
    target[0, 0] = VOID
    logits = torch.randn(2, 2, 12, 12, requires_grad=True)
    loss, total, known = BorderLoss(4, 3), 0, 0
    for z, t in zip(logits, target):
        w = border_weights(ndimage.label(t.numpy() == 1)[0], 4, 3)
        for y, x in np.argwhere(t.numpy() != VOID):
            total -= w[y, x] * z[:, y, x].log_softmax(0)[int(t[y, x])]
            known += 1
    assert torch.isclose(loss(logits, target), total / known)
    loss(logits, target).backward()
    assert not logits.grad[0, :, 0].any()
    middle = loss(logits[..., 3:-3, 2:-2], target)
    expected = (loss.weights(target)[:, 3:-3, 2:-2] * F.cross_entropy(
        logits[..., 3:-3, 2:-2], target[:, 3:-3, 2:-2].long(),
        reduction="none")).mean()
    assert torch.isclose(middle, expected)


def test_nobody_knows():
    target = torch.full((1, 4, 4), VOID, dtype=torch.uint8)
    assert BorderLoss()(torch.randn(1, 2, 4, 4), target) == 0


def test_parted_and_back():
    for sample in Cells(5, size=(96, 96), touching=1):
        mask = parted(sample.instances)
        found = panoptic_quality(cells_of(mask), sample.instances)
        assert found.sq > 0.95 and found.rq > 0.9
    assert not cells_of(np.zeros((40, 30), bool)).any()
    dust = np.zeros((40, 30), bool)
    dust[3:6, 3:6] = True
    assert not cells_of(dust).any()
    assert cells_of(dust, smallest=9).max() == 1


def test_cells_grow_into_what_is_likely():
    row = np.array([0.3, 0.45, 0.9, 0.9, 0.42, 0.41, 0.43, 0.9, 0.45, 0.1])
    cell = np.repeat(np.repeat(row, 3)[None], 6, axis=0)
    found = cells_of(cell, likely=0.4)[0].tolist()
    assert found == [0] * 3 + [1] * 12 + found[15:18] + [2] * 9 + [0] * 3
    narrow = cells_of(cell, likely=0.5)[0].tolist()
    assert narrow == [0] * 6 + [1] * 6 + [0] * 9 + [2] * 3 + [0] * 6
    with pytest.raises(ValueError, match="likely is 0.6; needed: at most"):
        cells_of(cell, likely=0.6)


# Bending

def test_image_and_mask_bend_together():
    column = torch.arange(80).expand(3, 64, 80)
    image, mask = ElasticDeformation(6)(
        torch.stack((column, column.flip(2)), 1).float(), column)
    inside = (image[:, 0] > 1) & (image[:, 0] < 78)
    off = (image[:, 0] - mask).abs()[inside]
    assert off.max() <= 0.51 and mask.dtype == column.dtype
    assert (mask != column).float().mean() > 0.5
    assert not mask[0].equal(mask[1])
    rows = torch.arange(64)[:, None].expand(1, 64, 80)
    image, mask = ElasticDeformation(6)(rows[:, None].float(), rows)
    inside = (image[:, 0] > 1) & (image[:, 0] < 62)
    assert (image[:, 0] - mask).abs()[inside].max() <= 0.51


def test_labels_stay_labels():
    mask = torch.from_numpy(np.random.default_rng(0).choice(
        [0, 3, 7, VOID], (2, 40, 50)).astype(np.uint8))
    _, bent = ElasticDeformation(5)(torch.rand(2, 3, 40, 50), mask)
    assert set(bent.unique().tolist()) <= {0, 3, 7, VOID}


def test_no_shift_is_no_change():
    images, masks = torch.rand(2, 3, 33, 47), torch.randint(0, 9, (2, 33, 47))
    same, labels = ElasticDeformation(0)(images, masks)
    assert torch.allclose(same, images, atol=1e-4) and labels.equal(masks)


def test_shifts_are_as_large_as_said():
    column = torch.arange(256.).expand(40, 256, 256)
    image, _ = ElasticDeformation(5, nodes=2)(column[:, None], column)
    corner = image[:, 0, 128, 128] - 128        # mean of four nodes
    assert 0.7 * 2.5 < corner.std() < 1.4 * 2.5


# Tiles

def with_whole_numbers(net):
    for w in net.double().parameters():
        few = torch.rand(w.shape) < 4 / w[0].numel()
        w.data = torch.randn(w.shape).sign().double() * few
    return net


@pytest.mark.parametrize("size", [(150, 131), (68, 68), (69, 20), (3, 200)])
def test_tiles_are_the_whole_to_the_last_bit(size):
    net = with_whole_numbers(small(padding="valid"))
    image = np.random.default_rng(0).integers(0, 5, size) / 4
    whole = overlap_tile(net, image, 212)
    assert whole.shape == (2, *size) and np.ptp(whole) > 0
    assert np.abs(whole).max() < 2**50
    for tile in (20, np.int64(36), 100):
        assert np.array_equal(overlap_tile(net, image, tile), whole)


def test_tiles_are_the_net():
    """Equal to one look at the mirrored picture."""
    net = with_whole_numbers(small(padding="valid")).eval()
    image = np.random.default_rng(1).integers(0, 5, (100, 84)) / 4
    x = torch.from_numpy(np.pad(image, 92, "reflect"))[None, None]
    with torch.inference_mode():
        assert np.array_equal(overlap_tile(net, image, 36), net(x)[0])


def test_float32_tiles_agree():
    net = small(padding="valid")
    image = np.random.default_rng(0).integers(0, 256, (150, 131, 1)).astype(
        np.uint8)
    tiles, whole = (overlap_tile(net, image, t) for t in (68, 164))
    assert tiles.dtype == np.float32
    assert np.allclose(tiles, whole, atol=1e-4 * np.abs(whole).max())
    assert net.training


def test_padded_net_in_windows():
    image = Cells(1, size=(420, 352))[0].image
    net = UNet(2, 1, width=2)
    whole, parts = (predict(net, image, window=w, probability=True,
                            precision="fp32") for w in (1024, 288))
    assert np.allclose(whole, parts, atol=1e-5)
