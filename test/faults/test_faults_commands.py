# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Faults in what is asked: too much, too long, no words, about images that are not there."""

from __future__ import annotations

import resource
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from faults import fault
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from ros_harness import spin_in_thread, wait_until
from scripted_pipeline import ScriptedPipeline
from std_msgs.msg import Empty, String

from llavaseg_ros.action import Segment
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.msg import Command
from llavaseg_ros.ros.sessions import MAX_SESSIONS
from llavaseg_ros.srv import ResetSession

FLOOD = 1000


def flood(stack: Any, number: int = FLOOD) -> None:
    """So many commands, spread over a second, each in a session of its own."""
    publisher = stack.publisher(Command, "command")
    begun = time.monotonic()
    for count in range(number):
        publisher.publish(Command(text=f"take mug {count}", session_id=f"session {count}"))
        time.sleep(max(0.0, begun + count / number - time.monotonic()))


def answered(stack: Any, number: int = FLOOD) -> list[Any]:
    """So many final answers, once there. All of them may take minutes on a slow machine, not the next fifty."""
    for part in range(50, number + 1, 50):
        wait_until(lambda wanted=part: len(stack.observer.finals()) >= wanted, what=f"{part} of {number} answers")
    answers: list[Any] = stack.observer.finals()
    return answers


def resident_mib() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def flood_fault(policy: str, node: str, planner: str) -> Any:
    return pytest.param(
        policy,
        marks=fault(f"1,000 commands in a second under `{policy}`", group="Commands", node=node, planner=planner),
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "policy",
    [
        flood_fault(
            "replace",
            "ends each with the next; works on what is newest",
            "1,000 final answers, most of them PREEMPTED; the last command is served",
        ),
        flood_fault(
            "reject",
            "refuses what comes while one runs",
            "1,000 final answers, most of them MODEL_NOT_READY with the name of the policy",
        ),
        flood_fault(
            "queue",
            "lets `queue.depth` wait and refuses the rest; remembers the last 64 sessions",
            "1,000 final answers: NONE in order, MODEL_NOT_READY for those that found the queue full",
        ),
    ],
)
def test_flood(make_stack: Any, policy: str) -> None:
    stack = make_stack(ScriptedPipeline(tokens=2, token_s=0.002), queue__policy=policy, queue__depth=20)
    stack.send_image()
    before = resident_mib()
    flood(stack)
    # Not at its end: the node takes services and images while commands are still coming in.
    assert not stack.call(ResetSession, "llavaseg/reset_session", ResetSession.Request(session_id="x")).success
    stack.send_image()
    codes = {answer.error_code for answer in answered(stack)}
    refusal = ErrorCode.PREEMPTED if policy == "replace" else ErrorCode.MODEL_NOT_READY
    assert codes == {ErrorCode.NONE, refusal}
    assert stack.node.worker.queue_length == 0 and len(stack.node.sessions) <= MAX_SESSIONS
    assert resident_mib() - before < 100
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


@fault(
    "200 goals at once by the action",
    group="Commands",
    node="takes each, also when more wait than a service keeps by default (10)",
    planner="200 results and final answers; the goals' status lists them all, so that it takes longer than by topic",
)
def test_flood_of_goals(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=2, token_s=0.002), queue__policy="reject")
    stack.send_image()
    # The responses wait at the client: by default 10 of them, and the others would be lost there.
    deep = QoSProfile(depth=2 * FLOOD)
    node = Node("many", namespace=stack.namespace, context=stack.context, use_global_arguments=False)
    client: Any = ActionClient(
        node, Segment, "llavaseg/segment", goal_service_qos_profile=deep, result_service_qos_profile=deep
    )
    executor = SingleThreadedExecutor(context=stack.context)
    executor.add_node(node)
    spinner = spin_in_thread(executor)
    try:
        assert client.wait_for_server(60.0)
        sent = [client.send_goal_async(Segment.Goal(text=f"take mug {number}")) for number in range(200)]
        wait_until(lambda: all(future.done() for future in sent), what="200 goals to be accepted")
        results = [future.result().get_result_async() for future in sent]
        wait_until(lambda: all(future.done() for future in results), what="200 results")
    finally:
        executor.shutdown(timeout_sec=10.0)
        spinner.join(10.0)
        client.destroy()
        node.destroy_node()
    codes = {future.result().result.error_code for future in results}
    assert codes == {ErrorCode.NONE, ErrorCode.MODEL_NOT_READY}
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


