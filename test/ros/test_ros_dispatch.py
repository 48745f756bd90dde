# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From messages to jobs and back, with stand-ins for everything around: no node, no model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Duration, Time
from ros_harness import wait_until
from std_msgs.msg import Header

from llavaseg_ros.action import Segment
from llavaseg_ros.errors import BadRequest, Cancelled, ErrorCode, NoImage
from llavaseg_ros.msg import Answer, Command, TargetMask, TargetMaskArray
from llavaseg_ros.ros import dispatch
from llavaseg_ros.ros.commands import Limits, Outcome, Policy
from llavaseg_ros.ros.dispatch import Dispatcher
from llavaseg_ros.ros.jobs import ClientCancel, CommandTimeout, Preempted
from llavaseg_ros.ros.messages import arrival
from llavaseg_ros.ros.worker import ModelState, ModelWorker
from llavaseg_ros.srv import SegmentAtPrompt
from llavaseg_ros.types import Stage


class Room:
    """A dispatcher, a worker whose model is "model", and everything else written down.

    log: what was done, in order. work: what the runner does with a command.
    """

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.jobs: list[Any] = []
        self.requests: list[Any] = []
        self.state = "active"
        self.limits = Limits(5, 30.0, Policy.QUEUE, 8, 1.0, 1.0, 10, False)
        self.work: Callable[[Any, Any], Any] = lambda request, job: f"value of {request.text}"
        self.outcomes: list[tuple[Any, Any, Any]] = []
        self.holds = False
        self.outcome_of: Callable[[Any, Any, Any], Outcome] = self.plain_outcome
        self.epoch = 7
        self.worker = ModelWorker()
        self.worker.load(lambda: "model")
        wait_until(lambda: self.worker.state is ModelState.READY)
        self.dispatcher = Dispatcher(
            self.worker,
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            limits=lambda: self.limits,
            state=lambda: self.state,
            note=lambda outcome: self.log.append(("note", outcome.answer.command)),
            following=self,  # type: ignore[arg-type]
        )

    # The runner.
    def run(self, model: Any, job: Any, request: Any) -> Any:
        assert model == "model"
        self.jobs.append(job)
        self.requests.append(request)
        return self.work(request, job)

    def run_prompt(self, model: Any, job: Any, request: Any) -> Any:
        assert model == "model"
        self.jobs.append(job)
        return self.work(request, job)

    def outcome(self, request: Any, job: Any, value: Any, error: Any) -> Outcome:
        self.requests.append(request)
        self.outcomes.append((request.text, value, error))
        return self.outcome_of(request, value, error)

    def plain_outcome(self, request: Any, value: Any, error: Any) -> Outcome:
        code = int(error.code) if error is not None else 0
        answer = Answer(
            command_id=request.command_id, command=request.text, error_code=code, error_msg=str(error or "")
        )
        return Outcome(answer)

    # The outputs.
    def publish(self, outcome: Outcome, *, masks: bool) -> None:
        self.log.append(("publish", outcome.answer.command, masks))

    def publish_overlay(self, rgb: Any, result: Any, masks: Any, text: str) -> None:
        self.log.append(("overlay", rgb.shape, result, len(masks.targets), text))

    # The following.
    def command_ended(self, request: Any, outcome: Outcome, epoch: int) -> None:
        self.log.append(("ended", request.text, epoch))

    def holds_masks(self, outcome: Outcome) -> bool:
        return self.holds

    def forget(self) -> None:
        self.log.append(("forget",))

    def wait(self, count: int = 1) -> list[tuple[Any, Any, Any]]:
        wait_until(lambda: len(self.outcomes) >= count, what=f"{count} outcomes")
        wait_until(lambda: not self.dispatcher._open, what="the end of the outcomes")
        return self.outcomes

    def errors(self, count: int) -> dict[str, type]:
        return {text: type(error) for text, _, error in self.wait(count)}


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    assert room.worker.stop(60.0)


class Hold:
    """Work that waits until it is released, or told to stop."""

    def __init__(self) -> None:
        self.started, self.released = threading.Event(), threading.Event()

    def __call__(self, request: Any, job: Any) -> str:
        self.started.set()
        while not self.released.wait(0.005):
            if job.should_cancel():
                raise Cancelled("told to stop")
        return "value"


