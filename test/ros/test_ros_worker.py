# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The worker thread, its queue and its endings. No ROS in here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ros_harness import WAIT_S, wait_until
from worker_harness import Endings, hang, pass_time, start_long_job

from llavaseg_ros.errors import Cancelled, ErrorCode, LLaVASegError, ModelNotReady, OutOfMemory
from llavaseg_ros.ros import worker as worker_module
from llavaseg_ros.ros.jobs import Busy, ClientCancel, CommandTimeout, Job, Preempted, as_error
from llavaseg_ros.ros.lane import LOADING, StageTimeout, WatchLimits
from llavaseg_ros.ros.waiting import Policy
from llavaseg_ros.ros.worker import ModelState, ModelWorker


@pytest.fixture
def worker() -> Iterator[ModelWorker]:
    worker = ModelWorker()
    worker.load(lambda: "model")
    wait_until(lambda: worker.state is ModelState.READY)
    yield worker
    assert worker.stop(WAIT_S)


def test_value_and_model(worker: ModelWorker) -> None:
    endings = Endings()
    worker.submit(endings.job("a"))
    assert endings.wait(1) == {"a": "model:a"}


def test_not_ready() -> None:
    worker = ModelWorker()
    release = threading.Event()
    endings = Endings()
    with pytest.raises(ModelNotReady, match="not active"):
        worker.submit(endings.job("a"))
    worker.load(lambda: release.wait(120.0))
    with pytest.raises(ModelNotReady, match="loaded"):
        worker.submit(endings.job("a"))
    release.set()
    wait_until(lambda: worker.state is ModelState.READY)

    def fail() -> Any:
        raise OSError("no such file: bundle.json")

    worker.load(fail)
    wait_until(lambda: worker.state is ModelState.ERROR)
    with pytest.raises(ModelNotReady, match="bundle.json"):
        worker.submit(endings.job("a"))
    worker.unload()
    assert worker.state is ModelState.UNLOADED
    assert worker.stop(WAIT_S) and not endings.list
    with pytest.raises(ModelNotReady):
        worker.submit(endings.job("a"))


def test_replace(worker: ModelWorker) -> None:
    endings = Endings()
    start_long_job(worker, endings)
    worker.line.policy = Policy.QUEUE
    worker.submit(endings.job("waiting"))
    worker.line.policy = Policy.REPLACE
    worker.submit(endings.job("new"))
    results = endings.wait(3)
    assert isinstance(results["long"], Preempted) and isinstance(results["waiting"], Preempted)
    assert results["new"] == "model:new"


def test_reject_and_queue(worker: ModelWorker) -> None:
    endings = Endings()
    long = start_long_job(worker, endings)
    worker.line.policy = Policy.REJECT
    with pytest.raises(Busy, match="reject"):
        worker.submit(endings.job("second"))
    worker.line.policy, worker.line.depth = Policy.QUEUE, 2
    worker.submit(endings.job("b"))
    worker.submit(endings.job("c"))
    with pytest.raises(Busy, match="2 commands"):
        worker.submit(endings.job("d"))
    assert worker.queue_length == 2
    worker.cancel(long, ClientCancel("enough"))
    assert list(endings.wait(3)) == ["long", "b", "c"]


def test_cancel_ends_a_waiting_job_at_once_and_leaves_the_others(worker: ModelWorker) -> None:
    endings = Endings()
    worker.line.policy = Policy.QUEUE
    long = start_long_job(worker, endings)
    second, third = endings.job("second"), endings.job("third")
    worker.submit(second)
    worker.submit(third)
    worker.cancel(second, ClientCancel("enough"))
    assert [name for name, _, _ in endings.list] == ["second"]
    worker.cancel(long, ClientCancel("enough"))
    results = endings.wait(3)
    assert isinstance(results["long"], ClientCancel) and results["third"] == "model:third"
    worker.cancel(third, ClientCancel("too late"))
    assert len(endings.list) == 3


def test_first_reason_stays(worker: ModelWorker) -> None:
    endings = Endings()
    long = start_long_job(worker, endings)
    worker.cancel(long, ClientCancel("by the client"))
    worker.cancel(long, Preempted("by another"))
    assert isinstance(endings.wait(1)["long"], ClientCancel)


