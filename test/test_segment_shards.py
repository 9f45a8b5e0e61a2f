"""Several runs, on several machines, that write into one folder: which part each does, and under which names."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Barrier

import pytest
from bag_writing import drive, write_bag, write_split_bag
from segment_command import segment

from fanet_ros.artefacts.cache import weights_digest
from fanet_ros.errors import SettingError
from fanet_ros.recorded.inputs import find_inputs, take_shard
from fanet_ros.recorded.job import Job, NetworkChoice
from fanet_ros.recorded.names import Names, allot_names
from fanet_ros.recorded.recording import find_recording
from fanet_ros.recorded.resume import claim_folder, claim_workplace
from fanet_ros.recorded.segment_files import FileSegmentation
from fanet_ros.recorded.worker import look_here, segment_here
from fanet_ros.resources import DEFAULT_WEIGHTS

pytestmark = pytest.mark.usefixtures("one_network")


def contents(folder: Path) -> dict[str, bytes]:
    """Everything that a run wrote, but the times in its summary."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "summary.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def first(names: Names, number: int = 3) -> list[str]:
    return list(islice(names, number))


def test_names_never_meet() -> None:
    given = ["drive", "other", "drive", "drive_2", "drive"]
    allotted = allot_names(given)
    assert first(allotted[1]) == ["other", "other_2", "other_3"]
    assert first(allotted[0]) == ["drive", "drive_4", "drive_7"]
    assert first(allotted[2]) == ["drive_5", "drive_8", "drive_11"], "drive_2 is another's"
    assert first(allotted[3]) == ["drive_2", "drive_2_2", "drive_2_3"]
    everything = [name for names in allotted for name in first(names, 100)]
    assert len(set(everything)) == len(everything)


def test_thousands_of_names_stay_small() -> None:
    assert sum(len(names.others) for names in allot_names([f"drive_{n}" for n in range(5000)])) == 0


def test_names_do_not_depend_on_the_order_of_a_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / "a.mp4", tmp_path / "a.MP4"]
    for file in files:
        file.touch()
    for order in (files, files[::-1]):
        monkeypatch.setattr(Path, "iterdir", lambda _, order=order: iter(order))
        assert [given.path for given in find_inputs([tmp_path])] == sorted(files)


def test_all_shards_together_are_everything_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.mcap" for name in "gfabedc"]
    for path in paths:
        path.touch()
    everything = find_inputs([*paths, paths[0]])
    assert len(everything) == 7, "what is given twice is segmented once"
    shards = [take_shard(everything, f"{number}/3") for number in range(3)]
    assert sorted(given.path for shard in shards for given in shard) == sorted(paths)
    assert [len(shard) for shard in shards] == [3, 2, 2]
    assert shards == [take_shard(find_inputs(sorted(paths)), f"{number}/3") for number in range(3)], "in any order"
    assert [len(take_shard(everything, f"{number}/9")) for number in range(9)] == [1] * 7 + [0] * 2


def test_a_path_that_leads_nowhere_stops_no_others(tmp_path: Path) -> None:
    loop = tmp_path / "loop.mcap"
    loop.symlink_to(loop)
    result = segment(tmp_path / "out", loop, write_bag(tmp_path / "run", drive(images=1)))
    assert result.exit_code == 1 and "1 of 2 paths could not be segmented" in result.output, result.output
    assert (tmp_path / "out" / "run" / "run_segmented").exists()


@pytest.mark.parametrize("shard", ["3/3", "1", "a/2", "-1/2", "1/0", "1/2/3", "0/99999999999", ""])
def test_a_shard_that_is_none_is_refused(shard: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=f"shard: received '{shard}', expected I/N for part I of N, counted from 0"):
        take_shard([], shard)
    result = segment(tmp_path / "out", tmp_path, f"--shard={shard}")
    assert result.exit_code == 2 and not (tmp_path / "out").exists()


