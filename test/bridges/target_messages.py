# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Messages of the node `llavaseg` for the tests of the bridges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from std_msgs.msg import Header

from llavaseg_ros.msg import TargetMask, TargetMaskArray
from llavaseg_ros.ros.convert import mask_to_image


def header(sec: int = 100, frame: str = "camera_color_optical_frame") -> Header:
    made = Header(frame_id=frame)
    made.stamp.sec, made.stamp.nanosec = sec, 5
    return made


def target(number: int = 1, *, geometry: bool = True, frame: str = "base_link", **changed: Any) -> TargetMask:
    """A mug of 12 x 20 px at (30, 10), 0.08 x 0.06 x 0.1 m, turned by 90 degrees about z."""
    mask = np.zeros((48, 64), np.bool_)
    mask[10:30, 30:42] = True
    made = TargetMask(id=number, label="red mug", score=0.75, mask=mask_to_image(mask, header()), area_px=240)
    made.roi.x_offset, made.roi.y_offset, made.roi.width, made.roi.height = 30, 10, 12, 20
    made.centroid.header = header(frame=frame)
    if geometry:
        made.has_geometry, made.depth_coverage = True, 0.9
        position, turn = made.centroid.pose.position, made.centroid.pose.orientation
        position.x, position.y, position.z = 0.1, -0.2, 0.75
        turn.x, turn.y, turn.z, turn.w = 0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)
        made.size.x, made.size.y, made.size.z = 0.08, 0.06, 0.1
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def masks(*targets: TargetMask, command_id: str = "c1", sec: int = 100) -> TargetMaskArray:
    return TargetMaskArray(header=header(sec), command_id=command_id, command="the mug", targets=list(targets))
