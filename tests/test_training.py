"""Losses, schedules, the loop and its mishaps, prediction in pieces."""
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from seglib import metrics, training
from seglib.datasets import Sample
from seglib.display import VOID
from seglib.runs import World
from seglib.training import ConvNet, PixelClassifier, fit, predict

LOSSES = list(training.LOSSES.items())
by_loss = pytest.mark.parametrize("name, loss", LOSSES,
                                  ids=[name for name, _ in LOSSES])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def problem(seed=0, classes=3, shape=(2, 5, 7), void=0.2, double=True):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, shape)
    target[rng.random(shape) < void] = VOID
    logits = rng.normal(0, 2, (shape[0], classes, *shape[1:]))
    dtype = torch.float64 if double else torch.float32
    return (torch.tensor(logits, dtype=dtype, requires_grad=True),
            torch.tensor(target))


def picture(seed, size=(40, 48), classes=3):
    """Colour tells the class, up to noise."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, classes, (size[0] // 8, size[1] // 8))
    mask = np.kron(mask, np.ones((8, 8))).astype(np.uint8)
    image = 40 + 70 * mask[..., None] + rng.integers(0, 40, (*size, 3))
    mask[:2] = VOID
    return Sample(image.astype(np.uint8), mask, f"p{seed}",
                  classes=("a", "b", "c"))


@pytest.fixture(scope="module")
def data():
    return [picture(i) for i in range(12)]


def model(seed=0, **settings):
    torch.manual_seed(seed)
    return ConvNet(3, **{"width": 6, "depth": 2} | settings)


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in
               zip(a.state_dict().values(), b.state_dict().values()))


# Losses

@by_loss
def test_nobody_knows(name, loss):
    logits, target = problem()
    value = loss(logits, torch.full_like(target, VOID))
    value.backward()
    assert value == 0 and not logits.grad.any()


@by_loss
def test_void_pixels_have_no_say(name, loss):
    logits, target = problem(void=0.3)
    value = loss(logits, target)
    value.backward()
    void = (target == VOID)[:, None].expand_as(logits)
    assert not logits.grad[void].any() and logits.grad[~void].any()
    other = torch.where(void, logits * 3 - 1, logits).detach()
    assert torch.isclose(loss(other, target), value)


@by_loss
def test_gradients_are_the_losses(name, loss):
    """Single precision inside, so differences are taken wide."""
    logits, target = problem(shape=(1, 4, 5))
    loss(logits, target).backward()
    rng, step = np.random.default_rng(0), 2e-3
    for at in rng.permutation(logits.numel())[:12]:
        shift = torch.zeros_like(logits)
        shift.view(-1)[int(at)] = step
        with torch.no_grad():
            slope = (loss(logits + shift, target)
                     - loss(logits - shift, target)) / (2 * step)
        assert abs(slope - logits.grad.view(-1)[int(at)]) < 2e-3


@by_loss
def test_gradcheck_in_double_precision(name, loss, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    logits, target = problem(shape=(1, 3, 4))
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits)


@given(st.integers(0, 10**6), st.integers(2, 6))
@settings(max_examples=20)
def test_cross_entropy_is_torchs(seed, classes):
    logits, target = problem(seed, classes, double=False)
    if (target == VOID).all():
        return
    ours = training.cross_entropy(logits, target)
    assert torch.isclose(ours, F.cross_entropy(logits, target,
                                               ignore_index=VOID))
    weights = torch.rand(classes) + 0.1
    known = target[target != VOID]
    theirs = F.cross_entropy(logits, target, weights, ignore_index=VOID)
    assert torch.isclose(
        training.cross_entropy(logits, target, weights),
        theirs * weights[known].sum() / len(known))


@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2, 5])
def test_focal_is_torchvisions(gamma):
    z = torch.randn(1, 1, 8, 9) * 3
    y = torch.randint(0, 2, (1, 8, 9))
    theirs = sigmoid_focal_loss(z[:, 0], y.float(), alpha=-1, gamma=gamma,
                                reduction="mean")
    two = torch.cat([torch.zeros_like(z), z], 1).requires_grad_()
    ours = training.focal(two, y, gamma=gamma)
    assert torch.isclose(ours, theirs, rtol=1e-4)
    ours.backward()
    assert torch.isfinite(two.grad).all()


def test_focal_takes_weights():
    logits, target = problem(double=False)
    weights = torch.tensor([0.5, 2.0, 3.0])
    ours = training.focal(logits, target, weights, gamma=0)
    assert torch.isclose(ours, training.cross_entropy(logits, target,
                                                      weights))


def test_dice_is_its_formula():
    logits, target = problem(double=False)
    p, known = logits.softmax(1), target != VOID
    by_class = []
    for k in range(3):
        q, y = p[:, k][known], (target[known] == k).float()
        by_class.append(1 - (2 * (q * y).sum() + 1)
                        / (q.sum() + y.sum() + 1))
    assert torch.isclose(training.dice_loss(logits, target),
                         torch.stack(by_class).mean())


def lovasz_extension(error, truth):
    """By its definition: an expectation over a random threshold."""
    values = np.unique(np.append(error, [0, 1]))
    total = 0
    for low, high in itertools.pairwise(values):
        wrong = error > (low + high) / 2
        union = np.sum(truth | wrong)
        total += (high - low) * (wrong.sum() / union if union else 0)
    return total


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_lovasz_is_its_definition(seed):
    logits, target = problem(seed, double=False)
    p, known = logits.detach().softmax(1).numpy(), (target != VOID).numpy()
    expected = []
    for k in np.unique(target[target != VOID]):
        truth = target.numpy()[known] == k
        expected.append(lovasz_extension(
            np.abs(truth - p[:, k][known]), truth))
    assert np.isclose(training.lovasz_softmax(logits, target).item(),
                      np.mean(expected), atol=1e-5)


def test_lovasz_at_a_corner_is_the_jaccard_distance():
    torchmetrics = pytest.importorskip("torchmetrics")
    logits, target = problem(void=0, double=False)
    sure = 1e4 * F.one_hot(logits.argmax(1), 3).movedim(-1, 1).float()
    jaccard = torchmetrics.functional.jaccard_index(
        logits.argmax(1), target, "multiclass", num_classes=3)
    assert torch.isclose(training.lovasz_softmax(sure, target), 1 - jaccard,
                         atol=1e-5)


def test_absent_classes_do_not_count():
    logits, target = problem(classes=4, void=0, double=False)
    target = target % 2
    sure = 1e4 * F.one_hot(target, 4).movedim(-1, 1).float()
    for loss in (training.dice_loss, training.lovasz_softmax):
        assert loss(sure, target) < 1e-6


def test_dice_of_absent_classes():
    logits, target = problem(classes=4, void=0, double=False)
    two = training.dice_loss(logits[:, :2], target % 2)
    four = training.dice_loss(
        torch.cat([logits[:, :2], torch.full_like(logits[:, :2], -1e4)], 1),
        target % 2)
    assert torch.isclose(two, four)


# Class weights

def test_median_frequency_counts_only_images_with_the_class():
    a, b = np.zeros((10, 10), int), np.zeros((10, 10), int)
    a[0] = 1                        # 10 of the 100 pixels where it occurs
    b[:5] = VOID
    weights = training.class_weights([a, b], 3, power=1, cap=100)
    frequency = np.array([140 / 150, 10 / 100])
    np.testing.assert_allclose(weights[:2],
                               np.median(frequency) / frequency, rtol=1e-6)
    assert weights[2] == 100
    capped = training.class_weights([a, b], 3, power=1, cap=2)
    assert capped.max() == 2


def test_enet_weights():
    mask = np.array([[0, 0, 0, 1, VOID]])
    np.testing.assert_allclose(
        training.class_weights([mask], 3, "enet"),
        1 / np.log(1.02 + np.array([0.75, 0.25, 0])), rtol=1e-5)
    with pytest.raises(ValueError, match="scheme is 'foo'"):
        training.class_weights([mask], 3, "foo")


# Schedule, optimiser

@pytest.mark.parametrize("power", [0.9, 1, 2])
def test_poly_is_torchs(power):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    theirs = torch.optim.lr_scheduler.PolynomialLR(optimizer, 30, power)
    for step in range(30):
        assert np.isclose(training.poly(step, 30, power),
                          optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert training.poly(30, 30) == 0


def test_warmup_rises_to_one_and_stays_continuous():
    factors = [training.poly(s, 100, warmup=10) for s in range(100)]
    assert (np.diff(factors[:11]) > 0).all() and factors[10] == 1
    assert (np.diff(factors[10:]) < 0).all()
    assert np.isfinite(training.poly(0, 1, warmup=20))


def test_biases_and_norms_are_not_decayed():
    net = model()
    decayed, free = training.make_optimizer(net).param_groups
    assert all(p.ndim > 1 for p in decayed["params"])
    assert free["weight_decay"] == 0 and len(free["params"]) == 5
    with pytest.raises(ValueError, match="optimizer is 'lion'"):
        training.make_optimizer(net, "lion")


def test_parts_learn_at_their_own_rates(data):
    """With SGD's first step the distance is the rate times the gradient."""
    moved = {}
    for factor in (1.0, 0.1, 0.0):
        net = model()
        before = net[0][0].weight.detach().clone()
        net[0][0].weight.rate = factor
        training.fit(net, data, steps=1, batch_size=2, optimizer="sgd",
                     lr=0.1, warmup=0, weight_decay=0, clip=0,
                     device="cpu", precision="fp32", progress=False)
        moved[factor] = float((net[0][0].weight - before).detach().norm())
    assert moved[0.0] == 0 < moved[1.0]
    assert moved[0.1] == pytest.approx(moved[1.0] / 10, rel=1e-3)


