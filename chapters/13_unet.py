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
from seglib.display import VOID, as_float
from seglib.edges import watershed
from seglib.networks import in_eval_mode
from seglib.scenes import seams
from seglib.training import BatchNorm

# %%
from dataclasses import replace

from seglib.display import paint, show
from seglib.metrics import panoptic_quality
from seglib.networks import diagram
from seglib.scenes import Cells

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

# %% [markdown]
# Twenty lines, and they are the drawing everybody knows. Here it is,
# drawn by the network itself; the arcs are the skip connections.

# %%
x = torch.rand(1, 1, 188, 188)
diagram(UNet(2, 1, width=4, padding="valid"), x)

# %% [markdown]
# Is it the paper's? Count. On the `meta` device tensors have shapes but
# no numbers, so the full size costs nothing.

# %% tags=["nbval-check-output"]
def parameters(net):
    return sum(p.numel() for p in net.parameters())

with torch.device("meta"):
    paper = UNet(2, in_channels=1, padding="valid")
    print(tuple(paper(torch.rand(1, 1, 572, 572)).shape))
    print(parameters(paper), parameters(UNet(2)),
          parameters(UNet(21, norm=False)))

# %%
assert parameters(paper) == 31_030_658
convolutions = [m for m in paper.modules()
                if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
assert len(convolutions) == 23
try:
    UNet(2, 1, width=4, padding="valid")(torch.rand(1, 1, 512, 512))
except ValueError as error:
    print(error)

# %% [markdown]
# ## Where does one cell end?
#
# Back to what the net was made for. Chapter 10 grows cells that touch,
# and for a biologist the interesting question is *how many* there are.
# To a network that says "cell" or "ground" two that touch are one. So
# the truth is changed a little: where two cells meet, one pixel of each
# is given to the ground. What is left are separate pieces.

# %% tags=["export"]
def parted(instances: np.ndarray) -> np.ndarray:
    """A mask in which objects are apart: 1 inside, 0 ground and seams.

    Parameters
    ----------
    instances : (H, W) integer array
        0 for the ground, else the object's number.

    Returns
    -------
    (H, W) uint8 array
    """
    return ((instances > 0) & ~seams(instances)).astype(np.uint8)

# %%
def with_seams(data):
    return [replace(s, mask=parted(s.instances)) for s in data]

train = with_seams(Cells(160, seed=0, touching=1))
val = with_seams(Cells(40, seed=1, touching=1))
cells = val[2]
show(cells.image, paint(cells.instances), paint(cells.mask),
     titles=("cells", "who is who", "apart"),
     alt=[f"{cells.instances.max()} bright nuclei, many of which touch.",
          "The same, each in a colour.",
          "The mask to be learnt: thin dark seams where two meet."])
pieces = [ndimage.label(s.mask)[1] for s in val]
print(sum(pieces), "pieces of", sum(s.instances.max() for s in val))

# %% [markdown]
# But who will learn a seam that is two pixels wide? It hardly counts in
# a mean over all pixels. The paper makes it count, with a weight for
# every pixel $x$ of the ground that lies between two cells. Let $d_1$
# and $d_2$ be its distances to the nearest and to the second nearest
# cell:
#
# $$w(x) = w_c(x) + w_0 \exp\left(-\frac{(d_1(x) + d_2(x))^2}
#   {2\sigma^2}\right), \qquad w_0 = 10,\ \sigma = 5.$$
#
# A pixel beside one cell only has a large $d_2$: nothing is added. In
# the seam of two, $d_1 + d_2 = 3$ and 8.4 is. ($w_c$ balances the
# classes; 1 for us.)
#
# ## How far to the second nearest?
#
# The recipe that goes around computes one distance transform for every
# cell, over the whole picture, and sorts. With 100 cells these are 100
# pictures. But we need two numbers a pixel, however many cells there
# are. So carry along **the two nearest of different owners**, and
# whenever someone offers a third, keep two.

# %% tags=["export", "kernel"]
@njit(cache=True)
def _offer(far, who, d, owner):
    """Two nearest of different owners, and one who may be nearer."""
    if owner == who[0]:
        far[0] = min(far[0], d)
    elif d < far[0]:
        far[1], who[1] = far[0], who[0]
        far[0], who[0] = d, owner
    elif d < far[1]:
        far[1], who[1] = d, owner

# %%
far, who = np.array([4, 9]), np.array([7, 5])
_offer(far, who, 6, 5)          # 5 is nearer than we thought
_offer(far, who, 3, 8)          # someone new, nearest of all
print(far, who)
assert (far == [3, 4]).all() and (who == [8, 7]).all()

# %% [markdown]
# A distance has two legs, as in chapter 05. First along the columns:
# what my neighbour above knows is one further for me; once down, once
# up. Then along the rows: look left and right, $k$ = 0, 1, 2, … columns
# away, where $k^2$ plus the square of that column's answer is a
# distance squared, in integers. Once $k^2$ exceeds the second best,
# nobody further away can help: stop.

# %% tags=["export", "kernel"]
@njit(cache=True)
def _along_columns(far, who):
    h, w, _ = far.shape
    for step in (1, -1):
        for i in range(1, h):
            y = i if step == 1 else h - 1 - i
            for x in range(w):
                for j in range(2):
                    _offer(far[y, x], who[y, x],
                           far[y - step, x, j] + 1,
                           who[y - step, x, j])


@njit(cache=True)
def _along_rows(far, who, d2, reach):
    h, w, _ = far.shape
    name = np.empty(2, who.dtype)
    for y in range(h):
        for x in range(w):
            best, k = d2[y, x], 0
            name[:] = 0
            while k < reach and k * k < best[1]:
                for other in (x - k, x + k):
                    if 0 <= other < w:
                        for j in range(2):
                            d = k * k + far[y, other, j]**2
                            if d < best[1]:
                                _offer(best, name, d,
                                       who[y, other, j])
                k += 1

# %% tags=["export"]
def two_distances(instances: np.ndarray, reach: float = np.inf
                  ) -> np.ndarray:
    """Distances of every pixel to the nearest two objects.

    Parameters
    ----------
    instances : (H, W) integer array
        0 for the ground, else the object's number.
    reach : float
        In pixels; what is further away is not looked for.

    Returns
    -------
    (H, W, 2) float64 array
        Euclidean, in pixels, exact: 0 first inside an object; inf where
        there are not so many objects within reach.

    Notes
    -----
    Time grows with the pixels and with the distance of the second
    nearest, but not with the number of objects.

    Examples
    --------
    >>> two_distances(np.array([[1, 0, 0, 5]]))[0, 1]
    array([1., 2.])
    """
    who = np.zeros((*instances.shape, 2), np.int64)
    who[..., 0] = instances
    nobody = 2 * sum(instances.shape)
    far = np.where(who > 0, 0, nobody)
    _along_columns(far, who)
    reach = min(reach, nobody)
    limit = int(reach**2) + 1
    d2 = np.full(far.shape, limit)
    _along_rows(far, who, d2, reach)
    return np.where(d2 < limit, np.sqrt(d2), np.inf)

# %% [markdown]
# Ten cells, and the slow way to check the fast one:

# %%
from seglib.edges import distance_transform
one_each = np.sort([distance_transform(cells.instances != n)
                    for n in np.unique(cells.instances) if n], axis=0)
assert np.array_equal(two_distances(cells.instances),
                      np.moveaxis(one_each[:2], 0, 2))

# %% tags=["export"]
def border_weights(instances: np.ndarray, w0: float = 10.0,
                   sigma: float = 5.0) -> np.ndarray:
    """How much each pixel counts: the ground between two objects, most.

    Parameters
    ----------
    instances : (H, W) integer array
        0 for the ground, else the object's number.
    w0 : float
        Largest addition to 1.
    sigma : float
        In pixels, above 0: how wide a gap still counts.

    Returns
    -------
    (H, W) float32 array
        1 + w0 exp(-(d1 + d2)^2 / (2 sigma^2)) on the ground, with the
        distances to the nearest two objects; 1 on objects.

    Raises
    ------
    ValueError
        If `sigma` is not above 0, or `instances` has not two sides.

    Notes
    -----
    Ronneberger, Fischer and Brox (2015), equation 2.

    Examples
    --------
    >>> border_weights(np.array([[1, 0, 2]]), w0=10, sigma=2).round(2)
    array([[1.  , 7.07, 1.  ]], dtype=float32)
    """
    if not sigma > 0 or np.ndim(instances) != 2:
        raise ValueError(f"sigma is {sigma}, instances"
                         f" {np.shape(instances)}; needed: above 0, and"
                         " height × width")
    gap = two_distances(instances, reach=8 * sigma).sum(2)
    extra = w0 * np.exp(-gap**2 / (2 * sigma**2))
    return np.where(instances > 0, 1, 1 + extra).astype(np.float32)

# %%
weights = border_weights(ndimage.label(cells.mask)[0])
show(cells.image, weights / weights.max(),
     titles=("cells", f"weights, 1 to {weights.max():.1f}"),
     alt=["Nuclei.", "A dark picture in which the seams between"
          " touching nuclei shine, and narrow gaps glow."])

# %% [markdown]
# The loss finds the pieces in the mask it is given. So it still fits
# when the mask has been cropped, flipped or bent on its way, and no
# weight maps have to be stored and bent along. And if the scores are
# smaller than the mask, for want of padding, it takes the middle.

# %% tags=["export"]
class BorderLoss:
    """Cross-entropy that looks at the gaps between objects.

    Parameters
    ----------
    w0, sigma : float
        As for `border_weights`. The pieces of class 1 that are not
        connected (sideways, up or down) are the objects.

    Notes
    -----
    For `fit`: logits (N, K, h, w), target (N, H, W), where VOID counts
    for nothing; scores smaller than the target are for its middle. The
    weights are computed on the CPU, with every batch.
    """

    def __init__(self, w0: float = 10.0, sigma: float = 5.0):
        self.w0, self.sigma = w0, sigma

    def weights(self, target):
        maps = [border_weights(ndimage.label(one == 1)[0], self.w0,
                               self.sigma)
                for one in target.cpu().numpy()]
        return torch.from_numpy(np.stack(maps)).to(target.device)

    def __call__(self, logits, target):
        weights = centre(self.weights(target), *logits.shape[2:])
        target = centre(target, *logits.shape[2:]).long()
        nll = F.cross_entropy(logits.float(), target,
                              ignore_index=VOID, reduction="none")
        known = (target != VOID).sum().clamp(min=1)
        return (weights * nll).sum() / known

# %% [markdown]
# And from scores back to cells: the pieces, without the dust, get back
# the pixel that was taken from them, by a watershed that grows them
# into what a closing adds.

# %% tags=["export"]
def cells_of(mask: np.ndarray, smallest: int = 16) -> np.ndarray:
    """Numbers the pieces of a mask, and closes the seams between them.

    Parameters
    ----------
    mask : (H, W) bool array
        Objects that are apart, as `parted` makes them.
    smallest : int
        Pieces of fewer pixels are dropped.

    Returns
    -------
    (H, W) int32 array
        0 for the ground, else the object's number.
    """
    pieces, n = ndimage.label(mask)
    kept = np.bincount(pieces.ravel()) >= smallest
    kept[0] = False
    pieces = (np.cumsum(kept) * kept)[pieces]
    room = np.pad(pieces > 0, 2)
    room = ndimage.binary_closing(room, np.ones((3, 3)))[2:-2, 2:-2]
    return watershed(np.zeros(room.shape), pieces, room)

# %%
again = cells_of(cells.mask)
quality = panoptic_quality(again, cells.instances)
print(quality)
