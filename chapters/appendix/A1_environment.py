# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   seglib:
#     minutes:
#       gpu: 0.1
#       laptop: 0.1
#     module: environment
#     place: 0.5
# ---

# %% [markdown]
# # The environment
#
# *Is everything here that the course needs, and where will it run?*
#
# **You will be able to** ask the doctor what your machine lacks, choose
# the device that PyTorch computes on, and put data and weights where
# every chapter finds them. **You need** nothing from other chapters.
# **Exports** `project_root`, `results`, `measured`, `data_root`,
# `weights_root`, `profile`, `devices`, `device`, `doctor`.
#
# If all you want to know is whether you can start, one line in a
# terminal tells:
#
# ```
# python -m seglib doctor
# ```
#
# What follows is how it knows.

# %% tags=["export"]
from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# %% [markdown]
# All of this comes with Python. A doctor who needs NumPy cannot tell
# you that NumPy is missing.
#
# ## Where does the course live?
#
# A script asks `__file__`; a notebook cell has none, and the folder it
# was started in may be anywhere. But Python always knows where it would
# import `seglib` from, and looking that up does not import anything.

# %% tags=["export"]
def package_folder() -> Path:
    """Folder that seglib is imported from."""
    return Path(importlib.util.find_spec("seglib").origin).parent


def project_root() -> Path:
    """Folder of the course's checkout.

    Returns
    -------
    Path
        The folder that holds `chapters/`, `seglib/` and `book/`.

    Raises
    ------
    FileNotFoundError
        If seglib is installed without the course around it.

    Examples
    --------
    >>> (project_root() / "seglib" / "environment.py").exists()
    True
    """
    package = package_folder()
    if not (package.parent / "chapters").is_dir():
        raise FileNotFoundError(
            f"seglib is installed in {package}, without the course;"
            " this needs a checkout, or a folder as argument")
    return package.parent

# %%
sorted(path.name for path in project_root().iterdir()
       if path.name in ("book", "chapters", "data", "seglib", "tests"))

# %% [markdown]
# ## Where are the results, the data, the weights?
#
# Some experiments take longer than a chapter may. Their numbers are
# measured once and kept in `book/results/`. A chapter that quotes one
# reads it from there, so that the text cannot fall behind.

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

# %% [markdown]
# Most of the time one row is wanted. A look-up that takes the first row
# that fits will one day quote the wrong one, without a word; this one
# takes the *only* row that fits.

# %% tags=["export"]
def measured(name: str, **where) -> dict:
    """The one row of a results file whose fields are as asked for.

    Parameters
    ----------
    name : str
        As for `results`.
    **where
        Fields and their values, such as method="FCN-8s".

    Returns
    -------
    dict
        The row: "value", "low", "high" and what was measured on what.

    Raises
    ------
    FileNotFoundError
        As `results`.
    ValueError
        If no row fits, or several do; says what there is.

    Examples
    --------
    >>> row = measured("12_fcn", method="FCN-8s", metric="pole IoU")
    >>> row["low"] <= row["value"] <= row["high"]
    True
    """
    rows = results(name)["rows"]
    fit = [row for row in rows if where.items() <= row.items()]
    if len(fit) != 1:
        there = _told_apart(fit) if fit else _values(rows, where)
        raise ValueError(f"where is {where}; needed: what fits one row"
                         f" of {name}, not {len(fit)}; {there}")
    return fit[0]

# %% tags=["export"]
def _values(rows, fields) -> str:
    """What rows have in some fields."""
    there = {field: sorted({repr(row[field]) for row in rows
                            if field in row}) for field in fields}
    return "; ".join(
        f"{field}: {', '.join(values) or 'no such field'}"
        for field, values in there.items())


def _told_apart(rows) -> str:
    """Fields, and what they hold, in which rows differ."""
    return _values(rows, [
        field for field, value in rows[0].items()
        if isinstance(value, (str, int))
        and any(row[field] != value for row in rows)])

