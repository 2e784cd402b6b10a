"""Export the chapters' cells tagged `export` into the package seglib.

A chapter whose header says `module: thresholding` becomes
`seglib/thresholding.py`: the imports of its exported cells merged at the
top, `__all__`, then the cells in their order, under the headings of their
sections, each public docstring naming its chapter.
"""
from __future__ import annotations

import argparse
import ast
import difflib
import re
import sys
from pathlib import Path

import course
from course import Cell, Chapter, ChapterError

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def export(chapter: Chapter) -> str:
    """Source of the module that a chapter exports."""
    imports: list[str] = []
    body: list[str] = []
    names: list[str] = []
    heading = written = None
    for cell in chapter.cells:
        if cell.kind == "markdown":
            heading = section_heading(cell) or heading
        elif "export" in cell.tags:
            tree = course.parse(cell, chapter.path)
            names += defined_names(tree)
            lines = name_the_chapter(cell, tree, chapter, heading)
            imports += take_imports(lines, tree)
            text = "\n".join(line for line in lines if line is not None)
            if text.strip():
                text = text.strip("\n")
                if heading and heading != written:
                    rule = "-" * len(heading)
                    text = f"# {heading}\n# {rule}\n\n{text}"
                    written = heading
                body.append(text)
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ChapterError(f"{chapter.path}: exports {min(repeated)!r} twice")
    head = [module_docstring(chapter), merge_imports(imports),
            dunder_all(public(names))]
    return "\n\n\n".join(["\n\n".join(filter(None, head)), *body]) + "\n"


def section_heading(cell: Cell) -> str | None:
    """Last `##` heading in a markdown cell, as plain text."""
    found = re.findall(r"^##+ (.+)$", cell.source, re.M)
    return re.sub(r"[*`]", "", found[-1]).strip() if found else None


def defined_names(tree: ast.Module) -> list[str]:
    """Names that a cell defines at top level."""
    names = []
    for node in tree.body:
        if isinstance(node, DEFINITIONS):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [t.id for t in node.targets if isinstance(t, ast.Name)]
        elif isinstance(node, ast.AnnAssign):
            names.append(node.target.id)
    return names


def public(names: list[str]) -> list[str]:
    """Those without a leading underscore."""
    return [name for name in names if not name.startswith("_")]


def public_names(tree: ast.Module) -> list[str]:
    """Names that a cell defines for others."""
    return public(defined_names(tree))


def name_the_chapter(cell: Cell, tree: ast.Module, chapter: Chapter,
                     heading: str | None) -> list[str | None]:
    """Lines of a cell, its public docstrings ending with their chapter."""
    lines: list[str | None] = list(cell.source.splitlines())
    where = f"{chapter.number} {chapter.title}"
    if heading:
        where += f', "{heading}".'
    for node in tree.body:
        if (isinstance(node, DEFINITIONS) and not node.name.startswith("_")
                and ast.get_docstring(node)):
            string = node.body[0].value
            last = string.end_lineno - 1
            closing = lines[last].rstrip()
            text, quotes = closing[:-3].rstrip(), closing[-3:]
            section = ["Chapter", "-------", where, quotes]
            indent = " " * string.col_offset
            lines[last] = "\n".join([text] * bool(text.strip()) + [""]
                                    + [indent + line for line in section])
    return lines


def take_imports(lines: list[str | None], tree: ast.Module) -> list[str]:
    """Blank out the top-level imports among `lines`, and return them."""
    taken = []
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            span = range(node.lineno - 1, node.end_lineno)
            taken.append("\n".join(lines[i] for i in span))
            for i in span:
                lines[i] = None
    return taken


def merge_imports(imports: list[str]) -> str:
    """Import statements once each: __future__, standard library, others."""
    groups: dict[int, list[str]] = {0: [], 1: [], 2: [], 3: []}
    for text in dict.fromkeys(imports):
        node = ast.parse(text).body[0]
        module = (node.module if isinstance(node, ast.ImportFrom)
                  else node.names[0].name)
        top = module.split(".")[0]
        group = (0 if top == "__future__"
                 else 1 if top in sys.stdlib_module_names
                 else 3 if top == "seglib" else 2)
        groups[group].append(text)

    def order(text):
        return (text.startswith("from"), text.split()[1].lower(), text)
    return "\n\n".join("\n".join(sorted(group, key=order))
                       for group in groups.values() if group)


def module_docstring(chapter: Chapter) -> str:
    return (f'"""{chapter.title}: chapter {chapter.number} of the course.\n\n'
            f"{chapter.question}\n\n"
            f"Exported from {chapter.path.name}; edit the chapter, not this"
            ' file.\n"""')


def dunder_all(names: list[str]) -> str:
    inner = "".join(f'    "{name}",\n' for name in names)
    return f"__all__ = [\n{inner}]"


def target(chapter: Chapter, root: Path = course.ROOT) -> Path:
    return root / "seglib" / f"{chapter.module}.py"


def drift(chapter: Chapter, root: Path = course.ROOT) -> str:
    """Difference between a module and what its chapter exports, or ''."""
    path = target(chapter, root)
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    return "".join(difflib.unified_diff(
        old.splitlines(True), export(chapter).splitlines(True),
        str(path.relative_to(root)), str(chapter.path.relative_to(root))))


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true",
                        help="write nothing; exit 1 if a module differs")
    parser.add_argument("--root", type=Path, default=course.ROOT,
                        help="the course's folder")
    options = parser.parse_args(arguments)
    chapters = [c for c in course.all_chapters(options.root) if c.module]
    differing = 0
    for chapter in chapters:
        difference = drift(chapter, options.root)
        if not difference:
            continue
        differing += 1
        if options.check:
            print(difference)
        else:
            path = target(chapter, options.root)
            path.write_text(export(chapter), encoding="utf-8", newline="\n")
            print(f"{chapter.path.name} -> seglib/{path.name}")
    if options.check and differing:
        print(f"{differing} module(s) differ from their chapter:"
              " run `make export`")
    return int(options.check and differing > 0)


if __name__ == "__main__":
    course.main(run)
