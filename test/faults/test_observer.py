# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The observer is not blind: a node that forges each violation is caught, and one that keeps its word is not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
import rclpy
from action_msgs.msg import GoalInfo, GoalStatus, GoalStatusArray
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import TransitionEvent
from observer import Observer
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from ros_harness import DOMAIN, latched, wait_until
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header, String
from unique_identifier_msgs.msg import UUID

from llavaseg_ros.msg import Answer, Command, TargetMask, TargetMaskArray
from llavaseg_ros.ros.clouds import cloud, no_pose
from llavaseg_ros.ros.convert import mask_to_image, rgb_to_image

_numbers = count(1)


class Forger:
    """Publishes what a node would, true or not, one message after the other."""

    def __init__(self) -> None:
        self.namespace = f"/forged_{next(_numbers)}"
        self.observer = Observer(self.namespace, DOMAIN)
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN, args=[])
        self.node = Node("llavaseg", namespace=self.namespace, context=self.context, use_global_arguments=False)
        deep = QoSProfile(depth=1000)
        self._publishers = {
            name: self.node.create_publisher(message_type, topic, qos)
            for name, message_type, topic, qos in (
                ("image", Image, "image", deep),
                ("command", Command, "command", deep),
                ("command_text", String, "command_text", deep),
                ("status", GoalStatusArray, "~/segment/_action/status", latched(1)),
                ("event", TransitionEvent, "~/transition_event", deep),
                ("mask", Image, "~/mask", latched(100)),
                ("masks", TargetMaskArray, "~/masks", latched(100)),
                ("overlay", Image, "~/overlay", latched(100)),
                ("answer", Answer, "~/answer", latched(100)),
                ("target_points", PointCloud2, "~/target_points", latched(100)),
                ("target_pose", PoseStamped, "~/target_pose", latched(100)),
            )
        }
        for publisher in self._publishers.values():
            wait_until(lambda p=publisher: p.get_subscription_count() > 0, what=publisher.topic_name)

    def send(self, name: str, msg: Any) -> None:
        """Publish."""
        self._publishers[name].publish(msg)

    def event(self, start: str, goal: str) -> None:
        """A transition."""
        msg = TransitionEvent()
        msg.start_state.label, msg.goal_state.label = start, goal
        self.send("event", msg)

    def image(self, sec: int = 5, size: tuple[int, int] = (6, 8)) -> Header:
        """Send an image; its header."""
        header = Header(frame_id="camera")
        header.stamp.sec = sec
        self.send("image", rgb_to_image(np.zeros((*size, 3), np.uint8), header))
        return header

    def masks(
        self, header: Header, command_id: str = "1", *, size: tuple[int, int] = (6, 8), found: bool = True, **wrong: Any
    ) -> None:
        """The masks, points and pose of one image, as they go out together. wrong: other messages in their place."""
        mask = np.zeros(size, np.bool_)
        mask[2:4, 2:4] = found
        target = TargetMask(id=1, score=0.9, mask=mask_to_image(mask, header), area_px=int(mask.sum()))
        points = np.zeros((2 if found else 0, 3), np.float32)
        pose = PoseStamped(header=header) if found else no_pose(header)
        targets = wrong.get("targets", [target] if found else [])
        for name, msg in (
            ("target_points", wrong.get("points", cloud(points, np.zeros_like(points, np.uint8), header))),
            ("target_pose", wrong.get("pose", pose)),
            ("masks", TargetMaskArray(header=header, command_id=command_id, targets=targets)),
            ("mask", wrong.get("mask", mask_to_image(mask, header))),
        ):
            if name != wrong.get("without"):
                self.send(name, msg)

    def answer(self, header: Header | None = None, command_id: str = "1", found: bool = True, **fields: Any) -> None:
        """A final answer."""
        fields = {"text": "The mug.", "final": True, **fields}
        if not found:
            fields = {"error_code": Answer.NOT_FOUND, "error_msg": "no", **fields}
        self.send("answer", Answer(header=header or Header(), command_id=command_id, found=found, **fields))

    def caught(self, what: str) -> None:
        """The observer sees exactly this kind of violation."""
        wait_until(lambda: any(what in problem for problem in self.observer.problems()), 20.0, f"{what!r} to be seen")
        with pytest.raises(AssertionError, match=what):
            self.observer.check(0.05)


@pytest.fixture
def forger() -> Iterator[Forger]:
    made = Forger()
    yield made
    made.observer.close()
    made.node.destroy_node()
    rclpy.shutdown(context=made.context)


