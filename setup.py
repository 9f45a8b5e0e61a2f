"""The ROS-free core as a Python package: pip install ."""

import xml.etree.ElementTree as ET
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

package = ET.parse(Path(__file__).with_name("package.xml")).getroot()


def text_of(tag: str) -> str:
    """Return the text of an element of package.xml, the only place for what both builds need to know."""
    return " ".join(package.findtext(tag, "").split())


class BuildKernels(build_ext):
    """Builds the kernels under the name by which labelling/kernels.py finds them: they are no module of Python."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.editable_mode:  # there scripts/setup builds them with colcon, and a second copy would grow stale
            self.extensions = []

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/") + ".so"


setup(
    name=text_of("name"),
    version=text_of("version"),
    description=text_of("description"),
    license="; ".join(" ".join((element.text or "").split()) for element in package.iter("license")),
    python_requires=">=3.10",
    # The ROS layer needs the messages that colcon generates, so a wheel would hold it in vain.
    packages=[*find_packages(include=["fanet_ros", "fanet_ros.*"], exclude=["fanet_ros.ros*"])]
    + ["fanet_ros.config", "fanet_ros.config.labels", "fanet_ros.config.train"],
    package_dir={"fanet_ros.config": "config"},
    package_data={
        "fanet_ros": ["py.typed", "weights/*", "weights/*/*"],
        "fanet_ros.config": ["*.yaml"],
        "fanet_ros.config.labels": ["*.yaml"],
        "fanet_ros.config.train": ["*.yaml"],
    },
    cmdclass={"build_ext": BuildKernels},
    ext_modules=[
        Extension(
            "fanet_ros.libfanet_kernels",
            ["src/kernels.cpp", "src/measured.cpp", "src/decoder_messages.cpp"],
            depends=["src/grid.hpp", "src/cells.inc", "src/lanes.inc", "src/merged.inc"],
            # as in CMakeLists.txt, which says why
            extra_compile_args=["-std=c++17", "-O3", "-Wall", "-Wextra", "-Wno-psabi", "-ffp-contract=off"]
            + ["-fvisibility=hidden", "-pthread"],
            extra_link_args=["-pthread"],
        )
    ],
    install_requires=[
        "numpy>=1.21",
        "opencv-python-headless>=4.5,<5",
        "openvino>=2025.0",
        "pyyaml>=5.4",
        "rich>=12",
        "safetensors>=0.4",
        "torch>=2.2",
        "typer>=0.9",
    ],
    extras_require={
        "bags": ["apsw", "backports.zstd; python_version < '3.14'", "lz4", "mcap>=1.3", "rosbags>=0.11.9"],
        "benchmark": ["matplotlib>=3.5", "psutil>=5.9"],
        "calibrate": ["nncf>=2.14"],
        "evaluate": ["matplotlib>=3.5", "pillow>=9", "scipy>=1.8"],
        "ray": ["ray>=2.52,<3"],  # those before have no tokens: whoever reached them could run anything
        "train": ["kornia>=0.7", "matplotlib>=3.5", "pillow>=9", "pydantic>=2", "scipy>=1.8", "tensorboard>=2.12"]
        + ["torch>=2.3"],
        # exactly as fanet_ros/view/interpreter.py has it; from Python 3.11 on
        "view": ["rerun-sdk==0.41.0; python_version >= '3.11'"],
    },
    entry_points={"console_scripts": ["fanet = fanet_ros.commands.cli:main"]},
)
