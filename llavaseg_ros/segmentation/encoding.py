# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""SAM's encoding of a frame, as work that may go on beside the language model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue

import torch

from llavaseg_ros.segmentation.segmenter import Encoded
from llavaseg_ros.unfinished import inside_a_library


class EncodingLane:
    """Encodes frames, one at a time.

    beside: in a thread of its own, and on a GPU on a stream of its own, while the caller goes on. It pays where the
    language model leaves something free: on a GPU, whose decoding is bound by memory, or when the model is served
    elsewhere. Two models that compute on the same few CPU cores only take them from each other.
    """

    def __init__(self, device: torch.device, *, beside: bool) -> None:
        self._work: SimpleQueue[_Work | None] | None = None
        self.beside = beside
        self._device = device
        self._stream = torch.cuda.Stream(device) if beside and device.type == "cuda" else None
        if beside:
            self._work = SimpleQueue()
            # No ThreadPoolExecutor: Python waits for its threads before it ends, also for one that hangs.
            threading.Thread(target=_do, args=(self._work,), name="llavaseg-encode", daemon=True).start()

    def __del__(self) -> None:
        if self._work is not None:
            self._work.put(None)

    def start(self, encode: Callable[[], Encoded]) -> Encoding:
        """Begin with a frame. What `encode` raises comes out here, or beside, out of `Encoding.result`."""
        started = time.perf_counter()
        done: Future[Encoded] = Future()
        if self._work is None:
            done.set_result(encode())
        else:
            ready = None
            if self._stream is not None:
                ready = torch.cuda.current_stream(self._device).record_event()
            self._work.put((done, encode, self._stream, ready))
        return Encoding(done, self._stream, time.perf_counter() - started)


_Work = tuple[Future[Encoded], Callable[[], Encoded], "torch.cuda.Stream | None", "torch.cuda.Event | None"]


def _do(queue: SimpleQueue[_Work | None]) -> None:
    """The thread's work. Knows the lane's queue and not the lane, which ends the thread when nobody has it any more."""
    while (work := queue.get()) is not None:
        done, encode, stream, ready = work
        try:
            with inside_a_library():
                encoded = _run(encode, stream, ready)
            done.set_result(encoded)
            del encoded
        except BaseException as error:
            done.set_exception(error)
        del work, done, encode  # a frame, until the next comes


def _run(encode: Callable[[], Encoded], stream: torch.cuda.Stream | None, ready: torch.cuda.Event | None) -> Encoded:
    if stream is None or ready is None:
        return encode()
    with torch.cuda.stream(stream):
        stream.wait_event(ready)  # for weights that the caller's stream may still be moving
        return encode()


class Encoding:
    """One frame's encoding, under way or done. seconds: how long the caller was held up by it so far."""

    def __init__(self, done: Future[Encoded], stream: torch.cuda.Stream | None, seconds: float) -> None:
        self._done, self._stream = done, stream
        self._encoded: Encoded | None = None
        self.seconds = seconds

    def result(self) -> Encoded:
        """Wait for it. Raises what went wrong."""
        if self._encoded is None:
            started = time.perf_counter()
            encoded = self._done.result()
            if self._stream is not None:
                current = torch.cuda.current_stream(encoded.tapped.embedding.device)
                current.wait_stream(self._stream)
                for tensor in (encoded.tapped.embedding, *encoded.tapped.taps):
                    tensor.record_stream(current)  # or its memory is given away while this stream still reads it
            self._encoded = encoded
            self.seconds += time.perf_counter() - started
        return self._encoded

    def spent(self) -> float:
        """Seconds since the last call of this; the first command on a frame pays for the encoding."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds
