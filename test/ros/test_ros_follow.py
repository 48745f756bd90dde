# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Follow mode: every new frame gets its mask after one command, with the stamps of frames that were sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from ros_harness import Stack, picture, wait_until
from scripted_pipeline import CountingLoader, ScriptedPipeline
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.ros.convert import rgb_to_image
from llavaseg_ros.srv import SetModel

MUG = "hand me something to drink from"


def stamp(msg: Any) -> tuple[int, int]:
    """A header's stamp, to compare."""
    return msg.header.stamp.sec, msg.header.stamp.nanosec


def moved(step: int) -> np.ndarray:
    """A picture whose red box has moved."""
    return picture(red=(2 + step, 8, 20, 12))


def next_mask(stack: Stack, rgb: np.ndarray | None = None) -> tuple[Image, Any, Any]:
    """Send a frame; the (image, masks, mask) that follow mode makes of it."""
    image = stack.send_image(moved(3) if rgb is None else rgb)

    def of_image(messages: list[Any]) -> list[Any]:
        return [msg for msg in list(messages) if stamp(msg) == stamp(image)]

    masks = wait_until(lambda: of_image(stack.masks.messages), what="the masks of the frame")[-1]
    return image, masks, wait_until(lambda: of_image(stack.mask.messages), what="the mask of the frame")[-1]


def follow(stack: Stack, on: bool) -> Any:
    """Call ~/follow."""
    return stack.call(SetBool, "llavaseg/follow", SetBool.Request(data=on))


@pytest.fixture
def following(make_stack: Any) -> Callable[..., Stack]:
    """following(pipeline) -> a Stack that follows the mug since its first frame."""

    def make(pipeline: ScriptedPipeline | None = None, **arguments: Any) -> Stack:
        stack: Stack = make_stack(pipeline, **{"follow__enabled": True, **arguments})
        stack.send_image(moved(0))
        assert stack.ask(MUG).found
        stack.masks.wait(1)
        return stack

    return make


@contextmanager
def camera(stack: Stack, rate_hz: float = 50.0) -> Iterator[list[Image]]:
    """Publish a moving box without a pause; the list of what was sent."""
    sent: list[Image] = []
    end = threading.Event()
    stack.send_image(moved(0))

    def run() -> None:
        while not end.wait(1.0 / rate_hz):
            msg = rgb_to_image(moved(len(sent) % 40), stack.header())
            sent.append(msg)
            stack._camera.publish(msg)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield sent
    finally:
        end.set()
        thread.join()


def test_each_frame_gets_its_own_mask(following: Any) -> None:
    stack = following()
    answer = stack.final_answers()[0]
    for step in range(1, 5):
        image, masks, mask = next_mask(stack, moved(step))
        assert masks.header == mask.header == image.header
        assert (masks.command_id, masks.command) == (answer.command_id, MUG)
        assert [target.id for target in masks.targets] == [1] and masks.targets[0].label == "red mug"
        assert masks.targets[0].roi.x_offset == 2 + step and masks.targets[0].mask == mask
    assert len(stack.answers.messages) == 1  # one answer a command, none a frame
    assert stack.pipeline.commands == [MUG] and len(stack.pipeline.followed) == 4
    lasts = [last.segments[0].roi[0] for last, _ in stack.pipeline.followed]
    assert lasts == [2, 3, 4, 5] and all(gap_s > 0 for _, gap_s in stack.pipeline.followed)
    assert stack.pipeline.threads == {"llavaseg-model"}


def test_a_frame_of_another_size(following: Any) -> None:
    stack = following()
    _, masks, mask = next_mask(stack, picture(80, 100))
    assert (mask.height, mask.width) == (80, 100) and len(masks.targets) == 1


