# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Every field of what the page hears from others, over real DDS: it stays up and shows the next good thing."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "view"))

from message_fuzz import damaged, every_field, scrambled
from rclpy.serialization import serialize_message
from ros_harness import latched, picture, wait_until
from sensor_msgs.msg import Image

import llavaseg_ros.pipeline  # noqa: F401  brings torch, which takes long: not while a test waits for the node
from llavaseg_ros.msg import Answer, TargetMask, TargetMaskArray
from llavaseg_ros.ros.convert import mask_to_image, rgb_to_image


@pytest.fixture(scope="module")
def room() -> Any:
    from view_room import Room

    room = Room()
    yield room
    room.close()


def good_masks(room: Any) -> TargetMaskArray:
    header = room.stack.header()
    mask = mask_to_image(picture()[:, :, 0] > 200, header)
    return TargetMaskArray(header=header, command_id="x", targets=[TargetMask(id=1, label="mug", mask=mask)])


def test_odd_masks_and_answers_do_the_page_no_harm(room: Any) -> None:
    rng = random.Random(11)
    frame = room.send_image()
    good = good_masks(room)
    masks = [msg for _, msg in every_field(good, rng)]
    for _, target in every_field(good.targets[0], rng):
        odd = TargetMaskArray(header=frame.header, targets=[target])
        masks.append(odd)
    answers = [msg for _, msg in every_field(Answer(header=frame.header, text="Here.", final=True), rng)]
    rng.shuffle(masks)
    publishers = {
        kind: room.stack.client.create_publisher(kind, f"llavaseg/{name}", latched(300))
        for kind, name in ((TargetMaskArray, "masks"), (Answer, "answer"))
    }
    for publisher in publishers.values():
        wait_until(lambda publisher=publisher: publisher.get_subscription_count() >= 2, what="the page's subscription")
    for msg in masks[:120] + answers[:60]:
        publishers[type(msg)].publish(msg)
    assert room.get("/api/state").status == 200
    works(room)


@pytest.mark.parametrize("topic", ["image", "depth/image"])
def test_odd_frames_do_the_page_no_harm(room: Any, topic: str) -> None:
    rng = random.Random(topic)
    header = room.stack.header()
    good = rgb_to_image(picture(), header)
    odd: list[Any] = [msg for _, msg in every_field(good, rng)] + [scrambled(good, rng) for _ in range(10)]
    odd += [damaged(serialize_message(good), rng) for _ in range(30)] + [serialize_message(Image())[:7]]
    rng.shuffle(odd)
    publisher = room.stack.client.create_publisher(type(good), topic, 200)
    wait_until(lambda: publisher.get_subscription_count() >= 2, what="the page's subscription")
    for number, msg in enumerate(odd[:90]):
        publisher.publish(msg)
        if number % 15 == 0:
            assert room.get("/frame/live.jpg").status in (200, 404, 503)
    works(room)


def works(room: Any) -> None:
    """A good frame is shown, and a command from the page gets its answer and its mask."""
    room.send_image()
    wait_until(lambda: room.get("/frame/live.jpg").status == 200, what="the live picture")
    wait_until(lambda: room.ask("take the mug")["status"] != "failed", what="a command that works")
