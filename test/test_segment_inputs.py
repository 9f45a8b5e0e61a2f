"""What the paths of `fanet segment` stand for, names of all kinds, results that are replaced, and what is said."""

import json
import os
import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from bag_writing import drive, image, jpeg, text, write_bag, write_mcap
from rosbags.rosbag2 import StoragePlugin
from segment_command import segment
from test_segment_files import picture, write_video

from fanet_ros.recorded.inputs import Input, find_inputs
from fanet_ros.recorded.recording import find_recording
from fanet_ros.segmenter import Segmenter

pytestmark = pytest.mark.usefixtures("one_network")

ODD = (b"caf\xe9", b"cam:front", b"drive%03d", b"two words [1]", b"\x1b[2Jred")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def summary(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "summary.json").read_text()))


def test_a_folder_stands_for_all_that_is_in_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    assert find_inputs([data]) == [Input(data)], "which is then said to be empty"
    bag, other = (write_bag(data / name, drive(images=1)) for name in ("bag10", "bag2"))
    assert find_inputs([data]) == [Input(other), Input(bag)]
    (data / "notes.txt").touch()
    (data / "drive.MP4").touch()
    (data / "ros1.bag").touch()
    assert [given.path.name for given in find_inputs([data])] == ["bag2", "bag10", "drive.MP4", "ros1.bag"]
    lone = write_mcap(data / "part_0.mcap", drive(images=1))
    assert find_inputs([data])[0] == Input(data), "the files of a recorder that was killed"
    assert len(find_inputs([data])) == 5
    (data / "a.png").touch()
    assert find_inputs([data])[0] == Input(data)
    assert Input(lone) in find_inputs([data])
    assert find_inputs([bag]) == [Input(bag)], "a recording is no folder of recordings"
    assert find_inputs([tmp_path / "none", lone]) == [Input(tmp_path / "none"), Input(lone)]


def test_images_alone_belong_together(tmp_path: Path) -> None:
    images = (tmp_path / "b.png", tmp_path / "a.JPG")
    for path in images:
        path.touch()
    assert find_inputs(images) == [Input(Path("images"), images)]
    assert find_inputs(images[:1]) == [Input(images[0])]
    video = tmp_path / "a.mp4"
    video.touch()
    assert find_inputs([*images, video]) == [*map(Input, images), Input(video)]


def test_everything_in_a_folder_is_segmented(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    cv2.imwrite(str(data / "still.png"), picture())
    write_video(data / "drive.mp4", 2)
    write_bag(data / "bag", drive(images=1))
    (data / "bad.mcap").write_bytes(b"no recording")
    result = segment(tmp_path / "out", data)
    assert result.exit_code == 1 and "bad.mcap is damaged" in result.output, result.output
    assert "1 of 4 paths could not be segmented" in result.output
    assert names(tmp_path / "out") == {"data", "drive", "bag"}
    assert (tmp_path / "out" / "data" / "still_mask.png").exists()
    assert (tmp_path / "out" / "drive" / "overlay.mp4").exists()
    assert (tmp_path / "out" / "bag" / "bag_segmented" / "metadata.yaml").exists()


def test_stills_share_a_folder_and_damaged_ones_are_counted(tmp_path: Path) -> None:
    for name in ("b", "a"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture())
    (tmp_path / "bad.png").write_bytes((tmp_path / "a.png").read_bytes()[:50])
    result = segment(tmp_path / "out", *(tmp_path / f"{name}.png" for name in ("b", "bad", "a")))
    assert result.exit_code == 1, result.output
    assert "images: 1 of 3 images cannot be read, first: bad.png; the others are in" in result.output
    folder = tmp_path / "out" / "images"
    assert {"a_mask.png", "b_mask.png", "summary.json", "contact_sheet.png"} <= names(folder)
    assert (summary(folder)["frames_processed"], summary(folder)["images_refused"]) == (2, 1)

    (tmp_path / "bad.png").unlink()
    result = segment(tmp_path / "out", *(tmp_path / f"{name}.png" for name in ("b", "a")), "--overwrite")
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "out") == {"images"} and summary(folder)["images_refused"] == 0


