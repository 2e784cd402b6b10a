"""Time ours beside what a user would pick instead, in one run.

A file `book/bench/NN_name.py` yields lines; ours and the peer run in turn,
the ratio is that of the medians. Fails if a line is slower than it may be.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Callable

THREADS = 2
for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS",
              "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, str(THREADS))


@dataclass(frozen=True)
class Line:
    """One comparison: two functions of no argument that do the same job."""

    name: str
    ours: Callable
    theirs: Callable
    peer: str
    at_most: float              # largest allowed ratio ours / theirs
    same: Callable | None = None    # do the two results agree?


def seconds(function: Callable) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def time_line(line: Line, budget: float = 6.0) -> dict:
    """Median milliseconds of both, after a warm-up of each."""
    mine, other = line.ours(), line.theirs()
    if line.same is not None and not line.same(mine, other):
        raise AssertionError(f"{line.name}: the two results differ")
    once = seconds(line.ours) + seconds(line.theirs)
    repeats = max(5, min(101, int(budget / once)))
    pairs = [(seconds(line.ours), seconds(line.theirs))
             for _ in range(repeats)]
    ours, theirs = (statistics.median(p) for p in zip(*pairs))
    return {"name": line.name, "peer": line.peer, "ours_ms": ours * 1e3,
            "theirs_ms": theirs * 1e3, "ratio": ours / theirs,
            "at_most": line.at_most, "repeats": repeats}


def run(arguments=None) -> int:
    import course
    import machine
    import results
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="NN", default="",
                        help="files whose name starts so; writes nothing")
    options = parser.parse_args(arguments)
    measured = []
    for path in sorted((course.ROOT / "book/bench").glob(
            f"{options.only}*.py")):
        for line in results.load(path).lines():
            row = {"chapter": path.stem.split("_")[0], **time_line(line)}
            measured.append(row)
            sign = "ok " if row["ratio"] <= row["at_most"] else "SLOW"
            print(f"{sign} {row['name']:44} {row['ours_ms']:9.3f} ms"
                  f"  {row['theirs_ms']:9.3f} ms  x{row['ratio']:.4f}"
                  f"  (at most {row['at_most']:.4g})", flush=True)
    if not options.only:
        path = course.ROOT / "book" / "results" / "bench.json"
        path.write_text(json.dumps(
            {**machine.facts(), "threads": THREADS, "lines": measured},
            indent=1) + "\n", encoding="utf-8", newline="\n")
    return int(any(row["ratio"] > row["at_most"] for row in measured))


if __name__ == "__main__":
    # A bench file imports Line from `bench`: let that be this module.
    sys.modules["bench"] = sys.modules["__main__"]
    sys.exit(run())
