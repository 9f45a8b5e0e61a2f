"""The page that is looked at: where it is, and whether anybody is there."""

from __future__ import annotations

import os
import webbrowser
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

LOCALHOST = "127.0.0.1"

_ESTABLISHED = "01"


def data_address(port: int) -> str:
    """Return where the data of the page on a port comes from: the next port."""
    return f"rerun+http://{LOCALHOST}:{port + 1}/proxy"


def page_address(port: int) -> str:
    """Return the address of the page on a port."""
    return f"http://{LOCALHOST}:{port}/?url={quote(data_address(port), safe='')}&hide_welcome_screen"


def open_browser(address: str) -> None:
    """Open an address in the browser, where there is a display: without one, a browser in the terminal would open."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        with suppress(webbrowser.Error):
            webbrowser.open(address)


def established(port: int) -> int:
    """Return how many connections to a TCP port that is listened to here are established now.

    Both ends of a connection within the machine are listed; only the one that has the port counts.
    """
    count = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):  # no IPv6
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                count += state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == port
    return count
