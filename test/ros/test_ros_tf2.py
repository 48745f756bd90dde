# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The real tf2, where a distribution provides it: target frames, and depth from a camera beside the color camera."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

tf2_ros = pytest.importorskip("tf2_ros", reason="needs tf2_ros, which a ROS 2 distribution has and the wheels have not")

from geometry_msgs.msg import TransformStamped
from rclpy.parameter import Parameter
from rgbd_camera import CENTER, FRAME, NEAR_M, SETTINGS, Rgbd, check_nothing, check_place, depth_m
from ros_harness import wait_until
from std_msgs.msg import Header

from llavaseg_ros.errors import ErrorCode
from llavaseg_ros.ros.clouds import cloud_points
from llavaseg_ros.ros.convert import depth_to_image


def transform(parent: str, child: str, stamp: Any = None, *, x: float = 0.0, quarter_turn: bool = False) -> Any:
    msg = TransformStamped(child_frame_id=child)
    msg.header.frame_id = parent
    if stamp is not None:
        msg.header.stamp = stamp
    msg.transform.translation.x = x
    turn = math.pi / 2 if quarter_turn else 0.0
    msg.transform.rotation.z, msg.transform.rotation.w = math.sin(turn / 2), math.cos(turn / 2)
    return msg


@pytest.fixture
def camera(make_stack: Any) -> Any:
    def make(**parameters: Any) -> Rgbd:
        rgbd = Rgbd(make_stack(None, **{**SETTINGS, **parameters}))
        rgbd.calibrate()
        return rgbd

    return make


def ask_until(rgbd: Rgbd, code: ErrorCode) -> Any:
    """The first question makes the node listen to /tf, so transforms may still be on their way."""

    def answered() -> Any:
        image = rgbd.frame()
        answer = rgbd.stack.ask("take the mug")
        return (image, answer) if answer.error_code == code else None

    return wait_until(answered, what=f"an answer with {code.name}")


def test_points_in_another_frame_at_the_images_stamp(camera: Any) -> None:
    rgbd = camera(geometry__target_frame="base_link")
    static = tf2_ros.StaticTransformBroadcaster(rgbd.stack.client)
    static.sendTransform(transform("base_link", FRAME, x=10.0, quarter_turn=True))
    image, _ = ask_until(rgbd, ErrorCode.NONE)
    points, scene, pose = rgbd.last()
    assert {points.header.frame_id, scene.header.frame_id, pose.header.frame_id} == {"base_link"}
    assert points.header.stamp == pose.header.stamp == image.header.stamp
    check_place(pose, (10 - CENTER[1], CENTER[0], CENTER[2]))
    assert cloud_points(points).mean(axis=0) == pytest.approx((10 - CENTER[1], CENTER[0], CENTER[2]), abs=0.004)
    rgbd.stack.node.set_parameters([Parameter("geometry.target_frame", value="nowhere")])
    image = rgbd.frame()
    answer = rgbd.stack.ask("take the mug")
    assert answer.error_code == ErrorCode.NO_DEPTH and "nowhere" in answer.error_msg
    check_nothing(rgbd, image.header)


def test_a_moving_camera_is_where_it_was_when_it_looked(camera: Any) -> None:
    """At the image's stamp it stood at x = 1; by the time of the answer it is somewhere else."""
    rgbd = camera(geometry__target_frame="base_link")
    moving = tf2_ros.TransformBroadcaster(rgbd.stack.client)

    # Listened to since the node is active, so that the first command finds what was published before it.
    tf = rgbd.stack.node.resolve_topic_name("/tf")
    wait_until(lambda: rgbd.stack.client.count_subscribers(tf), what="the node to listen to /tf")
    time.sleep(0.5)
    image = rgbd.frame()
    at = image.header.stamp.sec * 10**9 + image.header.stamp.nanosec
    for offset_s, x in ((-0.5, 0.0), (0.5, 2.0)):
        stamp = Header().stamp
        stamp.sec, stamp.nanosec = divmod(at + round(offset_s * 1e9), 10**9)
        moving.sendTransform(transform("base_link", FRAME, stamp, x=x))
    answer = rgbd.stack.ask("take the mug")
    assert answer.error_code == ErrorCode.NONE, answer.error_msg
    check_place(rgbd.poses.wait()[-1], (1 + CENTER[0], CENTER[1], CENTER[2]), tolerance=0.01)


def test_depth_from_a_camera_beside(camera: Any) -> None:
    rgbd = camera()
    static = tf2_ros.StaticTransformBroadcaster(rgbd.stack.client)
    static.sendTransform(transform(FRAME, "camera_depth_optical_frame", x=0.04))

    def answered() -> Any:
        image = rgbd.frame()
        rgbd.stack.node.inputs.depth.clear()
        # 40 mm to the right, everything at NEAR_M moves 3 pixels to the left.
        shifted = np.roll(depth_m(), -3, axis=1)
        header = Header(stamp=image.header.stamp, frame_id="camera_depth_optical_frame")
        rgbd.send("depth/image", depth_to_image(shifted, header))
        return rgbd.stack.ask("take the mug").error_code == ErrorCode.NONE

    wait_until(answered, what="an answer with a place")
    check_place(rgbd.poses.wait()[-1], tolerance=0.01)
    assert cloud_points(rgbd.points.wait()[-1])[:, 2] == pytest.approx(NEAR_M, abs=1e-4)
