"""What an evaluation is to do: the settings of a protocol, replaced by what was asked for explicitly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fanet_ros.datasets.disturbances import DISTURBANCES
from fanet_ros.datasets.options import read_option_words
from fanet_ros.errors import SettingError
from fanet_ros.evaluation.prediction import Looks
from fanet_ros.evaluation.protocols import Protocol, find_protocol
from fanet_ros.model.labels import LabelSet
from fanet_ros.settings import Size, check_input_size, read_size

DEFAULT_SPLIT = "val"
NONE = "none"


@dataclass(frozen=True)
class Plan:
    """Everything that decides the scores besides weights and backend.

    Attributes:
        dataset: name of the data set.
        split: of it.
        options: of the data set.
        input_size: `auto`, `camera` or WIDTHxHEIGHT.
        looks: at every image.
        leave_out: classes that are in no mean.
        limit: of images, 0 for none.
        protocol: whose published figures are to be compared with; None for none.
        differences: what is not as the protocol has it, in words; with any, figures cannot be compared strictly.
        leave_out_given: whether it was asked for, rather than taken from the protocol.
        temporal_frames: T, how many frames of a video the network looks at; 0 for images by themselves.
        step: from one of these frames to the next, in frames of the video.
        disturb: kinds of disturbances, for a run each.
        seed: of the disturbances.
    """

    dataset: str
    split: str
    options: Mapping[str, Any]
    input_size: str
    looks: Looks
    leave_out: tuple[str, ...]
    limit: int
    protocol: Protocol | None
    differences: tuple[str, ...]
    leave_out_given: bool = False
    temporal_frames: int = 0
    step: int = 1
    disturb: tuple[str, ...] = ()
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the settings in JSON's types."""
        looks = self.looks
        video = {
            "temporal_frames": self.temporal_frames,
            "step": self.step,
            "disturb": list(self.disturb),
            "seed": self.seed,
        }
        return {
            "input_size": self.input_size,
            "scales": list(looks.scales),
            "flip": looks.flip,
            "window": None if looks.window is None else str(looks.window),
            "stride": None if looks.stride is None else str(looks.stride),
            "leave_out": list(self.leave_out),
            "limit": self.limit,
            **(video if self.temporal_frames else {}),
        }

    def fitted(self, label_set: LabelSet) -> Plan:
        """Return the plan for data of that label set.

        A protocol's class that the data do not have, as an option may choose other classes, need not be left out.
        What was asked for is kept, so that it can be refused.
        """
        kept = tuple(name for name in self.leave_out if name in label_set.names)
        if self.leave_out_given or kept == self.leave_out:
            return self
        strangers = ", ".join(name for name in self.leave_out if name not in kept)
        difference = f"leave_out {_text(kept)} instead of {_text(self.leave_out)}: {label_set.name} has no {strangers}"
        return replace(self, leave_out=kept, differences=(*self.differences, difference))


