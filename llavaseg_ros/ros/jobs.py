# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Units of work for the model: each ends exactly once, and may be told to end early. Free of rclpy and of torch."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from llavaseg_ros.errors import Cancelled, ErrorCode, LLaVASegError, OutOfMemory, is_out_of_memory
from llavaseg_ros.ros.lane import Pulse

log = logging.getLogger(__name__)


class CommandTimeout(LLaVASegError):
    """The command was not done within its time."""

    code = ErrorCode.TIMEOUT


class Preempted(Cancelled):
    """A newer command took the place of this one, or the node stopped working."""


class ClientCancel(Cancelled):
    """The client asked for the end of its own command."""


class Busy(LLaVASegError):
    """The model works on other commands and the queue takes no more: try again later."""

    code = ErrorCode.MODEL_NOT_READY


class Job:
    """One unit of work for the model. Ends exactly once, whoever ends it first.

    run: called in the worker's thread with (model, job); its value goes to `finish`.
    finish: called once with (value or None, error or None), from whichever thread ends the job; must not block.
    timeout_s: counted from the creation of the job, on the machine's monotonic clock.
    """

    def __init__(
        self,
        run: Callable[[Any, Job], Any],
        finish: Callable[[Any, LLaVASegError | None], None],
        *,
        timeout_s: float,
        name: str = "",
        started: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self.created = time.monotonic()
        self._run, self._finish, self._started = run, finish, started
        self._reason: LLaVASegError | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._pulse = Pulse()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the job was made."""
        return time.monotonic() - self.created

    @property
    def ended(self) -> bool:
        """`finish` has been called, or is being called."""
        return self._ended.is_set()

    @property
    def reason(self) -> LLaVASegError | None:
        """Why the job has to stop, or None."""
        if self._reason is None and self.elapsed_s > self.timeout_s:
            self._reason = CommandTimeout(f"not done within {self.timeout_s:g} s")
        return self._reason

    def cancel(self, reason: LLaVASegError) -> None:
        """Ask the job to stop at the next poll. The first reason stays."""
        if self._reason is None:
            self._reason = reason

    def should_cancel(self) -> bool:
        """True when the work has lost its purpose. Polled by the model at every token. While it has not, a poll is a
        sign of life; afterwards the model has as long to come back as a stage has."""
        over = self._ended.is_set() or self.reason is not None
        if not over:
            self._pulse.beat()
        return over

    def enter(self, stage: str) -> None:
        """A stage of the work begins. Called by the work, in the worker's thread."""
        if stage != self._pulse.stage:
            self._pulse.enter(stage)

    def if_alive(self, call: Callable[[], None]) -> None:
        """Call, unless the job has ended; the end waits for the call. So nothing of a job comes after its end."""
        with self._lock:
            if not self._ended.is_set():
                call()

    def start(self, model: Any, pulse: Pulse | None = None) -> bool:
        """Do the work and end. Called by the worker, with what watches its thread. True when it came to a value."""
        self._pulse = pulse or self._pulse
        if self._started is not None and not self.should_cancel():
            self._started()
        value: Any = None
        error = self.reason
        if error is None and not self.ended:
            try:
                value = self._run(model, self)
            except Exception as raised:
                error = self._reason if isinstance(raised, Cancelled) and self._reason else as_error(raised)
                if error is not raised and not isinstance(raised, Cancelled):
                    log.warning("command failed: %s", error, exc_info=raised)
        self.end(value if error is None else None, error)
        return error is None

    def end(self, value: Any, error: LLaVASegError | None) -> bool:
        """End the job with this outcome. False, and nothing happens, when it had ended before."""
        with self._lock:
            if self._ended.is_set():
                return False
            self._ended.set()
        try:
            self._finish(value, error)
        except Exception:
            log.exception("the outcome of a command could not be delivered")
        return True


class IdleWork(Protocol):
    """What the model does when no command waits for it. Both are called in the worker's thread."""

    def ready(self) -> bool:
        """There is something to do. Must return at once; called under the worker's lock."""
        ...

    def run(self, model: Any, pulse: Pulse) -> None:
        """Do one short piece of it: a command that comes meanwhile waits for its end. pulse: takes signs of life."""
        ...


def as_error(raised: BaseException) -> LLaVASegError:
    """Any exception as one that carries an error code and a text that is never empty."""
    if isinstance(raised, LLaVASegError) and (isinstance(raised, OutOfMemory) or not is_out_of_memory(raised)):
        return raised
    text = f"{type(raised).__name__}: {raised}" if str(raised) else type(raised).__name__
    if is_out_of_memory(raised):
        text = f"{text}, from {raised.__cause__}" if str(raised.__cause__ or "") else text
        return OutOfMemory(f"out of memory ({text}): use a smaller model, a smaller image, or another device")
    return LLaVASegError(text)
