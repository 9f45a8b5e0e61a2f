"""The choice of the input size against simulated loads."""

import logging
import math
from collections.abc import Callable

import numpy as np
import pytest

from fanet_ros.scheduling.latency_budget import BUDGET_SCALES, LatencyBudget

WINDOW = 30
AFTER_BURST = 10 * WINDOW
QUIET = 40 * WINDOW

Machine = Callable[[float, int], tuple[float, float]]
"""Age of a frame and the network's part of it, by scale and frame number."""


@pytest.fixture(autouse=True)
def _log_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanet_ros")


def machine(fixed_ms: float, network_ms: float, load: Callable[[int], float] = lambda frame: 1.0) -> Machine:
    """Ages as a machine makes them: a fixed part, one in proportion to the input's area, and noise; times the load."""
    random = np.random.default_rng(8)

    def times(scale: float, frame: int) -> tuple[float, float]:
        factor = load(frame) * float(random.uniform(0.95, 1.05))
        return (fixed_ms + network_ms * scale**2) * factor, network_ms * scale**2 * factor

    return times


def run(budget: LatencyBudget, times: Machine, frames: int, first: int = 0) -> dict[int, tuple[float, float]]:
    """Play frames of one camera; return the old and new scale of each change by frame number."""
    changes = {}
    for frame in range(first, first + frames):
        old = budget.scale
        budget.add("", *times(old, frame))
        if budget.scale != old:
            changes[frame] = (old, budget.scale)
    return changes


def test_without_a_budget_the_full_size_stays() -> None:
    budget = LatencyBudget(0.0)
    assert run(budget, machine(1e6, 1e6), 200) == {}
    assert budget.scales == (1.0,) and not budget.is_missed and math.isnan(budget.p95_ms)


def test_a_fast_machine_stays_at_the_full_size() -> None:
    budget = LatencyBudget(100)
    assert budget.scales == BUDGET_SCALES
    assert budget.scale == 1.0 and math.isnan(budget.p95_ms)
    assert run(budget, machine(10, 50), 29) == {} and math.isnan(budget.p95_ms)
    assert run(budget, machine(10, 50), 3000) == {}
    assert budget.scale == 1.0 and budget.p95_ms == pytest.approx(62, abs=2)


@pytest.mark.parametrize(("network_ms", "scale"), [(120, 0.8), (180, 0.64), (300, 0.5)])
def test_finds_the_largest_size_that_fits(network_ms: float, scale: float, caplog: pytest.LogCaptureFixture) -> None:
    """And stays there: under a constant load the larger size is not tried."""
    budget = LatencyBudget(100)
    times = machine(10, network_ms)
    run(budget, times, 10 * WINDOW)
    assert budget.scale == scale
    assert caplog.messages and all("the budget is 100 ms" in message for message in caplog.messages)
    assert run(budget, times, 200 * WINDOW) == {}
    assert budget.p95_ms <= 100 and not budget.is_missed


def test_far_above_the_budget_sizes_are_skipped(caplog: pytest.LogCaptureFixture) -> None:
    assert run(LatencyBudget(100), machine(5, 300), WINDOW) == {WINDOW - 1: (1.0, 0.5)}
    assert caplog.messages[0].startswith("the input scale goes from 1 to 0.5: 95 % of the frames were up to 3")


def test_a_load_that_comes_and_goes_is_followed() -> None:
    budget = LatencyBudget(100)
    times = machine(10, 60, lambda frame: 2.5 if 1000 <= frame < 3000 else 1.0)
    changes = run(budget, times, 3000)
    assert 1000 <= min(changes) < 1000 + 2 * WINDOW, "it reacts within a window or two"
    assert budget.scale < 1.0 and budget.p95_ms <= 100
    recovery = run(budget, times, 1500, first=3000)
    assert budget.scale == 1.0
    assert all(new > old for old, new in recovery.values())
    assert max(recovery) - 3000 < 5 * WINDOW, "the last step down was long ago"
    assert run(budget, times, 3000, first=4500) == {}


def test_after_one_burst_the_full_size_is_back_soon() -> None:
    budget = LatencyBudget(100)
    times = machine(10, 60, lambda frame: 2.5 if frame < WINDOW else 1.0)
    changes = run(budget, times, 2 * QUIET)
    down, up, *_ = changes
    assert down == WINDOW - 1 and AFTER_BURST <= up - down <= AFTER_BURST + WINDOW
    assert budget.scale == 1.0 and max(changes) < down + AFTER_BURST + 5 * WINDOW


