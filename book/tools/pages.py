"""Pages of the book that are made, not written: status, results, bench,
claims, reference.
"""
from __future__ import annotations

import json
import re
from pathlib import Path

import course
from course import Chapter, ChapterError


def generated(chapters: list[Chapter], outputs: dict) -> dict[str, str]:
    """Text of each generated page, by its name."""
    modules = [c for c in chapters if c.module]
    made = {f"api/seglib.{c.module}.md": module_page(c) for c in modules}
    return made | {
        "api/index.md": reference_index(modules),
        "intro.md": cover(chapters),
        "glossary.md": glossary(),
        "status.md": status(chapters, outputs),
        "results.md": results(),
        "bench.md": bench(),
        "claims.md": claims(chapters),
        "data.md": (course.ROOT / "data/README.md").read_text(),
        "contributing.md": (course.ROOT / "CONTRIBUTING.md").read_text(),
    }


def table(head: list[str], rows: list[list]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(c) for c in line) + " |"
                     for line in lines)


def cover(chapters: list[Chapter]) -> str:
    """The first page, with the list of chapters put in its place."""
    rows = [[link(c), c.question, f"{60 * c.minutes['laptop']:.0f} s"]
            for c in chapters if not c.number.startswith("A")]
    text = (course.ROOT / "book/intro.md").read_text(encoding="utf-8")
    return text.replace("<!-- chapters -->", table(
        ["chapter", "its question", "runs for"], rows))


def glossary() -> str:
    """The glossary, each term findable in English and in Chinese."""
    text = (course.ROOT / "book/glossary.md").read_text(encoding="utf-8")
    return re.sub(r"(?m)^(\S.*) · (.+)$", r"\1\n\2", text).replace(
        "```{glossary}\n", "```{glossary}\n:sorted:\n\n")


def link(chapter: Chapter) -> str:
    return f"[{chapter.number} {chapter.title}](chapters/{chapter.name}.ipynb)"


# Reference
# ---------

def module_page(chapter: Chapter) -> str:
    return (f"# seglib.{chapter.module}\n\nFrom chapter {chapter.number}, "
            f"[{chapter.title}](../chapters/{chapter.name}.ipynb):"
            f" *{chapter.question}*\n\n```{{eval-rst}}\n"
            f".. automodule:: seglib.{chapter.module}\n   :members:\n```\n")


def reference_index(chapters: list[Chapter]) -> str:
    rows = [[f"[seglib.{c.module}](seglib.{c.module}.md)", c.question,
             f"[{c.number} {c.title}](../chapters/{c.name}.ipynb)"]
            for c in chapters]
    return ("# The library\n\nWhat the chapters export. Each entry links to"
            " the section that defines it, and each section to its entry.\n\n"
            + table(["module", "its question", "chapter"], rows) + "\n")


# Status
# ------

def status(chapters: list[Chapter], outputs: dict) -> str:
    rows, total = [], 0
    for chapter in chapters:
        seconds = outputs[chapter.name].metadata.seglib["seconds"]
        total += seconds
        rows.append([link(chapter), chapter.minutes["laptop"],
                     chapter.minutes["gpu"], f"{seconds:.0f} s"])
    facts = outputs[chapters[-1].name].metadata.seglib
    versions = {"Python": facts["python"], **facts["versions"]}
    return ("# Status\n\nWhat each chapter says it takes, and what it took"
            " when this book was made (two chapters at a time). All chapters"
            f" together ran for {total / 60:.1f} minutes.\n\n"
            + table(["chapter", "laptop, minutes", "GPU, minutes",
                     "this build"], rows)
            + "\n\nMade with\n\n"
            + table(["package", "version"], list(versions.items())) + "\n")


# Results and bench
# -----------------

def read_results() -> list[dict]:
    folder = course.ROOT / "book" / "results"
    return [json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(folder.glob("[0-9A]*.json"))]


def number(value: float) -> str:
    return "–" if value is None else f"{value:.3f}"


