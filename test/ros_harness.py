"""Runs our nodes as real processes and talks to them over real DDS."""

from __future__ import annotations

import array
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.srv import ChangeState, GetState
from numpy.typing import NDArray
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

TIMEOUT_S = 60.0  # generous: a busy machine is no failure
_RNG = np.random.default_rng(7)
ROOT = Path(__file__).resolve().parent.parent
NODES = {
    "segmentation_node": "segmentation.node",
    "camera_node": "camera.node",
    "drivable_area_node": "ground.node",
    "viewer_node": "view.node",
}
KEEP_ALL = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)


_started: list[NodeProcess] = []  # by the running test; watched while it waits


class NodeProcess:
    """One of our nodes as a process, with its output at hand."""

    def __init__(self, module: str, *arguments: str, **parameters: object) -> None:
        command = [sys.executable, "-m", f"fanet_ros.ros.{NODES[module]}", "--ros-args", *arguments]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={value}"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ.copy(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        _started.append(self)

    @property
    def output(self) -> str:
        return "".join(self._lines)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def stop(self, number: int = signal.SIGINT) -> int:
        if self in _started:
            _started.remove(self)
        if self.is_alive:
            self.process.send_signal(number)
        try:
            code = self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the node did not end on signal {number}; its output:\n{self.output}") from None
        self._reader.join(TIMEOUT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)


@contextmanager
def running(module: str, *arguments: str, **parameters: object) -> Iterator[NodeProcess]:
    """Run a node for a test; it must end cleanly and must not have printed a traceback."""
    node = NodeProcess(module, *arguments, **parameters)
    try:
        yield node
    except BaseException:
        node.stop()
        print(node.output)
        raise
    code = node.stop()
    assert code == 0, f"exit code {code}, output:\n{node.output}"
    assert "Traceback" not in node.output, node.output


class Probe:
    """The other side of the wire: publishes images, records what comes back, calls services."""

    def __init__(self, domain_id: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.node = rclpy.create_node("probe", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self.received: dict[str, list[Any]] = defaultdict(list)
        self._stamp = 0

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def listen(self, message_type: type, topic: str, qos: QoSProfile = KEEP_ALL) -> Any:
        return self.node.create_subscription(message_type, topic, self.received[topic].append, qos)

    def publisher(self, message_type: type, topic: str, qos: QoSProfile = RELIABLE) -> Any:
        """Make a publisher and wait until the node subscribes to it."""
        publisher = self.node.create_publisher(message_type, topic, qos)
        self.wait(lambda: publisher.get_subscription_count() > 0, f"a subscriber of {topic}")
        return publisher

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        """Spin until the condition holds."""
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            for node in _started:
                assert not node.process.poll(), f"the node died while the test waited for {what}:\n{node.output}"
            assert time.monotonic() < deadline, f"waited {TIMEOUT_S} s in vain for {what}; got {self._summary()}"
            self._executor.spin_once(timeout_sec=0.05)

    def wait_for(self, topic: str, count: int = 1) -> list[Any]:
        """Spin until that many messages have come in on a topic."""
        self.wait(lambda: len(self.received[topic]) >= count, f"{count} messages on {topic}")
        return self.received[topic]

    def answer(self, topic: str, request: Image | CompressedImage) -> Any:
        """Spin until the message that carries the header of `request` has come in on a topic."""
        self.wait(lambda: self._find(topic, request) is not None, f"the answer on {topic}")
        return self._find(topic, request)

    def publish_until_answered(self, camera: Any, request: Image | CompressedImage, *topics: str) -> None:
        """Publish a message again and again until it is answered on every topic.

        Discovery has two sides and only this one is visible here: a node that has not yet seen the probe's
        subscriptions rightly skips frames.
        """
        for _ in range(int(TIMEOUT_S)):
            camera.publish(request)
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:
                self._executor.spin_once(timeout_sec=0.05)
                if all(self._find(topic, request) is not None for topic in topics):
                    return
        raise AssertionError(f"no answer on {topics} within {TIMEOUT_S} s; got {self._summary()}")

    def _find(self, topic: str, request: Image | CompressedImage) -> Any:
        return next((m for m in self.received[topic] if m.header == request.header), None)

    def call(self, service_type: Any, name: str, request: Any) -> Any:
        client = self.node.create_client(service_type, name)
        self.wait(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        self.wait(future.done, f"an answer of {name}")
        self.node.destroy_client(client)
        return future.result()

    def change_state(self, label: str, node: str = "/segmentation") -> bool:
        request = ChangeState.Request()
        request.transition.label = label
        return self.call(ChangeState, f"{node}/change_state", request).success

    def state(self, node: str = "/segmentation") -> str:
        return self.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label

    def set_parameter(self, name: str, value: object, node: str = "/segmentation") -> tuple[bool, str]:
        parameter = Parameter(name, value=value).to_parameter_msg()
        answer = self.call(SetParameters, f"{node}/set_parameters", SetParameters.Request(parameters=[parameter]))
        return answer.results[0].successful, answer.results[0].reason

    def get_parameter(self, name: str, node: str = "/segmentation") -> Any:
        answer = self.call(GetParameters, f"{node}/get_parameters", GetParameters.Request(names=[name]))
        return rclpy.parameter.parameter_value_to_python(answer.values[0])

    def diagnostic(self, name: str) -> DiagnosticStatus | None:
        """Return the newest status of that name; needs `listen(DiagnosticArray, "/diagnostics", RELIABLE)`."""
        for array_ in reversed(self.received["/diagnostics"]):
            for status in array_.status:
                if status.name == name:
                    return status
        return None

    def image(self, pixels: NDArray[np.uint8], encoding: str = "rgb8", padding: int = 0) -> Image:
        """Make an image message with a stamp and frame of its own."""
        height, width = pixels.shape[:2]
        rows = np.zeros((height, pixels.size // height + padding), np.uint8)
        rows[:, : pixels.size // height] = pixels.reshape(height, -1)
        return Image(
            header=self.header(),
            height=height,
            width=width,
            encoding=encoding,
            step=rows.shape[1],
            data=array.array("B", rows.tobytes()),
        )

    def header(self) -> Header:
        """Return a header with the present time and a frame_id that no other has."""
        self._stamp += 1
        header = Header(frame_id=f"camera_{self._stamp}")
        header.stamp = self.node.get_clock().now().to_msg()
        return header

    def _summary(self) -> str:
        return ", ".join(f"{len(messages)} on {topic}" for topic, messages in self.received.items()) or "nothing"


def pixels_of(message: Image) -> NDArray[np.uint8]:
    """Return the pixels of an image message without row padding, as (H, W) or (H, W, 3)."""
    assert len(message.data) == message.height * message.step
    shape = (message.height, message.width, -1)
    array_ = np.frombuffer(message.data, np.uint8).reshape(shape)
    return array_[..., 0] if array_.shape[2] == 1 else array_


def diagnostics_values(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def noise_picture(width: int = 120, height: int = 72) -> NDArray[np.uint8]:
    """Return a new picture at each call, in which the network sees several classes."""
    return cv2.GaussianBlur(_RNG.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 6)
