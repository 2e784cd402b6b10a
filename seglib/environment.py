"""The environment: chapter A1 of the course.

Is everything here that the course needs, and where will it run?

Exported from A1_environment.py; edit the chapter, not this file.
"""

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

__all__ = [
    "package_folder",
    "project_root",
    "results",
    "measured",
    "data_root",
    "weights_root",
    "profile",
    "devices",
    "device",
    "Finding",
    "requirements",
    "admits",
    "check_package",
    "PYTHON",
    "check_python",
    "check_packages",
    "check_device",
    "check_machine",
    "check_cache",
    "check_data",
    "check_kernel",
    "CHECKS",
    "doctor",
]


# Where does the course live?
# ---------------------------

def package_folder() -> Path:
    """Folder that seglib is imported from.

    Chapter
    -------
    A1 The environment, "Where does the course live?".
    """
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

    Chapter
    -------
    A1 The environment, "Where does the course live?".
    """
    package = package_folder()
    if not (package.parent / "chapters").is_dir():
        raise FileNotFoundError(
            f"seglib is installed in {package}, without the course;"
            " this needs a checkout, or a folder as argument")
    return package.parent


# Where are the results, the data, the weights?
# ---------------------------------------------

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

    Chapter
    -------
    A1 The environment, "Where are the results, the data, the weights?".
    """
    folder = project_root() / "book" / "results"
    path = folder / f"{name}.json"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in folder.glob("*.json")))
        raise FileNotFoundError(
            f"name is {name!r}; book/results holds"
            f" {there or 'nothing yet'}; `make results` measures")
    return json.loads(path.read_text(encoding="utf-8"))


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

    Chapter
    -------
    A1 The environment, "Where are the results, the data, the weights?".
    """
    rows = results(name)["rows"]
    fit = [row for row in rows if where.items() <= row.items()]
    if len(fit) != 1:
        there = _told_apart(fit) if fit else _values(rows, where)
        raise ValueError(f"where is {where}; needed: what fits one row"
                         f" of {name}, not {len(fit)}; {there}")
    return fit[0]


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

    Chapter
    -------
    A1 The environment, "Where are the results, the data, the weights?".
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

    Chapter
    -------
    A1 The environment, "Where are the results, the data, the weights?".
    """
    root = root or os.environ.get("SEGLIB_WEIGHTS")
    return (Path(root).expanduser() if root
            else project_root() / "data" / "weights")


# Small or large?
# ---------------

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

    Chapter
    -------
    A1 The environment, "Small or large?".
    """
    value = os.environ.get("SEGLIB_PROFILE") or "laptop"
    if value not in ("laptop", "gpu"):
        raise ValueError(f"SEGLIB_PROFILE is {value!r};"
                         " needed: laptop or gpu")
    return value


# Where will it run?
# ------------------

def devices() -> list[str]:
    """Names of PyTorch's devices here, the fastest first.

    Returns
    -------
    list of str
        "cuda:0", "cuda:1", … then "mps:0", as far as they are there,
        and always "cpu" at the end.

    Chapter
    -------
    A1 The environment, "Where will it run?".
    """
    import torch
    cuda = range(torch.cuda.device_count()
                 if torch.cuda.is_available() else 0)
    apple = ["mps:0"] if torch.backends.mps.is_available() else []
    return [f"cuda:{index}" for index in cuda] + apple + ["cpu"]


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

    Chapter
    -------
    A1 The environment, "Where will it run?".
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


# What does a doctor look at?
# ---------------------------

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

    Chapter
    -------
    A1 The environment, "What does a doctor look at?".
    """

    state: str
    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.state:9}{self.what:16}{self.detail}"


# Versions
# --------