# Models

@pytest.mark.parametrize("make", [
    PixelClassifier, lambda k, c: PixelClassifier(k, c, width=5),
    lambda k, c: ConvNet(k, c, width=5)])
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 40)])
def test_contract(make, size):
    for channels in (1, 3):
        net = make(4, channels)
        for training_mode in (True, False):
            x = torch.rand(1, channels, *size)
            assert net.train(training_mode)(x).shape == (1, 4, *size)


def test_one_value_per_channel():
    norm = training.BatchNorm(3)
    with torch.no_grad():
        norm.running_mean.fill_(2)
    before = norm.running_mean.clone()
    out = norm.train()(torch.full((1, 3, 1, 1), 2.0))
    assert not out.any() and norm.running_mean.equal(before)
    x = torch.rand(2, 3, 4, 4)
    plain = nn.BatchNorm2d(3)
    assert torch.allclose(training.BatchNorm(3)(x), plain(x))


def test_regions_learn(data):
    torch.manual_seed(0)
    regions = training.RegionClassifier(3, segments=30).fit(data, steps=60)
    found = regions.predict(data[0].image)
    known = data[0].mask != VOID
    assert found.dtype == np.uint8
    assert np.mean(found[known] == data[0].mask[known]) > 0.8


def test_region_features_of_a_grey_image(data):
    table, regions = training.region_features(data[0].image[..., 0], 20)
    assert table.shape == (regions.max() + 1, 16)
    assert np.isfinite(table).all()


# fit

def test_one_batch_is_learnt_by_heart():
    one = [picture(0, (32, 32))]
    history = fit(model(width=16), one, steps=80, batch_size=1, lr=0.02)
    assert history.rows[-1]["loss"] < 0.05


def test_same_seed_same_bits(data):
    runs = [model() for _ in range(2)]
    curves = [[row["loss"] for row in fit(net, data, steps=6, seed=3,
                                          batch_size=4).rows]
              for net in runs]
    assert curves[0] == curves[1] and same_weights(*runs)
    other = model()
    fit(other, data, steps=6, seed=4, batch_size=4)
    assert not same_weights(runs[0], other)


def test_fit_leaves_the_callers_dice_alone(data):
    net = model()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(net, data, steps=2)
    assert torch.rand(3).equal(expected)


def noisy(images, masks):
    return images + 0.1 * torch.randn_like(images), masks


def test_each_step_throws_its_own_dice(data):
    thrown = []

    def watched(images, masks):
        thrown.append(torch.rand(1).item())
        return images, masks
    fit(model(), data, steps=4, augment=watched)
    fit(model(), data, steps=4, augment=watched)
    assert thrown[:4] == thrown[4:] and len(set(thrown)) == 4


@pytest.mark.parametrize("die_at", [1, 3, 4, 6])
def test_resumed_is_undisturbed(data, tmp_path, die_at):
    def die(history):
        if len(history.rows) == die_at:
            raise KeyboardInterrupt
    options = dict(steps=7, batch_size=5, every=2, augment=noisy,
                   crop=(32, 32))
    whole, broken = model(), model()
    expected = fit(whole, data, data[:2], **options)
    with pytest.raises(KeyboardInterrupt):
        fit(broken, data, data[:2], folder=tmp_path / "run", on_step=die,
            **options)
    broken = model(seed=9) if die_at > 1 else model()
    history = fit(broken, data, data[:2], folder=tmp_path / "run",
                  resume=True, **options)
    assert same_weights(whole, broken)
    assert history.rows == expected.rows


def test_a_folder_is_not_overwritten(data, tmp_path):
    fit(model(), data, steps=2, folder=tmp_path)
    with pytest.raises(FileExistsError):
        fit(model(), data, steps=2, folder=tmp_path)
    with pytest.raises(ValueError, match="lr"):
        fit(model(), data, steps=2, lr=1, folder=tmp_path, resume=True)


