"""`fanet export`: build ahead what a robot would build at its first start, or write the network as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from fanet_ros.commands.console import one_line_errors, say
from fanet_ros.commands.network_card import write_card
from fanet_ros.commands.options import (
    Backend,
    Device,
    InputSize,
    Precision,
    Weights,
    check_options,
    node_option,
    weights_path,
)
from fanet_ros.errors import SettingError
from fanet_ros.model.foreign_files import is_foreign
from fanet_ros.settings import Size, read_size

_BUILDS_FOR_VIDEOS = "tensorrt"  # an engine for each number of frames; the others attend to any with what they have
_ONNX_PRECISIONS = ("auto", "fp32", "fp16")


def export(
    weights: Weights = "",
    backend: Backend = "auto",
    device: Device = "auto",
    precision: Precision = "auto",
    input_size: InputSize = "auto",
    camera_size: Annotated[
        str, typer.Option(help="Of the camera's images, which input_size auto and camera follow.", metavar="WxH")
    ] = "1280x720",
    onnx: Annotated[
        Path | None,
        typer.Option(
            help="Write the network to this ONNX file instead, in fp32 or fp16: for inputs of any size, or of the one "
            "given by --input-size.",
        ),
    ] = None,
    temporal_frames: Annotated[int, node_option("temporal_frames")] = 1,
    card: Annotated[
        Path | None,
        typer.Option(
            metavar="NETWORK",
            help="Write a card beside this .onnx or .xml file instead: what was found in it, and what to fill in.",
        ),
    ] = None,
) -> None:
    """Build the network for a backend ahead of time, so that a robot starts fast; or write it as ONNX."""
    with one_line_errors():
        if card is not None:
            if weights or onnx is not None:
                raise SettingError("a card is written for the network given to it; leave out --weights and --onnx")
            say(*write_card(card.expanduser()))
            return
        given = {"backend": backend, "device": device, "precision": precision, "input_size": input_size}
        check_options(**given, temporal_frames=temporal_frames)
        try:
            camera = read_size(camera_size)
        except SettingError as error:
            raise SettingError(f"camera_size: {error}") from None
        path = weights_path(weights)
        if onnx is None:
            _build(path, backend, device, precision, input_size, camera, temporal_frames)
        elif is_foreign(path):
            raise SettingError(f"onnx: {path.name} is a network in that or a like form already; leave it out")
        elif (backend, device) != ("auto", "auto"):
            raise SettingError("an ONNX file depends on no backend and device; leave out --onnx, or the other two")
        else:
            _write_onnx(path, onnx.expanduser(), precision, input_size, camera, temporal_frames)


def _build(
    weights: Path, backend: str, device: str, precision: str, input_size: str, camera: Size, temporal_frames: int
) -> None:
    from fanet_ros.artefacts.cache import MANIFEST, weights_digest
    from fanet_ros.artefacts.place import cache_folder
    from fanet_ros.backends import create_backend
    from fanet_ros.backends.foreign import input_sizes_of, label_set_of

    if is_foreign(weights):
        label_set_of(weights, "")  # the robot would ask for it
    size = input_sizes_of(weights, input_size)(camera)
    with Console().status(f"preparing {escape(weights.name)} for {size}") as status:
        prepared = create_backend(
            weights,
            backend=backend,
            device=device,
            precision=precision,
            input_size=size,
            progress=status.update,
            temporal_frames=temporal_frames,
        )
        prepared.close()
    say(f"ready for inputs of {size}: {prepared.info}")
    if temporal_frames > 1 and prepared.name != _BUILDS_FOR_VIDEOS:
        say(f"attention to {temporal_frames} frames needs nothing of its own with {prepared.name}")
    folder = cache_folder(weights_digest(weights))
    built = sorted(manifest.parent for manifest in folder.glob(f"*/{MANIFEST}"))
    say(f"built for these weights so far, in {folder}:" if built else "nothing had to be built")
    for artefact in built:
        megabytes = sum(file.stat().st_size for file in artefact.iterdir()) / 1e6
        say(f"  {artefact.name}  {megabytes:.1f} MB")


def _write_onnx(weights: Path, path: Path, precision: str, input_size: str, camera: Size, temporal_frames: int) -> None:
    if precision not in _ONNX_PRECISIONS:
        raise SettingError(f"precision: received {precision!r}, but ONNX is written in fp32 or fp16")
    from fanet_ros.model.graph import FrameToLogits, export_onnx, prepare_for_inference
    from fanet_ros.model.weights import load_network

    size = None if input_size == "auto" else camera if input_size == "camera" else read_size(input_size)
    graph = prepare_for_inference(FrameToLogits(load_network(weights)))
    export_onnx(graph.half() if precision == "fp16" else graph, path, size, temporal_frames=temporal_frames)
    shape = "height x width" if size is None else f"{size.height} x {size.width}"
    frame, logits = f"frame uint8 1 x {shape} x 3 (RGB)", "logits float32 at 1/8 of the size"
    if temporal_frames > 1:
        state = f"float32 1 x {temporal_frames - 1} x {graph.network.state_size}"
        frame, logits = f"{frame}, state {state}", f"{logits}, next_state like state (all zero at first)"
    say(f"{path}: {frame} -> {logits}")
