"""Samples, sequences of them, the folder report, and every set's layout."""
import copy
import inspect
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from seglib import datasets, readers, resolve
from seglib.datasets import (BSDS500, ISBI2012, CamVid, Cityscapes,
                             DatasetNotFound, Documents, FolderDataset,
                             GrabCut50, Horses, Nuclei, PascalVOC, PennFudan,
                             Pets, Published, Sample, SamplePictures, View,
                             check_folder, codes_of, recode)
from seglib.display import VOID

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
RGB = np.stack([GREY, GREY + 50, GREY + 100], axis=2)
THREE = np.array([[0, 1, 2, 0], [0, 1, 2, 0], [0, 0, 0, 0]], np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path, **options)
    return path


# The contract

def test_a_sample_holds_what_it_is_given():
    sample = Sample(RGB, THREE, "a", classes=("x", "y", "z"))
    assert sample.instances is None and sample.depth is None
    with pytest.raises(AttributeError):
        sample.name = "b"


@pytest.mark.parametrize("mask", [
    THREE[:2], THREE.astype(int), THREE.astype(float), RGB])
def test_a_sample_refuses_a_mask_that_breaks_the_contract(mask):
    with pytest.raises(ValueError, match="mask of 'a' is .*needed: .*uint8"):
        Sample(RGB, mask, "a")


# Recoding

@given(arrays(np.uint8, (3, 5)), st.permutations(range(256)))
def test_recode_is_the_dictionary_pixel_by_pixel(labels, order):
    codes = dict(enumerate(order))
    mask = recode(labels, codes)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[codes[v] for v in row]
                             for row in labels.tolist()]


@given(arrays(np.int32, (3, 4), elements=st.integers(-5, 70000)),
       st.sets(st.integers(0, 70000), min_size=1, max_size=9))
def test_recode_refuses_exactly_the_unlisted(labels, listed):
    codes = dict.fromkeys(listed, 1)
    if set(labels.ravel().tolist()) <= listed:
        assert (recode(labels, codes) == 1).all()
    else:
        with pytest.raises(ValueError, match="which codes does not list"):
            recode(labels, codes)


