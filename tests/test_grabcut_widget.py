"""GrabCut by hand, without a browser: the widget asks the function.

The same in a browser: tests/test_canvas_in_jupyterlab.py.
"""
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from seglib.datasets import SamplePictures
from seglib.display import VOID
from seglib.grabcut import GrabCutWidget, grabcut


@pytest.fixture(scope="module")
def image():
    return SamplePictures()["astronaut"].image[:240:2, 60:300:2]


@pytest.fixture
def widget(image, tmp_path):
    widget = GrabCutWidget(image, "An astronaut.", folder=tmp_path)
    widget.draw("box", [(12, 3), (112, 116)])
    return widget


def by_function(widget, image, **more):
    return grabcut(image, box=widget.box, scribbles=widget.scribbles, **more)


def test_the_mask_is_the_functions(widget, image):
    box = widget.mask
    assert box.dtype == bool and box.any()
    assert np.array_equal(box, grabcut(image, (3, 12, 117, 113)).mask)
    widget.draw("foreground", [(45, 100), (75, 112)])
    widget.draw("background", [(15, 60), (15, 100)])
    mask = widget.mask
    assert np.array_equal(mask, by_function(widget, image).mask)
    assert mask[widget.scribbles == 1].all()
    assert not mask[widget.scribbles == 0].any()
    assert not np.array_equal(mask, box)


def test_the_slider_is_gamma(widget, image):
    before = widget.mask
    widget.slide("gamma", 2)
    assert widget.gamma == 2
    assert np.array_equal(widget.mask, by_function(widget, image,
                                                   gamma=2).mask)
    assert not np.array_equal(widget.mask, before)


def test_undo_leads_back_to_the_same_mask(widget):
    before, result = widget.mask, widget.result
    assert np.array_equal(result.mask, before)
    widget.draw("foreground", [(45, 100), (75, 112)])
    assert widget.result is not result
    widget.undo()
    assert np.array_equal(widget.mask, before)
    widget.undo()
    assert widget.mask is None and widget.result is None


def test_strokes_that_contradict_the_later_one_wins(widget):
    widget.draw("foreground", [(40, 60), (80, 60)])
    widget.draw("background", [(60, 40), (60, 80)])
    assert widget.scribbles[60, 60] == 0 and widget.scribbles[60, 45] == 1
    assert not widget.mask[60, 60] and widget.mask[60, 45]
    assert (widget.scribbles == VOID).sum() > 10_000


def test_strokes_without_a_box(image):
    widget = GrabCutWidget(image)
    widget.draw("foreground", [(60, 30), (60, 50)])
    widget.draw("background", [(5, 5), (5, 100)])
    assert widget.box is None
    assert np.array_equal(widget.mask, by_function(widget, image).mask)


def test_a_box_around_everything_is_refused_in_words(image):
    pytest.importorskip("anywidget")
    widget = GrabCutWidget(image)
    widget._repr_mimebundle_()
    widget.draw("box", [(-5, -5), (500, 500)])
    assert "surely ground" in widget.view.status
    with pytest.raises(ValueError, match="surely ground"):
        widget.mask
    widget.undo()
    assert widget.view.status.startswith("nothing drawn")


def test_saving_never_overwrites(widget, tmp_path):
    assert widget.save() == "Saved mask.png."
    assert widget.save() == "Saved mask-2.png."
    assert widget.save(tmp_path / "mine.png") == "Saved mine.png."
    with pytest.raises(FileExistsError):
        widget.save(tmp_path / "mine.png")
    with pytest.raises(OSError):
        widget.save(tmp_path / "nowhere" / "mine.png")
    for name in "mask.png", "mask-2.png", "mine.png":
        saved = np.asarray(Image.open(tmp_path / name))
        assert np.array_equal(saved, widget.mask)
    assert {p.name for p in tmp_path.iterdir()} == {
        "mask.png", "mask-2.png", "mine.png"}


def test_nothing_to_save(image, tmp_path):
    with pytest.raises(ValueError, match="no mask yet; needed: a box"):
        GrabCutWidget(image, folder=tmp_path).save()
    assert not list(tmp_path.iterdir())


def test_the_widget_costs_importing_nothing():
    code = ("import sys, seglib.grabcut; print(any(m.split('.')[0] in"
            " ('anywidget', 'ipywidgets', 'torch') for m in sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], check=True,
                          capture_output=True, text=True)
    assert done.stdout.strip() == "False"
