"""A real browser without a screen, steered through its debugging pipe: opens a page and takes pictures of it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
_OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader "
    "--remote-debugging-pipe"
)
_NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"  # as where the cable is pulled


class Page:
    """An open page."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._received = b""
        self._number = 0
        self._session: str | None = None

    def open(self, address: str) -> None:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Page.enable")
        self._call("Page.navigate", url=address)
        self._message(lambda message: message.get("method") == "Page.loadEventFired")

    def picture(self) -> NDArray[np.uint8]:
        """Return what is seen now, BGR."""
        data = base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)

    def wait(self, shows: Callable[[NDArray[np.uint8]], bool], timeout_s: float = 300.0) -> NDArray[np.uint8]:
        """Return the first picture for which `shows` is true; AssertionError where none comes."""
        deadline = time.monotonic() + timeout_s
        while not shows(seen := self.picture()):
            if time.monotonic() > deadline:
                path = Path(tempfile.gettempdir(), "view_failed.png")
                cv2.imwrite(str(path), seen)
                raise AssertionError(f"the page never showed what was expected; see {path}")
            time.sleep(1.0)
        return seen

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        request = {"id": self._number, "method": method, "params": params}
        if self._session:
            request["sessionId"] = self._session
        os.write(self._to, json.dumps(request).encode() + b"\0")
        answer = self._message(lambda message: message.get("id") == self._number)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def _message(self, is_wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            while b"\0" not in self._received:
                self._received += os.read(self._from, 1 << 20)
            text, _, self._received = self._received.partition(b"\0")
            message: dict[str, Any] = json.loads(text)
            if is_wanted(message):
                return message


@contextmanager
def browser(folder: Path, width: int = 1600, height: int = 1000) -> Iterator[Page]:
    """Start a browser with a new profile in a folder, and end it."""
    read_commands, write_commands = os.pipe()
    read_events, write_events = os.pipe()

    def take_pipes() -> None:  # the browser knows them as 3 and 4
        commands, events = os.dup(read_commands), os.dup(write_events)
        os.dup2(commands, 3)
        os.dup2(events, 4)

    process = subprocess.Popen(
        [CHROMIUM, *_OPTIONS.split(), _NO_NETWORK, f"--user-data-dir={folder}", f"--window-size={width},{height}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=take_pipes,
        close_fds=False,
        start_new_session=True,
    )
    os.close(read_commands)
    os.close(write_events)
    try:
        yield Page(write_commands, read_events)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(write_commands)
        os.close(read_events)
