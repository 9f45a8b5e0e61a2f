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
from fanet_ros.scheduling.rate_limit import RateLimit

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
        (6e12, {}, "stamps are 190 years old on arrival: camera and node use different clocks"),
        (9e6, {}, "stamps are 2 hours old on arrival: camera and node use different clocks"),
    ],
)
def test_rate_and_latency_outside_their_band_warn(age: float, settings: dict[str, float], text: str) -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    for second in range(3):  # the first images came somewhere within a second, so that one is not judged
        status = report(diagnostics, second, activity(statistics), **settings)["inference"]
        frames(statistics, 10, age)
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


def levels_at(made_hz: float, min_rate_hz: float, jitter_s: float, seconds: int = 40) -> list[bytes]:
    """Return the levels of inference, report by report, for a camera whose images all become masks at that rate."""
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    found, made = [], 0
    for second in range(seconds):
        now = second + (jitter_s if second % 2 else 0.0)
        frames(statistics, int(now * made_hz) - made)
        made = int(now * made_hz)
        CLOCK.now = now
        settings = SegmentationParameters(min_rate_hz=min_rate_hz)
        found.append(diagnostics.report((), activity(statistics), settings)[2].level)
    return found


@pytest.mark.parametrize("jitter_s", [0.0, 0.004, -0.004])
@pytest.mark.parametrize("min_rate_hz", [0.5, 1.0, 4.0, 25.0])
def test_the_lowest_rate_is_an_edge_that_jitter_does_not_move(min_rate_hz: float, jitter_s: float) -> None:
    assert set(levels_at(min_rate_hz, min_rate_hz, jitter_s)) == {OK}
    assert set(levels_at(1.3 * min_rate_hz, min_rate_hz, jitter_s)) == {OK}
    too_slow = levels_at(0.7 * min_rate_hz, min_rate_hz, jitter_s)
    assert set(too_slow[-5:]) == {WARN}
    assert too_slow.count(WARN) == len(too_slow) - too_slow.index(WARN), "once it warns it does not flap"


@pytest.mark.parametrize("interval_s", [0.9, 0.999, 1.0, 1.001, 1.1])
def test_no_masks_at_all_never_keep_up(interval_s: float) -> None:
    """Whatever the timer does: with the usual least rate, 1 Hz, none in a second is too few."""
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    found = []
    for number in range(5):
        CLOCK.now = number * interval_s
        found.append(diagnostics.report((), activity(statistics), SegmentationParameters())[2])
        for _ in range(30):
            statistics.count_received()
            statistics.count_dropped()
    assert [status.message for status in found[:2]] == ["idle: no input", "waiting for the first mask"]
    expected = [OK, OK, WARN, WARN, WARN] if interval_s > 0.95 else [OK, OK, OK, WARN, WARN]
    assert [status.level for status in found] == expected
    assert found[-1].message.startswith("no mask of 90 images in")


def test_half_a_second_without_data_is_no_slow_network() -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    found = []
    for second, count in enumerate((0, 14, 30, 30, 15, 30, 30)):  # it begins, and once pauses, in mid-second
        frames(statistics, count)
        found.append(report(diagnostics, second, activity(statistics), min_rate_hz=20.0)["inference"].level)
    assert set(found) == {OK}


def test_a_subscriber_that_comes_late_or_a_camera_that_returns_begins_anew() -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    settings = {"min_rate_hz": 20.0}
    for second in range(5):
        for _ in range(30):
            statistics.count_received()
            statistics.count_skipped()
        assert report(diagnostics, second, activity(statistics, wanted=False))["inference"].level == OK
    frames(statistics, 3)  # the subscriber came just before the report
    assert report(diagnostics, 5, activity(statistics), **settings)["inference"].level == OK
    frames(statistics, 30)
    assert report(diagnostics, 6, activity(statistics), **settings)["inference"].message == "keeps up"
    silent = report(diagnostics, 9, activity(statistics, silence="no image"), **settings)["inference"]
    assert (silent.level, silent.message) == (OK, "idle: no input")
    frames(statistics, 3)
    assert report(diagnostics, 10, activity(statistics), **settings)["inference"].level == OK


@pytest.mark.parametrize(("masks", "level"), [(0, ERROR), (5, WARN)])
def test_a_network_that_fails_is_not_called_an_unusable_image(masks: int, level: bytes) -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    report(diagnostics, 1, activity(statistics))
    frames(statistics, masks)
    for _ in range(4):
        statistics.count_received()
        statistics.count_rejected("inference", "frame lost: InferenceError: not finite")
    status = report(diagnostics, 2, activity(statistics))
    assert (status["input"].level, status["input"].message) == (OK, "images arrive")
    assert values(status["input"])["rejected"] == "0" and "last rejection" not in values(status["input"])
    text = "the network failed on 4 frames: frame lost: InferenceError: not finite"
    assert (status["inference"].level, status["inference"].message) == (level, text)
    assert values(status["inference"])["failed"] == "4"


