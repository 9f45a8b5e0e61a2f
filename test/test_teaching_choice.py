"""Which frames are taken: fanet_ros/teaching/choice.py."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fanet_ros.teaching.choice import Choice


def picture(seed: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.kron(coarse, np.ones((20, 20, 1), np.uint8))


def taken(choice: Choice, stream: str, frames: list[NDArray[np.uint8]]) -> list[int]:
    found = []
    for number, frame in enumerate(frames):
        part = choice.part_to_fill(stream, number)
        if part is not None and choice.take(stream, part, frame):
            found.append(number)
    return found


@pytest.mark.parametrize(("length", "images"), [(100, 10), (97, 10), (10, 10), (4, 10), (1, 1), (1000, 7)])
def test_frames_are_spread_evenly(length: int, images: int) -> None:
    choice = Choice({"drive": length}, images)
    numbers = taken(choice, "drive", [picture(number) for number in range(length)])
    assert len(numbers) == min(length, images) == choice.parts
    assert [number * len(numbers) // length for number in numbers] == list(range(len(numbers)))


def test_a_robot_that_stands_still_is_seen_once_and_a_blink_is_not_missed() -> None:
    frames = [picture(0)] * 60
    frames[35] = frames[36] = picture(1)
    choice = Choice({"drive": 60}, 60 // 3)
    assert taken(choice, "drive", frames) == [0, 35] and choice.similar == 56
    noisy = [
        np.clip(picture(0).astype(int) + np.random.default_rng(n).integers(-9, 10, (120, 160, 1)), 0, 255)
        for n in range(9)
    ]
    assert taken(Choice({"drive": 9}, 9), "drive", [frame.astype(np.uint8) for frame in noisy]) == [0]


def test_exposure_makes_no_new_picture_and_who_walks_past_does() -> None:
    street = cv2.resize(picture(0), (320, 180), interpolation=cv2.INTER_CUBIC) // 2 + 40
    frames = [np.clip(street * gain, 0, 255).astype(np.uint8) for gain in (1, 1.1, 0.9, 1.2)]
    person = street.copy()
    person[60:160, 100:140] = (250, 250, 0)  # 7 % of the picture
    assert taken(Choice({"drive": 5}, 5), "drive", [*frames, person]) == [0, 4]


def test_what_another_stream_has_shown_is_not_taken_again_and_shares_follow_lengths() -> None:
    choice = Choice({"long": 90, "short": 10, "empty": 0}, 20)
    assert len(taken(choice, "long", [picture(number) for number in range(90)])) == 18
    assert taken(choice, "short", [picture(0), *(picture(100 + number) for number in range(9))]) == [2, 5]
    assert taken(choice, "empty", [picture(500)]) == []


def test_frames_beyond_what_a_container_claims_are_passed_over() -> None:
    assert taken(Choice({"drive": 3}, 3), "drive", [picture(number) for number in range(9)]) == [0, 1, 2]


def test_the_last_tenth_of_each_stream_is_held_out() -> None:
    choice = Choice({"long": 400, "short": 4}, 404)
    assert [part for part in range(400) if choice.held_out("long", part)] == list(range(360, 400))
    assert not any(choice.held_out("short", part) for part in range(4))
