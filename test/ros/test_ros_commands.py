# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Round trips by topic and by action: what goes in, what comes out, and the frame that it belongs to."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from ros_harness import picture, wait_until
from scripted_pipeline import ScriptedPipeline, make_segment
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from llavaseg_ros.action import Segment
from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.msg import Answer
from llavaseg_ros.ros.convert import rgb_to_image
from llavaseg_ros.srv import ResetSession
from llavaseg_ros.types import Result, Thought


def mask_of(image: Image) -> np.ndarray:
    """The array [H, W] of a mono8 message."""
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)[:, : image.width]


def test_error_codes_are_those_of_the_messages() -> None:
    for code in ErrorCode:
        assert getattr(Answer, code.name) == code.value == getattr(Segment.Result, code.name)
    constants = {name for name in dir(Answer) if name.isupper() and isinstance(getattr(Answer, name), int)}
    assert constants - {"SLOT_TYPES"} == {code.name for code in ErrorCode}


def test_topic_round_trip(make_stack: Any) -> None:
    stack = make_stack()
    image = stack.send_image()
    answer = stack.ask("hand me something to drink from", session_id="s1")
    masks, mask = stack.masks.wait()[0], stack.mask.wait()[0]

    assert answer.error_code == ErrorCode.NONE and answer.found and answer.final
    assert answer.text == "The red mug." and answer.reasoning and answer.session_id == "s1"
    assert answer.header == masks.header == mask.header == image.header
    assert answer.command_id == masks.command_id != ""
    target = masks.targets[0]
    assert (target.label, target.color, target.location) == ("red mug", "red", "front left")
    assert (target.roi.x_offset, target.roi.y_offset, target.roi.width, target.roi.height) == (10, 8, 20, 12)
    assert target.area_px == 240 and not target.has_geometry
    assert mask.encoding == "mono8" and (mask.height, mask.width) == (48, 64)
    expected = np.zeros((48, 64), np.uint8)
    expected[8:20, 10:30] = 255
    assert np.array_equal(mask_of(mask), expected) and target.mask == mask


def test_plain_text_round_trip(make_stack: Any) -> None:
    stack = make_stack()
    texts = stack.record(String, "llavaseg/answer_text")
    publisher = stack.client.create_publisher(String, "command_text", 10)
    wait_until(lambda: publisher.get_subscription_count() > 0)
    stack.send_image()
    publisher.publish(String(data="take the mug"))
    assert stack.answers.wait()[0].session_id == ""
    assert texts.wait()[0].data == "The red mug."


def test_action_round_trip(make_stack: Any) -> None:
    stack = make_stack()
    image = stack.send_image()
    feedback: list[Any] = []
    handle = stack.send_goal("take the mug", feedback.append)
    # Before the result is asked for: rclpy's client drops feedback once it has it.
    wait_until(lambda: feedback and feedback[-1].state == "SEGMENTING", what="the last feedback")
    done = stack.result(handle)
    result = done.result
    assert done.status == GoalStatus.STATUS_SUCCEEDED and result.error_code == ErrorCode.NONE
    assert result.masks.header == image.header and result.masks.targets[0].area_px == 240
    assert stack.answers.wait()[0] == result.answer
    assert result.answer.command_id == bytes(handle.goal_id.uuid).hex()
    states = [message.state for message in feedback]
    runs = [state for i, state in enumerate(states) if i == 0 or states[i - 1] != state]
    assert runs == ["QUEUED", "ENCODING", "REASONING", "SEGMENTING"]
    assert [message.partial_text for message in feedback if message.state == "REASONING"] == [
        "word0",
        "word0 word1",
        "word0 word1 word2",
    ]


