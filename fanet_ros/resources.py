"""Where the files that ship with the package lie: in the source tree, in a wheel, or in a ROS install space."""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata
from pathlib import Path

from fanet_ros.errors import FanetError

_PACKAGE = Path(__file__).resolve().parent

DEFAULT_WEIGHTS = _PACKAGE / "weights" / "fanet18_camvid11.safetensors"


def weights_path(given: str | Path = "") -> Path:
    """Return the file of weights that is meant: the shipped one for the word `shipped` or where nothing was given."""
    return Path(given).expanduser() if str(given) not in ("", "shipped") else DEFAULT_WEIGHTS


def config_path(name: str) -> Path:
    """Return the shipped file `config/<name>`, for example `labels/camvid11.yaml`.

    Raises:
        FanetError: the installation lacks it; the message lists the folders searched.
    """
    folders = config_folders()
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    searched = ", ".join(str(folder) for folder in folders)
    raise FanetError(f"shipped file 'config/{name}' not found in {searched}; reinstall fanet_ros")


def config_folders() -> list[Path]:
    """Return the folders that may hold the shipped configuration, in the order in which they are searched."""
    folders = [_PACKAGE / "config", _PACKAGE.parent / "config"]  # a wheel; the source tree
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    folders += [Path(prefix, "share", "fanet_ros", "config") for prefix in prefixes if prefix]
    return folders


def package_version() -> str:
    """Return the version of the package, of which package.xml is the only place.

    Installed by pip, the version is in the distribution's metadata; installed by colcon, package.xml is in the share
    folder beside the configuration.
    """
    for folder in config_folders():
        manifest = folder.parent / "package.xml"
        if manifest.is_file():
            match = re.search(r"<version>([^<]+)</version>", manifest.read_text(encoding="utf-8"))
            if match:
                return match[1].strip()
    return metadata.version("fanet_ros")


def loaded_versions(*libraries: str) -> dict[str, str]:
    """Return the version of the package, and of those of these libraries that are loaded."""
    loaded = {name: sys.modules[name] for name in libraries if sys.modules.get(name) is not None}
    return {"fanet_ros": package_version(), **{name: str(module.__version__) for name, module in loaded.items()}}
