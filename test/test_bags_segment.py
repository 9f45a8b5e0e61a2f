"""Recordings in, recordings with masks out: fanet_ros/recorded/segment.py and the modules it ties together."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from bag_writing import (
    COMPRESSED,
    IMAGE,
    SENSOR_QOS,
    Record,
    drive,
    header,
    image,
    jpeg,
    log_time,
    picture,
    text,
    write_bag,
    write_mcap,
    write_split_bag,
)
from mcap.reader import make_reader
from mcap.records import Message
from mcap.writer import CompressionType, Writer
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from fanet_ros.errors import InferenceError, SettingError, SourceError
from fanet_ros.frames.look import Look, read_region
from fanet_ros.recorded import frames
from fanet_ros.recorded.messages import LABEL_INFO
from fanet_ros.recorded.output import OutputFile, output_file, read_finished
from fanet_ros.recorded.segment_files import FileSegmentation, segment_path
from fanet_ros.segmenter import Segmenter

MASK, OVERLAY, LABELS = "/segmentation/mask", "/segmentation/overlay/compressed", "/segmentation/label_info"


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(input_size="96x64", kept_sizes=2)


@pytest.fixture
def settings(tmp_path: Path) -> FileSegmentation:
    return FileSegmentation(tmp_path / "out", network="small")


def read(bag: Path) -> list[tuple[Record, Any]]:
    """Everything in a bag, with its messages, as the rosbags library reads it."""
    with AnyReader([bag]) as reader:
        return [
            (Record(c.topic, c.msgtype, time, bytes(data)), reader.deserialize(data, c.msgtype))
            for c, time, data in reader.messages()
        ]


def of_topic(content: list[tuple[Record, Any]], topic: str) -> list[Any]:
    return [message for record, message in content if record.topic == topic]


def originals(content: list[tuple[Record, Any]]) -> list[Record]:
    return [record for record, _ in content if not record.topic.startswith("/segmentation")]


def summary_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def digests(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_recording_in_merged_classes(tmp_path: Path, settings: FileSegmentation) -> None:
    segmenter = Segmenter(input_size="96x64", labels="drivable3")
    bag = write_bag(tmp_path / "run", drive())
    folder = segment_path(bag, segmenter, settings)
    content = read(folder / "run_segmented")
    (labels_message,) = of_topic(content, LABELS)
    assert [c.class_name for c in labels_message.class_map] == ["drivable", "walkable", "obstacle"]
    for number, mask in enumerate(of_topic(content, MASK)):
        labels = segmenter.segment(picture(10 * number + 1), "bgr8").labels
        np.testing.assert_array_equal(mask.data.reshape(48, 64), labels)
    assert {entry for entry in summary_of(folder)["class_shares"]} == {"drivable", "walkable", "obstacle"}


def test_a_turned_camera_and_images_that_do_not_hold_the_region(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation
) -> None:
    bag = write_bag(tmp_path / "run", drive())
    look = Look(180, read_region("32x40+16+8"))
    folder = segment_path(bag, segmenter, replace(settings, look=look))
    for number, mask in enumerate(of_topic(read(folder / "run_segmented"), MASK)):
        labels = segmenter.segment(picture(10 * number + 1), "bgr8", look=look).labels
        np.testing.assert_array_equal(mask.data.reshape(48, 64), labels)
    assert summary_of(folder)["rotation"] == 180
    with pytest.raises(SourceError, match="image_raw: size, first: image of size 64x48, but region is 64x48"):
        segment_path(bag, segmenter, replace(settings, look=Look(0, read_region("64x48+1+0"))))


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_recording(tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation, storage: StoragePlugin) -> None:
    records = drive()
    bag = write_bag(tmp_path / "run", records, storage=storage)
    before = digests(bag)
    folder = segment_path(bag, segmenter, settings)
    assert digests(bag) == before
    assert folder == tmp_path / "out" / "run"
    content = read(folder / "run_segmented")
    assert originals(content) == records, "every recorded message, byte for byte"

    masks, overlays = of_topic(content, MASK), of_topic(content, OVERLAY)
    assert len(masks) == len(overlays) == 4
    for number, (mask, overlay) in enumerate(zip(masks, overlays, strict=True)):
        frame = picture(10 * number + 1)
        labels = segmenter.segment(frame, "bgr8").labels
        assert (mask.encoding, mask.height, mask.width, mask.step, mask.is_bigendian) == ("mono8", 48, 64, 64, 0)
        np.testing.assert_array_equal(mask.data.reshape(48, 64), labels)
        expected = 0.5 * segmenter.label_set.palette[labels][..., ::-1] + 0.5 * frame
        decoded = cv2.imdecode(overlay.data, cv2.IMREAD_COLOR)
        assert np.abs(decoded - expected).mean() < 8, "a JPEG of the overlay"
        for result in (mask, overlay):
            assert result.header.stamp == header(10 * number + 1).stamp
            assert result.header.frame_id == "camera_optical_frame"
    times = [record.time for record, _ in content if record.topic == MASK]
    assert times == [log_time(10 * n + 1) for n in range(4)]

    (labels_message,) = of_topic(content, LABELS)
    assert [(c.class_id, c.class_name) for c in labels_message.class_map] == list(enumerate(segmenter.label_set.names))
    topics = [record.topic for record, _ in content]
    assert topics.index(LABELS) < topics.index(MASK)

    summary = summary_of(folder)
    assert (summary["frames_processed"], summary["images_refused"], summary["files"]) == (4, 0, 1)
    assert set(summary["latency_ms"]) == {"read", "decode", "inference", "write"}
    assert (folder / "contact_sheet.png").exists()
    assert not [path for path in folder.rglob(".*") if path.name != ".segmented.json"]


def test_copying_recorded_messages_is_no_stage(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, copy = [0.0], OutputFile.copy

    def slow_copy(file: OutputFile, message: Message) -> None:
        now[0] += 1
        copy(file, message)

    monkeypatch.setattr(frames, "perf_counter", lambda: now[0])
    monkeypatch.setattr(OutputFile, "copy", slow_copy)
    latencies = summary_of(segment_path(write_bag(tmp_path / "run", drive()), segmenter, settings))["latency_ms"]
    assert {stage: latency["p99"] for stage, latency in latencies.items()} == dict.fromkeys(latencies, 0.0)
    assert now == [8.0]


def test_qos_profiles(tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation) -> None:
    folder = segment_path(write_bag(tmp_path / "run", drive()), segmenter, settings)
    for path in (folder / "run_segmented", folder / "run_segmented" / "run_segmented_0.mcap"):
        with AnyReader([path]) as reader:
            qos = {c.topic: c.ext.offered_qos_profiles for c in reader.connections}
        assert qos["/front/image_raw"] == qos["/chatter"] == [SENSOR_QOS]
        (latched,) = qos[LABELS]
        assert (latched.durability, latched.reliability, latched.depth) == (
            QosDurability.TRANSIENT_LOCAL,
            QosReliability.RELIABLE,
            1,
        )
        assert qos[MASK][0].durability == QosDurability.VOLATILE


def test_qos_profiles_that_only_the_metadata_has(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation
) -> None:
    bag = write_bag(tmp_path / "run", drive())
    write_mcap(bag / "run.mcap", drive())  # says nothing of QoS
    folder = segment_path(bag, segmenter, settings)
    with AnyReader([folder / "run_segmented"]) as reader:
        qos = {c.topic: c.ext.offered_qos_profiles for c in reader.connections}
    assert qos["/front/image_raw"] == qos["/chatter"] == [SENSOR_QOS]

    folder = segment_path(bag / "run.mcap", segmenter, replace(settings, output=tmp_path / "alone"))
    metadata = (folder / "run_segmented" / "metadata.yaml").read_text()
    topics = yaml.safe_load(metadata)["rosbag2_bagfile_information"]["topics_with_message_count"]
    (chatter,) = [t["topic_metadata"] for t in topics if t["topic_metadata"]["name"] == "/chatter"]
    assert chatter["offered_qos_profiles"] == "", "what rosbag2 takes for the default"


def test_the_mcap_library_reads_the_same(tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation) -> None:
    records = drive()
    folder = segment_path(write_bag(tmp_path / "run", records), segmenter, settings)
    with (folder / "run_segmented" / "run_segmented_0.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        messages = list(reader.iter_messages())
        copied = [
            Record(channel.topic, schema.name, message.log_time, message.data)
            for schema, channel, message in messages
            if schema and not channel.topic.startswith("/segmentation")
        ]
        assert copied == records
        schemas = {channel.topic: schema for schema, channel, _ in messages if schema}
        assert schemas[LABELS].encoding == "ros2msg"
        assert b"MSG: vision_msgs/VisionClass" in schemas[LABELS].data
        hashes = {channel.topic: channel.metadata["topic_type_hash"] for _, channel, _ in messages}
        # the hash of REP 2016, as `ros2 topic info --verbose` gives it for sensor_msgs/msg/Image
        assert hashes[MASK] == "RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47"
        (record,) = [record for record in reader.iter_metadata() if record.name == "rosbag2"]
        inner = yaml.safe_load(record.metadata["serialized_metadata"])
    outer = yaml.safe_load((folder / "run_segmented" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert inner == outer
    assert outer["message_count"] == len(messages) == 4 * 4 + 1
    assert outer["starting_time"]["nanoseconds_since_epoch"] == records[0].time
    assert outer["duration"]["nanoseconds"] == records[-1].time - records[0].time


def test_only_results(tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation) -> None:
    folder = segment_path(write_bag(tmp_path / "run", drive()), segmenter, replace(settings, only_results=True))
    assert {record.topic for record, _ in read(folder / "run_segmented")} == {MASK, OVERLAY, LABELS}


def test_several_cameras(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [
        image("/front/image_raw", 0),
        jpeg("/front/image_raw/compressed", 0),
        jpeg("/rear/image_raw/compressed", 1),
        image("/front/depth/image_raw", 2, encoding="16UC1", step=128, data=bytes(128 * 48)),
    ]
    bag = write_bag(tmp_path / "run", records)
    folder = segment_path(bag, segmenter, settings)
    content = read(folder / "run_segmented")
    assert originals(content) == records
    assert {record.topic for record, _ in content if record.topic.startswith("/segm")} == {
        "/segmentation/front/mask",
        "/segmentation/front/overlay/compressed",
        "/segmentation/rear/mask",
        "/segmentation/rear/overlay/compressed",
        "/segmentation/label_info",
    }
    (rear,) = of_topic(content, "/segmentation/rear/mask")
    decoded = cv2.imdecode(np.frombuffer(cv2.imencode(".jpg", picture(1))[1], np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(rear.data.reshape(48, 64), segmenter.segment(decoded, "bgr8").labels)
    printed = capsys.readouterr().out
    assert "/front/image_raw -> /segmentation/front, /rear/image_raw/compressed -> /segmentation/rear" in printed
    assert "/front/image_raw/compressed (raw is taken)" in printed
    assert "/front/depth/image_raw (encoding 16UC1)" in printed

    chosen = segment_path(bag, segmenter, replace(settings, topics=("/front/image_raw/compressed",)))
    assert chosen.name == "run_2", "other settings, other results"
    assert MASK in {record.topic for record, _ in read(chosen / "run_segmented")}


def test_unusable_images_are_counted_and_the_rest_goes_on(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation
) -> None:
    records = [
        image("/camera/image_raw", 0),
        image("/camera/image_raw", 1, data=bytes(100)),
        image("/camera/image_raw", 2, data=bytes(90)),
        image("/camera/image_raw", 3, step=10),
        Record("/camera/image_raw", IMAGE, log_time(4), b"\0\1\0\0garbage"),
        image("/camera/image_raw", 5, encoding="holographic"),
        image("/camera/image_raw", 6),
    ]
    folder = segment_path(write_bag(tmp_path / "run", records), segmenter, settings)
    content = read_raw(folder / "run_segmented")
    assert [record for record in content if not record.topic.startswith("/segm")] == records
    assert [record.time for record in content if record.topic == MASK] == [log_time(0), log_time(6)]
    summary = summary_of(folder)
    assert (summary["frames_processed"], summary["images_refused"]) == (2, 5)
    assert [line.split(", first: ")[0] for line in summary["refused"]] == [
        "2 of /camera/image_raw: buffer",
        "1 of /camera/image_raw: step",
        "1 of /camera/image_raw: message",
        "1 of /camera/image_raw: encoding",
    ]
    assert "100 bytes of data, expected 9216" in summary["refused"][0]


def read_raw(bag: Path) -> list[Record]:
    with AnyReader([bag]) as reader:
        return [Record(c.topic, c.msgtype, time, bytes(data)) for c, time, data in reader.messages()]


@pytest.fixture(scope="module")
def remembering() -> Segmenter:
    return Segmenter(input_size="96x64", kept_sizes=2, temporal_frames=3)


def masks_of(folder: Path, topic: str = MASK) -> list[np.ndarray]:
    return [mask.data.reshape(48, 64) for mask in of_topic(read(folder / f"{folder.name}_segmented"), topic)]


def remembered(segmenter: Segmenter, *videos: list[int]) -> list[np.ndarray]:
    """Labels of the pictures of these numbers, where each video has a memory of its own."""
    labels = []
    for numbers in videos:
        memory = segmenter.new_memory()
        labels += [segmenter.segment(picture(number), "bgr8", memory=memory).labels for number in numbers]
    return labels


def test_every_topic_is_a_video_of_its_own(tmp_path: Path, remembering: Segmenter, settings: FileSegmentation) -> None:
    records = [image(f"/{'left' if n % 2 else 'right'}/image_raw", n) for n in range(8)]
    folder = segment_path(write_bag(tmp_path / "run", records), remembering, replace(settings, temporal_frames=3))
    for name, numbers in (("right", [0, 2, 4, 6]), ("left", [1, 3, 5, 7])):
        masks = masks_of(folder, f"/segmentation/{name}/mask")
        np.testing.assert_array_equal(masks, remembered(remembering, numbers))
        assert (masks[1] != remembering.segment(picture(numbers[1]), "bgr8").labels).any()
    assert summary_of(folder)["temporal_frames"] == 3


def test_a_gap_ends_a_video(tmp_path: Path, remembering: Segmenter, settings: FileSegmentation) -> None:
    numbers = [0, 1, 101, 202]  # 10 ms each: the second and the third are 1 s apart, the last two 1.01 s
    bag = write_bag(tmp_path / "run", [image("/front/image_raw", number) for number in numbers])
    masks = masks_of(segment_path(bag, remembering, settings))
    np.testing.assert_array_equal(masks, remembered(remembering, [0, 1, 101], [202]))


def test_every_file_begins_a_video_so_that_resumed_work_is_the_same(
    tmp_path: Path, remembering: Segmenter, settings: FileSegmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = split_drive(tmp_path)
    with monkeypatch.context() as patch:
        interrupt_at(remembering, patch, 4)
        with pytest.raises(KeyboardInterrupt):
            segment_path(bag, remembering, settings)
    masks = masks_of(segment_path(bag, remembering, settings))
    np.testing.assert_array_equal(masks, remembered(remembering, [1, 11], [21, 31], [41, 51]))


def test_an_answer_of_the_network_that_is_unusable_is_counted(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = segmenter.segment, []

    def sometimes(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise InferenceError("logits are not finite")
        return original(*arguments, **options)

    monkeypatch.setattr(segmenter, "segment", sometimes)
    folder = segment_path(write_bag(tmp_path / "run", drive()), segmenter, settings)
    assert summary_of(folder)["refused"] == ["1 of /front/image_raw: inference, first: logits are not finite"]
    assert len(of_topic(read(folder / "run_segmented"), MASK)) == 3


def test_nothing_usable_leaves_nothing(tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation) -> None:
    records = [image("/camera/image_raw", n, data=bytes(100)) for n in range(3)]
    bag = write_bag(tmp_path / "run", records)
    with pytest.raises(SourceError, match="no image can be used: 3 of /camera/image_raw: buffer, first: 100 bytes"):
        segment_path(bag, segmenter, settings)
    assert not (tmp_path / "out" / "run").exists()


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_compressed_recordings(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation, mode: CompressionMode
) -> None:
    bag = write_bag(tmp_path / "run", drive(), storage=StoragePlugin.SQLITE3, compression=mode)
    folder = segment_path(bag, segmenter, settings)
    content = read(folder / "run_segmented")
    assert originals(content) == drive()
    assert len(of_topic(content, MASK)) == 4
    assert not list((tmp_path / "out").glob(".*"))


def test_a_lone_file_without_end(tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation) -> None:
    bag = write_bag(tmp_path / "run", (image("/camera/image_raw", n) for n in range(200)))  # of two chunks
    content = (bag / "run.mcap").read_bytes()
    path = tmp_path / "killed.mcap"
    path.write_bytes(content[: len(content) * 4 // 5])
    folder = segment_path(path, segmenter, settings)
    assert folder.name == "killed"
    summary = summary_of(folder)
    assert 100 < summary["frames_processed"] < 200
    assert "killed.mcap has no end" in summary["notes"][0]
    masks = of_topic(read(folder / "killed_segmented"), MASK)
    assert len(masks) == summary["frames_processed"]


def split_drive(tmp_path: Path, files: int = 3) -> Path:
    return write_split_bag(tmp_path / "run", [drive(images=2, first=2 * n) for n in range(files)])


def test_every_file_of_a_split_bag_becomes_one(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation
) -> None:
    folder = segment_path(split_drive(tmp_path), segmenter, settings)
    bag = folder / "run_segmented"
    assert sorted(path.name for path in bag.iterdir()) == [
        "metadata.yaml",
        *(f"run_segmented_{n}.mcap" for n in range(3)),
    ]
    content = read(bag)
    assert originals(content) == drive(images=6)
    assert len(of_topic(content, MASK)) == 6
    alone = read(bag / "run_segmented_1.mcap")
    assert len(of_topic(alone, MASK)) == 2 and len(of_topic(alone, LABELS)) == 1, "each file can be used alone"


def test_a_finished_recording_is_not_segmented_again(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = split_drive(tmp_path)
    folder = segment_path(bag, segmenter, settings)
    before = digests(folder)
    capsys.readouterr()
    assert segment_path(bag, segmenter, settings) == folder
    assert "already segmented with the same settings" in capsys.readouterr().out
    assert digests(folder) == before


def test_other_settings_networks_and_inputs_are_other_work(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation
) -> None:
    bag = split_drive(tmp_path)
    folders = [
        segment_path(bag, segmenter, changed)
        for changed in (
            settings,
            replace(settings, overlay_alpha=0.25),
            replace(settings, confidence_threshold=0.5),
            replace(settings, network="another"),
            replace(settings, look=Look(180)),
            replace(settings, only_results=True),
        )
    ]
    (bag / "run_1.mcap").write_bytes(write_split_bag(tmp_path / "b", [drive()]).joinpath("b_0.mcap").read_bytes())
    folders.append(segment_path(bag, segmenter, settings))
    assert [folder.name for folder in folders] == ["run", *(f"run_{n}" for n in range(2, 8))]


def test_results_of_something_else_are_never_mixed(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation
) -> None:
    stranger = tmp_path / "out" / "run" / "run_mask.png"
    stranger.parent.mkdir(parents=True)
    stranger.touch()
    assert segment_path(split_drive(tmp_path), segmenter, settings).name == "run_2"
    assert list(stranger.parent.iterdir()) == [stranger]


def interrupt_at(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch, image_number: int) -> list[int]:
    original, calls = segmenter.segment, []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == image_number:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(segmenter, "segment", interrupted)
    return calls


def test_finished_files_are_kept_when_the_work_is_interrupted(
    tmp_path: Path,
    segmenter: Segmenter,
    settings: FileSegmentation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bag = split_drive(tmp_path)
    whole = segment_path(bag, segmenter, replace(settings, output=tmp_path / "whole"))
    with monkeypatch.context() as patch:
        interrupt_at(segmenter, patch, 4)  # the second image of the second file
        with pytest.raises(KeyboardInterrupt):
            segment_path(bag, segmenter, settings)
    assert "1 of 3 files are finished and kept; the same command goes on from there" in capsys.readouterr().out
    folder = tmp_path / "out" / "run"
    assert {path.name for path in folder.iterdir()} == {".segmented.json", ".run_segmented.unfinished"}
    unfinished = folder / ".run_segmented.unfinished"
    assert [path.name for path in unfinished.iterdir()] == ["run_segmented_0.mcap"], "no half file is left"
    kept = digests(unfinished)

    calls: list[int] = []
    original = segmenter.segment
    monkeypatch.setattr(segmenter, "segment", lambda *a, **o: calls.append(1) or original(*a, **o))
    assert segment_path(bag, segmenter, settings) == folder
    assert len(calls) == 4, "only what was not finished"
    assert set(kept.values()) <= set(digests(folder / "run_segmented").values())
    assert read_raw(folder / "run_segmented") == read_raw(whole / "run_segmented")
    resumed, straight = summary_of(folder), summary_of(whole)
    assert resumed["files_kept_from_an_earlier_run"] == 1
    assert resumed["frames_processed"] == straight["frames_processed"] == 6
    assert resumed["class_shares"] == straight["class_shares"], "of all images, not only of the last run's"


def test_an_interruption_before_the_first_file_is_finished_leaves_nothing(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(segmenter, monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        segment_path(split_drive(tmp_path), segmenter, settings)
    assert not (tmp_path / "out" / "run").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from fanet_ros.recorded.segment_files import FileSegmentation, segment_path
from fanet_ros.segmenter import Segmenter

segmenter = Segmenter(input_size="96x64", kept_sizes=2)
original, calls = segmenter.segment, []

def killed(*arguments, **options):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)

segmenter.segment = killed
segment_path(Path(sys.argv[1]), segmenter, FileSegmentation(Path(sys.argv[2]), network="small"))
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation) -> None:
    bag = split_drive(tmp_path)
    command = [sys.executable, "-c", KILLED, str(bag), str(settings.output)]
    assert subprocess.run(command, check=False, timeout=120).returncode == -9
    folder = settings.output / "run"
    assert not (folder / "run_segmented").exists()
    unfinished = folder / ".run_segmented.unfinished"
    half, whole = sorted(path.name for path in unfinished.iterdir())
    assert half.startswith(".run_segmented_1.mcap.") and whole == "run_segmented_0.mcap"
    assert segment_path(bag, segmenter, settings) == folder
    assert summary_of(folder)["files_kept_from_an_earlier_run"] == 1
    assert originals(read(folder / "run_segmented")) == drive(images=6)
    assert len(list((folder / "run_segmented").iterdir())) == 4


def test_hidden_files_of_others_are_removed_like_half_files(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = split_drive(tmp_path)
    with monkeypatch.context() as patch:
        interrupt_at(segmenter, patch, 4)
        with pytest.raises(KeyboardInterrupt):
            segment_path(bag, segmenter, settings)
    (settings.output / "run" / ".run_segmented.unfinished" / ".DS_Store").touch()
    folder = segment_path(bag, segmenter, settings)
    assert summary_of(folder)["files_kept_from_an_earlier_run"] == 1
    assert not (folder / "run_segmented" / ".DS_Store").exists()


def test_a_damaged_file_ends_the_work_and_what_is_finished_is_kept(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation
) -> None:
    bag = split_drive(tmp_path)
    damaged = bag / "run_1.mcap"
    write_mcap(damaged, drive(images=4, first=2), compression=CompressionType.NONE, chunk_size=20_000)
    content = bytearray(damaged.read_bytes())
    content[30_000] ^= 0xFF  # in the second chunk
    damaged.write_bytes(content)
    with pytest.raises(SourceError, match=r"run_1.mcap is damaged .* 1 of 3 files are finished and kept") as error:
        segment_path(bag, segmenter, settings)
    assert "\n" not in str(error.value)
    folder = tmp_path / "out" / "run"
    assert not (folder / "run_segmented").exists()
    kept = folder / ".run_segmented.unfinished" / "run_segmented_0.mcap"
    assert len(of_topic(read(kept), MASK)) == 2


def test_output_within_the_recording_is_refused(tmp_path: Path, segmenter: Segmenter) -> None:
    bag = split_drive(tmp_path)
    before = digests(bag)
    for output in (bag, bag / "deep" / "out"):
        with pytest.raises(SettingError, match="lies within the recording"):
            segment_path(bag, segmenter, FileSegmentation(output))
    folder = segment_path(bag, segmenter, FileSegmentation(tmp_path))
    assert folder.name == "run_2", "beside the recording, not into it"
    assert digests(bag) == before


def test_a_full_disk_is_one_clear_error(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mcap.writer.Writer.add_message", full)
    with pytest.raises(SettingError, match="run_segmented_0.mcap cannot be written: No space left on device"):
        segment_path(split_drive(tmp_path), segmenter, settings)
    assert not (tmp_path / "out" / "run").exists()


def test_two_runs_never_work_on_the_same(tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation) -> None:
    bag = split_drive(tmp_path)
    original = segmenter.segment
    errors = []

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        if not errors:
            errors.append(None)
            with pytest.raises(SettingError, match="another run is at work in") as error:
                segment_path(bag, segmenter, settings)
            errors.append(error)
        return original(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmenter, "segment", meanwhile)
        folder = segment_path(bag, segmenter, settings)
    assert len(errors) == 2
    assert originals(read(folder / "run_segmented")) == drive(images=6)


def test_what_was_found_is_read_from_any_complete_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with path.open("wb") as file:
        writer = Writer(file, use_statistics=False)  # so that it is read to its end first
        writer.start()
        writer.add_metadata("fanet_segment", {"results": '{"segmented": 3}'})
        writer.finish()
    assert read_finished(path)[1] == {"segmented": 3}


def test_an_output_file_is_hidden_until_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with pytest.raises(RuntimeError), output_file(path):
        (hidden,) = tmp_path.iterdir()
        assert hidden.name.startswith(".a.mcap.")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_recording_made_beside_the_live_node_keeps_its_topics(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation
) -> None:
    mask = image(MASK, 1, encoding="mono8", step=64, data=bytes(64 * 48))
    records = [image("/camera/image_raw", 0), mask, text("/chatter", 2)]
    folder = segment_path(write_bag(tmp_path / "run", records), segmenter, settings)
    content = read(folder / "run_segmented")
    assert [r for r, _ in content if not r.topic.startswith("/segmentation_2")] == records
    assert len(of_topic(content, "/segmentation_2/mask")) == 1


def test_types_of_the_results_are_those_of_ros(
    tmp_path: Path, segmenter: Segmenter, settings: FileSegmentation
) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import CompressedImage, Image
    from vision_msgs.msg import LabelInfo

    folder = segment_path(write_bag(tmp_path / "run", drive(images=1)), segmenter, settings)
    data = {record.topic: record for record in read_raw(folder / "run_segmented")}
    mask = deserialize_message(data[MASK].data, Image)
    assert (mask.encoding, len(mask.data), mask.header.frame_id) == ("mono8", 48 * 64, "camera_optical_frame")
    names = deserialize_message(data[LABELS].data, LabelInfo)
    assert [c.class_name for c in names.class_map] == list(segmenter.label_set.names)
    assert data[LABELS].type_name == LABEL_INFO
    overlay = deserialize_message(data[OVERLAY].data, CompressedImage)
    assert (overlay.format, data[OVERLAY].type_name) == ("rgb8; jpeg compressed bgr8", COMPRESSED)
