"""Where and with what a number was measured."""
import datetime
import os
import platform
import subprocess

import course


def git(*command: str) -> str:
    return subprocess.run(["git", *command], cwd=course.ROOT,
                          capture_output=True, text=True).stdout.strip()


def facts() -> dict:
    """Commit, date and class of machine, for a file of measured numbers.

    What has been measured just before is no edited source.
    """
    said = git("describe", "--always", "--abbrev=12", "--exclude=*")
    if git("status", "--porcelain", "--untracked-files=no", "--", ".",
           ":(exclude)book/results"):
        said += "-dirty"
    return {"commit": said or "unknown",
            "date": datetime.date.today().isoformat(),
            "machine": f"{os.cpu_count()}-core {platform.machine()} CPU,"
                       f" {platform.system()}"}