def test_shards_write_what_one_run_writes(tmp_path: Path) -> None:
    """In one folder, recordings of the same name, and the last shard first."""
    days = [tmp_path / day for day in ("monday", "tuesday")]
    for number, day in enumerate(days):
        day.mkdir()
        write_bag(day / "drive", drive(images=2, first=number))
    write_bag(days[1] / "other", drive(images=1))
    assert segment(tmp_path / "whole", *days).exit_code == 0
    for shard in ("2/4", "1/4", "0/4"):
        result = segment(tmp_path / "parts", *days, "--shard", shard)
        assert result.exit_code == 0 and f"shard {shard}: 1 of 3 paths" in result.output, result.output
    result = segment(tmp_path / "parts", *days, "--shard", "3/4")
    assert result.exit_code == 0 and "0 of 3 paths" in result.output, "more machines than recordings are no error"
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert {path.name for path in (tmp_path / "whole").iterdir()} == {"drive", "drive_2", "other"}

    alone = segment(tmp_path / "parts", days[1] / "drive")
    assert "already segmented" in alone.output and "drive_2" in alone.output, "found again when it is given alone"
    assert segment(tmp_path / "parts", *days, "--overlay-alpha", "0.2", "--shard", "1/2").exit_code == 0
    assert segment(tmp_path / "whole", *days, "--overlay-alpha", "0.2").exit_code == 0
    assert contents(tmp_path / "parts" / "drive_4") == contents(tmp_path / "whole" / "drive_4")


@pytest.mark.parametrize("identity", ["recording", ""])
def test_a_folder_is_claimed_once(tmp_path: Path, identity: str) -> None:
    runs, together = 8, Barrier(8)

    def claim(number: int) -> Path:
        together.wait(10)
        own = identity and f"{identity} {number}"
        return claim_folder(tmp_path / "out", Names("drive"), own, source=tmp_path)

    for _ in range(10):
        with ThreadPoolExecutor(runs) as pool:
            folders = list(pool.map(claim, range(runs)))
        assert {folder.name for folder in folders} == {"drive", *(f"drive_{n}" for n in range(2, runs + 1))}
        shutil.rmtree(tmp_path / "out")


def lock_as_nfs(file: object, operation: int) -> None:
    """Linux locks files on NFS by byte ranges, which must be open for writing for that."""
    number = file if isinstance(file, int) else file.fileno()  # type: ignore[attr-defined]
    if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def without_locks(file: object, operation: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@pytest.mark.parametrize("flock", [lock_as_nfs, without_locks])
def test_shared_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flock: Callable[..., None]) -> None:
    asked: list[object] = []
    monkeypatch.setattr(fcntl, "flock", lambda *arguments: asked.append(arguments) or flock(*arguments))
    bag = write_bag(tmp_path / "run", drive(images=1))
    result = segment(tmp_path / "out", bag)
    assert result.exit_code == 0, result.output
    assert asked and {path.name for path in (tmp_path / "out" / "run").iterdir()} >= {"run_segmented", "summary.json"}


def test_the_lock_is_one_that_nfs_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = claim_workplace(tmp_path / "out", find_recording(write_bag(tmp_path / "run", drive(images=1))), {})
    monkeypatch.setattr(fcntl, "flock", lock_as_nfs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fanet_ros.recorded.resume._log.debug", lambda *_, **__: pytest.fail("the lock was refused"))
        with work.alone():
            pass


def test_a_worker_says_what_was_said_and_no_more(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job = Job(NetworkChoice(input_size="96x64"), FileSegmentation(tmp_path / "out", quiet=True))
    (given,) = find_inputs([write_split_bag(tmp_path / "run", [drive(images=1)] * 2)])
    outcome = segment_here(given, job, 30)
    assert outcome.folder == tmp_path / "out" / "run" and not outcome.error
    assert outcome.said == ("run: /front/image_raw -> /segmentation",)
    failed = segment_here(find_inputs([tmp_path / "none.mcap"])[0], job, 30)
    assert failed.folder is None and "none.mcap does not exist" in failed.error
    assert capfd.readouterr().out == ""


def test_what_a_machine_lacks_is_said(tmp_path: Path) -> None:
    digest = weights_digest(DEFAULT_WEIGHTS)
    mark = tmp_path / "out" / ".shared" / "mark"
    mark.parent.mkdir(parents=True)
    mark.touch()
    small = NetworkChoice(input_size="96x64", backend="openvino", precision="fp32")

    def problem(choice: NetworkChoice = small, digest: str = digest, inputs: tuple[Path, ...] = (tmp_path,)) -> str:
        return look_here(choice, digest, [str(path) for path in inputs], str(mark))[0]

    assert look_here(small, digest, [str(tmp_path)], str(mark)) == ("", ("openvino", "fp32"))
    assert "has other weights" in problem(digest="0" * 64)
    assert "does not see the weights" in problem(NetworkChoice(weights=str(tmp_path / "mine.safetensors")))
    assert "does not see 1 of 2 inputs, first: " in problem(inputs=(tmp_path, tmp_path / "unmounted"))
    assert "cannot load the network" in problem(NetworkChoice(labels="nobody"))
    mark.unlink()
    assert f"does not see what is written to {tmp_path / 'out'}" in problem()
