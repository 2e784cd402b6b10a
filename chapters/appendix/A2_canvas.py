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
#       gpu: 0.1
#       laptop: 0.1
#     module: canvas
#     place: 1.5
# ---

# %% [markdown]
# # The canvas
#
# *A hand points at a picture: how does a program come to know which
# pixels were meant?*
#
# **You will be able to** draw boxes, strokes and seeds on any picture
# in JupyterLab, with a mouse, a pen, a finger or the keyboard, and have
# a function of yours answer after each of them; and read the few pages
# of JavaScript that carry your hand to Python.
#
# **You need** chapter 01. Chapters 04, 06 and 09 draw on this canvas;
# read it when you want to know how, or want one of your own.
#
# **Exports** `stroke`, `box_around`, `Tool`, `BOX`, `FOREGROUND`,
# `BACKGROUND`, `Sketch`, `Slider`, `Study`, `summary`, `still`,
# `overlay_png`, `Canvas`.

# %% tags=["export"]
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

# %%
from IPython.display import Markdown
from skimage import data

# %% [markdown]
# ## Which pixel is under the pointer?
#
# The browser says where the pointer is on the *screen*. The picture
# takes `width` screen pixels there and has `page.width` pixels of its
# own; it may have been shrunk to fit or, if it is tiny, enlarged. So
# subtract, divide, multiply. This is the whole of it, in JavaScript:

# %%
canvas_js = (package_folder() / "static/canvas.js").read_text("utf-8")


def javascript(name):
    start = canvas_js.index(f"function {name}(")
    end = canvas_js.index("\n}", start) + 2
    return Markdown("```javascript\n" + canvas_js[start:end] + "\n```")


javascript("pixelAt")

# %% [markdown]
# `Math.floor`, not `Math.round`. That looks like a trifle. Eight
# pixels, each 40 screen pixels wide, and a pointer everywhere once:

# %%
screen = np.arange(8 * 40) + 0.5
under = np.repeat(np.arange(8), 40)         # what the eye sees there
assert (np.floor(screen / 40) == under).all()
wrong = (np.round(screen / 40) != under).mean()
assert wrong == 0.5
print(f"rounded: {wrong:.0%} of the places are given to a neighbour")

# %% [markdown]
# On a photograph nobody notices. On a tiny picture, enlarged, every
# second click lands next door; and in a mask drawn so, every outline is
# half a pixel too far to the right and too low.
#
# From here on a place is $(x, y)$, column before row as in every
# drawing program, and whole numbers are the *middles* of pixels.

# %% [markdown]
# ## What does a pen leave behind?
#
# A disc of radius $r$ wherever it was. But the browser reports some 60
# places a second, and a quick hand covers a thousand pixels in that
# time:

# %%
def discs(places, size, radius):
    y, x = np.indices(size)
    return np.any([np.hypot(x - u, y - v) <= radius
                   for u, v in places], axis=0)


places = [(4, 10), (24, 4), (44, 10), (52, 12)]
beads = discs(places, (16, 58), 3)
show(beads, height=100, alt="Where the pen was reported: four discs,"
     " three of them apart from each other.")

# %% [markdown]
# So between two reports the pen is taken to have moved straight on: the
# stroke holds every pixel at most $r$ away from the *line* through its
# places. The nearest point of a line from $a$ to $b$ is found by
# walking along it as far as the pixel $p$ is,
#
# $$t = \frac{(p - a) \cdot (b - a)}{\lVert b - a \rVert^2}
#       \quad\text{cut to } 0 \le t \le 1, \qquad
#   d = \lVert p - a - t\,(b - a) \rVert .$$

# %% tags=["export"]
def _distance(x, y, a, b):
    """Distance of the pixels (x, y) from the line between a and b."""
    along = b - a
    t = ((x - a[0]) * along[0] + (y - a[1]) * along[1]) / max(
        along @ along, 1e-12)
    t = np.clip(t, 0, 1)
    return np.hypot(x - a[0] - t * along[0], y - a[1] - t * along[1])

# %% tags=["export"]
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

# %% tags=["export"]
def _places(points):
    """`points` as (N, 2) floats, once it is known to be places."""
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"points has shape {points.shape}; needed:"
                         " (N, 2), at least one place (x, y)")
    if not np.isfinite(points).all():
        raise ValueError("points holds NaN or infinity; needed: pixels")
    return points

