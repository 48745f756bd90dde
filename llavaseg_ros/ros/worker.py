# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One thread that owns the model, and the queue in front of it. Free of rclpy and of torch.

Everything that touches the model runs in this thread: loading, warming, every command, freeing. Other threads only put
jobs in line and mark them as cancelled; none of these calls waits for the model. Only a model that is to take the place
of a serving one is loaded in a thread of its own, and handed over when it is warm.
"""

from __future__ import annotations

import gc
import logging
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from llavaseg_ros.errors import Cancelled, LLaVASegError, ModelNotReady, OutOfMemory
from llavaseg_ros.ros.jobs import Busy, CommandTimeout, IdleWork, Job, Preempted, as_error
from llavaseg_ros.ros.lane import FOLLOWING, LOADING, Lane, StageTimeout, WatchLimits
from llavaseg_ros.ros.overruns import Overruns
from llavaseg_ros.ros.swap import Swap, SwapDone
from llavaseg_ros.ros.waiting import REPLACED, Line
from llavaseg_ros.types import Stage

log = logging.getLogger(__name__)

# How long after its time-out a running job may take to notice; then it is ended over its head.
OVERDUE_GRACE_S = 1.0
# Longest time that counts as one step of the watchdog: what is longer is a time in which this process stood still.
MAX_WATCH_STEP_S = 1.0


class ModelState(str, Enum):
    """Where the model stands."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    READY = "ready"
    RECOVERING = "recovering"  # a stage overran its time; a new thread loads the model again
    ERROR = "error"


