"""The other side of the node in `fanet benchmark`: camera and listener in one light process.

It shares the machine with the node it measures, so it does as little as possible: frames are ready-made, one message is
sent again and again with another stamp, and nothing but the mask is subscribed to (and /diagnostics, once a second),
unless a load is about the compressed topics.
"""

from __future__ import annotations

import array
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import CompressedImage, Image

from fanet_ros.benchmark.frames import load_frames
from fanet_ros.benchmark.plan import PEAK
from fanet_ros.benchmark.process import Answer, ProcessError, serve
from fanet_ros.reports.statistics import quantile
from fanet_ros.ros.process import join_ros
from fanet_ros.ros.segmentation.frame_statistics import WINDOW
from fanet_ros.ros.topics import sensor_data
from fanet_ros.ros.transport import prepare_process

_START_RATE_HZ = 10.0  # of the images while the node starts
_WARM_UP_MASKS = 10
_PATIENCE_S = 2.0  # for a mask that may still come
_CHECK_INTERVAL_S = 0.5  # how often the node is looked after while it starts
_INFERENCE_TIME = "inference median (ms)"


class ImageSender:
    """Images of one size, each stamped when it is sent."""

    def __init__(self, publisher: Any, frames: Path) -> None:
        """Send the frames of a file (fanet_ros.benchmark.frames) through a publisher, in turns."""
        loaded = load_frames(frames)
        self._publisher = publisher
        self._data = cycle([array.array("B", frame.tobytes()) for frame in loaded])
        height, width, channels = loaded.shape[1:]
        self._message = Image(height=height, width=width, encoding="bgr8", step=width * channels)
        self._message.header.frame_id = "benchmark"

    def send(self) -> int:
        """Publish the next image and return its stamp, nanoseconds since the epoch."""
        message = self._message
        message.data = next(self._data)
        now = time.time_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
        self._publisher.publish(message)
        return now


