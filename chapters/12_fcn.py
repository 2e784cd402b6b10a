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
#       gpu: 0.5
#       laptop: 0.5
#     module: fcn
# ---

# %% [markdown]
# # FCN: a classifier that says where
#
# *A network knows that there is a car in the picture. Does it know
# where?*
#
# **You will be able to** turn a classifier into a network that scores
# every place, without training it again; compute how far a network sees
# and where its scores lie, to the half pixel; build FCN-32s, 16s and 8s
# as the paper did; and start from weights that were trained for
# something else.
#
# **You need** convolutions, batch normalisation and `fit` (chapter 11),
# street scenes (chapter 10), IoU (chapter 03).
#
# **Exports** `FCN32s`, `FCN16s`, `FCN8s`, `fcn_resnet50`,
# `fcn_squeezenet`; `VGG16` and its `vgg_stages`; `receptive_field`,
# `Upsample`, `as_convolution`, `large_enough`; `freeze`, `slow_down`,
# `imagenet_state`; and what they are made of, such as `Standardise`,
# `tag_loss` and the recipes.

# %% tags=["export"]
from dataclasses import replace
from functools import partial
from numbers import Integral
from pickle import UnpicklingError
from typing import NamedTuple
from urllib.error import URLError

import torch
from torch import nn
from torch.nn import functional as F

# %% tags=["export"]
from seglib.display import VOID
from seglib.environment import weights_root
from seglib.training import BatchNorm, Recipe

# %%
import matplotlib.pyplot as plt
import numpy as np
import torchvision

from seglib.display import describe, figure, overlay, show
from seglib.environment import measured
from seglib.metrics import SegmentationMeter
from seglib.networks import diagram, parameters
from seglib.scenes import StreetScenes
from seglib.training import evaluate, fit, predict

train = list(StreetScenes(200, seed=0, thin=0.5))
val = list(StreetScenes(24, seed=1, thin=0.5))
names = train[0].classes

# %% [markdown]
# ## What does a classifier look at?
#
# In 2014 the best networks for pictures were classifiers: 224 × 224
# pixels in, a thousand scores out. VGG16 {cite}`simonyan2015` is the
# plainest of them. Thirteen convolutions of 3 × 3 in five stages, and
# after each stage a pooling that halves the map; what is left is 7 × 7
# places of 512 numbers. These are laid out in a row, and three matrices
# make scores of them.
#
# The next chapters stand on these stages, so they come as a part of
# their own. They do not pool: on how to get smaller this chapter and
# the next two disagree.

# %% tags=["export"]
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


# %% tags=["export"]
def check_counts(**counts) -> None:
    """Refuse numbers of which no network can be made.

    Raises
    ------
    ValueError
        If one is not a whole number from 1; it is called by its name.
    """
    for name, count in counts.items():
        if not isinstance(count, Integral) or count < 1:
            raise ValueError(f"{name} is {count!r}; needed: a whole"
                             " number from 1")


# %% tags=["export"]
def _conv(before, after, size, padding, norm):
    """Convolution, normalisation if wanted, ReLU."""
    conv = nn.Conv2d(before, after, size, padding=padding)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(conv.bias)
    norms = [BatchNorm(after)] if norm else []
    return [conv, *norms, nn.ReLU(inplace=True)]


# %% [markdown]
# Every convolution starts with weights as large as He and others
# {cite}`he2015` found right for ReLUs. Before the first one, colours are
# brought to mean 0 and deviation 1, over the pictures of
# {term}`ImageNet`. All networks of this chapter take pictures in [0, 1]
# and do that themselves: whoever has to remember it forgets it once.

# %% tags=["export"]
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


# %% tags=["export"]
def check_batch(x: torch.Tensor, channels: int) -> torch.Tensor:
    """The batch itself, if it has the channels and holds floats.

    Raises
    ------
    ValueError
        If it has another shape than (N, channels, H, W), or integers.
    """
    fits = x.ndim == 4 and x.shape[1] == channels
    if not fits or not x.is_floating_point():
        raise ValueError(f"x is {tuple(x.shape)}, {x.dtype}; needed:"
                         f" floats of shape (N, {channels}, H, W)")
    return x


# %% [markdown]
# And the classifier. `width` is for us: with 16 in place of 64 channels,
# and all else in proportion, it learns in seconds what it has to learn
# here.

# %% tags=["export"]
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


# %% tags=["export"]
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


# %%
with torch.device("meta"):              # shapes without memory
    ours, theirs = VGG16(), torchvision.models.vgg16()
count, matrices = parameters(ours), parameters(ours.classifier)
assert count == parameters(theirs)
print(f"{count:,} parameters, {matrices / count:.0%} in the matrices")

# %% [markdown]
# ## A matrix is a convolution in disguise
#
# The first matrix takes all 7 × 7 × 512 numbers at once: one weight for
# every place. So it wants exactly 7 × 7 places, and a larger picture is
# an error (chapter 11 ran into it). But what does a row of the matrix
# do? It multiplies a map of 7 × 7 × 512 by 7 × 7 × 512 weights and adds
# up. That is *one step of a convolution* with a kernel of 7 × 7, at the
# only place where the kernel fits. Nothing has to be trained: the same
# numbers are given another shape.

# %% tags=["export"]
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


# %% [markdown]
# The second and third matrix see a single place, and become
# convolutions of 1 × 1.

# %% tags=["export"]
def convolutional(vgg: VGG16) -> nn.Sequential:
    """Last layers of a VGG16 as convolutions, with shared weights."""
    channels, layers = vgg.stages[-1][0].out_channels, []
    for layer in vgg.classifier:
        if isinstance(layer, nn.Linear):
            layer = as_convolution(layer, channels)
            channels = layer.out_channels
        layers.append(layer)
    return nn.Sequential(*layers)