class ModelWorker:
    """The thread, its queue, and the state of the model. See the module's text.

    recover: called, from the thread that calls `watch`, when a thread with a model was left behind: has to `load`
    again. left_behind: called just before; drops what that thread may still write to.
    """

    def __init__(self, name: str = "llavaseg-model") -> None:
        self.line = Line()
        self.overruns = Overruns()
        self.state = ModelState.UNLOADED
        self.error = ""
        self.idle_work: IdleWork | None = None
        self.recover: Callable[[str], None] = lambda why: None
        self.left_behind: Callable[[], None] = lambda: None
        self._name = name
        self._errands: deque[Callable[[Lane], None]] = deque()
        self._generation = 0
        self._swap: Swap | None = None
        self._stopping = False
        self._looked = time.monotonic()
        self._wake = threading.Condition(threading.RLock())
        self._lane = self._new_lane()

    def _new_lane(self) -> Lane:
        lane = Lane(self._name, self._work)
        lane.start()
        return lane

    @property
    def _model(self) -> Any:
        return self._lane.model

    @property
    def queue_length(self) -> int:
        """Jobs that wait, without the running one."""
        return len(self.line)

    @property
    def busy(self) -> bool:
        """A job runs."""
        return self._lane.running is not None

    @property
    def running(self) -> Job | None:
        """The job that the model works on."""
        running: Job | None = self._lane.running
        return running

    @property
    def wanted(self) -> bool:
        """Something waits for the model: idle work has to give way."""
        return self._stopping or bool(self._errands) or bool(self.line)

    def wake(self) -> None:
        """Ask the idle work whether it is ready. From any thread; returns at once."""
        with self._wake:
            self._wake.notify_all()

    def describe(self) -> dict[str, Any]:
        """What the loaded model says of itself, or an empty dict. Never waits for the model."""
        model = self._model
        try:
            return dict(model.describe()) if self.state is ModelState.READY and model is not None else {}
        except Exception as raised:  # diagnostics have to go on
            return {"name": f"the model cannot describe itself: {as_error(raised)}"}

    def load(self, loader: Callable[[], Any], done: Callable[[], None] | None = None, *, why: str = "") -> None:
        """Load a model in the thread. `state` tells how it stands; `done` is called at the end, also when something
        newer came in between. why: what the model is loaded again after; then the state is RECOVERING."""
        with self._wake:
            self._generation += 1
            self.state, self.error = (ModelState.RECOVERING if why else ModelState.LOADING), why
            generation = self._generation
            self._errands.append(lambda lane: self._load(lane, loader, generation, done))
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
            swap = Swap(loader, done, self._generation, self._hand_over, self._end_swap)
            self._swap = swap
        swap.lane.start()

    @property
    def swapping(self) -> bool:
        """A model is being loaded that is to take the place of the serving one."""
        return self._swap is not None

    def unload(self) -> None:
        """Cancel everything and free the model, in the thread, as soon as it is out of the model's hands."""
        with self._wake:
            self._generation += 1
            self.state, self.error = ModelState.UNLOADED, ""
            self._errands.append(_free)
            self._wake.notify_all()
        self.abandon_all(Preempted("the model was unloaded"))

    def submit(self, job: Job, arrived: float = math.inf) -> None:
        """Put a job in line under the policy. arrived: when its command came (monotonic, s). Raises what `Line.put`
        raises, and ModelNotReady; then the job was not taken, nor ended."""
        with self._wake:
            self._check_ready()
            replaced = self.line.put(job, self.running, arrived)
            self._wake.notify_all()
        for old in replaced:
            old.end(None, Preempted(REPLACED))

    def cancel(self, job: Job, reason: LLaVASegError) -> None:
        """Cancel one job: a waiting one ends now, a running one at the model's next poll."""
        job.cancel(reason)
        with self._wake:
            waiting = self.line.remove(job)
        if waiting:
            job.end(None, reason)

    def open_line(self) -> None:
        """Take jobs, as a new worker does."""
        with self._wake:
            self.line.closed = False

    def close_line(self, reason: LLaVASegError) -> None:
        """End every job at once, and take none."""
        with self._wake:
            self.line.closed = True
        self.abandon_all(reason)

    def abandon_all(self, reason: LLaVASegError, *, came_before: float = -math.inf) -> None:
        """End every job at once, and refuse those to come whose command came before this time (monotonic, s). The
        model's thread notices later and throws its work away."""
        with self._wake:
            self.line.stopped_at = max(self.line.stopped_at, came_before)
            running = self.running
            # The running one first: it moves the robot on, and each answer that goes out takes a while.
            jobs = ([running] if running is not None else []) + self.line.clear()
        for job in jobs:
            job.cancel(reason)
        for job in jobs:
            job.end(None, reason)

    def expire(self) -> None:
        """End jobs whose time is over, also one whose model does not poll. Call it a few times a second."""
        with self._wake:
            late = self.line.late()
            running, stage = self.running, self._lane.pulse.stage
        for job in late:
            job.end(None, job.reason)
        if running is not None and running.elapsed_s > running.timeout_s + OVERDUE_GRACE_S:
            reason = running.reason
            if isinstance(reason, CommandTimeout):
                reason = CommandTimeout(f"{reason}: the model is in the stage {stage} and does not react")
            running.end(None, reason)

    def watch(self, limits: WatchLimits) -> None:
        """Leave a thread behind whose stage has given no sign of life for longer than it may, and have another one take
        over. Call it a few times a second."""
        now = time.monotonic()
        step_s, self._looked = min(now - self._looked, MAX_WATCH_STEP_S), now
        lane, swap = self._lane, self._swap
        stage = lane.pulse.stage
        if lane.silent_s(step_s) > limits.of(stage) > 0:
            self._leave(lane, stage, limits.of(stage))
        if swap is not None and swap.lane.silent_s(step_s) > limits.load_s > 0:
            self._leave_swap(swap, limits.load_s)

    def _leave(self, lane: Lane, stage: str, limit_s: float) -> None:
        what = f"{stage} gave no sign of life for {limit_s:g} s"
        with self._wake:
            if lane is not self._lane or lane.came_back() or self._stopping:
                return
            lane.left = True
            self.overruns.note(lane, what)
            running, lane.running = self.running, None
            done, lane.load_done = lane.load_done, None
            serving, lane.model = self.state is ModelState.READY, None
            waiting: list[Job] = []
            if serving or stage == LOADING:
                waiting, hopeless = self.line.clear(), self.overruns.hopeless(stage)
                self.state = ModelState.ERROR if hopeless else ModelState.RECOVERING
                self.error = hopeless or what
            self._lane = self._new_lane()
        log.error("%s: the thread is left behind (%d hang)", what, self.overruns.stuck)
        self.left_behind()
        timeout = StageTimeout(f"{what} and was abandoned")
        if running is not None:
            running.cancel(timeout)
            running.end(None, running.reason if isinstance(running.reason, Cancelled) else timeout)
        for job in waiting:
            job.end(None, ModelNotReady(f"the model is being loaded again: {what}"))
        if done is not None:
            done()
        if serving and self.state is ModelState.RECOVERING:
            self.recover(self.error)

    def _leave_swap(self, swap: Swap, limit_s: float) -> None:
        what = f"loading another model gave no sign of life for {limit_s:g} s"
        with self._wake:
            if self._swap is not swap or swap.lane.came_back():
                return
            swap.lane.left = True
            self.overruns.note(swap.lane, what)
        log.error("%s: the thread is left behind", what)
        self._end_swap(swap, StageTimeout(f"{what} and was abandoned; the old one stays"))

    def stop(self, timeout_s: float = 2.0) -> bool:
        """End every job and the thread. False when a thread did not come back in time (all are daemons)."""
        with self._wake:
            self._stopping = True
            self._generation += 1
            self.state = ModelState.UNLOADED
            lane, swap = self._lane, self._swap
            self._wake.notify_all()
        self.abandon_all(Preempted("the node is shutting down"))
        if swap is not None:
            self._end_swap(swap, ModelNotReady("the node is shutting down"))
        lane.join(timeout_s)
        return not (lane.alive or self.overruns.stuck or (swap is not None and swap.lane.alive))

    def _check_ready(self) -> None:
        if self._stopping or self.state is ModelState.UNLOADED:
            raise ModelNotReady("no model is loaded: the node is not active")
        if self.state is ModelState.LOADING:
            raise ModelNotReady("the model is being loaded: try again in a few seconds")
        if self.state is ModelState.RECOVERING:
            raise ModelNotReady(f"the model is being loaded again: {self.error}")
        if self.state is ModelState.ERROR:
            raise ModelNotReady(f"no model serves: {self.error}")

    def _work(self, lane: Lane) -> None:
        """A lane's thread. Whatever it does after it was left behind is its own affair."""
        while True:
            with self._wake:
                lane.pulse.enter("")
                self._wake.wait_for(lambda: lane.left or self.wanted or self._idle_work_is_ready())
                if self._stopping or lane.left:
                    break
                errand = self._errands.popleft() if self._errands else None
                job = self.line.take() if errand is None else None
                lane.running = job
                idle = FOLLOWING if job is None else Stage.QUEUED.value
                lane.pulse.enter(idle if errand is None else LOADING)
            if errand is not None:
                self._run(errand, lane)
            elif job is None:
                self._do_idle_work(lane)
            else:
                self._do(job, lane)
        lane.model = None

    def _run(self, errand: Callable[[Lane], None], lane: Lane) -> None:
        try:
            errand(lane)
        except BaseException as raised:  # as with jobs: the thread must live on
            log.exception("the model could not be loaded or freed")
            with self._wake:
                if not lane.left and self.state is not ModelState.UNLOADED:
                    self.state, self.error = ModelState.ERROR, str(as_error(raised))

    def _do(self, job: Job, lane: Lane) -> None:
        try:
            if job.start(lane.model, lane.pulse) and not lane.left:
                self.overruns.forgive()
        except BaseException as raised:  # SystemExit and the like, out of a library: the thread must live on
            job.end(None, as_error(raised))
        finally:
            with self._wake:
                lane.running = None

    def _idle_work_is_ready(self) -> bool:
        return self.idle_work is not None and self.state is ModelState.READY and self.idle_work.ready()

    def _do_idle_work(self, lane: Lane) -> None:
        assert self.idle_work is not None
        try:
            self.idle_work.run(lane.model, lane.pulse)
        except BaseException:  # as with jobs: the thread must live on
            log.exception("idle work failed")

    def _load(self, lane: Lane, loader: Callable[[], Any], generation: int, done: Callable[[], None] | None) -> None:
        lane.load_done = done
        if generation == self._generation:  # else a newer load, or an unload, waits in line already
            _free(lane)  # never two models in memory, nor what a load that failed or was overtaken left
            model, state, text = None, ModelState.READY, ""
            try:
                model = loader()
            except BaseException as raised:  # also SystemExit, out of a library: the thread must live on
                error = as_error(raised)
                state, text = ModelState.ERROR, self._load_failure(error)
                if not lane.left:
                    log.error("the model could not be loaded: %s", text, exc_info=_unless_expected(raised))
            with self._wake:
                if generation == self._generation and not lane.left:
                    lane.model, self.state, self.error = model, state, text
        with self._wake:
            done, lane.load_done = lane.load_done, None
        if done is not None:
            done()

    def _load_failure(self, error: LLaVASegError) -> str:
        if not isinstance(error, OutOfMemory):
            return str(error)
        stuck = self.overruns.stuck
        hang = f"; {stuck} hung threads may still hold a model: restart the node" if stuck else ""
        return f"{error.code.name}: {error}{hang}"

    def _hand_over(self, swap: Swap) -> None:
        """In the thread of a swap: have the worker's thread take the model over."""
        with self._wake:
            self._errands.append(lambda lane: self._take_over(lane, swap))
            self._wake.notify_all()

    def _take_over(self, lane: Lane, swap: Swap) -> None:
        model, swap.model = swap.model, None
        with self._wake:
            wanted = swap.generation == self._generation and self._swap is swap and not lane.left
            if wanted:
                lane.model, self.state, self.error = model, ModelState.READY, ""
        del model  # nothing else holds one that is not wanted
        _collect()
        late = ModelNotReady("the model was unloaded, or another one loaded, meanwhile")
        self._end_swap(swap, None if wanted else late)

    def _end_swap(self, swap: Swap, error: LLaVASegError | None) -> None:
        with self._wake:
            if self._swap is not swap:
                return
            self._swap = None
        swap.done(error)


def _free(lane: Lane) -> None:
    lane.model = None
    _collect()


def _collect() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    try:
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
    except Exception:  # after an illegal access every call fails, and whoever waits for us must not wait for ever
        log.exception("the GPU's memory could not be given back")


def _unless_expected(raised: BaseException) -> BaseException | None:
    return None if isinstance(raised, LLaVASegError) else raised
