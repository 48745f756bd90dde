# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node with the embedded default: a real model, a real frame of the demo bag, real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from ros_harness import Stack, wait_until
from sensor_msgs.msg import RegionOfInterest
from std_srvs.srv import SetBool

from llavaseg_ros.demo.bag_reader import read_frames
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.nodes.llavaseg_node import load_pipeline
from llavaseg_ros.ros.convert import rgb_to_image
from llavaseg_ros.srv import SegmentAtPrompt

# Torch's import and the model's load are part of the first test; CI machines are slow.
pytestmark = pytest.mark.timeout(900)

# What a command may end with when the model does its work, whatever it makes of the picture.
DONE = (ErrorCode.NONE, ErrorCode.NOT_FOUND, ErrorCode.EMPTY_MASK)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The node as it ships, on the CPU. Without a watchdog: there is no warm-up to tell it how slow the machine is."""
    stack = Stack(None, loader=load_pipeline, device="cpu", timeout_s=600.0, watchdog__stage_timeout_s=0.0)
    try:
        yield stack.wait_ready(timeout_s=280.0)
    finally:
        stack.close()


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    """The first frame of the demo bag."""
    return next(iter(read_frames())).rgb


def test_commands_on_one_frame(stack: Stack, rgb: np.ndarray) -> None:
    image = stack.send_image(rgb)
    encodings = stack.node._runner.encodings
    feedback: list[Any] = []
    for number, text in enumerate(("Hand me the red mug.", "How many objects are on the table?")):
        feedback.clear()
        handle = stack.send_goal(text, feedback.append)
        # Before the result is asked for: rclpy's client drops feedback once it has it. Of many it keeps the last ten.
        wait_until(lambda: any(m.state == "REASONING" and len(m.partial_text) > 5 for m in list(feedback)), 280.0)
        done = stack.result(handle, timeout_s=280.0)
        answer = done.result.answer
        assert done.status == GoalStatus.STATUS_SUCCEEDED, done.result.error_msg
        assert answer.error_code in DONE and answer.text and answer.header == image.header
        stack.masks.wait(number + 1)
        mask = stack.mask.wait(number + 1)[number]
        assert mask.header == image.header and (mask.height, mask.width) == rgb.shape[:2]
        assert bool(np.frombuffer(mask.data, np.uint8).any()) == answer.found == bool(done.result.masks.targets)
    assert stack.node._runner.encodings == encodings + 1


def test_cancel_while_reasoning(stack: Stack, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    model = stack.node.worker._model
    segment = model.segment

    def held(command: str, *, on_progress: Any, should_cancel: Any, **options: Any) -> Any:
        def report(stage: Any, text: str) -> None:
            on_progress(stage, text)
            if text:  # the model would be done before the cancel comes
                wait_until(should_cancel, what="the cancel")

        return segment(command, on_progress=report, should_cancel=should_cancel, **options)

    monkeypatch.setattr(model, "segment", held)
    image = rgb_to_image(np.ascontiguousarray(rgb[:, ::-1]), stack.header())
    feedback: list[Any] = []
    handle = stack.send_goal("Hand me something to drink from.", feedback.append, use_image=True, image=image)
    wait_until(lambda: any(message.partial_text for message in list(feedback)), 280.0, "the first token")
    stack.resolve(handle.cancel_goal_async())
    done = stack.result(handle, timeout_s=280.0)
    assert done.status == GoalStatus.STATUS_CANCELED and done.result.error_code == ErrorCode.PREEMPTED


def test_follow(stack: Stack, rgb: np.ndarray) -> None:
    stack.send_image(rgb)
    answer = stack.result(stack.send_goal("Hand me the red mug."), timeout_s=280.0).result.answer
    assert answer.found, answer.text
    assert stack.call(SetBool, "llavaseg/follow", SetBool.Request(data=True)).message == "following"
    for shift in (4, 8, 12):
        image = stack.send_image(np.roll(rgb, shift, axis=1))
        mask = wait_until(lambda sent=image: [m for m in stack.mask.messages if m.header == sent.header], 280.0)[-1]
        masks = wait_until(lambda sent=image: [m for m in stack.masks.messages if m.header == sent.header])[-1]
        assert masks.command_id == answer.command_id and [target.id for target in masks.targets] == [1]
        assert masks.targets[0].mask == mask and np.frombuffer(mask.data, np.uint8).any()
    assert stack.call(SetBool, "llavaseg/follow", SetBool.Request(data=False)).success


def test_prompt(stack: Stack, rgb: np.ndarray) -> None:
    stack.send_image(rgb)
    box = RegionOfInterest(x_offset=200, y_offset=180, width=160, height=140)
    request = SegmentAtPrompt.Request(box=box)
    answer = stack.call(SegmentAtPrompt, "llavaseg/segment_at_prompt", request, timeout_s=280.0)
    assert answer.error_code in (ErrorCode.NONE, ErrorCode.EMPTY_MASK), answer.error_msg
    assert (answer.target.mask.height, answer.target.mask.width) == rgb.shape[:2]


def test_bad_image_and_then_a_good_one(stack: Stack, rgb: np.ndarray) -> None:
    tiny = rgb_to_image(np.zeros((2, 2, 3), np.uint8), stack.header())
    result = stack.do("Hand me the red mug.", use_image=True, image=tiny).result
    assert result.error_code == ErrorCode.BAD_REQUEST and "2 x 2" in result.error_msg
    handle = stack.send_goal("Hand me the red mug.", use_image=True, image=rgb_to_image(rgb, stack.header()))
    assert stack.result(handle, timeout_s=280.0).result.error_code in DONE