def test_an_unlisted_number_is_named():
    with pytest.raises(ValueError, match=r"labels holds 7, which .*: 0, 1"):
        recode(GREY % 8 // 7 * 7, {0: 0, 1: 1})


def test_plain_codes():
    assert codes_of("ab") == {0: 0, 1: 1, 255: VOID}
    for bad in ((), range(256)):
        with pytest.raises(ValueError, match="needed: 1 to 255"):
            codes_of(bad)


# The report

@pytest.fixture
def folder(tmp_path):
    for name in "ab":
        save(tmp_path / f"images/{name}.png", RGB)
        save(tmp_path / f"masks/{name}.png", THREE)
    return tmp_path


def report(folder, classes=("x", "y", "z"), **options):
    return check_folder(folder / "images", folder / "masks", classes,
                        **options)


def plant(folder, fault):
    """One fault in sample b."""
    mask, image = folder / "masks/b.png", folder / "images/b.png"
    turned = Image.Exif()
    turned[0x0112] = 6
    if fault == "image missing":
        image.unlink()
    elif fault == "mask missing":
        mask.unlink()
    elif fault == "size":
        save(mask, THREE[:2])
    elif fault == "label":
        save(mask, THREE + 1)
    elif fault == "RGB":
        save(mask, RGB)
    elif fault == "alpha":
        save(mask, np.dstack([RGB, GREY]))
    elif fault == "EXIF":
        save(image, np.rot90(RGB).copy(), exif=turned)
    elif fault == "EXIF and mask as stored":
        save(image, RGB, exif=turned)
    elif fault == "16 bits":
        save(mask, THREE.astype(np.uint16))
    elif fault == "deep image":
        save(image, GREY.astype(np.uint16))
    elif fault == "palette":
        paletted = Image.fromarray(THREE)
        paletted.putpalette([9, 9, 9] * 256)
        paletted.save(mask)
    elif fault == "JPEG":
        mask.unlink()
        save(mask.with_suffix(".jpg"), np.zeros_like(THREE))
    elif fault == "broken":
        mask.write_bytes(mask.read_bytes()[:45])
    elif fault == "twice":
        save(image.with_suffix(".jpg"), RGB)
    elif fault == "void or object":
        save(mask, (THREE > 0) * np.uint8(255))


FAULTS = {
    "image missing": ("b.png", "has no image", True),
    "mask missing": ("b.png", "has no mask", True),
    "size": ("b.png", "has not the size of its image: (4, 2), (4, 3)", True),
    "label": ("b.png", "holds 3: not a class, not void", True),
    "RGB": ("b.png", "has mode RGB: colours, not labels", True),
    "alpha": ("b.png", "has mode RGBA: colours, not labels", True),
    "EXIF": ("b.png", "is stored turned (EXIF)", False),
    "EXIF and mask as stored": ("b.png", "but that of the image before", True),
    "16 bits": ("b.png", "has 16 bits or more", False),
    "deep image": ("b.png", "has mode I;16; needed: 8 bits", True),
    "palette": ("b.png", "has a palette", False),
    "JPEG": ("b.jpg", "is a JPEG, which changes labels", True),
    "broken": ("b.png", "cannot be read as an image", True),
    "twice": ("b.png", "has the stem of b.jpg", True),
    "void or object": ("b.png", "holds 0 and 255 only", False),
}


def test_a_good_folder_has_no_faults(folder):
    assert report(folder).ok and report(folder).faults == ()
    assert str(report(folder)) == "2 pairs, 0 remarks"


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found(folder, fault):
    plant(folder, fault)
    file, what, fatal = FAULTS[fault]
    found = report(folder)
    assert [f for f in found.faults
            if f.file == file and what in f.what and f.fatal == fatal]
    assert found.ok == (not any(f.fatal for f in found.faults))
    assert found.ok == (not fatal)


def test_the_report_lists_all_faults_and_groups_them(tmp_path):
    for name in "abcdef":
        save(tmp_path / f"images/{name}.png", RGB)
    save(tmp_path / "masks/e.png", THREE + 4)
    save(tmp_path / "masks/f.png", RGB)
    lines = str(report(tmp_path)).splitlines()
    assert lines == [
        "2 pairs, 6 remarks",
        "FAULT  a.png, b.png, c.png and 1 more: has no mask",
        "FAULT  e.png: holds 4, 5, 6: not a class, not void",
        "FAULT  f.png: has mode RGB: colours, not labels"
        " (annotations.from_colours translates)"]


def test_the_users_own_codes(folder):
    save(folder / "masks/a.png", np.uint8(THREE > 0) * 255)
    save(folder / "masks/b.png", np.uint8(THREE > 0) * 255)
    codes = {0: 0, 255: 1}
    assert report(folder, ("x", "y"), codes=codes).faults == ()
    ours = FolderDataset(folder / "images", folder / "masks", ("x", "y"),
                         codes)
    assert np.array_equal(ours["a"].mask, THREE > 0)


# Sequences

@pytest.fixture
def ours(folder):
    for name in "cdef":
        save(folder / f"images/{name}.png", RGB)
        save(folder / f"masks/{name}.png", THREE)
    return FolderDataset(folder / "images", folder / "masks", "xyz")


def test_a_data_set_is_a_sequence(ours):
    assert len(ours) == 6 and ours.names == tuple("abcdef")
    assert ours[0].name == ours[-6].name == ours["a"].name == "a"
    assert [s.name for s in ours] == list("abcdef")
    assert [s.name for s in ours[1:5:2]] == ["b", "d"]
    assert "c" in ours and "z" not in ours
    assert np.array_equal(ours["b"].image, RGB)
    assert np.array_equal(ours[np.int64(1)].mask, THREE)
    assert ours["a"].classes == ("x", "y", "z")
    with pytest.raises(IndexError):
        ours[6]
    with pytest.raises(ValueError, match="name is 'z'; needed: one of a, b"):
        ours["z"]


def test_a_part_is_again_a_data_set(ours):
    part = ours.where(lambda name: name in "bdf")
    assert isinstance(part, FolderDataset) and part.classes == ours.classes
    assert part.names == ("b", "d", "f") and part[1].name == "d"
    assert len(ours) == 6 and len(part[:0]) == 0
    assert "a" not in part
    with pytest.raises(ValueError, match="name is 'a'"):
        part["a"]
    assert [len(view) for view in (part.images, part.masks[1:])] == [3, 2]
    assert np.array_equal(part.masks["b"], THREE)


@given(st.slices(6))
def test_slices_are_those_of_the_names(cut):
    letters = View(tuple("abcdef"), str.upper)
    assert letters[cut].names == tuple("abcdef")[cut]
    assert list(letters[cut]) == list("ABCDEF"[cut])


def test_nothing_is_read_before_it_is_asked_for(ours, monkeypatch):
    read = []
    monkeypatch.setattr(datasets, "read_image",
                        lambda *a: read.append("image") or RGB)
    monkeypatch.setattr(datasets, "read_labels",
                        lambda *a: read.append("mask") or THREE)
    part = ours.where(lambda name: name > "b")[1:]
    part.images[:1], part.masks
    assert read == []
    part.masks[0]
    assert read == ["mask"]
    part[0]
    assert read == ["mask", "image", "mask"]


def test_a_data_set_travels_to_workers(ours):
    there = pickle.loads(pickle.dumps(ours[2:]))
    assert there.names == tuple("cdef")
    assert np.array_equal(there[0].mask, THREE)
    assert copy.deepcopy(ours)[1].name == "b"


def test_a_folder_with_a_fault_is_not_opened(folder):
    (folder / "masks/b.png").unlink()
    with pytest.raises(ValueError, match="b.png has no mask, and 0 more"):
        FolderDataset(folder / "images", folder / "masks", "xyz")


def test_a_bad_label_names_its_file(folder):
    save(folder / "masks/b.png", THREE + 1)
    ours = FolderDataset(folder / "images", folder / "masks", "xyz")
    assert ours["a"].mask.max() == 2
    with pytest.raises(ValueError, match=r"b.png: labels holds 3, which"):
        ours["b"]


# The pictures that are always there

def test_the_sample_pictures():
    pictures = SamplePictures()
    assert {"coins", "coffee", "chelsea", "cell"} <= set(pictures.names)
    for sample in pictures:
        codes = {*range(len(sample.classes)), VOID}
        assert set(np.unique(sample.mask).tolist()) <= codes
        assert sample.image.dtype == np.uint8 and len(sample.classes) >= 2


def test_the_coins_are_numbered():
    coins = SamplePictures()["coins"]
    assert coins.instances.dtype == np.int32 and coins.instances.max() == 24
    assert np.array_equal(coins.instances > 0, coins.mask == 1)


def test_depth_of_the_motorcycle():
    """By hand: 994.978 px × 0.193001 m over the shift plus 31.086 px."""
    from skimage import data
    depth = datasets.distance("motorcycle")
    shift = data.stereo_motorcycle()[2]
    assert depth.shape == shift.shape and depth.dtype == np.float32
    row, column = np.argwhere(np.isfinite(shift))[1000]
    assert depth[row, column] == pytest.approx(
        192.0317 / (shift[row, column] + 31.086), rel=1e-5)
    assert np.isnan(depth[~np.isfinite(shift)]).all()
    assert 1 < np.nanmin(depth) < np.nanmax(depth) < 20
    assert datasets.distance("coins") is None


# Published sets: where they are, and what is said when they aren't

def every_set():
    return [kind for kind in vars(datasets).values()
            if inspect.isclass(kind) and issubclass(kind, Published)
            and hasattr(kind, "card")]


@pytest.mark.parametrize("kind", every_set(), ids=lambda kind: kind.__name__)
def test_a_missing_set_says_where_to_get_it(kind, tmp_path):
    with pytest.raises(DatasetNotFound) as caught:
        kind(root=tmp_path)
    said = str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)
    assert kind.card.page in said and str(tmp_path / kind.card.folder) in said
    assert ("download=True" in said) == bool(kind.card.url)
    assert "\n" not in said and list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="split is 'tset'; needed: one of"):
        kind("tset", root=tmp_path)


