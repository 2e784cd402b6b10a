"""seglib.grabcut against OpenCV, SciPy, the energy of chapter 08, and hands."""
import os
import subprocess
import sys

import cv2
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from seglib import grabcut as module
from seglib.clustering import GaussianMixture, colour_table
from seglib.datasets import SamplePictures
from seglib.display import VOID
from seglib.grabcut import (component_costs, correcting_stroke, grabcut,
                            known_pixels, loose_box)
from seglib.graph_cuts import contrast_weights, energy
from seglib.metrics import confusion_matrix, iou

settings.register_profile("compiling", deadline=None, max_examples=40,
                          suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("compiling")    # numba's first call takes seconds

CUP = SamplePictures()["coffee"]
COFFEE = np.ascontiguousarray(CUP.image[::2, ::2])
TRUTH = np.isin(CUP.mask[::2, ::2], (1, 2, 3, 4)).astype(np.uint8)
BOX = loose_box(TRUTH)
THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PAPER = dict(relax=1, coarse=False, centred=False)


def square(size=40, noise=6, channels=3, seed=0):
    """A bright square on a dark ground, its truth, and a box around it."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((size, size), np.uint8)
    truth[size // 4:3 * size // 4, size // 4:3 * size // 4] = 1
    grey = np.where(truth, 190, 60)[..., None]
    image = np.clip(rng.normal(grey, noise, (size, size, channels)), 0, 255)
    image = np.rint(image).astype(np.uint8)
    return (image if channels == 3 else image[..., 0]), truth, loose_box(
        truth, margin=1)


def score(mask, truth):
    return iou(confusion_matrix(mask, truth, 2))[1]


def opencv(image, box):
    state = np.zeros(image.shape[:2], np.uint8)
    top, left, bottom, right = box
    cv2.setRNGSeed(0)
    cv2.grabCut(np.ascontiguousarray(image[..., ::-1]), state,
                (left, top, right - left, bottom - top), np.zeros((1, 65)),
                np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_RECT)
    return (state & 1).astype(bool)


# What is known

def test_a_box_reads_like_a_slice():
    known = known_pixels((5, 7), (1, 2, 3, 6))
    assert (known[1:3, 2:6] == VOID).all()
    assert (known == VOID).sum() == 8 and (known == 0).sum() == 27


def test_strokes_win_over_the_box():
    strokes = np.full((4, 4), VOID, np.uint8)
    strokes[1, 1], strokes[2, 2] = 0, 1
    known = known_pixels((4, 4), (1, 1, 3, 3), strokes)
    assert known[1, 1] == 0 and known[2, 2] == 1
    assert known[1, 2] == known[2, 1] == VOID


def test_a_stroke_outside_makes_the_box_larger():
    strokes = np.full((9, 9), VOID, np.int64)
    strokes[7, 1] = 1
    known = known_pixels((9, 9), (2, 3, 5, 6), strokes)
    assert known[7, 1] == 1
    assert (known[2:8, 1:6] != 0).all() and (known != 0).sum() == 30


def test_strokes_alone_leave_the_rest_open():
    known = known_pixels((1, 3), None, [[0, VOID, 1]])
    assert known.tolist() == [[0, VOID, 1]]


@pytest.mark.parametrize("box", [
    (0, 0, 5, 5, 5), (1, 1, 1, 3), (3, 1, 2, 3), (-1, 0, 3, 3),
    (0, 0, 3, 8), (0.5, 0, 3, 3), "abcd", 7, (0, 0, np.nan, 3)])
def test_boxes_that_are_none(box):
    with pytest.raises(ValueError, match="^box is .*needed: whole numbers"):
        known_pixels((5, 7), box)


@pytest.mark.parametrize("strokes", [
    np.zeros((5, 6), int), np.full((5, 7), 2), np.full((5, 7), 0.5)])
def test_strokes_that_are_none(strokes):
    with pytest.raises(ValueError, match="^scribbles have"):
        known_pixels((5, 7), (1, 1, 3, 3), strokes)


@pytest.mark.parametrize("box, strokes", [
    (None, None), ((0, 0, 5, 7), None), (None, np.full((5, 7), VOID)),
    (None, np.ones((5, 7), int)), ((1, 1, 3, 3), np.zeros((5, 7), int))])
def test_some_must_be_surely_ground_and_not_all(box, strokes):
    with pytest.raises(ValueError, match="surely ground; needed: some"):
        known_pixels((5, 7), box, strokes)


def test_loose_box_by_hand():
    mask = np.zeros((100, 200), np.uint8)
    mask[40:60, 50:150] = 1
    assert loose_box(mask) == (37, 44, 63, 156)
    assert loose_box(mask, 0, 0) == (40, 50, 60, 150)
    assert loose_box(mask, 9, 0, margin=1) == (1, 1, 99, 199)
    mask[0, 0] = VOID
    assert loose_box(mask, 0, 0) == (40, 50, 60, 150)


# Costs and energy

@pytest.mark.parametrize("d", [1, 3])
def test_costs_are_scipys_and_chapter_07s(d):
    points = np.random.default_rng(1).random((300, d))
    mixture = GaussianMixture(3).fit(points)
    ours = component_costs(mixture, points)
    for k in range(3):
        theirs = -np.log(mixture.shares[k]) - stats.multivariate_normal(
            mixture.means[k], mixture.covariances[k]).logpdf(points)
        np.testing.assert_allclose(ours[k] + d * np.log(2 * np.pi) / 2,
                                   theirs, rtol=1e-9, atol=1e-9)
    together = special.logsumexp(-ours, axis=0) - d * np.log(2 * np.pi) / 2
    np.testing.assert_allclose(together, mixture.log_density(points))


def by_chapter_08(result, image, gamma):
    """The energy of a result, from its mixtures, over all pixels."""
    table = colour_table(image, 8 if image.ndim == 2 else 5)
    costs = np.stack([component_costs(m, table.colours).min(axis=0)
                      for m in result.mixtures], axis=-1)[table.index]
    return energy(result.mask, costs, contrast_weights(image, gamma))


@pytest.mark.parametrize("relax", [1, 0.25])
@pytest.mark.parametrize("image", [COFFEE, COFFEE[..., 1]])
def test_energy_is_that_of_chapter_08(image, relax):
    result = grabcut(image, BOX, relax=relax, coarse=False)
    np.testing.assert_allclose(result.energies[-1][-1],
                               by_chapter_08(result, image, 50 * relax),
                               atol=1)


@pytest.mark.parametrize("image", [COFFEE, COFFEE[..., 1]])
def test_energies_never_rise_on_the_cup(image):
    result = grabcut(image, BOX, iterations=15, **PAPER)
    assert sum(map(len, result.energies)) == 15
    for stage in grabcut(image, BOX, iterations=15).energies:
        assert (np.diff(stage) <= 1).all()
    for stage in result.energies:
        assert (np.diff(stage) <= 1).all()


tiny = hnp.arrays(np.uint8, st.tuples(st.integers(3, 9), st.integers(3, 9))
                  | st.tuples(st.integers(3, 9), st.integers(3, 9),
                              st.just(3)))


@given(tiny, st.integers(0, 3), st.booleans())
def test_energies_never_rise(image, seed, coarse):
    height, width = image.shape[:2]
    result = grabcut(image, (0, 1, height - 1, width), seed=seed,
                     iterations=8, coarse=coarse)
    for stage in result.energies:
        assert (np.diff(stage) <= 0.1).all()


@given(tiny, st.data())
def test_no_stroke_is_overruled(image, data):
    shape = image.shape[:2]
    strokes = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from(
        [0, 1, VOID, VOID, VOID])))
    strokes[0, 0] = 0
    box = data.draw(st.sampled_from([None, (1, 0, *shape)]))
    if (strokes == 0).all():
        strokes[1, 1] = VOID
    first = grabcut(image, box, strokes)
    for result in (first, grabcut(image, box, strokes, previous=first)):
        sure = result.known != VOID
        assert (result.known[strokes != VOID]
                == strokes[strokes != VOID]).all()
        assert (result.mask[sure] == result.known[sure]).all()
        assert (result.probability[sure] == result.known[sure]).all()
        assert ((0 <= result.probability) & (result.probability <= 1)).all()


# Cutting

@pytest.mark.parametrize("size", [16, 31, 40, 97])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_square_is_found_exactly(size, channels):
    image, truth, box = square(size, channels=channels)
    result = grabcut(image, box)
    assert (result.mask == truth).all()
    assert (result.probability[truth == 1] > 0.5).mean() > 0.9


@pytest.mark.parametrize("settings", [PAPER, {"coarse": False}, {"relax": 1},
                                      {"iterations": 1}, {"components": 1}])
def test_a_square_is_found_by_every_variant(settings):
    image, truth, box = square(97)
    assert (grabcut(image, box, **settings).mask == truth).all()


def test_dtypes_agree():
    image, truth, box = square()
    masks = [grabcut(one, box).mask for one in (
        image, image.astype(np.float32) / 255, image / 255,
        image.astype(np.uint16) * 257)]
    assert all((mask == masks[0]).all() for mask in masks)


def test_strokes_alone_and_with_a_box():
    image, truth, box = square()
    strokes = np.full(truth.shape, VOID, np.uint8)
    strokes[2:4, 5:30], strokes[18:22, 15:25] = 0, 1
    assert (grabcut(image, None, strokes).mask == truth).all()
    assert (grabcut(image, box, strokes).mask == truth).all()


def test_a_stroke_of_ground_alone():
    image, truth, _ = square()
    strokes = np.full(truth.shape, VOID, np.uint8)
    strokes[:3] = 0
    assert (grabcut(image, None, strokes).mask == truth).all()


def test_a_stroke_of_ground_in_the_middle_of_the_thing():
    image, truth, box = square()
    strokes = np.full(truth.shape, VOID, np.uint8)
    strokes[18:22, 18:22] = 0
    mask = grabcut(image, box, strokes).mask
    assert not mask[18:22, 18:22].any()
    assert (mask | (strokes == 0) == truth).all()


def test_a_box_that_missed_a_part_grows_with_a_stroke():
    image, truth, _ = square()
    strokes = np.full(truth.shape, VOID, np.uint8)
    strokes[20, 29] = 1
    narrow = grabcut(image, (8, 8, 32, 20)).mask
    assert not narrow[:, 20:].any()
    assert (grabcut(image, (8, 8, 32, 20), strokes).mask == truth).all()


def test_nothing_is_changed_and_read_only_will_do():
    image, truth, box = square()
    strokes = np.full(truth.shape, VOID, np.uint8)
    strokes[20, 20] = 1
    for array in (image, strokes):
        array.setflags(write=False)
    first = grabcut(image, box, strokes)
    before = [m.means.copy() for m in first.mixtures]
    again = grabcut(image, box, strokes, previous=first)
    for old, mixture in zip(before, first.mixtures):
        np.testing.assert_array_equal(old, mixture.means)
    assert again.mixtures[0] is not first.mixtures[0]
    assert (grabcut(image, box, strokes).mask == first.mask).all()


def test_a_mirrored_picture_has_a_mirrored_mask():
    top, left, bottom, right = BOX
    width = COFFEE.shape[1]
    mirrored = grabcut(np.ascontiguousarray(COFFEE[:, ::-1]),
                       (top, width - right, bottom, width - left)).mask
    assert (mirrored[:, ::-1] == grabcut(COFFEE, BOX).mask).mean() > 0.99


# Beside OpenCV

def test_the_papers_method_is_like_opencvs():
    ours = grabcut(COFFEE, BOX, **PAPER).mask
    assert score(ours, opencv(COFFEE, BOX)) > 0.8


@pytest.mark.parametrize("name, labels", [("coffee", (1, 2, 3, 4)),
                                          ("astronaut", (1,))])
def test_not_worse_than_opencv(name, labels):
    sample = SamplePictures()[name]
    truth = np.isin(sample.mask, labels).astype(np.uint8)
    box = loose_box(truth)
    ours = grabcut(sample.image, box).mask
    assert score(ours, truth) > score(opencv(sample.image, box), truth) - 0.05


# Degenerate cases, each with its answer

@pytest.mark.parametrize("channels", [1, 3])
def test_one_colour_holds_nothing(channels):
    image = np.full((20, 20, 3), 77, np.uint8)
    image = image if channels == 3 else image[..., 0]
    result = grabcut(image, (5, 5, 15, 15))
    assert not result.mask.any()
    assert (result.probability[result.known == VOID] == 0.5).all()


def test_noise_holds_nothing_or_stays_in_the_box():
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    mask = grabcut(image, (20, 20, 40, 40)).mask
    assert not mask[known_pixels((60, 60), (20, 20, 40, 40)) == 0].any()


@pytest.mark.parametrize("size", [1, 3])
def test_tiny_boxes(size):
    image, _, _ = square()
    mask = grabcut(image, (20, 20, 20 + size, 20 + size)).mask
    assert mask.sum() in (0, size**2)
    inside = np.zeros(mask.shape, bool)
    inside[20:20 + size, 20:20 + size] = True
    assert not mask[~inside].any()


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (2, 2), (3, 3), (1, 9)])
def test_tiny_pictures(shape):
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape) * 20
    strokes = np.full(shape, VOID, np.uint8)
    strokes[0, 0], strokes[-1, -1] = 0, 1
    mask = grabcut(image, None, strokes).mask
    assert not mask[0, 0] and mask[-1, -1]


def test_every_pixel_known_needs_no_cut():
    strokes = np.array([[0, 1], [1, 0]])
    mask = grabcut(np.zeros((2, 2)), None, strokes).mask
    assert mask.tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("box", [(0, 0, 97, 60), (0, 0, 96, 97),
                                 (0, 1, 97, 97)])
def test_a_box_on_the_border_and_a_frame_of_one_pixel(box):
    image, truth, _ = square(97)
    assert (grabcut(image, box).mask == (truth & (
        known_pixels(truth.shape, box) == VOID))).all()


def test_a_thing_that_was_lost_is_sought_again():
    coins = SamplePictures()["coins"]
    for k in (1, 4):        # both vanish in the strict rounds
        coin = coins.instances == k
        assert score(grabcut(coins.image, loose_box(coin)).mask, coin) > 0.9


def test_a_mask_that_strokes_erase_is_sought_again():
    image, truth, box = square()
    first = grabcut(image, box)
    strokes = np.where(first.mask, 0, VOID)
    strokes[20, 20] = VOID
    again = grabcut(image, box, strokes, previous=first)
    assert not again.mask[strokes == 0].any()


@pytest.mark.parametrize("image, message", [
    (np.full((8, 8), np.nan), "needed: 0 to 1, no NaN"),
    (np.zeros((8, 8), np.int64), "dtype int64"),
    (np.zeros((8, 8, 4), np.uint8), "^image has shape"),
    (np.zeros((0, 8), np.uint8), "^image has shape"),
    (np.zeros(8, np.uint8), "^image has shape")])
def test_images_that_are_none(image, message):
    with pytest.raises((ValueError, TypeError), match=message):
        grabcut(image, (1, 1, 3, 3))


@pytest.mark.parametrize("setting", [
    {"iterations": 0}, {"gamma": -1}, {"gamma": np.inf}, {"gamma": np.nan},
    {"relax": 0}, {"relax": 2}, {"components": 0}])
def test_settings_out_of_range(setting):
    image, _, box = square(16)
    with pytest.raises(ValueError, match="needed"):
        grabcut(image, box, **setting)


def test_previous_must_be_of_the_same_size():
    image, _, box = square(16)
    other, _, frame = square(20)
    with pytest.raises(ValueError, match="^previous is of"):
        grabcut(image, box, previous=grabcut(other, frame))


# Strokes that correct

def test_the_stroke_is_in_the_largest_mistake():
    truth = np.zeros((30, 30), np.uint8)
    truth[5:20, 5:20] = 1
    truth[0] = VOID
    mask = truth == 1
    mask[22:28, 22:28], mask[6:9, 6:9] = True, False
    stroke = correcting_stroke(mask, truth)
    drawn = stroke != VOID
    assert (stroke[drawn] == 0).all() and drawn.any()
    assert drawn[23:27, 23:27].sum() == drawn.sum()
    assert (correcting_stroke(truth == 1, truth) == VOID).all()


def test_strokes_mend():
    person = (SamplePictures()["astronaut"].mask == 1).astype(np.uint8)
    image, box = SamplePictures()["astronaut"].image, loose_box(person)
    strokes = np.full(person.shape, VOID, np.uint8)
    result = grabcut(image, box)
    first = score(result.mask, person)
    for _ in range(3):
        new = correcting_stroke(result.mask, person)
        strokes = np.where(new == VOID, strokes, new)
        result = grabcut(image, box, strokes, previous=result)
    assert score(result.mask, person) > first


def test_going_on_is_no_new_beginning(monkeypatch):
    image, truth, box = square(97)
    first = grabcut(image, box)
    monkeypatch.setattr(module, "_find", None)
    again = grabcut(image, box, iterations=2, previous=first)
    assert (again.mask == truth).all() and len(again.energies) == 1


def test_threads_do_not_matter():
    """Of numba or of the linear algebra below NumPy."""
    code = ("import hashlib; from test_grabcut import *;"
            "cut = grabcut(COFFEE, BOX);"
            "print(hashlib.sha256(cut.mask.tobytes()"
            " + repr(cut.energies).encode()).hexdigest())")
    said = {subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True,
        check=True, cwd=ROOT / "tests",
        env=os.environ | {name: threads for name in THREADS}).stdout
        for threads in ("1", "2")}
    assert len(said) == 1
