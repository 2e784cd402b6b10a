"""FCN: a classifier that says where: chapter 12 of the course.

A network knows that there is a car in the picture. Does it know where?

Exported from 12_fcn.py; edit the chapter, not this file.
"""

from dataclasses import replace
from functools import partial
from numbers import Integral
from pickle import UnpicklingError
from typing import NamedTuple
from urllib.error import URLError

import torch
from torch import nn
from torch.nn import functional as F

from seglib.display import VOID
from seglib.environment import weights_root
from seglib.training import BatchNorm, Recipe

__all__ = [
    "vgg_stages",
    "check_counts",
    "Standardise",
    "check_batch",
    "VGG16",
    "as_convolution",
    "convolutional",
    "tag_loss",
    "Field",
    "receptive_field",
    "bilinear_kernel",
    "Upsample",
    "Trunk",
    "score",
    "climb",
    "FCN32s",
    "large_enough",
    "FCN16s",
    "FCN8s",
    "summed_cross_entropy",
    "PAPER",
    "PUBLISHED",
    "OURS",
    "freeze",
    "slow_down",
    "imagenet_state",
    "fcn_resnet50",
    "fcn_squeezenet",
]


# What does a classifier look at?
# -------------------------------

def vgg_stages(in_channels: int = 3, *, width: int = 64,
               norm: bool = False, margin: int = 1) -> nn.ModuleList:
    """VGG16's thirteen convolutions, in five stages without pooling.

    Parameters
    ----------
    in_channels : int
    width : int
        Channels of the first stage; the others have 2, 4, 8 and 8 times
        as many.
    norm : bool
        Batch normalisation after each convolution.
    margin : int
        Padding of the first convolution.

    Returns
    -------
    ModuleList of five Sequential
        They keep the size; whoever calls them pools by two in between.

    Notes
    -----
    Simonyan and Zisserman (2015), configuration D.

    Chapter
    -------
    12 FCN: a classifier that says where, "What does a classifier look at?".
    """
    check_counts(in_channels=in_channels, width=width)
    stages, channels = nn.ModuleList(), in_channels
    for number, times in ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8)):
        layers = []
        for _ in range(number):
            layers += _conv(channels, times * width, 3, 1, norm)
            channels = times * width
        stages.append(nn.Sequential(*layers))
    stages[0][0].padding = (margin, margin)
    return stages


def check_counts(**counts) -> None:
    """Refuse numbers of which no network can be made.

    Raises
    ------
    ValueError
        If one is not a whole number from 1; it is called by its name.

    Chapter
    -------
    12 FCN: a classifier that says where, "What does a classifier look at?".
    """
    for name, count in counts.items():
        if not isinstance(count, Integral) or count < 1:
            raise ValueError(f"{name} is {count!r}; needed: a whole"
                             " number from 1")


def _conv(before, after, size, padding, norm):
    """Convolution, normalisation if wanted, ReLU."""
    conv = nn.Conv2d(before, after, size, padding=padding)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(conv.bias)
    norms = [BatchNorm(after)] if norm else []
    return [conv, *norms, nn.ReLU(inplace=True)]


class Standardise(nn.Module):
    """Pictures in [0, 1] as a network that knows ImageNet wants them.

    Parameters
    ----------
    channels : int
        3: ImageNet's mean and standard deviation; else 0.5 and 0.25.

    Raises
    ------
    ValueError
        In `forward`, if a batch has another shape or holds integers.

    Chapter
    -------
    12 FCN: a classifier that says where, "What does a classifier look at?".
    """

    def __init__(self, channels: int = 3):
        super().__init__()
        mean, std = channels * [0.5], channels * [0.25]
        if channels == 3:
            mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        for name, values in ("mean", mean), ("std", std):
            values = torch.tensor(values)[:, None, None]
            self.register_buffer(name, values, persistent=False)

    def forward(self, x):
        return (check_batch(x, len(self.mean)) - self.mean) / self.std


