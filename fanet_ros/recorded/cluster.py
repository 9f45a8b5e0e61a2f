"""Spread recordings over a cluster of machines with Ray: one task each."""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fanet_ros.errors import FanetError, SettingError
from fanet_ros.files import scratch_folder
from fanet_ros.recorded.inputs import Input, absolute
from fanet_ros.recorded.job import Job
from fanet_ros.recorded.worker import Outcome, segment_here
from fanet_ros.reports.report import make_folder
from fanet_ros.resources import package_version, weights_path
from fanet_ros.untrusted.text import printable

LOCAL = "local"
"""The address for which a cluster of this machine alone is started."""

_RETRIES = 2  # of a recording whose worker died; what was finished of it is kept
_CONNECT_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 900.0  # a TensorRT engine may have to be built
_STOP_TIMEOUT_S = 20.0
_HTTP2_SETTINGS = b"\4"  # RFC 9113: the first frame of both sides, here an empty one
_HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + _HTTP2_SETTINGS + bytes(5)
_MOST_OF_ERROR = 300  # characters; Ray's may be a traceback, of which beginning and end tell most

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        needs: what every recording takes of a machine, as Ray's options.
        machines: those that have as much, by Ray's number, with their names.
    """

    needs: dict[str, Any]
    machines: dict[str, str]

    def agree(self, job: Job, digest: str, inputs: Sequence[Input]) -> Job:
        """Ask every machine whether it has this version, sees weights, inputs and output, and loads the network.

        Args:
            job: that is to be done, with absolute paths.
            digest: of its weights.
            inputs: to be segmented; those that are not here are asked of nobody.

        Returns:
            The job with the backend and the precision that all have found, for machines that come later, too.

        Raises:
            FanetError: one does not, one does not answer, or they found different ones.
        """
        wanted = [path for given in inputs for path in given.images or (given.path,)]
        paths = [str(path) for path in (*wanted, Path(job.network.labels)) if path.is_absolute() and path.exists()]
        found: dict[tuple[str, str], str] = {}
        with _shared_mark(job.settings.output) as mark:
            for name, (problem, network) in self._ask(asdict(job.network), digest, paths, mark):
                if problem:
                    raise FanetError(f"ray: machine {name} {problem}")
                found[network] = name
        if len(found) > 1:
            differing = ", ".join(f"{name} would take {' '.join(network)}" for network, name in found.items())
            raise FanetError(f"ray: results would depend on the machine: {differing}; give --backend and --precision")
        backend, precision = next(iter(found))
        return replace(job, network=replace(job.network, backend=backend, precision=precision))

    def _ask(self, *question: Any) -> list[tuple[str, tuple[str, tuple[str, str]]]]:
        """Return the name of every machine and its answer, as `look_here` gives it."""
        look = ray.remote(_look())
        needs = {"num_cpus": 0, "num_gpus": self.needs["num_gpus"], "max_retries": 0}
        asked = {
            look.options(**needs, scheduling_strategy=_on(number)).remote(package_version(), *question): name
            for number, name in self.machines.items()
        }
        answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_TIMEOUT_S)
        if silent:
            raise FanetError(f"ray: machine {asked[silent[0]]} does not answer; is it up? See `ray status`")
        answers = []
        for answer in answered:
            try:
                answers.append((asked[answer], ray.get(answer)))
            except RayError as error:
                answers.append((asked[answer], (f"cannot be used: {_in_one_line(error)}", ("", ""))))
        return answers

    def segment(self, inputs: Sequence[Input], job: Job) -> Generator[tuple[Input, Outcome], None, None]:
        """Segment inputs, and yield each when it is done; they are stopped where the iteration ends earlier."""
        # a worker goes on with the next one, also on a GPU (max_calls), with the network that it has
        task = ray.remote(**self.needs, max_retries=_RETRIES, max_calls=0)(segment_here)
        level = logging.getLogger().level
        pending = {task.remote(given, job, level): given for given in inputs}
        try:
            while pending:
                for done in ray.wait(list(pending))[0]:
                    given = pending.pop(done)
                    yield given, _outcome(given, done)
        finally:
            for number in pending:
                ray.cancel(number)  # as Ctrl-C would, so finished files are kept
            if pending:
                ray.wait(list(pending), num_returns=len(pending), timeout=_STOP_TIMEOUT_S)


@contextmanager
def connected(address: str, threads: int, device: str) -> Iterator[Cluster]:
    """Connect to a cluster, or start one on this machine.

    Args:
        address: HOST:PORT or ray://HOST:PORT of its head, `auto` for one that this machine belongs to, or `local`.
        threads: cores that each recording takes.
        device: `cpu`, or `cuda` where each recording takes a GPU.

    Raises:
        SettingError: the address is wrong, nobody answers there, or no machine has what a recording takes.
        FanetError: the cluster fails within the block.
    """
    _check_answers(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody unless the user wants it
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.chdir("/")  # workers look for modules where this is: beside a recording may lie a torch.py
        own = {"include_dashboard": False} if address == LOCAL else {}
        ray.init(address=address, logging_level=logging.ERROR, configure_logging=True, **own)
    except (ConnectionError, ValueError, RuntimeError, ImportError) as error:
        raise SettingError(
            f"ray: no cluster can be joined at {address!r}: {_in_one_line(error)}; give HOST:PORT of its head (with "
            f"RAY_AUTH_MODE=token where it has a token), auto on one of its machines, or {LOCAL}"
        ) from error
    finally:
        os.fchdir(here)
        os.close(here)
    try:
        needs = {"num_cpus": threads, "num_gpus": int(device == "cuda")}
        wanted = {"CPU": threads, "GPU": needs["num_gpus"]}
        alive = [node for node in ray.nodes() if node["Alive"]]
        able = [node for node in alive if all(node["Resources"].get(kind, 0) >= n for kind, n in wanted.items())]
        if not able:
            had = Counter({kind: sum(node["Resources"].get(kind, 0) for node in alive) for kind in wanted})
            raise SettingError(
                f"ray: a recording takes {threads} cores and {needs['num_gpus']} GPUs of one machine, and none of "
                f"{len(alive)} has as many ({had['CPU']:g} cores and {had['GPU']:g} GPUs in all); give fewer --threads "
                "or another --device"
            )
        yield Cluster(needs, {node["NodeID"]: node["NodeManagerHostname"] for node in able})
    except RayError as error:
        raise FanetError(
            f"ray: the cluster failed: {_in_one_line(error)}; what is finished is kept, and the same command goes on"
        ) from error
    finally:
        ray.shutdown()


@contextmanager
def _shared_mark(output: Path) -> Iterator[str]:
    """Make a file in the output folder, by which other machines can tell that they see the same one."""
    make_folder(output)
    try:
        with scratch_folder(output, ".shared.") as folder:
            mark = folder / "mark"
            mark.touch()
            yield str(mark)
    except OSError as error:
        raise SettingError(f"output folder {output} cannot be written: {error.strerror or error}") from None


def _check_answers(address: str) -> None:
    """Ray itself waits for minutes and then ends the process, also for what is no Ray, such as its own dashboard."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S) as connection:
            connection.sendall(_HTTP2_GREETING)
            if os.environ.get("RAY_USE_TLS") != "1" and connection.recv(9)[3:4] != _HTTP2_SETTINGS:
                raise OSError("what answers is no Ray")
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingError(f"ray: nobody answers at {address!r}: {reason}; give HOST:PORT of its head (6379)") from None


