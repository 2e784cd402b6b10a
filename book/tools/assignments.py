"""Assignments: from one source to students, and from submissions to scores.

A source in `chapters/assignments/` holds tasks, solutions and tests. Run
with its solutions it must be free of errors; the pictures of its cells
tagged `expected` become hints. nbgrader makes the student's notebook and
grades; this tool decides how, and keeps hidden tests hidden.

    release FOLDER    write the students' notebooks into FOLDER
    grade FOLDER      grade FOLDER/submitted/<student>/<name>/<name>.ipynb
    feedback FOLDER   once more scores.csv and feedback, after grading by hand
    check             try the whole cycle, in a temporary folder
"""
from __future__ import annotations

import argparse
import base64
import csv
import html
import io
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

import course
import nbformat
import notebooks
from course import Chapter, ChapterError
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters import (Autograde, GenerateAssignment,
                                 GenerateFeedback)
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import ClearHiddenTests, GetGrades
from nbgrader.utils import capture_log
from PIL import Image
from traitlets.config import Config

COLUMNS = ("assignment", "student", "tests", "tests_max", "by_hand",
           "by_hand_max", "waits_for_hand")

QUIET = ["--log-level=ERROR"]
TIMEOUT = 60                    # seconds for a student's cell

# nbgrader starts `alembic` by its name; it lies beside this Python.
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ["PATH"]])


# The source
# ----------

def find_sources(only: str = "", root: Path = course.ROOT) -> list[Chapter]:
    """The assignments whose names start with `only`."""
    paths = sorted(root.glob(f"chapters/assignments/{only}*.py"))
    if not paths:
        raise ChapterError(f"no assignment {only}*.py in"
                           f" {root / 'chapters' / 'assignments'}")
    return [course.read_chapter(path) for path in paths]


def complete(short: dict, kind: str) -> dict:
    """nbgrader's metadata of a cell, from the part that an author writes.

    A cell with "points" is graded; one with "solution": true is filled by
    the student; all others are locked.
    """
    solution = short.get("solution", False)
    return {"schema_version": 3, "cell_type": kind, "task": False,
            "grade": "points" in short, "solution": solution,
            "locked": not solution} | short


def source_notebook(source: Chapter) -> NotebookNode:
    """The source with nbgrader's metadata, run, its hints in place."""
    notebook = notebooks.make_notebook(source)
    for cell in notebook.cells:
        if short := cell.metadata.get("nbgrader"):
            cell.metadata.nbgrader = complete(short, cell.cell_type)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=600, kernel_name="python3",
                                extra_arguments=QUIET,
                                resources={"metadata": {"path": folder}})
        try:
            client.execute(env=notebooks.kernel_environment(
                source, real=False, log=Path(folder) / "reads.txt"))
        except CellExecutionError as error:
            raise ChapterError(f"{source.path.name} raised:\n{error}"
                               ) from None
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if "expected" in cell.metadata.get("tags", ()):
            cells.append(hint(cell, source))
    notebook.cells = cells
    return notebook


def hint(cell: NotebookNode, source: Chapter) -> NotebookNode:
    """A markdown cell with the pictures that `cell` has shown."""
    shown = "".join(output.data.get("text/html", "") for output in
                    cell.outputs if output.output_type == "execute_result")
    found = re.findall(r'<img[^>]*? alt="([^"]*)"[^>]*?'
                       r' src="data:image/png;base64,([^"]*)"', shown)
    if not found:
        raise ChapterError(f"{source.path.name}: a cell tagged expected"
                           f" shows no picture:\n{cell.source}")
    alts, pngs = zip(*found)
    return nbformat.v4.new_markdown_cell(
        "*What you should see:*\n\n"
        f"![{html.unescape(' | '.join(alts))}](attachment:expected.png)",
        id=f"{cell.id}-expected",
        attachments={"expected.png": {"image/png": side_by_side(pngs)}})


def side_by_side(pngs: tuple[str, ...], gap: int = 12) -> str:
    """One picture of several; each a PNG in base64."""
    parts = [Image.open(io.BytesIO(base64.b64decode(png))) for png in pngs]
    row = Image.new("RGBA", (sum(part.width + gap for part in parts) - gap,
                             max(part.height for part in parts)))
    left = 0
    for part in parts:
        row.paste(part, (left, 0))
        left += part.width + gap
    row.thumbnail((900, 900))
    buffer = io.BytesIO()
    row.save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


# What students must not see
# --------------------------

def secrets(source: Chapter, *regions: str) -> list[str]:
    """Lines in the given regions that no visible line contains."""
    secret, visible, inside = set(), [], False
    for cell in source.cells:
        for line in map(str.strip, cell.source.splitlines()):
            marked = any(region in line for region in regions)
            if marked:
                inside = "BEGIN" in line
            elif inside:
                secret.add(line)
            else:
                visible.append(line)
    return sorted(line for line in secret
                  if not any(line in other for other in visible))


