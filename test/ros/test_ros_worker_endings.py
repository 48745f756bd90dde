# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What is told when a load is overtaken, a command is overdue or a thread is left behind. No ROS in here."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ros_harness import WAIT_S, wait_until
from worker_harness import Endings, hang, pass_time, start_long_job

from llavaseg_ros.errors import Cancelled, ModelNotReady, OutOfMemory
from llavaseg_ros.ros.jobs import ClientCancel, CommandTimeout, Job, Preempted
from llavaseg_ros.ros.lane import LOADING, StageTimeout, WatchLimits
from llavaseg_ros.ros.worker import ModelState, ModelWorker


@pytest.fixture
def worker() -> Iterator[ModelWorker]:
    worker = ModelWorker()
    yield worker
    assert worker.stop(WAIT_S)


def load(worker: ModelWorker, model: str = "model") -> None:
    worker.load(lambda: model)
    wait_until(lambda: worker.state is ModelState.READY)


def raiser(raised: BaseException) -> Callable[..., Any]:
    def call(*_: Any) -> Any:
        raise raised

    return call


def begin_slow_load(worker: ModelWorker, done: Callable[[], None] | None = None) -> threading.Event:
    """A load that has begun, and ends once the event is set."""
    release = threading.Event()
    worker.load(lambda: release.wait(60.0) and "slow", done)
    wait_until(lambda: worker._lane.pulse.stage == LOADING)
    return release


def test_a_new_worker_has_nothing_and_no_error(worker: ModelWorker) -> None:
    assert worker.state is ModelState.UNLOADED and worker.error == ""
    assert not (worker.busy or worker.swapping or worker.wanted or worker.queue_length)


# --- loads that are overtaken ---


@pytest.mark.parametrize("between", ["nothing", "an unload"])
def test_a_load_that_a_newer_one_overtakes_never_serves(worker: ModelWorker, between: str) -> None:
    seen: list[tuple[str, ModelState, Any]] = []

    def look(where: str) -> None:
        seen.append((where, worker.state, worker._model))

    release = begin_slow_load(worker, lambda: look("the old load is done"))
    if between == "an unload":
        worker.unload()
    worker.load(lambda: look("the new load begins") or "new")
    release.set()
    wait_until(lambda: worker.state is ModelState.READY and worker._model == "new")
    loading = ModelState.LOADING
    assert seen == [("the old load is done", loading, None), ("the new load begins", loading, None)]


def test_a_load_that_an_unload_and_a_stop_overtake_does_not_serve() -> None:
    worker = ModelWorker()
    release = begin_slow_load(worker)
    lane = worker._lane
    worker.unload()
    assert worker.stop(0.01) is False
    release.set()
    wait_until(lambda: not lane.alive)
    assert worker.state is ModelState.UNLOADED and lane.model is None


def test_an_unload_after_a_failure_leaves_no_error(worker: ModelWorker) -> None:
    worker.load(raiser(OSError("no such file")))
    wait_until(lambda: worker.state is ModelState.ERROR)
    worker.unload()
    assert worker.state is ModelState.UNLOADED and worker.error == ""


def test_what_is_raised_after_an_unload_makes_no_error_of_it(worker: ModelWorker) -> None:
    freed = threading.Event()
    release = begin_slow_load(worker, raiser(RuntimeError("nobody is there to be told")))
    worker.unload()
    worker.load(lambda: freed.set() or "next")
    worker.unload()
    release.set()  # now that both are in line behind it
    with pytest.raises(ModelNotReady, match="not active"):
        worker.submit(Endings().job("a"))
    wait_until(lambda: not worker.wanted and worker._lane.pulse.stage == "")
    assert worker.state is ModelState.UNLOADED and worker.error == ""
    assert not freed.is_set(), "it was overtaken before it began"


def test_an_exchange_leaves_no_error(worker: ModelWorker) -> None:
    load(worker)
    told: list[Any] = []
    worker.swap(lambda: "new", told.append)
    wait_until(lambda: told)
    assert told == [None] and worker.error == "" and worker.state is ModelState.READY and worker._model == "new"


# --- loads that fail ---


