# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The embedded default under the faults that could harm its caches: frames, prefixes and masks that it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from faults import fault
from faulty_stack import FaultyStack
from lifecycle_msgs.msg import Transition
from rclpy.parameter import Parameter
from ros_harness import wait_until

from llavaseg_ros.demo.bag_reader import read_frames
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.msg import Command
from llavaseg_ros.nodes.llavaseg_node import load_pipeline
from llavaseg_ros.ros.convert import rgb_to_image

# Torch's import and the model's load are part of the first case; CI machines are slow.
pytestmark = pytest.mark.timeout(900)
LONG_S = 280.0
COMMAND = "Hand me the red mug."

# What a command may end with when the model does its work, whatever it makes of the picture.
DONE = (ErrorCode.NONE, ErrorCode.NOT_FOUND, ErrorCode.EMPTY_MASK)


@pytest.fixture(scope="module")
def started() -> Iterator[FaultyStack]:
    """The node as it ships, on the CPU."""
    stack = FaultyStack(None, loader=load_pipeline, device="cpu", timeout_s=600.0)
    try:
        yield stack.wait_ready(LONG_S)
        stack.end_and_check()
    finally:
        stack.close()


@pytest.fixture
def stack(started: FaultyStack) -> Iterator[FaultyStack]:
    """One node for all cases; the observer checks after each."""
    yield started
    started.node.set_parameters([Parameter("follow.enabled", value=False), Parameter("queue.policy", value="replace")])
    wait_until(lambda: not started.node.worker.busy, LONG_S, "the model to come to rest")
    started.observer.check()


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    """The first frame of the demo bag."""
    return next(iter(read_frames())).rgb


def ask(stack: FaultyStack, **fields: Any) -> Any:
    return stack.result(stack.send_goal(COMMAND, **fields), LONG_S).result


def found_as_ever(stack: FaultyStack, rgb: np.ndarray) -> None:
    """The model's caches are in order: the same answer and mask as an image of its own gives, which shares none."""
    stack.send_image(rgb)
    result = ask(stack)
    other = ask(stack, use_image=True, image=rgb_to_image(rgb, stack.header()))
    assert result.error_code in DONE and other.answer.text == result.answer.text
    masks = [[bytes(target.mask.data) for target in r.masks.targets] for r in (result, other)]
    assert masks[0] == masks[1]


@fault(
    "the image changes its size while the model follows with its last mask",
    group="Model",
    node="carries the last mask over to the new size, or says that the target is lost",
    planner="each mask, or an empty one, in the size of its image",
)
def test_size_changes(stack: FaultyStack, rgb: np.ndarray) -> None:
    stack.node.set_parameters([Parameter("follow.enabled", value=True)])
    stack.send_image(rgb)
    assert ask(stack).answer.found
    for picture in (rgb[::2, ::2], rgb[:, :300], rgb[:37, :53], rgb):
        image = stack.send_image(np.ascontiguousarray(picture))
        stack.observer.wait_mask_of(image)
    found_as_ever(stack, rgb)


@fault(
    "a frame is cut off, or too small for the model, between two good ones",
    group="Model",
    node="keeps nothing of it",
    planner="BAD_REQUEST, then the same mask as ever",
)
def test_broken_frames(stack: FaultyStack, rgb: np.ndarray) -> None:
    stack.send_image(rgb)
    for picture, keep in ((rgb, 1000), (np.zeros((2, 2, 3), np.uint8), 12)):
        broken = rgb_to_image(picture, stack.header())
        broken.data = broken.data[:keep]
        count = stack.node.inputs.images.count
        stack.publish_image(broken)
        wait_until(lambda before=count: stack.node.inputs.images.count > before, what="the image")
        assert ask(stack).error_code == ErrorCode.BAD_REQUEST
    found_as_ever(stack, rgb)


@fault(
    "cancel at five moments between encoding and mask of the real model",
    group="Model",
    node="stops within a token; keeps no half of a conversation",
    planner="CANCELED and PREEMPTED, then the same mask as ever",
)
def test_cancel(stack: FaultyStack, rgb: np.ndarray) -> None:
    for number, state in enumerate(("QUEUED", "ENCODING", "REASONING", "REASONING", "SEGMENTING")):
        stack.send_image(np.ascontiguousarray(np.roll(rgb, 8 * (number + 1), axis=1)))
        states: list[str] = []
        handle = stack.send_goal(COMMAND, lambda feedback, states=states: states.append(feedback.state))
        wait_until(lambda s=state, seen=states: s in seen, LONG_S, state)
        stack.resolve(handle.cancel_goal_async())
        done = stack.result(handle, LONG_S)
        # The last states are short: the goal may be faster than the cancel.
        assert done.status == GoalStatus.STATUS_CANCELED or done.result.error_code in DONE
    found_as_ever(stack, rgb)


@fault(
    "200 commands at once on the real model, under `replace`",
    group="Model",
    node="gives up each for the next, at any token",
    planner="200 final answers; the last command gets the same mask as ever",
)
def test_flood(stack: FaultyStack, rgb: np.ndarray) -> None:
    stack.send_image(rgb)
    before, publisher = len(stack.observer.finals()), stack.publisher(Command, "command")
    for number in range(200):
        publisher.publish(Command(text=COMMAND, session_id=f"session {number}"))
    wait_until(lambda: len(stack.observer.finals()) == before + 200, LONG_S, "200 answers")
    (last,) = (answer for answer in stack.observer.finals() if answer.session_id == "session 199")
    assert last.error_code in DONE
    found_as_ever(stack, rgb)


@fault(
    "ten cycles of deactivate and activate in the middle of commands on the real model",
    group="Model",
    node="keeps the model, and nothing of the commands that were ended",
    planner="PREEMPTED, silence, then the same mask as ever",
)
def test_cycles(stack: FaultyStack, rgb: np.ndarray) -> None:
    for number in range(10):
        stack.send_image(np.ascontiguousarray(np.roll(rgb, 4 * number, axis=0)))
        handle = stack.send_goal(COMMAND)
        if number % 2:
            wait_until(lambda: stack.node.worker.busy, LONG_S, "the command to run")
        assert stack.change_state(Transition.TRANSITION_DEACTIVATE)
        assert stack.result(handle).result.error_code in (*DONE, ErrorCode.PREEMPTED)
        assert stack.change_state(Transition.TRANSITION_ACTIVATE)
    wait_until(lambda: not stack.node.worker.busy, LONG_S, "the model to come to rest")
    found_as_ever(stack, rgb)
