"""The tools that make library, notebooks and book from the chapters."""
import json
import subprocess
import sys

import bands
import bench
import build
import check_pages
import course
import export
import lab
import machine
import mutants
import nbformat
import notebooks
import numpy as np
import pages
import pytest
import results
from conftest import ROOT, write_chapter
from scipy import stats

TOOLS = sorted(p.name for p in (ROOT / "book/tools").glob("*.py")
               if p.name not in ("bands.py", "browser.py", "course.py",
                                 "machine.py", "pages.py", "splits.py"))


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_says_what_it_does(tool):
    done = subprocess.run(
        [sys.executable, f"book/tools/{tool}", "--help"], cwd=ROOT,
        capture_output=True, text=True)
    assert done.returncode == 0 and "usage:" in done.stdout


# Bands

def test_band_over_images_is_scipys_bootstrap():
    values = np.random.default_rng(1).gamma(2.0, size=60)
    mean, low, high, _ = bands.over_images(values)
    theirs = stats.bootstrap((values,), np.mean, method="percentile",
                             n_resamples=10_000, rng=2).confidence_interval
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(tuple(theirs), abs=0.02)


def test_band_over_seeds_is_the_range_of_few_runs():
    row = bands.row("m", "d", "s", "IoU", [0.5, 0.25, 0.75],
                    bands.over_seeds)
    assert (row["low"], row["value"], row["high"]) == (0.25, 0.5, 0.75)
    assert row["n"] == 3 and "3 seeds" in row["band"]


# Exporter

def test_export_makes_the_module(small_course):
    assert (small_course / "seglib" / "first.py").read_text() == '''\
"""A title: chapter 01 of the course.

Does it work?

Exported from 01_first.py; edit the chapter, not this file.
"""

import numpy as np  # arrays

__all__ = [
    "twice",
]


# What is twice?
# --------------

def twice(x):
    """Two times x.

    Chapter
    -------
    01 A title, "What is twice?".
    """
    # a comment that stays
    return np.add(x, x)
'''


def test_export_adds_the_chapter_below_the_other_sections(small_course):
    text = (small_course / "seglib" / "second.py").read_text()
    assert ('    x : int\n\n    Chapter\n    -------\n    02 A title\n'
            '    """\n') in text
    assert "from seglib.first import twice\n" in text


def test_export_merges_imports(tmp_path):
    path = write_chapter(
        tmp_path, "01_a",
        "#tags: export\nfrom seglib.b import c\nimport numpy as np\n"
        "from __future__ import annotations\nimport os",
        "#tags: export\nimport numpy as np\nfrom os import (\n    path,\n)",
        module="a")
    text = export.export(course.read_chapter(path))
    assert ("from __future__ import annotations\n\nimport os\nfrom os import"
            " (\n    path,\n)\n\nimport numpy as np\n\nfrom seglib.b import c"
            "\n\n__all__") in text
    assert text.count("import numpy") == 1


def test_export_of_what_is_exported_compiles_and_runs(small_course):
    done = subprocess.run(
        [sys.executable, "-c", "from seglib.second import *; print(thrice(2))"],
        cwd=small_course, capture_output=True, text=True)
    assert done.stdout == "6\n"


def test_export_names_the_line_of_a_syntax_error(tmp_path):
    path = write_chapter(tmp_path, "01_a", "#tags: export\nx = 1\ny = = 2",
                         module="a")
    line = path.read_text().splitlines().index("y = = 2") + 1
    with pytest.raises(course.ChapterError, match=f"01_a.py:{line}: invalid"):
        export.export(course.read_chapter(path))


def test_export_refuses_two_chapters_with_one_module(small_course):
    write_chapter(small_course, "03_third", module="first")
    with pytest.raises(course.ChapterError, match="both claim the module"):
        export.run(["--root", str(small_course)])


@pytest.mark.parametrize("name", ["x", "_x"])
def test_export_refuses_a_name_defined_twice(tmp_path, name):
    path = write_chapter(tmp_path, "01_a", f"#tags: export\n{name} = 1",
                         f"#tags: export\n{name} = 2", module="a")
    with pytest.raises(course.ChapterError, match=f"exports '{name}' twice"):
        export.export(course.read_chapter(path))


def test_export_check_writes_nothing(small_course, capsys):
    path = small_course / "seglib" / "first.py"
    path.write_text("old = 1\n")
    assert export.run(["--check", "--root", str(small_course)]) == 1
    assert path.read_text() == "old = 1\n"
    assert "-old = 1" in capsys.readouterr().out


# Notebooks and their cache

def test_notebooks_have_stable_ids_and_no_outputs():
    for chapter in course.all_chapters():
        one, two = (notebooks.make_notebook(chapter) for _ in range(2))
        assert one == two
        nbformat.validate(one)


def test_learners_get_no_solutions():
    for chapter in course.all_chapters():
        text = nbformat.writes(notebooks.make_notebook(
            chapter, solutions=False))
        assert "solution-start" not in text and "solution-end" not in text


