import math

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from diagnostic_msgs.msg import DiagnosticStatus

from fanet_ros.backends import BackendInfo
from fanet_ros.parameters.segmentation import SegmentationParameters
from fanet_ros.ros.diagnostics import Status
from fanet_ros.ros.segmentation.diagnostics import Activity, CameraActivity, Diagnostics
from fanet_ros.ros.segmentation.frame_statistics import FrameStatistics, StageTimes
from fanet_ros.scheduling.latency_budget import LatencyBudget

pytestmark = pytest.mark.ros
INFO = BackendInfo("torch", "cpu", "fp32", "a reason")
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class FakeClock:
    """A steady clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = FakeClock()


def camera(statistics: FrameStatistics, name: str = "", *, silence: str = "", wanted: bool = True) -> CameraActivity:
    return CameraActivity(name, statistics, "/camera/image_raw", 1, silence, wanted)


def activity(
    statistics: FrameStatistics | None, *, silence: str = "", wanted: bool = True, standstill: bool = False
) -> Activity:
    if statistics is None:
        return Activity("inactive", standstill, INFO)
    return Activity("active", standstill, INFO, (camera(statistics, silence=silence, wanted=wanted),))


def report(
    diagnostics: Diagnostics, second: int, now: Activity, faults: tuple[str, ...] = (), **settings: float
) -> dict[str, Status]:
    CLOCK.now = float(second)
    return {status.part: status for status in diagnostics.report(faults, now, SegmentationParameters(**settings))}


def values(status: Status) -> dict[str, str]:
    return {key: str(value) for key, value in status.values.items()}


def frames(statistics: FrameStatistics, count: int, age: float = 20.0) -> None:
    for _ in range(count):
        statistics.count_received()
        statistics.count_processed(StageTimes(1.0, 0.5, 15.0, 1.0, age))


def test_healthy_node() -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    report(diagnostics, 10, activity(statistics))
    frames(statistics, 30)
    status = report(diagnostics, 11, activity(statistics))
    assert set(status) == {"node", "input", "inference"}
    assert {s.level for s in status.values()} == {OK}
    assert values(status["node"])["chosen because"] == "a reason"
    assert values(status["input"])["rate (Hz)"] == "30.0"
    inference = values(status["inference"])
    assert (inference["rate (Hz)"], inference["inference median (ms)"]) == ("30.0", "15.0")
    assert inference["age p95 (ms)"] == "20.0"


def test_faults_are_errors_and_leave_no_other_claims() -> None:
    now = Activity("unconfigured", False, None)
    status = report(Diagnostics(CLOCK), 1, now, ("cannot configure: no weights",))
    assert list(status) == ["node"]
    assert (status["node"].level, status["node"].message) == (ERROR, "cannot configure: no weights")
    assert report(Diagnostics(CLOCK), 1, now)["node"].message == "unconfigured"


def test_inactive_node_claims_nothing_about_frames() -> None:
    status = report(Diagnostics(CLOCK), 1, activity(None))
    assert [(s.part, s.message) for s in status.values()] == [("node", "inactive")]


def test_a_silent_camera_is_an_error_with_the_reason() -> None:
    statistics = FrameStatistics()
    waiting = report(Diagnostics(CLOCK), 1, activity(statistics))["input"]
    assert (waiting.level, waiting.message) == (OK, "waiting for the first image on /camera/image_raw")
    silent = report(Diagnostics(CLOCK), 1, activity(statistics, silence="no image: nobody publishes it"))
    assert (silent["input"].level, silent["input"].message) == (ERROR, "no image: nobody publishes it")


def test_each_camera_has_statuses_of_its_own() -> None:
    diagnostics, front, left = Diagnostics(CLOCK), FrameStatistics(), FrameStatistics()

    def now() -> Activity:
        cameras = (camera(front, "front"), camera(left, "left", silence="no image on /left/image"))
        return Activity("active", False, INFO, cameras, batching="batches of 2")

    report(diagnostics, 1, now())
    frames(front, 10)
    status = report(diagnostics, 2, now())
    assert list(status) == [
        "node",
        *(f"{c}: {part}" for c in ("front", "left") for part in ("input", "inference")),
    ]
    assert [values(status[f"{c}: inference"])["rate (Hz)"] for c in ("front", "left")] == ["10.0", "0.0"]
    assert (status["front: input"].level, status["left: input"].level) == (OK, ERROR)
    assert values(status["node"])["batching"] == "batches of 2"


@pytest.mark.parametrize(
    ("ages", "scale", "level"), [((48.0, 48.0), 0.5, WARN), ((48.0, 29.0), 0.5, OK), ((29.0, 29.0), 1.0, OK)]
)
def test_a_budget_that_no_size_keeps_is_a_warning(ages: tuple[float, float], scale: float, level: bytes) -> None:
    budget = LatencyBudget(30.0)
    for age in ages:
        for _ in range(300):
            budget.add("", age, 0.0)
    now = Activity("active", False, INFO, (camera(FrameStatistics()),), budget=budget)
    status = report(Diagnostics(CLOCK), 1, now)["node"]
    assert status.level == level
    assert ("p95 of the age is 48 ms, above latency_budget_ms (30)" in status.message) == (level == WARN)
    assert values(status)["input scale"] == f"{scale:g}"
    assert values(status)["age p95 of the worst camera (ms)"] == f"{ages[-1]:.1f}"


def test_without_a_budget_there_is_no_word_of_it() -> None:
    now = Activity("active", False, INFO, (camera(FrameStatistics()),), budget=LatencyBudget(0.0))
    assert "latency budget (ms)" not in values(report(Diagnostics(CLOCK), 1, now)["node"])


def test_unusable_images_warn_while_they_come() -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    report(diagnostics, 1, activity(statistics))
    statistics.count_received()
    statistics.count_rejected("step", "step of 3 bytes, expected 18")
    status = report(diagnostics, 2, activity(statistics))["input"]
    assert (status.level, status.message) == (WARN, "1 unusable images: step of 3 bytes, expected 18")
    assert values(status)["rejected: step"] == "1"
    assert report(diagnostics, 3, activity(statistics))["input"].level == OK


@pytest.mark.parametrize(
    ("age", "settings", "text"),
    [
        (20.0, {"min_rate_hz": 25.0}, "10.0 masks per second, fewer than min_rate_hz (25)"),
        (900.0, {}, "median age 900 ms, above max_latency_ms (500)"),
        (math.nan, {}, "images carry no stamp"),
        (-5e9, {}, "stamps lie in the future: camera and node use different clocks"),
    ],
)
def test_rate_and_latency_outside_their_band_warn(age: float, settings: dict[str, float], text: str) -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    report(diagnostics, 1, activity(statistics), **settings)
    frames(statistics, 10, age)
    status = report(diagnostics, 2, activity(statistics), **settings)["inference"]
    assert status.level == WARN
    assert text in status.message


def test_idle_node_does_not_warn_of_its_rate() -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    report(diagnostics, 1, activity(statistics))
    statistics.count_received()
    statistics.count_skipped()
    status = report(diagnostics, 2, activity(statistics, wanted=False))["inference"]
    assert (status.level, status.message) == (OK, "idle: nobody subscribes")


def test_a_new_activation_counts_from_zero() -> None:
    diagnostics, first = Diagnostics(CLOCK), FrameStatistics()
    report(diagnostics, 1, activity(first))
    frames(first, 5)
    report(diagnostics, 2, activity(first))
    second = FrameStatistics()  # by the next report it has seen more frames than the first activation
    frames(second, 8)
    second.count_received()
    second.count_rejected("step", "a bad step")
    status = report(diagnostics, 3, activity(second))
    assert values(status["input"])["rate (Hz)"] == "unknown yet"
    assert status["input"].message == "1 unusable images: a bad step"
    frames(second, 5)
    assert values(report(diagnostics, 4, activity(second))["input"])["rate (Hz)"] == "5.0"


def test_one_slow_camera_does_not_flap() -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    report(diagnostics, 1, activity(statistics))
    frames(statistics, 1)
    assert report(diagnostics, 2, activity(statistics), min_rate_hz=1.02)["inference"].level == OK


def test_simulated_time_without_a_clock_is_a_warning() -> None:
    status = report(Diagnostics(CLOCK), 0, activity(FrameStatistics(), standstill=True))["node"]
    assert status.level == WARN
    assert "nothing publishes /clock" in status.message


def test_a_finalized_node_says_so() -> None:
    now = Activity("finalized", False, None)
    assert report(Diagnostics(CLOCK), 1, now)["node"].message == "finalized"
