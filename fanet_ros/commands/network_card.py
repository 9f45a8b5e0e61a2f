"""The card that `fanet export --card` writes: what was found in a network's file, and what only its maker knows."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fanet_ros.errors import SettingError
from fanet_ros.files import write_whole
from fanet_ros.model.foreign import LABELS, ForeignNetwork
from fanet_ros.model.foreign_files import is_foreign, network_files
from fanet_ros.model.labels import is_merged, load_label_set, shipped_label_sets


def write_card(weights: Path) -> list[str]:
    """Write a card beside a network; one that is there already stays.

    Returns:
        What was done, and what is to be done, in lines for people.

    Raises:
        SettingError: it is no such network, there is a card, or it cannot be written.
        WeightsError: the file is missing or damaged, or no network that turns an image into classes.
        BackendError: OpenVINO, which reads it, is not installed.
    """
    from fanet_ros.artefacts.build_process import run_builder
    from fanet_ros.backends.openvino.loading import DESCRIPTION, import_openvino

    if not is_foreign(weights):
        raise SettingError(f"card: received {weights}, expected an .onnx file, or the .xml file of OpenVINO")
    network_files(weights)
    path = weights.with_suffix(".md")
    if path.exists():
        raise SettingError(f"{path} is there already; change it by hand, or move it away for a new one")
    import_openvino()
    with tempfile.TemporaryDirectory(prefix="fanet_card_") as folder:
        arguments = {"weights": str(weights.absolute()), "draft": True}
        run_builder("fanet_ros.backends.openvino.foreign", Path(folder), arguments, weights.name, lambda _: None)
        network = ForeignNetwork.from_json((Path(folder) / DESCRIPTION).read_text(encoding="utf-8"))
    text, missing = _card(network)
    write_whole(path, text.encode())
    return [
        *network.findings,
        f"written: {path}",
        f"to be filled in there: {', '.join(missing)} (docs/networks.md)",
    ]


def _card(network: ForeignNetwork) -> tuple[str, list[str]]:
    """Return the card's text, and the names of the fields that are to be filled in."""
    fitting = [name for name in shipped_label_sets() if _classes_of(name) == network.classes]
    classes = f"{network.classes}{' or more' if network.answer == LABELS else ''} classes"
    like = f"; of the shipped ones these have as many: {', '.join(fitting)}" if fitting else ""
    lines = ["---", *(f"# {finding}" for finding in network.findings)]
    missing = ["label_set"]
    lines += [f"label_set:  # name of a shipped label set, or a YAML file beside this one; {classes}{like}"]
    if network.outputs:
        missing.append("output")
        lines += [f"output:  # which of these is the answer: {', '.join(network.outputs)}"]
    if network.normalises_itself:
        lines += ["# mean, std, scale: none, as it takes uint8 pixels and normalises them itself"]
    else:
        missing += ["mean", "std", "scale"]
        lines += [
            "# its input is (pixel * scale - mean) / std, with pixels of 0 to 255. Most were trained with ImageNet's:",
            "# mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], scale: 1/255",
            "mean:",
            "std:",
            "scale:",
        ]
    lines += ["channel_order: rgb  # or bgr; a guess: the file does not tell"]
    if network.size is None:
        missing.append("input_size")
        lines += ["input_size:  # WIDTHxHEIGHT it was trained for; its area counts. Empty: 1024x512"]
    lines += [
        "align_corners: false  # as its training enlarged logits; a guess: the file does not tell",
        "---",
        "",
        f"# {network.name}",
        "",
        "What it was trained on, by whom, and under which licence.",
    ]
    return "\n".join(lines) + "\n", missing


def _classes_of(name: str) -> int | None:
    """Return how many classes networks with that shipped label set have; None where it merges those of others."""
    return None if is_merged(name) else len(load_label_set(name))
