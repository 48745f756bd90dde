# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rules of the worker that no other test of it pins. No ROS in here."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ros_harness import WAIT_S, wait_until
from worker_harness import Endings, hang, start_long_job

from llavaseg_ros.errors import ModelNotReady
from llavaseg_ros.ros import worker as module
from llavaseg_ros.ros.jobs import Job, Preempted
from llavaseg_ros.ros.lane import StageTimeout, WatchLimits
from llavaseg_ros.ros.waiting import Policy
from llavaseg_ros.ros.worker import ModelState, ModelWorker


class Described:
    """A model that says what it is."""

    def __init__(self, name: str) -> None:
        self.name = name

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


@pytest.fixture
def worker() -> Iterator[ModelWorker]:
    worker = ModelWorker()
    yield worker
    worker.stop(WAIT_S)


def load(worker: ModelWorker, name: str = "a") -> None:
    worker.load(lambda: Described(name))
    wait_until(lambda: worker.state is not ModelState.LOADING)


def test_names_and_limits_that_others_rely_on(worker: ModelWorker) -> None:
    assert [state.value for state in ModelState] == ["unloaded", "loading", "ready", "recovering", "error"]
    assert module.OVERDUE_GRACE_S == 1.0 and module.MAX_WATCH_STEP_S == 1.0
    assert any(thread.name == "llavaseg-model" for thread in threading.enumerate())


def test_a_model_is_described_while_it_serves_and_not_otherwise(worker: ModelWorker) -> None:
    assert worker.describe() == {}
    load(worker)
    assert worker.describe() == {"name": "a"}
    worker.unload()
    assert worker.describe() == {} and not worker.busy and worker.queue_length == 0


def test_a_later_load_of_two_wins_whatever_comes_first(worker: ModelWorker) -> None:
    release, ended = threading.Event(), []

    def slow() -> Any:
        release.wait(60.0)
        return Described("old")

    worker.load(slow, lambda: ended.append("old"))
    worker.load(lambda: Described("new"), lambda: ended.append("new"))
    release.set()
    wait_until(lambda: len(ended) == 2)
    assert ended == ["old", "new"] and worker.describe() == {"name": "new"}


def test_only_the_thread_that_works_is_left_behind(worker: ModelWorker) -> None:
    load(worker)
    lane = worker._lane
    worker._leave(lane, "REASONING", 1.0)  # it waits for work: that is no silence
    assert worker._lane is lane and worker.overruns.count == 0 and worker.state is ModelState.READY
    other = worker._new_lane()
    other.pulse.enter("REASONING")
    other.silent_s(0.0)
    worker._leave(other, "REASONING", 1.0)
    assert worker._lane is lane and worker.overruns.count == 0, "it was left behind before"
    other.left = True
    worker.wake()


def test_a_limit_of_zero_is_none(worker: ModelWorker) -> None:
    load(worker)
    hold = threading.Event()
    worker.submit(Job(lambda model, job: hold.wait(60.0), lambda *_: None, timeout_s=60.0))
    wait_until(lambda: worker.busy)
    for _ in range(3):
        worker._looked -= 100.0
        worker.watch(WatchLimits())
    assert worker.overruns.count == 0 and worker.busy
    hold.set()


def test_each_state_refuses_in_its_own_words(worker: ModelWorker) -> None:
    for state, words in (
        (ModelState.UNLOADED, "no model is loaded: the node is not active"),
        (ModelState.LOADING, "the model is being loaded: try again in a few seconds"),
        (ModelState.RECOVERING, "the model is being loaded again: because"),
        (ModelState.ERROR, "no model serves: because"),
    ):
        worker.state, worker.error = state, "because"
        with pytest.raises(ModelNotReady, match=words):
            worker.submit(Job(lambda *_: None, lambda *_: None, timeout_s=1.0))
    worker.state = ModelState.UNLOADED


