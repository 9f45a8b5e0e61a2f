"""Frame in, labels out: the front door of the core."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fanet_ros.backends import BackendInfo, Progress, create_backend
from fanet_ros.backends.base import no_progress
from fanet_ros.backends.foreign import describe_network, input_sizes_of
from fanet_ros.backends.request import FrameRequest
from fanet_ros.backends.soft import segment_softly
from fanet_ros.errors import BackendError, FanetError, FrameError, SettingError
from fanet_ros.frames.frame import check_frame
from fanet_ros.frames.look import AS_IT_COMES, Look
from fanet_ros.labelling.postprocess import LabelBuffers
from fanet_ros.model.foreign import LABELS, ForeignNetwork
from fanet_ros.model.labels import LabelSet
from fanet_ros.model.model_card import merging_key, read_card, resolve_label_set
from fanet_ros.resources import DEFAULT_WEIGHTS, weights_path
from fanet_ros.scheduling.batch_choice import BatchChoice, grey_frame
from fanet_ros.scheduling.batching import BatchReport, group_runs
from fanet_ros.scheduling.frame_runner import FrameRunner
from fanet_ros.scheduling.prepared_sizes import PreparedSizes
from fanet_ros.scheduling.scaled_size import scaled_size
from fanet_ros.settings import Size, check_input_size
from fanet_ros.video.video_memory import VideoMemory

__all__ = ["BatchReport", "FrameRequest", "Segmentation", "Segmenter", "VideoMemory"]

_log = logging.getLogger(__name__)

_USUAL_FRAME = Size(1280, 720)  # what most cameras' shape is; the network is prepared for it before one is seen


@dataclass(frozen=True)
class Segmentation:
    """What the network sees in one frame.

    Attributes:
        labels: uint8, (H, W), class id per pixel, 255 where unlabelled.
        confidence: uint8, (H, W), softmax probability of the label x 255, of merged classes their sum; None unless
            asked for, and from networks that give labels alone.
        input_size: at which the network saw the frame.
        batch: how many frames it saw together with this one, this one included.
    """

    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None
    input_size: Size
    batch: int = 1

    def class_shares(self, classes: int) -> NDArray[np.float32]:
        """Return the share of all pixels of each class, float32 (classes,), in [0, 1].

        Unlabelled pixels, as those outside a region are, count in none.
        """
        counts = cv2.calcHist([self.labels], [0], None, [256], [0, 256])[:classes, 0]
        return (counts / self.labels.size).astype(np.float32)


class Segmenter:
    """A network with its weights, label set and backend, ready to segment frames of any size.

    Used by one thread at a time. The masks line up with the frame to the pixel whatever the network's input size is:
    frame, input and logits cover the same field of view, corner to corner.

    Attributes:
        label_set: of the labels: the network's, or what its classes are merged into.
        backend_info: what runs the network, and why.
    """

    def __init__(
        self,
        weights: str | Path = DEFAULT_WEIGHTS,
        *,
        labels: str = "",
        backend: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        input_size: str = "auto",
        threads: int = 0,
        progress: Progress = no_progress,
        kept_sizes: int = 1,
        scales: Sequence[float] = (1.0,),
        temporal_frames: int = 1,
        looks: Sequence[Look] = (AS_IT_COMES,),
    ) -> None:
        """Load weights and prepare the backend.

        Args:
            weights: a .safetensors or torch checkpoint of FANet, or `shipped` for that of this package, or any network
                as .onnx or OpenVINO's .xml (docs/networks.md); a model card beside it (same stem, .md) is read.
            labels: label set (name or path of a YAML file), also one that merges the network's classes; empty for what
                the card names.
            backend: `auto` or a backend's name.
            device: `auto`, `cpu`, `cuda` or `cuda:<index>`.
            precision: `auto`, `fp32`, `bf16`, `fp16` or `int8`.
            input_size: `auto` (the card's area at the frame's aspect ratio), `camera` or WIDTHxHEIGHT.
            threads: CPU threads; 0 for as many as the process may use.
            progress: told every few seconds what a long build is doing, here and in `segment` when the first frame of
                another size arrives; may raise to give the build up.
            kept_sizes: for how many input sizes (at scale 1) the backend keeps what it compiled, at least 1; cameras of
                one aspect ratio have one, a data set may have several.
            scales: of the input size's sides, in (0, 1], among which `segment` may choose. All are prepared by
                `warm_up` and at the first frame of another shape, and kept.
            temporal_frames: T, how many frames of a video attention sees, the present one included, 1 to
                video_memory.MAX_TEMPORAL_FRAMES; the others are those of a `memory`. 1 for single frames.
            looks: that frames will be asked for with, not more than `kept_sizes`: the network is prepared for what they
                show.

        Raises:
            FanetError: WeightsError, LabelSetError, BackendError or SettingError, each with what to do.
        """
        try:
            check_input_size(input_size)
        except SettingError as error:
            raise SettingError(f"input_size: {error}") from None
        if not scales or not all(0 < scale <= 1 for scale in scales):
            raise SettingError(f"scales: received {tuple(scales)}, expected numbers above 0 and up to 1")
        path = weights_path(weights)
        card = read_card(path)
        self._input_size = input_size
        self._likely = Counter(look.likely_size(_USUAL_FRAME) for look in looks)
        self._certain = tuple(look.likely_size(_USUAL_FRAME) for look in looks if look.region is not None)
        self._network = describe_network(path, progress)
        if self._network is not None:
            self.label_set: LabelSet = self._network.label_set(labels, card)  # before a build is begun
            if self._network.size is not None and len(scales) > 1:
                raise SettingError(
                    f"the network takes images of {self._network.size} only, so there is no smaller input for a "
                    "latency budget; set latency_budget_ms to 0, or export the network with open height and width"
                )
        self._fit = input_sizes_of(path, input_size, self._network)
        self._backend = create_backend(
            path,
            backend=backend,
            device=device,
            precision=precision,
            threads=threads,
            input_size=None if input_size == "camera" else self.input_size_for(next(iter(self._likely))),
            progress=progress,
            kept_sizes=kept_sizes * len(scales),
            temporal_frames=temporal_frames,
            labels=merging_key(labels, card),
            network=self._network,
        )
        try:
            if self._network is None:
                self.label_set = resolve_label_set(labels, card, self._backend.classes)
            else:
                self._backend.classes = len(self.label_set.of_network)  # which one that gives labels does not tell
            if self.label_set:
                self._backend.label_of = self.label_set.label_of
        except BaseException:
            self._backend.close()
            raise
        if not self.has_confidence:
            _log.warning(
                "%s gives labels without logits: there is no confidence, and a confidence threshold changes nothing",
                path.name,
            )
        self._scales = tuple(sorted(scales, reverse=True))
        self._batches = BatchChoice(self._backend, self._scales)
        self._runner = FrameRunner(self._backend, self._batches)
        self._sizes = PreparedSizes(self._backend, self._scales)
        if input_size != "camera":
            self._note_prepared([next(iter(self._likely))])

    @property
    def backend_info(self) -> BackendInfo:
        """What runs the network, and why."""
        return self._backend.info

    @property
    def network(self) -> ForeignNetwork | None:
        """What the network takes and gives; None for FANet."""
        return self._network

    @property
    def has_confidence(self) -> bool:
        """Whether confidences can be had; a network that gives labels has none."""
        return self._network is None or self._network.answer != LABELS

    def new_memory(self) -> VideoMemory:
        """Return an empty memory for one camera or video; with `temporal_frames` 1 it stays empty."""
        return self._backend.new_memory()

    def segment(
        self,
        frame: NDArray[np.uint8],
        encoding: str = "rgb8",
        *,
        output_size: Size | None = None,
        confidence: bool = False,
        confidence_threshold: float = 0.0,
        out: LabelBuffers | None = None,
        scale: float = 1.0,
        memory: VideoMemory | None = None,
        look: Look = AS_IT_COMES,
    ) -> Segmentation:
        """Segment one frame.

        Args:
            frame: uint8, (H, W, 3) for rgb8 and bgr8, (H, W, 4) for rgba8 and bgra8, (H, W) for mono8; any size, rows
                may be padded. It is only read.
            encoding: of the frame.
            output_size: of labels and confidence; None for the frame's own.
            confidence: whether the confidence is wanted, too.
            confidence_threshold: in [0, 1]; pixels with a lower confidence become 255 (unlabelled).
            out: arrays to write labels and confidence to, uint8 (output_size.height, output_size.width), contiguous:
                with them no memory of that size is allocated. None for new ones.
            scale: of the network's input, one of `scales`; smaller is faster and sees less.
            memory: of the video whose next frame this is (`new_memory`): attention sees the frames in it, and this one
                is put into it. A memory is reset when the network's input size changes. None for a frame on its own.
            look: at which region of the frame the network looks, and turned by how much; labels and confidence are as
                the camera sees all the same, and outside the region 255 (unlabelled) and 0.

        Raises:
            FrameError: the frame is not what the encoding says, or does not hold the region; the memory stays as it
                was.
            BackendError: the network cannot be built for the size that this frame asks for; likewise.
            InferenceError: the network's logits are not finite; the memory is reset.
            SettingError: the scale is none of `scales`, or the memory was made by another segmenter.
        """
        request = FrameRequest(frame, encoding, output_size, confidence, out, memory, look)
        self._check_memories([request])
        input_size = self._prepare(request, scale)
        return _result(request, self._runner.run(request, input_size, confidence_threshold), input_size, 1)

    def segment_batch(
        self, requests: Sequence[FrameRequest], *, confidence_threshold: float = 0.0, scale: float = 1.0
    ) -> list[Segmentation | FanetError]:
        """Segment frames that wait together, of any sizes and encodings; one that cannot be costs no other its result.

        Those that the network sees at the same size run as one batch where as many wait as `warm_up` was told and a
        batch is faster (`batching`); the others one after the other.

        Args:
            requests: the frames and what is wanted of each; their `out` arrays must not overlap, and no two may have
                the same memory: the frames of one video come one after the other.
            confidence_threshold: as for `segment`.
            scale: as for `segment`.

        Returns:
            For each request its result, or the error that `segment` would have raised.

        Raises:
            SettingError: the scale is none of `scales`, two requests have the same memory, or one was made by another
                segmenter.
        """
        self._check_memories(requests)
        results: dict[int, Segmentation | FanetError] = {}
        input_sizes: list[Size | None] = []
        for index, request in enumerate(requests):
            try:
                input_sizes.append(self._prepare(request, scale))
            except (FrameError, BackendError) as error:
                results[index] = error
                input_sizes.append(None)
            except (RuntimeError, MemoryError) as error:  # of a library, while it builds
                _log.debug("a network could not be built", exc_info=True)
                results[index] = BackendError(f"{type(error).__name__}: {error}")
                input_sizes.append(None)
        for run in self._runs(requests, input_sizes, scale):
            input_size = input_sizes[run[0]]
            assert input_size is not None, "group_runs leaves out what has no size"
            batch = [requests[index] for index in run]
            answers, together = self._runner.run_together(batch, input_size, confidence_threshold)
            for index, request, answer in zip(run, batch, answers, strict=True):
                if isinstance(answer, FanetError):
                    results[index] = answer
                else:
                    results[index] = _result(request, answer, input_size, together)
        return [results[index] for index in range(len(requests))]

    def logits(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network alone, for those who combine several looks at one frame (fanet_ros.evaluation).

        Args:
            image: uint8, (H, W, 3), RGB, contiguous; the network's input as it is, of any size.

        Returns:
            Logits, float32, (classes, ceil(H / 8), ceil(W / 8)), or what a foreign network gives in their place
            (Backend.infer), not checked for being finite; valid until the next call of any method.

        Raises:
            BackendError: the network cannot be built for that size.
        """
        self._sizes.build(Size(image.shape[1], image.shape[0]))
        return self._backend.infer(image)

    def segment_softly(
        self, frame: NDArray[np.uint8], encoding: str, points: Size, *, confidence_threshold: float = 0.0
    ) -> tuple[Segmentation, NDArray[np.float32]]:
        """Segment one frame, and tell all probabilities as well: what a smaller network can learn of this one.

        Args:
            frame: as for `segment`.
            encoding: of the frame.
            points: how many probabilities there are, for centres of equal parts of the frame.
            confidence_threshold: as for `segment`.

        Returns:
            Labels of the frame's size, and probabilities, float32 (classes, points.height, points.width), of the
            classes of `label_set`.

        Raises:
            FrameError: the frame is not what the encoding says.
            BackendError: the network cannot be built for the size that this frame asks for.
            InferenceError: the network's logits are not finite.
            SettingError: the network gives labels alone.
        """
        check_frame(frame, encoding)
        self.check_tells_probabilities()
        input_size = self._sizes.build(self.input_size_for(Size(frame.shape[1], frame.shape[0])))
        answer, probabilities = segment_softly(self._backend, frame, encoding, input_size, points)
        self._runner.threshold.apply(answer, confidence_threshold)
        return Segmentation(answer.labels, answer.confidence, input_size), probabilities

    def check_tells_probabilities(self) -> None:
        """Check that `segment_softly` can be called.

        Raises:
            SettingError: the network gives labels alone.
        """
        if not self.has_confidence:
            raise SettingError(
                "the network gives labels alone, and no probabilities that another could learn; to teach with it, "
                "export it with its logits, without the argmax at its end"
            )

    @property
    def batching(self) -> BatchReport:
        """How frames that wait together are run on this machine, as was found out last."""
        return self._batches.report

    @property
    def batching_in_words(self) -> str:
        """How frames that wait together are run, of each shape."""
        return self._batches.in_words()

    def batch_for(self, frame_size: Size, scale: float = 1.0) -> int:
        """Return how many frames like one of that size run as one batch; 1 for one after the other."""
        return self._batches.batch_for(self.input_size_for(frame_size), scale)

    def input_size_for(self, frame_size: Size, scale: float = 1.0) -> Size:
        """Return the size at which the network looks at a frame of the given size (of a region: the region's, upright).

        At another scale than 1 both sides are multiples of 32 (fanet_ros.scheduling.scaled_size).
        """
        return scaled_size(self._fit(frame_size), scale)

    def warm_up(self, batch: int = 1) -> None:
        """Segment grey frames at all scales, so that the first real one meets allocated memory and chosen kernels.

        Does nothing for the input size `camera`, of which nothing is known yet.

        Args:
            batch: how many frames may wait together, for example the number of cameras. With more than one it is
                measured at each scale, in about two seconds, whether a batch of that many is faster here than one after
                the other; `batching` tells. Of several `looks`, those that show the same size may wait together.
        """
        if self._input_size == "camera":
            self._batches.give_up("with input_size camera nothing is known before the first frame")
            return
        self._note_prepared(self._likely)
        alike = Counter(map(self.input_size_for, self._likely.elements()))
        for likely in self._likely:
            grey = grey_frame(likely)
            for scale in self._scales:
                self._backend.segment(grey, self._sizes.build(self.input_size_for(likely, scale)))
            self.measure_batch(likely, batch if len(alike) == 1 else min(batch, alike[self.input_size_for(likely)]))

    def measure_batch(self, frame_size: Size, batch: int) -> bool:
        """Find out whether so many frames like one of that size are faster as a batch, once for each input size.

        That takes about two seconds and what it takes to build the network for the batch, which then is prepared;
        `batching` and `batch_for` tell the result.

        Returns:
            Whether something was measured.
        """
        return self._batches.measure(frame_size, self.input_size_for(frame_size), batch)

    def close(self) -> None:
        """Free the device's memory; the segmenter is not used afterwards."""
        self._backend.close()

    def _note_prepared(self, frame_sizes: Iterable[Size]) -> None:
        """Note which of the prepared sizes are guessed: a region's is what it is, a whole image may have any."""
        self._sizes.certain = frozenset(map(self.input_size_for, self._certain))
        self._sizes.guesses = frozenset(map(self.input_size_for, frame_sizes)) - self._sizes.certain

    def _check_memories(self, requests: Sequence[FrameRequest]) -> None:
        memories = [request.memory for request in requests if request.memory is not None]
        if len({id(memory) for memory in memories}) < len(memories):
            raise SettingError("two frames of a batch have the same memory: segment frames of one video one by one")
        for memory in memories:
            memory.check(self._backend.info)

    def _prepare(self, request: FrameRequest, scale: float) -> Size:
        """Check a frame and let the backend build what it needs, all scales at the first of its shape.

        Returns the size at which the network sees it.
        """
        check_frame(request.frame, request.encoding)
        request.look.check(request.frame_size)
        if scale not in self._scales:
            raise SettingError(f"scale: received {scale}, expected one of {', '.join(map(str, self._scales))}")
        largest = self.input_size_for(request.seen_size)
        for wrong in self._sizes.drop_wrong_guesses(largest):
            self._batches.forget(wrong)
        return self._sizes.meet(largest, scale)

    def _runs(
        self, requests: Sequence[FrameRequest], input_sizes: Sequence[Size | None], scale: float
    ) -> list[list[int]]:
        """Divide frames into runs of the network: whole batches of one size, and single frames."""
        runs: list[list[int]] = []
        for size in dict.fromkeys(input_sizes):
            if size is not None:
                own = [each if each == size else None for each in input_sizes]
                runs += group_runs(own, self.batch_for(requests[input_sizes.index(size)].seen_size, scale))
        return runs


def _result(request: FrameRequest, answer: LabelBuffers, input_size: Size, batch: int) -> Segmentation:
    return Segmentation(answer.labels, answer.confidence if request.confidence else None, input_size, batch)
