"""Files, archives and downloads: whole or not at all."""
import hashlib
import http.server
import io
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from seglib import readers
from seglib.readers import (fetch, find_drawings, find_objects, find_pairs,
                            find_stacks, locate, match, merge_masks, obtain,
                            pair, read_drawings, read_image, read_labels,
                            tree_digest)


def png(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path, **options)
    return path


GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
RGB = np.stack([GREY, GREY + 50, GREY + 100], axis=2)


# Images

@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_note_says(tmp_path, orientation):
    """Against Pillow's own constants for undoing each orientation."""
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[orientation]
    note = Image.Exif()
    note[0x0112] = orientation
    path = png(tmp_path / "a.png", RGB, exif=note)
    wanted = Image.fromarray(RGB)
    if undo is not None:
        wanted = wanted.transpose(Image.Transpose(undo))
    assert np.array_equal(read_image(path), np.asarray(wanted))


def test_grey_stays_grey_and_alpha_goes(tmp_path):
    assert read_image(png(tmp_path / "g.png", GREY)).shape == (3, 4)
    alpha = np.dstack([RGB, GREY])
    assert np.array_equal(read_image(png(tmp_path / "a.png", alpha)), RGB)
    image = read_image(png(tmp_path / "b.png", GREY > 5))
    assert image.max() == 255 and image.dtype == np.uint8


def test_a_deep_image_is_refused(tmp_path):
    path = png(tmp_path / "deep.png", GREY.astype(np.uint16) * 5000)
    with pytest.raises(ValueError, match="deep.png has mode I;16; needed: 8"):
        read_image(path)


# Masks

@pytest.mark.parametrize("labels", [
    GREY, GREY.astype(np.uint16) * 1000, GREY.astype(np.int32) * 70000])
def test_labels_come_back_as_stored(tmp_path, labels):
    path = tmp_path / "m.tif"
    assert np.array_equal(read_labels(png(path, labels)), labels)


def test_labels_of_a_palette_are_its_indices(tmp_path):
    image = Image.fromarray(GREY)
    image.putpalette(list(range(255, -1, -1)) * 3)
    image.save(tmp_path / "p.png")
    assert np.array_equal(read_labels(tmp_path / "p.png"), GREY)


def test_one_bit_becomes_zero_and_one(tmp_path):
    labels = read_labels(png(tmp_path / "b.png", GREY > 5))
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, GREY > 5)


def test_colours_are_no_labels(tmp_path):
    with pytest.raises(ValueError, match="mask c.png has mode RGB; needed"):
        read_labels(png(tmp_path / "c.png", RGB))


@given(arrays(bool, (4, 3, 5)))
def test_merged_masks_the_last_wins(masks):
    merged = merge_masks(masks)
    for row, column in np.ndindex(3, 5):
        owners = np.flatnonzero(masks[:, row, column])
        assert merged[row, column] == (owners[-1] + 1 if owners.size else 0)


# Pairs

def test_match_tells_all_that_does_not_add_up(tmp_path):
    for name in ("images/a.png", "images/b.jpg", "images/c.png",
                 "images/c.jpg", "masks/a.png", "masks/c.png",
                 "masks/d.png"):
        png(tmp_path / name, GREY)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    found, faults = match(tmp_path / "images", tmp_path / "masks")
    assert list(found) == ["a", "c"]
    assert faults == [("c.png", "has the stem of c.jpg"),
                      ("b.jpg", "has no mask"), ("d.png", "has no image")]
    with pytest.raises(ValueError, match="c.png has the stem of c.jpg, and 1"):
        pair(tmp_path / "images", tmp_path / "masks")


def test_suffixes_and_folders(tmp_path):
    png(tmp_path / "x/JPEG/a.png", GREY)
    png(tmp_path / "x/PNG/a_mask.png", GREY)
    assert locate(tmp_path, "JPEG", "PNG") == tmp_path / "x"
    assert locate(tmp_path, "JPEG", "no such") is None
    assert locate(tmp_path / "nowhere", "JPEG") is None
    found = find_pairs(tmp_path, [("no", "no"), ("{}EG", "PNG")], ("_mask",),
                       "JP")
    assert found["a"].mask.name == "a_mask.png"
    assert find_pairs(tmp_path, [("no", "no")]) == {}


