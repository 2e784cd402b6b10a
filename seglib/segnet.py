"""SegNet: chapter 14 of the course.

To find the way back up, must one carry the whole map, or is it enough to remember where one turned?

Exported from 14_segnet.py; edit the chapter, not this file.
"""

from collections.abc import Mapping
from operator import index

import torch
from torch import nn
from torch.nn import functional as F

from seglib.fcn import (Standardise, check_counts, imagenet_state,
                        large_enough, vgg_stages)
from seglib.training import BatchNorm

__all__ = [
    "pool",
    "unpool",
    "to_corners",
    "SegNet",
    "load_vgg",
    "DeconvNet",
]


# What if the side is odd?
# ------------------------

def pool(x):
    """The largest of each 2 x 2 window, and where it was.

    Parameters
    ----------
    x : (N, C, H, W) tensor
        An odd last row or column makes windows of its own.

    Returns
    -------
    values : (N, C, ceil(H / 2), ceil(W / 2)) tensor
    indices : int64 tensor of the same shape
        Places in the rows of the (H, W) map, one after the other; of
        equal ones the first.

    Examples
    --------
    >>> values, indices = pool(torch.tensor([[[[1., 5., 2.]]]]))
    >>> values.tolist(), indices.tolist()
    ([[[[5.0, 2.0]]]], [[[[1, 2]]]])

    Chapter
    -------
    14 SegNet, "What if the side is odd?".
    """
    return F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)


def unpool(x, indices, size):
    """Each value back where it was found, and zero elsewhere.

    Parameters
    ----------
    x : (N, C, h, w) tensor
    indices : int64 tensor of the same shape
        From `pool`.
    size : (H, W)
        Of the map that was pooled.

    Returns
    -------
    (N, C, H, W) tensor

    Notes
    -----
    PyTorch has no deterministic form of it, and raises a RuntimeError
    under `torch.use_deterministic_algorithms(True)`.

    Examples
    --------
    >>> values, indices = pool(torch.tensor([[[[1., 5., 2.]]]]))
    >>> unpool(values, indices, (1, 3)).tolist()
    [[[[0.0, 5.0, 2.0]]]]

    Chapter
    -------
    14 SegNet, "What if the side is odd?".
    """
    return F.max_unpool2d(x, indices, 2, output_size=size)


# What comes back?
# ----------------

def _down(storeys, x):
    """The lowest map; for each storey the places, and its size."""
    carried = []
    for storey in storeys:
        x = storey(x)
        size = x.shape[2:]
        x, indices = pool(x)
        carried.append((indices, size))
    return x, carried


def to_corners(x, indices, size):
    """Unpooling without memory: all values to the upper left corners.

    Parameters
    ----------
    x, indices, size
        As for `unpool`; `indices` is ignored.

    Raises
    ------
    ValueError
        If the halves of `size`, rounded up, are not those of `x`.

    Examples
    --------
    >>> to_corners(torch.tensor([[[[5., 2.]]]]), None, (1, 3)).tolist()
    [[[[5.0, 0.0, 2.0]]]]

    Chapter
    -------
    14 SegNet, "What comes back?".
    """
    up = x.new_zeros(*x.shape[:2], *size)
    if up[:, :, ::2, ::2].shape != x.shape:
        raise ValueError(f"size is {tuple(size)}, x {tuple(x.shape)};"
                         " needed: the size that x is half of")
    up[:, :, ::2, ::2] = x
    return up


# The whole network
# -----------------

def _conv(kind, before, after, kernel=3, padding=1):
    """A convolution that begins as He et al. (2015) have it."""
    conv = kind(before, after, kernel, padding=padding)
    inputs = "fan_out" if conv.transposed else "fan_in"
    nn.init.kaiming_normal_(conv.weight, mode=inputs,
                            nonlinearity="relu")
    nn.init.zeros_(conv.bias)
    return conv


def _block(*settings):
    """Convolution, batch normalisation, ReLU."""
    conv = _conv(*settings)
    return conv, BatchNorm(conv.out_channels), nn.ReLU(inplace=True)


def _mirrored(kind, width, last):
    """VGG16's stages upside down; the uppermost has `last` layers."""
    storeys, before = nn.ModuleList(), 8 * width
    for number, times in ((3, 8), (3, 4), (3, 2), (2, 1), (last, 1)):
        layers = []
        for left in reversed(range(number)):
            after = before if left else times * width
            layers += _block(kind, before, after)
            before = after
        storeys.append(nn.Sequential(*layers))
    return storeys


def _up(storeys, back, x, carried):
    """From the lowest map to the highest; `carried` is used up."""
    for storey in storeys:
        x = storey(back(x, *carried.pop()))
    return x


def _vgg(num_classes, in_channels, width):
    """Input and encoder; refuses what would make no network."""
    check_counts(num_classes=num_classes, in_channels=in_channels,
                 width=width)
    return (Standardise(in_channels),
            vgg_stages(in_channels, width=width, norm=True))


def _begin_with(model, weights):
    if weights is not None:
        load_vgg(model, weights)


