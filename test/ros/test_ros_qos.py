# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Who gets what: best-effort cameras, planners that start late, overlays that nobody looks at."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_harness import picture, wait_until
from sensor_msgs.msg import Image

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.msg import Answer, Command, TargetMaskArray
from llavaseg_ros.ros.convert import rgb_to_image


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE])
def test_camera_of_any_reliability(make_stack: Any, reliability: ReliabilityPolicy) -> None:
    stack = make_stack()
    camera = stack.client.create_publisher(Image, "image", QoSProfile(depth=1, reliability=reliability))
    stack.deliver(camera, rgb_to_image(picture(), stack.header()), stack.node.inputs.images)
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


def test_late_joiner_gets_the_last_target(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image(picture(red=(0, 0, 3, 3)))
    stack.ask("take the mug")
    image = stack.send_image(picture(red=(5, 5, 10, 4)))
    answer = stack.ask("take the mug")
    late_mask = stack.record(Image, "llavaseg/mask", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    late_masks = stack.record(TargetMaskArray, "llavaseg/masks")
    late_answer = stack.record(Answer, "llavaseg/answer")
    mask = late_mask.wait()[0]
    assert mask.header == image.header and np.count_nonzero(np.frombuffer(mask.data, np.uint8)) == 40
    assert late_masks.wait()[0].command_id == late_answer.wait()[0].command_id == answer.command_id
    time.sleep(0.2)
    assert len(late_mask.messages) == len(late_masks.messages) == len(late_answer.messages) == 1


def test_late_joiner_never_gets_an_older_target_as_current(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image()
    stack.ask("take the mug")
    stack.ask("take the banana")
    mask = stack.record(Image, "llavaseg/mask").wait()[0]
    assert not any(mask.data) and not stack.record(TargetMaskArray, "llavaseg/masks").wait()[0].targets


def test_overlay_only_while_somebody_looks(make_stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from llavaseg_ros import viz

    drawn: list[int] = []
    draw = viz.draw_overlay

    def counted(*arguments: Any) -> np.ndarray:
        drawn.append(1)
        return draw(*arguments)

    monkeypatch.setattr(viz, "draw_overlay", counted)
    stack = make_stack()
    stack.send_image()
    stack.ask("take the mug")
    stack.ask("take it again")
    assert not drawn
    overlay = stack.record(Image, "llavaseg/overlay")
    publisher = stack.node._outputs._publishers["overlay"]
    wait_until(lambda: publisher.get_subscription_count() > 0)
    image = stack.send_image()
    stack.ask("take the mug")
    # The command before may still be drawing when somebody begins to look: take the picture of this image.
    wait_until(lambda: any(m.header == image.header for m in overlay.wait()))
    picture_message = next(m for m in overlay.wait() if m.header == image.header)
    assert drawn and picture_message.encoding == "rgb8"
    assert bytes(picture_message.data) != bytes(image.data)
    stack.client.destroy_subscription(overlay.subscription)
    wait_until(lambda: publisher.get_subscription_count() == 0)
    before = len(drawn)
    stack.ask("take the mug")
    assert len(drawn) == before


def test_command_of_wrong_qos_is_told(make_stack: Any, capfd: pytest.CaptureFixture[str]) -> None:
    stack = make_stack()
    stack.client.create_publisher(Command, "command", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    text = ""

    def told() -> bool:
        nonlocal text
        text += capfd.readouterr().err
        return "ros2 topic info --verbose" in text

    wait_until(told, what="a warning about the QoS")


def test_silent_camera_is_told(make_stack: Any, capfd: pytest.CaptureFixture[str]) -> None:
    stack = make_stack(diagnostics__no_image_warning_s=0.2)
    text = ""

    def told() -> bool:
        nonlocal text
        text += capfd.readouterr().err
        return f"no image on {stack.namespace}/image" in text

    wait_until(told, what="a warning about the silence")


def test_depth_is_kept_for_later(make_stack: Any) -> None:
    from llavaseg_ros.ros.convert import depth_to_image, to_depth_m

    stack = make_stack()
    camera = stack.client.create_publisher(Image, "depth/image", 1)
    wait_until(lambda: camera.get_subscription_count() > 0)
    camera.publish(depth_to_image(np.full((4, 6), 0.75), stack.header()))
    wait_until(lambda: stack.node.inputs.depth.count)
    assert np.allclose(to_depth_m(stack.node.inputs.depth.newest.msg.message()), 0.75)
    without = make_stack(depth_enabled=False)
    assert without.client.count_subscribers("depth/image") == 0
