"""The canvas without a browser, against scikit-image, OpenCV and by hand.

The same in a browser: tests/test_canvas_in_jupyterlab.py.
"""
import builtins
import io
import subprocess
import sys

import cv2
import numpy as np
import pytest
import seglib.canvas as canvas_module
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from seglib.canvas import (BACKGROUND, BOX, FOREGROUND, Canvas, Sketch,
                           Slider, Study, Tool, box_around, overlay_png,
                           still, stroke, summary)
from seglib.display import PALETTE, VOID
from skimage import draw, measure

PLACES = st.lists(st.tuples(st.integers(-9, 40), st.integers(-9, 30)),
                  min_size=1, max_size=5)
SIZE = (23, 31)
PENS = (FOREGROUND, BACKGROUND)


# Strokes

@given(st.integers(-5, 35), st.integers(-5, 28), st.floats(0.5, 9))
def test_a_dot_is_a_disc(x, y, radius):
    """scikit-image's disc leaves its rim out, ours holds it."""
    wanted = np.zeros(SIZE, bool)
    wanted[draw.disk((y, x), radius + 1e-6, shape=SIZE)] = True
    assert np.array_equal(stroke([(x, y)], SIZE, radius), wanted)


@given(PLACES, st.floats(0.5, 6))
def test_a_stroke_is_a_disc_that_moves(places, radius):
    """Discs at 400 places a piece of the way, but for a sliver."""
    marked = stroke(places, SIZE, radius)
    inner, outer = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    for (x, y), (u, v) in zip(places, places[1:] or places):
        for t in np.linspace(0, 1, 400):
            middle = (y + t * (v - y), x + t * (u - x))
            for mask, slack in (inner, -1e-6), (outer, 0.02):
                mask[draw.disk(middle, radius + slack, shape=SIZE)] = True
    assert not (inner & ~marked).any() and not (marked & ~outer).any()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 22)),
                min_size=2, max_size=2, unique=True))
def test_the_thinnest_pen_leaves_no_hole(ends):
    (x, y), (u, v) = ends
    marked = stroke(ends, SIZE, 0.5)
    assert marked[draw.line(y, x, v, u)].all()
    assert measure.label(marked, connectivity=2).max() == 1


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 200)),
                min_size=2, max_size=6), st.integers(3, 20))
def test_about_what_opencv_draws(places, radius):
    theirs = np.zeros((201, 301), np.uint8)
    cv2.polylines(theirs, [np.array(places, np.int32)], False, 1,
                  2 * radius + 1)
    least, most = (stroke(places, theirs.shape, radius + slack)
                   for slack in (-2, 2))
    assert theirs[least].all() and not theirs[~most].any()


@given(PLACES, st.floats(0.5, 6))
def test_what_lies_outside_is_cut_off(places, radius):
    small = stroke(places, SIZE, radius)
    shifted = np.asarray(places) + 50
    large = stroke(shifted, (130, 140), radius)
    assert np.array_equal(small, large[50:73, 50:81])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 1000)])
def test_a_stroke_on_odd_sizes(size):
    marked = stroke([(0, 0), (2000, 2000)], size, 2)
    assert marked.shape == size and marked[0, 0]
    assert not stroke([(-9, -9)], size, 2).any()


@pytest.mark.parametrize("points, radius, said", [
    ([], 3, "points has shape (0,)"),
    ([3, 4], 3, "points has shape (2,)"),
    ([(1, 2, 3)], 3, "points has shape (1, 3)"),
    ([(1, np.nan)], 3, "points holds NaN"),
    ([(1, 2)], 0, "radius is 0"),
    ([(1, 2)], float("nan"), "radius is nan"),
])
def test_strokes_that_are_none(points, radius, said):
    with pytest.raises(ValueError) as error:
        stroke(points, SIZE, radius)
    assert said in str(error.value) and "\n" not in str(error.value)


# Boxes

@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 22)),
                min_size=2, max_size=2))
def test_a_box_is_opencvs_bounding_rectangle(corners):
    x, y, w, h = cv2.boundingRect(np.array(corners, np.int32))
    assert box_around(corners, SIZE) == (y, x, y + h, x + w)


@given(PLACES)
def test_a_box_is_cut_to_the_image(places):
    (left, top), (right, bottom) = np.min(places, 0), np.max(places, 0)
    mask = np.zeros((99, 99), bool)
    mask[top + 20:bottom + 21, left + 20:right + 21] = True
    inside = mask[20:43, 20:51]
    box = box_around(places, SIZE)
    if box is None:
        assert not inside.any()
    else:
        top, left, bottom, right = box
        assert inside[top:bottom, left:right].all()
        assert inside.sum() == (bottom - top) * (right - left)


