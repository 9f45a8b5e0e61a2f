"""Packages that only some of what this one does needs, and how to get them."""

from __future__ import annotations

COMMAND_LINE = {"rich": (12, 0), "typer": (0, 9)}  # what `fanet` needs at least; setup.py has the same

_EXTRAS = {  # of setup.py, by the name under which each package is imported
    "apsw": "bags",
    "backports": "bags",
    "kornia": "train",
    "lz4": "bags",
    "matplotlib": "evaluate",
    "mcap": "bags",
    "nncf": "calibrate",
    "PIL": "evaluate",
    "psutil": "benchmark",
    "pydantic": "train",
    "rerun": "view",
    "ray": "ray",
    "rosbags": "bags",
    "scipy": "evaluate",
    "tensorboard": "train",
}
_TOGETHER = {"bags": "rosbags mcap apsw lz4 backports.zstd"}  # of no use one by one
# Packages that are not named as what is imported.
_PACKAGES = {
    "PIL": "pillow",
    "backports": "backports.zstd",
    "cv2": "opencv-python-headless",
    "rerun": "rerun-sdk",
    "yaml": "pyyaml",
}


def what_to_install(module: str | None, extra: str = "") -> str:
    """Return in words what is missing and how to get it, to follow "... needs ".

    Args:
        module: that could not be imported, as ModuleNotFoundError names it.
        extra: that has all that is needed here; empty for the usual one of that module.
    """
    name = (module or "a package").partition(".")[0]
    extra = extra or _EXTRAS.get(name, "")
    package = _PACKAGES.get(name, name)
    together = f", or all that this needs: pip install '.[{extra}]' in the checkout of fanet_ros" if extra else ""
    return f"{package}, which is not installed: pip install {_TOGETHER.get(extra, package)}{together}"
