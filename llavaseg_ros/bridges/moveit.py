# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The targets as collision objects in MoveIt's planning scene, and their removal when they are gone."""

from __future__ import annotations

from typing import Any

from rclpy.qos import QoSProfile, ReliabilityPolicy

from llavaseg_ros.bridges import interfaces
from llavaseg_ros.bridges.boxes import has_pose, image_age_s
from llavaseg_ros.msg import TargetMaskArray

# An object flatter than this makes planners' collision checks unsound.
LEAST_SIDE_M = 0.005
# Reliable, and with room for the objects of one message: none may be lost, a removal least of all.
SCENE = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


def collision_object(target: Any, object_id: str, padding_m: float, types: Any) -> Any:
    """`moveit_msgs/CollisionObject` to add or replace: a box around a TargetMask for which `has_pose` holds.

    padding_m: is added on every side; the camera saw only the side that faces it. types: has CollisionObject,
    SolidPrimitive and Pose, of moveit_msgs, shape_msgs and geometry_msgs.
    """
    box = types.SolidPrimitive()
    box.type = types.SolidPrimitive.BOX
    box.dimensions = [
        max(float(side), LEAST_SIDE_M) + 2 * padding_m for side in (target.size.x, target.size.y, target.size.z)
    ]
    found = types.CollisionObject()
    found.header = target.centroid.header
    found.id = object_id
    found.pose = target.centroid.pose
    found.primitives = [box]
    middle = types.Pose()
    middle.orientation.w = 1.0
    found.primitive_poses = [middle]
    found.operation = types.CollisionObject.ADD
    return found


def removal(header: Any, object_id: str, types: Any) -> Any:
    """`moveit_msgs/CollisionObject` that removes an object of this id. object_id must not be empty: "" removes all."""
    if not object_id:
        raise ValueError("object_id: an empty id would remove every object of the planning scene")
    gone = types.CollisionObject()
    gone.header = header
    gone.id = object_id
    gone.operation = types.CollisionObject.REMOVE
    return gone


def scene_changes(
    masks: Any, known: set[str], base_id: str, padding_m: float, types: Any
) -> tuple[list[Any], set[str]]:
    """The collision objects that bring the planning scene from `known` ids to these masks; and the ids then known.

    The best target has base_id, the others base_id_2, base_id_3 and so on. Removals come first.
    """
    placed = {
        base_id if target.id == 1 else f"{base_id}_{target.id}": target
        for target in masks.targets
        if has_pose(target)
    }
    changes = [removal(masks.header, gone, types) for gone in sorted(known - placed.keys())]
    changes += [collision_object(target, name, padding_m, types) for name, target in placed.items()]
    return changes, set(placed)


class _Types:
    """The classes that the functions above need."""

    def __init__(self) -> None:
        self.CollisionObject = interfaces("moveit", "moveit_msgs").CollisionObject
        self.SolidPrimitive = interfaces("moveit", "shape_msgs").SolidPrimitive
        self.Pose = interfaces("moveit", "geometry_msgs").Pose


class MoveItBridge:
    """Publishes on `collision_object`, where a planning scene monitor listens.

    Parameters: moveit.object_id, moveit.padding_m, moveit.max_image_age_s, and moveit.hold: while it is true the scene
    is left as it is, which a grasp needs between the attaching of the object and its release.
    """

    def __init__(self, node: Any, settings: dict[str, Any]) -> None:
        self._types = _Types()
        self._node, self._base, self._padding = node, settings["moveit.object_id"], settings["moveit.padding_m"]
        self._max_age_s = settings["moveit.max_image_age_s"]
        if not self._base.strip():
            raise ValueError("moveit.object_id: expected a name, got an empty text")
        self._publisher = node.create_publisher(self._types.CollisionObject, "collision_object", SCENE)
        # One that an earlier run has left may be in the scene still.
        self._known = {self._base}
        self._last: Any = None

    def on_masks(self, masks: TargetMaskArray) -> None:
        """Bring the scene up to date: what has no geometry any more is removed, and nothing comes from an old image."""
        self._last = masks.header
        if self._node.get_parameter("moveit.hold").value:
            return
        # Masks are latched: after a late start the first ones may be of any age, and the thing somewhere else by now.
        age_s = image_age_s(masks.header, self._node.get_clock().now().nanoseconds)
        if masks.targets and self._max_age_s and age_s > self._max_age_s:
            self._node.get_logger().warning(
                f"moveit: the masks are of an image {age_s:.1f} s old, at most {self._max_age_s:g} s are allowed "
                "(moveit.max_image_age_s): no target is put into the scene",
                throttle_duration_sec=5.0,
            )
            masks = TargetMaskArray(header=masks.header)
        changes, self._known = scene_changes(masks, self._known, self._base, self._padding, self._types)
        for change in changes:
            self._publisher.publish(change)

    def close(self) -> None:
        """Remove what was added: nobody keeps it up to date any more. While held, it is left alone."""
        if self._last is None or self._node.get_parameter("moveit.hold").value:
            return
        for name in sorted(self._known):
            self._publisher.publish(removal(self._last, name, self._types))
        self._known = set()
