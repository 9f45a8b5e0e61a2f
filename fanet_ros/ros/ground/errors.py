"""What the drivable-area node waits for."""

from __future__ import annotations

from fanet_ros.errors import FanetError


class NotReadyError(FanetError):
    """Something that is still to come: no fault yet, but nothing can be computed without it.

    Attributes:
        topic: on which it comes, as the node names it.
    """

    def __init__(self, topic: str, why: str) -> None:
        super().__init__(f"waiting for {topic}, {why}")
        self.topic = topic