def test_unusable_images_are_not_called_a_network_that_keeps_up_or_is_slow() -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    for second in range(6):
        status = report(diagnostics, second, activity(statistics), min_rate_hz=20.0)
        for _ in range(30):
            statistics.count_received()
            statistics.count_rejected("step", "a bad step")
    assert (status["input"].level, status["input"].message) == (WARN, "30 unusable images: a bad step")
    assert (status["inference"].level, status["inference"].message) == (OK, "idle: no usable image")


def test_while_the_network_is_built_no_rate_is_judged() -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    for second in range(6):
        now = Activity("active", False, INFO, (camera(statistics),), building="building the network for 9 s")
        status = report(diagnostics, second, now)
        for _ in range(30):
            statistics.count_received()
            statistics.count_dropped()
    assert (status["inference"].level, status["inference"].message) == (OK, "waits: building the network for 9 s")
    assert status["node"].level == WARN


def test_an_age_by_another_clock_is_not_shown_as_a_latency() -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    frames(statistics, 10, 6e12)
    shown = values(report(diagnostics, 1, activity(statistics))["inference"])
    assert (shown["age median (ms)"], shown["age p95 (ms)"]) == ("unknown", "unknown")


def test_simulated_time_without_a_clock_is_a_warning() -> None:
    status = report(Diagnostics(CLOCK), 0, activity(FrameStatistics(), standstill=True))["node"]
    assert status.level == WARN
    assert "nothing publishes /clock" in status.message


def test_a_finalized_node_says_so() -> None:
    now = Activity("finalized", False, None)
    assert report(Diagnostics(CLOCK), 1, now)["node"].message == "finalized"


@pytest.mark.parametrize(("max_rate_hz", "level"), [(0.5, OK), (0.0, WARN)])
def test_frames_that_are_skipped_on_purpose_are_not_missed(max_rate_hz: float, level: bytes) -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    found = []
    for second in range(12):
        for number in range(30):
            statistics.count_received()
            if second % 2 or number:
                statistics.count_skipped()
            else:
                statistics.count_processed(StageTimes(1.0, 0.5, 15.0, 1.0, 20.0))
        status = report(diagnostics, second, activity(statistics), min_rate_hz=20.0, max_rate_hz=max_rate_hz)
        found.append(status["inference"].level)
        assert status["input"].level == OK
    assert found[-1] == level and (level == WARN or set(found) == {OK})


def inference_levels(camera_hz: float, limits: dict[int, float], seconds: int = 120) -> list[bytes]:
    """Return the levels, report by report, for a camera of which a limit lets masks be made; it changes in between."""
    diagnostics, statistics, limit = Diagnostics(CLOCK), FrameStatistics(), RateLimit(limits[0])
    found, image = [], 0
    for second in range(seconds):
        limit.max_rate_hz = limits.get(second, limit.max_rate_hz)
        while image / camera_hz < second + 0.37:
            statistics.count_received()
            if limit.lets_pass(image / camera_hz):
                statistics.count_processed(StageTimes(1.0, 0.5, 15.0, 1.0, 20.0))
            else:
                statistics.count_skipped()
            image += 1
        status = report(diagnostics, second, activity(statistics), max_rate_hz=limit.max_rate_hz)
        found.append(status["inference"].level)
    return found


@pytest.mark.parametrize(("camera_hz", "max_rate_hz"), [(0.84, 0.4), (0.21, 0.1), (30.0, 0.5), (2.1, 1.0)])
def test_a_limit_that_does_not_divide_the_cameras_rate_is_no_fault(camera_hz: float, max_rate_hz: float) -> None:
    assert set(inference_levels(camera_hz, {0: max_rate_hz}, 400)) == {OK}


def test_a_limit_that_is_raised_is_not_held_against_the_masks_before() -> None:
    assert set(inference_levels(30.0, {0: 0.1, 55: 1.2, 80: 0.2, 100: 1.0})) == {OK}


def test_masks_that_a_limit_would_let_pass_and_that_do_not_come_are_told_of() -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    for second in range(10):
        for _ in range(30):
            statistics.count_received()
            statistics.count_skipped() if second else statistics.count_processed(StageTimes(1.0, 0.5, 15.0, 1.0, 20.0))
        status = report(diagnostics, second, activity(statistics), max_rate_hz=0.5)["inference"]
    assert status.level == WARN
    assert status.message == "no mask of 270 images in 9.0 s, below 80% of max_rate_hz (0.4)"


def test_unusable_images_are_seen_as_such_where_most_are_skipped() -> None:
    diagnostics, statistics = Diagnostics(CLOCK), FrameStatistics()
    for second in range(3):
        for _ in range(30):
            statistics.count_received()
        for _ in range(20):
            statistics.count_skipped()
        for _ in range(10):
            statistics.count_rejected("encoding", "a reason")
        status = report(diagnostics, second, activity(statistics), max_rate_hz=10.0)
    assert status["inference"].message == "idle: no usable image" and status["input"].level == WARN
