# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Faults of those who ask and listen: they cancel, come in pairs, and die."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import clients
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from faults import fault
from geometry_msgs.msg import Point32
from images import changed
from rclpy.action.server import GoalEvent, ServerGoalHandle
from rclpy.task import Future
from rgbd_camera import SETTINGS, Rgbd
from ros_harness import picture, wait_until
from scripted_pipeline import Gate, ScriptedPipeline
from sensor_msgs.msg import RegionOfInterest

from llavaseg_ros.action import Segment
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.msg import Command
from llavaseg_ros.ros.actions import DeferredActionServer, ThreadedActionClient
from llavaseg_ros.srv import SegmentAtPrompt


def slow(**fields: Any) -> ScriptedPipeline:
    """Reasons for minutes, a token every 5 ms."""
    return ScriptedPipeline(tokens=30_000, token_s=0.005, **fields)


def cancelled(stack: Any, handle: Any) -> None:
    """The goal ends as canceled, with PREEMPTED, and no target."""
    done = stack.result(handle)
    assert done.status == GoalStatus.STATUS_CANCELED and done.result.error_code == ErrorCode.PREEMPTED
    assert not done.result.masks.targets and not done.result.answer.found


def cancel_fault(stage: str, node: str) -> Any:
    planner = "the goal CANCELED, PREEMPTED on ~/answer, no mask of it"
    return pytest.param(
        stage, id=stage, marks=fault(f"cancel while {stage}", group="Clients", node=node, planner=planner)
    )


@pytest.mark.parametrize(
    "stage",
    [
        cancel_fault("QUEUED", "takes the goal out of the line; the running one goes on"),
        cancel_fault("ENCODING", "encodes to the end, and throws the result away"),
        cancel_fault("REASONING", "stops at the next token"),
        cancel_fault("SEGMENTING", "segments to the end, and throws the mask away"),
        cancel_fault("LIFTING", "does not wait for depth any longer, and throws the mask away"),
    ],
)
def test_cancel(make_stack: Any, stage: str) -> None:
    gate = Gate()
    pipelines = {
        "QUEUED": slow(),
        "ENCODING": ScriptedPipeline(on_image=gate),
        "REASONING": slow(),
        "SEGMENTING": ScriptedPipeline(on_segment=gate),
        "LIFTING": ScriptedPipeline(),
    }
    stack = make_stack(pipelines[stage], queue__policy="queue", **SETTINGS)
    lifter, limits = stack.node.lifter, stack.node.lifter._limits
    if stage == "LIFTING":
        rgbd = Rgbd(stack)
        rgbd.calibrate()
        rgbd.frame(late_s=-5.0)
        # The depth of this moment may still come: it is waited for, here longer than the test would last.
        lifter._limits = lambda: replace(limits(), slop_s=3600.0)
    else:
        stack.send_image()
    states: list[str] = []
    first = stack.send_goal("take the mug", lambda feedback: states.append(feedback.state))
    handle = first
    if stage == "QUEUED":
        assert stack.pipeline.started.wait(60)
        handle = stack.send_goal("take the plate")
    elif stage in ("ENCODING", "SEGMENTING"):
        assert gate.reached.wait(60)
    else:
        wait_until(lambda: stage in states, what=f"the feedback {stage}")
    assert len(stack.resolve(handle.cancel_goal_async()).goals_canceling) == 1
    gate.open.set()
    cancelled(stack, handle)
    if stage == "QUEUED":
        assert stack.node.worker.busy
        stack.resolve(first.cancel_goal_async())
        cancelled(stack, first)
    assert not stack.masks.messages
    stack.pipeline.tokens, stack.pipeline.on_segment, stack.pipeline.on_image = 1, None, None
    if stage == "LIFTING":
        lifter._limits = limits
        rgbd.frame()
    else:
        stack.send_image()
    assert stack.do("take the mug").result.answer.found