@pytest.mark.parametrize("kind", every_set(), ids=lambda kind: kind.__name__)
def test_every_set_has_its_card_in_the_readme(kind):
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert f"`{kind.card.folder}/`" in text, kind.card.name
    assert kind.card.page in text
    assert kind.card.url in ("", "torchvision") or kind.card.url in text


def test_the_registry_finds_every_set():
    for kind in (*every_set(), SamplePictures):
        name = re.sub(r"\W", "", kind.__name__).lower()
        assert resolve("dataset", name) is kind


def test_root_is_argument_then_environment(tmp_path, monkeypatch):
    save(tmp_path / "a/documents/images/p.png", GREY)
    save(tmp_path / "a/documents/masks/p.png", THREE > 0)
    monkeypatch.setenv("SEGLIB_DATA", str(tmp_path / "a"))
    assert Documents().names == ("p",)
    with pytest.raises(DatasetNotFound):
        Documents(root=tmp_path)


def test_download_only_what_is_not_there(tmp_path, monkeypatch):
    def obtain(card, home):
        calls.append(home)
        save(home / "train/a.png", RGB)
        save(home / "trainannot/a.png", THREE)

    calls = []
    monkeypatch.setattr(datasets, "obtain", obtain)
    assert len(CamVid(root=tmp_path, download=True)) == 1
    assert len(CamVid(root=tmp_path, download=True)) == 1
    assert calls == [tmp_path / "camvid"]


