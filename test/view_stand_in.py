"""A stand-in for the viewer's process: the same pipe, without Rerun and without a page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fanet_ros.view.interpreter import RERUN_VERSION

_SERVER = """
import json, os, pathlib, sys, threading, time
sys.path.insert(0, {root!r})
from fanet_ros.view.records import read_record

folder = pathlib.Path({folder!r})
def tell(**event):
    sys.stdout.write(json.dumps(event) + "\\n"); sys.stdout.flush()
if (folder / "refuse").exists():
    tell(fault=(folder / "refuse").read_text()); sys.exit(1)
(folder / "pid").write_text(str(os.getpid()))
tell(address="http://127.0.0.1:1/")
def watch():
    before = {{"watched": False, "full": False}}
    while True:
        for name in before:
            now = (folder / name).exists()
            if now != before[name]:
                before[name] = now
                tell(**{{name: now}})
        time.sleep(0.05)
threading.Thread(target=watch, daemon=True).start()
with (folder / "records").open("a") as file:
    while (record := read_record(sys.stdin.buffer)) is not None:
        while (folder / "busy").exists():
            time.sleep(0.01)
        line = [record.kind, record.entity, record.stamp_ns, record.values, len(record.body), list(record.body[:3])]
        file.write(json.dumps(line) + "\\n"); file.flush()
"""


class StandIn:
    """Where the viewer's environment is looked for, this lies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        environment = folder / "fanet_ros" / "view"
        (environment / "bin").mkdir(parents=True)
        metadata = environment / f"lib/python3.12/site-packages/rerun_sdk-{RERUN_VERSION}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "RECORD").touch()
        server = folder / "server.py"
        server.write_text(_SERVER.format(root=str(Path(__file__).resolve().parent.parent), folder=str(folder)))
        python = environment / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{server}"\n')
        python.chmod(0o755)

    def set(self, name: str, is_set: bool, text: str = "") -> None:
        """Set or take back `watched`, `full`, `busy` (takes no records) or `refuse` (does not start, says the text)."""
        path = self._folder / name
        if is_set:
            path.write_text(text)
        else:
            path.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        return int((self._folder / "pid").read_text())

    @property
    def records(self) -> list[list[Any]]:
        """What has come: kind, entity, stamp, values, length of the body and its first bytes."""
        path = self._folder / "records"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]
