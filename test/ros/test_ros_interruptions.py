# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Cancel, preemption, time-outs, failures: how a command ends when it does not run to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import rclpy
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.node import Node
from ros_harness import wait_until
from scripted_pipeline import Gate, ScriptedPipeline
from std_msgs.msg import Empty

from llavaseg_ros.action import Segment
from llavaseg_ros.errors import BadReply, ErrorCode
from llavaseg_ros.msg import Command
from llavaseg_ros.srv import ResetSession


def slow(**fields: Any) -> ScriptedPipeline:
    """Reasons for five minutes, a token every 10 ms."""
    return ScriptedPipeline(tokens=30_000, token_s=0.01, **fields)


def cancel(stack: Any, handle: Any) -> Any:
    return stack.resolve(handle.cancel_goal_async())


def test_cancel_while_reasoning(make_stack: Any, record_property: Any) -> None:
    stack = make_stack(slow())
    stack.send_image()
    handle = stack.send_goal("take the mug")
    assert stack.pipeline.started.wait(60.0)
    before = time.monotonic()
    response = cancel(stack, handle)
    assert len(response.goals_canceling) == 1
    done = stack.result(handle)
    record_property("cancel_ms", 1000 * (time.monotonic() - before))
    assert done.status == GoalStatus.STATUS_CANCELED and done.result.error_code == ErrorCode.PREEMPTED
    assert stack.pipeline.cancelled == 1
    assert [answer.error_code for answer in stack.answers.wait()] == [ErrorCode.PREEMPTED]
    stack.pipeline.tokens = 1
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


def test_cancel_while_waiting_in_line(make_stack: Any) -> None:
    stack = make_stack(slow(), queue__policy="queue")
    stack.send_image()
    first = stack.send_goal("first")
    assert stack.pipeline.started.wait(60.0)
    second = stack.send_goal("second")
    cancel(stack, second)
    done = stack.result(second)
    assert done.status == GoalStatus.STATUS_CANCELED and done.result.error_code == ErrorCode.PREEMPTED
    assert stack.pipeline.commands == ["first"]
    cancel(stack, first)
    assert stack.result(first).status == GoalStatus.STATUS_CANCELED


def test_cancel_while_waiting_for_an_image(make_stack: Any) -> None:
    stack = make_stack(sync__wait_for_image_s=30.0)
    handle = stack.send_goal("take the mug")
    wait_until(lambda: stack.node.worker.busy)
    cancel(stack, handle)
    assert stack.result(handle).status == GoalStatus.STATUS_CANCELED


def test_newer_command_replaces_the_running_one(make_stack: Any) -> None:
    stack = make_stack(slow())
    stack.send_image()
    old = stack.send_goal("old")
    assert stack.pipeline.started.wait(60.0)
    stack.pipeline.tokens = 1
    answer = stack.resolve(stack.send_goal("new").get_result_async()).result
    done = stack.result(old)
    assert answer.error_code == ErrorCode.NONE
    assert done.status == GoalStatus.STATUS_ABORTED and done.result.error_code == ErrorCode.PREEMPTED
    codes = {a.command: a.error_code for a in stack.answers.wait(2)}
    assert codes == {"old": ErrorCode.PREEMPTED, "new": ErrorCode.NONE}


def test_topic_command_replaces_a_goal(make_stack: Any) -> None:
    stack = make_stack(slow())
    stack.send_image()
    old = stack.send_goal("old")
    assert stack.pipeline.started.wait(60.0)
    stack.pipeline.tokens = 1
    stack.send_command("new")
    assert stack.result(old).result.error_code == ErrorCode.PREEMPTED
    wait_until(lambda: any(a.command == "new" and a.found for a in stack.final_answers()))


def test_bad_command_replaces_nothing(make_stack: Any) -> None:
    gate = Gate()
    stack = make_stack(ScriptedPipeline(on_segment=gate))
    stack.send_image()
    old = stack.send_goal("old")
    assert gate.reached.wait(60.0)
    assert stack.ask("").error_code == ErrorCode.BAD_REQUEST
    gate.open.set()
    assert stack.result(old).result.error_code == ErrorCode.NONE


def test_busy_node_rejects(make_stack: Any) -> None:
    stack = make_stack(slow(), queue__policy="reject")
    stack.send_image()
    first = stack.send_goal("first")
    assert stack.pipeline.started.wait(60.0)
    done = stack.do("second")
    assert done.status == GoalStatus.STATUS_ABORTED and done.result.error_code == ErrorCode.MODEL_NOT_READY
    assert "queue.policy" in done.result.error_msg
    cancel(stack, first)
    assert stack.result(first).status == GoalStatus.STATUS_CANCELED