def test_a_stop_is_true_once_the_thread_has_ended_and_false_while_it_hangs() -> None:
    worker, hold = ModelWorker(), threading.Event()
    load(worker)
    worker.submit(Job(lambda model, job: hold.wait(60.0), lambda *_: None, timeout_s=60.0))
    wait_until(lambda: worker.busy)
    assert worker.stop(0.01) is False
    hold.set()
    assert worker.stop(WAIT_S) is True and worker.state is ModelState.UNLOADED


def hung(worker: ModelWorker) -> tuple[threading.Event, list[tuple[str, Any, Any]], list[str]]:
    """A job hangs in the model and another waits; what ends, and what was asked to recover."""
    hold, ends, recovered = threading.Event(), list[tuple[str, Any, Any]](), list[str]()
    worker.recover = recovered.append
    worker.line.policy = Policy.QUEUE
    for name in ("hangs", "waits"):
        worker.submit(
            Job(lambda model, job: hold.wait(60.0), lambda *end, name=name: ends.append((name, *end)), timeout_s=60.0)
        )
    wait_until(lambda: worker.busy and worker._lane.pulse.stage)
    worker.watch(WatchLimits(stage_s=0.5))
    worker._looked -= 100.0
    worker.watch(WatchLimits(stage_s=0.5))
    return hold, ends, recovered


def test_a_hang_ends_the_job_and_those_that_wait_and_asks_for_the_model_again(worker: ModelWorker) -> None:
    load(worker)
    hold, ends, recovered = hung(worker)
    assert [name for name, *_ in ends] == ["hangs", "waits"] and all(value is None for _, value, _ in ends)
    assert isinstance(ends[0][2], StageTimeout) and isinstance(ends[1][2], ModelNotReady)
    assert "the model is being loaded again" in str(ends[1][2])
    assert worker.state is ModelState.RECOVERING and len(recovered) == 1 and "no sign of life for 0.5 s" in recovered[0]
    assert worker.overruns.count == 1 and worker.overruns.stuck == 1 and not worker.busy
    hold.set()
    wait_until(lambda: not worker.overruns.stuck)
    assert len(ends) == 2 and worker.state is ModelState.RECOVERING, "what came back late changed nothing"


def test_a_model_that_cannot_describe_itself_does_no_harm(worker: ModelWorker) -> None:
    worker.load(lambda: "no model at all")
    wait_until(lambda: worker.state is ModelState.READY)
    assert list(worker.describe()) == ["name"] and "cannot describe itself" in worker.describe()["name"]


def test_a_load_that_ends_after_the_stop_does_not_serve() -> None:
    worker, release = ModelWorker(), threading.Event()
    worker.load(lambda: release.wait(60.0) and Described("late"))
    wait_until(lambda: worker._lane.pulse.stage == "LOADING")
    lane = worker._lane
    assert worker.stop(0.01) is False
    release.set()
    assert worker.stop(WAIT_S) is True and worker.state is ModelState.UNLOADED and lane.model is None
    assert worker.describe() == {}


class Idle:
    """Idle work that is ready once."""

    def __init__(self) -> None:
        self.runs: list[tuple[Any, Any]] = []
        self.wanted = False

    def ready(self) -> bool:
        return self.wanted

    def run(self, model: Any, pulse: Any) -> None:
        self.wanted = False
        self.runs.append((model, pulse))


def test_idle_work_gets_the_model_and_the_pulse_when_it_is_woken_and_a_model_serves(worker: ModelWorker) -> None:
    idle = Idle()
    worker.idle_work, idle.wanted = idle, True
    worker.wake()
    assert not idle.runs, "no model serves"
    load(worker)
    wait_until(lambda: idle.runs)
    ((model, pulse),) = idle.runs
    assert isinstance(model, Described) and pulse is worker._lane.pulse
    wait_until(lambda: worker._lane.pulse.stage == "")
    idle.wanted = True
    worker.wake()
    wait_until(lambda: len(idle.runs) == 2)


def test_a_load_that_worked_leaves_no_error(worker: ModelWorker) -> None:
    def fail() -> Any:
        raise OSError("no such file")

    worker.load(fail)
    wait_until(lambda: worker.state is ModelState.ERROR)
    assert "no such file" in worker.error
    load(worker)
    assert worker.error == "" and worker.state is ModelState.READY and not worker.busy


