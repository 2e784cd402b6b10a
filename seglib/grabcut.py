"""GrabCut: chapter 09 of the course.

Where do the colours of a thing come from, if nobody shows us any?

Exported from 09_grabcut.py; edit the chapter, not this file.
"""

from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from seglib.annotations import save_mask
from seglib.canvas import BACKGROUND, BOX, FOREGROUND, Canvas, Slider
from seglib.clustering import ColourTable, GaussianMixture, colour_table
from seglib.display import PALETTE, VOID, as_float
from seglib.graph_cuts import GridCut, contrast_weights

__all__ = [
    "loose_box",
    "known_pixels",
    "component_costs",
    "GrabCutResult",
    "grabcut",
    "correcting_stroke",
    "GrabCutWidget",
]


# What does a box say?
# --------------------

def loose_box(mask: np.ndarray, share: float = 0.04, pixels: int = 2,
              margin: int = 3) -> tuple[int, int, int, int]:
    """Box around label 1, loosened as a person might draw it.

    Parameters
    ----------
    mask : (H, W) bool or integer array
        With at least one pixel of label 1.
    share, pixels : float, int
        Each side moves out by this share of the box's height or width,
        and by so many pixels more.
    margin : int
        But keeps so far away from the border of the image.

    Returns
    -------
    (top, left, bottom, right)
        The box is `image[top:bottom, left:right]`.

    Examples
    --------
    >>> loose_box(np.eye(50) * (np.arange(50) // 10 == 2))
    (18, 18, 32, 32)

    Chapter
    -------
    09 GrabCut, "What does a box say?".
    """
    box = []
    for axis, size in ((1, mask.shape[0]), (0, mask.shape[1])):
        at = np.flatnonzero((np.asarray(mask) == 1).any(axis))
        first, last = int(at[0]), int(at[-1]) + 1
        more = round(share * (last - first)) + pixels
        box.append((max(margin, first - more),
                    min(size - margin, last + more)))
    (top, bottom), (left, right) = box
    return top, left, bottom, right


def known_pixels(shape: tuple[int, int], box=None, scribbles=None
                 ) -> np.ndarray:
    """What a box and strokes tell about each pixel.

    Parameters
    ----------
    shape : (H, W)
        Of the image.
    box : (top, left, bottom, right), optional
        Whole numbers; `image[top:bottom, left:right]` holds the thing.
        Grows where a stroke of the thing lies outside.
    scribbles : (H, W) integer array, optional
        0 where a stroke says ground, 1 where it says thing, else VOID.
        Of strokes that cross, the map holds the last; none is overruled
        by the box.

    Returns
    -------
    (H, W) uint8 array
        0 (ground), 1 (thing), or VOID (not known).

    Raises
    ------
    ValueError
        If an argument is not as above, if no pixel is surely ground, or
        if all are.

    Examples
    --------
    >>> known_pixels((1, 4), (0, 1, 1, 3))
    array([[  0, 255, 255,   0]], dtype=uint8)

    Chapter
    -------
    09 GrabCut, "What does a box say?".
    """
    strokes = _strokes(scribbles, shape)
    known = np.full(shape, VOID, np.uint8)
    if box is not None:
        known[:] = 0
        known[_grown(_box(box, shape), strokes == 1)] = VOID
    known = np.where(strokes == VOID, known, strokes)
    sure = np.count_nonzero(known == 0)
    if sure in (0, known.size):
        raise ValueError(
            f"box {box} and strokes leave {sure} of {known.size} pixels"
            " surely ground; needed: some, but not all")
    return known


def _strokes(scribbles, shape):
    if scribbles is None:
        return np.full(shape, VOID, np.uint8)
    strokes = np.asarray(scribbles)
    odd = np.setdiff1d(strokes, (0, 1, VOID))
    if strokes.shape != tuple(shape) or odd.size:
        raise ValueError(
            f"scribbles have shape {strokes.shape}, labels {odd[:3]};"
            f" needed: {tuple(shape)}, only 0, 1 and VOID ({VOID})")
    return strokes.astype(np.uint8)