# %%
line = stroke(places, (16, 58), 3)
assert line[beads].all()                    # the discs are part of it
one = stroke([(24, 4)], (16, 58), 3)
assert np.array_equal(one, discs([(24, 4)], (16, 58), 3))
show(line, height=100, alt="The same places joined: one stroke of"
     f" {line.sum()} pixels with round ends.")

# %% [markdown]
# Each piece of the way looks only at the pixels around itself, so a
# long stroke on a large photograph costs what it covers. And what lies
# outside the picture is cut off: a hand that slips over the edge has
# still drawn inside.
#
# A {term}`box <bounding box>` is two opposite corners, in any order;
# both pixels belong to it. What comes out is for indexing arrays, so
# here rows come first.

# %% tags=["export"]
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
    """
    pixels = np.round(_places(points)).astype(int)[:, ::-1]
    low = np.maximum(pixels.min(axis=0), 0)
    high = np.minimum(pixels.max(axis=0) + 1, size)
    found = (low < high).all()
    return (*low.tolist(), *high.tolist()) if found else None

# %%
assert box_around([(9, 9), (-4, 5)], (8, 8)) == (5, 0, 8, 8)
assert box_around([(9, 9), (12, 12)], (8, 8)) is None

# %% [markdown]
# ## What does a hand say?
#
# It takes a tool and draws. What the tools are is for each program to
# say: a box and two pens for a cut-out, one pen for each region, one
# kind of dot for seeds. A pen and a dot stand for a label, and have a
# colour to tell them apart.

# %% tags=["export"]
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
    """

    name: str
    kind: str
    label: int = VOID
    colour: tuple[int, int, int] = (255, 255, 255)

    def __post_init__(self):
        if self.kind not in ("box", "stroke", "point"):
            raise ValueError(f"kind is {self.kind!r}; needed: box,"
                             " stroke or point")

# %% tags=["export"]
#: A box, and the two pens of a cut-out.
BOX = Tool("box", "box", colour=(255, 235, 120))
FOREGROUND = Tool("foreground", "stroke", 1, (86, 200, 255))
BACKGROUND = Tool("background", "stroke", 0, (255, 165, 40))

# %% [markdown]
# And how does undo work? By never forgetting anything. All that a
# person does is a list of **acts**; to undo is to drop the last one,
# and what is drawn is whatever the list says. Even *reset* is only one
# more act, "forget what was before", so that it can be undone like any
# other. No function has to be run backwards.

# %% tags=["export"]
@dataclass(frozen=True)
class Act:
    """One use of a tool: its name, and places (x, y) in pixels."""

    tool: str
    points: tuple = ()


#: The act that forgets all acts before it.
RESET = Act("reset")

# %% tags=["export"]
class History:
    """What was done with some tools, and can be undone.

    Parameters
    ----------
    tools : sequence of Tool

    Attributes
    ----------
    acts : tuple of Act
        What was drawn since the last reset.
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

# %% [markdown]
# What arrives may come from a browser, so it is looked at before it
# enters the list; once there, it is trusted.

# %% tags=["export"]
def _act(tools, name, points):
    if name not in tools:
        raise ValueError(f"tool is {name!r}; needed: one of"
                         f" {', '.join(tools) or '(there are none)'}")
    return Act(name, tuple(map(tuple, _places(points).tolist())))


def _since_reset(history):
    starts = [i for i, act in enumerate(history, 1) if act == RESET]
    return history[max(starts, default=0):]

# %% [markdown]
# Three things can be read off the acts: the box (the last one counts),
# single places, and a label for each pixel that a pen or a dot touched.
# Strokes may contradict each other. Then **the later one wins**, as
# paint does; it is how people correct themselves.

# %% tags=["export"]
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

# %% tags=["export"]
def _labels_of(sketch):
    labels = np.full(sketch.size, VOID, np.uint8)
    for act in sketch.acts:
        tool = sketch.tools[act.tool]
        if tool.kind != "box":
            labels[_inked(sketch, act)] = tool.label
    return labels

# %% tags=["export"]
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

# %% [markdown]
# Seven columns, a pen of one pixel, an object stroke, and a ground
# stroke across it (1, 0, and `VOID` where nobody has said anything):

# %%
sketch = Sketch((4, 7), [BOX, FOREGROUND, BACKGROUND], pen=0.5)
sketch.draw("foreground", [(1, 1), (5, 1)])
sketch.draw("background", [(3, 0), (3, 3)])
print(sketch.labels)
sketch.undo()
assert (sketch.labels[1, 1:6] == 1).all()
sketch.reset()
assert (sketch.labels == VOID).all()
sketch.undo()
assert (sketch.labels[1, 1:6] == 1).all()

# %% [markdown]
# ## And what does the program answer?
#
# A canvas is a sketch on a picture, with sliders beside it and a
# function that is asked for a mask after every change. The function
# gets the canvas, and may look at whatever it likes there.

# %% tags=["export"]
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
    """

    name: str
    low: float
    high: float
    start: float
    step: float = 1
    marks: Mapping = field(default_factory=dict)

