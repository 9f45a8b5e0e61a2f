"""Quality-of-service profiles, made afresh for each topic: rclpy writes overrides into the profile it is given."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def sensor_data() -> QoSProfile:
    """Return ROS 2's sensor-data profile: best effort, the last 5 messages (REP 2003)."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=5,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )


def latched() -> QoSProfile:
    """Return a profile whose last message reaches subscribers that come later: reliable, transient local, depth 1."""
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
