"""Assignments: released without solutions, graded without giveaways."""
import base64
import csv
import html
import io
import re

import assignments
import course
import nbformat
import pytest
from conftest import write_chapter
from PIL import Image

TOY = '''
# %% [markdown]
# Double a number.

# %% nbgrader={"grade_id": "double", "solution": true}
def double(x):
    """Twice `x`."""
    ### BEGIN SOLUTION
    twofold = x + x
    return twofold
    ### END SOLUTION

# %% tags=["expected"]
import numpy as np
from seglib.display import show

show(np.full((4, 4), double(100), np.uint8),
     alt="A square, fairly <light>")

# %% nbgrader={"grade_id": "test-double", "points": 2}
assert double(2) == 4, "two twos are four"
### BEGIN HIDDEN TESTS
for number in (21, -3):
    assert double(number) == number * 2, f"hidden number {number}"
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "test-type", "points": 1}
assert isinstance(double(2), int), "an int doubled is an int"

# %% [markdown] nbgrader={"grade_id": "why", "points": 3, "solution": true}
# Because two is even.
'''
SECRET = ("(21, ", "hidden number", "number * 2")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy")
    path = write_chapter(root, "01_toy")
    path = path.rename(root / "chapters" / "assignments_01_toy.py")
    target = root / "chapters" / "assignments" / "01_toy.py"
    target.parent.mkdir()
    target.write_text(path.read_text() + TOY)
    path.unlink()
    return course.read_chapter(target)


def answer(notebook, **sources):
    """A copy of a notebook with other sources, by nbgrader's cell id."""
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        cell.source = sources.get(name.replace("-", "_"), cell.source)
    return notebook


def define(body):
    return f"def double(x):\n    {body}"


# What the steps know
# -------------------

def test_an_author_writes_little():
    assert assignments.complete({"grade_id": "a", "points": 2}, "code") == {
        "grade_id": "a", "points": 2, "grade": True, "solution": False,
        "locked": True, "task": False, "cell_type": "code",
        "schema_version": 3}
    answered = assignments.complete(
        {"grade_id": "a", "solution": True}, "code")
    assert not answered["grade"] and not answered["locked"]


def test_secrets_are_what_no_visible_line_shows(toy):
    hidden = assignments.secrets(toy, "HIDDEN TESTS")
    assert hidden == [
        'assert double(number) == number * 2, f"hidden number {number}"',
        "for number in (21, -3):"]
    assert assignments.secrets(toy, "SOLUTION") == [
        "return twofold", "twofold = x + x"]


def test_pictures_side_by_side():
    def png(width, height, grey):
        buffer = io.BytesIO()
        Image.new("L", (width, height), grey).save(buffer, "png")
        return base64.b64encode(buffer.getvalue()).decode()
    joined = assignments.side_by_side((png(2, 3, 9), png(4, 1, 7)), gap=5)
    with Image.open(io.BytesIO(base64.b64decode(joined))) as row:
        assert row.size == (11, 3)
        assert row.getpixel((0, 0)) == (9, 9, 9, 255)
        assert row.getpixel((4, 0)) == row.getpixel((9, 2)) == (0, 0, 0, 0)
        assert row.getpixel((7, 0)) == (7, 7, 7, 255)