# %% tags=["export"]
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

# %% tags=["export"]
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

# %% tags=["export"]
def _within(sliders, name, value):
    if name not in sliders:
        raise ValueError(f"name is {name!r}; needed: one of"
                         f" {', '.join(sliders) or '(there are none)'}")
    low, high = sliders[name].low, sliders[name].high
    if not low <= value <= high:
        raise ValueError(f"value is {value}; needed: {low} to {high}")
    return value

# %% [markdown]
# The mask is computed when somebody wants to see it, and kept until
# something changes. A first function to ask: a pixel is coin if its
# colour is nearer to the mean of what we painted as coin than to the
# mean of what we painted as cloth. (Chapter 09 has better ideas of what
# a colour belongs to, and the same two pens.)

# %%
def nearer(study):
    means = [study.picture[study.labels == label].mean(axis=0)
             for label in (0, 1) if (study.labels == label).any()]
    if len(means) == 2:
        cloth, coin = (np.linalg.norm(study.picture - mean, axis=-1)
                       for mean in means)
        return coin < cloth

# %%
study = Study(data.coins(), "Four rows of six coins on a dark cloth.",
              (BOX, FOREGROUND, BACKGROUND), segment=nearer,
              classes=("cloth", "coin"))
assert study.mask is None
study.draw("foreground", [(35, 60), (56, 40)])
study.draw("background", [(370, 290), (10, 290), (10, 130)])
assert study.mask.shape == study.size
assert study.mask[study.labels == 1].mean() > 0.9

# %% [markdown]
# ## How is it shown?
#
# To the browser the mask goes as a second picture, to lie over the
# first: its colours half transparent, its rim opaque, and nothing at
# all where the label is 0. A PNG can do that with a palette of 31
# entries, one byte for each pixel before packing, so that an answer
# weighs little even for a large photograph.

# %% tags=["export"]
def _png(array, palette=None, **options) -> bytes:
    buffer, image = io.BytesIO(), Image.fromarray(array)
    if palette is not None:
        image.putpalette(palette.ravel().tolist())
    image.save(buffer, "png", compress_level=1, **options)
    return buffer.getvalue()

# %% tags=["export"]
def overlay_png(mask: np.ndarray, palette=PALETTE) -> bytes:
    """A mask's colours on a transparent ground, as a PNG.

    Parameters
    ----------
    mask : (H, W) bool or integer array
        As for `seglib.display.paint`; VOID is transparent too.
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

# %% [markdown]
# For those who do not see it, and for those who do, one sentence says
# how things stand. It is read aloud after each change.

# %% tags=["export"]
def summary(study: Study) -> str:
    """What was drawn, where the sliders stand, and what is marked."""
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

# %%
summary(study)

# %% [markdown]
# And in a book, where nobody can draw, there is a still picture: the
# same marks in the same colours, each with a dark rim so that it stands
# out on any ground. Of several boxes only the last is shown, as only
# the last counts; of a large photograph, every second or third pixel.

# %% tags=["export"]
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

# %% tags=["export"]
def still(study: Study) -> Picture:
    """A picture of the canvas as it stands, with its words."""
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

# %%
study.draw("box", [(15, 20), (80, 80)])
still(study)

# %% [markdown]
# ## Two ends of a wire
#
# Python runs in one process, the browser in another, perhaps on another
# continent. [anywidget](https://anywidget.dev) joins them: an object
# in Python whose *traits* are copied to the browser whenever they
# change, and a message back.
#
# Both ends could keep the state; then they could disagree. So only
# **Python keeps it**. The browser sends wishes and shows what comes
# back:
#
# | from the browser | meaning |
# |---|---|
# | `draw`, tool, places | a stroke, a box or a dot is finished |
# | `undo`, `reset` | |
# | `slide`, name, value | a slider was moved |
# | `act`, name | a button was pressed |
#
# | trait | from Python |
# |---|---|
# | `page`, `image` | size, tools, sliders; the picture as PNG: once |
# | `acts`, `values` | what is drawn, where the sliders stand |
# | `overlay`, `status` | the mask as PNG; the sentence |
# | `heard`, `turn` | number of the wish that this answers; a count |

# %% tags=["export"]
@functools.cache
def view_class():
    """The class of the browser's end, made when it is first needed."""
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