def test_timeout_polled_waiting_and_hung(worker: ModelWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "OVERDUE_GRACE_S", 600.0)
    endings, release = Endings(), threading.Event()
    worker.line.policy = Policy.QUEUE
    polls = start_long_job(worker, endings, "polls")
    polls.created -= 1000.0
    assert isinstance(endings.wait(1)["polls"], CommandTimeout)

    hung = hang(worker, endings, release)
    waits = endings.job("waits", timeout_s=600.0)
    worker.submit(waits)
    worker.submit(endings.job("after", timeout_s=600.0))
    worker.expire()
    assert len(endings.list) == 1
    waits.created -= 1000.0
    hung.created -= 900.0  # late, but not so late that it is ended over its head
    worker.expire()
    assert [name for name, _, _ in endings.list] == ["polls", "waits"]
    hung.created -= 1000.0
    worker.expire()
    assert isinstance(endings.wait(3)["hung"], CommandTimeout) and worker.busy
    release.set()
    assert endings.wait(4)["after"] == "model:after"
    assert [name for name, _, _ in endings.list].count("hung") == 1


def test_nothing_of_a_job_comes_after_its_end() -> None:
    calls: list[str] = []
    job = Endings().job("a")
    job.if_alive(lambda: calls.append("before"))
    assert job.end(1, None) and not job.end(2, None)
    job.if_alive(lambda: calls.append("after"))
    assert calls == ["before"] and job.should_cancel()


def test_thread_survives_whatever_a_job_raises(worker: ModelWorker) -> None:
    endings = Endings()
    worker.line.policy = Policy.QUEUE

    def raiser(error: BaseException) -> Callable[[Any, Job], Any]:
        def run(model: Any, job: Job) -> Any:
            raise error

        return run

    worker.submit(endings.job("value", raiser(ValueError("strange"))))
    worker.submit(endings.job("exit", raiser(SystemExit(1))))
    worker.submit(endings.job("stray", raiser(Cancelled("nobody asked"))))

    def cannot_deliver(value: Any, error: LLaVASegError | None) -> None:
        raise RuntimeError("no publisher")

    bad = Job(lambda model, job: 1, cannot_deliver, timeout_s=30.0)
    worker.submit(bad)
    worker.submit(endings.job("good"))
    results = endings.wait(4)
    assert "strange" in str(results["value"]) and results["value"].code is ErrorCode.UNKNOWN
    assert "SystemExit" in str(results["exit"]) and isinstance(results["stray"], Cancelled)
    assert results["good"] == "model:good" and bad.ended


def test_load_that_is_overtaken_is_thrown_away() -> None:
    worker, release = ModelWorker(), threading.Event()
    worker.load(lambda: release.wait(120.0) and "old")
    time.sleep(0.05)
    worker.load(lambda: "new")
    release.set()
    wait_until(lambda: worker.state is ModelState.READY)
    endings = Endings()
    worker.submit(endings.job("a"))
    assert endings.wait(1) == {"a": "new:a"}
    worker.unload()
    wait_until(lambda: worker._model is None)
    assert worker.stop(WAIT_S)


def test_stop_ends_everything() -> None:
    worker, endings = ModelWorker(), Endings()
    worker.load(lambda: "model")
    wait_until(lambda: worker.state is ModelState.READY)
    worker.line.policy = Policy.QUEUE
    start_long_job(worker, endings)
    worker.submit(endings.job("waiting"))
    assert worker.stop(WAIT_S)
    assert all(isinstance(error, Preempted) for _, _, error in endings.list) and len(endings.list) == 2


