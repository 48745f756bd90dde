# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The service `~/segment_at_prompt`: a click or a box in, a mask out, on the frame that the model has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import Point32
from ros_harness import picture
from sensor_msgs.msg import RegionOfInterest

import llavaseg_ros.pipeline  # noqa: F401  brings torch, which takes long: not while a test waits for the node
from llavaseg_ros.errors import ErrorCode, OutOfMemory
from llavaseg_ros.srv import SegmentAtPrompt

BOX = RegionOfInterest(x_offset=4, y_offset=5, width=10, height=6)


def ask(stack: Any, **fields: Any) -> Any:
    return stack.call(SegmentAtPrompt, "llavaseg/segment_at_prompt", SegmentAtPrompt.Request(**fields))


def test_on_the_newest_frame_and_then_on_the_encoded_one(make_stack: Any) -> None:
    stack = make_stack()
    first = stack.send_image()
    answer = ask(stack, box=BOX)
    assert answer.error_code == ErrorCode.NONE and answer.header == first.header
    assert answer.target.area_px == 60 and answer.target.roi == BOX and answer.target.mask.header == first.header
    stack.send_image(picture(red=(0, 0, 1, 1)))
    answer = ask(stack, points=[Point32(x=20.0, y=30.0)], labels=[1])
    assert answer.header == first.header and answer.target.area_px == 25
    mask = np.frombuffer(answer.target.mask.data, np.uint8).reshape(48, 64)
    assert mask[30, 20] == 255 and len(stack.pipeline.images) == 1
    assert not stack.answers.messages
    newest = stack.send_image(picture(red=(2, 2, 3, 3)))
    assert ask(stack, box=BOX, newest_image=True).header == newest.header
    assert ask(stack, box=BOX).header == newest.header, "that is the one encoded last now"


def test_after_a_command_it_works_on_the_same_frame(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image()
    command = stack.ask("take the mug")
    stack.send_image()
    assert ask(stack, box=BOX).header == command.header


@pytest.mark.parametrize(
    "fields, word",
    [
        ({}, "neither"),
        ({"points": [Point32(x=64.0, y=0.0)]}, "points"),
        ({"points": [Point32(x=float("nan"), y=0.0)]}, "points"),
        ({"points": [Point32(x=1.0, y=1.0)], "labels": [1, 0]}, "labels"),
        ({"points": [Point32(x=1.0, y=1.0)], "labels": [7]}, "labels"),
        ({"labels": [1], "box": BOX}, "labels"),
        ({"box": RegionOfInterest(x_offset=60, width=10, height=10)}, "box"),
        ({"box": RegionOfInterest(width=10)}, "box"),
    ],
)
def test_bad_prompt(make_stack: Any, fields: dict[str, Any], word: str) -> None:
    stack = make_stack()
    stack.send_image()
    answer = ask(stack, **fields)
    assert answer.error_code == ErrorCode.BAD_REQUEST and word in answer.error_msg
    assert ask(stack, box=BOX).error_code == ErrorCode.NONE


def test_no_image(make_stack: Any) -> None:
    stack = make_stack(sync__wait_for_image_s=0.0)
    assert ask(stack, box=BOX).error_code == ErrorCode.NO_IMAGE


def test_an_encoding_that_failed_is_done_again(make_stack: Any) -> None:
    """What encodes beside the language model fails later than `set_image`: then the model has no image any more."""
    stack = make_stack()
    stack.send_image()
    segment_prompt = stack.pipeline.segment_prompt

    def fail(**prompt: Any) -> Any:
        stack.pipeline.segment_prompt, stack.pipeline.image_shape = segment_prompt, None
        raise OutOfMemory("encoding the image: out of memory")

    stack.pipeline.segment_prompt = fail
    assert ask(stack, box=BOX).error_code == ErrorCode.OUT_OF_MEMORY
    assert ask(stack, box=BOX).error_code == ErrorCode.NONE and len(stack.pipeline.images) == 2
