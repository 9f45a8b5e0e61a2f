from pathlib import Path

import pytest

from fanet_ros.backends import processor

X86 = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"
OLD = "processor\t: 0\nflags\t\t: fpu avx2\n"


@pytest.mark.parametrize(
    ("text", "flags", "bf16"),
    [
        (X86, {"fpu", "avx2", "avx512_bf16"}, True),
        (ARM, {"fp", "asimd", "bf16"}, True),
        (OLD, {"fpu", "avx2"}, False),
        (None, set(), False),
    ],
)
def test_what_linux_tells_of_the_first_processor(
    text: str | None, flags: set[str], bf16: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(processor, "_CPU_INFO", file)
    monkeypatch.setattr(processor, "processor_info", processor.processor_info.__wrapped__)  # without its memory
    assert processor.processor_flags() == flags
    assert processor.has_native_bf16() is bf16