def test_a_video_that_is_cut_short_is_said(tmp_path: Path) -> None:
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (120, 72))
    for _ in range(20):
        writer.write(picture())
    writer.release()
    whole = path.read_bytes()
    assert "is it complete?" not in segment(tmp_path / "out", path).output
    path.write_bytes(whole[: len(whole) // 2])
    result = segment(tmp_path / "out", path)
    frames = summary(tmp_path / "out" / "drive_2")["frames_processed"]
    assert f"only {frames} of the 20 frames that it states could be read; is it complete?" in result.output
    assert summary(tmp_path / "out" / "drive_2")["frames_stated"] == 20


@pytest.mark.parametrize("odd", ODD)
def test_names_of_any_bytes(tmp_path: Path, odd: bytes) -> None:
    name = os.fsdecode(odd)
    folder = tmp_path / name
    folder.mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    (tmp_path / "a.png").rename(folder / f"{name}.png")
    write_video(tmp_path / "a.mp4", 2)
    video = (tmp_path / "a.mp4").rename(tmp_path / f"{name}.mp4")
    bag = write_bag(tmp_path / "bag", drive(images=1), storage=StoragePlugin.SQLITE3).rename(tmp_path / f"{name}_bag")
    (bag / "bag.db3").rename(bag / f"{name}.db3")
    (bag / "metadata.yaml").unlink()
    lone = shutil.copy(bag / f"{name}.db3", tmp_path / f"{name}_lone.db3")
    (tmp_path / f"{name}.mcap").write_bytes(b"no recording")
    output = tmp_path / "out" / name
    result = segment(output, folder, video, bag, lone, tmp_path / f"{name}.mcap")
    assert result.exit_code == 1 and "1 of 5 paths could not be segmented" in result.output, ascii(result.output)
    assert "\x1b[2J" not in result.output and result.stdout_bytes.decode()
    assert (output / name / f"{name}_mask.png").exists() and (output / f"{name}_2" / "overlay.mp4").exists()
    readable = name.replace("\udce9", "_")  # metadata.yaml names files, and is UTF-8
    for kind in ("bag", "lone"):
        assert (output / f"{readable}_{kind}" / f"{readable}_{kind}_segmented" / "metadata.yaml").read_text()


@pytest.mark.parametrize(
    ("scale", "rate"), [(66667 / 10000, 66.67), (9000, 30), (1e-6, 30)], ids=["66.667", "90000", "none"]
)
def test_videos_of_odd_frame_rates(tmp_path: Path, scale: float, rate: float, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "drive.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (120, 72))
    for _ in range(6):
        writer.write(picture())
    writer.release()
    content = bytearray(path.read_bytes())
    place = content.find(b"mdhd") + 16  # its time scale
    ticks = struct.unpack(">I", content[place : place + 4])[0]
    content[place : place + 4] = struct.pack(">I", max(1, int(ticks * scale)))
    path.write_bytes(content)
    result = segment(tmp_path / "out", path)
    assert result.exit_code == 0, result.output
    assert ("frames per second; it is taken to have 30" in caplog.text) == (rate == 30)
    video = cv2.VideoCapture(str(tmp_path / "out" / "drive" / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == (6 if scale > 1 else 1)  # the file's edit list then ends at once
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(rate, rel=1e-3)


def test_results_are_replaced_only_where_they_are_results(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    out = tmp_path / "out"
    assert segment(out, tmp_path / "a.png").exit_code == 0
    (out / "a" / "notes.txt").write_text("mine")
    (out / "a" / "old_mask.png").touch()
    assert segment(out, tmp_path / "a.png", "--overwrite").exit_code == 0
    assert names(out) == {"a"} and names(out / "a") >= {"notes.txt", "a_mask.png"}
    assert not (out / "a" / "old_mask.png").exists()

    images = tmp_path / "drive"
    images.mkdir()
    cv2.imwrite(str(images / "a_mask.png"), picture())
    (images / "summary.json").write_text("{}")
    before = (images / "a_mask.png").read_bytes()
    result = segment(tmp_path, images, "--overwrite")
    assert result.exit_code == 1 and "holds something else than results" in result.output
    assert (images / "a_mask.png").read_bytes() == before
    for mark in ("summary.json", ".segmented.json"):
        (out / "a" / mark).unlink()
    result = segment(out, tmp_path / "a.png", "--overwrite")
    assert result.exit_code == 1 and "holds something else than results" in result.output
    assert (out / "a" / "a_mask.png").exists()


def test_a_bag_is_replaced(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "run", drive(images=2))
    out = tmp_path / "out"
    assert segment(out, bag).exit_code == 0
    first = (out / "run" / "run_segmented" / "metadata.yaml").stat().st_mtime_ns
    assert "already segmented" in segment(out, bag).output
    result = segment(out, bag, "--overwrite", "--only-results")
    assert result.exit_code == 0 and names(out) == {"run"}, result.output
    assert (out / "run" / "run_segmented" / "metadata.yaml").stat().st_mtime_ns > first
    assert "/chatter" not in (out / "run" / "run_segmented" / "metadata.yaml").read_text()


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Segmenter.segment, []

    def segment_twice(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Segmenter, "segment", segment_twice)


@pytest.mark.usefixtures("interrupted")
def test_ctrl_c_says_how_to_go_on_with_a_video(tmp_path: Path) -> None:
    write_video(tmp_path / "drive.mp4", 5)
    result = segment(tmp_path / "out", tmp_path / "drive.mp4")
    assert result.exit_code == 130
    assert "drive.mp4: stopped after 2 of 5 frames, which are in" in result.output
    assert "--overwrite" in result.output and "Traceback" not in result.output


@pytest.mark.usefixtures("interrupted")
def test_ctrl_c_says_how_to_go_on_with_a_recording_of_one_file(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "run", drive(images=5))
    result = segment(tmp_path / "out", bag)
    assert result.exit_code == 130
    assert "run: stopped before one of its files was finished, so nothing is kept" in result.output
    assert not any((tmp_path / "out").iterdir())


def test_what_nobody_foresaw_does_not_end_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag = write_bag(tmp_path / "good", drive(images=1))
    odd = write_bag(tmp_path / "odd", drive(images=1))
    for error, said in (
        (PermissionError(13, "Permission denied", "x"), "odd: Permission denied (x)"),
        (MemoryError(), "odd: there is not enough memory for it"),
        (RuntimeError("so"), "odd: RuntimeError: so; this is a fault of this program: please report it"),
    ):

        def fail(path: Path, error: Exception = error, real: object = find_recording) -> object:
            if path == odd:
                raise error
            return real(path)  # type: ignore[operator]

        monkeypatch.setattr("fanet_ros.recorded.segment.find_recording", fail)
        result = segment(tmp_path / "out", odd, bag)
        assert result.exit_code == 1 and "1 of 2 paths" in result.output, result.output
        assert said in " ".join(result.output.split()) and "Traceback" not in result.output
    assert names(tmp_path / "out") == {"good"}


def test_pipes_are_no_recordings_images_or_videos(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.mcap", "a.png", "a.mp4", "a.db3.zstd", "a")]
    for path in paths:
        os.mkfifo(path)
    result = segment(tmp_path / "out", *paths, Path("/dev/zero"), Path("/proc/self/mem"))
    assert result.exit_code == 1 and "7 of 7 paths" in result.output, result.output
    assert result.output.count("it is a pipe, and no file") == 5


def test_recordings_of_odd_times_and_without_images(tmp_path: Path) -> None:
    camera = [image("/camera/image_raw", number) for number in range(4)]
    for name, times in {"zero": [0, 0, 0, 0], "backward": [4, 3, 2, 1], "same": [7, 7, 7, 7]}.items():
        records = [record._replace(time=time) for record, time in zip(camera, times, strict=True)]
        result = segment(tmp_path / "out", write_bag(tmp_path / name, records))
        assert result.exit_code == 0, result.output
        assert summary(tmp_path / "out" / name)["frames_processed"] == 4
    (tmp_path / "nothing.mcap").touch()
    write_mcap(tmp_path / "empty.mcap", [])
    write_bag(tmp_path / "others", [text("/chatter", 0)])
    result = segment(tmp_path / "out", *(tmp_path / name for name in ("nothing.mcap", "empty.mcap", "others")))
    assert result.exit_code == 1 and "3 of 3 paths" in result.output
    assert "the topics are none" in result.output and "/chatter (std_msgs/msg/String)" in result.output
    assert names(tmp_path / "out") == {"zero", "backward", "same"}


def test_wrong_counts_in_the_metadata_change_nothing(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "run", drive(images=3))
    content = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(content.replace("message_count: 3", "message_count: 0"))
    assert content != (bag / "metadata.yaml").read_text()
    assert segment(tmp_path / "out", bag).exit_code == 0
    assert summary(tmp_path / "out" / "run")["frames_processed"] == 3


def test_hidden_characters_of_topics_do_not_reach_the_terminal(tmp_path: Path) -> None:
    odd = [image("/cam\x1b[2J/image_raw", 0), image("/b", 1, encoding="\x1b[31mrgb" + "x" * 500)]
    result = segment(tmp_path / "out", write_mcap(tmp_path / "a.mcap", odd))
    assert result.exit_code == 0, result.output
    assert "/cam\\x1b[2J/image_raw -> /segmentation" in result.output and "\x1b[2J" not in result.output
    assert "x" * 200 not in result.output


def test_masks_do_not_depend_on_how_the_image_came(tmp_path: Path) -> None:
    """A mosaic of Bayer is the same picture raw and as PNG, live as recorded."""
    mosaic = np.random.default_rng(3).integers(0, 256, (48, 64), np.uint8)
    png = cv2.imencode(".png", cv2.GaussianBlur(mosaic, (0, 0), 3))[1].tobytes()
    plain = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED).tobytes()
    raw = image("/cam/image_raw", 0, encoding="bayer_rggb8", step=64, data=plain)
    packed = jpeg("/cam/image_raw/compressed", 0, image_format="bayer_rggb8; png compressed ", data=png)
    shares = []
    for name, record in (("raw", raw), ("packed", packed)):
        assert segment(tmp_path / "out", write_mcap(tmp_path / f"{name}.mcap", [record])).exit_code == 0
        shares.append(summary(tmp_path / "out" / name)["class_shares"])
    assert shares[0] == shares[1]
    depth = cv2.imencode(".png", np.full((48, 64), 2000, np.uint16))[1].tobytes()
    for image_format, said in (("16UC1; png compressed ", "encoding 16UC1"), ("png", "distances, and no picture")):
        record = jpeg("/depth/compressed", 0, image_format=image_format, data=depth)
        result = segment(tmp_path / "out", write_mcap(tmp_path / "depth.mcap", [record]))
        assert result.exit_code == 1 and said in result.output, result.output
