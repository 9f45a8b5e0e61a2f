"""The viewer's process: records come in through its standard input, a browser looks at what they show.

Runs by a Python that has rerun-sdk, which may be another than the one that the rest runs by (`interpreter.py`), so it
imports nothing of this package but what needs Rerun, NumPy and Python alone. What it tells goes out as a JSON object a
line: {"address": ...}, {"watched": whether a browser looks}, {"full": whether the file takes no more}, {"note": ...},
{"fault": ...} before it ends by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from fanet_ros.errors import FanetError
from fanet_ros.files import remove_abandoned, scratch_folder
from fanet_ros.processes import end, end_with_parent, last_words
from fanet_ros.view.page import LOCALHOST, data_address, established, page_address
from fanet_ros.view.records import RecordError, read_record

SERVER_MEMORY = "100MB"
"""What Rerun keeps for who looks later. Of noise its process took 320 MB with 160MB, and 276 MB with 120MB."""

_HOME_PREFIX = "fanet-view-home-"
_START_S = 20.0
_FLUSH_S = 10.0
_LOOK_INTERVAL_S = 0.5


class ServerError(FanetError):
    """The viewer cannot be started, or has ended; says why and what to do."""


def main() -> None:
    """Serve until the pipe ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="fanet")
    parser.add_argument("--port", type=int, default=0, help="of the page; data goes over the next one; 0: no page")
    parser.add_argument("--save", default="", help="also write all to this file")
    parser.add_argument("--save-megabytes", type=int, default=100)
    options = parser.parse_args()
    end_with_parent(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this, and closes the pipe
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    records, told = _take_over_standard_streams()
    with ExitStack() as stack:
        try:
            _serve(options, records, told, stack)
        except Exception as error:  # also Rerun's own: a file that cannot be written, a program that does not start
            kind = "" if isinstance(error, FanetError) else f"{type(error).__name__}: "
            _tell(told, fault=f"{kind}{error}")
            sys.exit(1)


def _take_over_standard_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Return the two ends of the pipes; what libraries print goes to standard error."""
    told = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return sys.stdin.buffer, told


def _serve(options: argparse.Namespace, records: IO[bytes], told: IO[bytes], stack: ExitStack) -> None:
    program = RerunProgram(options.port, stack) if options.port else None
    import rerun as rr  # only now: its threads must not be there when a process is started

    from fanet_ros.view.rerun_log import RerunLog

    sinks = [rr.FileSink(options.save)] if options.save else []
    if program is not None:
        sinks.append(rr.GrpcSink(program.data_address))
    recording = rr.RecordingStream(options.name, recording_id=f"{options.name}-{time.time_ns()}", send_properties=False)
    recording.set_sinks(*sinks)
    stack.callback(recording.disconnect)
    stack.callback(recording.flush, timeout_sec=_FLUSH_S)
    if program is not None:
        _tell(told, address=program.address)
        threading.Thread(target=_watch, args=(program, told), daemon=True).start()
    else:
        _tell(told, address="")
    log, room, is_full = RerunLog(recording), options.save_megabytes * 10**6, False
    while (record := read_record(records)) is not None:
        if is_full and program is None:
            continue  # until the pipe ends: who writes need not know
        try:
            log.log(record)
        except RecordError as error:  # one bad record must not take the others away
            _tell(told, note=str(error))
        recording.flush(timeout_sec=_FLUSH_S)  # so that no queue grows: the pipe fills instead, and its writer waits
        if options.save and not is_full and Path(options.save).stat().st_size > room:
            is_full = True
            _tell(told, full=True)
            _tell(told, note=f"{options.save} has its {options.save_megabytes} MB; what follows is not saved")
            if program is not None:
                recording.set_sinks(*sinks[1:])


def _tell(told: IO[bytes], **event: Any) -> None:
    with suppress(OSError):  # nobody listens any more, so the records end, too
        told.write(json.dumps(event).encode() + b"\n")


class RerunProgram:
    """Rerun's own program: serves its web viewer and the data, on localhost and nowhere else.

    The SDK's serve_grpc and serve_web_viewer would listen on all addresses of the machine.

    Attributes:
        address: of the page.
        data_address: that the SDK logs to.
        data_port: of the latter.
    """

    def __init__(self, port: int, stack: ExitStack) -> None:
        """Start it, to be ended by the stack.

        Raises:
            ServerError: a port is taken, or it does not start.
        """
        import rerun_cli

        self.data_port = port + 1
        self.data_address, self.address = data_address(port), page_address(port)
        for number in (port, self.data_port):
            _check_free(number)
        program = str(Path(rerun_cli.__file__).with_name("rerun"))
        place = Path(tempfile.gettempdir())
        remove_abandoned(place, _HOME_PREFIX)  # of servers that were killed
        self._home = home = str(stack.enter_context(scratch_folder(place, _HOME_PREFIX)))
        # Rerun would tell its makers what it is used for; these settings of its own stay out of the user's
        own = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"), home)
        environment = {**os.environ, **own, "RUST_LOG": "warn", "NO_COLOR": "1"}
        subprocess.run([program, "analytics", "disable"], env=environment, check=True, capture_output=True)
        command = [program, "--serve-web", "--bind", LOCALHOST, "--port", str(self.data_port)]
        command += ["--web-viewer-port", str(port), "--server-memory-limit", SERVER_MEMORY]
        self._said = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (entered here)
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            preexec_fn=_end_with_server,  # noqa: PLW1509 (no thread has been started yet)
        )
        stack.callback(end, self._process)
        self._await(port)

    def fault(self) -> str:
        """Return why it does not run; empty while it does."""
        code = self._process.poll()
        if code is None:
            return ""
        words = [line for line in last_words(self._said) if "ERROR" in line] or last_words(self._said)
        return f"Rerun ended with code {code}" + (f": {words[-1]}" if words else "")

    def clear(self) -> None:
        """Remove its settings, which the stack does otherwise."""
        shutil.rmtree(self._home, ignore_errors=True)

    def _await(self, port: int) -> None:
        deadline = time.monotonic() + _START_S
        while not (_accepts(port) and _accepts(self.data_port)):
            if reason := self.fault():
                raise ServerError(f"the viewer cannot start: {reason}")
            if time.monotonic() > deadline:
                raise ServerError(f"the viewer did not start within {_START_S:.0f} s")
            time.sleep(0.05)


def _end_with_server() -> None:
    os.setpgrp()  # Ctrl-C is for who started the server
    end_with_parent(signal.SIGTERM)


def _check_free(port: int) -> None:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((LOCALHOST, port))
        except OSError as error:
            raise ServerError(
                f"port {port} cannot be used: {error.strerror}; the viewer needs two in a row, give another port"
            ) from None


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOCALHOST, port), 0.5):
        return True
    return False


def _watch(program: RerunProgram, told: IO[bytes]) -> None:
    """Tell whether a browser looks, whenever that changes, and end this process when Rerun's own has ended."""
    before = False
    while True:
        time.sleep(_LOOK_INTERVAL_S)
        if fault := program.fault():
            _tell(told, fault=fault)
            program.clear()
            os._exit(1)  # the main thread waits for records, or for the program that is gone
        watched = established(program.data_port) > 1  # one is this process's own
        if watched != before:
            before = watched
            _tell(told, watched=watched)


if __name__ == "__main__":
    main()