def check_batch(x: torch.Tensor, channels: int) -> torch.Tensor:
    """The batch itself, if it has the channels and holds floats.

    Raises
    ------
    ValueError
        If it has another shape than (N, channels, H, W), or integers.

    Chapter
    -------
    12 FCN: a classifier that says where, "What does a classifier look at?".
    """
    fits = x.ndim == 4 and x.shape[1] == channels
    if not fits or not x.is_floating_point():
        raise ValueError(f"x is {tuple(x.shape)}, {x.dtype}; needed:"
                         f" floats of shape (N, {channels}, H, W)")
    return x


class VGG16(nn.Module):
    """What is in the picture? Thirteen convolutions, three matrices.

    Parameters
    ----------
    num_classes, in_channels, width, norm
        As for `FCN32s`.
    size : int
        Side of the pictures, a multiple of 32.

    Notes
    -----
    (N, C, size, size) in, (N, K) scores out. Simonyan and Zisserman
    (2015), configuration D.

    Chapter
    -------
    12 FCN: a classifier that says where, "What does a classifier look at?".
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, *,
                 width: int = 64, norm: bool = False, size: int = 224):
        super().__init__()
        self.input = Standardise(in_channels)
        self.stages = vgg_stages(in_channels, width=width, norm=norm)
        self.classifier = _three_matrices(
            8 * width * _places(size)**2, 64 * width, num_classes)

    def features(self, x):
        """(N, 8 width, H / 32, W / 32): the last stage, pooled."""
        x = self.input(x)
        for stage in self.stages:
            x = F.max_pool2d(stage(x), 2)
        return x

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def _places(size):
    if size < 32 or size % 32:
        raise ValueError(f"size is {size}; needed: a multiple of 32")
    return size // 32


def _three_matrices(values, hidden, num_classes):
    check_counts(num_classes=num_classes)
    return nn.Sequential(
        nn.Linear(values, hidden), nn.ReLU(), nn.Dropout(),
        nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(),
        nn.Linear(hidden, num_classes))


# A matrix is a convolution in disguise
# -------------------------------------

def as_convolution(linear: nn.Linear, channels: int) -> nn.Conv2d:
    """The convolution that does what a matrix did to a feature map.

    Parameters
    ----------
    linear : nn.Linear
        Made for flattened maps of (channels, n, n).
    channels : int

    Returns
    -------
    nn.Conv2d
        n x n, not padded, with the very same weights in memory.

    Raises
    ------
    ValueError
        If no n makes channels x n x n inputs.

    Examples
    --------
    >>> as_convolution(nn.Linear(512 * 49, 4096), 512).kernel_size
    (7, 7)

    Chapter
    -------
    12 FCN: a classifier that says where, "A matrix is a convolution in disguise".
    """
    side = round((linear.in_features / channels)**0.5)
    if linear.in_features != channels * side**2:
        raise ValueError(f"linear takes {linear.in_features} numbers;"
                         f" needed: {channels} times a square")
    conv = nn.Conv2d(channels, linear.out_features, side, device="meta")
    conv.weight = nn.Parameter(linear.weight.detach().view(
        -1, channels, side, side))
    conv.bias = linear.bias
    return conv


def convolutional(vgg: VGG16) -> nn.Sequential:
    """Last layers of a VGG16 as convolutions, with shared weights.

    Chapter
    -------
    12 FCN: a classifier that says where, "A matrix is a convolution in disguise".
    """
    channels, layers = vgg.stages[-1][0].out_channels, []
    for layer in vgg.classifier:
        if isinstance(layer, nn.Linear):
            layer = as_convolution(layer, channels)
            channels = layer.out_channels
        layers.append(layer)
    return nn.Sequential(*layers)


# A classifier finds cars
# -----------------------

def tag_loss(logits, masks, least: float = 0.02) -> torch.Tensor:
    """What is in the pictures? Forgets where: masks serve as tags.

    Parameters
    ----------
    logits : (N, K) float tensor
    masks : (N, H, W) integer tensor
    least : float
        Share of a picture that a class must have to be in it.

    Returns
    -------
    scalar float32 tensor
        Mean binary cross-entropy over pictures and classes.

    Chapter
    -------
    12 FCN: a classifier that says where, "A classifier finds cars".
    """
    shares = [(masks == k).float().mean((1, 2))
              for k in range(logits.shape[1])]
    there = torch.stack(shares, 1) >= least
    return F.binary_cross_entropy_with_logits(logits.float(),
                                              there.float())


# Where does a score lie?
# -----------------------

class Field(NamedTuple):
    """What a score sees: `size` pixels across, `stride` pixels from one
    score to the next, the first centred on pixel `start`.

    Chapter
    -------
    12 FCN: a classifier that says where, "Where does a score lie?".
    """

    size: int
    stride: int
    start: float


def receptive_field(*layers: nn.Module) -> Field:
    """How far scores see, and where they lie.

    Parameters
    ----------
    *layers : nn.Module
        One chain, in the order of their work. Convolutions and poolings
        inside count; all else leaves pixels where they are. (Of
        parallel branches, as in a ResNet, all would be counted.)

    Returns
    -------
    Field
        Of the vertical axis, in pixels; pixel 0 is centred on 0.

    Raises
    ------
    ValueError
        If a layer makes maps finer, or pads by a word.

    Examples
    --------
    >>> receptive_field(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2))
    Field(size=4, stride=2, start=0.5)

    Chapter
    -------
    12 FCN: a classifier that says where, "Where does a score lie?".
    """
    size, stride, start = 1, 1, 0.0
    for layer in layers:
        for _, part in layer.named_modules(remove_duplicate=False):
            if isinstance(part, _FINER):
                raise ValueError(f"a layer is {part}; needed: none that"
                                 " makes maps finer")
            if isinstance(part, _SLIDING):
                kernel, step, padding, dilation = _along_one_axis(part)
                reach = dilation * (kernel - 1)
                size += reach * stride
                start += (reach / 2 - padding) * stride
                stride *= step
    return Field(size, stride, start)


_SLIDING = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_FINER = (nn.ConvTranspose2d, nn.Upsample, nn.MaxUnpool2d)


def _along_one_axis(layer):
    """Kernel, stride, padding and dilation."""
    if isinstance(layer.padding, str):
        raise ValueError(f"padding is {layer.padding!r};"
                         " needed: numbers")
    values = (getattr(layer, name, 1) for name in (
        "kernel_size", "stride", "padding", "dilation"))
    return [value[0] if isinstance(value, tuple) else value
            for value in values]


# From coarse to fine
# -------------------

def bilinear_kernel(factor: int) -> torch.Tensor:
    """Weights of a transposed convolution that interpolates.

    Parameters
    ----------
    factor : int
        Even.

    Returns
    -------
    (2 factor, 2 factor) float32 tensor

    Raises
    ------
    ValueError
        If `factor` is odd.

    Examples
    --------
    >>> bilinear_kernel(2)[0]
    tensor([0.0625, 0.1875, 0.1875, 0.0625])

    Chapter
    -------
    12 FCN: a classifier that says where, "From coarse to fine".
    """
    if factor < 2 or factor % 2:
        raise ValueError(f"factor is {factor}; needed: an even number")
    place = torch.arange(2 * factor) + 0.5 - factor
    tent = 1 - place.abs() / factor
    return tent[:, None] * tent


class Upsample(nn.ConvTranspose2d):
    """Bilinear interpolation as a transposed convolution, not learnt.

    Parameters
    ----------
    channels, factor : int
    cut : int
        What is cut off at either end: with 0 the first output lies
        before the first input, with factor / 2 they begin together.

    Chapter
    -------
    12 FCN: a classifier that says where, "From coarse to fine".
    """

    def __init__(self, channels: int, factor: int, cut: int = 0):
        super().__init__(channels, channels, 2 * factor, factor, cut,
                         bias=False)
        self.weight.requires_grad_(False)
        self.weight.zero_()
        each = range(channels)
        self.weight[each, each] = bilinear_kernel(factor).to(
            self.weight.device)


# FCN-32s
# -------

class Trunk(nn.Module):
    """VGG16 without its last layer, and all of it convolutions.

    Parameters
    ----------
    in_channels, width, norm, padded
        As for `FCN32s`.

    Notes
    -----
    (N, C, H, W) in; out come the feature maps on which scores are
    built, the coarsest first: `fc`, stage 4 and stage 3.

    Chapter
    -------
    12 FCN: a classifier that says where, "FCN-32s".
    """

    def __init__(self, in_channels: int, width: int, norm: bool,
                 padded: bool):
        super().__init__()
        self.input = Standardise(in_channels)
        self.stages = vgg_stages(in_channels, width=width, norm=norm,
                                 margin=1 if padded else 100)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.fc = _two_convolutions(width, norm, 3 if padded else 0)

    def forward(self, x):
        maps = [self.input(large_enough(x))]
        for stage in self.stages:
            maps.append(self.pool(stage(maps[-1])))
        return self.fc(maps[5]), maps[4], maps[3]


def _two_convolutions(width, norm, padding):
    hidden = 64 * width
    return nn.Sequential(
        *_conv(8 * width, hidden, 7, padding, norm), nn.Dropout(),
        *_conv(hidden, hidden, 1, 0, norm), nn.Dropout())


def score(channels: int, num_classes: int) -> nn.Conv2d:
    """1 x 1 convolution that begins without an opinion: with zeros.

    Chapter
    -------
    12 FCN: a classifier that says where, "FCN-32s".
    """
    check_counts(num_classes=num_classes)
    layer = nn.Conv2d(channels, num_classes, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _crop(x, offset, size):
    """As much of `size` as `x` has from `offset` on."""
    height, width = size
    return x[..., offset:offset + height, offset:offset + width]


def climb(scores, ups, crops, size) -> torch.Tensor:
    """Coarse scores made finer, and finer ones added, step by step.

    Parameters
    ----------
    scores : sequence of (N, K, h, w) tensors
        The coarsest first.
    ups : sequence of callables
        One for each: it makes what has been added up so far finer.
    crops : sequence of int
        What is cut off at top and left: of each score but the first,
        and of the result.
    size : (H, W)
        Of the result.

    Returns
    -------
    (N, K, H, W) tensor

    Chapter
    -------
    12 FCN: a classifier that says where, "FCN-32s".
    """
    total, *finer = scores
    for skip, up, crop in zip(finer, ups, crops):
        total = up(total)
        skip = _crop(skip, crop, total.shape[-2:])
        total = _crop(total, 0, skip.shape[-2:]) + skip
    return _crop(ups[-1](total), crops[-1], size)


class FCN32s(nn.Module):
    """VGG16 that scores places; one score for 32 x 32 pixels.

    Parameters
    ----------
    num_classes, in_channels : int
    width : int
        Channels of the first stage, 64 in the paper; all else is scaled
        with it.
    norm : bool
        Batch normalisation, with which it learns faster from scratch.
    padded : bool
        Every convolution keeps the size, and nothing is cropped; else
        100 pixels are added at first and cropped at last.
    weights : "imagenet" or dict, optional
        torchvision's VGG16, or a state dict like its own (or of ours);
        all but its last layer is taken. With `norm`, of a `vgg16_bn`,
        and only its convolutions: the rest starts afresh.

    Raises
    ------
    ValueError
        If a number is less than 1, or `weights` do not fit.

    Notes
    -----
    (N, C, H, W) in, H and W from 32 on; (N, K, H, W) logits out. Long,
    Shelhamer and Darrell (2015).

    Examples
    --------
    >>> net = FCN8s(13, width=4, norm=True, padded=True)
    >>> net(torch.rand(1, 3, 33, 47)).shape
    torch.Size([1, 13, 33, 47])

    Chapter
    -------
    12 FCN: a classifier that says where, "FCN-32s".
    """

    crops = (19,)               # as many as there are scores to add

    def __init__(self, num_classes: int, in_channels: int = 3, *,
                 width: int = 64, norm: bool = False,
                 padded: bool = False, weights=None):
        super().__init__()
        self.trunk = Trunk(in_channels, width, norm, padded)
        self.scores, self.ups = _ladder(num_classes, width,
                                        len(self.crops), padded)
        if padded:
            self.crops = len(self.crops) * (0,)
        _begin_with(self.trunk, weights)

    def forward(self, x):
        scores = [f(m) for f, m in zip(self.scores, self.trunk(x))]
        return climb(scores, self.ups, self.crops, x.shape[-2:])


def _ladder(num_classes, width, rungs, padded):
    """Layers that score, and those that make scores finer."""
    scores = nn.ModuleList(
        score(n * width, num_classes) for n in (64, 8, 4)[:rungs])
    factors = (rungs - 1) * [2] + [32 // 2**(rungs - 1)]
    return scores, nn.ModuleList(
        Upsample(num_classes, factor, factor // 2 if padded else 0)
        for factor in factors)


def _begin_with(trunk, weights):
    if weights is not None:
        _take_over(trunk, weights)


def large_enough(x: torch.Tensor) -> torch.Tensor:
    """The batch itself, if its pictures survive five halvings.

    Raises
    ------
    ValueError
        If a side is shorter than 32.

    Chapter
    -------
    12 FCN: a classifier that says where, "FCN-32s".
    """
    height, width = x.shape[-2:]
    if min(height, width) < 32:
        raise ValueError(f"x is {height} x {width} pixels;"
                         " needed: 32 x 32 or more")
    return x


# What the coarse map has lost
# ----------------------------

class FCN16s(FCN32s):
    """FCN32s, and scores of stage 4 for 16 x 16 pixels.

    Chapter
    -------
    12 FCN: a classifier that says where, "What the coarse map has lost".
    """

    crops = (5, 27)


class FCN8s(FCN32s):
    """FCN16s, and scores of stage 3 for 8 x 8 pixels.

    Chapter
    -------
    12 FCN: a classifier that says where, "What the coarse map has lost".
    """

    crops = (5, 9, 31)


# The recipe of the paper, and ours
# ---------------------------------

def summed_cross_entropy(logits, target) -> torch.Tensor:
    """Sum of -log p over the known pixels, as FCN's code has it.

    Chapter
    -------
    12 FCN: a classifier that says where, "The recipe of the paper, and ours".
    """
    return F.cross_entropy(logits.float(), target.long(),
                           ignore_index=VOID, reduction="sum")


#: Rates, batches and lengths of FCN-32s's training, in the paper and in
#: the published code (there, 16s and 8s with a 100th and a 10,000th of
#: that rate); momentum is `fit`'s.
PAPER = Recipe(epochs=175, batch_size=20, optimizer="sgd", lr=1e-4,
               weight_decay=5e-4, power=0.0, warmup=0, clip=0.0)
PUBLISHED = replace(PAPER, steps=100_000, epochs=None, batch_size=1,
                    lr=1e-9, loss=summed_cross_entropy)
#: What a narrow FCN with batch normalisation needs for our scenes.
OURS = Recipe(steps=200, batch_size=16, lr=3e-3, class_weights="median")


# Weights from another task
# -------------------------

def freeze(module: nn.Module) -> nn.Module:
    """The module itself; nothing in it learns, statistics included.

    Notes
    -----
    `requires_grad_(True)` alone is no way back: the statistics stay.

    Chapter
    -------
    12 FCN: a classifier that says where, "Weights from another task".
    """
    module.requires_grad_(False)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.register_forward_pre_hook(_stay_in_eval)
    return module


def _stay_in_eval(module, args):
    module.eval()


def slow_down(module: nn.Module, rate: float) -> nn.Module:
    """The module itself; it learns at a multiple of `fit`'s rate.

    Chapter
    -------
    12 FCN: a classifier that says where, "Weights from another task".
    """
    for parameter in module.parameters():
        parameter.rate = rate
    return module


# Weights from ImageNet
# ---------------------

def imagenet_state(name: str) -> dict:
    """Weights trained on ImageNet, as torchvision publishes them.

    Parameters
    ----------
    name : str
        Of a torchvision model, such as "vgg16".

    Returns
    -------
    dict of str to tensor
        Read from `$SEGLIB_WEIGHTS` (else data/weights), where they are
        downloaded to if they are missing.

    Raises
    ------
    ConnectionError
        If they are missing and there is no network.
    ValueError
        If the file is damaged.
    OSError
        If the folder cannot be written to.

    Chapter
    -------
    12 FCN: a classifier that says where, "Weights from ImageNet".
    """
    from torchvision.models import get_model_weights
    url = get_model_weights(name).DEFAULT.url
    folder, file = weights_root(), url.rsplit("/", 1)[-1]
    try:
        return torch.hub.load_state_dict_from_url(
            url, folder, map_location="cpu", check_hash=True,
            file_name=file, weights_only=True)
    except (URLError, ConnectionError, TimeoutError) as error:
        raise ConnectionError(
            f"{file} is not in {folder}, and {url} cannot be reached;"
            " needed: that file in $SEGLIB_WEIGHTS") from error
    except _DAMAGED as error:
        raise ValueError(f"{folder / file} is damaged;"
                         f" needed: {url}") from error


#: What PyTorch raises for a file that it cannot read.
_DAMAGED = RuntimeError, EOFError, LookupError, UnpicklingError


def _take_over(trunk, weights):
    """All of a VGG16 but its last layer, in the order of its work."""
    norm = isinstance(trunk.fc[1], BatchNorm)
    part, name = ((trunk.stages, "vgg16_bn") if norm
                  else (trunk, "vgg16"))
    width, channels = trunk.stages[0][0].weight.shape[:2]
    state = _state(weights, name, width, channels)
    _fill(part, _renamed(part, state), name)


def _renamed(part, state):
    """A VGG16's weights by our names, and its matrices as kernels."""
    of_vgg = "features", "stages", "classifier"
    theirs = [values for key, values in _counted_out(state).items()
              if key.split(".")[0] in of_vgg]
    mine, found = _counted_out(part.state_dict()), {}
    for (name, kernel), values in zip(mine.items(), theirs):
        if values.ndim == 2 and values.numel() == kernel.numel():
            values = values.reshape(kernel.shape)
        found[name] = values
    return found