def test_a_node_that_keeps_its_word(forger: Forger) -> None:
    forger.event("inactive", "activating")
    forger.event("activating", "active")
    forger.send("command", Command(text="take the mug"))
    header = forger.image()
    forger.answer(header, command="take the mug", found=False, final=False, error_code=0, error_msg="")
    forger.masks(header)
    forger.send("overlay", rgb_to_image(np.zeros((6, 8, 3), np.uint8), header))
    forger.answer(header, command="take the mug")
    forger.send("command_text", String(data="take the banana"))
    forger.masks(header, "2", found=False)
    forger.answer(header, "2", found=False, command="take the banana")
    forger.event("active", "deactivating")
    forger.event("deactivating", "inactive")
    wait_until(lambda: len(forger.observer.record.transitions) == 4)
    forger.observer.check(20.0)
    assert len(forger.observer.finals()) == 2 and len(forger.observer.record.masks) == 2
    assert not forger.observer.record.lost


def test_a_stamp_that_was_never_sent(forger: Forger) -> None:
    header = forger.image()
    header.stamp.nanosec = 1
    forger.masks(header)
    forger.caught("mask with stamp 5.000000001: no image with this stamp was sent")


def test_another_frame(forger: Forger) -> None:
    header = forger.image()
    forger.answer(Header(stamp=header.stamp, frame_id="gripper"))
    forger.caught("frame 'gripper' is not that of its image, 'camera'")


def test_a_wrong_size(forger: Forger) -> None:
    forger.masks(forger.image(size=(6, 8)), size=(8, 6))
    forger.caught("size")


def test_the_size_of_an_earlier_image(forger: Forger) -> None:
    forger.image(4, (12, 16))
    forger.masks(forger.image(5, (6, 8)), size=(12, 16))
    forger.caught("size")


def test_an_overlay_of_a_wrong_size(forger: Forger) -> None:
    forger.send("overlay", rgb_to_image(np.zeros((3, 3, 3), np.uint8), forger.image()))
    forger.caught("overlay with stamp 5.000000000: size")


def test_a_mask_of_a_broken_image(forger: Forger) -> None:
    header = Header(frame_id="camera")
    header.stamp.sec = 5
    broken = rgb_to_image(np.zeros((6, 8, 3), np.uint8), header)
    broken.data = broken.data[:20]
    forger.send("image", broken)
    forger.masks(header)
    forger.caught("its image was broken")


@pytest.mark.parametrize("place", ["targets", "mask", "points", "pose"])
def test_not_found_with_a_target(forger: Forger, place: str) -> None:
    header = forger.image()
    mask = mask_to_image(np.ones((6, 8), np.bool_), header)
    points = cloud(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8), header)
    wrong = {
        "targets": [TargetMask(id=1, mask=mask, area_px=48)],
        "mask": mask,
        "points": points,
        "pose": PoseStamped(header=header),
    }[place]
    forger.masks(header, found=False, **{place: wrong})
    forger.answer(header, found=False)
    forger.caught("says not found, but 1 arrays" if place == "targets" else "holds a target, but the masks beside it")


def test_found_without_a_mask(forger: Forger) -> None:
    forger.answer(forger.image())
    forger.caught("says found, but no mask of this command was published")


def test_a_target_without_a_pixel(forger: Forger) -> None:
    header = forger.image()
    empty = TargetMask(id=1, mask=mask_to_image(np.zeros((6, 8), np.bool_), header))
    forger.masks(header, targets=[empty])
    forger.caught("a target without a pixel")


def test_a_mask_that_is_not_the_best(forger: Forger) -> None:
    header = forger.image()
    forger.masks(header, mask=mask_to_image(np.ones((6, 8), np.bool_), header))
    forger.caught("is not the best mask of the array beside it")


def test_points_of_another_image(forger: Forger) -> None:
    old, header = forger.image(4), forger.image(5)
    points = cloud(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8), old)
    forger.masks(header, points=points)
    forger.caught("target_points with stamp 4.000000000: went out with masks")


@pytest.mark.parametrize("without", ["mask", "target_points", "target_pose"])
def test_a_part_that_is_missing(forger: Forger, without: str) -> None:
    """The last target's would stay on its topic, as if it were current."""
    forger.masks(forger.image(4))
    header = forger.image(5)
    forger.masks(header, "2", found=False, without=without)
    forger.caught(f"masks with stamp 5.000000000: no {without} went out with it")


