"""The canvas: chapter A2 of the course.

A hand points at a picture: how does a program come to know which pixels were meant?

Exported from A2_canvas.py; edit the chapter, not this file.
"""

import functools
import io
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
from PIL import Image

from seglib.display import (PALETTE, VOID, Picture, describe, outlines,
                            overlay, show)
from seglib.environment import package_folder

__all__ = [
    "stroke",
    "box_around",
    "Tool",
    "BOX",
    "FOREGROUND",
    "BACKGROUND",
    "Act",
    "RESET",
    "History",
    "Sketch",
    "Slider",
    "Study",
    "overlay_png",
    "summary",
    "still",
    "view_class",
    "Canvas",
]


# What does a pen leave behind?
# -----------------------------

def _distance(x, y, a, b):
    """Distance of the pixels (x, y) from the line between a and b."""
    along = b - a
    t = ((x - a[0]) * along[0] + (y - a[1]) * along[1]) / max(
        along @ along, 1e-12)
    t = np.clip(t, 0, 1)
    return np.hypot(x - a[0] - t * along[0], y - a[1] - t * along[1])


def stroke(points, size: tuple[int, int], radius: float) -> np.ndarray:
    """Pixels that a round pen touches on its way.

    Parameters
    ----------
    points : (N, 2) array-like, N >= 1
        Places (x, y) in pixels; whole numbers are the middles of
        pixels. They may lie outside the image.
    size : (int, int)
        Height and width of the image.
    radius : float
        Of the pen, in pixels; 0.5 or more, or a slanting line would
        have holes.

    Returns
    -------
    (H, W) bool array
        True where a pixel's middle is at most `radius` from the line.

    Raises
    ------
    ValueError
        If there is no point, one is not finite, or the pen is too thin.

    Examples
    --------
    >>> stroke([(1, 0), (2, 1)], (2, 4), 0.5).astype(int)
    array([[0, 1, 0, 0],
           [0, 0, 1, 0]])

    Chapter
    -------
    A2 The canvas, "What does a pen leave behind?".
    """
    points = _places(points)
    if not radius >= 0.5:
        raise ValueError(f"radius is {radius}; needed: 0.5 or more")
    marked = np.zeros(size, bool)
    for a, b in zip(points, np.append(points[1:], points[-1:], axis=0)):
        around = np.stack([np.minimum(a, b) - radius,
                           np.maximum(a, b) + radius + 1])
        (left, top), (right, bottom) = np.clip(
            np.floor(around), 0, size[::-1]).astype(int)
        y, x = np.mgrid[top:bottom, left:right]
        marked[top:bottom, left:right] |= (
            _distance(x, y, a, b) <= radius + 1e-9)
    return marked


def _places(points):
    """`points` as (N, 2) floats, once it is known to be places."""
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"points has shape {points.shape}; needed:"
                         " (N, 2), at least one place (x, y)")
    if not np.isfinite(points).all():
        raise ValueError("points holds NaN or infinity; needed: pixels")
    return points


def box_around(points, size: tuple[int, int]):
    """Smallest box that holds some pixels, cut to the image.

    Parameters
    ----------
    points : (N, 2) array-like
        As for `stroke`.
    size : (int, int)
        Height and width of the image.

    Returns
    -------
    (top, left, bottom, right) : tuple of int, or None
        `image[top:bottom, left:right]` is the box. None if no pixel of
        the image is in it.

    Examples
    --------
    >>> box_around([(5, 3), (2, 1)], (10, 10))
    (1, 2, 4, 6)

    Chapter
    -------
    A2 The canvas, "What does a pen leave behind?".
    """
    pixels = np.round(_places(points)).astype(int)[:, ::-1]
    low = np.maximum(pixels.min(axis=0), 0)
    high = np.minimum(pixels.max(axis=0) + 1, size)
    found = (low < high).all()
    return (*low.tolist(), *high.tolist()) if found else None


# What does a hand say?
# ---------------------

@dataclass(frozen=True)
class Tool:
    """Something to draw with.

    Parameters
    ----------
    name : str
        What its button says.
    kind : {"box", "stroke", "point"}
    label : int
        What its pixels are to be labelled; 0..254. A box has none.
    colour : (r, g, b)
        0..255, of its marks. Choose bright ones: they get a dark rim.

    Chapter
    -------
    A2 The canvas, "What does a hand say?".
    """

    name: str
    kind: str
    label: int = VOID
    colour: tuple[int, int, int] = (255, 255, 255)

    def __post_init__(self):
        if self.kind not in ("box", "stroke", "point"):
            raise ValueError(f"kind is {self.kind!r}; needed: box,"
                             " stroke or point")


