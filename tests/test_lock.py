"""The lock: one version of each package, on every system, for every Python.

Nothing is installed here. The lock's markers are evaluated for each
environment, and what the installed packages say they need is looked up in
the lock as that environment would read it.
"""
import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKED = [Requirement(line.split("#")[0]) for line in TEXT.splitlines()
          if line and not line.lstrip().startswith("#")]

INSTALLED = {canonicalize_name(d.name): d
             for d in importlib.metadata.distributions()}

SYSTEMS = {
    "linux": ("posix", "linux", "Linux", "x86_64"),
    "linux-arm": ("posix", "linux", "Linux", "aarch64"),
    "macos": ("posix", "darwin", "Darwin", "arm64"),
    "windows": ("nt", "win32", "Windows", "AMD64"),
}
PYTHONS = ("3.11.0", "3.11.9", "3.12.1", "3.13.0")
ENVIRONMENTS = [(system, python) for system in SYSTEMS for python in PYTHONS]
each = pytest.mark.parametrize("system, python", ENVIRONMENTS)


def environment(system, python, extra=""):
    os_name, sys_platform, platform_system, machine = SYSTEMS[system]
    return {
        "os_name": os_name, "sys_platform": sys_platform,
        "platform_system": platform_system, "platform_machine": machine,
        "python_version": python.rpartition(".")[0],
        "python_full_version": python, "implementation_name": "cpython",
        "implementation_version": python, "platform_release": "",
        "platform_python_implementation": "CPython", "platform_version": "",
        "extra": extra}


def applies(requirement, where):
    return requirement.marker is None or requirement.marker.evaluate(where)


def pins(system, python):
    """Versions that the lock gives in one environment, by name."""
    where = environment(system, python)
    found = [(canonicalize_name(r.name), str(r.specifier).removeprefix("=="))
             for r in LOCKED if applies(r, where)]
    assert len(found) == len(dict(found)), "a package is pinned twice"
    return dict(found)


def needed(requirements, where):
    return [r for r in map(Requirement, requirements or ())
            if applies(r, where)]


def unmet(requirements, pinned):
    """Requirements that the lock leaves out, or does not admit."""
    return [str(r) for r in requirements
            if canonicalize_name(r.name) not in pinned
            or not r.specifier.contains(pinned[canonicalize_name(r.name)],
                                        prereleases=True)]


def test_every_line_is_an_exact_version():
    assert len(LOCKED) > 100
    for requirement in LOCKED:
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), (
            requirement)
        assert requirement.url is None and not requirement.extras


def test_no_address_path_or_option():
    assert not re.search(r"://|[/\\]| @ |^-", TEXT, re.M)


@each
def test_every_environment_has_the_project_and_both_extras(system, python):
    pinned = pins(system, python)
    assert {"torch", "torchvision", "numba", "jupyterlab", "pytest",
            "hatchling", "editables"} <= set(pinned)
    wanted = sum(PROJECT["optional-dependencies"].values(),
                 PROJECT["dependencies"])
    assert unmet(map(Requirement, wanted), pinned) == []


@each
def test_each_package_finds_what_it_needs(system, python):
    pinned = pins(system, python)
    here = {name: d for name, d in INSTALLED.items()
            if d.version.partition("+")[0] == pinned.get(name)}
    if len(here) < 100:
        pytest.skip("this Python is not made from the lock")
    where = environment(system, python)
    extras = {(name, "") for name in here}
    for distribution in here.values():
        for requirement in needed(distribution.requires, where):
            extras |= {(canonicalize_name(requirement.name), extra)
                       for extra in requirement.extras}
    for name, extra in sorted(extras):
        if name in here:
            wanted = needed(here[name].requires,
                            environment(system, python, extra))
            assert unmet(wanted, pinned) == [], f"{name}[{extra}] needs it"


@pytest.mark.parametrize("python", PYTHONS)
def test_cuda_comes_on_linux_only(python):
    for system in SYSTEMS:
        has = any(name.startswith("nvidia-") for name in pins(system, python))
        assert has == system.startswith("linux")