def test_a_download_that_fails_says_what_to_do(tmp_path, monkeypatch):
    card = replace(readers.CAMVID, url="http://127.0.0.1:9/none.zip")
    monkeypatch.setattr(CamVid, "card", card)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(DatasetNotFound, match="could not fetch") as caught:
        CamVid(root=tmp_path, download=True)
    assert card.page in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DatasetNotFound, match="has no direct address"):
        Horses(root=tmp_path, download=True)


# Every layout, in miniature

def test_camvid(tmp_path):
    masks = np.array([[0, 10, 11, 3]], np.uint8)
    for split in ("train", "val", "test"):
        save(tmp_path / f"camvid/{split}/0006R0_f00930.png", RGB[:1])
        save(tmp_path / f"camvid/{split}annot/0006R0_f00930.png", masks)
    [sample] = CamVid("test", root=tmp_path)
    assert sample.mask.tolist() == [[0, 10, VOID, 3]]
    assert sample.classes[10] == "cyclist" and len(sample.classes) == 11
    assert CamVid(root=tmp_path).split == "train"
    assert not CamVid(root=tmp_path).where(
        lambda name: not name.startswith("0006R0"))


@pytest.mark.parametrize("images, masks", [
    ("images/a.jpg", "gt/a.png"),
    ("GrabCut/data_GT/a.jpg", "GrabCut/boundary_GT/a.bmp")])
def test_grabcut(tmp_path, images, masks):
    save(tmp_path / "grabcut" / images, RGB[:1])
    save(tmp_path / "grabcut" / masks,
         np.array([[0, 128, 255, 255]], np.uint8))
    data = GrabCut50(root=tmp_path)
    assert data[0].mask.tolist() == [[0, VOID, 1, 1]]
    with pytest.raises(DatasetNotFound, match="no strokes in this copy"):
        data.scribbles("a")
    save((tmp_path / "grabcut" / masks).parents[1] / "scribbles/a.png",
         np.array([[0, 1, 2, 0]], np.uint8))
    assert data.scribbles("a").tolist() == [[VOID, 1, 0, VOID]]


