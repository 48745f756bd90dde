# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Mirrors of `~/masks` as vision_msgs (version 4, Humble on): Detection2DArray and Detection3DArray."""

from __future__ import annotations

from typing import Any

from llavaseg_ros.bridges import interfaces
from llavaseg_ros.bridges.boxes import has_pose, roi_box
from llavaseg_ros.msg import TargetMaskArray
from llavaseg_ros.ros.qos import LATCHED


def detection_2d(target: Any, header: Any, identity: str, types: Any) -> Any:
    """`vision_msgs/Detection2D` of a TargetMask: its box in px, its label as class_id, its score; its pose only
    if it is in the frame of this header, for there is no place to name another.

    identity: its id, the same in every message about the same object. types: the module vision_msgs.msg.
    """
    found = types.Detection2D()
    found.header = header
    found.id = identity
    found.results = [_hypothesis(target, header.frame_id, types)]
    x, y, width, height = roi_box(target.roi)
    found.bbox.center.position.x, found.bbox.center.position.y = x, y
    found.bbox.size_x, found.bbox.size_y = width, height
    return found


def detection_3d(target: Any, identity: str, types: Any) -> Any:
    """`vision_msgs/Detection3D` of a TargetMask for which `has_pose` holds: its box in m, in its pose's own frame.

    The box's center is the mean of the points that the camera saw.
    """
    found = types.Detection3D()
    found.header = target.centroid.header
    found.id = identity
    found.results = [_hypothesis(target, found.header.frame_id, types)]
    found.bbox.center = target.centroid.pose
    found.bbox.size = target.size
    return found


def detections_2d(masks: Any, types: Any) -> Any:
    """`vision_msgs/Detection2DArray` of a TargetMaskArray, best first, with its header. Empty when it is."""
    array = types.Detection2DArray()
    array.header = masks.header
    array.detections = [
        detection_2d(target, masks.header, identity_of(masks, target), types) for target in masks.targets
    ]
    return array


def detections_3d(masks: Any, types: Any) -> Any:
    """`vision_msgs/Detection3DArray` of the targets that have a pose. The frame is that of the poses, the stamp that of
    the image.
    """
    array = types.Detection3DArray()
    placed = [target for target in masks.targets if has_pose(target)]
    array.header = placed[0].centroid.header if placed else masks.header
    array.detections = [detection_3d(target, identity_of(masks, target), types) for target in placed]
    return array


def identity_of(masks: Any, target: Any) -> str:
    """Names an object across messages: while it is followed, command_id and the target's id stay."""
    return f"{masks.command_id}.{target.id}"


def _hypothesis(target: Any, frame: str, types: Any) -> Any:
    hypothesis = types.ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = target.label
    hypothesis.hypothesis.score = float(target.score)
    if has_pose(target) and target.centroid.header.frame_id == frame:
        hypothesis.pose.pose = target.centroid.pose
    return hypothesis


class VisionBridge:
    """Publishes `~/detections_2d` and `~/detections_3d`, latched, for every message on the masks' topic."""

    def __init__(self, node: Any, settings: dict[str, Any]) -> None:
        self._types = interfaces("vision", "vision_msgs")
        self._flat = node.create_publisher(self._types.Detection2DArray, "~/detections_2d", LATCHED)
        self._solid = node.create_publisher(self._types.Detection3DArray, "~/detections_3d", LATCHED)

    def on_masks(self, masks: TargetMaskArray) -> None:
        """Mirror one message; an empty one, too, so that no old detection passes for current."""
        self._flat.publish(detections_2d(masks, self._types))
        self._solid.publish(detections_3d(masks, self._types))

    def close(self) -> None:
        """Nothing to take back: the stamps tell how old the last ones are."""
