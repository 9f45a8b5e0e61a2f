"""How rotations and regions are written, and what is refused."""

import pytest

from fanet_ros.errors import FrameError, SettingError
from fanet_ros.frames.look import Look, Region, read_looks, read_region
from fanet_ros.settings import Size

REGION = Region(10, 120, Size(640, 240))


@pytest.mark.parametrize(
    ("rotations", "regions", "expected"),
    [
        ([], [], [Look(), Look(), Look()]),
        (["180"], ["640x240+10+120"], [Look(180, REGION)] * 3),
        (["0", "180", "90"], ["whole", "640x240+10+120", "whole"], [Look(), Look(180, REGION), Look(90)]),
    ],
)
def test_one_value_is_for_all_cameras_or_each_has_its_own(
    rotations: list[str], regions: list[str], expected: list[Look]
) -> None:
    assert list(read_looks(rotations, regions, 3)) == expected


@pytest.mark.parametrize(
    ("rotations", "regions", "words"),
    [
        (["45"], [], "received '45', expected 0, 90, 180 or 270"),
        (["upside down"], [], "degrees clockwise"),
        (["0", "180"], [], r"rotation: received 2 values \(0, 180\) for 3 cameras, expected one for all or one for"),
        ([], ["10,120,640x240"], r"expected whole or WIDTHxHEIGHT\+X\+Y in pixels"),
        ([], ["640x240"], r"for example 640x240\+0\+120"),
        ([], ["640x240-1+0"], "received '640x240-1"),
        ([], ["16x240+0+0"], "both sides between 32 and 8192"),
        ([], ["640x240+8000+0"], "ends beyond pixel 8192"),
    ],
)
def test_what_cannot_be_is_refused_in_words(rotations: list[str], regions: list[str], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        read_looks(rotations, regions, 3)


def test_what_is_seen_is_upright_and_inside_the_image() -> None:
    assert Look(90, REGION).seen_size(Size(650, 360)) == Size(240, 640)
    assert Look(180).seen_size(Size(650, 360)) == Size(650, 360)
    with pytest.raises(FrameError, match=r"size 640x480, but region is 640x240\+10\+120, which ends at column 650"):
        Look(0, REGION).check(Size(640, 480))
    assert str(REGION) == "640x240+10+120" and read_region(str(REGION)) == REGION


def test_a_region_keeps_its_place_in_masks_of_another_size() -> None:
    assert REGION.scaled(Size(1280, 720), Size(1280, 720)) == REGION
    assert REGION.scaled(Size(1280, 720), Size(640, 360)) == Region(5, 60, Size(320, 120))
    assert Region(600, 0, Size(40, 32)).scaled(Size(640, 32), Size(8, 32)) == Region(7, 0, Size(1, 32))