# %%
torch.manual_seed(0)
vgg = VGG16(10, width=16).eval()
head = convolutional(vgg)
with torch.inference_mode():
    square = torch.rand(1, 3, 224, 224)
    wide = torch.rand(1, 3, 288, 352)
    scores, places = vgg(square), head(vgg.features(square))
    assert places.shape == (1, 10, 1, 1)
    assert torch.allclose(scores, places[..., 0, 0], atol=1e-5)
    places, crop = head(vgg.features(wide)), wide[..., :224, :224]
    assert not torch.allclose(vgg(crop), places[..., 0, 0], atol=1e-2)
    print("of a larger picture:", *places.shape[2:])
assert head[0].weight.data_ptr() == vgg.classifier[0].weight.data_ptr()

# %% [markdown]
# Same weights (the same bytes in memory), same scores; but a larger
# picture now gets a *map* of scores, almost as if the classifier had
# been slid across it in steps of 32 pixels, at a fraction of the work.
# (Almost: a crop is padded with zeros where the large picture has
# neighbours.) A network without a matrix is called {term}`fully
# convolutional`, and has no opinion on sizes.
#
# ## A classifier finds cars
#
# VGG16's own weights must be downloaded; so let a small one learn here.
# Its task is a cheap one: say *which* classes are in a crop of 64 × 64
# pixels. Nobody has to paint a mask for that, tags are enough. Ours
# come from masks, but the loss forgets where:

# %% tags=["export"]
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
    """
    shares = [(masks == k).float().mean((1, 2))
              for k in range(logits.shape[1])]
    there = torch.stack(shares, 1) >= least
    return F.binary_cross_entropy_with_logits(logits.float(),
                                              there.float())


# %%
torch.manual_seed(0)
tagger = VGG16(13, width=8, norm=True, size=64)
history = fit(tagger, train, steps=60, batch_size=16, loss=tag_loss,
              crop=(64, 64), progress=False, every=60)
assert history.rows[-1]["loss"] < 0.6 * history.rows[0]["loss"]

# %% [markdown]
# `fit` neither knows nor cares that there are no places in these
# scores. Now its three matrices become convolutions, and it looks at a
# street three times as high and six times as wide as anything it has
# seen. The scores of one class are a {term}`heat map`. Each is about 64
# pixels and lies in their middle; drawn as squares of 32, they leave a
# border of 16.

# %%
street = StreetScenes(1, size=(192, 384), seed=0)[0]
x = torch.from_numpy(street.image).permute(2, 0, 1)[None] / 255
tagger.eval()
with torch.inference_mode():
    heat = convolutional(tagger)(tagger.features(x))[0].sigmoid()

# %%
shown = F.interpolate(heat[None], scale_factor=32)[0].numpy()
inside = np.s_[16:-16, 16:-16]
truth = street.mask[inside]
picked = [names.index(name) for name in ("road", "car")]
show(street.image[inside], *shown[picked],
     titles=("street", *(names[k] for k in picked)),
     alt=["A street, without its border. " + describe(truth, names)]
     + [f"Heat map of {names[k]}: {shown[k].min():.2f} where it is"
        f" least expected, {shown[k].max():.2f} where most."
        for k in picked])

# %%
more = {}
for name in ("road", "car", "sky", "building", "tree"):
    here, map_ = truth == names.index(name), shown[names.index(name)]
    on, off = map_[here].mean(), map_[~here].mean()
    print(f"{name:8}  on it {on:.2f}   elsewhere {off:.2f}")
    more[name] = on - off
assert min(more["road"], more["car"]) > 0.05 > max(
    more["sky"], more["building"], more["tree"])

# %% [markdown]
# It was never told where anything is, and yet its scores are higher
# where road and cars are. **What went wrong?** The squares are coarse,
# and spread far beyond the thing: each says what is *in sight*, not what
# is *here*. Sky, houses and trees are in sight of nearly every crop, and
# it learnt nothing about their places. We have to train with masks, and
# to know which pixels a score is about.
#
# ## Where does a score lie?
#
# Follow one axis. A layer with kernel $k$, stride $s$ and padding $p$
# looks at $k$ neighbours of the map before it. If these lie $j$ pixels
# apart in the picture, and each sees $r$ pixels, then a new score
#
# - sees $r + (k-1)\,j$ pixels, its {term}`receptive field` (`size`);
# - lies $s\,j$ pixels from the next one (`stride`);
# - and the first one is centred $\left(\frac{k-1}{2} - p\right) j$
#   pixels after the first one before (`start`).
#
# Begin with a pixel, which sees itself, and go through the network.

# %% tags=["export"]
class Field(NamedTuple):
    """What a score sees: `size` pixels across, `stride` pixels from one
    score to the next, the first centred on pixel `start`."""

    size: int
    stride: int
    start: float


# %% tags=["export"]
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


# %% tags=["export"]
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


# %%
with torch.device("meta"):
    stages, pool = vgg_stages(margin=100), nn.MaxPool2d(2)
    fc6 = nn.Conv2d(512, 4096, 7)
chain, row = [], "{:6}{:>6}{:>8}{:>8}".format
print(row("", *Field._fields))
for i, stage in enumerate(stages, 1):
    chain += [stage, pool]
    print(row(f"pool {i}", *receptive_field(*chain)))
field = receptive_field(*chain, fc6)
print(row("fc6", *field))
assert field == (404, 32, 12.5)

# %% [markdown]
# VGG16 made convolutional sees 404 pixels, in steps of 32. (That is
# what *can* reach a score. What does reach it in a trained network is
# less, and mostly the middle: chapter 14 measures it for two others.)
# The third number will matter soon. The `margin` of 100 pixels is the
# paper's. Without it a picture of less than 193 pixels, halved five
# times and rounded up, would leave `fc6` fewer than 7 places to look at;
# and the border of any picture would have no score (first exercise).
#
# ## From coarse to fine
#
# Scores 32 pixels apart must become scores for each pixel. Between two
# neighbours at distance $s$, linear interpolation gives each a share
# that falls in a line with the distance, to zero at the other one.
# Turn that around: *each coarse score is spread over the pixels around
# it with weights $1 - |d|/s$*, and what arrives at a pixel is added
# up. To spread with a fixed kernel, every $s$ pixels, and add up, is a
# {term}`transposed convolution`. (You will meet it as "deconvolution",
# which it is not: it undoes nothing.) With an even $s$ the pixels lie
# at half distances, $d = \pm\frac12, \pm\frac32, \ldots$, so there
# are $2s$ of them. In two dimensions the weights multiply.

# %% tags=["export"]
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
    """

    def __init__(self, channels: int, factor: int, cut: int = 0):
        super().__init__(channels, channels, 2 * factor, factor, cut,
                         bias=False)
        self.weight.requires_grad_(False)
        self.weight.zero_()
        each = range(channels)
        self.weight[each, each] = bilinear_kernel(factor).to(
            self.weight.device)