def requirements() -> dict[str, list[str]]:
    """Packages and ranges: `needed`, and each extra by name.

    Returns
    -------
    dict of lists of str
        For instance `{"needed": ["numpy>=1.26", …], "test": […]}`;
        without the course, only what is needed.

    Chapter
    -------
    A1 The environment, "Versions".
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


def admits(requirement: str, version: str) -> bool:
    """Whether a version lies in a range such as "torch>=2.11,<3".

    Only the numbers count: 2.11.0rc1 and 2.11.0+cpu pass for 2.11.

    Examples
    --------
    >>> admits("numpy>=1.26", "1.9"), admits("numpy>=1.26", "2.0")
    (False, True)

    Chapter
    -------
    A1 The environment, "Versions".
    """
    def numbers(text):
        release = re.match(r"\d+(\.\d+)*", text)[0]
        release = re.sub(r"(\.0)+$", "", release)      # 2.0 is 2
        return [int(number) for number in release.split(".")]

    have = numbers(version)
    limits = re.findall(r"(>=|<)([\d.]+)", requirement)
    return all(have >= numbers(limit) if sign == ">="
               else have < numbers(limit) for sign, limit in limits)


def check_package(requirement: str, state: str = "missing") -> Finding:
    """Is a package here, in a version that will do?

    Parameters
    ----------
    requirement : str
        Such as "numpy>=1.26".
    state : str
        The finding's state if not.

    Chapter
    -------
    A1 The environment, "Versions".
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


PYTHON = "Python>=3.11"


def check_python() -> list[Finding]:
    """Is this Python new enough?

    Chapter
    -------
    A1 The environment, "Versions".
    """
    version = platform.python_version()
    state = "ok" if admits(PYTHON, version) else "missing"
    detail = f"{version}, needed: {PYTHON.removeprefix('Python')}"
    return [Finding(state, "Python", detail),
            Finding("ok", "system", platform.platform(terse=True))]


def check_packages() -> list[Finding]:
    """The packages of the library, and the course's extras.

    Chapter
    -------
    A1 The environment, "Versions".
    """
    wanted = requirements()
    findings = [check_package(p) for p in wanted.pop("needed")]
    for extra, packages in wanted.items():
        checked = [check_package(p, state="note") for p in packages]
        lacking = [f for f in checked if f.state != "ok"]
        findings += lacking or [Finding(
            "ok", f"extra {extra!r}", f"all {len(checked)} packages")]
    return findings


# The machine
# -----------

def check_device() -> list[Finding]:
    """Which device will be used, and which size of experiment.

    Chapter
    -------
    A1 The environment, "The machine".
    """
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


def check_machine() -> list[Finding]:
    """Cores, memory, free disk space, and room for compiled code.

    Chapter
    -------
    A1 The environment, "The machine".
    """
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


def check_cache() -> Finding:
    """May numba keep its compiled functions?

    Chapter
    -------
    A1 The environment, "The machine".
    """
    folder = Path(os.environ.get("NUMBA_CACHE_DIR")
                  or package_folder() / "__pycache__")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return Finding("note", "numba cache", f"{folder} is read-only;"
                       " set NUMBA_CACHE_DIR to a folder of yours")
    return Finding("ok", "numba cache", f"writable, {folder}")


# Data and weights
# ----------------

def check_data() -> list[Finding]:
    """What lies where data sets and weights are looked for.

    Chapter
    -------
    A1 The environment, "Data and weights".
    """
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


# The kernel
# ----------

def check_kernel() -> list[Finding]:
    """Do notebooks run in this Python?

    Chapter
    -------
    A1 The environment, "The kernel".
    """
    if not importlib.util.find_spec("jupyter_client"):
        return [Finding("note", "kernel", "no Jupyter in this Python")]
    from jupyter_client.kernelspec import KernelSpecManager
    spec = KernelSpecManager().get_kernel_spec("python3")
    theirs, ours = Path(spec.argv[0]), Path(sys.executable)
    if theirs.is_absolute() and theirs.parent != ours.parent:
        return [Finding("note", "kernel", f"notebooks run in {theirs};"
                        f" this is {ours}")]
    return [Finding("ok", "kernel", f"notebooks run in {ours}")]


# Together
# --------

CHECKS = (check_python, check_packages, check_device, check_machine,
          check_data, check_kernel)


def doctor() -> list[Finding]:
    """What is here, what is missing, and which device will be used.

    Returns
    -------
    list of Finding
        One line each when printed; nothing is raised.

    Chapter
    -------
    A1 The environment, "Together".
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
