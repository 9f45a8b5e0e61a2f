import cv2
import numpy as np
import pytest

from fanet_ros.frames.encoded_size import encoded_size


@pytest.mark.parametrize("size", [(1, 1), (60, 40), (4000, 3), (3, 9000)])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
def test_size_is_read_from_the_header(size: tuple[int, int], suffix: str, options: list[int]) -> None:
    data = cv2.imencode(suffix, np.zeros((size[1], size[0], 3), np.uint8), options)[1].tobytes()
    assert encoded_size(data) == size
    assert encoded_size(data[:-5]) == size


def test_segments_before_the_frame_header_are_passed_over() -> None:
    data = cv2.imencode(".jpg", np.zeros((40, 60, 3), np.uint8))[1].tobytes()
    comment = b"\xff\xfe" + (5002).to_bytes(2, "big") + bytes(5000)
    assert encoded_size(data[:2] + comment + b"\xff" + data[2:]) == (60, 40)


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"\xff\xd8hello world", b"GIF89a"]
)
def test_anything_else_is_unknown(data: bytes) -> None:
    assert encoded_size(data) is None


def test_every_cut_of_a_file_is_survived() -> None:
    data = cv2.imencode(".jpg", np.zeros((40, 60, 3), np.uint8))[1].tobytes()
    assert {encoded_size(data[:length]) for length in range(len(data))} == {None, (60, 40)}
