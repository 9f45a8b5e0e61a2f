import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fanet_ros.errors import SourceError
from fanet_ros.frames.look import Look, read_region
from fanet_ros.recorded.segment_files import FileSegmentation, segment_path
from fanet_ros.segmenter import Segmenter

RNG = np.random.default_rng(2)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(input_size="160x96")


def picture() -> np.ndarray:
    return cv2.GaussianBlur(RNG.integers(0, 256, (72, 120, 3), np.uint8), (0, 0), 6)


def write_video(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12, (120, 72))
    for _ in range(frames):
        writer.write(picture())
    writer.release()


def test_image(tmp_path: Path, segmenter: Segmenter) -> None:
    image = picture()
    cv2.imwrite(str(tmp_path / "a street.png"), image)
    folder = segment_path(tmp_path / "a street.png", segmenter, FileSegmentation(tmp_path / "out"))
    assert folder == tmp_path / "out" / "a street"
    mask = cv2.imread(str(folder / "a street_mask.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, segmenter.segment(image, "bgr8").labels)
    overlay = cv2.imread(str(folder / "a street_overlay.png"))
    colors = segmenter.label_set.palette[mask][..., ::-1]
    assert np.abs(overlay - (0.5 * colors + 0.5 * image)).max() <= 1
    np.testing.assert_array_equal(cv2.imread(str(folder / "a street_color.png")), colors)
    assert not (folder / "overlay.mp4").exists()
    assert (folder / "contact_sheet.png").exists()
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["frames_processed"], summary["backend"]) == (1, segmenter.backend_info.name)
    assert summary["fps"] > 0


def test_a_turned_camera_and_a_region(tmp_path: Path, segmenter: Segmenter) -> None:
    look = Look(90, read_region("64x48+8+16"))
    image = picture()
    cv2.imwrite(str(tmp_path / "a.png"), image)
    folder = segment_path(tmp_path / "a.png", segmenter, FileSegmentation(tmp_path / "out", look=look))
    mask = cv2.imread(str(folder / "a_mask.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, segmenter.segment(image, "bgr8", look=look).labels)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["rotation"], summary["region"]) == (90, "64x48+8+16")
    assert sum(summary["class_shares"].values()) == pytest.approx(64 * 48 / (120 * 72), abs=1e-3)


def test_folder_of_images(tmp_path: Path, segmenter: Segmenter) -> None:
    images = tmp_path / "drive"
    images.mkdir()
    for name in ("1.png", "2.jpg", "10.png"):
        cv2.imwrite(str(images / name), picture())
    folder = segment_path(images, segmenter, FileSegmentation(tmp_path / "out"))
    assert sorted(p.name for p in folder.glob("*_mask.png")) == ["10_mask.png", "1_mask.png", "2_mask.png"]


def test_images_of_the_same_name_do_not_overwrite_each_other(tmp_path: Path, segmenter: Segmenter) -> None:
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), picture())
    folder = segment_path(tmp_path, segmenter, FileSegmentation(tmp_path / "out"))
    assert sorted(p.name for p in folder.glob("*_mask.png")) == ["a_2_mask.png", "a_mask.png"]


@pytest.mark.parametrize("masks", [False, True])
def test_video(tmp_path: Path, segmenter: Segmenter, masks: bool, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(tmp_path / "drive.mp4", 6)
    settings = FileSegmentation(tmp_path / "out", video_masks=masks)
    folder = segment_path(tmp_path / "drive.mp4", segmenter, settings)
    video = cv2.VideoCapture(str(folder / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 6
    assert video.get(cv2.CAP_PROP_FPS) == 12
    assert len(list(folder.glob("*_mask.png"))) == (6 if masks else 0)
    assert "inference" in capsys.readouterr().out


@pytest.fixture(scope="module")
def remembering() -> Segmenter:
    return Segmenter(input_size="160x96", temporal_frames=3)


def masks_in(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.glob("*_mask.png"))]


def test_every_frame_of_a_video_is_seen_with_those_before_it(tmp_path: Path, remembering: Segmenter) -> None:
    write_video(tmp_path / "drive.mp4", 5)
    settings = FileSegmentation(tmp_path / "out", video_masks=True, temporal_frames=3)
    found = masks_in(folder := segment_path(tmp_path / "drive.mp4", remembering, settings))
    video, memory = cv2.VideoCapture(str(tmp_path / "drive.mp4")), remembering.new_memory()
    frames = [video.read()[1] for _ in range(5)]
    expected = [remembering.segment(frame, "bgr8", memory=memory).labels for frame in frames]
    np.testing.assert_array_equal(found, expected)
    alone = [remembering.segment(frame, "bgr8").labels for frame in frames]
    assert [(one != other).any() for one, other in zip(alone, found, strict=True)] == [False, *[True] * 4]
    assert json.loads((folder / "summary.json").read_text())["temporal_frames"] == 3
    again = segment_path(tmp_path / "drive.mp4", remembering, settings)
    np.testing.assert_array_equal(masks_in(again), found, "a video does not remember the one before it")


def test_images_are_seen_each_by_itself(tmp_path: Path, remembering: Segmenter) -> None:
    images = tmp_path / "drive"
    images.mkdir()
    pictures = [picture() for _ in range(3)]
    for number, image in enumerate(pictures):
        cv2.imwrite(str(images / f"{number}.png"), image)
    folder = segment_path(images, remembering, FileSegmentation(tmp_path / "out", temporal_frames=3))
    np.testing.assert_array_equal(masks_in(folder), [remembering.segment(image, "bgr8").labels for image in pictures])
    assert "temporal_frames" not in json.loads((folder / "summary.json").read_text())


def test_uncertain_pixels_are_unlabelled(tmp_path: Path, segmenter: Segmenter) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    settings = FileSegmentation(tmp_path / "out", confidence_threshold=1.0)
    folder = segment_path(tmp_path / "a.png", segmenter, settings)
    assert (cv2.imread(str(folder / "a_mask.png"), cv2.IMREAD_UNCHANGED) == 255).mean() > 0.5


def test_results_of_another_run_are_never_overwritten(tmp_path: Path, segmenter: Segmenter) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    settings = FileSegmentation(tmp_path / "out")
    folders = [segment_path(tmp_path / "a.png", segmenter, settings) for _ in range(3)]
    assert [f.name for f in folders] == ["a", "a_2", "a_3"]


def test_what_was_computed_before_an_interruption_is_kept(
    tmp_path: Path, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "drive.mp4", 6)
    original, calls = segmenter.segment, []

    def interrupted(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(segmenter, "segment", interrupted)
    with pytest.raises(KeyboardInterrupt):
        segment_path(tmp_path / "drive.mp4", segmenter, FileSegmentation(tmp_path / "out"))
    folder = tmp_path / "out" / "drive"
    assert json.loads((folder / "summary.json").read_text())["frames_processed"] == 3
    assert cv2.VideoCapture(str(folder / "overlay.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3


def test_missing_path(tmp_path: Path, segmenter: Segmenter) -> None:
    with pytest.raises(SourceError, match="does not exist; give an image, a video, a folder of images or a recording"):
        segment_path(tmp_path / "nothing.png", segmenter, FileSegmentation(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_recordings_need_libraries_that_nothing_else_needs(
    tmp_path: Path, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("fanet_ros.recorded.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rosbags", None)
    monkeypatch.setitem(sys.modules, "rosbags.rosbag2.metadata", None)
    (tmp_path / "drive.mcap").touch()
    with pytest.raises(SourceError, match="needs rosbags.*, which is not installed: pip install rosbags mcap"):
        segment_path(tmp_path / "drive.mcap", segmenter, FileSegmentation(tmp_path / "out"))
