"""Where frames come from: videos, images, V4L2 cameras, and the procedural street camera."""

from fanet_ros.sources.base import FrameSource, Intrinsics, SourceFrame
from fanet_ros.sources.opening import STREET, open_source

__all__ = ["STREET", "FrameSource", "Intrinsics", "SourceFrame", "open_source"]
