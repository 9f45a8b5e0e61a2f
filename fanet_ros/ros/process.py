"""Running a node as a process: transport and heap settings first, a clean end, and logs in one place."""

from __future__ import annotations

import faulthandler
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from fanet_ros import processes
from fanet_ros.errors import FanetError, SettingError
from fanet_ros.ros.transport import prepare_process
from fanet_ros.untrusted.text import MOST_OF_MESSAGE, printable

NodeType = TypeVar("NodeType", bound=Node)

# Python lets a thread that computes go on for 5 ms while another waits, by default: the worker would get a frame only
# when the executor, which has just received it, has nothing more to do (0.4 ms at each frame).
_SWITCH_INTERVAL_S = 5e-5

_stop_asked = threading.Event()
_REPEATS_S = 1.0  # a terminal and a launch system may both pass on the same Ctrl-C


def run_node(make: Callable[[], NodeType], *, after_start: Callable[[NodeType], object] | None = None) -> None:
    """Make a node and spin it until SIGINT, SIGTERM, SIGHUP or a shutdown of the context.

    An exception in a callback is logged and survived: one bad message or request must not take the robot's eyes away.

    Args:
        make: the node's constructor.
        after_start: called once with the node before it spins.
    """
    processes.leave_out_working_directory()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    faulthandler.enable()  # should a driver or library crash, its stack tells which
    stop = stop_signals()
    notes = prepare_process()  # before rclpy.init, which reads the DDS profile
    node: NodeType | None = None
    try:
        try:
            join_ros()
            node = make()
        except Exception as error:  # a wrong argument, file or name; rclpy has a class of its own for each
            get_logger("fanet_ros").debug(traceback.format_exc())
            kind = "" if isinstance(error, FanetError) else f"{type(error).__name__}: "
            print(f"error: cannot start the node: {kind}{printable(str(error), MOST_OF_MESSAGE)}", file=sys.stderr)
            sys.exit(2)
        for note in notes:
            node.get_logger().warning(note)
        if after_start is not None:
            after_start(node)
        _spin(node, stop)
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        for number in processes.stop_signals():  # a repeat would kill the interpreter while it ends
            signal.signal(number, signal.SIG_IGN)


def join_ros() -> None:
    """Initialise rclpy without its signal handlers (`stop_signals` says why).

    Raises:
        SettingError: there is no place for the log; says what to set.
    """
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # rclpy's RCLError, which has no public name
        if re.search("log(ging)? directory", str(error)):
            raise SettingError(f"{error}; set HOME or ROS_LOG_DIR to a folder that this user can write") from error
        raise


def _spin(node: Node, stop: Future) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    # A task wakes the executor. Its own waiting for a future hangs a callback on it at each turn, for ever.
    stop.add_done_callback(lambda _: executor.create_task(lambda: None))
    while rclpy.ok() and not stop.done():
        try:
            executor.spin_once()
        except ExternalShutdownException:
            break
        except Exception as error:
            if rclpy.ok():  # else a callback was caught in the middle by the end of the context
                reason = printable(f"{type(error).__name__}: {error}", MOST_OF_MESSAGE)
                node.get_logger().error(f"survived an error in a callback: {reason}")
                node.get_logger().debug(traceback.format_exc())


def stop_signals() -> Future:
    """Return a future that is done when SIGINT, SIGTERM or SIGHUP arrives; another one later ends the process at once.

    rclpy's own handlers shut the context down from a thread of theirs while this one still uses it, which now and then
    fails or crashes. Here a signal only asks the main thread to end; Python passes it on through a pipe, at once, even
    while the main thread waits inside rcl.
    """
    stop = Future()
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in processes.stop_signals():
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        os.read(read_end, 1)
        _stop_asked.set()
        stop.set_result(None)
        asked = monotonic()
        while True:
            (number,) = os.read(read_end, 1)
            if monotonic() - asked > _REPEATS_S:
                os._exit(128 + number)  # the first request came to nothing: something native hangs

    threading.Thread(target=wait, name="stop_signals", daemon=True).start()
    return stop


def stop_requested() -> bool:
    """Whether a signal has asked this process to end; long work between two spins should then be given up."""
    return _stop_asked.is_set()


class RosLogHandler(logging.Handler):
    """Forwards what the core logs to the node's logger, so that it reaches /rosout and the console once."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    @classmethod
    def install(cls, logger: Any) -> None:
        """Forward everything from now on, to no other node; the node's own log level decides what is shown."""
        core = logging.getLogger("fanet_ros")
        core.handlers = [*(handler for handler in core.handlers if not isinstance(handler, cls)), cls(logger)]
        core.setLevel(logging.DEBUG)
        core.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one record at its level."""
        text = self.format(record)  # with its traceback, if it has one
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)
