"""Make notebooks of the chapters, and run them.

As a command: write the chapters as notebooks into a folder, with the
recorded outputs attached (for nbval) or without solutions (for a learner).
"""
from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
from importlib import metadata
from pathlib import Path

import course
import nbformat
from course import Chapter, ChapterError

CHECKED = "nbval-check-output"
VERSIONS = ("numpy", "scipy", "numba", "scikit-image", "torch",
            "torchvision", "matplotlib")


def make_notebook(chapter: Chapter, *, solutions: bool = True,
                  real: bool = False) -> nbformat.NotebookNode:
    """A chapter as a notebook without outputs, its cell ids stable."""
    left_out = ({"solution"} if not solutions else set()) | (
        {"real"} if not real else set())
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "language": "python",
                                    "display_name": "Python 3"}
    for cell in chapter.cells:
        if left_out.isdisjoint(cell.tags):
            new = (nbformat.v4.new_code_cell if cell.kind == "code"
                   else nbformat.v4.new_markdown_cell)
            notebook.cells.append(new(
                cell.source, metadata=cell.metadata,
                id=f"cell-{len(notebook.cells):03}"))
    if "minutes" in chapter.header:         # an assignment has none
        title = notebook.cells[0]
        title.source = re.sub(
            r"(\?\*\n)", r"\1\n" + minutes(chapter) + "\n",
            title.source + "\n", count=1).rstrip()
    return notebook


def minutes(chapter: Chapter) -> str:
    """What a chapter's header says of its time, as a line to read."""
    laptop, gpu = (f"{60 * chapter.minutes[key]:.0f} s"
                   for key in ("laptop", "gpu"))
    return f"**Runs for** {laptop} on a laptop" + (
        f", {gpu} on a GPU." if gpu != laptop else ", and needs no GPU.")


# Running
# -------

def kernel_environment(chapter: Chapter, real: bool, log: Path) -> dict:
    """Environment of a kernel: offline, quiet, its reads written down."""
    build = course.ROOT / "build"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [
            str(Path(__file__).parent / "kernel"),
            os.environ.get("PYTHONPATH")])),
        "PYTHONHASHSEED": "0",
        "TQDM_DISABLE": "1",
        "SEGLIB_WIDGETS": "off",
        "SEGLIB_WATCH_ROOT": str(course.ROOT),
        "SEGLIB_WATCH_LOG": str(log),
    }
    if not real:
        environment |= {"SEGLIB_DATA": str(build / "no-data"),
                        "SEGLIB_WEIGHTS": str(build / "no-weights")}
    return environment


