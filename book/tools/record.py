"""Record what the chapters' checked cells print, for `make test`.

Runs each chapter (or takes its run from the cache) and stores source and
text of the cells tagged `nbval-check-output` in `tests/recorded/`.
"""
from __future__ import annotations

import argparse
import json

import course
import notebooks


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="NN", help="one chapter")
    options = parser.parse_args(arguments)
    chapters = ([course.find_chapter(options.only)] if options.only
                else course.all_chapters())
    for chapter in chapters:
        notebook, _ = notebooks.executed(chapter)
        records = notebooks.checked_outputs(notebook, chapter.path.name)
        path = notebooks.recorded_path(chapter)
        text = json.dumps(records, indent=1, ensure_ascii=False) + "\n"
        if not records:
            path.unlink(missing_ok=True)
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"{chapter.path.name} -> tests/recorded/{path.name}")
    return 0


if __name__ == "__main__":
    course.main(run)
