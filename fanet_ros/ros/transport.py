"""The DDS profile and heap settings that keep camera images from being lost or slowed on their way (docs/transport.md).

Everything here must run before rclpy.init(): Fast DDS reads its profile when the first participant is created.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fanet_ros.memory import keep_large_blocks
from fanet_ros.resources import config_path

SHARED_MEMORY = Path("/dev/shm")
SEGMENT_NAME = "fast(?:rtps|dds)_[0-9a-f]{16}"  # the second: Fast DDS 3, from ROS 2 Kilted on

# What one process takes from shared memory under config/fastdds.xml: the segment of 64 MiB and its bookkeeping, 67 MiB
# with Fast DDS 2.14. It is allocated in full when the process starts, not as it fills.
PROCESS_BYTES = 68 * 2**20

# Fast DDS 2.x reads the first name, Fast DDS 3.x the second.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
# Fast DDS reads these from the working directory without being told.
_PROFILES_IN_WORKING_DIRECTORY = ("DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml")

# The owner of a segment holds a lock on it from within a moment of its creation; a lock file older than this that
# nobody holds belongs to a process that is gone.
_SETTLED_AFTER_S = 60.0


_NOT_USED = "most camera images may be lost between processes, because the DDS profile for images is not used"


class DdsEnvironment(NamedTuple):
    """Environment variables to set before the first DDS participant, and what the user should know."""

    variables: dict[str, str]
    notes: tuple[str, ...] = ()


def dds_profile_environment(
    environ: Mapping[str, str],
    profile: Path,
    processes: int = 1,
    shared_memory: Path = SHARED_MEMORY,
) -> DdsEnvironment:
    """Decide whether Fast DDS shall read `profile`; nothing is changed.

    Args:
        environ: the environment of the processes to start.
        profile: absolute path of a Fast DDS profile file that gives each process a 64 MiB shared-memory segment.
        processes: how many processes are about to start with it; each takes 68 MiB of shared memory.
        shared_memory: where shared memory lies.

    Returns:
        The variables that name the profile. None of them where the user has settings of their own (a profile, builtin
        transports, another RMW implementation) or has this profile already. None, and a note that says what to do,
        where shared memory has no room for it: Fast DDS would start without any, which loses even more images.
    """
    if _has_own_settings(environ):
        return DdsEnvironment({})
    needed = processes * PROCESS_BYTES
    try:
        free = shutil.disk_usage(shared_memory).free
    except OSError as error:
        return DdsEnvironment({}, (f"{_NOT_USED}: shared memory cannot be used ({error}).",))
    if free < needed:
        note = (
            f"{_NOT_USED}: {shared_memory} has {free // 2**20} MiB free, {needed // 2**20} MiB are needed. "
            "In Docker start the container with --shm-size=1g or --ipc=host; elsewhere free or enlarge it "
            "(mount -o remount,size=1g /dev/shm)."
        )
        return DdsEnvironment({}, (note,))
    return DdsEnvironment(dict.fromkeys(PROFILE_VARIABLES, str(profile)))


def _has_own_settings(environ: Mapping[str, str]) -> bool:
    """Whether the user chose DDS settings, or Fast DDS is not what runs."""
    if not (environ.get("RMW_IMPLEMENTATION") or "rmw_fastrtps_cpp").startswith("rmw_fastrtps"):
        return True
    if any(environ.get(name) for name in (*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS")):
        return True
    return any(Path(name).is_file() for name in _PROFILES_IN_WORKING_DIRECTORY)


def remove_dead_segments(shared_memory: Path = SHARED_MEMORY) -> int:
    """Remove the Fast DDS segments of processes that were killed, and return how many.

    A process that ends by SIGKILL leaves its segment behind, 67 MiB of memory that nothing else ever frees. Segments
    whose owner lives are known by its lock (flock) on `<segment>_el` and are left alone, as are other users' files.
    """
    removed = 0
    for lock_file in shared_memory.glob("fast*_el"):
        segment = lock_file.with_name(lock_file.name.removesuffix("_el"))
        if re.fullmatch(SEGMENT_NAME, segment.name) is None:
            continue  # a port: Fast DDS repairs those itself
        try:
            if time.time() - lock_file.stat().st_mtime < _SETTLED_AFTER_S:
                continue
            with lock_file.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                segment.unlink(missing_ok=True)
                lock_file.unlink()
        except OSError:  # its owner lives, it is another user's, or another process has just removed it
            continue
        removed += 1
    return removed


def shipped_dds_environment(processes: int = 1) -> DdsEnvironment:
    """Return what dds_profile_environment says about config/fastdds.xml here and now, for this process's environment.

    Args:
        processes: how many processes are about to start with it.
    """
    remove_dead_segments()
    return dds_profile_environment(os.environ, config_path("fastdds.xml"), processes)


def prepare_process() -> tuple[str, ...]:
    """Make this process and its children carry camera images; call it before rclpy.init().

    Returns:
        What the user should know, as sentences to log as warnings; empty where all is well.
    """
    environment = shipped_dds_environment()
    os.environ.update(environment.variables)
    keep_large_blocks()
    return environment.notes
