"""FCN: against torchvision, interpolation, and gradients that tell the truth."""
import os
import urllib.error
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import seglib
from seglib import fcn, training

NETS = (fcn.FCN32s, fcn.FCN16s, fcn.FCN8s)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(net=fcn.FCN8s, classes=5, seed=0, **more):
    torch.manual_seed(seed)
    return net(classes, **{"width": 2, "norm": True, "padded": True} | more)


def speak(net, seed=0):
    """Give score layers, which begin with zeros, something to say."""
    torch.manual_seed(seed)
    for layer in net.scores:
        nn.init.normal_(layer.weight)
    return net.eval()


def count(module):
    return sum(p.numel() for p in module.parameters())


# Counts and the classifier
# -------------------------

@pytest.mark.parametrize("net, all_of_it, learnt", [
    (fcn.FCN32s, 136_152_917, 134_346_581),
    (fcn.FCN16s, 134_815_994, 134_357_354),
    (fcn.FCN8s, 134_489_759, 134_362_751)])
def test_counts_of_the_paper(net, all_of_it, learnt):
    with torch.device("meta"):
        model = net(21)
    assert count(model) == all_of_it
    assert sum(p.numel() for p in model.parameters()
               if p.requires_grad) == learnt


def test_vgg16_is_torchvisions():
    with torch.device("meta"):
        theirs = torchvision.models.vgg16()
        assert count(fcn.VGG16()) == count(theirs)
        normed = torchvision.models.vgg16_bn().features
        assert count(fcn.vgg_stages(norm=True)) == count(normed)


def test_a_matrix_as_convolution_gives_the_same_scores():
    torch.manual_seed(0)
    net = fcn.VGG16(7, width=2).eval()
    x = torch.rand(2, 3, 224, 224)
    head = fcn.convolutional(net)
    made = head(net.features(x))
    assert made.shape == (2, 7, 1, 1)
    torch.testing.assert_close(made[..., 0, 0], net(x))
    linear = net.classifier[0]
    assert head[0].weight.data_ptr() == linear.weight.data_ptr()
    wide = head(net.features(torch.rand(1, 3, 256, 288)))
    assert wide.shape == (1, 7, 2, 3)


def test_a_matrix_that_is_none():
    with pytest.raises(ValueError, match=r"linear takes 100 numbers"):
        fcn.as_convolution(nn.Linear(100, 2), 8)


def test_tags_are_what_masks_hold():
    """By hand: class 1 has 3 of 4 x 25 pixels, class 2 has 1, VOID 10."""
    masks = torch.zeros(2, 10, 10, dtype=torch.uint8)
    masks[0, 0, :3], masks[0, 1, 0], masks[0, 2] = 1, 2, fcn.VOID
    masks[1] = 3
    there = torch.tensor([[1., 1, 0, 0], [0, 0, 0, 1]])
    logits = torch.randn(2, 4)
    chance = logits.sigmoid()
    right = -(there * chance.log() + (1 - there) * (1 - chance).log())
    torch.testing.assert_close(fcn.tag_loss(logits, masks), right.mean())


# Where does a score lie?
# -----------------------

def measured(layers, at, size):
    """First and last pixel that a score depends on, by its gradient."""
    x = torch.rand(1, 1, 4, size).requires_grad_()
    y = layers(x)
    y[0, :, 0, at].sum().backward()
    seen = x.grad[0, 0].abs().sum(0).nonzero()
    return int(seen.min()), int(seen.max())


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3),
                          st.integers(0, 1), st.integers(1, 2)),
                min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_receptive_field_is_what_the_gradient_sees(chain):
    layers = nn.Sequential(*(
        nn.Conv2d(1, 1, (1, k), (1, s), (0, p), (1, d))
        for k, s, p, d in chain))
    for layer in layers:
        nn.init.ones_(layer.weight)
    size = 400
    along = nn.Sequential(*(nn.Conv2d(1, 1, k, s, p, d)
                            for k, s, p, d in chain))
    field = fcn.receptive_field(along)
    at = layers(torch.rand(1, 1, 4, size)).shape[-1] // 2
    first, last = measured(layers, at, size)
    assert (first + last) / 2 == field.start + at * field.stride
    if all(s <= d * (k - 1) + 1 for k, s, p, d in chain):
        assert last - first + 1 == field.size