class Handle:
    """The goal handle of rclpy, as far as it is used; the server beside it."""

    def __init__(self, key: int = 1, **fields: Any) -> None:
        self.request = Segment.Goal(**{"text": "the mug", **fields})
        self.goal_id = SimpleNamespace(uuid=np.array([key] * 16, np.uint8))
        self.feedback: list[tuple[str, str, float]] = []
        self.ends: list[tuple[Any, bool, bool]] = []
        self.begun = 0

    def publish_feedback(self, msg: Any) -> None:
        self.feedback.append((msg.state, msg.partial_text, msg.elapsed.sec + msg.elapsed.nanosec * 1e-9))

    def begin(self, handle: Any) -> None:
        assert handle is self
        self.begun += 1

    def end(self, handle: Any, result: Any, *, succeeded: bool, canceled: bool) -> None:
        assert handle is self
        self.ends.append((result, succeeded, canceled))


def goal(room: Room, key: int = 1, **fields: Any) -> Handle:
    handle = Handle(key, **fields)
    room.dispatcher.on_goal(handle, handle, time.monotonic())  # type: ignore[arg-type]
    return handle


def test_a_command_is_run_published_noted_and_told_to_the_following(room: Room) -> None:
    room.dispatcher.on_command(Command(text="the mug", session_id="s", image_stamp=Time(sec=3, nanosec=4)))
    assert room.wait() == [("the mug", "value of the mug", None)]
    request = room.requests[0]
    assert (request.text, request.session_id, request.image_stamp_ns, request.max_targets) == (
        "the mug",
        "s",
        3_000_000_004,
        5,
    )
    assert len(request.command_id) == 32 and room.jobs[0].timeout_s == 30.0
    assert room.log == [("ended", "the mug", 7), ("publish", "the mug", True), ("note", "the mug")]


def test_a_text_is_a_command_and_ids_are_unlike(room: Room) -> None:
    room.dispatcher.on_text("the mug")
    room.dispatcher.on_text("the mug")
    room.wait(2)
    assert len({request.command_id for request in room.requests}) == 2
    assert all(request.session_id == "" and request.image_stamp_ns == 0 for request in room.requests)


def test_masks_that_the_following_holds_are_not_published_twice(room: Room) -> None:
    room.holds = True
    room.dispatcher.on_text("the mug")
    room.wait()
    assert ("publish", "the mug", False) in room.log


def test_what_following_knew_when_the_command_came_is_told_at_its_end(room: Room) -> None:
    hold = Hold()
    room.work = hold
    room.dispatcher.on_text("the mug")
    assert hold.started.wait(60.0)
    room.epoch = 8
    hold.released.set()
    room.wait()
    assert room.log[0] == ("ended", "the mug", 7)


def test_an_overlay_is_drawn_only_of_a_whole_result(room: Room) -> None:
    masks = TargetMaskArray(targets=[TargetMask(), TargetMask()])
    rgb = np.zeros((4, 6, 3), np.uint8)
    whole: dict[str, Any] = {"masks": masks, "rgb": rgb, "result": "the result"}

    def outcome(request: Any, value: Any, error: Any) -> Outcome:
        return Outcome(Answer(command=request.text, text="Here."), **whole)

    room.outcome_of = outcome
    room.dispatcher.on_text("the mug")
    room.wait()
    assert room.log[-1] == ("overlay", (4, 6, 3), "the result", 2, "Here.")
    for missing in list(whole):
        room.log.clear()
        kept = whole.pop(missing)
        room.dispatcher.on_text("the mug")
        room.wait(len(room.outcomes) + 1)
        assert [entry[0] for entry in room.log] == ["ended", "publish", "note"]
        whole[missing] = kept


def test_what_is_no_result_becomes_an_error(room: Room) -> None:
    def outcome(request: Any, value: Any, error: Any) -> Outcome:
        if error is None:
            raise KeyError("mask")
        return room.plain_outcome(request, value, error)

    room.outcome_of = outcome
    handle = goal(room)
    room.wait(2)
    assert [error is None for _, _, error in room.outcomes] == [True, False] and room.outcomes[1][1] is None
    assert "KeyError: 'mask'" in str(room.outcomes[1][2])
    ((result, succeeded, canceled),) = handle.ends
    assert result.error_code == ErrorCode.UNKNOWN and not succeeded and not canceled


