"""The environment: folders, device, and a doctor who never faints."""
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from seglib import __main__ as cli
from seglib import environment

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VARIABLES = ("SEGLIB_DATA", "SEGLIB_WEIGHTS", "SEGLIB_DEVICE",
             "SEGLIB_PROFILE", "NUMBA_CACHE_DIR")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def without_course(monkeypatch, tmp_path):
    """seglib as if it were installed in site-packages."""
    monkeypatch.setattr(environment, "package_folder",
                        lambda: tmp_path / "site-packages" / "seglib")


def states(findings):
    return {finding.what: finding.state for finding in findings}


# Folders
# -------

def test_root_is_the_checkout_from_anywhere(tmp_path):
    code = "from seglib.environment import project_root as r; print(r())"
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path,
                          capture_output=True, text=True, check=True).stdout
    assert Path(said.strip()) == ROOT


def test_looking_up_folders_does_not_import_torch():
    code = ("import sys; from seglib import environment as e;"
            "e.project_root(); e.data_root(); e.weights_root();"
            "e.profile(); print(sorted({'torch', 'numpy'} & {*sys.modules}))")
    said = subprocess.run([sys.executable, "-c", code], text=True,
                          capture_output=True, check=True).stdout
    assert said.strip() == "[]"


def test_results_are_read_and_missing_ones_named(monkeypatch, tmp_path):
    folder = tmp_path / "book" / "results"
    folder.mkdir(parents=True)
    monkeypatch.setattr(environment, "project_root", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match="'04_x'.*nothing yet"):
        environment.results("04_x")
    (folder / "04_x.json").write_text(json.dumps({"rows": [1]}))
    assert environment.results("04_x") == {"rows": [1]}
    with pytest.raises(FileNotFoundError, match="'05_y'.*holds 04_x"):
        environment.results("05_y")


ROWS = [{"method": m, "metric": k, "split": s, "n": 3, "value": float(v)}
        for v, (m, k, s) in enumerate([
            ("Otsu", "IoU", "test"), ("Otsu", "Dice", "test"),
            ("Niblack", "IoU", "test"), ("Niblack", "IoU", "val")])]


@pytest.mark.parametrize("where, value", [
    ({"metric": "Dice"}, 1), ({"split": "val"}, 3),
    ({"method": "Otsu", "metric": "IoU"}, 0), ({"n": 3, "value": 2}, 2)])
def test_the_only_row_that_fits(monkeypatch, where, value):
    monkeypatch.setattr(environment, "results", lambda name: {"rows": ROWS})
    assert environment.measured("04_x", **where) is ROWS[value]


@pytest.mark.parametrize("where, said", [
    ({"method": "otsu", "metric": "Dice"},
     "where is {'method': 'otsu', 'metric': 'Dice'}; needed: what fits one"
     " row of 04_x, not 0; method: 'Niblack', 'Otsu'; metric:"
     " 'Dice', 'IoU'"),
    ({"methd": "Otsu"},
     "where is {'methd': 'Otsu'}; needed: what fits one row of 04_x, not 0;"
     " methd: no such field"),
    ({"method": "Niblack"},
     "where is {'method': 'Niblack'}; needed: what fits one row of 04_x,"
     " not 2; split: 'test', 'val'"),
    ({}, "where is {}; needed: what fits one row of 04_x, not 4; method:"
     " 'Niblack', 'Otsu'; metric: 'Dice', 'IoU'; split:"
     " 'test', 'val'")])
def test_no_row_or_several_are_an_error(monkeypatch, where, said):
    monkeypatch.setattr(environment, "results", lambda name: {"rows": ROWS})
    with pytest.raises(ValueError) as caught:
        environment.measured("04_x", **where)
    assert str(caught.value) == said


@pytest.mark.parametrize("root, variable, default", [
    (environment.data_root, "SEGLIB_DATA", ROOT / "data"),
    (environment.weights_root, "SEGLIB_WEIGHTS", ROOT / "data" / "weights"),
], ids=["data", "weights"])
def test_argument_beats_variable_beats_default(
        monkeypatch, root, variable, default):
    assert root() == default
    monkeypatch.setenv(variable, "~/here")
    assert root() == Path.home() / "here"
    assert root("there") == root(Path("there")) == Path("there")
    monkeypatch.setenv(variable, "")
    assert root() == default


