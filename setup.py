"""The ROS-free core as a Python package: pip install ."""

import xml.etree.ElementTree as ET
from pathlib import Path

from setuptools import find_packages, setup

package = ET.parse(Path(__file__).with_name("package.xml")).getroot()


def text_of(tag: str) -> str:
    """Return the text of an element of package.xml, the only place for what both builds need to know."""
    return " ".join(package.findtext(tag, "").split())


setup(
    name=text_of("name"),
    version=text_of("version"),
    description=text_of("description"),
    license=text_of("license"),
    python_requires=">=3.10",
    # The ROS layer needs the messages that colcon generates, so a wheel would hold it in vain.
    packages=[*find_packages(include=["fanet_ros", "fanet_ros.*"], exclude=["fanet_ros.ros*"])]
    + ["fanet_ros.config", "fanet_ros.config.labels"],
    package_dir={"fanet_ros.config": "config"},
    package_data={
        "fanet_ros": ["py.typed", "weights/*"],
        "fanet_ros.config": ["*.yaml"],
        "fanet_ros.config.labels": ["*.yaml"],
    },
    install_requires=[
        "numpy>=1.23",
        "opencv-python-headless>=4.5,<5",
        "pyyaml>=5.4",
        "rich>=12",
        "safetensors>=0.4",
        "torch>=2.2",
        "typer>=0.9",
    ],
    entry_points={"console_scripts": ["fanet = fanet_ros.cli:main"]},
)