@pytest.mark.parametrize("text", ["", "x" * 3000, "\x01", "..."])
def test_a_command_that_is_none_takes_nobodys_place(room: Room, text: str) -> None:
    hold = Hold()
    room.work, room.limits = hold, Limits(5, 30.0, Policy.REPLACE, 8, 1.0, 1.0, 10, False)
    room.dispatcher.on_text("the mug")
    assert hold.started.wait(60.0)
    room.dispatcher.on_text(text)
    wait_until(lambda: len(room.outcomes) == 1)
    assert isinstance(room.outcomes[0][2], BadRequest)
    hold.released.set()
    assert room.wait(2)[1] == ("the mug", "value", None)


def test_the_policy_and_depth_are_those_of_the_moment(room: Room) -> None:
    hold = Hold()
    room.work = hold
    for text in ("a", "b", "c"):
        room.limits = Limits(5, 30.0, Policy.QUEUE, 1, 1.0, 1.0, 10, False)
        room.dispatcher.on_text(text)
        assert hold.started.wait(60.0)
    room.limits = Limits(5, 30.0, Policy.REJECT, 1, 1.0, 1.0, 10, False)
    room.dispatcher.on_text("d")
    hold.released.set()
    room.wait(4)
    failed = {text: str(error) for text, _, error in room.outcomes if error is not None}
    assert "queue.depth is 1" in failed["c"] and "queue.policy is reject" in failed["d"] and len(failed) == 2


def test_a_node_that_is_not_active_refuses_by_its_state(room: Room) -> None:
    room.state = "inactive"
    room.dispatcher.on_text("the mug")
    ((_, _, error),) = room.wait()
    assert error.code == ErrorCode.MODEL_NOT_READY and "not active (inactive)" in str(error) and not room.jobs


def test_a_node_that_is_deactivated_while_a_command_is_taken(room: Room) -> None:
    def look() -> str:
        room.worker.close_line(Preempted("deactivated"))  # right after the look
        return "active"

    room.dispatcher._state = look  # type: ignore[method-assign]
    room.dispatcher.on_text("the mug")
    ((_, _, error),) = room.wait()
    assert error.code == ErrorCode.MODEL_NOT_READY and "not active any more" in str(error) and not room.jobs


def test_a_stop_ends_all_and_forgets_what_is_followed(room: Room) -> None:
    hold = Hold()
    room.work = hold
    handle = goal(room)
    assert hold.started.wait(60.0)
    room.dispatcher.on_text("waits")
    room.dispatcher.on_stop()
    assert room.errors(2) == {"the mug": Preempted, "waits": Preempted} and room.log[0] == ("forget",)
    assert all("stopped: a message came on `stop`" in str(error) for _, _, error in room.outcomes)
    assert handle.ends[0][1:] == (False, False)


@pytest.mark.parametrize(("waited_s", "counted_s"), [(2.0, 2.0), (0.0, 0.0), (-500.0, 0.0), (4000.0, 0.0), (None, 0.0)])
def test_when_a_message_came(waited_s: float | None, counted_s: float) -> None:
    """Not where the middleware is silent, or the clock was set."""
    before = time.monotonic()
    info = {} if waited_s is None else {"received_timestamp": time.time_ns() - round(waited_s * 1e9)}
    came = arrival(info)
    after = time.monotonic()
    # Delayed between its two clocks, it takes a message for older by as much, but never for newer.
    assert before - counted_s - (after - before) - 0.01 <= came <= after - counted_s + 0.01


def test_what_came_before_a_stop_ends_though_it_is_taken_up_later(room: Room) -> None:
    room.dispatcher.on_stop(arrived=100.0)
    room.dispatcher.on_text("before", 99.0)
    room.dispatcher.on_command(Command(text="at once"), 100.0)
    room.dispatcher.on_stop(arrived=50.0)  # an older one that was held up takes nothing back
    room.dispatcher.on_text("between", 75.0)
    room.dispatcher.on_text("Stop!", 110.0)
    room.dispatcher.on_text("after the first", 105.0)
    room.dispatcher.on_text("after", 111.0)
    errors = room.errors(6)
    assert errors.pop("after") is type(None)
    assert set(errors) == {"before", "at once", "between", "Stop!", "after the first"}
    assert set(errors.values()) == {Preempted}
    texts = {text: str(error) for text, _, error in room.outcomes}
    assert texts["before"] == "stopped: a stop came after this command"