def _look() -> Any:
    """Return a function that travels as it is, so that a machine without this package can say so."""

    def look(version: str, choice: dict[str, Any], *question: Any) -> tuple[str, tuple[str, str]]:
        try:
            from fanet_ros.resources import package_version

            found = package_version()
            if found == version:
                from fanet_ros.recorded.job import NetworkChoice
                from fanet_ros.recorded.worker import look_here

                return look_here(NetworkChoice(**choice), *question)
            return f"has fanet_ros {found}, and this one has {version}; install the same on all", ("", "")
        except ImportError as error:
            return f"lacks fanet_ros {version}, or what it needs: {error}; install the same on all", ("", "")

    return look


def _on(number: str) -> Any:
    return NodeAffinitySchedulingStrategy(node_id=number, soft=False)


def _outcome(given: Input, done: Any) -> Outcome:
    try:
        outcome: Outcome = ray.get(done)
    except RayError as error:  # segment_here itself tells of all others
        _log.debug("the work on %s failed", printable(str(given.path)), exc_info=error)
        return Outcome(error=f"{printable(str(given.path))}: its worker failed: {_in_one_line(error)}")
    return outcome


def _in_one_line(error: BaseException) -> str:
    return printable(" ".join(str(error).split()) or type(error).__name__, _MOST_OF_ERROR)


def with_absolute_paths(inputs: Sequence[Input], job: Job) -> tuple[list[Input], Job]:
    """Return inputs and job as machines with another working directory understand them; links stay as they are.

    A recording takes one core unless the job says more, and the CPU unless it says cuda.

    Raises:
        SettingError: a certain GPU is asked for.
    """
    network = job.network
    if network.device.startswith("cuda:"):
        raise SettingError(f"device: received {network.device!r}, expected cpu or cuda: Ray chooses the GPU")
    labels = network.labels if not Path(network.labels).is_file() else str(absolute(Path(network.labels)))
    weights = network.weights if network.weights in ("", "shipped") else str(absolute(weights_path(network.weights)))
    network = replace(
        network,
        labels=labels,
        weights=weights,
        device="cpu" if network.device == "auto" else network.device,  # Ray shows a GPU only to those who ask
        threads=network.threads or 1,  # what runs beside the network uses one core, so most is done in this way
    )
    inputs = [
        replace(given, images=tuple(map(absolute, given.images)))
        if given.images
        else replace(given, path=absolute(given.path))
        for given in inputs
    ]
    return inputs, Job(network, replace(job.settings, output=absolute(job.settings.output), quiet=True))
