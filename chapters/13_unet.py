# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   seglib:
#     minutes:
#       gpu: 0.3
#       laptop: 0.6
#     module: unet
# ---

# %% [markdown]
# # U-Net
#
# *Who remembers where things were, while the network finds out what
# they are?*
#
# **You will be able to** build the most imitated network of the field
# from two small parts, and count it to the last parameter; say what a
# skip connection carries, and prove it by cutting one; make a loss look
# at the gap between two cells; bend images and masks together; and
# predict a picture of any size in tiles, without a seam.
#
# **You need** `fit` and the losses (chapter 11), the idea of an encoder
# that pools (chapter 12), watershed (chapter 05), panoptic quality
# (chapter 03), cells (chapter 10).
#
# **Exports** `UNet`, `border_weights`, `BorderLoss`,
# `ElasticDeformation`, `overlap_tile`, `cells_of`.

# %% tags=["export"]
import numpy as np
import torch
from numba import njit
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

# %% tags=["export"]
from seglib.display import as_float
from seglib.edges import watershed
from seglib.networks import in_eval_mode
from seglib.scenes import seams
from seglib.training import BatchNorm, cross_entropy

# %% [markdown]
# ## What is lost on the way down?
#
# Here is a pole, one pixel wide, and what max pooling makes of it.

# %%
pole = torch.zeros(1, 1, 8, 8)
pole[..., 5] = 1
coarse = F.max_pool2d(pole, 2)
back = F.interpolate(coarse, scale_factor=2)
print(coarse[0, 0, 0].int(), back[0, 0, 0].int())

# %% [markdown]
# There *is* a pole: pooling has not forgotten that. But it stands in
# column 4 **or** 5, and no layer to come can find out which, for the
# two pictures that differ in it have become one. After four poolings
# there are sixteen columns to choose from. The FCN of chapter 12
# mends this by adding up *scores* of three resolutions. U-Net
# {cite}`ronneberger2015` mends it at the root: it keeps what the
# encoder knew **before** each pooling, all of its channels, and hands
# it to the decoder when that has come back to the same size.

# %%
picture = pole.clone()
picture[..., 2] = 1             # and a bright scratch, which is no pole
what = back                     # from below: a pole, about here
where = picture                 # from across: bright, exactly here
assert torch.equal(what * where, pole)

# %% [markdown]
# *What* comes from below, *where* comes from across. Neither alone is
# enough: the decoder does not know the column, and the encoder's first
# layers, which see five pixels, cannot tell a pole from a scratch. The
# product above is ours; the network gets both maps side by side, and
# its convolutions learn what to do with them.

# %% [markdown]
# ## What is it made of?
#
# Of one part, nine times: two 3 × 3 convolutions. In the paper they are
# *valid*, without any padding, so that each takes a pixel off every
# side. Everybody since pads, and normalises the batch. One function
# makes either.

# %% tags=["export"]
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

# %% [markdown]
# **Down.** Convolve twice, pool, and double the channels; keep every
# map.

# %% tags=["export"]
class Encoder(nn.Module):
    """Five stages; returns the maps of all of them, finest first."""

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

# %%
torch.manual_seed(0)
encoder = Encoder(1, [4, 8, 16, 32, 64], padding=0, norm=False)
down = encoder(torch.rand(1, 1, 572, 572))
print([tuple(m.shape[1:]) for m in down])
assert [m.shape[2] for m in down] == [568, 280, 136, 64, 28]

# %% [markdown]
# **Up.** A 2 × 2 {term}`transposed convolution` with stride 2 doubles
# the size and halves the channels. Then the map from across is laid
# beside it, and two convolutions look at both. Do the sizes agree?
# Without padding, never: $2 \times 28 = 56$ comes up, and 64 waits
# across. Cut 4 from each of its sides.

# %% tags=["export"]
def centre(x, height, width):
    """The middle of maps or masks: (..., height, width)."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top:top + height, left:left + width]


def beside(skip, up):
    """What comes up, behind the middle of what waits across."""
    return torch.cat((centre(skip, *up.shape[2:]), up), 1)

# %% [markdown]
# The middle is no matter of taste. Valid convolutions have eaten as
# much on the left as on the right, and only the middle of the skip
# shows the same place as what comes up. A ramp tells:

# %%
ramp = torch.arange(64.).expand(1, 1, 64, 64)
eaten = ramp[..., 4:-4, 4:-4]
met = beside(ramp, eaten)
assert met.shape == (1, 2, 56, 56) and met[:, 0].equal(met[:, 1])

# %% tags=["export"]
class Up(nn.Module):
    """Twice as large, beside what the encoder knew, convolved twice."""

    def __init__(self, channels, padding, norm):
        super().__init__()
        half = channels // 2
        self.larger = nn.ConvTranspose2d(channels, half, 2, stride=2)
        self.twice = _twice(channels, half, padding, norm)

    def forward(self, x, skip):
        return self.twice(beside(skip, self.larger(x)))

# %% [markdown]
# **Where to begin?** With 23 layers and no batch normalisation, the
# first weights decide whether anything arrives at the end. If $N$
# numbers flow into a unit and half of them are cut off by the ReLU,
# weights of variance $2/N$ keep the signal's strength
# {cite}`he2015`. The paper draws all its weights so. (In a transposed
# convolution of stride 2 the kernels do not overlap: $N$ is the number
# of channels, not four times as many.)

# %% tags=["export"]
def _begin(module):
    """Gaussian weights of variance 2 / N, no biases."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        inputs = module.in_channels
        if isinstance(module, nn.Conv2d):
            inputs *= module.weight[0, 0].numel()
        nn.init.normal_(module.weight, std=(2 / inputs)**0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

# %% [markdown]
# ## Which sizes fit?
#
# With padding, all: from 32 on, as everywhere in this book. If a side
# is no multiple of 16, its last row is repeated until it is, and cut
# off again in the end. Without padding every map that is pooled must be
# even, or left and right would no longer lose the same. Go backwards:
# 28 at the bottom, before its two convolutions 32, before the pool 64,
# and so on up to 572. At the
# bottom any $m$ will do as long as something is left at the end:
#
# $$n = ((((m + 4)\cdot 2 + 4)\cdot 2 + 4)\cdot 2 + 4)\cdot 2 + 4
#     = 16\,m + 124,$$
#
# and out come $16\,m - 60$: 184 fewer, 92 on each side. That is why a
# size that fits is **12 more than a multiple of 16**, why the smallest
# is 188, and why people who feed it a round number get an error from
# the depths of `torch.cat`. Ours tells them before.

# %% tags=["export"]
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

# %%
assert _fitting(572) == (572, 572) and _fitting(600) == (588, 604)
for m in range(4, 40):
    assert _fitting(16 * m + 124) == (16 * m + 124,) * 2

# %% [markdown]
# ## Down, up, and across

# %% tags=["export"]
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
