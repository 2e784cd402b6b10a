"""U-Net: chapter 13 of the course.

Who remembers where things were, while the network finds out what they are?

Exported from 13_unet.py; edit the chapter, not this file.
"""

import numpy as np
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from seglib.display import VOID, as_float
from seglib.edges import watershed
from seglib.fcn import check_batch, check_counts
from seglib.networks import in_eval_mode
from seglib.scenes import seams
from seglib.training import BatchNorm

__all__ = [
    "Encoder",
    "centre",
    "beside",
    "Up",
    "Decoder",
    "BORDER",
    "UNet",
    "parted",
    "two_distances",
    "border_weights",
    "BorderLoss",
    "cells_of",
    "ElasticDeformation",
    "overlap_tile",
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
        self.channels, self.valid = in_channels, padding == 0
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


class Decoder(nn.ModuleList):
    """From the coarsest map to the finest, meeting all others.

    The list of maps is used up: what has been met is let go.

    Chapter
    -------
    13 U-Net, "What is it made of?".
    """

    def __init__(self, widths, padding, norm):
        super().__init__(Up(w, padding, norm) for w in widths[:-1])

    def forward(self, maps):
        x = maps.pop()
        for up in self:
            x = up(x, maps.pop())
        return x


def _begin(module):
    """Gaussian weights of variance 2 / N, zero biases."""
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
    """Sides that fit, filled up to multiples of 16 if one pads."""
    height, width = x.shape[2:]
    _check_size(height, width, valid)
    if valid:
        return x
    return F.pad(x, (0, -width % 16, 0, -height % 16), "replicate")


# Down, up, and across
# --------------------

def _how(padding, norm):
    """Padding of each convolution, and whether to normalise."""
    if padding not in ("same", "valid"):
        raise ValueError(f"padding is {padding!r}; needed: 'same' or"
                         " 'valid'")
    same = padding == "same"
    return int(same), same if norm is None else bool(norm)


def _widths(width, **others):
    """Channels of the five stages, if all counts make sense."""
    check_counts(width=width, **others)
    return [width * 2**level for level in range(5)]


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
        If `padding` is neither, or a number is below 1; later, if
        pictures are no floats, or channels or sizes do not fit.

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

    def __init__(self, num_classes, in_channels=3, *, width=64,
                 padding="same", norm=None):
        super().__init__()
        how = _how(padding, norm)
        widths = _widths(width, num_classes=num_classes,
                         in_channels=in_channels)
        self.down = Encoder(in_channels, widths, *how)
        self.up = Decoder(widths[::-1], *how)
        self.score = nn.Conv2d(width, num_classes, 1)
        self.apply(_begin)

    def forward(self, x):
        height, width = check_batch(x, self.down.channels).shape[2:]
        x = self.up(self.down(4 * _filled(x, self.down.valid) - 2))
        return self.score(x)[..., :height, :width]


# Where does one cell end?
# ------------------------

def parted(instances: np.ndarray) -> np.ndarray:
    """A mask in which objects are apart: 1 inside, 0 ground and seams.

    Parameters
    ----------
    instances : (H, W) integer array
        0 for the ground, else the object's number.

    Returns
    -------
    (H, W) uint8 array

    Chapter
    -------
    13 U-Net, "Where does one cell end?".
    """
    instances = np.asarray(instances)
    return ((instances > 0) & ~seams(instances)).astype(np.uint8)


# How far to the second nearest?
# ------------------------------

def _offer(near, d):
    """Of near (..., 2) and d (...), the two smallest stay in near."""
    first, second = near[..., 0], near[..., 1]
    np.minimum(second, np.maximum(first, d), out=second)
    np.minimum(first, d, out=first)


def _objects(instances):
    """Checked, as an array; numbered anew if numbers are huge."""
    array = np.asarray(instances)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"instances has shape {array.shape}; needed:"
                         " (H, W), at least one pixel")
    if array.dtype.kind not in "bui" or array.min() < 0:
        raise ValueError(f"instances holds {array.dtype} from"
                         f" {array.min()}; needed: integers from 0")
    if array.max() > array.size:
        pixels = np.append(0, array)        # the ground stays 0
        numbers = np.unique(pixels, return_inverse=True)[1]
        array = numbers[1:].reshape(array.shape)
    return array


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

    Raises
    ------
    ValueError
        If `instances` has not two sides, or holds anything but integers
        from 0.

    Notes
    -----
    Each object is looked at with `reach` pixels around it: time grows
    with their number and with the square of that frame.

    Examples
    --------
    >>> two_distances(np.array([[1, 0, 0, 5]]))[0, 1]
    array([1., 2.])

    Chapter
    -------
    13 U-Net, "How far to the second nearest?".
    """
    instances = _objects(instances)
    near = np.full((*instances.shape, 2), np.inf)
    frame = int(min(reach, max(instances.shape)))
    boxes = ndimage.find_objects(instances.astype(int))
    for number, box in enumerate(boxes, start=1):
        if box:
            around = tuple(slice(max(side.start - frame, 0),
                                 side.stop + frame) for side in box)
            d = ndimage.distance_transform_edt(
                instances[around] != number)
            _offer(near[around], np.where(d <= reach, d, np.inf))
    return near


def _number(name, value, least=0):
    """The value, if it is finite and not below `least`."""
    if not least <= value < np.inf:
        raise ValueError(f"{name} is {value}; needed: a finite number"
                         f" from {least}")
    return value


def border_weights(instances: np.ndarray, w0: float = 10.0,
                   sigma: float = 5.0) -> np.ndarray:
    """How much each pixel counts: the ground between two objects, most.

    Parameters
    ----------
    instances : (H, W) integer array
        0 for the ground, else the object's number.
    w0 : float
        Largest addition to 1; from 0.
    sigma : float
        In pixels, from 0.001: how wide a gap still counts.

    Returns
    -------
    (H, W) float32 array
        1 + w0 exp(-(d1 + d2)^2 / (2 sigma^2)) on the ground, with the
        distances to the nearest two objects; 1 on objects.

    Raises
    ------
    ValueError
        If a number is out of its range, or `instances` has not two
        sides or holds anything but integers from 0.

    Notes
    -----
    Ronneberger, Fischer and Brox (2015), equation 2.

    Examples
    --------
    >>> border_weights(np.array([[1, 0, 2]]), w0=10, sigma=2).round(2)
    array([[1.  , 7.07, 1.  ]], dtype=float32)

    Chapter
    -------
    13 U-Net, "How far to the second nearest?".
    """
    instances = _objects(instances)
    w0, sigma = _number("w0", w0), _number("sigma", sigma, 0.001)
    gap = two_distances(instances, reach=6 * sigma).sum(2)
    extra = w0 * np.exp(-gap**2 / (2 * sigma**2))
    return np.where(instances > 0, 1, 1 + extra).astype(np.float32)


def _seen(target, logits):
    """The middle of the target, which the scores are for."""
    size, there = tuple(logits.shape[2:]), tuple(target.shape[1:])
    if size[0] > there[0] or size[1] > there[1]:
        raise ValueError(f"logits are for {size} pixels; needed: no"
                         f" more than the target has, {there}")
    return centre(target, *size)


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

    Chapter
    -------
    13 U-Net, "How far to the second nearest?".
    """

    def __init__(self, w0: float = 10.0, sigma: float = 5.0):
        self.w0 = _number("w0", w0)
        self.sigma = _number("sigma", sigma, 0.001)

    def weights(self, target):
        maps = [border_weights(ndimage.label(one == 1)[0], self.w0,
                               self.sigma)
                for one in target.cpu().numpy()]
        return torch.from_numpy(np.stack(maps)).to(target.device)

    def __call__(self, logits, target):
        weights = _seen(self.weights(target), logits)
        target = _seen(target, logits).long()
        nll = F.cross_entropy(logits.float(), target,
                              ignore_index=VOID, reduction="none")
        return (weights * nll).sum() / (target != VOID).sum().clamp(1)


