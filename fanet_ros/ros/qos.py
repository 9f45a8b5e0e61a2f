"""Quality-of-service profiles, made afresh for each topic: rclpy writes overrides into the profile it is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.exceptions import ParameterException
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions

from fanet_ros.errors import SettingError


def sensor_data() -> QoSProfile:
    """Return ROS 2's sensor-data profile: best effort, the last 5 messages (REP 2003)."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=5,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )


def newest() -> QoSProfile:
    """Return the sensor-data profile for who can only use the newest message: a queue of one."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )


def latched() -> QoSProfile:
    """Return a profile whose last message reaches subscribers that come later: reliable, transient local, depth 1."""
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def overridable() -> QoSOverridingOptions:
    """Let users override history, depth and reliability by `qos_overrides.<topic>.<publisher|subscription>.*`."""
    return QoSOverridingOptions.with_default_policies()


@contextmanager
def explained(topic: str) -> Iterator[None]:
    """Turn rclpy's refusal of an override into an error that says what to do.

    Raises:
        SettingError: instead of what rclpy raises while the topic is made.
    """
    try:
        yield
    except (ParameterException, InvalidQosOverridesError, RuntimeError) as error:
        raise SettingError(
            f"QoS override of {topic}: {error}; QoS is fixed when the process starts, restart it with a valid override"
        ) from None
