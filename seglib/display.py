"""Images and masks: chapter 01 of the course.

What does a computer hold when it holds a picture, and what do we ask of it when we ask for a segmentation?

Exported from 01_images_and_masks.py; edit the chapter, not this file.
"""

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

__all__ = [
    "as_float",
    "VOID",
    "PALETTE",
    "paint",
    "outlines",
    "overlay",
    "ERROR_COLOURS",
    "errors",
    "describe",
    "Picture",
    "show",
    "STYLE",
    "figure",
]


# One scale for all pictures
# --------------------------

def as_float(image: np.ndarray) -> np.ndarray:
    """Image with its values on the scale from 0 (black) to 1 (full).

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
        If the dtype is another one: its white point is unknown.
    ValueError
        If a float is NaN or outside [0, 1].

    Examples
    --------
    >>> as_float(np.array([0, 51, 255], dtype=np.uint8))
    array([0. , 0.2, 1. ], dtype=float32)

    Chapter
    -------
    01 Images and masks, "One scale for all pictures".
    """
    image = np.asarray(image)
    white = {"b1": 1, "u1": 255, "u2": 65535}.get(image.dtype.str[1:])
    if white:
        return image.astype(np.float32) / np.float32(white)
    if image.dtype.kind != "f":
        raise TypeError(f"image has dtype {image.dtype}; needed: bool,"
                        " uint8, uint16, or float in [0, 1]")
    image = image.astype(np.float32)
    if not np.all((image >= 0) & (image <= 1)):
        raise ValueError(
            "image has float values from"
            f" {image.min():.4g} to {image.max():.4g};"
            " needed: 0 to 1 (divide by the white value), no NaN")
    return image


# A colour for every class
# ------------------------

VOID = 255
"""Label of pixels that nobody can or will judge."""

PALETTE = np.array([
    (172, 212, 246), (163, 38, 8), (208, 197, 158), (110, 93, 162),
    (251, 193, 228), (24, 74, 48), (247, 245, 12), (174, 125, 76),
    (15, 41, 200), (250, 124, 41), (98, 17, 64), (82, 155, 151),
    (224, 226, 218), (93, 107, 61), (196, 141, 195), (70, 63, 53),
], dtype=np.uint8)
"""Colours of the classes: sky, building, pole, road, …; (16, 3) uint8."""

_STRIPES = np.array([(40, 40, 40), (215, 215, 215)], dtype=np.uint8)


def paint(mask: np.ndarray, palette=PALETTE) -> np.ndarray:
    """Picture of a mask: a colour per label, VOID in grey stripes.

    Parameters
    ----------
    mask : (H, W) bool or integer array
        Labels from 0; labels past the palette's end start again at its
        second colour, so that instance ids can be painted too.
    palette : (N, 3) uint8 array, N >= 2
        Colour of label 0, 1, ….

    Returns
    -------
    (H, W, 3) uint8 array

    Raises
    ------
    TypeError, ValueError
        If `mask` is not such an array.

    Chapter
    -------
    01 Images and masks, "A colour for every class".
    """
    mask = _labels(mask, "mask")
    palette = np.asarray(palette, dtype=np.uint8)
    colour = np.where(mask == 0, 0, (mask - 1) % (len(palette) - 1) + 1)
    return np.where((mask == VOID)[..., None],
                    _stripes(mask.shape), palette[colour])


def _labels(mask, name):
    mask = np.asarray(mask)
    if mask.dtype.kind not in "bui":
        raise TypeError(f"{name} has dtype {mask.dtype};"
                        " needed: bool or integers")
    if mask.ndim != 2:
        raise ValueError(f"{name} has shape {mask.shape}; needed: (H, W)")
    mask = mask.astype(np.int64)
    if mask.size and mask.min() < 0:
        raise ValueError(f"{name} has the label {mask.min()};"
                         " needed: 0 or more")
    return mask


