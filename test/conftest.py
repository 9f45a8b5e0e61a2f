"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ros_harness import Probe

    from fanet_ros.segmenter import Segmenter

from fanet_ros.ros.transport import prepare_process

# A test machine may be small and busy: threads that spin while waiting would slow every test (see fanet_ros.backends).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Tests talk over real DDS; nothing of it should leave this host, and no image should get lost on it.
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
if os.environ.get("ROS_DISTRO") == "humble":  # which knows the older name only, of which newer ones warn
    os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")
prepare_process()
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a worker a core
else:
    # What is built for tests is built once in a run, by all workers, and never mixes with the user's own cache.
    _cache = tempfile.TemporaryDirectory(prefix="fanet_ros-test-cache-")
    os.environ["XDG_CACHE_HOME"] = _cache.name

_DOMAINS = itertools.cycle(range(1, 101))  # by itself the coordinator would give every test the first free one


@pytest.fixture(autouse=True)
def _core_logs_reach_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo for caplog what a node that an earlier test made in this process has done with the core's log."""
    monkeypatch.setattr(logging.getLogger("fanet_ros"), "propagate", True)


@pytest.fixture(autouse=True, scope="session")
def _streets_keep_their_pictures() -> Iterator[None]:
    """Paint those of a seed once for all tests of this process that film it."""
    from street_pictures import kept_painter

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "fanet_ros.sources.street.camera.StreetPainter", lambda scene, _, light: kept_painter(scene.seed, light)
        )
        yield


@contextmanager
def _own_domain() -> Iterator[int]:
    domain_coordinator = pytest.importorskip("domain_coordinator", reason="ROS 2 is not installed")
    with domain_coordinator.domain_id(_DOMAINS.__next__) as number, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(number))
        yield number
        gc.collect()  # nodes in reference cycles would stay in the domain


@contextmanager
def _probing(domain_id: int) -> Iterator[Probe]:
    from ros_harness import Probe

    probe = Probe(domain_id)
    yield probe
    probe.close()


@pytest.fixture
def domain_id() -> Iterator[int]:
    """Give the test a ROS domain of its own, also against other test runs on this machine."""
    with _own_domain() as number:
        yield number


@pytest.fixture
def probe(domain_id: int) -> Iterator[Probe]:
    """Give the test the other side of the wire, in its own domain."""
    with _probing(domain_id) as probe:
        yield probe


@pytest.fixture(scope="module")
def shared_domain_id() -> Iterator[int]:
    """Give a module a ROS domain, for a node that several tests only look at."""
    with _own_domain() as number:
        yield number


@pytest.fixture
def shared_probe(shared_domain_id: int) -> Iterator[Probe]:
    """Give the test the other side of the wire, in its module's domain."""
    with _probing(shared_domain_id) as probe:
        yield probe


@pytest.fixture(scope="module")
def _load_once() -> Callable[..., Segmenter]:
    from fanet_ros.segmenter import Segmenter

    return lru_cache(Segmenter)


@pytest.fixture
def one_network(_load_once: Callable[..., Segmenter], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all commands of a test file have the same network, so that it is loaded once."""
    monkeypatch.setattr("fanet_ros.segmenter.Segmenter", _load_once)