# %%
try:
    measured("12_fcn", method="FCN-8", metric="pole IoU")
except ValueError as error:
    print(str(error).replace("; ", ";\n"))

# %% [markdown]
# Data sets are large, and most of them may not be handed on. They lie
# in `data/` unless you say otherwise: once for all in the variable
# `SEGLIB_DATA`, or here and now by an argument, which wins.

# %% tags=["export"]
def data_root(root: str | Path | None = None) -> Path:
    """Folder of data sets: `root`, `$SEGLIB_DATA`, or `data/`.

    Parameters
    ----------
    root : path, optional
        Taken as it is when given. The folder need not exist.

    Raises
    ------
    FileNotFoundError
        If neither is given and seglib is installed without the course.

    Examples
    --------
    >>> data_root("elsewhere").name
    'elsewhere'
    """
    root = root or os.environ.get("SEGLIB_DATA")
    return Path(root).expanduser() if root else project_root() / "data"


def weights_root(root: str | Path | None = None) -> Path:
    """Folder of weights; `$SEGLIB_WEIGHTS`, or `data/weights`.

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

# %%
assert data_root("/mnt/teaching") == Path("/mnt/teaching")
assert data_root("~/sets") == Path.home() / "sets"

# %% [markdown]
# ## Small or large?
#
# The same chapter runs on a laptop in seconds and on a GPU at the size
# of the paper. It asks which of the two is meant; it never guesses from
# the hardware, because a number that changes with the machine is a
# number nobody can check.

# %% tags=["export"]
def profile() -> str:
    """Size of the experiments: `$SEGLIB_PROFILE`, or "laptop".

    Returns
    -------
    str
        "laptop" or "gpu".

    Raises
    ------
    ValueError
        If the variable holds anything else.
    """
    value = os.environ.get("SEGLIB_PROFILE") or "laptop"
    if value not in ("laptop", "gpu"):
        raise ValueError(f"SEGLIB_PROFILE is {value!r};"
                         " needed: laptop or gpu")
    return value

# %% [markdown]
# ## Where will it run?
#
# PyTorch {cite}`paszke2019` computes on an NVIDIA card through CUDA, on
# the graphics part of an Apple chip through Metal (it calls that
# *MPS*), and on any processor. We list what is there, the fastest
# first. `import torch` stands inside the function: it takes seconds,
# and half of this course never asks.

# %% tags=["export"]
def devices() -> list[str]:
    """Names of PyTorch's devices here, the fastest first.

    Returns
    -------
    list of str
        "cuda:0", "cuda:1", … then "mps:0", as far as they are there,
        and always "cpu" at the end.
    """
    import torch
    cuda = range(torch.cuda.device_count()
                 if torch.cuda.is_available() else 0)
    apple = ["mps:0"] if torch.backends.mps.is_available() else []
    return [f"cuda:{index}" for index in cuda] + apple + ["cpu"]

# %% tags=["export"]
def device(prefer=None) -> torch.device:
    """The device to compute on: CUDA, else MPS, else the CPU.

    Parameters
    ----------
    prefer : str or torch.device, optional
        Such as "cpu", "cuda", "cuda:1"; else `$SEGLIB_DEVICE` decides.

    Returns
    -------
    torch.device
        With its number, as a tensor's own `.device` has it.

    Raises
    ------
    ValueError
        If the device asked for is not there.

    Examples
    --------
    >>> device("cpu")
    device(type='cpu')
    """
    import torch
    there = devices()
    wish = prefer or os.environ.get("SEGLIB_DEVICE") or there[0]
    for name in there:
        if str(wish) in (name, name.removesuffix(":0")):
            return torch.device(name)
    asked = "prefer" if prefer else "SEGLIB_DEVICE"
    raise ValueError(f"{asked} is {str(wish)!r}; PyTorch finds here:"
                     f" {', '.join(there)}")

# %% [markdown]
# Whatever it is on your machine, a tensor sent there lands there, and
# the sums come out right:

# %%
import torch

here = device()
count = torch.arange(10, device=here)
assert count.device == here and count.sum().item() == 45
here

# %% [markdown]
# **What went wrong?** Ask PyTorch itself for a device that is not there,
# and it agrees; it complains only when the first tensor is sent there,
# perhaps minutes later. Here you hear it at once:

# %%
assert torch.device("cuda:99").index == 99      # no complaint

try:
    device("cuda:99")
except ValueError as error:
    print(error)

# %% [markdown]
# ## What does a doctor look at?
#
# A finding is one line: how it stands, what was looked at, what was
# found. What is `missing` stops you; a `note` you may want to read.

# %% tags=["export"]
@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Parameters
    ----------
    state : {"ok", "note", "missing"}
        "missing" if the library cannot work without it.
    what : str
        What was looked at.
    detail : str
        What was found, and what to do about it.
    """

    state: str
    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.state:9}{self.what:16}{self.detail}"