# Acts

def sketch():
    return Sketch((20, 30), (BOX, *PENS), pen=1)


def test_a_later_stroke_wins():
    s = sketch()
    s.draw("foreground", [(5, 10), (25, 10)])
    s.draw("background", [(15, 5), (15, 15)])
    assert s.labels[10, 15] == 0 and s.labels[10, 5] == 1
    s.draw("foreground", [(15, 10)])
    assert s.labels[10, 15] == 1 and s.labels[5, 15] == 0


def test_what_nobody_touched_is_void():
    s = sketch()
    assert (s.labels == VOID).all() and s.box is None
    s.draw("box", [(3, 3), (9, 9)])
    assert (s.labels == VOID).all() and s.box == (3, 3, 10, 10)


def test_the_last_box_counts():
    s = sketch()
    s.draw("box", [(3, 3), (9, 9)])
    s.draw("foreground", [(1, 1)])
    s.draw("box", [(8, 7), (1, 2)])
    assert s.box == (2, 1, 8, 9)
    s.undo()
    assert s.box == (3, 3, 10, 10)


@given(st.lists(st.sampled_from(["draw", "undo", "reset"]), max_size=12))
def test_undo_is_the_last_state_but_one(verbs):
    """Told by remembering every state, which we do not."""
    s, states, number = sketch(), [()], 0
    for verb in verbs:
        if verb == "draw":
            number += 1
            s.draw("foreground", [(number, 1)])
            states.append(states[-1] + (number,))
        elif verb == "reset":
            s.reset()
            states += [()] * bool(states[-1])
        else:
            s.undo()
            states = states[:-1] or [()]
        assert tuple(x for _, x in s.points("foreground")) == states[-1]


def test_points_are_rows_and_columns():
    s = Sketch((20, 30), [Tool("seed", "point", 3)], pen=0.5)
    s.draw("seed", [(25, 4)])
    assert s.points("seed") == [(4, 25)] and s.points("other") == []
    assert s.labels[s.points("seed")[0]] == 3
    assert (s.labels != VOID).sum() == 1


def test_dots_are_counted_and_not_joined():
    s = Study(np.zeros((20, 30)), "Night.", [Tool("seed", "point", 3)],
              pen=0.5)
    s.draw("seed", [(25, 4), (5, 4)])
    assert summary(s) == "2 seed"
    assert (s.labels == 3).sum() == 2 and s.labels[4, 15] == VOID


@pytest.mark.parametrize("tool, points, said", [
    ("brush", [(1, 2)], "tool is 'brush'; needed: one of box, foreground"),
    ("box", "here", "could not convert"),
    ("box", [(1, float("inf"))], "points holds NaN or infinity"),
])
def test_what_cannot_be_drawn_changes_nothing(tool, points, said):
    s = sketch()
    s.draw("box", [(1, 1), (2, 2)])
    with pytest.raises(ValueError, match=said):
        s.draw(tool, points)
    assert len(s.acts) == 1


def test_a_tool_of_no_kind():
    with pytest.raises(ValueError, match="kind is 'lasso'; needed: box"):
        Tool("lasso", "lasso")


@pytest.mark.parametrize("size, pen", [
    ((1, 1), 0.5), ((40, 60), 1), ((400, 600), 6), ((3000, 4000), 40)])
def test_a_pen_fits_its_picture(size, pen):
    assert Sketch(size).pen == pen


# A study: the mask, when it is asked for

def test_the_mask_is_computed_once_for_each_change():
    asked = []
    study = Study(np.zeros((5, 7)), "Night.", [FOREGROUND],
                  [Slider("t", 0, 9, 3)], pen=0.5,
                  segment=lambda s: asked.append(s.values["t"])
                  or s.labels == 1)
    assert not asked
    study.draw("foreground", [(2, 2)])
    assert study.mask.sum() == 1 and study.mask is study.mask
    study.slide("t", 4)
    study.draw("foreground", [(4, 2)])
    assert study.mask.sum() == 2 and asked == [3, 4]
    study.undo()
    assert study.mask.sum() == 1


@pytest.mark.parametrize("name, value, said", [
    ("u", 3, "name is 'u'; needed: one of t"),
    ("t", 10, "value is 10; needed: 0 to 9"),
    ("t", float("nan"), "value is nan"),
])
def test_a_slider_stays_in_its_range(name, value, said):
    study = Study(np.zeros((5, 7)), "Night.", sliders=[Slider("t", 0, 9, 3)])
    with pytest.raises(ValueError, match=said):
        study.slide(name, value)
    assert study.values == {"t": 3}