def test_horses_as_published(tmp_path):
    """A JPEG mask of another size than its image."""
    big = np.zeros((40, 60), np.uint8)
    big[10:30, 20:40] = 255
    for number in (7, 200, 201):
        name = f"horse{number:03d}.jpg"
        save(tmp_path / "horses/figure_ground" / name, big, quality=60)
        save(tmp_path / "horses/rgb" / name, np.full((80, 120, 3), 99, np.uint8))
    train, test = (Horses(s, root=tmp_path) for s in ("train", "test"))
    assert train.names == ("horse007", "horse200")
    assert test.names == ("horse201",)
    assert len(Horses("all", root=tmp_path)) == 3
    assert np.array_equal(test[0].mask, big > 0)
    assert test[0].image.shape == (40, 60, 3)


@pytest.mark.parametrize("masks, ink", [
    ("masks/p.png", 255), ("gt/p_estGT.tiff", 0), ("gt/p_gt.bmp", 0)])
@pytest.mark.parametrize("bits", [1, 8])
def test_documents_in_both_polarities(tmp_path, masks, ink, bits):
    drawn = np.where(THREE > 0, ink, 255 - ink).astype(np.uint8)
    save(tmp_path / "documents/images/p.png", GREY)
    save(tmp_path / "documents" / masks, drawn if bits == 8 else drawn > 0)
    [sample] = Documents(root=tmp_path)
    assert np.array_equal(sample.mask, THREE > 0)


@pytest.mark.parametrize("stacked", [True, False])
def test_isbi(tmp_path, stacked):
    pages = [np.full((3, 4), k, np.uint8) for k in range(30)]
    labels = [np.uint8(p % 2 * 255) for p in pages]
    for name, folder, arrays_ in (("train-volume", "image", pages),
                                  ("train-labels", "label", labels)):
        if stacked:
            first, *rest = map(Image.fromarray, arrays_)
            (tmp_path / "isbi").mkdir(exist_ok=True)
            first.save(tmp_path / f"isbi/{name}.tif", save_all=True,
                       append_images=rest)
        else:
            for k, page in enumerate(arrays_):
                save(tmp_path / f"isbi/{folder}/{k:02d}.png", page)
    train, val = (ISBI2012(s, root=tmp_path) for s in ("train", "val"))
    assert (len(train), len(val)) == (24, 6)
    assert val.names == ("24", "25", "26", "27", "28", "29")
    assert val[1].image[0, 0] == 25 and val[1].mask[0, 0] == 1
    assert len(ISBI2012("all", root=tmp_path)) == 30


def test_nuclei_as_published_and_merged(tmp_path):
    home = tmp_path / "a/nuclei/stage1_train/0f3"
    save(home / "images/0f3.png", np.dstack([RGB, GREY]))
    save(home / "masks/x.png", np.uint8(THREE == 1) * 255)
    save(home / "masks/y.png", np.uint8(THREE == 2) * 255)
    save(tmp_path / "b/nuclei/train/images/0f3.png", RGB)
    save(tmp_path / "b/nuclei/train/labels/0f3.png", THREE)
    for root in "ab":
        [sample] = Nuclei(root=tmp_path / root)
        assert sample.name == "0f3" and np.array_equal(sample.image, RGB)
        assert np.array_equal(sample.instances, THREE)
        assert np.array_equal(sample.mask, THREE > 0)
        assert sample.mask.dtype == np.uint8


def test_penn_fudan(tmp_path):
    home = tmp_path / "pennfudan/PennFudanPed"
    save(home / "PNGImages/FudanPed00001.png", RGB)
    save(home / "PedMasks/FudanPed00001_mask.png", THREE)
    [sample] = PennFudan(root=tmp_path)
    assert np.array_equal(sample.instances, THREE)
    assert np.array_equal(sample.mask, THREE > 0)


def test_bsds(tmp_path):
    save(tmp_path / "bsds/images/3096.jpg", RGB)
    for k in range(2):
        save(tmp_path / f"bsds/groundTruth/3096_{k}.png", THREE * k)
    data = BSDS500("val", root=tmp_path)
    first, second = data.drawings("3096")
    assert (first == 1).all() and np.array_equal(second, THREE + 1)
    assert np.array_equal(data[0].instances, first)
    assert not data[0].mask.any() and data[0].mask.dtype == np.uint8
    with pytest.raises(DatasetNotFound):
        BSDS500("train", root=tmp_path)


