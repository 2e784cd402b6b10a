"""The command line: what it makes, what it refuses, and how it says so."""
import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglib import cli, environment
from seglib.metrics import confusion_matrix, iou
from seglib.runs import WorkerLost, load_checkpoint

CLASSES = ("dark", "bright")


def images_and_masks(folder, n=10, size=(40, 48), grey=False):
    """Bright things on a dark ground, one a file."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for i in range(n):
        mask = np.zeros(size, np.uint8)
        y, x = rng.integers(0, 20, 2)
        mask[y:y + 16, x:x + 20] = 1
        image = np.clip(rng.normal(60 + 120 * mask[..., None], 25,
                                   (*size, 3)), 0, 255).astype(np.uint8)
        image = image[..., 0] if grey else image
        Image.fromarray(image).save(folder / "images" / f"{i:02}.png")
        mask[:3] = 255
        Image.fromarray(mask).save(folder / "masks" / f"{i:02}.png")
    return ["--data", "folder", "--images", str(folder / "images"),
            "--masks", str(folder / "masks"), "--classes", "dark,bright"]


def train(folder, own, *more, model="pixel"):
    return ["train", *own, "--model", model, "--steps", "12", "--batch",
            "4", "--every", "4", "--lr", "0.1", "--warmup", "2", "--device",
            "cpu", "--precision", "fp32", "--folder", str(folder), *more]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return images_and_masks(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def run(own, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert cli.main(train(folder, own)) == 0
    return folder


def one_line(capsys):
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Traceback" not in said, said
    return said


# train
# -----

def test_a_run_leaves_a_folder(run):
    assert {path.name for path in run.iterdir()} == {
        "about.json", "best.pt", "config.json", "history.csv", "last.pt",
        "predictions.png"}
    about = json.loads((run / "about.json").read_text())
    assert about["classes"] == list(CLASSES) and about["channels"] == 3
    assert json.loads((run / "config.json").read_text())["steps"] == 12
    assert len((run / "history.csv").read_text().splitlines()) == 13
    assert load_checkpoint(run / "last.pt")["step"] == 12
    assert Image.open(run / "predictions.png").size[0] >= 3 * 48


def test_it_is_not_overwritten_but_goes_on(run, own, capsys):
    before = (run / "last.pt").read_bytes()
    assert cli.main(train(run, own)) == 2
    assert "holds a run; needed: another one, or --resume" in one_line(capsys)
    assert cli.main(train(run, own, "--resume")) == 0
    capsys.readouterr()
    assert cli.main(train(run, own, "--resume", "--seed", "5")) == 2
    assert "seed 0, now 5" in one_line(capsys)
    assert cli.main(train(run, own, "--resume", model="convnet")) == 2
    assert "model 'pixel', now 'convnet'" in one_line(capsys)
    assert (run / "last.pt").read_bytes() == before


def test_grey_pictures_and_settings_of_a_network(tmp_path, capsys):
    own = images_and_masks(tmp_path, grey=True)
    assert cli.main(train(tmp_path / "run", own, "--with", "width=3",
                          "--size", "36x44", model="convnet")) == 0
    model, about = cli.load_model(tmp_path / "run", "cpu")
    assert about["channels"] == 1 and about["with"] == {"width": 3}
    assert about["data"]["size"] == [36, 44]
    assert next(model.parameters()).shape[:2] == (3, 1)
    assert not model.training
    colour = np.zeros((5, 70, 3), np.uint8)
    assert cli.label(model, colour, 1).shape == (5, 70)


def test_scenes_are_the_default(tmp_path):
    assert cli.main(["train", "--size", "32x40", "--set", "n=8", "--steps",
                     "2", "--batch", "2", "--model", "pixel", "--folder",
                     str(tmp_path / "run"), "--device", "cpu"]) == 0
    about = json.loads((tmp_path / "run" / "about.json").read_text())
    assert about["data"]["data"] == "scenes" and len(about["classes"]) > 10


WRONG = [
    ("", "COMMAND"),
    ("train", "--folder"),
    ("train --folder {x} --modle y", "unrecognized arguments: --modle y"),
    ("train --folder {x} --model y", "invalid choice: 'y'"),
    ("train --folder {x} --data y", "invalid choice: 'y'"),
    ("train --folder {x} --steps many", "invalid int value: 'many'"),
    ("train --folder {x} --size 180", "HEIGHTxWIDTH, as in 180x240"),
    ("train --folder {x} --size 0x9", "HEIGHTxWIDTH, as in 180x240"),
    ("train --folder {x} --set night", "needed: name=value"),
    ("train --folder {x} --set nihgt=1 --size 32x32", "nihgt"),
    ("train --folder {x} --with depht=1 --size 32x32 --steps 1",
     "--with is 'depht'; convnet knows"),
    ("train --folder {x} --data folder", "--images is missing"),
    ("train --folder {x} --data folder --images /no --masks /no"
     " --classes a,b", "--images is '/no'; needed: a folder"),
    ("train --folder {x} --codes 1", "needed: number:class"),
    ("train --folder {x} --data camvid --root /no", "/no/camvid"),
    ("train --folder {x} --data samplepictures", "share no classes"),
    ("train --folder {x} --loss y --size 32x32 --steps 1", "loss is 'y'"),
    ("train --folder {x} --device y --size 32x32 --steps 1", "'y'"),
    ("evaluate {x}", "needed: a folder that `seglib train` has made"),
    ("predict {x} /no {x}", "needed: a folder of images, or one image"),
    ("data y", "invalid choice: 'y'"),
    ("data --download", "needs the name of one data set"),
]


@pytest.mark.parametrize("command, said", WRONG, ids=[w[0] for w in WRONG])
def test_what_is_wrong_is_one_line_and_2(command, said, tmp_path, capsys):
    words = command.format(x=tmp_path / "x").split()
    assert cli.main(words) == 2
    assert said in one_line(capsys)
    assert not (tmp_path / "x" / "last.pt").exists()


@pytest.mark.parametrize("error, code", [
    (ValueError("a\nb"), 2), (FileNotFoundError("gone"), 2),
    (MemoryError("try --batch 4"), 1), (WorkerLost("rank 0 of 2"), 1),
    (KeyboardInterrupt(), 130)])
def test_every_end_has_its_number(error, code, monkeypatch, capsys):
    def fail(options):
        raise error
    monkeypatch.setattr(cli, "doctor", fail)
    assert cli.main(["doctor"]) == code
    assert one_line(capsys).startswith("seglib: ")


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyError("bug"),
                                   TypeError("bug")])
def test_a_bug_does_not_hide(error, monkeypatch):
    def fail(options):
        raise error
    monkeypatch.setattr(cli, "doctor", fail)
    with pytest.raises(type(error)):
        cli.main(["doctor"])


def test_debug_shows_where(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="RUN is"):
        cli.main(["--debug", "evaluate", str(tmp_path)])


def every_parser(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from every_parser(inner)


def test_every_option_has_help():
    found = [action for parser in every_parser(cli.parser())
             for action in parser._actions]
    assert len(found) > 50
    assert not [action.dest for action in found
                if not action.help and action.dest != "command"]


def test_help_is_0(capsys):
    for command in ("train", "evaluate", "predict", "data", "doctor"):
        assert cli.main([command, "--help"]) == 0
        assert "usage: seglib" in capsys.readouterr().out


# Which pictures
# --------------

def test_every_fifth_is_held_out(own):
    about = {"data": "folder", "images": own[3], "masks": own[5],
             "classes": CLASSES, "codes": None, "size": None,
             "settings": {}, "root": None}
    names = {split: set(cli.open_data(about, split).names)
             for split in ("train", "val", "all")}
    assert names["val"] == {"00", "05"}
    assert names["train"] | names["val"] == names["all"]
    assert not names["train"] & names["val"]
    with pytest.raises(ValueError, match="split is 'test'"):
        cli.open_data(about, "test")


def test_computed_splits_share_no_scene():
    about = {"data": "scenes", "size": (32, 40), "settings": {"n": 3}}
    train, val = (cli.open_data(about, s) for s in ("train", "val"))
    assert len(train) == 3 and len(val) == 50
    assert (train[0].image != val[0].image).any()


def test_masks_are_never_mixed():
    rng = np.random.default_rng(0)
    mask = rng.choice(np.array([0, 7, 255], np.uint8), (40, 50))
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    sample = cli.Sample(image, mask, "x")
    small = cli.uniform(sample, (13, 17))
    assert small.image.shape == (13, 17, 3)
    assert set(np.unique(small.mask)) <= {0, 7, 255}
    half = cli.uniform(sample, (20, 25)).image.astype(float)
    mean = image.reshape(20, 2, 25, 2, 3).mean(axis=(1, 3))
    assert np.abs(half - mean).max() <= 1       # not every second pixel


# evaluate
# --------

def test_evaluate_says_what_metrics_say(run, own, tmp_path, capsys):
    target = tmp_path / "scores.json"
    words = ["evaluate", str(run), "--out", str(target), "--device", "cpu",
             "--precision", "fp32"]
    assert cli.main(words) == 0
    table = capsys.readouterr().out
    scores = json.loads(target.read_text())
    model, about = cli.load_model(run, "cpu")
    data = cli.open_data(about["data"], "val")
    matrix = sum(confusion_matrix(cli.label(
        model, s.image, precision="fp32"), s.mask, 2)
                 for s in data)
    assert list(scores["iou"].values()) == pytest.approx(iou(matrix))
    assert scores["mean_iou"] > 0.5 and scores["images"] == 2
    assert f"bright          {scores['iou']['bright']:7.3f}" in table
    assert cli.main(words) == 2
    assert "--overwrite" in one_line(capsys)
    assert cli.main([*words, "--overwrite", "--split", "train"]) == 0
    assert json.loads(target.read_text())["images"] == 8


def test_scores_of_absent_classes_are_json():
    assert cli._plain({"iou": {"a": float("nan"), "b": 0.5}}) == {
        "iou": {"a": None, "b": 0.5}}


# predict
# -------

@pytest.fixture
def zoo(tmp_path):
    """The same picture as files of many kinds, and some that are bad."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    picture = Image.fromarray(photo)
    picture.save(folder / "plain.png")
    picture.convert("RGBA").save(folder / "alpha.png")
    grey = picture.convert("L")
    grey.save(folder / "grey.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 256 + 99).save(
        folder / "deep.png")
    note = Image.Exif()
    note[0x0112] = 6
    Image.fromarray(np.rot90(photo)).save(folder / "turned.png", exif=note)
    Image.fromarray(photo[:1, :1]).save(folder / "dot.bmp")
    Image.fromarray(photo[:2]).save(folder / "thin.tiff")
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_any_image_of_any_size(run, zoo, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["predict", str(run), str(zoo), str(out), "--device",
                     "cpu", "--precision", "fp32"]) == 0
    assert "7 of 7 images" in capsys.readouterr().out
    masks = {path.stem: Image.open(path) for path in
             (out / "masks").iterdir()}
    assert {mask.mode for mask in masks.values()} == {"L"}
    sizes = {name: mask.size for name, mask in masks.items()}
    assert sizes == {**dict.fromkeys(["plain", "alpha", "grey", "deep",
                                      "turned"], (90, 60)),
                     "dot": (1, 1), "thin": (90, 2)}
    same = {name: np.array(mask) for name, mask in masks.items()}
    for one, other in (("plain", "alpha"), ("plain", "turned"),
                       ("grey", "deep")):
        np.testing.assert_array_equal(same[one], same[other])
    model, _ = cli.load_model(run, "cpu")
    with torch.inference_mode():
        x = torch.tensor(np.array(Image.open(zoo / "plain.png")))
        truth = model(x.movedim(2, 0)[None] / 255).argmax(1)[0].numpy()
    np.testing.assert_array_equal(same["plain"], truth)
    assert Image.open(out / "overlays" / "plain.png").size == (90, 60)