def test_best_is_kept(data, tmp_path):
    from seglib.runs import load_checkpoint
    net = model()
    history = fit(net, data, data[:3], steps=6, every=2, lr=0.05,
                  folder=tmp_path)
    scored = [row for row in history.rows if "mean_iou" in row]
    assert [row["step"] for row in scored] == [1, 3, 5]
    best = load_checkpoint(tmp_path / "best.pt")
    assert best["step"] == history.best["step"] + 1
    net.load_state_dict(best["model"])
    again = training.evaluate(net, data[:3])
    assert np.isclose(again["mean_iou"], history.best["mean_iou"])


def test_nan_stops_and_names_the_step(data, tmp_path):
    from seglib.runs import load_checkpoint
    calls = itertools.count()

    def poisoned(logits, target):
        factor = float("nan") if next(calls) == 5 else 1
        return factor * training.cross_entropy(logits, target)
    with pytest.raises(training.NotFinite, match="at step 5") as caught:
        fit(model(), data, steps=20, every=2, loss=poisoned,
            folder=tmp_path)
    assert "last.pt, after 4 steps" in str(caught.value)
    state = load_checkpoint(tmp_path / "last.pt")
    assert all(torch.isfinite(x).all() for x in state["model"].values())


def test_full_memory_says_what_to_try(data):
    def full(logits, target):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to")
    with pytest.raises(MemoryError, match="batch_size=4; try half"):
        fit(model(), data, steps=2, batch_size=4, loss=full)
    def other(logits, target):
        raise RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        fit(model(), data, steps=2, loss=other)


def test_a_label_of_no_class_is_named_before_anything_is_trained(data):
    bad = picture(50)
    bad.mask[7, 9] = 77
    net = model()
    before = [p.clone() for p in net.parameters()]
    with pytest.raises(ValueError, match="'p50' holds the label 77"):
        fit(net, [*data, bad], steps=3)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters()))
    with pytest.raises(ValueError, match="'p50'"):
        training.evaluate(net, [data[0], bad])


@pytest.mark.parametrize("options, said", [
    ({}, "steps is None, epochs is None"),
    ({"steps": 1, "epochs": 1}, "needed: one of them"),
    ({"steps": 1, "loss": "hinge"}, "loss is 'hinge'"),
    ({"steps": 1, "optimizer": "lion"}, "optimizer is 'lion'"),
    ({"steps": 1, "precision": "fp8"}, "precision is 'fp8'"),
    ({"steps": 1, "loss": "dice", "class_weights": "median"}, "takes none"),
    ({"steps": 1, "device": "cuda:99"}, "prefer is 'cuda:99'")])
def test_wrong_settings(data, options, said):
    with pytest.raises(ValueError, match=said):
        fit(model(), data, **options)


def test_no_data():
    with pytest.raises(ValueError, match="empty"):
        fit(model(), [], steps=1)
    with pytest.raises(ValueError, match="empty"):
        training.evaluate(model(), [])


def test_epochs_and_class_weights(data):
    history = fit(model(), data, epochs=1.5, batch_size=6,
                  class_weights=[1, 2, 3], optimizer="sgd")
    assert len(history.rows) == 3
    with pytest.raises(TypeError, match="colour"):
        fit(model(), data, steps=1, colour="red")


def test_clipping_bounds_the_step(data):
    def huge(logits, target):
        return 1e6 * training.cross_entropy(logits, target)
    options = dict(steps=1, optimizer="sgd", lr=1, warmup=0,
                   weight_decay=0, precision="fp32")
    net, start = model(), model()
    row = fit(net, data, loss=huge, clip=0.5, **options).rows[0]
    moved = torch.sqrt(sum(((a - b)**2).sum() for a, b in zip(
        net.parameters(), start.parameters())))
    assert row["norm"] > 1000 and moved < 1      # momentum: 0.5 * 1.9


def test_the_bar_is_quiet(data, capfd, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    fit(model(), data, steps=2, progress=True)
    assert capfd.readouterr() == ("", "")
    monkeypatch.delenv("TQDM_DISABLE")
    fit(model(), data, steps=2, progress=True)
    assert "2/2" in capfd.readouterr().err


def test_history_draws_itself(data):
    history = fit(model(), data, data[:2], steps=3)
    assert 'role="img"' in history._repr_html_()
    assert training.History()._repr_html_() is None


def test_precision_rule(monkeypatch):
    cpu = torch.device("cpu")
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert training.best_precision(cpu) == "fp32"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported",
                        lambda: True)
    assert training.best_precision(cpu) == "bf16"
    assert training.best_precision(torch.device("mps")) == "fp32"


