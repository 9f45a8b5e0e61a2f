"""Makes OpenVINO's form of the network: weights -> ONNX -> IR, for inputs of every size."""

from __future__ import annotations

from pathlib import Path

from fanet_ros.backends.openvino.loading import MODEL, import_openvino, openvino_core
from fanet_ros.model.graph import FrameToLogits, export_onnx, prepare_for_inference
from fanet_ros.model.weights import load_network


def build(folder: Path, *, weights: str) -> None:
    """Write model.xml and model.bin, in float32, into an existing folder.

    Args:
        folder: to write to.
        weights: path of a checkpoint that fanet_ros.model.weights can read.

    Raises:
        WeightsError: the checkpoint cannot be used.
    """
    ov = import_openvino()
    onnx = folder / "model.onnx"
    export_onnx(prepare_for_inference(FrameToLogits(load_network(weights))), onnx, None)
    ov.save_model(openvino_core().read_model(onnx), folder / MODEL, compress_to_fp16=False)
    onnx.unlink()
