import subprocess
import sys

import pytest

from fanet_ros.backends.cuda import nvidia
from fanet_ros.errors import BackendError

needs_gpu = pytest.mark.skipif(nvidia.gpu_count() == 0, reason="needs an NVIDIA GPU; this machine has none")


@pytest.mark.gpu
@needs_gpu
def test_gpus_have_names() -> None:
    assert all(nvidia.gpu_name(index) for index in range(nvidia.gpu_count()))
    assert all(nvidia.compute_capability(index) >= (3, 0) for index in range(nvidia.gpu_count()))


def test_gpu_that_does_not_exist() -> None:
    for ask in (nvidia.gpu_name, nvidia.require_gpu):
        with pytest.raises(BackendError, match="driver.*use device cpu|'cuda:99' was asked for, but .* finds"):
            ask(99)


@pytest.mark.skipif(nvidia.gpu_count() > 0, reason="this machine has an NVIDIA GPU")
def test_no_driver_and_a_driver_that_fails_are_no_gpu(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nvidia.gpu_count() == 0
    # a library with the right symbols that always says "no device" (100), in place of the driver
    source = tmp_path / "driver.c"
    source.write_text("int cuInit(unsigned f) { return 100; }\n")
    library = tmp_path / "libdriver.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    monkeypatch.setattr(nvidia, "_DRIVER", str(library))
    nvidia._driver.cache_clear()
    assert nvidia.gpu_count() == 0
    with pytest.raises(BackendError, match="answers cuInit with error 100; check nvidia-smi"):
        nvidia.require_gpu(0)
    nvidia._driver.cache_clear()


def test_a_driver_is_asked_for_numbers_and_names(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "driver.c"
    source.write_text(
        "#include <string.h>\n"
        "int cuInit(unsigned f) { return 0; }\n"
        "int cuDeviceGetCount(int *n) { *n = 2; return 0; }\n"
        "int cuDeviceGet(int *d, int i) { *d = i + 40; return 0; }\n"
        "int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? d - 32 : a == 76 ? 6 : 0; return 0; }\n"
        'int cuDeviceGetName(char *s, int n, int d) { strncpy(s, d == 41 ? "Second" : "First", n); return 0; }\n'
    )
    library = tmp_path / "libdriver.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    monkeypatch.setattr(nvidia, "_DRIVER", str(library))
    nvidia._driver.cache_clear()
    assert nvidia.gpu_count() == 2
    assert (nvidia.gpu_name(0), nvidia.gpu_name(1)) == ("First", "Second")
    assert (nvidia.compute_capability(0), nvidia.compute_capability(1)) == ((8, 6), (9, 6))
    with pytest.raises(BackendError, match="'cuda:2' was asked for, but .* finds 2 GPUs, counted from 0"):
        nvidia.gpu_name(2)
    nvidia._driver.cache_clear()


def test_asking_imports_no_framework() -> None:
    code = "import sys; from fanet_ros.backends.cuda.nvidia import gpu_count as n; n()"
    code += "; print({'torch', 'tensorrt'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "set()"
