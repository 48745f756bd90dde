# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From masks and depth to points, poses and sizes. NumPy and OpenCV only: free of ROS and of torch."""

from llavaseg_ros.geometry.camera import Intrinsics
from llavaseg_ros.geometry.lifting import LiftedScene, LiftedTarget, LiftSettings, lift_masks
from llavaseg_ros.geometry.pose import Box, principal_box, quaternion_of, rotation_of, transformed

__all__ = [
    "Box",
    "Intrinsics",
    "LiftSettings",
    "LiftedScene",
    "LiftedTarget",
    "lift_masks",
    "principal_box",
    "quaternion_of",
    "rotation_of",
    "transformed",
]
