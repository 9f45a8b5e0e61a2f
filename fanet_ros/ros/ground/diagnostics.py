"""What the drivable-area node says of itself on /diagnostics: do masks come, is the ground known, is it fast."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from time import monotonic

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.time import Time

from fanet_ros.ros.ground.semantic_points import SemanticPairs

_WINDOW = 100
_FEW = 2  # masks between two reports whose confidence may get lost without a warning


@dataclass
class GroundState:
    """What the node knows when it reports.

    Attributes:
        fault: why nothing can be computed; empty while all is well.
        is_waiting: whether the fault is only something still to come.
        note: what is computed differently from what was asked for; empty if nothing is.
        facts: of camera and ground, for people who calibrate.
    """

    fault: str = ""
    is_waiting: bool = True
    note: str = ""
    facts: dict[str, str] = field(default_factory=dict)


class GroundStatistics:
    """Counts masks and times their projection."""

    def __init__(self) -> None:
        self.received = 0
        self.processed = 0
        self.refused = 0
        self.last_refusal = ""
        self._last_arrival: float | None = None
        self._began = monotonic()
        self._times_ms: deque[float] = deque(maxlen=_WINDOW)

    def count_received(self) -> None:
        """Count a mask that arrived now."""
        self.received += 1
        self._last_arrival = monotonic()

    def count_processed(self, milliseconds: float) -> None:
        """Count a mask whose results were published, and how long that took."""
        self.processed += 1
        self._times_ms.append(milliseconds)

    def count_refused(self, reason: str) -> None:
        """Count a mask that cannot be used."""
        self.refused += 1
        self.last_refusal = reason

    def begin(self) -> None:
        """Note that the node listens from now on, so that silence counts from here."""
        self._began = monotonic()
        self._last_arrival = None

    def silence_s(self) -> float:
        """Return the seconds since the last mask, or since `begin`."""
        return monotonic() - (self._began if self._last_arrival is None else self._last_arrival)

    def median_ms(self) -> float | None:
        """Return the median time of the last frames; None before the first."""
        return median(self._times_ms) if self._times_ms else None


class GroundDiagnostics:
    """Builds a DiagnosticArray from the state of the node."""

    def __init__(self, node_name: str) -> None:
        self._node_name = node_name
        self._last_received = 0
        self._last_refused = 0
        self._last_unmatched = 0
        self._last_time = monotonic()

    def report(
        self,
        now: Time,
        state: GroundState,
        statistics: GroundStatistics,
        pairs: SemanticPairs,
        *,
        wanted: frozenset[str],
        silence: str,
        parameter_faults: tuple[str, ...],
    ) -> DiagnosticArray:
        """Return the state of input and ground.

        Args:
            now: on the node's clock.
            state: of the ground model.
            statistics: since the start.
            pairs: of masks and confidences.
            wanted: topics that somebody subscribes to.
            silence: why no mask has come for too long; empty while masks come or none is wanted.
            parameter_faults: values given at start that were refused; defaults hold in their place.
        """
        array = DiagnosticArray()
        array.header.stamp = now.to_msg()
        array.status = [
            self._input(statistics, pairs, wanted, silence),
            self._ground(state, wanted, parameter_faults),
        ]
        return array

    def _input(
        self, statistics: GroundStatistics, pairs: SemanticPairs, wanted: frozenset[str], silence: str
    ) -> DiagnosticStatus:
        now = monotonic()
        rate = (statistics.received - self._last_received) / max(now - self._last_time, 1e-3)
        refused = statistics.refused - self._last_refused
        unmatched = pairs.unmatched - self._last_unmatched
        self._last_received, self._last_refused, self._last_time = statistics.received, statistics.refused, now
        self._last_unmatched = pairs.unmatched
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
        middle = statistics.median_ms()
        values = {
            "rate (Hz)": f"{rate:.1f}",
            "received": str(statistics.received),
            "processed": str(statistics.processed),
            "refused": str(statistics.refused),
            "masks without their confidence": str(pairs.unmatched),
            "semantic points without confidence": str(pairs.without_confidence),
            "median time (ms)": "unknown yet" if middle is None else f"{middle:.1f}",
            "subscribed": ", ".join(sorted(wanted)) or "nothing",
        }
        return self._status("input", level, message, values)

    def _ground(
        self, state: GroundState, wanted: frozenset[str], parameter_faults: tuple[str, ...]
    ) -> DiagnosticStatus:
        level, message = DiagnosticStatus.OK, "the ground is known"
        if parameter_faults:
            level, message = DiagnosticStatus.ERROR, "; ".join(parameter_faults)
        elif state.fault and not state.is_waiting:
            level, message = DiagnosticStatus.ERROR, state.fault
        elif state.fault and wanted:
            level, message = DiagnosticStatus.WARN, state.fault
        elif state.fault:
            message = "idle: nobody subscribes"
        elif state.note:
            level, message = DiagnosticStatus.WARN, state.note
        return self._status("ground", level, message, state.facts)

    def _status(self, part: str, level: bytes, message: str, values: dict[str, str]) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=level,
            name=f"{self._node_name}: {part}",
            message=message,
            hardware_id="fanet_ros",
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
