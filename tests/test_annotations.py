"""Outlines, runs and colours, against OpenCV, COCO's own code, and by hand."""
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from seglib.annotations import (CocoDataset, LabelMeFolder, fill,
                                from_colours, labelme_masks, outline,
                                rle_decode, rle_encode, save_mask,
                                to_colours, unpacked)
from seglib.datasets import SamplePictures
from seglib.display import VOID
from seglib.environment import project_root

COLOURS = {"ground": (0, 0, 0), "cup": (240, 240, 240), "void": (1, 2, 3),
           "spoon": (90, 90, 160)}


# Outlines

@given(st.integers(0, 6), st.integers(0, 6), st.integers(1, 8),
       st.integers(1, 8))
def test_a_rectangle_on_the_lines_has_its_area(x, y, w, h):
    """COCO's [x, y, w, h] in whole numbers is exactly w × h pixels."""
    mask = fill([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], (15, 16))
    wanted = np.zeros((15, 16), bool)
    wanted[y:y + h, x:x + w] = True
    assert np.array_equal(mask, wanted)


def test_as_pycocotools_but_for_pixels_on_the_outline():
    """Recorded from pycocotools 2.0's frPyObjects, merge and decode."""
    theirs = np.zeros((6, 8), bool)
    theirs[2:4, 2:5] = True
    ours = fill([(1.5, 1.5), (4.5, 1.5), (4.5, 3.5), (1.5, 3.5)], (6, 8))
    assert ours[theirs].all() and ours.sum() == 12     # on it counts for us
    theirs[:] = 0
    for row, columns in enumerate(([0], [1, 2, 3, 4, 5], [2, 3, 4],
                                   [2, 3, 4], [3])):
        theirs[row, columns] = True
    ours = fill([(0.2, 0.3), (6.1, 1.2), (3.3, 5.4)], (6, 8))
    assert (ours ^ theirs).sum() == 1


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20)),
                min_size=3, max_size=7, unique=True))
def test_as_opencv_but_for_the_outline(corners):
    """OpenCV counts pixels that the outline touches; we ask the middle."""
    theirs = np.zeros((21, 31), np.uint8)
    cv2.fillPoly(theirs, [np.array(corners, np.int32)], 1)
    line = np.zeros_like(theirs)
    cv2.polylines(line, [np.array(corners, np.int32)], True, 1, 3)
    ours = fill(corners, theirs.shape, middle=0)
    assert np.array_equal(ours[line == 0], theirs[line == 0] == 1)


def test_half_a_pixel_matters():
    square = [(0, 0), (2, 0), (2, 2), (0, 2)]
    assert fill(square, (4, 4)).sum() == 4
    assert fill(square, (4, 4), middle=0).sum() == 9


def test_outside_is_cut_off():
    assert fill([(-9, -9), (99, -9), (99, 99), (-9, 99)], (3, 5)).all()
    assert not fill([(50, 50), (60, 50), (60, 60)], (3, 5)).any()


@pytest.mark.parametrize("points", [[(0, 0), (1, 1)], [], [1, 2, 3],
                                    [(0, 0, 0)] * 3, [(0, 0), (1, np.nan),
                                                      (2, 2)]])
def test_no_polygon(points):
    with pytest.raises(ValueError, match="points .*needed"):
        fill(points, (4, 4))


def test_our_drawings_are_our_masks():
    for sample in SamplePictures():
        path = project_root() / f"data/pictures/{sample.name}.json"
        drawing = json.loads(path.read_text(encoding="utf-8"))
        mask = np.zeros(drawing["size"], np.uint8)
        for shape in drawing["shapes"]:
            names = [*drawing["classes"]]
            label = (VOID if shape["class"] == "void"
                     else names.index(shape["class"]))
            mask[fill(shape["points"], mask.shape, middle=0)] = label
        assert np.array_equal(mask, sample.mask), sample.name


# LabelMe

def square(label, x, y, size=2, **more):
    return {"label": label, "points": [[x, y], [x + size, y + size]],
            "shape_type": "rectangle", **more}


def about(*shapes):
    return {"imagePath": "a.png", "imageHeight": 6, "imageWidth": 8,
            "shapes": list(shapes)}


def test_later_shapes_cover_earlier_ones():
    mask, ids = labelme_masks(
        about(square("cup", 0, 0, 4), square("spoon", 2, 2, 2)),
        ("ground", "cup", "spoon"))
    assert np.bincount(mask.ravel()).tolist() == [48 - 16, 12, 4]
    assert np.bincount(ids.ravel()).tolist() == [48 - 16, 12, 4]
    assert mask.dtype == np.uint8 and ids.dtype == np.int32


def test_a_group_is_one_thing_and_void_is_none():
    mask, ids = labelme_masks(
        about(square("cup", 0, 0, group_id=5), square("cup", 3, 0),
              square("cup", 6, 0, group_id=5), square("void", 0, 3),
              square("__ignore__", 3, 3), square("ground", 6, 3)),
        ("ground", "cup"))
    assert ids[0].tolist() == [1, 1, 0, 2, 2, 0, 1, 1]
    assert mask[3].tolist() == [VOID, VOID, 0, VOID, VOID, 0, 0, 0]
    assert not ids[3:].any()


def test_a_label_that_is_no_class():
    with pytest.raises(ValueError, match="label is 'cpu'; needed: .*cup"):
        labelme_masks(about(square("cpu", 0, 0)), ("ground", "cup"))