# %%
tent = bilinear_kernel(8).sum(0) / 8
tents = F.conv_transpose1d(torch.eye(3)[:, None], tent[None, None],
                           stride=8)[:, 0].numpy()
fig, ax = plt.subplots(figsize=(6, 1.8))
for i, line in enumerate(tents):
    ax.plot(line, ".-", label=f"score {i}")
ax.plot(sum(tents), "k:", label="sum")
ax.set(xlabel="pixel", ylim=(0, 1.4))
ax.legend(ncols=4, fontsize=7, loc="upper center")
figure(fig, alt="Three tents, each 16 pixels wide and 8 after the one"
       " before: where two overlap, they add up to 1, so that equal"
       " scores stay equal; at both ends the sum falls to 0.")

# %% [markdown]
# Inside, it is interpolation, and agrees with PyTorch's:

# %%
x = torch.rand(1, 2, 5, 6)
whole = Upsample(2, 8, cut=4)(x)
right = F.interpolate(x, scale_factor=8, mode="bilinear",
                      align_corners=False)
assert whole.shape == right.shape
assert torch.allclose(whole[..., 4:-4, 4:-4], right[..., 4:-4, 4:-4])
even = Upsample(1, 32, cut=16)(torch.ones(1, 1, 3, 4))
print(f"an even score of 1, in the corner: {even[0, 0, 0, 0]:.2f}")

# %% [markdown]
# At the ends nobody adds the other half: there the sum falls off, and
# scores with it. All classes fall alike, so the winner stays; its
# probability does not. One more score at each end, a copy of the last,
# would help.

# %% [markdown]
# ## Nineteen pixels
#
# The paper's code cuts the result out of the larger, upsampled map
# with an offset that looks like magic: 19 for FCN-32s; 5 and 27 for
# FCN-16s; 5, 9 and 31 for FCN-8s. Get one wrong, and every mask is
# shifted: nothing crashes, the loss still falls, and thin things are
# lost for ever. But we know where scores lie. The first score of `fc6`
# is centred on pixel 12.5. Spread with a kernel of 64, its centre lands
# on position $32 - \frac12 = 31.5$ of the output. So position
# $31.5 - 12.5 = 19$ is pixel 0.
#
# With skips there are two maps to bring together: what was upsampled by
# 2 so far, and the scores of an earlier stage. Same rule.

# %%
def first_after(field, factor):
    """Where the first output lies, once `factor` times finer."""
    step = field.stride // factor
    return Field(field.size, step, field.start - (factor - 0.5) * step)


coarse, crops, rungs = field, [], [("fc6", field, 0)]
found = {"32s": (-first_after(field, 32).start,)}
for stage_number, name in ((4, "16s"), (3, "8s")):
    coarse = first_after(coarse, 2)
    skip = receptive_field(*chain[:2 * stage_number])
    crops.append((coarse.start - skip.start) / skip.stride)
    final = first_after(coarse, coarse.stride)
    found[name] = *crops, -final.start
    rungs += [("twice as fine", coarse, 0),
              (f"stage {stage_number}", skip, int(crops[-1]))]
print(found)
assert found == {"32s": (19,), "16s": (5, 27), "8s": (5, 9, 31)}

