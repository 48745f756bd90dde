# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Messages of other stacks, as far as our bridges use them, for machines without their packages.

Made from the fields below by rosbags, which also serializes them: a field that does not exist, or a value that does not
fit its type, fails. The definitions are facts about their interfaces (vision_msgs 4, moveit_msgs, shape_msgs).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

DEFINITIONS = {
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "vision_msgs/msg/BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score",
    "vision_msgs/msg/ObjectHypothesisWithPose": (
        "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose"
    ),
    "vision_msgs/msg/Detection2D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\nvision_msgs/BoundingBox2D bbox\n"
        "string id"
    ),
    "vision_msgs/msg/Detection3D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\nvision_msgs/BoundingBox3D bbox\n"
        "string id"
    ),
    "vision_msgs/msg/Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
    "vision_msgs/msg/Detection3DArray": "std_msgs/Header header\nvision_msgs/Detection3D[] detections",
    "object_recognition_msgs/msg/ObjectType": "string key\nstring db",
    "moveit_msgs/msg/CollisionObject": (
        "std_msgs/Header header\ngeometry_msgs/Pose pose\nstring id\nobject_recognition_msgs/ObjectType type\n"
        "shape_msgs/SolidPrimitive[] primitives\ngeometry_msgs/Pose[] primitive_poses\n"
        "shape_msgs/Mesh[] meshes\ngeometry_msgs/Pose[] mesh_poses\n"
        "shape_msgs/Plane[] planes\ngeometry_msgs/Pose[] plane_poses\n"
        "string[] subframe_names\ngeometry_msgs/Pose[] subframe_poses\n"
        "byte ADD=0\nbyte REMOVE=1\nbyte APPEND=2\nbyte MOVE=3\nbyte operation"
    ),
}

STORE = get_typestore(Stores.ROS2_HUMBLE)
STORE.register(
    {name: spec for key, text in DEFINITIONS.items() for name, spec in get_types_from_msg(text, key).items()}
)
_ZEROS = {"string": "", "bool": False, "float32": 0.0, "float64": 0.0}


class MessageClass:
    """A message's class: constants as attributes, and made without arguments, all zero."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> Any:
        fields = STORE.fielddefs[self.name][1]
        return STORE.types[self.name](**{field: _zero(kind) for field, kind in fields})

    def __getattr__(self, constant: str) -> Any:
        return getattr(STORE.types[self.name], constant)


def package(name: str) -> SimpleNamespace:
    """All classes of a package, as its module `name.msg` has them."""
    return SimpleNamespace(
        **{full.rsplit("/", 1)[1]: MessageClass(full) for full in STORE.fielddefs if full.startswith(f"{name}/")}
    )


def checked(message: Any) -> bytes:
    """The message as CDR bytes. Fails when a field does not exist or does not hold what its type says."""
    return bytes(STORE.serialize_cdr(_plain(message, message.__msgtype__), message.__msgtype__))


def _zero(kind: Any) -> Any:
    what, value = kind
    if what == Nodetype.BASE:
        return _ZEROS.get(value[0], 0)
    if what == Nodetype.NAME:
        return MessageClass(value)()
    if what == Nodetype.ARRAY:
        return np.zeros(value[1])
    return []


def _plain(message: Any, name: str) -> Any:
    """A copy out of rosbags' classes, also where the message holds parts of ROS's own."""
    constants, pairs = STORE.fielddefs[name]
    fields = dict(pairs)
    unknown = set(getattr(message, "__dict__", {})) - set(fields) - {constant[0] for constant in constants}
    unknown.discard("__msgtype__")
    assert not unknown, f"{name} has no {unknown}"
    return STORE.types[name](**{field: _value(getattr(message, field), kind) for field, kind in fields.items()})


def _value(value: Any, kind: Any) -> Any:
    what, inner = kind
    if what == Nodetype.BASE:
        if inner[0] == "string":
            assert isinstance(value, str)
        elif inner[0].startswith("float"):
            assert isinstance(value, float), value
        return value
    if what == Nodetype.NAME:
        return _plain(value, inner)
    element = inner[0]
    if element[0] == Nodetype.NAME:
        return [_plain(item, element[1]) for item in value]
    return list(value) if element[1][0] == "string" else np.asarray(value, element[1][0])
