"""The rules of the house, and for each a planted breach that is found."""
import re
import subprocess
import sys

import build
import check_pages
import course
import export
import house
import nbformat
import notebooks
import publish
import pytest
from bs4 import BeautifulSoup
from conftest import ROOT, write_chapter

CHAPTERS = course.all_chapters()
by_name = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.name)


# 1. One source

def test_rule_1_modules_are_what_chapters_export():
    assert house.one_source() == []


def test_rule_1_finds_an_edited_module(small_course):
    path = small_course / "seglib" / "first.py"
    path.write_text(path.read_text().replace("np.add(x, x)", "2 * x"))
    assert house.one_source(small_course) == [
        "seglib/first.py is not what 01_first.py exports"]


def test_rule_1_finds_a_module_without_a_chapter(small_course):
    (small_course / "seglib" / "extra.py").write_text("x = 1\n")
    assert house.one_source(small_course) == [
        "seglib/extra.py is exported by no chapter"]


# 2. Forward only

def test_rule_2_imports_go_forward():
    assert house.forward_only() == []


@pytest.mark.parametrize("statement", [
    "from seglib.second import thrice", "import seglib.second",
    "from seglib import second"])
def test_rule_2_finds_an_import_from_a_later_chapter(small_course, statement):
    with (small_course / "chapters" / "01_first.py").open("a") as file:
        file.write(f"\n# %%\ndef f():\n    {statement}\n")
    [fault] = house.forward_only(small_course)
    assert "01_first.py" in fault and "'second'" in fault


def test_rule_2_own_module_only_once_it_is_defined(small_course):
    write_chapter(
        small_course, "03_third", "from seglib.third import late",
        "#tags: export\ndef late():\n    return 1",
        "from seglib.third import late", module="third")
    [fault] = house.forward_only(small_course)
    assert "'late' from itself before it is defined" in fault


def test_rule_2_finds_copied_code(small_course):
    body = "    y = x + 1\n    return y * 2\n"
    (small_course / "seglib/first.py").write_text(f"def f(x):\n{body}")
    (small_course / "seglib/second.py").write_text(
        f'def g(x):\n    """Other words."""\n{body}')
    assert house.copied_code(small_course) == ["second.g is a copy of first.f"]


# 3. Importing is free

@pytest.mark.parametrize("chapter", [c for c in CHAPTERS if c.module],
                         ids=lambda c: c.module)
def test_rule_3_importing_is_free(chapter):
    assert house.free_import(chapter) == []


@pytest.mark.parametrize("breach, said", [
    ("import torch", "imports torch"),
    ("import matplotlib.pyplot as plt", "imports matplotlib.pyplot"),
    ("open('left_behind.txt', 'w').write('x')", "writes 'left_behind.txt'"),
    ("import time\ntime.sleep(0.6)", "takes 0.6 s"),
    ("import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9))\n"
     "except OSError:\n    pass", "calls socket.connect"),
    ("import numba\n@numba.njit\ndef f(x):\n    return x\ntry:\n    f(1)\n"
     "except Exception:\n    pass", "compiles f"),
])
def test_rule_3_finds_work_at_import(small_course, breach, said, monkeypatch):
    monkeypatch.chdir(small_course)
    (small_course / "seglib" / "first.py").write_text(breach + "\n")
    chapter = course.find_chapter("01", small_course)
    faults = house.free_import(chapter, small_course)
    assert any(said in fault for fault in faults), faults


# 4. Offline, in minutes

def run_planted(tmp_path, code, real=False):
    path = write_chapter(tmp_path, "01_planted", code)
    return notebooks.run_notebook(course.read_chapter(path), real=real)


def test_rule_4_a_chapter_that_asks_for_the_network_fails(tmp_path):
    with pytest.raises(course.ChapterError, match="a chapter runs offline"):
        run_planted(tmp_path, "import urllib.request\n"
                    "urllib.request.urlopen('http://192.0.2.1', timeout=5)")


@by_name
def test_rule_4_the_header_promises_what_the_rule_allows(chapter):
    assert chapter.minutes["laptop"] <= (20 if chapter.place < 10 else 45) / 60


@pytest.mark.parametrize("name, seconds", [("04", 40.1), ("12", 45.1)])
def test_rule_4_a_slow_chapter_fails_the_build(tmp_path, name, seconds):
    chapter = course.read_chapter(write_chapter(tmp_path, f"{name}_slow"))
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.seglib = {"seconds": seconds}
    with pytest.raises(course.ChapterError, match="its budget is"):
        build.check_budget([chapter], {chapter.name: notebook})
    notebook.metadata.seglib["seconds"] = seconds - 1
    build.check_budget([chapter], {chapter.name: notebook})


# 5. Every picture has alt text

