"""Declares the settings of fanet_ros.parameters as ROS parameters and refuses wrong values with a reason."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from fanet_ros.errors import SettingError
from fanet_ros.parameters.specs import Applies, Parameters, ParameterSpec, ParameterValue, unknown_parameter_hint

ParametersType = TypeVar("ParametersType", bound=Parameters)

_FOREIGN_PREFIXES = ("qos_overrides.", "use_sim_time", "start_type_description_service")


class ParameterServer(Generic[ParametersType]):
    """The node's parameters: declared once, validated on every change, read as one immutable dataclass.

    A wrong value given at start (launch argument, YAML) does not end the node: the parameter keeps its default, the
    fault is remembered, and the node refuses to configure until the value is corrected with `ros2 param set`.
    """

    def __init__(
        self,
        node: Node,
        parameters: type[ParametersType],
        *,
        is_configured: Callable[[], bool] = lambda: True,
        on_change: Callable[[], None] = lambda: None,
        contradictions: Callable[[ParametersType], Sequence[str]] = lambda values: (),
    ) -> None:
        """Declare every parameter of a class.

        Args:
            node: that owns the parameters.
            parameters: the class.
            is_configured: tells whether parameters that apply at configure are fixed now.
            on_change: called after values have changed.
            contradictions: says of values, each of them allowed, why they cannot work together. A change that brings a
                new one is refused; one that leaves those there are is not, so that they can be mended one by one.
        """
        self._node = node
        self._is_configured = is_configured
        self._on_change = on_change
        self._contradictions = contradictions
        self._class = parameters
        self._specs = parameters.specs()
        self._faults: dict[str, str] = {}
        self._values: dict[str, ParameterValue] = {spec.name: self._declare(spec) for spec in self._specs.values()}
        self._warn_of_unknown_names()
        node.add_on_set_parameters_callback(self._on_set)

    @property
    def values(self) -> ParametersType:
        """The values in force now."""
        return self._class(**self._values)  # each was validated by its spec

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with values given at start and not corrected since."""
        return tuple(self._faults.values())

    def check(self) -> None:
        """Raise a SettingError with all faults, if there are any."""
        if self._faults:
            raise SettingError("; ".join(self.faults))

    def _declare(self, spec: ParameterSpec) -> ParameterValue:
        given = self._node.declare_parameter(spec.name, _ros_value(spec.default), _descriptor(spec)).value
        if given is None and isinstance(spec.default, tuple):
            given = ()  # what rcl makes of an empty list in a YAML file or an argument
        try:
            value = spec.validate(given)
        except SettingError as error:
            self._faults[spec.name] = str(error)
            self._node.get_logger().error(str(error))
            value = spec.default
            self._node.undeclare_parameter(spec.name)
            self._node.declare_parameter(spec.name, _ros_value(value), _descriptor(spec), ignore_override=True)
        if isinstance(value, tuple):  # an empty list has no type of its own, and would be shown as bytes
            self._node.set_parameters([Parameter(spec.name, Parameter.Type.STRING_ARRAY, list(value))])
        # only now, as rclpy raises for a value given at start that is outside the range, and keeps read-only ones
        self._node.set_descriptor(spec.name, _limited_descriptor(spec))
        return value

    def _warn_of_unknown_names(self) -> None:
        # rclpy ignores overrides of undeclared parameters silently and tells of them nowhere else.
        for name in getattr(self._node, "_parameter_overrides", {}):
            if name not in self._specs and not name.startswith(_FOREIGN_PREFIXES):
                self._node.get_logger().warning(unknown_parameter_hint(name, list(self._specs)))

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        changes: dict[str, ParameterValue] = {}
        for parameter in parameters:
            spec = self._specs.get(parameter.name)
            if spec is None:
                continue
            try:
                changes[spec.name] = spec.validate(parameter.value)
            except SettingError as error:
                return SetParametersResult(successful=False, reason=str(error))
            if spec.applies is Applies.AT_CONFIGURE and self._is_configured():
                return SetParametersResult(
                    successful=False,
                    reason=f"parameter '{spec.name}' is read when the node is configured: deactivate and clean it up "
                    "first, then set the parameter, configure and activate",
                )
        if changes:
            known = self._contradictions(self.values)
            proposed = self._contradictions(self._class(**(self._values | changes)))
            if new := [text for text in proposed if text not in known]:
                return SetParametersResult(successful=False, reason="; ".join(new))
        self._values |= changes
        for name in changes:
            self._faults.pop(name, None)
        if changes:
            self._on_change()
        return SetParametersResult(successful=True)


def _ros_value(value: ParameterValue) -> object:
    return list(value) if isinstance(value, tuple) else value


def _descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    # Without a fixed type rclpy leaves the type to us: it would raise for a wrong one given at start, and refuse `1`
    # where a number like `1.0` is meant.
    return ParameterDescriptor(
        description=spec.description, additional_constraints=spec.range_text, dynamic_typing=True
    )


def _limited_descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    """Add what rclpy enforces and tools show: the range, and whether the parameter is fixed."""
    descriptor = _descriptor(spec)
    descriptor.read_only = spec.applies is Applies.AT_START
    if spec.minimum is not None and isinstance(spec.default, float):
        upper = sys.float_info.max if spec.maximum is None else spec.maximum
        descriptor.floating_point_range = [FloatingPointRange(from_value=spec.minimum, to_value=upper)]
    elif spec.minimum is not None:
        upper = 2**31 - 1 if spec.maximum is None else spec.maximum
        descriptor.integer_range = [IntegerRange(from_value=int(spec.minimum), to_value=int(upper), step=1)]
    return descriptor
