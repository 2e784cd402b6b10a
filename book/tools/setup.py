"""Make the course's environment: `.venv` with the packages of the lock.

    python book/tools/setup.py

Needs Python 3.11 or newer and nothing besides: the same on Linux, macOS and
Windows. Does nothing when nothing has changed, and finishes what an earlier
run could not: `.venv` counts as made only once its stamp is written, last of
all.
"""
import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OLDEST = (3, 11)           # as pyproject.toml says
STAMP = "seglib-setup"     # a file in .venv: what it was made from


class SetupError(Exception):
    """The environment cannot be made; the message is one line."""


def python_of(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def settings(venv: Path) -> str:
    """Text of pyvenv.cfg, or '' where there is none."""
    path = venv / "pyvenv.cfg"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def fingerprint(root: Path) -> str:
    """Hash of what decides the environment: lock, project, place, Python."""
    version = re.search(r"^version(?:_info)? *= *(\d+\.\d+)",
                        settings(root / ".venv"), re.M)
    parts = [(root / "requirements.lock").read_bytes(),
             (root / "pyproject.toml").read_bytes(),
             os.fsencode(root), version[1].encode() if version else b""]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_ready(root: Path) -> bool:
    stamp = root / ".venv" / STAMP
    return (python_of(root / ".venv").exists() and stamp.is_file()
            and stamp.read_text() == fingerprint(root))


def is_usable(venv: Path) -> bool:
    """Whether pip runs in `venv`, and `venv` lies where it was made."""
    made_at = re.search(r"^command *= *(.*)", settings(venv), re.M)
    moved = made_at and (os.path.normcase(str(venv))
                         not in os.path.normcase(made_at[1]))
    if moved or not python_of(venv).exists():
        return False
    probe = f"import pip, sys; sys.exit(sys.version_info < {OLDEST})"
    return subprocess.run([str(python_of(venv)), "-I", "-c", probe],
                          stderr=subprocess.DEVNULL).returncode == 0


def make_venv(venv: Path) -> None:
    """A new, empty virtual environment; an unusable one is replaced."""
    if venv.exists() and any(venv.iterdir()) and not settings(venv):
        raise SetupError(f"{venv} exists, but is not a virtual environment;"
                         " move it away")
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise SetupError(
                f"{sys.executable} has no module {module}; on Debian and"
                " Ubuntu `sudo apt install python3-venv` brings it")
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    if subprocess.run(command).returncode:
        raise SetupError(f"{sys.executable} could not make {venv};"
                         " its reason stands above")


def sweep(venv: Path) -> None:
    """Remove the traces of packages that a killed pip left unfinished.

    Their METADATA may be there already, and would make pip believe that
    the package is; pip writes RECORD last.
    """
    where = "Lib" if os.name == "nt" else "lib/python*"
    for trace in venv.glob(f"{where}/site-packages/*/"):
        if trace.name.startswith("~") or (
                trace.suffix == ".dist-info"
                and not (trace / "RECORD").is_file()):
            shutil.rmtree(str(trace))


def pip_install(root: Path, *what: str) -> None:
    command = [str(python_of(root / ".venv")), "-I", "-m", "pip",
               "--disable-pip-version-check", "install", *what]
    if subprocess.run(command, cwd=str(root)).returncode:
        raise SetupError(
            f"`pip install {' '.join(what)}` failed; its reason stands above."
            " No network? Run this again with one: it goes on from here")


def set_up(root: Path = ROOT) -> bool:
    """Bring `.venv` up to date; False if it was already."""
    if sys.version_info < OLDEST:
        raise SetupError("this is Python {}.{}; needed: {}.{} or newer"
                         .format(*sys.version_info[:2], *OLDEST))
    if is_ready(root):
        return False
    venv = root / ".venv"
    stamp = venv / STAMP
    if stamp.exists():
        stamp.unlink()
    if not is_usable(venv):
        print("making .venv with Python {}.{}".format(*sys.version_info),
              flush=True)
        make_venv(venv)
    print("installing the packages of requirements.lock: minutes, and"
          " gigabytes, the first time", flush=True)
    sweep(venv)
    pip_install(root, "-r", "requirements.lock")
    pip_install(root, "--no-deps", "--no-build-isolation", "-e", ".")
    unfinished = stamp.with_suffix(".part")
    unfinished.write_text(fingerprint(root))
    os.replace(str(unfinished), str(stamp))
    return True


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.parse_args(arguments)
    try:
        print(".venv is ready" if set_up() else ".venv is up to date")
    except KeyboardInterrupt:
        sys.exit("\nstopped; run this again and it goes on from here")
    except (SetupError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
