"""The environment: chapter A1 of the course.

Is everything here that the course needs, and where will it run?

Exported from A1_environment.py; edit the chapter, not this file.
"""

import os
from pathlib import Path

__all__ = [
    "project_root",
]


# Where does the course live?
# ---------------------------

def project_root() -> Path:
    """Folder of the course's checkout.

    Chapter
    -------
    A1 The environment, "Where does the course live?".
    """
    return Path(__file__).resolve().parents[1]  # kept
