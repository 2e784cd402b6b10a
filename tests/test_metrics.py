"""seglib.metrics against scikit-learn, scikit-image, torchmetrics, and hands."""
import itertools
import subprocess
import sys
import warnings

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from skimage import metrics as skimage_metrics
from sklearn import metrics as sklearn_metrics

from seglib import metrics
from seglib.display import VOID
from seglib.metrics import (SegmentationMeter, adapted_rand_error,
                            boundary_f1, confusion_matrix, dice, iou,
                            mean_iou, panoptic_quality, pixel_accuracy,
                            variation_of_information)

settings.register_profile("compiling", deadline=None)
settings.load_profile("compiling")    # numba's first call takes a second

K = 4
TARGET = np.array([[0, 0, 2, 0], [0, 0, 2, 0], [1, 1, 1, VOID]])
PRED = np.array([[0, 0, 2, 0], [0, 2, 0, 0], [1, 1, 1, 1]])
BY_HAND = np.array([[5, 0, 1], [0, 3, 0], [1, 0, 1]])

INTEGERS = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32",
            "uint64", "int64"]


@st.composite
def label_pairs(draw, void=True, top=K - 1, sizes=(1, 9)):
    """A prediction and a target of one shape, VOID only in the target."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=sizes[0],
                                  max_side=sizes[1]))
    labels = st.integers(0, top)
    pred = draw(hnp.arrays(np.int64, shape, elements=labels))
    target = draw(hnp.arrays(np.int64, shape, elements=(
        labels | st.just(VOID) if void else labels)))
    return pred, target


# The confusion matrix

def test_counted_by_hand():
    assert (confusion_matrix(PRED, TARGET, 3) == BY_HAND).all()


def test_rows_are_the_target():
    cm = confusion_matrix(np.array([1, 1, 1]), np.array([0, 0, 1]), 2)
    assert cm.tolist() == [[0, 2], [0, 1]]


@given(label_pairs())
def test_agrees_with_sklearn(pair):
    pred, target = pair
    known = target != VOID
    assume(known.any())
    theirs = sklearn_metrics.confusion_matrix(
        target[known], pred[known], labels=range(K))
    assert (confusion_matrix(pred, target, K) == theirs).all()


@given(label_pairs())
def test_scores_agree_with_sklearn(pair):
    pred, target = pair
    known = target != VOID
    assume(known.any())
    y_true, y_pred = target[known], pred[known]
    cm = confusion_matrix(pred, target, K)
    present = np.union1d(y_true, y_pred)
    jaccard = sklearn_metrics.jaccard_score(
        y_true, y_pred, labels=present, average=None)
    f1 = sklearn_metrics.f1_score(
        y_true, y_pred, labels=present, average=None)
    assert np.allclose(iou(cm)[present], jaccard)
    assert np.allclose(dice(cm)[present], f1)
    assert np.isclose(mean_iou(cm), jaccard.mean())
    assert np.isclose(pixel_accuracy(cm), (y_true == y_pred).mean())
    absent = np.setdiff1d(range(K), present)
    assert np.isnan(iou(cm)[absent]).all()
    assert np.isnan(dice(cm)[absent]).all()


@settings(max_examples=50)
@given(label_pairs())
def test_agrees_with_torchmetrics(pair):
    from torchmetrics.functional.classification import (
        multiclass_confusion_matrix, multiclass_jaccard_index)
    pred, target = map(torch.as_tensor, pair)
    assume((target != VOID).any())
    ours = confusion_matrix(pred, target, K)
    assert torch.equal(ours, multiclass_confusion_matrix(
        pred, target, num_classes=K, ignore_index=VOID))
    theirs = multiclass_jaccard_index(
        pred, target, num_classes=K, ignore_index=VOID, average="macro")
    assert mean_iou(ours) == pytest.approx(theirs.item(), abs=1e-6)


@given(label_pairs(), st.permutations(range(K)))
def test_renaming_the_classes_renames_the_scores(pair, order):
    order = np.array(order)
    pred, target = pair
    renamed = np.where(target == VOID, VOID, order[target % VOID % K])
    cm = confusion_matrix(pred, target, K)
    other = confusion_matrix(order[pred], renamed, K)
    assert np.array_equal(iou(other)[order], iou(cm), equal_nan=True)
    assert (confusion_matrix(pred, target, K).sum()
            == np.count_nonzero(target != VOID))


@given(label_pairs())
def test_void_hides_whatever_was_predicted_there(pair):
    pred, target = pair
    scribbled = np.where(target == VOID, 99, pred)
    assert (confusion_matrix(pred, target, K)
            == confusion_matrix(scribbled, target, K)).all()


@pytest.mark.parametrize("dtypes", [*itertools.product(INTEGERS, INTEGERS)],
                         ids="-".join)
def test_every_integer_dtype(dtypes):
    pred, target = (np.array(x, dtype=d) for x, d in
                    zip(([1, 0, 1, 1], [1, 1, 0, 1]), dtypes))
    assert confusion_matrix(pred, target, 2).tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8,
                                   torch.int16, torch.int32, torch.int64])
def test_every_tensor_dtype(dtype):
    pred, target = (torch.tensor(x, dtype=dtype)
                    for x in ([1, 0, 1, 1], [1, 1, 0, 1]))
    cm = confusion_matrix(pred, target, 2)
    assert isinstance(cm, torch.Tensor) and cm.dtype == torch.int64
    assert cm.tolist() == [[0, 1], [1, 2]]


def test_array_and_tensor_together_give_a_tensor():
    cm = confusion_matrix(torch.tensor(PRED), TARGET, 3)
    assert torch.equal(cm, torch.tensor(BY_HAND))


def test_views_and_read_only_arrays():
    big = np.zeros((6, 8), np.uint8)
    big[::2, ::2] = np.where(TARGET == VOID, 0, TARGET)
    pred, target = big[::2, ::2], big[::2, ::2].T.copy().T
    target.flags.writeable = False
    assert confusion_matrix(pred, target, 3).trace() == 12
    row = np.arange(12, dtype=np.int64) % 3
    assert (confusion_matrix(row[::-1], row[::-1], 3) == 4 * np.eye(3)).all()


def test_more_classes_than_a_byte_holds():
    labels = np.arange(300)
    assert (confusion_matrix(labels, labels, 300, ignore_index=-1)
            == np.eye(300)).all()
    with pytest.raises(ValueError, match="num_classes is 300, so 255"):
        confusion_matrix(labels, labels, 300)


def test_a_class_may_be_ignored():
    cm = confusion_matrix([0, 1, 1, 2], [0, 0, 1, 2], 3, ignore_index=0)
    assert cm.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("pred, target, said", [
    ([[0, 1], [2, 0]], [[0, 1], [1, 0]],
     r"pred holds the label 2 at \(1, 0\); needed: 0 to 1"),
    ([[0, 1], [1, 0]], [[0, 7], [9, 0]],
     r"target holds the label 7 at \(0, 1\); needed: 0 to 1"),
    ([[0, 1], [1, 0]], [[0, 1], [1, -1]],
     r"target holds the label -1 at \(1, 1\)"),
    ([[0, 1], [1, VOID]], [[0, 1], [1, 0]],
     r"pred holds the label 255 at \(1, 1\)")])
def test_a_label_of_no_class_is_named_with_its_place(kind, pred, target,
                                                     said):
    with pytest.raises(ValueError, match=said):
        confusion_matrix(kind(pred), kind(target), 2)


@pytest.mark.parametrize("call", [
    lambda p, t: confusion_matrix(p, t, 3), boundary_f1, panoptic_quality,
    adapted_rand_error, variation_of_information,
    lambda p, t: SegmentationMeter(3).update(p, t)])
def test_bad_pairs_get_one_clear_line(call):
    labels = np.zeros((4, 5), np.uint8)
    with pytest.raises(TypeError, match="pred holds float64; needed: int"):
        call(labels.astype(float), labels)
    with pytest.raises(TypeError, match="target holds float32; needed: int"):
        call(labels, torch.zeros(4, 5))
    with pytest.raises(ValueError,
                       match=r"pred is \(4, 5\), target is \(5, 4\)"):
        call(labels, labels.T)


@pytest.mark.parametrize("classes", [0, -1, 2.0, None, "2"])
def test_bad_number_of_classes(classes):
    with pytest.raises(ValueError, match="num_classes is .* needed"):
        confusion_matrix([0], [0], classes)


# Scores from the matrix

def test_scores_by_hand():
    assert np.allclose(iou(BY_HAND), [5 / 7, 1, 1 / 3])
    assert np.allclose(dice(BY_HAND), [10 / 12, 1, 2 / 4])
    assert pixel_accuracy(BY_HAND) == 9 / 11
    assert mean_iou(BY_HAND) == pytest.approx((5 / 7 + 1 + 1 / 3) / 3)


def test_absent_is_nan_and_falsely_predicted_is_zero():
    cm = np.array([[2, 0, 2], [0, 0, 0], [0, 0, 0]])
    assert np.array_equal(iou(cm), [0.5, np.nan, 0], equal_nan=True)
    assert mean_iou(cm) == 0.25


@pytest.mark.parametrize("pred, target", [
    (np.zeros((0, 5), int), np.zeros((0, 5), int)),
    (np.zeros((3, 3), int), np.full((3, 3), VOID))], ids=["empty", "all VOID"])
def test_nothing_to_judge_is_nan(pred, target):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cm = confusion_matrix(pred, target, 2)
        assert cm.sum() == 0
        assert np.isnan(iou(cm)).all() and np.isnan(dice(cm)).all()
        assert np.isnan([pixel_accuracy(cm), mean_iou(cm),
                         boundary_f1(pred, target)]).all()


def test_nothing_to_judge_among_instances():
    for shape, void in ((0, 4), None), ((2, 2), np.ones((2, 2), bool)):
        ids = np.ones(shape, int)
        quality = panoptic_quality(ids, ids, void)
        assert np.isnan(quality[:3]).all() and quality[3:] == (0, 0, 0)
        assert np.isnan(adapted_rand_error(ids, ids, void))
        assert np.isnan(variation_of_information(ids, ids, void)).all()


def test_one_class_and_one_pixel():
    cm = confusion_matrix([[0]], [[0]], 1)
    assert mean_iou(cm) == pixel_accuracy(cm) == 1


def test_scores_take_tensors_and_refuse_other_shapes():
    assert mean_iou(torch.tensor(BY_HAND)) == mean_iou(BY_HAND)
    with pytest.raises(ValueError, match=r"cm is \(2, 3\); needed: \(K, K\)"):
        iou(np.zeros((2, 3)))


# The meter

def batches(n=7, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 3, (n, 11, 13))
    target[rng.random(target.shape) < 0.1] = VOID
    pred = np.where(rng.random(target.shape) < 0.7, target % VOID, 1)
    return pred, target


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_meter_does_not_depend_on_the_batches(kind, size):
    pred, target = map(kind, batches())
    meter = SegmentationMeter(["sky", "road", "pole"])
    for i in range(0, len(pred), size):
        meter.update(pred[i:i + size], target[i:i + size])
    whole = confusion_matrix(pred, target, 3)
    each = [confusion_matrix(p, t, 3) for p, t in zip(pred, target)]
    got = meter.compute()
    assert (meter.confusion == whole).all()
    assert got["mean_iou"] == mean_iou(whole)
    assert got["pixel_accuracy"] == pixel_accuracy(whole)
    assert got["iou"] == dict(zip(["sky", "road", "pole"], iou(whole)))
    assert got["dice"] == dict(zip(["sky", "road", "pole"], dice(whole)))
    assert got["mean_iou_per_image"] == pytest.approx(
        np.mean([mean_iou(cm) for cm in each]))
    assert got["images"] == 7


def test_set_and_picture_differ_by_hand():
    meter = SegmentationMeter(2)
    meter.update(np.zeros((1, 4), int), np.array([[0, 0, 0, 1]]))
    meter.update(np.ones((1, 4), int), np.ones((1, 4), int))
    got = meter.compute()
    assert got["iou"] == {0: 3 / 4, 1: 4 / 5}
    assert got["mean_iou"] == (3 / 4 + 4 / 5) / 2
    assert got["mean_iou_per_image"] == ((3 / 4 + 0) / 2 + 1) / 2


def test_meter_without_pictures():
    got = SegmentationMeter(3).compute()
    assert got["images"] == 0 and np.isnan(got["mean_iou"])
    assert np.isnan(got["mean_iou_per_image"])


def test_meter_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"needed: \(H, W\) or \(N, H, W\)"):
        SegmentationMeter(3).update(np.zeros(4, int), np.zeros(4, int))


def test_a_bad_picture_changes_nothing():
    meter = SegmentationMeter(2)
    with pytest.raises(ValueError, match="label 5"):
        meter.update(np.array([[5]]), np.array([[0]]))
    assert meter.compute()["images"] == 0 and meter.confusion.sum() == 0


# The way of the GPU, here on the CPU's tensors

@given(label_pairs())
def test_the_gpu_counts_the_same(pair):
    pred, target = map(torch.as_tensor, pair)
    counts = metrics._count_on_gpu(pred, target, K, VOID)
    assert torch.equal(counts[:-2].reshape(K, K),
                       confusion_matrix(pred, target, K))
    assert counts[-2] == (target == VOID).sum() and counts[-1] == 0


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32])
def test_the_gpu_takes_small_types(dtype):
    labels = torch.tensor([0, 1, 1], dtype=dtype)
    assert metrics._count_on_gpu(labels, labels, 2, VOID).tolist() == [
        1, 0, 0, 2, 0, 0]


def test_the_gpu_names_bad_labels(monkeypatch):
    monkeypatch.setattr(metrics, "_on_gpu", lambda pred, target: True)
    good, bad = torch.tensor([[0, 1]]), torch.tensor([[0, 3]])
    with pytest.raises(ValueError, match=r"pred holds the label 3 at \(0, 1\)"):
        confusion_matrix(bad, good, 2)
    meter = SegmentationMeter(2)
    meter.update(good, good)
    meter.update(bad, good)
    meter.update(good, -bad)
    with pytest.raises(ValueError, match="2 pixels hold labels of no class"):
        meter.compute()


class Elsewhere:
    """An array that claims to be on another device."""

    dtype, shape, device = "uint8", (2,), "cuda:1"


def test_two_devices_are_refused(monkeypatch):
    monkeypatch.setattr(metrics, "_pair", lambda pred, target: (pred, target))
    with pytest.raises(ValueError, match="pred is on cuda:1, target on cpu"):
        confusion_matrix(Elsewhere(), torch.tensor([0, 1]), 2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_on_a_gpu(dtype):
    pred, target = (torch.as_tensor(x).to("cuda", dtype) for x in batches())
    cm = confusion_matrix(pred, target, 3)
    assert cm.device == pred.device and cm.dtype == torch.int64
    assert torch.equal(cm.cpu(), confusion_matrix(pred.cpu(), target.cpu(), 3))
    meter, twin = SegmentationMeter(3), SegmentationMeter(3)
    torch.cuda.set_sync_debug_mode("error")
    try:
        meter.update(pred, target)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    twin.update(pred.cpu(), target.cpu())
    assert meter.compute() == twin.compute()
    with pytest.raises(ValueError, match="holds the label 2 at"):
        confusion_matrix(pred, target, 2)


# Borders

def brute_boundary_f1(pred, target, tolerance, classes):
    """The definition, read out loud."""
    h, w = target.shape
    known = target != VOID

    def border(mask, c):
        return [(y, x) for y in range(h) for x in range(w)
                if known[y, x] and mask[y, x] == c and any(
                    0 <= v < h and 0 <= u < w and known[v, u]
                    and mask[v, u] != c
                    for v, u in ((y - 1, x), (y + 1, x), (y, x - 1),
                                 (y, x + 1)))]

    def share(points, others):
        return np.mean([any((y - v)**2 + (x - u)**2 <= tolerance**2
                            for v, u in others) for y, x in points])

    scores = []
    for c in classes:
        p, t = border(pred, c), border(target, c)
        if p and t:
            a, b = share(p, t), share(t, p)
            scores.append(2 * a * b / (a + b) if a + b else 0)
        elif p or t:
            scores.append(0)
    return np.mean(scores) if scores else np.nan


@given(label_pairs(top=2, sizes=(1, 7)), st.sampled_from([0, 1, 1.5, 2, 3]))
def test_boundary_f1_is_its_definition(pair, tolerance):
    pred, target = pair
    known = target != VOID
    classes = np.union1d(pred[known], target[known])
    assert boundary_f1(pred, target, tolerance) == pytest.approx(
        brute_boundary_f1(pred, target, tolerance, classes), nan_ok=True)


def test_boundary_tolerance_is_inclusive():
    square = np.zeros((20, 20), bool)
    square[5:15, 5:15] = True
    for step in (1, 2, 3):
        moved = np.roll(square, step, axis=0)
        assert boundary_f1(moved, square, step) == 1
        assert boundary_f1(moved, square, step - 1) < 1
    assert boundary_f1(np.roll(square, (1, 1), (0, 1)), square, 2**.5) == 1


def test_boundary_of_bool_masks_is_the_foregrounds():
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    grown = np.zeros((9, 9), bool)
    grown[2:7, 2:7] = True
    assert boundary_f1(grown, mask, 0) == 0
    assert boundary_f1(grown, mask, 0) == boundary_f1(
        grown.astype(int), mask.astype(int), 0, classes=[1])
    # Seen from the ground, the frame of the smaller square ...
    assert 0 < boundary_f1(grown, mask, 1) <= 1


def test_boundary_edges_of_picture_and_void_are_none():
    halves = np.zeros((6, 6), np.uint8)
    halves[:, 3:] = 1
    assert boundary_f1(halves, halves, 0) == 1
    ringed = halves.copy()
    ringed[:, 2:4] = VOID
    assert np.isnan(boundary_f1(halves, ringed))
    assert boundary_f1(np.zeros_like(halves), halves) == 0
    assert np.isnan(boundary_f1(np.zeros_like(halves),
                                np.zeros_like(halves)))


def test_boundary_errors():
    mask = np.zeros((3, 3), np.uint8)
    with pytest.raises(ValueError, match=r"tolerance -1; needed: \(H, W\)"):
        boundary_f1(mask, mask, -1)
    with pytest.raises(ValueError, match="tolerance nan"):
        boundary_f1(mask, mask, float("nan"))
    with pytest.raises(ValueError, match=r"pred is \(1, 3, 3\)"):
        boundary_f1(mask[None], mask[None])
    with pytest.raises(ValueError, match=r"pred holds the label 255 at"):
        boundary_f1(mask + 255, mask)


# Instances

@st.composite
def instance_pairs(draw):
    """Instances, most of them in both masks, and a mask of VOID."""
    pred, target = draw(label_pairs(void=False, top=3, sizes=(2, 6)))
    agree = draw(hnp.arrays(bool, pred.shape))
    void = draw(hnp.arrays(bool, pred.shape) | st.none())
    return np.where(agree, target, pred), target, void


def torchmetrics_panoptic(pred, target, void):
    """Class 0 are the instances, 1 is stuff, and an unknown class VOID."""
    from torchmetrics.functional.detection import panoptic_quality as theirs
    void = np.zeros(pred.shape, bool) if void is None else void

    def coloured(ids):
        return np.stack([ids == 0, np.where(ids, ids, 0)], axis=-1)

    target = coloured(target).astype(int)
    target[void] = (7, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = theirs(torch.as_tensor(coloured(pred).astype(int))[None],
                       torch.as_tensor(target)[None], things={0}, stuffs={1},
                       return_sq_and_rq=True, return_per_class=True)
    return found.squeeze()[0].tolist()


@given(instance_pairs())
def test_panoptic_quality_agrees_with_torchmetrics(case):
    ours = panoptic_quality(*case)
    theirs = torchmetrics_panoptic(*case)    # has 0 where we have nan
    assert np.nan_to_num(ours[:3]) == pytest.approx(theirs, abs=1e-6)


def test_panoptic_quality_by_hand():
    target = np.array([[1, 1, 1, 1, 0, 2, 2, 0, 3]])
    pred = np.array([[9, 9, 9, 0, 0, 4, 0, 5, 3]])
    # 1-9: 3/4. 2-4: 1/2 is no pair. 3-3: 1. 5 meets nobody.
    got = panoptic_quality(pred, target)
    assert got[3:] == (2, 2, 1)
    assert got.sq == (3 / 4 + 1) / 2 and got.rq == 2 / (2 + 1 + 0.5)
    assert got.pq == pytest.approx(got.sq * got.rq)


def test_panoptic_pairs_need_more_than_half():
    assert panoptic_quality([[1, 2]], [[1, 1]])[3:] == (0, 2, 1)
    assert panoptic_quality([[1, 1, 2]], [[1, 1, 1]])[3:] == (1, 1, 0)


def test_panoptic_void():
    target = np.array([[1, 1, 0, 0, 0, 0]])
    void = np.array([[0, 0, 1, 1, 1, 0]], bool)
    # The part of a prediction in VOID is not in its union ...
    assert panoptic_quality([[1, 1, 1, 1, 0, 0]], target, void).pq == 1
    # ... a lonely one mostly in VOID is forgiven, one half in it is not.
    pred = np.array([[1, 1, 0, 2, 2, 2]])
    assert panoptic_quality(pred, target, void).fp == 0
    pred = np.array([[1, 1, 0, 0, 2, 2]])
    assert panoptic_quality(pred, target, void).fp == 1


def test_panoptic_nobody_found():
    got = panoptic_quality(np.zeros((2, 2), int), np.ones((2, 2), int))
    assert got.pq == got.rq == 0 and np.isnan(got.sq) and got.fn == 1


@given(instance_pairs())
def test_pairs_and_bits_agree_with_skimage(case):
    pred, target, void = case
    keep = np.ones(pred.shape, bool) if void is None else ~void
    assume(keep.any())
    theirs = skimage_metrics.variation_of_information(
        target[keep], pred[keep])
    ours = variation_of_information(pred, target, void)
    assert ours == pytest.approx(theirs, abs=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")      # 0 / 0 where there is no pair
        theirs = skimage_metrics.adapted_rand_error(
            target[keep], pred[keep])[0]
    assert adapted_rand_error(pred, target, void) == pytest.approx(
        theirs, nan_ok=True, abs=1e-9)


def test_split_and_merge_by_hand():
    one, two = np.array([1, 1, 1, 1]), np.array([1, 1, 2, 2])
    assert variation_of_information(two, one) == (1, 0)
    assert variation_of_information(one, two) == (0, 1)
    assert adapted_rand_error(two, one) == 1 - 2 * 4 / (12 + 4)


@given(instance_pairs(), st.permutations(range(1, 4)))
def test_instance_numbers_are_only_names(case, order):
    pred, target, void = case
    names = np.array([0, *order]) * 1000
    for score in (panoptic_quality, adapted_rand_error,
                  variation_of_information):
        assert score(names[pred], target, void) == pytest.approx(
            score(pred, target, void), nan_ok=True)


def test_instance_errors():
    ids = np.ones((2, 3), int)
    for score in (panoptic_quality, adapted_rand_error,
                  variation_of_information):
        with pytest.raises(ValueError, match="lowest label -1; needed"):
            score(-ids, ids)
        with pytest.raises(ValueError, match="void is int64"):
            score(ids, ids, void=ids)
        with pytest.raises(ValueError, match=r"needed: bool \(2, 3\)"):
            score(ids, ids, void=np.zeros((3, 2), bool))
        assert score(torch.tensor(ids), ids, torch.zeros(
            2, 3, dtype=bool)) == score(ids, ids)


# The house

def test_torch_is_not_needed():
    code = ("import sys, seglib.metrics as m; m.confusion_matrix([0], [0], 1);"
            "assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


# Large pictures are shared out to threads

def large(seed=0):
    rng = np.random.default_rng(seed)
    target, pred = rng.integers(0, 7, (2, 701, 503))
    target[rng.random(target.shape) < 0.1] = VOID
    return pred, target


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
@pytest.mark.parametrize("threads", [1, 2])
def test_large_pictures_count_alike_with_any_number_of_threads(dtype, threads):
    import numba
    pred, target = (x.astype(dtype) for x in large())
    known = target != VOID
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))
    try:
        ours = confusion_matrix(pred, target, 7)
    finally:
        numba.set_num_threads(before)
    theirs = sklearn_metrics.confusion_matrix(target[known], pred[known])
    np.testing.assert_array_equal(ours, theirs)


def test_of_two_bad_labels_in_a_large_picture_the_first_is_named():
    pred, target = large()
    target[700, 500] = 9
    with pytest.raises(ValueError, match=r"label 9 at \(700, 500\)"):
        confusion_matrix(pred, target, 7)
    target[1, 2], pred[1, 2] = 0, 8
    with pytest.raises(ValueError, match=r"label 8 at \(1, 2\)"):
        confusion_matrix(pred, target, 7)


@pytest.mark.skipif(sys.platform != "linux", reason="needs os.fork")
def test_a_forked_worker_survives():
    """As in a data loader: the parent has used its threads already."""
    program = """
import os, numpy as np
from seglib.metrics import confusion_matrix
labels = np.zeros((600, 600), int)
confusion_matrix(labels, labels, 2)
child = os.fork()
if child == 0:
    os._exit(0 if confusion_matrix(labels, labels, 2)[0, 0] == 360000 else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