def _chances(cell):
    """A map of probabilities, checked, as floats."""
    cell = np.asarray(cell, float)
    if cell.ndim != 2 or not cell.size:
        raise ValueError(f"cell has shape {cell.shape}; needed: (H, W),"
                         " at least one pixel")
    if not np.abs(cell - 0.5).max() < 0.501:
        raise ValueError(f"cell is from {cell.min():.3g} to"
                         f" {cell.max():.3g}; needed: probabilities,"
                         " 0 to 1, no NaN")
    return cell


def cells_of(cell: np.ndarray, sure: float = 0.5, likely: float = 0.4,
             smallest: int = 16) -> np.ndarray:
    """Finds the cells in a map of probabilities, seams closed again.

    Parameters
    ----------
    cell : (H, W) float or bool array
        Probability of "cell", in [0, 1]; or a mask such as `parted`
        makes.
    sure : float
        The connected pieces above it are the cells.
    likely : float
        They grow into what is above it.
    smallest : int
        Pieces of fewer pixels are dropped.

    Returns
    -------
    (H, W) int32 array
        0 for the ground, else the cell's number.

    Raises
    ------
    ValueError
        If `likely` is not at most `sure`, or `cell` no such map.

    Chapter
    -------
    13 U-Net, "How far to the second nearest?".
    """
    if not likely <= sure:
        raise ValueError(f"likely is {likely}; needed: at most sure,"
                         f" {sure}")
    cell = _chances(cell)
    pieces, _ = ndimage.label(cell > sure)
    kept = np.bincount(pieces.ravel()) >= smallest
    kept[0] = False
    pieces = (np.cumsum(kept) * kept)[pieces]
    room = np.pad(cell > likely, 2)
    room = ndimage.binary_closing(room, np.ones((3, 3)))[2:-2, 2:-2]
    return watershed(1 - cell, pieces, room)


