"""FANet-18 at a quarter of its width and half its depth, for tests of what happens around a network.

It has a 27th of the real one's parameters, most of whose time in a training of a few steps goes into writing them to
the disk. Run as a script, this file is the command `fanet` with such a network.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from fanet_ros.model import network, weights

NARROW = replace(network._BACKBONES["resnet18"], blocks=(1, 1, 1, 1), width=16)


def use(backbone: network._Backbone, smooth_channels: int) -> None:
    """Build and read networks of resnet18 in this form from now on."""
    network._BACKBONES["resnet18"], network.SMOOTH_CHANNELS = backbone, smooth_channels
    weights._expected_shapes.cache_clear()


@contextmanager
def narrow_networks() -> Iterator[None]:
    """Have networks of resnet18 narrow for a while."""
    real = network._BACKBONES["resnet18"], network.SMOOTH_CHANNELS
    use(NARROW, 16)
    yield
    use(*real)


if __name__ == "__main__":
    from fanet_ros.commands.cli import main

    use(NARROW, 16)
    main()
