"""What the masks' classes mean for driving: from label_info and the parameters that name groups, found once."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from vision_msgs.msg import LabelInfo

from fanet_ros.errors import FanetError, LabelSetError
from fanet_ros.ground.classes import kinds_of
from fanet_ros.model.labels import LabelSet, load_label_set, shipped_label_sets
from fanet_ros.parameters.drivable_area import DrivableAreaParameters
from fanet_ros.ros.ground.errors import NotReadyError
from fanet_ros.untrusted.text import printable

_Names = dict[int, str]
"""Class names by class id."""


class Meaning(NamedTuple):
    """What a mask's class ids mean.

    Attributes:
        kinds: uint8 (256,), see ground.classes.
        palette: RGB colours, uint8 (256, 3).
    """

    kinds: NDArray[np.uint8]
    palette: NDArray[np.uint8]


class GroundClasses:
    """Finds the meaning of class ids, and keeps it (or why there is none) until what it was found from changes.

    A mask comes thirty times a second: no file may be read for each.
    """

    def __init__(self) -> None:
        self._told: _Names | None = None
        self._found: Meaning | FanetError | None = None
        self._found_for: tuple[str, ...] = ()

    @property
    def are_told(self) -> bool:
        """Whether label_info has come."""
        return self._told is not None

    def set_label_info(self, message: LabelInfo) -> None:
        """Take over which class ids there are; one that says the same as before changes nothing."""
        told = {c.class_id: c.class_name for c in message.class_map}
        if told != self._told:
            self._told = told
            self.forget()

    def forget(self) -> None:
        """Find the meaning anew for the next mask: parameters were set, and the file they name may be another."""
        self._found = None

    def meaning(self, settings: DrivableAreaParameters) -> Meaning:
        """Return what the class ids mean; the same object while nothing changes.

        Raises:
            NotReadyError: no label_info yet.
            LabelSetError: no label set fits, or it lacks a group.
        """
        if self._told is None:
            raise NotReadyError("label_info", "which says what the masks' class ids mean")
        wanted = (settings.labels, *_groups(settings))
        if self._found is None or self._found_for != wanted:
            try:
                label_set = _label_set(settings.labels, self._told)
                self._found = Meaning(_kinds(label_set, settings), label_set.palette)
            except FanetError as error:
                self._found = error
            self._found_for = wanted
        if isinstance(self._found, FanetError):
            raise type(self._found)(str(self._found))  # a new one: an exception gathers a traceback each time
        return self._found

    def faults(self, settings: DrivableAreaParameters) -> list[str]:
        """Return why these labels and groups cannot work with the masks, as far as that is known; empty if they may."""
        try:
            if self._told is not None:
                candidates = [_label_set(settings.labels, self._told)]
            elif settings.labels:
                candidates = [load_label_set(settings.labels)]
            else:
                candidates = list(_shipped().values())
        except FanetError as error:
            return [str(error)]
        faults = []
        for label_set in candidates:
            try:
                _kinds(label_set, settings)
            except FanetError as error:
                faults.append(str(error))
        return faults if len(faults) == len(candidates) else []


def _groups(settings: DrivableAreaParameters) -> tuple[str, str, str]:
    return settings.drivable_group, settings.flat_group, settings.obstacle_group


def _kinds(label_set: LabelSet, settings: DrivableAreaParameters) -> NDArray[np.uint8]:
    drivable, flat, obstacle = _groups(settings)
    return kinds_of(label_set, drivable=drivable, flat=flat, obstacle=obstacle)


def _label_set(name: str, told: _Names) -> LabelSet:
    if name:
        label_set = load_label_set(name)
        if told != dict(enumerate(label_set.names)):
            raise LabelSetError(
                f"the masks have the classes {_listed(told)}, but label set '{label_set.name}' has "
                f"{', '.join(label_set.names)}; give both nodes the same labels"
            )
        return label_set
    for label_set in _shipped().values():
        if told == dict(enumerate(label_set.names)):
            return label_set
    raise LabelSetError(
        f"no shipped label set has the masks' classes ({_listed(told)}); set the parameter labels to the YAML file "
        "that the segmentation node uses"
    )


@functools.cache
def _shipped() -> dict[str, LabelSet]:
    return {name: load_label_set(name) for name in shipped_label_sets()}


def _listed(told: _Names) -> str:
    return printable(", ".join(told.values()))
