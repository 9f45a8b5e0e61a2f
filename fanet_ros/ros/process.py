"""Running a node as a process: transport and heap settings first, a clean end, and logs in one place."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from fanet_ros.errors import FanetError
from fanet_ros.ros.transport import prepare_process

NodeType = TypeVar("NodeType", bound=Node)


def run_node(make: Callable[[], NodeType], *, after_start: Callable[[NodeType], object] | None = None) -> None:
    """Make a node and spin it until SIGINT, SIGTERM or a shutdown of the context.

    An exception in a callback is logged and survived: one bad message or request must not take the robot's eyes away.

    Args:
        make: the node's constructor.
        after_start: called once with the node before it spins.
    """
    notes = prepare_process()  # before rclpy.init, which reads the DDS profile
    rclpy.init()
    node: NodeType | None = None
    try:
        node = make()
        for note in notes:
            node.get_logger().warning(note)
        if after_start is not None:
            after_start(node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while rclpy.ok():
            try:
                executor.spin()
            except (KeyboardInterrupt, ExternalShutdownException):
                break
            except Exception as error:
                if not rclpy.ok():
                    break  # a callback was caught in the middle by the end of the process
                node.get_logger().error(f"survived an error in a callback: {type(error).__name__}: {error}")
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except FanetError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


class RosLogHandler(logging.Handler):
    """Forwards what the core logs to the node's logger, so that it reaches /rosout and the console once."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    @classmethod
    def install(cls, logger: Any) -> None:
        """Forward everything from now on; the node's own log level decides what is shown."""
        core = logging.getLogger("fanet_ros")
        core.addHandler(cls(logger))
        core.setLevel(logging.DEBUG)
        core.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one record at its level."""
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)
