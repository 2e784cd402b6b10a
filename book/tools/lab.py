"""Open the course in JupyterLab.

A learner works on copies: `work/` gets a notebook for each chapter, without
solutions, and nothing there is ever overwritten. With --author the chapters
themselves open as notebooks, by double click.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import course
import nbformat
import notebooks

SETTINGS = {
    "@jupyterlab/docmanager-extension:plugin": {
        "defaultViewers": {"python": "Jupytext Notebook"}},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
}


def copy_chapters(folder: Path) -> list[str]:
    """Write the notebooks that are not in `folder` yet; return their names."""
    folder.mkdir(exist_ok=True)
    new = []
    real = bool(os.environ.get("SEGLIB_DATA"))
    for chapter in course.all_chapters():
        path = folder / f"{chapter.name}.ipynb"
        if not path.exists():
            notebook = notebooks.make_notebook(chapter, solutions=False,
                                               real=real)
            nbformat.write(notebook, path)
            new.append(path.name)
    return new


def settle_in():
    """This environment's JupyterLab shows .py as notebooks, and no news."""
    folder = Path(sys.prefix) / "share" / "jupyter" / "lab" / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overrides.json").write_text(json.dumps(SETTINGS))


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--author", action="store_true",
                        help="open the sources instead of working copies")
    parser.add_argument("--no-server", action="store_true",
                        help="prepare everything, but start nothing")
    options, rest = parser.parse_known_args(arguments)
    settle_in()
    folder = course.ROOT / ("chapters" if options.author else "work")
    if not options.author:
        new = copy_chapters(folder)
        print(f"{len(new)} new notebook(s) in {folder.name}/;"
              " those that were there are as you left them")
    if options.no_server:
        return 0
    root = course.ROOT if options.author else folder
    return subprocess.run([sys.executable, "-m", "jupyterlab",
                           f"--ServerApp.root_dir={root}", *rest]).returncode


if __name__ == "__main__":
    course.main(run)
