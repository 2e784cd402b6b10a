"""The rules of the house, as checks: each returns its faults, a line each.

CONTRIBUTING.md states the rules; `tests/test_rules.py` holds the course to
them, and plants a breach of each to see that it is found.
"""
from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from pathlib import Path

import course
import export
from course import Chapter

CODE_LINES, KERNEL_LINES, COLUMNS = 15, 40, 72
ENDING = ("Claims, checked", "Recap", "Exercises")


# 1. One source
# -------------

def one_source(root: Path = course.ROOT) -> list[str]:
    """Each module is what its chapter exports, and there are no others."""
    chapters = [c for c in course.all_chapters(root) if c.module]
    faults = [f"seglib/{c.module}.py is not what {c.path.name} exports"
              for c in chapters if export.drift(c, root)]
    known = {c.module for c in chapters} | {"__init__", "__main__"}
    return faults + [f"seglib/{path.name} is exported by no chapter"
                     for path in sorted(root.glob("seglib/*.py"))
                     if path.stem not in known]


# 2. Forward only
# ---------------

def forward_only(root: Path = course.ROOT) -> list[str]:
    """A chapter imports what comes before it, or what it has defined."""
    chapters = course.all_chapters(root)
    places = {c.module: c.place for c in chapters if c.module}
    faults = []
    for chapter in chapters:
        defined: set[str] = set()
        for cell in chapter.code:
            tree = course.parse(cell, chapter.path)
            for module, name in course.seglib_imports(tree):
                where = f"{chapter.path.name}:{cell.line}"
                if module == chapter.module:
                    if name not in defined:
                        faults.append(f"{where}: imports {name or module!r}"
                                      " from itself before it is defined")
                elif places.get(module, 1e9) >= chapter.place:
                    faults.append(f"{where}: imports {module!r}, which does"
                                  " not come before it")
            if "export" in cell.tags:
                defined |= set(export.public_names(tree))
    return faults + copied_code(root)


def copied_code(root: Path = course.ROOT) -> list[str]:
    """Functions that stand, but for names of no matter, in two modules."""
    seen: dict[str, str] = {}
    faults = []
    for path in sorted(root.glob("seglib/[a-z]*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            body = node.body[1:] if ast.get_docstring(node) else node.body
            shape = "\n".join(map(ast.dump, body))
            if len(body) < 2:
                continue
            here = f"{path.stem}.{node.name}"
            if shape in seen:
                faults.append(f"{here} is a copy of {seen[shape]}")
            seen.setdefault(shape, here)
    return faults


# 3. Importing is free
# --------------------

PROBE = r"""
import ast, importlib, importlib.util, sys, time
name, classical, root = sys.argv[1], sys.argv[2] == "classical", sys.argv[3]
sys.path.insert(0, root)
spec = importlib.util.find_spec(name)
for node in ast.parse(open(spec.origin, encoding="utf-8").read()).body:
    if isinstance(node, ast.Import):
        needed = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        needed = [node.module] + [f"{node.module}.{alias.name}"
                                  for alias in node.names]
    else:
        continue
    for module in needed:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:     # a name, not a module
            pass
faults = []
def watch(event, arguments):
    if "__pycache__" in str(arguments[:1]):
        return
    if event in ("socket.connect", "subprocess.Popen", "os.mkdir"):
        faults.append(f"calls {event}")
    if event == "open" and isinstance(arguments[1], str) and (
            set(arguments[1]) & set("wax+")):
        faults.append(f"writes {arguments[0]!r}")
sys.addaudithook(watch)
if "numba" in sys.modules:
    sys.modules["numba"].njit(lambda: 0)    # wakes what numba loads late
    from numba.core.dispatcher import Dispatcher
    Dispatcher.compile = lambda self, sig: faults.append(
        f"compiles {self.py_func.__name__}")
start = time.perf_counter()
importlib.import_module(name)
seconds = time.perf_counter() - start
if seconds > 0.5:
    faults.append(f"takes {seconds:.1f} s beyond what it imports")
for heavy in ("torch",) * classical + ("matplotlib.pyplot", "torchvision"):
    if heavy in sys.modules:
        faults.append(f"imports {heavy}")
print(*dict.fromkeys(faults), sep="\n")
"""


def free_import(chapter: Chapter, root: Path = course.ROOT) -> list[str]:
    """What importing a chapter's module does besides defining names."""
    kind = "classical" if chapter.place < 10 else "deep"
    done = subprocess.run(
        [sys.executable, "-c", PROBE, f"seglib.{chapter.module}", kind,
         str(root)], capture_output=True, text=True)
    said = (done.stdout if done.returncode == 0
            else done.stderr.strip().splitlines()[-1])
    return [f"import seglib.{chapter.module} {line}"
            for line in said.splitlines() if line]


# 6. No outputs in sources
# ------------------------

def no_outputs(root: Path = course.ROOT) -> list[str]:
    """No notebook, weight or borrowed picture among the project's files."""
    listed = subprocess.run(["git", "ls-files"], cwd=root, check=True,
                            capture_output=True, text=True).stdout
    faults = []
    for name in listed.splitlines():
        path = Path(name)
        if path.suffix in (".ipynb", ".npz", ".pt", ".pth", ".pyc"):
            faults.append(f"{name} does not belong into the sources")
        if path.parts[0] == "data" and path.parts[1] not in (
                "README.md", "pictures"):
            faults.append(f"{name}: only what the project made is kept")
    return faults


# How a chapter is written
# ------------------------

def counted_lines(cell: course.Cell, path: Path) -> int:
    """Lines of code, without blanks, comments, docstrings, decorators."""
    tree = course.parse(cell, path)
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, export.DEFINITIONS):
            for decorator in node.decorator_list:
                left_out |= set(range(decorator.lineno,
                                      decorator.end_lineno + 1))
            if ast.get_docstring(node):
                string = node.body[0]
                left_out |= set(range(string.lineno, string.end_lineno + 1))
    return sum(1 for number, line in enumerate(cell.source.splitlines(), 1)
               if number not in left_out and line.strip()
               and not line.lstrip().startswith("#"))


def saved_form(path: Path) -> str:
    """A chapter as JupyterLab would save it, by the rules of jupytext.toml."""
    done = subprocess.run(
        [sys.executable, "-m", "jupytext", "--quiet", "--to", "py:percent",
         "--output", "-", str(path)], cwd=course.ROOT, check=True,
        capture_output=True, text=True, encoding="utf-8")
    return re.sub(r"(?m)^#     display_name: .*$",
                  "#     display_name: Python 3 (ipykernel)",
                  done.stdout, count=1)


PICTURES = {"show", "figure", "diagram", "curve"}


def unseen_pictures(cell: course.Cell, path: Path) -> list[str]:
    """Pictures that no one sees: a cell shows what its last line makes."""
    return [f"{cell.line + node.lineno - 1}: what {node.value.func.id} makes"
            " is not shown; put it last in its cell"
            for node in course.parse(cell, path).body[:-1]
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Name)
            and node.value.func.id in PICTURES]


