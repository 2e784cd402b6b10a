"""What every registered network promises, whichever chapter it is from."""
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from torch.export import Dim

import seglib

# Small, and without random parts, so that two runs may be compared.
SMALL = {
    "convnet": {},
    "deconvnet": {"width": 4, "size": (64, 96)},
    "fcn16s": {"width": 4, "norm": True, "padded": True},
    "fcn32s": {"width": 4},
    "fcn8s": {"width": 4, "norm": True, "padded": True},
    "fcn_resnet50": {},
    "fcn_squeezenet": {},
    "pixel": {},
    "segnet": {"width": 4},
    "unet": {"width": 4},
}
SIZES = [(1, 3, 97, 131), (3, 3, 64, 75), (2, 3, 33, 128)]
each = pytest.mark.parametrize("name", SMALL)


def made(name):
    """A network in which no layer is silent: some begin with zeros."""
    torch.manual_seed(0)
    net = seglib.resolve("model", name)(5, **SMALL[name])
    for parameter in net.parameters():
        if parameter.dim() > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return net


def test_none_is_forgotten():
    assert SMALL.keys() == seglib.REGISTRY["model"].keys()


@each
@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("train", [False, True])
def test_finite_logits_of_the_inputs_size(name, shape, train):
    scores = made(name).train(train)(torch.rand(shape))
    assert scores.shape == (shape[0], 5, *shape[2:])
    assert torch.isfinite(scores).all()
    for share in (scores, scores.exp()):        # logits, no probabilities
        total = share.sum(1)
        assert not torch.allclose(total, torch.ones_like(total), atol=1e-3)


@each
def test_bfloat16_trains(name):
    net = made(name)
    with torch.autocast("cpu", torch.bfloat16):
        scores = net(torch.rand(2, 3, 64, 96))
    scores.float().square().mean().backward()
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    assert grads and all(torch.isfinite(g).all() for g in grads)


@each
def test_compiles_as_one_graph(name):
    """Without a break; `aot_eager` captures all and builds no C++."""
    net = made(name).eval()
    x = torch.rand(2, 3, 97, 131)
    torch._dynamo.reset()
    whole = torch.compile(net, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(whole(x), net(x), rtol=1e-4, atol=1e-4)


@each
def test_onnx_runs_elsewhere_at_any_size(name, tmp_path):
    net, path = made(name).eval(), tmp_path / "net.onnx"
    free = {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.rand(2, 3, 97, 131),), path,
                          dynamo=True, verbose=False,
                          dynamic_shapes=(free,))
    session = onnxruntime.InferenceSession(
        path, providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    for shape in SIZES:
        x = torch.rand(shape)
        [found] = session.run(None, {given.name: x.numpy()})
        with torch.inference_mode():
            wanted = net(x).numpy()
        assert np.ptp(wanted) > 1e-3
        # Unpooling may find another of two maxima that are as good.
        off = np.abs(found - wanted) > 1e-4 * np.abs(wanted).max()
        assert off.mean() < 1e-3