@pytest.mark.parametrize("html, said", [
    ('<img src="data:image/png;base64,aGk=">', "without alt text"),
    ('<img src="data:image/png;base64,aGk=" alt="a/b.png">', "without alt"),
    ('<img src="data:image/png;base64," alt="coins">', "an empty picture"),
    ('<img src="no/such.png" alt="coins">', "a broken picture"),
    ('<div class="cell_output"><svg></svg></div>', "without a label"),
])
def test_rule_5_finds_a_picture_without_words(tmp_path, html, said):
    soup = BeautifulSoup(html, "html.parser")
    [fault] = check_pages.pictures(soup, tmp_path / "page.html", soup)
    assert said in fault


@by_name
def test_rule_5_chapters_draw_only_through_display(chapter):
    """A bare Matplotlib figure would have no alt text."""
    code = "\n".join(cell.source for cell in chapter.code)
    assert not re.search(r"plt\.show\(|(?<!\w)display\(|\.imshow\(", code)


# 6. No outputs in sources, nothing borrowed in the book

def test_rule_6_sources_hold_no_outputs():
    assert house.no_outputs() == []


def test_rule_6_finds_a_committed_notebook(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "data").mkdir()
    for name in ("a.ipynb", "data/borrowed.png"):
        (tmp_path / name).write_text("{}")
    subprocess.run(["git", "-C", tmp_path, "add", "-f", "."], check=True)
    assert len(house.no_outputs(tmp_path)) == 2


def test_rule_6_the_default_book_does_not_see_real_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGLIB_DATA", str(tmp_path))
    code = "import os\nprint(os.environ['SEGLIB_DATA'])"
    hidden = run_planted(tmp_path, code)
    assert str(tmp_path) not in hidden.cells[1].outputs[0].text
    shown = run_planted(tmp_path, code, real=True)
    assert str(tmp_path) in shown.cells[1].outputs[0].text


def test_rule_6_cells_for_real_data_are_left_out(tmp_path):
    path = write_chapter(tmp_path, "01_planted", "#tags: real\nx = 1")
    chapter = course.read_chapter(path)
    assert len(notebooks.make_notebook(chapter).cells) == 1
    assert len(notebooks.make_notebook(chapter, real=True).cells) == 2


def test_rule_6_a_book_with_real_data_is_not_published(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "HTML", tmp_path)
    (tmp_path / "index.html").write_text("")
    (tmp_path / "DO_NOT_PUBLISH").write_text("")
    with pytest.raises(course.ChapterError, match="refused. Do not publish"):
        publish.run([str(tmp_path / "goal")])


# How a chapter is written

@by_name
def test_manners(chapter):
    assert house.manners(chapter) == []


def test_manners_find_a_long_and_wide_cell(tmp_path):
    path = write_chapter(tmp_path, "A9_planted",
                         "\n".join(f"x{i} = {i}" for i in range(16)),
                         "y = " + "1 + " * 20 + "1", place=9)
    faults = house.manners(course.read_chapter(path))
    assert len(faults) == 3
    assert "a cell of 16 lines" in faults[0] and "columns" in faults[1]


def test_manners_find_a_picture_that_nobody_sees(tmp_path):
    path = write_chapter(tmp_path, "01_a", "show(a, alt='A.')\nassert a",
                         "assert a\nshow(a, alt='A.')")
    faults = house.manners(course.read_chapter(path))
    assert sum("what show makes is not shown" in f for f in faults) == 1


def test_manners_find_a_fence_that_wrapping_has_moved(tmp_path):
    path = write_chapter(tmp_path, "A9_planted", "x = 1", place=9)
    path.write_text(path.read_text() + "\n# %% [markdown]\n"
                    "# Enough. ````{solution-end}\n# ````\n")
    assert any("a fence does not begin its line" in fault
               for fault in house.manners(course.read_chapter(path)))


def test_saving_in_jupyterlab_would_leave_no_noise(tmp_path):
    path = write_chapter(tmp_path, "A9_planted", "x = 1", place=9)
    [fault] = house.manners(course.read_chapter(path))
    assert "another form" in fault
    path.write_text(house.saved_form(path))
    assert house.manners(course.read_chapter(path)) == []


def test_docstrings_and_comments_are_not_counted(tmp_path):
    path = write_chapter(
        tmp_path, "A9_planted",
        '@cache\ndef f(x):\n    """Purpose.\n\n    More.\n    """\n'
        "    # why\n\n    return x", place=9)
    [cell] = course.read_chapter(path).code
    assert house.counted_lines(cell, path) == 2


# The exporter is the rules' foundation: see test_tools.py
def test_export_check_is_what_make_test_runs():
    assert export.run(["--check"]) == 0
    done = subprocess.run([sys.executable, "book/tools/export.py", "--check"],
                          cwd=ROOT)
    assert done.returncode == 0
