"""Videos of overlays: H.264, which browsers play, where the machine can; else MPEG-4, which OpenCV always can."""

from __future__ import annotations

import logging
import math
import shutil
import subprocess
import tempfile
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.errors import SettingError
from fanet_ros.files import plain_name
from fanet_ros.frames.opencv_log import quiet_opencv
from fanet_ros.processes import last_words

Image = NDArray[np.uint8]

_log = logging.getLogger(__name__)

_RATES_HZ = (0.01, 1000.0)
_USUAL_RATE_HZ = 30.0
_LARGEST_TERM = 65535  # of the fraction that states a rate in MPEG-4
_H264_OPTIONS = {"preset": "veryfast", "crf": "20"}


class VideoFile:
    """A video while it is written.

    Attributes:
        codec: what it is encoded in, for people.
    """

    def __init__(self, path: Path, width: int, height: int, rate_hz: float) -> None:
        """Begin a video.

        Args:
            path: ending in .mp4, of any name.
            width: of its pictures.
            height: likewise.
            rate_hz: frames per second; a video has 0.01 to 1000, so others are brought there.

        Raises:
            SettingError: it cannot be written.
        """
        self._path = path
        self._size = (width, height)
        self._written = 0
        self._failed: SettingError | None = None
        self._encoder = _begin(path, self._size, _as_fraction(rate_hz))
        self.codec = self._encoder.codec

    def write(self, picture: Image) -> None:
        """Write an rgb8 picture, uint8 (H, W, 3); one of another size is resized.

        Raises:
            SettingError: it cannot be written; known at once of some encoders, of others when the video is closed.
        """
        if picture.shape[1::-1] != self._size:
            picture = np.asarray(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        try:
            self._encoder.write(picture)
        except Exception as error:  # PyAV raises its own
            raise self._cut_off(error) from None
        self._written += 1

    def close(self) -> None:
        """Finish the video, and see whether it can be played; one that cannot is removed.

        Raises:
            SettingError: it cannot be played, or not to its end.
        """
        if self._failed:
            raise self._failed
        try:
            self._encoder.close()
            with quiet_opencv(), plain_name(self._path) as name:
                video = cv2.VideoCapture(name)
                frames = round(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
                video.release()
        except Exception as error:  # as above
            raise self._cut_off(error) from None
        if frames < self._written:
            raise self._cut_off(f"{frames} of {self._written} frames can be read")

    def _cut_off(self, reason: object) -> SettingError:
        _log.debug("%s is cut off", self._path, exc_info=reason if isinstance(reason, Exception) else None)
        with suppress(Exception):  # a second fault tells nothing more
            self._encoder.close()
        with suppress(OSError):
            self._path.unlink()
        self._failed = SettingError(
            f"{self._path} could not be written to its end and was removed ({reason}): is the disk full, a quota "
            "reached, or the file too large for the disk's format?"
        )
        return self._failed


class _Encoder(Protocol):
    codec: str

    def write(self, picture: Image) -> None: ...

    def close(self) -> None: ...


def _begin(path: Path, size: tuple[int, int], rate: Fraction) -> _Encoder:
    if min(size) >= 2:  # H.264 has no odd sizes, so these lose a row or column
        try:
            return _PyAv(path, size, rate)
        except ImportError:
            pass
        except Exception as error:  # PyAV's own: built without libx264, or the disk is full
            _log.debug("PyAV does not write %s", path, exc_info=error)
        if program := _ffmpeg():
            return _Ffmpeg(program, path, size, rate)
    return _OpenCv(path, size, rate)


class _PyAv:
    codec = "H.264"

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction) -> None:
        import av

        self._file = path.open("wb")
        try:
            self._container = av.open(self._file, "w", format="mp4", options={"movflags": "+faststart"})
            self._stream: Any = self._container.add_stream("libx264", rate=rate, options=_H264_OPTIONS)
        except BaseException:
            self._file.close()
            raise
        self._stream.width, self._stream.height = (side & ~1 for side in size)
        self._stream.pix_fmt = "yuv420p"
        self._frame = av.VideoFrame.from_ndarray

    def write(self, picture: Image) -> None:
        height, width = (side & ~1 for side in picture.shape[:2])
        frame = self._frame(np.ascontiguousarray(picture[:height, :width]), "rgb24")
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        with self._file:
            self._container.mux(self._stream.encode())
            self._container.close()


@lru_cache(maxsize=1)
def _ffmpeg() -> str:
    """Return the program on the PATH that can encode H.264, or nothing."""
    program = shutil.which("ffmpeg")
    if program is None:
        return ""
    trial = [program, "-v", "error", "-f", "lavfi", "-i", "color=s=64x64", "-frames:v", "1", "-c:v", "libx264"]
    try:
        subprocess.run([*trial, "-f", "null", "-"], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        _log.debug("%s cannot encode H.264", program, exc_info=error)
        return ""
    return program


class _Ffmpeg:
    codec = "H.264"

    def __init__(self, program: str, path: Path, size: tuple[int, int], rate: Fraction) -> None:
        width, height = size
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "-"]
        encode = ["-vf", f"crop={width & ~1}:{height & ~1}:0:0", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
        options = [word for name, value in _H264_OPTIONS.items() for word in (f"-{name}", value)]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [program, "-v", "error", "-y", *raw, *encode, *options, "-movflags", "+faststart", f"file:{path}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is for this process, which then closes the video
        )
        assert self._process.stdin is not None
        self._input = self._process.stdin

    def write(self, picture: Image) -> None:
        try:
            self._input.write(np.ascontiguousarray(picture).data)
        except BrokenPipeError:
            self.close()

    def close(self) -> None:
        with suppress(BrokenPipeError):  # it has ended already, and has said why
            self._input.close()
        with self._said:
            if self._process.wait():
                words = last_words(self._said) or [f"ffmpeg ended with status {self._process.returncode}"]
                raise OSError(words[-1])


class _OpenCv:
    codec = "MPEG-4 part 2: VLC and mpv play it, browsers do not; with ffmpeg (apt install ffmpeg) it would be H.264"

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction) -> None:
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")  # the one MPEG-4 codec that every OpenCV build can write
        with quiet_opencv(), plain_name(path.parent) as folder:
            self._writer = cv2.VideoWriter(f"{folder}/{path.name}", fourcc, float(rate), size)
        if not self._writer.isOpened():
            raise SettingError(f"cannot write {path}: this OpenCV build has no MPEG-4 encoder, or the disk is full")

    def write(self, picture: Image) -> None:
        with quiet_opencv():
            self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        with quiet_opencv():
            self._writer.release()


def _as_fraction(rate_hz: float) -> Fraction:
    """Return a rate as MPEG-4 can state it."""
    rate_hz = min(max(rate_hz, _RATES_HZ[0]), _RATES_HZ[1]) if math.isfinite(rate_hz) else _USUAL_RATE_HZ
    for digits in (3, 2, 1, 0):  # OpenCV states rates in as many decimals as it needs, and at most three
        if round(rate_hz * 10**digits) <= _LARGEST_TERM:
            break
    return Fraction(round(rate_hz * 10**digits), 10**digits)
