"""`make demo`: a camera and our nodes as separate processes over real DDS, recorded from another one.

Writes overlay.mp4, contact_sheet.png and summary.json, navigation.png where the camera's pose and the depth are known
(the street camera), and demo.rrd where the viewer is installed (docs/view.md). Succeeds only if masks arrived.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import rclpy
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fanet_ros.commands.console import print_error
from fanet_ros.errors import FanetError, SettingError
from fanet_ros.model.labels import LabelSet, load_label_set
from fanet_ros.model.model_card import read_card
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.parameters.viewer import ViewerParameters
from fanet_ros.processes import end, leave_out_working_directory, start_module
from fanet_ros.reports.report import RunReport, print_summary
from fanet_ros.resources import DEFAULT_WEIGHTS
from fanet_ros.ros.demo.recorder import FLAT_NODE, MEASURED_NODE, Recorder
from fanet_ros.ros.process import join_ros
from fanet_ros.ros.transport import prepare_process
from fanet_ros.sources import open_source
from fanet_ros.sources.street.scene import NOMINAL_HEIGHT_M, NOMINAL_PITCH_RAD
from fanet_ros.view import interpreter
from fanet_ros.view.page import page_address

NAMESPACE = "/fanet_demo"  # so that a demo never mixes with a robot's own camera on the same network
_REMAPPINGS = {
    "image": "camera/image_raw",
    "camera_info": "camera/camera_info",
    "mask": "segmentation/mask",
    "confidence": "segmentation/confidence",
    "label_info": "segmentation/label_info",
    "depth": "camera/depth",
    "depth/camera_info": "camera/depth/camera_info",
}
_VIEWED = {
    "stats": "segmentation/stats",
    **{name: f"{MEASURED_NODE}/{name}" for name in ("free_space", "obstacle_scan", "obstacle_cloud")},
}
_MODULES = {
    "segmentation": "segmentation",
    "camera": "camera",
    FLAT_NODE: "ground",
    MEASURED_NODE: "ground",
    "viewer": "view",
}
_NAVIGATION = "navigation.png"
_RECORDED_VIEW = "demo.rrd"
_STREET_RATE_HZ = 10.0  # what two CPU cores keep up with, camera and recorder included
_START_TIMEOUT_S = 60.0
_SILENCE_S = 2.0
_SLOWEST_HZ = 0.1
_OF_FPS = 0.8  # of the masks a second that a run made: a rate that leaves some room
_console = Console()


def run_demo(
    frames: Annotated[int, typer.Option(min=1, help="Frames the camera sends.")] = 100,
    video: Annotated[Path | None, typer.Option(help="Play this video instead of the street camera.")] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=_SLOWEST_HZ, help="Frames per second the camera sends; else the video's own, or 10."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo"),
    precision: Annotated[str, typer.Option(help="Precision of the network.")] = "auto",
    input_size: Annotated[str, typer.Option(help="Input size of the network.")] = "auto",
    temporal_frames: Annotated[int, typer.Option(help="Frames that attention sees, the present one included.")] = 1,
    view: Annotated[
        bool, typer.Option("--view", help="Show it live in a browser until Ctrl-C; installs the viewer if need be.")
    ] = False,
    view_port: Annotated[
        int, typer.Option(min=1, max=65534, help="Of that page on localhost; data goes over the next one.")
    ] = ViewerParameters().port,
) -> None:
    """Run camera and segmentation for some frames and show what came out."""
    began = float(os.environ.get("FANET_DEMO_STARTED", time.time()))
    parameters: dict[str, object] = {
        "precision": precision,
        "input_size": input_size,
        "temporal_frames": temporal_frames,
        "input_timeout": 10.0,  # the camera starts after the node
    }
    source = str(video) if video else "street"
    try:
        # what cannot work is better refused here than by a child process
        for name, value in parameters.items():
            SegmentationParameters.specs()[name].validate(value)
        with open_source(source) as opened:
            native_rate = opened.rate_hz if video else None
        camera: dict[str, Any] = {
            "source": source,
            "rate_hz": rate or native_rate or _STREET_RATE_HZ,
            "frames": frames,
            "wait_for_subscribers": 2,
        }
        report = RunReport(output, _label_set(), video_rate_hz=camera["rate_hz"])
        _remove_results(output)
        if view:
            interpreter.install(_console.print)
    except FanetError as error:
        print_error(error, _console)
        raise typer.Exit(2) from None

    nodes: dict[str, dict[str, Any]] = {"segmentation": parameters, "camera": camera}
    if not video:  # where the camera is, is known of the street alone
        camera["depth"] = "registered"
        pose = {"camera_height": NOMINAL_HEIGHT_M, "camera_pitch": NOMINAL_PITCH_RAD}
        nodes |= {FLAT_NODE: pose, MEASURED_NODE: {**pose, "geometry": "depth"}}
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with _viewer(view_port if view else 0, output, shows_ground=not video) as viewer:
        try:
            recorded = _run_nodes(nodes, report, output)
        except FanetError as error:
            print_error(error, _console)
            raise typer.Exit(2) from None
        _tell(report, recorded, source, output, began)
        if view and viewer is not None and viewer.poll() is None:
            _console.print(f"the view stays at {page_address(view_port)} until Ctrl-C", soft_wrap=True)
            with suppress(KeyboardInterrupt):
                viewer.wait()


@contextmanager
def _viewer(port: int, output: Path, *, shows_ground: bool) -> Iterator[subprocess.Popen[bytes] | None]:
    """Run the viewer node, if it is installed, to record what it sees and, on a port that is not 0, to show it."""
    if not interpreter.is_ready():
        yield None
        return
    ground = MEASURED_NODE if shows_ground else '""'  # as YAML writes it
    parameters = {"port": port, "save": output.absolute() / _RECORDED_VIEW, "drivable_area": ground}
    viewer = _start("viewer", parameters, _VIEWED)
    try:
        yield viewer
    finally:
        end(viewer)


def _tell(report: RunReport, recorded: dict[str, Any], source: str, output: Path, began: float) -> None:
    """Write and print what the run showed."""
    first_mask_time = recorded.pop("first_mask_time")
    first_mask_after_s = None if first_mask_time is None else round(first_mask_time - began, 1)
    summary = report.finish({"source": source, "first_mask_after_s": first_mask_after_s, **recorded})
    if not report.frames:
        _console.print("[red]error:[/] no masks arrived; the log above tells what the nodes did")
        raise typer.Exit(1)
    print_summary(summary, f"demo: {source}")
    pictures = ["contact_sheet.png", *([_NAVIGATION] if summary.get("grids_recorded") else [])]
    for note in loss_notes(summary):
        _console.print(f"[yellow]note:[/] {note}", soft_wrap=True)
    _console.print(
        f"first mask {first_mask_after_s} s after the start; look at "
        + " and ".join(escape(f"{output}/{picture}") for picture in pictures),
        soft_wrap=True,
    )
    if source != "street":
        _console.print(
            f"no {_NAVIGATION}: it needs the camera's calibration and height, which a video does not tell",
            soft_wrap=True,
        )


def loss_notes(summary: Mapping[str, Any]) -> list[str]:
    """Return why frames have no mask, and what to do; nothing where all have one.

    Args:
        summary: with the counts of Recorder.counts; a number that nobody knows is None or missing.
    """
    notes = []
    received = summary.get("frames_received")
    if dropped := summary.get("frames_dropped"):
        rate_hz = max(_SLOWEST_HZ, round(_OF_FPS * summary["fps"], 1))
        notes.append(
            f"{dropped} of {received} frames were dropped: they came faster than this machine segments them. Send "
            f"fewer (RATE={rate_hz:g}), or make the network's image smaller "
            '(ARGS="--input-size 320x192")'
        )
    if lost := summary.get("frames_lost_in_transport"):
        notes.append(
            f"{lost} of {summary.get('frames_sent')} frames were lost between camera and node: the machine was too "
            "busy, or /dev/shm is small; see docs/transport.md"
        )
    return notes


def _remove_results(folder: Path) -> None:
    """Remove what an earlier run wrote: its pictures would pass for those of this one."""
    for name in ("overlay.mp4", "contact_sheet.png", "summary.json", _NAVIGATION, _RECORDED_VIEW):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise SettingError(f"cannot remove {folder / name} of an earlier run: {error.strerror}") from None


def _label_set() -> LabelSet:
    name = read_card(DEFAULT_WEIGHTS).label_set
    if name is None:
        raise SettingError(f"the card of {DEFAULT_WEIGHTS} names no label set; reinstall fanet_ros")
    return load_label_set(name)


def _run_nodes(nodes: dict[str, dict[str, Any]], report: RunReport, output: Path) -> dict[str, Any]:
    """Run nodes, record what they publish, and return what is known of the run.

    Args:
        nodes: parameters by name: segmentation, camera, and both drivable-area nodes where they are to run, too.
        report: that is told of every frame.
        output: folder for navigation.png.
    """
    for note in prepare_process():
        _console.print(f"[yellow]note:[/] {note}")
    frames, rate_hz = nodes["camera"]["frames"], nodes["camera"]["rate_hz"]
    with ExitStack() as stack:
        join_ros()  # without handlers Ctrl-C is Python's KeyboardInterrupt
        stack.callback(rclpy.try_shutdown)
        recorder = Recorder(NAMESPACE, report, rate_hz=rate_hz, drivable_area=FLAT_NODE in nodes)
        stack.callback(recorder.destroy_node)
        processes = {}
        for name, parameters in nodes.items():
            processes[name] = _start(name, parameters)
            stack.callback(end, processes[name])
        camera = processes["camera"]
        try:
            _record(recorder, camera, processes["segmentation"], frames)
        except KeyboardInterrupt:
            _console.print("interrupted; what was recorded so far is written")
        facts = {
            "first_mask_time": recorder.first_mask_time,
            **recorder.counts(frames if camera.poll() == 0 else None),
            **recorder.facts(),
        }
        if recorder.navigation is not None:
            recorder.navigation.write(output / _NAVIGATION)
            facts["grids_recorded"] = recorder.navigation.grids_seen
        return facts


def _record(
    recorder: Recorder, camera: subprocess.Popen[bytes], segmentation: subprocess.Popen[bytes], frames: int
) -> None:
    """Spin the recorder until the camera has sent all frames and the last mask is in, or a node has failed."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started = last_change = time.monotonic()
    last_mask = 0
    with Progress(*columns, console=_console) as progress:
        sent = progress.add_task("camera frames", total=frames)
        done = progress.add_task("masks", total=frames)
        while True:
            rclpy.spin_once(recorder, timeout_sec=0.05)
            images, masks = recorder.seen["camera"], recorder.seen["mask"]
            progress.update(sent, completed=images)
            progress.update(done, completed=masks)
            now = time.monotonic()
            if masks != last_mask or not images:
                last_mask, last_change = masks, now
            problem = _problem(recorder, camera, segmentation, now - started)
            if problem:
                _console.print(f"[red]error:[/] {escape(problem)}", soft_wrap=True)
                return
            if camera.poll() == 0 and now - last_change > _SILENCE_S:
                return