def test_service_and_parameter_agree(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image(moved(0))
    stack.ask(MUG)
    stack.send_image(moved(1))
    assert stack.node.following.state == "off" and not stack.pipeline.followed
    # What the last command found is followed once it is switched on.
    reply = follow(stack, True)
    assert reply.success and reply.message == "following"
    assert stack.node.get_parameter("follow.enabled").value is True
    next_mask(stack, moved(2))
    assert follow(stack, False).message == "off" and not stack.node.get_parameter("follow.enabled").value
    before = len(stack.pipeline.followed)
    stack.send_image(moved(3))
    stack.ask("how many?")  # goes through the worker behind any frame
    assert len(stack.pipeline.followed) == before
    stack.node.set_parameters([Parameter("follow.enabled", value=True)])
    next_mask(stack, moved(4))


def test_idle_until_something_is_found(make_stack: Any) -> None:
    stack = make_stack()
    assert follow(stack, True).message == "idle"
    stack.send_image()
    stack.ask("give me the banana")
    stack.send_image()
    stack.ask("how many?")
    assert stack.node.following.state == "idle" and not stack.pipeline.followed


def test_lost_and_found_again(following: Any) -> None:
    stack = following(follow__relook_after_s=0.0)
    _, masks, mask = next_mask(stack, picture(red=None))
    assert not masks.targets and not np.frombuffer(mask.data, np.uint8).any()
    assert masks.command_id == stack.final_answers()[0].command_id and masks.command == MUG
    assert stack.node.following.state == "lost" and stack.node.following.lost_s > 0
    _, masks, _ = next_mask(stack, moved(5))
    assert [target.id for target in masks.targets] == [1] and stack.node.following.state == "following"
    assert masks.command_id == stack.final_answers()[0].command_id
    # It went on from the last result that was found, and never reasoned.
    assert all(last.found for last, _ in stack.pipeline.followed) and stack.pipeline.commands == [MUG]
    assert len(stack.answers.messages) == 1


def test_reasons_again_when_lost_for_long(following: Any) -> None:
    stack = following(follow__relook_after_s=0.2)
    command_id = stack.final_answers()[0].command_id
    with camera(stack):
        stack.pipeline.follow = lambda last, gap_s: ScriptedPipeline.result(stack.pipeline, "banana", None)
        wait_until(lambda: len(stack.pipeline.commands) >= 3, what="a second and a third reasoning")
        found = wait_until(lambda: [masks for masks in list(stack.masks.messages)[-20:] if masks.targets])
    assert set(stack.pipeline.commands) == {MUG}
    assert {masks.command_id for masks in found} == {command_id} and {masks.targets[0].id for masks in found} == {1}
    assert len(stack.answers.messages) == 1


def test_a_command_cancels_reasoning_again(following: Any) -> None:
    pipeline = ScriptedPipeline(tokens=1)
    stack = following(pipeline, follow__relook_after_s=0.01)
    pipeline.tokens, pipeline.token_s = 10_000, 0.01
    next_mask(stack, picture(red=None))
    time.sleep(0.02)
    pipeline.started.clear()
    stack.send_image(picture(red=None))
    assert pipeline.started.wait(60.0) and len(pipeline.commands) == 2
    pipeline.on_segment = lambda command, rgb: pipeline.result(command, rgb)
    answer = stack.ask("hand me the cup")
    assert answer.found is False and pipeline.cancelled == 1  # the scripted mask is empty on this picture
    assert pipeline.commands[2] == "hand me the cup"


def test_a_command_goes_before_the_next_frame(following: Any) -> None:
    pipeline = ScriptedPipeline(follow_s=0.02)
    stack = following(pipeline)
    order: list[str] = []
    at_follow, go_on = threading.Event(), threading.Event()
    real = pipeline.follow

    def blocked(last: Any, *, gap_s: float) -> Any:
        order.append("follow")
        at_follow.set()
        assert go_on.wait(60.0)
        return real(last, gap_s=gap_s)

    def note(command: str, rgb: np.ndarray) -> None:
        order.append(command)

    pipeline.follow, pipeline.on_segment = blocked, note
    stack.send_image(moved(1))
    assert at_follow.wait(60.0)
    stack.send_command("hand me the cup")
    wait_until(lambda: stack.node.worker.queue_length == 1)
    stack.send_image(moved(2))
    go_on.set()
    wait_until(lambda: len(stack.final_answers()) == 2)
    assert order[:2] == ["follow", "hand me the cup"]
    _, masks, _ = next_mask(stack, moved(3))
    assert masks.command == "hand me the cup" and masks.command_id == stack.final_answers()[1].command_id


def test_a_question_does_not_end_it_and_another_target_not_found_does(following: Any) -> None:
    stack = following()
    image, _, _ = next_mask(stack, moved(1))
    assert stack.ask("how many cups are there?").error_code == ErrorCode.NONE
    next_mask(stack, moved(2))
    assert all(masks.targets for masks in stack.masks.messages)  # the question wiped nothing
    assert stack.ask("give me the banana").error_code == ErrorCode.NOT_FOUND
    wait_until(lambda: not stack.masks.messages[-1].targets)
    assert stack.node.following.state == "idle"


def test_a_goal_with_an_image_of_its_own_is_not_followed(following: Any) -> None:
    stack = following()
    image = rgb_to_image(picture(red=None), stack.header())
    assert stack.do("hand me the cup", use_image=True, image=image).result.error_code != ErrorCode.NONE
    _, masks, _ = next_mask(stack, moved(1))
    assert masks.command == MUG and masks.targets


def test_drops_what_it_cannot_keep_up_with(following: Any) -> None:
    stack = following(ScriptedPipeline(follow_s=0.06))
    diagnostics = stack.record(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
    before = stack.node.inputs.images.count
    with camera(stack) as sent:
        wait_until(lambda: len(stack.pipeline.followed) >= 12 and stack.node.following.dropped, what="a drop")
    wait_until(lambda: stack.node.following._served == stack.node.inputs.images.newest.number)
    wait_until(lambda: not stack.node.following.ready())

    def all_counted() -> bool:
        following, came = stack.node.following, stack.node.inputs.images.count - before
        return following.followed + following.dropped == came

    wait_until(all_counted, what="the counts")
    assert stack.node.following.dropped > 0
    stamps = [stamp(masks) for masks in stack.masks.messages]
    assert stamps == sorted(stamps) and len(set(stamps)) == len(stamps)
    assert set(stamps[2:]) <= {stamp(image) for image in sent}

    def reported() -> bool:
        values = {value.key: value.value for msg in diagnostics.messages[-1:] for value in msg.status[0].values}
        return (
            values.get("follow state") == "following"
            and values["dropped frames"] == str(stack.node.following.dropped)
            and values["followed frames"] == str(stack.node.following.followed)
        )

    wait_until(reported, what="diagnostics")


def test_never_on_a_stale_image(following: Any) -> None:
    stack = following(sync__max_image_age_s=600.0)
    stack.node.inputs.images.clear()  # older stamps count as the newest from here on
    stack.send_image(moved(1), age_s=2000.0)
    wait_until(lambda: stack.node.following._served == stack.node.inputs.images.count, what="a look at the frame")
    _, masks, _ = next_mask(stack, moved(2))
    assert len(stack.pipeline.followed) == 1 and masks.targets


def test_deactivate_ends_it(following: Any) -> None:
    stack = following(ScriptedPipeline(follow_s=0.01))
    with camera(stack):
        stack.masks.wait(4)
        assert stack.change_state(Transition.TRANSITION_DEACTIVATE)
        sent = 1 + stack.node.following.followed  # the command's own, too
        wait_until(lambda: len(stack.masks.messages) == len(stack.mask.messages) == sent, what="what was on the wire")
        before = len(stack.masks.messages), len(stack.mask.messages)
        count = stack.node.inputs.images.count
        wait_until(lambda: stack.node.inputs.images.count > count + 10)
        assert (len(stack.masks.messages), len(stack.mask.messages)) == before
        assert stack.node.following.state == "off"
        assert stack.change_state(Transition.TRANSITION_ACTIVATE)
        assert stack.node.following.state == "idle"


def test_another_model_reasons_by_itself(following: Any) -> None:
    first, second = ScriptedPipeline(), ScriptedPipeline()
    loader = CountingLoader(first)
    stack = following(first, loader=loader, follow__relook_after_s=0.0)
    loader.pipeline = second
    assert stack.call(SetModel, "llavaseg/set_model", SetModel.Request(model="other")).success
    _, masks, _ = next_mask(stack, moved(1))
    assert second.commands == [MUG] and masks.targets and masks.command_id == stack.final_answers()[0].command_id
    next_mask(stack, moved(2))
    assert second.commands == [MUG] and len(second.followed) == 1


def test_a_broken_frame_and_a_failing_model(following: Any) -> None:
    stack = following()
    broken = rgb_to_image(moved(1), stack.header())
    broken.encoding = "no_such"
    stack.send_image(message=broken)
    _, masks, _ = next_mask(stack, moved(2))
    assert masks.targets and len(stack.pipeline.followed) == 1

    def fail(last: Any, *, gap_s: float) -> Any:
        raise RuntimeError("no luck")

    real, stack.pipeline.follow = stack.pipeline.follow, fail
    _, masks, _ = next_mask(stack, moved(3))
    assert not masks.targets  # nobody may take the last mask for this frame's
    stack.pipeline.follow = real
    _, masks, _ = next_mask(stack, moved(4))
    assert masks.targets


def test_followed_frames_are_encoded_quickly_and_commands_frames_are_not(make_stack: Any) -> None:
    pipeline = ScriptedPipeline()
    stack = make_stack(pipeline, follow__enabled=True)
    stack.send_image(moved(0))
    assert stack.ask(MUG).found
    next_mask(stack, moved(1))
    assert pipeline.quick == [False, True]
    assert stack.ask(MUG).found  # about the frame that was followed
    assert pipeline.quick == [False, True, False]
    assert np.array_equal(pipeline.images[1], pipeline.images[2])
