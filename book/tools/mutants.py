"""Plant classic mistakes in the library, and see each caught.

`tests/mutants/NN_name.toml` lists mutants: a module, a text in it and what
replaces it, and the test that must fail. The mistake is planted in a copy.
"""
from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import course
from course import ChapterError


@dataclass(frozen=True)
class Mutant:
    """A mistake, and the check that must catch it."""

    name: str
    module: str
    find: str
    replace: str
    caught_by: str
    file: str


def read_mutants(root: Path = course.ROOT) -> list[Mutant]:
    return [Mutant(**table, file=path.stem)
            for path in sorted((root / "tests" / "mutants").glob("*.toml"))
            for table in tomllib.loads(
                path.read_text(encoding="utf-8"))["mutant"]]


def plant(mutant: Mutant, folder: Path):
    """A copy of library and tests in `folder`, with the mistake planted."""
    course.copy_sources(folder)
    path = folder / "seglib" / f"{mutant.module}.py"
    source = path.read_text(encoding="utf-8")
    if source.count(mutant.find) != 1:
        raise ChapterError(f"mutant {mutant.name!r}: {mutant.find!r} stands"
                           f" {source.count(mutant.find)} times in"
                           f" {path.name}; needed: once")
    path.write_text(source.replace(mutant.find, mutant.replace),
                    encoding="utf-8")


def outcome(mutant: Mutant) -> str:
    """'caught', or what went wrong, in one line."""
    with tempfile.TemporaryDirectory() as name:
        plant(mutant, folder := Path(name))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p",
             "no:cacheprovider", "-p", "no:randomly", mutant.caught_by],
            cwd=folder, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(folder),
                              "PYTHONDONTWRITEBYTECODE": "1"})
    if done.returncode == 1:
        return "caught"
    last = (done.stdout + done.stderr).strip().splitlines()[-1:]
    return ("SURVIVED" if done.returncode == 0
            else f"the test did not run: {' '.join(last)}")


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="NN", default="",
                        help="files whose name starts so")
    options = parser.parse_args(arguments)
    mutants = [m for m in read_mutants() if m.file.startswith(options.only)]
    outcomes = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for mutant, said in zip(mutants, pool.map(outcome, mutants)):
            outcomes.append(said)
            print(f"{said:10} {mutant.module}: {mutant.name}"
                  f"  [{mutant.caught_by.split('::')[-1]}]", flush=True)
    caught = outcomes.count("caught")
    print(f"{caught} of {len(mutants)} mutants caught")
    return int(caught < len(mutants))


if __name__ == "__main__":
    course.main(run)