def test_the_papers_field():
    with torch.device("meta"):
        net = fcn.FCN8s(21).trunk
    chain = [part for stage in net.stages for part in (stage, net.pool)]
    assert fcn.receptive_field(*chain, net.fc) == (404, 32, 12.5)
    assert fcn.receptive_field(*chain) == (212, 32, -83.5)


def test_padded_scores_lie_in_the_middle_of_their_pixels():
    with torch.device("meta"):
        net = fcn.FCN8s(21, padded=True).trunk
    chain = [part for stage in net.stages for part in (stage, net.pool)]
    assert fcn.receptive_field(*chain, net.fc) == (404, 32, 15.5)


def test_a_layer_that_works_twice_counts_twice():
    conv = nn.Conv2d(3, 3, 3)
    assert fcn.receptive_field(nn.Sequential(conv, conv)).size == 5


@pytest.mark.parametrize("layer, said", [
    (nn.Conv2d(3, 3, 3, padding="same"), "padding is 'same'"),
    (nn.Sequential(nn.ConvTranspose2d(3, 3, 2)), "ConvTranspose2d"),
    (nn.Upsample(scale_factor=2), "makes maps finer")])
def test_layers_that_have_no_field(layer, said):
    with pytest.raises(ValueError, match=said):
        fcn.receptive_field(layer)


# From coarse to fine
# -------------------