def test_a_damaged_image_does_not_stop_the_others(run, zoo, tmp_path,
                                                  capsys):
    whole = (zoo / "plain.png").read_bytes()
    (zoo / "a_half.png").write_bytes(whole[:len(whole) // 2])
    (zoo / "b_empty.jpg").write_bytes(b"")
    (zoo / "c_text.png").write_text("not an image")
    out = tmp_path / "out"
    assert cli.main(["predict", str(run), str(zoo), str(out)]) == 1
    said = capsys.readouterr()
    assert "7 of 10 images" in said.out
    for name in ("a_half.png", "b_empty.jpg", "c_text.png"):
        assert sum(name in line for line in said.err.splitlines()) == 1
    assert len(list((out / "masks").iterdir())) == 7


def test_what_is_there_is_not_overwritten(run, zoo, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "masks").mkdir(parents=True)
    kept = out / "masks" / "plain.png"
    kept.write_bytes(b"mine")
    words = ["predict", str(run), str(zoo), str(out)]
    assert cli.main(words) == 2
    assert "holds plain already; needed" in one_line(capsys)
    assert kept.read_bytes() == b"mine"
    assert len(list(out.rglob("*.png"))) == 1
    assert cli.main([*words, "--overwrite"]) == 0
    assert Image.open(kept).size == (90, 60)


def test_two_images_of_one_name_have_two_masks(run, zoo, tmp_path):
    Image.open(zoo / "plain.png").save(zoo / "plain.bmp")
    out = tmp_path / "out"
    assert cli.main(["predict", str(run), str(zoo), str(out)]) == 0
    names = {path.name for path in (out / "masks").iterdir()}
    assert {"plain.png.png", "plain.bmp.png"} <= names


def test_one_image_will_do(run, zoo, tmp_path):
    assert cli.main(["predict", str(run), str(zoo / "grey.png"),
                     str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "masks" / "grey.png").exists()


def test_overlays_are_painted_alike_in_strips():
    from seglib.display import overlay
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)
    mask = np.repeat(rng.integers(0, 3, (5, 40)), 10, axis=0).astype("u1")
    strips, whole = cli.overlaid(image, mask, 10), overlay(image, mask)
    inner = np.arange(50) % 10 != 0
    inner &= np.arange(50) % 10 != 9
    np.testing.assert_array_equal(strips[inner], whole[inner])


PEAK = ("import resource, sys; from seglib import cli;"
        "code = cli.main(sys.argv[1:]);"
        "print('peak', resource.getrusage("
        "resource.RUSAGE_SELF).ru_maxrss // 1024); sys.exit(code)")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss in KiB")
def test_a_huge_image_needs_little_more_than_itself(tmp_path):
    own = images_and_masks(tmp_path / "own")
    assert cli.main(train(tmp_path / "run", own, "--with", "depth=1",
                          "--with", "width=8", model="convnet")) == 0

    def peak(*size):
        path = tmp_path / f"{size[0]}.png"
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, "predict", str(tmp_path / "run"),
             str(path), str(tmp_path / f"out{size[0]}"), "--device", "cpu"],
            capture_output=True, text=True, timeout=120,
            env=os.environ | {"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split()[-1])

    more = (peak(2500, 3000) - peak(1100, 1100)) * 2**20
    more /= 2500 * 3000 - 1100 * 1100           # bytes a pixel
    assert more < 25, more                      # at once: above 100


# data, doctor, processes
# -----------------------

def test_data_lists_what_is_there(tmp_path, capsys):
    assert cli.main(["data", "--root", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(
        cli.seglib.REGISTRY["dataset"])
    said = {line.split()[0]: line for line in lines}
    assert "not here" in said["camvid"] and "computed" in said["scenes"]


def test_data_downloads_only_when_asked(tmp_path, monkeypatch, capsys):
    from seglib.datasets import CamVid
    asked = []

    def download(self, home):
        asked.append(home)
        raise OSError("no network here")

    monkeypatch.setattr(CamVid, "download", download)
    words = ["data", "camvid", "--root", str(tmp_path)]
    assert cli.main(words) == 0 and not asked
    capsys.readouterr()
    assert cli.main([*words, "--download"]) == 2
    assert asked == [tmp_path / "camvid"]
    assert "no network here" in one_line(capsys)


def test_doctor_is_the_environments(monkeypatch, capsys):
    monkeypatch.setattr(environment, "doctor", lambda: [
        environment.Finding("missing", "torch", "not installed")])
    assert cli.main(["doctor"]) == 1
    assert "missing  torch" in capsys.readouterr().out


def python(*words, **more):
    return subprocess.Popen([sys.executable, "-m", *map(str, words)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=os.environ
                            | {"OMP_NUM_THREADS": "1",
                               "CUDA_VISIBLE_DEVICES": ""}, **more)


def test_a_mistyped_option_does_not_wait_for_torch():
    process = python("seglib", "train", "--modle", "x")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and said.count("\n") == 1
    done = subprocess.run(
        [sys.executable, "-c", "import sys, seglib.cli as cli;"
         "cli.main(['data', '--help']);"
         "sys.exit('torch' in sys.modules)"], capture_output=True)
    assert done.returncode == 0


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_and_130(own, tmp_path):
    words = train(tmp_path / "run", own, "--steps", "4000", "--every", "9")
    process = python("seglib", *words)
    last = tmp_path / "run" / "last.pt"
    until = time.monotonic() + 50
    while not last.exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "Traceback" not in error and "--resume goes on" in said
    step = load_checkpoint(last)["step"]
    assert 9 <= step < 4000
    assert f"stopped after {step} steps" in said


@pytest.mark.slow
def test_torchrun_learns_the_same(run, own, tmp_path):
    process = python("torch.distributed.run", "--standalone",
                     "--nproc-per-node=2", "-m", "seglib",
                     *train(tmp_path / "run", own, "--timeout", "60"))
    said, error = process.communicate(timeout=60)
    assert process.returncode == 0, error[-2000:]
    assert said.count("best mIoU") == 1
    one, two = (load_checkpoint(folder / "last.pt") for folder in
                (run, tmp_path / "run"))
    for name, weight in one["model"].items():
        torch.testing.assert_close(two["model"][name], weight, rtol=1e-3,
                                   atol=1e-4)
    assert [row.get("mean_iou") for row in one["history"]] == pytest.approx(
        [row.get("mean_iou") for row in two["history"]], abs=2e-3)


@pytest.mark.slow
def test_torchrun_says_once_what_is_wrong(tmp_path):
    process = python("torch.distributed.run", "--standalone",
                     "--nproc-per-node=2", "-m", "seglib", "train",
                     "--folder", tmp_path, "--data", "camvid", "--root",
                     tmp_path)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert sum(line.startswith("seglib: ") for line in
               error.splitlines()) == 1


@pytest.mark.real
def test_camvid_end_to_end(real_data, tmp_path):
    run = str(tmp_path / "run")
    assert cli.main(["train", "--data", "camvid", "--root", str(real_data),
                     "--size", "45x60", "--steps", "2", "--every", "2",
                     "--batch", "2", "--model", "pixel", "--folder", run,
                     "--device", "cpu"]) == 0
    assert cli.main(["evaluate", run, "--batch", "32"]) == 0
    scores = json.loads(Path(run, "scores_camvid_val.json").read_text())
    assert scores["images"] == 101 and scores["iou"].keys() >= {"sky"}
