"""Real-time semantic segmentation of camera images with FANet, for ROS 2 and for plain Python.

What is meant for others to import stands here; importing it costs nothing until it is used (docs/python.md).
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fanet_ros.errors import FanetError
    from fanet_ros.model.labels import LabelSet
    from fanet_ros.segmenter import Segmentation, Segmenter

    __version__: str

# The generated fanet_ros.msg is installed in the workspace, this code may run from the source tree:
# both are portions of one package.
__path__ = pkgutil.extend_path(__path__, __name__)

__all__ = ["FanetError", "LabelSet", "Segmentation", "Segmenter", "__version__"]

_HOMES = {
    "FanetError": "fanet_ros.errors",
    "LabelSet": "fanet_ros.model.labels",
    "Segmentation": "fanet_ros.segmenter",
    "Segmenter": "fanet_ros.segmenter",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from fanet_ros.resources import package_version

        return package_version()
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
