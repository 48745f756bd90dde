"""One thread that owns the model, and the queue in front of it. Free of rclpy and of torch.

Everything that touches the model runs in this thread: loading, warming, every command, freeing. Other threads only put
jobs in line and mark them as cancelled; none of these calls waits for the model.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from llavaseg_ros.errors import Cancelled, ErrorCode, LLaVASegError, ModelNotReady, OutOfMemory

log = logging.getLogger(__name__)

# How long after its time-out a running job may take to notice; then it is ended over its head.
OVERDUE_GRACE_S = 1.0


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


class Policy(str, Enum):
    """What happens to a new command while another one runs."""

    REPLACE = "replace"  # the new one wins; running and waiting ones end as preempted
    REJECT = "reject"  # the new one is refused
    QUEUE = "queue"  # the new one waits in line


class ModelState(str, Enum):
    """Where the model stands."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    READY = "ready"
    ERROR = "error"


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
        """True when the work has lost its purpose. Polled by the model at every token."""
        return self._ended.is_set() or self.reason is not None

    def if_alive(self, call: Callable[[], None]) -> None:
        """Call, unless the job has ended; the end waits for the call. So nothing of a job comes after its end."""
        with self._lock:
            if not self._ended.is_set():
                call()

    def start(self, model: Any) -> None:
        """Do the work and end. Called by the worker."""
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


class ModelWorker:
    """The thread, its queue, and the state of the model. See the module's text."""

    def __init__(self, name: str = "llavaseg-model") -> None:
        self.policy = Policy.REPLACE
        self.depth = 8
        self.state = ModelState.UNLOADED
        self.error = ""
        self._model: Any = None
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._errand: Callable[[], None] | None = None
        self._generation = 0
        self._stopping = False
        self._wake = threading.Condition(threading.RLock())
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def queue_length(self) -> int:
        """Jobs that wait, without the running one."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """A job runs."""
        return self._running is not None

    @property
    def running(self) -> Job | None:
        """The job that the model works on."""
        return self._running

    def describe(self) -> dict[str, Any]:
        """What the loaded model says of itself, or an empty dict. Never waits for the model."""
        model = self._model
        return dict(model.describe()) if self.state is ModelState.READY and model is not None else {}

    def load(self, loader: Callable[[], Any], done: Callable[[], None] | None = None) -> None:
        """Load a model in the thread. `state` tells how it stands; `done` is called in the thread at the end."""
        with self._wake:
            self._generation += 1
            self.state, self.error = ModelState.LOADING, ""
            generation = self._generation
            self._errand = lambda: self._load(loader, generation, done)
            self._wake.notify_all()

    def unload(self) -> None:
        """Cancel everything and free the model, in the thread, as soon as it is out of the model's hands."""
        with self._wake:
            self._generation += 1
            self.state, self.error = ModelState.UNLOADED, ""
            self._errand = self._free
            self._wake.notify_all()
        self.abandon_all(Preempted("the model was unloaded"))

    def submit(self, job: Job) -> None:
        """Put a job in line under the policy. Raises ModelNotReady or Busy; then the job was not taken, nor ended."""
        replaced: list[Job] = []
        with self._wake:
            self._check_ready()
            taken = len(self._waiting) + (self._running is not None)
            if self.policy is Policy.REJECT and taken:
                raise Busy("the model is busy with another command (queue.policy is reject)")
            if self.policy is Policy.QUEUE and len(self._waiting) >= self.depth:
                raise Busy(f"{len(self._waiting)} commands are waiting already (queue.depth is {self.depth})")
            if self.policy is Policy.REPLACE:
                replaced = list(self._waiting)
                self._waiting.clear()
                if self._running is not None:
                    self._running.cancel(Preempted("a newer command replaced this one (queue.policy is replace)"))
            self._waiting.append(job)
            self._wake.notify_all()
        for old in replaced:
            old.end(None, Preempted("a newer command replaced this one (queue.policy is replace)"))

    def cancel(self, job: Job, reason: LLaVASegError) -> None:
        """Cancel one job: a waiting one ends now, a running one at the model's next poll."""
        job.cancel(reason)
        with self._wake:
            waiting = job in self._waiting
            if waiting:
                self._waiting.remove(job)
        if waiting:
            job.end(None, reason)

    def abandon_all(self, reason: LLaVASegError) -> None:
        """End every job at once. The model's thread notices later and throws its work away."""
        with self._wake:
            jobs = list(self._waiting) + ([self._running] if self._running is not None else [])
            self._waiting.clear()
        for job in jobs:
            job.cancel(reason)
            job.end(None, reason)

    def expire(self) -> None:
        """End jobs whose time is over, also one whose model does not poll. Call it a few times a second."""
        with self._wake:
            late = [job for job in self._waiting if job.reason is not None]
            for job in late:
                self._waiting.remove(job)
            if self._running is not None and self._running.elapsed_s > self._running.timeout_s + OVERDUE_GRACE_S:
                late.append(self._running)
        for job in late:
            job.end(None, job.reason)

    def stop(self, timeout_s: float = 2.0) -> bool:
        """End every job and the thread. False when the model did not come back in time (the thread is a daemon)."""
        with self._wake:
            self._stopping = True
            self._generation += 1
            self.state = ModelState.UNLOADED
            self._wake.notify_all()
        self.abandon_all(Preempted("the node is shutting down"))
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _check_ready(self) -> None:
        if self._stopping or self.state is ModelState.UNLOADED:
            raise ModelNotReady("no model is loaded: the node is not active")
        if self.state is ModelState.LOADING:
            raise ModelNotReady("the model is being loaded: try again in a few seconds")
        if self.state is ModelState.ERROR:
            raise ModelNotReady(f"the model could not be loaded: {self.error}")

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._errand is not None or bool(self._waiting))
                if self._stopping:
                    break
                errand, self._errand = self._errand, None
                if errand is None:
                    self._running = self._waiting.popleft()
            if errand is not None:
                errand()
                continue
            job = self._running
            assert job is not None
            try:
                job.start(self._model)
            except BaseException as raised:  # SystemExit and the like, out of a library: the thread must live on
                job.end(None, as_error(raised))
            finally:
                with self._wake:
                    self._running = None
        self._model = None

    def _load(self, loader: Callable[[], Any], generation: int, done: Callable[[], None] | None) -> None:
        model, state, text = None, ModelState.READY, ""
        if self._model is not None:
            self._free()  # never two models in memory
        try:
            model = loader()
        except Exception as raised:
            state, text = ModelState.ERROR, str(as_error(raised))
            log.error("the model could not be loaded: %s", text, exc_info=_unless_expected(raised))
        with self._wake:
            # A newer load, or an unload, came while this one ran.
            if generation != self._generation:
                return
            self._model, self.state, self.error = model, state, text
        if done is not None:
            done()

    def _free(self) -> None:
        self._model = None
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


def as_error(raised: BaseException) -> LLaVASegError:
    """Any exception as one that carries an error code and a text that is never empty."""
    if isinstance(raised, LLaVASegError):
        return raised
    text = f"{type(raised).__name__}: {raised}" if str(raised) else type(raised).__name__
    if (
        isinstance(raised, MemoryError)
        or type(raised).__name__ == "OutOfMemoryError"
        or (isinstance(raised, RuntimeError) and "can't allocate memory" in str(raised))
    ):
        return OutOfMemory(f"out of memory ({text}): use a smaller model, a smaller image, or another device")
    return LLaVASegError(text)


def _unless_expected(raised: BaseException) -> BaseException | None:
    return None if isinstance(raised, LLaVASegError) else raised