def test_a_mask_of_another_size_is_refused():
    study = Study(np.zeros((5, 7)), "Night.", segment=lambda s: np.eye(3))
    with pytest.raises(ValueError, match=r"returned shape \(3, 3\)"):
        study.mask


@pytest.mark.parametrize("image", [
    np.zeros((0, 5, 3), np.uint8), np.zeros(5), np.zeros((2, 2, 4), np.uint8),
    np.full((2, 2), np.nan), np.zeros((2, 2), np.int32)])
def test_no_picture(image):
    with pytest.raises((ValueError, TypeError), match="image has"):
        Canvas(image, "Nothing.")


@pytest.mark.parametrize("dtype, white", [
    (np.uint8, 255), (np.uint16, 65535), (float, 1), (bool, True)])
def test_pictures_of_any_kind_look_the_same(dtype, white):
    grey = np.zeros((2, 3), dtype)
    grey[1, 1] = white
    picture = Study(grey, "One.").picture
    assert picture.dtype == np.uint8 and picture.shape == (2, 3, 3)
    if dtype is not bool:               # a mask is painted
        assert picture.sum() == 3 * 255


# What is shown

def read(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def test_the_overlay_is_clear_over_the_ground_and_void():
    mask = np.zeros((9, 12), np.uint8)
    mask[2:8, 2:8], mask[0, 11] = 1, VOID
    seen = read(overlay_png(mask))
    assert (seen[..., 3][mask != 1] == 0).all()
    assert (seen[mask == 1][:, :3] == PALETTE[1]).all()
    assert seen[4, 4, 3] == 120 and seen[2, 4, 3] == 255


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.int64])
def test_the_overlay_of_any_integers(dtype):
    mask = np.zeros((3, 40), dtype)
    mask[:, 20:] = 1
    assert (read(overlay_png(mask))[..., 3] > 0).sum() == 60


def test_the_overlay_starts_its_colours_again_as_paint_does():
    from seglib.display import paint
    mask = np.arange(0, 300, 7).reshape(1, -1)
    mask[mask == VOID] = 0
    seen = read(overlay_png(mask))[mask > 0]
    assert (seen[:, :3] == paint(mask)[mask > 0]).all()
    assert (seen[:, 3] > 0).all()


def test_the_sentence():
    study = Study(np.zeros((10, 10)), "Night.", (BOX, *PENS),
                  [Slider("t", 0, 9, 3.5)], pen=0.5,
                  segment=lambda s: s.labels == 1 if s.acts else None)
    assert summary(study) == "nothing drawn; t 3.5"
    study.draw("foreground", [(0, 5), (9, 5)])
    study.draw("box", [(0, 0), (3, 3)])
    study.draw("foreground", [(0, 6), (9, 6)])
    assert summary(study) == ("2 foreground, 1 box; t 3.5;"
                              " ground 80 %, marked 20 %")


def seen_in(picture):
    import base64
    import re
    png = re.search(r'base64,([^"]+)"', picture.html)[1]
    return read(base64.b64decode(png))[..., :3]


def test_the_still_picture_shows_marks_and_says_so():
    study = Study(np.zeros((40, 60), np.uint8), "Night.", (BOX, *PENS), pen=2)
    study.draw("box", [(1, 1), (5, 5)])
    study.draw("foreground", [(10, 20), (50, 20)])
    study.draw("box", [(30, 5), (50, 35)])
    picture = still(study)
    seen = seen_in(picture)
    assert picture.alt == "Night. Here: 2 box, 1 foreground."
    assert (seen[20, 15] == FOREGROUND.colour).all()
    assert (seen[5, 30] == BOX.colour).all()
    assert (seen[35, 50] == BOX.colour).all()
    assert not seen[1:6, 1:6].any()             # only the last box
    assert not seen[12, 40].any()               # and it is hollow


def test_a_large_picture_stands_still_too():
    study = Study(np.zeros((1000, 5000, 3), np.uint8), "Night.", PENS)
    study.draw("background", [(100, 500), (4900, 500)])
    seen = seen_in(still(study))
    assert seen.shape[1] <= 1667 and (seen[:, 90].max(axis=0) > 150).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 900), (7, 1)])
def test_pictures_of_odd_sizes_stand_still(size):
    study = Study(np.zeros(size), "Night.", (BOX, *PENS))
    study.draw("box", [(0, 0), (size[1], size[0])])
    study.draw("foreground", [(0, 0)])
    assert "1 box" in still(study).alt


# The browser's end, without a browser

@pytest.fixture
def live():
    pytest.importorskip("anywidget")
    canvas = Canvas(np.zeros((20, 30), np.uint8), "Night.",
                    tools=(BOX, *PENS), sliders=[Slider("t", 0, 9, 3)],
                    segment=lambda s: s.labels == 1 if s.acts else None,
                    actions={"save": lambda: "Saved it.",
                             "fail": lambda: open("/no/such/file")}, pen=1)
    data, _ = canvas._repr_mimebundle_()
    assert data["text/plain"].startswith("Night.")
    return canvas, data