def run_notebook(chapter: Chapter, real: bool) -> nbformat.NotebookNode:
    """Run a chapter from the top; what it took and read is kept inside."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    folder = course.ROOT / "build" / "run" / chapter.name
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "reads.txt"
    log.write_text("")
    notebook = make_notebook(chapter, real=real)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}})
    start = time.perf_counter()
    try:
        client.execute(env=kernel_environment(chapter, real, log))
    except CellExecutionError as error:
        said = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        raise ChapterError(f"{chapter.path.name} raised:\n{said}") from None
    notebook.metadata.seglib = {
        "seconds": round(time.perf_counter() - start, 1),
        "versions": {name: metadata.version(name) for name in VERSIONS},
        "python": ".".join(map(str, sys.version_info[:3])),
        "reads": {path: digest(course.ROOT / path) for path in sorted(
            {str(Path(line).relative_to(course.ROOT))
             for line in log.read_text().splitlines()})},
    }
    return notebook


# Remembering
# -----------

def digest(path: Path) -> str:
    data = path.read_bytes() if path.is_file() else b""
    return hashlib.sha256(data).hexdigest()[:16]


def cache_key(chapter: Chapter, real: bool) -> str:
    """Hash of what decides a chapter's outputs, but for the files it reads.

    Chapter, the modules that it imports directly or not, lock, Python
    minor version, profile, whether real data are shown, and this tool.
    """
    modules = course.import_closure(course.chapter_imports(chapter),
                                    course.ROOT)
    files = [chapter.path, course.ROOT / "requirements.lock", Path(__file__),
             *(course.ROOT / "seglib" / f"{m}.py" for m in sorted(modules))]
    facts = [sys.version_info[:2], real,
             os.environ.get("SEGLIB_PROFILE", "laptop"),
             os.environ.get("SEGLIB_DATA") if real else None]
    text = "\n".join([*map(digest, files), *map(str, facts)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def executed(chapter: Chapter, real: bool = False,
             budget: float = float("inf")) -> tuple:
    """(notebook with outputs, whether it had to be run).

    One that was too slow, perhaps beside the tests, gets another chance.
    """
    folder = course.ROOT / "build" / "cache"
    path = folder / f"{chapter.name}-{cache_key(chapter, real)}.ipynb"
    if path.exists():
        notebook = nbformat.read(path, as_version=4)
        reads = notebook.metadata.seglib["reads"]
        if notebook.metadata.seglib["seconds"] <= budget and all(
                digest(course.ROOT / p) == d for p, d in reads.items()):
            return notebook, False
    notebook = run_notebook(chapter, real)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{chapter.name}-*.ipynb"):
        old.unlink()
    part = path.with_suffix(".part")
    nbformat.write(notebook, part)
    part.replace(path)
    return nbformat.read(path, as_version=4), True


# Checked outputs
# ---------------

def recorded_path(chapter: Chapter) -> Path:
    return course.ROOT / "tests" / "recorded" / f"{chapter.name}.json"


def checked_outputs(notebook: nbformat.NotebookNode, name: str) -> list:
    """Source and printed text of each checked cell of a run notebook."""
    checked = [cell for cell in notebook.cells
               if CHECKED in cell.metadata.get("tags", ())]
    if len(checked) > 5:
        raise ChapterError(f"{name}: {len(checked)} checked cells;"
                           " at most five")
    records = []
    for cell in checked:
        text = "".join(o.text for o in cell.outputs
                       if o.output_type == "stream" and o.name == "stdout")
        if not text or len(cell.outputs) != 1:
            raise ChapterError(f"{name}: a checked cell must print, and show"
                               f" nothing else:\n{cell.source}")
        if re.search(r"\d\.\d|\de-?\d|\bnan\b", text):
            raise ChapterError(f"{name}: a checked cell prints integers,"
                               f" booleans or shapes only:\n{text}")
        records.append({"source": cell.source.splitlines(),
                        "output": text.splitlines()})
    return records


def attach_recorded(notebook: nbformat.NotebookNode, chapter: Chapter):
    """Give each checked cell its recorded output, or say what is stale."""
    path = recorded_path(chapter)
    records = json.loads(path.read_text()) if path.exists() else []
    checked = [cell for cell in notebook.cells
               if CHECKED in cell.metadata.get("tags", ())]
    if ([c.source for c in checked]
            != ["\n".join(r["source"]) for r in records]):
        raise ChapterError(f"{chapter.path.name}: its checked cells are not"
                           f" those of {path.name}; run `make record`")
    for cell, record in zip(checked, records):
        text = "\n".join(record["output"]) + "\n"
        cell.outputs = [nbformat.v4.new_output(
            "stream", name="stdout", text=text)]
        cell.execution_count = 1


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where to write them")
    parser.add_argument("--only", metavar="NN", help="one chapter")
    parser.add_argument("--learner", action="store_true",
                        help="leave out solutions and recorded outputs")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    chapters = ([course.find_chapter(options.only)] if options.only
                else course.all_chapters())
    for chapter in chapters:
        notebook = make_notebook(chapter, solutions=not options.learner)
        if not options.learner:
            attach_recorded(notebook, chapter)
        nbformat.write(notebook, options.folder / f"{chapter.name}.ipynb")
    print(f"{len(chapters)} notebook(s) in {options.folder}")
    return 0


if __name__ == "__main__":
    course.main(run)
