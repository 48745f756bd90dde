# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What every bridge asks of a target: whether its geometry can be believed, its box in pixels, and how old it is."""

from __future__ import annotations

import math
from typing import Any

from llavaseg_ros.ros.messages import stamp_ns

# A quaternion further from length 1 than this is no rotation.
QUATERNION_TOLERANCE = 1e-3
_NS = 1e9


def has_pose(target: Any) -> bool:
    """True when a TargetMask has a finite pose and size that another stack may act on."""
    if not target.has_geometry:
        return False
    position, turn = target.centroid.pose.position, target.centroid.pose.orientation
    values = (position.x, position.y, position.z, target.size.x, target.size.y, target.size.z)
    if not all(math.isfinite(value) for value in values) or min(values[3:]) < 0 or max(values[3:]) == 0:
        return False
    return abs(math.hypot(turn.x, turn.y, turn.z, turn.w) - 1) < QUATERNION_TOLERANCE  # NaN is not less


def roi_box(roi: Any) -> tuple[float, float, float, float]:
    """Center x, center y, width and height in px of a RegionOfInterest; pixel edges are whole numbers."""
    return roi.x_offset + roi.width / 2, roi.y_offset + roi.height / 2, float(roi.width), float(roi.height)


def image_age_s(header: Any, now_ns: int) -> float:
    """Seconds since the stamp of a header; negative when it lies ahead of the clock."""
    return (now_ns - stamp_ns(header.stamp)) / _NS