#: A box, and the two pens of a cut-out.
BOX = Tool("box", "box", colour=(255, 235, 120))
FOREGROUND = Tool("foreground", "stroke", 1, (86, 200, 255))
BACKGROUND = Tool("background", "stroke", 0, (255, 165, 40))


@dataclass(frozen=True)
class Act:
    """One use of a tool: its name, and places (x, y) in pixels.

    Chapter
    -------
    A2 The canvas, "What does a hand say?".
    """

    tool: str
    points: tuple = ()


#: The act that forgets all acts before it.
RESET = Act("reset")


class History:
    """What was done with some tools, and can be undone.

    Parameters
    ----------
    tools : sequence of Tool

    Attributes
    ----------
    acts : tuple of Act
        What was drawn since the last reset.

    Chapter
    -------
    A2 The canvas, "What does a hand say?".
    """

    def __init__(self, tools=()):
        self.tools = {tool.name: tool for tool in tools}
        self.history = ()

    def draw(self, tool: str, points):
        """Use a tool at places (x, y) in pixels."""
        self._go_on(*self.history, _act(self.tools, tool, points))

    def undo(self):
        """Take the last act back; without one, nothing happens."""
        self._go_on(*self.history[:-1])

    def reset(self):
        """Start again; this can be undone too."""
        self._go_on(*self.history, *[RESET] * bool(self.acts))

    def _go_on(self, *history):
        self.history = history
        self.changed()

    def changed(self):
        """Called after each change, for those who show it."""

    acts = property(lambda self: _since_reset(self.history))


def _act(tools, name, points):
    if name not in tools:
        raise ValueError(f"tool is {name!r}; needed: one of"
                         f" {', '.join(tools) or '(there are none)'}")
    return Act(name, tuple(map(tuple, _places(points).tolist())))


def _since_reset(history):
    starts = [i for i, act in enumerate(history, 1) if act == RESET]
    return history[max(starts, default=0):]


def _last_box(sketch):
    for act in reversed(sketch.acts):
        if sketch.tools[act.tool].kind == "box":
            return box_around(act.points, sketch.size)
    return None


def _inked(sketch, act):
    """Pixels that a pen or dots touched."""
    if sketch.tools[act.tool].kind == "stroke":
        return stroke(act.points, sketch.size, sketch.pen)
    return np.any([stroke([place], sketch.size, sketch.pen)
                   for place in act.points], axis=0)


def _labels_of(sketch):
    labels = np.full(sketch.size, VOID, np.uint8)
    for act in sketch.acts:
        tool = sketch.tools[act.tool]
        if tool.kind != "box":
            labels[_inked(sketch, act)] = tool.label
    return labels


class Sketch(History):
    """What a person has drawn on a picture.

    Parameters
    ----------
    size : (int, int)
        Height and width of the picture.
    tools : sequence of Tool
    pen : float, optional
        Radius of strokes and dots in pixels; by default a hundredth of
        the picture's longer side.

    Attributes
    ----------
    box : (top, left, bottom, right) or None
        The last box: `image[top:bottom, left:right]`.
    labels : (H, W) uint8 array
        Label of what was drawn over each pixel, VOID elsewhere.

    Examples
    --------
    >>> sketch = Sketch((4, 6), [BOX, FOREGROUND])
    >>> sketch.draw("box", [(1, 1), (3, 2)])
    >>> sketch.box
    (1, 1, 3, 4)
    >>> sketch.undo()
    >>> sketch.box is None
    True

    Chapter
    -------
    A2 The canvas, "What does a hand say?".
    """

    def __init__(self, size, tools=(), pen=None):
        thin = max(0.5, round(max(size) / 100))
        self.size, self.pen = tuple(size), thin if pen is None else pen
        super().__init__(tools)

    def points(self, tool: str) -> list[tuple[int, int]]:
        """Rows and columns of the places where a tool was used."""
        return [(round(y), round(x)) for act in self.acts
                if act.tool == tool for x, y in act.points]

    box = property(_last_box)
    labels = property(_labels_of)


# And what does the program answer?
# ---------------------------------

@dataclass(frozen=True)
class Slider:
    """A number to turn.

    Parameters
    ----------
    name : str
    low, high, start : float
        Its range, and where it stands at first.
    step : float
    marks : mapping from str to float
        Values worth a button, such as {"Otsu": 107}.

    Chapter
    -------
    A2 The canvas, "And what does the program answer?".
    """

    name: str
    low: float
    high: float
    start: float
    step: float = 1
    marks: Mapping = field(default_factory=dict)


