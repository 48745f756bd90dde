# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Every field of everything that the node takes in, over real DDS: it stays up, and answers every command once."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import Point32
from hypothesis import settings
from message_fuzz import damaged, every_field, leaves, scrambled
from rclpy.serialization import serialize_message
from ros_harness import picture, wait_until
from scripted_pipeline import ScriptedPipeline
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import String

import llavaseg_ros.pipeline  # noqa: F401  brings torch, which takes long: not while a test waits for the node
from llavaseg_ros.action import Segment
from llavaseg_ros.errors import BundleError, ErrorCode
from llavaseg_ros.msg import Command
from llavaseg_ros.ros.convert import depth_to_image, rgb_to_image
from llavaseg_ros.ros.worker import ModelState
from llavaseg_ros.srv import ResetSession, SegmentAtPrompt, SetModel

CODES = {int(code) for code in ErrorCode}


@pytest.fixture(scope="module")
def stack() -> Any:
    """One node for all of these tests: what the messages of one leave behind, the next must stand."""
    from faulty_stack import FaultyStack

    def load(wanted: Any) -> ScriptedPipeline:
        if wanted.model != "default" or wanted.device not in ("auto", "cpu"):
            raise BundleError(f"model: got {wanted.model!r} on {wanted.device!r}, expected default")
        return ScriptedPipeline(tokens=1)

    stack = FaultyStack(None, loader=load, queue__policy="queue", queue__depth=1000, sync__wait_for_image_s=0.01)
    stack.wait_ready()
    yield stack
    try:
        check_alive(stack)
        stack.end_and_check()
    finally:
        stack.close()


def some(messages: list[Any], rng: random.Random) -> list[Any]:
    """All of them in the nightly profile, else a part, in another order."""
    rng.shuffle(messages)
    return messages if settings.default.max_examples > 100 else messages[:70]


def check_alive(stack: Any) -> None:
    """The model serves, and a good command on a good image gets its mask."""
    assert stack.node.worker.state is ModelState.READY
    image = stack.send_image()
    goal = stack.do("take the mug", use_image=True, image=image).result
    assert goal.error_code == ErrorCode.NONE and goal.masks.targets[0].area_px > 0
    answer = stack.ask("take the mug", image_stamp=image.header.stamp)
    # Once there was a depth image, one that is missing is said to be.
    assert answer.error_code in (ErrorCode.NONE, ErrorCode.NO_DEPTH) and answer.found and answer.header == image.header


def answered(stack: Any, count: int) -> list[Any]:
    """Wait for this many final answers; there are no more, and each is sound."""
    wait_until(lambda: len(stack.final_answers()) >= count, what=f"{count} answers")
    answers = stack.final_answers()
    assert len(answers) == count
    assert max(Counter(answer.command_id for answer in answers).values()) == 1
    for answer in answers:
        assert answer.error_code in CODES and (answer.error_msg or answer.text)
        assert answer.error_code != ErrorCode.UNKNOWN, f"an error that nobody thought of: {answer.error_msg}"
    return answers


def test_the_fuzzer_reaches_every_field() -> None:
    """By name, so that a new field of a message is fuzzed, or this fails."""
    assert [".".join(path) for path, _ in leaves(Command())] == [
        *("header.stamp.sec", "header.stamp.nanosec", "header.frame_id", "text", "session_id"),
        *("image_stamp.sec", "image_stamp.nanosec"),
    ]
    rng = random.Random(0)
    for kind in (Image, CompressedImage, CameraInfo, Command, String, Segment.Goal, SegmentAtPrompt.Request):
        names = {name.split(" = ")[0] for name, _ in every_field(kind(), rng)}
        assert names == {".".join(path) for path, _ in leaves(kind())} and names