def make_plan(
    *,
    protocol: str = "",
    dataset: str = "",
    split: str = "",
    options: Sequence[str] = (),
    input_size: str = "",
    scales: str = "",
    flip: bool | None = None,
    window: str = "",
    stride: str = "",
    leave_out: Sequence[str] = (),
    limit: int = 0,
    temporal_frames: int = 0,
    step: int = 1,
    disturb: str = "",
    seed: int = 0,
) -> Plan:
    """Read the settings as they are typed; what is empty or None comes from the protocol, or is the default.

    Args:
        protocol: name of a protocol, or empty.
        dataset: name of the data set; needed where there is no protocol.
        split: of the data set; `val` by default.
        options: of the data set, KEY=VALUE; they join those of the protocol. Another data set than the protocol's takes
            none of the protocol's.
        input_size: `auto` (the default), `camera` or WIDTHxHEIGHT.
        scales: numbers separated by commas.
        flip: whether mirrored images count, too.
        window: WIDTHxHEIGHT, or `none` for whole images where the protocol has windows.
        stride: WIDTHxHEIGHT.
        leave_out: names of classes; they replace the protocol's. The name `none` alone is for none.
        limit: of images, or of videos where there are any, 0 for none; it only makes a difference to the protocol.
        temporal_frames: of a video, that the network looks at; 0 for the protocol's.
        step: from one of them to the next.
        disturb: kinds of disturbances separated by commas.
        seed: of the disturbances.

    Raises:
        SettingError: a value has another form, or there is no data set; says what is expected.
    """
    base = find_protocol(protocol) if protocol else None
    dataset = dataset or (base.dataset if base else "")
    if not dataset:
        raise SettingError("dataset: received none; give the name of a data set, or a protocol (list shows them)")
    chosen = Protocol(
        name=protocol,
        dataset=dataset,
        split=split or (base.split if base else DEFAULT_SPLIT),
        options={**(base.options if base and base.dataset == dataset else {}), **read_option_words(options)},
        input_size=input_size or (base.input_size if base else "auto"),
        scales=_read_scales(scales) if scales else (base.scales if base else (1.0,)),
        flip=(base.flip if base else False) if flip is None else flip,
        window=window or (base.window if base else ""),
        stride=stride or (base.stride if base and not window else ""),
        leave_out=_read_leave_out(leave_out, base.leave_out if base else ()),
        temporal_frames=temporal_frames or (base.temporal_frames if base else 0),
    )
    try:
        check_input_size(chosen.input_size)
    except SettingError as error:
        raise SettingError(f"input_size: {error}") from None
    size = None if chosen.window in ("", NONE) else _read("window", chosen.window)
    step_size = _read("stride", chosen.stride) if chosen.stride else None
    looks = Looks(chosen.scales, chosen.flip, size, step_size)
    if chosen.temporal_frames and not looks.single:
        raise SettingError("temporal: received scales, flip or windows, too; a video is looked at once, as a whole")
    disturbances = _read_disturbances(disturb)
    if (disturbances or step != 1) and not chosen.temporal_frames:
        raise SettingError("disturb and step: these are for videos; give --temporal, which may be 1")
    differences = _differences(base, chosen) if base else []
    if base and limit:
        differences.append(f"at most {limit} images")
    return Plan(
        dataset=chosen.dataset,
        split=chosen.split,
        options=chosen.options,
        input_size=chosen.input_size,
        looks=looks,
        leave_out=chosen.leave_out,
        limit=limit,
        protocol=base,
        differences=tuple(differences),
        leave_out_given=bool(leave_out),
        temporal_frames=chosen.temporal_frames,
        step=step,
        disturb=disturbances,
        seed=seed,
    )


def _read_leave_out(names: Sequence[str], default: tuple[str, ...]) -> tuple[str, ...]:
    if list(names) == [NONE]:
        return ()
    return tuple(names) or default


def _read_disturbances(text: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(word.strip() for word in text.split(","))) if text else ()
    strangers = [kind for kind in kinds if kind not in DISTURBANCES]
    if strangers:
        raise SettingError(f"disturb: received {strangers[0]!r}, expected some of {','.join(DISTURBANCES)}")
    return kinds


def _read_scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise SettingError(f"scales: received {text!r}, expected numbers separated by commas, as 0.75,1,1.25") from None


def _read(name: str, text: str) -> Size:
    try:
        return read_size(text)
    except SettingError as error:
        raise SettingError(f"{name}: {error}") from None


def _differences(base: Protocol, chosen: Protocol) -> list[str]:
    looks = ("input_size", "scales", "flip", "window", "stride", "temporal_frames")
    names = ("dataset", "split", "options", *looks, "leave_out")
    return [
        f"{name} {_text(getattr(chosen, name))} instead of {_text(getattr(base, name))}"
        for name in names
        if _text(getattr(chosen, name)) != _text(getattr(base, name))
    ]


def _text(value: Any) -> str:
    """A setting as it would be typed, so that `true` and True are one."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={_text(entry)}" for key, entry in value.items()) or NONE
    if isinstance(value, tuple):
        return ",".join(f"{entry:g}" if isinstance(entry, float) else str(entry) for entry in value) or NONE
    return str(value).lower() if isinstance(value, bool) else str(value) or NONE