def _state(weights, name, width=64, channels=3):
    """The state dict that was given, or torchvision's."""
    if isinstance(weights, dict):
        return weights
    if weights != "imagenet":
        said = (repr(weights) if isinstance(weights, str)
                else f"a {type(weights).__name__}")
        raise ValueError(f"weights is {said}; needed: 'imagenet' or a"
                         " state dict")
    for argument, given, needed in (("width", width, 64),
                                    ("in_channels", channels, 3)):
        if given != needed:
            raise ValueError(f"{argument} is {given}; needed with"
                             f" weights='imagenet': {needed}")
    return imagenet_state(name)


def _fill(module, state, name):
    """Load weights, if they fit to the last one."""
    mine, state = map(_counted_out, (module.state_dict(), state))
    for key in {**mine, **state}:
        given, needed = (tuple(d[key].shape) if key in d else "nothing"
                         for d in (state, mine))
        if given != needed:
            raise ValueError(f"weights has {given} for {key}; needed:"
                             f" {needed}, as in such a {name}")
    module.load_state_dict(state)


def _counted_out(state):
    """Without the numbers of batches, which old files do not have."""
    return {key: value for key, value in state.items()
            if not key.endswith("num_batches_tracked")}


class _ResNetFCN(nn.Module):
    """A dilated ResNet-50 and a head of two convolutions."""

    def __init__(self, num_classes, in_channels, aux):
        super().__init__()
        self.input = Standardise(in_channels)
        self.backbone = _dilated_resnet50(in_channels)
        self.classifier = _head(2048, num_classes)
        self.aux_classifier = _head(1024, num_classes) if aux else None

    def forward(self, x, aux=False):
        size = large_enough(x).shape[-2:]
        early, late = _two_maps(self.backbone, self.input(x))
        logits = _stretch(self.classifier(late), size)
        if aux:
            early = _stretch(_there(self.aux_classifier)(early), size)
            return logits, early
        return logits


