"""What the README promises: its code runs, its chapter is one."""
import re
import subprocess
import sys
from pathlib import Path

import course
import export
import readme_picture

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language):
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)
    return text


def test_library_in_five_lines(tmp_path):
    code = block("python")
    assert len(code.splitlines()) == 5
    done = subprocess.run([sys.executable, "-W", "error", "-c", code],
                          cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scores = [float(s) for s in re.findall(r"\d\.\d+", done.stdout)]
    assert len(scores) == 2 and min(scores) > 0.7


def test_chapter_in_a_few_lines(tmp_path):
    text = block("py")
    (tmp_path / "chapters").mkdir()
    path = tmp_path / "chapters" / "05_negative.py"
    path.write_text(text)
    (chapter,) = course.all_chapters(tmp_path)
    assert (chapter.title, chapter.question, chapter.module) == (
        "The negative", "What if light were dark?", "negative")
    names = {}
    exec(export.export(chapter), names)
    exec(chapter.code[-1].source, names)
    assert names["negative"](0) == 255


def test_links_and_targets_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links + re.findall(r"`(chapters/[^`]+)`", README):
        assert (ROOT / link).exists(), link
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_picture_is_small_and_can_be_drawn_again(tmp_path):
    kept = ROOT / "book" / "_static" / "readme.png"
    assert kept.stat().st_size < 150_000
    readme_picture.draw(tmp_path / "again.png")
    with (readme_picture.Image.open(kept) as old,
          readme_picture.Image.open(tmp_path / "again.png") as new):
        assert old.size == new.size
