from collections.abc import Callable

import pytest

from fanet_ros.errors import SettingError
from fanet_ros.settings import Size, check_device, check_input_size, check_output_size, read_size


def test_sizes() -> None:
    assert read_size("640x360") == Size(640, 360)
    assert str(Size(640, 360)) == "640x360"


@pytest.mark.parametrize("text", ["", "640", "640x", "x360", "640X360", "640 x 360", "-1x5", "31x64", "64x8193"])
def test_bad_sizes_are_refused_with_what_was_received(text: str) -> None:
    with pytest.raises(SettingError) as error:
        read_size(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("check", [read_size, check_input_size, check_output_size])
def test_a_size_has_no_more_pixels_than_a_frame_may_have(check: Callable[[str], object]) -> None:
    check("7680x4320")
    check("8192x4096")
    for text in ("8192x8192", "8192x4097"):
        with pytest.raises(SettingError, match=f"received '{text}', expected at most 33.6 million pixels"):
            check(text)


def test_input_and_output_size_words() -> None:
    for text in ("auto", "camera", "64x64"):
        check_input_size(text)
    for text in ("camera", "64x64"):
        check_output_size(text)
    with pytest.raises(SettingError, match="or auto, camera"):
        check_input_size("full")
    with pytest.raises(SettingError, match="or camera"):
        check_output_size("auto")


@pytest.mark.parametrize("text", ["auto", "cpu", "cuda", "cuda:0", "cuda:11"])
def test_devices(text: str) -> None:
    check_device(text)


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_bad_devices(text: str) -> None:
    with pytest.raises(SettingError, match="expected auto, cpu, cuda"):
        check_device(text)
