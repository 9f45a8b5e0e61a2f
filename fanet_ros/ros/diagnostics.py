"""How a node reports on itself: statuses to /diagnostics, once a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from fanet_ros.untrusted.text import MOST_OF_MESSAGE, printable

_INTERVAL_S = 1.0


class Status(NamedTuple):
    """The state of one part of a node.

    Attributes:
        part: its name.
        level: of DiagnosticStatus.
        message: in words.
        values: by name.
    """

    part: str
    level: bytes
    message: str
    values: Mapping[str, object]


class Reporter:
    """Publishes a node's statuses, under the names "NODE: PART"."""

    def __init__(self, node: Node, statuses: Callable[[], Sequence[Status]]) -> None:
        """Report from now on."""
        self._node = node
        self._statuses = statuses
        self._prefix = f"{node.get_namespace()}/{node.get_name()}: ".lstrip("/")
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        every_steady(node, _INTERVAL_S, self.report)

    def report(self) -> None:
        """Publish the statuses of now, stamped by the node's clock."""
        array = DiagnosticArray(status=[self._message(status) for status in self._statuses()])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _message(self, status: Status) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=status.level,
            name=self._prefix + status.part,
            message=printable(status.message, MOST_OF_MESSAGE),
            hardware_id="fanet_ros",
            values=[
                KeyValue(key=key, value=printable(str(value), MOST_OF_MESSAGE)) for key, value in status.values.items()
            ],
        )


def every_steady(node: Node, seconds: float, act: Callable[[], None]) -> None:
    """Call `act` again and again, also while the node's clock stands still, as a paused simulation's does."""
    node.create_timer(seconds, act, clock=Clock(clock_type=ClockType.STEADY_TIME))
