"""One thread that owns the model, and the queue in front of it. Free of rclpy and of torch.

Everything that touches the model runs in this thread: loading, warming, every command, freeing. Other threads only put
jobs in line and mark them as cancelled; none of these calls waits for the model. Only a model that is to take the place
of a serving one is loaded in a thread of its own, and handed over when it is warm.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from llavaseg_ros.errors import LLaVASegError, ModelNotReady
from llavaseg_ros.ros.jobs import Busy, IdleWork, Job, Preempted, as_error

log = logging.getLogger(__name__)

SwapDone = Callable[[LLaVASegError | None], None]

# How long after its time-out a running job may take to notice; then it is ended over its head.
OVERDUE_GRACE_S = 1.0


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


class ModelWorker:
    """The thread, its queue, and the state of the model. See the module's text."""

    def __init__(self, name: str = "llavaseg-model") -> None:
        self.policy = Policy.REPLACE
        self.depth = 8
        self.state = ModelState.UNLOADED
        self.error = ""
        self.idle_work: IdleWork | None = None
        self._model: Any = None
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._errands: deque[Callable[[], None]] = deque()
        self._generation = 0
        self._swap_done: SwapDone | None = None
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

    @property
    def wanted(self) -> bool:
        """Something waits for the model: idle work has to give way."""
        return self._stopping or bool(self._errands) or bool(self._waiting)

    def wake(self) -> None:
        """Ask the idle work whether it is ready. From any thread; returns at once."""
        with self._wake:
            self._wake.notify_all()

    def describe(self) -> dict[str, Any]:
        """What the loaded model says of itself, or an empty dict. Never waits for the model."""
        model = self._model
        return dict(model.describe()) if self.state is ModelState.READY and model is not None else {}

    def load(self, loader: Callable[[], Any], done: Callable[[], None] | None = None) -> None:
        """Load a model in the thread. `state` tells how it stands; `done` is called in the thread at the end, also when
        something newer came in between."""
        with self._wake:
            self._generation += 1
            self.state, self.error = ModelState.LOADING, ""
            generation = self._generation
            self._errands.append(lambda: self._load(loader, generation, done))
            self._wake.notify_all()

    def swap(self, loader: Callable[[], Any], done: SwapDone) -> None:
        """Load a model beside the one that serves, and put it in its place when `loader` returns.

        `done` is called once, from another thread, with None or with why the old model stayed. Both are in memory for
        a while. Raises ModelNotReady when no model serves (`load` is for that), Busy when a swap is under way.
        """
        with self._wake:
            self._check_ready()
            if self.swapping:
                raise Busy("another model is being loaded: try again when it serves")
            self._swap_done = done
            generation = self._generation
        threading.Thread(target=self._prepare, args=(loader, generation), name="llavaseg-swap", daemon=True).start()

    @property
    def swapping(self) -> bool:
        """A model is being loaded that is to take the place of the serving one."""
        return self._swap_done is not None

    def unload(self) -> None:
        """Cancel everything and free the model, in the thread, as soon as it is out of the model's hands."""
        with self._wake:
            self._generation += 1
            self.state, self.error = ModelState.UNLOADED, ""
            self._errands.append(self._free)
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
        self._end_swap(ModelNotReady("the node is shutting down"))
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
                self._wake.wait_for(lambda: self.wanted or self._idle_work_is_ready())
                if self._stopping:
                    break
                errand = self._errands.popleft() if self._errands else None
                if errand is None:
                    self._running = self._waiting.popleft() if self._waiting else None
            if errand is not None:
                errand()
                continue
            job = self._running
            if job is None:
                self._do_idle_work()
                continue
            try:
                job.start(self._model)
            except BaseException as raised:  # SystemExit and the like, out of a library: the thread must live on
                job.end(None, as_error(raised))
            finally:
                with self._wake:
                    self._running = None
        self._model = None

    def _idle_work_is_ready(self) -> bool:
        return self.idle_work is not None and self.state is ModelState.READY and self.idle_work.ready()

    def _do_idle_work(self) -> None:
        assert self.idle_work is not None
        try:
            self.idle_work.run(self._model)
        except BaseException:  # as with jobs: the thread must live on
            log.exception("idle work failed")

    def _load(self, loader: Callable[[], Any], generation: int, done: Callable[[], None] | None) -> None:
        if generation == self._generation:  # else a newer load, or an unload, waits in line already
            if self._model is not None:
                self._free()  # never two models in memory
            model, state, text = None, ModelState.READY, ""
            try:
                model = loader()
            except Exception as raised:
                state, text = ModelState.ERROR, str(as_error(raised))
                log.error("the model could not be loaded: %s", text, exc_info=_unless_expected(raised))
            with self._wake:
                if generation == self._generation:
                    self._model, self.state, self.error = model, state, text
        if done is not None:
            done()

    def _prepare(self, loader: Callable[[], Any], generation: int) -> None:
        """In the thread of a swap: load, then have the worker's thread take the model over."""
        try:
            model = loader()
        except Exception as raised:
            self._end_swap(as_error(raised))
            return
        with self._wake:
            self._errands.append(lambda: self._take_over(model, generation))
            self._wake.notify_all()

    def _take_over(self, model: Any, generation: int) -> None:
        with self._wake:
            wanted = generation == self._generation
            if wanted:
                self._model = model
        self._collect()
        self._end_swap(None if wanted else ModelNotReady("the model was unloaded, or another one loaded, meanwhile"))

    def _end_swap(self, error: LLaVASegError | None) -> None:
        with self._wake:
            done, self._swap_done = self._swap_done, None
        if done is not None:
            done(error)

    def _free(self) -> None:
        self._model = None
        self._collect()

    def _collect(self) -> None:
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


def _unless_expected(raised: BaseException) -> BaseException | None:
    return None if isinstance(raised, LLaVASegError) else raised
