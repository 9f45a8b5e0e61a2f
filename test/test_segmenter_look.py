"""Turned cameras and regions: the network sees upright, masks come back as the camera sees."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fanet_ros.errors import FrameError
from fanet_ros.frames.look import ROTATIONS, Look, Region
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.model.labels import UNLABELLED
from fanet_ros.segmenter import FrameRequest, Segmentation, Segmenter
from fanet_ros.settings import Size

RNG = np.random.default_rng(5)
UPRIGHT = cv2.GaussianBlur(RNG.integers(0, 256, (96, 160, 3), np.uint8), (0, 0), 6)
TURNED = {rotation: np.ascontiguousarray(np.rot90(UPRIGHT, rotation // 90)) for rotation in ROTATIONS}  # as cameras see
SIDE = Region(32, 24, Size(96, 64))
ROWS = Region(0, 32, Size(160, 64))  # lies in the mask without gaps


@pytest.fixture(scope="module")
def segmenter() -> Iterator[Segmenter]:
    found = Segmenter(backend="openvino", precision="fp32", input_size="camera", kept_sizes=4, temporal_frames=1)
    yield found
    found.close()


def of(result: object) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    assert isinstance(result, Segmentation) and result.confidence is not None
    return result.labels, result.confidence


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_the_network_sees_upright_and_the_mask_is_the_cameras(segmenter: Segmenter, rotation: int) -> None:
    labels, confidence = of(segmenter.segment(UPRIGHT, confidence=True))
    assert len(np.unique(labels)) > 1
    found = segmenter.segment(TURNED[rotation], look=Look(rotation), confidence=True)
    assert found.input_size == Size(160, 96)
    np.testing.assert_array_equal(found.labels, np.rot90(labels, rotation // 90))
    difference = np.abs(of(found)[1].astype(int) - np.rot90(confidence, rotation // 90))
    assert difference.max() <= 1  # the sums of the enlargement are rounded in another order


@pytest.mark.parametrize("region", [SIDE, ROWS])
@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("given", [False, True])
def test_outside_the_region_nothing_is_labelled(
    segmenter: Segmenter, region: Region, rotation: int, given: bool
) -> None:
    crop = UPRIGHT[region.top : region.bottom, region.left : region.right]
    alone = segmenter.segment(np.ascontiguousarray(crop), look=Look(rotation), confidence=True)
    out = LabelBuffers(np.full((96, 160), 7, np.uint8), np.full((96, 160), 7, np.uint8)) if given else None
    found = segmenter.segment(UPRIGHT, look=Look(rotation, region), confidence=True, out=out)
    labels, confidence = of(found)
    if out is not None:
        assert labels is out.labels and confidence is out.confidence
    inside = np.zeros((96, 160), bool)
    inside[region.top : region.bottom, region.left : region.right] = True
    np.testing.assert_array_equal(labels[inside], alone.labels.ravel())
    np.testing.assert_array_equal(confidence[inside], of(alone)[1].ravel())
    assert (labels[~inside] == UNLABELLED).all() and (confidence[~inside] == 0).all()
    share = found.class_shares(11).sum()
    assert share == pytest.approx(inside.mean()), "shares are of all of the mask"


def test_a_region_in_a_mask_of_another_size_and_with_a_threshold(segmenter: Segmenter) -> None:
    look = Look(180, SIDE)
    full = segmenter.segment(TURNED[180], look=look, output_size=Size(80, 48), confidence=True)
    labels, confidence = of(full)
    assert labels.shape == (48, 80) and (labels[:12] == UNLABELLED).all() and (labels[12:44, 16:64] < 11).all()
    threshold = float(np.median(confidence[12:44, 16:64])) / 255
    cut = segmenter.segment(TURNED[180], look=look, output_size=Size(80, 48), confidence_threshold=threshold)
    assert cut.confidence is None
    np.testing.assert_array_equal(cut.labels, np.where(confidence < threshold * 255, UNLABELLED, labels))


def test_turned_and_upright_cameras_share_a_batch() -> None:
    segmenter = Segmenter(backend="openvino", precision="fp32", input_size="camera")
    looks = [Look(), Look(180), Look(90, Region(0, 16, Size(96, 144)))]  # the last one's shape is another
    frames = [UPRIGHT, TURNED[180], TURNED[90]]
    alone = [segmenter.segment(frame, look=look) for frame, look in zip(frames, looks, strict=True)]
    segmenter.measure_batch(Size(160, 96), 2)
    requests = [FrameRequest(frame, "rgb8", look=look) for frame, look in zip(frames, looks, strict=True)]
    for result, expected in zip(segmenter.segment_batch(requests), alone, strict=True):
        assert isinstance(result, Segmentation) and result.input_size == expected.input_size
        assert (result.labels == expected.labels).mean() > 0.999
    segmenter.close()


def test_the_input_size_fits_what_is_seen() -> None:
    segmenter = Segmenter(device="cpu", backend="openvino", precision="fp32")
    look = Look(270, Region(0, 0, Size(96, 160)))
    found = segmenter.segment(np.zeros((200, 100, 3), np.uint8), look=look)
    assert found.input_size == segmenter.input_size_for(Size(160, 96))
    segmenter.close()


def test_what_is_seen_is_prepared_before_the_first_frame_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look(90, Region(0, 0, Size(96, 160)))
    segmenter = Segmenter(backend="openvino", precision="fp32", looks=[look])
    segmenter.warm_up()
    prepared: list[Size] = []
    monkeypatch.setattr(segmenter._backend, "drop", prepared.append)
    found = segmenter.segment(np.zeros((200, 100, 3), np.uint8), look=look)
    assert found.input_size == segmenter.input_size_for(Size(160, 96))
    assert prepared == [], "what was guessed was right, so nothing was freed for another size"
    segmenter.close()


def test_cameras_that_look_in_other_ways_are_all_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [Look(), Look(180, SIDE), Look(90, ROWS), Look(180)]
    segmenter = Segmenter(backend="openvino", precision="fp32", looks=looks, kept_sizes=3)
    built: list[Size] = []
    dropped: list[Size] = []
    prepare = segmenter._backend.prepare
    monkeypatch.setattr(segmenter._backend, "prepare", lambda size: (built.append(size), prepare(size)))
    monkeypatch.setattr(segmenter._backend, "drop", dropped.append)
    measured: list[tuple[Size, int]] = []
    monkeypatch.setattr(segmenter._batches, "measure", lambda _, size, batch: measured.append((size, batch)))
    segmenter.warm_up(batch=len(looks))
    ready, usual = set(built), segmenter.input_size_for(Size(1280, 720))
    assert dict(measured) == {size: 2 if size == usual else 1 for size in ready}, "only two show the same"
    assert len(ready) == 3 and usual in ready
    regions = {segmenter.segment(UPRIGHT, look=look).input_size for look in looks[1:3]}
    assert regions == ready - {usual}
    assert not dropped, "what a region shows tells nothing about whole images"
    whole = segmenter.segment(np.zeros((96, 96, 3), np.uint8)).input_size
    assert whole not in ready and dropped == [usual]
    segmenter.close()


def test_a_region_outside_the_frame_costs_that_frame_alone(segmenter: Segmenter) -> None:
    small = np.zeros((64, 96, 3), np.uint8)
    with pytest.raises(FrameError, match="which ends at column 128 and row 88"):
        segmenter.segment(small, look=Look(0, SIDE))
    requests = [FrameRequest(each, "rgb8", look=Look(0, SIDE)) for each in (small, UPRIGHT)]
    bad, good = segmenter.segment_batch(requests)
    assert isinstance(bad, FrameError) and isinstance(good, Segmentation)


def test_a_turned_video_is_remembered_as_upright() -> None:
    segmenter = Segmenter(device="cpu", backend="torch", precision="fp32", input_size="camera", temporal_frames=2)
    upright, turned = segmenter.new_memory(), segmenter.new_memory()
    for shift in (0, 6, 12):
        frame = np.roll(UPRIGHT, shift, axis=1)
        expected = segmenter.segment(frame, memory=upright).labels
        found = segmenter.segment(np.ascontiguousarray(np.rot90(frame)), memory=turned, look=Look(90)).labels
        np.testing.assert_array_equal(found, np.rot90(expected))
    assert turned.frames == upright.frames > 0
    segmenter.close()