def test_stop_in_words_ends_all_and_itself(room: Room) -> None:
    hold = Hold()
    room.work = hold
    room.dispatcher.on_text("the mug")
    assert hold.started.wait(60.0)
    room.dispatcher.on_text("Stop!")
    assert room.errors(2) == {"the mug": Preempted, "Stop!": Preempted} and ("forget",) in room.log
    texts = {text: str(error) for text, _, error in room.outcomes}
    assert texts["the mug"] == "stopped: the command was 'Stop!'"
    assert texts["Stop!"] == "stopped: 'Stop!' ends every command and names no target"


def test_a_goal_gets_its_feedback_its_result_and_its_end(room: Room) -> None:
    masks = TargetMaskArray(command_id="x")

    def work(request: Any, job: Any) -> str:
        request.feedback(Stage.REASONING, "I see\0")
        time.sleep(0.02)
        request.feedback(Stage.SEGMENTING, "")
        return "value"

    def outcome(request: Any, value: Any, error: Any) -> Outcome:
        return Outcome(Answer(command_id=request.command_id, error_code=0, error_msg=""), masks=masks)

    room.work, room.outcome_of = work, outcome
    handle = goal(room, key=171, session_id="s", image_stamp=Time(sec=1), max_targets=3)
    room.wait()
    assert [entry[0] for entry in handle.feedback] == ["QUEUED", "REASONING", "SEGMENTING"]
    assert [entry[1].strip() for entry in handle.feedback] == ["", "I see", ""], "no control characters go out"
    times = [entry[2] for entry in handle.feedback]
    assert 0 <= times[0] <= times[1] <= times[2] - 0.02 < 60
    ((result, succeeded, canceled),) = handle.ends
    assert succeeded and not canceled and handle.begun == 1
    assert result.answer.command_id == "ab" * 16 and result.masks == masks and result.error_code == 0
    assert room.requests[0].max_targets == 3 and room.requests[0].session_id == "s"
    assert room.jobs[0].timeout_s == 30.0 and not room.dispatcher._goals


@pytest.mark.parametrize("want, code, succeeded", [(True, 5, False), (False, 5, True), (True, 0, True)])
def test_a_goal_that_wants_geometry_fails_without(room: Room, want: bool, code: int, succeeded: bool) -> None:
    room.outcome_of = lambda *_: Outcome(Answer(error_code=code, error_msg="no depth" if code else ""))
    handle = goal(room, want_geometry=want)
    room.wait()
    result, ended, _ = handle.ends[0]
    assert (result.error_code, result.error_msg, ended) == (code, "no depth" if code else "", succeeded)
    assert result.masks == TargetMaskArray()


def test_a_goal_that_fails(room: Room) -> None:
    def work(request: Any, job: Any) -> Any:
        raise NoImage("no image has come")

    room.work = work
    handle = goal(room)
    room.wait()
    result, succeeded, canceled = handle.ends[0]
    assert (result.error_code, result.error_msg) == (ErrorCode.NO_IMAGE, "no image has come")
    assert not succeeded and not canceled


def test_a_goal_is_canceled_by_its_client_and_no_other(room: Room) -> None:
    hold = Hold()
    room.work = hold
    first, second = goal(room, 1), goal(room, 2, text="the fork")
    assert hold.started.wait(60.0)
    room.dispatcher.on_cancel(Handle(9))  # of nobody
    room.dispatcher.on_cancel(first)
    wait_until(lambda: bool(first.ends))
    assert first.ends[0][1:] == (False, True) and "canceled by the client" in first.ends[0][0].error_msg
    assert not second.ends
    room.dispatcher.on_cancel(second)
    assert room.errors(2) == {"the mug": ClientCancel, "the fork": ClientCancel}
    room.dispatcher.on_cancel(first)  # it is over
    assert len(first.ends) == len(second.ends) == 1