def test_memory_that_runs_out_is_named_and_so_are_the_threads_that_may_hold_it(worker: ModelWorker) -> None:
    endings, release = Endings(), threading.Event()
    worker.load(raiser(OutOfMemory("2 GB are not enough")))
    wait_until(lambda: worker.state is ModelState.ERROR)
    assert worker.error == "OUT_OF_MEMORY: 2 GB are not enough"
    load(worker)
    hang(worker, endings, release)
    pass_time(worker, 6, WatchLimits(stage_s=5.0))
    assert worker.overruns.stuck == 1
    worker.load(raiser(OutOfMemory("2 GB are not enough")))
    wait_until(lambda: worker.state is ModelState.ERROR)
    assert worker.error.startswith("OUT_OF_MEMORY: 2 GB are not enough; 1 hung threads may still hold a model")
    worker.load(raiser(ModelNotReady("no such profile")))
    wait_until(lambda: "profile" in worker.error)
    assert worker.error == "no such profile", "what has nothing to do with memory does not speak of it"
    release.set()
    wait_until(lambda: worker.overruns.stuck == 0)


@pytest.mark.parametrize(
    "raised, traced", [(ModelNotReady("no such profile"), False), (ValueError("a shape that does not fit"), True)]
)
def test_a_load_that_fails_is_logged_with_a_trace_if_nobody_foresaw_it(
    worker: ModelWorker, caplog: pytest.LogCaptureFixture, raised: Exception, traced: bool
) -> None:
    worker.load(raiser(raised))
    wait_until(lambda: worker.state is ModelState.ERROR)
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert str(raised) in record.getMessage()
    assert (record.exc_info[1] if record.exc_info else None) is (raised if traced else None)


