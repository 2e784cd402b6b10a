"""Run the checks: library, rules and examples, then every chapter.

Without --all, what takes minutes (mutants, the autograder, the second way
to build the book) is left out.
"""
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import course
import export
import notebooks


def step(title: str, *command: str, **environment) -> bool:
    """Run one command; say what it was, and whether it passed."""
    print(f"\n== {title}", flush=True)
    done = subprocess.run([sys.executable, "-m", *command], cwd=course.ROOT,
                          env=os.environ | environment)
    return done.returncode == 0


def chapters_under_nbval() -> bool:
    """Every chapter from the top, its checked cells against the record.

    Two at a time, and therefore one thread for each.
    """
    folder = course.ROOT / "build" / "nbval"
    shutil.rmtree(folder, ignore_errors=True)
    notebooks.run([str(folder)])
    chapter = course.all_chapters()[0]
    environment = notebooks.kernel_environment(chapter, real=False,
                                               log=folder / "reads.txt")
    return step("chapters", "pytest", "--nbval-lax", "--nbval-current-env",
                "-p", "no:cacheprovider", "-q", "-n", "2", "--dist",
                "loadfile", "-o", "addopts=", "-o", "filterwarnings=",
                str(folder), **environment, OMP_NUM_THREADS="1")


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--all", action="store_true",
                        help="the slow checks too")
    options = parser.parse_args(arguments)
    marker = [] if options.all else ["-m", "not slow"]
    print("== export", flush=True)
    passed = [
        export.run(["--check"]) == 0,
        step("tests", "pytest", "-q", "-n", "2", "--dist", "worksteal",
             *marker),
        step("examples in the library", "pytest", "-q", "--doctest-modules",
             "seglib"),
        chapters_under_nbval(),
    ]
    print("\nall checks passed" if all(passed) else "\nsome checks FAILED")
    return int(not all(passed))


if __name__ == "__main__":
    course.main(run)