def test_pets(tmp_path):
    home = tmp_path / "oxford-iiit-pet"
    save(home / "images/Abyssinian_1.jpg", RGB[:1])
    save(home / "annotations/trimaps/Abyssinian_1.png",
         np.array([[1, 2, 3, 1]], np.uint8))
    (home / "annotations/trainval.txt").write_text("Abyssinian_1 1 1 1\n")
    [sample] = Pets(root=tmp_path)
    assert sample.mask.tolist() == [[1, 0, VOID, 1]]


def test_pascal_voc(tmp_path):
    home = tmp_path / "VOCdevkit/VOC2012"
    save(home / "JPEGImages/2007_1.jpg", RGB[:1])
    labels = Image.fromarray(np.array([[0, 20, 255, 1]], np.uint8))
    labels.putpalette([9, 9, 9] * 256)
    (home / "SegmentationClass").mkdir()
    labels.save(home / "SegmentationClass/2007_1.png")
    (home / "ImageSets/Segmentation").mkdir(parents=True)
    (home / "ImageSets/Segmentation/val.txt").write_text("2007_1\n")
    [sample] = PascalVOC("val", root=tmp_path)
    assert sample.mask.tolist() == [[0, 20, VOID, 1]]
    assert len(sample.classes) == 21 and sample.name == "2007_1"


def test_cityscapes(tmp_path):
    home = tmp_path / "cityscapes"
    for name in ("b_1", "a_2"):
        save(home / f"leftImg8bit/val/bonn/{name}_leftImg8bit.png", RGB[:1])
        save(home / f"gtFine/val/bonn/{name}_gtFine_labelIds.png",
             np.array([[7, 33, 0, 26]], np.uint8))
    data = Cityscapes("val", root=tmp_path)
    assert data.names == ("a_2_leftImg8bit", "b_1_leftImg8bit")
    assert data[0].mask.tolist() == [[0, 18, VOID, 13]]
    assert data.classes[13] == "car" and len(data.classes) == 19


# Real data

@pytest.mark.real
@pytest.mark.parametrize("kind, split, count", [
    (CamVid, "train", 367), (CamVid, "val", 101), (ISBI2012, "train", 24),
    (ISBI2012, "val", 6), (GrabCut50, "all", None), (Horses, "all", None),
    (Documents, "all", None), (Nuclei, "train", None), (BSDS500, "val", None)],
    ids=lambda value: getattr(value, "__name__", str(value)))
def test_real_sets_keep_the_contract(real_data, kind, split, count):
    try:
        data = kind(split, root=real_data)
    except DatasetNotFound as missing:
        pytest.skip(f"this machine lacks it: {missing}")
    assert count in (None, len(data))
    for sample in data[::max(1, len(data) // 6)]:
        labels = set(np.unique(sample.mask).tolist()) - {VOID}
        assert labels <= set(range(len(data.classes)))
        assert sample.image.dtype == np.uint8
        if sample.instances is not None:
            assert sample.instances.dtype == np.int32
            assert sample.instances.max() > 0


@pytest.mark.real
def test_a_drive_of_camvid_is_held_out(real_data):
    train = CamVid(root=real_data)
    held = train.where(lambda name: name.startswith("0006R0"))
    rest = train.where(lambda name: not name.startswith("0006R0"))
    assert (len(held), len(rest)) == (101, 266)


@pytest.mark.real
def test_camvid_counts_as_its_card_says(real_data):
    """Pixels of a class in val, counted by whoever prepared the data."""
    count = sum(np.bincount(mask.ravel(), minlength=256)
                for mask in CamVid("val", root=real_data).masks)
    assert count[[0, 3, 10, VOID]].tolist() == [
        1601620, 5053176, 387010, 297271]