def test_without_the_course_folders_must_be_given(without_course):
    for ask in (environment.project_root, environment.data_root,
                environment.weights_root):
        with pytest.raises(FileNotFoundError, match="without the course"):
            ask()
    assert environment.data_root("x") == Path("x")


# Profile and device
# ------------------

def test_profile(monkeypatch):
    assert environment.profile() == "laptop"
    monkeypatch.setenv("SEGLIB_PROFILE", "gpu")
    assert environment.profile() == "gpu"
    monkeypatch.setenv("SEGLIB_PROFILE", "GPU")
    with pytest.raises(ValueError, match="SEGLIB_PROFILE is 'GPU'; needed"):
        environment.profile()


@pytest.fixture
def machine(monkeypatch):
    """Pretend to have so many CUDA devices, and Metal or not."""
    def pretend(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    return pretend


@pytest.mark.parametrize("have, first, there", [
    ({}, "cpu", ["cpu"]),
    ({"mps": True}, "mps:0", ["mps:0", "cpu"]),
    ({"cuda": 2}, "cuda:0", ["cuda:0", "cuda:1", "cpu"]),
    ({"cuda": 1, "mps": True}, "cuda:0", ["cuda:0", "mps:0", "cpu"]),
], ids=["cpu", "mps", "cuda", "both"])
def test_cuda_then_mps_then_cpu(machine, have, first, there):
    machine(**have)
    assert environment.devices() == there
    assert environment.device() == torch.device(first)


def test_preference_beats_variable_beats_fastest(machine, monkeypatch):
    machine(cuda=2)
    monkeypatch.setenv("SEGLIB_DEVICE", "cuda:1")
    assert environment.device() == torch.device("cuda:1")
    assert environment.device("cpu") == torch.device("cpu")
    assert environment.device("cuda") == torch.device("cuda:0")
    assert environment.device(torch.device("cuda")).index == 0


@pytest.mark.parametrize("wish", ["cuda", "cuda:2", "mps", "gpu", "meta"])
def test_a_device_that_is_not_there_is_one_clear_line(machine, monkeypatch,
                                                      wish):
    machine(cuda=2 if wish == "cuda:2" else 0)
    with pytest.raises(ValueError, match=f"prefer is '{wish}'; .*cpu$"):
        environment.device(wish)
    monkeypatch.setenv("SEGLIB_DEVICE", wish)
    with pytest.raises(ValueError, match=f"SEGLIB_DEVICE is '{wish}'; "):
        environment.device()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tensors_land_on_the_device_that_was_named():
    device = environment.device()
    assert torch.ones(2, device=device).device == device
    assert device.type == "cuda"


# Versions
# --------

releases = st.lists(st.sampled_from([0, 1, 2, 9, 10, 26]),
                    min_size=1, max_size=4).map(
    lambda numbers: ".".join(map(str, numbers)))


@example(release="2", low="2.0", high="2.0.0")
@example(release="1.10", low="1.9", high="1.11")
@given(release=releases, low=releases, high=releases)
def test_admits_what_packaging_admits(release, low, high):
    for text in (f"x>={low}", f"x<{high}", f"x>={low},<{high}"):
        assert (environment.admits(text, release)
                == Requirement(text).specifier.contains(release)), text


def test_suffixes_of_a_version_do_not_count():
    for version in ("2.11.0+cpu", "2.11.0rc1", "2.11.0.post1", "2.11.0a0+git"):
        assert environment.admits("torch>=2.11", version)
        assert not environment.admits("torch>=2.12", version)


def test_project_uses_only_the_signs_that_admits_knows():
    lines = environment.requirements()
    assert lines["needed"] == PROJECT["dependencies"]
    for line in [PROJECT["requires-python"], *sum(lines.values(), [])]:
        specifiers = Requirement(f"x{line}" if line[0] in "<>=" else line)
        assert {s.operator for s in specifiers.specifier} <= {">=", "<"}
    assert environment.PYTHON == f"Python{PROJECT['requires-python']}"


def test_requirements_without_the_course(without_course):
    here = environment.requirements()
    assert list(here) == ["needed"]
    assert ({Requirement(line) for line in here["needed"]}
            == {Requirement(line) for line in PROJECT["dependencies"]})


# The doctor
# ----------

def test_doctor_finds_nothing_missing_here():
    findings = environment.doctor()
    assert [str(f) for f in findings if f.state == "missing"] == []
    whats = [f.what for f in findings]
    assert len(whats) == len(set(whats))
    assert {"Python", "torch", "extra 'course'", "device", "cores", "disk",
            "numba cache", "data", "weights", "kernel"} <= set(whats)
    assert all("\n" not in str(f) for f in findings)


def test_what_is_too_old_or_absent_is_missing(monkeypatch):
    monkeypatch.setattr(environment, "requirements", lambda: {
        "needed": ["numpy>=999", "unobtainium>=1"],
        "course": ["jupytext>=1", "phlogiston>=2"]})
    assert states(environment.check_packages()) == {
        "numpy": "missing", "unobtainium": "missing", "phlogiston": "note"}


def test_old_python_is_missing(monkeypatch):
    monkeypatch.setattr(environment.platform, "python_version",
                        lambda: "3.10.4")
    assert states(environment.check_python())["Python"] == "missing"


def test_whatever_a_check_raises_becomes_a_finding(monkeypatch):
    def check_nerves():
        raise OSError("first line\nsecond line")

    def check_silence():
        raise RuntimeError

    monkeypatch.setattr(environment, "CHECKS", (
        check_nerves, check_silence, environment.check_python))
    first, second, *rest = environment.doctor()
    assert str(first) == "missing  nerves          first line"
    assert (second.state, second.detail) == ("missing", "RuntimeError")
    assert rest == environment.check_python()


def test_idle_gpu_is_a_note(machine, monkeypatch):
    machine(cuda=0)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr(torch.version, "cuda", None)
    finding = environment.check_device()[0]
    assert finding.state == "note" and "built without CUDA" in finding.detail


def test_data_and_weights_are_listed(monkeypatch, tmp_path, without_course):
    assert states(environment.check_data()) == {
        "data": "note", "weights": "note"}
    (tmp_path / "camvid").mkdir()
    monkeypatch.setenv("SEGLIB_DATA", str(tmp_path))
    monkeypatch.setenv("SEGLIB_WEIGHTS", str(tmp_path / "none"))
    data, weights = environment.check_data()
    assert data.state == "ok" and data.detail.startswith("camvid in ")
    assert weights.state == "note"


def test_cache_that_cannot_be_written_is_a_note(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "folder"))
    assert environment.check_cache().state == "note"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "new"))
    assert environment.check_cache().state == "ok"


