# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Targets as `visualization_msgs/MarkerArray`, for RViz and Foxglove: a box around each and its name above it.

`visualization_msgs` is imported only when markers are made: a robot without displays need not have it.
"""

from __future__ import annotations

import math
from typing import Any

from llavaseg_ros.viz import PALETTE

NAMESPACE = "llavaseg_targets"
BOX_ALPHA = 0.35
# Meters. A flat thing still has to be seen, and a name to be read.
MIN_SIDE_M, TEXT_HEIGHT_M = 0.002, 0.03


def target_markers(masks: Any) -> Any:
    """Markers of all targets of a `TargetMaskArray` that have geometry: a cube of the target's size in the axes of its
    pose, and its label. The frame and the stamp are those of the target's pose.

    The first marker is always DELETEALL, so that the array takes the place of the one before, also when nothing was
    found. Raises ImportError where `visualization_msgs` is not installed.
    """
    from visualization_msgs.msg import Marker, MarkerArray

    array = MarkerArray(markers=[Marker(header=masks.header, ns=NAMESPACE, action=Marker.DELETEALL)])
    for index, target in enumerate(masks.targets):
        pose = target.centroid.pose
        sides = (target.size.x, target.size.y, target.size.z)
        place = pose.position
        if not target.has_geometry or not all(math.isfinite(v) for v in (*sides, place.x, place.y, place.z)):
            continue
        red, green, blue = (channel / 255 for channel in PALETTE[index % len(PALETTE)])
        box = _marker(Marker, target, 2 * index)
        box.type, box.pose = Marker.CUBE, pose
        box.scale.x, box.scale.y, box.scale.z = (max(MIN_SIDE_M, float(side)) for side in sides)
        box.color.r, box.color.g, box.color.b, box.color.a = red, green, blue, BOX_ALPHA
        name = _marker(Marker, target, 2 * index + 1)
        name.type, name.text = Marker.TEXT_VIEW_FACING, target.label or f"target {target.id}"
        name.pose.position.x, name.pose.position.z = place.x, place.z
        # Above it in an optical frame, where y points down.
        name.pose.position.y = place.y - max(sides) / 2 - TEXT_HEIGHT_M
        name.pose.orientation.w = 1.0
        name.scale.z = TEXT_HEIGHT_M
        name.color.r, name.color.g, name.color.b, name.color.a = red, green, blue, 1.0
        array.markers += [box, name]
    return array


def _marker(marker_type: Any, target: Any, number: int) -> Any:
    return marker_type(header=target.centroid.header, ns=NAMESPACE, id=number, action=marker_type.ADD)