def band(row: dict) -> str:
    return f"{number(row['low'])}\N{NO-BREAK SPACE}–\N{NO-BREAK SPACE}" + (
        number(row["high"]))


def results() -> str:
    files = read_results()
    text = ["# Results", "What takes longer than a chapter may: several"
            " seeds, real data sets, a GPU. Each table is measured by"
            " `make results` and says with what; the book reads the files."]
    ladder = [(row, file) for file in files for row in file["ladder"]]
    if ladder:
        text.append("## The ladder so far\n\nEvery method on the same"
                    " pictures.")
        text.append(table(
            ["method", "data", "metric", "score", "band", "s a picture"],
            [[row["rung"], row["dataset"], row["metric"],
              f"**{number(row['value'])}**", band(row),
              f"{row['seconds_per_image']:.3g}"] for row, _ in ladder]))
    for file in files:
        text.append(f"## {file['chapter'].replace('_', ' ').capitalize()}\n\n"
                    f"*{file['question']}*")
        text.append(table(
            ["data", "split", "n", "method", "metric", "score", "band",
             "band is"],
            [[r["dataset"], r["split"], r["n"], r["method"], r["metric"],
              f"**{number(r['value'])}**", band(r), r["band"]]
             for r in file["rows"]]))
        text.append(f"`{file['command']}` · commit {file['commit'][:10]} ·"
                    f" {file['date']} · {file['machine']} · seeds"
                    f" {', '.join(map(str, file['seeds']))} ·"
                    f" {file['minutes']:.1f} minutes")
    return "\n\n".join(text) + "\n"


def bench() -> str:
    text = ("# Bench\n\nOurs beside what you would pick instead, both timed"
            " in turn in one run, medians after a warm-up. Below 1, ours is"
            " faster. Where it is not, the chapter says why.\n\n")
    path = course.ROOT / "book" / "results" / "bench.json"
    if not path.exists():
        return text + "Nothing measured yet: run `make bench`.\n"
    file = json.loads(path.read_text(encoding="utf-8"))
    rows = [[r["chapter"], r["name"], r["peer"], f"{r['ours_ms']:.3g}",
             f"{r['theirs_ms']:.3g}", f"**{r['ratio']:.3g}**",
             f"{r['at_most']:.3g}"] for r in file["lines"]]
    return (text + table(["chapter", "job", "peer", "ours, ms", "peer, ms",
                          "ratio", "wanted at most"], rows)
            + f"\n\n`make bench` · commit {file['commit'][:10]} ·"
            f" {file['date']} · {file['machine']}, {file['threads']}"
            " threads\n")


# Claims
# ------

def chapter_claims(chapter: Chapter) -> list[tuple[str, str]]:
    """(claim, verdict) of each claim that a chapter checks."""
    found, claim = [], None
    for cell in chapter.cells:
        if cell.kind != "markdown":
            continue
        for part in re.split(r"(?m)^(?=### Claim: |\*\*Verdict: )",
                             cell.source):
            if heading := re.match(r"### Claim: (.+)", part):
                if claim:
                    raise ChapterError(f"{chapter.path.name}: no verdict on"
                                       f" {claim!r}")
                claim = heading[1].strip()
            elif verdict := re.match(r"\*\*Verdict: (.+?)\*\*(.*?)(\.\s|\.$)",
                                     part, re.S):
                text = " ".join(f"**{verdict[1]}**{verdict[2]}".split())
                found.append((claim, text.rstrip(".") + "."))
                claim = None
    if claim:
        raise ChapterError(f"{chapter.path.name}: no verdict on {claim!r}")
    return found


def claims(chapters: list[Chapter]) -> str:
    rows = [[claim[0].upper() + claim[1:], verdict, link(chapter)] for chapter in chapters
            for claim, verdict in chapter_claims(chapter)]
    return ("# Claims, checked\n\nStatements that circulate in tutorials, and"
            " what running code says of them. The chapters show the code.\n\n"
            + table(["claim", "verdict", "chapter"], rows) + "\n")
