"""What is wrong with a file that should hold weights, of whichever network, before a library opens it."""

from __future__ import annotations

from pathlib import Path

from fanet_ros.errors import WeightsError
from fanet_ros.files import check_has_end, looked_for

_WEB_PAGES = (b"<!doctype", b"<html", b"<?xml")


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file that may hold weights, at most 64.

    Raises:
        WeightsError: it is missing, unreadable, no file, empty, or what downloads leave in place of weights.
    """
    try:
        if not path.exists():
            raise WeightsError(f"{path}: no such weights file{looked_for(path)}; check the path")
        check_has_end(path)
        if not path.is_file():
            raise WeightsError(f"{path}: not a file; give the .safetensors, .pth, .pt, .pkl, .onnx or .xml file itself")
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise WeightsError(f"{path}: the file is empty; download it again")
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path}: a git-lfs pointer, not the weights themselves; run `git lfs pull`")
    web_pages = _WEB_PAGES[:2] if path.suffix.lower() == ".xml" else _WEB_PAGES  # OpenVINO's form is XML
    if head.lstrip().lower().startswith(web_pages):
        raise WeightsError(f"{path}: a web page, not weights: the download went wrong; open the link in a browser")
    return head
