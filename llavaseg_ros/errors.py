# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Errors of the core. Each carries the code that the ROS interface publishes (`action/Segment`, `msg/Answer`)."""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """The error codes of `action/Segment` and `msg/Answer`; a test holds the two lists equal."""

    NONE = 0
    NO_IMAGE = 1
    STALE_IMAGE = 2
    NOT_FOUND = 3
    EMPTY_MASK = 4
    NO_DEPTH = 5
    TIMEOUT = 6
    OUT_OF_MEMORY = 7
    MODEL_NOT_READY = 8
    PREEMPTED = 9
    BAD_REQUEST = 10
    BAD_REPLY = 11
    UNKNOWN = 999


class LLaVASegError(Exception):
    """Base class. `code` says which kind of failure this is to a caller that sees only messages."""

    code = ErrorCode.UNKNOWN


class BadRequest(LLaVASegError):
    """The command, the image or a prompt is not usable; the text names it and says what was expected."""

    code = ErrorCode.BAD_REQUEST


class NoImage(LLaVASegError):
    """A command came before any image."""

    code = ErrorCode.NO_IMAGE


class StaleImage(LLaVASegError):
    """The newest image, or the one that was asked for, is older than allowed."""

    code = ErrorCode.STALE_IMAGE


class NoDepth(LLaVASegError):
    """The target was found, but there is no depth to lift it with: the text says what is missing."""

    code = ErrorCode.NO_DEPTH


class BadReply(LLaVASegError):
    """The language model's reply could not be parsed, twice. `raw` is the last reply as it came."""

    code = ErrorCode.BAD_REPLY

    def __init__(self, message: str, raw: str) -> None:
        super().__init__(message)
        self.raw = raw


class Cancelled(LLaVASegError):
    """`should_cancel` returned true while the model was working."""

    code = ErrorCode.PREEMPTED


class OutOfMemory(LLaVASegError):
    """The device, or the host, ran out of memory. The model is still loaded; a smaller image may fit."""

    code = ErrorCode.OUT_OF_MEMORY


class BundleError(LLaVASegError):
    """A model bundle is missing, truncated, or made for other parts than those it is loaded with."""

    code = ErrorCode.MODEL_NOT_READY


class ModelNotReady(LLaVASegError):
    """No model is loaded (yet)."""

    code = ErrorCode.MODEL_NOT_READY


class ServerAway(ModelNotReady):
    """The server of a served model cannot be reached, died while it spoke, or says that it fails or is busy.

    The next command may work: nothing of the server's state is kept here.
    """


class ServerRefused(ModelNotReady):
    """The server of a served model is there and will not do it: a wrong key, model name, address or setting.

    MODEL_NOT_READY and not BAD_REQUEST, for whoever set the server up can help, not the person with the command.
    """


class ServerTimeout(LLaVASegError):
    """The server of a served model took the request, and then no token came in time."""

    code = ErrorCode.TIMEOUT


class GarbledReply(BadReply):
    """What the server of a served model sent is not a reply: another protocol, or no end. `raw` is the text so far.

    BAD_REPLY and not MODEL_NOT_READY: the server answers, and waiting for it would not make its answers readable.
    """


# What the libraries below say when memory runs out, in errors that have no type of their own for it.
_MEMORY_WORDS = (
    "can't allocate memory",  # torch on a CPU
    "cannot allocate memory",  # the operating system, also by way of safetensors
    "out of memory",  # CUDA
    "alloc_failed",  # cuBLAS, cuDNN
    "insufficient memory",  # OpenCV
    "bad_alloc",  # C++
)


def is_out_of_memory(raised: BaseException) -> bool:
    """Whether an exception of any library means that memory ran out; also a BundleError that was raised from one.

    Of our other errors only OutOfMemory does: what a server says of its own memory is not ours.
    """
    seen: BaseException | None = raised
    while seen is not None:
        if isinstance(seen, LLaVASegError) and not isinstance(seen, BundleError):
            return isinstance(seen, OutOfMemory)
        if isinstance(seen, MemoryError) or type(seen).__name__ == "OutOfMemoryError":
            return True
        if type(seen).__module__ != __name__ and any(word in str(seen).lower() for word in _MEMORY_WORDS):
            return True
        seen = seen.__cause__
    return False