def _problem(
    recorder: Recorder, camera: subprocess.Popen[bytes], segmentation: subprocess.Popen[bytes], seconds: float
) -> str:
    """Return why there is nothing more to wait for; empty while all is well."""
    if segmentation.poll() is not None:
        return f"the segmentation node ended with code {segmentation.returncode}"
    if camera.poll():
        return f"the camera node ended with code {camera.returncode}"
    if recorder.node_fault:
        return recorder.node_fault
    if not recorder.seen["camera"] and seconds > _START_TIMEOUT_S:
        return f"nothing to see within {_START_TIMEOUT_S:.0f} s: the segmentation node did not start, or no image came"
    return ""


def _start(
    name: str, parameters: dict[str, Any], remappings: Mapping[str, str] = MappingProxyType({})
) -> subprocess.Popen[bytes]:
    """Start one of our nodes in the demo's namespace."""
    arguments = ["--ros-args", "-r", f"__ns:={NAMESPACE}", "-r", f"__node:={name}"]
    for topic, ours in {**_REMAPPINGS, **remappings}.items():
        arguments += ["-r", f"{topic}:={NAMESPACE}/{ours}"]
    for parameter, value in parameters.items():
        arguments += ["-p", f"{parameter}:={value}"]
    return start_module(f"fanet_ros.ros.{_MODULES[name]}.node", *arguments)


def main() -> None:
    """Run the demo's command line."""
    leave_out_working_directory()
    typer.run(run_demo)


if __name__ == "__main__":
    main()
