"""The controller of the input size against simulated loads."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from fanet_ros.errors import SettingError
from fanet_ros.scheduling.latency_budget import Change, LatencyBudget

SCALES = (1.0, 0.8, 0.64, 0.5)
WINDOW = 30

Ages = Callable[[float, int], float]


def machine(fixed_ms: float, network_ms: float, load: Callable[[int], float] = lambda frame: 1.0) -> Ages:
    """Ages as a machine makes them: a fixed part, one in proportion to the input's area, and noise; times the load."""
    random = np.random.default_rng(8)

    def age(scale: float, frame: int) -> float:
        return (fixed_ms + network_ms * scale**2) * load(frame) * float(random.uniform(0.95, 1.05))

    return age


def run(budget: LatencyBudget, age: Ages, frames: int, first: int = 0) -> dict[int, Change]:
    """Play frames; return the changes by frame number."""
    changes = {}
    for frame in range(first, first + frames):
        change = budget.add(age(budget.scale, frame))
        if change is not None:
            changes[frame] = change
    return changes


def test_a_fast_machine_stays_at_the_full_size() -> None:
    budget = LatencyBudget(100, SCALES)
    assert budget.scale == 1.0 and math.isnan(budget.p95_ms)
    assert run(budget, machine(10, 50), 29) == {} and math.isnan(budget.p95_ms)
    assert run(budget, machine(10, 50), 3000) == {}
    assert budget.scale == 1.0 and budget.p95_ms == pytest.approx(62, abs=2)


@pytest.mark.parametrize(("network_ms", "scale"), [(120, 0.8), (180, 0.64), (300, 0.5)])
def test_finds_the_largest_size_that_fits(network_ms: float, scale: float) -> None:
    """And stays there: under a constant load the larger size is not tried, or ever more rarely."""
    budget = LatencyBudget(100, SCALES)
    age = machine(10, network_ms)
    begin = run(budget, age, 10 * WINDOW)
    assert budget.scale == scale
    assert all("the budget is 100 ms" in str(change) for change in begin.values())
    assert run(budget, age, 200 * WINDOW) == {}
    assert budget.p95_ms <= 100


def test_far_above_the_budget_sizes_are_skipped() -> None:
    budget = LatencyBudget(100, SCALES)
    changes = run(budget, machine(5, 300), WINDOW)
    assert [(change.old, change.new) for change in changes.values()] == [(1.0, 0.5)]
    assert str(changes[WINDOW - 1]).startswith("the input scale goes from 1 to 0.5: 95 % of the frames were up to 3")


def test_a_load_that_comes_and_goes_is_followed() -> None:
    budget = LatencyBudget(100, SCALES)
    age = machine(10, 60, lambda frame: 2.5 if 1000 <= frame < 3000 else 1.0)
    changes = run(budget, age, 3000)
    assert 1000 <= min(changes) < 1000 + 2 * WINDOW, "it reacts within a window or two"
    assert budget.scale < 1.0 and budget.p95_ms <= 100
    recovery = run(budget, age, 1500, first=3000)
    assert [change.new for change in recovery.values()][-1] == 1.0 == budget.scale
    assert all(change.new > change.old for change in recovery.values())
    assert max(recovery) - 3000 < 30 * WINDOW
    assert run(budget, age, 3000, first=4500) == {}


def test_a_size_that_fails_against_expectation_is_tried_ever_more_rarely() -> None:
    """As where the full size cannot keep the camera's rate: a cliff that no proportion foretells."""
    budget = LatencyBudget(100, SCALES)
    noise = np.random.default_rng(2)
    changes = run(
        budget, lambda scale, frame: (150 if scale == 1 else 30) * float(noise.uniform(0.9, 1.1)), 600 * WINDOW
    )
    tries = [frame for frame, change in changes.items() if change.new == 1.0]
    pauses = np.diff(tries) / WINDOW
    assert 3 <= len(tries) <= 10
    assert all(later > 1.5 * earlier for earlier, later in zip(pauses[:3], pauses[1:4], strict=True))
    assert pauses[-1] > 100 and budget.scale == 0.8


def test_a_fixed_cost_does_not_keep_it_small() -> None:
    """The area alone would foretell 120 ms at the full size, where 94 are true."""
    budget = LatencyBudget(120, SCALES)
    age = machine(45, 45, lambda frame: 1.45 if frame < 300 else 1.0)
    run(budget, age, 300)
    assert budget.scale == 0.8
    run(budget, age, 40 * WINDOW, first=300)
    assert budget.scale == 1.0


def test_too_slow_at_the_smallest_size_is_said_once() -> None:
    budget = LatencyBudget(100, SCALES)
    slow = machine(120, 10)
    changes = list(run(budget, slow, 100 * WINDOW).values())
    assert budget.scale == 0.5 and budget.p95_ms > 100
    assert changes[-1].old == changes[-1].new == 0.5
    assert str(changes[-1]).startswith("the input scale stays at 0.5") and "no smaller size" in str(changes[-1])
    assert [change.old for change in changes].count(0.5) == 1
    run(budget, machine(1, 10), WINDOW)
    assert budget.p95_ms < 100
    again = run(budget, slow, WINDOW)
    assert "no smaller size" in str(list(again.values())[-1]), "another time is another message"


def test_a_change_is_judged_by_frames_of_its_own() -> None:
    """Ages of the size before, and of frames that waited for it, are not held against the new one."""
    budget = LatencyBudget(100, SCALES)
    changes = [budget.add(110) for _ in range(WINDOW)]
    assert changes[-1] is not None and budget.scale == 0.8 and math.isnan(budget.p95_ms)
    assert [budget.add(500) for _ in range(3)] == [None] * 3
    assert [budget.add(70) for _ in range(WINDOW)] == [None] * WINDOW
    assert budget.p95_ms == 70


def test_ages_that_are_unknown_do_not_count() -> None:
    budget = LatencyBudget(100, SCALES, window=5)
    for _ in range(4):
        assert budget.add(500) is None and budget.add(math.nan) is None
    assert math.isnan(budget.p95_ms)
    assert budget.add(500) is not None


def test_one_size_has_nothing_to_choose() -> None:
    budget = LatencyBudget(100, [1.0])
    assert [change.new for change in run(budget, machine(10, 200), 1000).values()] == [1.0]
    assert budget.scale == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, SCALES), "budget_ms: received 0.0, expected milliseconds above 0"),
        ((math.nan, SCALES), "budget_ms: received nan"),
        ((100.0, ()), r"scales: received \(\)"),
        ((100.0, (1.0, 1.5)), r"scales: received \(1.0, 1.5\), expected numbers above 0 and up to 1"),
    ],
)
def test_wrong_settings_are_refused(arguments: tuple[float, tuple[float, ...]], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        LatencyBudget(*arguments)
    with pytest.raises(SettingError, match="window: received 1"):
        LatencyBudget(100, SCALES, window=1)
