"""Masks that wait for a measurement, and when that is too long."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from fanet_ros.measured.pairing import Match
from fanet_ros.ros.ground import pending
from fanet_ros.ros.ground.classes import Meaning
from fanet_ros.ros.ground.pending import PendingMask, PendingMasks

pytestmark = pytest.mark.ros

_COMING: Match[Image] = Match(None, float("nan"), is_final=False)
_FOUND: Match[Image] = Match(Image(), 0.0, is_final=True)


def _mask(sec: int) -> PendingMask:
    meaning = Meaning(np.zeros(256, np.uint8), np.zeros((256, 3), np.uint8))
    return PendingMask(Header(stamp=Time(sec=sec)), np.zeros((2, 2), np.uint8), meaning, 0.0)


def test_late_is_counted_from_the_first_mask_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(pending, "monotonic", lambda: now)
    masks = PendingMasks()
    now += 60  # the camera starts a minute after the node
    assert not list(masks.take(_mask(1), lambda _: _COMING)) and not masks.is_late(2.0)
    now += 1
    assert len(list(masks.take(None, lambda _: _FOUND))) == 1
    now += 60  # and pauses
    assert not list(masks.take(_mask(2), lambda _: _COMING)) and not masks.is_late(2.0)
    for sec in range(3, 6):
        now += 1
        assert not list(masks.take(_mask(sec), lambda _: _COMING))
    assert masks.is_late(2.0) and masks.unpaired == 3
