"""Copy the finished book, and its notebooks, to where they are published.

FOLDER/html is the site; FOLDER/notebooks is what the launch buttons open
(the branch `notebooks` of the repository). A book that shows data sets
which may not be republished is refused.
"""
from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import build
import check_pages
from course import ChapterError, main


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="must not exist yet")
    options = parser.parse_args(arguments)
    if not (build.HTML / "index.html").exists():
        raise ChapterError("there is no book yet: run `make book`")
    if (build.HTML / "DO_NOT_PUBLISH").exists():
        raise ChapterError(f"refused. {build.BANNER} Run `make book` first.")
    if options.folder.exists():
        raise ChapterError(f"{options.folder} exists; nothing is overwritten")
    faults = check_pages.check(build.HTML, build.STAGE / "_toc.yml")
    if faults:
        raise ChapterError("the pages have faults:\n" + "\n".join(faults))
    shutil.copytree(build.HTML, options.folder / "html")
    shutil.copytree(build.STAGE / "chapters",
                    options.folder / "notebooks" / "chapters")
    print(f"{options.folder}: html and notebooks")
    return 0


if __name__ == "__main__":
    main(run)