class BenchmarkClient:
    """Sends images to the node and takes its masks; its methods are the requests that the benchmark makes."""

    def start(self, namespace: str, frames: str) -> Answer:
        """Join ROS.

        Args:
            namespace: of the node; images go to NAMESPACE/image.
            frames: file of the camera's frames (fanet_ros.benchmark.frames).

        Returns:
            The middleware, and what prepare_process says of it.
        """
        notes = prepare_process()
        join_ros()
        self._node = rclpy.create_node("benchmark_client", namespace=namespace)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._camera = ImageSender(self._node.create_publisher(Image, "image", sensor_data()), Path(frames))
        self._node.create_subscription(Image, "segmentation/mask", self._on_mask, sensor_data())
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._status_prefix = f"{namespace}/segmentation: ".lstrip("/")
        self._statuses: dict[str, DiagnosticStatus] = {}
        self._compressed: list[int] = []  # bytes of each compressed mask
        self._masks: list[tuple[int, int]] = []  # stamp and arrival, nanoseconds since the epoch
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection in the middle would be counted as the node's delay; rclpy leaves few cycles
        return {"rmw": get_rmw_implementation_identifier(), "transport_notes": list(notes)}

    def first_mask(self, node_pid: int, within_s: float) -> Answer:
        """Send images at 10 Hz until masks come back.

        Args:
            node_pid: of the node's process, which has just been started.
            within_s: how long to wait for the first mask.

        Returns:
            When the first mask came (seconds since the epoch), the node's resident memory after it (MB), and what
            runs the network.

        Raises:
            ProcessError: the node ended, reports a fault, or sent no mask in time.
        """
        self._masks.clear()
        self._statuses.clear()
        node = psutil.Process(node_pid)
        deadline = time.monotonic() + within_s
        while not self._masks:
            self._send_and_listen(_CHECK_INTERVAL_S, until=lambda: bool(self._masks))
            self._check(node)
            if time.monotonic() > deadline:
                raise ProcessError(f"no mask came within {within_s:.0f} s")
        first_mask_time = self._masks[0][1] / 1e9
        rss_mb = node.memory_info().rss / 1e6
        self._send_and_listen(_PATIENCE_S, until=lambda: len(self._masks) > _WARM_UP_MASKS)
        running = self._await_status("node", "backend")
        return {
            "first_mask_time": first_mask_time,
            "rss_mb": rss_mb,
            "running": {name: running[name] for name in ("backend", "device", "precision")},
        }

    def load(self, node_pid: int, rate_hz: float, images: int, compressed: bool = False) -> Answer:
        """Send images at a steady rate, or each as soon as the last one is answered, and time the masks.

        Args:
            node_pid: of the node's process.
            rate_hz: of the images; PEAK for the next as soon as the mask came.
            images: how many.
            compressed: whether somebody looks at compressed mask and overlay meanwhile.

        Returns:
            The row of the benchmark's `node` table.

        Raises:
            ProcessError: the node ended, or no mask came.
        """
        with self._compressed_subscribed() if compressed else nullcontext():
            return self._load(node_pid, rate_hz, images)

    def _load(self, node_pid: int, rate_hz: float, images: int) -> Answer:
        self._masks.clear()
        self._compressed.clear()
        node = psutil.Process(node_pid)
        own = psutil.Process()
        began, cpu, own_cpu = time.monotonic(), _cpu_seconds(node), _cpu_seconds(own)
        sent = self._send_at_peak(images, node) if rate_hz == PEAK else self._send_at(rate_hz, images)
        # masks come in the order of the images: after the last one's there is nothing to wait for
        self._spin(_PATIENCE_S, until=lambda: bool(self._masks) and self._masks[-1][0] == sent[-1])
        seconds = time.monotonic() - began
        cpu_percent = 100 * (_cpu_seconds(node) - cpu) / seconds
        own_percent = 100 * (_cpu_seconds(own) - own_cpu) / seconds
        rss_mb = node.memory_info().rss / 1e6
        self._check(node)
        of_this_load = set(sent)
        masks = [mask for mask in self._masks if mask[0] in of_this_load]
        if len(masks) < 3:
            raise ProcessError(f"{len(masks)} masks came for {len(sent)} images")
        # the node's median is over its last frames, which must all be of this load
        inference_ms = self._inference_ms() if len(masks) >= WINDOW else None
        latencies = [(arrival - stamp) / 1e6 for stamp, arrival in masks]
        gaps = [(after[1] - before[1]) / 1e6 for before, after in zip(masks, masks[1:], strict=False)]
        return {
            "sent": len(sent),
            "missed": len(of_this_load - {stamp for stamp, _ in masks}),
            "sent_rate_hz": round((len(sent) - 1) / ((sent[-1] - sent[0]) / 1e9), 3),
            "mean_rate_hz": round(1e3 / statistics.mean(gaps), 3),
            "p50_ms": round(quantile(latencies, 0.5), 3),
            "p90_ms": round(quantile(latencies, 0.9), 3),
            "p99_ms": round(quantile(latencies, 0.99), 3),
            "max_ms": round(max(latencies), 3),
            "compressed_rate_hz": round(len(self._compressed) / seconds, 3) if self._compressed else None,
            "compressed_kb": round(statistics.mean(self._compressed) / 1e3, 3) if self._compressed else None,
            "jitter_ms": round(statistics.stdev(gaps), 3),
            "inference_ms": inference_ms,
            # of the same frames: a machine that is slow for a while must not turn their difference around
            "overhead_ms": inference_ms and round(quantile(latencies[-WINDOW:], 0.5) - inference_ms, 3),
            "cpu_percent": round(cpu_percent, 1),
            "client_cpu_percent": round(own_percent, 1),
            "rss_mb": round(rss_mb, 1),
        }

    # sending ---------------------------------------------------------------------------------------------------------

    def _send_at(self, rate_hz: float, images: int) -> list[int]:
        """Send at absolute times, as a camera does, and return the stamps."""
        interval = 1 / rate_hz
        due = time.monotonic()
        sent = []
        for _ in range(images):
            self._spin(due - time.monotonic())
            sent.append(self._camera.send())
            # a camera that fell behind by a whole image leaves it out; it does not send two at once
            due = max(due + interval, time.monotonic())
        return sent

    def _send_at_peak(self, images: int, node: psutil.Process) -> list[int]:
        """Send each image as soon as the last one's mask came, and return the stamps."""
        sent: list[int] = []

        def is_answered() -> bool:
            return bool(self._masks) and self._masks[-1][0] == sent[-1]

        for _ in range(images):
            sent.append(self._camera.send())
            self._spin(_PATIENCE_S, until=is_answered)
            if not is_answered():
                self._check(node)  # lest a dead node is waited for again and again
        return sent

    def _send_and_listen(self, seconds: float, until: Callable[[], bool]) -> None:
        """Send images at the rate of the start for so long, or until it is enough."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not until():
            self._camera.send()
            self._spin(1 / _START_RATE_HZ, until=until)

    def _spin(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Take messages for so long, or until it is enough."""
        deadline = time.monotonic() + seconds
        while not until():
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._executor.spin_once(timeout_sec=left)

    @contextmanager
    def _compressed_subscribed(self) -> Iterator[None]:
        """Take compressed masks and overlays as well; from the first mask on, as discovery has two sides.

        Raises:
            ProcessError: no compressed mask came.
        """
        takers: dict[str, Callable[[CompressedImage], None]] = {
            "mask": lambda message: self._compressed.append(len(message.data)),
            "overlay": lambda message: None,
        }
        subscriptions = [
            self._node.create_subscription(CompressedImage, f"segmentation/{name}/compressed", take, sensor_data())
            for name, take in takers.items()
        ]
        try:
            self._send_and_listen(10 * _PATIENCE_S, until=lambda: bool(self._compressed))
            if not self._compressed:
                raise ProcessError("no compressed mask came")
            yield
        finally:
            for subscription in subscriptions:
                self._node.destroy_subscription(subscription)

    # listening -------------------------------------------------------------------------------------------------------

    def _on_mask(self, message: Image) -> None:
        stamp = message.header.stamp
        self._masks.append((stamp.sec * 10**9 + stamp.nanosec, time.time_ns()))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(self._status_prefix):
                self._statuses[status.name.removeprefix(self._status_prefix)] = status

    def _check(self, node: psutil.Process) -> None:
        if not node.is_running() or node.status() == psutil.STATUS_ZOMBIE:
            raise ProcessError("the segmentation node ended")
        status = self._statuses.get("node")
        if status is not None and status.level == DiagnosticStatus.ERROR:
            raise ProcessError(status.message)

    def _inference_ms(self) -> float:
        """The node's own median of the Segmenter's time over its last WINDOW frames, from its next report."""
        self._statuses.clear()
        return float(self._await_status("inference", _INFERENCE_TIME)[_INFERENCE_TIME])

    def _await_status(self, name: str, key: str) -> dict[str, str]:
        """Wait for the node's next report on itself that has the key, and return its values."""

        def values() -> dict[str, str]:
            status = self._statuses.get(name)
            return {} if status is None else {item.key: item.value for item in status.values}

        self._spin(10 * _PATIENCE_S, until=lambda: key in values())
        if key not in values():
            raise ProcessError(f"the node reports no '{key}' on /diagnostics")
        return values()


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Serve until the benchmark has enough."""
    client = BenchmarkClient()
    serve({"start": client.start, "first_mask": client.first_mask, "load": client.load})


if __name__ == "__main__":
    main()