def test_a_page_with_a_secret_is_withheld(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<p>for <b>number</b> in (21, -3):</p>")
    with pytest.raises(course.ChapterError, match="page.html was withheld"):
        assignments.reject_leaks(page, ["for number in (21, -3):"])
    assert not page.exists()


def failure(*trace):
    return nbformat.v4.new_output("error", ename="AssertionError",
                                  evalue="a message", traceback=list(trace))


@pytest.mark.parametrize("trace, said", [
    (["\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[3]\x1b[39m"
      "\x1b[32m, line 2\x1b[39m"], "AssertionError: a message"),
    (["Cell In[3], line 4"], "The visible tests pass; a hidden one fails."),
    (["no line at all"], "The visible tests pass; a hidden one fails."),
])
def test_an_error_says_no_more_than_the_visible_tests(trace, said):
    error = assignments.brief(failure(*trace), begin=3)
    assert error.evalue == said and error.traceback == [said]


def test_release_overwrites_nothing(toy, tmp_path):
    there = tmp_path / "01_toy.ipynb"
    there.write_text("mine")
    with pytest.raises(course.ChapterError, match="is there already"):
        assignments.release([toy], tmp_path)
    assert there.read_text() == "mine"


def test_grade_says_where_it_looks(toy, tmp_path):
    with pytest.raises(course.ChapterError, match="no submission"):
        assignments.grade([toy], tmp_path)


# From release to feedback
# ------------------------

@pytest.fixture(scope="module")
def released(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    assignments.release([toy], folder)
    [path] = folder.iterdir()
    return nbformat.read(path, 4)


@pytest.mark.slow
def test_release_holds_stubs_and_the_expected_picture(released):
    text = "\n".join(cell.source for cell in released.cells)
    assert "raise NotImplementedError()" in text
    assert "*Your answer.*" in text and "Because" not in text
    assert "two twos are four" in text
    assert not any(word in text for word in (*SECRET, "twofold", "BEGIN"))
    assert not any(cell.get("outputs") for cell in released.cells)
    [picture] = [cell for cell in released.cells if "attachments" in cell]
    assert "![A square, fairly <light>](attachment:" in picture.source
    png = picture.attachments["expected.png"]["image/png"]
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        assert image.size == (4, 4)


@pytest.fixture(scope="module")
def graded(toy, released, tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    without_test = nbformat.from_dict(released)
    without_test.cells = [
        cell for cell in released.cells if cell.metadata.get(
            "nbgrader", {}).get("grade_id") != "test-double"]
    for student, notebook in {
            "full": assignments.solve(nbformat.from_dict(released), toy),
            "stub": released,
            "by_heart": answer(released, double=define("return {2: 4}[x]"
                                                       " if x != 100 else 7")),
            "wrong": answer(released, double=define("return x + 1")),
            "eased": answer(released, double=define("return 2"),
                            test_double="assert True"),
            "removed": answer(without_test, double=define("return 2")),
            "thief": answer(released, double=define(
                "print(get_ipython().user_ns['In']); return 2 * x"),
                why="My answer."),
    }.items():
        assignments.submit(folder, toy.name, student, notebook)
    broken = folder / "submitted" / "broken" / toy.name / "01_toy.ipynb"
    broken.parent.mkdir(parents=True)
    broken.write_text("not a notebook")
    return folder, assignments.grade([toy], folder)


def read_scores(folder):
    with (folder / "scores.csv").open(newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def page(folder, student):
    text = (folder / "feedback" / student / "01_toy" / "01_toy.html"
            ).read_text(encoding="utf-8")
    return html.unescape(re.sub(r"<[^>]*>", "", text))


@pytest.mark.slow
@pytest.mark.parametrize("student, points", [
    ("full", 3), ("stub", 0), ("by_heart", 1), ("wrong", 1), ("eased", 1),
    ("removed", 1), ("thief", 3)])
def test_points(graded, student, points):
    row = read_scores(graded[0])[student]
    assert float(row["tests"]) == points and float(row["tests_max"]) == 3
    assert float(row["by_hand"]) == 0 and float(row["by_hand_max"]) == 3


@pytest.mark.slow
def test_an_unwritten_answer_waits_for_nobody(graded):
    rows = read_scores(graded[0])
    assert rows["stub"]["waits_for_hand"] == "False"
    assert rows["thief"]["waits_for_hand"] == "True"


@pytest.mark.slow
def test_a_bad_submission_stops_no_other(graded):
    """Neither what is no notebook, nor what prints the hidden tests."""
    folder, exit_code = graded
    assert exit_code == 1
    assert {path.parts[-3] for path in folder.rglob("feedback/**/*.html")
            } == {"full", "stub", "by_heart", "wrong", "eased", "removed"}


@pytest.mark.slow
def test_feedback_hides_the_tests(graded):
    for path in (graded[0] / "feedback").rglob("*.html"):
        shown = page(graded[0], path.parts[-3])
        assert not any(word in shown for word in SECRET), path
        assert "BEGIN HIDDEN" not in shown


@pytest.mark.slow
def test_feedback_helps(graded):
    assert ("AssertionError: two twos are four" in page(graded[0], "wrong"))
    assert "a hidden one fails" in page(graded[0], "by_heart")
    assert "NotImplementedError" in page(graded[0], "stub")


@pytest.mark.slow
def test_nbgrader_itself_would_show_them(graded, toy, monkeypatch):
    """The breach that HideTests closes is there; the guard finds it."""
    plain = assignments.configuration(graded[0])
    del plain.GenerateFeedback
    monkeypatch.setattr(assignments, "configuration", lambda folder: plain)
    with pytest.raises(course.ChapterError, match="was withheld"):
        assignments.write_feedback(toy, graded[0], "by_heart")
    assert not list((graded[0] / "feedback" / "by_heart").rglob("*.html"))


@pytest.mark.slow
def test_points_by_hand_survive_another_grading(graded, toy):
    folder = graded[0]
    database = f"sqlite:///{folder / 'gradebook.db'}"
    with assignments.Gradebook(database) as book:
        mark = book.find_grade("why", toy.name, toy.name, "thief")
        mark.manual_score, mark.needs_manual_grade = 2.5, False
        book.db.commit()
    assignments.grade([toy], folder, again=False)
    row = read_scores(folder)["thief"]
    assert (row["by_hand"], row["waits_for_hand"]) == ("2.5", "False")
    assignments.grade([toy], folder)
    assert read_scores(folder)["thief"]["by_hand"] == "2.5"


@pytest.mark.slow
def test_what_never_ends_is_stopped(toy, released, tmp_path, monkeypatch):
    monkeypatch.setattr(assignments, "TIMEOUT", 5)
    assignments.submit(tmp_path, toy.name, "endless", answer(
        released, double=define("while x < 50: pass\n    return 2 * x")))
    assert assignments.grade([toy], tmp_path) == 0
    assert read_scores(tmp_path)["endless"]["tests"] == "0.0"
    assert "KeyboardInterrupt" in assignments.errors_in(
        tmp_path, toy.name, "endless")


@pytest.mark.slow
def test_check_accepts_the_toy(toy, capsys):
    assert assignments.check([toy]) == 0
    assert "solution 3 of 3, stub 0, by hand 3" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("old, new, said", [
    ("twofold = x + x", "twofold = x * x", "raised"),
    ("isinstance(double(2), int)", "True", "the stub scores"),
    ("# %% tags=[\"expected\"]\nimport", "# %%\ny = double(5)\n"
     "\n# %%\ny += 1\n\n# %%\nimport", "NameError"),
    ("show(np.full", "dict(a=np.full", "shows no picture"),
])
def test_check_finds_a_planted_fault(toy, tmp_path, old, new, said):
    text = toy.path.read_text()
    assert text.count(old) == 1
    path = tmp_path / "01_toy.py"
    path.write_text(text.replace(old, new))
    with pytest.raises(course.ChapterError, match=said):
        assignments.check([course.read_chapter(path)])


# Those of the course
# -------------------

@pytest.mark.slow
@pytest.mark.parametrize("source", assignments.find_sources(),
                         ids=lambda source: source.name)
def test_every_assignment_goes_round(source):
    assert assignments.check([source]) == 0


# What a solution of 04_bad_light becomes, and the tests that fail then.
MISTAKES = {
    "no_cosine": ("(2 / 3)", "1", {"test-too-low"}),
    "whole_tiles_only": ("image.shape[0], tile)",
                         "image.shape[0] - tile + 1, tile)",
                         {"test-tiles"}),
    "blank_is_ink": ("low < high else -1", "low < high else low",
                     {"test-blank-tiles"}),
    "light_subtracted": ("image / np.maximum(paper, 1)",
                         "1 + (image - paper) / 200",
                         {"test-flat", "test-half-light", "test-hand"}),
    "one_light_for_all": ("ndimage.grey_closing(image, size).astype(float)",
                          "image.mean()", {"test-flat", "test-hand"}),
    "as_in_the_exercise": ("grey_closing(image,",
                           "percentile_filter(image, 90,", {"test-hand"}),
    "last_page_only": ("np.mean([f_measure(method(image, size), ink)\n"
                       "                        for image, ink in pages])",
                       "f_measure(method(pages[-1][0], size), pages[-1][1])",
                       {"test-all-pages"}),
    "worst_size": ("max(sizes", "min(sizes", {"test-choose",
                                              "test-all-pages"}),
}


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mistaken")
    [source] = assignments.find_sources("04_bad_light")
    notebook = nbformat.read(assignments.prepare(source, folder), 4)
    solved = assignments.solve(notebook, source)
    for student, (old, new, _) in MISTAKES.items():
        wrong = nbformat.from_dict(solved)
        [cell] = [c for c in wrong.cells if old in c.source
                  and c.metadata.get("nbgrader", {}).get("solution")]
        cell.source = cell.source.replace(old, new)
        assignments.submit(folder, source.name, student, wrong)
    assert assignments.grade([source], folder) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("student", MISTAKES)
def test_bad_light_notices(mistaken, student):
    name = "04_bad_light"
    with assignments.Gradebook(f"sqlite:///{mistaken / 'gradebook.db'}"
                               ) as book:
        submission = book.find_submission_notebook(name, name, student)
        failed = {grade.name for grade in submission.grades
                  if grade.auto_score == 0}
    assert failed == MISTAKES[student][2]


@pytest.mark.slow
def test_bad_light_is_as_its_model_answer_says(mistaken):
    path = mistaken / "source" / "04_bad_light" / "04_bad_light.ipynb"
    printed = "".join(
        output.text for cell in nbformat.read(path, 4).cells
        for output in cell.get("outputs", ())
        if output.output_type == "stream" and output.name == "stdout")
    lamp, hand = {}, {}
    for line in printed.splitlines()[1:]:
        method, _, *means = line.split()
        lamp[method], hand[method] = map(float, means)
    assert max(lamp, key=lamp.get) == max(hand, key=hand.get) == "flat"
    assert hand["flat"] > hand["Sauvola"] + 0.02