def _box(box, shape):
    try:
        whole = [int(n) for n in box]
        top, left, bottom, right = whole
        fits = (whole == list(box) and 0 <= top < bottom <= shape[0]
                and 0 <= left < right <= shape[1])
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f"box is {box}; needed: whole numbers (top,"
                         " left, bottom, right), not empty, in an"
                         f" image of {shape[0]} x {shape[1]}")
    return whole


def _grown(box, thing):
    """The box as slices, grown to hold the strokes of the thing."""
    (top, left, bottom, right), (y, x) = box, np.nonzero(thing)
    return (slice(min(top, y.min(initial=top)),
                  max(bottom, y.max(initial=0) + 1)),
            slice(min(left, x.min(initial=left)),
                  max(right, x.max(initial=0) + 1)))


# What does a colour cost?
# ------------------------

def component_costs(mixture: GaussianMixture, colours: np.ndarray
                    ) -> np.ndarray:
    """Price of each colour in each component of a mixture.

    Minus the logarithm of share times density, up to a constant.

    Parameters
    ----------
    mixture : GaussianMixture
        Fitted, K components.
    colours : (N, D) array

    Returns
    -------
    (K, N) float array
        D_n of Rother, Kolmogorov and Blake (2004), equation 9.

    Chapter
    -------
    09 GrabCut, "What does a colour cost?".
    """
    costs = np.empty((len(mixture.shares), len(colours)))
    for k, share in enumerate(mixture.shares):
        root = np.linalg.cholesky(mixture.covariances[k])
        away = (colours - mixture.means[k]) @ np.linalg.inv(root).T
        costs[k] = (away**2).sum(axis=1) / 2
        costs[k] += np.log(np.diagonal(root)).sum() - np.log(share)
    return costs


_FLOOR = 255.0**-2      # no colour is known to less than a grey level


def _tally(table, *sides):
    """How often each colour occurs on each side (weights a pixel)."""
    return [np.bincount(table.index.ravel(), np.ravel(side),
                        len(table.counts)) for side in sides]


def _learn(colours, counts, mixtures):
    """Both mixtures anew, for the colours that each side has now."""
    learnt = []
    for weights, old in zip(counts, mixtures):
        used, label = weights > 0, None
        if hasattr(old, "means"):
            label = component_costs(old, colours[used]).argmin(axis=0)
        learnt.append(replace(old).fit(colours[used], weights[used],
                                       label))
    return learnt


# Which energy falls?
# -------------------

class _Level(NamedTuple):
    """A picture at one size, made ready for cutting."""

    table: ColourTable
    known: np.ndarray
    window: tuple
    solver: GridCut


def _level(image, known, gamma):
    """Weights and colours; only what is around the unknown is cut."""
    window = []
    for axis in (1, 0):
        at = np.flatnonzero((known == VOID).any(axis))
        window.append(slice(max(0, at[0] - 1), at[-1] + 2)
                      if at.size else slice(None))
    table = colour_table(image, 8 if image.ndim == 2 else 5)
    weights = contrast_weights(image, gamma)[tuple(window)]
    return _Level(table, known, tuple(window), GridCut(weights))


def _cut(level, costs, trust):
    """Cheapest mask for these costs of colours (N, 2), and E."""
    table, known, window, solver = level
    index, sure = table.index[window], known[window]
    unary = trust * costs[index]
    unary[sure == 0, 1] = unary[sure == 1, 0] = np.inf
    cut, mask = solver.cut(unary), known == 1
    mask[window] = cut.mask
    here = np.take_along_axis(costs[index], cut.mask[..., None]
                              .astype(int), 2).sum()
    counts = np.stack(_tally(table, ~mask, mask), axis=1)
    return mask, cut.energy / trust - here + (counts * costs).sum()


class _Found(NamedTuple):
    """What some rounds came to; costs are (N, 2), for the table."""

    mask: np.ndarray
    mixtures: list
    costs: np.ndarray
    energies: list


