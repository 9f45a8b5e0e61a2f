"""How often, and how, the network looks at an image before its labels are decided."""

from __future__ import annotations

from dataclasses import dataclass

from fanet_ros.errors import SettingError
from fanet_ros.settings import Size

_SCALES = (0.1, 8.0)  # beyond these an input is a stamp, or fits no memory


@dataclass(frozen=True)
class Looks:
    """The looks at every image.

    Attributes:
        scales: of the network's input size, each in [0.1, 8].
        flip: whether it also sees everything mirrored left to right.
        window: size of the parts in which an image is seen, in its own pixels; None for the whole image.
        stride: from one window to the next, at most the window's size; None for windows side by side.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: Size | None = None
    stride: Size | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be used.

        Raises:
            SettingError: with what was received and what is expected.
        """
        smallest, largest = _SCALES
        if not self.scales or not all(smallest <= scale <= largest for scale in self.scales):
            received = ", ".join(f"{scale:g}" for scale in self.scales) or "none"
            raise SettingError(f"scales: received {received}, expected numbers from {smallest:g} to {largest:g}")
        if self.stride is None:
            return
        if self.window is None:
            raise SettingError(f"stride: received {self.stride} without a window; give the windows' size, too")
        if self.stride.width > self.window.width or self.stride.height > self.window.height:
            raise SettingError(
                f"stride: received {self.stride}, expected at most the window's {self.window}, or windows would leave "
                "gaps"
            )

    @property
    def single(self) -> bool:
        """Whether that is one look at the whole image, which is what the node does."""
        return self.scales == (1.0,) and not self.flip and self.window is None
