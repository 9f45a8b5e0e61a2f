"""The pictures of streets, kept from test to test: painting those of one seed takes the better part of a second."""

from functools import lru_cache

from fanet_ros.model.labels import load_label_set
from fanet_ros.sources.street.camera import LABEL_SET
from fanet_ros.sources.street.painter import StreetPainter
from fanet_ros.sources.street.scene import StreetScene


@lru_cache(maxsize=4)  # of 80 MB each
def kept_painter(seed: int, light: tuple[float, float]) -> StreetPainter:
    return StreetPainter(StreetScene(seed), load_label_set(LABEL_SET), light)
