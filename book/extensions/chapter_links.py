"""Link the reference to the chapters.

A docstring's section "Chapter", which the exporter wrote, becomes a link
to the section of the chapter that defines the object.
"""
import re
from pathlib import Path

from docutils.nodes import make_id


def link(app, what, name, obj, options, lines):
    if what == "module":
        lines.clear()       # the page itself says what the module is
    for i in range(len(lines) - 2):
        found = re.match(r'(\S+) (.+?)(?:, "(.+)"\.)?$', lines[i + 2])
        if lines[i:i + 2] == ["Chapter", "-------"] and found:
            number, title, section = found.groups()
            page = next(Path(app.srcdir, "chapters").glob(f"{number}_*")).stem
            anchor = f"#{make_id(section)}" if section else ""
            text = f"Chapter {number}, {title}"
            if section:
                text += f": {section}"
            lines[i + 2] = f"`{text} <../chapters/{page}.html{anchor}>`__"


def setup(app):
    app.connect("autodoc-process-docstring", link, priority=400)
    return {"parallel_read_safe": True}
