"""The viewer node: shows in a browser what the other nodes publish, while one looks. Plumbing only."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.subscription import Subscription
from vision_msgs.msg import LabelInfo

from fanet_ros.errors import SettingError
from fanet_ros.parameters.viewer import ViewerParameters
from fanet_ros.ros.diagnostics import every_steady
from fanet_ros.ros.ground.transforms import Transforms
from fanet_ros.ros.parameter_server import ParameterServer
from fanet_ros.ros.process import RosLogHandler, run_node
from fanet_ros.ros.topics import LatchedInput
from fanet_ros.ros.view.camera_view import CameraView
from fanet_ros.ros.view.statistics import DiagnosticLines
from fanet_ros.view import pictures
from fanet_ros.view.page import open_browser
from fanet_ros.view.process import LiveViewer, ViewerProcess

_FOLLOW_INTERVAL_S = 0.25


class ViewerNode(Node):
    """Subscribes to what the segmentation and the drivable-area node publish, and to nothing while nobody looks.

    What it shows goes through a pipe to a process of its own, which serves the page: whatever becomes of that, the
    nodes that a robot needs do not notice.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("viewer", **kwargs)
        RosLogHandler.install(self.get_logger())
        server = ParameterServer(self, ViewerParameters)
        server.check()
        self._settings = settings = server.values
        if not settings.port and not settings.save:
            raise SettingError("port: received 0 without save, so that nothing would be shown; give one of them")
        self._process = ViewerProcess(port=settings.port, save=settings.save)
        self._viewer = LiveViewer(self._process)
        cameras = settings.cameras or ("",)
        layout = pictures.layout(
            cameras, ground=bool(settings.drivable_area), confidence=settings.confidence, plots=True, live=True
        )
        self._viewer.show("layout", layout)
        transforms = Transforms(self)
        self._views = [CameraView(self, camera, settings, self._viewer, transforms) for camera in cameras]
        self._label_info = LatchedInput(self, LabelInfo, "label_info", self._on_label_info)
        self._names: tuple[str, ...] = ()
        self._lines = DiagnosticLines()
        self._diagnostics: Subscription | None = None
        self._has_ended = False
        every_steady(self, _FOLLOW_INTERVAL_S, self._follow)
        if self._process.address:
            self.get_logger().info(f"look at {self._process.address} in a browser on this machine")
            if settings.browser:
                open_browser(self._process.address)

    def destroy_node(self) -> None:
        """End the viewer's process, too."""
        self._viewer.close()
        self._process.close()
        super().destroy_node()

    def _follow(self) -> None:
        if self._process.fault:
            if not self._has_ended:
                self._has_ended = True
                self.get_logger().error(
                    f"the viewer has ended: {self._process.fault}; the other nodes go on, start this one again to look"
                )
                self.context.shutdown()
            return
        self._label_info.follow()
        is_watched = self._process.is_watched or (bool(self._settings.save) and not self._process.is_full)
        for view in self._views:
            view.follow(is_watched=is_watched)
        if is_watched and self._diagnostics is None:
            self._lines.forget()
            self._diagnostics = self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        elif not is_watched and self._diagnostics is not None:
            self.destroy_subscription(self._diagnostics)
            self._diagnostics = None

    def _on_label_info(self, message: LabelInfo) -> None:
        names = pictures.names_of(message)
        if names != self._names:
            self._names = names
            for view in self._views:
                view.names = names
            self._viewer.show("classes", pictures.classes(names, self._settings.labels))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for record in self._lines.records(message):
            self._viewer.show(record.entity, record)


def main() -> None:
    """Run the node until it is told to stop, or its viewer ends."""
    run_node(ViewerNode)


if __name__ == "__main__":
    main()