# One step as one process, and as two

class Half(World):
    """One of two processes; the other's sums are known beforehand."""

    def sum(self, tensor):
        return tensor + self.other

    def wrap(self, net):
        return net


def test_shares_make_two_processes_one():
    logits, target = problem(void=0.3, shape=(4, 6, 6), double=False)
    target[:2, :4] = VOID
    whole = training.cross_entropy(logits, target)
    parts = []
    for rank in (0, 1):
        mine, theirs = target[2 * rank:][:2], target[2 - 2 * rank:][:2]
        world = Half(rank, 2)
        object.__setattr__(world, "other", (theirs != VOID).sum().float())
        parts.append(training._share(world, mine) * training.cross_entropy(
            logits[2 * rank:][:2], mine))
    assert torch.isclose(sum(parts), whole)


# evaluate and predict

def test_evaluate_is_the_meter(data):
    mixed = [*data[:3], picture(30, (48, 32)), picture(31, (32, 64))]
    net = model()
    fit(net, data, steps=10, lr=0.02)
    meter = metrics.SegmentationMeter(("a", "b", "c"))
    for sample in mixed:
        meter.update(predict(net, sample.image), sample.mask)
    scores = training.evaluate(net, mixed, batch_size=2)
    assert scores == meter.compute() and scores["images"] == 5
    assert net.training


def test_evaluate_needs_no_parameters():
    class Constant(nn.Module):
        def forward(self, x):
            return torch.stack([1 - x[:, 0], x[:, 0]], 1)
    sample = Sample(np.full((32, 32), 255, np.uint8),
                    np.ones((32, 32), np.uint8), "white")
    assert training.evaluate(Constant(), [sample])["pixel_accuracy"] == 1


@given(st.integers(1, 400), st.integers(50, 130), st.integers(0, 40))
def test_spans_tile_the_side(length, window, margin):
    if 2 * margin >= window or window < 64:
        with pytest.raises(ValueError):
            training.spans(length, window, margin)
        return
    found = training.spans(length, window, margin)
    covered = [i for _, _, first, last in found
               for i in range(first, last)]
    assert covered == list(range(length))
    for start, stop, first, last in found:
        assert min(32, length) <= stop - start <= window
        assert start == 0 or first >= start + margin
        assert stop == length or last <= stop - margin


@pytest.mark.parametrize("net, margin", [
    (PixelClassifier(3, width=8), 0), (ConvNet(3, width=4, depth=3), 3)])
@pytest.mark.parametrize("size", [(70, 80), (33, 201), (7, 130), (1, 1)])
def test_pieces_are_the_whole(net, margin, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    options = {"precision": "fp32", "probability": True}
    whole = predict(net, image, **options)
    pieces = predict(net, image, window=64, margin=margin, **options)
    assert whole.shape == (3, *size)
    if min(size) >= 32 or margin == 0:
        np.testing.assert_allclose(pieces, whole, atol=1e-5)
    mask = predict(net, image, precision="fp32")
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, whole.argmax(0))


def test_predict_takes_bytes_and_floats():
    image = np.random.default_rng(0).integers(0, 256, (40, 33), np.uint8)
    net = ConvNet(3, 1, width=4)
    np.testing.assert_array_equal(predict(net, image),
                                  predict(net, image / 255))


def test_predicting_needs_no_more_memory_for_a_longer_picture():
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append(x.shape[2] * x.shape[3])
            return x[:, :2]
    predict(Spy(), np.zeros((3000, 64, 3), np.uint8), window=64, margin=8)
    assert max(seen) == 64 * 64


# GPU

@pytest.mark.gpu
def test_on_a_gpu_as_on_the_cpu(data):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    curves = {}
    for device in ("cpu", "cuda"):
        net = model()
        history = fit(net, data, data[:4], steps=20, device=device,
                      precision="fp32")
        curves[device] = [row["loss"] for row in history.rows]
        assert predict(net, data[0].image).shape == (40, 48)
    np.testing.assert_allclose(curves["cuda"], curves["cpu"], rtol=0.02)


@pytest.mark.gpu
def test_nan_on_a_gpu_names_the_step(data):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    calls = itertools.count()

    def poisoned(logits, target):
        factor = float("nan") if next(calls) == 33 else 1
        return factor * training.cross_entropy(logits, target)
    with pytest.raises(training.NotFinite, match="at step 33"):
        fit(model(), data, steps=100, loss=poisoned, device="cuda")


def test_registered():
    import seglib
    assert seglib.resolve("model", "convnet") is ConvNet
    assert seglib.resolve("model", "pixel") is PixelClassifier