class SegNet(nn.Module):
    """VGG16 down, its mirror image up; the places are carried across.

    Parameters
    ----------
    num_classes : int
        K.
    in_channels : int
        C.
    width : int
        Channels of the first storey, 64 in the paper; all others are
        scaled with it.
    weights : "imagenet" or dict, optional
        For the encoder; see `load_vgg`.

    Raises
    ------
    ValueError
        If a number is less than 1, or `weights` do not fit; in
        `forward`, if a picture has fewer than 32 rows or columns.
    TypeError
        If `weights` are neither.

    Notes
    -----
    Badrinarayanan, Kendall and Cipolla (2017). (N, C, H, W) floats in
    [0, 1] in, (N, K, H, W) logits out. A subclass with another `back`
    finds its way back in another way.

    Examples
    --------
    >>> SegNet(5, width=4)(torch.rand(1, 3, 97, 131)).shape
    torch.Size([1, 5, 97, 131])

    Chapter
    -------
    14 SegNet, "The whole network".
    """

    back = staticmethod(unpool)

    def __init__(self, num_classes: int, in_channels: int = 3, *,
                 width: int = 64, weights=None):
        super().__init__()
        self.input, self.encoder = _vgg(num_classes, in_channels, width)
        self.decoder = _mirrored(nn.Conv2d, width, 1)
        self.score = _conv(nn.Conv2d, width, num_classes)
        _begin_with(self, weights)

    def forward(self, x):
        x, carried = _down(self.encoder, self.input(large_enough(x)))
        return self.score(_up(self.decoder, self.back, x, carried))


# Starting from VGG's weights
# ---------------------------

def load_vgg(model, state) -> None:
    """Give an encoder the convolutions of torchvision's `vgg16_bn`.

    Parameters
    ----------
    model : SegNet or DeconvNet
        For three channels, in the paper's width.
    state : "imagenet" or dict
        The state dict of a `vgg16_bn`, or torchvision's own by way of
        `imagenet_state`.

    Raises
    ------
    TypeError
        If `model` has no such encoder, or `state` is neither.
    ValueError
        If the layers are not the same.
    ConnectionError
        If "imagenet" cannot be had; see `imagenet_state`.

    Chapter
    -------
    14 SegNet, "Starting from VGG's weights".
    """
    if not hasattr(model, "encoder"):
        raise TypeError(f"model is a {type(model).__name__}; needed:"
                        " a SegNet or a DeconvNet")
    mine = model.encoder.state_dict()
    width, channels, *_ = next(iter(mine.values())).shape
    if (width, channels) != (64, 3):
        raise ValueError(f"model has width {width} for {channels}"
                         " channels; needed: 64 for 3, as vgg16_bn")
    theirs = _features(state)
    if [v.shape for v in theirs] != [v.shape for v in mine.values()]:
        raise ValueError(f"state has {len(theirs)} features that do not"
                         " fit; needed: those of vgg16_bn")
    model.encoder.load_state_dict(dict(zip(mine, theirs)))


def _features(state):
    if isinstance(state, str) and state == "imagenet":
        state = imagenet_state("vgg16_bn")
    if not isinstance(state, Mapping):
        raise TypeError(f"state is {state!r}; needed: 'imagenet' or the"
                        " state dict of a vgg16_bn")
    return [value for key, value in state.items()
            if key.startswith("features.")]


# And with a waist?
# -----------------

class DeconvNet(nn.Module):
    """VGG16 down to a single place, and up again by its places.

    Parameters
    ----------
    num_classes, in_channels : int
    width : int
        Channels of the first storey, 64 in the paper; all others, and
        the waist with 64 times as many, are scaled with it.
    size : (height, width)
        Multiples of 32. It sees pictures in this size; others are
        resized on the way in, and their scores on the way out.
    weights : "imagenet" or dict, optional
        For the encoder; see `load_vgg`.

    Raises
    ------
    ValueError
        If `size`, another number or `weights` will not do, or a picture
        is smaller than 32 x 32.
    TypeError
        If `weights` are neither.

    Notes
    -----
    Noh, Hong and Han (2015), who resize object proposals to 224 x 224.
    (N, C, H, W) floats in [0, 1] in, (N, K, H, W) logits out.

    Examples
    --------
    >>> net = DeconvNet(5, width=2, size=(64, 96))
    >>> net(torch.rand(1, 3, 97, 131)).shape
    torch.Size([1, 5, 97, 131])

    Chapter
    -------
    14 SegNet, "And with a waist?".
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *,
                 width: int = 64, size=(224, 224), weights=None):
        super().__init__()
        self.size, places = _sizes(size)
        self.input, self.encoder = _vgg(num_classes, in_channels, width)
        self.waist = _waist(8 * width, 64 * width, places)
        self.decoder = _mirrored(nn.ConvTranspose2d, width, 2)
        self.score = _conv(nn.Conv2d, width, num_classes, 1, 0)
        _begin_with(self, weights)

    def forward(self, x):
        inside = _resized(large_enough(x), self.size)
        low, carried = _down(self.encoder, self.input(inside))
        high = _up(self.decoder, unpool, self.waist(low), carried)
        return _resized(self.score(high), x.shape[2:])


def _sizes(size):
    """Of the window, and of the lowest map."""
    try:
        height, width = map(index, size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 32 or height % 32 or width % 32:
        raise ValueError(f"size is {size!r}; needed: (height, width),"
                         " two multiples of 32")
    return (height, width), (height // 32, width // 32)


def _waist(channels, hidden, places):
    """All places become one, which becomes all places again."""
    return nn.Sequential(
        *_block(nn.Conv2d, channels, hidden, places, 0),
        *_block(nn.Conv2d, hidden, hidden, 1, 0),
        *_block(nn.ConvTranspose2d, hidden, channels, places, 0))


def _resized(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