@pytest.mark.parametrize("factor", [2, 4, 8, 16, 32])
def test_upsampling_is_bilinear_interpolation(factor):
    x = torch.rand(2, 3, 5, 6)
    made = fcn.Upsample(3, factor, factor // 2)(x)
    right = F.interpolate(x, scale_factor=factor, mode="bilinear",
                          align_corners=False)
    inside = (..., slice(factor // 2, -(factor // 2)),
              slice(factor // 2, -(factor // 2)))
    assert made.shape == right.shape
    torch.testing.assert_close(made[inside], right[inside])


def test_what_interpolates_does_not_learn():
    net = small()
    training.fit(net, [sample()], steps=2, batch_size=1, device="cpu",
                 progress=False)
    assert torch.equal(net.ups[0].weight[0, 0], fcn.bilinear_kernel(2))
    assert not net.ups[0].weight[0, 1].any()


def test_from_the_corner():
    """Scores that rise in a line keep rising in that line."""
    line = torch.arange(5.0).expand(1, 1, 3, 5)
    made = fcn._from_corner(line, 4)
    np.testing.assert_allclose(made[0, 0, 0, :17], np.arange(17) / 4)


def test_odd_factors_have_no_middle():
    with pytest.raises(ValueError, match="factor is 3; needed: an even"):
        fcn.Upsample(2, 3)


# FCN
# ---

@given(st.integers(32, 140), st.integers(32, 140), st.sampled_from(NETS),
       st.booleans(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_any_size(height, width, net, padded, train):
    model = small(net, padded=padded, width=1).train(train)
    x = torch.rand(1, 3, height, width)
    assert model(x).shape == (1, 5, height, width)


def test_too_small():
    for net in (small(), fcn.fcn_squeezenet(2), fcn.fcn_resnet50(2)):
        for size, said in ((31, 40), "31 x 40"), ((32, 8), "32 x 8"):
            with pytest.raises(ValueError) as caught:
                net(torch.rand(1, 3, *size))
            assert str(caught.value) == (
                f"x is {said} pixels; needed: 32 x 32 or more")
    x = torch.rand(1, 3, 32, 33)
    assert fcn.large_enough(x) is x


@pytest.mark.parametrize("make", [
    small, lambda **more: fcn.fcn_squeezenet(2, **more),
    lambda **more: fcn.fcn_resnet50(2, **more)])
def test_pictures_of_another_kind(make):
    """One channel would be taken for three, and 255 for 255 times 1."""
    net = make()
    for x, kind in ((torch.rand(1, 1, 40, 40), "shape"),
                    (torch.rand(3, 40, 40), "shape"),
                    (torch.ones(1, 3, 40, 40, dtype=torch.uint8), "uint8")):
        with pytest.raises((ValueError, TypeError), match=kind) as caught:
            net(x)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make, said", [
    (lambda: fcn.FCN8s(0), "num_classes is 0; needed: a whole number from 1"),
    (lambda: fcn.FCN8s(2, width=0), "width is 0; needed: a whole number from 1"),
    (lambda: fcn.fcn_resnet50(0), "num_classes is 0; needed: a whole number from 1"),
    (lambda: fcn.fcn_squeezenet(-1), "num_classes is -1; needed"),
    (lambda: fcn.VGG16(size=100), "size is 100; needed: a multiple of 32"),
])
def test_numbers_that_make_no_network(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_no_second_head():
    with pytest.raises(ValueError, match=r"aux=True\)$"):
        fcn.fcn_resnet50(2)(torch.rand(1, 3, 32, 32), aux=True)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("padded", [False, True])
def test_scores_lie_where_they_look(net, padded):
    """All scores of a net, alone, are centred on one another: a bump in
    any of them ends up over the pixels that made it."""
    model = small(net, padded=padded, norm=False)
    chain = [part for stage in model.trunk.stages
             for part in (stage, model.trunk.pool)]
    fields = [fcn.receptive_field(*chain, model.trunk.fc),
              fcn.receptive_field(*chain[:8]),
              fcn.receptive_field(*chain[:6])]
    size = (224, 256)
    maps = model.trunk(torch.rand(1, 3, *size))
    for i in range(len(model.crops)):
        scores = [torch.zeros(1, 5, *m.shape[-2:])
                  for m in maps[:len(model.crops)]]
        at = [round((side / 2 - fields[i].start) / fields[i].stride)
              for side in size]
        scores[i][..., at[0], at[1]] = 1
        made = fcn.climb(scores, model.ups, model.crops, size)[0, 0]
        assert made.min() == 0 < made.max()
        places = torch.meshgrid(torch.arange(224.0), torch.arange(256.0),
                                indexing="ij")
        for place, j in zip(places, at):
            centre = float((place * made).sum() / made.sum())
            assert centre == pytest.approx(
                fields[i].start + j * fields[i].stride, abs=1e-2)


def test_scores_lie_where_they_look_on_squeezenet():
    net = fcn.fcn_squeezenet(1).eval()
    fields = [fcn.receptive_field(net.features[:tap]) for tap in net.taps]
    assert [field[1:] for field in fields] == [(16, 0), (8, 0), (4, 0)]
    seen = []
    for layer in net.scores:
        layer.register_forward_hook(lambda layer, args, made: torch.zeros(
            made.shape).index_put(layer.bump, torch.tensor(1.0)))
    none = torch.empty(0, dtype=torch.long)
    for i, field in enumerate(fields):
        for layer in net.scores:
            layer.bump = (none,) * 4
        at = [48 // field.stride, 64 // field.stride]
        net.scores[i].bump = tuple(map(torch.tensor, (0, 0, *at)))
        with torch.inference_mode():
            made = net(torch.rand(1, 3, 97, 131))[0, 0]
        seen.append((made == made.max()).nonzero().tolist())
    assert seen == 3 * [[[48, 64]]]


@pytest.mark.parametrize("net, crops", list(zip(NETS, (
    (19,), (5, 27), (5, 9, 31)))))
def test_crops_of_the_paper(net, crops):
    assert net.crops == small(net, padded=False).crops == crops
    assert not any(small(net).crops)


@pytest.mark.parametrize("net", NETS)
def test_begins_without_an_opinion(net):
    assert not small(net)(torch.rand(2, 3, 40, 50)).any()


def test_each_skip_reaches_the_scores():
    """Exchanged or missing skips: each stage has its own channels."""
    model = speak(small())
    x = torch.rand(1, 3, 64, 64)
    whole = model(x)
    for i, layer in enumerate(model.scores):
        kept = layer.weight.detach().clone()
        layer.weight.data.zero_()
        change = (model(x) - whole).abs().amax((0, 1))
        layer.weight.data.copy_(kept)
        assert change.max() > 0
        assert layer.in_channels == (128, 16, 8)[i]


def test_all_of_a_vgg_but_its_last_layer_is_taken_over():
    torch.manual_seed(0)
    vgg = fcn.VGG16(7, width=2).eval()
    net = fcn.FCN32s(5, width=2, padded=True, weights=vgg.state_dict())
    x = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        hidden = vgg.classifier[:5](vgg.features(x).flatten(1))
        made = net.eval().trunk(x)[0][..., 3, 3]
    torch.testing.assert_close(made, hidden, atol=1e-5, rtol=0)


@pytest.mark.parametrize("counted", [True, False])
def test_weights_of_torchvisions_vgg_with_normalisation(counted):
    """Statistics too; files of before 2018 lack the number of batches."""
    torch.manual_seed(0)
    theirs = torchvision.models.vgg16_bn().features.eval()
    for part in theirs:
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.1, 0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    state = {f"features.{k}": v for k, v in theirs.state_dict().items()
             if counted or "num_batches" not in k}
    with torch.device("meta"):
        net = fcn.Trunk(3, 64, norm=True, padded=True).eval()
    net.stages.to_empty(device="cpu")
    fcn._take_over(net, state)
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        right, made = theirs(x), x
        for stage in net.stages:
            made = F.max_pool2d(stage(made), 2)
    assert right.any()
    torch.testing.assert_close(made, right, atol=1e-4, rtol=1e-4)


def of(net=fcn.VGG16, **settings):
    return net(3, **{"width": 2} | settings).state_dict()


@pytest.mark.parametrize("weights, said", [
    (lambda: "ImageNet", "weights is 'ImageNet'; needed: 'imagenet' or"),
    (fcn.Standardise, "weights is a Standardise; needed: 'imagenet' or"),
    (dict, "weights has nothing for stages.0.0.weight; needed: (2, 3, 3, 3)"),
    (lambda: of(size=32),
     "weights has (128, 16) for fc.0.weight; needed: (128, 16, 7, 7)"),
    (lambda: of(width=1), "weights has (1, 3, 3, 3) for"),
    (lambda: of(norm=True), "weights has (2,) for"),
    (lambda: of(fcn.FCN32s), "weights has nothing for"),
    (lambda: "imagenet", "width is 2; needed with weights='imagenet': 64")])
def test_weights_that_do_not_fit_a_vgg(weights, said, monkeypatch):
    monkeypatch.setattr(fcn, "imagenet_state", pytest.fail)
    with pytest.raises(ValueError) as caught:
        small(norm=False, weights=weights())
    assert str(caught.value).startswith(said)


def test_a_checkpoint_of_an_fcn_is_not_a_vggs():
    """With normalisation its first layers are those of a vgg16_bn."""
    with pytest.raises(ValueError, match="nothing for 0.0.weight"):
        small(weights=of(fcn.FCN32s, norm=True))


@pytest.mark.parametrize("make", [fcn.fcn_resnet50, fcn.fcn_squeezenet])
@pytest.mark.parametrize("channels, weights", [
    (3, "ImageNet"), (1, "imagenet"), (3, {}),
    (3, {"features.0.weight": torch.zeros(2, 3, 3, 3)})])
def test_weights_that_do_not_fit(make, channels, weights, monkeypatch):
    monkeypatch.setattr(fcn, "imagenet_state", pytest.fail)
    with pytest.raises(ValueError, match="needed") as caught:
        make(2, channels, weights=weights)
    assert "\n" not in str(caught.value)


def test_another_heads_weights_are_named(theirs):
    with pytest.raises(ValueError, match=r"\(21,.* for classifier.4.weight"):
        fcn.fcn_resnet50(2, weights=theirs.state_dict())
    state = {k: v for k, v in theirs.state_dict().items() if "aux" not in k}
    with pytest.raises(ValueError, match="nothing for aux_classifier"):
        fcn.fcn_resnet50(21, aux=True, weights=state)
    state["backbone.layer3.6.conv1.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match="needed: nothing"):
        fcn.fcn_resnet50(21, weights=state)


# torchvision's FCN
# -----------------

@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    return torchvision.models.segmentation.fcn_resnet50(
        weights=None, weights_backbone=None, num_classes=21,
        aux_loss=True).eval()


def test_resnet_counts():
    with torch.device("meta"):
        assert count(fcn.fcn_resnet50(21, aux=True)) == 35_322_218
        assert count(fcn.fcn_resnet50(21)) == 32_957_013


def test_the_logits_of_torchvision(theirs):
    mine = fcn.fcn_resnet50(21, aux=True, weights=theirs.state_dict())
    mine.eval()
    x = torch.rand(1, 3, 65, 97)
    with torch.inference_mode():
        right = theirs((x - mine.input.mean) / mine.input.std)
        logits, aux = mine(x, aux=True)
    torch.testing.assert_close(logits, right["out"])
    torch.testing.assert_close(aux, right["aux"])
    plain = fcn.fcn_resnet50(21, weights=theirs.state_dict()).eval()
    with torch.inference_mode():
        torch.testing.assert_close(plain(x), right["out"])


def test_standardised_as_imagenet():
    from torchvision.transforms import v2
    x = torch.rand(2, 3, 8, 8)
    right = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(x)
    torch.testing.assert_close(fcn.Standardise()(x), right)
    assert not fcn.Standardise().state_dict()


def test_other_channels():
    assert fcn.fcn_resnet50(2, 4).eval()(
        torch.rand(1, 4, 33, 40)).shape == (1, 2, 33, 40)
    assert small(in_channels=1)(torch.rand(2, 1, 40, 40)).shape == (
        2, 5, 40, 40)
    with pytest.raises(ValueError, match="in_channels is 1"):
        fcn.fcn_squeezenet(2, 1)


def test_one_picture_in_train_mode():
    net = fcn.fcn_resnet50(3).train()
    assert net(torch.rand(1, 3, 32, 32)).isfinite().all()


# Recipes
# -------

def test_the_sum_is_the_mean_times_the_known_pixels():
    logits, target = torch.randn(2, 5, 6, 7), torch.randint(5, (2, 6, 7))
    target[0, :3] = fcn.VOID
    known = int((target != fcn.VOID).sum())
    mean = training.cross_entropy(logits, target)
    torch.testing.assert_close(
        fcn.summed_cross_entropy(logits, target), known * mean)


@pytest.mark.parametrize("recipe", [fcn.PAPER, fcn.PUBLISHED, fcn.OURS])
def test_recipes_train(recipe):
    net = small(classes=3)
    history = training.fit(net, [sample()], device="cpu", progress=False,
                           **vars(replace(recipe, steps=2, epochs=None)))
    assert len(history.rows) == 2 and net.scores[0].weight.any()


# Borrowed weights
# ----------------

def test_no_network_is_said_in_one_line(monkeypatch, tmp_path):
    def unplugged(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("SEGLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", unplugged)
    monkeypatch.setattr("torch.hub.urlopen", unplugged)
    for make, name in ((fcn.fcn_resnet50, "resnet50-"),
                       (fcn.fcn_squeezenet, "squeezenet1_0-"),
                       (fcn.FCN8s, "vgg16-"),
                       (lambda *a, **k: fcn.FCN8s(*a, norm=True, **k),
                        "vgg16_bn-")):
        monkeypatch.setattr(fcn, "_two_convolutions", lambda *settings: (
            nn.Sequential(nn.Identity(), fcn.BatchNorm(1)) if settings[1]
            else nn.Sequential(nn.Identity(), nn.ReLU())))  # or 0.5 GB
        with pytest.raises(ConnectionError) as caught:
            make(2, weights="imagenet")
        said = str(caught.value)
        assert name in said and str(tmp_path) in said
        assert "$SEGLIB_WEIGHTS" in said and "\n" not in said


def test_a_folder_or_a_file_to_blame_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGLIB_WEIGHTS", str(tmp_path / "file" / "in it"))
    with pytest.raises(OSError, match="in it") as caught:
        fcn.imagenet_state("squeezenet1_0")
    assert not isinstance(caught.value, ConnectionError)
    monkeypatch.setenv("SEGLIB_WEIGHTS", str(tmp_path))
    (tmp_path / "squeezenet1_0-b66bff10.pth").write_bytes(b"half a file")
    with pytest.raises(ValueError, match="b66bff10.pth is damaged"):
        fcn.imagenet_state("squeezenet1_0")


def test_a_file_that_is_there_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGLIB_WEIGHTS", str(tmp_path))
    torch.manual_seed(1)
    state = torchvision.models.squeezenet1_0().state_dict()
    torch.save(state, tmp_path / "squeezenet1_0-b66bff10.pth")
    net = fcn.fcn_squeezenet(2, weights="imagenet")
    assert torch.equal(net.features[0].weight, state["features.0.weight"])


@pytest.mark.real
def test_real_weights_name_what_is_there():
    """ImageNet's weights tell coffee, a cat and a motorcycle apart, and our
    trunk takes them all."""
    file = "squeezenet1_0-imagenet.npz"
    if not (Path(os.environ.get("SEGLIB_WEIGHTS", ".")) / file).exists():
        pytest.skip(f"needs {file} in the folder $SEGLIB_WEIGHTS")
    import results
    transfer = results.load(ROOT / "book" / "experiments" / "12_transfer.py")
    state = transfer.squeezenet_state()
    [row] = transfer.named_right(state)
    assert row["n"] == 3 and row["low"] > 0.7
    net = fcn.fcn_squeezenet(2, weights=state)
    for name, weight in net.features.state_dict().items():
        assert torch.equal(weight, state[f"features.{name}"])


def sample(seed=0, classes=3, size=40):
    from seglib.datasets import Sample
    rng = np.random.default_rng(seed)
    mask = np.zeros((size, size), np.uint8)
    mask[8:30, 4:20], mask[18:36, 22:38] = 1, 2
    image = np.stack([60 + 70 * mask] * 3, 2) + rng.integers(0, 20, (
        size, size, 3))
    return Sample(image.astype(np.uint8), mask, "x",
                  classes=("ground", "a", "b"))


def test_frozen_parts_stay_as_they_are():
    """Weights, and the running statistics of batch normalisation too."""
    net = small(classes=3)
    fcn.freeze(net.trunk)
    before = {k: v.clone() for k, v in net.trunk.state_dict().items()}
    training.fit(net, [sample()], steps=3, batch_size=2, device="cpu",
                 progress=False)
    for key, value in net.trunk.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert net.scores[0].weight.any()


def test_torchvisions_normalisation_is_frozen_too():
    part = fcn.freeze(torchvision.models.squeezenet1_0().features[:1])
    part.append(nn.BatchNorm2d(96))
    fcn.freeze(part)
    part.train()(torch.rand(2, 3, 32, 32))
    assert not part[1].running_mean.any()


def test_slow_parts_move_less():
    moved = []
    for rate in (1, 0.1):
        net = small(classes=3)
        for layer in net.scores:
            nn.init.normal_(layer.weight, std=0.1)
        fcn.slow_down(net.trunk, rate)
        before = net.trunk.stages[4][0].weight.detach().clone()
        training.fit(net, [sample()], steps=1, batch_size=1, device="cpu",
                     warmup=0, progress=False, weight_decay=0,
                     optimizer="sgd", lr=0.1, clip=0, precision="fp32")
        moved.append(float((net.trunk.stages[4][0].weight - before)
                           .detach().norm()))
    assert 0 < moved[1] == pytest.approx(moved[0] / 10, rel=1e-3)


# All of them
# -----------

MAKERS = {
    "32s": lambda: small(fcn.FCN32s, 3, width=8),
    "16s": lambda: small(fcn.FCN16s, 3, width=8),
    "8s": lambda: small(fcn.FCN8s, 3, width=8),
    "8s, paper": lambda: small(fcn.FCN8s, 3, width=4, padded=False),
    "squeezenet": lambda: fcn.fcn_squeezenet(3),
}


@pytest.mark.parametrize("name", MAKERS)
def test_learns_a_picture_by_heart(name):
    torch.manual_seed(0)
    net = MAKERS[name]()
    for part in net.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    blocks = sample(size=64)
    blocks.mask[:] = np.kron([[0, 1], [2, 0]], np.ones((32, 32)))
    blocks.image[:] = (60 + 70 * blocks.mask)[..., None]
    history = training.fit(
        net, [blocks], steps=100 if name == "32s" else 45, batch_size=1,
        warmup=5, progress=False,
        lr={"32s": 1e-2, "squeezenet": 1e-3}.get(name, 3e-3), device="cpu",
        every=1000)
    losses = [row["loss"] for row in history.rows]
    assert min(losses) < 0.05, name


def test_bf16():
    net = speak(small())
    x = torch.rand(1, 3, 40, 50)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        rough = net(x).float()
    with torch.inference_mode():
        exact = net(x)
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize("first, others", [
    ((96, 128), [(64, 96), (96, 160)]), ((97, 131), [(65, 99), (39, 67)])])
def test_export_with_free_sizes(first, others):
    """Whether a map is cut becomes part of what `export` makes; so it takes
    sizes that are cut as the first was. (ONNX takes all: test_models.)"""
    net = speak(small())
    some = torch.export.Dim.AUTO
    made = torch.export.export(
        net, (torch.rand(2, 3, *first),), dynamic_shapes=(
            {0: some, 2: some, 3: some},)).module()
    for size in (first, *others):
        x = torch.rand(2, 3, *size)
        torch.testing.assert_close(made(x), net(x))


def test_registered():
    assert seglib.resolve("model", "fcn8s") is fcn.FCN8s
    assert seglib.resolve("model", "fcn_squeezenet") is fcn.fcn_squeezenet
