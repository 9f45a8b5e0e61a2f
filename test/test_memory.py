import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 60

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")


@pytest.mark.parametrize(("function", "size"), [("keep_large_blocks", 8_000_000), ("keep_all_blocks", 200_000_000)])
def test_freed_blocks_stay_in_the_heap(function: str, size: int) -> None:
    # In a process of its own, because the setting cannot be taken back.
    code = f"""
import resource
from fanet_ros.memory import {function}
assert {function}()
bytearray({size})
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray({size})
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environ, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stderr
    # Fresh from the kernel, the ten blocks would fault a page for each 4096 bytes.
    assert int(done.stdout) < size // 4096 // 4
