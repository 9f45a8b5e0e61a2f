"""Topics whose quality of service users may override, by `qos_overrides.<topic>.<publisher|subscription>.*`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions
from rclpy.subscription import Subscription

from fanet_ros.errors import SettingError
from fanet_ros.ros.qos_overrides import check_overrides_of


def sensor_data(depth: int = 5) -> QoSProfile:
    """Return ROS 2's sensor-data profile (REP 2003): best effort, the last 5 messages; 1 for who needs the newest only.

    A new one each time, as rclpy writes overrides into the profile that it is given.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )


def latched() -> QoSProfile:
    """Return a profile whose last message reaches subscribers that come later: reliable, transient local, depth 1."""
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Outputs:
    """What a node publishes, by name. Ask `wanted` first: what nobody subscribes to need not be computed.

    Attributes:
        topics: names of the topics.
    """

    def __init__(self, node: Node, topics: Mapping[str, tuple[type, QoSProfile]], prefix: str = "~/") -> None:
        """Create all topics, or none.

        Args:
            node: that publishes; of a lifecycle node nothing goes out while it is inactive.
            topics: message type and profile by name.
            prefix: of the topics' names.

        Raises:
            SettingError: an override of a topic's QoS cannot be used.
        """
        create: Callable[..., Publisher] = node.create_publisher
        self._destroy: Callable[[Any], object] = node.destroy_publisher
        if isinstance(node, LifecycleNode):
            create, self._destroy = node.create_lifecycle_publisher, node.destroy_lifecycle_publisher
        self._publishers: dict[str, Publisher] = {}
        self.topics = tuple(prefix + name for name in topics)
        try:
            for name, (message_type, profile) in topics.items():
                topic = prefix + name
                check_overrides_of(node, topic, "publisher")
                with _explained(topic):
                    self._publishers[name] = create(message_type, topic, profile, qos_overriding_options=_overridable())
        except Exception:
            self.destroy()
            raise

    def wanted(self) -> frozenset[str]:
        """Return the names of the topics that somebody subscribes to now."""
        return frozenset(filter(self.subscribers, self._publishers))

    def subscribers(self, name: str) -> int:
        """Return how many subscriptions a topic reaches now."""
        return self._publishers[name].get_subscription_count()

    def publish(self, name: str, message: Any) -> None:
        """Publish a message."""
        self._publishers[name].publish(message)

    def destroy(self) -> None:
        """Take the topics off the graph."""
        for publisher in self._publishers.values():
            self._destroy(publisher)


def subscribe(
    node: Node, message_type: type, topic: str, callback: Callable[[Any], None], profile: QoSProfile
) -> Subscription:
    """Subscribe to a topic.

    Raises:
        SettingError: the override of its QoS cannot be used.
    """
    check_overrides_of(node, topic, "subscription")
    with _explained(topic):
        return node.create_subscription(message_type, topic, callback, profile, qos_overriding_options=_overridable())


class LatchedInput:
    """A subscription to what some publish once and keep for those who come later, and others again and again.

    No single subscription hears both: one that asks for the past is not matched with publishers that keep none (both
    sides are warned of that), and one that does not ask gets none. So there is a second one while somebody keeps the
    past; what both hear comes twice.

    Attributes:
        live: to what is published from now on; it matches all publishers, and QoS overrides are its.
    """

    def __init__(self, node: Node, message_type: type, topic: str, callback: Callable[[Any], None]) -> None:
        """Subscribe.

        Raises:
            SettingError: the override of its QoS cannot be used.
        """
        self._node, self._callback = node, callback
        self.live = subscribe(node, message_type, topic, callback, sensor_data())
        self._past: Subscription | None = None
        self.follow()

    def follow(self) -> None:
        """Subscribe to the past, or no longer, as there are publishers that keep it; call it now and then."""
        publishers = self._node.get_publishers_info_by_topic(self.live.topic_name)
        is_kept = any(info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for info in publishers)
        if is_kept and self._past is None:
            self._past = self._node.create_subscription(
                self.live.msg_type, self.live.topic_name, self._callback, latched()
            )
        elif not is_kept and self._past is not None:
            self._node.destroy_subscription(self._past)
            self._past = None


_OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)


def _overridable() -> QoSOverridingOptions:
    return QoSOverridingOptions(_OVERRIDABLE)


@contextmanager
def _explained(topic: str) -> Iterator[None]:
    """Turn rclpy's refusal of an override into an error that says what to do."""
    try:
        yield
    except (ParameterException, InvalidQosOverridesError, RuntimeError) as error:
        raise SettingError(
            f"QoS override of {topic}: {error}; QoS is fixed when the process starts, restart it with a valid override"
        ) from None