# %% [markdown]
# The class is made inside a function because anywidget is a guest here:
# chapters 04, 06 and 09 import this module, and whoever only wants
# their functions on a server need not have it.
#
# A wish arrives; it is granted, or the reason why not is what the
# reader gets to see. Whatever a wish does ends in `_tell`.

# %% tags=["export"]
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

# %% tags=["export"]
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

# %% tags=["export"]
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

# %% [markdown]
# At the other end, wishes wait in a line, and the next one goes when
# the last has been answered. A slider that is dragged asks for a
# hundred places; if the answer takes a second, ninety-nine of them are
# of no interest any more:

# %%
javascript("ask")

# %% [markdown]
# ## The canvas itself
#
# What is left is a study that tells the browser, and knows how to show
# itself: live where that is possible, still otherwise. A notebook that
# is saved and printed keeps the still picture; where `SEGLIB_WIDGETS`
# is `off`, as when this book is made, nothing else is put into it.

# %% tags=["export"]
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

# %% tags=["export"]
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

# %% [markdown]
# Here it is. In JupyterLab you can draw on it now; in the book you see
# what a second stroke on the cloth, where it is brightest, has made of
# the mask above.

# %%
canvas = Canvas(data.coins(), "Four rows of six coins on a dark cloth.",
                tools=(FOREGROUND, BACKGROUND), segment=nearer,
                classes=("cloth", "coin"))
canvas.draw("foreground", [(35, 60), (56, 40)])
canvas.draw("background", [(370, 290), (10, 290), (10, 130)])
before = canvas.mask
canvas.draw("background", [(10, 8), (230, 8)])
canvas

# %%
upper, lower = np.split(np.arange(303), [150])
for name, rows in (("upper", upper), ("lower", lower)):
    print(f"{name} half: {before[rows].mean():.0%} coin before,"
          f" {canvas.mask[rows].mean():.0%} after")
assert (before & ~canvas.mask)[lower].sum() > 100

# %% [markdown]
# **What went wrong?** The stroke was meant for the upper edge, and it
# has taken something from the coins at the bottom too: a mean is all
# that this function keeps of a pen, and it forgets where the pen was. A
# person can mend a mask only if the function is able to listen.
#
# ## And without a mouse?
#
# Everything works with the keyboard alone. Tab reaches the picture;
# arrow keys move a cursor, with Shift pixel by pixel; Space begins a
# stroke or a box and ends it. Hand and keys share the same steps
# (`begin`, `extend`, `finish`, `cancel`), so that they cannot drift
# apart:

# %%
javascript("onKey")

# %% [markdown]
# A screen reader is given a name for each control, hears which tool is
# pressed and where the cursor is, and after each change the sentence
# above: what was drawn, and how large a share is marked. It does not
# hear the picture. What a box should go around, only the `alt` can
# tell; write it for somebody who has to place one.

# %% [markdown]
# ## A canvas of your own
#
# ```{exercise}
# :label: canvas-count
# Make a canvas for counting: each click marks a coin with a disc, and
# the sentence says how many there are.
# ```
#
# ```{dropdown} Hint
# A tool of kind "point", and a wide pen. The sentence counts acts.
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} canvas-count
# :class: dropdown
# ````

# %% tags=["solution"]
coins = Canvas(data.coins(), "Four rows of six coins.", pen=12,
               tools=[Tool("coin", "point", 1, (86, 200, 255))],
               segment=lambda study: study.labels == 1)
for x, y in ((46, 51), (105, 45), (164, 45)):
    coins.draw("coin", [(x, y)])
assert len(coins.points("coin")) == 3 and coins.labels[45, 164] == 1
coins

# %% [markdown] tags=["solution"]
# ````{solution-end}
# ````