def _alternate(level, counts, mixtures, rounds, trust=1.0):
    """Learn and cut in turn."""
    energies, colours = [], level.table.colours
    for _ in range(rounds):
        mixtures = _learn(colours, counts, mixtures)
        costs = np.stack([component_costs(mixture, colours).min(axis=0)
                          for mixture in mixtures], axis=1)
        mask, energy = _cut(level, costs, trust)
        energies.append(energy)
        counts = _tally(level.table, ~mask, mask)
        if not mask.any():              # nothing left to learn from
            break
    return _Found(mask, mixtures, costs, energies)


# Must the first guess be so impudent?
# ------------------------------------

def _centred(free):
    """Weights of the unknown: 1 in the middle of them, 0 at the rim."""
    weights = free.astype(float)
    for axis in (0, 1):
        at = np.flatnonzero(free.any(1 - axis))
        if at.size:
            place = np.arange(free.shape[axis]) - at[0] + 0.5
            place = place / (at[-1] - at[0] + 1)
            hump = 4 * place * (1 - place)
            weights *= hump[:, None] if axis == 0 else hump
    return weights


def _first_guess(table, known, box, centred):
    """Counts for the first mixtures: of the sure, and of a guess."""
    thing = (known == 1).astype(float)
    if box is not None or not thing.any():
        free = known == VOID
        thing += _centred(free) if centred else free
    return _tally(table, known == 0, thing)


# Strict first, lenient later?
# ----------------------------

def _blocks(array):
    """The four pixels of each block of 2 x 2, the border repeated."""
    odd = [(0, n % 2) for n in array.shape[:2]]
    a = np.pad(array, odd + [(0, 0)] * (array.ndim - 2), mode="edge")
    return a[::2, ::2], a[1::2, ::2], a[::2, 1::2], a[1::2, 1::2]


def _halved(image, known, gamma):
    """The same at half size; what is known stays known."""
    small = np.mean(_blocks(as_float(image)), axis=0)
    return _level(small, np.minimum.reduce(_blocks(known)),
                  gamma / np.sqrt(2))


_LARGE = 64**2          # unknown pixels from which halving pays


def _find(image, level, gamma, relax, coarse, begin):
    """The strict rounds, at half size if that serves."""
    known = level.known
    if coarse and np.count_nonzero(known == VOID) >= _LARGE:
        found = begin(_halved(image, known, gamma), 1)
        if found.mask.any():
            full = found.mask.repeat(2, axis=0).repeat(2, axis=1)
            return found._replace(
                mask=full[:known.shape[0], :known.shape[1]])
    found = begin(level, 1)
    return found if found.mask.any() else begin(level, 1 / relax)


# All together
# ------------

@dataclass(frozen=True, eq=False)
class GrabCutResult:
    """A thing cut out, and how sure its colours are.

    Attributes
    ----------
    mask : (H, W) bool array
        True where the thing is.
    probability : (H, W) float array
        Of the thing, by colour alone; 0 or 1 where it is known.
    energies : list of lists of float
        The energy that each cut minimised, a list for every stage: the
        strict rounds, then the lenient. It never rises within a stage,
        but for the solver's rounding.
    known : (H, W) uint8 array
        0 or 1 where box and strokes left no choice, else VOID.
    mixtures : list of two GaussianMixture
        Of the ground's colours and of the thing's.

    Chapter
    -------
    09 GrabCut, "All together".
    """

    mask: np.ndarray
    probability: np.ndarray
    energies: list
    known: np.ndarray
    mixtures: list


def _result(level, stages):
    last, (table, known, *_) = stages[-1], level
    odds = np.clip(last.costs[:, 1] - last.costs[:, 0], -700, 700)
    by_colour = (1 / (1 + np.exp(odds)))[table.index]
    return GrabCutResult(
        last.mask, np.where(known == VOID, by_colour, known),
        [stage.energies for stage in stages], known, last.mixtures)


