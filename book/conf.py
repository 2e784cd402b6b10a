"""The book for plain Sphinx: the exit, should Jupyter Book 1 stop installing.

After `make book` has staged the pages:

    sphinx-build -W -n -c book build/book build/sphinx

Needs sphinx, myst-nb, sphinx-external-toc, sphinx-book-theme and the
extensions of _config.yml, which stays the one place for the settings.
"""
import sys
from pathlib import Path

import yaml

_stage = Path(__file__).resolve().parents[1] / "build" / "book"
_book = yaml.safe_load((_stage / "_config.yml").read_text(encoding="utf-8"))
sys.path.insert(0, str(_stage / "extensions"))

project = html_title = _book["title"]
author = _book["author"]
copyright = _book["copyright"]
extensions = [
    "sphinx_togglebutton",
    "sphinx_copybutton",
    "myst_nb",
    "sphinx_external_toc",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    *_book["sphinx"]["extra_extensions"],
    *_book["sphinx"]["local_extensions"],
]
bibtex_bibfiles = _book["bibtex_bibfiles"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
external_toc_path = str(_stage / "_toc.yml")
html_theme = "sphinx_book_theme"
myst_enable_extensions = _book["parse"]["myst_enable_extensions"]
myst_url_schemes = ["mailto", "http", "https"]
nb_execution_mode = _book["execute"]["execute_notebooks"]
numfig = True
globals().update(_book["sphinx"]["config"])
html_static_path = [str(_stage / path) for path in html_static_path]  # noqa: F821
suppress_warnings = suppress_warnings + ["etoc.toctree"]  # noqa: F821
