"""Make the book: run the chapters, assemble the pages, check them.

A chapter runs again only if it, a module that it imports, a file that it
reads, the lock, the Python version or the profile has changed.
"""
from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import check_pages
import course
import export
import nbformat
import notebooks
import pages
import yaml
from course import Chapter, ChapterError

STAGE = course.ROOT / "build" / "book"
HTML = STAGE / "_build" / "html"
BANNER = ("Do not publish: this build shows data sets that may not be"
          " republished.")


DEEP = 10       # from this chapter on networks are trained


def budget(chapter: Chapter) -> int:
    """Seconds: 40 for classical chapters with cold caches, 45 for deep."""
    return 40 if chapter.place < DEEP else 45


def execute(chapters: list[Chapter], real: bool) -> dict:
    """Notebook with outputs of each chapter.

    Two at a time, but deep ones alone: training keeps two cores busy, and
    two trainings that share them take far longer than one after the other.
    """
    def one(chapter):
        notebook, ran = notebooks.executed(chapter, real, budget(chapter))
        seconds = notebook.metadata.seglib["seconds"]
        print(f"  {chapter.name:32}"
              + (f"ran in {seconds} s" if ran else "unchanged"), flush=True)
        return notebook
    shallow = [c for c in chapters if c.place < DEEP]
    with ThreadPoolExecutor(max_workers=2) as pool:
        outputs = dict(zip([c.name for c in shallow],
                           pool.map(one, shallow)))
    return outputs | {c.name: one(c) for c in chapters if c.place >= DEEP}


def check_budget(chapters: list[Chapter], outputs: dict):
    """No chapter takes longer than its budget."""
    for chapter in chapters:
        seconds = outputs[chapter.name].metadata.seglib["seconds"]
        if seconds > budget(chapter):
            raise ChapterError(f"{chapter.path.name} ran for {seconds} s;"
                               f" its budget is {budget(chapter)} s")


def add_reference_links(notebook, chapter: Chapter):
    """Below each exported cell, links to what it defines."""
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if "export" in cell.metadata.get("tags", ()) and chapter.module:
            tree = course.ast.parse(cell.source)
            names = [node.name for node in tree.body
                     if isinstance(node, export.DEFINITIONS)
                     and not node.name.startswith("_")]
            if names:
                links = ", ".join(f"{{py:obj}}`{name} <seglib."
                                  f"{chapter.module}.{name}>`"
                                  for name in names)
                cells.append(nbformat.v4.new_markdown_cell(
                    f":::{{container}} in-seglib\nin `seglib."
                    f"{chapter.module}`: {links}\n:::",
                    id=f"{cell.id}-links"))
    notebook.cells = cells


def settings(real: bool) -> str:
    """The book's settings: the committed ones, and what depends on the build."""
    config = yaml.safe_load((course.ROOT / "book/_config.yml").read_text())
    repository = os.environ.get("COURSE_REPOSITORY")
    if repository:
        config["repository"] = {"url": repository, "branch": "notebooks",
                                "path_to_book": ""}
        config["launch_buttons"] |= {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com"}
    if real:
        config["sphinx"]["config"]["html_theme_options"]["announcement"] = (
            BANNER)
    return yaml.safe_dump(config, sort_keys=False)


def gather(chapters: list[Chapter], outputs: dict, real: bool) -> tuple:
    """(content of each file that the book is made of, hash of them all)."""
    book = course.ROOT / "book"
    wanted = {"_config.yml": settings(real),
              "_toc.yml": (book / "_toc.yml").read_text(),
              "references.bib": (book / "references.bib").read_text()}
    wanted |= {p.name: p.read_text(encoding="utf-8")
               for p in book.glob("*.md")}
    wanted |= {f"extensions/{p.name}": p.read_text()
               for p in book.glob("extensions/*.py")}
    for chapter in chapters:
        notebook = nbformat.from_dict(outputs[chapter.name])
        add_reference_links(notebook, chapter)
        wanted[f"chapters/{chapter.name}.ipynb"] = nbformat.writes(notebook)
    wanted |= pages.generated(chapters, outputs)
    wanted = {name: text.encode() for name, text in wanted.items()}
    wanted |= {f"_static/{p.relative_to(book / '_static').as_posix()}":
               p.read_bytes()
               for p in book.glob("_static/**/*") if p.is_file()}
    wanted |= {"_static/mathjax/tex-svg.js": file.locate().read_bytes()
               for file in metadata.files("sphinx-mathjax-offline")
               if file.name == "tex-svg.js"}
    library = "".join(p.read_text(encoding="utf-8") for p in sorted(
        (course.ROOT / "seglib").glob("*.py")))
    return wanted, fingerprint(wanted, library)


def fingerprint(wanted: dict[str, bytes], library: str) -> str:
    """Hash of all that the pages are made of."""
    total = hashlib.sha256(library.encode())
    for name in sorted(wanted):
        total.update(name.encode() + b"\0" + wanted[name] + b"\0")
    return total.hexdigest()


def assemble(wanted: dict[str, bytes]):
    """Lay the files out afresh and run Jupyter Book; a warning is an error.

    Never on top of an older build: Sphinx would not look again at a page
    whose links are broken by a change elsewhere.
    """
    shutil.rmtree(STAGE, ignore_errors=True)
    for name, content in wanted.items():
        path = STAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    program = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", program, "build", str(STAGE),
               "-W", "-n", "--keep-going", "-q"]
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode:
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        lines = [line for line in said.splitlines()
                 if re.search("warning|error|exception", line, re.I)]
        raise ChapterError("Jupyter Book found faults:\n"
                           + "\n".join(dict.fromkeys(lines) or [said]))


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--execute-only", metavar="NN", help="run one"
                        " chapter, and say what it took; no pages are made")
    parser.add_argument("--real", action="store_true",
                        help="show the real data sets too; not for publishing")
    parser.add_argument("--budget", action="store_true",
                        help="fail if a chapter takes longer than it may")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    chapters = course.all_chapters()
    if options.execute_only:
        execute([course.find_chapter(options.execute_only)], options.real)
        return 0
    print("chapters:")
    outputs = execute(chapters, options.real)
    if options.budget:
        check_budget(chapters, outputs)
    print("pages:")
    wanted, whole = gather(chapters, outputs, options.real)
    finished = STAGE / "_build" / "finished"
    if not (finished.exists() and finished.read_text() == whole):
        assemble(wanted)
        if options.real:
            (HTML / "DO_NOT_PUBLISH").write_text(BANNER)
        faults = check_pages.check(HTML, STAGE / "_toc.yml")
        if faults:
            raise ChapterError("the pages have faults:\n"
                               + "\n".join(faults))
        finished.write_text(whole)
    print(f"  {HTML.relative_to(course.ROOT) / 'index.html'}"
          f"  ({time.perf_counter() - start:.0f} s)")
    return 0


if __name__ == "__main__":
    course.main(run)