def test_goal_brings_its_own_image(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image()
    image = rgb_to_image(picture(30, 40, (1, 2, 3, 4)), stack.header(age_s=10_000.0, frame_id="other"))
    result = stack.do("take the mug", use_image=True, image=image).result
    assert result.error_code == ErrorCode.NONE
    assert result.masks.header == image.header and result.masks.targets[0].area_px == 12
    assert (result.masks.targets[0].mask.height, result.masks.targets[0].mask.width) == (30, 40)


def test_absent_target_clears_the_last_mask(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image()
    stack.ask("take the mug")
    image = stack.send_image()
    done = stack.do("take the banana")
    assert done.status == GoalStatus.STATUS_SUCCEEDED
    assert done.result.error_code == ErrorCode.NOT_FOUND and "banana" in done.result.error_msg
    assert done.result.answer.text == "I do not see a banana." and not done.result.answer.found
    masks, mask = stack.masks.wait(2)[-1], stack.mask.wait(2)[-1]
    assert not masks.targets and masks.header == mask.header == image.header
    assert (mask.height, mask.width) == (48, 64) and not mask_of(mask).any()


def test_question_gets_an_answer_and_no_target(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image()
    done = stack.do("how many mugs are there?")
    assert done.status == GoalStatus.STATUS_SUCCEEDED and done.result.error_code == ErrorCode.NONE
    assert done.result.answer.text == "There is one mug." and not done.result.masks.targets


def test_target_without_a_pixel(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image(picture(red=None))
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.EMPTY_MASK and not result.masks.targets and not result.answer.found


def test_most_targets(make_stack: Any) -> None:
    def three(command: str, rgb: np.ndarray) -> Result:
        masks = [np.zeros(rgb.shape[:2], np.bool_) for _ in range(3)]
        for i, mask in enumerate(masks):
            mask[i * 5 : i * 5 + 3, :7] = True
        segments = tuple(make_segment(mask, 0.9 - 0.1 * i) for i, mask in enumerate(masks))
        return Result(command, Thought("mug", found=True), "Three.", True, segments, 0.9, {})

    stack = make_stack(ScriptedPipeline(on_segment=three), max_targets=2)
    stack.send_image()
    assert [target.id for target in stack.do("take them").result.masks.targets] == [1, 2]
    assert [target.id for target in stack.do("take them", max_targets=3).result.masks.targets] == [1, 2, 3]
    assert len(stack.do("take it", max_targets=1).result.masks.targets) == 1


# --- which frame ---


def test_no_image(make_stack: Any) -> None:
    stack = make_stack(sync__wait_for_image_s=0.1)
    done = stack.do("take the mug")
    assert done.status == GoalStatus.STATUS_ABORTED and done.result.error_code == ErrorCode.NO_IMAGE
    assert stack.answers.wait()[0].error_code == ErrorCode.NO_IMAGE
    assert not stack.masks.messages and not stack.mask.messages


def test_command_waits_for_the_first_image(make_stack: Any) -> None:
    stack = make_stack(sync__wait_for_image_s=60.0, timeout_s=600.0)
    handle = stack.send_goal("take the mug")
    time.sleep(0.2)
    image = stack.send_image()
    result = stack.result(handle).result
    assert result.error_code == ErrorCode.NONE and result.masks.header == image.header


@pytest.mark.parametrize("age_s, word", [(2000.0, "old"), (-300.0, "future")])
def test_stale_image(make_stack: Any, age_s: float, word: str) -> None:
    stack = make_stack(sync__wait_for_image_s=0.05, sync__max_image_age_s=600.0)
    stack.send_image(age_s=age_s)
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.STALE_IMAGE and word in result.error_msg
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


def test_age_limit_is_live_and_zero_means_any(make_stack: Any) -> None:
    from rclpy.parameter import Parameter

    stack = make_stack(sync__wait_for_image_s=0.0, sync__max_image_age_s=0.0)
    stack.send_image(age_s=100.0)
    assert stack.ask("take the mug").error_code == ErrorCode.NONE
    stack.node.set_parameters([Parameter("sync.max_image_age_s", value=50.0)])
    assert stack.ask("take the mug").error_code == ErrorCode.STALE_IMAGE


def test_frame_by_stamp(make_stack: Any) -> None:
    stack = make_stack(sync__wait_for_image_s=0.05, sync__ring_size=3)
    images = [stack.send_image(picture(red=(0, 0, 2 + i, 1))) for i in range(5)]
    result = stack.do("take the mug", image_stamp=images[3].header.stamp).result
    assert result.masks.header == images[3].header and result.masks.targets[0].area_px == 5
    answer = stack.ask("take the mug", image_stamp=images[2].header.stamp)
    assert answer.header == images[2].header
    gone = stack.do("take the mug", image_stamp=images[0].header.stamp).result
    assert gone.error_code == ErrorCode.STALE_IMAGE and "sync.ring_size" in gone.error_msg
    never = stack.do("take the mug", image_stamp=stack.header(age_s=-5.0).stamp).result
    assert never.error_code == ErrorCode.NO_IMAGE


def test_image_is_encoded_once_a_frame(make_stack: Any) -> None:
    stack = make_stack()
    pipeline = stack.pipeline
    stack.send_image()
    for text in ("take the mug", "the red one", "how many are there?"):
        stack.ask(text)
    assert len(pipeline.images) == 1
    stack.send_image(picture(red=(1, 1, 5, 5)))
    assert stack.do("take the mug").result.masks.targets[0].area_px == 25
    assert len(pipeline.images) == 2 and pipeline.threads == {"llavaseg-model"}


# --- bad input: each is told apart, and the next good request works ---


def check_still_works(stack: Any) -> None:
    stack.send_image()
    assert stack.do("take the mug").result.error_code == ErrorCode.NONE


BAD_TEXTS = {
    "empty": "",
    "blank": " \n\t ",
    "long": "x" * 10_000,
    "control": "take\x01the\x02mug",
    "signs": "?!...",
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_bad_command(make_stack: Any, name: str) -> None:
    stack = make_stack()
    stack.send_image()
    done = stack.do(BAD_TEXTS[name])
    assert done.status == GoalStatus.STATUS_ABORTED and done.result.error_code == ErrorCode.BAD_REQUEST
    assert done.result.error_msg.startswith("command:") and len(done.result.error_msg) < 300
    assert stack.ask(BAD_TEXTS[name]).error_code == ErrorCode.BAD_REQUEST
    assert not stack.pipeline.commands
    check_still_works(stack)


def test_longest_command(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image()
    assert stack.ask("take the mug".ljust(2000, "g")).error_code == ErrorCode.NONE


def broken(**changes: Any) -> Image:
    """A good rgb8 image message with some fields changed."""
    msg = rgb_to_image(picture(), Image().header)
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


BAD_IMAGES = {
    "encoding": (broken(encoding="lab8"), "encoding"),
    "depth": (broken(encoding="32FC1"), "encoding"),
    "step": (broken(step=10), "step"),
    "zero size": (broken(height=0), "size"),
    "no data": (broken(data=b""), "data"),
    "cut off": (broken(data=bytes(100)), "data"),
    "huge": (broken(width=4_000_000_000, height=4_000_000_000, step=4_000_000_000), "size"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_image(make_stack: Any, name: str) -> None:
    stack = make_stack()
    message, word = BAD_IMAGES[name]
    message.header = stack.header()
    stack.send_image(message=message)
    result = stack.do("take the mug").result
    assert result.error_code == ErrorCode.BAD_REQUEST and word in result.error_msg
    assert stack.do("take it", use_image=True, image=message).result.error_code == ErrorCode.BAD_REQUEST
    check_still_works(stack)


def test_negative_timeout(make_stack: Any) -> None:
    stack = make_stack()
    stack.send_image()
    assert stack.do("take the mug", timeout=Duration(sec=-1)).result.error_code == ErrorCode.BAD_REQUEST


def test_compressed_camera(make_stack: Any) -> None:
    import cv2

    stack = make_stack(image_transport="compressed", sync__wait_for_image_s=0.05)
    assert stack.node.inputs.image_topic.endswith("/image/compressed")
    png = cv2.imencode(".png", picture()[:, :, ::-1])[1].tobytes()
    good = CompressedImage(header=stack.header(), format="rgb8; png compressed bgr8", data=png)
    stack.send_image(message=good)
    result = stack.do("take the mug").result
    assert result.masks.header == good.header and result.masks.targets[0].area_px == 240
    stack.send_image(message=CompressedImage(header=stack.header(), format="jpeg", data=b"no jpeg"))
    assert stack.do("take the mug").result.error_code == ErrorCode.BAD_REQUEST
    good.header = stack.header()
    stack.send_image(message=good)
    assert stack.ask("take the mug").error_code == ErrorCode.NONE


def test_remapped_compressed_camera_follows_the_raw_name(make_stack: Any) -> None:
    stack = make_stack(image_transport="compressed", remap=("image:=/cam/color/image_raw",), ready=False)
    assert stack.node.inputs.image_topic == "/cam/color/image_raw/compressed"


# --- sessions ---


def test_sessions_keep_their_own_history(make_stack: Any) -> None:
    stack = make_stack(session__history_length=2)
    stack.send_image()
    for number in range(3):
        stack.ask(f"command {number}", session_id="a")
    stack.ask("other", session_id="b")
    stack.ask("last", session_id="a")
    histories = [[message.text for message in history] for history in stack.pipeline.histories]
    assert histories[2] == ["command 0", "The red mug.", "command 1", "The red mug."]
    assert histories[3] == []
    assert histories[4][::2] == ["command 1", "command 2"]
    roles = [message.role for message in stack.pipeline.histories[4]]
    assert roles == ["user", "assistant"] * 2

    done = stack.call(ResetSession, "llavaseg/reset_session", ResetSession.Request(session_id="a"))
    assert done.success
    stack.ask("new", session_id="a")
    assert stack.pipeline.histories[5] == []
    again = stack.call(ResetSession, "llavaseg/reset_session", ResetSession.Request(session_id="nobody"))
    assert not again.success and "nobody" in again.message


def test_history_can_be_switched_off(make_stack: Any) -> None:
    stack = make_stack(**{"session.history_length": 0})
    stack.send_image()
    for text in ("one", "two"):
        stack.ask(text)
    assert stack.pipeline.histories == [[], []]


# --- answers on the way ---


def test_partial_answers(make_stack: Any) -> None:
    stack = make_stack(ScriptedPipeline(tokens=6, token_s=0.1), partial_answers=True)
    stack.send_image()
    stack.ask("take the mug")
    partial = [answer for answer in stack.answers.messages if not answer.final]
    assert partial and all(answer.text.startswith("word0") and not answer.found for answer in partial)
    assert stack.answers.messages[-1].final and len(stack.final_answers()) == 1


def test_exactly_one_final_answer_for_each_of_many(make_stack: Any) -> None:
    stack = make_stack(queue__policy="queue", queue__depth=100)
    stack.send_image()
    for number in range(40):
        stack.send_command(f"command {number}")
    wait_until(lambda: len(stack.final_answers()) >= 40, what="40 answers")
    time.sleep(0.2)
    texts = [answer.command for answer in stack.answers.messages]
    assert texts == [f"command {number}" for number in range(40)]


def test_answer_that_is_no_result(make_stack: Any) -> None:
    wrong: list[Any] = [
        SimpleNamespace(found=True, segments=()),
        Result("", Thought("mug", found=True), "", True, (make_segment(np.ones((3, 3), np.bool_)),), 1.0, {}),
        Result("", Thought("mug", found=True), "", True, (make_segment(np.ones((48, 64), np.float32)),), 1.0, {}),
        Result(
            "", Thought("mug", found=True), "", True, (make_segment(np.ones((48, 64), np.bool_), float("nan")),), 1, {}
        ),
    ]
    lock = threading.Lock()

    def next_wrong(command: str, rgb: np.ndarray) -> Any:
        with lock:
            return wrong.pop(0) if wrong else None

    stack = make_stack(ScriptedPipeline(on_segment=next_wrong))
    stack.send_image()
    for _ in range(4):
        result = stack.do("take the mug").result
        assert result.error_code == ErrorCode.UNKNOWN and result.error_msg and not result.masks.targets
    check_still_works(stack)
