"""A lifecycle node that survives what goes wrong in a transition, and says what to do."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from fanet_ros.errors import FanetError


class CorrectableNode(LifecycleNode):
    """A node whose failed transitions leave it in the state before, ready to be corrected.

    Attributes:
        fault: why the last transition failed; empty where it did not.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.fault = ""
        self._survive_impossible_transitions()

    def attempt(self, what: str, act: Callable[[], None], undo: Callable[[], None]) -> TransitionCallbackReturn:
        """Do what a transition asks for; if it fails, say why, undo it, and stay in the state before.

        Args:
            what: the transition's name.
            act: does it.
            undo: leaves the state as it was before.
        """
        self.fault = ""
        try:
            act()
        except Exception as error:  # to most a traceback is no help, but a node that lives on to be corrected is
            self.get_logger().debug(traceback.format_exc())
            reason = str(error) if isinstance(error, FanetError) else f"{type(error).__name__}: {error}"
            self.fault = f"cannot {what}: {reason}"
            self.get_logger().error(
                f"{self.fault}. The node waits to be corrected (ros2 param set) and told again "
                f"(ros2 lifecycle set {self.get_fully_qualified_name()} {what})"
            )
            undo()
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _survive_impossible_transitions(self) -> None:
        """Answer a transition that the state does not allow with "no"; rclpy's own service would end the process."""
        service = self._service_change_state
        answer = service.callback

        def answer_or_refuse(request: Any, response: Any) -> Any:
            try:
                return answer(request, response)
            except RuntimeError as error:  # rclpy's RCLError, which has no public name
                self.get_logger().debug(traceback.format_exc())
                self.get_logger().warning(f"transition refused: {error}")
                response.success = False
                return response

        service.callback = answer_or_refuse
