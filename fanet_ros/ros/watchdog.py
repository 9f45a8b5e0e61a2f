"""Says why no image comes: who publishes the camera's topic, with which type and quality of service, and what else."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage

from fanet_ros.ros.segmentation.camera_channel import CameraChannel
from fanet_ros.untrusted.text import printable

if TYPE_CHECKING:  # newer distributions of ROS 2 have it in another module
    from rclpy.topic_endpoint_info import TopicEndpointInfo

_MOST_NAMED = 3  # publishers, or topics, in one message
_COMPRESSED = "/compressed"
# What nodes of this package publish is no camera: nobody means to segment masks and overlays.
_OURS = frozenset({"mask", "confidence", "overlay", "color_mask", "drivable_mask", "labels"})
_TYPES = {"raw": "sensor_msgs/msg/Image", "compressed": "sensor_msgs/msg/CompressedImage"}


class Watchdog:
    """Looks after the cameras of an active node: which are silent, and what can be seen of the reason."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._silent: set[str] = set()

    def check(self, channels: Sequence[CameraChannel], timeout_s: float) -> dict[str, str]:
        """Find the silent cameras, and log once when a camera falls silent and once when it is back.

        Args:
            channels: the cameras of the running activation; none while there is no such.
            timeout_s: silence that is longer counts.

        Returns:
            By camera name, for each that is silent: on which topic, for how long, and why.
        """
        silences = {channel.name: channel.seconds_silent() for channel in channels}
        topics = {channel.topic for channel in channels}
        found: dict[str, str] = {}
        for channel in channels:
            if silences[channel.name] > timeout_s:
                reason = self._explain(channel, topics)
                found[channel.name] = f"no image on {channel.topic} for {silences[channel.name]:.1f} s: {reason}"
                if channel.name not in self._silent:
                    self._node.get_logger().warning(found[channel.name])
            elif channel.name in self._silent:
                self._node.get_logger().info(f"images on {channel.topic} arrive again")
        self._silent = set(found)
        return found

    def _explain(self, channel: CameraChannel, used_topics: Collection[str]) -> str:
        wanted_type = _TYPES[_transport(channel)]
        reason = explain_silence(self._node, channel.subscription)
        publishers = self._node.get_publishers_info_by_topic(channel.topic)
        is_published = any(info.topic_type == wanted_type for info in publishers)
        hint = "" if is_published else self._hint(channel, used_topics)
        return f"{reason}; {hint}" if hint else reason

    def _hint(self, channel: CameraChannel, used_topics: Collection[str]) -> str:
        """Return where images are to be had instead; empty if nowhere."""
        transport = _transport(channel)
        base = channel.topic.removesuffix(_COMPRESSED)
        other, other_topic = ("compressed", base + _COMPRESSED) if transport == "raw" else ("raw", base)
        if self._is_published(other_topic, _TYPES[other]):
            return (
                f"{other_topic} is published: set the parameter image_transport to {other} (with launch: "
                f"image_transport:={other})"
            )
        topics = [
            name
            for name, types in self._node.get_topic_names_and_types()
            if _TYPES[transport] in types
            and name not in used_topics
            and name.removesuffix(_COMPRESSED).rpartition("/")[2] not in _OURS
            and self._is_published(name, _TYPES[transport])
        ]
        if not topics:
            return ""
        topics.sort(key=lambda name: difflib.SequenceMatcher(None, name, channel.topic).ratio(), reverse=True)
        topics = [printable(name) for name in topics[:_MOST_NAMED]]
        others = f" (or {', '.join(topics[1:_MOST_NAMED])})" if topics[1:] else ""
        source, target = channel.input_name, topics[0]
        if transport == "compressed":  # the node remaps NAME/image first, and the whole name then
            source, target = (
                (source, target.removesuffix(_COMPRESSED)) if target.endswith(_COMPRESSED) else (channel.topic, target)
            )
        launch = ""
        if source == channel.input_name:  # else it is no name of a transport, as the launch file has them
            launched = re.sub(rf"\b{channel.name}\b", "{camera}", target) if channel.name else target
            launch = f", or launch it with image:={launched}" if not channel.name or "{camera}" in launched else ""
        return f"{topics[0]}{others} is published: start the node with -r {source}:={target}{launch}"

    def _is_published(self, topic: str, message_type: str) -> bool:
        """Whether another node publishes messages of that type there."""
        own_name = self._node.get_fully_qualified_name()
        return any(
            info.topic_type == message_type and _name(info) != own_name
            for info in self._node.get_publishers_info_by_topic(topic)
        )


def explain_silence(node: Node, subscription: Subscription) -> str:
    """Return what can be seen of the reason why a subscription of a node gets nothing."""
    topic, profile = subscription.topic_name, subscription.qos_profile
    message_type: Any = subscription.msg_type
    wanted_type = f"{message_type.__module__.partition('.')[0]}/msg/{message_type.__name__}"
    publishers = node.get_publishers_info_by_topic(topic)
    of_type = [info for info in publishers if info.topic_type == wanted_type]
    strange = [f"{_name(info)} publishes {printable(info.topic_type)}" for info in publishers if info not in of_type]
    mismatches = [f"{_name(i)} ({text})" for i in of_type if (text := _mismatch(i, profile))]
    reasons = []
    if not publishers:
        reasons.append("nobody publishes it")
    if strange:
        reasons.append(f"{_listed(strange)} there, where {wanted_type} is expected")
    if mismatches:
        hint = _override_hint(of_type, topic, profile)
        reasons.append(f"the quality of service of its publisher does not match: {_listed(mismatches)}{hint}")
    elif of_type:
        reasons.append(
            f"{_listed([_name(info) for info in of_type])} publishes it, but nothing arrives: it sends nothing, or "
            "images are lost on the way (docs/transport.md)"
        )
    return "; ".join(reasons)


def _transport(channel: CameraChannel) -> str:
    return "compressed" if channel.message_type is CompressedImage else "raw"


def _name(info: TopicEndpointInfo) -> str:
    if "UNKNOWN" in info.node_name:  # what rmw says of one that is no ROS node, or not yet discovered
        return "an unknown node"
    return printable(f"{info.node_namespace.rstrip('/')}/{info.node_name}")


def _listed(texts: Sequence[str]) -> str:
    """Return the first few, and how many more there are."""
    different = list(dict.fromkeys(texts))
    more = len(different) - _MOST_NAMED
    return ", ".join(different[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _mismatch(info: TopicEndpointInfo, profile: QoSProfile) -> str:
    """Return why messages of this publisher cannot reach a subscription of this profile; empty if they can."""
    compatibility, reason = qos_check_compatible(info.qos_profile, profile)
    if compatibility != QoSCompatibility.ERROR:
        return ""
    return ", ".join(part.strip().removeprefix("ERROR: ").lower() for part in reason.split(";") if part.strip())


def _override_hint(publishers: Sequence[TopicEndpointInfo], topic: str, profile: QoSProfile) -> str:
    best_effort = any(info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT for info in publishers)
    if best_effort and profile.reliability == ReliabilityPolicy.RELIABLE:
        return (
            f"; start the node with qos_overrides.{topic}.subscription.reliability:=best_effort (after -p, or in "
            "params_file)"
        )
    return ""