def test_full_queue(make_stack: Any) -> None:
    stack = make_stack(slow(), queue__policy="queue", queue__depth=2)
    stack.send_image()
    running = stack.send_goal("running")
    assert stack.pipeline.started.wait(60.0)
    waiting = [stack.send_goal(f"waiting {number}") for number in range(2)]
    result = stack.do("one too many").result
    assert result.error_code == ErrorCode.MODEL_NOT_READY and "queue.depth" in result.error_msg
    stack.pipeline.tokens = 1
    cancel(stack, running)
    assert [stack.result(handle).result.error_code for handle in waiting] == [ErrorCode.NONE] * 2


@pytest.mark.parametrize("policy", ["replace", "reject", "queue"])
def test_flood_of_commands(make_stack: Any, policy: str) -> None:
    """Each command ends once, and the node is as good as before. Counted at the worker: a latched topic of depth 1
    may lose answers on the way when hundreds come at once."""
    stack = make_stack(ScriptedPipeline(tokens=2, token_s=0.001), queue__policy=policy, queue__depth=10)
    stack.send_image()
    publisher = stack.client.create_publisher(Command, "command", 1000)
    wait_until(lambda: publisher.get_subscription_count() > 0)
    for number in range(200):
        publisher.publish(Command(text=f"command {number}"))
    wait_until(lambda: stack.node.monitor._commands >= 200, what="200 endings")
    time.sleep(0.1)
    assert stack.node.monitor._commands == 200
    stack.send_image()
    assert stack.do("the last").result.error_code == ErrorCode.NONE


def test_timeout_of_the_goal(make_stack: Any) -> None:
    stack = make_stack(slow())
    stack.send_image()
    handle = stack.send_goal("take the mug", timeout=Duration(sec=30))
    assert stack.pipeline.started.wait(60.0)
    stack.node.worker.running.created -= 100.0  # its time is over now that it has a frame, and not before
    done = stack.result(handle)
    assert done.status == GoalStatus.STATUS_ABORTED and done.result.error_code == ErrorCode.TIMEOUT
    assert "30 s" in done.result.error_msg
    # The command had a frame: whoever comes late must not take an earlier target for this command's.
    assert not stack.masks.wait()[-1].targets


def test_timeout_of_the_parameter(make_stack: Any) -> None:
    stack = make_stack(slow(), timeout_s=0.2)
    stack.send_image()
    assert stack.ask("take the mug").error_code == ErrorCode.TIMEOUT


def test_model_that_hangs(make_stack: Any) -> None:
    gate = Gate()
    stack = make_stack(ScriptedPipeline(on_segment=gate), timeout_s=600.0)
    stack.send_image()
    handle = stack.send_goal("hang", timeout=Duration(sec=30))
    assert gate.reached.wait(60.0)
    stack.node.worker.running.created -= 100.0
    assert stack.result(handle).result.error_code == ErrorCode.TIMEOUT
    gate.open.set()
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    wait_until(lambda: len(stack.final_answers()) == 2, what="both answers")
    assert [a.command for a in stack.final_answers()] == ["hang", "take the mug"]


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


# Made anew for each test: an exception keeps the frames that it went through, and so the node with its participant.
FAILURES: dict[str, tuple[Callable[[], BaseException], ErrorCode]] = {
    "exception": (lambda: ValueError("tensor of a strange shape"), ErrorCode.UNKNOWN),
    "no text": (RuntimeError, ErrorCode.UNKNOWN),
    "bad reply": (lambda: BadReply("could not read the reply", "target mug yes"), ErrorCode.BAD_REPLY),
    "memory": (MemoryError, ErrorCode.OUT_OF_MEMORY),
    "gpu memory": (lambda: OutOfMemoryError("CUDA out of memory"), ErrorCode.OUT_OF_MEMORY),
    "exit": (lambda: SystemExit(3), ErrorCode.UNKNOWN),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("where", ["segment", "set_image"])
def test_model_fails_and_the_node_lives(make_stack: Any, name: str, where: str) -> None:
    error, code = FAILURES[name]
    armed = threading.Event()
    armed.set()

    def fail(*_: Any) -> None:
        if armed.is_set():
            raise error()

    pipeline = ScriptedPipeline(on_segment=fail) if where == "segment" else ScriptedPipeline(on_image=fail)
    stack = make_stack(pipeline)
    stack.send_image()
    done = stack.do("take the mug")
    assert done.status == GoalStatus.STATUS_ABORTED and done.result.error_code == code
    assert done.result.error_msg
    if name == "exception":
        assert "tensor of a strange shape" in done.result.error_msg
    if name == "bad reply":
        assert "target mug yes" in done.result.error_msg
    armed.clear()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


def test_callbacks_are_served_while_the_model_is_busy(make_stack: Any) -> None:
    """The model holds its thread and does not poll; images, goals, cancels and services go on."""
    release = threading.Event()
    stack = make_stack(
        ScriptedPipeline(on_segment=lambda *_: None if release.wait(120.0) else None), queue__policy="queue"
    )
    stack.send_image()
    running = stack.send_goal("busy")
    wait_until(lambda: stack.pipeline.commands == ["busy"])
    count = stack.node.inputs.images.count
    for _ in range(5):
        stack.send_image()
    assert stack.node.inputs.images.count >= count + 5
    assert not stack.call(ResetSession, "llavaseg/reset_session", ResetSession.Request(session_id="x")).success
    assert stack.ask("").error_code == ErrorCode.BAD_REQUEST
    waiting = stack.send_goal("waits")
    assert len(cancel(stack, waiting).goals_canceling) == 1
    assert stack.result(waiting).status == GoalStatus.STATUS_CANCELED
    assert not release.is_set()
    release.set()
    assert stack.result(running).result.error_code == ErrorCode.NONE


def test_client_that_dies_in_the_middle(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=20, token_s=0.01))
    stack.send_image()
    context = Context()
    rclpy.init(context=context, domain_id=stack.context.get_domain_id(), args=[])
    other = Node("other", namespace=stack.namespace, context=context, use_global_arguments=False)
    client: Any = ActionClient(other, Segment, "llavaseg/segment")
    assert client.wait_for_server(60.0)
    client.send_goal_async(Segment.Goal(text="take the mug"))
    assert stack.pipeline.started.wait(60.0)
    client.destroy()
    other.destroy_node()
    rclpy.shutdown(context=context)
    wait_until(lambda: stack.final_answers())
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