# How can thirty pictures be enough?
# ----------------------------------

def _arrows(count, size, sigma, nodes, device=None):
    """(count, 2, H, W): shifts to the right, and down, in pixels."""
    drawn = sigma * torch.randn(count, 2, nodes, nodes, device=device)
    return F.interpolate(drawn, size, mode="bicubic",
                         align_corners=True)


def _moved(x, shift, mode):
    """x at p + shift(p), mirrored at the border."""
    height, width = x.shape[2:]
    y = torch.arange(height, device=x.device)[:, None] + shift[:, 1]
    x_ = torch.arange(width, device=x.device) + shift[:, 0]
    place = torch.stack(((2 * x_ + 1) / width - 1,
                         (2 * y + 1) / height - 1), -1)
    return F.grid_sample(x.float(), place, mode, "reflection",
                         align_corners=False)


class ElasticDeformation:
    """Bends images and masks together, for `fit(augment=...)`.

    Parameters
    ----------
    sigma : float
        Standard deviation of the shifts at the nodes, in pixels; from
        0.
    nodes : int
        Along each side; from 1.

    Raises
    ------
    ValueError
        If a number is out of its range; later, if images and masks
        differ in number or size.

    Notes
    -----
    After Ronneberger, Fischer and Brox (2015): shifts at a coarse grid,
    bicubic between its nodes. What comes in from outside is a mirror
    image. Masks are never interpolated; every picture is bent in its
    own way, on the device on which it is.

    Chapter
    -------
    13 U-Net, "How can thirty pictures be enough?".
    """

    def __init__(self, sigma: float = 10.0, nodes: int = 3):
        self.sigma = _number("sigma", sigma)
        self.nodes = _number("nodes", nodes, 1)

    def __call__(self, images, masks):
        """Images (N, C, H, W), labels (N, H, W); such a pair again."""
        count, *size = images[:, 0].shape
        if masks.shape != (count, *size):
            raise ValueError(f"masks are {tuple(masks.shape)}; needed:"
                             f" {(count, *size)}, as the images")
        shift = _arrows(count, size, self.sigma, self.nodes,
                        images.device)
        bent = _moved(masks[:, None], shift, "nearest")[:, 0]
        return (_moved(images, shift, "bilinear").to(images.dtype),
                bent.to(masks.dtype))


