"""Where and with what a number was measured."""
import datetime
import os
import platform
import subprocess

import course


def facts() -> dict:
    """Commit, date and class of machine, for a file of measured numbers."""
    said = subprocess.run(["git", "describe", "--always", "--abbrev=12",
                           "--dirty", "--exclude=*"], cwd=course.ROOT,
                          capture_output=True, text=True).stdout.strip()
    return {"commit": said or "unknown",
            "date": datetime.date.today().isoformat(),
            "machine": f"{os.cpu_count()}-core {platform.machine()} CPU,"
                       f" {platform.system()}"}
