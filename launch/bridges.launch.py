# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Starts the node `bridges` beside a running `llavaseg`: vision_msgs, MoveIt's planning scene, Isaac Manipulator."""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = {
    "namespace": ("", "namespace of the node; that of llavaseg, unless masks is given"),
    "bridges": ("vision,moveit,isaac", "which bridges, with commas; without their packages they are left out"),
    "masks": ("llavaseg/masks", "topic of the masks"),
    "collision_object": ("/collision_object", "topic of MoveIt's planning scene monitor"),
    "moveit_object_id": ("llavaseg_target", "name of the target in the planning scene"),
    "moveit_max_image_age_s": ("5.0", "put no target of an older image into the planning scene, s; 0 = any age"),
    "isaac_action_name": ("/segment_anything", "name of the action that Isaac Manipulator calls"),
    "isaac_source": ("prompt", "prompt: segment at the goal's point or box; target: give what the last command meant"),
}


def start(context: LaunchContext) -> list[Node]:
    """The node."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    names = [name.strip() for name in value["bridges"].split(",") if name.strip()]
    if not names:
        raise RuntimeError("launch argument bridges: expected some of vision, moveit, isaac, got none")
    return [
        Node(
            package="llavaseg_ros",
            executable="bridges",
            name="bridges",
            namespace=value["namespace"],
            parameters=[
                {
                    "bridges": names,
                    "moveit.max_image_age_s": ParameterValue(value["moveit_max_image_age_s"], value_type=float),
                    **{
                        name.replace("_", ".", 1): ParameterValue(value[name], value_type=str)
                        for name in ("moveit_object_id", "isaac_action_name", "isaac_source")
                    },
                }
            ],
            remappings=[("llavaseg/masks", value["masks"]), ("collision_object", value["collision_object"])],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Called by launch."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=start),
        ]
    )