# %% [markdown]
# ### Versions
#
# The project says which packages it stands on, and which versions will
# do: in `pyproject.toml` in a checkout, in the metadata that pip keeps
# elsewhere.

# %% tags=["export"]
def requirements() -> dict[str, list[str]]:
    """Packages and ranges: `needed`, and each extra by name.

    Returns
    -------
    dict of lists of str
        For instance `{"needed": ["numpy>=1.26", …], "test": […]}`;
        without the course, only what is needed.
    """
    import tomllib
    try:
        text = (project_root() / "pyproject.toml").read_text("utf-8")
    except FileNotFoundError:
        lines = importlib.metadata.requires("seglib")
        return {"needed": [line for line in lines if ";" not in line]}
    project = tomllib.loads(text)["project"]
    return {"needed": project["dependencies"],
            **project["optional-dependencies"]}

# %% [markdown]
# Versions are compared number by number, for as text "1.9" would be
# newer than "1.26". Two signs are enough, at least (`>=`) and below
# (`<`): the project uses no others.

# %% tags=["export"]
def admits(requirement: str, version: str) -> bool:
    """Whether a version lies in a range such as "torch>=2.11,<3".

    Only the numbers count: 2.11.0rc1 and 2.11.0+cpu pass for 2.11.

    Examples
    --------
    >>> admits("numpy>=1.26", "1.9"), admits("numpy>=1.26", "2.0")
    (False, True)
    """
    def numbers(text):
        release = re.match(r"\d+(\.\d+)*", text)[0]
        release = re.sub(r"(\.0)+$", "", release)      # 2.0 is 2
        return [int(number) for number in release.split(".")]

    have = numbers(version)
    limits = re.findall(r"(>=|<)([\d.]+)", requirement)
    return all(have >= numbers(limit) if sign == ">="
               else have < numbers(limit) for sign, limit in limits)

# %%
assert "1.9" > "1.26" and not admits("numpy>=1.26", "1.9")
assert not admits("jupyter-book>=1.0.4,<2", "2.0.0")

# %% tags=["export"]
def check_package(requirement: str, state: str = "missing") -> Finding:
    """Is a package here, in a version that will do?

    Parameters
    ----------
    requirement : str
        Such as "numpy>=1.26".
    state : str
        The finding's state if not.
    """
    name = re.match(r"[\w.-]+", requirement)[0]
    needed = requirement[len(name):] or "any"
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(state, name, f"not installed, needed: {needed}")
    if admits(requirement, version):
        state = "ok"
    return Finding(state, name, f"{version}, needed: {needed}")

# %%
print(check_package("numpy>=1.26"))
print(check_package("numpy>=99"))
print(check_package("unobtainium>=1"))

# %% [markdown]
# What the library stands on gets a line each. An extra gets one line if
# it is all there, and a note for each package that is not: who only
# wants to import `seglib` needs no JupyterLab.

