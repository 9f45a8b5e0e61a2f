"""What the drivable-area node says of itself on /diagnostics: do masks come, is the ground known, is it fast."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from time import monotonic

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.logging import LoggingSeverity

from fanet_ros.ros.diagnostics import Status
from fanet_ros.ros.ground.semantic_points import SemanticPairs
from fanet_ros.ros.ground.transforms import OTHER_CLOCK_HINT, OTHER_CLOCK_S

_WINDOW = 100
_FEW = 2  # masks between two reports whose confidence may get lost without a warning


@dataclass
class GroundState:
    """What the node knows when it reports.

    Attributes:
        fault: why nothing can be computed; empty while all is well.
        is_waiting: whether the fault is only something still to come.
        is_needed: whether anything is wanted that needs the ground.
        note: what is computed differently from what was asked for; empty if nothing is.
        facts: of camera and ground, for people who calibrate.
    """

    fault: str = ""
    is_waiting: bool = True
    is_needed: bool = True
    note: str = ""
    facts: dict[str, str] = field(default_factory=dict)


class GroundStatistics:
    """Counts masks and times their projection.

    Attributes:
        received: masks.
        processed: masks whose results were published.
        refused: masks that could not be used.
        last_refusal: why the last of them was.
        age_s: of the last mask when it arrived, seconds; 0 before the first.
    """

    def __init__(self) -> None:
        self.received = self.processed = self.refused = 0
        self.last_refusal = ""
        self.age_s = 0.0
        self._heard_at = monotonic()
        self._times_ms: deque[float] = deque(maxlen=_WINDOW)

    def begin(self) -> None:
        """Note that silence counts from now on."""
        self._heard_at = monotonic()

    def count_received(self, age_s: float) -> None:
        """Count a mask that arrived now, so many seconds after its stamp by the node's clock."""
        self.received += 1
        self.age_s = age_s
        self._heard_at = monotonic()

    def count_processed(self, milliseconds: float) -> None:
        """Count a mask whose results were published, and how long that took."""
        self.processed += 1
        self._times_ms.append(milliseconds)

    def count_refused(self, reason: str) -> None:
        """Count a mask that cannot be used."""
        self.refused += 1
        self.last_refusal = reason

    @property
    def is_other_clock(self) -> bool:
        """Whether the last mask's stamp and the node's clock have nothing to do with each other."""
        return abs(self.age_s) > OTHER_CLOCK_S

    def silence_s(self) -> float:
        """Return the seconds since the last mask, or since `begin`."""
        return monotonic() - self._heard_at

    def median_ms(self) -> float | None:
        """Return the median time of the last frames; None before the first."""
        return median(self._times_ms) if self._times_ms else None


class GroundDiagnostics:
    """Builds statuses from what happened since the last ones."""

    def __init__(self) -> None:
        self._last = (0, 0, 0)  # received, refused, unmatched
        self._last_time = monotonic()

    def input_status(
        self, statistics: GroundStatistics, pairs: SemanticPairs, wanted: frozenset[str], silence: str
    ) -> Status:
        """Return the state of the input.

        Args:
            statistics: since the start.
            pairs: of masks and confidences.
            wanted: topics that somebody subscribes to.
            silence: why no mask has come for too long; empty while masks come or none is wanted.
        """
        now, counts = monotonic(), (statistics.received, statistics.refused, pairs.unmatched)
        received, refused, unmatched = (count - last for count, last in zip(counts, self._last, strict=True))
        rate = received / max(now - self._last_time, 1e-3)
        self._last, self._last_time = counts, now
        level, message = DiagnosticStatus.OK, "masks arrive"
        if not wanted:
            message = "idle: nobody subscribes"
        elif silence:
            level, message = DiagnosticStatus.ERROR, silence
        elif refused:
            level, message = DiagnosticStatus.WARN, f"{refused} unusable masks: {statistics.last_refusal}"
        elif unmatched > _FEW:
            level = DiagnosticStatus.WARN
            message = f"{unmatched} masks found no confidence of their stamp: ~/semantic_points wait for it in vain"
        elif statistics.received == 0:
            message = "waiting for the first mask"
        elif statistics.is_other_clock:
            level = DiagnosticStatus.WARN
            message = (
                "masks arrive, but their stamps are of another clock than this node's, and Nav2 will drop what is made "
                f"of them: {OTHER_CLOCK_HINT}"
            )
        middle = statistics.median_ms()
        values = {
            "rate (Hz)": f"{rate:.1f}",
            "received": statistics.received,
            "age at arrival (ms)": "another clock" if statistics.is_other_clock else f"{statistics.age_s * 1e3:.1f}",
            "processed": statistics.processed,
            "refused": statistics.refused,
            "masks without their confidence": pairs.unmatched,
            "semantic points without confidence": pairs.without_confidence,
            "median time (ms)": "unknown yet" if middle is None else f"{middle:.1f}",
            "subscribed": ", ".join(sorted(wanted)) or "nothing",
        }
        return Status("input", level, message, values)


def ground_status(state: GroundState, wanted: frozenset[str], parameter_faults: tuple[str, ...]) -> Status:
    """Return the state of the ground.

    Args:
        state: of the ground model.
        wanted: topics that somebody subscribes to.
        parameter_faults: values given at start that were refused; defaults hold in their place.
    """
    level, message = DiagnosticStatus.OK, "the ground is known"
    if parameter_faults:
        level, message = DiagnosticStatus.ERROR, "; ".join(parameter_faults)
    elif not wanted:
        message = "idle: nobody subscribes"
    elif state.fault:
        level, message = (DiagnosticStatus.WARN if state.is_waiting else DiagnosticStatus.ERROR), state.fault
    elif state.note:
        level, message = DiagnosticStatus.WARN, state.note
    elif not state.is_needed:
        message = "idle: only ~/drivable_mask is subscribed to, which needs no ground"
    return Status("ground", level, message, state.facts)


class FaultLog:
    """Logs a fault when it appears and when it is over; one that comes and goes with every mask is logged once."""

    _OVER_S = 1.0  # without a fault, after which it is over

    def __init__(self, logger: RcutilsLogger) -> None:
        self._logger = logger
        self._told: set[str] = set()
        self._last_s = 0.0

    def tell(self, fault: str, level: LoggingSeverity = LoggingSeverity.ERROR) -> None:
        """Log a fault, unless it was logged at this level since all was well; numbers in it do not count."""
        self._last_s = monotonic()
        key = f"{level.name} {re.sub('[0-9.]+', '', fault)}"
        if key in self._told:
            return
        if len(self._told) >= _WINDOW:
            self._told.clear()
        self._told.add(key)
        if level == LoggingSeverity.ERROR:  # one call for each: rclpy ties a place in the code to a severity
            self._logger.error(fault)
        elif level == LoggingSeverity.WARN:
            self._logger.warning(fault)
        else:
            self._logger.info(fault)

    def clear(self, good_news: str) -> None:
        """Note that all is well now, and log that once faults are over."""
        if self._told and monotonic() - self._last_s >= self._OVER_S:
            self._told.clear()
            self._logger.info(good_news)
