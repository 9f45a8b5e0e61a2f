"""The errors a user can cause: each says what was received and what to do."""


class FanetError(ValueError):
    """Base of every error that bad input (not a bug) causes; `str(error)` is one message for the user."""


class WeightsError(FanetError):
    """A checkpoint that is missing, unreadable, or does not fit FANet."""


class LabelSetError(FanetError):
    """A label set or model card that is missing or malformed."""


class FrameError(FanetError):
    """An image that cannot be a camera frame (size, step, encoding, type)."""


class SettingError(FanetError):
    """A setting (command-line option, node parameter) outside its allowed values."""


class BackendError(FanetError):
    """A backend that cannot start on this machine: says what is missing and how to get it."""


class NoRoomError(BackendError):
    """A backend that cannot start for want of room, on a disk or in a GPU's memory: later it may."""


class SourceError(FanetError):
    """A video, image folder or camera that cannot be opened or read."""


class DatasetError(FanetError):
    """A data set that is missing, incomplete or damaged."""


class TrainingError(FanetError):
    """A training that cannot start, go on or be resumed; says why."""


class KernelError(FanetError):
    """The library of compiled kernels is missing or does not fit the code; says how to build it."""


class InferenceError(FanetError):
    """The network's answer to a frame is unusable."""