class Study(Sketch):
    """A sketch on a picture, and what a function makes of it.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        As for `seglib.display.show`, of any size.
    alt : str
        What is to be seen on it.
    tools : sequence of Tool
    sliders : sequence of Slider
    segment : function from Study to (H, W) labels or None, optional
        Asked for the mask when it is needed after a change.
    classes : sequence of str
        Names of the mask's labels.
    pen : float, optional
        As for `Sketch`.
    palette : (N, 3) uint8 array
        Colours of the mask's labels.

    Attributes
    ----------
    picture : (H, W, 3) uint8 array
        The image as it is shown.
    values : dict of str to float
        Where the sliders stand.
    mask : (H, W) array or None
        What `segment` says.

    Raises
    ------
    TypeError, ValueError
        If `image` is no picture.

    Chapter
    -------
    A2 The canvas, "And what does the program answer?".
    """

    def __init__(self, image, alt, tools=(), sliders=(), segment=None,
                 classes=("ground", "marked"), pen=None,
                 palette=PALETTE):
        self.picture, self.palette = _as_rgb(image), palette
        self.alt, self.classes, self.segment = alt, classes, segment
        self.sliders = {slider.name: slider for slider in sliders}
        self.values = {slider.name: slider.start for slider in sliders}
        super().__init__(self.picture.shape[:2], tools, pen)

    def slide(self, name: str, value: float):
        """Move a slider."""
        self.values |= {name: _within(self.sliders, name, value)}
        self.changed()

    def changed(self):
        self.__dict__.pop("mask", None)

    mask = functools.cached_property(lambda self: _ask(self))


def _as_rgb(image):
    image = np.asarray(image)
    if (image.dtype == np.uint8 and image.shape[2:] == (3,)
            and image.size):
        return image
    return overlay(image, np.zeros(image.shape[:2], int))


def _ask(study):
    mask = study.segment(study) if study.segment else None
    if mask is not None and np.shape(mask) != study.size:
        raise ValueError(f"segment returned shape {np.shape(mask)};"
                         f" needed: {study.size}, or None")
    return mask


def _within(sliders, name, value):
    if name not in sliders:
        raise ValueError(f"name is {name!r}; needed: one of"
                         f" {', '.join(sliders) or '(there are none)'}")
    low, high = sliders[name].low, sliders[name].high
    if not low <= value <= high:
        raise ValueError(f"value is {value}; needed: {low} to {high}")
    return value


# How is it shown?
# ----------------

def _png(array, palette=None, **options) -> bytes:
    buffer, image = io.BytesIO(), Image.fromarray(array)
    if palette is not None:
        image.putpalette(palette.ravel().tolist())
    image.save(buffer, "png", compress_level=1, **options)
    return buffer.getvalue()


