"""`make demo`: a camera and the segmentation node as separate processes over real DDS, recorded from a third.

Writes overlay.mp4, contact_sheet.png and summary.json, and succeeds only if masks arrived.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import rclpy
import typer
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fanet_ros.errors import FanetError
from fanet_ros.labels import load_label_set
from fanet_ros.model_card import read_card
from fanet_ros.report import RunReport, print_summary
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.ros.recorder import Recorder
from fanet_ros.ros.transport import prepare_process
from fanet_ros.sources import open_source

NAMESPACE = "/fanet_demo"  # so that a demo never mixes with a robot's own camera on the same network
_START_TIMEOUT_S = 60.0
_SILENCE_S = 2.0
_console = Console()


def run_demo(
    frames: Annotated[int, typer.Option(min=1, help="Frames the camera sends.")] = 100,
    video: Annotated[Path | None, typer.Option(help="Play this video instead of the street camera.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Frames per second the camera sends.")] = 10.0,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo"),
    precision: Annotated[str, typer.Option(help="Precision of the network.")] = "auto",
    input_size: Annotated[str, typer.Option(help="Input size of the network.")] = "auto",
) -> None:
    """Run camera and segmentation for some frames and show what came out."""
    began = float(os.environ.get("FANET_DEMO_STARTED", time.time()))
    for note in prepare_process():
        _console.print(f"[yellow]note:[/] {note}")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    try:
        source = str(video) if video else "street"
        with open_source(source):
            pass  # a source that cannot be opened is better refused here than by a child process
        label_set = load_label_set(read_card(DEFAULT_WEIGHTS).label_set or "camvid11")
        report = RunReport(output, label_set, video_rate_hz=rate)
    except FanetError as error:
        _console.print(f"[red]error:[/] {error}", soft_wrap=True)
        raise typer.Exit(2) from None

    camera_arguments = {"source": source, "rate_hz": rate, "frames": frames, "wait_for_subscribers": 2}
    with ExitStack() as stack:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # Ctrl-C is Python's KeyboardInterrupt
        stack.callback(rclpy.try_shutdown)
        recorder = Recorder(NAMESPACE, report, label_set, rate_hz=rate)
        stack.callback(recorder.destroy_node)
        segmentation = stack.enter_context(
            _node_process("segmentation_node", {"precision": precision, "input_size": input_size})
        )
        camera = stack.enter_context(_node_process("camera_node", camera_arguments))
        try:
            _record(recorder, camera, segmentation, frames)
        except KeyboardInterrupt:
            _console.print("interrupted; what was recorded so far is written")
        first = recorder.first_mask_time
        extra = {
            "source": source,
            "frames_sent": frames,
            **recorder.counts(frames),
            "first_mask_after_s": None if first is None else round(first - began, 1),
            **recorder.facts(),
        }
        summary = report.finish(extra)

    if not report.frames:
        _console.print("[red]error:[/] no masks arrived; the log above tells what the nodes did")
        raise typer.Exit(1)
    print_summary(summary, f"demo: {source}")
    _console.print(f"first mask {summary['first_mask_after_s']} s after the start; look at {output}/contact_sheet.png")


def _record(recorder: Recorder, camera: subprocess.Popen, segmentation: subprocess.Popen, frames: int) -> None:
    """Spin the recorder until the camera has sent all frames and the last mask is in."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    deadline = time.monotonic() + _START_TIMEOUT_S
    with Progress(*columns, console=_console) as progress:
        sent = progress.add_task("camera frames", total=frames)
        done = progress.add_task("masks", total=frames)
        last_mask, last_change = 0, time.monotonic()
        while True:
            rclpy.spin_once(recorder, timeout_sec=0.05)
            recorder.record_complete_frames()
            progress.update(sent, completed=recorder.images_seen)
            progress.update(done, completed=recorder.masks_seen)
            now = time.monotonic()
            if recorder.masks_seen != last_mask or not recorder.images_seen:
                last_mask, last_change = recorder.masks_seen, now
            if segmentation.poll() is not None:
                _console.print(f"[red]error:[/] the segmentation node ended with code {segmentation.returncode}")
                break
            if camera.poll() is not None and now - last_change > _SILENCE_S:
                break
            if not recorder.images_seen and now > deadline:
                _console.print(f"[red]error:[/] no camera frame within {_START_TIMEOUT_S:.0f} s")
                break


@contextmanager
def _node_process(module: str, parameters: dict[str, object]) -> Iterator[subprocess.Popen]:
    """Run one of our nodes in the demo's namespace, and end it at the end."""
    command = [sys.executable, "-m", f"fanet_ros.ros.{module}", "--ros-args", "-r", f"__ns:={NAMESPACE}"]
    command += ["-r", f"image:={NAMESPACE}/camera/image_raw"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main() -> None:
    """Run the demo's command line."""
    typer.run(run_demo)


if __name__ == "__main__":
    main()