@fault(
    "the next command in the moment of an answer, under `reject`",
    group="Commands",
    node="takes it: a command that has its answer keeps nobody out, though its overlay is still being drawn",
    planner="NONE for both",
)
def test_next_command_at_the_answer(make_stack: Any) -> None:
    drawing, go_on = threading.Event(), threading.Event()

    def draw(*_: Any) -> None:
        drawing.set()
        assert go_on.wait(60)

    stack = make_stack(ScriptedPipeline(tokens=1), queue__policy="reject")
    stack.node._outputs.publish_overlay = draw
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    handle = stack.send_goal("take the mug")
    assert drawing.wait(60)
    wait_until(lambda: stack.node.worker.queue_length or len(stack.observer.finals()) > 1, what="the next to come")
    go_on.set()
    assert stack.result(handle).result.error_code == ErrorCode.NONE


@fault(
    "a stop behind 200 commands, most of which the node has not taken up yet",
    group="Commands",
    node="ends what it has, and what came before the stop once it takes it up",
    planner="PREEMPTED for all of them; a command after the stop is served",
)
def test_stop_behind_a_flood(make_stack: Any) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(*_: Any) -> None:
        reached.set()
        assert go_on.wait(120)

    def late(*arguments: Any) -> None:
        """The node is busy: it takes up some of them before the stop, and most behind it."""
        time.sleep(0.005)
        submit(*arguments)

    stack = make_stack(ScriptedPipeline(on_image=hold), queue__policy="queue", queue__depth=1000)
    submit = stack.node.worker.submit
    stack.send_image()
    commands, stops = stack.publisher(Command, "command"), stack.publisher(Empty, "stop", subscribers=1)
    commands.publish(Command(text="take mug 0"))
    assert reached.wait(60)
    stack.node.worker.submit = late
    for number in range(1, 200):
        commands.publish(Command(text=f"take mug {number}"))
    stops.publish(Empty())
    answers = answered(stack, 200)
    go_on.set()
    stack.pipeline.on_image = None
    assert {answer.error_code for answer in answers} == {ErrorCode.PREEMPTED}
    wait_until(lambda: len(stack.final_answers()) == 200, what="the answers at the client, too")
    assert stack.ask("take the mug").error_code == ErrorCode.NONE
    # The one that ran had to come out of the model's hands.
    assert set(stack.pipeline.commands) <= {"take mug 0", "take the mug"}


@fault(
    "a flood of stops",
    group="Commands",
    node="ends the command at the first; the others find nothing to end",
    planner="PREEMPTED, once; the next command is served",
)
def test_flood_of_stops(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=30_000, token_s=0.005), follow__enabled=True)
    stack.send_image()
    handle = stack.send_goal("take the mug")
    assert stack.pipeline.started.wait(60)
    publisher = stack.publisher(Empty, "stop", subscribers=1)
    for _ in range(500):
        publisher.publish(Empty())
    assert stack.result(handle).result.error_code == ErrorCode.PREEMPTED
    assert publisher.wait_for_all_acked()
    stack.pipeline.tokens = 1

    def served() -> bool:
        """A stop that is still on its way takes a command with it."""
        return stack.do("take the mug").result.error_code == ErrorCode.NONE

    wait_until(served, what="a command that is served")


TEXTS = {
    "empty": "",
    "blank": " \t\n ",
    "too long": "take the mug " * 200,
    "megabytes": "x" * 5_000_000,
    "controls": "take\x07the\x1b[2Jmug",
    "replaced": "take \ufffd mug",
    "no word": "?!…—",
}