def reject_leaks(path: Path, lines: list[str]):
    """Delete a page or notebook that shows one of the lines, and say so."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        text = html.unescape(re.sub(r"<[^>]*>", "", text))
    else:
        text = "\n".join(c.source for c in nbformat.reads(text, 4).cells)
    leaked = [line for line in lines if line in text]
    if leaked:
        path.unlink()
        raise ChapterError(f"{path} was withheld, for it shows"
                           f" {leaked[0]!r}")


class HideTests(ClearHiddenTests):
    """Keep hidden tests out of feedback: neither their lines nor outputs.

    nbgrader puts the hidden tests back for grading and shows them in its
    feedback (jupyter/nbgrader#917, #1363); a traceback quotes them too.
    """

    def preprocess_cell(self, cell, resources, cell_index):
        lines = cell.source.splitlines()
        if self._remove_hidden_test_region(cell):
            begin = next(i for i, line in enumerate(lines, 1)
                         if self.begin_test_delimeter in line)
            cell.outputs = [brief(output, begin) for output in cell.outputs
                            if output.output_type == "error"]
        return cell, resources


def brief(error: NotebookNode, begin: int) -> NotebookNode:
    """An error without its traceback; without its message if it is hidden.

    `begin` is the line of the test cell on which its hidden part begins.
    """
    trace = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error.traceback))
    line = re.search(r"Cell In\s*\[\d+\], line (\d+)", trace)
    said = (f"{error.ename}: {error.evalue}"
            if line and int(line[1]) < begin else
            "The visible tests pass; a hidden one fails.")
    return nbformat.v4.new_output("error", ename=error.ename, evalue=said,
                                  traceback=[said])


# nbgrader
# --------

CONFIG_FILE = '''\
"""Read by nbgrader when it is started in this folder."""
import sys
from pathlib import Path

sys.path.insert(0, {tools!r})
import assignments

c.merge(assignments.configuration(Path(__file__).parent))
'''


def configuration(folder: Path) -> Config:
    """How nbgrader treats the course in `folder`."""
    c = Config()
    c.CourseDirectory.root = str(folder.resolve())
    c.ClearSolutions.code_stub = {"python": "raise NotImplementedError()"}
    c.ClearSolutions.text_stub = "*Your answer.*"
    c.OverwriteCells.add_missing_cells = True
    c.Execute.timeout = TIMEOUT
    c.Execute.extra_arguments = QUIET
    c.GenerateFeedback.preprocessors = [GetGrades, HideTests,
                                        CSSHTMLHeaderPreprocessor]
    return c


def nbgrader(step: type, folder: Path, name: str, student: str = "."):
    """Run one step of nbgrader on an assignment."""
    settings = configuration(folder)
    directory = CourseDirectory(config=settings)
    directory.assignment_id, directory.student_id = name, student
    app = step(coursedir=directory, config=settings)
    app.force = True
    with warnings.catch_warnings():         # its own, about its database
        warnings.simplefilter("ignore")
        result = capture_log(app)
    if not result["success"]:
        log = result.get("log") or result["error"]
        raised = re.findall(r"^ *[\w.]+(?:Error|Exception): .*", log, re.M)
        raise ChapterError(f"{name}, {student}:"
                           f" {raised[-1].strip() if raised else log}")


def prepare(source: Chapter, folder: Path) -> Path:
    """Set up nbgrader's course in `folder`; return the student's notebook."""
    name = source.name
    path = folder / "source" / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(source_notebook(source), path)
    (folder / "nbgrader_config.py").write_text(
        CONFIG_FILE.format(tools=str(Path(__file__).parent)),
        encoding="utf-8")
    nbgrader(GenerateAssignment, folder, name)
    released = folder / "release" / name / f"{name}.ipynb"
    reject_leaks(released, secrets(source, "SOLUTION", "HIDDEN TESTS"))
    return released


def submissions(folder: Path, name: str) -> list[str]:
    """The students who have submitted an assignment."""
    return sorted(path.parts[-3] for path in folder.glob(
        f"submitted/*/{name}/{name}.ipynb"))


def write_feedback(source: Chapter, folder: Path, student: str) -> Path:
    """A page for a student; none if it would show a hidden test."""
    name = source.name
    nbgrader(GenerateFeedback, folder, name, student)
    page = folder / "feedback" / student / name / f"{name}.html"
    reject_leaks(page, secrets(source, "HIDDEN TESTS"))
    return page


def scores(folder: Path) -> list[dict]:
    """A row for every graded submission; points by hand stand apart."""
    with Gradebook(f"sqlite:///{folder.resolve() / 'gradebook.db'}") as book:
        rows = [(assignment.name, submission.student.id,
                 submission.code_score, submission.max_code_score,
                 submission.written_score, submission.max_written_score,
                 submission.needs_manual_grade)
                for assignment in book.assignments
                for submission in book.assignment_submissions(
                    assignment.name)]
    return [dict(zip(COLUMNS, row)) for row in sorted(rows)]


def write_scores(folder: Path):
    """The scores as a table, `scores.csv`."""
    part = folder / "scores.csv.part"
    with part.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(scores(folder))
    part.replace(folder / "scores.csv")


# The commands
# ------------

def release(sources: list[Chapter], folder: Path):
    """Write the students' notebooks, and nothing else, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        path = folder / f"{source.name}.ipynb"
        if path.exists():
            raise ChapterError(f"{path} is there already; it stays")
        with tempfile.TemporaryDirectory() as name:
            released = prepare(source, Path(name)).read_bytes()
        path.write_bytes(released)
        print(path)


def grade(sources: list[Chapter], folder: Path, again: bool = True) -> int:
    """Grade what lies in `folder`/submitted; a bad submission stops none."""
    work = {source: submissions(folder, source.name) for source in sources}
    if not any(work.values()):
        raise ChapterError(f"{folder / 'submitted'} holds no submission:"
                           " <student>/<name>/<name>.ipynb")
    failed = 0
    for source, students in work.items():
        if again and students:
            prepare(source, folder)
        for student in students:
            try:
                if again:
                    nbgrader(Autograde, folder, source.name, student)
                write_feedback(source, folder, student)
            except ChapterError as error:
                failed += 1
                print(error, file=sys.stderr)
    write_scores(folder)
    print(f"{sum(map(len, work.values()))} submission(s), {failed} failed;"
          f" see {folder / 'scores.csv'} and {folder / 'feedback'}")
    return int(failed > 0)


def submit(folder: Path, name: str, student: str, notebook: NotebookNode):
    """Put a submission where `grade` looks for it."""
    path = folder / "submitted" / student / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)