def test_a_circle_and_a_point():
    circle = {"label": "cup", "shape_type": "circle",
              "points": [[50, 50], [50, 90]]}
    area = fill(outline(circle), (100, 100)).sum()
    assert area == pytest.approx(np.pi * 40**2, rel=0.01)
    with pytest.raises(ValueError, match="shape_type is 'point'; needed"):
        outline({"shape_type": "point", "points": [[1, 1]]})


def test_a_folder_of_labelme_files(tmp_path):
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps(about(square("cup", 1, 1))))
    [sample] = LabelMeFolder(tmp_path, ("ground", "cup"))
    assert sample.name == "a" and sample.mask.sum() == 4
    assert sample.instances.max() == 1 and sample.classes[1] == "cup"


# Runs

@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_runs_there_and_back(mask):
    runs = rle_encode(mask)
    assert sum(runs) == mask.size and min(runs[1:], default=1) > 0
    assert np.array_equal(rle_decode(runs, mask.shape), mask)


def test_runs_go_down_the_columns():
    assert rle_encode(np.array([[0, 0, 0], [1, 1, 0]], bool)) == [1, 1, 1, 1, 2]
    assert rle_encode(np.ones((2, 2), bool)) == [0, 4]
    assert rle_encode(np.zeros((2, 2), bool)) == [4]


def test_packed_runs_as_pycocotools_packs_them():
    """Recorded from pycocotools 2.0's encode."""
    noise = np.array([[1, 0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 1, 0],
                      [1, 0, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 1, 1],
                      [1, 1, 1, 0, 0, 1, 1]], bool)
    assert np.array_equal(rle_decode("031N0001020O0N31M11O", (5, 7)), noise)
    ring = np.zeros((60, 80), bool)
    ring[10:50, 20:70] = True
    ring[20:30, 30:40] = False
    text = (b"jU1X1d0000000000000000000ROF::FF::FF::FF::FF::FF::FF::FF::FF::"
            b"FF::d00000000000000000000000000000000000000000000000000000000000"
            b"^b0")
    assert unpacked(text) == rle_encode(ring)
    assert np.array_equal(rle_decode(text, (60, 80)), ring)


@pytest.mark.parametrize("counts", [[3], [], [5, -1, 2], [7]])
def test_runs_of_another_length(counts):
    with pytest.raises(ValueError, match="counts add up to .*needed: 2×3"):
        rle_decode(counts, (2, 3))


# COCO

def test_coco(tmp_path):
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "b.png")
    hole = np.zeros((6, 8), bool)
    hole[5, 7] = True
    big = [0, 0, 4, 0, 4, 4, 0, 4]
    small, far = [1, 1, 2, 1, 2, 2, 1, 2], [6, 0, 8, 0, 8, 2, 6, 2]
    (tmp_path / "i.json").write_text(json.dumps({
        "images": [{"id": 9, "file_name": "a.png", "height": 6, "width": 8},
                   {"id": 2, "file_name": "b.png", "height": 6, "width": 8}],
        "categories": [{"id": 90, "name": "spoon"}, {"id": 3, "name": "cup"}],
        "annotations": [
            {"image_id": 9, "category_id": 90, "area": 1,
             "segmentation": [small]},
            {"image_id": 9, "category_id": 3, "area": 20,
             "segmentation": [big, far]},
            {"image_id": 9, "category_id": 3, "area": 1, "iscrowd": 1,
             "segmentation": {"size": [6, 8],
                              "counts": rle_encode(hole)}}]}))
    data = CocoDataset(tmp_path, tmp_path / "i.json")
    assert data.names == ("a", "b") and data.classes == (
        "ground", "cup", "spoon")
    a, b = data
    assert a.mask[1, :4].tolist() == [1, 2, 1, 1]      # the small one on top
    assert a.mask[0, 6] == 1 and a.mask[5, 7] == VOID
    assert a.instances[0, 0] == a.instances[0, 6] == 1
    assert a.instances[1, 1] == 2 and a.instances[5, 7] == 0
    assert not b.mask.any() and not b.instances.any()


# Colours

@given(arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 2, VOID])))
def test_colours_there_and_back(mask):
    picture = to_colours(mask, COLOURS)
    assert picture.shape == (3, 4, 3)
    assert np.array_equal(from_colours(picture, COLOURS), mask)


def test_unlisted_colours_are_refused_or_void_never_ground():
    mask = np.array([[0, 1], [2, 2]], np.uint8)
    picture = to_colours(mask, COLOURS)
    known = {name: COLOURS[name] for name in ("ground", "cup")}
    with pytest.raises(ValueError, match=r"2 pixels .*\(90, 90, 160\); the"
                       " first at row 1, column 0"):
        from_colours(picture, known)
    assert from_colours(picture, known, unlisted=VOID).tolist() == [
        [0, 1], [VOID, VOID]]


def test_a_label_without_a_colour():
    with pytest.raises(ValueError, match="mask holds 7; needed: a colour"):
        to_colours(np.full((2, 2), 7, np.uint8), COLOURS)


def test_a_saved_mask_is_labels_and_colours(tmp_path):
    mask = np.array([[0, 1, 2, VOID]], np.uint8)
    save_mask(mask, tmp_path / "m.png", COLOURS)
    with Image.open(tmp_path / "m.png") as stored:
        assert np.array_equal(stored, mask)
        assert np.array_equal(stored.convert("RGB"),
                              to_colours(mask, COLOURS))
    with pytest.raises(FileExistsError, match="nothing is overwritten"):
        save_mask(mask, tmp_path / "m.png", COLOURS)
    for bad in (mask.astype(int), mask + 9):
        with pytest.raises(ValueError, match="needed"):
            save_mask(bad, tmp_path / "n.png", COLOURS)
    assert [p.name for p in tmp_path.iterdir()] == ["m.png"]
