"""The pipe to the viewer's process: records, who looks, and what happens when it goes wrong."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from view_stand_in import StandIn

from fanet_ros.errors import SettingError
from fanet_ros.view import interpreter
from fanet_ros.view.page import established, page_address
from fanet_ros.view.process import LiveViewer, ViewerError, ViewerProcess
from fanet_ros.view.records import Record, RecordError, read_record, write_record


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return StandIn(tmp_path)


def wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def test_records_come_out_as_they_went_in() -> None:
    records = [
        Record("mask", "world/camera/classes", 1_700_000_000_123_456_789, {"width": 2, "height": 1}, b"\x00\xff"),
        Record("numbers", "shares", 5, {"Straße": 0.25}),
        Record("layout"),
    ]
    pipe = io.BytesIO()
    for record in records:
        write_record(pipe, record)
    pipe.seek(0)
    assert [read_record(pipe) for _ in records] == records
    assert read_record(pipe) is None


def test_a_pipe_that_ends_in_a_record_has_ended() -> None:
    whole = io.BytesIO()
    write_record(whole, Record("text", "x", 1, {"a": 1}, b"abc"))
    for length in range(len(whole.getvalue())):
        assert read_record(io.BytesIO(whole.getvalue()[:length])) is None


@pytest.mark.parametrize(
    "data", [struct.pack(">II", 1 << 30, 0), struct.pack(">II", 0, 1 << 30), struct.pack(">II", 2, 0) + b"[]"]
)
def test_what_is_no_record_is_refused_before_memory_is_taken(data: bytes) -> None:
    with pytest.raises(RecordError, match="received"):
        read_record(io.BytesIO(data))


def test_the_viewer_gets_everything_in_order_and_tells_who_looks(stand_in: StandIn) -> None:
    viewer = ViewerProcess(port=9090)
    try:
        assert viewer.address == "http://127.0.0.1:1/" and not viewer.is_watched
        for number in range(20):
            viewer.send(Record("numbers", "n", number, {"x": number}, bytes([number]) * 100_000))
        stand_in.set("watched", True)
        wait(lambda: viewer.is_watched, "a browser that looks")
        stand_in.set("watched", False)
        wait(lambda: not viewer.is_watched, "a browser that is gone")
    finally:
        viewer.close()
    expected = [["numbers", "n", number, {"x": number}, 100_000, [number] * 3] for number in range(20)]
    assert stand_in.records == expected, "closing waits until all have been taken"
    assert viewer.fault == ""
    viewer.close()


def test_what_is_too_large_for_the_pipe_is_said_once_and_hides_nothing_else(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    viewer = ViewerProcess(port=9090)
    try:
        for _ in range(3):
            viewer.send(Record("classes", "/", None, {"classes": "x" * (1 << 20)}))
        viewer.send(Record("picture", "image", 1, {}, bytes((64 << 20) + 1)))
        viewer.send(Record("numbers", "n", 2, {"x": 1}))
    finally:
        viewer.close()
    assert [record[0] for record in stand_in.records] == ["numbers"] and viewer.fault == ""
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [text.partition(":")[0] for text in said] == ["viewer", "viewer"] and "too many to be shown" in said[0]


def test_a_viewer_that_is_killed_is_told_in_one_line(stand_in: StandIn) -> None:
    viewer = ViewerProcess(port=9090)
    try:
        os.kill(stand_in.pid, signal.SIGKILL)
        wait(lambda: viewer.fault, "the end of the viewer")
        assert viewer.fault == "it ended with code -9"
        with pytest.raises(ViewerError, match="the viewer has ended: it ended with code -9"):
            for _ in range(100):
                viewer.send(Record("numbers", "n", 0, {}, bytes(1 << 20)))
    finally:
        viewer.close()


def test_a_viewer_that_takes_nothing_does_not_keep_its_node(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanet_ros.view.process._LAST_RECORDS_S", 0.5)
    monkeypatch.setattr("fanet_ros.view.process._NEWEST_RECORDS_S", 0.5)
    viewer = ViewerProcess(port=9090)
    live = LiveViewer(viewer)
    os.kill(stand_in.pid, signal.SIGSTOP)
    live.show("picture", Record("picture", "x", 1, {}, bytes(1 << 20)))
    started = time.monotonic()
    live.close()
    viewer.close()
    assert time.monotonic() - started < 15
    assert not Path(f"/proc/{stand_in.pid}").exists()


def test_a_viewer_that_does_not_start_says_why(stand_in: StandIn) -> None:
    stand_in.set("refuse", True, "port 9090 cannot be used")
    with pytest.raises(ViewerError, match="cannot start: port 9090 cannot be used"):
        ViewerProcess(port=9090)


def test_live_records_give_way_to_newer_ones_and_never_wait(stand_in: StandIn) -> None:
    stand_in.set("busy", True)
    viewer = ViewerProcess(port=9090)
    live = LiveViewer(viewer)
    try:
        started = time.monotonic()
        for number in range(500):
            moment = [Record(kind, kind, number, {}, bytes(200_000)) for kind in ("picture", "mask")]
            live.show("camera", *moment)
            live.show("text", Record("text", "text", number))
        assert time.monotonic() - started < 10, "200 MB did not go through a pipe that nobody reads"
        stand_in.set("busy", False)
    finally:
        live.close()
        viewer.close()
    stamps = {kind: [r[2] for r in stand_in.records if r[0] == kind] for kind in ("picture", "mask", "text")}
    assert stamps["picture"] == stamps["mask"], "what belongs together stays together"
    assert stamps["mask"][-1] == stamps["text"][-1] == 499, "the newest is shown"
    assert len(stamps["mask"]) < 50, "the others gave way"


def test_without_rerun_one_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(interpreter, "_version_here", lambda: "")
    assert not interpreter.is_ready()
    with pytest.raises(SettingError, match=r"needs rerun-sdk 0\.41\.0; prepare it with: fanet view --install"):
        ViewerProcess(port=9090)
    monkeypatch.setattr(interpreter, "_version_here", lambda: "0.40.0")
    with pytest.raises(SettingError, match=r"needs rerun-sdk 0\.41\.0, found 0\.40\.0; prepare"):
        ViewerProcess(port=9090)
    StandIn(tmp_path)
    assert interpreter.is_ready()
    (tmp_path / "fanet_ros" / "view" / "bin" / "python").unlink()
    assert not interpreter.is_ready(), "the Python that the environment was made with has been removed"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user whom the system does not know
    assert not interpreter.is_ready()


def test_two_that_prepare_the_viewer_at_once_prepare_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    prepared: list[Path] = []

    def prepare(folder: Path, _: object) -> None:
        time.sleep(0.2)
        prepared.append(folder)
        StandIn(tmp_path)

    monkeypatch.setattr(interpreter, "_prepare", prepare)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: interpreter.install(lambda _: None), range(2)))
    assert prepared == [interpreter.environment_folder()]


def test_the_viewers_python_finds_this_package_and_nothing_beside_it(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies beside the package may be for another Python or another NumPy."""
    python = tmp_path / "fanet_ros" / "view" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for module in ("importlib", "runpy", "threading"):  # beside a recording that somebody sent
        (tmp_path / f"{module}.py").write_text("raise SystemExit('run by accident')")
    command, environment = interpreter.viewer_command("fanet_ros.view.server", "--help")
    assert "PYTHONPATH" not in environment
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "--save" in done.stdout, done.stderr
    command[command.index("fanet_ros.view.server")] = "setup"  # lies beside the package in the source tree
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "No module named setup" in done.stderr


def test_the_version_of_the_extra_is_the_one_that_is_looked_for() -> None:
    setup = (Path(__file__).resolve().parent.parent / "setup.py").read_text()
    assert f"rerun-sdk=={interpreter.RERUN_VERSION};" in setup


def test_connections_to_a_port_are_counted_once() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert established(port) == 0
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            ends = [server.accept()[0] for _ in range(2)]
            assert established(port) == 2
            for end in ends:
                end.close()


def test_the_page_asks_for_its_data_on_this_machine() -> None:
    assert page_address(9090).startswith("http://127.0.0.1:9090/?url=rerun%2Bhttp%3A%2F%2F127.0.0.1%3A9091%2Fproxy")
