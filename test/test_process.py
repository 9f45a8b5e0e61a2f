"""Running a node as a process: how it says that it cannot start, and where the core's logs go."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from fanet_ros.ros.process import RosLogHandler

pytestmark = pytest.mark.ros


@pytest.mark.parametrize("changes", [{"HOME": None}, {"ROS_LOG_DIR": "{file}/log"}])
def test_a_node_without_a_place_for_its_log_says_what_to_set(
    changes: dict[str, str | None], tmp_path: Path, domain_id: int
) -> None:
    file = tmp_path / "file"
    file.touch()
    environment = {name: value for name, value in os.environ.items() if name not in ("ROS_LOG_DIR", "ROS_HOME")}
    for name, value in changes.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value.format(file=file)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    node = [sys.executable, "-m", "fanet_ros.ros.camera.node", "--ros-args", "-p", "source:=street"]
    demo = [sys.executable, "-m", "fanet_ros.ros.demo.run", "--output", str(tmp_path / "demo")]
    for command in (node, demo):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        said = (done.stdout + done.stderr).splitlines()
        assert done.returncode == 2 and "Traceback" not in "".join(said)
        assert any("set HOME or ROS_LOG_DIR" in line for line in said), said


class Logger:
    """Notes what a node's logger is given."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.error = self.warning = self.info = self.debug = self.lines.append


@pytest.fixture
def core_log() -> Iterator[logging.Logger]:
    core = logging.getLogger("fanet_ros")
    before = core.handlers, core.level, core.propagate
    yield core
    core.handlers, core.level, core.propagate = before


def test_two_nodes_in_a_process_log_once(core_log: logging.Logger) -> None:
    first, second = Logger(), Logger()
    for logger in (first, first, second):
        RosLogHandler.install(logger)
    logging.getLogger("fanet_ros.segmenter").warning("only once")
    assert (first.lines, second.lines) == ([], ["only once"])


def test_tracebacks_reach_the_nodes_log(core_log: logging.Logger) -> None:
    logger = Logger()
    RosLogHandler.install(logger)
    try:
        raise RuntimeError("lost")
    except RuntimeError:
        logging.getLogger("fanet_ros.segmenter").debug("survived", exc_info=True)
    (line,) = logger.lines
    assert line.startswith("survived\nTraceback") and line.endswith("RuntimeError: lost")
