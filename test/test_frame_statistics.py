import math

from fanet_ros.ros.segmentation.frame_statistics import (
    AGE_WINDOW,
    FAILED,
    WINDOW,
    FrameCounts,
    FrameStatistics,
    StageTimes,
)


def test_every_frame_is_accounted_for() -> None:
    statistics = FrameStatistics()
    assert statistics.counts == FrameCounts()
    assert statistics.seconds_since_arrival() is None
    for _ in range(5):
        statistics.count_received()
    statistics.count_dropped()
    statistics.count_skipped()
    statistics.count_rejected("step", "step of 3 bytes")
    statistics.count_rejected("step", "step of 4 bytes")
    statistics.count_processed(StageTimes(1, 2, 3, 4, 10))
    assert statistics.counts == FrameCounts(received=5, processed=1, dropped=1, skipped=1, rejected=2)
    assert statistics.rejections == ({"step": 2}, "step of 4 bytes")
    elapsed = statistics.seconds_since_arrival()
    assert elapsed is not None and 0 <= elapsed < 10


def test_medians_forget_old_frames() -> None:
    statistics = FrameStatistics()
    assert statistics.median_stages() is None
    for _ in range(WINDOW):
        statistics.count_processed(StageTimes(1000, 1000, 1000, 1000, 1000))
    for _ in range(WINDOW):
        statistics.count_processed(StageTimes(1, 2, 3, 4, math.nan))
    unknown = statistics.median_stages()
    assert unknown is not None and math.isnan(unknown.age)
    for age in (30.0, math.nan, 20.0, math.nan, 10.0):
        statistics.count_processed(StageTimes(1, 2, 3, 4, age))
    medians = statistics.median_stages()
    assert medians is not None
    assert (medians.wait, medians.decode, medians.inference, medians.publish) == (1, 2, 3, 4)
    assert medians.age == 20.0, "unknown ages say nothing about the known ones"


def test_the_95th_percentile_of_the_age_is_that_of_the_last_frames() -> None:
    statistics = FrameStatistics()
    assert math.isnan(statistics.age_p95())
    for age in [1000.0] * AGE_WINDOW + [math.nan] + [20.0] * (AGE_WINDOW - 2) + [10.0]:
        statistics.count_processed(StageTimes(1, 2, 3, 4, age))
    assert statistics.age_p95() == 20.0
    statistics.count_processed(StageTimes(1, 2, 3, 4, 90.0))
    statistics.count_processed(StageTimes(1, 2, 3, 4, 90.0))
    assert statistics.age_p95() > 20.0


def test_reasons_of_images_and_of_the_network_are_kept_apart() -> None:
    statistics = FrameStatistics()
    assert statistics.last_reason(failed=True) == statistics.last_reason(failed=False) == ""
    for kind, reason in (("step", "a"), (FAILED, "b"), ("size", "c"), ("step", "d"), (FAILED, "e")):
        statistics.count_rejected(kind, reason)
    assert (statistics.last_reason(failed=True), statistics.last_reason(failed=False)) == ("e", "d")
    assert statistics.rejections == ({"step": 2, FAILED: 2, "size": 1}, "e")


def test_what_another_clock_says_is_no_latency() -> None:
    """What counts is the age on arrival: a network that was built for minutes makes an image old, too."""

    def latency(age: float, inference: float = 3.0) -> float:
        return StageTimes(1.0, 2.0, inference, 4.0, age).latency

    assert latency(59e3) == 59e3 and latency(200e3, 190e3) == 200e3 and latency(-20.0) == -20.0
    assert all(math.isnan(age) for age in map(latency, (61e3, 6e12, -200.0, -6e12, math.nan)))
    statistics = FrameStatistics()
    for age in (6e12, 20.0, -6e12, 20.0):
        statistics.count_processed(StageTimes(1, 2, 3, 4, age))
    assert statistics.age_p95() == 20.0