def test_fields_of_a_command(stack: Any) -> None:
    rng = random.Random(1)
    stack.send_image()
    before = len(stack.final_answers())
    messages = [msg for _, msg in every_field(Command(text="take the mug"), rng)]
    messages += [scrambled(Command(text="take the mug"), rng) for _ in range(60)]
    publisher = stack.publisher(Command, "command")
    for msg in messages:
        publisher.publish(msg)
    answers = answered(stack, before + len(messages))
    assert sum(answer.error_code == ErrorCode.NONE for answer in answers) > 10, "odd headers and sessions do no harm"


def test_texts(stack: Any) -> None:
    rng = random.Random(2)
    before = len(stack.final_answers())
    messages = [msg for _, msg in every_field(String(data="take the mug"), rng)]
    publisher = stack.publisher(String, "command_text")
    for msg in messages:
        publisher.publish(msg)
    answered(stack, before + len(messages))


def test_bytes_that_are_no_command(stack: Any) -> None:
    """What decodes is answered once, what does not is dropped; the node goes on."""
    rng = random.Random(3)
    publisher = stack.publisher(Command, "command")
    wire = serialize_message(Command(text="take the mug", session_id="a"))
    for _ in range(60):
        publisher.publish(damaged(wire, rng))
    publisher.publish(Command(text="the last mug"))
    wait_until(
        lambda: any(answer.command == "the last mug" for answer in stack.final_answers()), what="the last answer"
    )


@pytest.mark.parametrize("topic", ["image", "camera_info", "depth/image", "depth/camera_info"])
def test_fields_of_the_camera(stack: Any, topic: str) -> None:
    """A command after each message: with a mask of that very image or with an error that names what is wrong."""
    from rgbd_camera import FRAME, calibration, depth_m

    rng = random.Random(topic)
    header = stack.header(frame_id=FRAME)
    good: dict[str, Any] = {
        "image": rgb_to_image(picture(), header),
        "camera_info": calibration(),
        "depth/image": depth_to_image(depth_m(), header),
        "depth/camera_info": calibration(),
    }
    store = {
        "image": stack.node.inputs.images,
        "camera_info": stack.node.inputs.camera_info,
        "depth/image": stack.node.inputs.depth,
        "depth/camera_info": stack.node.inputs.depth_camera_info,
    }[topic]
    msg = good[topic]
    messages: list[Any] = [changed for _, changed in every_field(msg, rng)]
    messages += [scrambled(msg, rng, 0.2) for _ in range(15)]
    messages += [damaged(serialize_message(msg), rng) for _ in range(25)]
    messages = some(messages, rng)
    publishers = {
        name: stack.publisher(type(one), name, subscribers=1 + (name == "image")) for name, one in good.items()
    }
    before = len(stack.final_answers())
    for number, odd in enumerate(messages, start=1):
        if topic != "image":
            publishers["image"].publish(good["image"])
        seen = store.count + stack.node.inputs.broken
        publishers[topic].publish(odd)
        if not isinstance(odd, bytes):  # of damaged ones some are dropped before the node sees them
            wait_until(lambda seen=seen: store.count + stack.node.inputs.broken > seen, what=f"message {number}")
        stack.send_command("take the mug")
        answered(stack, before + number)
    header = stack.header(frame_id=FRAME)  # one for all: images that are further apart do not belong together
    for name, one in good.items():
        one.header = header
        publishers[name].publish(one)
    wait_until(lambda: stack.ask("take the mug").error_code == ErrorCode.NONE, what="masks as before")


def test_fields_of_a_goal(stack: Any) -> None:
    rng = random.Random(5)
    image = stack.send_image()
    before = len(stack.final_answers())
    good = Segment.Goal(text="take the mug", use_image=True, image=image)
    goals = [goal for _, goal in every_field(good, rng)] + [scrambled(good, rng, 0.1) for _ in range(20)]
    handles = []
    for goal in goals:
        fields = {name: getattr(goal, name) for name in goal.get_fields_and_field_types() if name != "text"}
        handles.append(stack.send_goal(goal.text, **fields))
    for handle in handles:
        result = stack.result(handle).result
        assert result.error_code == result.answer.error_code in CODES - {int(ErrorCode.UNKNOWN)}
        assert bool(result.error_msg) == (result.error_code != ErrorCode.NONE)
        for target in result.masks.targets:
            assert (target.mask.height, target.mask.width) == (48, 64) and target.mask.header == result.answer.header
    answered(stack, before + len(goals))


