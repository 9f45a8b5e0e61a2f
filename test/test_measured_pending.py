"""Masks that wait for a measurement, and when that is too long."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from fanet_ros.measured.pairing import Match, Recent
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
    assert masks.is_late(2.0) and masks.unpaired == 0


def _seen_with_depth_late_by(masks: int) -> list[tuple[int, int]]:
    """Stamps of masks and of the measurements they were given, where each measurement comes some masks later."""
    recent: Recent[Image] = Recent()
    pending_masks, found = PendingMasks(), []

    def take(mask: PendingMask | None) -> None:
        for seen, message in pending_masks.take(mask, lambda stamp: recent.nearest(stamp.sec, 0.4)):
            found.append((seen.header.stamp.sec, message.header.stamp.sec))

    for sec in range(1, 31):
        take(_mask(sec))
        if sec > masks:
            recent.add(sec - masks, Image(header=Header(stamp=Time(sec=sec - masks))))
            take(None)
    assert len(found) + pending_masks.unpaired <= 30
    return found


@pytest.mark.parametrize("masks", [0, 1, 3, 7])
def test_a_measurement_that_is_later_than_the_next_masks_finds_its_own(masks: int) -> None:
    assert _seen_with_depth_late_by(masks) == [(sec, sec) for sec in range(1, 31 - masks)]


def test_masks_are_not_kept_for_ever() -> None:
    assert _seen_with_depth_late_by(20) == []


def test_of_several_masks_that_one_measurement_settles_the_newest_is_taken() -> None:
    pending_masks = PendingMasks()
    for sec in (1, 2, 3):
        assert not list(pending_masks.take(_mask(sec), lambda _: _COMING))
    assert [seen.header.stamp.sec for seen, _ in pending_masks.take(None, lambda _: _FOUND)] == [3]
    assert pending_masks.unpaired == 2 and not list(pending_masks.take(None, lambda _: _FOUND))
