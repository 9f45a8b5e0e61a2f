"""What users override of a topic's QoS, checked before rclpy is given it: that ignores what fits nowhere."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

from fanet_ros.errors import SettingError
from fanet_ros.untrusted.text import shown

PREFIX = "qos_overrides."
_AVAILABLE = ("best_available",) if hasattr(ReliabilityPolicy, "BEST_AVAILABLE") else ()  # ROS 2 Humble has none
_WORDS = {
    "history": ("keep_last", "keep_all", "system_default"),
    "reliability": ("reliable", "best_effort", "system_default", *_AVAILABLE),
    "durability": ("volatile", "transient_local", "system_default", *_AVAILABLE),
}
_MOST_MESSAGES = 1000  # more images than that no queue can hold
_POLICIES = ("history", "depth", "reliability", "durability")
_KINDS = ("publisher", "subscription")


def check_overrides(node: Node, *, publishers: Collection[str], subscriptions: Collection[str]) -> None:
    """Refuse every override that would have no effect, or none that rclpy can give it.

    Args:
        node: given overrides at its start.
        publishers: names of all topics that it ever publishes with a QoS that may be overridden.
        subscriptions: likewise, that it subscribes to.

    Raises:
        SettingError: naming all that is wrong, and what is right.
    """
    topics = {
        (node.resolve_topic_name(name), kind): name
        for kind, names in zip(_KINDS, (publishers, subscriptions), strict=True)
        for name in names
    }
    _refuse(fault for name, value in _given(node).items() for fault in _faults(name, value, topics))


def check_overrides_of(node: Node, topic: str, kind: str) -> None:
    """Refuse what cannot be of the overrides of one topic, before rclpy makes something of it.

    Args:
        node: given overrides at its start.
        topic: name of the topic.
        kind: `publisher` or `subscription`.

    Raises:
        SettingError: as `check_overrides`.
    """
    resolved = node.resolve_topic_name(topic)
    own = {name: value for name, value in _given(node).items() if name.startswith(f"{PREFIX}{resolved}.{kind}.")}
    _refuse(fault for name, value in own.items() for fault in _faults(name, value, {(resolved, kind): topic}))


def _given(node: Node) -> dict[str, object]:
    # rclpy tells of overrides that nothing was declared for nowhere else
    overrides = getattr(node, "_parameter_overrides", {})
    return {name: parameter.value for name, parameter in overrides.items() if name.startswith(PREFIX)}


def _refuse(faults: Iterable[str]) -> None:
    if text := "; ".join(faults):
        raise SettingError(
            f"{text}. QoS is fixed when the process starts: restart it with "
            "qos_overrides.TOPIC.subscription.reliability or the like, TOPIC in full and as it is after remapping"
        )


def _faults(name: str, value: object, topics: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Return what is wrong with one override, at most one thing."""
    topic, kind, policy = ([""] * 2 + name.removeprefix(PREFIX).rsplit(".", 2))[-3:]
    if kind not in _KINDS:
        yield f"QoS override {shown(name)}: received {shown(kind)} before the last dot, expected {' or '.join(_KINDS)}"
    elif (topic, kind) not in topics:
        verb = "publishes" if kind == "publisher" else "subscribes to"
        names = [resolved for resolved, own_kind in topics if own_kind == kind]
        near = difflib.get_close_matches(topic, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"it {verb} {', '.join(names) or 'none'}"
        yield f"QoS override {shown(name)}: no topic {shown(topic)} that the node {verb}; {hint}"
    elif policy not in _POLICIES:
        yield (
            f"QoS override of {topics[topic, kind]}: received the policy {shown(policy)}, expected one of "
            f"{', '.join(_POLICIES)}"
        )
    elif policy == "depth":
        if type(value) is not int or not 1 <= value <= _MOST_MESSAGES:
            yield (
                f"QoS override of {topics[topic, kind]}: {kind}.depth: received {shown(value)}, expected a whole "
                f"number from 1 to {_MOST_MESSAGES}"
            )
    elif not isinstance(value, str) or value.lower() not in _WORDS[policy]:
        yield (
            f"QoS override of {topics[topic, kind]}: {kind}.{policy}: received {shown(value)}, expected one of "
            f"{', '.join(_WORDS[policy])}"
        )