def _stripes(shape):
    width = max(1, max(shape) // 100)
    y, x = np.indices(shape)
    return _STRIPES[(x + y) // width % 2]


def outlines(mask: np.ndarray, width: int = 1) -> np.ndarray:
    """Pixels within `width` of a pixel with another label; (H, W) bool.

    Neighbours are those in the same row or column. Every region is
    outlined on its own side of the border.

    Chapter
    -------
    01 Images and masks, "A colour for every class".
    """
    mask = _labels(mask, "mask")
    edge = np.zeros(mask.shape, dtype=bool)
    for m, e in ((mask, edge), (mask.T, edge.T)):
        differ = m[width:] != m[:-width]
        e[width:] |= differ
        e[:-width] |= differ
    return edge


def overlay(image: np.ndarray, mask: np.ndarray, opacity: float = 0.5,
            outline: bool = True, palette=PALETTE) -> np.ndarray:
    """Image tinted with the colours of a mask; label 0 stays as it is.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        As for `as_float`.
    mask : (H, W) bool or integer array
        As for `paint`.
    opacity : float
        Strength of the tint: 0 (none) to 1 (the image is hidden).
    outline : bool
        Whether to draw each region's border in its full colour.
    palette : (N, 3) uint8 array

    Returns
    -------
    (H, W, 3) uint8 array

    Raises
    ------
    ValueError
        If the sizes differ, or `opacity` is not within [0, 1].

    Chapter
    -------
    01 Images and masks, "A colour for every class".
    """
    picture = _rgb(image)
    mask = _labels(mask, "mask")
    if picture.shape[:2] != mask.shape:
        raise ValueError(f"mask is {mask.shape}, image is"
                         f" {picture.shape[:2]}; needed: one size")
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity is {opacity}; needed: 0 to 1")
    weight = np.full(mask.shape, float(opacity))
    if outline:
        weight[outlines(mask, max(1, max(mask.shape) // 300))] = 1
    weight = np.where(mask == 0, 0, weight)[..., None]
    mixed = (1 - weight) * picture + weight * paint(mask, palette)
    return np.round(mixed).astype(np.uint8)


def _rgb(image):
    image = np.round(255 * as_float(image)).astype(np.uint8)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image has shape {image.shape};"
                         " needed: (H, W) or (H, W, 3)")
    return image


# Right and wrong
# ---------------

ERROR_COLOURS = {
    "ground": (214, 220, 226),
    "right": (96, 108, 122),
    "missed": (230, 97, 1),
    "false alarm": (0, 60, 160),
    "wrong": (163, 20, 60),
}


def errors(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Picture of where a mask is right and where it is wrong.

    Two classes (no label above 1): thing found, thing missed, false
    alarm. More classes: right or wrong. VOID in `target` is striped.
    The colours are those of `ERROR_COLOURS`.

    Parameters
    ----------
    pred, target : (H, W) bool or integer arrays

    Returns
    -------
    (H, W, 3) uint8 array

    Raises
    ------
    ValueError
        If the shapes differ.

    Chapter
    -------
    01 Images and masks, "Right and wrong".
    """
    pred, target = _labels(pred, "pred"), _labels(target, "target")
    if pred.shape != target.shape:
        raise ValueError(f"pred is {pred.shape}, target is {target.shape};"
                         " needed: one size")
    colour = {k: np.uint8(v) for k, v in ERROR_COLOURS.items()}
    picture = np.where((pred == target)[..., None],
                       colour["right"], colour["wrong"])
    known = target != VOID
    if max(pred.max(where=pred != VOID, initial=0),
           target.max(where=known, initial=0)) <= 1:
        picture[(pred == 0) & (target == 0)] = colour["ground"]
        picture[(pred != 1) & (target == 1)] = colour["missed"]
        picture[(pred != 0) & (target == 0)] = colour["false alarm"]
    picture[~known] = _stripes(pred.shape)[~known]
    return picture


def describe(mask: np.ndarray, classes: Sequence[str]) -> str:
    """Shares of the classes in a mask, in words: for alt texts.

    Examples
    --------
    >>> describe(np.array([[0, 0, 0, 1], [0, 0, 1, 255]]),
    ...          ["ground", "coin"])
    'ground 62 %, coin 25 %, void 12 %'

    Chapter
    -------
    01 Images and masks, "Right and wrong".
    """
    mask = _labels(mask, "mask")
    count = np.bincount(mask.ravel(), minlength=VOID + 1)
    names = [*classes, *[None] * (len(count) - len(classes))]
    names[VOID] = "void"
    unknown = [i for i in np.flatnonzero(count) if names[i] is None]
    if unknown or not mask.size:
        raise ValueError(f"mask has the labels {unknown}, shape"
                         f" {mask.shape}; needed: pixels, and labels"
                         f" below {len(classes)} or VOID")
    order = sorted(np.flatnonzero(count),
                   key=lambda i: (i == VOID, -count[i]))
    share = [100 * count[i] / mask.size for i in order]
    return ", ".join(
        f"{names[i]} " + (f"{s:.0f} %" if s >= 1 else "under 1 %")
        for i, s in zip(order, share))


# A row of pictures
# -----------------

@dataclass(frozen=True, repr=False)
class Picture:
    """Something to look at: HTML for the eye, its alt text for the rest.

    Chapter
    -------
    01 Images and masks, "A row of pictures".
    """

    html: str = field()
    alt: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.alt


def show(*images: np.ndarray, alt: str | Sequence[str],
         titles: Sequence[str] = (), classes: Sequence[str] = (),
         legend: Mapping | None = None,
         height: int | None = None) -> Picture:
    """A row of pictures for a notebook or the book.

    Parameters
    ----------
    images : arrays
        (H, W) uint8, uint16 or float: grey; (H, W) bool: a mask;
        (H, W, 3): RGB. Paint label maps with `paint` first.
    alt : str or sequence of str
        What is to be seen, for those who cannot see it: one text for
        the row, or one for each picture.
    titles : sequence of str
        A title for each picture, or none.
    classes : sequence of str
        Names of the labels 0, 1, …, for the legend.
    legend : mapping from str to (r, g, b), 0..255
        Further entries of the legend, such as `ERROR_COLOURS`. The
        legend lists the colours that occur in the pictures.
    height : int, optional
        In CSS pixels; by default as large as the page's column takes.

    Returns
    -------
    Picture
        Displays itself as the last expression of a cell.

    Raises
    ------
    ValueError
        If there is no picture or no alt text, or the numbers of
        pictures, titles and alt texts differ.

    Chapter
    -------
    01 Images and masks, "A row of pictures".
    """
    pictures = [paint(image) if np.asarray(image).dtype == bool
                else _rgb(image) for image in images]
    n = len(pictures)
    alts = [alt] if isinstance(alt, str) else list(alt)
    if not n or not all(isinstance(a, str) and a.strip() for a in alts):
        raise ValueError(f"alt is {alt!r} for {n} pictures; needed: a"
                         " picture, and words that say what it shows")
    if len(alts) not in (1, n) or len(titles) not in (0, n):
        raise ValueError(f"{n} pictures, {len(titles)} titles and"
                         f" {len(alts)} alt texts; needed: one for each")
    entries = dict(zip(classes, PALETTE)) | dict(legend or {})
    figures = [
        _html_figure(*args) for args in zip(
            pictures, alts if len(alts) == n else
            [f"{alts[0]} ({i + 1} of {n})" for i in range(n)],
            titles or [""] * n, _widths(pictures, height))]
    return Picture(_ROW.format("".join(figures))
                   + _html_legend(pictures, entries), " | ".join(alts))


_ROW = ('<div style="display:flex;flex-wrap:wrap;gap:12px;'
        'align-items:flex-start">{}</div>')


def _widths(pictures, height, column=720, gap=12):
    aspects = [p.shape[1] / p.shape[0] for p in pictures]
    if height is None:
        room = column - gap * (len(pictures) - 1)
        height = min(max(room / sum(aspects), 120), 320)
    return [min(column, max(24, round(a * height))) for a in aspects]


def _html_figure(picture, alt, title, width):
    h, w = picture.shape[:2]
    image = Image.fromarray(picture)
    small = min(w, 2 * width, 800)
    if small < w:
        image = image.resize((small, max(1, round(h * small / w))),
                             Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    crisp = "pixelated" if w < width else "auto"
    return (
        f'<figure style="margin:0;width:{width}px;max-width:100%">'
        f'<img class="dark-light" alt="{html.escape(alt)}"'
        ' style="display:block;width:100%;height:auto;margin:0;'
        f'padding:0;background:none;image-rendering:{crisp}"'
        ' src="data:image/png;base64,'
        f'{base64.b64encode(buffer.getvalue()).decode()}">'
        '<figcaption style="margin:0;font-size:0.85em">'
        f'{html.escape(title)}</figcaption></figure>')


def _html_legend(pictures, entries):
    def seen(colour):
        return any((p == colour).all(axis=2).any() for p in pictures)
    swatches = [(name, "rgb({},{},{})".format(*map(int, colour)))
                for name, colour in entries.items() if seen(colour)]
    if swatches and all(map(seen, _STRIPES)):
        swatches.append(("void", "repeating-linear-gradient(135deg,"
                         "#282828 0 2px,#d7d7d7 2px 4px)"))
    spans = "".join(
        '<span><span style="display:inline-block;width:0.9em;height:0.9em;'
        f'margin-right:0.4em;vertical-align:-0.1em;background:{colour}">'
        f'</span>{html.escape(name)}</span>' for name, colour in swatches)
    return ('<div style="display:flex;flex-wrap:wrap;gap:0 16px;'
            f'font-size:0.85em">{spans}</div>' if spans else "")


# Plots
# -----

STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": "cycler('color', ['#0072B2', '#D55E00', '#009E73',"
                       " '#CC79A7', '#E69F00', '#56B4E9'])",
    "figure.figsize": (6.4, 3.2),
    "font.size": 10,
    "legend.frameon": False,
}


def figure(fig, alt: str) -> Picture:
    """A Matplotlib figure as a drawing that takes the page's colours.

    What is drawn in black (as axes and text are) takes the colour of
    the page's text, and the ground is transparent. Closes `fig`.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    alt : str
        What is to be seen.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If `alt` is empty.

    Chapter
    -------
    01 Images and masks, "Plots".
    """
    import matplotlib.pyplot as plt
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"alt is {alt!r}; needed: words that say what"
                         " the figure shows")
    stream = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": alt}):
        fig.savefig(stream, format="svg", transparent=True,
                    bbox_inches="tight", metadata={"Date": None})
    plt.close(fig)
    return Picture(_inline(stream.getvalue(), alt), alt)


def _inline(svg, alt):
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"\s*<(metadata|style).*?</\1>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = svg.replace("#000000", "currentColor")
    return svg.replace(
        "<svg", f'<svg role="img" aria-label="{html.escape(alt)}"'
        ' fill="currentColor" stroke-linejoin="round"'
        ' style="max-width:100%;height:auto"', 1)
