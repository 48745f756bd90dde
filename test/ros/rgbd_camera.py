# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""An RGB-D camera before a node under test, whose red box of `picture` has a place that is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_harness import Stack, picture, wait_until
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from llavaseg_ros.ros.convert import depth_to_image, rgb_to_image

FRAME = "camera_color_optical_frame"
HEIGHT, WIDTH, FOCAL = 48, 64, 60.0
FAR_M, NEAR_M = 1.5, 0.8
# Where the middle of the red box of `picture` is, at NEAR_M.
CENTER = ((10 + 9.5 - 31.5) / FOCAL * NEAR_M, (8 + 5.5 - 23.5) / FOCAL * NEAR_M, NEAR_M)
# Every pixel of the box counts, small as it is.
SETTINGS = {"geometry__erode_px": 0}


def depth_m(near: float = NEAR_M) -> np.ndarray:
    """float32 [48, 64], m: the red box of `picture` stands before a wall."""
    depth = np.full((HEIGHT, WIDTH), FAR_M, np.float32)
    depth[8:20, 10:30] = near
    return depth


def calibration(width: int = WIDTH, height: int = HEIGHT, focal: float = FOCAL) -> CameraInfo:
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    info.k = [focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0]
    info.p = [focal, 0.0, (width - 1) / 2, 0.0, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


class Rgbd:
    """An RGB-D camera before a Stack. Each `send_*` waits until the node has stored what was sent."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.points = stack.record(PointCloud2, "llavaseg/target_points")
        self.scene = stack.record(PointCloud2, "llavaseg/scene_points")
        self.poses = stack.record(PoseStamped, "llavaseg/target_pose")
        for recorder in (self.points, self.scene, self.poses):
            topic = recorder.subscription.topic_name
            wait_until(lambda topic=topic: stack.client.count_publishers(topic), what=topic)
        self._publishers: dict[str, Any] = {}

    def send(self, topic: str, msg: Any) -> Any:
        store = {
            "camera_info": self.stack.node.inputs.camera_info,
            "depth/image": self.stack.node.inputs.depth,
            "depth/camera_info": self.stack.node.inputs.depth_camera_info,
        }[topic]
        if topic not in self._publishers:
            qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
            self._publishers[topic] = self.stack.client.create_publisher(type(msg), topic, qos)
        self.stack.deliver(self._publishers[topic], msg, store)
        return msg

    def calibrate(self) -> None:
        self.send("camera_info", calibration())
        self.send("depth/camera_info", calibration())

    def frame(self, *, depth: np.ndarray | None = None, late_s: float = 0.0, age_s: float = 0.0) -> Image:
        """A frame and its depth image, stamped late_s after it. Returns the color image."""
        image = rgb_to_image(picture(), self.stack.header(age_s, FRAME))
        ns = image.header.stamp.sec * 10**9 + image.header.stamp.nanosec + round(late_s * 1e9)
        header = Header(frame_id=FRAME)
        header.stamp.sec, header.stamp.nanosec = divmod(ns, 10**9)
        self.send("depth/image", depth_to_image(depth_m() if depth is None else depth, header))
        return self.stack.send_image(message=image)

    def last(self) -> tuple[PointCloud2, PointCloud2, PoseStamped]:
        return self.points.wait()[-1], self.scene.wait()[-1], self.poses.wait()[-1]


def check_place(pose: PoseStamped, center: tuple[float, float, float] = CENTER, tolerance: float = 0.004) -> None:
    """A pose at this point, with a quaternion of length one."""
    at = pose.pose.position
    assert (at.x, at.y, at.z) == pytest.approx(center, abs=tolerance)
    q = pose.pose.orientation
    assert math.hypot(q.x, q.y, q.z, q.w) == pytest.approx(1.0)


def check_nothing(rgbd: Rgbd, header: Header) -> None:
    """Empty clouds and a pose of NaN, with the stamp of the new frame."""
    # Three topics: each comes in its own time.
    for recorder in (rgbd.points, rgbd.scene, rgbd.poses):
        wait_until(lambda recorder=recorder: recorder.messages and recorder.messages[-1].header == header, what="it")
    points, scene, pose = rgbd.last()
    assert points.header == scene.header == pose.header == header
    assert points.width == scene.width == 0
    assert math.isnan(pose.pose.position.x) and math.isnan(pose.pose.orientation.w)
