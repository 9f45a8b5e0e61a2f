import itertools

import numpy as np
import pytest

from fanet_ros.evaluation.windows import rows_of_windows, window_starts, window_weights
from fanet_ros.settings import Size


def test_starts_by_hand() -> None:
    assert window_starts(100, 100, 40) == [0]
    assert window_starts(100, 60, 40) == [0, 40]
    assert window_starts(100, 60, 60) == [0, 40]  # the last one ends with the image
    assert window_starts(101, 60, 40) == [0, 40, 41]
    assert window_starts(100, 20, 20) == [0, 20, 40, 60, 80]


@pytest.mark.parametrize(
    ("length", "window", "stride"),
    [(n, w, s) for n, w, s in itertools.product((33, 64, 97), (16, 32), (5, 16, 32)) if s <= w],
)
def test_windows_cover_everything_and_stay_inside(length: int, window: int, stride: int) -> None:
    starts = window_starts(length, window, stride)
    covered = np.zeros(length, int)
    for start in starts:
        assert 0 <= start <= length - window
        covered[start : start + window] += 1
    assert covered.all() and starts == sorted(set(starts))


def test_rows_say_what_later_windows_do_not_reach() -> None:
    rows = list(rows_of_windows(Size(100, 90), Size(60, 40), Size(40, 30)))
    assert [(top, finished) for top, _, finished in rows] == [(0, 30), (30, 20), (50, 40)]
    assert all(lefts == [0, 40] for _, lefts, _ in rows)


def test_weights_fall_to_the_border_but_not_to_nothing() -> None:
    weights = window_weights(Size(6, 5))
    assert weights.shape == (5, 6) and weights.dtype == np.float32
    np.testing.assert_allclose(weights[2], [1 / 3, 2 / 3, 1, 1, 2 / 3, 1 / 3])
    np.testing.assert_allclose(weights[:, 2], [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])
    assert weights.min() > 0