@fault(
    "a text that is no command: empty, without words, with control characters, of megabytes",
    group="Commands",
    node="refuses it before it takes anybody's place; repeats at most 2,000 characters of it",
    planner="BAD_REQUEST; a command that runs goes on",
)
def test_texts_that_are_no_command(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=100_000, token_s=0.002))
    stack.send_image()
    running = stack.send_goal("take the mug")
    assert stack.pipeline.started.wait(60)
    for name, text in TEXTS.items():
        for topic, message in (("command", Command(text=text)), ("command_text", String(data=text))):
            before = len(stack.observer.finals())
            stack.publisher(type(message), topic).publish(message)
            answer = wait_until(lambda n=before: stack.observer.finals()[n:], what=f"the answer to {name}")[0]
            assert answer.error_code == ErrorCode.BAD_REQUEST and len(answer.command) <= 2000, name
        assert stack.do(text).result.error_code == ErrorCode.BAD_REQUEST
    assert stack.node.worker.busy
    stack.pipeline.tokens = 1
    stack.resolve(running.cancel_goal_async())
    assert stack.result(running).result.error_code == ErrorCode.PREEMPTED
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


@fault(
    "a command whose bytes are no text (NUL, broken UTF-8), or no message",
    group="Commands",
    node="refuses it, or never sees it; its executor lives on",
    planner="BAD_REQUEST, or nothing for what is no message at all",
)
def test_bytes_that_are_no_text(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image()
    publisher = stack.publisher(String, "command_text")
    for payload in (b"take \xff\xfe mug\0", b"\xc3\x28\0", b"\xed\xa0\x80\0"):
        before = len(stack.observer.finals())
        publisher.publish(b"\0\1\0\0" + struct.pack("<I", len(payload)) + payload)
        answer = wait_until(lambda n=before: stack.observer.finals()[n:], what=f"the answer to {payload!r}")[0]
        assert answer.error_code == ErrorCode.BAD_REQUEST
    whole = serialize_message(String(data="take the mug"))
    for broken in (whole[:6], whole[:3], b"", b"\0\1\0\0" + struct.pack("<I", 2**31) + b"take"):
        publisher.publish(broken)
    assert publisher.wait_for_all_acked()
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE
    assert stack.ask("take the mug").error_code == ErrorCode.NONE


@fault(
    "a session's name of megabytes, or with control characters",
    group="Commands",
    node="refuses names longer than 256 characters, so that nobody fills its memory with them",
    planner="BAD_REQUEST with the length",
)
def test_long_session_names(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image()
    answer = stack.ask("take the mug", session_id="s" * 1_000_000)
    assert answer.error_code == ErrorCode.BAD_REQUEST and "session_id" in answer.error_msg
    assert len(answer.session_id) <= 256 and len(stack.node.sessions) == 0
    for session_id in ("s" * 256, "a\x07b", "ü"):
        assert stack.ask("take the mug", session_id=session_id).error_code == ErrorCode.NONE


@fault(
    "a command about an image that is unknown, gone, or of a negative time",
    group="Commands",
    node="takes no other image in its place",
    planner="NO_IMAGE, STALE_IMAGE, or BAD_REQUEST; never the mask of another image",
)
def test_image_stamps(make_stack: Any) -> None:
    stack = make_stack(sync__ring_size=2, sync__wait_for_image_s=0.05)
    headers = [stack.send_image(age_s=0.5 - 0.1 * number).header for number in range(4)]
    unknown = Time(sec=headers[-1].stamp.sec, nanosec=(headers[-1].stamp.nanosec + 1) % 10**9)
    for stamp, code in (
        (headers[0].stamp, ErrorCode.STALE_IMAGE),
        (unknown, ErrorCode.NO_IMAGE),
        (Time(sec=-1), ErrorCode.BAD_REQUEST),
        (headers[-2].stamp, ErrorCode.NONE),
    ):
        result = stack.do("take the mug", image_stamp=stamp).result
        assert result.error_code == code, (stamp, result.error_msg)
        assert stack.ask("take the mug", image_stamp=stamp).error_code == code
    assert result.masks.header == headers[-2]
