"""Check the book's pages as a reader's eye would.

Every page of the table of contents exists; a chapter's page holds outputs
and no error; every picture is there and has alt text; no raw math or markup
is left in the text; every link inside the book leads somewhere.
"""
from __future__ import annotations

import argparse
import base64
import re
from pathlib import Path
from urllib.parse import unquote

import course
import yaml
from bs4 import BeautifulSoup

NOT_PROSE = ("code", "pre", "script", "style", "svg", "math", "mjx-container")
RAW_MATH = re.compile(r"(?<![\w$])\$[^$\s](?:[^$]*[^$\s])?\$|\\frac|\\sum|\\begin\{")
RAW_ROLE = re.compile(r"\{[a-z:]+\}`|^:::|```\{")


def toc_pages(toc: Path) -> list[str]:
    """Page names in a table of contents, those behind a glob left out."""
    found = []

    def walk(node):
        if isinstance(node, dict):
            found.extend(node[key] for key in ("root", "file") if key in node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
    walk(yaml.safe_load(toc.read_text(encoding="utf-8")))
    return found


def check(html: Path, toc: Path) -> list[str]:
    """One line for each fault of the book."""
    faults = []
    for name in toc_pages(toc):
        if not (html / f"{name}.html").exists():
            faults.append(f"{name}: the page is missing")
    soups = {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
             for path in sorted(html.rglob("*.html"))
             if not path.relative_to(html).parts[0].startswith("_")}
    for path, soup in soups.items():
        article = soup.find("article") or soup.find(id="main-content") or soup
        name = path.relative_to(html).with_suffix("").as_posix()
        for check_one in (outputs, pictures, prose, mathjax):
            faults += [f"{name}: {fault}" for fault in
                       check_one(article, path, soup)]
        faults += [f"{name}: {fault}" for fault in
                   links(article, path, soups)]
    return faults


def outputs(article, path, soup):
    """A chapter's page shows what its cells printed and drew, no error."""
    if path.parent.name == "chapters":
        if not article.select(".cell_output"):
            yield "a chapter without a single output"
        for bad in article.select(".output.traceback, .output.stderr"):
            yield f"an error or a warning among the outputs: {bad.text[:80]!r}"


def pictures(article, path, soup):
    """Every picture is there and says in words what is to be seen."""
    for img in article.find_all("img"):
        source, alt = img.get("src", ""), (img.get("alt") or "").strip()
        shown = source[:60]
        if not alt or re.search(r"\.(png|jpe?g|svg)$|^image$", alt):
            yield f"a picture without alt text: {shown}"
        if source.startswith("data:"):
            kind, _, data = source.partition(";base64,")
            if not data or not base64.b64decode(data + "=="):
                yield f"an empty picture: {shown}"
        elif not (path.parent / unquote(source)).exists():
            yield f"a broken picture: {shown}"
    for svg in article.select(".cell_output svg"):
        if not svg.find_parent("svg") and not (
                svg.get("role") == "img" and svg.get("aria-label", "").strip()):
            yield "a drawing (svg) without a label"


def prose(article, path, soup):
    """No markup is left over in the text."""
    for text in article.find_all(string=True):
        if text.find_parent(NOT_PROSE) or text.find_parent(class_="math"):
            continue
        for pattern, what in ((RAW_MATH, "math"), (RAW_ROLE, "markup")):
            if found := pattern.search(text):
                yield f"raw {what} in the text: {found[0][:60]!r}"


def mathjax(article, path, soup):
    """Where there are formulas, there is a local program to draw them."""
    if article.select(".math"):
        sources = [s["src"] for s in soup.find_all("script", src=True)
                   if "mathjax" in s["src"]]
        if not any((path.parent / s.split("?")[0]).exists() for s in sources):
            yield "formulas, but no MathJax beside the pages"


def links(article, path, soups):
    """Every link inside the book leads to a page and a place on it."""
    for a in article.find_all("a", href=True):
        href = a["href"]
        if re.match(r"[a-z]+:|//", href):
            continue
        page, _, anchor = unquote(href).partition("#")
        goal = (path.parent / page.split("?")[0]).resolve() if page else path
        if not goal.exists():
            yield f"a broken link: {href}"
        elif anchor and goal in soups and not (
                soups[goal].find(id=anchor) or
                soups[goal].find(attrs={"name": anchor})):
            yield f"a link to a place that is not there: {href}"


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    stage = course.ROOT / "build" / "book"
    parser.add_argument("--html", type=Path, default=stage / "_build/html")
    parser.add_argument("--toc", type=Path, default=stage / "_toc.yml")
    options = parser.parse_args(arguments)
    faults = check(options.html.resolve(), options.toc)
    print("\n".join(faults) or "no faults")
    return int(bool(faults))


if __name__ == "__main__":
    course.main(run)
