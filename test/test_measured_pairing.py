"""Masks and measurements of the same moment find each other."""

from __future__ import annotations

import math

from fanet_ros.measured.pairing import Recent


def _recent(*stamps: float) -> Recent[float]:
    recent: Recent[float] = Recent()
    for stamp in stamps:
        recent.add(stamp, stamp)
    return recent


def test_equal_stamps_pair_at_once() -> None:
    match = _recent(1.0, 1.1, 1.2).nearest(1.1, 0.05)
    assert match.item == 1.1 and match.offset_s == 0 and match.is_final


def test_the_nearest_is_taken_once_none_nearer_can_come() -> None:
    early = _recent(0.98).nearest(1.0, 0.05)
    assert early.item == 0.98 and not early.is_final  # 1.01 may be on its way
    assert _recent(0.98, 1.01).nearest(1.0, 0.05).item == 1.01
    assert _recent(0.98, 1.03).nearest(1.0, 0.05).item == 0.98
    assert _recent(0.98, 1.03).nearest(1.0, 0.05).is_final


def test_beyond_the_tolerance_there_is_no_pair_and_it_is_waited_while_one_may_come() -> None:
    late = _recent(0.8).nearest(1.0, 0.05)
    assert late.item is None and not late.is_final and math.isclose(late.offset_s, -0.2)
    gone = _recent(0.8, 1.2).nearest(1.0, 0.05)
    assert gone.item is None and gone.is_final


def test_nothing_is_waited_for() -> None:
    match = _recent().nearest(1.0, 0.05)
    assert match.item is None and math.isnan(match.offset_s) and not match.is_final


def test_the_past_is_forgotten_when_the_clock_is_set_back() -> None:
    recent = _recent(100.0, 100.1, 5.0)
    assert recent.newest_s == 5.0
    assert recent.nearest(100.0, 0.05).item is None


def test_huge_measurements_leave_fewer() -> None:
    recent: Recent[float] = Recent()
    for stamp in (1.0, 1.1, 1.2):
        recent.add(stamp, stamp, 200 << 20)
    assert recent.nearest(1.1, 0.05).item is None and recent.nearest(1.2, 0.05).item == 1.2


def test_memory_is_bounded() -> None:
    recent = _recent(*(0.1 * index for index in range(1000)))
    assert recent.nearest(0.0, 0.05).item is None
