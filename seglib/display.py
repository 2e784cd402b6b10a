"""Images and masks: chapter 01 of the course.

What does a computer hold when it holds a picture, and what do we ask of it when we ask for a segmentation?

Exported from 01_images_and_masks.py; edit the chapter, not this file.
"""

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

__all__ = [
    "as_float",
    "Picture",
    "VOID",
    "PALETTE",
    "show",
    "paint",
    "describe",
    "outlines",
    "overlay",
    "ERROR_COLOURS",
    "errors",
    "STYLE",
    "figure",
]


# Six numbers
# -----------

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

    Chapter
    -------
    01 Images and masks, "Six numbers".
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


# A row of pictures
# -----------------

@dataclass(frozen=True, repr=False)
class Picture:
    """Something to look at, and the words that stand in for it.

    A notebook draws `html`; everything else prints `alt`.

    Chapter
    -------
    01 Images and masks, "A row of pictures".
    """

    html: str
    alt: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.alt


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


def _png(picture, width):
    image = Image.fromarray(picture)
    image.thumbnail((width, 8 * width), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


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


def _sizes(pictures, height, column=720, gap=12):
    aspects = [p.shape[1] / p.shape[0] for p in pictures]
    room = column - gap * (len(pictures) - 1)
    height = height or min(max(room / sum(aspects), 110), 320)
    widths = [min(column, max(24, round(a * height))) for a in aspects]
    return [(w, 100 if len(pictures) == 1 else 97 * w // column)
            for w in widths]


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

    Chapter
    -------
    01 Images and masks, "A row of pictures".
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


# A label for every pixel
# -----------------------

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


def _stripes(shape):
    row, column = np.indices(shape)
    return _STRIPES[(row + column) // max(1, max(shape) // 100) % 2]


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

    Chapter
    -------
    01 Images and masks, "A label for every pixel".
    """
    mask = _labels(mask)
    palette = np.asarray(palette, dtype=np.uint8)
    turn = 1 + (mask - 1) % (len(palette) - 1)
    colours = palette[np.where(mask == 0, 0, turn)]
    return np.where((mask == VOID)[..., None],
                    _stripes(mask.shape), colours)


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

    Chapter
    -------
    01 Images and masks, "A label for every pixel".
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


# Both at once
# ------------

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

    Chapter
    -------
    01 Images and masks, "Both at once".
    """
    mask = _labels(mask)
    edge = np.zeros(mask.shape, dtype=bool)
    for m, e in (mask, edge), (mask.T, edge.T):
        differ = m[width:] != m[:-width]
        e[width:] |= differ
        e[:-width] |= differ
    return edge


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

    Chapter
    -------
    01 Images and masks, "Both at once".
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


# Right and wrong
# ---------------

#: Legend of `errors`: name to (r, g, b), each 0..255.
ERROR_COLOURS = {
    "right": (120, 128, 138),
    "ground": (222, 226, 230),
    "missed": (230, 97, 1),
    "false alarm": (25, 60, 160),
    "wrong": (170, 20, 60),
}


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

    Chapter
    -------
    01 Images and masks, "Right and wrong".
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


# Plots
# -----

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

    Chapter
    -------
    01 Images and masks, "Plots".
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


def _inline(svg, alt):
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = svg.replace("#000000", "currentColor")
    return svg.replace(
        "<svg", f'<svg role="img" aria-label="{html.escape(alt)}"'
        ' fill="currentColor" stroke-linejoin="round"'
        ' style="max-width:100%;height:auto"', 1)
