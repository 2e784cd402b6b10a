"""U-Net: chapter 13 of the course.

Who remembers where things were, while the network finds out what they are?

Exported from 13_unet.py; edit the chapter, not this file.
"""

import numpy as np
import torch
from numba import njit
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from seglib.display import as_float
from seglib.edges import watershed
from seglib.networks import in_eval_mode
from seglib.scenes import seams
from seglib.training import BatchNorm, cross_entropy

__all__ = [
    "Encoder",
    "centre",
    "beside",
    "Up",
    "BORDER",
    "UNet",
]


# What is it made of?
# -------------------

def _twice(inside, outside, padding, norm):
    """Two 3 x 3 convolutions, each with ReLU."""
    layers = []
    for channels in (inside, outside):
        layers.append(nn.Conv2d(channels, outside, 3, padding=padding,
                                bias=not norm))
        if norm:
            layers.append(BatchNorm(outside))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Five stages; returns the maps of all of them, finest first.

    Chapter
    -------
    13 U-Net, "What is it made of?".
    """

    def __init__(self, in_channels, widths, padding, norm):
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.stages = nn.ModuleList(
            _twice(a, b, padding, norm)
            for a, b in zip([in_channels, *widths], widths))

    def forward(self, x):
        maps = [self.stages[0](x)]
        for stage in self.stages[1:]:
            maps.append(stage(self.pool(maps[-1])))
        return maps


def centre(x, height, width):
    """The middle of maps or masks: (..., height, width).

    Chapter
    -------
    13 U-Net, "What is it made of?".
    """
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top:top + height, left:left + width]


def beside(skip, up):
    """What comes up, behind the middle of what waits across.

    Chapter
    -------
    13 U-Net, "What is it made of?".
    """
    return torch.cat((centre(skip, *up.shape[2:]), up), 1)


class Up(nn.Module):
    """Twice as large, beside what the encoder knew, convolved twice.

    Chapter
    -------
    13 U-Net, "What is it made of?".
    """

    def __init__(self, channels, padding, norm):
        super().__init__()
        half = channels // 2
        self.larger = nn.ConvTranspose2d(channels, half, 2, stride=2)
        self.twice = _twice(channels, half, padding, norm)

    def forward(self, x, skip):
        return self.twice(beside(skip, self.larger(x)))


def _begin(module):
    """Gaussian weights of variance 2 / N, no biases."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        inputs = module.in_channels
        if isinstance(module, nn.Conv2d):
            inputs *= module.weight[0, 0].numel()
        nn.init.normal_(module.weight, std=(2 / inputs)**0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


# Which sizes fit?
# ----------------

#: Pixels that the net without padding takes off each side.
BORDER = 92


def _fitting(n):
    """The largest valid size up to n, and the smallest from n on."""
    below = max(188, n - (n - 12) % 16)
    return below, below if below >= n else below + 16


def _check_size(height, width, valid):
    for name, n in (("height", height), ("width", width)):
        if not valid and n < 32:
            raise ValueError(f"{name} is {n}; needed: 32 or more")
        if valid and (n % 16 != 12 or n < 188):
            nearest = " or ".join(map(str, sorted({*_fitting(n)})))
            raise ValueError(
                f"{name} is {n}; needed without padding: a multiple of"
                f" 16 and 12 more, from 188; nearest: {nearest}")


def _filled(x, valid):
    """Sides filled up to multiples of 16, if there is padding."""
    if valid:
        return x
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % 16, 0, -height % 16), "replicate")


# Down, up, and across
# --------------------

class UNet(nn.Module):
    """An encoder and its mirror image, with all maps handed across.

    Parameters
    ----------
    num_classes : int
        K.
    in_channels : int
        C.
    width : int
        Channels of the first stage; each of the four below has twice as
        many. 64 in the paper, 16 for a laptop.
    padding : {"same", "valid"}
        "valid" is the paper's: sides must be 12 more than a multiple of
        16, from 188, and the scores are 92 pixels smaller on each side.
    norm : bool, optional
        Batch normalisation in the place of biases; by default where
        there is padding.

    Raises
    ------
    ValueError
        If `padding` is neither, or later a picture's size does not fit.

    Notes
    -----
    Ronneberger, Fischer and Brox (2015). (N, C, H, W) floats, best
    within [0, 1], in; (N, K, H, W) logits out, for H and W from 32.

    Examples
    --------
    >>> UNet(5, width=4)(torch.rand(1, 3, 97, 131)).shape
    torch.Size([1, 5, 97, 131])

    Chapter
    -------
    13 U-Net, "Down, up, and across".
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *,
                 width: int = 64, padding: str = "same",
                 norm: bool | None = None):
        super().__init__()
        if padding not in ("same", "valid"):
            raise ValueError(f"padding is {padding!r}; needed: 'same'"
                             " or 'valid'")
        self.valid = padding == "valid"
        norm = not self.valid if norm is None else norm
        how = 1 - self.valid, norm
        widths = [width * 2**level for level in range(5)]
        self.down = Encoder(in_channels, widths, *how)
        self.up = nn.ModuleList(Up(w, *how) for w in widths[:0:-1])
        self.score = nn.Conv2d(width, num_classes, 1)
        self.apply(_begin)

    def forward(self, x):
        height, width = x.shape[2:]
        _check_size(height, width, self.valid)
        *skips, x = self.down(_filled(4 * x - 2, self.valid))
        for up, skip in zip(self.up, reversed(skips)):
            x = up(x, skip)
        return self.score(x)[..., :height, :width]
