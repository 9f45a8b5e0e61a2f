"""What an evaluation is to do: the settings of a protocol, replaced by what was asked for explicitly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from fanet_ros.errors import SettingError
from fanet_ros.evaluation.protocols import NONE, Protocol, Settings, find_protocol, read_settings
from fanet_ros.model.labels import LabelSet


@dataclass(frozen=True)
class Plan:
    """What to do, and what it can be compared with.

    Attributes:
        settings: that decide the scores.
        limit: of images, or of videos where there are any; 0 for none.
        protocol: whose published figures are to be compared with; None for none.
        differences: what is not as the protocol has it, in words; with any, figures cannot be compared strictly.
        leave_out_given: whether that was asked for, rather than taken from the protocol.
    """

    settings: Settings
    limit: int = 0
    protocol: Protocol | None = None
    differences: tuple[str, ...] = ()
    leave_out_given: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the settings in JSON's types, but for those of the data set."""
        settings = self.settings
        video = {"temporal_frames": settings.temporal_frames, "step": settings.step}
        return {
            "input_size": settings.input_size,
            "scales": list(settings.scales),
            "flip": settings.flip,
            "window": settings.window and str(settings.window),
            "stride": settings.stride and str(settings.stride),
            "leave_out": list(settings.leave_out),
            "limit": self.limit,
            **(video if settings.temporal_frames else {}),
        }

    def fitted(self, label_set: LabelSet) -> Plan:
        """Return the plan for data of that label set.

        A protocol's class that the data do not have, as an option may choose other classes, need not be left out.
        What was asked for is kept, so that it can be refused.
        """
        wanted = self.settings.leave_out
        kept = tuple(name for name in wanted if name in label_set.names)
        if self.leave_out_given or kept == wanted:
            return self
        strangers = ", ".join(name for name in wanted if name not in kept)
        difference = f"leave_out {_text(kept)} instead of {_text(wanted)}: {label_set.name} has no {strangers}"
        settings = replace(self.settings, leave_out=kept)
        return replace(self, settings=settings, differences=(*self.differences, difference))


def make_plan(protocol: str = "", limit: int = 0, **given: Any) -> Plan:
    """Join what is typed with a protocol.

    Args:
        protocol: name of a protocol; empty for none.
        limit: of images, or of videos where there are any, 0 for none; it only makes a difference to the protocol.
        given: settings as `read_settings` takes them; what is None or [] comes from the protocol, or is the default.
            Options join those of the protocol, but another data set than the protocol's takes none of them.

    Raises:
        SettingError: a value has another form, or there is no data set; says what is expected.
    """
    base = find_protocol(protocol) if protocol else None
    typed = read_settings({name: word for name, word in given.items() if word not in (None, [])})
    if base is None and not typed.get("dataset"):
        raise SettingError("dataset: received none; give the name of a data set, or a protocol (list shows them)")
    start = Settings(typed["dataset"]) if base is None else base.settings
    if typed.get("dataset", start.dataset) == start.dataset:
        typed["options"] = {**start.options, **typed.get("options", {})}
    else:
        typed.setdefault("options", {})
    if "window" in typed:
        typed.setdefault("stride", None)  # the protocol's is of its own windows
    settings = replace(start, **typed)
    looks = settings.looks  # which refuses what cannot be
    if settings.temporal_frames and not looks.single:
        raise SettingError("temporal: received scales, flip or windows, too; a video is looked at once, as a whole")
    if settings.step != 1 and not settings.temporal_frames:
        raise SettingError("step: that is for videos; give --temporal, which may be 1")
    differences = [] if base is None else _differences(base.settings, settings)
    if base is not None and limit:
        differences.append(f"at most {limit} images")
    return Plan(settings, limit, base, tuple(differences), "leave_out" in typed)


def _differences(base: Settings, chosen: Settings) -> list[str]:
    texts = {f.name: (_text(getattr(chosen, f.name)), _text(getattr(base, f.name))) for f in fields(Settings)}
    return [f"{name} {ours} instead of {theirs}" for name, (ours, theirs) in texts.items() if ours != theirs]


def _text(value: Any) -> str:
    """A setting as it would be typed, so that `true` and True are one."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={_text(entry)}" for key, entry in value.items()) or NONE
    if type(value) is tuple:
        return ",".join(f"{entry:g}" if isinstance(entry, float) else str(entry) for entry in value) or NONE
    return NONE if value is None else str(value).lower() if isinstance(value, bool) else str(value)