def _check(image, iterations, gamma, relax, previous):
    if (image.ndim < 2 or image.shape[2:] not in ((), (3,))
            or not image.size):
        raise ValueError(f"image has shape {image.shape}; needed:"
                         " (H, W) or (H, W, 3), not empty")
    if not (iterations >= 1 and 0 <= gamma < np.inf and 0 < relax <= 1):
        raise ValueError(
            f"iterations {iterations}, gamma {gamma}, relax {relax};"
            " needed: 1 or more, 0 or more, above 0 and at most 1")
    if previous is not None and previous.mask.shape != image.shape[:2]:
        raise ValueError(f"previous is of {previous.mask.shape}, image"
                         f" {image.shape}; needed: the same image")


def grabcut(image: np.ndarray, box=None, scribbles=None, iterations=5,
            *, gamma=50.0, relax=0.25, components=5, seed=0,
            coarse=True, centred=True,
            previous=None) -> GrabCutResult:
    """Cut a thing out of an image, from a box, strokes, or both.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        uint8, uint16, or floats in [0, 1].
    box : (top, left, bottom, right), optional
        `image[top:bottom, left:right]` holds the thing; what is outside
        is ground.
    scribbles : (H, W) integer array, optional
        0 where a stroke says ground, 1 where it says thing, else VOID
        (255). Never overruled. A stroke of the thing outside the box
        makes the box larger.
    iterations : int
        Rounds of learning and cutting: two fifths of them lenient, at
        least one; the others strict, at least one.
    gamma : float
        Price of an outline, in the strict rounds.
    relax : float
        Times this in the lenient rounds; 1 is the paper's method.
    components : int
        Gaussians in each mixture.
    seed : int
        For the k-means that makes their first split.
    coarse : bool
        Whether the strict rounds may run at half size.
    centred : bool
        Whether the first guess favours the middle of the box.
    previous : GrabCutResult, optional
        Go on from there, after a stroke, say: lenient rounds only.

    Returns
    -------
    GrabCutResult
        With an empty mask where the colours speak for ground alone.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above; if no pixel is surely ground, or
        every one.

    Notes
    -----
    Rother, Kolmogorov and Blake (2004), with three changes: the first
    guess, the two stages, and the half size. The first run compiles the
    solver, which takes seconds.

    Examples
    --------
    >>> image = np.zeros((20, 20)); image[6:14, 6:14] = 1
    >>> grabcut(image, box=(3, 3, 17, 17)).mask.sum()
    np.int64(64)

    Chapter
    -------
    09 GrabCut, "All together".
    """
    image = np.asarray(image)
    _check(image, iterations, gamma, relax, previous)
    known = known_pixels(image.shape[:2], box, scribbles)
    level = _level(image, known, gamma)
    if previous is not None and _kept(previous.mask, known).any():
        return _go_on(level, previous, [], iterations, relax)
    late = max(1, 2 * iterations // 5)
    begin = _beginner(box, centred, components, seed,
                      max(1, iterations - late))
    start = _find(image, level, gamma, relax, coarse, begin)
    return _go_on(level, start, [start], late, relax)


def _kept(mask, known):
    """An earlier mask, where nothing else is known by now."""
    return np.where(known == VOID, mask, known == 1)


def _go_on(level, start, stages, rounds, relax):
    """The lenient rounds, if there is a thing, and the result."""
    mask = _kept(start.mask, level.known)
    if mask.any():
        counts = _tally(level.table, ~mask, mask)
        stages = [*stages, _alternate(level, counts, start.mixtures,
                                      rounds, 1 / relax)]
    return _result(level, stages)


def _beginner(box, centred, components, seed, rounds):
    """A function that does the first rounds on a level."""
    fresh = GaussianMixture(components, floor=_FLOOR, iterations=1,
                            seed=seed)

    def begin(level, trust):
        guess = _first_guess(level.table, level.known, box, centred)
        return _alternate(level, guess, [fresh, fresh], rounds, trust)
    return begin


# What if a box is not enough?
# ----------------------------

def correcting_stroke(mask: np.ndarray, truth: np.ndarray
                      ) -> np.ndarray:
    """What a tireless user would draw: a stroke in the largest mistake.

    Parameters
    ----------
    mask : (H, W) bool array
    truth : (H, W) integer array
        0, 1, or VOID.

    Returns
    -------
    (H, W) uint8 array
        The true label where the stroke is, else VOID; nothing but VOID
        if there is no mistake.

    Examples
    --------
    >>> correcting_stroke(np.array([[True, True, False]]),
    ...                   np.array([[1, 0, 0]]))
    array([[255,   0, 255]], dtype=uint8)

    Chapter
    -------
    09 GrabCut, "What if a box is not enough?".
    """
    stroke = np.full(mask.shape, VOID, np.uint8)
    pieces, many = ndimage.label((mask != (truth == 1))
                                 & (truth != VOID))
    if many:
        largest = 1 + np.bincount(pieces.ravel())[1:].argmax()
        piece = np.pad(pieces == largest, 1)
        depth = ndimage.distance_transform_edt(piece)[1:-1, 1:-1]
        inner, _ = ndimage.label(depth > depth.max() / 2)
        deepest = np.unravel_index(depth.argmax(), depth.shape)
        stroke[inner == inner[deepest]] = truth[deepest]
    return stroke


# Cutting by hand
# ---------------

def _drawn_cut(widget):
    """The mask of all that is drawn."""
    widget.found = grabcut(
        widget.image, widget.box, widget.scribbles,
        gamma=widget.gamma) if widget.acts else None
    return widget.found and widget.found.mask


def _drawn_result(widget):
    return widget.found if widget.mask is not None else None


def _save(widget, path=None) -> str:
    """Write the mask as a PNG: 1 is the thing, seen as white.

    Parameters
    ----------
    path : path, optional
        By default a new file in the widget's folder: mask.png,
        mask-2.png, and so on.

    Returns
    -------
    str
        A sentence that says so.

    Raises
    ------
    ValueError
        If nothing is drawn yet.
    FileExistsError
        If there is such a file; nothing is overwritten.
    """
    if widget.mask is None:
        raise ValueError("no mask yet; needed: a box, or strokes")
    path = Path(path) if path else _unused(widget.folder)
    save_mask(widget.mask.astype(np.uint8), path,
              {"ground": (0, 0, 0), "thing": (255, 255, 255)})
    return f"Saved {path.name}."


def _unused(folder):
    names = (f"mask-{n}.png" if n > 1 else "mask.png" for n in count(1))
    return next(path for name in names
                if not (path := folder / name).exists())


class GrabCutWidget(Canvas):
    """Cut a thing out of a picture by hand, in JupyterLab.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        As for `grabcut`, of any size.
    alt : str
        What is to be seen on it, for those who do not see it.
    gamma : float
        Where the slider stands at first.
    folder : path
        Where the button saves masks.

    Attributes
    ----------
    mask : (H, W) bool array or None
        That of `grabcut(image, box, scribbles, gamma=gamma)`; None as
        long as nothing is drawn.
    box : (top, left, bottom, right) or None
    scribbles : (H, W) uint8 array
        1 where the foreground pen was last, 0 where the background pen
        was, else VOID.
    gamma : float
    result : GrabCutResult or None

    Examples
    --------
    >>> image = np.zeros((20, 20)); image[6:14, 6:14] = 1
    >>> widget = GrabCutWidget(image, "A white square.")
    >>> widget.draw("box", [(3, 3), (16, 16)])
    >>> widget.mask.sum()
    np.int64(64)

    Chapter
    -------
    09 GrabCut, "Cutting by hand".
    """

    def __init__(self, image, alt="A picture to cut a thing out of.",
                 gamma=50.0, folder="."):
        self.image, self.folder = np.asarray(image), Path(folder)
        super().__init__(
            image, alt, tools=(BOX, FOREGROUND, BACKGROUND),
            sliders=[Slider("gamma", 0, 200, gamma,
                            marks={"usual": 50})],
            classes=("ground", "thing"), palette=PALETTE[[0, 11]],
            segment=_drawn_cut, actions={"save the mask": self.save})

    scribbles = Canvas.labels
    gamma = property(lambda self: self.values["gamma"])
    result = property(_drawn_result)
    save = _save