# %% tags=["export"]
PYTHON = "Python>=3.11"


def check_python() -> list[Finding]:
    """Is this Python new enough?"""
    version = platform.python_version()
    state = "ok" if admits(PYTHON, version) else "missing"
    detail = f"{version}, needed: {PYTHON.removeprefix('Python')}"
    return [Finding(state, "Python", detail),
            Finding("ok", "system", platform.platform(terse=True))]

# %% tags=["export"]
def check_packages() -> list[Finding]:
    """The packages of the library, and the course's extras."""
    wanted = requirements()
    findings = [check_package(p) for p in wanted.pop("needed")]
    for extra, packages in wanted.items():
        checked = [check_package(p, state="note") for p in packages]
        lacking = [f for f in checked if f.state != "ok"]
        findings += lacking or [Finding(
            "ok", f"extra {extra!r}", f"all {len(checked)} packages")]
    return findings

# %% [markdown]
# ### The machine
#
# The device line is the one that people come for: a GPU in the
# computer is no use to a PyTorch that was built without CUDA, and this
# is where that shows.

# %% tags=["export"]
def check_device() -> list[Finding]:
    """Which device will be used, and which size of experiment."""
    import torch
    used = device()
    detail = f"{used} will be used (there: {', '.join(devices())})"
    if used.type == "cuda":
        detail += f", {torch.cuda.get_device_name(used)}"
    built = torch.version.cuda
    idle = shutil.which("nvidia-smi") and not torch.cuda.is_available()
    if idle:
        detail += "; the NVIDIA card cannot be used: " + (
            f"driver too old for CUDA {built}?" if built
            else "this PyTorch is built without CUDA")
    return [Finding("note" if idle else "ok", "device", detail),
            Finding("ok", "profile", profile())]

# %% tags=["export"]
def check_machine() -> list[Finding]:
    """Cores, memory, free disk space, and room for compiled code."""
    cores = (len(os.sched_getaffinity(0))
             if hasattr(os, "sched_getaffinity") else os.cpu_count())
    memory = "memory unknown (psutil is not installed)"
    if importlib.util.find_spec("psutil"):
        import psutil
        total = psutil.virtual_memory().total / 2**30
        memory = f"{total:.0f} GB memory"
    free = shutil.disk_usage(package_folder()).free / 2**30
    return [Finding("ok", "cores", f"{cores}, {memory}"),
            Finding("ok" if free >= 2 else "note", "disk",
                    f"{free:.0f} GB free"),
            check_cache()]

# %% [markdown]
# Inner loops are compiled on first use and kept on disk, beside the
# code. Where nobody may write, each new process would compile again, so
# numba looks for a folder of yours; better to name it one.

# %% tags=["export"]
def check_cache() -> Finding:
    """May numba keep its compiled functions?"""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR")
                  or package_folder() / "__pycache__")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return Finding("note", "numba cache", f"{folder} is read-only;"
                       " set NUMBA_CACHE_DIR to a folder of yours")
    return Finding("ok", "numba cache", f"writable, {folder}")

# %% [markdown]
# ### Data and weights
#
# Neither is needed: the chapters live on what comes with the
# repository. But a folder that is not where you think it is makes for
# a long evening.

# %% tags=["export"]
def check_data() -> list[Finding]:
    """What lies where data sets and weights are looked for."""
    findings = []
    for what, where in ("data", data_root), ("weights", weights_root):
        try:
            folder = where()
        except FileNotFoundError:
            findings.append(Finding("note", what, "no folder;"
                                    f" set SEGLIB_{what.upper()}"))
            continue
        found = sorted(path.name for path in folder.glob("[!.]*")
                       if path.suffix != ".md")
        findings.append(Finding(
            "ok" if found else "note", what,
            f"{', '.join(found) or 'nothing'} in {folder}"))
    return findings

