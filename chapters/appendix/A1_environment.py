# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   seglib:
#     module: environment
#     place: 0.5
#     minutes: {laptop: 0.1, gpu: 0.1}
# ---

# %% [markdown]
# # The environment
#
# *Is everything here that the course needs, and where will it run?*
#
# %% tags=["export"]
from pathlib import Path
import os
# %% [markdown]
# ## Where does the course live?
# %% tags=["export"]
def project_root() -> Path:
    """Folder of the course's checkout."""
    return Path(__file__).resolve().parents[1]  # kept
