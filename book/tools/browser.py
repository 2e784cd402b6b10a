"""JupyterLab in a Chromium without a window, for tests and pictures.

Nothing of the user's settings is read or written, and nothing leaves the
machine.
"""
from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import course
import nbformat

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update",
         "--disable-sync")
PATIENCE = 60_000                       # ms, for a machine that is busy


def chromium() -> str | None:
    """The system's Chromium, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def jupyterlab(folder: Path):
    """A server on `folder`: yields the address and the kernels' folder."""
    home, token, port = folder / ".home", secrets.token_hex(8), free_port()
    runtime = home / "runtime"
    environment = os.environ | {
        "HOME": str(home), "IPYTHONDIR": str(home),
        "JUPYTER_CONFIG_DIR": str(home), "JUPYTER_DATA_DIR": str(home),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTERLAB_SETTINGS_DIR": str(home),
        "JUPYTERLAB_WORKSPACES_DIR": str(home),
        "PYTHONPATH": os.pathsep.join(filter(None, [
            str(course.ROOT), os.environ.get("PYTHONPATH")]))}
    home.mkdir()
    with (home / "log.txt").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser",
             "--allow-root", "--LabApp.expose_app_in_browser=True",
             f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1",
             f"--ServerApp.root_dir={folder}",
             f"--IdentityProvider.token={token}"],
            env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{address}/api?token={token}")
                 or server.poll() is not None)
        if server.poll() is not None:
            raise RuntimeError((home / "log.txt").read_text())
        yield address + "/doc/tree/{}?token=" + token, runtime
    finally:
        server.terminate()
        server.wait(20)


def answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except OSError:
        return False


def wait_for(condition, seconds: float = PATIENCE / 1000):
    """Look again and again until `condition()`; its value."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{condition} was not met in {seconds} s")
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def window(**options):
    """A page of Chromium."""
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=list(FLAGS))
        page = browser.new_page(**options)
        page.set_default_timeout(PATIENCE)
        try:
            yield page
        finally:
            browser.close()


def open_notebook(page, address: str, path: Path, *cells: str):
    """Write a notebook, open it in the page's JupyterLab, run it."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "language": "python",
                                 "display_name": "Python 3"}})
    nbformat.write(notebook, path)
    page.goto(address.replace("{}", path.name))
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.evaluate("""async () => {
        const panel = window.jupyterapp.shell.currentWidget;
        await panel.context.ready;
        await panel.sessionContext.ready;
        await window.jupyterapp.commands.execute("notebook:run-all-cells");
    }""")


class Kernel:
    """The latest kernel of a server, asked without the page."""

    def __init__(self, runtime: Path):
        from jupyter_client import BlockingKernelClient
        file = max(runtime.glob("kernel-*.json"),
                   key=lambda path: path.stat().st_mtime)
        self.client = BlockingKernelClient(connection_file=str(file))
        self.client.load_connection_file()
        self.client.start_channels()

    def run(self, code: str) -> str:
        """What the code prints."""
        printed = []
        reply = self.client.execute_interactive(
            code, timeout=PATIENCE / 1000, output_hook=lambda message: (
                printed.append(message["content"].get("text", ""))))
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"]["traceback"]))
        return "".join(printed)

    def close(self):
        self.client.stop_channels()