def manners(chapter: Chapter) -> list[str]:
    """Length and width of cells, header, and how the chapter ends."""
    faults = []
    for key in ("laptop", "gpu"):
        if key not in chapter.header.get("minutes", {}):
            faults.append(f"the header lacks minutes: {key}")
    chapter.title, chapter.question         # raise when they are missing
    for cell in chapter.code:
        most = KERNEL_LINES if "kernel" in cell.tags else CODE_LINES
        length = counted_lines(cell, chapter.path)
        if length > most:
            faults.append(f"{cell.line}: a cell of {length} lines;"
                          f" at most {most}")
        for number, line in enumerate(cell.source.splitlines()):
            if len(line) > COLUMNS:
                faults.append(f"{cell.line + number}: {len(line)} columns;"
                              f" at most {COLUMNS}")
        faults += unseen_pictures(cell, chapter.path)
    text = "\n".join(c.source for c in chapter.cells
                     if c.kind == "markdown")
    faults += [f"a fence does not begin its line: {line!r}"
               for line in re.findall(r"^.*\S +`{3,}(?:\{.*)?$", text, re.M)]
    if not chapter.number.startswith("A"):
        faults += [f"no section {title!r}" for title in ENDING
                   if f"\n## {title}" not in f"\n{text}"]
        if not 3 <= text.count("```{exercise}") <= 6:
            faults.append(f"{text.count('```{exercise}')} exercises;"
                          " three to six are wanted")
    if saved_form(chapter.path) != chapter.path.read_text(encoding="utf-8"):
        faults.append("JupyterLab would save it in another form: run"
                      " `python book/tools/house.py --tidy`")
    return [f"{chapter.path.name}: {fault}" for fault in faults]


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tidy", action="store_true", help="first write the"
                        " chapters in the form that JupyterLab saves")
    parser.add_argument("--only", metavar="NN", help="one chapter's manners")
    options = parser.parse_args(arguments)
    chapters = ([course.find_chapter(options.only)] if options.only
                else course.all_chapters())
    if options.tidy:
        for chapter in chapters:
            chapter.path.write_text(saved_form(chapter.path),
                                    encoding="utf-8", newline="\n")
    faults = one_source() + forward_only() + no_outputs()
    for chapter in chapters:
        faults += manners(chapter)
        if chapter.module:
            faults += free_import(chapter)
    print("\n".join(faults) or "the house is in order")
    return int(bool(faults))


if __name__ == "__main__":
    course.main(run)
