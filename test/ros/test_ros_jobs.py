# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One job: its one end, its reason to stop, and the signs of life that it gives for the model. No threads, no ROS."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from llavaseg_ros.errors import Cancelled, ErrorCode, LLaVASegError, NoImage, OutOfMemory
from llavaseg_ros.ros.jobs import Busy, ClientCancel, CommandTimeout, Job, Preempted, as_error
from llavaseg_ros.ros.lane import FOLLOWING, LOADING, Lane, Pulse, StageTimeout, WatchLimits


class Ends(list):
    """What `finish` was called with."""

    def job(self, run: Any = None, timeout_s: float = 60.0, **more: Any) -> Job:
        return Job(run or (lambda model, job: "value"), lambda *end: self.append(end), timeout_s=timeout_s, **more)


def test_a_job_runs_once_and_ends_with_its_value() -> None:
    ends, begun = Ends(), []
    job = ends.job(lambda model, job: f"{model}!", name="a", started=lambda: begun.append(1))
    assert job.name == "a" and ends.job().name == "" and job.timeout_s == 60.0 and not job.ended
    assert job.start("model") is True
    assert ends == [("model!", None)] and begun == [1] and job.ended
    assert job.end("again", None) is False and len(ends) == 1


def test_a_job_that_was_told_to_stop_before_it_began_never_runs() -> None:
    ends, begun = Ends(), []
    job = ends.job(lambda *_: begun.append("ran"), started=lambda: begun.append("started"))
    reason = ClientCancel("enough")
    job.cancel(reason)
    job.cancel(Preempted("later"))
    assert job.reason is reason and job.should_cancel()
    assert job.start("model") is False
    assert ends == [(None, reason)] and not begun


def test_a_job_that_has_ended_never_runs() -> None:
    ends, begun = Ends(), []
    job = ends.job(lambda *_: begun.append("ran"), started=lambda: begun.append("started"))
    assert job.end("early", None) and job.should_cancel() and job.reason is None
    job.start("model")
    assert ends == [("early", None)] and not begun


def test_time_runs_from_the_making_of_a_job() -> None:
    job = Ends().job(timeout_s=0.5)
    assert job.reason is None and 0 <= job.elapsed_s < 60
    job.created -= 1.0
    assert job.elapsed_s >= 1.0 and isinstance(job.reason, CommandTimeout) and "0.5 s" in str(job.reason)
    assert job.reason is job.reason and job.should_cancel()


@pytest.mark.parametrize(
    "raised, told, expected",
    [
        (Cancelled("stopped"), ClientCancel("by the client"), ClientCancel),
        (Cancelled("nobody asked"), None, Cancelled),
        (ValueError("strange"), ClientCancel("by the client"), LLaVASegError),
        (NoImage("no image"), None, NoImage),
        (MemoryError(), None, OutOfMemory),
    ],
)
def test_what_is_raised_and_what_it_was_told(raised: Exception, told: Any, expected: type) -> None:
    def run(model: Any, job: Job) -> Any:
        if told is not None:
            job.cancel(told)
        raise raised

    ends = Ends()
    assert ends.job(run).start("model") is False
    ((value, error),) = ends
    assert value is None and type(error) is expected
    assert error is told or not isinstance(raised, Cancelled) or told is None


def test_an_outcome_that_cannot_be_delivered_ends_the_job_all_the_same() -> None:
    def finish(value: Any, error: Any) -> None:
        raise RuntimeError("no publisher")

    job = Job(lambda model, job: 1, finish, timeout_s=60.0)
    assert job.start("model") and job.ended and job.end(None, None) is False


def test_codes() -> None:
    assert CommandTimeout("").code is StageTimeout("").code is ErrorCode.TIMEOUT
    assert Busy("").code is ErrorCode.MODEL_NOT_READY
    assert isinstance(Preempted(""), Cancelled) and isinstance(ClientCancel(""), Cancelled)
    assert Preempted("").code is ErrorCode.PREEMPTED and str(as_error(KeyError())) == "KeyError"


def test_polls_and_stages_are_signs_of_life() -> None:
    pulse = Pulse()
    seen: list[tuple[str, int]] = []

    def run(model: Any, job: Job) -> None:
        for stage in ("ENCODING", "ENCODING", "REASONING"):
            job.enter(stage)
            seen.append((pulse.stage, pulse.beats))
        job.should_cancel()
        seen.append((pulse.stage, pulse.beats))
        job.cancel(ClientCancel("enough"))
        job.should_cancel()  # a model that was told to stop gives no sign of life by asking again
        seen.append((pulse.stage, pulse.beats))

    Ends().job(run).start("model", pulse)
    assert seen == [("ENCODING", 1), ("ENCODING", 1), ("REASONING", 2), ("REASONING", 3), ("REASONING", 3)]
    job = Ends().job()
    assert not job.should_cancel()  # before it has a thread, too
    job.enter("ENCODING")


def test_a_pulse_and_the_limits_of_its_stages() -> None:
    pulse = Pulse()
    assert (pulse.stage, pulse.beats) == ("", 0)
    pulse.enter("ENCODING")
    pulse.beat()
    pulse.enter("")
    assert (pulse.stage, pulse.beats) == ("", 3)
    limits = WatchLimits(stage_s=2.0, load_s=300.0)
    assert [limits.of(stage) for stage in (LOADING, FOLLOWING, "ENCODING")] == [300.0, 2.0, 2.0]
    assert WatchLimits() == WatchLimits(0.0, 0.0) and (LOADING, FOLLOWING) == ("LOADING", "FOLLOWING")


def test_silence_is_the_watchdogs_own_steps_without_a_sign_of_life() -> None:
    lane = Lane("a", lambda lane: None)
    assert lane.silent_s(1.0) == 0.0 and lane.came_back(), "nothing is to be done"
    lane.pulse.enter("ENCODING")
    assert lane.came_back()
    assert lane.silent_s(5.0) == 0.0, "the first look only sees the sign"
    assert not lane.came_back()
    assert [lane.silent_s(0.5), lane.silent_s(0.25)] == [0.5, 0.75]
    lane.pulse.beat()
    assert lane.came_back() and lane.silent_s(9.0) == 0.0
    assert lane.silent_s(0.5) == 0.5
    lane.pulse.enter("")
    assert lane.silent_s(0.5) == 0.0 and lane.silent_s(0.5) == 0.0 and lane.came_back()


def test_a_lane_is_a_daemon_with_nothing_in_its_hands() -> None:
    seen: list[Any] = []
    lane = Lane("a lane", seen.append)
    assert (lane.model, lane.running, lane.load_done, lane.left) == (None, None, None, False) and not lane.alive
    lane.start()
    lane.join(60.0)
    assert seen == [lane] and not lane.alive
    release = threading.Event()
    slow = Lane("slow", lambda lane: release.wait(60.0))
    slow.start()
    assert slow.alive and slow._thread.daemon and slow._thread.name == "slow"
    slow.join(0.0)
    release.set()
    slow.join(60.0)
    assert not slow.alive
