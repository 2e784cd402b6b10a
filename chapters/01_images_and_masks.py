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
#       gpu: 0.2
#       laptop: 0.2
#     module: display
# ---

# %% [markdown]
# # Images and masks
#
# *What does a computer hold when it holds a picture, and what do we ask
# of it when we ask for a segmentation?*
#
# **You will be able to** read a picture as an array and say what its
# numbers mean; choose between grey, RGB, HSV and Lab; tell semantic,
# instance and panoptic masks apart; show any of them so that everybody
# can read them; and spot a mask that a resize has ruined.
#
# **You need** Python and a little NumPy.
#
# **Exports** `seglib.display`: `as_float`, `show`, `paint`, `overlay`,
# `errors`, `describe`, `figure`, and the constants `VOID`, `PALETTE`,
# `ERROR_COLOURS`, `STYLE`. Every picture of the course comes from here.

# %% tags=["export"]
import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

# %% [markdown]
# ## Six numbers
#
# Here is a picture.

# %% tags=["nbval-check-output"]
six = np.array([[ 40,  90, 200],
                [ 20, 160, 250]], dtype=np.uint8)
print(six.shape)

# %% [markdown]
# You cannot see it yet, but nothing is missing: two rows, three
# columns, and in each place a brightness from 0 (black) to 255 (white).
# Each place is a {term}`pixel`. The shape is *(rows,
# columns)*, height first, and `six[0, 2]` is the **top right** corner:
# row 0, column 2. Whoever thinks in $(x, y)$ will swap them once a
# week; square test pictures hide it, so ours are never square.
#
# How bright is 200? The number alone does not say. Out of 255 it is
# nearly white; in a 16-bit microscope image, out of 65535, it is as
# good as black; and a float 200.0 is an accident, because floats run
# from 0 to 1. The **dtype** carries the white point, so one small
# function has to read it, and everything after it can forget the
# matter.

# %% tags=["export"]
def as_float(image: np.ndarray) -> np.ndarray:
    """Image with its values on the scale from 0 (black) to 1 (white).

    Parameters
    ----------
    image : array
        Any shape; bool, uint8, uint16, or float within [0, 1].

    Returns
    -------
    float32 array
        Same shape, within [0, 1].

    Raises
    ------
    TypeError
        If the dtype is another one: where its white is, nobody knows.
    ValueError
        If a float is NaN or outside [0, 1].

    Examples
    --------
    >>> as_float(np.array([0, 51, 255], dtype=np.uint8))
    array([0. , 0.2, 1. ], dtype=float32)
    """
    image = np.asarray(image)
    white = {"b1": 1, "u1": 255, "u2": 65535}.get(image.dtype.str[1:])
    if image.dtype.kind != "f" and not white:
        raise TypeError(
            f"image has dtype {image.dtype}; needed: bool, uint8,"
            " uint16, or float in [0, 1] (a label map: paint it first)")
    with np.errstate(over="ignore"):
        image = image.astype(np.float32) / np.float32(white or 1)
    if not np.all((image >= 0) & (image <= 1)):
        raise ValueError(
            f"image has floats from {image.min():.4g} to"
            f" {image.max():.4g}; needed: 0 to 1, no NaN")
    return image

# %% [markdown]
# White, written in four ways, has one answer:

# %%
white = [np.array([[True]]), np.array([[255]], dtype=np.uint8),
         np.array([[65535]], dtype=np.uint16), np.array([[1.0]])]
assert all(as_float(one) == 1 for one in white)

# %% [markdown]
# **What went wrong?** Suppose we want the six pixels a little brighter
# and add 60.

# %% tags=["nbval-check-output"]
print(six + np.uint8(60))

# %% [markdown]
# The brightest pixel, 250, is now 54, one of the darkest. A `uint8` has
# no 310; it counts past 255 to 0 and goes on, without a word. Do
# arithmetic on `as_float(image)` and clip at the end.
#
# ## A row of pictures
#
# It is time to see something. A notebook draws an object if the object
# knows some HTML, so a picture for this course is two strings: HTML for
# those who see, and words for those who don't, who would rather not
# have the picture loaded, or who read the page by ear.

# %% tags=["export"]
@dataclass(frozen=True, repr=False)
class Picture:
    """Something to look at, and the words that stand in for it.

    A notebook draws `html`; everything else prints `alt`.
    """

    html: str
    alt: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.alt

# %% [markdown]
# An array becomes a PNG, and the PNG becomes text inside the page, so
# that no file can get lost. A large photograph is shrunk first (nobody
# sees more pixels than the screen has); a small array is enlarged by
# the browser, in hard squares, because in this course **a pixel should
# look like a pixel**.

# %% tags=["export"]
def _rgb(image):
    image = np.asarray(image)
    if image.dtype == bool:
        return paint(image)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.shape[2:] != (3,) or not image.size:
        raise ValueError(f"image has shape {image.shape};"
                         " needed: (H, W) or (H, W, 3), not empty")
    return np.round(255 * as_float(image)).astype(np.uint8)