def test_a_job_that_has_ended_is_not_running_any_more(worker: ModelWorker) -> None:
    load(worker)
    ends: list[Any] = []
    worker.submit(Job(lambda model, job: worker.running is job, lambda *end: ends.append(end), timeout_s=60.0))
    wait_until(lambda: ends)
    assert ends == [(True, None)]
    wait_until(lambda: worker.running is None)
    assert not worker.busy


def test_a_gpu_that_is_broken_holds_nobody_up(worker: ModelWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> bool:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    load(worker)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=broken)))
    ended: list[Any] = []
    worker.swap(lambda: Described("b"), ended.append)
    wait_until(lambda: ended)
    assert ended == [None] and worker.describe() == {"name": "b"}


def test_an_error_while_a_model_is_taken_leaves_the_thread_alive(worker: ModelWorker) -> None:
    def broken() -> None:
        raise SystemExit("out of a library")

    worker.load(lambda: Described("a"), broken)
    wait_until(lambda: worker.state is ModelState.ERROR)
    with pytest.raises(ModelNotReady, match="out of a library"):
        worker.submit(Job(lambda *_: None, lambda *_: None, timeout_s=60.0))
    load(worker)
    assert worker.state is ModelState.READY and worker.describe() == {"name": "a"}


def test_who_ends_all_commands_stops_the_running_one_first(worker: ModelWorker) -> None:
    load(worker)
    worker.line.policy = Policy.QUEUE
    order: list[str] = []
    begun, stopped = threading.Event(), threading.Event()

    def job(name: str) -> Job:
        def run(_: Any, mine: Job) -> None:
            begun.set()
            wait_until(mine.should_cancel)
            stopped.set()
            wait_until(lambda: mine.ended)  # by whoever stopped it, and not by this return

        def finish(*_: Any) -> None:
            assert stopped.wait(60.0)  # the model has been told before any answer goes out
            order.append(name)

        return Job(run, finish, timeout_s=600.0, name=name)

    jobs = [job(name) for name in ("running", "first", "second")]
    for each in jobs:
        worker.submit(each)
    assert begun.wait(60.0)
    worker.abandon_all(ModelNotReady("stop"))
    assert order == ["running", "first", "second"]


def test_a_closed_line_takes_nothing_until_it_is_opened(worker: ModelWorker) -> None:
    load(worker)
    endings = Endings()
    worker.line.policy = Policy.QUEUE
    start_long_job(worker, endings)
    worker.submit(endings.job("waits"))
    worker.close_line(Preempted("deactivated"))
    assert [str(error) for error in endings.wait(2).values()] == ["deactivated"] * 2
    with pytest.raises(ModelNotReady, match="not active any more"):
        worker.submit(endings.job("late"))
    worker.open_line()
    worker.submit(endings.job("new"))
    assert list(endings.wait(3)) == ["long", "waits", "new"]


def test_what_came_before_a_stop_is_not_taken_after_it(worker: ModelWorker) -> None:
    load(worker)
    endings = Endings()
    worker.abandon_all(Preempted("stop"), came_before=100.0)
    worker.abandon_all(Preempted("an older stop"), came_before=50.0)
    with pytest.raises(Preempted, match="a stop came after this command"):
        worker.submit(endings.job("before"), 100.0)
    worker.submit(endings.job("after"), 100.1)
    assert list(endings.wait(1)) == ["after"]
    worker.abandon_all(Preempted("unloaded"))  # says nothing of those to come
    worker.submit(endings.job("again"), 100.1)
    worker.submit(endings.job("of no time"))
    assert len(endings.wait(3)) == 3


def test_a_step_of_the_watchdog_is_the_time_since_the_last(worker: ModelWorker) -> None:
    release = threading.Event()
    load(worker)
    hang(worker, Endings(), release)
    for _ in range(40):  # one after the other, and not 40 s
        worker.watch(WatchLimits(stage_s=20.0))
    assert worker.overruns.count == 0
    release.set()
