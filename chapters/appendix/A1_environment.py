# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   seglib:
#     module: environment
#     place: 0.5
#     minutes: {laptop: 0.1, gpu: 0.1}
# ---

# %% [markdown]
# # The environment
#
# *Is everything here that the course needs, and where will it run?*

# %% tags=["export"]
import importlib.util
import json
import os
from pathlib import Path

# %% [markdown]
# ## Where does the course live?

# %% tags=["export"]
def project_root() -> Path:
    """Folder of the course's checkout.

    Returns
    -------
    Path
        The folder that holds `chapters/`, `seglib/`, and `book/`.

    Raises
    ------
    FileNotFoundError
        If seglib is installed without the course around it.

    Examples
    --------
    >>> (project_root() / "seglib" / "environment.py").exists()
    True
    """
    package = Path(importlib.util.find_spec("seglib").origin).parent
    if not (package.parent / "chapters").is_dir():
        raise FileNotFoundError(
            f"seglib is installed in {package}, without the course;"
            " this needs the course's checkout, or a folder as argument")
    return package.parent

# %% [markdown]
# ## Where are the results, the data, the weights?

# %% tags=["export"]
def results(name: str) -> dict:
    """A file of measured results, `book/results/<name>.json`.

    Parameters
    ----------
    name : str
        Name of the file without its ending, such as "04_thresholding".

    Returns
    -------
    dict
        What `make results` measured: rows, seeds, versions, machine.

    Raises
    ------
    FileNotFoundError
        If nothing of that name has been measured; lists what has.
    """
    folder = project_root() / "book" / "results"
    path = folder / f"{name}.json"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in folder.glob("*.json")))
        raise FileNotFoundError(
            f"name is {name!r}; book/results holds"
            f" {there or 'nothing yet'}; `make results` measures")
    return json.loads(path.read_text(encoding="utf-8"))

# %% tags=["export"]
def data_root(root: str | Path | None = None) -> Path:
    """Folder of the data sets: `root`, else `$SEGLIB_DATA`, else `data/`.

    Parameters
    ----------
    root : path, optional
        Taken as it is when given. The folder need not exist.

    Raises
    ------
    FileNotFoundError
        If neither is given and seglib is installed without the course.
    """
    root = root or os.environ.get("SEGLIB_DATA")
    return Path(root).expanduser() if root else project_root() / "data"


def weights_root(root: str | Path | None = None) -> Path:
    """Folder of weights: `root`, `$SEGLIB_WEIGHTS`, or `data/weights`.

    Parameters
    ----------
    root : path, optional
        Taken as it is when given. The folder need not exist.

    Raises
    ------
    FileNotFoundError
        If neither is given and seglib is installed without the course.
    """
    root = root or os.environ.get("SEGLIB_WEIGHTS")
    return (Path(root).expanduser() if root
            else project_root() / "data" / "weights")