def test_import_closure_follows_what_is_imported_indirectly(small_course):
    assert course.import_closure({"second"}, small_course) == {
        "first", "second"}
    assert course.import_closure({"first"}, small_course) == {"first"}


def test_cache_runs_exactly_what_has_changed(small_course, monkeypatch):
    """One module edited: the chapters that import it, and no others."""
    monkeypatch.setattr(course, "ROOT", small_course)
    (small_course / "requirements.lock").write_text("")
    write_chapter(small_course, "03_third",
                  "from seglib.second import thrice")
    write_chapter(small_course, "04_fourth", "print(1)")

    def keys():
        return {c.name: notebooks.cache_key(c, real=False)
                for c in course.all_chapters(small_course)}
    before = keys()
    assert before == keys()
    path = small_course / "seglib" / "first.py"
    path.write_text(path.read_text() + "# edited\n")
    after = keys()
    assert {n for n in after if after[n] != before[n]} == {
        "02_second", "03_third"}
    (small_course / "requirements.lock").write_text("numpy==0\n")
    assert all(keys()[name] != after[name] for name in after)
    monkeypatch.setenv("SEGLIB_PROFILE", "gpu")
    assert len(set(keys().values()) & set(after.values())) == 0


def test_cache_sees_the_files_that_a_chapter_reads(tmp_path, monkeypatch):
    for folder in ("book/results", "seglib", "build"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "requirements.lock").write_text("")
    read = tmp_path / "book" / "results" / "x.json"
    read.write_text("1")
    path = write_chapter(tmp_path, "01_a", f"print(open({str(read)!r}).read())")
    monkeypatch.setattr(course, "ROOT", tmp_path)
    chapter = course.read_chapter(path)
    assert [notebooks.executed(chapter)[1] for _ in range(2)] == [True, False]
    read.write_text("2")
    notebook, ran = notebooks.executed(chapter)
    assert ran and notebook.cells[1].outputs[0].text == "2\n"


# Checked outputs

def checked(tmp_path, code):
    path = write_chapter(tmp_path, "01_a", f"#tags: {notebooks.CHECKED}\n{code}")
    notebook = notebooks.make_notebook(course.read_chapter(path))
    notebook.cells[1].outputs = [nbformat.v4.new_output(
        "stream", name="stdout", text=eval(code[5:]) + "\n")]
    return course.read_chapter(path), notebook


def test_a_checked_cell_prints_no_floats(tmp_path):
    _, notebook = checked(tmp_path, "print('0.123')")
    with pytest.raises(course.ChapterError, match="integers, booleans"):
        notebooks.checked_outputs(notebook, "01_a")


def test_a_checked_cell_without_a_record_is_an_error(tmp_path, monkeypatch):
    """nbval alone would let it pass silently."""
    chapter, notebook = checked(tmp_path, "print('(3, 4)')")
    monkeypatch.setattr(course, "ROOT", tmp_path)
    with pytest.raises(course.ChapterError, match="run `make record`"):
        notebooks.attach_recorded(notebook, chapter)
    path = notebooks.recorded_path(chapter)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(notebooks.checked_outputs(notebook, "01_a")))
    notebooks.attach_recorded(notebook, chapter)
    assert notebook.cells[1].outputs[0].text == "(3, 4)\n"
    notebook.cells[1].source += "  # edited"
    with pytest.raises(course.ChapterError, match="run `make record`"):
        notebooks.attach_recorded(notebook, chapter)


def test_nbval_catches_a_changed_output(tmp_path):
    chapter, notebook = checked(tmp_path, "print('4')")
    notebook.cells[1].execution_count = 1
    for text, code in (("4\n", 0), ("5\n", 1)):
        notebook.cells[1].outputs[0].text = text
        nbformat.write(notebook, tmp_path / "a.ipynb")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--nbval-lax",
             "--nbval-current-env", "-p", "no:cacheprovider", "a.ipynb"],
            cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == code, done.stdout


# Pages

PAGE = """<html><head><script src="math.js"></script></head><body>
<article>{}</article></body></html>"""


def faults_of(tmp_path, body, name="chapters/01_a"):
    path = tmp_path / f"{name}.html"
    path.parent.mkdir(exist_ok=True)
    path.write_text(PAGE.format(body))
    toc = tmp_path / "_toc.yml"
    toc.write_text(f"format: jb-book\nroot: {name}\n")
    return check_pages.check(tmp_path, toc)


OUTPUT = '<div class="cell_output">1</div>'


@pytest.mark.parametrize("body, said", [
    ("text", "without a single output"),
    (OUTPUT + '<div class="output traceback">oops</div>', "an error"),
    (OUTPUT + "<p>with $x^2$ left</p>", "raw math"),
    (OUTPUT + "<p>{term}`void`</p>", "raw markup"),
    (OUTPUT + '<span class="math">x</span>', "no MathJax"),
    (OUTPUT + '<a href="nowhere.html">x</a>', "a broken link"),
    (OUTPUT + '<a href="#nowhere">x</a>', "not there"),
])
def test_page_checker_finds(tmp_path, body, said):
    [fault] = faults_of(tmp_path, body)
    assert said in fault