# %%
def draw(ax, y, lies, cut):
    """Dots where scores lie, and an arrow along those cut off."""
    x, size = np.arange(lies.start, 51, lies.stride), lies.stride**0.5
    ax.plot(x[cut:], 0 * x[cut:] + y, "o", ms=1 + size, color="C0")
    ax.plot(x[:cut], 0 * x[:cut] + y, "o", ms=1 + size, color="C1",
            mfc="none")
    if cut:
        ax.annotate("", (x[cut], y - 0.3), (x[0], y - 0.3),
                    arrowprops={"arrowstyle": "->", "color": "C1"})
        ax.text(x[cut // 2], y - 0.4, cut, ha="center")

# %%
rungs.append(("8 times as fine", final, int(-final.start)))
fig, ax = plt.subplots(figsize=(7, 2.8))
for y, (_, lies, cut) in enumerate(rungs):
    draw(ax, y, lies, cut)
ax.axvline(0, ls=":", color="C7")
ax.set_yticks(range(len(rungs)), [name for name, _, _ in rungs])
ax.set(xlabel="pixel of the picture", ylim=(len(rungs) - 0.5, -0.7))
figure(fig, alt="A line for each map of FCN-8s, dots where its scores"
       " lie. " + " ".join(
           f"{name}: first at pixel {lies.start}, {lies.stride} apart"
           + f"; the first {cut} are cut off" * bool(cut) + "."
           for name, lies, cut in rungs))

# %% [markdown]
# All six offsets, out of one small tool. Not a half pixel is lost. The
# map made finer begins left of the picture, the skip still further left;
# the skip's surplus is cut off (orange). (Their networks pool "in ceil
# mode": a last odd row gets a window of its own, and is not dropped.)
#
# ## FCN-32s
#
# The trunk is the classifier without its last layer. `padded` is what
# is done today: every convolution pads by half its kernel, so maps
# begin where the picture begins, and nothing has to be cropped.

# %% tags=["export"]
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


# %% tags=["export"]
def _two_convolutions(width, norm, padding):
    hidden = 64 * width
    return nn.Sequential(
        *_conv(8 * width, hidden, 7, padding, norm), nn.Dropout(),
        *_conv(hidden, hidden, 1, 0, norm), nn.Dropout())


# %%
with torch.device("meta"):
    padded = Trunk(3, 64, norm=False, padded=True)
parts = [part for stage in padded.stages for part in (stage, pool)]
assert receptive_field(*parts, padded.fc) == (404, 32, 15.5)

# %% [markdown]
# So the first score lies in the middle of the pixels 0 to 31.
#
# All scores begin at zero: nobody has an opinion, the first loss is
# $\ln K$, and in the first step no gradient reaches the old layers.

# %% tags=["export"]
def score(channels: int, num_classes: int) -> nn.Conv2d:
    """1 x 1 convolution that begins without an opinion: with zeros."""
    check_counts(num_classes=num_classes)
    layer = nn.Conv2d(channels, num_classes, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


# %% [markdown]
# Now the way up, for all three networks at once: make the coarse scores
# finer, cut the finer ones to fit, add, and again.

# %% tags=["export"]
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
    """
    total, *finer = scores
    for skip, up, crop in zip(finer, ups, crops):
        total = up(total)
        skip = _crop(skip, crop, total.shape[-2:])
        total = _crop(total, 0, skip.shape[-2:]) + skip
    return _crop(ups[-1](total), crops[-1], size)


# %% [markdown]
# The three networks differ only in how many scores they add.

# %% tags=["export"]
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


# %% tags=["export"]
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


# %% tags=["export"]
def large_enough(x: torch.Tensor) -> torch.Tensor:
    """The batch itself, if its pictures survive five halvings.

    Raises
    ------
    ValueError
        If a side is shorter than 32.
    """
    height, width = x.shape[-2:]
    if min(height, width) < 32:
        raise ValueError(f"x is {height} x {width} pixels;"
                         " needed: 32 x 32 or more")
    return x


# %% [markdown]
# The first step, with scores that are all zero:

# %%
net = FCN32s(5, width=2, padded=True)
loss = F.cross_entropy(net(torch.rand(2, 3, 64, 64)),
                       torch.randint(5, (2, 64, 64)))
loss.backward()
assert abs(loss.item() - np.log(5)) < 1e-5
assert not any(p.grad.any() for p in net.trunk.parameters())


# %% [markdown]
# ## What the coarse map has lost
#
# Behind five poolings, a lamp post of two pixels has left a trace at
# best: one score for 32 × 32 pixels cannot say where in there it
# stands. But stage 3 has seen it, with a score for 8 × 8 pixels; it
# merely cannot tell from 44 pixels what kind of thing it is. **Coarse
# maps know what, fine maps know where, and the sum knows both.** That
# is a {term}`skip connection`, and the paper's idea.
#
# How much does a grid hold? Send the truth through it, without any
# network: the share of each class in $n \times n$ pixels, interpolated.

# %%
def through_the_grid(mask, n):
    """The class with the largest share, at each pixel."""
    there = np.stack([mask == k for k in range(13)])
    shares = F.avg_pool2d(torch.from_numpy(there)[None].float(), n)
    scores = F.interpolate(shares, mask.shape, mode="bilinear")
    return scores[0].argmax(0).numpy()

kept = {}
for n in (32, 16, 8):
    meter = SegmentationMeter(names)
    for scene in val:
        meter.update(through_the_grid(scene.mask, n), scene.mask)
    kept[n] = iou = meter.compute()["iou"]
    print(f"{n:2}  pole {iou['pole']:.2f}  fence {iou['fence']:.2f}"
          f"  road {iou['road']:.2f}")

# %% [markdown]
# This is no strict bound: a network may do better than average, and ours
# will. But poles and fences ask for a finer grid.

# %% tags=["export"]
class FCN16s(FCN32s):
    """FCN32s, and scores of stage 4 for 16 x 16 pixels."""

    crops = (5, 27)


class FCN8s(FCN32s):
    """FCN16s, and scores of stage 3 for 8 x 8 pixels."""

    crops = (5, 9, 31)


# %% tags=["nbval-check-output"]
with torch.device("meta"):
    nets = [make(21) for make in (FCN32s, FCN16s, FCN8s)]
for net in nets:
    print(parameters(net), parameters(net) - parameters(net.ups))
assert list(map(parameters, nets)) == [136_152_917, 134_815_994,
                                       134_489_759]

# %% [markdown]
# These are the counts of the networks that the authors published, to
# the unit; the second number leaves out the kernels that interpolate
# and do not learn.

# %%
net = FCN8s(13, width=16, norm=True, padded=True)
diagram(net.eval(), torch.rand(1, 3, 96, 128), depth=2)

# %% [markdown]
# ## The recipe of the paper, and ours
#
# The paper {cite}`long2015` trains with batches of twenty and momentum
# 0.9, biases at twice the rate, for 175 epochs or more. The code that
# its authors published later {cite}`shelhamer2016` sums the loss over
# one picture, with a rate of $10^{-10}$ and momentum 0.99, for 100,000
# pictures. Momentum $m$ walks $1/(1-m)$ times as far as the rate says.
# Our `fit` has 0.9, so with ten times the rate, $10^{-9}$, it walks as
# far in the long run. (It looks back over ten pictures, not a hundred:
# with batches of one a rougher walk.)

# %% tags=["export"]
def summed_cross_entropy(logits, target) -> torch.Tensor:
    """Sum of -log p over the known pixels, as FCN's code has it."""
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

# %% [markdown]
# How timid is $10^{-10}$? On a picture of 500 × 400 pixels the sum is
# 200,000 times the mean, and in the paper twenty pictures share a step.
# So far do the two walk for each picture:

# %%
paper = 1e-4 / 20 / (1 - 0.9)
published = 1e-10 * 500 * 400 / (1 - 0.99)
print(f"{paper:.5f} and {published:.5f}: {published / paper:.0f} times")

# %% [markdown]
# ## Thin things
#
# Poles and fences are what a coarse map loses first. One network for
# each end of the ladder, at a quarter of the width, for a few seconds:

# %%
fcns = {}
for name, make in (("FCN-32s", FCN32s), ("FCN-8s", FCN8s)):
    torch.manual_seed(0)
    fcns[name] = make(13, width=16, norm=True, padded=True)
    fit(fcns[name], train, progress=False, every=60,
        **vars(replace(OURS, steps=60, batch_size=8)))
scored = {name: evaluate(net, val) for name, net in fcns.items()}
for name, found in scored.items():
    print(f"{name}  mean IoU {found['mean_iou']:.2f}"
          f"  pole {found['iou']['pole']:.2f}")
poles = [found["iou"]["pole"] for found in scored.values()]
assert poles[1] > poles[0] + 0.05

# %%
scene = val[3]
found = {name: predict(net, scene.image) for name, net in fcns.items()}
show(overlay(scene.image, scene.mask),
     *(overlay(scene.image, mask) for mask in found.values()),
     titles=("truth", *found), classes=names,
     alt=["A street scene, classes in colour: "
          + describe(scene.mask, names)] + [
         f"What {name} finds: " + describe(mask, names)
         for name, mask in found.items()])

# %% [markdown]
# Longer training, three seeds, and all three networks are measured once
# and kept in a results file:

# %%
def told(row):
    return "{value:.3f} [{low:.3f}–{high:.3f}]".format(**row)

ladder = "FCN-32s", "FCN-16s", "FCN-8s"
print(f"{'':9}", *(f"{name:19}" for name in ladder))
for metric in ("pole IoU", "fence IoU", "mean IoU"):
    three = [measured("12_fcn", method=name, metric=metric)
             for name in ladder]
    print(f"{metric:9}", *map(told, three))
    for coarse, fine in zip(three, three[1:]):
        assert coarse["high"] < fine["low"]

# %% [markdown]
# No two bands overlap. (On Pascal VOC's validation pictures, the
# published networks differ by two points only: 63.6, 65.0 and 65.5
# {cite}`shelhamer2016`. Ours have small pictures, three by four coarse
# scores each, and a short training from scratch.)
#
# **What went wrong?** Outlines are round: the finest scores are 8 pixels
# apart. And fences are still bad. Is the grid to blame for that too?

# %%
coarse, fine = (measured("12_fcn", method=name, metric="fence IoU")
                for name in ("FCN-32s", "FCN-8s"))
assert fine["high"] < kept[8]["fence"] - 0.2
assert coarse["low"] > kept[32]["fence"] + 0.1      # no strict bound

# %% [markdown]
# No: the truth went through it with much less harm. Class weights make a
# missed fence dear and a false one cheap, and steps were few; chapter 13
# trains on, and counts both.
#
# Why not add stages 2 and 1 as well? In the paper each skip brought
# less than the one before, and its authors stopped at stage 3. Chapter
# 13 goes all the way up, and hands over *features* in place of scores.

# %% [markdown]
# The paper has no {term}`batch normalisation`, which nobody had then; it
# lives on weights that were trained before. Is it needed without them?
# Less than one reads. With one seed, He's first weights, Adam and a
# third of the rate bring the same network to most of the score in the
# same steps:

# %%
normed, bare = (measured("12_fcn", method=name, metric="mean IoU")
                for name in ("FCN-8s", "FCN-8s without normalisation"))
print(f"mean IoU {bare['value']:.2f} without,", told(normed), "with")
assert 0.8 * normed["value"] < bare["high"] < normed["low"]

# %% [markdown]
# ## Weights from another task
#
# A classifier has learnt edges, textures, wheels. Who has masks for only
# ten pictures would like to have that for nothing. This is
# {term}`transfer learning`, and there are three ways to go on: let all
# weights learn on ({term}`fine-tuning`); *freeze* the trunk and train
# the new layers only; or let the trunk learn at a fraction of the rate.
#
# Frozen means that nothing changes. The trap is batch normalisation:
# its running statistics are no parameters, and drift in training mode
# although nothing "learns".

# %% tags=["export"]
def freeze(module: nn.Module) -> nn.Module:
    """The module itself; nothing in it learns, statistics included.

    Notes
    -----
    `requires_grad_(True)` alone is no way back: the statistics stay.
    """
    module.requires_grad_(False)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.register_forward_pre_hook(_stay_in_eval)
    return module


def _stay_in_eval(module, args):
    module.eval()


# %% tags=["export"]
def slow_down(module: nn.Module, rate: float) -> nn.Module:
    """The module itself; it learns at a multiple of `fit`'s rate."""
    for parameter in module.parameters():
        parameter.rate = rate
    return module


# %%
def started_from_tags(how=None):
    torch.manual_seed(0)
    net = FCN8s(13, width=8, norm=True, padded=True)
    net.trunk.stages.load_state_dict(tagger.stages.state_dict())
    if how is not None:
        how(net.trunk.stages)
    return net

before = tagger.stages[0][1].running_mean.clone()
frozen = started_from_tags(freeze)
fit(frozen, train[:10], steps=2, batch_size=4, progress=False)
assert torch.equal(frozen.trunk.stages[0][1].running_mean, before)

# %% [markdown]
# Our tagger is a stand-in for ImageNet, and a small one: 200 scenes with
# tags. In the results file it is twice as wide and has seen 1500; ten
# scenes with masks follow, for three seeds:

# %%
hows = ("from scratch", "fine-tuned", "frozen", "a tenth of the rate")
steps = (15, 30, 45, 60)
curves = {how: [measured("12_transfer", method=how, metric="mean IoU"
                         f" after {n} steps") for n in steps]
          for how in hows}

# %%
fig, ax = plt.subplots(figsize=(6, 3))
for (how, rows), marker in zip(curves.items(), "os^v"):
    v, low, high = np.transpose([(row["value"], row["low"], row["high"])
                                 for row in rows])
    [line] = ax.plot(steps, v, marker + "-", label=how)
    ax.fill_between(steps, low, high, alpha=0.2, color=line.get_color())
ax.set(xlabel="step", ylabel="mean IoU", ylim=0)
ax.legend()
figure(fig, alt="Mean IoU over the steps, bands over three seeds. After"
       " 60: " + "; ".join(f"{how} {rows[-1]['value']:.2f}"
                           for how, rows in curves.items()) + ".")

# %%
bare, tuned, frozen, slow = curves.values()
gains = [a["value"] - b["value"] for a, b in zip(tuned, bare)]
print("fine-tuned, ahead by", *(f"{gain:.2f}" for gain in gains))
assert gains[1] < gains[0] / 2
assert tuned[-1]["low"] > max(row[-1]["high"] for row in (
    bare, frozen, slow))                        # bands apart
assert frozen[-1]["value"] < bare[-1]["value"]
assert bare[-1]["low"] < slow[-1]["value"] < bare[-1]["high"]

# %% [markdown]
# A head start of which most is soon gone; but something stays, and after
# 60 steps the bands are still apart. At a tenth of the rate the network
# ends where the one from scratch does, and frozen no higher. A tag says
# nothing about where, so the trunk has never needed to keep a pole apart
# from its surroundings; it pays to let it learn. Freeze where the old
# task has taught *more* than the new one can.
#
# ## Weights from ImageNet
#
# More than a million photographs, a thousand classes
# {cite}`russakovsky2015`. torchvision publishes the weights of many
# networks; they are fetched when you ask, and only then.

# %% tags=["export"]
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


# %% tags=["export"]
#: What PyTorch raises for a file that it cannot read.
_DAMAGED = RuntimeError, EOFError, LookupError, UnpicklingError

# %% [markdown]
# `FCN8s(21, weights="imagenet")` takes over a VGG16's, in the order in
# which they work, and two matrices become convolutions on the way.
# (With batch normalisation, `fc` has layers that no checkpoint knows:
# it starts afresh.)

# %% tags=["export"]
def _take_over(trunk, weights):
    """All of a VGG16 but its last layer, in the order of its work."""
    norm = isinstance(trunk.fc[1], BatchNorm)
    part, name = ((trunk.stages, "vgg16_bn") if norm
                  else (trunk, "vgg16"))
    width, channels = trunk.stages[0][0].weight.shape[:2]
    state = _state(weights, name, width, channels)
    _fill(part, _renamed(part, state), name)


# %% tags=["export"]
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


# %% [markdown]
# Borrowed weights are a good place for silent mistakes: a misspelt
# word, another width, a checkpoint of another net. So nothing is
# downloaded, and nothing loaded, before it is known to fit.

# %% tags=["export"]
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


# %% tags=["export"]
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


# %%
net = FCN32s(5, width=16, padded=True, weights=vgg.state_dict()).eval()
with torch.inference_mode():
    hidden = vgg.classifier[:5](vgg.features(square).flatten(1))
    middle = net.trunk(square)[0][..., 3, 3]
assert torch.allclose(middle, hidden, atol=1e-5)

# %% [markdown]
# The middle one of seven by seven places sees all of them, as the
# classifier did.
#
# The FCN that is used today is torchvision's: a ResNet-50
# {cite}`he2016` whose last two stages do not get smaller (chapter 15
# tells how), a head of two convolutions, and no skips. The trunk is
# torchvision's own, with our batch normalisation, which bears a batch
# of one; the weights' names are theirs too.

# %% tags=["export"]
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


# %% tags=["export"]
def _dilated_resnet50(in_channels):
    """torchvision's, with steps of 8 pixels and our BatchNorm."""
    from torchvision.models import resnet50
    net = resnet50(norm_layer=BatchNorm,
                   replace_stride_with_dilation=(False, True, True))
    net.fc = None
    if in_channels != 3:
        net.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
    return net


# %% tags=["export"]
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


# %% tags=["export"]
def _two_maps(net, x):
    """A ResNet's feature maps after its third and fourth stage."""
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    early = net.layer3(net.layer2(net.layer1(x)))
    return early, net.layer4(early)


def _stretch(scores, size):
    return F.interpolate(scores, size, mode="bilinear",
                         align_corners=False)


# %% tags=["export"]
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


# %%
from torchvision.models.segmentation import fcn_resnet50 as peer

torch.manual_seed(0)
theirs = peer(weights=None, weights_backbone=None, num_classes=13,
              aux_loss=True).eval()
ours = fcn_resnet50(13, aux=True, weights=theirs.state_dict()).eval()
x = torch.rand(1, 3, 65, 97)
with torch.inference_mode():
    both, right = ours(x, aux=True), theirs(ours.input(x))
assert torch.allclose(both[0], right["out"], atol=1e-5)
assert torch.allclose(both[1], right["aux"], atol=1e-5)
with torch.device("meta"):
    assert parameters(fcn_resnet50(21, aux=True)) == 35_322_218
    assert parameters(fcn_resnet50(21)) == 32_957_013

# %% [markdown]
# Thirty million weights are much for a laptop. SqueezeNet
# {cite}`iandola2016` knows the same thousand classes with 1.2 million,
# and its file is five megabytes. An FCN stands on it as on VGG: scores
# from three depths. One thing is new. Its first layers are not padded,
# so the maps that we score begin 5, 9 and 17 pixels inside. Padding them
# by half a kernel puts score $i$ on pixel $4\,i$, $8\,i$ or $16\,i$, and
# "twice as fine" then means: keep each score where it is, and put one in
# the middle between two.

# %% tags=["export"]
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


# %% tags=["export"]
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


# %% tags=["export"]
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


# %%
theirs = torchvision.models.squeezenet1_0().features
assert [receptive_field(theirs[:n]).start for n in (6, 11, 13)] == [
    5, 9, 17]
net = fcn_squeezenet(13)
assert receptive_field(net.features)[1:] == (16, 0)
assert net.eval()(torch.rand(1, 3, 97, 131)).shape == (1, 13, 97, 131)

# %% [markdown]
# Is it worth it? The results file has trained that network from scratch
# and from ImageNet's weights, with the same recipe and steps: to find
# horses (three seeds), and on CamVid's streets at half of 480 × 360 (two
# seeds), with a sequence held out (classes with at least half a percent
# of the pixels). Its weights are not torchvision's: they are the copy
# that SqueezeNet's authors have compressed.

# %%
for dataset in ("Horses 128 × 96", "CamVid 240 × 180"):
    bare, borrowed = (measured(
        "12_transfer", method=f"SqueezeNet-FCN from {start}",
        metric="mean IoU, frequent classes", dataset=dataset)
        for start in ("scratch", "ImageNet"))
    print(dataset, "from scratch", told(bare), sep="   ")
    print(dataset, "from ImageNet", told(borrowed), sep="   ")
    print("a gain of", f"{borrowed['value'] - bare['value']:.2f}")
    assert borrowed["low"] > bare["high"]

# %% [markdown]
# Photographs help with photographs.
#
# ## Claims, checked
#
# ### Claim: FCN stands for fully connected network; it pools globally and classifies with two fully connected layers
#
# Look for a matrix or a global pooling in it. Then move a thing by one
# step, 32 pixels: scores of a network that connects everything with
# everything, or forgets where things are, would not just move along.
# (Black ground, and far enough from both ends.)

# %%
torch.manual_seed(0)
net = FCN32s(5, width=2, padded=True).eval()
torch.nn.init.normal_(net.scores[0].weight)
assert not any(isinstance(m, (nn.Linear, nn.AdaptiveAvgPool2d))
               for m in net.modules())
ground = torch.zeros(1, 3, 64, 1600)
here, there = ground.clone(), ground.clone()
here[..., 800:860] = there[..., 832:892] = torch.rand(3, 64, 60)
with torch.inference_mode():
    a, b = (net.scores[0](net.trunk(x)[0]) for x in (here, there))
assert torch.allclose(a[..., 8:-9], b[..., 9:-8], atol=1e-5)
assert not torch.allclose(a[..., 8:-9], b[..., 8:-9], atol=1e-3)

# %% [markdown]
# **Verdict: false.** It stands for fully *convolutional* network; there
# is no matrix and no global pooling in it, and its scores move with the
# picture.
#
# ### Claim: FCN cannot use context, and segments only coarsely
#
# Context first: let the same network look at a tile of 32 × 32 pixels
# in its own scene, and at the very same pixels in a stranger's.
# Coarseness was measured above, with bands.

# %%
tile = np.s_[32:64, 48:80]
right, known = {"a stranger's": 0, "its own": 0}, 0
for scene, other in zip(val, val[1:] + val[:1]):
    strange = other.image.copy()
    strange[tile] = scene.image[tile]
    truth = scene.mask[tile]
    known += (truth != VOID).sum()
    for where, image in zip(right, (strange, scene.image)):
        mask = predict(fcns["FCN-8s"], image)
        right[where] += (mask[tile] == truth).sum()
print({where: f"{n / known:.2f}" for where, n in right.items()})
assert right["its own"] > right["a stranger's"] + 0.1 * known

# %% [markdown]
# **Verdict: false for context, half true for coarseness.** The same
# pixels are recognised better within their surroundings. FCN-32s does
# lose poles almost entirely; each skip brings back a good part.
#
# ### Claim: dropping all pooling and keeping stride 1 would also do
#
# Count what that costs for one picture of 224 × 224 pixels, and what it
# sees. (Of memory, what the convolutions put out.)

# %%
def price(pooled, side=224):
    with torch.device("meta"):
        trunk = Trunk(3, 64, norm=False, padded=True)
    seen, numbers, work = [], 0, 0
    for stage in (*trunk.stages, trunk.fc):
        seen.append(stage)
        for conv in (m for m in stage if isinstance(m, nn.Conv2d)):
            numbers += conv.out_channels * side**2
            work += conv.weight.numel() * side**2
        if pooled and stage is not trunk.fc:
            seen.append(trunk.pool)
            side //= 2
    return receptive_field(*seen).size, numbers * 4 / 2**30, work / 1e9

# %%
for pooled in (True, False):
    print("field {} pixels, {:.2f} GiB of maps, {:,.0f} billion"
          " multiplications".format(*price(pooled)))
assert price(False)[0] == 33
assert price(False)[2] > 300 * price(True)[2]

# %% [markdown]
# **Verdict: false.** It would see a twelfth as far, for three hundred
# times the work. Pooling is what makes context cheap; how to keep
# both context and resolution is chapter 15's question.

# %% [markdown]
# ## What the paper did and we didn't
#
# - **Stage by stage.** The paper trains 32s, then 16s from it, then 8s;
#   ours are trained at once, from scratch. The journal version
#   {cite}`shelhamer2017` also trains at once, but from VGG's weights, and
#   scales the maps of stages 4 and 3 by 0.01 and 0.0001 before they are
#   scored: 65.4 where stage by stage has 65.5 {cite}`shelhamer2016`.
# - **Momentum.** Ours is 0.9 and Nesterov's, and biases learn at the
#   rate of all others, not at twice that.
# - **Colours.** Their VGG16 wants blue, green, red from 0 to 255, less
#   a mean; torchvision's weights want ImageNet's mean and deviation.
# - **Width, normalisation, padding.** `FCN8s(21)` is the paper's net;
#   what we trained is a quarter as wide, normalised and padded.
# - **Interpolation.** Between the skips, the paper's upsampling starts
#   bilinear and is learnt; the published code {cite}`shelhamer2016` keeps
#   it fixed, because that made no difference, and so do we.
# - **Numbers.** The paper reports 62.2 % mean IoU on the test side of
#   Pascal VOC 2012, the published networks have 67.2 %; our scenes and
#   steps say nothing about that.
#
# ## Recap
#
# 1. A matrix over a feature map is a convolution whose kernel is the
#    whole map; a classifier is a scorer of places.
# 2. Kernel, stride and padding tell how far a score sees and where it
#    lies; all offsets follow.
# 3. Interpolation is a transposed convolution with tents for kernels.
# 4. Coarse maps know what, fine maps know where: add their scores.
# 5. Weights from another task are a head start; how much of one depends
#    on the other task.
#
# ## Exercises
#
# ```{exercise}
# :label: smallest-margin
# The paper pads by 100. What is the smallest margin with which FCN-32s
# still has a score for the very first pixel, that is, whose crop is not
# negative?
# ```
#
# ```{dropdown} Hint
# How does `start` change with the margin of the first convolution?
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} smallest-margin
# :class: dropdown
# ````

# %% tags=["solution"]
def crop_with(margin):
    with torch.device("meta"):
        stages, chain = vgg_stages(margin=margin), []
        for stage in stages:
            chain += [stage, pool]
    return -first_after(receptive_field(*chain, fc6), 32).start

assert crop_with(100) == 19
print(min(m for m in range(120) if crop_with(m) >= 0))
assert crop_with(81) == 0

# %% [markdown] tags=["solution"]
# ````{solution-end}
# ````

# %% [markdown]
# ```{exercise}
# :label: off-by-a-few
# Shift the masks of the trained FCN-8s by 1, 2 and 4 pixels to the
# right, as a wrong crop would. How much do sky and poles lose?
# ```
#
# ```{dropdown} Hint
# Compare `mask[:, :-n]` with `scene.mask[:, n:]`.
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} off-by-a-few
# :class: dropdown
# ````

# %% tags=["solution"]
found = {}
for shift in (0, 1, 2, 4):
    meter = SegmentationMeter(names)
    for scene in val:
        mask = predict(fcns["FCN-8s"], scene.image)
        meter.update(mask[:, :128 - shift], scene.mask[:, shift:])
    found[shift] = iou = meter.compute()["iou"]
    print(shift, f"sky {iou['sky']:.2f}  pole {iou['pole']:.2f}")
left = {name: found[4][name] / found[0][name]
        for name in ("sky", "pole")}
assert left["pole"] < left["sky"]

# %% [markdown] tags=["solution"]
# A mistake that hardly shows in the sky costs poles a good part of
# their score.
# ````{solution-end}
# ````

# %% [markdown]
# ```{exercise}
# :label: ten-of-your-own
# (Open-ended; needs a network, or SqueezeNet's file in
# `$SEGLIB_WEIGHTS`.) Paint masks for ten photographs of your own
# (appendix A3), keep three for testing, and fine-tune
# `fcn_squeezenet(2, weights="imagenet")`. Then freeze its `features`,
# then slow them down. Which of the three wins, and is that different
# from our scenes?
# ```
#
# ```{dropdown} Hint
# `FolderDataset`, `fit(net, train, steps=60, batch_size=4, lr=1e-3)`.
# Look at the pictures, not only at the numbers: there are three.
# ```
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