def test_stacks(tmp_path):
    pages = [Image.fromarray(GREY + k) for k in range(3)]
    for name in ("v.tif", "l.tif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    found = find_stacks(tmp_path, "v.tif", "l.tif")
    assert list(found) == ["00", "01", "02"]
    assert read_image(found["02"].image, found["02"].page)[0, 0] == 2
    assert find_stacks(tmp_path, "v.tif", "none.tif") == {}


def test_a_folder_per_image(tmp_path):
    png(tmp_path / "stage1_train/abc/images/abc.png", RGB)
    for k in range(3):
        png(tmp_path / f"stage1_train/abc/masks/{k}.png", GREY == k)
    found = find_objects(tmp_path)
    assert list(found) == ["abc"] and len(found["abc"].mask) == 3
    assert find_objects(tmp_path / "nowhere") == {}


def test_drawings_of_bsds(tmp_path):
    """A .mat file as MATLAB lays it out: a row of structs."""
    from scipy.io import savemat
    png(tmp_path / "BSR/BSDS500/data/images/val/1.jpg", RGB)
    drawn = tmp_path / "BSR/BSDS500/data/groundTruth/val"
    drawn.mkdir(parents=True)
    people = np.empty((1, 2), dtype=object)
    for k in range(2):
        people[0, k] = {"Segmentation": (GREY + k + 1).astype(np.uint16),
                        "Boundaries": GREY > 3}
    savemat(drawn / "1.mat", {"groundTruth": people})
    [files] = find_drawings(tmp_path, "val").values()
    first, second = read_drawings(files.mask)
    assert np.array_equal(first, GREY + 1) and first.dtype == np.int32
    assert np.array_equal(second, GREY + 2)
    assert find_drawings(tmp_path, "train") == {}


# Downloads, from a server on this machine

class Server(http.server.BaseHTTPRequestHandler):
    """/good.zip is whole, /cut.zip breaks off, the rest is not there."""

    content = b""

    def do_GET(self):
        if self.path not in ("/good.zip", "/cut.zip"):
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        half = len(self.content) // 2 if "cut" in self.path else None
        self.wfile.write(self.content[:half])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("top/set/train/a.png", "top/set/trainannot/a.png",
                     "top/other.txt"):
            picture = io.BytesIO()
            Image.fromarray(GREY).save(picture, "png")
            file.writestr(name, picture.getvalue())
    monkeypatch.setattr(Server, "content", archive.getvalue())
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def card(server):
    return replace(readers.CAMVID, url=f"{server}/good.zip",
                   inside="/*/set", tree="")


def test_fetch(server, tmp_path):
    digest = hashlib.sha256(Server.content).hexdigest()
    path = fetch(f"{server}/good.zip", tmp_path, sha256=digest)
    assert path == tmp_path / "good.zip"
    assert path.read_bytes() == Server.content


@pytest.mark.parametrize("name, sha256, said", [
    ("good.zip", "0" * 64, "hash"), ("cut.zip", None, ""),
    ("none.zip", None, "404")])
def test_a_failed_download_leaves_nothing(server, tmp_path, name, sha256,
                                          said):
    with pytest.raises(OSError, match=f"could not fetch .*{said}") as caught:
        fetch(f"{server}/{name}", tmp_path, sha256)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_obtain(card, tmp_path):
    home = obtain(card, tmp_path / "data" / "camvid")
    assert sorted(p.name for p in home.iterdir()) == ["train", "trainannot"]
    assert [p.name for p in home.parent.iterdir()] == ["camvid"]


def test_obtain_checks_the_files_inside(card, tmp_path):
    home = obtain(card, tmp_path / "first")
    known = replace(card, tree=tree_digest(home))
    obtain(known, tmp_path / "second")
    (home / "train" / "a.png").write_bytes(b"other")
    assert tree_digest(home) != known.tree
    with pytest.raises(OSError, match="does not hold the CamVid we know"):
        obtain(replace(card, tree=tree_digest(home)), tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_obtain_leaves_nothing_behind_when_it_is_stopped(
        card, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt
    monkeypatch.setattr(readers, "unpack", stop)
    with pytest.raises(KeyboardInterrupt):
        obtain(card, tmp_path / "data" / "camvid")
    assert list((tmp_path / "data").iterdir()) == []


def test_obtain_overwrites_nothing(card, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="nothing is overwritten"):
        obtain(card, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_damaged_archive_is_one_clear_line(card, tmp_path, monkeypatch):
    monkeypatch.setattr(Server, "content", b"no archive at all")
    with pytest.raises(OSError, match="could not unpack good.zip"):
        obtain(card, tmp_path / "camvid")
    assert list(tmp_path.iterdir()) == []


def test_the_digest_is_what_sha256sum_would_list(tmp_path):
    names = ["b/2.png", "a/1.png", "annot/1.png"]
    for name in names:
        png(tmp_path / name, GREY)
    content = (tmp_path / "a/1.png").read_bytes()
    line = hashlib.sha256(content).hexdigest() + "  {}\n"
    listing = "".join(line.format(name) for name in sorted(names))
    assert tree_digest(tmp_path) == hashlib.sha256(
        listing.encode()).hexdigest()


@given(st.sampled_from([v for v in vars(readers).values()
                        if isinstance(v, readers.Card)]))
def test_cards_are_filled_in(card):
    assert card.name and card.folder and card.terms and card.citation
    assert card.page.startswith("http")
    assert not card.url or card.url == "torchvision" or (
        card.url.startswith("http"))