def test_a_load_that_fails_after_it_was_left_behind_is_of_no_interest(
    worker: ModelWorker, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()

    def fail() -> Any:
        release.wait(60.0)
        raise OSError("late")

    worker.load(fail)
    wait_until(lambda: worker._lane.pulse.stage == LOADING)
    worker.watch(WatchLimits())
    pass_time(worker, 6, WatchLimits(load_s=5.0))
    load(worker)
    release.set()
    wait_until(lambda: worker.overruns.stuck == 0)
    assert not any("late" in record.getMessage() for record in caplog.records)
    assert worker.state is ModelState.READY and worker.error == ""


def test_what_a_thread_raises_after_it_was_left_behind_does_not_stop_the_new_model(worker: ModelWorker) -> None:
    release, told = threading.Event(), threading.Event()

    def done() -> None:
        told.set()
        release.wait(60.0)
        raise RuntimeError("late")

    worker.load(lambda: "model", done)
    assert told.wait(60.0)
    assert worker.state is ModelState.READY
    worker.watch(WatchLimits())
    pass_time(worker, 6, WatchLimits(load_s=5.0))
    assert worker.overruns.stuck == 1
    load(worker, "new")
    release.set()
    wait_until(lambda: worker.overruns.stuck == 0)
    assert worker.state is ModelState.READY and worker.error == "" and worker._model == "new"


# --- commands that are told to stop ---


def test_a_command_that_everybody_is_to_leave_can_tell_its_model_why(worker: ModelWorker) -> None:
    load(worker)
    endings, stop = Endings(), threading.Event()
    reasons: list[Any] = []

    def run(_: Any, job: Job) -> None:
        stop.set()
        wait_until(job.should_cancel)
        reasons.append(job.reason)
        raise Cancelled("cancelled")

    worker.submit(endings.job("a", run))
    assert stop.wait(60.0)
    worker.abandon_all(Preempted("stop"))
    wait_until(lambda: reasons)
    assert isinstance(reasons[0], Preempted) and endings.wait(1)["a"] is reasons[0]


def test_a_command_that_does_not_react_is_ended_with_the_stage_that_holds_it(worker: ModelWorker) -> None:
    load(worker)
    endings, release = Endings(), threading.Event()

    def run(_: Any, job: Job) -> None:
        job.enter("REASONING")
        release.wait(60.0)

    job = endings.job("deaf", run, timeout_s=30.0)
    worker.submit(job)
    wait_until(lambda: worker._lane.pulse.stage == "REASONING")
    job.created -= 100.0
    worker.expire()
    error = endings.wait(1)["deaf"]
    assert isinstance(error, CommandTimeout) and "REASONING" in str(error) and "30 s" in str(error)
    release.set()


def test_a_command_that_was_cancelled_and_does_not_react_is_ended_as_cancelled(worker: ModelWorker) -> None:
    load(worker)
    endings, release = Endings(), threading.Event()
    job = hang(worker, endings, release)
    why = ClientCancel("enough")
    worker.cancel(job, why)
    assert not endings.list, "the model gets its time to notice"
    job.created -= 1000.0
    worker.expire()
    assert endings.wait(1) == {"hung": why}
    release.set()


def test_a_command_that_hangs_is_told_to_stop_should_it_ever_come_back(worker: ModelWorker) -> None:
    load(worker)
    endings, release = Endings(), threading.Event()
    job = hang(worker, endings, release)
    pass_time(worker, 6, WatchLimits(stage_s=5.0))
    assert job.should_cancel() and isinstance(job.reason, StageTimeout)
    assert endings.wait(1) == {"hung": job.reason}
    release.set()
    wait_until(lambda: worker.overruns.stuck == 0)


def test_a_stop_ends_the_running_command_and_frees_the_model_of_its_thread() -> None:
    worker, endings = ModelWorker(), Endings()
    load(worker)
    lane, job = worker._lane, start_long_job(worker, endings)
    assert worker.stop(WAIT_S) and lane.model is None
    assert isinstance(endings.wait(1)["long"], Preempted) and isinstance(job.reason, Preempted)


# --- limits of the watchdog ---


def test_a_stage_may_take_as_long_as_its_limit(worker: ModelWorker) -> None:
    load(worker)
    endings, release = Endings(), threading.Event()
    hang(worker, endings, release)
    pass_time(worker, 5, WatchLimits(stage_s=5.0))
    assert worker.overruns.count == 0
    pass_time(worker, 1, WatchLimits(stage_s=5.0))
    assert worker.overruns.count == 1
    release.set()
    wait_until(lambda: worker.overruns.stuck == 0)


def begin_exchange(worker: ModelWorker) -> tuple[threading.Event, list[Any]]:
    """The load of another model hangs until the event is set; what its end was."""
    release, told = threading.Event(), list[Any]()
    worker.swap(lambda: release.wait(60.0) and "late", told.append)
    wait_until(lambda: worker._swap is not None and worker._swap.lane.pulse.stage == LOADING)
    return release, told


@pytest.mark.parametrize("limit_s", [0.5, 1.0, 3.0])
def test_an_exchange_may_take_as_long_as_its_limit_and_is_counted_when_it_takes_longer(limit_s: float) -> None:
    worker = ModelWorker()
    load(worker)
    release, told = begin_exchange(worker)
    limits = WatchLimits(load_s=limit_s)
    worker.watch(limits)  # sees it for the first time
    pass_time(worker, int(limit_s), limits)
    assert worker.swapping and worker.overruns.count == 0
    pass_time(worker, 1, limits)
    assert isinstance(told[0], StageTimeout) and not worker.swapping and worker.state is ModelState.READY
    assert worker.overruns.count == worker.overruns.stuck == 1 and "loading another model" in worker.overruns.last
    assert worker.stop(0.01) is False, "a thread is missing"
    release.set()
    wait_until(lambda: worker.overruns.stuck == 0)
    assert worker.stop(WAIT_S) and len(told) == 1


def test_an_exchange_without_a_limit_may_take_for_ever(worker: ModelWorker) -> None:
    load(worker)
    release, told = begin_exchange(worker)
    pass_time(worker, 20, WatchLimits(stage_s=5.0, load_s=0.0))
    assert worker.swapping and worker.overruns.count == 0
    release.set()
    wait_until(lambda: told)
    assert told == [None] and worker._model == "late"


def test_an_exchange_that_gives_a_sign_of_life_or_ends_just_now_is_not_left_behind(worker: ModelWorker) -> None:
    load(worker)
    release, told = begin_exchange(worker)
    swap = worker._swap
    assert swap is not None
    swap.lane.pulse.beat()  # after the watchdog's last look
    worker._leave_swap(swap, 5.0)
    assert worker.swapping and not told and worker.overruns.count == 0
    swap.lane.silent_s(1.0)
    worker.unload()
    worker._end_swap(swap, ModelNotReady("it was unloaded"))
    worker._leave_swap(swap, 5.0)
    assert len(told) == 1 and worker.overruns.count == 0
    release.set()
