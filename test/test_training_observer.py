from pathlib import Path

import pytest

from fanet_ros.errors import TrainingError
from fanet_ros.training.observer import LOG_FILE, Observer


def test_a_full_disk_is_one_line_that_says_how_to_go_on(tmp_path: Path) -> None:
    observer = Observer(tmp_path, first=True, started_at=0)
    (tmp_path / LOG_FILE).symlink_to("/dev/full")
    message = rf"cannot write to {tmp_path}: No space left on device; .* fanet train --resume {tmp_path}"
    with observer.watching(10, 0), pytest.raises(TrainingError, match=message):
        observer.stepped(1, 0.5, 0.1, 0.2)
