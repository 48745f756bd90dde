# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The worker's parts, each by itself: the line of jobs, the count of overruns, a model on its way. No ROS in here."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from llavaseg_ros.errors import LLaVASegError, ModelNotReady, OutOfMemory
from llavaseg_ros.ros.jobs import Busy, ClientCancel, Job, Preempted
from llavaseg_ros.ros.lane import LOADING
from llavaseg_ros.ros.overruns import MAX_OVERRUNS, Overruns
from llavaseg_ros.ros.swap import Swap
from llavaseg_ros.ros.waiting import Line, Policy


def job(name: str = "", timeout_s: float = 60.0) -> Job:
    return Job(lambda model, job: None, lambda value, error: None, timeout_s=timeout_s, name=name)


def line(policy: Policy, *names: str, depth: int = 8) -> tuple[Line, list[Job]]:
    """A line in which these wait."""
    made, jobs = Line(), [job(name) for name in names]
    made.policy = Policy.QUEUE
    for one in jobs:
        made.put(one, None)
    made.policy, made.depth = policy, depth
    return made, jobs


def test_a_new_line_is_empty_and_replaces() -> None:
    made = Line()
    assert len(made) == 0 and made.policy is Policy.REPLACE and made.depth == 8 and made.take() is None
    assert [policy.value for policy in Policy] == ["replace", "reject", "queue"]


def test_first_come_first_served() -> None:
    made, (a, b, c) = line(Policy.QUEUE, "a", "b", "c")
    assert len(made) == 3 and made.take() is a and made.remove(c) and not made.remove(c) and len(made) == 1
    assert made.take() is b and made.take() is None


def test_replace_empties_the_line_and_tells_the_one_that_runs() -> None:
    made, waiting = line(Policy.REPLACE, "a", "b")
    running, new = job("running"), job("new")
    assert made.put(new, running) == waiting and len(made) == 1
    assert isinstance(running.reason, Preempted) and "queue.policy is replace" in str(running.reason)
    assert made.take() is new and new.reason is None
    assert made.put(job(), None) == []


@pytest.mark.parametrize("names, running", [(["a"], False), ([], True), (["a"], True)])
def test_reject_takes_none_beside_another(names: list[str], running: bool) -> None:
    made, waiting = line(Policy.REJECT, *names)
    works = job() if running else None
    with pytest.raises(Busy, match="queue.policy is reject"):
        made.put(job(), works)
    assert len(made) == len(waiting) and (works is None or works.reason is None)
    assert line(Policy.REJECT)[0].put(job(), None) == []


def test_one_that_has_ended_keeps_nobody_out() -> None:
    made, _ = line(Policy.REJECT)
    works, new = job(), job("new")
    works.end("value", None)
    assert made.put(new, works) == [] and made.take() is new
    made.put(new, works)
    with pytest.raises(Busy):  # but one that waits does
        made.put(job(), works)


@pytest.mark.parametrize("policy", list(Policy))
def test_a_closed_line_and_what_came_before_a_stop(policy: Policy) -> None:
    made, _ = line(policy)
    assert not made.closed and made.put(job(), None, -1e9) == [] and len(made.clear()) == 1
    made.stopped_at = 100.0
    for arrived in (99.0, 100.0):
        with pytest.raises(Preempted, match="a stop came after this command"):
            made.put(job(), None, arrived)
    running, new = job(), job()
    running.end("value", None)
    assert made.put(new, running, 100.1) == [] and made.clear() == [new]
    assert made.put(new, None) == [] and made.clear() == [new]  # one that tells no time came after it
    made.closed, works = True, job()
    with pytest.raises(ModelNotReady, match="not active any more"):
        made.put(job(), works, 200.0)
    assert works.reason is None and len(made) == 0


def test_queue_takes_as_many_as_it_is_deep() -> None:
    made, _ = line(Policy.QUEUE, "a", depth=2)
    running = job()
    assert made.put(job("b"), running) == [] and len(made) == 2 and running.reason is None
    with pytest.raises(Busy, match=r"2 commands are waiting already \(queue.depth is 2\)"):
        made.put(job("c"), None)
    assert len(made) == 2


def test_those_with_a_reason_are_late_and_the_others_stay() -> None:
    made, (a, b, c) = line(Policy.QUEUE, "a", "b", "c")
    b.cancel(ClientCancel("enough"))
    c.created -= 100
    assert made.late() == [b, c] and made.late() == [] and made.clear() == [a] and len(made) == 0


def lane(alive: bool = True) -> Any:
    return SimpleNamespace(alive=alive)


def test_overruns_are_counted_with_their_threads() -> None:
    overruns = Overruns()
    assert (overruns.count, overruns.last, overruns.stuck) == (0, "", 0)
    first, second = lane(), lane()
    overruns.note(first, "ENCODING hung")
    overruns.note(second, "REASONING hung")
    assert (overruns.count, overruns.last, overruns.stuck) == (2, "REASONING hung", 2)
    first.alive = False
    assert overruns.stuck == 1, "one came back"
    overruns.note(lane(), "REASONING hung")
    first.alive = True
    assert overruns.stuck == 2, "and is not counted any more"


def test_a_load_that_hung_is_not_tried_again() -> None:
    overruns = Overruns()
    overruns.note(lane(False), "LOADING hung")
    assert overruns.hopeless(LOADING).startswith("LOADING hung: deactivate and activate the node to try again")
    assert overruns.hopeless("ENCODING") == ""


def test_three_in_a_row_are_enough_and_a_command_that_worked_ends_the_row() -> None:
    assert MAX_OVERRUNS == 3
    overruns = Overruns()
    for _ in range(2):
        overruns.note(lane(False), "ENCODING hung")
    assert overruns.hopeless("ENCODING") == ""
    overruns.forgive()
    overruns.note(lane(False), "ENCODING hung")
    assert overruns.hopeless("ENCODING") == "" and overruns.count == 3
    for _ in range(2):
        overruns.note(lane(False), "ENCODING hung")
    assert overruns.hopeless("ENCODING").startswith("ENCODING hung, the last of 3 overruns in a row: deactivate")


def test_three_threads_that_hang_are_enough_though_commands_work_between() -> None:
    overruns = Overruns()
    for number in range(1, 4):
        overruns.note(lane(), "ENCODING hung")
        overruns.forgive()
        assert bool(overruns.hopeless("ENCODING")) == (number == 3)
    assert overruns.hopeless("ENCODING").startswith("ENCODING hung, and 3 threads hang: deactivate")


@pytest.mark.parametrize("raised, kind", [(None, None), (MemoryError(), OutOfMemory), (SystemExit(1), LLaVASegError)])
def test_a_swap_tells_what_came_of_it(raised: BaseException | None, kind: type | None) -> None:
    told: list[Any] = []
    stages: list[str] = []

    def load() -> str:
        stages.append(swap.lane.pulse.stage)
        if raised is not None:
            raise raised
        return "model"

    def loaded(swap: Swap) -> None:
        note(swap, swap.model)

    def note(swap: Swap, outcome: Any) -> None:
        told.append((threading.current_thread().name, swap, outcome, swap.lane.pulse.stage))

    done = told.append
    swap = Swap(load, done, 7, loaded, note)
    assert (swap.done, swap.generation, swap.model) == (done, 7, None) and not told
    swap.lane.start()
    swap.lane.join(60.0)
    ((thread, same, outcome, stage),) = told
    assert stages == [LOADING] and thread == "llavaseg-swap" and same is swap
    assert stage == (LOADING if kind else "") and (type(outcome) is kind if kind else outcome == "model")
