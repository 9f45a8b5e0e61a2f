"""The viewer as it is: Rerun's own server, and a real browser that looks at it. Needs both, and skips without."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import CHROMIUM, browser
from numpy.typing import NDArray

from fanet_ros.model.labels import load_label_set
from fanet_ros.processes import end, start_module
from fanet_ros.settings import Size
from fanet_ros.view import interpreter, pictures
from fanet_ros.view.process import ViewerError, ViewerProcess
from fanet_ros.view.records import Record, write_record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not interpreter.is_ready(), reason=f"no rerun-sdk {interpreter.RERUN_VERSION} (view --install)"),
]
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")

LABELS = load_label_set("camvid11")
SKY, ROAD, CAR = (LABELS.id_of(name) for name in ("sky", "road", "car"))


@pytest.fixture
def port() -> int:
    """Return a port that is free, as its neighbour is."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first, socket.socket() as second:
            number = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", number + 1))
            except OSError:
                continue
            return number


@pytest.fixture
def viewer(port: int) -> Iterator[ViewerProcess]:
    viewer = ViewerProcess(port=port)
    yield viewer
    viewer.close()


def street() -> NDArray[np.uint8]:
    """Return a mask: sky above, road below, a car on the left of it."""
    labels = np.full((180, 320), SKY, np.uint8)
    labels[90:] = ROAD
    labels[100:160, 40:120] = CAR
    return labels


def show(viewer: ViewerProcess) -> None:
    viewer.send(pictures.layout([""], live=True))
    viewer.send(pictures.classes(LABELS.names))
    frame = np.full((180, 320, 3), 200, np.uint8)
    for number in range(3):
        stamp = 1_700_000_000_000_000_000 + number * 100_000_000
        viewer.send(pictures.picture("world/camera/image", stamp, frame, "rgb8"))
        viewer.send(pictures.mask("world/camera/classes", stamp, street(), Size(320, 180)))
        viewer.send(pictures.shares("shares", stamp, street(), LABELS.names))


def listening(port: int) -> list[str]:
    """Return the addresses, as Linux writes them, at which this machine listens on a port."""
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    locals_ = [line[1].split(":") for line in lines if line[3] == "0A"]
    return [address for address, number in locals_ if int(number, 16) == port]


def test_nothing_but_this_machine_can_reach_it(viewer: ViewerProcess, port: int) -> None:
    for number in (port, port + 1):
        assert listening(number) == ["0100007F"], "127.0.0.1 alone"
    allowed = {}
    for origin in ("https://evil.example", f"http://127.0.0.1:{port}"):
        connection = http.client.HTTPConnection("127.0.0.1", port + 1, timeout=10)
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        connection.request("OPTIONS", "/rerun.sdk_comms.v1alpha1.MessageProxyService/ReadMessages", headers=headers)
        allowed[origin] = connection.getresponse().getheader("access-control-allow-origin")
        connection.close()
    assert list(allowed.values()) == [None, f"http://127.0.0.1:{port}"]


def test_a_port_that_is_taken_is_said(port: int) -> None:
    for number in (port, port + 1):
        refusal = pytest.raises(ViewerError, match=f"port {number} cannot be used: Address already in use")
        with socket.create_server(("127.0.0.1", number)), refusal:
            ViewerProcess(port=port)


