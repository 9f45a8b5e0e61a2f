"""How the views are laid out in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rerun as rr
import rerun.blueprint as rrb


def blueprint(
    cameras: Sequence[str], *, ground: bool, confidence: bool, plots: bool, classes: bool, live: bool, timeline: str
) -> Any:
    """Return the layout.

    Args:
        cameras: their names; "" for the one camera that has none. Each gets a tab.
        ground: whether there is free space to see from above.
        confidence: whether there are pictures of it.
        plots: whether there are times, rates and diagnostics of a running node.
        classes: whether there are masks, or only pictures of them.
        live: whether the newest moment is followed, or a recording is played from its start.
        timeline: by what time it goes, as `RerunLog` names it.
    """
    tabs = [_camera(camera, ground=ground, confidence=confidence, plots=plots, classes=classes) for camera in cameras]
    return rrb.Blueprint(
        tabs[0] if len(tabs) == 1 else rrb.Tabs(*tabs),
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        rrb.TimePanel(
            state="collapsed",
            timeline=timeline,
            play_state="following" if live else "playing",
        ),
        collapse_panels=False,
        auto_views=False,
        auto_layout=False,
    )


def _camera(camera: str, *, ground: bool, confidence: bool, plots: bool, classes: bool) -> Any:
    root = f"/{camera}" if camera else ""
    seen = f"{root}/world/camera"
    image, mask = f"{seen}/image", f"{seen}/classes"
    over_it = {mask: rr.SegmentationImage.from_fields(opacity=0.5)}
    if not classes:
        return rrb.Spatial2DView(name=camera or "camera", origin=seen, contents=[image])
    large = [rrb.Spatial2DView(name="camera and classes", origin=seen, contents=[image, mask], overrides=over_it)]
    if ground:
        above = rrb.Spatial3DView(
            name="free space and obstacles (m)",
            origin=f"{root}/world",
            contents=[f"{root}/world/**", f"- {seen}/**", f"+ {seen}"],  # the lens, without its pictures
            line_grid=rrb.LineGrid3D(visible=True, spacing=1.0),
            eye_controls=rrb.EyeControls3D(
                kind=rrb.Eye3DKind.Orbital, position=(-6.0, 0.0, 6.0), look_target=(5.0, 0.0, 0.0)
            ),
        )
        large.append(above)
    small = [
        rrb.Spatial2DView(name="camera", origin=seen, contents=[image]),
        rrb.Spatial2DView(name="classes", origin=seen, contents=[mask]),
    ]
    if confidence:
        small.append(rrb.Spatial2DView(name="confidence", origin=seen, contents=[f"{seen}/confidence"]))
    numbers = [rrb.TimeSeriesView(name="share of pixels", origin=f"{root}/shares")]
    if plots:
        columns = [rrb.encodings.TextLogColumn(kind) for kind in ("LogLevel", "Body")]
        numbers = [
            rrb.TimeSeriesView(name="milliseconds per frame", origin=f"{root}/milliseconds"),
            rrb.TimeSeriesView(name="masks a second", origin=f"{root}/rate"),
            rrb.TimeSeriesView(name="frames not segmented", origin=f"{root}/frames"),
            *numbers,
            rrb.TextLogView(
                name="diagnostics", origin="/diagnostics", columns=rrb.TextLogColumns(text_log_columns=columns)
            ),
        ]
    return rrb.Vertical(
        rrb.Horizontal(*large),
        rrb.Horizontal(*small),
        rrb.Horizontal(*numbers),
        row_shares=[5, 3, 3],
        name=camera or "camera",
    )
