"""What `fanet segment` has written, as records for the viewer."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from bag_writing import image, jpeg, picture, write_bag

from fanet_ros.errors import FrameError, SourceError
from fanet_ros.ground.pose import CameraPose
from fanet_ros.model.labels import load_label_set
from fanet_ros.recorded.segment_files import FileSegmentation, segment_path
from fanet_ros.segmenter import Segmenter
from fanet_ros.settings import Size
from fanet_ros.view import geometry, pictures
from fanet_ros.view.footage import Footage, open_footage
from fanet_ros.view.pace import Pace
from fanet_ros.view.records import Record

NAMES = load_label_set("camvid11").names
IMAGE, CLASSES = "world/camera/image", "world/camera/classes"


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(input_size="96x64", kept_sizes=2)


def stamps(records: list[Record], entity: str) -> list[int | None]:
    return [record.stamp_ns for record in records if record.entity == entity]


def opened(path: Path, rate_hz: float = 1000.0, start_s: float = 0.0) -> tuple[Footage, list[Record]]:
    footage = open_footage(path, rate_hz, start_s)
    return footage, list(footage.records)


def result(folder: Path, **summary: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({"class_shares": dict.fromkeys(NAMES, 0.0), **summary}))
    return folder


def video(path: Path, frames: int = 6) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), 40 * number, np.uint8))
    writer.release()
    return path


def test_a_video_with_masks_has_a_time_line(tmp_path: Path) -> None:
    source = video(tmp_path / "drive.mp4")
    folder = result(tmp_path / "out" / "drive", source=str(source))
    video(folder / "overlay.mp4")
    for number in range(6):
        cv2.imwrite(str(folder / f"{number:06d}_mask.png"), np.full((48, 64), number, np.uint8))
    footage, records = opened(tmp_path / "out", rate_hz=5.0, start_s=0.2)
    assert footage.note == "" and footage.layout.values["timeline"] == "time" and footage.layout.values["classes"]
    assert records[0].kind == "classes" and records[0].values["classes"][3][1] == NAMES[3]
    assert stamps(records, IMAGE) == stamps(records, CLASSES) == [200_000_000, 400_000_000]
    assert [bytes(record.body)[:1] for record in records if record.entity == CLASSES] == [b"\x02", b"\x04"]
    source.unlink()
    footage, records = opened(folder)
    assert "no longer there" in footage.note and len(stamps(records, IMAGE)) == len(stamps(records, CLASSES)) == 6


def test_a_video_without_masks_shows_its_overlay_and_says_so(tmp_path: Path) -> None:
    folder = result(tmp_path / "drive", source="gone.mp4")
    video(folder / "overlay.mp4")
    footage, records = opened(folder)
    assert "fanet segment --masks" in footage.note and not footage.layout.values["classes"]
    assert len(stamps(records, IMAGE)) == 6 and not stamps(records, CLASSES)


def test_images_are_numbered(tmp_path: Path, segmenter: Segmenter) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    for name in ("a.png", "b.jpg"):
        cv2.imwrite(str(source / name), picture(3))
    with pytest.MonkeyPatch.context() as patch:  # looked at from another folder than the one that it was made in
        patch.chdir(tmp_path)
        segment_path(Path("photos"), segmenter, FileSegmentation(Path("out")))
    footage, records = opened(tmp_path / "out")
    assert footage.note == "" and footage.layout.values["timeline"] == "number"
    assert stamps(records, IMAGE) == stamps(records, CLASSES) == [0, 1]
    assert [record for record in records if record.entity == "shares"][0].values.keys() == set(NAMES)


def test_a_damaged_file_hides_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = result(tmp_path / "photos", source="x" * 5000)
    for name in "abc":
        for kind in ("overlay", "mask"):
            cv2.imwrite(str(folder / f"{name}_{kind}.png"), picture(3)[..., 0])
    (folder / "a_mask.png").write_bytes(b"no picture")
    (folder / "b_overlay.png").unlink()
    _, records = opened(folder)
    assert stamps(records, IMAGE) == [0, 2] and stamps(records, CLASSES) == [2]
    assert "2 pictures of" in caplog.text and "a_mask.png cannot be read" in caplog.text


@pytest.mark.parametrize("only_results", [False, True])
def test_a_segmented_bag_is_shown_at_its_stamps(tmp_path: Path, segmenter: Segmenter, only_results: bool) -> None:
    bag = tmp_path / "drive"
    write_bag(bag, [r for n in range(3) for r in (image("/front/image_raw", n), jpeg("/rear/image/compressed", n))])
    segment_path(bag, segmenter, FileSegmentation(tmp_path / "out", only_results=only_results))
    footage, records = opened(tmp_path / "out")
    assert footage.layout.values["cameras"] == ["front", "rear"] and footage.layout.values["timeline"] == "stamp"
    assert sum(record.kind == "classes" for record in records) == 1
    for camera in ("front", "rear"):
        seen = stamps(records, f"{camera}/{CLASSES}")
        assert len(seen) == 3 and stamps(records, f"{camera}/{IMAGE}") == seen
        assert len(stamps(records, f"{camera}/shares")) == 3
    _, alone = opened(next((tmp_path / "out" / "drive").glob("*_segmented")))
    assert stamps(alone, f"rear/{IMAGE}") == stamps(records, f"rear/{IMAGE}"), "the names of the topics tell enough"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "holds nothing that fanet segment has written"),
        (lambda path: video(path.with_name("there.mp4")).rename(path), "is no recording; segment it first"),
        (lambda path: [result(path / name) for name in "ab"], "holds 2 results; give one of them"),
        (lambda path: (path.mkdir(), (path / "summary.json").write_text("[]")), "no summary of fanet segment"),
        (lambda path: (path.mkdir(), (path / "summary.json").write_text("[" * 100_000)), "cannot be read"),
        (lambda path: result(path), "holds neither masks nor a video nor a recording"),
        (lambda path: write_bag(path, [image("/front/image_raw", 0)]), "has no masks; segment it first"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_sentence(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "there")
    with pytest.raises(SourceError, match=message):
        opened(tmp_path / "there")


def test_pictures_are_small_and_masks_keep_their_ids() -> None:
    labels = np.tile(np.array([3, 250], np.uint8), (1080, 960))
    shown = pictures.mask("m", 1, labels, Size(1920, 1080))
    assert shown.values == {"width": 960, "height": 540} and set(bytes(shown.body)) <= {3, 250}
    small = pictures.mask("m", 1, labels[:24, :32], Size(640, 480))
    assert len(small.body) == 640 * 480, "as large as the image that it lies over"
    frame = np.zeros((1080, 1920, 4), np.uint8)
    frame[..., 2] = 200
    jpeg_ = pictures.picture("p", 1, frame, "bgra8")
    decoded = cv2.imdecode(np.frombuffer(jpeg_.body, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (540, 960, 3) and abs(int(decoded[9, 9, 2]) - 200) < 6 and decoded[9, 9, 0] < 6
    assert pictures.encoded_picture("p", 1, bytes(jpeg_.body)).body == jpeg_.body, "a JPEG stays as it is"
    _, large = cv2.imencode(".jpg", np.zeros((1000, 1000, 3), np.uint8))
    assert pictures.encoded_picture("p", 1, large.tobytes()) is None


def test_classes_have_the_colours_of_their_label_set() -> None:
    merged = pictures.classes(("drivable", "walkable", "obstacle")).values["classes"]
    assert [tuple(color) for _, _, color in merged] == list(load_label_set("drivable3").colors)
    assert pictures.classes(("mine",), "camvid11").values["classes"] == [[0, "mine", None]], "Rerun chooses"


def test_moments_are_chosen_once_for_all_topics() -> None:
    pace = Pace(10.0)
    chosen = [n for n in range(30) if pace.wants(round(n * 1e9 / 30))]
    assert chosen == list(range(0, 30, 3))
    assert pace.wants(round(27e9 / 30)) and not pace.wants(round(28e9 / 30))
    assert pace.wants(-(10**12)) and pace.wants(-(10**12) + 10**8), "a recording that begins anew"


def message(**fields: Any) -> Any:
    return SimpleNamespace(header=SimpleNamespace(stamp=SimpleNamespace(sec=7, nanosec=9)), **fields)


def test_a_grid_stands_where_its_frame_is() -> None:
    at = SimpleNamespace(x=1.0, y=2.0, z=0.0)
    turned = SimpleNamespace(x=0.0, y=0.0, z=np.sin(np.pi / 4), w=np.cos(np.pi / 4))
    info = SimpleNamespace(width=2, height=1, resolution=0.1, origin=SimpleNamespace(position=at, orientation=turned))
    grid = message(info=info, data=[0, -1])
    frame = CameraPose.from_transform((10.0, 0.0, 0.0), (0.0, 0.0, np.sin(np.pi / 4), np.cos(np.pi / 4)))
    shown = geometry.grid("g", grid, frame)
    assert shown.stamp_ns == 7 * 10**9 + 9 and bytes(shown.body) == b"\x00\xff"
    np.testing.assert_allclose(shown.values["position"], [8.0, 1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(np.abs(shown.values["quaternion"]), [0, 0, 1, 0], atol=1e-9)
    info.width = 3
    with pytest.raises(FrameError, match="grid of 3x1 cells"):
        geometry.grid("g", grid)


def test_scans_show_what_was_hit() -> None:
    angles = {"angle_min": np.pi / 2, "angle_increment": -np.pi / 2}
    scan = message(ranges=[2.0, np.nan, 3.0, 9.0, np.inf], range_min=0.1, range_max=5.0, **angles)
    shown = geometry.scan("s", scan)
    hits = np.frombuffer(shown.body, np.float32).reshape(shown.values["count"], 3)
    np.testing.assert_allclose(hits, [[0, 2, 0], [0, -3, 0]], atol=1e-5)
    scan.ranges = np.ones(1_000_000, np.float32)
    assert geometry.scan("s", scan).values["count"] == 50_000
    scan.angle_increment = np.nan
    with pytest.raises(FrameError, match="scan from 1.5708 in steps of nan"):
        geometry.scan("s", scan)


def test_clouds_show_what_is_there() -> None:
    layout = np.dtype({"names": ["x", "y", "z", "label"], "formats": ["<f4"] * 3 + ["u1"], "itemsize": 16})
    points = np.zeros(3, layout)
    points["x"], points["label"] = [1, np.nan, 3], [4, 5, 6]
    fields = [
        SimpleNamespace(name=n, offset=layout.fields[n][1], datatype=7 if n != "label" else 2) for n in layout.names
    ]
    cloud = message(
        fields=fields, width=3, height=1, point_step=16, row_step=48, is_bigendian=False, data=points.tobytes()
    )
    shown = geometry.cloud("c", cloud)
    assert shown.values["count"] == 2 and shown.values["labelled"]
    assert np.frombuffer(shown.body, np.float32, 6)[::3].tolist() == [1, 3] and bytes(shown.body[24:]) == b"\x04\x06"
    cloud.data = cloud.data[:40]
    with pytest.raises(FrameError, match="cloud of 3 points"):
        geometry.cloud("c", cloud)