def solve(notebook: NotebookNode, source: Chapter) -> NotebookNode:
    """A student's notebook, filled with the solutions of the source."""
    solutions = {cell.metadata["nbgrader"]["grade_id"]: cell.source
                 for cell in source.cells
                 if cell.metadata.get("nbgrader", {}).get("solution")}
    for cell in notebook.cells:
        short = cell.metadata.get("nbgrader", {})
        cell.source = solutions.get(short.get("grade_id"), cell.source)
    return notebook


def errors_in(folder: Path, name: str, student: str) -> set[str]:
    """Names of the errors that a graded notebook holds."""
    path = folder / "autograded" / student / name / f"{name}.ipynb"
    return {output.ename for cell in nbformat.read(path, 4).cells
            for output in cell.get("outputs", ())
            if output.output_type == "error"}


def check(sources: list[Chapter]) -> int:
    """Full solutions score full and stubs zero, with nothing given away."""
    for source in sources:
        name = source.name
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            released = prepare(source, folder)
            submit(folder, name, "stub", nbformat.read(released, 4))
            submit(folder, name, "full",
                   solve(nbformat.read(released, 4), source))
            if grade([source], folder):
                raise ChapterError(f"{name}: grading failed")
            full, stub = scores(folder)
            errors = {student: errors_in(folder, name, student)
                      for student in ("full", "stub")}
        print(f"{name}: solution {full['tests']:g} of {full['tests_max']:g},"
              f" stub {stub['tests']:g}, by hand {full['by_hand_max']:g}")
        if full["tests"] != full["tests_max"] or errors["full"]:
            raise ChapterError(f"{name}: the solution loses points or"
                               f" raises {errors['full'] or 'nothing'}")
        if stub["tests"] or stub["by_hand"]:
            raise ChapterError(f"{name}: the stub scores")
        if errors["stub"] != {"NotImplementedError"}:
            raise ChapterError(f"{name}: the stub raises {errors['stub']};"
                               " needed: NotImplementedError alone")
    return 0


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NN", default="",
                        help="assignments whose names start so")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("release", "grade", "feedback"):
        commands.add_parser(name).add_argument("folder", type=Path)
    commands.add_parser("check")
    options = parser.parse_args(arguments)
    sources = find_sources(options.only)
    if options.command == "release":
        release(sources, options.folder)
    elif options.command == "check":
        return check(sources)
    else:
        return grade(sources, options.folder,
                     again=options.command == "grade")
    return 0


if __name__ == "__main__":
    course.main(run)
