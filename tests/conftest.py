"""What several test files share."""
import os
import sys
from pathlib import Path

import hypothesis
import pytest

# The first call of a compiled function takes its time. The examples are
# the same in every run, so that a planted mistake is caught in every run.
hypothesis.settings.register_profile("course", deadline=None,
                                     derandomize=True)
hypothesis.settings.load_profile("course")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "tools"))


@pytest.fixture
def real_data() -> Path:
    """Folder of real data sets; the test is skipped where there is none."""
    folder = os.environ.get("SEGLIB_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real data sets: set SEGLIB_DATA to their folder")
    return Path(folder)


def write_chapter(root: Path, name: str, *cells: str, module: str | None = None,
                  place: float | None = None) -> Path:
    """A small chapter file; a cell that starts with `#!` is Markdown.

    The first line of a code cell may be `#tags: a b`.
    """
    header = ["# ---", "# jupyter:", "#   kernelspec:",
              "#     display_name: Python 3", "#     language: python",
              "#     name: python3", "#   seglib:",
              "#     minutes: {laptop: 0.1, gpu: 0.1}"]
    header += [f"#     module: {module}"] * bool(module)
    header += [f"#     place: {place}"] * (place is not None)
    text = ["\n".join([*header, "# ---"]),
            "# %% [markdown]\n# # A title\n#\n# *Does it work?*"]
    for cell in cells:
        if cell.startswith("#!"):
            lines = cell[2:].strip().splitlines()
            text.append("# %% [markdown]\n"
                        + "\n".join(f"# {line}".rstrip() for line in lines))
        elif cell.startswith("#tags:"):
            first, _, rest = cell.partition("\n")
            tags = ", ".join(f'"{t}"' for t in first[6:].split())
            text.append(f"# %% tags=[{tags}]\n{rest}")
        else:
            text.append(f"# %%\n{cell}")
    folder = root / "chapters" / ("appendix" if name[0] == "A" else "")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def small_course(tmp_path: Path):
    """A course of two chapters in a folder of its own, in good order."""
    import export
    (tmp_path / "seglib").mkdir()
    (tmp_path / "seglib" / "__init__.py").write_text("")
    write_chapter(
        tmp_path, "01_first",
        "#tags: export\nimport numpy as np  # arrays",
        "#! ## What is twice?",
        '#tags: export\ndef twice(x):\n    """Two times x."""\n'
        "    # a comment that stays\n    return np.add(x, x)",
        "assert twice(2) == 4", module="first")
    write_chapter(
        tmp_path, "02_second",
        "#tags: export\nfrom seglib.first import twice",
        '#tags: export\ndef thrice(x):\n    """Three times x.\n\n'
        '    Parameters\n    ----------\n    x : int\n    """\n'
        "    return twice(x) + x", module="second")
    export.run(["--root", str(tmp_path)])
    return tmp_path
