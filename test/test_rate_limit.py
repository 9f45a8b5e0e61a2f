import numpy as np
import pytest

from fanet_ros.scheduling.rate_limit import RateLimit


def passed(max_rate_hz: float, arrivals: list[float]) -> list[float]:
    limit = RateLimit(max_rate_hz)
    return [now for now in arrivals if limit.lets_pass(now)]


def camera(rate_hz: float, seconds: float = 20.0, jitter_s: float = 0.0, seed: int = 0) -> list[float]:
    count = round(rate_hz * seconds)
    jitter = np.random.default_rng(seed).uniform(-jitter_s, jitter_s, count)
    return sorted((100 + np.arange(count) / rate_hz + jitter).tolist())


@pytest.mark.parametrize("jitter_s", [0.0, 0.004, 0.01])
@pytest.mark.parametrize(
    ("camera_hz", "max_rate_hz", "expected_hz"),
    [(30, 10, 10), (30, 15, 15), (30, 20, 20), (30, 29, 29), (30, 30, 30), (15, 20, 15), (30, 0.5, 0.5), (60, 7, 7)],
)
def test_the_rate_is_the_limit_or_the_cameras(
    camera_hz: float, max_rate_hz: float, expected_hz: float, jitter_s: float
) -> None:
    taken = passed(max_rate_hz, camera(camera_hz, jitter_s=jitter_s))
    assert len(taken) / 20 == pytest.approx(expected_hz, rel=0.03, abs=0.06)


@pytest.mark.parametrize("jitter_s", [0.0, 0.004, 0.01])
def test_a_rate_that_divides_the_cameras_has_its_rhythm(jitter_s: float) -> None:
    frames = camera(30, jitter_s=jitter_s)
    taken = [frames.index(now) for now in passed(10, frames)]
    steps = np.diff(taken[3:])  # the rhythm of the camera is learnt first
    assert (steps == 3).mean() > 0.97


def test_a_burst_passes_once_and_a_pause_is_not_made_up_for() -> None:
    frames = [*camera(30, 2.0), *(150.0 + 0.0001 * number for number in range(20)), *(t + 60 for t in camera(30, 2.0))]
    taken = passed(10, frames)
    assert sum(149 < now < 151 for now in taken) <= 2
    assert len([now for now in taken if now > 155]) == pytest.approx(20, abs=1)


def test_no_limit_lets_all_pass_and_a_change_holds_at_once() -> None:
    limit, frames = RateLimit(0.0), camera(30, 3.0)
    assert all(limit.lets_pass(now) for now in frames[:30])
    limit.max_rate_hz = 0.1
    assert sum(limit.lets_pass(now) for now in frames[30:60]) == 1
    limit.max_rate_hz = 10.0
    assert sum(limit.lets_pass(now) for now in frames[60:]) == pytest.approx(10, abs=1), "not after ten seconds only"


def test_the_first_frame_of_an_activation_passes() -> None:
    limit = RateLimit(0.01)
    assert limit.lets_pass(100.0) and not limit.lets_pass(101.0)
    limit.reset()
    assert limit.lets_pass(102.0) and not limit.lets_pass(103.0)