# %% [markdown]
# ### The kernel
#
# The classic of all classics: the packages are in one Python, and the
# notebook runs in another.

# %% tags=["export"]
def check_kernel() -> list[Finding]:
    """Do notebooks run in this Python?"""
    if not importlib.util.find_spec("jupyter_client"):
        return [Finding("note", "kernel", "no Jupyter in this Python")]
    from jupyter_client.kernelspec import KernelSpecManager
    spec = KernelSpecManager().get_kernel_spec("python3")
    theirs, ours = Path(spec.argv[0]), Path(sys.executable)
    if theirs.is_absolute() and theirs.parent != ours.parent:
        return [Finding("note", "kernel", f"notebooks run in {theirs};"
                        f" this is {ours}")]
    return [Finding("ok", "kernel", f"notebooks run in {ours}")]

# %% [markdown]
# ## Together
#
# A doctor must not faint at the sight of blood. Whatever a check runs
# into (no torch, a broken driver, an unreadable folder) becomes a
# finding, and the round goes on.

# %% tags=["export"]
CHECKS = (check_python, check_packages, check_device, check_machine,
          check_data, check_kernel)


def doctor() -> list[Finding]:
    """What is here, what is missing, and which device will be used.

    Returns
    -------
    list of Finding
        One line each when printed; nothing is raised.
    """
    findings = []
    for check in CHECKS:
        try:
            findings += check()
        except Exception as error:
            what = check.__name__.removeprefix("check_")
            said = str(error) or type(error).__name__
            findings.append(
                Finding("missing", what, said.splitlines()[0]))
    return findings

# %%
findings = doctor()
print(*findings[:4], "…", sep="\n")
assert not [f for f in findings if f.state == "missing"]

# %% [markdown]
# Four lines are enough here, because the rest differs from machine to
# machine. In a terminal `python -m seglib doctor` prints them all, and
# its exit code is 1 when something is missing.
#
# ## Recap
#
# - `python -m seglib doctor` says what is here, what is missing, and
#   which device will be used.
# - `device()` takes CUDA, else MPS, else the CPU; its argument wins
#   over `SEGLIB_DEVICE`, and what is not there is an error.
# - `SEGLIB_PROFILE` chooses the size of the experiments; nothing
#   guesses it.
# - `SEGLIB_DATA` and `SEGLIB_WEIGHTS` say where data and weights lie.
# - `results(name)` reads what was measured once, and says so if it was
#   not; `measured(name, …)` takes the one row that fits.
#
# ## Exercises
#
# ```{exercise}
# :label: doctor-second-opinion
# Set `SEGLIB_DEVICE` to a device that you do not have and call the
# doctor. Which lines change, and why does the round go on?
# ```
#
# ```{dropdown} Hint
# `os.environ["SEGLIB_DEVICE"] = "cuda:99"`; remember to delete it.
# ```

# %% [markdown] tags=["solution"]
# ````{solution-start} doctor-second-opinion
# :class: dropdown
# ````

# %% tags=["solution"]
os.environ["SEGLIB_DEVICE"] = "cuda:99"
ill = doctor()
del os.environ["SEGLIB_DEVICE"]
print(*[f for f in ill if f.state == "missing"], sep="\n")

# %% [markdown] tags=["solution"]
# `check_device` raises, `doctor` catches: one line for the device, none
# for the profile, and the other checks as before.
# ````{solution-end}
# ````

# %% [markdown]
# ```{exercise}
# :label: version-as-text
# Find two versions of a package you use for which comparing the text
# gives the wrong order, and one pair for which `admits` is wrong too.
# (It knows numbers only; what comes before a release?)
# ```
#
# ```{exercise}
# :label: faster-device
# Multiply two square matrices on each of `devices()` and time it, for
# sides from 32 to 4096. From which side on does the first of the list
# deserve its place? (Wait for the GPU before you stop the clock.)
# ```
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
