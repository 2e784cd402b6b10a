"""SegNet beside PyTorch's modules strung together; its encoder beside VGG.

No library has the same network, so the peer is written here, plainly.
"""
import torch
import torchvision
from bench import Line
from torch import nn

from seglib.segnet import SegNet, load_vgg, pool


class Plain(nn.Module):
    """A SegNet of `nn.MaxPool2d` and `nn.MaxUnpool2d`, with its weights."""

    def __init__(self, model):
        super().__init__()
        self.down, self.up = model.encoder, model.decoder
        self.input, self.score = model.input, model.score
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)

    def forward(self, x):
        x, places = self.input(x), []
        for stage in self.down:
            x, indices = self.pool(stage(x))
            places.insert(0, indices)
        for stage, indices in zip(self.up, places):
            x = stage(self.unpool(x, indices))
        return self.score(x)


def step(model, x):
    """Forward and backward."""
    def run():
        model.zero_grad()
        logits = model(x)
        logits.square().mean().backward()
        return logits.detach()
    return run


class Encoder(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.storeys = model.encoder

    def forward(self, x):
        for storey in self.storeys:
            x, _ = pool(storey(x))
        return x


def close(a, b):
    return torch.allclose(a, b, rtol=1e-3, atol=1e-3)


def lines():
    torch.manual_seed(0)
    x = torch.rand(4, 3, 96, 128).to(memory_format=torch.channels_last)
    model = SegNet(13, width=16).to(memory_format=torch.channels_last)
    yield Line("SegNet, forward and backward, 4 scenes", step(model, x),
               step(Plain(model), x), "nn.MaxUnpool2d, plainly", 1.05, close)
    model, vgg = SegNet(13), torchvision.models.vgg16_bn(weights=None)
    load_vgg(model, vgg.state_dict())
    x = x[:2]
    yield Line("its encoder, with places", step(Encoder(model), x),
               step(vgg.features, x), "torchvision's vgg16_bn", 1.05, close)
