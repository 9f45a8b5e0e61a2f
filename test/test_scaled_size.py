import pytest

from fanet_ros.scheduling.scaled_size import scaled_size
from fanet_ros.settings import Size


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        (Size(1000, 500), 1.0, Size(1000, 500)),
        (Size(1000, 500), 0.8, Size(800, 416)),
        (Size(500, 1000), 0.8, Size(416, 800)),
        (Size(960, 544), 0.64, Size(608, 352)),
        (Size(640, 640), 0.5, Size(320, 320)),
        (Size(1000, 500), 0.01, Size(64, 64)),
        (Size(48, 80), 0.5, Size(48, 64)),  # never larger than the whole
    ],
)
def test_steps_that_keep_aspect_and_area(size: Size, scale: float, expected: Size) -> None:
    assert scaled_size(size, scale) == expected


@pytest.mark.parametrize("scale", [0.8, 0.64, 0.5])
@pytest.mark.parametrize("size", [Size(960, 544), Size(752, 424), Size(1024, 512), Size(832, 624), Size(640, 480)])
def test_little_is_lost_to_rounding(size: Size, scale: float) -> None:
    scaled = scaled_size(size, scale)
    assert scaled.width % 32 == scaled.height % 32 == 0
    assert scaled.width * scaled.height / (size.width * size.height * scale**2) == pytest.approx(1, abs=0.1)
    assert scaled.width / scaled.height / (size.width / size.height) == pytest.approx(1, abs=0.1)