def test_page_checker_accepts_a_good_page(tmp_path):
    assert faults_of(tmp_path, OUTPUT + '<p id="a">It costs $5 or $6.</p>'
                     '<code>$x$</code><a href="#a">up</a>') == []


def test_page_checker_finds_a_missing_page(tmp_path):
    (tmp_path / "_toc.yml").write_text(
        "root: a\nparts:\n- chapters:\n  - file: b\n    sections:\n"
        "    - file: c\n    - glob: d/*\n")
    assert check_pages.toc_pages(tmp_path / "_toc.yml") == ["a", "b", "c"]
    assert len(check_pages.check(tmp_path, tmp_path / "_toc.yml")) == 3


def test_launch_buttons_open_notebooks(monkeypatch):
    """Only where an address is known, and never the .py sources."""
    monkeypatch.delenv("COURSE_REPOSITORY", raising=False)
    assert "repository" not in build.yaml.safe_load(build.settings(False))
    monkeypatch.setenv("COURSE_REPOSITORY", "https://example.org/a/b")
    config = build.yaml.safe_load(build.settings(False))
    assert config["repository"]["branch"] == "notebooks"
    assert config["launch_buttons"]["colab_url"]


def test_claims_are_gathered_with_their_verdicts(tmp_path):
    path = write_chapter(
        tmp_path, "01_a", "#! ## Claims, checked\n\n### Claim: A is B",
        "x = 1", "#! **Verdict: false.** B is\nsomething else. More.")
    assert pages.chapter_claims(course.read_chapter(path)) == [
        ("A is B", "**false.** B is something else.")]
    path = write_chapter(tmp_path, "02_b", "#! ### Claim: A is B", "x = 1")
    with pytest.raises(course.ChapterError, match="no verdict on 'A is B'"):
        pages.chapter_claims(course.read_chapter(path))


# Measured numbers

def test_results_files_follow_the_schema():
    files = pages.read_results()
    assert files
    for file in files:
        assert results.faults(file) == []
        assert "-dirty" not in file["commit"], "measured with edited sources"


def test_edited_sources_are_told_from_new_results(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.course, "ROOT", tmp_path)
    (tmp_path / "book" / "results").mkdir(parents=True)
    source, result = tmp_path / "a.py", tmp_path / "book" / "results" / "a.json"
    for path in (source, result):
        path.write_text("1")
    who = "-c", "user.name=a", "-c", "user.email=a@example.org"
    for command in (["init", "-q"], ["add", "."],
                    [*who, "commit", "-q", "-m", "a"]):
        machine.git(*command)
    result.write_text("2")
    clean = machine.facts()["commit"]
    assert clean and "-dirty" not in clean
    source.write_text("2")
    assert machine.facts()["commit"] == f"{clean}-dirty"


def test_the_schema_finds_a_missing_band():
    [file, *_] = pages.read_results()
    del file["rows"][0]["low"]
    [fault] = results.faults(file)
    assert "'low' is a required property" in fault


def test_bench_reports_the_ratio_and_checks_equality():
    line = bench.Line("sum", lambda: sum(range(1000)),
                      lambda: sum(range(100_000)), "itself", 1.0)
    row = bench.time_line(line, budget=0.05)
    assert 0 < row["ratio"] < 1 and row["repeats"] >= 5
    with pytest.raises(AssertionError, match="the two results differ"):
        bench.time_line(bench.Line("sum", lambda: 1, lambda: 2, "itself", 1,
                                   same=lambda a, b: a == b))


# Mutants

def test_every_mutant_can_be_planted_and_names_a_test():
    listed = mutants.read_mutants()
    for mutant in listed:
        source = (ROOT / "seglib" / f"{mutant.module}.py").read_text()
        assert source.count(mutant.find) == 1, mutant.name
        file, _, test = mutant.caught_by.partition("::")
        name = test.split("[")[0].split("::")[-1]
        assert f"def {name}(" in (ROOT / file).read_text(), mutant.name
    for chapter in course.all_chapters():
        if chapter.module:
            mine = [m for m in listed if m.module == chapter.module]
            assert len(mine) >= 3, f"{chapter.module}: {len(mine)} mutants"


@pytest.mark.slow
@pytest.mark.parametrize("mutant", mutants.read_mutants(),
                         ids=lambda m: f"{m.module}-{m.name}")
def test_mutant_is_caught(mutant):
    assert mutants.outcome(mutant) == "caught"


# The lab

def test_lab_never_overwrites(tmp_path):
    names = lab.copy_chapters(tmp_path)
    assert len(names) == len(course.all_chapters())
    (tmp_path / names[0]).write_text("mine")
    assert lab.copy_chapters(tmp_path) == []
    assert (tmp_path / names[0]).read_text() == "mine"


# The exit

@pytest.mark.slow
def test_plain_sphinx_builds_the_staged_book(tmp_path):
    build.run([])
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q",
         "-c", "book", str(build.STAGE), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert check_pages.check(tmp_path, build.STAGE / "_toc.yml") == []
