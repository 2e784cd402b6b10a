"""`setup.py` makes `.venv`, does nothing twice, and repairs what was killed.

Real virtual environments, but no pip: what pip would install is written
down instead.
"""
import ast
import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import setup

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "book" / "tools" / "setup.py"


@pytest.fixture
def course(tmp_path):
    """A checkout with a lock, a project, and no .venv."""
    root = (tmp_path / "a course").resolve()
    root.mkdir()
    (root / "requirements.lock").write_text("numpy==2.4.6\n")
    (root / "pyproject.toml").write_text("[project]\n")
    return root


class Pip:
    """Notes what would be installed; fails when told to."""

    def __init__(self):
        self.asked, self.failing = [], None

    def __call__(self, root, *what):
        self.asked.append(what[0])
        if what[0] == self.failing:
            raise setup.SetupError("no network")


@pytest.fixture
def pip(monkeypatch):
    monkeypatch.setattr(setup, "pip_install", pip := Pip())
    return pip


@pytest.fixture
def small_venv(monkeypatch):
    """Environments without pip in them: made in no time."""
    run = subprocess.run

    def quick(command, **options):
        if "venv" in command:
            command = [*command, "--without-pip"]
        elif "import pip, " in command[-1]:
            command = [*command[:-1], command[-1].replace("pip, ", "")]
        return run(command, **options)

    monkeypatch.setattr(setup.subprocess, "run", quick)


BOTH = ["-r", "--no-deps"]


def test_makes_a_venv_then_does_nothing(course, pip, small_venv):
    assert setup.set_up(course) is True
    assert pip.asked == BOTH
    python = setup.python_of(course / ".venv")
    said = subprocess.run([python, "-c", "import sys; print(sys.prefix)"],
                          capture_output=True, text=True, check=True).stdout
    assert Path(said.strip()) == course / ".venv"
    assert setup.set_up(course) is False and pip.asked == BOTH


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_file_installs_again_into_the_same_venv(
        course, pip, small_venv, name):
    setup.set_up(course)
    (mark := course / ".venv" / "mark").touch()
    (course / name).write_text("[project]\nname = 'other'\n")
    assert setup.set_up(course) is True
    assert pip.asked == BOTH * 2 and mark.exists()


@pytest.mark.parametrize("failing", BOTH)
def test_what_pip_left_undone_is_done_the_next_time(course, pip, small_venv,
                                                    failing):
    setup.set_up(course)
    (course / "requirements.lock").write_text("numpy==2.5.5\n")
    pip.failing = failing
    with pytest.raises(setup.SetupError):
        setup.set_up(course)
    assert not setup.is_ready(course)
    # even when the old lock is back: nobody knows what is installed now
    (course / "requirements.lock").write_text("numpy==2.4.6\n")
    assert not setup.is_ready(course)
    pip.failing, pip.asked = None, []
    assert setup.set_up(course) is True and pip.asked == BOTH


def test_a_venv_whose_python_is_gone_is_made_anew(course, pip, small_venv):
    setup.set_up(course)
    python = setup.python_of(course / ".venv")
    python.unlink()
    assert not setup.is_ready(course)
    assert setup.set_up(course) is True
    assert python.exists() and setup.is_ready(course)


def test_a_half_made_venv_is_made_anew(course, pip, small_venv):
    folder = course / ".venv"
    folder.mkdir()
    (folder / "pyvenv.cfg").write_text("home = /nowhere\n")
    (left := folder / "leftover").touch()
    assert setup.set_up(course) is True
    assert not left.exists() and setup.is_ready(course)


def test_a_venv_without_pip_is_not_usable(course):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip",
                    course / ".venv"], check=True)
    assert not setup.is_usable(course / ".venv")


def test_a_course_that_moved_gets_a_new_venv(course, pip, small_venv):
    setup.set_up(course)
    (course / ".venv" / "mark").touch()
    moved = course.rename(course.parent / "moved")
    assert not setup.is_ready(moved)
    assert setup.set_up(moved) is True
    assert not (moved / ".venv" / "mark").exists()


def test_a_folder_that_is_no_venv_is_left_alone(course, pip):
    (precious := course / ".venv" / "thesis.txt").parent.mkdir()
    precious.touch()
    with pytest.raises(setup.SetupError, match="not a virtual environment"):
        setup.set_up(course)
    assert precious.exists() and pip.asked == []


def test_traces_of_a_killed_pip_are_swept(course, pip, small_venv):
    setup.set_up(course)
    site = next((course / ".venv").glob(
        "Lib/site-packages" if os.name == "nt" else "lib/*/site-packages"))
    for name, record in (("done-1.dist-info", True), ("~umpy", True),
                         ("half-1.dist-info", False), ("half", False)):
        (site / name).mkdir()
        if record:
            (site / name / "RECORD").touch()
    setup.sweep(course / ".venv")
    assert {p.name for p in site.iterdir()} >= {"done-1.dist-info", "half"}
    assert not {p.name for p in site.iterdir()} & {
        "~umpy", "half-1.dist-info"}


def one_line():
    with pytest.raises(SystemExit) as stopped:
        setup.main([])
    assert stopped.value.code.startswith("error: ")
    assert "\n" not in stopped.value.code
    return stopped.value.code


def test_python_too_old_is_one_line(monkeypatch):
    monkeypatch.setattr(setup.sys, "version_info", (3, 10, 4))
    assert "this is Python 3.10; needed: 3.11 or newer" in one_line()


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_python_without_venv_is_one_line(course, monkeypatch, module):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        setup.importlib.util, "find_spec",
        lambda name: None if name == module else find(name))
    with pytest.raises(setup.SetupError,
                       match=rf"no module {module}; .*python3-venv"):
        setup.set_up(course)
    assert not (course / ".venv").exists()


def test_failing_pip_is_one_line(course, small_venv):
    setup.make_venv(course / ".venv")
    with pytest.raises(setup.SetupError,
                       match="`pip install -r requirements.lock` failed"):
        setup.pip_install(course, "-r", "requirements.lock")  # no pip there


def test_full_disk_is_one_line(monkeypatch):
    def full():
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(setup, "set_up", full)
    assert "No space left on device" in one_line()


def test_an_old_python_can_read_the_tool_up_to_its_complaint():
    tree = ast.parse(TOOL.read_text("utf-8"), feature_version=(3, 7))
    imported = {alias.name.split(".")[0] for node in ast.walk(tree)
                if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree)
                 if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names)


def test_oldest_python_is_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">={}.{}".format(*setup.OLDEST)


def test_help_says_how_to_call_it():
    said = subprocess.run([sys.executable, TOOL, "--help"],
                          capture_output=True, text=True, check=True).stdout
    assert "python book/tools/setup.py" in said
