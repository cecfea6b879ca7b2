"""A real headless Chromium for tests, by its DevTools protocol. Tests that need it skip where it is missing."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import websocket

_START_S = 30.0
_LOAD_S = 30.0


def chromium() -> str:
    """The program; the test is skipped where there is none."""
    found = os.environ.get("SHP_MINER_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine (set SHP_MINER_TEST_CHROMIUM to its path)")
    return found


class Page:
    """A tab: what it asked for, what it wrote to the console, and what a script finds in it."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket
        self._number = 0
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._events: list[str] = []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call the protocol and wait for the answer; events that come meanwhile are noted."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv())
            if told.get("id") == self._number:
                assert "error" not in told, told["error"]
                result: dict[str, Any] = told["result"]
                return result
            self._note(told)

    def _note(self, told: dict[str, Any]) -> None:
        method, told = told["method"], told["params"]
        self._events.append(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.messages.append(" ".join(str(value.get("value")) for value in told["args"]))
        elif method == "Runtime.exceptionThrown":
            self.messages.append(told["exceptionDetails"]["text"])
        elif method == "Log.entryAdded":
            self.messages.append(told["entry"]["text"])

    def open(self, url: str) -> Self:
        """Open an address and wait until it is loaded."""
        self._events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")
        self.run("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
        return self

    def wait_for(self, event: str) -> None:
        """Wait for an event of the protocol."""
        until = time.monotonic() + _LOAD_S
        while event not in self._events:
            assert time.monotonic() < until, f"{event} did not come"
            self._note(json.loads(self._socket.recv()))

    def run(self, script: str) -> Any:
        """The value of an expression in the page, awaited if it is a promise; the page's policy does not stop it."""
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def size(self, width: int, height: int = 900) -> Self:
        """Set the width and height of the window, in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        return self

    def theme(self, scheme: str, **features: str) -> Self:
        """Set the preferred colours ("light" or "dark"), and other features of media, such as reduced motion."""
        wanted = {"prefers-color-scheme": scheme, **{name.replace("_", "-"): value for name, value in features.items()}}
        named = [{"name": name, "value": value} for name, value in wanted.items()]
        self.call("Emulation.setEmulatedMedia", features=named)
        return self

    def press(self, key: str) -> None:
        """Press and release a key, such as "Tab", "Enter" or "1"."""
        code = {"Tab": 9, "Enter": 13, "Escape": 27, "Backspace": 8, " ": 32}.get(key, ord(key.upper()[0]))
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        told = {"key": key, "windowsVirtualKeyCode": code, "nativeVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **told)
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def focused_by_tab(self, most: int) -> Iterator[str]:
        """Press Tab until the focus is behind the last element: the expression of what has it, each time."""
        for _ in range(most):
            self.press("Tab")
            if self.run("document.activeElement === document.body"):
                return
            yield "document.activeElement"

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Save a PNG of the window, or of the whole page."""
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))


@contextmanager
def browser() -> Iterator[Page]:
    """A new browser with one empty tab and a profile of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--remote-allow-origins=*",
            "--remote-debugging-port=0", f"--user-data-dir={profile}", "--hide-scrollbars", "about:blank",
        ]  # fmt: skip
        process = subprocess.Popen([chromium(), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            socket = websocket.create_connection(_tab(Path(profile)), timeout=_LOAD_S)
            try:
                yield Page(socket)
            finally:
                socket.close()
        finally:
            process.terminate()
            process.wait(10)


def _tab(profile: Path) -> str:
    """The address of the first tab, once the browser has written its port."""
    file, until = profile / "DevToolsActivePort", time.monotonic() + _START_S
    while time.monotonic() < until:
        if file.exists() and (port := file.read_text().partition("\n")[0]):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            if tabs:
                return str(tabs[0]["webSocketDebuggerUrl"])
        time.sleep(0.05)
    pytest.fail("Chromium did not start")


def axe() -> str:
    """The script of axe-core, from its npm package; the test is skipped where SHP_MINER_TEST_AXE does not name it."""
    path = os.environ.get("SHP_MINER_TEST_AXE")
    if not path or not Path(path).is_file():
        pytest.skip("SHP_MINER_TEST_AXE does not name axe.min.js of the npm package axe-core")
    return Path(path).read_text(encoding="utf-8")


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with a page, by WCAG 2.2 A and AA and by its best practices."""
    page.run(axe())
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
    found = page.run(
        f"axe.run(document, {{runOnly: {json.dumps(tags)}}}).then(done => done.violations.map("
        "one => one.id + ': ' + one.nodes.map(node => node.target.join(' ')).slice(0, 5).join(', ')))"
    )
    return list(found)
