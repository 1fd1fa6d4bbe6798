"""A headless Chromium, driven through its debugging pipe: JSON messages that end in NUL, no port and no other program."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
)
SECONDS = 30.0


class Browser:
    """One page of a running Chromium. ``console``: what it logged, errors and refusals of its policy included."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._out, self._in = to_browser, os.fdopen(from_browser, "rb")
        self._sent, self._rest, self._session = 0, b"", ""
        self.console: list[str] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: object) -> dict[str, Any]:
        """The result of a method of the DevTools protocol."""
        self._sent += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._sent, "method": method, "params": parameters, **session}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._sent:
            if answer.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                self.console.append(json.dumps(answer["params"]))
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._in.fileno(), 1 << 16)
            assert chunk, "Chromium has ended"
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def value(self, expression: str) -> Any:
        """What a JavaScript expression says."""
        return self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)["result"].get("value")

    def until(self, expression: str, seconds: float = SECONDS) -> None:
        """Wait until it is true, so long at most."""
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, f"never: {expression}; {self.console}"
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """A key, down and up."""
        for kind in ("keyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" and len(key) == 1 else "")

    def picture(self, path: Path) -> None:
        """A PNG of all that the page shows."""
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


@cache
def program() -> str | None:
    """The path of a Chromium that starts; None where there is none. Some systems have a script of the name that only says where
    to get one."""
    for path in filter(None, map(shutil.which, NAMES)):
        try:
            if subprocess.run([path, "--version"], capture_output=True, check=False, timeout=60).returncode == 0:
                return path
        except (OSError, subprocess.TimeoutExpired):
            continue
    return None


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with a new ``profile``, ended at the end."""
    path = program()
    assert path is not None, "no Chromium on this machine: apt-get install chromium"
    for_browser, to_browser = os.pipe()
    from_browser, of_browser = os.pipe()
    shell = f'exec "$@" 3<&{for_browser} 4>&{of_browser}'
    command = ["bash", "-c", shell, "chromium", path, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        command, pass_fds=(for_browser, of_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    for handle in (for_browser, of_browser):
        os.close(handle)
    try:
        browser = Browser(to_browser, from_browser)
        yield browser
        browser("Browser.close")
    finally:
        process.terminate()
        process.wait(10)
        os.close(to_browser)