def test_the_end_of_reruns_own_program_is_said(viewer: ViewerProcess) -> None:
    (program,) = [pid for pid, line in commands().items() if b"--serve-web" in line and is_below(pid, os.getpid())]
    environment = Path(f"/proc/{program}/environ").read_bytes().split(b"\0")
    (home,) = [Path(os.fsdecode(line[14:])) for line in environment if line.startswith(b"XDG_DATA_HOME=")]
    assert home.is_dir()
    os.kill(program, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not viewer.fault and time.monotonic() < deadline:
        time.sleep(0.1)
    assert viewer.fault == "Rerun ended with code -9"
    viewer.close()
    assert not home.exists(), "nothing is left"


def test_a_file_is_complete(tmp_path: Path) -> None:
    viewer = ViewerProcess(save=str(tmp_path / "a.rrd"))
    show(viewer)
    viewer.close()
    assert viewer.fault == "" and viewer.address == ""
    with pytest.raises(ViewerError, match="cannot start: .*No such file or directory"):
        ViewerProcess(save=str(tmp_path / "missing" / "a.rrd"))
    assert (tmp_path / "a.rrd").read_bytes()[:4] == b"RRF2" and (tmp_path / "a.rrd").stat().st_size < 10**6


def test_a_file_has_its_bound(tmp_path: Path) -> None:
    command, environment = interpreter.viewer_command(
        "fanet_ros.view.server", f"--save={tmp_path / 'a.rrd'}", "--save-megabytes=1"
    )
    pipe = io.BytesIO()
    noise = np.random.default_rng(0).bytes(200_000)
    for number in range(30):
        write_record(pipe, Record("picture", "x", number, {"type": "image/jpeg"}, noise))
    done = subprocess.run(command, env=environment, input=pipe.getvalue(), capture_output=True, timeout=60)
    assert done.returncode == 0 and b"has its 1 MB; what follows is not saved" in done.stdout
    assert b'{"full": true}' in done.stdout
    assert 10**6 < (tmp_path / "a.rrd").stat().st_size < 2 * 10**6


def test_a_record_that_is_wrong_hides_no_other(viewer: ViewerProcess, caplog: pytest.LogCaptureFixture) -> None:
    viewer.send(Record("nonsense", "x", 1))
    viewer.send(Record("mask", "x", 1, {"width": 5, "height": 5}, b"short"))
    viewer.send(Record("grid", "x", 1, {"width": 5, "height": 5}, b"short"))
    show(viewer)
    viewer.close()
    assert viewer.fault == "" and len(caplog.records) == 3


@needs_browser
def test_the_classes_are_where_they_belong(viewer: ViewerProcess, tmp_path: Path) -> None:
    """Also without a network: the browser can reach nothing but this machine."""
    show(viewer)
    with browser(tmp_path) as page:
        page.open(viewer.address)
        seen = page.wait(lambda picture: all(places(picture, number) is not None for number in (SKY, ROAD, CAR)))
        deadline = time.monotonic() + 30
        while not viewer.is_watched and time.monotonic() < deadline:
            time.sleep(0.1)
        assert viewer.is_watched
    sky, road, car = (places(seen, number) for number in (SKY, ROAD, CAR))
    width, height = sky[1] - sky[0], road[3] - sky[2]
    assert width / height == pytest.approx(320 / 180, rel=0.05), "the mask's shape"
    assert abs(sky[3] - (sky[2] + height / 2)) < 4 and abs(road[2] - sky[3]) < 4, "half sky, half road"
    found = [
        (car[0] - sky[0]) / width,
        (car[1] - sky[0]) / width,
        (car[2] - sky[2]) / height,
        (car[3] - sky[2]) / height,
    ]
    np.testing.assert_allclose(found, [40 / 320, 120 / 320, 100 / 180, 160 / 180], atol=0.03)
    deadline = time.monotonic() + 30
    while viewer.is_watched and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not viewer.is_watched, "the browser is closed"


@needs_browser
def test_a_recording_opens(port: int, tmp_path: Path) -> None:
    folder = tmp_path / "drive"
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps({"class_shares": dict.fromkeys(LABELS.names, 0.0)}))
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}_mask.png"), street())
        cv2.imwrite(str(folder / f"{number}_overlay.png"), np.full((180, 320, 3), 200, np.uint8))
    command = ["fanet_ros.commands.cli", "view", str(folder), "--no-browser", "--port", str(port)]
    process = start_module(*command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    try:
        words = next(line for line in process.stdout if b"open http://" in line).decode().split()
        with browser(tmp_path / "profile") as page:
            page.open(words[words.index("open") + 1])
            page.wait(lambda picture: all(places(picture, number) is not None for number in (SKY, ROAD, CAR)))
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read().decode()
        assert process.wait(60) == 0 and "all is shown" in rest and "ended" in rest
    finally:
        end(process)
        process.stdout.close()


def places(picture: NDArray[np.uint8], number: int) -> list[int] | None:
    """Return left, right, top and bottom of where the picture (BGR) has the colour of a class; None where it has not.

    In the view of the classes alone: the other one has a camera image below them, and the plot thin lines.
    """
    same = (np.abs(picture.astype(int) - np.array(LABELS.colors[number])[::-1]) < 6).all(2)
    _, _, parts, _ = cv2.connectedComponentsWithStats(same.astype(np.uint8))
    left, top, width, height, area = max(parts[1:], key=lambda part: part[4], default=(0, 0, 0, 0, 0))
    return [left, left + width, top, top + height] if area > 1000 else None


def commands() -> dict[int, bytes]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            found[int(entry.name)] = (entry / "cmdline").read_bytes()
        except OSError:  # it has just ended
            continue
    return found


def is_below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
        if pid == ancestor:
            return True
    return False
