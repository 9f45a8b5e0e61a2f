"""`fanet view`: the command line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fanet_ros.commands.console import one_line_errors, say
from fanet_ros.errors import SettingError
from fanet_ros.files import check_can_write
from fanet_ros.untrusted.text import printable

_MOST_BYTES = 85 * 10**6  # less than the server keeps, so that nothing of what is shown is forgotten again
_PACKED = {"mask": 0.1, "grid": 0.1}  # what Rerun keeps of a byte, by kind of record


def view(
    path: Annotated[
        Path | None,
        typer.Argument(help="Folder that `fanet segment` has written, or a recording with masks in it."),
    ] = None,
    start: Annotated[float, typer.Option(min=0, help="Seconds of the footage to leave out at its start.")] = 0.0,
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="Most pictures per second of footage.")] = 10.0,
    port: Annotated[
        int, typer.Option(min=1, max=65534, help="Of the page on localhost; data goes over the next one.")
    ] = 9090,
    save: Annotated[Path | None, typer.Option(metavar="FILE.rrd", help="Write a file instead of serving.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the browser, where there is a display.")] = True,
    install: Annotated[
        bool, typer.Option("--install", help="Prepare the viewer (rerun-sdk) in an environment of its own, first.")
    ] = False,
) -> None:
    """Look in a browser at what `fanet segment` has written: camera, classes and both, with a time line.

    Until Ctrl-C. Live, from a running node: ros2 launch fanet_ros segment.launch.py view:=true (docs/view.md).
    """
    with one_line_errors("view"):
        from fanet_ros.view import interpreter

        if install:
            interpreter.install(say)
        if path is None:
            if install:
                return
            raise SettingError("nothing to look at: give a folder that fanet segment has written, or --install")
        from fanet_ros.view.footage import open_footage
        from fanet_ros.view.page import open_browser
        from fanet_ros.view.process import ViewerProcess

        if save:
            check_can_write("--save", save)
        footage = open_footage(path, rate, start)
        if footage.note:
            say(footage.note)
        viewer = ViewerProcess(
            port=0 if save else port, save=str(save.absolute()) if save else "", name=printable(path.name)
        )
        try:
            if viewer.address:
                say(f"open {viewer.address} (Ctrl-C ends)")
                if browser:
                    open_browser(viewer.address)
            viewer.send(footage.layout)
            shown, outcome = 0.0, "all is shown"
            for record in footage.records:
                viewer.send(record)
                shown += len(record.body) * _PACKED.get(record.kind, 1.0)
                if viewer.address and shown > _MOST_BYTES:
                    outcome = "the viewer's memory is full; a higher --start or a lower --rate shows the rest"
                    break
            say(f"wrote {save}" if save else outcome)
            while viewer.address and not viewer.fault:
                time.sleep(0.2)
        except KeyboardInterrupt:
            say("ended")
        finally:
            viewer.close()
        if viewer.fault:
            raise SettingError(f"the viewer has ended: {viewer.fault}")