@pytest.mark.parametrize("way", ["topic", "action"])
def test_a_message_on_stop_ends_every_command_at_once(make_stack: Any, way: str) -> None:
    pipeline = ScriptedPipeline(tokens=3000, token_s=0.01)
    stack = make_stack(pipeline, queue__policy="queue")
    stack.send_image()
    handle = None
    if way == "action":
        handle = stack.send_goal("take the mug")
    else:
        stack.send_command("take the mug")
    assert pipeline.started.wait(30)
    stack.send_command("take the plate")  # waits in line
    stack.ask("")  # refused at once: so the one before it is in line
    publisher = stack.client.create_publisher(Empty, "stop", 10)
    wait_until(lambda: publisher.get_subscription_count() > 0, what="the node's subscription of stop")
    publisher.publish(Empty())
    answers = wait_until(lambda: stack.final_answers() if len(stack.final_answers()) > 2 else None, what="the answers")
    assert [answer.error_code for answer in answers[1:]] == [ErrorCode.PREEMPTED] * 2
    assert all("stop" in answer.error_msg for answer in answers[1:])
    if handle is not None:
        assert stack.result(handle).result.error_code == ErrorCode.PREEMPTED
    wait_until(lambda: pipeline.cancelled, what="the model's poll")
    pipeline.tokens = 1
    assert stack.ask("take the mug").found


def test_a_message_on_stop_ends_the_following(make_stack: Any) -> None:
    stack = make_stack(follow__enabled=True)
    stack.send_image()
    assert stack.ask("take the mug").found
    wait_until(lambda: stack.node.following.state == "following", what="following")
    publisher = stack.client.create_publisher(Empty, "stop", 10)
    wait_until(lambda: publisher.get_subscription_count() > 0, what="the node's subscription of stop")
    publisher.publish(Empty())
    wait_until(lambda: stack.node.following.state == "idle", what="the end of the following")


def test_a_command_that_ends_while_stop_is_handled_is_not_followed(make_stack: Any) -> None:
    """It found its target, but was asked for before the stop."""
    stack = make_stack(follow__enabled=True)
    stack.send_image()
    following = stack.node.following
    forget = following.forget
    ended = threading.Event()
    command_ended = following.command_ended

    def late(*args: Any) -> None:
        ended.wait(30)
        command_ended(*args)

    following.command_ended = late
    stack.send_command("take the mug")
    assert stack.pipeline.started.wait(30)
    forget()
    ended.set()
    assert wait_until(stack.final_answers, what="the answer")[0].found
    assert following.state == "idle"


@pytest.mark.parametrize("way", ["topic", "action"])
def test_stop_in_words_is_no_target(make_stack: Any, way: str) -> None:
    stack = make_stack(slow(), queue__policy="queue")
    stack.send_image()
    stack.send_command("take the mug")
    assert stack.pipeline.started.wait(60)
    if way == "action":
        done = stack.do("No, stop!")
        assert done.result.error_code == ErrorCode.PREEMPTED and not done.result.masks.targets
    else:
        stack.send_command("No, stop!")
    answers = wait_until(lambda: stack.final_answers() if len(stack.final_answers()) == 2 else None, what="two answers")
    assert [answer.error_code for answer in answers] == [ErrorCode.PREEMPTED] * 2
    assert not any(answer.found for answer in answers) and not stack.masks.messages
    assert stack.pipeline.commands == ["take the mug"]