def test_kernel_of_another_python_is_noted(monkeypatch, tmp_path):
    kernel = tmp_path / "kernels" / "python3"
    kernel.mkdir(parents=True)
    elsewhere = tmp_path / "other" / "bin" / "python"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.symlink_to(sys.executable)   # two .venv share a real Python
    (kernel / "kernel.json").write_text(json.dumps(
        {"argv": [str(elsewhere), "-m", "ipykernel"],
         "display_name": "x", "language": "python"}))
    assert environment.check_kernel()[0].state == "ok"
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    finding = environment.check_kernel()[0]
    assert finding.state == "note" and str(elsewhere) in finding.detail


def test_command_line(monkeypatch, capsys):
    assert cli.main(["doctor"]) == 0
    monkeypatch.setenv("SEGLIB_PROFILE", "huge")
    assert cli.main(["doctor"]) == 1
    assert "missing  device          SEGLIB_PROFILE is 'huge'; needed:" in (
        capsys.readouterr().out)


@pytest.fixture
def bare(tmp_path):
    """A Python with nothing installed."""
    command = [sys.executable, "-m", "venv", "--without-pip"]
    subprocess.run([*command, str(tmp_path / "bare")], check=True)
    folder = "Scripts" if os.name == "nt" else "bin"
    return tmp_path / "bare" / folder / "python"


def test_doctor_works_where_nothing_is_installed(bare):
    done = subprocess.run([bare, "-m", "seglib", "doctor"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert {line.split()[1] for line in lines if line[:7] == "missing"} == {
        *(Requirement(line).name for line in PROJECT["dependencies"]),
        "device"}
