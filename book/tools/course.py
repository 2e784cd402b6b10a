"""Read the chapters: what each holds, exports, imports, and in which order.

Every other tool stands on this one. A chapter is a py:percent file in
`chapters/` or `chapters/appendix/`; its header names the module that it
exports and its place in the course.
"""
from __future__ import annotations

import ast
import functools
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import jupytext

ROOT = Path(__file__).resolve().parents[2]


class ChapterError(Exception):
    """A chapter breaks a rule; the message names file and line."""


@dataclass(frozen=True)
class Cell:
    """One cell: its source, its tags, and where it starts in the file."""

    kind: str                  # "code" or "markdown"
    source: str
    tags: tuple[str, ...]
    metadata: dict = field(hash=False)
    line: int                  # file line of the cell's first source line

    def __post_init__(self):
        object.__setattr__(self, "source", self.source.rstrip())


@dataclass(frozen=True)
class Chapter:
    """One chapter: its cells and what its header says."""

    path: Path
    cells: tuple[Cell, ...]
    header: dict = field(hash=False)

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        return self.name.split("_")[0]

    @property
    def module(self) -> str | None:
        return self.header.get("module")

    @property
    def place(self) -> float:
        """Position in the course; an appendix states it in its header."""
        return float(self.header.get("place", self.number.lstrip("A")))

    @property
    def minutes(self) -> dict:
        return self.header["minutes"]

    @functools.cached_property
    def title(self) -> str:
        for cell in self.cells:
            found = re.search(r"^# (.+)$", cell.source, re.M)
            if cell.kind == "markdown" and found:
                return found[1]
        raise ChapterError(f"{self.path}: no `# Title` in a markdown cell")

    @functools.cached_property
    def question(self) -> str:
        """The one-sentence question below the title, without its stars."""
        for cell in self.cells:
            found = re.search(r"^\*([^*]+\?)\*$", cell.source, re.M | re.S)
            if cell.kind == "markdown" and found:
                return " ".join(found[1].split())
        raise ChapterError(f"{self.path}: no *question?* below the title")

    @property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind == "code"]

    @property
    def exports(self) -> list[Cell]:
        return [cell for cell in self.code if "export" in cell.tags]


def read_chapter(path: Path) -> Chapter:
    """The chapter in a py:percent file."""
    text = path.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    lines = _cell_lines(text)
    if len(lines) != len(notebook.cells):
        raise ChapterError(f"{path}: {len(lines)} cell markers, but"
                           f" {len(notebook.cells)} cells; code above the"
                           " first `# %%`?")
    cells = tuple(
        Cell(cell.cell_type, cell.source,
             tuple(cell.metadata.get("tags", ())), dict(cell.metadata), line)
        for cell, line in zip(notebook.cells, lines))
    return Chapter(path, cells, dict(notebook.metadata.get("seglib", {})))


def _cell_lines(text: str) -> list[int]:
    """File line on which each cell's source starts (1 is the first)."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("# %%")]
    return [next((j for j in range(i + 1, len(lines)) if lines[j].strip()),
                 i + 1) + 1 for i in starts]


def all_chapters(root: Path = ROOT) -> list[Chapter]:
    """Chapters and appendices in the order of the course."""
    paths = [*root.glob("chapters/[0-9]*.py"),
             *root.glob("chapters/appendix/A*.py")]
    chapters = sorted(map(read_chapter, paths), key=lambda c: c.place)
    owners: dict[str, Chapter] = {}
    for chapter in chapters:
        other = owners.setdefault(chapter.module, chapter)
        if chapter.module and other is not chapter:
            raise ChapterError(f"{chapter.path.name} and {other.path.name}"
                               f" both claim the module {chapter.module!r}")
    return chapters


def find_chapter(word: str, root: Path = ROOT) -> Chapter:
    """The one chapter whose name starts with `word` ("04", "A1", …)."""
    found = [c for c in all_chapters(root) if c.name.startswith(word)]
    found = [c for c in found if c.number == word] or found
    if len(found) != 1:
        names = ", ".join(c.name for c in found) or "none"
        raise ChapterError(f"{word!r} must name one chapter; it names {names}")
    return found[0]


# Python 3.11's parser counts its depth for all threads together, and fails
# now and then when two of them parse (python/cpython#106905).
_PARSER = threading.Lock()


def syntax_tree(source: str) -> ast.Module:
    """`ast.parse`, in one thread at a time."""
    with _PARSER:
        return ast.parse(source)


def parse(cell: Cell, path: Path) -> ast.Module:
    """Syntax tree of a code cell, magics left out; errors name the line."""
    source = re.sub(r"^[%!].*$", "pass", cell.source, flags=re.M)
    try:
        return syntax_tree(source)
    except SyntaxError as error:
        line = cell.line + (error.lineno or 1) - 1
        raise ChapterError(f"{path}:{line}: {error.msg}") from None


def seglib_imports(tree: ast.Module) -> list[tuple[str, str | None]]:
    """(module, name) for each import from seglib, at any depth."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(a.name.split(".")[1], None) for a in node.names
                      if a.name.startswith("seglib.")]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            parts = (node.module or "").split(".")
            if parts == ["seglib"]:
                found += [(a.name, None) for a in node.names]
            elif parts[0] == "seglib":
                found += [(parts[1], a.name) for a in node.names]
    return found


def chapter_imports(chapter: Chapter) -> set[str]:
    """Modules of seglib that a chapter's code imports itself."""
    return {module for cell in chapter.code
            for module, _ in seglib_imports(parse(cell, chapter.path))}


def import_closure(modules: set[str], root: Path = ROOT) -> set[str]:
    """The modules, and all that they import from seglib in turn."""
    closure, todo = set(), set(modules)
    while todo:
        module = todo.pop()
        path = root / "seglib" / f"{module}.py"
        if module in closure or not path.exists():
            continue
        closure.add(module)
        tree = syntax_tree(path.read_text(encoding="utf-8"))
        todo |= {name for name, _ in seglib_imports(tree)}
    return closure


def copy_sources(folder: Path, root: Path = ROOT):
    """Copy what belongs to the project, as it stands, into a folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"], cwd=root, check=True,
        capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)


def main(tool):
    """Run a tool's main function; a ChapterError becomes one clear line."""
    try:
        sys.exit(tool())
    except ChapterError as error:
        sys.exit(f"error: {error}")
