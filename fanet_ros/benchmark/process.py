"""Processes that answer requests: one JSON object a line, over their standard input and output."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from fanet_ros.errors import FanetError
from fanet_ros.processes import end, end_with_parent, last_words, start_module

Answer = dict[str, Any]
Notice = Callable[[str], None]


class ProcessError(FanetError):
    """A process that refused, died or did not answer in time; says which, and its last words."""


class JsonProcess:
    """The parent's end: starts the process, asks it, and ends it.

    Ctrl-C reaches only the parent, which then closes its children; and a child ends when its parent dies.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        environment: Mapping[str, str | None] | None = None,
        notice: Notice | None = None,
    ) -> None:
        """Start `python -m module arguments`.

        Args:
            module: calls `serve`.
            arguments: for the module.
            environment: variables to change in it, None to remove.
            notice: told what the process logs while an answer is awaited.
        """
        self._notice = notice
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self._received = b""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        self._process = start_module(module, *arguments, environment=environment, **pipes, start_new_session=True)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, do: str, timeout_s: float, **arguments: object) -> Answer:
        """Send a request and wait for the answer, as `send` and `receive`."""
        self.send(do, **arguments)
        return self.receive(timeout_s)

    def send(self, do: str, **arguments: object) -> None:
        """Send a request, to be followed by `receive`; a process that is dead is found out there."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()

    def receive(self, timeout_s: float) -> Answer:
        """Wait for the answer to the oldest request.

        Raises:
            ProcessError: the process refused the request, died, or did not answer in time.
        """
        deadline = monotonic() + timeout_s
        while True:
            answer: Answer = json.loads(self._line(deadline, timeout_s))
            if "log" in answer:
                if self._notice is not None:
                    self._notice(answer["log"])
            elif "error" in answer:
                raise ProcessError(answer["error"])
            else:
                return answer

    def close(self) -> None:
        """End the process and wait until it is gone; closing twice is fine."""
        end(self._process)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(BrokenPipeError):  # a request that it died before reading
                if stream is not None:
                    stream.close()

    def _line(self, deadline: float, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._received:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - monotonic()))
            if not ready:
                raise ProcessError(f"did not answer within {timeout_s:.0f} s")
            chunk = os.read(self._process.stdout.fileno(), 2**16)
            if not chunk:
                raise ProcessError(self._cause_of_death())
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _cause_of_death(self) -> str:
        code = self._process.wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        words = last_words(self._errors)
        return f"{how}; its last words: {words[-1]}" if words else f"{how} without a word"


class _AnswerStream:
    """Writes whole lines from several threads to what was standard output; what others print goes to stderr."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)  # libraries print what they like, and it must not be taken for an answer

    def write(self, answer: Answer) -> None:
        with self._lock:
            self._file.write(json.dumps(answer).encode() + b"\n")


class _LogForwarder(logging.Handler):
    def __init__(self, stream: _AnswerStream) -> None:
        super().__init__(logging.INFO)
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        self._stream.write({"log": record.getMessage()})


def serve(handlers: Mapping[str, Callable[..., Answer]]) -> None:
    """Be the child's end: answer requests until the parent closes the pipe or dies.

    What the package logs meanwhile is sent to the parent.

    Args:
        handlers: by the name of what a request asks for, called with the request's other entries.
    """
    end_with_parent(signal.SIGTERM)
    stream = _AnswerStream()
    core = logging.getLogger("fanet_ros")
    core.addHandler(_LogForwarder(stream))
    core.setLevel(logging.INFO)
    core.propagate = False
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = handlers[request.pop("do")](**request)
        except FanetError as error:
            answer = {"error": str(error)}
        except Exception as error:  # out of memory, a lost device: the parent reports it and goes on without us
            answer = {"error": f"{type(error).__name__}: {error}"}
        stream.write(answer)
