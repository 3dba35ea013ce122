"""JupyterLab started by a test on a free port, and a notebook in it opened in a browser."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

__all__ = ["Lab", "finished", "running", "typed"]

#: Talk of the lab itself and of the browser, not of what is under test.
_QUIET = ("favicon", "debugger state", "ResizeObserver", "service-worker", "/lsp/", "Download the React DevTools")

#: No dialog stands before the notebook.
_SETTINGS = {
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}

_CONNECTED = """() => {
    const kernel = window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel;
    return kernel?.connectionStatus === "connected" && kernel?.status === "idle";
}"""

_BOOK = "window.jupyterapp.shell.currentWidget.content"

#: Not awaited: the promise ends with the last cell.
_RUN = """() => {
    window.haveRun = false;
    window.jupyterapp.commands.execute("notebook:run-all-cells").finally(() => { window.haveRun = true; });
}"""

#: A new cell below all others, ready to be typed into.
_NEW = f"""async () => {{
    {_BOOK}.activeCellIndex = {_BOOK}.widgets.length - 1;
    await window.jupyterapp.commands.execute("notebook:insert-cell-below");
    await window.jupyterapp.commands.execute("notebook:enter-edit-mode");
}}"""


class Lab:
    """A JupyterLab over a folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def notebook(self, name: str, cells: Sequence[str]) -> str:
        """Write a notebook of code cells; its address."""
        node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells])
        node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(node, self.folder / name)
        return self.address(name)

    def address(self, path: str) -> str:
        """The address of a notebook that is in the folder, with a kernel of its own."""
        # A session that is there already is taken without asking; the lab's own way may start two kernels.
        session = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        request = urllib.request.Request(f"{self.url}/api/sessions", json.dumps(session).encode(), method="POST")
        urllib.request.urlopen(request, timeout=60).close()
        return f"{self.url}/lab/tree/{path}?reset"

    def open(
        self, browser: Any, address: str, *, width: int = 1280, height: int = 1000, before: str = "() => {}"
    ) -> tuple[Any, list[str]]:
        """A page with the notebook, all cells run; and what the browser's console says is wrong, as it comes.

        ``before`` is JavaScript to run first.
        """
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if _bad(message) else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address, wait_until="domcontentloaded")
        page.wait_for_function("() => window.jupyterapp !== undefined", timeout=60_000)
        page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
        # Told to run before it has its kernel, the lab would ask for one.
        page.wait_for_function(_CONNECTED, timeout=60_000)
        page.evaluate(before)
        page.evaluate(_RUN)
        return page, said


def finished(page: Any, timeout: float = 60) -> list[dict[str, Any]]:
    """Wait until the cells that were told to run have run and the kernel has nothing to do; every cell of the page."""
    page.wait_for_function("() => window.haveRun", timeout=timeout * 1_000)
    page.wait_for_function(_CONNECTED, timeout=timeout * 1_000)
    cells: list[dict[str, Any]] = page.evaluate(f"() => {_BOOK}.model.sharedModel.toJSON().cells")
    return cells


def typed(page: Any, code: str, timeout: float = 30) -> Any:
    """Put code into a new last cell and run it, as somebody does who has copied it; the cell, once it has run."""
    page.evaluate(_NEW)
    editor = page.locator(".jp-Notebook .jp-Cell.jp-mod-active .cm-content")
    editor.focus()
    page.keyboard.insert_text(code)
    assert page.evaluate(f"() => {_BOOK}.activeCell.model.sharedModel.getSource()") == code
    page.keyboard.press("Control+Enter")
    page.wait_for_function(f"() => {_BOOK}.activeCell.model.executionCount", timeout=timeout * 1_000)
    page.wait_for_function(_CONNECTED, timeout=timeout * 1_000)
    return page.locator(".jp-Notebook .jp-Cell.jp-mod-active")


@contextmanager
def running(folder: Path) -> Iterator[Lab]:
    """JupyterLab, from its start until it answers, to its end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.disable_check_xsrf": True,
        "IdentityProvider.token": "",
        "ServerApp.allow_root": True,
        "ServerApp.open_browser": False,
        "ServerApp.root_dir": folder,
        "LabApp.expose_app_in_browser": True,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.user_settings_dir": folder / ".settings",
        "LabApp.workspaces_dir": folder / ".workspaces",
    }
    for plugin, setting in _SETTINGS.items():
        path = folder / ".settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(setting)
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    own = {"JUPYTER_CONFIG_DIR": folder / ".config", "JUPYTER_DATA_DIR": folder / ".data", "HOME": folder}
    environment = {**os.environ, **{name: str(path) for name, path in own.items()}}
    with (folder / "lab.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _until_up(f"http://127.0.0.1:{port}/api", process, folder / "lab.log")
            yield Lab(f"http://127.0.0.1:{port}", folder)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"JupyterLab did not start:\n{log.read_text()[-2_000:]}") from None
            time.sleep(0.2)
        else:
            return


def _bad(message: Any) -> bool:
    return message.type == "error" and not any(word in message.text + str(message.location) for word in _QUIET)
