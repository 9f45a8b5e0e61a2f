"""For which input sizes a backend has built what it needs: before a frame comes, at the first of a shape, and never."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from fanet_ros.backends.base import Backend
from fanet_ros.errors import BackendError, NoRoomError
from fanet_ros.files import lack_of_room
from fanet_ros.scheduling.scaled_size import scaled_size
from fanet_ros.settings import Size

_MOST_MET = 1000  # sizes that are remembered; images of any size may come


class PreparedSizes:
    """Has a backend build what frames need, once for each input size.

    Attributes:
        guesses: input sizes at scale 1 that were prepared before a frame came, and may never come; none where that is
            settled.
        certain: those of which a frame tells nothing about the guesses.
    """

    def __init__(self, backend: Backend, scales: Sequence[float]) -> None:
        """Begin with nothing; `scales` are those of the input size's sides that are to be kept ready."""
        self._backend = backend
        self._scales = scales
        self._met: set[Size] = set()  # input sizes at scale 1 whose other scales were prepared
        self._unbuildable: dict[Size, str] = {}  # and why
        self.guesses: frozenset[Size] = frozenset()
        self.certain: frozenset[Size] = frozenset()

    def build(self, input_size: Size) -> Size:
        """Build what this size needs, and return it; what fails for good is not built again for every frame.

        Raises:
            BackendError: it cannot be built.
        """
        if input_size in self._unbuildable:
            raise BackendError(self._unbuildable[input_size])
        try:
            self._backend.prepare(input_size)
        except BackendError as error:
            if not isinstance(error, NoRoomError) and lack_of_room(error) is None:
                if len(self._unbuildable) >= _MOST_MET:
                    self._unbuildable.clear()
                self._unbuildable[input_size] = str(error)
            raise
        return input_size

    def meet(self, largest: Size, scale: float) -> Size:
        """Build what a frame needs, and at the first of its shape all scales.

        Args:
            largest: its input size at scale 1.
            scale: at which the network sees it now.

        Returns:
            The input size at that scale.

        Raises:
            BackendError: it cannot be built.
        """
        if len(self._scales) > 1 and largest not in self._met:
            if len(self._met) >= _MOST_MET:
                self._met.clear()
            self._met.add(largest)
            for other in self._scales:
                if other != scale:
                    # it is raised when that scale is asked for
                    with contextlib.suppress(BackendError, RuntimeError, MemoryError):
                        self.build(scaled_size(largest, other))
        return self.build(scaled_size(largest, scale))

    def drop_wrong_guesses(self, largest: Size) -> frozenset[Size]:
        """Free what was guessed before the first frame, if that one, of input size `largest` at scale 1, differs.

        Returns:
            The sizes that were wrong; none where one was right, or all is settled.
        """
        if largest in self.certain:
            return frozenset()
        guesses, self.guesses = self.guesses, frozenset()
        if largest in guesses:
            return frozenset()
        for guess in guesses:
            for scale in {1.0, *self._scales}:
                self._backend.drop(scaled_size(guess, scale))
        return guesses
