"""The viewer's process, seen from the one that has something to show."""

from __future__ import annotations

import json
import logging
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fanet_ros.errors import FanetError
from fanet_ros.processes import end, last_words
from fanet_ros.untrusted.text import MOST_OF_MESSAGE, printable
from fanet_ros.view.interpreter import viewer_command
from fanet_ros.view.records import Record, RecordError, write_record

_SERVER = "fanet_ros.view.server"
_START_S = 60.0
_LAST_RECORDS_S = 10.0
_NEWEST_RECORDS_S = 5.0

_log = logging.getLogger(__name__)


class ViewerError(FanetError):
    """The viewer does not run, or no longer; says why."""


class ViewerProcess:
    """Starts the viewer, hands records over, and tells whether somebody looks.

    Attributes:
        address: of the page to open; empty where none is served.
        is_watched: whether a browser looks now.
        is_full: whether the file takes no more.
        fault: why it has ended; empty while it runs.
    """

    def __init__(self, *, port: int = 0, save: str = "", name: str = "fanet") -> None:
        """Start it, and wait until it can be looked at.

        Args:
            port: of the page; data goes over the next one. 0: there is no page.
            save: file for what is shown, too; empty: none.
            name: that the viewer gives to what it shows.

        Raises:
            SettingError: rerun-sdk is not there; says how to get it.
            ViewerError: it does not start, for example because a port is taken.
        """
        command, environment = viewer_command(_SERVER, f"--name={name}", f"--port={port}", f"--save={save}")
        self.address = ""
        self.is_watched = self.is_full = False
        self.fault = ""
        self._is_closed = False
        self._warned: set[str] = set()
        self._is_up = threading.Event()
        self._lock = threading.Lock()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        try:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is for this process, which then closes the pipe
            )
        except OSError as error:
            self._errors.close()
            raise ViewerError(f"the viewer cannot start: {command[0]}: {error.strerror}") from error
        self._reader = threading.Thread(target=self._listen, name="viewer events", daemon=True)
        self._reader.start()
        if not self._is_up.wait(_START_S):
            self.fault = f"did not start within {_START_S:.0f} s"
        if self.fault:
            self.close()
            raise ViewerError(f"the viewer cannot start: {self.fault}")

    def send(self, record: Record) -> None:
        """Hand a record over; waits while the viewer is busy. One that is too large is left out, and said.

        Raises:
            ViewerError: it has ended.
        """
        assert self._process.stdin is not None
        try:
            with self._lock:
                write_record(self._process.stdin, record)
        except RecordError as error:  # one bad record must not take the others away
            self._warn(str(error))
        except (OSError, ValueError):  # ValueError: closed meanwhile
            self._reader.join(_START_S)
            raise ViewerError(f"the viewer has ended: {self.fault or 'it was closed'}") from None

    def close(self) -> None:
        """End it once it has taken all records; closing twice is fine."""
        self._is_closed = True
        assert self._process.stdin is not None and self._process.stdout is not None
        late = threading.Timer(_LAST_RECORDS_S, self._process.kill)  # one that takes nothing blocks even the closing
        late.daemon = True
        late.start()
        with suppress(OSError), self._lock:
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_RECORDS_S)
        late.cancel()
        end(self._process)
        self._reader.join(_START_S)
        self._process.stdout.close()
        self._errors.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        told: dict[str, Callable[[Any], None]] = {
            "address": self._start,
            "full": lambda full: setattr(self, "is_full", bool(full)),
            "watched": lambda watched: setattr(self, "is_watched", bool(watched)),
            "note": lambda text: self._warn(str(text)),
            "fault": lambda text: setattr(self, "fault", printable(str(text), MOST_OF_MESSAGE)),
        }
        for line in self._process.stdout:
            with suppress(ValueError, AttributeError):  # it is no JSON, or no object
                for name, value in json.loads(line).items():
                    if name in told:
                        told[name](value)
        code = self._process.wait()
        self.is_watched = False
        if not self._is_closed and not self.fault:
            words = last_words(self._errors)
            self.fault = f"it ended with code {code}" + (f": {printable(words[-1])}" if words else "")
        self._is_up.set()

    def _warn(self, text: str) -> None:
        """Say what is wrong with a thing that is to be shown once: it comes many times a second."""
        subject = text.partition(": ")[0]
        level = logging.DEBUG if subject in self._warned else logging.WARNING
        self._warned.add(subject)
        _log.log(level, "viewer: %s", printable(text, MOST_OF_MESSAGE))

    def _start(self, address: Any) -> None:
        self.address = str(address)
        self._is_up.set()


class LiveViewer:
    """Hands the newest records over without ever waiting: what was not sent yet gives way to what comes."""

    def __init__(self, viewer: ViewerProcess) -> None:
        self._viewer = viewer
        self._waiting: dict[str, tuple[Record, ...]] = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="viewer records", daemon=True)
        self._thread.start()

    def show(self, name: str, *records: Record) -> None:
        """Show records that belong together, unless newer ones of that name come before their turn."""
        with self._changed:
            self._waiting.pop(name, None)  # to the end of the queue
            self._waiting[name] = records
            self._changed.notify()

    def close(self) -> None:
        """Hand over what waits, and end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(_NEWEST_RECORDS_S)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
                records = self._waiting.pop(next(iter(self._waiting)))
            try:
                for record in records:
                    self._viewer.send(record)
            except ViewerError:
                return  # `fault` tells