def test_a_step_up_that_was_taken_back_is_tried_again_after_a_long_quiet_time() -> None:
    """And one that held makes the next burst one like the first."""
    budget = LatencyBudget(100)
    bursts = (range(WINDOW), range(400, 400 + 3 * WINDOW), range(4000, 4000 + WINDOW))
    times = machine(10, 60, lambda frame: 2.5 if any(frame in burst for burst in bursts) else 1.0)
    changes = run(budget, times, 6000)
    downs = [frame for frame, (old, new) in changes.items() if new < old]
    assert downs[1] < 500 and downs[-1] >= 4000
    ups = [frame for frame, (old, new) in changes.items() if new > old]
    last_of_second = max(down for down in downs if down < 1000)
    assert min(up for up in ups if up > last_of_second) - last_of_second >= QUIET
    assert min(up for up in ups if up > downs[-1]) - downs[-1] <= AFTER_BURST + WINDOW


def test_tries_that_fail_against_expectation_keep_within_the_share_that_may_be_late() -> None:
    """As where the full size cannot keep the camera's rate: a cliff that no proportion foretells."""
    budget = LatencyBudget(100)
    noise = np.random.default_rng(2)
    late = 0

    def times(scale: float, frame: int) -> tuple[float, float]:
        nonlocal late
        age = (150 if scale == 1 else 30) * float(noise.uniform(0.9, 1.1))
        late += age > 100
        return age, age

    frames = 600 * WINDOW
    tries = [frame for frame, (_, new) in run(budget, times, frames).items() if new == 1.0]
    assert len(tries) > 3 and np.diff(tries).min() > QUIET
    assert late < 0.03 * frames


def test_a_fixed_cost_does_not_keep_it_small() -> None:
    """The whole age in proportion to the area would foretell 120 ms at the full size, where 94 are true."""
    budget = LatencyBudget(120)
    times = machine(45, 45, lambda frame: 1.45 if frame < 300 else 1.0)
    run(budget, times, 300)
    assert budget.scale == 0.8
    run(budget, times, 40 * WINDOW, first=300)
    assert budget.scale == 1.0


def test_too_slow_at_the_smallest_size_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    budget = LatencyBudget(100)
    slow = machine(120, 10)
    run(budget, slow, 100 * WINDOW)
    assert budget.scale == 0.5 and budget.is_missed and budget.p95_ms > 100
    assert caplog.messages[-1].startswith("the input scale stays at 0.5: 95 % of the frames were up to 1")
    assert caplog.text.count("and there is no smaller size") == 1
    run(budget, machine(1, 10), WINDOW)
    assert budget.scale > 0.5 and not budget.is_missed
    run(budget, slow, 3 * WINDOW)
    assert caplog.text.count("and there is no smaller size") == 2, "another time is another message"


def test_a_change_is_judged_by_frames_of_its_own() -> None:
    """Ages of the size before, and of frames that waited for it, are not held against the new one."""
    budget = LatencyBudget(100)
    assert run(budget, lambda scale, frame: (110, 110), WINDOW) == {WINDOW - 1: (1.0, 0.8)}
    assert math.isnan(budget.p95_ms)
    assert run(budget, lambda scale, frame: (500, 500), 3) == {}
    assert run(budget, lambda scale, frame: (70, 70), WINDOW) == {}
    assert budget.p95_ms == 70


def test_ages_that_are_unknown_do_not_count() -> None:
    budget = LatencyBudget(100)
    assert run(budget, lambda scale, frame: (500, 100) if frame % 2 else (math.nan, 100), 2 * WINDOW - 1) == {}
    assert math.isnan(budget.p95_ms)
    assert run(budget, lambda scale, frame: (500, 100), 1) != {}


def test_the_worst_camera_decides_even_if_it_sends_less() -> None:
    budget = LatencyBudget(50)
    for number in range(1000):
        budget.add("fast", 20.0, 20.0)
        if number % 10 == 0:
            age = 90.0 * budget.scale**2  # 90, 58, 37, 23 ms
            budget.add("slow", age, age)
    assert budget.scale == 0.64
    assert budget.p95_ms == pytest.approx(90 * 0.64**2)


def test_rare_frames_of_one_camera_weigh_no_more_than_they_are() -> None:
    budget = LatencyBudget(50)
    for number in range(3000):
        budget.add("fast", 20.0, 20.0)
        if number % 10 == 0:
            age = 90.0 if number % 400 == 0 else 30.0  # one in forty: within the 5 % that may be late
            budget.add("slow", age, age)
    assert budget.scale == 1.0


def test_a_camera_that_is_gone_is_not_waited_for() -> None:
    budget = LatencyBudget(50)
    budget.add("gone", 20.0, 20.0)
    run(budget, lambda scale, frame: (80.0 * scale, 80.0 * scale), 300)
    assert budget.scale < 1.0