@fault(
    "cancel twice, and cancel after the end",
    group="Clients",
    node="takes the first; answers the others",
    planner="one final answer; a goal that has ended keeps its result",
)
def test_cancel_again(make_stack: Any) -> None:
    stack = make_stack(slow())
    stack.send_image()
    handle = stack.send_goal("take the mug")
    assert stack.pipeline.started.wait(60)
    for future in [handle.cancel_goal_async() for _ in range(5)]:
        stack.resolve(future)
    cancelled(stack, handle)
    assert not stack.resolve(handle.cancel_goal_async()).goals_canceling
    stack.pipeline.tokens = 1
    handle = stack.send_goal("take the mug")
    assert stack.result(handle).result.error_code == ErrorCode.NONE
    assert not stack.resolve(handle.cancel_goal_async()).goals_canceling
    assert stack.result(handle).status == GoalStatus.STATUS_SUCCEEDED


@fault(
    "cancel at once, before the node has taken up the goal that it accepted",
    group="Clients",
    node="takes the goal up, and out again: goals and cancels are taken one at a time, in the order of their coming",
    planner="the goal CANCELED, PREEMPTED on ~/answer, no mask of it",
)
@pytest.mark.parametrize("policy", ["queue", "replace"])
def test_cancel_before_its_goal_is_taken_up(make_stack: Any, monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    stack = make_stack(slow(), queue__policy=policy)
    stack.send_image()
    first = stack.send_goal("take the cup") if policy == "queue" else None
    if first is not None:
        assert stack.pipeline.started.wait(60)
    dispatcher = stack.node._dispatcher
    take_up = dispatcher.on_goal

    def late(server: Any, handle: Any, arrived: float) -> None:
        time.sleep(0.5)  # rclpy has told the client already
        take_up(server, handle, arrived)

    monkeypatch.setattr(dispatcher, "on_goal", late)
    handle = stack.send_goal("take the mug")
    assert len(stack.resolve(handle.cancel_goal_async()).goals_canceling) == 1
    cancelled(stack, handle)
    if first is not None:
        assert stack.node.worker.busy
        stack.resolve(first.cancel_goal_async())
        cancelled(stack, first)
    assert not stack.masks.messages


@fault(
    "a goal that comes right behind another one",
    group="Clients",
    node="takes them up one after the other, on however many threads it runs",
    planner="the newer one wins under `replace`",
)
def test_goals_are_taken_up_in_the_order_of_their_coming(make_stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = make_stack(ScriptedPipeline(tokens=1))
    stack.send_image()
    dispatcher, both = stack.node._dispatcher, threading.Event()
    take_up, taken = dispatcher.on_goal, []

    def slowly(server: Any, handle: Any, arrived: float) -> None:
        if handle.request.text == "take the cup":
            both.wait(1.0)
        take_up(server, handle, arrived)
        taken.append(handle.request.text)
        both.set()

    monkeypatch.setattr(dispatcher, "on_goal", slowly)
    older = stack.send_goal("take the cup")
    newer = stack.send_goal("take the mug")
    assert stack.result(newer).result.error_code == ErrorCode.NONE
    assert taken == ["take the cup", "take the mug"]
    stack.result(older)


@fault(
    "a cancel that was accepted, on a machine that stands still before the goal's state has changed",
    group="Clients",
    node="waits for it",
    planner="CANCELED, not ABORTED",
)
def test_cancel_on_a_machine_that_stands_still(make_stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = make_stack(slow())
    stack.send_image()
    update = ServerGoalHandle._update_state

    def late(handle: Any, event: Any) -> None:
        time.sleep(1.0 if event == GoalEvent.CANCEL_GOAL else 0.0)
        update(handle, event)

    monkeypatch.setattr(ServerGoalHandle, "_update_state", late)
    handle = stack.send_goal("take the mug")
    assert stack.pipeline.started.wait(60)
    assert stack.resolve(handle.cancel_goal_async()).goals_canceling
    cancelled(stack, handle)


def test_a_receipt_that_comes_while_the_goal_is_being_sent(make_stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With rclpy's own client the goal's future never completes: it is made a second time after the goal went out."""
    stack = make_stack(ScriptedPipeline(tokens=1))
    stack.send_image()
    made: list[Any] = []

    def future() -> Any:
        if made and not made[-1].done():
            end = time.monotonic() + 1.0
            while not made[-1].done() and time.monotonic() < end:
                time.sleep(0.01)
        made.append(Future())
        return made[-1]

    client: Any = ThreadedActionClient(stack.client, Segment, "llavaseg/segment")
    assert client.wait_for_server(60.0)
    monkeypatch.setattr("rclpy.action.client.Future", future)
    sent = client.send_goal_async(Segment.Goal(text="take the mug"))
    monkeypatch.undo()
    assert len(made) == 2 and sent is made[-1]
    assert stack.result(stack.resolve(sent)).result.error_code == ErrorCode.NONE
    client.destroy()


@pytest.mark.parametrize("canceled", [True, False])
def test_a_cancel_between_a_look_and_a_step(canceled: bool) -> None:
    def execute() -> None:
        raise RuntimeError("goal_handle attempted invalid transition from state CANCELING with event EXECUTE")

    handle: Any = SimpleNamespace(
        status=GoalStatus.STATUS_ACCEPTED, is_cancel_requested=canceled, execute=execute
    )
    with contextlib.nullcontext() if canceled else pytest.raises(RuntimeError):
        DeferredActionServer.begin(handle)


@fault(
    "a client is killed in the middle of its goal",
    group="Clients",
    node="does the goal to its end; others are served",
    planner="the answer and the masks of the goal, as if the client were there",
)
def test_client_is_killed(make_stack: Any) -> None:
    gate = Gate()
    stack = make_stack(ScriptedPipeline(on_segment=gate), queue__policy="queue")
    stack.send_image()
    process = clients.start(stack.namespace, stack.context.get_domain_id(), "goal")
    assert gate.reached.wait(60)
    process.kill()
    process.wait()
    gate.open.set()
    answer = wait_until(lambda: stack.observer.finals("take the mug"), what="the dead client's answer")[0]
    assert answer.found
    assert stack.do("take the plate").result.error_code == ErrorCode.NONE


@fault(
    "a subscriber is killed while large masks come",
    group="Clients",
    node="drops it from its lists; goes on publishing",
    planner="everything, in its time",
)
def test_subscriber_is_killed(make_stack: Any) -> None:
    stack = make_stack(follow__enabled=True)
    stack.send_image(picture(720, 1280))
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    process = clients.start(stack.namespace, stack.context.get_domain_id(), "masks")
    for number in range(8):
        image = stack.send_image(picture(720, 1280, (number, 8, 20, 12)))
        if number == 3:
            process.kill()
            process.wait()
    wait_until(lambda: stack.observer.last_mask.header == image.header, what="the mask of the last frame")
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


@fault(
    "two clients at once, by action and by topic",
    group="Clients",
    node="gives each command its turn, under `queue` in order",
    planner="one answer a command, with its id; masks of each with the id of its command",
)
def test_two_clients(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=2, token_s=0.002), queue__policy="queue", queue__depth=100)
    stack.send_image()
    handles = []
    for number in range(15):
        stack.send_command(f"topic {number}")
        handles.append(stack.send_goal(f"action {number}"))
    for number, handle in enumerate(handles):
        result = stack.result(handle).result
        assert result.error_code == ErrorCode.NONE and result.answer.command == f"action {number}"
        assert result.masks.command_id == result.answer.command_id == bytes(handle.goal_id.uuid).hex()
    wait_until(lambda: len(stack.observer.finals()) == 30, what="30 answers")
    assert all(answer.found for answer in stack.observer.finals())


@fault(
    "commands flood while a target is followed",
    group="Clients",
    node="serves commands first, and frames in between; follows what was found last",
    planner="no mask of an older command after those of a newer one",
)
def test_flood_while_following(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=1, follow_s=0.001), follow__enabled=True)
    stack.send_image()
    publisher = stack.publisher(Command, "command")
    for number in range(150):
        text = "take the banana" if number % 7 == 3 else "how many?" if number % 7 == 5 else f"take mug {number}"
        publisher.publish(Command(text=text))
        if number % 3 == 0:
            stack.publish_image(changed(stack.header()))
    wait_until(lambda: len(stack.observer.finals()) == 150, what="150 answers")
    last = stack.do("take the mug").result
    assert last.error_code == ErrorCode.NONE
    image = stack.send_image()
    followed = wait_until(lambda: [m for m in stack.masks.messages if m.header == image.header], what="a followed mask")
    assert followed[-1].command_id == last.answer.command_id
    # One that finds nothing takes the target's place, too: the observer would see the old one come back.
    assert stack.do("take the banana").result.error_code == ErrorCode.NOT_FOUND
    image = stack.send_image()
    assert stack.do("how many?").result.answer.header == image.header
    assert stack.node.following.state == "idle"


@fault(
    "`segment_at_prompt` with points of NaN, outside of the image, without end, or labels that do not fit",
    group="Clients",
    node="refuses the request; the frame that is encoded stays",
    planner="nothing: prompts are answered to their client alone, with BAD_REQUEST",
)
def test_bad_prompts(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image()
    client = stack.client.create_client(SegmentAtPrompt, "llavaseg/segment_at_prompt")
    assert client.wait_for_service(60.0)
    inside = Point32(x=20.0, y=12.0)
    for fields in (
        {},
        {"points": [Point32(x=math.nan, y=1.0)]},
        {"points": [Point32(x=1.0, y=math.inf)]},
        {"points": [Point32(x=-1.0, y=5.0)]},
        {"points": [Point32(x=64.0, y=5.0)]},
        {"points": [Point32(x=1e30, y=5.0)]},
        {"points": [inside] * 5000},
        {"points": [inside], "labels": [1, 0]},
        {"points": [inside], "labels": [7]},
        {"labels": [1]},
        {"box": RegionOfInterest(width=5)},
        {"box": RegionOfInterest(x_offset=60, y_offset=40, width=10, height=10)},
        {"box": RegionOfInterest(x_offset=2**32 - 1, y_offset=2**32 - 1, width=2**32 - 1, height=2**32 - 1)},
    ):
        answer = stack.resolve(client.call_async(SegmentAtPrompt.Request(**fields)))
        assert answer.error_code == ErrorCode.BAD_REQUEST and answer.error_msg, fields
    answer = stack.resolve(client.call_async(SegmentAtPrompt.Request(points=[inside])))
    assert answer.error_code == ErrorCode.NONE and answer.target.area_px


@fault(
    "a goal with fields that make no sense (time-out negative or endless, 2^32 targets, a broken image of its own)",
    group="Clients",
    node="refuses what it cannot do, and does the rest",
    planner="BAD_REQUEST with the field's name; the camera's masks are not touched",
)
def test_goals_that_make_no_sense(make_stack: Any) -> None:
    stack = make_stack()
    image = stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    broken = changed(stack.header(), data=np.zeros(5, np.uint8).tobytes())
    for fields, words in (
        ({"timeout": Duration(sec=-3)}, "timeout"),
        ({"use_image": True}, "encoding ''"),
        ({"use_image": True, "image": broken}, "bytes of data"),
    ):
        result = stack.do("take the mug", **fields).result
        assert result.error_code == ErrorCode.BAD_REQUEST and words in result.error_msg, result.error_msg
        wait_until(lambda wanted=result.answer: wanted in stack.observer.answers, what="the answer")
        assert stack.observer.last_mask.header == image.header
    for fields in ({"timeout": Duration(sec=2**31 - 1)}, {"max_targets": 2**32 - 1}):
        assert stack.do("take the mug", **fields).result.error_code == ErrorCode.NONE


@fault(
    "two answers within a millisecond, before a busy subscriber has the first",
    group="Clients",
    node="waits for the acknowledgement of the first, at most 0.1 s, and not again for 5 s after one that did not come",
    planner="both answers, though the topic keeps one",
)
def test_answers_in_quick_succession(make_stack: Any) -> None:
    stack = make_stack()
    publisher = stack.node._outputs._publishers["answer"]
    asked: list[float] = []

    def acknowledged(timeout: Any) -> bool:
        """A subscriber that hangs."""
        asked.append(timeout.nanoseconds / 1e9)
        return False

    real = publisher.wait_for_all_acked
    order: list[str] = []
    publisher.wait_for_all_acked = lambda timeout: (order.append("waited"), real(timeout))[1]
    sent = publisher.publish
    publisher.publish = lambda msg: (order.append("sent"), sent(msg))[1]
    for _ in range(2):
        stack.ask("")
    # Asked again and again until they have it; never with a wait of rclpy's, which would stop every thread.
    assert [what for k, what in enumerate(order) if what != order[k - 1] or k == 0] == ["waited", "sent"] * 2
    publisher.wait_for_all_acked = acknowledged
    waits = []
    for _ in range(20):
        before = len(asked)
        stack.ask("")
        waits.append(len(asked) > before)
    assert waits[0] and not all(waits) and set(asked) == {0.0}
