"""The larger commands of `fanet`, one file each; importing them imports no framework."""

import sys
from importlib.metadata import PackageNotFoundError, version

from fanet_ros.extras import COMMAND_LINE


def _fits(package: str, least: tuple[int, int]) -> bool:
    try:
        major, minor = version(package).split(".")[:2]
        return (int(major), int(minor)) >= least
    except PackageNotFoundError:
        return False
    except ValueError:  # a version of another form; who has that knows why
        return True


# Ubuntu 22.04 has older ones, and what they lack would end in a traceback while the commands are imported.
if not all(_fits(package, least) for package, least in COMMAND_LINE.items()):
    _wanted = " ".join(f"'{package}>={major}.{minor}'" for package, (major, minor) in COMMAND_LINE.items())
    sys.exit(f"error: the command fanet needs newer packages than this Python has: pip install --user {_wanted}")