def wish(canvas, do, *rest, id="1"):
    canvas.view._handle_custom_msg({"do": do, "with": rest, "id": id}, [])


def test_a_notebook_gets_the_live_canvas_and_the_still(live):
    canvas, data = live
    about = data["application/vnd.jupyter.widget-view+json"]
    assert about["model_id"] == canvas.view.model_id
    assert "<img" in data["text/html"]
    assert canvas.view.page["width"] == 30 and canvas.view.page["height"] == 20
    assert (read(canvas.view.image)[..., :3] == 0).all()
    assert canvas.view.status == "nothing drawn; t 3"


def test_a_wish_is_granted_and_answered(live):
    canvas, _ = live
    wish(canvas, "draw", "foreground", [[3, 4], [9, 4]], id="a")
    assert canvas.view.heard == "a"
    assert canvas.view.acts == [{"tool": "foreground",
                                 "points": ((3, 4), (9, 4))}]
    overlay = read(canvas.view.overlay)[..., 3] > 0
    assert np.array_equal(overlay, canvas.mask) and overlay.any()
    assert "1 foreground" in canvas.view.status
    wish(canvas, "slide", "t", 5, id="b")
    assert canvas.view.values == {"t": 5} and canvas.values == {"t": 5}
    wish(canvas, "undo", id="c")
    assert canvas.view.acts == [] and canvas.view.overlay == b""
    wish(canvas, "act", "save", id="d")
    assert canvas.view.status.startswith("Saved it. nothing drawn")
    wish(canvas, "draw", "box", [[1, 1], [5, 5]], id="e")
    assert "Saved" not in canvas.view.status


@pytest.mark.parametrize("do, rest, said", [
    ("draw", ("brush", [[1, 1]]), "tool is 'brush'"),
    ("draw", ("box", [[1, None]]), "NaN"),
    ("slide", ("t", 99), "value is 99"),
    ("act", ("fail",), "/no/such/file"),
])
def test_a_wish_that_cannot_be_granted_says_why(live, do, rest, said):
    canvas, _ = live
    wish(canvas, do, *rest, id="x")
    assert said in canvas.view.status and canvas.view.heard == "x"
    assert canvas.acts == () and canvas.values == {"t": 3}


def test_a_function_that_fails_is_reported_where_one_draws(live):
    canvas, _ = live
    canvas.segment = lambda study: 1 / 0
    wish(canvas, "draw", "foreground", [[3, 4]], id="y")
    assert canvas.view.status == "ZeroDivisionError: division by zero"
    assert canvas.view.overlay == b"" and canvas.view.heard == "y"
    assert len(canvas.acts) == 1


def test_python_can_draw_on_a_canvas_that_is_shown(live):
    canvas, _ = live
    turn = canvas.view.turn
    canvas.draw("box", [(1, 1), (4, 4)])
    assert canvas.view.turn == turn + 1
    assert [act["tool"] for act in canvas.view.acts] == ["box"]


def test_the_browser_sees_only_the_last_box(live):
    canvas, _ = live
    for corner in (4, 5, 5):
        canvas.draw("box", [(1, 1), (corner, corner)])
    assert [act["points"] for act in canvas.view.acts] == [((1, 1), (5, 5))]


def test_the_book_gets_the_still_picture_alone(monkeypatch):
    monkeypatch.setenv("SEGLIB_WIDGETS", "off")
    canvas = Canvas(np.zeros((4, 6)), "Night.")
    data = canvas._repr_mimebundle_()
    assert set(data) == {"text/html", "text/plain"} and canvas.view is None


def test_without_anywidget_one_line_says_what_to_install(monkeypatch):
    canvas_module.view_class.cache_clear()
    real = builtins.__import__

    def missing(name, *rest, **more):
        if name == "anywidget":
            raise ModuleNotFoundError("No module", name=name)
        return real(name, *rest, **more)
    monkeypatch.setattr(builtins, "__import__", missing)
    data = Canvas(np.zeros((4, 6)), "Night.")._repr_mimebundle_()
    assert data["text/html"].count("pip install anywidget") == 1
    assert "<img" in data["text/html"]


def test_anywidget_is_not_imported_before_it_is_needed():
    code = ("import sys, seglib.canvas; print(any(m.split('.')[0] in"
            " ('anywidget', 'ipywidgets', 'traitlets') for m in sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], check=True,
                          capture_output=True, text=True)
    assert done.stdout.strip() == "False"
