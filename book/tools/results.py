"""Measure what takes longer than a chapter may, into `book/results/`.

An experiment, `book/experiments/NN_name.py`, has a QUESTION and a function
`measure()`, which returns rows with bands, rungs of the ladder, and the
seeds. This tool adds where and with what it was measured.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from importlib import metadata
from pathlib import Path

import course
import machine
import notebooks
from course import ChapterError

SCHEMA = course.ROOT / "book" / "results" / "schema.json"


def load(path: Path):
    """The module in a Python file outside any package."""
    spec = importlib.util.spec_from_file_location(f"_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(path: Path) -> dict:
    """Everything that a results file holds, measured now."""
    experiment = load(path)
    start = time.perf_counter()
    measured = experiment.measure()
    return {
        "chapter": path.stem,
        "question": experiment.QUESTION,
        "command": f"make results ONLY={path.stem.split('_')[0]}",
        **machine.facts(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "versions": {n: metadata.version(n) for n in notebooks.VERSIONS},
        "minutes": round((time.perf_counter() - start) / 60, 2),
        **measured,
    }


def faults(results: dict) -> list[str]:
    """What the schema has against a results file, one line each."""
    import jsonschema
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return [f"{error.json_path}: {error.message}" for error in
            jsonschema.Draft202012Validator(schema).iter_errors(results)]


def run(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="NN", default="",
                        help="experiments whose name starts so")
    options = parser.parse_args(arguments)
    folder = course.ROOT / "book" / "experiments"
    paths = sorted(folder.glob(f"{options.only}*.py"))
    if not paths:
        raise ChapterError(f"no experiment {options.only!r} in {folder}")
    for path in paths:
        results = measure(path)
        if bad := faults(results):
            raise ChapterError(f"{path.name}: " + "; ".join(bad))
        target = SCHEMA.with_name(f"{path.stem}.json")
        part = target.with_suffix(".part")
        part.write_text(json.dumps(results, indent=1, ensure_ascii=False)
                        + "\n", encoding="utf-8", newline="\n")
        part.replace(target)
        print(f"{path.name} -> book/results/{target.name}"
              f" ({results['minutes']} min)")
    return 0


if __name__ == "__main__":
    course.main(run)