def _dilated_resnet50(in_channels):
    """torchvision's, with steps of 8 pixels and our BatchNorm."""
    from torchvision.models import resnet50
    net = resnet50(norm_layer=BatchNorm,
                   replace_stride_with_dilation=(False, True, True))
    net.fc = None
    if in_channels != 3:
        net.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
    return net


def _head(channels, num_classes):
    check_counts(num_classes=num_classes)
    return nn.Sequential(
        nn.Conv2d(channels, channels // 4, 3, padding=1, bias=False),
        BatchNorm(channels // 4), nn.ReLU(), nn.Dropout(0.1),
        nn.Conv2d(channels // 4, num_classes, 1))


def _there(head):
    if head is None:
        raise ValueError("aux is True, but there is no such head;"
                         " needed: fcn_resnet50(..., aux=True)")
    return head


def _two_maps(net, x):
    """A ResNet's feature maps after its third and fourth stage."""
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    early = net.layer3(net.layer2(net.layer1(x)))
    return early, net.layer4(early)


def _stretch(scores, size):
    return F.interpolate(scores, size, mode="bilinear",
                         align_corners=False)


def fcn_resnet50(num_classes: int = 21, in_channels: int = 3, *,
                 aux: bool = False, weights=None) -> nn.Module:
    """torchvision's FCN: the same names of weights, the same logits.

    Parameters
    ----------
    num_classes, in_channels : int
    aux : bool
        A second head on stage 3: `net(x, aux=True)` gives its logits
        too.
    weights : "imagenet" or dict, optional
        torchvision's ResNet-50 for the trunk, or a state dict of
        torchvision's `fcn_resnet50`.

    Returns
    -------
    nn.Module
        In and out as for `FCN32s`.

    Raises
    ------
    ValueError
        As `FCN32s`.

    Examples
    --------
    >>> from seglib.networks import parameters
    >>> with torch.device("meta"):
    ...     parameters(fcn_resnet50(21))
    32957013

    Chapter
    -------
    12 FCN: a classifier that says where, "Weights from ImageNet".
    """
    net = _ResNetFCN(num_classes, in_channels, aux)
    if isinstance(weights, dict):
        _fill(net, {k: v for k, v in weights.items()
                    if aux or k[:4] != "aux_"}, "fcn_resnet50")
    elif weights is not None:
        state = _state(weights, "resnet50", channels=in_channels)
        _fill(net.backbone, {k: v for k, v in state.items()
                             if k[:3] != "fc."}, "resnet50")
    return net


class _SqueezeNetFCN(nn.Module):
    """SqueezeNet, and scores at a 16th, an 8th and a 4th."""

    taps, ups = (13, 11, 6), (2, 2, 4)

    def __init__(self, num_classes):
        super().__init__()
        self.input, self.features = Standardise(), _aligned_squeezenet()
        self.scores = nn.ModuleList(
            score(n, num_classes) for n in (512, 512, 256))

    def forward(self, x):
        maps = [self.input(large_enough(x))]
        for layer in self.features:
            maps.append(layer(maps[-1]))
        scores = [layer(maps[tap]) for layer, tap in
                  zip(self.scores, self.taps)]
        ups = [partial(_from_corner, factor=n) for n in self.ups]
        return climb(scores, ups, (0, 0, 0), x.shape[-2:])


def _aligned_squeezenet():
    """Its features, padded so that they begin with the picture."""
    from torchvision.models import squeezenet1_0
    features = squeezenet1_0().features
    features[0].padding = (3, 3)
    for i in (2, 6, 11):
        features[i] = nn.MaxPool2d(3, 2, padding=1)
    return features


def _from_corner(scores, factor):
    """Finer scores, the first of them on the first coarse one."""
    wide = F.pad(scores, (0, 1, 0, 1), "replicate")
    size = [factor * side + 1 for side in scores.shape[-2:]]
    return F.interpolate(wide, size, mode="bilinear",
                         align_corners=True)


def fcn_squeezenet(num_classes: int, in_channels: int = 3, *,
                   weights=None) -> nn.Module:
    """An FCN on SqueezeNet 1.0: ImageNet's weights in five megabytes.

    Parameters
    ----------
    num_classes : int
    in_channels : 3
    weights : "imagenet" or dict, optional
        torchvision's, or a state dict like its own.

    Returns
    -------
    nn.Module
        In and out as for `FCN32s`.

    Raises
    ------
    ValueError
        If `in_channels` is not 3, and as `FCN32s`.

    Notes
    -----
    Iandola et al. (2016); the first layers are padded, so that score i
    lies on pixel 4 i, 8 i or 16 i.

    Chapter
    -------
    12 FCN: a classifier that says where, "Weights from ImageNet".
    """
    if in_channels != 3:
        raise ValueError(f"in_channels is {in_channels}; needed: 3")
    net = _SqueezeNetFCN(num_classes)
    if weights is not None:
        name = "squeezenet1_0"
        _fill(net.features, {
            k.removeprefix("features."): v
            for k, v in _state(weights, name).items()
            if k.startswith("features.")}, name)
    return net
