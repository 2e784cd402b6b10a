"""seglib.display: pictures that are right, readable, and never wordless."""
import base64
import io
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from seglib import display
from seglib.display import (ERROR_COLOURS, PALETTE, STYLE, VOID, as_float,
                            describe, errors, figure, outlines, overlay,
                            paint, show)
from skimage import color, segmentation, util

STRIPES = {(38, 40, 46), (212, 215, 222)}
SIZES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)
MASKS = hnp.arrays(np.uint8, SIZES, elements=st.sampled_from(
    [0, 1, 2, 3, VOID]))


def colours_of(picture):
    return {tuple(c) for c in picture.reshape(-1, 3).tolist()}


class Page(HTMLParser):
    """What a browser finds in a piece of HTML."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.images, self.open, self.text = [], [], [], []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attributes))
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def pictures(self):
        for image in self.images:
            kind, data = image["src"].split(",")
            assert kind == "data:image/png;base64"
            with Image.open(io.BytesIO(base64.b64decode(data))) as opened:
                yield np.array(opened)


def page(picture):
    return Page(picture._repr_html_())


# as_float

@given(hnp.arrays(st.sampled_from([np.bool_, np.uint8, np.uint16]),
                  hnp.array_shapes(max_dims=3, max_side=5)))
def test_as_float_agrees_with_scikit_image(image):
    ours = as_float(image)
    assert ours.dtype == np.float32 and ours.shape == image.shape
    np.testing.assert_allclose(ours, util.img_as_float32(image), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_as_float_keeps_floats(dtype):
    image = np.array([[0, 0.25, 1]], dtype=dtype)
    assert as_float(image).tolist() == [[0, 0.25, 1]]


def test_as_float_forgives_double_rounding():
    assert as_float(np.array([1 + 2e-16])) == 1


@pytest.mark.parametrize("bad", [1.5, -0.1, 255.0, np.nan, np.inf, 1e300])
def test_as_float_rejects_floats_off_the_scale(bad):
    with pytest.raises(ValueError, match="image has floats from .* needed"):
        as_float(np.array([[0.5, bad]]))


@pytest.mark.parametrize("dtype", [np.int64, np.uint32, np.complex64, object])
def test_as_float_rejects_dtypes_without_a_white(dtype):
    with pytest.raises(TypeError, match="image has dtype .* needed"):
        as_float(np.zeros((2, 2), dtype=dtype))


def test_as_float_of_nothing_is_nothing():
    assert as_float(np.zeros((0, 3), np.uint8)).shape == (0, 3)


# The palette. Machado et al. (2009), severity 1; light is linear RGB.

EYES = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868],
                   [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968],
                     [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
}


def difference(eyes, one, other):
    """CIEDE2000 between two sRGB colours as seen by these eyes."""
    def lab(rgb):
        c = np.array(rgb) / 255
        light = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055)**2.4)
        light = np.clip(np.array(EYES[eyes]) @ light, 0, 1)
        xyz = light @ np.array([[0.412453, 0.357580, 0.180423],
                                [0.212671, 0.715160, 0.072169],
                                [0.019334, 0.119193, 0.950227]]).T
        return color.xyz2lab(xyz)
    return float(color.deltaE_ciede2000(lab(one), lab(other)))


@pytest.mark.parametrize("eyes", EYES)
def test_palette_keeps_classes_apart(eyes):
    n = len(PALETTE)
    gap = {(i, j): difference(eyes, PALETTE[i], PALETTE[j])
           for j in range(n) for i in range(j)}
    assert n == 16
    assert min(gap[i, i + 1] for i in range(n - 1)) >= 20
    assert min(v for (i, j), v in gap.items() if j < 8) >= 17
    assert min(gap.values()) >= 10


@pytest.mark.parametrize("eyes", EYES)
def test_error_colours_keep_apart(eyes):
    for group in (["right", "ground", "missed", "false alarm"],
                  ["right", "wrong"]):
        for a in group:
            for b in group:
                assert a == b or difference(
                    eyes, ERROR_COLOURS[a], ERROR_COLOURS[b]) >= 20


def test_ground_recedes_and_class_one_stands_out():
    lightness = color.rgb2lab(PALETTE[:2] / 255)[:, 0]
    assert lightness[0] > 80 and lightness[1] < 45


# paint

@given(MASKS)
def test_paint_gives_each_label_its_colour_and_void_stripes(mask):
    picture = paint(mask)
    assert picture.shape == (*mask.shape, 3) and picture.dtype == np.uint8
    for label in range(4):
        assert (picture[mask == label] == PALETTE[label]).all()
    assert colours_of(picture[mask == VOID][None]) <= STRIPES


def test_void_looks_like_no_class():
    picture = paint(np.full((240, 320), VOID, np.uint8))
    assert colours_of(picture) == STRIPES
    assert not STRIPES & {tuple(c) for c in PALETTE.tolist()}


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int32, np.int64])
def test_paint_takes_bool_and_integers(dtype):
    mask = np.array([[0, 1, 1]], dtype=dtype)
    assert paint(mask).tolist() == [[PALETTE[k].tolist() for k in (0, 1, 1)]]


def test_paint_starts_again_at_the_second_colour():
    mask = np.array([[0, 15, 16, 17, 31, 300]])
    assert paint(mask).tolist() == [
        [PALETTE[k].tolist() for k in (0, 15, 1, 2, 1, 15)]]


@pytest.mark.parametrize("bad, error", [
    (np.zeros((2, 2)), TypeError), (np.zeros((2, 2, 3), int), ValueError),
    (np.zeros(4, int), ValueError), (np.array([[0, -1]]), ValueError)])
def test_paint_names_what_is_wrong_with_a_mask(bad, error):
    with pytest.raises(error, match="mask has .* needed: "):
        paint(bad)


def test_paint_of_nothing_is_nothing():
    assert paint(np.zeros((0, 5), np.uint8)).shape == (0, 5, 3)


# outlines and overlay

@settings(deadline=None)
@given(MASKS)
def test_outlines_agree_with_scikit_image(mask):
    theirs = segmentation.find_boundaries(mask, connectivity=1, mode="thick")
    np.testing.assert_array_equal(outlines(mask), theirs)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_wide_outlines_lie_on_both_sides(width):
    mask = np.zeros((9, 31), bool)
    mask[:, 15:] = True
    columns = np.flatnonzero(outlines(mask, width).all(axis=0))
    assert columns.tolist() == list(range(15 - width, 15 + width))
    assert outlines(mask, width).sum() == 9 * 2 * width
    assert (outlines(mask.T, width) == outlines(mask, width).T).all()


def test_overlay_leaves_label_0_alone_and_mixes_the_rest():
    image = np.full((3, 8), 200, np.uint8)
    mask = np.array([[0] * 4 + [1] * 4] * 3)
    mixed = overlay(image, mask, opacity=0.5, outline=False)
    assert (mixed[:, :4] == 200).all()
    assert np.abs(mixed[:, 4:].astype(float)
                  - (PALETTE[1] / 2 + 100)).max() <= 0.5
    rimmed = overlay(image, mask, opacity=0.5)
    assert (rimmed[:, 4] == PALETTE[1]).all()
    assert (rimmed[:, :4] == 200).all()
    assert (rimmed[:, 5:] == mixed[:, 5:]).all()


@given(MASKS, st.booleans())
def test_overlay_at_full_and_no_opacity(mask, outline):
    image = np.arange(mask.size, dtype=np.uint8).reshape(mask.shape)
    full = overlay(image, mask, opacity=1, outline=outline)
    assert (full[mask > 0] == paint(mask)[mask > 0]).all()
    none = overlay(image, mask, opacity=0, outline=False)
    assert (none == image[..., None]).all()


def test_overlay_takes_every_kind_of_image():
    mask = np.zeros((2, 3), int)
    grey = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)
    for image in (grey, grey / 255, grey.astype(np.uint16) * 257,
                  np.repeat(grey[..., None], 3, axis=2)):
        assert (overlay(image, mask) == grey[..., None]).all()


@pytest.mark.parametrize("image, mask, opacity", [
    (np.zeros((3, 4)), np.zeros((4, 3), int), 0.5),
    (np.zeros((3, 4)), np.zeros((3, 4), int), 1.5),
    (np.zeros((3, 4)), np.zeros((3, 4), int), np.nan),
    (np.zeros((3, 4, 4)), np.zeros((3, 4), int), 0.5)])
def test_overlay_names_what_is_wrong(image, mask, opacity):
    with pytest.raises(ValueError, match="needed: "):
        overlay(image, mask, opacity)


# errors

def test_errors_of_two_classes_by_hand():
    pred = np.array([[1, 0, 0, 1, 1, VOID, VOID]])
    target = np.array([[1, 1, 0, 0, VOID, 1, 0]])
    picture = errors(pred, target)
    for x, name in enumerate(["right", "missed", "ground", "false alarm",
                              None, "missed", "false alarm"]):
        if name:
            assert tuple(picture[0, x]) == ERROR_COLOURS[name]
    assert tuple(picture[0, 4].tolist()) in STRIPES


@given(st.data())
def test_errors_of_many_classes(data):
    target = data.draw(MASKS)
    pred = data.draw(hnp.arrays(np.uint8, target.shape,
                                elements=st.integers(0, 4)))
    pred.flat[0] = 4
    picture = errors(pred, target)
    known = target != VOID
    right = (picture == ERROR_COLOURS["right"]).all(axis=2)
    wrong = (picture == ERROR_COLOURS["wrong"]).all(axis=2)
    np.testing.assert_array_equal(right, known & (pred == target))
    np.testing.assert_array_equal(wrong, known & (pred != target))
    assert colours_of(picture[~known][None]) <= STRIPES


def test_errors_takes_bool_and_compares_shapes():
    half = np.array([[True, False]])
    assert (errors(half, half.astype(np.uint8)) == errors(half, half)).all()
    with pytest.raises(ValueError, match=r"pred is \(1, 2\).* needed"):
        errors(half, half.T)
    assert errors(half[:0], half[:0]).shape == (0, 2, 3)


# describe

def test_describe_orders_by_share_and_void_comes_last():
    mask = np.array([[255] * 5 + [1] * 3 + [0] * 2])
    assert describe(mask, ["sky", "road"]) == "road 30 %, sky 20 %, void 50 %"


def test_describe_of_small_and_single_classes():
    mask = np.zeros((20, 20), bool)
    assert describe(mask, ["ground", "coin"]) == "ground 100 %"
    mask[0, 0] = True
    assert describe(mask, ["ground", "coin"]).endswith("coin under 1 %")


@pytest.mark.parametrize("mask", [np.array([[0, 2]]), np.zeros((0, 4), int)])
def test_describe_rejects_nameless_labels_and_nothing(mask):
    with pytest.raises(ValueError, match="needed: pixels"):
        describe(mask, ["ground", "coin"])


# show

GREY = np.array([[0, 90, 200], [20, 160, 250]], np.uint8)


def test_show_embeds_exactly_the_pixels():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    shown = page(show(GREY, rgb, GREY > 100, alt="three"))
    grey, colour, mask = shown.pictures()
    assert (grey == GREY[..., None]).all() and (colour == rgb).all()
    assert (mask == paint(GREY > 100)).all()
    assert all("pixelated" in image["style"] for image in shown.images)


@pytest.mark.parametrize("shape", [(1000, 1601), (1601, 1000), (3000, 10),
                                   (10, 3000)])
def test_show_shrinks_large_pictures_and_keeps_their_shape(shape):
    [picture] = page(show(np.zeros(shape, np.uint8), alt="night")).pictures()
    h, w, _ = picture.shape
    assert w <= 800 and h * w <= 800 * 800
    assert abs(h - shape[0] * w / shape[1]) <= 1 or min(h, w) == 1


def test_show_gives_each_picture_its_words():
    shown = show(GREY, GREY, alt=['a "grey" <thing>', "b"],
                 titles=["1 < 2", ""])
    assert [i["alt"] for i in page(shown).images] == ['a "grey" <thing>', "b"]
    assert "1 < 2" in page(shown).text
    assert repr(shown) == 'a "grey" <thing> | b'


def test_show_takes_one_text_for_the_row():
    shown = show(GREY, GREY, alt="two greys")
    assert repr(shown) == "two greys"
    assert [i["alt"] for i in page(shown).images] == [
        "two greys (1 of 2)", "two greys (2 of 2)"]
    assert page(show(GREY, alt="one")).images[0]["alt"] == "one"


@pytest.mark.parametrize("arguments, keywords", [
    ((), {"alt": "nothing"}), ((GREY,), {"alt": ""}), ((GREY,), {"alt": " "}),
    ((GREY,), {"alt": []}), ((GREY,), {"alt": [None]}),
    ((GREY, GREY, GREY), {"alt": ["a", "b"]}), ((GREY, GREY), {"alt": [""]}),
    ((GREY,), {"alt": "a", "titles": ["x", "y"]}),
    ((GREY[:0],), {"alt": "a"}), ((GREY[0],), {"alt": "a"}),
    ((np.zeros((2, 2, 4)),), {"alt": "a"}), ((GREY / 100,), {"alt": "a"})])
def test_show_names_what_is_missing(arguments, keywords):
    with pytest.raises(ValueError, match="needed"):
        show(*arguments, **keywords)


def test_show_asks_for_alt_and_for_painted_labels():
    with pytest.raises(TypeError, match="alt"):
        show(GREY)
    with pytest.raises(TypeError, match="paint it first"):
        show(GREY.astype(int), alt="labels")


def test_legend_lists_what_is_to_be_seen():
    names = ["sky", "building", "pole", "road"]
    mask = np.array([[0, 0, 3, 3]])
    assert page(show(paint(mask), alt="a", classes=names)).text == [
        "sky", "road"]
    mask = np.array([[0, 0, 3, 3, 255, 255, 255]] * 3)
    assert page(show(paint(mask), alt="a", classes=names)).text == [
        "sky", "road", "void"]
    over = overlay(np.zeros((9, 7)), np.pad(mask, ((3, 3), (0, 0))))
    assert page(show(over, alt="a", classes=names)).text == ["road", "void"]
    wrong = errors(mask == 3, mask == 0)
    assert page(show(wrong, alt="a", legend=ERROR_COLOURS)).text == [
        "ground", "missed", "false alarm"]


def test_legend_is_whole_where_no_colour_is_pure():
    faint = overlay(np.zeros((2, 2)), np.ones((2, 2), int), 0.3, False)
    assert page(show(faint, alt="a", classes=["ground", "coin"])).text == [
        "ground", "coin"]


def test_a_grey_photograph_is_not_taken_for_void():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    shown = page(show(ramp, paint(ramp > 99), alt="a", classes=["a", "b"]))
    assert "void" not in shown.text


def test_show_leaves_the_page_its_colours():
    source = show(GREY, alt="a", titles=["t"])._repr_html_()
    assert {"style", "script", "link"}.isdisjoint(Page(source).tags)
    assert "color:inherit" in source
    assert "color:#" not in source and "color:rgb" not in source


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)),
                min_size=1, max_size=5),
       st.one_of(st.none(), st.integers(40, 300)))
def test_show_takes_any_sizes(shapes, height):
    row = show(*[np.zeros(s, np.uint8) for s in shapes], alt="black",
               height=height)
    assert [p.shape[:2] for p in page(row).pictures()] == shapes


# figure

@pytest.fixture
def plt():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    with pyplot.rc_context(STYLE):
        yield pyplot


def drawing(plt):
    fig, ax = plt.subplots()
    ax.plot([1, 3, 2], label="blue")
    ax.plot([2, 2, 2], color="black")
    ax.set_xlabel("grey <value>")
    ax.legend(frameon=True)
    return fig


def test_figure_takes_the_colours_of_the_page(plt):
    shown = figure(drawing(plt), alt='a "line" & more')
    root = ElementTree.fromstring(shown._repr_html_())
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'a "line" & more' == repr(shown)
    assert root.get("fill") == "currentColor"
    source = shown._repr_html_()
    assert "stroke: currentColor" in source and "#0072b2" in source.lower()
    assert "#000000" not in source and "#ffffff" not in source
    assert "<style" not in source and "<script" not in source
    assert "grey &lt;value&gt;" in source


def test_figure_is_closed_and_always_the_same(plt):
    fig = drawing(plt)
    number = fig.number
    first = figure(fig, alt="a line")
    assert not plt.fignum_exists(number)
    assert first == figure(drawing(plt), alt="a line")


def test_figures_share_no_names(plt):
    one, two = (ElementTree.fromstring(figure(drawing(plt), alt=alt).html)
                for alt in ("one", "two"))
    ids = [{e.get("id") for e in root.iter() if e.get("id")}
           for root in (one, two)]
    assert ids[0] and not ids[0] & ids[1]


@pytest.mark.parametrize("alt", ["", "  ", None, 3])
def test_figure_asks_for_words(plt, alt):
    with pytest.raises(ValueError, match="alt is .* needed"):
        figure(drawing(plt), alt=alt)
    plt.close("all")


def test_style_is_known_to_matplotlib(plt):
    assert set(STYLE) <= set(plt.rcParams)


def test_display_does_not_load_matplotlib():
    code = ("import sys, seglib.display;"
            "sys.exit(any(m in sys.modules for m in"
            " ('matplotlib', 'skimage', 'torch', 'scipy')))")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_all_names_are_documented():
    for name in display.__all__:
        thing = getattr(display, name)
        assert not callable(thing) or thing.__doc__