@pytest.mark.parametrize(
    "raised, kind, word",
    [
        (ValueError("shape"), LLaVASegError, "ValueError: shape"),
        (KeyError(), LLaVASegError, "KeyError"),
        (MemoryError(), OutOfMemory, "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), OutOfMemory, "memory"),
        (ModelNotReady("as it is"), ModelNotReady, "as it is"),
    ],
)
def test_as_error(raised: BaseException, kind: type, word: str) -> None:
    error = as_error(raised)
    assert type(error) is kind and word in str(error)


def test_the_old_model_serves_until_the_new_one_is_warm(worker: ModelWorker) -> None:
    endings, release, told = Endings(), threading.Event(), []
    worker.line.policy = Policy.QUEUE
    worker.swap(lambda: release.wait(120.0) and "new", told.append)
    assert worker.swapping
    worker.submit(endings.job("a"))
    assert endings.wait(1)["a"] == "model:a" and not told
    with pytest.raises(Busy, match="another model is being loaded"):
        worker.swap(lambda: "third", told.append)
    release.set()
    wait_until(lambda: bool(told), what="the new model")
    worker.submit(endings.job("b"))
    assert endings.wait(2)["b"] == "new:b" and told == [None] and not worker.swapping


def test_a_running_command_ends_with_the_model_it_began_with(worker: ModelWorker) -> None:
    endings, release, told = Endings(), threading.Event(), []

    def slow(model: Any, job: Job) -> Any:
        release.wait(120.0)
        return model

    worker.submit(endings.job("slow", slow))
    wait_until(lambda: worker.busy, what="the command")
    worker.swap(lambda: "new", told.append)
    time.sleep(0.1)
    assert not told
    release.set()
    assert endings.wait(1)["slow"] == "model"
    wait_until(lambda: bool(told), what="the new model")
    assert worker._model == "new"


def test_a_new_model_that_fails_leaves_the_old_one(worker: ModelWorker) -> None:
    endings, told = Endings(), []

    def fail() -> Any:
        raise MemoryError

    worker.swap(fail, told.append)
    wait_until(lambda: bool(told), what="the failure")
    assert told[0].code == ErrorCode.OUT_OF_MEMORY and worker.state is ModelState.READY
    worker.submit(endings.job("a"))
    assert endings.wait(1)["a"] == "model:a"


def test_a_model_that_comes_after_unload_does_not_serve(worker: ModelWorker) -> None:
    release, told = threading.Event(), []
    worker.swap(lambda: release.wait(120.0) and "new", told.append)
    worker.unload()
    release.set()
    wait_until(lambda: bool(told), what="the end of the swap")
    assert "unloaded" in str(told[0]) and worker.state is ModelState.UNLOADED and worker._model is None


def test_a_stop_ends_the_swap(worker: ModelWorker) -> None:
    release, told = threading.Event(), []
    worker.swap(lambda: release.wait(120.0) and "new", told.append)
    worker.stop()
    assert "shutting down" in str(told[0])
    release.set()


def test_there_is_nothing_to_swap_without_a_model() -> None:
    worker = ModelWorker()
    try:
        with pytest.raises(ModelNotReady, match="no model is loaded"):
            worker.swap(lambda: "new", lambda error: None)
    finally:
        worker.stop()


# --- the watchdog ---


def test_a_stage_that_hangs_is_left_behind(worker: ModelWorker) -> None:
    endings, release, told = Endings(), threading.Event(), []
    worker.left_behind = lambda: told.append("left behind")
    worker.recover = lambda why: told.append(why) or worker.load(lambda: "new", why=why)
    hang(worker, endings, release)
    pass_time(worker, 4, WatchLimits(stage_s=5.0))
    assert not endings.list and worker.overruns.count == 0
    pass_time(worker, 2, WatchLimits(stage_s=5.0))
    error = endings.wait(1)["hung"]
    assert isinstance(error, StageTimeout) and "QUEUED" in str(error) and error.code is ErrorCode.TIMEOUT
    assert told[0] == "left behind" and "5 s" in told[1]
    wait_until(lambda: worker.state is ModelState.READY)
    worker.submit(endings.job("after"))
    assert endings.wait(2)["after"] == "new:after" and worker.overruns.stuck == 1
    release.set()
    wait_until(lambda: worker.overruns.stuck == 0)
    assert len(endings.list) == 2 and worker._model == "new"


def test_a_stage_without_a_limit_may_take_for_ever(worker: ModelWorker) -> None:
    endings, release = Endings(), threading.Event()
    hang(worker, endings, release)
    pass_time(worker, 1000, WatchLimits(stage_s=0.0, load_s=5.0))
    assert worker.overruns.count == 0
    release.set()
    assert endings.wait(1)["hung"] == "late model"


def test_a_time_in_which_the_process_stood_still_is_no_silence(worker: ModelWorker) -> None:
    endings, release = Endings(), threading.Event()
    hang(worker, endings, release)
    for _ in range(4):
        worker._looked = time.monotonic() - 3600.0
        worker.watch(WatchLimits(stage_s=5.0))
    assert worker.overruns.count == 0
    release.set()
    assert endings.wait(1)["hung"] == "late model"


def test_polls_are_signs_of_life_until_the_work_is_to_stop(worker: ModelWorker) -> None:
    endings, polled = Endings(), threading.Event()

    def poll(model: Any, job: Job) -> None:
        while not release.is_set():
            job.should_cancel()
            polled.set()
            time.sleep(0.001)

    release = threading.Event()
    job = endings.job("polls", poll, timeout_s=600.0)
    worker.submit(job)
    for _ in range(20):
        polled.clear()
        assert polled.wait(60.0)
        pass_time(worker, 1, WatchLimits(stage_s=5.0))
    assert worker.overruns.count == 0
    worker.cancel(job, ClientCancel("enough"))  # which it does not heed
    for _ in range(7):
        polled.clear()
        assert polled.wait(60.0)
        pass_time(worker, 1, WatchLimits(stage_s=5.0))
    assert isinstance(endings.wait(1)["polls"], ClientCancel) and worker.overruns.count == 1
    release.set()
    wait_until(lambda: worker.overruns.stuck == 0)


def test_a_command_that_works_ends_a_row_of_overruns() -> None:
    worker, endings, releases = ModelWorker(), Endings(), []
    worker.recover = lambda why: worker.load(lambda: "new", why=why)
    worker.load(lambda: "model")
    for number in range(4):
        wait_until(lambda: worker.state is ModelState.READY)
        releases.append(threading.Event())
        hang(worker, endings, releases[-1], f"hung {number}")
        pass_time(worker, 6, WatchLimits(stage_s=5.0))
        releases[-1].set()
        wait_until(lambda: worker.overruns.stuck == 0)
        wait_until(lambda: worker.state is ModelState.READY)
        worker.submit(endings.job(f"works {number}"))
        endings.wait(2 * number + 2)
    assert worker.overruns.count == 4
    for number in range(3):
        releases.append(threading.Event())
        wait_until(lambda: worker.state is ModelState.READY)
        hang(worker, endings, releases[-1], f"row {number}")
        pass_time(worker, 6, WatchLimits(stage_s=5.0))
        releases[-1].set()
    assert worker.state is ModelState.ERROR and "3 overruns in a row" in worker.error
    wait_until(lambda: worker.overruns.stuck == 0)  # those released last may still be on their way back
    assert worker.stop(WAIT_S)


def test_three_threads_that_hang_at_once_are_enough() -> None:
    worker, endings, release = ModelWorker(), Endings(), threading.Event()
    worker.recover = lambda why: worker.load(lambda: "new", why=why)
    worker.load(lambda: "model")
    for number in range(3):
        wait_until(lambda: worker.state is ModelState.READY)
        hang(worker, endings, release, f"hung {number}")
        pass_time(worker, 6, WatchLimits(stage_s=5.0))
        if number < 2:
            wait_until(lambda: worker.state is ModelState.READY)
            worker.submit(endings.job(f"works {number}"))
            endings.wait(2 * number + 2)
    assert worker.state is ModelState.ERROR and "3 threads hang" in worker.error
    assert not worker.stop(0.1)  # they have not come back: the process must not wait for them
    release.set()
    wait_until(lambda: worker.overruns.stuck == 0)
    assert worker.stop(WAIT_S)


@pytest.mark.parametrize("late", ["before the next load", "after the next load"])
def test_a_load_that_hangs_is_told_and_not_repeated(late: str) -> None:
    worker, release, done = ModelWorker(), threading.Event(), []
    worker.recover = lambda why: done.append("recovered")
    worker.load(lambda: release.wait(120.0) and "late", lambda: done.append("done"))
    wait_until(lambda: worker._lane.pulse.stage == LOADING)
    worker.watch(WatchLimits())
    pass_time(worker, 6, WatchLimits(stage_s=1.0, load_s=100.0))
    assert worker.state is ModelState.LOADING
    pass_time(worker, 101, WatchLimits(stage_s=1.0, load_s=100.0))
    assert worker.state is ModelState.ERROR and "LOADING" in worker.error and done == ["done"]
    if late == "before the next load":
        release.set()
        wait_until(lambda: worker.overruns.stuck == 0)
        assert worker.state is ModelState.ERROR
    worker.load(lambda: "new")
    wait_until(lambda: worker.state is ModelState.READY)
    release.set()
    wait_until(lambda: worker.overruns.stuck == 0)
    assert worker._model == "new" and done == ["done"]
    assert worker.stop(WAIT_S)


def test_a_hang_after_unload_frees_the_way_for_the_next_load(worker: ModelWorker) -> None:
    endings, release = Endings(), threading.Event()
    worker.recover = lambda why: endings.list.append(("recovered", why, None))
    hang(worker, endings, release)
    worker.unload()
    worker.load(lambda: "new")
    pass_time(worker, 6, WatchLimits(stage_s=5.0))
    wait_until(lambda: worker.state is ModelState.READY)
    worker.submit(endings.job("after"))
    results = endings.wait(2)
    assert isinstance(results["hung"], Preempted) and results["after"] == "new:after" and "recovered" not in results
    release.set()
    wait_until(lambda: worker.overruns.stuck == 0)


def test_an_exchange_that_hangs_leaves_the_old_model(worker: ModelWorker) -> None:
    endings, release, told = Endings(), threading.Event(), []
    worker.swap(lambda: release.wait(120.0) and "late", told.append)
    wait_until(lambda: worker._swap is not None and worker._swap.lane.pulse.stage == LOADING)
    worker.watch(WatchLimits())
    pass_time(worker, 6, WatchLimits(load_s=5.0))
    assert isinstance(told[0], StageTimeout) and not worker.swapping and worker.state is ModelState.READY
    release.set()
    wait_until(lambda: worker.overruns.stuck == 0)
    worker.submit(endings.job("after"))
    assert endings.wait(1)["after"] == "model:after" and len(told) == 1