def test_fields_of_a_prompt(stack: Any) -> None:
    rng = random.Random(6)
    stack.send_image()
    good = SegmentAtPrompt.Request(
        points=[Point32(x=5.0, y=6.0), Point32(x=7.0, y=8.0)],
        labels=[1, 0],
        box=RegionOfInterest(x_offset=4, y_offset=5, width=10, height=6),
    )
    requests = [good] + [odd for _, odd in every_field(good, rng)] + [scrambled(good, rng) for _ in range(20)]
    codes = Counter()
    for request in requests:
        response = stack.call(SegmentAtPrompt, "llavaseg/segment_at_prompt", request)
        codes[response.error_code] += 1
        assert response.error_code in CODES - {int(ErrorCode.UNKNOWN)}
        masked = response.error_code in (ErrorCode.NONE, ErrorCode.NO_DEPTH)
        assert bool(response.target.area_px) == masked and bool(response.error_msg) == (response.error_code != 0)
    assert codes[ErrorCode.NONE] + codes[ErrorCode.NO_DEPTH] > 5 and codes[ErrorCode.BAD_REQUEST] > 5


def test_fields_of_the_other_services(stack: Any) -> None:
    rng = random.Random(7)
    for _, request in every_field(ResetSession.Request(session_id="a"), rng):
        response = stack.call(ResetSession, "llavaseg/reset_session", request)
        assert response.message and response.success in ((True, False) if len(request.session_id) < 2000 else (False,))
    for _, request in every_field(SetModel.Request(model="default", device="cpu"), rng):
        response = stack.call(SetModel, "llavaseg/set_model", request)
        assert response.message and response.success == (response.error_code == ErrorCode.NONE)
        assert response.success == (
            request.model.strip() == "default" and request.device.strip() in ("", "auto", "cpu")
        )
    check_alive(stack)


def test_fields_of_a_compressed_image() -> None:
    from faulty_stack import FaultyStack

    rng = random.Random(8)
    stack = FaultyStack(ScriptedPipeline(tokens=1), image_transport="compressed", sync__wait_for_image_s=0.01)
    try:
        stack.wait_ready()
        bgr = np.ascontiguousarray(picture()[:, :, ::-1])
        messages: list[Any] = []
        for suffix in (".png", ".jpg"):
            data = cv2.imencode(suffix, bgr)[1].tobytes()
            good = CompressedImage(header=stack.header(), format=suffix[1:], data=data)
            messages += [odd for _, odd in every_field(good, rng)]
            # A JPEG has no checksum: of one with a changed byte nobody can tell that it is not what the camera saw.
            cut = [data[: rng.randrange(1, len(data) - 2)] for _ in range(10)]
            broken = [damaged(b"head" + data, rng)[4:] for _ in range(15)] if suffix == ".png" else cut
            messages += [CompressedImage(header=stack.header(), format="jpeg", data=one) for one in broken]
        messages = some(messages, rng)
        store = stack.node.inputs.images
        publisher = stack.publisher(CompressedImage, stack.node.inputs.image_topic)
        for number, odd in enumerate(messages, start=1):
            seen = store.count
            publisher.publish(odd)
            wait_until(lambda seen=seen: store.count > seen, what=f"image {number}")
            stack.send_command("take the mug")
            answered(stack, number)
        good.header = stack.header()
        publisher.publish(good)
        wait_until(lambda: stack.ask("take the mug").found, what="a mask as before")
        stack.end_and_check()
    finally:
        stack.close()