# %% tags=["export"]
def _png(picture, width):
    image = Image.fromarray(picture)
    image.thumbnail((width, 8 * width), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()

# %% tags=["export"]
def _html_figure(picture, alt, title, width, share):
    crisp = "pixelated" if picture.shape[1] < width else "auto"
    least = f"max(min({width}px,{share}%),min({width}px,130px))"
    most = f"min({width}px,{max(share, 47)}%)"
    return (
        f'<figure style="flex:{width} 1 {least};max-width:{most};'
        'margin:0;padding:0">'
        f'<img class="dark-light" alt="{html.escape(alt)}" style="'
        'display:block;width:100%;height:auto;margin:0;padding:0;'
        f'background:none;border-radius:0;image-rendering:{crisp}"'
        ' src="data:image/png;base64,'
        f'{_png(picture, min(3 * width // 2, 800))}">'
        '<figcaption style="margin:2px 0 0;padding:0;font-size:0.85em;'
        'font-weight:inherit;text-align:left;color:inherit">'
        f'{html.escape(title)}</figcaption></figure>')

# %% [markdown]
# How large? The pictures of a row get one height $h$, the largest at
# which they fit side by side into a column of 720 pixels: with aspect
# ratios $a_i$ the widths are $a_i h$, so
# $h = \text{room} / \sum_i a_i$, within reason. In a narrower column
# each shrinks with its share of it, down to 130 pixels; then, as on a
# phone, the row wraps.

# %% tags=["export"]
def _sizes(pictures, height, column=720, gap=12):
    aspects = [p.shape[1] / p.shape[0] for p in pictures]
    room = column - gap * (len(pictures) - 1)
    height = height or min(max(room / sum(aspects), 110), 320)
    widths = [min(column, max(24, round(a * height))) for a in aspects]
    return [(w, 100 if len(pictures) == 1 else 97 * w // column)
            for w in widths]

# %% [markdown]
# Later pictures will show classes, each in a colour of its own. There
# are sixteen, chosen with care (the care is further down), and stripes
# for pixels that belong to no class.

# %% tags=["export"]
#: Label of the pixels that nobody can judge; excluded everywhere.
VOID = 255

#: Colours of labels 0, 1, …; (16, 3) uint8, safe for the colour-blind.
#: In street scenes: sky, building, pole, road, pavement, tree, sign,
#: fence, car, pedestrian, cyclist, water, boat, and three more.
PALETTE = np.array([
    (182, 213, 237), (170, 38, 8), (240, 230, 185), (102, 61, 125),
    (152, 123, 156), (19, 110, 86), (244, 201, 21), (174, 142, 112),
    (50, 75, 202), (251, 149, 93), (145, 79, 117), (44, 180, 208),
    (246, 247, 242), (116, 131, 48), (151, 166, 173), (75, 70, 51),
], dtype=np.uint8)

_STRIPES = np.array([(38, 40, 46), (212, 215, 222)], dtype=np.uint8)

# %% [markdown]
# A legend lists colours by name. It names only what is there to be
# seen, so that nobody searches a picture for boats: we look for each
# colour in the pictures, and for the stripes as two colours side by
# side.

# %% tags=["export"]
def _seen(pictures, *colours):
    n = len(colours)
    for picture in pictures:
        hit = True
        for i, colour in enumerate(colours):
            here = (picture == colour).all(axis=2)
            hit = hit & here[:, i:here.shape[1] - n + 1 + i]
        if hit.any():
            return True
    return False


def _swatch(name, colour):
    return ('<span><span style="display:inline-block;width:0.9em;'
            'height:0.9em;margin-right:0.4em;vertical-align:-0.1em;'
            f'background:{colour}"></span>{html.escape(name)}</span>')

# %% tags=["export"]
def _html_legend(pictures, entries):
    listed = [e for e in entries if _seen(pictures, e[1])] or entries
    spans = [_swatch(name, "rgb({},{},{})".format(*map(int, colour)))
             for name, colour in listed]
    if spans and _seen(pictures, *_STRIPES):
        dark, pale = ("rgb({},{},{})".format(*c) for c in _STRIPES)
        spans.append(_swatch("void", "repeating-linear-gradient(135deg,"
                             f"{dark} 0 2px,{pale} 2px 4px)"))
    return ('<div style="display:flex;flex-wrap:wrap;gap:0 16px;font-'
            f'size:0.85em">{"".join(spans)}</div>' if spans else "")

# %% [markdown]
# Now `show` only has to put them together, and to insist on one thing:
# there is no picture without words.

# %% tags=["export"]
def _words(alt, titles, n):
    alts = list(alt) if isinstance(alt, (list, tuple)) else [alt]
    if not all(isinstance(a, str) and a.strip() for a in alts):
        raise ValueError(f"alt is {alt!r}; needed: words that say what"
                         " is to be seen")
    if isinstance(alt, str) and n > 1:
        alts = [f"{alt} ({i + 1} of {n})" for i in range(n)]
    titles = list(titles) or [""] * n
    if not n or len(alts) != n or len(titles) != n:
        raise ValueError(f"{n} pictures, {len(alts)} alt texts and"
                         f" {len(titles)} titles; needed: one of each")
    return alts, titles

# %% tags=["export"]
def show(*images: np.ndarray, alt: str | Sequence[str],
         titles: Sequence[str] = (), classes: Sequence[str] = (),
         legend: Mapping | None = None, height: int | None = None
         ) -> Picture:
    """A row of pictures for a notebook or the book.

    Parameters
    ----------
    images : arrays
        (H, W) uint8, uint16 or float: grey; (H, W) bool: a mask;
        (H, W, 3): RGB. A label map is painted first, with `paint`.
    alt : str or sequence of str
        What is to be seen, for those who cannot see it: one text for
        the row, or one for each picture.
    titles : sequence of str
        A title for each picture, or none.
    classes : sequence of str
        Names of the labels 0, 1, …, for the legend.
    legend : mapping from str to (r, g, b) of 0..255
        More entries for the legend, such as `ERROR_COLOURS`. Of all
        entries, those are listed whose colour is in the pictures.
    height : int
        In CSS pixels; by default what lets the row fill the page.

    Returns
    -------
    Picture
        Shows itself as the last expression of a cell.

    Raises
    ------
    ValueError, TypeError
        If there is no picture, a picture without alt text, a wrong
        number of titles, or an array that is no picture.
    """
    pictures = [_rgb(image) for image in images]
    alts, titles = _words(alt, titles, len(pictures))
    entries = [*zip(classes, PALETTE), *(legend or {}).items()]
    figures = "".join(
        _html_figure(*one, *size) for *one, size
        in zip(pictures, alts, titles, _sizes(pictures, height)))
    return Picture(
        '<div style="display:flex;flex-wrap:wrap;gap:12px;'
        f'align-items:flex-start">{figures}</div>'
        + _html_legend(pictures, entries),
        alt if isinstance(alt, str) else " | ".join(alts))

# %% [markdown]
# And here are our six numbers.

# %%
show(six, height=120, alt="Six grey squares in two rows of three,"
     " darker on the left, the lower right one almost white")

# %% [markdown]
# ## A photograph is the same, only more
#
# Greek coins from Pompeii; the photograph comes with scikit-image.

# %% tags=["nbval-check-output"]
from skimage import data

coins = data.coins()
print(coins.shape, coins.dtype, coins.min(), coins.max())

# %%
top = coins[25:80, 15:75]
show(coins, top, top[25:37, 45:58], alt=[
        "24 coins in four rows on a dark cloth",
        "the first coin, cut out",
        "its right rim: squares of grey, light ones on the left"],
     titles=["coins", "coins[25:80, 15:75]", "its rim"])

# %% [markdown]
# Look at the last picture and try to point at the edge of the coin. Up
# close there is no edge: there are brighter squares and darker ones,
# and a few in between. **To segment is to decide where the coin ends
# anyway**, for every pixel. The rest of this course is about how.
#
# ## Three numbers a pixel
#
# A colour picture has a third axis, red, green and blue, each from 0 to
# 255: that is how a screen makes light, and not how anybody sees. The
# same three numbers can be turned into others, in another
# {term}`colour space`, and for segmentation the
# choice is often half of the work. Let us look for the red paint of a
# motorcycle.

# %%
from skimage import color

machine = data.stereo_motorcycle()[0]
luma = color.rgb2gray(machine)
hue, saturation, value = np.moveaxis(color.rgb2hsv(machine), 2, 0)
lightness, a, b = np.moveaxis(color.rgb2lab(machine), 2, 0)

# %%
show(machine, luma, hue, (a + 128) / 255,
     titles=["RGB", "luma", "hue (HSV)", "a* (Lab)"],
     alt=["a red motorcycle in a cluttered garage",
          "luma: tank and mudguard as dark as the engine around them",
          "hue: mostly black, and the tank torn into black and white",
          "a*: tank, mudguards and a box on the shelf glow"])

# %% [markdown]
# - {term}`Luma` is one number for how bright a pixel looks,
#   $Y = 0.2125\,R + 0.7154\,G + 0.0721\,B$ in scikit-image: eyes live
#   on green and hardly see by blue. It serves when one number has to
#   do: thresholds, edges. Here it loses the paint among the engine
#   parts.
# - **HSV** separates *which* colour (hue, an angle) from how strong
#   (saturation) and how bright (value). It serves for "the orange
#   ones", whatever the shade. It costs you a trap, below.
# - **Lab** is built so that *distance is difference*: $L^*$ runs from
#   black to white, $a^*$ from green to red, $b^*$ from blue to yellow,
#   and equal steps look about equally large. It serves whenever a
#   method asks how different two colours are, as all of clustering
#   does.
#
# In $a^*$ the paint stands alone: one threshold, our first, finds it.
# Keep the colour there, and take it from everything else:

# %%
red = a > 40
show(np.where(red[..., None], as_float(machine), luma[..., None]),
     height=280, alt=f"the {red.mean():.0%} of the pixels where a* is"
     " above 40 in colour, the rest grey: tank, mudguards, tail light,"
     " and a red box on the shelf behind")

# %% [markdown]
# The red box on the shelf is just as red, so it came along. That is no
# failure of the threshold; nobody told it about motorcycles.
#
# **What went wrong?** In the picture of the hue, the tank is torn into
# black and white. Ask for the mean hue of the paint:

# %%
print(f"{hue[red].mean():.2f}")

# %% [markdown]
# On the scale where 0 is red, a third is green. The mean of many reds
# is somewhere near green, because hue is an angle: 0.01 and 0.99 are
# neighbours, and their mean 0.5 is the colour opposite. Averages,
# distances and thresholds all break at that seam ({ref}`circular-hue`
# mends it).
#
# ## A label for every pixel
#
# The answer to a segmentation task is an array too, as large as the
# picture: in each place a {term}`label <label map>`, a small
# whole number. The numbers are names. That road is 3 and tree is 5 does
# not make a tree more than a road, and nothing in the world is "4.2".
#
# One label is special. Some pixels nobody can judge: the blurred rim
# between two things, the mirror image of a car, a reflection of the
# photographer. Whoever draws the mask marks them
# {term}`void`, and *no method is ever rewarded or
# punished there*. PASCAL VOC {cite}`everingham2010` marks such pixels
# 255, and so do we.
#
# To see labels we give them the colours of the palette. Void gets
# stripes, because whatever colour we gave it would look like one more
# class.

# %% tags=["export"]
def _labels(mask, name="mask"):
    mask = np.asarray(mask)
    if mask.dtype.kind not in "bui":
        raise TypeError(f"{name} has dtype {mask.dtype};"
                        " needed: bool or integers")
    if mask.ndim != 2:
        raise ValueError(f"{name} has shape {mask.shape};"
                         " needed: (H, W)")
    mask = mask.astype(np.int64)
    if mask.size and mask.min() < 0:
        raise ValueError(f"{name} has the label {mask.min()};"
                         " needed: 0 or more")
    return mask

# %% tags=["export"]
def _stripes(shape):
    row, column = np.indices(shape)
    return _STRIPES[(row + column) // max(1, max(shape) // 100) % 2]

# %% tags=["export"]
def paint(mask: np.ndarray, palette: np.ndarray = PALETTE
          ) -> np.ndarray:
    """Picture of a mask: a colour for each label, stripes for VOID.

    Parameters
    ----------
    mask : (H, W) bool or integer array
        Labels from 0. Past the palette's end, colours start again at
        the second one, so that instance numbers can be painted too.
    palette : (N, 3) uint8 array, N >= 2

    Returns
    -------
    (H, W, 3) uint8 array

    Raises
    ------
    TypeError, ValueError
        If `mask` is not two-dimensional, whole and non-negative.

    Examples
    --------
    >>> paint(np.array([[True]])).tolist() == [[PALETTE[1].tolist()]]
    True
    """
    mask = _labels(mask)
    palette = np.asarray(palette, dtype=np.uint8)
    turn = 1 + (mask - 1) % (len(palette) - 1)
    colours = palette[np.where(mask == 0, 0, turn)]
    return np.where((mask == VOID)[..., None],
                    _stripes(mask.shape), colours)

# %%
tiny = np.array([[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 255, 255],
                 [0, 3, 3, 3, 3, 255, 255], [3, 3, 3, 3, 3, 3, 3]])
assert (paint(tiny)[tiny == 3] == PALETTE[3]).all()

show(paint(tiny), classes=["sky", "building", "pole", "road"],
     height=140, alt="A mask of 4 by 7 pixels: sky upper left, building"
     " upper right, road below, four void pixels at the right edge")

# %% [markdown]
# The words above were typed by hand, and words typed by hand go stale
# when the data changes. For masks, let the data speak:

# %% tags=["export"]
def describe(mask: np.ndarray, classes: Sequence[str]) -> str:
    """Shares of the classes in a mask, in words, largest first.

    Parameters
    ----------
    mask : (H, W) bool or integer array
        Labels below `len(classes)`, or VOID.
    classes : sequence of str

    Returns
    -------
    str
        Fit for an alt text.

    Raises
    ------
    ValueError
        If `mask` is empty or has a label that `classes` does not name.

    Examples
    --------
    >>> describe(np.array([[0, 0, 0, 1], [0, 0, 1, 255]]),
    ...          ["ground", "coin"])
    'ground 62 %, coin 25 %, void 12 %'
    """
    mask = _labels(mask)
    names = dict(enumerate(classes)) | {VOID: "void"}
    labels, counts = np.unique(mask, return_counts=True)
    unnamed = [k for k in labels.tolist() if k not in names]
    if unnamed or not mask.size:
        raise ValueError(f"mask of shape {mask.shape} has the labels"
                         f" {unnamed} without a name; needed: pixels,"
                         f" labels below {len(classes)} or VOID")
    words = []
    for k in np.lexsort((-counts, labels == VOID)):
        share = 100 * counts[k] / mask.size
        words.append(names[labels[k]] + (f" {share:.0f} %" if share >= 1
                                         else " under 1 %"))
    return ", ".join(words)

# %%
describe(tiny, ["sky", "building", "pole", "road"])

# %% [markdown]
# ## Who else is looking?
#
# Among men of northern European descent, up to 8 in 100 confuse reds
# and greens {cite}`wong2011`: in a lecture hall, a row. A palette is
# only as good as what *they* see, and that can be computed. Eyes
# without one kind of cone see, to a good approximation, a linear
# mixture of the light that reaches the others; the matrices are
# Machado's {cite}`machado2009`, and they mix *light*, so the screen's
# gamma has to come off first.

# %%
blindness = {
    "deuteranopia": [(0.367322, 0.860646, -0.227968),
                     (0.280085, 0.672501, 0.047413),
                     (-0.011820, 0.042940, 0.968881)],
    "protanopia": [(0.152286, 1.052583, -0.204868),
                   (0.114503, 0.786281, 0.099216),
                   (-0.003882, -0.048116, 1.051998)]}

def seen_with(matrix, colours):
    c = as_float(colours)
    light = np.where(c < 0.04045, c / 12.92, ((c + 0.055) / 1.055)**2.4)
    mixed = np.clip(light @ np.transpose(matrix), 0, 1)
    return np.where(mixed < 0.0031308, 12.92 * mixed,
                    1.055 * mixed**(1 / 2.4) - 0.055)

# %%
eyes = {"most people": PALETTE / 255} | {
    name: seen_with(matrix, PALETTE)
    for name, matrix in blindness.items()}

show(np.stack(list(eyes.values())), height=110, alt="Three rows of"
     " sixteen squares, the palette as seen by most people, with"
     " deuteranopia, and with protanopia: below, only yellows, blues"
     " and greys are left, but neighbours still differ")

# %% [markdown]
# Reds and greens are gone below, and yet neighbours stay apart, because
# they also differ in lightness. How far apart? Lab knows distances, and
# CIEDE2000 {cite}`sharma2005` is its refined ruler, on which
# $\Delta E = 1$ is about what one can just tell apart, side by side.

# %%
def differences(colours):
    lab = color.rgb2lab(colours)
    return color.deltaE_ciede2000(lab[:, None], lab[None])

i, j = np.triu_indices(len(PALETTE), 1)
for name, colours in eyes.items():
    gap = differences(colours)[i, j]
    near, first = gap[j == i + 1].min(), gap[j < 8].min()
    print(f"{name:13} {near:5.1f} {first:5.1f} {gap.min():5.1f}")
    assert near >= 20 and first >= 17 and gap.min() >= 10

# %% [markdown]
# The columns: the two closest among consecutive labels, among the first
# eight, and among all sixteen. The `assert` is the promise: **20, 17
# and 10, for all three kinds of eyes**, and a test holds the module to
# it. Sixteen is about as far as this goes; with more classes, write on
# the picture. And label 0, the ground, is pale, so that label 1 stands
# out.
#
# ## Both at once
#
# A mask beside a picture makes the eye travel. Laid over it, half
# transparent, it shows at once where it is off. Two choices make it
# readable: label 0 is left as it is, and every region gets a rim in its
# full colour, because a rim is where masks are wrong.
#
# A pixel is on the rim if the one next to it, in its row or column, has
# another label.

# %% tags=["export"]
def outlines(mask: np.ndarray, width: int = 1) -> np.ndarray:
    """Pixels at most `width` from another label, in row or column.

    Parameters
    ----------
    mask : (H, W) bool or integer array
    width : int
        In pixels, at least 1; counted on each side of a border.

    Returns
    -------
    (H, W) bool array

    Examples
    --------
    >>> outlines(np.array([[0, 0, 0, 7, 7]])).astype(int)
    array([[0, 0, 1, 1, 0]])
    """
    mask = _labels(mask)
    edge = np.zeros(mask.shape, dtype=bool)
    for m, e in (mask, edge), (mask.T, edge.T):
        differ = m[width:] != m[:-width]
        e[width:] |= differ
        e[:-width] |= differ
    return edge

# %% tags=["export"]
def overlay(image: np.ndarray, mask: np.ndarray, opacity: float = 0.5,
            outline: bool = True, palette: np.ndarray = PALETTE
            ) -> np.ndarray:
    """Image under the colours of a mask; label 0 stays as it is.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        As for `as_float`.
    mask : (H, W) bool or integer array
        As for `paint`.
    opacity : float
        Of the colours: from 0 (none) to 1 (they hide the image).
    outline : bool
        Whether the rim of each region has its full colour.
    palette : (N, 3) uint8 array, N >= 2

    Returns
    -------
    (H, W, 3) uint8 array

    Raises
    ------
    TypeError, ValueError
        If the sizes differ, `opacity` is not within [0, 1], or one of
        the arrays is not as said.
    """
    picture, mask = _rgb(image), _labels(mask)
    if picture.shape[:2] != mask.shape or not 0 <= opacity <= 1:
        raise ValueError(
            f"mask is {mask.shape}, image {picture.shape[:2]}, opacity"
            f" {opacity}; needed: one size, opacity from 0 to 1")
    weight = np.where(mask == 0, 0.0, opacity)
    if outline:
        rim = outlines(mask, max(1, max(mask.shape) // 300))
        weight[rim & (mask != 0)] = 1
    mixed = picture + weight[..., None] * (
        paint(mask, palette).astype(float) - picture)
    return np.round(mixed).astype(np.uint8)

# %% [markdown]
# The course has masks for some of scikit-image's pictures, outlined by
# hand. Here is one, with the names of its classes:

# %%
import json

from seglib.environment import project_root

folder = project_root() / "data" / "pictures"
about = json.loads((folder / "camera.json").read_text())
man = np.array(Image.open(folder / "camera.png"))

# %%
show(data.camera(), paint(man), overlay(data.camera(), man),
     titles=["picture", "mask", "overlay"], classes=about["classes"],
     alt=["a man in a black coat bends to a camera on a tripod",
          describe(man, about["classes"]),
          "both at once: the outlines follow coat, camera, and each"
          " leg of the tripod"])

# %% [markdown]
# The fringe of his hair is void: nobody can say which of its pixels are
# hair and which are sky. The legs of the tripod are a few pixels wide;
# things like them will be with us for many chapters.
#
# ## One picture, three questions
#
# "Segment this picture" can mean three different things. For the coins
# there is a file that holds, for each pixel, the number of its coin,
# and 0 for the cloth.

# %%
instances = np.array(Image.open(folder / "coins_instances.png"))
area = np.bincount(instances.ravel())
large = area > 2200                 # pixels; which coins are "large"

# %% [markdown]
# {term}`Semantic segmentation` asks
# *what* is here, for every pixel. Two coins of one class are one
# colour.

# %%
classes = ["ground", "small coin", "large coin"]
semantic = np.where(instances == 0, 0, 1 + large[instances])
describe(semantic, classes)

# %% [markdown]
# {term}`Instance segmentation` asks
# *which one*: every countable thing has a number of its own, and what
# cannot be counted (the cloth) has none.
#
# {term}`Panoptic segmentation`
# {cite}`kirillov2019` wants both: for every pixel a class, and for
# **things**, which can be counted, the number too; **stuff**, like sky,
# road or cloth, has a class alone. One number can hold the pair:
# Cityscapes {cite}`cordts2016`, for instance, stores class · 1000 +
# instance.

# %%
panoptic = 1000 * semantic + instances
shade = 1 - 0.18 * (instances % 4)[..., None]

# %%
show(coins, paint(semantic), paint(instances),
     (shade * paint(semantic)).astype(np.uint8),
     titles=["picture", "semantic", "instance", "panoptic"],
     alt=["24 coins on a dark cloth", describe(semantic, classes),
          f"{instances.max()} coins, each in a colour of its own",
          f"{large[1:].sum()} large coins in shades of one colour, the"
          " small ones in shades of another"])

# %% [markdown]
# (Twenty-four numbers, sixteen colours: some are used twice. That is
# all right, as their numbers mean nothing; we will make a claim of it.)
#
# Could we not ask for the classes alone, and count the blobs? As long
# as nothing touches.

# %% tags=["nbval-check-output"]
from scipy import ndimage

def blobs(grown):
    size = 1 + 2 * grown
    return ndimage.label(ndimage.grey_dilation(semantic, size))[1]

print([blobs(grown) for grown in (0, 4, 8)])

# %% [markdown]
# Grow each coin by four pixels and some merge; by eight, more than half
# are lost in a crowd, and the mask of classes sees nothing wrong. Cells
# in a dish, people in a crowd, cars in a queue *do* touch. That is why
# the second question exists.
#
# ## Right and wrong
#
# Two masks of one picture, ours and the one to compare with: for two
# classes there are four cases, and two of them are mistakes of
# different kinds. A coin that is **missed** and a **false alarm** call
# for different cures, so they get different colours. For many classes
# it is right or wrong. Void is neither.

# %% tags=["export"]
#: Legend of `errors`: name to (r, g, b), each 0..255.
ERROR_COLOURS = {
    "right": (120, 128, 138),
    "ground": (222, 226, 230),
    "missed": (230, 97, 1),
    "false alarm": (25, 60, 160),
    "wrong": (170, 20, 60),
}

# %% tags=["export"]
def errors(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Picture of where a mask is right, and how it is wrong.

    Parameters
    ----------
    pred, target : (H, W) bool or integer arrays
        With no label above 1: right, ground (rightly 0), missed, false
        alarm. With more classes: right, wrong. Where `target` is VOID:
        stripes; VOID in `pred` alone is a mistake.

    Returns
    -------
    (H, W, 3) uint8 array
        In the colours of `ERROR_COLOURS`.

    Raises
    ------
    TypeError, ValueError
        If the shapes differ, or one of the arrays is not as said.
    """
    pred, target = _labels(pred, "pred"), _labels(target, "target")
    if pred.shape != target.shape:
        raise ValueError(f"pred is {pred.shape}, target {target.shape};"
                         " needed: one shape")
    name = np.where(pred == target, "right", "wrong").astype(object)
    if not np.setdiff1d([pred, target], (0, 1, VOID)).size:
        name[(target == 1) & (pred != 1)] = "missed"
        name[(target == 0) & (pred != 0)] = "false alarm"
        name[(target == 0) & (pred == 0)] = "ground"
    picture = np.where((target == VOID)[..., None],
                       _stripes(target.shape), np.uint8(0))
    for key, colour in ERROR_COLOURS.items():
        picture[(name == key) & (target != VOID)] = colour
    return picture

# %% [markdown]
# Say that a pixel is coin if it is brighter than 120. (Why 120? No
# reason. Chapter 04 finds one.)

# %%
bright = coins > 120
coin = instances > 0

show(coins, overlay(coins, bright), errors(bright, coin),
     legend=ERROR_COLOURS,
     titles=["picture", "brighter than 120", "compared with the eye"],
     alt=["24 coins on a dark cloth, lit from the upper left",
          "the bright pixels tinted: most of each coin, and a corner",
          f"{np.mean(coin & ~bright):.0%} of the pixels are missed,"
          f" {np.mean(bright & ~coin):.0%} are false alarms"])

# %% [markdown]
# One look says what no single score would: the false alarms are *one*
# patch, upper left, where the light falls on the cloth; what is missed
# lies inside the coins, most of it below, where the light does not
# reach.
#
# ## Plots
#
# Now and then a curve says more. Matplotlib draws it, on a white
# ground, in black; in the dark theme that is a lamp in the face. So
# `figure` takes the drawing as SVG, removes the ground, and replaces
# black by the page's own text colour, whatever that is. Curves use
# colours by Okabe and Ito {cite}`wong2011`, chosen, like ours, for all
# kinds of eyes.

# %% tags=["export"]
#: Matplotlib settings of the course, for `plt.rc_context(STYLE)`.
STYLE = {
    "axes.prop_cycle":
        "cycler('color', ['#0072B2', '#D55E00', '#009E73', '#CC79A7',"
        " '#E69F00', '#56B4E9'])",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.figsize": (5.4, 2.8),
    "legend.frameon": False,
    "lines.linewidth": 2,
}

# %% tags=["export"]
def figure(fig, alt: str) -> Picture:
    """A Matplotlib figure as a drawing in the colours of the page.

    What is black, as text and axes are, takes the page's text colour;
    the ground is transparent.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        Is closed.
    alt : str
        What is to be seen.

    Returns
    -------
    Picture
        Shows itself as the last expression of a cell.

    Raises
    ------
    ValueError
        If `alt` is empty.
    """
    import matplotlib.pyplot as plt
    from matplotlib.legend import Legend
    [alt], _ = _words(alt, (), 1)
    for legend in fig.findobj(Legend):
        legend.set_frame_on(False)
    stream = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": alt}):
        fig.savefig(stream, format="svg", transparent=True,
                    bbox_inches="tight", metadata={"Date": None})
    plt.close(fig)
    return Picture(_inline(stream.getvalue(), alt), alt)

# %% [markdown]
# The SVG moves into the page, and must leave its manners at the door:
# no style sheet that would reach other drawings, no names that two
# drawings share.

# %% tags=["export"]
def _inline(svg, alt):
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = svg.replace("#000000", "currentColor")
    return svg.replace(
        "<svg", f'<svg role="img" aria-label="{html.escape(alt)}"'
        ' fill="currentColor" stroke-linejoin="round"'
        ' style="max-width:100%;height:auto"', 1)

# %%
import matplotlib.pyplot as plt

with plt.rc_context(STYLE):
    fig, ax = plt.subplots()
for name, pixels in ("cloth", coins[~coin]), ("coins", coins[coin]):
    share = np.bincount(pixels, minlength=256) / coins.size
    ax.plot(ndimage.uniform_filter1d(share, 5), label=name)
ax.axvline(120, color="black", linewidth=1, linestyle=":")
ax.set(xlabel="grey value", ylabel="share of all pixels", yticks=[0])
ax.legend()
figure(fig, alt="Two humps, the cloth's around"
       f" {np.median(coins[~coin]):.0f} and the coins' around"
       f" {np.median(coins[coin]):.0f}; they overlap at the dotted line"
       " at 120")

# %% [markdown]
# There is the trouble of the threshold in one drawing: cloth and coins
# share grey values. Wherever the line is drawn, something is wrong.
#
# ## A dial that breaks a mask
#
# Networks and memory like small pictures, so one day you will halve a
# picture and its mask, in one call, with the same bilinear
# interpolation. For the picture this is right: between black and white
# lies grey. Take six labels.

# %% tags=["nbval-check-output"]
from skimage.transform import resize

rim = np.array([[0, 0, 0, 2, 2, 2]])
halved = resize(rim.astype(float), (1, 3), order=1, anti_aliasing=False)
print(np.round(halved).astype(int))

# %% [markdown]
# Between ground (0) and large coin (2) lies *small coin* (1). The mask
# now says that there is a small coin wedged in between, and everything
# about the array is in order: its dtype, its range, its shape. Now the
# whole tray, without its small coins, and the size as a dial: whatever
# is a small coin afterwards has been invented.

# %%
def smaller(mask, factor, order):
    size = [round(side * factor) for side in mask.shape]
    return np.round(resize(mask.astype(float), size, order=order,
                           anti_aliasing=order > 0)).astype(int)

only_large = np.where(semantic == 2, 2, 0)
for factor in (0.8, 0.4, 0.2, 0.1):
    invented = np.mean(smaller(only_large, factor, order=1) == 1)
    print(f"{factor}: {invented:.1%}")

# %%
kept, lost = (smaller(semantic, 0.2, order) for order in (0, 1))
show(paint(kept), paint(lost), classes=classes,
     titles=["nearest neighbour", "bilinear"],
     alt=["a fifth of the size, nearest neighbour: small coins and"
          f" large ones; {describe(kept, classes)}",
          "the same, bilinear: every large coin wears a ring of small"
          f" coin; {describe(lost, classes)}"])

# %% [markdown]
# Every large coin wears a ring of small coin, one pixel thin, and the
# smaller the picture, the larger its share. Turn the dial down and the
# invention grows. **What went wrong?** Averaging needs numbers that
# measure something. Labels are names, and names have no middle. A mask
# is resized by nearest neighbour, always.
#
# Files do the same behind your back. JPEG throws away what eyes don't
# miss, and eyes don't miss a grey of 7 that was 8. As the number of a
# coin it is another coin.

# %%
def through_jpeg(mask, quality):
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "jpeg", quality=quality)
    return np.array(Image.open(buffer))

dial = list(range(100, 45, -5))
wrong = [np.mean(through_jpeg(instances, quality) != instances)
         for quality in dial]

# %%
with plt.rc_context(STYLE):
    fig, ax = plt.subplots()
ax.plot(dial, 100 * np.array(wrong), marker="o")
ax.set(xlabel="JPEG quality", ylabel="% of labels changed", ylim=0)
ax.invert_xaxis()
figure(fig, alt="Share of pixels whose label a JPEG file changes:"
       f" {wrong[0]:.1%} at quality 100, {wrong[1]:.0%} at 95, up to"
       f" {wrong[-1]:.0%} at 50, with a peak of {max(wrong):.0%} at"
       f" {dial[np.argmax(wrong)]}")

# %% [markdown]
# Even the best quality costs labels, and one quality costs most of
# them. Ask what becomes of the cloth:

# %%
black = np.zeros((8, 8), dtype=np.uint8)
print({quality: int(through_jpeg(black, quality).max())
       for quality in (75, 70, 65)})

# %% [markdown]
# At 70, black comes back as 1: JPEG stores a flat black block as one
# number, -1024, there in steps of 10, so as -1020, which is half a grey
# too bright and is rounded up. You would never see it, and most of the
# cloth has become part of coin number 1.
#
# All these masks look faultless as pictures. So a mask can be wrong
# without looking wrong, and data that others have drawn, shrunk and
# saved must be *read with suspicion*: that is
# {doc}`the next chapter <02_data>`.
#
# ## Claims, checked
#
# ### Claim: instance segmentation gives every instance its own class
#
# If instance numbers were classes, exchanging two of them would be a
# mistake, as it is when road and sky change places. Renumber the coins
# at random, and ask what is left of the answer: which pixels belong
# together, and what they are.

# %%
numbers = 1 + np.random.default_rng(0).permutation(instances.max())
renamed = np.append(0, numbers)[instances]

both = {*zip(instances.ravel().tolist(), renamed.ravel().tolist())}
same_regions = len(both) == 1 + instances.max()
same_classes = ((renamed > 0) == (instances > 0)).all()
print(f"renamed: {np.mean((renamed != instances)[coin]):.0%} of coin")
assert same_regions and same_classes

# %% [markdown]
# **Verdict: false.** The numbers have changed and the answer has not:
# the same pixels belong together, and all of them are still coins.
# Classes have a meaning that everybody agrees on beforehand; instance
# numbers only tell apart what one picture holds, and all coins share
# one class. In the primary paper {cite}`kirillov2019` each pixel gets a
# *pair*, a class and an instance number.
#
# ### Claim: grey is the average of red, green and blue

# %%
pure = np.array([[[0, 255, 0], [0, 0, 255], [85, 85, 85]]], np.uint8)
average = as_float(pure).mean(axis=2)
looks = color.rgb2lab(pure)[..., 0]
print("average  ", np.round(average, 2))
print("lightness", np.round(looks))
assert np.ptp(average) < 1e-6 and np.ptp(looks) > 50

# %% [markdown]
# **Verdict: half true.** It is for greys. Pure green, pure blue and a
# dark grey have one average, and look very different: $L^*$ says so,
# and so do your eyes. Luma weighs the three, and where a picture hardly
# has blues and greens you will never notice.
#
# ### Claim: an image and its mask can go through the same resize

# %%
half = smaller(only_large, 0.5, order=1)
at_rim = outlines(smaller(only_large, 0.5, order=0), 2)[half == 1]
print(np.unique(only_large), "became", np.unique(half))
print(f"of what is new, {at_rim.mean():.0%} is at a rim")
assert 1 in half and at_rim.all()

# %% [markdown]
# **Verdict: false.** Same size, yes; same interpolation, no. What makes
# it so durable is where the damage sits: at the rims, where few look
# and where the hard part of every score is decided.
#
# ## What the paper did and we didn't
#
# No single paper stands behind this chapter; its conventions come from
# several, and we bent some.
#
# - Kirillov and others {cite}`kirillov2019` made panoptic segmentation
#   a task *and* gave it a score; the score comes with
#   {doc}`chapter 03 <03_measuring>`.
# - Cityscapes {cite}`cordts2016` packs class and instance into one
#   16-bit number. We keep two arrays, which cannot be unpacked wrongly.
# - PASCAL VOC {cite}`everingham2010` stores label maps as *palette*
#   PNGs, so that a picture viewer shows them in colour. Ours are plain
#   grey PNGs, nearly black to the eye; `paint` adds the colours.
# - The model of Machado and others {cite}`machado2009` has a dial from
#   weak to complete colour blindness. We test at the complete end only.
#
# ## Recap
#
# 1. A picture is an array, rows first; its dtype says where white is.
# 2. Luma for one number, HSV for naming a colour, Lab for distances.
# 3. A mask holds names: no sums, no means, no bilinear, no JPEG; void
#    is nobody's gain and nobody's fault.
# 4. Semantic: what. Instance: which one. Panoptic: both, for all
#    pixels.
# 5. Look before you measure, with words and colours that reach
#    everyone.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: brighter
# Write `brighter(image, amount)`, which adds `amount` (from -1 to 1) to
# an image of any dtype that `as_float` takes, without wrapping around,
# and show the coins a quarter brighter.
# ```
#
# ```{dropdown} Hint
# Go to floats, add, and cut off what is below 0 or above 1: `np.clip`.
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} brighter
# :class: dropdown
# ````

# %% tags=["solution"]
def brighter(image, amount):
    return np.clip(as_float(image) + amount, 0, 1)

assert brighter(six, 60 / 255).max() == 1
show(coins, brighter(coins, 0.25), height=200,
     alt=["the coins", "the coins, washed out"])

# %% [markdown] tags=["solution"]
# ````{solution-end}
# ````

# %% [markdown]
# ```{exercise}
# :label: circular-hue
# What is the mean hue of the motorcycle's paint, if hue is an angle?
# Find it without moving the seam somewhere else by hand.
# ```
#
# ```{dropdown} Hint
# Put each hue on the unit circle, average the points, and take the
# angle of the average. Complex numbers make it one line.
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} circular-hue
# :class: dropdown
# ````

# %% tags=["solution"]
middle = np.exp(2j * np.pi * hue[red]).mean()
angle = np.angle(middle) / (2 * np.pi) % 1
print(f"hue {angle:.3f}, agreement {abs(middle):.2f}")
assert min(angle, 1 - angle) < 0.02

# %% [markdown] tags=["solution"]
# Red, as it should be. The length of the mean comes for free: near 1
# when all hues agree, near 0 when they point everywhere, and then the
# mean says nothing.
#
# ````{solution-end}
# ````

# %% [markdown]
# ```{exercise}
# :label: pack-panoptic
# Write `unpack(panoptic)`, which takes class · 1000 + instance apart
# again, and find out what happens to void and to the 1001st coin.
# ```
#
# ```{dropdown} Hint
# `np.divmod`. For the second part, try the numbers 255 and 1001.
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} pack-panoptic
# :class: dropdown
# ````

# %% tags=["solution"]
def unpack(panoptic):
    return np.divmod(panoptic, 1000)

back = unpack(panoptic)
assert (back[0] == semantic).all() and (back[1] == instances).all()
print(unpack(np.array([1000 * VOID, 1000 * 1 + 1001])))

# %% [markdown] tags=["solution"]
# Void survives as class 255, if it was packed as one. The 1001st coin
# of class 1 comes back as the first thing of class 2, and nobody is
# told.
#
# ````{solution-end}
# ````

# %% [markdown]
# ```{exercise}
# :label: gap
# Two neighbouring coins are tied together as soon as each is grown by
# half the gap between them. How wide is the narrowest gap on the tray?
# Answer from `instances`, without trying every size.
# ```
#
# ```{dropdown} Hint
# `ndimage.distance_transform_edt` gives every pixel its distance to the
# nearest zero. Ask it once for each coin.
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} gap
# :class: dropdown
# ````

# %% tags=["solution"]
gaps = {}
for number in range(1, instances.max() + 1):
    far = ndimage.distance_transform_edt(instances != number)
    others = (instances > 0) & (instances != number)
    place = np.argmin(np.where(others, far, np.inf))
    gaps[number, instances.flat[place]] = far.flat[place] - 1

two = min(gaps, key=gaps.get)
print(f"coins {two[0]} and {two[1]}, {gaps[two]:.1f} pixels apart")

# %% [markdown] tags=["solution"]
# (Minus one, because neighbours that touch are one pixel apart from
# centre to centre and have no gap.)
#
# ````{solution-end}
# ````

# %% [markdown]
# ```{exercise}
# :label: third-cone
# Few people, but some, lack the third kind of cone and confuse blues
# with greens (tritanopia). How does the palette do for
# them? Can you do better, without breaking the promise to the others?
# ```
#
# ```{dropdown} Hint
# Machado's matrix for tritanopia is in the solution. Random changes of
# one colour at a time, kept when the worst pair gets better, go a long
# way.
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} third-cone
# :class: dropdown
# ````

# %% tags=["solution"]
tritanopia = [(1.255528, -0.076749, -0.178779),
              (-0.078411, 0.930809, 0.147602),
              (0.004733, 0.691367, 0.303900)]
gap = differences(seen_with(tritanopia, PALETTE))[i, j]
for worst in np.argsort(gap)[:3]:
    print(i[worst], j[worst], f"{gap[worst]:.1f}")

# %% [markdown] tags=["solution"]
# Not bad for a palette that was not made for them, though a few pairs
# are closer than we promised the others. The search is yours: there is
# no single best palette, and sixteen colours that are far apart for
# four kinds of eyes crowd each other. Fewer classes, or names written
# on the picture, go further than any search.
#
# ````{solution-end}
# ````

# %% [markdown]
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
