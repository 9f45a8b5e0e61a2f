"""What `import fanet_ros` offers."""

import subprocess
import sys

import pytest

import fanet_ros


def test_everything_public_is_there() -> None:
    from fanet_ros import FanetError, LabelSet, Segmentation, Segmenter, __version__

    assert issubclass(FanetError, Exception) and Segmenter.__name__ == "Segmenter"
    assert LabelSet.__module__ == "fanet_ros.model.labels" and Segmentation.__module__ == "fanet_ros.segmenter"
    assert __version__.count(".") == 2
    assert all(hasattr(fanet_ros, name) for name in fanet_ros.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Segmentor'"):
        fanet_ros.Segmentor  # noqa: B018


def test_importing_costs_nothing() -> None:
    code = (
        "import fanet_ros, sys; fanet_ros.__version__; print({'numpy', 'cv2', 'torch', 'openvino'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "set()"