@pytest.mark.parametrize("timeout, expected", [(Duration(sec=500, nanosec=500_000_000), 500.5), (Duration(), 30.0)])
def test_a_goal_may_bring_its_own_time(room: Room, timeout: Duration, expected: float) -> None:
    goal(room, timeout=timeout)
    room.wait()
    assert room.jobs[0].timeout_s == expected


def test_a_goal_with_a_negative_time_is_refused(room: Room) -> None:
    handle = goal(room, timeout=Duration(sec=-1))
    ((_, _, error),) = room.wait()
    assert isinstance(error, BadRequest) and "timeout: -1 s is negative" in str(error)
    assert not room.jobs and handle.ends[0][1:] == (False, False) and handle.feedback[0][0] == "QUEUED"


def test_settle_waits_for_answers_on_their_way(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dispatch.SETTLE_S == 2.0 and room.dispatcher.settle()
    monkeypatch.setattr(dispatch, "SETTLE_S", 0.01)
    hold = Hold()
    room.work = hold
    room.dispatcher.on_text("the mug")
    assert not room.dispatcher.settle()
    monkeypatch.setattr(dispatch, "SETTLE_S", 60.0)
    threading.Timer(0.05, hold.released.set).start()
    assert room.dispatcher.settle() and len(room.outcomes) == 1 and room.log[-1][0] == "note"


def test_a_command_whose_answer_cannot_be_sent_is_closed_and_its_goal_ended(room: Room) -> None:
    def publish(outcome: Outcome, *, masks: bool) -> None:
        raise RuntimeError("no publisher")

    room.publish = publish  # type: ignore[method-assign]
    handle = goal(room)
    room.wait()
    assert len(handle.ends) == 1


def target(area_px: int) -> TargetMask:
    return TargetMask(area_px=area_px)


@pytest.mark.parametrize(
    "area_px, problem, code, text",
    [
        (9, None, ErrorCode.NONE, ""),
        (0, None, ErrorCode.EMPTY_MASK, "no pixel could be given to this prompt"),
        (9, "no depth image", ErrorCode.NO_DEPTH, "no depth image"),
        (0, "no depth image", ErrorCode.EMPTY_MASK, "no pixel"),
    ],
)
def test_a_prompt_is_answered_with_its_mask(room: Room, area_px: int, problem: Any, code: ErrorCode, text: str) -> None:
    header = Header(frame_id="camera")
    room.work = lambda request, job: (target(area_px), header, SimpleNamespace(problem=problem))
    response = room.dispatcher.on_prompt(SegmentAtPrompt.Request(), SegmentAtPrompt.Response())
    assert (response.target.area_px, response.header.frame_id, response.error_code) == (area_px, "camera", code)
    assert text in response.error_msg and bool(text) == bool(response.error_msg)
    assert room.jobs[0].timeout_s == 30.0


def test_a_prompt_that_fails_is_answered_too(room: Room) -> None:
    def work(request: Any, job: Any) -> Any:
        raise BadRequest("box: too small")

    room.work = work
    response = room.dispatcher.on_prompt(SegmentAtPrompt.Request(), SegmentAtPrompt.Response())
    assert (response.error_code, response.error_msg) == (ErrorCode.BAD_REQUEST, "box: too small")
    room.work = lambda request, job: "what is no mask"
    response = room.dispatcher.on_prompt(SegmentAtPrompt.Request(), SegmentAtPrompt.Response())
    assert response.error_code == ErrorCode.UNKNOWN and "ValueError" in response.error_msg
    room.state = "inactive"
    response = room.dispatcher.on_prompt(SegmentAtPrompt.Request(), SegmentAtPrompt.Response())
    assert response.error_code == ErrorCode.MODEL_NOT_READY


def test_a_prompt_that_takes_too_long_is_answered(room: Room) -> None:
    hold = Hold()
    room.work, room.limits = hold, Limits(5, 0.05, Policy.QUEUE, 8, 1.0, 1.0, 10, False)
    response = room.dispatcher.on_prompt(SegmentAtPrompt.Request(), SegmentAtPrompt.Response())
    assert response.error_code == CommandTimeout("").code and "0.05 s" in response.error_msg
