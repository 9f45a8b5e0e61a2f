"""Sources that are lost and come back, with real files and a clock of the test's own."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from fanet_ros.errors import SourceError
from fanet_ros.sources import FrameSource, SourceFrame, open_source
from fanet_ros.sources.reopening import ReopeningSource


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "drive"
    path.mkdir()
    cv2.imwrite(str(path / "a.png"), np.full((8, 12, 3), 90, np.uint8))
    return path


def test_a_lost_source_is_opened_again_after_growing_pauses_and_told_of_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened: list[float] = []
    clock = Clock()

    def reopen() -> FrameSource:
        opened.append(clock.now)
        return open_source(str(folder))

    source = ReopeningSource(open_source(str(folder)), reopen, loop=True, clock=clock)
    assert source.read() is not None and not source.fault
    away = folder.with_name("away")
    folder.rename(away)
    with caplog.at_level(logging.INFO, "fanet_ros"):
        for tenths in range(1000):  # as a timer of 10 Hz would
            clock.now = tenths / 10
            assert source.read() is None
        assert "there is no" in source.fault and not source.has_ended
        assert opened == pytest.approx([1, 3, 7, 15, 31, 47, 63, 79, 95])
        assert [record.levelname for record in caplog.records] == ["ERROR"], "said once"
        away.rename(folder)
        clock.now = 111.0
        assert source.read() is not None and not source.fault
        assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    folder.rename(away)
    opened.clear()
    assert source.read() is None
    clock.now += 1.0
    source.read()
    assert len(opened) == 1, "the pauses begin anew"


def test_errors_that_no_source_should_raise_are_survived_like_the_others(folder: Path) -> None:
    class Broken(FrameSource):
        def read(self) -> SourceFrame | None:
            raise cv2.error("a driver's own words")

        def rewind(self) -> None:
            raise SourceError("never")

        def close(self) -> None:
            pass

    clock = Clock()
    source = ReopeningSource(Broken(), lambda: open_source(str(folder)), loop=True, clock=clock)
    assert source.read() is None
    assert source.fault == "error: a driver's own words"
    clock.now = 1.0
    assert source.read() is not None


def test_without_looping_it_ends(folder: Path) -> None:
    source = ReopeningSource(open_source(str(folder)), lambda: open_source(str(folder)), loop=False)
    assert source.read() is not None and not source.has_ended
    assert source.read() is None and source.has_ended and not source.fault
    source.close()