def overlay_png(mask: np.ndarray, palette=PALETTE) -> bytes:
    """A mask's colours on a transparent ground, as a PNG.

    Parameters
    ----------
    mask : (H, W) bool or integer array
        As for `seglib.display.paint`; VOID is transparent too.

    Chapter
    -------
    A2 The canvas, "How is it shown?".
    """
    mask = np.asarray(mask, int)
    more = len(palette) - 1
    labels = np.arange(max(mask.max(), VOID) + 1)
    entry = 1 + (labels - 1) % more
    entry[[0, VOID]] = 0
    index = entry.astype(np.uint8)[mask]
    rim = outlines(mask, max(1, max(mask.shape) // 300))
    index[rim & (index > 0)] += more
    return _png(index, np.concatenate([palette, palette[1:]]),
                transparency=bytes([0] + [120] * more + [255] * more))


def summary(study: Study) -> str:
    """What was drawn, where the sliders stand, and what is marked.

    Chapter
    -------
    A2 The canvas, "How is it shown?".
    """
    drawn = Counter()
    for act in study.acts:
        dots = study.tools[act.tool].kind == "point"
        drawn[act.tool] += len(act.points) if dots else 1
    said = [f"{name} {value:g}" for name, value in study.values.items()]
    if study.tools:
        said.insert(0, ", ".join(f"{n} {tool}" for tool, n in
                                 drawn.items()) or "nothing drawn")
    if study.mask is not None:
        said.append(describe(study.mask, study.classes))
    return "; ".join(said)


def _shown(sketch):
    """The acts that still count."""
    boxes = [i for i, act in enumerate(sketch.acts)
             if sketch.tools[act.tool].kind == "box"]
    return [act for i, act in enumerate(sketch.acts)
            if i not in boxes[:-1]]


def _marks(sketch, act, width):
    """Pixels in which the still picture shows an act."""
    if sketch.tools[act.tool].kind != "box":
        return _inked(sketch, act)
    inside = np.zeros(sketch.size, bool)
    if box := box_around(act.points, sketch.size):
        top, left, bottom, right = box
        inside[top:bottom, left:right] = True
        inside[top + width:bottom - width,
               left + width:right - width] = False
    return inside


def still(study: Study) -> Picture:
    """A picture of the canvas as it stands, with its words.

    Chapter
    -------
    A2 The canvas, "How is it shown?".
    """
    thin = (slice(None, None, max(1, max(study.size) // 1600)),) * 2
    seen = study.picture[thin].copy()
    if study.mask is not None:
        seen = overlay(seen, np.asarray(study.mask)[thin],
                       palette=study.palette)
    width = max(1, max(study.size) // 300)
    for act in _shown(study):
        here = _marks(study, act, width)[thin]
        seen[outlines(here, max(1, max(seen.shape) // 300))] = 20
        seen[here] = study.tools[act.tool].colour
    said = summary(study)
    return show(seen, titles=[said], alt=f"{study.alt} Here: {said}.")


# Two ends of a wire
# ------------------

@functools.cache
def view_class():
    """The class of the browser's end, made when it is first needed.

    Chapter
    -------
    A2 The canvas, "Two ends of a wire".
    """
    import anywidget
    from traitlets import Bytes, Dict, Int, List, Unicode

    class View(anywidget.AnyWidget):
        _esm = package_folder() / "static" / "canvas.js"
        _css = package_folder() / "static" / "canvas.css"
        page = Dict().tag(sync=True)
        image = Bytes().tag(sync=True)
        acts = List().tag(sync=True)
        values = Dict().tag(sync=True)
        overlay = Bytes().tag(sync=True)
        status = Unicode().tag(sync=True)
        heard = Unicode().tag(sync=True)
        turn = Int().tag(sync=True)

    return View


def _hear(canvas, wish):
    """Do what the browser asks for."""
    canvas.heard = wish["id"]
    try:
        _WISHES[wish["do"]](canvas, *wish["with"])
    except Exception as error:          # whatever it is, say it there
        canvas.said = str(error)
        _tell(canvas)


def _press(canvas, name):
    canvas.said = canvas.actions[name]() or ""
    _tell(canvas)


_WISHES = {"draw": History.draw, "undo": History.undo, "act": _press,
           "reset": History.reset, "slide": Study.slide}


def _tell(canvas):
    """Send the browser how things stand, all at once."""
    if not (view := canvas.view):
        return
    try:
        said = " ".join(filter(None, [canvas.said, summary(canvas)]))
        mask = canvas.mask
    except Exception as error:          # the learner's function
        said, mask = f"{type(error).__name__}: {error}", None
    with view.hold_sync():
        view.acts = [asdict(act) for act in _shown(canvas)]
        view.overlay = (b"" if mask is None
                        else overlay_png(mask, canvas.palette))
        view.values, view.status = dict(canvas.values), said
        view.heard, view.turn = canvas.heard, view.turn + 1


def _open(canvas):
    """Make the browser's end of a canvas."""
    tools = [{"name": tool.name, "kind": tool.kind,
              "colour": "rgb({}, {}, {})".format(*tool.colour)}
             for tool in canvas.tools.values()]
    canvas.view = view_class()(image=_png(canvas.picture), page={
        "alt": canvas.alt, "height": canvas.size[0],
        "width": canvas.size[1], "pen": canvas.pen, "tools": tools,
        "sliders": [asdict(s) for s in canvas.sliders.values()],
        "actions": list(canvas.actions)})
    canvas.view.on_msg(lambda view, wish, buffers: _hear(canvas, wish))
    _tell(canvas)
    return canvas.view


# The canvas itself
# -----------------

class Canvas(Study):
    """A picture to draw on in JupyterLab.

    As the last expression of a cell it is live. In a book, and wherever
    else nobody can draw, it is a still picture of itself.

    Parameters
    ----------
    image, alt, **study
        As for `Study`.
    actions : mapping from str to function, optional
        More buttons. A function may return a sentence to be shown.

    Examples
    --------
    >>> canvas = Canvas(np.zeros((4, 6)), "Night.", tools=[BOX])
    >>> canvas.draw("box", [(1, 1), (3, 2)])
    >>> canvas
    Night. Here: 1 box.

    Chapter
    -------
    A2 The canvas, "The canvas itself".
    """

    def __init__(self, image, alt, *, actions=None, **study):
        self.actions, self.said = actions or {}, ""
        self.view, self.heard = None, ""
        super().__init__(image, alt, **study)

    def changed(self):
        super().changed()
        self.said = ""
        _tell(self)

    def __repr__(self):
        return still(self).alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        return _bundle(self)


def _bundle(canvas):
    """What a notebook may show: the live canvas, the still, words."""
    picture = still(canvas)
    forms = {"text/html": picture.html, "text/plain": picture.alt}
    if os.environ.get("SEGLIB_WIDGETS") == "off":
        return forms
    try:
        live, about = (canvas.view or _open(canvas))._repr_mimebundle_()
        return live | forms, about
    except ModuleNotFoundError as error:
        forms["text/html"] += (
            f"<p>To draw here, install {error.name}:"
            f" <code>pip install {error.name}</code></p>")
        return forms