def test_two_final_answers(forger: Forger) -> None:
    header = forger.image()
    forger.masks(header)
    forger.answer(header)
    forger.answer(header)
    forger.caught("got 2 final answers")


def test_a_topic_command_answered_twice_under_two_ids(forger: Forger) -> None:
    forger.send("command", Command(text="take the mug"))
    for command_id in "12":
        forger.answer(command_id=command_id, found=False, command="take the mug")
    forger.caught("came 1 times, 1 of them owed an answer, and got 2")


def test_a_command_without_an_answer(forger: Forger) -> None:
    forger.send("command_text", String(data="take the mug"))
    forger.caught("came 1 times, 1 of them owed an answer, and got 0")


def test_a_goal_without_an_answer(forger: Forger) -> None:
    info = GoalInfo(goal_id=UUID(uuid=np.arange(16, dtype=np.uint8)))
    forger.send("status", GoalStatusArray(status_list=[GoalStatus(goal_info=info)]))
    forger.caught("goal 000102030405060708090a0b0c0d0e0f got no final answer")


def test_an_answer_on_the_way_after_the_last(forger: Forger) -> None:
    header = forger.image()
    forger.masks(header)
    forger.answer(header)
    forger.answer(header, found=False, final=False, error_code=0)
    forger.caught("an answer on the way after the final one")


@pytest.mark.parametrize("what", ["mask", "masks", "answer", "target_pose", "target_points", "overlay"])
def test_published_after_deactivate(forger: Forger, what: str) -> None:
    header = forger.image()
    forger.event("active", "deactivating")
    forger.event("deactivating", "inactive")
    if what == "answer":
        forger.answer(header, found=False)
    elif what == "overlay":
        forger.send("overlay", rgb_to_image(np.zeros((6, 8, 3), np.uint8), header))
    else:
        forger.masks(header)
    forger.caught(f"{what} with stamp 5.000000000: published while the node was inactive")


def test_published_before_the_first_activation(forger: Forger) -> None:
    forger.masks(forger.image())
    forger.event("unconfigured", "configuring")
    forger.caught("published while the node was unconfigured")


def test_masks_of_an_older_command_after_a_newer_one(forger: Forger) -> None:
    header = forger.image()
    for command_id in "121":
        forger.masks(header, command_id)
    forger.caught("masks of an older command after those of a newer one")


def test_a_pose_half_of_numbers(forger: Forger) -> None:
    header = forger.image()
    pose = no_pose(header)
    pose.pose.position.x = 1.0
    forger.masks(header, pose=pose)
    forger.caught("1 of 7 numbers are finite")


def test_a_mask_with_other_values(forger: Forger) -> None:
    header = forger.image()
    gray = mask_to_image(np.ones((6, 8), np.bool_), header)
    gray.data[3] = 7
    forger.masks(header, mask=gray)
    forger.caught("values other than 0 and 255")


def test_messages_that_were_lost_are_counted(forger: Forger) -> None:
    """Sequence numbers, so that a gap is told from silence."""
    forger.answer(found=False, command_id="1")
    wait_until(lambda: len(forger.observer.answers) == 1)
    observer = forger.observer
    key = next(key for key in observer._sequence if key[0] == "answer")
    observer._sequence[key] -= 3
    forger.answer(found=False, command_id="2")
    wait_until(lambda: len(observer.answers) == 2)
    assert observer.record.lost["answer"] == 3


def test_a_killed_node_owes_nothing_that_it_was_asked_before(forger: Forger) -> None:
    forger.send("command", Command(text="before"))
    wait_until(lambda: forger.observer.record.commands)
    forger.observer.node_gone()
    forger.observer.check(20.0)
    forger.send("command", Command(text="after"))
    forger.caught("'after' came 1 times, 1 of them owed an answer, and got 0")


def test_a_long_run_forgets_what_was_in_order(forger: Forger) -> None:
    observer = forger.observer
    forger.send("command", Command(text="take the mug"))
    header = forger.image()
    forger.masks(header)
    forger.answer(header, command="take the mug")
    wait_until(lambda: observer.finals() and len(observer.record.outputs) == 5 and not observer.problems())
    assert observer.check_and_forget(1) == [] and not observer.record.outputs and len(observer.record.sent) == 1
    forger.answer(header, command="take the mug")
    forger.caught("got 2 final answers")
    assert observer.check_and_forget(1) and observer.record.outputs