# How large may a picture be?
# ---------------------------

def _tiles(length, tile):
    """(start, size) of the tiles along a side, in steps of 16 n."""
    start = 0
    while length - start > tile:
        yield start, tile
        start += tile - 4
    left = length - start
    yield start, left + (4 - left) % 16


def _mirrored(image):
    """(1, C, H, W), with a mirrored border for tiles of any size."""
    extra = (BORDER, BORDER + 15)
    picture = np.pad(np.atleast_3d(as_float(image)),
                     (extra, extra, (0, 0)), "reflect")
    return torch.from_numpy(picture).permute(2, 0, 1)[None]


def _tile_scores(model, x):
    """Scores (K, h, w) of one window."""
    size = tuple(n - 2 * BORDER for n in x.shape[2:])
    weight = next(model.parameters())
    scores = model(x.to(weight))[0]
    if scores.shape[1:] != size:
        raise ValueError(
            f"model makes {tuple(scores.shape[1:])} of"
            f" {tuple(x.shape[2:])}; needed: {size}, as from"
            " UNet(padding='valid'); else use `predict`")
    return scores.cpu().numpy()


def _all_tiles(model, image, tile):
    """Scores of the tiles one by one, and where each begins."""
    x = _mirrored(image)
    for top, height in _tiles(image.shape[0], tile):
        for left, width in _tiles(image.shape[1], tile):
            seen = x[..., top:top + height + 2 * BORDER,
                     left:left + width + 2 * BORDER]
            yield _tile_scores(model, seen), top, left


def overlap_tile(model: nn.Module, image: np.ndarray,
                 tile: int = 388) -> np.ndarray:
    """Scores of a picture of any size by a net without padding.

    Parameters
    ----------
    model : nn.Module
        `UNet(padding="valid")`, where it is.
    image : (H, W) or (H, W, C) array
        uint8, or float in [0, 1].
    tile : int
        Side of what is computed at once, 4 more than a multiple of 16,
        from 20; the model looks at 184 pixels more. It decides about
        the memory for the model's maps only. Picture and scores are
        held whole.

    Returns
    -------
    (K, H, W) float array
        Logits, of the model's precision.

    Raises
    ------
    ValueError
        If the tile has no such side, or the model pads.

    Notes
    -----
    Ronneberger, Fischer and Brox (2015), figure 2; but neighbouring
    tiles share 4 pixels, so that all pool alike.

    Examples
    --------
    >>> net = UNet(2, 1, width=2, padding="valid")
    >>> overlap_tile(net, np.zeros((70, 35)), tile=36).shape
    (2, 70, 35)

    Chapter
    -------
    13 U-Net, "How large may a picture be?".
    """
    whole = isinstance(tile, int | np.integer)
    if not whole or tile < 20 or tile % 16 != 4:
        raise ValueError(f"tile is {tile}; needed: 4 more than a"
                         " multiple of 16, from 20")
    size, scores = image.shape[:2], None
    with in_eval_mode(model), torch.inference_mode():
        for part, top, left in _all_tiles(model, image, tile):
            if scores is None:
                scores = np.empty((len(part), *size), part.dtype)
            there = scores[:, top:, left:][:, :tile, :tile]
            there[:] = part[:, :there.shape[1], :there.shape[2]]
    return scores
