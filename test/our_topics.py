"""What our nodes really publish, as the graph of a running system tells it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ros_harness import Probe, running

TINY = {"backend": "openvino", "precision": "fp32", "input_size": "96x64", "threads": 1}
"""Parameters of a segmentation node that starts in a moment."""


@contextmanager
def published_topics(probe: Probe, expected: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Run the three nodes until all `expected` topics have a publisher; yield what is known of each one."""
    with (
        running("camera_node", width=96, height=64, wait_for_subscribers=1),
        running("segmentation_node", "-r", "image:=/camera/image_raw", **TINY),
        running("drivable_area_node", geometry="depth"),
    ):
        infos: dict[str, Any] = {}

        def all_there() -> bool:
            for topic in expected - infos.keys():
                if found := probe.node.get_publishers_info_by_topic(topic):
                    infos[topic] = found[0]
            return infos.keys() >= expected

        probe.wait(all_there, f"publishers of {sorted(expected)}")
        yield infos
